"""What a text tells is read from it alone; and the faults that raters found in RS5M's captions are none of ours."""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path

import pytest

from curation.pack.annotations import captions
from curation.pack.captions import checking
from curation.pack.captions.checking import Fault
from curation.pack.captions.facts import StoredFact
from tests.captioned import FOREST, HERE, english, subject

WORDS = english()
KNOWN = {
    "layout.crops": "south", "year": "2021", "month": "7", "season": "summer", "sensor.Sentinel-2 MSI": "yes",
    "relief": "flat", "altitude": "120", **HERE, "column.crop": "winter_wheat",
}  # fmt: skip
COVER = (("trees", "dominant", 0.6), ("crops", "large", 0.3), ("water", "some", 0.1))
FACTS = [*(StoredFact(f"cover.{n}", v, share) for n, v, share in COVER), *(StoredFact(*its) for its in KNOWN.items())]


@pytest.mark.parametrize(
    "text",
    [
        "Chiefly woodland.",
        "In summer 2021, chiefly woodland with considerable farmland in the south.",
        "This is a Sentinel-2 image: predominantly tree cover and some water.",
        "The place is located 12 km north-east of Aachen, in Germany.",
        "The land lies on flat ground at an altitude of 120 m.",
        "Chiefly woodland, and considerable cropland where winter wheat grows.",
        "North-east of Aachen lies chiefly woodland.",
    ],
)
def test_what_is_stored_may_be_told_in_any_order(text: str):
    assert not checking.faults(text, WORDS, FACTS)


@pytest.mark.parametrize(
    ("text", "fault", "what"),
    [
        ("Chiefly woodland around an airport.", Fault.UNKNOWN_WORD, "airport"),
        ("Chiefly woodland and no cropland.", Fault.UNKNOWN_WORD, "no"),
        ("Mostly woodland.", Fault.FALSE, "cover.trees = most"),
        ("Chiefly woodland and some grassland.", Fault.FALSE, "cover.grass = some"),
        ("Chiefly woodland and considerable cropland in the north.", Fault.FALSE, "layout.crops = north"),
        ("Chiefly woodland in winter.", Fault.FALSE, "season = winter"),
        ("Chiefly woodland in 2022.", Fault.FALSE, "year = 2022"),
        ("Chiefly woodland, 21 km north-east of Aachen.", Fault.FALSE, "city.km = 21"),
        ("Chiefly woodland, 12 km south-west of Aachen.", Fault.FALSE, "city.direction = south-west"),
        ("Chiefly woodland, near Aachen.", Fault.FALSE, "city.km = near"),
        ("Chiefly woodland, in France.", Fault.UNKNOWN_WORD, "France"),
        ("Chiefly woodland, at sea.", Fault.FALSE, "sea = sea"),
        ("Chiefly woodland, during a flood.", Fault.FALSE, "column.flood = 1"),
        ("Chiefly woodland seen by Landsat.", Fault.FALSE, "sensor.Landsat OLI = yes"),
        ("Chiefly woodland on 3 sides.", Fault.UNCLEAR, "3"),
        ("In the south lies chiefly woodland.", Fault.UNCLEAR, "In the south"),
        ("The ground is chiefly. Woodland.", Fault.UNCLEAR, "dominant"),
        ("A satellite image of Aachen: chiefly woodland.", Fault.UNCLEAR, "Aachen"),
        ("Aachen lies 12 km north-east of here.", Fault.UNCLEAR, "Aachen, 12, north-east of"),
        ("North-east of this place lies chiefly woodland.", Fault.UNCLEAR, "North-east of"),
        ("12 km of woodland, north-east of Aachen.", Fault.UNCLEAR, "12"),
        ("Chiefly woodland at an altitude of -120 m.", Fault.UNKNOWN_WORD, "-"),
        ("Considerable cropland and some water.", Fault.DOMINANT_MISSING, "cover.trees"),
        ("Woodland and considerable cropland.", Fault.DOMINANT_MISSING, "cover.trees"),
        ("Chiefly woodland in summer, chiefly woodland in winter.", Fault.CONTRADICTION, "season"),
        ("The picture shows a place.", Fault.EMPTY, "The picture"),
        ("", Fault.EMPTY, "''"),
        ("chiefly woodland.", Fault.FORM, "c."),
        ("Chiefly woodland", Fault.FORM, "Cd"),
        ("Chiefly woodland <b>.", Fault.FORM, "C."),
        ("Chiefly woodland\nin summer.", Fault.FORM, "C."),
    ],
)
def test_what_is_not_stored_is_a_fault_that_says_what(text: str, fault: Fault, what: str):
    assert what in checking.faults(text, WORDS, FACTS)[fault]


# ---- RS5M's ratings -----------------------------------------------------------------------------------------------------

SHARED = Path(os.environ.get("CURATION_SHARED", "nowhere")) / "data" / "rs5m-captions"

FOUND = {
    "a thing that no label says is there": (
        r"airplane|hospital|baseball|crane|wind turbine|person",
        Fault.UNKNOWN_WORD,
    ),
    "a code of a table, as it stands there": (r"[a-z]_[a-z]", Fault.FORM),
    "a character that was lost": (r"\d\?", Fault.FORM),
    "angles that nobody sees in a picture": (r"off-nadir|azimuth", Fault.UNKNOWN_WORD),
    "the name of a service or a photographer": (r"google|picture taken by|zoomx5", Fault.UNKNOWN_WORD),
    "colours that nobody has measured": (r"\b(?:red|green|brown|black|blue|white)\b", Fault.UNKNOWN_WORD),
    "a sentence that does not begin": (r"^[a-z]", Fault.FORM),
    "a sentence that does not end": (r"[^.]$", Fault.FORM),
    "the wrong article": (r"\ba aerial\b", Fault.UNKNOWN_WORD),
    "words that say nothing": (r"some other objects|a large surface|the location and date", Fault.UNKNOWN_WORD),
    "a season by one name of two": (r"\bFall\b", Fault.UNKNOWN_WORD),
}
"""What is wrong with captions of the file of ratings → where it is seen, and what ours is refused for."""


@pytest.fixture(scope="module")
def rated() -> list[str]:
    if not SHARED.is_dir():
        pytest.skip("the ratings are not here ($CURATION_SHARED)")
    with (SHARED / "ratings_1_500.csv").open(encoding="utf-8") as file:
        return [row["description"] for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def ours() -> list[str]:
    relief = {"elevation_mean_m": 134.0, "slope_mean_deg": 3.0}
    many = [subject(FOREST, FOREST, key=f"here-{n}", place=HERE, elevation=relief) for n in range(60)]
    return [text for its in many for text in captions.captions(its).value["captions"]]


@pytest.mark.parametrize("fault", FOUND)
def test_faults_that_raters_found_are_none_of_ours(fault: str, rated: list[str], ours: list[str]):
    pattern, refused = FOUND[fault]
    seen = [text for text in rated if re.search(pattern, text)]
    assert seen
    assert all(refused in checking.faults(text, WORDS, FACTS) for text in seen)
    assert not [text for text in ours if re.search(pattern, text)]


def test_none_of_the_rated_captions_would_be_taken_and_all_of_ours_are(rated: list[str], ours: list[str]):
    assert all(checking.faults(text, WORDS, FACTS) for text in rated)
    assert len({*ours}) > 100
    assert all(not re.search(r"\ba [aeiou]|  |[?_<>]|\ban [^aeiou]", text) for text in ours)


def test_two_halves_that_contradict_each_other_are_not_taken():
    # As of one of the rated captions: "over Washington, D.C. … a satellite view of the city of san francisco".
    text = "Chiefly woodland, 12 km north-east of Aachen, and a satellite view of San Francisco."
    assert checking.faults(text, WORDS, FACTS)[Fault.UNKNOWN_WORD] == "San, Francisco"
    text = "Chiefly woodland in summer, a view of the land in winter."
    assert Fault.CONTRADICTION in checking.faults(text, WORDS, FACTS)
