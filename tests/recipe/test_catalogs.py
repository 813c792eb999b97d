import pytest

from curation.errors import ConfigError
from curation.recipe import files
from curation.recipe.catalogs import Catalog, missing_labels, resolve
from curation.recipe.dataset import load_dataset
from curation.recipe.sources import SourceSpec
from curation.recipe.toml import read_toml


@pytest.mark.parametrize("name", ["planetary-computer", "earth-search", "earth-search-c1", "cdse"])
def test_a_name_is_its_public_address(name):
    found = resolve(name)
    assert (found.identity, found.form, found.is_file, found.own) == (name, name, False, False)
    assert found.location.startswith("https://")
    assert found.location.startswith(found.base)
    assert found.base.count("/") == 2


def test_the_embedded_earth_is_where_it_is_served_and_is_the_same_on_any_port():
    a, b = (resolve("embedded", f"http://127.0.0.1:{port}/stac") for port in (4000, 5000))
    assert a.identity == b.identity == "embedded"
    assert (a.form, a.own, a.base) == ("planetary-computer", True, "http://127.0.0.1:4000")
    with pytest.raises(ConfigError, match="is not being served"):
        resolve("embedded")


@pytest.mark.parametrize(
    ("text", "form", "location"),
    [
        ("https://stac.example/v1/", "planetary-computer", "https://stac.example/v1"),
        ("earth-search+https://stac.example/v1", "earth-search", "https://stac.example/v1"),
        ("cdse+http://127.0.0.1:8080", "cdse", "http://127.0.0.1:8080"),
        ("embedded+http://127.0.0.1:8080", "planetary-computer", "http://127.0.0.1:8080"),
    ],
)
def test_an_address_is_an_api_of_a_form(text, form, location):
    found = resolve(text)
    assert (found.form, found.location, found.identity, found.own) == (form, location, location, True)


def test_a_file_is_known_by_its_content_wherever_it_lies(tmp_path):
    one, two = tmp_path / "a" / "items.json", tmp_path / "b" / "x.json"
    for path in (one, two):
        path.parent.mkdir()
        path.write_text("{}")
    found = resolve(str(one))
    assert found.identity == resolve(str(two)).identity
    assert (found.is_file, found.own, found.base) == (True, True, str(one.parent))
    two.write_text("{ }")
    assert found.identity != resolve(str(two)).identity
    assert resolve(f"cdse+{one}").form == "cdse"


def test_a_path_may_hold_a_plus(tmp_path):
    path = tmp_path / "a+b.json"
    path.write_text("{}")
    assert resolve(str(path)).location == str(path)


def test_a_relative_path_has_the_files_folder_as_its_base(tmp_path, monkeypatch):
    (tmp_path / "items.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert resolve("items.json").base == str(tmp_path)


@pytest.mark.parametrize("text", ["planetary", "no/such/file.json", ".", "ftp://x/y", "s3://bucket/items.json"])
def test_what_is_no_catalog_is_told_what_is(text):
    with pytest.raises(ConfigError) as caught:
        resolve(text)
    assert f"catalog {text!r}: " in str(caught.value)
    assert "planetary-computer" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["http://[::1", "https://[bad]/v1?token=S3CRET", "http://me:S3CRET@host:99999/v1", "http://", "https:///v1?S3CRET",
     "earth-search+http://host:eight/v1"],
)  # fmt: skip
def test_what_is_no_url_is_told_at_once_in_one_line_without_its_secrets(text):
    with pytest.raises(ConfigError, match="no URL") as caught:
        resolve(text)
    assert "S3CRET" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_slugs_are_folder_names():
    for text in ("https://stac.example:8080/v1/a b", "planetary-computer", "file-00ff"):
        slug = Catalog(text, "f", "l", is_file=False, own=True).slug
        assert slug.replace("-", "").isalnum()
        assert not slug.startswith("-")
    assert Catalog("https://Stac.example/v1", "f", "l", is_file=False, own=True).slug == "stac-example-v1"


def test_only_a_catalog_of_ones_own_may_have_what_the_public_ones_lack():
    world = read_toml(files.folder("stac_queries") / "dynamicworld.toml", SourceSpec)
    assert resolve("planetary-computer").form_of(world) is None
    assert resolve("https://stac.example").form_of(world).collection == "dynamicworld"
    dem = read_toml(files.folder("stac_queries") / "dem.toml", SourceSpec)
    assert resolve("cdse").form_of(dem).collection == "cop-dem-glo-30-dged-cog"


HAS = {"sentinel-2-l2a", "sentinel-1-rtc", "cop-dem-glo-30", "esa-worldcover"}


def test_only_label_sources_that_are_not_required_may_be_missing():
    dataset, catalog = load_dataset("starter"), resolve("planetary-computer")
    assert missing_labels(dataset, catalog, HAS) == ["dynamicworld"]
    assert missing_labels(dataset, catalog, HAS - {"esa-worldcover"}) == ["worldcover", "dynamicworld"]
    own = resolve("https://stac.example")
    assert missing_labels(dataset, own, HAS | {"dynamicworld"}) == []
    with pytest.raises(ConfigError, match=r"has no 'Copernicus DEM GLO-30' \(source 'dem': cop-dem-glo-30\); forms "):
        missing_labels(dataset, catalog, HAS - {"cop-dem-glo-30"})


def test_a_required_label_source_must_be_there(tmp_path):
    dataset = load_dataset("starter")
    text = dataset.path.read_text().replace("worldcover = { required = false }", "worldcover = {}")
    (tmp_path / "recipe.toml").write_text(text)
    with pytest.raises(ConfigError, match="has no 'ESA WorldCover 2021"):
        missing_labels(load_dataset(str(tmp_path)), resolve("planetary-computer"), HAS - {"esa-worldcover"})


def test_a_source_that_a_catalog_has_no_form_of_is_told():
    with pytest.raises(ConfigError, match=r"catalog earth-search: has no .* \(source 's1rtc': no form of it in "):
        missing_labels(load_dataset("starter"), resolve("earth-search"), HAS)
