"""What is laid out for a hub: shards byte for byte, cards that lead to them, checksums; stopped, and gone on with."""

import hashlib
import json
import shutil
from pathlib import Path

import pystac
import pytest

import curation
from curation.api.carded import PublishResult
from curation.api.folder import DatasetFolder
from curation.errors import ConfigError, DamageError
from curation.pack.export.forms import hub
from curation.store.objects import Store
from tests import buckets
from tests.run import Curate


@pytest.fixture
def made(built: Curate, tmp_path: Path) -> DatasetFolder:
    mine = built.copy(tmp_path / "root")
    return curation.load(mine.world.recipe, mine.root, catalog=str(mine.world.catalog), scheduler="none")


def shards(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def sums(to: Path) -> dict[str, str]:
    lines = (to / "SHA256SUMS").read_text().splitlines()
    return {key: sha256 for sha256, _, key in (line.partition("  ") for line in lines)}


def test_a_folder_has_the_shards_the_cards_and_the_sum_of_each(made: DatasetFolder, tmp_path: Path):
    to = tmp_path / "out"
    result = made.publish(to)
    assert shards(to / "data") == shards(tmp_path / "root/tiny/shards")
    files = {k: v for k, v in shards(to).items() if not k.startswith(".export/") and k != "export.json"}
    assert sums(to) == {k: hashlib.sha256(v).hexdigest() for k, v in files.items() if k != "SHA256SUMS"}
    assert {"README.md", "croissant.json", "datacite.json", "stac/collection.json", "data/index.json"} <= set(files)
    assert (result.files, result.reused, result.removed) == (len(files), 0, 0)
    assert result.size == sum(map(len, files.values()))
    front = (to / "README.md").read_text().split("---\n")[1]
    assert "- split: train\n    path: data/train/*.tar\n" in front


def test_what_cards_name_lies_where_they_say(made: DatasetFolder, tmp_path: Path):
    made.publish(tmp_path / "out")
    value = json.loads((tmp_path / "out/croissant.json").read_text())
    for file in (f for f in value["distribution"] if f["@type"] == "cr:FileObject"):
        assert hashlib.sha256((tmp_path / "out" / file["contentUrl"]).read_bytes()).hexdigest() == file["sha256"]
    collection = pystac.Collection.from_file(str(tmp_path / "out/stac/collection.json"))
    assets = [a for i in collection.get_items() if i.id != "tiny-model-input" for a in i.assets.values()]
    for asset in [*collection.assets.values(), *assets]:
        assert Path(asset.get_absolute_href()).is_file(), asset.href


@pytest.mark.torch
def test_the_reader_opens_the_folder_data(made: DatasetFolder, tmp_path: Path):
    from curation.stream import open_shards

    made.publish(tmp_path / "out")
    ours = [b["key"] for b in open_shards(tmp_path / "out/data", "train", batch_size=4)]
    assert ours == [b["key"] for b in open_shards(tmp_path / "root/tiny/shards", "train", batch_size=4)]


def test_a_dry_run_says_how_much_and_writes_nothing(made: DatasetFolder, tmp_path: Path):
    foreseen = made.publish(tmp_path / "out", dry_run=True)
    assert not (tmp_path / "out").exists()
    assert "nothing is written" in str(foreseen)
    assert "[card] of the recipe does not say: creators, publisher" in str(foreseen)
    done = made.publish(tmp_path / "out")
    sums_size = (tmp_path / "out/SHA256SUMS").stat().st_size
    assert (foreseen.count, foreseen.files, foreseen.size) == (done.count, done.files, done.size - sums_size)


def test_one_that_was_stopped_is_gone_on_with_and_what_is_there_is_hashed_not_written(
    made: DatasetFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    to, real = tmp_path / "out", Store.publish

    def stopping(store: Store, key: str, data: bytes):
        if key.endswith("000001.tar"):
            raise KeyboardInterrupt
        return real(store, key, data)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "publish", stopping)
        with pytest.raises(KeyboardInterrupt):
            made.publish(to)
    assert not (to / "export.json").exists()  # what says that all is there
    first = next((to / "data/train").glob("*000000.tar"))
    before = first.stat().st_mtime_ns
    done = made.publish(to)
    assert done.reused == 5
    assert first.stat().st_mtime_ns == before
    assert shards(to / "data") == shards(tmp_path / "root/tiny/shards")
    first.write_bytes(first.read_bytes()[:-1])  # one that was damaged since is written again
    assert made.publish(to).reused == done.count - 5
    assert shards(to / "data") == shards(tmp_path / "root/tiny/shards")


def test_a_release_in_the_place_of_another_leaves_nothing_of_that_and_all_of_the_publishers(
    made: DatasetFolder, tmp_path: Path
):
    to = tmp_path / "out"
    made.publish(to)
    for stale in ("data/train/tiny-train-000099.tar", "stac/train/tiny-train-000099.json"):
        (to / stale).write_bytes(b"of an earlier release")
    (to / "LICENSE").write_text("the publisher's")
    assert made.publish(to).removed == 2
    assert not list(to.rglob("*000099*"))
    assert (to / "LICENSE").read_text() == "the publisher's"


def test_what_is_not_as_laid_out_is_told(made: DatasetFolder, tmp_path: Path):
    to = tmp_path / "out"
    made.publish(to)
    beside = hub.Hub().prepared(hub.ExportScope(made.dataset, ()), made.store, Store(to)).beside
    assert hub.faults(Store(to), beside) == []
    next((to / "data/train").glob("*000000.tar")).write_bytes(b"short")
    (to / "README.md").write_text("another")
    (to / "data/index.json").unlink()
    readme, index, shard = hub.faults(Store(to), beside)
    assert "README.md: is not what was written" in readme
    assert "index.json: is not there" in index
    assert "has 5 bytes, expected" in shard


def test_a_damaged_shard_is_not_published(made: DatasetFolder, tmp_path: Path):
    victim = next((tmp_path / "root/tiny/shards/train").glob("*.tar"))
    victim.write_bytes(victim.read_bytes()[:-1] + b"x")
    with pytest.raises(DamageError, match="the index says"):
        made.publish(tmp_path / "out")
    assert not (tmp_path / "out/export.json").exists()


def test_a_damaged_table_is_not_published(made: DatasetFolder, tmp_path: Path):
    victim = tmp_path / "root/tiny/shards/train/members.arrow"
    victim.write_bytes(victim.read_bytes()[:-1])
    with pytest.raises(DamageError, match=r"members\.arrow: is not what the index says"):
        made.publish(tmp_path / "out")


def test_pictures_of_this_release_go_along_and_those_of_another_do_not(made: DatasetFolder, tmp_path: Path):
    made.card()
    pictures = {p.name for p in (tmp_path / "root/tiny/card/pictures").iterdir()}
    assert any(n.endswith(".svg") for n in pictures)
    assert any(n.endswith(".png") for n in pictures)
    made.publish(tmp_path / "out")
    assert {p.name for p in (tmp_path / "out/pictures").iterdir()} == pictures
    page = (tmp_path / "out/README.md").read_text()
    assert all(f"(pictures/{n})" in page for n in pictures)
    assert made.verify().ok
    record = tmp_path / "root/tiny/card/card.json"
    value = json.loads(record.read_text())
    record.write_text(json.dumps(value | {"index_sha256": "0" * 64}))
    made.publish(tmp_path / "out")
    assert "pictures/" not in (tmp_path / "out/README.md").read_text()
    assert not list((tmp_path / "out").rglob("*.png"))


def test_a_picture_that_is_gone_is_told(made: DatasetFolder, tmp_path: Path):
    made.card()
    gone = min((tmp_path / "root/tiny/card/pictures").iterdir())
    gone.unlink()
    with pytest.raises(DamageError, match=rf"{gone.name}: is recorded but not there; `curate card` draws it anew"):
        made.publish(tmp_path / "out")


def test_a_bucket_gets_the_same_and_no_secret_is_told(
    made: DatasetFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    made.publish(tmp_path / "out")
    with buckets.bucket() as url, caplog.at_level("DEBUG"):
        buckets.reached_at(url, monkeypatch)
        to = "s3://bucket/hub/tiny"
        done = made.publish(to)
        again = made.publish(to)
        there = {s.key: Store(to).get(s.key) for s in Store(to).list()}
        assert {k: v for k, v in there.items() if not k.startswith(".export/")} == {
            k: v for k, v in shards(tmp_path / "out").items() if not k.startswith(".export/")
        }
    assert again.reused == again.count == done.count
    said = f"{done}{caplog.text}{b''.join(there.values())!r}"
    assert buckets.KEYS["AWS_SECRET_ACCESS_KEY"] not in said
    assert buckets.KEYS["AWS_ACCESS_KEY_ID"] not in said


def test_nothing_is_uploaded(made: DatasetFolder, tmp_path: Path):
    with pytest.raises(ConfigError, match="nothing is uploaded by itself"):
        made.publish("hf://datasets/somebody/tiny")
    with pytest.raises(ConfigError, match="the dataset's own"):
        made.publish(tmp_path / "root/tiny/card")


def test_the_command_does_so(built: Curate, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    mine = built.copy(tmp_path / "root")
    assert mine("publish", "--to", str(tmp_path / "out"), "--scheduler", "none", "--dry-run") == 0
    assert "nothing is written" in capsys.readouterr().out
    assert mine("publish", "--to", str(tmp_path / "out"), "--scheduler", "none") == 0
    assert "laid out in" in capsys.readouterr().out
    shutil.rmtree(tmp_path / "out")
    assert mine("publish", "--to", str(tmp_path / "root/tiny/shards"), "--scheduler", "none") == 2


def test_a_result_says_what_was_removed():
    done = PublishResult(9, 4, 1000, 9, 2, (), "somewhere")
    assert (
        str(done).splitlines()[0]
        == "9 samples, 4 files, 1.0 kB; 9 samples there already; 2 files of an earlier release removed"
    )
