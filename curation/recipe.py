"""What dataset to make, as `recipe.toml` states it, and its two digests. No I/O but reading the files named."""

from __future__ import annotations

import datetime as dt
import difflib
import hashlib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from curation import atlas, backscatter, localfiles, resources, shift
from curation.model import SLAB, STATIC, ConfigError, Season, did_you_mean
from curation.printable import printable
from curation.sources import ArraySpec, CatalogForm, Name, SourceSpec, Strict

T = TypeVar("T", bound=BaseModel)

_LONGEST_GAP_DAYS = 36_525
"""A hundred years: no archive is older, and time itself has an end for Python."""


def _utc(value: Any) -> dt.datetime:
    if isinstance(value, dt.datetime):
        if value.tzinfo is None:
            raise ValueError("a time wants its zone: write 2021-03-01 or 2021-03-01T00:00:00Z")
        return value.astimezone(dt.UTC)
    if isinstance(value, dt.date):
        return dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
    raise ValueError("expected a date or time without quotes: write 2021-03-01 or 2021-03-01T00:00:00Z")


Day = Annotated[dt.datetime, BeforeValidator(_utc)]
Fraction = Annotated[float, Field(ge=0, le=1)]


CELL_DEG = 0.25
"""Side of an ERA5 cell: ERA5's nodes lie so far apart, and the ids of cells follow from them."""

CELL_SAMPLER = "era5-cells"

UNSHARED_CELL = "era5-cell"
"""What `[split] unshared` calls the cell of 0.25° that a footprint touches, of which coarse data have one value."""

WORLD = "world"
"""The region of regions.toml that has all places with a UTM grid."""


class GridSpec(Strict):
    """The footprint of a location: a square in metres (UTM), or an ERA5 cell in degrees (EPSG:4326)."""

    size_m: float | None = Field(default=None, gt=0, le=10_000)
    """Side of the square footprint, metres; a multiple of 60 unless places are given. At most 10 km: what reaches further
    from its centre than a search cell's margin would miss scenes."""
    size_deg: float | None = None
    """Side of the square footprint, degrees of longitude and latitude: 0.25, which only ERA5 cells have."""

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        if (self.size_m is None) == (self.size_deg is None):
            raise ValueError(f"expected either 'size_m' (metres, in UTM) or 'size_deg' = {CELL_DEG:g} (ERA5 cells)")
        if self.size_deg not in (None, CELL_DEG):
            raise ValueError(
                f"size_deg = {self.size_deg:g}: expected {CELL_DEG:g}, the spacing of ERA5's nodes, which ids count; "
                "other sizes are size_m"
            )
        return self

    @property
    def size(self) -> float:
        """Side of the footprint in units of its CRS."""
        return self.size_m or self.size_deg or 0.0

    @property
    def unit(self) -> str:
        """Of `size`: `m` or `degrees`."""
        return "m" if self.size_deg is None else "degrees"

    @model_serializer(mode="wrap")
    def _given(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Only the size that is given: digests of recipes from before there were two stay what they were."""
        return {k: v for k, v in handler(self).items() if v is not None}


class PlacesSpec(Strict):
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
    """CSV or GeoParquet of points or footprints, relative to the recipe."""
    regions: list[str] = Field(min_length=1)
    """What `--region all` means: names from regions.toml, or vector files relative to the recipe, in order; a location
    belongs to the first that holds it. With sampler `file` they may be left out: `world`, so that every place counts."""
    regions_of: dict[str, list[str]] = Field(default_factory=dict)
    """By catalog: what `--region all` means there."""

    @model_validator(mode="before")
    @classmethod
    def _all_that_are_given(cls, value: Any) -> Any:
        """Places that are given are all meant, where no regions are."""
        if isinstance(value, dict) and value.get("sampler") == "file":
            return {"regions": [WORLD]} | value
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.sampler in ("gaussian-cities", "uniform") and self.count is None:
            raise ValueError(f"sampler {self.sampler!r} wants 'count': how many locations to draw")
        if (self.sampler == "file") != (self.file is not None):
            raise ValueError("'file' goes with sampler 'file', and only with it")
        if self.land_buffer_deg is not None and self.sampler != CELL_SAMPLER:
            raise ValueError(f"'land_buffer_deg' goes with sampler {CELL_SAMPLER!r}, not with {self.sampler!r}")
        return self

    @model_serializer(mode="wrap")
    def _given(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what only cells have where it is left out: digests from before there were cells stay what they were."""
        out: dict[str, Any] = handler(self)
        if out.get("land_buffer_deg", 0) is None:
            del out["land_buffer_deg"]
        return out


class ChildrenSpec(Strict):
    """UTM places within ERA5 cells, each with its cell as parent; a cell and its children are one sample."""

    table: ClassVar[str] = "[children]"

    size_m: float = Field(gt=0, le=10_000, multiple_of=60)
    """Side of the square footprint: a multiple of 60 m, so that 10, 20 and 60 m bands nest."""
    sampler: Literal["gaussian-cities", "uniform"]
    """The one global draw, as of places."""
    count: int = Field(gt=0)
    """How many to draw on the globe; those whose footprint lies wholly within a cell are its children."""
    cities: int = Field(default=10_000, gt=0)
    """Draw around this many of the most populous cities."""
    std_km: float = Field(default=50.0, gt=0)
    """Standard deviation of the distance from a city, east and north alike."""
    per_cell: int = Field(default=4, gt=0)
    """Most children of a cell: the first of the draw."""
    fill: int = Field(default=1, ge=0)
    """How many children a cell gets that the draw leaves without: uniform within it, on land where it has land."""
    sources: list[str] = Field(min_length=1)
    """The sources that children carry; cells carry the others."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.fill > self.per_cell:
            raise ValueError(f"fill = {self.fill} is more than per_cell = {self.per_cell}: a cell has at most so many")
        if twice := sorted({s for s in self.sources if self.sources.count(s) > 1}):
            raise ValueError(f"sources: {twice} stand there twice; name each once")
        return self


class SeasonSpec(Strict):
    """A half-open UTC window."""

    start: Day
    end: Day
    anchor: Day | None = None
    """The day that scenes should lie near to; the middle where left out."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.start < self.end:
            raise ValueError(f"start {self.start:%Y-%m-%d} is not before end {self.end:%Y-%m-%d}")
        if self.anchor is not None and not self.start <= self.anchor < self.end:
            raise ValueError(f"anchor {self.anchor:%Y-%m-%d} lies outside the season")
        return self


class UseSpec(Strict):
    """How a recipe uses a source."""

    required: bool = True
    """Whether a patch without it is rejected."""
    bands: list[str] | None = Field(default=None, min_length=1)
    """Only these bands (all where left out)."""
    res_m: float | None = Field(default=None, gt=0)
    """Put every band of the source on one grid of this resolution (native groups where left out)."""
    size_px: int | None = Field(default=None, gt=0)
    """Put every band of the source on one grid of so many pixels a side, whatever their size."""
    min_valid: Fraction | None = None
    """Least fraction of pixels with data, where it is another than that of [quality]. Of sources that are means of a
    season a single pixel is enough where it is left out: a swath has gaps."""
    seasons: list[str] | None = Field(default=None, min_length=1)
    """Only in these seasons (all where left out; static sources have none)."""

    @model_serializer(mode="wrap")
    def _given(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without the newer keys where they are left out: digests from before there were any stay what they were."""
        newer = ("size_px", "seasons", "min_valid")
        return {k: v for k, v in handler(self).items() if v is not None or k not in newer}

    @model_validator(mode="after")
    def _one_grid(self) -> Self:
        if self.res_m is not None and self.size_px is not None:
            raise ValueError("expected 'res_m', the size of a pixel, or 'size_px', how many a side has: not both")
        return self


class QualitySpec(Strict):
    """What a patch must be, measured on the patch, not on the scene.

    A mask sorts pixels into clear, doubtful, snow, cloudy and invalid ones (`stac_queries/`). Each limit is of one of these.
    """

    min_clear: Fraction = 0.98
    """Least fraction of pixels that are neither cloud, nor shadow, nor invalid. The doubtful and the snowy count as clear:
    they have limits of their own. Lower it over cities: large roofs are called cloud."""
    max_doubtful: Fraction = 0.5
    """Most of the patch of which its mask may not know what it is: haze, but bare or dark ground, too."""
    max_snow: Fraction = 0.5
    """Most of the patch that its mask may call snow: it has called overcast scenes so. Raise it where snow is wanted; a mask
    that calls more than half of the patch so is then believed only where no other candidate passes."""
    min_valid: Fraction = 0.999
    """Least fraction of pixels with data."""
    max_gap_days: float = Field(default=12.0, gt=0)
    """Most days between a scene and the one it goes with."""
    max_scene_cloud_pct: float = Field(default=90.0, ge=0, le=100)
    """Scenes cloudier than this as a whole are not looked at."""
    max_candidates: int = Field(default=8, gt=0)
    """Most scenes per patch whose mask is read."""
    max_shift_px: float | None = Field(default=None, gt=0, le=shift.MAX_SHIFT_PX)
    """Most pixels, of the array that it is measured on, that a source may lie beside the one it goes with, where the
    measurement is sharp (`shift.least_peak`); any where left out."""
    unreadable: Literal["next", "fail"] = "next"
    """What to do about a scene that cannot be read, and not for what may pass: take the next one, or fail the patch."""


class SearchSpec(Strict):
    """What of the catalog is used; what is excluded changes no digest, so that it can be said of a cube that is begun."""

    exclude: list[str] = Field(default_factory=list)
    """Ids of scenes that are never chosen. All else is decided as if they were there."""
    local: list[Annotated[str, Field(min_length=1)]] = Field(default_factory=list)
    """Folders of the machines that read, relative to the recipe, in which hrefs may lie; beside that of a catalog that is a
    file. A remote catalog's hrefs are else expected to be URLs."""

    @model_validator(mode="after")
    def _are_ids(self) -> Self:
        if odd := [i for i in self.exclude if not i.strip() or i != i.strip()]:
            raise ValueError(f"exclude: {odd[0]!r} is no id of a scene; write it as the ledger tells it")
        return self


class LabelsSpec(Strict):
    """Multi-hot scene labels from class fractions."""

    annual: str | None = None
    """Static source with a legend, one label vector per location."""
    seasonal: str | None = None
    """Seasonal source with a legend, one label vector per patch."""
    min_fraction: Fraction = 0.05
    """Least share of the labelled pixels for a class to be present."""
    min_valid: Fraction = 0.5
    """Least share of labelled pixels; below it the labels are unknown."""


class SplitSpec(Strict):
    """Train and validation by split blocks on the sphere."""

    val_fraction: Fraction = 0.05
    block_deg: float = Field(default=1.0, gt=0, le=30)
    """Side of a split block, degrees of latitude (and about as much on the ground east to west)."""
    buffer_km: float = Field(default=5.0, ge=0)
    """Ground between a train and a val footprint, at least: what is nearer is used for neither. No less than the widest
    pixel of any source, on which both would have a part."""
    unshared: list[str] = Field(default_factory=list)
    """What train and val may not share beside ground: sources, of which no scene may be in both, and `era5-cell`, of which
    no cell may be. Samples of train that do are left out of shards, as `shared:<name>`; what is shared is counted anyway."""


class CubeSpec(Strict):
    """How cubes are cut."""

    slab_patches: int = Field(default=16, gt=0, le=4096)
    """Patches per slab: one Dask task, one Zarr shard per pixel array, one commit."""


class FetchSpec(Strict):
    """How hard servers and workers are pressed; changes no pixel."""

    requests_per_host: int = Field(default=64, gt=0)
    """Requests that one host has of all workers together, at a time; of each at least one."""
    ahead_mb: int = Field(default=256, gt=0)
    """Packed megabytes (10⁶) that a task fetches ahead of what it decodes, at most, but one patch's at least; a worker has a
    task per thread."""


class PackSpec(Strict):
    """How samples and shards are made."""

    complete: Literal["all", "any", "some"] = "all"
    """Which locations become samples: those with every season; with what is static and at least one season; or with
    anything at all, of their own or of a child."""
    target: int | None = Field(default=None, gt=0)
    """How many samples; the first complete locations in the order of the draw. All where left out."""
    samples_per_shard: int = Field(default=64, gt=0)
    radar: Literal["centidb", "float32"] = "centidb"
    """Backscatter as int16 hundredths of a decibel, or as float32 linear power."""
    radar_floor_db: float = Field(default=backscatter.FLOOR_DB, ge=-300, le=0)
    """Decibels that backscatter below, zero and negative power too, is written as; it stays valid and is
    counted."""
    codec: Literal["lz4", "zstd", "none"] = "lz4"
    """How arrays are compressed: lz4 is decoded fastest, zstd takes a tenth less room, none is for fast local disks."""


class Recipe(Strict):
    """A dataset that anyone can make again."""

    name: Name
    title: str
    seed: int = Field(ge=0)
    catalog: str = "planetary-computer"
    """The catalog asked where `--catalog` is not given."""
    grid: GridSpec
    places: PlacesSpec
    children: ChildrenSpec | None = None
    """Places within the locations, with sources of their own."""
    seasons: dict[str, SeasonSpec] = Field(min_length=1)
    sources: dict[str, UseSpec] = Field(min_length=1)
    search: SearchSpec = SearchSpec()
    quality: QualitySpec = QualitySpec()
    labels: LabelsSpec = LabelsSpec()
    split: SplitSpec = SplitSpec()
    cube: CubeSpec = CubeSpec()
    fetch: FetchSpec = FetchSpec()
    pack: PackSpec = PackSpec()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name in self.seasons:
            if name == STATIC or not re.fullmatch(r"[a-z0-9_-]+", name):
                raise ValueError(f"season {name!r}: expected a-z, 0-9, '_' and '-', and not {STATIC!r}")
        for name in self.children.sources if self.children else ():
            if name not in self.sources:
                raise ValueError(f"children.sources: {name!r} is not in [sources]: {sorted(self.sources)}")
        for name in (SLAB, UNSHARED_CELL):  # what else may stand where sources do
            if name in self.sources:
                raise ValueError(
                    f"sources: {name!r} means something else here; call the source, and its file, otherwise"
                )
        for name, use in self.sources.items():
            if unknown := [s for s in use.seasons or [] if s not in self.seasons]:
                raise ValueError(f"sources.{name}.seasons: no season {unknown}; known: {list(self.seasons)}")
        for key, source in (("annual", self.labels.annual), ("seasonal", self.labels.seasonal)):
            if source is not None and source not in self.sources:
                raise ValueError(f"labels.{key} = {source!r} is not in [sources]: {sorted(self.sources)}")
        known = [*self.sources, UNSHARED_CELL]
        if unknown := [n for n in self.split.unshared if n not in known]:
            raise ValueError(
                f"split.unshared: {unknown} are none of the recipe's sources, nor {UNSHARED_CELL!r}: {known}"
            )
        self._check_levels()
        return self

    def _check_levels(self) -> None:
        cells = self.places.sampler == CELL_SAMPLER
        if cells != (self.grid.size_deg is not None):
            raise ValueError(
                f"[grid] size_deg goes with [places] sampler = {CELL_SAMPLER!r}, and only with it; found "
                f"{' and '.join(f'{k} = {v:g}' for k, v in self.grid.model_dump().items())} "
                f"with sampler = {self.places.sampler!r}"
            )
        if self.children is None:
            return
        if below := [s for s in (self.labels.annual, self.labels.seasonal) if s in self.children.sources]:
            raise ValueError(
                f"[labels] from {below}, which children carry: samples have labels of their own alone so far; leave "
                "[labels] out, or give the source to the cells"
            )
        if not cells:
            raise ValueError(
                f"[children] lie within ERA5 cells: they go with [places] sampler = {CELL_SAMPLER!r}, "
                f"not with {self.places.sampler!r}; leave the table out"
            )

    def season(self, name: str) -> Season:
        """The season called `name`; `static` spans all of the recipe's windows.

        Raises:
            ConfigError: the recipe has no such season.
        """
        windows = {k: _season(k, s) for k, s in self.seasons.items()}
        if name == STATIC:
            start, end = min(s.start for s in windows.values()), max(s.end for s in windows.values())
            return Season(STATIC, start, end, start + (end - start) / 2)
        if name not in windows:
            raise ConfigError(
                f"season {name!r}: not in recipe {self.name!r}; {did_you_mean(name, windows)}expected one of "
                f"{', '.join(windows)}, static or all"
            )
        return windows[name]


def _season(name: str, spec: SeasonSpec) -> Season:
    return Season(name, spec.start, spec.end, spec.anchor or spec.start + (spec.end - spec.start) / 2)


_NOT_PIXELS: Any = {
    "title": True,
    "licence": True,
    "catalogs": True,
    "classes": {"__all__": {"label"}},
    "swath": {"footprint_km"},
}
"""Keys of a source that change no pixel: words for people, forms in other catalogs, what classes count as, and how far train
and val lie apart."""


CHILDREN = "children"
"""The level of locations that have a parent."""


class Dataset:
    """A recipe together with the sources it uses, resolved: what every stage is given.

    A recipe with children has two levels, each with sources, footprint and cubes of its own (`levels`): roots and their
    children. One of a single level is its own only level.
    """

    def __init__(self, recipe: Recipe, specs: dict[str, SourceSpec], path: Path, level: str = "") -> None:
        self.recipe = recipe
        self.specs = {name: specs[name] for name in recipe.sources}
        self.path = path
        self.level = level
        """`children`, or empty: of roots, of a single level, and of all levels together."""
        self.arrays: dict[str, dict[str, ArraySpec]] = {
            name: _arrays(spec, recipe.sources[name], path) for name, spec in self.specs.items()
        }
        """Source → name → array, as the recipe wants them: bands chosen, on one grid where asked for."""
        self.levels: tuple[Dataset, ...] = (self,)
        """Its levels, the roots first."""
        if not level:
            self._check_buffer()
        if recipe.children is not None:
            self.levels = tuple(Dataset(r, specs, path, name) for name, r in _levels(recipe).items())
            self._check_shift()
            return
        for name, spec in self.specs.items():
            if spec.goes_with and spec.goes_with not in self.specs:
                raise ConfigError(
                    f"{path}: [sources.{name}] is chosen by {spec.goes_with!r}, which the recipe does not use"
                    f"{f' among the {level}' if level else ''}; add it"
                )
        for key, source in (("annual", recipe.labels.annual), ("seasonal", recipe.labels.seasonal)):
            want = STATIC if key == "annual" else "seasonal"
            if source and (not self.specs[source].classes or self.specs[source].season != want):
                raise ConfigError(f"{path}: [labels] {key} = {source!r}: expected a {want} source with classes")
        for spec in self.specs.values():
            if spec.swath is not None and recipe.grid.size_deg is None:
                raise ConfigError(
                    f"{path}: [sources.{spec.name}] is a swath, which is gridded on footprints in degrees, and those of "
                    f"[{level or 'grid'}] are in metres; leave it out{' of the children' if level else ''}"
                )
            if spec.swath is not None and len({a.px(recipe.grid.size) for a in self.arrays[spec.name].values()}) > 1:
                raise ConfigError(
                    f"{path}: [sources.{spec.name}]: its arrays are of {[a.told for a in self.arrays[spec.name].values()]}; "
                    "those of a swath have as many pixels a side, the mask too: change them in stac_queries/"
                )
            for array in self.arrays[spec.name].values():
                if array.res_m is None:
                    continue
                if recipe.grid.size_m is None:
                    raise ConfigError(
                        f"{path}: [sources.{spec.name}]: pixels of {array.res_m:g} m on a footprint in degrees; say "
                        "how many a side has with size_px"
                    )
                if recipe.grid.size_m % array.res_m:
                    raise ConfigError(
                        f"{path}: [{level or 'grid'}] size_m = {recipe.grid.size_m:g} is no multiple of {array.res_m:g} m "
                        f"({spec.name} {array.bands}); choose another size, or leave these bands out"
                    )
        if not level:
            self._check_shift()

    def _check_buffer(self) -> None:
        """Passes where the buffer is no less than the widest pixel of any source of a sample, its children's included."""
        rule = self.recipe.split
        if not 0 < rule.val_fraction < 1:
            return  # there is one side alone
        wide = {name: spec.widest_km(self.recipe.sources[name].bands) for name, spec in self.specs.items()}
        source, km = max(wide.items(), key=lambda kv: kv[1], default=("", 0.0))
        if rule.buffer_km < km:
            raise ConfigError(
                f"{self.path}: [split] buffer_km = {rule.buffer_km:g}: a pixel of {source!r} is up to {km:g} km wide on the "
                f"ground, so that one could have a part in train and in val; say buffer_km = {km:g}, or more"
            )

    def _check_shift(self) -> None:
        """Passes where a limit of the shift decides anything."""
        limit = self.recipe.quality.max_shift_px
        if limit is None or any(level.shift_arrays(s) for level in self.levels for s in level.specs):
            return
        raise ConfigError(
            f"{self.path}: [quality] max_shift_px = {limit:g}: no shift is measured, since that wants a source that is the "
            f"nearest to another, both with an array of the same pixels, {shift.LEAST_PX} along a side or more; leave it out"
        )

    @property
    def name(self) -> str:
        """Name of the dataset."""
        return self.recipe.name

    def folder(self, region: str) -> str:
        """What cubes and ledgers of this level lie below: the region's name, of children `<region>.children`."""
        return f"{region}.{self.level}" if self.level else region

    def level_of(self, folder: str) -> Dataset:
        """The level whose cubes lie below a folder."""
        return self.levels[-1] if folder.endswith(f".{CHILDREN}") else self.levels[0]

    def sources(self, season: str) -> list[SourceSpec]:
        """The sources of a season's cube: those without time for `static`, else those with; deciding ones first."""
        kind = STATIC if season == STATIC else "seasonal"
        found = [s for s in self.specs.values() if s.season == kind and self._has(s.name, season)]
        return sorted(found, key=lambda s: s.goes_with is not None)

    def sought(self, source: str, season: str) -> Season:
        """The window in which a source is searched for a season: of one that goes with another `max_gap_days` more each way.

        Its partner lies in the season; of one near the window's edge the nearest scene may lie beyond.
        """
        window = self.recipe.season(season)
        if self.specs[source].goes_with is None:
            return window
        gap = dt.timedelta(days=min(self.recipe.quality.max_gap_days, _LONGEST_GAP_DAYS))
        return replace(window, start=window.start - gap, end=window.end + gap)

    def min_valid(self, source: str) -> float:
        """Least fraction of pixels with data that a source of a patch may have; more than none anyway."""
        own = self.recipe.sources[source].min_valid
        if own is not None:
            return own
        return 0.0 if self.specs[source].pick == "mean" else self.recipe.quality.min_valid

    def shift_arrays(self, source: str) -> tuple[str, str, ArraySpec] | None:
        """The arrays that a source's shift against the one it goes with is measured on; None where there are none.

        They are the first two data arrays of the same pixels, at least `shift.LEAST_PX` along a side.

        Returns:
            Name of the other's, name of its own, and what that is, whose pixel is the unit.
        """
        spec, size = self.specs[source], self.recipe.grid.size
        for name, array in self.arrays[source].items() if spec.pick == "nearest" and spec.goes_with else ():
            for other, reference in self.arrays[spec.goes_with or ""].items():
                alike = array.role == reference.role == "data" and reference.pixel == array.pixel
                if alike and array.px(size) >= shift.LEAST_PX:
                    return other, name, array
        return None

    def _has(self, source: str, season: str) -> bool:
        only = self.recipe.sources[source].seasons
        return season == STATIC or only is None or season in only

    def season_names(self) -> list[str]:
        """The recipe's seasons that any of the sources has, in order, without `static`."""
        return [s for s in self.recipe.seasons if self.sources(s)]

    def cube_seasons(self) -> list[str]:
        """The seasons that there is a cube of, `static` first."""
        return ([STATIC] if self.sources(STATIC) else []) + self.season_names()

    def seasons_of(self, source: str) -> list[str]:
        """The seasons of a source, in the recipe's order; `static` alone of one without time."""
        if self.specs[source].season == STATIC:
            return [STATIC]
        return [s for s in self.recipe.seasons if self._has(source, s)]

    def pixels_parts(self, catalog: str, forms: Mapping[str, CatalogForm | None]) -> dict[str, Any]:
        """All that changes a cube, as plain JSON values.

        Args:
            catalog: identity of the catalog.
            forms: source → how that catalog offers it; forms of other catalogs do not count.
        """
        if len(self.levels) > 1:
            return {level.level or "roots": level.pixels_parts(catalog, forms) for level in self.levels}
        r, used = self.recipe, self.season_names()
        return {
            "catalog": catalog,
            "grid": r.grid.model_dump(mode="json"),
            "seasons": {k: s.model_dump(mode="json") for k, s in r.seasons.items() if k in used},
            "sources": {
                name: [
                    use.model_dump(mode="json"),
                    self.specs[name].model_dump(mode="json", exclude=_NOT_PIXELS),
                    form.model_dump(mode="json") if (form := forms.get(name)) else None,
                ]
                for name, use in r.sources.items()
            },
            "quality": r.quality.model_dump(mode="json"),
            "cube": r.cube.model_dump(mode="json"),
        }

    def pixels_digest(self, catalog: str, forms: Mapping[str, CatalogForm | None]) -> str:
        """Digest of `pixels_parts`."""
        return digest(self.pixels_parts(catalog, forms))

    def release_digest(self) -> str:
        """Digest of all that changes shards on top of the cubes: labels, split, packing, seed."""
        r = self.recipe
        return digest(
            {k: getattr(r, k).model_dump(mode="json") for k in ("labels", "split", "pack")}
            | {"seed": r.seed, "classes": {n: [c.model_dump() for c in s.classes] for n, s in self.specs.items()}}
        )

    def places_parts(self) -> dict[str, Any]:
        """All that changes the draw of locations, as plain JSON values; of files the digests of their content."""
        r = self.recipe
        content = self.places_file().read_bytes() if r.places.file else b""
        return {
            "places": r.places.model_dump(mode="json", exclude={"regions_of"}),
            **r.grid.model_dump(mode="json"),
            **({"children": r.children.model_dump(mode="json", exclude={"sources"})} if r.children else {}),
            "seed": r.seed,
            "split": {"between": "footprints"} | r.split.model_dump(mode="json", exclude={"unshared"}),
            "file": hashlib.sha256(content).hexdigest(),
            **({"atlas": tables} if (tables := self._atlas()) else {}),
        }

    def _atlas(self) -> dict[str, str]:
        """Files of the atlas that the draw reads, with the digests of their content."""
        r = self.recipe
        samplers = {r.places.sampler} | ({r.children.sampler} if r.children else set())
        used = [atlas.CITIES] * ("gaussian-cities" in samplers) + [atlas.LAND] * bool(samplers - {"grid", "file"})
        return {table.file: table.sha256 for table in used}

    def places_digest(self) -> str:
        """Digest of `places_parts`."""
        return digest(self.places_parts())

    def local_folders(self) -> tuple[str, ...]:
        """Where hrefs may lead to local files, beside the folder of a local catalog."""
        return tuple(str((self.path.parent / Path(f).expanduser()).absolute()) for f in self.recipe.search.local)

    def places_file(self) -> Path:
        """The file of given places, beside the recipe.

        Raises:
            ConfigError: it is not there.
        """
        assert self.recipe.places.file is not None
        path = (self.path.parent / self.recipe.places.file).resolve()
        where = f"{self.path}: [places] file = {self.recipe.places.file!r}"
        if not path.exists():
            raise ConfigError(f"{where}: no such file {path}")
        localfiles.check(path, f"{where}: {path}")
        return path


def _levels(recipe: Recipe) -> dict[str, Recipe]:
    """The recipe of roots (by an empty name) and that of children, each as if it were alone."""
    assert recipe.children is not None
    below = set(recipe.children.sources)
    out = {}
    for level, grid in (("", recipe.grid), (CHILDREN, GridSpec(size_m=recipe.children.size_m))):
        uses = {n: use for n, use in recipe.sources.items() if (n in below) == (level == CHILDREN)}
        labels = {k: source for k in ("annual", "seasonal") if (source := getattr(recipe.labels, k)) in uses}
        mine = {"annual": None, "seasonal": None} | labels
        own = {"sources": uses, "grid": grid, "children": None, "labels": recipe.labels.model_copy(update=mine)}
        out[level] = recipe.model_copy(update=own)
    return out


def _arrays(spec: SourceSpec, use: UseSpec, path: Path) -> dict[str, ArraySpec]:
    known = [b for a in spec.arrays for b in a.bands]
    if use.bands is not None and (unknown := [b for b in use.bands if b not in known]):
        raise ConfigError(f"{path}: [sources.{spec.name}] bands: no band {unknown}; known bands: {known}")
    chosen = []
    for array in spec.arrays:
        bands = [b for b in array.bands if use.bands is None or b in use.bands or array.role == "mask"]
        if bands:
            own: dict[str, Any] = {"bands": bands}
            if array.role != "mask" and (use.res_m or use.size_px):
                own |= {"res_m": use.res_m, "size_px": use.size_px}
            chosen.append(array.model_copy(update=own))
    merged: dict[str, ArraySpec] = {}
    for array in chosen:
        name = spec.array_name(array)
        if name in merged:
            if _kind(array) != _kind(merged[name]):
                raise ConfigError(
                    f"{path}: [sources.{spec.name}] asks for one grid: bands {merged[name].bands} and {array.bands} differ "
                    "in dtype, nodata, unit or resampling, so they cannot be one array; leave it out, or choose bands"
                )
            array = array.model_copy(update={"bands": merged[name].bands + array.bands})
        merged[name] = array
    return merged


def _kind(array: ArraySpec) -> dict[str, Any]:
    """All that bands of one array have in common."""
    return array.model_dump(exclude={"bands", "res_m", "size_px"})


def changes(old: Any, new: Any) -> list[str]:
    """What differs between two values of `pixels_parts` or `places_parts`, a key each: `quality.min_clear was 0.9, is 0.8`.

    How another catalog offers the sources is left out where the catalog itself is another: that one key says it all.
    """
    before, after = _flat(old), _flat(new)
    names = [k for k in dict.fromkeys([*before, *after]) if before.get(k, _NONE) != after.get(k, _NONE)]
    if "catalog" in names:
        names = [n for n in names if " form" not in n]
    return [f"{n} was {_brief(before.get(n, _NONE))}, is {_brief(after.get(n, _NONE))}" for n in names]


_NONE = object()
_PARTS_OF_SOURCE = ("", " (stac_queries)", " form")


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """Dotted key → value, for tables within tables."""
    if isinstance(value, dict):
        out: dict[str, Any] = {}
        for key, inner in value.items():
            out |= _flat(inner, f"{path}.{key}" if path else key)
        return out
    if path.startswith("sources.") and path.count(".") == 1 and isinstance(value, list):
        return {
            k: v
            for part, inner in zip(_PARTS_OF_SOURCE, value, strict=False)
            for k, v in _flat(inner, path + part).items()
        }
    return {path: value}


def _brief(value: Any) -> str:
    if value is _NONE:
        return "not there"
    text = printable(json.dumps(value))
    return text if len(text) <= 60 else f"{text[:59]}…"


def digest(value: Any) -> str:
    """sha256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def load_dataset(name_or_path: str) -> Dataset:
    """The dataset of a recipe: a name under `manifests/`, or a path to a `recipe.toml` (or to its folder).

    Raises:
        ConfigError: there is no such recipe, or it or one of its sources says something impossible.
    """
    path = _recipe_path(name_or_path)
    recipe = read_toml(path, Recipe)
    queries = resources.folder("stac_queries")
    known = sorted(p.stem for p in queries.glob("*.toml") if p.stem not in ("regions", "catalogs"))
    specs = {}
    for source in recipe.sources:
        if source not in known:
            raise ConfigError(
                f"{path}: [sources.{source}]: no such source; {did_you_mean(source, known)}known sources: "
                f"{', '.join(known)}"
            )
        specs[source] = read_toml(queries / f"{source}.toml", SourceSpec)
    return Dataset(recipe, specs, path)


def _recipe_path(name_or_path: str) -> Path:
    given = Path(name_or_path)
    if given.suffix == ".toml" or given.is_dir():
        path = given / "recipe.toml" if given.is_dir() else given
        if not path.exists():
            raise ConfigError(f"--dataset {name_or_path}: no file {path}; write one with `curate init {name_or_path}`")
        return path
    path = resources.folder("manifests") / name_or_path / "recipe.toml"
    if not path.is_file():
        known = sorted(p.parent.name for p in path.parent.parent.glob("*/recipe.toml"))
        raise ConfigError(
            f"--dataset {name_or_path}: no such dataset; {did_you_mean(name_or_path, known)}known: "
            f"{', '.join(known)}; or give a path to a recipe.toml"
        )
    return path


def read_toml(path: Path, kind: type[T]) -> T:
    """The file read as `kind`; an error names file, key, value and what is allowed.

    Raises:
        ConfigError: the file is not TOML, or has an unknown key or an impossible value.
    """
    localfiles.check(path, str(path))
    try:
        return kind.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except tomllib.TOMLDecodeError as err:
        raise ConfigError(f"{path}: not TOML: {err}") from err
    except ValidationError as err:
        raise ConfigError("; ".join(_say(path, kind, e) for e in _misspelt_once(kind, err.errors()))) from err


def _misspelt_once(kind: type[BaseModel], errors: Sequence[Any]) -> list[Any]:
    """The errors without keys that are missing only because they stand there misspelt, which is told of the other."""
    meant = set()
    for error in errors:
        *table, key = [str(p) for p in error["loc"]] or [""]
        if error["type"] == "extra_forbidden":
            meant |= {(*table, m) for m in difflib.get_close_matches(key, _fields(kind, table), n=1)}
    return [e for e in errors if e["type"] != "missing" or tuple(map(str, e["loc"])) not in meant]


def _say(path: Path, kind: type[BaseModel], error: Any) -> str:
    *table, key = [str(p) for p in error["loc"]] or [""]
    if isinstance(error["input"], dict) and key and error["type"] not in ("extra_forbidden", "missing"):
        table, key = [*table, key], ""  # what is wrong is a table as a whole
    named = f"[{'.'.join(table)}] {key}".strip() if table else key
    where = f"{path}: {named}" if named else str(path)
    if error["type"] == "extra_forbidden":
        allowed = _fields(kind, table)
        is_table = isinstance(error["input"], dict)
        if is_table:
            where = f"{path}: [{'.'.join([*table, key])}]"
        what = "section" if is_table else "key"
        return f"{where}: no such {what}; {did_you_mean(key, allowed)}known keys: {', '.join(allowed) or 'none'}"
    if error["type"] == "missing":
        return f"{where}: missing; add it"
    message = error["msg"].removeprefix("Value error, ")
    shown = "" if isinstance(error["input"], dict) else f" = {error['input']!r}"
    return f"{where}{shown}: {message}"


def _fields(kind: type[BaseModel], table: list[str]) -> list[str]:
    """Known keys of the table at a path of keys below `kind`."""
    here: Any = kind
    for key in table:
        if isinstance(here, type) and issubclass(here, BaseModel):
            here = here.model_fields[key].annotation if key in here.model_fields else None
        else:  # dict[str, Model] or list[Model]: step over the key
            here = next((a for a in getattr(here, "__args__", ())[::-1] if isinstance(a, type)), None)
    return sorted(here.model_fields) if isinstance(here, type) and issubclass(here, BaseModel) else []
