"""Crops of members of many Blosc blocks, and members that are read and hashed in pieces: exactly what was packed."""

import shutil
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curation.errors import DamageError
from curation.format import frame, payload
from curation.stream import reading
from curation.stream.batch import Batch, Shape
from curation.stream.fetch import Fetcher
from curation.stream.open import open_shards
from curation.stream.resample import upsample
from tests.properties import examples
from tests.stream import conftest
from tests.stream.conftest import SEASONS, arrays, key_of, make_shards, truth

SIZE = 96
"""Finest pixels to a side: 74 kB of Sentinel-2 a season."""
BLOCK = 1024
"""Bytes of a Blosc block here: of zstd, since lz4's are of 64 KiB at least."""
FACTORS = {10.0: 1, 20.0: 2, 30.0: 3}
ENTRIES = arrays(SIZE)
STALE = 0xA5


def plain(split, number, name, season, entry):
    """Pixels that can be packed, 0 (no data) among them: what cannot is kept as it is, without blocks."""
    return (truth(split, number, name, season, entry).astype(np.int64) & 63).astype(entry.dtype)


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Two samples, whose Blosc buffers have many blocks."""
    folder = tmp_path_factory.mktemp("many") / "shards"
    with (
        mock.patch.dict(payload._BLOSC, lz4=(b"zstd", 1)),
        mock.patch.object(payload.blosc, "AUTOBLOCKS", BLOCK),
        mock.patch.object(conftest, "truth", plain),
    ):
        make_shards(folder, {"train": [2]}, size=SIZE)
    return folder


@pytest.fixture(autouse=True)
def stale(monkeypatch):
    """Memory that is decoded into holds nothing that could be right."""
    real = frame.decode

    def decode(data, out, wanted=None):
        out[:] = bytes([STALE]) * len(out)
        real(data, out, wanted)

    monkeypatch.setattr(frame, "decode", decode)


@pytest.fixture
def decoded(monkeypatch):
    """Bytes of each call that unpacks."""
    sizes, real = [], payload.blosc.decompress

    def counting(data, out):
        sizes.append(len(out))
        return real(data, out)

    monkeypatch.setattr(frame.blosc, "decompress", counting)
    return sizes


def whole(key, name):
    """(season, band, y, x) as it was packed; of static arrays without the first axis."""
    number = next(n for n in range(2) if key_of(n) == key)
    entry = ENTRIES[name]
    if entry.is_static:
        return plain("train", number, name, "static", entry)
    return np.stack([plain("train", number, name, season, entry) for season in SEASONS])


def cropped(key, name, y, x, crop_px, mode):
    """The same ground of it, by numpy."""
    pixels, factor = whole(key, name), FACTORS[ENTRIES[name].res_m]
    if mode is not None:
        how = mode if ENTRIES[name].role == "data" else "nearest"
        pixels, factor = upsample(torch.from_numpy(pixels), factor, how, ENTRIES[name].nodata).numpy(), 1
    y, x, size = y // factor, x // factor, crop_px // factor
    return pixels[..., y : y + size, x : x + size]


@given(
    crop_px=st.integers(1, SIZE // 6).map(lambda n: 6 * n),
    seed=st.integers(0, 1 << 40),
    mode=st.sampled_from([None, "nearest", "bilinear"]),
    batch_size=st.sampled_from([None, 2]),
    threads=st.sampled_from([1, 2]),
)
@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_crop_is_what_numpy_cuts_out(many, crop_px, seed, mode, batch_size, threads):
    dataset = open_shards(
        many, batch_size=batch_size, crop_px=crop_px, upsample=mode, seed=seed, shuffle=True, threads=threads
    )
    for one in dataset:
        keys, corners = ([one["key"]], [one["crop_yx"]]) if batch_size is None else (one["key"], one["crop_yx"])
        for i, (key, corner) in enumerate(zip(keys, corners, strict=True)):
            for name in ENTRIES:
                got = (one[name] if batch_size is None else one[name][i]).numpy()
                assert np.array_equal(got, cropped(key, name, *corner.tolist(), crop_px, mode)), (name, corner)


@pytest.mark.parametrize("mode", [None, "bilinear"])
def test_two_crops_of_a_member_are_each_its_own(many, mode):
    for seed in range(5):
        for one in open_shards(many, views="crops", crop_px=24, upsample=mode, seed=seed, seasons=["summer"]):
            for view, corner in enumerate(one["crop_yx"].tolist()):
                for name in ENTRIES:
                    expected = cropped(one["key"], name, *corner, 24, mode)
                    expected = expected if ENTRIES[name].is_static else expected[SEASONS.index("summer")]
                    assert np.array_equal(one[name][view].numpy(), expected), name


def test_normalised_crops_are_those_of_the_whole(many):
    scale = {"crop": "center", "normalize": True, "fields": ["s2l2a_10m"]}
    (small, *_), (large, *_) = (list(open_shards(many, crop_px=px, **scale)) for px in (24, SIZE))
    middle = slice((SIZE - 24) // 2, (SIZE + 24) // 2)
    assert np.array_equal(small["s2l2a_10m"].numpy(), large["s2l2a_10m"].numpy()[..., middle, middle])


def test_blocks_without_a_pixel_of_the_crop_are_not_decoded(many, decoded):
    list(open_shards(many, crop="center", crop_px=24, fields=["s2l2a_10m"], draw_seasons=1))
    line, inside = 2 * SIZE, 128 + 4 * 2 * SIZE**2
    rows = [(128 + (b * SIZE + 36) * line, 128 + (b * SIZE + 60) * line) for b in range(4)]
    touched = {0} | {k for a, z in rows for k in range(a // BLOCK, (z - 1) // BLOCK + 1)}  # 0: the header's
    assert sum(decoded) == 2 * BLOCK * len(touched) < 0.4 * 2 * inside


def test_what_is_wanted_whole_is_decoded_whole(many, decoded):
    list(open_shards(many, fields=["s2l2a_10m"], seasons=["winter"]))
    assert decoded == [128 + 4 * 2 * SIZE**2] * 2


@pytest.fixture(params=[False, True], ids=["at once", "in pieces"])
def in_pieces(request, monkeypatch):
    if request.param:
        monkeypatch.setattr(reading, "_HOT_BYTES", 1000)
        monkeypatch.setattr(reading, "_TOGETHER_BYTES", 3000)
    return request.param


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("check", ["xxh3", "none"])
def test_a_batch_holds_every_pixel_that_was_packed(packed, in_pieces, check, threads):
    """One thread decodes in place, with headers where other pixels are."""
    entries = arrays()
    for batch in open_shards(packed, "val", batch_size=2, check=check, threads=threads):
        for i, key in enumerate(batch["key"]):
            number = next(n for n in range(2) if key_of(n) == key)
            for name, entry in entries.items():
                for j, season in enumerate(["static"] if entry.is_static else SEASONS):
                    got = batch[name][i] if entry.is_static else batch[name][i, j]
                    assert np.array_equal(got.numpy(), truth("val", number, name, season, entry)), (name, season)


def test_a_sample_that_is_not_alone_touches_no_other(packed):
    """Not even for a moment: another thread may be writing there."""
    dataset = open_shards(packed, "val", batch_size=2, fields=["s2l2a_10m"])
    filling, seen = dataset.filling(), []
    batch = Batch(Shape.of(dataset.layout, 2), None)
    own = batch.arrays["s2l2a_10m"]

    def decode(data, out, wanted=None):
        at = np.frombuffer(out, np.uint8).ctypes.data - own[1].ctypes.data
        seen.append((at, len(out)))
        payload.blosc.decompress(data, out)

    with mock.patch.object(frame, "decode", decode):
        filling.fill(batch, 1, 1, 1, seed=0, epoch=0)
    assert len(seen) == 2
    assert all(at >= 0 or at + size <= -own[0].nbytes for at, size in seen)


def test_pieces_are_no_larger_than_is_hot(packed, in_pieces, monkeypatch):
    sizes, real = [], Fetcher.into

    def into(self: Fetcher, key, parts, scratch):
        sizes.extend(part.length for part in parts)
        real(self, key, parts, scratch)

    monkeypatch.setattr(Fetcher, "into", into)
    (sample,) = list(open_shards(packed, "val", batch_size=2, fields=["s1rtc_10m"]))
    assert sum(sizes) == 2 * 2 * 128 + sample["s1rtc_10m"].nbytes  # straight to the batch
    assert (max(sizes) <= 1128) == in_pieces


def test_a_byte_that_was_changed_anywhere_is_refused_by_its_member(packed, tmp_path, in_pieces):
    folder = shutil.copytree(packed, tmp_path / "shards")
    opened = open_shards(folder, "val")._opened
    shard = folder / opened.entry.shards[0].name
    data, table = shard.read_bytes(), opened.members
    for i in range(int(opened.first[0]), int(opened.first[1])):
        first, size = int(table.offset[i]), int(table.size[i])
        for at in {first, first + size // 3, first + size - 1}:
            shard.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
            with pytest.raises(DamageError, match=f"member {opened.index.members[table.member[i]]} .*xxh3"):
                list(open_shards(folder, "val", batch_size=2))
    shard.write_bytes(data)
    assert len(list(open_shards(folder, "val", batch_size=2))) == 1
