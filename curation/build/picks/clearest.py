"""The clearest scene of a season: candidates are walked through, their masks read, the best kept."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from curation.build import clouds
from curation.build.choice import OF_MASK, Refusal, Stage, furthest
from curation.build.context import Patch, Reading, Slab, SourceError, is_lasting, note_passed_over, refuse
from curation.build.offset import evidence, looks
from curation.build.picks.nearest import by_rank, measure_shift, read_nearest
from curation.build.picks.same_acquisition import matching
from curation.build.pixels import read_array, reads_of, valid_fraction
from curation.errors import ReadError
from curation.errors.codes import Code
from curation.model import Location, Scene
from curation.outcomes import Reject, SourceOutcome, Status
from curation.read import radiometry
from curation.read.reader import Read, Reader
from curation.recipe.sources import SourceSpec
from curation.scenes import candidates, rank


def walk(
    slab: Slab, reader: Reader, patch: Patch, anchor: SourceSpec, followers: Sequence[SourceSpec]
) -> Reading[Scene]:
    """The candidate that was chosen for the patch, read; its required followers are read with it.

    Raises:
        Reject: none passes.
    """
    mine = slab.candidates[anchor.name][patch.location.id]
    mine.check()
    for spec in followers:
        its = slab.candidates[spec.name][patch.location.id]
        try:  # what no candidate can mend is told before a mask is read
            its.check()
            rank.of_direction(its.scenes, its.direction)
        except Reject as why:
            refuse(slab, patch, anchor, spec.name, why, candidates.times(mine, slab.excluded))
    return (yield from _Walk(slab, reader, patch, anchor, followers).chosen(mine.groups))


@dataclass(frozen=True, slots=True)
class _Measured:
    """A candidate whose mask is read, and good enough."""

    scene: Scene
    trial: Patch
    """The patch as it would be with it."""
    shares: clouds.Shares


@dataclass(slots=True)
class _Walk:
    """A patch's way through the candidates of the source that is picked by clearness.

    Of a group of equal rank all masks are read, together, and the clearest comes first; a candidate passes where its mask is
    good enough, each required follower has a scene near enough in time with enough valid pixels, and its own bands are good
    enough. What cannot be read, and not for what may pass, is passed over.
    """

    slab: Slab
    reader: Reader
    patch: Patch
    anchor: SourceSpec
    followers: Sequence[SourceSpec]
    masks: int = 0
    """Read so far; one that the recipe excludes counts as if it were."""
    refusals: list[Refusal] = field(default_factory=list)
    hopeless: set[str] = field(default_factory=set)
    """Ids of candidates that no follower could have helped."""
    faults: list[tuple[SourceSpec, ReadError]] = field(default_factory=list)
    """What could not be read, and whose fault that is, the best candidate's first."""
    snowy: list[_Measured] = field(default_factory=list)
    """Mostly snow by their masks: taken only where no other passes."""
    ruled_out: list[tuple[Scene, SourceSpec, Reject]] = field(default_factory=list)
    """Candidates that have no follower near enough, the follower, and what it says."""
    unread: int = 0
    """Candidates that might have passed and were not looked at."""
    is_over: bool = False
    """None passes: masks are read to tell why alone."""

    def chosen(self, groups: Sequence[Sequence[Scene]]) -> Reading[Scene]:
        """The candidate that passes, read. Raises Reject where none does, `SourceError` where that is for a fault."""
        for group in groups:
            measured = yield from self._measured(self._with_partners(group))
            for found in sorted(measured, key=lambda m: -m.shares.clearness):
                if found.shares.mostly_snow:
                    self.snowy.append(found)
                elif (yield from self._passes(found)):
                    return found.scene
        for found in self.snowy:
            if (yield from self._passes(found)):
                return found.scene
        yield from self._ask_ruled_out()
        self._refuse()

    def _with_partners(self, group: Sequence[Scene]) -> list[Scene]:
        """Those of a group that each required follower has a scene for, near enough in time: known without a pixel."""
        found = []
        for scene in group:
            try:
                for spec in self.followers:
                    by_rank(self.slab, self.patch.location, spec, scene)
            except Reject as why:
                if scene.id not in self.slab.excluded:
                    self.ruled_out.append((scene, spec, why))
            else:
                found.append(scene)
        return found

    def _measured(self, scenes: Sequence[Scene]) -> Reading[list[_Measured]]:
        """Those whose masks are good enough, in order. Masks are read as far as the recipe allows, and counted."""
        most = self.slab.dataset.recipe.quality.max_candidates
        found, left = [], list(scenes)
        while left and self.masks < most and len(self.faults) < most:
            batch, left = left[: most - self.masks], left[most - self.masks :]
            wanted = [s for s in batch if s.id not in self.slab.excluded]
            self.masks += len(batch) - len(wanted)
            yield [
                r for s in wanted for r in reads_of(self.slab, self.patch.location, self.anchor, [s], roles=("mask",))
            ]
            for scene in wanted:
                trial = Patch(self.patch.location)
                try:
                    shares = _read_mask(self.slab, self.reader, trial, self.anchor, scene)
                except Reject as why:
                    self.refusals.append(Refusal(OF_MASK[why.code], self.anchor.name, why, trial.facts))
                    self.hopeless.add(scene.id)
                except Exception as err:  # noqa: BLE001 - raised again unless it is the scene's
                    self._pass_over(scene, self.anchor, err)
                    continue
                else:
                    found.append(_Measured(scene, trial, shares))
                self.masks += 1
        self.unread += sum(s.id not in self.slab.excluded for s in left)
        return found

    def _passes(self, found: _Measured) -> Reading[bool]:
        """Whether the candidate passes by its followers and bands, too; the patch then has them."""
        slab, location, anchor = self.slab, self.patch.location, self.anchor
        scene, trial = found.scene, found.trial
        yield [
            *looks(slab, self.reader, anchor, scene),
            *reads_of(slab, location, anchor, [scene], roles=("data", "classes")),
            *_reads_with(slab, location, anchor, scene),
        ]
        stage, blame = Stage.PARTNER_PIXELS, anchor
        try:
            for blame in self.followers:
                read_nearest(slab, self.reader, trial, blame, scene)
            stage, blame = Stage.BANDS, anchor
            _read_bands(slab, self.reader, trial, anchor, scene)
            stage = Stage.SHIFT
            for blame in self.followers:
                measure_shift(slab, trial, blame)
        except Reject as why:
            self.refusals.append(Refusal(stage, blame.name, why, trial.facts))
            self.hopeless |= {scene.id} if stage is Stage.BANDS else set()
            return False
        except Exception as err:  # noqa: BLE001 - raised again unless it is the scene's
            self._pass_over(scene, blame, err)
            return False
        finally:
            for source, scenes in trial.passed_over.items():
                self.patch.passed_over.setdefault(source, {}).update(scenes)
        self.patch.pixels |= trial.pixels
        self.patch.facts = trial.facts
        self.patch.sources |= trial.sources
        return True

    def _pass_over(self, scene: Scene, blame: SourceSpec, err: Exception) -> None:
        """Takes down what could not be read, and goes on. Raises `SourceError` where it may pass, or is no such fault."""
        if not is_lasting(err, self.slab):
            raise SourceError(blame.name) from err
        if not self.is_over:
            note_passed_over(self.slab, self.patch, self.anchor, scene, err)
            self.faults.append((blame, err))

    def _ask_ruled_out(self) -> Reading[None]:
        """Looks whether a follower's gap ruled out a candidate that is good enough by its mask, as far as it may."""
        self.is_over = True
        if self.faults or self.unread or any(r.stage >= Stage.PARTNER for r in self.refusals):
            return
        by_scene = {scene.id: (spec, why) for scene, spec, why in self.ruled_out}
        for found in (yield from self._measured([scene for scene, _, _ in self.ruled_out])):
            spec, why = by_scene[found.scene.id]
            self.refusals.append(Refusal(Stage.PARTNER, spec.name, why, found.trial.facts))
            self.unread = 0  # of those that are left none can pass

    def _refuse(self) -> NoReturn:
        """Tells why none passes: what could not be read, or was not looked at, might have."""
        if self.faults:
            spec, err = self.faults[0]
            raise SourceError(spec.name) from err
        every = self.refusals or [Refusal(Stage.PARTNER, spec.name, why) for _, spec, why in self.ruled_out]
        told = furthest(every) if every else None
        self.patch.facts = told.facts if told else {}
        if self.unread:
            raise Reject(Code.EXHAUSTED, self.unread)
        if told is None:
            raise Reject(Code.EXCLUDED)
        slab, place = self.slab, self.patch.location
        lost = candidates.lost(slab.dataset, slab.candidates, self.anchor.name, place)
        if lost is not None:
            raise lost
        near = candidates.times(slab.candidates[self.anchor.name][place.id], slab.excluded | self.hopeless)
        refuse(slab, self.patch, self.anchor, told.source, told.why, near)


def _read_mask(slab: Slab, reader: Reader, patch: Patch, spec: SourceSpec, scene: Scene) -> clouds.Shares:
    """What the mask of a scene says of the patch. Raises Reject where that is not good enough."""
    name, array = next((n, a) for n, a in slab.dataset.arrays[spec.name].items() if a.role == "mask")
    pixels, _ = read_array(slab, reader, patch.location, spec, array, [scene])
    shares = clouds.shares(pixels, spec, scene.id)
    patch.facts |= {
        f"{spec.name}_clear_fraction": shares.clear,
        f"{spec.name}_doubtful_fraction": shares.doubtful,
        f"{spec.name}_snow_fraction": shares.snow,
        f"{spec.name}_valid_fraction": shares.valid,
        f"{spec.name}_cloud_pct": scene.cloud_pct,
        f"{spec.name}_time": scene.time.timestamp(),
        f"{spec.name}_baseline": scene.baseline or "",
        f"{spec.name}_offset_dn": scene.offset_dn,
    }
    shares.check(slab.dataset.recipe.quality, slab.dataset.min_valid(spec.name))
    patch.pixels[name] = pixels
    return shares


def _read_bands(slab: Slab, reader: Reader, patch: Patch, spec: SourceSpec, scene: Scene) -> None:
    warped = False
    valid = patch.facts[f"{spec.name}_valid_fraction"]
    found = evidence(slab, reader, spec, scene)
    if found is not None:
        patch.facts[f"{spec.name}_offset_evidence"] = found.value
        radiometry.check_offset(found, scene.offset_dn)
    clear = _clear(slab, patch, spec)
    for name, array in slab.dataset.arrays[spec.name].items():
        if array.role == "mask":
            continue
        pixels, was_warped = read_array(slab, reader, patch.location, spec, array, [scene])
        patch.pixels[name] = radiometry.harmonised(pixels, scene.offset_dn, array.nodata)
        if array.unit == radiometry.UNIT:
            radiometry.check_possible(patch.pixels[name], clear, array.nodata)
            patch.pixels[name] = radiometry.measured(patch.pixels[name], array.nodata)
        valid = min(valid, valid_fraction(patch.pixels[name], array))
        warped |= was_warped
    patch.facts |= {f"{spec.name}_valid_fraction": valid, f"{spec.name}_warped": int(warped)}
    if valid < slab.dataset.min_valid(spec.name):
        raise Reject(Code.NODATA, valid)
    patch.sources[spec.name] = SourceOutcome(Status.OK, scenes=(scene.id,))


def _clear(slab: Slab, patch: Patch, spec: SourceSpec) -> NDArray[np.bool_]:
    """(y, x) of the patch's mask: True where it calls the ground seen, snow and what it is unsure of included."""
    name = next(n for n, a in slab.dataset.arrays[spec.name].items() if a.role == "mask")
    found: NDArray[np.bool_] = np.isin(patch.pixels[name][0], [*spec.clear, *spec.doubtful, *spec.snow])
    return found


def _reads_with(slab: Slab, location: Location, anchor: SourceSpec, scene: Scene) -> list[Read]:
    """What will likely be read beside an anchor's scene: the first choice of each source that follows it."""
    found: list[Read] = []
    for spec in (s for s in slab.dataset.sources(slab.season) if s.goes_with == anchor.name):
        with contextlib.suppress(Reject):  # told where it is read
            if spec.pick == "nearest":
                found += reads_of(slab, location, spec, by_rank(slab, location, spec, scene)[:1])
            elif spec.pick == "same-acquisition":
                found += reads_of(slab, location, spec, [matching(slab, location, spec, scene)])
    return found
