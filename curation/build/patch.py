"""One patch: its sources in order, each by its pick."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence

from curation.build.context import Patch, Reading, Slab, SourceError, outcome_of
from curation.build.picks.clearest import walk
from curation.build.picks.mean import read_mean
from curation.build.picks.mosaic import read_mosaic
from curation.build.picks.nearest import measure_shift, read_nearest
from curation.build.picks.same_acquisition import read_matched
from curation.build.pixels import reads_of
from curation.errors import StorageError, code_of
from curation.errors.causes import one_line
from curation.errors.codes import Code
from curation.model import STATIC, Location, Scene
from curation.outcomes import PatchOutcome, SourceOutcome, Status
from curation.read.reader import Read, Reader
from curation.recipe.sources import SourceSpec

log = logging.getLogger(__name__)


def build_patch(slab: Slab, reader: Reader, location: Location) -> Reading[tuple[Patch, PatchOutcome]]:
    """A patch's pixels, facts and outcome. Pixels are kept only where the patch is ok."""
    patch = Patch(location)
    required = {n for n, use in slab.dataset.recipe.sources.items() if use.required}
    try:
        if slab.season == STATIC:
            specs = slab.dataset.sources(STATIC)
            reads: list[Read] = []
            for spec in specs:
                with outcome_of(slab, patch, spec):
                    scenes = slab.candidates[spec.name][location.id].scenes
                    reads += reads_of(slab, location, spec, [s for s in scenes if s.id not in slab.excluded])
            yield reads
            for spec in specs:
                with outcome_of(slab, patch, spec):
                    read_mosaic(slab, reader, patch, spec)
        else:
            yield from _build_seasonal(slab, reader, patch, required)
    except SourceError as err:
        cause = err.__cause__ or err
        if isinstance(cause, StorageError):  # no fault of the scene, nor of its server
            raise cause from None
        patch.sources[err.source] = SourceOutcome(Status.FAILED, code_of(cause), cause=one_line(cause))
        log.warning("%s/%s/%s: %s failed: %s", slab.folder, slab.season, location.id, err.source, one_line(cause))
    status = _patch_status(patch, required, [s.name for s in slab.dataset.sources(slab.season)])
    for name, causes in patch.passed_over.items():
        told = tuple(causes.items())
        patch.sources[name] = dataclasses.replace(patch.sources[name], passed_over=told)
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


def _build_seasonal(slab: Slab, reader: Reader, patch: Patch, required: set[str]) -> Reading[None]:
    """Reads the sources that choose for themselves, each with those that go with it; a required one refused ends it."""
    for spec in slab.dataset.sources(slab.season):
        if spec.pick == "mean":
            with outcome_of(slab, patch, spec):
                read_mean(slab, patch, spec)
        elif spec.goes_with is None:
            yield from _build_chosen(slab, reader, patch, spec, required)
        outcome = patch.sources.get(spec.name)
        if spec.goes_with is None and spec.name in required and (outcome is None or outcome.status is not Status.OK):
            return


def _build_chosen(slab: Slab, reader: Reader, patch: Patch, anchor: SourceSpec, required: set[str]) -> Reading[None]:
    """Reads a source that is picked by clearness, and those that go with it."""
    with_it = [s for s in slab.dataset.sources(slab.season) if s.goes_with == anchor.name]
    followers = [s for s in with_it if s.pick == "nearest"]
    matched = [s for s in with_it if s.pick == "same-acquisition"]
    chosen: Scene | None = None
    with outcome_of(slab, patch, anchor):
        chosen = yield from walk(slab, reader, patch, anchor, [f for f in followers if f.name in required])
    if chosen is None:
        return
    for spec in followers:
        if spec.name not in patch.sources:
            with outcome_of(slab, patch, spec, [chosen.time]):
                read_nearest(slab, reader, patch, spec, chosen)
                measure_shift(slab, patch, spec)
    for spec in matched:
        with outcome_of(slab, patch, spec, [chosen.time]):
            read_matched(slab, reader, patch, spec, chosen)
