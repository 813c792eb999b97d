"""Which points of the globe lie near which others. Pure."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from curation.places.grids import Floats, Ints

EARTH_RADIUS_KM = 6371.0088
"""Mean radius (IUGG)."""


class Nearby:
    """Points, found by where they are: across the antimeridian and around the poles, too."""

    def __init__(self, lon: Floats, lat: Floats) -> None:
        """Takes degrees, -180 <= lon <= 180."""
        self._tree = shapely.STRtree(np.asarray(shapely.points(np.column_stack([lon, lat])), object))
        self._unit = unit(lon, lat)

    def pairs(self, lon: Floats, lat: Floats, angle: float) -> tuple[Ints, Ints]:
        """Each pair of a given point and one of these that are no more than `angle` radians apart, once, in no order.

        Args:
            lon: degrees, -180 <= lon <= 180.
            lat: degrees.
            angle: up to π.

        Returns:
            Numbers of the given points, and of these.
        """
        # The box around all that is as near: nearer to a pole than `angle` it goes all around.
        phi, margin = np.radians(lat), 1e-9
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = np.degrees(np.arcsin(np.sin(angle) / np.cos(phi))) + margin
        around = np.abs(phi) + angle >= np.pi / 2
        reach, up = np.where(around, 180.0, reach), np.degrees(angle) + margin
        found = [np.empty((2, 0), np.int64)]
        for turn in (-360.0, 0.0, 360.0):
            west, east = lon - reach + turn, lon + reach + turn
            rows = np.flatnonzero((east >= -180.0) & (west <= 180.0))
            theirs, these = self._tree.query(shapely.box(west[rows], lat[rows] - up, east[rows], lat[rows] + up))
            found.append(np.stack([rows[theirs], these]))
        theirs, these = np.concatenate(found, axis=1)
        chord = 2 * np.sin(min(angle, np.pi) / 2)
        near = ((unit(lon, lat)[theirs] - self._unit[these]) ** 2).sum(axis=1) <= chord**2
        # Two turns of one box meet in a meridian, and at 180° and -180° a point lies in both.
        key = np.unique(theirs[near] * len(self._unit) + these[near])
        return key // max(len(self._unit), 1), key % max(len(self._unit), 1)


def nearest(lon: Floats, lat: Floats, of_lon: Floats, of_lat: Floats, within: float = np.pi) -> Floats:
    """Angle from each point to the nearest of others, radians, infinite where none is within so many; in degrees all."""
    if not len(of_lon) or not len(lon):
        return np.full(len(lon), np.inf)
    most = 2 * np.sin(min(within, np.pi) / 2) * (1 + 1e-9)  # what is nearer than a bound has to be less
    chord = cKDTree(unit(of_lon, of_lat)).query(unit(lon, lat), distance_upper_bound=most + 1e-15)[0]
    angle: Floats = np.where(np.isfinite(chord), 2 * np.arcsin(np.minimum(chord / 2, 1.0)), np.inf)
    return angle


def crowded(lon: Floats, lat: Floats, angle: float, most: int) -> bool:
    """Whether about more than `most` pairs of points lie within `angle` radians: by how many share a cell of that side."""
    cells = np.floor(unit(lon, lat) / angle).astype(np.int64)
    counts = np.unique(cells, axis=0, return_counts=True)[1]
    return bool(np.pi * (counts * (counts - 1) // 2).sum() > most)


def unit(lon: Floats, lat: Floats) -> NDArray[np.float64]:
    """Points on the unit sphere (n, 3)."""
    lam, phi = np.radians(lon), np.radians(lat)
    return np.column_stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)])


def arc(phi: Floats, other: Floats, dlon: Floats) -> Floats:
    """Angle between points of two latitudes, radians (haversine, exact for small angles)."""
    h = np.sin((phi - other) / 2) ** 2 + np.cos(phi) * np.cos(other) * np.sin(dlon / 2) ** 2
    angle: Floats = 2.0 * np.arcsin(np.sqrt(np.minimum(1.0, h)))
    return angle
