"""The network of `fomo`: a token per channel and place, which is told by what its band is and where it lies on the ground.

No module belongs to a sensor. What a channel is follows from what the index says of its band: light by its wavelength and
width, all else (radar, heights, gases) by words of its own. A wavelength that a band has not is missing, and never 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from curation.errors import ConfigError
from curation.format.bands import BandEntry
from curation.format.index import BandStatistics

HEAD = 16
"""Width of a head of attention."""
PERIODS = (8.0, 4.0, 2.0)
"""Of the waves that a wavelength becomes, in its natural logarithm: 400 nm and 2,200 nm are 1.7 apart."""
NEAREST_M, FARTHEST_M = 20.0, 20_000.0
"""Shortest and longest of the waves that a position becomes, metres."""


# ---- what a channel is -----------------------------------------------------------------------------------------------


def words_of(band: BandEntry) -> tuple[str, ...]:
    """What a band is called by, beside its wavelength: its kind; of radar frequency and polarisation; else its name."""
    if band.centre_nm is not None:
        return ("optical",)
    if band.centre_mhz is not None and band.polarisation is not None:
        return ("radar", f"{band.centre_mhz:g} MHz", band.polarisation)
    return (band.kind or "unknown", band.name)


def scale_of(band: BandEntry, unit: str) -> tuple[str, ...]:
    """Bands of equal ones share a mean and a deviation, so that a spectrum keeps its form: light, and radar, of one unit."""
    is_in_spectrum = band.centre_nm is not None or band.centre_mhz is not None
    return (words_of(band)[0], unit) if is_in_spectrum else (band.name, unit)


@dataclass(frozen=True, slots=True)
class Channels:
    """What the network and its scores are told of channels, in their order."""

    bands: tuple[BandEntry, ...]
    mean: Tensor
    """Of the scale that a channel shares, in units as stored: float32, (channel,)."""
    deviation: Tensor
    """Likewise."""
    spread: Tensor
    """Deviation of the channel itself, of train, in units of `deviation`; NaN of what training never sees."""

    def __len__(self) -> int:
        return len(self.bands)

    @property
    def names(self) -> tuple[str, ...]:
        """Canonical ones."""
        return tuple(band.name for band in self.bands)

    @property
    def nm(self) -> Tensor:
        """Wavelengths of light: float32, (channel,); NaN of what is no light."""
        return torch.tensor([math.nan if band.centre_nm is None else band.centre_nm for band in self.bands])

    @property
    def width_nm(self) -> Tensor:
        """Full widths at half maximum, likewise."""
        return torch.tensor([math.nan if band.width_nm is None else band.width_nm for band in self.bands])

    def select(self, names: Sequence[str]) -> Channels:
        """These, in this order."""
        at = [self.names.index(name) for name in names]
        return Channels(tuple(self.bands[i] for i in at), self.mean[at], self.deviation[at], self.spread[at])

    def scaled(self, image: Tensor, valid: Tensor) -> Tensor:
        """Pixels as stored, (sample, channel, y, x), in units of their scale; its mean, 0, where they have no data."""
        mean, deviation = (v.to(image.device)[:, None, None] for v in (self.mean, self.deviation))
        return torch.where(valid, (image.float() - mean) / deviation, 0.0)


def channels(
    where: str,
    bands: Sequence[BandEntry],
    units: Sequence[str],
    statistics: Sequence[BandStatistics | None],
    unseen: set[str],
) -> Channels:
    """Channels with the scales that they share, by the statistics of what training sees: of others nothing is known.

    Args:
        where: whose they are, for errors.
        bands: what each is.
        units: of each, as stored.
        statistics: of train, of each.
        unseen: names of those whose statistics are not looked at.

    Raises:
        ConfigError: a band has no statistics, or what is not seen shares its scale with nothing that is.
    """
    groups: dict[tuple[str, ...], list[tuple[float, float]]] = {}
    spreads = []
    for band, unit, of in zip(bands, units, statistics, strict=True):
        spreads.append(math.nan)
        if band.name in unseen:
            continue
        if of is None or of.mean is None or of.std is None:
            raise ConfigError(f"{where}: {band.name} has no statistics of train: pack it with pixels that are valid")
        groups.setdefault(scale_of(band, unit), []).append((of.mean, of.std))
        spreads[-1] = of.std
    scales = []
    for band, unit in zip(bands, units, strict=True):
        if (group := scale_of(band, unit)) not in groups:
            raise ConfigError(f"{where}: --unseen {band.name}: expected another band of {' '.join(group)} that is seen")
        scales.append(pooled(groups[group]))
    mean, deviation = torch.tensor(scales).T
    return Channels(tuple(bands), mean, deviation, torch.tensor(spreads) / deviation)


def pooled(of: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """(mean, deviation) of the pixels of several bands together, by those of each, which count alike."""
    mean = sum(m for m, _ in of) / len(of)
    square = sum(s * s + (m - mean) ** 2 for m, s in of) / len(of)
    return mean, math.sqrt(square) or 1.0


class Kinds(nn.Module):
    """What a band is, as a vector: (channel, width)."""

    def __init__(self, width: int, words: Sequence[str]) -> None:
        super().__init__()
        self.words = {word: i for i, word in enumerate(sorted(words))}
        self.light = nn.Sequential(nn.Linear(2 * len(PERIODS) + 1, width), nn.GELU(), nn.Linear(width, width))
        self.own = nn.Parameter(torch.randn(len(self.words), width))

    def forward(self, of: Channels, shift: Tensor | None = None) -> Tensor:
        """Vectors of channels, whose light is looked at beside its centre by `shift` of its width where that is told."""
        device = self.own.device
        is_word = torch.zeros(len(of), len(self.words))
        for row, band in zip(is_word, of.bands, strict=True):
            row[[self.words[word] for word in words_of(band)]] = 1
        nm, width = of.nm, of.width_nm
        if shift is not None:
            nm = nm + shift * width.nan_to_num()
        turns = 2 * math.pi * nm.log()[:, None] / torch.tensor(PERIODS)
        seen = torch.cat([turns.sin(), turns.cos(), width.log()[:, None] - 3.5], 1)
        light = self.light(seen.nan_to_num().to(device))  # where there is no light it is left out, below
        light = functional.layer_norm(light, light.shape[1:])
        return torch.where(nm.isfinite()[:, None].to(device), light, 0.0) + is_word.to(device) @ self.own


# ---- where a token lies ----------------------------------------------------------------------------------------------


def tokens_of(image: Tensor, side: int) -> Tensor:
    """Squares of so many pixels, row by row, without a rest: (sample, channel, place, pixel) of (sample, channel, y, x)."""
    rows, columns = (n // side for n in image.shape[2:])
    cut = image[..., : rows * side, : columns * side].unflatten(3, (columns, side)).unflatten(2, (rows, side))
    return cut.transpose(3, 4).flatten(4).flatten(2, 3)  # type: ignore[no-any-return]


def centres_m(rows: int, columns: int, side_m: float) -> Tensor:
    """Metres from the corner to the centre of each token, row by row: float32, (place, 2), south and east."""
    y, x = ((torch.arange(n) + 0.5) * side_m for n in (rows, columns))
    return torch.cartesian_prod(y, x)


def waves(metres: Tensor, width: int) -> Tensor:
    """Positions as sines and cosines of metres: (place, width). The same ground is the same, whatever the pixels."""
    lengths = NEAREST_M * (FARTHEST_M / NEAREST_M) ** torch.linspace(0, 1, width // 4)
    turns = 2 * math.pi * metres[:, :, None] / lengths
    return torch.cat([turns.sin(), turns.cos()], 2).flatten(1)


def hidden(channels: int, places: int, draw: torch.Generator) -> Tensor:
    """Which tokens are to be reconstructed: bool, (channel, place). Whole channels as often as tokens of any."""
    if channels > 1 and torch.rand((), generator=draw) < 0.5:
        count = int(torch.randint(1, channels, (), generator=draw))
        chosen = torch.randperm(channels, generator=draw) < count
        return chosen[:, None].expand(-1, places)
    share = 0.5 + 0.4 * torch.rand((), generator=draw)
    count = min(max(round(float(share) * channels * places), 1), channels * places - 1)
    return (torch.randperm(channels * places, generator=draw) < count).view(channels, places)


# ---- the network -----------------------------------------------------------------------------------------------------


class Block(nn.Module):
    """Attention of tokens to those that are there, and what each makes of it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = width // HEAD
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.ask, self.answer = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.join = nn.Linear(width, width)
        self.own = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor, context: Tensor, is_there: Tensor) -> Tensor:
        """The tokens after it: (sample, token, width); `is_there` says which of the context, (sample, token)."""
        its = (self.ask(self.before(x)), *self.answer(self.before(context)).chunk(2, 2))
        q, k, v = (t.unflatten(2, (self.heads, HEAD)).transpose(1, 2) for t in its)
        is_there = is_there | ~is_there.any(1, keepdim=True)  # of nothing, nothing follows: but no NaN
        found = functional.scaled_dot_product_attention(q, k, v, is_there[:, None, None])
        x = x + self.join(found.transpose(1, 2).flatten(2))
        return x + self.own(self.after(x))  # type: ignore[no-any-return]


class Fomo(nn.Module):
    """A masked autoencoder whose tokens are of one channel and place each.

    What is hidden is asked for by band and position. The answer is the best linear guess, pixel by pixel, from the visible
    channels of the same place, by a covariance of bands that is learnt as a function of what bands are; and what the decoder
    adds to that, in units of how much it leaves open. So nothing that a small network cannot hold has to go through it.
    """

    def __init__(self, width: int, depth: int, side: int, words: Sequence[str]) -> None:
        super().__init__()
        self.width, self.side, pixels = width, side, side * side
        self.kinds = Kinds(width, words)
        self.embed, self.size = nn.Linear(2 * pixels, width), nn.Linear(1, width)
        self.question = nn.Parameter(torch.randn(width))
        self.encoder = nn.ModuleList(Block(width) for _ in range(depth))
        self.decoder, self.norms = Block(width), nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.basis, self.mean_and_noise = nn.Linear(width, width), nn.Linear(width, 2)
        self.smooth = nn.Parameter(torch.tensor([-3.0, -1.2]))
        self.rest = nn.Linear(width, pixels)
        nn.init.zeros_(self.rest.weight)  # begins with what is linear
        nn.init.zeros_(self.rest.bias)

    def forward(
        self,
        image: Tensor,
        valid: Tensor,
        of: Channels,
        ground_m: float,
        is_hidden: Tensor,
        shift: Tensor | None = None,
    ) -> Tensor:
        """The hidden tokens, in order of channel and place: (sample, token, pixel), in units of their scales.

        Args:
            image: scaled, (sample, channel, y, x); what is hidden is not looked at.
            valid: where it has data, likewise.
            of: the channels.
            ground_m: side of a pixel, metres.
            is_hidden: (channel, place).
            shift: by what share of its width each wavelength is moved, (channel,).
        """
        pixels, there = tokens_of(image, self.side), tokens_of(valid, self.side)
        rows, columns = (n // self.side for n in image.shape[2:])
        channel, place = is_hidden.nonzero().T
        shown_channel, shown_place = (~is_hidden).nonzero().T
        shown, shown_there = pixels[:, shown_channel, shown_place], there[:, shown_channel, shown_place]

        kinds, side_m = self.kinds(of, shift), self.side * ground_m
        size = self.size(torch.full((1,), math.log(side_m / 100), device=image.device))
        ground = waves(centres_m(rows, columns, side_m), self.width).to(image.device) + size
        x = self.embed(torch.cat([shown, shown_there], 2)) + kinds[shown_channel] + ground[shown_place]
        is_there = shown_there.any(2)
        for block in self.encoder:
            x = block(x, x, is_there)
        x = self.norms[0](x)
        asked = (self.question + kinds[channel] + ground[place]).expand(len(x), -1, -1)
        said = self.norms[1](self.decoder(asked, x, is_there))
        linear, deviation = self._linear(pixels, kinds + size, of, is_hidden)
        return linear[:, channel, place] + deviation[channel, place, None] * self.rest(said)  # type: ignore[no-any-return]

    def _smooth(self, position: Tensor) -> Tensor:
        """Covariance of what is smooth over the logarithm of wavelength, and goes on between bands: (channel, channel)."""
        distances = (position[:, None] - position).square()
        variance, length = self.smooth.exp()
        return torch.where(distances.isfinite(), variance * (-distances.nan_to_num() / (2 * length**2)).exp(), 0.0)

    def _linear(self, pixels: Tensor, kinds: Tensor, of: Channels, is_hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Each token as the best linear guess from the visible ones of its place, and the deviation that it leaves open.

        Best by means and a covariance that follow from what bands are: so it is one for any bands that are visible. The
        guess is (sample, channel, place, pixel), the deviation (channel, place).
        """
        basis, shown = self.basis(kinds).double() / math.sqrt(self.width), (~is_hidden).T.double()
        covariance = basis @ basis.T + self._smooth(of.nm.log().to(kinds.device))
        mean, noise = self.mean_and_noise(kinds).T
        mean = mean.masked_fill(of.nm.isfinite().to(mean.device), 0.0)  # light has one scale, whose mean is 0
        among = covariance * shown[:, :, None] * shown[:, None] + torch.diag_embed(1 - shown + (noise - 7).exp())
        towards = covariance * shown[:, :, None]
        weights = torch.linalg.solve(
            among, towards
        )  # (place, visible, guessed): 0 of what is hidden; bands are much alike
        left = (covariance.diagonal() - (weights * towards).sum(1)).float()
        mean = mean[:, None, None]
        return mean + torch.einsum("scnp,nct->stnp", pixels - mean, weights.float()), (
            left.T.clamp(min=0) + 1e-4
        ).sqrt()


def loss_of(
    found: Tensor, image: Tensor, valid: Tensor, of: Channels, is_hidden: Tensor, side: int
) -> tuple[Tensor, Tensor]:
    """(sum of squared errors in units of each channel's own spread, how many): of hidden pixels that have data."""
    channel, place = is_hidden.nonzero().T
    truth, there = (tokens_of(t, side)[:, channel, place] for t in (image, valid))
    spread = of.spread.clamp(min=0.05).to(image.device)[channel, None]
    errors = ((found - truth) / spread).square()
    return torch.where(there, errors, 0.0).sum(), there.sum()
