"""One opened raster: what its header says, taken down once, where its blocks are, their pixels, and which are valid.

JPEG 2000 is one image, of `jp2image`. A TIFF is a chain of images (IFDs): the first holds the pixels; NewSubfileType tells
those that are it in fewer pixels (overviews), those that say which pixels are valid (masks), and masks of overviews. Each
may be anywhere in the chain, or in a SubIFDs tag.

tifffile reads the header and decodes blocks, from bytes that are all here; GDAL says where the file lies on Earth. GDAL
is not given the file itself: it answers what it cannot read from a file of this program's with a crash or with zeros.
"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Iterator
from typing import IO, Any, cast

import numpy as np
import rasterio
import tifffile
from affine import Affine
from numpy.typing import NDArray
from rasterio.control import GroundControlPoint

from curation.errors import ReadError
from curation.read.beginnings import HDF5, what_it_is
from curation.read.blocks import PixelWindow, Span
from curation.read.decoded import Decoded
from curation.read.directory import GDAL_METADATA, Ifd, OtherFormatError, ifds
from curation.read.georeference import is_place, place, tie_points
from curation.read.image import Image, TiffImage
from curation.read.jp2image import Jp2, is_jp2
from curation.read.planned import by_file
from curation.read.sparse import BrokenError, Opened, SparseFile

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what matters of a header is checked here


COARSE_PX = 256
"""The coarse look takes the coarsest overview that has as many pixels on its longer side: of a Sentinel-2 band of 10980 ×
10980 that of 343 × 343, which is one block of the usual 512 or nine of 128, and 100,000 pixels: enough for a hundredth."""

DATE_TIME = 306

_REDUCED, _MASK = 1, 4
"""Bits of NewSubfileType: TIFF 6.0, section 8."""

_PER_DATASET = 2
"""GMF_PER_DATASET of GDAL's mask flags: one mask is for all bands."""


class _Chain:
    """A file's images, of which each is looked at when it is wanted."""

    def __init__(self, file: SparseFile, decoded: Decoded) -> None:
        """Reads the header.

        Raises:
            ReadError: its bytes cannot be had.
            BrokenError: they are not those of a TIFF.
        """
        self.file = file
        self._decoded = decoded
        self._handles: list[Opened] = []
        head = file.head()
        if (other := what_it_is(head.data)) is not None:
            raise OtherFormatError(f"{other}, expected a TIFF")
        try:
            try:
                self._ifds = ifds(Opened(file), head.size)
            except BrokenError as err:
                raise BrokenError(f"its header is not a TIFF's: {err}") from None
            with self._tiff() as tiff:
                self.first = tiff.pages.first
            self.image = TiffImage(file, decoded, self.first, "")
        except (ReadError, BrokenError):
            raise
        except Exception as err:
            raise BrokenError(f"its header is not a TIFF's: {type(err).__name__}: {err}") from err
        self._images: dict[int, TiffImage] = {}

    def _tiff(self) -> tifffile.TiffFile:
        self._handles.append(Opened(self.file))
        return tifffile.TiffFile(cast(IO[bytes], self._handles[-1]), name="x.tif", size=self.file.head().size)

    def place(self) -> tuple[rasterio.crs.CRS | None, Affine, float | None]:
        """CRS, transform and nodata of the first image.

        Raises:
            BrokenError: its tags do not say them.
        """
        try:
            return place(self.first)
        except Exception as err:
            raise BrokenError(f"its header is not a TIFF's: {type(err).__name__}: {err}") from err

    def tie_points(self) -> tuple[list[GroundControlPoint], rasterio.crs.CRS | None]:
        """Ground control points of the first image and their CRS. Raises as `place` does."""
        try:
            return tie_points(self.first)
        except Exception as err:
            raise BrokenError(f"its header is not a TIFF's: {type(err).__name__}: {err}") from err

    def forget(self) -> None:
        """Drops the blocks that were decoded, and the file: nothing more is read of it."""
        for image in (self.image, *self._images.values()):
            self._decoded.forget(image)
        for handle in self._handles:
            handle.close()

    def _at(self, ifd: Ifd, what: str) -> Image:
        if ifd.at not in self._images:
            try:
                with self._tiff() as tiff:
                    tiff.filehandle.seek(ifd.at)
                    page = tifffile.TiffPage(tiff, index=1)
                self._images[ifd.at] = TiffImage(self.file, self._decoded, page, what)
            except (ReadError, BrokenError):
                raise
            except Exception as err:
                raise BrokenError(f"{what}its header is not a TIFF's: {type(err).__name__}: {err}") from err
        return self._images[ifd.at]

    def mask(self) -> Image | None:
        """The mask of the image, where it has one: the first.

        Raises:
            BrokenError: it is of another size, or of as many bands as there is no rule for.
        """
        found = next((i for i in self._ifds[1:] if i.kind & _MASK and not i.kind & _REDUCED), None)
        if found is None:
            return None
        return _fitting(self._at(found, "its mask: "), self.image)

    def overviews(self) -> Iterator[Image]:
        """The image in fewer pixels, the coarsest first."""
        width, height = self.image.width, self.image.height
        found = [i for i in self._ifds[1:] if i.kind & _REDUCED and not i.kind & _MASK and 0 < i.width < width]
        for ifd in sorted(found, key=lambda i: (i.width, i.height, i.at)):
            if abs(ifd.height - height * ifd.width / width) > 1 + height / width:
                continue  # a preview, in a frame of its own
            image = self._at(ifd, f"its overview of {ifd.width} × {ifd.height} pixels: ")
            if (image.bands, image.dtype) == (self.image.bands, self.image.dtype):
                yield image

    def reduced_mask(self, width: int, height: int) -> Image | None:
        """The mask of so many pixels, of an overview."""
        for ifd in self._ifds[1:]:
            if ifd.kind & _MASK and ifd.kind & _REDUCED and (ifd.width, ifd.height) == (width, height):
                return self._at(ifd, f"its mask of {width} × {height} pixels: ")
        return None

    def reduced(self, width: int, height: int) -> Image | None:
        """The overview of so many pixels."""
        return next((i for i in self.overviews() if (i.width, i.height) == (width, height)), None)


class Raster:
    """A file's first image, with its mask and its overviews. For one thread at a time, like the file below it.

    Which of its pixels are valid it says as GDAL does: a mask decides, of the file or in a file beside it (`.msk`), the
    file's own first, and then a pixel that holds the nodata value is one as any other; where there is none, the nodata value
    does. What is fully transparent is not valid, whatever else is declared; but none of the bands that are said to hold data
    (`data`, their numbers) is transparency, whatever the file calls it.
    """

    def __init__(self, file: SparseFile, decoded: Decoded, beside: SparseFile | None = None) -> None:
        """Reads the header.

        Args:
            file: the TIFF, or JPEG 2000.
            decoded: where blocks are kept.
            beside: its mask in a file of its own, where there is one.

        Raises:
            ReadError: its bytes cannot be had, or are those of a swath.
            BrokenError: they are not those of a raster, or its mask is not one.
        """
        self.href = file.name
        if file.head().data.startswith(HDF5):
            raise ReadError(
                f"{self.href}: is netCDF-4 (HDF5), expected a TIFF: a swath's pixels lie on no grid, whatever projection "
                "its item states; give the source kind = 'swath' in its file"
            )
        self._chain: _Chain | Jp2 = Jp2(file, decoded) if is_jp2(file.head().data) else _Chain(file, decoded)
        self._image = self._chain.image
        self.width, self.height, self.bands = self._image.width, self._image.height, self._image.bands
        self.dtype = self._image.dtype
        self.crs, self.transform, self.nodata = self._chain.place()
        if self.crs is not None and not is_place(self.transform):
            raise BrokenError(f"its header gives no place to its pixels: transform {tuple(self.transform)[:6]}")
        self.alpha = self._image.alpha
        """Its band that says how transparent pixels are; None of none."""
        self.epsg: int | None = self.crs.to_epsg() if self.crs else None
        self.is_geographic = bool(self.crs and self.crs.is_geographic)
        self._mask = self._chain.mask()
        self._beside: _Chain | None = None
        self._flags: dict[int, int] = {}
        if self._mask is None and beside is not None:
            try:
                self._beside = _Chain(beside, decoded)
                _fitting(self._beside.image, self._image)
                self._flags = _mask_flags(self._beside.first)
            except BrokenError as err:
                raise type(err)(f"its mask {beside.name}: {err}") from err

    def close(self) -> None:
        """Drops the blocks that were decoded."""
        self._chain.forget()
        if self._beside is not None:
            self._beside.forget()

    def tie_points(self) -> tuple[list[GroundControlPoint], rasterio.crs.CRS | None]:
        """Its ground control points and their CRS; none where it has none.

        Raises:
            BrokenError: its tags do not say them.
        """
        return self._chain.tie_points() if isinstance(self._chain, _Chain) else ([], None)

    @property
    def tagged_time(self) -> str:
        """Its tag DateTime as it stands there (TIFF 6.0, section 8: `YYYY:MM:DD HH:MM:SS`, of no zone); empty of none."""
        tag = self._chain.first.tags.get(DATE_TIME) if isinstance(self._chain, _Chain) else None
        return "" if tag is None else str(tag.value)

    def gaps(self, band: int, data: frozenset[int] = frozenset()) -> float | bool:
        """How the file tells which pixels of a band are missing: True by a mask, False not at all, or its nodata value."""
        if self._masked_by(band) is not None or _opacity(self._image, band, data) is not None:
            return True
        return False if self.nodata is None else float(self.nodata)

    def inside(self, window: PixelWindow) -> PixelWindow | None:
        """What of a window lies in the file."""
        col, row = max(window.col, 0), max(window.row, 0)
        right, bottom = min(window.col + window.width, self.width), min(window.row + window.height, self.height)
        return PixelWindow(col, row, right - col, bottom - row) if right > col and bottom > row else None

    def _masked_by(self, band: int) -> tuple[Image, int] | None:
        """The mask of a band, and which of its bands that is."""
        if self._mask is not None:
            return self._mask, 1 if self._mask.bands == 1 else band
        flags = self._flags.get(band, self._flags.get(1, 0) if self._flags.get(1, 0) & _PER_DATASET else None)
        if self._beside is None or flags is None:
            return None
        mask = self._beside.image
        return mask, 1 if flags & _PER_DATASET or mask.bands == 1 else band

    def spans(
        self, band: int, window: PixelWindow, data: frozenset[int] = frozenset()
    ) -> Iterator[tuple[SparseFile, Span]]:
        """Which bytes of which file a window inside it takes, as often as it does; those that say what is valid as well."""
        return _spans(self._image, self._masked_by(band), band, window, data)

    def read(self, band: int, window: PixelWindow) -> NDArray[Any]:
        """The pixels of a window inside the file, (y, x) in the file's dtype, those that are not valid among them.

        Raises:
            ReadError: its bytes cannot be had, or a block was never written, the file declares no nodata and its mask says
                that the block is valid.
            BrokenError: a block cannot be decoded, or not to as many pixels as it should have.
        """
        return self._read(self._image, self._masked_by(band), band, window)

    def valid(
        self, band: int, window: PixelWindow, pixels: NDArray[Any], data: frozenset[int] = frozenset()
    ) -> NDArray[np.bool_]:
        """(y, x) True where pixels that `read` gave are valid, by what the file declares. Raises as `read` does."""
        return self._valid(self._image, self._masked_by(band), band, window, pixels, data)

    def _read(self, image: Image, mask: tuple[Image, int] | None, band: int, window: PixelWindow) -> NDArray[Any]:
        pixels, unwritten = image.read(band, window)
        for block in unwritten:  # a writer's way to say that none of it is valid
            at = (
                slice(block.row - window.row, block.row - window.row + block.height),
                slice(block.col - window.col, block.col - window.col + block.width),
            )
            if self.nodata is not None:
                pixels[at] = self.nodata
            elif mask is None or mask[0].read(mask[1], block)[0].any():
                raise ReadError(
                    f"{self.href}: block column {block.col // image.block_width} row {block.row // image.block_height} was "
                    f"never written and the file declares no nodata{'' if mask is None else ' where its mask says so'}: "
                    "its zeros would be invented; report it to the provider"
                )
        return pixels

    def _valid(
        self, image: Image, mask: tuple[Image, int] | None, band: int, window: PixelWindow, pixels: NDArray[Any],
        data: frozenset[int],
    ) -> NDArray[np.bool_]:  # fmt: skip
        if mask is not None:
            valid: NDArray[np.bool_] = (
                mask[0].read(mask[1], window)[0] != 0
            )  # a block of a mask that was never written is 0, to GDAL, too
        elif self.nodata is not None:
            valid = ~np.isnan(pixels) if np.isnan(self.nodata) else pixels != _number(self.nodata, pixels.dtype)
        else:
            valid = np.ones(pixels.shape, bool)
        if (alpha := _opacity(image, band, data)) is not None:
            valid &= image.read(alpha, window)[0] != 0
        return valid

    def _level(self, band: int) -> tuple[Image, tuple[Image, int] | None]:
        """The image that the coarse look is at, and its mask: the coarsest that is fine enough, masked if the file is."""
        mask = self._masked_by(band)
        for image in self._chain.overviews():
            if max(image.width, image.height) < COARSE_PX:
                continue
            if mask is None:
                return image, None
            reduced = (
                self._chain.reduced_mask(image.width, image.height)
                if self._beside is None
                else self._beside.reduced(image.width, image.height)
            )
            if reduced is not None and reduced.bands == mask[0].bands:
                return image, (reduced, mask[1])
        return self._image, mask

    def coarse_spans(self, band: int, data: frozenset[int] = frozenset()) -> Iterator[tuple[SparseFile, Span]]:
        """Which bytes of which file the coarse look takes, as often as it does."""
        image, mask = self._level(band)
        for window in image.sample():
            yield from _spans(image, mask, band, window, data)

    def coarse(self, band: int, data: frozenset[int] = frozenset()) -> NDArray[Any]:
        """(n,) valid pixels of the whole file, in its dtype, of a level's blocks spread evenly. Raises as `read`."""
        image, mask = self._level(band)
        for file, spans in by_file(self.coarse_spans(band, data)).items():
            file.ask(spans)
        out = []
        for window in image.sample():
            pixels = self._read(image, mask, band, window)
            out.append(pixels[self._valid(image, mask, band, window, pixels, data)])
        return np.concatenate(out)


@functools.lru_cache(maxsize=256)
def _number(nodata: float, dtype: np.dtype[Any]) -> Any:
    """A nodata value as whole numbers of a type are compared with it: in that type where it is one, not all as float64."""
    if dtype.kind not in "iu" or dtype.itemsize > 4 or not float(nodata).is_integer():
        return nodata
    limits = np.iinfo(dtype)
    return dtype.type(int(nodata)) if limits.min <= nodata <= limits.max else nodata


def _opacity(image: Image, band: int, data: frozenset[int]) -> int | None:
    """Which band of an image says where another one's pixels are transparent; None of none, and of itself."""
    return None if image.alpha == band or image.alpha in data else image.alpha


def _spans(
    image: Image, mask: tuple[Image, int] | None, band: int, window: PixelWindow, data: frozenset[int]
) -> Iterator[tuple[SparseFile, Span]]:
    yield from image.spans(band, window)
    if mask is not None:
        yield from mask[0].spans(mask[1], window)
    if (alpha := _opacity(image, band, data)) is not None:
        yield from image.spans(alpha, window)


def _fitting(mask: Image, image: Image) -> Image:
    """The mask, where it is one of the image's.

    Raises:
        BrokenError: it is not.
    """
    if (mask.width, mask.height) != (image.width, image.height):
        raise BrokenError(
            f"its mask has {mask.width} × {mask.height} pixels, expected {image.width} × {image.height} as its image has: "
            "which pixels are valid is not known"
        )
    if mask.bands not in (1, image.bands):
        raise BrokenError(f"its mask has {mask.bands} bands, expected one, or {image.bands} as its image has")
    return mask


def _mask_flags(page: Any) -> dict[int, int]:
    """Band → GDAL's flags of its mask, as a file of masks declares them."""
    tag = page.tags.get(GDAL_METADATA)
    found = re.findall(r'name="INTERNAL_MASK_FLAGS_(\d+)"[^>]*>\s*(\d+)', "" if tag is None else str(tag.value))
    return {int(band): int(flags) for band, flags in found}
