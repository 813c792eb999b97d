"""How fast shards stream beside others: `python -m tests.benchmarks.streaming [--quick] [--only NAME,…] [--samples 320]`.

Every contender delivers the same tensors of the same samples in batches of 16, in an environment of its own, in processes
of its own; hashes of what came are compared with the samples before a figure counts. `CURATION_SHARED` names the folder
of recordings with real pixels. The first run installs the peers and writes some 16 GB at 320 samples.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import platformdirs

from tests.benchmarks import environments, machine
from tests.benchmarks.streaming import layouts, limits, proof, samples, serve, tables, touched
from tests.benchmarks.streaming.tables import Case, Run

BATCH = 16


@dataclass(frozen=True, slots=True)
class Contender:
    """One reader with one layout."""

    name: str
    peer: str
    """Script and environment."""
    layout: str
    """Folder."""
    variant: str
    form: str = "ten"
    """What it delivers (`proof.check`)."""
    has_http: bool = False
    env: tuple[tuple[str, str], ...] = ()


_HUGE = (("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"),)
CONTENDERS = (
    *(Contender(f"ours 10 m {c}", "ours", f"ours-ten-{c}", "ten", has_http=True) for c in ("none", "lz4", "zstd")),
    *(
        Contender(f"ours native {c}", "ours", f"ours-native-{c}", "native", "native", has_http=True)
        for c in ("lz4", "zstd")
    ),
    Contender("ours native lz4, nearest to 10 m", "ours", "ours-native-lz4", "nearest", "nearest"),
    Contender("ours native lz4, bilinear to 10 m", "ours", "ours-native-lz4", "bilinear", "bilinear"),
    Contender("webdataset .npy", "wds", "stock", "npy", has_http=True),
    Contender("webdataset zarr.zip", "wds", "wds-zarr", "zarr", has_http=True),
    Contender("webdataset GeoTIFF", "wds", "wds-tif", "tif", has_http=True),
    Contender("litData", "lit", "lit", "raw"),
    Contender("litData, huge pages", "lit", "lit", "huge", env=_HUGE),
    Contender("SPDL, threads", "threads", "stock", "npy"),
    Contender("MosaicML ndarray", "mosaic", "mosaic-ndarray", "ndarray"),
    Contender("MosaicML bytes", "mosaic", "mosaic-bytes", "bytes"),
)


def _writer(c: Contender, python: Path, stock: Path, count: int) -> tuple[tuple[str, ...], Callable[[Path], None]]:
    """(code that the layout depends on, what writes it)."""
    if c.layout == "stock":
        return (), lambda folder: layouts.write_stock(folder, count)
    if c.peer == "ours":
        form, codec = c.layout.split("-")[1:]
        return (), lambda folder: layouts.write_ours(folder, count, form, codec)  # type: ignore[arg-type]
    script = f"{c.peer}.py"

    def write(folder: Path) -> None:
        layouts.run_writer(python, script, stock, folder, c.variant)
        if c.peer == "wds":
            (folder / "shards.json").write_bytes((stock / "shards.json").read_bytes())

    return (f"contenders/{script}",), write


def prepare(
    cache: Path, chosen: Iterable[Contender], count: int
) -> tuple[dict[str, Path], dict[str, Path], dict[str, str]]:
    """(peer → its Python, layout → its folder, contender → why it cannot take part)."""
    pythons: dict[str, Path] = {}
    folders: dict[str, Path] = {}
    skipped: dict[str, str] = {}
    base = cache / f"samples-{count}"
    stock = layouts.ensure(base / "stock", (), lambda folder: layouts.write_stock(folder, count))
    for c in chosen:
        try:
            if c.peer not in pythons:
                say(f"environment of {c.peer}")
                pythons[c.peer] = environments.ensure(cache, c.peer)
            say(f"layout {c.layout}")
            folders[c.layout] = layouts.ensure(base / c.layout, *_writer(c, pythons[c.peer], stock, count))
        except (RuntimeError, OSError) as err:
            skipped[c.name] = str(err)
    return pythons, folders, skipped


def say(text: str) -> None:
    """Progress, to standard error."""
    print(text, file=sys.stderr, flush=True)


def deliver(
    c: Contender, python: Path, at: str, case: Case, seconds: float, keys: str, cores: Collection[int]
) -> dict[str, Any]:
    """What the contender's script says after one round. Raises RuntimeError with its output where it failed."""
    script = layouts.HERE / "contenders" / f"{c.peer}.py"
    command = [str(python), str(script), "read", at, c.variant, case.mode, str(case.workers), str(seconds)]
    env = {k: v for k, v in os.environ.items() if c.peer == "ours" or k != "PYTHONPATH"} | dict(c.env)
    if c.peer == "ours":
        env["PYTHONPATH"] = os.pathsep.join([str(layouts.HERE.parents[2]), env.get("PYTHONPATH", "")])
    done = subprocess.run(
        [*command, "--batch", str(BATCH), "--keys", keys],
        capture_output=True,
        text=True,
        env=env,
        timeout=300,
        preexec_fn=partial(os.sched_setaffinity, 0, cores),
    )
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        raise RuntimeError(f"{c.name}, {case}: exit code {done.returncode}: {done.stderr[-3000:]}")
    value: dict[str, Any] = json.loads(lines[-1])
    return value


def measure(
    chosen: list[Contender],
    pythons: dict[str, Path],
    folders: dict[str, Path],
    cases: list[Case],
    args: argparse.Namespace,
) -> tuple[list[Run], str, dict[str, str]]:
    """(the middle round of each contender and case, which server it was, what failed)."""
    keys = ",".join(samples.make(n).key for n in proof.numbers(args.samples))
    results: dict[tuple[Case, Contender], list[dict[str, Any]]] = defaultdict(list)
    failed: dict[str, str] = {}
    cores = sorted(os.sched_getaffinity(0))
    theirs, servers = (cores[:-1], cores[-1:]) if args.apart else (cores, [])
    with serve.serving(args.cache / f"samples-{args.samples}", servers) as (url, server):
        for case in cases:
            for round_ in range(args.rounds):  # contenders take turns, so that a noisy minute hits all of them
                for c in chosen:
                    if case.place == "http" and not c.has_http:
                        continue
                    at = f"{url}/{c.layout}" if case.place == "http" else str(folders[c.layout])
                    layouts.warm(folders[c.layout])
                    try:
                        got = deliver(c, pythons[c.peer], at, case, args.seconds, keys, theirs)
                    except (RuntimeError, subprocess.TimeoutExpired) as err:
                        failed[f"{c.name}, {case}"] = str(err)
                        say(f"FAILED {c.name}: {err}")
                        continue
                    proof.check(f"{c.name}, {case}", c.form, case.mode == "crop", args.samples, got)
                    del got["proof"]
                    results[case, c].append(got)
                    say(f"{case} round {round_}: {c.name}: {got['samples_per_s']:,.0f} samples/s")
    runs = [
        Run(c.name, c.peer == "ours", c.form, case, machine.middle(found, "samples_per_s"),
            [r["samples_per_s"] for r in found])
        for (case, c), found in results.items()
    ]  # fmt: skip
    return runs, server, failed


def facts_of(
    chosen: list[Contender], folders: dict[str, Path], args: argparse.Namespace, server: str
) -> dict[str, Any]:
    """Limits, bytes and what a reader of the table must know."""
    first = min(folders["stock"].rglob("*.tar"))
    found = {"page cache → reused buffer": machine.page_cache(first)}
    found["memcpy into a reused buffer"] = machine.memcpy()
    found["copy into fresh memory"] = machine.fresh_copy()
    if "http" in args.places:
        with serve.serving(folders["stock"]) as (url, server):
            found[f"http, one plain connection ({server})"] = limits.http_read(url, "shard-000000.tar")
    floors, sizes, bytes_ = {}, {}, {}
    for c in chosen:
        if c.peer == "ours":
            its = {m: touched.touched(folders[c.layout], c.variant, m == "crop") for m in args.modes.split(",")}
            bytes_[c.name] = {mode: of.per_delivered for mode, of in its.items()}
        sizes[c.name.partition(",")[0]] = layouts.size_of(folders[c.layout]) / args.samples
        if c.peer == "ours" and c.form == c.variant and c.form in ("ten", "native"):
            found[f"{c.name}: xxh3 alone, of packed bytes"] = limits.hashing(folders[c.layout])[0]
            if (rate := limits.decoding(folders[c.layout])) is not None:
                found[f"{c.name}: decoding alone"] = rate
            floors[c.name] = limits.cpu_floor_s_per_gb(folders[c.layout])
        elif c.form in ("nearest", "bilinear"):
            floors[c.name] = limits.cpu_floor_s_per_gb(folders[c.layout], c.form)
    about = (
        f"{args.samples} samples, batches of {BATCH}, the middle of {args.rounds} interleaved rounds of {args.seconds} s, "
        f"page cache warm, {os.cpu_count()} cores ({platform.machine()}), torch CPU; load before it began: {args.load:.1f}. "
        "Hashes checked in ours. Every contender's tensors were proved equal by hash (of *bilinear* only the keys). "
        "Epochs are as long as the data, so starting one counts. "
        f"http: {server}, on {'one core that contenders leave alone, locally too' if args.apart else 'the same cores'}; "
        "litData and MosaicML read no http. The machine is shared: trust ratios within "
        "a table to 10–20 %, absolute numbers less; rounds have median and quartiles. GB/s and CPU s/GB are of "
        "delivered bytes, which are fewer for native groups (whose crop is 228 px, a multiple of 60 m). CPU of its floor: "
        "against xxh3 + decoding + upsampling + one copy, each alone on both cores. Touched: bytes hashed, decoded or "
        "copied for each that is delivered. Memory: sum of proportional set sizes "
        "over all processes of a contender, at its highest in an untimed epoch."
    )
    return {"about": about, "limits": found, "cpu_floors": floors, "touched": bytes_, "bytes": sizes}


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="1 round of 1.5 s, 2 workers, local")
    parser.add_argument("--only", help="parts of the names of contenders, with commas between")
    parser.add_argument("--samples", type=int, default=320, help="best a multiple of 16 per worker (default: 320)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--workers", default="0,1,2")
    parser.add_argument("--modes", default="full,crop")
    parser.add_argument("--places", default="local,http")
    parser.add_argument(
        "--apart", action="store_true", help="keep one core for the http server; contenders have the others, local too"
    )
    parser.add_argument("--json", type=Path, help="also write everything to this file")
    parser.add_argument("--cache", type=Path, default=Path(platformdirs.user_cache_dir("curation-benchmarks")))
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.seconds, args.workers, args.places = 1, 1.5, "2", "local"
    args.cache = args.cache.absolute()
    args.load = os.getloadavg()[0]
    return args


def main() -> None:
    """Prepares, measures and prints."""
    args = arguments()
    parts = args.only.split(",") if args.only else [""]
    chosen = [c for c in CONTENDERS if any(p in c.name for p in parts)]
    if not chosen:
        raise SystemExit(f"--only {args.only}: no such contender; there are: {'; '.join(c.name for c in CONTENDERS)}")
    pythons, folders, skipped = prepare(args.cache, chosen, args.samples)
    folders["stock"] = args.cache / f"samples-{args.samples}" / "stock"
    chosen = [c for c in chosen if c.name not in skipped]
    cases = [
        Case(mode, place, int(workers))
        for place in args.places.split(",")
        for mode in args.modes.split(",")
        for workers in args.workers.split(",")
    ]
    runs, server, failed = measure(chosen, pythons, folders, cases, args)
    facts = facts_of(chosen, folders, args, server)
    print(tables.report(facts, runs, skipped | failed))
    if args.json:
        whole = facts | {"runs": [asdict(r) for r in runs], "skipped": skipped | failed}
        args.json.write_text(json.dumps(whole, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
