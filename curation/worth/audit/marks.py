"""What a reader said of patches: a file of JSON lines that grows by one a mark, safe on disk before the next is asked for.

```
{"patch":"utm32n-…/summer","labels":["crops"],"sure":true,"at":"2026-01-31T09:12:44Z"}
```

The last line of a patch counts: a mark is corrected by another one. Half a line, of a command that was killed, is none.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from curation.errors import ConfigError, DamageError
from curation.errors.printable import printable
from curation.store import paths
from curation.store.appended import AppendedFile
from curation.worth.audit.drawn import PRESENT, AuditDraw

READER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")


class Mark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a reader said of a patch."""

    patch: str
    """Sample and season."""
    labels: tuple[str, ...]
    """In the order of the draw's; none where nothing of it is there, or the reader is not sure."""
    sure: bool
    """False: the reader could not tell."""
    at: str
    """When, UTC."""


def mark(patch: str, labels: tuple[str, ...], *, sure: bool) -> Mark:
    """A mark of now."""
    return Mark(patch, labels, sure, f"{dt.datetime.now(dt.UTC):%Y-%m-%dT%H:%M:%SZ}")


def file_of(folder: Path, reader: str) -> Path:
    """The file of a reader.

    Raises:
        ConfigError: that is no name.
    """
    if not READER.fullmatch(reader):
        raise ConfigError(
            f"--reader {printable(reader)[:60]}: expected up to 40 letters, digits, - and _, a letter or digit first"
        )
    return folder / paths.audit_marks(reader)


def readers(folder: Path) -> list[str]:
    """Names of those who marked, in order."""
    found = (paths.audit_reader(path.name) for path in folder.glob(paths.audit_marks("*")))
    return sorted(name for name in found if name and READER.fullmatch(name))


def read(where: Path, draw: AuditDraw) -> dict[str, Mark]:
    """The mark that counts of each patch, by patch; none where there is no file.

    Raises:
        DamageError: a line is no mark, or of no patch or class of the draw.
    """
    data = where.read_bytes() if where.is_file() else b""
    patches, classes = {p.name for p in draw.patches}, set(draw.legend)
    out: dict[str, Mark] = {}
    for number, line in enumerate(data[: data.rfind(b"\n") + 1].splitlines(), 1):
        try:
            its = msgspec.json.decode(line, type=Mark)
        except msgspec.DecodeError as err:
            raise DamageError(f"{where}: line {number} is no mark: {printable(err)}; mend or remove it") from err
        if its.patch not in patches or not classes.issuperset(its.labels):
            raise DamageError(
                f"{where}: line {number} is of a patch or class that the sample has not: {printable(its.patch)}; the file "
                "is of another audit"
            )
        if draw.question != PRESENT and its.sure and len(its.labels) != 1:
            raise DamageError(
                f"{where}: line {number} is of {len(its.labels)} classes at once, expected one; mend or remove it"
            )
        out[its.patch] = its
    return out


class MarkFile:
    """The marks of one reader, open to be added to. Raises as `read` and `AppendedFile` do."""

    def __init__(self, folder: Path, reader: str, draw: AuditDraw) -> None:
        where = file_of(folder, reader)
        self._marks: dict[str, Mark] = {}
        self._file = AppendedFile(where, lambda: self._marks.update(read(where, draw)), "say another --reader")

    def __enter__(self) -> MarkFile:
        self._file.__enter__()
        return self

    @property
    def marks(self) -> Mapping[str, Mark]:
        """The mark that counts of each patch."""
        return self._marks

    def add(self, its: Mark) -> None:
        """Adds a mark, which is on disk when this returns."""
        self._file.write(msgspec.json.encode(its) + b"\n")
        self._marks[its.patch] = its

    def __exit__(self, *_: object) -> None:
        self._file.__exit__()
