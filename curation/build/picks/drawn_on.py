"""What was drawn on an image: labels go with the image that they were drawn on, or with the one nearest in time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from curation.build.context import Patch, Pixels, Reading, Slab, Source, usable
from curation.build.pixels import read_all
from curation.errors.codes import Code
from curation.model import Location, Scene, Window
from curation.outcomes import Reject, Status
from curation.read import versions
from curation.read.reader import Read
from curation.recipe.facts import Fact, Number
from curation.recipe.schema import QualitySpec
from curation.recipe.sources import Pick, Shift, SourceSpec
from curation.scenes import rank

_HOURS = 24


class DrawnOn(Pick):
    """The newest version of what was drawn nearest in time; where it names its image, for that image alone, of any time.

    It need not cover a place: what it does not speak of is nodata. How much it must speak of is the recipe's `min_valid`.
    """

    tried: ClassVar[bool] = True
    goes_with: str | None = None
    """The source whose chosen scene it is of; where left out it stands alone, near to the season's anchor."""
    max_gap_hours: float | None = Field(default=None, gt=0)
    """Most hours between what it was drawn on and that scene; the recipe's `max_gap_days` where left out."""
    event: str | None = None
    """The column of places that says which event a place is of: an annotation of another is none of its."""

    @property
    def follows(self) -> str | None:
        """The source that it goes with."""
        return self.goes_with

    @property
    def place_columns(self) -> list[str]:
        """The one that says their event."""
        return [] if self.event is None else [self.event]

    @property
    def reach_days(self) -> float | None:
        """As far as it says."""
        return None if self.max_gap_hours is None else self.max_gap_hours / _HOURS

    def least_valid(self, usual: float) -> float:
        """A single pixel is enough, where the recipe says nothing."""
        return 0.0

    def facts(self, source: SourceSpec, shift: Shift | None) -> list[Fact]:
        """How far it is in time from the image, which it is, and of what."""
        if self.goes_with is None:
            return self._of_itself(source.name)
        gap = f"days from the {self.goes_with} scene to what it was drawn on, negative where earlier"
        named = "1 where it names the image that it was drawn on, and that is this one"
        return [
            Fact(f"{source.name}_gap_days", "float32", gap),
            Fact(f"{source.name}_names_image", "uint8", named),
            *self._of_itself(source.name),
        ]

    def _of_itself(self, source: str) -> list[Fact]:
        return [
            Fact(f"{source}_event", "string", "the event that it is of, as its catalog calls it"),
            Fact(f"{source}_version", "string", "its version, as its catalog calls it"),
        ]

    def measured(self, source: str, limits: QualitySpec) -> list[Number]:
        """The gap."""
        if self.goes_with is None:
            return []
        most = limits.max_gap_days if self.reach_days is None else self.reach_days
        return [Number(f"days from the image to what was drawn, at most {most:g}", f"{source}_gap_days")]

    def offered(self, scenes: Sequence[Scene]) -> list[Scene]:
        """All: versions are told apart place by place."""
        return list(scenes)

    def of_place(self, scenes: Sequence[Scene], place: Location) -> list[Scene]:
        """Those that touch it, of its event."""
        mine = scenes
        if self.event is not None:
            wanted = place.text(self.event)
            mine = [s for s in scenes if wanted and s.event == wanted]
        return rank.touching(mine, place)

    def ranked(self, scenes: Sequence[Scene], place: Location, window: Window) -> list[list[Scene]]:
        """By nearness to the anchor, of one that stands alone; of one minute the newest version first."""
        if self.goes_with is not None:
            return [list(scenes)]
        return [[s] for s in _nearest(scenes, window.anchor)]

    def reads(self, slab: Slab, source: Source, place: Location) -> list[Read]:
        """Nothing for sure."""
        return []

    def read(self, slab: Slab, patch: Patch, source: Source) -> Reading[Scene | None]:
        """The first that says anything of the patch. Raises Reject where none does."""
        yield from ()
        mine = source.found[patch.location.id]
        mine.check()
        return self._first(slab, patch, source, usable(slab, mine.scenes), None)

    def check_any(self, source: Source, place: Location) -> None:
        """Passes where there is any."""
        source.found[place.id].check()

    def partners(self, slab: Slab, source: Source, place: Location, to: Scene) -> list[Scene]:
        """What was drawn on the other's scene, the newest first; else what names none and is near, the nearest first.

        What names the scene may state any time, its own or that of its making: of two that do, their versions decide.
        """
        mine = source.found[place.id]
        mine.check()
        named = [s for s in mine.scenes if s.image == to.id]
        if named:
            return usable(slab, _newest(named))
        free = [s for s in mine.scenes if s.image is None]
        if not free:
            raise Reject(Code.NO_MATCH, status=Status.ABSENT)
        most = slab.quality.max_gap_days if self.reach_days is None else self.reach_days
        near = [s for s in free if rank.gap_days(s, to.time) <= most]
        if not near:
            raise Reject(Code.TIME_GAP, round(min(rank.gap_days(s, to.time) for s in free), 3))
        return usable(slab, _nearest(near, to.time))

    def read_with(self, slab: Slab, patch: Patch, source: Source, to: Scene) -> None:
        """The first that says enough of the patch. Raises Reject where none does."""
        self._first(slab, patch, source, self.partners(slab, source, patch.location, to), to)

    def compare(self, slab: Slab, patch: Patch, source: Source) -> None:
        """Nothing: labels have no shift of their own."""

    def _first(self, slab: Slab, patch: Patch, source: Source, scenes: Sequence[Scene], to: Scene | None) -> Scene:
        best = 0.0
        for scene in scenes:
            pixels, warped, valid = read_all(slab, source, patch.location, [scene])
            best = max(best, valid)
            if valid <= 0 or valid < source.min_valid:
                continue
            self._take(patch, source, pixels, scene, to, valid=valid, warped=warped)
            return scene
        raise Reject(Code.NODATA, best)

    def _take(
        self,
        patch: Patch,
        source: Source,
        pixels: Pixels,
        scene: Scene,
        to: Scene | None,
        *,
        valid: float,
        warped: bool,
    ) -> None:
        patch.note(
            source,
            time=scene.time.timestamp(),
            event=scene.event or "",
            version=scene.version or "",
            valid_fraction=valid,
            warped=int(warped),
        )
        if to is not None:
            gap = (scene.time - to.time).total_seconds() / 86_400
            patch.note(source, gap_days=gap, names_image=int(scene.image == to.id))
        patch.take(source, pixels, [scene])


def _newest(scenes: Sequence[Scene]) -> list[Scene]:
    """The newest version first; of one by id."""
    return sorted(sorted(scenes, key=lambda s: s.id), key=lambda s: versions.order(s.version), reverse=True)


def _nearest(scenes: Sequence[Scene], to: dt.datetime) -> list[Scene]:
    """Nearest in time first; of one minute the newest version: seconds are stated by one, and left out by the next."""
    return sorted(_newest(scenes), key=lambda s: abs(s.time.replace(second=0, microsecond=0) - to))
