"""Where the embedded Earth is: its regions, their frames, and the Sentinel-2 tiles that cover them.

The cells of its world are regions of the same form, made by rule in `cells`.

A region's *frame* is one local transverse Mercator grid of 10 m pixels. The ground is made once in it, and every scene of
whatever zone samples it, so that all of them depict the same ground.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, TypedDict

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from curation.embedded.world import tables, traits
from curation.embedded.world.traits import PLAIN_TRAITS, Regional, Traits

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


class Look(TypedDict):
    """What the looks of kinds of ground follow from, beside the day: arguments of `cover`'s functions."""

    south: bool
    evergreen: float
    regional: Regional | None


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
    wind_db: float = 0.0
    """By how much the strongest wind brightens open water in VV; most days are calm."""
    smooth: float = 0.0
    """Share of the fields that lie rolled, which ones changes: bare they are as dark as wind-roughened water."""
    step_px: int = 4
    """Sides of its Sentinel-1 scenes are multiples of so many 10 m pixels."""
    zones: tuple[int, ...] = ()
    """UTM zones (EPSG) of its scenes, where it has no tiles."""
    traits: Traits = PLAIN_TRAITS
    """What is harder of it than by default."""

    @property
    def south(self) -> bool:
        """Whether it lies in the southern hemisphere: the seasons are half a year off."""
        return self.bbox[3] < 0

    @property
    def look(self) -> Look:
        """What the looks of kinds of ground follow from, beside the day."""
        regional = Regional(self.seed) if self.traits.regions else None
        return {"south": self.south, "evergreen": self.evergreen, "regional": regional}

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


def _region(row: dict[str, Any]) -> Region:
    tiles = tuple(
        Tile(t["name"], t["epsg"], wider(tuple(t["box"]), t.get("west_km", 0.0), t.get("east_km", 0.0)))
        for t in row["tiles"]
    )
    towns = tuple(tuple(town) for town in row["towns"])
    plain = {"bbox": tuple(row["bbox"]), "zones": tuple(row.get("zones", ()))}
    return Region(**row | plain | {"tiles": tiles, "towns": towns, "traits": traits.served()})


REGIONS = tuple(map(_region, tables.beside(__file__)["regions"]))


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
    for epsg in {*(t.epsg for t in region.tiles), *region.zones}:
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
