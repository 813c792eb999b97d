"""Files of labels: the published form is read, and what is not understood is refused with where and what."""

import datetime as dt
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.errors import ConfigError
from curation.pack import meta
from curation.pack.labels import listed
from curation.pack.labels.listed import Vocabulary
from tests.run import Curate


@pytest.fixture
def words(built: Curate) -> Vocabulary:
    return Vocabulary(tuple(meta.label_names(built.dataset)), built.dataset.specs["dynamicworld"])


def test_the_published_file_of_ssl4eo_s12_ml(shared: Path, words: Vocabulary):
    path = shared / "data" / "softcon" / "example_labels.json"
    rows, seasonal = listed.read(path, "labels", lambda _: words)
    assert seasonal
    said = {(r["location"], r["s2_id"]): r["labels"] for r in rows.to_pylist()}
    published = json.loads(path.read_text())
    assert len(said) == sum(map(len, published.values())) == 8
    assert (
        said["0000002", "20200718T102559_20200718T103605_T31TFJ"] is None
    )  # an empty list is no map, not "none of them"
    assert said["0000003", "20200403T100549_20200403T101937_T31PDQ"] == ["crops", "shrub_and_scrub", "bare"]
    assert {r["tile"] for r in rows.to_pylist()} == {"31TFJ", "31PDQ", "31PEQ"}


BAD = {
    "a.json": [
        ("[1]", "expected {location id"),
        ("{", "not JSON"),
        ('{"a": {"20200718T102559_20200718T103605_T31TFJ": ["9"]}}', "label '9'"),
        ('{"a": {"20200718T102559_20200718T103605_T31TFJ": ["tres"]}}', "did you mean trees"),
        ('{"a": {"20200718T102559_20200718T103605_T31TFJ": "0"}}', "expected {location id"),
        ('{"a": {"S2A_31TFJ_20200718_0_L2A": []}}', "start of its datatake"),
        ('{"a": {}, "a": {}}', "there twice"),
        ('{" ": {"20200718T102559_20200718T103605_T31TFJ": ["0"]}}', "no location"),
        ('{"\\ud800": {"20200718T102559_20200718T103605_T31TFJ": ["0"]}}', "is no text"),
    ],
    "a.csv": [
        ("", "is empty"),
        ("s2_id,labels\nx,y\n", "no column of locations"),
        ("location,s2_id\na,b\n", "no column of labels"),
        ("location,labels\n,water\n", "no location"),
        ("location,labels\na\n", "1 cells, expected 2"),
        ("location,time,labels\na,soon,water\n", "expected a day or time"),
        ("location,labels,labels\na,b,c\n", "named twice"),
    ],
    "a.parquet": [("no parquet", "not readable")],
    "a.txt": [("x", "expected a .json, .csv or .parquet file")],
}


@pytest.mark.parametrize(("name", "text", "said"), [(n, t, s) for n, of in BAD.items() for t, s in of])
def test_what_is_not_understood_is_refused(tmp_path: Path, words: Vocabulary, name: str, text: str, said: str):
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=said):
        listed.read(tmp_path / name, "labels", lambda _: words)


def test_shares_in_columns_of_classes_are_not_taken_for_labels(tmp_path: Path, words: Vocabulary):
    names = ",".join(words.names)
    (tmp_path / "a.csv").write_text(f"location,{names}\na,0.5,{','.join('0' * 8)}\n")
    with pytest.raises(ConfigError, match="expected 0 or 1"):
        listed.read(tmp_path / "a.csv", "labels", lambda _: words)
    (tmp_path / "a.csv").write_text(f"location,{names}\na,{','.join('0' * 9)}\nb,{',' * 8}\nc,1,{','.join('0' * 8)}\n")
    rows, seasonal = listed.read(tmp_path / "a.csv", "labels", lambda _: words)
    assert not seasonal
    assert rows["labels"].to_pylist() == [[], None, ["water"]]


def test_a_cell_of_brackets_without_end_is_refused(tmp_path: Path, words: Vocabulary):
    (tmp_path / "a.csv").write_text(f"location,labels\na,{'[' * 100_000}\n")
    with pytest.raises(ConfigError, match="no list in JSON"):
        listed.read(tmp_path / "a.csv", "labels", lambda _: words)


def test_a_class_said_twice_is_one_label_and_a_whole_number_of_pandas_an_id(tmp_path: Path, words: Vocabulary):
    (tmp_path / "a.csv").write_text("location,labels\na,0;0;water\n")
    assert listed.read(tmp_path / "a.csv", "labels", lambda _: words)[0]["labels"].to_pylist() == [["water"]]
    pq.write_table(pa.table({"location": [7.0], "labels": ["0"]}), tmp_path / "a.parquet")
    assert listed.read(tmp_path / "a.parquet", "labels", lambda _: words)[0]["location"].to_pylist() == ["7"]


UNNAMED = [
    ("sentinel_2_id", "20200718T102559_20200718T103605_T31TFJ"),
    ("product", "S2A_MSIL2A_20200718T102559_N0214_R108_T31TFJ_20200718T123456.SAFE"),
    ("scene", "S2A_31TFJ_20200718_0_L2A"),
    ("system:time_end", "1595067959000"),
    ("since", "1595067959"),
    ("acquired", "2020-07-18T10:25:59Z"),
    ("day_of", "20200718"),
    ("when", "2020-07-18 00:00:00"),
]


@pytest.mark.parametrize(("column", "value"), UNNAMED, ids=[c for c, _ in UNNAMED])
def test_labels_of_images_are_not_taken_for_labels_of_the_place(tmp_path, words: Vocabulary, column, value):
    """What tells the image has another name: each row would replace the year's labels of its place."""
    (tmp_path / "a.csv").write_text(f"location,note,{column},labels\na,x,{value},0\nb,2,,1\n")
    with pytest.raises(
        ConfigError, match=f"column {column!r} reads as ids of images or times.*columns: location, note"
    ):
        listed.read(tmp_path / "a.csv", "labels", lambda _: words)


def test_times_in_a_column_of_another_name_are_told_by_their_type(tmp_path: Path, words: Vocabulary):
    for values in ([dt.datetime(2020, 7, 18, 10)], [dt.date(2020, 7, 18)], [1595067959000], [1595067959000.0]):
        pq.write_table(pa.table({"location": ["a"], "seen": values, "labels": ["0"]}), tmp_path / "a.parquet")
        with pytest.raises(ConfigError, match="column 'seen' reads as"):
            listed.read(tmp_path / "a.parquet", "labels", lambda _: words)


@pytest.mark.parametrize("text", [
    "location,season,labels\na,summer,0\n",
    "location,part,labels\n7,a,0\n8,b,0\n007,c,0\n",
])  # fmt: skip
def test_rows_of_one_place_that_nothing_tells_apart_are_refused(tmp_path: Path, words: Vocabulary, text: str):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ConfigError, match=r"tells no image|location '007' stands in rows 1 and 3"):
        listed.read(tmp_path / "a.csv", "labels", lambda _: words)


def test_other_columns_of_a_table_of_places_are_passed_over(tmp_path: Path, words: Vocabulary):
    (tmp_path / "a.csv").write_text(
        "location,lon,area_m2,year,note,surveyed,labels\na,9.5,20201399,2021,x,2021-05-03,0\nb,8,1,2021,,never,1\n"
    )
    rows, seasonal = listed.read(tmp_path / "a.csv", "labels", lambda _: words)
    assert (seasonal, rows["labels"].to_pylist()) == (False, [["water"], ["trees"]])


def read_times(folder: Path, words: Vocabulary, column: str, values: list[object]) -> list[tuple[object, object]]:
    """(sensed, day) of each row."""
    pq.write_table(
        pa.table({"location": ["a"] * len(values), column: values, "labels": ["0"] * len(values)}), folder / "a.parquet"
    )
    rows, seasonal = listed.read(folder / "a.parquet", "labels", lambda _: words)
    assert seasonal
    return [(r["sensed"], r["day"]) for r in rows.to_pylist()]


DAY = dt.date(2020, 7, 18)
MIDNIGHT = dt.datetime(2020, 7, 18)


@pytest.mark.parametrize(
    "value", [DAY, MIDNIGHT, "2020-07-18", "20200718", 20200718, "2020-07-18 00:00:00", "2020-07-18T00:00:00Z"]
)
@pytest.mark.parametrize("column", ["time", "timestamp"])
def test_days_are_days_however_they_are_written(tmp_path: Path, words: Vocabulary, column: str, value: object):
    """As instants they would lie in the season, and match no image: those are of no midnight."""
    assert read_times(tmp_path, words, column, [value, value]) == [(None, DAY)] * 2


def test_one_midnight_among_times_is_a_time(tmp_path: Path, words: Vocabulary):
    later = MIDNIGHT.replace(hour=10)
    assert read_times(tmp_path, words, "date", [MIDNIGHT, later]) == [
        (t.replace(tzinfo=dt.UTC), None) for t in (MIDNIGHT, later)
    ]


def test_milliseconds_of_earth_engine_are_times_and_other_numbers_are_none(tmp_path: Path, words: Vocabulary):
    sensed = dt.datetime(2020, 7, 18, 10, 25, 59, tzinfo=dt.UTC)
    for value in (1595067959000, "1595067959000", 1595067959000.0, "2020-07-18T10:25:59"):
        assert read_times(tmp_path, words, "system:time_start", [value]) == [(sensed, None)]
    for value in (1595067959000, "1510123012345", 2020.5, "20201318"):
        with pytest.raises(ConfigError, match="expected a day or time"):
            read_times(tmp_path, words, "timestamp", [value])


def test_a_row_without_an_id_is_of_its_time(tmp_path: Path, words: Vocabulary):
    image = "20200718T102559_20200718T103605_T31TFJ"
    (tmp_path / "a.csv").write_text(
        f"location,s2_id,time,labels\na,{image},2021-01-01T10:00:00Z,0\na,,2020-07-18T10:30:00Z,1\n"
    )
    rows = listed.read(tmp_path / "a.csv", "labels", lambda _: words)[0].to_pylist()
    assert [(r["tile"], r["sensed"] and r["sensed"].minute) for r in rows] == [("31TFJ", None), (None, 30)]
    (tmp_path / "a.csv").write_text("location,s2_id,time,labels\na,,,0\n")
    with pytest.raises(ConfigError, match="no id of a Sentinel-2 image"):
        listed.read(tmp_path / "a.csv", "labels", lambda _: words)
