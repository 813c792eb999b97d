"""Labels taken in from what somebody names: a file that lists them, or a folder of exported class maps."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from curation.errors import ConfigError, DamageError
from curation.errors.printable import printable
from curation.pack import meta
from curation.pack.labels import imported, listed, maps
from curation.pack.labels.imported import Imported
from curation.pack.labels.listed import Vocabulary
from curation.places.locations import Locations
from curation.recipe.dataset import Dataset
from curation.store import paths
from curation.store.objects import Store

log = logging.getLogger(__name__)


def check(path: Path) -> bool:
    """Whether a path leads to a folder of maps; else it leads to a file that may list labels. Reads nothing of either.

    Raises:
        ConfigError: it leads to neither.
    """
    where = f"labels {printable(str(path))}"
    if "://" in str(path) or ":/" in str(path):
        raise ConfigError(f"{where}: expected a file or folder of this machine; a catalog of maps is asked by a build")
    try:
        is_folder = path.is_dir()
    except OSError as err:
        raise ConfigError(f"{where}: cannot be opened: {err.strerror}") from None
    if not is_folder:
        listed.check(path, where)
    return is_folder


def take_in(dataset: Dataset, store: Store, path: Path, places: Locations, *, keep: bool = True) -> Imported:
    """The labels of a file or folder; kept as the dataset's, in place of others, unless they are that already.

    Args:
        dataset: the recipe.
        store: the dataset's folder.
        path: a JSON file `{location id: {Sentinel-2 id: [class, …]}}`, a table (`listed`), or a folder of maps (`maps`).
        places: the locations asked for, without children.
        keep: whether anything is written.

    Raises:
        ConfigError: it is none of these, cannot be read, says what is no label; or the recipe makes no such labels.
    """
    where = f"labels {printable(str(path))}"
    is_folder = check(path)
    origin = _origin(dataset, path, where, places) if is_folder else hashlib.sha256(path.read_bytes()).hexdigest()
    before = _before(store)
    if before is not None and before.origin == origin and _fits(before, dataset):
        same = imported.load(store, dataset)
        assert same is not None
        return same
    if is_folder:
        source = _vocabulary(dataset, where, seasonal=True).source
        rows, seasonal = maps.read(path, where, dataset, source.name, places), True
    else:
        rows, seasonal = listed.read(path, where, lambda of_images: _vocabulary(dataset, where, seasonal=of_images))
    if not rows.num_rows:
        raise ConfigError(f"{where}: holds no labels at all")
    if not keep:
        return imported.unsaved(dataset, rows, path.name, origin, seasonal=seasonal)
    if before is not None:
        log.info(
            "labels: %s takes the place of what was imported from %s; shards follow when they are packed",
            path.name,
            before.file,
        )
    made = imported.save(store, dataset, rows, path.name, origin, seasonal=seasonal)
    store.publish(paths.UNMATCHED, made.table(made.unmatched(dataset, places)))
    return made


def remove(store: Store) -> int:
    """Does without imported labels from now on; gives how many objects there were. The record goes first."""
    found = sorted((s.key for s in store.list(paths.LABELS)), key=lambda k: k != paths.LABELS_RECORD)
    for key in found:
        store.delete(key)
    if store.head(paths.UNMATCHED) is not None:
        store.delete(paths.UNMATCHED)
    return len(found)


def _origin(dataset: Dataset, path: Path, where: str, places: Locations) -> str:
    """Digest of all that shares measured on maps follow from."""
    found = hashlib.sha256(maps.content(path, where).encode())
    for name in ("id", "epsg", "x0_m", "y0_m", "size_m"):
        found.update("\n".join(map(str, places.table[name].to_pylist())).encode())
    return found.hexdigest()


def _before(store: Store) -> imported.Record | None:
    try:
        return imported.record_of(store)
    except DamageError as err:
        log.warning("%s", err)
        return None


def _fits(record: imported.Record, dataset: Dataset) -> bool:
    try:
        imported.check_fits(record, dataset)
    except ConfigError:
        return False
    return True


def _vocabulary(dataset: Dataset, where: str, *, seasonal: bool) -> Vocabulary:
    """What labels of images, or of places, may be called."""
    name = imported.source_of(dataset, seasonal=seasonal)
    key = "seasonal" if seasonal else "annual"
    if name is None:
        what = (
            "images: it has Sentinel-2 ids or times" if seasonal else "places: it has neither Sentinel-2 ids nor times"
        )
        raise ConfigError(
            f"{where}: labels of {what}; the recipe {dataset.path} names no such labels: say [labels] {key}, and the source"
        )
    if seasonal and dataset.specs[name].pick.follows is None:
        raise ConfigError(f"{where}: labels of images, and source {name!r} goes with no other source's images")
    return Vocabulary(tuple(meta.label_names(dataset)), dataset.specs[name])
