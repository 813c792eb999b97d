"""Seconds (of CPU, and gone by), memory and bytes of the graph of simulated places: `python -m tests.benchmarks.graph`."""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

import curation
from curation.pack.graph import released, tables, write
from curation.pack.graph.edges import KINDS, Rules
from curation.store.objects import Store
from tests.pack.graph.globe import simulated


def main() -> None:
    """Prints a line per step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--places", type=int, default=250_000)
    parser.add_argument("--seasons", type=int, default=4)
    parser.add_argument("--edges", default=",".join(KINDS))
    args = parser.parse_args()
    began, busy = time.perf_counter(), time.process_time()

    def told(what: str) -> None:
        nonlocal began, busy
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        gone, cpu = time.perf_counter() - began, time.process_time() - busy
        print(f"{what:44} {cpu:6.1f} s of CPU  {gone:6.1f} s  peak {peak:5.2f} GB", flush=True)
        began, busy = time.perf_counter(), time.process_time()

    found = simulated(args.places, seasons=args.seasons, labels=9)
    told(f"{args.places:,} places x {args.seasons} seasons simulated")
    rules = write.checked(Rules(tuple(args.edges.split(","))))
    its = released.ordered(found)
    told("put in order")
    made = tables.made(its, rules)
    told("edges found")
    with tempfile.TemporaryDirectory() as folder:
        write.publish(Store(folder), its, rules, made)
        told("written")
        del found, its, made
        size = sum(f.stat().st_size for f in Path(folder).rglob("*") if f.is_file())
        graph = curation.graph.open(folder)
        told("opened, every byte read")
        blocks = list(graph.blocks(most=50_000))
        told(f"{len(blocks)} blocks with a halo of 2")
        print(
            f"halo: {np.mean([(~b.is_core).sum() / b.is_core.sum() for b in blocks]):.1%} of the core, mean of blocks"
        )
        value = graph.to_dict(places=blocks[0].places)
        told(f"a block of {value['place']['x'].shape[0]:,} places for a model")
        print(f"{size / 1e6:.0f} MB; {graph!r}")


if __name__ == "__main__":
    main()
