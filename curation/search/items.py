"""STAC items as scenes, reduced to what is needed; what cannot be used is told with its reason. Pure."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
import shapely.affinity

from curation import radiometry, versions
from curation.catalogs import Catalog
from curation.model import STATIC, Scene, Season, parse_time, shortened
from curation.search.cells import SearchCell
from curation.sources import CatalogForm, SourceSpec


@dataclass(frozen=True, slots=True)
class Query:
    """What one search asks for."""

    spec: SourceSpec
    bands: tuple[str, ...]
    """A scene has an asset for each."""
    season: Season
    cell: SearchCell
    max_cloud_pct: float
    """Scenes cloudier than this are left out, of sources that are picked by clearness."""

    @property
    def interval(self) -> str | None:
        """Its STAC `datetime`; None for sources without time."""
        return None if self.spec.season == STATIC else self.season.interval

    def conditions(self, form: CatalogForm) -> dict[str, dict[str, Any]]:
        """Its STAC `query`: property → operator → value."""
        found: dict[str, dict[str, Any]] = {k: dict(v) for k, v in form.query.items()}
        if self.spec.pick == "clearest" and self.spec.swath is None:  # items of swaths do not state it
            found["eo:cloud_cover"] = found.get("eo:cloud_cover", {}) | {"lte": self.max_cloud_pct}
        return found

    def holds(self, scene: Scene) -> bool:
        """Whether a scene is of the season."""
        return self.spec.season == STATIC or self.season.holds(scene.time)


@dataclass(frozen=True, slots=True)
class Found:
    """What one search gave."""

    scenes: list[Scene]
    """Each id once, in order of id."""
    dropped: dict[str, list[str]]
    """Reason → ids of items that the catalog gave and that cannot be used."""


def reduced(items: Iterable[dict[str, Any]], query: Query, form: CatalogForm, catalog: Catalog) -> Found:
    """Items as scenes; every filter applied again, since servers have been seen to ignore them."""
    area, conditions = query.cell.area, query.conditions(form)
    scenes, dropped = [], dict[str, list[str]]()
    for item in sorted(items, key=lambda i: str(i["id"])):
        scene = unwanted(item, form, conditions) or scene_of(item, query.spec, query.bands, form, catalog)
        if isinstance(scene, str):
            reason = scene
        elif not query.holds(scene):
            reason = "outside the season"
        elif not scene.geometry.intersects(area):
            reason = "outside the search cell"
        else:
            scenes.append(scene)
            continue
        dropped.setdefault(reason, []).append(str(item["id"]))
    return Found(scenes, dropped)


def unwanted(item: dict[str, Any], form: CatalogForm, query: dict[str, dict[str, Any]]) -> str | None:
    """Why an item is not what was asked for; None where it is."""
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


def scene_of(
    item: dict[str, Any], spec: SourceSpec, bands: Sequence[str], form: CatalogForm, catalog: Catalog
) -> Scene | str:
    """The item as a scene of a source; or why it cannot be one.

    Beyond JSON values, `geometry` may be a shape and a time a datetime, as a table of items has them.
    """
    try:
        return _scene(item, spec, bands, form, catalog)
    except (
        radiometry.NoBaselineError, AttributeError, LookupError, TypeError, ValueError, shapely.errors.ShapelyError
    ) as err:  # fmt: skip
        return f"unreadable: {type(err).__name__}: {first_line(err)}"


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
    baseline = _baseline(named.get("baseline"), form)
    first = assets[form.assets.get(bands[0], bands[0])]
    when = properties.get("datetime") or properties.get("start_datetime")
    if when is None:
        raise ValueError("no datetime")
    datatake = named.get("datatake")
    return Scene(
        id=str(item["id"]),
        source=spec.name,
        time=when.astimezone(dt.UTC) if isinstance(when, dt.datetime) else parse_time(when),
        geometry=_footprint(item["geometry"], may_hold_a_pole=spec.swath is not None),
        hrefs=hrefs,
        epsg=_epsg(properties, first),
        cloud_pct=properties.get("eo:cloud_cover"),
        baseline=baseline,
        offset_dn=radiometry.offset_dn(form.offset, properties, first, baseline),
        orbit_state=properties.get("sat:orbit_state"),
        relative_orbit=properties.get("sat:relative_orbit"),
        platform=properties.get("platform"),
        tile=None if tile is None else str(tile).removeprefix("MGRS-"),
        # Sentinel-2's names end with the processing baseline, which says nothing of the acquisition.
        datatake=None if datatake is None else re.sub(r"_N\d\d\.\d\d$", "", str(datatake)),
        version=None if named.get("version") is None else str(named["version"]),
        orbit=None if named.get("orbit") is None else int(named["orbit"]),
        mode=None if named.get("mode") is None else str(named["mode"]).upper(),
    )


def _baseline(value: Any, form: CatalogForm) -> str | None:
    """The processing baseline in one form; where the offset does not hang on it, as it is stated."""
    if value is None:
        return None
    return str(value) if form.offset == "none" else versions.baseline(value)


def _footprint(geometry: Any, *, may_hold_a_pole: bool = False) -> shapely.geometry.base.BaseGeometry:
    """A valid shape within 180°W to 180°E, in two parts where it runs across the antimeridian.

    Items state such a footprint in two parts, or with longitudes that run on (181), or as a ring folded over the globe
    (179, -179), which would seem to hold every place of its latitudes. That of an orbit may hold a pole and be as wide as it
    is drawn: it is both, since reading an orbit that does not reach a place costs little, and leaving one out is a loss.
    """
    parts = []
    whole = geometry if isinstance(geometry, shapely.Geometry) else shapely.geometry.shape(geometry)
    for part in shapely.get_parts(whole):
        west, _, east, _ = part.bounds
        if east - west > 180:
            if may_hold_a_pole:
                drawn = part if part.is_valid else shapely.make_valid(part)
                parts.append(drawn.intersection(shapely.box(-180, -90, 180, 90)))
            part = shapely.transform(part, lambda xy: xy + np.column_stack([360.0 * (xy[:, 0] < 0), 0 * xy[:, 1]]))
        part = part if part.is_valid else shapely.make_valid(part)
        if _within(part):
            parts.append(part)
            continue
        for turn in (-360, 0, 360):
            inside = shapely.affinity.translate(part, turn).intersection(shapely.box(-180, -90, 180, 90))
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


def first_line(err: BaseException) -> str:
    """An error's first line, shortened."""
    return shortened((str(err).splitlines() or [""])[0], 300)
