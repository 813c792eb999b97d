"""Where work runs: a local Dask cluster, someone else's, or this process. The only file that knows Dask."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import dask
import distributed.gc
import psutil
from distributed import Client, LocalCluster, as_completed
from distributed.client import ClosedClientError, FutureCancelledError

import curation
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
}

LOST = (ClosedClientError, FutureCancelledError)
"""What Dask raises when its scheduler is gone."""

ANSWER_S = 20
"""How long a scheduler is given to answer."""

THREADS_PER_WORKER = 2
"""Reading waits for the network and decodes without the GIL: a second thread fills the waits. Memory grows with it."""

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
        log.info("dask: %s, dashboard %s", client.scheduler.address, client.dashboard_link)
        try:
            yield client
        except LOST as err:
            raise CurationError(
                f"--scheduler {scheduler}: was lost ({type(err).__name__}); what is committed stays, rerun to go on"
            ) from err


@contextlib.contextmanager
def _interrupts_are_ours() -> Iterator[None]:
    """Processes that start meanwhile ignore Ctrl-C, which reaches all of a terminal's processes at once, for good.

    Dask's watch over the garbage collector goes, since an interrupt raised in it would be lost.
    """
    if threading.current_thread() is not threading.main_thread():  # only that one may say how signals are taken
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
        distributed.gc.disable_gc_diagnosis(force=True)
    finally:
        signal.signal(signal.SIGINT, before)


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


def window(client: Client | None) -> int:
    """How many tasks to keep submitted: enough that no thread waits for the client, few enough to stay flat in memory."""
    if client is None:
        return 1
    threads: int = sum(w["nthreads"] for w in client.scheduler_info(n_workers=-1)["workers"].values())
    return max(4, 2 * threads)


def stream(
    client: Client | None, fn: Callable[[A], R], items: Iterable[A]
) -> Iterator[list[tuple[A, R | BaseException]]]:
    """Items with their results, as they finish: each time, all that have finished meanwhile.

    A bounded number of tasks exists at any time, and a finished one is forgotten at once. A task that raised gives its
    exception in place of a result; the stream goes on.
    """
    if client is None:
        for item in items:
            try:
                yield [(item, fn(item))]
            except Exception as err:  # noqa: BLE001 - as on a cluster: the caller decides
                yield [(item, err)]
        return
    waiting, flying = iter(items), {}

    def submit(item: A) -> object:
        future = client.submit(fn, item, pure=False, retries=RETRIES)
        flying[future] = item
        return future

    done = as_completed([submit(item) for item in itertools.islice(waiting, window(client))])
    for batch in done.batches():
        finished: list[tuple[A, R | BaseException]] = []
        for future in batch:
            item = flying.pop(future)
            if future.status in ("cancelled", "lost"):
                raise FutureCancelledError(future.key, f"the scheduler has {future.status} the task")
            finished.append((item, future.exception() if future.status == "error" else future.result()))
            for following in itertools.islice(waiting, 1):
                done.add(submit(following))
        yield finished
