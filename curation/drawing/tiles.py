"""One patch as a set of small pictures: what of each source is drawn, and how it is told."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.backscatter import decibels
from curation.cube import Cube
from curation.drawing import embed, palette, patch
from curation.drawing.patch import Stretch
from curation.model import CODE_HELP, VALUE_HELP, Code, Location, PatchOutcome, SourceOutcome, Status
from curation.sources import ArraySpec, SourceSpec

TRUE_COLOUR, FALSE_COLOUR = ("B04", "B03", "B02"), ("B08", "B04", "B03")

MAX_PX = 384
"""Larger pictures are reduced by a whole factor, which is told."""

LOSSY = 90
"""WebP quality of pictures that are looked at, not read off."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One picture, or the reason why there is none."""

    kind: str
    """`big`, `half` or `third`: how wide it stands."""
    title: str
    alt: str
    uri: str | None = None
    """None: there is no picture, `note` says why."""
    note: str = ""
    damaged: bool = False


def array_of(cube: Cube, bands: tuple[str, ...]) -> tuple[str, ArraySpec] | None:
    """The array that holds all of the bands, and its spec; None where none does."""
    for name, (_, array) in cube.arrays.items():
        if set(bands) <= set(array.bands):
            return name, array
    return None


def pick(pixels: NDArray[Any], array: ArraySpec, bands: tuple[str, ...]) -> NDArray[Any]:
    """The bands in the order asked for."""
    return pixels[[array.bands.index(b) for b in bands]]


def factor(pixels: int) -> int:
    """By how much a side is reduced."""
    return math.ceil(pixels / MAX_PX)


def reason(outcome: SourceOutcome) -> str:
    """Why a source is not ok, for a person: what its code means, and the error's own words where one is the cause."""
    code = outcome.code or outcome.status.name.lower()
    meaning = CODE_HELP[Code(code)] if code in set(Code) else ""
    said = [f"{text[:1].upper()}{text[1:]}" for text in (meaning, outcome.cause) if text]
    form = VALUE_HELP[Code(code)] if code in VALUE_HELP else "{:.3g}"
    value = "" if outcome.value is None else f" ({form.format(outcome.value)})"
    return ". ".join([f"{outcome.status.name.lower()}: {code}{value}", *said]) + ("." if said else "")


def why(outcome: PatchOutcome) -> str:
    """Why a patch is not ok, for a person: its deciding source's reason."""
    code, _, source = outcome.reason.rpartition(":")
    return f"{source} {reason(outcome.sources[source])}" if code else outcome.reason


def missing(spec: SourceSpec, outcome: SourceOutcome | None, kind: str) -> Tile:
    """A tile that says why a source has no picture."""
    note = reason(outcome) if outcome else "not recorded"
    return Tile(kind, spec.title, f"{spec.title}: {note}", note=note)


def damaged(spec: SourceSpec, kind: str, name: str) -> Tile:
    """A tile that says that what is stored is not what was recorded."""
    note = f"damaged: the stored chunk of {name} is not what was recorded"
    return Tile(kind, spec.title, f"{spec.title}: {note}", note=note, damaged=True)


def optical(
    spec: SourceSpec,
    array: ArraySpec,
    pixels: NDArray[Any],
    stretches: Mapping[tuple[str, ...], Stretch],
    where: str,
) -> list[Tile]:
    """True colour, false colour (infrared as red), each by the stretch that the place's seasons share."""
    out = []
    for bands, stretch in stretches.items():
        true = bands == TRUE_COLOUR
        title = "true colour" if true else "false colour"
        by = factor(pixels.shape[-1]) if true else max(factor(pixels.shape[-1]), 2)
        values = _shrunk(pick(pixels, array, bands), array.nodata, by)
        image = stretch(values)
        told = f"{title} {','.join(bands)}{_by(by)}"
        uri = embed.image_uri(image, quality=None if true else LOSSY)
        out.append(Tile("big" if true else "third", told, f"{spec.title}, {told}, {where}", uri))
    return out


def radar(spec: SourceSpec, array: ArraySpec, pixels: NDArray[Any], where: str) -> list[Tile]:
    """The composite of VV, VH and VV/VH; and VV and VH alone, averaged in power two by two."""
    by = factor(pixels.shape[-1])
    out = []
    if {"VV", "VH"} <= set(array.bands):
        vv, vh = _decibels(pick(pixels, array, ("VV", "VH")), array.nodata, by)
        title = f"radar VV, VH, VV/VH{_by(by)}"
        uri = embed.image_uri(patch.radar_composite(vv, vh), quality=LOSSY)
        out.append(Tile("half", title, f"{spec.title}, {title} in dB, {where}", uri))
    by = max(by, 2)
    for band, limits in (("VV", patch.VV_DB), ("VH", patch.VH_DB)):
        if band in array.bands:
            (db,) = _decibels(pick(pixels, array, (band,)), array.nodata, by)
            title = f"{band} {limits[0]:g}…{limits[1]:g} dB{_by(by)}"
            uri = embed.image_uri(patch.grey(db, limits), quality=LOSSY)
            out.append(Tile("third", title, f"{spec.title}, {title}, {where}", uri))
    return out


def classes(spec: SourceSpec, pixels: NDArray[Any], kind: str, where: str) -> Tile:
    """A class map in its conventional colours."""
    by = factor(pixels.shape[-1])
    codes = patch.thinned(pixels[0], by)
    values, counts = np.unique(codes, return_counts=True)
    names = {c.code: c.name.replace("_", " ") for c in spec.classes}
    top = sorted(zip(counts.tolist(), values.tolist(), strict=True), reverse=True)[:3]
    told = ", ".join(f"{names.get(v, 'no data')} {100 * n / codes.size:.0f} %" for n, v in top)
    uri = embed.image_uri(patch.class_map(codes, palette.classes(spec)))
    return Tile(kind, f"{spec.title}{_by(by)}", f"{spec.title}, {where}: {told}", uri)


def heights(spec: SourceSpec, array: ArraySpec, pixels: NDArray[Any], where: str, place: Location) -> Tile:
    """A shaded relief, coloured from the patch's lowest to its highest."""
    by = factor(pixels.shape[-1])
    values = pixels[0] if by == 1 else _filled(pixels, array.nodata, by)[0]
    valid = values[values != array.nodata]
    span = f"{valid.min():.0f}…{valid.max():.0f} m" if valid.size else "no data"
    pixel_m = patch.pixel_m(place, array) * by
    steep = patch.exaggeration(values, pixel_m)
    uri = embed.image_uri(patch.relief(values, pixel_m, array.nodata), quality=95)
    told = f"heights {span}, relief ×{steep}{_by(by)}"
    return Tile("big", told, f"{spec.title}, {told}, {where}", uri)


def plain(spec: SourceSpec, array: ArraySpec, pixels: NDArray[Any], where: str) -> Tile:
    """The first band between its 2nd and 98th percentile: in grey, or coloured where it is a field on a cell."""
    by = factor(pixels.shape[-1])
    values = _shrunk(pixels[:1], array.nodata, by)[0]
    valid = values[np.isfinite(values)]
    low, high = np.percentile(valid, [2, 98]).tolist() if valid.size else (0.0, 1.0)
    told = f"{array.bands[0]} {low:.4g}…{high:.4g} {array.unit}{_by(by)}"
    drawn = patch.grey if array.res_m is not None else patch.field
    uri = embed.image_uri(drawn(values, (low, max(high, low + max(1e-3 * abs(low), 1e-9)))), quality=LOSSY)
    return Tile("half", told, f"{spec.title}, {told}, {where}", uri)


def ok(outcome: PatchOutcome, spec: SourceSpec) -> bool:
    """Whether a source of a patch has pixels."""
    found = outcome.sources.get(spec.name)
    return found is not None and found.status is Status.OK


def _by(by: int) -> str:
    return "" if by == 1 else f" · shown at 1/{by}"


def _filled(pixels: NDArray[Any], nodata: float, by: int) -> NDArray[Any]:
    shrunk = _shrunk(pixels, nodata, by)
    return np.where(np.isfinite(shrunk), shrunk, nodata)


def _shrunk(pixels: NDArray[Any], nodata: float, by: int) -> NDArray[Any]:
    """Block averages as float64; NaN where a pixel of the block has no data."""
    values = np.where(pixels == nodata, np.nan, pixels.astype(np.float64))
    return values if by == 1 else patch.reduced(values, by)


def _decibels(power: NDArray[Any], nodata: float, by: int) -> NDArray[np.float64]:
    """Decibels of power averaged in blocks, as (band, y, x); NaN where there is no data."""
    return decibels(_shrunk(power, nodata, by), nodata)
