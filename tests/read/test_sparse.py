"""Files of which only some bytes are here: whatever was asked for ahead, what is read are the file's bytes."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.model import ReadError
from curation.read import sparse
from curation.read.blocks import GAP_BYTES, Span
from curation.read.ranges import Place
from curation.read.sparse import Counts, Pieces, SparseFile

DATA = random.Random(3).randbytes(700_000)
EDGE = st.integers(0, len(DATA))
SPAN = st.tuples(EDGE, EDGE).map(lambda e: Span(min(e), max(e) + 1))


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    made = tmp_path_factory.mktemp("sparse") / "file.bin"
    made.write_bytes(DATA)
    return made


def opened(path, limit=10**9):
    counts, pieces = Counts(), Pieces(limit)
    return SparseFile(Place(str(path)), "file.bin", counts, pieces), counts, pieces


@settings(deadline=None, max_examples=60)
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
            file.ask([inside])
            largest = max(largest, inside.stop - inside.start)
            assert pieces.bytes <= max(limit, largest)
        elif what == "read":
            assert file.read(span.start, span.stop - span.start) == DATA[span.start : span.stop]
            largest = max(largest, span.stop - span.start)
        else:
            file.forget()
            assert pieces.bytes == 0


@settings(deadline=None, max_examples=60)
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
