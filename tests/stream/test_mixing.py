"""The plan of a mix: in which order steps of its parts come, and what of each."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.errors import ConfigError
from curation.stream import mixing, plan
from curation.stream.mixing import Course

SIZES = st.lists(st.integers(1, 400), min_size=1, max_size=5)


def courses(sizes, together=4, rates=None):
    rates = rates or sizes
    return [
        Course(plan.own_seed(7, str(i)), n, rate, together)
        for i, (n, rate) in enumerate(zip(sizes, rates, strict=True))
    ]


@given(SIZES, st.integers(1, 9), st.integers(0, 3), st.sampled_from(["mask", "drop"]))
def test_each_step_of_each_part_comes_once_in_an_order_of_its_epoch_alone(sizes, together, epoch, remainder):
    made = courses(sizes, together)
    order = mixing.interleaved(made, [0] * len(sizes), epoch=epoch, remainder=remainder)
    expected = [plan.steps(n, world_size=1, batch=together, remainder=remainder) for n in sizes]
    assert np.bincount(order, minlength=len(sizes)).tolist() == expected
    assert np.array_equal(order, mixing.interleaved(made, [0] * len(sizes), epoch=epoch, remainder=remainder))


@given(SIZES, st.integers(1, 9), st.integers(0, 3), st.data())
def test_what_is_left_after_any_steps_is_the_end_of_the_order(sizes, together, epoch, data):
    made, start = courses(sizes, together), [0] * len(sizes)
    order = mixing.interleaved(made, start, epoch=epoch)
    steps = data.draw(st.integers(0, len(order)))
    at = mixing.consumed(made, start, steps, epoch=epoch)
    assert np.array_equal(mixing.interleaved(made, at, epoch=epoch), order[steps:])
    more = data.draw(st.integers(0, len(order) - steps))
    assert mixing.consumed(made, at, more, epoch=epoch) == mixing.consumed(made, start, steps + more, epoch=epoch)


@given(SIZES, st.lists(st.floats(0.01, 100), min_size=5, max_size=5), st.integers(1, 9))
def test_any_beginning_has_of_each_part_what_its_rate_says_within_a_step(sizes, rates, together):
    rates = rates[: len(sizes)]
    made = courses(sizes, together, rates)
    order = mixing.interleaved(made, [0] * len(sizes), epoch=0)
    done = np.zeros(len(sizes), int)
    for part in order:
        done[part] += 1
        if any(d * together >= n for d, n in zip(done, sizes, strict=True)):
            return  # it has ended; the others go on by themselves
        moments = done * together / np.array(rates)
        for a, one in enumerate(moments):
            for b, other in enumerate(moments):  # each moment lies within its own step
                assert one - other <= together / rates[a] + together / rates[b] + 1e-9 * one


def test_epochs_and_seeds_have_orders_of_their_own():
    def order(seed, epoch):
        made = [Course(plan.own_seed(seed, str(i)), n, n, 1) for i, n in enumerate((30, 20))]
        return tuple(mixing.interleaved(made, (0, 0), epoch=epoch).tolist())

    assert len({order(s, e) for s in range(3) for e in range(3)}) == 9


def test_moments_are_those_that_the_format_spec_defines_for_ever():
    # Computed from shards/README.md with Python's own integers, not with the module.
    import struct

    import xxhash

    mask, sizes, together, epoch, found = (1 << 64) - 1, (9, 5), 2, 3, []
    for number, size in enumerate(sizes):
        seed = xxhash.xxh3_64_intdigest(f"part {number}".encode() + struct.pack("<qq", 7, 0))
        state = xxhash.xxh3_64_intdigest(b"moments" + struct.pack("<Qq", seed, epoch))
        for at in range(0, size, together):
            z = (state + (at + 1) * 0x9E3779B97F4A7C15) & mask
            z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
            z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
            z ^= z >> 31
            found.append(((at + (z >> 11) / 2**53 * together) / size, number))
    assert mixing.interleaved(courses(sizes, together), (0, 0), epoch=epoch).tolist() == [n for _, n in sorted(found)]


@given(st.integers(1, 40), st.integers(0, 200), st.integers(0, 200))
def test_a_part_without_end_has_each_sample_as_often_as_any_other(samples, first, count):
    def order(lap):
        return plan.epoch_order([samples], shuffle=True, seed=1, epoch=lap)

    rows = mixing.lasting(samples, first, count, order)
    assert np.array_equal(rows, mixing.lasting(samples, 0, first + count, order)[first:])
    assert len(rows) == count
    whole = np.bincount(mixing.lasting(samples, 0, first + count, order), minlength=samples)
    assert whole.max() - whole.min() <= 1


@given(st.dictionaries(st.sampled_from("abcdef"), st.floats(0.01, 100), min_size=1), st.integers(100_000, 10**9))
def test_quotas_are_shares_rounded_down_or_up(weights, total):
    found = mixing.shares(dict.fromkeys(weights, 1), weights, None)
    assert math.fsum(found.values()) == pytest.approx(1)
    counts = mixing.quotas(found, total)
    assert sum(counts.values()) == total
    assert all(abs(counts[n] - found[n] * total) < 1 for n in found)


def test_shares_follow_sizes_a_temperature_or_weights():
    sizes = {"a": 1, "b": 100}
    assert mixing.shares(sizes, None, None) == pytest.approx({"a": 1 / 101, "b": 100 / 101})
    assert mixing.shares(sizes, None, 2) == pytest.approx({"a": 1 / 11, "b": 10 / 11})
    assert mixing.shares(sizes, None, math.inf) == pytest.approx({"a": 0.5, "b": 0.5})
    assert mixing.shares(sizes, None, 0.1)["b"] == pytest.approx(1)
    assert mixing.shares(sizes, {"b": 1, "a": 3}, None) == pytest.approx({"a": 0.75, "b": 0.25})


@pytest.mark.parametrize(
    ("weights", "temperature", "match"),
    [
        ({"a": 1, "b": 1}, 1, "give one of them"),
        ({"a": 1}, None, r"weights of \['a'\]: expected one of each part: \['a', 'b'\]"),
        ({"a": 1, "b": 1, "c": 1}, None, "expected one of each part"),
        ({"a": 1, "b": 0}, None, "'b': 0.*leave out"),
        ({"a": 1, "b": math.nan}, None, "above 0"),
        ({"a": 1, "b": math.inf}, None, "above 0"),
        ({"a": 1, "b": True}, None, "above 0"),
        (None, 0, "temperature = 0"),
        (None, math.nan, "temperature = nan"),
        (None, 0.001, r"\['a'\] would never be drawn"),
        ({"a": 5e-324, "b": 1e300}, None, r"\['a'\] would never be drawn"),
    ],
)
def test_weights_that_say_nothing_are_refused(weights, temperature, match):
    with pytest.raises(ConfigError, match=match):
        mixing.shares({"a": 1, "b": 100}, weights, temperature)


def test_a_part_that_would_have_no_sample_is_refused():
    with pytest.raises(ConfigError, match=r"\['a'\] would have none of the 10 samples"):
        mixing.quotas({"a": 0.001, "b": 0.999}, 10)


def test_more_steps_than_there_are_is_refused():
    with pytest.raises(ConfigError, match="expected at most 5"):
        mixing.consumed(courses([10, 8]), (0, 0), 6, epoch=0)
