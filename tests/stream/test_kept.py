"""Memory that is used again stays as it is while somebody looks at it: whatever was made of it, copied, forked or left."""

import copy
import dataclasses
import gc
import io
import os
import signal
import threading
from collections import OrderedDict, namedtuple

import numpy as np
import pytest
import torch
from torch.utils.data import ChainDataset, IterableDataset

from curation.stream.open import open_shards
from curation.stream.ring import Ring
from tests.properties import crossed
from tests.stream.conftest import NO_WINTER, SEASONS, arrays, truth
from tests.stream.test_batches import loader, number_of, same

BAND = "s2l2a_10m"
Pair = namedtuple("Pair", "key x")


@dataclasses.dataclass
class Record:
    key: list
    x: object


MADE = {
    "dict": lambda b: {"key": b["key"], "x": b[BAND]},
    "numpy": lambda b: {"key": b["key"], "x": b[BAND].numpy()},
    "namedtuple": lambda b: Pair(b["key"], b[BAND]),
    "dataclass": lambda b: Record(b["key"], b[BAND]),
    "OrderedDict": lambda b: OrderedDict(key=b["key"], x=b[BAND]),
    "view": lambda b: {"key": b["key"], "x": b[BAND][:, :, :1].expand(-1, -1, 2, -1, -1)},
}


def is_right(key, x, bands=None):
    """Whether a batch of one holds the sample it says; `bands`: so many times the first."""
    number, x = number_of(key), torch.as_tensor(x)[0].numpy()
    for s, season in enumerate(SEASONS):
        if (number, s) != (NO_WINTER, 0):
            want = truth("train", number, BAND, season, arrays()[BAND])
            if not np.array_equal(x[s], np.broadcast_to(want[: len(want) if bands is None else 1], x[s].shape)):
                return False
    return True


@pytest.mark.parametrize(("how", "workers"), crossed(MADE, [0, 2]))
def test_whatever_a_transform_makes_of_a_batch_may_be_kept(packed, how, workers):
    dataset = open_shards(packed, batch_size=1, fields=[BAND], transform=MADE[how])
    held = list(loader(dataset, workers))
    assert len(held) == 13
    for value in held:
        key, x = (value["key"], value["x"]) if isinstance(value, dict) else (value.key, value.x)
        assert is_right(key[0], x, 2 if how == "view" else None)


def test_sparse_and_gradient_tensors_pass_through(packed):
    def transform(batch):
        x = batch[BAND].float()
        return {"sparse": x.to_sparse(), "leaf": torch.nn.Parameter(x)}

    for value in open_shards(packed, batch_size=2, fields=[BAND], transform=transform):
        assert value["sparse"].is_sparse
        assert value["leaf"].requires_grad
        assert same(value["sparse"].to_dense(), value["leaf"].detach())


@pytest.mark.parametrize("workers", [0, 2])
def test_who_saves_a_tensor_saves_its_bytes_alone(packed, workers):
    batch = next(iter(loader(open_shards(packed, batch_size=4, fields=[BAND, "dem_30m"]), workers)))
    file = io.BytesIO()
    torch.save(batch["dem_30m"], file)
    assert file.tell() < batch["dem_30m"].nbytes + 4096


class Alternating(IterableDataset):
    """A batch of one dataset, one of the other, and so on."""

    def __init__(self, *both):
        self.both = both

    def __iter__(self):
        for pair in zip(*self.both, strict=True):
            yield from pair


@pytest.mark.slow
@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy])
@pytest.mark.parametrize("workers", [1, 2])
def test_copies_of_a_dataset_in_one_worker_do_not_share_memory(packed, how, workers):
    one = open_shards(packed, batch_size=1, fields=[BAND], shuffle=True)
    other = how(one)
    held = list(loader(Alternating(one, other), workers))
    assert len(held) == 26
    assert all(is_right(b["key"][0], b[BAND]) for b in held)
    chained = ChainDataset([one, other])
    assert all(is_right(b["key"][0], b[BAND]) for b in loader(chained, 1))


@pytest.mark.slow
def test_a_copys_loader_goes_on_when_the_original_is_gone(packed):
    one = open_shards(packed, batch_size=1, fields=[BAND])
    other = loader(copy.deepcopy(one), 1, persistent_workers=True)
    assert len(list(other)) == 13
    del one
    gc.collect()
    assert all(is_right(b["key"][0], b[BAND]) for b in other)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_fork_that_ends_its_copy_of_an_iteration_does_not_end_its_parents(packed, threads):
    batches = iter(open_shards(packed, batch_size=1, fields=[BAND], threads=threads))
    held = [next(batches)]
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # one that waits for threads which it does not have is killed
        try:
            batches.close()
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    held += batches
    assert len(held) == 13
    assert all(is_right(b["key"][0], b[BAND]) for b in held)


def test_threads_never_take_the_same_slot():
    ring = Ring(1)
    wrong, started = [], threading.Barrier(4)

    def takes():
        started.wait()
        for _ in range(3000):
            slot = ring.take()
            if slot is not None:
                mine = ring.fillable(slot)
                me = threading.get_ident() % 251 + 1
                mine[0] = me
                if mine[0] != me:
                    wrong.append(slot)
                ring.free(slot)

    threads = [threading.Thread(target=takes) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


class EverySecond(IterableDataset):
    """Leaves out every other batch, in the worker."""

    def __init__(self, dataset):
        self.dataset = dataset

    def __iter__(self):
        for n, batch in enumerate(self.dataset):
            if n % 2 == 0:
                yield batch
        gc.collect()
        taken = int(self.dataset._filler.ring._taken.sum())
        yield torch.tensor(taken)


@pytest.mark.slow
def test_batches_that_a_worker_leaves_out_give_their_memory_back(packed):
    *held, taken = loader(EverySecond(open_shards(packed, batch_size=1, fields=[BAND])), 1)
    assert all(is_right(b["key"][0], b[BAND]) for b in held)
    assert int(taken) <= len(held)


def test_what_is_dropped_is_named_after_going_on_as_well(packed):
    def opened():
        return open_shards(packed, batch_size=4, shuffle=True, seed=3, remainder="drop")

    first = opened()
    batches = iter(first)
    given = next(batches)["key"]
    state = first.state_dict(steps=1)
    again = opened()
    again.load_state_dict(state)
    before = again.dropped()
    rest = [k for b in again for k in b["key"]]
    assert again.dropped() == before
    assert len({*given, *rest, *before}) == 13
