import dataclasses
import io
import json
import math
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import webdataset
import xxhash
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from curation.errors import ConfigError, DamageError
from curation.format.annotations import AnnotationEntry, ColumnEntry
from curation.format.bands import BandEntry
from curation.format.content import ContentHash, iter_arrays, sample_digest
from curation.format.index import (
    ArrayEntry,
    BandStatistics,
    FileEntry,
    Index,
    ShardEntry,
    SourceEntry,
    SplitEntry,
    member_names,
)
from curation.format.names import BLOCK, META
from curation.format.payload import encode
from curation.format.table import members_to_arrow, read_members
from curation.format.tar import Sample, meta_bytes, scan_tar, write_tar
from curation.format.target import TargetEntry

SEASONS = ("winter", "summer")
ENTRIES = {
    "s2_10m": ArrayEntry("s2", SEASONS, ("B02", "B03"), (2, 6, 6), "uint16", "1e-4", 0.0, 10.0, "data"),
    "dem_30m": ArrayEntry("dem", (), ("elevation",), (1, 2, 2), "float32", "m", math.nan, 30.0, "data"),
}
MEMBERS = member_names(ENTRIES, SEASONS)
BANDS = [{"name": "s2.b02", "centre_nm": 492.4, "width_nm": 66.0}, {"name": "s2.b03"}]
TEXT = {"title": "", "kind": "text", "shape": [], "ragged": False}
NUMBERS = {"title": "", "kind": "numbers", "shape": [12, 2], "ragged": False}


def sample(number: int) -> Sample:
    rng = np.random.default_rng(number)
    members = {META: meta_bytes({"id": f"loc-{number}", "static": {"labels": None}, "seasons": {}})}
    members["dem_30m.npy"] = encode(rng.normal(size=(1, 2, 2)).astype("float32"), "none")
    for season in SEASONS:
        members[f"s2_10m.{season}.npy"] = encode(rng.integers(0, 9999, (2, 6, 6)).astype("uint16"), "none")
    return Sample(f"loc-{number}", members)


def index(shards=((1, 2),), size=1 << 20) -> Index:
    entries = tuple(ShardEntry(f"train/{i}.tar", size, "0" * 64, n) for i, n in shards)
    file = FileEntry("train/x", 1, "0" * 64)
    total = sum(n for _, n in shards)
    return Index(
        "demo",
        "Demo",
        "p",
        "r",
        "c",
        SEASONS,
        0,
        ("trees",),
        ENTRIES,
        {"train": SplitEntry(total, entries, file, file)},
        {"dem_30m": {"elevation": BandStatistics(None, None, None, None, 0)}},
        {"dem": SourceEntry("t", "l")},
        {"samples": {"train": total}},
        {"curation": "0"},
    )


# ---- index


def test_an_index_reads_back_equal_and_gives_the_same_bytes():
    data = index().to_bytes()
    again = Index.from_bytes(data)
    assert again.to_bytes() == data
    assert again.splits == index().splits
    assert math.isnan(again.arrays["dem_30m"].nodata)
    assert json.loads(data)["members"] == list(MEMBERS)


RECORDED = Path(__file__).parents[1] / "recorded"


def test_an_index_of_version_3_reads_back_to_the_same_bytes():
    data = (RECORDED / "index-v3.json").read_bytes()
    read = Index.from_bytes(data)
    assert read.to_bytes() == data
    s2, s1 = read.arrays["s2_10m"], read.arrays["s1_10m"]
    assert [b.name for b in s2.canonical] == ["s2.b02", "s2.b03"]
    assert (s2.canonical[0].centre_nm, s2.canonical[0].centre_mhz, s1.canonical[0].centre_mhz) == (492.4, None, 5405.0)
    assert (s1.steps, s2.steps, s2.has_offsets, s1.has_offsets) == (6, None, True, False)
    assert {n: (a.kind, a.shape, a.ragged) for n, a in read.annotations.items()} == {
        "caption": ("text", (), False),
        "embedding": ("vectors", (4, 8), True),
    }
    assert read.columns["continent"].kind == "text"


def test_bands_of_an_annotation_read_back_and_without_them_there_is_no_such_key():
    bands = (BandEntry("era5.t2m", kind="climate", unit="K"), None)
    its = AnnotationEntry("", "numbers", (12, 2), names=("2m_temperature", "wind"), canonical=bands)
    data = structs.replace(index(), annotations={"climate": its, "caption": AnnotationEntry("", "text", ())}).to_bytes()
    again = Index.from_bytes(data)
    assert again.to_bytes() == data
    assert again.annotations["climate"] == its
    written = json.loads(data)["annotations"]
    none = {f"{what}_{unit}": None for what in ("centre", "width") for unit in ("nm", "mhz")}
    assert written["climate"]["canonical"] == [{"name": "era5.t2m", **none, "kind": "climate", "unit": "K"}, None]
    assert written["caption"].keys() == TEXT.keys()


def test_an_index_of_version_2_is_read_and_means_what_it_meant():
    data = (RECORDED / "index-v2.json").read_bytes()
    read = Index.from_bytes(data)
    assert {(a.canonical, a.steps, a.has_offsets) for a in read.arrays.values()} == {((), None, False)}
    assert (read.annotations, read.columns) == ({}, {})
    older, newer = json.loads(data), json.loads(read.to_bytes())
    assert (older.pop("version"), newer.pop("version"), newer.pop("annotations"), newer.pop("columns")) == (
        2,
        3,
        {},
        {},
    )
    for entry in newer["arrays"].values():
        assert (entry.pop("canonical"), entry.pop("steps"), entry.pop("has_offsets")) == ([], None, False)
    assert newer == older
    assert math.isnan(read.arrays["dem_30m"].nodata)
    assert (read.arrays["no2_4px"].res_m, read.arrays["s1_10m"].of_children) == (None, True)
    assert read.splits["train"].shards[1].samples == 1
    assert read.statistics["s2_10m"]["B03"] == BandStatistics(None, None, None, None, 0)


COLUMNS = {"crop": ColumnEntry("crop", "text"), "code": ColumnEntry("code", "number")}


@pytest.mark.parametrize(
    "target", [TargetEntry("crop", ("maize", "rice")), TargetEntry("code", (3, -1)), TargetEntry("code", None)]
)
def test_a_target_reads_back_and_without_one_there_is_no_such_key(target):
    made = structs.replace(index(), columns=COLUMNS, target=target)
    again = Index.from_bytes(made.to_bytes())
    assert again.target == target
    assert again.to_bytes() == made.to_bytes()
    assert "target" not in index().to_json()
    assert Index.from_bytes(index().to_bytes()).target is None


@pytest.mark.parametrize(
    ("target", "match"),
    [
        ({"column": "crop", "classes": [3]}, r"target: classes \(3,\) of column 'crop', which is text"),
        ({"column": "code", "classes": ["a"]}, r"of column 'code', which is number"),
        ({"column": "crop", "classes": None}, r"classes None of column 'crop'"),
        ({"column": "kind", "classes": ["a"]}, r"column 'kind', expected one of \['code', 'crop'\]"),
        ({"column": "crop", "classes": ["a", "a"]}, r"target: classes: got \('a', 'a'\), expected each once"),
        ({"column": "crop", "classes": []}, r"target: classes: got \(\), expected each once"),
        ({"column": "code", "classes": [1, "a"]}, r"expected each once, text or whole numbers"),
        ({"column": "code", "classes": [True]}, r"target\.classes\[0\]: got True"),
        ({"column": "crop"}, r"target: .*missing required field `classes`"),
    ],
)
def test_a_target_that_columns_cannot_have_is_refused(target, match):
    value = structs.replace(index(), columns=COLUMNS).to_json() | {"target": target}
    with pytest.raises(DamageError, match=match):
        Index.from_json(value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: FileEntry("../x", 1, "0" * 64),
        lambda: ShardEntry("x", 1023, "0" * 64, 1),
        lambda: BandStatistics(1.0, -1.0, 0.0, 2.0, 3),
        lambda: ArrayEntry("s2", (), ("B02",), (2, 6, 6), "uint16", "1", 0.0, 10.0, "data"),
        lambda: ArrayEntry("s2", (), ("B02",), (1, 6, 6), "uint16", "1", math.nan, 10.0, "data"),
    ],
)
def test_what_would_be_refused_when_read_is_not_written(make):
    with pytest.raises(ValueError, match="expected"):
        make()


def test_members_are_meta_then_static_then_season_by_season():
    assert MEMBERS == (META, "dem_30m.npy", "s2_10m.winter.npy", "s2_10m.summer.npy")
    notes = {"caption": AnnotationEntry("", "text", ()), "vectors": AnnotationEntry("", "vectors", (3,))}
    assert member_names(ENTRIES, SEASONS, annotations=notes) == (
        META, "caption.txt", "dem_30m.npy", "vectors.npy", "s2_10m.winter.npy", "s2_10m.summer.npy"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (lambda v: v.update(version=4), ConfigError, r"version 4.*up to 3"),
        (lambda v: v.update(version=1), DamageError, r"version 1, expected 2 to 3; pack the dataset again"),
        (lambda v: v.update(version=2), DamageError, r"\['annotations', 'columns'\]; format version 2 does not"),
        (lambda v: v["arrays"]["s2_10m"].update(steps=0), DamageError, r"s2_10m\.steps: got 0"),
        (lambda v: v["arrays"]["dem_30m"].update(steps=2), DamageError, r"dem_30m: steps: got 2, expected null"),
        (lambda v: v["arrays"]["s2_10m"].update(canonical=BANDS[:1]), DamageError, r"canonical: got \['s2.b02'\], exp"),
        (
            lambda v: v["arrays"]["s2_10m"].update(canonical=BANDS[:1] * 2),
            DamageError,
            r"canonical: got \['s2.b02', 's2",
        ),
        (
            lambda v: v["arrays"]["s2_10m"].update(canonical=[{"name": "b2"}] * 2),
            DamageError,
            r"got 'b2', expected a na",
        ),
        (
            lambda v: v["arrays"]["s2_10m"].update(canonical=[BANDS[0], {"name": "s.c", "centre_nm": 5}]),
            DamageError,
            r"centre_nm, width_nm: got 5.*, None, expected both",
        ),
        (lambda v: v["annotations"].update(dem_30m=TEXT), DamageError, r"annotations: got 'dem_30m', expected a name"),
        (lambda v: v["annotations"].update(dem=TEXT), DamageError, r"annotations: got 'dem', expected a name"),
        (lambda v: v["annotations"].update(s2_ok=TEXT), DamageError, r"annotations: got 's2_ok', expected a name"),
        (lambda v: v["columns"].update(region={"title": "", "kind": "text"}), DamageError, r"columns: got 'region'"),
        (
            lambda v: v["annotations"].update(c={**TEXT, "shape": [1]}),
            DamageError,
            r"c: shape: got \[1\], expected \[\]",
        ),
        (lambda v: v["annotations"].update(c={**TEXT, "ragged": True}), DamageError, r"c: ragged: got true"),
        (
            lambda v: v["annotations"].update(c={**TEXT, "kind": "numbers", "shape": [1 << 40]}),
            DamageError,
            r"at most 2147",
        ),
        (lambda v: v["annotations"].update(c={**NUMBERS, "names": ["a"]}), DamageError, r"c: names: got 1 of them"),
        (lambda v: v["annotations"].update(c={**NUMBERS, "names": ["a", "a"]}), DamageError, r"c: names: .*each once"),
        (lambda v: v["annotations"].update(c={**TEXT, "names": []}), DamageError, r"c: names: got 0 of them"),
        (lambda v: v["annotations"].update(c={**NUMBERS, "canonical": [None]}), DamageError, r"c: canonical: got 1 of"),
        (
            lambda v: v["annotations"].update(c={**NUMBERS, "canonical": BANDS[:1] * 2}),
            DamageError,
            r"c: canonical: got \['s2.b02', 's2.b02'\], expected each once",
        ),
        (lambda v: v.update(format="other"), DamageError, r"'other', expected 'curation-shards'"),
        (lambda v: v.pop("seasons"), DamageError, r"no key 'seasons'"),
        (lambda v: v.update(extra=1), DamageError, r"unknown keys \['extra'\]"),
        (lambda v: v["members"].reverse(), DamageError, r"members: got"),
        (lambda v: v["splits"]["train"].update(samples=3), DamageError, r"got 3, expected 2"),
        (lambda v: v["splits"]["train"]["members"].update(name="../x"), DamageError, r"got '../x'"),
        (lambda v: v["arrays"]["s2_10m"].update(dtype="float16"), DamageError, r"s2_10m: dtype: got 'float16'"),
        (lambda v: v["arrays"]["s2_10m"].update(shape=[3, 6, 6]), DamageError, r"shape: got \[3, 6, 6\]"),
        (lambda v: v["arrays"]["s2_10m"].update(res_m="10"), DamageError, r"s2_10m\.res_m: got '10', expected `float"),
        (
            lambda v: v["splits"]["train"]["shards"][0].update(size=True),
            DamageError,
            r"train\.shards\[0\]\.size: got True",
        ),
        (lambda v: v["arrays"]["s2_10m"].pop("encoding"), DamageError, r"arrays\.s2_10m: no key 'encoding'"),
        (lambda v: v["sources"]["dem"].update(title="a\nb"), DamageError, r"dem\.title: got .*without control"),
        (lambda v: v["sources"]["dem"].update(title="\ud800"), DamageError, r"dem\.title: got .*without control"),
        (lambda v: v["seasons"].append("summer"), DamageError, r"seasons: got .*each once"),
    ],
)
def test_a_wrong_index_is_refused_and_says_where(change, error, match):
    value = json.loads(index().to_bytes())
    change(value)
    with pytest.raises(error, match=match):
        Index.from_bytes(json.dumps(value).encode())


def test_bytes_that_are_no_json_are_refused():
    with pytest.raises(DamageError, match="not JSON"):
        Index.from_bytes(b"<html>")


# ---- members and tars


def test_the_same_samples_give_the_same_bytes_in_the_declared_form():
    data, _ = write_tar([sample(1), sample(2)])
    assert data == write_tar([sample(1), sample(2)])[0]
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for info in tar:
            assert (info.mtime, info.uid, info.gid, info.uname, info.gname, info.mode) == (0, 0, 0, "", "", 0o644)
    assert data[257:265] == b"ustar\x0000"


@given(st.integers(0, 5))
def test_rows_point_at_payloads_and_a_scan_finds_the_same(tmp_path_factory, count):
    data, rows = write_tar([sample(i) for i in range(count)])
    path = tmp_path_factory.mktemp("t") / "x.tar"
    path.write_bytes(data)
    expected = [p for i in range(count) for p in sample(i).members.values()]
    handle = os.open(path, os.O_RDONLY)
    got = [os.pread(handle, row.size, row.offset) for row in rows]
    os.close(handle)
    assert got == expected
    assert [r.xxh3 for r in rows] == [xxhash.xxh3_64_intdigest(p) for p in expected]
    assert scan_tar(data, "x.tar") == rows
    with path.open("rb") as file:
        assert scan_tar(file, "x.tar") == rows


# webdataset 1.0.2 leaves it to the garbage collector to close a shard that it has read.
@pytest.mark.filterwarnings(r"ignore:unclosed file .*x-000000\.tar:ResourceWarning")
def test_stock_webdataset_reads_arrays_and_meta(tmp_path):
    data, _ = write_tar([sample(1), sample(2)])
    (tmp_path / "x-000000.tar").write_bytes(data)
    got = list(webdataset.WebDataset(str(tmp_path / "x-000000.tar"), shardshuffle=False).decode())
    assert [g["__key__"] for g in got] == ["loc-1", "loc-2"]
    for number, one in zip((1, 2), got, strict=True):
        assert one["meta.json"]["id"] == f"loc-{number}"
        for name, payload in sample(number).members.items():
            if name != META:
                expected = np.load(io.BytesIO(payload))
                assert one[name].dtype == expected.dtype
                assert np.array_equal(one[name], expected)


@pytest.mark.parametrize(
    ("samples", "match"),
    [
        ([Sample("a.b", sample(1).members)], "expected only a-z"),
        ([Sample("A", sample(1).members)], "expected only a-z"),
        ([sample(1), sample(1)], "twice"),
        ([Sample("a", {"dem_30m.npy": b"x"})], "first member"),
        ([Sample("a", {})], "first member"),
        ([Sample("a", dict(reversed(sample(1).members.items())))], "first member"),
        ([Sample("a", {META: b"{}", "s.w.npy": b"x", "d.npy": b"x"})], "order of name"),
        ([Sample("a", {META: b"{}", "a.w.npy": b"x", "a.s.npy": b"x", "b.w.npy": b"x"})], "order of name"),
        ([Sample("a", {META: b"{}", "x.pyd": b"x"})], r"expected \[child<n>.\]<array>\[.<season>\] or an ann"),
        ([Sample("a" * 95, {META: b"{}", "x.npy": b"x"})], "at most 100"),
    ],
)
def test_a_sample_that_readers_would_not_give_back_is_refused(samples, match):
    with pytest.raises(ConfigError, match=match):
        write_tar(samples)


def test_a_tar_cut_anywhere_is_refused():
    data, _ = write_tar([sample(1), sample(2)])
    for length in [*range(0, len(data), 256), len(data) - 1]:
        with pytest.raises(DamageError, match=r"x\.tar: .*byte \d+"):
            scan_tar(data[:length], "x.tar")


def test_a_cut_says_where():
    data, rows = write_tar([sample(1), sample(2)])
    second = next(r for r in rows if r.key == "loc-2")
    boundary = second.offset - BLOCK
    cases = {
        boundary: "without the two zero blocks, after loc-1.s2_10m.summer.npy",
        boundary + 100: r"inside a header \(100 of 512 bytes\)",
        second.offset + 5: r"inside member 'loc-2.meta.json'",
        len(data) - 700: "expected .* zero bytes",
    }
    for length, match in cases.items():
        with pytest.raises(DamageError, match=match):
            scan_tar(data[:length], "x.tar")


def test_a_zeroed_tail_is_refused():
    # Large enough that the zeros do not pass for the padding of a tar's end.
    big = Sample("loc-9", {META: b"{}\n", "x.npy": encode(np.ones((1, 99, 99), "float32"), "none")})
    data, rows = write_tar([sample(1), big])
    at = next(r for r in rows if r.key == "loc-9").offset - BLOCK
    with pytest.raises(DamageError, match="zeroed"):
        scan_tar(data[:at] + bytes(len(data) - at), "x.tar")
    with pytest.raises(DamageError, match="other bytes"):
        scan_tar(data[:at] + bytes(BLOCK) + data[at + BLOCK :], "x.tar")
    with pytest.raises(DamageError, match="or was appended to"):
        scan_tar(data + bytes(10240), "x.tar")


def test_keys_that_are_not_contiguous_and_foreign_members_are_refused():
    def tar(*names, kind=tarfile.REGTYPE):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as file:
            for name in names:
                info = tarfile.TarInfo(name)
                info.type = kind
                file.addfile(info, io.BytesIO())
        return out.getvalue()

    with pytest.raises(DamageError, match="'a' again at byte"):
        scan_tar(tar("a.x", "b.x", "a.y"), "x.tar")
    with pytest.raises(DamageError, match=r"'a\.x' twice"):
        scan_tar(tar("a.x", "a.x"), "x.tar")
    with pytest.raises(DamageError, match="no regular file"):
        scan_tar(tar("a", kind=tarfile.DIRTYPE), "x.tar")


def test_a_flipped_bit_in_a_header_or_in_padding_is_refused_and_in_a_payload_changes_its_hash():
    data, rows = write_tar([sample(1)])

    def flipped(at):
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]

    with pytest.raises(DamageError, match="no tar header at byte 0"):
        scan_tar(flipped(3), "x.tar")
    with pytest.raises(DamageError, match="expected zeros"):
        scan_tar(flipped(rows[0].offset + rows[0].size), "x.tar")
    again = scan_tar(flipped(rows[1].offset + 130), "x.tar")
    assert [a.member for a, b in zip(again, rows, strict=True) if a.xxh3 != b.xxh3] == [rows[1].member]


# ---- the member table


def test_a_member_table_reads_back_and_counts_samples_across_shards():
    parts = [write_tar([sample(1), sample(2)])[1], write_tar([sample(3)])[1]]
    data = members_to_arrow(parts, MEMBERS)
    assert data == members_to_arrow(iter(parts), MEMBERS)
    table = read_members(data, "m", index(((0, 2), (1, 1))), "train")
    flat = [r for p in parts for r in p]
    assert table.sample.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert table.shard.tolist() == [0] * 8 + [1] * 4
    assert [MEMBERS[m] for m in table.member] == [r.member for r in flat]
    assert [(int(o), int(s), int(x)) for o, s, x in zip(table.offset, table.size, table.xxh3, strict=True)] == [
        (r.offset, r.size, r.xxh3) for r in flat
    ]
    assert not table.offset.flags.owndata
    assert all(getattr(table, name).tobytes() in data for name in ("sample", "offset", "xxh3"))  # mapped as it lies


def test_an_empty_split_has_an_empty_table():
    assert read_members(members_to_arrow([], MEMBERS), "m", index(()), "train").sample.size == 0


@pytest.mark.parametrize(
    ("idx", "match"),
    [
        (index(((0, 3),)), "has 2 samples, the index says 3"),
        (index(((0, 1), (1, 1))), "other shards"),
        (index(((0, 2),), size=3000), "outside their shards"),
    ],
)
def test_a_table_that_the_index_denies_is_refused(idx, match):
    data = members_to_arrow([write_tar([sample(1), sample(2)])[1]], MEMBERS)
    with pytest.raises(DamageError, match=match):
        read_members(data, "m", idx, "train")


def test_a_table_that_leaves_room_between_members_is_refused():
    rows = write_tar([sample(1), sample(2)])[1]
    rows[-1] = dataclasses.replace(rows[-1], offset=rows[-1].offset + 512)
    with pytest.raises(DamageError, match="one after another"):
        read_members(members_to_arrow([rows], MEMBERS), "m", index(((0, 2),)), "train")


def test_a_table_of_something_else_is_refused():
    with pytest.raises(DamageError, match="not an Arrow IPC file"):
        read_members(b"x" * 100, "m", index(), "train")
    rows = write_tar([sample(1)])[1]
    with pytest.raises(DamageError, match="none of the index's"):
        members_to_arrow([rows], MEMBERS[:2])
    with pytest.raises(DamageError, match="out of order or twice"):
        members_to_arrow([rows[::-1]], MEMBERS)
    without_meta = members_to_arrow([rows[1:]], MEMBERS)
    with pytest.raises(DamageError, match=r"without meta\.json"):
        read_members(without_meta, "m", index(((0, 1),)), "train")


# ---- the content hash


def test_the_content_hash_follows_values_and_labels_alone():
    meta = {"id": "a", "static": {"labels": {"multi_hot": [1]}}, "seasons": {"w": {"labels": None, "gap_days": 1}}}
    one = [("dem", np.ones((1, 2, 2), "float32"))]
    base = sample_digest("a", one, meta)
    assert sample_digest("a", [("dem", np.asfortranarray(one[0][1]).astype(">f4"))], meta) == base
    assert sample_digest("a", one, {**meta, "seasons": {"w": {"labels": None, "gap_days": 2}}}) == base
    relabelled = {**meta, "static": {"labels": {"multi_hot": [0]}}}
    others = {
        sample_digest("b", one, meta),
        sample_digest("a", one, relabelled),
        sample_digest("a", [("dem", one[0][1] * 2)], meta),
        sample_digest("a", [("dem", one[0][1].reshape(1, 1, 4))], meta),
        sample_digest("a", [("dem", one[0][1].view("uint16"))], meta),
    }
    assert len(others | {base}) == 6
    payloads = sample(1).members
    assert [n for n, _ in iter_arrays(payloads)] == ["dem_30m", "s2_10m.winter", "s2_10m.summer"]


def test_the_content_hash_depends_on_order_and_split():
    def total(*adds):
        content = ContentHash()
        for add in adds:
            content.add(*add)
        return content.hexdigest()

    a, b = ("train", "a", "1"), ("train", "b", "2")
    assert len({total(a, b), total(b, a), total(a, ("val", "b", "2")), total(a)}) == 4
    with pytest.raises(ValueError, match="order of name"):
        total(("val", "a", "1"), a)
