"""Kill anything at any moment: the same command goes on, ends with the same bytes, and reads nothing committed again."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from curation import embedded
from curation.recipe.dataset import load_dataset
from curation.store.ledger import Ledger
from curation.store.objects import Store
from tests.processes import started
from tests.run import ENDS_S, TOLD, ended, scheduler_by_hand

pytestmark = [pytest.mark.slow, pytest.mark.alone]

PLACES = "4"
REGION = "lower-rhine+sao-paulo"


@pytest.fixture(scope="module")
def earth(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """URL of an embedded Earth that outlives the runs, and its log of requests."""
    log = tmp_path_factory.mktemp("earth") / "requests.jsonl"
    with embedded.serve(log=log) as url:
        yield url, log


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The main job's recipe with small slabs and shards, so that there is much to come between; places drawn once."""
    folder = tmp_path_factory.mktemp("recipe")
    source = load_dataset("ssl4eo-s12-ml").path.read_text()
    source = source.replace("slab_patches = 16", "slab_patches = 2").replace(
        "samples_per_shard = 64", "samples_per_shard = 2"
    )
    source = source.replace("count = 300_000", "count = 290_000").replace("buffer_km = 1 ", "buffer_km = 0.5 ")
    lines = [
        line for line in source.splitlines() if not line.startswith(("spring =", "autumn ="))
    ]  # two seasons will do
    (folder / "recipe.toml").write_text("\n".join(lines) + "\n")
    flags = ["--dataset", str(folder), "--root", str(folder / "root"), "--catalog", "embedded", "--region", REGION]
    command = [sys.executable, "-m", "curation", "locate", *flags]
    subprocess.run(command, check=True, capture_output=True, timeout=ENDS_S)
    return folder


class Job:
    """Build and pack in a process of their own."""

    def __init__(self, earth: tuple[str, Path], dataset: Path, root: Path) -> None:
        self.url, self.log = earth
        self.dataset, self.root = dataset, root
        self.folder = root / "ssl4eo-s12-ml"
        shutil.copytree(dataset / "root", root, dirs_exist_ok=True)

    def start(
        self, scheduler: str = "none", before: str = "", places: str = PLACES
    ) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
        """The process, which ends with the block at the latest, and all that it started with it."""
        flags = ["--dataset", str(self.dataset), "--root", str(self.root), "--region", REGION]
        flags += ["--catalog", self.url, "--scheduler", scheduler]
        build, pack = ["build", *flags, "--limit", places], ["pack", *flags]
        code = f"{TOLD}import sys\nfrom curation.cli.main import main\n{before}\n"
        code += f"if __name__ == '__main__':\n    sys.exit(main({build!r}) or main({pack!r}))\n"
        script = self.root / "job.py"
        script.write_text(code)
        return started([sys.executable, str(script)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def finish(self, **how: str) -> None:
        with self.start(**how) as process:
            said = ended(process)
        assert process.returncode == 0, said[-2000:]

    def hashes(self) -> dict[str, str]:
        import hashlib

        files = sorted((self.folder / "shards").rglob("*"))
        return {
            str(f.relative_to(self.folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files if f.is_file()
        }

    def requests(self) -> list[dict]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@dataclass(frozen=True)
class Undisturbed:
    """A run that nobody disturbs."""

    job: Job
    """It, done."""
    hashes: dict[str, str]
    objects: int
    """It publishes at least so many."""
    seconds: float
    """It takes."""


@pytest.fixture(scope="module")
def undisturbed(earth, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """What a run comes to that nobody disturbs."""
    job = Job(earth, dataset, tmp_path_factory.mktemp("undisturbed"))
    job.finish()  # renders what the Earth has not rendered yet
    job = Job(earth, dataset, tmp_path_factory.mktemp("again"))
    started = time.monotonic()
    job.finish()
    hashes = job.hashes()
    assert len([k for k in hashes if k.endswith(".tar")]) >= 2
    objects = sum(p.is_file() for name in ("scenes", "cubes", "shards") for p in (job.folder / name).rglob("*"))
    return Undisturbed(job, hashes, objects, time.monotonic() - started)


AT_OBJECT = """
import os, signal, threading
from curation.store import objects as store
real, calls = store.Store.publish, []
def publish(self, key, data):
    calls.append(1)
    if len(calls) == {n}:
        threading.Timer({delay_s}, os.kill, (os.getpid(), signal.SIGKILL)).start()
    return real(self, key, data)
store.Store.publish = publish
"""
"""Kills the process some milliseconds after it began to publish its n-th object."""

KILLS = 4
"""Of a client, one after the other, at random."""
ROUNDS = 3
"""Clusters of which something is killed, one after the other, at random."""


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(2))
def test_a_client_killed_at_random_times_ends_where_an_undisturbed_one_ends(
    earth, dataset, undisturbed, tmp_path, seed
):
    # By what it has done, not by the clock: each run has more left to do than it is let do, however fast the machine is.
    dice = random.Random(seed)
    job = Job(earth, dataset, tmp_path)
    for _ in range(KILLS):
        n = dice.randint(1, undisturbed.objects // (KILLS + 1))
        with job.start(before=AT_OBJECT.format(n=n, delay_s=dice.uniform(0, 0.1))) as process:
            said = ended(process)
        assert process.returncode == -signal.SIGKILL, said[-2000:]
    job.finish()
    assert job.hashes() == undisturbed.hashes


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("victim", ["scheduler", "worker"])
def test_a_scheduler_or_workers_killed_end_where_an_undisturbed_run_ends(earth, dataset, undisturbed, tmp_path, victim):
    seconds = undisturbed.seconds
    dice = random.Random(victim)
    job = Job(earth, dataset, tmp_path)
    for n in range(ROUNDS):
        with (
            scheduler_by_hand(tmp_path / f"dask-{n}") as (address, processes),
            job.start(scheduler=address) as process,
        ):
            time.sleep(dice.uniform(3.0, 3.0 + 0.5 * seconds))
            if victim == "scheduler":
                processes[0].kill()
                ended(process, logs=tmp_path / f"dask-{n}")
                # It ends by itself: having lost the scheduler, never having met it, or having been done before.
                assert process.returncode in (0, 1, 2)
                continue
            # A nanny restarts its worker; the worker's process is the nanny's child.
            nanny = psutil.Process(dice.choice(processes[1:]).pid)
            for child in nanny.children(recursive=True):
                child.kill()
            time.sleep(dice.uniform(0.5, 3.0))
            if n == ROUNDS - 1:  # and before, it is killed here
                said = ended(process, logs=tmp_path / f"dask-{n}")
                assert process.returncode == 0, said[-2000:]
    job.finish()
    assert job.hashes() == undisturbed.hashes


AT_LEDGER = """
import os, signal
from curation.store import ledger
real, calls = ledger.Ledger.append, []
def append(self, records):
    calls.append(1)
    if len(calls) == {n}:
        os.kill(os.getpid(), signal.SIGKILL)  # objects are published, the line that records them is not
    real(self, records)
ledger.Ledger.append = append
"""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("n", [1, 4, 11])
def test_killed_between_publishing_and_the_ledger_line(earth, dataset, undisturbed, tmp_path, n):
    job = Job(earth, dataset, tmp_path)
    with job.start(before=AT_LEDGER.format(n=n)) as process:
        said = ended(process)
    assert process.returncode == -signal.SIGKILL, said[-2000:]
    job.finish()
    assert job.hashes() == undisturbed.hashes


@pytest.mark.timeout(600)
def test_what_was_committed_is_not_read_again(earth, dataset, undisturbed, tmp_path):
    # Killed when the first region's first cubes stand. Scenes of a season that is committed must not be asked for again.
    job = Job(earth, dataset, tmp_path)
    with job.start(before=AT_LEDGER.format(n=6)) as process:
        ended(process)
    store = Store(job.folder)
    committed = {
        tuple(s.key.split("/")[1:3]): set(Ledger.replay(store, *s.key.split("/")[1:3]).slabs)
        for s in store.list("ledger")
    }
    whole = [cube for cube, slabs in committed.items() if len(slabs) == 2]
    assert ("lower-rhine", "winter") in whole
    scenes = {
        scene
        for region, season in whole
        for o in Ledger.replay(store, region, season).outcomes()
        for source in o.sources.values()
        for scene in source.scenes
        if season != "static"
    }
    assert scenes
    before = len(job.requests())
    job.finish()
    again = [r["path"] for r in job.requests()[before:] if any(scene in r["path"] for scene in scenes)]
    assert again == []
    assert len(job.requests()) > before


@pytest.mark.timeout(600)
def test_a_run_that_is_done_asks_for_nothing(undisturbed):
    job = undisturbed.job
    before = len(job.requests())
    job.finish()
    assert len(job.requests()) == before


@pytest.mark.timeout(600)
def test_a_second_client_at_the_same_time_is_refused_by_name(earth, dataset, undisturbed, tmp_path):
    job = Job(earth, dataset, tmp_path)
    with job.start() as first:
        for _ in range(600):
            if list(job.folder.glob("ledger/*/*/*.jsonl")):
                break
            time.sleep(0.05)
        os.kill(first.pid, signal.SIGSTOP)
        with job.start() as second:
            said = ended(second)
        assert second.returncode == 2, said[-2000:]
        assert f"pid {first.pid}" in said
        os.kill(first.pid, signal.SIGCONT)
        said = ended(first)
    assert first.returncode == 0, said[-2000:]
    assert job.hashes() == undisturbed.hashes
