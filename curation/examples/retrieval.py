"""Trains a tiny model of images and texts on shards, and tells what it finds again. To be read, copied and changed.

    python -m curation.examples.retrieval shards/my-set

Shards whose recipe has captions, an annotation of text or of JSON `{"captions": [text, ...]}`, are streamed by open_shards.
An image (all bands of --source, each averaged to --side pixels) and one of its texts, drawn anew each time, are brought to
unit vectors u_i and v_j; the loss is that of CLIP (Radford et al. 2021), both ways:

    p(j | i)  =  softmax_j( s · u_i · v_j ),      against   t(j | i)  =  [text j is text i] / how many are

so that the same words of two places are no mistake. A text is the mean of learnt vectors of its words, and of two and three
that follow each other: where things lie is said by such, and no image is flipped.

On val, places that training has not seen:

- retrieval both ways, R@1, 5, 10. Of a text each place is right that has this very text; of an image any of its texts, among
  all that are different. Beside it, what chance finds, by the hypergeometric distribution.
- the same with words of place taken out (names, distances, directions, altitudes, climates), in training too.
- zero-shot: which class covers most, by `a satellite photo of {class}.` and the like, beside a linear probe on the same
  image vectors (ridge regression of the shares), on those of the same encoder before training, and who always says the most
  frequent class of train.

Each with --seeds; intervals (95 %) are of a bootstrap over places of val, over means of the seeds.
"""

from __future__ import annotations

import argparse
import itertools
import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

from curation.errors import ConfigError, DamageError
from curation.format.index import Index
from curation.stream.open import open_shards

AT = (1, 5, 10)
"""Of R@k."""
TEMPLATES = ("a satellite photo of {}.", "a satellite image of {}.", "an aerial view of {}.")
DRAWS = 1000
"""Of the bootstrap."""

PLACE = re.compile(
    r"\b[\d.,]+\s*(?:km|m|°)\b|\b(?:\w+ ){0,2}climate\b(?: with \w+ winters)?"
    r"|\b(?:north|south|east|west)(?:-?(?:east|west))?\s+of\b"
    r"|(?<!^)\b(?!(?:Jan|Febr)uary|March|April|May|June|July|August|(?:Septem|Octo|Novem|Decem)ber|Sentinel)[A-ZÀ-Þ][\w'’-]*"
)
"""Words of place, in English: distances, heights, climates, directions to a name, and names; but months and satellites."""

WORDS = {
    "trees": ("tree cover", "woodland", "trees"),
    "grass": ("grassland", "grass"),
    "crops": ("cropland", "farmland", "crops"),
    "shrub_and_scrub": ("shrubland", "scrub"),
    "built": ("built-up land", "developed land", "buildings"),
    "bare": ("bare ground", "bare land"),
    "water": ("open water", "water"),
    "flooded_vegetation": ("wetland vegetation", "flooded vegetation"),
    "snow_and_ice": ("snow or ice", "snow"),
}
"""Label → how people call it, of labels that are called otherwise; a prompt is made of each."""


# ---- texts -----------------------------------------------------------------------------------------------------------


def without_place(text: str) -> str:
    """A text without its words of place."""
    return " ".join(PLACE.sub(" ", text).split())


def grams(text: str) -> list[str]:
    """Words, and two and three that follow each other."""
    words = re.findall(r"[^\W\d_]+|\d+", text.lower())
    return [" ".join(words[i : i + n]) for n in (1, 2, 3) for i in range(len(words) - n + 1)]


class Texts(nn.Module):
    """Texts to unit vectors: of what is known of a text the mean of vectors, through a layer."""

    def __init__(self, texts: Sequence[str], width: int) -> None:
        super().__init__()
        counts = Counter(g for text in texts for g in set(grams(text)))
        self.known = {g: i for i, g in enumerate(sorted(g for g, n in counts.items() if n > 1), 1)}
        self.vectors = nn.EmbeddingBag(len(self.known) + 1, width, mode="mean", padding_idx=0)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width))

    def forward(self, texts: Sequence[str]) -> Tensor:
        """(text, width)."""
        found = [[self.known[g] for g in grams(text) if g in self.known] or [0] for text in texts]
        length = max(map(len, found))
        rows = torch.tensor([row + [0] * (length - len(row)) for row in found])
        return functional.normalize(self.head(self.vectors(rows.to(self.vectors.weight.device))), dim=1)


class Images(nn.Module):
    """Images (image, band, y, x) to unit vectors, by convolutions."""

    def __init__(self, bands: int, width: int) -> None:
        super().__init__()
        sides = [bands, 32, 64, 128, 128]
        steps = [
            nn.Sequential(nn.Conv2d(a, b, 3, 2, 1), nn.GroupNorm(8, b), nn.GELU()) for a, b in itertools.pairwise(sides)
        ]
        self.layers = nn.Sequential(*steps, nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.head = nn.Linear(4 * sides[-1], width)

    def forward(self, images: Tensor) -> Tensor:
        """(image, width)."""
        return functional.normalize(self.head(self.layers(images)), dim=1)


class Pair(nn.Module):
    """Both, and how sharp their likeness is."""

    def __init__(self, bands: int, texts: Sequence[str], width: int) -> None:
        super().__init__()
        self.images, self.texts = Images(bands, width), Texts(texts, width)
        self.scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))


def pair_loss(u: Tensor, v: Tensor, texts: Sequence[str], scale: Tensor) -> Tensor:
    """The loss that this file begins with, of unit vectors (i, width) of images and of their texts."""
    same = torch.tensor([[a == b for b in texts] for a in texts], device=u.device).float()
    target = same / same.sum(1, keepdim=True)
    likeness = scale.exp().clamp(max=100) * u @ v.T
    return (functional.cross_entropy(likeness, target) + functional.cross_entropy(likeness.T, target)) / 2


# ---- samples ---------------------------------------------------------------------------------------------------------


def caption_of(args: argparse.Namespace, index: Index) -> str:
    """The annotation that has the texts."""
    notes = index.annotations
    known = [n for n in (args.caption, "captions", "caption") if n in notes and notes[n].kind in ("text", "json")]
    if not known or (args.caption and known[0] != args.caption):
        raise ConfigError(
            f"{args.data}: no captions; name an annotation with --caption, of: {', '.join(notes) or 'none'}"
        )
    return known[0]


def texts_of(value: Any, season: str) -> list[str]:
    """All texts of a sample: of its season, where there are such."""
    if isinstance(value, dict):
        value = value.get("seasons", {}).get(season, value)["captions"]
    texts = [value] if isinstance(value, str) else value or []
    return [text for text in texts if text]


@dataclass(frozen=True)
class Batch:
    """Samples with texts."""

    keys: list[str]
    images: Tensor
    texts: list[list[str]]
    shares: Tensor
    """(sample, label), NaN where unknown."""


class Samples:
    """Samples of a split that have an image and texts; each iteration is an epoch."""

    def __init__(self, args: argparse.Namespace, split: str, **how: Any) -> None:
        index = open_shards(args.data, split, fields=[]).index
        self.fields = [n for n, a in index.arrays.items() if a.source == args.source and a.role == "data" and a.seasons]
        if not self.fields:
            known = sorted({a.source for a in index.arrays.values() if a.role == "data" and a.seasons})
            raise ConfigError(f"{args.data}: no images of --source {args.source}; it has {', '.join(known)}")
        self.season = args.season or index.arrays[self.fields[0]].seasons[0]
        self.caption = caption_of(args, index)
        self.side, self.workers = args.side, args.workers
        how |= {"batch_size": args.batch_size, "normalize": True}
        self.data = open_shards(args.data, split, fields=[*self.fields, self.caption], seasons=[self.season], **how)

    @property
    def bands(self) -> int:
        """Of an image."""
        return sum(len(self.data.index.arrays[n].bands) for n in self.fields)

    def __iter__(self) -> Iterator[Batch]:
        for batch in DataLoader(self.data, batch_size=None, num_workers=self.workers):
            texts = [texts_of(value, self.season) for value in batch[self.caption]]
            own = batch["season_ok"][:, 0] & ~batch["is_pad"]
            use = [i for i, its in enumerate(texts) if its and own[i]]
            if use:
                sized = (functional.interpolate(batch[n][use, 0], self.side, mode="area") for n in self.fields)
                shares, annual = batch["label_fractions"][use, 0], batch["annual_label_fractions"][use]
                shares = torch.where(shares.isnan(), annual, shares)
                keys = [batch["key"][i] for i in use]
                yield Batch(keys, torch.cat(list(sized), 1), [texts[i] for i in use], shares)


def every(samples: Samples) -> Batch:
    """All of a split."""
    parts = list(samples)
    if not parts:
        raise ConfigError(f"no sample has an image of {samples.season} and a text")
    keys, texts = [k for p in parts for k in p.keys], [t for p in parts for t in p.texts]
    return Batch(keys, torch.cat([p.images for p in parts]), texts, torch.cat([p.shares for p in parts]))


# ---- training --------------------------------------------------------------------------------------------------------


def untrained(args: argparse.Namespace, seed: int, bands: int, known: Sequence[str]) -> Pair:
    """A model as a seed makes it, which knows the words of some texts."""
    torch.manual_seed(seed)
    return Pair(bands, known, args.width)


def train(args: argparse.Namespace, seed: int, known: Sequence[str], clean: Callable[[str], str]) -> Pair:
    """A model, trained with a seed."""
    samples = Samples(args, "train", shuffle=True, seed=seed)
    model = untrained(args, seed, samples.bands, known)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.1)
    steps, done = args.epochs * len(samples.data), 0
    for epoch in range(args.epochs):
        for batch in samples:
            optimizer.param_groups[0]["lr"] = args.lr * min(
                done / steps / 0.1 + 0.01, (1 + math.cos(math.pi * done / steps)) / 2
            )
            done += 1
            texts = [clean(its[int(torch.randint(len(its), ()))]) for its in batch.texts]
            light = 1 + 0.1 * torch.randn(len(texts), batch.images.shape[1], 1, 1)
            loss = pair_loss(model.images(batch.images * light), model.texts(texts), texts, model.scale)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if (epoch + 1) % max(args.epochs // 4, 1) == 0:
            print(f"  seed {seed}  epoch {epoch + 1:3}/{args.epochs}  loss {loss.item():.3f}", flush=True)
    return model.eval()


# ---- what is found: hits of each place, which means and intervals are made of -------------------------------------------


def hits(likeness: Tensor, right: Tensor) -> Tensor:
    """(query, k of `AT`): whether one of the first k is right, of (query, candidate); ties count against."""
    best = likeness.where(right, -torch.inf).amax(1, keepdim=True)
    before = ((likeness >= best) & ~right).sum(1)
    return torch.stack([before < k for k in AT], 1).double()


def chance(right: Tensor) -> Tensor:
    """(query, k of `AT`): how likely one of k candidates drawn blindly is right."""
    total, good = right.shape[1], right.sum(1).tolist()
    return torch.tensor(
        [[1 - math.comb(total - g, min(k, total)) / math.comb(total, min(k, total)) for k in AT] for g in good]
    )


def by_place(values: Tensor, places: Sequence[int], count: int) -> Tensor:
    """Mean over the queries of each place: (place, k)."""
    at = torch.tensor(places)
    total = torch.zeros(count, values.shape[1], dtype=torch.double).index_add_(0, at, values.double())
    return total / torch.bincount(at, minlength=count)[:, None]


def retrieved(u: Tensor, v: Tensor, of: Sequence[int], texts: Sequence[str]) -> dict[str, tuple[Tensor, Tensor]]:
    """Of either way, hits and chance, (place, k).

    Args:
        u: of each place its image, (place, width).
        v: of each text, (text, width).
        of: the place that each text is of.
        texts: the texts; equal ones of two places are right for both.
    """
    different = {text: n for n, text in reversed(list(enumerate(texts)))}
    rows = list(different.values())
    says = torch.zeros(len(u), len(rows), dtype=torch.bool)
    column = {text: i for i, text in enumerate(different)}
    says[torch.tensor(of), torch.tensor([column[t] for t in texts])] = True
    right = says.T[torch.tensor([column[t] for t in texts])]  # (text, place)
    finds, blind = hits(v @ u.T, right), chance(right)
    back = u @ v[rows].T
    return {
        "text to image": (by_place(finds, of, len(u)), by_place(blind, of, len(u))),
        "image to text": (hits(back, says), chance(says)),
    }


def interval(values: Tensor) -> tuple[float, float, float]:
    """Mean of a value per place, and its 95 % interval by a bootstrap over places."""
    draws = torch.randint(len(values), (DRAWS, len(values)), generator=torch.Generator().manual_seed(0))
    low, high = values[draws].mean(1).quantile(torch.tensor([0.025, 0.975], dtype=values.dtype)).tolist()
    return float(values.mean()), low, high


def zero_shot(model: Pair, u: Tensor, names: Sequence[str]) -> Tensor:
    """The class of each image by the templates."""
    called = [WORDS.get(name, (name.replace("_", " "),)) for name in names]
    prompts = [model.texts([t.format(word) for t in TEMPLATES for word in its]).mean(0) for its in called]
    return (u @ functional.normalize(torch.stack(prompts), dim=1).T).argmax(1)


def linear(x: Tensor, shares: Tensor, z: Tensor, decay: float = 0.01) -> Tensor:
    """The class of each image of z by ridge regression of shares on x."""
    mean, std = x.mean(0), x.std(0) + 1e-6
    a, b = ((m - mean).double() / std.double() for m in (x, z))
    gram = a.T @ a / len(a) + decay * torch.eye(a.shape[1], dtype=torch.double)
    weights: Tensor = torch.linalg.solve(gram, a.T @ (shares - shares.mean(0)).double() / len(a))
    return (b @ weights + shares.mean(0)).argmax(1)


# ---- the command -----------------------------------------------------------------------------------------------------


@torch.no_grad()
def vectors(model: Pair, images: Tensor) -> Tensor:
    """Of many images, some at a time."""
    return torch.cat([model.images(part) for part in images.split(64)])


@torch.no_grad()
def scored(
    args: argparse.Namespace, model: Pair, blank: Pair, val: Batch, seen: Batch, clean: Callable[[str], str]
) -> dict[str, Tensor]:
    """Line of the result → a value per place, (place,) or (place, k); `blank` is the model before it was trained."""
    flat = [(place, clean(text)) for place, its in enumerate(val.texts) for text in dict.fromkeys(map(clean, its))]
    u, v = vectors(model, val.images), model.texts([text for _, text in flat])
    out: dict[str, Tensor] = {}
    for way, (finds, blind) in retrieved(u, v, [p for p, _ in flat], [t for _, t in flat]).items():
        out |= {way: finds, f"{way}, chance": blind}
    known, there = ~seen.shares.isnan().any(1), ~val.shares.isnan().any(1)
    if val.shares.shape[1] and known.any() and there.any():
        truth, usual = val.shares[there].argmax(1), seen.shares[known].argmax(1).mode().values
        found = {
            "zero-shot": zero_shot(model, u[there], args.names),
            "linear probe": linear(vectors(model, seen.images[known]), seen.shares[known], u[there]),
            "probe, untrained": linear(
                vectors(blank, seen.images[known]), seen.shares[known], vectors(blank, val.images[there])
            ),
            "most frequent": usual.expand_as(truth),
        }
        out |= {f"class, {name}": (its == truth).double() for name, its in found.items()}
    return out


def run(args: argparse.Namespace) -> dict[str, Tensor]:
    """Trains and scores with each seed; gives the means over seeds.

    Raises:
        ConfigError: data that this cannot train on.
        DamageError: damaged data.
    """
    seen, val = every(Samples(args, "train")), every(Samples(args, "val"))
    args.names = list(Samples(args, "val").data.index.label_names)
    texts = [t for its in val.texts for t in its]
    print(
        f"{len(seen.keys)} places of train, {len(val.keys)} of val; {len(texts)} texts of val, {len(set(texts))} different"
    )
    means: dict[str, Tensor] = {}
    for kind, clean in (("all words", str), ("without words of place", without_place)):
        known = [clean(t) for its in seen.texts for t in its]
        found = []
        for seed in args.seeds:
            blank = untrained(args, seed, seen.images.shape[1], known)
            found.append(scored(args, train(args, seed, known, clean), blank, val, seen, clean))
        for line in found[0]:
            means[f"{line}; {kind}"] = its = torch.stack([f[line] for f in found]).mean(0)
            columns = its.unbind(1) if its.ndim == 2 else [its]
            shown = "  ".join("{:.3f} ({:.3f} to {:.3f})".format(*interval(c)) for c in columns)
            print(f"{kind:23}  {line:24}  {shown}", flush=True)
    return means


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        "python -m curation.examples.retrieval",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("data", help="folder or URL of a dataset of shards with splits train and val, and captions")
    add("--source", default="s2l2a", help="what images are of (%(default)s)")
    add("--season", help="which (the first of the source)")
    add("--caption", help="annotation that has the texts (captions, else caption)")
    add("--side", type=int, default=32, metavar="PX", help="images are averaged to so many pixels a side (%(default)s)")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2], help="trains once with each (%(default)s)")
    add("--epochs", type=int, default=16, help="times through train (%(default)s)")
    add("--batch-size", type=int, default=64, help="places per step (%(default)s)")
    add("--width", type=int, default=128, help="of the vectors (%(default)s)")
    add("--lr", type=float, default=2e-3, help="highest learning rate (%(default)s)")
    add("--workers", type=int, default=0, help="processes that read (%(default)s)")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    try:
        run(arguments(argv))
    except (ConfigError, DamageError) as err:
        print(f"error: {str(err).splitlines()[-1]}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
