"""What can lie on the ground, and how each kind looks: reflectance through the year, backscatter, height, label.

Reflectances are plausible surface reflectances of the twelve Sentinel-2 L2A bands; backscatter is gamma0 in dB at C band.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.embedded.world import tables
from curation.embedded.world.traits import Regional

BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
"""The order of every spectrum here."""

_TABLE = tables.beside(__file__)

SPECTRA: dict[str, tuple[float, ...]] = {name: tuple(values) for name, values in _TABLE["spectra"].items()}
"""Reflectance of pure materials in the order of `BANDS`."""

_WATER, _FIELDS = 80, 40
"""WorldCover codes."""

_CROSS = 0.35
"""How much of what wind adds in dB to vv it adds to vh."""

_SMOOTH_DB = 7.0
"""By how much a field is darker that was rolled: a seedbed is smooth to a wave of 5.5 cm."""

Phenology = tuple[tuple[int, float], ...]

_PHENOLOGIES: dict[str, Phenology] = {
    name: tuple((day, share) for day, share in c) for name, c in _TABLE["curves"].items()
}
NEVER = _PHENOLOGIES["never"]


@dataclass(frozen=True, slots=True)
class Cover:
    """One kind of ground."""

    name: str
    wc: int
    """Its ESA WorldCover code."""
    dw: int
    """Its Dynamic World class."""
    bare: str
    """The material it shows without green leaves."""
    green: str
    """The material it shows in full leaf."""
    leaves: Phenology = NEVER
    """Green share by day of the (northern) year."""
    ripe: str = "ripe"
    ripening: Phenology = NEVER
    """Share of the `ripe` material by day of the year."""
    vary: float = 0.12
    """Spread of brightness between parcels."""
    grain: float = 0.06
    """Strength of the texture within them."""
    height_m: float = 0.0
    """Above the terrain: GLO-30 is a surface model."""
    vv: float = -12.0
    """dB without leaves."""
    vh: float = -19.0
    green_vv: float = 0.0
    """dB added in full leaf."""
    green_vh: float = 0.0
    vary_db: float = 0.8
    scl: int | None = None
    """SCL code where reflectance does not decide it."""


COVERS = tuple(
    Cover(**row | {name: _PHENOLOGIES[row[name]] for name in ("leaves", "ripening") if name in row})
    for row in _TABLE["covers"]
)
"""Every kind; a pixel's kind is its index here."""

NAMES = tuple(c.name for c in COVERS)
STEPS = 256
"""Parcel states per kind: a pixel of kind k in state p has the code k × STEPS + p."""


def kind(name: str) -> int:
    """The index of a kind."""
    return NAMES.index(name)


def _state() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Three unrelated values in -1..1 for each parcel state."""
    p = np.arange(STEPS)
    return p / 127.5 - 1, (p * 97 % STEPS) / 127.5 - 1, (p * 59 + 31) % STEPS / 127.5 - 1


def _through_year(phenology: Phenology, day: NDArray[np.float64]) -> NDArray[np.float64]:
    days, values = zip(*phenology, strict=True)
    out: NDArray[np.float64] = np.interp(day, days, values, period=365.25)
    return out


def greenness(
    cover: Cover, doy: float, *, south: bool, evergreen: float, regional: Regional | None = None
) -> NDArray[np.float64]:
    """Green share of each parcel state: (STEPS,), 0 to 1; parcels run up to twelve days early or late."""
    early, _, _ = _state()
    doy = doy + (0.0 if regional is None else regional.early_days(cover.name))
    green: NDArray[np.float64] = _through_year(cover.leaves, (doy + (182.6 if south else 0.0) + 12 * early) % 365.25)
    if cover.wc != 40 and cover.leaves is not NEVER:  # fields are sown and reaped in the tropics too
        green = green + evergreen * (0.9 - green) * (green < 0.9)
    return green


def reflectance(doy: float, *, south: bool, evergreen: float, regional: Regional | None = None) -> NDArray[np.float32]:
    """Reflectance by band and code: float32 (12, kinds × STEPS), on flat sunlit ground."""
    _, bright, lush = _state()
    out = np.empty((len(BANDS), len(COVERS), STEPS))
    day = doy + (182.6 if south else 0.0)
    for k, c in enumerate(COVERS):
        green = np.clip(
            greenness(c, doy, south=south, evergreen=evergreen, regional=regional) * (1 + 0.18 * lush), 0, 1
        )[None]
        early, _, _ = _state()
        sooner = 0.0 if regional is None else regional.early_days(c.name)
        ripe = _through_year(c.ripening, (day + sooner + 8 * early) % 365.25)[None]
        bare_, green_, ripe_ = (np.array(SPECTRA[m])[:, None] for m in (c.bare, c.green, c.ripe))
        plain = bare_ * (1 - green) + green_ * green
        out[:, k] = (plain * (1 - ripe) + ripe_ * ripe) * (1 + c.vary * bright)
        if regional is not None:
            out[:, k] *= regional.gain(c.name, len(BANDS))[:, None]
    return out.reshape(len(BANDS), -1).astype(np.float32)


def backscatter(
    doy: float,
    *,
    south: bool,
    evergreen: float,
    look: int,
    wind_db: float = 0.0,
    smooth: NDArray[np.bool_] | None = None,
    regional: Regional | None = None,
) -> NDArray[np.float32]:
    """Linear gamma0 of vv and vh by code: float32 (2, kinds × STEPS); walls shine to one look (0 or 1), not the other.

    Args:
        doy: day of the year.
        south: whether seasons are half a year off.
        evergreen: as of a region.
        look: to which side the sensor looks.
        wind_db: by how much wind brightens open water in vv; ripples turn little of it into vh.
        smooth: which parcel states of fields were rolled, (STEPS,): as long as they are bare they are dark.
        regional: as of a region.
    """
    state = _state()
    out = np.empty((2, len(COVERS), STEPS))
    for k, c in enumerate(COVERS):
        green = greenness(c, doy, south=south, evergreen=evergreen, regional=regional)
        spread = c.vary_db * state[1 + look % 2]
        out[0, k] = c.vv + c.green_vv * green + spread
        out[1, k] = c.vh + c.green_vh * green + 0.8 * spread
        if c.wc == _WATER:
            out[:, k] += [[wind_db], [_CROSS * wind_db]]
        if c.wc == _FIELDS and smooth is not None:
            out[:, k] -= _SMOOTH_DB * smooth * (1 - green)
    return (10 ** (out.reshape(2, -1) / 10)).astype(np.float32)


def per_code(values: list[float]) -> NDArray[np.float32]:
    """A value per kind as a float32 table by code."""
    return np.repeat(np.array(values, dtype=np.float32), STEPS)
