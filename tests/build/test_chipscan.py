"""Which samples a foreign dataset has: what could be two samples, or of no side, or of nowhere, is told, never guessed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from curation.build import chipscan
from curation.build.chipscan import ForeignScan
from curation.errors import ConfigError
from curation.recipe import foreign as recipes
from tests import foreign

ARRAY = {"res_m": 10, "bands": ["s2.b04"], **foreign.REFLECTANCE}


def scanned(folder: Path, names: list[str], table: Any = None, **more: Any) -> ForeignScan:
    """A scan of empty files of these names, by this table."""
    for name in names:
        (folder / "chips" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "chips" / name).write_bytes(b"")
    recipe: dict[str, Any] = {
        "dataset": {"name": "some", "title": "Some", "footprint_m": 80},
        "place": {"of": "s2"},
        "sources": {"s2": foreign.ABOUT | {"files": r"(?P<id>\w+)\.tif$", "arrays": [ARRAY]}},
    }
    if table is not None:
        name, text = ("t.csv", table) if isinstance(table, str) else ("t.json", json.dumps(table))
        (folder / "chips" / name).write_text(text)
        recipe["table"] = {"file": name, "id": "id"}
    path = foreign.write(folder, recipe | more)
    return chipscan.scan(recipes.read(path), folder / "chips", path)


def test_samples_are_files_by_their_ids_and_rows_where_there_is_a_table(tmp_path: Path):
    assert [s.id for s in scanned(tmp_path / "a", ["B.tif", "a.tif", "x.txt"]).samples] == ["a", "b"]
    found = scanned(tmp_path / "b", ["a.tif", "b.tif", "stray.tif"], [{"id": "a"}, {"id": "b"}, {"id": "c"}])
    assert {s.id: dict(s.addresses) for s in found.samples} == {"a": {"s2": "a.tif"}, "b": {"s2": "b.tif"}, "c": {}}
    assert found.unlisted == 1


def test_two_files_of_one_sample_are_told(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"x/a.tif and y/a.tif are both of sample 'a'"):
        scanned(tmp_path, ["x/a.tif", "y/a.tif"])


def test_ids_that_would_be_one_in_a_tar_are_told(tmp_path: Path):
    with pytest.raises(ConfigError, match="samples 'A' and 'a' would both be 'a'"):
        scanned(tmp_path, ["A.tif", "a.tif"])


def test_a_pattern_that_is_of_no_file_is_told_with_one_that_there_is(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"none of 1 file of .* is called so, the first is a.tiff"):
        scanned(tmp_path, ["a.tiff"])


def test_a_value_that_the_split_does_not_name_is_refused_and_one_left_out_is_counted(tmp_path: Path):
    rows = [{"id": "a", "part": "train"}, {"id": "b", "part": "val"}, {"id": "c", "part": "test"}]
    names, split = ["a.tif", "b.tif", "c.tif"], {"column": "part", "train": ["train"], "val": ["val"]}
    with pytest.raises(ConfigError, match="column 'part' has 'test', expected one of train, val: name it in train"):
        scanned(tmp_path / "a", names, rows, split=split)
    found = scanned(tmp_path / "b", names, rows, split=split | {"leave_out": ["test"]})
    assert ([s.id for s in found.samples], dict(found.left_out), found.unlisted) == (["a", "b"], {"test": 1}, 0)


def test_a_column_that_the_table_lacks_is_told_with_those_that_it_has(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"no column 'prt'; did you mean part\?"):
        scanned(tmp_path, ["a.tif"], [{"id": "a", "part": 1}], labels={"column": "prt"})


def test_ids_of_each_source_in_a_csv_are_text_with_their_zeros(tmp_path: Path):
    sources = {
        name: foreign.ABOUT
        | {"files": rf"{name}/(?P<id>\w+)\.tif$", "arrays": [ARRAY], "join": column, "required": False}
        for name, column in (("s2", "tile"), ("s1", "pass"))
    }
    rows = "id,tile,pass\n01,0007,000\n02,0008,001\n"
    names = ["s2/0007.tif", "s1/000.tif", "s2/0008.tif", "s1/001.tif"]
    found = scanned(tmp_path, names, rows, sources=sources)
    assert {s.id: dict(s.addresses) for s in found.samples} == {
        "01": {"s2": "s2/0007.tif", "s1": "s1/000.tif"},
        "02": {"s2": "s2/0008.tif", "s1": "s1/001.tif"},
    }
    assert found.unlisted == 0


def test_labels_are_of_the_classes_and_a_share_for_each(tmp_path: Path):
    labels = {"names": "of", "shares": "by", "classes": ["oak", "pine"]}
    lonlat = {"place": {"lon": "lon", "lat": "lat"}}

    def table(row: dict[str, Any], name: str) -> bytes:
        rows = [{"id": "a", "lon": 9.0, "lat": 50.0} | row]
        found = scanned(tmp_path / name, ["a.tif"], rows, labels=labels, **lonlat)
        stated = recipes.read(tmp_path / name / "some.toml")
        places, _ = chipscan.places(stated, tmp_path / name / "chips", found.samples, 1, lambda its, _: iter(its))
        return chipscan.table(stated, found.samples, places)

    assert b"PAR1" in table({"of": ["pine"], "by": [0.5]}, "good")
    with pytest.raises(ConfigError, match="class 'pin' is none of 'classes'; did you mean pine"):
        table({"of": ["pin"], "by": [0.5]}, "misspelt")
    with pytest.raises(ConfigError, match=r"2 classes, shares \[0.5\]: expected one for each"):
        table({"of": ["pine", "oak"], "by": [0.5]}, "short")


@pytest.mark.parametrize(
    "row", [{"lon": None, "lat": 50.0}, {"lon": "9", "lat": 50.0}, {"lon": float("nan"), "lat": 50.0}]
)
def test_a_row_without_a_place_is_lost_by_name(row: dict[str, Any], tmp_path: Path):
    found = scanned(tmp_path, ["a.tif"], [{"id": "a"} | row], place={"lon": "lon", "lat": "lat"})

    def each(its: Any, _: int) -> Iterator[Any]:
        return iter(its)

    stated = recipes.read(tmp_path / "some.toml")
    places, lost = chipscan.places(stated, tmp_path / "chips", found.samples, 1, each)
    assert (places, list(lost)) == ({}, ["a"])
    assert "the table says lon" in lost["a"]
