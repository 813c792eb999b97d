"""What a time axis takes of a worker's memory: `python -m tests.benchmarks.series [FOLDER]`.

Takes the real archive of a field in Belgium (118 dates of Sentinel-2; FOLDER, default the shared one), lays each image
16 × 16 times beside itself, in blocks of 512 px as scenes have them, and builds a patch of 256 px in a process of its own:
of the first 20 dates, of 118, and of these twice, a second time two years later. Prints the highest resident memory
of each, what it had before it began, and what of that the reader keeps, within its limits.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

ARCHIVE = Path(os.environ.get("CURATION_SHARED", Path(__file__).parents[3] / "shared")) / "data/real-archive-belgium"
TIMES, DATES, TWICE = 16, (20, 118), 236

RECIPE = """
name = "series"
title = "All dates of a field in Belgium"
seed = 1

[grid]
size_m = 2560

[places]
sampler = "file"
file = "places.csv"

[seasons]
all = { start = 2017-08-01, end = 2020-12-01 }

[sources.s2l2a]
bands = ["B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"]
pick = { name = "all", steps = 236, min_clear = 0 }

[quality]
max_doubtful = 1
max_snow = 1
min_valid = 0
max_scene_cloud_pct = 100

[split]
val_fraction = 0.0
"""

BUILD = """
import sys
from curation.build.slab import peak_bytes
from curation.cli.main import main
from curation.read import reader, sparse
before, ends = peak_bytes(), reader.Reader.__exit__
def at_end(self, *args):
    heads = sum(len(f.result().data) for f in sparse._heads.values() if f.done() and not f.exception())
    print("KEPT", int(self._decoded.currsize), self._pieces.bytes, len(self._files), heads, file=sys.stderr)
    ends(self, *args)
reader.Reader.__exit__ = at_end
code = main(sys.argv[1:])
print("PEAK", before, peak_bytes(), file=sys.stderr)
sys.exit(code)
"""


def tiled(archive: Path, folder: Path, dates: int) -> Path:
    """The ItemCollection of the first dates, of images laid beside themselves."""
    value = json.loads((archive / "items.json").read_text())
    scenes = [f for f in value["features"] if f["collection"] == "sentinel-2-l2a"]
    scenes = sorted(scenes, key=lambda f: f["properties"]["datetime"])
    if dates == TWICE:
        scenes += [_later(item) for item in scenes]
    value["features"] = scenes[:dates]
    for item in value["features"]:
        lon, lat = item["bbox"][:2]
        west, south, east, north = lon - 0.1, lat - 0.1, lon + 0.1, lat + 0.1
        item["bbox"] = [west, south, east, north]
        ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
        item["geometry"] = {"type": "Polygon", "coordinates": [ring]}
        for asset in item["assets"].values():
            target = folder / asset["href"]
            target.parent.mkdir(parents=True, exist_ok=True)
            with rasterio.open(archive / asset.pop("of", asset["href"])) as file:
                pixels, profile = np.tile(file.read(1), (TIMES, TIMES)), file.profile
            profile.update(height=pixels.shape[0], width=pixels.shape[1], blockxsize=512, blockysize=512, tiled=True)
            with rasterio.open(target, "w", **profile) as file:
                file.write(pixels, 1)
    (folder / "items.json").write_text(json.dumps(value))
    return folder / "items.json"


def _later(item: dict[str, Any]) -> dict[str, Any]:
    """An image once more, two years later, in files of its own."""
    text = json.dumps(item)
    for year in ("2018", "2017"):
        text = text.replace(year, str(int(year) + 2))
    found: dict[str, Any] = json.loads(text)
    for asset, its in found["assets"].items():
        its["href"], its["of"] = f"later/{its['href']}", item["assets"][asset]["href"]
    return found


def main(archive: Path) -> None:
    """Prints a line per number of dates."""
    for dates in (*DATES, TWICE):
        with tempfile.TemporaryDirectory(prefix="curation-series-") as made:
            folder = Path(made)
            catalog = tiled(archive, folder / "archive", dates)
            (folder / "recipe.toml").write_text(RECIPE)
            (folder / "places.csv").write_text("x0_m,y0_m,epsg\n501360,5629680,32631\n")
            flags = ["--dataset", str(folder / "recipe.toml"), "--root", str(folder / "root"), "--scheduler", "none"]
            command = [sys.executable, "-c", BUILD, *flags, "--catalog", str(catalog)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            said = {line.split()[0]: line.split()[1:] for line in done.stderr.splitlines() if line}
            before, peak = (int(w) / 2**20 for w in said["PEAK"])
            decoded_blocks, packed, files, heads = map(int, said["KEPT"])
            stored = sum(f.stat().st_size for f in (folder / "root/series/cubes").rglob("*") if f.is_file()) / 2**20
            decoded = dates * (4 * 256**2 * 2 + 6 * 128**2 * 2 + 128**2) / 2**20
            print(
                f"{dates:4} dates: peak {peak:.0f} MiB, {before:.0f} before it began; pixels {decoded:.1f} MiB, "
                f"stored {stored:.1f} MiB; kept at the end: decoded blocks {decoded_blocks / 2**20:.0f} MiB, packed ones "
                f"{packed / 2**20:.0f} MiB, {files} files open, heads {heads / 2**20:.0f} MiB"
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ARCHIVE)
