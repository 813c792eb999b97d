"""Products without a date: GLO-30 and WorldCover, cut to the regions on the pixels of the real tiles.

For the cells of the world there are whole tiles of GLO-30 (`terrain`), and no WorldCover.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import floor

from curation.embedded.world import cells, terrain
from curation.embedded.world.grids import Grid, degree_grid
from curation.embedded.world.regions import REGIONS, Region, whole

ARCSEC = 1 / 3600
LON_FACTORS = ((85, 10.0), (80, 5.0), (70, 3.0), (60, 2.0), (50, 1.5), (0, 1.0))
"""From which latitude on GLO-30's pixels are how many times wider than high, in degrees (its readme on AWS)."""

WC_PX = 1 / 12_000
WC_VERSIONS = {"1.0.0": (2020, "v100"), "2.0.0": (2021, "v200")}
"""WorldCover's product version: its year and its name in ids."""


@dataclass(frozen=True, slots=True)
class Product:
    """One file."""

    id: str
    region: Region | None
    """What it depicts; None for the world's terrain."""
    grid: Grid
    name: str
    """Of its tile."""
    version: str
    """WorldCover's product version; empty for elevation."""


def _corner_name(lon: int, lat: int) -> tuple[str, str]:
    return f"{'N' if lat >= 0 else 'S'}{abs(lat):02d}", f"{'E' if lon >= 0 else 'W'}{abs(lon):03d}"


def _corners(region: Region, size: int) -> list[tuple[int, int]]:
    w, s, e, n = whole(region)
    lons = range(floor(w / size) * size, floor(e / size) * size + 1, size)
    lats = range(floor(s / size) * size, floor(n / size) * size + 1, size)
    return [(lon, lat) for lon in lons for lat in lats]


@cache
def elevation_products() -> tuple[Product, ...]:
    """GLO-30 tiles of one degree; east-west pixels are wider from 50° on, and pixel centres lie on the degree lines."""
    out = []
    for region in REGIONS:
        for lon, lat in _corners(region, 1):
            wide = 1.5 if max(abs(lat), abs(lat + 1)) > 50 else 1.0
            grid = degree_grid(region, (lon, lat), 1, wide * ARCSEC, ARCSEC, 0.5)
            if grid is not None:
                ns, ew = _corner_name(lon, lat)
                out.append(Product(f"Copernicus_DSM_COG_10_{ns}_00_{ew}_00_DEM", region, grid, f"{ns}_00_{ew}_00", ""))
    return tuple(out)


def lon_factor(lat: int) -> float:
    """How many times wider than high (in degrees) the pixels are of the GLO-30 tile whose south edge is at a latitude."""
    nearer = max(lat, -lat - 1)  # its edge nearer to the equator
    return next(factor for limit, factor in LON_FACTORS if nearer >= limit)


def tile_grid(lon: int, lat: int) -> Grid:
    """The whole GLO-30 tile of a south-west corner: pixel centres on the degree lines, the north and west ones included."""
    dx = lon_factor(lat) * ARCSEC
    return Grid(4326, lon - dx / 2, lat + 1 + ARCSEC / 2, dx, ARCSEC, 3600, round(1 / dx))


@cache
def world_elevation() -> tuple[Product, ...]:
    """The whole GLO-30 tiles that the cells touch, without those that are wholly sea."""
    corners = set()
    for cell in cells.cells():
        w, s, e, n = cell.region.bbox
        corners |= {
            ((lon + 180) % 360 - 180, lat)
            for lon in range(floor(w), floor(e) + 1)
            for lat in range(floor(s), floor(n) + 1)
        }
    out = []
    for lon, lat in sorted(corners):
        grid = tile_grid(lon, lat)
        if not terrain.is_sea(grid):
            ns, ew = _corner_name(lon, lat)
            out.append(Product(f"Copernicus_DSM_COG_10_{ns}_00_{ew}_00_DEM", None, grid, f"{ns}_00_{ew}_00", ""))
    return tuple(out)


@cache
def worldcover_products() -> tuple[Product, ...]:
    """WorldCover tiles of three degrees, of both years."""
    out = []
    for version, (year, name) in WC_VERSIONS.items():
        for region in REGIONS:
            for lon, lat in _corners(region, 3):
                grid = degree_grid(region, (lon, lat), 3, WC_PX, WC_PX, 0.0)
                if grid is not None:
                    tile = "".join(_corner_name(lon, lat))
                    out.append(Product(f"ESA_WorldCover_10m_{year}_{name}_{tile}", region, grid, tile, version))
    return tuple(out)
