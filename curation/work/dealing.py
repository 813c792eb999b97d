"""Who of a cluster's workers does what, and what becomes of it when a worker is lost."""

from __future__ import annotations

import logging
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar, cast

from distributed import Future, KilledWorker
from distributed.client import FutureCancelledError
from distributed.scheduler import NoValidWorkerError

from curation.errors import ConfigError, CurationError, causes
from curation.work import neighbours
from curation.work.arriving import Arrivals
from curation.work.roster import LOOK_S, RETRIES, SOON_S, WORD_S, Roster

log = logging.getLogger(__name__)
A = TypeVar("A")
R = TypeVar("R")

PER_THREAD = 2
"""Tasks submitted per thread of a worker: one that runs, and one to go on with."""

LOSSES = 3
"""Workers that may be lost under an item before it is done once more, alone: if that one is lost, too, it is at fault."""

WAIT_S = 0.1
"""How long something that has ended is waited for at a time."""

HANDS = 8
"""Idle workers to which an item is offered that waits behind others."""


class WorkersLostError(CurationError):
    """Each worker that was given an item was lost under it."""


@dataclass(slots=True)
class Flight(Generic[A]):
    """An item on its way."""

    item: A
    losses: tuple[tuple[str, str], ...] = ()
    """Workers that were lost under it, as far as is known without a word; each with the key of the task that it had."""
    worker: str = ""
    """Who was given it."""
    hands: set[str] = field(default_factory=set)
    """Who may do it: one who was given it, and idle ones to whom it was offered since."""
    alone: bool = False
    """Whether nothing else is done meanwhile."""
    broke_off: bool = False
    """Whether it was done before, and its result did not come through."""


class Work(Generic[A, R]):
    """One stream of items over the workers of a roster.

    Who does what is decided here, not by the scheduler. A task is bound to its worker, since only those that are known to be
    fit may have it, and neighbours belong together; when all who may do it are gone the task is given up, and the item given
    to others. A scheduler's own preference (`allow_other_workers`) outlives the worker: where none was left when it
    died, its tasks wait for its address for ever.
    """

    def __init__(self, roster: Roster, fn: Callable[[A], R], items: Iterable[A]) -> None:
        self._roster, self._client, self._fn = roster, roster.client, fn
        self._name = getattr(fn, "__name__", type(fn).__name__)  # what a dashboard calls the tasks
        self._deal = neighbours.Queues(items)
        self._again: deque[Flight[A]] = deque()
        self._suspects: deque[Flight[A]] = deque()
        self._flying: dict[Future[R], Flight[A]] = {}
        self._load: Counter[str] = Counter()
        self._done = Arrivals[R](self._client)
        self._begun = self._dry = False
        self._looked = -LOOK_S

    def results(self) -> Iterator[list[tuple[A, R | BaseException]]]:
        """As `stream` gives them."""
        while True:
            finished = self._look()
            if self._roster.rooms:
                self._fill()
            if not self._flying and not self._left():
                break
            if not self._roster.rooms:
                self._roster.wanted("go on with" if self._begun else "begin with")
            finished += self._finished()
            if finished:
                yield finished
        if self._deal.error is not None:
            raise self._deal.error

    def _left(self) -> bool:
        """Whether there is anything to do that nobody was given."""
        return bool(self._again or self._suspects or self._deal.take(None))

    def _look(self) -> list[tuple[A, R | BaseException]]:
        """Looks at the workers where it is time; items that were lost too often, with their error."""
        roster = self._roster
        every = SOON_S if roster.waiting or not roster.rooms else LOOK_S
        if time.monotonic() - self._looked < every:
            return []
        known = set(roster.unfit)
        roster.look()
        self._looked = time.monotonic()
        for address in roster.unfit.keys() - known:
            if not self._begun and not roster.rooms:
                raise ConfigError(f"--scheduler {roster.address}: {roster.first_unfit()}")
            log.warning("dask: %s; it is given no work", roster.unfit[address])
        self._deal.keep(roster.rooms.keys() | {None})
        return self._lost()

    def _lost(self) -> list[tuple[A, R | BaseException]]:
        """Takes back what nobody is left to do."""
        gone: dict[str, list[Future[R]]] = {}
        left_lying = self._left_lying()
        for future, flight in self._flying.items():
            if str(future.key) in left_lying:
                gone.setdefault(flight.worker, []).append(future)
        out: list[tuple[A, R | BaseException]] = []
        for worker, futures in gone.items():
            had = self._roster.lost_under(worker)
            running = [f for f in futures if str(f.key) in had][: self._roster.threads.get(worker, 1)]  # in order given
            log.warning(
                "dask: worker %s is gone or takes nothing; %d tasks of it are done by others", worker, len(futures)
            )
            self._client.cancel(futures)
            for future in futures:
                out += self._back(self._flying.pop(future), (worker, str(future.key)) if future in running else None)
        return out

    def _left_lying(self) -> set[str]:
        """Keys of tasks that the scheduler has given to nobody, as none of those who may do them is there or takes work.

        That is asked of it, not told from who is there. It takes such a task up when one comes who may do it, not when it is
        told of more who may: what was offered to others a moment after its worker was lost would wait for ever, with them
        there and idle.
        """
        asked = [str(f.key) for f, flight in self._flying.items() if not flight.hands <= self._roster.rooms.keys()]
        states = self._roster.call("get_task_status", keys=asked) if asked else {}
        return {key for key, state in states.items() if state == "no-worker"}

    def _back(self, flight: Flight[A], loss: tuple[str, str] | None) -> list[tuple[A, R | BaseException]]:
        """Takes an item back to be done by another; with its error where it has cost too many workers.

        Args:
            flight: the item.
            loss: the worker that was lost while it worked on it, and the task; None where none was.
        """
        self._load[flight.worker] -= 1
        left = self._roster.took_leave
        losses = flight.losses
        if loss is not None and not left(*loss, within_s=WORD_S if flight.alone else 0):
            losses += (loss,)
            if flight.alone:
                cause = WorkersLostError(
                    f"{len(losses)} workers were lost while they worked on this, the last ({loss[0]}) on nothing else: out "
                    "of memory, or ended from outside; their logs may say"
                )
                return [(flight.item, cause)]
        if len(losses) >= LOSSES and not flight.alone:  # some may have said since that they went
            losses = tuple(its for its in losses if not left(*its))
        (self._suspects if len(losses) >= LOSSES else self._again).append(
            Flight(flight.item, losses, broke_off=flight.broke_off)
        )
        return []

    def _fill(self) -> None:
        """Gives every worker what it has room for: first each of its threads something, then something to go on with."""
        rooms = self._roster.rooms
        if any(flight.alone for flight in self._flying.values()):
            return
        self._dry = False
        for deep in range(1, PER_THREAD + 1):
            for worker, threads in rooms.items():
                while not self._dry and self._load[worker] < deep * threads:
                    flight = self._next(worker)
                    if flight is None:
                        self._dry = True
                    else:
                        self._submit(flight, worker)
        if self._dry:
            self._offer()
        if self._dry and not self._flying:
            for worker in rooms:
                if self._suspects:
                    flight = self._suspects.popleft()
                    flight.alone = True
                    self._submit(flight, worker)

    def _next(self, worker: str) -> Flight[A] | None:
        if self._again:
            return self._again.popleft()
        queue = self._deal.take(worker)
        return Flight(queue.popleft()) if queue else None

    def _submit(self, flight: Flight[A], worker: str) -> None:
        flight.worker, flight.hands = worker, {worker}
        future = self._client.submit(
            _noting,
            self._fn,
            flight.item,
            key=f"{self._name}-{uuid.uuid4().hex}",
            retries=RETRIES,
            workers=[worker],
            allow_other_workers=False,
        )
        self._begun = True
        self._flying[future] = flight
        self._load[worker] += 1
        self._done.add(future)

    def _offer(self) -> None:
        """Lets idle workers do what waits elsewhere: behind others, or with one that takes nothing more."""
        rooms, ahead = self._roster.rooms, Counter[str]()
        idle = [w for w, threads in rooms.items() if self._load[w] < threads][:HANDS]
        offers: dict[str, tuple[Flight[A], set[str]]] = {}
        for future, flight in self._flying.items():
            ahead[flight.worker] += 1
            if flight.alone or ahead[flight.worker] <= rooms.get(flight.worker, 0) or not flight.hands.isdisjoint(idle):
                continue
            if idle:
                offers[str(future.key)] = flight, flight.hands.union(idle)
        if not offers:
            return
        try:
            self._roster.call("set_restrictions", worker={key: sorted(hands) for key, (_, hands) in offers.items()})
        except KeyError:  # what was given to one a moment ago goes another way, and has not reached it yet: next time
            return
        for flight, hands in offers.values():
            flight.hands = hands

    def _finished(self) -> list[tuple[A, R | BaseException]]:
        """What has finished; waits a moment for something."""
        out: list[tuple[A, R | BaseException]] = []
        for future, result, broken in self._done.take(WAIT_S):
            flight = self._flying.pop(future, None)
            if flight is None:  # taken back meanwhile
                continue
            if future.status == "cancelled":
                raise FutureCancelledError(future.key, "the scheduler is gone")
            if future.status == "lost":  # done, and its worker gone before anybody had the result
                out += self._back(flight, None)
                continue
            err = future.exception() if future.status == "error" else broken
            if isinstance(err, KilledWorker | NoValidWorkerError):
                self._looked = -LOOK_S  # nobody is to be given anything before it is known who is left
                last = err.last_worker.address if isinstance(err, KilledWorker) else ""
                loss = last and str(future.key) in self._roster.lost_under(last)
                out += self._back(flight, (last, str(future.key)) if loss else None)
                continue
            if isinstance(broken, OSError) and future.status != "error" and not flight.broke_off:
                log.warning("dask: the result of a task broke off (%s); it is done again", causes.whole(broken))
                flight.broke_off = True
                out += self._back(flight, None)
                continue
            self._load[flight.worker] -= 1
            out.append((flight.item, cast(R, result) if err is None else err))
        return out


def _noting(fn: Callable[[A], R], item: A) -> R:
    """`fn(item)`; an error takes what it was raised from along."""
    try:
        return fn(item)
    except Exception as err:
        causes.keep(err)
        raise
