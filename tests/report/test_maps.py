"""Maps: bounds, the antimeridian, and how locations are marked."""

import collections
import dataclasses
import io
import math
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from curation.model import Location
from curation.places import grid
from curation.report import maps, palette
from curation.report.palette import OUTCOMES


def _place(lon: float, lat: float) -> Location:
    epsg, x0, y0 = grid.snapped(lon, lat, 2640)
    return Location(grid.location_id(epsg, x0, y0, 2640), lon, lat, epsg, x0, y0, 2640, "r")


def test_places_across_the_antimeridian_lie_side_by_side():
    places = [_place(179.6, -17.0), _place(-179.7, -17.2)]
    assert not maps.spread(places)
    west, south, east, north = maps._bounds(places, 0.08)
    assert east - west == pytest.approx(0.7 * 1.16, abs=0.1)
    assert south < -17.2 < -17.0 < north
    lon = maps.places_lon(places, (west + east) / 2)
    assert ((lon > west) & (lon < east)).all()


def test_two_continents_are_spread_and_one_region_is_not():
    assert maps.spread([_place(6, 51), _place(-46.5, -23.5)])
    assert not maps.spread([_place(6, 51), _place(6.3, 51.3)])


def test_a_single_place_has_its_surroundings():
    west, south, east, north = maps._bounds([_place(3.02, 50.8)], 0.08)
    assert (east - west) * np.cos(np.radians(50.8)) == pytest.approx(1.2, abs=0.01)
    assert north - south == pytest.approx(1.2 * 0.7, abs=0.01)


@pytest.mark.parametrize("many", [3, 500])  # footprints, points
def test_a_map_shows_every_state_in_its_colour(many: int):
    base = _place(6.0, 51.2)
    places = [dataclasses.replace(base, id=f"p{n}", lon=6 + n % 20 / 40, lat=51.2 + n // 20 / 60) for n in range(many)]
    states = {p.id: ("complete", "rejected", "pending")[n % 3] for n, p in enumerate(places)}
    text = maps.region(states, places, (), "m", "Map of somewhere, for a test")
    ET.fromstring(text)
    for state in ("complete", "rejected", "pending"):
        assert OUTCOMES[state] in text
    assert OUTCOMES["failed"] not in text


def test_the_world_has_land_and_its_dots():
    places = [_place(6, 51), _place(-46.5, -23.5)]
    text = maps.world({p.id: "failed" for p in places}, places, (), "w", "Map of the world, for a test")
    assert text.count(OUTCOMES["failed"]) >= 1
    assert "data:image/png;base64" in text


def test_a_hexagon_has_the_places_that_are_nearest_to_its_centre():
    rng = np.random.default_rng(3)
    x, y = rng.uniform(0, 3, (2, 400))
    lacking, val = rng.random((2, 400)) < 0.4
    found = maps.hexagons(x, y, lacking, val, 0.3)
    high = 0.3 * math.sqrt(3)
    lattice = {(0.3 * i, high * j) for i in range(-1, 12) for j in range(-1, 8)}
    lattice |= {(0.3 * (i + 0.5), high * (j + 0.5)) for i in range(-1, 12) for j in range(-1, 8)}
    expected = collections.defaultdict(list)
    for n in range(400):
        expected[min(lattice, key=lambda c: math.hypot(c[0] - x[n], c[1] - y[n]))].append(n)
    wanted = sorted((*c, len(ns), lacking[ns].mean(), val[ns].mean()) for c, ns in expected.items())
    columns = zip(found.x, found.y, found.count, found.lacking, found.val, strict=True)
    assert np.allclose(sorted(columns), wanted)


def _spread(count: int) -> list[Location]:
    """Over much of the globe; each on land or sea."""
    rng = np.random.default_rng(5)
    lon, lat = rng.uniform(-60, 60, count), rng.uniform(-40, 60, count)
    return [Location(f"p{n}", lon[n], lat[n], 32632, 0.0, 0.0, 2640.0, "r") for n in range(count)]


def _colours(figure: Figure) -> np.ndarray:
    """Pixels of a figure, (n, 3), without those of its ground and of its lines: saturated ones."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=144)
    pixels = np.asarray(Image.open(out).convert("RGB")).reshape(-1, 3).astype(int)
    return pixels[np.ptp(pixels, axis=1) > 60]


def _share_like(pixels: np.ndarray, colour: tuple[int, ...]) -> float:
    return float((np.abs(pixels - np.array(colour)).max(axis=1) < 24).mean())


@pytest.mark.slow
def test_of_a_quarter_million_places_with_every_third_failed_no_part_of_the_map_looks_complete():
    places = _spread(250_000)
    bad = np.random.default_rng(6).random(len(places)) < 0.3
    states = {p.id: "failed" if b else "complete" for p, b in zip(places, bad, strict=True)}
    pixels = _colours(maps._map(states, places, (), (-180, -62, 180, 86), 1.0, 13.2))
    green, red = (palette.rgb(palette.OUTCOMES[s]) for s in ("complete", "failed"))
    assert len(pixels) > 20_000
    third = tuple(round(255 * c) for c in maps.LACKING(0.3)[:3])
    assert _share_like(pixels, third) > 0.8
    assert _share_like(pixels, green) < 0.05  # of which the colour bar
    assert _share_like(pixels, red) < 0.05


def test_a_region_that_failed_in_the_west_is_red_there_and_green_in_the_east():
    places = _spread(20_000)
    states = {p.id: "failed" if p.lon < 0 else "complete" for p in places}
    figure = maps._map(states, places, (), (-60, -40, 60, 60), 1.0, 6.0)
    hexes = figure.axes[0].collections[0]
    east = np.array([path.vertices[:, 0].mean() > 0 for path in hexes.get_paths()])
    face = hexes.get_facecolors()[:, :3]
    assert (face[east][:, 1] > face[east][:, 0]).mean() > 0.95
    assert (face[~east][:, 0] > face[~east][:, 1]).mean() > 0.95


@pytest.mark.parametrize("state", ["pending", "rejected", "failed"])
def test_one_place_that_lacks_something_is_not_hidden_by_complete_ones_at_its_place(state: str):
    base = _place(6.0, 51.2)
    places = [dataclasses.replace(base, id=f"p{n}") for n in range(900)]
    states = {p.id: "complete" for p in places} | {"p450": state}
    text = maps.region(states, places, (), "m", "Map of somewhere, for a test")
    assert text.rindex(OUTCOMES[state]) > text.rindex(OUTCOMES["complete"])


@pytest.mark.parametrize(
    "places",
    [
        [dataclasses.replace(_place(6 + n / 30, 51), id=f"p{n}") for n in range(4)],  # as footprints
        _spread(500),  # as points
        _spread(1_500),  # by hexagon
    ],
    ids=len,
)
def test_what_is_not_of_train_is_marked_and_told(places: list[Location]):
    states, one = {p.id: "complete" for p in places}, {places[0].id}
    plain, marked = (maps.region(states, places, its, "m", "Map of somewhere, for a test") for its in ((), one))
    if len(places) <= maps.MOST_POINTS:
        assert marked.count("currentColor") > plain.count("currentColor")
    assert plain != marked
    assert "not of train" not in maps.note(places, (), packed=True)
    assert "not of train (1)" in maps.note(places, one, packed=True)
    assert "not of train (1, as planned)" in maps.note(places, one, packed=False)


def test_the_meridian_of_180_degrees_lies_on_neither_side():
    for places in ([_place(6, 51), _place(-46.5, -23.5)], [_place(179.6, -17.0), _place(-179.7, -17.2)]):
        draw = maps.world if maps.spread(places) else maps.region
        text = draw({p.id: "failed" for p in places}, places, (), "w", "Map of the world, for a test")
        assert "180°" in text
        assert not re.search("180°[EW]", text)
    assert [maps._degrees(v, "E", "W") for v in (-180.0, -90, 0, 90, 180)] == ["180°", "90°W", "0°", "90°E", "180°"]


@pytest.mark.parametrize("tall", [(0.5, 30.0), (30.0, 0.5), (0.5, 0.5), (359.0, 5.0), (1.0, 120.0)])
@pytest.mark.parametrize("lat", [-40.0, 0.0, 65.0])
def test_the_map_of_a_region_is_no_strip(tall: tuple[float, float], lat: float):
    x, y = tall
    west, south, east, north = maps._shaped((10 - x / 2, max(lat - y / 2, -90), 10 + x / 2, min(lat + y / 2, 90)))
    wide = (east - west) * math.cos(math.radians((south + north) / 2))
    assert (north - south) / wide <= maps._TALLEST * 1.001 or east - west == 360
    assert (north - south) / wide >= maps._FLATTEST * 0.999 or 90 in (-south, north)
    assert west <= 10 - x / 2
    assert east >= 10 + x / 2


def test_places_in_a_line_have_a_map_of_a_page_s_shape():
    for line in ([(-70, -18 - n / 2) for n in range(60)], [(10 + n / 3, 50) for n in range(60)]):
        places = [dataclasses.replace(_place(*at), id=f"p{n}") for n, at in enumerate(line)]
        text = maps.region({p.id: "complete" for p in places}, places, (), "m", "Map of somewhere, for a test")
        width, height = map(float, ET.fromstring(text).attrib["viewBox"].split()[2:])
        assert 0.5 < height / width < 1.6
