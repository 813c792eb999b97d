import argparse
import json
import math
import os
import subprocess
import sys
from datetime import timedelta

import numpy as np
import pytest
import torch
import torch.distributed as dist
from msgspec.structs import replace
from torch import nn

from curation.examples import pretrain, pretrain_scores
from curation.format.index import Index
from tests.processes import started
from tests.stream.conftest import make_shards

TINY = ["--crop", "20", "--batch-size", "4", "--epochs", "2", "--lr", "0.003", "--workers", "0", "--device", "cpu"]


@pytest.fixture(autouse=True)
def tiny_model(monkeypatch):
    monkeypatch.setitem(pretrain.ARCHITECTURES, "tiny", (64, 1))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # threads that wait for each other on a busy machine take longer than such a model
    yield
    torch.set_num_threads(threads)


def command(folder, *more, arch="tiny"):
    return pretrain.main([str(folder), "--arch", arch, *TINY, *map(str, more)])


# ---- loss ------------------------------------------------------------------------------------------------------------


def slow_loss(q, k, y_q, y_k, soft, first):
    """The docstring's formulas, one number at a time."""
    known = [not any(math.isnan(v) for v in y) for y in y_k]
    total = 0.0
    for i in range(len(q)):
        dots = [sum(a * b for a, b in zip(q[i], k[j], strict=True)) / 0.1 for j in range(len(k))]
        log_sum = math.log(sum(map(math.exp, dots)))
        target = [float(j == first + i) for j in range(len(k))]
        if known[first + i] and not any(math.isnan(v) for v in y_q[i]):
            alike = [0.0] * len(k)
            for j in range(len(k)):
                if known[j]:
                    dot = sum(a * b for a, b in zip(y_q[i], y_k[j], strict=True))
                    alike[j] = math.exp(dot / math.hypot(*y_q[i]) / math.hypot(*y_k[j]) / 0.1)
            target = [(1 - soft) * t + soft * a / sum(alike) for t, a in zip(target, alike, strict=True)]
        total += sum(t * (log_sum - d) for t, d in zip(target, dots, strict=True))
    return total / len(q)


@pytest.mark.parametrize("soft", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("first", [0, 3])
def test_the_loss_is_that_of_the_formulas(soft, first):
    draw = torch.Generator().manual_seed(first)
    q, k = (nn.functional.normalize(torch.randn(n, 5, generator=draw), dim=1) for n in (4, 7))
    y_q, y_k = (torch.rand(n, 3, generator=draw) for n in (4, 7))
    y_k[first : first + 4] = y_q
    y_q[1, 2] = y_k[first + 1, 2] = torch.nan
    y_k[first + 2] = torch.nan
    found = pretrain.soft_contrastive_loss(q, k, y_q, y_k, soft, first)
    assert found.item() == pytest.approx(slow_loss(*(v.tolist() for v in (q, k, y_q, y_k)), soft, first), rel=1e-5)


def test_unknown_labels_leave_the_loss_and_its_gradient_finite():
    q = nn.functional.normalize(torch.randn(4, 5), dim=1).requires_grad_()
    unknown = torch.full((4, 3), torch.nan)
    loss = pretrain.soft_contrastive_loss(q, q.detach(), unknown, unknown, 0.5)
    loss.backward()
    assert loss.item() == pytest.approx(pretrain.soft_contrastive_loss(q, q, unknown, unknown, 0.0).item())
    assert q.grad.isfinite().all()


def test_images_are_turned_the_same_way_in_all_bands_in_one_of_eight_ways():
    image = torch.arange(9.0).reshape(1, 1, 3, 3)
    ways = {tuple(pretrain.turned(image, seed).flatten().tolist()) for seed in range(100)}
    quarter = [torch.rot90(i, n, (2, 3)) for i in (image, image.mT) for n in range(4)]
    assert ways == {tuple(i.flatten().tolist()) for i in quarter}
    both = pretrain.turned(torch.cat([image, image + 100], 1).expand(20, -1, -1, -1), 5)
    assert torch.equal(both[:, 0] + 100, both[:, 1])


# ---- models ----------------------------------------------------------------------------------------------------------


def test_an_encoder_takes_images_of_any_size():
    encoder = pretrain.ViT(3, 64, depth=1)
    assert [encoder(torch.randn(2, 3, n, n)).shape for n in (32, 50)] == [(2, 64)] * 2


def test_a_vision_transformer_knows_where_a_token_lies():
    image = torch.zeros(1, 1, 48, 48)
    image[..., :16, 16:32] = 1
    model = pretrain.ViT(1, 64, depth=1)
    assert not torch.allclose(model(image), model(image.mT), atol=1e-4)


@pytest.mark.slow
def test_training_tells_locations_apart_whose_views_are_alike():
    torch.manual_seed(0)
    model, colours = pretrain.Pretraining("tiny", 3), 0.1 * torch.randn(8, 3, 1, 1)
    optimizer, unknown = torch.optim.AdamW(model.parameters(), lr=1e-3), torch.full((8, 1), torch.nan)
    losses = []
    for _ in range(40):
        q, k = (model(colours + 0.01 * torch.randn(8, 3, 32, 32)) for _ in range(2))
        losses.append(pretrain.soft_contrastive_loss(q, k, unknown, unknown, 0.5))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[0] > 1.2
    assert losses[-1] < 0.3


# ---- probe -----------------------------------------------------------------------------------------------------------


def columns(draw, count, first, signal):
    """Rows of so many places in two seasons, whose classes and shares follow from features, or from nothing."""
    x = draw.normal(size=(2 * count, 8)) * [100.0, 1, 1, 1, 1, 1, 1, 0]
    shares = x[:, 1:3] / 8 + 0.4 if signal else draw.random((2 * count, 2))
    places = np.repeat([f"p{n}" for n in range(first, first + count)], 2)
    where = {"lon": draw.uniform(0, 5, 2 * count).astype("f4"), "lat": draw.uniform(0, 5, 2 * count).astype("f4")}
    of = {"labels": (shares > 0.4).astype("f4"), "shares": shares.astype("f4")}
    return {"x": x, **of, "places": places, "seasons": np.tile(["summer", "winter"], count), **where}


def test_probes_find_what_is_linear_in_the_features_and_nothing_else():
    draw = np.random.default_rng(0)
    found = {}
    for signal in (True, False):
        train, val = (columns(draw, *of, signal) for of in ((150, 0), (60, 500)))
        blind = [c | {"x": draw.normal(size=c["x"].shape)} for c in (train, val)]
        classes, shares = pretrain_scores.probed([blind[0], train], [blind[1], val], ["random", "soft 0"], ("a", "b"))
        found[signal] = classes.of("soft 0", "linear").main.value, shares.of("soft 0", "linear").main.value
        assert (classes.places, classes.rows) == (60, 120)
    assert found[True] == pytest.approx((1, 1), abs=0.05)
    assert found[False][0] < 0.65
    assert found[False][1] < 0.05


def test_a_summary_tells_each_arm_beside_the_others_over_all_seeds():
    draw = np.random.default_rng(0)
    found = []
    for _ in range(3):
        train, val = (columns(draw, *of, True) for of in ((100, 0), (40, 500)))
        blind = [c | {"x": draw.normal(size=c["x"].shape)} for c in (train, val)]
        arms = ["random", "soft 0", "soft 0.5"]
        found.append(pretrain_scores.probed([blind[0], train, train], [blind[1], val, val], arms, ("a", "b")))
    lines = list(pretrain_scores.summary(found, [("soft 0", "random"), ("soft 0.5", "soft 0")]))
    assert "mAP, mean of 3 seeds" in lines[0]
    gain = next(line for line in lines if "soft 0 above random" in line)
    assert "not seen" not in gain
    assert gain.endswith("sign test p 0.25")
    same = next(line for line in lines if "soft 0.5 above soft 0" in line)
    assert "+0.000 (+0.000 to +0.000): not seen; seen from 0.000; by seed +0.000 +0.000 +0.000" in same


def test_what_is_trained_on_labels_of_others_sees_each_location_with_those_of_the_next(monkeypatch):
    seen = []
    monkeypatch.setattr(pretrain, "soft_contrastive_loss", lambda q, k, y_q, *more: seen.append(y_q) or q.sum())
    monkeypatch.setattr(pretrain, "images_of", lambda *_: torch.zeros(4, 2, 1, 8, 8))
    labels = torch.arange(4.0)[:, None, None].expand(4, 2, 3)
    batch = {"label_fractions": labels, "season_ok": torch.ones(4, 2, dtype=torch.bool)}
    args = argparse.Namespace(device=torch.device("cpu"), labels="seasonal")
    for of_others in (False, True):
        data = argparse.Namespace(rank=0)
        pretrain.loss_of(lambda x: torch.zeros(len(x), 5), batch, data, args, pretrain.Arm(0.5, of_others), 0)
    assert seen[0][:, 0].tolist() == [0, 1, 2, 3]
    assert seen[2][:, 0].tolist() == seen[3][:, 0].tolist() == [3, 0, 1, 2]


# ---- the command -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_it_trains_and_tells_scores_speed_and_waiting(packed, capsys):
    assert command(packed, "--seeds", 1, 2, "--soft", 0, 0.5, "--control", "--sources", "s2l2a", "s1rtc") == 0
    out = capsys.readouterr().out
    assert "13 locations of train" in out
    assert "12 bands" in out
    assert out.count("samples/s, data wait") == 2 * 3 * 2
    assert out.count("linear probe on 4 patches of 2 places of val: mAP") == 2 * 8
    told = out[out.rindex("R2, mean of 2 seeds") :].splitlines()[1:]
    arms = ["soft 0", "soft 0.5", "soft 0.5 of others"]
    others = [f"{a}, labels shuffled" for a in arms]
    assert {line.strip().split("  ")[0] for line in told if " above " not in line} == {
        "random",
        "metadata",
        *arms,
        *others,
    }
    assert [line.partition(";")[0].partition(": ")[2].partition(":")[0] for line in told if " above " in line] == [
        "soft 0 above random",
        "soft 0.5 above random",
        "soft 0.5 above soft 0",
        "soft 0.5 above soft 0.5 of others",
        "soft 0.5 of others above random",
        "soft 0.5 of others above soft 0",
    ]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_scores(packed, capsys):
    def scores():
        command(packed, "--seeds", 1)
        return [line for line in capsys.readouterr().out.splitlines() if "probe" in line or "above" in line]

    assert scores() == scores()


@pytest.mark.slow
@pytest.mark.parametrize("killed_after", [2, 3, 5])
def test_resumed_it_trains_on_the_rest_and_ends_where_an_undisturbed_run_ends(
    packed, tmp_path, monkeypatch, capsys, killed_after
):
    seen, saves = [], []
    images_of, save = pretrain.images_of, pretrain.save

    def recording(batch, data, device):
        if data.selection.views:
            seen.append(tuple(batch["key"]))
        return images_of(batch, data, device)

    def dying(file, state):
        save(file, state)
        saves.append(file)
        if len(saves) == killed_after:
            raise KeyboardInterrupt

    monkeypatch.setattr(pretrain, "images_of", recording)
    options = ["--seeds", 3, "--soft", 0.5, "--save-every", 1, "--checkpoint"]
    command(packed, *options, tmp_path / "whole")
    whole, seen[:] = list(seen), []
    monkeypatch.setattr(pretrain, "save", dying)
    with pytest.raises(KeyboardInterrupt):
        command(packed, *options, tmp_path / "cut")
    assert len(seen) == killed_after
    monkeypatch.setattr(pretrain, "save", save)
    assert command(packed, *options, tmp_path / "cut", "--resume") == 0
    assert seen == whole
    assert f"after {4 * killed_after} of 24 samples" in capsys.readouterr().out
    a, b = (torch.load(tmp_path / n / "soft-0.5-seed-3.pt", weights_only=True) for n in ("whole", "cut"))
    assert all(torch.equal(v, b["model"][name]) for name, v in a["model"].items())
    assert (a["seen"], a["data"]) == (b["seen"], b["data"])
    seen.clear()
    assert command(packed, *options, tmp_path / "cut", "--resume") == 0
    assert not seen  # nothing is left


def test_a_checkpoint_of_another_training_is_refused(packed, tmp_path, capsys):
    command(packed, "--seeds", 1, "--checkpoint", tmp_path)
    assert command(packed, "--seeds", 1, "--checkpoint", tmp_path, "--resume", "--lr", 0.1) == 2
    assert one_line(capsys).startswith(f"error: {tmp_path}/soft-0-seed-1.pt: made with")


# ---- bad input -------------------------------------------------------------------------------------------------------


def one_line(capsys):
    err = capsys.readouterr().err
    assert err.count("\n") == 1, err
    return err


def test_a_missing_dataset_is_one_line_and_code_2(tmp_path, capsys):
    assert command(tmp_path / "none") == 2
    assert "index.json" in one_line(capsys)


def test_a_dataset_without_val_is_one_line_and_code_2(tmp_path, capsys):
    make_shards(tmp_path, {"train": [4]})
    assert command(tmp_path) == 2
    assert "val" in one_line(capsys)


def test_a_dataset_without_labels_is_one_line_and_code_2(copy, capsys):
    index = Index.from_bytes((copy / "index.json").read_bytes())
    (copy / "index.json").write_bytes(replace(index, label_names=()).to_bytes())
    assert command(copy) == 2
    assert "no labels" in one_line(capsys)


def test_labels_that_are_all_unknown_are_one_line_and_code_2(tmp_path, capsys, monkeypatch):
    from tests.stream import conftest

    unknown = {"fractions": None, "valid_fraction": 0.0, "multi_hot": None}
    meta_of = conftest.meta_of

    def without(split, number):
        meta = meta_of(split, number)
        return meta | {"seasons": {n: s | {"labels": unknown} for n, s in meta["seasons"].items()}}

    monkeypatch.setattr(conftest, "meta_of", without)
    make_shards(tmp_path, {"train": [4], "val": [2]}, first={"val": 4})
    assert command(tmp_path) == 2
    assert "--labels annual" in one_line(capsys)
    assert command(tmp_path, "--labels", "annual", "--seeds", 1) == 0


def test_a_batch_larger_than_the_split_is_one_line_and_code_2(packed, capsys):
    assert command(packed, "--batch-size", 14) == 2
    assert "13 samples of train are no batch of 14" in one_line(capsys)


def test_a_source_that_is_not_there_is_one_line_and_code_2(packed, capsys):
    assert command(packed, "--sources", "s2l2a", "s3") == 2
    assert "s1rtc s2l2a" in one_line(capsys)


def test_a_crop_that_does_not_fit_is_one_line_and_code_2(packed, capsys):
    assert command(packed, "--crop", "21") == 2
    assert "crop" in one_line(capsys)


@pytest.mark.parametrize(
    "options",
    [["--soft", 1.5], ["--batch-size", 0], ["--resume"], ["--epochs", "x"], ["--seeds", -1], ["--workers", -1]],
)
def test_a_bad_option_is_told(packed, capsys, options):
    with pytest.raises(SystemExit, match="2"):
        command(packed, *options)
    assert options[0] in capsys.readouterr().err


# ---- ranks -----------------------------------------------------------------------------------------------------------


def loss_of_views(views, labels, keys, key_labels, first=0):
    pairs = ((views[a], keys[1 - a], labels[a], key_labels[1 - a]) for a in (0, 1))
    return torch.stack([pretrain.soft_contrastive_loss(*pair, 0.5, first) for pair in pairs]).mean()


def one_of_two(rank, folder):
    how = {"init_method": f"file://{folder}/rendezvous", "timeout": timedelta(seconds=60)}  # torch waits half an hour
    dist.init_process_group("gloo", rank=rank, world_size=2, **how)
    views, labels = (v[:, 4 * rank : 4 * rank + 4] for v in torch.load(folder / "all.pt"))
    views = views.clone().requires_grad_()
    keys, key_labels = (torch.cat(list(pretrain.Gathered.apply(v)), 1) for v in (views, labels))
    loss = loss_of_views(views, labels, keys, key_labels, 4 * rank)
    loss.backward()
    torch.save((loss.detach(), views.grad), folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_have_the_loss_and_the_gradients_of_all_samples_together(tmp_path):
    views, labels = nn.functional.normalize(torch.randn(2, 8, 5), dim=2).requires_grad_(), torch.rand(2, 8, 3)
    labels[:, 5] = torch.nan
    loss = loss_of_views(views, labels, views, labels)
    loss.backward()
    torch.save((views.detach(), labels), tmp_path / "all.pt")
    torch.multiprocessing.spawn(one_of_two, (tmp_path,), nprocs=2, daemon=True)
    losses, grads = zip(*(torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)), strict=True)
    torch.testing.assert_close(torch.stack(losses).mean(), loss.detach())
    torch.testing.assert_close(torch.cat(grads, 1) / 2, views.grad)  # DistributedDataParallel takes the mean over ranks


@pytest.mark.slow
def test_two_ranks_of_torchrun_get_as_far_as_one_with_the_batch_of_both(packed, tmp_path):
    def train(launcher, batch_size, folder):
        options = ["--arch", "vit-tiny", *TINY, "--seeds", "4", "--soft", "0.5", "--batch-size", batch_size]
        options += ["--checkpoint", folder]
        with started(
            [sys.executable, "-W", "error", "-m", *launcher, "curation.examples.pretrain", packed, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Ranks find each other over loopback, whatever this machine's name leads to.
            env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        ) as process:
            said, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
        return said, torch.load(folder / "soft-0.5-seed-4.pt", weights_only=True)

    ranks = ["torch.distributed.run", "--nproc-per-node", "2", "--standalone", "-m"]
    out, two = train(ranks, "2", tmp_path / "two")
    _, one = train([], "4", tmp_path / "one")
    assert out.count("samples/s") == 2  # one rank speaks
    assert two["seen"] == one["seen"] == 24
    assert json.dumps(two["data"], sort_keys=True) == json.dumps(one["data"], sort_keys=True)
    assert two["model"].keys() == one["model"].keys()
