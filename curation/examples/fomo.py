"""Pretrains a masked autoencoder on images of many sensors; tells what it knows of bands. To be read, copied and changed.

    python -m curation.examples.fomo forests=shards/fomo ben=chips/benv2/shards --unseen s2.b06 s2.b8a
    torchrun --nproc-per-node 8 -m curation.examples.fomo forests=s3://bucket/fomo trees=s3://bucket/trees --steps 20000

In the manner of FoMo-Net (Bountos et al. 2023), smaller: a token is a square of pixels of one channel; some are hidden, and
reconstructed from the others; the loss is over hidden pixels that have data. A dataset is `name=FOLDER` or `name=URL`: those
of its arrays whose pixels are whole multiples of the finest ones, on the same footprint, become one image; others are parts
of their own. A batch is of one part, and each step sees some of its channels, in any order.

Nothing in the network belongs to a sensor: light is known by wavelength and width, and is moved about within its width while
the network learns; all else by words (radar, its polarisation, elevation). So a band may be asked for that it never saw:
--unseen leaves bands out of training, in all datasets, and asks for them afterwards.

What is scored is a whole channel, reconstructed from all others that training saw, on places of val: R² against the mean of
train, beside

    nearest    a copy of the channel whose wavelength is nearest
    between    the straight line, over wavelength, between its neighbours on both sides
    ridge      ridge regression, pixel by pixel, from the same channels, fitted on train: of an unseen band on that band
               itself, which nobody else was shown

A network that does not beat ridge is not worth its while for this. Intervals are of a bootstrap over places and seeds.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from curation.errors import ConfigError, DamageError
from curation.errors.printable import printable
from curation.examples.fomo_data import Data, batches, scaled
from curation.examples.fomo_model import HEAD, Fomo, hidden, loss_of
from curation.examples.fomo_scores import judge, lines, moments
from curation.stream import MixDataset, select_bands

# ---- training --------------------------------------------------------------------------------------------------------


def step_loss(model: nn.Module, batch: dict[str, Any], data: Data, seed: int, step: int) -> Tensor:
    """The loss of a batch over all ranks: of some of its channels, some tokens of which are hidden, by seed and step."""
    args, part = data.args, batch["dataset"]
    draw = torch.Generator().manual_seed(seed * 2**32 + step)  # the same on every rank
    count = len(batch["bands"])
    some = int(torch.randint((count + 1) // 2, count + 1, (), generator=draw))
    batch = select_bands(batch, torch.randperm(count, generator=draw)[:some].tolist())
    of = data.channels[part].select(batch["bands"])
    image, valid = scaled(batch, of, args.device)
    is_hidden = hidden(some, (image.shape[2] // args.token) * (image.shape[3] // args.token), draw).to(args.device)
    shift = torch.rand(some, generator=draw) - 0.5
    found = model(image, valid, of, batch["ground_m"], is_hidden, shift)
    total, pixels = loss_of(found, image, valid, of, is_hidden, args.token)
    ranks = dist.get_world_size() if dist.is_initialized() else 1
    if dist.is_initialized():
        dist.all_reduce(pixels)
    return ranks * total / pixels.clamp(min=1)  # gradients are the mean over ranks


def trained(data: Data, seed: int) -> Fomo:
    """A network that has learnt from train; goes on from a checkpoint where --resume says so."""
    args = data.args
    torch.manual_seed(seed)
    model = Fomo(args.width, args.depth, args.token, data.words).to(args.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.01)
    mix = data.open("train", crop=True, temperature=args.temperature, resampled=True, seed=seed)
    checkpoint = Checkpoint(data, seed, model, optimizer, mix)
    step = checkpoint.resumed()
    parallel = nn.parallel.DistributedDataParallel(model) if dist.is_initialized() else model
    loader, begun, counted, waited, losses = batches(args, mix), time.perf_counter(), 0, 0.0, []
    while step < args.steps:
        asked = time.perf_counter()
        for used, batch in enumerate(loader, 1):
            waited += time.perf_counter() - asked
            share = step / args.steps
            optimizer.param_groups[0]["lr"] = args.lr * min(share / 0.05 + 0.05, (1 + math.cos(math.pi * share)) / 2)
            loss = step_loss(parallel, batch, data, seed, step)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.detach())
            step, counted = step + 1, counted + 1
            if step % max(args.steps // 4, 1) == 0 or step == args.steps:
                took = time.perf_counter() - begun
                rate = counted * args.batch_size * mix.world_size / took
                left = f"{(args.steps - step) * took / counted:.0f} s left"
                done = f"seed {seed}  step {step:5}/{args.steps}  loss {torch.stack(losses).mean():.4f}"
                say(f"{done}  {rate:.0f} crops/s, data wait {100 * waited / took:.1f} %, {left}")
                losses.clear()
            if (step % args.save_every == 0 or step == args.steps) and mix.rank == 0:
                checkpoint.save(step, used)
            if step == args.steps:
                break
            asked = time.perf_counter()
    return model


class Checkpoint:
    """The state of a training in a file of --checkpoint; nothing where there is no such folder."""

    def __init__(self, data: Data, seed: int, model: Fomo, optimizer: torch.optim.Optimizer, mix: MixDataset) -> None:
        args = data.args
        names = ("crop", "depth", "lr", "steps", "temperature", "token", "upsample", "width")
        content = {name: part.dataset.index.content_sha256 for name, part in mix.parts.items()}
        self.made_by = {name: getattr(args, name) for name in names} | {"data": content, "unseen": sorted(data.unseen)}
        self.mix, self.model, self.optimizer = mix, model, optimizer
        self.file = args.checkpoint / f"fomo-seed-{seed}.pt" if args.checkpoint else None
        self.is_wanted, self.device = args.resume, args.device

    def save(self, step: int, used: int) -> None:
        """Writes it whole or not at all, after so many batches of the epoch."""
        if self.file is None:
            return
        parts = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "step": step}
        self.file.parent.mkdir(parents=True, exist_ok=True)
        new = self.file.with_suffix(".new")
        torch.save({**parts, "made_by": self.made_by, "data": self.mix.state_dict(steps=used)}, new)
        new.replace(self.file)

    def resumed(self) -> int:
        """The step that it goes on from, 0 where nothing is there. Raises ConfigError where it is of another training."""
        if not (self.is_wanted and self.file and self.file.exists()):
            return 0
        saved = torch.load(self.file, map_location=self.device, weights_only=True)
        if saved["made_by"] != self.made_by:
            raise ConfigError(
                f"{self.file}: made with {saved['made_by']}, not {self.made_by}: give another --checkpoint"
            )
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.mix.load_state_dict(saved["data"])  # goes on within the epoch, on any number of ranks and workers
        say(f"goes on from {self.file}, after {saved['step']} steps")
        return int(saved["step"])


# ---- the command -----------------------------------------------------------------------------------------------------


def say(line: str) -> None:
    """Prints a line, on the first rank, without what lets anybody into a URL."""
    if not dist.is_initialized() or dist.get_rank() == 0:
        print(printable(line), flush=True)


def positive(text: str) -> int:
    """A whole number above 0."""
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number above 0")
    return int(text)


def named(text: str) -> tuple[str, str]:
    """(name, folder or URL) of a dataset."""
    name, _, url = text.partition("=")
    if not name or not url or "/" in name:
        raise argparse.ArgumentTypeError(f"{printable(text)}: expected name=FOLDER or name=URL")
    return name, url


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        "python -m curation.examples.fomo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("data", nargs="+", type=named, metavar="NAME=DATASET", help="folders or URLs of datasets of shards")
    add("--unseen", nargs="+", default=[], metavar="BAND", help="bands, as s2.b8a, that training is not to see")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2], help="train once with each (%(default)s)")
    add("--steps", type=positive, default=500, help="batches of a training (%(default)s)")
    add("--batch-size", type=positive, default=16, help="crops per step and rank (%(default)s)")
    add("--crop", type=positive, default=32, help="side of a crop, in the finest pixels (%(default)s)")
    how = "how coarser arrays of a part come onto its finest pixels (%(default)s)"
    add("--upsample", choices=("nearest", "bilinear"), default="bilinear", help=how)
    add("--token", type=positive, default=8, help="side of a token, in pixels (%(default)s)")
    add("--width", type=positive, default=64, help=f"of a token's vector, a multiple of {HEAD} (%(default)s)")
    add("--depth", type=positive, default=3, help="blocks of the encoder (%(default)s)")
    add("--lr", type=float, default=4e-3, help="highest learning rate (%(default)s)")
    add("--temperature", type=float, default=2.0, help="more of it draws small datasets oftener (%(default)s)")
    add("--windows", type=positive, default=8, help="about so many windows of each footprint are scored (%(default)s)")
    add(
        "--passes",
        type=positive,
        default=2,
        help="through train and val for scores, each of another season (%(default)s)",
    )
    add("--workers", type=int, default=0, help="processes per rank that read, beside threads of this one (%(default)s)")
    add("--device", choices=("cpu", "cuda"), default="cpu", help="where to compute (%(default)s)")
    add("--checkpoint", type=Path, metavar="FOLDER", help="keep the state of each training there")
    add("--save-every", type=positive, default=100, metavar="STEPS", help="steps between checkpoints (%(default)s)")
    add(
        "--resume",
        action="store_true",
        help="go on from the checkpoints there are; what is trained is not trained again",
    )
    args = parser.parse_args(argv)
    if len(dict(args.data)) != len(args.data):
        parser.error(f"{' '.join(name for name, _ in args.data)}: expected each name once")
    args.data = dict(args.data)
    if not all(0 <= seed < 2**31 for seed in args.seeds) or len(set(args.seeds)) != len(args.seeds):
        parser.error(f"--seeds {args.seeds}: expected 0 to {2**31 - 1}, each once")
    if args.width % HEAD:
        parser.error(f"--width {args.width}: expected a multiple of {HEAD}")
    if args.crop % args.token:
        parser.error(f"--crop {args.crop}: expected a multiple of --token {args.token}")
    if args.workers < 0:
        parser.error(f"--workers {args.workers}: expected 0 or more")
    if args.resume and not args.checkpoint:
        parser.error("--resume: expected --checkpoint FOLDER with it, to go on from")
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch finds no GPU")
    args.device = torch.device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if args.device == "cuda" else "cpu")
    return args


def run(args: argparse.Namespace) -> None:
    """Trains with each seed, and scores all on val.

    Raises:
        ConfigError: data that this cannot learn from, or that cannot be scored: before anything is trained.
        DamageError: damaged data.
    """
    data = Data(args)
    for split in ("train", "val"):
        data.open(split, every=True)  # tells at once what cannot be
    for part, of in data.channels.items():
        bands = " ".join(f"{name}{' (unseen)' if name in data.unseen else ''}" for name in of.names)
        say(f"{part}: {data.side_px[part]} px of {data.ground_m[part]:g} m: {bands}")
    models = {f"seed {seed}": trained(data, seed) for seed in args.seeds}
    for line in lines(data, judge(data, moments(data), models), list(models)):
        say(line)


def main(argv: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    args = arguments(argv)
    if "RANK" in os.environ:  # torchrun
        if args.device.type == "cuda":
            torch.cuda.set_device(args.device)
        dist.init_process_group("nccl" if args.device.type == "cuda" else "gloo")
    try:
        run(args)
    except (ConfigError, DamageError) as err:
        if int(os.environ.get("RANK", "0")) == 0 or isinstance(err, DamageError):  # others were told the same
            print(
                f"error: {printable(str(err).splitlines()[-1])}", file=sys.stderr
            )  # a worker's comes with a traceback
        return 2
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(main())
