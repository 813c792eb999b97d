"""What patches cost of JPEG 2000, tile by tile: `python -m tests.benchmarks.jp2 [side_px] [rounds]`.

Writes three bands of `side_px` (4096 where left out) pixels a side as Sentinel-2's are (lossless, tiles of 1024, lists of
tile-parts and packets) and serves them on loopback. Of each, patches of 264 pixels are read: *wall*, a slab of 24 side by
side, and *city*, 24 scattered. Beside `curation.read`, in one thread:

- the floor: the tiles that are wanted, whose bytes are here, decoded once each by imagecodecs, and nothing else;
- GDAL through `/vsicurl/`, opened anew for each patch, and with one open file a band and GDAL's cache of blocks.

All come to the same pixels. Seconds are of this process's CPU, in the fastest of some rounds, in turns: what shares the
machine costs all the same; GDAL opened anew has one round. GDAL decodes in one thread, too (`GDAL_NUM_THREADS=1`), and
asks for no lists of folders.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

from curation.model import Location
from curation.places import grid
from curation.read import jp2, jp2image, jp2parts, sparse
from curation.read.reader import Asset, Read, Reader
from curation.recipe.arrays import ArraySpec
from tests import jp2files
from tests.read.test_reader import location, north_up

BANDS, PATCH_PX, PATCHES = 3, 264, 24
ARRAY = ArraySpec(res_m=10, bands=["b"], dtype="uint16", nodata=0, unit="1")
ORIGIN = location(9.0, 48.0, PATCH_PX * 10.0)
Patch = tuple[int, int]
"""Column and row of its first pixel."""


def patches(side: int) -> dict[str, list[Patch]]:
    """What is read, by its name."""
    wall = [(700 + PATCH_PX * (n % 6), 500 + PATCH_PX * (n // 6)) for n in range(PATCHES)]
    places = np.random.default_rng(5).integers(0, (side - PATCH_PX) // 6, (PATCHES, 2)) * 6
    return {"wall": wall, "city": [(int(col), int(row)) for col, row in places]}


def written(folder: Path, side: int) -> list[Path]:
    """The bands: smooth ground with noise, which packs to some 9 bits a pixel as the real ones do."""
    row, col = np.mgrid[:side, :side]
    rng = np.random.default_rng(1)
    out = []
    for band in range(BANDS):
        ground = 1800 + 600 * np.sin(col / 97 + band) + 500 * np.cos(row / 61) + rng.normal(0, 55, (side, side))
        transform = north_up(ORIGIN.x0_m, ORIGIN.y0_m, 10)
        out.append(folder / f"B{band}.tif")  # what the server serves is called so; it is told by its first bytes
        out[-1].write_bytes(
            jp2files.packed(ground.astype("u2")[None], transform, ORIGIN.epsg, **jp2files.SENTINEL2, TLM="YES")
        )
    return out


def placed(patch: Patch) -> Location:
    """A patch as a location."""
    x0, y0, size = ORIGIN.x0_m + patch[0] * 10, ORIGIN.y0_m - patch[1] * 10, PATCH_PX * 10.0
    lon, lat = grid.transformer(ORIGIN.epsg, 4326).transform(x0 + size / 2, y0 - size / 2)
    return Location("p", lon, lat, ORIGIN.epsg, x0, y0, size, "r")


def floor(streams: list[bytes]) -> Iterator[NDArray[np.uint16]]:
    """The tiles decoded, each once."""
    for stream in streams:
        yield imagecodecs.jpeg2k_decode(stream)


def wanted(files: list[Path], what: list[Patch]) -> list[bytes]:
    """Every tile that patches touch, as a codestream of its own."""
    out = []
    for path in files:
        data = path.read_bytes()

        def take(at: int, size: int, data: bytes = data) -> bytes:
            return data[at : at + size]

        header = jp2.header(take, jp2.boxes(take, len(data)).codestream)
        parts = jp2parts.listed(header)
        assert parts is not None
        tiles = {
            row // 1024 * header.grid.across + col // 1024
            for left, top in what
            for col in (left, left + PATCH_PX - 1)
            for row in (top, top + PATCH_PX - 1)
        }
        out += [jp2parts.alone(header, t, b"".join(take(s.start, s.stop - s.start) for s in parts[t])) for t in tiles]
    return out


def ours(url: str, files: list[Path], what: list[Patch]) -> Iterator[NDArray[np.uint16]]:
    """As a slab reads it: what patches want next is fetched together."""
    jp2image._indices.clear()
    sparse._heads.clear()
    with Reader("") as reader:
        groups = [[Read(Asset(f"{url}/{f.name}", "none"), ARRAY, placed(p)) for f in files] for p in what]
        for number in reader.ahead(groups):
            for read in groups[number]:
                assert read.location is not None
                pixels, warped = reader.read([read.asset], ARRAY, read.location)
                assert not warped
                yield pixels


def anew(url: str, files: list[Path], what: list[Patch]) -> Iterator[NDArray[np.uint16]]:
    """GDAL, opened anew for each patch."""
    for col, row in what:
        for path in files:
            with rasterio.open(f"/vsicurl/{url}/{path.name}") as file:
                yield file.read(1, window=Window(col, row, PATCH_PX, PATCH_PX))


def opened(url: str, files: list[Path], what: list[Patch]) -> Iterator[NDArray[np.uint16]]:
    """GDAL, each file opened once, with its cache of blocks."""
    handles = [rasterio.open(f"/vsicurl/{url}/{path.name}") for path in files]
    for col, row in what:
        for file in handles:
            yield file.read(1, window=Window(col, row, PATCH_PX, PATCH_PX))
    for file in handles:
        file.close()


def measured(run: Callable[[], Iterator[NDArray[np.uint16]]]) -> tuple[float, float, str]:
    """Seconds of CPU, seconds, and a digest of what it came to."""
    found, cpu, wall = hashlib.sha256(), time.process_time(), time.perf_counter()
    kept = list(run())
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    for pixels in kept:
        found.update(np.ascontiguousarray(pixels))
    return cpu, wall, found.hexdigest()


def main(side: int, rounds: int) -> None:
    """Prints a table."""
    serve = Path(__file__).with_name("reading") / "serve.py"
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
        files = written(Path(name), side)
        size = sum(f.stat().st_size for f in files)
        print(
            f"{BANDS} bands of {side} × {side} pixels, {size / 1e6:.0f} MB, {8 * size / BANDS / side**2:.1f} bits a pixel"
        )
        with subprocess.Popen([sys.executable, str(serve), name, "0"], stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{server.stdout.readline().strip()}"
            settings = {
                "GDAL_NUM_THREADS": "1",
                "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
                "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".tif",
            }
            try:
                with rasterio.Env(**settings):
                    for what, places in patches(side).items():
                        table(what, places, files, url, rounds)
            finally:
                server.terminate()


def table(what: str, places: list[Patch], files: list[Path], url: str, rounds: int) -> None:
    """One kind of patches."""
    streams = wanted(files, places)
    contenders: dict[str, Callable[[], Iterator[NDArray[np.uint16]]]] = {
        "the tiles decoded once, alone": lambda: floor(streams),
        "curation.read": lambda: ours(url, files, places),
        "GDAL, one open file a band": lambda: opened(url, files, places),
        "GDAL, opened anew for each patch": lambda: anew(url, files, places),
    }
    best: dict[str, tuple[float, float]] = {}
    digests = set()
    for turn in range(rounds):
        for name, run in contenders.items():
            if turn and name.endswith("anew for each patch"):
                continue  # it takes as long as all others in all rounds
            cpu, wall, digest = measured(run)
            if run is not contenders["the tiles decoded once, alone"]:
                digests.add(digest)
            before = best.get(name, (np.inf, np.inf))
            best[name] = min(before[0], cpu), min(before[1], wall)
    assert len(digests) == 1, "all come to the same pixels"
    least = best["the tiles decoded once, alone"]
    print(f"\n{what}: {len(places)} patches of {len(files)} bands, in {len(streams)} tiles")
    for name, (cpu, wall) in best.items():
        print(f"| {name} | {cpu:.2f} | {least[0] / cpu:.2f} | {wall:.2f} | {least[1] / wall:.2f} |")


if __name__ == "__main__":
    main(int((sys.argv[1:] or ["4096"])[0]), int((sys.argv[2:] or ["3"])[0]))
