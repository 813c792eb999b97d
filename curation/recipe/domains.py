"""`[domains]` of a recipe: what samples are told to be of (a continent, a climate, a year), by which they may be split."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from curation.errors import ConfigError
from curation.errors.words import did_you_mean
from curation.format.names import DOMAIN
from curation.recipe import atlas, files
from curation.recipe.atlas import Released
from curation.recipe.columns import FORM
from curation.recipe.strict import StrictTable
from curation.store import local

_LAND = (*atlas.COUNTRIES, atlas.CITIES, atlas.LAND)

OF_PLACES: Mapping[str, tuple[Released, ...]] = {
    "country": _LAND,
    "continent": _LAND,
    "climate_zone": (atlas.CLIMATE, atlas.LAND),
    "hemisphere": (),
    "split_block": (),
}
"""Domains that follow from where a place is → files of the atlas by which they are told."""

SEASON = "season"
"""The domain that the seasons of a sample are themselves."""

OF_PATCHES = ("elevation_band", SEASON, "year", "platform", "orbit_direction", "processing_baseline")
"""Domains that follow from what was built of a place."""

OF_SEASONS = tuple(name for name in OF_PATCHES if name != "elevation_band")
"""Those of them that may differ between the seasons of a place."""

OF_SCENES = tuple(name for name in OF_PATCHES if name not in ("elevation_band", SEASON))
"""Those of them that scenes of one source tell."""


class DomainFileSpec(StrictTable):
    """A domain that a vector file of the user's tells: the polygon that holds a place's centre."""

    file: str = Field(min_length=1)
    """Polygons with a CRS, in any format of GDAL's or GeoParquet, relative to the recipe."""
    column: str = Field(min_length=1)
    """The column that tells the domain."""

    def path(self, recipe: Path, name: str) -> Path:
        """Where the file is. Raises ConfigError where it is not there."""
        where = f"{recipe}: [domains.files.{name}] file = {self.file!r}"
        path = (recipe.parent / self.file).resolve()
        if not path.is_file():
            raise ConfigError(f"{where}: no such file {path}")
        local.check(path, f"{where}: {path}")
        return path


class DomainsSpec(StrictTable):
    """Which domains samples are told to be of."""

    columns: list[str] | None = Field(default=None, min_length=1)
    """Their names; all that there are where left out."""
    files: dict[str, DomainFileSpec] = Field(default_factory=dict)
    """More of them, by name, that files tell: `biome`."""
    sources: dict[str, str] = Field(default_factory=dict)
    """Domain → the source whose scenes tell it; where left out the first of the recipe's that tells it of any place."""
    block_deg: Annotated[float, Field(gt=0, le=30)] = 1.0
    """Side of the blocks of `split_block`, degrees of latitude."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        for name in self.files:
            if name in (*OF_PLACES, *OF_PATCHES) or FORM.fullmatch(name) is None:
                raise ValueError(
                    f"files.{name}: expected a-z, 0-9, '_' and '-', and none of the domains that are known"
                )
        for name in self.columns or ():
            _check_name(name, self, "columns")
        for name in self.sources:
            if name not in OF_SCENES:
                raise ValueError(f"sources.{name}: expected one of those that scenes tell: {', '.join(OF_SCENES)}")
        return self


def _check_name(name: str, spec: DomainsSpec, where: str) -> None:
    known = [*OF_PLACES, *OF_PATCHES, *spec.files]
    if name not in known:
        raise ValueError(f"{where}: no domain {name!r}; {did_you_mean(name, known)}known: {', '.join(known)}")


def spec_of(recipe: Any) -> DomainsSpec:
    """The table of a `Recipe`, whose file imports this one, or that of one without."""
    spec: DomainsSpec | None = recipe.domains
    return spec or DomainsSpec()


def names(recipe: Any) -> tuple[str, ...]:
    """Domains that samples of a recipe are told to be of: those it asks for, and those it is split by."""
    asked: tuple[str, ...] = ()
    if (spec := recipe.domains) is not None:
        asked = tuple(spec.columns or (*OF_PLACES, *OF_PATCHES)) + tuple(spec.files)
    return tuple(dict.fromkeys([*asked, *recipe.split.domains]))


def check(recipe: Any) -> None:
    """Passes where the recipe has what its domains want. Raises ValueError otherwise."""
    spec = spec_of(recipe)
    for name in recipe.split.domains:
        _check_name(name, spec, "split.domain")
    if odd := [s for s in spec.sources.values() if s not in recipe.sources]:
        raise ValueError(f"domains.sources: {odd[0]!r} is not in [sources]: {sorted(recipe.sources)}")
    taken = [*(recipe.places.columns or []), *recipe.annotations, *recipe.derived, *recipe.pack.shares]
    if both := [n for n in names(recipe) if f"{DOMAIN}{n}" in taken]:
        raise ValueError(f"domains: {DOMAIN}{both[0]!s} is the name of another entry of samples: call that otherwise")


def parts(recipe: Any, path: Path) -> dict[str, Any]:
    """All that domains of a recipe follow from beside its cubes, as plain JSON values: of files their digests."""
    spec, asked = spec_of(recipe), names(recipe)
    tables = {t.file: t.sha256 for name in asked for t in OF_PLACES.get(name, ())}
    own = {n: files.sha256_of(spec.files[n].path(path, n)) for n in asked if n in spec.files}
    return {"names": list(asked), "spec": spec.model_dump(mode="json"), "atlas": tables, "files": own}
