"""STAC searches: one per search cell, source and season, saved, so that a rerun or another machine needs no network."""

from __future__ import annotations

import json
import logging
import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pystac_client
import requests
import shapely
import shapely.affinity
from pystac_client.errors import ClientTypeError
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO
from urllib3 import Retry

from curation import radiometry
from curation.catalogs import Catalog
from curation.model import STATIC, ConfigError, CurationError, Location, Scene, Season, parse_time, shortened
from curation.recipe import Dataset
from curation.sources import CatalogForm, SourceSpec
from curation.store import Store

log = logging.getLogger(__name__)

CELL_DEG = 1.0
"""Side of a search cell: about one Sentinel-2 scene, so that a search gives what its locations share and little more."""

CELL_MARGIN_DEG = 0.05
"""Cells reach this much further than their locations' centres do, since footprints stick out (5.5 km of latitude)."""

PAGE_ITEMS = 250
"""Items asked for per page."""

TRIES = 4
"""Whole searches are tried this often: a page cut short in transfer fails in a way that HTTP retries do not see."""

BACKOFF_S = 0.5
"""The first pause before something is asked again; each later one is twice as long."""

THREADS = 4
"""Searches under way at once: polite to a public API."""


@dataclass(frozen=True, slots=True, order=True)
class SearchCell:
    """A cell of the search lattice: all locations whose centre lies in it share its searches."""

    row: int
    """Counted from the south pole."""
    col: int
    """Counted from the antimeridian eastwards."""

    @property
    def name(self) -> str:
        """Its south-west corner, as in `n51e006`."""
        lat, lon = round(self.row * CELL_DEG - 90), round(self.col * CELL_DEG - 180)
        return f"{'s' if lat < 0 else 'n'}{abs(lat):02d}{'w' if lon < 0 else 'e'}{abs(lon):03d}"

    @property
    def boxes(self) -> list[tuple[float, float, float, float]]:
        """West, south, east, north with its margin; two boxes where it runs across the antimeridian."""
        south, west = self.row * CELL_DEG - 90, self.col * CELL_DEG - 180
        reach = max(abs(south), abs(south + CELL_DEG))
        dx = CELL_MARGIN_DEG / max(math.cos(math.radians(min(reach, 89))), 0.02)
        w, e = west - dx, west + CELL_DEG + dx
        s, n = max(south - CELL_MARGIN_DEG, -90.0), min(south + CELL_DEG + CELL_MARGIN_DEG, 90.0)
        if w < -180:
            return [(-180.0, s, e, n), (w + 360, s, 180.0, n)]
        if e > 180:
            return [(w, s, 180.0, n), (-180.0, s, e - 360, n)]
        return [(w, s, e, n)]


def cell_of(location: Location) -> SearchCell:
    """The search cell that holds a location's centre."""
    lon = (location.lon + 180) % 360
    return SearchCell(int((location.lat + 90) // CELL_DEG), int(lon // CELL_DEG))


@dataclass(frozen=True, slots=True)
class Found:
    """What one search gave."""

    scenes: list[Scene]
    """Each id once, in order of id."""
    dropped: dict[str, list[str]]
    """Reason → ids of items that the catalog gave and that cannot be used."""


class Endpoint:
    """A catalog, opened: answers what collections it has, and searches."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._items: list[dict[str, Any]] | None = _file_items(Path(catalog.location)) if catalog.is_file else None
        self._client = None if catalog.is_file else _opened(catalog)

    def collections(self) -> set[str]:
        """Ids of the collections the catalog has."""
        if self._client is None:
            assert self._items is not None
            return {str(item["collection"]) for item in self._items}
        try:
            return {c.id for c in self._client.get_collections()}
        except (APIError, requests.RequestException, *_NOT_STAC) as err:
            raise ConfigError(
                f"catalog {self.catalog.location}: does not list its collections ({type(err).__name__}: {_line(err)}); "
                "check the address and the network"
            ) from err

    def search(
        self, spec: SourceSpec, bands: Sequence[str], season: Season, cell: SearchCell, max_cloud_pct: float
    ) -> Found:
        """All scenes of a source that touch a search cell in a season and have the bands.

        Raises:
            CurationError: the catalog does not answer.
        """
        form = self.catalog.form_of(spec)
        if form is None:
            return Found([], {})
        conditions: dict[str, dict[str, Any]] = {k: dict(v) for k, v in form.query.items()}
        if spec.pick == "clearest":
            conditions["eo:cloud_cover"] = conditions.get("eo:cloud_cover", {}) | {"lte": max_cloud_pct}
        interval = None if spec.season == STATIC else season.interval
        items: dict[str, dict[str, Any]] = {}
        for box in cell.boxes:
            for item in self._ask(form, conditions, interval, box):
                items.setdefault(item["id"], item)
        return _reduced(items.values(), spec, bands, form, season, cell, conditions, self.catalog)

    def _ask(
        self, form: CatalogForm, query: dict[str, Any], interval: str | None, box: tuple[float, float, float, float]
    ) -> Iterable[dict[str, Any]]:
        if self._client is None:
            assert self._items is not None
            return [i for i in self._items if i["collection"] == form.collection]
        client = self._client

        def once() -> list[dict[str, Any]]:
            # No server-side sort: sorted paging has been seen to drop and repeat items.
            found = client.search(
                collections=[form.collection], bbox=list(box), datetime=interval, query=query or None, limit=PAGE_ITEMS
            )
            return list(found.items_as_dicts())

        return _retried(once, f"{self.catalog.location}: search of {form.collection} in {box}")


_NOT_STAC = (
    pystac.STACError,
    pystac.STACTypeError,
    ClientTypeError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)
"""What the libraries raise of an answer that is no STAC."""


def _opened(catalog: Catalog) -> pystac_client.Client:
    retry = Retry(
        total=5,
        backoff_factor=BACKOFF_S,
        backoff_jitter=BACKOFF_S,
        status_forcelist=[408, 429, 500, 502, 503, 504],
        allowed_methods=None,  # POST too: a search changes nothing
        respect_retry_after_header=True,
    )
    try:
        return pystac_client.Client.open(catalog.location, stac_io=StacApiIO(max_retries=retry, timeout=60))
    except (APIError, requests.RequestException, *_NOT_STAC) as err:
        raise ConfigError(
            f"catalog {catalog.location}: does not answer as a STAC API ({type(err).__name__}: {_line(err)}); "
            "check the address and the network"
        ) from err


def _line(err: BaseException) -> str:
    return shortened((str(err).splitlines() or [""])[0], 300)


def _retried(once: Callable[[], list[dict[str, Any]]], what: str) -> list[dict[str, Any]]:
    for attempt in range(TRIES):
        try:
            return once()
        except (APIError, requests.RequestException, json.JSONDecodeError) as err:
            status = getattr(err, "status_code", None)
            if attempt == TRIES - 1 or (status is not None and 400 <= status < 500 and status != 429):
                raise CurationError(
                    f"{what}: {type(err).__name__}: {_line(err)}; tried {attempt + 1} times, rerun to try again"
                ) from err
            time.sleep(BACKOFF_S * 2 ** (attempt + 1))
    raise AssertionError("unreachable")


def _file_items(path: Path) -> list[dict[str, Any]]:
    """Items of a STAC ItemCollection (JSON) or STAC-GeoParquet file."""
    if path.suffix in (".parquet", ".geoparquet"):
        import pyarrow.parquet  # only this kind of catalog needs these two
        import stac_geoparquet.arrow

        try:
            return list(stac_geoparquet.arrow.stac_table_to_items(pyarrow.parquet.read_table(path)))
        except (pyarrow.ArrowException, KeyError, ValueError) as err:
            raise ConfigError(f"catalog {path}: expected a STAC-GeoParquet file: {_line(err)}") from err
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        items = list(value["features"])
        missing = {k for i in items for k in ("id", "collection", "geometry", "properties", "assets") if k not in i}
    except (ValueError, KeyError, TypeError) as err:
        raise ConfigError(
            f"catalog {path}: expected a STAC ItemCollection (JSON with 'features'): {_line(err)}"
        ) from err
    if missing:
        raise ConfigError(f"catalog {path}: items lack {sorted(missing)}; expected a STAC ItemCollection")
    return items


def _reduced(
    items: Iterable[dict[str, Any]],
    spec: SourceSpec,
    bands: Sequence[str],
    form: CatalogForm,
    season: Season,
    cell: SearchCell,
    query: dict[str, dict[str, Any]],
    catalog: Catalog,
) -> Found:
    """Items as scenes; every filter applied again, since servers have been seen to ignore them."""
    area = shapely.union_all([shapely.box(*b) for b in cell.boxes])
    scenes, dropped = [], dict[str, list[str]]()
    for item in sorted(items, key=lambda i: str(i["id"])):
        try:
            reason = _unwanted(item, form, query)
            scene = None if reason else _scene(item, spec, bands, form, catalog)
        except (
            radiometry.NoBaselineError, AttributeError, LookupError, TypeError, ValueError, shapely.errors.ShapelyError
        ) as err:  # fmt: skip
            reason = f"unreadable: {type(err).__name__}: {_line(err)}"
        else:
            if scene is None:
                pass
            elif spec.season != STATIC and not season.holds(scene.time):
                reason = "outside the season"
            elif not scene.geometry.intersects(area):
                reason = "outside the search cell"
            else:
                scenes.append(scene)
        if reason is not None:
            dropped.setdefault(reason, []).append(str(item["id"]))
    return Found(scenes, dropped)


def _unwanted(item: dict[str, Any], form: CatalogForm, query: dict[str, dict[str, Any]]) -> str | None:
    if item.get("collection", form.collection) != form.collection:
        return f"of collection {item['collection']}"
    for name, conditions in query.items():
        value = item["properties"].get(name)
        for op, want in conditions.items():
            if value is None:
                # A filter on a property that a catalog's items lack says nothing of them, where the items came unasked
                # (a file): cloud cover is measured on the patch anyway, the others are told by the collection.
                continue
            if not _OPERATORS[op](value, want):
                return f"{name} {op} {want}"
    return None


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda a, b: bool(a == b),
    "neq": lambda a, b: bool(a != b),
    "lt": lambda a, b: bool(a < b),
    "lte": lambda a, b: bool(a <= b),
    "gt": lambda a, b: bool(a > b),
    "gte": lambda a, b: bool(a >= b),
    "in": lambda a, b: a in b,
}


def _scene(item: dict[str, Any], spec: SourceSpec, bands: Sequence[str], form: CatalogForm, catalog: Catalog) -> Scene:
    properties, assets = item["properties"], item["assets"]
    hrefs = {}
    for band in bands:
        key = form.assets.get(band, band)
        if key not in assets:
            raise KeyError(f"no asset {key!r} for band {band}")
        hrefs[band] = _relative(assets[key]["href"], catalog)
    named = {field: properties.get(prop) for field, prop in form.properties.items()}
    tile = named.get("tile")
    baseline = named.get("baseline")
    first = assets[form.assets.get(bands[0], bands[0])]
    when = properties.get("datetime") or properties.get("start_datetime")
    if when is None:
        raise ValueError("no datetime")
    datatake = named.get("datatake")
    return Scene(
        id=str(item["id"]),
        source=spec.name,
        time=parse_time(when),
        geometry=_footprint(item["geometry"]),
        hrefs=hrefs,
        epsg=_epsg(properties, first),
        cloud_pct=properties.get("eo:cloud_cover"),
        baseline=None if baseline is None else str(baseline),
        offset_dn=radiometry.offset_dn(form.offset, properties, first, baseline),
        orbit_state=properties.get("sat:orbit_state"),
        relative_orbit=properties.get("sat:relative_orbit"),
        platform=properties.get("platform"),
        tile=None if tile is None else str(tile).removeprefix("MGRS-"),
        # Sentinel-2's names end with the processing baseline, which says nothing of the acquisition.
        datatake=None if datatake is None else re.sub(r"_N\d\d\.\d\d$", "", str(datatake)),
        version=named.get("version"),
    )


def _footprint(geometry: dict[str, Any]) -> shapely.geometry.base.BaseGeometry:
    """A valid shape within 180°W to 180°E, in two parts where it runs across the antimeridian.

    Items state such a footprint in two parts, or with longitudes that run on (181), or as a ring folded over the globe
    (179, -179), which would seem to hold every place of its latitudes.
    """
    parts = []
    for part in shapely.get_parts(shapely.geometry.shape(geometry)):
        west, _, east, _ = part.bounds
        if east - west > 180:
            part = shapely.transform(part, lambda xy: xy + np.column_stack([360.0 * (xy[:, 0] < 0), 0 * xy[:, 1]]))
        part = part if part.is_valid else shapely.make_valid(part)
        for turn in (-360, 0, 360):
            moved = shapely.affinity.translate(part, turn) if turn else part
            inside = moved if _within(moved) else moved.intersection(shapely.box(-180, -90, 180, 90))
            if inside.area > 0:
                parts.append(inside)
    return parts[0] if len(parts) == 1 else shapely.union_all(parts)


def _within(shape: shapely.geometry.base.BaseGeometry) -> bool:
    west, _, east, _ = shape.bounds
    return bool(west >= -180 and east <= 180)


def _relative(href: str, catalog: Catalog) -> str:
    """The href without its query (signatures stand there), told from the catalog's base where it lies under that.

    So a saved search can be replayed from another folder, or from a server on another port.
    """
    href = href.split("?")[0]
    return href.removeprefix(catalog.base.rstrip("/") + "/")


def _epsg(properties: dict[str, Any], asset: dict[str, Any]) -> int | None:
    for holder in (asset, properties):
        if holder.get("proj:epsg"):
            return int(holder["proj:epsg"])
        if str(holder.get("proj:code") or "").startswith("EPSG:"):
            return int(str(holder["proj:code"]).removeprefix("EPSG:"))
    return None


class Searches:
    """The saved searches of a dataset, and the catalog that answers those that are not saved yet."""

    def __init__(self, dataset: Dataset, catalog: Catalog, store: Store) -> None:
        self.dataset = dataset
        self.catalog = catalog
        self.store = store
        self._endpoint: Endpoint | None = None
        self._loaded: dict[str, list[Scene]] = {}

    @property
    def endpoint(self) -> Endpoint:
        """The catalog, opened at first use: a rerun that finds everything saved does not ask it at all."""
        if self._endpoint is None:
            self._endpoint = Endpoint(self.catalog)
        return self._endpoint

    def run(
        self,
        wanted: Sequence[tuple[SourceSpec, Season, SearchCell]],
        *,
        refresh: bool = False,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> list[str]:
        """Searches what is not saved yet (with `refresh`, everything) and saves it; gives the differences, a line each.

        Raises:
            CurationError: a search failed: without its scenes every patch of the cell would be a false reject.
        """
        todo = [w for w in wanted if refresh or self._saved(*w) is None]
        if not todo:
            return []
        _ = self.endpoint  # opened before the threads start, so that an unreachable catalog is one error
        differences: list[str] = []
        with ThreadPoolExecutor(THREADS) as pool:
            for n, line in enumerate(pool.map(lambda w: self._one(*w), todo), 1):
                differences += line
                progress(n, len(todo))
        return differences

    def scenes(self, spec: SourceSpec, season: Season, cell: SearchCell) -> list[Scene]:
        """The scenes of a search that has been run.

        Raises:
            CurationError: it has not.
        """
        key = self._key(spec, season, cell)
        if key not in self._loaded:
            saved = self._saved(spec, season, cell)
            if saved is None:
                raise CurationError(f"{self.store.where(key)}: not searched yet, or by another query; search first")
            self._loaded[key] = [Scene.from_json(s) for s in saved["scenes"]]
        return self._loaded[key]

    def _one(self, spec: SourceSpec, season: Season, cell: SearchCell) -> list[str]:
        bands = self._bands(spec)
        found = self.endpoint.search(spec, bands, season, cell, self.dataset.recipe.quality.max_scene_cloud_pct)
        key = self._key(spec, season, cell)
        before = self._saved(spec, season, cell)
        value = {
            "request": self._request(spec, season, cell),
            "scenes": [s.to_json() for s in found.scenes],
            "dropped": found.dropped,
        }
        self.store.publish(key, (json.dumps(value, sort_keys=True, separators=(",", ":")) + "\n").encode())
        self._loaded.pop(key, None)
        for reason, ids in found.dropped.items():
            if reason.startswith("unreadable"):
                log.warning(
                    "%s %s %s: %d items dropped, %s (%s …)", spec.name, season.name, cell.name, len(ids), reason, ids[0]
                )
        return list(_difference(f"{spec.name} {season.name} {cell.name}", before, value))

    def _bands(self, spec: SourceSpec) -> list[str]:
        """The bands that the recipe wants of a source."""
        return [b for a in self.dataset.arrays[spec.name].values() for b in a.bands]

    def _request(self, spec: SourceSpec, season: Season, cell: SearchCell) -> dict[str, Any]:
        form = self.catalog.form_of(spec)
        return {
            "catalog": self.catalog.identity,
            "form": form.model_dump(mode="json") if form else None,
            "bands": self._bands(spec),
            "boxes": [list(b) for b in cell.boxes],
            "interval": None if spec.season == STATIC else season.interval,
            "max_scene_cloud_pct": self.dataset.recipe.quality.max_scene_cloud_pct if spec.pick == "clearest" else None,
        }

    def _saved(self, spec: SourceSpec, season: Season, cell: SearchCell) -> dict[str, Any] | None:
        try:
            value: dict[str, Any] = json.loads(self.store.get(self._key(spec, season, cell)))
        except FileNotFoundError:
            return None
        return value if value["request"] == self._request(spec, season, cell) else None

    def _key(self, spec: SourceSpec, season: Season, cell: SearchCell) -> str:
        name = STATIC if spec.season == STATIC else season.name
        return f"scenes/{self.catalog.slug}/{spec.name}/{name}/{cell.name}.json"


def _difference(what: str, before: dict[str, Any] | None, after: dict[str, Any]) -> Iterator[str]:
    if before is None:
        return
    old, new = {s["id"] for s in before["scenes"]}, {s["id"] for s in after["scenes"]}
    for sign, ids in (("+", new - old), ("-", old - new)):
        for scene_id in sorted(ids):
            yield f"{what}: {sign} {scene_id}"
