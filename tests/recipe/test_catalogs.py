import pytest

from curation.errors import ConfigError
from curation.recipe import files
from curation.recipe.catalogs import (
    Catalog,
    Catalogs,
    named,
    pixels_digest,
    pixels_parts,
    resolve,
    resolve_all,
)
from curation.recipe.dataset import load_dataset
from curation.recipe.digests import changes
from curation.recipe.lacking import missing_labels
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


@pytest.mark.slow
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


def has(collections):
    """What `missing_labels` asks, of catalogs that all have these collections."""
    return lambda catalog, collection: collection in collections


HAS = {"sentinel-2-l2a", "sentinel-1-rtc", "cop-dem-glo-30", "esa-worldcover"}


def test_only_label_sources_that_are_not_required_may_be_missing():
    dataset, catalog = load_dataset("starter"), Catalogs(resolve("planetary-computer"))
    assert missing_labels(dataset, catalog, has(HAS)) == ["dynamicworld"]
    assert missing_labels(dataset, catalog, has(HAS - {"esa-worldcover"})) == ["worldcover", "dynamicworld"]
    own = Catalogs(resolve("https://stac.example"))
    assert missing_labels(dataset, own, has(HAS | {"dynamicworld"})) == []
    with pytest.raises(ConfigError, match=r"has no 'Copernicus DEM GLO-30' \(source 'dem': cop-dem-glo-30\); forms "):
        missing_labels(dataset, catalog, has(HAS - {"cop-dem-glo-30"}))


def test_a_required_label_source_must_be_there(tmp_path):
    dataset = load_dataset("starter")
    text = dataset.path.read_text().replace("worldcover = { required = false }", "worldcover = {}")
    (tmp_path / "recipe.toml").write_text(text)
    with pytest.raises(ConfigError, match="has no 'ESA WorldCover 2021"):
        missing_labels(
            load_dataset(str(tmp_path)), Catalogs(resolve("planetary-computer")), has(HAS - {"esa-worldcover"})
        )


def test_a_source_that_a_catalog_has_no_form_of_is_told():
    with pytest.raises(ConfigError, match=r"catalog earth-search: has no .* \(source 's1rtc': no form of it in "):
        missing_labels(load_dataset("starter"), Catalogs(resolve("earth-search")), has(HAS))


# --- a catalog per source --------------------------------------------------------------------------------------------


def recipe(tmp_path, **by_source):
    """The starter's recipe, whose sources name catalogs of their own."""
    text = load_dataset("starter").path.read_text()
    for source, catalog in by_source.items():
        assert f"\n{source} = {{}}" in text
        text = text.replace(f"\n{source} = {{}}", f'\n{source} = {{ catalog = "{catalog}" }}')
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / "recipe.toml").write_text(text)
    return load_dataset(str(tmp_path))


@pytest.mark.parametrize(
    ("catalog", "apart", "want"),
    [
        (None, {}, {"": "planetary-computer", "s2l2a": "planetary-computer", "dem": "cdse"}),
        ("earth-search", {}, {"": "earth-search", "s2l2a": "earth-search", "dem": "cdse"}),
        ("earth-search", {"dem": "embedded"}, {"s2l2a": "earth-search", "dem": "embedded"}),
        ("earth-search", {"*": "earth-search"}, {"": "earth-search", "s2l2a": "earth-search", "dem": "earth-search"}),
        ("embedded", {}, {"": "embedded", "s2l2a": "embedded", "dem": "embedded"}),
        (None, {"s2l2a": "earth-search"}, {"": "planetary-computer", "s2l2a": "earth-search", "dem": "cdse"}),
        ("embedded", {"d*": "cdse"}, {"": "embedded", "s2l2a": "embedded", "dem": "cdse", "dynamicworld": "cdse"}),
    ],
)
def test_what_is_said_of_a_source_goes_before_what_is_said_of_all_and_of_either_the_command_before_the_recipe(
    tmp_path, catalog, apart, want
):
    found = named(recipe(tmp_path, dem="cdse"), catalog, apart)
    assert {name: found[name] for name in want} == want


def test_a_source_that_the_recipe_lacks_or_that_is_named_twice_is_refused(tmp_path):
    dataset = recipe(tmp_path)
    with pytest.raises(ConfigError, match="has no source 's2l2'; did you mean s2l2a"):
        named(dataset, None, {"s2l2": "cdse"})
    with pytest.raises(ConfigError, match=r"source 'dem' is named by 'dem' and by 'd\*'; say it once"):
        named(dataset, None, {"dem": "cdse", "d*": "embedded"})


def test_who_says_it_changes_no_digest_and_who_is_asked_does(tmp_path):
    plain, says = recipe(tmp_path / "a"), recipe(tmp_path / "b", dem="earth-search")
    one = resolve_all(plain)
    apart = resolve_all(plain, apart={"dem": "earth-search"})
    assert pixels_digest(plain, apart) == pixels_digest(says, resolve_all(says)) != pixels_digest(plain, one)
    # Which of two is called the default is no difference, either, and one for all is what it was before there were several.
    others = {n: "planetary-computer" for n in plain.specs if n != "dem"}
    assert pixels_digest(plain, resolve_all(plain, "earth-search", others)) == pixels_digest(plain, apart)
    assert pixels_parts(plain, one)["catalog"] == "planetary-computer"
    assert pixels_digest(says, resolve_all(says, apart={"*": "planetary-computer"})) == pixels_digest(plain, one)
    assert pixels_digest(says, resolve_all(says, "planetary-computer")) == pixels_digest(plain, apart)


def test_which_source_has_another_catalog_is_told_and_nothing_of_the_others(tmp_path):
    dataset = recipe(tmp_path)
    one, apart = resolve_all(dataset), resolve_all(dataset, apart={"dem": "earth-search"})
    assert changes(pixels_parts(dataset, one), pixels_parts(dataset, apart)) == [
        'catalog.dem was "planetary-computer", is "earth-search"'
    ]
    cells = load_dataset("ssl4eo-s")
    public, small = resolve_all(cells), resolve_all(cells, "cdse", {"s2l2a": "planetary-computer"})
    told = changes(pixels_parts(cells, public), pixels_parts(cells, small))
    assert 'children.catalog.s1rtc was "planetary-computer", is "cdse"' in told
    assert not any("s3olci" in line or "s2l2a" in line or "form" in line for line in told)


def test_each_catalog_is_asked_for_what_it_is_to_give(tmp_path):
    dataset = recipe(tmp_path, dem="earth-search")
    every = resolve_all(dataset)
    asked = []
    missing_labels(dataset, every, lambda catalog, name: bool(asked.append((catalog.label, name))) or name != "x")
    assert ("earth-search", "cop-dem-glo-30") in asked
    assert ("planetary-computer", "sentinel-2-l2a") in asked
    assert every.label == "planetary-computer, dem: earth-search"
    with pytest.raises(ConfigError, match=r"catalog earth-search: has no .*GLO-30.*--catalog dem="):
        missing_labels(dataset, every, lambda catalog, name: catalog.label != "earth-search")


def test_the_recipe_of_every_sentinel_names_catalogs_that_have_a_form_of_each_source():
    cells = load_dataset("ssl4eo-s")
    every = resolve_all(cells)
    assert {n: every.of(n).label for n in cells.specs} == {
        n: "cdse" if n == "s3olci" else "planetary-computer" for n in cells.specs
    }
    assert all(every.form_of(spec) for spec in cells.specs.values())
    assert resolve_all(cells, "planetary-computer") == every  # which has no OLCI
    assert resolve_all(cells, "embedded", served_at="http://127.0.0.1").apart == ()


# --- a catalog that a flag names -------------------------------------------------------------------------------------


def test_who_is_to_be_named_is_nobody_until_then_and_digests_have_who_is_asked_in_the_end(tmp_path):
    main = load_dataset("ssl4eo-s12-ml")
    assert main.recipe.sources["dynamicworld"].catalog == "labels"
    (tmp_path / "recipe.toml").write_text(main.path.read_text().replace(', catalog = "labels"', ""))
    silent = load_dataset(str(tmp_path))
    assert silent.recipe.sources["dynamicworld"].catalog is None
    own, other = "https://stac.example", "https://maps.example"
    for catalog, apart, want in (
        (None, {}, "planetary-computer"),  # which has none: labels are imported, or unknown
        (own, {}, own),  # which may have them
        ("embedded", {}, "embedded"),
        (None, {"dynamicworld": other}, other),
        (own, {"dynamicworld": other}, other),
    ):
        every = resolve_all(main, catalog, apart, served_at="http://127.0.0.1")
        assert every.of("dynamicworld").identity == want
        as_silent = resolve_all(silent, catalog, apart, served_at="http://127.0.0.1")
        assert pixels_parts(main, every) == pixels_parts(silent, as_silent)
    assert missing_labels(main, resolve_all(main), has(HAS)) == ["dynamicworld"]


@pytest.mark.parametrize("text", ["labels", "labels+https://stac.example"])
def test_who_is_to_be_named_cannot_be_asked(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labels").mkdir()
    with pytest.raises(ConfigError, match=r"has no address, it is who --labels names: say --labels"):
        resolve(text)
    with pytest.raises(ConfigError, match="has no address"):
        resolve_all(load_dataset("ssl4eo-s12-ml"), None, {"dynamicworld": text})
    with pytest.raises(ConfigError) as caught:
        resolve("nobody")
    assert "labels" not in str(caught.value)
