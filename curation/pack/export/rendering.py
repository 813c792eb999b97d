"""How pixels become a picture, or numbers of one scale: the same for all samples of a dataset. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.errors import ConfigError
from curation.errors.printable import printable
from curation.errors.words import did_you_mean
from curation.format.bands import BandEntry
from curation.format.index import ArrayEntry
from curation.format.signature import bands_of

MINUS = "-"
"""Between two bands of a channel: what the second leaves of the first. Of dB that is a ratio of powers."""

COMPOSITES: Mapping[str, tuple[str, str, str]] = {
    "true-colour": ("red", "green", "blue"),
    "false-colour": ("nir", "red", "green"),
    "radar": ("VV", "VH", "VV-VH"),
}
"""What may be said in place of three bands: names as STAC's extension `eo` has them, or of polarisations."""

POWER, HUNDREDTHS = "linear power", "hundredths of a dB"
"""How units of radar end where numbers are no dB: these are looked at in dB."""


@dataclass(frozen=True, slots=True)
class ViewChannel:
    """One channel of an image: a band, or what a second leaves of it, and the limits that it is looked at between."""

    name: str
    """As it was asked for: `B04`, `VV-VH`."""
    array: str
    planes: tuple[int, ...]
    """Of the array: one, or two."""
    bands: tuple[BandEntry, ...]
    """What these are."""
    low: float = 0.0
    """What becomes the least brightness; in units as stored, of radar in dB."""
    high: float = 1.0
    """What becomes the greatest."""

    def to_json(self) -> dict[str, Any]:
        """As an index of a view states it."""
        its = {"name": self.name, "array": self.array, "bands": [b.name for b in self.bands]}
        return its | {"low": self.low, "high": self.high}


@dataclass(frozen=True, slots=True)
class Rendering:
    """The channels of all images of a view."""

    source: str
    season: str | None
    """Which of a sample's images it is; None of what has no time."""
    channels: tuple[ViewChannel, ...]
    gamma: float = 1.0
    season_by: str = ""
    """Why that season; empty where there is none."""
    seasons: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Of a season that was chosen by what images look like: how they do in each."""

    @property
    def arrays(self) -> tuple[str, ...]:
        """Those that it reads."""
        return tuple(dict.fromkeys(c.array for c in self.channels))

    def values(
        self, pixels: Mapping[str, NDArray[Any]], entries: Mapping[str, ArrayEntry]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """((channel, y, x) in units as stored, radar in dB; (y, x) whether all bands that it reads have data there).

        Coarser arrays have each pixel repeated onto the finest grid: nothing is invented between them.

        Args:
            pixels: array → (band, y, x) as stored.
            entries: array → what the index says of it.
        """
        finest = finest_of([entries[name] for name in self.arrays])
        planes = [[_plane(pixels[c.array], p, entries[c.array], finest) for p in c.planes] for c in self.channels]
        valid = np.logical_and.reduce([np.isfinite(plane) for of in planes for plane in of])
        images = np.stack([of[0] if len(of) == 1 else of[0] - of[1] for of in planes])
        return images, valid

    def unit(self, values: NDArray[np.float64], valid: NDArray[np.bool_]) -> NDArray[np.float64]:
        """0 to 1 of (channel, y, x): linear between each channel's limits, cut there, then the gamma; 0 without data."""
        low, high = (np.array([getattr(c, n) for c in self.channels])[:, None, None] for n in ("low", "high"))
        unit = np.clip((np.where(valid, values, low) - low) / (high - low), 0, 1)
        found: NDArray[np.float64] = unit ** (1 / self.gamma)
        return found

    def to_json(self) -> dict[str, Any]:
        """As an index of a view states it."""
        its = [c.to_json() for c in self.channels]
        said = {"source": self.source, "season": self.season, "channels": its, "gamma": self.gamma}
        return said | {"season_by": self.season_by, "seasons": {name: dict(how) for name, how in self.seasons.items()}}


def finest_of(entries: Sequence[ArrayEntry]) -> ArrayEntry:
    """The one with most pixels a side."""
    return max(entries, key=lambda entry: entry.shape[-1])


def times_finer(entry: ArrayEntry, finest: ArrayEntry) -> int | None:
    """How many of the finest pixels a pixel is as wide as, where each holds whole ones from the corner on; else None.

    Coarse pixels may reach beyond the footprint, in the south and the east.
    """
    side, most = entry.shape[-1], finest.shape[-1]
    ratio = most / side if entry.res_m is None or finest.res_m is None else entry.res_m / finest.res_m
    times = round(ratio)
    return times if abs(times - ratio) < 1e-6 and -(-most // times) == side and not entry.has_offsets else None


def _plane(pixels: NDArray[Any], number: int, entry: ArrayEntry, finest: ArrayEntry) -> NDArray[np.float64]:
    """(y, x) of a band on the finest grid, NaN where it has no data; radar in dB, power NaN where it is not above 0."""
    stored = pixels[number]
    missing = np.isnan(stored) if entry.nodata != entry.nodata else stored == entry.nodata
    plane = np.where(missing, np.nan, stored.astype(np.float64))
    if is_power(entry):
        plane = 10 * np.log10(np.where(plane > 0, plane, np.nan))
    elif is_hundredths(entry):
        plane = plane / 100
    times, side = times_finer(entry, finest) or 1, finest.shape[-1]
    return np.repeat(np.repeat(plane, times, 0), times, 1)[:side, :side]


def is_power(entry: ArrayEntry) -> bool:
    """Whether an array holds linear power of a radar."""
    return entry.unit.endswith(POWER)


def is_hundredths(entry: ArrayEntry) -> bool:
    """Whether an array holds hundredths of dB of a radar."""
    return entry.unit.endswith(HUNDREDTHS)


def unit_of(entry: ArrayEntry) -> str:
    """Of what limits are in."""
    for stored in (POWER, HUNDREDTHS):
        if entry.unit.endswith(stored):
            return entry.unit.removesuffix(stored) + "dB"
    return entry.unit


def channels_of(asked: Sequence[str], entries: Mapping[str, ArrayEntry]) -> tuple[ViewChannel, ...]:
    """The channels that names stand for, without limits.

    Args:
        asked: of each channel a band, or two with a minus between them: as the source calls it (`B04`, in either case),
            by its canonical name (`s2.b04`) or, where one band has it, by what STAC calls it (`red`).
        entries: arrays of one source that may be looked at.

    Raises:
        ConfigError: there is no such band, two of a channel lie in several arrays, or pixels do not nest in the finest.
    """
    known = _by_name(entries)
    found = tuple(_channel(text, known) for text in asked)
    names = sorted({c.array for c in found})
    finest = finest_of([entries[name] for name in names])
    if odd := [name for name in names if times_finer(entries[name], finest) is None]:
        raise ConfigError(
            f"--bands: pixels of {odd[0]} ({entries[odd[0]].shape[-1]} a side) do not hold whole ones of the finest array "
            f"({finest.shape[-1]} a side): leave its bands out"
        )
    return found


def _by_name(entries: Mapping[str, ArrayEntry]) -> dict[str, tuple[str, int, BandEntry]]:
    """Each name of a band, in lower case → where it lies; of a common name those that one band alone has."""
    out: dict[str, tuple[str, int, BandEntry]] = {}
    common: dict[str, list[tuple[str, int, BandEntry]]] = {}
    for array, entry in entries.items():
        for plane, (name, band) in enumerate(zip(entry.bands, bands_of(entry), strict=True)):
            its = (array, plane, band)
            out |= {name.lower(): its, band.name.lower(): its}
            common.setdefault((band.common_name or "").lower(), []).append(its)
    return {name: its[0] for name, its in common.items() if name and len(its) == 1} | out


def _channel(text: str, known: Mapping[str, tuple[str, int, BandEntry]]) -> ViewChannel:
    whole = text.strip().lower()
    parts = [whole] if whole in known else whole.split(MINUS)
    if lacks := [p for p in parts if p not in known]:
        raise ConfigError(
            f"--bands {printable(text)}: no band {printable(lacks[0])!r}; {did_you_mean(lacks[0], known)}known: "
            f"{', '.join(sorted(known))}"
        )
    places = [known[p] for p in parts]
    if len(places) > 2 or len({array for array, _, _ in places}) > 1:
        raise ConfigError(
            f"--bands {printable(text)}: expected one band, or two of one array with a minus between them"
        )
    return ViewChannel(text.strip(), places[0][0], tuple(p for _, p, _ in places), tuple(b for _, _, b in places))
