"""What a source is, as `stac_queries/<source>.toml` states it. No I/O but finding the files of picks, kinds and bands.

One file per source says what its pixels are (arrays, bands, units, nodata, resampling) and, per catalog, how to find them.
Two of its keys are tagged: `pick`, how its scenes become a patch's pixels, and `kind`, what its pixels are. Each tag is the
name of a file, in `build/picks/` and `build/kinds/`, which says which keys go with it and does all that depends on it; what
anyone may ask of a pick or a kind stands here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator

from curation.model import Location, Scene, Window
from curation.recipe import pictures
from curation.recipe.arrays import ArraySpec
from curation.recipe.bands import BandSpec
from curation.recipe.facts import Fact, Number
from curation.recipe.forms import CatalogForm
from curation.recipe.licences import checked
from curation.recipe.maskcodes import CODE_SETS, check_codes
from curation.recipe.packed import Packed
from curation.recipe.pictures import ClassSpec, Codes, MaskLegend, Picture
from curation.recipe.schema import PackSpec, QualitySpec
from curation.recipe.strict import Name, StrictTable
from curation.recipe.tagged import KINDS, PICKS, tagged
from curation.recipe.values import Values, with_codes
from curation.recipe.vocabulary import named, vocabulary


@dataclass(frozen=True, slots=True)
class Shift:
    """What a source's shift against the one it goes with is measured on."""

    other: str
    """The other's array."""
    own: str
    """Its own."""
    array: ArraySpec
    """What that is, whose pixel is the unit."""
    px: int
    """Of both, along a side."""


class Pick(StrictTable, ABC):
    """How scenes of a source become a patch's pixels in a season: what may be asked of every pick.

    What stands here holds where the pick's own file says nothing else. How it reads, `build/context.py` asks.
    """

    name: str
    timeless: ClassVar[bool] = False
    """Whether it is read once, for `static`, whatever the time of its scenes; else in each season."""
    time: ClassVar[str] = "acquisition time, UTC"
    """What its fact `time` is; empty where it has none."""
    has_own_time: ClassVar[bool] = True
    """Whether that is no other source's too."""
    joins: ClassVar[bool] = False
    """Whether each scene that touches a place is part of its pixels: one that cannot be read is missed by all."""
    tried: ClassVar[bool] = False
    """Whether it is looked for with each candidate of the source it goes with, which is passed by where there is none."""
    measures_shift: ClassVar[bool] = False
    """Whether its shift against the one it goes with is measured."""
    has_one_scene: ClassVar[bool] = True
    """Whether a patch's pixels are of one scene, which others may go with."""
    searches: ClassVar[bool] = True
    """Whether catalogs are asked for scenes; else it reads what columns of places name (`place_columns`)."""

    @property
    def follows(self) -> str | None:
        """The source whose chosen scene it is chosen by; None where it chooses for itself."""
        return None

    @property
    def counted(self) -> int:
        """Which of the scenes that are good enough it takes, counted from 1."""
        return 1

    @property
    def conditions(self) -> dict[str, Any]:
        """What it asks of a scene, by key; what is left out asks nothing."""
        return self.model_dump()

    @property
    def wants_clear(self) -> bool:
        """Whether scenes cloudier than the recipe's `max_scene_cloud_pct` are not even looked at."""
        return False

    @property
    def one_way(self) -> bool:
        """Whether a place keeps to one orbit direction or relative orbit, fixed from the counts over all seasons."""
        return False

    @property
    def place_columns(self) -> list[str]:
        """Columns of places whose values decide which scenes are a place's."""
        return []

    def orbit_of(self, seasons: Sequence[Sequence[Scene]], place: Location) -> tuple[str | None, int | None]:
        """The orbit direction and the relative orbit that a place keeps to, from the scenes of all seasons; None: any."""
        return None, None

    @property
    def fills(self) -> bool:
        """Whether what no scene reaches gets a value: an excluded scene's ground must not be taken for that."""
        return False

    @property
    def reach_days(self) -> float | None:
        """How far in time from the scene it goes with its own may lie; None: as far as the recipe's `max_gap_days`."""
        return None

    @property
    def most_steps(self) -> int | None:
        """Most acquisitions of a patch, where its arrays have a time axis; None: one moment, and no such axis."""
        return None

    def check(self, source: SourceSpec) -> None:
        """Passes where the source has what the pick wants. Raises ValueError otherwise."""

    def check_reach(self) -> None:
        """Passes where what it reads without a catalog can be come to. Raises ConfigError otherwise."""

    def stored(self, source: SourceSpec, arrays: dict[str, ArraySpec]) -> dict[str, ArraySpec]:
        """The arrays of a cube, by name, of those that are read. Raises ValueError where the pick cannot do with these."""
        return arrays

    def most_scenes(self, limits: QualitySpec) -> int:
        """Most scenes whose bands are read for a patch."""
        return 1

    def least_valid(self, usual: float) -> float:
        """Least fraction of pixels with data, where the recipe says nothing of the source itself."""
        return usual

    def facts(self, source: SourceSpec, shift: Shift | None) -> list[Fact]:
        """What it measures of a patch, by the source's name; which that is may hang on what its arrays are of."""
        return []

    def measured(self, source: str, limits: QualitySpec) -> list[Number]:
        """What of that is told of a dataset, with its limit."""
        return []

    @abstractmethod
    def offered(self, scenes: Sequence[Scene]) -> list[Scene]:
        """Scenes of a search without those that another of them replaces."""

    @abstractmethod
    def of_place(self, scenes: Sequence[Scene], place: Location) -> list[Scene]:
        """Those of them that a place may use. Raises Reject where there is none."""

    def ranked(self, scenes: Sequence[Scene], place: Location, window: Window) -> list[list[Scene]]:
        """Those best first, in groups of equal rank."""
        return [list(scenes)]

    def wants_all(self, source: SourceSpec, scenes: Sequence[Scene], place: Location) -> bool:
        """Whether one more scene that touches the place would change its pixels."""
        return False


class Kind(StrictTable, ABC):
    """What a source's pixels are: what may be asked of every kind; else as `Pick`."""

    name: str
    whole_orbits: ClassVar[bool] = False
    """Whether a scene is what was seen along an orbit: its footprint may hold a pole, and no item states a cloud cover."""
    lists_bands: ClassVar[str] = ""
    """Property of an item that lists which bands it has; empty where there is none."""
    states_orbit: ClassVar[bool] = False
    """Whether its scenes may say where the satellite's orbit is from."""
    corrects_relief: ClassVar[bool] = False
    """Whether it can take pixels from where relief has displaced them."""
    composes: ClassVar[bool] = False
    """Whether its pixels are measured values on a grid, which those of other scenes may be put together with."""
    holds_shapes: ClassVar[bool] = False
    """Whether its files hold shapes, of which pixels are made."""
    holds_power: ClassVar[bool] = False
    """Whether its pixels are backscatter: linear power in cubes."""
    has_heights: ClassVar[bool] = False
    """Whether its first band is heights, metres."""
    keeps_gaps: ClassVar[bool] = False
    """Whether gaps are in its nature: a patch with few valid pixels, or none, is told and not refused."""

    @property
    def legend(self) -> list[ClassSpec]:
        """Its classes, where it is a class map."""
        return []

    @property
    def place_columns(self) -> list[str]:
        """Columns of places whose values decide what of a scene is a place's."""
        return []

    @property
    def known_by_places(self) -> bool:
        """Whether columns of places tell all that of its files is theirs: what else these hold changes nothing."""
        return False

    @property
    def judged_by(self) -> str | None:
        """The source of heights that its pixels' places are judged by; None where they need none."""
        return None

    def check(self, source: SourceSpec) -> None:
        """Passes where the source has what the kind wants. Raises ValueError otherwise."""

    def check_grid(self, size_deg: float | None, px: set[int]) -> str:
        """Why it cannot be put on a recipe's footprints of so many pixels a side; empty where it can."""
        return ""

    def sought(self, bands: Sequence[str]) -> tuple[str, ...]:
        """What a scene must have assets for, to read these bands."""
        return tuple(bands)

    def widest_km(self, arrays: Sequence[ArraySpec]) -> float:
        """The widest native pixel or footprint on the ground of some arrays, km."""
        return max((a.res_m for a in arrays if a.res_m is not None), default=0.0) / 1000

    def facts(self, source: str) -> list[Fact]:
        """What is measured of its pixels, by the source's name."""
        return []

    def pictures(self, source: SourceSpec, array: ArraySpec) -> list[Picture]:
        """What is drawn of an array that is no mask, what tells most of it first."""
        return pictures.of_bands(array.bands)

    def shown(self, values: NDArray[Any], array: ArraySpec) -> NDArray[Any]:
        """Pixels of an array as people compare them; shape as given."""
        return values

    def unit(self, array: ArraySpec) -> str:
        """Unit of that."""
        return array.unit

    def packed(self, array: ArraySpec, rules: PackSpec) -> Packed | None:
        """How an array stands in shards; None where as in cubes."""
        return None


class SourceSpec(StrictTable):
    """One kind of pixels."""

    name: Name
    title: str
    kind: Annotated[SerializeAsAny[Kind], BeforeValidator(lambda value: tagged(value, KINDS))]
    """What its pixels are: a file of `build/kinds/`, with its keys."""
    pick: Annotated[SerializeAsAny[Pick], BeforeValidator(lambda value: tagged(value, PICKS))]
    """How its scenes become a patch's pixels: a file of `build/picks/`, with its keys."""
    arrays: list[ArraySpec] = Field(min_length=1)
    bands: dict[str, Annotated[BandSpec, BeforeValidator(named)]] = Field(default_factory=dict)
    """Band of the arrays → what it is, by its canonical name or in a table; one that is left out is `<source>.<band>`."""
    clear: list[int] = Field(default_factory=list)
    """Codes of the mask that are ground, for sure. Each code that a mask may hold is in one of these five sets."""
    doubtful: list[int] = Field(default_factory=list)
    """Codes by which the mask says that it does not know: clear, up to the recipe's `max_doubtful`."""
    snow: list[int] = Field(default_factory=list)
    """Codes that are snow or ice: clear, up to the recipe's `max_snow`."""
    cloudy: list[int] = Field(default_factory=list)
    """Codes that are cloud, its shadow, or whatever else hides the ground."""
    invalid: list[int] = Field(default_factory=list)
    """Codes that are no valid pixel; the mask's nodata is among them."""
    legend: MaskLegend | None = Field(default=None, exclude=True)
    """What its mask and the codes in it are called and how they are drawn; by the five sets where left out. In no dump."""
    angles: bool = Field(default=False, exclude_if=lambda value: not value)
    """Whether where sun and satellite stood, and which satellite it was, are facts of its patches (`recipe/angles.py`)."""
    licence: str
    terms: Annotated[str, BeforeValidator(checked)] | None = Field(default=None, exclude=True)
    """Which of `stac_queries/licences.toml` it is under: what cards of a release link to. As what comes next, in no dump."""
    attribution: str = Field(default="", exclude=True)
    """The line that its licence wants wherever its pixels are shown; `licence` where left out."""
    about: str = Field(default="", exclude=True)
    """The page, or DOI, that says what it is: what a release is derived from."""
    comment: str = ""
    """What who uses its pixels must know, in a sentence or two: it stands beside them in cubes."""
    catalogs: dict[str, CatalogForm]
    """By name of the catalog; `*` is any STAC API or file of the user's own, and the embedded Earth."""

    @model_validator(mode="before")
    @classmethod
    def _codes_of_a_made_mask(cls, value: Any) -> Any:
        return with_codes(value)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [self.array_name(a) for a in self.arrays]
        if len(set(names)) != len(names):
            raise ValueError(f"arrays share a name: {names}; tell them apart with 'suffix'")
        bands = [b for a in self.arrays for b in a.bands]
        if len(set(bands)) != len(bands):
            raise ValueError(f"bands named twice: {sorted({b for b in bands if bands.count(b) > 1})}")
        check_codes(self.mask_codes, None if self.mask is None else self.mask.nodata, self.invalid)
        for form in self.catalogs.values():
            form.check_bands(self.files_of(self.arrays))
        self.pick.check(self)
        self.kind.check(self)
        codes = [c.code for c in self.legend.codes] if self.legend else self.mask_codes
        if sorted(codes) != sorted(self.mask_codes):
            raise ValueError(f"[legend] names the codes {sorted(codes)}; the mask's are {sorted(self.mask_codes)}")
        return self

    @model_validator(mode="after")
    def _bands_are_named_once(self) -> Self:
        bands = [b for a in self.arrays for b in a.bands]
        if unknown := sorted(set(self.bands) - set(bands)):
            raise ValueError(f"[bands] {unknown}: in no array; the arrays have {bands}")
        known = [self.band(b).name for b in bands]
        if twice := sorted({n for n in known if known.count(n) > 1}):
            raise ValueError(f"[bands] name {twice} twice: each band has a name of its own")
        return self

    def band(self, band: str) -> BandSpec:
        """What one of its bands is."""
        name = f"{self.name}.{band.lower()}"
        return self.bands.get(band) or vocabulary().get(name) or BandSpec(name=name)

    def files_of(self, arrays: Sequence[ArraySpec]) -> list[str]:
        """Bands of which files are read where some of its arrays are wanted."""
        return [b for a in arrays for b in a.bands]

    def values(self, band: str) -> Values:
        """What the numbers in files of one of its bands mean; of what else is read beside bands what they are."""
        return next((a.values(band) for a in self.arrays if band in a.bands), Values())

    def array_name(self, array: ArraySpec) -> str:
        """The array's name in cubes and shards: `<source>[_<suffix>]_<res>m`, or `…_<size>px`."""
        return "_".join(filter(None, [self.name, array.suffix, array.pixel]))

    def widest_km(self, bands: Sequence[str] | None = None) -> float:
        """The widest native pixel or footprint on the ground of some of its bands (all where left out), km."""
        return self.kind.widest_km([a for a in self.arrays if bands is None or a.is_mask or set(bands) & set(a.bands)])

    @property
    def place_columns(self) -> list[str]:
        """Columns of places that its pixels follow from."""
        return [*self.pick.place_columns, *self.kind.place_columns]

    @property
    def timeless(self) -> bool:
        """Whether it has no season of its own: it is read once, for `static`."""
        return self.pick.timeless

    @property
    def limits_cloud(self) -> bool:
        """Whether a search leaves out what is too cloudy by the items' own word."""
        return self.pick.wants_clear and self.mask is not None and not self.kind.whole_orbits

    @property
    def mask_codes(self) -> list[int]:
        """Every code that its mask may hold."""
        return [*self.clear, *self.doubtful, *self.snow, *self.cloudy, *self.invalid]

    @property
    def mask(self) -> ArraySpec | None:
        """The array that is read first and decides, where there is one."""
        return next((a for a in self.arrays if a.is_mask), None)

    def pictures(self, array: ArraySpec) -> list[Picture]:
        """What is drawn of one of its arrays, what tells most of it first."""
        return [self._mask_drawn()] if array.is_mask else self.kind.pictures(self, array)

    def _mask_drawn(self) -> Codes:
        if self.legend is not None:
            return Codes(self.legend.title, tuple(self.legend.codes))
        named = [(name, code) for name in CODE_SETS for code in getattr(self, name)]
        return Codes(f"Mask of {self.name}", tuple(ClassSpec(code=c, name=f"{n} ({c})") for n, c in named))

    @property
    def labels(self) -> list[str]:
        """The scene labels that its classes count as, each once, in order of the legend."""
        return list(dict.fromkeys(c.label or c.name for c in self.kind.legend))
