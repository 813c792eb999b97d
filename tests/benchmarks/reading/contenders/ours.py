"""`curation.read`: slabs of places, each read as a task of a worker's thread."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import harness
import scene
from harness import Patch, Place

from curation.model import Location
from curation.read.reader import Asset, Read, Reader
from curation.recipe.arrays import ArraySpec

THREADS = 4
ARRAYS = {r: ArraySpec(res_m=r, bands=["b"], dtype="uint16", nodata=0, unit="dn") for r in (10, 20, 60)}


def at(place: Place) -> Location:
    """The place as a location: where it is in degrees does not matter to an exact crop."""
    x, y = scene.WEST + 10 * place[0], scene.NORTH - 10 * place[1]
    return Location("p", 9.0, 51.0, scene.EPSG, x, y, scene.SIZE_M, "r")


def slab(url: str, places: list[Place]) -> list[tuple[Place, Patch]]:
    """One slab, as `build` reads one: what its patches want is fetched together."""
    out = []
    with Reader(url) as reader:
        wants = [{b: Read(Asset(f"{b}.tif", "none"), ARRAYS[r], at(p)) for b, r in scene.BANDS.items()} for p in places]
        for number in reader.ahead([list(reads.values()) for reads in wants]):
            pixels = {b: reader.read([r.asset], r.array, r.location)[0] for b, r in wants[number].items()}
            out.append((places[number], pixels))
    return out


def read(url: str, places: list[Place]) -> Iterable[tuple[Place, Patch]]:
    """All places."""
    slabs = [places[i : i + scene.SLAB] for i in range(0, len(places), scene.SLAB)]
    with ThreadPoolExecutor(THREADS) as pool:
        for found in pool.map(lambda s: slab(url, s), slabs):
            yield from found


if __name__ == "__main__":
    harness.main(read)
