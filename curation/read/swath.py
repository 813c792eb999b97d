"""Swaths to footprints: of each file only the rows and columns that a cell needs, from netCDF-4 (HDF5) over ranges.

h5py reads the structure of a file and decodes its chunks; bytes come through `sparse` alone. What h5py wants and is not here
yet ends its call at once, is fetched, and the call is made again: h5py has one lock for the whole process, and nobody shall
wait for a server while holding it.

Which rows a cell needs is found without reading all coordinates. Neighbouring scanlines are at most some `v` apart, so one
that is further from the cell than its reach tells the same of those up to as many scanlines away. Some scanlines are looked
at all along the track, then more between those that leave it open.
"""

from __future__ import annotations

import itertools
import logging
import math
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from curation import gridding, hrefs
from curation.afterwards import Leavings, Note
from curation.gridding import Floats, Footprints
from curation.model import PassingError, ReadError
from curation.read import hdfchunk, ranges
from curation.read.blocks import Span
from curation.read.cog import Asset
from curation.read.ranges import PER_HOST, ChangedError, Place
from curation.read.sparse import HDF5, TIFFS, Counts, Opened, Pieces, SparseFile, what_it_is
from curation.sources import SourceSpec, SwathSpec

log = logging.getLogger(__name__)
T = TypeVar("T")

TRIES = 2
"""How often a file is read whose bytes came whole and cannot be decoded, or that changed meanwhile: the second time anew."""

AHEAD_BYTES = 128 * 2**20
"""Packed bytes that are kept, structure of files among them: what was fetched first goes first."""

DECODED_BYTES = 256 * 2**20
"""Decoded chunks that are kept for the cells beside, of all files: what was used longest ago goes first."""

MOST_TILE_BYTES = 256 * 2**20
"""Of one decoded chunk, and of the window that one cell needs: the largest that are published have 85 MB, an orbit's."""

MOST_ROW_BYTES = 16 * 2**20
"""Of one scanline, as its shape has it: of OLCI's 4865 footprints it has 39 kB."""

MOST_OPEN = 256
"""Files that are kept open: what was used longest ago is closed first."""

STRIP_BYTES, _STRIP_ROWS, _AROUND = 512 * 2**10, 16, 64
"""Of a decoded chunk of more bytes only some strips of so many rows are kept: those asked for, and so many rows around.

Some products have each variable in one chunk, 85 MB of an orbit: a slab's orbits would push one another out, and each be
fetched again for every cell. The cells of a slab lie within a few hundred kilometres, which are 64 scanlines."""

BAND_BYTES = 16 * 2**10
"""What is read at a time of a variable that is stored in one piece."""

_COARSE, _FINE = 17, 8
"""Scanlines that are looked at first, and parts that an interval left open is then cut into: of a whole orbit every 1500 km,
190 km, 25 km and all."""

_SLACK = 1.25
"""How much further apart neighbouring scanlines may be than most of those looked at are on average."""

_MOST_LINKS = 64
_MOST_MISSES = 4096
"""Pieces that one call of h5py may find missing: a file of more is damaged."""

_INDEX_BYTES = 8 * 2**10
"""What is read of an index of chunks at a time: its nodes are some 4 KiB, and lie between the chunks."""

_DEFAULT_FILL: dict[str, float] = {
    "float32": 9.969209968386869e36,
    "float64": 9.969209968386869e36,
    "int16": -32767,
    "uint16": 65535,
    "int32": -2147483647,
    "uint32": 4294967295,
}
"""What netCDF writes where nothing was written, of variables that declare no fill value; of bytes there is none."""


class _MissingError(Exception):
    """Bytes that h5py asks for and that are not here."""


class _ElsewhereError(Exception):
    """Bytes that h5py asks for and that are not waited for."""

    def __init__(self, span: Span) -> None:
        super().__init__(span)
        self.span = span


class _BrokenError(Exception):
    """The bytes are here and are not what they should be."""


class Window(NamedTuple):
    """Rows and columns of a swath, from the first to before the last."""

    row0: int
    row1: int
    col0: int
    col1: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.row1 - self.row0, self.col1 - self.col0


class _File(Opened):
    """A sparse file, as h5py reads one: what is not here is noted and refused."""

    def __init__(self, file: SparseFile) -> None:
        super().__init__(file)
        self.missing: Span | None = None
        self.failed: Exception | None = None

    def readinto(self, into: Any) -> int:
        """As a file's. Raises _MissingError."""
        size = memoryview(into).nbytes
        if not self._file.is_here(self._at, size):
            self.missing = Span(self._at, self._at + size)
            raise _MissingError
        try:
            found = super().readinto(into)
        except ReadError as err:
            self.failed = err
            raise
        if found < size:
            self.failed = _BrokenError(f"ends before byte {self._at - found + size}, which its structure speaks of")
            raise self.failed
        return found

    def truncate(self, size: int | None = None) -> int:
        """Nothing: it is never written."""
        return size or 0


@dataclass(frozen=True, slots=True)
class _Variable:
    """What a file says of one of its variables."""

    path: str
    shape: tuple[int, ...]
    lead: int
    """Axes of length 1 before rows and columns."""
    dtype: np.dtype[Any]
    tile: tuple[int, int]
    """Rows and columns that are read at a time: those of a chunk, or a band of what is stored in one piece."""
    at: int | None
    """Of what is stored in one piece, where; None where it was never written."""
    is_chunked: bool
    is_compact: bool
    """Its values stand in its header (HDF5's layout COMPACT), and came with it."""
    fills: tuple[float, ...]
    """Packed values that mean 'no data'."""
    low: float | None
    """Least packed value that is valid."""
    high: float | None
    scale: Any
    offset: Any
    unit: str | None
    flags: dict[str, tuple[int, int]]
    """Flag → mask and value (CF conventions section 3.5)."""

    @property
    def rows(self) -> int:
        """Along the track."""
        return self.shape[self.lead]

    @property
    def cols(self) -> int:
        """Across."""
        return self.shape[self.lead + 1]

    @property
    def strip(self) -> int:
        """Rows of a tile that are kept together: all, unless it is large."""
        th, tw = self.tile
        size = th * tw * math.prod(self.shape[self.lead + 2 :]) * self.dtype.itemsize
        return th if size <= STRIP_BYTES else _STRIP_ROWS

    def strips(self, tile: tuple[int, int], window: Window, around: int = 0) -> range:
        """Strips of a tile that a window touches, with so many rows around."""
        top = tile[0] * self.tile[0]
        r0 = max(window.row0 - around, top) - top
        r1 = min(window.row1 + around, top + self.tile[0], self.rows) - top
        return range(r0 // self.strip, (r1 - 1) // self.strip + 1)

    def tiles(self, window: Window) -> list[tuple[int, int]]:
        """(row, column), in tiles, of those that a window touches."""
        th, tw = self.tile
        rows = range(window.row0 // th, (window.row1 - 1) // th + 1)
        return [(r, c) for r in rows for c in range(window.col0 // tw, (window.col1 - 1) // tw + 1)]


class Swaths:
    """Reads swaths for one task; what was opened and decoded serves the next cells. Not shared between threads.

    What is kept is bounded. Where a slab has more scenes than have room together (some 50 orbits that have each variable in
    one chunk, and many more in smaller ones), ask for one scene after the other, and of each for all cells.
    """

    def __init__(
        self,
        base: str,
        ahead_bytes: int = AHEAD_BYTES,
        decoded_bytes: int = DECODED_BYTES,
        per_host: int = PER_HOST,
        folders: Sequence[str] | None = None,
    ) -> None:
        """Prepares reading.

        Args:
            base: what relative hrefs are told from.
            ahead_bytes: packed bytes that are kept, at most.
            decoded_bytes: decoded ones, at most.
            per_host: requests that one host has of all readers of this process at a time.
            folders: where hrefs may lead to local files, as `hrefs.located` has it.
        """
        self.base = base
        self._folders = folders
        self.counts = Counts()
        self._per_host = per_host
        self._pieces = Pieces(ahead_bytes)
        self._tiles = _Tiles(decoded_bytes)
        self._ended = threading.Event()
        self._open: OrderedDict[str, _Netcdf] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        for href in list(self._open):
            self._close(href)

    def footprints(
        self,
        assets: Mapping[str, Asset],
        source: SourceSpec,
        bounds: tuple[float, float, float, float],
        bands: Sequence[str] | None = None,
        *,
        with_codes: bool = True,
    ) -> Footprints:
        """The footprints of a scene that may reach a cell, with a few around.

        Args:
            assets: file, as `source.swath.files` names it → where it is.
            source: what to read, and of it: a unit that is not the file's is an error.
            bounds: west, south, east and north edge of the cell, degrees; longitudes may run on beyond ±180.
            bands: which values, in this order; those of `source.swath` where left out. None of them is fine: codes alone.
            with_codes: whether to read flags and make codes of them, where the source has them.

        Returns:
            n may be 0. Values are unpacked (scale_factor, add_offset), NaN where they are fill, missing, or beyond the valid
            range, as CF has it; so are corners and quality.

        Raises:
            ReadError: a file cannot be had, is no netCDF-4, is truncated, or lacks a variable, or the variable has other
                axes, another unit, no such flag, or chunks that were never written.
        """
        spec = source.swath
        if spec is None:
            raise ReadError(f"source {source.name}: has no table [swath], so its files are rasters: read it as such")
        wanted = list(spec.variables) if bands is None else list(bands)
        named = {k: v for k in ("quality",) if (v := getattr(spec, k)) is not None}
        if with_codes and spec.flags is not None:
            named["flags"] = spec.flags
        named |= {f"variables.{b}": spec.variables[b] for b in wanted}
        units = {b: a.unit for a in source.arrays if a.role == "data" for b in a.bands}
        where = (spec.latitude, spec.longitude, spec.latitude_bounds, spec.longitude_bounds, *named.values())
        files = [f for f in spec.files if f in {v.partition(":")[0] for v in where if v is not None}]
        if lacking := [f for f in files if f not in assets]:
            raise ReadError(
                f"source {source.name}: scene has no asset for file {lacking[0]!r}; it has {sorted(assets)}"
            )

        with ranges.blamed(*(assets[f].href for f in files)):
            return self._tried(assets, files, spec, bounds, wanted, named, units)

    def _tried(
        self,
        assets: Mapping[str, Asset],
        files: Sequence[str],
        spec: SwathSpec,
        bounds: tuple[float, float, float, float],
        wanted: Sequence[str],
        named: Mapping[str, str],
        units: Mapping[str, str],
    ) -> Footprints:
        for attempt in range(TRIES):
            try:
                return self._footprints({f: self._file(assets[f]) for f in files}, spec, bounds, wanted, named, units)
            except (ChangedError, _BrokenError) as err:
                for file in files:
                    self._close(assets[file].href, forget=True)
                if attempt == TRIES - 1:
                    kind = PassingError if isinstance(err, PassingError) else ReadError
                    raise kind(
                        f"{err}; it was read {TRIES} times: where a rerun says so again the file is damaged: report it to "
                        "the provider"
                    ) from None
                log.info("%s: read anew (%s)", assets[files[0]].href, err)
        raise AssertionError("unreachable")

    def _footprints(
        self,
        files: Mapping[str, _Netcdf],
        spec: SwathSpec,
        bounds: tuple[float, float, float, float],
        bands: Sequence[str],
        named: Mapping[str, str],
        units: Mapping[str, str],
    ) -> Footprints:
        def of(variable: str) -> tuple[_Netcdf, str]:
            file, _, path = variable.partition(":")
            return files[file], path

        lon_of, lat_of = of(spec.longitude), of(spec.latitude)
        lat = lat_of[0].variable(lat_of[1])
        shape = (lat.rows, lat.cols)
        reads = {"latitude": lat_of, "longitude": lon_of} | {k: of(v) for k, v in named.items()}
        has_bounds = spec.latitude_bounds is not None and spec.longitude_bounds is not None
        if spec.latitude_bounds is not None and spec.longitude_bounds is not None:
            reads |= {"latitude_bounds": of(spec.latitude_bounds), "longitude_bounds": of(spec.longitude_bounds)}
        for key, (file, path) in reads.items():
            band = key.removeprefix("variables.")
            file.check(path, (*shape, 4) if key.endswith("_bounds") else shape, units.get(band))

        windows = _located(lon_of, lat_of, shape, bounds, self._pieces.limit_bytes // 4)
        margin = 0 if has_bounds else 1
        parts = []
        for w in windows:
            wide = Window(
                max(w.row0 - margin, 0),
                min(w.row1 + margin, shape[0]),
                max(w.col0 - margin, 0),
                min(w.col1 + margin, shape[1]),
            )
            _ask([(file, path, [wide]) for file, path in reads.values()], self._pieces.limit_bytes // 2)
            found = {k: file.values(path, wide) for k, (file, path) in reads.items() if k != "flags"}
            if has_bounds:
                lon, lat_ = found["longitude_bounds"], found["latitude_bounds"]
                unknown = np.isnan(found["longitude"]) | np.isnan(found["latitude"])
                lon[unknown] = np.nan
            elif min(wide.shape) < 2:
                raise ReadError(
                    f"{lat_of[0].href}: {lat_of[1]} is {shape[0]} × {shape[1]}: one row or column alone does not say how "
                    "large its footprints are; name latitude_bounds and longitude_bounds in [swath]"
                )
            else:
                lon, lat_ = gridding.corners(found["longitude"], found["latitude"])
            inner = slice(w.row0 - wide.row0, w.row1 - wide.row0), slice(w.col0 - wide.col0, w.col1 - wide.col0)
            values = [found[f"variables.{b}"][inner].ravel() for b in bands]
            codes = None
            if "flags" in named:
                file, path = reads["flags"]
                codes = _codes(file, path, spec, wide)[inner].ravel()
            n = lon[inner][..., 0].size
            parts.append(
                Footprints(
                    lon[inner].reshape(-1, 4),
                    lat_[inner].reshape(-1, 4),
                    np.array(values, np.float64).reshape(len(bands), n),
                    found["quality"][inner].ravel() if "quality" in found else None,
                    codes,
                )
            )
        return _joined(parts, len(bands), has_quality="quality" in named, has_codes="flags" in named)

    def _file(self, asset: Asset) -> _Netcdf:
        file = self._open.get(asset.href)
        if file is None:
            place = Place(hrefs.located(asset.href, self.base, self._folders), asset.sign, self._per_host)
            sparse = SparseFile(place, asset.href, self.counts, self._pieces, self._ended)
            file = self._open[asset.href] = _Netcdf(sparse, self._tiles)
            while len(self._open) > MOST_OPEN:
                self._close(next(iter(self._open)))
        self._open.move_to_end(asset.href)
        return file

    def _close(self, href: str, *, forget: bool = False) -> None:
        file = self._open.pop(href, None)
        if file is not None:
            file.close()
            if forget:
                file.sparse.forget()
            else:
                self._pieces.forget(file.sparse)


_Key = tuple["_Netcdf", str, int, int, int]
"""File, variable, row and column of the tile, strip."""


class _Tiles:
    """Strips of decoded tiles of all files, within a limit: what was used longest ago goes first."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.bytes = 0
        self._kept: OrderedDict[_Key, NDArray[Any]] = OrderedDict()
        self.latest: tuple[_Key, NDArray[Any]] | None = None
        """The large tile that was decoded last, whole."""

    def get(self, key: _Key) -> NDArray[Any] | None:
        """A strip, where it is still here."""
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def add(self, key: _Key, values: NDArray[Any]) -> None:
        """Keeps one."""
        if key in self._kept:
            return
        self._kept[key] = values
        self.bytes += values.nbytes
        while self.bytes > self.limit_bytes and len(self._kept) > 1:
            self.bytes -= self._kept.popitem(last=False)[1].nbytes

    def __contains__(self, key: _Key) -> bool:
        return key in self._kept

    def forget(self, file: _Netcdf) -> None:
        """Drops all of a file."""
        for key in [k for k in self._kept if k[0] is file]:
            self.bytes -= self._kept.pop(key).nbytes
        if self.latest is not None and self.latest[0][0] is file:
            self.latest = None


_files = Leavings()
"""Files that nobody reads any more. HDF5 has one lock for all, so that closing one may wait for who reads another."""


def _close(file: h5py.File, raw: _File) -> None:
    """Closes a file, whose bytes HDF5 may ask for once more."""
    file.close()
    del raw


class _Netcdf:
    """One file."""

    def __init__(self, sparse: SparseFile, tiles: _Tiles) -> None:
        self.sparse = sparse
        self.href = sparse.name
        self._tiles = tiles
        self._h5: h5py.File | None = None
        self._raw: _File | None = None
        self._closing: Note | None = None
        self._variables: dict[str, _Variable] = {}
        self._datasets: dict[str, h5py.Dataset] = {}

    def close(self) -> None:
        """Drops all that was opened and decoded."""
        self._tiles.forget(self)
        self._datasets.clear()
        self._variables.clear()
        if self._closing is not None:
            _files.now(self._closing)
        self._h5 = self._raw = self._closing = None

    def _called(self, call: Callable[[], T], what: str, *, wait: bool = True) -> T:
        """What a call of h5py returns, once all bytes that it wants are here; without `wait` raises _ElsewhereError."""
        assert self._raw is not None
        for _ in range(_MOST_MISSES):
            self._raw.missing = self._raw.failed = None
            err: Exception | None = None
            try:
                found = call()
                if self._raw.missing is None and self._raw.failed is None:  # some calls of h5py pass over an error
                    return found
            except ReadError:
                raise
            except Exception as raised:  # noqa: BLE001 - of a damaged file HDF5 says whatever comes to its mind
                err = raised
            if self._raw.missing is not None:
                span = self._raw.missing
                if span.stop - span.start > 2 * MOST_TILE_BYTES:
                    raise _BrokenError(
                        f"{self.href}: {what}: its structure asks for {span.stop - span.start} bytes at once"
                    )
                if not wait:
                    raise _ElsewhereError(span)
                self.sparse.read(span.start, span.stop - span.start)  # outside of h5py's lock
            elif isinstance(self._raw.failed, ReadError):
                raise self._raw.failed
            else:
                cause = self._raw.failed or err
                raise _BrokenError(f"{self.href}: {what}: {type(cause).__name__.lstrip('_')}: {cause}")
        raise _BrokenError(f"{self.href}: {what}: its structure leads nowhere")

    def _opened(self) -> h5py.File:
        if self._h5 is None:
            _files.settle()
            head = self.sparse.head().data
            if not head.startswith(HDF5):
                raise ReadError(f"{self.href}: {_what_it_is(head)}, expected netCDF-4 (HDF5) of a swath")
            self._raw = _File(self.sparse)
            # No cache of chunks below this one's: each would be kept twice.
            self._h5 = self._called(lambda: h5py.File(self._raw, "r", rdcc_nbytes=0), "cannot be opened")
            # HDF5 calls back into a file of Python's when it closes it, and crashes where that is gone by then.
            self._closing = _files.when_gone(self, _close, self._h5, self._raw)
        return self._h5

    def variable(self, path: str, axes: int = 2) -> _Variable:
        """What the file says of a variable of so many axes: rows and columns, and corners where there are three.

        Raises:
            ReadError: it has none of that name, or one of other axes.
        """
        if path not in self._variables:
            h5 = self._opened()
            dataset = self._called(lambda: _found(h5, path), path)
            if isinstance(dataset, str):
                raise ReadError(
                    f"{self.href}: no variable {path}: {dataset}; the source's file in stac_queries/ does not describe "
                    "this product"
                )
            self._datasets[path] = dataset
            self._variables[path] = self._called(lambda: _described(dataset, path, self.href, axes), path)
        return self._variables[path]

    def check(self, path: str, shape: tuple[int, ...], unit: str | None) -> None:
        """Passes where a variable has these axes, behind any of length 1, and that unit, where either is told.

        Raises:
            ReadError: it has not.
        """
        v = self.variable(path, len(shape))
        if v.shape[v.lead :] != shape:
            expected = " × ".join(map(str, shape))
            raise ReadError(
                f"{self.href}: {path} is {' × '.join(map(str, v.shape))}, expected {expected} as the latitudes are; the "
                "file is damaged or of another product"
            )
        if unit is not None and v.unit is not None and v.unit != unit:
            raise ReadError(
                f"{self.href}: {path} is in {v.unit!r}, expected {unit!r}; the source's file in stac_queries/ does not "
                "describe this product"
            )

    def where(self, v: _Variable, tile: tuple[int, int], *, wait: bool = False) -> Span | bool:
        """True where a tile's bytes are here, with `wait` once they are, and False where there are none in the file.

        Else what is missing first: a node of the index of chunks (`is_node` tells), or the bytes themselves.
        """
        if v.is_compact:
            return True
        if not v.is_chunked:
            if v.at is None:
                return False
            size = math.prod(v.shape[v.lead + 1 :]) * v.dtype.itemsize
            first, last = tile[0] * v.tile[0], min((tile[0] + 1) * v.tile[0], v.rows)
            span = Span(v.at + first * size, v.at + last * size)
            return wait or self.sparse.is_here(span.start, span.stop - span.start) or span
        at = (0,) * v.lead + (tile[0] * v.tile[0], tile[1] * v.tile[1]) + (0,) * (len(v.shape) - v.lead - 2)
        dataset = self._datasets[v.path]

        def is_there() -> bool:
            try:
                dataset.id.read_direct_chunk(at)
            except RuntimeError as err:
                if "not allocated" in str(err):
                    return False
                raise
            return True

        try:
            return self._called(is_there, f"{v.path} at {at}", wait=wait)
        except _ElsewhereError as err:
            return err.span

    def has(self, v: _Variable, tile: tuple[int, int], window: Window) -> bool:
        """Whether what a window touches of a tile is decoded."""
        latest = self._tiles.latest
        if latest is not None and latest[0] == (self, v.path, *tile, -1):
            return True
        return all((self, v.path, *tile, strip) in self._tiles for strip in v.strips(tile, window))

    def packed(self, path: str, window: Window, around: int = _AROUND) -> NDArray[Any]:
        """A window of a variable as the file holds it, (rows, columns[, corners]); of large chunks rows around it are kept.

        Raises:
            ReadError: its bytes cannot be had, or were never written and the variable declares no fill value.
            _BrokenError: they cannot be decoded.
        """
        v = self.variable(path)
        th, tw = v.tile
        size = math.prod((*window.shape, *v.shape[v.lead + 2 :])) * v.dtype.itemsize
        if size > MOST_TILE_BYTES:
            raise ReadError(
                f"{self.href}: {path}: the cell needs {window.shape[0]} × {window.shape[1]} footprints of it, {size} bytes, "
                f"expected {MOST_TILE_BYTES} at most: by its coordinates they are too small for a swath's"
            )
        out = np.empty((*window.shape, *v.shape[v.lead + 2 :]), v.dtype)
        for row, col in v.tiles(window):
            left = col * tw
            c0, c1 = max(window.col0, left), min(window.col1, left + tw)
            for strip in v.strips((row, col), window):
                top = row * th + strip * v.strip
                bottom = min(top + v.strip, (row + 1) * th)
                r0, r1 = max(window.row0, top), min(window.row1, bottom)
                values = self._strip(v, (row, col), strip, window, around)
                out[r0 - window.row0 : r1 - window.row0, c0 - window.col0 : c1 - window.col0] = values[
                    r0 - top : r1 - top, c0 - left : c1 - left
                ]
        return out

    def _strip(self, v: _Variable, tile: tuple[int, int], strip: int, window: Window, around: int) -> NDArray[Any]:
        found = self._tiles.get((self, v.path, *tile, strip))
        if found is not None:
            return found
        whole: _Key = (self, v.path, *tile, -1)
        latest = self._tiles.latest
        values = latest[1] if latest is not None and latest[0] == whole else self._decoded(v, *tile)
        if v.strip == v.tile[0]:
            self._tiles.add((self, v.path, *tile, strip), values)
            return values
        self._tiles.latest = whole, values
        for near in v.strips(tile, window, around):
            rows = values[near * v.strip : (near + 1) * v.strip]
            self._tiles.add((self, v.path, *tile, near), rows.copy())  # a view would keep all of it
        return values[strip * v.strip : (strip + 1) * v.strip]

    def _decoded(self, v: _Variable, row: int, col: int) -> NDArray[Any]:
        """A tile, as far as it lies in the variable."""
        th, tw = v.tile
        rows = slice(row * th, min((row + 1) * th, v.rows))
        cols = slice(col * tw, min((col + 1) * tw, v.cols))
        where = f"{v.path} rows {rows.start} to {rows.stop}"
        if not self.where(v, (row, col), wait=True):
            if not v.fills:
                raise ReadError(
                    f"{self.href}: {where}: was never written and the variable declares no fill value: its zeros would be "
                    "invented; report it to the provider"
                )
            return np.full(
                (rows.stop - rows.start, cols.stop - cols.start, *v.shape[v.lead + 2 :]), v.fills[0], v.dtype
            )
        dataset = self._datasets[v.path]
        if v.is_chunked:
            at = (0,) * v.lead + (row * th, col * tw) + (0,) * (len(v.shape) - v.lead - 2)
            mask, packed = self._called(lambda: dataset.id.read_direct_chunk(at), where)
            if (told := hdfchunk.surplus(dataset, mask, packed)) is not None:
                raise _BrokenError(f"{self.href}: {where}: {told}")
        found = self._called(lambda: dataset[(0,) * v.lead + (rows, cols)], where)
        return np.asarray(found).astype(v.dtype, copy=False)

    def values(self, path: str, window: Window, around: int = _AROUND) -> Floats:
        """A window of a variable, unpacked, NaN where there is no value. Raises as `packed` does."""
        v = self.variable(path)
        packed = self.packed(path, window, around)
        unknown = np.zeros(packed.shape, bool)
        if packed.dtype.kind == "f":
            unknown |= ~np.isfinite(packed)
        for fill in v.fills:
            unknown |= packed == np.asarray(fill).astype(v.dtype)
        if v.low is not None:
            unknown |= packed < v.low
        if v.high is not None:
            unknown |= packed > v.high
        # CF conventions section 8.1: unpacked values have the type of the attributes; of wide integers a wide one.
        out: NDArray[Any] = packed
        if v.scale is not None:
            out = out * v.scale
        if v.offset is not None:
            out = out + v.offset
        result = out.astype(np.float64)
        result[unknown] = np.nan
        return result


def _is_node(v: _Variable, span: Span) -> bool:
    """Whether what is missing is a node of the index of a variable's chunks, by its size.

    That of the usual index: a version 1 B-tree of up to 64 children a node (HDF5 file format 3.0, section III.A.1). A node
    of another index is taken for a chunk: then it is fetched like one, and the rest is fetched once it is wanted.
    """
    return span.stop - span.start == 24 + 64 * 8 + 65 * (16 + 8 * len(v.shape))


def _ask(reads: Sequence[tuple[_Netcdf, str, Sequence[Window]]], room: int) -> None:
    """Begins to fetch what windows of variables need, of all files at a time, `room` bytes at most.

    It waits for the index of their chunks, a level of all of them at a time. Raises as `_Netcdf.variable` does.
    """
    pending = []
    for file, path, windows in reads:
        v = file.variable(path)
        tiles = dict.fromkeys(t for w in windows for t in v.tiles(w) if not file.has(v, t, w))
        pending += [(file, v, t) for t in tiles]
    wanted: dict[_Netcdf, list[Span]] = {}
    while pending:
        nodes: dict[_Netcdf, set[Span]] = {}
        later = []
        for file, v, tile in pending:
            found = file.where(v, tile)
            if not isinstance(found, Span):
                continue
            if _is_node(v, found):
                nodes.setdefault(file, set()).add(found)
                later.append((file, v, tile))
                continue
            room -= found.stop - found.start
            if room < 0:
                break
            wanted.setdefault(file, []).append(found)
        for file, spans in nodes.items():
            file.sparse.ask(Span(s.start, s.start + _INDEX_BYTES) for s in spans)
        for file, spans in nodes.items():
            for span in spans:
                file.sparse.read(span.start, span.stop - span.start)
        pending = later
    for file, data in wanted.items():
        file.sparse.ask(data)


def _what_it_is(head: bytes) -> str:
    """What a file is that is no HDF5, for a person."""
    if head.startswith(TIFFS):
        return "is a TIFF, a raster: give its source reader = 'cog' and no table [swath] in stac_queries/"
    return what_it_is(head) or f"begins with {head[:8]!r}"


def _found(h5: h5py.File, path: str) -> h5py.Dataset | str:
    """A variable, or what there is on the way to it. No link out of the file is followed: it would open a local one."""
    here: Any = h5
    names, links = deque(path.strip("/").split("/")), 0
    while names:
        name = names.popleft()
        if not isinstance(here, h5py.Group):
            return f"{here.name} is no group"
        link = here.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            return f"{name} is a link to another file, which is not followed"
        if isinstance(link, h5py.SoftLink):
            links += 1
            if links > _MOST_LINKS:
                return f"{name} is a link that leads nowhere"
            here = h5 if link.path.startswith("/") else here
            names.extendleft(reversed([n for n in link.path.split("/") if n not in ("", ".")]))
            continue
        if link is None or name not in here:
            return f"{'the file' if here.name == '/' else here.name} has {', '.join(sorted(here)) or 'nothing'}"
        here = here[name]
    return (
        here if isinstance(here, h5py.Dataset) else f"{here.name} is a group, of {', '.join(sorted(here)) or 'nothing'}"
    )


def _described(dataset: h5py.Dataset, path: str, href: str, axes: int) -> _Variable:
    """What a file says of a variable.

    Raises:
        ReadError: it has other axes, is not of numbers, or is stored as is not read here.
    """
    shape = tuple(map(int, dataset.shape or ()))
    lead = len(shape) - axes
    if lead < 0 or set(shape[:lead]) - {1} or 0 in shape or dataset.dtype.kind not in "iuf":
        expected = "rows and columns" if axes == 2 else "rows, columns and corners"
        raise ReadError(
            f"{href}: {path} is {' × '.join(map(str, shape)) or 'a single value'} of {dataset.dtype}, expected numbers in "
            f"{expected}, behind axes of length 1"
        )
    plan = dataset.id.get_create_plist()
    layout = plan.get_layout()
    _check_stored(plan, path, href)
    is_chunked = dataset.chunks is not None
    if (row := math.prod(shape[lead + 1 :]) * dataset.dtype.itemsize) > MOST_ROW_BYTES:
        raise ReadError(
            f"{href}: {path} is {' × '.join(map(str, shape))}: {row} bytes a scanline, expected {MOST_ROW_BYTES} at most; "
            "the file is damaged, or no swath's"
        )
    if dataset.chunks is not None and (size := math.prod(dataset.chunks) * dataset.dtype.itemsize) > MOST_TILE_BYTES:
        raise ReadError(
            f"{href}: {path} is chunked as {tuple(map(int, dataset.chunks))}: {size} bytes each, expected {MOST_TILE_BYTES} "
            "at most; rewrite it in smaller chunks"
        )
    if dataset.chunks is not None:
        chunk: tuple[int, ...] = tuple(dataset.chunks)
        if any(c < n for c, n in zip(chunk[lead + 2 :], shape[lead + 2 :], strict=True)):
            raise ReadError(
                f"{href}: {path} is chunked as {chunk}: corners of one footprint in several chunks are not read"
            )
        tile = (int(chunk[lead]), int(chunk[lead + 1]))
    else:
        tile = (max(BAND_BYTES // max(row, 1), 1), shape[lead + 1])
    attrs = dataset.attrs
    native = dataset.dtype.newbyteorder("=")
    fills = [float(x) for k in ("_FillValue", "missing_value") if k in attrs for x in np.ravel(attrs[k])]
    if "_FillValue" not in attrs and native.name in _DEFAULT_FILL:
        fills.append(_DEFAULT_FILL[native.name])
    valid = list(np.ravel(attrs["valid_range"])) if "valid_range" in attrs else []
    low, high = valid if len(valid) == 2 else (_one(attrs.get("valid_min")), _one(attrs.get("valid_max")))
    unit = _text(attrs.get("units"))
    return _Variable(
        path,
        shape,
        lead,
        native,
        tile,
        dataset.id.get_offset() if layout == h5py.h5d.CONTIGUOUS else None,
        is_chunked,
        layout == h5py.h5d.COMPACT,
        tuple(fills),
        None if low is None else float(low),
        None if high is None else float(high),
        _one(attrs.get("scale_factor")),
        _one(attrs.get("add_offset")),
        unit,
        _flags(attrs),
    )


def _check_stored(plan: Any, path: str, href: str) -> None:
    """Passes where a variable's values are in its file, packed by filters that are here: by its list of creation properties.

    Raises:
        ReadError: they are not: HDF5 would give fill values for what it does not find.
    """
    layout = plan.get_layout()
    elsewhere = "external" if plan.get_external_count() else "virtual" if layout == h5py.h5d.VIRTUAL else ""
    if elsewhere:
        raise ReadError(
            f"{href}: {path} is {elsewhere}: its values are in other files, which are not read here; rewrite it with its "
            "values inside"
        )
    if layout not in (h5py.h5d.COMPACT, h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED):
        raise ReadError(f"{href}: {path} has HDF5's storage layout {layout}, which is not read here")
    for n in range(plan.get_nfilters()):
        number, _, _, name = plan.get_filter(n)
        if number not in hdfchunk.FILTERS or not h5py.h5z.filter_avail(number):
            told = name.decode("utf-8", "replace") or "without a name"
            raise ReadError(
                f"{href}: {path} is packed by HDF5's filter {number} ({told}), which is not read here; "
                "rewrite it with deflate"
            )


def _one(value: Any) -> Any:
    """The number that an attribute holds, in its own type, which may come as an array of one."""
    return None if value is None else np.ravel(value)[0]


def _text(value: Any) -> str | None:
    if value is None:
        return None
    value = np.ravel(value)[0] if isinstance(value, np.ndarray) else value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _flags(attrs: Any) -> dict[str, tuple[int, int]]:
    """Flag → mask and value, of the attributes flag_meanings, flag_masks and flag_values."""
    meanings = (_text(attrs.get("flag_meanings")) or "").split()
    masks = [int(m) for m in np.ravel(attrs["flag_masks"])] if "flag_masks" in attrs else None
    values = [int(v) for v in np.ravel(attrs["flag_values"])] if "flag_values" in attrs else masks
    if values is None or len(values) != len(meanings) or (masks is not None and len(masks) != len(meanings)):
        return {}
    return {m: (-1 if masks is None else masks[i], values[i]) for i, m in enumerate(meanings)}


def _codes(file: _Netcdf, path: str, spec: SwathSpec, window: Window) -> NDArray[np.int64]:
    """The code of each footprint, (rows, columns), by the first entry of `spec.codes` one of whose flags is set.

    Raises:
        ReadError: the variable has no such flag.
    """
    v = file.variable(path)
    for code in spec.codes:
        if unknown := [f for f in code.any if f not in v.flags]:
            raise ReadError(
                f"{file.href}: {path} has no flag {unknown[0]!r}; it has {', '.join(v.flags) or 'none'}: mend "
                "[[swath.codes]] in the source's file in stac_queries/"
            )
    packed = file.packed(path, window)
    bits = packed.astype(np.int64)
    out = np.full(bits.shape, spec.otherwise, np.int64)
    for code in reversed(spec.codes):
        for mask, value in (v.flags[f] for f in code.any):
            out[bits & mask == value] = code.code
    return out


def _joined(parts: Sequence[Footprints], bands: int, *, has_quality: bool, has_codes: bool) -> Footprints:
    """Several in one; those that one call makes are alike."""
    if len(parts) == 1:
        return parts[0]
    none = np.zeros((0, 4))
    return Footprints(
        np.concatenate([none, *(p.lon for p in parts)]),
        np.concatenate([none, *(p.lat for p in parts)]),
        np.concatenate([np.zeros((bands, 0)), *(p.values for p in parts)], axis=1),
        np.concatenate([np.zeros(0), *(p.quality for p in parts if p.quality is not None)]) if has_quality else None,
        np.concatenate([np.zeros(0, np.int64), *(p.codes for p in parts if p.codes is not None)])
        if has_codes
        else None,
    )


# ---- which rows and columns ------------------------------------------------------------------------------------------


class _Row(NamedTuple):
    """One scanline, seen from a cell."""

    points: Floats
    """(columns, 3) on the unit sphere."""
    near: Floats
    """(columns,) distance from the cell's centre less the spacing to the next footprint; infinite where unknown."""
    nearest: float
    """Least of them; where all are unknown less than any: it tells nothing of the rows beside."""


def _located(
    lon_of: tuple[_Netcdf, str],
    lat_of: tuple[_Netcdf, str],
    shape: tuple[int, int],
    bounds: tuple[float, float, float, float],
    room: int,
) -> list[Window]:
    """Windows that hold every footprint that may reach a cell; none where there is none.

    At a time `room` bytes are fetched ahead at most. Gaps in the track (scanlines that are missing) are allowed for:
    where one lies the rows on both sides of it are further apart than others.
    """
    west, south, east, north = bounds
    lons = np.array([west, west, west, (west + east) / 2, (west + east) / 2, east, east, east])
    lats = np.clip([south, (south + north) / 2, north, south, north, south, (south + north) / 2, north], -90, 90)
    centre = gridding.unit_vectors(np.array((west + east) / 2), np.array((max(south, -90) + min(north, 90)) / 2))
    reach = float(np.linalg.norm(gridding.unit_vectors(lons, lats) - centre, axis=1).max())
    rows: dict[int, _Row] = {}

    def look(at: Sequence[int], around: int) -> None:
        at = [r for r in at if r not in rows]
        _ask([(*of, [Window(r, r + 1, 0, shape[1]) for r in at]) for of in (lat_of, lon_of)], room)
        lon, lat = (
            [file.values(path, Window(r, r + 1, 0, shape[1]), around)[0] for r in at] for file, path in (lon_of, lat_of)
        )
        for i, r in enumerate(at):
            rows[r] = _seen(gridding.unit_vectors(lon[i], lat[i]), centre)

    look(sorted({round(x) for x in np.linspace(0, shape[0] - 1, min(_COARSE, shape[0]))}), around=0)
    v = _SLACK * float(np.median([apart / (b - a) for a, b, apart in _apart(rows)] or [math.inf]))
    while True:
        more: set[int] = set()
        for a, b, apart in _apart(rows):
            # A row between the two is at most v a row from either, or, behind a gap, as much more as the gap is wide.
            nearest = (rows[a].nearest + rows[b].nearest - v * (b - a)) / 2 - max(apart - v * (b - a), 0.0)
            if b - a > 1 and not nearest > reach + v:
                more |= {a + round((b - a) * k / _FINE) for k in range(1, _FINE)} - {a, b}
        if not more:
            break
        look(sorted(more), _AROUND)
    return _windows({r: row.near <= reach + v for r, row in rows.items()}, shape)


def _seen(points: Floats, centre: Floats) -> _Row:
    """A scanline as a cell sees it."""
    spacing = np.zeros(len(points))
    if len(points) > 1:
        between = np.linalg.norm(np.diff(points, axis=0), axis=1)
        between = np.where(np.isnan(between), 0.0, between)
        spacing[1:], spacing[:-1] = between, np.maximum(spacing[:-1], between)
        spacing[1:-1] = np.maximum(between[:-1], between[1:])
    near = np.linalg.norm(points - centre, axis=1) - spacing
    near = np.where(np.isnan(near), np.inf, near)
    nearest = float(near.min())
    return _Row(points, near, nearest if math.isfinite(nearest) else -math.inf)


def _apart(rows: Mapping[int, _Row]) -> list[tuple[int, int, float]]:
    """Scanlines looked at, one and the next, and how far apart on the unit sphere they are; infinite if unknown."""
    out = []
    known = sorted(rows)
    for a, b in itertools.pairwise(known):
        chord = np.linalg.norm(rows[b].points - rows[a].points, axis=1)
        chord = chord[np.isfinite(chord)]
        out.append((a, b, 2 * math.asin(min(float(chord.max()) / 2, 1.0)) if len(chord) else math.inf))
    return out


def _windows(inside: Mapping[int, NDArray[np.bool_]], shape: tuple[int, int]) -> list[Window]:
    """Rows with footprints that may reach, in runs, each with the columns that it needs."""
    out: list[Window] = []
    for row in sorted(r for r, found in inside.items() if found.any()):
        cols = np.flatnonzero(inside[row])
        c0, c1 = int(cols[0]), int(cols[-1]) + 1
        if out and row - out[-1].row1 <= 1:
            last = out[-1]
            out[-1] = Window(last.row0, row + 1, min(last.col0, c0), max(last.col1, c1))
        else:
            out.append(Window(row, row + 1, c0, c1))
    return out
