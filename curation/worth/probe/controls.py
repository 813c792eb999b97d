"""What a probe is held against: features that know a row's place and season alone, and labels that say nothing. Pure."""

from __future__ import annotations

import numpy as np

from curation.places.grids import Floats
from curation.places.nearby import unit
from curation.worth.probe.rows import ProbedEncoder, ProbeRows, ProbeTask

METADATA = "metadata"
"""Longitude, latitude and season: what scores no better than it has learnt where a place is, and not what it looks like."""

SCALES_DEG = (10.0, 1.0, 0.1)
"""How fine the waves are by which a linear probe can tell places from one another."""
WAVES = 16
"""Of each scale."""


def metadata(rows: ProbeRows, seed: int) -> ProbedEncoder:
    """Features of where and when each row is: its point on the unit sphere, waves over the sphere, its season."""
    point = unit(rows.lon, rows.lat)
    seasons = (rows.seasons[:, None] == np.unique(rows.seasons)[None]).astype(np.float64)
    parts = [point, point**2, *_waves(point, seed), seasons]
    return ProbedEncoder(METADATA, np.column_stack(parts), "control")


def _waves(point: Floats, seed: int) -> list[Floats]:
    rng, out = np.random.default_rng(seed), []
    for scale in SCALES_DEG:
        angle = point @ rng.normal(size=(3, WAVES)) / np.radians(scale) + rng.uniform(0, 2 * np.pi, WAVES)
        out.append(np.cos(angle))
    return out


def shuffled(task: ProbeTask, rows: ProbeRows, seed: int) -> ProbeTask:
    """A task whose rows have what is true of another place: places change theirs whole, seasons with seasons.

    Where the other place lacks the season, it is one of those that it has.
    """
    names, of_row = np.unique(rows.places, return_inverse=True)
    other = np.random.default_rng(seed).permutation(len(names))
    its_rows: dict[int, list[int]] = {}
    for row, place in enumerate(of_row.tolist()):
        its_rows.setdefault(place, []).append(row)
    by_season = {
        (place, season): row for row, (place, season) in enumerate(zip(of_row.tolist(), rows.seasons, strict=True))
    }
    chosen = []
    for number, (place, season) in enumerate(zip(of_row.tolist(), rows.seasons, strict=True)):
        theirs = its_rows[int(other[place])]
        chosen.append(by_season.get((int(other[place]), season), theirs[number % len(theirs)]))
    return task.take(np.array(chosen, np.int64))
