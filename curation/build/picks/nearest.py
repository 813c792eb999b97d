"""The scene nearest in time to that of another source."""

from __future__ import annotations

import math

from curation.build.context import Patch, Slab, is_lasting, note_passed_over, usable
from curation.build.pixels import read_all
from curation.errors import ReadError
from curation.errors.codes import Code
from curation.model import Location, Scene
from curation.outcomes import Reject, SourceOutcome, Status
from curation.read import backscatter, shift
from curation.read.reader import Reader
from curation.recipe.sources import SourceSpec
from curation.scenes import rank


def by_rank(slab: Slab, location: Location, spec: SourceSpec, anchor: Scene) -> list[Scene]:
    """Scenes that a patch may use, best first: those nearest in time to the anchor."""
    mine = slab.candidates[spec.name][location.id]
    mine.check()
    quality = slab.dataset.recipe.quality
    ranked = rank.rank_nearest(mine.scenes, location, anchor.time, mine.direction, quality.max_gap_days)
    return usable(slab, ranked[: quality.max_candidates])


def read_nearest(slab: Slab, reader: Reader, patch: Patch, spec: SourceSpec, to: Scene) -> None:
    """The nearest scene that can be read and has enough valid pixels.

    Raises:
        Reject: there is none near enough, none has enough valid pixels, or what they hold cannot be.
        ReadError: one could not be read, and no other will do.
    """
    best, fault, refused = 0.0, None, None
    for scene in by_rank(slab, patch.location, spec, to):
        try:
            pixels, warped, valid = read_all(slab, reader, patch.location, spec, [scene])
        except Reject as err:
            refused = refused or err
            continue
        except ReadError as err:
            if not is_lasting(err, slab):
                raise
            note_passed_over(slab, patch, spec, scene, err)
            fault = fault or err
            continue
        best = max(best, valid)
        if valid < slab.dataset.min_valid(spec.name):
            continue
        patch.pixels |= pixels
        patch.facts |= {
            f"{spec.name}_time": scene.time.timestamp(),
            f"{spec.name}_gap_days": (scene.time - to.time).total_seconds() / 86_400,
            f"{spec.name}_valid_fraction": valid,
            f"{spec.name}_warped": int(warped),
        }
        if spec.one_orbit_direction:
            patch.facts[f"{spec.name}_orbit_state"] = scene.orbit_state or ""
            patch.facts[f"{spec.name}_relative_orbit"] = (
                scene.relative_orbit if scene.relative_orbit is not None else -1
            )
        patch.sources[spec.name] = SourceOutcome(Status.OK, scenes=(scene.id,))
        return
    raise fault or refused or Reject(Code.NODATA, best)


def measure_shift(slab: Slab, patch: Patch, spec: SourceSpec) -> None:
    """Measures how far a follower lies from the source it goes with, where they have arrays of equal pixels.

    Raises:
        Reject: that is more than the recipe allows, by a measurement that says something; the follower's pixels are dropped.
    """
    measured = slab.dataset.shift_arrays(spec.name)
    if measured is None:
        return
    other, name, _ = measured
    x, y, peak = shift.shift_px(
        patch.pixels[other].mean(axis=0), backscatter.decibels(patch.pixels[name].mean(axis=0), math.nan)
    )
    patch.facts |= {
        f"{spec.name}_shift_x_px": x,
        f"{spec.name}_shift_y_px": y,
        f"{spec.name}_shift_peak": peak,
    }
    limit, length = slab.dataset.recipe.quality.max_shift_px, math.hypot(x, y)
    if limit is not None and length > limit and peak >= shift.least_peak(patch.pixels[name].shape[-1]):
        for array in slab.dataset.arrays[spec.name]:
            patch.pixels.pop(array, None)
        raise Reject(Code.SHIFTED, length)
