"""Whatever a catalog's href or a server's answer is: the patches that need that file fail, with its name, and no others."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from curation.ledger import Ledger
from curation.model import ReadError, Status
from curation.read import ranges, sparse
from curation.read.cog import Asset, Read, Reader
from curation.sources import ArraySpec
from tests import world as tiny
from tests.loopback import Request, serving
from tests.read.test_cog import location
from tests.run import Curate
from tests.test_faults import RECIPE

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
    "http:///s.tif",
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
    "s3://",
    "gs:///s.tif",
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
    monkeypatch.setattr(ranges, "READ_S", 2)
    monkeypatch.setattr(sparse, "_heads", OrderedDict())


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
        assert reader.prefetch([[Read(asset, ARRAY, AT)], [Read(asset, ARRAY, None)]]) == 2
        for use in (
            lambda: reader.read([asset], ARRAY, AT),
            lambda: reader.coarse(asset, ARRAY),
            lambda: reader.covered([asset], ARRAY, AT),
        ):
            with pytest.raises(ReadError) as caught:
                use()
            assert str(caught.value).startswith(f"{href}: ")


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
