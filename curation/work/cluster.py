"""Where work runs: a local Dask cluster, someone else's, or this process. The only file that knows Dask."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import dask
import distributed.gc
import psutil
from distributed import Client, LocalCluster, Security
from distributed.client import ClosedClientError, FutureCancelledError
from distributed.comm.addressing import parse_host_port
from distributed.versions import VersionMismatchWarning

from curation.errors import ConfigError, CurationError, causes, extras
from curation.store import full
from curation.store.objects import Store
from curation.work import stopping
from curation.work.dealing import Work
from curation.work.roster import Roster, SchedulerLostError, ask, check

log = logging.getLogger(__name__)
A = TypeVar("A")
R = TypeVar("R")

CONFIG = {
    # A worker that hangs is given up after this; Dask's default is five minutes.
    "distributed.scheduler.worker-ttl": "90s",
    "distributed.comm.timeouts.connect": "20s",
    "distributed.worker.daemon": True,
    # Looking at all threads a hundred times a second, Python before 3.12 hangs for good now and then: it does so under a
    # lock that a starting thread wants, and where garbage is collected meanwhile lets go of the interpreter (gh-106883).
    "distributed.worker.profile.enabled": False,
    # Workers of a local cluster tell errors to the client. What they would log beside is of their own end: a heartbeat that
    # was under way when the scheduler closed, with its traceback.
    "distributed.nanny.pre-spawn-environ.DASK_LOGGING__DISTRIBUTED": "critical",
}

LOST = (ClosedClientError, FutureCancelledError, SchedulerLostError)
"""What is raised when a scheduler is gone."""

LOCAL = ("local", "none")
"""Schedulers whose workers are on this machine: what it cannot reach, they cannot."""

ANSWER_S = 20
"""How long a scheduler is given to answer."""

THREADS_PER_WORKER = 2
"""Reading waits for the network and decodes without the GIL: a second thread fills the waits. Memory grows with it."""


@contextlib.contextmanager
def connect(
    scheduler: str, workers: int | None = None, store: Store | None = None, served_url: str = ""
) -> Iterator[Client | None]:
    """A Dask client, or None for work in this process.

    Args:
        scheduler: `local` (a cluster of processes on this machine), `none`, or the address of a running scheduler.
        workers: processes of a local cluster; one per core where left out.
        store: what workers of a running scheduler have to read and write as this machine does.
        served_url: what scenes are served at by this machine to itself (`Catalog.served_url`), which those have to
            reach.

    Raises:
        ConfigError: the scheduler does not answer, or it or a worker cannot do our work: which, and what it lacks.
    """
    if scheduler == "none":
        yield None
        return
    with dask.config.set(CONFIG), _dask_logging_through_ours(), contextlib.ExitStack() as stack:
        try:
            if scheduler == "local":
                log.info("dask: starting a cluster on this machine")
                client = stack.enter_context(Client(stack.enter_context(_local(workers))))
            else:
                client = stack.enter_context(_reached(scheduler))
                check(client, scheduler, store, _server(served_url))
            log.info("dask: %s, %s", client.scheduler.address, _dashboard(client, own=scheduler == "local"))
            yield client
        except LOST as err:
            raise CurationError(
                f"--scheduler {scheduler}: was lost ({type(err).__name__}); what is committed stays, rerun to go on"
            ) from err


def _dashboard(client: Client, *, own: bool) -> str:
    """Where the dashboard is, for a person. Dask serves an address without bokeh, too, but no pages at it."""
    if own and extras.missing("dashboard"):
        return f"no dashboard ({extras.install('dashboard')} for one)"
    return f"dashboard {client.dashboard_link}"


@contextlib.contextmanager
def _local(workers: int | None) -> Iterator[LocalCluster]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with _interrupts_are_ours(), _scratch():
        made = LocalCluster(
            n_workers=workers or cores,
            threads_per_worker=THREADS_PER_WORKER,
            memory_limit=min(3 * 2**30, psutil.virtual_memory().total // (workers or cores)),
            dashboard_address="127.0.0.1:0",
            # Who connects may run code as this user, and a port on loopback is open to every user of the machine: TLS with a
            # key that only these processes have (in memory) shuts all others out.
            security=Security.temporary(),
            silence_logs=logging.ERROR,
        )
    with made:
        yield made


@contextlib.contextmanager
def _scratch() -> Iterator[None]:
    """Tells a want of room for what workers keep on disk as what it is. Raises StorageError."""
    with full.temporary():
        try:
            yield
        except RuntimeError as err:
            if not isinstance(err.__cause__, OSError):
                raise
            where = dask.config.get("temporary-directory", None) or tempfile.gettempdir()
            raise full.error(err.__cause__, f"{where} (TMPDIR, or Dask's temporary-directory)") from err


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


class _OneLine(logging.Handler):
    """Hands on what Dask logs in this process, without tracebacks, for `--verbose`: what a person must know is said here."""

    def emit(self, record: logging.LogRecord) -> None:
        """Called for each line."""
        cause = f" ({causes.whole(record.exc_info[1])})" if record.exc_info and record.exc_info[1] else ""
        log.debug("dask: %s: %s%s", record.name, " ".join(record.getMessage().split()), cause)


@contextlib.contextmanager
def _dask_logging_through_ours() -> Iterator[None]:
    """Dask's own logging in this process goes by way of ours."""
    before = []
    for name in ("distributed", "distributed.client", "tornado", "tornado.application"):  # Dask gave them handlers
        its = logging.getLogger(name)
        before.append((its, its.handlers[:], its.propagate))
        its.handlers[:], its.propagate = [_OneLine()], False
    try:
        yield
    finally:
        for its, handlers, propagate in before:
            its.handlers[:], its.propagate = handlers, propagate


def _reached(scheduler: str) -> Client:
    """A client of a running scheduler.

    Raises:
        ConfigError: the address is none, or nobody answers there who can be understood.
    """
    if "://" not in scheduler:
        raise ConfigError(f"--scheduler {scheduler!r}: expected local, none, or an address such as tcp://host:8786")
    if scheduler.startswith("tls://"):
        _check_certificates(scheduler)
    log.info("dask: asking the scheduler at %s", scheduler)
    try:
        if scheduler.startswith("tcp://"):
            _check_greeting(scheduler)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", VersionMismatchWarning)  # `_check` says it in a line
            return Client(scheduler, timeout=ANSWER_S)
    except Exception as err:  # what answers may be anything, and what Dask makes of it, too
        raise ConfigError(
            f"--scheduler {scheduler}: does not answer as a Dask scheduler ({causes.whole(err)})"
        ) from err


GREETING_BYTES = 1 << 20
"""More than a scheduler's first words take, which begin with their length."""


def _check_greeting(scheduler: str) -> None:
    """Passes where somebody answers who greets as Dask does, which speaks first; Dask waits for ever for one who does not.

    Raises:
        OSError: nobody answers, or somebody else.
    """
    host, port = parse_host_port(scheduler.removeprefix("tcp://"), 8786)
    deadline = time.monotonic() + ANSWER_S
    while True:
        try:
            with socket.create_connection((host, port), timeout=ANSWER_S) as there:
                first = there.recv(8, socket.MSG_WAITALL)
        except TimeoutError as err:
            raise TimeoutError("it says nothing; where it wants certificates, its address begins with tls://") from err
        except ConnectionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)  # it may be about to start
        else:
            break
    if len(first) < 8 or int.from_bytes(first, "little") > GREETING_BYTES:
        raise OSError(f"it begins with {first!r}, which is not Dask's greeting")


def _check_certificates(scheduler: str) -> None:
    """Passes where Dask's configuration names the certificates that a scheduler at `tls://` wants, and they are there.

    Raises:
        ConfigError: they are not.
    """
    keys = {"tls_ca_file": "ca-file", "tls_client_cert": "client.cert", "tls_client_key": "client.key"}
    its = Security()
    for name, key in keys.items():
        value, where = getattr(its, name), f"distributed.comm.tls.{key}"
        variable = "DASK_" + where.upper().replace(".", "__").replace("-", "_")
        if not value and name != "tls_client_key":  # it may be in the certificate's file
            raise ConfigError(
                f"--scheduler {scheduler}: wants certificates, and Dask's configuration has no {where}: set it, or "
                f"{variable} in the environment, to a PEM file"
            )
        if value and "\n" not in value and not Path(value).is_file():
            raise ConfigError(f"--scheduler {scheduler}: {where} is {value}, which is no file: expected a PEM file")


def _server(served_url: str) -> tuple[str, int] | None:
    """Host and port of a URL with a port; None of none."""
    parts = urlsplit(served_url)
    return (parts.hostname, parts.port) if parts.hostname and parts.port else None


def workers(client: Client | None) -> int:
    """How many processes work."""
    return 1 if client is None else max(len(ask(client, "identity", n_workers=-1)["workers"]), 1)


def stream(
    client: Client | None, fn: Callable[[A], R], items: Iterable[A], store: Store | None = None, served_url: str = ""
) -> Iterator[list[tuple[A, R | BaseException]]]:
    """Items with their results, as they finish: each time, all that have finished meanwhile.

    A bounded number of tasks exists at any time, and a finished one is forgotten at once. A task that raised gives its
    exception in place of a result; the stream goes on. Neighbouring items are run by one worker, unless another has nothing
    to do; workers that come and go meanwhile are given work, and relieved of it: what a lost one had is done by others,
    and where there is none left, by the next that comes. Where `items` raises, what was taken before is finished first.

    Args:
        client: None for work in this process.
        fn: what is done with an item.
        items: what is to be done, taken only as it is needed.
        store: what workers have to read and write as this machine does.
        served_url: as `connect` has it.

    Raises:
        ConfigError: before anything is done: the only worker there is cannot do our work. One that comes later is left out.
        FutureCancelledError, ClosedClientError: the scheduler is gone.
    """
    if client is None:
        for item in items:
            try:
                yield [(item, fn(item))]
            except Exception as err:  # noqa: BLE001 - as on a cluster: the caller decides
                yield [(item, err)]
        return
    with contextlib.closing(Roster(client, store, _server(served_url))) as roster:
        yield from Work(roster, fn, items).results()
