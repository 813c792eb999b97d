"""How like real patches the embedded Earth's are: `python -m tests.benchmarks.realism`.

Real ones are of `$CURATION_SHARED`: six clear patches of BigEarthNet (1.2 km), a site in Belgium (640 m) with 118 dates of
Sentinel-2, and WorldCover of São Tomé. Those of the embedded Earth, by default and `hard`, are as large, under a clear sky,
at random places of two regions. All of it is few places: a figure that differs much is a difference, one that is near is no
proof of likeness.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray

from curation.embedded.archive.scenes import CLEAR, DENSE, S2, Scene2, more_passes, scene2, shift_of
from curation.embedded.sensors import labels, optics
from curation.embedded.world import ground, regions, traits, view
from curation.embedded.world.grids import Grid
from curation.embedded.world.ground import Ground
from curation.embedded.world.regions import Region
from curation.embedded.world.traits import Traits

DATA = Path(os.environ.get("CURATION_SHARED", "../shared")) / "data"
BANDS = ("B02", "B03", "B04", "B08")
LAGS_PX = (1, 2, 5, 10, 20, 40)
SIDE, PLACES, SUMMER = 120, 12, "2021-07-15"
MARGIN_PX = 300
"""From the edge of a tile, where there is no part of the region."""

Numbers = NDArray[np.float64]


def variogram(band: Numbers) -> list[float]:
    """Half the mean squared difference of pixels that lie so far apart, along both axes, as a share of the variance."""
    out = []
    for lag in LAGS_PX:
        pairs = [(band[lag:] - band[:-lag]) ** 2, (band[:, lag:] - band[:, :-lag]) ** 2] if lag < len(band) else []
        out.append(float(np.mean([p.mean() for p in pairs]) / 2 / band.var()) if pairs else np.nan)
    return out


def entropy_bits(codes: NDArray[np.integer]) -> float:
    """Of the classes of a patch."""
    shares = np.unique(codes, return_counts=True)[1] / codes.size
    return float(abs((shares * np.log2(shares)).sum()))


def joint(image: Numbers) -> list[float]:
    """Correlations of blue with red, red with near infrared, green with near infrared; the first component's share."""
    pixels = image.reshape(len(BANDS), -1)
    corr = np.corrcoef(pixels)
    values = np.linalg.eigvalsh(np.cov(pixels))
    return [corr[0, 2], corr[2, 3], corr[1, 3], values[-1] / values.sum()]


def ndvi(image: Numbers) -> Numbers:
    """Of bands red and near infrared, the last two."""
    return np.asarray((image[3] - image[2]) / np.maximum(image[3] + image[2], 1))


def amplitude(series: Sequence[Numbers]) -> tuple[float, float]:
    """Of NDVI through the year: the median pixel's 95th less 5th percentile; and how much pixels differ in it."""
    low, high = np.nanpercentile(np.stack(series), (5, 95), axis=0)
    return float(np.nanmedian(high - low)), float(np.nanstd(high - low))


def read(path: Path) -> Numbers:
    """The first band."""
    with rasterio.open(path) as file:
        return np.asarray(file.read(1), np.float64)


# ---- real


def bigearthnet() -> list[Numbers]:
    """Six images."""
    folders = sorted((DATA / "bigearthnet-common" / "BigEarthNet-S2-Example").iterdir())
    return [np.stack([read(f / f"{f.name}_{b}.tif") for b in BANDS]) for f in folders if f.is_dir()]


def belgium() -> Iterator[tuple[Numbers, NDArray[np.bool_]]]:
    """Each date's image and which of its pixels the classification calls clear."""
    for folder in sorted((DATA / "real-archive-belgium" / "sentinel-2-l2a").iterdir()):
        clear = np.isin(read(folder / "SCL_20m.tif"), (4, 5, 6)).repeat(2, 0).repeat(2, 1)
        yield np.stack([read(folder / f"{b}_10m.tif") for b in BANDS]), clear


def sao_tome() -> list[NDArray[np.integer]]:
    """WorldCover of patches that are all land or water inside, and not all water."""
    name = "ESA_WorldCover_10m_2021_v200_N00E006"
    with rasterio.open(DATA / "stactools-esa-worldcover" / name / f"{name}_Map.tif") as file:
        codes = file.read(1, window=file.window(6.4, 0.0, 6.8, 0.45).round_offsets().round_lengths())
    found = [
        codes[r : r + SIDE, c : c + SIDE]
        for r in range(0, codes.shape[0] - SIDE, SIDE)
        for c in range(0, codes.shape[1] - SIDE, SIDE)
    ]
    return [p for p in found if (p != 0).all() and (p == 80).mean() < 0.5]


# ---- made


@cache
def land(region: Region) -> Ground:
    """The region's ground."""
    return ground.make(region)


def scene(region: Region, day: str) -> Scene2:
    """A clear scene of a day, whole."""
    of = next(p for p in S2 if p.region == region.name)
    when = dt.datetime.fromisoformat(f"{day}T10:36:29+00:00")
    acquired = dataclasses.replace(of, date=day, sky=CLEAR, edge=None)
    return scene2(acquired, region, region.tiles[-1], "03.01", when, first=True)


def places(region: Region) -> list[tuple[int, int]]:
    """Rows and columns of patches in the scene."""
    grid, rng = scene(region, SUMMER).grid, np.random.default_rng(region.seed)
    high, wide = (n - SIDE - 2 * MARGIN_PX for n in (grid.height, grid.width))
    at = rng.random((PLACES, 2))
    return [(MARGIN_PX + int(r * high) // 12 * 12, MARGIN_PX + int(c * wide) // 12 * 12) for r, c in at]


def image(region: Region, day: str, at: tuple[int, int], side: int = SIDE) -> Numbers:
    """What a day shows of a place."""
    its = dataclasses.replace(scene(region, day), part=(*at, side))
    seen = view.make(land(region), region, its.grid, shift_of(its))
    found = optics.bands(its, seen, optics.light(its, seen), BANDS)
    return np.stack([found[b].astype(np.float64) for b in BANDS])


def mapped(region: Region, at: tuple[int, int]) -> NDArray[np.integer]:
    """WorldCover of a place."""
    grid: Grid = dataclasses.replace(scene(region, SUMMER), part=(*at, SIDE)).grid
    return labels.worldcover(land(region), region, grid, "2.0.0")


# ---- told


def spread(values: Sequence[float], form: str = "{:.2f}") -> str:
    """Median, and the least and greatest."""
    known = [v for v in values if np.isfinite(v)]
    return " ".join(form.format(f(known)) for f in (np.median,)) + (
        f" [{form.format(min(known))} to {form.format(max(known))}]" if len(known) > 1 else ""
    )


def row(name: str, *cells: str) -> None:
    """A line of the table, as docs have it."""
    print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Prints the table."""
    real = bigearthnet()
    dates = list(belgium())
    site = [i for i, clear in dates if clear.mean() > 0.98]
    earths = {name: traits.named(name) for name in (traits.PLAIN, traits.HARD)}
    made = {name: [dataclasses.replace(r, traits=its) for r in two()] for name, its in earths.items()}
    summer = {n: [image(r, SUMMER, at) for r in of for at in places(r)] for n, of in made.items()}
    row(
        "",
        f"BigEarthNet ({len(real)})",
        f"Belgium ({len(site)} clear dates)",
        *(f"{n} ({len(i)})" for n, i in summer.items()),
    )
    print("|---|---|---|---|---|")
    columns = [real, site, *summer.values()]
    for k, lag in enumerate(LAGS_PX):
        cells = [spread([variogram(i[3])[k] for i in of]) if lag < of[0].shape[-1] / 2 else "" for of in columns]
        row(f"variogram of NIR at {10 * lag} m, share of variance", *cells)
    names = ("blue and red", "red and NIR", "green and NIR")
    for k, what in enumerate([f"correlation of {n}" for n in names] + ["variance in the first component of four"]):
        row(what, *(spread([joint(i)[k] for i in of]) for of in columns))
    row("class entropy, bits (WorldCover; real: São Tomé)", *entropies(made))
    row(
        "NDVI through the year, 95th less 5th percentile (and deviation)",
        "",
        *(f"{a:.2f} ({s:.2f})" for a, s in years(dates, made)),
    )
    row("dates a season, fewest, of one region", "", "", *(str(fewest(its)) for its in earths.values()))


def two() -> list[Region]:
    """The regions that are looked at."""
    return [regions.by_name(n) for n in ("lower-rhine", "sao-paulo")]


def entropies(made: dict[str, list[Region]]) -> list[str]:
    """Of patches of WorldCover: real, none of Belgium, and made."""
    real = sao_tome()
    return [f"{spread([entropy_bits(c) for c in real])} ({len(real)})", ""] + [
        spread([entropy_bits(mapped(r, at)) for r in of for at in places(r)]) for of in made.values()
    ]


def years(
    dates: Sequence[tuple[Numbers, NDArray[np.bool_]]], made: dict[str, list[Region]]
) -> list[tuple[float, float]]:
    """Amplitudes: of the site where it is clear, and of places of the first region, every ten days."""
    real = amplitude([np.where(clear, ndvi(i), np.nan) for i, clear in dates])
    days = [str(dt.date(2021, 1, 5) + dt.timedelta(days=10 * k)) for k in range(36)]
    out = [real]
    for first, *_ in made.values():
        every = [amplitude([ndvi(image(first, day, at, 60)) for day in days]) for at in places(first)[:6]]
        out.append((float(np.median([a for a, _ in every])), float(np.median([s for _, s in every]))))
    return out


def fewest(its: Traits) -> int:
    """Sentinel-2 dates of the season that has fewest, in the region that may have many."""
    from curation.embedded.archive.scenes import QUARTERS

    region = dataclasses.replace(regions.by_name(DENSE), traits=its)
    days = [p.date for p in (*S2, *more_passes(region)) if p.region == DENSE]
    within: Callable[[tuple[str, str]], int] = lambda q: sum(q[0] <= d < q[1] for d in days)  # noqa: E731
    return min(map(within, QUARTERS))


if __name__ == "__main__":
    main()
