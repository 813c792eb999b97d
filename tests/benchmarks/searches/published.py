"""What it costs to read the items that a catalog publishes as files, in place of asking it: bytes and requests an item."""

from __future__ import annotations

import io
import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import stac_geoparquet.arrow

from curation.model import Window
from curation.recipe import catalogs
from curation.recipe.dataset import Dataset
from curation.scenes.cells import SearchCell
from curation.scenes.items import Query
from curation.scenes.saved import opened
from tests.archive import Archive
from tests.benchmarks.searches import planet
from tests.loopback import Request, serving

ITEMS = 8_192
"""In the file that is truly read."""

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
    """What a sweep over the files of a source costs, by one file that is truly swept over HTTP by what a build uses.

    Its items are made of a recorded one. Names and numbers are drawn, so that they compress no better than real ones.
    """
    spec = dataset.specs[source]
    span = Window("span", min(w.start for w in windows), max(w.end for w in windows), windows[0].anchor)
    count = planet.ARCHIVES[source].count((-180.0, -90.0, 180.0, 90.0), span)
    asked: list[int] = []
    archive = Archive({"items.parquet": _file(template, spec.catalogs["planetary-computer"].collection, span)})
    archive.version = '"one"'

    def answer(request: Request) -> None:
        first, last = request.headers["Range"].removeprefix("bytes=").split("-")
        asked.append(int(last) - int(first) + 1)
        archive.answer(request)

    with serving(answer) as url:
        endpoint = opened(catalogs.resolve(f"planetary-computer+{url}/items.parquet"))
        bands = spec.kind.sought([b for a in spec.arrays for b in a.bands])
        endpoint.search(
            Query(spec, tuple(bands), span, SearchCell(135, 186), dataset.recipe.quality.max_scene_cloud_pct)
        )
    files = count / ITEMS
    return Cost(count, math.ceil(files * len(asked)), math.ceil(files * sum(asked)))


def _file(template: dict[str, Any], collection: str, span: Window) -> bytes:
    rng = random.Random(17)
    items = [_drawn(template, collection, span, n, rng) for n in range(ITEMS)]
    table = pa.table(stac_geoparquet.arrow.parse_stac_items_to_arrow(items).read_all())
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd")
    return file.getvalue()


def _drawn(template: dict[str, Any], collection: str, span: Window, number: int, rng: random.Random) -> dict[str, Any]:
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
    when = (span.start + (span.end - span.start) * (number / ITEMS)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    times = {k: when for k in ("datetime", "start_datetime", "end_datetime") if k in template["properties"]}
    return template | {
        "id": drawn(template["id"]),
        "collection": collection,
        "bbox": [west, south, east, north],
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": drawn(template["properties"]) | times,
        "assets": drawn(template["assets"]),
    }
