"""Recorded items, and a catalog on loopback that misbehaves when it is told to."""

from __future__ import annotations

import datetime as dt
import json
import math
from pathlib import Path
from typing import Any

import shapely
import yaml

from curation.model import Scene, Window
from curation.recipe import files
from curation.recipe.catalogs import Catalog, resolve
from curation.recipe.sources import SourceSpec
from curation.recipe.toml import read_toml
from curation.scenes import items
from curation.scenes.cells import SearchCell
from curation.scenes.items import Found, Query
from curation.scenes.saved import opened
from tests.loopback import Request

EVER = Window("ever", *(dt.datetime(y, 1, 1, tzinfo=dt.UTC) for y in (2010, 2030, 2020)))


def spec(name: str) -> SourceSpec:
    return read_toml(files.folder("stac_queries") / f"{name}.toml", SourceSpec)


def bands(source: SourceSpec) -> list[str]:
    return list(source.kind.sought([b for a in source.arrays for b in a.bands]))


def query(source: SourceSpec, cell: SearchCell, window: Window = EVER, cloud_pct: float = 100) -> Query:
    """A search for all bands of a source."""
    return Query(source, tuple(bands(source)), window, cell, cloud_pct)


def items_in(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".yaml":
        answers = yaml.load(path.read_text(), Loader=yaml.CSafeLoader)["interactions"]
        return json.loads(answers[0]["response"]["body"]["string"])["features"]
    value = json.loads(path.read_text())
    found = value["features"] if isinstance(value, dict) and "features" in value else value
    return found if isinstance(found, list) else [found]


def cell_at(geometry: dict[str, Any]) -> SearchCell:
    point = shapely.geometry.shape(geometry).representative_point()
    return SearchCell(math.floor(point.y + 90), math.floor(point.x + 180))


def reduced(item: dict[str, Any], source: SourceSpec, form: str) -> Scene:
    """The scene that a catalog of a form makes of one item."""
    catalog = Catalog("test", form, "https://stac.example", is_file=False, own=False)
    cell = cell_at(item["geometry"])
    chosen = source.catalogs[form]
    found = items.reduced([item], query(source, cell), chosen, catalog)
    assert not found.dropped
    (scene,) = found.scenes
    assert Scene.from_json(json.loads(json.dumps(scene.to_json()))) == scene
    return scene


def item(name: str, lon: float = 6.5, lat: float = 51.5, **properties: Any) -> dict[str, Any]:
    source = spec("s2l2a")
    shape = shapely.box(lon - 0.2, lat - 0.2, lon + 0.2, lat + 0.2)
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": name, "collection": "sentinel-2-l2a", "links": [],
        "geometry": shapely.geometry.mapping(shape), "bbox": list(shape.bounds),
        "properties": {
            "datetime": "2021-07-01T10:36:29Z", "eo:cloud_cover": 10.0, "proj:epsg": 32632, "platform": "Sentinel-2A",
            "s2:mgrs_tile": "32ULC", "s2:processing_baseline": "05.00", "s2:datatake_id": f"GS2A_{name}_000001_N05.00",
        } | properties,
        "assets": {b: {"href": f"BASE/{name}/{b}.tif?sig=SECRET", "type": "image/tiff"} for b in bands(source)},
    }  # fmt: skip


class Served:
    """A STAC API that pages, ignores what it is asked for, and fails when told to."""

    def __init__(self, items: list[dict[str, Any]]) -> None:
        self.items = items
        self.page = 3
        self.repeat = 0
        """Items of the page before that come again on the next."""
        self.faults: list[str] = []
        self.failing: set[str] = set()
        """Collections of which no search is answered."""
        self.raw: dict[str, bytes] = {}
        """Texts that are said as these bytes instead, quotes and all."""
        self.searches: list[dict[str, Any]] = []
        self.requests = 0

    def answer(self, request: Request) -> None:
        self.requests += 1
        url = f"http://{request.headers['Host']}"
        fault = self.faults.pop(0) if self.faults else ""
        if fault.isdigit():
            request.send(int(fault), b'{"code": "no"}', Retry_After="0")
            return
        if request.command == "POST" and self.failing & set(json.loads(request.body)["collections"]):
            request.send(503, b'{"code": "no"}', Retry_After="0")
            return
        body = self._body(request, url)
        data = json.dumps(body).replace("BASE", url).encode()
        for text, said in self.raw.items():
            data = data.replace(json.dumps(text).encode(), said)
        if fault == "truncate":
            request.start(200, len(data), Content_Type="application/json")
            request.wfile.write(data[: len(data) // 2])
            request.close_connection = True
            return
        if fault == "half":  # a proxy that cuts, and says so as if it were whole
            data = data[: len(data) // 2]
        request.send(200, data, Content_Type="application/json")

    def _body(self, request: Request, url: str) -> dict[str, Any]:
        path = request.path.partition("?")[0]
        if path in ("", "/"):
            core = "https://api.stacspec.org/v1.0.0"
            return {
                "type": "Catalog", "id": "t", "stac_version": "1.0.0", "description": "t",
                "conformsTo": [f"{core}/core", f"{core}/item-search", f"{core}/collections", f"{core}/item-search#query"],
                "links": [
                    {"rel": "self", "href": url}, {"rel": "root", "href": url},
                    {"rel": "data", "href": f"{url}/collections"},
                    {"rel": "search", "method": "POST", "href": f"{url}/search", "type": "application/geo+json"},
                ],
            }  # fmt: skip
        if path == "/collections":
            extent = {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}}
            found = sorted({i["collection"] for i in self.items})
            made = [
                {"type": "Collection", "id": c, "stac_version": "1.0.0", "description": c, "license": "other",
                 "extent": extent, "links": []}
                for c in found
            ]  # fmt: skip
            return {"collections": made, "links": []}
        asked = json.loads(request.body)
        self.searches.append(asked)
        start = int(asked.get("token", 0))
        part = self.items[max(start - self.repeat, 0) : start + self.page]
        links = []
        if start + self.page < len(self.items):
            after = {"token": start + self.page}
            links = [{"rel": "next", "href": f"{url}/search", "method": "POST", "body": after, "merge": True}]
        return {"type": "FeatureCollection", "features": part, "links": links}


NAMES = [f"s{n:02d}" for n in range(10)]
CELL = SearchCell(141, 186)


def ask(url: str, cell: SearchCell | None = None, window: Window = EVER, cloud: float = 90) -> Found:
    source = spec("s2l2a")
    return opened(resolve(url)).search(query(source, cell or CELL, window, cloud))


RING = [(179.0, -17.0), (-179.0, -17.0), (-179.0, -16.0), (179.0, -16.0), (179.0, -17.0)]

SPOILT = {
    "half a character": b'"\\ud800"',
    "no UTF-8": b'"\xff"',
    "no number": b"NaN",
    "an endless number": b"-Infinity",
    "a number beyond any float": b"1e999",
    "a number of more digits than Python takes": b"9" * 5000,
}
"""What JSON, or what a server calls so, may hold where a text or a number belongs."""
