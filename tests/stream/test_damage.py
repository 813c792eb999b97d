"""What is damaged, cut, missing or exchanged is refused by name, from a folder and over http. What the reader cannot see
is seen by `verify`.

Single payloads and cuts at every place are in `test_dataset.py`.
"""

import hashlib
import json
import os
import pickle
import random
import shutil

import pytest

from curation.errors import DamageError
from curation.format.index import INDEX, Index
from curation.format.names import BLOCK
from curation.format.tar import scan_tar
from curation.pack import split
from curation.recipe.dataset import load_dataset
from curation.store import paths
from curation.store.objects import Store
from curation.stream.open import open_shards
from curation.verify.verify import verify
from tests.stream import conftest
from tests.stream.conftest import RELEASED, key_of, make_shards, truth
from tests.stream.servers import faulty

DO = "copy it again, or pack"
SHARDS = [f"train/demo-train-{i:06d}.tar" for i in range(4)]
TWINS = 1, 2
"""Shards of one size whose members lie at the same places."""
TABLES = ["members.arrow", "samples.parquet"]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """(folder, URL of the server over it)."""
    folder = tmp_path_factory.mktemp("served")
    with faulty(folder, tmp_path_factory.mktemp("faulty")) as server:
        yield folder, server.url


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A dataset as it was released, of 17 samples; those of the last three shards lack nothing."""
    folder = tmp_path_factory.mktemp("whole")
    make_shards(folder / "shards", {"train": [11, 2, 2, 2]}, size=12)
    (folder / "manifest").mkdir()
    digest = hashlib.sha256((folder / "shards" / INDEX).read_bytes()).hexdigest()
    (folder / "manifest/release.json").write_text(json.dumps(RELEASED | {"index_sha256": digest}))
    Store(folder).publish(paths.SPLIT, split.record({key_of(number): "train" for number in range(17)}))
    return folder


@pytest.fixture
def mine(whole, served, tmp_path):
    """A copy to damage."""
    folder = served[0] / tmp_path.name
    yield shutil.copytree(whole, folder)
    shutil.rmtree(folder)


@pytest.fixture(params=["folder", "http"])
def where(request, mine, served):
    """Where the reader looks for that copy."""
    return mine if request.param == "folder" else f"{served[1]}/{mine.name}"


def flip(path, at):
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def exchange(a, b):
    temp = a.with_suffix(".temp")
    a.rename(temp)
    b.rename(a)
    temp.rename(b)


def read(where, **how):
    return [(b["key"], b["s2l2a_10m"].numpy().tobytes()) for b in open_shards(where, batch_size=7, **how)]


def faults(folder):
    return verify(load_dataset("ssl4eo-s12-ml"), Store(folder)).faults


def places(path):
    """Kind of place → first and last byte of each such stretch of a tar, and whose they are."""
    data = path.read_bytes()
    rows = scan_tar(data, path.name)
    found = {"header": [], "payload": [], "padding": [], "end": []}
    for row in rows:
        end = row.offset + row.size
        found["header"].append((row.offset - BLOCK, row.offset - 1, row))
        found["payload"].append((row.offset, end - 1, row))
        if end % BLOCK:
            found["padding"].append((end, -(-end // BLOCK) * BLOCK - 1, row))
    last = -(-(rows[-1].offset + rows[-1].size) // BLOCK) * BLOCK
    found["end"].append((last, len(data) - 1, None))
    return found


def some_of(path):
    """(kind, byte, row) of the ends and one byte within of every stretch."""
    rnd = random.Random(0)
    for kind, stretches in places(path).items():
        for first, last, row in stretches:
            for at in sorted({first, last, rnd.randint(first, last)}):
                yield kind, at, row


# ---- one byte


def test_a_flipped_byte_in_any_member_is_refused_by_name_at_its_ends_and_within(mine):
    path = mine / "shards" / SHARDS[1]
    dataset, seen = open_shards(mine), set()
    for kind, at, row in some_of(path):
        if kind == "payload":
            flip(path, at)
            with pytest.raises(DamageError) as caught:
                list(dataset)
            said = f"{SHARDS[1]}, sample {row.key}, member {row.member} ({row.size} bytes at {row.offset}): xxh3 "
            assert said in str(caught.value)
            assert DO in str(caught.value)
            seen.add((row.key, row.member))
            flip(path, at)
    assert seen == {(key_of(i), m) for i in (11, 12) for m in dataset.index.members}
    assert len(list(dataset)) == 17


def test_a_flipped_byte_is_refused_by_name_wherever_it_is_read_from(mine, where):
    path = mine / "shards" / SHARDS[1]
    dataset = open_shards(where, batch_size=7, threads=1)
    payloads = [(at, row) for kind, at, row in some_of(path) if kind == "payload"]
    for at, row in random.Random(1).sample(payloads, 8):
        flip(path, at)
        with pytest.raises(DamageError) as caught:
            list(dataset)
        for said in (str(where), SHARDS[1], f"sample {row.key}", f"member {row.member} ", DO):
            assert said in str(caught.value)
        flip(path, at)


@pytest.mark.slow
def test_a_flipped_byte_between_payloads_changes_no_sample_and_verify_names_it(mine, where):
    path, before = mine / "shards" / SHARDS[1], read(where)
    assert faults(mine) == []
    between = [(kind, at) for kind, at, _ in some_of(path) if kind != "payload"]
    assert {kind for kind, _ in between} == {"header", "padding", "end"}
    for kind, at in random.Random(2).sample(between, 12):
        flip(path, at)
        assert read(where) == before, (kind, at)
        found = faults(mine)
        assert any(f"{SHARDS[1]}: has " in f and "sha256" in f for f in found), (kind, at)
        assert any(SHARDS[1] in f for f in found if "sha256" not in f), (kind, at)  # and the tar itself says it
        flip(path, at)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.slow
def test_a_flipped_byte_in_a_table_is_refused_by_name_at_open(mine, where, table):
    path = mine / "shards/train" / table
    size = path.stat().st_size
    for at in (0, size - 1, *random.Random(3).sample(range(size), 6)):
        flip(path, at)
        with pytest.raises(DamageError, match=rf"train/{table}: .*sha256 .*expected .*: {DO}"):
            open_shards(where)
        flip(path, at)
    os.truncate(path, size // 2)
    with pytest.raises(DamageError, match=rf"train/{table}: {size // 2} bytes .*expected {size} bytes .*: {DO}"):
        open_shards(where)
    path.unlink()
    with pytest.raises(DamageError, match=rf"train/{table}: missing, expected {size} bytes: {DO}"):
        open_shards(where)


def test_a_number_changed_in_the_index_is_told_by_verify(mine):
    # A reader has nothing to compare it with: only the release has its hash.
    path = mine / "shards" / INDEX
    path.write_bytes(path.read_bytes().replace(b'"mean": 300.0', b'"mean": 301.0', 1))
    assert len(list(open_shards(mine))) == 17
    assert [f for f in faults(mine) if "release.json: is of another index.json" in f]


# ---- cut, missing, exchanged


def test_shards_that_are_cut_or_missing_are_named_at_open(mine, where):
    path = mine / "shards" / SHARDS[2]
    size = path.stat().st_size
    os.truncate(path, size - 1)
    (mine / "shards" / SHARDS[0]).unlink()
    match = rf"2 of 4 shards .*{SHARDS[0]}: missing, .*{SHARDS[2]}: {size - 1} bytes, expected {size} bytes: copy them"
    with pytest.raises(DamageError, match=match):
        open_shards(where)


def test_a_shard_that_goes_after_opening_is_named_at_read(mine, where):
    dataset = open_shards(where)
    (mine / "shards" / SHARDS[0]).unlink()
    with pytest.raises(DamageError, match=rf"{SHARDS[0]}, sample .*changed after it was opened: {DO}"):
        list(dataset)


def test_exchanged_shards_of_two_sizes_are_both_named_at_open(mine, where):
    paths = [mine / "shards" / SHARDS[i] for i in (0, 3)]
    sizes = [p.stat().st_size for p in paths]
    assert sizes[0] != sizes[1]
    exchange(*paths)
    match = ".*".join(rf"{SHARDS[i]}: {got} bytes" for i, got in ((0, sizes[1]), (3, sizes[0])))
    with pytest.raises(DamageError, match=rf"2 of 4 shards.*{match}.*: copy them again, or pack"):
        open_shards(where)


@pytest.mark.parametrize("check", ["xxh3", "none"])
def test_exchanged_shards_of_one_size_are_named_at_the_first_sample_of_either(mine, where, check):
    paths = [mine / "shards" / SHARDS[i] for i in TWINS]
    layouts = [[(r.offset, r.member) for r in scan_tar(p.read_bytes(), p.name)] for p in paths]
    assert layouts[0] == layouts[1]
    exchange(*paths)
    dataset = open_shards(where, check=check)
    for number, shard, instead in ((11, 1, 13), (13, 2, 11)):
        with pytest.raises(DamageError) as caught:
            dataset.by_id()[key_of(number)]
        said = str(caught.value)
        assert key_of(number) in said
        if check == "xxh3":
            assert SHARDS[shard] in said
            assert DO in said
        else:  # its own meta.json says who it is
            assert f"is that of '{key_of(instead)}'" in said
    assert {i for i in range(4) for f in faults(mine) if SHARDS[i] in f} == set(TWINS)


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """The same samples in other shards."""
    folder = tmp_path_factory.mktemp("other") / "shards"
    make_shards(folder, {"train": [9, 2, 2, 2, 2]}, size=12)
    return folder


@pytest.mark.parametrize("file", TABLES)
def test_another_datasets_table_is_refused_by_name_at_open(mine, where, other, file):
    shutil.copy(other / "train" / file, mine / "shards/train" / file)
    with pytest.raises(DamageError, match=rf"train/{file}: .*sha256 .*expected .*: {DO}"):
        open_shards(where)
    assert [f for f in faults(mine) if f"train/{file}: has " in f]


@pytest.mark.parametrize("is_gone", [False, True])
def test_a_process_that_begins_after_the_dataset_was_packed_again_reads_none_of_it(
    mine, tmp_path, monkeypatch, is_gone
):
    """The same samples with other pixels, whose shards have the hashes that their own table says."""
    sent = pickle.dumps(open_shards(mine, batch_size=2))
    monkeypatch.setattr(conftest, "truth", lambda *of: truth(*of) + 1)
    make_shards(tmp_path / "shards", {"train": [11, 2, 2, 2]}, size=12)
    shutil.copytree(tmp_path / "shards", mine / "shards", dirs_exist_ok=True)
    if is_gone:
        (mine / "shards/train/members.arrow").unlink()
    with pytest.raises(DamageError, match=f"train/members.arrow: {'missing' if is_gone else '.*sha256 .*, expected'}"):
        next(iter(pickle.loads(sent)))


@pytest.mark.parametrize("file", TABLES)
def test_another_datasets_table_is_refused_even_where_the_index_vouches_for_it(mine, where, other, file):
    shutil.copy(other / "train" / file, mine / "shards/train" / file)
    value = json.loads((mine / "shards" / INDEX).read_bytes())
    theirs = json.loads((other / INDEX).read_bytes())
    entry = {"members.arrow": "members", "samples.parquet": "samples_table"}[file]
    value["splits"]["train"][entry] = theirs["splits"]["train"][entry]
    Index.from_bytes(json.dumps(value).encode())
    (mine / "shards" / INDEX).write_text(json.dumps(value))
    with pytest.raises(DamageError, match=rf"train/{file}.*pack"):
        open_shards(where)
