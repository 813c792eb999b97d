"""How columns of a file of places are called here. Pure."""

from __future__ import annotations

import re
import unicodedata

FORM = re.compile(r"[a-z0-9_-]{1,60}")
"""What a column or an annotation may be called: it is part of no path, but of names of members and entries."""


def called(name: str) -> str:
    """What a column is called here that its file calls `name`: `crop_type` of `Crop type`; itself where it fits.

    Accents go, letters become lower case, and each run of anything but a-z, 0-9, `_` and `-` one `_`, none at the ends. It
    may still fit nothing (`FORM`): of a name in another script little is left.
    """
    if FORM.fullmatch(name):
        return name
    bare = "".join(c for c in unicodedata.normalize("NFKD", name.casefold()) if not unicodedata.combining(c))
    return re.sub(r"[^a-z0-9_-]+", "_", bare).strip("_")


ROW = "row_of_file"
"""The column of locations that says which row of the file of places they are of, from 1."""

SHAPE = "shape_of_file"
"""The column of locations that has the digest of the shape of that row."""

OUR_COLUMNS = (
    *("id", "lon", "lat", "epsg", "x0_m", "y0_m", "size_m", "region", "rank", "parent"),
    *("split", "shard", "geometry"),
)
"""Columns that tables of locations or of samples have of themselves."""


def is_ours(column: str) -> bool:
    """Whether tables of locations or of samples have a column of this name of themselves."""
    return (
        not column
        or column in OUR_COLUMNS
        or column.startswith(("labels_", "fractions_"))
        or "_floored_fraction_" in column
    )
