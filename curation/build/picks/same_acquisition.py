"""The scene of the same acquisition as that of another source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from curation.build import offset
from curation.build.context import Patch, Slab, Source, is_lasting, note_passed_over, usable
from curation.build.pixels import read_all, valid_fraction
from curation.errors import ReadError
from curation.errors.codes import Code
from curation.model import Location, Scene
from curation.outcomes import Reject
from curation.read import radiometry
from curation.recipe.facts import Fact
from curation.recipe.sources import Pick, Shift, SourceSpec
from curation.scenes import rank


class SameAcquisition(Pick):
    """Of the very acquisition of the other; nothing stands in for one that cannot be read but another acquisition."""

    has_own_time: ClassVar[bool] = False
    goes_with: str
    """The source whose chosen scene it is of."""

    @property
    def follows(self) -> str | None:
        """The source that it goes with."""
        return self.goes_with

    @property
    def reach_days(self) -> float | None:
        """No further than one acquisition is long."""
        return rank.DATATAKE_DAYS

    def facts(self, source: SourceSpec, shift: Shift | None) -> list[Fact]:
        """Of reflectance what was taken off, and what says so: its own baseline need not be the other's."""
        return offset.facts(source.name) if any(a.unit == radiometry.UNIT for a in source.arrays) else []

    def offered(self, scenes: Sequence[Scene]) -> list[Scene]:
        """The newest of each acquisition."""
        return rank.newest(scenes)

    def of_place(self, scenes: Sequence[Scene], place: Location) -> list[Scene]:
        """Those that touch it."""
        return rank.touching(scenes, place)

    def check_any(self, source: Source, place: Location) -> None:
        """Passes where there is any."""
        source.found[place.id].check()

    def partners(self, slab: Slab, source: Source, place: Location, to: Scene) -> list[Scene]:
        """The scene of the other's acquisition."""
        mine = source.found[place.id]
        mine.check()
        return usable(slab, rank.same_acquisition(mine.scenes, to))[:1]

    def read_with(self, slab: Slab, patch: Patch, source: Source, to: Scene) -> None:
        """Reads it; where its kind has gaps by nature these are kept and told, not refused."""
        scenes = self.partners(slab, source, patch.location, to)
        measures = any(a.unit == radiometry.UNIT for a in source.arrays.values())
        try:
            if measures:
                self._check_offset(slab, patch, source, scenes[0], to)
            pixels, warped, valid = read_all(slab, source, patch.location, scenes)
        except ReadError as err:
            if is_lasting(err, slab):
                note_passed_over(slab, patch, source, scenes[0], err)
            raise
        for name, array in source.arrays.items():
            if array.unit == radiometry.UNIT:
                pixels[name] = _reflectance(pixels[name], scenes[0].offset_dn, array.nodata)
                valid = min(valid, valid_fraction(pixels[name], array))
        patch.note(source, time=scenes[0].time.timestamp(), valid_fraction=valid, warped=int(warped))
        if valid < source.min_valid and not source.spec.kind.keeps_gaps:
            raise Reject(Code.NODATA, valid)
        patch.take(source, pixels, scenes)

    def _check_offset(self, slab: Slab, patch: Patch, source: Source, scene: Scene, to: Scene) -> None:
        """Notes what is taken off its numbers; passes where these, judged by the other's mask, do not contradict that."""
        patch.note(source, baseline=scene.baseline or "", offset_dn=scene.offset_dn)
        judge = next(s for s in slab.sources if s.name == self.goes_with), to
        slab.reader.prefetch(offset.looks(slab, source, scene, judge))
        offset.check(slab, patch, source, scene, judge)

    def compare(self, slab: Slab, patch: Patch, source: Source) -> None:
        """Nothing: it is of the other's acquisition."""


def _reflectance(dn: NDArray[Any], offset_dn: int, nodata: float) -> NDArray[Any]:
    """(band, y, x) on the one scale, saturated pixels missing; what is cloud is not known here, and no excuse.

    Raises:
        Reject: `impossible`, where more is brighter than anything seen than may be.
    """
    found = radiometry.harmonised(dn, offset_dn, nodata)
    radiometry.check_possible(found, np.ones(found.shape[1:], bool), nodata)
    return radiometry.measured(found, nodata)
