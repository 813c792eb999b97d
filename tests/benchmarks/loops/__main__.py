"""What two ranks of two workers are shown by training loops of others: `make loops`, or `python -m tests.benchmarks.loops`.

Each loop runs three epochs over 58 samples in an environment of its own, without `set_epoch`, on a dataset that is opened
before the process group is made, and after. Right is: each sample once per epoch over ranks, another order in each epoch;
or, where a framework would deal samples a second time, a ConfigError that says what to do.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import platformdirs

from tests.benchmarks import environments
from tests.stream.conftest import make_shards

SAMPLES, RANKS, LIMIT_S = [20, 20, 18], 2, 300
DEALT = ("plain", "by_environment", "lightning", "lightning_alone", "accelerate", "transformers")
REFUSED = ("prepared", "prepared_sharded", "transformers_own")


def run(python: Path, shards: Path, loop: str, when: str) -> tuple[list[object], str]:
    """(what each rank wrote, what was printed where one wrote nothing)."""
    script = Path(__file__).with_name("train.py")
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(RANKS)]
    with tempfile.TemporaryDirectory() as notes:
        command = [str(script), str(shards), notes, loop.removesuffix("_alone"), when]
        done = subprocess.run(
            [str(python), *([] if loop.endswith("_alone") else torchrun), *command],  # Lightning starts ranks, too
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )
        written = [Path(notes) / f"{rank}.json" for rank in range(RANKS)]
        if done.returncode or not all(p.exists() for p in written):
            return [], f"exit {done.returncode}: {(done.stderr or done.stdout)[-1500:]}"
        return [json.loads(p.read_text()) for p in written], ""


def verdict(loop: str, ranks: list[object], wrong: str) -> tuple[bool, str]:
    """(whether it is right, in words)."""
    if wrong:
        return False, wrong
    errors = [r for r in ranks if isinstance(r, str)]
    if loop in REFUSED:
        ours = all("deals samples to ranks by itself" in e and e.startswith("ConfigError") for e in errors)
        return bool(errors) and ours, f"refused on {len(errors)} ranks" if ours else errors[0]
    if errors:
        return False, errors[0]
    epochs = [[k for of_rank in epoch for k in of_rank] for epoch in zip(*ranks, strict=True)]  # type: ignore[misc]
    once = all(len(e) == len(set(e)) == sum(SAMPLES) for e in epochs)
    orders = len(set(map(tuple, epochs)))
    counts = [Counter(Counter(e).values()) for e in epochs]
    told = f"{sum(SAMPLES)} samples once in each" if once else f"times shown: {counts}"
    return once and orders == len(epochs), f"{len(epochs)} epochs, {told}, {orders} orders"


def main() -> int:
    """Prints a line per loop; exit code 1 where one is wrong."""
    parser = argparse.ArgumentParser("python -m tests.benchmarks.loops", description=__doc__.splitlines()[0])
    parser.add_argument("loops", nargs="*", help=f"which of {' '.join((*DEALT, *REFUSED))} (all)")
    parser.add_argument("--cache", type=Path, default=Path(platformdirs.user_cache_dir("curation-benchmarks")))
    parser.add_argument("--python", type=Path, help="one that has all packages, instead of an environment of its own")
    args = parser.parse_args()
    python = args.python or environments.ensure(args.cache.absolute(), "loops")
    all_right = True
    with tempfile.TemporaryDirectory() as folder:
        shards = Path(folder) / "shards"
        make_shards(shards, {"train": SAMPLES}, size=12)
        for loop in args.loops or (*DEALT, *REFUSED):
            for when in ("before", "after"):
                right, words = verdict(loop, *run(python, shards, loop, when))
                all_right &= right
                print(f"{'right' if right else 'WRONG':6} {loop:18} opened {when:7} {words}", flush=True)
    return 0 if all_right else 1


if __name__ == "__main__":
    sys.exit(main())
