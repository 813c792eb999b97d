"""Raster scenes to pixels on a location's grid.

Where a scene's pixels are the grid's own they are cropped: no resampling at all. Otherwise they are cropped with a margin
and warped once, straight from their own CRS, with transformer tolerance 0. Nothing that failed to be read becomes nodata.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
import rasterio
import rasterio.windows
from affine import Affine
from cachetools import LRUCache
from numpy.typing import NDArray
from rasterio.windows import Window

from curation.errors import PassingError, ReadError
from curation.model import Location
from curation.places import grid
from curation.read import ranges, whole
from curation.read.blocks import GAP_BYTES, PixelWindow, Span
from curation.read.decoded import Decoded
from curation.read.directory import OtherFormatError
from curation.read.ranges import ChangedError
from curation.read.raster import Raster, by_file
from curation.read.signing import PER_HOST, FileAddress
from curation.read.sparse import BrokenError, Counts, Pieces, SparseFile
from curation.read.warp import Crop, area_of, joined, on_grid, seen, wanted_of
from curation.recipe.access import Accesses, scheme_of
from curation.recipe.arrays import ArraySpec
from curation.recipe.values import Values
from curation.store import hrefs

log = logging.getLogger(__name__)
T = TypeVar("T")


TRIES = 2
"""How often a file is read whose bytes came whole and cannot be decoded, or that changed meanwhile: the second time anew."""

AHEAD_BYTES = 256 * 2**20
"""Packed bytes that a reader fetches ahead, at most; and keeps for the patches behind."""

MOST_OPEN = 512
"""Files that stay open when others are fetched, those wanted last: a patch of all dates of a year has a thousand."""

DECODED_BYTES = 128 * 2**20
"""Pixels of blocks that a reader keeps for the patches beside, at most."""


_MOST_PARSED = 32
"""Small files of which a reader keeps what they say."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One file of a scene, to be read."""

    href: str
    """Unsigned; relative hrefs are told from `base`."""
    sign: str
    """`none` or `planetary-computer`."""
    band: int = 1
    """1-based band of the file."""
    holds: tuple[float, float] | None = None
    """Longitude and latitude, degrees, of a place that its item's footprint holds, where there is an item."""
    base: str = ""
    """What a relative href is told from, where that is not what its reader says for all."""
    access: Accesses = field(default_factory=dict, hash=False)
    """What lets one in, by scheme; of a scheme that is left out what the environment says to all."""
    values: Values = field(default=Values(), hash=False)
    """What its band's numbers mean, where they are not the array's own."""

    @property
    def file(self) -> tuple[str, str]:
        """Which file it is, among those of a reader: catalogs may have hrefs alike."""
        return self.base, self.href

    def address(self, base: str, folders: Sequence[str] | None, per_host: int) -> FileAddress:
        """Where it is. Raises ReadError as `hrefs.located` does."""
        url = hrefs.located(self.href, self.base or base, folders)
        scheme = scheme_of(url)
        return FileAddress(url, self.sign, per_host, None if scheme is None else self.access.get(scheme))


class Read(NamedTuple):
    """One asset that will be read."""

    asset: Asset
    array: ArraySpec
    location: Location | None
    """The patch's; None for the coarse look at the whole file."""


class Reader:
    """Reads assets for one task; keeps each file open from one patch to the next. Not shared between threads."""

    def __init__(
        self,
        base: str,
        ahead_bytes: int = AHEAD_BYTES,
        per_host: int = PER_HOST,
        folders: Sequence[str] | None = None,
    ) -> None:
        """Prepares reading.

        Args:
            base: what relative hrefs are told from, of assets that do not say.
            ahead_bytes: packed bytes that it may fetch ahead.
            per_host: requests that one host has of all readers of this process at a time.
            folders: where hrefs may lead to local files, as `hrefs.located` has it.
        """
        self._base = base
        self._folders = folders
        self.counts = Counts()
        self._per_host = per_host
        self._pieces = Pieces(ahead_bytes)
        self._ended = threading.Event()
        self._files: dict[tuple[str, str], SparseFile] = {}
        self._decoded = Decoded(DECODED_BYTES)
        self._parsed: LRUCache[Any, Any] = LRUCache(_MOST_PARSED)
        self._rasters: dict[tuple[str, str], Raster] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        for file in list(self._rasters):
            self._close(file)
        for fetched in self._files.values():
            self._pieces.forget(fetched)  # what nobody read is not fetched any more
        self._files.clear()

    def read(
        self,
        assets: Sequence[Asset],
        array: ArraySpec,
        location: Location,
        *,
        zero_is_nodata: bool = False,
        between_known: bool = False,
    ) -> tuple[NDArray[Any], bool]:
        """One band on the location's grid of the array's pixels, and whether it was warped.

        Several assets are one mosaic: where an earlier one has no data a later one fills. Assets that share a pixel grid
        are joined before warping, so that no seam is left between them. `between_known` as `on_grid` has it.

        Returns:
            (y, x) in `array.dtype`, `array.nodata` where no asset has data; True where anything was resampled.

        Raises:
            ReadError: an asset cannot be read, is of another dtype, or has blocks that were never written.
        """
        with ranges.blamed(*(a.href for a in assets)):
            return self._read(assets, array, location, zero_is_nodata, between_known)

    def _read(
        self, assets: Sequence[Asset], array: ArraySpec, location: Location, zero_is_nodata: bool, between_known: bool
    ) -> tuple[NDArray[Any], bool]:
        crops = [p for a in assets if (p := self._cropped(a, array, location, zero_is_nodata)) is not None]
        if len(crops) == 1 and crops[0].exact:
            return crops[0].pixels, False
        out = np.full(grid.geobox(location, array.step(location.size_m)).shape, array.nodata, array.dtype)
        groups = joined(crops, array.nodata)
        layers = [on_grid(group, groups, array, location, between_known=between_known) for group, _ in groups]
        if len(groups) > 1:
            # Two crops on different pixel grids both reach half a pixel into each other: each speaks for its own area.
            of = {i: layer for (_, members), layer in zip(groups, layers, strict=True) for i in members}
            for i, its in enumerate(crops):
                hole = (out == array.nodata) & area_of(its.transform, its.pixels.shape, its.crs, array, location)
                out[hole] = of[i][hole]
        for layer in layers:
            hole = out == array.nodata
            out[hole] = layer[hole]
        return out, any(not group.exact for group, _ in groups)

    def covered(self, assets: Sequence[Asset], array: ArraySpec, location: Location) -> NDArray[np.bool_]:
        """(y, x) True where an asset that was read reaches, whether it has data there or not. Raises as `read` does."""
        out = np.zeros((array.px(location.size_m),) * 2, bool)
        for asset in assets:
            out |= self._retried(asset, functools.partial(_reached, asset, array, location))
        return out

    def gaps(self, asset: Asset) -> float | bool:
        """How a file tells which of its pixels are missing, as `Raster.gaps` has it. Raises as `read` does."""
        found = self._retried(asset, lambda raster: raster.gaps(asset.band))
        return asset.values.missing[0] if found is False and asset.values.missing else found

    def coarse(self, asset: Asset, array: ArraySpec) -> NDArray[Any]:
        """What a fixed, coarse look at the whole file sees of a band: the values of its valid pixels, for statistics.

        It follows from the file alone: not from patches, nor from what was read before. It is of the coarsest overview that
        has `COARSE_PX` pixels on its longer side, or of the image where there is none; and of that of `COARSE_BLOCKS` blocks
        at most, spread evenly. Fetch it ahead with `Read(asset, array, None)`.

        Returns:
            (n,) in `array.dtype`, as the file holds them, in an order that is the same for all files of one layout. n may be
            0. What the file declares missing, what is `array.nodata` and what is not finite is left out.

        Raises:
            ReadError: as `read` does.
        """

        def look(raster: Raster) -> NDArray[Any]:
            _check(raster, array, asset)
            raw = raster.coarse(asset.band)
            values = asset.values.made(raw, np.ones(raw.shape, bool), array.dtype, array.nodata, asset.href)
            known = values != array.nodata
            if values.dtype.kind == "f":
                known &= np.isfinite(values)
            found: NDArray[Any] = values[known]
            return found

        return self._retried(asset, look)

    def opened(self, asset: Asset, use: Callable[[Raster], T]) -> T:
        """What `use` makes of an asset's opened file, which is read anew where it is broken. Raises as `read` does."""
        return self._retried(asset, use)

    def parsed(self, asset: Asset, parse: Callable[[bytes, str], T], what: str, most_bytes: int) -> T:
        """What `parse` makes of all bytes of a small file and of `what` it is; kept for the patches beside.

        Raises:
            ReadError: it cannot be had, has more bytes than that, or `parse` raised BrokenError.
        """
        key = asset.file, parse, what
        if key not in self._parsed:
            self._parsed[key] = whole.parsed(
                self._file(asset), asset.href, lambda data: parse(data, what), most_bytes, TRIES
            )
        found: T = self._parsed[key]
        return found

    def prefetch(self, groups: Sequence[Sequence[Read]]) -> int:
        """Begins to fetch what groups of reads need: the blocks of all together, each once, neighbours in one request.

        It says nothing of what fails: whoever reads it is told.

        Args:
            groups: in the order in which they will be read.

        Returns:
            How many of them, from the first: as many as have room, and one at least.
        """
        for oldest in list(self._files)[:-MOST_OPEN]:  # what was asked for before is read by now
            self._close(oldest)
            self._pieces.forget(self._files.pop(oldest))
        for asset in {read.asset.file: read.asset for group in groups for read in group}.values():
            with contextlib.suppress(ReadError):  # it leads nowhere
                self._file(asset).ask_head()
        for asset in {read.asset.file: read.asset for group in groups for read in group}.values():
            # Where the tiles of a JPEG 2000 are may have to be looked for, one after the other: in all files at a time.
            # It is so called, or as CDSE has it over https: `Nodes(….jp2)/$value`.
            with contextlib.suppress(Exception):  # as in `_spans`
                if ".jp2" in asset.href.lower():
                    self._raster(asset)
        wanted: dict[SparseFile, set[Span]] = {}
        room = self._pieces.room_bytes
        total = count = 0
        for group in groups:
            more: dict[SparseFile, set[Span]] = {}
            for read in group:
                for file, spans in self._spans(read).items():
                    new = spans - wanted.get(file, set())
                    if sum(span.stop - span.start for span in new) <= room:  # else it is fetched as it is read
                        more.setdefault(file, set()).update(new)
            # With the bytes between two ranges of one request, of which there are no more than so many.
            total += sum(span.stop - span.start + GAP_BYTES for spans in more.values() for span in spans)
            if count and total > room:
                break
            for file, spans in more.items():
                wanted.setdefault(file, set()).update(spans)
            count += 1
        for file, found in wanted.items():
            file.keep(found)  # all of them, before anything that is new needs room
        for file, found in wanted.items():
            with contextlib.suppress(ReadError):  # as below
                file.ask(found)
        return count

    def _spans(self, read: Read) -> dict[SparseFile, set[Span]]:
        """Which bytes of which file a read takes; nothing where that cannot be told, for whatever reason."""
        with contextlib.suppress(
            Exception
        ):  # whoever reads it meets the same, and says for which source of which patch
            raster = self._raster(read.asset)
            if read.location is None:
                return by_file(raster.coarse_spans(read.asset.band))
            window, _ = wanted_of(raster, read.array, read.location)
            inside = None if window is None else raster.inside(window)
            if inside is not None:
                return by_file(raster.spans(read.asset.band, inside))
        return {}

    def _cropped(self, asset: Asset, array: ArraySpec, location: Location, zero_is_nodata: bool) -> Crop | None:
        """The asset's pixels that the location needs; None where the two do not meet."""

        def crop(raster: Raster) -> Crop | None:
            crs = _check(raster, array, asset)
            window, is_exact = wanted_of(raster, array, location)
            if window is None or raster.inside(window) is None:
                _check_place(raster, crs, asset)
                return None
            pixels = self._crop(raster, asset, window, array)
            if zero_is_nodata:
                pixels[pixels == 0] = array.nodata
            t = rasterio.windows.transform(Window(*window), raster.transform)
            if raster.is_geographic:
                turn = 360 * round((location.lon - t.c) / 360)
                t = Affine(t.a, t.b, t.c + turn, t.d, t.e, t.f)
            void = pixels == array.nodata  # of a crop that is warped all lies within the file
            return Crop(pixels, t, crs, is_exact, void if void.any() else None)

        return self._retried(asset, crop)

    def _crop(self, raster: Raster, asset: Asset, window: PixelWindow, array: ArraySpec) -> NDArray[Any]:
        """The pixels of a window, (y, x) in `array.dtype`, which may reach beyond the file: there it is nodata."""
        inside = raster.inside(window)
        if inside is None:
            return np.full((window.height, window.width), array.nodata, array.dtype)
        raw = raster.read(asset.band, inside)
        valid = raster.valid(asset.band, inside, raw)
        pixels = asset.values.made(raw, valid, array.dtype, array.nodata, asset.href)
        if inside == window:
            return pixels
        out = np.full((window.height, window.width), array.nodata, array.dtype)
        row, col = inside.row - window.row, inside.col - window.col
        out[row : row + inside.height, col : col + inside.width] = pixels
        return out

    def _retried(self, asset: Asset, use: Callable[[Raster], T]) -> T:
        """What `use` makes of the opened asset.

        Raises:
            ReadError: its bytes could not be had, or cannot be decoded, fetched anew either; or `use` raised it.
        """
        with ranges.blamed(asset.href):
            return self._tried(asset, use)

    def _tried(self, asset: Asset, use: Callable[[Raster], T]) -> T:
        file = self._file(asset)
        for attempt in range(TRIES):
            try:
                return use(self._raster(asset))
            except (ReadError, BrokenError) as err:
                self._close(asset.file)
                # Where it could not be opened either is to blame: both are asked for anew, whoever wants them next.
                file.forget()
                if (beside := self._beside(asset)) is not None:
                    beside.forget()
                if isinstance(err, ReadError) and not isinstance(err, ChangedError):
                    raise
                if attempt == TRIES - 1 and isinstance(err, OtherFormatError):
                    raise ReadError(f"{asset.href}: {err}; it was asked for {TRIES} times") from None
                if attempt == TRIES - 1:
                    kind = PassingError if isinstance(err, PassingError) else ReadError
                    raise kind(
                        f"{asset.href}: could not be read in {TRIES} tries: {err}; where a rerun says so again the file is "
                        "damaged: report it to the provider"
                    ) from None
                log.info("%s: read anew (%s)", asset.href, err)
        raise AssertionError("unreachable")

    def _file(self, asset: Asset) -> SparseFile:
        file = self._files.pop(asset.file, None)
        if file is None:
            address = asset.address(self._base, self._folders, self._per_host)
            file = SparseFile(address, asset.href, self.counts, self._pieces, self._ended)
        self._files[asset.file] = file  # the last that was wanted
        return file

    def _raster(self, asset: Asset) -> Raster:
        """The asset, opened. Raises as `Raster` does."""
        if asset.file not in self._rasters:
            self._rasters[asset.file] = Raster(self._file(asset), self._decoded, self._beside(asset))
        return self._rasters[asset.file]

    def _beside(self, asset: Asset) -> SparseFile | None:
        """The file's mask in a file of its own, where there is one: looked for on disks, where that costs nothing."""
        address = self._file(asset).address
        if address.is_remote:
            return None
        beside = Path(f"{address.url}.msk")
        return self._file(replace(asset, href=str(beside.absolute()))) if beside.exists() else None

    def _close(self, file: tuple[str, str]) -> None:
        """Drops an opened file, where it was open."""
        raster = self._rasters.pop(file, None)
        if raster is not None:
            raster.close()


def _check(raster: Raster, array: ArraySpec, asset: Asset) -> rasterio.crs.CRS:
    """The file's CRS, where it says where its pixels are, and has the band in a dtype that the array's holds.

    Raises:
        ReadError: it does not.
    """
    if raster.crs is None:
        raise ReadError(
            f"{asset.href}: states no CRS, so where its pixels are is not known (ground control points are not used); "
            "read a terrain-corrected or projected product instead"
        )
    if asset.band > raster.bands:
        raise ReadError(f"{asset.href}: has {raster.bands} bands, expected a band {asset.band}; mend asset_bands")
    if not asset.values.fits(raster.dtype, array.dtype):
        raise ReadError(
            f"{asset.href}: pixels are {raster.dtype}, expected {array.dtype} ({array.unit}); "
            "the source's file does not describe this catalog's pixels"
        )
    return raster.crs


def _check_place(raster: Raster, crs: rasterio.crs.CRS, asset: Asset) -> None:
    """Passes where a file that a location does not meet lies where its item says, as far as that is known.

    Raises:
        BrokenError: it does not, so that it may well have the location's pixels: they are not nodata.
    """
    if asset.holds is None:
        return
    cols, rows = seen(raster.transform, raster.width, crs, 4326, np.array(asset.holds[:1]), np.array(asset.holds[1:]))
    if not (0 <= cols[0] <= raster.width and 0 <= rows[0] <= raster.height):
        lon, lat = asset.holds
        raise BrokenError(
            f"its header puts it elsewhere than its item does: longitude {lon:.4f}, latitude {lat:.4f} would be at "
            f"column {cols[0]:.0f} row {rows[0]:.0f} of {raster.width} × {raster.height} pixels"
        )


def _reached(asset: Asset, array: ArraySpec, location: Location, raster: Raster) -> NDArray[np.bool_]:
    """`area_of` of an opened file. Raises as `_check` does."""
    shape = raster.height, raster.width
    return area_of(raster.transform, shape, _check(raster, array, asset), array, location)
