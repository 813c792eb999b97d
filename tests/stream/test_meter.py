"""A meter says which stage a batch's time went to, and who waited for whom: what is made slow is what it names."""

import math
import pickle
import time
from collections import Counter

import pytest
import torch

from curation.errors import ConfigError
from curation.stream import Part, open_mix, open_shards
from curation.stream import reading as reading_module
from curation.stream.decode import Decoder
from curation.stream.fetch import Fetcher
from curation.stream.meter import KEEP, MOST_WORKERS, BatchTimes, Meter, Turn
from tests.properties import fast
from tests.stream.test_batches import loader

BAND = "s2l2a_10m"
SLOW_S = 0.02


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_each_batch_of_each_worker_has_its_times(packed, workers):
    dataset = open_shards(packed, batch_size=3, fields=[BAND])
    meter = dataset.meter()
    assert dataset.meter() is meter
    rounds = loader(dataset, workers)
    for _ in range(2):
        assert len(list(rounds)) == 5
    its = meter.batches()
    assert len(its) == 10
    assert Counter(b.worker for b in its) == ({0: 10} if workers < 2 else {0: 6, 1: 4})
    for worker in range(max(workers, 1)):
        assert [b.number for b in its if b.worker == worker] == list(range(sum(b.worker == worker for b in its)))
    for one in its:
        assert one.samples == 3
        assert min(one.fetch_s, one.hash_s, one.decode_s, one.copy_s) > 0
        assert one.wait_s >= 0
        assert one.consumer_s >= 0  # all have been asked for the next one, or told that there is none
        assert math.isclose(sum(one.waited.values()), one.wait_s + one.copy_s + one.consumer_s)
    assert meter.headroom > 0
    assert f"10 batches of {max(workers, 1)} process" in str(meter)


def slow(real, seconds=SLOW_S):
    def slowly(*args, **how):
        time.sleep(seconds)
        return real(*args, **how)

    return slowly


STAGES = {
    "fetch_s": (Fetcher, "ranges"),
    "hash_s": (reading_module.xxhash, "xxh3_64_intdigest"),
    "decode_s": (Decoder, "fill"),
}


@pytest.mark.parametrize("stage", STAGES)
def test_the_stage_that_is_slow_is_the_one_that_it_names(packed, monkeypatch, stage):
    of, name = STAGES[stage]
    monkeypatch.setattr(of, name, slow(getattr(of, name)))
    dataset = open_shards(packed, batch_size=3, fields=[BAND], threads=1)
    meter = dataset.meter()
    assert len(list(dataset)) == 5
    its = meter.batches()
    took = {n: sum(getattr(b, n) for b in its) for n in STAGES}
    assert max(took, key=took.get) == stage
    assert all(getattr(b, stage) >= 3 * SLOW_S for b in its)
    waited = Counter()
    for one in its:
        waited.update({f"{n}_s": s for n, s in one.waited.items() if n != "consumer"})
    assert waited.most_common(1)[0][0] == stage
    assert meter.headroom < 3  # 1 but for what else is at work on the machine: the loader is what everybody waits for


@pytest.mark.parametrize("workers", fast([0], [0, 2]))
def test_a_slow_consumer_leaves_headroom_and_waits_for_nobody(packed, workers):
    dataset = open_shards(packed, batch_size=1, fields=[BAND])
    meter = dataset.meter()
    for _ in loader(dataset, workers):
        time.sleep(5 * SLOW_S)
    its = meter.batches()
    assert len(its) == 13
    late = [b for b in its if b.number > (2 if workers else 0)]  # what is made ahead for a worker's queue comes first
    assert sum(b.consumer_s for b in late) > len(late) * SLOW_S
    assert sum(b.wait_s for b in late) < sum(b.consumer_s for b in late)
    assert meter.headroom > 1


def test_a_slow_transform_is_a_copy(packed):
    dataset = open_shards(packed, batch_size=3, fields=[BAND], transform=slow(lambda b: b))
    meter = dataset.meter()
    list(dataset)
    assert min(b.copy_s for b in meter.batches()) >= SLOW_S


@pytest.mark.slow
def test_spawned_workers_are_measured_too(packed):
    dataset = open_shards(packed, batch_size=3, fields=[BAND])
    meter = dataset.meter()
    its = torch.utils.data.DataLoader(dataset, batch_size=None, num_workers=1, multiprocessing_context="spawn")
    assert len(list(its)) == len(meter.batches()) == 5


def test_samples_one_by_one_and_batches_of_a_mix_are_measured(packed):
    single = open_shards(packed, fields=[BAND])
    meter = single.meter()
    list(single)
    assert [b.samples for b in meter.batches()] == [1] * 13
    assert all(b.consumer_s >= 0 for b in meter.batches())
    mix = open_mix({"s2": Part(packed, arrays=[BAND])}, batch_size=3)
    meter = mix.meter()
    count = len(list(mix))
    assert [b.number for b in meter.batches()] == list(range(count))
    assert all(b.consumer_s >= 0 for b in meter.batches())


def test_batches_are_the_same_with_it_and_nothing_is_measured_without(packed):
    plain, metered = (open_shards(packed, batch_size=3, fields=[BAND]) for _ in range(2))
    meter = metered.meter()
    for a, b in zip(plain, metered, strict=True):
        assert a.keys() == b.keys()
        assert torch.equal(a[BAND], b[BAND])
    assert plain._meter is None
    assert len(meter.batches()) == 5


def test_a_copy_measures_for_itself(packed):
    dataset = open_shards(packed, batch_size=3, fields=[BAND])
    meter = dataset.meter()
    copied = pickle.loads(pickle.dumps(dataset))
    list(copied)
    assert meter.batches() == []
    assert len(copied.meter().batches()) == 5


def test_what_is_in_use_and_the_first_do_not_count_and_the_oldest_are_forgotten():
    meter = Meter()
    assert meter.headroom is None
    assert "no batch yet" in str(meter)
    turn = meter.turn(threads=2)
    for number in range(KEEP + 3):
        turn.came()
        turn.gave([(0.0, 0.0, 1e-6)])
        if number < KEEP + 2:
            turn.asked()
    its = meter.batches()
    assert [b.number for b in its] == list(range(3, KEEP + 3))
    assert math.isnan(its[-1].consumer_s)
    assert not any(math.isnan(b.consumer_s) for b in its[:-1])


def test_headroom_is_how_often_the_time_between_two_batches_holds_the_making_of_one():
    meter = Meter()
    row = meter._rows.rows[0]
    meter._rows.counts[0] = 3
    row[0] = [4, 2, 9, 9, 9, 9, 9, 9]
    row[1] = row[2] = [4, 2, 0.2, 0.1, 0.3, 0.1, 0.0, 1.5]  # made in 0.6 / 2 + 0.1 s, asked for each 1.6 s
    assert meter.headroom == pytest.approx(4.0)
    assert meter.batches()[1] == BatchTimes(0, 1, 4, 2, 0.2, 0.1, 0.3, 0.1, 0.0, 1.5)


def test_more_workers_than_are_measured_are_refused(monkeypatch):
    class Info:
        id = MOST_WORKERS

    monkeypatch.setattr(torch.utils.data, "get_worker_info", Info)
    with pytest.raises(ConfigError, match="257 workers, expected at most 256"):
        Meter().turn(1)


def test_reading_the_clock_costs_little_beside_a_sample():
    turn = Turn(Meter()._rows, 0, 1)
    spent = [(0.0, 0.0, 0.0)] * 32
    began = time.perf_counter()
    for _ in range(1000):
        turn.came()
        turn.gave(spent)
        turn.asked()
    assert time.perf_counter() - began < 5  # seconds, of a thousand batches: measured 30 ms


def test_headroom_counts_no_batch_that_is_in_use():
    meter = Meter()
    turn = meter.turn(threads=1)
    for number in range(3):
        turn.came()
        turn.gave([(0.0, 0.0, 1e-6)])
        if number < 2:
            turn.asked()
    assert meter.headroom > 0  # and not NaN


def test_it_is_printed_while_the_first_batch_is_in_use(packed):
    dataset = open_shards(packed, batch_size=3, fields=[BAND])
    meter = dataset.meter()
    batches = iter(dataset)
    next(batches)
    assert "1 batch of 1 process" in str(meter)
    assert "consumer        nan ms" in str(meter)
    next(batches)
    assert "nan" not in str(meter)


def test_of_two_iterations_at_once_each_batch_has_its_own_consumer():
    meter = Meter()
    turns = [meter.turn(threads=1) for _ in range(2)]
    for _ in range(2):
        for turn in turns:
            turn.came()
            turn.gave([(0.0, 0.0, 1e-6)])
        for turn in turns:
            turn.asked()
    assert [b.consumer_s >= 0 for b in meter.batches()] == [True] * 4
