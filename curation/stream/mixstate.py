"""How far an epoch of a mix has come, as a checkpoint has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from curation.errors import ConfigError
from curation.stream import mixing
from curation.stream.mixing import Course
from curation.stream.parts import OpenPart
from curation.stream.plan import Remainder
from curation.stream.state import DEALT, MOST, MOST_TOGETHER, VERSION, Reached, check_known, dealing, whole


@dataclass(frozen=True, slots=True)
class MixIdentity:
    """What the order of a mix follows from, and what its states say and must say."""

    parts: tuple[OpenPart, ...]
    drawn: Mapping[str, Any]
    """How parts are drawn: weights, temperature, and so on, as they were asked for."""

    @property
    def batch_sizes(self) -> dict[str, int]:
        """By part, of each rank."""
        return {part.name: part.batch_size for part in self.parts}

    def courses(self, world_size: int) -> list[Course]:
        """The parts in an epoch of so many ranks."""
        return [Course(p.dataset.order.seed, p.samples, p.rate, p.batch_size * world_size) for p in self.parts]

    def values(self) -> dict[str, Any]:
        """What must be the same for an epoch to be gone on with."""
        return {**self.drawn, "parts": {p.name: {**p.dataset.identity(), "samples": p.samples} for p in self.parts}}

    def state(self, reached: Reached, world_size: int, remainder: Remainder) -> dict[str, Any]:
        """The state.

        Raises:
            ConfigError: the epoch has not so many steps.
        """
        value = {"version": VERSION, **self.values(), "epoch": reached.epoch}
        if (dealt := dealing(world_size, self.batch_sizes)) is not None:
            return value | {"consumed": self._named(reached.start), "steps": reached.steps, **dealt}
        courses = self.courses(world_size)
        consumed = mixing.consumed(courses, reached.start, reached.steps, epoch=reached.epoch, remainder=remainder)
        return value | {
            "consumed": self._named(consumed),
            "together": self._named([course.together for course in courses]),
        }

    def _named(self, numbers: Any) -> dict[str, int]:
        return {part.name: number for part, number in zip(self.parts, numbers, strict=True)}

    def reached(self, state: Any) -> Reached:
        """Where a state stands.

        Raises:
            ConfigError: it is of another mix, both values are given; or it says what no state of this one does.
        """
        of_worker = isinstance(state, Mapping) and any(name in state for name in ("worker", "steps"))
        own = ("epoch", "consumed", *(DEALT if of_worker else ("together",)))
        check_known(state, self.values(), own, "mix")
        whole("epoch", state.get("epoch"), 0, MOST)
        if not of_worker:
            together = self._whole(state, "together", dict.fromkeys(self.batch_sizes, MOST_TOGETHER), least=1)
            most = {p.name: p.samples + together[p.name] - 1 for p in self.parts}
            consumed = self._whole(state, "consumed", most)
            return Reached(state["epoch"], tuple(min(consumed[p.name], p.samples) for p in self.parts), 0)
        workers = whole("workers", state.get("workers"), 1, MOST_TOGETHER)
        whole("worker", state.get("worker"), 0, workers - 1)
        ranks = whole("ranks", state.get("ranks"), 1, MOST_TOGETHER)
        sizes = self._whole(state, "batch", dict.fromkeys(self.batch_sizes, MOST_TOGETHER), least=1)
        start = self._whole(state, "consumed", {p.name: p.samples for p in self.parts})
        most_steps = sum(-(-(p.samples - start[p.name]) // (ranks * sizes[p.name])) for p in self.parts)
        steps = whole("steps", state.get("steps"), 0, most_steps)
        return Reached(state["epoch"], tuple(start[p.name] for p in self.parts), steps)

    def _whole(self, state: Mapping[str, Any], name: str, most: Mapping[str, int], least: int = 0) -> dict[str, int]:
        """A number of each part, where each lies within its bounds."""
        value = state.get(name)
        if type(value) is not dict or value.keys() != most.keys():
            raise ConfigError(
                f"state with {name} of no or other parts: expected a number of each of {list(most)}: load what "
                "state_dict() gave, or begin the epoch again"
            )
        return {part: whole(f"{name} of {part}", value[part], least, bound) for part, bound in most.items()}
