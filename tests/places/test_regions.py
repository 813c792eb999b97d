import logging
import re
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import example, given
from hypothesis import strategies as st

from curation.errors import ConfigError
from curation.places import regions, sampling
from curation.places.regions import Region, find, from_bbox, from_file, named
from curation.recipe import atlas

CONTINENTS = ["africa", "asia", "europe", "north-america", "oceania", "south-america"]

LON, LAT = st.floats(-180, 180), st.floats(-80, 84)


def test_every_named_region_can_be_had():
    for name in named():
        region = find(name)
        assert region.name == name
        west, south, east, north = region.geometry.bounds
        assert -180 <= west < east <= 180
        assert -80 <= south < north <= 84


@pytest.mark.parametrize(
    ("name", "bbox"),
    [("lower-rhine", [5.78, 51.14, 6.24, 51.48]), ("sao-paulo", [-46.78, -23.72, -46.46, -23.42])],
)
def test_the_embedded_regions_stay_as_they_are(name, bbox):
    assert find(name).geometry.bounds == tuple(bbox)


COUNTRIES = {
    "africa": "AO BF BI BJ BW CD CF CG CI CM CV DJ DZ EG EH ER ET GA GH GM GN GQ GW KE KM LR LS LY MA MG ML MR MU MW MZ NA "
    "NE NG RE RW SC SD SH SL SN SO SS ST SZ TD TG TN TZ UG YT ZA ZM ZW",
    "asia": "AE AF AM AZ BD BH BN BT CC CN GE HK ID IL IN IO IQ IR JO JP KG KH KP KR KW KZ LA LB LK MM MN MO MV MY NP OM PH "
    "PK PS QA SA SG SY TH TJ TM TR TW UZ VN YE",
    "europe": "AD AL AT AX BA BE BG BY CH CS CY CZ DE DK EE ES FI FO FR GB GG GI GR HR HU IE IM IS IT JE LI LT LU LV MC MD "
    "ME MK MT NL NO PL PT RO RS RU SE SI SJ SK SM UA VA XK",
    "north-america": "AG AI AN AW BB BL BM BQ BS BZ CA CR CU CW DM DO GD GL GP GT HN HT JM KN KY LC MF MQ MS MX NI PA PM PR "
    "SV SX TC TT US VC VG VI",
    "oceania": "AS AU CK CX FJ FM GU KI MH MP NC NF NR NU NZ PF PG PN PW SB TK TL TO TV UM VU WF WS",
    "south-america": "AR BO BR CL CO EC FK GF GY PE PY SR UY VE",
}
"""Continent → its countries, as GeoNames has them."""


def test_the_continents_hold_almost_every_city_as_its_country_says():
    continent = {code.encode(): name for name, codes in COUNTRIES.items() for code in codes.split()}
    cities = atlas.cities()
    lon, lat = sampling.cities(len(cities))
    held = np.full(len(cities), "", dtype=object)
    for name in CONTINENTS:
        free = held == ""
        held[free & find(name).contains(lon, lat)] = name
    wanted = np.array([continent.get(code, "") for code in cities["country"].tolist()], dtype=object)
    assert (held == "").mean() < 0.001
    assert (held == wanted).mean() > 0.98  # the rest: Siberia, Canaries, Cyprus, Hawaii, the Moluccas


def test_an_unknown_region_names_the_near_ones_and_all():
    with pytest.raises(ConfigError, match=r"did you mean lower-rhine\?.*known: africa, .*sao-paulo"):
        find("lower-rine")
    with pytest.raises(ConfigError, match="no such region; known"):
        find("zzzzzz")


def test_the_name_of_a_bbox_is_a_slug():
    assert from_bbox("5.78,51.14,6.24,51.48").name == "bbox-5p78-51p14-6p24-51p48"
    assert find("-46.78,-23.72,-46.46,-23.42").name == "bbox-m46p78-m23p72-m46p46-m23p42"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3", "expected four numbers"),
        ("1,2,3,4,5", "expected four numbers"),
        ("a,b,c,d", "expected four numbers"),
        ("nan,0,1,1", "finite"),
        ("0,-91,1,1", "latitudes -91 and 1"),
        ("0,0,181,1", "longitudes 0 and 181"),
        ("0,5,1,5", "not below"),
        ("0,6,1,5", "not below"),
        ("3,0,3,1", "is empty"),
        ("0,88.9,1,89", "UTM reaches"),
        ("0,-89,1,-80", "UTM reaches"),
        ("0,84,1,85", "UTM reaches"),
    ],
)
def test_impossible_bboxes_are_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        find(text)


def test_reaching_beyond_utm_is_clipped_and_said(caplog):
    with caplog.at_level(logging.WARNING):
        region = from_bbox("0,70,10,88")
    assert region.geometry.bounds == (0, 70, 10, 84)
    assert "clipped" in caplog.text
    caplog.clear()
    from_bbox("0,-80,10,84")
    assert not caplog.text


def test_across_the_antimeridian():
    region = from_bbox("170,-20,-170,-10")
    assert len(region.geometry.geoms) == 2
    lon = np.array([169.9, 170, 179.9, 180, -180, -179.9, -170, -169.9, 0, 185])
    assert region.contains(lon, np.full(10, -15.0)).tolist() == [False] + [True] * 6 + [False, False, True]


@given(LON, LAT, LON, LAT, LON, LAT)
def test_a_bbox_holds_what_arithmetic_says(west, south, east, north, lon, lat):
    south, north = sorted((round(south), round(north)))
    west, east, lon, lat = round(west), round(east), round(lon * 2) / 2, round(lat * 2) / 2
    if west == east or (west, east) == (180, -180) or south == north:
        with pytest.raises(ConfigError):
            from_bbox(f"{west},{south},{east},{north}")
        return
    region = from_bbox(f"{west},{south},{east},{north}")
    width = (east - west) if west < east else (east - west + 360)
    inside = (lon - west) % 360 <= width and south <= lat <= north
    assert bool(region.contains(lon, lat)) == inside
    assert re.fullmatch(r"[a-z0-9_-]+", region.name)


def test_the_edge_belongs_to_the_region():
    region = from_bbox("0,0,10,10")
    assert region.contains(np.array([0, 10, 10, 5]), np.array([0, 10, 5, 10.0])).all()


HUNDREDTHS = st.integers(-18_000, 18_000).map(lambda n: n / 100)


@given(HUNDREDTHS, HUNDREDTHS)
@example(0, 180)
@example(-180, 0)
@example(170, -179.9)
@example(5.78, 6.24)
def test_a_bbox_holds_its_own_corners_whatever_their_decimals(west, east):
    if west == east or (west, east) == (180, -180):
        return
    region = from_bbox(f"{west},51.14,{east},51.48")
    lon = np.array([west, east, west, east])
    assert region.contains(lon, np.array([51.14, 51.14, 51.48, 51.48])).all()
    beyond = np.where(np.abs(lon) == 180, -lon, lon)  # one meridian under both of its names
    assert region.contains(beyond, np.full(4, 51.3)).all()


@pytest.mark.parametrize("name", ["a.b", "A", "", "a/b", "all"])
def test_a_region_is_named_so_that_it_can_be_a_folder(name):
    with pytest.raises(ConfigError, match="rename it"):
        Region(name, shapely.MultiPolygon([shapely.box(0, 0, 1, 1)]))


SQUARE = shapely.box(5.8, 51.2, 6.2, 51.4)


@pytest.mark.parametrize("ending", ["geojson", "gpkg", "parquet"])
@pytest.mark.parametrize("crs", [4326, 32632])
def test_a_file_of_any_form_and_crs(tmp_path, ending, crs):
    path = tmp_path / f"Mein Gebiet.{ending}"
    shapes = shapely.segmentize([SQUARE, shapely.box(6.2, 51.2, 6.4, 51.4)], 0.01)  # curved in UTM
    frame = gpd.GeoDataFrame(geometry=shapes, crs=4326).to_crs(crs)
    if ending == "parquet":
        frame.to_parquet(path)
    else:
        frame.to_file(path)
    region = find(str(path))
    assert re.fullmatch(r"mein-gebiet-[0-9a-f]{8}", region.name)
    assert region.contains(6.2, 51.3)
    assert region.geometry.symmetric_difference(shapely.box(5.8, 51.2, 6.4, 51.4)).area < 1e-6
    assert from_file(path).name == region.name


def test_another_content_is_another_region(tmp_path):
    names = set()
    for east in (6.2, 6.3):
        gpd.GeoDataFrame(geometry=[shapely.box(5, 51, east, 52)], crs=4326).to_file(tmp_path / "a.geojson")
        names.add(find(str(tmp_path / "a.geojson")).name)
    assert len(names) == 2


def test_a_projected_file_across_the_antimeridian_with_a_hole(tmp_path):
    pacific = gpd.GeoSeries([shapely.box(-1e6, -1e6, 1e6, 1e6) - shapely.box(-2e5, -2e5, 2e5, 2e5)], crs=3832)
    centre = pacific.to_crs(4326).geometry[0].bounds
    assert centre[2] - centre[0] < 360
    shifted = pacific.translate(xoff=30 * 111_319.49)  # EPSG:3832 is centred on 150°E: this is about 180°
    gpd.GeoDataFrame(geometry=shifted, crs=3832).to_parquet(tmp_path / "p.parquet")
    region = find(str(tmp_path / "p.parquet"))
    lon = np.array([175, -175, 180, 179, -179, 165, 0])
    assert region.contains(lon, np.zeros(7)).tolist() == [True, True, False, False, False, False, False]


def test_longitudes_beyond_180_in_a_file_are_moved_within(tmp_path):
    gpd.GeoDataFrame(geometry=[shapely.box(170, -20, 190, -10)], crs=4326).to_parquet(tmp_path / "p.parquet")
    assert find(str(tmp_path / "p.parquet")).geometry.equals(from_bbox("170,-20,-170,-10").geometry)


def as_file(folder: Path, *rings: list[list[float]], ending: str = "geojson") -> Path:
    path = folder / f"rings.{ending}"
    gpd.GeoDataFrame(geometry=[shapely.Polygon(rings[0], rings[1:])], crs=4326).to_file(path)
    return path


FIJI = [[177, -19], [-178, -19], [-178, -16], [177, -16]]
SUVA, NAMIBIA = (178.4, -18.1), (20.0, -17.0)


@pytest.mark.parametrize("start", range(4))
@pytest.mark.parametrize("ending", ["geojson", "gpkg"])
def test_a_ring_across_the_antimeridian_is_taken_across_it_and_told(tmp_path, start, ending):
    region = find(str(as_file(tmp_path, FIJI[start:] + FIJI[:start], ending=ending)))
    assert region.contains(*SUVA)
    assert not region.contains(*NAMIBIA)
    assert region.geometry.equals(from_bbox("177,-19,-178,-16").geometry)
    assert region.contains(np.array([177, -178, 180, -180]), np.full(4, -17.0)).all()
    assert "across the antimeridian: the ring reaches over 5° of longitude" in region.note


def test_a_ring_that_may_run_either_way_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"from 177° to -178°.*\(177 to 182\), or cut it at 180; for the second put"):
        find(str(as_file(tmp_path, FIJI[::-1])))
    with pytest.raises(ConfigError, match=r"over 20° of longitude\), or the other way"):
        find(str(as_file(tmp_path, [[-170, -60], [170, -60], [170, 60], [-170, 60]])))


def test_rings_that_are_wide_and_say_so_are_left_as_they_are(tmp_path):
    for ring in (
        [[-180, -60], [180, -60], [180, 60], [-180, 60]],
        [[180, 60], [180, -60], [-180, -60], [-180, 60]],
        [[-170, -60], [0, -60], [170, -60], [170, 60], [0, 60], [-170, 60]],
        [[-90, -60], [90, -60], [90, 60], [-90, 60]],
    ):
        region = find(str(as_file(tmp_path, ring)))
        assert region.geometry.area == shapely.Polygon(ring).area
        assert not region.note


def test_a_hole_across_the_antimeridian_is_a_hole_of_a_ring_across_it_and_of_the_world(tmp_path):
    hole = [[179, -18], [179, -17], [-179, -17], [-179, -18]]
    for outline in (FIJI, [[-180, -60], [180, -60], [180, 60], [-180, 60]]):
        region = find(str(as_file(tmp_path, outline, hole)))
        lon = np.array([178.5, 179.5, -179.5, -178.5])
        assert region.contains(lon, np.full(4, -17.5)).tolist() == [True, False, False, True]
        assert region.geometry.area == pytest.approx(shapely.Polygon(outline).area - 2 if outline != FIJI else 13)


def test_a_coast_around_the_pole_with_an_edge_along_it_is_the_cap(tmp_path):
    coast = [[lon, -70 - lon % 7 / 10] for lon in range(-179, 180, 2)]
    for ends in ([[180, -90], [-180, -90]], [[179.5, -90], [-179.5, -90]]):
        region = find(str(as_file(tmp_path, [*coast, *ends])))
        assert region.contains(np.array([0, 90, 178.9]), np.array([-75, -79, -75.0])).all()
        assert not region.contains(np.array([0, 178.9]), np.array([-69, -60.0])).any()
    with pytest.raises(ConfigError, match="runs around a pole"):
        find(str(as_file(tmp_path, coast)))


def test_polygons_within_collections_count_and_what_is_none_is_told(tmp_path):
    both = shapely.GeometryCollection([shapely.box(5, 51, 6, 52), shapely.Point(9, 9)])
    gpd.GeoDataFrame(geometry=[both, shapely.box(6, 51, 7, 52)], crs=4326).to_parquet(tmp_path / "c.parquet")
    region = find(str(tmp_path / "c.parquet"))
    assert region.geometry.area == pytest.approx(2)
    assert region.note == "left out, since they are no polygons: 1 geometries"


def test_a_file_that_a_recipe_names_lies_beside_it(tmp_path, monkeypatch):
    (tmp_path / "recipe").mkdir()
    path = as_file(tmp_path / "recipe", FIJI)
    monkeypatch.chdir(tmp_path)
    recipe = tmp_path / "recipe" / "recipe.toml"
    europe, fiji = regions.of_recipe(recipe, ["europe", path.name])
    assert (europe.name, fiji.name) == ("europe", find(str(path)).name)
    with pytest.raises(ConfigError, match="no such file"):
        find(path.name)
    with pytest.raises(ConfigError, match=rf"{recipe}: \[places\] regions: region .*other.geojson: no such file"):
        regions.of_recipe(recipe, ["other.geojson"])


@pytest.mark.parametrize(
    ("box", "which"),
    [((50, 85, 51, 95), "latitude"), ((1e5, 5, 1e5 + 5, 6), "longitude"), ((5e5, 56e5, 51e4, 561e4), "latitude")],
    ids=["swapped", "far", "metres"],
)
def test_a_file_whose_numbers_are_no_lon_and_lat_is_refused(tmp_path, box, which):
    gpd.GeoDataFrame(geometry=[shapely.box(*box)], crs=4326).to_file(tmp_path / "bad.geojson")
    with pytest.raises(ConfigError, match=f"reaches {which} .* check the file's CRS, and that the order is lon, lat"):
        find(str(tmp_path / "bad.geojson"))


def test_files_that_cannot_be_regions(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        find(str(tmp_path / "missing.geojson"))
    (tmp_path / "bad.geojson").write_text("{")
    with pytest.raises(ConfigError, match="not readable"):
        find(str(tmp_path / "bad.geojson"))
    gpd.GeoDataFrame(geometry=[shapely.Point(1, 2)], crs=4326).to_file(tmp_path / "point.geojson")
    with pytest.raises(ConfigError, match="expected polygons"):
        find(str(tmp_path / "point.geojson"))
    gpd.GeoDataFrame(geometry=[SQUARE]).to_parquet(tmp_path / "nocrs.parquet")
    with pytest.raises(ConfigError, match="no CRS"):
        find(str(tmp_path / "nocrs.parquet"))
    gpd.GeoDataFrame(geometry=[shapely.box(-1e6, -1e6, 1e6, 1e6)], crs=3995).to_parquet(tmp_path / "pole.parquet")
    with pytest.raises(ConfigError, match="around a pole"):
        find(str(tmp_path / "pole.parquet"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[a]\nbox = [0, 0, 1, 1]", r"\[a\] box"),
        ("[a]\nbbox = [0, 0, 1]", "bbox"),
        ("[a]\nbbox = [0, 1, 1, 0]", "not below"),
        ("[a]\nbbox = [0, 0, 1, 1]\nbboxes = [[0, 0, 1, 1]]", "either"),
        ("[a]\n", "either"),
        ("['a.b']\nbbox = [0, 0, 1, 1]", "expected a-z"),
        ("[all]\nbbox = [0, 0, 1, 1]", "expected a-z"),
        ("[a\n", "not TOML"),
    ],
)
def test_regions_toml_is_read_strictly(tmp_path, text, message):
    path = tmp_path / "regions.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as error:
        regions.named(path)
    assert str(path) in str(error.value)
