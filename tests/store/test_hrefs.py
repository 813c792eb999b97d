"""Whatever a catalog's href or a server's answer is: the patches that need that file fail, with its name, and no others."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from cachetools import LRUCache

from curation.cli import main
from curation.errors import AccessError, ConfigError, ReadError, SettingsError
from curation.outcomes import Status
from curation.read import http, ranges, sparse, variables
from curation.read.reader import Asset, Read, Reader
from curation.recipe.arrays import ArraySpec
from curation.recipe.catalogs import resolve
from curation.scenes import api
from curation.scenes.saved import opened
from curation.store.hrefs import LocalHrefError, located
from curation.store.ledger import Ledger
from tests import world as tiny
from tests.build.test_faults import RECIPE
from tests.loopback import Request, serving
from tests.properties import fast
from tests.read.test_reader import location
from tests.run import Curate
from tests.scenes.catalog import Served

HREFS = [
    "",
    "/",
    ".",
    "/vsicurl/http://127.0.0.1:9/s.tif",
    "/vsis3/bucket/s.tif",
    "http://[::1",
    "http://[::1]:99999/s.tif",
    "http://127.0.0.1:port/s.tif",
    "http://127.0.0.1:99999/s.tif",
    "http://exa\u0301\u200bmple..invalid/s.tif",
    "http://" + "a" * 300 + "/s.tif",
    "http://127.0.0.1:9/a b\r\nX: y",
    "s\0.tif",
    "/tmp/s\0.tif",
    "file://",
    "file:///",
    "file://%00",
    "file://[::1/s.tif",
    "file:s.tif",
    "data:image/tiff;base64,SUkqAAgAAAA=",
    "gopher://example.invalid/s.tif",
    "://",
    *(
        "http:///s.tif",
        "https:///s.tif",
        "http://h:port/s.tif",
        "http://h:99999/s.tif",
        "http://a b/s.tif",
        "http://a..b/s.tif",
    ),
    *(
        "s3://",
        "s3:///s.tif",
        "gs:///s.tif",
        "az://",
        "azure:///s.tif",
        "abfs://x@y/s.tif",
        "s3://a b/s.tif",
        "s3://b:99999/s.tif",
    ),
    "urn:x:y",
    "\udcff.tif",
    "x" * 5000,
    "/dev/zero",
]

ARRAY = ArraySpec(res_m=10, bands=["b"], dtype="uint16", nodata=0, unit="1")
AT = location(7.0, 51.0)


def lying(length: str = "32768", answered: str = "bytes 0-32767/99999", **headers: str) -> Callable[[Request], None]:
    def answer(request: Request) -> None:
        request.send_response(206)
        for name, value in ({"Content-Length": length, "Content-Range": answered} | headers).items():
            if value:
                request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(bytes(32768))
        request.close_connection = True

    return answer


def moved(to: str) -> Callable[[Request], None]:
    return lambda request: request.send(302, Location=to)


LIES: dict[str, Callable[[Request], None]] = {
    "a length of letters": lying("abc"),
    "a negative length": lying("-5"),
    "two lengths": lying("5, 6"),
    "a length of many digits": lying("9" * 5000),
    "a range of many digits": lying("32768", f"bytes 0-32767/{'9' * 5000}"),
    "a range of letters": lying("32768", "bytes a-b/c"),
    "a range of other digits": lying("32768", "bytes 0-32767/\u0663"[:14] + "x"),
    "no range": lying("32768", ""),
    "chunks that are none": lying("", Transfer_Encoding="chunked"),
    "gzip that is none": lying(Content_Encoding="gzip"),
    "a redirect to a folder": moved("file:///etc"),
    "a redirect to no URL": moved("http://[::1"),
    "a redirect to itself": moved("/s2/B11.tif"),
    "a redirect to nowhere": moved(""),
    "no number to wait": lambda request: request.send(503, Retry_After="nan"),
    "long ago to wait": lambda request: request.send(503, Retry_After="Mon, 01 Jan 0001 00:00:00 +2359"),
    "no HTTP": lambda request: [request.wfile.write(b"\xff\0\xfe" * 99), setattr(request, "close_connection", True)],
    "a status of letters": lambda request: [
        request.wfile.write(b"HTTP/1.1 abc OK\r\n\r\n"),
        setattr(request, "close_connection", True),
    ],
}


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "PAUSE_S", 0)
    monkeypatch.setattr(ranges, "ATTEMPTS", 2)
    monkeypatch.setattr(http, "READ_S", 2)
    monkeypatch.setattr(sparse, "_heads", LRUCache(sparse._MOST_HEADS))


@pytest.fixture(params=[*HREFS, *LIES], ids=lambda p: ascii(p)[1:41])
def href(request: pytest.FixtureRequest) -> Iterator[str]:
    """Of a file that cannot be read."""
    if request.param in LIES:
        with serving(LIES[request.param]) as url:
            yield f"{url}/s2/B11.tif"
    else:
        yield request.param


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # urllib3 leaves an answer of strange headers
def test_a_href_that_cannot_be_read_is_an_error_of_that_file_and_prefetching_goes_on(tmp_path, href):
    asset = Asset(href, "none")
    with Reader(str(tmp_path)) as reader:
        assert len(list(reader.ahead([[Read(asset, ARRAY, AT)], [Read(asset, ARRAY, None)]]))) == 2
        for use in (
            lambda: reader.read([asset], ARRAY, AT),
            lambda: reader.coarse(asset, ARRAY),
            lambda: reader.covered([asset], ARRAY, AT),
        ):
            with pytest.raises(ReadError) as caught:
                use()
            assert str(caught.value).startswith(f"{href}: ")


NEVER = [h for h in HREFS if not h.startswith("http://127.0.0.1:9/")]
"""Of them, those that nobody could be asked for."""


@pytest.mark.parametrize("href", NEVER, ids=lambda p: ascii(p)[1:41])
def test_a_href_that_nobody_can_be_asked_for_is_no_fault_that_may_pass(tmp_path, href):
    with Reader(str(tmp_path)) as reader, pytest.raises(ReadError) as caught:
        reader.read([Asset(href, "none")], ARRAY, AT)
    assert type(caught.value) in (ReadError, LocalHrefError)


def test_a_redirect_to_where_nobody_can_be_asked_is_no_fault_that_may_pass(tmp_path):
    with (
        serving(moved("http://h:99999/s.tif")) as url,
        Reader(str(tmp_path)) as reader,
        pytest.raises(ReadError) as caught,
    ):
        reader.read([Asset(f"{url}/s.tif", "none")], ARRAY, AT)
    assert type(caught.value) is ReadError


def test_a_container_without_its_account_is_a_matter_of_settings_and_no_fault_of_its_files(tmp_path, monkeypatch):
    for name in [n for n in os.environ if n.upper().startswith("AZURE_")]:
        monkeypatch.delenv(name)
    with Reader(str(tmp_path)) as reader, pytest.raises(AccessError, match="AZURE_STORAGE_ACCOUNT_NAME") as caught:
        reader.read([Asset("az://container/s.tif", "none")], ARRAY, AT)
    assert str(caught.value).startswith("az://container/s.tif: ")


@pytest.mark.parametrize("proxy", ["ftp://user:S3CRET@h:9", "http://user:S3CRET@h:99999", "http://[::1"])
def test_a_proxy_that_is_none_is_a_matter_of_settings_and_its_password_is_not_told(tmp_path, monkeypatch, proxy):
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", proxy)
    with Reader(str(tmp_path)) as reader, pytest.raises(SettingsError) as caught:
        reader.read([Asset("http://files.example/s.tif", "none")], ARRAY, AT)
    assert "S3CRET" not in str(caught.value)


class Two(tiny.World):
    """A scene of the west, and one of all whose B11 is elsewhere: the east needs it."""

    def __init__(self, folder: Path, href: str) -> None:
        super().__init__(folder)
        self.s2("2021-07-10", "03.01", east_m=3000)
        self.s2("2021-07-16", "03.01", cloud_pct=30.0)
        self.items[1]["assets"]["B11"]["href"] = href
        self.catalog.write_text(json.dumps({"type": "FeatureCollection", "features": self.items}))
        self.recipe.write_text(RECIPE.replace("slab_patches = 2", "slab_patches = 4"))
        places = [tiny.corner(row, col) for row in (0, 1) for col in (0, 4)]
        (folder / "places.csv").write_text(
            "".join(["x0_m,y0_m,epsg\n", *(f"{x},{y},{tiny.EPSG}\n" for x, y in places)])
        )


@pytest.mark.parametrize("bad", ["/vsicurl/http://127.0.0.1:9/s.tif", "http://[::1", "s\0.tif", "a length of letters"])
@pytest.mark.slow
def test_of_a_slab_the_patches_that_need_a_bad_href_fail_with_its_name_and_the_others_are_ok(tmp_path, bad):
    with serving(LIES.get(bad, LIES["no HTTP"])) as url:
        href = f"{url}/s2/B11.tif" if bad in LIES else bad
        curate = Curate(Two(tmp_path / "world", href), tmp_path / "root")
        assert curate() == 1
    found = {o.id: o for o in Ledger.replay(curate.store, "europe", "summer").outcomes()}
    assert {i: o.status for i, o in found.items()} == {
        tiny.name(row, col): Status.OK if col == 0 else Status.FAILED for row in (0, 1) for col in (0, 4)
    }
    kind = (
        "PassingError" if bad in LIES else "ReadError"
    )  # a server may mend its ways, and no other scene is taken meanwhile
    for row in (0, 1):
        source = found[tiny.name(row, 4)].sources["s2l2a"]
        assert source.code == kind
        assert str(source.cause).startswith(f"{kind}: {href}: ")


# ---- files of this machine -------------------------------------------------------------------------------------------

SECRET = b"root:S3CRET:0:0\n"
"""What a local file begins with that a catalog must not make anybody read."""

LOCAL = [
    "{file}",
    "/{file}",
    "//{file}",
    "{dots}{file}",
    "./{dots}{file}",
    "s2/{dots}{file}",
    "%2e%2e/{dots}{file}",
    "file://{file}",
    "file:///{file}",
    "file:{file}",
    "FILE://{file}",
    "File:{file}",
    "file://localhost{file}",
    "file://host/%2e%2e{file}",
    " file://{file}",
    "\tfile://{file}",
    "/vsizip/{file}",
    "/vsimem/../{file}",
    "/vsicurl/file://{file}",
    "vsizip/{dots}{file}",
]
BUILT = ("{file}", "{dots}{file}", "file://{file}", "FILE://{file}", " file://{file}", "/vsizip/{file}")
"""Of these, those that a whole build meets."""

REMOTE = [
    "{url}/{file}",
    "{url}//{file}",
    "{url}/file://{file}",
    "{url}/moved?to=file://{file}",
    "{url}/moved?to={file}",
]


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file that begins with `SECRET`, and is one of this machine's own."""
    file = tmp_path / "outside" / "passwd"
    file.parent.mkdir()
    file.write_bytes(SECRET * 9)
    return file


def formed(form: str, secret: Path, url: str = "") -> str:
    return form.format(file=secret, dots="../" * 12, url=url)


@pytest.mark.parametrize("form", LOCAL)
@pytest.mark.parametrize("kind", ["folder", "server", "bucket"])
def test_no_href_leads_to_a_file_of_this_machine_outside_the_catalogs_folder(tmp_path, secret, form, kind):
    base = {"folder": str(tmp_path / "catalog"), "server": "http://127.0.0.1:9", "bucket": "s3://bucket/a"}[kind]
    leads, why = "", ""
    try:
        leads = located(formed(form, secret), base, ())
    except LocalHrefError as err:
        why = f"{err.code}: {err}"
    except ReadError as err:
        why = str(err)
    assert "expected a path, or a URL" in why or "local_href" in why or leads.startswith(f"{base}/")
    assert not (kind == "folder" and ".." in leads)


@pytest.mark.parametrize("base", ["{folder}", "https://files.example"])
@pytest.mark.parametrize(
    "href", ["ftp://host/a.tif", "memory://a.tif", "gopher://h/a", "vsicurl://h/a.tif", "9p://h/a"]
)
def test_a_scheme_of_neither_servers_nor_buckets_is_told_as_that_whatever_folders_may_be_read(tmp_path, base, href):
    with pytest.raises(ReadError, match="expected a path, or a URL that begins with one of http://, https://, s3://"):
        located(href, base.format(folder=tmp_path), ["/"])


@pytest.mark.parametrize("base", ["", "relative"])
def test_hrefs_of_a_local_catalog_lead_below_its_folder_and_where_the_recipe_says(tmp_path, secret, base, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "catalog"
    (folder / "a b").mkdir(parents=True)
    for name in ("a b/x y.tif", "100%.tif", "a%20b.tif"):
        (folder / name).write_bytes(b"")
    (folder / "link").symlink_to(secret.parent)
    told = "catalog" if base else str(folder)
    for href, path in {
        "a b/x y.tif": "a b/x y.tif",
        "a%20b/x%20y.tif": "a b/x y.tif",
        "./a b/../100%.tif": "100%.tif",
        "a%20b.tif": "a%20b.tif",
        f"{folder}/a b/x y.tif": "a b/x y.tif",
        f"file://{folder}/a%20b/x%20y.tif": "a b/x y.tif",
        "link/passwd": "link/passwd",
        "nowhere.tif": "nowhere.tif",
    }.items():
        assert located(href, told, ()) == str(folder / path)
    for let in (str(secret.parent), "/"):
        assert located(str(secret), told, (let,)) == str(secret)
        assert located(f"file://{secret}", "http://127.0.0.1:9", (let,)) == str(secret)
    with pytest.raises(LocalHrefError):
        located(f"{folder}-other/x.tif", told, ())
    assert located(str(secret), told) == str(secret), "where the caller vouches for it"
    with pytest.raises(LocalHrefError, match="the catalog is a remote one"):
        located(str(secret), "http://127.0.0.1:9")


@pytest.mark.parametrize(
    "form", fast(("{file}", "{url}/moved?to={file}"), [*(f for f in LOCAL if f in BUILT), *REMOTE])
)
@pytest.mark.parametrize("kind", ["remote", "local"])
def test_a_catalog_makes_no_build_read_a_file_of_this_machine_and_nothing_of_it_is_told(
    tmp_path, secret, form, kind, capsys, monkeypatch
):
    monkeypatch.setattr(api, "BACKOFF_S", 0)
    opened_files: list[str] = []
    from_disk = ranges._from_disk
    monkeypatch.setattr(ranges, "_from_disk", lambda p, *a: (opened_files.append(str(p)), from_disk(p, *a))[1])

    def answer(request: Request) -> None:
        if request.path.startswith("/moved"):
            request.send(302, Location=request.path.partition("?to=")[2])
        elif request.command == "POST" or request.path in ("/", "/collections"):
            served.answer(request)
        else:
            request.send(404)

    with serving(answer) as url:
        world = Two(tmp_path / "world", formed(form, secret, url))
        if kind == "remote":
            for item in world.items:
                for name, asset in item["assets"].items():
                    if name != "B11" or item is world.items[0]:
                        asset["href"] = str(world.folder / asset["href"])
            world.recipe.write_text(
                f"{world.recipe.read_text()}\n[search]\nlocal = [{json.dumps(str(world.folder))}]\n"
            )
        served = Served(world.items)
        curate = Curate(world, tmp_path / "root")
        catalog = ["--catalog", url] if kind == "remote" else []
        assert main.main([*curate.arguments("build", "--season", "summer"), *catalog]) == 1
    told = "".join(capsys.readouterr()) + "".join(
        p.read_bytes().decode("utf-8", "replace") for p in (tmp_path / "root").rglob("*") if p.is_file()
    )
    assert "S3CRET" not in told
    assert str(secret) not in opened_files
    found = {o.id: o for o in Ledger.replay(curate.store, "europe", "summer").outcomes()}
    source = found[tiny.name(0, 4)].sources["s2l2a"]
    assert source.status is Status.FAILED
    assert source.code in ("local_href", "ReadError")
    if form in ("{file}", "file://{file}", "FILE://{file}", "/vsizip/{file}"):
        assert source.code == "local_href"
    assert found[tiny.name(0, 0)].status is Status.OK


@pytest.mark.parametrize("rel", ["data", "next"])
def test_no_link_of_a_catalog_makes_anybody_read_a_file_of_this_machine(tmp_path, secret, rel, monkeypatch):
    monkeypatch.setattr(api, "BACKOFF_S", 0)
    page = tmp_path / "page.json"
    page.write_text(json.dumps({"collections": [{"id": "S3CRET", "type": "Collection"}], "links": [], "features": []}))
    served = Served([])

    def answer(request: Request) -> None:
        host = f"http://{request.headers['Host']}"
        body = served._body(request, host)
        for link in body["links"]:
            if link["rel"] == rel:
                link["href"] = f"file://{page}"
        if rel == "next" and request.path == "/collections":
            body["links"] = [{"rel": "next", "href": f"file://{page}"}]
            body["collections"] = Served([{"collection": "one"}])._body(request, host)["collections"]
        request.send(200, json.dumps(body).encode(), Content_Type="application/json")

    with serving(answer) as url, pytest.raises(ConfigError, match="expected http or https") as caught:
        opened(resolve(url)).collections()
    assert "S3CRET" not in str(caught.value)


def test_a_link_within_a_file_to_another_file_is_not_followed(tmp_path):
    with h5py.File(tmp_path / "own.nc", "w") as own:
        own["a/lat"] = np.zeros((3, 3))
    with h5py.File(tmp_path / "sent.nc", "w") as sent:
        sent["b/lat"] = np.ones((3, 3))
        sent["soft"] = h5py.SoftLink("/b/lat")
        sent["loop"] = h5py.SoftLink("/loop")
        sent["outside"] = h5py.ExternalLink(str(tmp_path / "own.nc"), "/a")
        sent["through"] = h5py.SoftLink("/outside/lat")
    with h5py.File(tmp_path / "sent.nc") as sent:
        assert variables.find(sent, "soft")[0, 0] == 1
        for path in ("outside/lat", "through", "/outside"):
            assert variables.find(sent, path) == "outside is a link to another file, which is not followed"
        assert variables.find(sent, "loop") == "loop is a link that leads nowhere"
        assert variables.find(sent, "b/lon") == "/b has lat"
