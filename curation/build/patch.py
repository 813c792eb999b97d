"""One patch: its sources in order, each by its pick."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence

from curation.build.context import Patch, Reading, Slab, Source, SourceError, is_lasting, outcome_of
from curation.errors import ReadError, StorageError, code_of
from curation.errors.causes import one_line
from curation.errors.codes import Code
from curation.model import STATIC, Location, Scene
from curation.outcomes import PatchOutcome, Reject, SourceOutcome, Status
from curation.read.reader import Read

log = logging.getLogger(__name__)


def build_patch(slab: Slab, location: Location) -> Reading[tuple[Patch, PatchOutcome]]:
    """A patch's pixels, facts and outcome. Pixels are kept only where the patch is ok."""
    patch = Patch(location)
    try:
        yield from _read(slab, patch)
    except SourceError as err:
        cause = err.__cause__ or err
        if isinstance(cause, StorageError):  # no fault of the scene, nor of its server
            raise cause from None
        patch.sources[err.source] = SourceOutcome(Status.FAILED, code_of(cause), cause=one_line(cause))
        log.warning("%s/%s/%s: %s failed: %s", slab.folder, slab.season, location.id, err.source, one_line(cause))
    status = _patch_status(patch, {s.name for s in slab.sources if s.is_required}, [s.name for s in slab.sources])
    for name, causes in patch.passed_over.items():
        passed_over = tuple(causes.items())
        patch.sources[name] = dataclasses.replace(patch.sources[name], passed_over=passed_over)
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


def _read(slab: Slab, patch: Patch) -> Reading[None]:
    """Reads the sources that choose for themselves, each with those that go with it; a required one refused ends it."""
    choosing = [s for s in slab.sources if s.spec.pick.follows is None]
    ahead: list[Read] = []
    for source in choosing:
        with outcome_of(slab, patch, source):
            ahead += source.chooser.reads(slab, source, patch.location)
    if ahead:
        yield ahead
    for source in choosing:
        chosen: Scene | None = None
        with outcome_of(slab, patch, source):
            chosen = yield from source.chooser.read(slab, patch, source)
        if chosen is not None:
            _read_following(slab, patch, source, chosen)
        outcome = patch.sources.get(source.name)
        refused = outcome is None or outcome.status is not Status.OK
        if refused and source.is_required and slab.season != STATIC:  # of what is static all is told
            return


def _read_following(slab: Slab, patch: Patch, anchor: Source, chosen: Scene) -> None:
    """Reads what goes with a source's chosen scene and was not read with it."""
    for source in slab.following(anchor):
        if source.name not in patch.sources:
            with outcome_of(slab, patch, source, [chosen.time]):
                try:
                    source.follower.read_with(slab, patch, source, chosen)
                    source.follower.compare(slab, patch, source)
                except ReadError as err:
                    if source.is_required or not is_lasting(err, slab):
                        raise
                    raise Reject(Code.UNREADABLE, cause=one_line(err)) from err
