"""Rows of facts as one object: what comes back is what a column of these values has, to the last bit."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.cubes import rows as of_rows
from curation.cubes.chunks import UNDECODED, decode_chunk, encode_chunk
from curation.recipe.facts import Fact

FACTS = [
    Fact("status", "uint8", "a flag"),
    Fact("orbit", "int16", "a number"),
    Fact("share", "float32", "a share"),
    Fact("time", "time", "a time"),
    Fact("reason", "string", "text"),
    Fact("classes", "float32", "shares", "class", ("a", "b", "c")),
    Fact("scene", "string", "of each step", "step", count=3),
    Fact("gap", "int16", "of each step", "step", count=3),
]
TEXT = st.text(st.characters(codec="utf-8"), max_size=9)
NUMBER = {
    "uint8": st.integers(0, 255),
    "int16": st.integers(-(2**15), 2**15 - 1),
    "float32": st.floats(width=32),
    "time": st.floats(),
    "string": TEXT,
}
ROWS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            f.name: st.none() | (st.lists(st.none() | NUMBER[f.type], max_size=3) if f.axis else NUMBER[f.type])
            for f in FACTS
        },
    ),
    max_size=4,
)


@given(ROWS)
def test_what_comes_back_is_what_was_given_to_the_last_bit(rows):
    stored = of_rows.encode(rows, FACTS, 5)
    assert of_rows.encode([dict(reversed(r.items())) for r in rows], FACTS, 5) == stored
    found = of_rows.columns(stored, FACTS, 5)
    for fact in FACTS:
        expected = fact.column([r.get(fact.name) for r in rows], 5)
        assert (found[fact.name].dtype, found[fact.name].shape) == (expected.dtype, expected.shape)
        assert fact.cells(found[fact.name]) == fact.cells(expected)


def test_rows_are_json_that_says_what_was_measured_alone():
    row = {"status": 1, "share": np.float32(0.1), "time": math.nan, "reason": "ok", "classes": [0.5, None, None]}
    stored = of_rows.encode([row, {}], FACTS, 3)
    texts = decode_chunk(stored, (3,), "str").tolist()
    assert [json.loads(t) if t else None for t in texts] == [
        {"status": 1, "share": float(np.float32(0.1)), "reason": "ok", "classes": [0.5]},
        {},
        None,
    ]


def test_infinity_which_json_has_not_comes_back():
    stored = of_rows.encode([{"share": math.inf, "time": -math.inf, "classes": [math.inf, None, 1.0]}], FACTS, 1)
    found = of_rows.columns(stored, FACTS, 1)
    assert (found["share"][0], found["time"][0]) == (math.inf, -math.inf)
    np.testing.assert_array_equal(found["classes"], np.array([[math.inf, math.nan, 1]], "float32"))


def test_a_fact_that_is_added_was_not_measured_before_and_one_that_is_not_asked_for_is_passed_over():
    stored = of_rows.encode([{"status": 1, "share": 0.5}], FACTS[:3], 2)
    found = of_rows.columns(stored, [FACTS[0], FACTS[4]], 2)
    assert (found["status"].tolist(), found["reason"].tolist()) == ([1, 0], ["", ""])


@pytest.mark.parametrize(
    "text",
    [
        "[]", "3", "null", "{", '{"status": 256}', '{"status": "one"}', '{"reason": 3}', '{"classes": [1, 2, 3, 4]}',
        '{"classes": 1}', '{"orbit": []}', '{"share": {}}', '{"scene": [3]}', "[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_row_of_these_facts_is_told_as_damage_is(text: str):
    stored = encode_chunk(np.array([text], object), (1,), "str")
    with pytest.raises(UNDECODED):
        of_rows.columns(stored, FACTS, 1)
