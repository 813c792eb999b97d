"""Swaths to footprints: of each file only the rows and columns that a cell needs, from netCDF-4 (HDF5) over ranges.

h5py reads the structure of a file and decodes its chunks; bytes come through `sparse` alone. What h5py wants and is not here
yet ends its call at once, is fetched, and the call is made again: h5py has one lock for the whole process, and nobody shall
wait for a server while holding it.

Which rows a cell needs is found without reading all coordinates. Neighbouring scanlines are at most some `v` apart, so one
that is further from the cell than its reach tells the same of those up to as many scanlines away. Some scanlines are looked
at all along the track, then more between those that leave it open.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from curation.errors import PassingError, ReadError
from curation.read import gridding, ranges
from curation.read.gridding import Footprints
from curation.read.netcdf import MOST_OPEN, Netcdf, Tiles, ask
from curation.read.pieces import Pieces
from curation.read.ranges import ChangedError
from curation.read.reader import Asset
from curation.read.signing import PER_HOST
from curation.read.sparse import BrokenError, Counts, SparseFile
from curation.read.track import located
from curation.read.variables import SwathWindow
from curation.recipe.sources import SourceSpec
from curation.recipe.swath import SwathSpec

log = logging.getLogger(__name__)

TRIES = 2
"""How often a file is read whose bytes came whole and cannot be decoded, or that changed meanwhile: the second time anew."""

AHEAD_BYTES = 128 * 2**20
"""Packed bytes that are kept, structure of files among them: what was fetched first goes first."""

DECODED_BYTES = 256 * 2**20
"""Decoded chunks that are kept for the cells beside, of all files: what was used longest ago goes first."""


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
            base: what relative hrefs are told from, of assets that do not say.
            ahead_bytes: packed bytes that are kept, at most.
            decoded_bytes: decoded ones, at most.
            per_host: requests that one host has of all readers of this process at a time.
            folders: where hrefs may lead to local files, as `hrefs.located` has it.
        """
        self._base = base
        self._folders = folders
        self.counts = Counts()
        self._per_host = per_host
        self._pieces = Pieces(ahead_bytes)
        self._tiles = Tiles(decoded_bytes)
        self._ended = threading.Event()
        self._open: OrderedDict[tuple[str, str], Netcdf] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        for file in list(self._open):
            self._close(file)

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
            assets: file, as the source's kind names it in `files` → where it is.
            source: what to read, and of it: a unit that is not the file's is an error.
            bounds: west, south, east and north edge of the cell, degrees; longitudes may run on beyond ±180.
            bands: which values, in this order; all of the kind's where left out. None of them is fine: codes alone.
            with_codes: whether to read flags and make codes of them, where the source has them.

        Returns:
            n may be 0. Values are unpacked (scale_factor, add_offset), NaN where they are fill, missing, or beyond the valid
            range, as CF has it; so are corners and quality.

        Raises:
            ReadError: a file cannot be had, is no netCDF-4, is truncated, or lacks a variable, or the variable has other
                axes, another unit, no such flag, or chunks that were never written.
        """
        spec = source.kind
        if not isinstance(spec, SwathSpec):
            raise ReadError(f"source {source.name}: is no swath, so its files are rasters: read it as such")
        wanted = list(spec.variables) if bands is None else list(bands)
        named = {k: v for k in ("quality",) if (v := getattr(spec, k)) is not None}
        if with_codes and spec.flags is not None:
            named["flags"] = spec.flags
        named |= {f"variables.{b}": spec.variables[b] for b in wanted}
        units = {b: a.unit for a in source.arrays if a.is_data for b in a.bands}
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
            except (ChangedError, BrokenError) as err:
                for file in files:
                    self._close(assets[file].file, forget=True)
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
        files: Mapping[str, Netcdf],
        spec: SwathSpec,
        bounds: tuple[float, float, float, float],
        bands: Sequence[str],
        named: Mapping[str, str],
        units: Mapping[str, str],
    ) -> Footprints:
        def of(variable: str) -> tuple[Netcdf, str]:
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

        windows = located(lon_of, lat_of, shape, bounds, self._pieces.limit_bytes // 4)
        margin = 0 if has_bounds else 1
        parts = []
        for w in windows:
            wide = SwathWindow(
                max(w.row0 - margin, 0),
                min(w.row1 + margin, shape[0]),
                max(w.col0 - margin, 0),
                min(w.col1 + margin, shape[1]),
            )
            ask([(file, path, [wide]) for file, path in reads.values()], self._pieces.limit_bytes // 2)
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

    def _file(self, asset: Asset) -> Netcdf:
        file = self._open.get(asset.file)
        if file is None:
            place = asset.address(self._base, self._folders, self._per_host)
            sparse = SparseFile(place, asset.href, self.counts, self._pieces, self._ended)
            file = self._open[asset.file] = Netcdf(sparse, self._tiles)
            while len(self._open) > MOST_OPEN:
                self._close(next(iter(self._open)))
        self._open.move_to_end(asset.file)
        return file

    def _close(self, name: tuple[str, str], *, forget: bool = False) -> None:
        file = self._open.pop(name, None)
        if file is not None:
            file.close()
            if forget:
                file.sparse.forget()
            else:
                self._pieces.forget(file.sparse)


def _codes(file: Netcdf, path: str, spec: SwathSpec, window: SwathWindow) -> NDArray[np.int64]:
    """The code of each footprint, (rows, columns), by the first entry of `spec.codes` one of whose flags is set.

    Raises:
        ReadError: the variable has no such flag.
    """
    v = file.variable(path)
    for code in spec.codes:
        if unknown := [f for f in code.any if f not in v.flags]:
            raise ReadError(
                f"{file.href}: {path} has no flag {unknown[0]!r}; it has {', '.join(v.flags) or 'none'}: mend "
                "[[swath.codes]] in the source's file"
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
