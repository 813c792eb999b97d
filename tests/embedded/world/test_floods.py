"""Floods of the embedded Earth: water spreads over low ground from rivers on, radar sees it, maps of it are as real ones."""

from __future__ import annotations

import datetime as dt
import itertools
from functools import cache

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import rasterio.features
import scipy.ndimage
import shapely
from affine import Affine

from curation.embedded.archive import floodmaps, scenes
from curation.embedded.archive.archive import Archive, Key
from curation.embedded.world import floods, ground
from curation.embedded.world.floods import FLOODS, Flood
from curation.embedded.world.ground import Ground, upsampled
from curation.embedded.world.regions import FRAME_RES_M, by_name, frame, projected
from curation.recipe.files import folder as shipped

EQUAL_AREA = "ESRI:54034"


@cache
def ground_of(region: str) -> Ground:
    return ground.make(by_name(region))


@cache
def maps_of(event: str) -> dict[str, floodmaps.Json]:
    flood = next(f for f in FLOODS if f.event == event)
    return floodmaps.maps(flood, ground_of(flood.region))


def radar_of(flood: Flood) -> list[scenes.Scene1]:
    return [s for s in scenes.s1_scenes() if s.region.name == flood.region]


def test_there_are_four_events_one_across_a_zones_edge_one_in_the_south_and_two_of_one_place():
    assert len({f.event for f in FLOODS}) == len(FLOODS) >= 4
    lons = {f.event: np.array(f.area)[:, 0] for f in FLOODS}
    assert any(lon.min() // 6 != lon.max() // 6 for lon in lons.values())
    assert any(by_name(f.region).south for f in FLOODS)
    first, second = sorted((f for f in FLOODS if f.region == "po-delta"), key=lambda f: f.begins)
    assert first.ends < second.begins < first.begins + dt.timedelta(days=35)


@pytest.mark.parametrize("flood", FLOODS, ids=lambda f: f.event)
def test_water_spreads_over_low_ground_from_rivers_on_and_falls(flood: Flood):
    region, its = by_name(flood.region), ground_of(flood.region)
    permanent, height = floods.water(its), upsampled(its.height, 0, its.code.shape[0])
    high, low = (floods.flooded(its, region, level) for level in (flood.high_m, flood.low_m))
    assert (low <= high).all()
    assert 0.01 < low.mean() < high.mean() < 0.5
    assert not (high & permanent).any()
    assert (height[high] < region.base_m + flood.high_m).all()
    under = (height < region.base_m + flood.high_m) | permanent
    parts, _ = scipy.ndimage.label(under)
    assert np.isin(parts[high], np.unique(parts[permanent])).all()
    hollow = under & ~np.isin(parts, np.unique(parts[permanent]))
    assert not (hollow & high).any()


@pytest.mark.parametrize("flood", FLOODS, ids=lambda f: f.event)
def test_each_event_has_a_triplet_of_one_orbit_and_nearer_scenes_of_another(flood: Flood):
    mine = radar_of(flood)
    day = flood.begins.replace(hour=0, minute=0)
    by_orbit = {o: sorted(s.time for s in mine if s.acquired.orbit == o) for o in {s.acquired.orbit for s in mine}}
    after = {
        o: min((t for t in times if t >= day + dt.timedelta(days=1)), default=None) for o, times in by_orbit.items()
    }
    before = {o: [t for t in times if t < day - dt.timedelta(days=1)] for o, times in by_orbit.items()}
    near = dt.timedelta(days=60)
    whole = {o for o in by_orbit if after[o] and len([t for t in before[o] if t > day - near]) >= 2}
    assert whole
    assert len({s.direction for s in mine}) == 2
    assert any(flood.level_m(t) is not None for t in after.values() if t)
    for each in flood.maps:  # each is of an image that there is
        assert each.image in {s.time for s in mine}
        assert flood.level_m(each.image) is not None


def test_on_the_day_of_a_flood_there_is_a_scene_from_before_it_began():
    decoys = [s for f in FLOODS for s in radar_of(f) if s.time.date() == f.begins.date() and s.time < f.begins]
    assert len(decoys) >= 3
    assert all(floods.level_m(s.region, s.time) is None for s in decoys)


def test_radar_sees_water_where_it_stands(tmp_path):
    flood = next(f for f in FLOODS if f.region == "indus")
    archive = Archive(tmp_path)
    wet, dry = (next(s for s in radar_of(flood) if f"{s.time:%m-%d}" == day) for day in ("08-30", "08-24"))
    assert wet.grid == dry.grid
    pixels = []
    for scene in (dry, wet):
        with rasterio.open(archive.path(Key("sentinel-1-rtc", scene.id, "vv"))) as file:
            pixels.append(file.read(1))
            place = file.transform
    ((name, found),) = maps_of(flood.event).items()
    assert name == f"ev104_v1_{wet.time:%Y%m%dT%H%M%SZ}.geojson"
    table = gpd.GeoDataFrame.from_features(found["features"], crs=4326).to_crs(wet.grid.epsg)
    table = table[table["class"] == "flood"]
    under = rasterio.features.rasterize(shapely.make_valid(table.geometry.to_numpy()), pixels[0].shape, transform=place)
    inside = scipy.ndimage.binary_erosion(under == 1)
    fell = 10 * np.log10(np.median(pixels[0][inside]) / np.median(pixels[1][inside]))
    assert fell > 4


@pytest.mark.parametrize("flood", FLOODS, ids=lambda f: f.event)
def test_maps_show_the_water_of_their_own_image_and_some_polygons_are_no_valid_ones(flood: Flood):
    area = gpd.GeoSeries([shapely.Polygon(flood.area)], crs=4326).to_crs(EQUAL_AREA).iloc[0]
    sizes = []
    for found in maps_of(flood.event).values():
        table = gpd.GeoDataFrame.from_features(found["features"], crs=4326)
        assert table["class"].value_counts()["area"] == 1
        assert table[table["class"] == "permanent"]["year"].eq(2021).all()
        water = table[table["class"] == "flood"]
        assert 0 < (~water.geometry.is_valid).sum() < len(water) / 2
        mended = shapely.make_valid(water.to_crs(EQUAL_AREA).geometry.to_numpy())
        sizes.append(shapely.area(shapely.union_all(mended)) / area.area)
    assert len(sizes) == len(flood.maps)
    assert all(0.02 < share < 0.7 for share in sizes)
    assert all(later < 0.9 * earlier for earlier, later in itertools.pairwise(sizes))


def test_what_the_recipe_brings_along_is_what_is_mapped_of_these_floods():
    brought = shipped("manifests") / "kuro-siwo"
    assert (brought / floodmaps.EVENTS).read_text() == floodmaps.text(floodmaps.events())
    files = {path.name: path.read_text() for path in (brought / floodmaps.MAPS).iterdir()}
    made = {name: floodmaps.text(found) for flood in FLOODS for name, found in maps_of(flood.event).items()}
    assert sorted(files) == sorted(made)
    stale = [name for name, text in made.items() if files[name] != text]
    assert not stale, "write them again: python -m curation.embedded.archive.floodmaps manifests/kuro-siwo"
    assert sum(map(len, files.values())) < 400_000


@pytest.mark.parametrize("flood", FLOODS, ids=lambda f: f.event)
def test_maps_cover_the_ground_that_is_under_water(flood: Flood):
    region, its = by_name(flood.region), ground_of(flood.region)
    area = projected(shapely.segmentize(shapely.Polygon(flood.area), 0.005), "EPSG:4326", frame(region).crs)
    for each, found in zip(flood.maps, maps_of(flood.event).values(), strict=True):
        level = flood.level_m(each.image)
        assert level is not None
        under = floods.flooded(its, region, level)
        res, (half_h, half_w) = FRAME_RES_M, (n / 2 for n in under.shape)
        where = Affine(res, 0, -half_w * res, 0, -res, half_h * res)
        shapes = [
            shapely.geometry.shape(f["geometry"]) for f in found["features"] if f["properties"]["class"] == "flood"
        ]
        mapped = [projected(shapely.make_valid(s), "EPSG:4326", frame(region).crs) for s in shapes]
        burnt, inside = (
            rasterio.features.rasterize(some, under.shape, transform=where).astype(bool) for some in (mapped, [area])
        )
        assert (burnt == under)[inside].mean() > 0.985  # ponds of less than a hectare are left out, edges are simpler
        assert burnt[inside].sum() == pytest.approx(under[inside].sum(), rel=0.035)
