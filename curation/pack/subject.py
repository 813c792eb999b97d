"""What an annotation is asked of: one sample, as it is about to be written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from curation.format.index import ArrayEntry
from curation.recipe.schema import LabelsSpec


@dataclass(frozen=True, slots=True)
class Counted:
    """What an annotation is of one sample, with numbers that are added up over all samples, for the report."""

    value: Any
    counts: Mapping[str, Any]
    """Name → numbers: an array, or nested lists; of each sample the same shape."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """What was read for an annotation, for all samples at once, before any shard is written."""

    values: Mapping[str, Any]
    """Sample's key → what the annotation is asked with (`Subject.gathered`), as JSON has it."""
    identity: str
    """Digest of what was read, and of what it was read from: part of the release's."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the index says of it: names and numbers, no address that differs from run to run."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One sample. Whatever is asked of it changes nothing of what is written."""

    key: str
    """The sample's key: the location's id."""
    location: Mapping[str, Any]
    """`id`, `lon`, `lat` (degrees), `epsg`, `x0_m`, `y0_m`, `size_m` (CRS units), `region`, `split`; `parent`, `columns`
    where it has any."""
    static: Mapping[str, Any]
    """What `meta.json` says of it without time: `sources`, `labels`, `elevation`."""
    seasons: Mapping[str, Mapping[str, Any]]
    """The same of each season that it has: `sources` (scenes, times, what was measured), `labels`, `gap_days` …"""
    children: tuple[Mapping[str, Any], ...]
    """What `meta.json` says of each of its children."""
    label_names: tuple[str, ...]
    """What entries of `labels` mean, in order."""
    arrays: Mapping[str, NDArray[Any]]
    """`dem_30m`, `s2l2a_10m.summer`, `child0.s1rtc_10m.summer` → pixels as shards store them, (band, y, x), not to be
    written to. What the sample lacks is not there."""
    entries: Mapping[str, ArrayEntry]
    """Array → its bands with canonical names, dtype, unit, nodata and metres of a pixel."""
    season_names: tuple[str, ...] = ()
    """Of the recipe, in order, whether the sample has them or not."""
    legends: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    """Array of a class map → code → the label that it counts as."""
    rules: LabelsSpec = field(default_factory=LabelsSpec)
    """`[labels]` of the recipe."""
    gathered: Any = None
    """What was read for this annotation of this sample, of one that is read for all samples at once."""
    beside: bytes = b""
    """The file that comes with this annotation: of one that writes captions their words."""

    def fractions(self, season: str | None = None) -> dict[str, float]:
        """Share of the labelled pixels of each label, in a season, or by the annual map; empty where unknown."""
        of = self.static if season is None else self.seasons.get(season, {})
        shares = (of.get("labels") or {}).get("fractions")
        return {} if shares is None else dict(zip(self.label_names, shares, strict=True))
