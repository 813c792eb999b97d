"""What samples themselves tell is held against the rule that their release says it was packed by."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from curation.recipe.dataset import load_dataset
from curation.recipe.split import SplitRule, SplitSpec
from curation.verify.found import Verified
from curation.verify.sides import Proof

DATASET = load_dataset("ssl4eo-s12-ml")


def meta(name: str, lon: float, *seasons: str) -> dict[str, Any]:
    place = {"id": name, "lon": lon, "lat": 1.0, "x0_m": 0.0, "y0_m": 0.0, "size_m": 2640.0, "epsg": 32631}
    return {**place, "static": {"sources": {}}, "seasons": {s: {"sources": {}} for s in seasons}}


@pytest.mark.parametrize(
    ("train", "test", "said"),
    [
        (("summer", "spring"), ("winter",), None),
        (("summer", "winter"), ("winter",), "1 sample of season 'summer|winter' in train, which is left out for test"),
        (("summer",), ("autumn", "winter"), "1 sample of season 'autumn|winter' in test, which is of winter alone"),
    ],
)
def test_a_season_that_is_left_out_is_found_in_what_a_tar_says_of_a_sample(train, test, said):
    split = {"rule": "leave-out", "domain": "season", "test": ["winter"], "unshared": [], "buffer_km": 5.0}
    rule: SplitRule = TypeAdapter(SplitSpec).validate_python(split)
    proof = Proof(DATASET, rule, DATASET.recipe.grid)
    proof.take("train", meta("a", 1.0, *train))
    proof.take("test", meta("b", 9.0, *test))
    found = Verified()
    proof.check("where", found)
    assert found.faults == ([] if said is None else [f"where: {said}; pack again"])
