"""Code in a process of its own that may have only so much memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BEFORE = """
import resource, sys
import curation.read.reader, curation.read.swath
def taken():
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmSize"))
most = taken() + {room_bytes}
resource.setrlimit(resource.RLIMIT_AS, (most, most))
"""


def said(code: str, *args: str | Path, room_bytes: int, seconds: float = 240) -> str:
    """What code prints that may have `room_bytes` more than reading needs by itself; beyond, it meets a MemoryError.

    Raises:
        AssertionError: it ended with an error; its words are in it.
        subprocess.TimeoutExpired: it did not end.
    """
    command = [sys.executable, "-c", BEFORE.format(room_bytes=room_bytes) + code, *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
