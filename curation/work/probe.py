"""What a machine is, as it says itself. Sent there as text, since it may have nothing of ours.

Nothing is imported here that Python does not bring: what it looks for is imported where it runs, as the answer to whether it
can be.
"""

from __future__ import annotations

import inspect
import sys
from typing import Any


def look(
    modules: tuple[str, ...], store: tuple[str, str, str] | None, on_worker: bool, server: tuple[str, int] | None = None
) -> dict[str, str]:
    """What the machine has: `host`, `curation` (version), `sources` (digest of our Python files), `address` of a worker.

    And what it lacks: `lacks` (a module, `store` or `server`) with `what` went wrong; both empty where that is nothing.

    Args:
        modules: what it must be able to import.
        store: URL and prefix of the store that results go to, and a key that must be there and holds its own name.
        on_worker: whether this runs as a task.
        server: host and port that scenes are read from and that somebody has to answer at.
    """
    import contextlib
    import hashlib
    import importlib
    import os
    import socket
    from pathlib import Path

    out = {"host": socket.gethostname(), "lacks": "", "what": ""}

    def in_words(err: BaseException) -> str:
        return f"{type(err).__name__}: {next(iter(str(err).splitlines()), '')}"

    if on_worker:
        from distributed import get_worker

        worker = get_worker()
        out["address"] = worker.address
        # Looking at all threads a hundred times a second, Python before 3.12 hangs for good now and then (gh-106883).
        for name in ("profile", "profile-cycle"):
            if name in worker.periodic_callbacks:
                worker.loop.add_callback(worker.periodic_callbacks[name].stop)
    try:
        name = "curation"
        package = importlib.import_module(name)
        folder = Path(package.__file__).parent  # type: ignore[arg-type]  # a folder that is no package has none: told below
        out["curation"] = package.__version__
        sources = hashlib.sha256()
        for path in sorted(folder.rglob("*.py")):
            sources.update(f"{path.relative_to(folder).as_posix()}\n".encode() + path.read_bytes())
        out["sources"] = sources.hexdigest()
        for name in modules:
            importlib.import_module(name)
        if on_worker:
            importlib.import_module(name := "curation.work.leaving").install(worker)
    except Exception as err:  # noqa: BLE001 - whatever an import there raises is the answer
        return out | {"lacks": name, "what": in_words(err)}
    if store is not None:
        url, prefix, key = store
        try:
            from curation.store.bucket import Client
            from curation.store.objects import Store

            where = Store(url, prefix, Client(retries=1))
            if where.get(key) != key.encode():
                raise ValueError(f"{key} holds something else")
            mine = f"{key}-{socket.gethostname()}-{os.getpid()}"
            where.publish(mine, b"")
            with contextlib.suppress(Exception):  # who may write need not be allowed to remove
                where.delete(mine)
        except Exception as err:  # noqa: BLE001 - likewise
            return out | {"lacks": "store", "what": in_words(err)}
    if server is not None:
        try:
            socket.create_connection(server, timeout=10).close()
        except OSError as err:
            return out | {"lacks": "server", "what": in_words(err)}
    return out


def as_text(
    modules: tuple[str, ...], store: tuple[str, str, str] | None, on_worker: bool, server: tuple[str, int] | None = None
) -> str:
    """An expression that is what `look` gives where it is evaluated."""
    text = inspect.getsource(sys.modules[__name__])
    call = f"g['look']({modules!r}, {store!r}, {on_worker!r}, {server!r})"
    return f"(lambda g: (exec({text!r}, g), {call})[1])({{'__name__': 'probe'}})"


def versions(modules: tuple[str, ...]) -> dict[str, Any]:
    """What this machine has."""
    return look(modules, None, on_worker=False)
