"""The tar of a shard, written and scanned."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import xxhash

from curation.errors import ConfigError, DamageError
from curation.format.annotations import json_bytes
from curation.format.names import BLOCK, ENCODINGS, MEMBER, META, RECORD, MemberName, split_member
from curation.model import LOCATION_ID

_NAME_LIMIT = 100
"""Bytes that a ustar header has for a name without folders."""


# ---- members ---------------------------------------------------------------------------------------------------------


def meta_bytes(meta: Mapping[str, Any]) -> bytes:
    """A sample's `meta.json`: UTF-8, keys sorted, compact, one newline at the end. Raises ValueError for a NaN."""
    return json_bytes(meta)


# ---- tars ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sample:
    """One key of a tar."""

    key: str
    """The location's id."""
    members: Mapping[str, bytes]
    """Suffix → payload, in the order of `member_names`."""


@dataclass(frozen=True, slots=True)
class MemberRow:
    """Where one member lies in its tar, and the hash of its payload."""

    key: str
    """The sample."""
    member: str
    """Suffix."""
    offset: int
    """First byte of the payload in the tar."""
    size: int
    """Bytes of the payload."""
    xxh3: int
    """xxh3_64 of the payload, seed 0."""


def write_tar(samples: Iterable[Sample]) -> tuple[bytes, list[MemberRow]]:
    """(bytes of the tar, its members in order): ustar, no times, owners or links, ended by two zero blocks.

    Raises:
        ConfigError: a key that is not `[a-z0-9_-]+` or comes twice, a suffix that WebDataset would not give back, members
            out of order, or a name too long for ustar.
    """
    return _written(samples, _check_order)


def write_view(samples: Iterable[Sample]) -> bytes:
    """A tar likewise, of members that are called as readers of others want them: one word each, in lower case.

    Raises:
        ConfigError: a key or a name as for `write_tar`, or a suffix of another form.
    """
    return _written(samples, _check_words)[0]


def _written(samples: Iterable[Sample], check: Callable[[Sample], None]) -> tuple[bytes, list[MemberRow]]:
    out = io.BytesIO()
    rows: list[MemberRow] = []
    seen: set[str] = set()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for sample in samples:
            if not LOCATION_ID.fullmatch(sample.key):
                raise ConfigError(
                    f"sample key {sample.key!r}: expected only a-z, 0-9, '_' and '-' (WebDataset cuts a name at its "
                    "first dot, so that a dotted key would merge with others); rename the location"
                )
            if sample.key in seen:
                raise ConfigError(f"sample key {sample.key!r}: twice in one tar; expected once")
            seen.add(sample.key)
            check(sample)
            for member, payload in sample.members.items():
                info = tarfile.TarInfo(f"{sample.key}.{member}")
                if len(info.name.encode()) > _NAME_LIMIT:
                    raise ConfigError(
                        f"member {info.name!r}: {len(info.name)} bytes, expected at most {_NAME_LIMIT} (ustar); "
                        "shorten the location's id or the season's name"
                    )
                info.size = len(payload)
                info.mode = 0o644
                tar.addfile(info, io.BytesIO(payload))
                offset = out.tell() - padded(info.size)
                rows.append(MemberRow(sample.key, member, offset, info.size, xxhash.xxh3_64_intdigest(payload)))
    return out.getvalue(), rows


def _check_words(sample: Sample) -> None:
    if wrong := [m for m in sample.members if not re.fullmatch("[a-z0-9]+", m)]:
        raise ConfigError(f"sample {sample.key}: members {wrong}: expected a-z and 0-9 alone, without a dot")


def _check_order(sample: Sample) -> None:
    """Raises ConfigError unless: meta first, then child by child (none first) static members, then seasons, each one run."""
    names = list(sample.members)
    if not names or names[0] != META:
        raise ConfigError(f"sample {sample.key}: first member is {names[:1]}, expected {META!r}")
    if wrong := [n for n in names[1:] if not MEMBER.fullmatch(n)]:
        raise ConfigError(
            f"sample {sample.key}: members {wrong}: expected [child<n>.]<array>[.<season>] or an annotation's name, and one "
            f"of {', '.join(ENCODINGS)}"
        )
    parts = [split_member(n) for n in names[1:]]
    rank: dict[tuple[int, str | None], int] = {}
    for part in parts:  # seasons of each child in the order in which they come
        rank.setdefault((_number(part), part.season), 0 if part.season is None else len(rank) + 1)
    if parts != sorted(parts, key=lambda p: (_number(p), rank[_number(p), p.season], p.array)):
        raise ConfigError(
            f"sample {sample.key}: members {names}: expected {META}, annotations and static arrays, then season by season, "
            "in order of name, and so on for each child: build them in the order of member_names()"
        )


def _number(member: MemberName) -> int:
    return -1 if member.child is None else member.child


def padded(size: int) -> int:
    """The size up to the end of its last tar block (`BLOCK`)."""
    return -(-size // BLOCK) * BLOCK


def scan_tar(file: bytes | BinaryIO, where: str) -> list[MemberRow]:
    """The members of a tar as its own bytes say, in order, each payload hashed; nothing else is trusted.

    Stricter than tar readers, which take a cut tar for a shorter one: the end must be there and nothing beyond it.

    Args:
        file: the tar, or a file at its first byte; read once, from there to its end.
        where: how a person names it, for errors.

    Raises:
        DamageError: the tar is cut, zeroed or changed; the byte and the member are named.
    """
    stream: BinaryIO = io.BytesIO(file) if isinstance(file, bytes) else file
    rows: list[MemberRow] = []
    done: set[str] = set()
    names: set[str] = set()
    key, at = "", 0
    while True:
        header = stream.read(BLOCK)
        last = f"after {rows[-1].key}.{rows[-1].member}" if rows else "at its start"
        if len(header) < BLOCK:
            what = f"inside a header ({len(header)} of {BLOCK} bytes)" if header else "without the two zero blocks"
            raise DamageError(f"{where}: ends at byte {at + len(header)} {what}, {last}: the tar is cut; pack it again")
        if header == bytes(BLOCK):
            break
        try:
            info = tarfile.TarInfo.frombuf(header, "utf-8", "strict")
        except (tarfile.HeaderError, UnicodeDecodeError) as err:
            raise DamageError(f"{where}: no tar header at byte {at}, {last}: {err}; pack it again") from err
        if info.type != tarfile.REGTYPE or info.size < 0:  # a size of 12 binary bytes has a sign
            raise DamageError(
                f"{where}: {info.name!r} at byte {at} is no regular file (type {info.type!r}, {info.size} bytes); "
                "the format has only those"
            )
        at += BLOCK
        digest, left = xxhash.xxh3_64(), info.size
        while left and (piece := stream.read(min(left, 1 << 20))):
            digest.update(piece)
            left -= len(piece)
        padding = stream.read(padded(info.size) - info.size) if not left else b""
        if left or len(padding) != padded(info.size) - info.size:
            have = info.size - left + len(padding)
            raise DamageError(
                f"{where}: ends at byte {at + have} inside member {info.name!r}, which has {info.size} bytes from byte "
                f"{at}: the tar is cut; pack it again"
            )
        if any(padding):
            raise DamageError(f"{where}: bytes after member {info.name!r} at byte {at + info.size}, expected zeros")
        name, _, suffix = info.name.partition(".")
        if name != key:
            if name in done:
                raise DamageError(f"{where}: key {name!r} again at byte {at}: members of a key must be contiguous")
            done.add(name)
            key = name
        if info.name in names:
            raise DamageError(f"{where}: member {info.name!r} twice, again at byte {at}; pack it again")
        names.add(info.name)
        rows.append(MemberRow(name, suffix, at, info.size, digest.intdigest()))
        at += padded(info.size)
    # Only the whole trailer is accepted: a tail that was zeroed leaves more zeros than a writer does.
    tail = -(-(at + 2 * BLOCK) // RECORD) * RECORD - at - BLOCK
    rest = stream.read(tail + 1)
    if rest != bytes(tail):
        got = "other bytes" if any(rest) else f"{len(rest)} or more" if len(rest) > tail else str(len(rest))
        raise DamageError(
            f"{where}: its end begins at byte {at}, {last}; after that block expected {tail} zero bytes, got {got}: "
            "the tar is cut, zeroed or was appended to; pack it again"
        )
    return rows
