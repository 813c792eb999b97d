"""`[pack.shares]` of a recipe: how much of a sample is of some classes of a map, and how much has to be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from curation.errors import ConfigError
from curation.errors.words import did_you_mean
from curation.recipe.strict import StrictTable


class ShareSpec(StrictTable):
    """A share of a sample: a column of it, in per cent of all of its pixels, and the limits that it has to keep."""

    source: str
    """The source with classes whose map it is of."""
    classes: list[str] | None = Field(default=None, min_length=1)
    """Those that count, together; every class where left out: what the map speaks of at all."""
    season: str | None = None
    """The season whose map it is; to be said of a source that has several."""
    least_pct: float = Field(default=0, ge=0, le=100)
    """Samples with less are left out. One without such a map is not: nothing is known of it."""
    most_pct: float = Field(default=100, ge=0, le=100)
    """Samples with more are left out."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.least_pct > self.most_pct:
            raise ValueError(
                f"least_pct = {self.least_pct:g} is more than most_pct = {self.most_pct:g}: nothing is such"
            )
        return self

    def counts(self, one: str) -> bool:
        """Whether a class is one of those that count."""
        return self.classes is None or one in self.classes

    def holds(self, pct: float | None) -> bool:
        """Whether a sample with such a share may be one; so may one of which it is not known."""
        return pct is None or self.least_pct <= pct <= self.most_pct

    def season_among(self, has: Sequence[str]) -> str:
        """The season whose map it is, of those that its source has. Raises ValueError where that is not clear."""
        season = has[0] if self.season is None and len(has) == 1 else self.season
        if season is None or season not in has:
            raise ValueError(f"season = {season!r}: {self.source!r} has {', '.join(has)}: say which of them")
        return season


def check(
    shares: Mapping[str, ShareSpec],
    maps: Mapping[str, Sequence[str]],
    seasons_of: Callable[[str], Sequence[str]],
    path: Path,
) -> None:
    """Passes where each share is of a map that samples have themselves, and of classes and a season that it has.

    Args:
        shares: name → share.
        maps: classes of each source that has some and that samples have themselves, not their children.
        seasons_of: gives the seasons of one.
        path: the recipe's, for errors.

    Raises:
        ConfigError: one is not.
    """
    for name, its in shares.items():
        try:
            _check_map(its, maps)
            its.season_among(seasons_of(its.source))
        except ValueError as err:
            raise ConfigError(f"{path}: [pack.shares] {name}: {err}") from err


def _check_map(its: ShareSpec, maps: Mapping[str, Sequence[str]]) -> None:
    if its.source not in maps:
        known = ", ".join(maps) or "none here"
        raise ValueError(f"source = {its.source!r}: expected one with classes that samples have themselves: {known}")
    classes = maps[its.source]
    if unknown := [c for c in its.classes or [] if c not in classes]:
        hint = did_you_mean(unknown[0], classes)
        raise ValueError(f"no class {unknown[0]!r}; {hint}classes: {', '.join(classes)}")
