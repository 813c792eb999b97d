"""What every test has: no network beyond this machine, and the shared recordings where they exist."""

from __future__ import annotations

import gc
import ipaddress
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests import world as tiny
from tests.run import Curate

MEMORY = Path("/dev/shm")
"""A file system in memory, where there is one. What is published is synced to the disk before it counts, and tests publish
much: on a disk most of their time is spent waiting for it (`tests/test_store.py` is what shows that it is synced)."""
ROOM_BYTES = 6 << 30
"""What all tests together write (2 GB), with room to spare; a container's own /dev/shm of 64 MB is too small."""

if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= ROOM_BYTES:
    # Pytest's own variable: unlike --basetemp, the folder below it is a new one for each run.
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

# Machines are shared: how long an example takes says nothing.
hypothesis.settings.register_profile("curation", deadline=None)
hypothesis.settings.load_profile("curation")


@pytest.fixture(scope="session", autouse=True)
def empty_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder of the session's own, empty at first, for this process and those that it starts."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> tiny.World:
    """The tiny world with known answers; nobody changes it."""
    return tiny.make(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def built(world: tiny.World, tmp_path_factory: pytest.TempPathFactory) -> Curate:
    """The tiny world built and packed, once; tests that change it take a copy (`built.copy`)."""
    curate = Curate(world, tmp_path_factory.mktemp("built"))
    assert curate() == 0
    assert curate("pack") == 0
    return curate


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of recorded data: `$CURATION_SHARED`, or `../shared` beside the repository."""
    default = Path(__file__).parents[2] / "shared"
    folder = Path(os.environ.get("CURATION_SHARED", default))
    if not folder.is_dir():
        said = f"no folder {folder}: set CURATION_SHARED to the recorded data"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{said} (in CI it must be there)")
        pytest.skip(said)
    return folder


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name that is not an address would have to be looked up elsewhere
        return False


@pytest.fixture(autouse=True)
def collected(request: pytest.FixtureRequest) -> Iterator[None]:
    """Where a test ignores what is told when garbage is collected, it is collected within the test.

    Later, it would be the fault of whichever test runs then.
    """
    yield
    ignored = [arg for mark in request.node.iter_markers("filterwarnings") for arg in mark.args]
    if any("Unraisable" in arg for arg in ignored):
        gc.collect()


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuses every connection that leaves this machine, and every look-up of a name."""
    connect, connect_ex, getaddrinfo = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def refuse(host: Any) -> None:
        raise AssertionError(f"the test wants to reach {host!r}; tests may only connect to loopback")

    def checked(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(str(address[0])):
            refuse(address)
        connect(self, address)

    def checked_ex(self: socket.socket, address: Any) -> int:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(str(address[0])):
            refuse(address)
        return connect_ex(self, address)

    def checked_lookup(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in (None, "", "0.0.0.0", "::", socket.gethostname()) and not _is_loopback(str(name)):
            refuse(host)
        return getaddrinfo(host, *args, **kwargs)

    monkeypatch.setattr(socket.socket, "connect", checked)
    monkeypatch.setattr(socket.socket, "connect_ex", checked_ex)
    monkeypatch.setattr(socket, "getaddrinfo", checked_lookup)
