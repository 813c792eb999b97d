"""How far an epoch has come, and going on from there."""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import reprlib
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.reduction import DupFd, ForkingPickler
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from curation.errors import ConfigError
from curation.store.afterwards import Leavings
from curation.store.local import memory

VERSION = 1
MOST = 2**63 - 2
"""Of an epoch: what is random follows from it, and from the one after it, as from a whole number of 64 bits, signed."""
MOST_TOGETHER = 2**31
"""Of ranks, workers, batch, and samples of a step."""
DEALT = ("steps", "worker", "workers", "ranks", "batch")
_EPOCH, _IS_SET, _BEGUN, _START = range(4)
"""Where these numbers stand in the shared ones; from `_START` on there is one of each part."""
_ITERATIONS = 64
"""Iterations that are remembered: more than workers of one dataset that are still on their way to one."""


class _Begun(NamedTuple):
    """An iteration, as all its workers know it."""

    seed: int
    """What tells a set of workers from others, unless torch was seeded alike for both; −1 without workers."""
    number: int
    """Of the iteration, among those of the same workers; from 1."""
    epoch: int
    workers: int
    """0 where the process that iterates reads itself."""
    joined: int
    """How many of them have begun it. Once all have, whoever comes with the same seed and number begins another."""
    start: tuple[int, ...]
    """Position of each part at which it began."""

    @classmethod
    def of(cls, row: Sequence[int]) -> _Begun:
        """As `row` has it."""
        (seed, number, epoch, workers, joined), start = row[:5], row[5:]
        return cls(seed, number, epoch, workers, joined, tuple(start))

    @property
    def row(self) -> list[int]:
        """All of it as numbers."""
        return [*self[:-1], *self.start]


class Reached(NamedTuple):
    """Where an iteration stands."""

    epoch: int
    start: tuple[int, ...]
    """Position of each part at which it began."""
    steps: int
    """So many were delivered since: in a worker by that one."""


class _Shared:
    """Numbers that a process and its DataLoader's workers see: int64, changed under a lock that dies with its holder.

    Pickled for a worker that is being made, it is the same memory there; pickled otherwise, and copied, it has its own.
    """

    def __init__(self, parts: int, handle: int | None = None) -> None:
        self.owner = os.getpid()
        self.parts = parts
        own, row = _START + parts, len(_Begun._fields) - 1 + parts
        size = 8 * (own + _ITERATIONS * row)
        _descriptors.settle()
        self.handle = memory(size) if handle is None else handle
        self.numbers: NDArray[np.int64] = np.frombuffer(mmap.mmap(self.handle, size), np.int64)
        self.iterations = self.numbers[own:].reshape(_ITERATIONS, row)
        _descriptors.when_gone(self, os.close, self.handle)

    def copied(self) -> _Shared:
        """The same numbers, in memory of its own."""
        copy = _Shared(self.parts)
        copy.numbers[:] = self.numbers
        return copy

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.parts, self.numbers.tolist())

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps out all other threads and processes; only for reading and writing these numbers."""
        with _lock:
            fcntl.lockf(self.handle, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.lockf(self.handle, fcntl.LOCK_UN)


def _restored(parts: int, numbers: list[int]) -> _Shared:
    shared = _Shared(parts)
    shared.numbers[:] = numbers
    return shared


def _shared_by(parts: int, handle: Any, owner: int) -> _Shared:
    shared = _Shared(parts, handle.detach())
    shared.owner = owner
    return shared


ForkingPickler.register(_Shared, lambda shared: (_shared_by, (shared.parts, DupFd(shared.handle), shared.owner)))

_descriptors = Leavings()
"""Of the memory of progresses that are gone."""
_lock = threading.Lock()
"""Locks of files keep out other processes, and not threads of the same one."""


class Progress:
    """Epoch and position of one dataset, or of each part of a mix.

    What all workers of it must see lies in shared memory, so that `set_epoch` and `load_state_dict` also reach those that
    a DataLoader keeps from epoch to epoch. The first of them that begins an iteration says which epoch it is; the next
    iteration is the next epoch. Nothing of it is shared between processes that iterate: ranks agree by counting alike.
    """

    def __init__(self, parts: int = 1) -> None:
        self._memory = _Shared(parts)
        self._iterations = 0
        """So many began in this process."""
        self._steps = 0
        self._current: tuple[_Begun, int] | None = None
        """(the iteration going on in this process, its worker)."""
        self._has_ended = False
        self._loaded: tuple[Reached, dict[str, Any]] | None = None
        """Of a worker that goes on: (where this very one stood, how its steps were dealt)."""
        _all.add(self)

    def __getstate__(self) -> dict[str, Any]:
        _ = self._shared
        return self.__dict__.copy()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        _all.add(self)

    @property
    def _shared(self) -> _Shared:
        """The memory that this process shares with its workers; what it got from another that iterates is copied first."""
        if self._memory.owner != os.getpid() and torch.utils.data.get_worker_info() is None:
            self._memory = self._memory.copied()
        return self._memory

    @property
    def epoch(self) -> int:
        """The epoch that the next iteration delivers."""
        return int(self._shared.numbers[_EPOCH])

    @property
    def start(self) -> tuple[int, ...]:
        """The position of each part at which the next iteration begins."""
        shared = self._shared
        return tuple(shared.numbers[_START : _START + shared.parts].tolist())

    @property
    def begun(self) -> tuple[int, tuple[int, ...]]:
        """(epoch, positions at which it begins) of the iteration begun last; of the next one, where that was set since."""
        with self._shared.locked():
            last = self._last()
        return (self.epoch, self.start) if last is None else (last.epoch, last.start)

    def _last(self) -> _Begun | None:
        numbers = self._memory.numbers
        return None if numbers[_IS_SET] or not numbers[_BEGUN] else self._iteration(int(numbers[_BEGUN]) - 1)

    def _iteration(self, number: int) -> _Begun:
        return _Begun.of(self._memory.iterations[number % _ITERATIONS].tolist())

    def set_epoch(self, epoch: int) -> None:
        """Says which epoch the next iteration delivers; where that is the one, it goes on where it was told to.

        Raises:
            ConfigError: there is no such epoch.
        """
        if isinstance(epoch, bool) or not isinstance(epoch, int | np.integer) or not 0 <= epoch < 2**63 - 1:
            raise ConfigError(f"epoch {epoch!r}: expected a whole number ≥ 0 and below 2**63 - 1")
        with self._shared.locked():
            if epoch != self.epoch:
                self._set(int(epoch), (0,) * self._memory.parts)
            self._memory.numbers[_IS_SET] = 1
        self._steps, self._loaded, self._has_ended = 0, None, False

    def _set(self, epoch: int, start: tuple[int, ...]) -> None:
        numbers = self._memory.numbers
        numbers[_EPOCH], numbers[_START : _START + self._memory.parts] = epoch, start

    def begin(self, worker: int, workers: int, *, ranks: int, batch: Any) -> Reached:
        """Where an iteration begins: its steps are those of this worker to leave out.

        In workers it is called once for each iteration of the DataLoader, in all of them.

        Raises:
            ConfigError: what was loaded counts the steps of a worker, and they are dealt in another way now.
        """
        loaded, self._loaded = self._loaded, None
        dealt = {"worker": worker, "workers": workers, "ranks": ranks, "batch": batch}
        if loaded is not None and loaded[1] != dealt:  # its steps are other samples then
            was, now = (", ".join(f"{k} = {v}" for k, v in d.items()) for d in (loaded[1], dealt))
            raise ConfigError(
                f"state of a worker with {was}, loaded with {now}: expected the same: only the dataset's own state, "
                "state_dict(steps=n), goes on with other workers, ranks and batch sizes: load that"
            )
        self._iterations += 1
        info = torch.utils.data.get_worker_info()
        # DataLoader draws a seed for the workers that it starts; those that it keeps count alike.
        seed = -1 if info is None else info.seed - info.id
        with self._shared.locked():
            numbers = self._memory.numbers
            known = None if info is None else self._known(seed, workers)
            if known is not None:
                begun = self._iteration(known)
                if begun.number == self._iterations:
                    self._memory.iterations[known % _ITERATIONS] = begun._replace(joined=begun.joined + 1).row
            else:
                epoch, start = loaded[0][:2] if loaded is not None else (int(numbers[_EPOCH]), self.start)
                begun = _Begun(seed, self._iterations, epoch, 0 if info is None else workers, 1, start)
                self._memory.iterations[int(numbers[_BEGUN]) % _ITERATIONS] = begun.row
                numbers[_BEGUN] += 1
                numbers[_IS_SET] = 0
                self._set(epoch + 1, (0,) * len(start))
        self._current, self._steps, self._has_ended = (begun, worker), loaded[0].steps if loaded else 0, False
        return Reached(begun.epoch, begun.start, self._steps)

    def _known(self, seed: int, workers: int) -> int | None:
        """Where this iteration stands, where another worker began it.

        A later one, where that one was left: what comes of it is thrown away.
        """
        count = int(self._memory.numbers[_BEGUN])
        known = ((n, self._iteration(n)) for n in range(max(count - _ITERATIONS, 0), count))
        return next((n for n, b in known if b.seed == seed and self._may_join(b, workers)), None)

    def _may_join(self, begun: _Begun, workers: int) -> bool:
        if begun.number == self._iterations:
            return begun.joined < workers
        return begun.number > self._iterations

    def step(self) -> None:
        """Counts what is delivered next."""
        self._steps += 1

    def end(self) -> None:
        """Says that all was delivered."""
        self._has_ended = True

    def reached(self, steps: int | None) -> Reached:
        """Where the iteration stands that was begun last, in a worker its own; at its beginning the next one.

        Args:
            steps: that were used; in a worker it knows.

        Raises:
            ConfigError: `steps` is needed and was not given, or is no number of steps.
        """
        if torch.utils.data.get_worker_info() is not None:
            of = self._current[0] if self._current else None
            return (
                Reached(self.epoch, self.start, self._steps) if of is None else Reached(of.epoch, of.start, self._steps)
            )
        with self._shared.locked():
            last = self._last()
        if steps is None:
            if last is not None and last.workers:
                raise ConfigError(
                    "state_dict(): batches come from workers, and some are still on their way: say how many were used, "
                    "state_dict(steps=n), or use torchdata's StatefulDataLoader"
                )
            steps = self._steps if last is not None else 0
            last = None if self._has_ended else last
            steps = 0 if last is None else steps
        whole("steps", steps, 0, MOST)
        return Reached(self.epoch, self.start, steps) if last is None else Reached(last.epoch, last.start, steps)

    def state(self, identity: Mapping[str, Any], steps: int | None, *, ranks: int, batch: int) -> dict[str, Any]:
        """The state; a step delivers `batch` positions on each rank."""
        value = {"version": VERSION, **identity}
        epoch, (start,), steps = self.reached(steps)
        if (dealt := dealing(ranks, batch)) is not None:
            return value | {"epoch": epoch, "consumed": start, "steps": steps, **dealt}
        together, samples = ranks * batch, int(identity["samples"])
        if steps and start + (steps - 1) * together >= samples:
            most = -(-(samples - start) // together)
            raise ConfigError(f"state_dict(steps={steps}): expected at most {most}, which is all of this epoch")
        return value | {"epoch": epoch, "consumed": start + steps * together, "together": together}

    def load(self, state: Mapping[str, Any]) -> None:
        """Takes up a state that `check_state` let pass."""
        start = min(state["consumed"], state["samples"])  # pads are beyond the end
        self.take_up(Reached(state["epoch"], (start,), state.get("steps", 0)), state)

    def take_up(self, reached: Reached, state: Mapping[str, Any]) -> None:
        """Goes on there; `state` says how the steps of a worker were dealt, where it is that of one."""
        self._current, self._has_ended, self._steps = None, False, 0
        if "worker" in state:
            self._loaded = (reached, {k: state.get(k) for k in ("worker", "workers", "ranks", "batch")})
        if torch.utils.data.get_worker_info() is None:
            with self._shared.locked():
                self._set(reached.epoch, reached.start)
                self._memory.numbers[_IS_SET] = 1


def dealing(ranks: int, batch: Any) -> dict[str, Any] | None:
    """How steps are dealt, in a worker: what is counted there are its own; None in the process that iterates."""
    info = torch.utils.data.get_worker_info()
    return None if info is None else {"worker": info.id, "workers": info.num_workers, "ranks": ranks, "batch": batch}


_all: weakref.WeakSet[Progress] = weakref.WeakSet()


def _before_fork() -> None:
    """What this process got from another that iterates becomes its own, before its workers are forked."""
    for progress in list(_all):
        with contextlib.suppress(AttributeError):  # one that another thread is just making
            _ = progress._shared


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()


os.register_at_fork(before=_before_fork, after_in_child=_after_fork)


def check_state(state: Mapping[str, Any], identity: Mapping[str, Any]) -> Mapping[str, Any]:
    """The state, where it is of the same dataset, split and order.

    Positions up to the end of the epoch may have been consumed, the end included, and pads beyond it as far as the last step
    reached; what says more is no state of it.

    Raises:
        ConfigError: it is not, both values are given; or it says what no state of the dataset does.
    """
    of_worker = isinstance(state, Mapping) and any(name in state for name in ("worker", "steps"))
    check_known(state, identity, ("epoch", "consumed", *(DEALT if of_worker else ("together",))), "dataset")
    samples = int(identity["samples"])
    whole("epoch", state.get("epoch"), 0, MOST)
    if not of_worker:
        together = whole("together", state.get("together", 1), 1, MOST_TOGETHER)
        whole("consumed", state.get("consumed"), 0, samples + together - 1)
        return state
    start = whole("consumed", state.get("consumed"), 0, samples)
    workers = whole("workers", state.get("workers"), 1, MOST_TOGETHER)
    whole("worker", state.get("worker"), 0, workers - 1)
    ranks, batch = (whole(name, state.get(name), 1, MOST_TOGETHER) for name in ("ranks", "batch"))
    whole("steps", state.get("steps"), 0, -(-(samples - start) // (ranks * batch)))
    return state


def check_known(state: Any, identity: Mapping[str, Any], own: Sequence[str], what: str) -> None:
    """Passes where a state is of the same identity, and has no keys but those and its own.

    Raises:
        ConfigError: it is not, both values are given.
    """
    if not isinstance(state, Mapping):
        raise ConfigError(f"state of {type(state).__name__}, expected what state_dict() gave")
    if not same(state.get("version"), VERSION):
        raise ConfigError(
            f"state of version {reprlib.repr(state.get('version'))}, expected {VERSION}: begin the epoch again"
        )
    for name, expected in identity.items():
        if not same(state.get(name), expected):
            where, was, now = _difference(name, state.get(name), expected)
            raise ConfigError(
                f"state of {where} = {shown(was)}, but this {what} has {shown(now)}: it can only go on with the same "
                "dataset, split, seed and order; open it as before, or begin the epoch again"
            )
    known = {"version", *identity, *own}
    if unknown := [name for name in state if name not in known]:
        raise ConfigError(f"state with {reprlib.repr(unknown)}, which this {what}'s has not: open it as before")


def whole(name: str, value: Any, least: int, most: int) -> int:
    """The value, where it is a whole number within these bounds; others come from a foreign or a damaged checkpoint."""
    if type(value) is not int or not least <= value <= most:
        raise ConfigError(
            f"state with {name} = {shown(value)}: expected a whole number from {least} to {most}: "
            "load what state_dict() gave, or begin the epoch again"
        )
    return value


def same(value: Any, expected: Any) -> bool:
    """Whether they are equal and of one type: a tensor's or an array's own comparison is no yes or no."""
    if type(value) is not type(expected):
        return False
    if isinstance(expected, dict):
        return value.keys() == expected.keys() and all(same(value[k], v) for k, v in expected.items())
    return bool(value == expected)


def _difference(name: str, value: Any, expected: Any) -> tuple[str, Any, Any]:
    """Where two values first differ that do, by keys from without to within, and what stands there in either."""
    if type(value) is not dict or type(expected) is not dict:
        return name, value, expected
    if value.keys() != expected.keys():
        was, now = (", ".join(sorted(map(str, of))) for of in (value, expected))
        return f"{name}: names", was, now
    key = next(k for k in expected if not same(value[k], expected[k]))
    return _difference(f"{name}.{key}", value[key], expected[key])


def shown(value: Any) -> str:
    """For a person: whole where it is one of a state's plain values."""
    return repr(value) if type(value) is str and len(value) < 200 else reprlib.repr(value)
