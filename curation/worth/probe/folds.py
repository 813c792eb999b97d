"""Which rows a probe is fitted on, and which it is scored on: never the same place, nor ground of one. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.errors import ConfigError
from curation.errors.words import counted
from curation.places.domains import block
from curation.places.grids import Floats, Ints
from curation.places.nearby import nearest
from curation.worth.probe.rows import ProbeRows

Texts = NDArray[np.str_]

TUNING_PARTS = 4
"""Of what a probe is fitted on, one part of so many decides how strongly it is held back, and is fitted on afterwards."""

LEAST_BLOCKS = 20
"""Of how many blocks folds are made at least, where nobody says how large these are."""

SIDES_DEG = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
"""How large they are then: the largest of these (55 to 1.1 km) that makes so many."""


def side_deg(lon: Floats, lat: Floats, first_deg: float = SIDES_DEG[0]) -> float:
    """Side of blocks, degrees of latitude, where nobody says it: `first_deg`, or smaller where places lie near together."""
    sides = (first_deg, *(side for side in SIDES_DEG if side < first_deg))
    counts = ((side, len(np.unique(block.names(lon, lat, side)))) for side in sides)
    return next((side for side, count in counts if count >= LEAST_BLOCKS), sides[-1])


@dataclass(frozen=True, slots=True)
class PlaceFold:
    """One way of fitting and scoring: numbers of rows, ascending."""

    fit: Ints
    scored: Ints
    tuned_on: Ints
    """Those that a probe is fitted on while its strength is chosen: places of `fit` that keep off `tuning`."""
    tuning: Ints
    """Those of `fit` by which it is chosen: of other blocks than `tuned_on`, or, where `fit` has too few, other places."""


def of_blocks(rows: ProbeRows, k: int, block_deg: float, apart_rad: float, seed: int) -> list[PlaceFold]:
    """As many folds of whole blocks of the sphere, about as many places in each: every row is scored once.

    A place is of the block that holds the centre of its first row. Of what is fitted, places are left out whose centre is
    nearer than `apart_rad` to one that is scored, so that no ground is on both sides where two blocks meet.

    Args:
        rows: of all places.
        k: how many folds, 2 or more.
        block_deg: side of a block, degrees of latitude.
        apart_rad: radians.
        seed: of which blocks of one size come first.

    Raises:
        ConfigError: there are fewer blocks than a fold and what is fitted for it want.
    """
    blocks = _blocks(rows, block_deg)
    if len(names := np.unique(blocks)) < k:
        raise ConfigError(
            f"--folds {k}: {len(np.unique(rows.places))} places lie in {counted(len(names), 'block')} of {block_deg:g}°, "
            "expected at least as many; say smaller blocks (--block-deg) or fewer folds"
        )
    part = _dealt(rows.places, blocks, k, seed)
    return [
        _fold(rows, np.flatnonzero(part != n), np.flatnonzero(part == n), block_deg, apart_rad, seed) for n in range(k)
    ]


def of_sides(rows: ProbeRows, fit: str, scored: str, block_deg: float, apart_rad: float, seed: int) -> list[PlaceFold]:
    """The one fold that the dataset's own split is: fitted on one side, scored on another.

    Raises:
        ConfigError: a side has no rows, or a place is of both.
    """
    of_fit, of_scored = (np.flatnonzero(rows.splits == name) for name in (fit, scored))
    for name, its in ((fit, of_fit), (scored, of_scored)):
        if not len(its):
            raise ConfigError(
                f"side {name!r}: no row with a label is of it; there are {', '.join(np.unique(rows.splits))}"
            )
    return [_fold(rows, of_fit, of_scored, block_deg, apart_rad, seed)]


def _fold(rows: ProbeRows, fit: Ints, scored: Ints, block_deg: float, apart_rad: float, seed: int) -> PlaceFold:
    """Raises ConfigError where a place is on both sides, or nothing is left to fit on."""
    if both := set(rows.places[fit].tolist()) & set(rows.places[scored].tolist()):
        raise ConfigError(f"place {min(both)}: it is fitted on and scored; expected all rows of a place on one side")
    fit = _apart(rows, fit, scored, apart_rad)
    part = _tuning_parts(rows.take(fit), block_deg, seed)
    tuning = fit[part == 0]
    tuned_on = _apart(rows, fit[part != 0], tuning, apart_rad)
    if not len(tuned_on):
        raise ConfigError(
            f"folds: of {len(rows)} rows none is left to fit on that keeps {_km(apart_rad):.3g} km off what is scored; "
            "say smaller folds, or a smaller buffer"
        )
    return PlaceFold(fit, scored, tuned_on, tuning)


def _apart(rows: ProbeRows, fit: Ints, scored: Ints, apart_rad: float) -> Ints:
    """Rows of those places of `fit` of which no row lies near one of `scored`."""
    near = nearest(rows.lon[fit], rows.lat[fit], rows.lon[scored], rows.lat[scored], apart_rad) <= apart_rad
    return fit[~np.isin(rows.places[fit], rows.places[fit][near])] if apart_rad > 0 else fit


def _tuning_parts(rows: ProbeRows, block_deg: float, seed: int) -> Ints:
    """Part of each row that is fitted on; dealt place by place where there are fewer blocks than parts."""
    blocks = _blocks(rows, block_deg)
    few = len(np.unique(blocks)) < TUNING_PARTS
    return _dealt(rows.places, rows.places if few else blocks, TUNING_PARTS, seed)


def _blocks(rows: ProbeRows, block_deg: float) -> Texts:
    """The block of each row: that which holds the centre of its place's first row."""
    _, first, of_row = np.unique(rows.places, return_index=True, return_inverse=True)
    out: Texts = block.names(rows.lon[first], rows.lat[first], block_deg)[of_row]
    return out


def _dealt(places: Texts, blocks: Texts, k: int, seed: int) -> Ints:
    """Part of each row, 0 to k - 1: blocks dealt whole, the largest first, each to the part with the fewest places."""
    _, first = np.unique(places, return_index=True)
    names, counts = np.unique(blocks[first], return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    sizes, part = np.zeros(k, np.int64), np.zeros(len(names), np.int64)
    for number in order[np.argsort(-counts[order], kind="stable")]:
        part[number] = np.argmin(sizes)
        sizes[part[number]] += counts[number]
    out: Ints = part[np.searchsorted(names, blocks)]
    return out


def _km(angle: float) -> float:
    return math.degrees(angle) * 111.195
