"""What stands of a patch whose cube is given more sources is not read again: the patch comes to what it would have at once.

A source that chooses by itself does so whatever others chose. One that goes with another's scene is read with the scene that
stands: where it passes, that other would have chosen the same scene with it, since whatever came before was refused without
it. Where one that is required is added such a patch is built anew all the same if it does not pass, since the next scene
might have; if there is no scene, since it may say why; if that other takes the second of those that are good enough, or a
later one, since the first may be none with it; or if masks were left unread of scenes that may be better, since fewer
candidates leave room for them.
"""

from __future__ import annotations

import dataclasses

from curation.build import clouds
from curation.build.context import Patch, Slab, Source, StandingPatch
from curation.errors.codes import Code
from curation.model import STATIC, Location, Scene
from curation.outcomes import PatchOutcome, SourceOutcome, Status


class BuiltAnew(Exception):  # noqa: N818 - it is no error
    """What stands of a patch may be otherwise with a source that was added."""


def taken(slab: Slab, patch: Patch, standing: StandingPatch, source: Source) -> Scene | None:
    """Takes up a source that stands, with those that go with it and stand, too; gives its scene where others go with it.

    Raises:
        BuiltAnew: that scene is not among its candidates any more; or one that goes with it, is required and does not stand
            may have it choose another, or none for another reason.
    """
    following = slab.following(source)
    added = [f for f in following if not standing.has(f.name)]
    for its in (source, *(f for f in following if f not in added)):
        _take(patch, standing, its)
    is_ok = patch.sources[source.name].status is Status.OK
    if any(f.is_required_at(patch.location) for f in added) and (not is_ok or not _is_best(slab, patch, source)):
        raise BuiltAnew
    if not added or not is_ok:
        return None
    for its in added:
        if its.shift is not None:  # is measured against pixels that stand
            assert slab.decode is not None
            (chunk,) = standing.chunks[source.name][its.shift.other]
            patch.pixels[its.shift.other] = slab.decode(its.shift.other, chunk)
    (name,) = patch.sources[source.name].scenes
    for scene in source.found[patch.location.id].scenes:
        if scene.id == name:
            return scene
    raise BuiltAnew


def _is_best(slab: Slab, patch: Patch, source: Source) -> bool:
    """Whether the scene of a source stays the one that is taken where fewer are candidates: of those that pass the first.

    Not where it is counted; nor where masks were left unread, since they were too many, of scenes that may be preferred:
    those that rank as it does, or, where it is mostly snow, any.
    """
    if source.spec.pick.counted > 1:
        return False
    groups, masks = source.found[patch.location.id].groups, 0
    is_snowy = (patch.facts.get(f"{source.name}_snow_fraction") or 0.0) > clouds.MOSTLY_SNOW
    (name,) = patch.sources[source.name].scenes
    for group in groups:
        masks += len(group)
        if any(scene.id == name for scene in group) and not is_snowy:
            return len(group) == 1 or masks <= slab.quality.max_candidates
    return masks <= slab.quality.max_candidates


def _take(patch: Patch, standing: StandingPatch, source: Source) -> None:
    """Takes up a source as if it were read."""
    its = standing.outcome.sources[source.name]
    patch.sources[source.name] = its
    patch.facts |= standing.facts[source.name]
    patch.packed |= standing.chunks[source.name]
    if its.passed_over:
        patch.passed_over[source.name] = dict(its.passed_over)


def left_standing(patch: Patch, outcome: PatchOutcome, standing: StandingPatch) -> PatchOutcome:
    """What becomes of a patch that stood and failed: it keeps what stands, and only what failed is tried again.

    Nothing stays where what failed is what stands: with what was added, another scene was to be read of it.
    """
    stands = {n: o for n, o in standing.outcome.sources.items() if standing.has(n)}
    failed = [n for n, o in outcome.sources.items() if o.status is Status.FAILED and o.code != Code.UPSTREAM]
    if not stands.keys().isdisjoint(failed):
        return outcome
    for name in stands:
        patch.facts |= standing.facts[name]
        patch.packed |= standing.chunks[name]
    return dataclasses.replace(outcome, sources=outcome.sources | stands)


def closed(slab: Slab, place: Location, standing: StandingPatch) -> PatchOutcome | None:
    """What becomes of a patch that is not ok and was given up before any source that was added had its turn; else None.

    It was given up by a source that is required and chooses for itself, or that is required and tried with each of its
    candidates. What is static is never given up: all of it is told.
    """
    known = standing.outcome.sources
    for source in [s for s in slab.sources if s.spec.pick.follows is None and slab.season != STATIC]:
        following = slab.following(source)
        required = [source, *(f for f in following if f.is_required_at(place))]
        if any(s.name not in known for s in required):
            return None  # it might have been refused before, or for another reason
        deciding = [s for s in required if s is source or s.spec.pick.tried]
        if source.is_required_at(place) and any(_refuses(known[s.name]) for s in deciding):
            upstream = SourceOutcome(Status.REJECTED, Code.UPSTREAM)
            sources = {s.name: known.get(s.name, upstream) for s in slab.sources}
            return PatchOutcome(standing.outcome.id, standing.outcome.status, sources)
        if any(f.name not in known for f in following):
            return None
    return None


def _refuses(outcome: SourceOutcome) -> bool:
    """Whether it was this source, and not another, that has no pixels."""
    return outcome.status is not Status.OK and outcome.code != Code.UPSTREAM
