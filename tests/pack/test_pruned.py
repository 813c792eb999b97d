"""Decisions are of the very samples, pixels and recipe that were judged, and of no others."""

from typing import Any

import pytest

from curation.errors import ConfigError
from curation.pack import pruned
from curation.pack.pruned import Decisions


@pytest.fixture
def decisions() -> Decisions:
    info: Any = {"of": {"pixels_digest": "aa", "release_digest": "bb"}, "dropped": {"crowded": 1}}
    return Decisions("there", info, "cc", {"a": "", "b": "crowded", "c": ""})


def test_the_samples_that_were_judged_are_taken_in_whatever_order(decisions):
    decisions.check_samples(["c", "a", "b"], "aa")
    decisions.check_release("bb")
    assert decisions.out == {"b": "crowded"}


@pytest.mark.parametrize(
    ("ids", "pixels", "said"),
    [
        ("abc", "ab", "is of pixels aa…, these are ab…"),
        ("abcd", "aa", r"1 sample \(d …\) would be packed that were not judged"),
        ("ab", "aa", r"1 sample \(c …\) that were judged would be no samples now"),
    ],
)
def test_other_samples_or_pixels_are_refused(decisions, ids, pixels, said):
    with pytest.raises(ConfigError, match=said):
        decisions.check_samples(ids, pixels)


def test_another_release_is_refused(decisions):
    with pytest.raises(ConfigError, match="is of release bb…, the recipe is of bc…"):
        decisions.check_release("bc")


def test_a_release_without_decisions_has_the_digest_of_its_recipe():
    assert pruned.release_digest("bb", None) == "bb"
    assert len({"bb", pruned.release_digest("bb", "cc"), pruned.release_digest("bb", "cd")}) == 3


def test_reasons_are_codes_with_or_without_more():
    assert [pruned.is_reason(r) for r in ("crowded", "duplicate:exact", "cloudy", "duplicates", None)] == [
        True,
        True,
    ] + [False] * 3
