"""What a time axis takes of a worker's memory: `python -m tests.benchmarks.series [FOLDER]`.

Takes the real archive of a field in Belgium (118 dates of Sentinel-2; FOLDER, default the shared one), lays each image
16 × 16 times beside itself, in blocks of 512 px as scenes have them, and builds a patch of 256 px in a process of its own:
of the first 20 dates, of 118, and of these twice and four times, again each four years later. Prints the highest resident
memory of each, what it had before it began, and what of that the reader keeps, within its limits. The allocator is told
what Dask's nannies tell it for their workers (`distributed.nanny.pre-spawn-environ`): glibc, left to itself, keeps what was
freed between what lasts (`--plain` shows it).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import dask.config
import distributed  # noqa: F401 - brings its part of Dask's configuration
import numpy as np
import rasterio

ARCHIVE = Path(os.environ.get("CURATION_SHARED", Path(__file__).parents[3] / "shared")) / "data/real-archive-belgium"
TIMES, DATES = 16, (20, 118, 236, 472)
YEARS = ("2017", "2018")
"""Of the archive's dates."""

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
all = { start = 2017-08-01, end = 2037-12-01 }

[sources.s2l2a]
bands = ["B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"]
pick = { name = "all", steps = 472, min_clear = 0 }

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


def tiled(archive: Path, folder: Path, dates: int, times: int = TIMES) -> Path:
    """The ItemCollection of the first dates, of images laid so many times beside themselves."""
    value = json.loads((archive / "items.json").read_text())
    scenes = [f for f in value["features"] if f["collection"] == "sentinel-2-l2a"]
    scenes = sorted(scenes, key=lambda f: f["properties"]["datetime"])[:dates]
    for item in scenes:
        lon, lat = item["bbox"][:2]
        west, south, east, north = lon - 0.1, lat - 0.1, lon + 0.1, lat + 0.1
        item["bbox"] = [west, south, east, north]
        ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
        item["geometry"] = {"type": "Polygon", "coordinates": [ring]}
        for asset in item["assets"].values():
            target = folder / asset["href"]
            target.parent.mkdir(parents=True, exist_ok=True)
            with rasterio.open(archive / asset["href"]) as file:
                pixels, profile = np.tile(file.read(1), (times, times)), file.profile
            profile.update(height=pixels.shape[0], width=pixels.shape[1], blockxsize=512, blockysize=512, tiled=True)
            with rasterio.open(target, "w", **profile) as file:
                file.write(pixels, 1)
    rounds = range(1, -(-dates // len(scenes)))
    value["features"] = [*scenes, *(_later(item, n, folder) for n in rounds for item in scenes)][:dates]
    (folder / "items.json").write_text(json.dumps(value))
    return folder / "items.json"


def _later(item: dict[str, Any], rounds: int, folder: Path) -> dict[str, Any]:
    """An image once more, four years later a round, in files of its own name."""
    text = json.dumps(item)
    for year in YEARS:
        text = text.replace(year, str(int(year) + 4 * rounds))
    found: dict[str, Any] = json.loads(text)
    for asset, its in found["assets"].items():
        its["href"] = f"later-{rounds}/{its['href']}"
        (folder / its["href"]).parent.mkdir(parents=True, exist_ok=True)
        (folder / its["href"]).symlink_to((folder / item["assets"][asset]["href"]).absolute())
    return found


def main(archive: Path, environment: dict[str, str]) -> None:
    """Prints a line per number of dates."""
    for dates in DATES:
        with tempfile.TemporaryDirectory(prefix="curation-series-") as made:
            folder = Path(made)
            catalog = tiled(archive, folder / "archive", dates)
            (folder / "recipe.toml").write_text(RECIPE)
            (folder / "places.csv").write_text("x0_m,y0_m,epsg\n501360,5629680,32631\n")
            flags = ["--dataset", str(folder / "recipe.toml"), "--root", str(folder / "root"), "--scheduler", "none"]
            command = [sys.executable, "-c", BUILD, *flags, "--catalog", str(catalog)]
            done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
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


def of_a_worker() -> dict[str, str]:
    """This environment, with what Dask sets before it starts a worker."""
    told = dask.config.get("distributed.nanny.pre-spawn-environ")
    return os.environ | {name: str(value) for name, value in told.items()}


if __name__ == "__main__":
    folders = [Path(word) for word in sys.argv[1:] if word != "--plain"]
    main(folders[0] if folders else ARCHIVE, dict(os.environ) if "--plain" in sys.argv else of_a_worker())
