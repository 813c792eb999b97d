"""Seasons by a rule: `seasons = "monthly 2021"` is the table of windows that one would else write by hand. Pure."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

from curation.errors.words import did_you_mean

FORMS = (
    '"monthly 2021", "quarterly 2019/2022", "yearly 2018/2021", "every 16 days 2021", or with days in place of the years: '
    '"monthly from 2021-04-01 to 2021-10-01", which ends before the second'
)
"""What a rule may say, for errors."""

MOST_SEASONS = 1_000
"""Of a rule: each season is a cube of its own, so that more is a slip."""

YEARS = range(1900, 2100)

_RULE = re.compile(
    r"(?P<word>[a-z]+)(?: (?P<days>\d{1,5}) days?)?"
    r" (?:(?P<first>\d{4})(?:/(?P<last>\d{4}))?|from (?P<start>\d{4}-\d\d-\d\d) to (?P<end>\d{4}-\d\d-\d\d))"
)

_MONTHS = {"monthly": 1, "quarterly": 3, "yearly": 12}
_NAMES: dict[str, Callable[[dt.date], str]] = {
    "monthly": lambda day: f"{day:%Y-%m}",
    "quarterly": lambda day: f"{day:%Y}-q{(day.month + 2) // 3}",
    "yearly": lambda day: f"{day:%Y}",
    "every": lambda day: f"{day:%Y-%m-%d}",
}


def listed(value: Any) -> Any:
    """The table of seasons that a rule stands for, in order of time: name → `start` and `end`. Anything else as it is.

    Months are called `2021-01`, quarters `2021-q1`, years `2021`, runs of days by their first day, `2021-06-10`. Windows are
    half-open, as all are, and end where the next one starts; a run of days ends no later than the rule does, so that the
    last one may be shorter.

    Raises:
        ValueError: it is no rule, months would be cut, or there would be more than a thousand seasons.
    """
    if not isinstance(value, str):
        return value
    found = _RULE.fullmatch(" ".join(value.split()))
    if found is None or found["word"] not in _NAMES or (found["word"] == "every") != (found["days"] is not None):
        word = value.split(" ", 1)[0]
        hint = "" if word in _NAMES else did_you_mean(word, _NAMES)
        raise ValueError(f"{hint}expected {FORMS}; or a table [seasons] with a window for each name")
    word = found["word"]
    start, end = _span(found)
    if word == "every":
        return _cut(start, end, word, lambda day: day + dt.timedelta(days=int(found["days"])), int(found["days"]))
    months = _MONTHS[word]
    for day in (start, end):
        if day.day > 1 or (day.month - 1) % months:
            begins = {1: "the 1st of a month", 3: "1 January, April, July or October", 12: "1 January"}[months]
            raise ValueError(f"{day}: seasons of {word!r} begin on {begins}: say such days, or 'every N days'")
    return _cut(start, end, word, lambda day: _later(day, months), months * 28)


def _span(found: re.Match[str]) -> tuple[dt.date, dt.date]:
    """The first day of a rule, and the first one after it."""
    if found["first"] is not None:
        first = int(found["first"])
        last = int(found["last"] or first)
        if first not in YEARS or last not in YEARS or last < first:
            raise ValueError(f"years {first} to {last}: expected from {YEARS[0]} to {YEARS[-1]}, the first one first")
        return dt.date(first, 1, 1), dt.date(last + 1, 1, 1)
    try:
        start, end = dt.date.fromisoformat(found["start"]), dt.date.fromisoformat(found["end"])
    except ValueError as err:
        raise ValueError(f"from {found['start']} to {found['end']}: {err}") from err
    if not start < end or start.year not in YEARS:
        raise ValueError(f"from {start} to {end}: expected the earlier day first, in {YEARS[0]} or later")
    return start, end


def _later(day: dt.date, months: int) -> dt.date:
    """The first of the month that is so many months after that of `day`."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return dt.date(year, month + 1, 1)


def _cut(
    start: dt.date, end: dt.date, word: str, following: Callable[[dt.date], dt.date], least_days: int
) -> dict[str, dict[str, dt.date]]:
    if least_days < 1:
        raise ValueError("every 0 days: expected 1 or more")
    if (end - start).days / least_days > MOST_SEASONS:
        raise ValueError(f"more than {MOST_SEASONS:,} seasons, each a cube of its own: expected fewer, or longer ones")
    out: dict[str, dict[str, dt.date]] = {}
    while start < end:
        after = min(following(start), end)
        out[_NAMES[word](start)] = {"start": start, "end": after}
        start = after
    return out
