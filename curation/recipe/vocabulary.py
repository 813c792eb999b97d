"""All bands that have a name, as `stac_queries/bands.toml` lists them: what they are is said there, and nowhere else."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, PrivateAttr, ValidationError, model_validator

from curation.errors.words import did_you_mean
from curation.recipe import files
from curation.recipe.bands import NAME, BandFacts, BandSpec
from curation.recipe.strict import StrictTable
from curation.recipe.toml import read_toml


class Member(BandFacts):
    """A band of the list."""

    of: str | None = Field(default=None, pattern=NAME)
    """The band that it is in another product: whatever is not said here is said there."""
    variable: str | None = Field(default=None, min_length=1)
    """Of a variable of the climate: what stores call it that do not by its key, `2m_temperature` of `era5.t2m`."""


class Family(BandFacts):
    """Bands whose names begin alike, and what all of them have in common."""

    bands: dict[str, Member]


class BandList(StrictTable):
    """The list."""

    sensors: dict[str, Family]
    """By how names begin."""
    _bands: dict[str, BandSpec] = PrivateAttr(default_factory=dict)
    _variables: dict[str, str] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _resolved(self) -> Self:
        listed = {
            f"{prefix}.{key}": (family, band)
            for prefix, family in self.sensors.items()
            for key, band in family.bands.items()
        }
        for name, (family, band) in listed.items():
            if band.of is not None and (band.of not in listed or listed[band.of][1].of is not None):
                raise ValueError(f"{name}: of = {band.of!r}: expected a band that is listed, and is of no other")
            origin = {} if band.of is None else _said(*listed[band.of])
            try:
                self._bands[name] = BandSpec(name=name, **(origin | _said(family, band)))
            except ValidationError as err:
                raise ValueError(f"{name}: {err.errors()[0]['msg'].removeprefix('Value error, ')}") from err
            if band.variable is not None:
                self._called(name, name.partition(".")[2], band.variable)
        numbers = [b.fomo for name, b in self._bands.items() if b.fomo is not None and listed[name][1].of is None]
        if twice := sorted({n for n in numbers if numbers.count(n) > 1}):
            raise ValueError(f"fomo = {twice} twice: expected each number once, and other products by 'of'")
        return self

    def _called(self, name: str, *variables: str) -> None:
        for variable in variables:
            if self._variables.setdefault(variable, name) != name:
                raise ValueError(f"{name}: variable {variable!r}: is {self._variables[variable]} already")

    @property
    def variables(self) -> Mapping[str, str]:
        """What stores call a variable of the climate → its canonical name."""
        return self._variables

    @property
    def bands(self) -> Mapping[str, BandSpec]:
        """Canonical name → band."""
        return self._bands


def _said(family: Family, band: Member) -> dict[str, Any]:
    return {k: v for k, v in family.stated.items() if k != "bands"} | band.stated


def vocabulary() -> Mapping[str, BandSpec]:
    """Canonical name → band, of all that `stac_queries/bands.toml` lists.

    Raises:
        ConfigError: the file is no such list.
    """
    return _listed().bands


def variable(name: str, unit: str) -> BandSpec | None:
    """The band that a store's variable of the climate is, in the store's unit; None of one that is not listed.

    Args:
        name: as the store has it: `2m_temperature`, or `t2m`.
        unit: of the store's numbers, which may be another than the list has.

    Raises:
        ConfigError: the file is no list of bands.
    """
    known = _listed()
    its = known.variables.get(name)
    return None if its is None else known.bands[its].model_copy(update={"unit": unit})


def _listed() -> BandList:
    path = files.folder("stac_queries") / "bands.toml"
    return _read(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=4)
def _read(path: Path, _mtime_ns: int) -> BandList:
    return read_toml(path, BandList)


def named(value: Any) -> Any:
    """The band that a source's file means: a name of the vocabulary, or a table that says what a band of its own is.

    Raises:
        ValueError: there is no band of that name, or a table says of one that there is what the vocabulary does not.
    """
    known = vocabulary()
    if isinstance(value, str):
        if value not in known:
            hint = did_you_mean(value, sorted(known))
            raise ValueError(
                f"no band of stac_queries/bands.toml is called so; {hint}add it there, or say what it is: "
                "{ name = …, centre_nm = …, width_nm = … }"
            )
        return known[value]
    if not isinstance(value, dict) or (its := known.get(str(value.get("name")))) is None:
        return value
    if other := [k for k, v in value.items() if getattr(its, k, None) != v]:
        says = ", ".join(f"{k} is {getattr(its, k, None)}" for k in other)
        raise ValueError(
            f"{its.name!r} is a band of stac_queries/bands.toml, by which {says}: write its name alone, or give a band of "
            "your own another name"
        )
    return its
