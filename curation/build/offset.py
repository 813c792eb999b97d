"""Whether the offset of processing baseline 04.00 is in the pixels of a scene: a coarse look, once per scene."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from curation.build import masks
from curation.build.context import Patch, Pixels, Slab, Source
from curation.build.pixels import assets_of
from curation.model import Location, Scene
from curation.read import radiometry
from curation.read.reader import Asset, Read
from curation.recipe.arrays import ArraySpec
from curation.recipe.facts import Fact
from curation.recipe.masked import read_first

_MOST_LOOKS = 4096
"""Scenes whose evidence a process keeps."""

_looked: LRUCache[tuple[str, ...], radiometry.Evidence] = LRUCache(_MOST_LOOKS)
"""What was found of scenes, by the client's searches and what is asked of the scene: it follows from that alone."""

_looked_lock = threading.Lock()


Judge = tuple[Source, Scene]
"""The source and the scene whose mask says what of another's scene is clear: both are of one acquisition."""


def facts(source: str) -> list[Fact]:
    """What is told of a source's offset, by its name."""
    return [
        Fact(f"{source}_baseline", "string", "processing baseline"),
        Fact(f"{source}_offset_dn", "int16", "digital numbers that were subtracted (clipped at 1)"),
        Fact(f"{source}_offset_evidence", "string", "what the scene's pixels say of that: in, not-in or undecidable"),
    ]


def looks(slab: Slab, source: Source, scene: Scene, judge: Judge | None = None) -> list[Read]:
    """What finding a scene's evidence will read; nothing where it is known. Arguments as of `check`."""
    asked = _asked(source, scene, judge)
    with _looked_lock:
        is_known = _look_key(slab, asked) in _looked
    return [] if is_known else [Read(asset, array, None) for _, asset, array in asked]


def check(slab: Slab, patch: Patch, source: Source, scene: Scene, judge: Judge | None = None) -> None:
    """Passes where the pixels of the whole scene, whatever patch asks, do not contradict its metadata; notes what they say.

    Args:
        slab: what is built.
        patch: takes the fact.
        source: the one of reflectance.
        scene: of it.
        judge: whose mask is believed. None: its own, and then its pixels are corrected for the atmosphere; those of another
            nobody says that of.

    Raises:
        Reject: `offset_conflict` or `offset_unproven`.
        ReadError: a band or the mask cannot be read.
    """
    found = _evidence(slab, source, scene, judge)
    if found is None:
        return
    patch.note(source, offset_evidence=found.value)
    rule = "none" if source.form is None else source.form.offset
    believed = radiometry.is_believed(rule, scene.offset_dn)
    radiometry.check_offset(found, scene.offset_dn, is_believed=believed)


def harmonised(
    source: Source, place: Location, name: str, read: NDArray[Any], scene: Scene, clear: NDArray[np.bool_]
) -> NDArray[Any]:
    """(band, y, x) of a scene without its offset; of reflectance saturated pixels are missing.

    Args:
        source: whose it is.
        place: where.
        name: of its array.
        read: (band, y, x) as read.
        scene: that it is of.
        clear: (rows, columns) True where the ground is seen, in pixels of the source's mask; (1, 1) of one without.

    Raises:
        Reject: `impossible`, where more clear pixels are brighter than any surface than may be.
    """
    array, mask, size = source.arrays[name], source.spec.mask, place.size_m
    found = radiometry.harmonised(read, scene.offset_dn, array.nodata)
    if array.unit != radiometry.UNIT:
        return found
    per_px = None if mask is None else array.step(size) / mask.step(size)
    radiometry.check_possible(found, clear, array.nodata, per_px)
    return radiometry.measured(found, array.nodata)


def _evidence(slab: Slab, source: Source, scene: Scene, judge: Judge | None) -> radiometry.Evidence | None:
    """What the pixels of the whole scene say of the offset; None of a source that has none."""
    asked = _asked(source, scene, judge)
    if not asked:
        return None
    key = _look_key(slab, asked)
    with _looked_lock:
        if key in _looked:
            return _looked[key]
    pixels: Pixels = {}
    clear, codes = 0.0, masks.own_clear((source if judge is None else judge[0]).spec)
    for band, asset, array in asked:
        values = slab.reader.coarse(asset, array)
        if array.is_mask:
            clear = float(np.isin(values, codes).mean()) if values.size else 0.0
        else:
            pixels[band] = values
    found = radiometry.evidence(pixels, clear, is_corrected=judge is None)
    with _looked_lock:
        _looked[key] = found
    return found


def _asked(source: Source, scene: Scene, judge: Judge | None) -> list[tuple[str, Asset, ArraySpec]]:
    """Band, asset and array of all that evidence is taken of."""
    if source.form is None or source.form.offset == "none":
        return []
    measured = [(source, scene, a) for a in source.arrays.values() if a.unit == radiometry.UNIT]
    by, its = judge or (source, scene)
    masks = [(by, its, a) for a in read_first(by.spec) if a.is_mask]
    return [(b, asset, a) for of, at, a in [*measured, *masks] for b in a.bands for asset in assets_of(of, b, [at])]


def _look_key(slab: Slab, asked: Sequence[tuple[str, Asset, ArraySpec]]) -> tuple[str, ...]:
    return (slab.searches, *(f"{band} {a.band} {a.base} {a.href}" for band, a, _ in asked))
