"""The control of WILDS has what it is compared with beside train, and as much of that, whatever the target."""

from __future__ import annotations

import numpy as np
import pytest

from curation.cubes.cube import Cube
from curation.outcomes import PatchOutcome, SourceOutcome, Status
from curation.pack import plan
from curation.places import grids
from curation.places.locations import Locations
from curation.recipe.dataset import Dataset, load_dataset
from curation.recipe.schema import Recipe

EXAMPLE = load_dataset("ssl4eo-s12-ml")
PLACES = 120


def parts(scheme: str, target: int | None) -> dict[str, set[str]]:
    """Ids of samples by part: places in a row, of four realms in turn."""
    raw = EXAMPLE.recipe.model_dump()
    raw["split"] = {"rule": "wilds", "domain": "realm", "test": ["a"], "val": ["b"], "id_fraction": 0.2}
    raw["split"] |= {"buffer_km": 0.06, "block_deg": 0.1, "unshared": [], "scheme": scheme}
    raw["domains"] = {"files": {"realm": {"file": "realms.gpkg", "column": "name"}}}
    raw["pack"] |= {"target": target}
    dataset = Dataset(Recipe.model_validate(raw), EXAMPLE.specs, EXAMPLE.path)
    at = grids.snap(8 + 0.1 * np.arange(PLACES), np.full(PLACES, 50.0), 2640.0)
    columns = {k: getattr(at, k) for k in ("lon", "lat", "epsg", "x0_m", "y0_m")}
    same = {"size_m": np.full(PLACES, 2640.0), "region": ["r"] * PLACES, "rank": np.arange(PLACES)}
    found = Locations.of_columns({"id": [f"p{n}" for n in range(PLACES)], **columns, **same}, {})
    ok = {p.id: PatchOutcome(p.id, Status.OK, {"s2l2a": SourceOutcome(Status.OK, scenes=(p.id,))}) for p in found}
    cubes = {season: Cube(dataset, "r", season, found) for season in dataset.cube_seasons()}
    told = {p.id: "abcd"[n % 4] for n, p in enumerate(found)}
    made = plan.plan(dataset, {"r": cubes}, {"r": dict.fromkeys(cubes, ok)}, domains={"realm": told})
    return {part: {m.location.id for shard in of for m in shard} for part, of in made.shards.items()}


@pytest.mark.parametrize("target", [None, 60, 40])
def test_the_control_is_as_large_as_what_it_is_compared_with(target):
    half, mixed = parts("official-half", target), parts("mixed-to-test", target)
    assert target in (None, sum(map(len, half.values())))
    before, after = half.pop("train"), mixed.pop("train")
    assert mixed == half
    assert all(half.values())
    assert len(after) == len(before)
    assert after - before
