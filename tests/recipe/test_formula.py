"""Formulas over bands: a grammar, and nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.recipe import formula

A, B = np.array([0.2, 0.4, np.nan, 0.0]), np.array([0.1, -0.4, 1.0, 0.0])
VALUES = {"s2.b08": A, "s2.b04": B, "hls-l30.b05": A}


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("(s2.b08 - s2.b04) / (s2.b08 + s2.b04)", [0.1 / 0.3, np.nan, np.nan, np.nan]),
        ("2.5 * (s2.b08 - s2.b04) / (s2.b08 + 6 * s2.b04 + 1)", [2.5 * 0.1 / 1.8, -2, np.nan, 0]),
        ("'hls-l30.b05' * 1e1", [2, 4, np.nan, 0]),
        ("-s2.b08 ** 2", [-(0.2**2), -(0.4**2), np.nan, 0]),
        ("s2.b08 ** 0", [1, 1, np.nan, 1]),  # a pixel without data has no value, whatever arithmetic says of it
        ("1 ** s2.b08", [1, 1, np.nan, 1]),
        ("sqrt(s2.b04)", [0.1**0.5, np.nan, 1, 0]),
        ("10 * log10(max(s2.b08, s2.b04))", [10 * np.log10(0.2), 10 * np.log10(0.4), np.nan, np.nan]),
        ("min(abs(s2.b04), 0.2) + exp(+s2.b08 * 0) - log(1 + 0 * s2.b04)", [1.1, 1.2, np.nan, 1]),
        ("s2.b08 * 1e308 * 1e308", [np.nan, np.nan, np.nan, 0]),
    ],
)
def test_a_formula_is_arithmetic_where_there_is_data_and_a_number(text: str, want):
    np.testing.assert_allclose(formula.calculated(text, VALUES), want, rtol=1e-12)


def test_bands_are_named_once_in_order():
    text = "(s2.b08 - 's2.b04') / (s2.b08 + s2.b04)"
    assert formula.bands(text) == ("s2.b08", "s2.b04")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("__import__('os').system('true')", "is nothing that a formula may have"),
        ("s2.b08.__class__()", "is nothing that a formula may have"),
        ("(lambda: s2.b08)()", "is nothing that a formula may have"),
        ("[x for x in s2.b08]", "is nothing that a formula may have"),
        ("s2.b08 if s2.b04 else 0", "is nothing that a formula may have"),
        ("s2.b08 < s2.b04", "is nothing that a formula may have"),
        ("s2.b08 % 2", "is nothing that a formula may have"),
        ("b08 - s2.b04", "'b08' is nothing that a formula may have"),
        ("s2.b08[0]", "is nothing that a formula may have"),
        ("(s2 + 1).b08", "is no canonical name"),
        ("s2.b08 + True", "is nothing that a formula may have"),
        ("s2.b08 + 2j", "is nothing that a formula may have"),
        ("s2.b08 + b'x'", "is nothing that a formula may have"),
        ("min(s2.b08)", "has 1 values, min takes 2"),
        ("sqrt(s2.b08, where=s2.b04)", "is nothing that a formula may have"),
        ("max(*s2.b08)", "takes 2"),
        ("s2.b08 + 1e999", "is no finite number"),
        ("s2.b08 + " + "9" * 400, "is no finite number"),
        ("s2.b08 +", "is no formula"),
        ("s2.b08; s2.b04", "is no formula"),
        ("x := s2.b08", "is no formula"),
        ("s2.b08\0", "is no formula"),
        ("1 + 1", "has no band"),
        ("", "is no formula"),
        ("-" * 300 + "s2.b08", "more than 40 things within one another"),
        ("(" * 240 + "s2.b08" + ")" * 240, "is no formula"),
        ("s2.b08" + " + s2.b08" * 100, "expected at most 500"),
    ],
)
def test_what_is_no_formula_is_refused_and_never_executed(text: str, said: str):
    with pytest.raises(ValueError, match=said):
        formula.bands(text)


@given(st.text(alphabet="s2.b48+-*/() ,'1e_ax[]{}:=\\\n\"#@", max_size=60))
def test_any_text_is_a_formula_or_a_value_error(text: str):
    try:
        names = formula.bands(text)
    except ValueError:
        return
    found = formula.calculated(text, dict.fromkeys(names, A))
    assert np.isfinite(found[~np.isnan(found)]).all()
    assert np.isnan(np.broadcast_to(found, A.shape)[2])
