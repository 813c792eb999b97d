"""What of a release the rules are given, where it takes no release to show it."""

from __future__ import annotations

import pytest

from curation.worth.prune.gather import agree

SUMMER, OTHER_SUMMER = ("summer", "s2", "2021-07-01"), ("summer", "s2", "2021-07-06")
WINTER, RADAR = ("winter", "s2", "2021-01-01"), ("summer", "s1", "2021-07-02")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({SUMMER}, {SUMMER}, True),
        ({SUMMER}, {OTHER_SUMMER}, False),
        ({SUMMER, WINTER}, {SUMMER, RADAR}, True),
        ({SUMMER}, {SUMMER, OTHER_SUMMER}, False),
        ({SUMMER}, {WINTER}, False),
        ({SUMMER}, {RADAR}, False),
        ({SUMMER}, set(), False),
        (set(), set(), True),
    ],
)
def test_samples_without_a_scene_in_common_are_of_other_scenes(one: set, other: set, same: bool):
    assert agree(frozenset(one), frozenset(other)) is same
    assert agree(frozenset(other), frozenset(one)) is same
