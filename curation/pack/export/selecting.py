"""Which patches or samples are exported: conditions on what is known of each, as a person writes them. No code is run."""

from __future__ import annotations

import datetime as dt
import operator
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from curation.errors import ConfigError
from curation.errors.printable import printable
from curation.errors.words import did_you_mean
from curation.model import iso
from curation.store import local

_FORM = re.compile(r"\s*([A-Za-z0-9_.-]+)\s*(<=|>=|!=|=|<|>|\bin\b)(?![=<>!])\s*(\S.*?)\s*")

_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

EXPECTED = "expected NAME = VALUE, with !=, <, <=, > or >= as well, or NAME in FILE or in A,B,C"


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition: all of several have to hold."""

    name: str
    """Of what is known of a patch or a sample."""
    relation: str
    """`=`, `!=`, `<`, `<=`, `>`, `>=` or `in`."""
    values: tuple[str, ...]
    """One; of `in` any of them."""

    @property
    def text(self) -> str:
        """As a person may write it."""
        return f"{self.name} {self.relation} {','.join(self.values)}"

    def holds(self, value: Any) -> bool:
        """Whether a value is such. What is not known (None) is nothing, and so is no condition's but of `!=`.

        A list has a value where it holds it. Text is compared as text, so that instants in ISO 8601 are in order of time.

        Raises:
            ConfigError: it is a number, and the condition's value is none.
        """
        if self.relation == "!=":
            return not Condition(self.name, "=", self.values).holds(value)
        if value is None:
            return False
        if self.relation in ("=", "in"):
            each = value if isinstance(value, list | tuple) else [value]
            return any(self._is(its, wanted) for its in each for wanted in self.values)
        if isinstance(value, list | tuple):
            raise ConfigError(f"--select {self.text}: {self.name} is a list, which only = and != say something of")
        return _ORDER[self.relation](*self._alike(value, self.values[0]))

    def _is(self, value: Any, wanted: str) -> bool:
        mine, its = self._alike(value, wanted)
        return bool(mine == its)

    def _alike(self, value: Any, wanted: str) -> tuple[Any, Any]:
        """A value and one that it is compared with, of one type."""
        if isinstance(value, bool):
            if wanted.lower() not in ("true", "false"):
                raise ConfigError(f"--select {printable(self.text)}: {self.name} is true or false, got {wanted!r}")
            return value, wanted.lower() == "true"
        if isinstance(value, dt.datetime):
            return iso(value), wanted
        if isinstance(value, str):
            return value, wanted
        try:
            return float(value), float(wanted)
        except ValueError as err:
            raise ConfigError(
                f"--select {printable(self.text)}: {self.name} is a number, got {printable(wanted)!r}"
            ) from err


def conditions(texts: Sequence[str]) -> tuple[Condition, ...]:
    """The conditions that `--select` states. Of `in` what names a file stands for its lines, each a value.

    Raises:
        ConfigError: one is no condition.
    """
    return tuple(map(_condition, texts))


def _condition(text: str) -> Condition:
    found = _FORM.fullmatch(text)
    if found is None:
        raise ConfigError(f"--select {printable(text)!r}: {EXPECTED}")
    name, relation, rest = found.groups()
    if relation != "in":
        return Condition(name, relation, (rest.strip("\"'"),))
    named = os.path.isfile(rest)  # noqa: PTH113 of what is too long for a path it is False, where Path raises
    lines = _lines(rest) if named else rest.split(",")
    values = tuple(dict.fromkeys(v for line in lines if (v := line.strip())))
    if not values:
        raise ConfigError(f"--select {printable(text)!r}: no value; {EXPECTED}")
    return Condition(name, relation, values)


def _lines(path: str) -> list[str]:
    """The lines of a file of values; a mark of byte order at its head is none of the first."""
    try:
        return local.content(path).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as err:
        raise ConfigError(f"--select: {printable(path)}: not UTF-8 ({err}); expected text, a value a line") from err


def check_known(asked: Sequence[Condition], known: Collection[str], where: str) -> None:
    """Passes where each condition is on something that is known.

    Raises:
        ConfigError: one is not; what is known is told.
    """
    for its in asked:
        if its.name not in known:
            raise ConfigError(
                f"--select {printable(its.text)}: {where} says nothing of {its.name!r}; "
                f"{did_you_mean(its.name, known)}known: {', '.join(sorted(known))}"
            )


def all_hold(asked: Sequence[Condition], row: Mapping[str, Any]) -> bool:
    """Whether all conditions hold of what is known of a patch or a sample."""
    return all(its.holds(row.get(its.name)) for its in asked)


def plain(name: str, value: Any) -> Any:
    """A fact of a cube as it is compared: instants in ISO 8601; None of text that is empty."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if value is None or value == "":
        return None
    return iso(dt.datetime.fromtimestamp(round(float(value)), dt.UTC)) if name.endswith("_time") else value
