import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from curation.examples import flood_thresholds, floods
from curation.examples.flood_thresholds import FLOOD, NONE, PERMANENT, UNKNOWN, Pixels
from curation.format import payload
from tests.examples import floodset

pytestmark = pytest.mark.usefixtures("one_thread")

TRAIN, VAL = ["po", "po", "buzi", "po"], ["indus", "indus"]
SMALL = ["--crop", "16", "--batch-size", "2", "--width", "4", "--steps", "6"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return floodset.make(tmp_path_factory.mktemp("floods"), {"train": TRAIN, "val": VAL})


def command(*folders_and_options):
    return floods.main([*map(str, folders_and_options[:1]), *SMALL, *map(str, folders_and_options[1:])])


def drawn(seed=0, samples=3, side=12):
    """Pixels that mean nothing."""
    draw = torch.Generator().manual_seed(seed)
    power = torch.rand((samples, 3, 2, side, side), generator=draw) + 0.01
    labels = torch.randint(0, 4, (samples, side, side), generator=draw)
    return Pixels(power, power[:, 0, :0], labels, ("po",) * samples)


def network(inputs, width=4):
    torch.manual_seed(0)
    facts = flood_thresholds.Fitted(torch.full((6, 1, 1), -5.0), torch.full((6, 1, 1), 4.0), {}, torch.zeros(3))
    return floods.Mapper(SimpleNamespace(width=width), inputs, facts)


# ---- scores ----------------------------------------------------------------------------------------------------------


def f1_by_hand(truth, said, codes):
    """Pixel by pixel, in numpy."""
    known = truth != UNKNOWN
    there, found = np.isin(truth[known], codes), np.isin(said[known], codes)
    tp, fp, fn = (there & found).sum(), (~there & found).sum(), (there & ~found).sum()
    return 2 * tp / (2 * tp + fp + fn)


@pytest.mark.parametrize("codes", [(FLOOD,), (PERMANENT,), (PERMANENT, FLOOD), (NONE,)])
def test_f1_is_that_of_pixels_counted_by_hand(codes):
    draw = np.random.default_rng(3)
    truth, said = draw.choice(4, 500, p=[0.6, 0.1, 0.2, 0.1]), draw.choice(3, 500)
    found = floods.f1(floods.confusion(*map(torch.from_numpy, (truth, said))), codes)
    assert found == pytest.approx(f1_by_hand(truth, said, codes))


def test_f1_of_counts_made_by_hand():
    counts = torch.tensor([[50, 1, 4], [2, 8, 0], [6, 3, 26]])  # rows are the truth
    assert floods.f1(counts, (FLOOD,)) == pytest.approx(2 * 26 / (2 * 26 + 4 + 9))
    assert floods.f1(counts, (PERMANENT,)) == pytest.approx(2 * 8 / (2 * 8 + 4 + 2))
    assert floods.f1(counts, (PERMANENT, FLOOD)) == pytest.approx(2 * 37 / (2 * 37 + 5 + 8))  # one for another is right
    assert np.isnan(floods.f1(torch.tensor([[9, 0, 0], [0, 0, 0], [0, 0, 0]]), (FLOOD,)))


def test_unknown_pixels_do_not_count_whatever_is_said_of_them():
    truth, said = torch.tensor([0, 1, 2, 3, 3]), torch.tensor([0, 1, 1, 2, 0])
    counts = floods.confusion(truth, said)
    assert counts.tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 0]]
    assert torch.equal(counts, floods.confusion(truth, torch.tensor([0, 1, 1, 1, 1])))


def test_the_mean_over_floods_takes_each_alike_however_large():
    large, small = torch.diag(torch.tensor([900, 0, 100])), torch.tensor([[5, 0, 1], [0, 0, 0], [1, 0, 1]])
    found = {"a": {("x", 0): large}, "b": {("x", 0): small}}
    assert floods.macro(found, ("x", 0), (FLOOD,)) == pytest.approx((1 + 0.5) / 2)
    assert np.isnan(floods.macro(found, ("x", 0), (PERMANENT,)))


def test_scores_are_of_each_flood_of_val_by_itself(tmp_path):
    floodset.make(tmp_path, {"train": TRAIN, "val": ["indus", "ganges", "indus"]})
    args = floods.arguments([str(tmp_path), *SMALL])
    found = floods.scored(args, str(tmp_path), {("all", 0): lambda pixels: torch.full_like(pixels.labels, FLOOD)})
    labels = [floodset.pixels(floodset.seed("val", n))["water_10m"] for n in range(3)]
    for flood, numbers in (("indus", (0, 2)), ("ganges", (1,))):
        truth = np.stack([labels[n] for n in numbers])
        assert found[flood]["all", 0][:, FLOOD].tolist() == [(truth == c).sum() for c in range(3)]
        assert found[flood]["all", 0][:, :FLOOD].sum() == 0


# ---- the network -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inputs", ["pre", "post", "all"])
def test_a_network_sees_its_images_and_no_other(inputs):
    model, pixels = network(inputs), drawn()
    for k, image in enumerate(flood_thresholds.IMAGES):
        power = pixels.power.clone()
        power[:, k] = 5.0
        other = Pixels(power, pixels.terrain, pixels.labels, pixels.floods)
        assert torch.equal(model(pixels), model(other)) == (image not in floods.INPUTS[inputs])


def test_before_alone_is_all_but_the_image_after():
    assert floods.INPUTS["pre"] == ("s1pre1", "s1pre2")
    assert set(floods.INPUTS["all"]) - set(floods.INPUTS["pre"]) == {"s1post"}


def test_what_is_said_of_a_sample_does_not_depend_on_others_beside_it():
    model, pixels = network("all"), drawn()
    first = Pixels(pixels.power[:1], pixels.terrain[:1], pixels.labels[:1], ("po",))
    assert torch.allclose(model(pixels)[:1], model(first), atol=1e-5)


@pytest.mark.parametrize("side", [8, 9, 11, 18])
def test_sides_need_no_multiple_of_anything(side):
    found = network("all").said(drawn(side=side))
    assert found.shape == (3, side, side)
    assert found.dtype == torch.int64


def test_pixels_without_data_are_as_the_mean():
    pixels = drawn()
    pixels.power[0, :, :, 3, 4] = torch.nan
    mean = Pixels(pixels.power.nan_to_num(10**-0.5), pixels.terrain, pixels.labels, pixels.floods)
    model = network("all")
    assert torch.allclose(model(pixels), model(mean), atol=1e-4)


def test_the_loss_is_the_mean_over_known_pixels_and_nothing_where_none_is():
    scores = torch.randn((2, 3, 5, 5), generator=torch.Generator().manual_seed(0)).requires_grad_()
    labels = torch.randint(0, 3, (2, 5, 5), generator=torch.Generator().manual_seed(1))
    labels[0] = UNKNOWN
    logs = scores.detach().numpy()[1] - np.log(np.exp(scores.detach().numpy()[1]).sum(0))
    by_hand = -np.take_along_axis(logs, labels[1].numpy()[None], 0).mean()
    assert floods.loss_of(scores, labels).item() == pytest.approx(by_hand, rel=1e-5)
    floods.loss_of(scores, labels).backward()
    assert (scores.grad[0] == 0).all()
    nothing = floods.loss_of(scores, torch.full_like(labels, UNKNOWN))
    nothing.backward()
    assert nothing.item() == 0
    assert scores.grad.isfinite().all()


def test_images_and_labels_are_turned_alike_in_one_of_eight_ways():
    grid = torch.arange(9.0).reshape(3, 3)
    pixels = Pixels(grid.expand(1, 3, 2, 3, 3), grid.expand(1, 1, 3, 3), grid.long()[None], ("po",))
    ways = set()
    for chance in range(100):
        found = floods.turned(pixels, chance)
        assert (found.power == found.labels).all()
        assert (found.terrain == found.labels).all()
        ways.add(tuple(found.labels.flatten().tolist()))
    assert len(ways) == 8
    assert torch.equal(floods.turned(pixels, 7).labels, floods.turned(pixels, 7).labels)


# ---- the command -----------------------------------------------------------------------------------------------------


def losses(text):
    return re.findall(r"loss ([0-9.]+)", text)


def test_the_same_seed_gives_the_same_numbers_and_another_one_others(folder, capsys):
    said = []
    for seeds in ((1, 2), (1,)):
        assert command(folder, "--inputs", "all", "--seeds", *seeds) == 0
        said += losses(capsys.readouterr().out)
    assert len(said) == 3 * 6
    assert said[:6] == said[12:] != said[6:12]


@pytest.mark.parametrize("killed_after", [1, 2, 3])
def test_resumed_it_ends_where_an_undisturbed_training_ends(folder, tmp_path, monkeypatch, killed_after):
    save, saves = floods.Checkpoint.save, []

    def dying(self, step, used):
        save(self, step, used)
        saves.append(step)
        if len(saves) == killed_after:
            raise KeyboardInterrupt

    options = [folder, "--inputs", "all", "--seeds", 3, "--save-every", 1, "--checkpoint"]
    assert command(*options, tmp_path / "whole") == 0
    monkeypatch.setattr(floods.Checkpoint, "save", dying)
    with pytest.raises(KeyboardInterrupt):
        command(*options, tmp_path / "cut")
    monkeypatch.setattr(floods.Checkpoint, "save", save)
    assert command(*options, tmp_path / "cut", "--resume") == 0
    (whole,), (cut,) = ((*(tmp_path / n).glob("*-all-seed-3.pt"),) for n in ("whole", "cut"))
    a, b = (torch.load(file, weights_only=True) for file in (whole, cut))
    assert a["step"] == b["step"] == 6
    assert all(torch.equal(v, b["model"][name]) for name, v in a["model"].items())
    assert a["data"] == b["data"]


def test_what_is_trained_is_not_trained_again_and_scores_the_same(folder, tmp_path, capsys):
    options = [folder, "--inputs", "all", "--seeds", 3, "--checkpoint", tmp_path]
    command(*options)
    first = capsys.readouterr().out
    command(*options, "--resume")
    again = capsys.readouterr().out
    assert "after 6 steps" in again
    assert not losses(again)
    assert again.splitlines()[-4:] == first.splitlines()[-4:]


def test_it_tells_progress_thresholds_and_a_table_over_seeds_and_floods(folder, tmp_path, capsys):
    other = floodset.make(tmp_path, {"train": ["indus", "indus", "po"], "val": ["buzi"]})
    assert floods.main([str(folder), str(other), *SMALL, "--seeds", "0", "1"]) == 0
    out = capsys.readouterr().out
    assert "4 samples of train, 2 samples of val; held out: indus" in out
    assert "held out: buzi" in out
    assert out.count("step    6/6") == 2 * 2 * 2
    assert len(re.findall(r"(?:threshold|change): below -?\d+\.\d dB, mean of \d² pixels", out)) == 2 * 2
    assert "F1 on buzi, indus (held out), mean over floods" in out
    rows = [line.split("  ")[1] for line in out.splitlines()[-6:-1]]
    assert rows == ["everywhere", "threshold", "change", "U-Net pre", "U-Net all"]
    assert len(re.findall(r"\(0\.\d+ to 0\.\d+\)", out)) == 2 * 3
    assert "leak check:" in out.splitlines()[-1]


@pytest.mark.parametrize(
    ("everywhere", "pre", "best", "said"),
    [
        (0.3, 0.2, 0.9, "no sign of a leak"),
        (0.3, 0.59, 0.9, "no sign of a leak"),
        (0.3, 0.61, 0.9, "look for what leaks"),
        (0.3, 0.95, 0.9, "look for what leaks"),
        (0.3, 0.2, 0.3, "nothing is learnt yet"),
    ],
)
def test_a_leak_is_told_where_images_before_know_of_a_flood(everywhere, pre, best, said):
    assert said in floods.leak(everywhere, pre, best)


@pytest.mark.slow
def test_it_learns_what_a_flood_is_and_cannot_without_the_image_after(tmp_path, capsys):
    floodset.make(tmp_path, {"train": ["po"] * 8 + ["buzi"] * 8, "val": ["indus"] * 4})
    options = ["--batch-size", 4, "--crop", 32, "--width", 8, "--steps", 150, "--seeds", 0, "--lr", 0.01]
    assert command(tmp_path, *options) == 0
    *_, change, pre, best, said = (line.split() for line in capsys.readouterr().out.splitlines())
    assert float(best[2]) > float(change[1]) > 0.8
    assert float(pre[2]) < 0.3
    assert float(best[3]) > 0.9  # of permanent water, which changes as little as land
    assert said[-2:] == ["a", "leak"]


# ---- what cannot be --------------------------------------------------------------------------------------------------


def one_line(capsys):
    err = capsys.readouterr().err
    assert err.count("\n") == 1, err
    return err


def test_a_missing_dataset_is_one_line_and_code_2(tmp_path, capsys):
    assert command(tmp_path / "none") == 2
    assert "index.json" in one_line(capsys)


@pytest.mark.slow
def test_damage_that_a_reading_process_finds_is_one_line_too(tmp_path, capsys):
    folder = floodset.make(tmp_path, {"train": TRAIN, "val": VAL})
    tar = folder / "train/floods-train-000000.tar"
    data, image = bytearray(tar.read_bytes()), floodset.pixels(floodset.seed("train", 1))["s1post_10m"]
    data[data.index(payload.encode(image, "lz4")) + 99] ^= 1
    tar.write_bytes(data)
    assert command(folder, "--workers", 1) == 2
    assert "s1post_10m.post" in one_line(capsys)


def test_what_lets_into_a_dataset_is_not_printed(capsys):
    floods.say("https://someone:word@there.example/floods?sig=abc: 4 samples")
    assert capsys.readouterr().out == "https://there.example/floods: 4 samples\n"


def test_a_flood_that_two_folds_hold_out_is_refused(folder, capsys):
    assert floods.main([str(folder), str(folder), *SMALL]) == 2
    assert "'indus' is held out in" in one_line(capsys)


def test_a_batch_larger_than_train_is_refused(folder, capsys):
    assert command(folder, "--batch-size", 5) == 2
    assert "4 samples of train are no batch of 5" in one_line(capsys)


def test_val_without_flood_is_refused_before_anything_is_trained(tmp_path, capsys):
    def change(split, number, found):
        found["water_10m"][(found["water_10m"] == 2) & (split == "val")] = 0
        return found

    floodset.make(tmp_path, {"train": TRAIN, "val": VAL}, change)
    assert floods.main([str(tmp_path), *SMALL, "--checkpoint", str(tmp_path / "trained")]) == 2
    out, err = capsys.readouterr()
    assert "no known pixel of 'indus' is flood" in err
    assert out == ""
    assert not (tmp_path / "trained").exists()


def test_a_checkpoint_of_another_training_is_refused(folder, tmp_path, capsys):
    options = [folder, "--inputs", "all", "--seeds", 0, "--checkpoint", tmp_path]
    assert command(*options) == 0
    assert command(*options, "--resume", "--lr", 0.1) == 2
    assert "made with" in one_line(capsys)


@pytest.mark.parametrize(
    "options",
    [["--seeds", -1], ["--width", 6], ["--workers", -1], ["--resume"], ["--steps", "x"], ["--inputs", "labels"]],
)
def test_a_bad_option_is_told(folder, capsys, options):
    with pytest.raises(SystemExit, match="2"):
        command(folder, *options)
    assert options[0] in capsys.readouterr().err


def test_help_says_what_is_compared_and_how(capsys):
    with pytest.raises(SystemExit, match="0"):
        floods.main(["--help"])
    out = capsys.readouterr().out
    for word in ("threshold", "change", "U-Net pre", "everywhere", "folds", "--terrain", "F1 is 2 tp"):
        assert word in out
