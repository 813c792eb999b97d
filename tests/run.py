"""The command as tests call it: in this process, on the tiny world."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from curation.cli import main
from curation.recipe.catalogs import Catalogs, resolve
from curation.recipe.dataset import Dataset, load_dataset
from curation.store.objects import Store
from tests.processes import started
from tests.world import World


@dataclass(frozen=True)
class Curate:
    """`Curate(world, root)(verb, *flags)` runs `curate` and gives its exit code."""

    world: World
    root: Path

    def __call__(self, verb: str = "build", *flags: str) -> int:
        return main.main(self.arguments(verb, *flags))

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
    def catalogs(self) -> Catalogs:
        return Catalogs(resolve(str(self.world.catalog)))

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

        def start(name: str, *args: str) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-c", "from dask.__main__ import main; main()", *args]
            with (folder / f"{name}.log").open("wb") as log:
                return stack.enter_context(started(command, stdout=log, stderr=log))

        processes = [start("scheduler", "scheduler", *where)]
        while not file.exists():
            assert processes[0].poll() is None, "the scheduler ended before it answered"
            time.sleep(0.05)
        rest = ["--scheduler-file", str(file), "--nthreads", "2", "--no-dashboard"]
        names = [f"worker-{n}" for n in range(workers)]
        processes += [start(n, "worker", *rest, "--local-directory", str(folder / n)) for n in names]
        yield json.loads(file.read_text())["address"], processes


ENDS_S = 300.0
"""How long a command of the tests is given to end; on a slow machine most take tens of seconds."""

TOLD = "import faulthandler, signal\nfaulthandler.register(signal.SIGUSR1)\n"
"""What a script begins with that tells where its threads stand when it does not end (`ended`)."""


def ended(process: subprocess.Popen[bytes], within_s: float = ENDS_S, logs: Path | None = None) -> str:
    """What a process that ends by itself said on standard error, which is piped.

    Args:
        process: its script begins with `TOLD`, so that it tells where it stands, where it is to be killed.
        within_s: how long it is waited for.
        logs: folder of the logs of those that it works with (`scheduler_by_hand`).

    Raises:
        AssertionError: it does not end: with what it said, where its threads stand, and the ends of the logs.
    """
    try:
        return process.communicate(timeout=within_s)[1].decode(errors="replace")
    except subprocess.TimeoutExpired:
        pass
    process.send_signal(signal.SIGUSR1)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=5)  # for the dump
    code = process.poll()
    process.kill()
    try:
        said = process.communicate(timeout=30)[1].decode(errors="replace")
    except subprocess.TimeoutExpired as err:  # somebody that it started has its standard error, and goes on
        said = f"{(err.stderr or b'').decode(errors='replace')}\n(its standard error is still held by another)"
    told = (
        [f"{log.name}: {log.read_text(errors='replace')[-3000:]}" for log in sorted(logs.glob("*.log"))] if logs else []
    )
    how = "goes on" if code is None else f"ended with {code} by then"
    raise AssertionError("\n".join([f"it did not end within {within_s:.0f} s ({how}); it said:", said[-8000:], *told]))
