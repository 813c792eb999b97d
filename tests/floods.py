"""Three floods with known answers: the shipped recipe, asked of small rasters whose pixels follow from their own place.

A row of squares of 2240 m in UTM 32N, across the edge of two tiles of the DEM and of two UTM zones, at 12° east. From west
to east: the event `one` of four squares, `near` of one, which lies within the buffer of `one`, and `far` of three. What
must become of each is written beside what makes it so.
"""

from __future__ import annotations

import datetime as dt
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import Geod

from curation.places import grid
from curation.recipe.files import folder as shipped
from tests.run import Curate
from tests.world import World

EPSG, PX, SIDE = 32632, 224, 2_240
FIRST, NORTH = 318, 2_210 * SIDE
"""The westernmost square is the so many-th of zone 32N, and all have this northern edge."""

EVENTS = {"one": (318, 322), "near": (323, 324), "far": (327, 330)}
"""Event → its squares, from the first until before the last. The last square of `far` has 12° east within it."""

IMAGE = dt.datetime(2021, 11, 15, 5, 30, tzinfo=dt.UTC)
"""When the first image after the floods was taken."""

PASSES = {
    "decoy-older": ("2021-10-22T05:30", 95, "descending"),
    "pre2": ("2021-10-28T05:30", 95, "descending"),
    "pre1": ("2021-11-03T05:30", 95, "descending"),
    "decoy-other-orbit": ("2021-11-07T17:10", 117, "ascending"),
    "decoy-the-day-itself": ("2021-11-09T05:30", 95, "descending"),
    "decoy-other-orbit-after": ("2021-11-10T17:10", 117, "ascending"),
    "post": ("2021-11-15T05:30", 95, "descending"),
    "decoy-later": ("2021-11-21T05:30", 95, "descending"),
}
"""What the recipe must call an image (or not take it) → when it was taken, its relative orbit, and its direction."""

SCENE_X0, SCENE_Y0 = FIRST * SIDE - 300, NORTH + 300
SCENE_PX = ((EVENTS["far"][1] - FIRST) * PX + 60, PX + 60)

RISE, TOWARDS_DEG = 0.1, 30.0
"""Of the plane that all ground is part of: how it rises, and towards which azimuth."""

HOLES = {("pre1", 327): 0.0, ("post", 319): -32768.0}
"""Image and square in which one pixel of VH lacks data: as the border of a swath does, and by the file's nodata."""


class Floods(Curate):
    """`curate`, asked of this world."""

    @property
    def folder(self) -> Path:
        """Of the dataset."""
        return self.root / "kuro-siwo"


SIDES = 'val = ["buzi-2021"]\ntest = ["indus-2021"]'
"""Of the shipped recipe."""

VOID = 327
"""The square in whose middle the DEM has one pixel without data."""


def power(image: str, band: int) -> NDArray[np.float32]:
    """A whole image: beside one another in no two rows or columns alike, and in no two images."""
    col, row = np.meshgrid(np.arange(SCENE_PX[0]), np.arange(SCENE_PX[1]))
    ramp = 0.02 + 0.001 * ((7 * col + 3 * row) % 311) + 0.0001 * band
    return (ramp + 0.00001 * [*PASSES].index(image)).astype("float32")


def crop(image: str, square: int) -> NDArray[np.float32]:
    """(band, y, x) of an image on a square."""
    col, row = (square * SIDE - SCENE_X0) // 10, (SCENE_Y0 - NORTH) // 10
    return np.stack([power(image, band)[row : row + PX, col : col + PX] for band in (0, 1)])


def areas(event: str) -> dict[str, tuple[int, int, int, int]]:
    """What is mapped of an event, on edges of pixels: class → its first and last column and row, of the event's squares.

    Of the first square of `one` less is mapped than the recipe wants.
    """
    first, end = EVENTS[event]
    cols = (end - first) * PX
    west = 150 if event == "one" else 5
    return {
        "area": (west, cols - 7, 3, PX - 11),
        "flood": (west - 4, cols - 30, 60, 140),  # 4 pixels of it lie outside the area, and are not told of
        "permanent": (cols - 50, cols - 20, 40, PX),
    }


def labels(event: str, square: int) -> NDArray[np.uint8]:
    """(y, x) of a square: 0 none, 1 permanent, 2 flood, 3 outside the area."""
    first, end = EVENTS[event]
    whole = np.full((PX, (end - first) * PX), 3, "uint8")
    its = areas(event)
    within = np.zeros(whole.shape, bool)
    for code, name in ((0, "area"), (2, "flood"), (1, "permanent")):
        west, east, north, south = its[name]
        mine = np.zeros(whole.shape, bool)
        mine[north:south, west:east] = True
        within = mine if name == "area" else within
        whole[mine & within] = code
    return whole[:, (square - first) * PX : (square - first + 1) * PX]


def shape(event: str, name: str) -> shapely.Polygon:
    """What is mapped of an event, in degrees."""
    west, east, north, south = areas(event)[name]
    x0 = EVENTS[event][0] * SIDE
    box = shapely.box(x0 + 10 * west, NORTH - 10 * south, x0 + 10 * east, NORTH - 10 * north)
    return lonlat(shapely.segmentize(box, 100))


def lonlat(shape: shapely.Polygon) -> shapely.Polygon:
    """A polygon of the grid in degrees."""
    return shapely.transform(shape, grid.transformer(EPSG, 4326).transform, interleaved=False)


def plane(lon: NDArray[np.float64], lat: NDArray[np.float64], at: tuple[float, float]) -> NDArray[np.float64]:
    """Heights, metres, of a plane through a point, by geodesics from there: apart from how the code has the ground."""
    same = np.full_like(lon, at[0]), np.full_like(lat, at[1])
    azimuth, _, metres = Geod(ellps="WGS84").inv(*same, lon, lat)
    return 3_000 + RISE * metres * np.cos(np.radians(azimuth - TOWARDS_DEG))


def tile(west: int, south: int, lon_step: float, box: tuple[float, float, float, float]) -> tuple[Affine, int, int]:
    """Transform, height and width of what a tile of GLO-30 has within a box: centres lie on multiples of the step."""
    lat_step = 1 / 3600
    west_edge, north_edge = west - lon_step / 2, south + 1 + lat_step / 2
    c0, r0 = max(0, int((box[0] - west_edge) / lon_step)), max(0, int((north_edge - box[3]) / lat_step))
    c1 = min(round(1 / lon_step), int((box[2] - west_edge) / lon_step))
    r1 = min(3600, int((north_edge - box[1]) / lat_step))
    transform = Affine(lon_step, 0, west_edge + c0 * lon_step, 0, -lat_step, north_edge - r0 * lat_step)
    return transform, r1 - r0, c1 - c0


def heights(transform: Affine, height: int, width: int, at: tuple[float, float]) -> NDArray[np.float32]:
    """The plane, on the pixels of a tile."""
    col, row = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    return plane(transform.c + transform.a * col, transform.f + transform.e * row, at).astype("float32")


def make(folder: Path) -> Floods:
    """The world, with the shipped recipe asked of it; nothing is built."""
    world = World(folder / "kuro-siwo")
    shutil.copytree(shipped("manifests") / "kuro-siwo", world.folder, dirs_exist_ok=True)
    shutil.rmtree(world.folder / "maps")
    (world.folder / "maps").mkdir()
    outline = lonlat(
        shapely.box(SCENE_X0, SCENE_Y0 - 10 * SCENE_PX[1], SCENE_X0 + 10 * SCENE_PX[0], SCENE_Y0).segmentize(500)
    )
    for image in PASSES:
        _radar(world, image, outline)
    _dem(world, outline.buffer(0.01).bounds)
    _tables(world)
    world.catalog.write_text(json.dumps({"type": "FeatureCollection", "features": world.items}))
    text = world.recipe.read_text()
    for old, new in ((SIDES, 'val = ["flood-one"]'), ("slab_patches = 16", "slab_patches = 2")):
        assert text.count(old) == 1
        text = text.replace(old, new)
    world.recipe.write_text(text)
    return Floods(world, folder / "root")


def _radar(world: World, image: str, outline: shapely.Polygon) -> None:
    text, orbit, direction = PASSES[image]
    when = dt.datetime.fromisoformat(f"{text}+00:00")
    name = f"S1A_IW_GRDH_{when:%Y%m%dT%H%M%S}_{orbit}"
    assets = {}
    for n, band in enumerate(("vv", "vh")):
        pixels = power(image, n)
        for (holed, square), value in HOLES.items():
            if band == "vh" and holed == image:
                pixels[130, (square * SIDE - SCENE_X0) // 10 + 200] = value
        place = Affine(10, 0, SCENE_X0, 0, -10, SCENE_Y0)
        assets[band] = world.raster(f"s1/{name}/{band}.tif", pixels, place, f"EPSG:{EPSG}", nodata=-32768)
    more = {"sat__orbit_state": direction, "sat__relative_orbit": orbit, "sar__instrument_mode": "IW"}
    world.item("sentinel-1-rtc", name, when, outline, assets, proj__epsg=EPSG, platform="SENTINEL-1A", **more)


def _dem(world: World, box: tuple[float, float, float, float]) -> None:
    for west in (11, 12):
        place, height, width = tile(west, 44, 1 / 3600, box)
        pixels = heights(place, height, width, (12.0, 44.66))
        name = f"Copernicus_DSM_COG_10_N44_00_E{west:03d}_00_DEM"
        lon, lat = grid.transformer(EPSG, 4326).transform((VOID + 0.5) * SIDE, NORTH - SIDE / 2)
        col, row = (int(v) for v in ~place * (lon, lat))
        if 0 <= col < width:
            pixels[row, col] = -32768
        href = world.raster(f"dem/{name}.tif", pixels, place, "EPSG:4326", nodata=-32768)
        east, south = place.c + width * place.a, place.f + height * place.e
        when = dt.datetime(2021, 4, 22, tzinfo=dt.UTC)
        world.item("cop-dem-glo-30", name, when, shapely.box(place.c, south, east, place.f), {"data": href})


def _tables(world: World) -> None:
    """The table of events, and a map of each."""
    rows = []
    for event in EVENTS:
        about = {"id": event, "event": event, "flood": f"flood-{event}", "date": "2021-11-09"}
        rows.append(_feature(shape(event, "area"), about | {"country": "Italy", "climate": "temperate"}))
        said: dict[str, dict[str, Any]] = {"area": {}, "flood": {}, "permanent": {"source": "a map", "year": 2021}}
        features = [_feature(shape(event, name), {"class": name} | more) for name, more in said.items()]
        _write(world.folder / f"maps/{event}_v1_{IMAGE:%Y%m%dT%H%M%SZ}.geojson", features)
    _write(world.folder / "events.geojson", rows)


def _feature(geometry: shapely.Polygon, properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Feature", "properties": properties, "geometry": shapely.geometry.mapping(geometry)}


def _write(path: Path, features: list[dict[str, Any]]) -> None:
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
