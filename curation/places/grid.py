"""Where pixels are: zones, grids and ids. No I/O.

A location's grid lies in the MGRS zone of its centre, its north-west corner where Sentinel-2's 60 m pixels have theirs, so
that the 10, 20 and 60 m bands of a scene of the same zone begin there with a whole pixel each and are cropped, never
resampled. Its side may be of any length: pixels that do not divide it reach beyond it in the south and in the east, so that
arrays of all sizes of pixel have one first corner, and none wants an offset.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Geod, Transformer

from curation.errors import ConfigError
from curation.model import Location
from curation.recipe.footprint import pixels_across

STEP_M = 60
"""Sentinel-2's coarsest pixel: north-west corners lie on multiples of it (plus the southern offset)."""

SOUTH_OFFSET_M = 40
"""South of the equator y lies on 40 (mod 60): the false northing is 10,000,000 m, and 10,000,000 mod 60 = 40."""

MIN_LAT, MAX_LAT = -80.0, 84.0
"""UTM's own limits (MGRS, NGA.STND.0037): beyond them the grid is polar stereographic, which Sentinel-2 does not use."""


def zone(lon: float, lat: float) -> int:
    """The MGRS zone (1 to 60) of a point, with the exceptions of Norway (32V) and Svalbard (31X to 37X).

    Raises:
        ConfigError: the point lies beyond UTM's limits (80°S, 84°N).
    """
    if not MIN_LAT <= lat < MAX_LAT:
        raise ConfigError(
            f"latitude {lat:.4f}: no UTM zone there, expected {MIN_LAT:g} <= lat < {MAX_LAT:g}; "
            "Sentinel-2 has no UTM scenes beyond, so such places cannot be built"
        )
    lon = (lon + 180.0) % 360.0 - 180.0
    lon = lon if lon < 180.0 else -180.0  # the remainder of a tiny negative number rounds to 360
    if 56 <= lat < 64 and 3 <= lon < 12:
        return 32
    if lat >= 72 and 0 <= lon < 42:
        return 31 if lon < 9 else 33 if lon < 21 else 35 if lon < 33 else 37
    return int((lon + 180) // 6) + 1


def utm_epsg(lon: float, lat: float) -> int:
    """EPSG code of the UTM zone of a point (326xx north, 327xx south). Raises as `zone` does."""
    return (32600 if lat >= 0 else 32700) + zone(lon, lat)


@functools.lru_cache(maxsize=1024)
def transformer(src: int | str, dst: int | str) -> Transformer:
    """A cached lon/lat-ordered transformer between two CRSs."""
    return Transformer.from_crs(src, dst, always_xy=True)


def snapped(lon: float, lat: float, size_m: float) -> tuple[int, float, float]:
    """EPSG, west and north edge of the snapped grid of side `size_m` whose centre is nearest to a point.

    Its north-west corner lies on the lattice of 60 m; so do the others where `size_m` is a multiple of that.

    Raises:
        ConfigError: `size_m` is not positive, or the point has no zone.
    """
    if not size_m > 0:
        raise ConfigError(f"grid of {size_m:g} m: expected a positive size in metres")
    epsg = utm_epsg(lon, lat)
    x, y = transformer(4326, epsg).transform(lon, lat)
    base = SOUTH_OFFSET_M if epsg >= 32700 else 0
    west = round((x - size_m / 2) / STEP_M) * STEP_M
    whole = covered_m(size_m, STEP_M)
    south = round((y - (whole - size_m / 2) - base) / STEP_M) * STEP_M + base
    return epsg, float(west), float(south + whole)


def covered_m(size_m: float, step_m: float) -> float:
    """Side of the square of whole pixels of side `step_m` that covers a footprint of side `size_m`."""
    return pixels_across(size_m, step_m) * step_m


def location_id(epsg: int, x0_m: float, y0_m: float, size_m: float) -> str:
    """The id that follows from a UTM grid: zone, hemisphere, west and south edge (`utm32n-501360-5629020`)."""
    south = y0_m - size_m
    if not (32601 <= epsg <= 32660 or 32701 <= epsg <= 32760):
        return f"epsg{epsg}-{_number(x0_m)}-{_number(south)}"
    return f"utm{epsg % 100:02d}{'n' if epsg < 32700 else 's'}-{_number(x0_m)}-{_number(south)}"


def _number(value: float) -> str:
    return f"{value:.10g}".replace(".", "p").replace("-", "m")


def geobox(location: Location, step: float) -> GeoBox:
    """The location's pixels, `step` units of its CRS wide: a square north-up GeoBox from its north-west corner.

    Of as many whole pixels as it takes: where they do not divide its side, the last ones reach beyond it.
    """
    n = pixels_across(location.size_m, step)
    affine = Affine(step, 0, location.x0_m, 0, -step, location.y0_m)
    return GeoBox((n, n), affine, f"EPSG:{location.epsg}")


def pixel_m(location: Location, step: float) -> tuple[float, float]:
    """Height and width, in metres, of a pixel `step` units of the location's CRS wide, at its centre.

    In degrees by the radii of curvature of the WGS 84 ellipsoid (Snyder 1987, equations 4-18 and 4-20).
    """
    if location.epsg != 4326:
        return step, step
    a, e2, phi = 6_378_137.0, 6.69437999014e-3, math.radians(location.lat)
    w = math.sqrt(1 - e2 * math.sin(phi) ** 2)
    north, east = a * (1 - e2) / w**3, a * math.cos(phi) / w
    return math.radians(step) * north, math.radians(step) * east


def ground_axes(location: Location, step: float) -> NDArray[np.float64]:
    """How pixels of a location lie on the ground: (row, 2, 2), metres east and north of one column and of one row on.

    By geodesics of the WGS 84 ellipsoid between the edges of each row's middle pixel, whatever the CRS: the scale of UTM and
    of Web Mercator is in it, the narrowing of degrees towards the poles, and that a grid's north is not true north. Across
    a row it is taken as constant: on 10 km, the largest footprint, UTM's scale differs by less than 1e-4.
    """
    n = pixels_across(location.size_m, step)
    x = np.full(n, location.x0_m + n // 2 * step + step / 2)
    y = location.y0_m - (np.arange(n) + 0.5) * step
    to_lonlat, geod = transformer(location.epsg, 4326), Geod(ellps="WGS84")
    out = np.empty((n, 2, 2))
    for axis, (dx, dy) in enumerate(((step / 2, 0), (0, -step / 2))):
        first, last = to_lonlat.transform(x - dx, y - dy), to_lonlat.transform(x + dx, y + dy)
        azimuth, _, metres = geod.inv(*first, *last)
        out[:, axis] = np.column_stack([np.sin(np.radians(azimuth)), np.cos(np.radians(azimuth))]) * metres[:, None]
    return out


@functools.lru_cache(maxsize=1024)  # each source of a patch asks for it
def footprint(location: Location, points_per_side: int = 5) -> shapely.Polygon:
    """The outline of a location in lon/lat.

    Sides are densified, since a straight side in UTM is curved in lon/lat. Across the antimeridian longitudes run on
    (179.9, 180.1), so that the ring never folds over the globe.
    """
    x0, y1, s = location.x0_m, location.y0_m, location.size_m
    t = np.linspace(0, 1, points_per_side, endpoint=False)
    x = np.concatenate([x0 + s * t, np.full_like(t, x0 + s), x0 + s - s * t, np.full_like(t, x0)])
    y = np.concatenate([np.full_like(t, y1), y1 - s * t, np.full_like(t, y1 - s), y1 - s + s * t])
    lon, lat = transformer(location.epsg, 4326).transform(x, y)
    lon = location.lon + (np.asarray(lon) - location.lon + 180.0) % 360.0 - 180.0
    return shapely.Polygon(np.column_stack([lon, lat]))


def ground(location: Location) -> shapely.Polygon:
    """The outline, as `footprint` has it, of all ground that pixels of up to 60 m cover: these may reach beyond it."""
    if location.epsg == 4326:
        return footprint(location)
    return footprint(dataclasses.replace(location, size_m=covered_m(location.size_m, STEP_M)))


def side_m(location: Location) -> float:
    """Side of the location's footprint, metres: the mean of its height and width where that is in degrees."""
    return sum(pixel_m(location, location.size_m)) / 2


def offset_px(location: Location, transform: Affine, epsg: int | None, step: float) -> tuple[int, int] | None:
    """Column and row of the location's first pixel in a scene, where it is an exact crop of it; else None.

    An exact crop wants the scene in the location's CRS, north up, with the same pixel size, and corners that agree to a
    ten-thousandth of a pixel (float32 geotransforms of published files disagree by less than 0.1 mm).
    """
    if epsg != location.epsg or transform.b or transform.d:
        return None
    if not (math.isclose(transform.a, step, rel_tol=1e-9) and math.isclose(transform.e, -step, rel_tol=1e-9)):
        return None
    col, row = (location.x0_m - transform.c) / step, (transform.f - location.y0_m) / step
    if abs(col - round(col)) > 1e-4 or abs(row - round(row)) > 1e-4:
        return None
    return round(col), round(row)
