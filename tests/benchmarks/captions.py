"""What captions hold, and how true they are: `python -m tests.benchmarks.captions [--count 1024] [--size 96]`.

Samples lie anywhere in two regions of the embedded Earth, whose maps err as `curation.embedded.sensors.mistakes` has it.
Shares are predicted by ridge regression of the words of a sample's captions, without digits, on places held out: the eastern
third of the region, and all of the other. Truth is the ground: a statement on cover is false where the ground's share is
further from its class of amounts than a step, and invented where the ground has less of the class than the noise floor; one
on layout is false where the class lies elsewhere on the ground, and invented where it lies nowhere in particular there.
"""

from __future__ import annotations

import argparse
import itertools
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.pack.annotations import refined_labels
from curation.pack.captions import layout
from curation.pack.captions.facts import AMOUNTS, NOISE_FLOOR, covers_of, label_of
from tests.captioned import NAMES, Case, cases

Floats = NDArray[np.float64]

PENALTIES, FOLDS = (1.0, 3.0, 10.0, 100.0, 1e4), 5
"""Of the ridge: the one is taken that does best on parts of what it learns from."""
DRAWS = 20
REGIONS = ("lower-rhine", "sao-paulo")
BINS = (0.5, 0.7, 0.9, 1.01)
"""Of agreement."""


def words_of(texts: Sequence[str], size: int = 1) -> list[str]:
    """Words of a sample's texts, without digits; with `size` 2 also pairs of neighbours."""
    out: list[str] = []
    for text in texts:
        its = re.findall(r"[^\W\d_]+(?:-[^\W\d_]+)*", text.lower())
        out += its
        out += [" ".join(p) for p in itertools.pairwise(its)] if size > 1 else []
    return out


def bags(samples: Sequence[Sequence[str]], known: Sequence[str], size: int = 1) -> Floats:
    """(sample, word): how often each known word stands in a sample's texts; and 1."""
    at = {w: n for n, w in enumerate(known)}
    out = np.zeros((len(samples), len(known) + 1))
    out[:, -1] = 1
    for row, texts in enumerate(samples):
        for word, count in Counter(words_of(texts, size)).items():
            if word in at:
                out[row, at[word]] = count
    return out


def explained(
    train: Sequence[Sequence[str]], y: Floats, test: Sequence[Sequence[str]], target: Floats, size: int = 1
) -> Floats:
    """R² of each share on the held-out samples, and last of all shares together, by ridge regression of words."""
    known = sorted({w for texts in train for w in words_of(texts, size)})
    x, held_out = bags(train, known, size), bags(test, known, size)
    fold = np.arange(len(x)) % FOLDS
    errors = [
        sum(((x[fold == k] @ ridge(x[fold != k], y[fold != k], p) - y[fold == k]) ** 2).sum() for k in range(FOLDS))
        for p in PENALTIES
    ]
    weights = ridge(x, y, PENALTIES[int(np.argmin(errors))])
    error, spread = (held_out @ weights - target) ** 2, (target - target.mean(axis=0)) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.append(1 - error.sum(axis=0) / spread.sum(axis=0), 1 - error.sum() / spread.sum())


def ridge(x: Floats, y: Floats, penalty: float) -> Floats:
    """Weights; the last column of `x` is 1, and not penalised."""
    square = penalty * np.eye(x.shape[1])
    square[-1, -1] = 0
    out: Floats = np.linalg.solve(x.T @ x + square, x.T @ y)
    return out


def stored(case: Case) -> Floats:
    """Shares as they are stored: refined."""
    its = refined_labels.of_sample(case.subject)
    assert its is not None
    return np.nan_to_num(its.fraction[0])


@dataclass(slots=True)
class Rates:
    """Statements on cover, and how many of them are not so on the ground."""

    stated: int = 0
    false: int = 0
    invented: int = 0

    def __str__(self) -> str:
        share = [f"{100 * n / max(self.stated, 1):.1f} %" for n in (self.false, self.invented)]
        return f"{self.stated:6d} statements, {share[0]:>7} false, {share[1]:>7} invented"


def truth(of: Sequence[Case]) -> tuple[dict[str, Rates], Rates]:
    """By least agreement of both maps; and of statements on layout, false where the ground lies otherwise."""
    steps, by_bin, where = (
        list(AMOUNTS),
        {f"{a:g} to {min(b, 1):g}": Rates() for a, b in itertools.pairwise(BINS)},
        Rates(),
    )
    for case in of:
        facts, shares = case.facts, case.shares
        its = refined_labels.of_sample(case.subject)
        assert its is not None
        for fact in covers_of(facts):
            n = NAMES.index(label_of(fact))
            true = next(k for k, least in AMOUNTS.items() if shares[n] >= least)
            rates = list(by_bin.values())[int(np.searchsorted(BINS, its.agreement[0, n], side="right")) - 1]
            rates.stated += 1
            rates.false += abs(steps.index(true) - steps.index(fact.value)) > 1
            rates.invented += bool(shares[n] < NOISE_FLOOR)
        for fact in (f for f in facts if f.name.startswith("layout.")):
            true_place = layout.position(case.truth == NAMES.index(label_of(fact)))
            where.stated += 1
            where.false += true_place not in (fact.value, None) and not _beside(true_place, fact.value)
            where.invented += true_place is None
    return by_bin, where


def _beside(one: str | None, other: str) -> bool:
    """Whether two points of the compass are the same or neighbours."""
    if one not in layout.COMPASS or other not in layout.COMPASS:
        return False
    return (layout.COMPASS.index(one) - layout.COMPASS.index(other)) % 8 in (0, 1, 7)


def duplicates(texts: Sequence[str]) -> float:
    """Share of texts that equal another's."""
    counts = Counter(texts)
    return sum(n for n in counts.values() if n > 1) / len(texts)


def in_a_batch(samples: Sequence[Sequence[str]]) -> float:
    """Share of samples whose caption equals another's, where a reader draws one of each sample's: the mean of some draws."""
    rng = np.random.default_rng(0)
    return float(np.mean([duplicates([t[rng.integers(len(t))] for t in samples]) for _ in range(DRAWS)]))


def east(of: Sequence[Case]) -> NDArray[np.bool_]:
    """Those in the eastern third."""
    lon = np.array([c.subject.location["lon"] for c in of])
    return lon > np.quantile(lon, 2 / 3)


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1024, help="samples of a region")
    parser.add_argument("--size", type=int, default=96, help="side of a sample, pixels of 10 m")
    args = parser.parse_args()
    every = {name: cases(name, args.count, args.size) for name in REGIONS}
    texts = {}
    for name, of in every.items():
        began = time.process_time()
        made = [c.made for c in of]
        texts[name] = [m["captions"] for m in made]
        took = 1000 * (time.process_time() - began) / len(of)
        lengths = Counter(len(t) for t in texts[name])
        print(f"\n{name}: {len(of)} samples of {args.size} pixels, {took:.1f} ms each; captions {dict(lengths)}")
        first_ones = duplicates([t[0] for t in texts[name]])
        print(f"samples whose caption is another's: the first {100 * first_ones:.2f} %, one drawn of each "
              f"{100 * in_a_batch(texts[name]):.2f} %")  # fmt: skip
        by_bin, where = truth(of)
        for agreement, rates in by_bin.items():
            print(f"agreement {agreement:10} {rates}")
        print(f"layout               {where}")
    first = every[REGIONS[0]]
    held = east(first)
    shares = {n: np.stack([stored(c) for c in of]) for n, of in every.items()}
    train = [t for t, h in zip(texts[REGIONS[0]], held, strict=True) if not h]
    mixed = [train[n] for n in np.random.default_rng(0).permutation(len(train))]
    y = shares[REGIONS[0]][~held]
    tests = {
        "east of lower-rhine": (
            [t for t, h in zip(texts[REGIONS[0]], held, strict=True) if h],
            shares[REGIONS[0]][held],
        ),
        "sao-paulo": (texts[REGIONS[1]], shares[REGIONS[1]]),
    }
    print(f"\nR² of stored shares by words without digits; {len(train)} samples to learn from")
    print(f"{'':42}{'all':>6}" + "".join(f"{n[:10]:>11}" for n in NAMES))
    for where_told, (held_out, target) in tests.items():
        for size, which in ((1, "words"), (2, "words and pairs")):
            for what, of_train in (("", train), (", permuted", mixed)):
                r2 = explained(of_train, y, held_out, target, size)
                cells = "".join(f"{v:11.3f}" if np.isfinite(v) else f"{'–':>11}" for v in r2[:-1])
                print(f"{where_told + ', ' + which + what:42}{r2[-1]:6.3f}{cells}")


if __name__ == "__main__":
    main()
