"""What can lie on the ground, and how each kind looks: reflectance through the year, backscatter, height, label.

Reflectances are plausible surface reflectances of the twelve Sentinel-2 L2A bands; backscatter is gamma0 in dB at C band.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
"""The order of every spectrum here."""

SPECTRA = {
    "soil": (0.06, 0.075, 0.105, 0.145, 0.175, 0.195, 0.215, 0.235, 0.255, 0.265, 0.325, 0.275),
    "crop": (0.02, 0.03, 0.065, 0.032, 0.095, 0.33, 0.42, 0.455, 0.475, 0.465, 0.215, 0.1),
    "ripe": (0.05, 0.07, 0.115, 0.155, 0.195, 0.245, 0.275, 0.305, 0.325, 0.33, 0.365, 0.245),
    "bloom": (0.025, 0.04, 0.12, 0.105, 0.15, 0.34, 0.4, 0.43, 0.45, 0.44, 0.23, 0.11),
    "grass": (0.025, 0.036, 0.072, 0.046, 0.11, 0.27, 0.33, 0.365, 0.385, 0.385, 0.235, 0.13),
    "straw": (0.045, 0.06, 0.09, 0.105, 0.14, 0.18, 0.2, 0.225, 0.245, 0.255, 0.295, 0.2),
    "leaf": (0.015, 0.02, 0.04, 0.021, 0.06, 0.22, 0.305, 0.335, 0.355, 0.355, 0.165, 0.07),
    "needle": (0.012, 0.016, 0.029, 0.019, 0.042, 0.13, 0.17, 0.19, 0.2, 0.2, 0.1, 0.046),
    "twig": (0.028, 0.037, 0.052, 0.06, 0.078, 0.105, 0.125, 0.14, 0.155, 0.16, 0.185, 0.125),
    "heath": (0.025, 0.034, 0.052, 0.058, 0.085, 0.14, 0.165, 0.185, 0.2, 0.21, 0.215, 0.14),
    "reed": (0.03, 0.04, 0.062, 0.05, 0.085, 0.17, 0.2, 0.22, 0.23, 0.225, 0.13, 0.07),
    "mud": (0.04, 0.05, 0.065, 0.07, 0.08, 0.085, 0.09, 0.095, 0.1, 0.1, 0.07, 0.045),
    "river": (0.04, 0.048, 0.058, 0.045, 0.036, 0.022, 0.02, 0.016, 0.014, 0.012, 0.008, 0.006),
    "lake": (0.03, 0.034, 0.034, 0.02, 0.015, 0.011, 0.01, 0.009, 0.009, 0.008, 0.006, 0.004),
    "asphalt": (0.06, 0.072, 0.082, 0.088, 0.093, 0.098, 0.102, 0.106, 0.11, 0.11, 0.118, 0.106),
    "concrete": (0.15, 0.185, 0.215, 0.235, 0.25, 0.255, 0.26, 0.265, 0.27, 0.275, 0.29, 0.26),
    "tile": (0.05, 0.058, 0.082, 0.135, 0.165, 0.175, 0.182, 0.19, 0.2, 0.205, 0.225, 0.195),
    "metal": (0.2, 0.235, 0.255, 0.265, 0.275, 0.28, 0.285, 0.29, 0.29, 0.29, 0.28, 0.25),
    "sand": (0.13, 0.17, 0.23, 0.28, 0.31, 0.33, 0.345, 0.36, 0.375, 0.385, 0.44, 0.39),
    "snow": (0.86, 0.88, 0.88, 0.87, 0.86, 0.85, 0.84, 0.82, 0.79, 0.7, 0.12, 0.1),
    "cloud": (0.5, 0.52, 0.505, 0.505, 0.515, 0.525, 0.53, 0.535, 0.54, 0.3, 0.37, 0.29),
}
"""Reflectance of pure materials in the order of `BANDS`."""

Curve = tuple[tuple[int, float], ...]

EVER: Curve = ((1, 1.0),)
NEVER: Curve = ((1, 0.0),)
MEADOW: Curve = ((1, 0.5), (75, 0.55), (120, 0.95), (160, 0.9), (210, 0.6), (260, 0.7), (320, 0.6))
LEAVES: Curve = ((1, 0.05), (95, 0.08), (130, 0.95), (240, 0.9), (285, 0.5), (315, 0.1))
WINTER_CEREAL: Curve = (
    (1, 0.22),
    (70, 0.35),
    (115, 0.9),
    (155, 0.95),
    (190, 0.25),
    (215, 0.05),
    (290, 0.08),
    (330, 0.2),
)
CEREAL_RIPE: Curve = ((1, 0.0), (165, 0.0), (195, 0.95), (235, 0.6), (270, 0.0))
SUMMER_CROP: Curve = ((1, 0.04), (130, 0.05), (185, 0.85), (250, 0.95), (275, 0.4), (300, 0.05))
BEET: Curve = ((1, 0.05), (115, 0.05), (170, 0.8), (290, 0.9), (320, 0.1))
RAPE: Curve = ((1, 0.35), (80, 0.6), (150, 0.9), (185, 0.3), (210, 0.05), (260, 0.15), (320, 0.35))
RAPE_BLOOM: Curve = ((1, 0.0), (100, 0.0), (118, 0.9), (138, 0.8), (150, 0.0))
CANE: Curve = ((1, 0.75), (120, 0.9), (200, 0.5), (250, 0.25), (330, 0.55))
REEDS: Curve = ((1, 0.2), (110, 0.25), (160, 0.9), (260, 0.8), (310, 0.25))


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
    leaves: Curve = NEVER
    """Green share by day of the (northern) year."""
    ripe: str = "ripe"
    ripening: Curve = NEVER
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


COVERS = (
    Cover("river", 80, 0, "river", "river", vary=0.1, grain=0.03, vv=-20.5, vh=-27.5, vary_db=0.6, scl=6),
    Cover("lake", 80, 0, "lake", "lake", vary=0.25, grain=0.02, vv=-22.5, vh=-28.5, vary_db=0.8, scl=6),
    Cover(
        "broadleaf",
        10,
        1,
        "twig",
        "leaf",
        LEAVES,
        grain=0.13,
        height_m=17,
        vv=-9.6,
        vh=-15.4,
        green_vv=-0.9,
        green_vh=0.8,
    ),
    Cover("conifer", 10, 1, "needle", "needle", EVER, grain=0.12, height_m=19, vv=-10.4, vh=-15.9, vary_db=0.4),
    Cover("meadow", 30, 2, "straw", "grass", MEADOW, grain=0.05, vv=-12.4, vh=-19.6, green_vv=0.4, green_vh=1.0),
    Cover("rough-grass", 30, 2, "straw", "grass", MEADOW, vary=0.2, grain=0.1, vv=-12.0, vh=-18.8, green_vh=0.8),
    Cover(
        "marsh",
        90,
        3,
        "mud",
        "reed",
        REEDS,
        vary=0.2,
        grain=0.13,
        height_m=1,
        vv=-8.9,
        vh=-17.5,
        green_vv=1.3,
        green_vh=1.6,
    ),
    Cover(
        "wheat",
        40,
        4,
        "soil",
        "crop",
        WINTER_CEREAL,
        ripening=CEREAL_RIPE,
        vv=-10.6,
        vh=-18.3,
        green_vv=-4.0,
        green_vh=-1.6,
    ),
    Cover("maize", 40, 4, "soil", "crop", SUMMER_CROP, height_m=1, vv=-11.2, vh=-19.6, green_vv=1.8, green_vh=4.0),
    Cover("beet", 40, 4, "soil", "crop", BEET, vv=-10.9, vh=-19.2, green_vv=2.2, green_vh=4.4),
    Cover(
        "rape",
        40,
        4,
        "soil",
        "crop",
        RAPE,
        "bloom",
        RAPE_BLOOM,
        height_m=1,
        vv=-11.0,
        vh=-18.5,
        green_vv=1.2,
        green_vh=4.2,
    ),
    Cover("cane", 40, 4, "straw", "crop", CANE, height_m=2, vv=-10.8, vh=-17.2, green_vv=1.4, green_vh=2.2),
    Cover(
        "shrub",
        20,
        5,
        "heath",
        "leaf",
        ((1, 0.2), (120, 0.45), (240, 0.45), (320, 0.2)),
        vary=0.18,
        grain=0.16,
        height_m=2,
        vv=-10.8,
        vh=-17.0,
    ),
    Cover("roof-tile", 50, 6, "tile", "tile", vary=0.3, grain=0.12, height_m=8, vv=-4.6, vh=-12.0, vary_db=3.4, scl=5),
    Cover(
        "roof-grey",
        50,
        6,
        "concrete",
        "concrete",
        vary=0.42,
        grain=0.12,
        height_m=12,
        vv=-2.6,
        vh=-10.6,
        vary_db=4.2,
        scl=5,
    ),
    Cover("hall", 50, 6, "metal", "metal", vary=0.45, grain=0.05, height_m=10, vv=-1.0, vh=-10.0, vary_db=5.0, scl=5),
    Cover(
        "street", 50, 6, "asphalt", "asphalt", vary=0.12, grain=0.1, height_m=1, vv=-10.0, vh=-17.5, vary_db=1.5, scl=5
    ),
    Cover(
        "garden",
        50,
        6,
        "straw",
        "leaf",
        ((1, 0.35), (110, 0.4), (140, 0.85), (280, 0.7), (320, 0.4)),
        vary=0.15,
        grain=0.2,
        height_m=5,
        vv=-8.2,
        vh=-14.4,
        vary_db=1.5,
    ),
    Cover("quarry", 60, 7, "sand", "sand", vary=0.2, grain=0.08, vv=-13.5, vh=-22.0, vary_db=1.2, scl=5),
    Cover("road", 50, 6, "asphalt", "grass", ((1, 0.25),), vary=0.1, grain=0.05, vv=-12.0, vh=-19.0, scl=5),
    Cover("park", 10, 1, "twig", "leaf", LEAVES, grain=0.18, height_m=11, vv=-9.2, vh=-15.2, green_vh=0.5),
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


def _through_year(curve: Curve, day: NDArray[np.float64]) -> NDArray[np.float64]:
    days, values = zip(*curve, strict=True)
    out: NDArray[np.float64] = np.interp(day, days, values, period=365.25)
    return out


def greenness(cover: Cover, doy: float, *, south: bool, evergreen: float) -> NDArray[np.float64]:
    """Green share of each parcel state: (STEPS,), 0 to 1; parcels run up to twelve days early or late."""
    early, _, _ = _state()
    green: NDArray[np.float64] = _through_year(cover.leaves, (doy + (182.6 if south else 0.0) + 12 * early) % 365.25)
    if cover.wc != 40 and cover.leaves is not NEVER:  # fields are sown and reaped in the tropics too
        green = green + evergreen * (0.9 - green) * (green < 0.9)
    return green


def reflectance(doy: float, *, south: bool, evergreen: float) -> NDArray[np.float32]:
    """Reflectance by band and code: float32 (12, kinds × STEPS), on flat sunlit ground."""
    _, bright, lush = _state()
    out = np.empty((len(BANDS), len(COVERS), STEPS))
    day = doy + (182.6 if south else 0.0)
    for k, c in enumerate(COVERS):
        green = np.clip(greenness(c, doy, south=south, evergreen=evergreen) * (1 + 0.18 * lush), 0, 1)[None]
        early, _, _ = _state()
        ripe = _through_year(c.ripening, (day + 8 * early) % 365.25)[None]
        bare_, green_, ripe_ = (np.array(SPECTRA[m])[:, None] for m in (c.bare, c.green, c.ripe))
        plain = bare_ * (1 - green) + green_ * green
        out[:, k] = (plain * (1 - ripe) + ripe_ * ripe) * (1 + c.vary * bright)
    return out.reshape(len(BANDS), -1).astype(np.float32)


def backscatter(doy: float, *, south: bool, evergreen: float, look: int) -> NDArray[np.float32]:
    """Linear gamma0 of vv and vh by code: float32 (2, kinds × STEPS); walls shine to one look (0 or 1), not the other."""
    state = _state()
    out = np.empty((2, len(COVERS), STEPS))
    for k, c in enumerate(COVERS):
        green = greenness(c, doy, south=south, evergreen=evergreen)
        spread = c.vary_db * state[1 + look % 2]
        out[0, k] = c.vv + c.green_vv * green + spread
        out[1, k] = c.vh + c.green_vh * green + 0.8 * spread
    return (10 ** (out.reshape(2, -1) / 10)).astype(np.float32)


def per_code(values: list[float]) -> NDArray[np.float32]:
    """A value per kind as a float32 table by code."""
    return np.repeat(np.array(values, dtype=np.float32), STEPS)
