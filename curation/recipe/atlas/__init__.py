"""What places follow from beside the recipe: cities, land, countries, climate, as files of our own, proven by their hash.

A package's data would change with the package: between two releases of a gazetteer hardly a place of a draw stays the same.
So they lie here (`README.md` says where they come from, how they were made and under which licences), and the hash of each
that a draw uses is part of the digest of its places; of each that domains are told by, of the release's. `making` makes the
first four again; the others are the bytes that their makers published.
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
class Released:
    """A file of the atlas."""

    file: str
    """Its name in this folder."""
    sha256: str
    """Of its bytes."""

    @property
    def path(self) -> Path:
        """Where it lies."""
        return Path(__file__).parent / self.file

    def content(self) -> bytes:
        """Its bytes.

        Raises:
            DamageError: it is not the file that was released.
        """
        data = self.path.read_bytes()
        found = hashlib.sha256(data).hexdigest()
        if found != self.sha256:
            raise DamageError(
                f"{self.path}: sha256 {found}, expected {self.sha256}: what follows from it would be another under the same "
                "digest; reinstall curation"
            )
        return data


@dataclass(frozen=True, slots=True)
class Table(Released):
    """One that is a `.npy` of format 1.0 without objects: the same bytes whatever writes it."""

    def read(self) -> NDArray[Any]:
        """What the file holds. Raises as `content` does."""
        values: NDArray[Any] = np.load(io.BytesIO(self.content()), allow_pickle=False)
        return values


CITIES = Table("cities.npy", "8fff0d64bad7bdb2c6f2acb07f4ad18b75cb58aeafc8d45eb562012b733b72e6")
"""All cities of the gazetteer (`CITY`), the most populous first, ties by their GeoNames id."""

CITY_NAMES = Table("city_names.npy", "7c5ec90946499d23b538e1f5ec40b6690012f0ba295b4a1534343711bea9621b")
"""Names of the cities of more than 100,000 people, which are the first of `CITIES`: UTF-8, a line end between them."""

CITY_PEOPLE = Table("city_people.npy", "aab0b30aee45d8ed6c731fef95229d4e05208a03cbae66a999962ea66c4dde87")
"""How many people live in each of these, uint32: descending."""

LAND = Table("land.npy", "c3bcd7281b0f43136522a198a293e1986e94d2e325457c7b35ecad15ece9cd4e")
"""The land mask, uint16: of each row, north to south, the columns at which sea turns into land or land into sea, ascending,
and then `ROW_END`. Each row begins as sea."""


COUNTRIES = (
    Released("countries.shp", "08e341606e8391e458c3f08deb312de664b56bfae376064c5aa0aee6681a5f55"),
    Released("countries.shx", "8b0be2ad97dd484aee5c2ebc98697d5372e832b8ae58a35a661aeef6b985668d"),
    Released("countries.dbf", "d2ae1c99adcf8e4586a5b12c639672035fa2f3f469e7255947de00401c3ed7e1"),
    Released("countries.prj", "98aaf3d1c0ecadf1a424a4536de261c3daf4e373697cb86c40c43b989daf52eb"),
    Released("countries.cpg", "09fc313075748ce8ead962229ed89c919d5a9ff71974ee725a0b48bb87d975a2"),
)
"""Natural Earth's 177 countries at 1:110 million, a shapefile of `name`, `iso_a3` and `continent`; the first is opened."""

CLIMATE = Released("climate.png", "42810571361c0da141d72d35d4b0278c5b40c109b0c307881fdb81505816a7dd")
"""Climate zones after Köppen and Geiger, codes 1 to 32 of 100 arc seconds, row 0 at 90° N, column 0 at 180° W."""


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
