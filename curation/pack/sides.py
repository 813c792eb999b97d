"""The sides of a split, and what a rule is asked that says which places are of which. Pure."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curation.places.locations import Locations
from curation.places.nearby import EARTH_RADIUS_KM, nearest
from curation.places.reach import reach_km
from curation.recipe.footprint import GridSpec
from curation.recipe.schema import Recipe
from curation.recipe.split import SplitRule, Tiers

TRAIN, VAL, TEST = "train", "val", "test"

UNLABELLED = "unlabelled"
"""What samples are of that lack the source of labels which `[split] unlabelled` names."""

HELD_OUT = (VAL, TEST)
"""What nothing is learnt from; all else keeps off their ground, and they off one another's."""

BUFFER = "buffer"
"""What a place is that is too near to the other side to be used."""

NO_DOMAIN, TWO_DOMAINS = "no_domain", "several_domains"
"""What a place is of which a domain that decides is not told, and one that is of values of more than one side."""

EQUAL_SIZE = "equal_size"
"""Why a sample of train is left out by which it would have more of them than what it is compared with."""

DROPPED_BY_RULE = {
    NO_DOMAIN: "what the split's domain is there is not told",
    TWO_DOMAINS: "of domains of two parts of the split",
    EQUAL_SIZE: "train has as many samples without it as what it is compared with",
    "mixed-to-test": "of the half of test that the control has in train",
}
"""Why a rule by domains leaves places out, for a person."""

TIERS: Tiers = (("test",), ("val",), ("train", "unlabelled"))
"""Those of most rules (`SplitRule.tiers`)."""


class Rule(SplitRule, ABC):
    """A rule of the split: a file of `pack/splits/`, with its keys, called as its tag is."""

    @abstractmethod
    def sides(self, places: Locations, recipe: Recipe) -> NDArray[np.str_]:
        """`train`, `val`, `test` or `buffer` of each place; of a child that of its root, and empty where that is not known.

        Raises:
            ConfigError: the rule says what these places cannot have.
        """

    def faults(self, samples: Mapping[str, Mapping[str, int]]) -> list[str]:
        """Why it makes no split of these samples, a line each: part → what its domain tells (empty text) → samples."""
        return []

    def leaks(self, samples: Mapping[str, Mapping[str, int]]) -> list[str]:
        """What of its parts is in another one, a line each; as of `faults`."""
        return []

    def notes(self, samples: Mapping[str, int]) -> list[str]:
        """What a person should know of a split of so many samples of each part, a line each."""
        return []

    @property
    def sized_as(self) -> Rule | None:
        """A rule that makes as many samples of train, where this one has to have as many; else None."""
        return None

    def to_size(self, samples: Mapping[str, str], size: int, seed: int) -> set[str]:
        """Ids of so many of its samples of train, of ids with what their domain tells."""
        raise NotImplementedError

    @property
    def season_domain(self) -> str | None:
        """The domain by which seasons of a sample may be of different parts; None where samples have all of theirs."""
        return None

    def keeps(self, part: str, text: str) -> bool:
        """Whether samples of a part have a season of which `season_domain` tells this."""
        return True

    def unmatched(self, places: Locations) -> list[str]:
        """What of the rule no place is like, most likely since it is misspelt: a line each, for a person."""
        return []

    def misspelt(self, path: Path, recipe: Recipe) -> list[str]:
        """What of the rule files of the user's tell to be no such thing, a line each, before anything is built.

        Args:
            path: of the recipe.
            recipe: whose rule this is.

        Raises:
            ConfigError: a file cannot be read.
        """
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
    part = np.where(is_val, VAL, TRAIN).astype("<U6")
    if is_test is not None:
        part[is_test] = TEST
    return keep_apart(places, part, recipe)


def keep_apart(places: Locations, part: NDArray[np.str_], recipe: Recipe, tiers: Tiers = TIERS) -> NDArray[np.str_]:
    """Parts of places, of which those are `buffer` that are too near to one of an earlier tier that stays; never reassigned.

    Args:
        places: roots, and maybe children, which are of their root's part.
        part: of each; that of a child is not looked at. What is of no tier stays as it is, and keeps nothing away.
        recipe: what they are of.
        tiers: of parts (`SplitRule.tiers`).
    """
    root = places.root_rows()
    is_root = root == np.arange(len(root))
    lon, lat = places.column("lon"), places.column("lat")
    out = part.astype(f"<U{max(part.dtype.itemsize // 4, len(BUFFER))}")
    apart = apart_rad(recipe.grid, recipe.split.buffer_km)
    for n, tier in enumerate(tiers[1:], 1):
        before = [name for t in tiers[:n] for name in t]
        mine, others = (np.flatnonzero(is_root & np.isin(out, of)) for of in (tier, before))
        near = nearest(lon[mine], lat[mine], lon[others], lat[others], apart)
        out[mine[near <= apart]] = BUFFER
    return np.where(root < 0, "", out[root])


def apart_rad(grid: GridSpec, buffer_km: float) -> float:
    """How far apart centres lie at least whose footprints have so much ground between them, radians."""
    return min((2 * reach_km(grid) + buffer_km) / EARTH_RADIUS_KM, math.pi)
