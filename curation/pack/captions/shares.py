"""How much of a picture each class covers, as it is seen in its season, and which classes are named. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curation.pack.annotations import refined_labels
from curation.pack.annotations.refined_labels import Refined
from curation.pack.subject import Subject
from curation.recipe.refine import RefineSpec

__all__ = ["NOISE_FLOOR", "seen", "shares_of"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

NOISE_FLOOR = 0.25 / 8
"""Least share of a class that is named whatever the recipe says: of nine classes, with a quarter of the pixels mistaken for
one of the other eight, one that is not there at all has so much."""


def shares_of(sample: Subject, seasons: list[str]) -> tuple[Floats, Bools]:
    """Share of each label, and whether it is named: refined where there are two maps, else of the map that there is.

    Of several seasons a class is named that the ground has in each, and its share is the mean of what is seen of it. Those
    of all that are named add up to 1 at most.
    """
    floor = max(sample.rules.min_fraction, NOISE_FLOOR)
    if (refined := refined_labels.of_sample(sample)) is not None:
        rows = [list(sample.season_names).index(s) for s in seasons]
        known = [r for r in rows if not np.isnan(refined.fraction[r]).all()]
        if known:
            shares = seen(refined, sample.label_names, sample.rules.refine)[known].mean(axis=0)
            with np.errstate(invalid="ignore"):
                there = (refined.present[known] == 1) & (refined.fraction[known] >= floor)
            return shares, np.asarray(there.all(axis=0) & (shares >= floor))
    return _of_one_map(sample, seasons, floor)


def seen(refined: Refined, names: tuple[str, ...], rule: RefineSpec) -> Floats:
    """Share of each label that is seen in each season, (season, label), 0 where unknown; a season's add up to 1 at most.

    Refined labels are of the ground, also beneath what passes (snow), and of stable ones they are the mean of all seasons.
    What passes is seen whole; of the rest changing labels (a flood) are seen whole, and stable ones as far as these leave
    room; and all of the rest as far as what passes leaves room.
    """
    passing, stable = (np.array([n in of for n in names], bool) for of in (rule.passing, rule.stable))
    shares = np.nan_to_num(refined.fraction)
    rest = np.where(passing, 0, shares)
    changing = np.where(stable, 0, rest)
    room = 1 - changing.sum(axis=1, keepdims=True)
    ground = changing + _within(np.where(stable, rest, 0), room)
    above = np.where(passing, shares, 0)
    out: Floats = above + ground * np.clip(1 - above.sum(axis=1, keepdims=True), 0, 1)
    return out


def _within(shares: Floats, room: Floats) -> Floats:
    """Shares, (season, label), made smaller alike where they add up to more than there is room for, (season, 1)."""
    total = shares.sum(axis=1, keepdims=True)
    room = np.clip(room, 0, 1)
    out: Floats = np.where(total > room, shares * room / np.where(total > 0, total, 1), shares)
    return out


def _of_one_map(sample: Subject, seasons: list[str], floor: float) -> tuple[Floats, Bools]:
    """Of one season its own map's, or else the year's; of several the year's, or else the mean of theirs."""
    names = sample.label_names
    found = [sample.fractions(None)] if len(seasons) != 1 else [sample.fractions(seasons[0]), sample.fractions(None)]
    found = [f for f in found if f][:1] or [f for s in seasons if (f := sample.fractions(s))]
    if not found:  # of a recipe without labels, too
        return np.zeros(0), np.zeros(0, bool)
    table = np.array([[its[n] for n in names] for its in found], np.float64)
    return table.mean(axis=0), np.asarray((table >= floor).all(axis=0))
