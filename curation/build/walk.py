"""One scene of a season: candidates are walked through, their masks read first, and the first that is good enough stays."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
from pydantic import Field

from curation.build import clouds, masks, offset
from curation.build.choice import Refusal, Stage, furthest, stage_of
from curation.build.context import (
    Patch,
    Pixels,
    Reading,
    Slab,
    Source,
    SourceError,
    is_lasting,
    lost,
    note_passed_over,
    outcome_of,
    refuse,
)
from curation.build.orbits import ByOrbit
from curation.build.pixels import valid_fraction
from curation.errors import ReadError
from curation.errors.codes import Code
from curation.model import Location, Scene
from curation.outcomes import Reject
from curation.read.reader import Read
from curation.recipe.facts import Fact, Number
from curation.recipe.schema import QualitySpec
from curation.recipe.sources import Shift, SourceSpec
from curation.scenes import candidates, rank


class OneScene(ByOrbit):
    """A scene that is good enough on the patch, the first in the order that the pick's own file says.

    Of a source without a mask that is one with enough valid pixels.
    """

    @property
    def wants_clear(self) -> bool:
        """Where it chooses by itself."""
        return self.follows is None

    def facts(self, source: SourceSpec, shift: Shift | None) -> list[Fact]:
        """What the mask says, and what the scene says of itself."""
        return [*facts_of_mask(source), *self.orbit_facts(source.name)]

    def measured(self, source: str, limits: QualitySpec) -> list[Number]:
        """What the mask says."""
        return numbers_of_mask(source, limits)

    def offered(self, scenes: Sequence[Scene]) -> list[Scene]:
        """The newest of each acquisition."""
        return rank.newest(scenes)

    def of_place(self, scenes: Sequence[Scene], place: Location) -> list[Scene]:
        """Those that cover it, of its orbit."""
        return self.of_orbit(rank.covering(scenes, place))

    def reads(self, slab: Slab, source: Source, place: Location) -> list[Read]:
        """Nothing for sure: masks decide, or which scene has enough valid pixels."""
        return []

    def read(self, slab: Slab, patch: Patch, source: Source) -> Reading[Scene | None]:
        """The candidate that was chosen for the patch; its required followers are read with it."""
        mine = source.found[patch.location.id]
        mine.check()
        followers = [s for s in slab.following(source) if s.is_required_at(patch.location) and s.spec.pick.tried]
        for its in followers:
            try:  # what no candidate can mend is told before a mask is read
                its.follower.check_any(its, patch.location)
            except Reject as why:
                refuse(slab, patch, source, its, why, candidates.times(mine, slab.excluded))
        scene = yield from _Walk(slab, patch, source, followers, self.counted).chosen(mine.groups)
        patch.note(source, **self.orbit_noted(scene))
        return scene


class InTime(OneScene):
    """By time alone, in order from the season's anchor.

    Of a season around dates of places the anchor is of each place's own date, by `anchor_day`.
    """

    nth: int = Field(default=1, ge=1, le=100, exclude_if=lambda value: value == 1)
    """Which of those that are good enough, counted from the anchor: 2 is the next one after the first, of another
    acquisition, so that it is never the scene that another use of the source, without the key, takes: a recipe where it
    might be, since that one asks for more, is refused (`recipe/counting.py`)."""

    @property
    def counted(self) -> int:
        """As the recipe says."""
        return self.nth

    @property
    def conditions(self) -> dict[str, Any]:
        """All its keys but that."""
        return self.model_dump(exclude={"nth"})


def facts_of_mask(source: SourceSpec) -> list[Fact]:
    """What the mask of a scene says of a patch, and what the scene says of itself; nothing of a source without one."""
    if source.mask is None:
        return []
    s, share = source.name, "share of the patch's pixels"
    return [
        Fact(
            f"{s}_clear_fraction", "float32", f"{share} that are neither cloud, shadow nor invalid by the mask, 0 to 1"
        ),
        Fact(f"{s}_doubtful_fraction", "float32", f"{share} of which the mask is unsure, 0 to 1"),
        Fact(f"{s}_snow_fraction", "float32", f"{share} that the mask calls snow, 0 to 1"),
        Fact(f"{s}_cloud_pct", "float32", "cloud cover of the whole scene, percent"),
        *masks.facts(source),
        *offset.facts(s),
    ]


def numbers_of_mask(source: str, limits: QualitySpec) -> list[Number]:
    """What of that the report says of a dataset."""
    out = [Number(f"clear %, at least {100 * limits.min_clear:g}", f"{source}_clear_fraction", 100)]
    for name, most in (("snow", limits.max_snow), ("doubtful", limits.max_doubtful)):
        title = f"{name} %, at most {100 * most:g} (counts as clear)"
        out.append(Number(title, f"{source}_{name}_fraction", 100))
    return out


@dataclass(frozen=True, slots=True)
class _Measured:
    """A candidate whose mask is read, and good enough."""

    scene: Scene
    trial: Patch
    """The patch as it would be with it."""
    shares: clouds.Shares


@dataclass(slots=True)
class _Walk:
    """A patch's way through the candidates of a source that one scene is taken of.

    Of a group of equal rank all masks are read, together, and the clearest comes first; a candidate passes where its mask is
    good enough, each required follower has a scene near enough in time with enough valid pixels, and its own bands are good
    enough. What cannot be read, and not for what may pass, is passed over, and so is a candidate whose required followers of
    the same acquisition cannot.
    """

    slab: Slab
    patch: Patch
    anchor: Source
    followers: Sequence[Source]
    nth: int
    """Which of those that pass is wanted, counted from 1."""
    before: list[Scene] = field(default_factory=list)
    """Those that pass and come before it, each of another acquisition."""
    masks: int = 0
    """Read so far; one that the recipe excludes counts as if it were."""
    refusals: list[Refusal] = field(default_factory=list)
    hopeless: set[str] = field(default_factory=set)
    """Ids of candidates that no follower could have helped."""
    faults: list[tuple[Source, ReadError]] = field(default_factory=list)
    """What could not be read, and whose fault that is, the best candidate's first."""
    snowy: list[_Measured] = field(default_factory=list)
    """Mostly snow by their masks: taken only where no other passes."""
    ruled_out: list[tuple[Scene, Source, Reject]] = field(default_factory=list)
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
                for its in self.followers:
                    its.follower.partners(self.slab, its, self.patch.location, scene)
            except Reject as why:
                if scene.id not in self.slab.excluded:
                    self.ruled_out.append((scene, its, why))
            else:
                found.append(scene)
        return found

    def _measured(self, scenes: Sequence[Scene]) -> Reading[list[_Measured]]:
        """Those whose masks are good enough, in order. Masks are read as far as the recipe allows, and counted."""
        most = self.slab.quality.max_candidates
        found, left = [], list(scenes)
        while left and self.masks < most and len(self.faults) < most:
            batch, left = left[: most - self.masks], left[most - self.masks :]
            wanted = [s for s in batch if s.id not in self.slab.excluded]
            likely = [] if self.masks or self.is_over else self._likely(wanted)
            self.masks += len(batch) - len(wanted)
            yield [r for s in wanted for r in masks.reads(self.anchor, self.patch.location, [s])] + likely
            for scene in wanted:
                trial = Patch(self.patch.location)
                try:
                    shares = read_mask(self.slab, trial, self.anchor, scene)
                except Reject as why:
                    self.refusals.append(Refusal(stage_of(why), self.anchor.name, why, trial.facts))
                    self.hopeless.add(scene.id)
                except Exception as err:  # noqa: BLE001 - raised again unless it is the scene's
                    self._pass_over(scene, self.anchor, err)
                    continue
                else:
                    found.append(_Measured(scene, trial, shares))
                self.masks += 1
        self.unread += sum(s.id not in self.slab.excluded for s in left)
        return found

    def _likely(self, scenes: Sequence[Scene]) -> list[Read]:
        """What will likely be read once the first masks are: of a candidate that has no equal, and of the fewest clouds.

        What is asked for in vain is heads of one scene's files, once for all patches of a slab that it is the first for.
        """
        if len(scenes) != 1 or (cloud_pct := scenes[0].cloud_pct) is None or cloud_pct >= rank.CLOUD_STEP_PCT:
            return []
        return [read._replace(is_likely=True) for read in self._reads_of(scenes[0])]

    def _reads_of(self, scene: Scene) -> list[Read]:
        """What trying a candidate whose mask is read will read."""
        slab, location, anchor = self.slab, self.patch.location, self.anchor
        return [
            *offset.looks(slab, anchor, scene),
            *anchor.files.reads(anchor, location, [scene], "bands"),
            *_reads_with(slab, location, anchor, scene),
        ]

    def _passes(self, found: _Measured) -> Reading[bool]:
        """Whether the candidate passes by its followers and bands, too, and is the one wanted; the patch then has them."""
        slab, anchor = self.slab, self.anchor
        scene, trial = found.scene, found.trial
        if any(rank.at_once(scene, other) for other in self.before):
            return False
        yield self._reads_of(scene)
        stage, blame = Stage.PARTNER_PIXELS, anchor
        try:
            for blame in self.followers:
                blame.follower.read_with(slab, trial, blame, scene)
            stage, blame = Stage.BANDS, anchor
            read_bands(slab, trial, anchor, scene)
            stage = Stage.SHIFT
            for blame in self.followers:
                blame.follower.compare(slab, trial, blame)
            self._read_beside(trial, scene)
        except SourceError as err:
            self._pass_over(scene, next(s for s in slab.sources if s.name == err.source), err.__cause__ or err)
            return False
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
        if len(self.before) + 1 < self.nth:
            self.before.append(scene)
            return False
        self.patch.pixels |= trial.pixels
        self.patch.facts |= trial.facts
        self.patch.sources |= trial.sources
        return True

    def _read_beside(self, trial: Patch, scene: Scene) -> None:
        """Reads what goes with this very candidate and is required. Refused it stays refused, whatever another has.

        Raises:
            SourceError: it cannot be read; that of another candidate perhaps can.
        """
        for its in self.slab.following(self.anchor):
            if its.is_required_at(self.patch.location) and not its.spec.pick.tried:
                with outcome_of(self.slab, trial, its, [scene.time]):
                    its.follower.read_with(self.slab, trial, its, scene)
                    its.follower.compare(self.slab, trial, its)

    def _pass_over(self, scene: Scene, blame: Source, err: BaseException) -> None:
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
        by_scene = {scene.id: (its, why) for scene, its, why in self.ruled_out}
        for found in (yield from self._measured([scene for scene, _, _ in self.ruled_out])):
            its, why = by_scene[found.scene.id]
            self.refusals.append(Refusal(Stage.PARTNER, its.name, why, found.trial.facts))
        self.unread = 0  # of those that are left none can pass

    def _refuse(self) -> NoReturn:
        """Tells why none passes: what could not be read, or was not looked at, might have."""
        if self.faults:
            its, err = self.faults[0]
            raise SourceError(its.name) from err
        every = self.refusals or [Refusal(Stage.PARTNER, its.name, why) for _, its, why in self.ruled_out]
        nearest = furthest(every) if every else None
        self.patch.facts |= nearest.facts if nearest else {}
        if self.unread:
            raise Reject(Code.EXHAUSTED, self.unread)
        if nearest is None and not self.before:
            raise Reject(Code.EXCLUDED)
        slab, anchor, place = self.slab, self.anchor, self.patch.location
        unread = lost(slab, anchor, place)
        if unread is not None:
            raise unread
        if nearest is None or self.before:
            raise Reject(Code.TOO_FEW, len(self.before))
        near = candidates.times(anchor.found[place.id], slab.excluded | self.hopeless)
        blamed = next(s for s in (anchor, *self.followers) if s.name == nearest.source)
        refuse(slab, self.patch, anchor, blamed, nearest.why, near)


def read_mask(slab: Slab, patch: Patch, source: Source, scene: Scene) -> clouds.Shares:
    """What the mask of a scene says of the patch: nothing against it, of one without.

    Raises Reject where that is not good enough.
    """
    if source.spec.mask is None:
        patch.note(source, valid_fraction=1.0, time=scene.time.timestamp())
        return clouds.UNMASKED
    made = masks.read(slab, source, patch.location, [scene])
    shares = clouds.shares(made.pixels, source.spec, scene.id)
    patch.note(
        source,
        clear_fraction=shares.clear,
        doubtful_fraction=shares.doubtful,
        snow_fraction=shares.snow,
        valid_fraction=shares.valid,
        cloud_pct=scene.cloud_pct,
        time=scene.time.timestamp(),
        baseline=scene.baseline or "",
        offset_dn=scene.offset_dn,
        **made.compared,
    )
    shares.check(slab.quality, source.min_valid)
    patch.pixels[source.mask] = made.pixels
    return shares


def read_bands(slab: Slab, patch: Patch, source: Source, scene: Scene) -> None:
    """Reads the bands of a scene into a patch that has its mask. Raises Reject where they are not good enough."""
    warped = False
    pixels: Pixels = {n: patch.pixels[n] for n, a in source.arrays.items() if a.is_mask}
    valid = patch.facts[f"{source.name}_valid_fraction"]
    offset.check(slab, patch, source, scene)
    clear = clouds.clear(pixels[source.mask][0], source.spec) if pixels else np.ones((1, 1), bool)
    for name, array in source.arrays.items():
        if array.is_mask:
            continue
        read, was_warped = source.files.pixels(slab, source, patch.location, name, [scene])
        pixels[name] = offset.harmonised(source, patch.location, name, read, scene, clear)
        valid = min(valid, valid_fraction(pixels[name], array))
        warped |= was_warped
    patch.note(source, valid_fraction=valid, warped=int(warped))
    if valid < source.min_valid:
        raise Reject(Code.NODATA, valid)
    patch.take(source, pixels, [scene])


def _reads_with(slab: Slab, location: Location, anchor: Source, scene: Scene) -> list[Read]:
    """What will likely be read beside an anchor's scene: the first choice of each source that follows it."""
    found: list[Read] = []
    for its in slab.following(anchor):
        with contextlib.suppress(Reject):  # told where it is read
            found += its.files.reads(its, location, its.follower.partners(slab, its, location, scene)[:1])
    return found
