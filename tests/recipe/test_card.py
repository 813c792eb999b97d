"""What sources say of licences: every one that comes along names whom it must, in one place; none of it is in a digest."""

import datetime as dt
import tomllib

import pytest

from curation.pack.captions import owed
from curation.recipe import files, licences, sourcefiles
from curation.recipe.card import CardSpec
from curation.recipe.dataset import load_dataset
from curation.recipe.sources import SourceSpec

SOURCES = {name: sourcefiles.read(path) for name, path in sourcefiles.shipped().items()}
OF_PLACES = {"place-mask"}
"""Whose licence is that of the user's own file."""


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_every_source_names_its_licence_and_whom_to_name(name: str):
    spec = SOURCES[name]
    if name in OF_PLACES:
        assert (spec.terms, spec.attribution) == (None, "")
        return
    assert spec.terms in licences.licences()
    assert spec.attribution
    assert spec.about.startswith("https://")


def test_every_licence_is_used_and_has_its_text():
    known = licences.licences()
    of_tables = {name: its for name, its in known.items() if its.of}
    assert set(known) - set(of_tables) == {s.terms for s in SOURCES.values()} - {None}
    assert set(of_tables) == set(owed.TERMS.values())
    assert all(its.attribution and its.about.startswith("https://") for its in of_tables.values())
    assert all(its.url.startswith("https://") and its.title for its in known.values())
    assert known["cc-by-4"].spdx == "CC-BY-4.0"


def test_a_licence_that_is_not_listed_is_refused_with_what_is():
    value = SOURCES["dem"].model_dump() | {"terms": "copernicus-dom"}
    with pytest.raises(ValueError, match=r"copernicus-dem.*add it there"):
        SourceSpec.model_validate(value)


@pytest.mark.parametrize("name", sorted(p.parent.name for p in files.folder("manifests").glob("*/recipe.toml")))
def test_nothing_of_it_is_in_a_dump_so_that_no_digest_changes(name: str):
    dataset = load_dataset(name)
    for spec in dataset.specs.values():
        assert not {"terms", "attribution", "about"} & spec.model_dump().keys()
    assert "card" not in dataset.recipe.model_dump()


def test_an_identifier_is_a_doi_however_it_is_written():
    for text in ("10.1234/abc", "https://doi.org/10.1234/abc", "http://dx.doi.org/10.1234/abc"):
        assert CardSpec(identifier=text).doi == "10.1234/abc"
    assert CardSpec(identifier="https://example.org/x").doi is None
    assert [c.is_person for c in CardSpec(creators=["An Institute", "Doe, Jane"]).creators] == [False, True]
    assert CardSpec().missing == ("creators", "publisher", "identifier", "published", "version", "licence")


def test_the_day_of_publication_is_read_in_quotes_and_without():
    day = dt.date(2026, 11, 30)
    for said in ("published = 2026-11-30", 'published = "2026-11-30"'):
        assert CardSpec.model_validate(tomllib.loads(said)).published == day
    for odd in ('"30.11.2026"', '"soon"', "2026", "2026-11-30T12:00:00Z"):
        with pytest.raises(ValueError, match="expected a day, in quotes or without: 2026-11-30"):
            CardSpec.model_validate(tomllib.loads(f"published = {odd}"))
