"""What marks say of the labels of all patches: by reader how right they are, and between readers how they agree. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.worth.audit.drawn import PRESENT, AuditDraw, DrawnPatch
from curation.worth.audit.marks import Mark
from curation.worth.audit.shares import FEW, MarkedSample, ShareEstimate, kappa, share

Marks = Mapping[str, Mark]


@dataclass(frozen=True, slots=True)
class ClassScore:
    """How right a class is, by one reader."""

    name: str
    stored: float
    """Share of all patches that have it as a label: known, not estimated."""
    seen: ShareEstimate | None
    """Share of all patches that have it by the reader."""
    right: ShareEstimate | None
    """Of patches with the label, the share where the reader sees it ('user's accuracy'); None where none was marked."""
    found: ShareEstimate | None
    """Of patches where the reader sees it, the share with the label ('producer's accuracy'); None where none was seen."""


@dataclass(frozen=True, slots=True)
class ReaderScore:
    """What one reader's marks come to."""

    name: str
    marked: int
    """Patches that the reader told of."""
    unsure: int
    """Patches of which the reader could not tell: no part of any figure."""
    covered: float
    """Share of all patches that lie in strata with a mark: figures are of these."""
    overall: ShareEstimate | None
    """Share of patches whose labels are all as the reader has them."""
    by_class: tuple[ClassScore, ...]
    domains: Mapping[str, ShareEstimate]
    """Domain → the same share there."""
    few: tuple[str, ...]
    """Strata with fewer than `FEW` marks that have more patches: their spread is hardly known."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A patch that two readers see otherwise."""

    patch: str
    first: tuple[str, ...]
    second: tuple[str, ...]
    stored: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How two readers agree."""

    readers: tuple[str, str]
    both: int
    """Patches that both told of."""
    kappa: Mapping[str, ShareEstimate | None]
    """Of the classes, or of each where there may be several; None where chance alone would have them agree."""
    differ: tuple[Disagreement, ...]


@dataclass(frozen=True, slots=True)
class Score:
    """What an audit comes to so far."""

    drawn: int
    readers: tuple[ReaderScore, ...]
    pairs: tuple[Agreement, ...]


def scored(draw: AuditDraw, marks: Mapping[str, Marks]) -> Score:
    """The score of a draw, by what each reader said."""
    readers = tuple(_reader(draw, name, its) for name, its in marks.items())
    pairs = tuple(_agreement(draw, pair, marks) for pair in itertools.combinations(marks, 2))
    return Score(len(draw.patches), readers, pairs)


def _sure(draw: AuditDraw, marks: Marks) -> list[DrawnPatch]:
    return [p for p in draw.patches if p.name in marks and marks[p.name].sure]


def _sample(draw: AuditDraw, patches: Sequence[DrawnPatch]) -> MarkedSample:
    return MarkedSample(np.array([p.stratum for p in patches], np.int64), draw.sizes)


def _flags(values: Iterable[bool]) -> NDArray[np.bool_]:
    return np.fromiter(values, bool)


def _reader(draw: AuditDraw, reader: str, marks: Marks) -> ReaderScore:
    patches = _sure(draw, marks)
    sample, every = _sample(draw, patches), np.ones(len(patches), bool)
    right = _flags(set(p.stored) == set(marks[p.name].labels) for p in patches)
    domains: dict[str, ShareEstimate] = {}
    for domain in sorted({s.domain for s in draw.strata}):
        its = share(right, _flags(draw.strata[p.stratum].domain == domain for p in patches), sample)
        domains |= {domain: its} if its else {}
    classes = []
    for name in draw.legend:
        has = _flags(name in p.stored for p in patches)
        sees = _flags(name in marks[p.name].labels for p in patches)
        figures = share(sees, every, sample), share(sees, has, sample), share(has, sees, sample)
        classes.append(ClassScore(name, draw.stored_shares[name], *figures))
    few = [
        f"{of.label} of {of.domain} ({count} of {of.size})"
        for of, count in zip(draw.strata, sample.counts.tolist(), strict=True)
        if count < min(FEW, of.size)
    ]
    unsure = sum(not m.sure for m in marks.values())
    overall = share(right, every, sample)
    return ReaderScore(reader, len(patches), unsure, sample.covered, overall, tuple(classes), domains, tuple(few))


def _agreement(draw: AuditDraw, readers: tuple[str, str], marks: Mapping[str, Marks]) -> Agreement:
    one, other = (marks[name] for name in readers)
    patches = [p for p in _sure(draw, one) if p.name in other and other[p.name].sure]
    sample = _sample(draw, patches)
    pairs = [(one[p.name].labels, other[p.name].labels) for p in patches]
    found: dict[str, ShareEstimate | None] = {}
    if draw.question == PRESENT:
        for name in draw.legend:
            found[name] = kappa(*_numbers([(name in a, name in b) for a, b in pairs]), sample)
    else:
        found["all classes"] = kappa(
            *_numbers([(draw.legend.index(a[0]), draw.legend.index(b[0])) for a, b in pairs]), sample
        )
    differ = [Disagreement(p.name, a, b, p.stored) for p, (a, b) in zip(patches, pairs, strict=True) if a != b]
    return Agreement(readers, len(patches), found, tuple(differ))


def _numbers(pairs: Sequence[tuple[int, int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    found = np.array(pairs, np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]
