"""Sides by what places say of themselves: lists of events, as published splits have them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from curation.errors import ConfigError
from curation.pack import split
from curation.places import grids
from curation.places.locations import Locations
from curation.recipe.dataset import load_dataset
from curation.recipe.schema import Recipe

FLOODS = load_dataset("kuro-siwo").recipe


def recipe(**rule: object) -> Recipe:
    """The shipped recipe of floods, split by its events."""
    return Recipe.model_validate(FLOODS.model_dump() | {"split": {"rule": "column", "column": "event"} | rule})


def far_apart(events: list[str | None]) -> Locations:
    """A place of each event, a degree from the next: beyond any buffer."""
    at = grids.snap(np.arange(len(events)) - 60.0, np.full(len(events), 40.0), 2_240)
    columns = {k: getattr(at, k) for k in ("lon", "lat", "epsg", "x0_m", "y0_m")}
    own = {"size_m": np.full(len(events), 2_240.0), "region": ["world"] * len(events)}
    ids = [f"p{n}" for n in range(len(events))]
    return Locations.of_columns({"id": ids, **columns, **own}, {"event": pa.array(events, pa.string())})


def told(its: Recipe, places: Locations) -> list[str]:
    """What a user is told, of places that are all samples but where their side leaves them out."""
    sides = split.planned(its, places).sides
    dropped = {name: side for name, side in sides.items() if side == "buffer"}
    return [*split.unmatched(its, places), *split.without_samples(its, places, dropped)]


def test_an_event_on_neither_list_is_used_for_neither_and_told_by_name(shared: Path):
    published = json.loads((shared / "data/kuro-siwo/splits.json").read_text())
    train, val = ([str(n) for n in published[side]] for side in ("train", "val"))
    test, forgotten = ([str(n) for n in published[side]] for side in ("test", "in_catalogue_but_in_no_split"))
    assert forgotten == ["1111012"]
    places = far_apart([*train, *val, *test, *forgotten])
    its = recipe(train=train, val=val + test)
    assert split.sides(its, places).tolist() == ["train"] * 27 + ["val"] * 17 + ["buffer"]
    assert told(its, places) == ["column 'event': '1111012' has no sample: buffer 1"]
    assert split.sides(recipe(val=val + test), places).tolist()[-1] == "train"  # where no other list is said
    assert told(recipe(val=val + test), places) == []
    without_test = told(recipe(train=train, val=val), places)
    assert without_test == [f"column 'event': {name!r} has no sample: buffer 1" for name in test + forgotten]


def test_what_says_nothing_is_told_and_is_of_neither_where_both_are_listed():
    places = far_apart(["a", None, "b", None])
    assert split.sides(recipe(val=["a"]), places).tolist() == ["val", "train", "train", "train"]
    assert told(recipe(val=["a"]), places) == ["2 locations have nothing in column 'event': they are train"]
    listed = recipe(val=["a"], train=["b", "c"])
    assert split.sides(listed, places).tolist() == ["val", "buffer", "train", "buffer"]
    assert told(listed, places) == [
        "train: no location here has 'c' in column 'event': it makes none train; a typo?",
        "2 locations have nothing in column 'event': they are used for neither",
    ]


def test_many_values_without_a_sample_are_counted_and_not_all_told():
    places = far_apart([str(n) for n in range(60)])
    lines = told(recipe(val=["0"], train=["1"]), places)
    assert len(lines) == split.MOST_VALUES + 1
    assert lines[-1] == "and 38 more that have no sample"


def test_a_value_on_both_lists_or_of_another_type_is_refused():
    with pytest.raises(ValueError, match="'a' is in 'val' and in 'train', expected in one of them"):
        recipe(val=["a", "b"], train=["a"])
    with pytest.raises(ConfigError, match=r"\[split\] train = \[3\]: column 'event' is of string"):
        split.sides(recipe(val=["a"], train=[3]), far_apart(["a"]))
