"""Two small datasets of several sensors whose light is a straight line over wavelength: any band follows from two others.

`s2` has four bands at 10 m, two at 20 m and heights; `radar` has two polarisations. Numbers of val are of other places.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from curation.format.bands import BandEntry
from curation.format.index import ArrayEntry, BandStatistics, Index
from tests.stream import mixes

SIZE_PX = 16


def light(name: str, nm: float) -> BandEntry:
    return BandEntry(name, centre_nm=nm, width_nm=20.0, kind="optical")


FINE = (light("s2.b02", 490), light("s2.b03", 560), light("s2.b04", 665), light("s2.b08", 842))
COARSE = (light("s2.b05", 705), light("s2.b11", 1610))
RADAR = tuple(
    BandEntry(f"s1.{p}", centre_mhz=5405.0, width_mhz=100.0, kind="radar", polarisation=p.upper()) for p in ("vv", "vh")
)
HEIGHTS = (BandEntry("dem.height", kind="elevation"),)

ENTRIES: dict[str, dict[str, ArrayEntry]] = {
    "s2": {
        "s2l2a_10m": mixes.entry("s2l2a", FINE, SIZE_PX, 10.0),
        "s2l2a_20m": mixes.entry("s2l2a", COARSE, SIZE_PX // 2, 20.0),
        "dem_10m": mixes.entry("dem", HEIGHTS, SIZE_PX, 10.0, seasons=(), dtype="float32", unit="m", nodata=-32768.0),
    },
    "radar": {
        "s1rtc_10m": mixes.entry("s1rtc", RADAR, SIZE_PX, 10.0, dtype="int16", unit="0.01 dB", nodata=-32768.0),
    },
}
SAMPLES = {"train": 24, "val": 8}


def ground(split: str, number: int, season: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """(brightness, slope) of a place, each (y, x): of squares of 20 m, so that coarse pixels are as the fine ones."""
    draw = np.random.default_rng([number, season + 1, *split.encode()])
    coarse = draw.normal(size=(2, SIZE_PX // 2, SIZE_PX // 2)) + 1.5 * draw.normal(size=(2, 1, 1))
    times = side // (SIZE_PX // 2)
    brightness, slope = coarse.repeat(times, 1).repeat(times, 2)
    return brightness, slope


def pixels(split: str, of: ArrayEntry, number: int, season: int) -> np.ndarray:
    """As stored: (band, y, x), with one pixel without data."""
    brightness, slope = ground(split, number, season, of.shape[1])
    found = []
    for band in of.canonical:
        if band.centre_nm is not None:
            found.append(10_000 + 400 * brightness + 700 * slope * (band.centre_nm - 900) / 700)
        elif band.centre_mhz is not None:
            found.append(-1200 + 200 * brightness * (1 if band.polarisation == "VV" else -1))
        else:
            found.append(300 + 50 * slope)
    values = np.stack(found)
    values[mixes.is_hole(of.shape, number)] = of.nodata
    return values.round().astype(of.dtype)


def make(
    folder: Path, name: str, samples: Mapping[str, int] | None = None, entries: Mapping[str, ArrayEntry] | None = None
) -> Path:
    """Packs a dataset, with statistics of train as they are, and gives its folder."""
    arrays, done = dict(entries or ENTRIES[name]), {}
    for split, count in (samples or SAMPLES).items():

        def drawn(array: str, number: int, season: int, split: str = split) -> np.ndarray:
            return pixels(split, arrays[array], number, season)

        done[split] = mixes.pack(folder / name, name, count, arrays, pixels=drawn, split=split)
    index = next(iter(done.values()))
    splits = {split: one.splits[split] for split, one in done.items()}
    found = {array: statistics(of, splits["train"].samples) for array, of in arrays.items()}
    whole: Index = replace(index, splits=splits, statistics=found)
    (folder / name / "index.json").write_bytes(whole.to_bytes())
    return folder / name


def statistics(of: ArrayEntry, samples: int) -> dict[str, BandStatistics]:
    """Of train, without what has no data."""
    seasons = range(len(of.seasons)) if of.seasons else [-1]
    there = [(n, s) for n in range(samples) for s in seasons if s < 0 or s in mixes.there(of.source, n)]
    every = np.stack([pixels("train", of, n, s) for n, s in there], 1).astype(float)
    out = {}
    for name, band in zip(of.bands, every, strict=True):
        known = band[band != of.nodata]
        numbers = (known.mean(), known.std(), known.min(), known.max())
        out[name] = BandStatistics(*map(float, numbers), known.size)
    return out
