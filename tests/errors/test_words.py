"""What a person is told who has misspelt a name, or said a part of it."""

import pytest

from curation.errors.words import did_you_mean

FACTS = ("s2l2a_clear_fraction", "dem_warped", "clear_fraction", "warped")


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("warpped", "did you mean warped or dem_warped? "),
        ("clear", "did you mean s2l2a_clear_fraction or clear_fraction? "),
        ("cl", ""),
        ("", ""),
        ("nothing", ""),
    ],
)
def test_what_is_near_or_holds_what_was_asked_is_told(asked: str, told: str):
    assert did_you_mean(asked, FACTS, n=2) == told
