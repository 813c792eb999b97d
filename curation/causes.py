"""Errors with all that they were raised from, in one line; kept on their way from a worker. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from curation.model import shortened
from curation.printable import printable

CAUSE_CHARS = 2_000
"""Of one error of a cause, which stands in the line of each patch of a slab."""

_BY = "caused by "


def whole(err: BaseException) -> str:
    """One line on an error and, after it, on each that it was raised from: all that they say, printable."""
    kept = [note for note in getattr(err, "__notes__", ()) if note.startswith(_BY)]
    return "; ".join([_line(err), *(kept or [_BY + _line(link) for link in _links(err)])])


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
