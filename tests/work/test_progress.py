"""What a person sees of long work, piped and at a terminal."""

import contextlib
import logging
import os
import pty
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from curation.errors.words import counted, plural
from curation.work import progress
from curation.work.progress import Counting, Doing, clock, shown_bytes
from tests.processes import started
from tests.run import Curate
from tests.world import World

pytestmark = pytest.mark.alone


@pytest.fixture
def clocked(monkeypatch: pytest.MonkeyPatch):
    """Sets how many seconds have gone by."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])

    def go(seconds: float) -> None:
        now[0] += seconds

    return go


def test_a_line_says_how_far_how_fast_how_many_bytes_and_how_long(clocked):
    with Counting("build", 400, "patch", "stored") as count:
        clocked(20)
        assert count.line() == "0/400 patches  20 s"
        count.add(["ok"] * 90 + ["cloudy:s2l2a"] * 10, 1_500_000_000)
        clocked(20)
        assert count.line() == (
            "100/400 patches  2.5 patches/s  1.5 GB stored at 37.5 MB/s  40 s  about 2:00 left  ok 90  cloudy:s2l2a 10"
        )
        count.add(["ok"] * 300)
        assert "left" not in count.line()


def test_a_line_says_what_is_being_done_until_something_is_finished(clocked):
    count = Counting("build", 10, "patch", doing=lambda: "12 searches answered")
    clocked(3)
    assert count.line() == "0/10 patches  3 s  12 searches answered"
    count.step()
    assert "searches" not in count.line()


def test_where_nobody_knows_how_much_there_is_no_end_is_told(clocked):
    with Counting("search", None, "item") as count:
        clocked(10)
        count.step(1)
        assert count.line() == "1 item  0.1 items/s  10 s"


def test_piped_lines_come_by_themselves_however_long_nothing_is_finished(monkeypatch, caplog):
    monkeypatch.setattr(progress, "PLAIN_EVERY_S", 0.05)
    caplog.set_level(logging.INFO)
    with Counting("build", 3, "patch"), Doing("draw", often_short=True):
        time.sleep(0.4)
    said = [r.message for r in caplog.records]
    assert any(x.startswith("build: 0/3 patches") for x in said)
    assert any(re.fullmatch(r"draw: \d s so far", x) for x in said)
    assert not [t for t in threading.enumerate() if t.name == "curation-progress" and _is_late(t)]


def test_what_is_said_is_the_work_within_and_not_what_it_belongs_to(monkeypatch, caplog):
    monkeypatch.setattr(progress, "PLAIN_EVERY_S", 0.05)
    caplog.set_level(logging.INFO)
    with Doing("build: reading", often_short=True) as outer:
        with Doing("locate: drawing", often_short=True) as inner:
            time.sleep(0.4)
            shown = [column(outer).render(None).plain for column in (progress._Line, progress._Rest)]
            assert (outer.innermost, inner.innermost) == (inner, inner)
        within = [r.message for r in caplog.records]
        time.sleep(0.4)
        assert (outer.innermost, inner.innermost) == (outer, inner)
    assert shown[0] == "locate: drawing"
    assert re.fullmatch(r"\d s so far", shown[1])
    assert within
    assert {x.rpartition(":")[0] for x in within} == {"locate: drawing"}
    assert {x.rpartition(":")[0] for x in (r.message for r in caplog.records[len(within) :])} == {"build: reading"}


def test_what_is_counted_says_how_far_it_is_whatever_is_done_within(clocked):
    with Counting("build", 3, "patch") as count, Doing("server", often_short=True):
        assert count.innermost is count


def _is_late(thread: threading.Thread) -> bool:
    thread.join(2)
    return thread.is_alive()


def test_lines_of_long_work_grow_rarer():
    assert [progress._pause_s(s) for s in (0, 100, 400, 1200, 100_000)] == [10, 10, 20, 60, 60]


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.4, "0 s"), (59.4, "59 s"), (65, "1:05"), (3600 * 2 + 180, "2:03:00"), (86_400 * 3, "3 d 0 h")],
)
def test_times_are_told_for_a_person(seconds, told):
    assert clock(seconds) == told


@pytest.mark.parametrize(
    ("size", "told"),
    [(0, "0 B"), (999, "999 B"), (1200, "1.2 kB"), (99_949, "99.9 kB"), (999_600, "1.0 MB"), (3e15, "3000.0 TB")],
)
def test_bytes_are_told_for_a_person(size, told):
    assert shown_bytes(size) == told


def test_one_is_told_as_one():
    assert [counted(n, "shard") for n in (0, 1, 2)] == ["0 shards", "1 shard", "2 shards"]
    assert [plural(n, 2) for n in ("patch", "search", "item")] == ["patches", "searches", "items"]


def _piped(run: Curate, *args: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", "curation", *run.arguments(*args)], capture_output=True, text=True, check=True
    )
    return ended.stderr


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_piped_commands_say_what_they_do_how_much_and_what_was_there(world: World, tmp_path: Path):
    run = Curate(world, tmp_path)
    first = _piped(run, "build", "--limit", "4")
    assert "locate: drawing all locations" in first
    assert re.search(r"build: 12/12 patches  [\d.]+ patches/s  [\d.]+ kB stored at [\d.]+ [kM]?B/s  ", first)
    again = _piped(run, "build")
    assert "build: 12 of 75 patches are settled already, 63 to build" in again
    assert "build: 63/63 patches" in again
    assert "build: 75 of 75 patches are settled already, 0 to build" in _piped(run, "build")
    assert re.search(r"pack: shards: 2/2 shards  .* stored at", _piped(run, "pack"))
    assert "pack: 2 of 2 shards are made already, 0 to make" in _piped(run, "pack")
    assert re.search(r"verify europe/summer: \d/\d slabs  .* read at", _piped(run, "verify"))
    report = _piped(run, "report")
    assert "report: reading what is recorded" in report
    assert "report: drawing" in report


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_terminal_has_a_live_line_with_rate_and_bytes_that_fits_it(world: World, tmp_path: Path):
    run = Curate(world, tmp_path)
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": "100", "TERM": "xterm"}
    command = [sys.executable, "-m", "curation", *run.arguments()]
    with (
        open(ours, "rb", buffering=0) as seen,  # noqa: PTH123 - a handle
        started(command, stderr=theirs, stdout=subprocess.DEVNULL, env=environment) as process,
    ):
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # the end
            while data := seen.read(65_536):
                shown += data
        assert process.wait() == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    lines = [x.rstrip() for x in re.split(r"[\r\n]+", text)]
    live = [x for x in lines if re.match(r"build\s+[━╸╺]", x)]
    assert any(re.search(r"\d+/75 patches  [\d.]+ patches/s  .* stored at", x) for x in live)
    assert max(map(len, live)) <= 100
    assert "build: 75/75 patches" in text, "its end stays"
