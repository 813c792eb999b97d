"""What may be told of a text in which URLs stand; and a whole job, of which nothing secret is told or written."""

from __future__ import annotations

import contextlib
import gzip
import json
import logging
import pickle
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.cli import main
from curation.errors import printable as printable_module
from curation.errors.printable import Printable, lets_in, printable, remember, shown, storable, unsigned
from curation.outcomes import Status
from curation.pack.export.export import FORMS
from curation.read import ranges
from curation.recipe.catalogs import resolve
from curation.scenes import api
from curation.store.ledger import Ledger
from curation.store.objects import Store
from tests import buckets
from tests.loopback import Request, serving
from tests.scenes.catalog import Served
from tests.world import World

pytestmark = pytest.mark.alone

TOLD = {
    "https://me:S3CRET@host/a/b.tif": "https://host/a/b.tif",
    "https://S3CRET@host:8443/a?sig=S3CRET&se=1": "https://host:8443/a",
    "https://host/a/b@c.tif#S3CRET": "https://host/a/b@c.tif",
    "s3://KEY:ab/S3CRET+x@bucket/prefix": "s3://bucket/prefix",
    "s3://KEY:S3CRET?#S3CRET@bucket/prefix": "s3://bucket/prefix",
    "http://[::1]:80/a?S3CRET": "http://[::1]:80/a",
    "abfss://box@account.dfs.core.windows.net/a?S3CRET": "abfss://box@account.dfs.core.windows.net/a",
    "a/b.tif?sig=S3CRET": "a/b.tif",
    "//S3CRET@host/a?sig=S3CRET": "//host/a",
    "//me:S3CRET@host/a": "//host/a",
    "/vsicurl/https://me:S3CRET@host/a": "/vsicurl/https://host/a",
    "https://proxy/b/https://S3CRET@host/a?sig=S3CRET": "https://proxy/b/https://host/a",
    "https://proxy/https%3A%2F%2Fme%3AS3CRET%40host%2Fa%20b%3Fsig%3DS3CRET/0": "https://proxy/https%3A%2F%2Fhost%2Fa%20b/0",
    "https://proxy/https%3a%2f%2Fhost%2Fa%20b/0": "https://proxy/https%3a%2f%2Fhost%2Fa%20b/0",
    "/data//a@b/c": "/data//a@b/c",
    "no URL at all": "no URL at all",
}


@pytest.mark.parametrize("url", TOLD)
def test_a_url_is_told_without_what_lets_anybody_in(url):
    assert unsigned(url) == TOLD[url]
    assert printable(url) == TOLD[url]
    for text in (
        f"{url}: not found",
        f"'{url}'",
        f'"{url}", and',
        f"<{url}>",
        f"Max retries exceeded with url: {url} (x)",
    ):
        assert printable(text) == text.replace(url, TOLD[url])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("exceeded with url: /search?token=S3CRET (Caused by", "exceeded with url: /search (Caused by"),
        (r'{"self": "https:\/\/me:S3CRET@host\/a?x=S3CRET"}', '{"self": "https://host/a"}'),
        ("https://host/a?x=it's'S3CRET, gone", "https://host/a, gone"),
        ("bad token=S3CRET, sig=S3CRET", "bad token=…, sig=…"),
        ("{'Authorization': 'Basic UzNDUkVU', 'Accept': '*/*'}", "{'Authorization': '…', 'Accept': '*/*'}"),
        ("('Authorization', 'Bearer UzNDUkVU')", "('Authorization', '…')"),
        ("Ocp-Apim-Subscription-Key: S3CRET", "Ocp-Apim-Subscription-Key: …"),
        ("AccountName=me;AccountKey=S3CRET==;EndpointSuffix=x", "AccountName=me;AccountKey=…;EndpointSuffix=x"),
        ("PC_SDK_SUBSCRIPTION_KEY=S3CRET", "PC_SDK_SUBSCRIPTION_KEY=…"),
        ("""{'token': 'S3C RET', "api_key" : "it's S3CRET"}""", """{'token': '…', "api_key" : "…"}"""),
        ("no such file: https:/me:S3CRET@host/x", "no such file: https:/host/x"),
        ("catalog 'me:S3CRET@host:80/x'", "catalog 'host:80/x'"),
        ("//me:S3CRET@host/x", "//host/x"),
        ("'https://me:S3CRE …", "'https://… …"),
        ("http://host:port@", "http://"),
        ("at 12:30 to me@host.example", "at 12:30 to me@host.example"),
        ("did you mean grid? known: a, b", "did you mean grid? known: a, b"),
        ("3 of 4 patches (75 %?)", "3 of 4 patches (75 %?)"),
        (r"time = '(?P<date>\d+)_(?:a|b)'", r"time = '(?P<date>\d+)_(?:a|b)'"),
        ("failed (?sig=S3CRET)", "failed ()"),
    ],
)
def test_a_text_is_told_without_what_lets_anybody_in(text, told):
    assert printable(text) == told
    assert printable(ValueError(text)) == told


@given(st.text(alphabet="ab:/?#@'\" .s3[]=&\\", max_size=40))
def test_what_is_printable_stays_as_it_is(text):
    assert printable(printable(text)) == printable(text)
    assert printable(printable(f"https://{text}")) == printable(f"https://{text}")


@pytest.mark.parametrize("before", [" ", "\t\n"])
def test_space_before_an_href_keeps_no_secret(before):
    assert unsigned(f"{before}https://me:S3CRET@host/a?S3CRET") == "https://host/a"


@pytest.mark.parametrize("url", ["https://me:S3CRETS3CRET@host/a?S3CRET", "https://S3CRETS3CRET@host/a"])
@pytest.mark.parametrize("limit", range(1, 60, 3))
def test_what_is_shown_in_part_is_printable_before_it_is_cut(limit, url):
    assert "S3C" not in printable(shown(url, limit))
    assert "S3C" not in printable(shown([url], limit))


@pytest.mark.parametrize(
    ("text", "does"),
    [
        ("https://me:S3CRET@host/a", True),
        ("see https://S3CRET@host", True),
        ("https://host/a?x=1&X-Amz-Signature=S3CRET", True),
        ("https://host/a?sig=S3CRET", True),
        ("https://host/a#access_token=S3CRET", True),
        ("https://host/photo?id=5&signed=1", False),
        ("https://host/a@b.jpg", False),
        ("abfss://box@account.dfs.core.windows.net/a", False),
        ("12:30 me@host", False),
    ],
)
def test_a_text_lets_in_whose_url_has_a_user_or_what_is_called_a_secret(text: str, does: bool):
    assert lets_in(text) is does


def test_what_is_stored_is_printable_wherever_it_stands():
    value = {"a": ["https://me:S3CRET@host", 1, None], "https://host?S3CRET": {"b": "what?isthis"}}
    assert storable(value) == {"a": ["https://host", 1, None], "https://host": {"b": "what?isthis"}}


def test_a_secret_that_the_command_was_given_is_not_told_where_a_server_repeats_it(monkeypatch):
    monkeypatch.setattr(printable_module, "_known", set())
    remember("https://me:pass%2Fword1@host/?token=abcdef-7&collection=sentinel-2#fragment1")
    assert printable("no: abcdef-7, pass/word1, pass%2Fword1, fragment1; sentinel-2") == "no: …, …, …, …; sentinel-2"
    remember("https://me:europe@host/?token=password#secret")
    assert printable("/data/secret/europe: password") == "/data/secret/europe: password", "they are words"


def test_lines_of_loggers_are_printable_with_their_tracebacks():
    record = logging.LogRecord("x", logging.INFO, "f", 1, "at %s", ("https://me:S3CRET@host/?S3CRET",), None)
    try:
        raise ValueError("https://me:S3CRET@host/?S3CRET")
    except ValueError as err:
        record.exc_info = (ValueError, err, err.__traceback__)
    assert Printable().filter(record)
    assert "S3CRET" not in logging.Formatter().format(record)
    assert "ValueError: https://host/" in logging.Formatter().format(record)


def test_a_catalog_is_called_and_kept_without_its_secrets_which_no_worker_gets():
    found = resolve("https://me:S3CRET@host/stac/?token=S3CRET#S3CRET")
    assert (found.identity, found.location, found.base) == ("https://host/stac", "https://host/stac", "https://host")
    assert found.slug == "host-stac"
    assert "S3CRET" in found.secret_url
    assert "S3CRET" not in repr(found)
    assert b"S3CRET" not in pickle.dumps(found)
    assert pickle.loads(pickle.dumps(found)) == found
    assert resolve("https://host/stac").identity == found.identity


# ---- a whole job -----------------------------------------------------------------------------------------------------

SECRETS = [
    f"{who}{what}"
    for who in ("CATALOG", "HREF", "ROOT", "MOVED", "ECHO", "COLUMN")
    for what in ("PASS1", "TOKEN1", "FRAG1")
]


class Archive:
    """A STAC API with its files, which moves some of them; hrefs have secrets wherever a URL can."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.items = json.loads(world.catalog.read_text())["features"]
        for item in self.items:
            for name, asset in item["assets"].items():
                before = " " * (name == "B03")  # some catalogs write one
                asset["href"] = f"{before}http://me:HREFPASS1@HOST/data/{asset['href']}?sig=HREFTOKEN1#HREFFRAG1"
        self.served = Served(self.items)
        self.is_broken = False
        self.asked: list[tuple[str, str | None]] = []
        """(path, authorization) of requests to the API."""

    def answer(self, request: Request) -> None:
        host = request.headers["Host"]
        path = request.path.partition("?")[0]
        if not path.startswith(("/data/", "/moved/")):
            self.asked.append((request.path, request.headers["Authorization"]))
            if self.is_broken and path == "/search":
                told = f"no good: http://me:ECHOPASS1@{host}/search?token=ECHOTOKEN1#ECHOFRAG1 CATALOGTOKEN1"
                request.send(500, told.encode())
                return
            text = json.dumps(self.items).replace("HOST", host)
            self.served.items = json.loads(text)
            self.served.answer(request)
        elif path.startswith("/data/") and path.endswith("B02.tif"):
            to = (
                f"http://me:MOVEDPASS1@{host}{path.replace('/data/', '/moved/')}?X-Amz-Signature=MOVEDTOKEN1#MOVEDFRAG1"
            )
            request.send(302, Location=to)
        elif self.is_broken and "/s2/" in path:
            request.send(404, b"<Error>http://me:ECHOPASS1@host?sig=ECHOTOKEN1</Error>")
        else:
            data = (self.world.folder / path.removeprefix("/data/").removeprefix("/moved/")).read_bytes()
            first, _, last = request.headers["Range"].removeprefix("bytes=").partition("-")
            part = data[int(first) : int(last) + 1]
            request.send(206, part, Content_Range=f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}")


@contextlib.contextmanager
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """URL of a bucket, with secrets; how it is reached stands in the environment."""
    with buckets.bucket() as url:
        buckets.reached_at(url, monkeypatch)
        yield "s3://KEY:ROOTPASS1@bucket/datasets?x=ROOTTOKEN1#ROOTFRAG1"


def found_in(data: bytes) -> list[str]:
    plain = gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
    return [s for s in SECRETS if s.encode() in data + plain]


@pytest.mark.slow
@pytest.mark.timeout(1200)  # some twenty commands, half of them with a cluster of their own
@pytest.mark.parametrize(("scheduler", "where"), [("none", "folder"), ("local", "bucket")])
def test_of_a_whole_job_nothing_secret_is_told_logged_or_written(
    world, tmp_path, monkeypatch, capfd, caplog, where, scheduler
):
    monkeypatch.setattr(api, "BACKOFF_S", 0)
    monkeypatch.setattr(ranges, "PAUSE_S", 0)
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.INFO, "matplotlib")  # tells of each font
    archive = Archive(world)
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(serving(archive.answer))
        root = str(tmp_path / "root") if where == "folder" else stack.enter_context(bucket(monkeypatch))
        catalog = f"{url.replace('//', '//me:CATALOGPASS1@')}/?token=CATALOGTOKEN1#CATALOGFRAG1"
        recipe = tmp_path / "recipe" / "recipe.toml"
        recipe.parent.mkdir()
        first, *rows = (world.folder / "places.csv").read_text().split()
        rows = [f"{row},http://me:COLUMNPASS1@host/a.jpg?sig=COLUMNTOKEN1#COLUMNFRAG1" for row in rows]
        (recipe.parent / "places.csv").write_text("\n".join([f"{first},seen_at", *rows, ""]))
        recipe.write_text(f"catalog = {json.dumps(catalog)}\n{world.recipe.read_text()}")

        def curate(verb: str, *flags: str) -> int:
            works = ["--scheduler", scheduler, "--workers", "1"] if verb in ("build", "pack") else []
            return main.main([*verb.split(), "--dataset", str(recipe), "--root", root, "-v", *works, *flags])

        assert curate("build", "--dry-run") == 0
        archive.is_broken = True
        assert curate("build", "--season", "summer", "--limit", "4") == 1  # no search is answered
        archive.is_broken = False
        assert curate("build", "--season", "static", "--limit", "8") == 0
        assert curate("build", "--season", "summer", "--limit", "2") == 0
        archive.is_broken = True  # searches are saved; files are gone
        assert curate("build", "--season", "summer", "--limit", "4") == 1
        archive.is_broken = False
        assert curate("build", "--limit", "8") == 0
        assert curate("pack", "--catalog", catalog) == 0
        assert curate("verify") == 0
        assert curate("report") == 0
        store = Store(root).child("tiny")
        found = list(Ledger.replay(store, "europe", "summer").outcomes())
        name = next(o.id for o in found if o.status is Status.OK)
        assert curate("show", f"europe/summer/{name}", "--out", str(tmp_path / "shown.png")) == 0
        assert curate("build", "--catalog", f"ftp://me:CATALOGPASS1@{url[7:]}?CATALOGTOKEN1") == 2
        assert curate("build", "--catalog", "http://me:CATALOGPASS1@127.0.0.1:9/?token=CATALOGTOKEN1") == 2
        kept = str(tmp_path / "exports") if where == "folder" else root.replace("datasets", "exports")
        for form in (f for f in FORMS if f != "kuro-siwo"):  # there are no floods
            to = kept.replace("exports", f"exports/{form}")
            how = ["--scheduler", "none", "--season", "summer", "--limit", "1"]
            assert (
                curate("export", "--format", form, "--to", to, *(how[:2] if form in ("stac", "parquet") else how)) == 0
            )
        assert curate("export", "--format", "http://me:ROOTPASS1@h/?sig=ROOTTOKEN1", "--to", str(tmp_path / "x")) == 2
        assert curate("show", f"europe/summer/{name}", "--tif", str(tmp_path / "tifs")) == 0
        assert curate("worst", "--by", "s1rtc_gap_days", "--n", "2", "--out", str(tmp_path / "worst.html")) == 0
        assert curate("gc") == 0
        assert curate("catalogs", "--catalog", catalog) == 0
        assert main.main(["diff", root, root, "--dataset", "tiny", "--json"]) == 0
        assert main.main(["source", "check", "s2l2a", "--catalog", catalog, "-v"]) in (0, 1)
        archive.is_broken = True
        assert main.main(["source", "check", "s2l2a", "--catalog", catalog]) == 1
        archive.is_broken = False
        for labels in (catalog, f"{catalog}/labels.json", "ftp://me:CATALOGPASS1@h/l.csv?sig=CATALOGTOKEN1"):
            assert curate("labels import", labels) == 2
        assert curate("labels earthengine", "--endpoint", "http://me:ROOTPASS1@h/?sig=ROOTTOKEN1#ROOTFRAG1") == 2
        assert curate("labels model", "http://me:ROOTPASS1@h/m.onnx?sig=ROOTTOKEN1#ROOTFRAG1") == 2
        if where == "bucket":
            assert curate("verify", "--root", "s3://KEY:ROOTPASS1@none/x?ROOTTOKEN1#ROOTFRAG1") == 1  # no such bucket
            assert curate("verify", "--root", "http://me:ROOTPASS1@127.0.0.1:9/x?ROOTTOKEN1#ROOTFRAG1") == 2
        with pytest.raises(SystemExit):
            curate("verify", "--rot", "s3://KEY:ROOTPASS1@none/x?ROOTTOKEN1")

        assert {a for _, a in archive.asked} == {"Basic bWU6Q0FUQUxPR1BBU1Mx"}, "the catalog is asked with them"
        assert all("token=CATALOGTOKEN1" in p for p, _ in archive.asked)
        objects = {s.key: store.get(s.key) for s in store.list()}
        if where == "bucket":
            exports = Store(kept)
            objects |= {f"exports/{s.key}": exports.get(s.key) for s in exports.list()}
    out, err = capfd.readouterr()
    (tmp_path / "out.txt").write_text(out + err)
    assert [s for s in SECRETS if s in out + err] == []
    assert [(r.name, r.getMessage()) for r in caplog.records if any(s in r.getMessage() for s in SECRETS)] == []
    assert len(objects) > 50
    given_by_hand = {recipe, recipe.parent / "places.csv"}
    files = {str(p): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file() and p not in given_by_hand}
    assert {key for key, data in (objects | files).items() if found_in(data) or found_in(key.encode())} == set()
