"""Shapes of vector files as a source: on the grid of each patch, of the right time, with what was mended and missed."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
import xarray as xr

from tests import world as tiny
from tests.run import Curate

FLOOD = """
name = "flood"
title = "Delineations of a flood"
licence = "mine"
pick = { name = "drawn-on", goes_with = "s1rtc", max_gap_hours = 48, event = "event" }

[kind]
name = "vectors"
background = "no water"
classes = [
    { code = 0, name = "no water" },
    { code = 1, name = "permanent water" },
    { code = 2, name = "flood" },
]
[kind.area]
layer = "area_of_interest"
[[kind.burn]]
layer = "observed_event"
class = "flood"
where = { notation = ["Flooded area"] }
[[kind.burn]]
layer = "hydrography"
class = "permanent water"
may_be_empty = true

[[arrays]]
res_m = 10
bands = ["class"]
dtype = "uint8"
nodata = 3
unit = "class"
role = "classes"
up = "nearest"
down = "mode"

[catalogs.folder]
file = { folder = "ems", pattern = '(?P<event>EMSR\\d+)_(?P<product>\\w+)_v(?P<version>\\d)\\.gpkg$' }
properties = { event = "event", version = "version", image = "image" }
"""

FIELDS = """
name = "fields"
title = "Fields by crop"
licence = "mine"
pick = "mosaic"

[kind]
name = "vectors"
classes = [{ code = 1, name = "wheat" }, { code = 2, name = "maize" }]
[[kind.burn]]
column = "crop"
values = { WHE = "wheat", MAI = "maize" }

[[arrays]]
res_m = 10
bands = ["crop"]
dtype = "uint8"
nodata = 0
unit = "class"
role = "classes"
up = "nearest"
down = "mode"

[catalogs.folder]
file = { folder = "lpis", pattern = '\\.parquet$' }
"""

RECIPE = """
name = "tiny"
title = "Floods of the tiny world"
seed = 7
[grid]
size_m = 480
[places]
sampler = "file"
file = "places.csv"
regions = ["europe"]
[seasons]
summer = { start = 2021-06-01, end = 2021-09-01 }
[sources]
s1rtc = { pick = "nearest" }
flood = { required = false }
fields = { required = false }
[labels]
annual = "fields"
[split]
val_fraction = 0.0
[cube]
slab_patches = 4
[pack]
samples_per_shard = 5
"""


def square(row: int, col: int, west: float, south: float, east: float, north: float) -> shapely.Polygon:
    """A box within a location of the tiny world, in metres from its north-west corner."""
    x, y = tiny.corner(row, col)
    return shapely.box(x + west, y - south, x + east, y - north)


def layers(path: Path, **its: gpd.GeoDataFrame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    for name, frame in its.items():
        frame.to_file(path, layer=name, driver="GPKG")


def frame(*shapes: shapely.Geometry, epsg: int = tiny.EPSG, **columns: list[object]) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(columns, geometry=list(shapes), crs=tiny.EPSG).to_crs(epsg)


BOWTIE = [(0, 0), (200, 200), (200, 0), (0, 200)]
"""Two triangles of 100 m height and 200 m width: 20,000 m²."""


@pytest.fixture
def floods(world: tiny.World, tmp_path: Path) -> Curate:
    """The tiny world with an event's polygons, in two products and two versions, and with fields."""
    mine = world.from_afar(tmp_path / "world")
    (mine.folder / "sources").mkdir()
    (mine.folder / "sources/flood.toml").write_text(FLOOD)
    (mine.folder / "sources/fields.toml").write_text(FIELDS)
    local = mine.recipe.read_text().partition("[search]")[2]
    mine.recipe.write_text(f"{RECIPE}\n[search]{local}")
    rows = (mine.folder / "places.csv").read_text().splitlines()
    lines = [f"{rows[0]},event", *(f"{row},{'EMSR8' if n == 1 else 'EMSR9'}" for n, row in enumerate(rows[1:]))]
    (mine.folder / "places.csv").write_text("\n".join(lines) + "\n")
    x, y = tiny.corner(0, 0)
    bowtie = shapely.Polygon([(x + a, y - b) for a, b in BOWTIE])
    area = frame(square(0, 0, -300, 480, 3_480, -100))  # to the middle of column 3
    water = frame(square(0, 0, 300, 400, 400, 100))
    first = frame(
        bowtie, square(0, 0, 200, 300, 350, 200), square(0, 0, 0, 480, 480, 400),
        notation=["Flooded area", "Flooded area", "Flood trace"],
    )  # fmt: skip
    wider = frame(square(0, 0, 0, 480, 480, 0), notation=["Flooded area"])
    for name, seen, when in (
        ("EMSR9_DEL_v1", wider, "2021-07-12T05:50:00Z"),
        ("EMSR9_DEL_v2", first, "2021-07-12T05:50:00Z"),
        ("EMSR9_MONIT01_v1", wider, "2021-07-14T05:50:00Z"),
        ("EMSR8_DEL_v1", wider, "2021-07-12T05:50:00Z"),
    ):
        layers(mine.folder / f"ems/{name}.gpkg", area_of_interest=area, observed_event=seen, hydrography=water)
        (mine.folder / f"ems/{name}.json").write_text(json.dumps({"datetime": when}))
    fields = frame(square(0, 0, 0, 480, 240, 0), square(0, 0, 120, 480, 480, 0), epsg=4326, crop=["MAI", "WHE"])
    (mine.folder / "lpis").mkdir()
    fields.to_parquet(mine.folder / "lpis/2021.parquet")
    return Curate(mine, tmp_path / "root")


def stored(mine: Curate, season: str, row: int, col: int) -> xr.Dataset:
    """One patch of a cube."""
    cube = xr.open_zarr(mine.folder / f"cubes/europe/{season}.zarr")
    return cube.isel(patch=cube.id.values.tolist().index(tiny.name(row, col))).load()


def test_an_events_shapes_are_burnt_in_order_within_their_area(floods: Curate):
    assert floods() == 0
    patch = stored(floods, "summer", 0, 0)
    # The newest version of the product nearest in time, and none of another event.
    assert str(patch.flood_scenes.values) == "EMSR9_DEL_v2"
    assert (str(patch.flood_event.values), str(patch.flood_version.values)) == ("EMSR9", "2")
    assert (float(patch.flood_gap_days), int(patch.flood_names_image)) == (0, 0)
    assert patch.flood_time.values == np.datetime64("2021-07-12T05:50")
    # By hand, on the centres of pixels: the bow tie's two triangles, a box, and the water over it. A trace is no flood.
    y, x = np.mgrid[5:480:10, 5:480:10]
    tie = (x < 200) & (y < 200) & ((x < y) == (x < 200 - y))
    want = np.where(tie | ((x > 200) & (x < 350) & (y > 200) & (y < 300)), 2, 0)
    want[(x > 300) & (x < 400) & (y > 100) & (y < 400)] = 1
    edge = (x == y) | (x == 200 - y)  # whose centres lie on an edge
    np.testing.assert_array_equal(patch.flood_10m.values[0][~edge], want[~edge])
    # 30,000 m² of water; of 35,000 m² of flood 5,000 below it. UTM's metre is 0.03 % from the true one here.
    np.testing.assert_allclose(patch.flood_area_m2.values[1:], [30_000, 30_000], rtol=5e-4)
    assert (int(patch.flood_shapes), int(patch.flood_mended)) == (3, 1)
    errors = np.bincount(patch.flood_10m.values.ravel(), minlength=3) * 100.0 - patch.flood_area_m2.values
    np.testing.assert_allclose(patch.flood_area_error_m2.values, errors, atol=100)
    # Half of column 3 lies outside the area, and row 1 wholly; the place of column 1 is of another event.
    half = stored(floods, "summer", 0, 3).flood_10m.values[0]
    assert set(half[:, :24].ravel()) == {0}
    assert set(half[:, 24:].ravel()) == {3}
    assert str(stored(floods, "summer", 1, 0).flood_reason.values) == "no_scene"
    assert str(stored(floods, "summer", 0, 1).flood_scenes.values) == "EMSR8_DEL_v1"
    # Two fields that overlap: what the legend has later lies on top, in whatever order the file has them.
    crops = stored(floods, "static", 0, 0).fields_10m.values[0]
    assert set(crops[:, :24].ravel()) == {2}
    assert set(crops[:, 24:].ravel()) == {1}
