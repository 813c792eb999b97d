"""A look at a foreign dataset before it is built: some of its samples are read as a build does, and nothing is stored."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.build import chips, chipscan
from curation.build.chipscan import ForeignPlace, ForeignSample, ForeignScan, Progress
from curation.build.context import SlabJob
from curation.build.slab import tried
from curation.errors.codes import Code
from curation.model import STATIC, Location
from curation.outcomes import PatchOutcome, Status
from curation.recipe.catalogs import resolve_all
from curation.recipe.chips import MENDS
from curation.recipe.dataset import Dataset
from curation.recipe.foreign import ForeignRecipe
from curation.store.objects import Store

MOST_VALUES = 4096
"""Pixels of a band of one chip that its spread is told by."""

AT_ONCE = 16
"""Samples that are held decoded at a time."""


@dataclass(frozen=True, slots=True)
class BandSpread:
    """How values of a band spread over the samples that were read."""

    source: str
    band: str
    std: float
    low: float
    high: float
    """Percentiles 1 and 99."""
    is_odd: bool

    def __str__(self) -> str:
        return f"{self.source} {self.band}: std {self.std:.6g}, p1 {self.low:.6g}, p99 {self.high:.6g}"


@dataclass(frozen=True, slots=True)
class ForeignLook:
    """What some samples of a foreign dataset come to."""

    read: int
    """How many."""
    ok: int = 0
    """Of these, how many are as stated."""
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Source and code → samples."""
    examples: dict[tuple[str, str], str] = field(default_factory=dict)
    """Likewise → the first of them, and what was found."""
    spreads: tuple[BandSpread, ...] = ()
    """Of bands of measured values, over those that are as stated."""
    chips: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    """Sample and source → its chip, with the hash of its pixels, as a ledger has it; of those that are as stated."""

    @property
    def odd(self) -> list[BandSpread]:
        """Bands whose statistics would be those of something else."""
        return [s for s in self.spreads if s.is_odd]

    def changed(self, standing: Iterable[PatchOutcome]) -> Iterator[tuple[str, str]]:
        """What was built of a sample, and its chip as it was read now, of each that has become another."""
        for outcome in standing:
            for source, was in outcome.sources.items():
                now = self.chips.get((outcome.id, source))
                if now is not None and was.status is Status.OK and was.scenes != now:
                    yield f"{source} of {outcome.id}: {' '.join(was.scenes)}", " ".join(now)

    def lines(self) -> list[str]:
        """For a person: what is refused, each with what would mend it, and what is odd."""
        out = []
        for (source, code), n in self.refused.most_common():
            hint = MENDS.get(Code(code)) if code in set(Code) else None
            out.append(f"{source}: {code}: {n} of {self.read}, such as {self.examples[source, code]}")
            out[-1] += f"; [sources.{source}] {hint}" if hint else ""
        return out + [f"{Code.ODD_SPREAD}: {s}; {MENDS[Code.ODD_SPREAD]}" for s in self.odd]


@dataclass(frozen=True, slots=True)
class ForeignSet:
    """A foreign dataset as it was found."""

    foreign: ForeignRecipe
    source: Path
    scan: ForeignScan
    places: dict[str, ForeignPlace]
    lost: dict[str, str]
    """Sample → why nobody knows where it is."""

    def table(self, before: Sequence[str] = ()) -> bytes:
        """The table of its places; those that stood `before` first, in their order, since places are added behind them."""
        rank = {name: n for n, name in enumerate(before)}
        ordered = sorted(self.scan.samples, key=lambda s: (rank.get(s.id, len(rank)), s.id))
        return chipscan.table(self.foreign, ordered, self.places)


def found(foreign: ForeignRecipe, source: Path, recipe: Path, most: int | None, progress: Progress) -> ForeignSet:
    """The dataset; with `most` the places of so many samples alone, evenly over all. Raises as `chipscan.scan` does."""
    scan = chipscan.scan(foreign, source, recipe)
    asked = evenly(scan.samples, most)
    return ForeignSet(foreign, source, scan, *chipscan.places(foreign, source, asked, len(asked), progress))


def evenly(samples: Sequence[ForeignSample], most: int | None) -> Sequence[ForeignSample]:
    """So many samples at most, evenly over all."""
    if most is None or len(samples) <= most:
        return samples
    return [samples[int(k)] for k in np.linspace(0, len(samples) - 1, most)]


def look(dataset: Dataset, its: ForeignSet, store: Store, most: int, progress: Progress) -> ForeignLook:
    """What some samples come to, evenly over all whose place is known; nothing is stored.

    Args:
        dataset: the recipe, with where the dataset lies.
        its: the dataset.
        store: is not asked for anything.
        most: how many samples are read.
        progress: is told of each.
    """
    there = [s for s in its.scan.samples if s.id in its.places]
    some = evenly(there, most)
    values: dict[tuple[str, str], list[NDArray[np.float64]]] = {}
    out, ok = ForeignLook(len(some)), 0
    for outcome, pixels in progress(_tried(dataset, its, some, store), len(some)):
        ok += outcome.status is Status.OK
        for source, of in outcome.sources.items():
            if of.status is Status.OK:
                out.chips[outcome.id, source] = of.scenes
            key = (source, str(of.code))
            if of.status is not Status.OK and of.code != Code.UPSTREAM:
                out.refused[key] += 1
                out.examples.setdefault(key, f"{outcome.id}: {of.cause or 'no chip of it'}")
        for key, sample in pixels.items():
            values.setdefault(key, []).append(sample)
    wide = {n for n, s in its.foreign.sources.items() if s.mend.spread == "wide"}
    spreads = [_spread(*key, np.concatenate(of), is_wide=key[0] in wide) for key, of in values.items()]
    return dataclasses.replace(out, ok=ok, spreads=tuple(s for s in spreads if s is not None))


def _spread(source: str, band: str, values: NDArray[np.float64], *, is_wide: bool) -> BandSpread | None:
    if not values.size:
        return None
    return BandSpread(source, band, *chips.spread(values), chips.has_odd_spread(values) and not is_wide)


def _tried(
    dataset: Dataset, its: ForeignSet, samples: Sequence[ForeignSample], store: Store
) -> Iterator[tuple[PatchOutcome, dict[tuple[str, str], NDArray[np.float64]]]]:
    """What becomes of each sample, and of measured bands some values."""
    every, arrays = resolve_all(dataset), {n: (s, a) for s, of in dataset.arrays.items() for n, a in of.items()}
    for start in range(0, len(samples), AT_ONCE):
        places = tuple(chipscan.location(its.foreign, s, its.places[s.id]) for s in samples[start : start + AT_ONCE])
        for patch, outcome in tried(_job(dataset, every, places, store)):
            some: dict[tuple[str, str], NDArray[np.float64]] = {}
            for name, pixels in patch.pixels.items():
                source, array = arrays[name]
                for band, plane in zip(array.bands, pixels, strict=True) if array.is_data else ():
                    some[source, band] = chips.thinned([plane], array.nodata, MOST_VALUES)
            yield outcome, some


def _job(dataset: Dataset, every: Any, places: tuple[Location, ...], store: Store) -> SlabJob:
    ids = tuple(p.id for p in places)
    return SlabJob(dataset, every, "", STATIC, 0, places, ids, store, 1, "look")
