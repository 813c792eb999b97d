"""A masked autoencoder over many sensors: what it may see, what it is told of a band, and what it is held against."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch

from curation.errors import ConfigError
from curation.examples import fomo, fomo_data, fomo_model, fomo_scores
from curation.examples.fomo_model import Channels, Fomo, hidden, tokens_of
from curation.format.bands import BandEntry
from curation.format.index import BandStatistics
from curation.stream import select_bands
from tests.examples import spectraset
from tests.processes import started

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = ["--crop", "8", "--token", "4", "--batch-size", "4", "--width", "16", "--depth", "1", "--upsample", "nearest"]
SMALL = [*TINY, "--steps", "6", "--passes", "1"]
GAS = BandEntry("s5p.no2", kind="gas")
BANDS = (*spectraset.FINE, *spectraset.COARSE, *spectraset.RADAR, *spectraset.HEIGHTS, GAS)
MANY = len(BANDS)


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """`name=FOLDER` of both datasets."""
    root = tmp_path_factory.mktemp("spectra")
    return [f"{name}={spectraset.make(root, name)}" for name in spectraset.ENTRIES]


def command(sets, *options):
    return fomo.main([*sets, *SMALL, *map(str, options)])


def told_of(bands=BANDS):
    """Channels of one scale."""
    one = torch.ones(len(bands))
    return Channels(tuple(bands), 0 * one, one, one)


def network(bands=BANDS):
    torch.manual_seed(0)
    words = {word for band in bands for word in fomo_model.words_of(band)}
    model = Fomo(32, 1, 4, sorted(words))
    torch.nn.init.normal_(model.rest.weight, std=0.3)  # which begins as if it had nothing to add
    return model.eval()


def drawn(samples=2, channels=MANY, side=8, seed=0):
    draw = torch.Generator().manual_seed(seed)
    image = torch.randn((samples, channels, side, side), generator=draw)
    return image, torch.ones_like(image, dtype=torch.bool)


def half(channels=MANY, places=4):
    """The first channel whole, and of the others every second token."""
    is_hidden = torch.arange(channels * places).view(channels, places) % 2 == 1
    is_hidden[0] = True
    return is_hidden


# ---- what a channel is -----------------------------------------------------------------------------------------------


def test_no_module_is_of_a_band_and_what_has_no_wavelength_has_words_of_its_own():
    assert fomo_model.words_of(BANDS[0]) == fomo_model.words_of(BANDS[5]) == ("optical",)
    vv, vh, height, gas = map(fomo_model.words_of, BANDS[6:])
    assert (vv, vh) == (("radar", "5405 MHz", "VV"), ("radar", "5405 MHz", "VH"))
    assert (height, gas) == (("elevation", "dem.height"), ("gas", "s5p.no2"))
    assert fomo_model.words_of(BandEntry("s1.vv", centre_mhz=5405.0, width_mhz=100.0)) == (
        "unknown",
        "s1.vv",
    )  # an older index says no more


def test_each_band_has_a_vector_of_its_own_and_gradients_of_what_is_missing_are_finite():
    kinds = network().kinds
    found = kinds(told_of())
    assert found.isfinite().all()
    distances = torch.cdist(found, found) + 9 * torch.eye(len(BANDS))
    assert distances.min() > 1e-3
    found.square().sum().backward()
    assert all(p.grad.isfinite().all() for p in kinds.parameters())


def test_a_wavelength_that_a_band_has_not_is_missing_and_not_a_number_that_counts():
    kinds, found = network().kinds, []
    for shift in (0.0, 1.0):
        with torch.no_grad():
            for layer in kinds.light.parameters():
                layer.add_(shift)  # whatever is made of wavelengths
        found.append(kinds(told_of()).detach())
    is_light = torch.tensor([band.centre_nm is not None for band in BANDS])
    assert torch.equal(found[0][~is_light], found[1][~is_light])
    assert (found[0][is_light] != found[1][is_light]).any(1).all()


def test_a_band_is_looked_at_beside_its_centre_by_a_share_of_its_width():
    kinds, band = network().kinds, spectraset.light("x", 600)
    moved = kinds(told_of([band]), torch.tensor([0.5]))
    assert torch.allclose(moved, kinds(told_of([spectraset.light("x", 610)])), atol=1e-6)
    heights = told_of(spectraset.HEIGHTS)
    assert torch.equal(kinds(heights, torch.tensor([0.5])), kinds(heights))


def test_light_of_one_unit_shares_a_scale_which_what_is_not_seen_has_no_part_in():
    def of(mean, std):
        return BandStatistics(mean, std, 0.0, 900.0, 9)

    bands = (*spectraset.FINE[:3], spectraset.RADAR[0], spectraset.HEIGHTS[0])
    statistics = [of(100.0, 3.0), of(108.0, 3.0), of(1e6, 1.0), of(-12.0, 2.0), of(300.0, 50.0)]
    units = ["1e-4", "1e-4", "1e-4", "dB", "m"]
    found = fomo_model.channels("here", bands, units, statistics, {"s2.b04"})
    assert found.mean.tolist() == [104, 104, 104, -12, 300]
    assert found.deviation.tolist() == [5, 5, 5, 2, 50]  # 3² + 4²
    assert found.spread[:2].tolist() == pytest.approx([0.6, 0.6])
    assert found.spread[2].isnan()
    with pytest.raises(ConfigError, match=r"--unseen dem.height: expected another band"):
        fomo_model.channels("here", bands, units, statistics, {"dem.height"})
    with pytest.raises(ConfigError, match=r"here: s2.b02 has no statistics"):
        fomo_model.channels("here", bands, units, [None] * 5, set())


# ---- tokens ----------------------------------------------------------------------------------------------------------


def test_a_token_is_a_square_of_one_channel_and_a_rest_is_left_out():
    y, x = torch.meshgrid(torch.arange(10), torch.arange(13), indexing="ij")
    image = (100 * y + x).expand(2, 3, 10, 13)
    found = tokens_of(image, 4)
    assert found.shape == (2, 3, 6, 16)
    assert found[0, 0, 4].tolist() == [100 * (4 + a) + 4 + b for a in range(4) for b in range(4)]


def test_the_same_ground_has_the_same_position_whatever_the_pixels():
    fine, coarse = fomo_model.centres_m(3, 6, 40.0), fomo_model.centres_m(1, 2, 120.0)
    assert coarse.tolist() == [[60, 60], [60, 180]]
    assert torch.equal(fomo_model.waves(fine, 32)[[7, 10]], fomo_model.waves(coarse, 32))


def test_some_tokens_are_hidden_and_some_are_not_and_whole_channels_as_often():
    whole = 0
    for seed in range(200):
        found = hidden(5, 4, torch.Generator().manual_seed(seed))
        assert torch.equal(found, hidden(5, 4, torch.Generator().manual_seed(seed)))
        assert 0 < found.sum() < 20
        whole += bool((found.all(1) == found.any(1)).all())
    assert 70 < whole < 130
    assert all(0 < hidden(1, 2, torch.Generator().manual_seed(s)).sum() < 2 for s in range(20))


# ---- the network -----------------------------------------------------------------------------------------------------


def test_what_is_hidden_is_not_looked_at():
    (image, valid), model, is_hidden = drawn(), network(), half()
    other, of = image.clone(), told_of()
    other[:, 0] = 1e3
    assert torch.equal(model(image, valid, of, 10.0, is_hidden), model(other, valid, of, 10.0, is_hidden))
    other[:, 1] = 1e3  # of which half is seen
    assert not torch.equal(model(image, valid, of, 10.0, is_hidden), model(other, valid, of, 10.0, is_hidden))


def test_bands_in_another_order_are_the_same_to_it():
    (image, valid), model, is_hidden = drawn(), network(), half()
    valid[0, 3, 2:5] = False
    order = torch.randperm(len(BANDS), generator=torch.Generator().manual_seed(1))
    found = model(image, valid, told_of(), 10.0, is_hidden)
    names = told_of().names
    moved = model(image[:, order], valid[:, order], told_of().select([names[i] for i in order]), 10.0, is_hidden[order])
    at = {(int(c), int(p)): i for i, (c, p) in enumerate(is_hidden.nonzero())}
    same = [at[int(order[c]), int(p)] for c, p in is_hidden[order].nonzero()]
    assert torch.allclose(moved, found[:, same], atol=1e-4)


def test_what_is_said_of_a_sample_does_not_depend_on_others_or_on_those_without_any_data():
    (image, valid), model = drawn(3), network()
    valid[1] = False
    found = model(image, valid, told_of(), 10.0, half())
    assert found.isfinite().all()
    assert torch.allclose(found[:1], model(image[:1], valid[:1], told_of(), 10.0, half()), atol=1e-5)


def test_a_token_knows_how_large_it_is_on_the_ground_and_of_which_band_it_is():
    (image, valid), model = drawn(), network()
    found = model(image, valid, told_of(), 10.0, half())
    assert not torch.allclose(found, model(image, valid, told_of(), 30.0, half()), atol=1e-3)
    other = (spectraset.light("s2.b02", 2000), *BANDS[1:])
    assert not torch.allclose(found, model(image, valid, told_of(other), 10.0, half()), atol=1e-3)


def test_the_loss_is_of_hidden_pixels_with_data_in_units_of_each_channels_spread():
    image, valid = drawn(channels=2)
    valid[0, 1, :3] = False
    of = told_of(BANDS[:2])
    of = Channels(of.bands, of.mean, of.deviation, torch.tensor([2.0, 0.5]))
    is_hidden = torch.tensor([[True, False, False, False], [False, True, True, False]])
    found = torch.zeros(2, 3, 16, requires_grad=True)
    total, count = fomo_model.loss_of(found, image, valid, of, is_hidden, 4)
    truth, there = tokens_of(image, 4).numpy(), tokens_of(valid, 4).numpy()
    by_hand = sum(
        (truth[:, c, p][there[:, c, p]] ** 2).sum() / s**2 for c, p, s in ((0, 0, 2), (1, 1, 0.5), (1, 2, 0.5))
    )
    assert total.item() == pytest.approx(by_hand, rel=1e-5)
    assert count.item() == 2 * 3 * 16 - 12
    total.backward()
    assert (found.grad[0, 1, :12] == 0).all()
    assert (found.grad[1] != 0).all()


# ---- whom it is held against -----------------------------------------------------------------------------------------


def straight(samples=4, side=6):
    """(image, valid) of six bands of light: a line over wavelength at each pixel."""
    draw = torch.Generator().manual_seed(2)
    a, b = torch.randn((2, samples, 1, side, side), generator=draw)
    nm = told_of(BANDS[:6]).nm[:, None, None]
    image = 1 + a + b * (nm - 900) / 700
    return image, torch.ones_like(image, dtype=torch.bool)


def test_ridge_finds_an_injected_spectrum_from_any_two_bands():
    image, valid = straight()
    found = fomo_scores.Moments(6)
    found.add(image, valid)
    for target, inputs in ((0, [1, 5]), (3, [0, 2]), (5, [0, 1, 2, 3, 4])):
        assert (found.ridge(target, inputs)(image, valid) - image[:, target]).abs().max() < 0.1
    assert torch.allclose(found.mean, image.mean((0, 2, 3)).double(), atol=1e-6)


def test_ridge_is_what_its_formula_says():
    image, valid = drawn(3, 4)
    found = fomo_scores.Moments(4)
    found.add(image, valid)
    pixels = image.movedim(1, -1).reshape(-1, 4).double().numpy()
    x, y = pixels[:, 1:] - pixels[:, 1:].mean(0), pixels[:, 0] - pixels[:, 0].mean()
    covariance = x.T @ x / len(x)
    weights = np.linalg.solve(covariance + 1e-3 * np.diag(np.diag(covariance)), x.T @ y / len(x))
    expected = pixels[:, 0].mean() + x @ weights
    assert np.allclose(found.ridge(0, [1, 2, 3])(image, valid).flatten(), expected, atol=1e-6)


def test_baselines_are_computed_where_the_image_lies():
    draw = torch.Generator().manual_seed(2)
    image, valid = torch.randn(2, 3, 4, 4, generator=draw), torch.ones(2, 3, 4, 4, dtype=torch.bool)
    found = fomo_scores.Moments(3)
    found.add(image, valid)
    there = torch.device("meta")  # another one than that of the sums, wherever this runs
    for guess in (found.ridge(0, [1, 2]), found.constant(0)):
        said = guess(image.to(there), valid.to(there))
        assert (said.device, said.shape) == (there, image[:, 0].shape)


def test_pixels_that_lack_a_channel_fit_nothing():
    image, valid = drawn(2, 3)
    whole, holes = fomo_scores.Moments(3), fomo_scores.Moments(3)
    whole.add(image[:, :, 2:], valid[:, :, 2:])
    valid[:, 1, :2] = False
    image[:, :, :2] = 1e6
    holes.add(image, valid)
    assert torch.equal(whole.sums, holes.sums)


def test_neighbours_in_the_spectrum_are_light_of_the_same_scale():
    image, valid = straight()
    of = told_of(BANDS[:6])
    found = fomo_scores.by_wavelength(of, 2, [0, 1, 3, 4, 5])  # 665: between 560 and 705
    assert torch.equal(found["nearest"](image, valid), image[:, 4])
    assert torch.allclose(found["between"](image, valid), image[:, 2], atol=1e-5)
    ends = fomo_scores.by_wavelength(of, 5, [0, 3])
    assert torch.equal(ends["between"](image, valid), image[:, 3])
    assert fomo_scores.by_wavelength(told_of(), 8, [0, 1]) == {}  # heights have no neighbour
    other = Channels(of.bands, of.mean, torch.tensor([1.0, 1, 1, 1, 2, 1]), of.spread)
    assert torch.equal(fomo_scores.by_wavelength(other, 2, [0, 1, 3, 4, 5])["nearest"](image, valid), image[:, 1])


def errors(of):
    """Of one channel: who → squares by place."""
    return fomo_scores.Errors({who: {f"p{i}": float(v) for i, v in enumerate(its)} for who, its in of.items()})


def test_scores_are_the_mean_over_channels_and_seeds_beside_another_on_the_same_places():
    channels = [
        errors({"mean": [4, 4] * 3, "ridge": [1, 1] * 3, "a": [2, 0] * 3, "b": [0, 0] * 3}),
        errors({"mean": [1, 3] * 3, "ridge": [1, 1] * 3, "a": [1, 1] * 3, "b": [1, 1] * 3}),
    ]
    assert fomo_scores.scores(channels, ["ridge"]).value == pytest.approx((0.75 + 0.5) / 2)
    found = fomo_scores.scores(channels, ["a", "b"])
    assert found.value == pytest.approx(((0.75 + 1) / 2 + 0.5) / 2)
    assert found.low < found.value < found.high
    assert fomo_scores.scores(channels, ["a", "b"], "ridge").value == pytest.approx(0.0625)
    assert fomo_scores.scores(channels, ["mean"]).value == 0


def test_of_few_places_no_interval_is_told():
    few, some = (errors({"mean": [4.0] * n, "x": list(range(n))}) for n in (4, 5))
    assert str(fomo_scores.scores([few], ["x"])) == "+0.625 [too few places]"
    assert str(fomo_scores.scores([some], ["x"])).startswith("+0.500 [+0.200 to ")


def test_an_interval_over_places_holds_the_truth_about_as_often_as_it_says():
    draw, held = np.random.default_rng(0), 0
    for turn in range(60):
        its = draw.exponential(1, 40)
        score = fomo_scores.scores([errors({"mean": np.full(40, 4.0), "x": its})], ["x"], seed=turn)
        held += score.low <= 0.75 <= score.high
    assert held >= 50


def test_a_pixel_counts_where_every_channel_has_data():
    image, valid = drawn(3, 2)
    valid[0, 1, :, :4] = False
    valid[2] = False
    one = fomo_scores.Errors()
    for _ in range(2):  # of two windows
        one.add("x", ["a", "b", "c"], torch.zeros(3, 8, 8), image, valid, 0)
    assert one.of["x"] == pytest.approx(
        {"a": 2 * float(image[0, 0, :, 4:].square().sum()), "b": 2 * float(image[1, 0].square().sum())}
    )


# ---- the data --------------------------------------------------------------------------------------------------------


def test_arrays_that_nest_are_one_image_and_others_are_parts_of_their_own():
    entry, light = spectraset.mixes.entry, spectraset.FINE
    arrays = {
        "a_10m": entry("a", light, 16, 10.0),
        "b_20m": entry("b", light, 8, 20.0),
        "c_60m": entry("c", light, 3, 60.0),  # reaches beyond
        "d_15m": entry("d", light, 11, 15.0),  # no multiple
        "e_10m": entry("e", light, 16, 10.0, seasons=()),
        "f_10m": entry("f", light, 16, 10.0, seasons=("winter",)),
        "g_20m": entry("g", light, 8, 20.0, has_offsets=True),
        "scl": entry("a", light, 16, 10.0, role="mask"),
        "deg": entry("h", light, 16, None),
        "series": entry("i", light, 16, 10.0, steps=5),
    }
    found = fomo_data.stacks("x", arrays)
    assert sorted(map(sorted, found.values())) == [
        ["a_10m", "b_20m", "e_10m"], ["c_60m"], ["d_15m"], ["f_10m"], ["g_20m"]
    ]  # fmt: skip
    assert found["x"][0] == "a_10m"
    assert set(found) == {"x", "x/f_10m", "x/d_15m", "x/g_20m", "x/c_60m"}


def test_what_is_not_to_be_seen_is_not_read_for_training_and_is_for_scores(sets):
    data = fomo_data.Data(fomo.arguments([*sets, *SMALL, "--unseen", "s2.b04", "s1.vh"]))
    seen = {band for batch in data.open("train", crop=True) for band in batch["bands"]}
    assert seen == {b.name for b in BANDS} - {"s2.b04", "s1.vh", "s5p.no2"}
    every = {band for batch in data.open("val", every=True) for band in batch["bands"]}
    assert every == seen | {"s2.b04", "s1.vh"}
    assert data.ground_m == {"radar": 10, "s2": 10}


def test_whole_footprints_that_are_large_are_read_a_few_at_a_time_and_scored_alike(sets, monkeypatch):
    def scored(most):
        monkeypatch.setattr(fomo_data, "MOST_VALUES", most)
        data = fomo_data.Data(fomo.arguments([*sets, *SMALL]))
        sizes = {part: its.batch_size for part, its in data.open("val", every=True).parts.items()}
        return sizes, data, fomo_scores.moments(data), fomo_scores.judge(data, fomo_scores.moments(data), {})

    many, data, sums, errors = scored(2**24)
    few, _, same_sums, same_errors = scored(2 * 16**2 * 2)  # of radar two samples of two bands
    assert few == {"radar": 2, "s2": 1}
    assert many == dict.fromkeys(few, data.args.batch_size)
    for part in few:
        assert torch.allclose(sums[part].sums, same_sums[part].sums)
    assert errors.keys() == same_errors.keys()
    for key, its in errors.items():
        assert its.of["ridge"] == pytest.approx(same_errors[key].of["ridge"])
    assert {b.batch_size for b in data.open("train", crop=True).parts.values()} == {data.args.batch_size}


def test_a_band_that_was_not_seen_is_reconstructed_without_itself_and_others_like_it(sets):
    data = fomo_data.Data(fomo.arguments([*sets, *SMALL, "--unseen", "s2.b04", "s2.b05"]))
    names = data.channels["s2"].names
    image, valid = drawn(2, len(names))
    torch.manual_seed(0)
    model = Fomo(16, 1, 4, data.words)
    first = fomo_scores.said(model, data, "s2", image, valid, names.index("s2.b04"))
    assert first.shape == (2, 8, 8)
    for name in names:
        other = image.clone()
        other[:, names.index(name)] = 7
        is_same = torch.equal(first, fomo_scores.said(model, data, "s2", other, valid, names.index("s2.b04")))
        assert is_same == (name in ("s2.b04", "s2.b05"))


def test_what_is_fitted_is_fitted_on_train(sets):
    data = fomo_data.Data(fomo.arguments([*sets, *SMALL]))
    found = fomo_scores.moments(data)
    holes = {"radar": 1, "s2": 1 + 4 + 1}  # of its arrays, of which one has pixels of 20 m; some lie on each other
    for part, most in holes.items():
        count = int(found[part].sums[-1, -1])
        assert 24 * (256 - most) <= count <= 24 * 255


def test_the_pixels_of_a_batch_are_in_units_of_their_own_scale_whatever_their_order(sets):
    data = fomo_data.Data(fomo.arguments([*sets, *SMALL, "--batch-size", "5"]))
    batches = list(data.open("train"))
    assert any(batch["is_pad"].any() for batch in batches)
    for batch in batches:
        of = data.channels[batch["dataset"]]
        names = list(batch["bands"])[::-1]
        image, valid = fomo_data.scaled(batch, of, torch.device("cpu"))
        turned, _ = fomo_data.scaled(select_bands(batch, names), of.select(names), torch.device("cpu"))
        assert torch.equal(turned, image.flip(1))
        assert (image[~valid] == 0).all()
        assert image.abs().max() < 12
        assert not valid[batch["is_pad"]].any()


# ---- the command -----------------------------------------------------------------------------------------------------


def losses(text):
    return [float(v) for v in re.findall(r"loss ([0-9.]+)", text)]


def test_the_same_seed_gives_the_same_numbers_and_another_one_others(sets, capsys):
    found = []
    for seeds in ((1, 2), (1,)):
        assert command(sets, "--seeds", *seeds) == 0
        found.append(losses(capsys.readouterr().out))
    assert found[0][:6] == found[1] != found[0][6:]


@pytest.mark.parametrize("killed_after", [1, 4])
def test_resumed_it_ends_where_an_undisturbed_training_ends(sets, tmp_path, monkeypatch, killed_after):
    save, saves = fomo.Checkpoint.save, []

    def dying(self, step, used):
        save(self, step, used)
        saves.append(step)
        if len(saves) == killed_after:
            raise KeyboardInterrupt

    options = [sets, "--seeds", 3, "--save-every", 1, "--steps", 9, "--checkpoint"]  # a second epoch, too
    assert command(*options, tmp_path / "whole") == 0
    monkeypatch.setattr(fomo.Checkpoint, "save", dying)
    with pytest.raises(KeyboardInterrupt):
        command(*options, tmp_path / "cut")
    monkeypatch.setattr(fomo.Checkpoint, "save", save)
    assert command(*options, tmp_path / "cut", "--resume") == 0
    a, b = (torch.load(tmp_path / n / "fomo-seed-3.pt", weights_only=True) for n in ("whole", "cut"))
    assert a["step"] == b["step"] == 9
    assert all(torch.equal(v, b["model"][name]) for name, v in a["model"].items())
    assert a["data"] == b["data"]


def test_what_is_trained_is_not_trained_again_and_scores_the_same(sets, tmp_path, capsys):
    options = [sets, "--seeds", 3, "--checkpoint", tmp_path]
    command(*options)
    first = capsys.readouterr().out
    command(*options, "--resume")
    again = capsys.readouterr().out
    assert "after 6 steps" in again
    assert not losses(again)
    assert [line for line in first.splitlines() if "network" in line] == [
        line for line in again.splitlines() if "network" in line
    ]


def test_it_tells_parts_progress_and_a_table_beside_what_it_is_held_against(sets, capsys):
    assert command(sets, "--seeds", 0, 1, "--unseen", "s2.b04") == 0
    out = capsys.readouterr().out
    assert "s2: 16 px of 10 m: s2.b02 s2.b03 s2.b04 (unseen) s2.b08 s2.b05 s2.b11 dem.height" in out
    assert out.count("step     6/6") == 2
    assert "s2: optical, 5 bands, 8 places of val" in out
    assert "s2: s2.b04, unseen, 1 band, 8 places of val" in out
    assert "radar: radar, 2 bands, 8 places of val" in out
    number = r"[+-]\d+\.\d{3}"
    row = rf"{number} \[{number} to {number}\]"
    assert len(re.findall(rf"  (?:nearest|between)  *{row}   network above it by {row}", out)) == 2 * 2
    assert len(re.findall(rf"  ridge    {row}   network above it by {row}", out)) == 4
    assert len(re.findall(rf"  network  {row}   by seed {number} {number}", out)) == 4


@pytest.mark.slow
def test_it_learns_what_bands_have_to_do_with_each_other_and_tells_one_that_it_never_saw(sets, capsys):
    options = ["--width", 32, "--steps", 240, "--lr", 4e-3, "--seeds", 0, "--unseen", "s2.b08", "--batch-size", 16]
    assert command(sets, *options) == 0
    out = capsys.readouterr().out
    found = losses(out)
    assert found[-1] < found[0] / 1.5
    number = r"([+-]\d\.\d+)"
    for what in ("s2: optical", "radar: radar"):
        assert float(re.search(rf"{what}, .*?  network  {number}", out, re.DOTALL)[1]) > 0.95
    nearest, above = re.search(rf"s2.b08, unseen.*?nearest  {number} .*?above it by {number}", out, re.DOTALL).groups()
    assert float(nearest) < 0.97
    assert float(nearest) + float(above) > 0.98


@pytest.mark.slow
def test_chips_of_others_that_were_imported_go_along(shared, sets, tmp_path, capsys):
    from tests import foreign  # loads all of the command

    recipe = foreign.write(tmp_path, foreign.mended(foreign.BENV2, foreign.BENV2_MENDS))
    assert foreign.curate_import(shared / "data/geobench2-benv2", recipe, tmp_path / "root") == 0
    capsys.readouterr()
    assert command([*sets, f"ben={tmp_path}/root/benv2/shards"], "--seeds", 0, "--unseen", "s2.b8a") == 0
    out = capsys.readouterr().out
    assert "ben: 120 px of 10 m: s1.vh s1.vv s2.b01" in out
    assert "ben: s2.b8a, unseen" in out


@pytest.mark.slow
def test_two_ranks_of_torchrun_learn_what_one_does_with_the_batch_of_both(sets, tmp_path):
    def train(launcher, batch_size, folder):
        options = [*SMALL, "--seeds", "4", "--batch-size", batch_size, "--checkpoint", folder]
        with started(
            [sys.executable, "-W", "error", "-m", *launcher, "curation.examples.fomo", *sets, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Ranks find each other over loopback, whatever this machine's name leads to.
            env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        ) as process:
            said, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
        return said, torch.load(folder / "fomo-seed-4.pt", weights_only=True)

    ranks = ["torch.distributed.run", "--nproc-per-node", "2", "--standalone", "-m"]
    out, two = train(ranks, "4", tmp_path / "two")
    again, one = train([], "8", tmp_path / "one")
    assert out.count("crops/s") == again.count("crops/s") == 6  # one rank speaks
    rows = [re.findall(r"  ridge    .* network|places of val.*", text) for text in (out, again)]
    assert len(rows[0]) == 6
    assert rows[0] == rows[1]  # what both have scored is what one would
    assert two["step"] == one["step"] == 6
    assert two["data"] == one["data"]
    for name, value in one["model"].items():
        assert torch.allclose(value, two["model"][name], atol=2e-3), name


# ---- what cannot be --------------------------------------------------------------------------------------------------


def one_line(capsys):
    err = capsys.readouterr().err
    assert err.count("\n") == 1, err
    return err


def test_a_missing_dataset_is_one_line_and_code_2(tmp_path, capsys):
    assert command([f"x={tmp_path / 'none'}"]) == 2
    assert "index.json" in one_line(capsys)


def test_a_dataset_without_val_is_refused_before_anything_is_trained(tmp_path, capsys):
    folder = spectraset.make(tmp_path, "radar", {"train": 8})
    assert command([f"radar={folder}"], "--checkpoint", tmp_path / "trained") == 2
    assert "no part has samples of val" in one_line(capsys)
    assert not (tmp_path / "trained").exists()


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--unseen", "s2.b99"], "--unseen s2.b99: expected some of: dem.height, s1.vh"),
        (["--unseen", "dem.height"], "expected another band of dem.height m that is seen"),
        (["--token", "17", "--crop", "17"], "16 px: expected a --token of no more"),
    ],
)
def test_what_cannot_be_trained_is_one_line_and_code_2(sets, capsys, options, found):
    assert command(sets, *options) == 2
    assert found in one_line(capsys)


def test_a_checkpoint_of_another_training_is_refused(sets, tmp_path, capsys):
    options = [sets, "--seeds", 0, "--checkpoint", tmp_path]
    assert command(*options) == 0
    assert command(*options, "--resume", "--unseen", "s2.b04") == 2
    assert "made with" in one_line(capsys)


@pytest.mark.parametrize(
    "options",
    [["--seeds", -1], ["--width", 40], ["--crop", 10], ["--workers", -1], ["--resume"], ["--steps", "x"]],
)
def test_a_bad_option_is_told(sets, capsys, options):
    with pytest.raises(SystemExit, match="2"):
        command(sets, *options)
    assert options[0] in capsys.readouterr().err


@pytest.mark.parametrize("data", [["shards/x"], ["=x"], ["a=x", "a=y"], ["a/b=x"]])
def test_a_dataset_has_a_name_of_its_own(data, capsys):
    with pytest.raises(SystemExit, match="2"):
        fomo.main([*data])
    assert "expected" in capsys.readouterr().err


def test_what_lets_into_a_dataset_is_not_printed(capsys):
    fomo.say("https://someone:word@there.example/x?sig=abc: 4 samples")
    assert capsys.readouterr().out == "https://there.example/x: 4 samples\n"
