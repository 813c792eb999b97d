"""What lets one in, as TOML states it: what is refused, what is told, and what no digest holds."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from curation.cli import main
from curation.errors import ConfigError
from curation.recipe import catalogs
from curation.recipe.access import BucketAccess, NetrcAccess, TokenAccess, check_accesses
from curation.recipe.catalogs import resolve, resolve_all, table
from curation.recipe.dataset import load_dataset
from curation.recipe.forms import CatalogForm
from curation.recipe.lacking import missing_access

CDSE = ("CDSE_S3_ACCESS_KEY_ID", "CDSE_S3_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


@pytest.fixture(autouse=True)
def _unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*CDSE, "CDSE_USERNAME", "CDSE_PASSWORD"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("scheme", "stated", "told"),
    [
        ("s3", {"region": "r"}, "expected unsigned = true, or the names of credentials"),
        ("s3", {"unsigned": True}, "expected a region"),
        ("s3", {"region": "r", "credentials": {"access_key_id": ["K"]}}, "access_key_id and secret_access_key"),
        ("s3", {"region": "r", "credentials": {"key": ["K"]}}, r"credentials \['key'\]: no such"),
        ("s3", {"region": "r", "unsigned": True, "requester_pays": True}, "goes with neither"),
        ("s3", {"region": "r", "credentials": {"access_key_id": ["K", "L"], "secret_access_key": ["S"]}}, "as many"),
        ("az", {"unsigned": True}, "account: expected of az"),
        ("gs", {"unsigned": True, "requester_pays": True}, "goes with neither"),
        ("gs", {"credentials": {"service_account": ["K"]}, "requester_pays": True}, "are of s3"),
    ],
)
def test_what_does_not_go_together_is_told(scheme, stated, told):
    with pytest.raises(ValueError, match=told):
        check_accesses({scheme: BucketAccess.model_validate(stated)})


def test_keys_are_of_one_set_and_a_set_that_is_begun_is_not_made_whole_by_another(monkeypatch: pytest.MonkeyPatch):
    sets = {"access_key_id": ["MINE_ID", "ITS_ID"], "secret_access_key": ["MINE_SECRET", "ITS_SECRET"]}
    sets |= {"session_token": ["MINE_TOKEN", "ITS_TOKEN"]}
    access = BucketAccess.model_validate({"region": "r", "credentials": sets})
    assert access.needs == "keys in MINE_ID and MINE_SECRET or ITS_ID and ITS_SECRET"
    assert access.missing() == ["MINE_ID and MINE_SECRET or ITS_ID and ITS_SECRET"]
    monkeypatch.setenv("MINE_TOKEN", "t0")  # alone it is no key
    for name in ("ITS_ID", "ITS_SECRET", "ITS_TOKEN"):
        monkeypatch.setenv(name, name.lower())
    whole = {"access_key_id": "its_id", "secret_access_key": "its_secret", "session_token": "its_token"}
    assert (access.held.values, access.missing()) == (whole, [])
    monkeypatch.setenv("MINE_ID", "mine")
    assert access.held.values == {"access_key_id": "mine", "session_token": "t0"}
    assert access.missing() == ["MINE_SECRET"]
    monkeypatch.setenv("MINE_SECRET", "s")
    assert access.held.values == {"access_key_id": "mine", "secret_access_key": "s", "session_token": "t0"}
    login = TokenAccess(token_url="https://h", client_id="c", user=["U", "V"], password=["P", "Q"], hosts=["h"])
    monkeypatch.setenv("U", "u")
    monkeypatch.setenv("Q", "q")
    assert (login.held.values, login.missing()) == ({"user": "u"}, ["P"])


def test_of_credentials_that_stand_for_each_other_one_is_enough(monkeypatch: pytest.MonkeyPatch):
    either = BucketAccess.model_validate(
        {"account": "scenes", "credentials": {"account_key": ["SCENES_KEY"], "sas_token": ["SCENES_TOKEN"]}}
    )
    check_accesses({"az": either})
    assert either.missing() == ["SCENES_KEY or SCENES_TOKEN"]
    assert either.needs == "keys in SCENES_KEY or SCENES_TOKEN"
    monkeypatch.setenv("SCENES_TOKEN", "hidden")
    assert either.missing() == []


@pytest.mark.parametrize("content", [b"\xff\xfe\x00machine", b"machine h.example login me password hidden\xff"])
def test_a_netrc_file_that_is_no_text_is_told_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content):
    file = tmp_path / "netrc"
    file.write_bytes(content)
    monkeypatch.setenv("NETRC", str(file))
    assert NetrcAccess(netrc=("h.example",)).missing() == [f"{file}: is no netrc file (no UTF-8)"]


def test_a_form_goes_before_its_catalog_and_neither_is_in_a_digest():
    cdse = resolve("cdse")
    dem = load_dataset("ssl4eo-s").specs["dem"]
    assert cdse.access_of(dem) == cdse.access
    own = BucketAccess(region="r", unsigned=True)
    form = dem.catalogs["cdse"].model_copy(update={"access": {"s3": own}})
    other = dem.model_copy(update={"catalogs": {**dem.catalogs, "cdse": form}})
    assert cdse.access_of(other)["s3"] == own
    assert form.model_dump(mode="json") == dem.catalogs["cdse"].model_dump(mode="json")
    assert "access" not in CatalogForm(collection="c").model_dump(mode="json")
    assert pickle.loads(pickle.dumps(cdse)).access == cdse.access  # names go to workers


def test_an_alternate_of_ones_own_catalog_makes_it_another():
    assert resolve("cdse-https").alternate == "https"
    plain, other = resolve("cdse+https://stac.example"), resolve("cdse-https+https://stac.example")
    assert (plain.identity, plain.form) == ("https://stac.example", "cdse")
    assert (other.form, other.alternate) == ("cdse", "https")
    assert other.identity != plain.identity
    assert other.slug != plain.slug


def test_what_is_not_set_is_told_by_name_for_public_catalogs_that_are_asked(monkeypatch: pytest.MonkeyPatch):
    cells = load_dataset("ssl4eo-s")
    assert missing_access(cells, resolve_all(cells)) == {"cdse": ["CDSE_S3_ACCESS_KEY_ID", "CDSE_S3_SECRET_ACCESS_KEY"]}
    assert missing_access(cells, resolve_all(cells, apart={"*": "cdse+https://stac.example"})) == {}
    for name in CDSE[2:]:  # those of --root
        monkeypatch.setenv(name, "hidden")
    monkeypatch.setenv(CDSE[0], "hidden")
    assert missing_access(cells, resolve_all(cells)) == {"cdse": ["CDSE_S3_SECRET_ACCESS_KEY"]}
    assert resolve("cdse").access["s3"].held.values == {"access_key_id": "hidden"}
    monkeypatch.setenv(CDSE[1], "hidden")
    assert missing_access(cells, resolve_all(cells)) == {}


def test_a_build_without_keys_is_refused_before_anybody_is_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    flags = ["--dataset", "ssl4eo-s", "--root", str(tmp_path), "--scheduler", "none", "--region", "9,50,10,51"]
    assert main.main(["build", *flags]) == 2
    said = capsys.readouterr().err
    assert "catalog cdse: CDSE_S3_ACCESS_KEY_ID, CDSE_S3_SECRET_ACCESS_KEY" in said
    assert not list(tmp_path.iterdir())


def test_the_table_says_who_has_what_and_what_is_set_here_and_never_what_it_holds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("CDSE_USERNAME", "hidden-name")
    flags = ["--dataset", "ssl4eo-s", "--catalog", "s5p-*=https://me:hidden-word@stac.example/v1?key=hidden-key"]
    assert main.main(["catalogs", *flags]) == 0
    lines = capsys.readouterr().out.splitlines()
    head = lines[0].split()
    assert head == ["source", *table(), "https://stac.example/v1"]
    olci = next(line for line in lines if line.startswith("s3olci"))
    assert olci.split("  ")[1].strip() == "-" or " - " in olci
    assert "sentinel-3-olci-1-efr-ntc *" in olci
    assert "planetary-computer: no account; hrefs are signed" in lines
    assert "cdse-https: user and password in CDSE_USERNAME and CDSE_PASSWORD: not set here: CDSE_PASSWORD" in lines
    monkeypatch.setenv("CDSE_PASSWORD", "hidden-word")
    assert main.main(["catalogs", *flags]) == 0
    said = capsys.readouterr().out
    assert "cdse-https: user and password in CDSE_USERNAME and CDSE_PASSWORD: set here" in said
    assert "hidden" not in said + "".join(lines)


def test_the_table_says_what_a_flag_is_to_name(capsys: pytest.CaptureFixture[str]):
    for flags, want in (([], "--labels"), (["--catalog", "dynamicworld=https://maps.example"], "dynamicworld *")):
        assert main.main(["catalogs", "--dataset", "ssl4eo-s12-ml", *flags]) == 0
        head, *lines = capsys.readouterr().out.splitlines()
        maps = next(line for line in lines if line.startswith("dynamicworld"))
        assert maps.endswith(want)
        assert ("labels" in head.split()) == (not flags)
        assert any(line.startswith("labels: whom --labels names: a file of labels") for line in lines) == (not flags)


def test_a_row_that_states_its_access_wrongly_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "catalogs.toml").write_text('[x]\ntitle = "t"\nurl = "https://x"\naccess.https = { unsigned = true }\n')
    monkeypatch.setattr(catalogs.files, "folder", lambda name: tmp_path)
    with pytest.raises(ConfigError, match="expected token_url or netrc"):
        resolve("x")


def test_what_lets_one_in_at_a_collection_is_the_same_for_each_row_of_its_catalog():
    # One URL may have several rows, with forms of their own: Earth Search has the very same GLO-30 for all of its rows.
    specs = {**load_dataset("ssl4eo-s").specs, **load_dataset("ssl4eo-s12-ml").specs}
    found: dict[tuple[str, str, str], list[CatalogForm]] = {}
    for row in table():
        catalog = resolve(row, "http://127.0.0.1")
        for name, spec in specs.items():
            if (form := catalog.form_of(spec)) is not None and catalog.alternate == "":
                found.setdefault((catalog.location, name, form.collection), []).append(form)
    assert len(found["https://earth-search.aws.element84.com/v1", "dem", "cop-dem-glo-30"]) == 3
    for forms in found.values():
        assert all(form == forms[0] for form in forms)
