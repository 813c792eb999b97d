"""The sides of a split, and what a rule is asked that says which places are of which. Pure."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from curation.places.grids import Floats
from curation.places.locations import Locations
from curation.places.nearby import EARTH_RADIUS_KM, Nearby
from curation.places.reach import reach_km
from curation.recipe.schema import Recipe
from curation.recipe.split import SplitRule

TRAIN, VAL, TEST = "train", "val", "test"

UNLABELLED = "unlabelled"
"""What samples are of that lack the source of labels which `[split] unlabelled` names."""

HELD_OUT = (VAL, TEST)
"""What nothing is learnt from; all else keeps off their ground, and they off one another's."""

BUFFER = "buffer"
"""What a place is that is too near to the other side to be used."""

_AT_ONCE = 4096
"""Train places compared with those of val at a time; no result depends on it."""


class Rule(SplitRule, ABC):
    """A rule of the split: a file of `pack/splits/`, with its keys, called as its tag is."""

    @abstractmethod
    def sides(self, places: Locations, recipe: Recipe) -> NDArray[np.str_]:
        """`train`, `val`, `test` or `buffer` of each place; of a child that of its root, and empty where that is not known.

        Raises:
            ConfigError: the rule says what these places cannot have.
        """

    def unmatched(self, places: Locations) -> list[str]:
        """What of the rule no place is like, most likely since it is misspelt: a line each, for a person."""
        return []

    def check(self, recipe: Recipe) -> None:
        """Passes where locations of the recipe have the columns. Raises ValueError otherwise."""
        for column in self.columns:
            if column != "region" and not recipe.places.may_carry(column):
                raise ValueError(
                    f"split: column {column!r}: expected 'region', or one of [places] columns: {recipe.places.carried}"
                )


def buffered_sides(
    places: Locations, is_val: NDArray[np.bool_], recipe: Recipe, is_test: NDArray[np.bool_] | None = None
) -> NDArray[np.str_]:
    """Sides of places of which roots are test, val or train, each by itself: where two lie near, one is `buffer`.

    Every test place stays so; val gives way to test, and train to both: it is `buffer` where such a place is so near that
    there might be less than `buffer_km` of ground between their footprints: where its centre is nearer to the other's than
    twice the farthest that a footprint reaches, and `buffer_km` more. So it depends on what else is packed, where the rule
    of blocks does not.

    Args:
        places: roots, and maybe children.
        is_val: bool of each; that of a child is not looked at.
        recipe: what they are of.
        is_test: likewise of test, which goes before val; none is where left out.
    """
    root = places.root_rows()
    is_root = root == np.arange(len(root))
    lon, lat = places.column("lon"), places.column("lat")
    out = np.where(is_val, VAL, TRAIN).astype("<U6")
    if is_test is not None:
        out[is_test] = TEST
    apart = min((2 * reach_km(recipe.grid) + recipe.split.buffer_km) / EARTH_RADIUS_KM, math.pi)
    for side, held in ((VAL, (TEST,)), (TRAIN, HELD_OUT)):
        mine, others = (np.flatnonzero(is_root & np.isin(out, of)) for of in ([side], held))
        out[mine[_near(lon[mine], lat[mine], lon[others], lat[others], apart)]] = BUFFER
    return np.where(root < 0, "", out[root])


def _near(lon: Floats, lat: Floats, of_lon: Floats, of_lat: Floats, angle: float) -> NDArray[np.bool_]:
    """Whether points lie within an angle (radians) of any of others."""
    near, others = np.zeros(len(lon), bool), Nearby(of_lon, of_lat)
    for start in range(0, len(lon), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        near[start + others.pairs(lon[part], lat[part], angle)[0]] = True
    return near
