"""One scene in Sentinel-2's layout, and places in it."""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

EPSG, WEST, NORTH = 32632, 399960, 5700000
SIDE_M = 109_800
BANDS = {
    **dict.fromkeys(("B02", "B03", "B04", "B08"), 10),
    **dict.fromkeys(("B05", "B06", "B07", "B8A", "B11", "B12"), 20),
    **dict.fromkeys(("B01", "B09"), 60),
}
"""Band → pixel size in metres."""
SIZE_M = 2640
SLAB = 24
"""Places that are read together."""


def mark() -> str:
    """Of the code that writes it: files that other code wrote are not this scene's."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]


def write(folder: Path) -> None:
    """The scene's files, 1 GB: blocks of 512, deflate with predictor, overviews. Those that are there stay."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [(folder / f"{band}.tif", res) for band, res in BANDS.items() if not (folder / f"{band}.tif").exists()]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(_write, *zip(*wanted, strict=True))) if wanted else None


def _write(path: Path, res_m: int) -> None:
    """Relief and noise in digital numbers, which deflate to about what Sentinel-2 does: some 1.6 bytes a pixel."""
    import rasterio
    from rasterio.shutil import copy
    from rasterio.transform import from_origin

    rng, side = np.random.default_rng(int.from_bytes(path.stem.encode())), SIDE_M // res_m
    coarse = np.cumsum(rng.normal(0, 12, (math.ceil(side / 6), math.ceil(side / 6))), axis=1)
    pixels = np.kron(coarse, np.ones((6, 6), np.float32))[:side, :side] + 2500
    pixels += rng.normal(0, 25, pixels.shape)
    raw, part = path.with_suffix(".raw"), path.with_suffix(".part")
    profile = {"driver": "GTiff", "width": side, "height": side, "count": 1, "dtype": "uint16", "nodata": 0}
    with rasterio.open(
        raw, "w", **profile, crs=f"EPSG:{EPSG}", transform=from_origin(WEST, NORTH, res_m, res_m)
    ) as file:
        file.write(pixels.clip(1, 10000).astype("u2"), 1)
    copy(raw, part, driver="COG", BLOCKSIZE=512, COMPRESS="DEFLATE", PREDICTOR=2)
    raw.unlink()
    part.rename(path)


def places(layout: str, count: int) -> list[tuple[int, int]]:
    """(column, row) of the first 10 m pixel of each place: `city` (scattered) or `wall` (blocks of 8 × 8 neighbours)."""
    side, size = SIDE_M // 10, SIZE_M // 10
    rng = np.random.default_rng(11)
    if layout == "city":
        return [(6 * int(c), 6 * int(r)) for c, r in rng.integers(0, (side - size) // 6, (count, 2))]
    out = []
    while len(out) < count:
        col, row = (6 * int(v) for v in rng.integers(0, (side - 8 * size) // 6, 2))
        out += [(col + i % 8 * size, row + i // 8 * size) for i in range(64)]
    return out[:count]


if __name__ == "__main__":
    write(Path(sys.argv[1]))
    subprocess.run(["ls", "-la", sys.argv[1]], check=True)
