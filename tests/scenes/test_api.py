"""A STAC API on loopback that misbehaves."""

from __future__ import annotations

import datetime as dt
import json
import socket

import pytest

from curation.errors import ConfigError, CurationError
from curation.model import Window
from curation.recipe.catalogs import resolve
from curation.scenes import api as search_api
from curation.scenes.cells import SearchCell
from curation.scenes.paging import PAGE_ITEMS
from curation.scenes.saved import opened
from tests.loopback import serving
from tests.scenes.catalog import CELL, NAMES, RING, SPOILT, ask, item, query, spec


@pytest.mark.parametrize(("page", "repeat"), [(3, 0), (3, 2), (1, 1), (10, 0), (100, 0)])
def test_all_pages_are_read_and_each_id_is_told_once(api, page, repeat):
    made, url = api
    made.page, made.repeat = page, repeat
    found = ask(url)
    assert [s.id for s in found.scenes] == NAMES
    assert not found.dropped
    assert made.searches[0]["limit"] == PAGE_ITEMS
    assert "sortby" not in made.searches[0]


@pytest.mark.parametrize("when", range(1, 6))
@pytest.mark.parametrize("fault", ["503", "429", "500", "truncate", "half"])
def test_a_server_that_fails_once_is_asked_again(api, fault, when):
    made, url = api
    endpoint = opened(resolve(url))
    made.faults = [""] * (when - 1) + [fault]
    source = spec("s2l2a")
    found = endpoint.search(query(source, CELL))
    assert [s.id for s in found.scenes] == NAMES


@pytest.mark.slow
def test_a_server_that_keeps_failing_is_an_error_and_no_empty_answer(api):
    made, url = api
    endpoint = opened(resolve(url))
    made.faults = ["503"] * 100
    source = spec("s2l2a")
    with pytest.raises(CurationError, match=r"search of sentinel-2-l2a in \(.*rerun to try again") as caught:
        endpoint.search(query(source, CELL))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [{"features": None}, {}, {"message": "no"}, [], None, {"features": {}}, {"features": [{}], "links": [5]}],
    ids=repr,
)
def test_an_answer_that_is_no_list_of_items_is_an_error_and_no_empty_answer(api, answer, monkeypatch):
    made, url = api
    endpoint = opened(resolve(url))
    monkeypatch.setattr(search_api, "BACKOFF_S", 0)
    monkeypatch.setattr(made, "_body", lambda request, url: answer)
    with pytest.raises(CurationError, match=r"search of sentinel-2-l2a in \(.*rerun to try again") as caught:
        endpoint.search(query(spec("s2l2a"), CELL))
    assert "\n" not in str(caught.value)


def test_a_refused_request_is_not_repeated(api):
    made, url = api
    endpoint = opened(resolve(url))
    made.faults, made.requests = ["400"] * 100, 0
    source = spec("s2l2a")
    with pytest.raises(CurationError, match="tried 1 times"):
        endpoint.search(query(source, CELL))
    assert made.requests == 1


def test_filters_that_the_server_ignores_are_applied_here(api):
    made, url = api
    made.items = [
        item("good"),
        item("cloudy", **{"eo:cloud_cover": 95.0}),
        item("late", datetime="2021-09-01T00:00:00Z"),
        item("last", datetime="2021-08-31T23:59:59.999999Z"),
        item("first", datetime="2021-06-01T00:00:00Z"),
        item("early", datetime="2021-05-31T23:59:59.999Z"),
        item("far", lon=9.5),
        item("other") | {"collection": "sentinel-2-l1c"},
        item("unsaid", **{"s2:processing_baseline": None}),
    ]
    lacking = item("lacking")
    del lacking["assets"]["SCL"]
    broken = item("broken") | {"geometry": None}
    made.items += [lacking, broken]
    summer = Window("summer", *(dt.datetime(2021, m, 1, tzinfo=dt.UTC) for m in (6, 9, 7)))
    found = ask(url, window=summer)
    assert [s.id for s in found.scenes] == ["first", "good", "last"]
    said = {i: reason for reason, ids in found.dropped.items() for i in ids}
    assert said.pop("broken").startswith("unreadable: ")
    assert said == {
        "cloudy": "eo:cloud_cover lte 90",
        "late": "outside the season",
        "early": "outside the season",
        "far": "outside the search cell",
        "other": "of collection sentinel-2-l1c",
        "unsaid": "unreadable: NoBaselineError: the item states no processing baseline",
        "lacking": "unreadable: KeyError: \"no asset 'SCL' for band SCL\"",
    }
    asked = made.searches[0]
    assert asked["query"] == {"eo:cloud_cover": {"lte": 90}}
    assert asked["datetime"] == "2021-06-01T00:00:00Z/2021-08-31T23:59:59.999Z"
    assert asked["collections"] == ["sentinel-2-l2a"]


def test_a_cell_at_the_antimeridian_is_asked_in_two_boxes_and_joined_by_id(api):
    made, url = api
    made.items = [
        item("east", lon=179.7, lat=-16.5),
        item("west", lon=-179.5, lat=-16.5),
        item("far", lon=0, lat=-16.5),
    ]
    folded = item("across", lon=0, lat=-16.5)
    folded["geometry"] = {"type": "Polygon", "coordinates": [RING]}
    made.items.append(folded)
    for col in (0, 359):
        made.searches.clear()
        found = ask(url, SearchCell(73, col))
        assert len({tuple(s["bbox"]) for s in made.searches}) == 2
        assert all(s["bbox"][0] < s["bbox"][2] for s in made.searches)
        assert "across" in [s.id for s in found.scenes]
        assert found.dropped["outside the search cell"][-1:] != ["across"]
        assert ("east" in [s.id for s in found.scenes]) == (col == 359)
        assert ("west" in [s.id for s in found.scenes]) == (col == 0)


def test_signatures_are_cut_off_and_hrefs_told_from_the_catalogs_base(api):
    _, url = api
    for scene in ask(url).scenes:
        assert scene.hrefs["B02"] == f"{scene.id}/B02.tif"


def test_an_unreachable_catalog_is_one_line_that_says_so(monkeypatch):
    monkeypatch.setattr(search_api, "BACKOFF_S", 0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(
        ConfigError, match=rf"^catalog {url}: does not answer as a STAC API .*check the address"
    ) as caught:
        opened(resolve(url))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("body", [b"<html>login</html>", b"{}", b"[]", b'{"type": "Feature"}'])
def test_an_address_that_is_no_catalog_is_one_line_that_says_so(body):
    with (
        serving(lambda request: request.send(200, body)) as url,
        pytest.raises(ConfigError, match="does not answer as a STAC API") as caught,
    ):
        opened(resolve(url))
    assert "\n" not in str(caught.value)


def test_collections_are_those_the_catalog_has(api, tmp_path):
    made, url = api
    assert opened(resolve(url)).collections() == {"sentinel-2-l2a"}
    path = tmp_path / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": made.items}))
    assert opened(resolve(str(path))).collections() == {"sentinel-2-l2a"}


@pytest.mark.parametrize("said", SPOILT.values(), ids=SPOILT)
@pytest.mark.parametrize("where", ["id", "href", "eo:cloud_cover", "self"])
def test_a_value_that_is_none_costs_its_item_alone_and_no_page(api, where, said):
    made, url = api
    bad = made.items[1]  # on a page with others
    if where == "self":
        bad["links"] = [{"rel": "self", "href": "SPOILT"}]
        bad["assets"]["B02"]["href"] = "B02.tif"
        said = b'"http://x.example/' + said.strip(b'"') + b'/"'
    else:
        holder = {"id": bad, "href": bad["assets"]["SCL"]}.get(where, bad["properties"])
        holder[where] = "SPOILT"
    made.raw["SPOILT"] = said
    found = ask(url)
    is_text = where == "self" and said.isascii() and b"\\" not in said  # then it is an address like any other
    assert [s.id for s in found.scenes] == [n for n in NAMES if n != "s01" or is_text]
    assert len(found.unreadable) == (0 if is_text else 1)
    assert all(its.reason.startswith("unreadable: ") for its in found.unreadable)
    assert len(made.searches) == 4


@pytest.mark.parametrize("said", SPOILT.values(), ids=SPOILT)
def test_a_value_that_is_none_where_nobody_reads_it_costs_nothing(api, said):
    made, url = api
    made.items[1]["properties"]["view:azimuth"] = "SPOILT"
    made.raw["SPOILT"] = said
    found = ask(url)
    assert [s.id for s in found.scenes] == NAMES
    assert not found.unreadable
