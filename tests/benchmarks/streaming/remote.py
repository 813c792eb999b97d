"""What reading shards from a server costs beside reading them from a folder: `python -m tests.benchmarks.streaming.remote`.

Two forked workers, hashes checked, in a process that is pinned to one core; the server (of ranges, or moto's of S3) is
pinned to another. The folder is read with the same pinning. What is compared are CPU seconds of the workers, by gigabyte
that they deliver: they depend less than rates on what else the machine does. Each round reads in all ways, one after the
other, and the middle of the rounds counts. Then what one thread takes for ranges alone, by each client; and requests and
bytes, counted.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import platformdirs
import psutil
from torch.utils.data import DataLoader

from curation.store.bucket import Client
from curation.store.direct import Lines, Scatter, address_of
from curation.store.objects import Store
from curation.stream.open import open_shards
from tests import buckets
from tests.benchmarks import cores, machine
from tests.benchmarks.streaming import layouts, serve
from tests.stream import servers

BATCH = 16
FORMS = {"ten-none": "10 m, as it is", "native-lz4": "native, lz4"}
EPOCHS = {"full": 2, "crop": 6}
"""By what is delivered: all of a sample, or a crop of 228 px of one season."""
RANGES = (500_000, 8_000_000)
"""Bytes of ranges that clients are compared with: of a season that is packed, of a sample that is not."""
Figures = dict[str, float]


def dataset_of(at: str, mode: str, cache: str = "") -> Any:
    """What is read of a layout."""
    how: dict[str, Any] = {"draw_seasons": 1, "crop_px": 228} if mode == "crop" else {}
    how |= {"cache_dir": cache, "cache_gb": 100} if cache else {}
    return open_shards(at, "train", batch_size=BATCH, shuffle=True, check="xxh3", **how)


def read(at: str, mode: str, is_first: bool, cache: str) -> Figures:
    """CPU seconds of the workers for each GB that they deliver, and samples per second: of the first epoch, or of later."""
    loader = DataLoader(
        dataset_of(at, mode, cache),
        batch_size=None,
        num_workers=2,
        persistent_workers=True,
        multiprocessing_context="fork",
    )
    if not is_first:
        _epoch(loader)
    before, began, samples, size = _below_s(), time.perf_counter(), 0, 0
    for _ in range(1 if is_first else EPOCHS[mode]):
        more, its_bytes = _epoch(loader)
        samples, size = samples + more, size + its_bytes
    rate = samples / (time.perf_counter() - began)
    return {"cpu_s_per_gb": (_below_s() - before) / (size / 1e9), "samples_per_s": rate}


def _epoch(loader: Any) -> tuple[int, int]:
    samples = size = 0
    for batch in loader:
        samples += len(batch["key"])
        size += sum(v.nbytes for v in batch.values() if hasattr(v, "nbytes"))
    return samples, size


def _below_s() -> float:
    """CPU seconds of all processes below this one."""
    return sum(sum(p.cpu_times()[:2]) for p in psutil.Process().children(recursive=True))


# ---- the ways, in turn -----------------------------------------------------------------------------------------------


def measured(at: str, mode: str, core: int, *, is_first: bool = False, cache: str = "") -> Figures:
    """`read`, in a process of its own on one core. Raises RuntimeError with what it printed where it failed."""
    command = [sys.executable, "-W", "ignore", "-m", __spec__.name, "--read", at, mode, str(int(is_first)), cache]
    pin = partial(os.sched_setaffinity, 0, [core])
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=pin, timeout=600)
    if done.returncode:
        raise RuntimeError(f"{at}, {mode}: exit code {done.returncode}: {done.stderr[-3000:]}")
    found: Figures = json.loads(done.stdout.splitlines()[-1])
    return found


@contextlib.contextmanager
def in_bucket(folder: Path, core: int) -> Iterator[str]:
    """URL of a folder's files in a bucket of moto's, whose server is on that core."""
    with contextlib.ExitStack() as stack:
        with cores.on({core}):
            url = stack.enter_context(buckets.bucket())
        os.environ |= {"AWS_ENDPOINT_URL": url, **buckets.KEYS}
        store = Store("s3://bucket/shards")
        for path in layouts.files(folder):
            store.publish(path.relative_to(folder).as_posix(), path.read_bytes())
        yield "s3://bucket/shards"


def compared(title: str, ways: dict[str, Callable[[], Figures]], rounds: int) -> Iterator[str]:
    """Rows of a table; the first of the ways is what the others are compared with, round by round."""
    found: dict[str, list[Figures]] = defaultdict(list)
    for _ in range(rounds):
        for name, way in ways.items():
            found[name].append(way())
            print(f"{title}: {name}: {found[name][-1]}", file=sys.stderr, flush=True)
    first = next(iter(found.values()))
    for name, got in found.items():
        cpu = [g["cpu_s_per_gb"] for g in got]
        ratio = statistics.median(a["cpu_s_per_gb"] / b["cpu_s_per_gb"] for a, b in zip(first, got, strict=True))
        rate = machine.spread([g["samples_per_s"] for g in got])
        yield f"| {title} | {name} | {machine.spread(cpu, '.2f')} | {ratio:.2f} | {rate} |"


# ---- clients, one thread ---------------------------------------------------------------------------------------------


def _cpu_s(work: Callable[[], object], *, is_child: bool = False) -> float:
    who = resource.RUSAGE_CHILDREN if is_child else resource.RUSAGE_SELF
    before = resource.getrusage(who)
    work()
    after = resource.getrusage(who)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def clients(folder: Path, url: str, size: int, rounds: int) -> Iterator[str]:
    """Rows of a table: CPU seconds per GB of ranges of one size, by each client, into memory that is used again."""
    tar = max(folder.rglob("*.tar"), key=lambda p: p.stat().st_size)
    name, starts = tar.relative_to(folder).as_posix(), range(0, tar.stat().st_size - size, size)
    buffer, lines, bucket = memoryview(bytearray(size)), Lines(), Store(url).bucket
    address = address_of(f"{url}/{name}")
    assert address is not None

    def of_file() -> None:
        handle = os.open(tar, os.O_RDONLY)
        for start in starts:
            os.preadv(handle, [buffer], start)
        os.close(handle)

    def straight() -> None:
        for start in starts:
            lines.fill(address, [Scatter(start, [buffer])], Client(), name)

    def by_obstore() -> None:
        for start in starts:
            bucket.get_ranges(name, [(start, size)])

    spans = ",".join(f"{a}-{a + size - 1}" for a in starts)
    each = [
        part for span in spans.split(",") for part in ("--next", "-s", "-r", span, "-o", os.devnull, f"{url}/{name}")
    ]
    curl = partial(subprocess.run, ["curl", *each[1:]], check=True)
    ways = {"file": of_file, "straight": straight, "obstore": by_obstore, "curl": curl}
    taken: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds + 1):
        for way, work in ways.items():
            taken[way].append(_cpu_s(work, is_child=way == "curl") / (len(starts) * size / 1e9))
    for way, values in taken.items():
        yield f"| {size:,} bytes | {way} | {machine.spread(values[1:], '.2f')} |"


# ---- counts ----------------------------------------------------------------------------------------------------------


def counted(base: Path, form: str, mode: str) -> str:
    """A row: requests and bytes of one epoch, those that came twice, and those that nobody wanted."""
    with tempfile.TemporaryDirectory() as work, servers.faulty(base, Path(work)) as server:
        data = dataset_of(f"{server.url}/{form}", mode)
        server.break_("503", times=0)
        for _ in data:
            pass
        spans: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for _, path, span, _ in server.requests():
            first, last = map(int, re.findall(r"\d+", span or "0-0"))
            spans[path].append((first, last + 1))
    came = sum(b - a for some in spans.values() for a, b in some)
    twice = 0
    for some in spans.values():
        end = 0
        for a, b in sorted(some):
            twice += max(min(b, end) - a, 0)
            end = max(end, b)
    requests = sum(map(len, spans.values()))
    return f"| {form} | {mode} | {requests / data.samples:.2f} | {came / data.samples:,.0f} | {twice / came:.1%} |"


def report(args: argparse.Namespace) -> Iterator[str]:
    """The tables, as Markdown."""
    there = sorted(os.sched_getaffinity(0))
    mine, theirs = there[0], there[-1]
    base = args.cache / f"samples-{args.samples}"
    forms = {f: n for f, n in FORMS.items() if f in args.forms.split(",")}
    for form in FORMS:
        where = base / f"ours-{form}"
        layouts.ensure(where, (), partial(_write, form=form, count=args.samples))
        layouts.warm(where)
    yield f"{args.samples} samples; readers on core {mine}, servers on core {theirs}; {args.rounds} rounds.\n"
    yield "| | | workers' CPU s/GB | first one's ÷ its | samples/s |\n|---|---|---|---|---|"
    with serve.serving(base, [theirs]) as (url, _):
        for form, name in forms.items():
            for mode in EPOCHS:
                of = partial(measured, mode=mode, core=mine)
                ways = {"folder": partial(of, str(base / f"ours-{form}")), "http": partial(of, f"{url}/ours-{form}")}
                yield from compared(f"{name}, {mode}", ways, args.rounds)
            first = partial(measured, f"{url}/ours-{form}", "full", mine, is_first=True)
            ways = {"http": first, "http, cold cache": partial(_cold, first)}
            yield from compared(f"{name}, first epoch", ways, args.rounds)
        form = "native-lz4"
        with in_bucket(base / f"ours-{form}", theirs) as s3:
            ways = {
                w: partial(measured, at, "full", mine) for w, at in (("folder", str(base / f"ours-{form}")), ("S3", s3))
            }
            yield from compared(f"{FORMS[form]}, full", ways, args.rounds)
        yield "\n| ranges of | client, one thread | CPU s/GB |\n|---|---|---|"
        with cores.on({mine}):
            for size in RANGES:
                yield from clients(base / "ours-ten-none", f"{url}/ours-ten-none", size, args.rounds)
    yield "\n| | | requests a sample | bytes a sample | of them twice |\n|---|---|---|---|---|"
    for form in FORMS:
        for mode in EPOCHS:
            yield counted(base, f"ours-{form}", mode)
    yield f"\n{machine.told(max((base / 'ours-ten-none').rglob('*.tar')))}"
    first, best = machine.written(base)
    yield f"A new file takes {first:.2f} CPU s/GB to be written for the first time, {best:.2f} at best."


def _cold(first: Callable[..., Figures]) -> Figures:
    with tempfile.TemporaryDirectory() as cache:
        return first(cache=cache)


def _write(folder: Path, form: str, count: int) -> None:
    grid, codec = form.split("-")
    layouts.write_ours(folder, count, grid, codec)  # type: ignore[arg-type]


def main() -> None:
    """Measures and prints; or reads once, for itself."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--forms", default=",".join(FORMS), help="layouts that are read, with commas between")
    parser.add_argument("--cache", type=Path, default=Path(platformdirs.user_cache_dir("curation-benchmarks")))
    parser.add_argument("--read", nargs=4, metavar=("AT", "MODE", "FIRST", "CACHE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.read:
        at, mode, is_first, cache = args.read
        print(json.dumps(read(at, mode, is_first == "1", cache)), flush=True)
        return
    args.cache = args.cache.absolute()
    for line in report(args):
        print(line, flush=True)


if __name__ == "__main__":
    main()
