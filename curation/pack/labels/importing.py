"""Labels taken in from what somebody names: a file that lists them, or a folder of exported class maps."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from curation.errors import ConfigError, DamageError
from curation.errors.printable import printable, unsigned
from curation.pack import meta
from curation.pack.labels import coverage, imported, listed, made, maps
from curation.pack.labels.imported import Imported
from curation.pack.labels.listed import Vocabulary
from curation.pack.labels.making import MapOutcome, Way
from curation.places.locations import Locations
from curation.recipe import catalogs
from curation.recipe.dataset import Dataset
from curation.store import paths
from curation.store.objects import Store

log = logging.getLogger(__name__)

_FILES = (".json", ".csv", ".zip", *maps.SUFFIXES)
"""What URLs of files end with that are no catalog."""


def is_catalog(said: str | Path) -> bool:
    """Whether what somebody gives as labels is a STAC catalog of maps, which is asked, and not something to import.

    By what it is: a name or URL as `--catalog` has it, a STAC ItemCollection, STAC-GeoParquet, or a folder of such.

    Raises:
        ConfigError: a folder has maps and STAC-GeoParquet; a URL is of a file; what is there is no file or folder.
    """
    text, path = str(said), Path(said)
    where = f"labels {printable(text)}"
    known = catalogs.table()
    if text in known or text.partition("+")[0] in known or "://" in text:
        if "://" in text and unsigned(text).lower().endswith(_FILES):
            raise ConfigError(
                f"{where}: is a file elsewhere; expected a STAC API, STAC-GeoParquet, or a file or folder of this machine: "
                "copy it to this machine"
            )
        return True
    try:
        is_folder = path.is_dir()
    except OSError as err:
        raise ConfigError(f"{where}: cannot be opened: {err.strerror}") from None
    if is_folder:
        parts = bool(catalogs.parquet_parts(path))
        if parts and any(p.suffix.lower() in maps.SUFFIXES for p in path.rglob("*")):
            raise ConfigError(
                f"{where}: has GeoTIFFs and .parquet files: whether it is a folder of maps or a STAC catalog is not known; "
                "name a folder that has one of them"
            )
        return parts
    listed.check(path, where)
    if path.suffix.lower() in catalogs.PARQUET:
        try:
            return {"assets", "geometry"} <= set(pq.read_schema(path).names)
        except (pa.ArrowException, OSError, ValueError):
            return False  # whoever reads its rows says what is wrong with it
    return path.suffix.lower() == ".json" and _is_stac(path.read_bytes())


def _is_stac(data: bytes) -> bool:
    if b'"features"' not in data and b'"links"' not in data:
        return False
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and isinstance(value.get("type"), str) and ("features" in value or "links" in value)


def asked_too(dataset: Dataset, store: Store, said: str, apart: Mapping[str, str]) -> dict[str, str]:
    """Source → catalog, where labels by season are asked of a catalog that `--labels` names: in the form of `apart`.

    Raises:
        ConfigError: the recipe has no labels by season; another catalog is named for them; or they were imported, and what
            was imported stands in for maps.
    """
    where = f"labels {printable(said)}"
    source = _vocabulary(dataset, f"{where}: is a catalog", seasonal=True).source.name
    if apart.get(source, said) != said:
        raise ConfigError(f"{where}: --catalog {printable(f'{source}={apart[source]}')} names another; say one of them")
    if (record := imported.record_of(store)) is not None and record.seasonal:
        raise ConfigError(
            f"{where}: labels by season were imported from {record.file}, and none come from maps then: `curate labels "
            "remove` first"
        )
    return {**apart, source: said}


def check(said: str | Path) -> Path:
    """Where labels to import lie. Reads nothing of them.

    Raises:
        ConfigError: a STAC catalog lies there, or what is no file or folder.
    """
    if is_catalog(said):
        raise ConfigError(
            f"labels {printable(str(said))}: is a STAC catalog, not a file of labels: nothing is imported of it; its maps "
            "are measured by a build that asks it: give build and pack --labels, or --catalog SOURCE=…"
        )
    return Path(said)


def take_in(dataset: Dataset, store: Store, said: str | Path, places: Locations) -> Imported:
    """The labels of a file or folder; the dataset's own where they are that already. Writes nothing: `keep` does.

    Args:
        dataset: the recipe.
        store: the dataset's folder.
        said: path of a JSON file `{location id: {Sentinel-2 id: [class, …]}}`, a table (`listed`), or a folder of maps
            (`maps`).
        places: the locations asked for, without children.

    Raises:
        ConfigError: it is none of these, cannot be read, says what is no label; or the recipe makes no such labels.
    """
    where, path = f"labels {printable(str(said))}", check(said)
    is_folder = path.is_dir()
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
    return imported.unsaved(dataset, rows, path.name, origin, seasonal=seasonal)


def source_of_images(dataset: Dataset, where: str) -> str:
    """The source that labels of images stand in for. Raises ConfigError where the recipe makes none."""
    return _vocabulary(dataset, where, seasonal=True).source.name


def of_maps(dataset: Dataset, way: Way, outcomes: Sequence[MapOutcome]) -> Imported:
    """Labels measured on maps that were made here. Writes nothing: `keep` does."""
    origin = made.digest_of(outcomes)
    return imported.unsaved(dataset, made.rows_of(outcomes), way.title, origin, seasonal=True, made_by=way.made_by)


def keep(dataset: Dataset, store: Store, made: Imported, places: Locations) -> None:
    """Keeps labels as the dataset's, in place of others, unless they are that already. Arguments as of `take_in`."""
    before = _before(store)
    if before == made.record:
        return
    if before is not None:
        log.info(
            "labels: %s takes the place of what was imported from %s; shards follow when they are packed",
            made.record.file,
            before.file,
        )
    imported.save(store, made)
    store.publish(paths.UNMATCHED, coverage.table(made, coverage.unmatched(made, dataset, places)))


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
