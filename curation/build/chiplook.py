"""A look at a foreign dataset before it is built: some of its samples are read as a build does, and nothing is stored."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
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
from curation.outcomes import PatchOutcome, SourceOutcome, Status
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
class BandOrder:
    """Two bands of backscatter of which the cross-polarised is the brighter, as of no ground or water: there VV is, or HH.

    What comes back turned is what was scattered more than once; whatever a surface does, it is less.
    """

    source: str
    cross: str
    along: str
    """Bands."""
    cross_median: float
    along_median: float
    """Over the samples that were read."""
    unit: str
    """Of the files."""

    def __str__(self) -> str:
        return (
            f"{self.source}: {self.cross} has a median of {self.cross_median:.4g}, {self.along} of {self.along_median:.4g} "
            f"({self.unit}), expected {self.along} to be the brighter"
        )


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
    measured: dict[tuple[str, str], tuple[float, float]] = field(default_factory=dict)
    """As `refused` → the least and the greatest that was measured of these, where that is a number."""
    swapped: tuple[BandOrder, ...] = ()
    """Bands that may be stated in another order than files have."""
    chips: dict[tuple[str, str], SourceOutcome] = field(default_factory=dict)
    """Sample and source → what would become of its chip, of those that could be read."""

    @property
    def odd(self) -> list[str]:
        """What is odd of all samples together, a line each, with what to do: nothing is imported as long as something is."""
        wide = [f"{Code.ODD_SPREAD}: {s}; {MENDS[Code.ODD_SPREAD]}" for s in self.spreads if s.is_odd]
        return wide + [f"{Code.BAND_ORDER}: {s}; [sources.{s.source}] {MENDS[Code.BAND_ORDER]}" for s in self.swapped]

    def lines(self) -> list[str]:
        """For a person: what is refused, each with what would mend it, and what is odd."""
        out = []
        for (source, code), n in self.refused.most_common():
            hint = MENDS.get(Code(code)) if code in set(Code) else None
            found = f"{n} of {self.read}{self._measured(source, code)}"
            out.append(f"{source}: {code}: {found}, such as {self.examples[source, code]}")
            out[-1] += f"; [sources.{source}] {hint}" if hint else ""
        return out + self.odd

    def _measured(self, source: str, code: str) -> str:
        """From what to what it was, where it was not always the same, so that all may be mended at once."""
        low, high = self.measured.get((source, code), (0.0, 0.0))
        return f", {low:.6g} to {high:.6g} m beside" if code == Code.CHIP_PLACE and low != high else ""


def changed(
    chips: Mapping[tuple[str, str], SourceOutcome], standing: Iterable[PatchOutcome]
) -> Iterator[tuple[str, str]]:
    """What became of a sample's chip when it was built, and what would now, of each of which that is something else.

    Args:
        chips: as they are now.
        standing: as they were built; what failed then is tried again anyway.
    """
    for outcome in standing:
        for source, was in outcome.sources.items():
            now = chips.get((outcome.id, source))
            if now is not None and was.status in (Status.OK, Status.REJECTED) and _what(was) != _what(now):
                yield f"{source} of {outcome.id}: {_what(was)}", _what(now)


def _what(of: SourceOutcome) -> str:
    """The chip with the hash of its pixels, or why it is refused."""
    return " ".join(of.scenes) if of.status is Status.OK else f"{of.status.name.lower()}: {of.code}"


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


def foreign_set(foreign: ForeignRecipe, source: Path, recipe: Path, most: int | None, progress: Progress) -> ForeignSet:
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
            if of.status is not Status.FAILED:
                out.chips[outcome.id, source] = of
            key = (source, str(of.code))
            if of.status is not Status.OK and of.code != Code.UPSTREAM:
                out.refused[key] += 1
                out.examples.setdefault(key, f"{outcome.id}: {of.cause or 'no chip of it'}")
                if of.value is not None:
                    low, high = out.measured.get(key, (of.value, of.value))
                    out.measured[key] = min(low, of.value), max(high, of.value)
        for key, sample in pixels.items():
            values.setdefault(key, []).append(sample)
    wide = {n for n, s in its.foreign.sources.items() if s.mend.spread == "wide"}
    spreads = [_spread(*key, np.concatenate(of), is_wide=key[0] in wide) for key, of in values.items()]
    swapped = _swapped(dataset, its.foreign, {key: np.concatenate(of) for key, of in values.items()})
    return dataclasses.replace(out, ok=ok, spreads=tuple(s for s in spreads if s is not None), swapped=tuple(swapped))


def _swapped(
    dataset: Dataset, foreign: ForeignRecipe, values: Mapping[tuple[str, str], NDArray[np.float64]]
) -> Iterator[BandOrder]:
    """Cross-polarised bands that are brighter than what was sent and received alike, of sources that do not say so."""
    for (source, cross), its in values.items():
        spec, use = dataset.specs[source], foreign.sources[source]
        sent = (spec.band(cross).polarisation or "")[:1]
        if spec.band(cross).polarisation in (None, sent * 2) or use.mend.order == "stated":
            continue
        for along in (b for of, b in values if of == source and spec.band(b).polarisation == sent * 2):
            medians = [float(np.median(v)) for v in (its, values[source, along]) if v.size]
            if len(medians) == 2 and medians[0] > medians[1]:
                in_files = [10 * math.log10(m) if use.decibels else m for m in medians]
                yield BandOrder(source, cross, along, in_files[0], in_files[1], use.arrays[0].unit)


def again(
    dataset: Dataset, its: ForeignSet, names: Collection[str], store: Store, progress: Progress
) -> dict[tuple[str, str], SourceOutcome]:
    """What would become of the chips of some samples now, of those that can be read; nothing is stored.

    Args:
        dataset: as of `look`.
        its: likewise.
        names: ids of the samples.
        store: is not asked for anything.
        progress: is told of each.
    """
    some = [s for s in its.scan.samples if s.id in names and s.id in its.places]
    tried = progress((outcome for outcome, _ in _tried(dataset, its, some, store)), len(some))
    return {(o.id, n): of for o in tried for n, of in o.sources.items() if of.status is not Status.FAILED}


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
