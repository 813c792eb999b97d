"""How far an epoch has come, and going on from there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from curation.model import ConfigError

_VERSION = 1
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
        start = self._begun[0] if not self._shared[_ITERATED] else int(self._shared[_CURRENT])
        return value | {"consumed": start + steps * ranks * batch}

    def load(self, state: Mapping[str, Any]) -> None:
        """Takes up a state that `check_state` let pass."""
        self._shared[_EPOCH], self._shared[_START] = state["epoch"], state["consumed"]
        self._shared[_USED_BY:].zero_()
        # A worker's state is asked for before it begins, too, and then it has come as far as it was told.
        self._steps, self._begun = int(state.get("steps", 0)), (int(state["consumed"]), 0, 1)
        dealt = {k: state.get(k) for k in ("worker", "workers", "ranks", "batch")}
        self._skip = (state["steps"], dealt) if "worker" in state else None


def check_state(state: Mapping[str, Any], identity: Mapping[str, Any]) -> Mapping[str, Any]:
    """The state, where it is of the same dataset, split and order.

    Raises:
        ConfigError: it is not; both values are given.
    """
    if state.get("version") != _VERSION:
        raise ConfigError(f"state of version {state.get('version')!r}, expected {_VERSION}: begin the epoch again")
    for name, expected in identity.items():
        if state.get(name) != expected:
            raise ConfigError(
                f"state of {name} = {state.get(name)!r}, but this dataset has {expected!r}: it can only go on with the same "
                "dataset, split, seed and order; open it as before, or begin the epoch again"
            )
    if not (isinstance(state.get("consumed"), int) and state["consumed"] >= 0 and state.get("epoch", -1) >= 0):
        raise ConfigError(
            f"state with consumed = {state.get('consumed')!r}, epoch = {state.get('epoch')!r}: expected ≥ 0"
        )
    return state
