"""CPU a patch of this state of the program beside that of another checkout: pairs, from one server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from curation import embedded
from tests.benchmarks import machine

BUILT = """
import json, sys, time
from pathlib import Path
from curation import pipeline
from curation.cubes import selection
from curation.recipe import catalogs
from curation.recipe.dataset import load_dataset
from curation.store.objects import Store
from curation.work.run import Run

name, url, root, regions, places = sys.argv[1:]
dataset = load_dataset(name)
found = catalogs.resolve("embedded", served_at=url)
catalog = catalogs.Catalogs(found) if hasattr(catalogs, "Catalogs") else found
store = Store(Path(root)).child(dataset.name)
asked, seasons = selection.asked_regions(dataset, catalog, regions), selection.asked_seasons(dataset, "all")
selection.locations(dataset, store, asked)
began = time.process_time()
built = pipeline.build(Run(dataset, catalog, store, None, limit=int(places)), asked, seasons)
print(json.dumps({"cpu_s": time.process_time() - began, "patches": sum(b.built for b in built),
                  "ok": sum(b.counts["ok"] for b in built), "all": sum(sum(b.counts.values()) for b in built)}))
"""
"""What both run, each with its own code, in one process; imports and the draw are not counted."""


def built(checkout: Path, *args: str) -> dict[str, float]:
    """What a build by a checkout took. Raises CalledProcessError where it ends otherwise."""
    env = os.environ | {"PYTHONPATH": str(checkout)}
    done = subprocess.run(
        [sys.executable, "-c", BUILT, *args], cwd=checkout, env=env, check=True, stdout=subprocess.PIPE, text=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main(other: Path, dataset: str, places: int, regions: str, rounds: int) -> None:
    """Prints CPU a patch of both and their ratio, pair by pair."""
    here = Path(__file__).parents[3]
    pairs = []
    with tempfile.TemporaryDirectory() as folder, embedded.serve() as url:
        for number in range(rounds + 1):  # the first renders the Earth, and is not counted
            both = {}
            for checkout in (here, other) if number % 2 else (other, here):
                root = f"{folder}/{number}-{'here' if checkout == here else 'other'}"
                both[checkout] = built(checkout.resolve(), dataset, url, root, regions, str(places))
            if number:
                pairs.append((both[here], both[other]))
                _say(*pairs[-1])
    ratios = [m["cpu_s"] / m["patches"] / (i["cpu_s"] / i["patches"]) for m, i in pairs]
    print(f"here / other: {machine.spread(ratios, '.3f')}")


def _say(mine: dict[str, float], its: dict[str, float]) -> None:
    a, b = (1000 * x["cpu_s"] / x["patches"] for x in (mine, its))
    ok, others = (f"{x['ok']} of {x['all']} ok" for x in (mine, its))
    print(f"here {a:.1f} ms a patch ({ok}), other {b:.1f} ({others}): {a / b:.3f}", flush=True)
