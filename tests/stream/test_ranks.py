"""Which rank a process is, asked when it iterates; and who deals samples to ranks a second time is refused."""

import logging
import multiprocessing
import os
import pickle

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

from curation.errors import ConfigError
from curation.stream.open import open_shards
from tests.properties import fast
from tests.stream.conftest import key_of

ALL = sorted(key_of(i) for i in range(13))
START = ["fork", "spawn", "forkserver"]


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)


def torchrun(monkeypatch, rank, world_size):
    monkeypatch.setenv("RANK", str(rank))
    monkeypatch.setenv("WORLD_SIZE", str(world_size))


@pytest.fixture
def group(tmp_path, monkeypatch):
    """Makes a process group of this process, which says that it is rank 1 of 2."""

    def make(rank=1, world_size=2):
        torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
        monkeypatch.setattr(torch.distributed, "get_rank", lambda: rank)
        monkeypatch.setattr(torch.distributed, "get_world_size", lambda: world_size)

    yield make
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def opened(packed, **more):
    return open_shards(packed, **({"batch_size": 1, "fields": []} | more))


def keys(batches):
    return [k for b in batches for k, pad in zip(b["key"], b["is_pad"].tolist(), strict=True) if not pad]


SECOND = [key_of(i) for i in range(1, 13, 2)]
"""What rank 1 of 2 gets."""


def test_a_dataset_that_is_opened_before_the_process_group_deals_to_its_ranks(packed, group):
    dataset = opened(packed)
    assert (dataset.rank, dataset.world_size, len(dataset)) == (0, 1, 13)
    group()
    assert (dataset.rank, dataset.world_size, len(dataset)) == (1, 2, 7)
    assert keys(dataset) == SECOND


def test_rank_and_world_size_come_from_the_environment_of_torchrun(packed, monkeypatch):
    dataset = opened(packed)
    torchrun(monkeypatch, 1, 2)
    assert (dataset.rank, dataset.world_size) == (1, 2)
    assert keys(dataset) == SECOND


@pytest.mark.parametrize("workers", [0, 2])
def test_that_the_environment_alone_makes_it_a_rank_is_told_once_by_who_iterates(packed, monkeypatch, capfd, workers):
    logging.getLogger("curation.stream.ranks").addHandler(handler := logging.StreamHandler())
    handler.setFormatter(logging.Formatter("mine: %(message)s"))  # and nobody else's
    torchrun(monkeypatch, 1, 2)
    dataset = opened(packed)
    loader = DataLoader(
        dataset, batch_size=None, num_workers=workers, multiprocessing_context="fork" if workers else None
    )
    assert (dataset.rank, len(dataset)) == (1, 7)
    assert "environment alone" not in capfd.readouterr().err  # the process group may be yet to come
    try:
        assert keys(loader) == SECOND
    finally:
        logging.getLogger("curation.stream.ranks").removeHandler(handler)
    (line,) = [x for x in capfd.readouterr().err.splitlines() if x.startswith("mine: ")]
    assert line.startswith(
        "mine: RANK, WORLD_SIZE rank 1 of 2 by the environment alone, while torch.distributed is not init"
    )


def test_nothing_is_told_of_a_rank_that_is_given_or_of_a_process_group(packed, group, monkeypatch, caplog):
    torchrun(monkeypatch, 1, 2)
    assert keys(opened(packed, **GIVEN)) == SECOND
    group()
    assert keys(opened(packed)) == SECOND
    assert not caplog.records


@pytest.mark.slow
@pytest.mark.parametrize(
    ("start", "persistent"),
    fast([("fork", False), ("spawn", True)], [("fork", False), ("spawn", True), ("fork", True), ("forkserver", False)]),
)
def test_workers_have_the_rank_of_who_iterates_however_they_are_started(packed, group, start, persistent):
    dataset = opened(packed)
    loader = DataLoader(
        dataset, batch_size=None, num_workers=2, persistent_workers=persistent, multiprocessing_context=start
    )
    group()
    for _ in range(2):
        assert keys(loader) == SECOND


def _iterates(dataset, start, told):
    os.environ |= {"RANK": "1", "WORLD_SIZE": "2"}
    told.put(keys(DataLoader(dataset, batch_size=None, num_workers=2, multiprocessing_context=start)))


@pytest.mark.slow
@pytest.mark.parametrize("start", fast(["fork"], ["fork", "spawn"]))
def test_a_rank_that_got_the_dataset_from_another_process_is_itself(packed, start):
    """The one that opened it handed over that it is 0 of 1: to its workers, and not to those of others."""
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    rank = context.Process(target=_iterates, args=(opened(packed), start, told))
    rank.start()
    assert told.get(timeout=120) == SECOND
    rank.join(60)
    assert rank.exitcode == 0


GIVEN = {"rank": 1, "world_size": 2}


@pytest.mark.parametrize(
    ("given", "environment", "distributed", "match"),
    [
        (GIVEN, (0, 2), None, r"given rank 1 of 2, RANK, WORLD_SIZE rank 0 of 2: expected the same"),
        (GIVEN, (1, 4), None, r"given rank 1 of 2, RANK, WORLD_SIZE rank 1 of 4"),
        (GIVEN, None, (1, 3), r"given rank 1 of 2, torch.distributed rank 1 of 3"),
        ({}, (0, 2), (1, 2), r"RANK, WORLD_SIZE rank 0 of 2, torch.distributed rank 1 of 2"),
        (GIVEN, (1, 2), (0, 2), r"given rank 1 of 2, RANK, WORLD_SIZE rank 1 of 2, torch.distributed rank 0 of 2"),
    ],
)
@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_where_they_do_not_say_the_same_all_are_named(
    packed, group, monkeypatch, given, environment, distributed, match, workers
):
    dataset = opened(packed, **given)
    if environment:
        torchrun(monkeypatch, *environment)
    if distributed:
        group(*distributed)
    # A spawned worker loads torch; whose word it is to believe does not depend on how it was started.
    start = ("spawn" if environment and distributed and not given else "fork") if workers else None
    loader = DataLoader(dataset, batch_size=None, num_workers=workers, multiprocessing_context=start)
    with pytest.raises(ConfigError, match=match):
        list(loader)


def test_what_all_say_alike_is_no_conflict(packed, group, monkeypatch):
    torchrun(monkeypatch, 1, 2)
    group()
    assert keys(opened(packed, **GIVEN)) == SECOND


@pytest.mark.parametrize(
    ("environment", "match"),
    [
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE of 2: expected a rank below"),
        ({"RANK": "1"}, "RANK, WORLD_SIZE rank 1: expected a rank below"),
        ({"RANK": "2", "WORLD_SIZE": "2"}, "rank 2 of 2: expected a rank below"),
        ({"RANK": "one", "WORLD_SIZE": "2"}, "RANK = 'one': expected a whole number"),
    ],
)
def test_an_environment_that_says_no_rank_is_refused(packed, monkeypatch, environment, match):
    dataset = opened(packed)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    pickle.dumps(dataset)  # for whoever may be a rank there
    with pytest.raises(ConfigError, match=match):
        list(dataset)


def test_world_size_alone_is_enough_beside_a_process_group(packed, group, monkeypatch):
    """Lightning sets WORLD_SIZE, and no RANK."""
    dataset = opened(packed)
    monkeypatch.setenv("WORLD_SIZE", "2")
    group()
    assert keys(dataset) == SECOND


# ---- dealt a second time


class IterableDatasetShard(IterableDataset):
    """As accelerate and transformers have it: each process takes its slice of what it iterates."""

    def __init__(self, dataset, num_processes=2):
        self.dataset, self.num_processes = dataset, num_processes

    def set_epoch(self, epoch):
        self.dataset.set_epoch(epoch)

    def __iter__(self):
        for n, element in enumerate(self.dataset):
            if n % self.num_processes == 0:
                yield element


class DataLoaderDispatcher:
    """As accelerate has it: the first process reads for all."""

    def __init__(self, loader):
        self.loader = loader

    def set_epoch(self, epoch):
        self.loader.dataset.set_epoch(epoch)

    def __iter__(self):
        yield from self.loader


REFUSED = r"deals samples to ranks by itself.*leave its DataLoader out of accelerator\.prepare.*get_train_dataloader"


@pytest.mark.slow
@pytest.mark.parametrize("start", fast([None, "fork", "spawn"], [None, *START]))
def test_a_shard_of_accelerate_around_the_dataset_is_refused_with_what_to_do(packed, start):
    sharded = IterableDatasetShard(opened(packed, batch_size=None))
    loader = DataLoader(sharded, batch_size=2, num_workers=1 if start else 0, multiprocessing_context=start)
    with pytest.raises(ConfigError, match=f"IterableDatasetShard gives each process a part.*{REFUSED}"):
        list(loader)
    with pytest.raises(ConfigError, match=REFUSED):
        sharded.set_epoch(0)


@pytest.mark.parametrize("start", [None, "fork"])
def test_a_dispatcher_of_accelerate_around_the_loader_is_refused_with_what_to_do(packed, start):
    loader = DataLoader(opened(packed), batch_size=None, num_workers=1 if start else 0, multiprocessing_context=start)
    dispatcher = DataLoaderDispatcher(loader)
    with pytest.raises(ConfigError, match=f"DataLoaderDispatcher reads on the first process.*{REFUSED}"):
        list(dispatcher)
    with pytest.raises(ConfigError, match=REFUSED):
        dispatcher.set_epoch(0)


def test_other_datasets_around_it_are_not(packed):
    class Wrapped(IterableDataset):
        def __init__(self, dataset):
            self.dataset = dataset

        def __iter__(self):
            yield from self.dataset

    assert keys(Wrapped(opened(packed))) == ALL


@pytest.mark.parametrize("fields", [[], None])
def test_the_first_entry_of_a_batch_tells_its_size_and_keys_are_strings(packed, fields):
    """accelerate takes the size of a batch from its first entry, and moves lists of strings as they are."""
    for batch in opened(packed, batch_size=5, fields=fields):
        first = next(iter(batch.values()))
        assert isinstance(first, torch.Tensor)
        assert first.shape[0] == 5
        assert list(batch)[-1] == "key"
        assert all(type(k) is str for k in batch["key"])
