"""How entries of a shard are called, and where they may begin."""

from __future__ import annotations

import re
import tarfile
from typing import NamedTuple, cast

from curation.errors import DamageError
from curation.format.payload import ENCODINGS, Encoding

META = "meta.json"
"""Suffix of the first member of every sample."""

BLOCK = tarfile.BLOCKSIZE
RECORD = tarfile.RECORDSIZE


class MemberName(NamedTuple):
    """What a member's suffix names: `[child<n>.]<array>[.<season>].<encoding>`."""

    child: int | None
    """Number of the child that it is of; None: of the sample itself."""
    array: str
    season: str | None
    """None for a static array."""
    encoding: Encoding

    @property
    def suffix(self) -> str:
        """As it stands in a tar."""
        parts = [self.array, self.season, self.encoding]
        return ".".join(p for p in ([] if self.child is None else [f"child{self.child}"]) + parts if p is not None)


MEMBER = re.compile(
    r"(?:child(0|[1-9][0-9]*)\.)?([a-z0-9_-]+)(?:\.([a-z0-9_-]+))?\.(" + "|".join(map(re.escape, ENCODINGS)) + ")"
)


def split_member(member: str) -> MemberName:
    """What a member's suffix names.

    Raises:
        DamageError: it is no suffix of an array.
    """
    found = MEMBER.fullmatch(member)
    if not found:
        raise DamageError(
            f"member {member!r}: expected [child<n>.]<array>[.<season>] and one of {', '.join(ENCODINGS)}"
        )
    child, array, season, encoding = found.groups()
    return MemberName(None if child is None else int(child), array, season, cast(Encoding, encoding))
