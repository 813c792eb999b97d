"""A split is of the release: another one wants no new places and no new pixels, and what is said of it is said once."""

import datetime as dt
import io
import json
import shutil
from collections import Counter
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.errors import ConfigError, DamageError
from curation.pack import split
from curation.places import parquet
from curation.recipe.dataset import load_dataset
from curation.store import paths
from curation.store.objects import Store
from curation.stream.open import open_shards
from tests import world as tiny
from tests.run import Curate

SMALL = "val_fraction = 0.2\nblock_deg = 0.01\nbuffer_km = 0.06"


def with_split(built: Curate, folder: Path, rule: str) -> Curate:
    """A copy of the dataset, packed as it was, whose recipe now has another split."""
    shutil.copytree(built.world.folder, folder / "own")
    world = tiny.World(folder / "own")
    world.recipe.write_text(tiny.RECIPE.replace("val_fraction = 0.0", rule))
    curate = Curate(world, folder / "root")
    shutil.copytree(built.root, curate.root)
    return curate


def under(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_another_split_is_packed_from_the_same_places_and_cubes(built: Curate, tmp_path, capsys):
    mine = with_split(built, tmp_path, SMALL)
    kept = [mine.folder / "cubes", mine.folder / "ledger", mine.folder / "scenes"]
    before = [under(f) for f in kept]
    drawn = (mine.folder / "manifest/locations.parquet").read_bytes()
    index = json.loads((mine.folder / "shards/index.json").read_text())
    assert mine("pack") == 0
    assert [under(f) for f in kept] == before
    assert (mine.folder / "manifest/locations.parquet").read_bytes() == drawn
    again = json.loads((mine.folder / "shards/index.json").read_text())
    assert again["digests"]["pixels"] == index["digests"]["pixels"]
    assert again["digests"]["release"] != index["digests"]["release"]
    # All three sides are there, each sample where the rule says, and the rest is dropped for being too near.
    places = parquet.load(mine.store, "manifest/locations.parquet", mine.dataset)
    planned = split.planned(mine.dataset.recipe, places).sides
    samples = {k: {s["key"] for s in open_shards(str(mine.folder / "shards"), k)} for k in ("train", "val")}
    assert all(samples.values())
    assert {planned[i] for i in samples["train"]} == {"train"}
    assert {planned[i] for i in samples["val"]} == {"val"}
    dropped = pq.read_table(mine.folder / "manifest/dropped.parquet", columns=["id", "reason"]).to_pylist()
    buffered = {d["id"] for d in dropped if d["reason"] == "buffer"}
    assert buffered
    assert {planned[i] for i in buffered} == {"buffer"}
    assert split.packed_sides(mine.store) == {i: planned[i] for i in split.packed_sides(mine.store)}
    assert samples["train"] | samples["val"] | buffered <= set(split.packed_sides(mine.store))
    # And back again: the same bytes as before.
    capsys.readouterr()
    back = Curate(built.world, mine.root)
    assert mine("verify") == 0
    assert back("pack") == 0
    assert back.hashes() == built.hashes()


@pytest.mark.slow
def test_a_column_of_the_file_splits_and_goes_into_the_table_of_samples(built: Curate, tmp_path, capsys):
    mine = with_split(built, tmp_path, 'rule = "column"\ncolumn = "kind"\nval = ["wood", "wod"]\nbuffer_km = 0.5')
    file = mine.world.folder / "places.csv"
    places = pd.read_csv(file)
    ids = pq.read_table(built.folder / "manifest/locations.parquet")["id"].to_pylist()  # in the order of the file
    first = tiny.name(0, 0)
    places["kind"] = ["wood" if i == first else "field" if n % 2 else None for n, i in enumerate(ids)]
    places["day"] = "2021-07-15"
    places.to_csv(file, index=False)
    recipe = mine.world.recipe
    recipe.write_text(
        recipe.read_text().replace('file = "places.csv"', 'file = "places.csv"\ncolumns = ["kind", "day"]')
    )
    ledger = under(mine.folder / "ledger")
    assert mine("pack") == 0
    told = capsys.readouterr().err
    assert "[split] val: no location here has 'wod' in column 'kind'" in told
    assert f"[split] {places['kind'].isna().sum()} locations have nothing in column 'kind': they are train" in told
    assert under(mine.folder / "ledger") == ledger  # the same places, so the same cubes
    tables = [pq.read_table(mine.folder / f"shards/{k}/samples.parquet") for k in ("train", "val")]
    assert tables[1]["id"].to_pylist() == [first]
    said = dict(zip(ids, places["kind"], strict=True))
    for table in tables:
        assert table.schema.field("kind").type == pa.string()
        assert table.schema.field("day").type == pa.timestamp("us", "UTC")
        assert table["day"].to_pylist() == [dt.datetime(2021, 7, 15, tzinfo=dt.UTC)] * len(table)
        assert table["kind"].to_pylist() == [
            None if pd.isna(v) else v for v in (said[i] for i in table["id"].to_pylist())
        ]
    for side in ("train", "val"):  # and into samples and batches
        for sample in open_shards(str(mine.folder), side):
            kind = said[sample["key"]]
            assert sample["kind"] == ("" if pd.isna(kind) else kind)
            assert sample["day"] == "2021-07-15T00:00:00Z"
    packed = split.packed_sides(mine.store)
    assert "buffer" in packed.values()
    (mine.folder / "shards/index.json").unlink()
    assert mine("report") == 0  # cubes do not say what the column holds: the draw does
    drawn = parquet.load(mine.store, "manifest/locations.parquet", mine.dataset)
    counts = split.counts(Counter(split.planned(mine.dataset.recipe, drawn).sides.values()))
    assert f"not packed yet: {counts}" in (mine.folder / "report.html").read_text()
    (mine.folder / "manifest/locations.parquet").unlink()
    assert mine("report") == 0
    assert "split not known" in (mine.folder / "report.html").read_text()


def test_a_file_that_says_other_places_is_another_draw(built: Curate, tmp_path, capsys):
    mine = with_split(built, tmp_path, 'rule = "column"\ncolumn = "kind"\nval = ["wood"]\nbuffer_km = 0.5')
    file, recipe = mine.world.folder / "places.csv", mine.world.recipe
    recipe.write_text(recipe.read_text().replace('file = "places.csv"', 'file = "places.csv"\ncolumns = ["kind"]'))
    places = pd.read_csv(file)
    places["kind"] = "wood"
    table = (mine.folder / "manifest/locations.parquet").read_bytes()
    for other in (places.iloc[1:], places.iloc[::-1], places.assign(x0_m=places.x0_m + 120)):
        other.to_csv(file, index=False)
        assert mine("pack") == 2
        assert "drawn for places_digest" in capsys.readouterr().err
        assert (mine.folder / "manifest/locations.parquet").read_bytes() == table


@pytest.mark.slow
def test_what_is_planned_and_what_is_packed_are_told_apart(built: Curate, tmp_path, capsys):
    mine = with_split(built, tmp_path, SMALL)
    known = split.known(mine.dataset.recipe, mine.store, lambda: pytest.fail("the release knows"))
    assert known.packed
    assert mine("build", "--dry-run") == 0
    assert "Split planned by the recipe, of these locations: buffer " in capsys.readouterr().out
    assert set(known.sides.values()) == {"train"}  # as packed, whatever the recipe says by now
    assert mine("report") == 0
    assert "as packed: train" in (mine.folder / "report.html").read_text()
    (mine.folder / "shards/index.json").unlink()
    assert mine("report") == 0
    page = (mine.folder / "report.html").read_text()
    assert "planned by the recipe, not packed yet: " in page
    assert "(planned)" in page
    assert "as planned)" in page
    capsys.readouterr()
    assert mine("locate") == 0
    assert "The split is planned: it is made when shards are packed." in capsys.readouterr().out
    assert mine("build", "--dry-run") == 0
    assert "Split planned by the recipe, not packed yet: buffer " in capsys.readouterr().out


def test_a_record_of_a_split_that_is_none_is_damage(tmp_path: Path):
    store, sink = Store(tmp_path), io.BytesIO()
    text = pa.StringArray.from_buffers(1, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe"))  # no UTF-8
    pq.write_table(pa.table({"id": text, "split": ["train"]}), sink)
    for bad in (b"no parquet", sink.getvalue()):
        store.publish(paths.SPLIT, bad)
        with pytest.raises(DamageError, match="not a readable Parquet file"):
            split.packed_sides(store)


@pytest.mark.slow
def test_what_is_told_of_a_split_that_is_not_so_is_a_fault(built: Curate, tmp_path, capsys):
    mine = built.copy(tmp_path)
    told = split.packed_sides(mine.store)
    first = next(iter(s["key"] for s in open_shards(str(mine.folder / "shards"), "train")))
    for bad, said in (
        (split.record(told | {first: "val"}), f"tells {first} as val, packed as train (1 such samples)"),
        (b"no parquet", "not a readable Parquet file"),
        (None, "is not there"),
    ):
        mine.store.publish(paths.SPLIT, bad) if bad is not None else mine.store.delete(paths.SPLIT)
        assert mine("verify") == 1
        out = capsys.readouterr().out
        assert f"FAULT {mine.store.where(paths.SPLIT)}" in out
        assert said in out
    assert mine("pack") == 0
    assert mine("verify") == 0


def test_a_side_without_samples_is_no_damage(built: Curate, tmp_path):
    mine = with_split(built, tmp_path, "val_fraction = 1.0")
    assert mine("pack") == 0
    assert len(list(open_shards(str(mine.folder / "shards"), "val"))) == 7
    with pytest.raises(ConfigError, match="split 'train' has no sample"):
        open_shards(str(mine.folder / "shards"), "train")


def test_without_a_word_of_a_rule_it_is_of_blocks(tmp_path):
    assert load_dataset("ssl4eo-s12-ml").recipe.split.rule == load_dataset("starter").recipe.split.rule == "blocks"


def test_a_record_comes_back_as_it_was(tmp_path):
    store = Store(tmp_path)
    assert split.packed_sides(store) is None
    sides = {"b": "train", "a": "buffer", "c": "val"}
    store.publish(paths.SPLIT, split.record(sides))
    assert list(split.packed_sides(store).items()) == list(sides.items())
    assert split.record(sides) == split.record(dict(sides))


def test_locate_shows_the_planned_side_of_each_place_in_their_table_which_nothing_reads(built: Curate, tmp_path):
    mine = built.copy(tmp_path)
    key = paths.locations(None)
    before = mine.store.get(key)
    drawn = parquet.load(mine.store, key, mine.dataset)
    assert mine("locate") == 0
    table = pq.read_table(mine.folder / key)
    assert dict(zip(table["id"].to_pylist(), table["split"].to_pylist(), strict=True)) == dict(
        zip(drawn.column("id").tolist(), split.sides(mine.dataset.recipe, drawn).tolist(), strict=True)
    )
    again = parquet.load(mine.store, key, mine.dataset)
    assert again.table.equals(drawn.table)
    parquet.save(again, mine.store, key, mine.dataset)
    assert mine.store.get(key) == before
