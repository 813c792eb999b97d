"""What refining labels gains: `python -m tests.benchmarks.labels [--quick | --choose] [--correlation 0.6]`.

The truth is the embedded Earth's ground; both maps are made of it with mistakes (`curation.embedded.sensors.mistakes`) whose
correlation is set here. Parameters were set by one region (`--choose` prints that), F1 is told on another, which was looked
at, too, while rules and errors were designed: it is no region held out. A case is a window of 264 pixels in a season.
Abstaining raises F1 by itself: so each map is also asked only as often, per label, as the refined labels answer, for the
cases in which its own fraction is furthest from the threshold. Intervals (95 %) are of a bootstrap over seeds, in which
mistakes and windows differ, not the ground.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from curation.embedded.sensors import labels, mistakes
from curation.embedded.sensors.mistakes import Mistakes
from curation.embedded.world import ground, regions
from curation.embedded.world.cover import STEPS, kind
from curation.embedded.world.ground import Ground
from curation.embedded.world.regions import Region
from curation.pack.annotations.refined_labels import Codes, fractions, refine, without_speckle
from curation.recipe.refine import RefineSpec
from curation.recipe.schema import LabelsSpec

NAMES = ("water", "trees", "grass", "flooded_vegetation", "crops", "shrub_and_scrub", "built", "bare", "snow_and_ice")
CHOSEN_ON, TOLD_ON = "lower-rhine", "sao-paulo"
CORRELATIONS = (0.0, 0.3, 0.6, 0.9)
DAYS = (20, 110, 200, 290)
SIZE_PX, PIXEL_M2 = 264, 100.0
RULES = LabelsSpec()

MAPS = ("WorldCover", "Dynamic World")

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Window:
    """One place: the truth, and what each map says."""

    kinds: NDArray[np.int64]
    truth: Codes
    annual: Codes
    days: list[Codes]


@dataclass(slots=True)
class Cases:
    """Cases of one correlation, (seed, case, label): what is true, and what each way says and how surely."""

    truth: Bools
    says: dict[str, tuple[Bools, Floats]]
    """Way → whether the label is there, and the rank of the cases: of the surest, the highest."""


def windows(land: Ground, region: Region, its: Mistakes, count: int) -> Iterator[Window]:
    """Windows anywhere in a region, the same for the same seed whatever the correlation."""
    rng = np.random.default_rng(1_000 + its.seed)
    rows, cols = land.code.shape
    for _ in range(count):
        top, left = int(rng.integers(rows - SIZE_PX)), int(rng.integers(cols - SIZE_PX))
        row, col = np.mgrid[top : top + SIZE_PX, left : left + SIZE_PX].astype(np.int32)
        days = [labels.daily(region, str(day), day) for day in DAYS]
        made = [mistakes.mapped(land, region, row, col, r, its) for r in (labels.yearly("2.0.0"), *days)]
        year, *by_day = (m.astype(np.int16) for m in made)
        truth = mistakes.truth(land, row, col).astype(np.int16)
        yield Window(land.code[row, col] // STEPS, truth, year, by_day)


def cases(land: Ground, region: Region, its: Sequence[Mistakes], count: int, rules: LabelsSpec = RULES) -> Cases:
    """All cases of some seeds."""
    forced = rules.model_copy(update={"refine": rules.refine.model_copy(update={"min_agreement": 0.0})})
    least = [rules.refine.least_px(n, PIXEL_M2) for n in NAMES]
    threshold = rules.min_fraction
    truth: list[Bools] = []
    found: dict[str, list[Floats]] = {}
    for one in its:
        true: list[Floats] = []
        said: dict[str, list[Floats]] = {}
        for w in windows(land, region, one, count):
            true += [fractions(w.truth, len(NAMES))[0]] * len(DAYS)
            for clean, what in ((False, ""), (True, ", no speckle")):
                maps = [without_speckle(m, least) if clean else m for m in (w.annual, *w.days)]
                year, *days = (fractions(m, len(NAMES))[0] for m in maps)
                said.setdefault(f"WorldCover{what}", []).extend([year] * len(DAYS))
                said.setdefault(f"Dynamic World{what}", []).extend(days)
            refined = refine(w.annual, w.days, NAMES, forced, PIXEL_M2)
            said.setdefault("refined", []).extend(np.stack([refined.present, refined.agreement], -1))
        truth.append(np.stack(true) >= threshold)
        for way, values in said.items():
            found.setdefault(way, []).append(np.stack(values))
    says = {}
    for way, by_seed in found.items():
        every = np.stack(by_seed)
        if way == "refined":
            says[way] = every[..., 0] == 1, every[..., 1]
        else:
            support = np.clip(every / (2 * threshold), 0, 1)
            says[way] = every >= threshold, np.abs(support - 0.5) + 1e-3 * np.abs(every - threshold)
    return Cases(np.stack(truth), says)


def told(of: Cases) -> NDArray[np.int64]:
    """Labels that are told: not those that all cases have, or none."""
    share = of.truth.mean(axis=(0, 1))
    return np.flatnonzero((share > 0.01) & (share < 0.99))


def surest(rank: Floats, share: Floats) -> Bools:
    """Of each label so many of the cases that rank highest, over all seeds."""
    flat = rank.reshape(-1, rank.shape[-1])
    out = np.zeros(flat.shape, bool)
    for label, part in enumerate(share):
        out[np.argsort(-flat[:, label], kind="stable")[: round(part * len(flat))], label] = True
    return out.reshape(rank.shape)


def f1(truth: Bools, says: Bools, decided: Bools, seeds: NDArray[np.int64] | slice = slice(None)) -> Floats:
    """Per label over the decided cases of some seeds; NaN where a label is neither there nor said."""
    t, s, d = truth[seeds], says[seeds], decided[seeds]
    right, wrong = (t & s & d).sum(axis=(0, 1)), ((t ^ s) & d).sum(axis=(0, 1))
    with np.errstate(invalid="ignore"):
        out: Floats = 2 * right / (2 * right + wrong)
    return out


def spread(seeds: int, of: Callable[[NDArray[np.int64]], float]) -> tuple[float, float]:
    """The middle 95 % of what a figure is over seeds drawn again and again."""
    rng = np.random.default_rng(7)
    values = [of(rng.integers(seeds, size=seeds)) for _ in range(400)]
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


def macro(of: Cases, way: str, decided: Bools, seeds: NDArray[np.int64] | slice = slice(None)) -> float:
    """Mean F1 of the labels that are told."""
    return float(np.nanmean(f1(of.truth, of.says[way][0], decided, seeds)[told(of)]))


def gain(of: Cases, way: str, some: dict[str, Bools], seeds: NDArray[np.int64] | slice) -> float:
    """By how much the refined labels are ahead of a way that answers as often."""
    return macro(of, "refined", some["refined"], seeds) - macro(of, way, some[way], seeds)


def of_label(
    of: Cases, label: int, some: dict[str, Bools], seeds: NDArray[np.int64] | slice = slice(None)
) -> tuple[float, float]:
    """By how much the refined labels are ahead of each map in the F1 of one label, at equal coverage."""
    its = {way: f1(of.truth, of.says[way][0], some[way], seeds)[label] for way in ("refined", *MAPS)}
    return its["refined"] - its["WorldCover"], its["refined"] - its["Dynamic World"]


def answered(of: Cases, least: float = RULES.refine.min_agreement) -> dict[str, Bools]:
    """Way → the cases it answers, of each label as many as the refined labels."""
    rank = of.says["refined"][1]
    mine = rank >= least
    share = mine.mean(axis=(0, 1))
    return {way: mine if way == "refined" else surest(its, share) for way, (_, its) in of.says.items()}


def show(correlation: float, of: Cases) -> None:
    """Prints what each way comes to, answering always and as often as the refined labels; and risk by coverage."""
    every, some = np.ones(of.truth.shape, bool), answered(of)
    seeds = len(of.truth)
    share = some["refined"].mean(axis=(0, 1))[told(of)].mean()
    print(f"\ncorrelation {correlation:g}: macro F1; coverage of the refined labels {share:.3f}")
    print(f"{'':28} {'always':>8} {'at equal coverage':>26} {'refined is ahead by':>28}")
    for way in of.says:
        low, high = spread(seeds, partial(macro, of, way, some[way]))
        line = f"{way:28} {macro(of, way, every):8.3f} {macro(of, way, some[way]):10.3f} ({low:.3f} to {high:.3f})"
        if way != "refined":
            ahead = partial(gain, of, way, some)
            low, high = spread(seeds, ahead)
            line += f"   {ahead(slice(None)):+.3f} ({low:+.3f} to {high:+.3f})"
        print(line)
    print("macro F1 by coverage          " + "".join(f"{c:>8.2f}" for c in (1.0, 0.95, 0.9, 0.8, 0.7)))
    for way, (_, rank) in of.says.items():
        risk = [macro(of, way, surest(rank, np.full(rank.shape[-1], c))) for c in (1.0, 0.95, 0.9, 0.8, 0.7)]
        print(f"{way:30}" + "".join(f"{v:8.3f}" for v in risk))
    print(
        f"F1 by label {'has it':>12} {'coverage':>9} {'WorldCover':>11} {'Dynamic W.':>11} {'refined':>8}   (equal coverage)"
        "   ahead of WorldCover; of Dynamic World"
    )
    by = {way: f1(of.truth, of.says[way][0], some[way]) for way in (*MAPS, "refined")}
    for label in told(of):
        ahead = []
        for n in range(len(MAPS)):
            low, high = spread(seeds, lambda drawn, n=n, its=int(label): of_label(of, its, some, drawn)[n])
            ahead.append(f"{of_label(of, int(label), some)[n]:+.3f} ({low:+.3f} to {high:+.3f})")
        print(
            f"{NAMES[label]:18} {of.truth[..., label].mean():5.2f} {some['refined'][..., label].mean():9.2f} "
            f"{by['WorldCover'][label]:11.3f} {by['Dynamic World'][label]:11.3f} {by['refined'][label]:8.3f}   "
            + "; ".join(ahead)
        )


def lines(land: Ground, region: Region, seeds: Sequence[Mistakes], count: int) -> None:
    """Prints how much of rivers and roads is left in each map."""
    exempt = [RULES.refine.least_px(n, PIXEL_M2) for n in NAMES]
    all_of = [RULES.refine.least_area_m2 / PIXEL_M2] * len(NAMES)
    sums = np.zeros((2, 3, 2))
    for its in seeds:
        for w in windows(land, region, its, count):
            for n, (what, label) in enumerate((("river", "water"), ("road", "built"))):
                true = w.kinds == kind(what)
                for m, codes in enumerate(
                    (w.annual, without_speckle(w.annual, exempt), without_speckle(w.annual, all_of))
                ):
                    sums[n, m] += (true & (codes == NAMES.index(label))).sum(), true.sum()
    print("\npixels recalled by WorldCover: as it is, without speckle (linear exempt), the same with none exempt")
    for n, what in enumerate(("rivers", "roads")):
        print(f"{what:8}" + "".join(f"{hit / max(total, 1):8.3f}" for hit, total in sums[n]))


def choose(land: Ground, region: Region, seeds: int, count: int) -> None:
    """Prints the parameters that were tried, on the region that they are chosen on."""
    print("least area m²   stable pooled   correlation   coverage   refined   best single map at that coverage")
    for correlation in (0.0, 0.6):
        for area in (0.0, 500.0, 2_000.0):
            for stable in (RefineSpec().stable, []):
                rules = LabelsSpec(refine=RefineSpec(least_area_m2=area, stable=stable))
                of = cases(land, region, [Mistakes(correlation, seed=s) for s in range(seeds)], count, rules)
                some = answered(of)
                best = max(macro(of, way, some[way]) for way in of.says if way != "refined")
                share = some["refined"].mean(axis=(0, 1))[told(of)].mean()
                mine = macro(of, "refined", some["refined"])
                print(
                    f"{area:13.0f} {bool(stable)!s:>15} {correlation:13.1f} {share:10.3f} {mine:9.3f} {best:9.3f}",
                    flush=True,
                )


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer seeds and windows")
    parser.add_argument("--choose", action="store_true", help="the parameters that were tried, on the other region")
    parser.add_argument("--correlation", type=float, help="one of the maps' errors alone, and no rivers and roads")
    args = parser.parse_args()
    seeds, count = (4, 6) if args.quick else (12, 12)
    region = regions.by_name(CHOSEN_ON if args.choose else TOLD_ON)
    land = ground.make(region)
    if args.choose:
        choose(land, region, max(seeds // 2, 4), 8)
        return
    print(f"parameters set by {CHOSEN_ON}, told on {TOLD_ON}, which was looked at, too")
    print(f"{seeds} seeds of {count} windows in {len(DAYS)} seasons")
    for correlation in CORRELATIONS if args.correlation is None else [args.correlation]:
        its = [Mistakes(correlation, seed=s) for s in range(100, 100 + seeds)]
        show(correlation, cases(land, region, its, count))
    if args.correlation is None:
        lines(land, region, [Mistakes(seed=s) for s in range(100, 102)], count)


if __name__ == "__main__":
    main()
