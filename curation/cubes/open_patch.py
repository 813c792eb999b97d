"""One patch as georeferenced xarray arrays, from a dataset's folder alone, and as GeoTIFFs: no recipe, no catalog."""

from __future__ import annotations

import hashlib
import json
import math
import os
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import rioxarray  # noqa: F401 - gives arrays their `.rio`
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from rasterio.io import MemoryFile

from curation.cubes import rows, windows
from curation.cubes.arrays import has_pixels
from curation.cubes.chunks import UNDECODED, decode_chunk, each_hash
from curation.cubes.contents import identity
from curation.cubes.cube import FACTS, IDENTITY
from curation.cubes.proven import stored_chunks
from curation.errors import ConfigError, DamageError
from curation.errors.words import did_you_mean
from curation.outcomes import SETTLED, PatchOutcome, Status
from curation.recipe.facts import FILL, TYPE, Fact
from curation.store import paths
from curation.store.ledger import Ledger, cube_names
from curation.store.objects import Store
from curation.store.records import SlabRecord, StoredObject, again, read_checked

_LEDGERS = threading.Lock()
"""A ledger keeps the segments that it read last; Dask's threads ask for them at the same time."""


def _after_fork() -> None:
    global _LEDGERS
    _LEDGERS = threading.Lock()  # whoever held it is not here


os.register_at_fork(after_in_child=_after_fork)

EPOCH = np.datetime64("1970-01-01", "ns")


def open_patch(
    folder: str | Path | Store, patch: str, arrays: Collection[str] | None = None
) -> dict[str, xr.DataArray]:
    """The pixel arrays of a patch by name, each with CRS, transform and nodata: what rioxarray, GDAL and QGIS understand.

        patch = open_patch("shards/ssl4eo-s12-ml", "lower-rhine/summer/utm31n-694020-5668560")
        patch["s2l2a_10m"].rio.to_raster("s2.tif")
        patch["s2l2a_10m"].sel(band="B04").plot()

    Each is (band, y, x) in its stored dtype and unit (`attrs["units"]`), nodata as it is stored; y goes south. Bands are
    named by the coordinate `band`, and told by `canonical` (`s2.b04`), `centre_nm` and `width_nm` (of radar in MHz), pixel
    centres in the CRS by `x` and `y`. A source that the patch lacks has no array. Of a source with a time axis they are
    (time, band, y, x), of those times that the patch has, each with its `scene`.
    Every chunk is checked against the ledger's hash of it.

    Args:
        folder: the dataset's, `<root>/<dataset>`: a path, or a URL such as `s3://bucket/datasets/ssl4eo-s12-ml`.
        patch: `REGION/SEASON/ID`, as ledgers and logs name it; SEASON may be `static`.
        arrays: names of those that are wanted; all where left out.

    Raises:
        ConfigError: there is no such patch, it has no pixels (why is told), or not these arrays.
        DamageError: what is stored is not what was recorded.
    """
    store = folder if isinstance(folder, Store) else Store(folder)
    region, season, location = paths.patch_of(patch)
    ledger = ledger_of(store, region, season)
    outcome = _outcome(ledger, location, patch, store)
    if wrong := sorted(set(arrays or ()) - set(outcome.chunks)):
        raise ConfigError(f"patch {patch!r}: no array {', '.join(wrong)}; it has {', '.join(sorted(outcome.chunks))}")
    cube = StoredCube(store, paths.cube(region, season), ledger)
    number = cube.values("id").index(location)
    wanted = sorted(outcome.chunks if arrays is None else arrays)
    return {name: cube.array(name, number, outcome) for name in wanted}


def write_tifs(folder: str | Path | Store, patch: str, into: Path) -> list[str]:
    """Paths of the GeoTIFFs of a patch, `<ID>-<SEASON>-<array>.tif`, one per pixel array, written into a local folder.

    Of an array with a time axis one per time, `<ID>-<SEASON>-<array>-<YYYYMMDDTHHMMSS>.tif`. Bands are named by their
    descriptions. Raises as `open_patch` does, and ConfigError where `into` is a file.
    """
    if into.exists() and not into.is_dir():
        raise ConfigError(f"--tif {into}: is a file, expected the name of a folder")
    _, season, location = paths.patch_of(patch)
    target, written = Store(into.absolute()), []
    for name, array in open_patch(folder, patch).items():
        for when, image in _images(array):
            file = f"{location}-{season}-{name}{when}.tif"
            with MemoryFile(ext=".tif") as memory:  # on a disk that is full GDAL writes half a file, and raises nothing
                image.rio.to_raster(
                    memory.name, driver="GTiff", compress="deflate", tags={"patch": patch, "units": image.units}
                )
                target.publish(file, memory.read())
            written.append(target.where(file))
    return written


def _images(array: xr.DataArray) -> list[tuple[str, xr.DataArray]]:
    """What is of one time: what its file's name tells of that, and (band, y, x)."""
    if "time" not in array.dims:
        return [("", array)]
    names = array["time"].dt.strftime("-%Y%m%dT%H%M%S").values.tolist()
    return [(name, array.isel(time=n)) for n, name in enumerate(names)]


@dataclass(frozen=True)
class StoredCube:
    """A cube as its own metadata tell of it, each object checked against what its ledger recorded."""

    store: Store
    prefix: str
    ledger: Ledger
    _coordinates: dict[str, Sequence[Any]] = field(default_factory=dict, repr=False)
    """Coordinates that were read."""

    @cached_property
    def _objects(self) -> dict[str, StoredObject]:
        return {o.key: o for o in self.ledger.cube_objects}

    @cached_property
    def _root(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(read_checked(self.store, self._objects, paths.metadata(self.prefix)))
        return found

    @property
    def made(self) -> bool:
        """Whether it was created; one that is not was begun, and stopped before that."""
        return bool(self.ledger.cube_objects)

    @property
    def attributes(self) -> dict[str, Any]:
        """What it says of itself."""
        found: dict[str, Any] = self._root["attributes"]
        return found

    @property
    def arrays(self) -> dict[str, Any]:
        """Name → Zarr's metadata of each array."""
        found: dict[str, Any] = self._root["consolidated_metadata"]["metadata"]
        return found

    @cached_property
    def slots(self) -> int:
        """Patches per slab."""
        return int(
            next(m for m in self.arrays.values() if has_pixels(m))["chunk_grid"]["configuration"]["chunk_shape"][0]
        )

    def steps(self, name: str) -> tuple[int, ...]:
        """The time axis of a pixel array of a patch: (most steps,), or () where it has none."""
        return tuple(self.arrays[name]["shape"][1:-3])

    def values(self, name: str) -> Sequence[Any]:
        """A coordinate that was written whole when the cube was made."""
        if name not in self._coordinates:
            self._coordinates[name] = identity(self.store, self._objects, self.prefix, name)
        return self._coordinates[name]

    def pixels(self, name: str, patch: int, chunk_hashes: str, steps: Sequence[int] | None = None) -> NDArray[Any]:
        """(band, y, x) of a patch of a pixel array, or (step, band, y, x), whose stored chunks have the recorded hashes.

        Args:
            name: the array.
            patch: its number.
            chunk_hashes: what the ledger says of its chunks.
            steps: which of them, where it has a time axis; all that the patch has where left out.
        """
        its, most = self.arrays[name], math.prod(self.steps(name))
        slab, slot = divmod(patch, self.slots)
        hashes = each_hash(chunk_hashes)
        wanted = {slot * most + n: hashes[n] for n in (range(len(hashes)) if steps is None else steps)}
        key = paths.chunk(self.prefix, name, slab, axes=len(its["shape"]))
        chunks = stored_chunks(self.store, key, wanted, self.slots * most) if wanted else iter(())
        shape = tuple(its["shape"][-3:])
        out = np.empty((len(wanted), *shape), its["data_type"])
        for n, chunk in enumerate(chunks):
            out[n] = decode_chunk(chunk, shape, its["data_type"])
        return out if self.steps(name) else out[0]

    def record(self, slab: int) -> SlabRecord | None:
        """What is recorded of a slab."""
        with _LEDGERS:
            return self.ledger.slabs.get(slab)

    def columns(self, names: Collection[str], slab: int) -> dict[str, NDArray[Any]] | None:
        """Fact → its column of a slab, as it is recorded; None where none is recorded of the slab.

        A build writes a slab of which some patches are not settled once more before it records that. Each row is then proven
        by itself, and one that is of no recorded outcome yet is as if nothing had been measured.

        Raises:
            DamageError: what is recorded is not there, or is another.
        """
        record = self.record(slab)
        objects = {o.key: o for o in record.objects} if record else {}
        key = self.facts_key(slab)
        if record is None or key not in objects:
            return None
        try:
            data = self.store.get(key)
        except FileNotFoundError as err:
            raise DamageError(f"{self.store.where(key)}: is recorded but not there: {again(key)}") from err
        is_same = hashlib.sha256(data).hexdigest() == objects[key].sha256
        facts = [self.fact(name) for name in (names if is_same else self._facts)]
        try:
            found = rows.columns(data, facts, self.slots)
        except UNDECODED as err:
            raise DamageError(
                f"{self.store.where(key)}: holds no facts ({err}), recorded were some: {again(key)}"
            ) from err
        if not is_same:
            self._forget_unproven(found, facts, record)
        return {name: found[name] for name in names}

    @cached_property
    def _facts(self) -> list[str]:
        """Names of what is measured, in the order that rows are hashed in."""
        names: list[str] = self.attributes["coordinates"].split()
        return [n for n in names if n not in (*IDENTITY, FACTS) and windows.attributes(n) is None]

    def _forget_unproven(self, columns: Mapping[str, NDArray[Any]], facts: Sequence[Fact], record: SlabRecord) -> None:
        """Takes rows out of the columns of a slab that are not those recorded.

        Raises:
            DamageError: one is of a patch that is settled.
        """
        known, ids = {o.id: o for o in record.patches}, self.values("id")[record.slab * self.slots :]
        for slot, found in enumerate(rows.hashes(columns, facts)):
            outcome = known.get(ids[slot]) if slot < len(ids) else None
            if outcome is not None and outcome.facts == found:
                continue
            if outcome is not None and outcome.status in SETTLED:
                key = self.facts_key(record.slab)
                raise DamageError(
                    f"{self.store.where(key)}: the facts of {outcome.id} are not what was recorded of them: {again(key)}"
                )
            for fact in facts:
                columns[fact.name][slot] = FILL[fact.type]

    def facts_key(self, slab: int) -> str:
        """Key of a slab's rows of facts."""
        return paths.chunk(self.prefix, FACTS, slab, axes=1)

    def fact(self, name: str) -> Fact:
        """A measured coordinate, as far as the metadata of its column tell."""
        meta = self.arrays[name]
        (axis, count) = (meta["dimension_names"][1], meta["shape"][1]) if len(meta["shape"]) > 1 else (None, 0)
        return Fact(name, TYPE[meta["data_type"]], meta["attributes"]["long_name"], axis, count=count)

    def _times(self, source: str, patch: int, count: int) -> NDArray[np.datetime64]:
        """When a patch's steps were taken, UTC."""
        slab, slot = divmod(patch, self.slots)
        name, key = f"{source}_time", self.facts_key(slab)
        found = self.columns([name], slab)
        if found is None:
            raise DamageError(f"{self.store.where(key)}: nobody recorded it: {again(key)}")
        return time_of(found[name][slot, :count])

    def array(self, name: str, patch: int, outcome: PatchOutcome) -> xr.DataArray:
        """A patch's part of a pixel array, whose stored chunks are those that were recorded of it."""
        its = self.arrays[name]
        of = its["attributes"]
        pixels = self.pixels(name, patch, outcome.chunks[name])
        bands = list(self.values(f"{name}_band"))
        of_bands: dict[str, Any] = {k: ("band", v) for k, v in self.arrays[f"{name}_band"]["attributes"].items()}
        if self.steps(name):
            times = self._times(of["source"], patch, len(pixels))
            of_bands |= {"time": times, "scene": ("time", list(outcome.sources[of["source"]].scenes))}
        down, right = (np.array(self.values(axis), np.float64) for axis in its["dimension_names"][-2:])
        x0, y0 = (float(self.values(edge)[patch]) for edge in ("x0_m", "y0_m"))
        step = 2 * right[0]  # the first centre is half a pixel from the edge
        found = xr.DataArray(
            pixels,
            dims=(*(["time"] if self.steps(name) else []), "band", "y", "x"),
            coords={"band": bands, "y": y0 + down, "x": x0 + right} | of_bands,
            name=name,
            # What rioxarray finds in `long_name` becomes the bands' descriptions.
            attrs={"units": of["units"], "source": of["source"], "long_name": tuple(bands)},
        )
        placed = found.rio.write_crs(f"EPSG:{self.values('epsg')[patch]}").rio.write_nodata(of["nodata"])
        out: xr.DataArray = placed.rio.write_transform(Affine(step, 0, x0, 0, -step, y0))
        return out


def time_of(seconds: NDArray[np.float64]) -> NDArray[np.datetime64]:
    """UTC of seconds since 1970, to the microsecond; NaT where they are NaN."""
    known = np.isfinite(seconds)
    out = np.full(seconds.shape, np.datetime64("NaT"), "datetime64[ns]")
    out[known] = EPOCH + np.round(seconds[known] * 1e6).astype("timedelta64[us]")
    return out


def ledger_of(store: Store, region: str, season: str) -> Ledger:
    """The ledger of a cube that there is.

    Raises:
        ConfigError: there is none; those that there are, are told.
        DamageError: it is torn, or the cube was being given more locations.
    """
    cubes = cube_names(store)
    if (region, season) not in cubes:
        known = ", ".join("/".join(c) for c in cubes) or "none"
        raise ConfigError(
            f"{store.where('')}: no cube {region}/{season}; known: {known}. Expected the dataset's folder, <root>/<dataset>"
        )
    ledger = Ledger.replay(store, region, season)
    ledger.check_whole()
    return ledger


def _outcome(ledger: Ledger, location: str, patch: str, store: Store) -> PatchOutcome:
    """What became of the patch, which has pixels."""
    outcomes = {o.id: o for o in ledger.outcomes()}
    if location not in outcomes:
        raise ConfigError(
            f"patch {patch!r}: {store.where(ledger.prefix)} has nothing of it; {did_you_mean(location, outcomes)}"
            f"{len(outcomes)} patches of that cube are decided, the others are pending"
        )
    outcome = outcomes[location]
    if outcome.status is not Status.OK:
        raise ConfigError(f"patch {patch!r}: has no pixels: it is {outcome.status.name.lower()} ({outcome.label})")
    return outcome
