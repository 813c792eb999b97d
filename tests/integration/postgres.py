"""PostgreSQL with PostGIS and pgstac, and stac-fastapi-pgstac before it: a STAC API as archives run it."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import requests

from tests.integration import programs
from tests.integration.running import service

QUERYABLES = {
    "eo:cloud_cover": {"type": "number"},
    "platform": {"type": "string"},
    "sar:instrument_mode": {"type": "string"},
}
"""Without them pgstac compares as text: of a cloud cover below 20, 3 is more than 20."""

FAST = [f"-c{how}" for how in ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "jit=off")]
"""It is thrown away."""


def missing() -> str:
    """What there is not of it, and how to have it."""
    if programs.postgres() is None:
        return (
            "no PostgreSQL with PostGIS in /usr/lib/postgresql: apt-get install postgresql-15-postgis-3 (of Debian 12; "
            "others have another version)"
        )
    if os.geteuid() == 0 and programs.found("setpriv") is None:
        return "PostgreSQL does not run as root, and there is no setpriv to be another: apt-get install util-linux"
    return ""


@contextlib.contextmanager
def stac_api(
    collections: Sequence[dict[str, Any]], items: Sequence[dict[str, Any]], logs: Path, password: str
) -> Iterator[str]:
    """The URL of a STAC API over a database of its own that has some items."""
    with _database(logs, password) as env:
        _loaded(env, collections, items, logs)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            command = [sys.executable, "-m", "uvicorn", "--factory", "stac_fastapi.pgstac.app:create_app"]
            command += ["--fd", str(listening.fileno())]
            # It puts the host into a URL, where a folder has to be escaped.
            its = env | {"PGHOST": env["PGHOST"].replace("/", "%2F"), "DB_MIN_CONN_SIZE": "1", "DB_MAX_CONN_SIZE": "8"}

            def ready() -> bool | None:
                try:
                    return requests.get(url, timeout=20).ok or None
                except requests.RequestException:
                    return None

            log = logs / "stac-api.log"
            with service(command, log, ready, env=its, fds=[listening.fileno()]):
                yield url


@contextlib.contextmanager
def _database(logs: Path, password: str) -> Iterator[dict[str, str]]:
    """The environment in which a new database is reached: over a socket in a folder of its own, so no port is needed."""
    programs_at = programs.postgres()
    assert programs_at is not None, missing()
    # Not below pytest's folder: that is its user's alone, and the server may be another. The path of a socket is short.
    folder = Path(tempfile.mkdtemp(prefix="curation-pg-", dir="/tmp"))
    try:
        another = []
        if os.geteuid() == 0:  # as whom it refuses to run
            setpriv = programs.found("setpriv")
            another = [str(setpriv), "--reuid=postgres", "--regid=postgres", "--init-groups", "--pdeathsig=KILL"]
        (folder / "password").write_text(password)
        for path in (folder, folder / "password"):
            if another:
                shutil.chown(path, "postgres", "postgres")
        data, log = folder / "db", logs / "postgres.log"
        make = [*another, programs_at / "initdb", "-D", data, "-U", "postgres", "--auth=scram-sha-256", "--no-sync"]
        make += [f"--pwfile={folder / 'password'}", "--encoding=UTF8", "--locale=C.UTF-8"]
        with log.open("ab") as out:
            subprocess.run(make, check=True, stdout=out, stderr=out, cwd=folder)
        env = os.environ | {
            "PGHOST": str(folder),
            "PGPORT": "5432",
            "PGUSER": "postgres",
            "PGPASSWORD": password,
            "PGDATABASE": "postgres",
        }

        def ready() -> bool | None:
            asked = [programs_at / "pg_isready", "--quiet"]
            return subprocess.run(asked, env=env, check=False).returncode == 0 or None

        server = [*another, programs_at / "postgres", "-D", data, "-k", folder, "-clisten_addresses=", *FAST]
        with service(server, log, ready, cwd=folder):
            try:
                yield env
            finally:
                # In order, so that no shared memory of the system's is left; what does not end by then is killed.
                stop = [*another, programs_at / "pg_ctl", "-D", data, "-m", "immediate", "-t", "20", "-w", "stop"]
                with log.open("ab") as out:
                    subprocess.run(stop, check=False, stdout=out, stderr=out, cwd=folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _loaded(
    env: dict[str, str], collections: Sequence[dict[str, Any]], items: Sequence[dict[str, Any]], logs: Path
) -> None:
    """Puts the schema and everything else into a database, with pgstac's own tool."""
    with tempfile.TemporaryDirectory() as name, (logs / "pypgstac.log").open("ab") as out:
        folder = Path(name)

        def run(*args: str | Path) -> None:
            began = time.monotonic()
            command = [Path(sys.executable).with_name("pypgstac"), *args]
            subprocess.run(command, check=True, env=env, stdout=out, stderr=out)
            out.write(f"{args[0]} {args[-1]}: {time.monotonic() - began:.1f} s\n".encode())
            out.flush()

        for kind, values in (("collections", collections), ("items", items)):
            (folder / kind).write_text("".join(f"{json.dumps(value)}\n" for value in values))
        (folder / "queryables").write_text(json.dumps({"type": "object", "properties": QUERYABLES}))
        run("migrate")
        run("load", "collections", folder / "collections", "--method", "insert")
        run("load", "items", folder / "items", "--method", "insert")
        run("load_queryables", folder / "queryables")


def new_password() -> str:
    """One that nobody knows."""
    return secrets.token_hex(16)
