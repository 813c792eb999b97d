"""What format 3 has besides pixels of one time: written, read by the dataset and by stock webdataset, and collated."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import shutil
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import webdataset as wds
from torch.utils.data import DataLoader

from curation.errors import ConfigError, DamageError
from curation.format import payload
from curation.format.annotations import AnnotationEntry, ColumnEntry, encoded
from curation.format.bands import BandEntry
from curation.format.content import ContentHash, iter_arrays, sample_digest
from curation.format.index import (
    ArrayEntry,
    BandStatistics,
    FileEntry,
    Index,
    ShardEntry,
    SplitEntry,
    member_names,
)
from curation.format.names import META, MemberName
from curation.format.table import members_to_arrow
from curation.format.tar import Sample, meta_bytes, write_tar
from curation.format.target import TargetEntry
from curation.stream.decode import decoder
from curation.stream.open import open_shards

SEASONS = ("pre", "post")
STEPS = 3
B04 = BandEntry("s2.b04", centre_nm=664.6, width_nm=31.0)
VV = BandEntry("s1.vv", centre_mhz=5405.0, width_mhz=100.0)
ARRAYS = {
    "dem_30m": ArrayEntry("dem", (), ("height",), (1, 4, 4), "float32", "m", -32768.0, 30.0, "data", "npy"),
    "s1_10m": ArrayEntry(
        "s1", SEASONS, ("VV",), (1, 8, 8), "int16", "dB", -32768, 10.0, "data", "npy.blosc", False, (VV,), STEPS
    ),
    "s1_mask_10m": ArrayEntry(
        "s1", SEASONS, ("code",), (1, 8, 8), "uint8", "code", 255, 10.0, "mask", "npy", steps=STEPS
    ),
    "s2_60m": ArrayEntry(
        "s2", SEASONS, ("B04",), (1, 3, 3), "uint16", "1e-4", 0, 60.0, "data", "npy.blosc", False, (B04,), None, True
    ),
}
NOTES = {
    "answers": AnnotationEntry("", "json", ()),
    "caption": AnnotationEntry("", "text", ()),
    "climate": AnnotationEntry("", "numbers", (2,)),
    "clip": AnnotationEntry("", "vectors", (5,)),
    "tiles": AnnotationEntry("", "vectors", (4, 2), ragged=True),
    "wealth": AnnotationEntry("", "numbers", ()),
}
COLUMNS = {"continent": ColumnEntry("", "text"), "relief_m": ColumnEntry("", "number")}
HAS: list[tuple[dict[str, int], dict[str, Any], dict[str, Any]]] = [
    # season → times; annotations; columns
    (
        {"pre": 3, "post": 1},
        {"answers": {"q": [1, None, "é"]}, "caption": "Ein Wald, 森", "climate": [1.5, None], "clip": np.arange(5.0),
         "tiles": [[1, 2], [3, 4], [5, 6]], "wealth": 1e300},
        {"continent": "europe", "relief_m": 12.5},
    ),
    ({"post": 2}, {"caption": "x", "tiles": [[7, 8]]}, {"continent": None, "relief_m": None}),
    ({}, {"answers": [], "climate": [0, 1], "wealth": 3}, {}),
    ({"pre": 1, "post": 3}, {"answers": None, "clip": np.ones(5)}, {"continent": "asia", "relief_m": 0}),
]  # fmt: skip


def key_of(number: int) -> str:
    return f"place-{number}"


def pixels(number: int, name: str, season: str | None) -> np.ndarray:
    entry = ARRAYS[name]
    rng = np.random.default_rng(sum(f"{number} {name} {season}".encode()))
    times = () if entry.steps is None else (HAS[number][0][season or ""],)
    return rng.integers(1, 200, (*times, *entry.shape)).astype(entry.dtype)


def times_of(number: int, season: str) -> list[str]:
    return [f"2021-0{1 + t}-15T10:36:29Z" for t in range(HAS[number][0][season])]


def offset_of(number: int) -> list[float]:
    return [-10.0 * number, -20.0]


def sample_of(number: int) -> Sample:
    has, notes, columns = HAS[number]
    made: dict[str, bytes] = {}
    for name, entry in NOTES.items():
        if name in notes:
            made[f"{name}.{entry.encoding}"] = encoded(entry, notes[name])
    meta: dict[str, Any] = {
        "id": key_of(number), "lon": 9.0, "lat": 50.0, "columns": columns, "offsets_m": {"s2_60m": offset_of(number)},
        "static": {"sources": {"dem": {}}, "labels": None}, "seasons": {},
    }  # fmt: skip
    for name, entry in ARRAYS.items():
        for season in entry.seasons or (None,):
            if season is None or season in has:
                codec = {"npy": "none", "npy.blosc": "lz4"}[entry.encoding]
                member = MemberName(None, name, season, entry.encoding).suffix
                made[member] = payload.encode(pixels(number, name, season), codec)
    for season in has:
        s1, s2 = {"times": times_of(number, season)}, {"time": "2021-01-01T00:00:00Z"}
        meta["seasons"][season] = {"sources": {"s1": s1, "s2": s2}, "labels": None}
    order = member_names(ARRAYS, SEASONS, annotations=NOTES)
    return Sample(key_of(number), {META: meta_bytes(meta)} | {m: made[m] for m in order if m in made})


def write(folder, samples, target: TargetEntry | None = None) -> Index:
    def put(name: str, data: bytes) -> FileEntry:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        return FileEntry(name, len(data), hashlib.sha256(data).hexdigest())

    content = ContentHash()
    for one in samples:
        content.add("train", one.key, sample_digest(one.key, iter_arrays(one.members), json.loads(one.members[META])))
    data, rows = write_tar(samples)
    tar, table = put("train/x-000000.tar", data), io.BytesIO()
    pq.write_table(pa.table({"id": [s.key for s in samples], "shard": pa.array([0] * len(samples), pa.int32())}), table)
    names = member_names(ARRAYS, SEASONS, annotations=NOTES)
    split = SplitEntry(
        len(samples),
        (ShardEntry(tar.name, tar.size, tar.sha256, len(samples)),),
        put("train/members.arrow", members_to_arrow([rows], names)),
        put("train/samples.parquet", table.getvalue()),
    )
    statistics = {"s1_10m": {"VV": BandStatistics(100.0, 50.0, 1.0, 199.0, 9)}}
    index = Index(
        "x", "X", "p", "r", content.hexdigest(), SEASONS, 0, (), ARRAYS, {"train": split}, statistics, {}, {}, {},
        NOTES, COLUMNS, target,
    )  # fmt: skip
    put("index.json", index.to_bytes())
    return index


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("beside")
    write(folder, [sample_of(n) for n in range(len(HAS))])
    return folder


def epoch_seconds(time: str) -> int:
    return int(np.datetime64(time.removesuffix("Z"), "s").astype("int64"))


def check(batch: Mapping[str, Any], numbers: list[int]) -> None:
    assert batch["key"] == [key_of(n) for n in numbers]
    for i, n in enumerate(numbers):
        has, notes, columns = HAS[n]
        for s, season in enumerate(SEASONS):
            count = has.get(season, 0)
            assert bool(batch["s1_ok"][i, s]) == (count > 0)
            for name in ("s1_10m", "s1_mask_10m"):
                got = batch[name][i, s].numpy()
                assert got.shape == (STEPS, 1, 8, 8)
                if count:
                    np.testing.assert_array_equal(got[:count], pixels(n, name, season))
                assert (got[count:] == ARRAYS[name].nodata).all()
            told = [epoch_seconds(t) for t in (times_of(n, season) if count else [])]
            assert batch["s1_time"][i, s].tolist() == told + [-1] * (STEPS - count)
            if count:
                np.testing.assert_array_equal(batch["s2_60m"][i, s].numpy(), pixels(n, "s2_60m", season))
        assert batch["s2_60m_offset_m"][i].tolist() == offset_of(n)
        assert batch["caption"][i] == notes.get("caption", "")
        assert batch["answers"][i] == notes.get("answers")
        for name in NOTES:
            if name != "tiles":
                assert bool(batch[f"{name}_ok"][i]) == (name in notes)
        told = np.array(notes.get("climate", [None, None]), float)
        np.testing.assert_array_equal(batch["climate"][i].numpy(), told)
        np.testing.assert_array_equal(batch["wealth"][i].numpy(), float(notes.get("wealth", "nan")))
        np.testing.assert_array_equal(batch["clip"][i].numpy(), np.float32(notes.get("clip", [np.nan] * 5)))
        tiles = np.array(notes.get("tiles", np.empty((0, 2))), np.float32)
        np.testing.assert_array_equal(batch["tiles"][i, : len(tiles)].numpy(), tiles)
        assert batch["tiles"][i, len(tiles) :].isnan().all()
        assert batch["tiles_ok"][i].tolist() == [k < len(tiles) for k in range(4)]
        assert batch["continent"][i] == (columns.get("continent") or "")
        relief = columns.get("relief_m")
        np.testing.assert_array_equal(batch["relief_m"][i].numpy(), np.nan if relief is None else relief)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_has_all_that_was_written(packed, workers):
    data = open_shards(packed, batch_size=2)
    got = list(DataLoader(data, batch_size=None, num_workers=workers))
    check(got[0], [0, 1])
    check(got[1], [2, 3])
    shapes = {n: (tuple(got[0][n].shape), got[0][n].dtype) for n in ("s1_10m", "climate", "wealth", "clip", "tiles")}
    assert shapes == {
        "s1_10m": ((2, 2, STEPS, 1, 8, 8), torch.int16),
        "climate": ((2, 2), torch.float64),
        "wealth": ((2,), torch.float64),
        "clip": ((2, 5), torch.float32),
        "tiles": ((2, 4, 2), torch.float32),
    }


CONTINENTS = TargetEntry("continent", ("africa", "asia", "europe"))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("target", "dtype", "want"),
    [
        (CONTINENTS, torch.int64, [2, -100, -100, 1]),
        (TargetEntry("relief_m", None), torch.float32, [12.5, None, None, 0]),
    ],
)
def test_the_target_is_the_number_of_its_class_and_never_class_0_where_unknown(tmp_path, workers, target, dtype, want):
    write(tmp_path, [sample_of(n) for n in range(len(HAS))], target)
    data = open_shards(tmp_path, batch_size=4, fields=["dem_30m"])  # it comes with whatever is asked for
    batch = next(iter(DataLoader(data, batch_size=None, num_workers=workers)))
    assert batch["label"].dtype == dtype
    np.testing.assert_array_equal(batch["label"].double(), np.array(want, float))
    assert batch["label_ok"].tolist() == [True, False, False, True]
    one = open_shards(tmp_path).by_id()["place-3"]
    assert (one["label"], one["label_ok"], one["continent"]) == (want[3], True, "asia")


def test_a_target_that_its_column_calls_label_comes_as_a_number(tmp_path, monkeypatch):
    monkeypatch.setitem(COLUMNS, "label", ColumnEntry("", "text"))
    plain = [sample_of(n) for n in range(len(HAS))]
    samples = [dataclasses.replace(s, members={**s.members, META: _labelled(s, n)}) for n, s in enumerate(plain)]
    write(tmp_path, samples, TargetEntry("label", ("oats", "rye")))
    for fields in (None, ["label"]):
        batch = next(iter(open_shards(tmp_path, batch_size=4, fields=fields)))
        assert batch["label"].tolist() == [0, 1, -100, 1]
    assert str(open_shards(tmp_path)).endswith("label: label, one of 2 classes: oats, rye>")


def _labelled(sample: Sample, number: int) -> bytes:
    meta = json.loads(sample.members[META])
    return meta_bytes({**meta, "columns": {**meta["columns"], "label": ["oats", "rye", None, "rye"][number]}})


def test_a_class_that_the_index_does_not_have_is_damage(tmp_path):
    write(tmp_path, [sample_of(n) for n in range(len(HAS))], TargetEntry("continent", ("africa", "asia")))
    with pytest.raises(
        DamageError, match=r"place-0: 'continent' of its meta.json is 'europe', none that the index says"
    ):
        next(iter(open_shards(tmp_path, batch_size=2)))


def test_a_sample_alone_has_them_without_the_axis_of_a_batch(packed):
    one = open_shards(packed).by_id()["place-0"]
    assert one["caption"] == "Ein Wald, 森"
    assert one["answers"] == {"q": [1, None, "é"]}
    assert one["continent"] == "europe"
    assert one["wealth"] == 1e300
    assert one["tiles"].shape == (4, 2)
    assert one["s1_10m"].shape == (2, STEPS, 1, 8, 8)


def test_only_what_is_asked_for_is_read(packed, monkeypatch):
    batch = next(iter(open_shards(packed, batch_size=4, fields=["dem_30m", "caption"])))
    assert batch["caption"] == ["Ein Wald, 森", "x", "", ""]
    assert not {"clip", "continent", "s1_10m", "climate_ok"} & batch.keys()
    for wrong in (["captions"], ["caption", "caption"]):
        with pytest.raises(ConfigError, match="fields"):
            open_shards(packed, fields=wrong)


def test_ragged_times_are_cropped_normalised_and_drawn_like_others(packed):
    data = open_shards(packed, batch_size=1, fields=["s1_10m"], crop_px=4, crop="center", normalize=True)
    one = next(iter(data))["s1_10m"][0]
    truth = (pixels(0, "s1_10m", "pre")[:, :, 2:6, 2:6] - np.float32(100)) / np.float32(50)
    np.testing.assert_allclose(one[0, :3].numpy(), truth, atol=1e-6)
    assert (one[1, 1:] == 0).all()  # no time is the mean, as are pixels without data
    views = next(iter(open_shards(packed, batch_size=1, fields=["s1_10m"], views="seasons")))
    assert views["s1_10m"].shape == (1, 2, STEPS, 1, 8, 8)


def test_arrays_that_begin_beside_the_corner_are_read_whole(packed):
    for how in ({"crop_px": 6}, {"upsample": "nearest"}):
        with pytest.raises(ConfigError, match=r"\['s2_60m'\] begin beside the corner"):
            open_shards(packed, fields=["s2_60m"], **how)


@pytest.mark.filterwarnings("ignore:unclosed file", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_stock_webdataset_reads_them(packed):
    tar = str(packed / "train/x-000000.tar")
    found = list(wds.WebDataset([tar], shardshuffle=False).decode(decoder))
    assert [s["__key__"] for s in found] == [key_of(n) for n in range(len(HAS))]
    one = found[0]
    assert one["caption.txt"] == "Ein Wald, 森"
    assert one["answers.json"] == {"q": [1, None, "é"]}
    assert one["climate.json"] == [1.5, None]
    np.testing.assert_array_equal(one["clip.npy"], np.arange(5, dtype=np.float32))
    np.testing.assert_array_equal(one["s1_10m.pre.npy.blosc"], pixels(0, "s1_10m", "pre"))
    assert one["meta.json"]["columns"] == {"continent": "europe", "relief_m": 12.5}


def test_the_content_hash_follows_annotations_columns_and_offsets():
    one = sample_of(0)
    meta = json.loads(one.members[META])

    def digest(members: Mapping[str, bytes], of: Mapping[str, Any] = meta) -> str:
        return sample_digest(one.key, iter_arrays(members), of)

    others = [digest({**one.members, name: encoded(NOTES[name.split(".")[0]], to)}) for name, to in [
        ("caption.txt", "Ein Wald, 林"), ("answers.json", {}), ("climate.json", [1, 2]), ("clip.npy", np.zeros(5)),
    ]]  # fmt: skip
    others += [
        digest(one.members, {**meta, "columns": {"continent": "asia"}}),
        digest(one.members, {**meta, "offsets_m": {"s2_60m": [0, 0]}}),
    ]
    assert len({digest(one.members), *others}) == 7


def damaged(packed, tmp_path, member: str, data: bytes):
    """The dataset with another member in its first sample, as if it had been packed so."""
    samples = [sample_of(n) for n in range(len(HAS))]
    samples[0] = dataclasses.replace(samples[0], members={**samples[0].members, member: data})
    write(tmp_path, samples)
    return open_shards(tmp_path, batch_size=2)


@pytest.mark.parametrize(
    ("member", "data", "match"),
    [
        ("caption.txt", b"\xff", "place-0, caption: no text"),
        ("answers.json", b"NaN\n", "place-0, answers: no json"),
        ("answers.json", b"[" * 40 + b"]" * 40, "place-0, answers: no json .*levels deep"),
        ("climate.json", b"[1]\n", r"place-0, climate: no numbers .*shape \(1,\)"),
        ("climate.json", b'["1", "2"]\n', "place-0, climate: no numbers"),
        ("clip.npy", payload.encode(np.zeros(4, np.float32), "none"), "place-0, clip: got vectors of shape"),
        ("clip.npy", payload.encode(np.full(5, np.nan, np.float32), "none"), "place-0, clip: float32, or not finite"),
        ("tiles.npy", payload.encode(np.zeros((5, 2), np.float32), "none"), "place-0, tiles: got vectors of shape"),
        (
            "s1_10m.pre.npy.blosc",
            payload.encode(np.zeros((4, 1, 8, 8), np.int16), "lz4"),
            r"place-0, s1_10m: .*\(4, 1, 8, 8\), the index says int16 \(1, 8, 8\), 1 to 3 times",
        ),
        (
            "s1_10m.pre.npy.blosc",
            payload.encode(np.zeros((2, 1, 8, 8), np.int16), "lz4"),
            r"s1_10m\.pre\.npy\.blosc: 2 times, its meta\.json says 3",
        ),
        ("meta.json", {"columns": {"continent": 3}}, "column 'continent' of its meta.json is no text"),
        ("meta.json", {"columns": {"relief_m": True}}, r"True, expected a number"),
        ("meta.json", {"offsets_m": {}}, "no offset of s2_60m"),
        ("meta.json", {"offsets_m": {"s2_60m": [1]}}, "an offset of"),
    ],
)
def test_what_is_not_as_the_index_says_is_refused_by_name(packed, tmp_path, member, data, match):
    if isinstance(data, dict):
        data = meta_bytes({**json.loads(sample_of(0).members[META]), **data})
    with pytest.raises(DamageError, match=match):
        next(iter(damaged(packed, tmp_path, member, data)))


def test_several_times_of_a_source_that_has_one_are_refused(packed, tmp_path):
    meta = json.loads(sample_of(0).members[META])
    meta["seasons"]["pre"]["sources"]["s2"] = {"times": times_of(0, "pre")}
    with pytest.raises(DamageError, match="several times of 's2', the index one"):
        next(iter(damaged(packed, tmp_path, META, meta_bytes(meta))))


def test_a_flipped_bit_of_a_caption_is_noticed(packed, tmp_path):
    folder = shutil.copytree(packed, tmp_path / "copy")
    tar = folder / "train/x-000000.tar"
    data = bytearray(tar.read_bytes())
    data[data.index("森".encode())] ^= 1
    tar.write_bytes(data)
    with pytest.raises(DamageError, match=r"caption\.txt .*xxh3"):
        next(iter(open_shards(folder, batch_size=2)))


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("caption", 3, "got 3 .int., expected a text"),
        ("caption", None, "expected a text"),
        ("caption", "", "expected a text that is not empty"),
        ("caption", "\ud800", "surrogates"),
        ("caption", "x" * (1 << 21), "expected at most"),
        ("answers", {"a": float("nan")}, "not JSON compliant"),
        ("answers", {1, 2}, "expected what JSON can hold"),
        ("climate", [1], "expected .2,."),
        ("climate", ["1", "2"], "expected numbers"),
        ("climate", [True, False], "expected numbers"),
        ("climate", [np.inf, 0], "infinite"),
        ("clip", [1, 2], "expected .5,."),
        ("clip", [np.nan] * 5, "expected finite"),
        ("clip", [1e300] * 5, "expected finite"),
        ("tiles", np.empty((0, 2)), "expected 1 to 4"),
        ("tiles", np.zeros((5, 2)), "expected 1 to 4"),
    ],
)
def test_a_value_of_another_kind_is_not_written(name, value, match):
    with pytest.raises(ValueError, match=match):
        encoded(NOTES[name], value)
