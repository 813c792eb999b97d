"""Backscatter, whatever places it: linear power in cubes, decibels for people and in shards; and its scenes."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from curation.build.context import Source
from curation.build.pixels import RasterKind
from curation.model import Location, Scene
from curation.read import backscatter
from curation.recipe.angles import joined
from curation.recipe.arrays import ArraySpec
from curation.recipe.facts import Fact
from curation.recipe.packed import Packed
from curation.recipe.pictures import Alone, DrawnChannel, Picture, Ranged
from curation.recipe.schema import PackSpec
from curation.recipe.sources import SourceSpec

LIKE_DB, CROSS_DB, RATIO_DB = (-20.0, 0.0), (-27.0, -7.0), (2.0, 14.0)
"""What backscatter of like and of cross polarisation and their ratio are drawn between, decibels, everywhere alike."""

PAIRS = (("VV", "VH"), ("HH", "HV"))
"""Like and cross polarisation of what is transmitted so."""


class Power(RasterKind):
    """Linear power."""

    lists_bands: ClassVar[str] = "sar:polarizations"
    states_orbit: ClassVar[bool] = True
    holds_power: ClassVar[bool] = True

    def facts(self, source: str) -> list[Fact]:
        """Where its scenes are from: slices and satellites were seen to lie beside each other."""
        orbit = "where the satellite's orbit is from: POEORB (precise), RESORB, PREORB or DOWNLINK; empty where unknown"
        return [
            Fact(f"{source}_orbit_source", "string", orbit),
            Fact(f"{source}_slice", "string", "number of the slice of the satellite's pass; empty where unknown"),
            Fact(f"{source}_platform", "string", "the satellite, such as sentinel-1a; empty where unknown"),
        ]

    def scene_facts(self, source: Source, place: Location, scenes: Sequence[Scene]) -> dict[str, Any]:
        """That; of several scenes each once, separated by spaces."""
        return {
            f"{source.name}_orbit_source": joined(s.orbit_source for s in scenes),
            f"{source.name}_slice": joined(s.slice_number for s in scenes),
            f"{source.name}_platform": joined(s.platform for s in scenes),
        }

    def pictures(self, source: SourceSpec, array: ArraySpec) -> list[Picture]:
        """A composite of each pair of polarisations and its ratio, each polarisation alone, and other bands."""
        out: list[Picture] = []
        known = [(p, q) for p, q in PAIRS if {p, q} & set(array.bands)]
        for like, cross in known:
            one, two = DrawnChannel(like, (like,), LIKE_DB), DrawnChannel(cross, (cross,), CROSS_DB)
            if {like, cross} <= set(array.bands):
                of_both = DrawnChannel(f"{like}/{cross}", (like, cross), RATIO_DB)
                out.append(Ranged("Radar" if len(known) == 1 else f"Radar {like}, {cross}", (one, two, of_both)))
            out += [Ranged(f"Radar {c.name}", (c,)) for c in (one, two) if c.name in array.bands]
        return [*out, *(Alone(b) for b in array.bands if not any(b in pair for pair in PAIRS))]

    def shown(self, values: NDArray[Any], array: ArraySpec) -> NDArray[Any]:
        """Decibels; of what says of a composite's pixels what they are of, as it is."""
        return backscatter.decibels(values, array.nodata) if array.is_data else values

    def unit(self, array: ArraySpec) -> str:
        """Of that."""
        return "dB" if array.is_data else array.unit

    def packed(self, array: ArraySpec, rules: PackSpec) -> Packed | None:
        """Hundredths of a decibel in int16, where the recipe wants that."""
        if rules.radar != "centidb" or not array.is_data:
            return None
        return Packed(
            "int16",
            f"{array.unit.partition(',')[0]}, hundredths of a dB",  # gamma0, or sigma0
            float(backscatter.CENTIDB_NODATA),
            array.convention and f"{array.convention.partition(',')[0]}, dB",
            int(backscatter.centidb(np.zeros(1), math.nan, rules.radar_floor_db)[0]),
            functools.partial(backscatter.centidb, nodata=array.nodata, floor_db=rules.radar_floor_db),
        )
