"""Payloads of one sample's members: which bytes are asked for, and whether they are those that were packed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import xxhash

from curation.errors import DamageError
from curation.format.names import BLOCK
from curation.stream.fetch import Fetcher, Scratch
from curation.stream.opening import OpenSplit

Check = Literal["xxh3", "none"]


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

    def read(
        self, row: int, wanted: Sequence[int], targets: Mapping[int, Target] | None = None
    ) -> dict[int, memoryview]:
        """Position in the index's members → payload, of those wanted; valid until the next call.

        Wanted members that follow one another are one range, with the tar headers between them; others are not read.

        Args:
            row: of the samples table.
            wanted: which of the sample's members to read: positions among them, ascending.
            targets: by position in the index's members, plain members whose pixels go straight to where they are wanted;
                what is returned of these is the header alone. Only where the store is local.

        Raises:
            DamageError: the shard is gone or short, or a payload is not the one that was packed; shard, sample, member,
                what was found and what was expected are named.
        """
        table, opened = self._opened.members, self._opened
        own = slice(opened.first[row], opened.first[row + 1])
        all_of = list(
            zip(*(c[own].tolist() for c in (table.member, table.offset, table.size, table.xxh3)), strict=True)
        )
        members = [_Member(*all_of[i]) for i in wanted]
        shard = opened.entry.shards[table.shard[own.start]].name
        try:
            found = self._scattered(shard, members, targets) if targets else self._gathered(shard, members)
            wrong = self._wrong(found, members, targets)
            if wrong and self._fetcher.is_remote:  # the way here may have changed it, not the one who packed
                found = self._gathered(shard, members, fresh=True)
                wrong = self._wrong(found, members, targets)
        except (FileNotFoundError, EOFError) as err:
            raise DamageError(
                f"{opened.url}/{shard}, sample {self._key(row)}: {err}: the shard changed after it was opened: "
                "copy it again, or pack the dataset again"
            ) from err
        if wrong:
            member, got = wrong
            raise DamageError(
                f"{opened.url}/{shard}, sample {self._key(row)}, member {opened.index.members[member.number]} "
                f"({member.size} bytes at {member.offset}): xxh3 {got:016x}, expected {member.xxh3:016x}: the shard is "
                "damaged: copy it again, or pack the dataset again"
            )
        return found

    def _runs(self, members: Sequence[_Member]) -> list[list[_Member]]:
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

    def _gathered(self, shard: str, members: Sequence[_Member], *, fresh: bool = False) -> dict[int, memoryview]:
        """Payloads, one range per run."""
        runs = self._runs(members)
        spans = [(run[0].offset, run[-1].offset + run[-1].size - run[0].offset) for run in runs]
        views = self._fetcher.ranges(shard, spans, self._scratch, fresh=fresh)
        found = {}
        for run, view in zip(runs, views, strict=True):
            start = run[0].offset
            for number, offset, size, _ in run:
                found[number] = view[offset - start : offset - start + size]
        return found

    def _scattered(
        self, shard: str, members: Sequence[_Member], targets: Mapping[int, Target]
    ) -> dict[int, memoryview]:
        """Payloads, and headers of those that went straight to their targets."""
        runs = self._runs(members)
        memory, at = self._scratch.reserve(sum(r[-1].offset + r[-1].size - r[0].offset for r in runs)), 0
        found = {}
        for run in runs:
            views, end = [], run[0].offset
            for number, offset, size, _ in run:
                if offset > end:
                    views.append(memory[at : at + offset - end])
                    at += offset - end
                target = targets.get(number)
                # of another size than expected: whoever decodes it says so
                straight = target is not None and size == len(target.header) + len(target.pixels)
                own = len(target.header) if target is not None and straight else size
                found[number] = memory[at : at + own]
                views.append(found[number])
                at += own
                if target is not None and straight:
                    views.append(target.pixels)
                end = offset + size
            self._fetcher.into(shard, run[0].offset, views)
        return found

    def _wrong(
        self, found: Mapping[int, memoryview], members: Sequence[_Member], targets: Mapping[int, Target] | None
    ) -> tuple[_Member, int] | None:
        """(member, hash found) of the first payload that is not what was packed."""
        if self._check == "none":
            return None
        for member in members:
            payload = found[member.number]
            if len(payload) == member.size:
                got = xxhash.xxh3_64_intdigest(payload)
            else:
                digest = xxhash.xxh3_64(payload)
                digest.update((targets or {})[member.number].pixels)
                got = digest.intdigest()
            if got != member.xxh3:
                return member, got
        return None

    def _key(self, row: int) -> str:
        return str(self._opened.ids[row].as_py())
