"""What a test starts is gone when the test is, however it ended; nothing else starts a process in a test."""

import ast
import os
import re
import socket
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.processes import started

TESTS = Path(__file__).parent

FAMILY = """
import subprocess, sys, time
code = "import time; print('here', flush=True); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(float(sys.argv[1]))
"""
"""Starts a process in a session of its own, says its pid, and ends before it or does not."""


@pytest.mark.parametrize("seconds", [0, 600], ids=["outlived", "running"])
def test_a_block_that_fails_ends_a_process_and_all_that_it_started_and_closes_its_pipes(seconds):
    held = {}

    def fails() -> None:
        command = [sys.executable, "-c", FAMILY, str(seconds)]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        with started(command, **pipes) as process:
            held["process"], held["child"] = process, psutil.Process(int(process.stdout.readline()))
            if not seconds:
                assert process.wait(120) == 0
            assert held["child"].is_running()
            raise ValueError("as a test fails")

    before = psutil.Process().num_fds()
    with pytest.raises(ValueError, match="as a test fails"):
        fails()
    process, child = held["process"], held["child"]
    assert process.returncode == (-9 if seconds else 0)
    assert all(pipe.closed for pipe in (process.stdin, process.stdout, process.stderr))
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    assert psutil.Process().num_fds() == before


def test_a_process_has_the_environment_that_it_is_given_and_this_one_keeps_its_own(monkeypatch):
    monkeypatch.setenv("ONE", "1")
    code = "import os; print(os.environ.get('ONE'), os.environ.get('TWO'))"
    before = dict(os.environ)
    for env, said in ((None, "1 None"), (os.environ | {"TWO": "2"}, "1 2")):
        with started([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True) as process:
            assert process.communicate()[0].split() == said.split()
            assert process.returncode == 0
    assert os.environ == before


LEAVES = """
import gc, subprocess, sys
import pytest
from tests.processes import started

@pytest.mark.timeout(2)
def test_that_runs_into_its_time_limit():
    with started([sys.executable, "-c", "import time; time.sleep(600)"], stderr=subprocess.PIPE) as process:
        process.communicate()

def test_after_it():
    gc.collect()
"""


@pytest.mark.slow
def test_a_test_that_runs_into_its_time_limit_fails_none_after_it(tmp_path: Path):
    # What it left would be told when it is collected, as the fault of whichever test runs then.
    (tmp_path / "test_it.py").write_text(LEAVES)
    flags = ["-p", "pytest_timeout", "-p", "no:cacheprovider", "-W", "error", "-c", os.devnull, "--rootdir", "."]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *flags, "test_it.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(TESTS.parent), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "1 failed, 1 passed" in done.stdout, done.stdout
    assert "FAILED" in done.stdout
    assert "test_that_runs_into_its_time_limit" in done.stdout


@pytest.fixture(scope="class")  # so it is set up before those of a function, and looks when they are done
def left() -> Iterator[list[weakref.ref]]:
    """What the test leaves to the garbage collector, which is gone when it has ended."""
    made: list[weakref.ref] = []
    yield made
    assert [it() for it in made] == [None]


@pytest.mark.filterwarnings("ignore:unclosed", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_a_test_may_leave_to_the_garbage_collector_is_collected_within_it(left):
    sock = socket.socket()
    around = [sock]
    around.append(around)
    left.append(weakref.ref(sock))


def test_tests_start_processes_in_such_blocks_alone():
    # Or by `subprocess.run`, which waits for what it starts, and kills it where it is interrupted.
    free = {}
    for path in sorted(TESTS.rglob("*.py")):
        name = path.relative_to(TESTS).as_posix()
        source = path.read_text()
        if name == "processes.py" or name.startswith("benchmarks/") or "Popen(" not in source:
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("subprocess.Popen", "Popen"):
                free[f"{name}:{node.lineno}"] = ast.unparse(node)[:80]
    assert not free, f"take `tests.processes.started`: {free}"


def test_no_stacks_of_running_threads_are_walked_from_outside_the_interpreter(pytestconfig):
    # A dump by a watchdog (pytest's faulthandler_timeout, dump_traceback_later) does not hold the interpreter's lock: frames
    # come and go under it, and a slow test that would have passed ends all of them by a segmentation fault.
    assert not float(pytestconfig.getini("faulthandler_timeout") or 0)
    asks = [p for p in TESTS.rglob("*.py") if p != Path(__file__) and "dump_traceback_later" in p.read_text()]
    assert not asks


SHARES = """
import os, time
from pathlib import Path
import pytest

@pytest.fixture(scope="module")
def made():
    with Path("made.txt").open("a") as file:
        file.write(f"{os.getpid()}\\n")

@pytest.mark.parametrize("n", range(12))
def test_with_what_is_made_once(made, n):
    time.sleep(0.05)
"""


@pytest.mark.slow
def test_what_a_file_of_tests_shares_is_made_by_one_process_where_several_run(tmp_path: Path):
    # By groups (`--dist loadgroup`) each process made all of it: pytest 9.2 passes over what pytest-xdist 3.8 marks.
    spread = set(re.findall(r"--dist \w+", (TESTS.parent / "Makefile").read_text()))
    assert len(spread) == 1
    for name in ("a", "b", "c"):
        (tmp_path / f"test_{name}.py").write_text(SHARES)
    flags = [
        "-p",
        "xdist",
        "-n",
        "3",
        *spread.pop().split(),
        "-p",
        "no:cacheprovider",
        "-c",
        os.devnull,
        "--rootdir",
        ".",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *flags],
        cwd=tmp_path,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "36 passed" in done.stdout, done.stdout + done.stderr
    makers = (tmp_path / "made.txt").read_text().split()
    assert len(makers) == 3
    assert len(set(makers)) > 1, "files are shared out"
