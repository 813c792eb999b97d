"""Payloads of one sample's members: which bytes are asked for, and whether they are those that were packed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray

from curation.model import DamageError
from curation.shardformat import BLOCK
from curation.stream.fetch import Fetcher, Scratch
from curation.stream.opening import OpenSplit

Check = Literal["xxh3", "none"]


class Target(NamedTuple):
    """Where the bytes of a plain member go, without a stop in between."""

    header: bytes
    """What the payload must begin with."""
    pixels: memoryview
    """What the rest of it is read into: writable bytes."""


class _Run(NamedTuple):
    """Members that follow one another in the tar, with only headers and padding between them."""

    start: int
    stop: int
    rows: list[int]
    """In the member table."""


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

    def read(
        self, row: int, wanted: NDArray[np.bool_], targets: Mapping[int, Target] | None = None
    ) -> dict[int, memoryview]:
        """Position in the index's members → payload, of those wanted that the sample has; valid until the next call.

        Wanted members that follow one another are one range, with the tar headers between them; others are not read.

        Args:
            row: of the samples table.
            wanted: per member of the index, whether to read it: bool, (members,).
            targets: by position, plain members whose pixels go straight to where they are wanted; what is returned of
                these is the header alone. Only where the store is local.

        Raises:
            DamageError: the shard is gone or short, or a payload is not the one that was packed; shard, sample, member,
                what was found and what was expected are named.
        """
        table, opened = self._opened.members, self._opened
        first, end = int(opened.first[row]), int(opened.first[row + 1])
        rows = (np.flatnonzero(wanted[table.member[first:end]]) + first).tolist()
        shard = opened.entry.shards[int(table.shard[first])].name
        try:
            found = self._scattered(shard, rows, targets) if targets else self._gathered(shard, rows)
            wrong = self._wrong(found, rows, targets)
            if wrong and not self._fetcher.is_local:  # the way here may have changed it, not the one who packed
                found = self._gathered(shard, rows, fresh=True)
                wrong = self._wrong(found, rows, targets)
        except (FileNotFoundError, EOFError) as err:
            raise DamageError(
                f"{opened.url}/{shard}, sample {self._key(row)}: {err}: the shard changed after it was opened: "
                "copy it again, or pack the dataset again"
            ) from err
        if wrong:
            member = int(table.member[wrong[0]])
            raise DamageError(
                f"{opened.url}/{shard}, sample {self._key(row)}, member {opened.index.members[member]} "
                f"({int(table.size[wrong[0]])} bytes at {int(table.offset[wrong[0]])}): xxh3 {wrong[1]:016x}, expected "
                f"{int(table.xxh3[wrong[0]]):016x}: the shard is damaged: copy it again, or pack the dataset again"
            )
        return found

    def _runs(self, rows: Sequence[int]) -> list[_Run]:
        table = self._opened.members
        runs: list[_Run] = []
        for i in rows:
            start, size = int(table.offset[i]), int(table.size[i])
            if runs and start == -(-runs[-1].stop // BLOCK) * BLOCK + BLOCK:
                runs[-1] = _Run(runs[-1].start, start + size, [*runs[-1].rows, i])
            else:
                runs.append(_Run(start, start + size, [i]))
        return runs

    def _gathered(self, shard: str, rows: Sequence[int], *, fresh: bool = False) -> dict[int, memoryview]:
        """Payloads, one range per run."""
        table, runs = self._opened.members, self._runs(rows)
        views = self._fetcher.ranges(shard, [(r.start, r.stop - r.start) for r in runs], self._scratch, fresh=fresh)
        found = {}
        for run, view in zip(runs, views, strict=True):
            for i in run.rows:
                at = int(table.offset[i]) - run.start
                found[int(table.member[i])] = view[at : at + int(table.size[i])]
        return found

    def _scattered(self, shard: str, rows: Sequence[int], targets: Mapping[int, Target]) -> dict[int, memoryview]:
        """Payloads, and headers of those that went straight to their targets."""
        table, runs = self._opened.members, self._runs(rows)
        memory, at = self._scratch.reserve(sum(r.stop - r.start for r in runs)), 0
        found = {}

        def piece(size: int) -> memoryview:
            nonlocal at
            at += size
            return memory[at - size : at]

        for run in runs:
            views, here = [], run.start
            for i in run.rows:
                start, size, member = int(table.offset[i]), int(table.size[i]), int(table.member[i])
                if start > here:
                    views.append(piece(start - here))
                target = targets.get(member)
                if target is not None and size == len(target.header) + len(target.pixels):
                    found[member] = piece(len(target.header))
                    views += [found[member], target.pixels]
                else:  # of another size than expected: whoever decodes it says so
                    found[member] = piece(size)
                    views.append(found[member])
                here = start + size
            self._fetcher.into(shard, run.start, views)
        return found

    def _wrong(
        self, found: Mapping[int, memoryview], rows: Sequence[int], targets: Mapping[int, Target] | None
    ) -> tuple[int, int] | None:
        """(row of the member table, hash found) of the first payload that is not what was packed."""
        if self._check == "none":
            return None
        table = self._opened.members
        for i in rows:
            member = int(table.member[i])
            payload = found[member]
            if len(payload) == table.size[i]:
                got = xxhash.xxh3_64_intdigest(payload)
            else:
                digest = xxhash.xxh3_64(payload)
                digest.update((targets or {})[member].pixels)
                got = digest.intdigest()
            if got != table.xxh3[i]:
                return i, got
        return None

    def _key(self, row: int) -> str:
        return str(self._opened.ids[row].as_py())
