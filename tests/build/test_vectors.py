"""Shapes of vector files as a source: on the grid of each patch, of the right time, with what was mended and missed."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import re
import shutil
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import rasterio
import shapely
import xarray as xr

import curation
from curation.build.context import Source
from curation.build.picks.drawn_on import DrawnOn
from curation.cubes import contents, selection
from curation.errors import ConfigError
from curation.errors.codes import Code
from curation.model import STATIC, Location, Scene, text_of
from curation.outcomes import Reject
from curation.places import draw, grid
from curation.read import burning, shapes
from curation.recipe.catalogs import Catalog, named, pixels_digest, resolve_all
from curation.recipe.dataset import load_dataset
from curation.recipe.files import folder
from curation.recipe.schema import QualitySpec
from curation.recipe.sources import SourceSpec
from curation.report import estimate
from curation.scenes.candidates import Candidates
from curation.scenes.cells import SearchCell
from curation.scenes.items import Query
from curation.scenes.saved import opened
from curation.work.run import Run
from tests import world as tiny
from tests.run import Curate
from tests.scenes.catalog import EVER

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
tells = { permanent_source = "source", permanent_year = "year" }

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

RECIPE = tiny.recipe(
    "Floods of the tiny world",
    """s1rtc = { pick = "nearest" }
flood = { required = false }
fields = { required = false }
""",
    """[labels]
annual = "fields"

[split]
val_fraction = 0.0

[cube]
slab_patches = 4

[pack]
samples_per_shard = 5
""",
)


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
    edge = [
        (-300, 480),
        (3_480, 480),
        (3_480, -100),
        (-100, -100),
        (-100, -200),
        (-300, -100),
        (-300, -200),
        (-300, -100),
    ]
    area = frame(shapely.Polygon([(x + a, y - b) for a, b in edge]))  # to the middle of column 3, with a spike
    water = frame(
        square(0, 0, 300, 400, 400, 100), square(0, 0, 320, 380, 380, 320), square(0, 2, 0, 100, 100, 0),
        source=["JRC", "https://a.example/m?sig=SECRET1", "elsewhere"], year=[2021.0, 2020.0, 1999.0],
    )  # fmt: skip
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
    assert (int(patch.flood_shapes), int(patch.flood_mended)) == (4, 1)
    # Of those that lie here alone, each once, as text; and no signature.
    assert str(patch.flood_permanent_year.values) == "2020, 2021"
    assert re.fullmatch(r"JRC, https://a.example/m\S*", str(patch.flood_permanent_source.values))
    assert "SECRET1" not in str(patch.flood_permanent_source.values)
    assert str(stored(floods, "summer", 0, 3).flood_permanent_year.values) == ""
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


def test_a_dry_run_counts_no_blocks_of_shapes_and_says_so(floods: Curate, capsys):
    run = Run(floods.dataset, floods.catalogs, floods.store)
    (static,) = estimate.estimates(run, selection.asked_regions(run.dataset, run.catalogs, "all"), [STATIC]).cubes
    assert (static.todo, static.requests, static.read_bytes) == (25, 0, 0)
    assert static.disk_bytes > 0
    assert floods("build", "--dry-run") == 0
    assert "Of flood, fields no request and no byte that is read is counted: shapes" in capsys.readouterr().out


UNLABELLED = """
[split]
rule = "column"
column = "event"
val = ["EMSR8"]
unlabelled = "flood"
buffer_km = 0.06
[pack.shares]
mapped = { source = "flood", least_pct = 60 }
"""


@pytest.mark.slow
def test_a_source_that_is_required_where_there_is_any_gives_labelled_and_unlabelled_samples(floods: Curate, capsys):
    ems, x = floods.world.folder / "ems", ".gpkg"
    shutil.copy(ems / f"EMSR9_DEL_v2{x}", ems / f"EMSR6_DEL_v1{x}")
    (ems / "EMSR6_DEL_v1.json").write_text(json.dumps({"datetime": "2021-06-20T05:50:00Z"}))
    places = floods.world.folder / "places.csv"
    frame_of_places = pd.read_csv(places)
    events = {tiny.name(0, 2): "EMSR6", tiny.name(1, 1): "EMSR8", tiny.name(1, 2): "EMSR5"}
    rows = [tiny.name(n // 5, n % 5) for n in range(len(frame_of_places))]
    frame_of_places["event"] = [events.get(i, e) for i, e in zip(rows, frame_of_places.event, strict=True)]
    frame_of_places.to_csv(places, index=False)
    recipe = floods.world.recipe.read_text()
    for old, new in (
        ("flood = { required = false }", 'flood = { required = "where-any" }'),
        ("fields = { required = false }", "dem = {}"),
        ('[labels]\nannual = "fields"\n', ""),
        ("[split]\nval_fraction = 0.0\n", UNLABELLED),
    ):
        assert old in recipe
        recipe = recipe.replace(old, new)
    floods.world.recipe.write_text(recipe)
    assert floods() == 0
    # There are maps of its event, of no image near enough; there is no map of its event; there is none that touches it.
    assert str(stored(floods, "summer", 0, 2).reason.values) == "time_gap:flood"
    for row, col in ((1, 2), (1, 0)):
        patch = stored(floods, "summer", row, col)
        assert (str(patch.reason.values), str(patch.flood_reason.values)) == ("ok", "no_scene")
    assert floods("pack") == 0
    index = json.loads((floods.folder / "shards/index.json").read_text())
    assert [*index["splits"]] == ["train", "unlabelled", "val"]
    of = {s: {r["id"]: r for r in _samples(floods, s)} for s in index["splits"]}
    assert of["val"].keys() == {tiny.name(0, 1)}
    assert {tiny.name(1, 0), tiny.name(1, 2)} <= of["unlabelled"].keys()
    assert {tiny.name(0, 0)} <= of["train"].keys()
    assert not any(row["mapped"] is None for side in ("train", "val") for row in of[side].values())
    assert {row["mapped"] for row in of["unlabelled"].values()} == {None}  # so no limit leaves any out
    dropped = {d["id"]: d["reason"] for d in pq.read_table(floods.folder / "manifest/dropped.parquet").to_pylist()}
    assert dropped[tiny.name(1, 1)] == "no_labels"  # it would be val
    assert dropped[tiny.name(0, 2)] == "incomplete:summer (time_gap:flood)"
    assert dropped[tiny.name(0, 3)] == "outside_share:mapped"  # half of it is
    assert floods("verify") == 0
    assert floods("report") == 0


def _samples(mine: Curate, side: str) -> list[dict[str, Any]]:
    return pq.read_table(mine.folder / "shards" / side / "samples.parquet").to_pylist()


def test_a_cube_is_bound_to_what_places_say_that_decides_pixels(floods: Curate, capsys):
    recipe, places = floods.world.recipe, floods.world.folder / "places.csv"
    whole, rows = recipe.read_text(), places.read_text()
    recipe.write_text(whole.replace("flood = { required = false }\n", ""))
    assert floods() == 0
    places.write_text(rows.replace("EMSR8", "EMSR7"))  # which decides nothing yet
    assert floods() == 0
    places.write_text(rows)
    recipe.write_text(whole)
    assert floods() == 0  # a cube that stands is given the source, and what it looks at
    assert floods("verify") == 0
    patch = stored(floods, "summer", 0, 1)
    assert (str(patch.flood_scenes.values), str(patch.of_place_event.values)) == ("EMSR8_DEL_v1", "EMSR8")
    read = contents.opened(floods.dataset, floods.store, "europe", "summer").cube  # without the draw
    assert {p.text("event") for p in read.locations} == {"EMSR8", "EMSR9"}
    opened_cube = curation.open_cube(floods.folder, "europe")
    assert str(opened_cube.sel(location=tiny.name(0, 0), season="summer").of_place_event.values) == "EMSR9"
    capsys.readouterr()
    places.write_text(rows.replace("EMSR8", "EMSR7"))
    for verb in ("build", "pack"):
        assert floods(verb) != 0
        said = capsys.readouterr().err
        assert "europe/summer" in said
        assert "locations is" in said
    assert floods("build", "--season", "static") == 0  # fields are nobody's
    places.write_text(rows)
    assert floods() == 0
    places.write_text(rows.replace(",event\n", ",events\n"))
    assert floods() != 0
    assert "no column 'event', which [sources.flood] names; did you mean events?" in capsys.readouterr().err


@pytest.mark.slow
def test_a_build_that_was_killed_goes_on_and_all_of_it_is_proven_packed_and_drawn(floods: Curate, monkeypatch, capsys):
    calls = 0
    burnt = burning.burnt

    def killed(*args: object, **how: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return burnt(*args, **how)

    monkeypatch.setattr(burning, "burnt", killed)
    assert floods() == 130
    monkeypatch.setattr(burning, "burnt", burnt)
    assert floods() == 0
    assert floods("verify") == 0
    assert floods("pack") == 0
    assert floods("verify") == 0
    index = json.loads((floods.folder / "shards/index.json").read_text())
    assert {"flood_10m", "fields_10m"} <= set(index["arrays"])
    assert floods("report") == 0
    page = next(floods.folder.rglob("report*.html")).read_text()
    assert "Delineations of a flood" in page


def test_a_value_of_no_class_fails_with_its_code_and_a_changed_file_is_another_dataset(floods: Curate, capsys):
    path = floods.world.folder / "sources/fields.toml"
    path.write_text(FIELDS.replace(', MAI = "maize"', ""))
    assert floods("build", "--season", "static") == 1
    failed = stored(floods, "static", 0, 0)
    assert str(failed.fields_reason.values) == "unknown_value"
    said = capsys.readouterr().out
    assert "2021.parquet: burn 1: column 'crop' holds 'MAI', which is no class" in said
    assert "expected one of WHE: add it to 'values'" in said
    # Shapes are all in the digest: one that moved makes another dataset, a folder that moved does not.
    before = pixels_digest(floods.dataset, resolve_all(floods.dataset))
    fields = floods.world.folder / "lpis/2021.parquet"
    fields.parent.rename(floods.world.folder / "elsewhere")
    path.write_text(path.read_text().replace('"lpis"', '"elsewhere"'))
    assert pixels_digest(floods.dataset, resolve_all(floods.dataset)) == before
    shapes = floods.world.folder / "elsewhere/2021.parquet"
    data = bytearray(shapes.read_bytes())
    data[len(data) // 2] ^= 1
    shapes.write_bytes(data)
    assert pixels_digest(floods.dataset, resolve_all(floods.dataset)) != before
    path.write_text(path.read_text().replace('"elsewhere"', '"nowhere"'))
    with pytest.raises(
        ConfigError, match=r"source 'fields': \[catalogs.folder\] file: folder '.*nowhere': no such folder"
    ):
        resolve_all(floods.dataset)


def test_a_file_that_cannot_be_read_is_not_left_out_though_others_lie_around_the_place(floods: Curate):
    (floods.world.folder / "lpis/2022.parquet").write_bytes(b"PAR1 cut off")
    assert floods("build", "--season", "static") == 1
    assert str(stored(floods, "static", 0, 0).fields_reason.values) == "unreadable_item"


def test_a_source_of_shapes_is_looked_at_by_itself_and_told_another_folder(floods: Curate):
    path = floods.world.folder / "sources/fields.toml"
    seen = curation.check_source(path).found
    assert "item: 2021, no time" in seen[2]
    assert seen[-1] == "fields_10m (10 m): pixels: wheat 648, maize 648; of 2 shapes, 0 of them mended"
    path.write_text(FIELDS.replace(', MAI = "maize"', "").replace('"lpis"', '"gone"'))
    wrong = curation.check_source(path, str(floods.world.folder / "lpis"), check=False).wrong
    assert wrong[0].endswith("or leave such shapes out by 'where'")
    said = resolve_all(floods.dataset, apart={"fields": str(floods.world.folder / "lpis")})
    assert said.of("fields").location == str(floods.world.folder / "lpis")
    # So does the recipe, which the command goes before; what is said of all sources is not said of this one.
    shutil.copytree(floods.world.folder / "lpis", floods.world.folder / "other")
    recipe = floods.world.recipe
    other = f'fields = {{ required = false, catalog = "{floods.world.folder}/other" }}'
    recipe.write_text(recipe.read_text().replace("fields = { required = false }", other))
    assert resolve_all(floods.dataset).of("fields").location == str(floods.world.folder / "other")
    assert named(floods.dataset, "cdse")["fields"] == str(floods.world.folder / "other")
    assert named(floods.dataset, apart={"fields": "lpis"})["fields"] == "lpis"
    assert named(floods.dataset, "embedded")["fields"] == str(floods.world.folder / "gone")  # as the source's file says


EMS = r"(?P<id>EMSR332_\d+[A-Z]+_(?P<product>\w+)_v(?P<version>\d))_(?P<band>observed_event_a)\.shp$"


def ems(folder: Path, shared: Path) -> dict[str, Scene]:
    """Both delineations of Verona and the one of Pordenone as scenes, each with a time beside it."""
    source = tomllib.loads(FLOOD)
    source["kind"] |= {"burn": [{"file": "observed_event_a", "class": "flood"}]}
    del source["kind"]["area"]
    source["catalogs"]["folder"] = {
        "file": {"folder": str(folder), "pattern": EMS},
        "properties": {"version": "version", "image": "image"},
    }
    for file in shared.glob("data/cems-emsr332/*_v1_observed_event_a.*"):
        shutil.copy(file, folder)
    times = {"01VERONA_DEL": "2018-10-31T05:26:00Z", "01VERONA_DEL_MONIT01": "2018-11-02T17:06:00Z"}
    for name, time in (times | {"08PORDENONE_DEL": times["01VERONA_DEL"]}).items():
        (folder / f"EMSR332_{name}_v1.json").write_text(json.dumps({"datetime": time}))
    spec = SourceSpec.model_validate(source)
    catalog = Catalog("folder-ems", "folder", str(folder), is_file=True, own=True)
    found = {}
    for cell in (SearchCell(135, 191), SearchCell(135, 192), SearchCell(136, 192)):
        answer = opened(catalog).search(Query(spec, spec.kind.sought(("class",)), EVER, cell, 100))
        found |= {s.id: s for s in answer.scenes}
        lost = {u.id: u.reason for u in answer.unreadable}
        assert set(lost) <= {"EMSR332_09VENEZIA_DEL_v1"}
        assert all("nothing says when it was taken" in reason for reason in lost.values())
    return found


def test_a_monitoring_product_is_of_its_own_image(tmp_path, shared: Path):
    scenes = ems(tmp_path, shared)
    first, later = (scenes[f"EMSR332_01VERONA_{p}_v1"] for p in ("DEL", "DEL_MONIT01"))
    assert later.time == dt.datetime(2018, 11, 2, 17, 6, tzinfo=dt.UTC)
    assert set(first.hrefs) == {"observed_event_a"}
    west, south, east, north = gpd.read_file(tmp_path / "EMSR332_01VERONA_DEL_v1_observed_event_a.shp").total_bounds
    assert first.geometry.bounds == pytest.approx((west, south, east, north), abs=1e-4)
    pick = DrawnOn(name="drawn-on", goes_with="s1rtc", max_gap_hours=24)

    def drawn(*its: Scene, on: dt.datetime, image: str = "s1") -> list[str]:
        source: Any = SimpleNamespace(found={"a": Candidates((tuple(its),))})
        slab: Any = SimpleNamespace(excluded=frozenset(), quality=QualitySpec())
        place: Any = SimpleNamespace(id="a")
        return [s.id for s in pick.partners(slab, source, place, dataclasses.replace(first, id=image, time=on))]

    assert drawn(first, later, on=later.time) == [later.id]
    assert drawn(later, first, on=first.time + dt.timedelta(hours=3)) == [first.id]
    with pytest.raises(Reject) as gap:
        drawn(first, later, on=later.time + dt.timedelta(hours=25))
    assert (gap.value.code, gap.value.value) == (Code.TIME_GAP, pytest.approx(25 / 24, abs=1e-3))
    # One that names its image goes with no other, however near in time.
    named = dataclasses.replace(later, image="S1A_7")
    assert drawn(first, named, on=first.time, image="S1A_7") == [later.id]
    with pytest.raises(Reject) as other:
        drawn(named, on=later.time, image="S1A_8")
    assert other.value.code is Code.NO_MATCH
    # Of one image the newest version comes first: 10 is newer than 9.
    old, new = (dataclasses.replace(first, id=name, version=v) for name, v in (("a", "9"), ("b", "10")))
    assert drawn(old, new, on=first.time) == ["b", "a"]
    # Seconds that one version leaves out make it no other time; and a corrected map may state when that was made.
    exact = dataclasses.replace(old, time=first.time + dt.timedelta(seconds=24))
    assert drawn(exact, new, on=exact.time) == ["b", "a"]
    made = dataclasses.replace(new, image="S1A_7", time=first.time + dt.timedelta(days=3))
    assert drawn(dataclasses.replace(old, image="S1A_7"), made, on=first.time, image="S1A_7") == ["b", "a"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (562.0, "562"),
        (562.5, "562.5"),
        (dt.date(2021, 11, 9), "2021-11-09"),
        (dt.datetime(2021, 11, 9), "2021-11-09"),
        (dt.datetime(2021, 11, 9, tzinfo=dt.UTC), "2021-11-09"),
        (dt.datetime(2021, 11, 9, 1, tzinfo=dt.timezone(dt.timedelta(hours=1))), "2021-11-09"),
        (dt.datetime(2021, 11, 9, 5, 30), "2021-11-09T05:30:00Z"),
        (pd.Timestamp("2021-11-09T05:30Z"), "2021-11-09T05:30:00Z"),
    ],
)
def test_a_value_is_the_same_text_whatever_type_its_column_has(value: Any, text: str):
    assert text_of(value) == text


def test_an_event_is_told_by_a_number_whatever_type_its_column_has(tmp_path, shared: Path):
    scene = next(iter(ems(tmp_path, shared).values()))
    scenes = [dataclasses.replace(scene, event=name) for name in ("101", "102", "")]
    pick = DrawnOn(name="drawn-on", event="event")
    middle = scene.geometry.centroid
    epsg, x, y = grid.snapped(middle.x, middle.y, 1_200)
    place = Location("a", middle.x, middle.y, epsg, x, y, 1_200, "italy")
    for said, want in ((101, "101"), (101.0, "101"), ("102", "102")):
        found = pick.of_place(scenes, dataclasses.replace(place, columns={"event": said}))
        assert [s.event for s in found] == [want]
    for said in (101.5, None, ""):
        with pytest.raises(Reject, match="no_scene"):
            pick.of_place(scenes, dataclasses.replace(place, columns={"event": said}))


def test_what_a_source_of_shapes_cannot_mean_is_refused():
    def source(**changes: Any) -> SourceSpec:
        value = tomllib.loads(FLOOD)
        for key, its in changes.items():
            value[key] = value[key] | its if isinstance(value[key], dict) else its
        return SourceSpec.model_validate(value)

    assert source().kind.sought(("class",)) == ("shapes",)
    array = tomllib.loads(FLOOD)["arrays"][0]
    for said, changes in {
        "no class 'floods'; did you mean flood?": {"kind": {"burn": [{"class": "floods"}]}},
        "expected either 'class', which all shapes are, or 'column'": {
            "kind": {"burn": [{"class": "flood", "column": "x"}]}
        },
        "tells 'event': expected a-z": {"kind": {"burn": [{"class": "flood", "tells": {"event": "source"}}]}},
        "tells 'area_m2': expected a-z": {"kind": {"burn": [{"class": "flood", "tells": {"area_m2": "source"}}]}},
        "tells 'a.b': expected a-z": {"kind": {"burn": [{"class": "flood", "tells": {"a.b": "source"}}]}},
        "'values' are those of a 'column'": {"kind": {"burn": [{"class": "flood", "values": {"a": "flood"}}]}},
        "nodata 2 is the code of a class": {"arrays": [array | {"nodata": 2}]},
        "with role = 'classes'": {"arrays": [array | {"role": "data"}]},
        "are no values of dtype uint8": {"kind": {"classes": [{"code": 300, "name": n} for n in ("no water",)]}},
    }.items():
        with pytest.raises(ValueError, match=re.escape(said)):
            source(**changes)


PLACES = """
name = "tiny"
title = "Fields of the tiny world"
seed = 7
[grid]
size_m = 480
[places]
sampler = "file"
file = "places.gpkg"
layer = "fields"
shapes = "cover"
columns = ["crop"]
[seasons]
summer = { start = 2021-06-01, end = 2021-09-01 }
[sources]
s1rtc = { pick = "nearest" }
place-mask = {}
[split]
val_fraction = 0.0
"""


@pytest.mark.parametrize(
    ("change", "stays"),
    [
        (("", ""), True),
        (('shape = "shape_of_file"', ""), False),
        (("[[arrays]]", 'where = { crop = ["rye"] }\n[[arrays]]'), False),
        (("[[arrays]]", 'tells = { kept = "crop" }\n[[arrays]]'), False),
    ],
)
def test_a_file_of_places_is_known_by_its_bytes_unless_places_tell_all_of_their_shapes(
    world: tiny.World, tmp_path: Path, change: tuple[str, str], stays: bool
):
    mine = world.from_afar(tmp_path / "world")
    mine.recipe.write_text(f"{PLACES}\n[search]{mine.recipe.read_text().partition('[search]')[2]}")
    (mine.folder / "sources").mkdir()
    text = (folder("stac_queries") / "place-mask.toml").read_text().replace(*change)
    (mine.folder / "sources/place-mask.toml").write_text(text)
    its, found = [square(1, 1, 0, 400, 400, 0), square(2, 2, 0, 400, 400, 0)], []
    for n in (1, 2):
        layers(mine.folder / "places.gpkg", fields=frame(*its[:n], crop=["rye", "oats"][:n], id=["a", "b"][:n]))
        dataset = load_dataset(str(mine.recipe))
        found.append((pixels_digest(dataset, resolve_all(dataset)), draw.draw(dataset)[0].columns["shape_of_file"]))
    assert (found[0][0] == found[1][0]) is stays
    assert found[0][1] == found[1][1]


@pytest.mark.slow
@pytest.mark.torch
def test_the_shape_of_a_place_is_a_mask_in_cubes_shards_and_batches(world: tiny.World, tmp_path: Path, capsys):
    mine = world.from_afar(tmp_path / "world")
    local = mine.recipe.read_text().partition("[search]")[2]
    mine.recipe.write_text(f"{PLACES}\n[search]{local}")
    x, y = tiny.corner(1, 1)
    triangle = shapely.Polygon([(x, y), (x + 900, y), (x, y - 900)])
    far, bend = square(3, 3, 40, 400, 400, 40), shapely.LineString([(x, y - 2_000), (x + 400, y - 2_000)])

    def write(*its: shapely.Geometry) -> None:
        (mine.folder / "places.gpkg").unlink(missing_ok=True)
        crops, ids = ["rye", "oats", None, "rye"], ["tri", "far", "line", "more"]
        fields = frame(*its, epsg=4326, crop=crops[: len(its)], id=ids[: len(its)])
        layers(mine.folder / "places.gpkg", fields=fields, others=frame(far, other=["a"]))

    write(triangle, far, bend)
    curate = Curate(mine, tmp_path / "root")
    assert curate() == 0
    cube = xr.open_zarr(curate.folder / "cubes/world/static.zarr").load()
    seen = {}
    for k, name in enumerate(cube.id.values.tolist()):
        west, north = float(cube.x0_m[k]), float(cube.y0_m[k])
        centres = np.mgrid[5:480:10, 5:480:10]
        points = shapely.points(west + centres[1], north - centres[0])
        mask = cube["place-mask_10m"].values[k, 0]
        shape = {"tri": triangle, "far": far, "line": bend}[name.partition("-")[0]]
        if shape is bend:  # each pixel that it passes
            assert 0 < mask.sum() <= 48
        else:
            edge = shapely.distance(shape.boundary, points) < 1e-3
            np.testing.assert_array_equal(mask[~edge], shapely.contains(shape, points)[~edge])
            area = float(cube["place-mask_area_m2"][k, 1])
            assert area == pytest.approx(
                shape.intersection(shapely.box(west, north - 480, west + 480, north)).area, rel=1e-3
            )
        seen[name] = int(mask.sum())
    # The square in the triangle's middle holds a part of it, its neighbours others; together they hold all of it.
    assert sum(n for name, n in seen.items() if name.startswith("tri-")) * 100 == pytest.approx(triangle.area, rel=0.02)
    assert curate("pack") == 0
    assert curate("verify") == 0
    from curation.stream import open_shards

    by_id = {name: cube["place-mask_10m"].values[k] for k, name in enumerate(cube.id.values.tolist())}
    for sample in open_shards(curate.folder / "shards"):
        np.testing.assert_array_equal(sample["place-mask_10m"], by_id[sample["key"]])
        assert sample["row_of_file"] == {"tri": 1, "far": 2, "line": 3}[sample["key"].partition("-")[0]]
    assert curate("export", "--scheduler", "none", "--to", str(tmp_path / "out"), "--format", "geotiff") == 0
    for path in (tmp_path / "out").rglob("*place-mask*.tif"):
        with rasterio.open(path) as file:
            assert (file.read() == next(its for name, its in by_id.items() if name in str(path))).all()
    assert len(list((tmp_path / "out").rglob("*place-mask*.tif"))) == len(by_id)
    # Rows at the end of the file are more places, beside which those that stand stay; another shape of these is refused.
    more = square(3, 0, 40, 400, 400, 40)
    write(triangle, far, bend, more)
    assert curate() == 0
    grown = xr.open_zarr(curate.folder / "cubes/world/static.zarr").load()
    assert grown.id.values.tolist()[: len(by_id)] == cube.id.values.tolist()
    np.testing.assert_array_equal(grown["place-mask_10m"].values[: len(by_id)], cube["place-mask_10m"].values)
    assert all(name.startswith("more-") for name in grown.id.values.tolist()[len(by_id) :])
    assert int(grown["place-mask_10m"].values[len(by_id) :].sum()) == 36 * 36
    assert curate("verify") == 0
    capsys.readouterr()
    write(shapely.Polygon([(x, y), (x + 880, y), (x, y - 900)]), far, bend, more)
    assert curate() != 0
    assert "world/static: locations is" in capsys.readouterr().err
    write(triangle, far, bend, more)
    assert curate() == 0


def documented(name: str) -> SourceSpec:
    """A source as the page on vector files has it."""
    page = (folder("stac_queries") / "README.md").read_text()
    its = [toml for toml in re.findall(r"```toml\n(.*?)```", page, re.DOTALL) if f'name = "{name}"\n' in toml]
    return SourceSpec.model_validate(tomllib.loads(its[0]))


def test_the_page_has_the_source_that_is_built_here():
    assert documented("flood").kind == SourceSpec.model_validate(tomllib.loads(FLOOD)).kind


@pytest.mark.parametrize("whole", [True, False])
def test_an_extract_in_overtures_form_is_burnt(tmp_path: Path, monkeypatch, whole: bool):
    monkeypatch.setattr(shapes, "WHOLE_BYTES", 2**30 if whole else 0)
    houses = frame(
        square(0, 0, 0, 480, 100, 0), square(0, 0, 50, 480, 200, 0), square(4, 4, 0, 100, 100, 0), epsg=4326,
        id=["a", "b", "c"], subtype=["residential", None, "medical"], names=[{"primary": "A"}, None, None],
        sources=[[{"dataset": "OpenStreetMap", "record_id": "w1"}]] * 3,
    )  # fmt: skip
    for name, some in (("east", [1, 2]), ("west", [0])):
        path = tmp_path / f"buildings-{name}.parquet"
        houses.iloc[some].to_parquet(path, write_covering_bbox=True, row_group_size=1)
    spec = documented("buildings")
    (name,) = arrays = {spec.array_name(a): a for a in spec.arrays}
    source = Source(
        spec, arrays, spec.catalogs["folder"], str(tmp_path), {}, {}, 0.0, required=True, shift=None
    )  # fmt: skip
    x, y = tiny.corner(0, 0)
    lon, lat = grid.transformer(tiny.EPSG, 4326).transform(x + 240, y - 240)
    place = Location("a", lon, lat, tiny.EPSG, x, y, tiny.SIZE_M, "europe")
    scenes = [
        Scene(
            n, "buildings", dt.datetime(2021, 1, 1, tzinfo=dt.UTC), shapely.box(0, 0, 1, 1), {"shapes": f"{n}.parquet"}
        )
        for n in ("buildings-west", "buildings-east")
    ]
    nobody: Any = None
    pixels, _ = source.files.pixels(nobody, source, place, name, scenes)  # of two tiles neither wipes out the other's
    want = np.zeros((48, 48), "uint8")
    want[:, :20], want[:, :10] = 1, 2
    np.testing.assert_array_equal(pixels, want[np.newaxis])
    facts = source.files.scene_facts(source, place, scenes)
    # Both lie over the ground of the first burn; the second has one of them again.
    assert (facts["buildings_shapes"], facts["buildings_mended"]) == (2, 0)
    np.testing.assert_allclose(facts["buildings_area_m2"], [280 * 480, 100 * 480, 100 * 480], rtol=1e-3)
