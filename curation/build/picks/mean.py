"""The mean of all scenes of a season."""

from __future__ import annotations

from collections.abc import Iterable

from curation.build.context import Patch, Slab, usable
from curation.build.pixels import files_of, valid_fraction
from curation.errors.codes import Code
from curation.outcomes import Reject, SourceOutcome, Status
from curation.read import swathgrid
from curation.recipe.sources import SourceSpec


def read_mean(slab: Slab, patch: Patch, spec: SourceSpec) -> None:
    """The mean of all scenes of the season; pixels that no footprint of enough quality reaches are nodata.

    One that cannot be read fails it: without it the mean is another.
    """
    mine = slab.candidates[spec.name][patch.location.id]
    mine.check()
    arrays, scenes = slab.dataset.arrays[spec.name], usable(slab, mine.scenes)
    found, used = swathgrid.pixels(slab.swaths, spec, arrays, patch.location, scenes, lambda s: files_of(slab, spec, s))
    valid = min(valid_fraction(found[n], a) for n, a in arrays.items() if a.role == "data")
    counts = [plane for n, a in arrays.items() for b, plane in zip(a.bands, found[n], strict=True) if b == "orbits"]
    times = [s.time.timestamp() for s in used]
    assert spec.swath is not None
    patch.facts |= {
        f"{spec.name}_time": sum(times) / len(times) if times else None,
        f"{spec.name}_orbits": max((int(plane.max()) for plane in counts), default=None),
        f"{spec.name}_mode": _each(s.mode for s in used),
        f"{spec.name}_version": _each(s.version for s in used),
        f"{spec.name}_min_quality": spec.swath.min_quality,
        f"{spec.name}_valid_fraction": valid,
        f"{spec.name}_warped": 1,
    }
    if valid <= 0 or valid < slab.dataset.min_valid(spec.name):
        raise Reject(Code.NODATA, valid)
    patch.pixels |= found
    patch.sources[spec.name] = SourceOutcome(Status.OK, scenes=tuple(s.id for s in used))


def _each(values: Iterable[str | None]) -> str:
    return " ".join(sorted({v for v in values if v}))
