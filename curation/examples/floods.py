"""Trains a small U-Net to map floods from radar after and before, beside thresholds. To be read, copied and changed.

    python -m curation.examples.floods shards/kuro-siwo
    python -m curation.examples.floods folds/*/kuro-siwo --seeds 0 1 2 --checkpoint trained --resume

It takes shards as `make kuro-siwo` makes them (a folder or a URL): of each sample the images s1post, s1pre1 and s1pre2 (VV
and VH), water (0 none, 1 permanent, 2 flood, 3 unknown), and a column that says which flood it is of. It trains on `train`
and scores on `val`, where no flood of train may be. Several datasets are folds: the same one packed with other floods held
out (`val` in [split] of the recipe); each is trained on by itself, and scores are the mean over all floods held out.

What is scored, from what takes least to what takes most:

    threshold   VV after the flood is below so many dB
    change      VV has fallen by so many dB since the two images before
    U-Net pre   without the image after: it cannot know. Where it scores well, labels leak into what it sees
    U-Net post  without the images before: it must tell a flood from a river by its form (only with --inputs)
    U-Net all   with all three images in one stack (early fusion)
    everywhere  all is flood: what is scored by who sees nothing

Whatever is fitted is fitted on train alone: mean and deviation of each channel, and of both thresholds the value, and the
window over which power is averaged first, that have the best F1 there. Pixels whose label is unknown, or that any image
lacks, neither teach nor count. Radar becomes dB, however the shards hold it; --terrain adds heights and slope.

F1 is 2 tp / (2 tp + fp + fn) over all pixels of a flood, then the mean over floods: of flood, of permanent water (which
thresholds do not tell), and of any water. Each U-Net is trained with each of --seeds: look at the spread before the mean.
On a CPU the same seed gives the same numbers.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from curation.errors import ConfigError, DamageError
from curation.errors.printable import printable
from curation.examples.flood_thresholds import (
    BANDS,
    CLASSES,
    FLOOD,
    IMAGES,
    PERMANENT,
    UNKNOWN,
    Fitted,
    Pixels,
    fitted,
    footprints,
    held_out,
    loader,
    open_side,
    pixels_of,
)
from curation.stream.dataset import ShardDataset

INPUTS = {"pre": IMAGES[1:], "post": IMAGES[:1], "all": IMAGES}
"""Which images a U-Net sees."""
HALVINGS = 2
"""Of a U-Net: how often it halves an image."""

Predictor = Callable[[Pixels], Tensor]
"""Gives the class of each pixel: int64, (sample, y, x)."""


# ---- the network -----------------------------------------------------------------------------------------------------


def block(channels: int, width: int) -> nn.Sequential:
    """Two convolutions. Groups, not batches, are normalised: no sample has a part in what is said of another."""
    layers: list[nn.Module] = []
    for ins in (channels, width):
        layers += [nn.Conv2d(ins, width, 3, padding=1, bias=False), nn.GroupNorm(4, width), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """A small one: (sample, channel, y, x) → scores of CLASSES, (sample, class, y, x), for sides of any length."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        widths = [width << level for level in range(HALVINGS + 1)]
        self.down = nn.ModuleList(block(a, b) for a, b in zip([channels, *widths], widths, strict=False))
        self.up = nn.ModuleList(block(a + b, a) for a, b in itertools.pairwise(widths))
        self.head = nn.Conv2d(width, len(CLASSES), 1)

    def forward(self, images: Tensor) -> Tensor:
        """Scores of the classes, before softmax."""
        height, width = images.shape[2:]
        x = functional.pad(images, (0, -width % 2**HALVINGS, 0, -height % 2**HALVINGS), "replicate")
        skips = []
        for level, down in enumerate(self.down):
            x = down(functional.max_pool2d(x, 2) if level else x)
            skips.append(x)
        for up, skip in zip(reversed(self.up), reversed(skips[:-1]), strict=True):
            x = up(torch.cat([skip, functional.interpolate(x, scale_factor=2.0)], 1))
        return self.head(x)[..., :height, :width]  # type: ignore[no-any-return]


class Mapper(nn.Module):
    """A U-Net that sees some of the images, normalised, and terrain."""

    def __init__(self, args: argparse.Namespace, inputs: str, facts: Fitted) -> None:
        super().__init__()
        images = [k for k, name in enumerate(IMAGES) if name in INPUTS[inputs]]
        radar = [len(BANDS) * image + band for image in images for band in range(len(BANDS))]
        self.seen = [*radar, *range(len(IMAGES) * len(BANDS), len(facts.mean))]
        self.mean, self.deviation = (nn.Buffer(v[self.seen]) for v in (facts.mean, facts.deviation))
        self.net = UNet(len(self.seen), args.width)

    def forward(self, pixels: Pixels) -> Tensor:
        """Scores of CLASSES, (sample, class, y, x). What has no data is the mean."""
        x = (pixels.channels()[:, self.seen] - self.mean) / self.deviation
        return self.net(x.nan_to_num())  # type: ignore[no-any-return]

    @torch.no_grad()
    def said(self, pixels: Pixels) -> Tensor:
        """The class of each pixel: int64, (sample, y, x)."""
        return self(pixels).argmax(1)  # type: ignore[no-any-return]


def loss_of(scores: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy over pixels with a label; 0 where none has."""
    total = functional.cross_entropy(scores, labels, ignore_index=UNKNOWN, reduction="sum")
    return total / (labels != UNKNOWN).sum().clamp(min=1)


def turned(pixels: Pixels, chance: int) -> Pixels:
    """The batch flipped or turned by a multiple of 90°: one of eight ways, which follows from the number."""
    way = int(torch.randint(8, (), generator=torch.Generator().manual_seed(chance)))

    def turn(x: Tensor) -> Tensor:
        return torch.rot90(x.flip(-1) if way >= 4 else x, way % 4, (-2, -1))

    return Pixels(turn(pixels.power), turn(pixels.terrain), turn(pixels.labels), pixels.floods)


def trained(args: argparse.Namespace, folder: str, inputs: str, seed: int, facts: Fitted) -> Mapper:
    """A network that has learnt from train; goes on from a checkpoint where --resume says so."""
    torch.manual_seed(seed)
    model = Mapper(args, inputs, facts).to(args.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.01)
    options = {"batch_size": args.batch_size, "crop_px": args.crop, "shuffle": True, "seed": seed, "remainder": "drop"}
    data = open_side(args, folder, "train", **options)
    if not len(data):
        samples = data.index.splits["train"].samples
        raise ConfigError(f"{folder}: {samples} samples of train are no batch of {args.batch_size}: lower --batch-size")
    checkpoint = Checkpoint(args, data, inputs, seed, model, optimizer)
    step, batches, begun, counted = checkpoint.resumed(), loader(args, data), time.perf_counter(), 0
    while step < args.steps:
        for used, batch in enumerate(batches, 1):
            share = step / args.steps
            optimizer.param_groups[0]["lr"] = args.lr * min(share / 0.1 + 0.05, (1 + math.cos(math.pi * share)) / 2)
            pixels = turned(pixels_of(batch, data.index, args), seed * 2**32 + step)
            loss = loss_of(model(pixels), pixels.labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step, counted = step + 1, counted + 1
            if step % max(args.steps // 4, 1) == 0 or step == args.steps:
                rate = counted / (time.perf_counter() - begun)
                left = f"{rate * args.batch_size:.0f} crops/s, {(args.steps - step) / rate:.0f} s left"
                say(f"  U-Net {inputs:4}  seed {seed}  step {step:4}/{args.steps}  loss {loss.item():.4f}  {left}")
            if step % args.save_every == 0 or step == args.steps:
                checkpoint.save(step, used)
            if step == args.steps:
                break
    return model


class Checkpoint:
    """The state of a training in a file of --checkpoint; nothing where there is no such folder."""

    def __init__(
        self,
        args: argparse.Namespace,
        data: ShardDataset,
        inputs: str,
        seed: int,
        model: Mapper,
        optimizer: torch.optim.Optimizer,
    ) -> None:
        self.data, self.model, self.optimizer = data, model, optimizer
        names = ("batch_size", "column", "crop", "lr", "steps", "terrain", "width")
        self.made_by = {"content_sha256": data.index.content_sha256} | {name: getattr(args, name) for name in names}
        file = f"{data.index.content_sha256[:12]}-{inputs}-seed-{seed}.pt"
        self.file = args.checkpoint / file if args.checkpoint else None
        self.is_wanted = args.resume

    def save(self, step: int, used: int) -> None:
        """Writes it whole or not at all, after so many batches of the epoch."""
        if self.file is None:
            return
        parts = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "step": step}
        self.file.parent.mkdir(parents=True, exist_ok=True)
        new = self.file.with_suffix(".new")
        torch.save({**parts, "made_by": self.made_by, "data": self.data.state_dict(steps=used)}, new)
        new.replace(self.file)

    def resumed(self) -> int:
        """The step that it goes on from, 0 where nothing is there. Raises ConfigError where it is of another training."""
        if not (self.is_wanted and self.file and self.file.exists()):
            return 0
        saved = torch.load(self.file, weights_only=True)
        if saved["made_by"] != self.made_by:
            raise ConfigError(
                f"{self.file}: made with {saved['made_by']}, not {self.made_by}: give another --checkpoint"
            )
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.data.load_state_dict(saved["data"])
        say(f"  goes on from {self.file}, after {saved['step']} steps")
        return int(saved["step"])


# ---- scores ----------------------------------------------------------------------------------------------------------


def confusion(truth: Tensor, said: Tensor) -> Tensor:
    """How many pixels of a class (row) are said to be of a class (column): int64, (3, 3). Unknown ones do not count."""
    known, n = truth != UNKNOWN, len(CLASSES)
    return (n * truth + said)[known].bincount(minlength=n * n).reshape(n, n).cpu()


def f1(counts: Tensor, codes: tuple[int, ...]) -> float:
    """Of classes taken together, by `confusion`; NaN where no pixel is, or is said to be, of one."""
    there, found = counts[codes, :].sum(), counts[:, codes].sum()
    return float(2 * counts[codes, :][:, codes].sum() / (there + found))


SCORES = {"flood": (FLOOD,), "permanent": (PERMANENT,), "water": (PERMANENT, FLOOD)}
"""What F1 is told of."""

Found = dict[str, dict[tuple[str, int], Tensor]]
"""Flood → (who said it, seed) → `confusion`."""


def scored(args: argparse.Namespace, folder: str, predictors: dict[tuple[str, int], Predictor]) -> Found:
    """What each says of val, by flood. Raises ConfigError where a flood has no pixels of flood."""
    out: Found = {}
    for pixels in footprints(args, folder, "val"):
        for who, said in predictors.items():
            for flood, truth, codes in zip(pixels.floods, pixels.labels, said(pixels), strict=True):
                of = out.setdefault(flood, {})
                of[who] = of.get(who, 0) + confusion(truth, codes)
    for flood, of in out.items():
        if not next(iter(of.values()))[FLOOD].sum():
            raise ConfigError(f"{folder}: no known pixel of {flood!r} is flood (code {FLOOD}): nothing to score in val")
    return out


def macro(found: Found, who: tuple[str, int], codes: tuple[int, ...]) -> float:
    """Mean F1 over floods, each alike, of those where it is known."""
    return float(torch.tensor([f1(of[who], codes) for of in found.values()]).nanmean())


def tell(found: Found) -> None:
    """Prints the table: a row for each who said something, over seeds; then whether the U-Nets show a leak."""
    say(f"F1 on {', '.join(sorted(found))} (held out), mean over floods; mean of seeds (lowest to highest):")
    say(f"  {'':11}" + "".join(f"{name:>24}" for name in SCORES))
    means: dict[str, float] = {}
    everyone = list(next(iter(found.values())))
    for name in dict.fromkeys(name for name, _ in everyone):
        cells = []
        for score, codes in SCORES.items():
            its = [macro(found, who, codes) for who in everyone if who[0] == name]
            means.setdefault(name, sum(its) / len(its))
            is_scored = score != "permanent" or name.startswith("U-Net")
            cells.append(spread(its) if is_scored else f"{'-':17}")
        say(f"  {name:11}" + "".join(f"{cell:>24}" for cell in cells))
    if {"U-Net pre", "U-Net all"} <= means.keys():
        say(leak(*(means[name] for name in ("everywhere", "U-Net pre", "U-Net all"))))


def spread(values: list[float]) -> str:
    """The mean, and from where to where they reach if they are several."""
    reach = f" ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else ""
    return f"{sum(values) / len(values):.3f}{reach:17}"


def leak(everywhere: float, pre: float, best: float) -> str:
    """What F1 of flood without the image after tells, beside F1 of who sees nothing and of who sees all."""
    said = f"leak check: F1 of flood is {pre:.3f} without the image after, {best:.3f} with it: "
    if best <= everywhere:
        return said + "nothing is learnt yet, so that nothing can be told; give more --steps"
    is_odd = pre > (best + everywhere) / 2
    return said + ("more is known than can be; look for what leaks" if is_odd else "no sign of a leak")


# ---- the command -----------------------------------------------------------------------------------------------------


def say(line: str) -> None:
    """Prints a line, without what lets anybody into a URL."""
    print(printable(line), flush=True)


def positive(text: str) -> int:
    """A whole number above 0."""
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number above 0")
    return int(text)


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        "python -m curation.examples.floods", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "data",
        nargs="+",
        metavar="DATASET",
        help="folder or URL of a dataset of shards with train and val; several: folds",
    )
    add("--inputs", nargs="+", choices=INPUTS, default=["pre", "all"], help="train a U-Net with each (%(default)s)")
    add("--terrain", action="store_true", help="let each U-Net see heights and slope, too")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2], help="train once with each (%(default)s)")
    add("--steps", type=positive, default=250, help="batches of a training (%(default)s)")
    add("--batch-size", type=positive, default=8, help="crops per step (%(default)s)")
    add("--crop", type=positive, default=96, help="side of a crop, in pixels (%(default)s)")
    add("--width", type=positive, default=8, help="channels on the finest grid, a multiple of 4 (%(default)s)")
    add("--lr", type=float, default=1e-2, help="highest learning rate (%(default)s)")
    add("--column", default="flood", help="the column that says which flood a sample is of (%(default)s)")
    add("--workers", type=int, default=0, help="processes that read, beside threads of this one (%(default)s)")
    add("--device", choices=("cpu", "cuda"), default="cpu", help="where to compute (%(default)s)")
    add("--checkpoint", type=Path, metavar="FOLDER", help="keep the state of each training there")
    add("--save-every", type=positive, default=100, metavar="STEPS", help="steps between checkpoints (%(default)s)")
    add(
        "--resume",
        action="store_true",
        help="go on from the checkpoints there are; what is trained is not trained again",
    )
    args = parser.parse_args(argv)
    if not all(0 <= seed < 2**31 for seed in args.seeds):
        parser.error(f"--seeds {args.seeds}: expected 0 to {2**31 - 1}")
    if args.width % 4:
        parser.error(f"--width {args.width}: expected a multiple of 4")
    if args.workers < 0:
        parser.error(f"--workers {args.workers}: expected 0 or more")
    if args.resume and not args.checkpoint:
        parser.error("--resume: expected --checkpoint FOLDER with it, to go on from")
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch finds no GPU")
    return args


def run(args: argparse.Namespace) -> None:
    """Fits, trains and scores on each dataset, and tells F1 over all floods that were held out.

    Raises:
        ConfigError: data that this cannot learn from, or floods that are on both sides, held out twice, or no pixel of
            which is flood: before anything is trained.
        DamageError: damaged data.
    """
    floods: dict[str, str] = {}
    for folder in args.data:
        for flood in sorted(held_out(args, folder)):
            if flood in floods:
                raise ConfigError(
                    f"{flood!r} is held out in {floods[flood]} and in {folder}: expected once over all folds"
                )
            floods[flood] = folder
    everywhere: dict[tuple[str, int], Predictor] = {
        ("everywhere", 0): lambda pixels: torch.full_like(pixels.labels, FLOOD)
    }
    for folder in args.data:
        scored(args, folder, everywhere)  # what cannot be scored is told before the first training, not after the last
    found: Found = {}
    for folder in args.data:
        sizes = ", ".join(
            f"{s.samples} samples of {name}" for name, s in open_side(args, folder, "val").index.splits.items()
        )
        say(f"{folder}: {sizes}; held out: {', '.join(f for f, of in floods.items() if of == folder)}")
        facts = fitted(args, folder)
        shares = (facts.classes / facts.classes.sum()).tolist()
        say("  pixels of train: " + ", ".join(f"{n} {100 * s:.1f} %" for n, s in zip(CLASSES, shares, strict=True)))
        said = dict(everywhere)
        for measure, threshold in facts.thresholds.items():
            say(f"  {threshold}")
            said[measure, 0] = threshold
        for inputs in args.inputs:
            for seed in args.seeds:
                said[f"U-Net {inputs}", seed] = trained(args, folder, inputs, seed, facts).said
        found |= scored(args, folder, said)
    tell(found)


def main(argv: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    args = arguments(argv)
    try:
        run(args)
    except (ConfigError, DamageError) as err:
        print(f"error: {printable(str(err).splitlines()[-1])}", file=sys.stderr)  # a worker's comes with a traceback
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
