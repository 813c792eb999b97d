"""An environment of its own for each peer, made once below the cache folder."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

TORCH = "torch==2.13.0"
"""First of all, and a constraint on everything after: a peer that asked for another would pull a build with CUDA."""
COMMON = ("numpy", "psutil", "xxhash")
READER = ("certifi", "msgspec", "numcodecs", "obstore", "platformdirs", "pyarrow", "shapely")
"""What else our own reader imports, where it runs in the environment of a peer; `tests/test_dependencies.py` holds that."""
PINNED = Path(__file__).parents[2] / ".constraints.txt"
PEERS = {
    "wds": ("webdataset==1.0.2", "zarr<3", "tifffile", "imagecodecs"),
    "lit": ("litdata==0.2.76",),
    "mosaic": ("mosaicml-streaming==0.13.0",),
    "loops": (
        "lightning==2.6.6",
        "accelerate==1.15.0",
        "transformers==5.24.0",
        *(pin for pin in PINNED.read_text().splitlines() if pin.partition("==")[0] in READER),
    ),
    "cog": (
        "odc-stac==0.5.3",
        "stackstac==0.5.1",
        "rioxarray",
        "rasterio==1.4.4",
        "pystac",
        "dask[array]",
        "async-geotiff==0.5.1",
        "obstore",
    ),
    "threads": ("spdl_core==0.8.0",),
}
WITHOUT_TORCH = {"cog"}


def ensure(cache: Path, peer: str) -> Path:
    """The peer's Python. Raises RuntimeError with what pip said where it cannot be installed."""
    if peer == "ours":
        return Path(sys.executable)
    folder = cache / "environments" / peer
    python, mark = folder / "bin" / "python", folder / ".installed"
    torch = () if peer in WITHOUT_TORCH else (TORCH,)
    wanted = "\n".join((*torch, *COMMON, *PEERS[peer]))
    if mark.is_file() and mark.read_text() == wanted:
        return python
    venv.create(folder, with_pip=True, clear=True)
    constraint = folder / "constraint.txt"
    constraint.write_text(f"{TORCH}\n")
    for packages in (torch, (*COMMON, *PEERS[peer])):
        if not packages:
            continue
        command = [str(python), "-m", "pip", "install", "--quiet", "--constraint", str(constraint), *packages]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(packages)}: pip failed; run it by hand in {folder}:\n{done.stderr[-2000:]}")
    mark.write_text(wanted)
    return python
