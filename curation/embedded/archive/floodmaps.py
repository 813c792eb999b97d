"""What was mapped of the embedded Earth's floods, as a service of rapid mapping would give it: `python -m` writes the files.

`events.geojson` is the table of events: of each its area, date, country and climate. `maps/` has a file per map, called by
event, version and when the image was taken that it was drawn on (`ev101_v1_20211115T053000Z.geojson`). It holds the area
(`area`), what is under water there (`flood`), and rivers and lakes of the map of the year (`permanent`). As in real products
some are no valid polygons: a spike without an area sticks out of them. A later version shows the water of its own image.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray

from curation.embedded.world import floods, ground
from curation.embedded.world.floods import FLOODS, Flood
from curation.embedded.world.ground import Ground
from curation.embedded.world.regions import FRAME_RES_M, Region, by_name, frame, projected

EVENTS, MAPS = "events.geojson", "maps"

PERMANENT_SOURCE, PERMANENT_YEAR = "embedded map of waters", 2021

LEAST_M2 = 10_000.0
"""What is smaller is not mapped: a hectare, of which rapid mapping leaves out what is less."""

_STRAY_M = 15.0
"""How far outlines may lie from edges of pixels: drawn by hand, with few points."""

_EVERY = 9
"""Of so many polygons of a map one is no valid one."""

_DIGITS = 5
"""Of degrees: a metre."""

Json = dict[str, Any]


def events() -> Json:
    """The table of events: a row per area, its date a day, as such tables have it."""
    rows = [
        {
            "id": flood.event,
            "event": flood.event,
            "flood": flood.flood,
            "date": f"{flood.begins:%Y-%m-%d}",
            "country": flood.country,
            "climate": flood.climate,
        }
        for flood in FLOODS
    ]
    return _collection([_feature(shapely.Polygon(f.area), row) for f, row in zip(FLOODS, rows, strict=True)])


def maps(flood: Flood, its: Ground) -> dict[str, Json]:
    """Name of a file → the polygons of a map of a flood, of each of its maps; `its` is the ground of its region."""
    region = by_name(flood.region)
    area = shapely.Polygon(flood.area)
    rivers = list(_polygons(floods.water(its), region, area))
    out = {}
    for version, each in enumerate(flood.maps, start=1):
        about = {"event": flood.event, "product": each.product, "image_time": f"{each.image:%Y-%m-%dT%H:%M:%SZ}"}
        level = flood.level_m(each.image)
        assert level is not None, "a map is of a flood"
        features = [_feature(area, {"class": "area"} | about)]
        for k, shape in enumerate(_polygons(floods.flooded(its, region, level), region, area)):
            features.append(_feature(_with_spike(shape) if k % _EVERY == 0 else shape, {"class": "flood"}))
        source = {"source": PERMANENT_SOURCE, "year": PERMANENT_YEAR}
        features += [_feature(shape, {"class": "permanent"} | source) for shape in rivers]
        out[f"{flood.event}_v{version}_{each.image:%Y%m%dT%H%M%SZ}.geojson"] = _collection(features)
    return out


def _polygons(there: NDArray[np.bool_], region: Region, area: shapely.Polygon) -> Iterator[shapely.Polygon]:
    """The outlines, in degrees, of what is set in the frame, within an area."""
    its, res = frame(region), FRAME_RES_M
    place = Affine(res, 0.0, -its.half_w * res, 0.0, -res, its.half_h * res)
    within = projected(shapely.segmentize(area, 0.005), "EPSG:4326", its.crs)
    for found, _ in rasterio.features.shapes(there.astype(np.uint8), mask=there, transform=place):
        smooth = shapely.simplify(shapely.geometry.shape(found), _STRAY_M)
        for part in shapely.get_parts(shapely.intersection(smooth, within)):
            if part.geom_type == "Polygon" and part.area >= LEAST_M2:
                shape = projected(part, its.crs, "EPSG:4326")
                rounded = shapely.transform(shape, lambda xy: np.round(xy, _DIGITS))
                assert isinstance(rounded, shapely.Polygon)
                yield rounded


def _with_spike(shape: shapely.Polygon) -> shapely.Polygon:
    """The polygon with a spike out of its first corner and back: no valid one, of the same area."""
    ring = np.asarray(shape.exterior.coords)
    tip = np.round(ring[0] + (0.0004, 0.0003), _DIGITS)
    spiked = shapely.Polygon([ring[0], tip, *ring], [np.asarray(hole.coords) for hole in shape.interiors])
    assert not spiked.is_valid, "a spike makes it invalid"
    return spiked


def _feature(shape: shapely.Polygon, properties: Json) -> Json:
    return {"type": "Feature", "properties": properties, "geometry": shapely.geometry.mapping(shape)}


def _collection(features: list[Json]) -> Json:
    return {"type": "FeatureCollection", "features": features}


def text(found: Json) -> str:
    """GeoJSON with a feature a line."""
    lines = ",\n".join(json.dumps(feature, separators=(",", ":")) for feature in found["features"])
    return f'{{"type": "FeatureCollection", "features": [\n{lines}\n]}}\n'


def main() -> int:
    """Writes both files into a folder."""
    parser = argparse.ArgumentParser(description="Write the embedded Earth's table of floods, and the maps of them.")
    parser.add_argument("folder", type=Path, help="where to")
    folder: Path = parser.parse_args().folder
    (folder / MAPS).mkdir(parents=True, exist_ok=True)
    (folder / EVENTS).write_text(text(events()), encoding="utf-8")
    grounds = {name: ground.make(by_name(name)) for name in {flood.region for flood in FLOODS}}
    for flood in FLOODS:
        for name, found in maps(flood, grounds[flood.region]).items():
            (folder / MAPS / name).write_text(text(found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
