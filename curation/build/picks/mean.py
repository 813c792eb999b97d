"""The mean of all scenes of a season."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from curation.build.context import Patch, Reading, Slab, Source, usable
from curation.build.kinds import swath
from curation.build.pixels import valid_fraction
from curation.errors.codes import Code
from curation.model import Location, Scene, Window
from curation.outcomes import Reject
from curation.read.reader import Read
from curation.recipe.facts import Fact
from curation.recipe.sources import Pick, Shift, SourceSpec
from curation.scenes import rank


class Mean(Pick):
    """All that touch a place, of one version of the processor, of each orbit one processing mode.

    What cannot be read fails it: the mean would be another.
    """

    time: ClassVar[str] = "mean acquisition time, UTC"
    joins: ClassVar[bool] = True
    has_one_scene: ClassVar[bool] = False

    def check(self, source: SourceSpec) -> None:
        """Passes for swaths."""
        if not source.kind.whole_orbits:
            raise ValueError("pick = 'mean' is for kind = 'swath'; that of rasters is 'clear-mean'")

    def least_valid(self, usual: float) -> float:
        """A single pixel is enough: a swath has gaps."""
        return 0.0

    def facts(self, source: SourceSpec, shift: Shift | None) -> list[Fact]:
        """What the mean is of."""
        return [
            Fact(f"{source.name}_orbits", "int16", "most orbits that the mean of a pixel is of"),
            Fact(f"{source.name}_days", "int16", "most days, by the mean sun there, that the mean of a pixel is of"),
            Fact(f"{source.name}_mode", "string", "processing modes of the scenes, separated by spaces"),
            Fact(
                f"{source.name}_version",
                "string",
                "version of the processor, or of the product where that is not known",
            ),
            Fact(
                f"{source.name}_other_version_orbits",
                "int16",
                "orbits of the season left out: only another version of the processor has them",
            ),
            Fact(f"{source.name}_min_quality", "float32", "footprints of less quality were left out, 0 to 1"),
        ]

    def offered(self, scenes: Sequence[Scene]) -> list[Scene]:
        """All: which version of the processor is used hangs on the place."""
        return list(scenes)

    def of_place(self, scenes: Sequence[Scene], place: Location) -> list[Scene]:
        """Those that touch it."""
        return rank.touching(scenes, place)

    def ranked(self, scenes: Sequence[Scene], place: Location, window: Window) -> list[list[Scene]]:
        """By version of the processor; of each in order of time: the sum is the same then, to the last bit."""
        return rank.by_version(scenes)

    def wants_all(self, source: SourceSpec, scenes: Sequence[Scene], place: Location) -> bool:
        """Always."""
        return True

    def reads(self, slab: Slab, source: Source, place: Location) -> list[Read]:
        """Nothing: what a swath's files hold is known when they are open."""
        return []

    def read(self, slab: Slab, patch: Patch, source: Source) -> Reading[Scene | None]:
        """The mean of the season's scenes of one version; pixels that no footprint of enough quality reaches are nodata."""
        yield from ()
        mine, arrays = source.found[patch.location.id], source.arrays
        mine.check()
        groups = [left for group in mine.groups if (left := [s for s in group if s.id not in slab.excluded])]
        chosen = groups[0] if groups else usable(slab, mine.scenes)  # which says that all are excluded
        others = {rank.orbit_of(s) for group in groups[1:] for s in group} - {rank.orbit_of(s) for s in chosen}
        found, used, least = swath.mean_of(slab, source, patch.location, chosen)
        valid = min(valid_fraction(found[n], a) for n, a in arrays.items() if a.is_data)
        counts = {
            band: int(plane.max())
            for name, array in arrays.items()
            if array.is_count
            for band, plane in zip(array.bands, found[name], strict=True)
        }
        times = [s.time.timestamp() for s in used]
        patch.note(
            source,
            time=sum(times) / len(times) if times else None,
            orbits=counts.get("orbits"),
            days=counts.get("days"),
            mode=_each(s.mode for s in used),
            version=_each(s.version for s in used),
            other_version_orbits=len(others),
            min_quality=least,
            valid_fraction=valid,
            warped=1,
        )
        if valid <= 0 or valid < source.min_valid:
            raise Reject(Code.NODATA, valid)
        patch.take(source, found, used)
        return None


def _each(values: Iterable[str | None]) -> str:
    return " ".join(sorted({v for v in values if v}))
