"""The footprint of a STAC item: a valid shape on the globe, whichever way it is stated. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
import shapely.affinity
from shapely.geometry.base import BaseGeometry

from curation.places import antimeridian


def read(geometry: Any, *, may_hold_a_pole: bool = False) -> BaseGeometry:
    """A valid shape within 180°W to 180°E, in two parts where it runs across the antimeridian.

    Items state such a footprint in two parts, or with longitudes that run on (181), or as a ring folded over the globe
    (179, -179), which would seem to hold every place of its latitudes. That of an orbit may hold a pole and be as wide as it
    is drawn: it is both, since reading an orbit that does not reach a place costs little, and leaving one out is a loss.

    Raises:
        Exception: of whatever kind, where it is none, is not finite, or covers nothing: what an item says may be anything.
    """
    parts = []
    whole = geometry if isinstance(geometry, shapely.Geometry) else shapely.geometry.shape(geometry)
    if shapely.is_empty(whole) or not np.isfinite(shapely.get_coordinates(whole)).all():
        raise ValueError("its geometry is empty or not finite")
    stated = shapely.get_parts(whole)
    if may_hold_a_pole:
        wide = antimeridian.width_deg(stated) > 180
        drawn = shapely.intersection(shapely.make_valid(stated[wide]), shapely.box(-180, -90, 180, 90))
        parts += drawn.tolist()
        stated[wide] = antimeridian.run_on(stated[wide])
    for part in antimeridian.unfolded(stated):
        part = part if part.is_valid else shapely.make_valid(part)
        if _within(part):
            parts.append(part)
            continue
        for turn in (-360, 0, 360):
            inside = shapely.affinity.translate(part, turn).intersection(shapely.box(-180, -90, 180, 90))
            if inside.area > 0:
                parts.append(inside)
    found = parts[0] if len(parts) == 1 else shapely.union_all(parts)
    if found.is_empty or not found.area:
        raise ValueError("its geometry covers nothing on the globe")
    return found


def _within(shape: BaseGeometry) -> bool:
    west, _, east, _ = shape.bounds
    return bool(west >= -180 and east <= 180)
