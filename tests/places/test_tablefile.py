"""Files of places in each of their formats say the same, and what is no such file is told with what to do."""

import datetime as dt
import json
import shutil

import geopandas as gpd
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from curation.errors import ConfigError
from curation.places import draw, from_file, tablefile
from curation.recipe.dataset import Dataset, load_dataset

SIZE_M = 2640.0
NOON = dt.datetime(2021, 7, 1, 12, tzinfo=dt.UTC)
FRAME = gpd.GeoDataFrame(
    {
        "id": ["001", "002", "003"],
        "crop": ["maize", None, "rice"],
        "count": pd.array([3, None, -1], "Int64"),
        "share": [0.5, None, 2.0],
        "wet": pd.array([True, None, False], "boolean"),
        "day": pd.array([dt.date(2021, 6, 15), None, dt.date(2021, 7, 1)], "date32[pyarrow]"),
        "seen": pd.to_datetime([NOON, None, NOON]),
    },
    geometry=gpd.points_from_xy([8.0, 8.4, 9.0], [50.0, 50.0, 50.0]),
    crs=4326,
)
DAY = [dt.datetime(2021, 6, 15, tzinfo=dt.UTC), None, dt.datetime(2021, 7, 1, tzinfo=dt.UTC)]
WANT = {
    "crop": ["maize", None, "rice"],
    "count": [3, None, -1],
    "share": [0.5, None, 2.0],
    "wet": [True, None, False],
    "day": DAY,
    "seen": [NOON, None, NOON],
}


def recipe(folder, file: str, **places: str | float) -> Dataset:
    more = "".join(f"{key} = {json.dumps(value)}\n" for key, value in places.items())
    (folder / "recipe.toml").write_text(
        f'name = "x"\ntitle = "X"\nseed = 1\n[grid]\nsize_m = 2640\n[places]\nsampler = "file"\nfile = "{file}"\n{more}'
        "[seasons]\nsummer = { start = 2021-06-01, end = 2021-09-01 }\n[sources]\ns2l2a = {}\n"
    )
    return load_dataset(str(folder))


def write(folder, ending: str) -> str:
    path = folder / f"places.{ending}"
    if ending == "csv":
        frame = FRAME.assign(LON=FRAME.geometry.x, Latitude=FRAME.geometry.y).rename(columns={"Latitude": "lat"})
        pd.DataFrame(frame.drop(columns="geometry")).to_csv(path, index=False)
    elif ending == "parquet":
        FRAME.to_crs(3035).to_parquet(path)
    else:
        FRAME.to_crs(4326 if ending == "geojson" else 3035).to_file(path, use_arrow=True)
    return path.name


@pytest.mark.parametrize("ending", ["csv", "parquet", "geojson", "gpkg", "shp"])
def test_a_table_says_the_same_in_each_format(tmp_path, ending):
    name = write(tmp_path, ending)
    found = draw.draw(recipe(tmp_path, name))
    assert [p.id for p in found] == ["001", "002", "003"]
    assert [(round(p.lon, 1), round(p.lat, 1)) for p in found] == [(8.0, 50.0), (8.4, 50.0), (9.0, 50.0)]
    want = {name: values for name, values in WANT.items() if ending != "shp" or name != "seen"}  # a .dbf has days alone
    assert {n: found.table[n].to_pylist() for n in found.user_columns if n in want} == want
    assert set(found.user_columns) == set(WANT)


@pytest.mark.parametrize("has_shapes", [True, False])
def test_a_column_of_text_that_is_no_utf_8_stays_behind_and_is_none_that_is_named(tmp_path, has_shapes):
    bad = pa.array([b"a", b"caf\xe9", b"c"])
    bad = pa.Array.from_buffers(pa.string(), 3, bad.buffers())
    lists = pa.ListArray.from_arrays([0, 1, 2, 3], bad)
    path = tmp_path / "places.parquet"
    FRAME.to_crs(3035).to_parquet(path)
    table = pq.read_table(path)
    if not has_shapes:
        points = {"lon": pa.array(FRAME.geometry.x), "lat": pa.array(FRAME.geometry.y)}
        table = pa.table({n: table[n] for n in table.column_names if n != "geometry"} | points)
    pq.write_table(table.append_column("note", bad).append_column("notes", lists), path)
    found = draw.draw(recipe(tmp_path, path.name))
    assert [p.id for p in found] == ["001", "002", "003"]
    assert set(found.user_columns) == set(WANT)
    left = tablefile.read(path).left_out
    assert left == dict.fromkeys(["note", "notes"], "holds text that is no UTF-8; save it as UTF-8")
    with pytest.raises(ConfigError, match=r"column 'note', which .places. columns names, holds text that is no UTF-8"):
        draw.draw(recipe(tmp_path, path.name, columns=["note"]))
    pq.write_table(table.drop_columns(["id"]).append_column("id", bad), path)
    with pytest.raises(ConfigError, match="column 'id': holds text that is no UTF-8; save it as UTF-8"):
        draw.draw(recipe(tmp_path, path.name))


def test_of_several_layers_one_is_named(tmp_path):
    for layer in ("fields", "wells"):
        FRAME.to_file(tmp_path / "a.gpkg", layer=layer, use_arrow=True)
    with pytest.raises(
        ConfigError, match=r"2 layers with shapes, expected one: fields, wells; say which with \[places\]"
    ):
        draw.draw(recipe(tmp_path, "a.gpkg"))
    assert len(draw.draw(recipe(tmp_path, "a.gpkg", layer="wells"))) == 3
    with pytest.raises(ConfigError, match=r"layer = 'well': no such layer with shapes; did you mean wells?"):
        draw.draw(recipe(tmp_path, "a.gpkg", layer="well"))
    (tmp_path / "a.gpkg-wal").write_bytes(b"unsaved")
    with pytest.raises(ConfigError, match=r"a.gpkg-wal beside it has changes"):
        draw.draw(recipe(tmp_path, "a.gpkg", layer="wells"))
    (tmp_path / "a.csv").write_text("lon,lat\n8,50\n")
    with pytest.raises(ConfigError, match=r"layer = 'x': a file that ends in .csv has no layers"):
        draw.draw(recipe(tmp_path, "a.csv", layer="x"))


def test_a_shapefile_is_all_of_its_files(tmp_path):
    FRAME[["crop", "geometry"]].to_file(tmp_path / "a.shp")
    FRAME[["crop", "geometry"]].assign(crop="rye").to_file(tmp_path / "b.shp")
    spec = recipe(tmp_path, "a.shp")
    before = spec.places_digest()
    shutil.copy(tmp_path / "b.dbf", tmp_path / "a.dbf")  # attributes alone are others
    assert spec.places_digest() != before
    assert draw.draw(spec).table["crop"].to_pylist() == ["rye"] * 3
    (tmp_path / "a.prj").unlink()
    with pytest.raises(ConfigError, match=r"no CRS: its a.prj does not lie beside it"):
        draw.draw(spec)
    (tmp_path / "a.dbf").unlink()
    with pytest.raises(ConfigError, match=r"a Shapefile is several files, and a.dbf does not lie beside it"):
        draw.draw(spec)
    with pytest.raises(
        ConfigError, match=r"no column 'croptype_2021'.*names in a Shapefile have 10 characters at most"
    ):
        draw.draw(recipe(tmp_path, "b.shp", columns=["croptype_2021"]))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"lon;lat;crop\n8,1;50,2;rye\n", "its header is 'lon;lat;crop': ';' separates values, expected commas"),
        (b"lon\tlat\n8\t50\n", r"'\\t' separates values"),
        ("lon,lat\n8,50\n".encode("utf-16"), "UTF-16, expected UTF-8"),
        ("lon,lat,crop\n8,50,Grünland\n".encode("latin-1"), "not UTF-8 .*: save it as UTF-8"),
        (b"x,y,crop\n8,50,rye\n", "x and y may be degrees or metres: call them lon and lat"),
        (b"WKT,crop\nPOINT (8 50),rye\n", "WKT is text, which has no CRS: write the file as GeoJSON"),
        (b"lontitude,lattitude\n8,50\n", "is lontitude meant as longitude. Call it so; is lattitude meant as latitude"),
        (b"", "not readable"),
    ],
)
def test_what_people_export_is_told_with_what_to_do(tmp_path, data, said):
    (tmp_path / "places.csv").write_bytes(data)
    with pytest.raises(ConfigError, match=said):
        from_file.read(tmp_path / "places.csv", SIZE_M)


@pytest.mark.parametrize(
    "names", [("Longitude", "Latitude"), ("LNG", "Lat"), ("long", "lat"), ("decimalLongitude", "decimalLatitude")]
)
def test_points_are_found_by_the_names_that_people_write(tmp_path, names):
    (tmp_path / "places.csv").write_text(f"\ufeffcrop, {names[0]} ,{names[1]}\nrye, 8,50\n")
    found = from_file.read(tmp_path / "places.csv", SIZE_M)
    assert (found.places.lon.round(2).tolist(), found.places.lat.round(2).tolist()) == ([8.0], [50.0])


def test_several_points_of_one_are_one(tmp_path):
    frame = gpd.GeoDataFrame(geometry=[shapely.MultiPoint([(8, 50)])], crs=4326)
    frame.to_file(tmp_path / "a.gpkg")
    assert len(from_file.read(tmp_path / "a.gpkg", SIZE_M).ids) == 1
    frame.geometry = [shapely.MultiPoint([(8, 50), (9, 50)])]
    frame.to_file(tmp_path / "b.gpkg")
    with pytest.raises(ConfigError, match=r"geometries are \['MultiPoint'\]"):
        from_file.read(tmp_path / "b.gpkg", SIZE_M)
