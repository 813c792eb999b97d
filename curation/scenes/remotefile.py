"""A file elsewhere as a file object: read by ranges, so that a table gives up some columns and rows without the rest."""

from __future__ import annotations

import io
import threading

from curation.read.ranges import fetch
from curation.read.signing import FileAddress

_HEAD_BYTES = 4
"""Asked for first: how large the file is comes with them."""


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
            data = fetch(self._address, self._at, length, self._name, self._version).data
            self._at += len(data)
            self.fetched += len(data)
            return data
