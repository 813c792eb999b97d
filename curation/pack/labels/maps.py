"""Labels measured on a folder of exported class maps, each named by its Sentinel-2 image. Reads files, writes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.warp import transform_bounds

from curation.cubes import labels
from curation.errors import ConfigError, ReadError
from curation.model import Location
from curation.pack.labels.listed import LabelRow, table
from curation.places.locations import Locations
from curation.read.reader import Asset, Reader
from curation.recipe.dataset import Dataset
from curation.scenes import acquisition
from curation.scenes.acquisition import Acquisition
from curation.store import local
from curation.work.progress import Counting

SUFFIXES = (".tif", ".tiff")
"""Of files that are maps; others in the folder are passed over."""

MARGIN_DEG = 0.1
"""Footprints are looked for by their centres: none is wider than 10 km, which is more degrees of longitude near a pole."""


@dataclass(frozen=True, slots=True)
class ClassMap:
    """One file."""

    path: Path
    image: Acquisition
    bounds: tuple[float, float, float, float]
    """West, south, east and north, degrees; west > east across the antimeridian."""


def found(folder: Path, where: str) -> list[Path]:
    """The maps of a folder and its folders, in order of their paths.

    Raises:
        ConfigError: there is none.
    """
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not paths:
        raise ConfigError(f"{where}: a folder without GeoTIFFs ({', '.join(SUFFIXES)}); expected exported class maps")
    return paths


def content(folder: Path, where: str) -> str:
    """Digest of the maps of a folder: of their paths in it and their bytes."""
    out = hashlib.sha256()
    for path in found(folder, where):
        local.check(path, f"{where}: {path.name}", 2**40)
        with path.open("rb") as file:
            out.update(
                f"{path.relative_to(folder).as_posix()} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode()
            )
    return out.hexdigest()


def read(folder: Path, where: str, dataset: Dataset, source: str, places: Locations) -> pa.Table:
    """The shares of classes of each place on each map that reaches it, a row each; in the form of `listed.SCHEMA`.

    A map that reaches none of the places is a row without a location. Of several files of one image those that reach a place
    are one map.

    Args:
        folder: of the maps.
        where: what errors begin with.
        dataset: the recipe.
        source: the one that they stand in for, of whose form they are.
        places: where they are measured.

    Raises:
        ConfigError: a file is not named by its image, is no map, or its missing pixels cannot be told from a class.
    """
    if len(dataset.arrays[source]) != 1:
        raise ConfigError(f"{where}: source {source!r} has several arrays, expected one of classes")
    with Reader(str(folder.resolve())) as reader:
        maps = [_map(p, folder, where, dataset, source, reader) for p in found(folder, where)]
        by_image: dict[Acquisition, list[ClassMap]] = {}
        for its in maps:
            by_image.setdefault(its.image, []).append(its)
        rows: list[LabelRow] = []
        with Counting("labels: maps", len(by_image), "image") as count:
            for image, files in by_image.items():
                measured = list(_measured(folder, files, dataset, source, places, reader, where))
                name = files[0].path.stem
                rows += [LabelRow(len(rows) + n, p, name, image, None, s, v) for n, (p, s, v) in enumerate(measured, 1)]
                if not measured:
                    rows.append(LabelRow(len(rows) + 1, None, name, image))
                count.step()
    return table(rows)


def _map(path: Path, folder: Path, where: str, dataset: Dataset, source: str, reader: Reader) -> ClassMap:
    name = path.relative_to(folder).as_posix()
    at = f"{where}: {name}"
    image = acquisition.of_id(path.name)
    if image is None:
        raise ConfigError(
            f"{at}: no id of a Sentinel-2 image in its name; expected one such as "
            "20200718T102559_20200718T103605_T31TFJ.tif"
        )
    (array,) = dataset.arrays[source].values()
    try:
        own = array.values(array.bands[0])
        labels.check_gaps(
            reader.gaps(Asset(name, "none", values=own)), dataset.specs[source].kind.legend, array.nodata, at
        )
        with rasterio.open(path, driver="GTiff") as file:
            if file.crs is None:
                raise ConfigError(f"{at}: states no CRS, so where its pixels are is not known")
            bounds = transform_bounds(file.crs, 4326, *file.bounds, densify_pts=21)
    except labels.UnmaskedMapError as err:
        raise ConfigError(f"{err} ({err.code})") from err
    except (ReadError, RasterioError) as err:
        raise ConfigError(f"{at}: no map that can be read: {err}") from err
    return ClassMap(path, image, tuple(bounds))


def _near(bounds: tuple[float, float, float, float], places: Locations) -> Locations:
    """The places that a map may reach."""
    west, south, east, north = bounds
    lon, lat = places.column("lon"), places.column("lat")
    wide = MARGIN_DEG / np.maximum(np.cos(np.radians(np.minimum(np.abs(lat), 89.9))), 1e-3)
    inside = (lat >= south - MARGIN_DEG) & (lat <= north + MARGIN_DEG)
    if west <= east:
        inside &= (lon >= west - wide) & (lon <= east + wide)
    else:
        inside &= (lon >= west - wide) | (lon <= east + wide)
    return places.take(inside)


def _check_alike(maps: Sequence[NDArray[Any]], nodata: float, names: Sequence[str]) -> None:
    """Passes where files of one image, at one place, say the same where several say something.

    Where two of them meet, pixels that were resampled may be of either: no more than lie along the place's sides.

    Raises:
        ReadError: they contradict one another.
    """
    said = maps[0]
    for other, name in zip(maps[1:], names[1:], strict=True):
        apart = int(((said != other) & (said != nodata) & (other != nodata)).sum())
        if apart > sum(said.shape):
            raise ReadError(
                f"{apart} pixels are of another class in {name}, which is of the same image: which of them is meant is not "
                "known; keep one"
            )
        said = np.where(said == nodata, other, said)


def _measured(
    folder: Path,
    files: Sequence[ClassMap],
    dataset: Dataset,
    source: str,
    places: Locations,
    reader: Reader,
    where: str,
) -> Iterator[tuple[str, list[float] | None, float]]:
    """(location, shares of the classes, labelled share) of each place that an image's files reach."""
    (array,) = dataset.arrays[source].values()
    legend = dataset.specs[source].kind.legend
    near: dict[Location, list[ClassMap]] = {}
    for its in files:
        for place in _near(its.bounds, places):
            near.setdefault(place, []).append(its)
    for place, reaching in near.items():
        own = array.values(array.bands[0])
        assets = [Asset(f.path.relative_to(folder).as_posix(), "none", values=own) for f in reaching]
        try:
            if not reader.covered(assets, array, place).any():
                continue
            pixels, _ = reader.read(assets, array, place)
            if len(assets) > 1:
                there = [a for a in assets if reader.covered([a], array, place).any()]
                _check_alike([reader.read([a], array, place)[0] for a in there], array.nodata, [a.href for a in there])
            shares, valid = labels.class_fractions(pixels, legend, array.nodata)
        except ReadError as err:
            raise ConfigError(f"{where}: {reaching[0].path.name}, at location {place.id}: {err}") from err
        yield place.id, None if np.isnan(shares).any() else [float(s) for s in shares], valid
