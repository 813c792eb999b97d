"""netCDF-4 files over ranges: of each variable only the chunks that a window needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from curation.errors import ReadError
from curation.read import hdfchunk
from curation.read.beginnings import HDF5
from curation.read.blocks import Span
from curation.read.decoded import Decoded
from curation.read.gridding import Floats
from curation.read.sparse import BrokenError, Opened, SparseFile
from curation.read.variables import AROUND, MOST_TILE_BYTES, SwathWindow, Variable, described, find, kind_of
from curation.store.afterwards import Leavings, Note

T = TypeVar("T")

MOST_OPEN = 256
"""Files that are kept open: what was used longest ago is closed first."""
_MOST_MISSES = 4096
"""Pieces that one call of h5py may find missing: a file of more is damaged."""

_INDEX_BYTES = 8 * 2**10
"""What is read of an index of chunks at a time: its nodes are some 4 KiB, and lie between the chunks."""


class MissingError(Exception):
    """Bytes that h5py asks for and that are not here."""


class ElsewhereError(Exception):
    """Bytes that h5py asks for and that are not waited for."""

    def __init__(self, span: Span) -> None:
        super().__init__(span)
        self.span = span


class _File(Opened):
    """A sparse file, as h5py reads one: what is not here is noted and refused."""

    def __init__(self, file: SparseFile) -> None:
        super().__init__(file)
        self.missing: Span | None = None
        self.failed: Exception | None = None

    def readinto(self, into: Any) -> int:
        """As a file's. Raises MissingError."""
        size = memoryview(into).nbytes
        if not self._file.is_fetched(self._at, size):
            self.missing = Span(self._at, self._at + size)
            raise MissingError
        try:
            found = super().readinto(into)
        except ReadError as err:
            self.failed = err
            raise
        if found < size:
            self.failed = BrokenError(f"ends before byte {self._at - found + size}, which its structure speaks of")
            raise self.failed
        return found

    def truncate(self, size: int | None = None) -> int:
        """Nothing: it is never written."""
        return size or 0


_Key = tuple["Netcdf", str, int, int, int]
"""File, variable, row and column of the tile, strip."""


class Tiles(Decoded):
    """Strips of decoded tiles of all files."""

    latest: tuple[_Key, NDArray[Any]] | None = None
    """The large tile that was decoded last, whole."""

    def forget(self, owner: object) -> None:
        """Drops all of a file."""
        super().forget(owner)
        if self.latest is not None and self.latest[0][0] is owner:
            self.latest = None


_files = Leavings()
"""Files that nobody reads any more. HDF5 has one lock for all, so that closing one may wait for who reads another."""


def _close(file: h5py.File, raw: _File) -> None:
    """Closes a file, whose bytes HDF5 may ask for once more."""
    file.close()
    del raw


class Netcdf:
    """One file."""

    def __init__(self, sparse: SparseFile, tiles: Tiles) -> None:
        self.sparse = sparse
        self.href = sparse.name
        self._tiles = tiles
        self._h5: h5py.File | None = None
        self._raw: _File | None = None
        self._closing: Note | None = None
        self._variables: dict[str, Variable] = {}
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
        """What a call of h5py returns, once all bytes that it wants are here; without `wait` raises ElsewhereError."""
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
                    raise BrokenError(
                        f"{self.href}: {what}: its structure asks for {span.stop - span.start} bytes at once"
                    )
                if not wait:
                    raise ElsewhereError(span)
                self.sparse.read(span.start, span.stop - span.start)  # outside of h5py's lock
            elif isinstance(self._raw.failed, ReadError):
                raise self._raw.failed
            else:
                cause = self._raw.failed or err
                raise BrokenError(f"{self.href}: {what}: {type(cause).__name__.lstrip('_')}: {cause}")
        raise BrokenError(f"{self.href}: {what}: its structure leads nowhere")

    def _opened(self) -> h5py.File:
        if self._h5 is None:
            _files.settle()
            head = self.sparse.head().data
            if not head.startswith(HDF5):
                raise ReadError(f"{self.href}: {kind_of(head)}, expected netCDF-4 (HDF5) of a swath")
            self._raw = _File(self.sparse)
            # No cache of chunks below this one's: each would be kept twice.
            self._h5 = self._called(lambda: h5py.File(self._raw, "r", rdcc_nbytes=0), "cannot be opened")
            # HDF5 calls back into a file of Python's when it closes it, and crashes where that is gone by then.
            self._closing = _files.when_gone(self, _close, self._h5, self._raw)
        return self._h5

    def variable(self, path: str, axes: int = 2) -> Variable:
        """What the file says of a variable of so many axes: rows and columns, and corners where there are three.

        Raises:
            ReadError: it has none of that name, or one of other axes.
        """
        if path not in self._variables:
            h5 = self._opened()
            dataset = self._called(lambda: find(h5, path), path)
            if isinstance(dataset, str):
                raise ReadError(
                    f"{self.href}: no variable {path}: {dataset}; the source's file does not describe this product"
                )
            self._datasets[path] = dataset
            self._variables[path] = self._called(lambda: described(dataset, path, self.href, axes), path)
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
                f"{self.href}: {path} is in {v.unit!r}, expected {unit!r}; the source's file does not "
                "describe this product"
            )

    def where(self, v: Variable, tile: tuple[int, int], *, wait: bool = False) -> Span | bool:
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
            return wait or self.sparse.is_fetched(span.start, span.stop - span.start) or span
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
        except ElsewhereError as err:
            return err.span

    def has(self, v: Variable, tile: tuple[int, int], window: SwathWindow) -> bool:
        """Whether what a window touches of a tile is decoded."""
        latest = self._tiles.latest
        if latest is not None and latest[0] == (self, v.path, *tile, -1):
            return True
        return all((self, v.path, *tile, strip) in self._tiles for strip in v.strips(tile, window))

    def packed(self, path: str, window: SwathWindow, around: int = AROUND) -> NDArray[Any]:
        """A window of a variable as the file holds it, (rows, columns[, corners]); of large chunks rows around it are kept.

        Raises:
            ReadError: its bytes cannot be had, or were never written and the variable declares no fill value.
            BrokenError: they cannot be decoded.
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

    def _strip(self, v: Variable, tile: tuple[int, int], strip: int, window: SwathWindow, around: int) -> NDArray[Any]:
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

    def _decoded(self, v: Variable, row: int, col: int) -> NDArray[Any]:
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
            if (surplus := hdfchunk.surplus(dataset, mask, packed)) is not None:
                raise BrokenError(f"{self.href}: {where}: {surplus}")
        found = self._called(lambda: dataset[(0,) * v.lead + (rows, cols)], where)
        return np.asarray(found).astype(v.dtype, copy=False)

    def values(self, path: str, window: SwathWindow, around: int = AROUND) -> Floats:
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


def _is_node(v: Variable, span: Span) -> bool:
    """Whether what is missing is a node of the index of a variable's chunks, by its size.

    That of the usual index: a version 1 B-tree of up to 64 children a node (HDF5 file format 3.0, section III.A.1). A node
    of another index is taken for a chunk: then it is fetched like one, and the rest is fetched once it is wanted.
    """
    return span.stop - span.start == 24 + 64 * 8 + 65 * (16 + 8 * len(v.shape))


def ask(reads: Sequence[tuple[Netcdf, str, Sequence[SwathWindow]]], room: int) -> None:
    """Begins to fetch what windows of variables need, of all files at a time, `room` bytes at most.

    It waits for the index of their chunks, a level of all of them at a time. Raises as `Netcdf.variable` does.
    """
    pending = []
    for file, path, windows in reads:
        v = file.variable(path)
        tiles = dict.fromkeys(t for w in windows for t in v.tiles(w) if not file.has(v, t, w))
        pending += [(file, v, t) for t in tiles]
    wanted: dict[Netcdf, list[Span]] = {}
    while pending:
        nodes: dict[Netcdf, set[Span]] = {}
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
