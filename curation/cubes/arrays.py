"""Arrays of a cube as Zarr has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import zarr

from curation.cubes.chunks import codecs
from curation.recipe.arrays import ArraySpec
from curation.recipe.bands import BandSpec
from curation.recipe.facts import FILL, Fact
from curation.recipe.footprint import GridSpec


def create_array(root: zarr.Group, name: str, **kw: Any) -> zarr.Array[Any]:
    """An array of the group, packed as those of its dtype are."""
    return root.create_array(name, compressors=codecs(kw["dtype"]), **kw)


def coordinate(root: zarr.Group, name: str, values: Sequence[str], attributes: Mapping[str, Any] | None = None) -> None:
    """Writes a coordinate of text."""
    own = {"attributes": dict(attributes)} if attributes else {}
    n = len(values)
    array = create_array(root, name, shape=(n,), chunks=(n,), dtype="str", dimension_names=(name,), **own)
    array[:] = np.array(values, dtype=object)


def has_pixels(metadata: Mapping[str, Any]) -> bool:
    """Whether Zarr's metadata are of a pixel array: (patch, band, y, x), with a time axis or without."""
    return len(metadata.get("shape", ())) >= 4


def of_bands(bands: Sequence[BandSpec]) -> dict[str, list[str] | list[float]]:
    """What a cube says of an array's bands: canonical names, and centres and widths where each band has them."""
    out: dict[str, list[str] | list[float]] = {"canonical": [b.name for b in bands]}
    for key in ("centre_nm", "width_nm", "centre_mhz", "width_mhz"):
        values = [getattr(b, key) for b in bands]
        if None not in values:
            out[key] = values
    return out


def axes(root: zarr.Group, array: ArraySpec, of: GridSpec) -> None:
    """Where pixel centres lie within a patch, the same for all patches; x0_m and y0_m added, they are in its CRS."""
    px = array.px(of.size)
    along = (np.arange(px) + 0.5) * array.step(of.size)
    unit = "metres" if of.unit == "m" else of.unit
    for axis, values, long_name in (
        ("x", along, f"{unit} east of the patch's west edge (add x0_m for its CRS)"),
        ("y", -along, f"{unit} north of the patch's north edge, so negative (add y0_m for its CRS)"),
    ):
        name = f"{axis}_{array.pixel}"
        attributes: dict[str, Any] = {"long_name": long_name, "units": of.unit, "axis": axis.upper()}
        made = create_array(
            root, name, shape=(px,), chunks=(px,), dtype="float64", dimension_names=(name,), attributes=attributes
        )
        made[:] = values


def python(value: Any, fact: Fact) -> Any:
    """A stored fact as a plain value, along a second dimension as an array; None where nothing was measured."""
    if fact.axis:
        fill = FILL[fact.type]
        missing = np.isnan(value) if isinstance(fill, float) else value == fill
        return None if fill != 0 and missing.all() else value  # 0 of a flag is measured
    plain = value.item() if hasattr(value, "item") else value
    if isinstance(plain, float) and np.isnan(plain):
        return None
    return plain
