"""Labels from a file: those of the run they were made of, in every form of the file, told apart from measured ones."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import curation
from curation.errors import ConfigError
from curation.pack.labels import imported
from curation.recipe.digests import digest
from curation.report.page import render
from tests.pack.labels.files import CODES, again, label_file, labels, metas, vectors, without_maps, written
from tests.run import Curate


def shards(curate: Curate) -> Path:
    return curate.folder / "shards"


def index(curate: Curate) -> dict:
    return json.loads((shards(curate) / "index.json").read_text())


@pytest.mark.slow
def test_labels_of_a_file_are_those_of_the_run_with_maps(built: Curate, tmp_path: Path, capsys):
    curate = without_maps(built, tmp_path)
    file = written(tmp_path / "labels.json", label_file(shards(built)))
    assert curate("build", "--labels", str(file)) == 0  # which asks for no --allow-unknown-labels
    told = capsys.readouterr().out
    assert re.search(r"labels\.json can label up to 6 of 50 patches \(12\.0 %\)", told)
    assert curate("pack") == 0
    assert "labels of labels.json: 14 of 14 rows are of samples" in capsys.readouterr().out
    expected = vectors(shards(built))
    assert vectors(shards(curate)) == expected
    assert sum(v is not None for v in expected.values()) == 6
    assert curate("verify") == 0


@pytest.mark.slow
def test_labels_without_fractions_are_a_state_of_their_own(built: Curate, mine: Curate, tmp_path: Path):
    file = written(tmp_path / "labels.json", label_file(shards(built)))
    assert mine("pack", "--labels", str(file)) == 0
    stated = {"fractions": None, "valid_fraction": None, "multi_hot": [0, 1, 0, 0, 1, 0, 0, 0, 0]}
    for meta in metas(shards(mine)).values():
        of_scene = meta["seasons"]["summer"]["sources"]["s2l2a"]["scenes"][0].startswith("S2A_MSIL2A_20210710")
        assert meta["seasons"]["summer"]["labels"] == (stated if of_scene else None)
        assert meta["seasons"]["autumn"]["labels"] is None
        assert meta["static"]["labels"]["fractions"] is not None  # WorldCover is measured
    table = pq.read_table(shards(mine) / "train" / "samples.parquet").to_pylist()
    assert [r["labels_summer"] for r in table].count(["trees", "crops"]) == 6
    assert {(r["fractions_summer"], r["fractions_autumn"], r["labels_autumn"]) for r in table} == {(None, None, None)}
    assert index(mine)["counts"]["labels"]["patches"] == {
        "autumn": {"stated": 0, "measured": 0, "unknown": 7},
        "summer": {"stated": 6, "measured": 0, "unknown": 1},
    }
    page = render(mine.dataset, mine.store)
    assert "of them without fractions" in page
    assert "labels.json" in page
    assert "of them without fractions" not in render(built.dataset, built.store)


@pytest.mark.torch
def test_batches_tell_labels_without_fractions(built: Curate, mine: Curate, tmp_path: Path):
    from curation.stream import open_shards

    file = written(tmp_path / "labels.json", label_file(shards(built)))
    assert mine("pack", "--labels", str(file)) == 0
    batch = next(iter(open_shards(str(mine.folder), "train", batch_size=7)))
    known = batch["labels_known"]
    assert int(known.sum()) == 6
    assert not batch["labels"][known].isnan().any()
    assert batch["labels"][~known].isnan().all()
    assert batch["label_fractions"].isnan().all()
    with pytest.raises(ConfigError, match="no sample has label fractions"):
        open_shards(str(mine.folder), "train", batch_size=2, balance=True)


def as_csv(said: dict, path: Path, *, time: bool = False) -> Path:
    names = {str(c): n for n, c in CODES.items()}
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["location", "time" if time else "s2_id", "labels"])
        for place, images in said.items():
            for image, classes in images.items():
                stamp = image[:15]
                when = f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:8]}" + (f"T{stamp[9:11]}:{stamp[11:13]}:00Z" if time else "")
                out.writerow([place, when if time else image, ";".join(names[c] for c in classes)])
    return path


def as_parquet(said: dict, path: Path) -> Path:
    rows = [
        {"id": place, "system:index": image} | {n: str(c) in classes for n, c in CODES.items()}
        for place, images in said.items()
        for image, classes in images.items()
        if classes
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("form", ["csv by id", "csv by time", "parquet of 0 and 1"])
@pytest.mark.slow
def test_tables_say_the_same_as_the_published_form(built: Curate, mine: Curate, tmp_path: Path, form: str):
    said = label_file(shards(built))
    if form.startswith("csv"):
        file = as_csv(said, tmp_path / "labels.csv", time=form.endswith("time"))
    else:
        file = as_parquet(said, tmp_path / "labels.parquet")
    assert labels(mine, "import", str(file)) == 0
    assert mine("pack") == 0
    assert vectors(shards(mine)) == vectors(shards(built))


def test_a_table_by_location_alone_labels_places(built: Curate, mine: Curate, tmp_path: Path):
    keys = sorted(metas(shards(built)))
    (tmp_path / "places.csv").write_text("location,labels\n" + "".join(f"{k},tree_cover|water\n" for k in keys[1:]))
    assert labels(mine, "import", str(tmp_path / "places.csv")) == 0
    assert mine("pack") == 0
    said = {k: m["static"]["labels"] for k, m in metas(shards(mine)).items()}
    assert said[keys[0]] is None  # of a file all come from there: nothing is mixed
    hot = [1, 1, 0, 0, 0, 0, 0, 0, 0]
    assert all(said[k] == {"fractions": None, "valid_fraction": None, "multi_hot": hot} for k in keys[1:])


@pytest.mark.slow
def test_other_images_places_and_contradictions_are_listed_and_label_nothing(built, mine, tmp_path, capsys):
    said = {k: v for k, v in label_file(shards(built)).items() if any(v.values())}
    first, second = list(said)[:2]
    rows = []
    for place, images in said.items():
        summer = next(i for i in images if i.startswith("20210710"))
        if place == first:
            rows.append((place, summer.replace("T32ULC", "T32UMC"), "trees"))  # another tile
        elif place == second:
            rows += [(place, summer, "trees"), (place, summer, "water")]
        else:
            rows.append((place, summer, "trees"))
    rows += [("elsewhere", rows[0][1], "trees"), (first, "20180710T103000_20180710T103000_T32ULC", "trees")]
    (tmp_path / "l.csv").write_text("location,s2_id,labels\n" + "".join(",".join(r) + "\n" for r in rows))
    assert labels(mine, "import", str(tmp_path / "l.csv")) == 0
    told = capsys.readouterr().out
    assert "2 of no patch (unknown_location 1, outside_seasons 1)" in told
    assert "called like" not in told  # most are known
    assert mine("pack") == 0
    listed = pq.read_table(mine.folder / "manifest" / "labels-unmatched.parquet").to_pylist()
    assert [(r["row"], r["reason"]) for r in listed] == [
        (1, "other_image"),
        (2, "ambiguous_labels"),
        (3, "ambiguous_labels"),
        (len(rows) - 1, "unknown_location"),
        (len(rows), "outside_seasons"),
    ]
    found = {k: m["seasons"]["summer"]["labels"] for k, m in metas(shards(mine)).items()}
    assert {k for k in said if found[k] is None} == {first, second}


@pytest.mark.slow
def test_another_file_makes_the_shards_anew_and_none_is_mixed(built: Curate, mine: Curate, tmp_path: Path, capsys):
    said = label_file(shards(built))
    one, other = (tmp_path / "one.json", tmp_path / "other.json")
    written(one, said)
    written(other, {k: {i: ["0"] for i in v} for k, v in said.items()})
    assert mine("pack", "--labels", str(one)) == 0
    before = index(mine)
    assert labels(mine, "import", str(other)) == 0
    capsys.readouterr()
    assert mine("verify") == 1
    assert "packed with other labels than are imported" in capsys.readouterr().out
    assert mine("pack") == 0
    assert "shards were packed by other labels" not in render(mine.dataset, mine.store)
    after = index(mine)
    assert after["digests"]["release"] != before["digests"]["release"]
    assert after["digests"]["pixels"] == before["digests"]["pixels"]
    assert {tuple(v) for v in vectors(shards(mine)).values()} == {(1, 0, 0, 0, 0, 0, 0, 0, 0)}  # of every row
    assert mine("verify") == 0
    assert mine("pack", "--labels", str(one)) == 0
    assert index(mine) == before  # wherever they were packed before
    assert labels(mine, "remove") == 0
    assert mine("pack") == 0
    assert set(vectors(shards(mine)).values()) == {None}
    assert not list((mine.folder / "labels").glob("*"))


@pytest.mark.slow
def test_damage_to_imported_labels_is_named_and_nothing_is_packed_with_it(built, mine, tmp_path, capsys):
    assert mine("pack", "--labels", str(written(tmp_path / "l.json", label_file(shards(built))))) == 0
    (table,) = (mine.folder / "labels").glob("*.parquet")
    whole = table.read_bytes()
    table.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    capsys.readouterr()
    for verb in ("verify", "pack"):
        assert mine(verb) == 1
        out = capsys.readouterr()
        assert str(table) in out.out + out.err
    table.write_bytes(whole)
    assert mine("verify") == 0
    (table.parent / "0123456789abcdef.parquet").write_bytes(whole)  # a second import that was stopped
    assert mine("verify") == 1
    assert "import of labels that was stopped" in capsys.readouterr().out


def test_a_dry_run_tells_the_share_and_keeps_nothing(built: Curate, bare: Curate, tmp_path: Path, capsys):
    file = written(tmp_path / "l.json", label_file(shards(built)))
    fresh = again(bare, tmp_path / "root")
    assert fresh("build", "--dry-run", "--labels", str(file)) == 0
    out = capsys.readouterr().out
    assert "can label up to 6 of 50 patches" in out
    assert "--allow-unknown-labels" not in out
    assert not fresh.folder.exists()


def test_leading_zeros_of_numbered_locations_do_not_count():
    from curation.pack.labels.listed import key_of

    assert key_of("0000002") == key_of("2") == "2"
    assert key_of("000") == key_of("0") == "0"
    assert key_of("1" * 5000) == "1" * 5000  # more digits than Python makes a number of
    assert key_of("utm32n-0000002") == "utm32n-0000002"


def test_the_python_way_in(built: Curate, mine: Curate, tmp_path: Path):
    file = written(tmp_path / "l.json", label_file(shards(built)))
    made = curation.load(mine.world.recipe, mine.root, catalog=str(mine.world.catalog), scheduler="none")
    assert "can label up to 6 of 50" in str(made.import_labels(file))
    made.pack()
    assert vectors(shards(mine)) == vectors(shards(built))
    assert np.array_equal(*(sorted(metas(shards(c))) for c in (mine, built)))


def test_what_made_the_maps_is_in_the_release_s_digest_and_else_nothing_is_changed(built, mine, tmp_path: Path):
    file = written(tmp_path / "labels.json", label_file(shards(built)))
    assert labels(mine, "import", str(file)) == 0
    its = imported.load(mine.store, mine.dataset)
    parts = [mine.dataset.release_digest(), its.record.content, its.record.source, its.record.seasonal]
    assert imported.release_digest(mine.dataset, its) == digest(parts)
    assert b"made_by" not in its.record.to_bytes()
    one, other = (replace(its, record=replace(its.record, made_by=name)) for name in ("one model", "another"))
    assert len({imported.release_digest(mine.dataset, i) for i in (its, one, other)}) == 3
    assert imported.Record.from_bytes(one.record.to_bytes(), "x") == one.record
