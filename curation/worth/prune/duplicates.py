"""The rule of copies: samples that share ground and look alike, or share it of the same scenes; one of them stays. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.places.grids import Floats, Ints
from curation.places.nearby import unit
from curation.worth.prune.neighbours import RADIUS_M, Values, apart, identical, near_pairs, nearest_elsewhere

EXACT, SHIFTED, OVERLAPPING, OTHER_DATE = "exact", "shifted", "overlapping", "other_date"
KINDS = (EXACT, SHIFTED, OVERLAPPING, OTHER_DATE)
"""The very same numbers, wherever they lie; half of the ground or more in common, of the same scenes; less than half of
it; half or more, of other scenes."""

MOST_ASKED = 2000
"""Samples whose most alike one elsewhere is looked for: the median of these is known well enough."""

SameScenes = Callable[[Ints, Ints], NDArray[np.bool_]]
"""Gives of pairs of samples whether both are of the same scenes."""


@dataclass(frozen=True, slots=True)
class DuplicateRule:
    """When two samples are copies."""

    least_overlap: float = 0.2
    """Least share of a footprint that both have in common."""
    same_overlap: float = 0.5
    """Of the same scenes so large a share is enough: what both have of the ground they have of the pixels."""
    alike: float = 1.0
    """Else they must be nearer, as numbers, than this share of how far the median sample is from the most alike one
    elsewhere."""


@dataclass(frozen=True, slots=True)
class Duplicates:
    """What the rule says of each sample [N]."""

    twin: Ints
    """Number of the sample that stays in place of it; -1 of what is no copy."""
    form: Ints
    """Position in `KINDS`; -1."""
    alike: Floats
    """How far, as numbers, the nearest sample is that it shares ground with; NaN where it shares with none."""
    overlap: Floats
    """Greatest share of its footprint that another has in common with it."""
    threshold: float
    """As near as which, as numbers, copies are."""


def overlaps(lon: Floats, lat: Floats, side_m: Floats, a: Ints, b: Ints) -> Floats:
    """Share of the smaller footprint that two have in common, of each pair [P]: squares with sides to the north.

    That they lie in two zones, and are turned by a few degrees, is not looked at.
    """
    east = (lon[b] - lon[a] + 540) % 360 - 180
    dx = np.radians(np.abs(east)) * RADIUS_M * np.cos(np.radians((lat[a] + lat[b]) / 2))
    dy = np.radians(np.abs(lat[b] - lat[a])) * RADIUS_M
    small, reach = np.minimum(side_m[a], side_m[b]), (side_m[a] + side_m[b]) / 2
    wide, high = (np.clip(reach - d, 0, small) / small for d in (dx, dy))
    return np.asarray(wide * high)


def threshold(values: Values, lon: Floats, lat: Floats, side_m: Floats, rule: DuplicateRule, seed: int) -> float:
    """As near as which, as numbers, copies are: a share of how near the median sample is to the most alike one elsewhere.

    So it follows from the data, and not from how many copies are in them (these share ground, or are exact), nor from up to
    half of the samples that have a look-alike far away.
    """
    asked = np.arange(len(values))
    if len(asked) > MOST_ASKED:
        asked = np.sort(np.random.default_rng(seed).choice(len(values), MOST_ASKED, replace=False))
    reach = float(np.sqrt(2) * side_m.max(initial=0))
    found = nearest_elsewhere(values, unit(lon, lat), asked, reach)
    found = found[np.isfinite(found)]
    return rule.alike * float(np.median(found)) if len(found) else 0.0


def duplicates(
    values: Values,
    lon: Floats,
    lat: Floats,
    side_m: Floats,
    stays: NDArray[np.bool_],
    order: Ints,
    rule: DuplicateRule,
    same_scenes: SameScenes,
    seed: int,
    known: NDArray[np.bool_] | None = None,
) -> Duplicates:
    """Which samples are copies of one that stays: each is a copy of its twin itself, not of a copy of it.

    Args:
        values: standardised [N, D].
        lon: degrees, of centres [N].
        lat: degrees [N].
        side_m: of footprints [N].
        stays: samples that are never left out [N]: of two such neither is.
        order: rank of each sample; of two copies the one of lower rank stays [N].
        rule: when two are copies.
        same_scenes: tells dates apart; asked of what shares ground alone.
        seed: of the samples by which the threshold is found.
        known: samples that there are numbers of [N], all where it is None: of no other is it told what it is like.
    """
    known = np.ones(len(values), bool) if known is None else known
    limit = threshold(values[known], lon[known], lat[known], side_m[known], rule, seed)
    alike, most = np.full(len(values), np.nan), np.zeros(len(values))
    group = np.arange(len(values))
    group[known] = group[known][identical(values[known])]
    pairs = [_themselves(group)]
    for a, b in near_pairs(lon, lat, float(np.sqrt(2) * side_m.max(initial=0))):
        shared = overlaps(lon, lat, side_m, a, b)
        a, b, shared = a[shared > 0], b[shared > 0], shared[shared > 0]
        far = np.where(known[a] & known[b], apart(values, a, b), np.nan)
        for its in (a, b):
            np.fmin.at(alike, its, far)
            np.maximum.at(most, its, shared)
        asked = (shared >= rule.least_overlap) & ~(stays[a] & stays[b])
        alike_enough = far <= limit
        unsure = np.flatnonzero(asked & ~alike_enough & (shared >= rule.same_overlap))
        alike_enough[unsure] = same_scenes(a[unsure], b[unsure])
        near = asked & alike_enough
        pairs.append((a[near], b[near]))
    first, second = (np.concatenate([p[k] for p in pairs]) for k in (0, 1))
    twin = _left_out(first, second, group, stays, order)
    out = np.flatnonzero(twin >= 0)
    form = np.full(len(values), -1, np.int64)
    exact = group[out] == group[twin[out]]
    form[out] = _kinds(exact, overlaps(lon, lat, side_m, out, twin[out]), same_scenes(out, twin[out]))
    return Duplicates(twin, form, alike, most, limit)


def _themselves(group: Ints) -> tuple[Ints, Ints]:
    """Each exact copy with itself, which has `_left_out` look for the one of its group that stays."""
    its = np.flatnonzero(np.bincount(group, minlength=len(group))[group] > 1)
    return its, its


def _left_out(a: Ints, b: Ints, group: Ints, stays: NDArray[np.bool_], order: Ints) -> Ints:
    """Twin of each sample that is left out, else -1: in order, who is a copy of none that stays so far stays.

    Exact copies look first for the one of their group that stays, which is another where the first is itself left out.
    """
    twin = np.full(len(group), -1, np.int64)
    rank, staying = np.where(stays, -1, order), dict[int, int]()
    low, high = np.where(rank[a] <= rank[b], a, b), np.where(rank[a] <= rank[b], b, a)
    by = np.lexsort((rank[low], low != high, rank[high]))
    for one, other in zip(low[by].tolist(), high[by].tolist(), strict=True):
        if one == other:
            its = int(group[other])
            if twin[staying.setdefault(its, other)] >= 0:
                staying[its] = other
            one = staying[its]
            if one == other:
                continue
        if twin[other] < 0 and twin[one] < 0 and not stays[other]:
            twin[other] = one
    return twin


def _kinds(exact: NDArray[np.bool_], shared: Floats, same: NDArray[np.bool_]) -> Ints:
    """Position in `KINDS` of each pair."""
    names = np.select([exact, shared < 0.5, same], [0, 2, 1], 3)
    return np.asarray(names, np.int64)
