"""Splits of as many places as a large dataset has take seconds, domains among it, and hold there what they hold of few."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from curation.format.names import DOMAIN
from curation.pack import sharing, split
from curation.pack.domains import known
from curation.pack.sides import apart_rad
from curation.places.locations import Locations
from curation.recipe.dataset import load_dataset
from curation.recipe.schema import Recipe
from tests.benchmarks.splits import RULES, drawn

COUNT = 250_000

MOST_S = 60.0
"""Of CPU, for a domain or a rule: each takes one to five, and what grows with the square of places would take hours."""

RULES_HERE: dict[str, dict[str, Any]] = {
    "leave out a continent": RULES["leave out a continent"],
    "WILDS' five parts": RULES["WILDS' five parts"],
    "five folds of blocks": RULES["five folds of blocks"],
    "five stable folds": {"rule": "folds", "dealt": "stable"},
    "leave out a season": {"rule": "leave-out", "domain": "season", "test": ["winter"]},
}


def simulated(base: dict[str, Any]) -> Locations:
    """Places with all that rules here look at; each has two seasons, of which every third has no winter."""
    places = drawn(COUNT)
    table, recipe = places.table, Recipe.model_validate(base)
    for name in ("continent", "climate_zone", "split_block"):
        values = known.of_places(name, places, recipe)
        assert values is not None
        table = table.append_column(f"{DOMAIN}{name}", pa.array(values.tolist(), pa.string()))
    both = [["summer"] if n % 3 == 0 else ["summer", "winter"] for n in range(COUNT)]
    table = table.append_column(f"{DOMAIN}season", pa.array(["|".join(its) for its in both], pa.string()))
    return Locations(table.append_column(known.seasons_column("season"), pa.array(both, pa.list_(pa.string()))))


@pytest.mark.slow
def test_a_quarter_of_a_million_places_are_split_in_seconds_and_no_two_parts_are_near():
    base = load_dataset("ssl4eo-s12-ml").recipe.model_dump()
    begun = time.process_time()
    places = simulated(base)
    took = {"domains": time.process_time() - begun}
    for name, rule in RULES_HERE.items():
        its = Recipe.model_validate(base | {"split": rule})
        begun = time.process_time()
        sides = split.sides(its, places)
        took[name] = time.process_time() - begun
        inside = np.flatnonzero(np.isin(sides, its.split.parts))
        assert set(its.split.parts) <= set(sides.tolist()), name
        assert len(inside) > 0.7 * COUNT, name
        lon, lat = (places.column(k)[inside] for k in ("lon", "lat"))
        apart = apart_rad(its.grid, its.split.buffer_km)
        assert sharing.near_at(lon, lat, sides[inside].tolist(), apart, its.split.tiers) == 0, name
    assert all(s < MOST_S for s in took.values()), took
    print({name: round(s, 1) for name, s in took.items()})
