"""What a sample's `meta.json` says, as far as training wants it. No I/O."""

from __future__ import annotations

import functools
import math
import reprlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from curation.errors import DamageError
from curation.format.strict import json_of
from curation.model import STATIC, parse_time


@dataclass(frozen=True, slots=True)
class SeasonFacts:
    """What is known of one season of a sample, or of its static part."""

    times: Mapping[str, int | tuple[int, ...]]
    """Source that is there → seconds since 1970 UTC, rounded down; −1 for static sources; of ragged ones each of theirs."""
    known: bool
    """Whether the multi-hot labels are known."""
    multi_hot: list[float]
    """Of each label, 0 or 1; NaN where unknown, never 0."""
    fractions: list[float]
    """Of each label, 0 to 1; NaN where unknown."""


@dataclass(frozen=True, slots=True)
class SampleFacts:
    """What is known of one sample."""

    id: str
    lon: float
    lat: float
    static: SeasonFacts
    seasons: Mapping[str, SeasonFacts]
    """By name; of those asked for, the ones that the sample has."""
    columns: Mapping[str, str | float | None]
    """Domain columns; None where unknown."""
    offsets_m: Mapping[str, tuple[float, float]]
    """Array that begins elsewhere than at the footprint's corner → metres east and south of it."""
    children: tuple[SampleFacts, ...] = ()


def nothing(labels: int) -> SeasonFacts:
    """What is known of a season that a sample lacks."""
    return SeasonFacts({}, False, _vector(None, labels), _vector(None, labels))


def parse_meta(payload: bytes, labels: int, seasons: Iterable[str], where: str) -> SampleFacts:
    """The facts of a `meta.json`.

    Args:
        payload: its bytes.
        labels: how many label names the index has.
        seasons: names of those that are wanted.
        where: the sample, as a person names it.

    Raises:
        DamageError: it is not of the form that `shards/README.md` says.
    """
    try:
        meta = _of(dict, json_of(payload))
        names = list(seasons)
        its = [_sample(_of(dict, child), labels, names) for child in _of(list, meta.get("children", []))]
        return _sample(meta, labels, names, tuple(its))
    except (KeyError, ValueError) as err:
        raise DamageError(
            f"{where}: its meta.json is not of the form that shards/README.md says: {err!r}: pack it again"
        ) from err


K = TypeVar("K")

_MOST = sys.float_info.max


def _of(kind: type[K], value: Any) -> K:
    """The value, where it is of that kind; a JSON file may have any in its place."""
    if type(value) is not kind:
        raise ValueError(f"{reprlib.repr(value)}, expected a {kind.__name__}")
    return value


def _within(value: Any, low: float, high: float) -> float:
    if type(value) not in (int, float) or not low <= value <= high:  # a bool is no number
        raise ValueError(f"{reprlib.repr(value)}, expected a number from {low:g} to {high:g}")
    return float(value)


def _sample(
    meta: dict[str, Any], labels: int, seasons: Sequence[str], children: tuple[SampleFacts, ...] = ()
) -> SampleFacts:
    there = _of(dict, meta["seasons"])
    return SampleFacts(
        id=_of(str, meta["id"]),
        lon=_within(meta["lon"], -180, 360),
        lat=_within(meta["lat"], -90, 90),
        static=_facts(_of(dict, meta[STATIC]), labels, timed=False),
        seasons={n: _facts(_of(dict, there[n]), labels, timed=True) for n in seasons if n in there},
        columns={n: _column(v) for n, v in _of(dict, meta.get("columns", {})).items()},
        offsets_m={n: _offset(v) for n, v in _of(dict, meta.get("offsets_m", {})).items()},
        children=children,
    )


def _column(value: Any) -> str | float | None:
    return value if value is None or type(value) is str else _within(value, -_MOST, _MOST)


def _offset(value: Any) -> tuple[float, float]:
    if len(_of(list, value)) != 2:
        raise ValueError(f"an offset of {reprlib.repr(value)}, expected [metres east, metres south]")
    return _within(value[0], -_MOST, _MOST), _within(value[1], -_MOST, _MOST)


def _times(facts: dict[str, Any]) -> int | tuple[int, ...]:
    """Of one time its seconds; of a ragged axis those of each."""
    if "times" not in facts:
        return _seconds(_of(str, facts["time"]))
    times = tuple(_seconds(_of(str, t)) for t in _of(list, facts["times"]))
    if not times or list(times) != sorted(times):
        raise ValueError(f"times {reprlib.repr(facts['times'])}, expected one or more, in order")
    return times


def _facts(value: dict[str, Any], labels: int, *, timed: bool) -> SeasonFacts:
    said = value.get("labels")
    said = {} if said is None else _of(dict, said)
    known, multi_hot = said.get("multi_hot") is not None, _vector(said.get("multi_hot"), labels)
    if known and not {*multi_hot} <= {0.0, 1.0}:
        raise ValueError(f"multi_hot of {reprlib.repr(multi_hot)}, expected 0 or 1 of each label")
    sources = _of(dict, value["sources"])
    return SeasonFacts(
        times={n: _times(_of(dict, of)) if timed else -1 for n, of in sources.items()},
        known=known,
        multi_hot=multi_hot,
        fractions=_vector(said.get("fractions"), labels),
    )


def _vector(values: Any, labels: int) -> list[float]:
    if values is None:
        return [math.nan] * labels
    if len(_of(list, values)) != labels:
        raise ValueError(f"{len(values)} values of {labels} labels")
    return [_within(v, 0, 1) for v in values]


@functools.lru_cache(maxsize=1 << 14)
def _seconds(time: str) -> int:
    try:
        return math.floor(parse_time(time).timestamp())
    except (ValueError, OverflowError) as err:  # also a zone that takes it out of the years 1 to 9999
        raise ValueError(f"time {reprlib.repr(time)}, expected RFC 3339") from err
