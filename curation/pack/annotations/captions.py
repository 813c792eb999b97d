"""Captions of a sample, by rule from what is stored of it, and the first of them alone: no model is asked, nothing guessed.

`captions` is 3 to 5 texts of the sample, and as many of each of its seasons, each with the facts that it tells. What is
told of a sample is of all of its seasons: one that spans the year is told no season, and of classes that each season has how
much they cover on average. Where a file of rewritten texts is
named, those that still tell facts alone come before the others (`captions.rewriting`).
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from curation.errors import ConfigError
from curation.model import Location
from curation.pack.captions import checking, rewritten, words, writing
from curation.pack.captions.facts import facts_of
from curation.pack.captions.places import facts_of_places
from curation.pack.captions.rewritten import Rewritten
from curation.pack.captions.words import Words
from curation.pack.captions.writing import Caption
from curation.pack.subject import Counted, Gathered, Subject
from curation.recipe import atlas, files
from curation.recipe.annotations import CAPTION, Annotation, CaptionsSpec
from curation.recipe.catalogs import Catalogs
from curation.recipe.dataset import Dataset

VERSION = 1
"""Of the form of `captions.json`."""


def check(dataset: Dataset, name: str, catalogs: Catalogs) -> None:
    """Passes where the words are such, and rewritten texts are.

    Raises:
        ConfigError: a file is none of its kind, or the annotation is of another type; what it has to be is told.
    """
    its = dataset.annotations[name]
    wanted = "text" if its.called == CAPTION else "json"
    if its.spec.type != wanted:
        raise ConfigError(f"{dataset.path}: [annotations.{name}] type = {its.spec.type!r}: expected {wanted!r}")
    words.of_bytes(its.source, f"{dataset.path}: [annotations.{name}.captions] words")
    _rewritten(its)


def gather(dataset: Dataset, name: str, catalogs: Catalogs, places: Sequence[Location]) -> Gathered:
    """What is told of where samples lie, and texts that were rewritten of them."""
    its = dataset.annotations[name]
    spec = its.spec.captions or CaptionsSpec()
    known = facts_of_places(places)
    texts = _rewritten(its)
    values: dict[str, Any] = {}
    for place in places:
        values[place.id] = {"place": known[place.id]}
        if texts is not None and place.id in texts.texts:
            values[place.id]["rewritten"] = texts.texts[place.id]
    of_cities = (atlas.CITIES, atlas.CITY_NAMES, atlas.CITY_PEOPLE)
    tables = {t.file: t.sha256 for t in (*of_cities, atlas.LAND, *atlas.COUNTRIES, atlas.CLIMATE)}
    facts: dict[str, Any] = {"words": spec.words, "words_sha256": its.sha256, "atlas": tables}
    if texts is not None and its.rewritten is not None:
        facts["rewritten"] = {**texts.origin, "sha256": files.sha256_of(its.rewritten)}
    text = json.dumps([VERSION, facts, sorted(values.items())], sort_keys=True)
    return Gathered(values, hashlib.sha256(text.encode()).hexdigest(), facts)


def _rewritten(its: Annotation) -> Rewritten | None:
    return None if its.rewritten is None else rewritten.of_bytes(its.rewritten.read_bytes(), str(its.rewritten))


def captions(sample: Subject) -> Counted | None:
    """`captions`, `sources`, `facts`, `language`, and the same of each season; None of a sample with too few facts."""
    lexicon = words.of_bytes(sample.beside, _WORDS)
    made = _captions(sample, lexicon, None)
    if made is None:
        return None
    value, refused = made
    by_season = {s: its[0] for s in sample.seasons if (its := _captions(sample, lexicon, s)) is not None}
    return Counted(value | {"language": lexicon.language, "seasons": by_season, "version": VERSION}, refused)


def caption(sample: Subject) -> str | None:
    """The first of `captions`; None of a sample with too few facts."""
    made = _captions(sample, words.of_bytes(sample.beside, _WORDS), None)
    return None if made is None else str(made[0]["captions"][0])


_WORDS = "the file of words"


def _captions(sample: Subject, lexicon: Words, season: str | None) -> tuple[dict[str, Any], Counter[str]] | None:
    """Texts of a sample, or of one of its seasons, with their facts; and rewritten ones that are not true, by reason."""
    read = sample.gathered or {}
    facts = facts_of(sample, season, read.get("place"))
    drafts = writing.captions_of(sample.key if season is None else f"{sample.key}/{season}", facts, lexicon)
    if not drafts:
        return None
    texts, refused = rewritten.accepted(read.get("rewritten", []), lexicon, facts)
    every = [*(Caption(t, checking.facts_in(t, lexicon, facts)) for t in texts), *drafts]
    chosen = list({c.text: c for c in every}.values())[: writing.MOST]
    made = {
        "captions": [c.text for c in chosen],
        "sources": [list(c.sources) for c in chosen],
        "facts": {f.name: f.to_json() for f in facts},
    }
    if texts:  # what they are rewritten of stays whole, so that the same is not asked for again
        made |= {"rewritten": sum(c.text in texts for c in chosen), "drafts": [c.text for c in drafts]}
    return made, refused
