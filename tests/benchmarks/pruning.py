"""What each rule of `curate prune` finds of what was planted, and what a probe learns of the half that it leaves.

A simulated table of features, in towns that differ, with copies, wrong labels and empty samples put in: 10 % copies (exact,
shifted, overlapping, of another date, a quarter each; and as many decoys, which share ground or looks and are no copies),
10 % wrong labels (uniform, class by class, or town by town), 3 % that pack into little. Rules have the thresholds of the
command, chosen without a look at these, but no limit to what a class loses. Every score is on the truth, of other towns.
Nothing here is an image: how alike copies are as numbers is an assumption (`SPREAD`).

    python -m tests.benchmarks.pruning [--seeds 10] [--places 3000] [--scale 1000000]
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from curation.worth.probe import heads, scores
from curation.worth.prune.duplicates import KINDS
from curation.worth.prune.neighbours import RADIUS_M
from curation.worth.prune.rules import PruneRules, judged
from curation.worth.prune.samples import JudgedSamples, Labels

CLASSES = ("trees", "crops", "built", "grass", "water", "wetland", "snow")
SHARES = np.array([0.34, 0.24, 0.16, 0.12, 0.08, 0.04, 0.02])
NOISES = ("uniform", "by class", "by town")
CONFUSED = {"trees": "wetland", "crops": "grass", "built": "crops", "grass": "crops", "water": "wetland"}
"""Labelled as the other: what is wrong class by class."""
WIDE, SIDE_M, PER_TOWN = 24, 2560.0, 25
MARGIN = 0.01
"""Of mAP: what half of the samples may lose against all, fixed before anything was run."""
SPREAD = {"exact": 0.0, "shifted": 0.08, "overlapping": 0.2, "other_date": 0.2}
"""How far a copy's numbers are from the original's, in standard deviations of what differs within a class."""


@dataclass(frozen=True)
class Planted:
    """A table, and what is true of it."""

    samples: JudgedSamples
    truth: NDArray[np.int64]
    """Class of each sample."""
    copy: NDArray[np.int64]
    """Position in `KINDS` of each that was put in as a copy, -1."""
    of: NDArray[np.int64]
    """Number of what it is a copy of; its own of all else, and of decoys."""
    empty: NDArray[np.bool_]
    test: tuple[NDArray[np.float32], NDArray[np.int64]]
    """Numbers and truth of places in other towns."""

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """Whether the label is another than the truth."""
        assert self.samples.labels is not None
        return self.samples.labels.of_one() != self.truth


def _numbers(rng: np.random.Generator, truth, offsets):
    """Class, town and what differs within both."""
    centres = np.random.default_rng(7).normal(0, 0.75, (len(CLASSES), WIDE))
    return (centres[truth] + offsets + rng.normal(size=(len(truth), WIDE))).astype(np.float32)


def _towns(rng: np.random.Generator, count: int):
    """Longitude, latitude, town, class and numbers of places, which do not overlap."""
    town = np.arange(count) // PER_TOWN
    towns = int(town.max()) + 1
    lon, lat = rng.uniform(-180, 180, towns), np.degrees(np.arcsin(rng.uniform(-0.85, 0.85, towns)))
    cell = rng.permuted(np.tile(np.arange(64), (towns, 1)), axis=1)[town, np.arange(count) % PER_TOWN]
    step = np.degrees(1.6 * SIDE_M / RADIUS_M)
    mix = rng.dirichlet(8 * SHARES, towns)
    truth = np.array([rng.choice(len(CLASSES), p=mix[t]) for t in town.tolist()])
    values = _numbers(rng, truth, rng.normal(0, 0.4, (towns, WIDE))[town])
    at = lat[town] + (cell // 8) * step
    return lon[town] + (cell % 8) * step / np.cos(np.radians(at)), at, town, truth, values


def _wrong(rng: np.random.Generator, noise: str, truth, town, share: float):
    """Labels of which a share is wrong."""
    labelled, n = truth.copy(), len(truth)
    if noise == "by class":
        names = np.array(CLASSES)
        can = np.flatnonzero(np.isin(names[truth], list(CONFUSED)))
        rows = rng.choice(can, round(share * n), replace=False)
        labelled[rows] = [CLASSES.index(CONFUSED[names[t]]) for t in truth[rows]]
        return labelled
    if noise == "by town":
        order = rng.permutation(int(town.max()) + 1)
        rows = np.flatnonzero(rng.random(n) < np.where(np.isin(town, order[: round(share / 0.8 * len(order))]), 0.8, 0))
    else:
        rows = rng.choice(n, round(share * n), replace=False)
    labelled[rows] = (truth[rows] + rng.integers(1, len(CLASSES), len(rows))) % len(CLASSES)
    return labelled


def planted(seed: int, places: int, noise: str, share: float = 0.1) -> Planted:
    """A table of so many places, with copies and wrong labels."""
    rng = np.random.default_rng([seed, 11])
    lon, lat, town, truth, values = _towns(rng, places)
    labelled = _wrong(rng, noise, truth, town, share)
    copies = round(share / (1 - share) * places)
    of = rng.choice(places, 2 * copies, replace=False)
    kind = np.arange(2 * copies) % len(KINDS)
    is_copy = np.arange(2 * copies) < copies
    far = np.array([SPREAD[KINDS[k]] for k in kind])
    beside = rng.normal(size=(2 * copies, WIDE)) * far[:, None]
    other = _numbers(rng, rng.choice(len(CLASSES), 2 * copies, p=SHARES), rng.normal(0, 0.4, (2 * copies, WIDE)))
    # Decoys: the same ground at quite another look, or quite the same look a town away, in turn.
    again = np.where((is_copy | (kind % 2 == 1))[:, None], values[of] + beside, other).astype(np.float32)
    again[~is_copy & (kind % 2 == 1)] += 0.05  # alike, and not the same
    low = np.array([0, 0.02, 0.55, 0])[kind]
    east = rng.choice([-1, 1], 2 * copies) * rng.uniform(low, low + np.array([0, 0.4, 0.2, 0])[kind]) * SIDE_M
    east[~is_copy & (kind % 2 == 1)] = 30 * SIDE_M
    lon2 = lon[of] + np.degrees(east / RADIUS_M / np.cos(np.radians(lat[of])))
    dates = np.r_[np.zeros(places), ~is_copy | (kind == KINDS.index("other_date"))]
    everything = np.r_[np.arange(places), of]
    named = labelled[everything]
    n = len(everything)
    empty = rng.random(n) < 0.03
    sizes = np.exp(rng.normal(0, 0.25, (n, 2))) * np.where(truth[everything] == CLASSES.index("water"), 0.5, 1)[:, None]
    sizes[empty] *= 0.1
    samples = JudgedSamples(
        tuple(f"s{k:07d}" for k in rng.permutation(n)),
        ("train",) * n,
        (np.r_[lon, lon2] + 180) % 360 - 180,
        np.r_[lat, lat[of]],
        np.full(n, SIDE_M),
        np.vstack([values, again]),
        Labels(CLASSES, np.eye(len(CLASSES), dtype=np.float32)[named], several=False),
        sizes,
        same_scenes=lambda a, b: dates[a] == dates[b],
    )
    *_, held, test = _towns(np.random.default_rng([seed, 12]), max(places // 2, 20 * PER_TOWN))
    copy = np.r_[np.full(places, -1), np.where(is_copy, kind, -1)]
    original = np.r_[np.arange(places), np.where(is_copy, of, places + np.arange(2 * copies))]
    return Planted(samples, truth[everything], copy, original, empty, (test, held))


@dataclass(frozen=True)
class Found:
    """How well a rule finds what was put in."""

    recall: float
    precision: float
    put_in: int
    left_out: int


def found(said: NDArray[np.bool_], true: NDArray[np.bool_]) -> Found:
    """Of what a rule leaves out, and what it should."""
    both = int((said & true).sum())
    return Found(both / max(int(true.sum()), 1), both / max(int(said.sum()), 1), int(true.sum()), int(said.sum()))


def found_copies(world: Planted, out: NDArray[np.bool_], twin: NDArray[np.object_]) -> dict[str, Found]:
    """Kind of copy → how many of the pairs lose one, whichever; and of all that is left out how much has its true twin."""
    number = {name: n for n, name in enumerate(world.samples.ids)}
    right = np.zeros(len(out), bool)
    for row in np.flatnonzero(out).tolist():
        right[row] = world.of[row] == world.of[number[twin[row]]]
    whole = int((out & right).sum()) / max(int(out.sum()), 1)
    result = {}
    for k, kind in enumerate(KINDS):
        rows = np.flatnonzero(world.copy == k)
        lost = out[rows] | out[world.of[rows]]
        result[kind] = Found(float(lost.mean()), whole, len(rows), int(out.sum()))
    return result


def probe_map(values, labelled, rows, test, classes: int = len(CLASSES)) -> float:
    """mAP over classes in other towns, of a linear probe that is fitted on some rows."""
    fit, held = heads.scaled(values[rows], test[0])
    y = np.eye(classes)[labelled[rows]]
    weights = heads.logistic(fit, y, 1e-2, exclusive=True)
    said = held @ weights[:-1] + weights[-1]
    each = scores.average_precisions(said, np.eye(classes)[test[1]], np.ones((1, len(test[1]))))
    return float(np.nanmean(each))


HALVES = ("all", "pruned half", "random half", "stratified half", "clean half")
"""The last, for comparison: a random half of what is no copy and has a true label."""


def halves(world: Planted, seed: int) -> dict[str, float]:
    """mAP of a probe of all samples, and of halves of them."""
    its, rng = world.samples, np.random.default_rng([seed, 13])
    assert its.labels is not None
    labelled, n = its.labels.of_one(), len(its.ids)
    rules = PruneRules(("duplicates", "mislabelled", "balance"), ("train",), most_of_class=1.0, keep=0.5, seed=seed)
    stays = np.flatnonzero(~judged(its, rules).out)
    mixed, fine = rng.permutation(n), np.flatnonzero((world.copy < 0) & ~world.wrong)
    by_label = np.concatenate(
        [m[: round(len(m) / 2)] for c in range(len(CLASSES)) for m in [mixed[labelled[mixed] == c]]]
    )
    rows = {
        "all": np.arange(n),
        "pruned half": stays,
        "random half": mixed[: n // 2],
        "stratified half": by_label,
        "clean half": rng.permutation(fine)[: n // 2],
    }
    return {name: probe_map(its.values, labelled, np.sort(r), world.test) for name, r in rows.items()}


@dataclass(frozen=True)
class Compared:
    """A mean difference over seeds, with its interval (Student's t, 95 %), and what could have been seen."""

    mean: float
    low: float
    high: float
    seen_from: float
    """Smallest true difference that so many seeds find four times of five."""


def compared(one: Sequence[float], other: Sequence[float]) -> Compared:
    """One less the other, seed by seed."""
    differ = np.subtract(one, other)
    n = len(differ)
    error = float(differ.std(ddof=1) / np.sqrt(n))
    t = float(stats.t.ppf(0.975, n - 1))
    return Compared(
        float(differ.mean()),
        float(differ.mean() - t * error),
        float(differ.mean() + t * error),
        (t + float(stats.t.ppf(0.8, n - 1))) * error,
    )


def with_interval(values: Sequence[float]) -> str:
    """Mean and interval."""
    mean, n = float(np.mean(values)), len(values)
    half = float(stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n)) if n > 1 else float("nan")
    return f"{mean:.3f} ± {half:.3f}"


def tables(seeds: int, places: int) -> list[str]:
    """All of it, as lines of Markdown."""
    rules = PruneRules(splits=("train",), most_of_class=1.0)
    copies: dict[str, list[Found]] = {k: [] for k in KINDS}
    labels: dict[str, list[Found]] = {k: [] for k in NOISES}
    empty: list[Found] = []
    lost: dict[str, dict[str, list[float]]] = {k: {c: [] for c in CLASSES} for k in NOISES}
    learned: dict[str, dict[str, list[float]]] = {k: {h: [] for h in HALVES} for k in NOISES}
    for noise in NOISES:
        for seed in range(seeds):
            world = planted(seed, places, noise)
            its = judged(world.samples, replace(rules, seed=seed))
            reason = np.array([r.partition(":")[0] for r in its.reason])
            if noise == NOISES[0]:
                for kind, one in found_copies(world, reason == "duplicate", its.scores["twin"]).items():
                    copies[kind].append(one)
                rest = reason != "duplicate"
                empty.append(found((reason == "uninformative"), world.empty & rest & (reason != "mislabelled")))
            doubted, rest = reason == "mislabelled", reason != "duplicate"
            labels[noise].append(found(doubted, world.wrong & rest))
            for c, name in enumerate(CLASSES):
                mine = rest & (world.truth == c)
                lost[noise][name].append(float((doubted & ~world.wrong)[mine].sum() / max(mine.sum(), 1)))
            for name, value in halves(world, seed).items():
                learned[noise][name].append(value)
    lines = [f"{seeds} seeds, {places} places and {round(places / 9)} copies; mean and 95 % interval over seeds", ""]
    lines += ["| rule | put in | recall | precision |", "|---|---|---|---|"]
    for name, each in [*((f"duplicate: {k}", v) for k, v in copies.items()), ("uninformative", empty)]:
        lines.append(found_row(name, each))
    lines += [found_row(f"mislabelled, {k}", v) for k, v in labels.items()]
    lines += ["", "| true label, and left out as mislabelled | " + " | ".join(CLASSES) + " |", "|---" * 8 + "|"]
    lines += [f"| {k} | " + " | ".join(f"{np.mean(v):.1%}" for v in lost[k].values()) + " |" for k in NOISES]
    lines += ["", "| mAP in other towns | " + " | ".join(HALVES) + " |", "|---" * 6 + "|"]
    lines += [f"| {k} | " + " | ".join(with_interval(v) for v in learned[k].values()) + " |" for k in NOISES]
    lines += ["", "| pruned half less | all | random half | stratified half | |", "|---" * 5 + "|"]
    return lines + [compared_row(k, learned[k]) for k in NOISES]


def compared_row(noise: str, scores: Mapping[str, Sequence[float]]) -> str:
    """By how much the pruned half is better than the others, and whether it is shown to be no worse than all."""
    cells = [compared(scores["pruned half"], scores[h]) for h in ("all", "random half", "stratified half")]
    verdict = "no worse than all" if cells[0].low > -MARGIN else "not shown to be no worse than all"
    return f"| {noise} | " + " | ".join(map(_told, cells)) + f" | {verdict} by {MARGIN:g} |"


def _told(its: Compared) -> str:
    return f"{its.mean:+.3f} ({its.low:+.3f} to {its.high:+.3f}; seen from {its.seen_from:.3f})"


def found_row(name: str, each: list[Found]) -> str:
    """A line of a table."""
    cells = [with_interval([f.recall for f in each]), with_interval([f.precision for f in each])]
    return f"| {name} | {np.mean([f.put_in for f in each]):.0f} | {' | '.join(cells)} |"


def scale(count: int) -> list[str]:
    """What all four rules take of so many samples, most of them in the towns of others."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    world = planted(0, round(count / 1.1112), "uniform")
    made = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rules = PruneRules(("duplicates", "mislabelled", "information", "balance"), ("train",), keep=0.5)
    begun, wall = time.process_time(), time.perf_counter()
    its = judged(
        world.samples, rules, lambda name: print(f"{time.process_time() - begun:8.0f} s CPU  {name}", flush=True)
    )
    cpu, wall = time.process_time() - begun, time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    told = f"{len(its.reason):,} samples of {WIDE} numbers: {cpu:.0f} s CPU, {wall:.0f} s, peak {peak / 1e6:.2f} GB"
    return [f"{told} ({made / 1e6:.2f} GB before, {before / 1e6:.2f} of them Python), {its.out.sum():,} left out"]


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--places", type=int, default=3000)
    parser.add_argument("--scale", type=int, help="only what so many samples take")
    args = parser.parse_args()
    print("\n".join(scale(args.scale) if args.scale else tables(args.seeds, args.places)))


if __name__ == "__main__":
    main()
