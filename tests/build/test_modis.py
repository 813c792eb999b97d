"""MODIS in its sinusoidal grid: items as the public tool writes them, files in a CRS without a code, bits of the state."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from affine import Affine
from pyproj import Transformer
from rasterio.warp import transform_bounds

from curation.cubes.contents import opened
from curation.recipe.values import CODE_OF
from tests import world as tiny
from tests.run import Curate

SINUSOIDAL = "+proj=sinu +R=6371007.181 +units=m +no_defs"
NATIVE_M = 463.3127165
SIDE_PX, SIZE_M, RES_M = 48, 6_000, 500
PX = SIZE_M // RES_M
WEST, NORTH = tiny.X0, tiny.Y0
BANDS = [f"sur_refl_b0{n}" for n in range(1, 8)]
STATE = "sur_refl_state_500m"
DAYS = {"2021-06-02": "cloudy", "2021-07-12": "clear", "2021-08-21": "cloudy"}
"""First day of the eight → what most of it is. The cloudy ones lie as near to the middle of the season as they can be."""
BITS = {"clear": 0b0000_1000, "cloudy": 0b0000_1001, "doubtful": 0b0000_1011, "snow": 0b0001_0000_0000_1000}
"""State of land: no cloud, cloud, cloud not set and so taken for clear, snow by bit 12."""


def lattice() -> Affine:
    """Of files: pixels of the sinusoidal grid about the place, which lies in the middle."""
    to = Transformer.from_crs(tiny.EPSG, SINUSOIDAL, always_xy=True)
    x, y = to.transform(WEST + SIZE_M / 2, NORTH - SIZE_M / 2)
    column, row = round(x / NATIVE_M) - SIDE_PX // 2, round(y / NATIVE_M) + SIDE_PX // 2
    return Affine(NATIVE_M, 0, column * NATIVE_M, 0, -NATIVE_M, row * NATIVE_M)


def reflectance(band: int) -> np.ndarray:
    """Other numbers in each pixel and band, smooth, so that a pixel's shift shows."""
    row, column = np.mgrid[:SIDE_PX, :SIDE_PX]
    return (1_000 * band + 20 * row + 7 * column).astype("i2")


def state(of: str) -> np.ndarray:
    """Mostly of one set; of the clear one parts are snow and doubtful."""
    found = np.full((SIDE_PX, SIDE_PX), BITS[of], "u2")
    if of == "clear":
        found[20:22, 20:23] = BITS["snow"]
        found[24:26, 25:27] = BITS["doubtful"]
    return found


def item(world: tiny.World, day: str, of: str) -> dict[str, Any]:
    """As stactools-modis writes it: from day to day, without a code of its CRS and without cloud cover."""
    name = f"MOD09A1.{day}"
    pixels = {band: reflectance(n) for n, band in enumerate(BANDS, 1)} | {STATE: state(of)}
    missing = {band: {"nodata": -28672} for band in BANDS} | {STATE: {"nodata": 65535}}
    assets = {
        band: world.raster(f"{name}/{band}.tif", values, lattice(), SINUSOIDAL, **missing[band])
        for band, values in pixels.items()
    }
    made = lattice()
    box = (made.c, made.f - SIDE_PX * NATIVE_M, made.c + SIDE_PX * NATIVE_M, made.f)
    west, south, east, north = transform_bounds(SINUSOIDAL, 4326, *box)
    corners = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    first = np.datetime64(day)
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "collection": "modis-09A1-061",
        "geometry": {"type": "Polygon", "coordinates": [corners]},
        "bbox": [west, south, east, north],
        "properties": {
            "datetime": None,
            "start_datetime": f"{day}T00:00:00Z",
            "end_datetime": f"{first + 7}T23:59:59Z",
            "platform": "terra",
            "proj:epsg": None,
        },
        "links": [],
        "assets": {band: {"href": href} for band, href in assets.items()},
    }


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Curate:
    world = tiny.World(tmp_path_factory.mktemp("modis"))
    features = [item(world, day, of) for day, of in DAYS.items()]
    world.catalog.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    text = tiny.recipe("MODIS alone", "modis-09a1 = {}", "[quality]\nmin_clear = 0.5\n")
    assert f"size_m = {tiny.SIZE_M}" in text
    world.recipe.write_text(text.replace(f"size_m = {tiny.SIZE_M}", f"size_m = {SIZE_M}"))
    (world.folder / "places.csv").write_text(f"id,x0_m,y0_m,epsg\nplace,{WEST},{NORTH},{tiny.EPSG}\n")
    curate = Curate(world, world.folder / "root")
    assert curate() == 0
    return curate


def at_centres() -> tuple[np.ndarray, np.ndarray]:
    """(row, column) of the files, from the middle of their first pixel, at the middle of each pixel of the place."""
    steps = RES_M * (np.arange(PX) + 0.5)
    to = Transformer.from_crs(tiny.EPSG, SINUSOIDAL, always_xy=True)
    x, y = to.transform(*np.meshgrid(WEST + steps, NORTH - steps))
    made = lattice()
    return (made.f - y) / NATIVE_M - 0.5, (x - made.c) / NATIVE_M - 0.5


def test_the_clear_eight_days_are_taken_and_each_pixel_is_what_lies_there(built: Curate):
    found = opened(built.dataset, built.store, "europe", "summer")
    assert found.outcomes["place"].sources["modis-09a1"].scenes == ("MOD09A1.2021-07-12",)
    (row, column), pixels = at_centres(), found.pixels("modis-09a1_500m", "place")
    assert pixels.shape == (len(BANDS), PX, PX)
    for number, of_band in enumerate(pixels, 1):
        expected = 1_000 * number + 20 * row + 7 * column
        assert np.abs(of_band - expected).max() <= 1  # a twentieth of a pixel, and whole numbers


def test_the_mask_is_what_the_bits_say_hand_decoded(built: Curate):
    found = opened(built.dataset, built.store, "europe", "summer")
    row, column = (np.rint(of).astype(int) for of in at_centres())
    raw = state("clear").astype(int)[row, column]
    by_hand = np.select(
        [(raw & 0b11) == 1, (raw & 0b11) == 3, (raw >> 12) & 1 == 1],
        [CODE_OF["cloudy"], CODE_OF["doubtful"], CODE_OF["snow"]],
        CODE_OF["clear"],
    )
    stored = found.pixels("modis-09a1_state_500m", "place")[0]
    np.testing.assert_array_equal(stored, by_hand)
    assert {*np.unique(stored)} == {CODE_OF[name] for name in ("clear", "doubtful", "snow")}
    assert found.facts_of("place")["modis-09a1_clear_fraction"] == 1  # no cloud
