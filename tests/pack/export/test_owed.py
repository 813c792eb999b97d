"""Whoever captions tell of is named, wherever captions go, and nowhere else."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pystac
import pytest

import curation
from curation.format.domains import DomainEntry
from curation.format.index import INDEX, Index
from curation.pack.captions.owed import owed
from curation.pack.card import card
from curation.pack.card.card import CardRecord
from curation.recipe.licences import licences
from tests.pack.export.test_views import UNCLOSED, members_of, view
from tests.run import Curate

GEONAMES, KOPPEN = (licences()[name] for name in ("geonames", "koppen-geiger"))


def index_of(run: Curate) -> Index:
    return Index.from_bytes((run.folder / "shards" / INDEX).read_bytes())


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text())


def exported(run: Curate, form: str, to: Path) -> Path:
    curation.load(run.world.recipe, run.root, scheduler="none").export(form, to)
    return to


def test_built_in_captions_owe_what_they_tell_of_and_others_owe_nothing(built: Curate, captioned: Curate):
    index = index_of(captioned)
    assert owed(index) == owed(index, {"words", "facts"}) == {"geonames": GEONAMES, "koppen-geiger": KOPPEN}
    assert owed(index, {"captions", "facts"}) == owed(index, ()) == {}, "these are functions of the user's own"
    assert owed(index_of(built)) == {}
    assert "GeoNames" in GEONAMES.attribution
    assert GEONAMES.spdx == "CC-BY-4.0"
    assert "Rubel" in KOPPEN.attribution


def test_a_domain_owes_the_map_that_tells_it(built: Curate):
    index = msgspec.structs.replace(index_of(built), domains={"climate_zone": DomainEntry("Climate", ("Cfb",))})
    assert owed(index) == owed(index, ()) == {"koppen-geiger": KOPPEN}
    assert owed(index, (), domains=False) == {}
    index = msgspec.structs.replace(index, domains={"hemisphere": DomainEntry("Hemisphere", ("north",))})
    assert owed(index) == {}


def test_each_card_names_them(captioned: Curate):
    cards = captioned.folder / "card"
    page = (cards / "README.md").read_text()
    value, record = read(cards, "croissant.json"), read(cards, "datacite.json")
    collection = pystac.Collection.from_file(str(cards / "stac/collection.json"))
    for name, its in (("geonames", GEONAMES), ("koppen-geiger", KOPPEN)):
        assert its.attribution in page
        assert f"]({its.url})" in page
        assert its.attribution in value["creditText"]
        assert its.url in value["license"]
        assert its.about in value["isBasedOn"]
        assert collection.extra_fields["curation:attribution"][name] == its.attribution
        assert its.attribution in [p.description for p in collection.providers or []]
        assert {(link.rel, link.href) for link in collection.links} >= {
            ("license", its.url),
            ("derived_from", its.about),
        }
        (rights,) = [r for r in record["rightsList"] if r["rights"].startswith(its.of)]
        assert rights["rightsUri"] == its.url
        assert its.about.removeprefix("https://doi.org/") in [
            r["relatedIdentifier"] for r in record["relatedIdentifiers"]
        ]
    assert "GeoNames" not in value["description"]
    assert not [k for k in (*value["keywords"], *(collection.keywords or [])) if "captions" in k], "they are no pixels"


def test_cards_without_captions_name_nobody_more(built: Curate):
    every = [p.read_text() for p in (built.folder / "card").rglob("*") if p.is_file()]
    assert every
    assert not [text for text in every if "GeoNames" in text or "Rubel" in text]


def test_cards_follow_from_whom_they_name(captioned: Curate, monkeypatch: pytest.MonkeyPatch):
    facts = card.release_facts(captioned.dataset, captioned.store)
    record = card.record_of(captioned.store)
    assert isinstance(record, CardRecord)
    assert card.follows_from(facts) == record.follows_from
    other = GEONAMES.model_copy(update={"attribution": "Somebody else"})
    monkeypatch.setattr("curation.pack.captions.owed.licences", lambda: dict(licences()) | {"geonames": other})
    assert card.follows_from(card.release_facts(captioned.dataset, captioned.store)) != record.follows_from


@UNCLOSED
def test_a_view_names_them_where_its_texts_are_built_in(captioned: Curate, tmp_path: Path):
    licence = captioned.dataset.specs["s2l2a"].licence
    with_them = f"{licence}; {GEONAMES.attribution}; {KOPPEN.attribution}"
    for name, caption, said in (
        ("clip", "words", with_them),
        ("dofa-clip", "words", with_them),
        ("clip", "captions", licence),
    ):
        to = tmp_path / f"{name}-{caption}"
        assert view(captioned, name, to, "--caption", caption, "--limit", "2") == 0
        assert read(to, "view.json")["licence"] == said
        assert {json.loads(its["json"])["licence"] for its in members_of(to).values()} == {said}
        assert ("geonames" in read(to, "export.json")["licences"]) is (said != licence)


def test_what_is_laid_out_for_a_hub_names_them(built: Curate, captioned: Curate, tmp_path: Path):
    hub = tmp_path / "hub"
    curation.load(captioned.world.recipe, captioned.root, scheduler="none").publish(hub)
    assert GEONAMES.attribution in (hub / "README.md").read_text()
    assert KOPPEN.attribution in read(hub, "croissant.json")["creditText"]
    for form in ("parquet", "litdata"):
        to = exported(captioned, form, tmp_path / form)
        assert read(to, "export.json")["licences"]["geonames"] == GEONAMES.attribution
    page = (tmp_path / "parquet/README.md").read_text()
    assert f"- {GEONAMES.attribution}\n- {KOPPEN.attribution}\n" in page
    plain = exported(built, "parquet", tmp_path / "plain")
    assert "GeoNames" not in (plain / "README.md").read_text() + (plain / "export.json").read_text()
