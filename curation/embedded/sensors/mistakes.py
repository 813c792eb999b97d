"""How maps of land cover err: in patches, at edges, between classes that look alike, by season, and together.

Both maps are made of Sentinel-2, so that what misleads one misleads the other: `Mistakes.correlation` says how much.
Every error follows from where on the ground it is, not from the scene's own grid.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from curation.embedded.world import noise
from curation.embedded.world.cover import COVERS, NEVER, STEPS, greenness, per_code
from curation.embedded.world.ground import Ground
from curation.embedded.world.regions import Region
from curation.embedded.world.traits import EAGER, TOGETHER, Traits

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

WATER, TREES, GRASS, FLOODED, CROPS, SHRUB, BUILT, BARE = range(8)
"""Classes as Dynamic World counts them; snow is its ninth, and seen, not mistaken."""

CLASSES = 8

CONFUSED = {
    "river": (GRASS, FLOODED), "lake": (FLOODED, BARE), "broadleaf": (SHRUB, FLOODED), "conifer": (SHRUB, WATER),
    "meadow": (CROPS, SHRUB), "rough-grass": (SHRUB, CROPS), "marsh": (GRASS, WATER), "wheat": (GRASS, BARE),
    "maize": (BARE, GRASS), "beet": (GRASS, BARE), "rape": (GRASS, CROPS), "cane": (SHRUB, GRASS),
    "shrub": (TREES, GRASS), "roof-tile": (BARE, TREES), "roof-grey": (BARE, WATER), "hall": (BARE, WATER),
    "street": (BARE, GRASS), "garden": (TREES, GRASS), "quarry": (BUILT, CROPS), "road": (CROPS, GRASS),
    "park": (GRASS, SHRUB),
}  # fmt: skip
"""What each kind of ground is taken for, by either map: the first or the second, in patches of their own."""

LIMIT = {
    "road": 0.7, "street": 1.0, "river": 1.5, "shrub": 0.9, "marsh": 0.9, "rough-grass": 0.9, "quarry": 1.1, "lake": 1.5,
}  # fmt: skip
"""Standard deviations beyond which a kind is mistaken: narrow and mixed ones sooner than others."""

_LIMIT = 1.35
"""Of all other kinds: about a tenth of their ground."""

_BARE_LIMIT = 0.55
"""By so much it is lower where what has leaves in summer has none: a map of a day in winter sees twigs and soil."""

_SHIFT_PX = 0.9
"""Standard deviation by which edges lie elsewhere, in pixels of 10 m: position, mixed pixels, a window's size."""

_SIZE = 2048
_SLOPE = 1.35
_LONGEST_PX = 1500
"""Errors come in patches of all sizes up to some 15 km: a few fields, or a whole district."""


@dataclass(frozen=True, slots=True)
class Mistakes:
    """How the two maps' errors go together. The defaults are the Earth that is served."""

    correlation: float = 0.6
    """Between WorldCover's and Dynamic World's error fields: 0, unrelated, to 1, the same."""
    seasons: float = 0.5
    """Of what is Dynamic World's own, how much all of its days have in common: a model errs alike every day."""
    seed: int = 0
    """Another one errs elsewhere."""
    eager: float = 0.0
    """By how much both err sooner, in standard deviations."""


SERVED = Mistakes()
"""Of the Earth that is served by default."""


def of(its: Traits) -> Mistakes:
    """Of an Earth."""
    return replace(SERVED, correlation=TOGETHER, eager=EAGER) if its.labels else SERVED


@dataclass(frozen=True, slots=True)
class Rater:
    """One map of one region: who errs, and when."""

    map: str
    """`wc` or `dw`, with a version."""
    day: str = ""
    """Of a map of one day: what it is called. Empty: of the year."""
    eager: float = 0.0
    """By how much it errs sooner (negative: later), in standard deviations."""
    speckle: float = 0.01
    """Share of single pixels that are of any class at all."""
    leaf: Floats | None = None
    """Green share by code on that day; None: of the year."""


@cache
def _field() -> Floats:
    return noise.power_law((_SIZE, _SIZE), _SLOPE, seed=5, cut=1 / _LONGEST_PX)


def _at(row: Ints, col: Ints, *parts: object) -> Floats:
    """A field of patches, mean 0 and variance 1, at pixels of a frame: another one for other parts."""
    down, right = np.random.default_rng(noise.seed_of(*parts)).integers(0, _SIZE, 2, dtype=np.int32)
    out: Floats = _field().reshape(-1)[((row + down) & (_SIZE - 1)) * np.int32(_SIZE) + ((col + right) & (_SIZE - 1))]
    return out


def _fields(row: Ints, col: Ints, what: str, region: Region, rater: Rater, its: Mistakes) -> Floats:
    """A field of a map: what all maps share, what its own days share, and what is the day's own."""
    own = 1 - its.correlation
    lasting = own * (its.seasons if rater.day else 1.0)
    out: Floats = np.sqrt(np.float32(its.correlation)) * _at(row, col, what, region.seed, its.seed)
    out += np.sqrt(np.float32(lasting)) * _at(row, col, what, region.seed, its.seed, rater.map)
    if rater.day:
        out += np.sqrt(np.float32(own - lasting)) * _at(row, col, what, region.seed, its.seed, rater.map, rater.day)
    return out


@cache
def _true() -> NDArray[np.uint8]:
    return per_code([float(c.dw) for c in COVERS]).astype(np.uint8)


@cache
def _wrong() -> NDArray[np.uint8]:
    """(choice, code)."""
    return np.stack([per_code([float(CONFUSED[c.name][n]) for c in COVERS]) for n in (0, 1)]).astype(np.uint8)


def _limits(rater: Rater) -> Floats:
    out = per_code([LIMIT.get(c.name, _LIMIT) for c in COVERS]) - np.float32(rater.eager)
    if rater.leaf is not None:
        changing = per_code([float(c.leaves is not NEVER) for c in COVERS])
        out -= np.float32(_BARE_LIMIT) * changing * np.clip(1 - rater.leaf / 0.5, 0, 1).astype(np.float32)
    return out.astype(np.float32)


def leaf(doy: float, region: Region) -> Floats:
    """Green share by code on a day of a region's year."""
    of = [greenness(c, doy, **region.look) for c in COVERS]
    return np.stack(of).astype(np.float32).reshape(len(COVERS) * STEPS)


def truth(ground: Ground, row: Ints, col: Ints) -> NDArray[np.uint8]:
    """What the ground is at pixels of its frame, as Dynamic World counts classes; uint8 of their shape."""
    rows, cols = ground.code.shape
    code = ground.code[np.clip(row, 0, rows - 1), np.clip(col, 0, cols - 1)]
    out: NDArray[np.uint8] = _true()[code]
    return out


def mapped(
    ground: Ground, region: Region, row: Ints, col: Ints, rater: Rater, its: Mistakes = SERVED
) -> NDArray[np.uint8]:
    """What a map says the ground is at pixels of its frame, as Dynamic World counts classes; uint8 of their shape.

    Args:
        ground: the truth.
        region: whose it is.
        row: of each pixel in the frame.
        col: of each pixel in the frame.
        rater: which map.
        its: how its errors go with another map's.
    """
    rows, cols = ground.code.shape
    down, right = (
        np.rint(np.float32(_SHIFT_PX) * _fields(row, col, f"edge-{way}", region, rater, its)).astype(np.int32)
        for way in ("down", "right")
    )
    code = ground.code.reshape(-1)[
        np.clip(row + down, 0, rows - 1) * np.int32(cols) + np.clip(col + right, 0, cols - 1)
    ]
    other = (_fields(row, col, "which", region, rater, its) > 0.6).astype(np.int8)
    errs = _fields(row, col, "errs", region, rater, its) > (_limits(rater) - np.float32(its.eager))[code]
    out: NDArray[np.uint8] = np.where(errs, _wrong()[other, code], _true()[code])
    salt = np.uint32(noise.seed_of("speckle", region.seed, its.seed, rater.map, rater.day))
    drawn = noise.hash_u32((row.astype(np.uint32) * np.uint32(65_537) + col.astype(np.uint32)) ^ salt)
    lone = drawn < np.uint32(rater.speckle * 2**32)
    out[lone] = (drawn[lone] % np.uint32(CLASSES)).astype(np.uint8)
    return out
