"""Payloads of one sample's members: which bytes are asked for, and whether they are those that were packed."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import xxhash

from curation.errors import DamageError
from curation.format.names import BLOCK
from curation.store.direct import Scatter
from curation.stream.fetch import Fetcher, Scratch
from curation.stream.opening import OpenSplit

Check = Literal["xxh3", "none"]

_HOT_BYTES = 1 << 18
"""Of what is read from a file at a time, and hashed before more is: it is in the processor's own cache then, the smallest
of which have 512 KiB. Hashed once a sample of 8 MB was there, all of it came back from memory."""

_TOGETHER_BYTES = 1 << 20
"""Of members that are read by one call: a call for each small one costs more than what is gained by its hash."""


class Target(NamedTuple):
    """Where the bytes of a plain member go, without a stop in between."""

    header: bytes
    """What the payload must begin with."""
    pixels: memoryview
    """What the rest of it is read into: writable bytes."""


class _Member(NamedTuple):
    """A member that is wanted: its row of the member table, as plain numbers."""

    number: int
    """Position in the index's members."""
    offset: int
    """Of the payload in its shard."""
    size: int
    xxh3: int


class SampleReader:
    """Reads samples of a split; for one thread at a time."""

    def __init__(self, opened: OpenSplit, fetcher: Fetcher, check: Check) -> None:
        """Prepares reading.

        Args:
            opened: the split.
            fetcher: of the folder of its index.
            check: `xxh3` hashes every payload before it is used, `none` trusts the storage.
        """
        self._opened = opened
        self._fetcher = fetcher
        self._check = check
        self._scratch = Scratch()
        self.over = self._scratch.over
        """Asked whether nobody waits for a sample any more."""
        self.fetch_s = 0.0
        """Seconds that fetching the last sample took."""
        self.hash_s = 0.0
        """Likewise, hashing."""

    def read(
        self, row: int, members: Sequence[int], wanted: Sequence[int], targets: Mapping[int, Target]
    ) -> Iterator[tuple[int, memoryview, bool]]:
        """Each wanted member: its position in the index's members, its payload, and whether its pixels went to its target.

        Where they did, the payload is the header alone; it is valid until the next is asked for.

        From a file they are read as they are asked for. From elsewhere wanted members that follow one another are one
        range, with the tar headers between them; others are not read.

        Args:
            row: of the samples table.
            members: that the sample has: positions in the index's members, ascending.
            wanted: which of these to read: positions among them, ascending.
            targets: by position in the index's members, plain members whose pixels go straight to where they are wanted
                where the size of the member is that of header and pixels.

        Raises:
            DamageError: the shard is gone or short, or a payload is not the one that was packed; shard, sample, member,
                what was found and what was expected are named.
        """
        self.fetch_s = self.hash_s = 0.0
        table, first = self._opened.members, int(self._opened.first[row])
        offset, size, xxh3 = (c[first : first + len(members)].tolist() for c in (table.offset, table.size, table.xxh3))
        those = [_Member(members[i], offset[i], size[i], xxh3[i]) for i in wanted]
        shard = self._opened.entry.shards[table.shard[first]].name
        try:
            found = (self._from_file if self._fetcher.is_local else self._from_elsewhere)(shard, row, those, targets)
            for member, payload in found:
                yield member.number, payload, len(payload) < member.size
        except (FileNotFoundError, EOFError) as err:
            raise DamageError(
                f"{self._opened.url}/{shard}, sample {self._key(row)}: {err}: the shard changed after it was opened: "
                "copy it again, or pack the dataset again"
            ) from err

    def _from_file(
        self, shard: str, row: int, members: Sequence[_Member], targets: Mapping[int, Target]
    ) -> Iterator[tuple[_Member, memoryview]]:
        for some in _together(members, targets):
            if some[0].size > _TOGETHER_BYTES or some[0].number in targets:
                yield some[0], self._in_pieces(shard, row, some[0], targets.get(some[0].number))
                continue
            found = self._gathered(shard, _runs(some))
            for (member, payload), got in zip(found, self._hashes(found), strict=True):
                yield member, payload if got == member.xxh3 else self._anew(shard, row, member, got)

    def _in_pieces(self, shard: str, row: int, member: _Member, target: Target | None) -> memoryview:
        """The payload of one member, or its header where the rest went to its target; hashed piece by piece."""
        target = _fitting(member, target)
        own = self._scratch.reserve(member.size if target is None else len(target.header))
        head, body = (own[:0], own) if target is None else (own, target.pixels)
        digest, at = xxhash.xxh3_64(), member.offset
        for start in range(0, max(len(body), 1), _HOT_BYTES):
            piece = [body[start : start + _HOT_BYTES]] if start else [head, body[:_HOT_BYTES]]
            at += self._read_piece(shard, Scatter(at, piece), digest)
        got = digest.intdigest()
        return own if self._check == "none" or got == member.xxh3 else self._anew(shard, row, member, got)

    def _read_piece(self, shard: str, piece: Scatter, digest: xxhash.xxh3_64) -> int:
        """How many bytes were read, and hashed."""
        began = time.perf_counter()
        self._fetcher.into(shard, [piece], self._scratch)
        fetched = time.perf_counter()
        self.fetch_s += fetched - began
        if self._check != "none":
            for view in piece.views:
                digest.update(view)
            self.hash_s += time.perf_counter() - fetched
        return piece.length

    def _from_elsewhere(
        self, shard: str, row: int, members: Sequence[_Member], targets: Mapping[int, Target]
    ) -> Iterator[tuple[_Member, memoryview]]:
        packed = [member.xxh3 for member in members]
        found = self._scattered(shard, _runs(members), targets) if targets else self._gathered(shard, _runs(members))
        # the way here may have changed it, not the one who packed
        if (hashes := self._hashes(found, targets)) != packed:
            found = self._gathered(shard, _runs(members), fresh=True)
            hashes = self._hashes(found)
        for (member, payload), got in zip(found, hashes, strict=True):
            if got != member.xxh3:
                raise self._damage(shard, row, member, got)
            yield member, payload

    def _anew(self, shard: str, row: int, member: _Member, got: int) -> memoryview:
        """A payload that is not the one that was packed, once more from where it comes from, if that is not the file."""
        if self._fetcher.is_remote:  # the cache's copy
            found = self._gathered(shard, [[member]], fresh=True)
            (got,) = self._hashes(found)
            if got == member.xxh3:
                return found[0][1]
        raise self._damage(shard, row, member, got)

    def _damage(self, shard: str, row: int, member: _Member, got: int) -> DamageError:
        return DamageError(
            f"{self._opened.url}/{shard}, sample {self._key(row)}, member {self._opened.index.members[member.number]} "
            f"({member.size} bytes at {member.offset}): xxh3 {got:016x}, expected {member.xxh3:016x}: the shard is "
            "damaged: copy it again, or pack the dataset again"
        )

    def _gathered(
        self, shard: str, runs: Sequence[Sequence[_Member]], *, fresh: bool = False
    ) -> list[tuple[_Member, memoryview]]:
        """Payloads, one range per run."""
        spans = [(run[0].offset, run[-1].offset + run[-1].size - run[0].offset) for run in runs]
        began = time.perf_counter()
        views = self._fetcher.ranges(shard, spans, self._scratch, fresh=fresh)
        self.fetch_s += time.perf_counter() - began
        found = []
        for run, view in zip(runs, views, strict=True):
            start = run[0].offset
            found += [(m, view[m.offset - start : m.offset - start + m.size]) for m in run]
        return found

    def _scattered(
        self, shard: str, runs: Sequence[Sequence[_Member]], targets: Mapping[int, Target]
    ) -> list[tuple[_Member, memoryview]]:
        """Payloads, and headers of those that went straight to their targets; one range per run."""
        memory, at = self._scratch.reserve(sum(r[-1].offset + r[-1].size - r[0].offset for r in runs)), 0
        found, parts = [], []
        for run in runs:
            views: list[memoryview] = []
            end = run[0].offset
            for member in run:
                target = _fitting(member, targets.get(member.number))
                between, own = member.offset - end, member.size if target is None else len(target.header)
                found.append((member, memory[at + between : at + between + own]))
                views += [memory[at : at + between], found[-1][1], *([] if target is None else [target.pixels])]
                at, end = at + between + own, member.offset + member.size
            parts.append(Scatter(run[0].offset, views))
        began = time.perf_counter()
        self._fetcher.into(shard, parts, self._scratch)
        self.fetch_s += time.perf_counter() - began
        return found

    def _hashes(
        self, found: Sequence[tuple[_Member, memoryview]], targets: Mapping[int, Target] | None = None
    ) -> list[int]:
        """xxh3 of each payload, with what of it went to its target; what it should be where nobody asks."""
        if self._check == "none":
            return [member.xxh3 for member, _ in found]
        began = time.perf_counter()
        got = [_xxh3(member, payload, (targets or {}).get(member.number)) for member, payload in found]
        self.hash_s += time.perf_counter() - began
        return got

    def _key(self, row: int) -> str:
        return str(self._opened.ids[row].as_py())


def _fitting(member: _Member, target: Target | None) -> Target | None:
    """Where the pixels of a member go; None of one that has another size than expected: whoever decodes it says so."""
    fits = target is not None and member.size == len(target.header) + len(target.pixels)
    return target if fits else None


def _xxh3(member: _Member, payload: memoryview, target: Target | None) -> int:
    """That of a payload, or of its header and what went to its target."""
    if target is None or len(payload) == member.size:
        return xxhash.xxh3_64_intdigest(payload)
    digest = xxhash.xxh3_64(payload)
    digest.update(target.pixels)
    return digest.intdigest()


def _together(members: Sequence[_Member], alone: Collection[int]) -> Iterator[Sequence[_Member]]:
    """Members that are read before any of them is hashed, in order.

    Args:
        members: in the order of the tar.
        alone: positions in the index's members of those that are read by themselves.
    """
    first = size = 0
    for i, member in enumerate(members):
        is_alone = member.number in alone
        if i > first and (is_alone or size + member.size > _TOGETHER_BYTES):
            yield members[first:i]
            first, size = i, 0
        size += member.size
        if is_alone:
            yield members[i : i + 1]
            first, size = i + 1, 0
    if first < len(members):
        yield members[first:]


def _runs(members: Sequence[_Member]) -> list[list[_Member]]:
    """Members that follow one another in the tar, with only headers and padding between them."""
    runs: list[list[_Member]] = []
    follows = -1
    for member in members:
        if member.offset == follows:
            runs[-1].append(member)
        else:
            runs.append([member])
        follows = -(-(member.offset + member.size) // BLOCK) * BLOCK + BLOCK
    return runs
