"""PNG and JPEG: 8 or 16 bits, without a place on Earth, as EuroSAT and many sets of aerial images have them."""

from __future__ import annotations

import io
from typing import Literal

import numpy as np
from PIL import Image as Pillow

from curation.errors import ReadError
from curation.read.chipform import ChipPixels, ChipReader, in_order


class Picture(ChipReader):
    """An image with bands side by side: red, green, blue. A palette is refused, since its numbers are no colours."""

    name: Literal["picture"] = "picture"

    def _decoded(self, data: bytes, address: str, band: str) -> ChipPixels:
        with Pillow.open(io.BytesIO(data)) as image:
            if image.mode == "P":
                raise ReadError(
                    f"{address}: has a palette, expected grey or colours: its numbers mean nothing by themselves"
                )
            values = np.asarray(image)
        return ChipPixels(in_order(values, "yx" if values.ndim == 2 else "yxb", address))
