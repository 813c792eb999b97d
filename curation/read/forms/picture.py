"""PNG and JPEG: 8 bits, or 16 of one band, without a place on Earth, as EuroSAT and many sets of aerial images have them."""

from __future__ import annotations

import io
from typing import Literal

import numpy as np
from PIL import Image as Pillow

from curation.errors import ReadError
from curation.read.chipform import ChipPixels, ChipReader, check_size, in_order

_PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
"""What PNG begins with, up to its header, of which byte 24 is the bits of a number, 25 the kind of colours: PNG, 11.2.2."""

_PNG_GREY, _PNG_PALETTE = 0, 3


class Picture(ChipReader):
    """An image with bands side by side: red, green, blue. A palette is refused, since its numbers are no colours."""

    name: Literal["picture"] = "picture"

    def _decoded(self, data: bytes, address: str, band: str) -> ChipPixels:
        with Pillow.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
            _check_numbers(data, image, address)
            check_size((image.height, image.width, len(image.getbands())), 2, address)
            values = np.asarray(image)
            nodata = image.info.get("transparency")
        return ChipPixels(in_order(values, "yx" if values.ndim == 2 else "yxb", address), nodata=nodata)


def _check_numbers(data: bytes, image: Pillow.Image, address: str) -> None:
    """Passes where Pillow gives the numbers that the file has: it brings others to 8 bits, and colours of print to light."""
    if image.format == "JPEG":
        if image.mode not in ("L", "RGB"):
            raise ReadError(f"{address}: a JPEG of {image.mode}, expected grey or red, green, blue")
        return
    if not data.startswith(_PNG):
        raise ReadError(f"{address}: a PNG whose header is not in front: write it again")
    bits, colours = data[24], data[25]
    if colours == _PNG_PALETTE:
        raise ReadError(f"{address}: has a palette, expected grey or colours: its numbers mean nothing by themselves")
    if bits != 8 and (bits, colours) != (16, _PNG_GREY):
        raise ReadError(
            f"{address}: a PNG of {bits} bits and {len(image.getbands())} bands, expected 8 bits, or 16 of one band: others "
            "would be scaled; write it as GeoTIFF (form = 'tiff'), which has them as they are"
        )
    if isinstance(image.info.get("transparency"), bytes | tuple):
        raise ReadError(f"{address}: names a colour that is transparent, expected none: write it without")
