"""One radiometry for Sentinel-2, whatever the processing baseline. Pure.

Baselines 04.00 and later carry +1000 in the digital numbers (Sentinel-2 Products Specification Document, BOA_ADD_OFFSET =
-1000), and Collection 1 carries it on scenes of every year: the baseline decides, never the date.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.errors.codes import Code
from curation.errors.printable import shown
from curation.outcomes import Reject
from curation.read import versions

OFFSET_DN = 1000
"""What baselines from 04.00 on add to the digital numbers."""

FIRST_WITH_OFFSET = (4, 0)
"""The first baseline that does."""

UNIT = "reflectance × 10000"
"""The unit of arrays that the rules here are for."""

QUANTIFICATION = 10_000
"""Digital numbers of a reflectance of 1 (Products Specification Document, BOA_QUANTIFICATION_VALUE)."""

MAX_REFLECTANCE = 3.0
"""Above it no surface is seen: snow and cloud were measured up to 1.8 in 180 real scenes, and the document's mark of a
saturated pixel, 65535, would be 6.5."""

MAX_IMPOSSIBLE_FRACTION = 0.01
"""So many pixels may be above it: a roof or a mirror that the sun is seen in is smaller than a hundredth of a patch."""

SATURATED_DN = 65535
"""The document's mark of a saturated pixel (SPECIAL_VALUE_TEXT = SATURATED): no number of reflectance. Without the offset it
is as much less."""

LEAST_LOOK_PX = 64
"""Fewer pixels of a band are no evidence."""

DARK_DN, DARK_FRACTION = 500, 0.02
"""With the offset in, 500 is a reflectance of -0.05. Correction for the atmosphere leaves slightly negative reflectance, so
that a number below the offset is no proof; a fiftieth of the pixels below this, in two bands, is."""

NEGATIVE_DN = 800
"""With the offset in, 800 is a reflectance of -0.02. Dark ground and water may be so here and there, but not half of what a
scene shows, in two bands: such numbers are dim ground without the offset, all of which would become 1."""

FLOOR_DN = 950
"""With the offset in, the darkest hundredth of each band is not below: a reflectance of -0.005."""

DARKEST_DN = 1500
"""With the offset in, the darkest hundredth of blue and of red is not above, where there is vegetation, water or shade: of
640 m of farmland already it is not. Of deserts red is far above, of snow and cloud both."""

VEGETATED = 1.6
"""Near infrared over red, of the medians: above it plants are seen, whose blue and red are near to nothing. Of deserts, snow
and cloud it is about 1."""

BLACK_DN = 1100
"""With the offset in, the darkest hundredth of water in near and short-wave infrared is below: there it is black."""

LEAST_CLEAR_FRACTION = 0.1
"""Of the whole scene. Where the ground is seen nowhere the darkest pixels are of the cloud, and say nothing."""

BLUE, RED, INFRARED = "B02", "B04", ("B08", "B8A", "B11", "B12")
"""Bands by which the offset is found."""

CIRRUS = "B10"
"""Of the top of the atmosphere alone: 1375 nm, where water vapour takes all light from below. Clear ground is about 0.002
there (from memory), so that without the offset its darkest hundredth is far below `FLOOR_DN`, and with it just above."""


class Evidence(StrEnum):
    """What the pixels of a whole scene say of the offset. Stable: it stands in cubes and samples."""

    IN = "in"
    """It is in them: no number is below it, though dark ground is seen."""
    NOT_IN = "not-in"
    """It is not: numbers are far below it, or half of them are below it by what no dark ground is."""
    UNDECIDABLE = "undecidable"
    """Brightness proves nothing (desert, snow, cloud, few pixels): metadata are believed."""


class NoBaselineError(ValueError):
    """The item does not say what decides its offset."""


def offset_dn(rule: str, properties: dict[str, Any], assets: Sequence[dict[str, Any]], baseline: str | None) -> int:
    """What the pixels of an item carry on top of harmonised digital numbers, as its catalog says it.

    Args:
        rule: `none`, `baseline`, `raster-bands` or `earth-search` (a `CatalogForm.offset`).
        properties: the item's properties.
        assets: its reflectance assets, one or more: what they state must be one thing.
        baseline: its processing baseline, such as `05.00`.

    Raises:
        NoBaselineError: the rule asks for what the item does not say, or it says what no baseline has.
        UnknownVersionError: its baseline names none, or might name several.
    """
    if rule == "none":
        return 0
    if rule == "raster-bands":
        stated = sorted({_stated(asset) for asset in assets})
        if len(stated) != 1:
            raise NoBaselineError(f"the assets' scales and offsets mean {stated} on top, expected one of them for all")
        return stated[0]
    if rule == "earth-search" and _says_applied(properties.get("earthsearch:boa_offset_applied")):
        return 0
    if baseline is None:
        raise NoBaselineError("the item states no processing baseline")
    return OFFSET_DN if versions.order(versions.baseline(baseline)) >= FIRST_WITH_OFFSET else 0


def _stated(asset: dict[str, Any]) -> int:
    """What an asset's own scale and offset (STAC extension `raster`, or STAC 1.1) say that its pixels carry."""
    bands = asset.get("raster:bands") or asset.get("bands") or [{}]
    scale = _first(asset.get("raster:scale"), bands[0].get("scale"), bands[0].get("raster:scale"))
    offset = _first(asset.get("raster:offset"), bands[0].get("offset"), bands[0].get("raster:offset"))
    if scale is None or offset is None:
        raise NoBaselineError("the asset states no scale and offset")
    carried = round(-float(offset) / float(scale))
    if carried not in (0, OFFSET_DN):
        raise NoBaselineError(
            f"the asset's scale {scale} and offset {offset} mean {carried} on top, expected 0 or {OFFSET_DN}"
        )
    return carried


def is_believed(rule: str, offset: int) -> bool:
    """Whether what a catalog says of the offset holds where pixels prove nothing.

    Earth Search's word that it is still in the pixels does not: of many scenes it says so whose pixels are without it
    (Element84/earth-search issues 66 and 71, cirrus-geo/cirrus-earth-search issue 33).

    Args:
        rule: as in `offset_dn`.
        offset: what that gave.
    """
    return rule != "earth-search" or not offset


def _says_applied(value: Any) -> bool:
    """Whether an item says that the offset is gone already. Raises NoBaselineError where it says neither yes nor no."""
    said = str(value).strip().lower()
    if said not in ("true", "false", "1", "0", "none"):
        raise NoBaselineError(f"earthsearch:boa_offset_applied is {shown(value)}, expected true or false")
    return said in ("true", "1")


def _first(*values: Any) -> Any:
    return next((v for v in values if v is not None), None)


def harmonised(dn: NDArray[Any], offset: int, nodata: float) -> NDArray[Any]:
    """Digital numbers without `offset`, in the same dtype; shape as given.

    Nodata stays nodata. A valid pixel darker than the offset becomes 1, the darkest valid number: it neither wraps around
    nor turns into nodata.
    """
    if not offset:
        return dn
    shifted = np.maximum(dn.astype(np.int32) - offset, 1).astype(dn.dtype)
    return np.where(dn == nodata, dn.dtype.type(nodata), shifted)


def measured(dn: NDArray[Any], nodata: float) -> NDArray[Any]:
    """Harmonised digital numbers of which saturated ones are nodata, and so counted as such; shape and dtype as given."""
    return np.where(dn >= SATURATED_DN - OFFSET_DN, dn.dtype.type(nodata), dn)


def evidence(pixels: Mapping[str, NDArray[Any]], clear_fraction: float, *, is_corrected: bool = True) -> Evidence:
    """What the digital numbers of a whole scene say of the offset.

    Of each band the numbers alone are compared, not where they are: bands may have been looked at in other places.

    At the top of the atmosphere nothing is below zero, since no correction has taken anything off, and the atmosphere adds:
    numbers far below the offset prove in a single band that it is not in. That it is in, dark ground does not prove there:
    the sky alone is as bright in blue as the offset, and bright in red over haze. But in the band of cirrus nothing comes
    from below most of the air, and clear ground is black.

    Args:
        pixels: band → its valid numbers as read, any shape; some hundred of the whole scene are enough.
        clear_fraction: share of the scene that its mask calls clear without doubt, 0 to 1.
        is_corrected: whether they are of the surface, corrected for the atmosphere.
    """
    seen = {band: dn.ravel() for band, dn in pixels.items() if dn.size >= LEAST_LOOK_PX}
    dark = sum(
        float((dn < DARK_DN).mean()) >= DARK_FRACTION or _is_median_below(dn, NEGATIVE_DN) for dn in seen.values()
    )
    if seen and dark >= (min(2, len(seen)) if is_corrected else 1):
        return Evidence.NOT_IN
    darkest = {band: _darkest(dn) for band, dn in seen.items()}
    if not is_corrected:
        is_in = (
            CIRRUS in seen
            and clear_fraction >= LEAST_CLEAR_FRACTION
            and min(darkest.values()) >= FLOOR_DN
            and darkest[CIRRUS] <= BLACK_DN
        )
        return Evidence.IN if is_in else Evidence.UNDECIDABLE
    if BLUE not in seen or RED not in seen or clear_fraction < LEAST_CLEAR_FRACTION:
        return Evidence.UNDECIDABLE
    if min(darkest.values()) < FLOOR_DN or max(darkest[BLUE], darkest[RED]) > DARKEST_DN:
        return Evidence.UNDECIDABLE
    infrared = [band for band in INFRARED if band in seen]
    near = next((float(np.median(seen[b])) for b in ("B08", "B8A") if b in seen), 0.0)
    is_vegetated = near >= VEGETATED * float(np.median(seen[RED]))
    has_water = len(infrared) >= 2 and max(darkest[b] for b in infrared) <= BLACK_DN
    return Evidence.IN if is_vegetated or has_water else Evidence.UNDECIDABLE


def _is_median_below(dn: NDArray[Any], limit: float) -> bool:
    """Whether the median of (n,) numbers, n > 0, is below a limit. Counting tells it for a tenth of what a median takes."""
    below = 2 * int(np.count_nonzero(dn < limit))
    return float(np.median(dn)) < limit if below == dn.size else below > dn.size


def _darkest(dn: NDArray[Any]) -> float:
    """The first percentile of (n,) numbers, n > 1, as `np.percentile` has it, but for rounding, by one rank."""
    at = 0.01 * (dn.size - 1)
    low = int(at)
    ranked = np.partition(dn, low + 1)
    below, above = float(ranked[: low + 1].max()), float(ranked[low + 1])
    return below + (above - below) * (at - low)


def check_offset(found: Evidence, offset: int, *, is_believed: bool = True) -> None:
    """Passes where the pixels do not contradict what metadata say of the offset; or bear it out, where it is not believed.

    Raises:
        Reject: `offset_conflict` or `offset_unproven`, with the offset of the metadata.
    """
    if (found is Evidence.IN and not offset) or (found is Evidence.NOT_IN and offset):
        raise Reject(Code.OFFSET_CONFLICT, float(offset))
    if found is Evidence.UNDECIDABLE and not is_believed:
        raise Reject(Code.OFFSET_UNPROVEN, float(offset))


def impossible_fraction(
    dn: NDArray[Any], clear: NDArray[np.bool_], nodata: float, per_px: float | None = None
) -> float:
    """The greatest share, of the bands, of clear pixels that are brighter than any surface; 0 where none is clear.

    Args:
        dn: (band, y, x) harmonised.
        clear: (rows, columns) of the mask, from the same corner, which may be of another resolution.
        nodata: of `dn`.
        per_px: pixels of the mask along the side of one of `dn`; where left out both reach over the same ground. Coarser
            pixels may reach beyond finer ones, to cover the footprint: what does is judged by the last that lies on it.
    """
    rows, cols = (
        np.minimum(np.floor(np.arange(n) * (m / n if per_px is None else per_px) + 1e-6).astype(int), m - 1)
        for n, m in zip(dn.shape[1:], clear.shape, strict=True)
    )
    seen = (dn != nodata) & clear[np.ix_(rows, cols)]
    bright = seen & (dn > MAX_REFLECTANCE * QUANTIFICATION)
    shares = bright.sum(axis=(1, 2)) / np.maximum(seen.sum(axis=(1, 2)), 1)
    return float(shares.max())


def check_possible(dn: NDArray[Any], clear: NDArray[np.bool_], nodata: float, per_px: float | None = None) -> None:
    """Passes where the pixels may be reflectance: bright ones may, as of snow and of the sun's glint. Arguments as above.

    Raises:
        Reject: `impossible`, with the share of clear pixels that are brighter than any surface.
    """
    share = impossible_fraction(dn, clear, nodata, per_px)
    if share > MAX_IMPOSSIBLE_FRACTION:
        raise Reject(Code.IMPOSSIBLE, share)
