"""One spelling of what items state, however their catalog writes it: what is compared must not differ by that. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from curation.errors.printable import shown

ORBIT_STATES = ("ascending", "descending", "geostationary")
"""What the STAC extension `sat` knows."""

_PLATFORM = re.compile(r"s(?:entinel)?-?([1-6])-?(precursor|[a-dp])?")

SQUARE = r"[0-9]{1,2}[C-HJ-NP-X][A-HJ-NP-Z]{2}"
"""A square of 100 km of MGRS, as a pattern: `32ULC`, and of zone 5 `5VML` or `05VML`."""

_TILE = re.compile(rf"(?:MGRS-)?T?({SQUARE})")
"""`32ULC`, `T32ULC` (as products are named), `MGRS-5VML` (STAC extension `grid`)."""

_EPSG = re.compile(
    r"(?:.*\bEPSG(?:\.xml)?[:/# ]+(?:[^:/]*[:/]+)?)?(\d{4,6})(?:\.0+)?(?:\+\d+)?/?", re.ASCII | re.IGNORECASE
)
"""`32632`, `EPSG:32632`, `urn:ogc:def:crs:EPSG::32632`, `http://www.opengis.net/def/crs/EPSG/0/32632`; of a compound CRS
(`EPSG:32632+5773`) its horizontal part."""

_CRS84 = re.compile(r"(?:.*\bOGC[:/]+(?:[^:/]*[:/]+)?)?CRS84h?", re.ASCII | re.IGNORECASE)
"""Longitude and latitude of WGS 84 in that order, which is how EPSG:4326 is meant everywhere here."""

_OF_OTHERS = re.compile(r"[A-Z][A-Z0-9_]*:[\w.-]+", re.ASCII | re.IGNORECASE)
"""A code of another authority, `IAU_2015:30100`."""

_MODES = {
    "REPROCESSED": "RPRO",
    "REPROCESSING": "RPRO",
    "OFFLINE": "OFFL",
    "NRT": "NRTI",
    "NEARREALTIME": "NRTI",
}
"""Long names of the processing modes of Sentinel-5P, as letters alone."""


def epsg(value: Any) -> int | None:
    """The EPSG code that a `proj:epsg` or `proj:code` names; None where it names no CRS of EPSG.

    Raises:
        ValueError: it names no CRS at all.
    """
    if value is None or value == "" or (value == 0 and not isinstance(value, bool)):
        return None
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        text = str(value).strip()
        if found := _EPSG.fullmatch(text):
            return int(found[1])
        if _CRS84.fullmatch(text):
            return 4326
        if _OF_OTHERS.fullmatch(text) and not text.upper().startswith("EPSG:"):
            return None
    raise ValueError(f"CRS is {shown(value)}, expected one such as 32632 or 'EPSG:32632'")


def platform(text: str) -> str:
    """A satellite's name in one form: `sentinel-2a` of `Sentinel-2A`, `SENTINEL-2A`, `sentinel_2a` and `S2A`."""
    name = re.sub(r"[\s_-]+", "-", text.strip().lower())
    found = _PLATFORM.fullmatch(name)
    if found is None:
        return name
    return f"sentinel-{found[1]}{(found[2] or '').replace('precursor', 'p')}"


def tile(text: str) -> str:
    """A tile's name in one form: `05VML` of `MGRS-5VML`, `T05VML` and `05vml`."""
    name = text.strip().upper()
    found = _TILE.fullmatch(name)
    return found[1].zfill(5) if found else name.removeprefix("MGRS-")


def datatake(text: str) -> str:
    """What names an acquisition. Sentinel-2's names end with the processing baseline, which says nothing of it."""
    return re.sub(r"_N\d\d\.?\d\d$", "", text.strip().upper())


def mode(text: str) -> str:
    """A processing mode in one form: `RPRO` of `rpro` and `Reprocessing`. An unknown one stays, in capitals."""
    name = text.strip().upper()
    return _MODES.get(re.sub(r"[^A-Z]", "", name), name)


def orbit_state(value: Any) -> str:
    """`ascending`, `descending` or `geostationary`, however it is written.

    Raises:
        ValueError: it is none of them.
    """
    found = value.strip().lower() if isinstance(value, str) else value
    if found not in ORBIT_STATES:
        said = shown(value)
        raise ValueError(f"sat:orbit_state is {said}, expected {' or '.join(ORBIT_STATES)}")
    return str(found)


def orbit_source(text: str) -> str:
    """Where a radar's orbit is from, in one form: `POEORB` of `poeorb` and `AUX_POEORB`. Another stays, in capitals."""
    return text.strip().upper().removeprefix("AUX_")


def folded(value: Any) -> Any:
    """The value as it is compared: text, and each text of a list, without its case and the space around it."""
    if isinstance(value, str):
        return value.strip().casefold()
    return [folded(v) for v in value] if isinstance(value, list) else value


def key_of(names: Mapping[str, Any], wanted: str) -> str:
    """The key that is meant: as it is asked for, or the only one that differs by its case alone; else as it is asked for."""
    if wanted in names:
        return wanted
    alike = [n for n in names if isinstance(n, str) and n.casefold() == wanted.casefold()]
    return alike[0] if len(alike) == 1 else wanted
