"""Simulated places of the whole globe, for tests and benchmarks of graphs."""

from __future__ import annotations

import datetime as dt

import numpy as np

from curation.embedded.sensors import columns
from curation.pack.graph.released import FoundSamples
from curation.pack.graph.series import SampleSeries
from curation.places import era5_cells
from curation.places.nearby import unit


def scattered(count: int, seed: int) -> np.ndarray:
    """Points on the unit sphere (n, 3), as likely anywhere."""
    points = np.random.default_rng(seed).normal(size=(count, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def lonlat(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Degrees of points on the unit sphere."""
    lat = np.degrees(np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1])))
    return np.degrees(np.arctan2(points[:, 1], points[:, 0])), lat


def rotation(seed: int) -> np.ndarray:
    """A rotation of the sphere, as likely as any other."""
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.sign(np.linalg.det(q))


def smooth(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """A smooth field of the globe."""
    x, y, z = unit(lon, lat).T
    return x * y + z**2 + np.sin(3 * x)


def simulated(count: int, seed: int = 0, *, seasons: int = 2, labels: int = 3) -> FoundSamples:
    """A dataset as `released.read` finds one: places anywhere, a fifth of them `val`, labels by where they are."""
    lon, lat = lonlat(scattered(count, seed))
    found = FoundSamples("simulated", "0" * 64, "1" * 64, tuple(f"s{n}" for n in range(seasons)))
    found.label_names = tuple(f"label{n}" for n in range(labels))
    found.ids = [f"p{n:07d}" for n in range(count)]
    found.lon, found.lat, found.half_deg = lon.tolist(), lat.tolist(), [(0.012, 0.012)] * count
    found.splits = ["val" if n % 5 == 0 else "train" for n in range(count)]
    found.regions, found.rows = ["world"] * count, list(range(count))
    patch = np.arange(count * seasons)
    place, season = patch // seasons, patch % seasons
    found.patch_place, found.patch_season = place.tolist(), season.tolist()
    found.time_s = (1_600_000_000 + season * 90 * 86_400 + place % 86_400).tolist()
    draw = np.random.default_rng(seed + 1)
    high = np.stack([smooth(lon + 40 * n, lat) for n in range(labels)], axis=1)[place] + draw.normal(
        0, 0.1, (len(patch), labels)
    )
    shares = np.exp(3 * high)
    found.fractions = list(shares / shares.sum(axis=1, keepdims=True))
    found.scene_patch = patch.tolist()
    found.scene_name = [f"s2l2a/scene-{n // 3}" for n in patch.tolist()]
    return found


FIELDS = ("spreading", "earth", "noise")
"""What a gas of simulated cells does, month by month."""


def of_gas(field: str, side: int, seed: int = 0, *, months: int = 7, block: int = 5) -> FoundSamples:
    """A square of ERA5 cells, a place in each, with a gas that is told month by month; blocks of cells are `val`.

    Args:
        field: `spreading`: each month a cell has four fifths of what its neighbours had and a fifth of its own, and
            something new; `earth`: nitrogen dioxide of the embedded Earth; `noise`: what nobody can tell. All with an error.
        side: cells of the square.
        seed: of the draw.
        months: from January 2021.
        block: cells along a side of what is of one split.
    """
    draw = np.random.default_rng(seed)
    row, column = (a.ravel() for a in np.mgrid[:side, :side])
    number = (row + 560) * era5_cells.COLUMNS + column + 740  # northwards of 50°N, eastwards of 5°E
    lon, lat = era5_cells.nodes(number)
    found = FoundSamples(f"gas-{field}", "0" * 64, "1" * 64, tuple(f"2021-{m + 1:02d}" for m in range(months)))
    found.ids = [f"p{n:05d}" for n in range(len(number))]
    found.lon, found.lat = ((a + draw.uniform(-0.1, 0.1, len(a))).tolist() for a in (lon, lat))
    found.half_deg = [(0.01, 0.01)] * len(number)
    many = -(-side // block)
    is_val = draw.permutation(many**2) < 0.3 * many**2
    found.splits = ["val" if v else "train" for v in is_val[row // block * many + column // block]]
    found.regions, found.rows = ["europe"] * len(number), list(range(len(number)))
    found.patch_place, found.patch_season = list(range(len(number))), [0] * len(number)
    found.time_s = [1_610_000_000] * len(number)
    found.fractions = [()] * len(number)
    values = _gas(field, lon, lat, side, months, draw)
    its = np.array(found.splits, np.str_)
    ids = era5_cells.ids(number)  # which are in order
    found.series = SampleSeries(("s5p-no2",), ("umol m-2",), found.seasons, ids, lon, lat, its, values)
    return found


def _gas(field: str, lon: np.ndarray, lat: np.ndarray, side: int, months: int, draw: np.random.Generator) -> np.ndarray:
    """(cell, 1, month)."""
    if field == "earth":
        of_months = [1e6 * columns.truth("no2", lon, lat, dt.date(2021, m + 1, 15)) for m in range(months)]
        error = 1e6 * columns.by_name("no2").field.sigma / np.sqrt(30)  # as many footprints have a cell, and one orbit
    else:
        now, of_months, error = draw.normal(size=(side, side)), [], 0.1
        for _ in range(months):
            beside = sum(np.roll(now, s, a) for s in (1, -1) for a in (0, 1)) / 4
            new, now = draw.normal(size=(side, side)), 0.8 * beside + 0.2 * now
            now = now / now.std() + 0.3 * new if field == "spreading" else new
            now = now / now.std()
            of_months.append(now.ravel())
    values = np.stack(of_months, axis=1)
    return (values + draw.normal(0, error, values.shape))[:, None].astype(np.float32)
