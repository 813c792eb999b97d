"""What searching for a whole recipe costs, in counted requests: `python -m tests.benchmarks.searches [DATASET]`.

The recipe's places are drawn, and every search that its cubes want goes through the code that makes them, as far as the
catalog, in whose place stands one that counts: pages by how many scenes of a planet with full archives (`planet.py`) touch
what is asked for. Its last line is of the files that Planetary Computer publishes its items as, in place of searches
(`published.py`). Hours are requests times 200 ms by four at a time, and what is transferred at 50 MB/s.

With `--sample N`, N neighbouring places are searched for truly, by cell and by larger cells, in a STAC API that has such
scenes, 200 ms away, which answers every 25th request with 429: the embedded Earth's, or that of `--api URL`, into which
`--items FILE` was loaded, that the same command writes. Told is whether the saved searches are the same, byte for byte, and
whether as many requests were made as were counted. Recorded items are their templates: wants CURATION_SHARED.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import math
import os
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import urllib3
import uvicorn

from curation.cubes import cube, selection
from curation.cubes.cube import Cube
from curation.embedded.service import api as embedded
from curation.errors import CurationError
from curation.model import Location
from curation.recipe import catalogs
from curation.recipe.catalogs import Catalog, Catalogs
from curation.recipe.dataset import Dataset, load_dataset
from curation.scenes import candidates, saved
from curation.scenes.cells import Box, SearchCell, cell_of, joint
from curation.scenes.items import Found, Query
from curation.scenes.paging import LARGE_PAGE_ITEMS, PAGE_ITEMS
from curation.scenes.saved import Searches, Wanted
from curation.store.objects import Store
from tests.benchmarks.searches import planet, published
from tests.loopback import Request, serving

AWAY_S, AT_A_TIME, BYTES_PER_S = 0.2, saved.THREADS, 50e6
REFUSED_EVERY = 25
"""Requests of which one is answered with 429."""
WHOLE_B, SOME_B = {"s2l2a": 17_000, "s1rtc": 6_000}, {"s2l2a": 4_600, "s1rtc": 1_100}
"""Bytes of an item, whole and of some fields: of recorded ones (`tests/scenes/test_fields.py` holds that it is a third)."""
OTHERS_B = 2_000


@dataclass
class Counting:
    """In place of a catalog: counts what it is asked for."""

    catalog: Catalog
    large: bool
    requests: Counter[str] = field(default_factory=Counter)
    items: Counter[str] = field(default_factory=Counter)
    _lock: Any = field(default_factory=threading.Lock)

    def together(self, queries: Sequence[Query]) -> list[Found | CurationError]:
        """As `Api.together` of a catalog that gives some fields of items, or that gives whole ones alone."""
        first = queries[0]
        if self.catalog.form_of(first.spec) is not None:
            boxes: list[list[Box]] = [q.cell.boxes for q in queries]
            if self.large and len(queries) > 1:
                boxes = [[joint([q.cell for q in queries])]]
            page = LARGE_PAGE_ITEMS if self.large and len(queries) > 1 else PAGE_ITEMS
            archive = planet.ARCHIVES.get(first.spec.name)
            for box in (b for several in boxes for b in several):
                count = archive.count(box, first.window) if archive else 0
                with self._lock:
                    self.requests[first.spec.name] += max(math.ceil(count / page), 1)
                    self.items[first.spec.name] += count
        return [Found([], {}) for _ in queries]


class Planned(Searches):
    """Searches of which none is saved, and each is made once."""

    def __init__(self, dataset: Dataset, catalog: Catalog, store: Store, endpoint: Counting) -> None:
        super().__init__(dataset, Catalogs(catalog), store)
        self._opened[catalog] = endpoint  # type: ignore[assignment]  # it is asked in the same way
        self._made: set[tuple[str, str, SearchCell]] = set()

    def _is_saved(self, *wanted: Any) -> bool:
        spec, window, cell = wanted
        return (spec.name, window.name if not spec.timeless else "static", cell) in self._made

    def _save(self, query: Query, found: Found) -> list[str]:
        self.answered += 1
        self._made.add((query.spec.name, query.window.name if not query.spec.timeless else "static", query.cell))
        return []


def works(made: Cube, places: list[list[Location]]) -> Iterator[tuple[int, list[Wanted]]]:
    """What each slab of a cube wants, as a build asks for it, by a place of each of its cells."""
    for slab, its in enumerate(places):
        yield slab, candidates.wanted(made.dataset, made.season, its)


def counted(dataset: Dataset, catalog: Catalog, cubes: list[tuple[Cube, list[list[Location]]]], *, large: bool) -> Any:
    """The plan of some cubes: how many searches, and what a catalog is asked for."""
    endpoint = Counting(catalog, large)
    with tempfile.TemporaryDirectory() as folder:
        searches = Planned(dataset, catalog, Store(folder), endpoint)
        for made, places in cubes:
            for _, error in searches.ahead(works(made, places)):
                assert error is None
    return searches.answered, endpoint


def row(name: str, searches: int, endpoint: Counting, sizes: dict[str, int]) -> str:
    """A line of the table, of searches."""
    size = sum(n * sizes.get(source, OTHERS_B) for source, n in endpoint.items.items())
    return line(name, searches, endpoint.requests.total(), endpoint.items.total(), size)


def line(name: str, searches: int, requests: int, items: int, size: int) -> str:
    """A line of the table."""
    asking, taking = requests * AWAY_S / AT_A_TIME / 3600, size / BYTES_PER_S / 3600
    cells = (f"{searches:,}", f"{requests:,}", f"{items:,}", f"{size / 1e9:.1f}")
    return "| " + " | ".join((name, *cells, f"{asking:.2f}", f"{taking:.2f}", f"{asking + taking:.2f}")) + " |"


def plan(dataset: Dataset, catalog: Catalog, cubes: list[tuple[Cube, list[list[Location]]]]) -> None:
    """Prints the table."""
    print("| | searches | requests | items | GB | h of requests | h of bytes | h |\n|---|" + "---|" * 7)
    by_cell = counted(dataset, catalog, cubes, large=False)
    print(row("each cell by itself, whole items", *by_cell, WHOLE_B))
    print(row("each cell by itself, what is read of items", *by_cell, SOME_B))
    print(row("larger cells, what is read of items", *counted(dataset, catalog, cubes, large=True), SOME_B), flush=True)
    place = cubes[0][1][0][0]
    costs = []
    for source, template in templates().items():
        windows = [w for n in dataset.season_names() if (w := dataset.sought(source, n).window(place)) is not None]
        costs.append(published.cost(dataset, source, template, windows))
    told = tuple(sum(getattr(c, what) for c in costs) for what in ("requests", "items", "bytes"))
    print(line("published files, what is read of items", 0, *told))


# ---- a sample, truly searched for ------------------------------------------------------------------------------------


def templates() -> dict[str, dict[str, Any]]:
    """Source → a recorded item of Planetary Computer's."""
    folder = Path(os.environ["CURATION_SHARED"]) / "data" / "stac-geoparquet" / "data"
    names = {"s2l2a": "sentinel-2-l2a-pc", "s1rtc": "sentinel-1-rtc-pc", "dem": "cop-dem-glo-30-pc"}
    return {source: json.loads((folder / f"{n}.json").read_text())[0] for source, n in names.items()}


def items_around(dataset: Dataset, place: Location, cells: list[SearchCell]) -> list[dict[str, Any]]:
    """All items that larger cells may have which hold these, each once; in the windows of one place, which all have."""
    found: dict[str, dict[str, Any]] = {}
    west, south, east, north = joint(cells)
    box = (west - 0.1, south - 0.1, east + 0.1, north + 0.1)
    for source, template in templates().items():
        spec = dataset.specs[source]
        for season in dataset.season_names():
            window = dataset.sought(source, season).window(place)
            assert window is not None
            made = planet.items(source, template, spec.catalogs["planetary-computer"].collection, box, window)
            found |= {i["id"]: i for i in made}
    return list(found.values())


@contextlib.contextmanager
def embedded_api(items: list[dict[str, Any]]) -> Iterator[str]:
    """The embedded Earth's STAC API over these items."""
    collections = [
        {"type": "Collection", "id": c, "stac_version": "1.0.0", "description": c, "license": "other", "links": [],
         "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}}}
        for c in sorted({i["collection"] for i in items})
    ]  # fmt: skip
    server = uvicorn.Server(uvicorn.Config(embedded.make_app(collections, items), log_level="warning"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.05)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}{embedded.PREFIX}"
        server.should_exit = True
        thread.join()


class Far:
    """What stands before a STAC API: it is far away, and now and then has too much to do."""

    def __init__(self, api_url: str) -> None:
        self._host, self._path = api_url.split("/stac")[0], api_url
        self._pool = urllib3.PoolManager(maxsize=16)
        self._lock = threading.Lock()
        self.searches: list[bool] = []
        """Of each search, whether whole items were asked for; in order."""
        self.refused, self.bytes, self._asked = 0, 0, 0

    def answer(self, request: Request) -> None:
        """Passes it on, later."""
        time.sleep(AWAY_S)
        with self._lock:
            self._asked += 1
            if request.command == "POST" and self._asked % REFUSED_EVERY == 0:
                self.refused += 1
                return request.send(429, b'{"code": "busy"}', Retry_After="1")
            if request.command == "POST":
                self.searches.append(not (json.loads(request.body).get("fields") or {}).get("include"))
        headers = {"Host": request.headers["Host"], "Content-Type": "application/json"}
        got = self._pool.request(request.command, self._host + request.path, body=request.body, headers=headers)
        with self._lock:
            self.bytes += len(got.data)
        return request.send(got.status, got.data, Content_Type="application/json")


def sample(dataset: Dataset, made: list[tuple[Cube, list[list[Location]]]], api_url: str) -> None:
    """Searches for some cubes both ways, and prints what came of it."""
    stored: list[dict[str, bytes]] = []
    print("| | searches | requests | counted | 429 | MB |\n|---|---|---|---|---|---|")
    for large in (False, True):
        far = Far(api_url)
        with (
            tempfile.TemporaryDirectory() as folder,
            serving(far.answer) as url,
        ):
            catalog = catalogs.resolve(url + api_url.removeprefix(far._host))
            searches = Searches(dataset, Catalogs(catalog), Store(folder))
            if not large:
                searches.endpoint(catalog)._trims = False  # type: ignore[union-attr]  # it is an Api
            for cube_, places in made:
                for _, error in searches.ahead(works(cube_, places)):
                    if error is not None:
                        sys.exit(f"a search failed: {error}")
            found = {s.key: _answer(searches.store.get(s.key)) for s in searches.store.list("")}
            # The port is another each time: in the name of the catalog's folder, and in hrefs that lead to it.
            stored.append({key.split("/", 2)[2]: its.replace(url.encode(), b"") for key, its in found.items()})
            _, count = counted(dataset, catalog, made, large=large)
        name = "larger cells, what is read of items" if large else "each cell by itself, whole items"
        twice = f" (+ {sum(far.searches) if large else 0} to learn and prove what is read)"
        ours = len(far.searches) - (sum(far.searches) if large else 0)
        print(f"| {name} | {searches.answered:,} | {ours:,}{twice if large else ''} | {count.requests.total():,} "
              f"| {far.refused} | {far.bytes / 1e6:.1f} |", flush=True)  # fmt: skip
    same = stored[0] == stored[1]
    scenes = sum(len(json.loads(v)["scenes"]) for v in stored[0].values())
    print(f"\n{len(stored[0]):,} saved searches with {scenes:,} scenes are {'equal' if same else 'NOT EQUAL'}")
    if not same:
        sys.exit(1)


def _answer(data: bytes) -> bytes:
    """What a saved search found, without what it was asked of."""
    return gzip.decompress(data).splitlines()[1]


def main() -> None:
    """Draws, counts, and searches for a sample."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", nargs="?", default="ssl4eo-s12-ml")
    parser.add_argument("--root", type=Path, help="a folder where the draw is kept")
    parser.add_argument("--sample", type=int, default=0, help="places to search for truly")
    parser.add_argument("--region", default="europe", help="where they lie (europe)")
    parser.add_argument("--api", help="a STAC API that has the items, instead of the embedded Earth's")
    parser.add_argument("--items", type=Path, help="write the items of the sample there, a line each, and end")
    args = parser.parse_args()
    dataset, catalog = load_dataset(args.dataset), catalogs.resolve("planetary-computer")
    store = Store(args.root or tempfile.mkdtemp())
    regions = selection.asked_regions(dataset, Catalogs(catalog), args.region if args.sample else "all")
    places = selection.locations(dataset, store, regions)
    if args.sample:
        places = {name: its[len(its) // 2 : len(its) // 2 + args.sample] for name, its in places.items()}
    cubes = []
    for name, its in places.items():
        size = dataset.recipe.cube.slab_patches
        of_cells = [list({cell_of(p): p for p in its[n : n + size]}.values()) for n in range(0, len(its), size)]
        cubes += [(cube.cube_of(dataset, name, s, its), of_cells) for s in dataset.cube_seasons()]
    count = sum(map(len, places.values()))
    every = {cell_of(p) for _, of_cells in cubes for slab in of_cells for p in slab}
    print(f"{count:,} places in {len(every):,} search cells\n", flush=True)
    if not args.sample:
        plan(dataset, catalog, cubes)
        return
    items = items_around(dataset, cubes[0][1][0][0], sorted(every))
    if args.items:
        with args.items.open("w") as file:
            file.writelines(json.dumps(i) + "\n" for i in items)
        return
    with embedded_api(items) if not args.api else contextlib.nullcontext(args.api) as url:
        print(f"a STAC API with {len(items):,} items, {AWAY_S:g} s away\n", flush=True)
        sample(dataset, cubes, url)


main()
