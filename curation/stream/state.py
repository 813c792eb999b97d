"""How far an epoch has come, and going on from there."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any

import torch

from curation.model import ConfigError

_VERSION = 1
_MOST = 2**63 - 1
"""Of an epoch: what is random follows from it as a whole number of 64 bits."""
_MOST_TOGETHER = 2**31
"""Of ranks, workers, batch, and samples of a step."""
_DEALT = ("steps", "worker", "workers", "ranks", "batch")
_EPOCH, _START, _USED_BY, _CURRENT, _ITERATED = range(5)


class Progress:
    """Epoch and position of one dataset.

    What all workers of it must see lies in shared memory, so that `set_epoch` and `load_state_dict` also reach those that
    a DataLoader keeps from epoch to epoch.
    """

    def __init__(self) -> None:
        self._shared = torch.zeros(5, dtype=torch.int64)
        self._shared.share_memory_()  # type: ignore[no-untyped-call]  # torch leaves it without annotations
        self._iterations = 0
        """So many began in this process."""
        self._steps = 0
        self._begun: tuple[int, int, int] = (0, 0, 1)
        """(start, worker, workers) of the iteration going on in this process."""
        self._skip: tuple[int, dict[str, Any]] | None = None
        """(steps that this very worker has delivered before, how they were dealt)."""

    @property
    def epoch(self) -> int:
        """The epoch that the next iteration delivers."""
        return int(self._shared[_EPOCH])

    @property
    def start(self) -> int:
        """The position at which the next iteration begins."""
        return int(self._shared[_START]) if not self._shared[_USED_BY] else 0

    @property
    def begun(self) -> int:
        """The position at which the iteration that was begun last begins; of the next, where none was."""
        return int(self._shared[_CURRENT]) if self._shared[_USED_BY] else self.start

    def set_epoch(self, epoch: int) -> None:
        """Begins another epoch; the same one again goes on where it was told to."""
        if epoch != self.epoch:
            self._shared[_EPOCH:].zero_()
            self._shared[_EPOCH] = epoch
            self._steps, self._skip, self._begun = 0, None, (0, 0, 1)

    def iteration(self) -> int:
        """What tells the iteration that begins now from others: the same in all its workers, and never 0."""
        self._iterations += 1
        info = torch.utils.data.get_worker_info()
        # DataLoader draws a seed for the workers that it starts; those that it keeps count alike.
        return hash((-1 if info is None else info.seed - info.id, self._iterations)) or 1

    def begin(self, iteration: int, worker: int, workers: int, *, ranks: int, batch: int) -> tuple[int, int]:
        """(position at which the epoch begins, steps of this worker to leave out), for an iteration.

        What was loaded is for the first iteration alone, even where it was left before all its workers began: an epoch that
        is iterated again begins at its beginning, in all of them.

        Raises:
            ConfigError: what was loaded counts the steps of a worker, and they are dealt in another way now.
        """
        used_by = int(self._shared[_USED_BY])
        if not used_by:
            self._shared[_USED_BY] = iteration
        start = int(self._shared[_START]) if used_by in (0, iteration) else 0
        self._shared[_CURRENT] = start
        skip, self._skip = self._skip, None
        dealt = {"worker": worker, "workers": workers, "ranks": ranks, "batch": batch}
        if skip is not None and skip[1] != dealt:  # its steps are other samples then
            was, now = (", ".join(f"{k} = {v}" for k, v in d.items()) for d in (skip[1], dealt))
            raise ConfigError(
                f"state of a worker with {was}, loaded with {now}: expected the same: only the dataset's own state, "
                "state_dict(steps=n), goes on with other workers, ranks and batch sizes: load that"
            )
        self._begun = (start, worker, workers)
        self._steps = skip[0] if skip else 0
        return start, self._steps

    def step(self, together: int, *, in_worker: bool) -> None:
        """Counts what is delivered next."""
        self._steps += 1
        if in_worker:
            self._shared[_ITERATED] = 1

    def state(self, identity: Mapping[str, Any], steps: int | None, *, ranks: int, batch: int) -> dict[str, Any]:
        """The state; a step delivers `batch` positions on each rank."""
        value = {"version": _VERSION, **identity, "epoch": self.epoch}
        info = torch.utils.data.get_worker_info()
        start = self._begun[0]
        if info is not None:
            dealt = {"worker": info.id, "workers": info.num_workers, "ranks": ranks, "batch": batch}
            return value | {"consumed": start, "steps": self._steps, **dealt}
        if steps is None:
            if self._shared[_ITERATED]:
                raise ConfigError(
                    "state_dict(): batches come from workers, and some are still on their way: say how many were used, "
                    "state_dict(steps=n), or use torchdata's StatefulDataLoader"
                )
            steps = self._steps
        _whole("steps", steps, 0, _MOST)
        start = self._begun[0] if not self._shared[_ITERATED] else int(self._shared[_CURRENT])
        together, samples = ranks * batch, int(identity["samples"])
        if steps and start + (steps - 1) * together >= samples:
            most = -(-(samples - start) // together)
            raise ConfigError(f"state_dict(steps={steps}): expected at most {most}, which is all of this epoch")
        return value | {"consumed": start + steps * together, "together": together}

    def load(self, state: Mapping[str, Any]) -> None:
        """Takes up a state that `check_state` let pass."""
        start = min(state["consumed"], state["samples"])  # pads are beyond the end
        self._shared[_EPOCH], self._shared[_START] = state["epoch"], start
        self._shared[_USED_BY:].zero_()
        # A worker's state is asked for before it begins, too, and then it has come as far as it was told.
        self._steps, self._begun = state.get("steps", 0), (start, 0, 1)
        dealt = {k: state.get(k) for k in ("worker", "workers", "ranks", "batch")}
        self._skip = (state["steps"], dealt) if "worker" in state else None


def check_state(state: Mapping[str, Any], identity: Mapping[str, Any]) -> Mapping[str, Any]:
    """The state, where it is of the same dataset, split and order.

    Positions up to the end of the epoch may have been consumed, the end included, and pads beyond it as far as the last step
    reached; what says more is no state of it.

    Raises:
        ConfigError: it is not, both values are given; or it says what no state of the dataset does.
    """
    if not isinstance(state, Mapping):
        raise ConfigError(f"state of {type(state).__name__}, expected what state_dict() gave")
    if not _same(state.get("version"), _VERSION):
        raise ConfigError(
            f"state of version {reprlib.repr(state.get('version'))}, expected {_VERSION}: begin the epoch again"
        )
    for name, expected in identity.items():
        if not _same(state.get(name), expected):
            raise ConfigError(
                f"state of {name} = {_told(state.get(name))}, but this dataset has {expected!r}: it can only go on with the "
                "same dataset, split, seed and order; open it as before, or begin the epoch again"
            )
    of_worker = any(name in state for name in ("worker", "steps"))
    known = {"version", *identity, "epoch", "consumed", *(_DEALT if of_worker else ("together",))}
    if unknown := [name for name in state if name not in known]:
        raise ConfigError(f"state with {reprlib.repr(unknown)}, which this dataset's has not: open it as before")
    samples = int(identity["samples"])
    _whole("epoch", state.get("epoch"), 0, _MOST)
    if not of_worker:
        together = _whole("together", state.get("together", 1), 1, _MOST_TOGETHER)
        _whole("consumed", state.get("consumed"), 0, samples + together - 1)
        return state
    start = _whole("consumed", state.get("consumed"), 0, samples)
    workers = _whole("workers", state.get("workers"), 1, _MOST_TOGETHER)
    _whole("worker", state.get("worker"), 0, workers - 1)
    ranks, batch = (_whole(name, state.get(name), 1, _MOST_TOGETHER) for name in ("ranks", "batch"))
    _whole("steps", state.get("steps"), 0, -(-(samples - start) // (ranks * batch)))
    return state


def _whole(name: str, value: Any, least: int, most: int) -> int:
    """The value, where it is a whole number within these bounds; others come from a foreign or a damaged checkpoint."""
    if type(value) is not int or not least <= value <= most:
        raise ConfigError(
            f"state with {name} = {_told(value)}: expected a whole number from {least} to {most}: "
            "load what state_dict() gave, or begin the epoch again"
        )
    return value


def _same(value: Any, expected: Any) -> bool:
    """Whether they are equal and of one type: a tensor's or an array's own comparison is no yes or no."""
    if type(value) is not type(expected):
        return False
    if isinstance(expected, dict):
        return value.keys() == expected.keys() and all(_same(value[k], v) for k, v in expected.items())
    return bool(value == expected)


def _told(value: Any) -> str:
    """For a person: whole where it is one of a state's plain values."""
    return repr(value) if type(value) is str and len(value) < 200 else reprlib.repr(value)
