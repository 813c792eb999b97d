"""Neighbouring search cells are asked for together; each then has what a search of its own would have given."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from curation.errors import CurationError
from curation.recipe.catalogs import Catalogs, resolve
from curation.scenes import saved
from curation.scenes.cells import MOST_WASTE, TOGETHER, SearchCell, joint, together
from curation.scenes.paging import LARGE_PAGE_ITEMS, PAGE_ITEMS
from curation.scenes.saved import Searches, opened
from curation.store.objects import Store
from tests.loopback import serving
from tests.scenes.catalog import item, query, spec
from tests.scenes.test_fields import Trimming


class Placed(Trimming):
    """One that gives what touches the box, and takes no more than `most` items a page."""

    def __init__(self, items: list[dict[str, Any]]) -> None:
        super().__init__(items)
        self.every = items
        self.most = 10_000
        self.widest = 1000.0
        self.shapes = {i["id"]: shapely.geometry.shape(i["geometry"]) for i in items if i["geometry"]}
        self.failing_at: float | None = None
        """Longitude: searches whose box lies west of it are not answered."""

    def answer(self, request: Any) -> None:
        if request.command == "POST":
            asked = json.loads(request.body)
            west, _, east, _ = asked["bbox"]
            if asked["limit"] > self.most or east - west > self.widest:
                self.requests += 1
                request.send(400, b'{"code": "too much"}')
                return
            if self.failing_at is not None and east < self.failing_at:
                request.send(403, b'{"code": "no"}')
                return
            box = shapely.box(*asked["bbox"])
            self.page = asked["limit"]
            self.items = [i for i in self.every if i["id"] not in self.shapes or self.shapes[i["id"]].intersects(box)]
        super().answer(request)


def planet() -> list[dict[str, Any]]:
    """Items around some cells, some of which cannot be used or read."""
    draw = random.Random(5)
    made = []
    for n in range(150):
        its = item(f"s{n:03d}", lon=draw.uniform(4.5, 10.5), lat=draw.uniform(49.5, 54))
        if n % 17 == 0:
            its["properties"]["eo:cloud_cover"] = 99.0
        if n % 23 == 0:
            del its["assets"]["SCL"]
        if n % 29 == 0:
            its["properties"]["datetime"] = "2021-02-01T00:00:00Z"
        if n % 31 == 0:
            its["properties"]["datetime"] = "someday"
        made.append(its)
    return made


CELLS = [SearchCell(row, col) for row in range(140, 144) for col in range(185, 190) if (row + col) % 3]


@pytest.fixture
def server():
    made = Placed(planet())
    with serving(made.answer) as url:
        yield made, url


def alone(url: str) -> list[dict[str, Any]]:
    endpoint = opened(resolve(url))
    return [endpoint.search(query(spec("s2l2a"), c, cloud_pct=90)).to_json() for c in CELLS]


@pytest.mark.slow
def test_cells_asked_for_together_find_what_each_finds_alone(server):
    made, url = server
    made.way = "silent"
    expected = alone(url)
    assert sum(len(e["scenes"]) for e in expected) > 100
    assert sum(len(e["unreadable"]) for e in expected) > 5
    made.way = "honest"
    endpoint = opened(resolve(url))
    asked = [query(spec("s2l2a"), c, cloud_pct=90) for c in CELLS]
    endpoint.together(asked)  # by which it learns what is read
    made.searches.clear()
    found = endpoint.together(asked)
    assert [f.to_json() for f in found] == expected
    limits = [s["limit"] for s in made.searches]
    assert limits == [LARGE_PAGE_ITEMS, PAGE_ITEMS]  # the second for items that cannot be read
    assert len(made.searches) < len(CELLS)


def test_saved_searches_are_the_same_however_many_cells_were_asked_for_at_once(server, dataset, tmp_path):
    made, url = server
    wanted = [(dataset.specs["s2l2a"], dataset.recipe.season("summer").always, c) for c in CELLS]
    stored, numbers = [], []
    for way in ("silent", "honest"):
        made.way = way
        made.searches.clear()
        one = Searches(dataset, Catalogs(resolve(url)), Store(tmp_path / way))
        assert one.run(wanted) == []
        stored.append({s.key: one.store.get(s.key) for s in one.store.list()})
        numbers.append(len(made.searches))
        assert one.answered == len(CELLS)
    assert stored[0] == stored[1]
    assert len(stored[0]) == len(CELLS)
    assert numbers[0] == len(CELLS)
    assert numbers[1] < len(CELLS) / 2


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["pages", "boxes"])
def test_what_is_too_much_for_a_catalog_is_asked_for_cell_by_cell(server, fault):
    made, url = server
    made.way = "silent"
    expected = alone(url)
    made.way = "honest"
    if fault == "pages":
        made.most = PAGE_ITEMS
    else:
        made.widest = 1.5
    endpoint = opened(resolve(url))
    asked = [query(spec("s2l2a"), c, cloud_pct=90) for c in CELLS]
    for _ in range(6):
        assert [f.to_json() for f in endpoint.together(asked)] == expected
    made.searches.clear()
    made.requests = 0
    endpoint.together(asked)
    assert made.requests == len(made.searches) >= len(CELLS)  # none is refused any more


def test_a_cell_that_cannot_be_searched_fails_what_needs_it_alone(server, dataset, tmp_path):
    made, url = server
    made.way, made.failing_at = "honest", 6.5
    one = Searches(dataset, Catalogs(resolve(url)), Store(tmp_path))
    wanted = [(dataset.specs["s2l2a"], dataset.recipe.season("summer").always, c) for c in CELLS]
    made.widest = 1.9  # so that each is asked for alone
    told = dict(one.ahead([(w[2], [w]) for w in wanted]))
    assert list(told) == CELLS
    assert {c.col for c, err in told.items() if err is not None} == {185}
    assert {type(err) for err in told.values() if err is not None} <= {CurationError, *CurationError.__subclasses__()}
    assert {len(one.scenes(*w)) > 0 for w in wanted if told[w[2]] is None} == {True}


@pytest.mark.slow
def test_works_are_given_in_order_however_many_there_are(server, dataset, tmp_path, monkeypatch):
    made, url = server
    made.way = "honest"
    monkeypatch.setattr(saved, "AHEAD", 3)
    monkeypatch.setattr(saved, "REMEMBERED", 2)
    one = Searches(dataset, Catalogs(resolve(url)), Store(tmp_path))
    wanted = [(dataset.specs["s2l2a"], dataset.recipe.season("summer").always, c) for c in CELLS]
    works = [(n, [wanted[n % len(CELLS)], wanted[(n + 1) % len(CELLS)]]) for n in range(40)]
    assert list(one.ahead(iter(works))) == [(n, None) for n in range(40)]
    assert one.answered >= len(CELLS)


some_cells = st.lists(
    st.builds(SearchCell, st.integers(0, 179), st.integers(0, 359), st.sampled_from([0.0, 0.125])), max_size=40
) | st.lists(st.builds(SearchCell, st.integers(136, 147), st.integers(352, 359)), max_size=60)


@given(some_cells)
def test_each_cell_is_asked_for_once_in_a_box_that_holds_it_and_little_else(cells):
    parts = together(cells)
    assert sorted(c for part in parts for c in part) == sorted(set(cells))
    for part in parts:
        if len(part) == 1:
            continue
        assert {len(c.boxes) for c in part} == {1}
        assert len({(c.row // TOGETHER, c.col // TOGETHER, c.reach_deg) for c in part}) == 1
        box = shapely.box(*joint(part))
        assert all(box.covers(c.area) for c in part)
        assert box.area <= MOST_WASTE * sum(c.area.area for c in part) + 1e-9
