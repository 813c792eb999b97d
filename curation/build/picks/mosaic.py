"""All scenes that meet the patch, joined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from curation.build.context import Patch, Pixels, Reading, Slab, Source, usable
from curation.build.pixels import assets_of, read_all
from curation.errors.codes import Code
from curation.model import Location, Scene
from curation.outcomes import Reject, Status
from curation.places import ocean
from curation.read.reader import Read
from curation.recipe.facts import Fact
from curation.recipe.sources import Pick, Shift, SourceSpec
from curation.scenes import rank


class Mosaic(Pick):
    """All that touch a place as one, the later filling what the earlier leave open; one that cannot be read fails it."""

    timeless: ClassVar[bool] = True
    time: ClassVar[str] = ""
    joins: ClassVar[bool] = True
    has_one_scene: ClassVar[bool] = False
    hole_value: float | None = None
    """What open sea without a scene is (GLO-30: 0 m); flagged, never silent. All else without one is nodata."""

    @property
    def fills(self) -> bool:
        """Where there is a value for sea."""
        return self.hole_value is not None

    def check(self, source: SourceSpec) -> None:
        """Passes for rasters."""
        if source.kind.whole_orbits:
            raise ValueError("pick = 'mosaic' is for rasters, not for swaths")

    def facts(self, source: SourceSpec, shift: Shift | None) -> list[Fact]:
        """How much no scene reaches."""
        if self.hole_value is None:
            return []
        sea = f"share of pixels that no scene reaches: sea, set to {self.hole_value:g}"
        return [
            Fact(f"{source.name}_hole_fraction", "float32", sea),
            Fact(
                f"{source.name}_void_fraction", "float32", "share of pixels without data that are not known to be sea"
            ),
        ]

    def offered(self, scenes: Sequence[Scene]) -> list[Scene]:
        """All: versions are told apart place by place."""
        return list(scenes)

    def of_place(self, scenes: Sequence[Scene], place: Location) -> list[Scene]:
        """Those that touch it, the newest version first."""
        return rank.touching(scenes, place)

    def wants_all(self, source: SourceSpec, scenes: Sequence[Scene], place: Location) -> bool:
        """While there is room: of a mosaic that is filled nothing more is wanted. Shapes do not fill what is around them."""
        return source.kind.holds_shapes or not rank.filled(scenes, place)

    def reads(self, slab: Slab, source: Source, place: Location) -> list[Read]:
        """All of it."""
        scenes = [s for s in source.found[place.id].scenes if s.id not in slab.excluded]
        return source.files.reads(source, place, scenes)

    def read(self, slab: Slab, patch: Patch, source: Source) -> Reading[Scene | None]:
        """All scenes that touch the patch as one; what none reaches may be sea."""
        yield from ()
        mine = source.found[patch.location.id]
        if not self.fills or mine.code is not Code.NO_SCENE:  # where no scene is, there may be sea
            mine.check()
        scenes = usable(slab, mine.scenes)
        pixels, warped, valid = read_all(slab, source, patch.location, scenes)
        patch.note(source, valid_fraction=valid, warped=int(warped))
        short = Code.NODATA
        if self.hole_value is not None:
            # What an excluded scene has there nobody knows.
            valid, short = self._filled(slab, patch, source, pixels, scenes, all_used=len(scenes) == len(mine.scenes))
        if (valid <= 0 or valid < source.min_valid) and not source.spec.kind.keeps_gaps:
            raise Reject(short, valid, status=Status.REJECTED if scenes else Status.ABSENT)
        patch.take(source, pixels, scenes)
        return None

    def _filled(
        self, slab: Slab, patch: Patch, source: Source, pixels: Pixels, scenes: Sequence[Scene], *, all_used: bool
    ) -> tuple[float, Code]:
        """Fills what is sea; gives the share that is valid then, and why it may be too little."""
        valid, short, place = 1.0, Code.NODATA, patch.location
        for name, array in source.arrays.items():
            empty = (pixels[name] == array.nodata).all(axis=0)
            void = empty & slab.reader.covered(assets_of(source, array.bands[0], scenes), array, place)
            if not all_used:
                void = empty
            # A void of a scene is not the sea beside it, and a tile that is not there is no sea where there is land.
            sea = ocean.sea_of(empty & ~void, place, array.step(place.size_m))
            short = Code.HOLE if (empty & ~void & ~sea).any() else short
            void = empty & ~sea
            patch.note(source, hole_fraction=float(sea.mean()), void_fraction=float(void.mean()))
            pixels[name] = np.where(sea, pixels[name].dtype.type(self.hole_value or 0), pixels[name])
            valid = min(valid, 1 - float(void.mean()))
        return valid, short
