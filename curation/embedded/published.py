"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import threading
from pathlib import Path


class published:  # noqa: N801 (reads as a verb)
    """`with published(path) as part:` what is written to `part` appears at `path` whole, or not at all."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(f".{path.stem}.{os.getpid()}-{threading.get_ident()}{path.suffix}")

    def __enter__(self) -> Path:
        """Where to write."""
        return self._part

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Publishes what was written, unless it failed."""
        if kind is None:
            self._part.replace(self._path)
        else:
            self._part.unlink(missing_ok=True)
