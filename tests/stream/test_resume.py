"""Ranks that are killed, and others that go on: real processes, a checkpoint per step, and the plan as referee."""

import json
import multiprocessing
import os
import random
import time
from pathlib import Path

import pytest
from torch.utils.data import DataLoader

from curation.stream import open_shards

from .conftest import key_of

SEED, EPOCH, SAMPLES = 7, 3, 13


def open_(folder, rank, world_size, batch_size):
    return open_shards(
        folder, batch_size=batch_size, fields=["s2l2a_10m"], shuffle=True, seed=SEED, rank=rank, world_size=world_size
    )


def train(folder, rank, world_size, batch_size, workers, log, state):
    """One rank: after each step, a line with what it was given and the state that goes on behind it."""
    dataset = open_(folder, rank, world_size, batch_size)
    if state:
        dataset.load_state_dict(state)
    dataset.set_epoch(EPOCH)
    with Path(log).open("w") as file:
        for step, batch in enumerate(DataLoader(dataset, batch_size=None, num_workers=workers), 1):
            assert (batch["s2l2a_10m"] != 0).any()
            time.sleep(0.01)
            pads = batch["is_pad"].tolist()
            file.write(json.dumps({"ids": batch["key"], "pads": pads, "state": dataset.state_dict(steps=step)}) + "\n")
            file.flush()
            os.fsync(file.fileno())


class Ranks:
    """Processes of all ranks, and what they wrote."""

    def __init__(self, folder, out, world_size, batch_size, workers, state=None):
        self.logs = [out / f"{world_size}-{batch_size}-{r}-{time.monotonic_ns()}.jsonl" for r in range(world_size)]
        fork = multiprocessing.get_context("fork")
        self.processes = [
            fork.Process(target=train, args=(folder, r, world_size, batch_size, workers, log, state))
            for r, log in enumerate(self.logs)
        ]
        for process in self.processes:
            process.start()

    def lines(self):
        """Per rank, whole lines only: the last may have been cut."""
        texts = [log.read_text() if log.exists() else "" for log in self.logs]
        return [[json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")] for text in texts]

    def kill_after(self, steps):
        """SIGKILL to all as soon as their steps add up to so many; gives the lines of the steps that all had taken."""
        while sum(map(len, self.lines())) < steps and any(p.is_alive() for p in self.processes):
            time.sleep(0.002)
        for process in self.processes:
            process.kill()
            process.join()
        lines = self.lines()
        return [rank[: min(map(len, lines))] for rank in lines]

    def finish(self):
        for process in self.processes:
            process.join(60)
            assert process.exitcode == 0
        return self.lines()


def delivered(lines):
    """(ids, whether a pad) in the order of the plan: ranks take turns within a step."""
    return [
        (rank["ids"][j], rank["pads"][j])
        for step in zip(*lines, strict=True)
        for j in range(len(step[0]["ids"]))
        for rank in step
    ]


def killed_and_resumed(folder, out, first, then, steps):
    world_size, batch_size, workers = first
    lines = Ranks(folder, out, world_size, batch_size, workers).kill_after(steps)
    state = None
    if lines[0]:
        states = [rank[-1]["state"] for rank in lines]
        assert all(s == states[0] for s in states), "any rank's will do"
        state = states[0]
    rest = Ranks(folder, out, *then, state=state).finish()
    got = delivered(lines) + delivered(rest)
    plan = open_(folder, 0, 1, 1)
    plan.set_epoch(EPOCH)
    ids = [key_of(int(row)) for row in plan.rows()]
    real = [key for key, pad in got if not pad]
    assert real == ids, f"killed after {len(lines[0])} common steps of {first}, gone on with {then}"
    return len(lines[0])


def test_a_killed_epoch_goes_on_with_more_ranks(packed, tmp_path):
    assert killed_and_resumed(packed, tmp_path, (1, 2, 2), (2, 3, 1), steps=3) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("number", range(20))
def test_epochs_killed_at_random_go_on_with_the_same_fewer_and_more_ranks(packed, tmp_path, number):
    rnd = random.Random(number)
    first, then = (
        (rnd.randint(1, 4), rnd.randint(1, 3), rnd.randint(0, 2)) for _ in range(2)
    )  # (ranks, samples per batch, workers)
    if number % 3 == 0:
        then = (first[0], *then[1:])
    most = -(-SAMPLES // (first[0] * first[1])) * first[0]
    killed_and_resumed(packed, tmp_path, first, then, rnd.randint(0, most))


def test_a_state_can_be_taken_again_and_again(packed, tmp_path):
    """Three lives: each goes on where the one before was killed."""
    state, real = None, []
    for life, steps in enumerate((2, 2, 99)):
        ranks = Ranks(packed, tmp_path, 1 + life % 2, 2, life, state=state)
        lines = ranks.finish() if steps == 99 else ranks.kill_after(steps)
        real += [key for key, pad in delivered(lines) if not pad]
        state = lines[0][-1]["state"] if lines[0] else state
    plan = open_(packed, 0, 1, 1)
    plan.set_epoch(EPOCH)
    assert real == [key_of(int(row)) for row in plan.rows()]
