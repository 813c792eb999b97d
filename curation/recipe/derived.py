"""Arrays that are calculated of others when samples are packed, as `[derived]` of a recipe states them. Pure.

What is derived stands in shards alone, once, and in no cube: another formula costs packing, and no build.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from curation.errors import ConfigError
from curation.errors.words import did_you_mean
from curation.recipe import formula
from curation.recipe.strict import StrictTable

Terrain = Literal["slope", "aspect", "cos-incidence", "shadow"]

UNITS: Mapping[str, str] = {
    "slope": "m per m",
    "aspect": "degrees clockwise from true north",
    "cos-incidence": "1",
    "shadow": "terrain shadow code",
}
"""Of what is derived of heights."""

OF_SUN = ("cos-incidence", "shadow")
"""What follows from where the sun stood, too."""


class DerivedSpec(StrictTable):
    """One derived array: how it is calculated."""

    formula: str | None = Field(default=None, max_length=formula.MOST_CHARACTERS)
    """Over physical values of bands, by canonical names: `(s2.b08 - s2.b04) / (s2.b08 + s2.b04)`."""
    terrain: Terrain | None = None
    """Of heights: `slope`, rise over run on the ground, `aspect`, where it falls to, degrees from true north. With the sun:
    `cos-incidence`, the cosine of the angle between it and the ground's normal, and `shadow`, 0 lit, 1 turned away from it,
    2 behind other ground of the patch."""
    sun: str | None = None
    """The source whose scenes tell where the sun stood; the one with `angles = true` where left out."""
    sources: list[str] | None = Field(default=None, min_length=1)
    """Where bands, or heights, are looked for; in all sources where left out. To be said where two have the same."""
    unit: str = Field(default="1", min_length=1)
    """Of what a formula comes to."""
    title: str = ""
    """For a person."""

    @model_validator(mode="after")
    def _one_way(self) -> DerivedSpec:
        if (self.formula is None) == (self.terrain is None):
            raise ValueError("expected either 'formula', over bands, or 'terrain', of heights")
        if self.sun is not None and self.terrain not in OF_SUN:
            raise ValueError(f"'sun' goes with terrain = {' or '.join(map(repr, OF_SUN))}; leave it out")
        if self.formula is not None:
            formula.bands(self.formula)
        elif self.unit != "1":
            raise ValueError(f"'unit' is of a formula: {self.terrain} is in {UNITS[str(self.terrain)]}; leave it out")
        return self

    @property
    def label(self) -> str:
        """What it is, for a person."""
        return self.title or self.formula or f"{self.terrain} of heights"


AnyDerivedSpec = Annotated[
    DerivedSpec, BeforeValidator(lambda value: {"formula": value} if isinstance(value, str) else value)
]
"""A table, or the formula alone."""


@dataclass(frozen=True, slots=True)
class Input:
    """A band of the samples' arrays that something may be calculated of."""

    band: str
    """Its canonical name."""
    source: str
    array: str
    """Name of its array."""
    number: int
    """Its place along the band axis."""
    level: str
    """That its source is of: `children`, or empty."""
    seasons: tuple[str, ...]
    """Those that its array may be there in, in the recipe's order; none of one without time."""
    pixel: str
    """What names tell its pixels by: equal of arrays that have the same."""
    res_m: float | None
    px: int
    """Pixels along a side."""
    scale: float
    """What its stored numbers are to be multiplied by."""
    nodata: float
    steps: int | None
    """Most steps of its time axis; None where it has none."""
    has_heights: bool
    """Whether it is heights, metres."""
    tells_sun: bool
    """Whether patches of its source tell where the sun stood."""
    licence: str

    @property
    def label(self) -> str:
        """Its pixels, for a person."""
        return f"{self.px} px a side" if self.res_m is None else f"{self.res_m:g} m"


@dataclass(frozen=True, slots=True)
class Derived:
    """A derived array with what it is calculated of: all of one level and with the same pixels."""

    name: str
    """Of the array, and of the source that it counts as."""
    spec: DerivedSpec
    inputs: tuple[Input, ...]
    """In the order that the formula names them."""
    seasons: tuple[str, ...]
    """Those that all inputs with time may be there in; none where none has time."""
    sun: str | None = None
    """The source whose scenes tell where the sun stood, where it follows from that."""

    @property
    def first(self) -> Input:
        """One of the inputs: its level and pixels are those of all."""
        return self.inputs[0]

    @property
    def unit(self) -> str:
        """Of its values."""
        return self.spec.unit if self.spec.terrain is None else UNITS[self.spec.terrain]

    @property
    def steps(self) -> int | None:
        """Most steps of its time axis; None where it has none."""
        return next((i.steps for i in self.inputs if i.steps is not None), None)

    @property
    def timed(self) -> str | None:
        """The source whose time is its own: the one with a time axis, else the first that has a time; None: of no time."""
        if self.sun is not None:
            return self.sun
        timed = sorted((i for i in self.inputs if i.seasons), key=lambda i: i.steps is None)
        return timed[0].source if timed else None

    @property
    def sources(self) -> dict[str, bool]:
        """The sources that it follows from → whether it is by season."""
        return {i.source: bool(i.seasons) for i in self.inputs} | ({self.sun: True} if self.sun else {})

    @property
    def has_codes(self) -> bool:
        """Whether it holds codes, which nobody may average."""
        return self.spec.terrain == "shadow"

    @property
    def licence(self) -> str:
        """Of all that it is calculated of."""
        return "; ".join(dict.fromkeys(i.licence for i in self.inputs))

    @property
    def follows_from(self) -> list[Any]:
        """JSON values of what it is: how it is calculated, of which bands, and their scale, which changes no cube."""
        of = [[i.band, i.array, i.number, i.scale] for i in self.inputs]
        return [self.spec.model_dump(mode="json"), of, self.sun]


def resolved(wanted: Mapping[str, DerivedSpec], known: Sequence[Input], path: Path) -> dict[str, Derived]:
    """The derived arrays of a recipe, by name, each with its inputs.

    Args:
        wanted: name → how it is calculated.
        known: all bands of measured values that samples have.
        path: the recipe, which errors name.

    Raises:
        ConfigError: a band is not known, or is of several sources; inputs have other pixels, levels or seasons; a name is
            that of an array. What to do is told.
    """
    return {name: _resolved(name, spec, known, f"{path}: [derived] {name}") for name, spec in sorted(wanted.items())}


def _resolved(name: str, spec: DerivedSpec, known: Sequence[Input], where: str) -> Derived:
    if name in {i.array for i in known}:
        raise ConfigError(f"{where}: an array of a source is called so; call it otherwise")
    if odd := sorted({*(spec.sources or ())} - {i.source for i in known}):
        raise ConfigError(f"{where}: sources: {odd} have no bands of measured values here; expected some of [sources]")
    among = [i for i in known if spec.sources is None or i.source in spec.sources]
    inputs = _heights(among, where) if spec.formula is None else _bands(spec.formula, among, where)
    _check_alike(inputs, where)
    timed = [i.seasons for i in inputs if i.seasons]
    seasons = tuple(s for s in timed[0] if all(s in its for its in timed)) if timed else ()
    if timed and not seasons:
        raise ConfigError(f"{where}: {_named(inputs)} have no season in common, expected one at least")
    if len({i.source for i in inputs if i.steps is not None}) > 1:
        raise ConfigError(
            f"{where}: {_named(inputs)} each have times of their own in a season: calculate with one source of a time axis"
        )
    if spec.terrain in OF_SUN:
        sun = _sun(spec.sun, inputs[0], known, where)
        return Derived(name, spec, tuple(inputs), sun.seasons, sun.source)
    return Derived(name, spec, tuple(inputs), seasons)


def _sun(said: str | None, heights: Input, known: Sequence[Input], where: str) -> Input:
    """A band of the source whose scenes tell where the sun stood."""
    telling = {i.source: i for i in known if i.tells_sun and i.seasons}
    if said is not None and said not in telling:
        raise ConfigError(
            f"{where}: sun = {said!r} does not tell where the sun stood: say angles = true in [sources.{said}], which has "
            "to be a source of the recipe that is by season"
        )
    if said is None and len(telling) != 1:
        some = f"one of {', '.join(telling)} with 'sun'" if telling else "angles = true in its [sources] table"
        raise ConfigError(f"{where}: which source tells where the sun stood? Say {some}")
    found = telling[said] if said is not None else next(iter(telling.values()))
    if found.steps is not None:
        raise ConfigError(f"{where}: {found.source!r} has several times in a season: expected one, with another pick")
    if found.level != heights.level:
        raise ConfigError(f"{where}: {found.source!r} and the heights of {heights.source!r} are not of the same places")
    return found


def _named(inputs: Iterable[Input]) -> str:
    return " and ".join(dict.fromkeys(f"{i.source!r}" for i in inputs))


def _bands(text: str, among: Sequence[Input], where: str) -> list[Input]:
    out = []
    for name in formula.bands(text):
        found = [i for i in among if i.band == name]
        if not found:
            names = sorted({i.band for i in among})
            raise ConfigError(
                f"{where}: no band {name!r} among what samples have; {did_you_mean(name, names)}expected some of "
                f"{', '.join(names)} (canonical names; masks and class maps hold codes, which are none)"
            )
        if len(found) > 1:
            raise ConfigError(
                f"{where}: {name!r} is a band of {_named(found)}: say which, sources = [{found[0].source!r}]"
            )
        out += found
    return out


def _heights(among: Sequence[Input], where: str) -> list[Input]:
    found = [i for i in among if i.has_heights and i.number == 0]
    if len(found) != 1:
        some = f"of {_named(found)} heights are as good: say which, sources = [{found[0].source!r}]" if found else ""
        raise ConfigError(f"{where}: terrain is of heights: {some or 'no source has them: add one, such as dem = {}'}")
    return found


def _check_alike(inputs: Sequence[Input], where: str) -> None:
    first = inputs[0]
    for other in inputs[1:]:
        if other.level != first.level:
            raise ConfigError(
                f"{where}: {first.source!r} is of {first.level or 'cells'}, {other.source!r} of {other.level or 'cells'}: "
                "they cover other ground; calculate with bands of one of them"
            )
        if (other.pixel, other.px) != (first.pixel, first.px):
            size = next((f"res_m = {i.res_m:g}" for i in (first, other) if i.res_m is not None), "size_px")
            raise ConfigError(
                f"{where}: {other.band} has pixels of {other.label}, {first.band} of {first.label}; nothing is resampled "
                f"here: put both on one grid ({size} in [sources.{other.source}] and [sources.{first.source}]), or take "
                "bands of one size"
            )
