"""Parquet of samples: the arrays are those of the shards, and the schema says so as `datasets` reads it.

That `datasets` itself opens it, is looked at where that is installed (`integration/test_exports.py`).
"""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xarray as xr

import curation
from curation.format import tar
from curation.pack.export.forms import parquet
from curation.pack.export.of_shards import column_of
from tests import world as tiny
from tests.run import Curate


@pytest.fixture(scope="module")
def folder(built: Curate, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = curation.load(built.world.recipe, built.root, catalog=str(built.world.catalog), scheduler="none")
    to = tmp_path_factory.mktemp("parquet") / "out"
    made.export("parquet", to)
    return to


@pytest.fixture(scope="module")
def rows(folder: Path) -> pa.Table:
    return pa.concat_tables([pq.read_table(f) for f in sorted((folder / "data").glob("*.parquet"))])


def test_each_sample_of_the_shards_is_a_row_and_each_member_its_own_column(built: Curate, folder: Path, rows: pa.Table):
    shards = sorted((built.folder / "shards/train").glob("*.tar"))
    members = [m for s in shards for m in tar.scan_tar(s.read_bytes(), "")]
    assert rows.column("id").to_pylist() == list(dict.fromkeys(m.key for m in members))
    files = sorted(f.name for f in (folder / "data").iterdir())
    assert files == [f"train-{n:05d}-of-{len(shards):05d}.parquet" for n in range(len(shards))]
    there = {(m.key, column_of(m.member)) for m in members if m.member != "meta.json"}
    for name in {column for _, column in there}:
        for key, value in zip(rows.column("id").to_pylist(), rows.column(name), strict=True):
            assert value.is_valid is ((key, name) in there)


def test_arrays_are_those_of_the_cube(built: Curate, rows: pa.Table):
    cube = xr.open_zarr(built.folder / "cubes/europe/summer.zarr").set_xindex("id")
    for key, value in zip(rows.column("id").to_pylist(), rows.column("s2l2a_20m_summer").to_pylist(), strict=True):
        assert np.array_equal(np.array(value), cube.s2l2a_20m.sel(id=key).values)
    row = rows.column("id").to_pylist().index(tiny.name(1, 1))
    first = np.array(rows.column("s2l2a_10m_summer")[row].as_py())
    assert np.array_equal(first[0], tiny.crop(tiny.dn("B02", 10), 10, 1, 1))
    meta = json.loads(rows.column("meta")[row].as_py())
    assert (meta["id"], meta["epsg"]) == (tiny.name(1, 1), tiny.EPSG)


def test_the_schema_says_what_datasets_calls_each_column(rows: pa.Table):
    told = json.loads(rows.schema.metadata[b"huggingface"])["info"]["features"]
    assert set(told) == set(rows.schema.names)
    assert told["s2l2a_10m_summer"] == {"_type": "Array3D", "shape": [4, 48, 48], "dtype": "uint16"}
    assert told["labels_static"] == {"_type": "Sequence", "feature": {"_type": "Value", "dtype": "string"}}
    for name, feature in told.items():
        if feature["_type"] == "Array3D":
            kind = rows.schema.field(name).type
            assert str(kind.value_type.value_type.value_type).replace("float", "float32") in (
                feature["dtype"],
                "float3232",
            )


def test_the_card_names_the_files_of_each_split_and_all_licences(built: Curate, folder: Path):
    card = (folder / "README.md").read_text()
    _, front, body = card.split("---\n", 2)
    assert "  - split: train\n    path: data/train-*.parquet\n" in front
    assert "configs:\n- config_name: default\n" in front
    for spec in built.dataset.specs.values():
        assert spec.licence in body
    assert "| `s2l2a_10m_summer` | B02, B03, B04, B08 | 4 × 48 × 48 | uint16 |" in body


def test_a_file_is_the_same_however_many_samples_make_a_row_group(
    built: Curate, rows: pa.Table, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr(parquet, "GROUP_BYTES", 1)
    made = curation.load(built.world.recipe, built.root, catalog=str(built.world.catalog), scheduler="none")
    made.export("parquet", tmp_path / "out")
    files = sorted((tmp_path / "out" / "data").glob("*.parquet"))
    assert all(pq.ParquetFile(f).num_row_groups == pq.ParquetFile(f).metadata.num_rows for f in files)
    assert pa.concat_tables([pq.read_table(f) for f in files]).equals(rows)


def test_what_a_sample_lacks_is_null_and_not_zeros():
    made = parquet._nested(
        [np.ones((2, 3, 3), "uint8"), None, np.zeros((2, 3, 3), "uint8")], (2, 3, 3), np.dtype("uint8")
    )
    assert made.to_pylist()[1] is None
    assert [np.array(v).sum() for v in made.to_pylist() if v] == [18, 0]
    assert parquet._nested([None], (2, 3, 3), np.dtype("uint8")).to_pylist() == [None]


def test_only_what_is_asked_for_is_in_it(built: Curate, tmp_path: Path):
    made = curation.load(built.world.recipe, built.root, catalog=str(built.world.catalog), scheduler="none")
    made.export("parquet", tmp_path / "out", season="summer", select=["split = train", f"id in {tiny.name(1, 1)},x"])
    (file,) = (tmp_path / "out" / "data").iterdir()
    table = pq.read_table(file)
    assert table.column("id").to_pylist() == [tiny.name(1, 1)]
    assert {n for n in table.schema.names if n.endswith(("m_summer", "m_autumn", "m"))} >= {"s2l2a_10m_summer"}
    assert not [n for n in table.schema.names if n.startswith(("s2l2a_", "dem_")) and not n.endswith("_summer")]
