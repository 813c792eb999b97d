"""What lies where no tile of a DEM does: sea only where there is open sea for sure."""

import json
import shutil

import numpy as np
import pytest
import xarray as xr
from pyproj import Transformer

from curation.embedded.sensors import static
from curation.embedded.world import cells, terrain
from curation.errors.codes import Code
from curation.model import Location
from curation.outcomes import Status
from curation.places import grid, ocean
from curation.places.regions import from_bbox
from curation.store.ledger import Ledger
from tests import world as tiny
from tests.run import Curate

SEA = {"atlantic": (-30, 0), "antimeridian": (180, 0), "pacific": (-140, 30), "north sea": (6.9, 54.6),
       "black sea": (34, 43), "arctic": (5, 75), "mediterranean": (18, 34)}  # fmt: skip
WATER = {"titicaca": (-69.4, -15.8), "caspian": (51, 40), "north caspian": (50.5, 45.5), "superior": (-87.5, 47.6),
         "michigan": (-87, 43.5), "huron": (-82.3, 44.6), "victoria": (33, -1), "baikal": (108, 53.5), "aral": (59.5, 45),
         "dead sea": (35.5, 31.5), "ladoga": (31.5, 60.8), "van": (43, 38.6), "chad": (14, 13)}  # fmt: skip
LAND = {"paris": (2.35, 48.85), "yerevan": (44.5, 40.2), "qattara": (27.5, 29.5), "salton": (-115.8, 33.3),
        "amsterdam airport": (4.76, 52.31), "ross ice shelf": (-175, -80), "pole": (0, -90)}  # fmt: skip


def sure(lon: float, lat: float) -> bool:
    return bool(ocean.is_sea(np.array([lon]), np.array([lat]))[0])


@pytest.mark.parametrize("where", [*SEA, *WATER, *LAND])
def test_the_open_sea_is_sea_and_neither_lakes_nor_land_nor_ice_shelves_are(where):
    assert sure(*(SEA | WATER | LAND)[where]) == (where in SEA)


def test_sea_is_not_sure_within_a_kilometre_of_the_coast():
    from curation.places import land

    lon = np.arange(-10.6, -8.6, 1 / 120) + 1 / 240  # Portugal's coast at 39.5°N runs from north to south
    lat = np.full_like(lon, 39.5 + 1 / 240)
    on_land, sea = land.is_land(lon, lat), ocean.is_sea(lon, lat)
    first = int(np.argmax(on_land))
    assert first > 10
    assert not on_land[first - 1]
    assert not sea[first - 2 :].any()  # cells are narrower than high: two are a kilometre and a half
    assert sea[: first - 4].all()


@pytest.mark.parametrize("lon", [179.9999, 180.0, -180.0, -179.9999, 180.3, 539.9])
def test_points_beyond_the_antimeridian_are_where_they_are(lon):
    assert sure(lon, -40.0)
    assert not sure(lon, 68.5 if lon < 180.2 else 66.9) or lon > 180  # Chukotka


def test_of_a_patch_those_pixels_are_sea_that_are():
    epsg, x, y = grid.snapped(-9.42, 39.5, 2640)[0], *grid.snapped(-9.42, 39.5, 2640)[1:]
    place = Location("a", -9.42, 39.5, epsg, x - 6000, y, 12_000, "")
    asked = np.zeros((120, 120), bool)
    asked[10:110] = True
    found = ocean.sea_of(asked, place, 100.0)
    lon, lat = Transformer.from_crs(epsg, 4326, always_xy=True).transform(
        *np.meshgrid(place.x0_m + 100 * (np.arange(120) + 0.5), place.y0_m - 100 * (np.arange(120) + 0.5))
    )
    np.testing.assert_array_equal(found, ocean.is_sea(lon, lat) & asked)
    assert found.any()
    assert not found[asked].all()
    assert not ocean.sea_of(np.zeros((4, 4), bool), place, 3000.0).any()


EVERYWHERE = "-180,-60,180,84"


def moved(world: tiny.World, folder, places: dict[str, tuple[float, float]]) -> Curate:
    """A place at each point, and the tiny world's DEM, which is elsewhere."""
    folder.mkdir(parents=True)
    mine = tiny.World(folder)
    shutil.copy(world.catalog, mine.catalog)
    shutil.copytree(world.folder / "dem", folder / "dem")
    lines = []
    for name, (lon, lat) in places.items():
        epsg, x, y = grid.snapped(lon, lat, tiny.SIZE_M)
        lines.append(f"{name.replace(' ', '-')},{x},{y},{epsg}")
    (folder / "places.csv").write_text("\n".join(["id,x0_m,y0_m,epsg", *lines]) + "\n")
    head, _, rest = tiny.RECIPE.partition("[sources]")
    recipe = head.replace("europe", EVERYWHERE) + "[sources]\ndem = {}\n[quality]" + rest.partition("[quality]")[2]
    mine.recipe.write_text(recipe.replace('annual = "worldcover"\nseasonal = "dynamicworld"\n', ""))
    return Curate(mine, folder / "root")


def test_where_no_tile_is_there_land_and_lakes_are_not_at_zero_metres(world, tmp_path):
    places = {k: v for k, v in (LAND | WATER | SEA).items() if -60 < v[1] < 84}
    mine = moved(world, tmp_path / "own", places)
    mine("build", "--season", "static")
    region = from_bbox(EVERYWHERE).name
    found = {o.id.replace("-", " "): o for o in Ledger.replay(mine.store, region, "static").outcomes()}
    assert set(found) == set(places)
    stored = xr.open_zarr(mine.folder / "cubes" / region / "static.zarr").set_xindex("id")
    for name, outcome in found.items():
        its, cube = outcome.sources["dem"], stored.sel(id=name.replace(" ", "-"))
        if name in SEA:
            assert outcome.status is Status.OK, name
            assert (cube.dem_30m.values == 0).all()
            assert (float(cube.dem_hole_fraction), float(cube.dem_void_fraction)) == (1, 0)
            continue
        assert (outcome.status, its.status, its.code, its.value) == (Status.ABSENT, Status.ABSENT, Code.HOLE, 0.0), name
        assert not outcome.chunks
        assert outcome.reason == "hole:dem"
        assert (float(cube.dem_hole_fraction), float(cube.dem_void_fraction)) == (0, 1)


@pytest.mark.parametrize("min_valid", [0.999, 0.2])
def test_a_patch_beside_a_tile_that_is_missing_keeps_nodata_where_there_is_no_sea(
    world, tmp_path, monkeypatch, min_valid
):
    mine = Curate(tiny.World(tmp_path / "own"), tmp_path / "root")
    shutil.copytree(world.folder, tmp_path / "own", dirs_exist_ok=True)
    mine.world.recipe.write_text(tiny.RECIPE.replace("[quality]\n", f"[quality]\nmin_valid = {min_valid}\n"))
    (dem,) = (i for i in json.loads(mine.world.catalog.read_text())["features"] if i["id"] == "dem")
    to_utm = Transformer.from_crs(4326, tiny.EPSG, always_xy=True)
    edge, _ = to_utm.transform(dem["bbox"][2], (dem["bbox"][1] + dem["bbox"][3]) / 2)
    west = round((edge - tiny.SIZE_M / 2) / 60) * 60
    places = {"beside": west, "beyond": west + 2 * tiny.SIZE_M}
    lines = [f"{name},{x},{tiny.corner(2, 0)[1]},{tiny.EPSG}" for name, x in places.items()]
    (mine.world.folder / "places.csv").write_text("\n".join(["id,x0_m,y0_m,epsg", *lines]) + "\n")
    monkeypatch.setattr(ocean, "is_sea", lambda lon, lat: np.zeros(np.shape(lon), bool))
    mine("build", "--season", "static")
    found = {o.id: o for o in Ledger.replay(mine.store, "europe", "static").outcomes()}
    cut = found["beside"].sources["dem"]  # the DEM ends in the middle of it
    stored = xr.open_zarr(mine.folder / "cubes" / "europe" / "static.zarr").set_xindex("id").sel(id="beside")
    share = float(stored.dem_void_fraction)
    assert 0.2 < share < 0.8
    assert float(stored.dem_hole_fraction) == 0
    if min_valid > 0.9:
        assert (cut.status, cut.code) == (Status.REJECTED, Code.HOLE)
        assert cut.value == pytest.approx(1 - share)
    else:
        assert cut.status is Status.OK
        heights = stored.dem_30m.values
        assert set(np.unique(heights)) == {-32768, 123}
        assert (heights == -32768).mean() == pytest.approx(share)
    assert found["beyond"].sources["dem"].code == Code.HOLE


def test_the_embedded_earth_lacks_tiles_only_where_there_is_open_sea():
    there = {p.name for p in static.world_elevation()}
    holes = 0
    for cell in cells.cells():
        west, south, east, north = cell.region.bbox
        lon, lat = np.meshgrid(np.linspace(west, east, 61), np.linspace(south, north, 61))
        corners = np.stack([np.floor(lon).ravel(), np.floor(lat).ravel()], axis=1).astype(int).tolist()
        names = ["_00_".join(static._corner_name((x + 180) % 360 - 180, y)) + "_00" for x, y in corners]
        missing = np.array([n not in there for n in names]).reshape(lon.shape)
        holes += int(missing.any())
        assert ocean.is_sea(lon[missing], lat[missing]).all(), cell.node
        assert (terrain.height(lon[missing], lat[missing]) <= 0).all()
    assert holes == 1
