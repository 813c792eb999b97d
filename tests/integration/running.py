"""Services as the tests start them: a process each, its words in a file, ready before it is used, gone with its block."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from tests.integration import programs
from tests.processes import started

T = TypeVar("T")

READY_S = 90.0
"""How long a service is given until it answers: these take seconds, on a machine that does much else more."""


class NotReadyError(Exception):
    """A service ended, or said nothing, in place of answering."""


@contextlib.contextmanager
def service(
    command: Sequence[str | Path],
    log: Path,
    ready: Callable[[], T | None],
    *,
    env: Mapping[str, str] | None = None,
    fds: Sequence[int] = (),
    cwd: Path | None = None,
) -> Iterator[T]:
    """What `ready` gives of a service once it gives something; the service ends with the block, however that ends.

    All that it started ends, too (`tests.processes.started`); Ctrl-C is for the tests, which then end it. Where pytest is
    killed outright, the kernel kills what it started itself.

    Raises:
        NotReadyError: it ended, or `READY_S` went by; with the end of what it said.
    """
    setpriv = programs.found("setpriv")
    with_parent = [str(setpriv), "--pdeathsig", "KILL"] if setpriv else []
    with log.open("ab") as out:
        process = started(
            [*with_parent, *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=env,
            pass_fds=fds,
            cwd=cwd,
            start_new_session=True,
        )
        with process as running:
            deadline = time.monotonic() + READY_S
            while (value := ready()) is None:
                if running.poll() is not None or time.monotonic() > deadline:
                    how = "goes on" if running.poll() is None else f"ended with {running.poll()}"
                    said = log.read_text(errors="replace")[-3000:]
                    raise NotReadyError(f"{Path(command[0]).name}: does not answer ({how}); it said:\n{said}")
                time.sleep(0.05)
            yield value


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at, for services that have to be told theirs (`with_ports`); another may take them yet."""
    with contextlib.ExitStack() as stack:
        return [stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(count)]


@contextlib.contextmanager
def with_ports(count: int, start: Callable[..., contextlib.AbstractContextManager[T]], tries: int = 3) -> Iterator[T]:
    """A service that has to be told its ports; started again with others where it does not answer, as if they were taken."""
    with contextlib.ExitStack() as stack:
        for attempt in range(tries):
            try:
                value = stack.enter_context(start(*free_ports(count)))
                break
            except NotReadyError:
                if attempt == tries - 1:
                    raise
        yield value
