"""Catalogs are asked for what is read of items alone, where they offer that; whatever they then give, nothing is lost."""

from __future__ import annotations

import json
from typing import Any

import pytest

from curation.recipe.catalogs import resolve
from curation.scenes.cells import SearchCell
from curation.scenes.fields import Watched, asked_for
from curation.scenes.saved import opened
from tests.loopback import serving
from tests.scenes.catalog import CELL, Served, bands, item, items_in, query, spec


class Trimming(Served):
    """A catalog that offers to give some fields of items; how it does is told by `way`."""

    def __init__(self, items: list[dict[str, Any]]) -> None:
        super().__init__(items)
        self.page = 250
        self.way = "honest"
        self.sent: list[int] = []
        """Bytes of the items of each page."""

    def _body(self, request: Any, url: str) -> dict[str, Any]:
        value = super()._body(request, url)
        if "conformsTo" in value and self.way != "silent":
            value["conformsTo"].append("https://api.stacspec.org/v1.0.0/item-search#fields")
        if "features" in value:
            fields = self.searches[-1].get("fields")
            if fields is not None and self.way != "ignored":
                value["features"] = [t for i in value["features"] if (t := self._trimmed(i, fields["include"]))]
                if self.way == "next":
                    value["links"] = []
            self.sent.append(len(json.dumps(value["features"])))
        return value

    def _trimmed(self, its: Any, include: list[str]) -> Any:
        if not isinstance(its, dict):
            return its  # what is no item has no fields
        out: dict[str, Any] = {}
        for path in include:
            at, to = its, out
            *above, last = path.split(".")
            for key in above:
                at, to = at.get(key, {}), to.setdefault(key, {})
            if last in at and not (self.way == "colon" and ":" in last):
                to[last] = at[last]
        if self.way == "moved":
            out["assets"]["B02"] = {"href": "BASE/elsewhere.tif"}
        if self.way == "hrefless":
            out["assets"]["SCL"] = {}
        if self.way == "dated":
            out["properties"]["datetime"] = "2021-07-02T00:00:00Z"
        return None if self.way == "fewer" and its["id"].endswith("5") else out


CELLS = [SearchCell(CELL.row, CELL.col + n) for n in range(4)]


@pytest.fixture
def made():
    found = Trimming([item(f"s{n:02d}") for n in range(10)])
    with serving(found.answer) as url:
        yield found, url


def answers(url: str) -> list[dict[str, Any]]:
    """Of the same search, four times over."""
    endpoint = opened(resolve(url))
    return [endpoint.search(query(spec("s2l2a"), CELL)).to_json() for _ in range(4)]


def whole(made: Trimming, url: str) -> dict[str, Any]:
    """What is found without it."""
    way, made.way = made.way, "silent"
    found = opened(resolve(url)).search(query(spec("s2l2a"), CELL)).to_json()
    made.way = way
    made.searches.clear()
    made.sent.clear()
    return found


def test_a_search_asks_for_what_is_read_once_that_came_to_the_same(made):
    server, url = made
    expected = whole(server, url)
    assert answers(url) == [expected] * 4
    asked = [s.get("fields") for s in server.searches]
    assert [a is None for a in asked] == [True, False, True, False, False]  # both ways once, to be compared
    include = asked[-1]["include"]
    assert {f"assets.{b}.href" for b in bands(spec("s2l2a"))} <= set(include)
    assert {"geometry", "properties.datetime", "properties.s2:processing_baseline"} <= set(include)
    assert not {"links", "assets", "properties", "assets.B02"} & set(include)


def test_a_catalog_that_does_not_offer_it_is_asked_for_whole_items(made):
    server, url = made
    server.way = "silent"
    answers(url)
    assert len(server.searches) == 4
    assert not any(s.get("fields") for s in server.searches)


@pytest.mark.parametrize("way", ["ignored", "colon", "moved", "hrefless", "dated", "fewer"])
def test_a_catalog_that_offers_it_and_does_otherwise_loses_nothing(made, way, caplog):
    server, url = made
    server.way = way
    expected = whole(server, url)
    assert len(expected["scenes"]) == 10
    assert answers(url) == [expected] * 4
    told = [r for r in caplog.records if "offers to give some fields" in r.message]
    assert len(told) == (way != "ignored")  # whole items, which were not asked for, are none that is lost
    if way != "ignored":
        assert server.searches[-1].get("fields") is None


def test_a_catalog_that_refuses_such_a_search_is_asked_for_whole_items(made, monkeypatch):
    server, url = made
    expected = whole(server, url)

    def refusing(request: Any) -> None:
        if request.command == "POST" and "fields" in json.loads(request.body):
            request.send(400, b'{"code": "no"}')
        else:
            server.answer(request)

    with serving(refusing) as other:
        assert [[s["id"] for s in f["scenes"]] for f in answers(other)] == [[s["id"] for s in expected["scenes"]]] * 4
    assert len(server.searches) == 4


def test_links_to_further_pages_that_are_lost_with_the_fields_are_missed(made):
    server, url = made
    server.way, server.page = "next", 7
    every, server.items = server.items, server.items[:5]
    endpoint = opened(resolve(url))
    for _ in range(3):  # of one page it does right
        assert len(endpoint.search(query(spec("s2l2a"), CELL)).scenes) == 5
    server.items = every
    for _ in range(3):
        assert len(endpoint.search(query(spec("s2l2a"), CELL)).scenes) == 10


@pytest.mark.slow
def test_what_an_item_refers_to_by_its_own_address_is_asked_for_when_it_is_needed(made):
    server, url = made
    answers(url)
    own = item("own")
    own["links"] = [{"rel": "self", "href": "BASE/deep/items/own"}]
    own["assets"] = {k: {"href": f"{k}.tif"} for k in own["assets"]}
    endpoint = opened(resolve(url))
    for _ in range(4):
        endpoint.search(query(spec("s2l2a"), CELL))
    server.items[-1] = own  # as many as were seen to come right
    for _ in range(3):
        found = endpoint.search(query(spec("s2l2a"), CELL))
        assert {s.id: s.hrefs["B02"] for s in found.scenes}["own"] == "deep/items/B02.tif"


def test_items_that_cannot_be_read_are_told_as_whole_ones_are(made):
    server, url = made
    lacking, nowhere, undated = item("lacking"), item("nowhere"), item("undated", datetime=None)
    del lacking["assets"]["SCL"]
    nowhere["geometry"] = None
    server.items += [lacking, nowhere, undated, "no item", item("other", **{"proj:epsg": "what"})]
    expected = whole(server, url)
    assert len(expected["unreadable"]) == 5
    assert answers(url) == [expected] * 4


def test_an_item_that_is_trimmed_too_far_later_on_is_read_whole(made):
    server, url = made
    expected = whole(server, url)
    endpoint = opened(resolve(url))
    for _ in range(3):
        endpoint.search(query(spec("s2l2a"), CELL))
    server.way = "hrefless"
    assert endpoint.search(query(spec("s2l2a"), CELL)).to_json() == expected


def test_assets_in_another_case_are_found(made):
    server, url = made
    for its in server.items:
        its["assets"] = {k.lower(): v for k, v in its["assets"].items()}
    expected = whole(server, url)
    assert len(expected["scenes"]) == 10
    assert answers(url) == [expected] * 4
    assert "assets" in server.searches[-1]["fields"]["include"]


def test_what_is_looked_at_is_noted_whether_it_is_there_or_not():
    looked: set[str] = set()
    its = Watched({"id": "a", "properties": {"p:x": 1}, "assets": {"B.1": {"href": "h"}, "b": {"href": "h"}}}, looked)
    assert its["properties"].get("p:x") == 1
    assert its["properties"].get("p:y") is None
    assert "c" not in its["assets"]
    assert its["assets"]["b"]["href"] == "h"
    assert looked == {"properties.p:x", "properties.p:y", "assets.c", "assets.b.href"}
    assert its["properties"].get("a.b") is None  # a path that would be read as another's
    assert asked_for(frozenset(looked)) == ["assets.b.href", "assets.c", "properties"]


@pytest.mark.parametrize(
    ("file", "source", "most"), [("sentinel-2-l2a-pc", "s2l2a", 0.35), ("sentinel-1-rtc-pc", "s1rtc", 0.35)]
)
@pytest.mark.slow
def test_recorded_items_come_to_the_same_scene_of_a_third_of_their_bytes(shared, file, source, most):
    path = shared / "data" / "stac-geoparquet" / "data" / f"{file}.json"
    server = Trimming(items_in(path))
    with serving(server.answer) as url:
        for place in server.items:
            server.items, every = [place], server.items
            x, y = (sum(c) / 2 for c in zip(place["bbox"][:2], place["bbox"][2:], strict=True))
            cell = SearchCell(int(y + 90), int(x + 180))
            endpoint = opened(resolve(url))
            found = [endpoint.search(query(spec(source), cell)) for _ in range(3)]
            assert found[0].to_json() == found[1].to_json() == found[2].to_json()
            assert len(found[0].scenes) == 1
            assert server.sent[-1] < most * server.sent[0]
            server.items = every
