"""Errors in one line, printable: alone, or with all that they were raised from, kept on their way from a worker. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from curation.errors.printable import printable
from curation.errors.words import shortened

CAUSE_CHARS = 2_000
"""Of one error of a cause, which stands in the line of each patch of a slab."""

LINE_CHARS = 600
"""Of one error told alone."""

_BY = "caused by "


def first_line(err: BaseException, most: int = LINE_CHARS) -> str:
    """An error's first line, printable and shortened, without its class."""
    return shortened((printable(err).splitlines() or [""])[0], most)


def one_line(err: BaseException) -> str:
    """One line on an error alone: its class and its first line, printable."""
    return f"{type(err).__name__}: {first_line(err)}"


def whole(err: BaseException) -> str:
    """One line on an error and, after it, on each that it was raised from: all that they say, printable."""
    notes = [note for note in getattr(err, "__notes__", ()) if note.startswith(_BY)]
    return "; ".join([_line(err), *(notes or [_BY + _line(link) for link in _links(err)])])


def keep(err: BaseException) -> None:
    """Notes on an error what it was raised from, which pickling forgets and notes survive."""
    for link in _links(err):
        err.add_note(_BY + _line(link))


def _links(err: BaseException) -> Iterator[BaseException]:
    seen = {id(err)}
    link: BaseException | None = err
    while link is not None:
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
        if link is None or id(link) in seen:
            return
        seen.add(id(link))
        yield link


def _line(err: BaseException) -> str:
    said = printable(str(err).partition("Debug source")[0])  # behind it, obstore's errors show their insides
    return f"{type(err).__name__}: " + shortened(" ".join(said.split()), CAUSE_CHARS)
