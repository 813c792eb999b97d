"""Which workers of a cluster may be given work: those of someone else's say first what they are."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import time
import uuid
from dataclasses import dataclass
from typing import Any

from distributed import Client, Future, KilledWorker
from distributed.client import FutureCancelledError
from distributed.scheduler import NoValidWorkerError
from distributed.versions import get_versions

from curation.errors import ConfigError, CurationError, causes
from curation.store.objects import Store
from curation.work import fitness, probe

log = logging.getLogger(__name__)

CHECK_S = 60.0
"""How long workers that are there at the start are given to say what they are, where another has done so."""

CALL_S = 120.0
"""How long the scheduler is given for an answer. One that hangs keeps its connections, and would be waited for for ever."""

VERSIONS_S = 30.0
"""How long a worker is given to say its versions; one that does not is asked again."""

ASKED = 16
"""Workers that are asked so at a time, each by a connection to the scheduler."""

LOOK_S = 5.0
"""How often the workers are counted anew."""

SOON_S = 0.5
"""How often instead, where there is none to work, or one was asked what it is and has not answered."""

SAY_S = 60.0
"""How often it is said that there is no worker."""

RETRIES = 1
"""Dask runs a task again that raised; a patch that fails to be read is no such error, it is an outcome."""

MODULES = ("curation.build.slab", "curation.pack.shard", "curation.work.leaving")
"""What a worker has to be able to import."""

GOODBYE = "curation-goodbye"
"""Event of a worker that ends in order (`leaving`)."""

WORD_S = 5.0
"""How long a worker's goodbye is waited for, where all depends on it: one that has no nanny says it when it is gone."""


class SchedulerLostError(CurationError):
    """The scheduler does not answer any more."""


def ask(client: Client, method: str, **what: Any) -> Any:
    """What the scheduler answers to a call.

    Raises:
        SchedulerLostError: it does not, within `CALL_S`.
    """
    try:
        return client.sync(getattr(client.scheduler, method), callback_timeout=CALL_S, **what)
    except (OSError, RuntimeError) as err:  # the latter where the client has closed, having lost it
        raise SchedulerLostError(causes.whole(err)) from err


@dataclass(slots=True)
class Life:
    """What is known of one worker, from the scheduler's events."""

    had: frozenset[str] = frozenset()
    """Keys of the tasks that it had when it was removed."""
    removed: bool = False
    took_leave: bool = False
    """Whether it ended in order: at the end of its time, or told to."""
    broken: bool = False
    """Whether it was removed since its connection broke, and not since the scheduler had no sign of life of it for long."""

    def add(self, what: dict[str, Any]) -> None:
        """Takes up an event."""
        action = what.get("action")
        if action == "remove-worker":
            self.removed, self.had = True, frozenset(what.get("processing-tasks", ()))
            self.broken = str(what.get("stimulus_id")).startswith("handle-worker-cleanup")
            self.took_leave |= bool(what.get("expected"))
        elif action in ("closing-worker", GOODBYE) or what.get("status") in ("closing", "closing_gracefully"):
            # One that hung, was given up, and then wakes up says it as well.
            self.took_leave |= self.broken or not self.removed


class Roster:
    """Who may be given work: workers of someone else's cluster say first what they are, those that join later, too.

    Asking is a task, so that a cluster that grows with what is to be done starts a worker for it, and keeps it meanwhile.
    """

    def __init__(self, client: Client, store: Store | None, server: tuple[str, int] | None = None) -> None:
        self.client = client
        self.rooms: dict[str, int] = {}
        """Address of each worker that takes work → its threads."""
        self.present: dict[str, dict[str, Any]] = {}
        """Address of each worker that the scheduler has → what it says of it."""
        self.unfit: dict[str, str] = {}
        """Worker that cannot do our work → what it is and lacks."""
        self.waits: dict[str, Future[dict[str, str]]] = {}
        """Worker that was asked → its answer to come. Under no address: whichever comes first."""
        self.threads: dict[str, int] = {}
        """Worker, also one that is gone → its threads."""
        self._fit: set[str] = set()
        self._versions: dict[str, concurrent.futures.Future[dict[str, Any]]] = {}
        self._gate = asyncio.Semaphore(ASKED)
        self._ours = client.cluster is not None  # made here, of this process's own kind
        self._store, self._server = store, server
        self._key = f"workers-{uuid.uuid4().hex}"
        self._own_versions: dict[str, Any] = {}
        self._said = -SAY_S

    @property
    def address(self) -> str:
        """Of the scheduler."""
        return str(self.client.scheduler.address)  # type: ignore[union-attr]  # it has begun

    @property
    def waiting(self) -> bool:
        """Whether one was asked what it is and has not answered."""
        return bool(self.waits or self._versions)

    def look(self) -> None:
        """Brings all up to date; waits for no answer."""
        self.present = self.call("identity", n_workers=-1)["workers"]
        self.threads |= {address: its["nthreads"] for address, its in self.present.items()}
        if not self._ours:
            self._ask()
            self._hear()
        self.rooms = {
            address: its["nthreads"]
            for address, its in self.present.items()
            if its["status"] == "running" and (self._ours or address in self._fit)
        }
        if self.rooms:
            self._said = -SAY_S

    def wanted(self, what: str) -> None:
        """Says now and then that nobody is there, and shows the cluster that somebody is wanted."""
        if not self._ours and not self.present and "" not in self.waits:
            self._submit("")
        if time.monotonic() - self._said >= SAY_S:
            self._said = time.monotonic()
            others = f"; {len(self.unfit)} cannot be used: {self.first_unfit()}" if self.unfit else ""
            idle = len(self.present) - len(self.unfit)
            more = f", {idle} are not ready or take nothing more" if idle else ""
            log.warning("dask: no workers to %s; waiting for one%s%s", what, more, others)

    def first_unfit(self) -> str:
        """The first worker that cannot be used, and why: one line."""
        rest = f" (one of {len(self.unfit)} that cannot be used)" if len(self.unfit) > 1 else ""
        return f"{next(iter(self.unfit.values()))}{rest}"

    def lost_under(self, address: str) -> frozenset[str]:
        """Keys of the tasks that a worker had when it was last lost."""
        had = [its for its in self._lives(address) if its.removed]
        return had[-1].had if had else frozenset()

    def took_leave(self, address: str, key: str, within_s: float = 0) -> bool:
        """Whether a worker that was lost while it had a task has said that it goes: that is no fault of the task.

        Args:
            address: the worker.
            key: the task.
            within_s: how long its word is waited for.
        """
        deadline = time.monotonic() + within_s
        while True:
            had = [its for its in self._lives(address) if key in its.had]
            if had and had[-1].took_leave:
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.1)

    def _lives(self, address: str) -> list[Life]:
        """What the scheduler remembers of the workers at an address, which may have been several, one after another."""
        lives = [Life()]
        for _, what in self.call("events", topic=address):
            if isinstance(what, dict):
                if what.get("action") == "add-worker":
                    lives.append(Life())
                lives[-1].add(what)
        return lives

    def call(self, method: str, **what: Any) -> Any:
        """What the scheduler answers to a call.

        Raises:
            SchedulerLostError: it does not.
        """
        return ask(self.client, method, **what)

    def close(self) -> None:
        """Asks nobody any more."""
        for future in self.waits.values():
            future.cancel()
        for answer in self._versions.values():
            answer.cancel()
        self.waits.clear()
        self._versions.clear()
        if self._own_versions and self._store is not None:
            self._store.delete(self._key)

    def _ask(self) -> None:
        for known in (self.unfit, self._fit):
            for address in set(known) - self.present.keys():
                known.pop(address) if isinstance(known, dict) else known.discard(address)
        loop: asyncio.AbstractEventLoop = self.client.loop.asyncio_loop  # type: ignore[union-attr]  # it has begun
        for address in self.present:
            if not any(address in known for known in (self._fit, self.unfit, self.waits, self._versions)):
                self._versions[address] = asyncio.run_coroutine_threadsafe(self._versions_of(address), loop)
        for address, answer in list(self._versions.items()):
            if not answer.done():
                continue
            del self._versions[address]
            its = self._said_by(address, answer)
            if its is None or address not in self.present:
                continue
            if wrong := fitness.of_versions(its["packages"], get_versions()["packages"]):
                self.unfit[address] = f"worker {address} {wrong}"
            else:
                self._submit(address)

    async def _versions_of(self, address: str) -> dict[str, Any]:
        """What Dask tells of a worker's versions, by its address; empty where it cannot be reached."""
        asked = {"op": "versions", "packages": []}
        async with self._gate:
            broadcast = getattr(self.client.scheduler, "broadcast")  # noqa: B009 - None as long as no client has begun
            answer = broadcast(msg=asked, workers=[address], on_error="ignore")
            return dict(await asyncio.wait_for(answer, VERSIONS_S))

    def _said_by(self, address: str, answer: concurrent.futures.Future[dict[str, Any]]) -> dict[str, Any] | None:
        """A worker's versions; None where it is gone, or hangs."""
        try:
            return answer.result().get(address)
        except OSError as err:  # its time is over, or the scheduler is gone: who asks that next hears it
            log.debug("dask: worker %s does not say its versions (%s)", address, causes.whole(err))
            return None

    def _submit(self, address: str) -> None:
        if not self._own_versions:
            self._own_versions = probe.versions(MODULES)
            if self._store is not None:
                self._store.publish(self._key, self._key.encode())
        store = None if self._store is None else (self._store.url, self._store.prefix, self._key)
        only: dict[str, Any] = {"workers": [address], "allow_other_workers": False} if address else {}
        text = probe.as_text(MODULES, store, on_worker=True, server=self._server)
        key = f"curation-check-{uuid.uuid4().hex}"
        self.waits[address] = self.client.submit(eval, text, key=key, retries=RETRIES, priority=1, **only)

    def _hear(self) -> None:
        where = "" if self._store is None else self._store.where("")
        server = "" if self._server is None else "{}:{}".format(*self._server)
        for address, future in list(self.waits.items()):
            status = future.status
            if status == "cancelled":
                raise FutureCancelledError(future.key, "the scheduler is gone")
            if status == "lost" or (status == "pending" and address and address not in self.present):
                self.waits.pop(address).cancel()  # the worker is gone, and its answer with it
                continue
            if status == "pending":
                continue
            self.waits.pop(address)
            if status == "error":
                err = future.exception()
                if address and not isinstance(err, KilledWorker | NoValidWorkerError):
                    self.unfit[address] = f"worker {address} cannot run a task ({causes.whole(err)})"
                continue
            answer = self._answer(future)
            if answer is None:
                continue
            its = answer["address"]
            if wrong := fitness.of_answer(answer, self._own_versions, where, server):
                self.unfit[its] = f"worker {its} on host {answer['host']} {wrong}"
            else:
                self._fit.add(its)

    def _answer(self, future: Future[dict[str, str]]) -> dict[str, str] | None:
        """What a worker said; None where it is gone, and its answer with it."""
        try:
            return future.result(timeout=LOOK_S)
        except OSError:  # its time is over, or it broke off
            future.cancel()
            return None


def check(client: Client, scheduler: str, store: Store | None, server: tuple[str, int] | None = None) -> None:
    """Passes where the scheduler and all workers that it has can do our work; waits for one where it has none.

    Raises:
        ConfigError: one cannot: which, and what it lacks.
    """
    there = f"--scheduler {scheduler}: the scheduler"
    with contextlib.closing(Roster(client, store, server)) as roster:
        theirs = roster.call("versions", packages=[])["packages"]
        if wrong := fitness.of_versions(theirs, get_versions()["packages"]):
            raise ConfigError(f"{there} {wrong}")
        # It reads each task before it hands it on.
        text = probe.as_text(MODULES, None, on_worker=False)
        try:
            answer = client.sync(client.run_on_scheduler, eval, text, callback_timeout=CALL_S)
        except TimeoutError as err:
            raise SchedulerLostError(f"it says nothing within {CALL_S:.0f} s") from err
        if wrong := fitness.of_answer(answer, probe.versions(MODULES)):
            raise ConfigError(f"{there} on host {answer['host']} {wrong}")
        started = time.monotonic()
        while True:
            roster.look()
            if roster.unfit:
                raise ConfigError(f"--scheduler {scheduler}: {roster.first_unfit()}")
            if roster.rooms and (not roster.waiting or time.monotonic() - started > CHECK_S):
                return
            if not roster.rooms:
                roster.wanted("begin with")
            time.sleep(0.05)
