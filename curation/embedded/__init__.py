"""The embedded Earth, made on this machine behind a real STAC API and real range requests on loopback.

It has small regions, over some of which floods come, rendered scene by scene, and a world of ERA5 cells, rendered block by
block.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

EARTH = "CURATION_EARTH"
"""The variable of the environment that says to a server which Earth it has."""

STOP_S = 5
"""How long a server is given to end."""


class ServerError(RuntimeError):
    """A server that ended before it answered."""


@contextlib.contextmanager
def serve(cache: Path | None = None, port: int = 0, log: Path | None = None, earth: str = "plain") -> Iterator[str]:
    """The URL of the embedded Earth's STAC API, served by a process of its own for as long as the context lasts.

    Args:
        cache: folder of rendered files, shared between runs; the user's cache folder by default.
        port: 0 takes a free one.
        log: file to append one JSON line per request of an archive file to.
        earth: which of them: `plain`, or a harder one (`world/traits.py` has their names). Of another one say another cache.

    Raises:
        ServerError: the server ended before it answered: its last line of standard error says why, all of it is a note.
    """
    command = [sys.executable, "-m", "curation.embedded", "--until-eof", "--port", str(port)]
    command += ["--cache", str(cache)] if cache else []
    command += ["--log", str(log)] if log else []
    if threading.current_thread() is threading.main_thread():
        # The kernel's signal comes when the starting *thread* ends, so it is for the main thread only.
        command.append("--with-parent")
    with tempfile.TemporaryFile() as errors:
        # A session of its own: Ctrl-C at a terminal is for whoever started it, who then ends it.
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
            env=os.environ | {EARTH: earth},
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                process.wait()
                errors.seek(0)
                said = errors.read().decode(errors="replace").strip()
                why = said.splitlines()[-1] if said else "it said nothing"
                ended = ServerError(
                    f"embedded Earth: the server ended with {process.returncode} before it answered: {why}"
                )
                if said:
                    ended.add_note(said)
                raise ended
            yield json.loads(line)["url"]
        finally:
            process.stdin.close()  # its sign to end
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
