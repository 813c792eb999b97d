"""A planet of cities, each like the next: its places, and a snapshot of a catalog that has scenes of them.

Each city has 24 places in one Sentinel-2 scene (SSL4EO-S12 has as many), and the same number of scenes, so that a larger
planet is more of the same. Items have the form of Planetary Computer's; no pixels exist.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray

from curation.places import grids
from curation.recipe.dataset import Dataset

PLACES_PER_CITY = 24
STEP_DEG = 2.0
"""Between cities: their scenes do not touch."""
BLOB = "https://example.blob.core.windows.net"
SCENES = {"s2l2a": 6, "s1rtc": 4, "dynamicworld": 6}
"""Per city and season."""
ROWS = 20_000
"""Items written at a time."""


def cities(count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitudes and latitudes of so many cities."""
    lon, lat = np.meshgrid(np.arange(-179, 180, STEP_DEG), np.arange(-59, 60, STEP_DEG))
    if count > lon.size:
        raise ValueError(f"{count} cities: there is room for {lon.size}")
    return lon.ravel()[:count] + 0.01, lat.ravel()[:count] + 0.01


def write_places(path: Path, count: int) -> int:
    """Writes the places of so many cities as a table; gives how many there are."""
    lon, lat = cities(count)
    rows, cols = np.divmod(np.arange(PLACES_PER_CITY), 5)
    y = lat[:, None] + (rows - 2) * 0.13
    x = lon[:, None] + (cols - 2) * 0.13 / np.cos(np.radians(lat))[:, None]
    pq.write_table(pa.table({"lon": x.ravel(), "lat": y.ravel()}), path)
    return x.size


def write_snapshot(folder: Path, count: int, dataset: Dataset) -> int:
    """Writes the items of so many cities, a file per collection and season, by time; gives how many there are."""
    lon, lat = cities(count)
    total = 0
    for season in dataset.season_names():
        start = dataset.recipe.seasons[season].start
        for source, scenes in SCENES.items():
            passes = ((start + dt.timedelta(days=2 + 5 * n, hours=10), n) for n in range(scenes))
            total += _write(
                folder / f"{source}-{season}.parquet", _passes(source, lon, lat, passes, dataset), dataset, source
            )
    for source in ("dem", "worldcover"):
        part = _items(source, lon, lat, dt.datetime(2021, 1, 1, tzinfo=dt.UTC), 0, dataset)
        total += _write(folder / f"{source}.parquet", iter([part]), dataset, source)
    return total


def _passes(
    source: str, lon: NDArray[Any], lat: NDArray[Any], passes: Iterator[tuple[dt.datetime, int]], dataset: Dataset
) -> Iterator[pa.Table]:
    for time, n in passes:
        for first in range(0, len(lon), ROWS):
            yield _items(source, lon[first : first + ROWS], lat[first : first + ROWS], time, n, dataset)


def _items(source: str, lon: NDArray[Any], lat: NDArray[Any], time: dt.datetime, n: int, dataset: Dataset) -> pa.Table:
    """One item per city: those of Sentinel-2's odd passes cover only the eastern half, as the edge of an orbit does."""
    spec = dataset.specs[source]
    form = spec.catalogs.get("planetary-computer") or spec.catalogs["*"]
    count, half = len(lon), 0.6 / np.cos(np.radians(lat))
    west = lon if source in ("s2l2a", "dynamicworld") and n % 2 else lon - half
    stamp = time.strftime("%Y%m%dT%H%M%S")
    names = [f"{source}-{stamp}-{k:05d}" for k in np.round((lon + 180) * 100 + (lat + 90) * 1e5).astype(int).tolist()]
    bands = [b for a in dataset.arrays[source].values() for b in a.bands]
    keys = [form.assets.get(b, b) for b in bands]
    href = {
        key: pa.array([f"{BLOB}/{form.collection}/{name}/IMG_DATA/{name}_{key}_10m.tif" for name in names])
        for key in keys
    }
    assets = pa.StructArray.from_arrays(
        [pa.StructArray.from_arrays([href[key], pa.array(["image/tiff"] * count)], ["href", "type"]) for key in keys],
        keys,
    )
    properties = {
        "eo:cloud_cover": 7.0 * n,
        "platform": "Sentinel-2A" if n % 2 else "Sentinel-2B",
        "s2:processing_baseline": "05.00",
        "s2:mgrs_tile": f"T{n}",
        "s2:datatake_id": f"GS2A_{stamp}_N05.00",
        "sar:instrument_mode": "IW",
        "sat:orbit_state": "descending" if n % 2 else "ascending",
        "sat:relative_orbit": n,
        "esa_worldcover:product_version": "2.0.0",
    }
    shapes = shapely.box(west, lat - 0.6, lon + half, lat + 0.6)
    return pa.table(
        {
            "id": names,
            "collection": [form.collection] * count,
            "datetime": pa.array([time] * count, pa.timestamp("us", "UTC")),
            "geometry": pa.array(shapely.to_wkb(shapes), pa.binary()),
            "proj:epsg": grids.utm_epsgs(lon, lat),
            **{key: [value] * count for key, value in properties.items()},
            "assets": assets,
        }
    )


def _write(path: Path, parts: Iterator[pa.Table], dataset: Dataset, source: str) -> int:
    del dataset, source
    first = next(parts)
    total = len(first)
    with pq.ParquetWriter(path, first.schema, compression="zstd") as writer:
        writer.write_table(first)
        for part in parts:
            writer.write_table(part)
            total += len(part)
    return total


def names_of(parts: Sequence[Path]) -> list[str]:
    """File names, in order."""
    return sorted(p.name for p in parts)
