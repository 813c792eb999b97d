"""What a sample's `meta.json` says, as far as training wants it. No I/O."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from curation.model import STATIC, DamageError, parse_time


@dataclass(frozen=True, slots=True)
class SeasonFacts:
    """What is known of one season of a sample, or of its static part."""

    times: Mapping[str, int]
    """Source that is there → seconds since 1970 UTC, rounded down; −1 for static sources."""
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
        meta = json.loads(payload)
        names = list(seasons)
        children = tuple(_sample(child, labels, names) for child in meta.get("children", ()))
        return replace(_sample(meta, labels, names), children=children)
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        raise DamageError(
            f"{where}: its meta.json is not of the form that shards/README.md says: {err!r}: pack it again"
        ) from err


def _sample(meta: dict[str, Any], labels: int, seasons: Sequence[str]) -> SampleFacts:
    return SampleFacts(
        id=meta["id"],
        lon=float(meta["lon"]),
        lat=float(meta["lat"]),
        static=_facts(meta[STATIC], labels, timed=False),
        seasons={n: _facts(meta["seasons"][n], labels, timed=True) for n in seasons if n in meta["seasons"]},
    )


def _facts(value: dict[str, Any], labels: int, *, timed: bool) -> SeasonFacts:
    said = value.get("labels") or {}
    multi_hot = said.get("multi_hot")
    return SeasonFacts(
        times={name: _seconds(facts["time"]) if timed else -1 for name, facts in value["sources"].items()},
        known=multi_hot is not None,
        multi_hot=_vector(multi_hot, labels),
        fractions=_vector(said.get("fractions"), labels),
    )


def _vector(values: list[float] | None, labels: int) -> list[float]:
    if values is None:
        return [math.nan] * labels
    if len(values) != labels:
        raise ValueError(f"{len(values)} values of {labels} labels")
    return [float(v) for v in values]


@functools.lru_cache(maxsize=1 << 14)
def _seconds(time: str) -> int:
    return math.floor(parse_time(time).timestamp())
