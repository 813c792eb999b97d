"""The samples that every contender delivers: real pixels, cut and turned anew for each, always the same ones.

A sample is four seasons of Sentinel-2 and radar, heights, and two class maps on 264 px of 10 m, in two forms:

- **native**: what the sensors gave: `s2_10m` (4, 4, 264, 264), `s2_20m` (4, 6, 132, 132), `s2_60m` (4, 2, 44, 44) uint16,
  `s1` (4, 2, 264, 264) int16 hundredths of a dB, `dem` (1, 88, 88) float32 metres, `worldcover` (1, 264, 264) uint8,
  `dynamicworld` (4, 1, 264, 264) uint8;
- **10 m**: what peers store and what is compared: `s2` (4, 12, 264, 264) uint16 and `dem` (1, 264, 264) int16, both by
  bilinear interpolation of the native pixels, rounded; the others as they are. 8.29 MB.

Each season of a sample is a place of `terramind`, at an offset of whole 60 m pixels, turned and flipped. Beyond its
224 px it goes on transposed or upside down, so that no row comes twice: plain mirrors would, and codecs that look for
matches found them, for a ratio of 2.2 instead of 1.5. Native pixels are moved, never resampled, so that noise stays what
it was. Seasons are thus different places, which no codec here minds: members are packed season by season.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.benchmarks.streaming import pixels
from tests.benchmarks.streaming.pixels import Array

SEASONS = ("winter", "spring", "summer", "autumn")
SIZE = 264
_BLOCK = 6
"""10 m pixels to the side of a 60 m one."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample in both forms."""

    key: str
    native: dict[str, Array]
    ten: dict[str, Array]
    meta: dict[str, Any]


@functools.cache
def _places() -> list[dict[str, Array]]:
    return pixels.terramind()


def _window(place: dict[str, Array], rng: np.random.Generator) -> dict[str, Array]:
    """All of a place on 264 px, in a random position and orientation; whole 60 m pixels stay whole."""
    usable = {k: a[:, : a.shape[1] // _BLOCK * _BLOCK, : a.shape[2] // _BLOCK * _BLOCK] for k, a in place.items()}
    side = next(iter(usable.values())).shape[1]
    y, x = rng.integers(0, (2 * side - SIZE) // _BLOCK + 1, 2) * _BLOCK
    turns, flip = int(rng.integers(4)), bool(rng.integers(2))

    def cut(a: Array) -> Array:
        across = a.swapaxes(1, 2)
        wide = np.block([[a, across], [a[:, ::-1, ::-1], across[:, ::-1, ::-1]]])[:, y : y + SIZE, x : x + SIZE]
        turned = np.rot90(wide, turns, axes=(1, 2))
        return turned[:, :, ::-1] if flip else turned

    return {k: cut(a) for k, a in usable.items()}


def bilinear(a: Array, factor: int) -> Array:
    """(…, y, x) on a grid `factor` times as fine, pixel centres kept, edges repeated; rounded where whole numbers."""
    out = a.astype(np.float32)
    for axis in (-2, -1):
        n = a.shape[axis]
        at = (np.arange(n * factor, dtype=np.float32) + 0.5) / factor - 0.5
        low = np.clip(np.floor(at).astype(int), 0, n - 1)
        high, share = np.clip(np.floor(at).astype(int) + 1, 0, n - 1), (at - np.floor(at)).astype(np.float32)
        share = share[:, None] if axis == -2 else share
        out = np.take(out, low, axis) * (1 - share) + np.take(out, high, axis) * share
    return np.rint(out).astype(a.dtype) if a.dtype.kind in "iu" else out


def nearest(a: Array, factor: int) -> Array:
    """(…, y, x) with every pixel repeated."""
    return a.repeat(factor, axis=-2).repeat(factor, axis=-1)


def together(parts: dict[int, Array]) -> Array:
    """(season, 12 bands, y, x) out of the groups, all on 10 m, bands in order."""
    found = {b: parts[res][:, i] for res, names in pixels.GROUPS.items() for i, b in enumerate(names)}
    return np.stack([found[b] for b in pixels.BANDS], axis=1)


def make(number: int) -> Sample:
    """Sample `number`."""
    rng, places = np.random.default_rng([7, number]), _places()
    windows = [_window(places[int(rng.integers(len(places)))], rng) for _ in SEASONS]
    s2 = np.stack([w["s2"] for w in windows])
    groups = {
        res: np.ascontiguousarray(s2[:, [pixels.BANDS.index(b) for b in names], :: res // 10, :: res // 10])
        for res, names in pixels.GROUPS.items()
    }
    # TerraMesh brings heights to 10 m; every third pixel is as far apart as those of the 30 m model.
    dem = np.ascontiguousarray(windows[0]["dem"][:, 1::3, 1::3]).astype(np.float32)
    shared = {
        "s1": np.stack([pixels.centidb(w["s1"]) for w in windows]),
        "worldcover": np.ascontiguousarray(windows[0]["classes"]),
        "dynamicworld": np.stack([w["classes"] for w in windows]),
    }
    native = {f"s2_{res}m": a for res, a in groups.items()} | {"dem": dem} | shared
    fine = {res: a if res == 10 else bilinear(a, res // 10) for res, a in groups.items()}
    ten = {"s2": together(fine), "dem": np.rint(bilinear(dem, 3)).astype(np.int16)} | shared
    key = f"utm32n-{500_000 + number * 2640}-5629040"
    return Sample(key, native, ten, _meta(key, number))


def _meta(key: str, number: int) -> dict[str, Any]:
    labels = {"fractions": [0.5, 0.25, 0.25], "valid_fraction": 1.0, "multi_hot": [1, number % 2, 0]}
    times = {s: f"2021-{1 + 3 * i:02d}-15T10:36:29Z" for i, s in enumerate(SEASONS)}
    of = ("s2l2a", "s1rtc", "dynamicworld")
    return {
        "id": key,
        "lon": 9.0 + number / 1000,
        "lat": 50.8,
        "epsg": 32632,
        "x0_m": 500_000.0 + number * 2640,
        "y0_m": 5_629_040.0,
        "size_m": 2640.0,
        "region": "benchmark",
        "split": "train",
        "static": {"sources": {s: {"scenes": [s]} for s in ("dem", "worldcover")}, "labels": labels},
        "seasons": {
            s: {"sources": {k: {"scenes": [f"{k}-{number}-{s}"], "time": t} for k in of}, "labels": labels}
            for s, t in times.items()
        },
    }


def meta_json(sample: Sample) -> bytes:
    """Its small JSON."""
    return json.dumps(sample.meta, sort_keys=True, separators=(",", ":")).encode()
