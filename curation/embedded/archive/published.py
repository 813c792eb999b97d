"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

ROOM_BYTES = 256 << 20
"""What must be free before a file is begun: more than any takes. HDF5 may crash where a disk fills up under it."""

_PROBE_BYTES = 1 << 20


class published:  # noqa: N801 (reads as a verb)
    """`with published(path) as part:` what is written to `part` appears at `path` whole, or not at all.

    Raises:
        OSError: the disk takes no more, whatever a library that wrote to it called that.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(f".{path.stem}.{os.getpid()}-{threading.get_ident()}{path.suffix}")

    def __enter__(self) -> Path:
        """Where to write."""
        free = os.statvfs(self._path.parent)
        if free.f_bavail * free.f_frsize < ROOM_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path.parent))
        return self._part

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Publishes what was written, unless it failed."""
        if kind is None:
            self._part.replace(self._path)
            return
        self._part.unlink(missing_ok=True)
        if isinstance(error, Exception) and not isinstance(error, OSError):  # GDAL and HDF5 have errors of their own
            try:
                self._part.write_bytes(bytes(_PROBE_BYTES))
            except OSError as full:
                raise full from error
            finally:
                self._part.unlink(missing_ok=True)
