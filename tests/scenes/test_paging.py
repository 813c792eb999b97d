"""An API's pages: all of them, whatever leads to the next, and an end where there is none."""

import gzip
import json
import urllib.parse
import zlib

import pytest

from curation.errors import ConfigError, CurationError
from curation.recipe.catalogs import resolve
from curation.scenes import api, paging
from curation.scenes.paging import Asked, following
from curation.scenes.saved import opened
from tests.loopback import serving
from tests.scenes.catalog import CELL, NAMES, Served, ask, item, query, spec

FIRST = Asked("https://x.example/v1/search", "POST", {"bbox": [1, 2, 3, 4], "limit": 250})


class Paged(Served):
    """Pages that are what a test says: `links(url, asked, n)` gives the links of the n-th."""

    def __init__(self, pages, links) -> None:
        super().__init__([i for p in pages for i in p])
        self.pages, self.links = pages, links
        self.more: dict = {}

    def _body(self, request, url):
        path, _, text = request.path.partition("?")
        if path != "/search":
            return super()._body(request, url)
        asked = json.loads(request.body) if request.body else dict(urllib.parse.parse_qsl(text))
        self.searches.append(asked)
        n = int(asked.get("token", request.headers.get("X-Page", 0)))
        page = self.pages[min(n, len(self.pages) - 1)]
        return {"type": "FeatureCollection", "features": page, "links": self.links(url, asked, n)} | self.more


def search(made: Served):
    with serving(made.answer) as url:
        return ask(url)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(api, "BACKOFF_S", 0)


TEN = [item(n) for n in NAMES]


def posted(merge=True, **more):
    def links(url, asked, n):
        body = {"token": n + 1} if merge else asked | {"token": n + 1}
        link = {"rel": "next", "href": f"{url}/search", "method": "POST", "body": body, "merge": merge} | more
        return [{"rel": "self", "href": url}, *([link] if n < 4 else [])]

    return links


def got(url, asked, n):
    query = urllib.parse.urlencode(asked | {"token": n + 1}) if n else f"token={n + 1}"
    return [{"rel": "next", "href": f"search?{query}"}] if n < 4 else []


def in_headers(url, asked, n):
    return [{"rel": "next", "href": f"{url}/search", "method": "POST", "headers": {"X-Page": n + 1}}] if n < 4 else []


@pytest.mark.parametrize(
    "links", [posted(), posted(merge=False), got, in_headers], ids=["merge", "body", "GET", "headers"]
)
@pytest.mark.parametrize("empty", [(), (0,), (1, 2), (3,), (0, 1, 2, 3)], ids=str)
def test_pages_are_followed_whatever_leads_to_them_also_past_empty_ones(links, empty):
    left = iter(TEN)
    pages = [[] if n in empty else [next(left), next(left)] for n in range(4)]
    made = Paged([*pages, list(left)], links)
    found = search(made)
    assert [s.id for s in found.scenes] == NAMES
    assert len(made.searches) == 5
    if links is not got:
        assert all(s["bbox"] == made.searches[0]["bbox"] and "query" in s for s in made.searches)


def same(url, asked, n):
    return [{"rel": "next", "href": f"{url}/search", "method": "POST", "body": {"token": "7"}, "merge": True}]


def back(url, asked, n):
    return [
        {"rel": "next", "href": f"{url}/search", "method": "POST", "body": {"token": str((n + 1) % 3)}, "merge": True}
    ]


def onward(url, asked, n):
    return [{"rel": "next", "href": f"{url}/search", "method": "POST", "body": {"token": str(n + 1)}, "merge": True}]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pages", "links", "why"),
    [
        ([TEN[:1]], same, r"`next` link leads to a page that was read \(1 items on 2 pages"),
        ([[]], same, r"`next` link leads to a page that was read \(0 items on 2 pages"),
        ([TEN[:3], TEN[3:6], TEN[6:]], back, r"`next` link leads to a page that was read \(10 items on 4 pages"),
        ([TEN[:3]], onward, r"100 pages in a row had no item that was not there before \(3 items so far\)"),
        ([[]], onward, r"100 pages in a row had no item"),
    ],
    ids=["same", "same and empty", "ring", "new tokens", "new tokens and empty"],
)
def test_paging_without_an_end_fails_the_search_by_name_and_is_not_tried_again(pages, links, why):
    made = Paged(pages, links)
    with pytest.raises(
        CurationError, match=rf"search of sentinel-2-l2a in \(.*{why}.*report it to its provider"
    ) as caught:
        search(made)
    assert "\n" not in str(caught.value)
    assert len(made.searches) <= paging.MOST_IDLE + 1


@pytest.mark.parametrize(
    "more", [{"numberMatched": 10}, {"context": {"matched": 10, "returned": 10}}], ids=["number", "context"]
)
def test_paging_without_an_end_is_one_where_all_that_match_are_there(more):
    made = Paged([TEN], same)
    made.more = more
    assert [s.id for s in search(made).scenes] == NAMES
    made = Paged([TEN[:9]], same)
    made.more = more
    with pytest.raises(CurationError, match="leads to a page that was read"):
        search(made)


def test_an_answer_of_more_items_than_there_can_be_fails_by_name(monkeypatch):
    monkeypatch.setattr(paging, "MOST_ITEMS", 5)
    monkeypatch.setattr(paging, "MOST_ITEMS_PER_DAY", 0)
    made = Paged([TEN[n : n + 2] for n in range(0, 10, 2)], onward)
    with pytest.raises(CurationError, match="6 items so far, expected at most 5 of what was asked for"):
        search(made)
    assert len(made.searches) == 3


def test_how_many_items_may_be_there_follows_from_the_window():
    from tests.scenes.catalog import EVER

    assert paging.most_items(None) == paging.MOST_ITEMS
    assert paging.most_items(EVER) == paging.MOST_ITEMS + paging.MOST_ITEMS_PER_DAY * (1 + (EVER.end - EVER.start).days)


@pytest.mark.parametrize(
    "link",
    [
        {"href": None},
        {"href": ""},
        {"href": 5},
        {},
        {"href": "x", "body": 5, "method": "POST"},
        {"href": "x", "headers": []},
    ],
    ids=str,
)
def test_a_next_link_that_leads_nowhere_is_an_error_and_no_end(link):
    with pytest.raises((TypeError, ValueError)):
        following({"links": [{"rel": "next"} | link]}, FIRST, FIRST)


@pytest.mark.parametrize("links", [None, [], [{"rel": "prev", "href": "x"}], [{"rel": "self"}]], ids=str)
def test_a_page_without_a_next_link_is_the_last(links):
    assert following({"links": links}, FIRST, FIRST) is None
    assert following({}, FIRST, FIRST) is None


def test_what_a_next_link_does_not_say_stays_as_it_was_asked_first():
    link = {"rel": "next", "href": "/v1/search?token=5", "method": "post"}
    found = following({"links": [link]}, FIRST, FIRST)
    assert found == Asked("https://x.example/v1/search?token=5", "POST", FIRST.parameters)
    second = following({"links": [link | {"body": {"token": 6}, "merge": True}]}, found, FIRST)
    assert second.parameters == FIRST.parameters | {"token": 6}
    assert following({"links": [link | {"body": {"token": 6}}]}, found, FIRST).parameters == {"token": 6}


def bomb(size: int) -> bytes:
    """Gzip of a valid page with so many bytes of white space in it: a thousandth of it."""
    head, tail = b'{"type": "FeatureCollection", "links": [], "features": [', b"]}"
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    out = [packer.compress(head)]
    out += [packer.compress(b" " * (1 << 20)) for _ in range(size >> 20)]
    return b"".join([*out, packer.compress(tail), packer.flush()])


@pytest.mark.parametrize("status", [200, 302, 400])
@pytest.mark.slow
def test_an_answer_that_unpacks_to_more_than_was_asked_for_ends_by_name_before_it_fills_memory(monkeypatch, status):
    import tracemalloc

    monkeypatch.setattr(paging, "MOST_ANSWER_BYTES", 8 << 20)
    made, packed = Served(TEN), bomb(256 << 20)
    assert len(packed) < 1 << 20
    asked = 0

    def answer(request):
        nonlocal asked
        if request.command == "POST":
            asked += 1
            request.send(status, packed, Content_Encoding="gzip", Location="/search")
        else:
            made.answer(request)

    with serving(answer) as url:
        endpoint = opened(resolve(url))
        tracemalloc.start()
        try:
            with pytest.raises(
                CurationError, match=r"search of sentinel-2-l2a in \(.*more than 8 MiB, expected 250 items"
            ):
                endpoint.search(query(spec("s2l2a"), CELL))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert asked == 1
    assert peak < 80 << 20


def test_a_root_that_unpacks_to_more_is_a_catalog_that_does_not_answer(monkeypatch):
    monkeypatch.setattr(paging, "MOST_ANSWER_BYTES", 1 << 20)
    packed = bomb(8 << 20)
    with (
        serving(lambda request: request.send(200, packed, Content_Encoding="gzip")) as url,
        pytest.raises(ConfigError, match=r"does not answer as a STAC API .*more than 1 MiB"),
    ):
        opened(resolve(url))


def test_an_answer_packed_twice_is_refused(monkeypatch):
    made = Served(TEN)

    def answer(request):
        if request.command == "POST":
            request.send(200, gzip.compress(bomb(1 << 20)), Content_Encoding="gzip, gzip")
        else:
            made.answer(request)

    with serving(answer) as url, pytest.raises(CurationError, match="packed several times over"):
        ask(url)


@pytest.mark.parametrize("packing", ["br", "zstd", "compress"])
def test_an_answer_packed_as_nobody_asked_is_refused_before_it_is_unpacked(packing):
    made, packed = Served(TEN), bytes(40)

    def answer(request):
        if request.command == "POST":
            request.send(200, packed, Content_Encoding=packing)
        else:
            made.answer(request)

    with serving(answer) as url, pytest.raises(CurationError, match=f"packed as '{packing}', expected gzip or deflate"):
        ask(url)


def test_a_packed_answer_of_what_was_asked_for_is_read():
    made = Served(TEN)

    def answer(request):
        assert request.headers["Accept-Encoding"] == "gzip, deflate"
        if request.command == "POST":
            body = json.dumps(made._body(request, "")).encode()
            request.send(200, gzip.compress(body), Content_Encoding="gzip")
        else:
            made.answer(request)

    made.page = 100
    with serving(answer) as url:
        assert [s.id for s in ask(url).scenes] == NAMES


def test_collections_on_pages_without_an_end_are_no_catalog():
    made = Served(TEN)
    body = made._body

    def looping(request, url):
        found = body(request, url)
        if request.path.startswith("/collections"):
            found["links"] = [{"rel": "next", "href": f"{url}/collections"}]
        return found

    made._body = looping
    with serving(made.answer) as url, pytest.raises(ConfigError, match=r"does not list its collections .*was read"):
        opened(resolve(url)).collections()
