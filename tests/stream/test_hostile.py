"""Every field of what a reader is given, in turn, with every hostile value: it does not matter, or is refused by name.

The index, the member table, the samples table, payloads, and a reader's state. `verify` names the fault, too.
"""

import copy as copying
import functools
import hashlib
import io
import json
import re
import resource
import shutil
import time

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from curation.errors import ConfigError, DamageError
from curation.format import payload
from curation.format.index import ArrayEntry, Index, member_names
from curation.format.names import META
from curation.format.strict import json_of
from curation.format.tar import scan_tar
from curation.recipe.dataset import load_dataset
from curation.store.objects import Store
from curation.stream.meta import parse_meta
from curation.stream.open import open_shards
from curation.verify.verify import verify
from tests.stream.conftest import LABELS, RELEASED, SEASONS, make_shards, meta_of

NAMED = ConfigError, DamageError
PROMPT_S, ROOM_KB = 20, 400_000


def deep(levels):
    value = 1
    for _ in range(levels):
        value = [value]
    return value


HOSTILE = [
    *(None, True, -1, 0, 1, 1.5, 2**31, 2**53, 2**63 - 1, 2**64, 10**400, 1e308, -1e308, float("inf"), float("nan")),
    *("", "x", "a/../../b", "\x00", "\ud800", "train", "key", "npy", "child0", "x" * 5000, [], {}, [[]], {"a": 1}),
    *(["x", "x"], [-1, -1, -1], [1, 2**62, 2**62], [1, 10**5, 10**5], [1.0, 24, 24], [True, 24, 24], deep(400)),
]


def paths(value, at=()):
    """Each place of a JSON value; of a list, its first entry and itself."""
    if at:
        yield at
    inner = value.items() if isinstance(value, dict) else [(0, value[0])] if isinstance(value, list) and value else []
    for key, of in inner:
        yield from paths(of, (*at, key))


def changed(value, path, to):
    value = copying.deepcopy(value)
    at = value
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = to
    return value


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A small dataset as it was released."""
    folder = tmp_path_factory.mktemp("whole")
    make_shards(folder / "shards", {"train": [2, 1]}, size=12)
    (folder / "manifest").mkdir()
    digest = hashlib.sha256((folder / "shards/index.json").read_bytes()).hexdigest()
    (folder / "manifest/release.json").write_text(json.dumps(RELEASED | {"index_sha256": digest}))
    return folder


@pytest.fixture(scope="module")
def mine(whole, tmp_path_factory):
    """A copy, whose index each case writes again."""
    return shutil.copytree(whole, tmp_path_factory.mktemp("mine") / "demo")


@pytest.fixture(scope="module")
def pixels(whole):
    return delivered(whole)


def delivered(folder, **how):
    tensors = {}
    for batch in open_shards(folder, batch_size=2, threads=1, **how):
        for key, value in batch.items():
            tensors.setdefault(key, []).append(value if isinstance(value, list) else value.numpy().tobytes())
    assert len(tensors["key"]) == 2
    return tensors


def bounded(call):
    """What the call gives, or the named error; it took neither long nor much memory."""
    began, had = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        return call()
    except NAMED as err:
        return err
    finally:
        assert time.monotonic() - began < PROMPT_S
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - had < ROOM_KB


def write_index(folder, value):
    (folder / "shards/index.json").write_text(json.dumps(value))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_each_field_of_an_index_does_not_matter_or_is_refused_by_name(whole, mine, pixels):
    index = json.loads((whole / "shards/index.json").read_text())
    passed = set()
    for path in paths(index):
        for to in HOSTILE:
            value = changed(index, path, to)
            data = json.dumps(value).encode()
            if isinstance(bounded(functools.partial(Index.from_bytes, data)), NAMED):
                continue
            write_index(mine, value)
            got = bounded(functools.partial(delivered, mine))
            assert len(str(got)) < 5000 or not isinstance(got, NAMED)
            if not isinstance(got, NAMED):
                same = {k: v for k, v in got.items() if not k.endswith("_ok") and not k.endswith("_time")}
                assert all(pixels[k] == v for k, v in same.items()), (path, to)
                passed.add(".".join(str(p) for p in path).split(".")[0])
    # What is text for people, and what pixels do not follow from.
    assert passed <= {"dataset", "title", "digests", "content_sha256", "label_names", "arrays", "statistics", "sources",
                      "counts", "written_by", "splits", "children", "annotations", "columns"}  # fmt: skip
    write_index(mine, index)


def crowded(index):
    """More members than the member table can count, each named as it should be."""
    index["arrays"]["dem_30m"].update(of_children=True)
    index["children"] = 2**15 - 1
    arrays = {name: msgspec.convert(value, ArrayEntry) for name, value in index["arrays"].items()}
    index["members"] = list(member_names(arrays, index["seasons"], index["children"]))


def many(index):
    index["splits"]["train"]["shards"][0].update(samples=2**40)
    index["splits"]["train"].update(samples=2**40 + 1)


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v.update(children=10**9),
        lambda v: v.update(children=40_000),
        crowded,
        lambda v: v["arrays"]["dem_30m"].update(shape=[1, -4, -4]),
        lambda v: v["arrays"]["s1rtc_10m"].update(shape=[2, 40_000, 40_000]),
        lambda v: v["splits"]["train"].update(samples=2**40),
        many,
        lambda v: v["splits"]["train"]["shards"][1].update(name=v["splits"]["train"]["shards"][0]["name"]),
        lambda v: v["arrays"]["dem_30m"].update(res_m=1e-308),
        lambda v: v["statistics"]["dem_30m"]["elevation"].update(std=-1.0),
        lambda v: v["statistics"]["dem_30m"]["elevation"].update(count=-1),
        lambda v: v.update(counts=deep(200)),
        lambda v: v.update(counts={"a": deep(200)}),
    ],
)
def test_an_index_that_promises_what_cannot_be_is_refused_before_room_is_made_for_it(whole, change):
    value = json.loads((whole / "shards/index.json").read_text())
    change(value)
    data = json.dumps(value).encode()
    assert isinstance(bounded(lambda: Index.from_bytes(data)), DamageError)


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v["arrays"]["s1rtc_10m"].update(shape=[2, 15_000, 15_000]),
        lambda v: v["splits"]["train"]["members"].update(name="train"),
    ],
)
def test_an_index_that_promises_what_its_files_have_not_is_refused_before_room_is_made_for_it(whole, mine, change):
    index = json.loads((whole / "shards/index.json").read_text())
    value = copying.deepcopy(index)
    change(value)
    write_index(mine, value)
    assert isinstance(bounded(lambda: delivered(mine)), DamageError)
    write_index(mine, index)


@pytest.mark.parametrize("data", [b"[" * 10**6, b'{"a":' * 10**5, b"\xff", b"", b"1e999", b"NaN", b'"x'])
def test_json_that_is_none_or_too_deep_is_refused(data, mine, whole):
    with pytest.raises(DamageError):
        Index.from_bytes(data)
    with pytest.raises(DamageError):
        parse_meta(data, 3, SEASONS, "x")


@pytest.mark.parametrize("data", [b'{"a": NaN}', b"[-Infinity]"])
def test_numbers_that_json_has_not_are_refused(data):
    with pytest.raises(ValueError, match="no JSON"):
        json_of(data)


# ---- tables


def put(folder, name, data):
    """Writes a table of the train split, and tells the index of it."""
    file = {"members": "members.arrow", "samples_table": "samples.parquet"}[name]
    # As another file, as packing does: what was opened before is mapped, and its threads may read on.
    (folder / "new").write_bytes(data)
    (folder / "new").replace(folder / "shards/train" / file)
    value = json.loads((folder / "shards/index.json").read_text())
    value["splits"]["train"][name] |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    write_index(folder, value)


def arrow(batch, **how):
    out = io.BytesIO()
    with pa.ipc.new_file(out, batch.schema, options=pa.ipc.IpcWriteOptions(**how)) as writer:
        writer.write_batch(batch)
    return out.getvalue()


@pytest.fixture
def damaged(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "demo")


@pytest.mark.parametrize("column", ["sample", "member", "shard", "offset", "size", "xxh3"])
def test_each_column_of_a_member_table_is_refused_with_any_other_value(damaged, column):
    batch = pa.ipc.open_file((damaged / "shards/train/members.arrow").read_bytes()).get_batch(0)
    at = batch.schema.get_field_index(column)
    plain = batch.column(at).to_numpy().copy()
    limits = np.iinfo(plain.dtype)
    for row in (0, 5, len(plain) - 1):
        for to in {limits.min, limits.max, limits.max - 511, limits.max // 2 + 1, 0, 1, 511, 512, int(plain[row]) + 1}:
            if to == plain[row] or not limits.min <= to <= limits.max:
                continue
            values = plain.copy()
            values[row] = to
            put(damaged, "members", arrow(batch.set_column(at, batch.schema.field(at), pa.array(values))))
            assert isinstance(bounded(lambda: delivered(damaged)), DamageError), (row, to)
    for shifted in (plain + plain.dtype.type(1), plain - plain.dtype.type(1)):
        put(damaged, "members", arrow(batch.set_column(at, batch.schema.field(at), pa.array(shifted))))
        assert isinstance(bounded(lambda: delivered(damaged)), DamageError)
    for other in (pa.array([None] * len(plain), batch.schema.field(at).type), pa.array([str(v) for v in plain])):
        put(damaged, "members", arrow(batch.set_column(at, column, other)))
        assert isinstance(bounded(lambda: delivered(damaged)), DamageError)


@pytest.mark.slow
def test_a_member_table_with_any_byte_changed_does_not_matter_or_is_refused(damaged, pixels):
    data = (damaged / "shards/train/members.arrow").read_bytes()
    rng = np.random.default_rng(0)
    for at in sorted(
        {*range(0, 300, 7), *rng.integers(0, len(data), 150).tolist(), *range(len(data) - 300, len(data), 7)}
    ):
        for byte in (0, 255, 127):
            put(damaged, "members", data[:at] + bytes([byte]) + data[at + 1 :])
            got = bounded(lambda: delivered(damaged))
            assert isinstance(got, DamageError) or got == pixels, (at, byte)
    rows = pa.ipc.open_file(data).get_batch(0).num_rows
    counts = [m.start() for m in re.finditer(re.escape(rows.to_bytes(8, "little")), data)]
    assert counts
    for at in counts:  # of the batch, and of each of its columns
        for count in (rows - 1, rows + 1, rows + 2**40):
            put(damaged, "members", data[:at] + count.to_bytes(8, "little") + data[at + 8 :])
            assert isinstance(bounded(lambda: delivered(damaged)), DamageError), (at, count)
    for width in (2, 4, 8):  # a buffer that ends before its column does
        told = (width * rows).to_bytes(8, "little")
        assert told in data
        put(damaged, "members", data.replace(told, width.to_bytes(8, "little")))
        assert isinstance(bounded(lambda: delivered(damaged)), DamageError), width
    for cut in (0, 8, len(data) // 2, len(data) - 1):
        put(damaged, "members", data[:cut])
        assert isinstance(bounded(lambda: delivered(damaged)), DamageError)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.drop_columns(["id"]),
        lambda t: t.drop_columns(["shard"]),
        lambda t: t.slice(1),
        lambda t: pa.concat_tables([t, t]),
        lambda t: t.set_column(0, "id", pa.array([1, 2, 3])),
        lambda t: t.set_column(0, "id", pa.array(["a", "a", "b"])),
        lambda t: t.set_column(0, "id", pa.array(["a", None, "b"])),
        lambda t: t.set_column(0, "id", pa.array(["a", "b.c", "d"])),
        lambda t: t.set_column(4, "shard", pa.array([0.0, 0.0, 1.0])),
        lambda t: t.set_column(4, "shard", pa.array([0, None, 1])),
        lambda t: t.set_column(4, "shard", pa.array([0, 0, 2**62])),
        lambda t: t.set_column(4, "shard", pa.array(["0", "0", "1"])),
        lambda t: t.set_column(5, "fractions_static", pa.array([[0.5], [0.5, 0.5], None])),
        lambda t: t.set_column(6, "fractions_winter", pa.array([[0.5, 0.5, None]] * 3)),
        lambda t: t.set_column(6, "fractions_winter", pa.array([[0.5, 0.5, -1.0]] * 3)),
        lambda t: t.set_column(6, "fractions_winter", pa.array([[0.5, 0.5, float("inf")]] * 3)),
        lambda t: t.set_column(6, "fractions_winter", pa.array(["xxx"] * 3)),
    ],
)
def test_a_samples_table_of_another_form_is_refused(damaged, change):
    table = pq.read_table(damaged / "shards/train/samples.parquet")
    assert table.column_names[:7] == ["id", "lon", "lat", "region", "shard", "fractions_static", "fractions_winter"]
    out = io.BytesIO()
    pq.write_table(change(table), out)
    put(damaged, "samples_table", out.getvalue())
    # The annual fractions are read only where no season has any.
    how = {"balance": True}
    got = bounded(lambda: delivered(damaged, **how))
    is_refused = isinstance(got, DamageError) and "samples.parquet" in str(got)  # and not where its samples are read
    assert is_refused or change(table).column("fractions_static") != table.column("fractions_static")


def test_a_samples_table_with_any_byte_changed_is_refused_or_does_not_matter(damaged, pixels):
    data = (damaged / "shards/train/samples.parquet").read_bytes()
    for at in sorted({*range(0, len(data), 61), *range(len(data) - 200, len(data), 9)}):
        put(damaged, "samples_table", data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :])
        got = bounded(lambda: delivered(damaged))
        assert isinstance(got, DamageError) or got == pixels, at


# ---- payloads


HEADER = "{'descr': '<u2', 'fortran_order': False, 'shape': (1, 2, 2), }"


@pytest.mark.parametrize(
    "header",
    [
        HEADER.replace("(1, 2, 2)", shape)
        for shape in ("(-1, -2, 2)", "(1, 2, 2**62)", "(4294967296, 4294967296, 1)", "(9999999999, 9999999999, 1)",
                      "(0, 9999999999, 9999999999)", "(True, 2, 2)", "(1.0, 2, 2)", "4", "()", "(" * 5000, "(1, " * 2000)
    ]
    + [
        HEADER.replace("'<u2'", descr)
        for descr in ("'|O'", "'>u2'", "[('a', '<u2')]", "{}", "None", "'V99999999'", "'<u2" + "x" * 60)
    ]
    + ["[" * 9000, "{" * 9000, "-" * 9000 + "1", "", "{}", "1" * 9000, HEADER.replace("False", "True"), "\xff"],
)  # fmt: skip
def test_a_npy_header_of_anything_else_is_refused_and_never_evaluated(header):
    text = (header + "\n").encode("latin-1")
    file = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(8)
    assert isinstance(bounded(lambda: payload.decode(file, "npy", "x")), DamageError)
    assert isinstance(bounded(lambda: payload.decode(file[:-8], "npy", "x")), DamageError)
    assert isinstance(bounded(lambda: payload.decode(file[: len(file) // 2], "npy", "x")), DamageError)


def test_a_blosc_header_that_claims_anything_else_is_refused_before_room_is_made():
    whole = payload.encode(np.arange(4 * 132 * 132, dtype=np.uint16).reshape(4, 132, 132), "lz4")
    for at in (4, 8, 12):
        for claim in (0, 1, 15, 16, len(whole) + 1, 2**20, 2**31 - 1, 2**31, 2**32 - 1):
            data = whole[:at] + claim.to_bytes(4, "little") + whole[at + 4 :]
            assert isinstance(bounded(lambda d=data: payload.decode(d, "npy.blosc", "x")), DamageError)
    for cut in (*range(20), len(whole) // 2, len(whole) - 1):
        data = whole[:cut]
        assert isinstance(bounded(lambda d=data: payload.decode(d, "npy.blosc", "x")), DamageError)
        data = data[:12] + cut.to_bytes(4, "little") + data[16:]  # and it owns up to being cut
        assert isinstance(bounded(lambda d=data: payload.decode(d, "npy.blosc", "x")), DamageError)
    for cut in (13, 14, 15):  # within the header's last number
        with pytest.raises(DamageError, match=rf"member \({cut} bytes\)"):
            payload.decode((whole[:12] + cut.to_bytes(4, "little"))[:cut], "npy.blosc", "x")
    bomb = bytes([2, 1, 0x91, 1]) + (2**31 - 1).to_bytes(4, "little") * 2 + (20).to_bytes(4, "little") + bytes(4)
    assert isinstance(bounded(lambda: payload.decode(bomb, "npy.blosc", "x")), DamageError)


@pytest.mark.slow
def test_each_field_of_a_meta_json_does_not_matter_or_is_refused_by_name():
    meta = meta_of("val", 0)
    meta["children"] = [copying.deepcopy(meta)]

    def facts(value):
        data = json.dumps(value).encode()
        return repr(parse_meta(data, len(LABELS), SEASONS, "x"))

    right = facts(meta)
    told = {"id", "lon", "lat", "children", "static", "seasons"}
    for path in paths(meta):
        for to in HOSTILE:
            got = bounded(functools.partial(facts, changed(meta, path, to)))
            if not isinstance(got, DamageError) and path[0] not in told:
                assert got == right
            assert not isinstance(got, ConfigError)
            assert "inf" not in str(got) or isinstance(got, DamageError)
    for wrong in ({"lon": "9.0"}, {"lat": True}, {"lat": 91}, {"lon": 10**400}, {"children": {}}, {"seasons": []}):
        assert isinstance(bounded(functools.partial(facts, {**meta, **wrong})), DamageError)
    wrong = [[], 5, {"multi_hot": "101"}, {"multi_hot": [1, 0, 0.5]}, {"multi_hot": [1, 0]}, {"fractions": [2, 0, 0]}]
    for labels in [*wrong, {"fractions": [0.25] * 4}]:
        assert isinstance(bounded(functools.partial(facts, changed(meta, ("static", "labels"), labels))), DamageError)
    late = changed(meta, ("seasons", "winter", "sources", "s2l2a", "time"), "9999-12-31T23:59:59-23:00")
    assert isinstance(bounded(lambda: facts(late)), DamageError)


# ---- state


def states(dataset):
    yield dataset.state_dict(steps=1)
    worker = {k: v for k, v in dataset.state_dict(steps=0).items() if k != "together"}
    yield worker | {"steps": 1, "worker": 0, "workers": 1, "ranks": 1, "batch": 2}


def test_each_field_of_a_state_is_refused_with_any_value_that_no_state_has(whole):
    dataset = open_shards(whole, batch_size=2, shuffle=True, threads=1)
    plain = [*HOSTILE, 2**62, -5, torch.tensor(1), torch.zeros(3), np.zeros(3), np.int64(1), b"1", (), object()]
    for state in states(dataset):
        dataset.load_state_dict(state)
        for name in state:
            for to in plain:
                if type(to) is type(state[name]) and to == state[name]:
                    continue
                got = bounded(functools.partial(dataset.load_state_dict, {**state, name: to}))
                fits = type(to) is int and 0 <= to < (2**63 if name == "epoch" else 2**31 + 1)
                assert isinstance(got, ConfigError) or (name in {*COUNTS, "epoch"} and fits), (name, to)
            if name not in ("together",):
                lacking = {k: v for k, v in state.items() if k != name}
                got = bounded(functools.partial(dataset.load_state_dict, lacking))
                assert isinstance(got, ConfigError) or state[name] is None
        for foreign in ({"steps_done": 3}, {1: 2}, {"wanted": {"s2l2a": 1}}):
            assert isinstance(bounded(functools.partial(dataset.load_state_dict, state | foreign)), ConfigError)
    for other in (None, 5, [], "x", torch.zeros(2)):
        assert isinstance(bounded(functools.partial(dataset.load_state_dict, other)), ConfigError)
    for steps in (-5, 1.5, True, 3, 2**62):
        assert isinstance(bounded(functools.partial(dataset.state_dict, steps=steps)), ConfigError)


COUNTS = {"consumed", "together", "steps", "worker", "workers", "ranks", "batch"}


def test_a_state_of_an_epochs_end_is_taken_and_what_lies_beyond_is_refused(whole):
    dataset = open_shards(whole, batch_size=2, threads=1)
    end = dataset.state_dict(steps=2)
    assert end["consumed"] == 4  # three samples, and a pad
    dataset.load_state_dict(end)
    assert len(dataset) == 0
    for beyond in (5, 2**62):
        with pytest.raises(ConfigError, match=f"consumed = {beyond}: expected a whole number from 0 to 4"):
            dataset.load_state_dict(end | {"consumed": beyond})


@pytest.mark.parametrize("epoch", [1.5, -1, True, "1", None, 2**63])
def test_set_epoch_takes_whole_numbers_alone(whole, epoch):
    with pytest.raises(ConfigError, match="epoch"):
        open_shards(whole).set_epoch(epoch)


def test_a_batch_larger_than_the_machine_is_refused_with_both_sizes(whole):
    for batch_size in (2**33, 2**62):
        with pytest.raises(ConfigError, match=r"such a batch takes .* GB, this machine has"):
            open_shards(whole, batch_size=batch_size)


# ---- looking at a dataset


def test_a_dataset_tells_what_it_delivers(whole):
    assert repr(open_shards(whole, batch_size=2, fields=["s2l2a_10m", "dem_30m"])) == (
        "<ShardDataset demo train: 3 samples, batches of 2\n"
        "  seasons: winter, summer\n"
        "  s2l2a_10m: uint16 (season 2, band 4, y 12, x 12), 1e-4\n"
        "  dem_30m: float32 (band 1, y 4, x 4), m>"
    )
    views = repr(open_shards(whole, fields=["s2l2a_10m", "dem_30m"], views="seasons", crop_px=6, normalize=True))
    assert "3 samples, one by one\n  seasons: two views of winter, summer\n" in views
    assert "s2l2a_10m: float32 (view 2, band 4, y 6, x 6), normalised" in views
    assert "dem_30m: float32 (view 2, band 1, y 2, x 2), normalised" in views


def test_an_index_into_a_dataset_points_to_by_id(whole):
    dataset = open_shards(whole)
    with pytest.raises(ConfigError, match=r"dataset\[0\]: .*iterated.*dataset\.by_id\(\)\[0\]"):
        dataset[0]
    assert dataset.by_id()[0]["key"] == next(iter(dataset))["key"]


# ---- verify


def faults(folder):
    try:
        return verify(load_dataset("ssl4eo-s12-ml"), Store(folder)).faults
    except ConfigError as err:
        return [str(err)]


@pytest.mark.slow
def test_verify_names_a_fault_of_each_field_of_an_index_and_never_crashes(whole, mine):
    index = json.loads((whole / "shards/index.json").read_text())
    for path in paths(index):
        for to in (None, -1, 2**63, "", "train", [], deep(50)):
            value = changed(index, path, to)
            if value != index:
                write_index(mine, value)
                assert faults(mine), (path, to)
    write_index(mine, index)


@pytest.mark.parametrize(
    "patches", [5, [], {"europe": 5}, {"europe": {"summer": []}}, {"europe": {"summer": {"ok": "5"}}}]
)
def test_verify_names_counts_of_another_form(damaged, patches):
    value = json.loads((damaged / "shards/index.json").read_text())
    value["counts"]["patches"] = patches
    write_index(damaged, value)
    assert any("counts.patches" in f for f in faults(damaged))


@pytest.mark.parametrize("release", [b"", b"[]", b"{}", b'{"index_sha256": 5}', b"[" * 10**5])
def test_verify_names_a_release_of_another_form(damaged, release):
    (damaged / "manifest/release.json").write_bytes(release)
    assert any("release.json" in f for f in faults(damaged))


def test_verify_names_a_payload_that_is_none(damaged):
    """The index is told of the tar, so that its bytes are what was recorded."""
    path = damaged / "shards/train/demo-train-000000.tar"
    whole_tar = path.read_bytes()
    for row in scan_tar(whole_tar, "x")[:5]:
        for junk in (b"\xff" * row.size, (b"[" * row.size)[: row.size], (b"[0]" + b" " * row.size)[: row.size]):
            data = whole_tar[: row.offset] + junk + whole_tar[row.offset + row.size :]
            path.write_bytes(data)
            value = json.loads((damaged / "shards/index.json").read_text())
            value["splits"]["train"]["shards"][0] |= {"sha256": hashlib.sha256(data).hexdigest()}
            write_index(damaged, value)
            kind = META if row.member == META else row.member.split(".")[0]
            assert any(row.key in f and kind in f for f in faults(damaged)), (row.member, junk[:3])


@pytest.mark.parametrize("size", [b"\xff" * 12, b"\x80" + b"\xff" * 11, b"77777777777\x00", b"\x80" + bytes(11)])
def test_a_tar_header_of_any_size_is_refused(damaged, size):
    path = damaged / "shards/train/demo-train-000000.tar"
    data = bytearray(path.read_bytes())
    data[124:136] = size
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    got = bounded(lambda: scan_tar(bytes(data), "x"))
    assert isinstance(got, DamageError)
    assert size[0] != 255 or "is no regular file" in str(got), "a size below 0 is not read to the end of the tar"
