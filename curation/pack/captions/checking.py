"""What a caption tells, read from its text alone, and whether that is what is stored. Pure.

A text is taken apart into phrases of the file of words, names and numbers of the sample's facts, and plain words. What is
none of these is a word that nothing stored says anything of, and the text is refused for it: a text is true where all of it
is understood, and all that it tells is a fact. Where a city lies is understood in the forms of the file alone: a name by
itself would say that it is on the picture.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from curation.pack.captions import words as tables
from curation.pack.captions.facts import DOMINANT, StoredFact, covers_of, label_of
from curation.pack.captions.words import WORD, Lexicon, Words
from curation.pack.captions.writing import column_way

Statement = tuple[str, str]
"""Name and value, as facts have them."""

ANY = "any"
"""Amount of a class that is told without one."""


class Fault(StrEnum):
    """Why a caption is not taken."""

    UNKNOWN_WORD = "unknown_word"
    """A word that no fact says anything of."""
    UNCLEAR = "unclear"
    """An amount or a position that goes with no class, a number that goes with nothing, or a city, a distance or a direction
    that is told in no form of the file."""
    FALSE = "false"
    """It tells what is not stored so."""
    CONTRADICTION = "contradiction"
    """It tells two values of one thing."""
    DOMINANT_MISSING = "dominant_missing"
    """It tells classes, and not the one that covers half."""
    EMPTY = "empty"
    """It tells nothing."""
    FORM = "form"
    """It does not begin as a sentence does, does not end as one, or has characters that no caption has."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a text tells."""

    statements: tuple[Statement, ...]
    unknown: tuple[str, ...]
    """Words that are not understood."""
    loose: tuple[str, ...]
    """Amounts, positions, numbers and parts of a city's place that go with nothing."""


@dataclass(frozen=True, slots=True)
class _Token:
    at: int
    """Number of its phrase; one that may be read in two ways is two of the same number."""
    table: str
    value: str
    text: str


_PARTS = re.compile(rf"{WORD.pattern}|[.;:!?]|-(?=\s*\d)")
"""Words, marks, and the minus of a number, which none that is told has."""


def parse(text: str, words: Words, facts: Sequence[StoredFact]) -> Parsed:
    """What a text tells.

    Args:
        text: the caption.
        words: of its language.
        facts: of the sample, of which names (of cities, countries, classes of a user's own) are known words, and no more.
    """
    out: list[Statement] = []
    unknown: list[str] = []
    loose: list[str] = []
    amount, label = "", ""

    def end_amount() -> None:
        nonlocal amount
        loose.extend([amount] if amount else [])
        amount = ""

    tokens = [*_tokens(text, words, facts)]
    alone = _alone(tokens, words)
    for token in [*tokens, _Token(len(tokens), "end", "", "")]:
        match token.table:
            case "end":
                end_amount()
                label = ""
            case "amounts":
                end_amount()
                amount = token.value
            case "covers":
                label = token.value
                out.append((f"cover.{label}", amount or ANY))
                amount = ""
            case "positions" if label:
                out.append((f"layout.{label}", token.value))
            case "positions" | "number":
                loose.append(token.text)
            case kind if kind in _OF_CITIES and token.at in alone:
                loose.extend([token.text] if alone[token.at] else [])
            case "unknown":
                unknown.append(token.text)
            case "sensors":
                out.append((f"sensor.{token.value}", "yes"))
            case "plain":
                pass
            case kind:
                out.append((_NAMES.get(kind, kind), token.value))
    return Parsed(tuple(dict.fromkeys(out)), tuple(unknown), tuple(loose))


_OF_CITIES = {"city.km": "km", "directions": "direction", "near": "near", "city": "city"}
"""Table of phrases → slot of the forms of where a city lies; `near` stands for what goes before its name."""


def _alone(tokens: Sequence[_Token], words: Words) -> dict[int, bool]:
    """Phrases that tell a part of where a city lies outside all forms of that → whether they tell nothing else."""
    kinds: dict[int, set[str]] = {}
    for token in tokens:
        kinds.setdefault(token.at, set()).update((token.table, f"={token.text.casefold()}"))
    within: set[int] = set()
    for form, start in itertools.product(_city_forms(words), kinds):
        phrases = range(start, start + len(form))
        if all(part in kinds.get(at, ()) for at, part in zip(phrases, form, strict=True)):
            within.update(phrases)
    readings = {at: {k for k in its if not k.startswith("=")} for at, its in kinds.items()}
    return {at: its <= {*_OF_CITIES} for at, its in readings.items() if its & {*_OF_CITIES} and at not in within}


def _city_forms(words: Words) -> list[tuple[str, ...]]:
    """The forms of where a city lies, each as tables and plain words (`=of`) in order; with the distance and without."""
    table_of = {slot: table for table, slot in _OF_CITIES.items()}
    near = [tuple(map(tables.split, way.split("{city}"))) for way in words.numbers["near"]]
    out = [("near", "city") if before else ("city", *(f"={w}" for w in after)) for before, after in near]
    for way in words.numbers["city"]:
        for form in (way, re.sub(r"\{km\}[^{]*", "", way)):
            core = form[form.index("{") : form.rindex("}") + 1]
            parts = re.findall(rf"\{{(\w+)\}}|({WORD.pattern})", core)
            out.append(
                tuple(table_of[s] if s else f"={w.casefold()}" for s, w in parts if w.casefold() not in words.units)
            )
    return out


_NAMES = {
    "directions": "city.direction",
    "seasons": "season",
    "months": "month",
    "climates": "climate",
    "near": "city.km",
}
"""Table of phrases → the fact that they tell, where it is called otherwise."""


def faults(text: str, words: Words, facts: Sequence[StoredFact]) -> dict[Fault, str]:
    """What is wrong with a caption, each kind with what it is; empty of one that is true."""
    parsed = parse(text, words, facts)
    known = {f.pair for f in facts} | {(f.name, ANY) for f in covers_of(facts)}
    wrong = [s for s in parsed.statements if s not in known]
    values: dict[str, str] = {}
    twice = [n for n, v in parsed.statements if v != ANY and values.setdefault(n, v) != v]
    dominant = [f for f in covers_of(facts) if (f.measured or 0) >= DOMINANT and tables.class_ways(words, label_of(f))]
    covers = [s for s in parsed.statements if s[0].startswith("cover.")]
    found = {
        Fault.UNKNOWN_WORD: ", ".join(parsed.unknown),
        Fault.UNCLEAR: ", ".join(parsed.loose),
        Fault.FALSE: ", ".join(f"{n} = {v}" for n, v in wrong),
        Fault.CONTRADICTION: ", ".join(twice),
        Fault.DOMINANT_MISSING: ", ".join(f.name for f in dominant if covers and f.pair not in covers),
        Fault.EMPTY: "" if parsed.statements else repr(text),
        Fault.FORM: "" if is_sentence(text) else repr(text[:1] + text[-1:]),
    }
    return {fault: what for fault, what in found.items() if what}


def is_sentence(text: str) -> bool:
    """Whether a text begins with no small letter, ends with a full stop, and has words, spaces and few marks alone."""
    shape = re.fullmatch(r"[^\W_](?:[^\W_]|[ ,;:.'’()/-])*\.", text)
    return shape is not None and text[0] == text[0].upper() and "  " not in text and ".." not in text


def facts_in(text: str, words: Words, facts: Sequence[StoredFact]) -> tuple[str, ...]:
    """Names of the facts that a text tells, in their order."""
    names = {name for name, _ in parse(text, words, facts).statements}
    return tuple(f.name for f in facts if f.name in names)


def _tokens(text: str, words: Words, facts: Sequence[StoredFact]) -> Iterator[_Token]:
    """The text from left to right, the longest phrase first."""
    parts = _PARTS.findall(text)
    lower = [p.casefold() for p in parts]
    known = _lexicon(words, facts)
    longest = max(map(len, known))
    at = number = 0
    while at < len(parts):
        size = next((n for n in range(min(longest, len(parts) - at), 0, -1) if tuple(lower[at : at + n]) in known), 0)
        if size:
            for kind, value in known[tuple(lower[at : at + size])]:
                yield _Token(number, kind, value, " ".join(parts[at : at + size]))
        elif lower[at].isdecimal():
            kind, size = _number(lower[at:], words.units)
            yield _Token(number, kind, lower[at], parts[at])
        else:
            yield _Token(number, _MARKS.get(parts[at], "unknown"), "", parts[at])
        at, number = at + max(size, 1), number + 1


_MARKS = {".": "end", ";": "end", ":": "plain", "!": "end", "?": "end"}


def _lexicon(words: Words, facts: Sequence[StoredFact]) -> Lexicon:
    """Words of phrases, and of the names that facts have, → kind and value."""
    out = dict(words.lexicon)

    def add(phrase: str, kind: str, value: str) -> None:
        key = tables.split(phrase)
        out[key] = tuple(dict.fromkeys([*(k for k in out.get(key, ()) if k[0] != "plain"), (kind, value)]))

    for fact in facts:
        if fact.name == "city":
            add(fact.value, fact.name, fact.value)
        elif fact.name == "country":
            for way in tables.country_ways(words, fact.value):
                add(way, fact.name, fact.value)
        elif fact.name.startswith("cover."):
            for way in tables.class_ways(words, label_of(fact)):
                add(way, "covers", label_of(fact))
        elif fact.name.startswith("column."):
            for way in column_way(words, label_of(fact), fact.value):
                add(way, fact.name, fact.value)
    return out


def _number(rest: Sequence[str], units: Mapping[str, str]) -> tuple[str, int]:
    """What a number is, and how many words that takes: kilometres, metres, a year, or nothing that is known."""
    if len(rest) > 1 and rest[1] in units:
        return units[rest[1]], 2
    is_year = len(rest[0]) == 4 and 1900 <= int(rest[0]) <= 2100
    return ("year" if is_year else "number"), 1
