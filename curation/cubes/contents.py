"""What a dataset's folder holds: its cubes with their ledgers, opened for reading.

Only what a ledger records is believed, and only where the stored bytes are still that. A draw, a recipe's file of places
and a catalog are not needed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import zarr
from numpy.typing import NDArray
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

from curation.cubes import windows
from curation.cubes.arrays import has_pixels
from curation.cubes.cube import IDENTITY, Cube
from curation.errors import ConfigError, DamageError
from curation.outcomes import PatchOutcome
from curation.places import era5_cells
from curation.places.locations import Locations
from curation.recipe import digests
from curation.recipe.dataset import Dataset
from curation.recipe.levels import CHILDREN
from curation.store import paths
from curation.store.ledger import Ledger, cube_names
from curation.store.objects import Store
from curation.store.records import StoredObject, read_checked


@dataclass(frozen=True)
class CubeContents:
    """One cube as it stands: where its patches are, what became of them, and how to read them."""

    cube: Cube
    """With its locations, in order; their rank is not recorded and is 0. Children have their parent, and all have what of
    their columns pixels follow from, what is no date as text; others are not recorded."""
    ledger: Ledger
    store: Store

    @property
    def name(self) -> str:
        """As logs name it."""
        return self.cube.name

    @cached_property
    def outcomes(self) -> dict[str, PatchOutcome]:
        """Location id → outcome of each decided patch."""
        return {o.id: o for o in self.ledger.outcomes()}

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Location id → its number in the cube."""
        return {p.id: n for n, p in enumerate(self.cube.locations)}

    @cached_property
    def asked(self) -> dict[str, str]:
        """Source of the cube → identity of the catalog that its scenes are of, as its checked metadata say.

        Nothing of a cube that was stopped before its creation.
        """
        if not self.ledger.cube_objects:
            return {}
        objects = {o.key: o for o in self.ledger.cube_objects}
        value = json.loads(read_checked(self.store, objects, paths.metadata(self.cube.prefix)))
        found, own = digests.asked(value["attributes"]["pixels"]), {s.name for s in self.cube.sources}
        return {name: identity for name, identity in found.items() if name in own}

    def facts(self, slab: int) -> list[dict[str, Any]]:
        """For each patch of a slab, fact → value; empty where no facts of the slab are recorded.

        Raises:
            DamageError: a chunk of facts is not there, or the facts of a settled patch are not what was recorded.
        """
        slots = len(self.cube.slab(slab))
        record = self.ledger.slabs.get(slab)
        if record is None or not record.objects:
            return [{} for _ in range(slots)]
        return self.cube.proven_facts(self.store, record, [p.id for p in self.cube.slab(slab)])

    def facts_of(self, location: str) -> dict[str, Any]:
        """Fact → value of a patch. Raises as `facts` does."""
        slab, slot = divmod(self.numbers[location], self.cube.slab_patches)
        return self.facts(slab)[slot]

    def pixels(self, name: str, location: str, step: int | None = None) -> NDArray[Any]:
        """(band, y, x) of a pixel array of an ok patch, in its stored dtype, checked against the ledger's hash.

        Of an array with a time axis (step, band, y, x), of the steps that the patch has, or of one of them alone.

        Raises:
            DamageError: the chunk is not there, or is not what was committed.
        """
        number = self.numbers[location]
        return self.cube.read_chunk(self.store, name, number, self.outcomes[location].chunks[name], step)


def named(dataset: Dataset, store: Store) -> tuple[list[tuple[str, str]], list[str]]:
    """(folder, season) of every cube that a recipe has the season of; and of each other one what is to be told."""
    there = cube_names(store)
    found = [(folder, season) for folder, season in there if season in dataset.level_of(folder).cube_seasons()]
    others = [
        f"{store.where(paths.cube(*name))}: the recipe has no season {name[1]} with a source, so that it is left out; "
        "`curate gc` says what nothing refers to"
        for name in there
        if name not in found
    ]
    return found, others


def opened(dataset: Dataset, store: Store, folder: str, season: str) -> CubeContents:
    """The cube of a folder and season.

    Raises:
        ConfigError: it was built by another recipe than this one.
        DamageError: its ledger or its identity is not what was recorded, or it was being given more locations.
    """
    dataset, region = dataset.level_of(folder), paths.region_of(folder)
    dataset.recipe.season(season)
    ledger = Ledger.replay(store, folder, season)
    where = store.where(paths.cube(folder, season))
    if ledger.binding.get("dataset") != dataset.name:
        raise ConfigError(
            f"{where}: is of dataset {ledger.binding.get('dataset')!r}, expected {dataset.name!r}; give its own --dataset"
        )
    if not ledger.cube_objects:
        return CubeContents(Cube(dataset, region, season), ledger, store)  # begun, and stopped before its creation
    ledger.check_whole()
    locations = _locations(dataset, store, region, season, ledger)
    return CubeContents(Cube(dataset, region, season, locations), ledger, store)


def _locations(dataset: Dataset, store: Store, region: str, season: str, ledger: Ledger) -> Locations:
    """The cube's locations as its identity coordinates say; bound to the ledger by their digest."""
    objects = {o.key: o for o in ledger.cube_objects}
    cube = Cube(dataset, region, season)
    _check_schema(cube, store, read_checked(store, objects, paths.metadata(cube.prefix)))
    columns = {name: identity(store, objects, cube.prefix, name) for name in IDENTITY}
    lon, lat = np.asarray(columns["lon"], np.float64), np.asarray(columns["lat"], np.float64)
    same: dict[str, Any] = {"size_m": np.full(len(lon), dataset.recipe.grid.size), "region": [region] * len(lon)}
    if dataset.level == CHILDREN:  # each lies within its cell
        same["parent"] = era5_cells.ids(era5_cells.numbers_at(lon, lat))
    held = windows.names(cube.its, cube.dates)
    date_columns = {
        column: windows.column(identity(store, objects, cube.prefix, name)) for column, name in held.items()
    }
    texts = {
        column: pa.array(identity(store, objects, cube.prefix, name), pa.string())
        for column, name in windows.text_names(cube.columns).items()
    }
    locations = Locations.of_columns({**columns, **same}, date_columns | texts)
    found = Cube(dataset, region, season, locations).locations_digest
    if found != ledger.binding.get("locations"):
        raise DamageError(
            f"{store.where(cube.prefix)}: its locations have digest {found[:12]}…, its ledger is bound to "
            f"{str(ledger.binding.get('locations'))[:12]}…; restore the one that was replaced"
        )
    return locations


def identity(store: Store, objects: Mapping[str, StoredObject], prefix: str, name: str) -> Sequence[Any]:
    """One coordinate that was written whole, when the cube was made, as plain values from checked bytes."""
    buffer = default_buffer_prototype().buffer
    keys = {"zarr.json": paths.metadata(prefix, name), "c/0": paths.chunk(prefix, name, 0, axes=1)}
    buffers = {k: buffer.from_bytes(read_checked(store, objects, key)) for k, key in keys.items()}
    array = zarr.open_array(MemoryStore(buffers), mode="r")
    values: list[Any] = np.asarray(array[...]).tolist()
    return values


def _check_schema(cube: Cube, store: Store, root: bytes) -> None:
    """Passes where the store has the arrays and facts that the recipe says.

    Raises:
        ConfigError: it has others: the recipe, or a source, has changed since.
    """
    value = json.loads(root)
    stored = value["consolidated_metadata"]["metadata"]
    found = {
        name: (meta["shape"][1:], meta["chunk_grid"]["configuration"]["chunk_shape"][0], meta["data_type"])
        for name, meta in stored.items()
        if has_pixels(meta)
    }
    expected = {
        name: (list(cube.patch_shape(name)), cube.slab_patches, array.dtype) for name, (_, array) in cube.arrays.items()
    }
    if found != expected or value["attributes"]["coordinates"] != cube.coordinates:
        raise ConfigError(
            f"{store.where(cube.prefix)}: holds {_listed(found)}, the recipe {cube.dataset.path} says {_listed(expected)}"
            f"{'' if found != expected else ' with other facts'}: the recipe, a source or this release has changed "
            "since this cube was built. Restore it, or choose another --root"
        )


def _listed(arrays: Mapping[str, Any]) -> str:
    return ", ".join(f"{n} {tuple(v[0])} {v[2]} by {v[1]}" for n, v in sorted(arrays.items()))
