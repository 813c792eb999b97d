"""Files of which only some bytes are here: whatever was asked for ahead, what is read are the file's bytes."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import ReadError
from curation.read import sparse
from curation.read.blocks import GAP_BYTES, Span
from curation.read.pieces import Pieces
from curation.read.signing import FileAddress
from curation.read.sparse import Counts, SparseFile
from tests.loopback import Request, serving
from tests.properties import examples

DATA = random.Random(3).randbytes(700_000)
EDGE = st.integers(0, len(DATA))
SPAN = st.tuples(EDGE, EDGE).map(lambda e: Span(min(e), max(e) + 1))


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    made = tmp_path_factory.mktemp("sparse") / "file.bin"
    made.write_bytes(DATA)
    return made


def soon(is_so: Callable[[], bool]) -> bool:
    """Whether it is within some seconds."""
    until = time.monotonic() + 60
    while not is_so() and time.monotonic() < until:
        time.sleep(0.005)
    return is_so()


def is_through(pieces: Pieces) -> bool:
    """Whether nothing that was asked for runs, or is about to."""
    return pieces.room_bytes == pieces.limit_bytes and all(its.data.done() for its in pieces._order.values())


def opened(path, limit=10**9):
    counts, pieces = Counts(), Pieces(limit)
    return SparseFile(FileAddress(str(path)), "file.bin", counts, pieces), counts, pieces


@settings(deadline=None, max_examples=examples(60))
@given(
    steps=st.lists(st.tuples(st.sampled_from(["ask", "read", "forget"]), SPAN), max_size=25),
    limit=st.sampled_from([1, 50_000, 400_000, 10**9]),
)
def test_what_is_read_are_the_files_bytes_whatever_was_asked_for(path, steps, limit):
    file, _, pieces = opened(path, limit)
    largest = 64 * 2**10  # one piece may be more than all that there is room for
    for what, span in steps:
        inside = Span(min(span.start, len(DATA) - 1), min(span.stop, len(DATA)))
        if what == "ask":
            assert soon(lambda: is_through(pieces)), "nothing runs, or is about to, which could not be dropped"
            file.ask([inside])
            largest = max(largest, inside.stop - inside.start)
            assert pieces.bytes <= max(limit, largest)
        elif what == "read":
            assert file.read(span.start, span.stop - span.start) == DATA[span.start : span.stop]
            largest = max(largest, span.stop - span.start)
        else:
            file.forget()
            assert soon(lambda: pieces.bytes == 0)


@settings(deadline=None, max_examples=examples(60))
@given(st.lists(SPAN, max_size=20))
def test_no_byte_is_fetched_twice_where_all_was_asked_for(path, spans):
    file, counts, _ = opened(path)
    spans = [Span(min(s.start, len(DATA) - 1), min(s.stop, len(DATA))) for s in spans]
    for _ in range(2):
        file.ask(spans)
        for span in spans:
            assert file.read(span.start, span.stop - span.start) == DATA[span.start : span.stop]
    assert counts.unplanned == 0
    wanted = set(range(sparse.HEAD_BYTES)).union(*(range(s.start, s.stop) for s in spans))
    assert counts.bytes <= min(len(wanted) + len(spans) * GAP_BYTES, len(DATA))


def test_small_reads_that_nobody_planned_come_in_pages(path):
    file, counts, _ = opened(path)
    for at in range(sparse.HEAD_BYTES, sparse.HEAD_BYTES + 60_000, 100):
        assert file.read(at, 100) == DATA[at : at + 100]
    assert (counts.requests, counts.unplanned) == (2, 1)


def test_a_file_that_is_not_there_says_so_and_is_asked_for_again_when_it_is(tmp_path):
    file, _, _ = opened(tmp_path / "file.bin")
    for _ in range(2):
        with pytest.raises(ReadError, match=r"^file\.bin: could not be read in 1 tries: FileNotFoundError"):
            file.read(0, 10)
    file.forget()
    (tmp_path / "file.bin").write_bytes(DATA)
    assert file.read(5, 10) == DATA[5:15]


class Held:
    """A server of `DATA` that keeps answers back behind the head, and counts what it was asked for."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go = threading.Event()
        self.firsts: Counter[int] = Counter()

    def answer(self, request: Request) -> None:
        first, _, last = request.headers["Range"].removeprefix("bytes=").partition("-")
        part = DATA[int(first) : int(last) + 1]
        self.firsts[int(first)] += 1
        if int(first):
            self.begun.release()
            self.go.wait(90)
        request.start(
            206, len(part), Content_Range=f"bytes {first}-{int(first) + len(part) - 1}/{len(DATA)}", ETag='"1"'
        )
        request.wfile.write(part)


def far_apart(count: int, size: int = 20_000) -> list[Span]:
    """Spans that are requests of their own."""
    return [Span(at, at + size) for at in range(100_000, 100_000 + 40_000 * count, 40_000)]


def test_pieces_that_nobody_waits_for_count_until_they_are_through():
    held = Held()
    with serving(held.answer) as url:
        pieces = Pieces(10**9)
        file = SparseFile(FileAddress(f"{url}/file.bin", per_host=2), "file.bin", Counts(), pieces)
        file.ask(far_apart(5))
        assert pieces.bytes == 100_000
        for _ in range(2):
            assert held.begun.acquire(timeout=60)
        file.forget()
        assert pieces.bytes == 40_000, "two are running, and what waited for a thread is given up"
        held.go.set()
        assert soon(lambda: pieces.bytes == 0)
        assert sum(held.firsts.values()) == 3, "the head, and those two"


def test_what_is_running_is_not_dropped_to_make_room(path):
    held = Held()
    with serving(held.answer) as url:
        pieces = Pieces(50_000)
        file = SparseFile(FileAddress(f"{url}/file.bin", per_host=2), "file.bin", Counts(), pieces)
        spans = far_apart(5)
        file.ask(spans[:2])
        for _ in range(2):
            assert held.begun.acquire(timeout=60)
        file.ask(spans[2:])
        held.go.set()
        for span in spans[:2]:
            assert file.read(span.start, 20_000) == DATA[span.start : span.stop]
        assert [held.firsts[s.start] for s in spans[:2]] == [1, 1], "dropping them would have freed nothing"


def test_what_is_asked_for_again_stays_and_what_was_asked_for_longest_ago_goes(path):
    file, counts, pieces = opened(path, 90_000)
    spans = far_apart(6)
    for plan in (spans[:4], [*spans[:2], *spans[4:]]):
        file.keep(plan)
        file.ask(plan)
        for span in plan:
            assert file.read(span.start, 20_000) == DATA[span.start : span.stop]
    assert pieces.bytes == 80_000
    assert (counts.requests, counts.unplanned) == (7, 0), "the head, and each span once"


def test_a_head_that_fails_late_takes_no_newer_one_with_it(monkeypatch):
    heads, late, over = [], threading.Event(), threading.Event()

    def answer(request: Request) -> None:
        heads.append(request.path)
        if len(heads) == 1:
            late.wait(90)
            request.send(404)
            over.set()
            return
        request.start(206, 40_000, Content_Range=f"bytes 0-39999/{len(DATA)}", ETag='"1"')
        request.wfile.write(DATA[:40_000])

    monkeypatch.setattr(sparse, "HEAD_BYTES", 40_000)
    with serving(answer) as url:
        files = [SparseFile(FileAddress(f"{url}/file.bin"), f"file{n}.bin", Counts(), Pieces(10**9)) for n in range(3)]
        files[0].ask_head()
        failing = files[0]._head
        assert soon(lambda: bool(heads))
        files[0].forget()
        assert files[1].read(0, 10) == DATA[:10]
        late.set()
        with pytest.raises(ReadError, match="404"):
            failing.result(timeout=60)
        assert files[2].read(0, 10) == DATA[:10]
        assert len(heads) == 2, "the head that came is kept"
