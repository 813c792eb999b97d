"""Words of messages. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

FEWEST_LETTERS = 3
"""Of what stands within a longer name: of fewer, much does by chance."""


def did_you_mean(asked: str, known: Iterable[str], *, n: int = 1) -> str:
    """`did you mean grid? ` where something known is near to what was asked, or holds it, else nothing: part of an error."""
    names = list(known)
    near = difflib.get_close_matches(asked, names, n=n)
    if not near and len(asked) >= FEWEST_LETTERS:
        near = [name for name in names if asked in name][:n]
    return f"did you mean {' or '.join(near)}? " if near else ""


def shortened(text: str, limit: int) -> str:
    """The text, cut between words where it is longer than `limit`, and then with ` …` at its end."""
    if len(text) <= limit:
        return text
    head = text[: limit - 1]
    whole_words = head.rpartition(" ")[0] if text[limit - 1] != " " else head
    return f"{(whole_words or head).rstrip()} …"


def plural(noun: str, count: int) -> str:
    """The noun as it stands behind that number: `shard` or `shards`, `patch` or `patches`."""
    if count == 1:
        return noun
    return noun + ("es" if noun.endswith(("ch", "sh", "s", "x")) else "s")


def counted(count: int, noun: str) -> str:
    """A number and what it counts: `1 shard`, `12 patches`."""
    return f"{count} {plural(noun, count)}"
