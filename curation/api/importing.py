"""A foreign dataset of chips made into one like any other: `curate import`."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curation import pipeline
from curation.api.folder import ROOT, SCHEDULER, DatasetFolder
from curation.api.results import BuildResult, PackResult, Result
from curation.errors import ConfigError, CurationError
from curation.errors.printable import printable
from curation.errors.words import counted
from curation.pipeline import ForeignLook, ForeignSet
from curation.recipe import foreign as recipes
from curation.recipe.dataset import Dataset, load_dataset
from curation.store import paths
from curation.store.ledger import Ledger, cube_names
from curation.store.objects import Store
from curation.work import telling
from curation.work.progress import Counting, Doing, shown_bytes

log = logging.getLogger(__name__)

DRY, LOOK = 16, 256
"""Samples that are read of a dry run, and before anything is built: what is wrong with one is wrong with most of them."""


@dataclass(frozen=True, slots=True, repr=False)
class ImportResult(Result):
    """What importing came to, or would come to."""

    summary: str
    """Samples and chips that were found."""
    look: ForeignLook
    lost: int
    """Samples of which nobody knows where they are."""
    pixels: int
    """Bytes of all samples, before they are packed."""
    built: BuildResult | None = None
    """None of a dry run."""
    packed: PackResult | None = None

    def error(self) -> CurationError | None:
        """Samples that failed or have no place; of a dry run also what is refused."""
        said = [f"{counted(self.lost, 'sample')} of no known place: {paths.UNPLACED} has why"] if self.lost else []
        if self.built is None:
            return CurationError("; ".join([*said, *self.look.lines()])) if said or self.look.lines() else None
        failed = self.built.error()
        said += [printable(failed)] if failed else []
        return CurationError("; ".join(said)) if said else None

    def notes(self) -> list[str]:
        """What was found; what is refused, and what would mend it; what was built and packed."""
        size = f"{shown_bytes(self.pixels)} of pixels before they are packed"
        lines = [f"{self.summary}; {size}"]
        if self.built is None:
            lines.append(f"read {counted(self.look.read, 'sample')}; nothing is written")
            lines += self.look.lines() or ["each is as the recipe states it"]
            return [*lines, *map(str, self.look.spreads)]
        lines += [f"refused: {line}" for line in self.look.lines()]
        return [*lines, *self.built.lines(), *(self.packed.lines() if self.packed else ())]


@telling.shown()
def import_dataset(
    source: str | Path,
    recipe: str | Path,
    root: str | Path = ROOT,
    *,
    scheduler: str = SCHEDULER,
    workers: int | None = None,
    dry_run: bool = False,
    check: bool = True,
) -> ImportResult:
    """A foreign dataset as cubes with a ledger, and shards, by the steps of any other. Safe to stop and to repeat.

    Each chip is held against what the recipe states of it; what contradicts it is refused by name, or mended where the
    recipe says so. The recipe is then one for all other steps: `curation.load(recipe, root).verify()`.

    Args:
        source: folder of chips, or a tar, Tortilla, Parquet or HDF5 file.
        recipe: for `curate import` (`manifests/README.md`).
        root: as of `load`.
        scheduler: likewise.
        workers: likewise.
        dry_run: only find all and read a few; nothing is written.
        check: raise where something failed, rather than return it.

    Raises:
        ConfigError: source or recipe are none, or do not go together; or no sample is as stated.
        CurationError: a band's statistics are odd, or something failed.
    """
    if "://" in str(source):
        raise ConfigError(
            f"{printable(str(source))}: a URL, expected a folder or file of this machine: get the dataset first"
        )
    path, where = Path(recipe), Path(source).absolute()
    stated = recipes.read(path)
    dataset = load_dataset(str(path), str(where))
    made = DatasetFolder(dataset, str(root), None, scheduler, workers)
    places = functools.partial(_counted, "import: where samples are")
    its = pipeline.foreign_set(stated, where, path, DRY if dry_run else None, places)
    if not its.places:
        name, why = next(iter(its.lost.items()))
        raise ConfigError(f"{path}: [place]: no sample is of a place that is known, such as {name}: {why}")
    most = DRY if dry_run else LOOK
    with Doing(f"import: reading {counted(min(most, len(its.places)), 'sample')}", often_short=True):
        look = pipeline.look(dataset, its, made.store, most, lambda samples, _: iter(samples))
    about = (its.scan.summary(stated), look, len(its.lost), _bytes(dataset) * len(its.scan.samples))
    result = ImportResult(*about)
    if not dry_run:
        result = ImportResult(*about, *_made(made, its, look))
    if check:
        result.raise_for_error()
    return result


def _made(made: DatasetFolder, its: ForeignSet, look: ForeignLook) -> tuple[BuildResult, PackResult | None]:
    """What building and packing came to; packing None where a rerun has samples to try again, and none is complete.

    Raises:
        CurationError: a band is odd, or nothing is as stated: nothing is built then.
    """
    if look.odd or not look.ok:
        raise CurationError(f"{made.dataset.path}: nothing is imported: {'; '.join(look.lines())}")
    for line in look.lines():
        log.warning("%s", line)
    _check_same(made, its, look)
    _keep_places(made.dataset, its)
    _keep_lost(made.store, its)
    built = made.build(check=False)
    complete = any(reason == "ok" and n for reason, n in built.counts.items())
    return built, made.pack() if complete or not built.failed else None


def _check_same(made: DatasetFolder, its: ForeignSet, look: ForeignLook) -> None:
    """Passes where chips are those that samples were built of: a build leaves these as they are."""
    store = made.store
    standing = [o for name in cube_names(store) for o in Ledger.replay(store, *name).outcomes()]
    again = functools.partial(_counted, "import: reading again what has other files")
    for was, now in pipeline.changed_chips(made.dataset, its, look, standing, store, again):
        raise ConfigError(
            f"{made.dataset.path}: chips, or what the recipe says of them, have become others since they were built, "
            f"such as {was}, by now {now}: what is built stays, and new samples would be of another release than "
            "these. Import it under another [dataset] name, or delete what was built"
        )


def _counted(title: str, things: Iterable[Any], total: int) -> Iterator[Any]:
    """What it is given, and tells how much of it there was."""
    with Counting(title, total, "sample") as count:
        for its in things:
            count.step()
            yield its


def _keep_places(dataset: Dataset, its: ForeignSet) -> None:
    """Writes the table of places beside the recipe, where it is another than stands there.

    Raises:
        ConfigError: it is no table, or would be without a place that stands there, which cubes may have.
    """
    path = dataset.path.parent / its.foreign.places_file
    before: Sequence[str] = ()
    if path.is_file():
        try:
            before = pq.read_table(path, columns=["id"])["id"].to_pylist()
        except (pa.ArrowException, OSError, KeyError) as err:
            raise ConfigError(f"{path}: no table of places ({err}), which an import makes: delete it") from err
    if gone := [name for name in before if name not in its.places]:
        raise ConfigError(
            f"{path}: no place is known now of {counted(len(gone), 'sample')} that have one there, such as {gone[0]}: "
            f"{its.lost.get(gone[0], 'no sample of the dataset is called so')}. Places are only ever added: get its files "
            "again, or delete this table where nothing is built by it"
        )
    table = its.table(before)
    if not path.is_file() or path.read_bytes() != table:
        Store(path.parent.absolute()).publish(path.name, table)


def _keep_lost(store: Store, its: ForeignSet) -> None:
    """Records which samples have no place, and why, until all have one."""
    if its.lost:
        store.publish(paths.UNPLACED, (json.dumps(its.lost, indent=1, sort_keys=True) + "\n").encode())
    elif store.head(paths.UNPLACED) is not None:
        store.delete(paths.UNPLACED)


def _bytes(dataset: Dataset) -> int:
    """Of all arrays of a sample."""
    size = dataset.recipe.grid.size
    arrays = (a for of in dataset.arrays.values() for a in of.values())
    return sum(len(a.bands) * a.px(size) ** 2 * _ITEM[a.dtype] for a in arrays)


_ITEM = {"uint8": 1, "uint16": 2, "int16": 2, "float32": 4}
"""Bytes of a pixel, by dtype."""
