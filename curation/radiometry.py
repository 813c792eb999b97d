"""One radiometry for Sentinel-2, whatever the processing baseline. Pure.

Baselines 04.00 and later carry +1000 in the digital numbers (Sentinel-2 Products Specification Document, BOA_ADD_OFFSET =
-1000), and Collection 1 carries it on scenes of every year: the baseline decides, never the date.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.model import Code, Reject

OFFSET_DN = 1000
"""What baselines from 04.00 on add to the digital numbers."""

DARKEST_WITH_OFFSET_DN = 500
"""With the offset in, even the darkest shadow stays near 1000; a first percentile below this says that it is not in."""


class NoBaselineError(ValueError):
    """The item does not say what decides its offset."""


def offset_dn(rule: str, properties: dict[str, Any], asset: dict[str, Any], baseline: str | None) -> int:
    """What the pixels of an item carry on top of harmonised digital numbers, as its catalog says it.

    Args:
        rule: `none`, `baseline`, `raster-bands` or `earth-search` (a `CatalogForm.offset`).
        properties: the item's properties.
        asset: one of its reflectance assets.
        baseline: its processing baseline, such as `05.00`.

    Raises:
        NoBaselineError: the rule asks for what the item does not say.
    """
    if rule == "none":
        return 0
    if rule == "raster-bands":
        bands = asset.get("raster:bands") or asset.get("bands") or [{}]
        scale = _first(asset.get("raster:scale"), bands[0].get("scale"), bands[0].get("raster:scale"))
        offset = _first(asset.get("raster:offset"), bands[0].get("offset"), bands[0].get("raster:offset"))
        if scale is None or offset is None:
            raise NoBaselineError("the asset states no scale and offset")
        return round(-float(offset) / float(scale))
    if rule == "earth-search" and properties.get("earthsearch:boa_offset_applied") is True:
        return 0
    if baseline is None:
        raise NoBaselineError("the item states no processing baseline")
    return OFFSET_DN if float(baseline) >= 4.0 else 0


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


def check_offset(dn: NDArray[Any], offset: int, nodata: float) -> None:
    """Passes where the pixels may carry `offset`; dn as read, any shape.

    Raises:
        Reject: `offset_conflict` with the first percentile, where metadata claims an offset that the pixels lack.
    """
    valid = dn[dn != nodata]
    if not offset or valid.size == 0:
        return
    darkest = float(np.percentile(valid, 1))
    if darkest < DARKEST_WITH_OFFSET_DN:
        raise Reject(Code.OFFSET_CONFLICT, darkest)
