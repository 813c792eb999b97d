"""What dataset to make, as `recipe.toml` states it, and its two digests. No I/O but reading the files named."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    model_validator,
)

from curation.errors import ConfigError
from curation.errors.words import did_you_mean
from curation.format.names import DOMAIN, LABEL, is_free
from curation.model import STATIC, FixedSeason, Season, Window
from curation.outcomes import SLAB
from curation.recipe import domains
from curation.recipe.annotations import AnnotationSpec
from curation.recipe.bounds import FLOOR_DB, MAX_SHIFT_PX
from curation.recipe.card import CardSpec
from curation.recipe.columns import FORM, called, is_ours
from curation.recipe.derived import AnyDerivedSpec
from curation.recipe.domains import DomainsSpec
from curation.recipe.exclude import ExcludeSpec
from curation.recipe.footprint import MOST_M, GridSpec, SideSpec
from curation.recipe.maskmodel import MaskModelSpec
from curation.recipe.places import CELL_SAMPLER, PlacesSpec
from curation.recipe.refine import RefineSpec
from curation.recipe.season_rules import listed
from curation.recipe.seasons import EARLIEST, LATEST, AnySeasonSpec, DatedSeasonSpec, SeasonSpec
from curation.recipe.shares import ShareSpec
from curation.recipe.split import DATATAKE, EVENT, EVERYTHING, UNSHARED_CELL, SplitSpec
from curation.recipe.strict import Fraction, Name, StrictTable

DATE_OF = "date_of_"
OF_PLACE = "of_place_"
"""What coordinates of cubes begin with that hold dates of seasons; what is measured of a source begins with its name."""


class ChildrenSpec(SideSpec):
    """UTM places within ERA5 cells, each with its cell as parent; a cell and its children are one sample."""

    table: ClassVar[str] = "[children]"

    size_m: float = Field(gt=0, le=MOST_M)
    """Side of the square footprint, metres; or `size_px` pixels of `res_m`."""
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


WHERE_ANY = "where-any"


def _whether(value: Any) -> Any:
    if not isinstance(value, bool) and value != WHERE_ANY:
        raise ValueError(f"expected true, false or {WHERE_ANY!r}")
    return value


Required = Annotated[bool | Literal["where-any"], BeforeValidator(_whether)]
"""Whether a source is required."""


class UseSpec(StrictTable):
    """How a recipe uses a source."""

    required: Required = True
    """Whether a patch without it is rejected; `where-any`: one of a place that has any scene of it is, others do without."""
    bands: list[str] | None = Field(default=None, min_length=1)
    """Only these bands (all where left out)."""
    res_m: float | None = Field(default=None, gt=0)
    """Put every band of the source on one grid of this resolution (native groups where left out)."""
    size_px: int | None = Field(default=None, gt=0)
    """Put every band of the source on one grid of so many pixels a side, whatever their size."""
    min_valid: Fraction | None = None
    """Least fraction of pixels with data, where it is another than that of [quality]. Of sources that are means of a
    season a single pixel is enough where it is left out: a swath has gaps."""
    min_share: dict[str, Annotated[float, Field(gt=0, le=1)]] | None = Field(
        default=None, min_length=1, exclude_if=lambda value: value is None
    )
    """Of a class map: the least share of a patch that has to be of a class, by the class's name or by the label that classes
    count as (`{ trees = 0.3 }`); a patch with less is refused."""
    seasons: list[str] | None = Field(default=None, min_length=1)
    """Only in these seasons (all where left out; static sources have none)."""
    direction_from: list[str] | None = Field(default=None, min_length=1, exclude_if=lambda value: value is None)
    """Of a source that keeps to one orbit direction at a place: the seasons whose scenes decide which; all where left out.
    To be said where a season is added to a dataset that stands, so that it takes the direction that the others have."""
    orbits: Literal["precise"] | None = Field(default=None, exclude_if=lambda value: value is None)
    """Only scenes that were made with a precise orbit, of radar; of any orbit where left out."""
    relief: Literal["refuse", "correct"] | None = Field(default=None, exclude_if=lambda value: value != "correct")
    """Of images in ground range, where relief displaces pixels by more than half a pixel: refuse the patch, which is the
    default and the same as leaving it out, or take each pixel from where its height puts it."""
    angles: bool | None = Field(default=None, exclude=True)
    """Whether where sun and satellite stood, and which satellite it was, are facts of its patches; as its file says where
    left out. In digests stands what that comes to, as for `pick`."""
    catalog: str | None = Field(default=None, min_length=1, exclude=True)
    """The catalog asked for this source, where it is another than the recipe's. In digests stands who was asked in the end,
    not who says so: it is in no dump."""
    of: str | None = Field(default=None, min_length=1, exclude=True)
    """The source of `stac_queries/` that it is, where the recipe calls it otherwise: to use one twice, each in its own way.
    In digests stands what that comes to."""
    pick: str | dict[str, Any] | None = Field(default=None, exclude=True)
    """How its scenes become a patch's pixels, where that is otherwise than its file says: the name of a pick, or a table of
    its `name` and keys. In digests stands what is picked in the end, as for `catalog`."""
    mask: MaskModelSpec | None = Field(default=None, exclude=True)
    """A model that says what is cloud, instead of its mask or with it. In digests stand the model's bytes."""

    @model_validator(mode="after")
    def _one_grid(self) -> Self:
        if self.res_m is not None and self.size_px is not None:
            raise ValueError("expected 'res_m', the size of a pixel, or 'size_px', how many a side has: not both")
        return self


class QualitySpec(StrictTable):
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
    max_shift_px: float | None = Field(default=None, gt=0, le=MAX_SHIFT_PX)
    """Most pixels, of the array that it is measured on, that a source may lie beside the one it goes with, where the
    measurement is sharp (`shift.least_peak`); any where left out."""
    unreadable: Literal["next", "fail"] = "next"
    """What to do about a scene that cannot be read, and not for what may pass: take the next one, or fail the patch."""


class SearchSpec(StrictTable):
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


class LabelsSpec(StrictTable):
    """Labels of samples: a target from the file of places, and multi-hot ones from class fractions."""

    column: str | None = Field(default=None, exclude_if=lambda value: value is None)
    """The column of the file of places that is the target: `label` of a batch."""
    target: Literal["classes", "number"] | None = Field(default=None, exclude_if=lambda value: value is None)
    """What the target is. Where left out: of text, whole numbers, true and false a class; of other numbers a number."""
    classes: list[str | int] | None = Field(default=None, min_length=1, exclude_if=lambda value: value is None)
    """The target's classes in the order of their numbers; where left out those that the file has, sorted."""
    annual: str | None = None
    """Static source with a legend, one label vector per location."""
    seasonal: str | None = None
    """Seasonal source with a legend, one label vector per patch."""
    min_fraction: Fraction = 0.05
    """Least share of the labelled pixels for a class to be present."""
    min_valid: Fraction = 0.5
    """Least share of labelled pixels; below it the labels are unknown."""
    refine: RefineSpec = RefineSpec()
    """How the annotations `refined_labels` and `refined_names` make labels of both maps."""

    @model_validator(mode="after")
    def _target(self) -> Self:
        if self.column is None and (self.target or self.classes):
            raise ValueError("'target' and 'classes' are of a target: they go with 'column', and only with it")
        if self.classes and self.target == "number":
            raise ValueError("'classes' are of a target that is one of them, not of a number: leave one of both out")
        if self.classes and (twice := [c for c in self.classes if self.classes.count(c) > 1]):
            raise ValueError(f"classes: {twice[0]!r} stands there twice; name each once")
        return self


class CubeSpec(StrictTable):
    """How cubes are cut."""

    slab_patches: int = Field(default=16, gt=0, le=4096)
    """Patches per slab: one Dask task, one Zarr shard per pixel array, one commit."""


class FetchSpec(StrictTable):
    """How hard servers and workers are pressed; changes no pixel."""

    requests_per_host: int = Field(default=64, gt=0)
    """Requests that one host has of all workers together, at a time; of each at least one."""
    ahead_mb: int = Field(default=48, gt=0)
    """Packed megabytes (10⁶) that a task fetches ahead of what it decodes, at most, but one patch's at least; a worker has a
    task per thread."""


class PackSpec(StrictTable):
    """How samples and shards are made."""

    complete: Literal["all", "any", "some"] = "all"
    """Which locations become samples: those with every season; with what is static and at least one season; or with
    anything at all, of their own or of a child."""
    target: int | None = Field(default=None, gt=0)
    """How many samples; the first complete locations in the order of the draw. All where left out. Unlabelled ones are
    counted by themselves: so many of them besides."""
    samples_per_shard: int = Field(default=64, gt=0)
    radar: Literal["centidb", "float32"] = "centidb"
    """Backscatter as int16 hundredths of a decibel, or as float32 linear power."""
    radar_floor_db: float = Field(default=FLOOR_DB, ge=-300, le=0)
    """Decibels that backscatter below, zero and negative power too, is written as; it stays valid and is
    counted."""
    codec: Literal["lz4", "zstd", "none"] = "lz4"
    """How arrays are compressed: lz4 is decoded fastest, zstd takes a tenth less room, none is for fast local disks."""
    shares: dict[str, ShareSpec] = Field(default_factory=dict, exclude_if=lambda value: not value)
    """How much of a sample is of some classes of a map, by name: a column of samples, and limits of what becomes one."""


class Recipe(StrictTable):
    """A dataset that anyone can make again."""

    name: Name
    title: str
    seed: int = Field(ge=0)
    catalog: str = "planetary-computer"
    """The catalog asked where neither `--catalog` nor the source names one."""
    grid: GridSpec
    places: PlacesSpec
    children: ChildrenSpec | None = None
    """Places within the locations, with sources of their own."""
    seasons: Annotated[dict[str, AnySeasonSpec], BeforeValidator(listed)] = Field(min_length=1)
    """Windows of time by name; or a rule that gives them, `"monthly 2021"` (`season_rules`)."""
    sources: dict[str, UseSpec] = Field(min_length=1)
    search: SearchSpec = SearchSpec()
    quality: QualitySpec = QualitySpec()
    labels: LabelsSpec = LabelsSpec()
    split: SplitSpec = Field(default_factory=dict, validate_default=True)
    cube: CubeSpec = CubeSpec()
    fetch: FetchSpec = FetchSpec()
    pack: PackSpec = PackSpec()
    exclude: ExcludeSpec = Field(default=ExcludeSpec(), exclude_if=lambda value: not value)
    """Places that no release has, by id."""
    annotations: dict[str, AnnotationSpec] = Field(default_factory=dict)
    """What samples carry beside pixels, by name."""
    derived: dict[str, AnyDerivedSpec] = Field(default_factory=dict, exclude_if=lambda value: not value)
    """Arrays that are calculated of others when samples are packed, by name."""
    domains: DomainsSpec | None = Field(default=None, exclude_if=lambda value: value is None)
    """What samples are told to be of."""
    card: CardSpec = Field(default=CardSpec(), exclude=True)
    """What a publisher says of it; in no dump, and in no digest."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name in self.seasons:
            if name == STATIC or not re.fullmatch(r"[a-z0-9_-]+", name):
                raise ValueError(f"season {name!r}: expected a-z, 0-9, '_' and '-', and not {STATIC!r}")
        for name, season in self.seasons.items():
            if isinstance(season, DatedSeasonSpec) and not self.places.may_carry(season.around):
                raise ValueError(
                    f"seasons.{name}.around = {season.around!r}: expected one of [places] columns, which go with a file "
                    f"of places: {self.places.carried}"
                )
        for name in self.children.sources if self.children else ():
            if name not in self.sources:
                raise ValueError(f"children.sources: {name!r} is not in [sources]: {sorted(self.sources)}")
        for name in self.sources:  # what else may stand where sources, and what is measured of them, do
            if name in (SLAB, UNSHARED_CELL) or f"{name}_".startswith((DATE_OF, OF_PLACE)):
                raise ValueError(
                    f"sources: {name!r} means something else here; call the source, and its file, otherwise"
                )
        for name, use in self.sources.items():
            for key, said in (("seasons", use.seasons), ("direction_from", use.direction_from)):
                if unknown := [s for s in said or [] if s not in self.seasons]:
                    raise ValueError(f"sources.{name}.{key}: no season {unknown}; known: {list(self.seasons)}")
        for key, source in (("annual", self.labels.annual), ("seasonal", self.labels.seasonal)):
            if source is not None and source not in self.sources:
                raise ValueError(f"labels.{key} = {source!r} is not in [sources]: {sorted(self.sources)}")
        known = [*self.sources, UNSHARED_CELL, DATATAKE, EVENT, EVERYTHING]
        if unknown := [n for n in self.split.unshared if n not in known]:
            raise ValueError(f"split.unshared: {unknown}: expected sources of the recipe, or others of {known}")
        self._check_unlabelled()
        named = [*(self.places.columns or []), *self.places.made_columns]
        tables: dict[str, Iterable[str]] = {
            "annotations": self.annotations,
            "derived": self.derived,
            "pack.shares": self.pack.shares,
            "places.columns": named,
        }
        for where, name in [(where, name) for where, of in tables.items() for name in of]:
            if not self._fits(name):
                its = called(name)
                hint = (
                    f"; say {its!r}, which the column is called here"
                    if where == "places.columns" and its != name
                    else ""
                )
                raise ValueError(
                    f"{where}: {name!r}: expected a-z, 0-9, '_' and '-', and not the name of a source or of another "
                    f"entry of a sample{hint or '; call it otherwise, a column in its file, too'}"
                )
        if twice := sorted(set(self.annotations) & set(named)):
            raise ValueError(f"{twice}: an annotation and one of [places] columns: call one of them otherwise")
        if twice := sorted(set(self.derived) & {*self.annotations, *named}):
            raise ValueError(
                f"{twice}: a derived array, and an annotation or one of [places] columns: call one otherwise"
            )
        if twice := sorted(set(self.pack.shares) & {*self.derived, *self.annotations, *named}):
            raise ValueError(f"{twice}: one of [pack.shares], and another entry of a sample: call one otherwise")
        self._check_target(named)
        self.split.check(self)
        domains.check(self)
        self._check_levels()
        return self

    def _check_unlabelled(self) -> None:
        its = self.split.unlabelled
        own = [n for n in self.sources if self.children is None or n not in self.children.sources]
        if its is not None and (its not in own or self.sources[its].required is True):
            raise ValueError(
                f"split.unlabelled = {its!r}: expected a source that samples have themselves and not all of them have to: "
                f"one of {own}, with required = false, or {WHERE_ANY!r}"
            )

    def _check_target(self, named: list[str]) -> None:
        target = self.labels.column
        if target is None:
            return
        if not self.places.may_carry(target):
            raise ValueError(
                f"labels.column = {target!r}: expected one of [places] columns, which go with a file of places: "
                f"{self.places.carried}"
            )
        if FORM.fullmatch(target) is None:
            raise ValueError(f"labels.column = {target!r}: expected a-z, 0-9, '_' and '-': say {called(target)!r}")
        if target != LABEL and LABEL in {*self.sources, *self.annotations, *self.derived, *self.pack.shares, *named}:
            raise ValueError(
                f"labels.column = {target!r}: batches call the target {LABEL!r}, as a source, an annotation or another of "
                "[places] columns is called here: call that otherwise"
            )

    def _fits(self, name: str) -> bool:
        """Whether an entry of a sample that is no array may have the name."""
        return FORM.fullmatch(name) is not None and is_free(name) and name not in self.sources

    def column_fault(self, name: str) -> str:
        """Why no column of a file of places can be called so; empty where one can."""
        if name in self.places.made_columns:
            return "[places] has one of that name made"
        if not FORM.fullmatch(name):
            return "its name has no or too many characters of a-z, 0-9, '_' and '-' (1 to 60)"
        if is_ours(name) or not self._fits(name):
            return "a table or sample has an entry of that name itself"
        if name == LABEL and self.labels.column not in (None, LABEL):
            return "batches call the target so"
        if name in self.derived:
            return "a derived array is called so"
        if name in self.pack.shares:
            return "one of [pack.shares] is called so"
        if name in [f"{DOMAIN}{n}" for n in domains.names(self)]:
            return "a domain of samples is called so"
        return "an annotation is called so" if name in self.annotations else ""

    @property
    def looked_at(self) -> dict[str, str]:
        """Columns of the file of places that something in the recipe looks at → what does, as a person finds it."""
        out: dict[str, str] = {}
        for name, season in self.seasons.items():
            if isinstance(season, DatedSeasonSpec):
                out.setdefault(season.around, f"[seasons.{name}] around")
        for column in self.split.columns:
            if column != "region":
                out.setdefault(column, "[split]")
        if self.labels.column is not None:
            out.setdefault(self.labels.column, "[labels] column")
        return out

    def _check_levels(self) -> None:
        cells = self.places.sampler == CELL_SAMPLER
        if cells != (self.grid.size_deg is not None):
            raise ValueError(
                f"[grid] size_deg goes with [places] sampler = {CELL_SAMPLER!r}, and only with it; found "
                f"{' and '.join(f'{k} = {v:g}' for k, v in self.grid.model_dump(exclude_none=True).items())} "
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
        """The season called `name`; `static` spans all of the recipe's windows that all locations have in common.

        Raises:
            ConfigError: the recipe has no such season.
        """
        if name == STATIC:
            fixed = [s for s in self.seasons.values() if isinstance(s, SeasonSpec)]
            start = min((s.start for s in fixed), default=EARLIEST)
            end = max((s.end for s in fixed), default=LATEST)
            return FixedSeason(STATIC, Window(STATIC, start, end, start + (end - start) / 2))
        if name not in self.seasons:
            raise ConfigError(
                f"season {name!r}: not in recipe {self.name!r}; {did_you_mean(name, self.seasons)}expected one of "
                f"{', '.join(self.seasons)}, static or all"
            )
        return self.seasons[name].season(name)
