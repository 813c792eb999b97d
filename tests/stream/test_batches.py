"""Batches: memory that is used again, what is selected and drawn, exactness, and going on after a stop."""

import gc
import math
import os
import random
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from curation.errors import ConfigError, DamageError
from curation.stream import batch as batch_module
from curation.stream import plan
from curation.stream.decode import decoder
from curation.stream.open import open_shards
from curation.stream.resample import upsample
from curation.stream.ring import SLOTS
from tests.stream.conftest import NO_SUMMER_RADAR, NO_WINTER, SEASONS, arrays, key_of, lacks, make_shards, truth
from tests.stream.test_dataset import damage

ALL = sorted(key_of(i) for i in range(13))


def loader(dataset, workers=0, **more):
    return DataLoader(dataset, batch_size=None, num_workers=workers, **more)


def number_of(key):
    return (int(key.split("-")[1]) - 500_000) // 2640


def same(a, b):
    return a.dtype == b.dtype and np.array_equal(a.float().numpy(), b.float().numpy(), equal_nan=True)


# ---- what a batch holds


@pytest.mark.slow
@pytest.mark.parametrize(
    ("workers", "more"),
    [
        (0, {}),
        (1, {}),
        (2, {}),
        (2, {"multiprocessing_context": "spawn", "persistent_workers": True}),  # each takes seconds to load
        (2, {"persistent_workers": True, "prefetch_factor": 1}),
    ],
)
def test_batches_are_the_samples_stacked_in_the_same_order_with_any_workers(packed, workers, more):
    one_by_one = open_shards(packed, shuffle=True, seed=5)
    dataset = open_shards(packed, batch_size=4, shuffle=True, seed=5)
    batches = loader(dataset, workers, **more)
    assert len(batches) == len(dataset) == 4
    for _ in range(2):  # epoch after epoch
        got, samples = list(batches), list(one_by_one)
        assert [k for b in got for k in b["key"]][:13] == [s["key"] for s in samples]
        assert torch.cat([b["is_pad"] for b in got]).tolist() == [False] * 13 + [True] * 3
        for i, sample in enumerate(samples):
            batch, at = got[i // 4], i % 4
            assert list(batch) == list(sample)
            for name in set(sample) - {"key", "is_pad"}:
                assert same(batch[name][at], torch.as_tensor(sample[name], dtype=batch[name].dtype)), name


@pytest.mark.parametrize("workers", [0, 2])
def test_memory_is_used_again_and_never_under_a_reader(packed, workers):
    dataset = open_shards(packed, batch_size=2, fields=["s2l2a_10m", "dem_30m"])
    expected = {k: t.clone() for b in loader(dataset) for k, t in zip(b["key"], b["s2l2a_10m"], strict=True)}
    held = []
    batches = loader(dataset, workers, persistent_workers=workers > 0)
    for epoch in range(6):
        for batch in batches:
            # A part of a tensor, as numpy, keeps the whole slot: more of them than there are slots are kept for long.
            part = batch["s2l2a_10m"][1].numpy()
            held.append((batch["key"][1], part if epoch < 4 else part.copy()))
    del batch, part
    assert all(np.array_equal(kept, expected[key].numpy()) for key, kept in held)
    held.clear()
    gc.collect()
    again = {b["s2l2a_10m"].data_ptr() for _ in range(4) for b in batches}
    assert len(again) <= SLOTS * max(workers, 1)


def test_a_batch_outlives_loader_and_dataset(packed):
    dataset = open_shards(packed, batch_size=3)
    batch = next(iter(loader(dataset, 1)))
    number, kept = number_of(batch["key"][2]), batch["s1rtc_10m"][2]
    token = dataset._token
    assert batch_module._rings[token].by_worker
    del dataset, batch
    gc.collect()
    assert token not in batch_module._rings
    expected = [truth("train", number, "s1rtc_10m", s, arrays()["s1rtc_10m"]) for s in SEASONS]
    assert np.array_equal(kept.numpy(), expected)


def test_a_fork_that_drops_its_copy_of_a_batch_does_not_free_it(packed):
    dataset = open_shards(packed, batch_size=3)
    batch = next(iter(dataset))
    taken = taken_soon(dataset, 1)
    child = os.fork()
    if not child:
        batch.clear()
        gc.collect()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert np.array_equal(dataset._filler.ring._taken, taken)
    batch.clear()
    gc.collect()
    assert not dataset._filler.ring._taken.any()


def taken_soon(dataset, count):
    """Which slots are taken, once there are so many: who leaves an iteration does not wait for what is being filled."""
    until = time.monotonic() + 30
    while (taken := dataset._filler.ring._taken.copy()).sum() != count:
        assert time.monotonic() < until, taken
        time.sleep(0.01)
    return taken


def _scaled(batch):
    return {"x": batch["s2l2a_10m"].float() / 1e4, "same": batch["dem_30m"][:, 0], "pair": (batch["labels"], "text")}


@pytest.mark.parametrize("workers", [0, 2])
def test_a_transform_of_batches(packed, workers):
    plain = list(loader(open_shards(packed, batch_size=5)))
    for got, base in zip(loader(open_shards(packed, batch_size=5, transform=_scaled), workers), plain, strict=True):
        assert torch.equal(got["x"], base["s2l2a_10m"].float() / 1e4)
        assert torch.equal(got["same"], base["dem_30m"][:, 0])
        assert same(got["pair"][0], base["labels"])
        assert got["pair"][1] == "text"


def _fails(batch):
    raise RuntimeError("no such transform")


@pytest.mark.parametrize("workers", [0, 1])
def test_what_goes_wrong_in_a_batch_is_told(packed, copy, workers):
    with pytest.raises(RuntimeError, match="no such transform"):
        list(loader(open_shards(packed, batch_size=5, transform=_fails), workers))
    match = damage(copy, "s1rtc_10m.summer.npy")  # plain: read straight to where it belongs
    with pytest.raises(DamageError, match=match):
        list(loader(open_shards(copy, batch_size=5, fields=["s1rtc_10m"]), workers))
    match = damage(copy, "s2l2a_10m.summer.npy.blosc", at=60)
    with pytest.raises(DamageError, match=match):
        list(loader(open_shards(copy, batch_size=5, fields=["s2l2a_10m"]), workers))


@pytest.mark.slow
def test_an_iteration_that_is_left_gives_its_memory_back(packed):
    dataset = open_shards(packed, batch_size=1, threads=3)
    for _ in range(3 * SLOTS):
        for batch in dataset:
            assert len(batch["key"]) == 1
            break
    del batch
    gc.collect()
    taken_soon(dataset, 0)


# ---- selection


def cropped(number, name, season, corner, side, factor=1):
    entry = arrays()[name]
    if season != "static" and lacks("train", number, entry.source, season):
        return np.full((len(entry.bands), side, side), entry.nodata)
    y, x = (c // factor for c in corner)
    return truth("train", number, name, season, entry)[:, y : y + side, x : x + side]


@pytest.mark.parametrize("crop", ["random", "center"])
@pytest.mark.slow
def test_crops_take_the_same_ground_from_every_array(packed, crop):
    dataset = open_shards(packed, batch_size=13, crop_px=12, crop=crop, fields=["s2l2a_10m", "s2l2a_20m", "dem_30m"])
    (batch,) = dataset
    corners = batch["crop_yx"].tolist()
    for i, corner in enumerate(corners):
        assert all(c % 6 == 0 and 0 <= c <= 12 for c in corner)
        for name, factor in (("s2l2a_10m", 1), ("s2l2a_20m", 2)):
            for k, season in enumerate(SEASONS):
                expected = cropped(i, name, season, corner, 12 // factor, factor)
                assert np.array_equal(batch[name][i, k].numpy(), expected)
        assert np.array_equal(batch["dem_30m"][i].numpy(), cropped(i, "dem_30m", "static", corner, 4, 3))
    assert (len({tuple(c) for c in corners}) > 3) == (crop == "random")
    dataset.set_epoch(1)
    (other,) = dataset
    assert (other["crop_yx"].tolist() != corners) == (crop == "random")


def test_draws_read_one_season_of_those_there_are(packed):
    seen = set()
    dataset = open_shards(packed, batch_size=13, draw_seasons=1, fields=["s2l2a_10m", "s1rtc_10m"])
    for epoch in range(20):
        dataset.set_epoch(epoch)
        (batch,) = dataset
        assert batch["s2l2a_10m"].shape[1] == 1
        for i in range(13):
            season = int(batch["season"][i, 0])
            seen.add((i, season))
            assert bool(batch["s2l2a_ok"][i, 0])
            expected = truth("train", i, "s2l2a_10m", SEASONS[season], arrays()["s2l2a_10m"])
            assert np.array_equal(batch["s2l2a_10m"][i, 0].numpy(), expected)
            assert bool(batch["s1rtc_ok"][i, 0]) == (not lacks("train", i, "s1rtc", SEASONS[season]))
    assert seen == {(i, s) for i in range(13) for s in range(2)} - {(NO_WINTER, 0)}
    assert (NO_SUMMER_RADAR, 1) in seen


def test_views_are_two_seasons_or_two_crops_and_static_arrays_follow(packed):
    fields = ["s2l2a_10m", "worldcover_10m"]
    (batch,) = open_shards(packed, batch_size=13, views="crops", crop_px=6, fields=fields)
    for i in range(13):
        (a, b), corners = batch["season"][i].tolist(), batch["crop_yx"][i].tolist()
        assert a == b
        for v, corner in enumerate(corners):
            expected = cropped(i, "s2l2a_10m", SEASONS[a], corner, 6)
            assert np.array_equal(batch["s2l2a_10m"][i, v].numpy(), expected)
            expected = cropped(i, "worldcover_10m", "static", corner, 6)
            assert np.array_equal(batch["worldcover_10m"][i, v].numpy(), expected)
    (batch,) = open_shards(packed, batch_size=13, views="seasons", fields=fields)
    assert batch["worldcover_10m"].shape == (13, 2, 1, 24, 24)
    for i in range(13):
        drawn = batch["season"][i].tolist()
        assert sorted(drawn) == ([-1, 1] if i == NO_WINTER else [0, 1])
        if i == NO_WINTER:  # what is not there is marked, and never filled with the other
            assert drawn == [1, -1]
            assert not batch["season_ok"][i, 1]
            assert not batch["labels_known"][i, 1]
            assert (batch["s2l2a_10m"][i, 1].int() == 0).all()


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@pytest.mark.parametrize("crop_px", [None, 11, 12, 8])  # 12 and 8: sides of the coarser arrays
def test_upsampling_in_the_reader_is_the_one_on_the_device(packed, mode, crop_px):
    fields = ["s2l2a_10m", "s2l2a_20m", "s2l2a_scl_20m", "dem_30m"]
    plain = next(iter(open_shards(packed, batch_size=13, fields=fields)))
    fine = next(iter(open_shards(packed, batch_size=13, fields=fields, upsample=mode, crop_px=crop_px)))
    for name in fields:
        entry = arrays()[name]
        how = "nearest" if entry.role == "mask" else mode
        expected = upsample(plain[name], int(entry.res_m // 10), how, entry.nodata)
        for i in range(13):
            y, x = fine["crop_yx"][i].tolist() if crop_px else (0, 0)
            side = crop_px or 24
            found, wanted = fine[name][i], expected[i][..., y : y + side, x : x + side]
            assert same(found, wanted), name


@pytest.fixture(scope="module")
def beyond(tmp_path_factory) -> Path:
    """Samples of 25 px at 10 m, which pixels of 20 and 30 m do not divide: these arrays reach beyond the footprint."""
    folder = tmp_path_factory.mktemp("beyond") / "shards"
    make_shards(folder, {"train": [4]}, size=25)
    return folder


BEYOND = {"s2l2a_10m": 1, "s2l2a_20m": 2, "s2l2a_scl_20m": 2, "dem_30m": 3}


def test_arrays_that_reach_beyond_the_footprint_come_whole(beyond):
    batch = next(iter(open_shards(beyond, batch_size=4, fields=list(BEYOND))))
    assert {n: batch[n].shape[-1] for n in BEYOND} == {
        "s2l2a_10m": 25,
        "s2l2a_20m": 13,
        "s2l2a_scl_20m": 13,
        "dem_30m": 9,
    }
    entry = arrays(25)["dem_30m"]
    assert np.array_equal(batch["dem_30m"][0].numpy(), truth("train", 0, "dem_30m", "static", entry))


@pytest.mark.parametrize("crop_px", [None, 25, 11])
@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_upsampled_they_end_where_the_footprint_does(beyond, mode, crop_px):
    plain = next(iter(open_shards(beyond, batch_size=4, fields=list(BEYOND))))
    fine = next(iter(open_shards(beyond, batch_size=4, fields=list(BEYOND), upsample=mode, crop_px=crop_px)))
    side = crop_px or 25
    for name, factor in BEYOND.items():
        entry = arrays(25)[name]
        expected = upsample(plain[name], factor, "nearest" if entry.role == "mask" else mode, entry.nodata)
        assert fine[name].shape[-2:] == (side, side)
        for i in range(4):
            y, x = fine["crop_yx"][i].tolist() if crop_px else (0, 0)
            assert same(fine[name][i], expected[i][..., y : y + side, x : x + side])


def test_crops_of_them_lie_within_the_footprint_and_take_the_same_ground(beyond):
    dataset = open_shards(beyond, batch_size=4, fields=["s2l2a_10m", "s2l2a_20m"], crop_px=12)
    plain = next(iter(open_shards(beyond, batch_size=4, fields=["s2l2a_10m", "s2l2a_20m"])))
    seen = set()
    for epoch in range(8):
        dataset.set_epoch(epoch)
        (batch,) = dataset
        for i, (y, x) in enumerate(batch["crop_yx"].tolist()):
            seen |= {y, x}
            assert torch.equal(batch["s2l2a_10m"][i], plain["s2l2a_10m"][i][..., y : y + 12, x : x + 12])
            y, x = y // 2, x // 2
            assert torch.equal(batch["s2l2a_20m"][i], plain["s2l2a_20m"][i][..., y : y + 6, x : x + 6])
    assert seen == {0, 2, 4, 6, 8, 10, 12}
    with pytest.raises(ConfigError, match="crop_px = 26: expected multiples of 2 from 2 to 24"):
        open_shards(beyond, batch_size=4, fields=["s2l2a_10m", "s2l2a_20m"], crop_px=26)


def test_bilinear_upsampling_keeps_holes_and_means():
    flat = torch.full((1, 4, 4), 700, dtype=torch.int16)
    flat[0, 1, 1] = -9
    fine = upsample(flat, 3, "bilinear", -9)
    assert (fine[0, 3:6, 3:6] == -9).all()
    fine[0, 3:6, 3:6] = 700
    assert (fine == 700).all()
    heights = torch.full((1, 4, 4), 7.0)
    heights[0, 1, 1] = math.nan
    fine = upsample(heights, 3, "bilinear", math.nan)
    assert fine[0, 3:6, 3:6].isnan().all()
    assert torch.allclose(fine.nan_to_num(7.0), torch.full((1, 12, 12), 7.0))
    ramp = torch.arange(8, dtype=torch.float32).repeat(8, 1)[None]
    centres = (torch.arange(16) + 0.5) / 2 - 0.5
    assert torch.allclose(upsample(ramp, 2, "bilinear")[0, 5], centres.clamp(0, 7))
    with pytest.raises(ConfigError, match="factor 0"):
        upsample(ramp, 0, "nearest")
    with pytest.raises(ConfigError, match="expected 'nearest'"):
        upsample(ramp, 2, "cubic")


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.uint16, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("factor", [2, 3, 6])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (44, 7), (132, 132)])
def test_bilinear_is_what_torch_interpolates_of_doubles(dtype, factor, height, width):
    most = 255 if dtype is torch.uint8 else 32_000
    pixels = torch.from_numpy(np.random.default_rng(7).integers(0, most, (2, 3, height, width))).to(dtype)
    fine = upsample(pixels, factor, "bilinear")
    assert (fine.dtype, fine.shape) == (dtype, (2, 3, height * factor, width * factor))
    exact = torch.nn.functional.interpolate(pixels.double(), scale_factor=factor, mode="bilinear")
    most_off = (exact.abs() * (2**-8 if dtype is torch.bfloat16 else 1e-6)) + (0 if dtype.is_floating_point else 0.5)
    assert ((fine.double() - exact).abs() <= most_off + 1e-2).all()
    if factor == 2 and not dtype.is_floating_point:  # sixteenths, which single precision has exactly: halves to even
        assert torch.equal(fine.double(), exact.round())


def test_a_hole_in_one_band_changes_no_other():
    pixels = torch.from_numpy(np.random.default_rng(7).integers(1, 10_000, (4, 30, 20)).astype(np.uint16))
    whole = upsample(pixels, 2, "bilinear", 0)
    pixels[2, 5, 5] = 0
    fine = upsample(pixels, 2, "bilinear", 0)
    assert [torch.equal(a, b) for a, b in zip(fine, whole, strict=True)] == [True, True, False, True]
    beside = fine[2].clone()
    beside[8:14, 8:14] = whole[2, 8:14, 8:14]
    assert torch.equal(beside, whole[2])
    assert (fine[2] == 0).nonzero().tolist() == [[y, x] for y in (10, 11) for x in (10, 11)]


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.uint16, torch.bfloat16, torch.float64])
def test_nearest_repeats_pixels_of_any_dtype_and_lets_gradients_through(dtype):
    pixels = torch.arange(2 * 3 * 5).reshape(2, 3, 5).to(dtype)
    fine = upsample(pixels, 3, "nearest")
    assert fine.dtype == dtype
    assert fine.shape == (2, 9, 15)
    assert all(torch.equal(fine[:, y::3, x::3], pixels) for y in range(3) for x in range(3))
    real = torch.ones(1, 2, 2, requires_grad=True)
    upsample(real, 2, "nearest").sum().backward()
    assert torch.equal(real.grad, torch.full((1, 2, 2), 4.0))


@pytest.mark.parametrize("dtype", [None, torch.float32, torch.float64, torch.bfloat16])
def test_normalised_data_and_other_dtypes(packed, dtype):
    plain = next(iter(open_shards(packed, batch_size=13)))
    normal = next(iter(open_shards(packed, batch_size=13, normalize=True, dtype=dtype)))
    for name, entry in arrays().items():
        if entry.role != "data":
            assert same(normal[name], plain[name])
            continue
        mean = torch.arange(300.0, 300.0 + len(entry.bands)).reshape(-1, 1, 1)
        expected = (plain[name].float() - mean) / 50
        expected[plain[name].float() == entry.nodata] = 0
        assert normal[name].dtype == (dtype or torch.float32)
        tolerance = 0.01 if dtype is torch.bfloat16 else 1e-5
        assert torch.allclose(normal[name].float(), expected, rtol=tolerance, atol=1e-3)
    if dtype is not None:
        converted = next(iter(open_shards(packed, batch_size=13, dtype=dtype)))
        assert torch.equal(converted["s1rtc_10m"], plain["s1rtc_10m"].to(dtype))


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"crop_px": 25}, "multiples of 6 from 6 to 24"),
        ({"crop_px": 10}, "pixels of .10.0, 20.0, 30.0. m are read"),
        ({"crop_px": 25, "upsample": "nearest"}, "expected from 1 to 24"),
        ({"draw_seasons": 3}, "expected 1 to 2"),
        ({"draw_seasons": 1, "views": "seasons"}, "give one of them"),
        ({"views": "crops"}, "wants crop_px"),
        ({"views": "both"}, "expected one of None, seasons, crops"),
        ({"balance": True, "mix_shards": 2}, "expected one of them"),
        ({"remainder": "pad"}, "expected one of mask, drop"),
        ({"batch_size": 0}, "batch_size = 0: expected ≥ 1"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(packed, wrong, match):
    with pytest.raises(ConfigError, match=match):
        open_shards(packed, **wrong)


def test_samples_by_location_id(packed):
    view = open_shards(packed, crop_px=12, draw_seasons=1).by_id()
    assert len(view) == 13
    assert view.ids == [key_of(i) for i in range(13)]
    assert key_of(4) in view
    assert "nowhere" not in view
    assert view[key_of(4)]["key"] == view[4]["key"] == view[-9]["key"] == key_of(4)
    assert same(view[4]["s2l2a_10m"], view[key_of(4)]["s2l2a_10m"])
    with pytest.raises(KeyError, match="no sample 'nowhere' in split 'train'"):
        view["nowhere"]
    with pytest.raises(IndexError, match="row 13"):
        view[13]
    batches = DataLoader(view, batch_size=4, shuffle=True, num_workers=2)
    assert sorted(k for b in batches for k in b["key"]) == ALL


def test_balanced_epochs_show_each_label_as_much():
    rng = np.random.default_rng(0)
    fractions = rng.dirichlet([20, 3, 0.2], 3000).astype(np.float32)
    fractions[:100] = np.nan
    weights = plan.label_weights(fractions)
    assert weights.sum() == pytest.approx(1)
    rows = plan.balanced_order(weights, seed=1, epoch=0)
    counts = np.bincount(rows, minlength=3000)
    assert rows.size == 3000
    assert np.all(np.abs(counts - weights * 3000) < 1)
    shown = np.nansum(fractions[rows], axis=0)
    assert shown[2] / shown.sum() > 2.5 * np.nansum(fractions[:, 2]) / np.nansum(fractions)
    # Where a sample has one label only, each of three comes as often as the others, however rare.
    alone = np.eye(3, dtype=np.float32)[[0] * 900 + [1] * 99 + [2]]
    rows = plan.balanced_order(plan.label_weights(alone), seed=1, epoch=0)
    assert np.abs(alone[rows].sum(axis=0) - 1000 / 3).max() <= 2
    assert not np.array_equal(rows, plan.balanced_order(weights, seed=1, epoch=1))


def test_a_balanced_dataset_draws_by_the_fractions_it_was_packed_with(packed):
    dataset = open_shards(packed, batch_size=13, balance=True)
    (batch,) = dataset
    assert set(batch["key"]) <= set(ALL)
    assert [key_of(int(r)) for r in dataset.rows()] == batch["key"]


# ---- exactness and going on


RANKS = st.integers(1, 4)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=9), RANKS, st.integers(0, 3), st.integers(1, 5), st.booleans())
def test_every_sample_once_for_any_ranks_workers_and_shards(shards, ranks, workers, batch, drop):
    n, remainder = sum(shards), "drop" if drop else "mask"
    order = plan.epoch_order(shards, shuffle=True, seed=1, epoch=2)
    by_step = {}
    for rank in range(ranks):
        count = 0
        for worker in range(max(workers, 1)):
            positions, pads = plan.deal(
                n, rank=rank, world_size=ranks, worker=worker, workers=max(workers, 1), batch=batch, remainder=remainder
            )
            for k, (row, pad) in enumerate(zip(positions, pads, strict=True)):
                by_step.setdefault(worker + k * max(workers, 1), []).extend(order[row[~pad]].tolist())
            count += len(positions)
        assert count == plan.steps(n, world_size=ranks, batch=batch, remainder=remainder)
    delivered = [row for step in sorted(by_step) for row in sorted(by_step[step])]
    together = ranks * batch
    kept = n // together * together if drop else n
    assert delivered == [r for at in range(0, kept, together) for r in sorted(order[at : min(at + together, kept)])]


@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(RANKS, st.integers(1, 4), RANKS, st.integers(1, 4), st.integers(1, 2), st.randoms(use_true_random=False))
def test_an_epoch_goes_on_with_other_ranks_and_batch_sizes(packed, ranks, size, new_ranks, new_size, workers, rnd):
    def opened(rank, world, batch):
        return open_shards(
            packed, batch_size=batch, rank=rank, world_size=world, shuffle=True, seed=9, fields=[], threads=1
        )

    def keys(batch):
        return [k for k, pad in zip(batch["key"], batch["is_pad"].tolist(), strict=True) if not pad]

    stop = rnd.randint(0, len(opened(0, ranks, size)))
    used, states = [], []
    for rank in range(ranks):
        dataset = opened(rank, ranks, size)
        dataset.set_epoch(3)
        batches = iter(dataset)
        for _ in range(stop):
            used += keys(next(batches))
        states.append(dataset.state_dict(steps=stop))
        batches.close()
    assert all(s == states[0] for s in states)
    rest = []
    for rank in range(new_ranks):
        dataset = opened(rank, new_ranks, new_size)
        dataset.load_state_dict(states[0])
        assert dataset.epoch == 3
        left = len(dataset)
        batches = list(loader(dataset, workers if rank == 0 and rnd.random() < 0.3 else 0))
        assert len(batches) == left
        rest += [k for b in batches for k in keys(b)]
        if rank == 0:
            dataset.set_epoch(4)
            assert len(list(dataset)) == -(-13 // (new_ranks * new_size))
    assert sorted(used + rest) == ALL


@pytest.mark.parametrize("workers", [0, 2])
def test_what_was_loaded_is_used_once(packed, workers):
    dataset = open_shards(packed, batch_size=3)
    for step, _ in enumerate(dataset, 1):
        if step == 2:
            break
    state = dataset.state_dict()
    assert state["consumed"] == 6
    other = open_shards(packed, batch_size=3)
    other.load_state_dict(state)
    batches = loader(other, workers, persistent_workers=workers > 0)
    assert [k for b in batches for k in b["key"]][:7] == [key_of(i) for i in range(6, 13)]
    assert sorted({k for b in batches for k in b["key"]}) == ALL  # the same epoch again is the whole of it


def test_with_workers_the_state_wants_the_number_of_steps_used(packed):
    dataset = open_shards(packed, batch_size=3)
    for step, _ in enumerate(loader(dataset, 2), 1):
        if step == 2:
            break
    with pytest.raises(ConfigError, match=r"state_dict\(steps=n\)"):
        dataset.state_dict()
    assert dataset.state_dict(steps=2)["consumed"] == 6


def test_a_state_of_something_else_is_refused_with_both_values(packed):
    state = open_shards(packed, seed=1).state_dict()
    with pytest.raises(ConfigError, match="seed = 1, but this dataset has 2"):
        open_shards(packed, seed=2).load_state_dict(state)
    with pytest.raises(ConfigError, match="split = 'train', but this dataset has 'val'"):
        open_shards(packed, "val", seed=1).load_state_dict(state)
    with pytest.raises(ConfigError, match="content_sha256 = 'x', but"):
        open_shards(packed, seed=1).load_state_dict({**state, "content_sha256": "x"})
    with pytest.raises(ConfigError, match="version None"):
        open_shards(packed).load_state_dict({})


def test_dropping_the_remainder_names_it(packed):
    dataset = open_shards(packed, batch_size=4, remainder="drop", shuffle=True)
    seen = [k for b in dataset for k in b["key"]]
    assert len(dataset) == 3
    assert sorted(seen + dataset.dropped()) == ALL
    assert len(dataset.dropped()) == 1


# torchdata 0.11 calls a torch function that torch 2.13 has put out of use.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning")
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("batch_size", [None, 3])
def test_torchdata_goes_on_in_the_middle_of_an_epoch(packed, workers, batch_size):
    from torchdata.stateful_dataloader import StatefulDataLoader

    def opened():
        dataset = open_shards(packed, batch_size=batch_size, shuffle=True)
        return StatefulDataLoader(dataset, batch_size=None, num_workers=workers)

    def keys(batches):
        return [k for b in batches for k in ([b["key"]] if batch_size is None else b["key"])]

    whole = keys(opened())
    for stop in random.Random(0).sample(range(1, len(whole) // (batch_size or 1)), 2):
        first, seen = opened(), []
        for step, batch in enumerate(first, 1):
            seen += keys([batch])
            if step == stop:
                state = first.state_dict()
                break
        second = opened()
        second.load_state_dict(state)
        assert seen + keys(second) == whole


# webdataset leaves the last file it read to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed file", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_stock_webdataset_reads_the_shards_with_our_decoder(packed):
    import webdataset as wds

    tars = sorted(str(p) for p in (packed / "train").glob("*.tar"))
    found = list(wds.WebDataset(tars, shardshuffle=False).decode(decoder))
    assert len(found) == 13
    for i, sample in enumerate(found):
        expected = truth("train", i, "worldcover_10m", "static", arrays()["worldcover_10m"])
        assert np.array_equal(sample["worldcover_10m.npy.blosc"], expected)
        assert sample["dem_30m.npy"].dtype == np.float32


def test_a_choice_of_bands_of_a_batch_is_these_bands_in_this_order(packed):
    dataset = open_shards(packed, batch_size=2, fields=["s2l2a_10m"])
    batch = next(iter(dataset))
    chosen = dataset.channels("s2l2a_10m").select(bands=["B08", "B02"])
    assert chosen.bands == ("s2l2a.b08", "s2l2a.b02")
    got = chosen.of(batch["s2l2a_10m"])
    assert got.dtype is torch.uint16
    entry = arrays()["s2l2a_10m"]
    for i, key in enumerate(batch["key"]):
        number = next(n for n in range(13) if key_of(n) == key)
        for at, season in enumerate(SEASONS):
            expected = truth("train", number, "s2l2a_10m", season, entry)[
                [entry.bands.index(b) for b in ("B08", "B02")]
            ]
            assert np.array_equal(got[i, at].numpy(), expected)
    with pytest.raises(ConfigError, match="no array 's2l2a'; expected one of: dem_30m"):
        dataset.channels("s2l2a")
