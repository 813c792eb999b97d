"""Chunks of litData: each sample of the shards is there, its arrays those of the cube, read here by what the form says.

That `litdata` itself streams them, is looked at where that is installed (`integration/test_exports.py`).
"""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import curation
from curation.errors import ConfigError
from curation.format import tar
from curation.pack.export.forms import litdata
from curation.pack.export.of_shards import column_of
from tests import world as tiny
from tests.run import Curate


@pytest.fixture(scope="module")
def folder(built: Curate, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = curation.load(built.world.recipe, built.root, catalog=str(built.world.catalog), scheduler="none")
    to = tmp_path_factory.mktemp("litdata") / "out"
    made.export("litdata", to)
    return to


def samples(folder: Path) -> list[dict[str, Any]]:
    """All of a split, in order: each value by the offsets of its chunk and the sizes before it."""
    index = json.loads((folder / "index.json").read_text())
    (version, spec), formats = json.loads(index["config"]["data_spec"]), index["config"]["data_format"]
    assert (version, spec["type"]) == (1, "builtins.dict")
    names, out = json.loads(spec["context"]), []
    for chunk in index["chunks"]:
        data = (folder / chunk["filename"]).read_bytes()
        assert len(data) == chunk["chunk_bytes"]
        count = int(np.frombuffer(data, "<u4", 1)[0])
        begin = np.frombuffer(data, "<u4", count + 1, 4)
        assert (count, begin[-1]) == (chunk["chunk_size"], len(data))
        for start in begin[:-1]:
            sizes = struct.unpack_from(f"<{len(names)}I", data, start)
            at, values = start + 4 * len(names), {}
            for name, size, form in zip(names, sizes, formats, strict=True):
                its, at = data[at : at + size], at + size
                values[name] = its.decode() if form == "str" else of(its)
            out.append(values)
    return out


def of(data: bytes) -> np.ndarray:
    number, sides = struct.unpack_from("<2I", data)
    shape = struct.unpack_from(f"<{sides}I", data, 8)
    return np.frombuffer(data, litdata.DTYPES[number], offset=8 + 4 * sides).reshape(shape)


def test_each_sample_of_the_shards_is_there_and_its_arrays_are_those_of_the_cube(built: Curate, folder: Path):
    shards = sorted((built.folder / "shards/train").glob("*.tar"))
    members = [m for s in shards for m in tar.scan_tar(s.read_bytes(), "")]
    found = samples(folder / "train")
    assert [s["key"] for s in found] == list(dict.fromkeys(m.key for m in members))
    assert len(list((folder / "train").glob("*.bin"))) == len(shards)
    there = {(m.key, column_of(m.member)) for m in members if m.member != "meta.json"}
    cube = xr.open_zarr(built.folder / "cubes/europe/summer.zarr").set_xindex("id")
    for sample in found:
        columns = json.loads(sample["columns"], parse_constant=pytest.fail)  # NaN is no JSON
        assert json.loads(sample["meta"])["id"] == columns["id"] == sample["key"]
        for name in {column for _, column in there}:
            assert bool(len(sample[name])) is ((sample["key"], name) in there)
        assert np.array_equal(sample["s2l2a_20m_summer"], cube.s2l2a_20m.sel(id=sample["key"]).values)
    first = next(s for s in found if s["key"] == tiny.name(1, 1))
    assert np.array_equal(first["s2l2a_10m_summer"][0], tiny.crop(tiny.dn("B02", 10), 10, 1, 1))


def test_of_one_season_the_same_command_writes_the_same_bytes(built: Curate, tmp_path: Path):
    made = curation.load(built.world.recipe, built.root, catalog=str(built.world.catalog), scheduler="none")
    for name in ("one", "two"):
        made.export("litdata", tmp_path / name, season="summer")
    ours = sorted((tmp_path / "one/train").iterdir())
    assert len(ours) >= 2
    for path in ours:
        assert path.read_bytes() == (tmp_path / "two/train" / path.name).read_bytes()


def test_a_chunk_that_its_offsets_could_not_tell_is_refused_before_anything_is_written(
    built: Curate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(litdata, "MOST_CHUNK_BYTES", 1000)
    made = curation.load(built.world.recipe, built.root, catalog=str(built.world.catalog), scheduler="none")
    with pytest.raises(
        ConfigError, match=r"--format litdata: train/00000 has .* expected 1000 at most.*samples_per_shard"
    ):
        made.export("litdata", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_chunk_that_is_gone_before_the_index_is_written_is_told(
    built: Curate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    last = litdata.Litdata.last

    def lost(self: Any, asked: Any, written: Any) -> Any:
        Path(asked.beside.target.where(written[0][0])).unlink()
        return last(self, asked, written)

    monkeypatch.setattr(litdata.Litdata, "last", lost)
    made = curation.load(built.world.recipe, built.root, catalog=str(built.world.catalog), scheduler="none")
    with pytest.raises(curation.errors.CurationError, match="was written and is gone: run the export again"):
        made.export("litdata", tmp_path / "out")
