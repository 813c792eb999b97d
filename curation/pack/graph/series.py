"""Series of what is measured of a sample, by which cells are told of: means of arrays, season by season, and annotations.

A variable is a band of a source's array that is measured of samples themselves, not of their children, or a number of an
annotation (of ERA5's monthly means). Values are those of the index: nothing is converted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.errors import ConfigError
from curation.errors.words import did_you_mean
from curation.format import payload
from curation.format.annotations import AnnotationEntry, decoded
from curation.format.index import ArrayEntry, Index
from curation.format.names import MemberName
from curation.pack.graph.stored import FRACTIONS
from curation.places.grids import Floats, Ints

Vectors = NDArray[np.float32]

Read = Callable[[bytes, str], Any]
"""What a member's payload says; the second is how a person names it."""

MOST_STEPS = 1024
"""Of a series: a row of the table of variables has one number for each."""


@dataclass(frozen=True, slots=True)
class SeriesPlan:
    """Which members of a sample are read for its series, and where what they say stands in it."""

    names: tuple[str, ...]
    """Of variables, sorted."""
    units: tuple[str, ...]
    """Of each; empty where the index does not say."""
    steps: tuple[str, ...]
    """Along the series of all: seasons, and numbered steps of annotations; a variable has those that it is of."""
    members: Mapping[str, tuple[Read, tuple[int, ...], tuple[int, ...]]]
    """Suffix → how it is read to (variable, step), and which variables and steps these are."""

    def row(self, payloads: Mapping[str, Any]) -> Vectors:
        """What is known of a sample: (variable, step), NaN where nothing is."""
        out = np.full((len(self.names), len(self.steps)), np.nan, np.float32)
        for suffix, (_, names, steps) in self.members.items():
            if payloads.get(suffix) is not None:
                out[np.ix_(names, steps)] = payloads[suffix]
        return out


@dataclass(frozen=True, slots=True)
class SampleSeries:
    """Series of samples."""

    names: tuple[str, ...]
    units: tuple[str, ...]
    steps: tuple[str, ...]
    ids: Sequence[str]
    """Of the samples, in whatever order."""
    lon: Floats
    lat: Floats
    splits: NDArray[np.str_]
    values: Vectors
    """(sample, variable, step), float32, NaN where unknown."""


def plan(index: Index, wanted: Sequence[str], where: str) -> SeriesPlan:
    """Which members are read for variables.

    Args:
        index: of the shards.
        wanted: sources, annotations of numbers, or variables (`<source>/<band>`, `<annotation>/<name>`).
        where: the index, for errors.

    Raises:
        ConfigError: there are no such.
    """
    known = _known(index)
    lacks = [w for w in wanted if not any(_is_of(name, w) for name in known)]
    if lacks:
        some = sorted({n.partition("/")[0] for n in known})
        hint = did_you_mean(lacks[0], sorted({*some, *known}))
        raise ConfigError(
            f"--variables {lacks[0]}: {where} has no such; {hint}expected {', '.join(some) or 'none: it has no series'}"
        )
    of_arrays = _of_arrays(index)
    names = tuple(sorted(n for n in known if any(_is_of(n, w) for w in wanted)))
    if taken := {*names} & {*index.columns, *index.annotations, FRACTIONS}:
        raise ConfigError(
            f"{where}: {min(taken)!r} is a column or an annotation, and a variable would be called so, too"
        )
    arrays = {s: index.arrays[s] for s, own in of_arrays.items() if set(own) & set(names)}
    numbers = {s: e for s, e in index.annotations.items() if any(n in names for n in _of_annotation(s, e))}
    seasons = [s for s in index.seasons if any(s in e.seasons for e in arrays.values())]
    counted = [f"{name}:{n + 1:02d}" for name, e in sorted(numbers.items()) for n in range(_steps(e))]
    steps = (*seasons, *counted)
    if len(steps) > MOST_STEPS:
        raise ConfigError(f"--variables: {len(steps)} steps, expected at most {MOST_STEPS}: ask for fewer variables")
    members: dict[str, tuple[Read, tuple[int, ...], tuple[int, ...]]] = {}
    for array, entry in arrays.items():
        own = of_arrays[array]
        bands = [n for n, name in enumerate(own) if name in names]
        for season in entry.seasons:
            suffix = MemberName(None, array, season, entry.encoding).suffix
            at = tuple(names.index(own[b]) for b in bands)
            members[suffix] = (_means(entry, bands), at, (steps.index(season),))
    for name, its in numbers.items():
        own = _of_annotation(name, its)
        which = [n for n, variable in enumerate(own) if variable in names]
        first = steps.index(f"{name}:01")
        at = tuple(names.index(own[n]) for n in which)
        members[MemberName(None, name, None, its.encoding).suffix] = (
            _numbers(its, which),
            at,
            tuple(range(first, first + _steps(its))),
        )
    return SeriesPlan(names, tuple(known[n] for n in names), steps, members)


def _is_of(name: str, wanted: str) -> bool:
    return name == wanted or name.startswith(f"{wanted}/")


def _known(index: Index) -> dict[str, str]:
    """All variables that the shards have, and their units."""
    found = {n: index.arrays[array].unit for array, own in _of_arrays(index).items() for n in own}
    return found | {n: "" for name, e in index.annotations.items() for n in _of_annotation(name, e)}


def _of_arrays(index: Index) -> dict[str, list[str]]:
    """The variables that arrays are of: none of children's, of static ones, of codes, of series within a season."""
    some = {
        name: entry
        for name, entry in index.arrays.items()
        if not (entry.of_children or entry.is_static or entry.role != "data" or entry.steps is not None)
    }
    bands = Counter(e.source for e in some.values() for _ in e.bands)
    return {
        n: [e.source] if bands[e.source] == 1 else [f"{e.source}/{band}" for band in e.bands] for n, e in some.items()
    }


def _of_annotation(name: str, note: AnnotationEntry) -> list[str]:
    """Those of an annotation of numbers whose last axis says what each is of."""
    if note.kind != "numbers" or note.names is None or len(note.shape) > 2:
        return []
    return [f"{name}/{n}" for n in note.names]


def _steps(its: AnnotationEntry) -> int:
    return its.shape[0] if len(its.shape) == 2 else 1


def _means(its: ArrayEntry, bands: Sequence[int]) -> Read:
    """The mean of each band's pixels that are there; NaN where none is."""

    def read(data: bytes, where: str) -> Floats:
        pixels = payload.decode(data, its.encoding, where)[list(bands)].reshape(len(bands), -1).astype(np.float64)
        there = np.isfinite(pixels) & (pixels != its.nodata)
        count = there.sum(axis=1)
        mean = np.where(there, pixels, 0).sum(axis=1) / np.maximum(count, 1)
        return np.where(count > 0, mean, np.nan)[:, None]

    return read


def _numbers(its: AnnotationEntry, which: Sequence[int]) -> Read:
    def read(data: bytes, where: str) -> Floats:
        found = np.asarray(decoded(its, data, where), np.float64).reshape(-1, its.shape[-1])
        return np.asarray(found.T[list(which)])

    return read


def of_samples(plan: SeriesPlan, samples: Sequence[tuple[str, float, float, str, Vectors]]) -> SampleSeries:
    """Series of samples, in order of id.

    Args:
        plan: which.
        samples: id, longitude, latitude, split and row of each.
    """
    rows = sorted(samples, key=lambda its: its[0])
    ids, lon, lat, splits, values = zip(*rows, strict=True) if rows else ((),) * 5
    shape = (len(rows), len(plan.names), len(plan.steps))
    return SampleSeries(
        plan.names,
        plan.units,
        plan.steps,
        ids,
        np.array(lon, np.float64),
        np.array(lat, np.float64),
        np.array(splits, np.str_),
        np.array(values, np.float32).reshape(shape),
    )


@dataclass(frozen=True, slots=True)
class Variables:
    """Variables of cells, in order of cell and name; a cell has those of which something is known there."""

    cell: Ints
    """Number of the cell that each is of."""
    name: Ints
    """Which of the names."""
    values: Vectors
    """(variable, step): means of the samples that lie in the cell, NaN where unknown."""
    sample: Ints
    """Pairs of a sample and the variable (its position here) that it is part of: the former."""
    part_of: Ints
    """The latter."""


def by_cell(its: SampleSeries, cell: Ints) -> Variables:
    """The series of cells.

    Args:
        its: those of samples.
        cell: number of the cell that each sample's centre lies in.
    """
    there = ~np.isnan(its.values)
    sample, name = np.nonzero(there.any(axis=2))
    keys, part_of = np.unique(np.stack([cell[sample], name], axis=1), axis=0, return_inverse=True)
    part_of = np.asarray(part_of.ravel(), np.int64)
    sums, counts = (np.zeros((len(keys), len(its.steps))) for _ in range(2))
    np.add.at(sums, part_of, np.nan_to_num(its.values[sample, name].astype(np.float64)))
    np.add.at(counts, part_of, there[sample, name])
    mean = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan).astype(np.float32)
    return Variables(keys[:, 0], keys[:, 1], mean, sample, part_of)
