"""Ranks are killed at any moment, and others go on from what they had written: the plan's remainder, in its order, once."""

import contextlib
import dataclasses
import multiprocessing
import os
import pickle
import random
import signal
import time
import warnings
from pathlib import Path

import pytest
from torch.utils.data import DataLoader

from curation.errors import ConfigError
from curation.stream.open import open_shards
from tests.properties import crossed
from tests.stream.conftest import key_of, make_shards

pytestmark = pytest.mark.alone

SHARDS = [9, 11, 1, 12, 8, 10, 0, 7, 9]
COUNT = sum(SHARDS)
EPOCH, SEED = 3, 7
MORE_WORKERS = "This DataLoader will create"
"""Begins torch's warning of more workers than cores."""
PACE_S = 0.02
"""Longest pause between two batches of a rank: each takes its own, so that ranks are killed at different steps."""
RANK_S = 120
"""Until a rank has done its part, however busy the machine is. One that has not is ended (`no_rank_outlives_its_test`)."""


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("many") / "shards"
    make_shards(folder, {"train": SHARDS}, size=12)
    return folder


@dataclasses.dataclass(frozen=True)
class Run:
    """One job: what each of its processes is told."""

    shards: Path
    notes: Path
    """Folder of what its ranks wrote."""
    world: int
    workers: int
    batch: int
    pace: int
    """Seed of the pauses."""
    holds: tuple[int, ...] | None = None
    """Per rank, the step after which it waits to be killed."""
    stateful: bool = False
    """torchdata's loader instead of torch's."""
    mix: int | None = None
    from_dataset: dict | None = None
    """The state that every rank's dataset loads."""
    from_loader: tuple | None = None
    """The states that the ranks' loaders load."""

    def opened(self, rank):
        return open_shards(
            self.shards,
            batch_size=self.batch,
            fields=["dem_30m"],
            shuffle=True,
            seed=SEED,
            mix_shards=self.mix,
            rank=rank,
            world_size=self.world,
        )

    def rank(self, rank):
        """What a process does: a training loop that writes down each batch before it asks for the next."""
        os.setsid()  # so that its workers are killed with it
        warnings.filterwarnings("ignore", MORE_WORKERS)
        dataset, pauses = self.opened(rank), random.Random(self.pace * 10 + rank)
        if self.from_dataset is not None:
            dataset.load_state_dict(self.from_dataset)
        dataset.set_epoch(EPOCH)
        if self.stateful:
            from torchdata.stateful_dataloader import StatefulDataLoader as Loader
        else:
            Loader = DataLoader
        loader = Loader(dataset, batch_size=None, num_workers=self.workers)
        if self.from_loader is not None:
            loader.load_state_dict(self.from_loader[rank])
        for step, batch in enumerate(loader, 1):
            note = {
                "ids": batch["key"],
                "pads": batch["is_pad"].tolist(),
                "state": None if self.stateful else dataset.state_dict(steps=step),
                "loader": loader.state_dict() if self.stateful else None,
            }
            durably(self.notes / f"{rank}-{step:04d}", pickle.dumps(note))
            time.sleep(pauses.uniform(0, PACE_S))
            while self.holds is not None and step == self.holds[rank]:
                time.sleep(60)
        durably(self.notes / f"{rank}-end", b"")

    def written(self, rank):
        return [pickle.loads(p.read_bytes()) for p in sorted(self.notes.glob(f"{rank}-[0-9]*")) if not p.suffix]


def durably(path, data):
    temp = path.with_suffix(".new")
    with temp.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temp.replace(path)


def started(run, how="fork"):
    context = multiprocessing.get_context(how)
    run.notes.mkdir()
    ranks = [context.Process(target=run.rank, args=(r,)) for r in range(run.world)]
    for process in ranks:
        process.start()
    return ranks


def killed(run, ranks, rnd, most):
    """Kills each rank and its workers, at a moment of its own soon after so many batches were written in all."""
    until = sum(run.holds) if run.holds else rnd.randint(0, most)
    deadline = time.monotonic() + RANK_S
    while len(list(run.notes.glob("*[0-9]"))) < until and all(p.is_alive() for p in ranks):
        assert time.monotonic() < deadline, f"{len(list(run.notes.glob('*[0-9]')))} batches of {until} in {RANK_S} s"
        time.sleep(0.002)
    for process in rnd.sample(ranks, len(ranks)):
        time.sleep(rnd.uniform(0, 0.03))
        with contextlib.suppress(ProcessLookupError):  # before it has a group of its own, it is alone
            os.kill(process.pid, signal.SIGSTOP)  # so that it starts no worker between the two below
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            os.kill(process.pid, signal.SIGKILL)
    for process in ranks:
        process.join(RANK_S)
        assert process.exitcode in (0, -signal.SIGKILL)


def finished(ranks):
    for process in ranks:
        process.join(RANK_S)
        assert process.exitcode == 0


def in_plan_order(notes, steps):
    """The first `steps` steps of all ranks as (id, whether it is a pad), in the order of the plan."""
    return [
        (note["ids"][j], note["pads"][j])
        for step in range(steps)
        for j in range(len(notes[0][step]["ids"]))
        for note in (rank[step] for rank in notes)
    ]


def check(run, notes, order, start):
    """What every rank wrote is what the plan gives it, however far it came; pads come last and repeat the order."""
    together = run.world * run.batch
    for rank, written in enumerate(notes):
        for step, note in enumerate(written):
            positions = [start + (step * run.batch + j) * run.world + rank for j in range(run.batch)]
            assert note["ids"] == [order[p % COUNT] for p in positions]
            assert note["pads"] == [p >= COUNT for p in positions]
            if not run.stateful:
                assert note["state"]["consumed"] == start + (step + 1) * together


def used(run, order, start):
    """How many steps all ranks have in common, and the ids of those, in the order of the plan."""
    notes = [run.written(r) for r in range(run.world)]
    check(run, notes, order, start)
    steps = min(map(len, notes))
    return notes, steps, [key for key, pad in in_plan_order(notes, steps) if not pad]


def the_order(run):
    dataset = run.opened(0)
    dataset.set_epoch(EPOCH)
    return [key_of(int(row)) for row in dataset.rows()]


def goes_on(many, tmp_path, worlds, rnd, *, workers, how="fork", mix=None, hold=False):
    """Jobs on `worlds` ranks in turn; all but the last are killed, each goes on from the slowest rank of the one before."""
    given, starts, state, start = [], [], None, 0
    for number, world in enumerate(worlds):
        took, batch, pace = rnd.choice(workers), rnd.choice([1, 2, 3]), rnd.randrange(1000)
        run = Run(many, tmp_path / str(number), world, took, batch, pace, mix=mix, from_dataset=state)
        if hold and number < len(worlds) - 1:
            most = (COUNT - start) // (world * batch) - 1
            run = dataclasses.replace(run, holds=tuple(rnd.randint(1, most) for _ in range(world)))
        order = the_order(run)
        ranks = started(run, how)
        if number == len(worlds) - 1:
            finished(ranks)
        else:
            killed(run, ranks, rnd, (COUNT - start) // run.batch)
        notes, steps, ids = used(run, order, start)
        given += ids
        if steps:
            state = min((rank[-1]["state"] for rank in notes), key=lambda s: s["consumed"])
            assert all(rank[steps - 1]["state"] == state for rank in notes)
            start = min(state["consumed"], COUNT)
        assert given == order[:start]
        starts.append(start)
    assert start == COUNT
    return starts


@pytest.mark.slow
def test_ranks_that_are_killed_are_gone_on_from_on_other_numbers_of_ranks(many, tmp_path):
    starts = goes_on(many, tmp_path, [2, 1, 3], random.Random(0), workers=[0, 2], hold=True)
    assert 0 < starts[0] < starts[1] < COUNT


@pytest.mark.slow
@pytest.mark.parametrize("mix", [None, 2])
@pytest.mark.parametrize("worlds", [[2, 2, 2, 2], [4, 3, 2, 1], [1, 2, 3, 4], [3, 1, 4, 2, 3]], ids=str)
def test_kills_at_random_on_the_same_fewer_and_more_ranks(many, tmp_path, worlds, mix):
    goes_on(many, tmp_path, worlds, random.Random(f"{worlds} {mix}"), workers=[0, 1, 2, 3], mix=mix)


@pytest.mark.slow
def test_kills_of_processes_that_share_nothing(many, tmp_path):
    goes_on(many, tmp_path, [2, 3, 1], random.Random(5), workers=[2], how="spawn")


# torchdata 0.11 calls a torch function that torch 2.13 has put out of use.
OUT_OF_USE = pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning")


@OUT_OF_USE
@pytest.mark.parametrize(
    ("ranks", "workers", "kills"),
    [(2, 2, 1), *(pytest.param(r, w, 3, marks=pytest.mark.slow) for r, w in ((3, 0), (1, 1), (3, 3)))],
)
@pytest.mark.slow
def test_torchdatas_loader_goes_on_after_kills_on_as_many_ranks(many, tmp_path, ranks, workers, kills):
    rnd, given, states, start = random.Random(f"{ranks} {workers}"), [], None, 0
    for number in range(kills + 1):
        run = Run(many, tmp_path / str(number), ranks, workers, 2, number, stateful=True, from_loader=states)
        order = the_order(run)
        processes = started(run)
        if number == kills:
            finished(processes)
        else:
            killed(run, processes, rnd, (COUNT - start) // run.batch)
        notes, steps, ids = used(run, order, start)
        given += ids
        if steps:  # what a loader counts is its rank's own, so that each goes on from its own state of the common step
            states = tuple(rank[steps - 1]["loader"] for rank in notes)
            start = min(start + steps * ranks * run.batch, COUNT)
        assert given == order[:start]
    assert start == COUNT


@OUT_OF_USE
@pytest.mark.filterwarnings(f"ignore:{MORE_WORKERS}")
@pytest.mark.parametrize(("soon", "workers"), crossed([1, 2, 4], [0, 1, 3]))
@pytest.mark.slow
def test_torchdatas_loader_goes_on_from_a_state_of_workers_that_have_not_delivered_since_they_went_on(
    many, tmp_path, workers, soon
):
    from torchdata.stateful_dataloader import StatefulDataLoader

    run, state, given = Run(many, tmp_path, 1, workers, 2, 0), None, []
    for stop in (5, soon, soon, COUNT):
        loader = StatefulDataLoader(run.opened(0), batch_size=None, num_workers=workers)
        if state is not None:
            loader.load_state_dict(state)
        for step, batch in enumerate(loader, 1):
            given += [k for k, pad in zip(batch["key"], batch["is_pad"].tolist(), strict=True) if not pad]
            if step == stop:
                state = loader.state_dict()
                break
    assert given == [key_of(int(row)) for row in run.opened(0).rows()]


@OUT_OF_USE
@pytest.mark.parametrize(("ranks", "batch"), [(3, 2), (1, 2), (2, 3)])
def test_torchdatas_state_of_workers_is_refused_on_other_ranks_and_batch_sizes(many, tmp_path, ranks, batch):
    from torchdata.stateful_dataloader import StatefulDataLoader

    def loader(world, size):
        return StatefulDataLoader(Run(many, tmp_path, world, 2, size, 0).opened(0), batch_size=None, num_workers=2)

    first = loader(2, 2)
    for step, _ in enumerate(first, 1):
        if step == 3:
            break
    second = loader(ranks, batch)
    second.load_state_dict(first.state_dict())
    was, now = (rf"workers = 2, ranks = {r}, batch = {b}" for r, b in ((2, 2), (ranks, batch)))
    with pytest.raises(
        ConfigError, match=rf"with worker = \d, {was}, loaded with worker = \d, {now}: expected the same"
    ):
        list(second)


def test_set_epoch_of_the_epoch_that_was_loaded_keeps_it_and_another_begins_anew(many):
    dataset = open_shards(many, batch_size=2, fields=[], shuffle=True)
    dataset.set_epoch(EPOCH)
    state = dataset.state_dict(steps=5)
    dataset.load_state_dict(state)
    dataset.set_epoch(EPOCH)
    assert sum(len(b["key"]) for b in dataset) == COUNT - 10 + COUNT % 2
    dataset.load_state_dict(state)
    dataset.set_epoch(EPOCH + 1)
    assert len(dataset) == -(-COUNT // 2)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"seed": SEED + 1}, f"seed = {SEED}, but this dataset has {SEED + 1}"),
        ({"shuffle": False}, "shuffle = True, but this dataset has False"),
        ({"mix_shards": 4}, "mix_shards = 2, but this dataset has 4"),
        ({"mix_shards": None}, "mix_shards = 2, but this dataset has None"),
        ({"mix_shards": None, "balance": True}, "mix_shards = 2, but this dataset has None"),
    ],
)
def test_a_state_of_another_order_is_refused_with_both_values(many, change, match):
    order = {"shuffle": True, "seed": SEED, "mix_shards": 2}
    state = open_shards(many, batch_size=2, **order).state_dict(steps=3)
    open_shards(many, **order).load_state_dict(state)
    with pytest.raises(ConfigError, match=f"state of {match}: .*open it as before, or begin the epoch again"):
        open_shards(many, batch_size=2, **(order | change)).load_state_dict(state)


def test_a_state_of_another_dataset_is_refused_with_both_hashes(many, packed):
    datasets = [open_shards(folder, shuffle=True) for folder in (many, packed)]
    had, has = (d.index.content_sha256 for d in datasets)
    with pytest.raises(ConfigError, match=f"state of content_sha256 = '{had}', but this dataset has '{has}'"):
        datasets[1].load_state_dict(datasets[0].state_dict())


class Late:
    """Lets one worker begin later than the other."""

    def __init__(self, number):
        self.number = number

    def __call__(self, number):
        if number == self.number:
            time.sleep(0.5)


@pytest.mark.slow
@pytest.mark.parametrize(("late", "keep"), crossed([0, 1], [False, True]))
def test_an_iteration_that_is_left_before_all_workers_began_uses_up_what_was_loaded_for_all(many, late, keep):
    dataset = open_shards(many, batch_size=2, fields=[], shuffle=True)
    epochs = [[batch["key"] for batch in dataset] for _ in range(6)]
    state = open_shards(many, shuffle=True, batch_size=2).state_dict(steps=5)
    for after in (late, 1 - late):
        dataset.load_state_dict(state)
        how = {"batch_size": None, "num_workers": 2, "persistent_workers": keep}
        loader = DataLoader(dataset, worker_init_fn=Late(late), **how)
        batches = iter(loader)
        if late:
            assert next(batches)["key"] == epochs[0][5]
        else:
            time.sleep(0.2)
        del batches
        if not keep:
            loader = DataLoader(dataset, worker_init_fn=Late(after), **how)
        assert [batch["key"] for batch in loader] == epochs[1]
        assert [batch["key"] for batch in loader] == epochs[2]
        assert dataset.state_dict(steps=2) == {**state, "epoch": 2, "consumed": 4}
