"""The STAC API's answers, compared with brute force over the list of items."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pystac
import pystac_client
import pytest
import requests
import shapely

from curation.embedded.service import items

POLYGON = {"type": "Polygon", "coordinates": [[[5.7, 51.0], [5.82, 51.6], [5.72, 51.6], [5.7, 51.0]]]}


@pytest.fixture(scope="module")
def every() -> list[dict[str, Any]]:
    return items.all_items()


@pytest.fixture(scope="module")
def client(earth):
    return pystac_client.Client.open(earth.url)


def _ids(found) -> list[str]:
    return sorted(i["id"] for i in found)


def _matching(every, test) -> list[str]:
    wanted = _ids(i for i in every if test(i))
    assert 0 < len(wanted) < len(every), "the case must select some and leave some"
    return wanted


def _shape(item):
    return shapely.geometry.shape(item["geometry"])


def _span(item):
    p = item["properties"]
    start, end = (p["datetime"],) * 2 if p["datetime"] else (p["start_datetime"], p["end_datetime"])
    return dt.datetime.fromisoformat(start), dt.datetime.fromisoformat(end)


@pytest.mark.parametrize("method", ["GET", "POST"])
class TestSearch:
    @pytest.mark.slow
    def test_bbox(self, client, every, method):
        box = (-46.9, -23.9, -46.4, -23.3)
        found = client.search(method=method, bbox=box, limit=50).items_as_dicts()
        assert _ids(found) == _matching(every, lambda i: _shape(i).intersects(shapely.box(*box)))

    @pytest.mark.slow
    def test_intersects_uses_the_footprint(self, client, every, method):
        # A thin triangle beside the slanted edge of the autumn swaths' boxes.
        found = client.search(method=method, intersects=POLYGON, limit=50).items_as_dicts()
        assert _ids(found) == _matching(every, lambda i: _shape(i).intersects(shapely.geometry.shape(POLYGON)))

    def test_datetime_interval_with_both_edges(self, client, every, method):
        start, end = (
            dt.datetime(2021, 6, 15, 10, 36, 29, 24_000, dt.UTC),
            dt.datetime(2021, 7, 20, 10, 36, 29, 24_000, dt.UTC),
        )
        found = client.search(method=method, datetime=[start, end], limit=50).items_as_dicts()
        ids = _ids(found)
        assert ids == _matching(every, lambda i: _span(i)[1] >= start and _span(i)[0] <= end)
        for edge in ("S2B_MSIL2A_20210615T103629", "S2A_MSIL2A_20210720T103629"):
            assert any(i.startswith(edge) for i in ids)

    def test_ids(self, client, every, method):
        wanted = [every[3]["id"], every[-1]["id"]]
        assert _ids(client.search(method=method, ids=wanted).items_as_dicts()) == sorted(wanted)

    def test_query(self, client, every, method):
        query = {"eo:cloud_cover": {"lt": 20}, "s2:mgrs_tile": {"in": ["31UGS", "32ULB"]}}
        found = client.search(method=method, query=query, limit=50).items_as_dicts()
        assert _ids(found) == _matching(
            every,
            lambda i: (
                i["properties"].get("eo:cloud_cover", 100) < 20
                and i["properties"].get("s2:mgrs_tile") in ("31UGS", "32ULB")
            ),
        )

    @pytest.mark.slow
    def test_fields_are_those_that_are_asked_for_and_as_in_whole_items(self, client, every, method):
        include = ["geometry", "properties.eo:cloud_cover", "assets.B02.href", "assets.B03"]
        asked = {"method": method, "collections": ["sentinel-2-l2a"], "limit": 50}
        whole = {i["id"]: i for i in client.search(**asked).items_as_dicts()}
        found = list(client.search(**asked, fields={"include": include}).items_as_dicts())
        assert _ids(found) == sorted(whole)
        for its in found:
            of = whole[its["id"]]
            assert its == {
                **{k: of[k] for k in ("id", "type", "collection", "geometry")},
                "properties": {"eo:cloud_cover": of["properties"]["eo:cloud_cover"]},
                "assets": {"B02": {"href": of["assets"]["B02"]["href"]}, "B03": of["assets"]["B03"]},
            }
        without = client.search(**asked, fields={"exclude": ["assets.B02.href", "links"]}).items_as_dicts()
        for its in without:
            of = whole[its["id"]]
            assert its.keys() == of.keys() - {"links"}
            assert its["assets"]["B02"] == {k: v for k, v in of["assets"]["B02"].items() if k != "href"}
            assert its["assets"]["B03"] == of["assets"]["B03"]

    @pytest.mark.slow
    def test_paging_gives_each_item_once(self, client, every, method):
        ids = [i["id"] for i in client.search(method=method, limit=50).items_as_dicts()]
        assert len(ids) == len(set(ids))
        assert sorted(ids) == _ids(every)


@pytest.mark.parametrize(
    "body",
    [
        {"filter": {"op": "=", "args": [{"property": "gsd"}, 10]}, "filter-lang": "cql2-json"},
        {"sortby": [{"field": "properties.gsd", "direction": "asc"}]},
        {"fields": ["id"]},
        {"query": {"eo:cloud_cover": {"about": 3}}},
        {"query": {"eo:cloud_cover": {"lt": "3"}}},
        {"bbox": [1, 2, 3]},
        {"datetime": "yesterday"},
        {"token": "7"},
        {"limit": -1},
    ],
)
def test_bad_input_is_a_400(earth, body):
    assert requests.post(f"{earth.url}/search", json=body, timeout=10).status_code == 400


def test_what_a_search_in_a_url_asks_for_and_nothing_understands_is_a_400(earth):
    assert requests.get(f"{earth.url}/search", params={"limit": 1}, timeout=10).status_code == 200
    answer = requests.get(f"{earth.url}/search", params={"limit": 1, "sortby": "-id"}, timeout=10)
    assert answer.status_code == 400
    assert "sortby" in answer.text


def test_unknown_item_and_collection_are_404(earth):
    assert requests.get(f"{earth.url}/collections/nothing", timeout=10).status_code == 404
    assert requests.get(f"{earth.url}/collections/sentinel-2-l2a/items/nothing", timeout=10).status_code == 404


@pytest.mark.slow
def test_items_are_stac(every):
    assert len({i["id"] for i in every}) == len(every)
    for item in every:
        read = pystac.Item.from_dict(item, migrate=False, preserve_dict=True)
        shape = shapely.geometry.shape(read.geometry)
        assert shape.is_valid
        assert shape.bounds == pytest.approx(read.bbox)
        assert read.datetime is not None or read.properties["start_datetime"] < read.properties["end_datetime"]


def test_collections_cover_their_items(client, every):
    found = {c.id: c for c in client.get_collections()}
    assert set(found) == {i["collection"] for i in every}
    for item in every:
        extent = found[item["collection"]].extent
        assert shapely.box(*extent.spatial.bboxes[0]).buffer(1e-9).covers(_shape(item))
        start, end = extent.temporal.intervals[0]
        assert start <= _span(item)[0]
        assert _span(item)[1] <= end
