"""The rule of wrong labels: confident learning, by what a probe says that has not seen the place. Pure.

Northcutt, Jiang and Chuang, "Confident Learning" (JAIR 70, 2021): a class is believed of a sample where its probability is
at least what it is on average of the samples labelled so; what is believed and what is labelled are counted against each
other, and as many are suspected as these counts say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.places.grids import Floats, Ints

SURE = 0.5
"""By how much likelier than the label another class has to be: a probe errs, too, and what it is unsure of says little."""

UNKNOWN = -1
"""The class of a sample without a label."""


@dataclass(frozen=True, slots=True)
class Confident:
    """What confident learning says of N samples and C classes."""

    thresholds: Floats
    """Class → mean probability of it among those labelled so [C]; NaN of a class that nothing is labelled as."""
    joint: Floats
    """Labelled as, believed to be → share of the samples [C, C]; sums to 1."""
    suspect: NDArray[np.bool_]
    """[N]."""
    margin: Floats
    """Probability of the label less that of the likeliest other class [N]; NaN without a label. The lower, the worse."""
    likely: Ints
    """The likeliest class [N]."""


def confident(labelled: Ints, probability: Floats, sure_by: float = SURE) -> Confident:
    """Confident learning, of samples of one class each.

    A sample is suspected where another class is believed of it, and it is among the worst of its class by margin, of which
    there are as many as the joint counts say, and that other class is likelier by a good deal.

    Args:
        labelled: class of each sample [N], `UNKNOWN` where it has none; these are never suspected, nor is one of which the
            model says nothing (NaN).
        probability: of each class [N, C], by a model that has not been fitted on the sample or its surroundings.
        sure_by: by how much likelier than the label another class has to be.
    """
    n, classes = probability.shape
    known = (labelled != UNKNOWN) & np.isfinite(probability).all(axis=1)
    counts = np.bincount(labelled[known], minlength=classes)
    own = probability[np.arange(n), np.maximum(labelled, 0)]
    with np.errstate(invalid="ignore"):
        thresholds = np.bincount(labelled[known], own[known], minlength=classes) / np.where(counts, counts, np.nan)
    believed = np.where(probability >= thresholds, probability, -np.inf)  # of NaN nothing is
    best = np.where(np.isfinite(believed).any(axis=1), believed.argmax(axis=1), UNKNOWN)
    sure = known & (best != UNKNOWN)
    joint = _joint(labelled[sure], best[sure], counts)
    others = probability.copy()
    others[np.arange(n)[known], labelled[known]] = -np.inf
    margin = np.where(known & (classes > 1), own - others.max(axis=1), np.nan)
    wrong = sure & (best != labelled) & (margin <= -sure_by)
    total = int(known.sum())
    suspect = np.zeros(n, bool)
    for name in range(classes):
        most = round(total * float(joint[name].sum() - joint[name, name]))
        mine = np.flatnonzero(known & (labelled == name))
        worst = mine[np.argsort(margin[mine], kind="stable")[:most]]
        suspect[worst] = wrong[worst]
    return Confident(thresholds, joint, suspect, margin, np.asarray(probability.argmax(axis=1), np.int64))


def _joint(labelled: Ints, believed: Ints, counts: Ints) -> Floats:
    """The joint distribution: what is counted, each row scaled to as many as are labelled so, all of it to 1."""
    classes = len(counts)
    pairs = np.bincount(labelled * classes + believed, minlength=classes**2).reshape(classes, classes).astype(float)
    lone = (pairs.sum(axis=1) == 0) & (counts > 0)
    pairs[lone, lone] = 1  # of a class that nothing is believed to be, labels stand
    scaled = pairs / np.maximum(pairs.sum(axis=1, keepdims=True), 1e-300) * counts[:, None]
    return np.asarray(scaled / max(scaled.sum(), 1e-300))


@dataclass(frozen=True, slots=True)
class Mislabelled:
    """What the rule says of each sample [N]."""

    suspect: NDArray[np.bool_]
    margin: Floats
    """Of samples of several classes that of the worst; NaN without a label."""
    doubted: Ints
    """The class whose presence or absence is the likeliest to be wrong; of samples of one class their label."""
    noise: Floats
    """Class → share of the samples labelled so that are believed to be none; of several, also those that lack it [C]."""


def of_one(labelled: Ints, probability: Floats, sure_by: float = SURE) -> Mislabelled:
    """The rule for samples of one class each."""
    its = confident(labelled, probability, sure_by)
    rows = its.joint.sum(axis=1)
    noise = 1 - np.diag(its.joint) / np.where(rows > 0, rows, np.nan)
    return Mislabelled(its.suspect, its.margin, labelled.copy(), noise)


def of_several(present: NDArray[np.float32], probability: Floats, sure_by: float = SURE) -> Mislabelled:
    """The rule for samples of several classes: each is a question of its own, and one wrong answer makes a sample wrong.

    Args:
        present: 1 or 0, NaN where it is not known [N, C].
        probability: that each is present [N, C].
        sure_by: as of `confident`.
    """
    n, classes = present.shape
    suspect, margins, noise = np.zeros((n, classes), bool), np.full((n, classes), np.nan), np.full(classes, np.nan)
    for name in range(classes):
        known = np.isfinite(present[:, name]) & np.isfinite(probability[:, name])
        if len(np.unique(present[known, name])) < 2:
            continue  # nothing can be learned of what all samples have, or none
        labelled = np.where(known, present[:, name] > 0, UNKNOWN).astype(np.int64)
        its = confident(labelled, np.column_stack([1 - probability[:, name], probability[:, name]]), sure_by)
        suspect[:, name], margins[:, name] = its.suspect, its.margin
        noise[name] = its.joint[0, 1] + its.joint[1, 0]
    filled = np.where(np.isnan(margins), np.inf, margins)
    worst = filled.argmin(axis=1)
    margin = filled[np.arange(n), worst]
    return Mislabelled(np.asarray(suspect.any(axis=1)), np.where(np.isinf(margin), np.nan, margin), worst, noise)


def spared(suspect: NDArray[np.bool_], margin: Floats, member: NDArray[np.bool_], most: float) -> NDArray[np.bool_]:
    """The suspects that are left when no class may lose more than a share of its samples: rare ones go first otherwise.

    Args:
        suspect: [N].
        margin: the lower, the worse [N].
        member: whether a sample is of a class [N, C].
        most: of each class, a share; the worst of it go, and who is of several classes only where all of them have room.
    """
    left = np.floor(member.sum(axis=0) * most + 1e-9).astype(np.int64)
    out = np.zeros(len(suspect), bool)
    rows = np.flatnonzero(suspect)
    for row in rows[np.argsort(margin[rows], kind="stable")]:
        if (left[member[row]] > 0).all():
            left[member[row]] -= 1
            out[row] = True
    return out
