"""What reading and streaming cost beside an earlier commit: `python -m tests.benchmarks.since BEFORE [NOW] [--only …]`.

Both are checkouts (`git worktree add BEFORE COMMIT`), NOW this one where it is left out. Their readers read the same patches
of the scene of `tests.benchmarks.reading`, their loaders deliver the samples of `tests.benchmarks.streaming`, each from
shards that its own code wrote, in turns, in processes of their own; what comes is proved by hash. CPU seconds of a process
and all below it, user and system. A busy machine makes them more, never less, so the least of each side's rounds are
compared, too.
`CURATION_SHARED` names the folder of recordings with real pixels.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import platformdirs

from tests.benchmarks import machine
from tests.benchmarks.reading import scene
from tests.benchmarks.streaming import layouts, proof, samples

HERE = Path(__file__).parents[2]
LATENCY_MS = "50"
SHARDS = (("ten", "none"), ("ten", "lz4"), ("native", "lz4"))
"""(form, codec) of `tests.benchmarks.streaming.layouts`."""
WORKERS, BATCH = 2, 16
_WRITES = (
    "import pathlib, sys; from tests.benchmarks.streaming import layouts;"
    "layouts.write_ours(pathlib.Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])"
)
Row = tuple[str, str, list[float], list[float]]
"""(what, per what, milliseconds of the earlier commit round by round, of this one)."""


def said_by(tree: Path, *command: str) -> dict[str, Any]:
    """The last line of JSON of a command of a checkout's own code. Raises RuntimeError with its output where it failed."""
    env = os.environ | {"PYTHONPATH": str(tree)}
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, env=env, cwd=tree, timeout=900)
    if done.returncode:
        raise RuntimeError(f"{tree}: {' '.join(command)[:200]}: exit code {done.returncode}: {done.stderr[-3000:]}")
    lines = done.stdout.strip().splitlines()
    return dict(json.loads(lines[-1])) if lines else {}


def in_turns(args: argparse.Namespace, cost: Callable[[Path], float]) -> tuple[list[float], list[float]]:
    """Costs of both checkouts; who comes first changes from round to round."""
    found: dict[Path, list[float]] = {args.before: [], args.now: []}
    for number in range(args.rounds):
        for tree in (args.before, args.now) if number % 2 == 0 else (args.now, args.before):
            found[tree].append(cost(tree))
            print(f"{tree.name}: {found[tree][-1]:.2f}", file=sys.stderr)
    return found[args.before], found[args.now]


def reading(args: argparse.Namespace) -> Iterator[Row]:
    """CPU of a patch, by layout of places."""
    folder = args.cache / f"scene-{scene.mark()}"
    scene.write(folder)
    serve = [sys.executable, str(HERE / "tests/benchmarks/reading/serve.py"), str(folder), LATENCY_MS]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as server:
        url = f"http://127.0.0.1:{server.stdout.readline().strip() if server.stdout else ''}"
        for layout in ("city", "wall"):
            proofs: set[str] = set()

            def cost(tree: Path, layout: str = layout, proofs: set[str] = proofs) -> float:
                urllib.request.urlopen(f"{url}/_counts").read()
                found = said_by(tree, "tests/benchmarks/reading/contenders/ours.py", url, layout, str(args.patches))
                proofs.add(found["proof"])
                if len(proofs) > 1:
                    raise SystemExit(f"{tree}: read other pixels than those before it")
                return float(found["cpu_s"]) * 1e3

            yield f"reading, {layout}", "patch", *in_turns(args, cost)
        server.terminate()


def streaming(args: argparse.Namespace) -> Iterator[Row]:
    """CPU of a gigabyte delivered, by layout of shards and what is drawn of a sample."""
    keys = ",".join(samples.make(n).key for n in proof.numbers(args.samples))
    for form, codec in SHARDS:
        folders = {
            tree: _shards(
                args.cache / f"since-{args.samples}" / side / f"{form}-{codec}", tree, form, codec, args.samples
            )
            for side, tree in (("before", args.before), ("now", args.now))
        }
        for mode in ("full", "crop"):

            def cost(tree: Path, form: str = form, mode: str = mode, folders: dict[Path, Path] = folders) -> float:
                layouts.warm(folders[tree])
                how = (str(folders[tree]), form, mode, str(WORKERS), str(args.seconds), "--batch", str(BATCH))
                script = "tests/benchmarks/streaming/contenders/ours.py"
                found = said_by(tree, script, "read", *how, "--keys", keys)
                proof.check(str(tree), form, mode == "crop", args.samples, found)
                return float(found["cpu_s_per_gb"]) * 1e3

            yield f"streaming, {form} {codec}, {mode}", "GB", *in_turns(args, cost)


def _shards(folder: Path, tree: Path, form: str, codec: str, count: int) -> Path:
    """Written anew by the checkout's own code."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    said_by(tree, "-c", _WRITES, str(folder), str(count), form, codec)
    return folder


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="a checkout of the earlier commit")
    parser.add_argument("now", type=Path, nargs="?", default=HERE, help="one of the later commit")
    parser.add_argument("--only", choices=("reading", "streaming"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--patches", type=int, default=192, help="slabs are of 24")
    parser.add_argument("--samples", type=int, default=96, help="best a multiple of 32")
    parser.add_argument("--seconds", type=float, default=3.0, help="that a loader is measured")
    parser.add_argument("--cache", type=Path, default=Path(platformdirs.user_cache_dir("curation-benchmarks")))
    args = parser.parse_args()
    args.before, args.now, args.cache = args.before.absolute(), args.now.absolute(), args.cache.absolute()
    print("| what | CPU ms before | now | now / before, least of each | round by round |\n|---|---|---|---|---|")
    for name, work in (("reading", reading), ("streaming", streaming)):
        for what, per, old, new in work(args) if args.only in (None, name) else ():
            ratios = [b / a for a, b in zip(old, new, strict=True)]
            costs = f"{machine.spread(old, '.1f')} | {machine.spread(new, '.1f')}"
            least = f"{min(new) / min(old):.2f}"
            print(f"| {what}, a {per} | {costs} | {least} | {machine.spread(ratios, '.2f')} |", flush=True)


if __name__ == "__main__":
    main()
