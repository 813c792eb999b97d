"""What draws of places depend on beside the recipe: cities and land, as files of our own, each proven by its hash.

A package's data would change with the package: between two releases of a gazetteer hardly a place of a draw stays the same.
So they lie here (`README.md` says where they come from, how they were made and under which licences), and the hash of each
that a draw uses is part of the digest of its places. `making` makes them again.
"""

from __future__ import annotations

import functools
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.errors import DamageError

PER_DEG = 120
"""Cells of the land mask per degree."""

LAND_SHAPE = (180 * PER_DEG, 360 * PER_DEG)
"""Rows from the north pole and columns from -180° of the land mask."""

ROW_END = LAND_SHAPE[1]
"""What ends each row of the file of the land mask: the column after the last."""

CITY_STEPS_PER_DEG = 100_000
"""Steps of a city's coordinates per degree: GeoNames states five decimals."""

CITY = np.dtype([("lon", "<i4"), ("lat", "<i4"), ("country", "S2")])
"""A city as its file has it: 1e-5 degrees east and north, and its country (ISO 3166-1 alpha-2)."""


@dataclass(frozen=True, slots=True)
class Table:
    """A file of the atlas."""

    file: str
    """Its name in this folder, a `.npy` of format 1.0 without objects: the same bytes whatever writes it."""
    sha256: str
    """Of its bytes."""

    def read(self) -> NDArray[Any]:
        """What the file holds.

        Raises:
            DamageError: it is not the file that was released.
        """
        path = Path(__file__).parent / self.file
        data = path.read_bytes()
        found = hashlib.sha256(data).hexdigest()
        if found != self.sha256:
            raise DamageError(
                f"{path}: sha256 {found}, expected {self.sha256}: draws from it would be others under the same digest; "
                "reinstall curation"
            )
        values: NDArray[Any] = np.load(io.BytesIO(data), allow_pickle=False)
        return values


CITIES = Table("cities.npy", "8fff0d64bad7bdb2c6f2acb07f4ad18b75cb58aeafc8d45eb562012b733b72e6")
"""All cities of the gazetteer (`CITY`), the most populous first, ties by their GeoNames id."""

LAND = Table("land.npy", "c3bcd7281b0f43136522a198a293e1986e94d2e325457c7b35ecad15ece9cd4e")
"""The land mask, uint16: of each row, north to south, the columns at which sea turns into land or land into sea, ascending,
and then `ROW_END`. Each row begins as sea."""


@functools.lru_cache(maxsize=1)
def cities() -> NDArray[Any]:
    """All cities (`CITY`), the most populous first. Raises as `Table.read` does."""
    found = CITIES.read()
    found.flags.writeable = False
    return found


@functools.lru_cache(maxsize=1)
def land_turns() -> NDArray[np.uint32]:
    """Where the land mask turns, ascending: sea becomes land at every even position, land becomes sea at every odd one.

    A turn is a cell's number, row × columns + column, so that the cell n is land where the number of turns at or before n
    is odd. Raises as `Table.read` does.
    """
    values = LAND.read()
    ends = values == ROW_END
    at = np.flatnonzero(ends)
    # A row that ends on land turns at its end, too: the next one begins as sea.
    ends[at] = np.diff(at, prepend=-1) % 2 == 1
    row = np.repeat(np.arange(LAND_SHAPE[0], dtype=np.uint32), np.diff(at, prepend=-1))
    turns: NDArray[np.uint32] = (row * np.uint32(LAND_SHAPE[1]) + values)[~ends]
    turns.flags.writeable = False
    return turns
