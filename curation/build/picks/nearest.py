"""The scene nearest in time: to that of another source, or to the anchor of the season."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from curation.build.context import Patch, Slab, Source, is_lasting, note_passed_over, usable
from curation.build.pixels import read_all
from curation.build.walk import OneScene
from curation.errors import ReadError
from curation.errors.codes import Code
from curation.model import Location, Scene, Window
from curation.outcomes import Reject
from curation.read import backscatter, shift
from curation.recipe.facts import Fact, Number
from curation.recipe.schema import QualitySpec
from curation.recipe.sources import Shift, SourceSpec
from curation.scenes import rank


class Nearest(OneScene):
    """The nearest that can be read and is good enough; how far it lies beside the one it goes with is measured."""

    tried: ClassVar[bool] = True
    measures_shift: ClassVar[bool] = True
    goes_with: str | None = None
    """The source whose chosen scene it is nearest to; where left out it stands alone, near to the season's anchor."""
    one_orbit_direction: bool = False  # in digests, said or not

    @property
    def follows(self) -> str | None:
        """The source that it goes with."""
        return self.goes_with

    def facts(self, source: SourceSpec, shift: Shift | None) -> list[Fact]:
        """Gap, shift and orbit; of one that stands alone as of any."""
        if self.goes_with is None:
            return super().facts(source, shift)
        gap = f"days from the {self.goes_with} scene, negative where earlier"
        return [
            Fact(f"{source.name}_gap_days", "float32", gap),
            *self._of_shift(source.name, shift),
            *self.orbit_facts(source.name),
        ]

    def _of_shift(self, source: str, on: Shift | None) -> list[Fact]:
        unit, note = "not measured: no two arrays of the same pixels, or too few of these", ""
        if on is not None:
            unit = f"pixels of {on.own}" + ("" if on.array.res_m is None else f" ({on.array.label})")
            note = f"; below {shift.least_peak(on.px):.2f} it says little"
        what = f"measured shift against {self.goes_with}"
        return [
            Fact(f"{source}_shift_x_px", "float32", f"{what}, east, {unit}"),
            Fact(f"{source}_shift_y_px", "float32", f"{what}, south, {unit}"),
            Fact(f"{source}_shift_peak", "float32", f"sharpness of that measurement{note}"),
        ]

    def measured(self, source: str, limits: QualitySpec) -> list[Number]:
        """The gap; of one that stands alone as of any."""
        if self.goes_with is None:
            return super().measured(source, limits)
        return [Number(f"days from the {self.goes_with} scene, at most {limits.max_gap_days:g}", f"{source}_gap_days")]

    def ranked(self, scenes: Sequence[Scene], place: Location, window: Window) -> list[list[Scene]]:
        """By nearness to the anchor, of one that stands alone."""
        return [list(scenes)] if self.goes_with else rank.rank_in_time(scenes, place, window.anchor)

    def check_any(self, source: Source, place: Location) -> None:
        """Passes where there is one of the place's orbit."""
        mine = source.found[place.id]
        mine.check()
        rank.of_direction(mine.scenes, mine.direction, mine.relative_orbit)

    def partners(self, slab: Slab, source: Source, place: Location, to: Scene) -> list[Scene]:
        """Those nearest in time to the other's scene, best first."""
        mine = source.found[place.id]
        mine.check()
        scenes = rank.of_direction(mine.scenes, mine.direction, mine.relative_orbit)
        ranked = rank.rank_nearest(scenes, place, to.time, None, slab.quality.max_gap_days)
        return usable(slab, ranked[: slab.quality.max_candidates])

    def read_with(self, slab: Slab, patch: Patch, source: Source, to: Scene) -> None:
        """The nearest scene that can be read and has enough valid pixels.

        Raises:
            Reject: there is none near enough, none has enough valid pixels, or what they hold cannot be.
            ReadError: one could not be read, and no other will do.
        """
        best, fault, refused = 0.0, None, None
        for scene in self.partners(slab, source, patch.location, to):
            try:
                pixels, warped, valid = read_all(slab, source, patch.location, [scene])
            except Reject as err:
                refused = refused or err
                continue
            except ReadError as err:
                if not is_lasting(err, slab):
                    raise
                note_passed_over(slab, patch, source, scene, err)
                fault = fault or err
                continue
            best = max(best, valid)
            if valid < source.min_valid:
                continue
            patch.note(
                source,
                time=scene.time.timestamp(),
                gap_days=(scene.time - to.time).total_seconds() / 86_400,
                valid_fraction=valid,
                warped=int(warped),
            )
            patch.note(source, **self.orbit_noted(scene))
            patch.take(source, pixels, [scene])
            return
        raise fault or refused or Reject(Code.NODATA, best)

    def compare(self, slab: Slab, patch: Patch, source: Source) -> None:
        """Measures how far it lies from the source it goes with, where they have arrays of equal pixels.

        Raises:
            Reject: that is more than the recipe allows, by a measurement that says something; its pixels are dropped.
        """
        on = source.shift
        if on is None:
            return
        x, y, peak = shift.shift_px(
            patch.pixels[on.other].mean(axis=0), backscatter.decibels(patch.pixels[on.own].mean(axis=0), math.nan)
        )
        patch.note(source, shift_x_px=x, shift_y_px=y, shift_peak=peak)
        limit, length = slab.quality.max_shift_px, math.hypot(x, y)
        if limit is not None and length > limit and peak >= shift.least_peak(patch.pixels[on.own].shape[-1]):
            for array in source.arrays:
                patch.pixels.pop(array, None)
            raise Reject(Code.SHIFTED, length)
