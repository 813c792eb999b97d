"""Blocks and ranges: what is planned covers what is wanted, once."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from curation.read import blocks
from curation.read.blocks import PixelWindow, Span, coalesced, of_window

SPANS = st.lists(st.builds(lambda a, n: Span(a, a + n), st.integers(0, 10**6), st.integers(1, 50_000)), max_size=60)


@given(
    st.integers(0, 400),
    st.integers(0, 400),
    st.integers(1, 300),
    st.integers(1, 300),
    st.integers(1, 99),
    st.integers(1, 99),
)
def test_the_blocks_of_a_window_are_those_that_hold_its_pixels(col, row, width, height, block_width, block_height):
    found = list(of_window(PixelWindow(col, row, width, height), block_width, block_height))
    assert len(found) == len(set(found))
    assert set(found) == {
        (x // block_width, y // block_height) for x in range(col, col + width) for y in range(row, row + height)
    }


@given(SPANS)
def test_each_span_lies_in_one_request_and_no_byte_is_asked_for_twice(spans):
    made = coalesced(spans)
    assert all(any(s.start >= m.start and s.stop <= m.stop for m in made) for s in spans)
    assert made == sorted(made)
    disjoint = all(a.stop <= b.start for a, b in itertools.pairwise(made))
    overlapping = any(a.stop > b.start for a in spans for b in spans if a.start < b.start)
    assert disjoint or overlapping


@given(SPANS)
def test_few_bytes_between_are_read_along_and_many_are_not(spans):
    made = coalesced(spans)
    for a, b in itertools.pairwise(made):
        assert b.start - a.stop > blocks.GAP_BYTES or b.stop - a.start > blocks.MOST_BYTES
    ends = sorted(spans)
    for m in made:
        reach = m.start
        for s in ends:
            if m.start <= s.start < m.stop:
                assert s.start - reach <= blocks.GAP_BYTES
                reach = max(reach, s.stop)


def test_a_request_has_a_largest_size():
    row = [Span(n * 2**20, (n + 1) * 2**20) for n in range(40)]
    made = coalesced(row)
    assert [m.stop - m.start for m in made] == [blocks.MOST_BYTES] * 5
    assert coalesced([Span(0, 3 * blocks.MOST_BYTES)]) == [Span(0, 3 * blocks.MOST_BYTES)], "one block is never cut"
