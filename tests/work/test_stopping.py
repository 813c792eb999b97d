"""Told to end, by whom and however often: one line, the exit code of the signal, nothing left, and a rerun goes on."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from curation.cli import main
from curation.work import stopping
from curation.work.stopping import Stopped
from tests.pack.labels.files import label_file
from tests.processes import started, stopped
from tests.properties import fast
from tests.run import Curate, scheduler_by_hand
from tests.world import World, recipe

pytestmark = pytest.mark.alone

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

SLOW = """
import sys, time
from curation import pipeline
from curation.__main__ import main
from curation.build.slab import build_slab
from curation.pack import pack
from curation.pack.shard import write_shard
def build_slowly(job):
    time.sleep(0.4)
    return build_slab(job)
def write_slowly(job):
    time.sleep(0.4)
    return write_shard(job)
if __name__ == "__main__":
    pipeline.build_slab, pack.write_shard = build_slowly, write_slowly
    sys.exit(main())
"""
"""The command, whose slabs take long enough for something to come between."""


SCHEDULERS = ["none", pytest.param("local", marks=pytest.mark.slow)]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("scheduler", "group"), fast([("none", True)], itertools.product(["none", "local"], [False, True]))
)
def test_sigterm_ends_a_build_as_ctrl_c_does_and_the_same_command_goes_on(
    built: Curate, tmp_path: Path, scheduler: str, group: bool
):
    run = Curate(built.world, tmp_path / "root")
    script = _slow(tmp_path)
    command = [sys.executable, str(script), *run.arguments("build", "--scheduler", scheduler)]
    code, lines = stopped(command, "search ", [signal.SIGTERM], group=group)
    assert code == 143, "".join(lines)
    assert lines[-1] == "curate: stopped; the same command goes on from here\n"
    assert not list(tmp_path.rglob("*.part"))
    assert run() == 0
    assert {s.key: built.store.get(s.key) for s in built.store.list("cubes")} == {
        s.key: run.store.get(s.key) for s in run.store.list("cubes")
    }


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_sigterm_ends_a_build_on_a_cluster_of_somebody_elses_and_leaves_that_running(built: Curate, tmp_path: Path):
    run = Curate(built.world, tmp_path / "root")
    with scheduler_by_hand(tmp_path / "dask") as (address, processes):
        command = [sys.executable, "-m", "curation", *run.arguments("build", "--scheduler", address)]
        code, lines = stopped(command, "search ", [signal.SIGTERM], group=True)
        assert code == 143, "".join(lines)
        assert lines[-1] == "curate: stopped; the same command goes on from here\n"
        assert [p.poll() for p in processes] == [None] * 3
        assert run("build", "--scheduler", address) == 0
    assert {s.key: built.store.get(s.key) for s in built.store.list("cubes")} == {
        s.key: run.store.get(s.key) for s in run.store.list("cubes")
    }


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_sigterm_ends_pack_and_the_same_command_goes_on(built: Curate, tmp_path: Path, scheduler: str):
    run = Curate(built.world, tmp_path / "root")
    assert run() == 0
    command = [sys.executable, str(_slow(tmp_path)), *run.arguments("pack", "--scheduler", scheduler)]
    code, lines = stopped(command, "pack: facts", [signal.SIGTERM], group=False)
    assert code == 143, "".join(lines)
    assert lines[-1] == "curate: stopped; the same command goes on from here\n"
    assert run("pack") == 0
    assert run.hashes() == built.hashes()


HELD = """
import sys, time
from curation.__main__ import main
from curation.store.objects import Store
from curation.verify import cubes
def held(work, number, calls=[]):
    def slowly(*args, **how):
        calls.append(work)
        if calls.count(work) == number:
            print("at work", file=sys.stderr, flush=True)
            time.sleep(2)
        return work(*args, **how)
    return slowly
if __name__ == "__main__":
    number = int(sys.argv.pop(1))
    if sys.argv[1] == "verify":
        cubes._slab = held(cubes._slab, number)
    else:
        Store.publish = held(Store.publish, number)
    sys.exit(main())
"""
"""The command, held up where it publishes the n-th object, or verifies the n-th slab."""

MIDWAY = {
    "export": (4, ["--format", "npz", "--season", "summer", "--scheduler", "none"]),
    "labels": (2, ["import"]),  # between the table and the record that makes it count
    "verify": (2, []),
    "report": (1, []),
}


@pytest.mark.slow
@pytest.mark.parametrize("verb", MIDWAY)
def test_sigterm_ends_every_other_step_as_it_ends_a_build_and_the_same_command_goes_on(
    built: Curate, tmp_path: Path, verb: str
):
    number, flags = MIDWAY[verb]
    script, (run, whole) = tmp_path / "held.py", (built.copy(tmp_path / name) for name in ("stopped", "whole"))
    script.write_text(HELD)
    (tmp_path / "labels.json").write_text(json.dumps(label_file(built.folder / "shards")))

    def words(its: Curate) -> list[str]:
        where = ["--dataset", str(its.world.recipe), "--root", str(its.root)]
        more = {"labels": [str(tmp_path / "labels.json")], "export": ["--to", str(its.root / "exported")]}
        return [verb, *flags, *more.get(verb, []), *where]

    command = [sys.executable, str(script), str(number), *words(run)]
    code, lines = stopped(command, "at work", [signal.SIGTERM], group=True)
    assert code == 143, "".join(lines)
    assert lines[-1] == "curate: stopped; the same command goes on from here\n"
    assert not [p for p in run.root.rglob("*") if p.suffix == ".part"]
    assert main.main(words(run)) == main.main(words(whole)) == 0
    assert _files(run) == _files(whole)


def _files(its: Curate) -> dict[str, bytes]:
    """What is below a root; of the page of a report, which tells when it was made, that it is there."""
    found = {p.relative_to(its.root): p for p in its.root.rglob("*") if p.is_file()}
    return {str(k): b"" if k.suffix == ".html" else p.read_bytes() for k, p in found.items()}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("number", "gap_s", "scheduler"),  # each two of them meet
    fast(
        ((signal.SIGINT, 0.2, "none"), (signal.SIGTERM, 1.1, "none")),
        [
            (signal.SIGINT, 0.2, "none"),
            (signal.SIGTERM, 1.1, "none"),
            (signal.SIGINT, 1.1, "local"),
            (signal.SIGTERM, 0.2, "local"),
        ],
    ),
)
def test_a_second_signal_tears_nothing_up_while_the_first_one_cleans_up(
    world: World, tmp_path: Path, scheduler: str, gap_s: float, number: signal.Signals
):
    run = Curate(world, tmp_path / "root")
    command = [sys.executable, str(_slow(tmp_path)), *run.arguments("build", "--scheduler", scheduler)]
    code, lines = stopped(command, "search ", [number, number, number], gap_s, group=True)
    assert code in (128 + number, -number), "".join(lines)  # -: it came when nothing was left but to go
    assert lines[-1].startswith("curate: stopped")
    assert len([x for x in lines if x.startswith("curate:")]) <= 2
    assert run() == 0


@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.slow
def test_a_signal_while_the_command_is_still_loading_ends_it_in_one_line(world: World, tmp_path: Path, number):
    run = Curate(world, tmp_path / "root")
    code = (
        "import sys, curation.__main__ as entry, importlib.abc\n"
        "class Said(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'curation.pipeline':\n"
        "            print('loading', file=sys.stderr, flush=True)\n"
        "sys.meta_path.insert(0, Said())\n"
        "sys.exit(entry.main())\n"
    )
    ended, lines = stopped([sys.executable, "-c", code, *run.arguments()], "loading", [number], group=False)
    assert ended == 128 + number
    assert lines[-1] == "curate: stopped before it began\n"
    assert not run.root.exists()


class Silent(BaseHTTPRequestHandler):
    """A catalog that says what it has, and answers no search."""

    asked: threading.Event

    def do_GET(self) -> None:
        own = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        extent = {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}}
        about = {"stac_version": "1.0.0", "description": "d", "license": "x", "links": []}
        collection = {"type": "Collection", "id": "sentinel-2-l2a", "extent": extent, **about}
        forms = ("core", "item-search", "collections", "ogcapi-features", "item-search#query")
        links = [
            {"rel": "search", "href": f"{own}/search", "method": "POST"},
            {"rel": "data", "href": f"{own}/collections"},
        ]
        root = {"type": "Catalog", "id": "x", **about, "links": links}
        root["conformsTo"] = [f"https://api.stacspec.org/v1.0.0/{form}" for form in forms]
        named = {"collections": {"collections": [collection], "links": []}, "sentinel-2-l2a": collection}
        body = json.dumps(named.get(self.path.rpartition("/")[2], root)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.asked.set()
        threading.Event().wait(120)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_sigterm_ends_a_build_whose_catalog_answers_no_search(world: World, tmp_path: Path):
    asked = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("_Silent", (Silent,), {"asked": asked}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    mine = world.from_afar(tmp_path / "afar")
    mine.recipe.write_text(recipe("Asked in vain", "s2l2a = {}"))
    where = ["--dataset", str(mine.recipe), "--root", str(tmp_path / "root"), "--scheduler", "none"]
    command = [
        sys.executable,
        "-m",
        "curation",
        "build",
        *where,
        "--catalog",
        f"http://127.0.0.1:{server.server_port}/v1",
    ]
    with started(command, stderr=subprocess.PIPE, text=True) as process:
        assert asked.wait(100)
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert process.stderr is not None
        lines = process.stderr.readlines()
        assert process.wait(60) == 143
    assert time.monotonic() - began < 30  # it would wait for as many tries of a minute as are made
    assert lines[-1] == "curate: stopped; the same command goes on from here\n"
    server.shutdown()
    server.server_close()


def _slow(folder: Path) -> Path:
    script = folder / "slow.py"
    script.write_text(SLOW)
    return script


# ---- in this process -------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def taken() -> Iterator[None]:
    """Signals are taken, where the tests run in the background of a script, which ignores some."""
    before = {n: signal.signal(n, signal.SIG_DFL) for n in SIGNALS}
    yield
    for number, how in before.items():
        signal.signal(number, how)


def _handlers() -> list[object]:
    return [signal.getsignal(n) for n in SIGNALS]


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_is_raised_and_what_follows_at_once_is_not(number: signal.Signals):
    before = _handlers()
    cleaned = []

    def work() -> None:
        try:
            signal.raise_signal(number)
        finally:
            signal.raise_signal(number)
            cleaned.append(True)

    with stopping.by_signals(), pytest.raises(Stopped) as told:
        work()
    assert told.value.code == 128 + number
    assert cleaned == [True]
    assert _handlers() == before


def test_what_was_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
    try:
        with stopping.by_signals():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_comes_while_something_is_begun_is_raised_when_it_has_begun(number: signal.Signals):
    begun = []

    def work() -> None:
        with stopping.later():
            os.kill(os.getpid(), number)
            time.sleep(0.05)
            begun.append(True)

    with stopping.by_signals(), pytest.raises(Stopped):
        work()
    assert begun == [True]


@pytest.mark.slow
def test_processes_started_meanwhile_take_no_ctrl_c():
    with contextlib.ExitStack() as stack:
        with stopping.later():
            child = stack.enter_context(started([sys.executable, "-c", "import time; time.sleep(60)"]))
        time.sleep(0.5)
        child.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert child.poll() is None


KILLED = """
import multiprocessing, os, signal
from curation.work import stopping
spawn = multiprocessing.get_context("spawn")
def child():
    lock = spawn.Lock()
    print(lock._semlock.name, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
if __name__ == "__main__":
    with stopping.later():
        process = spawn.Process(target=child)
        process.start()
    process.join()
"""
"""Starts a process that makes a semaphore, as Blosc does in each worker, and is killed."""


def test_semaphores_of_killed_processes_are_given_back_without_a_word(tmp_path: Path):
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    ended = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=240)
    name = ended.stdout.strip()
    assert name.startswith("/")
    assert ended.stderr == ""
    assert not Path("/dev/shm", f"sem.{name[1:]}").exists()


def test_a_signal_that_is_raised_where_nothing_can_be_is_raised_again():
    class Thing:
        pass

    def gone(_: object) -> None:
        signal.raise_signal(signal.SIGTERM)  # what is raised in such a callback is lost

    def work() -> None:
        thing = Thing()
        noted = weakref.ref(thing, gone)
        del thing
        assert noted() is None
        time.sleep(5)

    with stopping.by_signals(), pytest.raises(Stopped):
        work()


def test_threads_other_than_the_main_one_leave_signals_alone():
    before, seen = _handlers(), []

    def other() -> None:
        with stopping.by_signals(), stopping.later():
            seen.extend(_handlers())

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert seen == before
