"""Several datasets in one loader: each batch of one, each sample once, the same on whatever ranks and workers."""

import inspect
import itertools
import json
import math
import os
import pickle
import shutil
import subprocess
import sys
import tarfile
from dataclasses import replace as replaced

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from scipy.stats import binom
from torch.utils.data import DataLoader

from curation.errors import ConfigError, DamageError
from curation.stream import Part, open_mix, open_shards, select_bands
from curation.stream.image import image_of
from curation.stream.layout import Selection, layout
from tests.processes import started
from tests.properties import fast
from tests.stream.mixes import (
    AERIAL,
    ENTRIES,
    S2,
    SEASONS,
    SIZES,
    entry,
    is_hole,
    key_of,
    pack,
    spectrum,
    there,
    truth,
)

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than cores


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The three datasets: read only."""
    root = tmp_path_factory.mktemp("mix")
    for name, samples in SIZES.items():
        pack(root / name, name, samples)
    return root


def parts(folders):
    return {
        "aerial": folders / "aerial",
        "radar": Part(folders / "radar"),
        "s2": Part(folders / "s2", arrays=["s2l2a_10m"]),
    }


def opened(folders, **more):
    return open_mix(parts(folders), **({"batch_size": 16, "seed": 3} | more))


def named(batches):
    """(part, keys without what fills up) of each batch."""
    return [
        (b["dataset"], tuple(k for k, pad in zip(b["key"], b["is_pad"].tolist(), strict=True) if not pad))
        for b in batches
    ]


def samples(batches):
    return [(dataset, key) for dataset, keys in named(batches) for key in keys]


ALL = [(name, key_of(name, n)) for name, size in SIZES.items() for n in range(size)]


@pytest.fixture(scope="module")
def epochs(folders):
    """What comes of two epochs, read by one process."""
    mix = opened(folders)
    return [named(mix) for _ in range(2)]


# ---- what a batch is


def test_every_batch_is_of_one_signature_and_holds_what_was_packed(folders):
    mix, of = opened(folders), {"aerial": "naip_1m", "radar": "s1rtc_10m", "s2": "s2l2a_10m"}
    assert {name: part.signatures[0].bands for name, part in mix.parts.items()} == {
        "aerial": tuple(b.name for b in AERIAL),
        "radar": ("s1.vv", "s1.vh"),
        "s2": tuple(b.name for b in S2),
    }
    seen = set()
    for batch in mix:
        name = batch["dataset"]
        stored = ENTRIES[name][of[name]]
        seen.add(name)
        assert batch["image"].shape == batch["valid"].shape == (16, *stored.shape)
        assert batch["image"].dtype == getattr(torch, stored.dtype)
        assert batch["bands"] == [b.name for b in stored.canonical]
        assert (batch["ground_m"], batch["unit"]) == (stored.res_m, [stored.unit] * stored.shape[0])
        expected = [b.wavelength_nm() for b in stored.canonical]
        assert batch["wavelength_nm"].dtype == torch.float32
        assert batch["wavelength_nm"].tolist() == np.array(expected, np.float32).tolist()
        for i, key in enumerate(batch["key"]):
            number = int(key.removeprefix(f"{name}-"))
            assert batch["lon"][i] == 9 + number / 1000
            season = int(batch["season"][i]) if "season" in batch else None
            has = there(stored.source, number)
            assert season is None or season in (has or [-1])
            time = {None: -1, -1: -1, 0: 1610704800, 1: 1626343200}[season]
            assert int(batch["time"][i]) == time
            if season == -1:
                assert not batch["valid"][i].any()
                assert (batch["image"][i].numpy() == stored.nodata).all()
                continue
            pixels = truth(of[name], stored, number, -1 if season is None else season)
            assert np.array_equal(batch["image"][i].numpy(), pixels)
            assert np.array_equal(batch["valid"][i].numpy(), ~is_hole(stored.shape, number))
    assert seen == set(SIZES)


def test_the_first_entry_of_a_batch_is_a_tensor_of_its_size_and_keys_come_last(folders):
    batch = next(iter(opened(folders)))
    assert next(iter(batch)) == "image"
    assert list(batch)[-1] == "key"


def test_arrays_are_stacked_in_the_order_of_bands_and_converted_to_one_type(folders):
    bands = ["dem.elevation", "s2.b08", "s2.b02", "SCL"]
    part = Part(folders / "s2", ["s2l2a_10m", "dem_10m", "scl_10m"], bands, seasons=["summer"], require={"s2l2a"})
    mix = open_mix({"both": part}, batch_size=10, shuffle=False)
    assert [s.bands for s in mix.parts["both"].signatures] == [(b,) for b in [*bands[:3], "s2.scl"]]
    assert [s.unit for s in mix.parts["both"].signatures] == ["m", "1e-4", "1e-4", "class"]
    batch = next(iter(mix))
    assert batch["image"].dtype == torch.float32
    assert math.isnan(batch["wavelength_nm"][0])  # a height has none: never 0
    assert batch["wavelength_nm"][1:3].tolist() == [842, 490]
    for i, key in enumerate(batch["key"]):
        number = int(key[3:])
        planes = {
            band.name: (plane, of.nodata)
            for name, of in ENTRIES["s2"].items()
            for band, plane in zip(of.canonical, truth(name, of, number, 1 if of.seasons else -1), strict=True)
        }
        for c, band in enumerate(batch["bands"]):
            assert np.array_equal(batch["image"][i, c].numpy(), planes[band][0].astype(np.float32))
            assert np.array_equal(batch["valid"][i, c].numpy(), planes[band][0] != planes[band][1])


@pytest.mark.parametrize("dtype", [None, torch.float64, torch.bfloat16])
def test_normalised_is_what_the_statistics_say_and_0_where_there_is_no_data(folders, dtype):
    part = Part(folders / "s2", ["s2l2a_10m", "scl_10m"], ["s2.b08", "s2.b03", "s2.scl"], seasons=["summer"])
    batch = next(iter(open_mix({"a": part}, batch_size=8, shuffle=False, normalize=True, dtype=dtype)))
    stored = next(iter(open_mix({"a": part}, batch_size=8, shuffle=False)))
    assert batch["image"].dtype == (dtype or torch.float32)
    assert torch.equal(batch["valid"], stored["valid"])
    expected = stored["image"].double()
    for c, at in enumerate([3, 1]):
        expected[:, c] = (expected[:, c] - (300 + at)) / (50 + at)
        expected[:, c][~batch["valid"][:, c]] = 0
    exact = 0.01 if dtype is torch.bfloat16 else 1e-5
    assert torch.allclose(batch["image"].double(), expected, rtol=exact, atol=exact)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_type_that_is_asked_for_changes_no_value(folders, dtype):
    one, other = (next(iter(opened(folders, dtype=d, shuffle=False))) for d in (None, dtype))
    assert other["image"].dtype is dtype
    assert torch.equal(other["image"], one["image"].to(dtype))
    assert torch.equal(other["valid"], one["valid"])


def test_some_bands_of_an_array_come_as_they_are_stored(folders):
    some = Part(folders / "s2", ["s2l2a_10m"], ["s2.b03", "s2.b04"], seasons=["summer"])
    batch = next(iter(open_mix({"a": some}, batch_size=4, shuffle=False)))
    whole = next(iter(open_mix({"a": replaced(some, bands=None)}, batch_size=4, shuffle=False)))
    assert batch["image"].dtype == whole["image"].dtype == torch.uint16
    assert torch.equal(batch["image"], whole["image"][:, 1:3])


def test_coarser_arrays_are_brought_to_the_finest_where_that_is_asked_for_and_crops_are_theirs(folders):
    arrays = ["s2l2a_20m", "s2l2a_10m"]
    part = Part(folders / "s2", arrays, upsample="nearest", crop_px=4, seasons=["summer"])
    mix = open_mix({"all": part}, batch_size=5)
    assert [(s.ground_m, s.size_px) for s in mix.parts["all"].signatures] == [(10, (4, 4))] * 2
    batch = next(iter(mix))
    for i, key in enumerate(batch["key"]):
        coarse, fine = (truth(a, ENTRIES["s2"][a], int(key[3:]), 1) for a in arrays)
        y, x = batch["crop_yx"][i].tolist()
        whole = np.concatenate([coarse.repeat(2, 1).repeat(2, 2), fine])
        if there("s2l2a", int(key[3:])):
            assert np.array_equal(batch["image"][i].numpy(), whole[:, y : y + 4, x : x + 4])


# ---- bands


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chosen=st.lists(st.sampled_from(range(4)), min_size=2, unique=True), by_name=st.booleans())
def test_a_linear_model_of_value_and_wavelength_predicts_the_spectrum_from_any_bands(folders, chosen, by_name):
    whole = _one_batch(folders)
    batch = select_bands(whole, [whole["bands"][c] for c in chosen] if by_name else chosen)
    nm = batch["wavelength_nm"].double().numpy()
    for i, key in enumerate(batch["key"]):
        if not whole["valid"][i].any():
            continue
        ok = whole["valid"][i].all(0)  # a pixel with all bands
        seen = batch["image"][i].double().numpy()[:, ok.numpy()]
        slope, offset = np.polyfit(nm, seen, 1)
        number, season = int(key[3:]), int(whole["season"][i])
        assert slope == pytest.approx(spectrum(number, season)[1])
        y, x = np.nonzero(ok.numpy())
        assert offset == pytest.approx(spectrum(number, season)[0] + 10 * y + x)
        every = whole["image"][i].double().numpy()[:, ok.numpy()]
        assert every == pytest.approx(offset + slope * whole["wavelength_nm"].double().numpy()[:, None])


_batches = {}


def _one_batch(folders):
    if folders not in _batches:
        _batches[folders] = next(b for b in opened(folders) if b["dataset"] == "s2")
    return _batches[folders]


def test_select_bands_keeps_all_that_is_per_band_together_and_leaves_the_batch(folders):
    whole = _one_batch(folders)
    batch = select_bands(whole, ["s2.b08", "s2.b03"])
    assert (batch["bands"], batch["wavelength_nm"].tolist(), batch["unit"]) == (
        ["s2.b08", "s2.b03"],
        [842, 560],
        ["1e-4"] * 2,
    )
    assert torch.equal(batch["image"], torch.stack([whole["image"][:, 3], whole["image"][:, 1]], 1))
    assert torch.equal(batch["valid"], torch.stack([whole["valid"][:, 3], whole["valid"][:, 1]], 1))
    assert whole["image"].shape[1] == 4
    assert batch["key"] == whole["key"]


@pytest.mark.parametrize(
    ("bands", "match"),
    [
        (["s2.b99"], r"no \['s2.b99'\]; expected some of: s2.b02"),
        ([4], r"no \[4\]"),
        ([-1], r"no \[-1\]"),
        ([True], r"no \[True\]"),
        (["s2.b02", 0], "each once"),
        ([], "at least one"),
        ("s2.b02", "expected a list"),
    ],
)
def test_bands_that_are_not_there_or_twice_are_refused(folders, bands, match):
    with pytest.raises(ConfigError, match=match):
        select_bands(_one_batch(folders), bands)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            lambda b: {"s2l2a_10m": b["image"], "key": b["key"]},
            r"has no 'image', 'valid', 'bands'.*as open_mix gives it",
        ),
        (lambda b: {n: v for n, v in b.items() if n != "valid"}, "batch: has no 'valid'; expected"),
        (lambda b: {**b, "image": b["image"][:, :2]}, "image 2, valid 4, bands 4"),
    ],
)
def test_bands_of_what_is_no_batch_of_a_mix_are_refused(folders, change, match):
    with pytest.raises(ConfigError, match=match):
        select_bands(change(_one_batch(folders)), ["s2.b02"])


def test_another_order_of_bands_in_a_file_changes_nothing_that_is_seen_by_name(folders, tmp_path):
    turned = entry("s2l2a", S2[::-1], 8, 10.0)
    pack(tmp_path / "turned", "s2", 40, {"s2l2a_10m": turned})
    pack(tmp_path / "plain", "s2", 40, {"s2l2a_10m": ENTRIES["s2"]["s2l2a_10m"]})
    names = [b.name for b in S2]

    def batches(folder, bands):
        return list(open_mix({"s2": Part(tmp_path / folder, bands=bands)}, batch_size=8))

    for one, other, free in zip(
        batches("plain", names), batches("turned", names), batches("turned", None), strict=True
    ):
        assert free["bands"] == names[::-1]
        for batch in (other, select_bands(free, names)):
            assert batch["key"] == one["key"]
            assert batch["bands"] == one["bands"]
            assert torch.equal(batch["wavelength_nm"], one["wavelength_nm"])
            clear = one["valid"] & batch["valid"]  # holes are of the last band of each file
            assert torch.equal(batch["image"].int()[clear], one["image"].int()[clear])
            assert clear.float().mean() > 0.9


# ---- an epoch


def test_an_epoch_is_each_sample_once_and_another_one_has_another_order(epochs):
    for epoch in epochs:
        assert sorted((d, k) for d, keys in epoch for k in keys) == sorted(ALL)
    assert epochs[0] != epochs[1]


def test_the_seed_says_the_order_and_the_order_of_parts_does_not(folders, epochs):
    assert named(opened(folders)) == epochs[0]
    turned = dict(reversed(parts(folders).items()))
    assert named(open_mix(turned, batch_size=16, seed=3)) == epochs[0]
    assert named(opened(folders, seed=4)) != epochs[0]


def test_a_part_that_is_left_out_changes_no_other(folders, epochs):
    two = {name: part for name, part in parts(folders).items() if name != "radar"}
    expected = [step for step in epochs[0] if step[0] != "radar"]
    assert named(open_mix(two, batch_size=16, seed=3)) == expected


def test_ranks_take_equal_steps_of_the_same_parts_and_share_out_every_sample(folders):
    ranks = [named(opened(folders, rank=r, world_size=2)) for r in range(2)]
    assert [d for d, _ in ranks[0]] == [d for d, _ in ranks[1]]
    assert len(opened(folders, rank=0, world_size=2)) == len(ranks[0])
    assert sorted((d, k) for rank in ranks for d, keys in rank for k in keys) == sorted(ALL)


def test_drop_leaves_out_what_fills_no_step_and_names_it(folders):
    mix = opened(folders, remainder="drop")
    seen, dropped = samples(mix), mix.dropped()
    assert {name: len(ids) for name, ids in dropped.items()} == {n: size % 16 for n, size in SIZES.items()}
    assert sorted(seen + [(name, key) for name, ids in dropped.items() for key in ids]) == sorted(ALL)
    with pytest.raises(ConfigError, match="nothing of the 250 samples of part 'radar' in steps of 300"):
        list(opened(folders, remainder="drop", batch_size=300))


def test_each_part_may_have_batches_of_its_own_size(folders):
    mix = open_mix({**parts(folders), "radar": Part(folders / "radar", batch_size=5)}, batch_size=16)
    sizes = {(b["dataset"], len(b["key"])) for b in mix}
    assert sizes == {("radar", 5), ("s2", 16), ("aerial", 16)}


WEIGHTS = {"aerial": 1.0, "radar": 6.0, "s2": 3.0}


def test_resampled_draws_by_weight_each_of_a_parts_samples_as_often_as_any_other(folders):
    mix = opened(folders, resampled=True, weights=WEIGHTS, batch_size=1)
    counts = dict.fromkeys(SIZES, 0)
    for dataset, _ in (first := named(mix)):
        counts[dataset] += 1
    for name, weight in WEIGHTS.items():
        low, high = binom.interval(0.99, 1000, weight / 10)
        assert low <= counts[name] <= high
    assert counts == {"aerial": 100, "radar": 600, "s2": 300}  # and to the sample
    often: dict = {}
    for dataset, keys in first + named(mix) + named(mix):
        for key in keys:
            often[dataset, key] = often.get((dataset, key), 0) + 1
    for name, size in SIZES.items():
        times = [often.get((name, key_of(name, n)), 0) for n in range(size)]
        assert sum(times) == 3 * counts[name]
        assert max(times) - min(times) <= 1


def test_any_part_of_a_resampled_epoch_has_the_weights_too(folders):
    steps = [d for d, _ in named(opened(folders, resampled=True, weights=WEIGHTS, batch_size=1))]
    for begin in range(0, 1000, 100):
        of = steps[begin : begin + 100]
        assert all(abs(of.count(name) - 10 * weight) <= 4 for name, weight in WEIGHTS.items())


def test_weights_say_how_soon_where_each_sample_comes_once(folders):
    steps = [d for d, _ in named(opened(folders, weights=WEIGHTS, batch_size=1))]
    assert {name: steps.count(name) for name in SIZES} == SIZES
    ends = {name: max(i for i, d in enumerate(steps) if d == name) for name in SIZES}
    assert ends["radar"] < ends["s2"] < ends["aerial"]
    assert abs(steps[:200].count("radar") - 120) <= 4


def test_a_temperature_makes_small_parts_come_oftener(folders):
    even = opened(folders, resampled=True, temperature=math.inf, epoch_samples=300)
    assert {n: p.samples for n, p in even.parts.items()} == dict.fromkeys(SIZES, 100)
    warm = opened(folders, resampled=True, temperature=2)
    assert warm.parts["radar"].samples / warm.parts["s2"].samples == pytest.approx(math.sqrt(250 / 400), abs=0.01)


# ---- workers, ranks, going on


@pytest.mark.parametrize(
    "how",
    fast(
        [{}, {"num_workers": 1}, {"num_workers": 2, "persistent_workers": True}],
        [
            {},
            {"num_workers": 1},
            {"num_workers": 2},
            {"num_workers": 2, "persistent_workers": True},
            {"num_workers": 2, "persistent_workers": True, "multiprocessing_context": "spawn"},
            {"num_workers": 3, "pin_memory": False},
        ],
    ),
    ids=str,
)
def test_workers_deliver_the_same_batches_in_the_same_order(folders, epochs, how):
    loader = DataLoader(opened(folders), batch_size=None, **how)
    assert [named(loader) for _ in range(2)] == epochs
    assert len(loader) == len(epochs[0])


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_that_are_kept_are_what_they_were_whichever_process_read_them(folders, workers):
    def told(loader):
        return {(b["dataset"], k): b["image"][i].clone() for b in loader for i, k in enumerate(b["key"])}

    expected = told(opened(folders))
    held = list(DataLoader(opened(folders), batch_size=None, num_workers=workers))
    assert len(held) > 16  # more than there are slots
    for batch in held:
        for i, key in enumerate(batch["key"]):
            assert torch.equal(batch["image"][i], expected[batch["dataset"], key])


def test_going_on_after_any_step_is_the_rest_of_the_epoch_and_then_the_next(folders):
    how = {"batch_size": 90}
    mix = opened(folders, **how)
    whole, after = named(mix), named(mix)
    assert len(whole) == 12
    for steps in range(len(whole) + 1):
        mix = opened(folders, **how)
        list(itertools.islice(mix, 1))
        state = json.loads(json.dumps(mix.state_dict(steps)))
        again = opened(folders, **how)
        again.load_state_dict(state)
        assert len(again) == len(whole) - steps
        assert named(again) == whole[steps:]
        if steps in (0, 5, 12):
            assert named(again) == after


def test_going_on_twice_is_going_on_from_where_the_second_stood(folders, epochs):
    first = opened(folders)
    list(itertools.islice(first, 3))
    second = opened(folders)
    second.load_state_dict(first.state_dict(steps=3))
    seen = list(itertools.islice(DataLoader(second, batch_size=None, num_workers=2), 4))
    assert named(seen) == epochs[0][3:7]
    third = opened(folders)
    third.load_state_dict(second.state_dict(steps=4))
    assert named(third) == epochs[0][7:]
    assert named(third) == epochs[1]


def test_other_ranks_and_batches_go_on_with_the_samples_that_are_left(folders):
    ranks = [opened(folders, rank=r, world_size=2) for r in range(2)]
    seen = [s for r in ranks for s in samples(itertools.islice(r, 11))]
    state = ranks[0].state_dict(steps=11)
    assert state == ranks[1].state_dict(steps=11)
    rest = []
    for rank in range(3):
        mix = opened(folders, rank=rank, world_size=3, batch_size=7)
        mix.load_state_dict(state)
        rest += samples(mix)
    assert sorted(seen + rest) == sorted(ALL)


def test_a_state_after_the_end_is_the_next_epoch_and_a_resampled_one_goes_on_too(folders):
    how = {"resampled": True, "weights": WEIGHTS, "epoch_samples": 200, "batch_size": 8}
    mix = opened(folders, **how)
    whole = [named(mix), named(mix)]
    again = opened(folders, **how)
    named(again)
    third = opened(folders, **how)
    third.load_state_dict(again.state_dict())
    assert named(third) == whole[1]
    third.set_epoch(0)
    assert named(third) == whole[0]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning")
@pytest.mark.parametrize("workers", [0, 2])
def test_torchdatas_loader_goes_on_within_an_epoch_and_then_with_the_next(folders, epochs, workers):
    from torchdata.stateful_dataloader import StatefulDataLoader

    def loader():
        return StatefulDataLoader(opened(folders), batch_size=None, num_workers=workers)

    first = loader()
    seen = list(itertools.islice(first, 5))
    state = first.state_dict()
    second = loader()
    second.load_state_dict(state)
    assert named(seen) + named(second) == epochs[0]
    assert named(second) == epochs[1]


RANK = """
import json, os, sys
import torch.distributed
from pathlib import Path
from torch.utils.data import DataLoader
from tests.stream.test_mix import named, opened
torch.distributed.init_process_group("gloo")
mix = opened(Path(sys.argv[1]))
loader = DataLoader(mix, batch_size=None, num_workers=1)
steps = []
for step in named(loader):
    torch.distributed.barrier()  # a rank with more steps than another would wait for ever
    steps.append(step)
Path(sys.argv[2], f"{mix.rank}.json").write_text(json.dumps([mix.world_size, steps]))
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_ranks_of_torchrun_take_equal_steps_and_share_out_every_sample(folders, tmp_path):
    script = tmp_path / "rank.py"
    script.write_text(RANK)
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    with started(
        [sys.executable, *launcher, script, folders, tmp_path],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
    ) as process:
        _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    found = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    assert [size for size, _ in found] == [2, 2]
    assert [d for d, _ in found[0][1]] == [d for d, _ in found[1][1]]
    assert sorted((d, k) for _, steps in found for d, keys in steps for k in keys) == sorted(ALL)


# ---- from elsewhere


@pytest.mark.parametrize("how", [{}, {"cache_gb": 1.0}])
def test_parts_of_one_dataset_elsewhere_share_its_tables_and_a_cache_its_shards(server, packed, tmp_path, how):
    url, log = server
    arrays = {"s2": "s2l2a_10m", "s1": "s1rtc_10m", "wc": "worldcover_10m"}
    how = {**how, "cache_dir": tmp_path / "cache"} if how else {}

    def batches(where, **more):
        mix = open_mix({n: Part(where, [a]) for n, a in arrays.items()}, batch_size=5, **more)
        return list(DataLoader(mix, batch_size=None, num_workers=1))

    before = len(log.read_text().splitlines()) if log.exists() else 0
    for one, other in zip(batches(f"{url}/shards", **how), batches(packed), strict=True):
        assert (one["dataset"], one["key"]) == (other["dataset"], other["key"])
        assert torch.equal(one["image"], other["image"])
    asked = [json.loads(line)[:2] for line in log.read_text().splitlines()[before:]]
    assert asked.count(["GET", "/shards/train/members.arrow"]) == 1
    if how:
        assert max(asked.count(a) for a in asked if a[0] == "GET" and a[1].endswith(".tar")) == 1


# ---- what is refused


def test_a_state_of_another_mix_is_refused_with_both_values(folders):
    state = opened(folders).state_dict(0)
    for more, match in (
        ({"seed": 4}, r"state of parts\.aerial\.seed = -?\d+, but this mix has -?\d+: it can"),
        ({"weights": WEIGHTS}, "state of weights = None, but this mix has"),
        ({"resampled": True}, "state of resampled = False"),
        ({"shuffle": False}, r"state of parts\.aerial\.shuffle = True, but this mix has False: it can"),
    ):
        with pytest.raises(ConfigError, match=match):
            opened(folders, **more).load_state_dict(state)
    two = {name: part for name, part in parts(folders).items() if name != "radar"}
    with pytest.raises(ConfigError, match="state of parts: names = 'aerial, radar, s2', but this mix has 'aerial, s2'"):
        open_mix(two, batch_size=16, seed=3).load_state_dict(state)


@pytest.mark.parametrize("bad", [None, True, -1, 1.0, "1", 2**70, float("nan"), [], {}])
def test_each_field_of_a_state_is_refused_with_any_value_that_no_state_has(folders, bad):
    mix = opened(folders)
    good = mix.state_dict(0)
    worker = {**good, "steps": 0, "worker": 0, "workers": 2, "ranks": 1, "batch": dict(good["together"])}
    del worker["together"]
    for state in (good, worker):
        mix.load_state_dict(pickle.loads(pickle.dumps(state)))
        for name, value in state.items():
            if bad is True and value is True:
                continue
            changed = [{**state, name: bad}] if not (bad is None and value is None) else []
            if name in ("consumed", "together", "batch"):
                changed += [{**state, name: {**value, "s2": bad}}, {**state, name: {**value, "s3": 1}}]
            for one in changed:
                with pytest.raises(ConfigError, match="state "):
                    mix.load_state_dict(one)
    with pytest.raises(ConfigError, match="which this mix's has not"):
        mix.load_state_dict({**good, "more": 1})
    with pytest.raises(ConfigError, match="expected at most"):
        mix.state_dict(steps=10_000)
    beyond = {**good, "consumed": {**good["consumed"], "s2": 400 + 16}}
    with pytest.raises(ConfigError, match="consumed of s2 = 416: expected a whole number from 0 to 415"):
        mix.load_state_dict(beyond)


def test_a_part_that_makes_no_image_says_what_to_choose(folders):
    s2 = folders / "s2"
    for part, match in (
        (s2, r"part 's2' .*which arrays make the image\? say Part\(…, arrays=\[…\]\).*s2l2a_20m \(4 px of 20.0 m\)"),
        (Part(s2, ["s2l2a_10m", "s2l2a_20m"]), r"s2l2a_10m: 8 px of 10 m; s2l2a_20m: 4 px of 20 m: .*upsample="),
        (Part(s2, ["s2l2a_60m"]), r"arrays: no \['s2l2a_60m'\]; expected some of: dem_10m"),
        (Part(s2, "s2l2a_10m"), "expected a list of names"),
        (Part(s2, []), "at least one"),
        (Part(s2, ["dem_10m"], ["s2.b02"]), "bands: 's2.b02' is not there; expected some of: dem.elevation"),
        (Part(s2, ["dem_10m"], []), "at least one"),
        (Part(s2, ["dem_10m"], "dem.elevation"), "expected a list of names"),
        (Part(s2, ["s2l2a_10m"], ["s2.b02", "B02"]), "each once"),
        (Part(s2, ["s2l2a_10m"], seasons=["spring"]), r"part 's2': seasons: no \['spring'\]"),
        (Part(s2, ["s2l2a_10m"], split="test"), "no split 'test'"),
        (Part(s2, ["s2l2a_10m"], crop_px=9), "part 's2': crop_px = 9"),
        (Part(s2, ["s2l2a_10m"], batch_size=0), "part 's2': batch_size = 0"),
        (
            Part(s2, ["s2l2a_10m"], beside=["dem_10m"]),
            r"beside = \['dem_10m'\]: arrays are no entries beside the image",
        ),
    ):
        with pytest.raises(ConfigError, match=match):
            open_mix({"s2": part}, batch_size=2)


@pytest.mark.parametrize(
    ("more", "match"),
    [
        ({"weights": {"s2": 1}}, "expected one of each part"),
        ({"temperature": 0, "resampled": True}, "temperature = 0"),
        ({"temperature": 2}, "temperature = 2 with resampled = False: each sample comes once .* resampled=True"),
        ({"epoch_samples": 10}, "with resampled=True"),
        ({"epoch_samples": 0, "resampled": True}, "epoch_samples = 0"),
        ({"epoch_samples": 2, "resampled": True}, "none of the 2 samples"),
        ({"remainder": "pad"}, "remainder = 'pad'"),
        ({"batch_size": 0}, "batch_size = 0"),
        ({"batch_size": None}, "batch_size = None"),
        ({"dtype": torch.int8}, "dtype = torch.int8"),
        ({"rank": 2, "world_size": 2}, "rank = 2"),
        ({"seed": 2**63}, "seed"),
    ],
)
def test_options_that_say_nothing_are_refused(folders, more, match):
    with pytest.raises(ConfigError, match=match):
        opened(folders, **more)


def test_what_a_mix_and_a_dataset_are_both_told_is_told_alike():
    """Names, order, types and defaults; but samples of a mix are shuffled, unless that is not wanted."""
    one, many = (inspect.signature(of).parameters for of in (open_shards, open_mix))
    both = [name for name in one if name in many]
    assert both == [name for name in many if name in one]
    loading = {"seed", "dtype", "mix_shards", "remainder", "transform", "check", "threads", "rank", "world_size"}
    assert {*loading, "cache_dir", "cache_gb", "retries", "timeout_s", "normalize"} <= set(both)
    differ = [name for name in both if one[name] != many[name]]
    assert differ == ["batch_size", "shuffle"]
    assert (one["shuffle"].default, many["shuffle"].default) == (False, True)
    assert many["batch_size"].default is inspect.Parameter.empty


@pytest.mark.parametrize(
    "wrong",
    [
        {"dtype": torch.int8},
        {"seed": 2**63},
        {"mix_shards": 0},
        {"threads": True},
        {"check": "md5"},
        {"remainder": "pad"},
        {"rank": 1},
        {"cache_gb": 1.0},
        {"retries": -1},
    ],
    ids=str,
)
def test_what_is_wrong_of_it_is_refused_alike(folders, wrong):
    said = []
    for call in (lambda: open_shards(folders / "aerial", batch_size=2, **wrong), lambda: opened(folders, **wrong)):
        with pytest.raises(ConfigError) as caught:
            call()
        said.append(str(caught.value))
    assert said[0] == said[1]


def test_a_mix_tells_of_a_rank_that_the_environment_alone_makes(folders, monkeypatch, caplog):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    mix = opened(folders)
    assert mix.rank == 1
    assert not caplog.records
    next(iter(mix))
    (record,) = caplog.records
    assert "by the environment alone" in record.message


@pytest.mark.parametrize("bad", [{}, [], {"": "x"}, {1: "x"}, "shards"])
def test_a_mix_of_no_parts_is_refused(bad):
    with pytest.raises(ConfigError, match=r"parts = .*expected name → folder"):
        open_mix(bad, batch_size=2)


def test_bands_of_one_name_in_two_arrays_are_refused(tmp_path):
    twice = {"s2l2a_10m": entry("s2l2a", S2, 8, 10.0), "s2l1c_10m": entry("s2l1c", S2, 8, 10.0)}
    pack(tmp_path, "s2", 4, twice)
    with pytest.raises(ConfigError, match=r"bands \['s2.b02'.*are in several of"):
        open_mix({"a": Part(tmp_path, [*twice])}, batch_size=2)
    with pytest.raises(ConfigError, match=r"'s2.b02' is in \['s2l2a_10m', 's2l1c_10m'\]"):
        open_mix({"a": Part(tmp_path, [*twice], ["s2.b02"])}, batch_size=2)


def test_the_bands_of_a_second_array_alone_come_with_its_own_pixels(tmp_path):
    like = ENTRIES["radar"]["s1rtc_10m"]
    arrays = {"s1grd_10m": replace(like, source="s1grd", canonical=(), bands=("OLD_VV", "OLD_VH")), "s1rtc_10m": like}
    pack(tmp_path, "radar", 6, arrays, pixels=lambda name, *at: truth(name, like, *at) + (name == "s1grd_10m"))
    part = Part(tmp_path, [*arrays], ["s1.vv", "s1.vh"], seasons=["summer"])
    batch = next(iter(open_mix({"a": part}, batch_size=6, shuffle=False)))
    assert batch["bands"] == ["s1.vv", "s1.vh"]
    for pixels, key in zip(batch["image"].numpy(), batch["key"], strict=True):
        assert np.array_equal(pixels, truth("s1rtc_10m", like, int(key[-4:]), 1))


def test_a_loader_that_makes_batches_of_batches_is_refused_and_so_is_an_index(folders):
    with pytest.raises(ConfigError, match="batch_size=None"):
        next(iter(DataLoader(opened(folders))))
    with pytest.raises(ConfigError, match=r"mix\[0\]"):
        opened(folders)[0]


def test_damage_in_one_part_is_an_error_that_names_it_and_never_a_sample_less(folders, tmp_path):
    shutil.copytree(folders, tmp_path / "all")
    shard = sorted((tmp_path / "all/radar/train").glob("*.tar"))[1]
    with tarfile.open(shard) as tar:
        member = next(m for m in tar if "s1rtc" in m.name)
    data = bytearray(shard.read_bytes())
    data[member.offset_data + member.size // 2] ^= 255
    shard.write_bytes(data)
    with pytest.raises(DamageError, match="radar"):
        list(DataLoader(opened(tmp_path / "all"), batch_size=None, num_workers=1))


def test_what_it_says_of_itself_names_each_part(folders):
    text = repr(opened(folders, resampled=True, weights=WEIGHTS))
    assert "1000 samples of 3 parts" in text.replace(",", "")
    assert (
        "radar: 600 samples drawn of 250 (60.0%), batches of 16, int16 (band 2, y 8, x 8) of 10 m: s1.vv, s1.vh" in text
    )


def test_parts_share_what_is_read_ahead(folders):
    mix, alone = opened(folders), open_mix({"s2": Part(folders / "s2", ["s2l2a_10m"])}, batch_size=16)
    for workers in (0, 2):
        assert mix.ahead_bytes(workers) < 1.6 * alone.ahead_bytes(workers)


def test_columns_come_along_and_none_is_called_as_an_entry_of_a_mix(tmp_path):
    pack(tmp_path, "s2", 6, {"dem_10m": ENTRIES["s2"]["dem_10m"]}, columns=["forest", "dataset"])
    batch = next(iter(open_mix({"a": Part(tmp_path, beside=["forest"])}, batch_size=6, shuffle=False)))
    assert batch["forest"] == [f"forest {n}" for n in range(6)]
    with pytest.raises(ConfigError, match=r"\['dataset'\] are called as entries of a mix"):
        open_mix({"a": Part(tmp_path, beside=["dataset"])}, batch_size=6)


def test_where_nodata_is_not_a_number_there_is_data_where_there_is_one(tmp_path):
    heights = entry("dem", ENTRIES["s2"]["dem_10m"].canonical, 8, 10.0, seasons=(), dtype="float32", nodata=math.nan)
    pack(tmp_path, "s2", 6, {"dem_10m": heights})
    batch = next(iter(open_mix({"a": tmp_path}, batch_size=6, shuffle=False)))
    for number in range(6):
        assert np.array_equal(batch["valid"][number].numpy(), ~is_hole(heights.shape, number))
    assert torch.equal(batch["image"].isnan(), ~batch["valid"])


@pytest.mark.parametrize(
    ("more", "match"),
    [
        ({"of_children": True}, "are of children"),
        ({"steps": 3}, "have several times"),
        ({"has_offsets": True}, "begin beside the corner"),
        ({"res_m": None}, "8 px of 10 m; aerial_10m: 8 px of degrees"),
        ({"res_m": 20.0}, "8 px of 20 m"),
    ],
)
def test_arrays_that_do_not_lie_pixel_on_pixel_make_no_image(tmp_path, more, match):
    arrays = {"s2l2a_10m": entry("s2l2a", S2, 8, 10.0), "aerial_10m": entry("naip", AERIAL, 8, 10.0)}
    index = pack(tmp_path, "s2", 1, arrays)
    arrays["aerial_10m"] = replace(arrays["aerial_10m"], **more)
    index = replace(index, arrays=arrays, children=int("of_children" in more))
    made = layout(index, Selection(tuple(arrays), SEASONS, drawn=1), "here")
    with pytest.raises(ConfigError, match=f"here: .*{match}"):
        image_of(index, made, None, dtype=None, normalize=False, where="here")


def test_seasons_are_those_that_all_arrays_of_an_image_may_have(tmp_path):
    arrays = {
        "s2l2a_10m": entry("s2l2a", S2, 8, 10.0, seasons=SEASONS[1:]),
        "s1rtc_10m": entry("s1rtc", ENTRIES["radar"]["s1rtc_10m"].canonical, 8, 10.0),
        "other_10m": entry("other", AERIAL, 8, 10.0, seasons=SEASONS[:1]),
    }
    part = Part(tmp_path / "x", ["s2l2a_10m", "s1rtc_10m"])
    with pytest.raises(ConfigError, match="no season in common"):
        _open_of(tmp_path / "x", arrays, Part(tmp_path / "x", ["s2l2a_10m", "other_10m"]))
    assert _open_of(tmp_path / "x", arrays, part).parts["a"].dataset.seasons == ("summer",)


def _open_of(folder, arrays, part):
    if not folder.exists():
        pack(folder, "s2", 6, arrays)
    return open_mix({"a": part}, batch_size=2)
