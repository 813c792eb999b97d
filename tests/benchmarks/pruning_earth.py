"""What the rules of `curate prune` find on the embedded Earth, of copies among its places and wrong labels put in.

Builds places of 0.96 km of two regions, Sentinel-2 of one date each, and among them 10 % copies with pixels of their own:
shifted (60 to 420 m), overlapping (540 to 720 m), and of another date (60 m beside, seven weeks later). Labels are the class
that Dynamic World's map has most of, and are taken for the truth; of 10 % another is put in their place, in three ways. Half
of the ground, by blocks of 0.05°, is never pruned: a probe is scored there. Pixels and labels are made: figures tell nothing
of real ground, and there is no real counterpart.

    python -m tests.benchmarks.pruning_earth [--root FOLDER] [--step-km 1.5] [--catalog C] [--places-seed 6] [--seeds 5]
"""

from __future__ import annotations

import argparse
import hashlib
import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curation.api.folder import load
from curation.cli import main as command
from curation.embedded.world import regions
from curation.places.domains import block
from curation.worth.prune.duplicates import OTHER_DATE, OVERLAPPING, SHIFTED
from curation.worth.prune.gather import JudgedRelease, candidates
from curation.worth.prune.rules import PruneRules, judged
from curation.worth.prune.samples import JudgedSamples, Labels
from tests.benchmarks.pruning import Found, compared_row, found, found_row, probe_map, with_interval

RECIPE = """
name = "pruning"
title = "Places of the embedded Earth, and copies of some"
seed = 42

[grid]
size_px = 96
res_m = 10

[places]
sampler = "file"
file = "places.csv"

[seasons]
seen = { around = "seen", days = [-24, 24] }

[sources]
s2l2a = {}
dynamicworld = { required = false }

[quality]
min_clear = 0.9

[labels]
seasonal = "dynamicworld"

[split]
val_fraction = 0.0
"""

REGIONS = ("lower-rhine", "sao-paulo")
FIRST, LATER = "2021-06-25", "2021-08-12"
NOISES = ("uniform", "by class", "by town")
BLOCK_DEG, FEWEST, SHARE = 0.05, 20, 0.1
HALVES = ("all", "pruned half", "random half", "stratified half")


def places(step_km: float, seed: int) -> Iterator[str]:
    """Lines of the file of places: id, longitude, latitude, date; ids of copies say of what they are one."""
    rng, count = np.random.default_rng(seed), 0
    beside = 1 + rng.random(2)
    for name in REGIONS:
        west, south, east, north = regions.by_name(name).bbox
        dlat = step_km / 111.2
        dlon = dlat / math.cos(math.radians((south + north) / 2))
        for row in range(int((north - south) / dlat) - 2):
            for column in range(int((east - west) / dlon) - 2):
                lon, lat, count = west + (column + beside[0]) * dlon, south + (row + beside[1]) * dlat, count + 1
                yield f"p{count:04d},{lon:.6f},{lat:.6f},{FIRST}"
                if rng.random() < SHARE / (1 - SHARE):
                    kind = (SHIFTED, OVERLAPPING, OTHER_DATE)[int(rng.integers(3))]
                    beside_m = {SHIFTED: 60 * rng.integers(1, 8), OVERLAPPING: 60 * rng.integers(9, 13)}.get(kind, 60)
                    there = lon + dlon * beside_m / step_km / 1000
                    date = LATER if kind == OTHER_DATE else FIRST
                    yield f"p{count:04d}-{kind.replace('_', '-')},{there:.6f},{lat:.6f},{date}"


def built(root: Path, step_km: float, seed: int, way: str, catalog: str) -> JudgedSamples:
    """The samples of the dataset, which is built and packed where it is not."""
    folder = root / "recipe"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "places.csv").write_text("\n".join(["id,lon,lat,seen", *places(step_km, seed)]) + "\n")
    (folder / "recipe.toml").write_text(RECIPE)
    if not (root / "pruning" / "shards" / "index.json").exists():
        where = ["--dataset", str(folder), "--root", str(root), "--catalog", catalog, "--scheduler", "none"]
        for verb in ("build", "pack"):
            command.main([verb, *where])
    made = load(str(folder), root)
    return candidates(made.dataset, JudgedRelease.load(made.store), made.embed(way).found.features)


@dataclass(frozen=True)
class Ground:
    """Samples of one class each, and what is true of them."""

    samples: JudgedSamples
    truth: NDArray[np.int64]
    names: tuple[str, ...]
    original: NDArray[np.int64]
    """Number of what a sample is a copy of; its own of all else."""
    kind: NDArray[np.str_]
    """Kind of a copy, empty of all else."""
    town: NDArray[np.str_]
    """Block of 0.05°."""


def ground(root: Path, samples: JudgedSamples) -> Ground:
    """Those whose largest class at least 20 have, by the table's fractions."""
    made = load(str(root / "recipe"), root)
    release = JudgedRelease.load(made.store)
    said = dict(zip(release.tables["train"]["id"], release.tables["train"]["fractions_seen"], strict=True))
    labelled = np.array([-1 if said[i] is None else int(np.argmax(said[i])) for i in samples.ids])
    common = [c for c in range(len(release.index.label_names)) if (labelled == c).sum() >= FEWEST]
    rows = np.flatnonzero(np.isin(labelled, common))
    ids = [samples.ids[r] for r in rows]
    number = {name: n for n, name in enumerate(ids)}
    stems = [i.partition("-")[0] for i in ids]
    its = replace(
        samples,
        ids=tuple(ids),
        splits=("train",) * len(ids),
        **{n: getattr(samples, n)[rows] for n in ("lon", "lat", "side_m", "values", "sizes")},
        labels=None,
        domains={},
        same_scenes=lambda a, b: samples.same_scenes(rows[a], rows[b]),
    )
    truth = np.searchsorted(common, labelled[rows])
    original = np.array([number.get(s, n) for n, s in enumerate(stems)])
    kind = np.array([i.partition("-")[2].replace("-", "_") if original[n] != n else "" for n, i in enumerate(ids)])
    town = block.names(its.lon, its.lat, BLOCK_DEG)
    return Ground(its, truth, tuple(release.index.label_names[c] for c in common), original, kind, town)


def noisy(of: Ground, noise: str, seed: int) -> NDArray[np.int64]:
    """Labels of which a tenth is another class."""
    rng, classes = np.random.default_rng([seed, 21]), len(of.names)
    rows = rng.choice(len(of.truth), round(SHARE * len(of.truth)), replace=False)
    if noise == "by town":
        towns = rng.permutation(np.unique(of.town))
        wrong = np.isin(of.town, towns[: round(SHARE / 0.8 * len(towns))])
        rows = np.flatnonzero(wrong & (rng.random(len(wrong)) < 0.8))
    step = 1 if noise == "by class" else rng.integers(1, classes, len(rows))
    out = of.truth.copy()
    out[rows] = (out[rows] + step) % classes
    return out


def found_copies(of: Ground) -> list[str]:
    """How many copies of each kind are found, of all that are left out."""
    its = judged(of.samples, PruneRules(("duplicates",), ("train",)))
    number = {name: n for n, name in enumerate(of.samples.ids)}
    twin = np.array([number.get(t, -1) for t in its.scores["twin"]])
    right = its.out & (twin >= 0) & (of.original == of.original[twin])
    lines = ["| copies | put in | found | called so |", "|---|---|---|---|"]
    for kind in (SHIFTED, OVERLAPPING, OTHER_DATE):
        rows = np.flatnonzero(of.kind == kind)
        pairs = np.array([r if its.out[r] else of.original[r] for r in rows], np.int64)
        called = sum(its.reason[p] == f"duplicate:{kind}" for p in pairs)
        lines.append(f"| {kind} | {len(rows)} | {int(its.out[pairs].sum())} | {called} |")
    told = (
        f"left out as copies: {its.out.sum()}, of which {right.sum()} are; {(its.scores['overlap'] > 0).sum()} samples"
    )
    return [*lines, "", f"{told} share ground with another", ""]


def learned(of: Ground, samples: JudgedSamples, labelled: NDArray[np.int64], seed: int) -> dict[str, float]:
    """mAP on the other half of the ground of a probe of all samples that may be learned from, and of halves of them."""
    rng = np.random.default_rng([seed, 23])
    may = np.flatnonzero(np.array(samples.splits) == "train")
    which = ("duplicates", "mislabelled", "balance")
    rules = PruneRules(which, ("train",), keep=0.5, block_deg=BLOCK_DEG, most_of_class=1.0, seed=seed)
    stays = ~judged(samples, rules).out
    mixed, classes = rng.permutation(may), len(of.names)
    by_label = [m[: round(len(m) / 2)] for c in range(classes) for m in [mixed[labelled[mixed] == c]]]
    held = np.flatnonzero((np.array(samples.splits) == "val") & (of.kind == ""))
    test = (samples.values[held], of.truth[held])
    rows = {
        "all": may,
        "pruned half": may[stays[may]],
        "random half": mixed[: len(may) // 2],
        "stratified half": np.concatenate(by_label),
    }
    return {name: probe_map(samples.values, labelled, np.sort(r), test, classes) for name, r in rows.items()}


def tables(of: Ground, seeds: int) -> list[str]:
    """What is found, and learned."""
    classes, lines = len(of.names), found_copies(of)
    head = [
        f"{len(of.truth)} samples, {seeds} seeds (labels, halves of the ground); mean and 95 % interval over seeds",
        "",
    ]
    lines += [*head, "| labels | put in | recall | precision |", "|---|---|---|---|"]
    scores: dict[str, dict[str, list[float]]] = {k: {h: [] for h in HALVES} for k in NOISES}
    lost: dict[str, list[list[float]]] = {k: [] for k in NOISES}
    for noise in NOISES:
        each: list[Found] = []
        for seed in range(seeds):
            labelled = noisy(of, noise, seed)
            present = np.eye(classes, dtype=np.float32)[labelled]
            side = {t: hashlib.sha256(f"{seed}:{t}".encode()).digest()[0] % 2 for t in np.unique(of.town)}
            splits = tuple("train" if side[t] else "val" for t in of.town)
            samples = replace(of.samples, labels=Labels(of.names, present, several=False))
            which = ("duplicates", "mislabelled")
            rules = PruneRules(which, ("train",), block_deg=BLOCK_DEG, most_of_class=1.0, seed=seed)
            its = judged(samples, rules)
            doubted, left = np.array(its.reason) == "mislabelled", ~np.char.startswith(np.array(its.reason), "dup")
            each.append(found(doubted, (labelled != of.truth) & left))
            fine = left & (labelled == of.truth)
            lost[noise].append([float(doubted[fine & (of.truth == c)].mean()) for c in range(classes)])
            for name, value in learned(of, replace(samples, splits=splits), labelled, seed).items():
                scores[noise][name].append(value)
        lines.append(found_row(noise, each))
    lines += ["", "| right labels, and left out | " + " | ".join(of.names) + " |", "|---" * (classes + 1) + "|"]
    lines += ["| samples | " + " | ".join(str(int((of.truth == c).sum())) for c in range(classes)) + " |"]
    lines += [f"| {k} | " + " | ".join(f"{v:.1%}" for v in np.mean(lost[k], axis=0)) + " |" for k in NOISES]
    lines += ["", "| mAP on other ground | " + " | ".join(HALVES) + " |", "|---" * 5 + "|"]
    lines += [f"| {k} | " + " | ".join(with_interval(v) for v in scores[k].values()) + " |" for k in NOISES]
    lines += ["", "| pruned half less | all | random half | stratified half | |", "|---" * 5 + "|"]
    return lines + [compared_row(k, scores[k]) for k in NOISES]


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path)
    parser.add_argument("--step-km", type=float, default=1.5)
    parser.add_argument("--catalog", default="embedded", help="which Earth: embedded, or embedded-hard (%(default)s)")
    parser.add_argument("--places-seed", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--with", dest="way", default="handmade")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        root = args.root or Path(made)
        of = ground(root, built(root, args.step_km, args.places_seed, args.way, args.catalog))
        print("\n".join(tables(of, args.seeds)))


if __name__ == "__main__":
    main()
