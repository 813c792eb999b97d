"""Searches are saved, and replayed."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from curation.catalogs import resolve
from curation.model import CurationError
from curation.recipe import Dataset
from curation.search.saved import Searches
from curation.store import Store
from tests.search.catalog import CELL, NAMES, item


def searches(dataset: Dataset, url: str, folder: Path) -> tuple[Searches, list[Any]]:
    made = Searches(dataset, resolve(url), Store(folder))
    return made, [(dataset.specs["s2l2a"], dataset.recipe.season("summer"), CELL)]


def test_a_saved_search_is_replayed_with_the_server_gone(api, dataset, tmp_path):
    made, url = api
    first, wanted = searches(dataset, url, tmp_path)
    assert first.run(wanted) == []
    scenes = first.scenes(*wanted[0])
    assert [s.id for s in scenes] == NAMES
    asked = made.requests
    made.faults = ["503"] * 1000
    again, wanted = searches(dataset, url, tmp_path)
    assert again.run(wanted) == []
    assert again.scenes(*wanted[0]) == scenes
    assert [s.hrefs for s in again.scenes(*wanted[0])] == [s.hrefs for s in scenes]
    assert made.requests == asked


def test_the_same_search_is_saved_in_the_same_bytes(api, dataset, tmp_path):
    made, url = api
    for folder in ("a", "b"):
        one, wanted = searches(dataset, url, tmp_path / folder)
        one.run(wanted)
        made.items.reverse()
        made.page = 4
    a, b = ([(s.key, Store(tmp_path / f).get(s.key)) for s in Store(tmp_path / f).list()] for f in ("a", "b"))
    assert a == b
    assert len(a) == 1


def test_a_refresh_tells_what_has_changed(api, dataset, tmp_path):
    made, url = api
    one, wanted = searches(dataset, url, tmp_path)
    one.run(wanted)
    made.items = [*made.items[2:], item("new")]
    assert one.run(wanted) == []
    assert [s.id for s in one.scenes(*wanted[0])] == NAMES
    told = one.run(wanted, refresh=True)
    assert told == [f"s2l2a summer n51e006: {t}" for t in ("+ new", "- s00", "- s01")]
    assert [s.id for s in one.scenes(*wanted[0])] == ["new", *NAMES[2:]]


@pytest.mark.parametrize(
    "change",
    [
        {"quality": {"max_scene_cloud_pct": 50.0}},
        {"sources": {"s2l2a": {"bands": ["B02"]}}},
        {"seasons": {"summer": {"end": dt.date(2021, 8, 1)}}},
    ],
)
def test_another_query_is_not_answered_from_what_is_saved(api, dataset, tmp_path, change):
    _, url = api
    one, wanted = searches(dataset, url, tmp_path)
    one.run(wanted)
    value = dataset.recipe.model_dump()
    for table, rows in change.items():
        for key, new in rows.items():
            value[table][key] = value[table][key] | new if isinstance(new, dict) else new
    other = Dataset(type(dataset.recipe).model_validate(value), dataset.specs, dataset.path)
    two, wanted = searches(other, url, tmp_path)
    with pytest.raises(CurationError, match="not searched yet, or by another query"):
        two.scenes(*wanted[0])


def test_a_changed_form_is_searched_again(api, dataset, tmp_path):
    made, url = api
    one, wanted = searches(dataset, url, tmp_path)
    one.run(wanted)
    form = dataset.specs["s2l2a"].catalogs["planetary-computer"].model_copy(update={"offset": "none"})
    changed = dataset.specs["s2l2a"].model_copy(update={"catalogs": {"planetary-computer": form}})
    two = Searches(dataset, resolve(url), Store(tmp_path))
    asked = made.requests
    two.run([(changed, *wanted[0][1:])])
    assert made.requests > asked
    assert {s.offset_dn for s in two.scenes(changed, *wanted[0][1:])} == {0}


def test_a_failed_search_saves_nothing(api, dataset, tmp_path):
    made, url = api
    one, wanted = searches(dataset, url, tmp_path)
    _ = one.endpoint
    made.faults = ["503"] * 1000
    with pytest.raises(CurationError, match="rerun to try again"):
        one.run(wanted)
    assert list(Store(tmp_path).list()) == []
