import io
import json
import math
import os
import pickle
import re
import subprocess
import sys

import numcodecs
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, default_collate

from curation.errors import ConfigError, DamageError
from curation.format import payload
from curation.stream.fetch import Fetcher
from curation.stream.open import open_shards
from tests.run import Curate
from tests.stream.conftest import LABELS, NO_LABELS, NO_SUMMER_RADAR, NO_WINTER, SEASONS, arrays, key_of, lacks, truth

WINTER, SUMMER = range(2)


def keys(loader):
    return [key for batch in loader for key in batch["key"]]


def test_every_value_of_every_sample_is_the_one_packed(packed):
    for split, count in (("train", 13), ("val", 2)):
        samples = list(open_shards(packed, split))
        assert [s["key"] for s in samples] == [key_of(i) for i in range(count)]
        for number, sample in enumerate(samples):
            for name, entry in arrays().items():
                got = sample[name]
                assert got.dtype == getattr(torch, entry.dtype)
                if entry.is_static:
                    assert np.array_equal(got.numpy(), truth(split, number, name, "static", entry))
                    assert sample[f"{entry.source}_ok"] is True
                    continue
                assert got.shape == (2, *entry.shape)
                for i, season in enumerate(SEASONS):
                    absent = lacks(split, number, entry.source, season)
                    expected = entry.nodata if absent else truth(split, number, name, season, entry)
                    assert np.array_equal(got[i].numpy(), np.broadcast_to(expected, entry.shape))
                    assert bool(sample[f"{entry.source}_ok"][i]) is not absent


def test_facts_of_a_sample(packed):
    sample = list(open_shards(packed))[1]
    assert (sample["lon"], sample["lat"], sample["is_pad"]) == (9.01, 50.8, False)
    assert sample["s2l2a_time"].tolist() == [1610706989, 1626345389]  # 2021-01-15 and 2021-07-15, 10:36:29 UTC
    assert sample["season_ok"].tolist() == [True, True]
    assert sample["labels"].tolist() == [[0, 1, 1], [1, 0, 1]]
    assert sample["label_fractions"].numpy() == pytest.approx(np.array([[0.2, 0.5, 0.3], [0.3, 0.2, 0.5]]))
    assert sample["labels_known"].tolist() == [True, True]
    assert sample["annual_labels"].tolist() == [1, 1, 0]
    assert sample["annual_labels"].dtype == sample["annual_label_fractions"].dtype == torch.float32


def test_what_is_absent_is_marked_and_never_zero_labels(packed):
    samples = list(open_shards(packed))
    winter = samples[NO_WINTER]
    assert winter["season_ok"].tolist() == [False, True]
    assert winter["s2l2a_time"][WINTER] == -1
    assert winter["s1rtc_time"][WINTER] == -1
    assert winter["labels_known"].tolist() == [False, True]
    assert torch.isnan(winter["labels"][WINTER]).all()
    assert torch.isnan(winter["label_fractions"][WINTER]).all()
    radar = samples[NO_SUMMER_RADAR]
    assert radar["season_ok"].tolist() == [True, False]
    assert radar["s2l2a_ok"].tolist() == [True, True]
    assert radar["s1rtc_ok"].tolist() == [True, False]
    assert (radar["s1rtc_10m"][SUMMER] == -32768).all()
    unknown = samples[NO_LABELS]
    assert unknown["annual_labels_known"] is False
    assert torch.isnan(unknown["annual_labels"]).all()


def test_default_collate_stacks_every_entry(packed):
    batch = default_collate(list(open_shards(packed)))
    assert batch["s2l2a_10m"].shape == (13, 2, 4, 24, 24)
    assert batch["s2l2a_10m"].dtype == torch.uint16
    assert batch["lon"].dtype == batch["lat"].dtype == torch.float64
    assert batch["is_pad"].dtype == batch["annual_labels_known"].dtype == batch["dem_ok"].dtype == torch.bool
    assert batch["s1rtc_time"].dtype == torch.int64
    assert batch["labels"].shape == (13, 2, len(LABELS))
    assert all(isinstance(v, torch.Tensor) and len(v) == 13 for k, v in batch.items() if k != "key")


def test_dtype_converts_data_and_keeps_codes(packed):
    stored = list(open_shards(packed))
    for one, base in zip(open_shards(packed, dtype=torch.float32), stored, strict=True):
        assert one["s2l2a_10m"].dtype == one["s1rtc_10m"].dtype == torch.float32
        assert torch.equal(one["s2l2a_10m"], base["s2l2a_10m"].to(torch.float32))
        assert one["s2l2a_scl_20m"].dtype == one["worldcover_10m"].dtype == torch.uint8


@pytest.mark.parametrize("form", ["shards", "dataset", "index"])
def test_the_dataset_is_found_from_its_folder_its_shards_or_its_index(packed, form, monkeypatch):
    path = {"shards": packed, "dataset": packed.parent, "index": packed / "index.json"}[form]
    assert len(open_shards(path)) == 13
    monkeypatch.chdir(packed)
    assert len(open_shards("index.json")) == 13


# ---- order, ranks, workers


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_each_sample_once_per_epoch_with_any_number_of_workers(packed, workers):
    dataset = open_shards(packed, shuffle=True)
    loader = DataLoader(dataset, batch_size=3, num_workers=workers, persistent_workers=workers > 0)
    orders = []
    for epoch in range(2):
        dataset.set_epoch(epoch)
        orders.append(keys(loader))
        assert sorted(orders[-1]) == sorted(key_of(i) for i in range(13))
    dataset.set_epoch(0)
    assert keys(loader) == orders[0] != orders[1]


def test_workers_deliver_the_same_tensors(packed):
    alone = {s["key"]: s for s in open_shards(packed)}
    for sample in DataLoader(open_shards(packed), batch_size=None, num_workers=2):
        expected = alone[sample["key"]]
        assert list(sample) == list(expected)
        for name in set(sample) - {"key"}:
            assert np.array_equal(np.asarray(sample[name]), np.asarray(expected[name]), equal_nan=True)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_a_loader_that_makes_batches_of_batches_is_refused(packed, workers):
    dataset = open_shards(packed, batch_size=4)
    for how in ({}, {"batch_size": 2}):
        with pytest.raises(ConfigError, match=r"gives batches of 4: say DataLoader\(dataset, batch_size=None\)"):
            next(iter(DataLoader(dataset, num_workers=workers, **how)))
    assert len(list(DataLoader(open_shards(packed, batch_size=4), batch_size=None, num_workers=workers))) == 4


@pytest.mark.slow
def test_spawned_workers_and_their_epochs(packed):
    dataset = open_shards(packed, shuffle=True)
    loader = DataLoader(dataset, batch_size=2, num_workers=2, persistent_workers=True, multiprocessing_context="spawn")
    orders = []
    for epoch in range(2):
        dataset.set_epoch(epoch)
        orders.append(keys(loader))
        assert sorted(orders[-1]) == sorted(key_of(i) for i in range(13))
    assert orders[0] != orders[1]


def test_ranks_get_equal_numbers_and_only_marked_repeats(packed):
    once = []
    for rank in range(4):
        dataset = open_shards(packed, shuffle=True, rank=rank, world_size=4, fields=[])
        samples = list(dataset)
        assert len(samples) == len(dataset) == 4
        assert [s["is_pad"] for s in samples] == [False, False, False, rank > 0]
        once += [s["key"] for s in samples if not s["is_pad"]]
    assert sorted(once) == sorted(key_of(i) for i in range(13))


def test_rank_and_world_size_come_from_torch_distributed(packed, tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    try:
        dataset = open_shards(packed)
    finally:
        torch.distributed.destroy_process_group()
    assert (dataset.rank, dataset.world_size) == (0, 1)


def test_a_pickled_dataset_is_small_and_delivers_the_same(packed):
    dataset = open_shards(packed, shuffle=True, seed=3)
    data = pickle.dumps(dataset)
    assert [s["key"] for s in pickle.loads(data)] == [s["key"] for s in dataset]


# ---- selection


def test_only_the_bytes_asked_for_are_read(packed, monkeypatch):
    read = []
    original = Fetcher.ranges

    def counting(self, key, spans, scratch, **more):
        read.append((key, list(spans)))
        return original(self, key, spans, scratch, **more)

    monkeypatch.setattr(Fetcher, "ranges", counting)
    dataset = open_shards(packed, fields=["s2l2a_20m", "s2l2a_10m"], seasons=["summer"])
    members = dataset._opened.members
    suffixes = [dataset.index.members[m] for m in members.member]
    wanted = {"meta.json", "s2l2a_10m.summer.npy.blosc", "s2l2a_20m.summer.npy.blosc"}
    payload = sum(int(s) for s, name in zip(members.size, suffixes, strict=True) if name in wanted)
    samples = list(dataset)
    assert len(read) == 13  # one call per sample
    assert all(len(spans) == 2 for _, spans in read)  # meta.json; the two arrays, which are neighbours
    asked = sum(length for _, spans in read for _, length in spans)
    assert payload <= asked <= payload + 13 * 1024  # headers between neighbours, nothing else
    assert set(samples[0]) >= {"s2l2a_10m", "s2l2a_20m"}
    assert not {"dem_30m", "s1rtc_10m", "s2l2a_scl_20m", "s1rtc_time"} & set(samples[0])
    assert samples[0]["s2l2a_10m"].shape == (1, 4, 24, 24)
    read.clear()
    list(open_shards(packed))
    assert all(len(spans) == 1 for _, spans in read)  # a whole sample is one range


def test_seasons_come_in_the_order_asked_for(packed):
    for both, turned in zip(open_shards(packed), open_shards(packed, seasons=["summer", "winter"]), strict=True):
        assert torch.equal(turned["s2l2a_10m"], both["s2l2a_10m"][[1, 0]])
        assert torch.equal(turned["s2l2a_time"], both["s2l2a_time"].flip(0))


def test_no_fields_still_gives_labels(packed):
    sample = next(iter(open_shards(packed, fields=[])))
    assert sample["labels_known"].tolist() == [True, True]
    assert not any(name in sample for name in arrays())


def test_no_seasons_leaves_static_arrays(packed):
    sample = next(iter(open_shards(packed, seasons=[])))
    assert sample["dem_30m"].shape == (1, 8, 8)
    assert "s2l2a_10m" not in sample


def test_a_dataset_without_labels_has_label_axes_of_no_entries(copy):
    value = json.loads((copy / "index.json").read_bytes())
    (copy / "index.json").write_text(json.dumps({**value, "label_names": []}))
    repack(copy, lambda m: {**m, "meta.json": re.sub(rb'"labels":\{.*?\}', b'"labels":null', m["meta.json"])})
    batch = default_collate(list(open_shards(copy, "val")))
    assert batch["labels"].shape == (2, 2, 0)
    assert batch["annual_labels"].shape == (2, 0)
    assert not batch["labels_known"].any()
    assert not batch["annual_labels_known"].any()


def test_a_transform_makes_what_is_delivered(packed):
    assert list(open_shards(packed, transform=lambda s: s["key"])) == [key_of(i) for i in range(13)]


# ---- refusals


def test_a_split_without_a_sample_is_refused_by_name_with_those_that_have_some(built: Curate):
    with pytest.raises(ConfigError, match=r"split 'val' has no sample: no complete place.*; there are: train \(\d+\)"):
        open_shards(str(built.folder), "val")


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"split": "test"}, r"no split 'test'; expected one of: train \(13 samples\), val \(2 samples\)"),
        ({"fields": ["s3"]}, r"fields: no \['s3'\]; expected some of: dem_30m"),
        ({"fields": "dem_30m"}, r"expected a list"),
        ({"fields": 1}, r"fields = 1: expected a list of names, some of: dem_30m, "),
        ({"seasons": 1}, r"seasons = 1: expected a list of names, some of: winter, summer$"),
        ({"domains": 1}, r"domains = 1: expected a list of names$"),
        ({"require": 1}, r"require = 1: expected a list of names, some of: dem, "),
        ({"at_least": 1}, r"at_least = 1: expected how many by source, such as {'dem': 1}"),
        ({"draw_seasons": ["summer"]}, r"draw_seasons = \['summer'\]: expected"),
        ({"seasons": ["spring"]}, r"seasons: no \['spring'\]; expected some of: winter, summer"),
        ({"seasons": ["winter", "winter"]}, "each once"),
        ({"check": "md5"}, "expected one of xxh3, none"),
        ({"dtype": torch.float16}, "expected one of torch.float32"),
        ({"rank": 2, "world_size": 2}, "rank < world_size"),
        ({"rank": 2}, "give both"),
        ({"mix_shards": 0}, "expected ≥ 1, or None"),
        ({"seed": 2**63}, "64 bits"),
    ],
)
def test_a_wrong_argument_is_refused_with_what_exists(packed, wrong, match):
    with pytest.raises(ConfigError, match=match):
        open_shards(packed, **wrong)


def test_a_dataset_without_index_is_not_packed_yet(copy):
    (copy / "index.json").unlink()
    with pytest.raises(ConfigError, match="not packed yet"):
        open_shards(copy)


def test_a_newer_version_is_refused_with_both_values(copy):
    value = json.loads((copy / "index.json").read_bytes())
    (copy / "index.json").write_text(json.dumps({**value, "version": 4}))
    with pytest.raises(ConfigError, match=r"version 4.*up to 3"):
        open_shards(copy)


SHARD = "train/demo-train-000001.tar"


def places():
    """Name → length that a shard is cut to, from its own members."""
    return {
        "sample boundary": lambda rows, size: next(r for r in rows if r.key == key_of(5)).offset - 512,
        "inside a header": lambda rows, size: next(r for r in rows if r.key == key_of(5)).offset - 300,
        "between members": lambda rows, size: rows[2].offset - 512,
        "mid payload": lambda rows, size: rows[3].offset + 77,
        "in the zero tail": lambda rows, size: size - 700,
        "one byte": lambda rows, size: size - 1,
        "empty": lambda rows, size: 0,
    }


@pytest.mark.parametrize("place", places())
def test_a_cut_shard_is_refused_at_open(copy, place):
    from curation.format.tar import scan_tar

    data = (copy / SHARD).read_bytes()
    length = places()[place](scan_tar(data, SHARD), len(data))
    os.truncate(copy / SHARD, length)
    with pytest.raises(DamageError, match=rf"1 of 4 shards .*{SHARD}: {length} bytes, expected {len(data)} bytes"):
        open_shards(copy)
    assert len(list(open_shards(copy, "val"))) == 2


def test_a_longer_or_missing_shard_is_refused_at_open(copy):
    with (copy / SHARD).open("ab") as file:
        file.write(b"x")
    (copy / "train/demo-train-000003.tar").unlink()
    with pytest.raises(DamageError, match=r"2 of 4 shards.*000001.tar: \d+ bytes.*000003.tar: missing"):
        open_shards(copy)


@pytest.mark.parametrize("file", ["train/members.arrow", "train/samples.parquet"])
def test_a_changed_table_is_refused_at_open(copy, file):
    data = bytearray((copy / file).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / file).write_bytes(data)
    with pytest.raises(DamageError, match=rf"{file}: .*sha256"):
        open_shards(copy)
    (copy / file).unlink()
    with pytest.raises(DamageError, match=rf"{file}: missing"):
        open_shards(copy)


def damage(folder, member, at=200, number=6):
    """Flips a bit of a payload in place; the message that is expected."""
    dataset = open_shards(folder)
    table, position = dataset._opened.members, dataset.index.members.index(member)
    row = np.flatnonzero((table.sample == number) & (table.member == position))[0]
    name = dataset.index.splits["train"].shards[int(table.shard[row])].name
    data = bytearray((folder / name).read_bytes())
    data[int(table.offset[row]) + at] ^= 1
    (folder / name).write_bytes(data)
    return (
        rf"{name}, sample {key_of(number)}, member {member} .*xxh3 [0-9a-f]{{16}}, expected {int(table.xxh3[row]):016x}"
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_a_flipped_bit_is_refused_at_read(copy, workers):
    match = damage(copy, "s1rtc_10m.summer.npy")
    with pytest.raises(DamageError, match=match):
        keys(DataLoader(open_shards(copy), batch_size=2, num_workers=workers))
    # What is not asked for is not read, and without the check nobody would know.
    assert len(list(open_shards(copy, fields=["dem_30m"]))) == 13
    assert len(list(open_shards(copy, check="none"))) == 13


def test_shards_that_were_swapped_are_refused(copy):
    other = copy / SHARD.replace("000001", "000002")
    ours, theirs = (copy / SHARD).read_bytes(), other.read_bytes()
    assert len(ours) != len(theirs)
    (copy / SHARD).write_bytes(theirs)
    other.write_bytes(ours)
    with pytest.raises(DamageError, match=rf"2 of 4 shards.*{SHARD}: {len(theirs)} bytes, expected {len(ours)} bytes"):
        open_shards(copy)
    # Of the same length nobody sees it at open, but its first sample is not what was packed.
    (copy / SHARD).write_bytes(theirs[: len(ours)].ljust(len(ours), b"\0"))
    other.write_bytes(ours[: len(theirs)].ljust(len(theirs), b"\0"))
    with pytest.raises(DamageError, match=rf"{SHARD}, sample {key_of(4)}, member meta.json .*xxh3"):
        list(open_shards(copy))


def test_a_zeroed_tail_of_the_same_length_is_refused_at_read(copy):
    path = copy / SHARD
    size = path.stat().st_size
    os.truncate(path, size // 2)
    os.truncate(path, size)
    with pytest.raises(DamageError, match=rf"{SHARD}, sample .*xxh3"):
        list(open_shards(copy))


def test_a_shard_that_is_cut_after_opening_is_refused(copy):
    dataset = open_shards(copy)
    os.truncate(copy / SHARD, 5000)
    with pytest.raises(DamageError, match="changed after it was opened"):
        list(dataset)
    (copy / SHARD).unlink()
    with pytest.raises(DamageError, match="changed after it was opened"):
        list(dataset)


def repack(folder, change):
    """Packs the val split again with `change` applied to each sample's members: tables and index agree with the shard."""
    import hashlib

    from msgspec.structs import replace

    from curation.format.index import FileEntry, Index, ShardEntry
    from curation.format.table import members_to_arrow
    from curation.format.tar import Sample, write_tar
    from tests.stream.conftest import sample_of

    index = Index.from_bytes((folder / "index.json").read_bytes())
    samples = []
    for i in range(2):
        one = sample_of("val", i, arrays())
        samples.append(Sample(one.key, change(dict(one.members))))
    data, rows = write_tar(samples)
    table = members_to_arrow([rows], index.members)
    (folder / "val/demo-val-000000.tar").write_bytes(data)
    (folder / "val/members.arrow").write_bytes(table)
    entry = replace(
        index.splits["val"],
        shards=(ShardEntry("val/demo-val-000000.tar", len(data), hashlib.sha256(data).hexdigest(), 2),),
        members=FileEntry("val/members.arrow", len(table), hashlib.sha256(table).hexdigest()),
    )
    (folder / "index.json").write_bytes(replace(index, splits={**index.splits, "val": entry}).to_bytes())


def without(name):
    return lambda members: {k: v for k, v in members.items() if k != name}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (without("s2l2a_20m.summer.npy.blosc"), "arrays of 's2l2a' .*all or none"),
        (without("s1rtc_10m.summer.npy"), r"members of 's1rtc' are there \[True, False\], its meta.json says"),
        (without("dem_30m.npy"), r"members of 'dem' are there \[False\]"),
        (
            lambda m: {**m, "dem_30m.npy": payload.encode(np.zeros((1, 24, 24), np.uint8), "none")},
            r"dem_30m: 576 bytes of uint8 \(1, 24, 24\), the index says float32 \(1, 8, 8\)",
        ),
        (lambda m: {**m, "dem_30m.npy": b"no npy at all"}, "not a .npy member"),
        (lambda m: {**m, "dem_30m.npy": m["dem_30m.npy"][:-4]}, "252 bytes"),
        (lambda m: {**m, "dem_30m.npy": m["dem_30m.npy"][:128]}, "dem_30m: 0 bytes of float32"),  # its header alone
        (lambda m: {**m, "meta.json": m["meta.json"].replace(b"utm32n-", b"utm33n-")}, "is that of 'utm33n-"),
        (lambda m: {**m, "meta.json": m["meta.json"].replace(b'"lon"', b'"x"')}, "not of the form .*KeyError"),
        (lambda m: {**m, "meta.json": m["meta.json"].replace(b"[0.5,0.3,", b"[0.5,")}, "not of the form"),
        (lambda m: {**m, "meta.json": b"{"}, "not of the form .*JSONDecodeError"),
    ],
)
def test_members_that_deny_index_or_meta_are_refused(copy, change, match):
    repack(copy, lambda members: members)
    assert len(list(open_shards(copy, "val"))) == 2
    repack(copy, change)
    with pytest.raises(DamageError, match=match):
        list(open_shards(copy, "val"))


def test_the_reader_imports_nothing_of_the_making_side():
    code = (
        "import sys, curation.stream; "
        "print([m for m in sys.modules if m.split('.')[0] in "
        "('dask', 'distributed', 'rasterio', 'pystac', 'pystac_client', 'xarray', 'zarr', 'pydantic', 'geopandas',"
        " 'pandas', 'odc')])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_a_payload_is_what_numpy_reads_after_any_blosc(packed):
    dataset = open_shards(packed)
    table, index = dataset._opened.members, dataset.index
    for i in np.flatnonzero(table.member > 0)[:12]:
        with (packed / index.splits["train"].shards[int(table.shard[i])].name).open("rb") as file:
            data = os.pread(file.fileno(), int(table.size[i]), int(table.offset[i]))
        member = index.members[table.member[i]]
        file = numcodecs.blosc.decompress(data) if member.endswith(".blosc") else data
        array = np.load(io.BytesIO(file))
        assert math.prod(array.shape) > 0
        assert array.shape == index.arrays[member.split(".")[0]].shape


@pytest.mark.parametrize("workers", [0, 1])
def test_an_epoch_of_no_batches_is_refused_where_more_samples_are_dropped_than_there_are(packed, workers):
    train = open_shards(packed, "train", batch_size=14, remainder="drop")
    with pytest.raises(ConfigError, match=r"leaves nothing of 13 samples in steps of 1 ranks × 14"):
        next(iter(DataLoader(train, batch_size=None, num_workers=workers)))
