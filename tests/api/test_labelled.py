"""What somebody gives as labels: kept once nothing refuses it, and what was imported before stays until then."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from curation.pack.labels.imported import record_of
from curation.scenes import saved
from tests import world as tiny
from tests.pack.labels.files import label_file, labels, written
from tests.run import Curate


def imported(built: Curate, folder: Path) -> tuple[Curate, dict[str, bytes]]:
    """A copy of the dataset with labels of a file, and what is kept of these."""
    shutil.copytree(built.world.folder, folder / "own")
    mine = Curate(tiny.World(folder / "own"), folder / "root")
    shutil.copytree(built.root, mine.root)
    assert labels(mine, "import", str(written(folder / "first.json", label_file(built.folder / "shards")))) == 0
    return mine, kept(mine)


def kept(curate: Curate) -> dict[str, bytes]:
    keys = [s.key for s in curate.store.list("labels")] + ["manifest/labels-unmatched.parquet"]
    return {key: curate.store.get(key) for key in keys}


@pytest.mark.slow
def test_a_file_that_labels_nothing_here_is_refused_and_what_was_imported_stays(built: Curate, tmp_path: Path, capsys):
    mine, before = imported(built, tmp_path)
    image = "20210710T103000_20210710T103000_T32ULC"
    file = written(tmp_path / "other.json", {"0000002": {image: ["1"]}, "0000003": {image: ["1"]}})
    empty = written(tmp_path / "empty.json", {key: {image: []} for key in label_file(built.folder / "shards")})
    old = written(tmp_path / "old.json", {tiny.name(0, 0): {image.replace("2021", "2018"): ["1"]}})
    capsys.readouterr()
    for path, want in (
        (file, ["2 rows", "unknown_location 2", "called like '0000002', those here like 'utm32n-"]),
        (empty, ["7 rows, 7 without labels"]),
        (old, ["1 row, 0 without labels, 1 of no patch (outside_seasons 1)"]),
    ):
        for refused in (lambda p: labels(mine, "import", str(p)), lambda p: mine("pack", "--labels", str(p))):
            assert refused(path) == 2
            said = capsys.readouterr().err
            assert f"{path.name} can label up to 0 of 50 patches" in said
            assert all(text in said for text in want), said
            assert "nothing of it is kept; give a file of these places" in said
            assert "labels-unmatched" not in said
            assert kept(mine) == before
    assert mine("pack") == 0
    assert json.loads((mine.folder / "shards/index.json").read_text())["counts"]["labels"]["file"] == "first.json"


@pytest.mark.slow
def test_what_is_refused_has_replaced_no_labels_and_what_goes_on_has(built: Curate, tmp_path: Path, capsys):
    mine, before = imported(built, tmp_path)
    said = dict(list(label_file(built.folder / "shards").items())[:3])
    second = written(tmp_path / "second.json", said)
    recipe = mine.world.recipe.read_text()
    mine.world.recipe.write_text(recipe.replace("[quality]\n", "[quality]\nmin_clear = 0.5\n"))
    for verb in ("build", "pack"):  # cubes are of another recipe
        assert mine(verb, "--labels", str(second)) == 2
        assert "quality.min_clear" in capsys.readouterr().err
        assert kept(mine) == before
    mine.world.recipe.write_text(recipe)
    assert mine("build", "--labels", str(second)) == 0  # all is settled, and the labels are others
    assert "second.json takes the place of what was imported from first.json" in capsys.readouterr().err
    assert record_of(mine.store).file == "second.json"
    assert mine("pack", "--labels", str(tmp_path / "first.json")) == 0
    assert record_of(mine.store).file == "first.json"


def test_a_catalog_that_is_asked_for_labels_is_opened_once_for_that_and_its_searches(
    built: Curate, tmp_path: Path, monkeypatch
):
    opened: list[str] = []
    real = saved.opened
    monkeypatch.setattr(saved, "opened", lambda catalog: opened.append(catalog.location) or real(catalog))
    mine = Curate(built.world, tmp_path)
    assert mine("build", "--season", "summer", "--limit", "1") == 0
    assert opened == [str(built.world.catalog)]  # of a snapshot elsewhere each opening reads all of its footers
