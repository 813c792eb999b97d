"""Another language is one file; a file that could tell two facts by one phrase, or lacks one, is refused."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from curation.errors import ConfigError
from curation.pack.annotations import captions
from curation.pack.captions import checking, words
from curation.pack.captions.facts import StoredFact
from curation.pack.captions.places import spelt
from curation.recipe import atlas
from tests.captioned import ENGLISH, FOREST, HERE, english, subject

GERMAN = (Path(__file__).parent / "de.toml").read_bytes()


def test_another_language_is_one_file():
    relief = {"elevation_mean_m": 134.0, "slope_mean_deg": 3.0}
    its = replace(subject(FOREST, FOREST, place=HERE, elevation=relief, columns={"crop": "Roggen"}), beside=GERMAN)
    made = captions.captions(its).value
    said = " ".join(made["captions"])
    assert made["language"] == "de"
    for part in ("überwiegend Wald", "reichlich Ackerland", "etwas Wasser", "in Deutschland", "nordöstlich von Aachen",
                 "auf sanft geneigtem Grund", "bestellt mit roggen", "im Norden"):  # fmt: skip
        assert part.casefold() in said.casefold()
    german, known = words.of_bytes(GERMAN, "de"), [StoredFact.from_json(n, f) for n, f in made["facts"].items()]
    for text, sources in zip(made["captions"], made["sources"], strict=True):
        assert not checking.faults(text, german, known)
        assert checking.facts_in(text, german, known) == tuple(sources)
    assert made["facts"].keys() == captions.captions(replace(its, beside=ENGLISH)).value["facts"].keys()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('north = ["in the north"]', "", r"\[positions\] has no north"),
        ('summer = ["in summer"]', 'summer = ["in winter"]', "tells both"),
        ('grass = ["grassland",', 'grass = ["woodland",', "tells both"),
        ('country = ["in {country}"]', 'country = ["here"]', r"\[numbers\] country: 'here'"),
        ('"{cover}, {place}[, {time}].",', '"{covers}.",', r"name \{covers\}"),
        ('trace = ["traces of"]', "trace = []", "at least 1 item"),
        ('country = ["in {country}"]', 'country = ["in {country} {"]', "braces stand around a name alone"),
        (
            'crop = ["planted with {value}"',
            'crop = ["planted with {crop}"',
            r"\[values\] crop: 'planted with \{crop\}'",
        ),
        ('crop = ["planted with {value}"', 'crop = ["planted with {value} {0}"', "braces stand|expected"),
        ('language = "en"', 'langage = "en"', "language: Field required"),
        ('language = "en"', "language = ", "no file of words"),
    ],
)
def test_a_file_that_is_none_is_refused(old: str, new: str, said: str):
    text = ENGLISH.decode()
    assert old in text
    with pytest.raises(ConfigError, match=said):
        words.of_bytes(text.replace(old, new, 1).encode(), "mine.toml")


def test_names_of_all_cities_are_found_in_texts_as_they_are_told():
    for name in bytes(atlas.CITY_NAMES.read()).decode().split("\n"):
        facts = [StoredFact("city", spelt(name)), StoredFact("city.km", "12"), StoredFact("city.direction", "north")]
        text = f"Seen 12 km north of {spelt(name)}."
        assert not checking.faults(text, english(), facts), text


def test_a_city_that_is_called_as_its_country_is_told_where_that_is():
    named = {"city": "Luxembourg", "city.km": "12", "city.direction": "north", "country": "Luxembourg"}
    facts = [StoredFact(*its) for its in named.items()]
    assert not checking.faults("Seen 12 km north of Luxembourg, in Luxembourg.", english(), facts)
    assert checking.Fault.UNCLEAR in checking.faults("Seen 12 km north of here, in Luxembourg.", english(), facts)


def test_a_language_may_name_the_city_first():
    text = ENGLISH.decode().replace('near = ["near {city}", "close to {city}"]', 'near = ["{city} nearby"]')
    text = text.replace(
        'city = ["{km} km {direction} {city}", "about {km}', 'city = ["{city} {direction} {km} km", "about {km}'
    )
    mine = words.of_bytes(text.encode(), "mine")
    told = [StoredFact("city", "Aachen"), StoredFact("city.km", "12"), StoredFact("city.direction", "north")]
    for said, is_told in (("Aachen north of 12 km.", True), ("Aachen north of.", True), ("Aachen.", False)):
        assert (not checking.faults(said, mine, told)) is is_told, said
    assert not checking.faults("Aachen nearby.", mine, told)


def test_no_phrase_of_a_fact_is_made_of_plain_words_alone():
    plain = {w for (w,), its in ((k, v) for k, v in english().lexicon.items() if len(k) == 1) if its[0][0] == "plain"}
    for phrase in words.phrases_of(english()):
        assert not {*phrase.words} <= plain, phrase
    assert not {"no", "not", "without", "half", "third", "all", "most"} & plain


def test_labels_of_a_user_s_own_are_told_by_their_names():
    assert words.class_ways(english(), "rice_paddy") == ["rice paddy"]
    assert words.class_ways(english(), "class_7") == []
    assert words.class_ways(english(), "of") == []
    assert re.search("rice", words.class_ways(english(), "Rice")[0])
