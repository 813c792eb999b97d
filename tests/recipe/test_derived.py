"""Which arrays a recipe may derive, and of what."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from curation.errors import ConfigError
from curation.recipe.dataset import Dataset, load_dataset
from curation.recipe.schema import Recipe

EXAMPLE = load_dataset("ssl4eo-s12-ml")
CELLS = load_dataset("ssl4eo-s")
NDVI = "(s2.b08 - s2.b04) / (s2.b08 + s2.b04)"


def deriving(derived, example: Dataset = EXAMPLE, **changes) -> Dataset:
    raw = example.recipe.model_dump() | changes | {"derived": derived}
    return Dataset(Recipe.model_validate(raw), example.specs, Path("recipe.toml"))


def test_what_is_derived_has_seasons_level_and_pixels_of_its_inputs():
    found = deriving(
        {
            "ndvi": NDVI,
            "ndre": {"formula": "(s2.b8a - s2.b05) / (s2.b8a + s2.b05)"},
            "wet": "s2.b08 * s1.vv",
            "slope": {"terrain": "slope"},
        }
    ).derived
    seasons = tuple(EXAMPLE.season_names())
    assert {n: (d.seasons, d.first.res_m, d.first.level) for n, d in found.items()} == {
        "ndre": (seasons, 20, ""),
        "ndvi": (seasons, 10, ""),
        "slope": ((), 30, ""),
        "wet": (seasons, 10, ""),
    }
    assert found["wet"].licence.count(";") == 1
    children = deriving({"ndvi": NDVI}, CELLS).derived["ndvi"]
    assert (children.first.level, children.first.res_m) == ("children", 10)


def test_the_release_follows_from_formulas_and_nothing_does_where_none_is():
    assert deriving({}).release_digest() == EXAMPLE.release_digest()
    digests = [deriving({"a": text}).release_digest() for text in ("s2.b08 + 1", "s2.b08 + 2", "s2.b04 + 1")]
    assert len({*digests, EXAMPLE.release_digest()}) == 4
    assert deriving({"a": {"formula": "s2.b08 + 1"}}).release_digest() == digests[0]
    assert "derived" not in EXAMPLE.recipe.model_dump()


def test_the_release_follows_from_how_many_times_inputs_are_stored():
    def digest(times: float, derived) -> str:
        spec = EXAMPLE.specs["dem"]
        its = spec.arrays[0].model_copy(update={"times": times})
        specs = EXAMPLE.specs | {"dem": spec.model_copy(update={"arrays": [its, *spec.arrays[1:]]})}
        return deriving(derived, Dataset(EXAMPLE.recipe, specs, EXAMPLE.path)).release_digest()

    assert digest(10, {"slope": {"terrain": "slope"}}) != digest(100, {"slope": {"terrain": "slope"}})
    assert digest(10, {"ndvi": NDVI}) == digest(100, {"ndvi": NDVI}) != digest(10, {})
    assert digest(10, {}) == EXAMPLE.release_digest()


@pytest.mark.parametrize(
    ("derived", "said"),
    [
        ({"ndvi": "(s2.b008 - s2.b04)"}, "no band 's2.b008' among what samples have; did you mean s2.b08"),
        (
            {"ndwi": "(s2.b03 - s2.b11) / (s2.b03 + s2.b11)"},
            "s2.b11 has pixels of 20 m, s2.b03 of 10 m; nothing is resampled",
        ),
        ({"x": "s2.scl * 2"}, "no band 's2.scl'"),
        ({"s2l2a_10m": NDVI}, "an array of a source is called so"),
        ({"x": {"formula": NDVI, "sources": ["s1rtc"]}}, "no band 's2.b08'"),
        ({"x": {"formula": NDVI, "sources": ["s3"]}}, "have no bands of measured values"),
        ({"x": {"terrain": "slope", "sources": ["s2l2a"]}}, "no source has them: add one"),
        ({"x": {"terrain": "shadow"}}, "which source tells where the sun stood"),
        ({"x": {"terrain": "shadow", "sun": "s2l2a"}}, r"say angles = true in \[sources.s2l2a\]"),
    ],
)
def test_what_cannot_be_derived_is_refused_with_what_to_do(derived, said: str):
    with pytest.raises(ConfigError, match=said):
        deriving(derived)


@pytest.mark.parametrize(
    ("derived", "said"),
    [
        ({"x": {}}, "expected either 'formula', over bands, or 'terrain', of heights"),
        ({"x": {"formula": NDVI, "terrain": "slope"}}, "expected either"),
        ({"x": {"terrain": "slope", "unit": "m"}}, "'unit' is of a formula"),
        ({"x": {"terrain": "slope", "sun": "s2l2a"}}, "'sun' goes with terrain = 'cos-incidence' or 'shadow'"),
        ({"x": "open('a')"}, "is nothing that a formula may have"),
        ({"x": 3}, "derived"),
        ({"s2l2a": NDVI}, "not the name of a source"),
        ({"a_ok": NDVI}, "not the name of a source or of another entry"),
        ({"NDVI": NDVI}, "expected a-z"),
    ],
)
def test_what_is_no_derived_array_is_refused_by_its_key(derived, said: str):
    with pytest.raises(ValidationError, match=said):
        deriving(derived)


def test_the_sun_is_of_the_source_that_tells_it():
    uses = EXAMPLE.recipe.model_dump()["sources"]
    uses["s2l2a"] |= {"angles": True}
    found = deriving({"shade": {"terrain": "shadow"}}, sources=uses).derived["shade"]
    assert (found.sun, found.timed, found.first.source) == ("s2l2a", "s2l2a", "dem")
    assert found.seasons == tuple(EXAMPLE.season_names())
    uses["s1rtc"] |= {"angles": True}
    with pytest.raises(ConfigError, match="Say one of s2l2a, s1rtc with 'sun'"):
        deriving({"shade": {"terrain": "shadow"}}, sources=uses)


def test_a_band_of_two_sources_wants_to_be_told_of_which():
    uses = EXAMPLE.recipe.model_dump()["sources"] | {"other": {}}
    specs = {**EXAMPLE.specs, "other": EXAMPLE.specs["s2l2a"].model_copy(update={"name": "other"})}
    raw = EXAMPLE.recipe.model_dump() | {"sources": uses, "derived": {"ndvi": NDVI}}
    with pytest.raises(
        ConfigError, match=r"'s2.b08' is a band of 's2l2a' and 'other': say which, sources = \['s2l2a'\]"
    ):
        Dataset(Recipe.model_validate(raw), specs, Path("recipe.toml"))
    raw["derived"] = {"ndvi": {"formula": NDVI, "sources": ["other"]}}
    assert Dataset(Recipe.model_validate(raw), specs, Path("recipe.toml")).derived["ndvi"].first.array == "other_10m"
