"""One image of a sample's arrays: which channels in which order, of what type, and where they have data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from curation.errors import ConfigError
from curation.format.index import Index
from curation.format.signature import Channels, Signature, channels_of
from curation.stream.batch import Batch, MadeArray
from curation.stream.cuts import bfloat16
from curation.stream.layout import STORED, ArrayLayout, Layout, normal
from curation.stream.loading import check_names

IMAGE, VALID = "image", "valid"
_IMAGE, _VALID = ".image", ".valid"
"""What these are called among a batch's arrays, one of which may be called `image`: with a dot none is."""
PER_BAND = ("bands", "wavelength_nm", "unit")
"""Entries of a batch that have one of each band."""
OWN = (IMAGE, VALID, *PER_BAND, "ground_m", "time", "dataset")
"""Entries that a mix adds to what the reader gives of a sample."""


class _Run(NamedTuple):
    """Channels that follow one another in the image and in one array."""

    array: str
    planes: slice
    """Of the array."""
    to: slice
    """Of the image."""
    nodata: NDArray[Any]
    """In the dtype that is stored, of no axis."""
    scale: NDArray[np.float32] | None
    """(band, 1, 1): what is delivered is pixels * scale + shift; None where it is not normalised."""
    shift: NDArray[np.float32] | None


@dataclass(frozen=True, slots=True)
class Stack:
    """How the images of one part of a mix are made."""

    channels: tuple[Channels, ...]
    """Of each band of the image, the one that it is."""
    signatures: tuple[Signature, ...]
    """Of what is delivered, of each run of bands that come from one array."""
    size_px: int
    ground_m: float | None
    """Side of a pixel, metres; None where footprints are in degrees."""
    dtype: torch.dtype
    runs: tuple[_Run, ...]
    whole: str | None
    """The array that the image is, where it is one as it is stored."""
    timed: str | None
    """The source whose time is that of the image: of its first array that has one."""

    @property
    def made(self) -> tuple[MadeArray, ...]:
        """Arrays of a batch that are filled by `finish`."""
        shape = (len(self.channels), self.size_px, self.size_px)
        valid = MadeArray(_VALID, shape, torch.bool)
        return (valid,) if self.whole is not None else (MadeArray(_IMAGE, shape, self.dtype), valid)

    @property
    def bands(self) -> tuple[str, ...]:
        """Canonical names, in order."""
        return tuple(name for one in self.channels for name in one.bands)

    def finish(self, batch: Batch, number: int) -> None:
        """Makes the image of one sample, and where it is valid, of arrays that have been filled; many threads may."""
        valid = batch.arrays[_VALID][number]
        image = None if self.whole is not None else batch.arrays[_IMAGE][number]
        for run in self.runs:
            stored = batch.arrays[run.array][number]
            pixels = stored.reshape(stored.shape[-3:])[run.planes]
            _see(pixels, run.nodata, valid[run.to])
            if image is not None:
                self._put(pixels, run, image[run.to], valid[run.to])

    def _put(self, pixels: NDArray[Any], run: _Run, out: NDArray[Any], valid: NDArray[np.bool_]) -> None:
        is_16 = self.dtype is torch.bfloat16
        target = np.empty(pixels.shape, np.float32) if is_16 else out
        if run.scale is None or run.shift is None:
            np.copyto(target, pixels, casting="unsafe")
        else:
            np.multiply(pixels, run.scale, out=target, casting="unsafe")
            target += run.shift
            if not valid.all():
                target[~valid] = 0
        if is_16:
            out[...] = bfloat16(target)

    def delivered(self, batch: Mapping[str, Any], arrays: Sequence[ArrayLayout], name: str) -> dict[str, Any]:
        """A batch as a mix gives it: the image first, keys last.

        Args:
            batch: as the reader gives it, with the arrays that `finish` has filled.
            arrays: those that the image is made of, which are left out.
            name: of the part.
        """
        size = len(batch["key"])
        whole = batch[_IMAGE if self.whole is None else self.whole]
        rest = {k: v for k, v in batch.items() if k not in (_IMAGE, _VALID, *(place.name for place in arrays))}
        none = torch.full((size,), -1, dtype=torch.int64)
        return {
            IMAGE: whole.reshape(size, len(self.channels), self.size_px, self.size_px),
            VALID: batch[_VALID],
            "bands": list(self.bands),
            "wavelength_nm": torch.from_numpy(np.concatenate([one.wavelength_nm for one in self.channels])),
            "unit": [one.signature.unit for one in self.channels],
            "ground_m": math.nan if self.ground_m is None else self.ground_m,
            "time": none if self.timed is None else batch[f"{self.timed}_time"].reshape(size),
            "dataset": name,
            **rest,
        }


def _see(pixels: NDArray[Any], nodata: NDArray[Any], out: NDArray[np.bool_]) -> None:
    if np.isnan(nodata):
        np.equal(pixels, pixels, out=out)  # NaN alone is not
    else:
        np.not_equal(pixels, nodata, out=out)


def image_of(
    index: Index,
    layout: Layout,
    bands: Sequence[str] | None,
    *,
    dtype: torch.dtype | None,
    normalize: bool,
    where: str,
    platforms: Mapping[str, str] | None = None,
) -> Stack:
    """How images are made of the arrays of a layout, which are read as they are stored.

    Args:
        index: of the dataset.
        layout: of its samples; one season of each.
        bands: canonical names (or, where these are of one array alone, the source's) in the order wanted; all where None.
        dtype: of the image; where None that of the arrays, or float32 where they have several or are normalised.
        normalize: whether arrays of role `data` are normalised by the statistics of the index.
        where: the part, as a person names it.
        platforms: array → the satellite that all of its images are of, where it is known.

    Raises:
        ConfigError: arrays have several sizes of pixels or footprints, are of children or of several times, begin beside
            their footprint's corner, or a band is not there, twice, or in several arrays.
    """
    places = {place.name: place for place in layout.arrays}
    _check_stackable(places, where)
    its = platforms or {}
    of = _chosen({name: channels_of(index, name, its.get(name)) for name in places}, bands, where)
    first = next(iter(places.values()))
    stored = {STORED[p.entry.dtype] for p in places.values()}
    dtype = dtype or (stored.pop() if len(stored) == 1 and not normalize else torch.float32)
    runs = _runs(index, places, of, normalize=normalize, where=where)
    metres, size = _ground_m(first), first.size_px
    only = places[runs[0].array].entry
    is_whole = len(runs) == 1 and len(of) == len(only.bands) and runs[0].planes == slice(0, len(of))
    is_stored = runs[0].scale is None and STORED[only.dtype] is dtype
    signatures = []
    for run in runs:
        names = tuple(one.bands[0] for _, one in of[run.to])
        signature = of[run.to.start][1].signature
        signatures.append(replace(signature, bands=names, size_px=(size, size), ground_m=metres))
    return Stack(
        channels=tuple(one for _, one in of),
        signatures=tuple(signatures),
        size_px=size,
        ground_m=metres,
        dtype=dtype,
        runs=runs,
        whole=runs[0].array if is_whole and is_stored else None,
        timed=next((p.entry.source for p in places.values() if not p.entry.is_static), None),
    )


def _ground_m(place: ArrayLayout) -> float | None:
    """Side of a pixel as delivered, metres."""
    metres = place.entry.res_m
    return metres if metres is None or not place.fine else metres / place.factor


def _check_stackable(places: Mapping[str, ArrayLayout], where: str) -> None:
    if children := [n for n, p in places.items() if p.entry.of_children]:
        raise ConfigError(f"{where}: arrays {children} are of children: a mix reads those of the samples themselves")
    if ragged := [n for n, p in places.items() if p.entry.steps is not None]:
        raise ConfigError(f"{where}: arrays {ragged} have several times: a mix reads one: use open_shards")
    if len(places) > 1 and (beside := [n for n, p in places.items() if p.entry.has_offsets]):
        raise ConfigError(
            f"{where}: arrays {beside} begin beside the corner of their footprint: make each a part of its own"
        )
    forms = {n: (p.size_px, _ground_m(p)) for n, p in places.items()}
    if len(set(forms.values())) > 1:
        shown = "; ".join(f"{n}: {px} px of {'degrees' if m is None else f'{m:g} m'}" for n, (px, m) in forms.items())
        raise ConfigError(
            f"{where}: {shown}: an image has pixels of one size: choose arrays=[…] that have, make each a part of its own, "
            "or bring all to the finest with upsample='nearest' or 'bilinear'"
        )


def _chosen(there: Mapping[str, Channels], bands: Sequence[str] | None, where: str) -> list[tuple[str, Channels]]:
    """(array, the one channel) of each band of the image."""
    if bands is not None:
        check_names(f"{where}: bands", bands)
    every = [(array, channels.select([band])) for array, channels in there.items() for band in channels.bands]
    names = [one.bands[0] for _, one in every]
    if bands is None:
        if twice := sorted({n for n in names if names.count(n) > 1}):
            raise ConfigError(f"{where}: bands {twice} are in several of {list(there)}: choose arrays that differ")
        return every
    found = []
    for band in bands:
        its = [(a, one) for a, one in every if band == one.bands[0]] or [(a, o) for a, o in every if band == o.names[0]]
        if len(its) != 1:
            what = f"is in {[array for array, _ in its]}" if its else "is not there"
            raise ConfigError(f"{where}: bands: {band!r} {what}; expected some of: {', '.join(names)}")
        found += its
    if not found or len({one.bands for _, one in found}) != len(found):
        raise ConfigError(f"{where}: bands = {list(bands)}: expected at least one, and each once")
    return found


def _runs(
    index: Index, places: Mapping[str, ArrayLayout], of: Sequence[tuple[str, Channels]], *, normalize: bool, where: str
) -> tuple[_Run, ...]:
    planes = [one.planes[0] for _, one in of]
    begins = [i for i in range(len(of)) if not i or of[i][0] != of[i - 1][0] or planes[i] != planes[i - 1] + 1]
    runs = []
    for begin, end in zip(begins, [*begins[1:], len(of)], strict=True):
        array, mine = of[begin][0], slice(planes[begin], planes[begin] + end - begin)
        entry = places[array].entry
        scale, shift = normal(index, array, where) if normalize and entry.role == "data" else (None, None)
        if scale is not None and shift is not None:
            scale, shift = scale[mine], shift[mine]
        runs.append(_Run(array, mine, slice(begin, end), np.array(entry.nodata, entry.dtype), scale, shift))
    return tuple(runs)


def _bands_of(batch: Mapping[str, Any]) -> list[str]:
    """Names of the bands of a batch. Raises ConfigError where it is none of a mix, or its entries are not of one length."""
    if lacking := [name for name in (IMAGE, VALID, *PER_BAND) if name not in batch]:
        raise ConfigError(
            f"batch: has no {', '.join(map(repr, lacking))}; expected a batch as open_mix gives it. Of one of open_shards "
            "say dataset.channels(array).select(bands=…).of(batch[array])"
        )
    sizes = {n: batch[n].shape[1] for n in (IMAGE, VALID)} | {n: len(batch[n]) for n in PER_BAND}
    if len(set(sizes.values())) > 1:
        said = ", ".join(f"{n} {count}" for n, count in sizes.items())
        raise ConfigError(f"batch: not as many bands in each of its entries: {said}: select before others are changed")
    return list(batch["bands"])


def select_bands(batch: Mapping[str, Any], bands: Sequence[str | int]) -> dict[str, Any]:
    """A batch with these bands in this order: a subset, another order, or both; all that is per band goes along.

    >>> red_first = select_bands(batch, ["s2.b04", "s2.b03"])  # by canonical name, whatever the order in the file
    >>> some = select_bands(batch, torch.randperm(len(batch["bands"]))[:2].tolist())  # or by place

    Args:
        batch: as a mix gives it; it is left as it is.
        bands: canonical names, or places among the batch's.

    Raises:
        ConfigError: one is not there, or stands twice; or the batch is not as a mix gives it.
    """
    there = _bands_of(batch)
    check_names("bands", bands, map(str, there))
    at = {name: i for i, name in enumerate(there)} | {i: i for i in range(len(there))}
    if unknown := [band for band in bands if isinstance(band, bool) or band not in at]:
        raise ConfigError(f"bands: no {unknown}; expected some of: {', '.join(there)}")
    chosen = [at[band] for band in bands]
    if not chosen or len(set(chosen)) != len(chosen):
        raise ConfigError(f"bands = {list(bands)}: expected at least one, and each once")
    out = dict(batch)
    for name in (IMAGE, VALID):
        out[name] = batch[name][:, chosen]
    for name in PER_BAND:
        of = batch[name]
        out[name] = of[chosen] if isinstance(of, torch.Tensor) else [of[i] for i in chosen]
    return out
