"""Programs of the system that the services are: where they are, and what Debian calls those that are not there.

`python -m tests.integration.programs` prints the packages that are to be installed; nothing where all is there.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
SLURM = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "sinfo", "scancel")


def found(name: str) -> Path | None:
    """A program, also where only root looks."""
    path = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), SBIN]))
    return Path(path) if path else None


def postgres() -> Path | None:
    """The folder of programs of the newest PostgreSQL that has PostGIS."""
    versions = [
        (int(match[1]), path)
        for path in Path("/usr/lib/postgresql").glob("*/bin")
        if (match := re.fullmatch(r"\D*(\d+)\D*", path.parent.name))
        and (path / "initdb").is_file()
        and Path(f"/usr/share/postgresql/{match[1]}/extension/postgis.control").is_file()
    ]
    return max(versions)[1] if versions else None


def missing_slurm() -> list[str]:
    """Programs of Slurm's that are not there."""
    return [name for name in SLURM if found(name) is None]


def packages() -> list[str]:
    """Of Debian, what would bring what is missing; the pattern is apt's, since the version is Debian's."""
    wanted = [] if postgres() else ["^postgresql-[0-9]+-postgis-3$"]
    return [*wanted, *(["slurm-wlm", "munge"] if missing_slurm() else [])]


if __name__ == "__main__":
    for package in packages():
        print(package)
