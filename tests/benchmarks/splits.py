"""CPU seconds that domains and each rule of the split take on so many places: `python -m tests.benchmarks.splits [COUNT]`.

Half of the places lie around the most populous cities, as draws of recipes do, with a standard deviation of 50 km; half are
uniform on land. Nothing is built and nothing is read but the atlas.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa

from curation.format.names import DOMAIN
from curation.pack import sharing, split
from curation.pack.domains import known
from curation.pack.sides import apart_rad
from curation.places.land import is_land
from curation.places.locations import Locations
from curation.places.nearby import EARTH_RADIUS_KM, nearest
from curation.recipe import atlas, domains
from curation.recipe.dataset import load_dataset
from curation.recipe.schema import Recipe

RULES: dict[str, dict[str, Any]] = {
    "blocks": {},
    "leave out a continent": {"rule": "leave-out", "domain": "continent", "test": ["Africa"]},
    "leave out a climate zone": {"rule": "leave-out", "domain": "climate_zone", "test": ["BWh"]},
    "leave out a country": {"rule": "leave-out", "domain": "country", "test": ["BRA"]},
    "WILDS' five parts": {"rule": "wilds", "domain": "climate_zone", "test": ["Dfc", "ET"], "val": ["BWh"]},
    "the same, mixed-to-test": {
        **{"rule": "wilds", "domain": "climate_zone", "test": ["Dfc", "ET"], "val": ["BWh"]},
        "scheme": "mixed-to-test",
    },
    "five folds of blocks": {"rule": "folds"},
    "seven folds of continents": {"rule": "folds", "domain": "continent", "k": 7},
    "leave out a hemisphere, 100 km apart": {
        **{"rule": "leave-out", "domain": "hemisphere", "test": ["south"], "buffer_km": 100.0}
    },
}


def drawn(count: int) -> Locations:
    """Places, in no order."""
    rng = np.random.default_rng(0)
    known_cities = atlas.cities()[:10_000]
    city = rng.integers(0, len(known_cities), 2 * count)
    lat = known_cities["lat"][city] / 1e5 + rng.normal(0, 50 / 111.2, len(city))
    lon = known_cities["lon"][city] / 1e5 + rng.normal(0, 50 / 111.2, len(city)) / np.cos(np.radians(lat))
    anywhere = rng.uniform(-180, 180, 4 * count), np.degrees(np.arcsin(rng.uniform(-1, 1, 4 * count)))
    parts = []
    for of_lon, of_lat, wanted in ((lon, lat, count // 2), (*anywhere, count - count // 2)):
        of_lon, there = (of_lon + 180) % 360 - 180, is_land(of_lon, of_lat)
        parts.append(np.stack([of_lon[there][:wanted], of_lat[there][:wanted]]))
    lon, lat = np.concatenate(parts, axis=1)
    zeros = np.zeros(count)
    same = {"epsg": np.full(count, 32601), "x0_m": zeros, "y0_m": zeros, "size_m": np.full(count, 2640.0)}
    return Locations.of_columns(
        {"id": [f"p{n}" for n in range(count)], "lon": lon, "lat": lat, "region": ["r"] * count} | same
    )


def main() -> None:
    """Prints a row of a table per domain and rule."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 250_000
    places, base = drawn(count), load_dataset("ssl4eo-s12-ml").recipe.model_dump()
    recipe = Recipe.model_validate(base)
    known.of_places("country", places[:10], recipe)  # tables are read once
    known.of_places("climate_zone", places[:10], recipe)
    table = places.table
    print(f"| {count:,} places | CPU s | |\n|---|---|---|")
    for name in domains.OF_PLACES:
        begun = time.process_time()
        values = known.of_places(name, places, recipe)
        took = time.process_time() - begun
        assert values is not None
        table = table.append_column(f"{DOMAIN}{name}", pa.array(values.tolist(), pa.string()))
        untold = sum(v.startswith("?") for v in values.tolist())
        print(f"| domain `{name}` | {took:.2f} | {len(set(values.tolist())):,} values, {untold / count:.1%} not told |")
    places = Locations(table)
    for name, rule in RULES.items():
        its = Recipe.model_validate(base | {"split": rule})
        begun = time.process_time()
        sides = split.sides(its, places)
        took = time.process_time() - begun
        begun = time.process_time()
        inside = np.flatnonzero(np.isin(sides, its.split.parts))
        lon, lat = (places.column(k)[inside] for k in ("lon", "lat"))
        apart = apart_rad(its.grid, its.split.buffer_km)
        assert sharing.near_at(lon, lat, sides[inside].tolist(), apart, its.split.tiers) == 0
        learnt = np.isin(sides[inside], its.split.tiers[-1])
        held = np.flatnonzero(~learnt)[:5_000]  # as the report has it
        km = EARTH_RADIUS_KM * nearest(lon[held], lat[held], lon[learnt], lat[learnt])
        proof = time.process_time() - begun
        counts = ", ".join(f"{k} {v:,}" for k, v in sorted(Counter(sides.tolist()).items()))
        least = f"nearest {km.min():.1f} km" if len(km) else ""
        print(f"| {name} | {took:.2f} | proof {proof:.2f} s, {least}: {counts} |")


if __name__ == "__main__":
    main()
