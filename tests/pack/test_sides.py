"""Sides by a column: test stays, val gives way to it, train to both, and nothing gives way without need."""

import tomllib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.errors import ConfigError
from curation.model import Location
from curation.pack import sharing
from curation.pack.sides import HELD_OUT
from curation.pack.split import sides, unmatched
from curation.places.locations import Locations
from curation.places.nearby import EARTH_RADIUS_KM
from curation.places.reach import reach_km
from curation.recipe.files import folder
from curation.recipe.schema import Recipe

RULE = {"rule": "column", "column": "flood", "val": ["b"], "test": ["c"], "buffer_km": 5.0}
SIDE_OF = {"a": "train", "b": "val", "c": "test"}


def recipe(**rule) -> Recipe:
    said = {k: v for k, v in (RULE | rule).items() if v is not None}
    raw = tomllib.loads((folder("manifests") / "kuro-siwo/recipe.toml").read_text())
    return Recipe.model_validate(raw | {"split": said})


def places(*its: tuple[str | None, float, float]) -> Locations:
    """Of each its flood, and where it is, in km east and north of a point on the equator."""
    km = 2 * np.pi * EARTH_RADIUS_KM / 360
    found = []
    for n, (flood, east, north) in enumerate(its):
        where = {"id": f"p{n}", "lon": 9 + east / km, "lat": north / km, "epsg": 32632, "x0_m": 0.0, "y0_m": 0.0}
        found.append(Location(**where, size_m=2240.0, region="world", rank=n, columns={"flood": flood}))
    return Locations.of(found)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 30), st.floats(0, 30)), min_size=1, max_size=12))
def test_no_two_sides_are_near_and_only_what_is_near_is_given_up(its):
    mine = recipe()
    found = sides(mine, places(*its)).tolist()
    near = 2 * reach_km(mine.grid) + 5
    for n, (flood, east, north) in enumerate(its):
        apart = [np.hypot(east - e, north - s) for _, e, s in its]
        others = {found[m] for m, km in enumerate(apart) if km < near - 1e-3}
        if found[n] == "buffer":
            assert flood != "c"
            # Val is given up for test alone; train for what of both is left.
            wanted = {"test"} if flood == "b" else {"test", "val"}
            assert {found[m] for m, km in enumerate(apart) if km < near + 1e-3} & wanted
        else:
            assert found[n] == SIDE_OF[flood]
            assert not others & ({"val", "test"} - {found[n]} if found[n] != "val" else {"test"})


def test_what_gives_way_keeps_nothing_away():
    # 7 km lie between neighbours: val gives way to test, and so train beside it may stay.
    assert sides(recipe(), places(("c", 0, 0), ("b", 7, 0), ("a", 14, 0))).tolist() == ["test", "buffer", "train"]


def test_without_a_value_a_place_is_of_train_and_a_misspelt_one_is_told():
    its = places((None, 0, 0), ("b", 20, 0))
    assert sides(recipe(), its).tolist() == ["train", "val"]
    assert unmatched(recipe(), its) == [
        "test: no location here has 'c' in column 'flood': it makes none test; a typo?",
        "1 locations have nothing in column 'flood': they are train",
    ]


def test_a_value_of_both_sides_and_one_of_another_type_are_refused():
    with pytest.raises(ValueError, match="'b' is in 'val' and in 'test', expected"):
        recipe(test=["c", "b"])
    its = Locations(places(("a", 0, 0)).table.set_column(10, "flood", pa.array([7], pa.int64())))
    with pytest.raises(ConfigError, match=r"\[split\] test = \['c'\]: column 'flood' is of int64"):
        sides(recipe(val=[1]), its)


def test_who_names_no_test_has_the_digest_and_the_sides_that_they_had():
    its = recipe(test=None).split
    assert its.parts == ("train", "val")
    assert not {"test", "unlabelled"} & its.model_dump().keys()
    assert recipe().split.parts == ("train", "val", "test")


def test_what_is_unlabelled_names_a_source_that_may_lack():
    assert recipe(unlabelled="water").split.parts == ("train", "val", "test", "unlabelled")
    with pytest.raises(ValueError, match=r"split.unlabelled = 'dem': expected a source .* required = false"):
        recipe(unlabelled="dem")


def test_what_all_sides_but_those_held_out_share_with_these_is_counted_and_left_out():
    used = {"train": "x", "unlabelled": "y", "val": "x", "test": "y"}
    samples = [sharing.Uses(side, side, {"s1": {name}}) for side, name in used.items()]
    assert sharing.shared(samples)["s1"] == sharing.Shared(2, 2, 2)
    assert sharing.left_out(samples, ["s1"]) == {"train": "shared:s1", "unlabelled": "shared:s1"}


@pytest.mark.parametrize("one", ["train", "val", "test", "unlabelled"])
@pytest.mark.parametrize("other", ["train", "val", "test", "unlabelled"])
def test_ground_that_two_sides_share_is_found(one: str, other: str):
    its = list(places(("a", 0, 0), ("a", 0.1, 0)))
    apart = one != other and bool({one, other} & {*HELD_OUT})
    assert sharing.near_pairs(its, [one, other], 2.0 / EARTH_RADIUS_KM) == apart
