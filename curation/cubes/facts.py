"""What is measured of a patch beside its pixels: the cube's measured coordinates. Pure: names, types and meanings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from curation.outcomes import SLAB, PatchOutcome, Status
from curation.read import shift
from curation.recipe.dataset import Dataset
from curation.recipe.sources import SourceSpec

FactType = Literal["float32", "time", "string", "uint8", "int16"]

FILL: dict[str, Any] = {"float32": np.nan, "time": np.nan, "string": "", "uint8": 0, "int16": -1}
"""What stands where nothing was measured."""

DTYPE: dict[str, str] = {"float32": "float32", "time": "float64", "string": "str", "uint8": "uint8", "int16": "int16"}
"""How each type is stored; times are seconds since 1970 in float64, whose NaN opens as NaT."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One measured coordinate."""

    name: str
    type: FactType
    meaning: str
    """One sentence, with unit."""
    axis: str | None = None
    """A second dimension, where it has one."""
    length: int = 1
    """Its length."""

    @property
    def attributes(self) -> dict[str, Any]:
        """Its Zarr attributes."""
        out: dict[str, Any] = {"long_name": self.meaning}
        if self.type == "time":
            out |= {"units": "seconds since 1970-01-01", "calendar": "proleptic_gregorian"}
        if self.name.endswith("status"):
            out |= {
                "flag_values": [int(s) for s in Status],
                "flag_meanings": " ".join(s.name.lower() for s in Status),
            }
        return out

    def column(self, rows: Sequence[Any | None], length: int) -> NDArray[Any]:
        """The fact of a slab's patches as stored: (length,) or (length, axis), filled where a row is None."""
        dtype = object if self.type == "string" else DTYPE[self.type]
        shape = (length,) if self.axis is None else (length, self.length)
        out = np.full(shape, FILL[self.type], dtype)
        for slot, value in enumerate(rows):
            if value is not None:
                out[slot] = value
        if out.dtype.kind == "f":
            out[np.isnan(out)] = FILL[self.type]  # one NaN of many, so that the same row has the same bytes
        return out

    def cells(self, column: NDArray[Any]) -> list[bytes]:
        """The bytes that a hash takes of each row of a column: little-endian values; of text its length and its UTF-8."""
        if self.type == "string":
            texts = [str(value).encode() for value in column]
            return [len(text).to_bytes(4, "little") + text for text in texts]
        return [row.tobytes() for row in column.astype(column.dtype.newbyteorder("<"), copy=False)]


def facts_of(dataset: Dataset, spec: SourceSpec) -> list[Fact]:
    """What is measured of a source."""
    s = spec.name
    out = [
        Fact(f"{s}_status", "uint8", f"what became of {s}"),
        Fact(f"{s}_reason", "string", f"why {s} was rejected, is absent or failed"),
        Fact(f"{s}_scenes", "string", "ids of the scenes its pixels come from, separated by spaces"),
        Fact(f"{s}_warped", "uint8", "1 where pixels were resampled from another grid, 0 where all were cropped"),
        Fact(f"{s}_valid_fraction", "float32", "share of the patch's pixels with data, 0 to 1"),
    ]
    if spec.season == "seasonal":
        told = "mean acquisition time, UTC" if spec.pick == "mean" else "acquisition time, UTC"
        out.append(Fact(f"{s}_time", "time", told))
    if spec.pick == "clearest":
        out += [
            Fact(
                f"{s}_clear_fraction",
                "float32",
                "share of the patch's pixels that are neither cloud, shadow nor invalid by the mask, 0 to 1",
            ),
            Fact(
                f"{s}_doubtful_fraction", "float32", "share of the patch's pixels of which the mask is unsure, 0 to 1"
            ),
            Fact(f"{s}_snow_fraction", "float32", "share of the patch's pixels that the mask calls snow, 0 to 1"),
            Fact(f"{s}_cloud_pct", "float32", "cloud cover of the whole scene, percent"),
            Fact(f"{s}_baseline", "string", "processing baseline"),
            Fact(f"{s}_offset_dn", "int16", "digital numbers that were subtracted (clipped at 1)"),
            Fact(f"{s}_offset_evidence", "string", "what the scene's pixels say of that: in, not-in or undecidable"),
        ]
    if spec.pick == "mean":
        out += [
            Fact(f"{s}_orbits", "int16", "most orbits that the mean of a pixel is of"),
            Fact(f"{s}_mode", "string", "processing modes of the scenes, separated by spaces"),
            Fact(f"{s}_version", "string", "product versions of the scenes, separated by spaces"),
            Fact(f"{s}_min_quality", "float32", "footprints of less quality were left out, 0 to 1"),
        ]
    if spec.pick == "nearest":
        out += [
            Fact(f"{s}_gap_days", "float32", f"days from the {spec.goes_with} scene, negative where earlier"),
            *_of_shift(dataset, spec),
        ]
    if spec.one_orbit_direction:
        out += [
            Fact(f"{s}_orbit_state", "string", "ascending or descending"),
            Fact(f"{s}_relative_orbit", "int16", "number of the orbit within the repeat cycle; -1 where unknown"),
        ]
    if spec.classes:
        out.append(
            Fact(
                f"{s}_fraction", "float32", "share of each class among labelled pixels", f"{s}_class", len(spec.classes)
            )
        )
    if spec.elevation:
        out += [
            Fact("elevation_mean_m", "float32", "mean height, metres"),
            Fact("elevation_min_m", "float32", "least height, metres"),
            Fact("elevation_max_m", "float32", "greatest height, metres"),
            Fact("slope_mean_deg", "float32", "mean slope, degrees"),
        ]
    if spec.hole_value is not None:
        out.append(
            Fact(
                f"{s}_hole_fraction",
                "float32",
                f"share of pixels that no scene reaches: sea, set to {spec.hole_value:g}",
            )
        )
        out.append(Fact(f"{s}_void_fraction", "float32", "share of pixels without data that are not known to be sea"))
    return out


def _of_shift(dataset: Dataset, spec: SourceSpec) -> list[Fact]:
    found = dataset.shift_arrays(spec.name)
    unit, note = "not measured: no two arrays of the same pixels, or too few of these", ""
    if found is not None:
        _, name, array = found
        least = shift.least_peak(array.px(dataset.recipe.grid.size))
        unit = f"pixels of {name}" + ("" if array.res_m is None else f" ({array.told})")
        note = f"; below {least:.2f} it says little"
    what = f"measured shift against {spec.goes_with}"
    return [
        Fact(f"{spec.name}_shift_x_px", "float32", f"{what}, east, {unit}"),
        Fact(f"{spec.name}_shift_y_px", "float32", f"{what}, south, {unit}"),
        Fact(f"{spec.name}_shift_peak", "float32", f"sharpness of that measurement{note}"),
    ]


def told(outcome: PatchOutcome) -> dict[str, Any]:
    """The facts of a patch that its ledger line tells: fact → value."""
    out: dict[str, Any] = {"status": int(outcome.status), "reason": outcome.reason}
    for name, its in outcome.sources.items():
        if name == SLAB:  # `reason` has it
            continue
        out |= {
            f"{name}_status": int(its.status),
            f"{name}_reason": its.code or "",
            f"{name}_scenes": " ".join(its.scenes),
        }
    return out


def schema(dataset: Dataset, season: str) -> list[Fact]:
    """All measured coordinates of a season's cube."""
    own = [Fact("status", "uint8", "what became of the patch"), Fact("reason", "string", "ok, or code:source")]
    return own + [f for spec in dataset.sources(season) for f in facts_of(dataset, spec)]
