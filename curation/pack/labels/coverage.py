"""What becomes of the rows of imported labels: what share of the patches they can label, and which label none.

Rows and locations may be a million each: they are looked at by column, and one by one only where samples have them.
"""

from __future__ import annotations

import datetime as dt
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curation.errors import ConfigError
from curation.errors.codes import Code
from curation.errors.words import counted
from curation.model import STATIC, Season
from curation.pack.labels.imported import Imported, Record
from curation.pack.labels.listed import key_of
from curation.pack.plan import PlannedSample
from curation.places.locations import Locations
from curation.recipe.dataset import Dataset
from curation.store import paths

Unmatched = tuple[int, Code]
"""A row, counted from 0, and why it is of no patch."""

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
_DAY = dt.timedelta(days=1) // _MICROSECOND
_NEVER = np.iinfo(np.int64).max, np.iinfo(np.int64).min
"""First instant, and first one after: of a location that has no such season."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """What imported labels come to before scenes are chosen."""

    record: Record
    can: int
    """Patches of which there are labels, if the right image is taken for them."""
    patches: int
    empty: int
    """Rows that say that there are no labels."""
    lost: Counter[Code]
    """Why rows are of no patch → how many."""
    examples: tuple[str, str]
    """A location of the file that is none here, and one that is here."""

    @property
    def summary(self) -> str:
        """For a person."""
        lost = f"{self._lost}, listed in {paths.UNMATCHED}" if self.lost else ""
        return f"{self._share}{lost}{self._called}"

    @property
    def fault(self) -> str:
        """Why nothing at all can be labelled; empty where something can, or there is no patch."""
        return "" if self.can or not self.patches else f"{self._share}{self._lost}{self._called}"

    @property
    def _share(self) -> str:
        what = "patches" if self.record.seasonal else "places"
        share = 100 * self.can / self.patches if self.patches else 0.0
        return (
            f"labels: {self.record.file} can label up to {self.can:,} of {self.patches:,} {what} ({share:.1f} %)"
            + (": those whose scene is of an image that it lists" if self.record.seasonal else "")
            + f"; {counted(self.record.rows, 'row')}, {self.empty} without labels"
        )

    @property
    def _lost(self) -> str:
        listed = ", ".join(f"{code} {n}" for code, n in self.lost.most_common())
        return f", {self.lost.total()} of no patch ({listed})" if self.lost else ""

    @property
    def _called(self) -> str:
        if self.can or not self.lost[Code.UNKNOWN_LOCATION]:  # where some are known they are called alike
            return ""
        return f"; locations of the file are called like {self.examples[0]!r}, those here like {self.examples[1]!r}"


def coverage(imported: Imported, dataset: Dataset, places: Locations, asked: Sequence[str]) -> Coverage:
    """What share of the patches can be labelled, as far as is known before scenes are chosen.

    Args:
        imported: the labels.
        dataset: the recipe.
        places: those asked for.
        asked: the seasons asked for; where none of them has such labels, all count.

    Raises:
        ConfigError: labels cannot tell two of the places apart.
    """
    found = _found(imported, dataset, places)
    names = [n for n in found.seasons if n in asked] or list(found.seasons)
    labelled = _is_there(imported.rows["labels"]) | _is_there(imported.rows["shares"])
    can = sum(len(np.unique(found.place[found.seasons[n] & labelled])) for n in names)
    unknown = np.flatnonzero((found.place < 0) & _is_there(imported.rows["location"]))
    examples = (
        str(imported.rows["location"][int(unknown[0])].as_py()) if len(unknown) else "",
        str(places.table["id"][0].as_py()) if len(places) else "",
    )
    lost = Counter({code: n for code, rows in found.lost.items() if (n := int(rows.sum()))})
    empty = len(labelled) - int(labelled.sum())
    return Coverage(imported.record, can, found.places * len(names), empty, lost, examples)


def unmatched(imported: Imported, dataset: Dataset, places: Locations) -> list[Unmatched]:
    """Rows of none of the places, or of no season. Raises ConfigError where labels cannot tell two of the places apart."""
    lost = _found(imported, dataset, places).lost
    return sorted((n, code) for code, rows in lost.items() for n in np.flatnonzero(rows).tolist())


def unused(
    imported: Imported,
    dataset: Dataset,
    places: Locations,
    samples: Iterable[tuple[PlannedSample, Mapping[str, Mapping[str, Any]]]],
) -> list[Unmatched]:
    """Rows that no sample has its labels from, once it is known of which images samples are made.

    Args:
        imported: the labels.
        dataset: the recipe.
        places: that were asked for.
        samples: each with season → facts.
    """
    found: dict[int, Code | None] = {}
    for member, facts in samples:
        for part in member.parts:
            if imported.of_season(part.season):
                args = (dataset, part.season, member.location.id, part.outcome, facts[part.season])
                rows = imported.matching(*args)
                alike = all(imported.said(n) == imported.said(rows[0]) for n in rows)
                found |= dict.fromkeys(rows, None if alike else Code.AMBIGUOUS_LABELS)
    before = dict(unmatched(imported, dataset, places))
    out = []
    for n in range(imported.rows.num_rows):
        why = found[n] if n in found else before.get(n, Code.OTHER_IMAGE)
        out += [] if why is None else [(n, why)]
    return out


def table(imported: Imported, lost: Sequence[Unmatched]) -> bytes:
    """Rows that are of no patch, with why, as Parquet."""
    rows = imported.rows.take(pa.array([n for n, _ in lost], pa.int64()))
    reasons = pa.array([str(code) for _, code in lost], pa.string())
    columns = ["row", "location", "s2_id", "sensed", "day"]
    out = io.BytesIO()
    pq.write_table(rows.select(columns).append_column("reason", reasons), out, compression="zstd")
    return out.getvalue()


@dataclass(frozen=True, slots=True)
class _Found:
    """Of each row, what it is of."""

    places: int
    """How many there are, each once."""
    place: NDArray[np.int64]
    """(row,) number of its location among `places`; -1 where it is of none."""
    seasons: dict[str, NDArray[np.bool_]]
    """Season → (row,) whether its image was taken in it, as it is at its location; never where it is of none."""

    @property
    def lost(self) -> dict[Code, NDArray[np.bool_]]:
        """Why a row is of no patch → (row,) whether it is so."""
        elsewhere = self.place < 0
        held = np.any([elsewhere, *self.seasons.values()], axis=0)
        return {Code.UNKNOWN_LOCATION: elsewhere, Code.OUTSIDE_SEASONS: ~held}


def _found(imported: Imported, dataset: Dataset, places: Locations) -> _Found:
    keys = _keys(places)
    named = pa.array([None if p is None else key_of(p) for p in imported.rows["location"].to_pylist()], pa.string())
    place = _numbers(pc.fill_null(pc.index_in(named, pa.array(list(keys), pa.string())), -1))
    there = place >= 0
    if not imported.record.seasonal:
        return _Found(len(keys), place, {STATIC: there})
    first = np.array([*keys.values(), 0])  # the last is of rows without a place
    time, is_known = _times(imported.rows)
    seasons = {}
    for name in dataset.seasons_of(imported.record.source):
        start, end = _spans(dataset.recipe.season(name), places)
        at = first[place]
        seasons[name] = there & is_known
        if len(places):
            seasons[name] &= (start[at] <= time) & (time < end[at])
    return _Found(len(keys), place, seasons)


def _keys(places: Locations) -> dict[str, int]:
    """The ids of places, as ids are compared → where the first of each stands. Raises ConfigError where two are the same."""
    ids: dict[str, int] = {}
    for n, name in enumerate(places.table["id"].to_pylist()):
        ids.setdefault(name, n)
    found: dict[str, int] = {}
    for name, n in ids.items():
        if (other := found.setdefault(key_of(name), n)) != n:
            raise ConfigError(
                f"locations {places[other].id!r} and {name!r}: as numbers they are one, so labels cannot tell them apart"
            )
    return found


def _times(rows: pa.Table) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """When the image of each row was taken, microseconds since 1970, as far as is known; and whether it is."""
    in_us = pa.timestamp("us", "UTC")
    instants = [rows[name].cast(in_us).cast(pa.int64()) for name in ("start", "sensed")]
    days = pc.multiply(rows["day"].cast(pa.int32()).cast(pa.int64()), _DAY)
    found = pc.coalesce(*instants, days)
    return _numbers(pc.fill_null(found, 0)), _is_there(found)


def _spans(season: Season, places: Locations) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First instant of a season, and the first after it, at each place, microseconds since 1970.

    Places of one date have one window, which is asked for once.
    """
    if season.column is None:
        date = np.zeros(len(places), np.int64)
    else:
        dates = pa.concat_arrays(places.table[season.column].chunks) if len(places) else pa.array([], pa.int64())
        date = _numbers(pc.fill_null(dates.dictionary_encode().indices, -1))
    _, at, which = np.unique(date, return_index=True, return_inverse=True)
    windows = [season.window(places[n]) for n in at.tolist()]
    spans = [_NEVER if w is None else tuple((t - _EPOCH) // _MICROSECOND for t in (w.start, w.end)) for w in windows]
    start, end = np.array(spans, np.int64).reshape(-1, 2)[which.ravel()].T
    return start, end


def _numbers(values: Any) -> NDArray[np.int64]:
    return np.asarray(values.to_numpy(zero_copy_only=False) if isinstance(values, pa.Array) else values, np.int64)


def _is_there(values: Any) -> NDArray[np.bool_]:
    return np.asarray(pc.is_valid(values), bool)
