"""The command as tests call it: in this process, on the tiny world."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from curation import cli
from curation.catalogs import Catalog, resolve
from curation.recipe import Dataset, load_dataset
from curation.store import Store
from tests.world import World


@dataclass(frozen=True)
class Curate:
    """`Curate(world, root)(verb, *flags)` runs `curate` and gives its exit code."""

    world: World
    root: Path

    def __call__(self, verb: str = "build", *flags: str) -> int:
        where = ["--dataset", str(self.world.recipe), "--root", str(self.root)]
        catalog = ["--catalog", str(self.world.catalog)] if verb in ("build", "pack", "locate") else []
        scheduler = ["--scheduler", "none"] if verb in ("build", "pack") and "--scheduler" not in flags else []
        return cli.main([verb, *where, *catalog, *scheduler, *flags])

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
        import hashlib

        files = sorted((self.folder / "shards").rglob("*"))
        return {str(f.relative_to(self.folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files if f.is_file()}
