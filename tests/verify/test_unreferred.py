"""What nothing refers to is listed, and deleted where that is asked for; nothing else is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from curation.verify import unreferred
from tests import world as tiny
from tests.run import Curate


@pytest.fixture
def mine(built: Curate, tmp_path: Path) -> Curate:
    shutil.copytree(built.world.folder, tmp_path / "own", ignore=shutil.ignore_patterns("*.tif"))
    return Curate(tiny.World(tmp_path / "own"), built.copy(tmp_path / "root").root)


def files(curate: Curate) -> dict[str, bytes]:
    return {str(p.relative_to(curate.folder)): p.read_bytes() for p in curate.folder.rglob("*") if p.is_file()}


def test_a_whole_dataset_has_nothing_such(mine: Curate, capsys: pytest.CaptureFixture[str]):
    before = files(mine)
    assert mine("gc", "--delete", "--cubes") == 0
    assert "nothing there that nothing refers to" in capsys.readouterr().out
    assert files(mine) == before


def test_a_model_that_maps_were_made_by_goes_and_the_maps_stay(mine: Curate, capsys: pytest.CaptureFixture[str]):
    before = files(mine)
    (mine.folder / "maps" / "model-0f" / "summer").mkdir(parents=True)
    (mine.folder / "maps" / "model-0f.model").write_bytes(b"a model")
    for own in ("model-0f/summer/a.tif", "model-0f/notes.model"):
        (mine.folder / "maps" / own).write_bytes(b"a map")
    assert mine("gc", "--delete") == 0
    assert "model maps/model-0f.model: 1 object" in capsys.readouterr().out
    assert files(mine).keys() - before.keys() == {"maps/model-0f/summer/a.tif", "maps/model-0f/notes.model"}


def test_features_of_earlier_releases_go_and_those_of_this_one_stay(mine: Curate, capsys: pytest.CaptureFixture[str]):
    assert mine("embed", "--with", "handmade", "--scheduler", "none") == 0
    (standing,) = (mine.folder / "embeddings").rglob("*.parquet")
    made = standing.read_bytes()
    before = mine.folder / "embeddings" / "0123456789abcdef" / standing.name
    older = mine.folder / "embeddings" / "handmade-0123456789abcdef.parquet"  # as releases before this layout have it
    own = mine.folder / "embeddings" / "notes.txt"
    for path in (before, older, own):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(made)
    capsys.readouterr()
    assert mine("gc", "--delete") == 0
    said = capsys.readouterr().out
    for path in (before, older):
        assert f"embedding {path.relative_to(mine.folder)}: 1 object" in said
        assert not path.exists()
    assert standing.read_bytes() == own.read_bytes() == made


@pytest.mark.slow
def test_what_nothing_refers_to_is_listed_and_goes_when_asked_for(mine: Curate, capsys: pytest.CaptureFixture[str]):
    whole = files(mine)
    left = {
        "cubes/europe/summer.zarr/.abc.part": "temporary",
        "workers-0f": "temporary",
        "shards/train/tiny-train-000009.tar": "shard",
        "packing/train-000009.json": "receipt",
    }
    for key in left:
        (mine.folder / key).write_bytes(b"left")
    (mine.folder / "shards" / "README.txt").write_bytes(b"somebody's own")
    (mine.folder / "notes.tar").write_bytes(b"somebody's own")
    mine.world.recipe.write_text(
        tiny.RECIPE.replace("autumn = { start = 2021-09-01, end = 2021-12-01 }\n", "").replace(
            '["europe"]', '["world"]'
        )
    )
    before = files(mine)
    assert mine("gc") == 0
    said = capsys.readouterr().out
    assert files(mine) == before
    for key, kind in left.items():
        assert f"{kind} {key}: 1 object" in said
    assert "cube cubes/europe/autumn.zarr" in said
    assert "no season autumn" in said
    assert "do not name europe" in said
    assert "nothing was deleted" in said
    assert mine("gc", "--delete") == 0
    after = files(mine)
    assert {k for k in before.keys() - after.keys() if "/autumn/" not in k} == set(left)
    assert {k.split("/")[0] for k in before.keys() - after.keys() - left.keys()} == {"scenes"}
    assert {k: v for k, v in after.items() if k in whole} == {
        k: v for k, v in whole.items() if not (k.startswith("scenes/") and "/autumn/" in k)
    }
    mine.world.recipe.write_text(tiny.RECIPE.replace("autumn = { start = 2021-09-01, end = 2021-12-01 }\n", ""))
    assert mine("gc", "--delete", "--cubes") == 0
    gone = after.keys() - files(mine).keys()
    assert {tuple(k.split("/")[:3]) for k in gone} == {
        ("cubes", "europe", "autumn.zarr"), ("ledger", "europe", "autumn")
    }  # fmt: skip


def test_where_somebody_writes_nothing_is_deleted(mine: Curate, monkeypatch, capsys: pytest.CaptureFixture[str]):
    (mine.folder / "workers-0f").write_bytes(b"left")
    monkeypatch.setattr("curation.store.writer.Writer.alive", lambda self: True)
    assert mine("gc", "--delete") == 2
    assert "is being written by" in capsys.readouterr().err
    assert (mine.folder / "workers-0f").exists()


def test_an_unended_packing_keeps_what_it_made(mine: Curate):
    (mine.folder / "packing" / "new").mkdir()
    (mine.folder / "packing" / "new" / "train-000000.json").write_bytes(b"{}")
    (mine.folder / "packing" / "train-000009.json").write_bytes(b"{}")
    assert unreferred.unreferred(mine.dataset, mine.store) == []
