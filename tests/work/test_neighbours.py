import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.work.neighbours import RUN, Queues


@given(st.integers(0, 60), st.lists(st.integers(0, 3), max_size=200), st.integers(0, 3))
def test_each_item_is_dealt_once_whoever_asks_and_whoever_leaves(count, asking, leaving):
    deal = Queues(range(count))
    got: dict[int, list[int]] = {n: [] for n in range(4)}
    for turn, worker in enumerate(asking):
        lane = deal.take(worker)
        if lane:
            got[worker].append(lane.popleft())
        if turn == len(asking) // 2:
            deal.keep([n for n in range(4) if n != leaving])
    while lane := deal.take(0):
        got[0].append(lane.popleft())
    assert sorted(n for mine in got.values() for n in mine) == list(range(count))


def test_runs_of_neighbours_are_one_workers():
    deal = Queues(range(3 * RUN))
    got = {w: [deal.take(w).popleft() for _ in range(RUN)] for w in "abc"}
    assert got == {w: list(range(k * RUN, (k + 1) * RUN)) for k, w in enumerate("abc")}
    assert not deal.take("a")


def test_items_are_taken_only_as_they_are_needed():
    taken = []

    def items():
        for n in range(100):
            taken.append(n)
            yield n

    deal = Queues(items())
    deal.take("a").popleft()
    assert len(taken) == RUN
    deal.take("b").popleft()
    assert len(taken) == 2 * RUN


def test_one_that_has_nothing_left_takes_the_last_of_the_one_that_has_most():
    deal = Queues(range(RUN))
    assert deal.take("slow").popleft() == 0
    assert deal.take("fast").popleft() == RUN - 1
    assert deal.take("fast").popleft() == RUN - 2
    assert deal.take("slow").popleft() == 1


def test_an_error_of_the_stream_waits_until_what_came_before_is_dealt():
    def items():
        yield from range(3)
        raise ValueError("no more")

    deal = Queues(items())
    assert [deal.take("a").popleft() for _ in range(3)] == [0, 1, 2]
    assert not deal.take("a")
    with pytest.raises(ValueError, match="no more"):
        raise deal.error or AssertionError
