"""Captions of samples of the embedded Earth: all that they tell is stored, what dominates is told, hardly two are alike."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from curation.model import Location
from curation.pack.annotations import captions
from curation.pack.captions import checking, writing
from curation.pack.captions.facts import AMOUNTS, DOMINANT, NOISE_FLOOR, StoredFact, amount, facts_of
from curation.pack.captions.places import facts_of_places
from curation.places.land import is_land
from tests.benchmarks import captions as figures
from tests.captioned import FOREST, HERE, NAMES, SIDE, Case, cases, english, stripes, subject

WORDS = english()


def texts(*args, **kwargs) -> list[str]:
    made = captions.captions(subject(*args, **{"place": HERE} | kwargs))
    return [] if made is None else made.value["captions"]


def facts(*args, **kwargs) -> dict[str, str]:
    its = subject(*args, **{"place": HERE} | kwargs)
    return {f.name: f.value for f in facts_of(its, "summer", its.gathered["place"])}


@pytest.mark.parametrize(
    ("share", "name"),
    [(1, "all"), (0.9, "all"), (0.5, "dominant"), (0.2, "large"), (0.05, "small"), (0.04, "trace")],
)
def test_amounts_begin_at_their_least_share(share: float, name: str):
    assert amount(share) == name


def test_the_facts_of_a_sample():
    found = facts(
        FOREST, FOREST, elevation={"elevation_mean_m": 134.0, "slope_mean_deg": 3.0}, columns={"crop": "rye", "n": 3.0}
    )
    assert found == {
        "cover.trees": "dominant", "cover.crops": "large", "cover.water": "some", "layout.crops": "south",
        "layout.water": "south", "layout.trees": "north", "year": "2021", "month": "7", "season": "summer",
        "relief": "gentle", "altitude": "130", "sensor.Sentinel-2 MSI": "yes", **HERE, "column.crop": "rye", "column.n": "3",
    }  # fmt: skip


def test_each_text_has_the_facts_that_it_tells_and_the_first_has_all_classes():
    made = captions.captions(subject(FOREST, FOREST, place=HERE)).value
    assert made["language"] == "en"
    assert writing.FEWEST <= len(made["captions"]) == len(set(made["captions"])) <= writing.MOST
    known = [StoredFact.from_json(n, f) for n, f in made["facts"].items()]
    for text, sources in zip(made["captions"], made["sources"], strict=True):
        assert tuple(sources) == checking.facts_in(text, WORDS, known)
        assert not checking.faults(text, WORDS, known)
    assert {"cover.trees", "cover.crops", "cover.water", "city", "country", "year"} <= {*made["sources"][0]}
    assert captions.caption(subject(FOREST, FOREST, place=HERE)) == made["captions"][0]


@pytest.mark.parametrize(
    ("lat", "month", "season"),
    [(51, 1, "winter"), (51, 3, "spring"), (51, 12, "winter"), (-33, 1, "summer"), (-33, 7, "winter"), (-33, 10, "spring"),
     (9.9, 1, None), (-9.9, 7, None), (10, 7, "summer"), (-10, 7, "winter")],
)  # fmt: skip
def test_seasons_are_those_of_the_hemisphere_and_none_is_told_near_the_equator(
    lat: float, month: int, season: str | None
):
    found = facts(FOREST, FOREST, f"2021-{month:02d}-14T10:00:00Z", lat=lat)
    assert found.get("season") == season
    said = " ".join(texts(FOREST, FOREST, f"2021-{month:02d}-14T10:00:00Z", lat=lat))
    assert season is not None or not re.search("spring|summer|autumn|winter", said)


def test_what_is_true_of_one_season_alone_is_told_of_that_alone():
    its = subject(FOREST, FOREST, place=HERE)
    winter = {"labels": its.seasons["summer"]["labels"], "sources": {"s2": {"time": "2021-01-14T10:00:00Z"}}}
    both = replace(its, seasons={**its.seasons, "winter": winter}, season_names=("summer", "winter"),
                   arrays={**its.arrays, "dynamicworld_10m.winter": its.arrays["dynamicworld_10m.summer"]})  # fmt: skip
    made = captions.captions(both).value
    assert not {"month", "season"} & {*made["facts"]}
    assert made["facts"]["year"]["value"] == "2021"
    assert {s: made["seasons"][s]["facts"]["season"]["value"] for s in made["seasons"]} == {
        "summer": "summer",
        "winter": "winter",
    }
    for season in made["seasons"].values():
        assert not {"summer", "winter"} <= set(re.findall("summer|winter", " ".join(season["captions"])))


def test_what_was_rewritten_comes_first_of_a_season_too_where_it_is_true_of_that():
    its = subject(FOREST, FOREST, place=HERE)
    text, of_all = "Here, in Germany, lies chiefly woodland.", "Chiefly woodland, in 2021."
    summer = its.seasons["summer"]
    winter = {"labels": summer["labels"], "sources": {"s2": {"time": "2022-01-14T10:00:00Z"}}}
    both = replace(its, seasons={"summer": summer, "winter": winter}, season_names=("summer", "winter"),
                   arrays={**its.arrays, "dynamicworld_10m.winter": its.arrays["dynamicworld_10m.summer"]},
                   gathered={**its.gathered, "rewritten": [text, of_all]})  # fmt: skip
    made = captions.captions(both)
    assert made.counts == {"false": 1}  # of both seasons' years neither is the sample's
    assert made.value["captions"][0] == text
    assert made.value["seasons"]["summer"]["captions"][:2] == [text, of_all]
    assert made.value["seasons"]["winter"]["captions"][0] == text
    assert of_all not in made.value["seasons"]["winter"]["captions"]


def test_a_class_below_the_noise_floor_is_never_named():
    codes = FOREST.copy()
    codes[:, 0] = NAMES.index("built")  # a sixtieth
    its = subject(codes, codes, place=HERE)
    rules = its.rules.model_copy(update={"min_fraction": 0.0})
    named = {f.name for f in facts_of(replace(its, rules=rules))}
    assert "cover.built" not in named
    assert NOISE_FLOOR > 1 / SIDE
    codes[:, :3] = NAMES.index("built")  # a twentieth
    its = subject(codes, codes, place=HERE)
    assert "cover.built" in {f.name for f in facts_of(replace(its, rules=rules))}


def test_where_two_maps_contradict_each_other_neither_is_told():
    other = stripes(("grass", 0.6), ("crops", 0.3), ("water", 0.1))
    found = facts(FOREST, other)
    assert not {"cover.trees", "cover.grass"} & {*found}
    assert found["cover.crops"] == "large"


def test_without_maps_place_and_time_are_told_and_classes_are_not():
    said = texts(None, None)
    assert len(said) >= writing.FEWEST
    assert not any(way in " ".join(said) for ways in WORDS.covers.values() for way in ways)


def test_a_recipe_without_labels_has_captions_all_the_same():
    its = replace(subject(None, None, place=HERE, columns={"crop": "wheat"}), label_names=())
    made = captions.captions(its).value
    assert len(made["captions"]) >= writing.FEWEST
    assert made["facts"]["column.crop"]["value"] == "wheat"
    assert "Germany" in " ".join(made["captions"])


def test_the_sea_is_told_where_no_map_says_that_there_is_land():
    sea = {"sea": "sea"}
    assert "sea" in facts(stripes(("water", 1)), stripes(("water", 1)), place=sea)
    assert "sea" not in facts(FOREST, FOREST, place=sea)
    assert any("at sea" in t for t in texts(stripes(("water", 1)), stripes(("water", 1)), place=sea))
    islet = stripes(("trees", 0.4), ("bare", 0.4), ("water", 0.2))  # no class of it dominates
    assert "sea" not in facts(islet, islet, place=sea)
    assert facts(islet, islet, place={**sea, "country": "Chile"})["country"] == "Chile"
    assert "country" not in facts(stripes(("water", 1)), stripes(("water", 1)), place={**sea, "country": "Chile"})


def test_water_has_no_slope_and_a_lake_its_height():
    relief = {"elevation_mean_m": 395.0, "slope_mean_deg": 0.1}
    lake, shore = stripes(("water", 0.8), ("trees", 0.2)), stripes(("water", 0.4), ("trees", 0.6))
    assert facts(shore, shore, elevation=relief)["relief"] == "flat"
    found = facts(lake, lake, elevation=relief)
    assert ("relief" in found, found["altitude"]) == (False, "400")
    assert "relief" not in facts(None, None, elevation=relief, place={"sea": "sea"})


@pytest.mark.parametrize(
    ("shares", "regime"),
    [
        ((0.3, 0.3, 0.32), "lasting"),
        ((0.3, 0.3, 0.41), "changing"),
        ((0.0, 0.0, 0.2), "changing"),  # a flood
        ((0.3, 0.3), None),  # of two seasons nobody knows
        ((0.02, 0.02, 0.02), None),  # below what maps have by mistake
    ],
)
def test_whether_water_stays_is_told_of_three_seasons_at_least(shares: tuple[float, ...], regime: str | None):
    its = subject(FOREST, FOREST, place=HERE)
    fractions = [dict.fromkeys(NAMES, 0.0) | {"water": s, "trees": 1 - s} for s in shares]
    months = [f"2021-{3 * n + 1:02d}-14T10:00:00Z" for n in range(len(shares))]
    seasons = {
        f"s{n}": {"labels": {"fractions": [*of.values()]}, "sources": {"s2": {"time": months[n]}}}
        for n, of in enumerate(fractions)
    }
    many = replace(its, seasons=seasons, season_names=tuple(seasons))
    found = {f.name: f.value for f in facts_of(many)}
    assert found.get("water") == regime
    made = captions.captions(many).value
    ways = WORDS.water.get(regime, []) if regime else [w for of in WORDS.water.values() for w in of]
    said = " ".join(made["captions"]).lower()
    assert any(way in said for way in ways) == any("water" in sources for sources in made["sources"])
    assert regime is not None or not any(way in said for way in ways)


def test_an_islet_between_centre_and_corners_is_land():
    def place(size_m: float) -> Location:
        return Location("here", -14.35, -7.94, 32728, 0.0, 0.0, size_m, "r")  # Ascension lies in the sea alone

    lon, lat = -14.35, -7.94
    assert is_land(np.array([lon]), np.array([lat]))[0]
    off = [replace(place(size), lon=lon + 0.17, lat=lat + 0.06) for size in (2_000.0, 60_000.0)]
    assert ["sea" in facts_of_places([its])["here"] for its in off] == [True, False]


def test_columns_are_told_where_the_words_have_them_and_only_plain_ones():
    said = " ".join(texts(FOREST, FOREST, columns={"crop": "winter_wheat", "flood": 1.0, "secret": "x"}))
    assert "winter wheat" in said
    assert re.search("during a flood|while flooded", said)
    assert "secret" not in said
    assert "<" not in " ".join(texts(FOREST, FOREST, columns={"crop": "<script>alert(1)</script>"}))


def test_a_mean_of_dates_has_no_month():
    its = subject(FOREST, FOREST, place=HERE)
    summer = {
        **its.seasons["summer"],
        "sources": {"s2": {"time": "2021-07-14T10:00:00Z", "dates": "2021-06-30 2021-07-28"}},
    }
    found = {f.name: f.value for f in facts_of(replace(its, seasons={"summer": summer}), "summer")}
    assert (found["year"], found["season"]) == ("2021", "summer")
    assert "month" not in found


# ---- every sample of a region ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def region() -> list[Case]:
    """As many as a batch of contrastive training has, anywhere in a region."""
    return cases("lower-rhine", 1024, 64)


@pytest.fixture(scope="module")
def made(region: list[Case]) -> list[dict]:
    return [one.made for one in region]


def every_text(made: list[dict]) -> Iterator[tuple[str, list[str], list[StoredFact]]]:
    for one in made:
        for its in (one, *one["seasons"].values()):
            known = [StoredFact.from_json(n, f) for n, f in its["facts"].items()]
            yield from ((t, s, known) for t, s in zip(its["captions"], its["sources"], strict=True))


@pytest.mark.slow
def test_all_that_captions_tell_is_stored_and_what_dominates_is_told(made: list[dict]):
    count = 0
    for text, sources, known in every_text(made):
        parsed = checking.parse(text, WORDS, known)
        assert not parsed.unknown, text
        assert not parsed.loose, text
        assert {*parsed.statements} <= {f.pair for f in known} | {(f.name, checking.ANY) for f in known}, text
        assert {n for n, _ in parsed.statements} == {*sources}, text
        dominant = [f.pair for f in known if f.name.startswith("cover.") and f.measured >= DOMINANT]
        assert {*dominant} <= {*parsed.statements}, text
        assert not checking.faults(text, WORDS, known), text
        count += 1
    assert count >= 6 * len(made)


@pytest.mark.slow
def test_no_class_that_is_named_lies_below_the_noise_floor(made: list[dict], region: list[Case]):
    named = [f for one in made for n, f in one["facts"].items() if n.startswith("cover.")]
    assert min(f["measured"] for f in named) >= max(NOISE_FLOOR, region[0].subject.rules.min_fraction)
    assert {f["value"] for f in named} >= {*AMOUNTS} - {"trace"}


@pytest.mark.slow
def test_of_1024_samples_less_than_a_hundredth_have_the_caption_of_another(made: list[dict]):
    assert len(made) == 1024
    assert figures.duplicates([one["captions"][0] for one in made]) < 0.01
    assert figures.in_a_batch([one["captions"] for one in made]) < 0.01


@pytest.mark.slow
def test_words_alone_predict_the_shares_that_are_stored_and_permuted_ones_do_not(made: list[dict], region: list[Case]):
    said = [one["captions"] for one in made]
    shares, held_out = np.stack([figures.stored(c) for c in region]), figures.east(region)
    train, test = ([t for t, h in zip(said, held_out, strict=True) if h == which] for which in (False, True))
    assert not re.search(r"\d", " ".join(figures.words_of([" ".join(t) for t in train])))
    r2 = figures.explained(train, shares[~held_out], test, shares[held_out])
    assert r2[-1] > 0.9
    permuted = [train[n] for n in np.random.default_rng(0).permutation(len(train))]
    assert abs(figures.explained(permuted, shares[~held_out], test, shares[held_out])[-1]) < 0.1


@pytest.mark.slow
def test_few_statements_are_false_on_the_ground_and_fewer_where_maps_agree(region: list[Case]):
    by_agreement, where = figures.truth(region)
    rates = list(by_agreement.values())
    every = figures.Rates(*(sum(getattr(r, k) for r in rates) for k in ("stated", "false", "invented")))
    assert every.stated > 2000
    assert every.false < 0.1 * every.stated
    assert every.invented < 0.08 * every.stated
    assert rates[-1].invented / rates[-1].stated < rates[0].invented / rates[0].stated
    assert where.false < 0.05 * where.stated


# ---- the same everywhere ----------------------------------------------------------------------------------------------

SAME = """
import json
from tests.captioned import FOREST, HERE, subject
from curation.pack.annotations import captions
many = [captions.captions(subject(FOREST, FOREST, key=f"here-{n}", place=HERE)).value for n in range(40)]
print(json.dumps(many, sort_keys=True))
"""
SAME_SHA256 = "0d5e350259052149af8a6042ec326d39c81ef29624a416cf56437355bd4b2322"
"""Of what that prints, whatever the machine."""


@pytest.mark.slow
@pytest.mark.parametrize("seed", ["0", "4711"])
def test_captions_are_the_same_on_any_machine_whatever_python_hashes_by(seed: str):
    env = os.environ | {"PYTHONHASHSEED": seed, "LC_ALL": "C", "PYTHONPATH": str(Path(__file__).parents[3])}
    printed = subprocess.run([sys.executable, "-c", SAME], env=env, check=True, capture_output=True).stdout
    assert len({json.dumps(m["captions"]) for m in json.loads(printed)}) > 30
    assert hashlib.sha256(printed).hexdigest() == SAME_SHA256
