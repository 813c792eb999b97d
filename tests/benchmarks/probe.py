"""What labels add to two views, on places that were not seen: `python -m tests.benchmarks.probe [--root FOLDER] [--quick]`.

Builds places of 0.96 km in two seasons over two regions of the embedded Earth, Sentinel-2 alone, of which blocks are held
out. Then `curate probe` says what costs nothing there, and `curation.examples.pretrain`, which takes all other flags, trains
on two views alone, with labels, and as long with labels of other places, with five seeds each. Pixels and labels are made:
figures tell nothing of real ground.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import curation
from curation.examples import pretrain
from tests.benchmarks.pairs import recipe

RECIPE = """
name = "probe"
title = "Places of the embedded Earth in two seasons"
seed = 42

[grid]
size_px = 96
res_m = 10

[places]
sampler = "file"
file = "places.csv"

[seasons]
spring = { start = 2021-03-01, end = 2021-06-01 }
summer = { start = 2021-06-01, end = 2021-09-01 }

[sources]
s2l2a = {}
dynamicworld = { required = false }

[quality]
min_clear = 0.9

[labels]
seasonal = "dynamicworld"

[domains]
columns = ["continent", "climate_zone"]

[split]
val_fraction = 0.4
block_deg = 0.1
buffer_km = 0.5

[pack]
samples_per_shard = 64
"""

SEEDS = ("10", "11", "12", "13", "14")
STEP_KM, QUICK_STEP_KM = 1.5, 4.0


def main() -> None:
    """Builds, packs, probes, trains, and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="where the dataset is made, and stays (default: a folder that goes)")
    parser.add_argument("--quick", action="store_true", help="few places, two seeds, two epochs: to see that it runs")
    parser.add_argument("--catalog", default="embedded", help="which Earth: embedded, or embedded-hard (%(default)s)")
    args, more = parser.parse_known_args()
    how = ["--seeds", *(SEEDS[:2] if args.quick else SEEDS), "--epochs", "2" if args.quick else "12", "--control"]
    with tempfile.TemporaryDirectory() as temporary:
        root, began = args.root or Path(temporary), time.perf_counter()
        path = recipe(root / "recipe", RECIPE, QUICK_STEP_KM if args.quick else STEP_KM)
        made = curation.load(path, root, catalog=args.catalog, scheduler="none")
        made.build()
        print(made.pack())
        print(f"made in {time.perf_counter() - began:.0f} s", flush=True)
        print(made.probe(sides=("train", "val"), labels="seasonal"), flush=True)
        began = time.perf_counter()
        pretrain.run(pretrain.arguments([str(root / "probe"), *how, *more]))
        print(f"trained in {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
