"""`[places]` of a recipe: where locations are."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from curation.recipe import files
from curation.recipe.columns import ROW, SHAPE, is_ours
from curation.recipe.strict import StrictTable
from curation.store import local

CELL_SAMPLER = "era5-cells"

WORLD = "world"
"""The region of regions.toml that has all places with a UTM grid."""


MAJORTOM, STRATUM = "majortom_id", "stratum"
"""Columns of locations that follow from where they are: the cell of Major TOM's grid, the class that balances a draw."""


LEAST_KM2 = 10_000.0
"""Of a class on a region, in a draw that is balanced by both: of less a large draw would be short."""

MOST_RASTER_BYTES = 2**32
"""Of a raster that a draw is balanced by."""


class BalanceSpec(StrictTable):
    """So many places of each class, of each region, or of each class on each region, of a draw."""

    file: str | None = Field(default=None, min_length=1)
    """A raster of classes (GeoTIFF, one band of whole numbers), relative to the recipe."""
    domain: Literal["climate_zone"] | None = Field(default=None, exclude_if=lambda value: value is None)
    """In its place a map that comes along: Köppen and Geiger's climate zones. None of both: regions alone."""
    by_region: bool = Field(default=False, exclude_if=lambda value: not value)
    """Whether each of the recipe's regions has as many places as the others, of each class."""
    least_km2: float | None = Field(default=None, gt=0, exclude_if=lambda value: value is None)
    """Of `by_region`: classes with less land on a region have no place there; `LEAST_KM2` where left out."""
    strata: list[int] | list[str] | dict[str, int] | None = None
    """Which classes: as many places of each; or of each so many parts, `{ 10 = 2, 40 = 1 }`. Each that there is, as many,
    where left out. Those of a raster are numbers, those of a domain names: `["Cfb", "Dfb"]`."""
    without: list[int] | list[str] = Field(default_factory=list[int])
    """Classes that get no place, where `strata` is left out."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.file is not None and self.domain is not None:
            raise ValueError("'file' and 'domain' have classes both: name one of them")
        if not self.has_classes and not self.by_region:
            raise ValueError(
                "expected 'file', a raster of classes, or domain = \"climate_zone\", or by_region = true, or it with one "
                "of these"
            )
        if not self.has_classes and (self.strata is not None or self.without):
            raise ValueError(
                "'strata' and 'without' are of classes: they go with 'file' or 'domain', and only with one"
            )
        if self.least_km2 is not None and not self.by_region:
            raise ValueError("'least_km2' goes with by_region = true, and only with it")
        if self.strata is not None and not self.strata:
            raise ValueError("strata: none is named; name classes, or leave it out")
        if self.strata is not None and self.without:
            raise ValueError(
                "'without' goes with every class that there is: leave 'strata' out, or name its classes alone"
            )
        if isinstance(self.strata, list) and (twice := [c for c in self.strata if [*self.strata].count(c) > 1]):
            raise ValueError(
                f"strata: {twice[0]} stands there twice; name each once, or its part: {{ {twice[0]} = 2 }}"
            )
        self._check_classes()
        return self

    def _check_classes(self) -> None:
        """Passes where classes are numbers of a raster, or names of a domain. Raises ValueError otherwise."""
        parts = self.strata if isinstance(self.strata, dict) else {}
        for name, part in parts.items():
            if (self.file and not name.removeprefix("-").isdecimal()) or not 1 <= part <= 1_000_000:
                its = "number" if self.file else "name"
                raise ValueError(f"strata: {name} = {part}: expected the {its} of a class, and 1 to 1,000,000 parts")
        kind = int if self.file else str
        for key, named in (("strata", self.strata), ("without", self.without)):
            if isinstance(named, list) and (odd := [c for c in named if not isinstance(c, kind)]):
                its = "numbers of the raster's classes" if self.file else f"names of the domain {self.domain!r}"
                raise ValueError(f"{key}: {odd[0]!r}: expected {its}")

    @property
    def has_classes(self) -> bool:
        """Whether it is of classes, and not of regions alone."""
        return self.file is not None or self.domain is not None

    def path(self, recipe: Path) -> Path:
        """The raster, beside the recipe, of one that names one. Raises ConfigError where it is not there."""
        assert self.file is not None
        path = (recipe.parent / self.file).resolve()
        local.check(path, f"{recipe}: [places.balance] file = {self.file!r}: {path}", MOST_RASTER_BYTES)
        return path

    def parts(self, known: Sequence[str]) -> dict[str, int]:
        """Class, as the recipe names it → its part of a round, of a map that has these."""
        if isinstance(self.strata, dict):
            return self.strata
        without = {str(c) for c in self.without}
        return dict.fromkeys(
            [str(c) for c in self.strata] if self.strata else [c for c in known if c not in without], 1
        )


class PlacesSpec(StrictTable):
    """Where locations are: one global, seeded, ordered draw, or places that are given."""

    table: ClassVar[str] = "[places]"

    sampler: Literal["gaussian-cities", "uniform", "grid", "file", "era5-cells"]
    count: int | None = Field(default=None, gt=0)
    """How many locations to draw, the reserve included (gaussian-cities, uniform); of era5-cells the first so many, all
    where left out."""
    land_buffer_deg: float | None = Field(default=None, ge=0, le=5)
    """Cells count that hold land when grown by so much to each side, in steps of 1/120° (era5-cells); 0 where left out:
    only cells that hold land themselves. The land mask has the small islands that coarse coastlines lack, so nothing but
    open sea is won by more."""
    cities: int = Field(default=10_000, gt=0)
    """Draw around this many of the most populous cities."""
    std_km: float = Field(default=50.0, gt=0)
    """Standard deviation of the distance from a city, east and north alike."""
    file: str | None = None
    """A table or vector file of points, footprints or shapes, relative to the recipe."""
    layer: str | None = Field(default=None, min_length=1, exclude_if=lambda value: value is None)
    """Which layer of the file, where it has several (GeoPackage)."""
    shapes: Literal["centre", "cover", "tile"] | None = Field(default=None, exclude_if=lambda value: value is None)
    """What patches of shapes are that are no footprints (fields, lines, areas of events): one around the centre of each, as
    many squares of the lattice as cover it, or a complete grid of squares side by side, in one zone. Where left out,
    polygons are footprints, and have to be squares."""
    least_covered_pct: float | None = Field(default=None, ge=0, le=100, exclude_if=lambda value: value is None)
    """Of `tile`: the least per cent of a square that its area covers; those with less are dropped. Any where left out."""
    columns: list[str] | None = None
    """Columns of the file that locations carry: into the tables of locations and samples, into samples and batches, for
    seasons, labels and a rule of the split. All that can where left out; none where empty."""
    balance: BalanceSpec | None = Field(default=None, exclude_if=lambda value: value is None)
    """So many places of each class of a map, of `gaussian-cities` and `uniform`."""
    majortom_id: bool = Field(default=False, exclude_if=lambda value: not value)
    """Whether locations carry the cell of the Major TOM grid that their centre lies in, as column `majortom_id`."""
    numbered: bool = Field(default=False, exclude_if=lambda value: not value)
    """Whether locations carry the number of their row, from 1, as `row_of_file`, where columns are named, too. They do
    where several are of one row, and where a source is made of the shapes of places. With `shapes` a digest of each one's
    shape goes along, as `shape_of_file`."""
    each_id: bool = Field(default=False, exclude_if=lambda value: not value)
    """Whether each row with an id of its own is a place, though another has the very grid: rows that say which file is
    theirs, of another date, say."""
    regions: list[str] = Field(min_length=1)
    """What `--region all` means: names from regions.toml, or vector files relative to the recipe, in order; a location
    belongs to the first that holds it. With sampler `file` they may be left out: `world`, so that every place counts."""
    regions_of: dict[str, list[str]] = Field(default_factory=dict)
    """By catalog: what `--region all` means there."""

    @model_validator(mode="before")
    @classmethod
    def _regions_of_a_file(cls, value: Any) -> Any:
        """Places that are given are all meant, where no regions are; other places have no columns."""
        if isinstance(value, dict):
            return ({"regions": [WORLD]} if value.get("sampler") == "file" else {"columns": []}) | value
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.sampler in ("gaussian-cities", "uniform") and self.count is None:
            raise ValueError(f"sampler {self.sampler!r} wants 'count': how many locations to draw")
        if (self.sampler == "file") != (self.file is not None):
            raise ValueError("'file' goes with sampler 'file', and only with it")
        if self.columns and self.file is None:
            raise ValueError("'columns' are of a file of places: they go with 'file', and only with it")
        for key in ("layer", "shapes"):
            if getattr(self, key) is not None and self.file is None:
                raise ValueError(f"{key!r} is of a file of places: it goes with 'file', and only with it")
        if self.balance is not None and self.sampler not in ("gaussian-cities", "uniform"):
            raise ValueError(f"'balance' is of a draw, gaussian-cities or uniform: not of sampler {self.sampler!r}")
        if self.least_covered_pct is not None and self.shapes != "tile":
            raise ValueError("'least_covered_pct' goes with shapes = 'tile', and only with it")
        if self.numbered and self.file is None:
            raise ValueError("'numbered' is of rows of a file of places: it goes with 'file', and only with it")
        named = self.columns or []
        if made := [c for c in named if c in self.made_columns]:
            raise ValueError(f"columns {made}: made here, as [places] says; leave them out, or rename the file's")
        if taken := [c for c in named if is_ours(c) or named.count(c) > 1]:
            raise ValueError(
                f"columns {taken}: tables of locations or samples have such a column already; name each once, and rename "
                "it in the file where it is another's"
            )
        if self.land_buffer_deg is not None and self.sampler != CELL_SAMPLER:
            raise ValueError(f"'land_buffer_deg' goes with sampler {CELL_SAMPLER!r}, not with {self.sampler!r}")
        return self

    @property
    def row_columns(self) -> list[str]:
        """Columns that tell which row of the file a place is of, where the recipe says that they are wanted."""
        return [ROW, *([SHAPE] if self.shapes else [])] if self.numbered else []

    @property
    def made_columns(self) -> list[str]:
        """Columns of locations that follow from where they are, in order."""
        return [MAJORTOM] * self.majortom_id + [STRATUM] * bool(self.balance and self.balance.has_classes)

    def balance_parts(self, recipe: Path) -> dict[str, Any]:
        """What a balanced draw follows from beside the recipe: the map, and the outlines of regions, as digests."""
        its, parts = self.balance, dict[str, Any]()
        if its is not None and its.file:
            parts["balance"] = files.sha256_of(its.path(recipe))
        if its is not None and its.by_region:
            named = tomllib.loads((files.folder("stac_queries") / "regions.toml").read_text(encoding="utf-8"))
            parts["balance_regions"] = [named.get(r) or self._outline(recipe.parent / r) for r in self.regions]
        return parts

    @staticmethod
    def _outline(path: Path) -> str | None:
        return files.sha256_of(path) if path.is_file() else None  # of a bbox its text, which is told, says all

    def may_carry(self, column: str) -> bool:
        """Whether locations may have a column: one of those named or made, or any where all of the file's are meant."""
        if column in self.made_columns:
            return True
        return column in self.columns if self.columns is not None else self.file is not None

    @property
    def carried(self) -> str:
        """What they may have, for a person."""
        made = f", and {', '.join(self.made_columns)}" if self.made_columns else ""
        return ("all of the file" if self.columns is None else str(self.columns)) + made
