"""What two releases differ in, against what was changed in the recipe that packed them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from curation.api.mended import diff
from curation.cli import main
from curation.errors import ConfigError, DamageError
from curation.pack import release
from tests import world as tiny
from tests.run import Curate

COMPLETE = sorted({tiny.name(r, c) for r in (0, 1) for c in range(4)} - {tiny.name(0, 3)})


@pytest.fixture
def again(built: Curate, tmp_path: Path) -> Callable[[Callable[[str], str]], Curate]:
    """Packs the tiny world's cubes once more, by a recipe with something changed."""

    def packed(how: Callable[[str], str]) -> Curate:
        folder = tmp_path / "own"
        shutil.copytree(built.world.folder, folder, ignore=shutil.ignore_patterns("*.tif"))
        mine = Curate(tiny.World(folder), tmp_path / "root")
        shutil.copytree(built.root, mine.root)
        mine.world.recipe.write_text(how(tiny.RECIPE))
        assert mine("pack") == 0
        return mine

    return packed


def table(curate: Curate) -> list[dict[str, Any]]:
    return pq.read_table(curate.folder / "shards" / "train" / "samples.parquet").to_pylist()


def test_a_release_does_not_differ_from_its_copy(built: Curate, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    copy = built.copy(tmp_path)
    # As a folder of shards, as a dataset's folder, and below a root.
    assert main.main(["diff", str(built.folder / "shards"), str(copy.root), "--dataset", "tiny"]) == 0
    assert f"{len(COMPLETE)} samples the same, 0 changed, 0 in B alone" in capsys.readouterr().out
    assert diff(str(built.folder), str(copy.folder)).ok


def test_the_release_before_is_kept_and_compared_with(built: Curate, again, capsys):
    other = again(lambda text: f'{text}[exclude.ids]\n"{COMPLETE[0]}" = "a ship"\n')
    capsys.readouterr()
    for where in ([str(other.folder)], [str(other.root), "--dataset", "tiny"]):
        assert main.main(["diff", *where, "--json"]) == 1
        found = json.loads(capsys.readouterr().out)
        assert (found["gone"], found["new"], found["same"]) == ([COMPLETE[0]], [], len(COMPLETE) - 1)
    assert diff(str(built.folder), str(other.folder / "manifest" / "previous")).ok
    assert other("pack") == 0  # the same once more: no release of its own
    assert not diff(str(other.folder)).ok
    other.world.recipe.write_text(tiny.RECIPE)
    assert other("pack") == 0
    assert diff(str(other.folder)).found.new == (COMPLETE[0],)
    assert other("verify") == 0
    with pytest.raises(ConfigError, match="is kept by `curate pack` when it makes another"):
        diff(str(built.folder))


@pytest.mark.parametrize(("lost", "said"), [("index.json", "not JSON"), ("train/samples.parquet", "samples.parquet")])
def test_where_the_release_before_cannot_be_read_none_before_it_is_compared_with(built, tmp_path, caplog, lost, said):
    copy = built.copy(tmp_path)
    release.keep_previous(copy.store, b"another")
    assert diff(str(copy.folder)).ok
    file = copy.folder / "shards" / lost
    file.write_text("") if lost == "index.json" else file.unlink()
    release.keep_previous(copy.store, b"yet another")
    assert re.search(rf"nothing is kept of the release before: .*{said}", caplog.text)
    assert not (copy.folder / "manifest" / "previous" / "index.json").exists()


def test_another_codec_is_no_other_content(built: Curate, again):
    found = diff(str(built.folder), str(again(lambda text: text + 'codec = "zstd"\n').folder)).found
    assert found.is_none
    assert found.same == len(COMPLETE)
    assert set(found.digests) == {"release"}


def test_what_is_another_is_told_by_sample_and_array_and_column(built: Curate, again, capsys):
    taken, kept = COMPLETE[0], COMPLETE[1:]

    def how(text: str) -> str:
        text = text.replace('seasonal = "dynamicworld"', 'seasonal = "dynamicworld"\nmin_fraction = 0.5')
        return f'{text}radar = "float32"\n[exclude.ids]\n"{taken}" = "a ship"\n'

    other = again(how)
    capsys.readouterr()
    assert main.main(["diff", str(built.folder), str(other.folder), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["gone"] == [taken]
    assert found["new"] == []
    assert found["same"] == 0
    # Radar is stored otherwise, and crops are no label of summer any more.
    arrays = {"s1rtc_10m.autumn", "s1rtc_10m.summer"}
    floored = {f"s1rtc_10m_floored_fraction_{season}" for season in ("autumn", "summer")}
    before, now = ({r["id"]: r["labels_summer"] for r in table(its)} for its in (built, other))
    assert {c["id"]: set(c["why"]) for c in found["changed"]} == {
        name: arrays | floored | ({"labels_summer"} if before[name] != now[name] else set()) for name in kept
    }
    assert any(before[name] != now[name] for name in kept)
    assert found["dropped"] == {"taken_out": [0, 1]}
    back = diff(str(other.folder), str(built.folder)).found
    assert back.new == (taken,)
    assert len(back.changed) == len(kept)


def test_what_the_index_does_not_say_is_damage_and_what_is_none_is_told(built: Curate, tmp_path: Path):
    copy = built.copy(tmp_path)
    table = copy.folder / "shards" / "train" / "members.arrow"
    data = bytearray(table.read_bytes())
    data[-40] ^= 1
    table.write_bytes(data)
    with pytest.raises(DamageError, match=r"members\.arrow"):
        diff(str(built.folder), str(copy.folder))
    with pytest.raises(ConfigError, match=r"no index\.json there"):
        diff(str(built.folder), str(tmp_path / "nowhere"))
