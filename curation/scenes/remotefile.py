"""A file elsewhere as a file object: read by ranges, so that a table gives up some columns and rows without the rest."""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pyarrow.parquet as pq

from curation.read.ranges import fetch
from curation.read.signing import FileAddress

_HEAD_BYTES = 4
"""Asked for first: how large the file is comes with them."""

AT_ONCE = 4
"""Ranges that are fetched at a time: polite to whoever publishes them."""

HOLE_BYTES = 1 << 20
"""Ranges that lie no further apart are fetched as one: at 50 MB/s that costs a tenth of a request's 200 ms."""

MOST_BYTES = 32 << 20
"""Of a range that is fetched for several."""


class RemoteFile(io.RawIOBase):
    """A file on a server or in a bucket, open for reading.

    Ranges are fetched as those of scenes are (`read.ranges`): whole or an error, tried again where that may help, signed
    when they are asked for, and all of the same content.

    Raises:
        ReadError: on any use, it cannot be read, or has changed since it was opened.
    """

    def __init__(self, address: FileAddress, name: str) -> None:
        super().__init__()
        self._address, self._name = address, name
        head = fetch(address, 0, _HEAD_BYTES, name)
        self._size, self._version = head.size, head.version
        self._at = 0
        self._lock = threading.Lock()
        self._counting = threading.Lock()
        self._ahead: list[tuple[int, bytes]] = []
        """Start and bytes of what is at hand."""
        self.fetched = len(head.data)
        """Bytes by now."""

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Where the next byte is read."""
        return self._at

    def size(self) -> int:
        """Of the whole file, bytes."""
        return self._size

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As of any file."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        """As of any file: fewer bytes than asked for only where it ends."""
        with self._lock:
            left = max(self._size - self._at, 0)
            length = left if size is None or size < 0 else min(size, left)
            if not length:
                return b""
            data = self._held(self._at, length) or self._fetched(self._at, length)
            self._at += len(data)
            return data

    @contextlib.contextmanager
    def at_hand(self, ranges: Iterable[tuple[int, int]]) -> Iterator[None]:
        """Fetches what will be read within, start and length of each, some at a time; lets it go at the end.

        Raises:
            ReadError: it cannot be read, or the file has changed since it was opened.
        """
        wanted = joined((max(start, 0), min(start + length, self._size)) for start, length in ranges)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            self._ahead = [
                (a, data) for a, data in pool.map(lambda r: (r[0], self._fetched(r[0], r[1] - r[0])), wanted)
            ]
        try:
            yield
        finally:
            self._ahead = []  # there may be many files open

    def _held(self, start: int, length: int) -> bytes:
        """Bytes that are at hand; empty where not all of them were."""
        for at, data in self._ahead:
            if at <= start and start + length <= at + len(data):
                return data[start - at : start - at + length]
        return b""

    def _fetched(self, start: int, length: int) -> bytes:
        data = fetch(self._address, start, length, self._name, self._version).data
        with self._counting:
            self.fetched += len(data)
        return data


def joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Start and end of ranges, those that lie near each other as one; none holds what another does."""
    out: list[tuple[int, int]] = []
    for first, end in sorted(s for s in spans if s[0] < s[1]):
        start = max(first, out[-1][1]) if out else first
        if start >= end:
            continue
        if out and start - out[-1][1] <= HOLE_BYTES and end - out[-1][0] <= MOST_BYTES:
            out[-1] = out[-1][0], max(end, out[-1][1])
        else:
            out.append((start, end))
    return out


def column_ranges(metadata: pq.FileMetaData, group: int, columns: Collection[str]) -> Iterator[tuple[int, int]]:
    """Start and length, in bytes, of what columns and what lies in them have in a row group of a table."""
    rows = metadata.row_group(group)
    for n in range(metadata.num_columns):
        path = metadata.schema.column(n).path
        if any(path == name or path.startswith(f"{name}.") for name in columns):
            chunk = rows.column(n)
            dictionary = chunk.dictionary_page_offset or chunk.data_page_offset  # some write 0 where there is none
            yield min(dictionary, chunk.data_page_offset), chunk.total_compressed_size
