"""Catalogs in files."""

from __future__ import annotations

import datetime as dt
import gc
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
import stac_geoparquet.arrow

from curation.errors import ConfigError
from curation.model import Window, iso
from curation.recipe.catalogs import resolve
from curation.scenes.cells import SearchCell
from curation.scenes.items import Query, reduced
from curation.scenes.saved import opened
from tests.properties import fast
from tests.scenes.catalog import CELL, EVER, RING, SPOILT, ask, bands, cell_at, item, items_in, query, spec
from tests.scenes.recorded import Recorded, every, sentinel_2


def test_every_item_of_the_real_archive_is_a_scene(shared):
    path = shared / "data/real-archive-belgium/items.json"
    endpoint = opened(resolve(str(path)))
    items = items_in(path)
    for name, collection in (("s2l2a", "sentinel-2-l2a"), ("s1rtc", "sentinel-1-rtc")):
        source = spec(name)
        mine = [i for i in items if i["collection"] == collection]
        offered = [
            b for b in bands(source) if source.catalogs["planetary-computer"].assets.get(b, b) in mine[0]["assets"]
        ]
        found = endpoint.search(Query(source, tuple(offered), EVER, cell_at(mine[0]["geometry"]), 100))
        assert [s.id for s in found.scenes] == sorted(i["id"] for i in mine)
        assert not found.dropped
        assert all((path.parent / href).is_file() for s in found.scenes for href in s.hrefs.values())


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
        a, b = (opened(resolve(str(tmp_path / name))).search(query(source, cell)) for name in ("i.parquet", "i.json"))
        assert a == b
        assert one["id"] in [s.id for s in a.scenes]
        assert [s.hrefs for s in a.scenes] == [s.hrefs for s in b.scenes]
        assert [shapely.equals_exact(s.geometry, t.geometry, 1e-9) for s, t in zip(a.scenes, b.scenes, strict=True)]


def test_a_recorded_stac_geoparquet_file_is_read(shared):
    source = spec("s2l2a")
    endpoint = opened(resolve(str(shared / "data/rustac/crates/duckdb/data/100-sentinel-2-items.parquet")))
    one = items_in(shared / "data/rustac/crates/core/data/two-sentinel-2-items.json")[0]
    found = endpoint.search(query(source, cell_at(one["geometry"])))
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
        opened(resolve(str(path)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("said", SPOILT.values(), ids=SPOILT)
def test_a_value_that_is_none_costs_its_item_alone_and_no_file(tmp_path, said):
    bad = item("bad", **{"eo:cloud_cover": "SPOILT"})
    path = tmp_path / "items.json"
    text = json.dumps({"type": "FeatureCollection", "features": [item("a"), bad, item("b")]}).encode()
    path.write_bytes(text.replace(b'"SPOILT"', said))
    found = ask(str(path))
    assert [s.id for s in found.scenes] == ["a", "b"]
    assert [its.id for its in found.unreadable] == ["bad"]


# --- sweeps --------------------------------------------------------------------------------------------------------

MONTHS = [
    Window(f"m{m}", *(dt.datetime(2021, m, d, tzinfo=dt.UTC) for d in (1, 28, 14))) for m in (3, 6, 7)
]  # fmt: skip


def scattered(count: int, seed: int) -> list[dict[str, Any]]:
    """Items around the cells of `queries`, some beyond them, some across the antimeridian, some cloudy, some broken."""
    rng = np.random.default_rng(seed)
    found = []
    for n in range(count):
        lon, lat = rng.choice([6.5, 7.4, 12.0, 179.9, -179.9]), 51.5 + rng.uniform(-1.5, 1.5)
        time = dt.datetime(2021, 1, 1, tzinfo=dt.UTC) + dt.timedelta(days=float(rng.uniform(30, 250)))
        one = item(f"s{n:03d}", lon=lon + rng.uniform(-0.9, 0.9), lat=lat, datetime=iso(time.replace(microsecond=0)))
        one["properties"]["eo:cloud_cover"] = float(rng.uniform(0, 100))
        if n % 17 == 0:
            one["properties"]["s2:processing_baseline"] = None
        if n % 13 == 0:
            del one["assets"]["B11"]
        found.append(one)
    across = item("across")
    across["geometry"] = {"type": "Polygon", "coordinates": [RING]}
    return [*found, across]


def forms_of(items: list[dict[str, Any]], folder: Path) -> list[Path]:
    """The same items as an ItemCollection, as one table of many row groups, and as tables in folders."""
    table = stac_geoparquet.arrow.parse_stac_items_to_arrow(items)
    table = pa.table(table.read_all() if hasattr(table, "read_all") else table)
    (folder / "i.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    pq.write_table(table, folder / "i.parquet", row_group_size=9)
    (folder / "many" / "more.parquet").mkdir(parents=True)
    for n in range(0, len(table), 30):
        where = folder / "many" if n < 90 else folder / "many" / "more.parquet"
        pq.write_table(table.slice(n, 30), where / f"part-{n}.parquet")
    return [folder / "i.json", folder / "i.parquet", folder / "many"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", fast([0], range(3)))
def test_a_sweep_finds_for_each_query_what_asking_each_item_finds(tmp_path, seed):
    source = spec("s2l2a")
    items = scattered(200, seed)
    cells = [SearchCell(141, 186), SearchCell(141, 187), SearchCell(140, 0), SearchCell(73, 0), SearchCell(73, 359)]
    asked = [query(source, cell, season, 60) for season in [*MONTHS, EVER] for cell in cells]
    for path in forms_of(items, tmp_path):
        catalog = resolve(str(path))
        form = source.catalogs["planetary-computer"]
        expected = [reduced(items, q, form, catalog).scenes for q in asked]  # as where a server filters nothing
        assert sum(map(len, expected)) > 30
        found = list(opened(catalog).sweep(asked))
        assert [q for q, _ in found] == asked
        for (q, its), want in zip(found, expected, strict=True):
            assert its.scenes == want, q
            assert [s.hrefs for s in its.scenes] == [s.hrefs for s in want]
            assert {r.split(":")[0] for r in its.dropped} <= {"unreadable"}
        lost = {i for _, its in found for ids in its.dropped.values() for i in ids}
        assert lost
        assert all(int(i[1:]) % 17 == 0 or int(i[1:]) % 13 == 0 for i in lost)


@pytest.mark.slow
def test_only_the_row_groups_of_the_time_asked_for_are_read(tmp_path, monkeypatch):
    items = sorted(scattered(200, 5), key=lambda i: i["properties"]["datetime"])
    _, path, _ = forms_of(items, tmp_path)
    read: list[int] = []
    real = pq.ParquetFile.iter_batches

    def counted(self, *args, row_groups, **kwargs):
        read.extend(row_groups)
        return real(self, *args, row_groups=row_groups, **kwargs)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", counted)
    opened(resolve(str(path))).search(query(spec("s2l2a"), CELL, MONTHS[1]))
    groups = pq.ParquetFile(path).num_row_groups
    assert groups > 20
    assert 0 < len(read) < groups / 3


def test_items_without_a_place_are_told(tmp_path, caplog):
    lost = item("lost") | {"geometry": None}
    path = tmp_path / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [item("here"), lost]}))
    assert [s.id for s in ask(str(path)).scenes] == ["here"]
    assert "1 items of sentinel-2-l2a have no readable geometry and are left out (lost …)" in caplog.text


def test_a_footprint_in_a_table_that_is_none_costs_its_item_alone(tmp_path):
    made = stac_geoparquet.arrow.parse_stac_items_to_arrow([item("broken"), item("here")])
    table = pa.table(made.read_all() if hasattr(made, "read_all") else made)
    shapes = [b"no shape", table["geometry"].to_pylist()[1]]
    column = table.schema.get_field_index("geometry")
    pq.write_table(table.set_column(column, "geometry", pa.array(shapes, pa.binary())), tmp_path / "i.parquet")
    found = ask(str(tmp_path / "i.parquet"))
    assert [s.id for s in found.scenes] == ["here"]
    assert [(u.id, u.geometry) for u in found.unreadable] == [("broken", None)]


def table_of(items: list[dict[str, Any]], **columns: pa.Array) -> pa.Table:
    """Items as a table, with other columns in place of its own."""
    made = stac_geoparquet.arrow.parse_stac_items_to_arrow(items)
    table = pa.table(made.read_all() if hasattr(made, "read_all") else made)
    for name, column in columns.items():
        at = table.schema.get_field_index(name)
        table = table.append_column(name, column) if at < 0 else table.set_column(at, name, column)
    return table


def texts(values: list[bytes | None]) -> pa.Array:
    """Texts of these bytes, whatever they are: Parquet says that they are UTF-8, and nobody looks."""
    made = pa.array(values, pa.binary())
    return pa.Array.from_buffers(pa.string(), len(made), made.buffers())


@pytest.mark.parametrize("where", ["id", "platform", "s2:processing_baseline", "sat:orbit_state"])
def test_a_text_of_a_table_that_is_no_utf_8_costs_its_item_alone(tmp_path, where):
    items = [item("a"), item("bad"), item("b")]
    rows = [("a" if where == "id" else "Sentinel-2A").encode(), b"S2\xff", None if where != "id" else b"b"]
    rows[2] = rows[2] or rows[0]
    if where == "s2:processing_baseline":
        rows[0] = rows[2] = b"03.01"
    if where == "sat:orbit_state":
        rows[0] = rows[2] = b"descending"
    pq.write_table(table_of(items, **{where: texts(rows)}), tmp_path / "i.parquet")
    found = ask(str(tmp_path / "i.parquet"))
    assert [s.id for s in found.scenes] == ["a", "b"]
    assert len(found.unreadable) == 1


def test_an_href_of_a_table_that_is_no_utf_8_costs_its_item_alone(tmp_path):
    made = table_of([item("a"), item("bad"), item("b")])
    assets = made["assets"].combine_chunks()
    fields = [assets.field(n) for n in range(assets.type.num_fields)]
    at = [f.name for f in assets.type].index("B02")
    hrefs = [b"/a.tif", b"/\xfe.tif", b"/b.tif"]
    inner = [texts(hrefs) if f.name == "href" else fields[at].field(n) for n, f in enumerate(fields[at].type)]
    fields[at] = pa.StructArray.from_arrays(inner, names=[f.name for f in fields[at].type])
    whole = pa.StructArray.from_arrays(fields, names=[f.name for f in assets.type])
    pq.write_table(table_of([item("a"), item("bad"), item("b")], assets=whole), tmp_path / "i.parquet")
    found = ask(str(tmp_path / "i.parquet"))
    assert [s.id for s in found.scenes] == ["a", "b"]
    assert [u.id for u in found.unreadable] == ["bad"]


def test_a_collection_of_a_table_that_is_no_utf_8_is_none_of_those_asked_for(tmp_path):
    of = texts([b"sentinel-2-l2a", b"sentinel-\xff", b"sentinel-2-l2a"])
    pq.write_table(table_of([item("a"), item("bad"), item("b")], collection=of), tmp_path / "i.parquet")
    assert [s.id for s in ask(str(tmp_path / "i.parquet")).scenes] == ["a", "b"]


IN_JULY = dt.datetime(2021, 7, 3, 10, tzinfo=dt.UTC)
IN_MARCH = dt.datetime(2021, 3, 3, 10, tzinfo=dt.UTC)
TWO = [item("july", datetime=iso(IN_JULY)), item("march", datetime=iso(IN_MARCH))]


def asked_of(table: pa.Table, folder: Path) -> Any:
    """What a search for July finds in a table."""
    pq.write_table(table, folder / "i.parquet")
    return opened(resolve(str(folder / "i.parquet"))).search(query(spec("s2l2a"), CELL, MONTHS[2]))


def test_an_item_without_a_time_of_its_own_is_found_by_when_it_started_whatever_lies_beside_it(tmp_path):
    us = pa.timestamp("us", "UTC")
    times = {
        "datetime": pa.array([None, IN_MARCH], us),
        "start_datetime": pa.array([IN_JULY, IN_MARCH], us),
    }
    assert [s.id for s in asked_of(table_of(TWO, **times), tmp_path).scenes] == ["july"]


@pytest.mark.parametrize("stated", [[None, "sentinel-2-l2a"], [None, "another"], [None, None]])
def test_an_item_of_a_table_that_does_not_say_of_which_collection_it_is_is_looked_at(tmp_path, stated):
    found = asked_of(table_of(TWO, collection=pa.array(stated, pa.string())), tmp_path)
    assert [s.id for s in found.scenes] == ["july"]


@pytest.mark.parametrize("unit", ["s", "ms", "us"])
@pytest.mark.parametrize("seconds", [10**14, -(10**14), 253_402_300_800, -62_135_596_801])
def test_a_time_that_no_calendar_has_costs_its_item_alone(tmp_path, unit, seconds):
    per_second = {"s": 1, "ms": 1000, "us": 10**6}[unit]
    wild = max(min(seconds * per_second, 2**63 - 1), -(2**63) + 1)
    times = pa.array([int(IN_JULY.timestamp()) * per_second, wild], pa.int64()).cast(pa.timestamp(unit, "UTC"))
    found = asked_of(table_of(TWO, datetime=times), tmp_path)
    assert [s.id for s in found.scenes] == ["july"]
    assert [(u.id, u.time) for u in found.unreadable] == [("march", None)]


def test_a_table_whose_assets_are_none_is_no_catalog(tmp_path):
    with pytest.raises(
        ConfigError, match=r"i\.parquet: expected a STAC-GeoParquet file: its assets are of type string"
    ):
        asked_of(table_of(TWO, assets=pa.array(["a", "b"])), tmp_path)


def test_an_asset_of_a_table_that_is_none_costs_its_items_alone(tmp_path):
    assets = [{"B02": "b02.tif"}] * 2
    found = asked_of(table_of(TWO, assets=pa.array(assets, pa.struct([("B02", pa.string())]))), tmp_path)
    assert [u.id for u in found.unreadable] == ["july"]


def others() -> tuple[Recorded, ...]:
    """Recorded items of catalogs whose forms differ, one or two of each."""
    found: dict[str, list[Recorded]] = {}
    for one in sentinel_2():
        found.setdefault(one.provider, []).append(one)
    return tuple(one for its in found.values() for one in its[:2])


@pytest.mark.parametrize("one", every(others()))
@pytest.mark.parametrize("files", ["", "-https"])
def test_a_table_says_of_a_recorded_item_what_the_item_says_in_each_form(tmp_path, one: Recorded, files):
    if files and one.provider != "cdse":
        pytest.skip("has one href an asset")
    source = spec("s2l2a")
    form = source.catalogs[one.provider]
    (tmp_path / "i.json").write_text(json.dumps({"type": "FeatureCollection", "features": [one.item]}))
    pq.write_table(table_of([one.item]), tmp_path / "i.parquet")
    there = tuple(b for b in bands(source) if form.assets.get(b, b) in one.item["assets"])
    asked = Query(source, there, EVER, cell_at(one.item["geometry"]), 100)
    names = (f"{one.provider}{files}+{tmp_path / name}" for name in ("i.json", "i.parquet"))
    here, there_ = (opened(resolve(name)).search(asked) for name in names)
    assert [s.id for s in here.scenes] == [one.item["id"]]
    assert there_.scenes == here.scenes
    assert [s.hrefs for s in there_.scenes] == [s.hrefs for s in here.scenes]


def test_the_name_of_a_catalog_of_many_files_follows_from_what_they_hold(tmp_path):
    *_, folder = forms_of(scattered(60, 1), tmp_path)
    before = resolve(str(folder)).identity
    assert resolve(str(folder)).identity == before
    assert resolve(str(folder)).base == str(folder.resolve())
    part = min(folder.glob("part-*.parquet"))
    pq.write_table(pq.read_table(part).slice(1), part)
    assert resolve(str(folder)).identity != before
    part.write_bytes(b"short")
    with pytest.raises(ConfigError, match=rf"{part.name}: expected a STAC-GeoParquet file"):
        opened(resolve(str(folder)))


def test_a_radar_item_of_a_table_that_has_one_polarisation_is_whole(tmp_path):
    both = item("both") | {"collection": "sentinel-1-rtc", "assets": {b: {"href": f"{b}.tif"} for b in ("vv", "vh")}}
    both["properties"] |= {"sar:polarizations": ["VV", "VH"], "sar:instrument_mode": "IW"}
    one = both | {"id": "one", "assets": {"vv": {"href": "vv.tif"}}}
    one["properties"] = both["properties"] | {"sar:polarizations": ["VV"]}
    made = stac_geoparquet.arrow.parse_stac_items_to_arrow([both, one])
    stac_geoparquet.arrow.to_parquet(made, tmp_path / "i.parquet")
    found = opened(resolve(str(tmp_path / "i.parquet"))).search(query(spec("s1rtc"), cell_at(both["geometry"])))
    assert [s.id for s in found.scenes] == ["both"]
    assert not found.unreadable


@pytest.mark.slow
def test_of_the_searches_of_a_sweep_nothing_is_kept_but_their_cells(tmp_path):
    source = spec("s2l2a")
    *_, path = forms_of(scattered(60, 1), tmp_path)
    cells = [SearchCell(141, col) for col in range(180, 220)]
    alive: list[int] = []

    def looked_at(items: int) -> None:
        alive.append(sum(type(each) is Query for each in gc.get_objects()))

    asked = (query(source, SearchCell(cell.row, cell.col), season, 60) for season in MONTHS for cell in cells)
    gc.collect()
    before = sum(type(each) is Query for each in gc.get_objects())
    found = [q for q, _ in opened(resolve(str(path))).sweep(asked, looked_at)]
    assert [(q.window, q.cell) for q in found] == [(season, cell) for season in MONTHS for cell in cells]
    assert max(alive) - before <= len(MONTHS) + 1
