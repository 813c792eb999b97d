"""The scene of the same acquisition as that of another source."""

from __future__ import annotations

from curation.build.context import Patch, Slab, usable
from curation.build.pixels import class_facts, read_all
from curation.model import Location, Scene
from curation.outcomes import SourceOutcome, Status
from curation.read.reader import Reader
from curation.recipe.sources import SourceSpec
from curation.scenes import rank


def read_matched(slab: Slab, reader: Reader, patch: Patch, spec: SourceSpec, to: Scene) -> None:
    """The map of the very acquisition; it is sparse by nature, so gaps are kept and told, not refused.

    Nothing stands in for one that cannot be read.
    """
    scene = matching(slab, patch.location, spec, to)
    pixels, warped, valid = read_all(slab, reader, patch.location, spec, [scene])
    patch.pixels |= pixels
    patch.facts |= {
        f"{spec.name}_time": scene.time.timestamp(),
        f"{spec.name}_valid_fraction": valid,
        f"{spec.name}_warped": int(warped),
    }
    class_facts(slab.dataset, patch, spec)
    patch.sources[spec.name] = SourceOutcome(Status.OK, scenes=(scene.id,))


def matching(slab: Slab, location: Location, spec: SourceSpec, to: Scene) -> Scene:
    """The scene of the anchor's acquisition."""
    mine = slab.candidates[spec.name][location.id]
    mine.check()
    return usable(slab, rank.same_acquisition(mine.scenes, to))[0]
