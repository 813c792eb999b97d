"""Which measure of `curate distance` sees which fault, at how many places: faults put into pixels, told from the whole.

    python -m tests.benchmarks.distances shards/ssl4eo-s12-ml     # a packed dataset; of the embedded Earth: synthetic
    python -m tests.benchmarks.distances --belgium                # 118 real dates of one site ($CURATION_SHARED)

Each time the places are dealt to two sides at random and the fault is in one of them alone; a cell is the share of draws
in which the measure's p is at most 0.05 (of bands the least one, by Holm over the bands). Of the row `nothing` that share
should be about 0.05.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy import ndimage

from curation.format.bands import BandEntry
from curation.format.index import ArrayEntry
from curation.pack.export.of_shards import index_of
from curation.store import paths
from curation.store.objects import Store
from curation.worth.distance.compare import ComparedPair, corrected
from curation.worth.distance.estimate import Looks
from curation.worth.distance.measures.known import MEASURES
from curation.worth.distance.pair import pair_of, scaling
from curation.worth.features import making, patches
from curation.worth.features.patches import FeaturePatch, Pixels, SkippedPatch
from curation.worth.features.table import Features, joined

Entries = Mapping[str, ArrayEntry]
Patches = Sequence[FeaturePatch]
Found = tuple[list[FeaturePatch], Entries, list[FeaturePatch]]
"""Patches of a season, their arrays, patches of another season."""


def is_optical(entry: ArrayEntry) -> bool:
    return patches.quantity(entry)[1].endswith("reflectance")


def is_radar(entry: ArrayEntry) -> bool:
    return patches.quantity(entry)[1].endswith("dB")


# ---- faults: an array's pixels with and without ---------------------------------------------------------------------


def haze(pixels: Pixels, entry: ArrayEntry) -> Pixels:
    """A veil of 8 % that is as bright as thin cloud."""
    return pixels * 0.92 + np.float32(0.08 * 0.35) if is_optical(entry) else pixels


def blur(pixels: Pixels, entry: ArrayEntry) -> Pixels:
    """A Gaussian of one pixel."""
    return ndimage.gaussian_filter(pixels, (0, 1, 1)) if is_optical(entry) else pixels


def offset(pixels: Pixels, entry: ArrayEntry) -> Pixels:
    """+1000 DN: what baselines from 04.00 on add."""
    return pixels + np.float32(0.1) if is_optical(entry) else pixels


def linear(pixels: Pixels, entry: ArrayEntry) -> Pixels:
    """Radar as linear power where decibels are said."""
    return 10 ** (pixels / 10) if is_radar(entry) else pixels


def shift(pixels: Pixels, entry: ArrayEntry) -> Pixels:
    """All of a patch one pixel to the south-east: nothing that a set of patches should tell."""
    return np.roll(pixels, (1, 1), (1, 2))


def apart(pixels: Pixels, entry: ArrayEntry) -> Pixels:
    """Near infrared one pixel beside the other bands of its array."""
    out = pixels.copy()
    for n, band in enumerate(entry.canonical):
        if band.common_name == "nir":
            out[n] = np.roll(pixels[n], (1, 1), (0, 1))
    return out


FAULTS: Mapping[str, Callable[[Pixels, ArrayEntry], Pixels]] = {
    "nothing": lambda pixels, _entry: pixels,
    "haze of 8 %": haze,
    "blur of 1 px": blur,
    "+1000 DN": offset,
    "radar linear for dB": linear,
    "whole patch 1 px aside": shift,
    "nir 1 px aside": apart,
}
SWAP, TWICE = "another season", "half of it twice"
"""Faults that are of whole samples."""

READ = ("auc", "mmd", "kid", "energy", "frechet", "sliced", "coverage", "bands")
SHOWN = ("auc", "mmd", "kid", "energy", "frechet", "sliced", "density", "coverage", "duplicates", "band_w1", "band_js")
DIMS = 6
"""Principal components that the Fréchet distance is of, since it is refused of few places otherwise."""


def faulty(clean: Patches, entries: Entries, fault: str) -> list[FeaturePatch]:
    """The same patches with a fault in their pixels, less a border of one, so that nothing comes in from the other side."""
    its = FAULTS[fault]
    return [replace(p, pixels={n: its(x, entries[n])[:, 1:-1, 1:-1] for n, x in p.pixels.items()}) for p in clean]


def embedded(some: Patches, entries: Entries, way: str) -> Features:
    """Features of patches in memory."""
    ready = making.way_of(way).prepared(entries)
    return making.of_patches(some, ready.vectors(some), ready, SimpleNamespace(label_names=()), entries, "", {})  # type: ignore[arg-type]


def sides(
    whole: Features, wrong: Features, fault: str, places: int, rng: np.random.Generator
) -> tuple[Features, Features]:
    """Two sets of so many places each, none in both: as they are, and with the fault."""
    a = rng.permutation(np.unique(whole.places))[:places]
    b = rng.permutation(np.setdiff1d(wrong.places, a))[:places]
    if fault == TWICE:
        half = wrong.rows(np.isin(wrong.places, b[: places // 2]))
        again = replace(half, places=np.char.add(half.places, "-again"), keys=np.char.add(half.keys, "-again"))
        return whole.rows(np.isin(whole.places, a)), joined([half, again])
    return whole.rows(np.isin(whole.places, a)), wrong.rows(np.isin(wrong.places, b))


def told_by(a: Features, b: Features, looks: Looks, read: Sequence[str] = READ) -> dict[str, float]:
    """Measure → its p, corrected over bands; NaN of what is refused."""
    scale, few = scaling([a, b]), scaling([a, b], DIMS)
    estimates = [e for name in read for e in MEASURES[name](pair_of(a, b, few if name == "frechet" else scale), looks)]
    found = corrected([ComparedPair("a", "b", 0, estimates)])[0]
    out: dict[str, float] = {}
    for e in found.estimates:
        out[e.measure] = float(np.nanmin([out.get(e.measure, np.nan), e.p_holm])) if e.of else e.p
    return out


def shares(
    whole: Features, wrong: Mapping[str, Features], places: int, draws: int, looks: Looks, read: Sequence[str] = READ
) -> dict[str, dict[str, float]]:
    """Fault → measure → share of draws in which it says that the sides differ."""
    out = {}
    for fault, its in wrong.items():
        rng = np.random.default_rng([looks.seed, places])  # every fault is of the same draws
        if len(np.unique(its.places)) < places:
            continue  # too few of the other season
        p = [told_by(*sides(whole, its, fault, places, rng), replace(looks, seed=s), read) for s in range(draws)]
        out[fault] = {m: float(np.mean([v[m] <= 0.05 for v in p])) if np.isfinite(p[0][m]) else np.nan for m in p[0]}
    return out


def table(found: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """The lines of a table in Markdown."""
    yield f"| fault | {' | '.join(SHOWN)} |"
    yield f"|---|{'---|' * len(SHOWN)}"
    for fault, of in found.items():
        cells = ["–" if not np.isfinite(of.get(m, np.nan)) else f"{of[m]:.2f}" for m in SHOWN]
        yield f"| {fault} | {' | '.join(cells)} |"


# ---- where patches come from ----------------------------------------------------------------------------------------


def of_dataset(
    folder: str, arrays: Sequence[str], seasons: tuple[str, str]
) -> tuple[list[FeaturePatch], Entries, list[FeaturePatch]]:
    """Patches of a packed dataset in one season, and those of another."""
    store = Store(folder)
    index = index_of(store)
    entries = patches.chosen(index, arrays)
    every = [
        p
        for piece in patches.pieces(store.child(paths.SHARDS), index, entries)
        for sample in patches.patches(piece, index, entries)
        for p in sample
        if not isinstance(p, SkippedPatch)
    ]
    return [p for p in every if p.season == seasons[0]], entries, [p for p in every if p.season == seasons[1]]


def entry_of(source: str, bands: Sequence[tuple[str, str]], side: int, unit: str, res_m: float) -> ArrayEntry:
    """An array of an index that there is not."""
    canonical = tuple(BandEntry(f"{source[:2]}.{n.lower()}", common_name=c or None) for n, c in bands)
    names = tuple(n for n, _ in bands)
    return ArrayEntry(
        source,
        ("summer",),
        names,
        (len(bands), side, side),
        "float32",
        unit,
        float("nan"),
        res_m,
        "data",
        canonical=canonical,
    )


BELGIUM = "real-archive-belgium"
CLEAR, LEAST_CLEAR = (4, 5, 6, 7), 0.98
"""Codes of SCL, and the share of a patch that has to have one of them."""
OPTICAL = (("B02", "blue"), ("B03", "green"), ("B04", "red"), ("B08", "nir"))


def of_belgium(shared: Path) -> Found:
    """Real patches of 320 m: a quarter of the site on each clear date. A date is what is drawn; those of winter apart.

    Radar is of the acquisition that is nearest in time.
    """
    import rasterio

    def image(folder: Path, band: str) -> Pixels:
        with rasterio.open(folder / f"{band}.tif") as file:
            pixels = file.read(1).astype(np.float32)
            pixels[pixels == file.nodata] = np.nan
        return pixels

    root = shared / "data" / BELGIUM
    radar = sorted((root / "sentinel-1-rtc").iterdir(), key=lambda f: f.name.split("_")[4])
    days = np.array([np.datetime64(f"{d[:4]}-{d[4:6]}-{d[6:8]}") for d in (f.name.split("_")[4] for f in radar)])
    summer: list[FeaturePatch] = []
    winter: list[FeaturePatch] = []
    for scene in sorted((root / "sentinel-2-l2a").iterdir()):
        text = next(part for part in scene.name.split("_") if len(part) >= 8 and part[:2] == "20")
        day = np.datetime64(f"{text[:4]}-{text[4:6]}-{text[6:8]}")
        mask = image(scene, "SCL_20m")
        optical = np.stack([image(scene, f"{b}_10m") for b, _ in OPTICAL]) / np.float32(10_000)
        near = radar[int(np.abs(days - day).argmin())]
        with np.errstate(divide="ignore", invalid="ignore"):
            power = 10 * np.log10(np.stack([image(near, b) for b in ("vv", "vh")]))
        month = int(text[4:6])
        into = summer if 4 <= month <= 9 else winter
        for y, x in np.ndindex(2, 2):
            own = {
                "s2l2a_10m": optical[:, y * 32 : y * 32 + 32, x * 32 : x * 32 + 32],
                "s1rtc_20m": power[:, y * 16 : y * 16 + 16, x * 16 : x * 16 + 16],
            }
            clear = np.isin(mask[y * 16 : y * 16 + 16, x * 16 : x * 16 + 16], CLEAR).mean() >= LEAST_CLEAR
            if clear and all(np.isfinite(p).mean() > 0.9 for p in own.values()):
                into.append(FeaturePatch(f"{text}-{y}{x}", text, "train", "summer", "be", 5.0, 50.8, {}, {}, own))
    entries = {
        "s2l2a_10m": entry_of("s2l2a", OPTICAL, 32, "reflectance", 10.0),
        "s1rtc_20m": entry_of("s1rtc", (("vv", ""), ("vh", "")), 16, "gamma0, dB", 20.0),
    }
    return summer, entries, winter


def of_noise(count: int, side: int = 24, seed: int = 0) -> Found:
    """Patches of smooth fields of two covers, whose shares and spectra differ by place; greener in the other season."""
    entries = {
        "s2l2a_10m": entry_of("s2l2a", OPTICAL, side, "reflectance", 10.0),
        "s1rtc_10m": entry_of("s1rtc", (("vv", ""), ("vh", "")), side, "gamma0, dB", 10.0),
    }
    rng = np.random.default_rng(seed)
    spectra = np.array([[0.03, 0.06, 0.04, 0.32], [0.08, 0.11, 0.15, 0.24]])
    power = np.array([[-9.0, -15.0], [-13.0, -21.0]])
    out: tuple[list[FeaturePatch], list[FeaturePatch]] = ([], [])
    for n in range(count):
        field = ndimage.gaussian_filter(rng.normal(size=(side, side)), 2)
        cover = (field > rng.normal(0, 0.05)).astype(int)
        own = spectra * (1 + rng.normal(0, 0.08, (2, 1)))
        for number, green in enumerate((1.0, 0.6)):
            light = own[cover].transpose(2, 0, 1) * np.array([1, 1, 2 - green, green])[:, None, None]
            optical = (light + rng.normal(0, 0.006, light.shape)).astype(np.float32)
            echo = (power[cover].transpose(2, 0, 1) + rng.normal(0, 1.5, (2, side, side))).astype(np.float32)
            its = {"s2l2a_10m": optical, "s1rtc_10m": echo}
            out[number].append(FeaturePatch(f"p{n}", f"p{n}", "train", "summer", "r", 0.0, 0.0, {}, {}, its))
    return out[0], entries, out[1]


def all_of(clean: Patches, entries: Entries, other: Patches, way: str) -> tuple[Features, dict[str, Features]]:
    """Features of what is whole, and of each fault."""
    wrong = {fault: embedded(faulty(clean, entries, fault), entries, way) for fault in FAULTS}
    whole = wrong["nothing"]
    return whole, wrong | {SWAP: embedded(faulty(other, entries, "nothing"), entries, way), TWICE: whole}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", nargs="?", help="folder of a packed dataset with s2l2a_10m and s1rtc_10m")
    parser.add_argument("--belgium", action="store_true")
    parser.add_argument("--seasons", default="summer,winter")
    parser.add_argument("--places", default="8,12,24", help="on each side")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--ways", default="handmade,convolutions")
    args = parser.parse_args()
    began = time.process_time()
    if args.belgium:
        clean, entries, other = of_belgium(Path(os.environ["CURATION_SHARED"]))
    else:
        first, second = args.seasons.split(",")
        clean, entries, other = of_dataset(args.dataset, ("s2l2a_10m", "s1rtc_10m"), (first, second))
    units: Any = len({p.place for p in clean}), len({p.place for p in other})
    print(f"{len(clean)} patches of {units[0]} units; of another season {len(other)} of {units[1]}")
    for way in args.ways.split(","):
        whole, wrong = all_of(clean, entries, other, way)
        for places in map(int, args.places.split(",")):
            if 2 * places <= units[0]:
                print(f"\n{way} ({len(whole.names)} numbers), {places} on each side, {args.draws} draws\n")
                print("\n".join(table(shares(whole, wrong, places, args.draws, Looks(0, 399, 2)))), flush=True)
    print(f"\n{time.process_time() - began:.0f} s of CPU")


if __name__ == "__main__":
    main()
