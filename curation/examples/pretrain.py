"""Pretrains an encoder on shards with a soft contrastive loss, and tells what it learnt. To be read, copied and changed.

    python -m curation.examples.pretrain shards/ssl4eo-s12-ml
    torchrun --nproc-per-node 8 -m curation.examples.pretrain s3://bucket/my-set --arch vit-s --crop 192 --batch-size 256

What a step needs comes from `open_shards` in one piece: two views of each location (two seasons, or two crops of one),
cropped and normalised, with the labels of each. Bringing 20 and 60 m to 10 m, flips and turns are left to the device.

The loss is in the manner of SoftCon (Wang et al. 2024), with the batch of all ranks in the place of its queue. With unit
vectors q_i of one view of location i and k_j of the other view of location j, it is the cross-entropy between

    p(j | i)  =  softmax_j( q_i · k_j / 0.1 )                                 how alike the model finds them
    t(j | i)  =  (1 - s) · [j is i]  +  s · softmax_j( cos(y_i, y_j) / 0.1 )    how alike they are by their labels

where y are the shares of the land cover classes and s is --soft: with 0 labels have no part, it is plain contrastive
learning. Unknown labels (NaN) say nothing: such a location has itself alone to be alike, and is nobody else's.

Then linear probes of frozen features (`curation/worth/probe/`, as of `curate probe`), fitted on train, scored on val by
mean average precision (which classes) and R² (their shares of each location and season): of the very same encoder before
training (random), of what knows place and season alone (metadata), and of each with the labels of other locations. With
--control it is trained once more, as long, on labels of other locations: what that gains is not gained by labels. All is
done with each of --seeds, because one score on few locations is luck, and told with intervals over locations and seeds.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

from curation.errors import ConfigError, DamageError
from curation.examples import pretrain_scores
from curation.examples.pretrain_scores import Columns
from curation.stream.dataset import ShardDataset
from curation.stream.open import open_shards
from curation.stream.resample import upsample

TOKEN_PX = 16
"""Side of a ViT's token."""
TEMPERATURE = 0.1


# ---- models: (image, band, y, x) → (image, width) --------------------------------------------------------------------


class ViT(nn.Module):
    """A plain vision transformer: mean of the tokens. Positions are sines, so that images of any size will do."""

    def __init__(self, bands: int, width: int, depth: int) -> None:
        super().__init__()
        self.width = width
        self.embed = nn.Conv2d(bands, width, TOKEN_PX, TOKEN_PX)
        layers = (
            nn.TransformerEncoderLayer(width, width // 64, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True)
            for _ in range(depth)
        )
        self.blocks = nn.Sequential(*layers, nn.LayerNorm(width))

    def forward(self, images: Tensor) -> Tensor:
        """The features of images."""
        tokens = self.embed(images)
        rate = 0.01 ** torch.linspace(0, 1, self.width // 4, device=images.device)
        angles = [torch.arange(n, device=images.device)[:, None] * rate for n in tokens.shape[2:]]
        y, x = (torch.cat([a.sin(), a.cos()], 1) for a in angles)
        place = torch.cat([y[:, None].expand(-1, len(x), -1), x[None].expand(len(y), -1, -1)], 2)
        return self.blocks(tokens.flatten(2).mT + place.flatten(0, 1)).mean(1)  # type: ignore[no-any-return]


ARCHITECTURES = {"vit-tiny": (192, 4), "vit-s": (384, 12), "vit-b": (768, 12)}
"""Name → (width of the features, blocks)."""


class Pretraining(nn.Module):
    """An encoder and the head that contrastive learning throws away afterwards."""

    def __init__(self, arch: str, bands: int) -> None:
        super().__init__()
        width, depth = ARCHITECTURES[arch]
        self.encoder = ViT(bands, width, depth)
        self.head = nn.Sequential(nn.Linear(width, 512), nn.GELU(), nn.Linear(512, 128))

    def forward(self, images: Tensor) -> Tensor:
        """Unit vectors: (image, 128)."""
        return functional.normalize(self.head(self.encoder(images)).float(), dim=1)


# ---- batches and loss ------------------------------------------------------------------------------------------------


def open_split(args: argparse.Namespace, split: str, **options: Any) -> ShardDataset:
    """A split with the bands of --sources, normalised by the statistics of train."""
    arrays = open_shards(args.data, split, fields=[]).index.arrays
    fields = [n for n, a in arrays.items() if a.source in args.sources and a.role == "data" and a.seasons]
    if missing := set(args.sources) - {arrays[n].source for n in fields}:
        known = sorted({a.source for a in arrays.values() if a.role == "data" and a.seasons})
        raise ConfigError(f"--sources {' '.join(sorted(missing))}: {args.data} has {' '.join(known)}")
    dtype = torch.bfloat16 if args.device.type == "cuda" else None  # half the bytes to move
    return open_shards(args.data, split, fields=fields, normalize=True, dtype=dtype, **options)


def open_views(args: argparse.Namespace, seed: int) -> ShardDataset:
    """Train, two views of each location, in batches that are full on every rank."""
    options = {"batch_size": args.batch_size, "crop_px": args.crop, "views": args.views}
    data = open_split(args, "train", **options, shuffle=True, seed=seed, remainder="drop")
    if not len(data):
        samples, together = data.index.splits["train"].samples, args.batch_size * data.world_size
        raise ConfigError(f"{args.data}: {samples} samples of train are no batch of {together}: lower --batch-size")
    return data


def loader(args: argparse.Namespace, data: ShardDataset) -> DataLoader[Any]:
    """Batches come ready from the reader, so that `batch_size` is None here."""
    cuda, workers = args.device.type == "cuda", args.workers
    return DataLoader(data, batch_size=None, num_workers=workers, persistent_workers=workers > 0, pin_memory=cuda)


def images_of(batch: dict[str, Any], data: ShardDataset, device: torch.device) -> Tensor:
    """All bands on the finest grid, on the device: (sample, season or view, band, y, x)."""
    arrays = [batch[name].to(device, non_blocking=True) for name in data.selection.arrays]
    side = max(a.shape[-1] for a in arrays)
    return torch.cat([upsample(a, side // a.shape[-1], "bilinear") for a in arrays], 2)


def turned(images: Tensor, seed: int) -> Tensor:
    """Each image flipped or turned by a multiple of 90°: one of eight ways, which follow from the seed."""
    ways = torch.rand((3, len(images), 1, 1, 1), generator=torch.Generator().manual_seed(seed)) < 0.5
    ways = ways.to(images.device)
    images = torch.where(ways[0], images.flip(-1), images)
    images = torch.where(ways[1], images.flip(-2), images)
    return torch.where(ways[2], images.mT, images)


def soft_contrastive_loss(q: Tensor, k: Tensor, y_q: Tensor, y_k: Tensor, soft: float, first: int = 0) -> Tensor:
    """The loss that this file begins with, of one view against the other.

    Args:
        q: unit vectors of this rank's locations, (i, feature).
        k: unit vectors of the other view of all ranks' locations, (j, feature).
        y_q: labels, (i, label), NaN where unknown.
        y_k: labels, (j, label), NaN where unknown.
        soft: weight of what labels teach.
        first: the j of this rank's first location.
    """
    own = functional.one_hot(torch.arange(first, first + len(q), device=q.device), len(k)).float()
    known_q, known_k = (~y.isnan().any(1) for y in (y_q, y_k))
    known = known_q & known_k[first : first + len(q)]
    alike = functional.normalize(y_q.nan_to_num(), dim=1) @ functional.normalize(y_k.nan_to_num(), dim=1).T
    alike = (alike / TEMPERATURE).masked_fill(~known_k, -1e4).softmax(1)
    target = torch.where(known[:, None], (1 - soft) * own + soft * alike, own)
    return functional.cross_entropy(q @ k.T / TEMPERATURE, target)


class Gathered(torch.autograd.Function):
    """The tensors of all ranks: (rank, …). Gradients find their way back to the ranks that they come from."""

    @staticmethod
    def forward(ctx: Any, mine: Tensor) -> Tensor:
        """All ranks' tensors, which have one shape."""
        parts = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, mine.contiguous())
        return torch.stack(parts)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        """The sum over ranks of the gradients of this rank's tensor."""
        dist.all_reduce(grad := grad.contiguous())
        return grad[dist.get_rank()]


def loss_of(
    model: nn.Module, batch: dict[str, Any], data: ShardDataset, args: argparse.Namespace, arm: Arm, chance: int
) -> Tensor:
    """The loss of a batch of two views, each against the other."""
    images, labels = images_of(batch, data, args.device), batch["label_fractions"].to(args.device).transpose(0, 1)
    if args.labels == "annual":
        labels = batch["annual_label_fractions"].to(args.device).expand_as(labels)
    if arm.of_others:
        labels = labels.roll(1, 1)
    alone = ~batch["season_ok"][:, 1].to(args.device)  # one season only: its other view is itself
    images[:, 1] = torch.where(alone[:, None, None, None], images[:, 0], images[:, 1])
    labels = torch.stack([labels[0], torch.where(alone[:, None], labels[0], labels[1])])
    with torch.autocast(args.device.type, torch.bfloat16, enabled=args.device.type == "cuda"):
        vectors = model(turned(images.transpose(0, 1).flatten(0, 1), chance)).unflatten(0, (2, -1))
    keys, key_labels, first = vectors, labels, data.rank * labels.shape[1]
    if dist.is_initialized():
        gathered = (Gathered.apply(v) for v in (vectors, labels))
        keys, key_labels = (torch.cat(list(v), 1) for v in gathered)
    pairs = ((vectors[a], keys[1 - a], labels[a], key_labels[1 - a]) for a in (0, 1))
    return torch.stack([soft_contrastive_loss(*pair, arm.soft, first) for pair in pairs]).mean()


# ---- training --------------------------------------------------------------------------------------------------------


class Arm(NamedTuple):
    """What is trained: with which weight of labels, and whether these are of the next location of a batch."""

    soft: float
    of_others: bool = False

    @property
    def name(self) -> str:
        """As it is told."""
        return f"soft {self.soft:g}{' of others' if self.of_others else ''}"

    def is_control_of(self, other: Arm) -> bool:
        """Whether it is trained as the other, but on labels that say nothing."""
        return self.of_others and not other.of_others and self.soft == other.soft


def pretrain(args: argparse.Namespace, arm: Arm, seed: int, model: Pretraining) -> None:
    """Trains the model in place; goes on from a checkpoint where --resume says so."""
    data = open_views(args, seed)
    together = args.batch_size * data.world_size
    total, seen = args.epochs * len(data) * together, 0
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.05)
    made_by = {name: getattr(args, name) for name in ("arch", "sources", "views", "labels", "crop", "epochs", "lr")}
    file = args.checkpoint / f"{arm.name.replace(' ', '-')}-seed-{seed}.pt" if args.checkpoint else None
    if file and args.resume and file.exists():
        saved = torch.load(file, map_location=args.device, weights_only=True)
        if saved["made_by"] != made_by:
            raise ConfigError(f"{file}: made with {saved['made_by']}, not {made_by}: give another --checkpoint")
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        data.load_state_dict(saved["data"])  # goes on within the epoch, on any number of ranks and workers
        seen = saved["seen"]
        say(f"seed {seed}  {arm.name}  goes on from {file}, after {seen} of {total} samples")
    parallel = nn.parallel.DistributedDataParallel(model) if dist.is_initialized() else model
    batches, counted, waited, begun = loader(args, data), 0, 0.0, time.perf_counter()
    for epoch in range(data.epoch, args.epochs):
        data.set_epoch(epoch)
        asked = time.perf_counter()  # workers that start, and begin an epoch, are waited for
        for used, batch in enumerate(batches, 1):
            waited += time.perf_counter() - asked
            share = seen / total
            optimizer.param_groups[0]["lr"] = args.lr * min(share / 0.1 + 0.01, (1 + math.cos(math.pi * share)) / 2)
            loss = loss_of(parallel, batch, data, args, arm, seed * 2**32 + seen + data.rank)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            value = loss.item()  # waits for the device, so that what is waited for from here on is data alone
            seen, counted = seen + together, counted + together
            if file and data.rank == 0 and (seen // together % args.save_every == 0 or seen == total):
                parts = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
                save(file, {**parts, "made_by": made_by, "data": data.state_dict(steps=used), "seen": seen})
            asked = time.perf_counter()
        waited += time.perf_counter() - asked
        if counted and (epoch + 1) % max(args.epochs // 4, 1) == 0:
            times = torch.tensor([time.perf_counter() - begun, waited], device=args.device)
            if dist.is_initialized():
                dist.all_reduce(times, dist.ReduceOp.MAX)  # all wait for the rank that waits longest
            took, waited = times.tolist()
            rate = f"{counted / took:.0f} samples/s, data wait {100 * waited / took:.1f} %"
            say(f"seed {seed}  {arm.name}  epoch {epoch + 1:3}/{args.epochs}  loss {value:.3f}  {rate}")
            counted, waited, begun = 0, 0.0, time.perf_counter()


def save(file: Path, state: dict[str, Any]) -> None:
    """Writes a checkpoint: whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(".new")
    torch.save(state, new)
    new.replace(file)


# ---- linear probe ----------------------------------------------------------------------------------------------------


@torch.no_grad()
def features(args: argparse.Namespace, split: str, encoder: nn.Module) -> Columns:
    """What the encoder makes of each location and season that has labels, of about --probe locations: whole footprints."""
    size = max(args.batch_size // 8, 1)  # of whole footprints in all seasons
    data = open_split(args, split, batch_size=size, shuffle=True)
    found: dict[str, list[Any]] = {n: [] for n in ("x", "labels", "shares", "places", "seasons", "lon", "lat")}
    for number, batch in enumerate(loader(args, data)):
        if number * size * data.world_size >= args.probe:
            break
        hot, shares = batch["labels"], batch["label_fractions"]
        if args.labels == "annual":
            hot, shares = (batch[f"annual_{n}"][:, None].expand_as(hot) for n in ("labels", "label_fractions"))
        use = batch["season_ok"] & ~batch["is_pad"][:, None] & ~torch.cat([hot, shares], 2).isnan().any(2)
        with torch.autocast(args.device.type, torch.bfloat16, enabled=args.device.type == "cuda"):
            found["x"].append(encoder(images_of(batch, data, args.device)[use.to(args.device)]).float().cpu().numpy())
        place, season = (v.numpy() for v in use.nonzero(as_tuple=True))
        of_rows = {"labels": hot[use].numpy(), "shares": shares[use].numpy(), "places": np.array(batch["key"])[place]}
        of_rows |= {"seasons": np.array(data.seasons)[season], **{n: batch[n].numpy()[place] for n in ("lon", "lat")}}
        for name, values in of_rows.items():
            found[name].append(values)
    parts: list[Any] = [{name: np.concatenate(values) for name, values in found.items()}]
    if dist.is_initialized():
        mine, parts = parts[0], [None] * data.world_size
        dist.all_gather_object(parts, mine)
    out = {name: np.concatenate([p[name] for p in parts]) for name in found}
    if not len(out["x"]):
        other = "annual" if args.labels == "seasonal" else "seasonal"
        raise ConfigError(f"{args.data}: no {args.labels} labels are known in {split}: try --labels {other}")
    return out


# ---- the command -----------------------------------------------------------------------------------------------------


def say(line: str) -> None:
    """Prints a line, on the first rank."""
    if not dist.is_initialized() or dist.get_rank() == 0:
        print(line, flush=True)


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        "python -m curation.examples.pretrain",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("data", help="folder or URL of a dataset of shards with splits train and val")
    add("--arch", choices=ARCHITECTURES, default="vit-tiny", help="encoder (%(default)s)")
    add("--sources", nargs="+", default=["s2l2a"], help="what it sees: s2l2a, s1rtc, or both (%(default)s)")
    add("--views", choices=("seasons", "crops"), default="seasons", help="two views of a location (%(default)s)")
    add("--labels", choices=("seasonal", "annual"), default="seasonal", help="which teach and are probed (%(default)s)")
    add("--soft", type=float, nargs="+", default=[0.0, 0.5], help="weights of labels: trains with each (%(default)s)")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2], help="trains once with each (%(default)s)")
    add("--control", action="store_true", help="train once more with each weight, on labels of other locations")
    add("--crop", type=positive, default=48, help="side of a view, in the finest pixels (%(default)s)")
    add("--batch-size", type=positive, default=28, help="locations per step and rank (%(default)s)")
    add("--epochs", type=positive, default=40, help="times through train (%(default)s)")
    add("--lr", type=float, default=1e-3, help="highest learning rate (%(default)s)")
    add("--probe", type=positive, default=5000, help="locations of each split in the probe (%(default)s)")
    add("--workers", type=int, default=2, help="processes per rank that read (%(default)s)")
    add("--device", choices=("cpu", "cuda"), help="cuda computes in bfloat16 (cuda where there is one)")
    add("--checkpoint", type=Path, metavar="FOLDER", help="keep the state of each training here")
    add("--save-every", type=positive, default=100, metavar="STEPS", help="steps between checkpoints (%(default)s)")
    add("--resume", action="store_true", help="go on from the checkpoints there are, with the sample that comes next")
    args = parser.parse_args(argv)
    if not all(0 <= soft <= 1 for soft in args.soft):
        parser.error(f"--soft {args.soft}: expected 0 to 1")
    if not all(0 <= seed < 2**31 for seed in args.seeds):
        parser.error(f"--seeds {args.seeds}: expected 0 to {2**31 - 1}")
    if args.workers < 0:
        parser.error(f"--workers {args.workers}: expected 0 or more")
    if args.resume and not args.checkpoint:
        parser.error("--resume: expected --checkpoint FOLDER with it, to go on from")
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch finds no GPU")
    cuda = args.device != "cpu" and torch.cuda.is_available()
    args.device = torch.device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if cuda else "cpu")
    return args


def positive(text: str) -> int:
    """A whole number above 0."""
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number above 0")
    return int(text)


def run(args: argparse.Namespace) -> None:
    """Pretrains and probes with each seed: before training, and after it with each weight of the labels.

    Raises:
        ConfigError: data that this cannot train on.
        DamageError: damaged data.
    """
    data = open_views(args, seed=0)  # tells at once what cannot be
    open_split(args, "val")
    bands = sum(len(data.index.arrays[n].bands) for n in data.selection.arrays)
    sizes = ", ".join(f"{s.samples} locations of {name}" for name, s in data.index.splits.items())
    say(f"{sizes}; {bands} bands; {args.arch} on {data.world_size} × {args.device.type}")
    if not data.index.label_names:
        raise ConfigError(f"{args.data}: it has no labels: they teach, and are what is probed")
    arms = [Arm(soft) for soft in args.soft]
    arms += [Arm(soft, of_others=True) for soft in args.soft if soft and args.control]
    names, found = ["random", *(a.name for a in arms)], []
    for seed in args.seeds:
        columns: dict[str, list[Columns]] = {"train": [], "val": []}
        for arm in (None, *arms):
            torch.manual_seed(seed)  # every arm begins with the same weights
            model = Pretraining(args.arch, bands).to(args.device)
            if arm is not None:
                pretrain(args, arm, seed, model)
            for split, of_arms in columns.items():
                of_arms.append(features(args, split, model.encoder))
        found.append(pretrain_scores.probed(columns["train"], columns["val"], names, data.index.label_names))
        for line in pretrain_scores.of_seed(found[-1]):
            say(f"seed {seed}  {line}")
    pairs = [
        (a.name, b) for a in arms for b in ("random", *(b.name for b in arms if a.soft > b.soft or b.is_control_of(a)))
    ]
    for line in pretrain_scores.summary(found, pairs):
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
            print(f"error: {str(err).splitlines()[-1]}", file=sys.stderr)  # a worker's comes with a traceback
        return 2
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(main())
