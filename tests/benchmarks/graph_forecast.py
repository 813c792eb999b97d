"""Whether edges help to forecast a gas: what `curation.examples.graph` tells of simulated cells, and of what was built.

    python -m tests.benchmarks.graph_forecast [--side 32] [--built shards/ssl4eo-s/graph] [what the example takes]

Of three gases in a square of ERA5 cells, each known from January to July 2021 with an error: one that spreads from cell to
cell, the embedded Earth's nitrogen dioxide, and noise. The last month is told; blocks of cells are held out. --built adds
the graph of a dataset, made with --variables.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import torch

from curation.examples import graph as example
from curation.pack.graph import released, tables, write
from curation.pack.graph.edges import Rules
from curation.store.objects import Store
from tests.pack.graph.globe import FIELDS, of_gas

RULES = Rules(k=6, radius_m=60_000.0, variables=("s5p-no2",))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=32, help="cells along a side of the square (%(default)s)")
    parser.add_argument("--fields", nargs="*", default=FIELDS)
    parser.add_argument("--built", type=Path, action="append", default=[], help="a graph that `curate graph` wrote")
    parser.add_argument("--step", default="2021-07")
    asked, more = parser.parse_known_args()
    torch.set_num_threads(1)
    code = 0
    with tempfile.TemporaryDirectory(prefix="curation-gas-") as folder:
        for field in asked.fields:
            print(f"== {field}: {asked.side}² simulated cells")
            its = released.ordered(of_gas(field, asked.side))
            write.publish(Store(Path(folder) / field), its, RULES, tables.made(its, RULES))
            code |= _told([str(Path(folder) / field), "--step", asked.step, *more])
    for built in asked.built:
        print(f"== {built}")
        code |= _told([str(built), "--step", asked.step, *more])
    return code


def _told(command: list[str]) -> int:
    busy = time.process_time()
    code = example.main(command)
    print(f"{time.process_time() - busy:.0f} s of CPU\n", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
