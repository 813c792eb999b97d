"""Where the embedded Earth is: its two regions, their frames, and the Sentinel-2 tiles that cover them.

The cells of its world are regions of the same form, made by rule in `cells`.

A region's *frame* is one local transverse Mercator grid of 10 m pixels. The ground is made once in it, and every scene of
whatever zone samples it, so that all of them depict the same ground.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

FRAME_RES_M = 10
"""Pixel size of a frame."""

MARGIN_M = 2_000
"""How far scenes reach beyond a region's box, so that patches whose centre lies at its edge are covered."""

BBox = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Tile:
    """A Sentinel-2 tile: an MGRS name, its UTM zone, and the part of the region that it covers."""

    name: str
    """MGRS tile without the leading T."""
    epsg: int
    box: BBox
    """West, south, east, north in degrees; the tile is the UTM rectangle around it."""
    step_px: int = 12
    """Its sides are multiples of so many 10 m pixels."""


@dataclass(frozen=True, slots=True)
class Region:
    """One region of the Earth."""

    name: str
    seed: int
    bbox: BBox
    """West, south, east, north in degrees: where places are drawn."""
    tiles: tuple[Tile, ...]
    towns: tuple[tuple[float, float, float, float], ...]
    """Longitude, latitude, radius in km, and density at the centre (1 is wholly built)."""
    villages: int
    base_m: float
    """Height of the valley floor above the geoid."""
    relief_m: float
    """Height of the hills above it."""
    forest: float
    """Share of the open land that is forest."""
    river_m: float
    """Width of the main river."""
    evergreen: float
    """0: vegetation follows the seasons; 1: it is green all year."""
    step_px: int = 4
    """Sides of its Sentinel-1 scenes are multiples of so many 10 m pixels."""

    @property
    def south(self) -> bool:
        """Whether it lies in the southern hemisphere: the seasons are half a year off."""
        return self.bbox[3] < 0

    @property
    def index(self) -> int:
        """Its place in `REGIONS`."""
        return REGIONS.index(self)


def wider(bbox: BBox, west_km: float = 0.0, east_km: float = 0.0) -> BBox:
    """The box with the margin around it, and with more in the west and east."""
    w, s, e, n = bbox
    lat = np.radians((s + n) / 2)
    dlon, dlat = 1 / (111_320 * float(np.cos(lat))), 1 / 110_900
    return (
        w - (MARGIN_M + 1000 * west_km) * dlon,
        s - MARGIN_M * dlat,
        e + (MARGIN_M + 1000 * east_km) * dlon,
        n + MARGIN_M * dlat,
    )


_RHINE: BBox = (5.78, 51.14, 6.24, 51.48)
_PAULO: BBox = (-46.78, -23.72, -46.46, -23.42)

REGIONS = (
    Region(
        "lower-rhine",
        seed=11,
        bbox=_RHINE,
        tiles=(
            # As real tiles do, each goes some way over the zone's edge at 6°E, where places have a scene of either zone.
            Tile("31UGS", 32631, wider((5.78, 51.14, 6.0, 51.48), east_km=8)),
            Tile("32ULB", 32632, wider((6.0, 51.14, 6.24, 51.48), west_km=8)),
        ),
        towns=(
            (6.165, 51.368, 2.6, 1.15),
            (5.985, 51.192, 2.2, 1.1),
            (5.845, 51.405, 1.5, 1.0),
            (6.085, 51.262, 1.0, 0.95),
            (5.905, 51.285, 0.9, 0.95),
            (6.02, 51.44, 0.8, 0.9),
        ),
        villages=34,
        base_m=22.0,
        relief_m=190.0,
        forest=0.24,
        river_m=130.0,
        evergreen=0.0,
    ),
    Region(
        "sao-paulo",
        seed=23,
        bbox=_PAULO,
        tiles=(Tile("23KLP", 32723, wider(_PAULO)),),
        towns=(
            (-46.645, -23.575, 7.5, 1.25),
            (-46.535, -23.47, 3.0, 1.1),
            (-46.72, -23.52, 3.0, 1.0),
            (-46.55, -23.67, 3.2, 1.1),
        ),
        villages=26,
        base_m=722.0,
        relief_m=380.0,
        forest=0.46,
        river_m=60.0,
        evergreen=0.75,
    ),
)


def by_name(name: str) -> Region:
    """The region of that name."""
    return next(r for r in REGIONS if r.name == name)


@dataclass(frozen=True, slots=True)
class Frame:
    """The one metric grid that a region's ground is made in."""

    crs: str
    """PROJ text."""
    half_w: int
    """Half its width, in pixels."""
    half_h: int
    """Half its height, in pixels."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return 2 * self.half_h, 2 * self.half_w

    def pixel(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Fractional row and column (a pixel's centre is at .5) of frame coordinates in metres."""
        return self.half_h - y / FRAME_RES_M, self.half_w + x / FRAME_RES_M


@cache
def transformer(source: str, target: str) -> pyproj.Transformer:
    """A transformer between two CRS, x before y."""
    return pyproj.Transformer.from_crs(source, target, always_xy=True)


def projected(
    shape: shapely.geometry.base.BaseGeometry, source: str, target: str
) -> shapely.geometry.base.BaseGeometry:
    """The shape with its points in another CRS."""
    convert = transformer(source, target)

    def points(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack(convert.transform(xy[:, 0], xy[:, 1]), axis=1)

    return shapely.transform(shape, points)


@cache
def frame(region: Region) -> Frame:
    """The region's frame: large enough for every grid that `grids` lays over it."""
    w, s, e, n = region.bbox
    crs = f"+proj=tmerc +lat_0={(s + n) / 2} +lon_0={(w + e) / 2} +k=1 +x_0=0 +y_0=0 +datum=WGS84 +units=m"
    far_x, far_y = 0.0, 0.0
    whole = wider(region.bbox)
    for epsg in {t.epsg for t in region.tiles}:
        # The whole region's rectangle in each zone (as Sentinel-1 scenes have it), turned against the frame.
        x, y = transformer(f"EPSG:{epsg}", crs).transform(*_corners(utm_box(whole, epsg)))
        far_x, far_y = max(far_x, *np.abs(x)), max(far_y, *np.abs(y))
    return Frame(crs, int(far_x // 160 + 3) * 16, int(far_y // 160 + 3) * 16)


def _corners(box: BBox) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    w, s, e, n = box
    return np.array([w, e, e, w]), np.array([n, n, s, s])


def utm_box(box: BBox, epsg: int) -> BBox:
    """Metres west, south, east, north of the UTM rectangle around a box in degrees."""
    ring = shapely.segmentize(shapely.box(*box), 0.02).exterior
    w, s, e, n = projected(ring, "EPSG:4326", f"EPSG:{epsg}").bounds
    return w, s, e, n


def whole(region: Region) -> BBox:
    """Degrees of the region with its margin."""
    return wider(region.bbox)
