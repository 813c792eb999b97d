"""Backscatter: linear power in cubes, decibels for people and in shards."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from curation.build.context import Slab, Source
from curation.build.pixels import Raster
from curation.model import Location, Scene
from curation.read import backscatter
from curation.recipe.pictures import Alone, Channel, Picture, Ranged
from curation.recipe.schema import PackSpec
from curation.recipe.sources import ArraySpec, Packed, SourceSpec

LIKE_DB, CROSS_DB, RATIO_DB = (-20.0, 0.0), (-27.0, -7.0), (2.0, 14.0)
"""What backscatter of like and of cross polarisation and their ratio are drawn between, decibels, everywhere alike."""

PAIRS = (("VV", "VH"), ("HH", "HV"))
"""Like and cross polarisation of what is transmitted so."""


class Radar(Raster):
    """A raster of linear power."""

    lists_bands: ClassVar[str] = "sar:polarizations"

    def pixels(
        self, slab: Slab, source: Source, place: Location, name: str, scenes: Sequence[Scene]
    ) -> tuple[NDArray[Any], bool]:
        """As of any raster. Raises Reject where it holds what cannot be."""
        found, warped = super().pixels(slab, source, place, name, scenes)
        array = source.arrays[name]
        return (backscatter.possible(found, array.nodata) if array.is_data else found), warped

    def pictures(self, source: SourceSpec, array: ArraySpec) -> list[Picture]:
        """A composite of each pair of polarisations and its ratio, each polarisation alone, and other bands."""
        out: list[Picture] = []
        known = [(p, q) for p, q in PAIRS if {p, q} & set(array.bands)]
        for like, cross in known:
            one, two = Channel(like, (like,), LIKE_DB), Channel(cross, (cross,), CROSS_DB)
            if {like, cross} <= set(array.bands):
                of_both = Channel(f"{like}/{cross}", (like, cross), RATIO_DB)
                out.append(Ranged("Radar" if len(known) == 1 else f"Radar {like}, {cross}", (one, two, of_both)))
            out += [Ranged(f"Radar {c.name}", (c,)) for c in (one, two) if c.name in array.bands]
        return [*out, *(Alone(b) for b in array.bands if not any(b in pair for pair in PAIRS))]

    def shown(self, values: NDArray[Any], array: ArraySpec) -> NDArray[Any]:
        """Decibels."""
        return backscatter.decibels(values, array.nodata)

    def unit(self, array: ArraySpec) -> str:
        """Of that."""
        return "dB"

    def packed(self, array: ArraySpec, rules: PackSpec) -> Packed | None:
        """Hundredths of a decibel in int16, where the recipe wants that."""
        if rules.radar != "centidb" or not array.is_data:
            return None
        return Packed(
            "int16",
            "gamma0, hundredths of a dB",
            float(backscatter.CENTIDB_NODATA),
            int(backscatter.centidb(np.zeros(1), math.nan, rules.radar_floor_db)[0]),
            functools.partial(backscatter.centidb, nodata=array.nodata, floor_db=rules.radar_floor_db),
        )
