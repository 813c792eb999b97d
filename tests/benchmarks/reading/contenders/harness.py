"""What every contender does beside reading: `python CONTENDER.py URL LAYOUT COUNT` prints one JSON line."""

from __future__ import annotations

import hashlib
import json
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))
import scene

Place = tuple[int, int]
Patch = dict[str, np.ndarray]


def digest(patch: Patch) -> str:
    """Of a patch's pixels."""
    whole = hashlib.blake2b(digest_size=8)
    for band in scene.BANDS:
        whole.update(np.ascontiguousarray(patch[band], dtype="<u2"))
    return whole.hexdigest()


def main(read: Callable[[str, list[Place]], Iterable[tuple[Place, Patch]]]) -> None:
    """Reads all places and prints patches per second, CPU seconds, peak memory, and what came."""
    url, layout, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    wanted = scene.places(layout, count)
    peak, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            peak[0] = max(peak[0], psutil.Process().memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    cpu, began = time.process_time(), time.perf_counter()
    found = {place: digest(patch) for place, patch in read(url, wanted)}
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    over.set()
    watcher.join()
    proof = hashlib.sha256("".join(found[p] for p in wanted).encode()).hexdigest()
    peak_mb = max(peak[0], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024) / 1e6
    print(json.dumps({"patches_per_s": count / took, "cpu_s": cpu / count, "peak_mb": peak_mb, "proof": proof}))
