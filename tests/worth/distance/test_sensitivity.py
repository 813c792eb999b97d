"""What each measure sees of a known fault, and what it does not: the proof that the numbers mean something."""

from __future__ import annotations

import numpy as np
import pytest

from curation.worth.distance.estimate import Looks
from tests.benchmarks import distances

PLACES = 16
READ = ("auc", "mmd", "kid", "energy", "sliced", "coverage", "bands")
WHOLE = {"auc", "mmd", "kid", "energy", "sliced"}


@pytest.fixture(scope="module")
def made() -> tuple:
    """Features of 40 patches of two covers that are made up, and of the same with each fault."""
    clean, entries, other = distances.of_noise(40)
    return distances.all_of(clean, entries, other, "handmade")


def seen(made: tuple, fault: str) -> set[str]:
    """Measures that say, at 16 places a side, that the sides differ."""
    whole, wrong = made
    a, b = distances.sides(whole, wrong[fault], fault, PLACES, np.random.default_rng(3))
    assert set(a.places.tolist()).isdisjoint(b.places.tolist())
    p = distances.told_by(a, b, Looks(1, 199, 2), READ)
    return {m for m, value in p.items() if value <= 0.05}


def test_where_nothing_differs_nothing_is_seen(made):
    assert seen(made, "nothing") == set()


@pytest.mark.parametrize("fault", ["+1000 DN", "radar linear for dB", "another season", "blur of 1 px"])
def test_what_changes_what_a_patch_is_like_is_seen_by_all_that_look_at_all_numbers(made, fault: str):
    assert seen(made, fault) >= WHOLE


def test_haze_is_seen_by_the_classifier_and_by_bands(made):
    assert seen(made, "haze of 8 %") >= {"auc", "band_w1"}


def test_a_blur_is_in_no_bands_mean(made):
    assert seen(made, "blur of 1 px") & {"band_w1", "band_js"} == set()


def test_a_patch_that_lies_one_pixel_aside_is_the_same_kind_of_patch(made):
    assert seen(made, "whole patch 1 px aside") == set()


def test_samples_that_are_there_twice_are_told_as_such_and_by_nothing_that_looks_at_what_they_are_like(made):
    found = seen(made, "half of it twice")
    assert "duplicates" in found
    assert found & WHOLE == set()
