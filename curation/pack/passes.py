"""Which pass of a satellite a scene is of: what its id says, and where that does not tell it, when it was sensed. Pure.

Who does not name passes names instants: Earth Search's ids have the satellite and a day or an instant, those of HLS the
instant. A pass over one side of the Earth takes no longer than `acquisition.DATATAKE_S`, and the next one of the satellite
begins some 100 minutes after it. So an instant is of two windows, twice as long and half a window apart: two instants of one
pass have a window in common, two of other passes have none; in between, of what is up to 50 minutes apart in one orbit, some
have. Nothing that is of one pass is missed thereby, and what is told to be is of one orbit.
"""

from __future__ import annotations

import datetime as dt
import functools
import re
from collections.abc import Iterable, Sequence

from curation.scenes import acquisition

_S1 = re.compile(r"(S1[A-D])_[A-Z0-9]{2}_[A-Z0-9_]{4}_[A-Z0-9]{4}_\d{8}T\d{6}_\d{8}T\d{6}_(\d{6})_([0-9A-F]{6})")
"""Mission, absolute orbit and datatake of a product of Sentinel-1 (ESA's naming of products)."""

_LANDSAT = re.compile(r"L[COETM](0[4-9])_[A-Z0-9]{4}_(\d{3})\d{3}_(\d{8})")
"""Satellite, path and day of a product of Landsat (collections 1 and 2): a path is passed over once on a day."""

_HLS = re.compile(r"HLS\.([LS])30\.T\w{5}\.(\d{7}T\d{6})")
"""Whose image a product of HLS is of (Landsat's, Sentinel-2's: which satellite, it does not tell), and its instant."""

_EARTH_SEARCH = re.compile(r"(S2[A-D])_T?\d{1,2}[C-X][A-Z]{2}_(\d{8})(T\d{6})?_")
"""Satellite, and day or instant, of `S2A_29RKH_20200219_0_L2A` and `S2A_T13TDE_20240422T174753_L2A`."""

_SATELLITE = re.compile(r"S[12][A-D]_|L[COETM]0[4-9]_|HLS\.")
"""How ids begin of scenes of satellites that have passes."""


def of_scene(scene: str, times: Iterable[dt.datetime] = ()) -> frozenset[str]:
    """Names of the pass that a scene is of; those of one pass have at least one in common. Empty where nothing tells it.

    Args:
        scene: its id.
        times: when scenes of its patch were sensed, UTC: of an id that tells a day alone, those of that day count.
    """
    if exact := _named(scene):
        return frozenset([exact])
    if found := _HLS.match(scene):
        instant = _parsed(found[2], "%Y%jT%H%M%S")
        return _windows(f"HLS {found[1]}", [instant] if instant else [])
    if found := _EARTH_SEARCH.match(scene):
        if found[3]:
            instant = _parsed(found[2] + found[3], "%Y%m%dT%H%M%S")
            return _windows(found[1], [instant] if instant else [])
        return _windows(found[1], [t for t in times if f"{t.astimezone(dt.UTC):%Y%m%d}" == found[2]])
    return frozenset()


def of_scenes(scenes: Sequence[str], times: Sequence[dt.datetime] = ()) -> frozenset[str]:
    """Names of the passes that a patch's scenes are of.

    One time of scenes of several days is that of none of them: the middle of a mean.
    """
    days = {found[2] for s in scenes if (found := _EARTH_SEARCH.match(s))}
    known = [] if len(times) == 1 and len(days) > 1 else times
    return frozenset().union(*(of_scene(s, known) for s in scenes))


def hides(scene: str, times: Iterable[dt.datetime] = ()) -> bool:
    """Whether a scene is of a satellite that has passes, and nothing tells which it is of."""
    return _SATELLITE.match(scene) is not None and not of_scene(scene, times)


@functools.lru_cache(maxsize=2**16)  # places have scenes in common
def _named(scene: str) -> str | None:
    """The pass that an id names."""
    if found := _S1.match(scene):
        return f"{found[1]} {found[2]} {found[3]}"
    if found := _LANDSAT.match(scene):
        return f"L{found[1]} {found[2]} {found[3]}"
    its = acquisition.of_id(scene)
    return None if its is None or its.start is None else f"S2 {its.start:%Y%m%dT%H%M%S}"


def _windows(satellite: str, instants: Iterable[dt.datetime]) -> frozenset[str]:
    long_s, half_s = 2 * acquisition.DATATAKE_S, acquisition.DATATAKE_S
    numbers = {int(t.timestamp() + shift) // long_s * 2 + (shift > 0) for t in instants for shift in (0, half_s)}
    return frozenset(f"{satellite} window {n}" for n in numbers)


def _parsed(text: str, form: str) -> dt.datetime | None:
    try:
        return dt.datetime.strptime(text, form).replace(tzinfo=dt.UTC)
    except ValueError:
        return None
