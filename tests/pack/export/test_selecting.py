"""Conditions: what they say of values of each type, and what is no condition."""

import datetime as dt
from pathlib import Path

import numpy as np
import pytest

from curation.errors import ConfigError
from curation.pack.export.selecting import all_hold, check_known, conditions, plain


@pytest.mark.parametrize(
    ("text", "value", "holds"),
    [
        ("a = x", "x", True),
        ("a='x y'", "x y", True),
        ("a != x", "y", True),
        ("a != x", None, True),
        ("a = x", None, False),
        ("a < 2", None, False),
        ("a >= 0.95", 0.95, True),
        ("a>=0.95", 0.9499, False),
        ("a = 3", np.float32(3), True),
        ("a < 10", 9, True),  # as numbers, not as text
        ("a in x,y", "y", True),
        ("a in 1, 2", 2.0, True),
        ("a = Trees", ["Water", "Trees"], True),
        ("a != Trees", ["Water"], True),
        ("a in Trees,Crops", ["Water"], False),
        ("a = true", True, True),
        ("a = false", True, False),
        ("a >= 2021-07-01", "2021-07-10T10:30:00Z", True),
        ("a < 2021-07-01", dt.datetime(2021, 7, 10, tzinfo=dt.UTC), False),
    ],
)
def test_a_condition_says_of_a_value_what_it_says(text: str, value: object, holds: bool):
    assert all_hold(conditions([text]), {"a": value}) is holds


def test_all_conditions_have_to_hold():
    both = conditions(["a > 1", "b = x"])
    assert all_hold(both, {"a": 2, "b": "x"})
    assert not all_hold(both, {"a": 2, "b": "y"})


def test_in_takes_the_lines_of_a_file_that_there_is(tmp_path: Path):
    (tmp_path / "ids.txt").write_text("one\n two \n\none\n")
    (found,) = conditions([f"id in {tmp_path / 'ids.txt'}"])
    assert found.values == ("one", "two")
    assert found.holds("two")


def test_facts_are_compared_as_people_write_them():
    assert plain("s2l2a_time", 1625913000.0004) == "2021-07-10T10:30:00Z"
    assert plain("reason", "") is None
    assert plain("shares", np.array([0.5, 1.0])) == [0.5, 1.0]


@pytest.mark.parametrize(
    "text", ["", "a", "a = ", "= 1", "a == 1", "__import__('os').system('x')", "a in ,", "a ~ b", "a b = c"]
)
def test_what_is_no_condition_is_refused_and_nothing_of_it_is_run(text: str):
    with pytest.raises(ConfigError, match="expected NAME = VALUE"):
        conditions([text])


def test_what_cannot_be_compared_or_is_not_known_is_told():
    for text, value in (("a < x", 1.0), ("a = x", True), ("a < 1", [1])):
        with pytest.raises(ConfigError, match="--select a"):
            all_hold(conditions([text]), {"a": value})
    with pytest.raises(ConfigError, match="says nothing of 'clear'; did you mean clearer"):
        check_known(conditions(["clear > 1"]), {"clearer", "id"}, "it")


def test_in_takes_as_many_values_as_are_written() -> None:
    names = tuple(f"utm32n-{n}" for n in range(100))
    assert conditions([f"id in {','.join(names)}"])[0].values == names


def test_a_mark_of_byte_order_is_no_part_of_a_value(tmp_path: Path) -> None:
    path = tmp_path / "ids.txt"
    path.write_bytes("\ufeffone\ntwo\n".encode())
    assert conditions([f"id in {path}"])[0].values == ("one", "two")


def test_a_file_of_values_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ids.txt"
    path.write_bytes(b"\xff\xfeo\x00")
    with pytest.raises(ConfigError, match=r"--select: .*ids\.txt: not UTF-8"):
        conditions([f"id in {path}"])
