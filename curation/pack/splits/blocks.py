"""Split blocks on the sphere, of which some are val. Pure: a function of footprints, whatever drew them.

The sphere is cut into bands of `block_deg` of latitude from the south pole up, each band into
`round(360 cos(lat) / block_deg)` blocks of equal longitude (`lat`: the band's middle), so that blocks are about square on
the ground everywhere. A footprint whose centre lies in a block is of its side: a block is `val` where a hash of seed and
block falls under `val_fraction`, else `train`.

Only train footprints are given up for the buffer: every footprint with its centre in a val block stays `val`, and may
reach beyond its block. So a train footprint is `buffer` where its centre is nearer to any val block than twice the farthest
that a footprint reaches from its centre, and `buffer_km` more. Then there are `buffer_km` of ground between any train and
any val footprint: none shares ground with one of the other side, in whatever zones they lie. Distances are on a sphere of
the Earth's mean radius, across the antimeridian and the poles alike.

What is split are samples: the children of an ERA5 cell are of its side, whichever block their own centre lies in.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from curation.errors import ConfigError
from curation.pack.sides import BUFFER, TRAIN, VAL, Rule
from curation.places import era5_cells
from curation.places.domains import block
from curation.places.grids import Floats, Ints
from curation.places.locations import Locations
from curation.places.nearby import EARTH_RADIUS_KM, arc
from curation.places.reach import reach_km
from curation.recipe.footprint import CELL_DEG, GridSpec
from curation.recipe.places import CELL_SAMPLER
from curation.recipe.schema import Recipe
from curation.recipe.strict import Fraction


class Blocks(Rule):
    """By split blocks on the sphere, of which some are val."""

    rule: Literal["blocks"] = "blocks"
    val_fraction: Fraction = 0.05
    block_deg: float = Field(default=1.0, gt=0, le=30)
    """Side of a split block, degrees of latitude (and about as much on the ground east to west)."""

    @property
    def two_sides(self) -> bool:
        """Whether there may be both train and val."""
        return 0 < self.val_fraction < 1

    def sides(self, places: Locations, recipe: Recipe) -> NDArray[np.str_]:
        """`train`, `val` or `buffer` of each place, root or child, by the centre of its own footprint.

        It follows from recipe and place alone, so that it is the same whenever and of however few places it is asked.

        Raises:
            ConfigError: as `splits_of` does.
        """
        lon, lat, footprint = places.column("lon"), places.column("lat"), recipe.grid
        if recipe.places.sampler == CELL_SAMPLER:  # a child lies within its cell, whose side it is of
            lon, lat = era5_cells.nodes(era5_cells.numbers_at(lon, lat))
            footprint = GridSpec(size_deg=CELL_DEG)
        return splits_of(lon, lat, recipe.seed, self, reach_km(footprint))


def splits_of(lon: Floats, lat: Floats, seed: int, spec: Blocks, reach_km: float) -> NDArray[np.str_]:
    """`train`, `val` or `buffer` of each footprint by its centre in degrees, as `<U6` of the centres' shape.

    A block holds its west and south edges; longitudes may run beyond ±180.

    Args:
        lon: of centres.
        lat: likewise.
        seed: of the recipe.
        spec: its rule.
        reach_km: no footprint of either side reaches farther from its centre; 0 for points.

    Raises:
        ConfigError: a centre is not on the sphere (not finite, or a latitude beyond ±90).
    """
    lon, lat = np.asarray(lon, dtype=np.float64), np.asarray(lat, dtype=np.float64)
    bad = ~(np.isfinite(lon) & (np.abs(lat) <= 90))
    if bad.any():
        k = int(np.flatnonzero(bad)[0])
        raise ConfigError(f"point {k}: lon {lon.flat[k]}, lat {lat.flat[k]}: expected degrees, with -90 <= lat <= 90")
    east, band, column = block.at(lon, lat, spec.block_deg)
    blocks = _Blocks(seed, spec, 2 * reach_km + spec.buffer_km)
    out = np.where(blocks.are_val(band, column), VAL, TRAIN).astype("<U6")
    if blocks.apart_km > 0 and 0 < spec.val_fraction < 1:
        train = out == TRAIN
        near = _near_val(east[train], lat[train], band[train], blocks)
        out[train] = np.where(near, BUFFER, TRAIN)
    return out


class _Blocks:
    """Which blocks of a split are val; each is hashed once, however many points are near it."""

    def __init__(self, seed: int, spec: Blocks, apart_km: float) -> None:
        self.seed, self.spec = seed, spec
        self.apart_km = apart_km
        """What a train centre keeps from them."""
        self._val: dict[int, bool] = {}

    def are_val(self, band: Ints, column: Ints) -> NDArray[np.bool_]:
        """Whether blocks are val, as bool of the bands' shape."""
        key = band * (1 << 32) + column
        distinct, where = np.unique(key, return_inverse=True)
        keys: list[int] = distinct.tolist()
        for k in keys:
            if k not in self._val:
                self._val[k] = block.share(self.seed, k >> 32, k & 0xFFFFFFFF) < self.spec.val_fraction
        val = np.array([self._val[k] for k in keys], dtype=bool)
        return val[where].reshape(key.shape)


def _near_val(east: Floats, lat: Floats, band: Ints, blocks: _Blocks) -> NDArray[np.bool_]:
    """Whether centres (degrees east of the antimeridian, latitude) are nearer to a val block than they may be."""
    spec = blocks.spec
    reach = math.degrees(blocks.apart_km / EARTH_RADIUS_KM)
    steps = math.ceil(reach / spec.block_deg)
    near = np.zeros(lat.shape, dtype=bool)
    for step in range(-steps, steps + 1):
        other = band + step
        todo = np.flatnonzero((other >= 0) & (other < block.bands(spec.block_deg)) & ~near)
        near[todo] = _near_val_in(east[todo], lat[todo], other[todo], reach, blocks)
    return near


def _near_val_in(east: Floats, lat: Floats, band: Ints, reach: float, blocks: _Blocks) -> NDArray[np.bool_]:
    """`_near_val` for the val blocks of one band per point."""
    spec = blocks.spec
    near = np.zeros(lat.shape, dtype=bool)
    if not len(lat):
        return near
    columns = block.columns(band, spec.block_deg)
    width = 360.0 / columns
    home = np.minimum((east / width).astype(np.int64), columns - 1)
    # Columns to either side that the circle of the buffer can reach; around a pole it reaches them all.
    offsets = np.minimum(np.ceil(_lon_reach(lat, reach) / width).astype(np.int64), columns // 2)
    south, north = block.edges(band, spec.block_deg)
    for offset in range(-int(offsets.max()), int(offsets.max()) + 1):
        todo = np.flatnonzero((abs(offset) <= offsets) & ~near)
        column = (home[todo] + offset) % columns[todo]
        todo, column = (values[blocks.are_val(band[todo], column)] for values in (todo, column))
        west = column * width[todo]
        km = distance_km(east[todo], lat[todo], west, south[todo], width[todo], north[todo])
        near[todo] = km < blocks.apart_km
    return near


def _lon_reach(lat: Floats, reach: float) -> Floats:
    """Largest difference in longitude between a point and one within `reach` of it, degrees."""
    beyond = np.abs(lat) + reach >= 90.0
    ratio = np.sin(np.radians(min(reach, 90.0))) / np.cos(np.radians(np.where(beyond, 0.0, lat)))
    return np.where(beyond, 180.0, np.degrees(np.arcsin(np.minimum(1.0, ratio))))


def distance_km(lon: Floats, lat: Floats, west: Floats, south: Floats, width: Floats, north: Floats) -> Floats:
    """Distance on the sphere from points to blocks (west edge, south edge, width, north edge; degrees); 0 inside."""
    past = (lon - west) % 360.0
    # Along a parallel distance grows with the difference in longitude, so the nearest point is on the nearer meridian edge.
    apart = np.where(past <= width, 0.0, np.minimum(past - width, 360.0 - past))
    dlon, phi = np.radians(apart), np.radians(lat)
    low, high = np.radians(south), np.radians(north)
    # Of the edge, which is a great circle, the foot of the perpendicular or an end.
    foot = np.arctan2(np.sin(phi), np.cos(phi) * np.cos(dlon))
    ends = [low, high, np.clip(foot, low, high)]
    nearest: Floats = np.minimum.reduce([arc(phi, end, dlon) for end in ends])
    return EARTH_RADIUS_KM * nearest
