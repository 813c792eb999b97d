"""Whoever writes a text is told what it may be made of: what that is, is what the check understands."""

from pathlib import Path

import pytest

from curation.pack.annotations import captions
from curation.pack.captions import checking, words
from curation.pack.captions.checking import Fault
from curation.pack.captions.facts import StoredFact, facts_of
from curation.pack.captions.vocabulary import vocabulary
from curation.pack.captions.words import Words
from tests.captioned import FOREST, HERE, english, subject

GERMAN = Path(__file__).parent / "de.toml"
PLACES = {"here": HERE, "near": {"city": "Aachen", "city.km": "near", "climate": "E"}, "sea": {"sea": "sea"}}


def known(place: str) -> list[StoredFact]:
    columns = {"crop": "winter_wheat", "flood": 1.0, "secret": "x"}
    relief = {"elevation_mean_m": 134.0, "slope_mean_deg": 3.0}
    its = subject(
        None if place == "sea" else FOREST, None if place == "sea" else FOREST, columns=columns, elevation=relief
    )
    return [*facts_of(its, "summer", PLACES[place]), StoredFact("water", "changing", 0.3)]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("language", [english(), words.of_bytes(GERMAN.read_bytes(), "de")], ids=["en", "de"])
def test_each_way_tells_its_fact_and_nothing_else(language: Words, place: str):
    facts = known(place)
    found = vocabulary(language, facts)
    pairs = {f.name: f.pair for f in facts}
    for name, ways in found["facts"].items():
        for way in ways:
            text = f"{way[:1].upper()}{way[1:]}."
            parsed = checking.parse(text, language, facts)
            assert pairs[name] in parsed.statements, way
            assert {*checking.faults(text, language, facts)} <= {Fault.DOMINANT_MISSING}, way
    for word in found["plain"]:
        assert not checking.parse(word, language, facts).unknown


def test_all_that_captions_tell_is_among_it_and_what_cannot_be_told_is_not():
    relief = {"elevation_mean_m": 134.0, "slope_mean_deg": 3.0}
    made = captions.captions(subject(FOREST, FOREST, place=HERE, columns={"secret": "x"}, elevation=relief)).value
    facts = [StoredFact.from_json(n, f) for n, f in made["facts"].items()]
    found = vocabulary(english(), facts)["facts"]
    told = {name for sources in made["sources"] for name in sources} - {"city.km", "city.direction"}
    assert told <= {*found}
    assert {*made["facts"]} - {*found} == {"column.secret", "city.km", "city.direction"}
    assert found["city"] == ["12 km north-east of Aachen", "about 12 km north-east of Aachen"]
    assert found["month"] == ["in July"]
