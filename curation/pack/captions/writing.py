"""Captions of facts: texts of the templates of a file of words, drawn by the sample's key. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from curation.pack.captions import words as tables
from curation.pack.captions.facts import AMOUNTS, DOMINANT, LARGE, StoredFact, covers_of, label_of
from curation.pack.captions.words import GROUPS, Words

FEWEST, MOST = 3, 5
"""Captions of a sample."""

_OPTIONAL, _SLOT = re.compile(r"\[([^\[\]]*)\]"), re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Caption:
    """One text."""

    text: str
    sources: tuple[str, ...]
    """Names of the facts that it tells, in their order there."""


Said = tuple[str, list[str]]
"""Words, and names of the facts that they tell."""


@dataclass(frozen=True, slots=True)
class _Draw:
    """One text in the making: ways are drawn by what the sample is and what they are drawn for."""

    words: Words
    facts: Sequence[StoredFact]
    seed: str

    def one_of(self, ways: Sequence[str], what: str) -> str:
        """One of several ways."""
        return ways[drawn(f"{self.seed}/{what}", len(ways))]

    def value(self, name: str) -> str | None:
        """Of the fact of that name."""
        return next((f.value for f in self.facts if f.name == name), None)

    def starting(self, prefix: str) -> list[StoredFact]:
        """Facts whose names begin so."""
        return [f for f in self.facts if f.name.startswith(prefix)]

    def joined(self, parts: Sequence[Said]) -> Said | None:
        """`a, b and c`, with the facts that they tell; None of none."""
        if not parts:
            return None
        texts, comma, last = [t for t, _ in parts], self.words.joints["comma"], self.words.joints["last"]
        text = last.join([comma.join(texts[:-1]), texts[-1]]) if len(texts) > 1 else texts[0]
        return text, [n for _, names in parts for n in names]


def drawn(what: str, count: int) -> int:
    """A number from 0 to before `count` that follows from a text: the same everywhere, whatever Python hashes by."""
    return int.from_bytes(hashlib.sha256(what.encode()).digest()[:8], "big") % count


def captions_of(key: str, facts: Sequence[StoredFact], words: Words) -> list[Caption]:
    """3 to 5 different texts, the first with all classes that are named, where, and when; none where too little is known.

    Args:
        key: of the sample, with the season where they are of one.
        facts: what may be told.
        words: how.
    """
    named, out = bool(covers_of(facts)), dict[str, Caption]()
    for group in _NAMED if named else ():
        for caption in _written(key, group, facts, words, words.texts[group]):
            out.setdefault(caption.text, caption)
            break
    stand_in = "spare" if named else "bare"
    for caption in _written(key, stand_in, facts, words, words.texts[stand_in]):
        if len(out) < (MOST if named else FEWEST):
            out.setdefault(caption.text, caption)
    return list(out.values())[:MOST] if len(out) >= FEWEST else []


_NAMED = GROUPS[:-2]
"""Groups that each have a text of a sample with a class that is named."""


def _written(key: str, what: str, facts: Sequence[StoredFact], words: Words, ways: Sequence[str]) -> Iterator[Caption]:
    """The texts of a group whose facts are all there, the one that is drawn first."""
    first = drawn(f"{key}/{what}", len(ways))
    for number in range(len(ways)):
        made = _filled(ways[(first + number) % len(ways)], _Draw(words, facts, f"{key}/{what}/{number}"))
        if made is not None:
            text, names = made
            yield Caption(text[:1].upper() + text[1:], tuple(f.name for f in facts if f.name in names))


def _filled(template: str, draw: _Draw) -> Said | None:
    """The text; None where a fact is missing that does not stand in brackets."""
    values = {s: SLOTS[s](draw) for s in _SLOT.findall(template)}
    missing = {s for s, its in values.items() if its is None}
    text = _OPTIONAL.sub(lambda m: "" if missing & {*_SLOT.findall(m[1])} else m[1], template)
    slots = _SLOT.findall(text)
    if missing & {*slots}:
        return None
    known = {s: its for s, its in values.items() if its is not None}
    return _SLOT.sub(lambda m: known[m[1]][0], text), [n for s in slots for n in known[s][1]]


def _classes(draw: _Draw, facts: Sequence[StoredFact]) -> Said | None:
    out = []
    for its in facts:
        if ways := tables.class_ways(draw.words, label_of(its)):
            how = draw.one_of(draw.words.amounts[its.value], f"amount of {its.name}")
            out.append((f"{how} {_noun(ways, its)}", [its.name]))
    return draw.joined(out)


def _noun(ways: Sequence[str], its: StoredFact) -> str:
    """What a class is called, by how much of it there is: words alone then tell that, too."""
    share = its.measured or 0
    return ways[min(0 if share >= DOMINANT else 1 if share >= LARGE else 2, len(ways) - 1)]


def _cover(least: str) -> Callable[[_Draw], Said | None]:
    """Of the classes that cover so much, or else of the greatest."""

    def cover(draw: _Draw) -> Said | None:
        covers = covers_of(draw.facts)
        return _classes(draw, [f for f in covers if (f.measured or 0) >= AMOUNTS[least]] or covers[:1])

    return cover


def _layout(draw: _Draw) -> Said | None:
    out = []
    covers = {label_of(f): f for f in covers_of(draw.facts)}
    for its in draw.starting("layout."):
        if ways := tables.class_ways(draw.words, label_of(its)):
            where, cover = draw.one_of(draw.words.positions[its.value], its.name), covers[label_of(its)]
            out.append((f"{_noun(ways, cover)} {where}", [its.name, cover.name]))
    return draw.joined(out)


def _phrase(name: str, table: str) -> Callable[[_Draw], Said | None]:
    """Of a fact whose value is a key of a table."""

    def phrase(draw: _Draw) -> Said | None:
        value = draw.value(name)
        return None if value is None else (draw.one_of(getattr(draw.words, table)[value], name), [name])

    return phrase


def _form(form: str, *names: str) -> Callable[[_Draw], Said | None]:
    """Of a form of `[numbers]`, whose slots are values of facts."""

    def filled(draw: _Draw) -> Said | None:
        values = [draw.value(n) for n in names]
        slots = dict(zip(tables.NUMBERS[form], values, strict=True))
        return None if None in values else (draw.one_of(draw.words.numbers[form], form).format(**slots), [*names])

    return filled


def _country(draw: _Draw) -> Said | None:
    ways = tables.country_ways(draw.words, draw.value("country") or "")
    if not ways:
        return None
    return draw.one_of(draw.words.numbers["country"], "country").format(country=draw.one_of(ways, "name")), ["country"]


def _city(draw: _Draw) -> Said | None:
    city, km, direction = (draw.value(n) for n in CITY)
    if city is None or km is None:
        return None
    if direction is None:
        return draw.one_of(draw.words.numbers["near"], "near").format(city=city), [*CITY[:2]]
    way = draw.one_of(draw.words.directions[direction], "direction")
    text = draw.one_of(draw.words.numbers["city"], "city").format(km=km, direction=way, city=city)
    return text, [*CITY]


CITY = ("city", "city.km", "city.direction")
"""Facts of the nearest city."""


def _place(draw: _Draw) -> Said | None:
    """Sea or country, and nearest city, whichever are known."""
    parts = [p for p in (_phrase("sea", "sea")(draw), _country(draw), _city(draw)) if p is not None]
    return (
        (draw.words.joints["comma"].join(t for t, _ in parts), [n for _, its in parts for n in its]) if parts else None
    )


def _time(draw: _Draw) -> Said | None:
    """Month or season, whichever is drawn of those known, and year."""
    year = draw.value("year")
    ways = [(n, t) for n, t in (("month", "months"), ("season", "seasons")) if draw.value(n) is not None]
    if not ways:
        return _form("year", "year")(draw)
    name, table = ways[drawn(f"{draw.seed}/time", len(ways))]
    way = _phrase(name, table)(draw)
    if way is None or year is None:
        return way
    return draw.one_of(draw.words.numbers[name], name).format(**{name: way[0], "year": year}), [name, "year"]


def _sensors(draw: _Draw) -> Said | None:
    its = [(ways, f) for f in draw.starting("sensor.") if (ways := draw.words.sensors.get(label_of(f)))]
    return draw.joined([(draw.one_of(ways, f.name), [f.name]) for ways, f in its])


def _columns(draw: _Draw) -> Said | None:
    """What columns of the user's say, where the words have them."""
    its = [(way, f) for f in draw.starting("column.") if (way := column_way(draw.words, label_of(f), f.value))]
    parts = [draw.one_of(way, f.name) for way, f in its]
    return (draw.words.joints["comma"].join(parts), [f.name for _, f in its]) if parts else None


def column_way(words: Words, column: str, value: str) -> Sequence[str]:
    """How a column's value is told; empty where the words do not say, or it is none of plain words."""
    if column in words.columns:
        return words.columns[column].get(value, [])
    name = tables.plain_name(value)
    return [way.format(value=name[0]) for way in words.values.get(column, [])] if name else []


SLOTS: Mapping[str, Callable[[_Draw], Said | None]] = {
    "cover": _cover("trace"),
    "more": _cover("some"),
    "main": _cover("large"),
    "chief": _cover("much"),
    "layout": _layout,
    "place": _place,
    "time": _time,
    "relief": _phrase("relief", "relief"),
    "altitude": _form("altitude", "altitude"),
    "climate": _phrase("climate", "climates"),
    "water": _phrase("water", "water"),
    "sensors": _sensors,
    "columns": _columns,
}
"""What each slot of a text is, of what is known; None where that is too little."""
