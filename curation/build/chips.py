"""Chips of a foreign dataset, read and held against what the recipe states of them: refused by name, or mended as it says.

Nothing is guessed: a transform, a unit or a 'no data' that contradicts the recipe is refused, whichever of both is right.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS, Geod

from curation.errors.codes import Code
from curation.model import Location
from curation.outcomes import Reject
from curation.places import grid
from curation.read import archive
from curation.read.chipform import ChipPixels, ChipReader
from curation.recipe import foreignsource
from curation.recipe.arrays import ArraySpec
from curation.recipe.chips import BAND, SIGNED, MendSpec
from curation.recipe.ranges import FILLS

_WHOLE_PX = 0.01
"""Sides are those that are stated where they differ by no more than this part of a pixel: 304 of 0.2000000000015 m."""


_TRUE_SCALE = 0.05
"""A metre of a CRS is one of ground but for this part: UTM has 0.0004 and, a zone away, 0.01; an equal-area grid of a
continent 0.015, polar stereographic north of 60° 0.04; web Mercator 0.05 at 18° and 0.3 at 40°."""

_GROUND = Geod(ellps="WGS84")


@dataclass(frozen=True, slots=True)
class ChipRules:
    """What is stated of the chips of a source."""

    form: ChipReader
    mend: MendSpec
    limits: Mapping[str, tuple[float, float]]
    """Band → least and greatest value that its unit can have."""
    file_bands: Mapping[str, str]
    """Band → what its file, or its array in a file, is called by; empty where a file has all of an array's."""
    decibels: bool
    """Whether they hold decibels, of which cubes keep the power."""
    codes: tuple[int, ...] = ()
    """Of a class map, those of its legend; empty of what has none."""


@dataclass(frozen=True, slots=True)
class CheckedChip:
    """A chip that is what it is said to be."""

    pixels: NDArray[Any]
    """(band, y, x), as cubes hold them; what is missing is the array's nodata."""
    beside_m: float
    """How far its corners lie from its sample's, metres, by its own transform; 0 where it states none that is believed."""


def checked(rules: ChipRules, array: ArraySpec, base: Path, address: str, place: Location) -> CheckedChip:
    """One array of a chip.

    Args:
        rules: what is stated of it.
        array: likewise; its nodata is what stands for what is missing.
        base: what addresses are told from.
        address: the chip's.
        place: its sample's.

    Raises:
        ReadError: it cannot be read.
        Reject: it is not what is stated, by the first check that it fails; what is found is told.
    """
    parts = _read(rules, array, base, address)
    side = array.px(place.size_m)
    beside_m = _placed(rules.mend, array, parts[0], side, place)
    rows, columns = parts[0].pixels.shape[1:]
    if (rows, columns) != (side, side):
        text = f"{rows} × {columns} pixels, expected {side} × {side} of {array.label}"
        raise Reject(Code.CHIP_SHAPE, float(columns if columns != side else rows), cause=text)
    signed = [_signed(rules.mend, p.pixels) for p in parts]
    missing = np.concatenate([_missing(rules, array, p, its) for p, its in zip(parts, signed, strict=True)])
    values = np.concatenate(signed)
    _check_values(rules, array, values, missing)
    return CheckedChip(_stored(rules, array, values, missing), beside_m)


def _read(rules: ChipRules, array: ArraySpec, base: Path, address: str) -> list[ChipPixels]:
    """The chip; of bands in files of their own each, since each file says of itself what is no data. Raises as `checked`."""
    names = [rules.file_bands.get(b, "") for b in array.bands] if rules.file_bands else [""]
    parts = [rules.form.decoded(_bytes(rules, base, address, n), address, n) for n in names]
    first, count = parts[0], sum(len(p.pixels) for p in parts)
    if count != len(array.bands):
        text = f"{count} bands, expected {len(array.bands)}: {', '.join(array.bands)}"
        raise Reject(Code.CHIP_SHAPE, float(count), cause=text)
    for name, part in zip(names, parts, strict=True):
        if (part.pixels.shape, part.transform, part.epsg) != (first.pixels.shape, first.transform, first.epsg):
            text = f"band {name} has another shape or place than {names[0]}: {part.pixels.shape}, {first.pixels.shape}"
            raise Reject(Code.CHIP_SHAPE, float(part.pixels.shape[2]), cause=text)
    return parts


def _bytes(rules: ChipRules, base: Path, address: str, band: str) -> bytes:
    return archive.read(base, address.replace(BAND, band), rules.form.cell)


def _placed(mend: MendSpec, array: ArraySpec, chip: ChipPixels, side: int, place: Location) -> float:
    """How far the chip lies beside its sample, metres, by its transform. Raises Reject where that is not as stated."""
    if mend.georeference == "ignore" or chip.transform is None or array.res_m is None:
        return 0.0
    check_crs(chip)
    _check_north_up(chip.transform)
    its = chip.transform if mend.pixel_m is None else _of_pixels(chip.transform, mend.pixel_m)
    rows, columns = chip.pixels.shape[1:]
    wanted = side * array.res_m
    limit = mend.within_m if mend.within_m is not None else array.res_m / 2
    for count, width in ((columns, its.a), (rows, -its.e)):
        if abs(count * width - wanted) > _WHOLE_PX * array.res_m:
            text = f"{count} pixels of {width:.6g} m are {count * width:.6g} m, expected {wanted:.6g} m"
            text += _also(array, chip, side, place, limit)
            raise Reject(Code.CHIP_FOOTPRINT, abs(count * width), cause=text)
    beside = _beside_m(its, chip.epsg or 0, wanted, place)
    if not beside <= limit:
        text = f"a corner lies {beside:.6g} m beside its sample's, expected {limit:.6g} m at most"
        raise Reject(Code.CHIP_PLACE, beside, cause=text)
    return beside


def _also(array: ArraySpec, chip: ChipPixels, side: int, place: Location, limit_m: float) -> str:
    """What is wrong with a chip, too, whose transform has pixels of another size; empty where nothing is."""
    rows, columns = chip.pixels.shape[1:]
    if (rows, columns) != (side, side):
        return (
            f"; nor has it the {side} × {side} pixels of {array.label}, so that its res_m or the footprint is another"
        )
    assert chip.transform is not None
    assert array.res_m is not None
    beside = _beside_m(_of_pixels(chip.transform, array.res_m), chip.epsg or 0, side * array.res_m, place)
    if beside <= limit_m:
        return ""
    return (
        f"; with pixels of {array.res_m:g} m a corner lies {beside:.6g} m beside its sample's, expected {limit_m:.6g} m at "
        f"most: say pixel_m = {array.res_m:g} with within_m, or georeference = 'ignore' alone"
    )


def _check_north_up(transform: Affine) -> None:
    """Passes where rows lead south and columns east, which no `pixel_m` mends. Raises Reject otherwise."""
    if transform.b or transform.d or transform.a <= 0 or transform.e >= 0:
        text = f"its transform {tuple(transform)[:6]} is turned or mirrored, expected rows that lead south"
        raise Reject(Code.CHIP_PLACE, cause=text)


def check_crs(chip: ChipPixels) -> None:
    """Passes where a chip's transform is of metres. Raises Reject otherwise."""
    if chip.epsg is None or not _in_metres(chip.epsg):
        crs = "no CRS" if chip.epsg is None else f"EPSG:{chip.epsg}, whose unit is no metre"
        raise Reject(Code.CHIP_CRS, cause=f"its transform is in {crs}")
    assert chip.transform is not None
    scale = max(_scales(chip.transform, chip.epsg), key=lambda k: abs(k - 1))
    if not abs(scale - 1) <= _TRUE_SCALE:
        text = f"a metre of EPSG:{chip.epsg} is {scale:.4g} m of ground there, expected 1 within {_TRUE_SCALE:g}"
        raise Reject(Code.CHIP_CRS, _finite(scale), cause=text)


def _in_metres(epsg: int) -> bool:
    axes = CRS.from_epsg(epsg)
    return axes.is_projected and all(a.unit_name == "metre" for a in axes.axis_info)


def _scales(transform: Affine, epsg: int) -> tuple[float, float]:
    """How far a kilometre of the CRS, east and south of a chip's first corner, leads on the ground, kilometres."""
    x, y = transform.c, transform.f
    lon, lat = grid.transformer(epsg, 4326).transform([x, x + 1000, x], [y, y, y - 1000])
    _, _, far_m = _GROUND.inv([lon[0]] * 2, [lat[0]] * 2, lon[1:], lat[1:])
    return far_m[0] / 1000, far_m[1] / 1000


def _of_pixels(transform: Affine, pixel_m: float) -> Affine:
    """The transform with another size of pixel, from the same first corner."""
    return Affine(pixel_m, 0, transform.c, 0, -pixel_m, transform.f)


def _beside_m(transform: Affine, epsg: int, side_m: float, place: Location) -> float:
    """The most that the first and the last corner of a chip lie from those of its sample, metres in the sample's CRS."""
    corners = [(transform.c, transform.f), (transform.c + side_m, transform.f - side_m)]
    own = [(place.x0_m, place.y0_m), (place.x0_m + side_m, place.y0_m - side_m)]
    move = grid.transformer(epsg, place.epsg)
    there = corners if epsg == place.epsg else [move.transform(*xy) for xy in corners]
    return max(math.dist(a, b) for a, b in zip(there, own, strict=True))


def _signed(mend: MendSpec, values: NDArray[Any]) -> NDArray[Any]:
    """The numbers, read as signed ones where the recipe says that they are such. Raises Reject where they cannot be."""
    if mend.bits is None:
        return values
    if values.dtype.name != SIGNED[mend.bits]:
        raise Reject(
            Code.CHIP_DTYPE, cause=f"mend bits = {mend.bits!r} is of {SIGNED[mend.bits]}, found {values.dtype}"
        )
    return values.view(mend.bits)


def _missing(rules: ChipRules, array: ArraySpec, chip: ChipPixels, values: NDArray[Any]) -> NDArray[np.bool_]:
    """Which pixels of a file are no data, as the recipe states it. Raises Reject where the file declares another."""
    stated = set(map(float, array.file_nodata or ())) | {array.nodata}
    declared = _as_signed(rules.mend, chip)
    if declared is not None and not any(_same(declared, n) for n in stated):
        found = f"{declared:.9g}" if rules.mend.bits is None else f"{chip.nodata:.9g}, {declared:.9g} by mend bits"
        text = f"its file declares {found}, expected {', '.join(f'{n:.9g}' for n in sorted(stated))}"
        raise Reject(Code.UNDECLARED_NODATA, _finite(declared), cause=text)
    out = np.zeros(values.shape, bool) if chip.masked is None else np.broadcast_to(chip.masked, values.shape).copy()
    for number in stated:
        out |= np.isnan(values) if math.isnan(number) else values == number
    return out


def _as_signed(mend: MendSpec, chip: ChipPixels) -> float | None:
    """What a file declares as no data, read as its pixels are: 65535 is -1 where these are int16 by their bits."""
    if mend.bits is None or chip.nodata is None or not 0 <= chip.nodata <= np.iinfo(chip.pixels.dtype).max:
        return chip.nodata
    return float(np.array(int(chip.nodata), chip.pixels.dtype).view(mend.bits))


def _same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _check_values(rules: ChipRules, array: ArraySpec, values: NDArray[Any], missing: NDArray[np.bool_]) -> None:
    """Passes where each pixel with data is one that its unit can have. Raises Reject otherwise."""
    for band, plane, gaps in zip(array.bands, values, missing, strict=True):
        there = plane[~gaps]
        if not np.isfinite(there).all():
            text = f"band {band} holds NaN or infinity: say file_nodata = ['nan'] where it is no data"
            raise Reject(Code.UNDECLARED_NODATA, cause=text)
        if rules.codes:
            _check_codes(rules.codes, band, there)
        if (limits := rules.limits.get(band)) is None:
            continue
        odd = np.unique(there[(there < limits[0]) | (there > limits[1])])
        if odd.size == 1 and float(odd[0]) in FILLS:
            raise Reject(
                Code.UNDECLARED_NODATA, float(odd[0]), cause=f"band {band} holds {odd[0]:.9g}, and nothing near"
            )
        if odd.size:
            unit = foreignsource.unit_of_files(array.unit, decibels=rules.decibels)
            text = (
                f"band {band} holds {odd[0]:.9g} to {odd[-1]:.9g}, expected {limits[0]:g} to {limits[1]:g} of the unit "
            )
            text += f"that is stated, {unit!r}"
            raise Reject(Code.UNIT_RANGE, float(odd[-1]), cause=text)


def _check_codes(codes: Sequence[int], band: str, there: NDArray[Any]) -> None:
    """Passes where each pixel with data is a code of the legend. Raises Reject otherwise."""
    if (odd := np.setdiff1d(there, codes)).size:
        found = ", ".join(f"{v:.9g}" for v in odd[:8])
        text = f"band {band} holds {found}, expected codes of the legend: {', '.join(map(str, codes))}"
        raise Reject(Code.UNIT_RANGE, float(odd[-1]), cause=text)


def _stored(rules: ChipRules, array: ArraySpec, values: NDArray[Any], missing: NDArray[np.bool_]) -> NDArray[Any]:
    """The pixels as the array's dtype holds them. Raises Reject where it does not, or where data would be nodata."""
    made = np.where(missing, 0, values)
    made = np.power(10.0, made.astype(np.float64) / 10) if rules.decibels else made
    with np.errstate(over="ignore", invalid="ignore"):
        out = made.astype(array.dtype)
    exact = out.astype(np.float64) == made.astype(np.float64)
    if made.dtype.kind == "f" and out.dtype.kind == "f":  # which is rounded, but never to infinity
        exact = np.isfinite(out)
    if (lost := made[~exact]).size:
        raise Reject(
            Code.CHIP_DTYPE, float(lost[0]), cause=f"{values.dtype} holds {lost[0]:.9g}, which no {array.dtype} is"
        )
    out[missing] = array.nodata
    if (out[~missing] == out.dtype.type(array.nodata)).any():
        raise Reject(Code.UNDECLARED_NODATA, array.nodata, cause=f"data would be {array.nodata:g}, which is nodata")
    return out


def spread(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Standard deviation and percentiles 1 and 99 of numbers."""
    low, high = np.percentile(values, [1, 99])
    return float(values.std()), float(low), float(high)


def has_odd_spread(values: NDArray[np.float64]) -> bool:
    """Whether a band's standard deviation is larger than what lies between its percentiles 1 and 99.

    A few numbers that are far from all others make it so: 'no data' among the data, as in published statistics of heights
    whose least is -32768. Of a band of which 98 of a hundred are one number nothing is told: it may be a map of rare things.
    """
    if not values.size:
        return False
    std, low, high = spread(values)
    return high > low and std > high - low


def thinned(planes: Sequence[NDArray[Any]], nodata: float, most: int) -> NDArray[np.float64]:
    """At most so many of the pixels with data of a band of one chip, evenly: of all its columns, too."""
    there = np.concatenate([p.ravel() for p in planes])
    least, width = max(-(-there.size // most), 1), planes[0].shape[-1]
    step = next(n for n in itertools.count(least) if math.gcd(n, width) == 1)
    return np.asarray(there[there != nodata][::step], np.float64)
