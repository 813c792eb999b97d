"""Whether the offset of processing baseline 04.00 is in the pixels of a scene: a coarse look, once per scene."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
from cachetools import LRUCache

from curation.build.context import Pixels, Slab, Source
from curation.build.pixels import assets_of
from curation.model import Scene
from curation.read import radiometry
from curation.read.reader import Asset, Read
from curation.recipe.sources import ArraySpec

_MOST_LOOKS = 4096
"""Scenes whose evidence a process keeps."""

_looked: LRUCache[tuple[str, ...], radiometry.Evidence] = LRUCache(_MOST_LOOKS)
"""What was found of scenes, by the client's searches and what is asked of the scene: it follows from that alone."""

_looked_lock = threading.Lock()


def looks(slab: Slab, source: Source, scene: Scene) -> list[Read]:
    """What finding a scene's evidence will read; nothing where it is known."""
    asked = _asked(source, scene)
    with _looked_lock:
        is_known = _look_key(slab, asked) in _looked
    return [] if is_known else [Read(asset, array, None) for _, asset, array in asked]


def evidence(slab: Slab, source: Source, scene: Scene) -> radiometry.Evidence | None:
    """What the pixels of the whole scene say of the offset, whatever patch asks; None of a source that has none.

    Raises:
        ReadError: a band or the mask cannot be read.
    """
    asked = _asked(source, scene)
    if not asked:
        return None
    key = _look_key(slab, asked)
    with _looked_lock:
        if key in _looked:
            return _looked[key]
    pixels: Pixels = {}
    clear = 0.0
    for band, asset, array in asked:
        values = slab.reader.coarse(asset, array)
        if array.is_mask:
            clear = float(np.isin(values, source.spec.clear).mean()) if values.size else 0.0
        else:
            pixels[band] = values
    found = radiometry.evidence(pixels, clear)
    with _looked_lock:
        _looked[key] = found
    return found


def _asked(source: Source, scene: Scene) -> list[tuple[str, Asset, ArraySpec]]:
    """Band, asset and array of all that evidence is taken of."""
    if source.form is None or source.form.offset == "none":
        return []
    arrays = [a for a in source.arrays.values() if a.unit == radiometry.UNIT or a.is_mask]
    return [(b, asset, a) for a in arrays for b in a.bands for asset in assets_of(source, b, [scene])]


def _look_key(slab: Slab, asked: Sequence[tuple[str, Asset, ArraySpec]]) -> tuple[str, ...]:
    return (slab.searches, *(f"{band} {a.band} {a.base} {a.href}" for band, a, _ in asked))
