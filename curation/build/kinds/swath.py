"""Swaths: footprints that each say where they are, gridded on cells in degrees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from numpy.typing import NDArray

from curation.build.context import Part, Pixels, Slab, Source
from curation.model import Location, Scene
from curation.read import swathgrid
from curation.read.reader import Asset, Read
from curation.recipe.arrays import ArraySpec
from curation.recipe.sources import Kind, SourceSpec
from curation.recipe.swath import SwathSpec

COUNT_BANDS = ("orbits", "footprints", "days")
"""What an array with role `count` may hold."""

QUALITY_BANDS = ("qa_mean", "qa_min")
"""What an array with role `quality` may hold, beside the spread of each band (`no2_std`)."""


class Swath(Kind, SwathSpec):
    """What was seen along an orbit."""

    whole_orbits: ClassVar[bool] = True

    def check(self, source: SourceSpec) -> None:
        """Passes where the arrays are those that its variables, flags and quality make."""
        if any(a.says_of_files for a in source.arrays):
            raise ValueError("scale, offset, file_nodata, bits and limits are of rasters that state a grid")
        if sized := [a.bands for a in source.arrays if a.size_px is None]:
            raise ValueError(f"arrays of a swath are gridded to 'size_px' pixels a side; {sized[0]} have 'res_m'")
        data = [b for a in source.arrays if a.is_data for b in a.bands]
        if sorted(data) != sorted(self.variables):
            raise ValueError(f"[kind.variables] has {sorted(self.variables)}, the arrays' bands are {sorted(data)}")
        spreads = [f"{b}{swathgrid.SPREAD}" for b in self.variables]
        for role, known in (("count", COUNT_BANDS), ("quality", (*QUALITY_BANDS, *spreads))):
            for array in source.arrays:
                if array.role == role and (other := sorted(set(array.bands) - set(known))):
                    raise ValueError(f"role {role!r}: no band {other}; known: {list(known)}")
        quality_bands = {b for a in source.arrays if a.role == "quality" for b in a.bands}
        if quality_bands & set(QUALITY_BANDS) and self.quality is None:
            raise ValueError("role 'quality' wants kind.quality: the variable it is the mean of")
        if (source.mask is None) != (self.flags is None) or (source.mask and len(source.mask.bands) != 1):
            raise ValueError("an array of one band with role 'mask' goes with kind.flags, of which it is made")
        made = {self.otherwise, *(c.code for c in self.codes)} if source.mask else set()
        if missing := sorted(made - set(source.mask_codes)):
            raise ValueError(f"codes {missing} of [kind] are in none of the source's sets: each belongs to one")

    def check_grid(self, size_deg: float | None, px: set[int]) -> str:
        """It is gridded on footprints in degrees, each of its arrays alike."""
        if size_deg is None:
            return "a swath is gridded on footprints in degrees, and those are in metres; leave it out"
        if len(px) > 1:
            return (
                f"arrays of a swath have as many pixels a side, the mask too, and not {sorted(px)}: change them in "
                "stac_queries/"
            )
        return ""

    def sought(self, bands: Sequence[str]) -> tuple[str, ...]:
        """Its files, whichever bands are read."""
        return tuple(self.files)

    def widest_km(self, arrays: Sequence[ArraySpec]) -> float:
        """A footprint at the swath's edge."""
        return self.footprint_km

    def reads(self, source: Source, place: Location, scenes: Sequence[Scene], part: Part = "all") -> list[Read]:
        """Nothing: what is read of a file is known when it is open."""
        return []

    def pixels(
        self, slab: Slab, source: Source, place: Location, name: str, scenes: Sequence[Scene]
    ) -> tuple[NDArray[Any], bool]:
        """(band, y, x) of an array, of all footprints of the scenes."""
        found, _ = _gridded(slab, source, place, {name: source.arrays[name]}, scenes)
        return found[name], True

    def measured_of(self, source: Source, place: Location, pixels: Pixels) -> dict[str, Any]:
        """Nothing."""
        return {}

    def scene_facts(self, source: Source, place: Location, scenes: Sequence[Scene]) -> dict[str, Any]:
        """Nothing."""
        return {}


def mean_of(
    slab: Slab, source: Source, place: Location, scenes: Sequence[Scene]
) -> tuple[Pixels, list[Scene], float | None]:
    """All arrays of the mean of scenes, the scenes that gave anything of them, and the least quality of footprints."""
    assert isinstance(source.spec.kind, Swath)
    least = swathgrid.least_quality(source.spec.kind, scenes)
    return *_gridded(slab, source, place, source.arrays, scenes), least


def _gridded(
    slab: Slab, source: Source, place: Location, arrays: dict[str, ArraySpec], scenes: Sequence[Scene]
) -> tuple[Pixels, list[Scene]]:
    return swathgrid.pixels(
        slab.swaths,
        source.spec,
        arrays,
        place,
        scenes,
        lambda s: {
            file: Asset(href, source.sign, base=source.base, access=source.access) for file, href in s.hrefs.items()
        },
    )
