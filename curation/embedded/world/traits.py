"""What makes an Earth harder than the one that is served by default: each is a switch, and all are off unless it is named.

An Earth's name has the switches that are on, `masks+shifts`, or `hard` for all of them; `plain` for none. It is the
environment's (`CURATION_EARTH`) of the process that serves it, read once, since all regions and scenes follow from it.
Every trait follows from seeds of its own: that one is on changes nothing of what the others say.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from functools import cache

import numpy as np
from numpy.typing import NDArray

from curation.embedded.world import noise

VARIABLE = "CURATION_EARTH"
PLAIN, HARD = "plain", "hard"

SHIFT_PX = 0.5
"""Standard deviation of how far all of a date lies beside its place, along each axis, in pixels of 10 m. Multi-temporal
registration of Sentinel-2 products without refinement is stated as better than 12 m at 95 % (ESA's data quality reports)."""

EARLY_DAYS = 14.0
"""Standard deviation by which a kind of ground is green earlier or later in one region than in another."""

BRIGHT, TILT = 0.12, 0.15
"""Standard deviations by which a kind is brighter in one region, and redder: the share at the ends of the spectrum."""

EAGER = 0.25
"""By how much both maps err sooner, in standard deviations: away from edges on a seventh of most ground, not an eleventh."""

TOGETHER = 0.85
"""How far the two maps' errors go together, 0 to 1; by default 0.6."""

DATES = 8
"""Sentinel-2 dates a season at least, in one region."""


@dataclass(frozen=True, slots=True)
class Traits:
    """Which switches are on."""

    masks: bool = False
    """Sentinel-2's classification takes bright roofs, sand and concrete for cloud, and misses haze."""
    dates: bool = False
    """One region has at least `DATES` Sentinel-2 dates in each season."""
    shifts: bool = False
    """Each date of Sentinel-2 lies beside its place by another fraction of a pixel, and so do maps made of it."""
    regions: bool = False
    """Kinds of ground have another spectrum and another calendar in each region."""
    labels: bool = False
    """Maps err in more places, and more alike."""
    objects: bool = False
    """Hedges, tracks and ponds: a pixel or a few wide."""

    @property
    def name(self) -> str:
        """As an Earth is named."""
        on = [f.name for f in fields(self) if getattr(self, f.name)]
        return HARD if len(on) == len(fields(self)) else "+".join(on) or PLAIN


PLAIN_TRAITS = Traits()
"""None of them."""


def named(name: str) -> Traits:
    """The traits of an Earth by its name.

    Raises:
        ValueError: it has a switch that there is not.
    """
    known = [f.name for f in fields(Traits)]
    on = known if name == HARD else [] if name in ("", PLAIN) else name.split("+")
    if wrong := [n for n in on if n not in known]:
        raise ValueError(f"no Earth {wrong[0]!r}: expected {PLAIN}, {HARD}, or some of {', '.join(known)} joined by +")
    return Traits(**dict.fromkeys(on, True))


@cache
def served() -> Traits:
    """Those of the Earth that this process has. Raises as `named` does."""
    return named(os.environ.get(VARIABLE, ""))


@dataclass(frozen=True, slots=True)
class Regional:
    """How kinds of ground differ in one region from what they are elsewhere; by the name of the kind."""

    seed: int
    """The region's."""

    def early_days(self, kind: str) -> float:
        """By how much its calendar runs early."""
        return EARLY_DAYS * float(self._rng(kind, "calendar").standard_normal())

    def gain(self, kind: str, bands: int) -> NDArray[np.float64]:
        """(band,): what its reflectance is multiplied by."""
        bright, tilt = self._rng(kind, "spectrum").standard_normal(2).clip(-2, 2)
        return np.asarray((1 + BRIGHT * bright) * (1 + TILT * tilt * np.linspace(-1, 1, bands)))

    def _rng(self, *parts: str) -> np.random.Generator:
        return np.random.default_rng(noise.seed_of("regional", self.seed, *parts))


def shift_px(its: Traits, *date: object) -> tuple[float, float]:
    """How far down and right all of an acquisition lies, in pixels of 10 m; 0 where that switch is off."""
    if not its.shifts:
        return 0.0, 0.0
    down, right = np.random.default_rng(noise.seed_of("shift", *date)).normal(0, SHIFT_PX, 2).clip(-1.5, 1.5)
    return float(down), float(right)
