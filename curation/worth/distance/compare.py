"""All pairs of some sides, by all measures that are asked for: estimates, corrected for how many there are."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from curation.errors import ConfigError
from curation.errors.words import did_you_mean
from curation.work.progress import Counting
from curation.worth.distance.estimate import LEVEL, DistanceEstimate, Looks, holm
from curation.worth.distance.measures.known import MEASURES
from curation.worth.distance.pair import Pair, pair_of, scaling
from curation.worth.distance.sides import Side

FORMAT, VERSION = "curation-distance", 1

MOST_BLOCK_DEG = 30.0
"""Side of the largest cell whose places are drawn together: beyond, there are too few of them on the Earth."""


@dataclass(frozen=True, slots=True)
class ComparedPair:
    """What all measures say of two sides."""

    a: str
    b: str
    shared: int
    """Patches that both have."""
    estimates: Sequence[DistanceEstimate]

    def of(self, measure: str) -> list[DistanceEstimate]:
        """Those of a measure; of bands and labels several."""
        return [e for e in self.estimates if e.measure == measure]

    def refused(self) -> dict[str, list[str]]:
        """Why some are not told → which measures, each once."""
        why: dict[str, dict[str, None]] = {}
        for e in (e for e in self.estimates if e.refused):
            why.setdefault(e.refused, {})[e.measure] = None
        return {text: list(names) for text, names in why.items()}


@dataclass(frozen=True, slots=True)
class DistanceTable:
    """A report's numbers, and what they were made of."""

    embedding: str
    digest: str
    dimensions: int
    """Numbers that were compared, once constants were out and components taken."""
    numbers: int
    """Numbers of the embedding."""
    sides: Mapping[str, tuple[int, int]]
    """Label → places and rows."""
    left_out: Mapping[str, int]
    """Domains with too few places → how many they have."""
    block_deg: float | None
    looks: Looks
    pairs: Sequence[ComparedPair]
    skipped: Mapping[str, int]
    """Why patches of the datasets have no features → how many."""
    synthetic: str = ""
    """What must be said of pixels that nobody observed, dataset by dataset; empty where all were."""

    def measures(self) -> list[str]:
        """Names of the numbers that there are, in order."""
        return list(dict.fromkeys(e.measure for p in self.pairs for e in p.estimates))

    def blunt(self) -> list[str]:
        """Measures that can tell of nothing here, whatever there is: too few permutations, or places that are permuted."""
        every = [e for p in self.pairs for e in p.estimates if math.isfinite(e.p)]
        count = Counter(e.measure for e in every)
        return sorted({e.measure for e in every if count[e.measure] / min(e.permutations + 1, e.orders) > LEVEL})

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON has it: null for what is not known."""
        value = asdict(self) | {"format": FORMAT, "version": VERSION}
        out: dict[str, Any] = _plain(value)
        return out


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def checked(names: Sequence[str] | None) -> list[str]:
    """The measures that are asked for; all where None.

    Raises:
        ConfigError: there is none such.
    """
    if wrong := [n for n in names or () if n not in MEASURES]:
        raise ConfigError(
            f"--measures {wrong[0]}: {did_you_mean(wrong[0], MEASURES)}expected some of {', '.join(MEASURES)}"
        )
    return [n for n in MEASURES if names is None or n in names]


def compared(
    sides: Sequence[Side],
    looks: Looks,
    *,
    measures: Sequence[str] | None = None,
    dims: int | None = None,
    block_deg: float | None = None,
    left_out: Mapping[str, int] | None = None,
    skipped: Mapping[str, int] | None = None,
) -> DistanceTable:
    """Every two of some sides.

    Args:
        sides: at least two, of one embedding.
        looks: seed, and how often it is drawn.
        measures: some of `MEASURES`; all where None.
        dims: principal components, of all sides together; None: all numbers.
        block_deg: places of one cell of so many degrees are resampled together; None: each is drawn alone.
        left_out: told in the result.
        skipped: told in the result.

    Raises:
        ConfigError: there are no two sides, they are not of one embedding, or nothing can be drawn so.
    """
    names = checked(measures)
    _check(looks, dims, block_deg)
    if len(sides) < 2:
        few = "".join(f"; {n} has {count} places" for n, count in (left_out or {}).items())
        raise ConfigError(
            f"{', '.join(s.label for s in sides) or 'nothing'}: expected two sides at least to compare{few}"
        )
    check_alike(sides)
    scale = scaling([s.features for s in sides], dims, looks.seed)
    couples = list(itertools.combinations(sides, 2))
    found = []
    with Counting("distance", len(couples) * len(names), "measure") as count:
        for a, b in couples:
            pair, estimates = pair_of(a.features, b.features, scale, block_deg, looks.seed), list[DistanceEstimate]()
            for name in names:
                estimates += MEASURES[name](pair, looks.of_family(len(couples) * _asked(name, pair)))
                count.step()
            found.append(ComparedPair(a.label, b.label, _shared(a, b), estimates))
    first = sides[0].features
    return DistanceTable(
        first.name,
        first.digest,
        scale.count,
        len(first.names),
        {s.label: (len(set(s.features.places.tolist())), len(s.features)) for s in sides},
        dict(left_out or {}),
        block_deg,
        looks,
        corrected(found),
        dict(skipped or {}),
    )


def _check(looks: Looks, dims: int | None, block_deg: float | None) -> None:
    """Raises ConfigError where nothing could be drawn so."""
    if block_deg is not None and not 0 < block_deg <= MOST_BLOCK_DEG:
        raise ConfigError(f"--block-deg {block_deg:g}: expected more than 0, and at most {MOST_BLOCK_DEG:g}")
    if dims is not None and dims < 1:
        raise ConfigError(f"--dims {dims}: expected 1 or more")
    if looks.permutations < 1 or looks.replicates < 2:
        raise ConfigError(
            f"permutations {looks.permutations}, replicates {looks.replicates}: expected 1 and 2 at the least"
        )


def _asked(name: str, pair: Pair) -> int:
    """How many numbers of one family a measure gives of a pair."""
    return {"bands": len(pair.bands), "labels": len(pair.fractions)}.get(name, 1)


def check_alike(sides: Sequence[Side]) -> None:
    """Passes where all sides are of one embedding: distances under different ones say nothing.

    Raises:
        ConfigError: they are not.
    """
    first = sides[0]
    for side in sides[1:]:
        if side.features.digest != first.features.digest:
            raise ConfigError(
                f"{first.label} and {side.label}: features are of different embeddings ({first.features.digest[:12]}…, "
                f"{side.features.digest[:12]}…): bands, units, metres or the way differ; choose by --arrays what both have"
            )


def _shared(a: Side, b: Side) -> int:
    rows = [set(zip(s.features.keys.tolist(), s.features.seasons.tolist(), strict=True)) for s in (a, b)]
    return len(rows[0] & rows[1])


def corrected(pairs: Sequence[ComparedPair]) -> list[ComparedPair]:
    """The same with p by Holm: a family is all that a measure was asked of, pairs, bands and labels."""
    every = [e for p in pairs for e in p.estimates]
    after = dict[int, float]()
    for name in {e.measure for e in every}:
        own = [n for n, e in enumerate(every) if e.measure == name]
        after |= dict(zip(own, holm([every[n].p for n in own]), strict=True))
    numbers = iter(range(len(every)))
    return [replace(p, estimates=[replace(e, p_holm=after[next(numbers)]) for e in p.estimates]) for p in pairs]
