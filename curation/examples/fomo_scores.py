"""What `fomo` is held against, and how: a whole channel is reconstructed from the others, on places that were held out.

    mean       the mean of the channel's pixels of train (its R² is 0: all others are told against it)
    nearest    a copy of the channel whose wavelength is nearest
    between    the straight line, over wavelength, between the channels on both sides; beyond all of them, the nearest
    ridge      ridge regression, pixel by pixel, from all other channels, fitted on train

Scales are those of `fomo_model`. Pixels count where every channel has data, the same ones for all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from curation.errors.words import counted
from curation.examples.fomo_data import Data, batches, scaled
from curation.examples.fomo_model import Channels, Fomo, words_of

RIDGE = 1e-3
"""Of each channel's variance, added to it. With so many pixels any small one gives the same."""
DRAWS = 2000
"""Of a bootstrap."""
FEWEST_PLACES = 5
"""Of an interval: fewer say nothing of others."""

T = TypeVar("T")
Guess = Callable[[Tensor, Tensor], Tensor]
"""(scaled, valid), (sample, channel, y, x) → one channel, (sample, y, x)."""


# ---- baselines -------------------------------------------------------------------------------------------------------


class Moments:
    """Sums over pixels at which all channels have data: enough for every mean and every regression among them."""

    def __init__(self, channels: int) -> None:
        self.sums = torch.zeros(channels + 1, channels + 1, dtype=torch.float64)

    def add(self, image: Tensor, valid: Tensor) -> None:
        """Pixels, (sample, channel, y, x)."""
        pixels = image.movedim(1, -1)[valid.all(1)].double().cpu()
        pixels = torch.cat([pixels, pixels.new_ones(len(pixels), 1)], 1)
        self.sums += pixels.T @ pixels

    @property
    def mean(self) -> Tensor:
        """Of each channel: float64, (channel,)."""
        return self.sums[-1, :-1] / self.sums[-1, -1]

    def ridge(self, target: int, inputs: Sequence[int]) -> Guess:
        """A channel from others."""
        covariance = self.sums[:-1, :-1] / self.sums[-1, -1] - torch.outer(self.mean, self.mean)
        at = list(inputs)
        gram = covariance[at][:, at] + RIDGE * torch.diag(covariance.diagonal()[at].clamp(min=1e-9))
        weights = torch.linalg.solve(gram, covariance[at, target])
        offset = self.mean[target] - self.mean[at] @ weights

        def guess(image: Tensor, valid: Tensor) -> Tensor:
            own, beyond = weights.to(image.device), offset.to(image.device)
            return torch.einsum("scyx,c->syx", image[:, at].double(), own) + beyond  # type: ignore[no-any-return]

        return guess

    def constant(self, target: int) -> Guess:
        """The mean of a channel."""
        return lambda image, valid: self.mean[target].to(image.device).expand(image[:, 0].shape)


def by_wavelength(of: Channels, target: int, inputs: Sequence[int]) -> dict[str, Guess]:
    """`nearest` and `between`, where the target is light, and some of the inputs are that share its scale."""
    nm, mine = of.nm, of.nm[target]
    scale = torch.stack([of.mean, of.deviation], 1)
    light = [i for i in inputs if nm[i].isfinite() and torch.equal(scale[i], scale[target])]
    if not light or not mine.isfinite():
        return {}
    near = min(light, key=lambda i: abs(float(nm[i] - mine)))
    below, above = ([i for i in light if (nm[i] <= mine) == side] for side in (True, False))
    found: dict[str, Guess] = {"nearest": lambda image, valid: image[:, near]}
    if not below or not above:
        return found | {"between": found["nearest"]}
    a, b = max(below, key=lambda i: float(nm[i])), min(above, key=lambda i: float(nm[i]))
    share = float((mine - nm[a]) / (nm[b] - nm[a]))
    return found | {"between": lambda image, valid: (1 - share) * image[:, a] + share * image[:, b]}


# ---- scores ----------------------------------------------------------------------------------------------------------


@dataclass
class Errors:
    """Sums of squared errors of one channel, by who said it and by place."""

    of: dict[str, dict[str, float]] = field(default_factory=dict)

    def add(self, who: str, places: Sequence[str], found: Tensor, image: Tensor, valid: Tensor, target: int) -> None:
        """What `who` says of a channel of some samples, (sample, y, x), where every channel has data."""
        is_there, its = valid.all(1), self.of.setdefault(who, {})
        squares = torch.where(is_there, (found - image[:, target]).double().square(), 0.0).flatten(1).sum(1)
        for place, value, counts in zip(places, squares.tolist(), is_there.flatten(1).any(1).tolist(), strict=True):
            if counts:
                its[place] = its.get(place, 0.0) + value

    def take(self, other: Errors) -> None:
        """Adds what another rank has of it."""
        for who, its in other.of.items():
            mine = self.of.setdefault(who, {})
            for place, value in its.items():
                mine[place] = mine.get(place, 0.0) + value

    def by_place(self, who: str) -> Tensor:
        """In order of the places' ids: float64, (place,)."""
        its = self.of[who]
        return torch.tensor([its[place] for place in sorted(its)], dtype=torch.float64)


def explained(errors: Tensor, about_mean: Tensor) -> Tensor:
    """R², mean over channels: of sums of squares (…, channel)."""
    return (1 - errors / about_mean).mean(-1)


@dataclass(frozen=True, slots=True)
class Score:
    """R² over channels of all places, with an interval over draws of places and seeds: NaN of fewer than FEWEST_PLACES."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        interval = "too few places" if math.isnan(self.low) else f"{self.low:+.3f} to {self.high:+.3f}"
        return f"{self.value:+.3f} [{interval}]"


def scores(channels: Sequence[Errors], who: Sequence[str], other: str | None = None, seed: int = 0) -> Score:
    """R² of the mean over channels of `who`, or by how much it is above that of `other`; 95 % of a bootstrap over places.

    Args:
        channels: errors of each, on the same places.
        who: said it, of several seeds: these are drawn, too.
        other: what it is held against.
        seed: of the draws.
    """
    about_mean = torch.stack([one.by_place("mean") for one in channels], 1)
    errors = torch.stack([torch.stack([one.by_place(name) for one in channels], 1) for name in who])
    against = about_mean if other is None else torch.stack([one.by_place(other) for one in channels], 1)
    draw = torch.Generator().manual_seed(seed)
    of_places, of_seeds = (drawn(count, draw) for count in (len(about_mean), len(who)))
    sums = (
        torch.einsum("ds,dp,spc->dc", of_seeds / len(who), of_places, errors),
        of_places @ against,
        of_places @ about_mean,
    )
    found = explained(sums[0], sums[2]) - explained(sums[1], sums[2])
    low, high = found[:-1].quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    is_known = len(about_mean) >= FEWEST_PLACES
    return Score(float(found[-1]), low if is_known else math.nan, high if is_known else math.nan)


def drawn(count: int, draw: torch.Generator) -> Tensor:
    """How often each of so many comes in each draw of as many, with replacement; at last each once: (draw, one)."""
    chosen = torch.randint(count, (DRAWS, count), generator=draw)
    often = torch.zeros(DRAWS, count, dtype=torch.float64).scatter_add_(1, chosen, torch.ones_like(chosen).double())
    return torch.cat([often, torch.ones(1, count, dtype=torch.float64)])


# ---- the network, and whom it is held against ----------------------------------------------------------------------


def windows(data: Data, split: str, passes: int) -> Iterator[tuple[str, list[str], Tensor, Tensor]]:
    """(part, ids, scaled, valid) of whole footprints, every band, cut into windows: (window, channel, y, x)."""
    args = data.args
    mix = data.open(split, every=True, shuffle=False)
    for epoch in range(passes):  # of each, another season is drawn
        mix.set_epoch(epoch)
        for batch in batches(args, mix):
            of = data.channels[batch["dataset"]]
            image, valid = scaled(batch, of, args.device)
            side = min(args.crop, *image.shape[2:])
            steps = [n // side for n in image.shape[2:]]
            for y in range(steps[0]):
                for x in range(steps[1]):
                    cut = (..., slice(y * side, (y + 1) * side), slice(x * side, (x + 1) * side))
                    if split == "train" or (y * steps[1] + x) % max(steps[0] * steps[1] // args.windows, 1) == 0:
                        yield batch["dataset"], batch["key"], image[cut], valid[cut]


@torch.no_grad()
def said(model: Fomo, data: Data, part: str, image: Tensor, valid: Tensor, target: int) -> Tensor:
    """A channel as the network has it from all others that training saw: (window, y, x), without a rest of tokens."""
    names, side = data.channels[part].names, data.args.token
    at = [i for i, name in enumerate(names) if i == target or name not in data.unseen]
    of, rows, columns = data.channels[part].select([names[i] for i in at]), *(n // side for n in image.shape[2:])
    is_hidden = torch.zeros(len(at), rows * columns, dtype=torch.bool, device=image.device)
    is_hidden[at.index(target)] = True
    image, valid = image[:, at].clone(), valid[:, at].clone()
    image[:, at.index(target)], valid[:, at.index(target)] = 0, False
    found = model(image, valid, of, data.ground_m[part], is_hidden)
    squares = found.unflatten(2, (side, side)).unflatten(1, (rows, columns))
    return squares.transpose(2, 3).flatten(3).flatten(1, 2)  # type: ignore[no-any-return]


Found = dict[tuple[str, str], Errors]
"""(part, band) → errors."""


def of_all_ranks(mine: T) -> list[T]:
    """What each rank has."""
    if not dist.is_initialized():
        return [mine]
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, mine)
    return found


def moments(data: Data) -> dict[str, Moments]:
    """Of each part's channels, over train."""
    found = {part: Moments(len(of)) for part, of in data.channels.items()}
    for part, _, image, valid in windows(data, "train", data.args.passes):
        found[part].add(image, valid)
    for one in found.values():
        one.sums = torch.stack(of_all_ranks(one.sums)).sum(0)
    return found


def judge(data: Data, of_train: Mapping[str, Moments], models: Mapping[str, Fomo]) -> Found:
    """Errors on val of each channel that has others beside it."""
    found: Found = {}
    for part, ids, image, valid in windows(data, "val", data.args.passes):
        of, side = data.channels[part], data.args.token
        inputs = [i for i, name in enumerate(of.names) if name not in data.unseen]
        rows, columns = (n // side * side for n in image.shape[2:])
        image, valid = image[..., :rows, :columns], valid[..., :rows, :columns]
        for target, name in enumerate(of.names):
            if not (others := [i for i in inputs if i != target]):
                continue
            errors, train = found.setdefault((part, name), Errors()), of_train[part]
            guesses = {"mean": train.constant(target), "ridge": train.ridge(target, others)}
            for who, guess in (guesses | by_wavelength(of, target, others)).items():
                errors.add(who, ids, guess(image, valid), image, valid, target)
            for who, model in models.items():
                errors.add(who, ids, said(model, data, part, image, valid, target), image, valid, target)
    whole: Found = {}
    for of_rank in of_all_ranks(found):
        for key, errors in of_rank.items():
            whole.setdefault(key, Errors()).take(errors)
    return whole


def lines(data: Data, found: Found, networks: Sequence[str]) -> Iterator[str]:
    """What is said of each part: R² of kinds of channels that were seen, and of each one that was not."""
    for part, of in data.channels.items():
        groups: dict[str, list[str]] = {}
        for band in of.bands:
            if (part, band.name) in found:
                unseen = band.name in data.unseen
                groups.setdefault(f"{band.name}, unseen" if unseen else words_of(band)[0], []).append(band.name)
        for group, names in groups.items():
            errors = [found[part, name] for name in names]
            places = len(errors[0].of["mean"])
            said_of = f"{counted(len(names), 'band')}, {counted(places, 'place')} of val"
            yield f"{part}: {group}, {said_of}; R² [95 % over places and seeds]"
            if not places:
                continue  # of clouds alone, say
            for who in ("nearest", "between", "ridge"):
                if all(who in one.of for one in errors):
                    above = scores(errors, networks, who)
                    yield f"  {who:8} {scores(errors, [who])}   network above it by {above}"
            each = [scores(errors, [name]).value for name in networks]
            yield (f"  network  {scores(errors, networks)}   by seed {' '.join(f'{v:+.3f}' for v in each)}")
            if len(names) > 1:
                pairs = (
                    f"{n} {scores([e], networks).value:.3f} ({scores([e], ['ridge']).value:.3f})"
                    for n, e in zip(names, errors, strict=True)
                )
                yield (f"    network (ridge): {', '.join(pairs)}")
