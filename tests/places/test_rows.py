import io
import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.cli import main
from curation.errors import ConfigError
from curation.places import draw, from_file, grid, regions, rows
from curation.places.regions import find
from curation.recipe.dataset import Dataset, load_dataset
from curation.recipe.schema import Recipe
from tests.properties import examples

SIZE_M = 2640.0


def recipe(folder: Path, table: str | pd.DataFrame, **places: object) -> Dataset:
    """A recipe of one source with a file of places beside it."""
    path = folder / "places.csv"
    if isinstance(table, str):
        path.write_text(table)
    else:
        table.to_csv(path, index=False)
    places = {"sampler": "file", "file": "places.csv"} | places
    text = "\n".join(f"{k} = {json.dumps(v)}" for k, v in places.items())
    (folder / "recipe.toml").write_text(
        f'name = "given"\ntitle = "Given places"\nseed = 1\n[grid]\nsize_m = 2640\n[places]\n{text}\n'
        "[seasons]\nsummer = { start = 2021-06-01, end = 2021-09-01 }\n[sources]\ns2l2a = {}\n"
    )
    return load_dataset(str(folder))


MIXED = """id,lon,lat
rhine,6.0,51.3
swapped,51.3,6.0
near,6.0001,51.3
rhine,6.0,51.3
meuse,5.9,51.2
namibia,20.0,-17.0
"""
WHY = {
    "swapped": (2, "outside_regions"),
    "near": (3, "same_grid"),
    "rhine": (4, "repeated"),
    "namibia": (6, "outside_regions"),
}


def test_every_row_is_a_location_or_dropped_with_a_reason(tmp_path):
    dataset = recipe(tmp_path, MIXED, regions=["lower-rhine"])
    asked = [find("lower-rhine")]
    found = rows.of(dataset, asked)
    assert {d.location.id: (d.row, d.reason) for d in found.dropped} == WHY
    assert [p.id for p in draw.draw(dataset, asked)] == ["rhine", "meuse"]
    assert found.summary == (
        "places.csv: 6 rows: 2 locations, 4 dropped (outside_regions 2, same_grid 1, repeated 1); "
        "1 would lie within if lon and lat changed places: check them"
    )


@settings(deadline=None, max_examples=examples(40))
@given(st.data())
def test_rows_are_locations_and_dropped_and_never_two_of_one_grid(tmp_path_factory, data):
    n = data.draw(st.integers(1, 12))
    lon = data.draw(
        st.lists(st.sampled_from([5.9, 5.9001, 6.0, 6.0001, 20.0, 51.3, 179.999, -179.999]), min_size=n, max_size=n)
    )
    lat = data.draw(st.lists(st.sampled_from([51.2, 51.2001, 51.3, 6.0, -17.0]), min_size=n, max_size=n))
    table = pd.DataFrame({"lon": lon, "lat": lat})
    if data.draw(st.booleans()):
        table["id"] = [f"p{k}" for k in range(n)]
    asked = [find(name) for name in data.draw(st.sampled_from([["world"], ["lower-rhine"], ["fiji", "europe"]]))]
    dataset = recipe(tmp_path_factory.mktemp("rows"), table, regions=[r.name for r in asked])
    places, found = draw.draw(dataset, asked), rows.of(dataset, asked)
    assert len(places) + len(found.dropped) == found.count == n
    assert len({(p.epsg, p.x0_m, p.y0_m) for p in places}) == len(places)
    if "id" in table:
        assert sorted([p.id for p in places] + [d.location.id for d in found.dropped]) == sorted(table.id)
    for d in found.dropped:
        x, y = lon[d.row - 1], lat[d.row - 1]
        assert (d.location.epsg, d.location.x0_m, d.location.y0_m) == grid.snapped(x, y, SIZE_M)
        assert (d.reason == "outside_regions") == (
            not any(r.contains(d.location.lon, d.location.lat) for r in asked)
        ) or (d.reason == "same_grid")


def test_without_regions_every_given_place_counts(tmp_path):
    table = pd.DataFrame({"lon": [6.0, -170.5, 180.0, 20.0], "lat": [51.3, 83.9, -17.0, -79.9]})
    dataset = recipe(tmp_path, table)
    (world,) = regions.of_recipe(dataset.path, dataset.recipe.places.regions)
    assert [p.region for p in draw.draw(dataset)] == [world.name] * 4 == ["world"] * 4
    assert rows.of(dataset, [world]).dropped == ()


def test_other_samplers_want_regions_and_have_no_rows(tmp_path):
    raw = recipe(tmp_path, MIXED).recipe.model_dump()
    with pytest.raises(ValueError, match=r"regions\n  Field required"):
        Recipe.model_validate(raw | {"places": {"sampler": "uniform", "count": 3}})
    assert rows.of(load_dataset("ssl4eo-s12-ml"), [find("europe")]) is None


def test_a_places_file_s_region_file_lies_beside_the_recipe(tmp_path, monkeypatch):
    dataset = recipe(tmp_path, MIXED, regions=["area.geojson"])
    gpd.GeoDataFrame(geometry=[shapely.box(5.95, 51.25, 6.05, 51.35)], crs=4326).to_file(tmp_path / "area.geojson")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert [p.id for p in draw.draw(dataset) if p.region] == ["rhine"]
    assert (
        main.main(["locate", "--dataset", str(tmp_path), "--catalog", "embedded", "--root", str(tmp_path / "root")])
        == 0
    )


def test_the_command_counts_rows_and_writes_those_that_are_dropped(tmp_path, capsys):
    recipe(tmp_path, MIXED, regions=["lower-rhine"])
    flags = ["--dataset", str(tmp_path), "--catalog", "embedded", "--root", str(tmp_path / "root")]
    assert main.main(["locate", *flags]) == 0
    told = "places.csv: 6 rows: 2 locations, 4 dropped (outside_regions 2, same_grid 1, repeated 1); 1 would lie within"
    out = capsys.readouterr()
    assert told in out.out
    assert told in out.err
    dropped = gpd.read_parquet(tmp_path / "root" / "given" / "manifest" / "dropped.parquet")
    assert {i: (row, reason) for i, row, reason in zip(dropped.id, dropped.row, dropped.reason, strict=True)} == WHY
    assert set(dropped.region) == {""}
    assert dropped.geometry[1].covers(shapely.Point(6.0, 51.3))
    assert main.main(["build", *flags, "--dry-run"]) == 0
    assert told in capsys.readouterr().out


def test_rows_that_are_added_to_the_file_are_accounted_for_where_it_has_grown(tmp_path):
    recipe(tmp_path, MIXED, regions=["lower-rhine"])
    flags = ["--dataset", str(tmp_path), "--catalog", "embedded", "--root", str(tmp_path / "root")]
    assert main.main(["locate", *flags]) == 0
    recipe(tmp_path, f"{MIXED}again,5.9,51.2\nmore,6.1,51.2\n", regions=["lower-rhine"])
    assert main.main(["locate", *flags]) == 0
    manifest = tmp_path / "root" / "given" / "manifest"
    assert sorted(pd.read_parquet(manifest / "locations.parquet").query("region != ''").id) == [
        "meuse",
        "more",
        "rhine",
    ]
    dropped = gpd.read_parquet(manifest / "dropped.parquet")
    told = {i: (row, reason) for i, row, reason in zip(dropped.id, dropped.row, dropped.reason, strict=True)}
    assert told == WHY | {"again": (7, "same_grid")}


def test_where_every_row_is_outside_the_build_says_why(tmp_path, capsys):
    recipe(tmp_path, "lon,lat\n51.3,6.0\n51.4,5.9\n", regions=["lower-rhine"])
    flags = ["--dataset", str(tmp_path), "--catalog", "embedded", "--root", str(tmp_path / "root")]
    assert main.main(["build", *flags, "--dry-run"]) == 2
    err = capsys.readouterr().err
    assert "2 rows: 0 locations, 2 dropped (outside_regions 2); 2 would lie within if lon and lat changed places" in err


def test_what_is_dropped_of_rows_stands_beside_what_is_of_locations(tmp_path):
    found = rows.of(recipe(tmp_path, MIXED, regions=["lower-rhine"]), [find("lower-rhine")])
    place = draw.draw(load_dataset(str(tmp_path)))[0]
    table = gpd.read_parquet(io.BytesIO(rows.table([rows.Dropped(place, "target"), *found.dropped])))
    assert table.row.isna().tolist() == [True, False, False, False, False]
    assert table.reason.tolist() == ["target", "outside_regions", "same_grid", "repeated", "outside_regions"]
    assert len(gpd.read_parquet(io.BytesIO(rows.table([])))) == 0


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            "lon,lat\n51.3,6\n12,102\n",
            r"row 2: lon 12.0, lat 102.0: .*did lon and lat change places\? Else remove the row \(1 ",
        ),
        ("lon,lat\n51,86\n51,87\n", r"row 1: lon 51.0, lat 86.0: [^?]*; remove the row \(2 such rows\)"),
        ("id,lon,lat\na,6,51\n,6.2,51\n", r"row 2: no id \(1 such rows\)"),
    ],
)
def test_rows_that_cannot_be_places_are_refused_with_their_number(tmp_path, table, message):
    with pytest.raises(ConfigError, match=message):
        draw.draw(recipe(tmp_path, table))


def test_an_empty_point_is_refused_and_moves_no_other(tmp_path):
    points = gpd.GeoDataFrame(
        {"id": ["a", "b", "c"]}, geometry=[shapely.Point(6, 51), shapely.Point(), shapely.Point(7, 51)], crs=4326
    )
    recipe(tmp_path, MIXED, file="points.parquet")
    points.to_parquet(tmp_path / "points.parquet")
    with pytest.raises(ConfigError, match=r"row 2: its geometry is empty \(1 such rows\)"):
        draw.draw(load_dataset(str(tmp_path)))
    points.take(np.array([0, 2])).to_parquet(tmp_path / "points.parquet")
    assert [(p.id, round(p.lon)) for p in draw.draw(load_dataset(str(tmp_path)))] == [("a", 6), ("c", 7)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lon,lat\n6.1,51.3,7,8\n", r"rows have 4 values, the header 2 names"),
        ("lon,lat\n6.1,51.3,\n6.2,51.4,\n", r"rows have 3 values, the header 2 names"),
        ("lon,lat,note,lon\n6.1,51.3,a,7\n", r"columns \['lon'\] stand there twice"),
    ],
    ids=["two more", "commas at the ends", "twice"],
)
def test_a_csv_file_whose_values_stand_under_no_name_of_theirs_is_refused(tmp_path, text, message):
    (tmp_path / "places.csv").write_text(text)
    with pytest.raises(ConfigError, match=message):
        from_file.read(tmp_path / "places.csv", 2640.0)


def test_columns_that_are_not_read_may_stand_there_twice(tmp_path):
    (tmp_path / "places.csv").write_text("\ufeffnote,lon,lat,note\na,6.1,51.3,b\n")
    assert from_file.read(tmp_path / "places.csv", 2640.0).places.lon.round(2).tolist() == [6.1]
