"""Threads that ask: as an executor's, but who leaves waits for none of them."""

import threading
import time

import pytest

from curation.scenes.askers import Askers


def test_what_is_asked_is_given_or_raised_and_no_more_than_so_many_ask_at_a_time():
    most, now, lock = [0], [0], threading.Lock()

    def ask(number: int) -> int:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.01)
        with lock:
            now[0] -= 1
        if number == 7:
            raise KeyError("seven")
        return number * 2

    with Askers(3) as askers:
        futures = [askers.submit(ask, n) for n in range(12)]
        assert [f.result() for n, f in enumerate(futures) if n != 7] == [2 * n for n in range(12) if n != 7]
        with pytest.raises(KeyError, match="seven"):
            futures[7].result()
    assert most == [3]


def test_who_leaves_waits_for_nobody_and_nothing_more_is_begun():
    answer, begun = threading.Event(), []

    def ask(number: int) -> int:
        begun.append(number)
        assert answer.wait(20)
        return number

    began = time.monotonic()
    with Askers(2) as askers:
        futures = [askers.submit(ask, n) for n in range(5)]
        while len(begun) < 2:
            time.sleep(0.001)
    assert time.monotonic() - began < 10
    assert not futures[0].done()
    answer.set()
    assert [f.result(20) for f in futures[:2]] == [0, 1]  # what runs is left to itself
    for thread in askers._threads:
        thread.join(20)
        assert not thread.is_alive()
    assert begun == [0, 1]
    assert all(f.cancelled() for f in futures[2:])
