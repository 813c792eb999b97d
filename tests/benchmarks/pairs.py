"""What a tiny model of images and captions learns of the embedded Earth: `python -m tests.benchmarks.pairs [--root FOLDER]`.

Places of 1.28 km, which share no ground, over two regions; blocks of them are held out. `curate` builds and packs them with
captions, and `curation.examples.retrieval`, which takes all other flags, trains on the shards. Pixels and labels are made,
so figures tell that words and pixels belong together, and nothing of real ground. `--captions FILE.py:NAME` tries others.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import curation
from curation.embedded.world import regions
from curation.examples import retrieval

RECIPE = """
name = "pairs"
title = "Places of the embedded Earth with captions"
seed = 42

[grid]
size_px = 128
res_m = 10

[places]
sampler = "file"
file = "places.csv"

[seasons]
summer = {{ start = 2021-06-01, end = 2021-09-01 }}

[sources]
s2l2a = {{}}
dem = {{}}
worldcover = {{}}
dynamicworld = {{ required = false }}

[quality]
min_clear = 0.9

[labels]
annual = "worldcover"
seasonal = "dynamicworld"

[split]
val_fraction = 0.25
block_deg = 0.1
buffer_km = 0.5

[pack]
samples_per_shard = 32

[annotations.captions]
function = "{captions}"
type = "json"
"""

REGIONS = ("lower-rhine", "sao-paulo")
STEP_KM = 2.0


def places(step_km: float = STEP_KM) -> Iterator[tuple[float, float]]:
    """Longitude and latitude of centres, so far apart."""
    for name in REGIONS:
        west, south, east, north = regions.by_name(name).bbox
        dlat = step_km / 111.2
        dlon = dlat / math.cos(math.radians((south + north) / 2))
        for row in range(1, int((north - south) / dlat)):
            for column in range(1, int((east - west) / dlon)):
                yield west + column * dlon, south + row * dlat


def recipe(folder: Path, text: str, step_km: float = STEP_KM) -> Path:
    """A recipe of that text, with its places beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{lon:.5f},{lat:.5f}" for lon, lat in places(step_km)]
    (folder / "places.csv").write_text("\n".join(["lon,lat", *lines]) + "\n")
    path = folder / "recipe.toml"
    path.write_text(text)
    return path


def main() -> None:
    """Builds, packs, trains, and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="where the dataset is made, and stays (default: a folder that goes)")
    parser.add_argument("--captions", default="captions", help="function of the captions (%(default)s)")
    args, more = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as temporary:
        root, began = args.root or Path(temporary), time.perf_counter()
        made = curation.load(
            recipe(root / "recipe", RECIPE.format(captions=args.captions)), root, catalog="embedded", scheduler="none"
        )
        made.build(run_code=True)
        print(made.pack(run_code=True))
        print(f"made in {time.perf_counter() - began:.0f} s", flush=True)
        began = time.perf_counter()
        retrieval.run(retrieval.arguments([str(root / "pairs"), *more]))
        print(f"trained in {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
