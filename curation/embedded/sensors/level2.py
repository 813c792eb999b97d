"""Sentinel-5P: level-2 files in the real products' structure, which is a table (`level2.toml`)."""

from __future__ import annotations

import datetime as dt
import uuid
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from curation.embedded.sensors import netcdf
from curation.embedded.sensors.columns import DARK_DEG, FILL, MODES, File5, pixels
from curation.embedded.sensors.orbits import ALTITUDE_M, FROM_DEG, PERIOD_S, STEP_DEG, STEP_KM, swath
from curation.embedded.world import tables

CHUNK_ROWS = 32

FILLS = {"float32": FILL, "int32": -2147483647, "uint8": 255, "uint32": 0xFFFFFFFF}
"""What stands for a missing value, by type."""

DLR = "DLR-ATP"
"""The two institutes that make the products differ in some of what they write; this is one of them."""

_TABLE = tables.beside(__file__)


def write(path: Path, file: File5) -> None:
    """Writes the file in the structure of the real products."""
    values = _values(file)
    with netcdf.create(path) as root:
        netcdf.annotate(root, netcdf.attributes(_TABLE["file"], **values))
        _product(netcdf.group(root, "PRODUCT"), file, values)
        metadata = netcdf.group(root, "METADATA")
        for name, template in _TABLE["metadata"].items():
            netcdf.group(metadata, name, netcdf.attributes(template, **values))


def _midnight(file: File5) -> dt.datetime:
    return file.orbit.time(0).replace(hour=0, minute=0, second=0, microsecond=0)


def _values(file: File5) -> dict[str, Any]:
    """What fills the places of the table."""
    orbit, product = file.orbit, file.product
    start, end, midnight = orbit.time(0), orbit.time(orbit.count), _midnight(file)
    days = (midnight - dt.datetime(1950, 1, 1, tzinfo=dt.UTC)).days
    at = swath(orbit, product.pixels)
    _, processor, mode = MODES[file.mode]
    dlr = product.institution == DLR
    return {
        "file": file,
        "orbit": orbit,
        "product": product,
        "mode": mode,
        "version": ".".join(str(int(processor[k : k + 2])) for k in (0, 2, 4)),
        "tracking_id": str(uuid.uuid5(uuid.NAMESPACE_URL, file.id)),
        "start": start,
        "end": end,
        "midnight": midnight,
        "days": days,
        "julian_day": days + 2433282.5,
        "unix_s": midnight.timestamp(),
        "duration_s": (end - start).total_seconds(),
        "step_s": STEP_DEG / 360 * PERIOD_S,
        "step_km": STEP_KM,
        "ground_pixels": orbit.count * product.pixels,
        "south": at.lat.min(),
        "north": at.lat.max(),
        "west": at.lon[0, 0],
        "east": at.lon[0, -1],
        "least_quality": product.min_quality / 100,
        "standard_error": f"{product.standard_name} standard_error" if product.standard_name else None,
        "in_a_sentence": product.long_name[0].lower() + product.long_name[1:],
        "corners_north": "degrees_north" if dlr else None,
        "corners_east": "degrees_east" if dlr else None,
    }


def _product(root: h5py.Group, file: File5, values: dict[str, Any]) -> None:
    """The group PRODUCT: its dimensions and variables, in the table's order."""
    orbit, product = file.orbit, file.product
    seconds = int((_midnight(file) - dt.datetime(2010, 1, 1, tzinfo=dt.UTC)).total_seconds())
    sizes = {"scanline": orbit.count, "ground_pixel": product.pixels, "corner": 4}
    scales = {}
    for name, template in _TABLE["dimensions"].items():
        along = np.arange(sizes[name], dtype=np.int32) if name in sizes else np.array([seconds], dtype=np.int32)
        scales[name] = netcdf.dimension(root, name, len(along), along, netcdf.attributes(template))
    for name, size in product.levels.items():
        netcdf.dimension(root, name, size)
    axes = [scales[name] for name in ("time", "scanline", "ground_pixel", "corner")]
    rows = min(CHUNK_ROWS, orbit.count)
    held = _held(file)
    for place, template in _TABLE["variables"].items():
        above, _, name = tables.filled(place, **values).rpartition("/")
        to = netcdf.group(root, above) if above else root
        found = held[name]
        dimensions = axes[: 1 + found.ndim]
        if found.dtype == object:
            netcdf.texts(to, name, found.tolist(), dimensions)
            continue
        about, fill = netcdf.attributes(template, **values), FILLS[found.dtype.name]
        chunks = (1, rows, *found.shape[1:]) if found.ndim > 1 else (1, *found.shape)
        netcdf.variable(to, name, found[None], dimensions, about, fill=fill, chunks=chunks)


def _held(file: File5) -> dict[str, NDArray[Any]]:
    """What the variables hold, by name: arrays of (scanline,), of (scanline, ground_pixel), or of both and the corner."""
    orbit, product, midnight = file.orbit, file.product, _midnight(file)
    at, seen = swath(orbit, product.pixels), pixels(file)
    times = [orbit.time(k) for k in range(orbit.count)]
    delta = np.array([round((t - midnight).total_seconds() * 1000) for t in times], dtype=np.int32)
    phase = (FROM_DEG + (orbit.first + np.arange(orbit.count) + 0.5) * STEP_DEG) / 360 % 1
    places = {
        "latitude": at.lat.copy(),
        "longitude": at.lon.copy(),
        "latitude_bounds": at.lat_bounds.copy(),
        "longitude_bounds": at.lon_bounds.copy(),
    }
    floats = {
        "satellite_latitude": at.below_lat,
        "satellite_longitude": at.below_lon,
        "satellite_altitude": np.full(at.below_lat.shape, ALTITUDE_M),
        "satellite_orbit_phase": phase,
        # Whole degrees: nobody needs more, and it packs to nothing.
        "solar_zenith_angle": np.round(seen.sun),
        "viewing_zenith_angle": np.round(np.broadcast_to(at.view, at.lon.shape)),
        "surface_altitude": np.zeros(at.lon.shape),
    }
    no_value = seen.column == np.float32(FILL)
    for known in places.values():
        known[seen.lost] = FILL
    return {
        **{name: v.astype(np.float32) for name, v in (places | floats).items()},
        product.variable: seen.column,
        product.precision: seen.precision,
        "qa_value": seen.quality,
        # The two institutes disagree on whether it is a scanline's or a pixel's.
        "delta_time": delta[:, None].repeat(product.pixels, 1) if product.institution == DLR else delta,
        "time_utc": np.array([f"{t:%Y-%m-%dT%H:%M:%S.%f}Z" for t in times], dtype=object),
        "geolocation_flags": seen.lost.astype(np.uint8) * np.uint8(64),
        # As the products have it: the lowest byte tells why there is no value.
        "processing_quality_flags": np.where(no_value, np.where(seen.sun > DARK_DEG, 6, 91), 0).astype(np.uint32),
    }
