"""The words that captions are made of: a file per language, which says how each fact is told."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import Field, ValidationError, model_validator

from curation.errors import ConfigError
from curation.pack.captions.facts import AMOUNTS, COMPASS, MONTHS, POSITIONS, RELIEF, SEASONS, WATER, ZONES
from curation.recipe.strict import StrictTable

Ways = Annotated[list[str], Field(min_length=1)]
"""How one fact is told."""

Table = dict[str, Ways]

LONGEST = 64
"""Characters of a way of telling: a phrase, no sentence."""

NUMBERS: Mapping[str, Sequence[str]] = {
    "city": ("km", "direction", "city"), "near": ("city",), "country": ("country",), "altitude": ("m",), "year": ("year",),
    "month": ("month", "year"), "season": ("season", "year"),
}  # fmt: skip
"""Forms of `[numbers]`, and what each has to name."""

SLOTS = {
    *(
        "cover",
        "more",
        "main",
        "chief",
        "layout",
        "place",
        "time",
        "relief",
        "altitude",
        "climate",
        "water",
        "sensors",
        "columns",
    ),
}
"""What texts may name."""

GROUPS = ("first", "cover", "sensor", "setting", "layout", "spare", "bare")
"""Groups of texts, in order; of the last two one stands in for others, one is for samples without a class that is named."""

_SLOT = re.compile(r"\{(\w+)\}")

_NEEDED: dict[str, Sequence[str]] = {
    "amounts": [*AMOUNTS], "positions": POSITIONS, "directions": COMPASS, "seasons": SEASONS,
    "months": [str(m) for m in MONTHS], "relief": [*RELIEF], "climates": ZONES, "water": WATER, "sea": ("sea",),
    "numbers": [*NUMBERS], "texts": GROUPS, "joints": ("comma", "last"),
}  # fmt: skip
"""Tables in which each of these keys stands: a language without one could not tell a fact that another does."""


class Words(StrictTable):
    """A file of words."""

    language: str = Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]+)*$")
    """As BCP 47 has it."""
    amounts: Table
    covers: Table
    positions: Table
    directions: Table
    seasons: Table
    months: Table
    relief: Table
    climates: Table
    water: Table
    sea: Table
    sensors: Table
    columns: dict[str, Table] = Field(default_factory=dict)
    values: Table = Field(default_factory=dict)
    countries: Table = Field(default_factory=dict)
    numbers: Table
    joints: dict[str, str]
    texts: Table
    plain: dict[str, str]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for table, keys in _NEEDED.items():
            if missing := [k for k in keys if k not in getattr(self, table)]:
                raise ValueError(f"[{table}] has no {', '.join(missing)}: each has to be told")
        for form, slots in NUMBERS.items():
            for way in self.numbers[form]:
                if sorted(_SLOT.findall(way)) != sorted(slots):
                    raise ValueError(f"[numbers] {form}: {way!r}: expected {sorted(slots)} in {{braces}}, each once")
                _check_braces(way)
        for column, way in ((c, w) for c, ways in self.values.items() for w in ways):
            if _SLOT.findall(way) != ["value"]:
                raise ValueError(f"[values] {column}: {way!r}: expected {{value}} once")
            _check_braces(way)
        if odd := [s for ways in self.texts.values() for w in ways for s in _SLOT.findall(w) if s not in SLOTS]:
            raise ValueError(f"[texts] name {{{odd[0]}}}: expected of {', '.join(sorted(SLOTS))}")
        return self

    @model_validator(mode="after")
    def _tells_one_fact_each(self) -> Self:
        seen: dict[str, tuple[str, str]] = {}
        for phrase in phrases_of(self):
            if not phrase.words or len(phrase.text) > LONGEST:
                raise ValueError(
                    f"[{phrase.table}] {phrase.value}: {phrase.text!r}: expected 1 to {LONGEST} characters"
                )
            fact, text = (phrase.table, phrase.value), " ".join(phrase.words)
            if seen.setdefault(text, fact) != fact:
                raise ValueError(f"{phrase.text!r} tells both {seen[text]} and {fact}: say one of them otherwise")
        return self

    @functools.cached_property
    def units(self) -> Mapping[str, str]:
        """What stands behind a number → the fact that the number is."""
        found: dict[str, str] = {}
        for form, slot, name in (("city", "km", "city.km"), ("altitude", "m", "altitude")):
            for way in self.numbers[form]:
                found |= dict.fromkeys(split(way.partition(f"{{{slot}}}")[2])[:1], name)
        return found

    @functools.cached_property
    def lexicon(self) -> Lexicon:
        """All that a text may be made of beside names and numbers."""
        plain = {(w.casefold(),) for w in self.plain["words"].split()}
        forms = [w for ways in self.numbers.values() for w in ways]
        plain |= {
            (w,) for f in [*forms, *self.joints.values()] for w in split(_SLOT.sub(" ", f)) if w not in self.units
        }
        out: dict[tuple[str, ...], tuple[tuple[str, str], ...]] = dict.fromkeys(sorted(plain), (("plain", ""),))
        out |= {split(w.partition("{")[0]): (("near", "near"),) for w in self.numbers["near"]}
        for phrase in phrases_of(self):
            out[phrase.words] = ((phrase.table, phrase.value),)
        return out


def _check_braces(way: str) -> None:
    """Passes where braces are around slots alone. Raises ValueError."""
    if re.search(r"[{}]", _SLOT.sub("", way)):
        raise ValueError(f"{way!r}: braces stand around a name alone")


@dataclass(frozen=True, slots=True)
class Phrase:
    """One way of telling one fact."""

    table: str
    """The table of the file that it stands in; `column.<column>` of a column's value."""
    value: str
    text: str

    @property
    def words(self) -> tuple[str, ...]:
        """Its words, as a text is taken apart."""
        return split(self.text)


Lexicon = Mapping[tuple[str, ...], tuple[tuple[str, str], ...]]
"""Words of a phrase → kind and value of what it tells; `plain` tells nothing."""

WORD = re.compile(r"\w+(?:[-'’]\w+)*")
"""A word of a text, numbers among them: `built-up`, `north-east`."""

_PHRASES = (
    *("amounts", "covers", "positions", "directions", "seasons", "months", "relief", "climates", "water", "sea"),
    "sensors",
)
"""Tables of phrases that stand as they are."""


def split(text: str) -> tuple[str, ...]:
    """The words of a text, as texts are compared."""
    return tuple(w.casefold() for w in WORD.findall(text))


def phrases_of(words: Words) -> Iterator[Phrase]:
    """All phrases that a file has."""
    for kind in _PHRASES:
        for value, ways in getattr(words, kind).items():
            yield from (Phrase(kind, value, way) for way in ways)
    for column, table in words.columns.items():
        for value, ways in table.items():
            yield from (Phrase(f"column.{column}", value, way) for way in ways)


@functools.lru_cache(maxsize=8)
def of_bytes(data: bytes, where: str) -> Words:
    """The words of a file.

    Raises:
        ConfigError: it is none; what is wrong is told.
    """
    try:
        return Words.model_validate(tomllib.loads(data.decode()))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as err:
        raise ConfigError(f"{where}: no file of words: {err}") from err
    except ValidationError as err:
        first = err.errors()[0]
        at = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{where}: {at}{': ' if at else ''}{first['msg'].removeprefix('Value error, ')}") from err


def class_ways(words: Words, label: str) -> Sequence[str]:
    """How a class is told; empty where the file does not have it and its own name is none of plain words."""
    return words.covers.get(label) or [n for n in plain_name(label) if split(n) not in words.lexicon]


def country_ways(words: Words, name: str) -> Sequence[str]:
    """How a country is told: by its own name where the file has no other; an abbreviated one is not."""
    return words.countries.get(name) or ([name] if name and "." not in name else [])


def plain_name(name: str) -> Sequence[str]:
    """A name of a user's as it is told: `winter_wheat` as `winter wheat`; empty where it is not of one to four words."""
    text = name.replace("_", " ").strip().lower()
    return [text] if re.fullmatch(r"[^\W\d_]+(?:[ -][^\W\d_]+){0,3}", text) and len(text) <= LONGEST else []
