"""Each iteration is the next epoch; `set_epoch` chooses one; all workers of an iteration deliver the same."""

import copy
import itertools
import multiprocessing
import os
import pickle
import time

import pytest
import torch
from torch.utils.data import DataLoader

from curation.stream.open import open_shards
from tests.properties import fast
from tests.stream.conftest import key_of
from tests.stream.test_fetch import in_fork

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than cores

EPOCHS = 6


def opened(packed, **more):
    return open_shards(packed, **({"batch_size": 2, "fields": [], "shuffle": True, "seed": 3} | more))


def keys(batches):
    return [k for b in batches for k, pad in zip(b["key"], b["is_pad"].tolist(), strict=True) if not pad]


@pytest.fixture(scope="module")
def orders(packed):
    """The order of each epoch, from the plan."""
    found = []
    for epoch in range(EPOCHS + 2):
        dataset = opened(packed)
        dataset.set_epoch(epoch)
        found.append([key_of(int(row)) for row in dataset.rows()])
    assert len(set(map(tuple, found))) == len(found)
    return found


WORKERS = [
    {},
    {"num_workers": 1},
    {"num_workers": 2},
    {"num_workers": 3, "persistent_workers": True},
    {"num_workers": 2, "persistent_workers": True, "multiprocessing_context": "spawn"},
    {"num_workers": 5, "persistent_workers": True},  # some have nothing, or end sooner
]


@pytest.mark.slow
@pytest.mark.parametrize("how", fast(WORKERS[::2], WORKERS), ids=str)
def test_an_iteration_is_followed_by_the_next_epoch_without_set_epoch(packed, orders, how):
    loader = DataLoader(opened(packed), batch_size=None, **how)
    assert [keys(loader) for _ in range(EPOCHS)] == orders[:EPOCHS]


@pytest.mark.slow
@pytest.mark.parametrize("how", [{"num_workers": 2}, {"num_workers": 2, "persistent_workers": True}], ids=str)
def test_seeding_torch_anew_before_each_epoch_repeats_none(packed, orders, how):
    dataset = opened(packed)
    found = []
    for _ in range(3):  # a new DataLoader's workers then have the seed of those before
        torch.manual_seed(0)
        found.append(keys(DataLoader(dataset, batch_size=None, **how)))
    assert found == orders[:3]


@pytest.mark.parametrize("how", WORKERS[::3], ids=str)
def test_pairs_of_seasons_and_crops_are_drawn_anew_in_each_epoch(packed, how):
    dataset = opened(packed, batch_size=13, fields=None, draw_seasons=1, crop_px=12, shuffle=False)
    loader = DataLoader(dataset, batch_size=None, **how)
    drawn = [(b["season"].tolist(), b["crop_yx"].tolist()) for _ in range(4) for b in loader]
    assert len({str(seasons) for seasons, _ in drawn}) == len({str(corners) for _, corners in drawn}) == 4


@pytest.mark.parametrize("how", WORKERS[::3], ids=str)
def test_set_epoch_chooses_the_next_and_those_after_it_go_on_from_there(packed, orders, how):
    dataset = opened(packed)
    loader = DataLoader(dataset, batch_size=None, **how)
    assert keys(loader) == orders[0]
    dataset.set_epoch(4)
    assert dataset.epoch == 4
    assert [keys(loader) for _ in range(2)] == orders[4:6]
    assert dataset.epoch == 6
    for _ in range(2):
        dataset.set_epoch(2)
        assert keys(loader) == orders[2]


@pytest.mark.slow
@pytest.mark.parametrize("how", fast(WORKERS[:3:2], WORKERS[::2]), ids=str)
def test_an_iteration_that_is_left_is_followed_by_the_next_epoch_from_its_beginning(packed, orders, how):
    dataset = opened(packed)
    loader = DataLoader(dataset, batch_size=None, **how)
    for epoch in range(3):  # an epoch that a trainer cuts short shows other samples each time
        assert keys(itertools.islice(loader, 2)) == orders[epoch][:4]
    assert keys(loader) == orders[3]
    batches = iter(loader)
    next(batches)
    dataset.set_epoch(4)
    assert keys(loader) == orders[4]


@pytest.mark.slow
@pytest.mark.parametrize("how", fast(WORKERS[:3:2], WORKERS[::2]), ids=str)
def test_what_was_loaded_comes_first_and_the_next_epoch_then(packed, orders, how):
    dataset = opened(packed)
    loader = DataLoader(dataset, batch_size=None, **how)
    assert [keys(loader), keys(loader)] == orders[:2]
    for used, _ in enumerate(loader, 1):
        if used == 3:
            break
    state = dataset.state_dict(steps=used)
    assert (state["epoch"], state["consumed"]) == (2, 6)
    again = opened(packed)
    again.load_state_dict(state)
    loader = DataLoader(again, batch_size=None, **how)
    assert (again.epoch, len(again)) == (2, 4)
    assert keys(loader) == orders[2][6:]
    assert len(again) == 7
    assert keys(loader) == orders[3]


def test_a_state_after_the_end_of_an_iteration_is_the_beginning_of_the_next_epoch(packed, orders):
    dataset = opened(packed)
    assert keys(dataset) == orders[0]
    state = dataset.state_dict()
    assert (state["epoch"], state["consumed"]) == (1, 0)
    again = opened(packed)
    again.load_state_dict(state)
    assert keys(again) == orders[1]
    again.load_state_dict(dataset.state_dict(steps=7))
    assert [keys(again), keys(again)] == [[], orders[1]]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning")
@pytest.mark.parametrize(
    ("stop", "workers", "persistent"),
    fast(
        [(3, 0, False), (7, 1, True), (1, 2, False), (3, 2, True), (7, 3, False)],
        # Each two of them meet.
        [(stop, w, (stop, w) in ((7, 1), (3, 2), (1, 3))) for stop in (1, 3, 7) for w in (0, 1, 2, 3)],
    ),
)
def test_torchdatas_loader_goes_on_within_an_epoch_and_then_with_the_next(packed, orders, workers, stop, persistent):
    from torchdata.stateful_dataloader import StatefulDataLoader

    def loader():
        how = {"persistent_workers": persistent}
        return StatefulDataLoader(opened(packed), batch_size=None, num_workers=workers, **how)

    first = loader()
    assert keys(first) == orders[0]
    seen = []
    for used, batch in enumerate(first, 1):
        seen.append(batch)
        if used == stop:
            state = first.state_dict()
            break
    second = loader()
    second.load_state_dict(state)
    if stop < 7:
        assert keys(seen) + keys(second) == orders[1]
    else:
        assert keys(seen) == orders[1]
        assert keys(second) == []
    assert keys(second) == orders[2]


def test_rows_and_what_is_dropped_are_of_the_iteration_that_was_begun_last(packed, orders):
    dataset = opened(packed, batch_size=4, remainder="drop")
    for epoch in range(3):
        seen = keys(dataset)
        assert [key_of(int(row)) for row in dataset.rows()] == orders[epoch]
        assert sorted(seen + dataset.dropped()) == sorted(orders[0])
    dataset.set_epoch(5)
    assert [key_of(int(row)) for row in dataset.rows()] == orders[5]


# ---- who shares an epoch, and who does not


def epochs_of(dataset, workers, count=3):
    """What a process that got the dataset iterates: of one that was opened by another."""
    return [keys(DataLoader(dataset, batch_size=None, num_workers=workers)) for _ in range(count)]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_forked_ranks_that_got_one_dataset_count_each_for_itself(packed, orders, workers):
    dataset = opened(packed)
    for _ in range(2):  # the second is not in the epoch to which the first came
        assert in_fork(epochs_of, dataset, workers) == orders[:3]
    assert keys(dataset) == orders[0]


def _spawned(dataset, workers, told, count):
    told.put(epochs_of(dataset, workers, count))


@pytest.mark.slow
@pytest.mark.parametrize("workers", fast([0], [0, 2]))
def test_spawned_ranks_that_got_one_dataset_count_each_for_itself(packed, orders, workers):
    context, dataset = multiprocessing.get_context("spawn"), opened(packed)
    told = context.Queue()
    count = 2 if workers else 3  # each epoch starts its workers anew, which load torch
    ranks = [context.Process(target=_spawned, args=(dataset, workers, told, count)) for _ in range(2)]
    for rank in ranks:
        rank.start()
    assert [told.get(timeout=240) for _ in ranks] == [orders[:count]] * 2
    for rank in ranks:
        rank.join(60)
        assert rank.exitcode == 0
    assert keys(dataset) == orders[0]


def test_copies_count_from_where_the_original_was(packed, orders):
    dataset = opened(packed)
    assert keys(dataset) == orders[0]
    for other in (copy.deepcopy(dataset), pickle.loads(pickle.dumps(dataset))):
        assert [keys(other), keys(other)] == orders[1:3]
    assert keys(dataset) == orders[1]


class Slow:
    """Makes one worker late, so that others begin an iteration, and are told to begin another, before it is there."""

    def __init__(self, worker, seconds):
        self.worker, self.seconds = worker, seconds

    def __call__(self, worker):
        if worker == self.worker:
            time.sleep(self.seconds)


@pytest.mark.parametrize("late", [0, 1])
@pytest.mark.slow
def test_two_iterations_of_one_dataset_at_once_are_two_epochs_whole_in_all_workers(packed, orders, late):
    dataset = opened(packed)
    first = iter(DataLoader(dataset, batch_size=None, num_workers=2, worker_init_fn=Slow(late, 0.4)))
    one = [next(first)]
    second = iter(DataLoader(dataset, batch_size=None, num_workers=2, worker_init_fn=Slow(1 - late, 0.4)))
    two = [next(second)]
    for a, b in zip(first, second, strict=True):
        one.append(a)
        two.append(b)
    assert [keys(one), keys(two)] == orders[:2]


def test_a_worker_that_is_killed_while_it_says_what_it_begins_stops_nobody(packed, orders):
    dataset = opened(packed)
    shared = dataset._progress._shared
    child = os.fork()
    if not child:
        with shared.locked():
            os.kill(os.getpid(), 9)
    assert os.waitpid(child, 0)[1] == 9
    assert keys(dataset) == orders[0]
