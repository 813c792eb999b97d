r"""Pretrains an encoder on shards with a soft contrastive loss, and tells what it learnt. To be read, copied and changed.

    python -m curation.stream.example shards/ssl4eo-s12-ml
    torchrun --nproc-per-node 8 -m curation.stream.example s3://bucket/my-set --arch vit-s --crop 224 \
        --batch-size 256 --seeds 1

What a step needs comes from `open_shards` in one piece: two views of each location (two seasons, or two crops of one),
cropped, normalised, on one grid, with the labels of each view. Only flips and turns are made here.

The loss is in the manner of SoftCon (Wang et al. 2024), with the batch in the place of a momentum encoder. Let q_i and
k_j be the unit vectors of one view of location i and the other view of location j, over all ranks, and

    p(j | i)    =  softmax_j( q_i · k_j / 0.1 )                  how alike the model finds them
    own(j | i)  =  1 where j is location i, else 0               what two views teach
    t(j | i)    =  softmax_j( cos(y_i, y_j) / 0.1 )              what labels teach: y are the shares of land cover classes
    loss        =  (1 - s) · mean_i CE(own, p)  +  s · mean_i KL(t ‖ p)          s is --soft; both views take both parts

Where labels are unknown (NaN) nobody knows how alike two places are: such a location is left out of the second part, as
i and as j, and counts through its own two views alone. A location that a batch has twice (`--balance`) counts as its own
view.

Then a linear probe: logistic regression from frozen features to the labels of each location and season, fitted on train,
scored on val by mean average precision, beside the very same encoder as it was before training. Val was never seen; train
was, with its labels, so that a score on folds of train would flatter the pretrained encoder and is not given.
"""

from __future__ import annotations

import argparse
import copy
import math
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.nn.functional as dist_nn
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

from curation.model import ConfigError, DamageError, ReadError
from curation.stream import ShardDataset, open_shards, upsample

PATCH = 16
"""Side of a ViT's token, and what crops must be a multiple of; pixels of 10 m."""
TEMPERATURE = 0.1
OPTICAL, RADAR = "s2l2a", "s1rtc"
"""Sources."""


# ---- models: (image, band, y, x) → (image, width) --------------------------------------------------------------------


class ViT(nn.Module):
    """A plain vision transformer: mean of the tokens. Positions are sines, so that any size of image does."""

    def __init__(self, bands: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.width = width
        self.embed = nn.Conv2d(bands, width, PATCH, PATCH)
        block = partial(nn.TransformerEncoderLayer, dropout=0.0, activation="gelu", batch_first=True, norm_first=True)
        self.blocks = nn.Sequential(*(block(width, heads, 4 * width) for _ in range(depth)), nn.LayerNorm(width))

    def forward(self, images: Tensor) -> Tensor:
        """The features of images."""
        tokens = self.embed(images)
        rows, columns = (torch.arange(n, device=images.device) for n in tokens.shape[2:])
        rate = 0.01 ** torch.linspace(0, 1, self.width // 4, device=images.device)
        y, x = (n[:, None] * rate for n in (rows, columns))
        y, x = torch.cat([y.sin(), y.cos()], 1)[:, None], torch.cat([x.sin(), x.cos()], 1)[None]
        place = torch.cat([y.expand(-1, len(columns), -1), x.expand(len(rows), -1, -1)], 2).flatten(0, 1)
        return self.blocks(tokens.flatten(2).mT + place).mean(1)  # type: ignore[no-any-return]


class Residual(nn.Module):
    """Two convolutions and a way around them. Group norm needs no large batches and no talk between ranks."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.GroupNorm(8, outputs), nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.GroupNorm(8, outputs),
        )  # fmt: skip
        self.around = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """The features of features."""
        return functional.relu(self.body(x) + self.around(x))


def resnet(bands: int, width: int) -> nn.Module:
    """A ResNet of 18 layers, whose last stage is `width` wide."""
    sizes = [width // 8, width // 8, width // 4, width // 2, width]
    stem = [nn.Conv2d(bands, sizes[0], 7, 2, 3), nn.GroupNorm(8, sizes[0]), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    pairs = zip(sizes, sizes[1:], (1, 2, 2, 2), strict=False)
    stages = [nn.Sequential(Residual(a, b, stride), Residual(b, b, 1)) for a, b, stride in pairs]
    return nn.Sequential(*stem, *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten())


ARCHITECTURES = {
    "vit-tiny": (192, lambda bands: ViT(bands, 192, depth=4, heads=3)),
    "vit-s": (384, lambda bands: ViT(bands, 384, depth=12, heads=6)),
    "resnet": (512, lambda bands: resnet(bands, 512)),
}
"""Name → (width of the features, what makes it)."""


class Pretraining(nn.Module):
    """An encoder and the head that contrastive learning throws away afterwards."""

    def __init__(self, arch: str, bands: int) -> None:
        super().__init__()
        width, make = ARCHITECTURES[arch]
        self.encoder: nn.Module = make(bands)
        self.head = nn.Sequential(nn.Linear(width, 512), nn.GELU(), nn.Linear(512, 128))

    def forward(self, images: Tensor) -> Tensor:
        """Unit vectors: (image, 128)."""
        return functional.normalize(self.head(self.encoder(images)).float(), dim=1)


# ---- batches and loss ------------------------------------------------------------------------------------------------


def open_data(args: argparse.Namespace, split: str, crop_px: int, **options: Any) -> ShardDataset:
    """A split with the arrays of this example: normalised, cropped, and on one grid unless the device is to see to that."""
    on_device = args.upsample == "device"
    return open_shards(
        args.data,
        split,
        fields=args.fields,
        crop_px=math.ceil(crop_px / 6) * 6 if on_device else crop_px,  # whole pixels of 60 m, where they come as stored
        upsample=None if on_device else "bilinear",
        normalize=True,
        dtype=torch.bfloat16 if args.device.type == "cuda" else None,
        **options,
    )


def loader(args: argparse.Namespace, data: ShardDataset) -> DataLoader[Any]:
    """Batches come ready from the reader, so that `batch_size` is None here."""
    cuda = args.device.type == "cuda"
    return DataLoader(
        data, batch_size=None, num_workers=args.workers, persistent_workers=args.workers > 0, pin_memory=cuda
    )


def images_of(batch: dict[str, Any], args: argparse.Namespace, crop: int) -> Tensor:
    """All bands on one grid, on the device: (sample, season or view, band, crop, crop)."""
    arrays = [batch[name].to(args.device, non_blocking=True) for name in args.fields]
    side = max(a.shape[-1] for a in arrays)
    arrays = [upsample(a, side // a.shape[-1], "bilinear") for a in arrays]
    return torch.cat(arrays, 2)[..., :crop, :crop]


def turned(images: Tensor, seed: int) -> Tensor:
    """Each image flipped or turned by a multiple of 90°: one of eight ways, which follow from the seed."""
    ways = torch.rand((3, len(images), 1, 1, 1), generator=torch.Generator().manual_seed(seed)) < 0.5
    ways = ways.to(images.device)
    images = torch.where(ways[0], images.flip(-1), images)
    images = torch.where(ways[1], images.flip(-2), images)
    return torch.where(ways[2], images.mT, images)


def labels_of(batch: dict[str, Any], args: argparse.Namespace) -> Tensor:
    """Shares of the labels per view, NaN where unknown: (sample, 2, label)."""
    fractions: Tensor = batch["label_fractions"].to(args.device)
    if args.labels == "annual":
        annual: Tensor = batch["annual_label_fractions"].to(args.device)
        return annual[:, None].expand_as(fractions)
    return fractions if args.labels == "seasonal" else torch.full_like(fractions, torch.nan)


def soft_contrastive_loss(
    queries: Tensor, keys: Tensor, query_labels: Tensor, key_labels: Tensor, same: Tensor, soft: float
) -> Tensor:
    """The loss that this file begins with, of one view against the other.

    Args:
        queries: unit vectors of this rank's locations, (i, feature).
        keys: unit vectors of the other view of all ranks' locations, (j, feature).
        query_labels: (i, label), NaN where unknown.
        key_labels: (j, label), NaN where unknown.
        same: whether i and j are one location, (i, j); at least one j is.
        soft: weight of the part that labels teach.
    """
    logits = queries @ keys.T / TEMPERATURE
    own = same / same.sum(1, keepdim=True)
    views = -(own * logits.log_softmax(1)).sum(1).mean()
    known_i, known_j = (~y.isnan().any(1) for y in (query_labels, key_labels))
    alike = functional.cosine_similarity(query_labels.nan_to_num()[:, None], key_labels.nan_to_num()[None], dim=2)
    log_t, log_p = ((a / TEMPERATURE).masked_fill(~known_j, -1e4).log_softmax(1) for a in (alike, queries @ keys.T))
    labels = (log_t.exp() * (log_t - log_p)).sum(1)[known_i].sum() / known_i.sum().clamp(min=1)
    return (1 - soft) * views + soft * labels


def loss_of(model: nn.Module, batch: dict[str, Any], args: argparse.Namespace, seed: int) -> Tensor:
    """The loss of a batch of two views."""
    there = batch["season_ok"].to(args.device)[:, 1]
    images, labels = images_of(batch, args, args.crop), labels_of(batch, args)
    images[:, 1] = torch.where(there[:, None, None, None], images[:, 1], images[:, 0])  # a location with one season
    labels = torch.stack([labels[:, 0], torch.where(there[:, None], labels[:, 1], labels[:, 0])])
    with torch.autocast(args.device.type, torch.bfloat16, enabled=args.device.type == "cuda"):
        vectors = model(turned(images.transpose(0, 1).flatten(0, 1), seed)).unflatten(0, (2, -1))
    place = torch.stack([batch["lon"], batch["lat"]], 1).to(args.device)
    everywhere, keys, key_labels = gathered(place, 0), gathered(vectors, 1), gathered(labels, 1)
    same = (place[:, None] == everywhere[None]).all(2)
    halves = [
        soft_contrastive_loss(vectors[a], keys[1 - a], labels[a], key_labels[1 - a], same, args.soft) for a in (0, 1)
    ]
    return (halves[0] + halves[1]) / 2


def gathered(values: Tensor, dim: int) -> Tensor:
    """The values of all ranks along an axis; gradients find their way back."""
    return torch.cat(dist_nn.all_gather(values.contiguous()), dim) if dist.is_initialized() else values


# ---- training --------------------------------------------------------------------------------------------------------


def pretrain(args: argparse.Namespace, seed: int) -> tuple[nn.Module, nn.Module] | None:
    """(encoder, the same encoder before training); None where --max-steps ended it first."""
    data = open_data(
        args, "train", args.crop, batch_size=args.batch_size, views=args.views, balance=args.balance, shuffle=True,
        seed=seed, remainder="drop",
    )  # fmt: skip
    samples, together = data.index.splits["train"].samples, args.batch_size * data.world_size
    if not len(data):
        raise ConfigError(f"{args.data}: {samples} samples are no batch of {together}: lower --batch-size")
    torch.manual_seed(seed)
    model = Pretraining(args.arch, sum(len(data.index.arrays[n].bands) for n in data.selection.arrays)).to(args.device)
    before = copy.deepcopy(model.encoder)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.05)
    total, seen, steps = args.epochs * len(data) * together, 0, 0
    file = args.checkpoint / f"seed-{seed}.pt" if args.checkpoint else None
    if args.resume and file and file.exists():
        saved = torch.load(file, map_location=args.device, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        data.load_state_dict(saved["data"])  # goes on within the epoch, on any number of ranks and workers
        seen = saved["seen"]
        say(f"seed {seed}: goes on from {file}: epoch {data.epoch + 1}, {seen} samples seen")
    parallel = nn.parallel.DistributedDataParallel(model) if dist.is_initialized() else model
    batches = loader(args, data)
    for epoch in range(data.epoch, args.epochs):
        data.set_epoch(epoch)
        used, losses, waited, begun = 0, 0.0, 0.0, time.perf_counter()
        waiting = begun
        for batch in batches:
            waited += time.perf_counter() - waiting
            share = min(seen / total, 1.0)
            optimizer.param_groups[0]["lr"] = args.lr * min(share / 0.1, (1 + math.cos(math.pi * share)) / 2) + 1e-6
            loss = loss_of(parallel, batch, args, seed * 2**32 + seen + data.rank)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses += loss.item()  # waits for the GPU, so that what follows is waiting for data and nothing else
            used, steps, seen = used + 1, steps + 1, seen + together
            if file and (steps % args.save_every == 0 or steps == args.max_steps):
                save(file, model, optimizer, data.state_dict(steps=used), seen)
            if steps == args.max_steps:
                say(f"seed {seed}: stopped after {steps} steps, in epoch {epoch + 1}; go on with --resume")
                return None
            waiting = time.perf_counter()
        took = time.perf_counter() - begun
        if used and ((epoch + 1) % max(args.epochs // 5, 1) == 0 or epoch == 0):
            say(
                f"seed {seed}  epoch {epoch + 1:3}/{args.epochs}  loss {losses / used:.3f}  "
                f"{used * together / took:.0f} samples/s  data wait {100 * waited / took:.1f} %"
            )
        if file and used:
            save(file, model, optimizer, data.state_dict(steps=used), seen)
    return model.encoder, before


def save(file: Path, model: nn.Module, optimizer: torch.optim.Optimizer, data: dict[str, Any], seen: int) -> None:
    """Writes a checkpoint, on the first rank: whole or not at all."""
    if dist.is_initialized() and dist.get_rank():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(
        {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "data": data, "seen": seen}, f"{file}.new"
    )
    Path(f"{file}.new").replace(file)


# ---- linear probe ----------------------------------------------------------------------------------------------------


@torch.no_grad()
def features(args: argparse.Namespace, split: str, encoders: tuple[nn.Module, ...]) -> tuple[list[Tensor], Tensor]:
    """(features per encoder, labels) of each location and season that has both, of up to --probe locations."""
    size = max(8, args.batch_size // 8)  # whole footprints: labels are of these
    crop = args.footprint // PATCH * PATCH
    data = open_data(args, split, crop, crop="center", batch_size=size, shuffle=True, rank=0, world_size=1)
    found: list[list[Tensor]] = [[] for _ in encoders]
    labels: list[Tensor] = []
    for number, batch in enumerate(loader(args, data)):
        if number * size >= args.probe:
            break
        annual = args.labels == "annual"
        y = batch["annual_labels"][:, None].expand_as(batch["labels"]) if annual else batch["labels"]
        use = batch["season_ok"] & ~batch["is_pad"][:, None] & ~y.isnan().any(2)
        labels.append(y[use].clone())
        images = images_of(batch, args, crop)[use.to(args.device)]
        for encoder, out in zip(encoders, found, strict=True):
            with torch.autocast(args.device.type, torch.bfloat16, enabled=args.device.type == "cuda"):
                out.append(encoder(images).float().cpu())
    return [torch.cat(f) for f in found], torch.cat(labels)


def average_precisions(scores: Tensor, labels: Tensor) -> Tensor:
    """Mean precision over the ranks of the positives, per label; NaN where a label has none or nothing else: (label,)."""
    hits = labels.gather(0, scores.argsort(0, descending=True))
    precision = hits.cumsum(0) / torch.arange(1, len(hits) + 1)[:, None]
    count = hits.sum(0)
    return ((precision * hits).sum(0) / count).where((count > 0) & (count < len(hits)), torch.nan)


def probe(train: tuple[Tensor, Tensor], val: tuple[Tensor, Tensor], decay: float = 0.01) -> float:
    """Mean average precision on val of logistic regression fitted on train, over the labels that tell val's apart."""
    x, y = train
    mean, deviation = x.mean(0), x.std(0) + 1e-6
    x, z = (x - mean) / deviation, (val[0] - mean) / deviation
    linear = nn.Linear(x.shape[1], y.shape[1])
    for parameter in linear.parameters():
        nn.init.zeros_(parameter)
    optimizer = torch.optim.LBFGS(linear.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = functional.binary_cross_entropy_with_logits(linear(x), y) + decay / 2 * linear.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return float(average_precisions(linear(z).detach(), val[1]).nanmean())


# ---- the command -----------------------------------------------------------------------------------------------------


def say(line: str) -> None:
    """Prints a line, on the first rank."""
    if not dist.is_initialized() or dist.get_rank() == 0:
        print(line, flush=True)


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    text = __doc__ or ""
    parser = argparse.ArgumentParser(
        "python -m curation.stream.example", description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("data", help="folder or URL of a dataset of shards, with splits train and val")
    add("--arch", choices=ARCHITECTURES, default="vit-tiny", help="encoder (default: %(default)s)")
    add("--radar", action="store_true", help="give it Sentinel-1 besides Sentinel-2")
    add(
        "--views",
        choices=("seasons", "crops"),
        default="seasons",
        help="two views of a location (default: %(default)s)",
    )
    add(
        "--labels",
        choices=("seasonal", "annual", "none"),
        default="seasonal",
        help="which teach and are probed; none: two views teach, seasonal ones are probed (default: %(default)s)",
    )
    add("--soft", type=float, default=0.5, help="weight of what labels teach, 0 to 1 (default: %(default)s)")
    add("--balance", action="store_true", help="draw locations with rare labels more often")
    add(
        "--crop",
        type=int,
        default=96,
        help=f"side of a view, pixels of 10 m, a multiple of {PATCH} (default: %(default)s)",
    )
    add("--upsample", choices=("reader", "device"), help="who brings 20 and 60 m to 10 m (default: device on a GPU)")
    add("--batch-size", type=int, default=16, help="locations per step and rank (default: %(default)s)")
    add("--epochs", type=int, default=100, help="times through train (default: %(default)s)")
    add("--lr", type=float, default=5e-4, help="highest learning rate (default: %(default)s)")
    add(
        "--seeds",
        type=int,
        default=3,
        help="repeat all with so many seeds: small sets are noisy (default: %(default)s)",
    )
    add("--probe", type=int, default=5000, help="locations of each split for the probe (default: %(default)s)")
    add("--workers", type=int, default=2, help="processes that read, per rank (default: %(default)s)")
    add("--device", type=torch.device, help="cpu, cuda, … (default: cuda where there is one)")
    add(
        "--checkpoint", type=Path, metavar="FOLDER", help="keep seed-N.pt here, after each epoch and --save-every steps"
    )
    add("--save-every", type=int, default=500, metavar="STEPS", help="within an epoch (default: %(default)s)")
    add(
        "--resume",
        action="store_true",
        help="go on from --checkpoint, where it has one, with the sample that comes next",
    )
    add(
        "--max-steps", type=int, default=0, help="stop after so many steps of this run; 0: never (default: %(default)s)"
    )
    args = parser.parse_args(argv)
    for name in ("batch_size", "epochs", "seeds", "probe", "save_every"):
        if getattr(args, name) < 1:
            parser.error(f"--{name.replace('_', '-')} {getattr(args, name)}: expected ≥ 1")
    if args.crop < PATCH or args.crop % PATCH:
        parser.error(f"--crop {args.crop}: expected a multiple of {PATCH}")
    if not 0 <= args.soft <= 1:
        parser.error(f"--soft {args.soft}: expected 0 to 1")
    if args.resume and not args.checkpoint:
        parser.error("--resume: expected --checkpoint FOLDER beside it, to go on from")
    local = os.environ.get("LOCAL_RANK", "0")
    args.device = args.device or torch.device(f"cuda:{local}" if torch.cuda.is_available() else "cpu")
    args.upsample = args.upsample or ("device" if args.device.type == "cuda" else "reader")
    args.soft = 0.0 if args.labels == "none" else args.soft
    return args


def run(args: argparse.Namespace) -> None:
    """Pretrains and probes, once per seed.

    Raises:
        ConfigError: data that this cannot train on.
        DamageError: damaged data.
        ReadError: data that could not be read.
    """
    index = open_shards(args.data, "train", fields=[]).index
    sources = (OPTICAL, RADAR) if args.radar else (OPTICAL,)
    found = {n: a for n, a in index.arrays.items() if a.source in sources and a.role == "data"}
    if missing := [s for s in sources if s not in {a.source for a in found.values()}]:
        raise ConfigError(f"{args.data}: nothing of {', '.join(missing)}; it has {', '.join(index.arrays)}")
    args.fields = sorted(found, key=lambda n: (found[n].source != OPTICAL, found[n].res_m))
    args.footprint = max(a.shape[-1] for a in found.values())
    splits = ", ".join(f"{s.samples} {name}" for name, s in index.splits.items())
    ranks = dist.get_world_size() if dist.is_initialized() else 1
    precision = "bfloat16" if args.device.type == "cuda" else "float32"
    say(f"{args.data}: {splits}; {', '.join(args.fields)}; {args.arch} on {args.device}, {precision}, {ranks} ranks")
    scores = []
    for seed in range(args.seeds):
        encoders = pretrain(args, seed)
        if encoders is None:
            return
        if dist.is_initialized() and dist.get_rank():
            continue
        fits, truths = zip(*(features(args, split, encoders) for split in ("train", "val")), strict=True)
        pairs = [probe((a, truths[0]), (b, truths[1])) for a, b in zip(*fits, strict=True)]
        scores.append(pairs)
        say(f"seed {seed}  linear probe, mean average precision: pretrained {pairs[0]:.3f}, random {pairs[1]:.3f}")
        chance = float(average_precisions(torch.rand(truths[1].shape), truths[1]).nanmean())
    if scores:
        table = torch.tensor(scores)
        cells = [f"{v.mean():.3f} ± {v.std(correction=0):.3f}" for v in (*table.T, table[:, 0] - table[:, 1])]
        say(
            f"linear probe over {len(scores)} seeds, {len(truths[1])} patches of val: pretrained {cells[0]}, "
            f"random {cells[1]}, gain {cells[2]} (guessing {chance:.3f})"
        )


def main(argv: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    args = parse(argv)
    if "RANK" in os.environ:  # torchrun
        if args.device.type == "cuda":
            torch.cuda.set_device(args.device)
        dist.init_process_group("nccl" if args.device.type == "cuda" else "gloo")
    try:
        run(args)
    except (ConfigError, DamageError, ReadError) as err:
        print(f"error: {err}", file=sys.stderr)
        return 2
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(main())
