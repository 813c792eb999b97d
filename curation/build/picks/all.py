"""All acquisitions of a season that are good enough, along a time axis."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NoReturn

import numpy as np
from pydantic import Field

from curation.build import masks, offset
from curation.build.choice import Refusal, Stage, furthest, stage_of
from curation.build.context import Patch, Reading, Slab, Source, SourceError, is_lasting, note_passed_over
from curation.build.orbits import ByOrbit
from curation.build.walk import facts_of_mask, numbers_of_mask, read_bands, read_mask
from curation.errors.codes import Code
from curation.model import Location, Scene, Window
from curation.outcomes import Reject, SourceOutcome, Status
from curation.read.reader import Read
from curation.recipe.facts import Fact, Number, step_axis
from curation.recipe.schema import QualitySpec
from curation.recipe.sources import Shift, SourceSpec
from curation.recipe.strict import Fraction
from curation.scenes import rank

MOST_STEPS = 4096
"""Of a patch: ten years of a satellite that passes daily are fewer."""

TOGETHER = 8
"""Acquisitions whose bands are asked for at a time."""


class All(ByOrbit):
    """Each acquisition whose mask is good enough on the patch, once, in order of time: a step each; at most so many.

    Where there are more the clearest are taken; of a source without a mask such as lie evenly in time.
    """

    has_one_scene: ClassVar[bool] = False
    steps: int = Field(gt=0, le=MOST_STEPS)
    """Most acquisitions of a patch: how long the time axis of its arrays is."""
    min_clear: Fraction | None = None
    """Least fraction of clear pixels of each, where it is another than that of [quality]."""

    @property
    def wants_clear(self) -> bool:
        """Of what is cloudy all over nothing is good enough."""
        return True

    @property
    def most_steps(self) -> int:
        """As its table says."""
        return self.steps

    def most_scenes(self, limits: QualitySpec) -> int:
        """A step each."""
        return self.steps

    def check(self, source: SourceSpec) -> None:
        """Passes for rasters of which all is measured anew at each step; with `min_clear` of a source with a mask."""
        if source.kind.whole_orbits:
            raise ValueError("pick = 'all' is for rasters, not for swaths")
        if odd := [
            f.name for f in source.kind.facts(source.name) if f.axis or not f.name.startswith(f"{source.name}_")
        ]:
            raise ValueError(f"pick = 'all' is not for such pixels: {odd[0]} is of a patch, not of a step")
        if source.mask is not None and not source.clear:
            raise ValueError("pick = 'all' wants the 'clear' codes of the mask")
        if source.mask is None and self.min_clear is not None:
            raise ValueError("min_clear wants an array with role 'mask'; leave it out")

    def facts(self, source: SourceSpec, shift: Shift | None) -> list[Fact]:
        """How many there are, and of each what its mask says and where the satellite was."""
        s = source.name
        of_each = [
            *facts_of_mask(source),
            Fact(f"{s}_orbit_state", "string", "ascending or descending; empty where unknown"),
            Fact(f"{s}_relative_orbit", "int16", "number of the orbit within the repeat cycle; -1 where unknown"),
        ]
        return [
            Fact(f"{s}_steps", "int16", "acquisitions that the patch has, in order of time"),
            Fact(f"{s}_left_out", "int16", "acquisitions that were good enough, and more than the recipe wants"),
            Fact(f"{s}_refused", "int16", "acquisitions that were not good enough, or could not be read"),
            *(f.at_steps(step_axis(s), self.steps) for f in of_each),
        ]

    def measured(self, source: str, limits: QualitySpec) -> list[Number]:
        """How many there are, and what masks say of them."""
        return [
            Number(f"acquisitions, at most {self.steps}", f"{source}_steps"),
            Number("acquisitions left out, good enough", f"{source}_left_out"),
            *numbers_of_mask(source, self._limits(limits)),
        ]

    def offered(self, scenes: Sequence[Scene]) -> list[Scene]:
        """The newest of each acquisition."""
        return rank.newest(scenes)

    def of_place(self, scenes: Sequence[Scene], place: Location) -> list[Scene]:
        """Those that cover it, of its orbit."""
        return self.of_orbit(rank.covering(scenes, place))

    def ranked(self, scenes: Sequence[Scene], place: Location, window: Window) -> list[list[Scene]]:
        """A group per acquisition, in order of time."""
        return rank.in_acquisitions(scenes, place)

    def reads(self, slab: Slab, source: Source, place: Location) -> list[Read]:
        """Nothing for sure: masks decide."""
        return []

    def read(self, slab: Slab, patch: Patch, source: Source) -> Reading[Scene | None]:
        """All that are good enough; none that another source may go with.

        Raises:
            Reject: none is, or an item that may be one could not be read, and the recipe takes none for that.
            SourceError: one could not be read, and that may pass; or none is good enough, and one could not be read.
        """
        mine = source.found[patch.location.id]
        mine.check()
        groups = [left for group in mine.groups if (left := [s for s in group if s.id not in slab.excluded])]
        if not groups:
            raise Reject(Code.EXCLUDED)
        if slab.quality.unreadable == "fail" and (lost := mine.lost(lambda _: True)) is not None:
            raise lost
        for item in mine.unread:
            patch.passed_over.setdefault(source.name, {})[item.id] = item.reason
        its = dataclasses.replace(slab, quality=self._limits(slab.quality))
        yield from _Series(its, patch, source, self.steps).read(groups)
        return None

    def _limits(self, limits: QualitySpec) -> QualitySpec:
        """The recipe's, with its own."""
        return limits if self.min_clear is None else limits.model_copy(update={"min_clear": self.min_clear})


@dataclass(frozen=True, slots=True)
class _Passing:
    """A scene that is good enough by its mask; or has none, which is as clear as any other."""

    scene: Scene
    trial: Patch
    """What is known of the patch with it."""
    clearness: float
    others: list[Scene]
    """Of the same acquisition, should its bands not be good enough."""


@dataclass(frozen=True, slots=True)
class _Step:
    """A scene that was read: its pixels are encoded by now."""

    scene: Scene
    facts: dict[str, Any]
    chunks: dict[str, bytes]


@dataclass(slots=True)
class _Series:
    """A patch's way through all acquisitions: masks of all, then bands of those that are taken, one decoded at a time."""

    slab: Slab
    patch: Patch
    source: Source
    most: int
    taken: list[_Step] = field(default_factory=list)
    left_out: int = 0
    refusals: list[Refusal] = field(default_factory=list)
    faults: list[BaseException] = field(default_factory=list)

    def read(self, groups: Sequence[list[Scene]]) -> Reading[None]:
        """Reads into the patch; of each group, which is of one acquisition, the first scene that is good enough."""
        left = list(groups)
        while left and len(self.taken) < self.most:
            passing: list[_Passing] = []
            while left:
                more, left = yield from self._passing(left)
                passing += more
            left = yield from self._read_first(self._in_order(passing), self.most - len(self.taken))
        if not self.taken:
            self._refuse()
        steps = sorted(self.taken, key=lambda s: (s.scene.time, s.scene.id))
        self.patch.packed |= {name: [s.chunks[name] for s in steps] for name in self.source.arrays}
        facts = dict.fromkeys(name for s in steps for name in s.facts)
        self.patch.facts |= {name: [s.facts.get(name) for s in steps] for name in facts}
        refused = len(groups) - len(steps) - self.left_out
        self.patch.note(self.source, steps=len(steps), left_out=self.left_out, refused=refused)
        self.patch.sources[self.source.name] = SourceOutcome(Status.OK, scenes=tuple(s.scene.id for s in steps))

    def _passing(self, groups: Sequence[list[Scene]]) -> Reading[tuple[list[_Passing], list[list[Scene]]]]:
        """The first scenes of groups, as far as they are good enough by their masks, and what is left of the others."""
        slab, source, place = self.slab, self.source, self.patch.location
        yield [r for group in groups for r in masks.reads(source, place, group[:1])]
        passing, left = [], []
        for scene, *others in groups:
            trial = Patch(place)
            try:
                clearness = read_mask(slab, trial, source, scene).clearness
            except Reject as why:
                self.refusals.append(Refusal(stage_of(why), source.name, why))
            except Exception as err:  # noqa: BLE001 - raised again unless it is the scene's
                self._pass_over(scene, err)
            else:
                passing.append(_Passing(scene, trial, clearness, others))
                continue
            left += [others] if others else []
        return passing, left

    def _in_order(self, passing: Sequence[_Passing]) -> list[_Passing]:
        """Who is taken first: the clearest; without masks such as lie evenly in time, and then the others."""
        in_time = sorted(passing, key=lambda p: (p.scene.time, p.scene.id))
        if self.source.spec.mask is not None:
            return sorted(in_time, key=lambda p: -p.clearness)
        even = np.linspace(0, len(in_time) - 1, min(self.most, len(in_time))).round().astype(int)
        others = np.setdiff1d(np.arange(len(in_time)), even)
        return [in_time[n] for n in (*even.tolist(), *others.tolist())]

    def _read_first(self, order: Sequence[_Passing], wanted: int) -> Reading[list[list[Scene]]]:
        """Takes as many as are wanted; gives what is left of acquisitions whose scene was not good enough.

        Those that are wanted first are read in order of time, as the patches beside read theirs: of the same files.
        """
        first = sorted(order[:wanted], key=lambda p: (p.scene.time, p.scene.id))
        order = [*first, *order[wanted:]]
        left: list[list[Scene]] = []
        at = 0
        while at < len(order) and len(self.taken) < self.most:
            batch = order[at : at + min(TOGETHER, self.most - len(self.taken))]
            at += len(batch)
            yield [read for its in batch for read in self._reads(its.scene)]
            for its in batch:
                try:
                    self.taken.append(self._step(its))
                except Reject as why:
                    self.refusals.append(Refusal(Stage.BANDS, self.source.name, why))
                except Exception as err:  # noqa: BLE001 - as above
                    self._pass_over(its.scene, err)
                else:
                    continue
                left += [its.others] if its.others else []
        self.left_out = len(order) - at
        return left

    def _reads(self, scene: Scene) -> list[Read]:
        slab, source, place = self.slab, self.source, self.patch.location
        return [*offset.looks(slab, source, scene), *source.files.reads(source, place, [scene], "bands")]

    def _step(self, its: _Passing) -> _Step:
        """Reads the bands of a scene, and encodes all of it."""
        slab, source, scene, trial = self.slab, self.source, its.scene, its.trial
        read_bands(slab, trial, source, scene)
        orbit = -1 if scene.relative_orbit is None else scene.relative_orbit
        trial.note(source, orbit_state=scene.orbit_state or "", relative_orbit=orbit)
        chunks = {name: slab.encode(name, trial.pixels.pop(name)) for name in source.arrays}
        return _Step(scene, trial.facts, chunks)

    def _pass_over(self, scene: Scene, err: BaseException) -> None:
        """Takes down what could not be read, and goes on. Raises `SourceError` where it may pass, or is no such fault."""
        if not is_lasting(err, self.slab):
            raise SourceError(self.source.name) from err
        note_passed_over(self.slab, self.patch, self.source, scene, err)
        self.faults.append(err)

    def _refuse(self) -> NoReturn:
        """Tells why none is good enough: what could not be read might have been."""
        if self.faults:
            raise SourceError(self.source.name) from self.faults[0]
        raise furthest(self.refusals).why
