import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from msgspec import structs

from curation.errors import ConfigError
from curation.examples import flood_thresholds, floods
from curation.examples.flood_thresholds import Pixels, Threshold, averaged, best_step, bins, fitted
from tests.examples import floodset

pytestmark = pytest.mark.usefixtures("one_thread")

TRAIN, VAL = ["po", "po", "buzi"], ["indus", "indus"]


def arguments(folder, *more):
    return floods.arguments([str(folder), "--batch-size", "2", *more])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return floodset.make(tmp_path_factory.mktemp("floods"), {"train": TRAIN, "val": VAL})


def footprints(folder, split="train", *more):
    """All of a split as one batch."""
    found = list(flood_thresholds.footprints(arguments(folder, *more), str(folder), split))
    parts = [torch.cat([getattr(p, name) for p in found]) for name in ("power", "terrain", "labels")]
    return Pixels(*parts, tuple(itertools.chain.from_iterable(p.floods for p in found)))


def stored(split="train", change=lambda split, number, found: found):
    """The same as they were packed."""
    names = {"train": TRAIN, "val": VAL}[split]
    return [change(split, n, floodset.pixels(floodset.seed(split, n))) for n in range(len(names))]


# ---- pixels ----------------------------------------------------------------------------------------------------------


def test_footprints_are_what_was_packed_image_by_image_without_what_fills_up_the_last_batch(folder):
    found, packed = footprints(folder), stored()
    assert found.floods == ("po", "po", "buzi")
    for k, image in enumerate(("s1post_10m", "s1pre1_10m", "s1pre2_10m")):
        assert np.array_equal(found.power[:, k].numpy(), np.stack([p[image] for p in packed]))
    assert np.array_equal(found.labels.numpy(), np.concatenate([p["water_10m"] for p in packed]))
    assert found.terrain.shape[1] == 0


def test_channels_are_decibels_of_post_pre1_pre2_and_terrain_on_request(folder):
    found, packed = footprints(folder, "val", "--terrain").channels(), stored("val")
    assert found.shape == (2, 8, floodset.SIZE_PX, floodset.SIZE_PX)
    names = [("s1post_10m", 0), ("s1post_10m", 1), ("s1pre1_10m", 0), ("s1pre1_10m", 1), ("s1pre2_10m", 0)]
    for k, (name, band) in enumerate(names):
        want = 10 * np.log10(np.stack([p[name][band] for p in packed]))
        assert np.allclose(found[:, k], want, atol=1e-4)
    assert np.array_equal(found[:, 6:].numpy(), np.stack([np.concatenate([p["dem_10m"], p["slope"]]) for p in packed]))


def test_hundredths_of_a_decibel_and_other_orders_of_bands_are_the_same_power(folder, tmp_path):
    def change(split, number, found):
        return {n: (1000 * np.log10(a[::-1])).round() if n.startswith("s1") else a for n, a in found.items()}

    arrays = floodset.entries("gamma0, hundredths of a dB")
    for name, entry in arrays.items():
        if entry.source.startswith("s1"):
            arrays[name] = structs.replace(entry, bands=("VH", "VV"))
    other = footprints(floodset.make(tmp_path, {"train": TRAIN, "val": VAL}, change, arrays))
    assert torch.allclose(other.power, footprints(folder).power, rtol=0.0012)  # half a hundredth


def test_pixels_that_an_image_lacks_are_unknown_and_nan(tmp_path):
    def change(split, number, found):
        found["s1pre2_10m"][1, 5, 7:9] = floodset.NODATA
        return found

    found = footprints(floodset.make(tmp_path, {"train": TRAIN}, change))
    assert (found.labels[:, 5, 7:9] == 3).all()
    assert found.power.isnan().sum() == 3 * 2
    assert found.power[:, 2, 1, 5, 7:9].isnan().all()


# ---- thresholds ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [1, 3, 5])
def test_the_mean_of_a_window_is_that_of_what_has_data_in_it(window):
    power = np.random.default_rng(0).uniform(0, 1, (2, 9, 8)).astype(np.float32)
    power[0, 2:4, 5] = power[1, 0, 0] = np.nan
    want, around = np.full_like(power, np.nan), window // 2
    for k, y, x in np.ndindex(*power.shape):
        part = power[k, max(y - around, 0) : y + around + 1, max(x - around, 0) : x + around + 1]
        if not np.isnan(part).all():
            want[k, y, x] = np.nanmean(part)
    assert np.allclose(averaged(torch.from_numpy(power), window), want, equal_nan=True, atol=1e-6)


def test_the_best_threshold_is_that_of_brute_force():
    draw = np.random.default_rng(1)
    values, is_flood = draw.normal(-12, 3, 400), draw.random(400) < 0.3
    values[is_flood] -= 4
    step = bins(torch.from_numpy(values)).numpy()
    scores = []
    for below in range(flood_thresholds.BINS + 1):
        said = step < below
        tp, fp, fn = (said & is_flood).sum(), (said & ~is_flood).sum(), (~said & is_flood).sum()
        scores.append(2 * tp / (2 * tp + fp + fn))
    of = [torch.from_numpy(np.bincount(step[m], minlength=flood_thresholds.BINS)) for m in (is_flood, ~is_flood)]
    f1, below = best_step(*of)
    assert f1 == pytest.approx(max(scores))
    assert scores[below] == max(scores)
    assert 0.6 < f1 < 1


def test_measures_are_of_vv_alone_and_a_change_is_against_both_images_before():
    power = torch.full((1, 3, 2, 4, 4), 0.1)
    power[:, 0, 0] = 0.01
    power[:, 2, 0] = 0.3
    power[:, :, 1] = 1e-4
    assert torch.allclose(flood_thresholds.after_db(power, 3), torch.tensor(-20.0))
    assert torch.allclose(flood_thresholds.change_db(power, 3), 10 * torch.tensor(0.01 / 0.2).log10())


def test_a_threshold_says_flood_below_its_value_and_not_at_it():
    power = 10 ** (torch.tensor([-16.05, -15.95, -14.95]).reshape(1, 1, 1, 1, 3) / 10)
    pixels = Pixels(power, power[:, 0, :0], torch.zeros(1, 1, 3, dtype=torch.long), ("po",))
    below = int(bins(torch.tensor(-15.99)))
    assert Threshold("threshold", 1, below, 1.0)(pixels).tolist() == [[[2, 0, 0]]]
    assert "below -16.0 dB, mean of 1² pixels" in str(Threshold("threshold", 1, below, 1.0))


# ---- what is fitted on train ---------------------------------------------------------------------------------------


def same(a, b):
    parts = [torch.equal(getattr(a, n), getattr(b, n)) for n in ("mean", "deviation", "classes")]
    return all(parts) and a.thresholds == b.thresholds


def test_statistics_and_shares_are_of_known_pixels_of_train(folder):
    found = fitted(arguments(folder, "--terrain"), str(folder))
    packed = stored()
    known = np.concatenate([p["water_10m"] for p in packed]) != 3
    for k, (name, band) in enumerate(itertools.product(("s1post_10m", "s1pre1_10m", "s1pre2_10m"), range(2))):
        values = 10 * np.log10(np.stack([p[name][band] for p in packed])[known].astype(np.float64))
        assert float(found.mean[k]) == pytest.approx(values.mean(), rel=1e-5)
        assert float(found.deviation[k]) == pytest.approx(values.std(), rel=1e-4)
    assert found.classes.tolist() == [(np.concatenate([p["water_10m"] for p in packed]) == c).sum() for c in range(3)]
    assert len(found.mean) == 8


def test_thresholds_are_those_with_the_best_f1_on_train(folder):
    found, whole = fitted(arguments(folder), str(folder)), footprints(folder)
    truth, known = whole.labels == 2, whole.labels != 3

    def scored(threshold):
        said = threshold(whole) == 2
        tp, fp, fn = ((a & b & known).sum() for a, b in ((said, truth), (said, ~truth), (~said, truth)))
        return float(2 * tp / (2 * tp + fp + fn))

    for measure, best in found.thresholds.items():
        assert scored(best) == pytest.approx(best.f1)
        others = [replace(best, window_px=w, below=b) for w in (1, 3, 5) for b in range(200, 400, 20)]
        assert max(map(scored, others)) <= best.f1
        assert measure != "change" or best.f1 > found.thresholds["threshold"].f1  # a river does not change


def test_what_val_and_unknown_pixels_hold_changes_nothing_that_is_fitted(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(flood_thresholds, "WINDOWS_PX", (1, 3))  # wider ones reach further from what is known
    out_of_reach = floodset.UNKNOWN_PX - 1

    def change(split, number, found):
        for array in (a for name, a in found.items() if name != "water_10m"):
            array[..., : None if split == "val" else out_of_reach] *= 7
        if split == "val":
            found["water_10m"][:] = 2
        return found

    def brighter(split, number, found):
        return {n: a * 2 if n == "s1post_10m" and split == "train" else a for n, a in found.items()}

    splits = {"train": TRAIN, "val": VAL}
    other, third = (floodset.make(tmp_path / c.__name__, splits, c) for c in (change, brighter))
    assert not torch.equal(footprints(other).power, footprints(folder).power)
    fits = [fitted(arguments(f), str(f)) for f in (folder, other, third)]
    assert same(fits[0], fits[1])
    assert not same(fits[0], fits[2])


# ---- what cannot be --------------------------------------------------------------------------------------------------


def refused(folder, *more):
    args = arguments(folder, *more)
    with pytest.raises(ConfigError) as told:
        flood_thresholds.held_out(args, str(folder)) and fitted(args, str(folder))
    return str(told.value)


def test_a_dataset_without_an_image_after_is_told_what_this_learns_from(tmp_path):
    arrays = {n: e for n, e in floodset.entries().items() if n != "s1post_10m"}
    floodset.make(tmp_path, {"train": TRAIN, "val": VAL}, arrays=arrays)
    said = refused(tmp_path)
    assert "'s1post'" in said
    assert "make kuro-siwo" in said
    assert "water_10m" in said


def test_two_images_after_are_refused(tmp_path):
    arrays = floodset.entries()
    arrays["s1post_10m"] = structs.replace(arrays["s1post_10m"], seasons=("pre1", "post"))
    floodset.make(tmp_path, {"train": TRAIN, "val": VAL}, arrays=arrays)
    assert "'s1post' with one time" in refused(tmp_path)


def test_a_column_that_is_not_there_is_told_with_those_that_are(folder):
    assert "columns flood, number: expected 'event'" in refused(folder, "--column", "event")


def test_floods_may_have_numbers(folder, tmp_path):
    args = arguments(folder, "--column", "number")
    assert flood_thresholds.held_out(args, str(folder)) == {"1111012"}
    found = next(flood_thresholds.footprints(args, str(folder), "train"))
    assert found.floods == ("562", "562")


def test_a_missing_val_is_told(tmp_path):
    assert "val" in refused(floodset.make(tmp_path, {"train": TRAIN}))


def test_a_flood_on_both_sides_is_refused(tmp_path):
    said = refused(floodset.make(tmp_path, {"train": TRAIN, "val": ["indus", "buzi"]}))
    assert "'buzi' in train and in val" in said
    assert "pack again" in said


def test_train_without_flood_is_refused(tmp_path):
    def change(split, number, found):
        found["water_10m"][found["water_10m"] == 2] = 0
        return found

    assert "no pixel of train is flood" in refused(floodset.make(tmp_path, {"train": TRAIN, "val": VAL}, change))


def test_a_code_that_no_class_has_is_refused(tmp_path):
    def change(split, number, found):
        found["water_10m"][0, 9, 9] = 7
        return found

    assert "code 7" in refused(floodset.make(tmp_path, {"train": TRAIN, "val": VAL}, change))


@pytest.mark.parametrize(
    ("changes", "said"), [({"bands": ("VV", "HH")}, "VV, HH"), ({"unit": "amplitude"}, "'amplitude'")]
)
def test_other_bands_and_units_are_refused(tmp_path, changes, said):
    arrays = floodset.entries()
    arrays["s1pre1_10m"] = structs.replace(arrays["s1pre1_10m"], **changes)
    assert said in refused(floodset.make(tmp_path, {"train": TRAIN, "val": VAL}, arrays=arrays))
