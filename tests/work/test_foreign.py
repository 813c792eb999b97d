"""Schedulers and workers that somebody else has started: processes of their own, that leave, come back, and lack things."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from distributed import Client

from curation.errors import ConfigError
from curation.work import cluster, dealing, roster
from tests.processes import started
from tests.run import TOLD, Curate, ended

pytestmark = [
    pytest.mark.alone,
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        "ignore:unclosed",
        "ignore::pytest.PytestUnraisableExceptionWarning",
        "ignore::pytest.PytestUnhandledThreadExceptionWarning",
    ),
]

HIDDEN = """
import importlib.abc, sys
class Hide(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "curation":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hide())
"""
"""What a process begins with that has nothing of ours."""

OLDER = """
import curation
curation.__version__ = "0.0.9"
"""

OTHER_SOURCES = """
import pathlib
_real = pathlib.Path.read_bytes
pathlib.Path.read_bytes = lambda p: _real(p) + (b"#" if p.name == "slab.py" else b"")
"""

OTHER_DASK = """
import distributed.versions
_real = distributed.versions.get_package_info
distributed.versions.get_package_info = lambda pkgs: _real(pkgs) | {"distributed": "2025.1.0"}
"""

OTHER_PYTHON = OTHER_DASK.replace('"distributed": "2025.1.0"', '"python": "3.99.1.final.0"')

ELSEWHERE = """
import pathlib
from curation.store.objects import Store
_real = Store.__init__
def init(self, url, prefix="", client=None):
    _real(self, "/nowhere" if "://" not in str(url) else url, prefix, client)
Store.__init__ = init
"""
"""The root is a folder of another machine."""


def work(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def killing(n: int) -> int:
    if n == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.1)
    return n


class Hands:
    """A scheduler and workers, as one starts them by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.started = 0
        self.over = False
        self.lock = threading.Lock()
        self.ends = contextlib.ExitStack()
        self.file = folder / "scheduler.json"

    def start(self, *args: str, first: str = "", env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", f"{first}\nfrom dask.__main__ import main; main()", *args]
        with self.lock, (self.folder / f"{self.started}.log").open("wb") as log:
            assert not self.over, "the test has ended"  # a thread of it may not have
            self.started += 1
            return self.ends.enter_context(started(command, stdout=log, stderr=log, env=os.environ | (env or {})))

    def scheduler(self, first: str = "", env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        where = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(self.file)]
        process = self.start("scheduler", *where, first=first, env=env)
        while not self.file.exists() or not self.file.read_text().endswith("}"):
            assert process.poll() is None, "the scheduler ended before it answered"
            time.sleep(0.05)
        return process

    def worker(self, *args: str, first: str = "", env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        place = str(self.folder / f"worker-{self.started}")
        rest = ["--scheduler-file", str(self.file), "--nthreads", "2", "--no-dashboard", "--local-directory", place]
        return self.start("worker", *rest, *args, first=first, env=env)

    @property
    def address(self) -> str:
        return json.loads(self.file.read_text())["address"]

    def end(self) -> None:
        with self.lock:
            self.over = True
        self.ends.close()


@pytest.fixture
def hands(tmp_path: Path) -> Iterator[Hands]:
    made = Hands(tmp_path / "dask")
    yield made
    made.end()


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hands]:
    """A scheduler to which workers come, one test's after another's."""
    made = Hands(tmp_path_factory.mktemp("dask"))
    made.scheduler()
    yield made
    made.end()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (roster, dealing):
        monkeypatch.setattr(module, "LOOK_S", 0.5)


def told(run: Curate, capfd: pytest.CaptureFixture[str], *flags: str) -> tuple[int, str]:
    """Exit code of a build, and its last line on standard error."""
    capfd.readouterr()
    code = run("build", *flags)
    said = capfd.readouterr().err
    assert "Traceback" not in said, said
    return code, said.splitlines()[-1]


NO_NANNY = "--no-nanny"  # a nanny starts its worker without what is put first

LACKS = {
    "nothing of ours": (HIDDEN, "has no curation, cannot import it .*No module named 'curation'.*install curation"),
    "an older version": (OLDER, "runs curation 0.0.9, this is .*install the same version on all"),
    "other sources": (OTHER_SOURCES, "runs other sources of curation"),
    "another dask": (OTHER_DASK, "runs distributed 2025.1.0, this is"),
    "another Python": (OTHER_PYTHON, "runs Python 3.99.1, this is 3"),
    "another folder": (ELSEWHERE, "cannot read and write .*root.*take a --root that all machines share"),
}


@pytest.mark.parametrize("lacks", LACKS)
def test_a_worker_that_cannot_do_the_work_is_named_before_anything_is_built(standing, built, tmp_path, capfd, lacks):
    first, why = LACKS[lacks]
    worker = standing.worker(NO_NANNY, first=first)
    run = Curate(built.world, tmp_path / "root")
    code, line = told(run, capfd, "--scheduler", standing.address)
    kill(worker)
    with Client(standing.address) as client:  # the next test's build would ask this one, too
        while client.scheduler_info()["workers"]:
            time.sleep(0.1)
    assert code == 2, line
    assert re.search(rf"curate: --scheduler {standing.address}: worker tcp://127\S+ (on host \S+ )?{why}", line), line
    assert not list(run.root.rglob("*.zarr"))
    assert not list(run.root.rglob("ledger/*/*/000001.jsonl"))


@pytest.mark.parametrize("lacks", ["nothing of ours", "an older version", "another Python"])
def test_a_scheduler_that_cannot_do_the_work_is_named(hands, built, tmp_path, capfd, lacks):
    first, why = LACKS[lacks]
    hands.scheduler(first=first)
    code, line = told(Curate(built.world, tmp_path / "root"), capfd, "--scheduler", hands.address)
    assert code == 2, line
    assert re.search(rf"curate: --scheduler {hands.address}: the scheduler (on host \S+ )?{why}", line), line


def test_a_worker_that_joins_later_and_cannot_do_the_work_is_left_out_by_name(hands, built, tmp_path, caplog):
    hands.scheduler()
    hands.worker(NO_NANNY)
    with cluster.connect(hands.address) as client:
        hands.worker(NO_NANNY, first=HIDDEN)
        found = {}
        for batch in cluster.stream(client, work, [0.5 + n / 1000 for n in range(60)]):
            found |= dict(batch)
    assert found == {0.5 + n / 1000: 0.5 + n / 1000 for n in range(60)}
    assert "has no curation" in caplog.text
    assert "it is given no work" in caplog.text


def kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


GONE_S = 90
"""Within which a worker that was told to end has ended: where its stream to the scheduler was cancelled while it wrote, Dask
waits 30 seconds for it, and goes then."""


def terminate(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(GONE_S)


@pytest.mark.parametrize("end", [kill, terminate])
def test_a_build_whose_workers_are_all_lost_goes_on_with_those_that_come(hands, built, tmp_path, end: Callable, capfd):
    hands.scheduler()
    first = hands.worker(NO_NANNY)
    run = Curate(built.world, tmp_path / "root")

    def change() -> None:
        while not list(run.root.rglob("ledger/*/*/000002.jsonl")):
            time.sleep(0.02)
        end(first)
        time.sleep(3)
        hands.worker()  # with a nanny, at another address

    threading.Thread(target=change, daemon=True).start()
    assert run("build", "--scheduler", hands.address) == 0
    assert "no workers to go on with" in capfd.readouterr().err
    assert run("pack") == 0
    assert run.hashes() == built.hashes()


def marked(where: str) -> str:
    Path(f"{where}.{os.getpid()}").touch()
    time.sleep(4)
    return where


def terminate_all(process: subprocess.Popen[bytes]) -> None:
    """As batch systems and service managers do: the nanny and its worker at once."""
    for its in [*psutil.Process(process.pid).children(recursive=True), process]:
        its.terminate()
    process.wait(GONE_S)


LEAVES = {
    "alone": (NO_NANNY, terminate),
    "by its nanny": ("--nanny", terminate),
    "as a job": ("--nanny", terminate_all),
}


@pytest.mark.parametrize("how", LEAVES)
def test_workers_that_leave_are_no_failure_of_the_items(hands, tmp_path, monkeypatch, how):
    monkeypatch.setattr(dealing, "LOSSES", 1)  # two losses are a failure
    nanny, end = LEAVES[how]
    hands.scheduler(env={"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"})
    one, items = hands.worker(nanny), [str(tmp_path / "a"), str(tmp_path / "b")]
    with cluster.connect(hands.address) as client:

        def change(one: subprocess.Popen[bytes]) -> None:
            for n in range(3):
                while len(list(tmp_path.glob("a.*"))) <= n:
                    time.sleep(0.05)
                end(one)
                one = hands.worker(nanny)

        threading.Thread(target=change, args=[one], daemon=True).start()
        found = dict(p for batch in cluster.stream(client, marked, items) for p in batch)
    assert found == {s: s for s in items}
    assert len(list(tmp_path.glob("a.*"))) == 4


def test_an_item_that_kills_its_workers_fails_alone_and_by_name(hands):
    hands.scheduler(env={"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"})
    hands.worker()  # its nanny starts it again
    with cluster.connect(hands.address) as client:
        found = dict(p for batch in cluster.stream(client, killing, range(8)) for p in batch)
    assert isinstance(found[3], dealing.WorkersLostError)
    assert {n: r for n, r in found.items() if n != 3} == {n: n for n in range(8) if n != 3}


def test_a_scheduler_that_dies_is_one_line_and_the_same_command_goes_on(hands, built, tmp_path):
    process = hands.scheduler()
    hands.worker()
    run = Curate(built.world, tmp_path / "root")
    begin = f"{TOLD}import sys\nfrom curation.cli.main import main\nsys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", begin, *run.arguments("build", "--scheduler", hands.address)]
    with started(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as build:
        while not list(run.root.rglob("ledger/*/*/000002.jsonl")):
            assert build.poll() is None
            time.sleep(0.02)
        kill(process)
        said = ended(build, logs=hands.folder)
        assert build.returncode == 1, said
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith(f"curate: --scheduler {hands.address}: was lost")
    assert run() == 0
    assert run("pack") == 0
    assert run.hashes() == built.hashes()


def test_a_scheduler_that_wants_certificates(hands, monkeypatch, tmp_path):
    for name in ("CA_FILE", "CLIENT__CERT", "CLIENT__KEY"):
        monkeypatch.delenv(f"DASK_DISTRIBUTED__COMM__TLS__{name}", raising=False)
    match = r"tls://127.0.0.1:1: wants certificates.*comm\.tls\.ca-file.*CA_FILE"
    with pytest.raises(ConfigError, match=match), cluster.connect("tls://127.0.0.1:1"):
        pass
