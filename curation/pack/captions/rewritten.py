"""Texts that a program rewrote, as a file keeps them (JSON lines, the first of which says by what), and which are true."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curation.errors import ConfigError
from curation.format.strict import json_of
from curation.pack.captions import checking
from curation.pack.captions.facts import StoredFact
from curation.pack.captions.words import Words

FORMAT, VERSION = "curation-captions", 1
"""What the first line says that the file is."""

ORIGIN = ("model", "prompt_sha256", "language")
"""What of the first line the index tells."""


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A file of rewritten texts."""

    head: Mapping[str, Any]
    """Its first line: `model`, `prompt`, `prompt_sha256`, `language`."""
    lines: Mapping[str, Mapping[str, Any]]
    """Sample's key → its line: `captions`, `drafts` (what they were made of, by its digest), `refused` by reason."""

    @property
    def texts(self) -> Mapping[str, Sequence[str]]:
        """Sample's key → the texts that were true when they were made."""
        return {key: line["captions"] for key, line in self.lines.items()}

    @property
    def origin(self) -> dict[str, str]:
        """What the index tells of it."""
        return {key: str(self.head.get(key, "")) for key in ORIGIN}


def of_bytes(data: bytes, where: str) -> Rewritten:
    """What a file holds. Of a sample that has two lines the last counts; a last line without an end is no line.

    Raises:
        ConfigError: it is no such file; the line at fault is told.
    """
    head, *lines = each_of(io.BytesIO(data), where)
    return Rewritten(head, {line["key"]: line for line in lines})


def each_of(file: Iterable[bytes], where: str) -> Iterator[Mapping[str, Any]]:
    """The first line of a file, and then each of a sample, one after the other. Raises as `of_bytes`."""
    number = 0
    for number, line in enumerate(file, 1):
        if not line.endswith(b"\n"):
            number -= 1
            break
        try:
            value = json_of(line)
        except ValueError as err:
            raise ConfigError(f"{where}: line {number} is no JSON: {err}") from err
        if number == 1 and not _is_head(value):
            raise ConfigError(
                f"{where}: line 1 does not say {FORMAT!r} version {VERSION}: not a file that is read here"
            )
        if number > 1 and not _is_line(value):
            raise ConfigError(f"{where}: line {number}: expected an object with 'key', a text, and 'captions', texts")
        yield value
    if not number:
        raise ConfigError(f"{where}: is empty, expected the file of `curate captions rewrite`")


def _is_head(value: Any) -> bool:
    return isinstance(value, dict) and (value.get("format"), value.get("version")) == (FORMAT, VERSION)


def _is_line(value: Any) -> bool:
    texts = value.get("captions") if isinstance(value, dict) and isinstance(value.get("key"), str) else None
    return isinstance(texts, list) and all(isinstance(t, str) for t in texts)


def line_bytes(value: Mapping[str, Any]) -> bytes:
    """A line of it."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def accepted(texts: Sequence[str], words: Words, facts: Sequence[StoredFact]) -> tuple[list[str], Counter[str]]:
    """The texts that are true of the facts, each once, and how many were not, by their first fault."""
    good: dict[str, None] = {}
    refused: Counter[str] = Counter()
    for text in texts:
        found = checking.faults(text, words, facts)
        if found:
            refused[next(iter(found)).value] += 1
        else:
            good[text] = None
    return list(good), refused
