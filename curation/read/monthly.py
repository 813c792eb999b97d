"""Monthly means at points, read of a Zarr store over a grid of longitude and latitude: the form that ERA5 is published in.

    dimensions   `time` (or `valid_time`), `latitude`, `longitude`, in any order; latitudes run either way, longitudes
                 from 0 to 360 or from -180 to 180, both in even steps
    time         one step a month: hourly and daily stores are refused, since a mean of some of their steps is no mean
    cell         the nearest: a point has the values of the node whose cell it lies in, west and south edges included
    missing      NaN: what the store holds as NaN or as its fill value, and chunks that it does not have where that is NaN

Zarr takes a chunk that is not there for the array's fill value, which in format 3 need not be what its values say missing
with (`_FillValue`). Where it is a number, a failed upload would be read as data: a store with such a hole is refused, and
so is one of such shards, since nobody asks by name for what a shard does not have.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import warnings
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray
from zarr.abc.store import (
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    SuffixByteRequest,
)
from zarr.abc.store import (
    Store as ZarrStore,
)
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.errors import ZarrUserWarning

from curation.errors import ReadError
from curation.errors.causes import one_line
from curation.errors.codes import Code
from curation.errors.printable import printable
from curation.errors.words import did_you_mean
from curation.store.objects import Store

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MONTHS = 12

MOST_VALUES = 2**20
"""That are read at once, of a variable: zarr takes about 330 bytes for each while it reads single nodes, 350 MB of all."""

_TIMES = ("time", "valid_time")
"""What the axis of time is called: in ARCO-ERA5, and in what the Climate Data Store gives by now."""

_UNEVEN = 1e-3
"""Of a step: how far nodes may lie beside an even grid, since coordinates are float32 in some stores."""


@dataclass(frozen=True, slots=True)
class Monthly:
    """What was read."""

    values: Floats
    """(point, month, variable), January first, in the store's units; the mean over the years; NaN where missing."""
    missing: tuple[Code | None, ...]
    """Of each point why values are missing: `outside_store`, `no_value`; None where none is."""
    identity: str
    """sha256 of the store's metadata, hexadecimal."""


def read(store: Store, lon: Floats, lat: Floats, variables: Mapping[str, str], years: Sequence[int]) -> Monthly:
    """Monthly means at points.

    Args:
        store: the Zarr store: a folder, a server, or a bucket.
        lon: degrees east, of any turn.
        lat: degrees north.
        variables: name → the unit that it is expected in, by the words of its attribute `units`.
        years: whose months are averaged, calendar month by calendar month.

    Raises:
        ReadError: the store cannot be read, is of another form, lacks a variable or a month, or states another unit.
    """
    where = store.where("")
    bytes_of = _Bytes(store)
    try:
        identity = bytes_of.identity()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ZarrUserWarning)  # that consolidated metadata are in no specification yet
            found = xr.open_zarr(bytes_of, chunks=None, consolidated=bytes_of.is_consolidated, decode_timedelta=False)
            numbers = bytes_of.filled_with_numbers(found, variables)
            values, inside = _values(found, where, lon, lat, variables, years)
    except ReadError:
        raise
    except Exception as err:  # of zarr, codecs, xarray and the store alike, whatever a store's bytes make of them
        raise ReadError(
            f"{where}: cannot be read as a Zarr store: {one_line(err)}; expected one with consolidated metadata, or a "
            "folder: look at its address, and whether it is whole"
        ) from err
    bytes_of.check_absent(numbers)
    gaps = np.asarray(np.isnan(values).any(axis=(1, 2)))
    missing = tuple(
        None if not gap else Code.NO_VALUE if there else Code.OUTSIDE_STORE
        for gap, there in zip(gaps, inside, strict=True)
    )
    return Monthly(values, missing, identity)


def _values(
    found: xr.Dataset, where: str, lon: Floats, lat: Floats, variables: Mapping[str, str], years: Sequence[int]
) -> tuple[Floats, NDArray[np.bool_]]:
    """(point, month, variable), and which points lie on the store's grid."""
    out = np.full((len(lon), MONTHS, len(variables)), np.nan)
    inside = np.zeros(len(lon), dtype=bool)
    for number, (name, unit) in enumerate(variables.items()):
        array = _variable(found, where, name, unit)
        rows, north = _nearest(array, where, "latitude", lat)
        columns, east = _nearest(array, where, "longitude", lon)
        inside = north & east
        time = next(t for t in _TIMES if t in array.dims)
        steps = _steps(array[time], where, years)
        nodes, of = np.unique(np.stack([rows[inside], columns[inside]]), axis=1, return_inverse=True)
        out[inside, :, number] = _means(array, time, steps, nodes)[of.ravel()]
    return out, inside


def _means(array: xr.DataArray, time: str, steps: Ints, nodes: Ints) -> Floats:
    """(node, month): the mean over the years of `steps` (year, month), of nodes (2, node), their rows and columns.

    Read in parts, so that memory does not grow with places and years, and nearly each chunk once: all steps of a chunk
    together, and neighbours of nodes.
    """
    total = np.zeros((nodes.shape[1], MONTHS))
    sizes = array.encoding["preferred_chunks"]
    order = np.lexsort((nodes[1] // sizes["longitude"], nodes[0] // sizes["latitude"]))
    flat = steps.ravel()
    at_once = min(len(flat), max(sizes[time], MOST_VALUES // max(1, len(order))))
    for first in range(0, len(flat), at_once):
        part = flat[first : first + at_once]
        for its in np.split(order, range(MOST_VALUES // at_once + 1, len(order), MOST_VALUES // at_once + 1)):
            at = {n: xr.DataArray(nodes[k][its], dims="node") for k, n in enumerate(("latitude", "longitude"))}
            read = array.isel({time: part, **at}).transpose("node", time).values
            for k in range(len(part)):
                total[its, (first + k) % MONTHS] += read[:, k]
    return total / len(steps)


def _variable(found: xr.Dataset, where: str, name: str, unit: str) -> xr.DataArray:
    if name not in found.data_vars:
        known = [str(n) for n in found.data_vars]
        raise ReadError(
            f"{where}: has no variable {name!r}; {did_you_mean(name, known)}it has "
            f"{printable(', '.join(known[:40])) or 'none'}"
        )
    array = found[name]
    dims = {str(d) for d in array.dims}
    if len(dims) != 3 or not {"latitude", "longitude"} < dims or dims.isdisjoint(_TIMES):
        raise ReadError(
            f"{where}: {name!r} has the dimensions {sorted(dims)}, expected time, latitude and longitude: of several "
            "levels or members make a store of one"
        )
    if (stated := str(array.attrs.get("units", ""))) != unit:
        raise ReadError(
            f"{where}: {name!r} is in {printable(stated) or 'no unit that it states'}, expected {unit!r}: write the store's "
            "unit into the recipe, and read the numbers so"
        )
    if array.encoding.get("_FillValue") == 0:
        raise ReadError(
            f"{where}: {name!r} fills with 0, so that what is missing cannot be told from a value; expected NaN, or a "
            "number that is none: write the store anew"
        )
    return array


def _nearest(array: xr.DataArray, where: str, name: str, at: Floats) -> tuple[Ints, NDArray[np.bool_]]:
    """The index of the nearest node of an axis for each point, and whether the point lies in its cell."""
    nodes = array[name].values.astype(np.float64)
    steps = np.diff(nodes)
    step = float(steps.mean()) if len(steps) else 0.0
    if not step or not np.allclose(steps, step, rtol=0, atol=abs(step) * _UNEVEN):
        raise ReadError(f"{where}: {name}: expected even steps, found {np.unique(np.round(steps, 4))[:5].tolist()}")
    rising = nodes if step > 0 else nodes[::-1]
    offset = at - (rising[0] - abs(step) / 2)  # from the outer edge of its first cell
    index = np.floor((offset % 360 if name == "longitude" else offset) / abs(step)).astype(np.int64)
    inside = (index >= 0) & (index < len(nodes))
    return (index if step > 0 else len(nodes) - 1 - index), inside


def _steps(times: xr.DataArray, where: str, years: Sequence[int]) -> Ints:
    """The step of each month of the years, (year, month)."""
    if times.dtype.kind != "M":
        raise ReadError(f"{where}: {times.name}: {times.dtype}, expected times in the standard calendar")
    months = times.values.astype("datetime64[M]").astype(np.int64)  # since January 1970
    wanted = (np.asarray(years)[:, None] - 1970) * MONTHS + np.arange(MONTHS)
    span = f"it has {times.values.min()!s:.7} to {times.values.max()!s:.7}" if len(months) else "it has none"
    out = np.empty(wanted.shape, np.int64)
    for at, month in np.ndenumerate(wanted):
        found = np.flatnonzero(months == month)
        if len(found) != 1:
            which = np.datetime64(int(month), "M")
            raise ReadError(
                f"{where}: {len(found)} steps of {which}, expected one, the month's mean; {span}"
                + ("" if not len(found) else ": make monthly means of it first (xarray: resample(time='1MS').mean())")
            )
        out[at] = found[0]
    return out


def _is_missing(fill: Any, encoding: Mapping[str, Any]) -> bool:
    """Whether xarray decodes an array's fill value to NaN: it is NaN, or what its values say missing with."""
    if fill is None:  # format 2 says so of what may hold anything
        return False
    said = [encoding[key] for key in ("_FillValue", "missing_value") if key in encoding]
    return bool(np.isnan(fill) or np.isin(fill, np.array(said, encoding["dtype"])))


class _Bytes(ZarrStore):
    """A store of ours as one of Zarr's, to be read; it remembers what Zarr asked for that is not there.

    So a Zarr is read as all else is: by the same client, with its patience, certificates and errors, no secret in them.
    """

    _METADATA = (".zmetadata", ".zgroup", ".zarray", ".zattrs", "zarr.json")

    def __init__(self, store: Store) -> None:
        super().__init__(read_only=True)
        self._store = store
        self._absent: set[str] = set()

    @property
    def is_consolidated(self) -> bool:
        """Whether the root's metadata tell of all arrays."""
        return self._document()[1]

    def identity(self) -> str:
        """sha256 of the metadata of all arrays. Raises ReadError where there are none."""
        data, whole = self._document()
        if whole:
            return hashlib.sha256(data).hexdigest()
        if not self._store.is_local:
            raise ReadError(
                f"{self._store.where('')}: no consolidated metadata (.zmetadata, or in zarr.json): what a server has cannot "
                "be listed: look at the address, or consolidate the store (zarr.consolidate_metadata)"
            )
        every = sorted(s.key for s in self._store.list("") if s.key.rpartition("/")[2] in self._METADATA)
        if not every:
            raise ReadError(f"{self._store.where('')}: is no Zarr store: no zarr.json, .zgroup or .zmetadata is there")
        found = hashlib.sha256()
        for key in every:
            found.update(f"{key}\n".encode() + self._store.get(key) + b"\n")
        return found.hexdigest()

    def _document(self) -> tuple[bytes, bool]:
        for name in ("zarr.json", ".zmetadata"):
            try:
                data = self._store.get(name)
            except FileNotFoundError:
                continue
            return data, name == ".zmetadata" or bool(json.loads(data).get("consolidated_metadata"))
        return b"", False

    def filled_with_numbers(self, found: xr.Dataset, variables: Iterable[str]) -> set[str]:
        """Those whose absent chunks Zarr reads as a number. Raises ReadError where a hole in such a one is not seen."""
        group = zarr.open_group(self, mode="r")
        arrays = {n: its for n in variables if isinstance(its := group.get(n), zarr.Array) and n in found}
        odd = {n for n, its in arrays.items() if not _is_missing(its.fill_value, found[n].encoding)}
        for name in sorted(odd):
            if arrays[name].shards is not None:
                fill = printable(str(arrays[name].fill_value))
                raise ReadError(
                    f"{self._store.where(name)}: is in shards, and fills with {fill}: what a shard does not have would be "
                    "read as data; expected NaN, or its _FillValue: write the store anew so"
                )
        return odd

    def check_absent(self, numbers: Collection[str]) -> None:
        """Passes where what is not there was read as missing. Raises ReadError where it is of `numbers`."""
        for key in sorted(self._absent):
            if key.partition("/")[0] in numbers:
                raise ReadError(
                    f"{self._store.where(key)}: is not there, and its array fills with a number: it would be read as "
                    "data; the store is not whole"
                )

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """The bytes of a key, or a part of them; None where there is none."""
        try:
            data = await asyncio.to_thread(self._read, key, byte_range)
        except FileNotFoundError:
            if key.rpartition("/")[2] not in self._METADATA:
                self._absent.add(key)
            return None
        return prototype.buffer.from_bytes(data)

    def _read(self, key: str, asked: ByteRequest | None) -> bytes:
        if asked is None:
            return self._store.get(key)
        stat = self._store.head(key)
        if stat is None:
            raise FileNotFoundError(key)
        match asked:
            case RangeByteRequest(start, end):
                first, last = start, min(end, stat.size)
            case OffsetByteRequest(offset):
                first, last = offset, stat.size
            case SuffixByteRequest(suffix):
                first, last = max(stat.size - suffix, 0), stat.size
        return self._store.get_range(key, first, last - first)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """The same of several."""
        return [await self.get(key, prototype, part) for key, part in key_ranges]

    async def exists(self, key: str) -> bool:
        """Whether there is the key."""
        return await asyncio.to_thread(self._store.head, key) is not None

    async def list(self) -> AsyncIterator[str]:
        """All keys of a folder or bucket."""
        for stat in await asyncio.to_thread(lambda: [*self._store.list("")]):
            yield stat.key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """All keys that begin so."""
        async for key in self.list():
            if key.startswith(prefix):
                yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Names directly below a prefix."""
        below = f"{prefix.rstrip('/')}/" if prefix else ""
        names: dict[str, None] = {}
        async for key in self.list_prefix(below):
            names.setdefault(key.removeprefix(below).partition("/")[0])
        for name in names:
            yield name

    async def set(self, key: str, value: Buffer) -> None:
        """Never."""
        raise NotImplementedError

    async def delete(self, key: str) -> None:
        """Never."""
        raise NotImplementedError

    def with_read_only(self, read_only: bool = False) -> Self:
        """Itself: it is never written to."""
        return self

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    @property
    def supports_writes(self) -> bool:
        """False."""
        return False

    @property
    def supports_deletes(self) -> bool:
        """False."""
        return False

    @property
    def supports_listing(self) -> bool:
        """Of a folder."""
        return self._store.is_local
