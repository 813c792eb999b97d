"""What all tests rely on: each is found, and what they share is made once and stays as it was."""

from __future__ import annotations

import fnmatch
import multiprocessing
import os
import time
from pathlib import Path

import pytest

from tests import once
from tests.conftest import longest_first, others
from tests.run import Curate

TESTS = Path(__file__).parent


def test_pytest_looks_into_every_folder_that_has_tests(pytestconfig: pytest.Config):
    parts = {part for path in TESTS.rglob("test_*.py") for part in path.relative_to(TESTS).parent.parts}
    assert "build" in parts, "which pytest leaves out where nobody says otherwise"
    left_out = {
        part for part in parts for pattern in pytestconfig.getini("norecursedirs") if fnmatch.fnmatch(part, pattern)
    }
    assert left_out == set()


def _make(folder: Path) -> None:
    folder.mkdir()
    time.sleep(0.1)
    (folder / "by").write_text(str(os.getpid()))


def _asked(folder: Path, told: multiprocessing.SimpleQueue) -> None:
    told.put((once.made_once(folder, _make) / "by").read_text())


def test_of_processes_that_ask_at_once_one_makes_it_and_the_others_wait(tmp_path: Path):
    context = multiprocessing.get_context("fork")
    told = context.SimpleQueue()
    processes = [context.Process(target=_asked, args=(tmp_path / "made", told)) for _ in range(4)]
    for process in processes:
        process.start()
    assert len({told.get() for _ in processes}) == 1
    for process in processes:
        process.join()


def test_what_could_not_be_made_is_made_by_the_next_who_asks_from_nothing(tmp_path: Path):
    def half(folder: Path) -> None:
        _make(folder)
        (folder / "half").touch()
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        once.made_once(tmp_path / "made", half)
    once.made_once(tmp_path / "made", _make)
    assert [p.name for p in (tmp_path / "made").iterdir()] == ["by"]
    once.made_once(tmp_path / "made", half)  # stands already


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (lambda f: (f / "a").write_text("other"), ["a"]),
        (lambda f: (f / "a").write_text("text"), ["a"]),  # the same again
        (lambda f: (f / "a").unlink(), ["a"]),
        (lambda f: (f / "b" / "new").touch(), ["b/new"]),
        (lambda f: (f / "b" / "c").rename(f / "a"), ["a", "b/c"]),
    ],
)
def test_a_test_that_changes_what_others_share_fails_and_not_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, change, names
):
    assert "as_they_were" in request.fixturenames, "which asks after each test"
    (tmp_path / "b").mkdir()
    (tmp_path / "a").write_text("text")
    (tmp_path / "b" / "c").write_text("c")
    monkeypatch.setattr(once, "AS_MADE", {"mine": (tmp_path, once.contents(tmp_path))})
    once.check(["mine", "tmp_path"])
    time.sleep(0.02)  # file systems tell times in steps
    change(tmp_path)
    once.check(["tmp_path"])  # of one that does not use it
    with pytest.raises(AssertionError) as told:
        once.check(["mine"])
    assert all(str(tmp_path / name) in str(told.value) for name in names)
    once.check(["mine"])


def test_what_is_built_once_is_looked_at(built: Curate):
    assert {"world", "built"} <= once.AS_MADE.keys()
    folder, there = once.AS_MADE["built"]
    assert folder == built.root
    assert len(there) > 100


def test_files_that_may_take_longest_come_first_and_then_those_of_most_tests():
    class Item:
        def __init__(self, path: str, limit: int | None = None) -> None:
            self.path, self.limit = Path(path), limit

        def get_closest_marker(self, name: str) -> pytest.Mark | None:
            return pytest.mark.timeout(self.limit).mark if name == "timeout" and self.limit else None

    items = [Item("a"), Item("b"), Item("b"), Item("c"), Item("c", 900), Item("c"), Item("d", 1800), Item("e", 1800)]
    items.append(Item("d"))
    longest_first(items)
    assert "".join(str(item.path) for item in items) == "ddecccbba"


def test_of_tests_that_differ_by_parameters_the_first_that_is_fast_is_left():
    class Item:
        def __init__(self, nodeid: str, slow: bool = False) -> None:
            self.nodeid, self.slow = nodeid, slow

        def get_closest_marker(self, name: str) -> pytest.Mark | None:
            return pytest.mark.slow.mark if name == "slow" and self.slow else None

    every = [
        Item("a::x"),
        Item("a::y[1]", slow=True),
        Item("a::y[2]"),
        Item("a::y[3-[]]"),
        Item("b::y[1]"),
        Item("b::y[2]"),
    ]
    assert [item.nodeid for item in others(every)] == ["a::y[3-[]]", "b::y[2]"]
