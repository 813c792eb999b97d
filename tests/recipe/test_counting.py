"""Uses of one source that are counted apart are of scenes apart, or the recipe is refused."""

from pathlib import Path
from typing import Any

import pytest

from curation.errors import ConfigError
from curation.recipe.dataset import Dataset, load_dataset

RECIPE = """
name = "counted"
title = "The last two before, and the first after"
seed = 1
[grid]
size_m = 2640
[places]
sampler = "file"
file = "places.csv"
[seasons]
before = { start = 2021-06-01, end = 2021-07-01, anchor = 2021-06-30 }
longer = { start = 2021-03-01, end = 2021-07-01, anchor = 2021-06-30 }
earlier = { start = 2021-03-01, end = 2021-05-01, anchor = 2021-04-30 }
[sources.first]
of = "s1rtc"
"""


def loaded(folder: Path, first: dict[str, Any], second: dict[str, Any], *more: str) -> Dataset:
    def table(its: dict[str, Any], nth: int) -> str:
        pick = {"name": "latest-before", **({"nth": nth} if nth > 1 else {}), **its.pop("pick", {})}
        words = [f"{k} = {toml(v)}" for k, v in ({"seasons": ["before"]} | its).items()]
        return "\n".join([*words, f"pick = {{ {', '.join(f'{k} = {toml(v)}' for k, v in pick.items())} }}"])

    text = f'{RECIPE}{table(dict(first), 1)}\n[sources.second]\nof = "s1rtc"\n{table(dict(second), 2)}\n'
    (folder / "recipe.toml").write_text("\n".join([text, *more]))
    (folder / "places.csv").write_text("lon,lat\n6.5,51.2\n")
    return load_dataset(str(folder / "recipe.toml"))


def toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)


def orbit(**keys: Any) -> dict[str, Any]:
    return {"pick": keys}


ONE_TRACK, UP = orbit(one_relative_orbit=True), orbit(orbit="ascending")


@pytest.mark.parametrize(
    ("first", "second", "key"),
    [
        ({"min_valid": 1.0}, {"min_valid": 0.9}, "min_valid"),
        (ONE_TRACK, {}, "one_relative_orbit"),
        (UP, {}, "orbit"),
        ({}, {"bands": ["VV"]}, "bands"),
        ({"orbits": "precise"}, {}, "orbits"),
        ({"res_m": 20}, {}, "res_m"),
        ({"min_valid": 1.0}, {"min_valid": 0.9, "seasons": ["longer"]}, "min_valid"),
    ],
)
def test_the_second_may_not_be_the_first_of_a_use_that_asks_for_more(tmp_path: Path, first, second, key: str):
    said = rf"\[sources.second\] takes scene 2 .* \[sources.first\], .* scene 1: they may be the same .* since {key} is not"
    with pytest.raises(ConfigError, match=said):
        loaded(tmp_path, first, second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {}),
        ({"min_valid": 0.9}, {"min_valid": 1.0}),
        ({}, ONE_TRACK),
        (ONE_TRACK, {**ONE_TRACK, "seasons": ["longer"]}),
        (UP, orbit(orbit="descending")),
        ({"bands": ["VV"]}, {}),
        ({"min_valid": 1.0}, {"min_valid": 0.9, "seasons": ["earlier"]}),  # counted from elsewhere
    ],
)
def test_what_cannot_be_the_same_is_no_fault(tmp_path: Path, first, second):
    assert {n: s.pick.counted for n, s in loaded(tmp_path, first, second).specs.items()} == {"first": 1, "second": 2}


def test_what_goes_with_the_first_and_not_with_the_second_makes_it_the_one_that_asks_for_more(tmp_path: Path):
    with_it = '[sources.{0}]\nof = "s1rtc"\nseasons = ["before"]\npick = {{ name = "nearest", goes_with = "{1}" }}'
    with pytest.raises(ConfigError, match="since what goes with it is not"):
        loaded(tmp_path, {}, {}, with_it.format("beside", "first"))
    loaded(tmp_path, {}, {}, with_it.format("beside", "first"), with_it.format("beside2", "second"))
