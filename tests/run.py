"""The command as tests call it: in this process, on the tiny world."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from curation import cli
from curation.catalogs import Catalog, resolve
from curation.recipe import Dataset, load_dataset
from curation.store import Store
from tests.processes import started
from tests.world import World


@dataclass(frozen=True)
class Curate:
    """`Curate(world, root)(verb, *flags)` runs `curate` and gives its exit code."""

    world: World
    root: Path

    def __call__(self, verb: str = "build", *flags: str) -> int:
        return cli.main(self.arguments(verb, *flags))

    def arguments(self, verb: str = "build", *flags: str) -> list[str]:
        """What stands after `curate`."""
        where = ["--dataset", str(self.world.recipe), "--root", str(self.root)]
        catalog = ["--catalog", str(self.world.catalog)] if verb in ("build", "pack", "locate") else []
        scheduler = ["--scheduler", "none"] if verb in ("build", "pack") and "--scheduler" not in flags else []
        return [verb, *where, *catalog, *scheduler, *flags]

    def copy(self, root: Path) -> Curate:
        """The same dataset in another folder."""
        shutil.copytree(self.root, root, dirs_exist_ok=True)
        return Curate(self.world, root)

    @property
    def dataset(self) -> Dataset:
        return load_dataset(str(self.world.recipe))

    @property
    def catalog(self) -> Catalog:
        return resolve(str(self.world.catalog))

    @property
    def store(self) -> Store:
        return Store(self.root).child("tiny")

    @property
    def folder(self) -> Path:
        return self.root / "tiny"

    def hashes(self) -> dict[str, str]:
        """Every shard and the index, by digest of their bytes."""
        files = sorted((self.folder / "shards").rglob("*"))
        return {
            str(f.relative_to(self.folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files if f.is_file()
        }


@contextlib.contextmanager
def scheduler_by_hand(folder: Path, workers: int = 2) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """Address of a `dask scheduler` with `dask worker` processes, started as one starts them by hand; and the processes,
    the scheduler first."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "scheduler.json"

    where = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
    with contextlib.ExitStack() as stack:

        def start(*args: str) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-c", "from dask.__main__ import main; main()", *args]
            return stack.enter_context(started(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

        processes = [start("scheduler", *where)]
        while not file.exists():
            assert processes[0].poll() is None, "the scheduler ended before it answered"
            time.sleep(0.05)
        rest = ["--scheduler-file", str(file), "--nthreads", "2", "--no-dashboard"]
        processes += [start("worker", *rest, "--local-directory", str(folder / f"worker-{n}")) for n in range(workers)]
        yield json.loads(file.read_text())["address"], processes
