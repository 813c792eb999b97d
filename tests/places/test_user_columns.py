"""What a file of places says beside grids goes with its locations, typed."""

import datetime as dt

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given as drawn_from
from hypothesis import strategies as st

from curation.errors import ConfigError
from curation.pack.split import sides
from curation.places import dates, draw, parquet, regions, rows, user_columns
from curation.places.locations import Locations
from curation.recipe import columns
from curation.recipe.dataset import Dataset, load_dataset
from curation.recipe.schema import Recipe
from curation.store.objects import Store

EXAMPLE = load_dataset("ssl4eo-s12-ml")
TIME = pa.timestamp("us", "UTC")


def dataset(folder, names, **changes) -> Dataset:
    places = {"sampler": "file", "file": "places.csv", "columns": names, "regions": ["world"]}
    raw = EXAMPLE.recipe.model_dump() | {"places": places} | changes
    return Dataset(Recipe.model_validate(raw), EXAMPLE.specs, folder / "recipe.toml")


TABLE = """id,lon,lat,date,label,count,share,wet,else
a,8.0,50.0,2021-06-15,forest,3,0.5,true,1
b,8.4,50.0,2021-07-01T12:00:00Z,,4,,false,2
b,8.4,50.0,2022-07-01,again,5,1.5,false,2
c,9.0,50.0,,city,-1,2,,3
"""


def test_columns_are_typed_and_go_with_the_first_row_of_each_place(tmp_path):
    (tmp_path / "places.csv").write_text(TABLE)
    spec = dataset(tmp_path, ["date", "label", "count", "share"])
    found = draw.draw(spec)
    assert [p.id for p in found] == ["a", "b", "c"]
    assert [found.table[c].type for c in found.user_columns] == [TIME, pa.string(), pa.int64(), pa.float64()]
    noon = dt.datetime(2021, 7, 1, 12, tzinfo=dt.UTC)
    assert [dict(p.columns) for p in found] == [
        {"date": dt.datetime(2021, 6, 15, tzinfo=dt.UTC), "label": "forest", "count": 3, "share": 0.5},
        {"date": noon, "label": None, "count": 4, "share": None},
        {"date": None, "label": "city", "count": -1, "share": 2.0},
    ]
    # They come back from the record of the draw, and from values, as they were.
    store = Store(tmp_path / "store")
    parquet.save(found, store, "locations.parquet", spec)
    again = parquet.load(store, "locations.parquet", spec)
    assert again == found
    assert again.table.schema == found.table.schema
    assert Locations.of(list(found)) == found
    plain = pq.read_table(tmp_path / "store/locations.parquet")
    assert plain["label"].to_pylist() == ["forest", None, "city"]
    assert plain.schema.field("date").type == TIME


def test_an_empty_list_of_columns_is_none_and_another_list_is_another_draw(tmp_path):
    (tmp_path / "places.csv").write_text(TABLE)
    none, one = dataset(tmp_path, []), dataset(tmp_path, ["label"])
    assert draw.draw(none).user_columns == []
    assert {p.columns == {} for p in draw.draw(none)} == {True}
    assert none.places_digest() != one.places_digest()
    assert none.release_digest() == one.release_digest()


@drawn_from(
    st.sampled_from(
        [
            (st.text(alphabet="abc", min_size=1), pa.string()),
            (st.integers(-(2**63), 2**63 - 1), pa.int64()),
            (st.floats(allow_nan=False, allow_infinity=False), pa.float64()),
            (st.booleans(), pa.bool_()),
            (st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1)), TIME),
        ]
    ).flatmap(lambda kt: st.tuples(st.lists(kt[0] | st.none(), max_size=8).filter(any), st.just(kt[1])))
)
def test_a_value_is_what_the_file_says_and_nothing_is_null(of):
    values, kind = of
    table = pd.DataFrame({"x": pd.Series(values, dtype=object)})
    found = user_columns.columns(table, ["x"], "places")["x"]
    assert found.type == kind
    want = [v.replace(tzinfo=dt.UTC) if isinstance(v, dt.datetime) else v for v in values]
    assert found.to_pylist() == want


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1, "a"], "column 'x': holds int, str; expected text, numbers, true and false, or times: one of them"),
        ([True, 2], "holds bool, int; expected"),
        ([[1], [2]], "holds list; expected"),
        ([float("inf"), 1.0], "holds infinite numbers"),
        ([2**63], "mend it in the file"),
        (["2021-02-30", "2021-02-01"], "mend it in the file"),
        (["https://host/a?id=5", "https://me:S3CRET@host"], "holds URLs with what lets somebody in"),
    ],
)
def test_what_is_of_no_one_type_is_refused(values, said):
    with pytest.raises(ConfigError, match=said.replace("(", r"\(")):
        user_columns.columns(pd.DataFrame({"x": pd.Series(values, dtype=object)}), ["x"], "places")


def test_types_of_a_geoparquet_are_kept(tmp_path):
    frame = gpd.GeoDataFrame(
        {
            "day": pd.to_datetime(["2021-06-15", None]),
            "code": pd.array(["007", "8"], "str"),
            "n": pd.array([1, None], "Int64"),
            "wet": pd.array([True, None], "boolean"),
            "f": np.array([1, 2], "float32"),
        },
        geometry=gpd.points_from_xy([8.0, 9.0], [50.0, 50.0]),
        crs=4326,
    )
    frame.to_parquet(tmp_path / "places.parquet")
    spec = dataset(tmp_path, list(frame.columns[:-1]))
    places = spec.recipe.places.model_copy(update={"file": "places.parquet"})
    spec.recipe = spec.recipe.model_copy(update={"places": places})
    found = draw.draw(spec)
    assert [dict(p.columns) for p in found] == [
        {"day": dt.datetime(2021, 6, 15, tzinfo=dt.UTC), "code": "007", "n": 1, "wet": True, "f": 1.0},
        {"day": None, "code": "8", "n": None, "wet": None, "f": 2.0},
    ]


def test_a_column_that_is_not_there_or_is_taken_is_refused(tmp_path):
    (tmp_path / "places.csv").write_text(TABLE)
    with pytest.raises(ConfigError, match=r"no column 'lable', which \[places\] columns names; did you mean label\?"):
        draw.draw(dataset(tmp_path, ["lable"]))
    for taken in ("region", "shard", "split", "labels_summer", ""):
        with pytest.raises(ValueError, match="have such a column already"):
            dataset(tmp_path, [taken])
    with pytest.raises(ValueError, match="have such a column already"):
        dataset(tmp_path, ["label", "label"])


@pytest.mark.parametrize(
    ("column", "val", "want"),
    [("label", ["city"], "ttv"), ("count", [4], "tvt"), ("wet", [True], "vtt"), ("region", ["world"], "vvv")],
)
def test_a_column_splits(tmp_path, column, val, want):
    (tmp_path / "places.csv").write_text(TABLE)
    rule = {"rule": "column", "column": column, "val": val}
    spec = dataset(tmp_path, [] if column == "region" else [column], split=rule)
    got = sides(spec.recipe, draw.draw(spec))
    assert got.tolist() == [{"t": "train", "v": "val"}[w] for w in want]


def test_a_column_that_cannot_split_is_refused(tmp_path):
    (tmp_path / "places.csv").write_text(TABLE)
    rule = {"rule": "column", "column": "count", "val": ["city"]}
    with pytest.raises(ValueError, match=r"split: column 'count': expected 'region', or one of \[places\] columns"):
        dataset(tmp_path, ["label"], split=rule)
    spec = dataset(tmp_path, ["count"], split=rule)
    with pytest.raises(ConfigError, match=r"\[split\] val = \['city'\]: column 'count' is of int64"):
        sides(spec.recipe, draw.draw(spec))


ODD = """id, Longitude,LAT, Crop Type ,split,Größe,site,site,,mixed,lon_ok,林,PLOT-1,Plot 1!,Plot (1)
a,8.0,50.0, maize,1,0.5,x,y,0,1,2,3,4,5,6
b,8.4,50.0,,1,,x,y,0,a,2,3,4,5,6
c,8.8,50.0,rice,1,2,x,y,0,,2,3,4,5,6
"""


def test_without_a_word_of_columns_all_go_along_that_can_and_the_others_are_told(tmp_path):
    (tmp_path / "places.csv").write_text("\ufeff" + ODD)
    spec = dataset(tmp_path, None)
    found = draw.draw(spec)
    assert {n: found.table[n].to_pylist() for n in found.user_columns} == {
        "crop_type": ["maize", None, "rice"],
        "grosse": [0.5, None, 2.0],
        "mixed": ["1", "a", None],
        "plot-1": [4, 4, 4],
    }
    (account,) = [rows.of(spec, regions.of_recipe(spec.path, ["world"]))]
    taken = "a table or sample has an entry of that name itself"
    said = account.summary.partition("; left out ")
    assert said[0] == (
        "places.csv: 3 rows: 3 locations, 0 dropped; columns crop_type ('Crop Type'), grosse ('Größe'), mixed, "
        "plot-1 ('PLOT-1')"
    )
    assert account.has_left_out
    for name, why in {
        "site": "stands there twice", "": "has no name", "split": taken, "lon_ok": taken,
        "林": "its name has no or too many characters", "Plot 1!": "another column is called plot_1, too",
        "Plot (1)": "another column is called plot_1, too",
    }.items():  # fmt: skip
        assert f"{name!r} ({why}" in said[2]
    store = Store(tmp_path / "store")
    parquet.save(found, store, "locations.parquet", spec)
    assert parquet.load(store, "locations.parquet", spec) == found
    # By what they are called here they may be named, too.
    assert draw.draw(dataset(tmp_path, ["grosse"])).user_columns == ["grosse"]
    with pytest.raises(ConfigError, match=r"\['Plot 1!', 'Plot \(1\)'\] are all called 'plot_1' here"):
        draw.draw(dataset(tmp_path, ["plot_1"]))
    with pytest.raises(ConfigError, match=r"column 'site', which .* names, stands there twice"):
        draw.draw(dataset(tmp_path, ["site"]))


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("cropp", r"no column 'cropp', which \[labels\] column names; did you mean crop_type\?"),
        ("site", r"column 'site', which \[labels\] column names, cannot go with locations: stands there twice"),
        ("plot_1", r"column 'plot_1', which .* cannot go with locations: another column is called plot_1"),
    ],
)
def test_a_column_that_something_looks_at_is_there_and_goes_along(tmp_path, column, said):
    (tmp_path / "places.csv").write_text(ODD)
    with pytest.raises(ConfigError, match=said):
        draw.draw(dataset(tmp_path, None, labels={"column": column}))


def test_a_kept_draw_without_the_column_that_a_rule_looks_at_is_refused(tmp_path):
    (tmp_path / "places.csv").write_text(TABLE)
    rule = {"rule": "column", "column": "lable", "val": ["city"]}
    kept = draw.draw(dataset(tmp_path, None))
    with pytest.raises(ConfigError, match=r"no column 'lable', which \[split\] names; did you mean label\?"):
        dates.check(dataset(tmp_path, None, split=rule), kept)


def test_values_that_are_missing_make_no_number_or_truth_another(tmp_path):
    (tmp_path / "places.csv").write_text(TABLE)
    found = draw.draw(dataset(tmp_path, ["wet", "count"]))
    assert found.table.schema.field("wet").type == pa.bool_()
    (tmp_path / "places.csv").write_text("lon,lat,crop\n8,50,3\n8.4,50,\n")
    found = draw.draw(dataset(tmp_path, None))
    assert found.table["crop"].to_pylist() == [3, None]
    assert found.table["crop"].type == pa.int64()


@drawn_from(st.text())
def test_a_name_fits_or_says_nothing(name):
    its = columns.called(name)
    assert columns.FORM.fullmatch(its[:60]) or not its
    assert columns.called(its) == its
