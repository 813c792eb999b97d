"""What a text of a sample may be made of: each way of telling each of its facts, and the words that tell nothing. Pure.

It is what `checking` takes a text apart by, told beforehand to whoever writes one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from curation.pack.captions import words as tables
from curation.pack.captions.facts import StoredFact
from curation.pack.captions.words import Words
from curation.pack.captions.writing import CITY, column_way

Ways = list[str]


def vocabulary(words: Words, facts: Sequence[StoredFact]) -> dict[str, list[str] | dict[str, Ways]]:
    """`plain`: words that tell nothing; `facts`: name of each fact that can be told → the phrases that tell it.

    Args:
        words: of the language.
        facts: of the sample.
    """
    plain = sorted(" ".join(key) for key, of in words.lexicon.items() if of == (("plain", ""),))
    ways_of = {f.name: _ways(words, f, facts) for f in facts}
    return {"plain": plain, "facts": {name: ways for name, ways in ways_of.items() if ways}}


def _ways(words: Words, fact: StoredFact, facts: Sequence[StoredFact]) -> Ways:
    kind, _, label = fact.name.partition(".")
    if fact.name in CITY:
        return _city(words, {f.name: f.value for f in facts}) if fact.name == "city" else []
    if kind in _OF_LABELS:
        return _OF_LABELS[kind](words, label, fact.value)
    if fact.name in _PHRASES:
        table: Mapping[str, Ways] = getattr(words, _PHRASES[fact.name])
        return table[fact.value]
    values = tables.country_ways(words, fact.value) if kind == "country" else [fact.value]
    forms = words.numbers.get(kind, [])
    return [form.format(**dict.fromkeys(tables.NUMBERS[kind], value)) for form in forms for value in values]


def _cover(words: Words, label: str, amount: str) -> Ways:
    return [f"{how} {noun}" for how in words.amounts[amount] for noun in tables.class_ways(words, label)]


def _layout(words: Words, label: str, position: str) -> Ways:
    return [f"{noun} {where}" for noun in tables.class_ways(words, label) for where in words.positions[position]]


_OF_LABELS: Mapping[str, Callable[[Words, str, str], Ways]] = {
    "cover": _cover,
    "layout": _layout,
    "sensor": lambda words, name, _: words.sensors.get(name, []),
    "column": lambda words, name, value: list(column_way(words, name, value)),
}
"""First part of a fact's name → ways of telling it, by the rest of its name and its value."""

_PHRASES = {
    "sea": "sea",
    "season": "seasons",
    "month": "months",
    "relief": "relief",
    "climate": "climates",
    "water": "water",
}
"""Fact → the table whose key its value is."""


def _city(words: Words, values: Mapping[str, str]) -> Ways:
    """Of where a city lies all at once: by itself its name would say that it is on the picture."""
    name, km, direction = (values.get(n) for n in CITY)
    if name is None or km is None:
        return []
    if direction is None:
        return [form.format(city=name) for form in words.numbers["near"]]
    return [
        form.format(km=km, direction=way, city=name)
        for form in words.numbers["city"]
        for way in words.directions[direction]
    ]
