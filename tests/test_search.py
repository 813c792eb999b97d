"""Searches against recorded items of the real catalogs, and against a catalog on loopback that misbehaves."""

from __future__ import annotations

import copy
import datetime as dt
import json
import math
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import shapely
import stac_geoparquet.arrow
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from curation import grid, resources, search
from curation.catalogs import Catalog, resolve
from curation.model import ConfigError, CurationError, Location, Scene, Season
from curation.recipe import Dataset, load_dataset, read_toml
from curation.search import Endpoint, Found, SearchCell, Searches, cell_of
from curation.sources import SourceSpec
from curation.store import Store
from tests.loopback import Request, serving

EVER = Season("ever", *(dt.datetime(y, 1, 1, tzinfo=dt.UTC) for y in (2010, 2030, 2020)))


def spec(name: str) -> SourceSpec:
    return read_toml(resources.folder("stac_queries") / f"{name}.toml", SourceSpec)


def bands(source: SourceSpec) -> list[str]:
    return [b for a in source.arrays for b in a.bands]


def items_in(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".yaml":
        answers = yaml.load(path.read_text(), Loader=yaml.CSafeLoader)["interactions"]
        return json.loads(answers[0]["response"]["body"]["string"])["features"]
    value = json.loads(path.read_text())
    found = value["features"] if isinstance(value, dict) and "features" in value else value
    return found if isinstance(found, list) else [found]


def cell_at(geometry: dict[str, Any]) -> SearchCell:
    point = shapely.geometry.shape(geometry).representative_point()
    return SearchCell(math.floor(point.y + 90), math.floor(point.x + 180))


def reduced(item: dict[str, Any], source: SourceSpec, form: str) -> Scene:
    """The scene that a catalog of a form makes of one item."""
    catalog = Catalog("test", form, "https://stac.example", is_file=False, own=False)
    cell = cell_at(item["geometry"])
    chosen = source.catalogs[form]
    found = search._reduced([item], source, bands(source), chosen, EVER, cell, dict(chosen.query), catalog)
    assert not found.dropped
    (scene,) = found.scenes
    assert Scene.from_json(json.loads(json.dumps(scene.to_json()))) == scene
    return scene


# --- recorded items ------------------------------------------------------------------------------------------------


def test_sentinel_2_items_of_planetary_computer(shared):
    source = spec("s2l2a")
    items = items_in(shared / "data/stac-geoparquet/data/sentinel-2-l2a-pc.json")
    items += items_in(shared / "data/rustac/crates/core/data/two-sentinel-2-items.json")
    assert len(items) == 6
    for item in items:
        scene = reduced(item, source, "planetary-computer")
        name = item["id"]  # S2B_MSIL2A_20240419T095549_R122_T47XML_20240419T123458
        assert scene.tile == name.split("_")[4][1:]
        assert scene.relative_orbit == int(name.split("_")[3][1:])
        assert scene.time.strftime("%Y%m%dT%H%M%S") == name.split("_")[2]
        assert scene.epsg == 32600 + int(scene.tile[:2])
        assert scene.baseline in ("05.10", "05.11")
        assert scene.offset_dn == 1000
        assert scene.datatake == item["properties"]["s2:datatake_id"][: -len("_N05.10")]
        assert scene.cloud_pct == item["properties"]["eo:cloud_cover"]
        for band in bands(source):
            res = next(int(a.res_m) for a in source.arrays if band in a.bands)
            assert scene.hrefs[band].startswith("https://sentinel2l2a01.blob.core.windows.net/")
            assert scene.hrefs[band].endswith(f"_{band}_{res}m.tif")


def test_sentinel_2_items_of_earth_search(shared):
    source = spec("s2l2a")
    path = "data/rio-tiler-pds/sentinel-cogs/sentinel-s2-l2a-cogs/29/R/KH/2020/2/S2A_29RKH_20200219_0_L2A"
    (item,) = items_in(shared / path / "S2A_29RKH_20200219_0_L2A.json")
    scene = reduced(item, source, "earth-search")
    assert (scene.tile, scene.baseline, scene.epsg, scene.offset_dn) == ("29RKH", "02.14", 32629, 0)
    assert scene.datatake == "GS2A_20200219T112111_024344"
    names = {b: href.rsplit("/", 1)[1] for b, href in scene.hrefs.items()}
    assert names == {b: f"{b}.tif" for b in bands(source)}, "the assets' common names, as files of ESA's bands"
    # A later baseline whose item says that the offset is gone, and one that does not.
    for applied, want in ((True, 0), (False, 1000)):
        later = copy.deepcopy(item)
        later["properties"] |= {"s2:processing_baseline": "05.10", "earthsearch:boa_offset_applied": applied}
        assert reduced(later, source, "earth-search").offset_dn == want


def test_sentinel_2_collection_1_items_of_earth_search(shared):
    source = spec("s2l2a")
    form = source.catalogs["earth-search"].model_copy(update={"collection": "sentinel-2-c1-l2a"})
    source = source.model_copy(update={"catalogs": {"earth-search": form}})
    items = items_in(shared / "data/rustac/crates/server/data/sentinel-2/item-collection.json")
    assert len(items) == 10
    for item in items:
        scene = reduced(item, source, "earth-search")
        assert (scene.tile, scene.epsg, scene.offset_dn) == ("13TDE", 32613, 1000)
        bands_of = {b: href.rsplit("/", 1)[1] for b, href in scene.hrefs.items()}
        assert bands_of == {b: f"{b}.tif" for b in bands(source)}


def test_sentinel_2_items_of_cdse(shared):
    source = spec("s2l2a")
    (path,) = (shared / "data/eometadatatool-cdse/sentinel-2-l2a/example").glob("*.json")
    (item,) = items_in(path)
    scene = reduced(item, source, "cdse")
    assert (scene.tile, scene.epsg, scene.baseline, scene.offset_dn) == ("13VEK", 32613, "05.10", 1000)
    assert scene.datatake == "GS2A_20220217T183431_034773"
    assert scene.orbit_state == "descending"
    assert scene.platform == "sentinel-2a"
    for band in bands(source):
        res = next(int(a.res_m) for a in source.arrays if band in a.bands)
        assert scene.hrefs[band].startswith("s3://eodata/Sentinel-2/MSI/L2A_N0500/2022/02/17/")
        assert scene.hrefs[band].endswith(f"_{band}_{res}m.jp2")


def test_sentinel_1_items_of_planetary_computer(shared):
    source = spec("s1rtc")
    items = items_in(shared / "data/stac-geoparquet/data/sentinel-1-rtc-pc.json")
    items += items_in(shared / "data/stac-geoparquet/cassettes/test_stac_geoparquet/test_smoke[sentinel-1-rtc].yaml")
    items = [i for i in items if set(i["properties"]["sar:polarizations"]) == {"VV", "VH"}]
    assert len(items) >= 4
    for item in items:
        scene = reduced(item, source, "planetary-computer")
        assert scene.orbit_state == item["properties"]["sat:orbit_state"]
        assert scene.orbit_state in ("ascending", "descending")
        assert scene.relative_orbit == item["properties"]["sat:relative_orbit"]
        assert scene.datatake == item["properties"]["s1:datatake_id"]
        assert scene.epsg == item["properties"]["proj:epsg"]
        assert scene.hrefs["VV"].endswith("-vv.rtc.tiff") or scene.hrefs["VV"].endswith("_vv.rtc.tiff"), scene.hrefs
        assert scene.hrefs["VH"] == scene.hrefs["VV"].replace("vv", "vh")
        assert scene.offset_dn == 0


def test_dem_items_of_planetary_computer_and_cdse(shared):
    source = spec("dem")
    items = items_in(shared / "data/stac-geoparquet/data/cop-dem-glo-30-pc.json")
    assert items
    (path,) = (shared / "data/eometadatatool-cdse/copdem-cog/example").glob("*COG_10_*.json")
    (theirs,) = items_in(path)
    for item, form in [*((i, "planetary-computer") for i in items), (theirs, "cdse")]:
        scene = reduced(item, source, form)
        assert scene.epsg == 4326
        assert scene.hrefs["height"].endswith("_DEM.tif")
        # Tiles reach half a pixel west of their degree: that of 180°W a little across the antimeridian.
        assert scene.geometry.area == pytest.approx(1, abs=0.01)


def test_worldcover_items_of_planetary_computer(shared):
    source = spec("worldcover")
    items = items_in(shared / "data/stac-geoparquet/cassettes/test_stac_geoparquet/test_smoke[esa-worldcover].yaml")
    folder = shared / "data/stactools-esa-worldcover/examples"
    items += [i for p in folder.glob("*2021*/*.json") for i in items_in(p)]
    assert len(items) == 2
    for item in items:
        scene = reduced(item, source, "planetary-computer")
        assert (scene.version, scene.epsg) == ("2.0.0", 4326)
        assert scene.time == dt.datetime(2021, 1, 1, tzinfo=dt.UTC)
        assert scene.hrefs["map"].endswith("_Map.tif")
    (old,) = (i for p in folder.glob("*2020*/*.json") for i in items_in(p))
    catalog = Catalog("test", "planetary-computer", "https://stac.example", is_file=False, own=False)
    form = source.catalogs["planetary-computer"]
    found = search._reduced([old], source, ["map"], form, EVER, cell_at(old["geometry"]), dict(form.query), catalog)
    assert not found.scenes
    assert list(found.dropped) == ["esa_worldcover:product_version eq 2.0.0"]


def test_every_item_of_the_real_archive_is_a_scene(shared):
    path = shared / "data/real-archive-belgium/items.json"
    endpoint = Endpoint(resolve(str(path)))
    items = items_in(path)
    for name, collection in (("s2l2a", "sentinel-2-l2a"), ("s1rtc", "sentinel-1-rtc")):
        source = spec(name)
        mine = [i for i in items if i["collection"] == collection]
        offered = [
            b for b in bands(source) if source.catalogs["planetary-computer"].assets.get(b, b) in mine[0]["assets"]
        ]
        found = endpoint.search(source, offered, EVER, cell_at(mine[0]["geometry"]), 100)
        assert [s.id for s in found.scenes] == sorted(i["id"] for i in mine)
        assert not found.dropped
        assert all((path.parent / href).is_file() for s in found.scenes for href in s.hrefs.values())


# --- cells ---------------------------------------------------------------------------------------------------------


@given(
    st.floats(-180, 180), st.floats(-79.9, 83.9), st.sampled_from([60.0, 2640.0, 9960.0])
)  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_a_location_lies_in_one_cell_and_its_footprint_in_the_cells_boxes(lon, lat, size_m):
    epsg, x0, y0 = grid.snapped(lon, lat, size_m)
    centre = grid.transformer(epsg, 4326).transform(x0 + size_m / 2, y0 - size_m / 2)
    at = Location("a", *centre, epsg, x0, y0, size_m, "r", "train")
    cell = cell_of(at)
    south, west = cell.row - 90, cell.col - 180
    assert south <= at.lat < south + 1
    assert west <= (at.lon + 180) % 360 - 180 < west + 1
    assert 0 <= cell.col < 360
    boxes = [shapely.box(*b) for b in cell.boxes]
    assert all(-180 <= b[0] < b[2] <= 180 for b in cell.boxes)
    around = shapely.union_all([shapely.affinity.translate(b, t) for b in boxes for t in (-360, 0, 360)])
    assert around.covers(grid.footprint(at))


def test_cells_are_named_by_their_south_west_corner():
    assert [SearchCell(r, c).name for r, c in ((141, 186), (0, 0), (89, 179), (90, 180))] == [
        "n51e006", "s90w180", "s01w001", "n00e000",
    ]  # fmt: skip


@pytest.mark.parametrize(("col", "count"), [(0, 2), (359, 2), (1, 1), (358, 1)])
def test_cells_at_the_antimeridian_have_two_boxes(col, count):
    boxes = SearchCell(73, col).boxes
    assert len(boxes) == count
    if count == 2:
        assert {b[0] for b in boxes} & {-180.0}
        assert {b[2] for b in boxes} & {180.0}


RING = [(179.0, -17.0), (-179.0, -17.0), (-179.0, -16.0), (179.0, -16.0), (179.0, -17.0)]


@pytest.mark.parametrize(
    "coordinates",
    [
        pytest.param(RING, id="folded"),
        pytest.param([(x % 360, y) for x, y in RING], id="running on"),
        pytest.param([((x % 360) - 360, y) for x, y in RING], id="running on westwards"),
    ],
)
def test_a_footprint_across_the_antimeridian_holds_what_it_holds_and_no_more(coordinates):
    shape = search._footprint({"type": "Polygon", "coordinates": [coordinates]})
    assert shape.is_valid
    assert shape.area == pytest.approx(2)
    assert shape.equals(shapely.union_all([shapely.box(179, -17, 180, -16), shapely.box(-180, -17, -179, -16)]))


def test_a_footprint_in_two_parts_stays_as_it_is():
    two = shapely.union_all([shapely.box(179, -17, 180, -16), shapely.box(-180, -17, -179, -16)])
    assert search._footprint(shapely.geometry.mapping(two)).equals(two)


# --- a catalog on loopback -----------------------------------------------------------------------------------------


def item(name: str, lon: float = 6.5, lat: float = 51.5, **properties: Any) -> dict[str, Any]:
    source = spec("s2l2a")
    shape = shapely.box(lon - 0.2, lat - 0.2, lon + 0.2, lat + 0.2)
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": name, "collection": "sentinel-2-l2a", "links": [],
        "geometry": shapely.geometry.mapping(shape), "bbox": list(shape.bounds),
        "properties": {
            "datetime": "2021-07-01T10:36:29Z", "eo:cloud_cover": 10.0, "proj:epsg": 32632, "platform": "Sentinel-2A",
            "s2:mgrs_tile": "32ULC", "s2:processing_baseline": "05.00", "s2:datatake_id": f"GS2A_{name}_000001_N05.00",
        } | properties,
        "assets": {b: {"href": f"BASE/{name}/{b}.tif?sig=SECRET", "type": "image/tiff"} for b in bands(source)},
    }  # fmt: skip


class Api:
    """A STAC API that pages, ignores what it is asked for, and fails when told to."""

    def __init__(self, items: list[dict[str, Any]]) -> None:
        self.items = items
        self.page = 3
        self.repeat = 0
        """Items of the page before that come again on the next."""
        self.faults: list[str] = []
        self.searches: list[dict[str, Any]] = []
        self.requests = 0

    def answer(self, request: Request) -> None:
        self.requests += 1
        url = f"http://{request.headers['Host']}"
        fault = self.faults.pop(0) if self.faults else ""
        if fault.isdigit():
            request.send(int(fault), b'{"code": "no"}', Retry_After="0")
            return
        body = self._body(request, url)
        data = json.dumps(body).replace("BASE", url).encode()
        if fault == "truncate":
            request.start(200, len(data), Content_Type="application/json")
            request.wfile.write(data[: len(data) // 2])
            request.close_connection = True
            return
        if fault == "half":  # a proxy that cuts, and says so as if it were whole
            data = data[: len(data) // 2]
        request.send(200, data, Content_Type="application/json")

    def _body(self, request: Request, url: str) -> dict[str, Any]:
        path = request.path.partition("?")[0]
        if path in ("", "/"):
            core = "https://api.stacspec.org/v1.0.0"
            return {
                "type": "Catalog", "id": "t", "stac_version": "1.0.0", "description": "t",
                "conformsTo": [f"{core}/core", f"{core}/item-search", f"{core}/collections", f"{core}/item-search#query"],
                "links": [
                    {"rel": "self", "href": url}, {"rel": "root", "href": url},
                    {"rel": "data", "href": f"{url}/collections"},
                    {"rel": "search", "method": "POST", "href": f"{url}/search", "type": "application/geo+json"},
                ],
            }  # fmt: skip
        if path == "/collections":
            extent = {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}}
            found = sorted({i["collection"] for i in self.items})
            made = [
                {"type": "Collection", "id": c, "stac_version": "1.0.0", "description": c, "license": "other",
                 "extent": extent, "links": []}
                for c in found
            ]  # fmt: skip
            return {"collections": made, "links": []}
        asked = json.loads(request.body)
        self.searches.append(asked)
        start = int(asked.get("token", 0))
        part = self.items[max(start - self.repeat, 0) : start + self.page]
        links = []
        if start + self.page < len(self.items):
            after = {"token": start + self.page}
            links = [{"rel": "next", "href": f"{url}/search", "method": "POST", "body": after, "merge": True}]
        return {"type": "FeatureCollection", "features": part, "links": links}


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Api, str]]:
    monkeypatch.setattr(search, "BACKOFF_S", 0)
    made = Api([item(f"s{n:02d}") for n in range(10)])
    with serving(made.answer) as url:
        yield made, url


def ask(url: str, cell: SearchCell | None = None, season: Season = EVER, cloud: float = 90) -> Found:
    source = spec("s2l2a")
    return Endpoint(resolve(url)).search(source, bands(source), season, cell or SearchCell(141, 186), cloud)


NAMES = [f"s{n:02d}" for n in range(10)]


@pytest.mark.parametrize(("page", "repeat"), [(3, 0), (3, 2), (1, 1), (10, 0), (100, 0)])
def test_all_pages_are_read_and_each_id_is_told_once(api, page, repeat):
    made, url = api
    made.page, made.repeat = page, repeat
    found = ask(url)
    assert [s.id for s in found.scenes] == NAMES
    assert not found.dropped
    assert made.searches[0]["limit"] == search.PAGE_ITEMS
    assert "sortby" not in made.searches[0]


@pytest.mark.parametrize("when", range(1, 6))
@pytest.mark.parametrize("fault", ["503", "429", "500", "truncate", "half"])
def test_a_server_that_fails_once_is_asked_again(api, fault, when):
    made, url = api
    endpoint = Endpoint(resolve(url))
    made.faults = [""] * (when - 1) + [fault]
    source = spec("s2l2a")
    found = endpoint.search(source, bands(source), EVER, SearchCell(141, 186), 90)
    assert [s.id for s in found.scenes] == NAMES


def test_a_server_that_keeps_failing_is_an_error_and_no_empty_answer(api):
    made, url = api
    endpoint = Endpoint(resolve(url))
    made.faults = ["503"] * 100
    source = spec("s2l2a")
    with pytest.raises(CurationError, match=r"search of sentinel-2-l2a in \(.*rerun to try again") as caught:
        endpoint.search(source, bands(source), EVER, SearchCell(141, 186), 90)
    assert "\n" not in str(caught.value)


def test_a_refused_request_is_not_repeated(api):
    made, url = api
    endpoint = Endpoint(resolve(url))
    made.faults, made.requests = ["400"] * 100, 0
    source = spec("s2l2a")
    with pytest.raises(CurationError, match="tried 1 times"):
        endpoint.search(source, bands(source), EVER, SearchCell(141, 186), 90)
    assert made.requests == 1


def test_filters_that_the_server_ignores_are_applied_here(api):
    made, url = api
    made.items = [
        item("good"),
        item("cloudy", **{"eo:cloud_cover": 95.0}),
        item("late", datetime="2021-09-01T00:00:00Z"),
        item("last", datetime="2021-08-31T23:59:59.999999Z"),
        item("first", datetime="2021-06-01T00:00:00Z"),
        item("early", datetime="2021-05-31T23:59:59.999Z"),
        item("far", lon=9.5),
        item("other") | {"collection": "sentinel-2-l1c"},
        item("unsaid", **{"s2:processing_baseline": None}),
    ]
    lacking = item("lacking")
    del lacking["assets"]["SCL"]
    broken = item("broken") | {"geometry": None}
    made.items += [lacking, broken]
    summer = Season("summer", *(dt.datetime(2021, m, 1, tzinfo=dt.UTC) for m in (6, 9, 7)))
    found = ask(url, season=summer)
    assert [s.id for s in found.scenes] == ["first", "good", "last"]
    said = {i: reason for reason, ids in found.dropped.items() for i in ids}
    assert said.pop("broken").startswith("unreadable: ")
    assert said == {
        "cloudy": "eo:cloud_cover lte 90",
        "late": "outside the season",
        "early": "outside the season",
        "far": "outside the search cell",
        "other": "of collection sentinel-2-l1c",
        "unsaid": "unreadable: NoBaselineError: the item states no processing baseline",
        "lacking": "unreadable: KeyError: \"no asset 'SCL' for band SCL\"",
    }
    asked = made.searches[0]
    assert asked["query"] == {"eo:cloud_cover": {"lte": 90}}
    assert asked["datetime"] == "2021-06-01T00:00:00Z/2021-08-31T23:59:59.999Z"
    assert asked["collections"] == ["sentinel-2-l2a"]


def test_a_cell_at_the_antimeridian_is_asked_in_two_boxes_and_joined_by_id(api):
    made, url = api
    made.items = [
        item("east", lon=179.7, lat=-16.5),
        item("west", lon=-179.5, lat=-16.5),
        item("far", lon=0, lat=-16.5),
    ]
    folded = item("across", lon=0, lat=-16.5)
    folded["geometry"] = {"type": "Polygon", "coordinates": [RING]}
    made.items.append(folded)
    for col in (0, 359):
        made.searches.clear()
        found = ask(url, SearchCell(73, col))
        assert len({tuple(s["bbox"]) for s in made.searches}) == 2
        assert all(s["bbox"][0] < s["bbox"][2] for s in made.searches)
        assert "across" in [s.id for s in found.scenes]
        assert found.dropped["outside the search cell"][-1:] != ["across"]
        assert ("east" in [s.id for s in found.scenes]) == (col == 359)
        assert ("west" in [s.id for s in found.scenes]) == (col == 0)


def test_signatures_are_cut_off_and_hrefs_told_from_the_catalogs_base(api):
    _, url = api
    for scene in ask(url).scenes:
        assert scene.hrefs["B02"] == f"{scene.id}/B02.tif"


def test_an_unreachable_catalog_is_one_line_that_says_so(monkeypatch):
    monkeypatch.setattr(search, "BACKOFF_S", 0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(
        ConfigError, match=rf"^catalog {url}: does not answer as a STAC API .*check the address"
    ) as caught:
        Endpoint(resolve(url))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("body", [b"<html>login</html>", b"{}", b"[]", b'{"type": "Feature"}'])
def test_an_address_that_is_no_catalog_is_one_line_that_says_so(body):
    with (
        serving(lambda request: request.send(200, body)) as url,
        pytest.raises(ConfigError, match="does not answer as a STAC API") as caught,
    ):
        Endpoint(resolve(url))
    assert "\n" not in str(caught.value)


def test_collections_are_those_the_catalog_has(api, tmp_path):
    made, url = api
    assert Endpoint(resolve(url)).collections() == {"sentinel-2-l2a"}
    path = tmp_path / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": made.items}))
    assert Endpoint(resolve(str(path))).collections() == {"sentinel-2-l2a"}


# --- saved searches ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset("starter")


CELL = SearchCell(141, 186)


def searches(dataset: Dataset, url: str, folder: Path) -> tuple[Searches, list[Any]]:
    made = Searches(dataset, resolve(url), Store(folder))
    return made, [(dataset.specs["s2l2a"], dataset.recipe.season("summer"), CELL)]


def test_a_saved_search_is_replayed_with_the_server_gone(api, dataset, tmp_path):
    made, url = api
    first, wanted = searches(dataset, url, tmp_path)
    assert first.run(wanted) == []
    scenes = first.scenes(*wanted[0])
    assert [s.id for s in scenes] == NAMES
    asked = made.requests
    made.faults = ["503"] * 1000
    again, wanted = searches(dataset, url, tmp_path)
    assert again.run(wanted) == []
    assert again.scenes(*wanted[0]) == scenes
    assert [s.hrefs for s in again.scenes(*wanted[0])] == [s.hrefs for s in scenes]
    assert made.requests == asked


def test_the_same_search_is_saved_in_the_same_bytes(api, dataset, tmp_path):
    made, url = api
    for folder in ("a", "b"):
        one, wanted = searches(dataset, url, tmp_path / folder)
        one.run(wanted)
        made.items.reverse()
        made.page = 4
    a, b = ([(s.key, Store(tmp_path / f).get(s.key)) for s in Store(tmp_path / f).list()] for f in ("a", "b"))
    assert a == b
    assert len(a) == 1


def test_a_refresh_tells_what_has_changed(api, dataset, tmp_path):
    made, url = api
    one, wanted = searches(dataset, url, tmp_path)
    one.run(wanted)
    made.items = [*made.items[2:], item("new")]
    assert one.run(wanted) == []
    assert [s.id for s in one.scenes(*wanted[0])] == NAMES
    told = one.run(wanted, refresh=True)
    assert told == [f"s2l2a summer n51e006: {t}" for t in ("+ new", "- s00", "- s01")]
    assert [s.id for s in one.scenes(*wanted[0])] == ["new", *NAMES[2:]]


@pytest.mark.parametrize(
    "change",
    [
        {"quality": {"max_scene_cloud_pct": 50.0}},
        {"sources": {"s2l2a": {"bands": ["B02"]}}},
        {"seasons": {"summer": {"end": dt.date(2021, 8, 1)}}},
    ],
)
def test_another_query_is_not_answered_from_what_is_saved(api, dataset, tmp_path, change):
    _, url = api
    one, wanted = searches(dataset, url, tmp_path)
    one.run(wanted)
    value = dataset.recipe.model_dump()
    for table, rows in change.items():
        for key, new in rows.items():
            value[table][key] = value[table][key] | new if isinstance(new, dict) else new
    other = Dataset(type(dataset.recipe).model_validate(value), dataset.specs, dataset.path)
    two, wanted = searches(other, url, tmp_path)
    with pytest.raises(CurationError, match="not searched yet, or by another query"):
        two.scenes(*wanted[0])


def test_a_changed_form_is_searched_again(api, dataset, tmp_path):
    made, url = api
    one, wanted = searches(dataset, url, tmp_path)
    one.run(wanted)
    form = dataset.specs["s2l2a"].catalogs["planetary-computer"].model_copy(update={"offset": "none"})
    changed = dataset.specs["s2l2a"].model_copy(update={"catalogs": {"planetary-computer": form}})
    two = Searches(dataset, resolve(url), Store(tmp_path))
    asked = made.requests
    two.run([(changed, *wanted[0][1:])])
    assert made.requests > asked
    assert {s.offset_dn for s in two.scenes(changed, *wanted[0][1:])} == {0}


def test_a_failed_search_saves_nothing(api, dataset, tmp_path):
    made, url = api
    one, wanted = searches(dataset, url, tmp_path)
    _ = one.endpoint
    made.faults = ["503"] * 1000
    with pytest.raises(CurationError, match="rerun to try again"):
        one.run(wanted)
    assert list(Store(tmp_path).list()) == []


# --- files ---------------------------------------------------------------------------------------------------------


def test_hrefs_in_an_item_collection_are_relative_to_its_folder(tmp_path):
    inside, outside = item("a"), item("b")
    for band, asset in inside["assets"].items():
        asset["href"] = f"{tmp_path.resolve()}/pixels/{band}.tif"
    for band, asset in outside["assets"].items():
        asset["href"] = f"./pixels/{band}.tif" if band != "SCL" else "/elsewhere/SCL.tif"
    path = tmp_path / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [inside, outside]}))
    a, b = ask(str(path)).scenes
    assert a.hrefs["B02"] == "pixels/B02.tif"
    assert b.hrefs["B02"] == "./pixels/B02.tif"
    assert b.hrefs["SCL"] == "/elsewhere/SCL.tif"


def test_a_stac_geoparquet_file_gives_the_scenes_of_the_same_items(shared, tmp_path):
    source = spec("s2l2a")
    items = items_in(shared / "data/stac-geoparquet/data/sentinel-2-l2a-pc.json")
    stac_geoparquet.arrow.to_parquet(stac_geoparquet.arrow.parse_stac_items_to_arrow(items), tmp_path / "i.parquet")
    (tmp_path / "i.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    for one in items:
        cell = cell_at(one["geometry"])
        a, b = (
            Endpoint(resolve(str(tmp_path / name))).search(source, bands(source), EVER, cell, 100)
            for name in ("i.parquet", "i.json")
        )
        assert a == b
        assert one["id"] in [s.id for s in a.scenes]
        assert [s.hrefs for s in a.scenes] == [s.hrefs for s in b.scenes]
        assert [shapely.equals_exact(s.geometry, t.geometry, 1e-9) for s, t in zip(a.scenes, b.scenes, strict=True)]


def test_a_recorded_stac_geoparquet_file_is_read(shared):
    source = spec("s2l2a")
    endpoint = Endpoint(resolve(str(shared / "data/rustac/crates/duckdb/data/100-sentinel-2-items.parquet")))
    one = items_in(shared / "data/rustac/crates/core/data/two-sentinel-2-items.json")[0]
    found = endpoint.search(source, bands(source), EVER, cell_at(one["geometry"]), 100)
    assert not found.dropped
    assert len(found.scenes) == 100
    for scene in found.scenes:
        assert f"_T{scene.tile}_" in scene.id
        assert scene.time.strftime("_%Y%m%dT%H%M%S_") in scene.id
        assert scene.offset_dn == 1000


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", "not json"),
        ("b.json", '{"type": "Catalog"}'),
        ("c.json", '{"features": [{"id": "x"}]}'),
        ("d.json", "[1, 2]"),
        ("e.parquet", "not parquet"),
    ],
)
def test_a_file_that_is_no_catalog_is_one_line_that_names_it(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(ConfigError, match=rf"catalog .*{name}: .*expected a STAC") as caught:
        Endpoint(resolve(str(path)))
    assert "\n" not in str(caught.value)
