"""What a chip is, and what is asked of the forms that files of chips have. Each form is a file of `read/forms/`."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from curation.errors import ReadError
from curation.recipe.chips import ChipForm

Axes = Literal["byx", "yxb", "yx"]
"""Which axis of an array is which: band, row, column."""

MOST_DECODED_BYTES = 512 * 2**20
"""Of all bands of a chip: 64 million pixels of 8 bytes. What says that it has more is none, whatever it was packed to."""


@dataclass(frozen=True, slots=True)
class ChipPixels:
    """A chip as its file has it: nothing is believed of it yet."""

    pixels: NDArray[Any]
    """(band, y, x)."""
    transform: Affine | None = None
    """Pixel corners to coordinates of a CRS; None where the file states none."""
    epsg: int | None = None
    """That CRS; None where it states none, or one without a code."""
    nodata: float | None = None
    """What the file declares as 'no data'; None where it declares none."""
    masked: NDArray[np.bool_] | None = None
    """(y, x), where a mask of the file's own says that there is no data; None where it has none."""


class ChipReader(ChipForm, ABC):
    """A form of files, with its keys, called as its tag is."""

    def placed(self, data: bytes, address: str, band: str = "") -> ChipPixels:
        """Where a chip lies by its own word; its pixels are left out where that spares reading them. As `decoded`."""
        return self._guarded(self._placed, data, address, band)

    def decoded(self, data: bytes, address: str, band: str = "") -> ChipPixels:
        """The chip that bytes hold.

        Args:
            data: of the file.
            address: of it; behind `!` what is meant within it.
            band: which of its bands is meant, where it has an array for each.

        Raises:
            ReadError: they hold none. Nothing stands in for what cannot be read.
        """
        return self._guarded(self._decoded, data, address, band)

    def _guarded(
        self, read: Callable[[bytes, str, str], ChipPixels], data: bytes, address: str, band: str
    ) -> ChipPixels:
        try:
            return read(data, address, band)
        except ReadError:
            raise
        except Exception as err:  # each library has error classes of its own
            raise ReadError(f"{address}: no chip of form {self.name!r}: {type(err).__name__}: {err}") from err

    def _placed(self, data: bytes, address: str, band: str) -> ChipPixels:
        return self._decoded(data, address, band)

    @abstractmethod
    def _decoded(self, data: bytes, address: str, band: str) -> ChipPixels: ...

    @property
    def cell(self) -> str | None:
        """Of a file of rows, the column that holds the bytes."""
        return None

    @property
    def per_band(self) -> bool:
        """Whether a file has an array for each band."""
        return False


def check_size(shape: Sequence[int], itemsize: int, address: str) -> None:
    """Passes where an array is small enough to be read, which is asked of what its file says before it is.

    Raises:
        ReadError: it is not.
    """
    if math.prod(shape) * itemsize > MOST_DECODED_BYTES:
        said = " × ".join(map(str, shape))
        raise ReadError(
            f"{address}: says {said} numbers of {itemsize} bytes, which is no chip: expected {MOST_DECODED_BYTES} bytes at "
            "most"
        )


def in_order(values: NDArray[Any], axes: Axes, address: str) -> NDArray[Any]:
    """(band, y, x) of an array whose axes are told.

    Raises:
        ReadError: it has another number of axes, or is of no numbers.
    """
    if values.ndim != len(axes) or values.dtype.kind not in "biuf":
        raise ReadError(f"{address}: {values.dtype} of shape {values.shape}, expected numbers along axes {axes!r}")
    if axes == "yxb":
        values = np.moveaxis(values, -1, 0)
    return values[None] if axes == "yx" else values
