import asyncio
import logging
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
from distributed import Security, core

from curation.errors import ConfigError
from curation.work import cluster, dealing, neighbours
from tests.processes import stopped
from tests.run import Curate, scheduler_by_hand
from tests.world import World

pytestmark = pytest.mark.alone


def double(n: int) -> int:
    if n == 13:
        raise ValueError("unlucky")
    return 2 * n


def test_without_a_cluster_work_is_done_in_this_process_one_by_one():
    with cluster.connect("none") as client:
        assert client is None
        found = [pair for batch in cluster.stream(client, double, range(5)) for pair in batch]
    assert found == [(n, 2 * n) for n in range(5)]


def test_an_error_is_a_result_and_the_stream_goes_on():
    found = dict(pair for batch in cluster.stream(None, double, [12, 13, 14]) for pair in batch)
    assert (found[12], found[14]) == (24, 28)
    assert isinstance(found[13], ValueError)


def test_items_are_taken_only_as_they_are_worked_on():
    taken = []

    def items():
        for n in range(100):
            taken.append(n)
            yield n

    next(cluster.stream(None, double, items()))
    assert taken == [0]


@pytest.mark.slow
def test_a_scheduler_that_does_not_answer_is_a_usage_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cluster, "ANSWER_S", 1)
    with pytest.raises(ConfigError, match="does not answer"), cluster.connect("tcp://127.0.0.1:1"):
        pass


@pytest.mark.parametrize(
    ("says", "match"),
    [(b"HTTP/1.0 400 Bad request", "does not answer as a Dask scheduler.*HTTP/1.0"), (b"", "says nothing.*tls://")],
)
@pytest.mark.slow
def test_somebody_else_at_the_address_is_a_usage_error(monkeypatch: pytest.MonkeyPatch, says: bytes, match: str):
    monkeypatch.setattr(cluster, "ANSWER_S", 1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept = []

        def answer() -> None:
            there, _ = server.accept()
            kept.append(there)
            there.sendall(says)

        threading.Thread(target=answer, daemon=True).start()
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(ConfigError, match=match), cluster.connect(address):
            pass
        kept[0].close()


# distributed leaves sockets and event loops to the garbage collector when it shuts down.
quiet = pytest.mark.filterwarnings(
    "ignore:unclosed",
    "ignore::pytest.PytestUnraisableExceptionWarning",
    "ignore::pytest.PytestUnhandledThreadExceptionWarning",
)


@quiet
@pytest.mark.slow
def test_a_bounded_number_of_tasks_is_submitted_at_any_time():
    with cluster.connect("local", workers=1) as client:
        submitted = []

        def items():
            for n in range(60):
                submitted.append(n)
                yield n

        most = dealing.PER_THREAD * cluster.THREADS_PER_WORKER + neighbours.RUN  # of one worker
        seen = 0
        for batch in cluster.stream(client, double, items()):
            seen += len(batch)
            assert len(submitted) <= seen + most
        assert seen == 60


def _answers(port: int, how: str, security: Security) -> bool:
    """Whether somebody at a port of loopback talks Dask to one who comes by with these keys."""

    async def ask() -> bool:
        there = core.rpc(f"{how}://127.0.0.1:{port}", connection_args=security.get_connection_args("client"), timeout=2)
        try:
            return bool(await asyncio.wait_for(there.identity(), 3))
        except Exception:  # noqa: BLE001 - whatever comes of talking to one who does not listen
            return False
        finally:
            await there.close_rpc()

    return asyncio.run(ask())


@quiet
@pytest.mark.slow
def test_nobody_without_its_key_can_talk_to_any_process_of_a_local_cluster():
    with cluster.connect("local", workers=1) as client:
        me = psutil.Process()
        ports = {
            c.laddr.port
            for process in (me, *me.children(recursive=True))
            for c in process.net_connections("tcp")
            if c.status == psutil.CONN_LISTEN
        }
        assert len(ports) >= 3, "a scheduler, a nanny, a worker"
        assert [p for p in ports if _answers(p, "tcp", Security())] == []
        assert [p for p in ports if _answers(p, "tls", Security.temporary())] == []
        assert [p for p in ports if _answers(p, "tls", client.security)] != [], "nobody can: the question is wrong"


HEARTBEAT_UNDER_WAY = """
import asyncio, time
import distributed
from curation.work import cluster

real = distributed.Scheduler.heartbeat_worker

async def late(self, *args, **what):
    await asyncio.sleep(60)

if __name__ == "__main__":
    with cluster.connect("local", workers=1) as client:
        assert [b for b in cluster.stream(client, abs, [-1])] == [[(-1, 1)]]
        client.cluster.scheduler.handlers["heartbeat_worker"] = late.__get__(client.cluster.scheduler)
        time.sleep(3)
"""
"""The scheduler closes while each worker waits for an answer to its heartbeat."""


@pytest.mark.slow
def test_the_end_of_a_local_cluster_prints_nothing(tmp_path: Path):
    script = tmp_path / "run.py"
    script.write_text(HEARTBEAT_UNDER_WAY)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=True)
    assert (done.stdout, done.stderr) == ("", "")


@quiet
@pytest.mark.slow
def test_a_cluster_started_by_hand_makes_the_same_bytes(built: Curate, tmp_path: Path):
    # One `dask scheduler` and two `dask worker` processes, as on a real cluster.
    with scheduler_by_hand(tmp_path / "dask") as (address, _):
        mine = Curate(built.world, tmp_path / "root")
        assert mine("build", "--scheduler", address) == 0
        assert mine("pack", "--scheduler", address) == 0
        assert mine.hashes() == built.hashes()


@quiet
@pytest.mark.slow
def test_a_local_cluster_makes_the_same_bytes(built: Curate, tmp_path: Path, caplog):
    mine = Curate(built.world, tmp_path)
    with caplog.at_level(logging.INFO):
        assert mine("build", "--scheduler", "local") == 0
    assert mine("pack", "--scheduler", "local") == 0
    assert mine.hashes() == built.hashes()


@pytest.mark.slow
@pytest.mark.parametrize(("scheduler", "sign"), [("local", "dask:"), ("local", "build:"), ("none", "locate")])
def test_ctrl_c_ends_everything_with_one_line_and_the_same_command_goes_on(
    world: World, tmp_path: Path, scheduler: str, sign: str
):
    run = Curate(world, tmp_path)
    command = [sys.executable, "-m", "curation", *run.arguments("build", "--scheduler", scheduler)]
    code, lines = stopped(command, sign, [signal.SIGINT], group=True)
    assert code == 130, "".join(lines)
    assert lines[-1] == "curate: stopped; the same command goes on from here\n"
    assert run() == 0
