"""Sources whose arrays have a time axis: what a recipe may ask of them, and how many of their patches go together. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from curation.errors import ConfigError
from curation.format.payload import MOST_BYTES
from curation.recipe.arrays import ArraySpec
from curation.recipe.sources import SourceSpec

SLAB_BYTES = 256 * 2**20
"""Decoded pixels of a slab's patches, at most, or one patch: its worker holds them packed until all are built. 16 patches of
2.64 km with 21 dates of Sentinel-2 are as many."""

SHARD_BYTES = 512 * 2**20
"""Decoded pixels of a shard's samples, at most, or one sample: its worker holds the whole tar."""

Arrays = Mapping[str, Mapping[str, ArraySpec]]
"""Source → name → array."""


def check(specs: Mapping[str, SourceSpec], arrays: Arrays, size: float, path: Path) -> None:
    """Passes where no array is too large with its time axis.

    Args:
        specs: the sources of a level of a recipe.
        arrays: theirs, as the recipe wants them.
        size: side of the footprint, in units of its CRS.
        path: the recipe, which errors name.

    Raises:
        ConfigError: one is.
    """
    for name, spec in specs.items():
        for array, its in arrays[name].items():
            steps, one = spec.pick.most_steps or 1, _bytes(its, size)
            if steps * one > MOST_BYTES:
                raise ConfigError(
                    f"{path}: [sources.{name}] steps = {steps}: {array} would have {steps * one:,} bytes a patch, expected "
                    f"at most {MOST_BYTES:,}: say steps = {MOST_BYTES // one}, or fewer, or choose bands"
                )


def patch_bytes(specs: Mapping[str, SourceSpec], arrays: Arrays, size: float) -> int:
    """Decoded bytes of a patch's arrays that have a time axis, with all of its steps; 0 where none has."""
    held = [(spec.pick.most_steps or 0, arrays[name].values()) for name, spec in specs.items()]
    return sum(steps * _bytes(array, size) for steps, its in held for array in its)


def together(most: int, one: int, room: int) -> int:
    """How many of what has so many bytes go together: as many as have room, no more than `most`, and one at least."""
    return most if not one else max(1, min(most, room // one))


def _bytes(array: ArraySpec, size: float) -> int:
    """Decoded bytes of an array at one step."""
    return math.prod((len(array.bands), array.px(size), array.px(size))) * np.dtype(array.dtype).itemsize
