"""One patch: its sources in order, each by its pick."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence

from curation.build.context import Patch, Reading, Slab, Source, SourceError, StandingPatch, is_lasting, outcome_of
from curation.build.standing import BuiltAnew, closed, left_standing, taken
from curation.errors import ReadError, StorageError, code_of
from curation.errors.causes import one_line
from curation.errors.codes import Code
from curation.model import STATIC, Location, Scene
from curation.outcomes import PatchOutcome, Reject, SourceOutcome, Status
from curation.read.reader import Read

log = logging.getLogger(__name__)


def build_patch(slab: Slab, location: Location) -> Reading[tuple[Patch, PatchOutcome]]:
    """A patch's pixels, facts and outcome. Pixels are kept only where the patch is ok, or stood before."""
    standing = slab.standing.get(location.id)
    if standing is not None and not standing.outcome.chunks:
        if (outcome := closed(slab, location, standing)) is not None:
            return Patch(location, facts={k: v for of in standing.facts.values() for k, v in of.items()}), outcome
        standing = None
    try:
        patch, outcome = yield from _built(slab, location, standing)
    except BuiltAnew:
        log.info("%s/%s/%s: is built anew, for what was added to it", slab.folder, slab.season, location.id)
        patch, outcome = yield from _built(slab, location, None)
    if standing is not None and outcome.status is Status.FAILED:
        outcome = left_standing(patch, outcome, standing)
    return patch, outcome


def _built(slab: Slab, location: Location, standing: StandingPatch | None) -> Reading[tuple[Patch, PatchOutcome]]:
    """As `build_patch`; what stands is not read again. Raises BuiltAnew where it must be."""
    patch = Patch(location)
    try:
        yield from _read(slab, patch, standing)
    except SourceError as err:
        cause = err.__cause__ or err
        if isinstance(cause, StorageError):  # no fault of the scene, nor of its server
            raise cause from None
        patch.sources[err.source] = SourceOutcome(Status.FAILED, code_of(cause), cause=one_line(cause))
        log.warning("%s/%s/%s: %s failed: %s", slab.folder, slab.season, location.id, err.source, one_line(cause))
    status = _patch_status(
        patch, {s.name for s in slab.sources if s.is_required_at(location)}, [s.name for s in slab.sources]
    )
    for name, causes in patch.passed_over.items():
        passed_over = tuple(causes.items())
        patch.sources[name] = dataclasses.replace(patch.sources[name], passed_over=passed_over)
    if status is not Status.OK:
        patch.pixels, patch.packed = {}, {}
    return patch, PatchOutcome(location.id, status, patch.sources)


def _patch_status(patch: Patch, required: set[str], names: Sequence[str]) -> Status:
    """The patch's status; sources that end unstored because of another are marked as such."""
    have = patch.sources
    if any(o.status is Status.FAILED for o in have.values()):
        status = Status.FAILED
    else:
        bad = [have[n].status for n in names if n in required and n in have and have[n].status is not Status.OK]
        if not any(o.status is Status.OK for o in have.values()):  # nothing to store, though nothing was required
            bad = [o.status for o in have.values()]
        status = Status.OK if not bad else Status.ABSENT if set(bad) <= {Status.ABSENT} else Status.REJECTED
    for name in names:
        if name not in have or (status is not Status.OK and have[name].status is Status.OK):
            patch.sources[name] = SourceOutcome(
                Status.FAILED if status is Status.FAILED else Status.REJECTED, Code.UPSTREAM
            )
    return status


def _read(slab: Slab, patch: Patch, standing: StandingPatch | None) -> Reading[None]:
    """Reads the sources that choose for themselves, each with those that go with it; a required one refused ends it."""
    choosing = [s for s in slab.sources if s.spec.pick.follows is None]
    stands = {s.name for s in choosing if standing is not None and standing.has(s.name)}
    ahead: list[Read] = []
    for source in (s for s in choosing if s.name not in stands):
        with outcome_of(slab, patch, source):
            ahead += source.chooser.reads(slab, source, patch.location)
    if ahead:
        yield ahead
    for source in choosing:
        chosen: Scene | None = None
        if standing is not None and source.name in stands:
            if (scene := taken(slab, patch, standing, source)) is not None:
                _read_added(slab, patch, source, scene)
        else:
            with outcome_of(slab, patch, source):
                chosen = yield from source.chooser.read(slab, patch, source)
        if chosen is not None:
            _read_following(slab, patch, source, chosen)
        outcome = patch.sources.get(source.name)
        refused = outcome is None or outcome.status is not Status.OK
        if refused and source.is_required_at(patch.location) and slab.season != STATIC:  # of what is static all is told
            return


def _read_added(slab: Slab, patch: Patch, anchor: Source, scene: Scene) -> None:
    """Reads what was added to go with a source's scene, which stands.

    Raises:
        BuiltAnew: one that is required will not do with that scene, and perhaps with another.
    """
    required = [s.name for s in slab.following(anchor) if s.is_required_at(patch.location)]
    try:
        _read_following(slab, patch, anchor, scene)
    except SourceError as err:
        if err.source in required and is_lasting(err.__cause__ or err, slab):
            raise BuiltAnew from err
        raise
    if any(patch.sources[name].status is not Status.OK for name in required):
        raise BuiltAnew


def _read_following(slab: Slab, patch: Patch, anchor: Source, chosen: Scene) -> None:
    """Reads what goes with a source's chosen scene and was not read with it."""
    for source in slab.following(anchor):
        if source.name not in patch.sources:
            with outcome_of(slab, patch, source, [chosen.time]):
                try:
                    source.follower.read_with(slab, patch, source, chosen)
                    source.follower.compare(slab, patch, source)
                except ReadError as err:
                    if source.is_required_at(patch.location) or not is_lasting(err, slab):
                        raise
                    raise Reject(Code.UNREADABLE, cause=one_line(err)) from err
