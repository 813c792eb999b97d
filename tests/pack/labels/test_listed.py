"""Files of labels: the published form is read, and what is not understood is refused with where and what."""

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
