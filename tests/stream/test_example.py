import math
import os
import subprocess
import sys

import pytest
import torch

from curation.stream import example

TINY = ["--crop", "16", "--batch-size", "4", "--seeds", "1", "--workers", "0", "--lr", "1e-3"]


def run(packed, capsys, *args):
    code = example.main([str(packed), *TINY, *args])
    out, err = capsys.readouterr()
    return code, out, err


def test_the_loss_is_what_the_file_says():
    torch.manual_seed(0)
    queries, keys = (torch.nn.functional.normalize(torch.randn(n, 5), dim=1) for n in (3, 4))
    own = torch.tensor([[1, 0, 0, 0], [0, 1, 0, 1], [0, 0, 1, 0]], dtype=torch.bool)  # the second location comes twice
    ours, theirs = torch.rand(3, 2), torch.rand(4, 2)
    ours[2] = theirs[0] = torch.nan

    def softmax(values):
        powers = [math.exp(v) for v in values]
        return [p / sum(powers) for p in powers]

    def cosine(a, b):
        return float(a @ b / (a.norm() * b.norm()))

    views = labels = 0.0
    for i in range(3):
        p = softmax([float(queries[i] @ k) / 0.1 for k in keys])
        same = [j for j in range(4) if own[i, j]]
        views -= sum(math.log(p[j]) / len(same) for j in same) / 3
        known = [j for j in range(4) if not theirs[j].isnan().any()]
        if not ours[i].isnan().any():
            t = softmax([cosine(ours[i], theirs[j]) / 0.1 for j in known])
            q = softmax([float(queries[i] @ keys[j]) / 0.1 for j in known])
            labels += sum(a * math.log(a / b) for a, b in zip(t, q, strict=True)) / 2
    for soft in (0.0, 0.3, 1.0):
        got = float(example.soft_contrastive_loss(queries, keys, ours, theirs, own, soft))
        assert got == pytest.approx((1 - soft) * views + soft * labels, rel=1e-4)


def test_where_no_label_is_known_only_views_teach():
    vectors = torch.nn.functional.normalize(torch.randn(4, 5), dim=1).requires_grad_()
    unknown = torch.full((4, 2), torch.nan)
    same = torch.eye(4, dtype=torch.bool)
    loss = example.soft_contrastive_loss(vectors, vectors.detach(), unknown, unknown, same, 1.0)
    loss.backward()
    assert loss.item() == 0
    assert not vectors.grad.any()


def test_average_precision_is_the_mean_precision_at_the_hits():
    scores = torch.tensor([[0.9, 1.0], [0.8, 2.0], [0.7, 3.0], [0.1, 4.0]])
    labels = torch.tensor([[1.0, 1.0], [0.0, 1.0], [1.0, 1.0], [0.0, 1.0]])
    got = example.average_precisions(scores, labels)
    assert float(got[0]) == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert got[1].isnan(), "a label that all have tells nothing apart"


def test_the_probe_finds_what_is_there_to_find():
    torch.manual_seed(0)
    train, val = torch.randn(200, 6), torch.randn(100, 6)
    truth = torch.randn(6, 3)
    labels = [(x @ truth > 0).float() for x in (train, val)]
    assert example.probe((train, labels[0]), (val, labels[1])) > 0.97
    shuffled = labels[0][torch.randperm(200)]
    assert example.probe((train, shuffled), (val, labels[1])) < 0.75


def test_turns_are_the_eight_of_a_square_and_follow_from_the_seed():
    image = torch.arange(6.0).reshape(1, 1, 2, 3)[..., :2].expand(200, 1, 2, 2)
    turned = example.turned(image, 5)
    assert len({tuple(t.flatten().tolist()) for t in turned}) == 8
    assert torch.equal(turned, example.turned(image, 5))


@pytest.mark.parametrize("arch", ["vit-tiny", "resnet"])
def test_features_keep_their_width_at_any_size(arch):
    width, make = example.ARCHITECTURES[arch]
    assert make(3)(torch.randn(2, 3, 32, 64)).shape == (2, width)


@pytest.mark.parametrize(
    "args", [["--radar", "--views", "crops", "--labels", "none"], ["--upsample", "device", "--labels", "annual"]]
)
def test_it_trains_and_probes(packed, capsys, args):
    code, out, err = run(packed, capsys, "--epochs", "2", *args)
    assert (code, err) == (0, "")
    assert "13 train, 2 val" in out
    assert "samples/s  data wait" in out
    assert "linear probe over 1 seeds" in out


def test_a_run_that_was_stopped_ends_with_the_same_weights(packed, capsys, tmp_path):
    def weights(folder):
        return torch.load(folder / "seed-0.pt", weights_only=True)

    assert run(packed, capsys, "--epochs", "3", "--checkpoint", str(tmp_path / "whole"))[0] == 0
    parts = ["--epochs", "3", "--checkpoint", str(tmp_path / "parts"), "--resume"]
    assert "stopped after 4 steps, in epoch 2" in run(packed, capsys, *parts, "--max-steps", "4")[1]
    assert "goes on from" in run(packed, capsys, *parts)[1]
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert whole["seen"] == resumed["seen"] == 36
    assert all(torch.equal(whole["model"][n], v) for n, v in resumed["model"].items())


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--batch-size", "50"], "13 samples are no batch of 50: lower --batch-size"),
        (["--crop", "32"], "crop_px = 32: expected"),
    ],
)
def test_what_cannot_be_trained_on_is_one_line(packed, capsys, args, message):
    code, out, err = run(packed, capsys, *args)
    assert code == 2
    assert err.startswith("error: ")
    assert message in err
    assert "Traceback" not in out + err


def test_a_missing_dataset_is_one_line(tmp_path, capsys):
    code, _, err = run(tmp_path / "nowhere", capsys)
    assert code == 2
    assert "index.json" in err


@pytest.mark.parametrize("args", [["--crop", "20"], ["--soft", "2"], ["--resume"], ["--epochs", "0"]])
def test_bad_options_are_usage_errors(packed, capsys, args):
    with pytest.raises(SystemExit) as exit_:
        example.main([str(packed), *args])
    assert exit_.value.code == 2
    assert "expected" in capsys.readouterr().err


@pytest.mark.slow
def test_two_ranks_train_together_under_torchrun(packed, tmp_path):
    command = [sys.executable, "-W", "error", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "curation.stream.example", str(packed), *TINY, "--epochs", "3", "--batch-size", "2"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--checkpoint", str(tmp_path)], capture_output=True, text=True, env=env, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 ranks" in done.stdout
    assert done.stdout.count("linear probe over") == 1, "only the first rank speaks"
    assert torch.load(tmp_path / "seed-0.pt", weights_only=True)["seen"] == 36
