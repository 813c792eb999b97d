"""Whose spectral response the images of a part are of: what its samples say, or an error. Nothing is taken on trust."""

from __future__ import annotations

import reprlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa

from curation.errors import ConfigError, DamageError
from curation.format.index import ArrayEntry
from curation.stream.opening import OpenSplit, known_columns, rows_having

UNKNOWN = ""
"""The satellite of an image that does not say it."""


def arrays_of(
    opened: OpenSplit, arrays: Sequence[str], seasons: Iterable[str], platform: str, where: str
) -> frozenset[str]:
    """Those of the arrays whose source tells its satellites, all of which are the one that is named.

    Args:
        opened: the split.
        arrays: what images are made of; static ones are of no satellite.
        seasons: that may be drawn.
        platform: the satellite, as STAC calls it.
        where: the part, for errors.

    Raises:
        ConfigError: no source says which satellites its scenes are of, one does not say it of each, or some are of others.
        DamageError: the samples table says it in no text.
    """
    of = {a: opened.index.arrays[a] for a in arrays if not opened.index.arrays[a].is_static}
    drawn = {a: [s for s in seasons if s in entry.seasons] for a, entry in of.items()}
    table = known_columns(opened, [_column(of[a].source, s) for a in of for s in drawn[a]])
    telling = [a for a in of if drawn[a] and all(_column(of[a].source, s) in table.column_names for s in drawn[a])]
    if not telling:
        tables = ", ".join(f"[sources.{name}]" for name in sorted({e.source for e in of.values()}))
        raise ConfigError(
            f"{where}: platform = {platform!r}: its samples do not say which satellite they are of: "
            + (
                f"say angles = true in {tables} of the recipe, which is told by what is built then"
                if tables
                else _STATIC
            )
            + "; or leave platform out"
        )
    for array in telling:
        found: Counter[str] = Counter()
        for season in drawn[array]:
            values = _names(table, _column(of[array].source, season), where)
            found.update(values[row] or "" for row in rows_having(opened, array, season))
        if other := {name or UNKNOWN: n for name, n in sorted(found.items()) if name != platform}:
            raise ConfigError(
                f"{where}: platform = {platform!r}: of the images of {array} {_in_words(other)} are of other satellites, "
                f"and {found[platform]} of it: read seasons that have but it, a split that has ([split] rule = 'platform'), "
                f"or leave platform out, {_without(of[array])}"
            )
    return frozenset(telling)


_STATIC = "none of its arrays is of a source with time, of which satellites are told"


def _in_words(others: Mapping[str, int]) -> str:
    """Satellites, and how many images are of each: `3 of sentinel-1a, 1 of none that is told`."""
    return ", ".join(f"{n} of {name if name != UNKNOWN else 'none that is told'}" for name, n in others.items())


def _without(entry: ArrayEntry) -> str:
    """What wavelengths are then: of radar all satellites of its kind have the same."""
    if any(band.kind == "radar" for band in entry.canonical):
        return "since radar's frequency is the same for all of its kind"
    return "where wavelengths of the first of its kind stand for all"


def _column(source: str, season: str) -> str:
    return f"{source}_platform_{season}"


def _names(table: pa.Table, column: str, where: str) -> list[str | None]:
    """What a column says of each sample. Raises DamageError where that is no text."""
    values: list[str | None] = table.column(column).to_pylist()
    if odd := [value for value in values if value is not None and type(value) is not str]:
        raise DamageError(f"{where}: {column} of the samples table: {reprlib.repr(odd[0])} is no text: pack again")
    return values
