"""Services end with the block that they are for, and with the tests themselves, whichever way these end."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.integration.running import NotReadyError, free_ports, service, with_ports
from tests.processes import started

pytestmark = pytest.mark.integration

FAMILY = "import os, subprocess, sys, time; print(subprocess.Popen(['sleep', '300']).pid, flush=True); time.sleep(300)"


def pid_in(log: Path) -> int | None:
    return int(log.read_text()) if log.read_text().endswith("\n") else None


def runs(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("end", [KeyboardInterrupt, AssertionError])
def test_a_service_ends_with_all_that_it_started_when_its_block_is_left(tmp_path: Path, end: type[BaseException]):
    log, found = tmp_path / "log", []
    with contextlib.suppress(end), service([sys.executable, "-c", FAMILY], log, lambda: pid_in(log)) as child:
        found.append(child)
        assert runs(child)
        raise end
    assert not runs(found[0])


def test_a_service_ends_when_the_tests_are_killed(tmp_path: Path):
    log = tmp_path / "log"
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom tests.integration.running import service\n"
        "log = Path(sys.argv[1])\n"
        "with service(['sh', '-c', 'echo $$; exec sleep 300'], log, lambda: log.read_text() or None): time.sleep(300)\n"
    )
    with started(
        [sys.executable, "-c", code, str(log)], env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    ) as it:
        deadline = time.monotonic() + 60
        while not log.exists() or pid_in(log) is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        pid = pid_in(log)
        assert runs(pid)
        it.send_signal(signal.SIGKILL)
        it.wait(120)
        while runs(pid):
            assert time.monotonic() < deadline, "still running"
            time.sleep(0.05)


def test_one_that_ends_in_place_of_answering_is_told_with_what_it_said(tmp_path: Path):
    command = [sys.executable, "-c", "print('no room'); raise SystemExit(3)"]
    with (
        pytest.raises(NotReadyError, match=r"ended with 3(?s:.)*no room"),
        service(command, tmp_path / "log", lambda: None),
    ):
        pass


def test_ports_that_somebody_has_taken_meanwhile_are_given_up_for_others():
    tried = []

    @contextlib.contextmanager
    def start(port: int) -> Iterator[int]:
        tried.append(port)
        if len(tried) == 1:
            raise NotReadyError("taken")
        with socket.create_server(("127.0.0.1", port)):
            yield port

    with with_ports(1, start) as port:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    assert tried[-1] == port
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=1)
    assert len(set(free_ports(5))) == 5
