"""How fast patches are read beside other readers: `python -m tests.benchmarks.reading [--quick] [--latency 0,20,50]`.

A scene of 10980 × 10980 pixels in Sentinel-2's layout (12 bands, blocks of 512, deflate with predictor, 1 GB, written once)
behind a loopback server of byte ranges that answers so much later. Every contender reads the same patches of 264 pixels
in a process of its own, cold; hashes of what came are compared. Beside them the floor: the blocks that the patches of a
slab touch, each once, their bytes, and the CPU time to decode them alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import platformdirs
import rasterio
from rasterio.windows import Window

from curation.read.blocks import PixelWindow, Span, coalesced, of_window
from tests.benchmarks import environments, machine
from tests.benchmarks.reading import scene

HERE = Path(__file__).parent
PEERS = (
    "odc-stac",
    "odc-stac, pool 12",
    "stackstac, 12 threads",
    "rioxarray",
    "rasterio, 12 threads",
    "async-geotiff, 8 patches",
)
SLOW = {"odc-stac", "rioxarray"}
"""So slow with latency that they read fewer places; rates are per patch."""


def floor(folder: Path, layout: str, count: int) -> dict[str, float]:
    """Per patch: requests and bytes of the blocks of each slab, each once, and what decoding them takes, a thread a core."""
    places = scene.places(layout, count)
    blocks: dict[tuple[int, str], set[tuple[int, int]]] = {}
    requests = size = 0
    for n in range(0, count, scene.SLAB):
        for band, res in scene.BANDS.items():
            px = scene.SIZE_M // res
            with rasterio.open(folder / f"{band}.tif") as file:
                wanted = {
                    block
                    for c, r in places[n : n + scene.SLAB]
                    for block in of_window(PixelWindow(c * 10 // res, r * 10 // res, px, px), 512, 512)
                }
                spans = []
                for bx, by in wanted:
                    at, length = (
                        int(file.get_tag_item(f"BLOCK_{w}_{bx}_{by}", "TIFF", bidx=1)) for w in ("OFFSET", "SIZE")
                    )
                    spans.append(Span(at, at + length))
            blocks[n, band] = wanted
            size += sum(s.stop - s.start for s in spans)
            requests += len(coalesced(spans))

    def decode(job: tuple[tuple[int, str], set[tuple[int, int]]]) -> None:
        (_, band), wanted = job
        with rasterio.Env(GDAL_CACHEMAX=0), rasterio.open(folder / f"{band}.tif") as file:
            for bx, by in wanted:
                w, h = min(512, file.width - 512 * bx), min(512, file.height - 512 * by)
                file.read(1, window=Window(512 * bx, 512 * by, w, h))

    cpu, began = time.process_time(), time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(decode, blocks.items()))
    return {
        "requests": requests / count,
        "bytes": size / count,
        "cpu_s": (time.process_time() - cpu) / count,
        "patches_per_s": count / (time.perf_counter() - began),
    }


def deliver(python: Path, name: str, url: str, layout: str, count: int) -> dict[str, Any]:
    """What a contender says of itself, and the server of it. Raises RuntimeError with its output where it failed."""
    script, more = ("ours.py", []) if name == "ours" else ("peers.py", [name])
    urllib.request.urlopen(f"{url}/_counts").read()
    env = os.environ | ({"PYTHONPATH": str(HERE.parents[2])} if name == "ours" else {})
    command = [str(python), str(HERE / "contenders" / script), url, layout, str(count), *more]
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=900)
    if done.returncode:
        raise RuntimeError(f"{name}: exit code {done.returncode}: {done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    counts = json.loads(urllib.request.urlopen(f"{url}/_counts").read())
    return found | {"count": count, "requests": counts["requests"] / count, "bytes": counts["bytes"] / count}


def measure(cache: Path, args: argparse.Namespace) -> None:
    """Prints a table per layout and latency."""
    folder = cache / f"scene-{scene.mark()}"
    print("writing the scene", file=sys.stderr)
    scene.write(folder)
    peer = environments.ensure(cache, "cog")
    chosen = [n for n in ("ours", *PEERS) if not args.only or any(p in n for p in args.only.split(","))]
    for layout in args.layouts.split(","):
        least = floor(folder, layout, args.count)
        for latency_ms in args.latency.split(","):
            rows: dict[str, list[dict[str, Any]]] = {}
            server = subprocess.Popen(
                [sys.executable, str(HERE / "serve.py"), str(folder), latency_ms], stdout=subprocess.PIPE, text=True
            )
            with server:
                url = f"http://127.0.0.1:{server.stdout.readline().strip() if server.stdout else ''}"
                proofs: dict[int, str] = {}
                for _ in range(args.rounds):
                    for name in chosen:
                        count = args.count if name not in SLOW else max(args.count // 8, scene.SLAB // 2)
                        python = Path(sys.executable) if name == "ours" else peer
                        found = deliver(python, name, url, layout, count)
                        if proofs.setdefault(count, found["proof"]) != found["proof"]:
                            raise SystemExit(f"{name}: delivered other pixels than those before it")
                        rows.setdefault(name, []).append(found)
                        print(f"{layout} {latency_ms} ms {name}: {found['patches_per_s']:.1f}/s", file=sys.stderr)
                server.terminate()
            table(layout, latency_ms, rows, least, args)
    print(f"\n{machine.told(folder / 'B02.tif')}")


def table(
    layout: str,
    latency_ms: str,
    rows: dict[str, list[dict[str, Any]]],
    least: dict[str, float],
    args: argparse.Namespace,
) -> None:
    """Prints one."""
    found = {name: machine.middle(rounds, "patches_per_s") for name, rounds in rows.items()}
    peers = [r["patches_per_s"] for n, r in found.items() if n != "ours"]
    print(
        f"\n## {layout}, +{latency_ms} ms, {args.count} patches, {os.cpu_count()} cores, {args.rounds} rounds in turns\n"
    )
    print("| reader | patches/s | × best peer | of the floor's CPU | CPU ms | requests | MB | peak memory MB |")
    print("|---|---|---|---|---|---|---|---|")
    for name, r in sorted(found.items(), key=lambda i: -i[1]["patches_per_s"]):
        ratio = f"{r['patches_per_s'] / max(peers):.2f}" if peers else "–"
        scatter = machine.spread([its["patches_per_s"] for its in rows[name]], ".1f")
        print(
            f"| {f'**{name}**' if name == 'ours' else name} | {scatter} | {ratio} | {r['cpu_s'] / least['cpu_s']:.2f} | "
            f"{r['cpu_s'] * 1e3:.1f} | {r['requests']:.2f} | {r['bytes'] / 1e6:.2f} | {r['peak_mb']:.0f} |"
        )
    print(
        f"| floor: blocks of a slab once, decoded alone | {least['patches_per_s']:.1f} | | 1.00 | "
        f"{least['cpu_s'] * 1e3:.1f} | {least['requests']:.2f} | {least['bytes'] / 1e6:.2f} | |",
        flush=True,
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round, 50 ms alone")
    parser.add_argument("--only", help="parts of the names of readers, with commas between")
    parser.add_argument("--count", type=int, default=192, help="patches; slabs are of 24 (default: 192)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--latency", default="0,20,50", help="milliseconds, with commas between")
    parser.add_argument("--layouts", default="city,wall")
    parser.add_argument("--cache", type=Path, default=Path(platformdirs.user_cache_dir("curation-benchmarks")))
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.latency = 1, "50"
    measure(args.cache.absolute(), args)


if __name__ == "__main__":
    main()
