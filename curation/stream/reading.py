"""Payloads of one sample's members: which bytes are asked for, and whether they are those that were packed."""

from __future__ import annotations

from typing import Literal

import numpy as np
import xxhash
from numpy.typing import NDArray

from curation.model import DamageError
from curation.shardformat import BLOCK
from curation.stream.fetch import Fetcher
from curation.stream.opening import OpenSplit

Check = Literal["xxh3", "none"]


class SampleReader:
    """Reads samples of a split; for one thread at a time."""

    def __init__(self, opened: OpenSplit, wanted: NDArray[np.bool_], check: Check) -> None:
        """Prepares reading.

        Args:
            opened: the split.
            wanted: per member of the index, whether to read it: bool, (members,).
            check: `xxh3` hashes every payload before it is used, `none` trusts the storage.
        """
        self._opened = opened
        self._wanted = wanted
        self._check = check
        self._fetcher = Fetcher(opened.url)

    def read(self, row: int) -> dict[int, memoryview]:
        """Position in the index's members → payload, of those wanted that the sample has; valid until the next call.

        Wanted members that follow one another are one range, with the tar headers between them; others are not read.

        Raises:
            DamageError: the shard is gone or short, or a payload is not the one that was packed; shard, sample, member,
                what was found and what was expected are named.
        """
        table, opened = self._opened.members, self._opened
        first, end = int(opened.first[row]), int(opened.first[row + 1])
        members = table.member[first:end]
        chosen = np.flatnonzero(self._wanted[members])
        begin = table.offset[first:end][chosen]
        size = table.size[first:end][chosen]
        stop = begin + size
        # A member follows its neighbour in the tar where only padding and one header lie between them.
        follows = begin[1:] == -(-stop[:-1] // BLOCK) * BLOCK + BLOCK
        run = np.concatenate([[0], np.cumsum(~follows)]) if chosen.size else np.empty(0, np.int64)
        heads = np.flatnonzero(np.diff(run, prepend=-1))
        tails = np.append(heads[1:], chosen.size) - 1
        shard = opened.entry.shards[int(table.shard[first])]
        spans = [(int(begin[h]), int(stop[t] - begin[h])) for h, t in zip(heads, tails, strict=True)]
        try:
            views = self._fetcher.ranges(shard.name, spans)
        except (FileNotFoundError, EOFError) as err:
            raise DamageError(
                f"{opened.url}/{shard.name}, sample {self._key(row)}: {err}: the shard changed after it was opened: "
                "copy it again, or pack the dataset again"
            ) from err
        payloads = {}
        for i, (member, at, length) in enumerate(zip(members[chosen], begin, size, strict=True)):
            start = int(at - begin[heads[run[i]]])
            payload = views[run[i]][start : start + int(length)]
            if self._check == "xxh3":
                expected = int(table.xxh3[first + chosen[i]])
                if (got := xxhash.xxh3_64_intdigest(payload)) != expected:
                    raise DamageError(
                        f"{opened.url}/{shard.name}, sample {self._key(row)}, member {opened.index.members[member]} "
                        f"({length} bytes at {at}): xxh3 {got:016x}, expected {expected:016x}: the shard is damaged: "
                        "copy it again, or pack the dataset again"
                    )
            payloads[int(member)] = payload
        return payloads

    def _key(self, row: int) -> str:
        return str(self._opened.ids[row].as_py())
