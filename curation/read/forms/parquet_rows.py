"""Rows of Parquet that hold a file each, as Hugging Face's `datasets` writes images: PNG, JPEG or GeoTIFF."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from curation.read.beginnings import TIFFS
from curation.read.chipform import ChipPixels, ChipReader
from curation.read.forms.picture import Picture
from curation.read.forms.tiff import Tiff


class ParquetRows(ChipReader):
    """Files in a column of bytes, or of `{bytes, path}`; which they are is told by what they begin with."""

    name: Literal["parquet-rows"] = "parquet-rows"
    key: str = Field(default="image", min_length=1)
    """The column."""

    @property
    def cell(self) -> str | None:
        """That column."""
        return self.key

    def _decoded(self, data: bytes, address: str, band: str) -> ChipPixels:
        form: ChipReader = Tiff() if data.startswith(TIFFS) else Picture()
        return form.decoded(data, address)
