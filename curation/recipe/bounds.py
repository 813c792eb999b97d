"""What recipes may ask for, as constants that those who measure share. Pure."""

from __future__ import annotations

MAX_SHIFT_PX = 8
"""Shifts beyond this are not looked for: they would be another fault."""

LEAST_PX = 4 * MAX_SHIFT_PX
"""An image has at least so many pixels along a side."""


FLOOR_DB = -40.0
"""Where nobody says otherwise. Sentinel-1's noise is specified to be that of -22 dB or better (ESA, Sentinel-1 SAR technical
guide, "Performance") and was measured at about -30 in the real scenes here, whose darkest pixel of 20 m has -37.9: below -40
a pixel says that nothing came back, and its decibels would say by how little."""
