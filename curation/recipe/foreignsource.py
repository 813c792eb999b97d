"""A source of a recipe for `curate import`: what its chips hold, as the recipe says it and as a file of a source would."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from curation.errors import ConfigError
from curation.errors.words import did_you_mean
from curation.recipe import sourcefiles
from curation.recipe.chips import AnyForm, MendSpec
from curation.recipe.packed import Dtype
from curation.recipe.ranges import LIMITS, limits_of
from curation.recipe.sources import Kind
from curation.recipe.strict import StrictTable
from curation.recipe.tagged import KINDS, tagged
from curation.recipe.vocabulary import vocabulary

LABEL = "label"
"""The group of `files` that is a sample's label (a folder per class), which then is a column like those of the table."""

DB, POWER = "dB", "linear power"
"""How units of backscatter end."""


class ForeignArray(StrictTable):
    """`[[sources.<name>.arrays]]`: what the chips hold, in the words of `stac_queries/`."""

    res_m: float = Field(gt=0)
    """Side of a pixel, metres."""
    bands: list[str] = Field(min_length=1)
    """Canonical names (`s2.b04`, `s1.vv`) in the order of the files' bands."""
    file_bands: list[str] = Field(default_factory=list)
    """What each is called by in `{band}` of a path, where each has a file, or an array, of its own."""
    dtype: Dtype
    nodata: float
    """What stands for no data, of which a number that is no measurement is chosen."""
    file_nodata: list[float | Literal["nan"]] = Field(default_factory=list)
    """What means no data in files beside that."""
    unit: str = Field(min_length=1)
    """Of the files' numbers: `reflectance × 10000`, `sigma0, dB`, `m`."""
    range: list[float] | None = Field(default=None, min_length=2, max_length=2)
    """Least and greatest possible value, of a unit of which nothing is known, or where it is narrower."""
    level: Literal["TOA", "BOA"] | None = None
    """Of reflectance and radiance: at the top of the atmosphere, or at its bottom."""
    convention: str | None = Field(default=None, min_length=1)
    """What else must be known of the numbers: of backscatter `gamma0, linear`."""
    role: Literal["data", "classes"] = "data"
    suffix: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.file_bands and len(self.file_bands) != len(self.bands):
            raise ValueError(
                f"file_bands: {len(self.file_bands)} of them, expected one for each of {len(self.bands)} bands"
            )
        if self.role == "data" and self.range is None and limits_of(self.unit) is None:
            raise ValueError(
                f"unit = {self.unit!r}: what values it can have is not known, so that a wrong one would go unseen: say "
                f"range = [least, greatest], or a unit that ends in one of {', '.join(LIMITS)}"
            )
        if self.range is not None and not self.range[0] < self.range[1]:
            raise ValueError(f"range = {self.range}: expected the least value, then the greatest")
        if self.quantity == DB and self.limits and self.limits[0] <= self.nodata <= self.limits[1]:
            raise ValueError(
                f"nodata = {self.nodata:g}: is backscatter of {self.nodata:g} dB, too: say one that is none, -32768, and "
                f"file_nodata = [{self.nodata:g}] where files mean no data by it"
            )
        return self

    @property
    def quantity(self) -> str:
        """What its unit is without what it is of: `dB` of `sigma0, dB`."""
        return self.unit.rpartition(",")[2].strip()

    @property
    def limits(self) -> list[float]:
        """Least and greatest value; none of codes, which the legend tells."""
        found = self.range or limits_of(self.unit)
        return [] if self.role == "classes" or found is None else list(found)


class ForeignSource(StrictTable):
    """`[sources.<name>]`: one kind of chips."""

    title: str
    licence: str
    comment: str = ""
    kind: str | dict[str, Any] = "optical"
    """As of `stac_queries/`: `optical` is any raster of measured values, kept as they are; `radar`, of power or decibels;
    `classes` with their legend."""
    form: AnyForm
    files: str
    """Regular expression that is looked for in each path: its group `id` is the sample, `band` one of `file_bands`,
    `label` the sample's label, of a folder per class."""
    join: str | None = None
    """The column of the table that has `id`, where it is another than the table's own."""
    required: bool = True
    """Whether a sample without it is dropped."""
    arrays: list[ForeignArray] = Field(min_length=1)
    mend: MendSpec = MendSpec()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        try:
            groups = re.compile(self.files).groupindex
        except re.error as err:
            raise ValueError(f"files = {self.files!r}: no regular expression ({err})") from None
        if "id" not in groups or set(groups) - {"id", "band", LABEL}:
            raise ValueError(
                f"files = {self.files!r}: has groups {sorted(groups)}, expected 'id', and 'band', {LABEL!r} or no other"
            )
        if ("band" in groups) and not all(a.file_bands for a in self.arrays):
            raise ValueError(
                "files: has a group 'band', so that each array says file_bands: what its bands are called there"
            )
        self._check_kind()
        self._check_bits()
        wrong = [a.res_m for a in self.arrays if self.mend.pixel_m not in (None, a.res_m)]
        if wrong:
            raise ValueError(
                f"mend pixel_m = {self.mend.pixel_m}: an array says res_m = {wrong[0]:g}: both are of a pixel"
            )
        return self

    @property
    def holds_power(self) -> bool:
        """Whether it is backscatter, which cubes hold as power."""
        return _kind(self).holds_power

    @property
    def decibels(self) -> bool:
        """Whether its files hold decibels, of which cubes keep the power."""
        return self.holds_power and self.arrays[0].quantity == DB

    def _check_kind(self) -> None:
        """Passes where arrays hold what its kind has. Raises ValueError otherwise."""
        quantities = {a.quantity for a in self.arrays}
        if self.holds_power and (odd := sorted(quantities - {DB, POWER})):
            raise ValueError(
                f"kind 'radar': an array is of {odd[0]!r}, expected a unit that ends in {DB!r} or {POWER!r}: what is else "
                "(an angle, a mask) is a source of its own, of kind 'optical' or 'classes', and so is dB times a number"
            )
        if self.holds_power and len(quantities) > 1:
            raise ValueError(
                f"kind 'radar': arrays of {DB!r} and of {POWER!r}: expected one of both; make two sources of it"
            )
        if any((a.role == "classes") != bool(_kind(self).legend) for a in self.arrays):
            raise ValueError(
                "role = 'classes' goes with kind = { name = 'classes', classes = [...] }, the legend of its codes, and each "
                "array of such a kind has it"
            )

    def _check_bits(self) -> None:
        """Passes where no data is a number of the type that numbers are read as. Raises ValueError otherwise."""
        if (bits := self.mend.bits) is None:
            return
        limits = np.iinfo(bits)
        for number in (float(n) for a in self.arrays for n in a.file_nodata):
            if not limits.min <= number <= limits.max:
                raise ValueError(
                    f"file_nodata = [{number:g}]: mend bits = {bits!r} reads {limits.min} to {limits.max}: say it as "
                    "it is read then (65535 is -1 of int16)"
                )


def _kind(use: ForeignSource) -> Kind:
    """What its pixels are. Raises ValueError where there is no such kind."""
    its: Kind = tagged(use.kind, KINDS)
    return its


def stated(name: str, use: ForeignSource, own: Mapping[str, dict[str, Any]], archive: str) -> dict[str, Any]:
    """A source, as its file would state it.

    Args:
        name: what the recipe calls it.
        use: what the recipe says of it.
        own: bands that the recipe says what they are, by canonical name.
        archive: where the dataset lies.

    Raises:
        ConfigError: a band is none that anybody says what it is.
    """
    known, labels, arrays = known_bands(), dict[str, str](), list[dict[str, Any]]()
    limits, file_bands, tables = dict[str, list[float]](), dict[str, str](), dict[str, Any]()
    for array in use.arrays:
        short = [_label(b, labels, known) for b in array.bands]
        arrays.append(_array(array, short, decibels=use.decibels))
        limits |= {b: array.limits for b in short if array.limits}
        file_bands |= dict(zip(short, array.file_bands, strict=False))
        tables |= {b: _band(canonical, own, known) for b, canonical in zip(short, array.bands, strict=True)}
    pick = {"name": "chip", "form": use.form, "column": chip_column(name), "limits": limits, "file_bands": file_bands}
    pick |= {"decibels": use.decibels, "mend": use.mend, "archive": archive}
    about = {"name": name, "title": use.title, "licence": use.licence, "comment": use.comment, "kind": use.kind}
    return {**about, "pick": pick, "arrays": arrays, "bands": tables, "catalogs": {}}


def chip_column(source: str) -> str:
    """The column of places that holds the address of each sample's chip."""
    return f"chip_{source}"


def _label(canonical: str, labels: dict[str, str], known: Mapping[str, tuple[str, Any]]) -> str:
    """What a band is called among those of its source: as `stac_queries/` calls it, where that is free."""
    label = known[canonical][0] if canonical in known else canonical.partition(".")[2]
    label = canonical if labels.get(label, canonical) != canonical else label
    labels[label] = canonical
    return label


def _band(canonical: str, own: Mapping[str, dict[str, Any]], known: Mapping[str, tuple[str, Any]]) -> Any:
    if canonical in own:
        return {"name": canonical} | own[canonical]
    if canonical in known:
        return known[canonical][1]
    if canonical in (listed := vocabulary()):
        return canonical
    raise ConfigError(
        f"band {canonical!r}: no source of stac_queries/ has it, nor does its bands.toml; "
        f"{did_you_mean(canonical, sorted({*known, *listed}))}else say what it is: "
        f'[bands] "{canonical}" = {{ centre_nm = …, width_nm = … }}, or {{}} of what has no place in the spectrum'
    )


def _array(array: ForeignArray, bands: list[str], *, decibels: bool) -> dict[str, Any]:
    unit = f"{array.unit.removesuffix(DB)}{POWER}" if decibels else array.unit
    codes = {"up": "nearest", "down": "mode"} if array.role == "classes" else {}
    own = {"res_m": array.res_m, "bands": bands, "dtype": "float32" if decibels else array.dtype, "unit": unit}
    nodata = {"nodata": array.nodata} | ({"file_nodata": array.file_nodata} if array.file_nodata else {})
    own |= {k: v for k, v in (("level", array.level), ("convention", array.convention)) if v is not None}
    return {**own, **nodata, **codes, "role": array.role, "suffix": array.suffix}


def unit_of_files(unit: str, *, decibels: bool) -> str:
    """The unit that a recipe states of files whose cubes are in `unit`."""
    return f"{unit.removesuffix(POWER)}{DB}" if decibels else unit


@functools.cache
def known_bands() -> dict[str, tuple[str, Any]]:
    """Canonical name → what the first source of `stac_queries/` that has it calls it, and what it says of it."""
    out: dict[str, tuple[str, Any]] = {}
    for path in sourcefiles.shipped().values():
        for label, its in tomllib.loads(path.read_text(encoding="utf-8")).get("bands", {}).items():
            out.setdefault(its if isinstance(its, str) else its["name"], (label, its))
    return out
