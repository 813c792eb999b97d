"""Confident learning: worked out by hand, and a confusion that was put in is found again."""

import numpy as np
import pytest

from curation.worth.prune import labels
from curation.worth.prune.labels import UNKNOWN


def test_confident_learning_worked_out_by_hand():
    # Labelled 0: 0.9, 0.8, 0.1 of class 0 → believed from 0.6 on. Labelled 1: 0.9, 0.7 of class 1 → from 0.8 on.
    labelled = np.array([0, 0, 0, 1, 1, UNKNOWN])
    p = np.array([0.9, 0.8, 0.1, 0.1, 0.3, 0.0])
    its = labels.confident(labelled, np.column_stack([p, 1 - p]))
    assert its.thresholds == pytest.approx([0.6, 0.8])
    # Counted: 0 as 0 twice, 0 as 1 once (0.9 of class 1), 1 as 1 once (0.7 is less than 0.8): scaled to 3 and 2 samples.
    assert its.joint == pytest.approx(np.array([[2, 1], [0, 2]]) / 5)
    assert its.suspect.tolist() == [False, False, True, False, False, False]
    assert its.margin[:5] == pytest.approx([0.8, 0.6, -0.8, 0.8, 0.4])
    assert np.isnan(its.margin[5])


def noisy(rng, confusion, n=6000, sharp=4.0):
    classes = len(confusion)
    truth = rng.choice(classes, n, p=[0.6, 0.3, 0.1])
    labelled = np.array([rng.choice(classes, p=confusion[t]) for t in truth])
    scores = rng.normal(size=(n, classes)) + sharp * np.eye(classes)[truth]
    p = np.exp(scores)
    return truth, labelled, p / p.sum(axis=1, keepdims=True)


def test_a_confusion_that_was_put_in_is_found_again():
    rng = np.random.default_rng(0)
    confusion = np.array([[0.9, 0.1, 0.0], [0.0, 0.95, 0.05], [0.2, 0.0, 0.8]])
    truth, labelled, p = noisy(rng, confusion)
    its = labels.of_one(labelled, p)
    joint = labels.confident(labelled, p).joint
    put_in = np.array([[((truth == t) & (labelled == s)).mean() for t in range(3)] for s in range(3)])
    assert joint == pytest.approx(put_in, abs=0.02)
    wrong = truth != labelled
    assert (its.suspect & wrong).sum() / wrong.sum() > 0.8
    assert (its.suspect & wrong).sum() / its.suspect.sum() > 0.9


def test_of_clean_labels_that_a_probe_knows_well_hardly_any_are_suspected():
    truth, labelled, p = noisy(np.random.default_rng(1), np.eye(3))
    assert (truth == labelled).all()
    assert labels.of_one(labelled, p).suspect.mean() < 0.01


def test_each_of_several_classes_is_a_question_of_its_own_and_what_all_have_is_none():
    rng = np.random.default_rng(2)
    truth = rng.random((3000, 3)) < [0.5, 0.2, 2.0]  # the last is always there
    flipped = rng.random((3000, 3)) < [0.08, 0.0, 0.0]
    present = (truth ^ flipped).astype(np.float32)
    present[:100, 1] = np.nan
    p = np.clip(np.where(truth, 0.9, 0.1) + rng.normal(0, 0.02, truth.shape), 0.01, 0.99)
    its = labels.of_several(present, p)
    wrong = flipped[:, 0]
    assert (its.suspect & wrong).sum() / wrong.sum() > 0.9
    assert (its.suspect & wrong).sum() / its.suspect.sum() > 0.9
    assert (its.doubted[its.suspect & wrong] == 0).all()
    assert np.isnan(its.noise[2])
    assert its.noise[0] == pytest.approx(0.08, abs=0.02)


def test_no_class_loses_more_than_it_may_and_the_worst_go_first():
    member = np.eye(2, dtype=bool)[np.repeat([0, 1], [90, 10])]
    suspect = np.r_[np.arange(90) < 9, np.ones(10, bool)]
    margin = -np.arange(100.0)
    left = labels.spared(suspect, margin, member, 0.2)
    assert left[:90].sum() == 9
    assert np.flatnonzero(left[90:]).tolist() == [8, 9]
    assert not labels.spared(suspect, margin, member, 0).any()
    assert (labels.spared(suspect, margin, member, 1) == suspect).all()


def test_what_a_probe_is_not_sure_of_is_not_suspected():
    labelled = np.repeat([0, 1], 50)
    p = np.r_[np.full(45, 0.9), np.full(5, 0.3), np.full(50, 0.35)]  # the five are believed to be 1, by 0.4
    probability = np.column_stack([p, 1 - p])
    assert not labels.of_one(labelled, probability).suspect.any()
    assert labels.of_one(labelled, probability, sure_by=0.3).suspect.nonzero()[0].tolist() == [45, 46, 47, 48, 49]
