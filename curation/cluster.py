"""Where work runs: a local Dask cluster, someone else's, or this process. The only file that knows Dask."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import dask
import distributed.gc
import psutil
from distributed import Client, Future, LocalCluster, Worker, WorkerPlugin, as_completed
from distributed.client import ClosedClientError, FutureCancelledError

import curation
from curation import lanes, stopping
from curation.model import ConfigError, CurationError

log = logging.getLogger(__name__)
A = TypeVar("A")
R = TypeVar("R")

CONFIG = {
    # A worker that hangs is given up after this; Dask's default is five minutes.
    "distributed.scheduler.worker-ttl": "90s",
    # A task that kills its worker is tried on this many more before it counts as failed.
    "distributed.scheduler.allowed-failures": 2,
    "distributed.comm.timeouts.connect": "20s",
    "distributed.worker.daemon": True,
    # Looking at all threads a hundred times a second, Python before 3.12 hangs for good now and then: it does so under a
    # lock that a starting thread wants, and where garbage is collected meanwhile lets go of the interpreter (gh-106883).
    "distributed.worker.profile.enabled": False,
}

LOST = (ClosedClientError, FutureCancelledError)
"""What Dask raises when its scheduler is gone."""

ANSWER_S = 20
"""How long a scheduler is given to answer."""

THREADS_PER_WORKER = 2
"""Reading waits for the network and decodes without the GIL: a second thread fills the waits. Memory grows with it."""

PER_THREAD = 2
"""Tasks submitted per thread of a worker: one that runs, and one to go on with."""

LOOK_S = 5.0
"""How often the workers are counted anew."""

RETRIES = 1
"""Dask runs a task again that raised; a patch that fails to be read is no such error, it is an outcome."""


@contextlib.contextmanager
def connect(scheduler: str, workers: int | None = None) -> Iterator[Client | None]:
    """A Dask client, or None for work in this process.

    Args:
        scheduler: `local` (a cluster of processes on this machine), `none`, or the address of a running scheduler.
        workers: processes of a local cluster; one per core where left out.

    Raises:
        ConfigError: the scheduler does not answer, or its workers run another version of curation.
    """
    if scheduler == "none":
        yield None
        return
    with dask.config.set(CONFIG), contextlib.ExitStack() as stack:
        if scheduler == "local":
            log.info("dask: starting a cluster on this machine")
            cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
            with _interrupts_are_ours():
                cluster = stack.enter_context(
                    LocalCluster(
                        n_workers=workers or cores,
                        threads_per_worker=THREADS_PER_WORKER,
                        memory_limit=min(3 * 2**30, psutil.virtual_memory().total // (workers or cores)),
                        dashboard_address="127.0.0.1:0",
                        silence_logs=logging.ERROR,
                    )
                )
            client = stack.enter_context(Client(cluster))
        else:
            if "://" not in scheduler:
                raise ConfigError(
                    f"--scheduler {scheduler!r}: expected local, none, or an address such as tcp://host:8786"
                )
            try:
                client = stack.enter_context(Client(scheduler, timeout=ANSWER_S))
            except (OSError, TimeoutError, ValueError) as err:
                raise ConfigError(f"--scheduler {scheduler}: does not answer ({type(err).__name__}: {err})") from err
            _check_versions(client, scheduler)
            client.register_plugin(_Unwatched())
        log.info("dask: %s, dashboard %s", client.scheduler.address, client.dashboard_link)
        try:
            yield client
        except LOST as err:
            raise CurationError(
                f"--scheduler {scheduler}: was lost ({type(err).__name__}); what is committed stays, rerun to go on"
            ) from err


@contextlib.contextmanager
def _interrupts_are_ours() -> Iterator[None]:
    """Processes that start meanwhile take no Ctrl-C, which reaches all of a terminal's processes at once, for good.

    What stops this one meanwhile does so when they have started, so that they are ended, too. Dask's watch over the garbage
    collector goes, since an interrupt raised in it would be lost.
    """
    with stopping.later():
        yield
        if threading.current_thread() is threading.main_thread():
            distributed.gc.disable_gc_diagnosis(force=True)


class _Unwatched(WorkerPlugin):
    """Ends what `CONFIG` leaves out from the start, on workers that somebody else started."""

    name = "curation-unwatched"

    def setup(self, worker: Worker) -> None:
        """Called on each worker, those that join later too."""
        for name in ("profile", "profile-cycle"):
            if name in worker.periodic_callbacks:
                worker.periodic_callbacks[name].stop()


def _version() -> str:
    return curation.__version__


def _check_versions(client: Client, scheduler: str) -> None:
    if not client.scheduler_info()["workers"]:
        log.warning("dask: the scheduler at %s has no workers yet; waiting for one", scheduler)
        client.wait_for_workers(1)
    try:
        found = client.run(_version)
    except (ImportError, AttributeError) as err:
        raise ConfigError(f"--scheduler {scheduler}: its workers cannot import curation {_version()}: {err}") from err
    if wrong := {w: v for w, v in found.items() if v != _version()}:
        raise ConfigError(
            f"--scheduler {scheduler}: workers run curation {sorted(set(wrong.values()))}, this is {_version()}; "
            "install the same version on all"
        )


def workers(client: Client | None) -> int:
    """How many processes work."""
    return 1 if client is None else max(len(client.scheduler_info(n_workers=-1)["workers"]), 1)


def _rooms(client: Client) -> dict[str, int]:
    """Worker → tasks to keep submitted to it: enough that no thread waits for the client, and no more."""
    found = client.scheduler_info(n_workers=-1)["workers"]
    if not found:
        log.warning("dask: the scheduler has no workers; waiting for one")
        client.wait_for_workers(1)
        return _rooms(client)
    return {address: PER_THREAD * worker["nthreads"] for address, worker in found.items()}


def window(client: Client | None) -> int:
    """How many items may have been taken from a stream that are not finished."""
    return 1 if client is None else sum(room + lanes.RUN for room in _rooms(client).values())


def stream(
    client: Client | None, fn: Callable[[A], R], items: Iterable[A]
) -> Iterator[list[tuple[A, R | BaseException]]]:
    """Items with their results, as they finish: each time, all that have finished meanwhile.

    A bounded number of tasks exists at any time, and a finished one is forgotten at once. A task that raised gives its
    exception in place of a result; the stream goes on. Neighbouring items are preferably run by one worker; workers that
    come and go meanwhile are given work, and relieved of it. Where `items` raises, what was taken before is finished first.
    """
    if client is None:
        for item in items:
            try:
                yield [(item, fn(item))]
            except Exception as err:  # noqa: BLE001 - as on a cluster: the caller decides
                yield [(item, err)]
        return
    deal = lanes.Lanes(items)
    flying: dict[Future[R], tuple[A, str]] = {}
    load: Counter[str] = Counter()
    rooms, looked = _rooms(client), time.monotonic()
    done = as_completed(with_results=True, raise_errors=False)

    def fill() -> None:
        for worker, room in rooms.items():
            while load[worker] < room and (lane := deal.take(worker)):
                item = lane.popleft()
                # Preferred, not required: a worker that is lost, or has more than others, gives it away.
                future = client.submit(
                    fn, item, pure=False, retries=RETRIES, workers=[worker], allow_other_workers=True
                )
                flying[future] = item, worker
                load[worker] += 1
                done.add(future)

    fill()
    while flying:
        finished: list[tuple[A, R | BaseException]] = []
        for future, result in next(done.batches()):
            item, worker = flying.pop(future)
            load[worker] -= 1
            if future.status in ("cancelled", "lost"):
                raise FutureCancelledError(future.key, f"the scheduler has {future.status} the task")
            finished.append((item, future.exception() if future.status == "error" else result))
        if time.monotonic() - looked > LOOK_S:
            rooms, looked = _rooms(client), time.monotonic()
            deal.keep(rooms)
        fill()
        yield finished
    if deal.error is not None:
        raise deal.error
