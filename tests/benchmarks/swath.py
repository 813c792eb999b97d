"""What a cell of a swath costs: `python -m tests.benchmarks.swath [orbits] [milliseconds] [MB/s]`.

Writes whole orbits of made-up nitrogen dioxide (4172 × 450 footprints, 7 variables, 50 to 63 MB each; real files have some
80 variables and 400 MB), in chunks of one scanline, of 64, and of all, and serves them on loopback, each answer so many
milliseconds late and each connection so fast (30 ms and 20 MB/s where left out). A slab of 16 cells side by side is then
made of all of them: cell by cell, by its rows alone, and by downloading each orbit once and gridding what is in it. Both
must come to the same.

Bytes are those of the answers; the time is all of it, reading and gridding, in one thread.
"""

from __future__ import annotations

import io
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import requests

from curation.read.gridding import Accumulator, Footprints, Gridded
from curation.read.reader import Asset
from curation.read.swath import Swaths
from curation.recipe import files
from curation.recipe.sources import SourceSpec
from curation.recipe.toml import read_toml
from tests import swaths

SIZE, PX, SIDE = 0.25, 28, 4
CELLS = [(9.0 + SIZE * (i % SIDE), 46.5 + SIZE * (i // SIDE)) for i in range(SIDE * SIDE)]
COLUMN = "nitrogendioxide_tropospheric_column"


def accumulator(lon: float, lat: float) -> Accumulator:
    """Of a cell."""
    return Accumulator(lon - SIZE / 2, lat + SIZE / 2, SIZE, PX, 1, 0.75)


def by_rows(url: str, names: list[str], spec: SourceSpec) -> list[Gridded]:
    """Cell by cell, as a task does it."""
    totals = [accumulator(*cell) for cell in CELLS]
    with Swaths(url) as reader:
        for (lon, lat), total in zip(CELLS, totals, strict=True):
            bounds = lon - SIZE / 2, lat - SIZE / 2, lon + SIZE / 2, lat + SIZE / 2
            for orbit, name in enumerate(names):
                total.add(reader.footprints({"data": Asset(name, "none")}, spec, bounds), orbit)
    return [t.result() for t in totals]


def by_orbits(url: str, names: list[str]) -> list[Gridded]:
    """Orbit by orbit, downloaded whole, into all cells."""
    totals = [accumulator(*cell) for cell in CELLS]
    for orbit, name in enumerate(names):
        answer = requests.get(f"{url}/{name}", headers={"Range": "bytes=0-999999999999"}, timeout=60)
        with h5py.File(io.BytesIO(answer.content)) as file:
            product, geo = file["PRODUCT"], file[swaths.GEOLOCATIONS]
            values = product[COLUMN][0].astype(float).reshape(1, -1)
            values[values == float(swaths.FILL)] = np.nan
            corners = (geo[f"{k}_bounds"][0].astype(float).reshape(-1, 4) for k in ("longitude", "latitude"))
            every = Footprints(*corners, values, product["qa_value"][0].ravel() * 0.01)
        for (lon, lat), total in zip(CELLS, totals, strict=True):
            near = (np.abs(every.lat[:, 0] - lat) < 1) & (np.abs((every.lon[:, 0] - lon + 180) % 360 - 180) < 2)
            assert every.quality is not None
            total.add(Footprints(every.lon[near], every.lat[near], every.values[:, near], every.quality[near]), orbit)
    return [t.result() for t in totals]


def main() -> None:
    """Prints a line per form of file and way to read it."""
    orbits = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    delay_ms = float(sys.argv[2]) if len(sys.argv) > 2 else 30.0
    per_s = float(sys.argv[3]) * 1e6 if len(sys.argv) > 3 else 20e6
    spec = read_toml(files.folder("stac_queries") / "s5p-no2.toml", SourceSpec)
    print(f"{orbits} orbits, {len(CELLS)} cells, answers {delay_ms:g} ms late, {per_s / 1e6:g} MB/s")
    print(f"{'scanlines per chunk':>20} {'':12} {'MB/cell':>9} {'of all':>8} {'requests/cell':>14} {'cells/s':>8}")
    for rows in (1, 64, swaths.S5P_ROWS):
        with tempfile.TemporaryDirectory() as folder:
            names = [f"{i}.nc" for i in range(orbits)]
            for i, name in enumerate(names):
                node = 12.0 + 16.0 * i / max(orbits - 1, 1)
                swaths.s5p(Path(folder) / name, swaths.S5P_ROWS, swaths.S5P_COLS, node, (rows, swaths.S5P_COLS))
            size = sum((Path(folder) / n).stat().st_size for n in names)
            made = {}
            for way in ("rows", "whole orbits"):
                with swaths.counting(Path(folder), delay_ms / 1000, per_s) as (url, counted):
                    start = time.perf_counter()
                    made[way] = by_rows(url, names, spec) if way == "rows" else by_orbits(url, names)
                    took = time.perf_counter() - start
                n = len(CELLS)
                print(
                    f"{rows:20} {way:12} {counted.bytes / n / 1e6:9.3f} {counted.bytes / size:8.2%} "
                    f"{counted.requests / n:14.1f} {n / took:8.2f}",
                    flush=True,
                )
            for a, b in zip(made["rows"], made["whole orbits"], strict=True):
                np.testing.assert_allclose(a.mean, b.mean, rtol=1e-6)
                np.testing.assert_array_equal(a.footprints, b.footprints)


if __name__ == "__main__":
    main()
