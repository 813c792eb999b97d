"""Who writes to a cube: a process of a machine, by name."""

from __future__ import annotations

import contextlib
import getpass
import os
import socket
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes."""

    user: str
    host: str
    pid: int
    started: float
    """When the process began, so that a pid used again is not taken for it: seconds, by `_begun`."""
    boot: str = ""
    """Which start of the machine `started` counts from; empty where it is seconds since 1970."""

    @classmethod
    def me(cls) -> Writer:
        """This process."""
        boot, started = _begun(os.getpid())
        return cls(_user(), socket.gethostname(), os.getpid(), started, boot)

    def alive(self) -> bool:
        """True where the process is known to run: it is on this host, and not this very process."""
        if self.host != socket.gethostname() or self.pid == os.getpid():
            return False
        try:
            if (
                psutil.Process(self.pid).status() == psutil.STATUS_ZOMBIE
            ):  # killed, and not yet seen off by its parent: it writes no more
                return False
            boot, started = _begun(self.pid, since_boot=bool(self.boot))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False
        return boot == self.boot and abs(started - self.started) < 1

    def __str__(self) -> str:
        return f"{self.user} on {self.host} (pid {self.pid})"


_BOOT = Path("/proc/sys/kernel/random/boot_id")


def _begun(pid: int, *, since_boot: bool = True) -> tuple[str, float]:
    """Which start of the machine, and how many seconds after it a process began: no step of the clock moves that.

    Where the system does not tell (Linux does), or with `since_boot` off, as earlier releases recorded it: seconds since
    1970, and no machine's start. On Linux those are reckoned from the clock as it is now, and so move with it.

    Raises:
        psutil.NoSuchProcess: there is no such process.
    """
    if since_boot:
        with contextlib.suppress(OSError, ValueError, IndexError):
            # Behind the name, which may hold anything, field 22 (proc(5)): clock ticks.
            fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
            return _BOOT.read_text().strip(), int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return "", psutil.Process(pid).create_time()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return f"uid {os.getuid()}"
