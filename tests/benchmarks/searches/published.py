"""What it costs to read the items that a catalog publishes as files, in place of asking it: requests and bytes.

Two things are truly done by what a build uses, and counted: an archive's whole span, in parts called as Planetary Computer
calls them, of a few items each, is looked at and searched in a bucket on loopback; and one row group of many items is
read. Of these the requests are put together: the parts are opened as they were, and each row group is read as that one.
"""

from __future__ import annotations

import datetime as dt
import io
import math
import random
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import stac_geoparquet.arrow

from curation.model import Window
from curation.read import ranges
from curation.read.signing import FileAddress
from curation.recipe import catalogs
from curation.recipe.dataset import Dataset
from curation.scenes import remotefile
from curation.scenes.cells import SearchCell
from curation.scenes.items import Query
from curation.scenes.saved import opened
from curation.scenes.snapshot import Snapshot
from curation.store.objects import Store
from tests import buckets
from tests.archive import Archive
from tests.benchmarks.searches import planet
from tests.loopback import Request, serving

ITEMS = 8_192
"""In the row group that is truly read."""

FEW = 2
"""In each part of the whole span."""

UNTIL = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
"""Where archives end."""

PARTS = {
    "s2l2a": (dt.datetime(2015, 6, 29, tzinfo=dt.UTC), dt.timedelta(days=7)),  # W-MON, as its collection says
    "s1rtc": (
        dt.datetime(2014, 10, 1, tzinfo=dt.UTC),
        dt.timedelta(days=30),
    ),  # by month, as names of its parts have it
}
"""Source → where its archive begins, and the length of its parts; others are one file, whose name tells no time."""

_NAMED = re.compile(r"(?<![A-Za-z])\d\d[A-Z]{3}(?![A-Za-z])|[0-9A-F]{4,}")
"""What differs from one item's names to another's: tiles, dates, orbits, checksums."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of the files of a source."""

    items: int
    """That are read: all of the planet's from the first window's start to the last one's end."""
    requests: int
    bytes: int


def cost(dataset: Dataset, source: str, template: dict[str, Any], windows: Sequence[Window]) -> Cost:
    """What it costs to open the files of a source, to ask them what they have, and to search them once for all windows.

    Items are made of a recorded one. Names and numbers are drawn, so that they compress no better than real ones.
    """
    spec = dataset.specs[source]
    span = Window("span", min(w.start for w in windows), max(w.end for w in windows), windows[0].anchor)
    count = planet.ARCHIVES[source].count((-180.0, -90.0, 180.0, 90.0), span)
    bands = spec.kind.sought([b for a in spec.arrays for b in a.bands])
    query = Query(spec, tuple(bands), span, SearchCell(135, 186), dataset.recipe.quality.max_scene_cloud_pct)
    collection = spec.catalogs["planetary-computer"].collection
    group, size, footer = _of_a_row_group(template, collection, span, query)
    opening, parts = _of_all_parts(source, template, collection, query)
    groups = max(math.ceil(count / ITEMS), parts)
    return Cost(count, opening + groups * group, math.ceil(count / ITEMS * size) + parts * footer)


def _of_a_row_group(template: dict[str, Any], collection: str, span: Window, query: Query) -> tuple[int, int, int]:
    """Requests and bytes of a row group, and bytes of a footer, of one file that is searched over HTTP."""
    archive = Archive({"items.parquet": _packed(_items(template, collection, span, ITEMS))})
    archive.version = '"one"'
    asked: list[int] = []

    def answer(request: Request) -> None:
        first, last = request.headers["Range"].removeprefix("bytes=").split("-")
        asked.append(int(last) - int(first) + 1)
        archive.answer(request)

    with serving(answer) as url:
        endpoint = opened(catalogs.resolve(f"planetary-computer+{url}/items.parquet"))
        footer = len(asked), sum(asked)
        endpoint.search(query)
    return len(asked) - footer[0], sum(asked) - footer[1], footer[1]


def _of_all_parts(source: str, template: dict[str, Any], collection: str, query: Query) -> tuple[int, int]:
    """Requests until all is open that is searched, of an archive's whole span, and how many files that is."""
    files = {}
    few = _items(template, collection, query.window, FEW)
    start, length = PARTS.get(source, (UNTIL, dt.timedelta(0)))
    while start < UNTIL:
        name = f"part-{len(files):04d}_{start.isoformat()}_{(start + length).isoformat()}.parquet"
        times = pa.array([start + length * n / FEW for n in range(FEW)], few.schema.field("datetime").type)
        files[name] = _packed(few.set_column(few.schema.get_field_index("datetime"), "datetime", times))
        start += length
    files = files or {"part-0.parquet": _packed(few)}
    with buckets.bucket() as address, pytest.MonkeyPatch.context() as patch:
        buckets.reached_at(address, patch)
        store = Store(f"s3://bucket/items/{collection}.parquet")
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(store.publish, files, files.values()))
        fetches: list[str] = []

        def fetch(address: FileAddress, start: int, length: int, name: str, version: str = "") -> ranges.Answer:
            fetches.append(name)
            return ranges.fetch(address, start, length, name, version)

        patch.setattr(remotefile, "fetch", fetch)
        endpoint = opened(catalogs.resolve(f"s3://bucket/items/{collection}.parquet"))
        assert isinstance(endpoint, Snapshot)
        assert endpoint.has(collection)  # as is asked before a build
        parts = endpoint._looked_at(None if query.spec.timeless else (query.window.start, query.window.end))
    listing = 1 + math.ceil(len(files) / 1000)  # whether the place is a file, and pages of names
    return listing + len(fetches), len(parts)


def _items(template: dict[str, Any], collection: str, span: Window, count: int) -> pa.Table:
    rng = random.Random(17)
    items = [_drawn(template, collection, span, n / count, rng) for n in range(count)]
    return pa.table(stac_geoparquet.arrow.parse_stac_items_to_arrow(items).read_all())


def _packed(table: pa.Table) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd")
    return file.getvalue()


def _drawn(template: dict[str, Any], collection: str, span: Window, share: float, rng: random.Random) -> dict[str, Any]:
    """Another item like one: the same name becomes the same other name wherever it stands in it."""
    names: dict[str, str] = {}

    def other(name: str) -> str:
        drawn = (rng.choice("0123456789") if c.isdigit() else rng.choice("ABCDEF") for c in name)
        return names.setdefault(name, "".join(drawn))

    def drawn(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: drawn(v) for k, v in value.items()}
        if isinstance(value, list):
            return [drawn(v) for v in value]
        if isinstance(value, str):
            return _NAMED.sub(lambda match: other(match[0]), value)
        return rng.uniform(0, 2 * value) if isinstance(value, float) else value

    west, south = rng.uniform(-180, 178), rng.uniform(-60, 80)
    east, north = west + rng.uniform(1, 1.6), south + rng.uniform(0.9, 1.1)
    ring = [(west, south), (east, south + 0.01), (east, north), (west, north), (west, south)]
    when = (span.start + (span.end - span.start) * share).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    times = {k: when for k in ("datetime", "start_datetime", "end_datetime") if k in template["properties"]}
    return template | {
        "id": drawn(template["id"]),
        "collection": collection,
        "bbox": [west, south, east, north],
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": drawn(template["properties"]) | times,
        "assets": drawn(template["assets"]),
    }
