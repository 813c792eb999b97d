"""Seasons of one sample that are of different values: which part a place is of, and which seasons it has there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.pack import split
from curation.pack.domains import known
from curation.pack.season_parts import SeasonParts
from curation.pack.sides import BUFFER, NO_DOMAIN, TWO_DOMAINS
from curation.places.locations import Locations
from curation.recipe.dataset import load_dataset
from curation.recipe.schema import Recipe

BASE = load_dataset("ssl4eo-s12-ml").recipe.model_dump()


def recipe(rule: str = "leave-out", **more: Any) -> Recipe:
    its = {"rule": rule, "domain": "season", "test": ["winter"], "buffer_km": 5.0, "block_deg": 0.5, "unshared": []}
    return Recipe.model_validate(BASE | {"split": its | more})


def places(told: list[list[str]], domain: str = "season") -> Locations:
    """Places of which each season is told to be of one text; some near to one another, most not."""
    n = np.arange(len(told))
    columns = {"lon": n * 0.31 % 120 - 60, "lat": n // 400 * 0.4, "epsg": np.full(len(n), 32631)}
    own = {"id": [f"p{k}" for k in n], "size_m": np.full(len(n), 2640.0), "region": ["r"] * len(n)}
    every = {**own, **columns, "x0_m": np.zeros(len(n)), "y0_m": np.zeros(len(n))}
    texts = ["|".join(sorted({v for text in its for v in text.split("|")})) or "?unknown" for its in told]
    out = Locations.of_columns(every, {f"domain_{domain}": pa.array(texts, pa.string())})
    return Locations(out.table.append_column(known.seasons_column(domain), pa.array(told, pa.list_(pa.string()))))


SEASONS = ["spring", "summer", "autumn", "winter"]
SOME = st.lists(st.lists(st.sampled_from(SEASONS), unique=True, max_size=4), min_size=1, max_size=60)


@pytest.mark.parametrize(
    ("rule", "more"),
    [
        ("leave-out", {"val_fraction": 0.2}),
        ("leave-out", {"val": ["autumn"], "test_fraction": 0.3}),
        ("wilds", {"val": ["autumn"], "id_fraction": 0.3}),
    ],
)
@given(told=SOME)
def test_a_part_has_places_of_its_own_and_of_these_its_own_seasons_alone(rule, more, told):
    mine, its = recipe(rule, **more), places(told)
    found = split.sides(mine, its).tolist()
    held = {"test": {"winter"}, **({"val": {"autumn"}} if "val" in more else {})}
    rest = set(SEASONS) - set().union(*held.values())
    assert set(found) <= {*mine.split.parts, BUFFER, NO_DOMAIN}
    for side, seasons in zip(found, told, strict=True):
        kept = split.seasons_of(mine, side, {s: s for s in seasons})
        if side in mine.split.parts:
            assert kept  # no sample without a season
            assert kept == {*seasons} & held.get(side, rest)
        assert (side == NO_DOMAIN) == (not seasons)


def test_a_place_is_of_test_by_its_block_where_it_has_both_and_by_what_it_has_where_not():
    mine = recipe(buffer_km=0.0, val_fraction=0.0)
    both = split.sides(mine, places([["summer", "winter"]] * 4000))
    share = (both == "test").sum() / len(both)
    assert share == pytest.approx(0.2, abs=0.04)  # of blocks: a few hundred
    assert split.sides(recipe(buffer_km=0.0, test_fraction=0.4), places([["summer", "winter"]] * 4000)).tolist().count(
        "test"
    ) == pytest.approx(1600, abs=200)
    assert set(split.sides(mine, places([["winter"]] * 50))) <= {"test", BUFFER}
    assert set(split.sides(mine, places([["summer"]] * 50))) <= {"train", BUFFER}


def test_a_season_of_two_values_is_of_no_part_and_others_of_the_place_are():
    mine = recipe(domain="year", by_season=True, test=["2021"], buffer_km=0.0, val_fraction=0.0)
    its = places([["2020", "2020|2021"], ["2020|2021"], ["2021", "?unknown"], ["?unknown"]], "year")
    assert split.sides(mine, its).tolist() == ["train", TWO_DOMAINS, "test", NO_DOMAIN]
    assert split.seasons_of(mine, "train", {"a": "2020", "b": "2020|2021", "c": "?unknown"}) == {"a"}
    assert split.seasons_of(mine, "test", {"a": "2020", "b": "2020|2021", "c": "2021"}) == {"c"}


def test_samples_are_told_to_be_of_what_their_seasons_are():
    mine = recipe(domain="platform", by_season=True, test=["s2c"])
    told = {
        "platform": {"p": {"summer": "s2a|s2b", "winter": "s2c"}},
        "year": {"p": {"summer": "2020", "winter": "2021"}},
    }
    apart = SeasonParts.of(mine, told)
    assert apart is not None
    of = {"platform": {"p": "s2a|s2b|s2c"}, "year": {"p": "2020|2021"}, "continent": {"p": "Asia"}}
    for side, platform, year in (("train", "s2a|s2b", "2020"), ("test", "s2c", "2021")):
        kept = apart.seasons(mine, {"p": side, "q": "buffer"})
        assert {k: v["p"] for k, v in apart.domains(of, kept).items()} == {
            "platform": platform,
            "year": year,
            "continent": "Asia",
        }
    assert SeasonParts.of(recipe(domain="year", test=["2021"]), told) is None
    assert SeasonParts.of(recipe(by_season=False), told) is None


@pytest.mark.parametrize(
    ("rule", "more", "said"),
    [
        (
            "leave-out",
            {"domain": "continent", "test": ["Asia"], "by_season": True},
            "the same in all seasons of a place",
        ),
        ("leave-out", {"domain": "year", "test": ["2021"], "test_fraction": 0.1}, "goes with by_season = true"),
        ("wilds", {"val": ["autumn"], "scheme": "mixed-to-test"}, "by season there is 'official' alone"),
        ("leave-out", {"test_fraction": 0.5}, "less than 0.5"),
    ],
)
def test_what_means_nothing_by_season_is_refused(rule, more, said):
    with pytest.raises(ValueError, match=said):
        recipe(rule, **more)


def test_cells_with_children_are_not_told_apart_by_season():
    raw = load_dataset("ssl4eo-s").recipe.model_dump()
    season = next(iter(raw["seasons"]))
    with pytest.raises(ValueError, match=r"seasons of cells with \[children\] cannot be told apart"):
        Recipe.model_validate(raw | {"split": {"rule": "leave-out", "domain": "season", "test": [season]}})


def test_a_part_that_has_seasons_of_others_leaks_whichever_it_is():
    mine = recipe()
    fine = {"train": {"summer": 3, "spring|summer": 2}, "test": {"winter": 3}}
    assert split.leaks(mine.split, fine) == []
    (line,) = split.leaks(mine.split, fine | {"test": {"summer|winter": 2}})
    assert line == "2 samples of season 'summer|winter' in test, which is of winter alone"
    (line,) = split.leaks(mine.split, fine | {"train": {"summer|winter": 2}})
    assert line == "2 samples of season 'summer|winter' in train, which is left out for test"
