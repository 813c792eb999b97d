"""What `--labels` names: a file or folder to be imported, or a catalog of maps that is asked."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.errors import ConfigError
from curation.pack.labels.importing import asked_too, is_catalog
from tests.pack.labels.files import label_file, labels, vectors, without_maps, written
from tests.run import Curate


def maps_alone(built: Curate, folder: Path) -> Path:
    """A catalog that has Dynamic World and nothing else."""
    afar = built.world.from_afar(folder)
    items = json.loads(afar.catalog.read_text())
    items["features"] = [f for f in items["features"] if f["collection"] == "dynamicworld"]
    assert items["features"]
    return written(folder / "maps.json", items)


@pytest.mark.slow
def test_labels_of_a_catalog_are_those_of_a_run_that_asks_one_for_all(built: Curate, tmp_path: Path, capsys):
    mine = without_maps(built, tmp_path)
    catalog = str(maps_alone(built, tmp_path / "maps"))
    assert mine() == 2  # without labels
    assert mine("build", "--dry-run", "--labels", catalog) == 0
    out = capsys.readouterr().out
    assert f"labels: dynamicworld of catalog {catalog}: what share of patches its maps can label is not known" in out
    assert not (mine.folder / "cubes").exists()
    assert mine("build", "--labels", catalog) == 0
    said = capsys.readouterr()
    line = (
        f"labels: dynamicworld of catalog {catalog} can label up to 20 of 50 patches (40.0 %): those of which an image"
    )
    assert line in said.err
    assert line in said.out
    assert mine("pack", "--labels", catalog) == 0
    expected = vectors(built.folder / "shards")
    assert vectors(mine.folder / "shards") == expected
    assert any(expected.values())
    index = json.loads((mine.folder / "shards/index.json").read_text())
    assert index["content_sha256"] == json.loads((built.folder / "shards/index.json").read_text())["content_sha256"]
    assert index["counts"]["catalogs"]["dynamicworld"] != index["counts"]["catalogs"]["s2l2a"]
    assert mine("build", "--catalog", f"dynamicworld={catalog}") == 0  # the same, said otherwise: nothing is built
    assert mine("verify") == 0


def test_a_catalog_is_told_by_what_is_there(tmp_path: Path, monkeypatch):
    stac = written(tmp_path / "items.json", {"type": "FeatureCollection", "features": []})
    listed = written(tmp_path / "labels.json", {"7": {"20200718T102559_20200718T103605_T31TFJ": ["0"]}})
    (tmp_path / "snapshot").mkdir()
    pq.write_table(
        pa.table({"id": ["a"], "datetime": ["2020"], "assets": ["{}"], "geometry": [b""]}),
        tmp_path / "snapshot/part.parquet",
    )
    pq.write_table(pa.table({"id": ["7"], "datetime": ["2020-07-18"], "labels": ["0"]}), tmp_path / "labels.parquet")
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps/20200718T102559_20200718T103605_T31TFJ.tif").write_bytes(b"")
    for said in ("embedded", "https://maps.example/stac", "earth-search+items.json", "s3://bucket/snapshot"):
        assert is_catalog(said), said
    assert is_catalog(stac)
    assert is_catalog(tmp_path / "snapshot")
    assert is_catalog(tmp_path / "snapshot/part.parquet")
    for path in (listed, tmp_path / "labels.parquet", tmp_path / "maps"):
        assert not is_catalog(path), path
    (tmp_path / "maps").rename(tmp_path / "labels")
    monkeypatch.chdir(tmp_path)
    assert not is_catalog("labels")  # though a catalog without an address is called so


def test_what_is_neither_file_nor_catalog_is_told(built: Curate, tmp_path: Path):
    for said, match in (
        ("https://host.example/labels.json", "a file elsewhere.*copy it to this machine"),
        (str(tmp_path / "none.json"), "no such file"),
    ):
        with pytest.raises(ConfigError, match=match):
            is_catalog(said)
    (tmp_path / "both").mkdir()
    (tmp_path / "both/20200718T102559_20200718T103605_T31TFJ.tif").write_bytes(b"")
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "both/part.parquet")
    with pytest.raises(ConfigError, match=r"GeoTIFFs and \.parquet files"):
        is_catalog(tmp_path / "both")


def test_a_catalog_of_labels_and_what_was_said_before_of_them_are_held_against_one_another(
    built: Curate, tmp_path: Path, capsys
):
    with pytest.raises(ConfigError, match="names another; say one of them"):
        asked_too(built.dataset, built.store, "https://a.example", {"dynamicworld": "https://b.example"})
    catalog = maps_alone(built, tmp_path / "maps")
    mine = built.copy(tmp_path / "root")
    assert labels(mine, "import", str(catalog)) == 2
    assert "is a STAC catalog, not a file of labels" in capsys.readouterr().err
    assert labels(mine, "import", str(written(tmp_path / "labels.json", label_file(built.folder / "shards")))) == 0
    assert mine("pack", "--labels", str(catalog)) == 2
    assert "labels by season were imported from labels.json" in capsys.readouterr().err
    assert labels(mine, "remove") == 0
    assert mine("pack", "--labels", str(mine.world.catalog)) == 0
