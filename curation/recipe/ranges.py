"""What values a unit can have: what lies outside is in another unit, or is no data. Pure."""

from __future__ import annotations

import re

_TIMES = re.compile(r"(.*?)\s*×\s*([0-9]+(?:\.[0-9]+)?)$")

LIMITS: dict[str, tuple[float, float]] = {
    "dB": (-80.0, 60.0),
    "linear power": (-1.0, 10_000.0),
    "reflectance": (-0.5, 5.0),
    "m": (-11_100.0, 9_000.0),
    "K": (100.0, 400.0),
    "t/ha": (0.0, 5_000.0),
}
"""Unit → least and greatest value that anything on Earth has. Radar: 40 dB is brighter than any target (as for scenes),
and 20 dB more are left for images without calibration; its noise is -22 dB, of which speckle makes -60. Reflectance: glint
and slopes reach 3. Heights: Challenger Deep (-10,984 m) to Everest. Temperature: -89 °C to a fire in a pixel of hundreds of
metres. Biomass: forests have some 2,000 t, and giants more."""

FILLS = (-9999.0, -32768.0, -32767.0, -999.0, -99999.0, 9999.0, 32767.0, 65535.0)
"""Numbers that files of others are filled with."""


def limits_of(unit: str) -> tuple[float, float] | None:
    """Least and greatest value in a unit, `sigma0, dB` or `reflectance × 10000`; None where nothing is known of it."""
    bare, times = (m[1], float(m[2])) if (m := _TIMES.match(unit)) else (unit, 1.0)
    found = LIMITS.get(bare.rpartition(",")[2].strip())
    return None if found is None else (found[0] * times, found[1] * times)
