"""The sampler of the builds' benchmark: what functions and threads use is told as theirs, without what only waits."""

from __future__ import annotations

import hashlib
import threading
import time

import pytest

from tests.benchmarks.builds import layers, sampler
from tests.benchmarks.builds.sampler import Place, Profile, Sampler


def python(cpu_s: float) -> None:
    """Holds the interpreter's lock most of the time."""
    until = time.thread_time() + cpu_s
    while time.thread_time() < until:
        sum(range(500))


def native(cpu_s: float) -> None:
    """Lets go of it."""
    until, data = time.thread_time() + cpu_s, bytes(1 << 20)
    while time.thread_time() < until:
        hashlib.sha256(data).digest()


def idle(ended: threading.Event) -> None:
    ended.wait()


def build_slab(cpu_s: float, wait_s: float) -> None:
    python(cpu_s)
    time.sleep(wait_s)


@pytest.fixture(autouse=True)
def ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """This file is the program that is looked into."""
    monkeypatch.setattr(sampler, "OURS", "/tests/")


def seen(*threads: threading.Thread) -> Profile:
    looker = Sampler(0.005)
    looker.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return looker.stop()


def of(profile: Profile, function: str) -> float:
    return sum(s for place, s in profile.at_work.items() if place.function == function)


def test_cpu_is_told_of_the_function_that_used_it_whether_it_holds_the_interpreter_or_not():
    ended = threading.Event()
    waits = threading.Thread(target=idle, args=(ended,))
    waits.start()
    found = seen(threading.Thread(target=python, args=(0.3,)), threading.Thread(target=native, args=(0.15,)))
    ended.set()
    waits.join()
    # What a thread used since it was looked at last, before it ended, is not seen: on a busy machine that is much.
    assert 0.1 < of(found, "python") < 0.4
    assert 0.03 < of(found, "native") < 0.25
    assert of(found, "idle") < 0.01
    assert sum(found.by_thread.values()) <= found.cpu_s + 0.05


def test_what_a_thread_that_builds_does_not_use_it_waited():
    found = seen(threading.Thread(target=build_slab, args=(0.1, 0.6)))
    waited = sum(found.waiting.values())
    assert 0.03 < found.tasks_cpu_s < 0.2
    assert waited > 0.3
    # Of each look the three are told by clocks that are read one after the other: not to the last tenth.
    assert found.tasks_s == pytest.approx(found.tasks_cpu_s + found.tasks_queued_s + waited, rel=0.4)


def test_profiles_of_several_processes_add_up():
    one, other = Profile(wall_s=1.0, looks=2), Profile(wall_s=2.0, looks=3)
    one.at_work[Place("curation/read/warp.py", "f", "")] = 1.0
    other.at_work[Place("curation/read/warp.py", "f", "")] = 2.0
    one.add(other)
    assert (one.wall_s, one.looks, one.at_work.total()) == (3.0, 5, 3.0)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("curation/read/warp.py", "resample and crop onto the grid"),
        ("curation/read/image.py", "decode blocks"),
        ("curation/read/http.py", "fetch bytes"),
        ("curation/build/walk.py", "masks, choice, quality"),
        ("curation/store/ledger.py", "ledger"),
        ("curation/verify/verify.py", "verify"),
        ("distributed", "Dask"),
        ("pyarrow", "other Python (pyarrow)"),
    ],
)
def test_the_longest_beginning_says_what_a_file_does(file, name):
    assert layers.layer(Place(file, "f", "")) == name


def test_shares_are_of_all_that_was_seen():
    profile = Profile()
    profile.at_work[Place("curation/read/warp.py", "f", "")] = 3.0
    profile.native["tokio"] = 1.0
    assert layers.shares(profile) == [("resample and crop onto the grid", 0.75), ("threads of libraries (tokio)", 0.25)]
