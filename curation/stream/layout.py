"""What a sample looks like: which entries it has, and their shapes, known from the index before anything is read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from curation.errors import ConfigError, DamageError
from curation.format.index import ArrayEntry, Index
from curation.format.names import DOMAIN, LABEL
from curation.format.payload import npy_header
from curation.stream.plan import Drawing
from curation.stream.resample import Upsample

Views = Literal["seasons", "crops"]
Crop = Literal["random", "center"]

STORED = {"uint8": torch.uint8, "uint16": torch.uint16, "int16": torch.int16, "float32": torch.float32}
DTYPES = (torch.float32, torch.float64, torch.bfloat16)
"""What arrays of role `data` can be converted to."""


def memory_dtype(dtype: torch.dtype) -> np.dtype:
    """What it is in numpy, which has no bfloat16: its bits."""
    return np.dtype("u2") if dtype is torch.bfloat16 else np.dtype(str(dtype).removeprefix("torch."))


@dataclass(frozen=True, slots=True)
class Selection:
    """What of a sample is wanted, and how."""

    arrays: tuple[str, ...]
    """Names of arrays."""
    seasons: tuple[str, ...]
    """In the order of the season axis."""
    dtype: torch.dtype | None = None
    """What arrays of role `data` are converted to; as stored where None."""
    drawn: int | None = None
    """How many seasons are drawn per sample; all come where None."""
    views: Views | None = None
    """Two views instead of the seasons: of two seasons, or two crops of one."""
    crop_px: int | None = None
    """Side of the crop, finest pixels; the whole footprint where None."""
    crop: Crop = "random"
    """Where crops lie."""
    upsample: Upsample | None = None
    """How coarser arrays come onto the finest grid; each on its own where None."""
    normalize: bool = False
    """Whether arrays of role `data` are normalised by the statistics of the index."""
    annotations: tuple[str, ...] = ()
    """Names of annotations."""
    columns: tuple[str, ...] = ()
    """Names of domain columns."""
    domains: tuple[str, ...] = ()
    """Names of domains whose numbers come along."""


@dataclass(frozen=True, slots=True)
class ArrayLayout:
    """One array of the layout."""

    name: str
    entry: ArrayEntry
    axis: int | None
    """How many members' pixels it has of a sample, children and seasons (or views) together; None where it has one."""
    lead: tuple[int, ...]
    """What that axis is delivered as: (child, season), (child,), (season,), (view,) or ()."""
    on: tuple[int, ...]
    """Positions in the seasons selected of those that it may be there in."""
    size_px: int
    """Side, as delivered."""
    factor: int
    """Finest pixels per pixel as stored, along a side."""
    fine: bool
    """Whether it is brought onto the finest grid."""
    dtype: torch.dtype
    """As delivered."""
    scale: NDArray[np.float32] | None
    """(band, 1, 1): normalised is pixels * scale + shift; None where it is not normalised."""
    shift: NDArray[np.float32] | None
    nodata: float
    """What stands for 'no data' as delivered: 0 where normalised."""
    header: bytes
    """With which a member's `.npy` begins."""
    stored_bytes: int
    """Of a member's pixels, decoded."""
    as_stored: bool
    """Whether pixels are delivered byte for byte as a `.npy` holds them."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample's, as delivered."""
        return (*self.lead, *self.own)

    @property
    def flat(self) -> tuple[int, ...]:
        """The same with one axis for all members, as it is filled."""
        return (*(() if self.axis is None else (self.axis,)), *self.own)

    @property
    def own(self) -> tuple[int, ...]:
        """Of one member's, as delivered: (band, y, x), with as many times before it as any has where that is ragged."""
        times = () if self.entry.steps is None else (self.entry.steps,)
        return (*times, len(self.entry.bands), self.size_px, self.size_px)

    @property
    def owners(self) -> int | None:
        """How many children may have it; None: it is the sample's own."""
        return self.lead[0] if self.entry.of_children else None

    @property
    def axis_is_seasons(self) -> bool:
        """Whether its members are of seasons; those of static arrays are not, even along an axis of views."""
        return not self.entry.is_static

    @property
    def memory_dtype(self) -> np.dtype:
        """What it is in numpy."""
        return memory_dtype(self.dtype)


@dataclass(frozen=True, slots=True)
class Layout:
    """Entries of a sample."""

    selection: Selection
    arrays: tuple[ArrayLayout, ...]
    facts: dict[str, tuple[tuple[int, ...], np.dtype]]
    """Small entries: name → (shape of one sample's, dtype)."""
    values: dict[str, str | None]
    """Entries that are lists in a batch (text, JSON): name → what stands where a sample has none."""
    drawing: Drawing


def layout(index: Index, selection: Selection, where: str) -> Layout:
    """The layout of the samples that a selection gives.

    Raises:
        ConfigError: a crop, a number of seasons or a normalisation that the arrays do not admit; what they do is said.
    """
    entries = {n: index.arrays[n] for n in selection.arrays}
    fine_m = min((e.res_m for e in entries.values() if e.res_m is not None), default=1.0)
    # Pixels of a footprint in degrees have no size in metres: such an array goes by itself.
    nested = selection.crop_px is not None or selection.upsample is not None
    factors = {n: 1 if e.res_m is None else _factor(n, e.res_m, fine_m, nested=nested) for n, e in entries.items()}
    # The finest pixels cover the footprint and no more; coarser ones, where they do not divide it, reach beyond it.
    side = min((e.shape[1] * factors[n] for n, e in entries.items()), default=0)
    drawing = _drawing(selection, entries, factors, fine_m, side)
    drawn = 2 if selection.views else selection.drawn
    axis = drawn or len(selection.seasons)
    children = index.children if any(e.of_children for e in entries.values()) else 0
    places = []
    for name, entry in entries.items():
        fine = selection.upsample is not None
        size = selection.crop_px or (side if fine else entry.shape[1] * factors[name])
        scale, shift = normal(index, name, where) if selection.normalize and entry.role == "data" else (None, None)
        dtype = selection.dtype or (torch.float32 if scale is not None else None)
        dtype = dtype if dtype is not None and entry.role == "data" else STORED[entry.dtype]
        size = size if fine else size // factors[name]
        whole = size == entry.shape[1] == entry.shape[2] and not (fine and factors[name] > 1)
        on = tuple(i for i, s in enumerate(selection.seasons) if s in entry.seasons)
        lead: tuple[int, ...] = (children,) if entry.of_children else ()
        if not entry.is_static:
            lead += (drawn or len(on),)
        elif selection.views:
            lead += (2,)
        places.append(
            ArrayLayout(
                name,
                entry,
                math.prod(lead) if lead else None,
                lead,
                on,
                size,
                factors[name],
                fine,
                dtype,
                scale,
                shift,
                0.0 if scale is not None else entry.nodata,
                npy_header(entry.shape, entry.dtype),
                math.prod(entry.shape) * np.dtype(entry.dtype).itemsize,
                whole and scale is None and dtype is STORED[entry.dtype] and entry.steps is None,
            )
        )
    facts = _facts(selection, places, axis, len(index.label_names), children)
    own = {"key", *_facts(selection, (), axis, 0, children)}
    more, values = _annotated(index, selection)
    facts |= more
    facts |= {f"{DOMAIN}{name}": ((), np.dtype("i8")) for name in selection.domains}
    if index.target is not None:
        facts[LABEL] = ((), np.dtype("f4" if index.target.classes is None else "i8"))
        facts[f"{LABEL}_ok"] = ((), np.dtype(bool))
    of_sources = {e.source: {f"{e.source}_ok", f"{e.source}_time"} for e in entries.values()}
    if taken := [n for n in entries if n in facts or n in own]:
        raise DamageError(f"{where}: arrays {taken} are called as other entries of a sample: rename them")
    if taken := [s for s, names in of_sources.items() if names & own]:
        raise DamageError(f"{where}: sources {taken} would name entries that a sample has anyway: rename them")
    return Layout(selection, tuple(places), facts, values, drawing)


def _facts(
    selection: Selection, places: Sequence[ArrayLayout], axis: int, labels: int, children: int
) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    flag, real, vector, time = np.dtype(bool), np.dtype("f8"), np.dtype("f4"), np.dtype("i8")
    out: dict[str, tuple[tuple[int, ...], np.dtype]] = {"lon": ((), real), "lat": ((), real)}
    for place in places:
        source, lead = place.entry.source, place.lead
        if place.entry.is_static:
            out[f"{source}_ok"] = (lead[:1] if place.entry.of_children else (), flag)
        else:
            times = () if place.entry.steps is None else (place.entry.steps,)
            out |= {f"{source}_ok": (lead, flag), f"{source}_time": ((*lead, *times), time)}
        if place.entry.has_offsets:
            out[f"{place.name}_offset_m"] = ((*lead[: place.entry.of_children], 2), real)
    if children:
        out |= {"child_ok": ((children,), flag), "child_lon": ((children,), real), "child_lat": ((children,), real)}
    out |= {"season_ok": ((axis,), flag)}
    out |= {"labels": ((axis, labels), vector), "labels_known": ((axis,), flag)}
    out |= {"label_fractions": ((axis, labels), vector)}
    out |= {"annual_labels": ((labels,), vector), "annual_labels_known": ((), flag)}
    out |= {"annual_label_fractions": ((labels,), vector), "is_pad": ((), flag)}
    if selection.drawn is not None or selection.views:
        out["season"] = ((axis,), time)
    if selection.crop_px is not None:
        out["crop_yx"] = ((2, 2) if selection.views else (2,), time)
    return out


def _annotated(
    index: Index, selection: Selection
) -> tuple[dict[str, tuple[tuple[int, ...], np.dtype]], dict[str, str | None]]:
    """(small entries, entries that are lists) of annotations and columns; what a sample lacks of one says `<name>_ok`."""
    facts: dict[str, tuple[tuple[int, ...], np.dtype]] = {}
    values: dict[str, str | None] = {}
    for name in selection.annotations:
        entry = index.annotations[name]
        facts[f"{name}_ok"] = (entry.shape[:1] if entry.ragged else (), np.dtype(bool))
        if entry.kind in ("text", "json"):
            values[name] = "" if entry.kind == "text" else None
        else:
            facts[name] = (entry.shape, np.dtype("f8" if entry.kind == "numbers" else "f4"))
    for name in selection.columns:
        if index.columns[name].kind == "text":
            values[name] = ""
        else:
            facts[name] = ((), np.dtype("f8"))
    return facts, values


def _lacking(sets: dict[str, list[str]], seasons: Sequence[str]) -> str:
    name, found = next((n, s) for n, s in sets.items() if s != list(seasons))
    return f"{name!r} has {found or 'none'}"


def _factor(name: str, res_m: float, fine_m: float, *, nested: bool) -> int:
    """How many of the finest pixels a pixel is wide; 1 where that is no whole number, and is `nested` for nothing."""
    factor = round(res_m / fine_m)
    if not math.isclose(factor * fine_m, res_m):
        if not nested:
            return 1
        raise ConfigError(
            f"{name}: pixels of {res_m:g} m do not consist of whole pixels of {fine_m:g} m, so that no crop is of the same "
            "ground in both, and neither is upsampled to the other; read them apart (fields=[…]), or whole"
        )
    return factor


def _drawing(
    selection: Selection, entries: dict[str, ArrayEntry], factors: dict[str, int], fine_m: float, side: int
) -> Drawing:
    drawn = {"seasons": 2, "crops": 1}[selection.views] if selection.views else selection.drawn
    sets = {n: [s for s in selection.seasons if s in e.seasons] for n, e in entries.items() if not e.is_static}
    if drawn is not None and any(s != list(selection.seasons) for s in sets.values()):
        raise ConfigError(
            f"seasons are drawn among {list(selection.seasons)}, of which {_lacking(sets, selection.seasons)}: choose "
            "fields and seasons so that each of the fields has each of the seasons"
        )
    if drawn is not None and not 1 <= drawn <= len(selection.seasons):
        raise ConfigError(f"{drawn} seasons to draw, expected 1 to {len(selection.seasons)}: {list(selection.seasons)}")
    if selection.views == "crops" and selection.crop_px is None:
        raise ConfigError("views = 'crops' wants crop_px: two views of one season that are not cropped are the same")
    sizes, crop = {n: e.shape[1] * factors[n] for n, e in entries.items()}, selection.crop_px
    if beside := [n for n, e in entries.items() if e.has_offsets and (selection.upsample or crop is not None)]:
        raise ConfigError(
            f"crop_px, upsample: {beside} begin beside the corner of their footprint, by other pixels in each sample "
            "(`<array>_offset_m`), so that they nest in no common grid: read them whole, or apart"
        )
    if selection.upsample and any(size != side and size - side >= factors[n] for n, size in sizes.items()):
        raise ConfigError(f"upsample: footprints of {sizes} finest pixels; expected all alike: read them apart")
    step = 1 if selection.upsample else math.lcm(*factors.values()) if factors else 1
    if crop is not None and (not 0 < crop <= max(side, 1) or crop % step):
        allowed = f"multiples of {step} " if step > 1 else ""
        reason = (
            f", since pixels of {sorted({e.res_m for e in entries.values() if e.res_m})} m are read" if step > 1 else ""
        )
        raise ConfigError(
            f"crop_px = {crop}: expected {allowed}from {step} to {side // step * step} (pixels of {fine_m} m{reason}); "
            "choose another, other fields, or upsample"
        )
    return Drawing(
        seasons=len(selection.seasons),
        drawn=drawn,
        twice=selection.views == "crops",
        views=2 if selection.views else 1,
        slack_px=0 if crop is None else side - crop,
        step_px=step,
        centred=selection.crop == "center",
    )


def normal(index: Index, name: str, where: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(scale, shift) that normalise an array by the statistics of the index, each float32 (band, 1, 1).

    Raises:
        ConfigError: there are none of a band.
        DamageError: they are no float32.
    """
    entry, known = index.arrays[name], index.statistics.get(name, {})
    scale, shift = [], []
    for band in entry.bands:
        found = known.get(band)
        if found is None or found.mean is None or not found.std:
            raise ConfigError(
                f"{where}: normalize: the index has no mean and deviation of {name} {band}: leave {name!r} out of fields, "
                "or normalise it yourself"
            )
        scale.append(1 / found.std)
        shift.append(-found.mean / found.std)
    if not all(abs(v) <= np.finfo(np.float32).max for v in (*scale, *shift)):
        raise DamageError(f"{where}: normalize: mean or deviation of {name} is out of float32: pack the dataset again")
    return np.array(scale, np.float32).reshape(-1, 1, 1), np.array(shift, np.float32).reshape(-1, 1, 1)
