"""STAC items as scenes, reduced to what is needed; what cannot be used is told with its reason. Pure."""

from __future__ import annotations

import contextlib
import datetime as dt
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

import shapely
from shapely.geometry.base import BaseGeometry

from curation.errors.causes import one_line
from curation.errors.printable import shown, unsigned
from curation.model import Scene, Window, iso, parse_time
from curation.read import media, radiometry, versions
from curation.recipe import angles
from curation.recipe.catalogs import Catalog
from curation.recipe.forms import CatalogForm
from curation.recipe.sources import SourceSpec
from curation.scenes import footprint, spelling
from curation.scenes.cells import SearchCell
from curation.store import hrefs


@dataclass(frozen=True, slots=True)
class Query:
    """What one search asks for."""

    spec: SourceSpec
    bands: tuple[str, ...]
    """A scene has an asset for each."""
    window: Window
    """Of its season, at the locations that it is asked for."""
    cell: SearchCell
    max_cloud_pct: float
    """Scenes cloudier than this are left out, of sources that are picked by clearness."""

    @property
    def interval(self) -> str | None:
        """Its STAC `datetime`; None for sources without time."""
        return None if self.spec.timeless else self.window.interval

    def conditions(self, form: CatalogForm) -> dict[str, dict[str, Any]]:
        """Its STAC `query`: property → operator → value."""
        found: dict[str, dict[str, Any]] = {k: dict(v) for k, v in form.query.items()}
        if self.spec.limits_cloud and form.cloud_cover:
            found["eo:cloud_cover"] = found.get("eo:cloud_cover", {}) | {"lte": self.max_cloud_pct}
        return found

    def holds(self, scene: Scene) -> bool:
        """Whether a scene is of the window."""
        return self.spec.timeless or self.window.holds(scene.time)


@dataclass(frozen=True, slots=True)
class Found:
    """What one search gave."""

    scenes: list[Scene]
    """Each id once, in order of id."""
    dropped: dict[str, list[str]]
    """Reason → ids of items that the catalog gave and that cannot be used."""
    unreadable: list[Unreadable] = field(default_factory=list)
    """Those of them that could not be read: what they would have been is not known."""

    def to_json(self) -> dict[str, Any]:
        """All of it as plain JSON values: what is saved of a search.

        Scenes are equal where their hrefs or footprints differ; these values are not.
        """
        return {
            "scenes": [s.to_json() for s in self.scenes],
            "dropped": self.dropped,
            "unreadable": [u.to_json() for u in self.unreadable],
        }


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An item that could not be read. Not one that is not wanted: cloudier, of another season, place or collection."""

    id: str
    reason: str
    geometry: BaseGeometry | None = field(default=None, compare=False)
    """Its footprint, lon/lat; None where that cannot be read either: it may have lain anywhere."""
    time: dt.datetime | None = None
    """UTC; None where that cannot be read either."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, which `from_json` reads back equal."""
        out: dict[str, Any] = {"id": self.id, "reason": self.reason}
        if self.geometry is not None:
            out["geometry"] = shapely.to_wkt(self.geometry, rounding_precision=-1)
        return out | ({} if self.time is None else {"time": iso(self.time)})

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Unreadable:
        """What `to_json` gave."""
        shape, time = value.get("geometry"), value.get("time")
        return cls(
            value["id"],
            value["reason"],
            None if shape is None else shapely.from_wkt(shape),
            None if time is None else parse_time(time),
        )

    def may_be_of(self, query: Query) -> bool:
        """Whether it cannot be ruled out that it answers a query."""
        return self.may_be_in(query) and (self.geometry is None or bool(self.geometry.intersects(query.cell.area)))

    def may_be_in(self, query: Query) -> bool:
        """Whether it cannot be ruled out that it is of the query's window."""
        return self.time is None or query.spec.timeless or query.window.holds(self.time)


def reduced(items: Iterable[Any], query: Query, form: CatalogForm, catalog: Catalog) -> Found:
    """Items as what a query finds; every filter applied again, since servers have been seen to ignore them."""
    return reduced_each(items, [query], form, catalog)[0]


def reduced_each(items: Iterable[Any], queries: Sequence[Query], form: CatalogForm, catalog: Catalog) -> list[Found]:
    """What items come to for each of some queries, which differ by their cells alone.

    As `reduced`. Of several queries, items were asked for together: one that does not touch a cell is none of that cell's,
    and is not told as dropped there.
    """
    first, several = queries[0], len(queries) > 1
    conditions, areas = first.conditions(form), [q.cell.area for q in queries]
    out = [Found([], {}) for _ in queries]
    for item in sorted(items, key=name_of):
        made = looked_at(item, conditions, first.spec, first.bands, form, catalog)
        shape = None if not several else _stated(item, first.spec) if isinstance(made, str) else made.geometry
        for query, area, found in zip(queries, areas, out, strict=True):
            if shape is not None and not shape.intersects(area):
                continue
            if isinstance(made, Unreadable):
                if not made.may_be_of(query):
                    continue  # the server gave what was not asked for
                found.unreadable.append(made)
                reason = made.reason
            elif isinstance(made, str):
                reason = made
            elif not query.holds(made):
                reason = "outside the season"
            elif not made.geometry.intersects(area):
                reason = "outside the search cell"
            else:
                found.scenes.append(made)
                continue
            found.dropped.setdefault(reason, []).append(name_of(item))
    return out


def _stated(item: Any, spec: SourceSpec) -> BaseGeometry | None:
    """The footprint of an item; None where it states none that can be read: it may lie anywhere."""
    with contextlib.suppress(Exception):
        return footprint.read(item["geometry"], may_hold_a_pole=spec.kind.whole_orbits)
    return None


def name_of(item: Any) -> str:
    """An item's id; where it has none that could be one, what stands there instead, in ASCII."""
    name = item.get("id") if isinstance(item, dict) else item
    if isinstance(name, str) and name and _encodes(name):
        return name
    return f"no id: {shown(name, 100)}"


def looked_at(
    item: Any,
    conditions: dict[str, dict[str, Any]],
    spec: SourceSpec,
    bands: Sequence[str],
    form: CatalogForm,
    catalog: Catalog,
) -> Scene | Unreadable | str:
    """The item as a scene; or why it is not wanted; or that it cannot be read. Whatever it is, it costs itself alone."""
    try:
        reason = unwanted(item, form, conditions) or _lacks_bands(item, bands, spec.kind.lists_bands)
    except Exception as err:  # noqa: BLE001 - what a catalog says may be anything, and raise anything
        return _unreadable(item, err, spec)
    return reason or scene_of(item, spec, bands, form, catalog)


def unwanted(item: dict[str, Any], form: CatalogForm, query: dict[str, dict[str, Any]]) -> str | None:
    """Why an item is not what was asked for; None where it is."""
    stated = item.get("collection")  # an item may state none
    if stated is not None and not isinstance(stated, str):
        raise TypeError(f"collection is {shown(stated)}, expected text")
    if stated is not None and stated != form.collection:
        return f"of collection {stated}"
    for name, conditions in query.items():
        value = item["properties"].get(name)
        for op, want in conditions.items():
            if value is None:
                # A filter on a property that a catalog's items lack says nothing of them, where the items came unasked
                # (a file): cloud cover is measured on the patch anyway, the others are told by the collection.
                continue
            if isinstance(value, dt.datetime):  # as a table of items has it
                value = iso(value)
            if isinstance(want, int | float):
                value = (_percent if name == _CLOUD else _number)(name, value)
            if not _OPERATORS[op](spelling.folded(value), spelling.folded(want)):
                return f"{name} {op} {want}"
    return None


def _lacks_bands(item: dict[str, Any], bands: Sequence[str], listed: str) -> str | None:
    """Which bands an item says that it does not have: whole, and not wanted; None where it says nothing of it."""
    stated = item["properties"].get(listed)
    wanted = dict.fromkeys(b.partition(":")[0] for b in bands)  # `VV:noise` is what is said of VV
    missing = [b for b in wanted if isinstance(stated, list) and b.casefold() not in spelling.folded(stated)]
    return f"without {', '.join(missing)} by its {listed}" if missing else None


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
    item: Any, spec: SourceSpec, bands: Sequence[str], form: CatalogForm, catalog: Catalog
) -> Scene | Unreadable:
    """The item as a scene of a source; or why it cannot be one.

    Beyond JSON values, `geometry` may be a shape and a time a datetime, as a table of items has them.
    """
    try:
        return _scene(item, spec, bands, form, catalog)
    except Exception as err:  # noqa: BLE001 - what a catalog says may be anything, and raise anything
        return _unreadable(item, err, spec)


def _unreadable(item: Any, err: Exception, spec: SourceSpec) -> Unreadable:
    """What is known of an item that could not be read: where and when, as far as these can be."""
    geometry, time = _stated(item, spec), None
    for key in ("datetime", "start_datetime", "end_datetime"):
        with contextlib.suppress(Exception):
            time = time or _time({"datetime": item["properties"][key]})
    reason = f"unreadable: {one_line(err)}".encode("ascii", "backslashreplace").decode()
    return Unreadable(name_of(item), reason, geometry, time)


def _time(properties: dict[str, Any]) -> dt.datetime:
    when = properties.get("datetime") or properties.get("start_datetime")
    if when is None:
        raise ValueError("no datetime")
    return when.astimezone(dt.UTC) if isinstance(when, dt.datetime) else parse_time(when)


def _encodes(text: str) -> bool:
    """Whether UTF-8 can say it: JSON may hold half of a pair of surrogates."""
    return not any("\ud800" <= c <= "\udfff" for c in text)


def _text(name: str, value: Any) -> str | None:
    """A text, or a number as one; None where nothing is stated."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float) or not _encodes(str(value)):
        raise TypeError(f"{name} is {shown(value)}, expected text")
    return str(value)


def _spelt(name: str, value: Any, spelt: Callable[[str], str]) -> str | None:
    """A text in its one spelling; None where nothing is stated."""
    found = _text(name, value)
    return None if found is None else spelt(found)


def _number(name: str, value: Any) -> float:
    """A finite number. Text is none, though a number may stand in it: who wrote it meant something else by it."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(f"{name} is {shown(value)}, expected a finite number")
    return float(value)


def _percent(name: str, value: Any) -> float | None:
    if value is None:
        return None
    if not 0 <= _number(name, value) <= 100:
        raise ValueError(f"{name} is {value}, expected 0 to 100")
    return float(value)


def _whole(name: str, value: Any, below: int) -> int | None:
    """A number without a fraction, from 0 on; in text, too."""
    if value is None:
        return None
    found = int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 20 else value
    if _number(name, found) != int(found) or not 0 <= found < below:
        raise ValueError(f"{name} is {shown(value)}, expected a whole number below {below}")
    return int(found)


def reads_each_asset(form: CatalogForm, catalog: Catalog) -> bool:
    """Whether more is read of each asset of an item than its href; of the first it always is."""
    return bool(catalog.alternate) or form.offset == "raster-bands"


_CLOUD = "eo:cloud_cover"

ORBITS_BELOW = 2**15
"""Relative orbits are stored in int16; Sentinel-1 has 175 of them, Sentinel-3 385."""

SLICES_BELOW = 1000
"""A pass of Sentinel-1 has no more slices of 25 s: an orbit takes 240 of them."""

LAST_ORBIT = 10**9
"""No satellite has flown so many orbits."""


def _scene(item: dict[str, Any], spec: SourceSpec, bands: Sequence[str], form: CatalogForm, catalog: Catalog) -> Scene:
    properties, assets = item["properties"], item["assets"]
    found = {}
    for band in bands:
        key = spelling.key_of(assets, form.assets.get(band, band))
        if key not in assets:
            raise KeyError(f"no asset {key!r} for band {band}")
        stated = assets[key]["alternate"][catalog.alternate] if catalog.alternate else assets[key]
        href = _text("href", stated["href"])
        if not isinstance(stated["href"], str) or not (absolute := _absolute(href or "", item, catalog)):
            raise TypeError(f"asset {key!r} has no href")
        if not _encodes(absolute):  # the item's own address, that it is told from, may be anything, too
            raise TypeError(f"href of asset {key!r} is {shown(absolute)}, expected text")
        found[band] = absolute
    named = {field: properties.get(prop) for field, prop in form.properties.items()}
    if form.names:
        name = urlsplit(found[bands[0]]).path.rsplit("/", 1)[-1]
        named |= {field: its[1] for field, pattern in form.names.items() if (its := re.search(pattern, name, re.ASCII))}
    orbit_state = properties.get("sat:orbit_state")
    baseline = _baseline(named.get("baseline"), form)
    first = assets[spelling.key_of(assets, form.assets.get(bands[0], bands[0]))]
    media.check(first.get("type"))
    measured = {b for a in spec.arrays if a.unit == radiometry.UNIT for b in a.bands}
    reflectance = [assets[spelling.key_of(assets, form.assets.get(b, b))] for b in bands if b in measured]
    if not isinstance(item["id"], str) or not item["id"] or not _encodes(item["id"]):
        raise TypeError(f"id is {shown(item['id'])}, expected text")
    return Scene(
        id=item["id"],
        source=spec.name,
        time=_time(properties),
        geometry=footprint.read(item["geometry"], may_hold_a_pole=spec.kind.whole_orbits),
        hrefs=found,
        epsg=_epsg(properties, first),
        cloud_pct=_percent(_CLOUD, properties.get(_CLOUD)),
        baseline=baseline,
        offset_dn=radiometry.offset_dn(form.offset, properties, reflectance or [first], baseline),
        orbit_state=None if orbit_state is None else spelling.orbit_state(orbit_state),
        relative_orbit=_whole("sat:relative_orbit", properties.get("sat:relative_orbit"), ORBITS_BELOW),
        platform=_spelt("platform", properties.get("platform"), spelling.platform),
        orbit_source=_spelt("s1:orbit_source", properties.get("s1:orbit_source"), spelling.orbit_source) or None,
        slice_number=_whole("s1:slice_number", properties.get("s1:slice_number"), SLICES_BELOW),
        tile=_spelt("tile", named.get("tile"), spelling.tile),
        datatake=_spelt("datatake", named.get("datatake"), spelling.datatake),
        version=_spelt("version", named.get("version"), versions.dotted),
        event=_text("event", named.get("event")),
        image=_text("image", named.get("image")),
        orbit=_whole("orbit", named.get("orbit"), LAST_ORBIT),
        mode=_spelt("mode", named.get("mode"), spelling.mode),
        angles=angles.read(properties) if spec.angles else None,
    )


def _baseline(value: Any, form: CatalogForm) -> str | None:
    """The processing baseline in one form; where the offset does not hang on it, as it is stated."""
    if value is None:
        return None
    return _text("baseline", value) if form.offset == "none" else versions.baseline(value)


def _absolute(href: str, item: dict[str, Any], catalog: Catalog) -> str:
    """The href without what lets anybody in, told from the catalog's base where it lies under that; "" where there is none.

    So a saved search can be replayed from another folder, or from a server on another port. A relative href is a reference
    (RFC 3986): of an API told from the item's own address, of a file from its folder (`hrefs.located` knows `%20`).
    """
    if not unsigned(href).strip():
        return ""
    if not catalog.is_file and hrefs.is_relative(href):
        href = _referred(_own_address(item, catalog), href)
    href = unsigned(href)
    below = href.removeprefix(catalog.base.rstrip("/") + "/")
    return below if hrefs.is_relative(below) else href  # `https://host//etc/x` is no path of this machine


def _referred(address: str, href: str) -> str:
    """Where a relative href leads from an address (RFC 3986): of a bucket, too, which urllib takes for no place to start."""
    if hrefs.scheme_of(address) not in hrefs.BUCKETS:
        return urljoin(address, href)
    scheme, _, rest = address.partition("://")
    return f"{scheme}:{urljoin(f'//{rest}', href)}"


def _own_address(item: dict[str, Any], catalog: Catalog) -> str:
    """Where the item itself lies, as it says; else where the API does."""
    links = item.get("links")
    for link in links if isinstance(links, list) else ():
        if isinstance(link, dict) and link.get("rel") == "self" and isinstance(link.get("href"), str):
            return str(urljoin(catalog.base + "/", link["href"]))
    return catalog.base + "/"


def _epsg(properties: dict[str, Any], asset: dict[str, Any]) -> int | None:
    stated = (holder.get(key) for holder in (asset, properties) for key in ("proj:epsg", "proj:code"))
    return next((code for value in stated if (code := spelling.epsg(value)) is not None), None)
