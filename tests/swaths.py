"""Orbits in the form of Sentinel-5P's files and granules in that of OLCI's, made up, and a server that counts bytes."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from curation.read import gridding
from tests.loopback import Request, serving

FILL = np.float32(9.969209968386869e36)

S5P_ROWS, S5P_COLS = 4172, 450
"""Scanlines and footprints of a whole orbit of most products (carbon monoxide and methane have 215 across)."""

GEOLOCATIONS = "PRODUCT/SUPPORT_DATA/GEOLOCATIONS"


def track(rows: int, cols: int, node: float, half_deg: float = 11.7, span: tuple[float, float] = (-103, 103)) -> Any:
    """Corners, (rows + 1, cols + 1), of a sun-synchronous ascending orbit over a turning Earth: longitudes and latitudes.

    Args:
        rows: along the track.
        cols: across.
        node: longitude at which it crosses the equator.
        half_deg: half the swath, degrees of arc.
        span: degrees along the orbit from the equator.
    """
    u = np.radians(np.linspace(*span, rows + 1))[:, None]
    s = np.linspace(-1, 1, cols + 1)[None]
    a = np.radians(half_deg) * (0.6 * s + 0.4 * s**3)  # footprints grow towards the swath's edges
    i, turned = np.radians(98.7), np.radians(node) - u * 101.5 / 1436.07
    at = np.stack([np.cos(u), np.sin(u) * np.cos(i), np.sin(u) * np.sin(i)], axis=-1)
    normal = np.array([0, -np.sin(i), np.cos(i)])
    p = at * np.cos(a)[..., None] - normal * np.sin(a)[..., None]
    x = p[..., 0] * np.cos(turned) - p[..., 1] * np.sin(turned)
    y = p[..., 0] * np.sin(turned) + p[..., 1] * np.cos(turned)
    return gridding.lon_lat(np.stack([x, y, p[..., 2]], axis=-1))


def around(edges: np.ndarray) -> np.ndarray:
    """(rows, cols, 4) corners of each footprint."""
    return np.stack([edges[:-1, :-1], edges[:-1, 1:], edges[1:, 1:], edges[1:, :-1]], axis=-1)


def values_at(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """A column that is somewhere negative, mol m-2."""
    return 1e-4 * (np.sin(np.radians(8 * lat)) + 0.5 * np.cos(np.radians(9 * lon)))


def s5p(
    path: Path,
    rows: int = 600,
    cols: int = 60,
    node: float = 18.0,
    chunk: tuple[int, int] | None = (1, 60),
    variable: str = "nitrogendioxide_tropospheric_column",
    keep: slice | np.ndarray | None = None,
    **how: Any,
) -> Path:
    """Writes an orbit of one product, with as many groups as are read, and a variable that nobody does.

    Args:
        path: of the file.
        rows: scanlines.
        cols: footprints of each.
        node: longitude at which it crosses the equator.
        chunk: rows and columns of a chunk; None for variables in one piece, as small cut-outs have them.
        variable: what was retrieved.
        keep: scanlines that are in the file; all where left out.
        how: more for `track`.
    """
    edges = track(rows, cols, node, **how)
    lon4, lat4 = (around(e)[keep if keep is not None else slice(None)] for e in edges)
    lon, lat = gridding.lon_lat(gridding.unit_vectors(lon4, lat4).mean(axis=2))
    n, draw = len(lon), np.random.default_rng(5)
    values = values_at(lon, lat) + draw.normal(0, 2e-6, lon.shape)
    quality = np.where(draw.random(lon.shape) < 0.3, draw.integers(0, 75, lon.shape), draw.integers(75, 101, lon.shape))
    values = np.where(draw.random(lon.shape) < 0.05, FILL, values)
    with h5py.File(path, "w") as file:
        file.attrs["Conventions"] = "CF-1.7"
        product, geo = file.create_group("PRODUCT"), file.create_group(GEOLOCATIONS)
        file.create_group("METADATA/QA_STATISTICS")

        def write(group: h5py.Group, name: str, data: np.ndarray, **attrs: Any) -> None:
            packed = {}
            if chunk is not None:
                shape = (1, min(chunk[0], n), min(chunk[1], cols), *data.shape[2:])
                packed = {"chunks": shape, "compression": "gzip", "compression_opts": 3, "shuffle": True}
            made = group.create_dataset(name, data=data[None], **packed)
            for key, value in attrs.items():
                made.attrs[key] = value

        degrees = {"_FillValue": np.array([FILL])}
        write(product, "latitude", lat.astype("f4"), units="degrees_north", valid_min=np.float32(-90), **degrees)
        write(product, "longitude", lon.astype("f4"), units="degrees_east", valid_max=np.float32(180), **degrees)
        quality_attrs = {
            "scale_factor": np.float32(0.01),
            "add_offset": np.float32(0),
            "_FillValue": np.array([255], "u1"),
        }
        write(product, "qa_value", quality.astype("u1"), units="1", **quality_attrs)
        write(product, variable, values.astype("f4"), units="mol m-2", **degrees)
        write(product, f"{variable}_precision", np.abs(values).astype("f4"), units="mol m-2", **degrees)
        write(geo, "latitude_bounds", lat4.astype("f4"))
        write(geo, "longitude_bounds", lon4.astype("f4"))
    return path


FLAGS = ["land", "coastline", "fresh_inland_water", "tidal_region", "bright", "straylight_risk", "invalid", "cosmetic"]
FLAGS += ["duplicated", "sun-glint_risk", "dubious", *(f"saturated@Oa{i:02d}" for i in range(1, 22))]


def olci(
    folder: Path, rows: int, cols: int, lon: float, lat: float, bands: list[str], chunk=(64, 64)
) -> dict[str, Path]:
    """Writes a granule of 0.3 km footprints around a place: file → path. Its flags go with the columns."""
    half = 0.15 * cols / 111.2
    down = np.degrees(np.arcsin(np.sin(np.radians(lat)) / np.sin(np.radians(98.7))))
    span = 0.3 * rows / 111.2 / 2
    drift = np.arctan2(np.sin(np.radians(down)) * np.cos(np.radians(98.7)), np.cos(np.radians(down)))
    node = lon - np.degrees(drift) + down * 101.5 / 1436.07
    edges = track(rows, cols, node, half, (down - span, down + span))
    at_lon, at_lat = gridding.lon_lat(gridding.unit_vectors(*(around(e) for e in edges)).mean(axis=2))
    packed = {"chunks": chunk, "compression": "gzip", "shuffle": True}
    out = {f: folder / f"{f}.nc" for f in ("geo", "flags", *bands)}
    with h5py.File(out["geo"], "w") as file:
        for name, data in (("latitude", at_lat), ("longitude", at_lon)):
            made = file.create_dataset(name, data=np.round(data * 1e6).astype("i4"), **packed)
            made.attrs["scale_factor"], made.attrs["_FillValue"] = 1e-6, np.int32(-(2**31))
    with h5py.File(out["flags"], "w") as file:
        bit = {f: 1 << (31 - i) for i, f in enumerate(FLAGS)}
        flags = np.full((rows, cols), bit["land"], "u4")
        flags[:, : cols // 4] |= np.uint32(bit["bright"] | bit["straylight_risk"])
        flags[: rows // 8] |= np.uint32(bit["invalid"] | bit["bright"])
        flags[-rows // 8 :] |= np.uint32(bit["sun-glint_risk"])
        made = file.create_dataset("quality_flags", data=flags, **packed)
        made.attrs["flag_masks"] = np.array(list(bit.values()), "u4")
        made.attrs["flag_meanings"] = " ".join(FLAGS)
    for i, band in enumerate(bands):
        with h5py.File(out[band], "w") as file:
            data = np.round((50 + i + 10 * (at_lat - lat)) / 0.01).astype("u2")
            data[rows // 2, cols // 2] = 65535
            made = file.create_dataset(f"{band}_radiance", data=data, **packed)
            made.attrs["scale_factor"], made.attrs["add_offset"] = np.float32(0.01), np.float32(0)
            made.attrs["_FillValue"], made.attrs["units"] = np.uint16(65535), "mW.m-2.sr-1.nm-1"
    return out


class Counted:
    """What a server was asked for."""

    def __init__(self) -> None:
        self.requests = 0
        self.bytes = 0
        self.ranges: list[tuple[str, int, int]] = []
        self.lock = threading.Lock()


@contextlib.contextmanager
def counting(folder: Path, delay_s: float = 0.0, per_s: float = 1e12) -> Iterator[tuple[str, Counted]]:
    """URL of a server of a folder's files by range, and what it was asked for so far.

    Each answer is `delay_s` late, and takes as long as if it came by `per_s` bytes a second.
    """
    counted = Counted()

    def answer(request: Request) -> None:
        path = folder / request.path.lstrip("/").partition("?")[0]
        size, mark = path.stat().st_size, f'"{path.stat().st_mtime_ns}"'
        first, last = (int(v) for v in request.headers["Range"].removeprefix("bytes=").split("-"))
        last = min(last, size - 1)
        with path.open("rb") as file:
            file.seek(first)
            data = file.read(last - first + 1)
        time.sleep(delay_s + len(data) / per_s)
        with counted.lock:
            counted.requests += 1
            counted.bytes += len(data)
            counted.ranges.append((path.name, first, last + 1))
        request.send(206, data, Content_Range=f"bytes {first}-{last}/{size}", ETag=mark)

    with serving(answer) as url:
        yield url, counted
