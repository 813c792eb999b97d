"""Raster scenes to pixels on a location's grid.

Where a scene's pixels are the grid's own they are cropped: no resampling at all. Otherwise they are cropped with a margin
and warped once, straight from their own CRS, with transformer tolerance 0. Nothing that failed to be read becomes nodata.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
from affine import Affine
from cachetools import LRUCache
from numpy.typing import NDArray

from curation.errors import PassingError, ReadError
from curation.model import Location
from curation.read import ranges, whole
from curation.read.blocks import PixelWindow
from curation.read.decoded import Decoded
from curation.read.directory import OtherFormatError
from curation.read.fitting import check_pixels, check_place, reached
from curation.read.georeference import moved
from curation.read.heads import Heads
from curation.read.pieces import Pieces
from curation.read.planned import PlannedReads, Wanted, by_file
from curation.read.ranges import ChangedError
from curation.read.raster import Raster
from curation.read.signing import PER_HOST, FileAddress
from curation.read.sparse import BrokenError, Counts, SparseFile
from curation.read.upcoming import Upcoming
from curation.read.warp import Crop, are_alike, mosaic, on_grid_alike, wanted_of
from curation.recipe.access import Accesses, scheme_of
from curation.recipe.arrays import ArraySpec
from curation.recipe.values import Values
from curation.store import hrefs

log = logging.getLogger(__name__)
T = TypeVar("T")


TRIES = 2
"""How often a file is read whose bytes came whole and cannot be decoded, or that changed meanwhile: the second time anew."""

AHEAD_BYTES = 48 * 2**20
"""Packed bytes that a reader fetches ahead, at most; and keeps for the patches behind."""

PART_BESIDE = 3
"""The part of that, a third, that may be held for later patches, since it lies beside what comes for the next ones."""

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
    data: frozenset[int] = frozenset()
    """Bands of the file, from 1, that its source has pixels in: none of them is transparency, whatever the file calls it."""

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
    is_likely: bool = False
    """It will likely be read next, so that its file's head alone is asked for, beside what is read for sure."""


class Reader:
    """Reads assets for one task; keeps each file open from one patch to the next. Not shared between threads."""

    def __init__(
        self,
        base: str,
        ahead_bytes: int = AHEAD_BYTES,
        per_host: int = PER_HOST,
        folders: Sequence[str] | None = None,
        saved: Heads | None = None,
    ) -> None:
        """Prepares reading.

        Args:
            base: what relative hrefs are told from, of assets that do not say.
            ahead_bytes: packed bytes that it may fetch ahead.
            per_host: requests that one host has of all readers of this process at a time.
            folders: where hrefs may lead to local files, as `hrefs.located` has it.
            saved: heads of files that are kept from before; what is read of new ones is kept there at the end.
        """
        self._base = base
        self._saved = saved
        self._folders = folders
        self.counts = Counts()
        self._per_host = per_host
        self._pieces = Pieces(ahead_bytes)
        self._plan = PlannedReads()
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
        for name in list(self._files):
            self._leave(name)

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
        pixels, warped = self.read_bands(
            [assets], array, location, zero_is_nodata=zero_is_nodata, between_known=between_known
        )
        return pixels[0], warped

    def read_bands(
        self,
        bands: Sequence[Sequence[Asset]],
        array: ArraySpec,
        location: Location,
        *,
        zero_is_nodata: bool = False,
        between_known: bool = False,
    ) -> tuple[NDArray[Any], bool]:
        """Several bands, (band, y, x), each of its assets as `read` has it; those that lie alike are located once."""
        crops = [self._crops(assets, array, location, zero_is_nodata) for assets in bands]
        if are_alike(crops, array.nodata):
            with ranges.blamed(*(a.href for assets in bands for a in assets)):
                return on_grid_alike([only for (only,) in crops], array, location), True
        placed = []
        for assets, its in zip(bands, crops, strict=True):
            with ranges.blamed(*(a.href for a in assets)):
                placed.append(mosaic(its, array, location, between_known))
        return np.stack([pixels for pixels, _ in placed]), any(warped for _, warped in placed)

    def _crops(self, assets: Sequence[Asset], array: ArraySpec, location: Location, zero_is_nodata: bool) -> list[Crop]:
        return [p for a in assets if (p := self._cropped(a, array, location, zero_is_nodata)) is not None]

    def covered(self, assets: Sequence[Asset], array: ArraySpec, location: Location) -> NDArray[np.bool_]:
        """(y, x) True where an asset that was read reaches, whether it has data there or not. Raises as `read` does."""
        out = np.zeros((array.px(location.size_m),) * 2, bool)
        for asset in assets:
            out |= self._retried(
                asset, functools.partial(reached, array, location, asset.values, asset.band, asset.href)
            )
        return out

    def gaps(self, asset: Asset) -> float | bool:
        """How a file tells which of its pixels are missing, as `Raster.gaps` has it. Raises as `read` does."""
        found = self._retried(asset, lambda raster: raster.gaps(asset.band, asset.data))
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
            check_pixels(raster, array, asset.values, asset.band, asset.href)
            raw = raster.coarse(asset.band, asset.data)
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

    def ahead(self, groups: Sequence[Sequence[Read]]) -> Iterator[int]:
        """Goes through groups of reads, in the order in which they are to be read, fetching what the next ones need.

        The blocks of all that have room are asked for together, each once, neighbours in one request; more as soon as half
        of the room is free. Pixels of a block are kept until the last of these reads has had them. What was planned before
        and has not been read is given up. It says nothing of what fails: whoever reads it is told.

        Yields:
            The number of a group: it is being fetched, and is to be read before the next one is asked for.
        """
        self._plan.clear()
        self._plan = plan = PlannedReads()
        self._open(groups)
        upcoming = self._upcoming(groups)
        for number in range(len(groups)):
            is_next = len(groups) - upcoming.left <= number
            if is_next or (upcoming.left and 2 * self._pieces.room_bytes >= self._pieces.limit_bytes):
                self._ask(upcoming, int(is_next), plan.add)
            if number == 0:
                self.ask_heads(read for group in groups for read in group if read.is_likely)
            yield number
            plan.done()

    def prefetch(self, reads: Sequence[Read]) -> None:
        """Begins to fetch what some reads need that are done next. It says nothing of what fails, as `ahead`."""
        self._open([reads])
        self._ask(self._upcoming([reads]), 1, self._plan.foresee)

    def _open(self, groups: Sequence[Sequence[Read]]) -> None:
        """Asks for the heads of files; those that nobody has wanted for long are closed."""
        for oldest in list(self._files)[:-MOST_OPEN]:
            if not self._files[oldest].planned:
                self._close(oldest)
                self._leave(oldest)
        reads = [read for group in groups for read in group if not read.is_likely]
        self.ask_heads(reads)
        for asset in {read.asset.file: read.asset for read in reads}.values():
            # Where the tiles of a JPEG 2000 are may have to be looked for, one after the other: in all files at a time.
            # It is so called, or as CDSE has it over https: `Nodes(….jp2)/$value`.
            with contextlib.suppress(Exception):  # as in `_spans`
                if ".jp2" in asset.href.lower():
                    self._raster(asset)

    def ask_heads(self, reads: Iterable[Read]) -> None:
        """Begins to fetch the heads of the files that reads are of, and no more of them yet."""
        for asset in {read.asset.file: read.asset for read in reads}.values():
            with contextlib.suppress(ReadError):  # it leads nowhere
                self._file(asset).ask_head()

    def _ask(self, upcoming: Upcoming[Read], least: int, plan: Callable[[Wanted], None]) -> None:
        """Begins to fetch the next groups: as many as have room, and so many at least; `plan`s each."""
        beside_bytes = max(self._pieces.limit_bytes // PART_BESIDE - self._plan.held_bytes, 0)
        batch = upcoming.take(room := self._pieces.room_bytes, least, min(beside_bytes, room))
        for group in batch.groups:
            plan(group)
        self._plan.hold(batch.beside)
        for file, its in batch.turns.items():
            file.keep(its)  # all of them, before anything that is new needs room
        for file, request in batch.requests():
            with contextlib.suppress(ReadError):  # as below
                file.begin(request)

    def _upcoming(self, groups: Sequence[Sequence[Read]]) -> Upcoming[Read]:
        """What is read for sure of groups of reads."""
        sure = [[read for read in group if not read.is_likely] for group in groups]
        return Upcoming(sure, self._spans, lambda read: read.asset.file in self._rasters)

    def _spans(self, read: Read) -> Wanted:
        """Which bytes of which file a read takes; nothing where that cannot be told, for whatever reason."""
        # Whoever reads it meets the same, and says for which source of which patch.
        with contextlib.suppress(Exception):
            raster, data = self._raster(read.asset), read.asset.data
            if read.location is None:
                return by_file(raster.coarse_spans(read.asset.band, data))
            window, _ = wanted_of(raster, read.array, read.location)
            inside = None if window is None else raster.inside(window)
            if inside is not None:
                return by_file(raster.spans(read.asset.band, inside, data))
        return {}

    def _cropped(self, asset: Asset, array: ArraySpec, location: Location, zero_is_nodata: bool) -> Crop | None:
        """The asset's pixels that the location needs; None where the two do not meet."""

        def crop(raster: Raster) -> Crop | None:
            crs = check_pixels(raster, array, asset.values, asset.band, asset.href)
            window, is_exact = wanted_of(raster, array, location)
            if window is None or raster.inside(window) is None:
                check_place(raster, crs, asset.holds, asset.href)
                return None
            pixels = self._crop(raster, asset, window, array)
            if zero_is_nodata:
                pixels[pixels == 0] = array.nodata
            t = moved(raster.transform, window.col, window.row)
            if raster.is_geographic:
                turn = 360 * round((location.lon - t.c) / 360)
                t = Affine(t.a, t.b, t.c + turn, t.d, t.e, t.f)
            if is_exact:
                return Crop(pixels, t, crs, is_exact)
            void = pixels == array.nodata  # of a crop that is warped all lies within the file
            return Crop(pixels, t, crs, is_exact, void if void.any() else None)

        return self._retried(asset, crop)

    def _crop(self, raster: Raster, asset: Asset, window: PixelWindow, array: ArraySpec) -> NDArray[Any]:
        """The pixels of a window, (y, x) in `array.dtype`, which may reach beyond the file: there it is nodata."""
        inside = raster.inside(window)
        if inside is None:
            return np.full((window.height, window.width), array.nodata, array.dtype)
        raw = raster.read(asset.band, inside)
        valid = raster.valid(asset.band, inside, raw, asset.data)
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
                return file.proven(use(self._raster(asset)))
            except (ReadError, BrokenError) as err:
                # What a head that is kept says of a file that is another by now is no fault of that.
                is_again = file.is_doubtful and not isinstance(err, PassingError) and attempt < TRIES - 1
                self._close(asset.file)
                # Where it could not be opened either is to blame: both are asked for anew, whoever wants them next.
                file.forget()
                if (beside := self._beside(asset)) is not None:
                    beside.forget()
                if isinstance(err, ReadError) and not isinstance(err, ChangedError) and not is_again:
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
            file = SparseFile(address, asset.href, self.counts, self._pieces, self._ended, self._saved)
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

    def _leave(self, name: tuple[str, str]) -> None:
        """Forgets a file but for its head: what nobody read of it is not fetched any more."""
        file = self._files.pop(name)
        file.keep_head()
        self._pieces.forget(file)

    def _close(self, file: tuple[str, str]) -> None:
        """Drops an opened file, where it was open."""
        raster = self._rasters.pop(file, None)
        if raster is not None:
            raster.close()
