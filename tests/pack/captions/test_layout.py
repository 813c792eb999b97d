"""Where a class is said to lie, against masks whose place is known."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from curation.pack.captions import layout
from curation.pack.captions.layout import position

SIDE = 100
ROW, COL = np.mgrid[:SIDE, :SIDE]


def test_halves_and_quarters_lie_where_they_are():
    halves = {"north": ROW < 50, "south": ROW >= 50, "west": COL < 50, "east": COL >= 50}
    for name, mask in halves.items():
        assert position(mask) == name
    for ns in ("north", "south"):
        for ew in ("west", "east"):
            assert position(halves[ns] & halves[ew]) == f"{ns}-{ew}"


def test_what_is_everywhere_lies_in_no_direction():
    rng = np.random.default_rng(1)
    assert position(rng.random((SIDE, SIDE)) < 0.3) == layout.THROUGHOUT
    assert position((ROW + COL) % 2 == 0) == layout.THROUGHOUT
    assert position(np.ones((SIDE, SIDE), bool)) == layout.THROUGHOUT


def test_a_lean_to_one_side_is_no_place():
    rng = np.random.default_rng(1)
    lopsided = rng.random((SIDE, SIDE)) < np.where(ROW < 50, 0.4, 0.25)  # 62 % of it in the north
    assert position(lopsided) is None or position(lopsided) == layout.THROUGHOUT
    two_corners = ((ROW < 30) & (COL < 30)) | ((ROW >= 70) & (COL >= 70))
    assert position(two_corners) is None
    assert position((ROW < 30) & ((COL < 30) | (COL >= 70))) is None  # nor is what lies in two corners of one side


def test_the_middle_and_what_is_around_it():
    middle = (abs(ROW - 49.5) < 20) & (abs(COL - 49.5) < 20)
    assert position(middle) == layout.CENTRE
    assert position(~middle) in (None, layout.THROUGHOUT)


def test_a_few_pixels_lie_nowhere():
    tiny = np.zeros((SIDE, SIDE), bool)
    tiny[:5, :9] = True  # 45
    assert position(tiny) is None
    tiny[5, :9] = True
    assert position(tiny) == "north-west"


@given(
    row=st.integers(0, 80), col=st.integers(0, 80), high=st.integers(10, 60), wide=st.integers(10, 60),
    more=st.integers(0, 3),
)  # fmt: skip
def test_whatever_is_said_most_of_the_class_lies_there(row: int, col: int, high: int, wide: int, more: int):
    mask = (row <= ROW) & (row + high > ROW) & (col <= COL) & (col + wide > COL)
    mask |= np.random.default_rng(row + col).random((SIDE, SIDE)) < more / 40
    where = position(mask)
    sides = {"north": ROW < 50, "south": ROW >= 50, "west": COL < 50, "east": COL >= 50}
    if where in (None, layout.THROUGHOUT, layout.CENTRE):
        return
    there = np.all([sides[part] for part in where.split("-")], axis=0)
    assert mask[there].sum() >= 0.6 * mask.sum()
    mirrored = {"north": "south", "south": "north"}
    expected = "-".join(mirrored.get(part, part) for part in where.split("-"))
    assert position(mask[::-1]) == expected


@pytest.mark.parametrize(
    ("x", "y", "side"), [(0, 1, "north"), (1, 1, "north-east"), (-1, 0, "west"), (1, -1, "south-east")]
)
def test_the_compass(x: float, y: float, side: str):
    assert layout.towards(x, y) == side
