"""How entries of a shard are called, and where they may begin."""

from __future__ import annotations

import re
import tarfile
from typing import Literal, NamedTuple, cast

from curation.errors import DamageError
from curation.format import payload

Encoding = Literal["npy", "npy.blosc", "txt", "json"]

ENCODINGS: tuple[Encoding, ...] = (*payload.ENCODINGS, "txt", "json")
"""What a member's name ends in: arrays (vectors are arrays, too), and annotations of text and JSON."""

META = "meta.json"
"""Suffix of the first member of every sample."""

BLOCK = tarfile.BLOCKSIZE
RECORD = tarfile.RECORDSIZE


_TAKEN = re.compile(
    r"key|id|lon|lat|region|split|shard|geometry|meta|static|season|is_pad|crop_yx|child[0-9]*|child_(lon|lat)|"
    r"(annual_)?label(s|_fractions)|(annual_)?labels_known|(labels|fractions)_.*|.*_floored_fraction_.*|.*_(ok|time|offset_m)|"
    r".*_(platform|(sun|view)_(zenith|azimuth)_deg|off_nadir_deg)_.*"
)
"""What entries of a sample, columns of the samples table and the first member are called: nothing of the user's is."""


DOMAIN = "domain_"
"""What columns of the samples table and entries of a batch begin with that tell a sample's domain: `domain_continent`."""

LABEL = "label"
"""What the target of samples is called in a batch, where they have one; else a column or an annotation may be called so."""


def is_free(name: str) -> bool:
    """Whether an annotation or a column may have the name: no other entry, column or member is called so, or like it."""
    return _TAKEN.fullmatch(name) is None


class MemberName(NamedTuple):
    """What a member's suffix names: `[child<n>.]<array>[.<season>].<encoding>`, or `<annotation>.<encoding>`."""

    child: int | None
    """Number of the child that it is of; None: of the sample itself."""
    array: str
    """The array's name, or the annotation's."""
    season: str | None
    """None for a static array, and for an annotation."""
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
