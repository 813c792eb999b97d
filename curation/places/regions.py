"""Regions: named selections of places, read from regions.toml, from a bbox, or from a vector file.

The only I/O is reading regions.toml and the file that a person names.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Self

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, RootModel, model_validator
from shapely import affinity
from shapely.geometry.base import BaseGeometry

from curation.errors import ConfigError
from curation.errors.words import did_you_mean
from curation.places.grid import MAX_LAT, MIN_LAT
from curation.recipe import files
from curation.recipe.strict import StrictTable
from curation.recipe.toml import read_toml
from curation.store import local, tables

log = logging.getLogger(__name__)

SLUG = re.compile(r"[a-z0-9_-]+")
"""What a region's name may be: it becomes a folder."""

ALL = "all"
"""The word that means the recipe's own regions; no region may be called so."""

FILE_SUFFIXES = (".geojson", ".json", ".gpkg", ".parquet", ".geoparquet")
"""Endings by which a text is taken for a file, whether or not it exists."""


@dataclass(frozen=True, slots=True)
class Region:
    """A named selection of places."""

    name: str
    """Usable as a folder: `[a-z0-9_-]+`."""
    geometry: shapely.MultiPolygon = field(compare=False, repr=False)
    """Lon/lat, EPSG:4326, within -180..180 (cut at the antimeridian) and 80°S..84°N; edges straight in lon/lat."""
    note: str = field(default="", compare=False)
    """What a person should know about how it was understood; mostly nothing."""

    def __post_init__(self) -> None:
        if not SLUG.fullmatch(self.name) or self.name == ALL:
            raise ConfigError(f"region {self.name!r}: expected a-z, 0-9, '_' and '-', and not {ALL!r}; rename it")
        shapely.prepare(self.geometry)

    def contains(self, lon: float | NDArray[np.float64], lat: float | NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether each point lies in the region, as bool of the points' shape.

        The edge belongs to the region, so that no point between two adjoining regions is lost (a point on a shared edge
        is in both; who wants one takes the first). Longitudes may run beyond ±180; 180° and -180° are one meridian, which
        is the edge of what lies on either side of it.
        """
        lon, lat = np.asarray(lon, dtype=np.float64), np.asarray(lat, dtype=np.float64)
        # Only what lies beyond is moved: a sum rounds, and a point would leave the edge that it lies on.
        lon = np.where(np.abs(lon) <= 180.0, lon, (lon + 180.0) % 360.0 - 180.0)
        other = (np.abs(lon) == 180.0) & shapely.intersects_xy(self.geometry, -lon, lat)
        return np.asarray(shapely.intersects_xy(self.geometry, lon, lat) | other)


BBox = tuple[float, float, float, float]


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value  # TOML has arrays only


TomlBBox = Annotated[BBox, BeforeValidator(_tuple)]


class RegionSpec(StrictTable):
    """One table of regions.toml."""

    bbox: TomlBBox | None = None
    """West, south, east, north in degrees; west > east runs across the antimeridian."""
    bboxes: list[TomlBBox] | None = Field(default=None, min_length=1)
    """Several of them, whose union is the region."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if (self.bbox is None) == (self.bboxes is None):
            raise ValueError("expected either 'bbox' or 'bboxes'")
        for box in self.boxes:
            if fault := _bbox_fault(*box):
                raise ValueError(f"bbox {list(box)}: {fault}")
        return self

    @property
    def boxes(self) -> list[BBox]:
        """Its boxes, one or several."""
        return [self.bbox] if self.bbox is not None else self.bboxes or []


class _RegionsToml(RootModel[dict[str, RegionSpec]]):
    @model_validator(mode="after")
    def _slugs(self) -> Self:
        if bad := [n for n in self.root if not SLUG.fullmatch(n) or n == ALL]:
            raise ValueError(f"region names {bad}: expected a-z, 0-9, '_' and '-', and not {ALL!r}")
        return self


def find(text: str, beside: Path | None = None) -> Region:
    """The region that a text names: a bbox `W,S,E,N`, the path of a vector file, or a name in regions.toml.

    A text with a comma is a bbox unless such a file exists; one that ends like a vector file (or exists) is a file.

    Args:
        text: what a person wrote.
        beside: the folder that a relative path starts from: that of the recipe which has the text; the current one where
            left out.

    Raises:
        ConfigError: it is none of these, or lies where there is no UTM grid.
    """
    path = (beside or Path()) / Path(text).expanduser()
    if path.suffix.lower() in FILE_SUFFIXES or path.is_file():
        return from_file(path)
    if "," in text:
        return from_bbox(text)
    known = named()
    if text not in known:
        hint = did_you_mean(text, known, n=3)
        raise ConfigError(
            f"region {text!r}: no such region; {hint}known: {', '.join(sorted(known))}; "
            "or give a bbox W,S,E,N or the path of a GeoJSON, GeoPackage or GeoParquet file"
        )
    return _region(text, shapely.union_all([_box(*box) for box in known[text].boxes]))


def of_recipe(path: Path, texts: Sequence[str]) -> list[Region]:
    """The regions that a recipe names: a file lies beside the recipe. Raises as `find` does, naming the recipe."""
    try:
        return [find(text, path.parent) for text in texts]
    except ConfigError as err:
        raise ConfigError(f"{path}: [places] regions: {err}") from err


def named(path: Path | None = None) -> dict[str, RegionSpec]:
    """What regions.toml has, by name; an error names file, key, value and what is allowed."""
    return read_toml(path or files.folder("stac_queries") / "regions.toml", _RegionsToml).root


def from_bbox(text: str) -> Region:
    """The region of `W,S,E,N` in degrees; west > east runs across the antimeridian.

    Raises:
        ConfigError: it is malformed, empty, or lies wholly beyond UTM's limits.
    """
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError as err:
        raise ConfigError(
            f"region {text!r}: not a bbox: expected four numbers W,S,E,N in degrees, such as 5.78,51.14,6.24,51.48"
        ) from err
    if fault := _bbox_fault(west, south, east, north):
        raise ConfigError(f"region {text!r}: {fault}")
    numbers = (f"{v:.10g}".replace(".", "p").replace("-", "m") for v in (west, south, east, north))
    found = _region("bbox-" + "-".join(numbers), _box(west, south, east, north))
    if west < east:
        return found
    note = (
        f"west {west:g} is above east {east:g}, so it runs across the antimeridian, over {east + 360 - west:g}° of "
        f"longitude; the {west - east:g}° between the two are {east:g},{south:g},{west:g},{north:g}"
    )
    return dataclasses.replace(found, note=note)


def from_file(path: Path) -> Region:
    """The union of the polygons in a GeoJSON, GeoPackage or (Geo)Parquet file of any CRS.

    Its name is the file's stem and eight hex digits of its content's sha256: another content is another region. In a
    projected CRS edges are densified before they are put into lon/lat, where they are curved. In lon/lat a ring with an
    edge from 177° to -178° is taken across the antimeridian where its order says so, and its note tells (`_unrolled`).

    Raises:
        ConfigError: no such file, not readable as a vector file, without CRS, without polygons, around a pole, or with a
            ring of which it cannot be told which way it runs.
    """
    if not path.exists():
        raise ConfigError(f"region {path}: no such file; expected one of {', '.join(FILE_SUFFIXES)}")
    local.check(path, f"region {path}")
    frame = _read(path)
    if frame.crs is None:
        raise ConfigError(f"region {path}: the file says no CRS; set one (geopandas: set_crs)")
    polygons, others = _polygons(frame.geometry)
    if polygons.empty:
        kinds = sorted(set(frame.geom_type.dropna()))
        raise ConfigError(f"region {path}: geometries are {kinds or 'none'}, expected polygons; buffer points or lines")
    stem = re.sub(r"[^a-z0-9_-]+", "-", path.stem.lower()).strip("-") or "file"
    name = f"{stem}-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}"
    notes = [f"left out, since they are no polygons: {others} geometries"] if others else []
    if frame.crs.is_projected:
        west, south, east, north = polygons.total_bounds
        polygons = polygons.segmentize(max(east - west, north - south) / 200)
    parts = []
    for polygon in polygons.to_crs(4326):
        part, note = _unfolded(polygon, path, _running if frame.crs.is_projected else _unrolled)
        parts.append(part)
        notes += [note] if note else []
    found = _region(name, shapely.union_all(parts))
    return dataclasses.replace(found, note="; ".join(dict.fromkeys(notes)))


def _polygons(shapes: gpd.GeoSeries) -> tuple[gpd.GeoSeries, int]:
    """All polygons, those within collections too, one by one; and how many geometries are none."""
    parts = shapes.dropna().explode(ignore_index=True)
    while (parts.geom_type == "GeometryCollection").any():
        parts = parts.explode(ignore_index=True)
    parts = parts[~parts.is_empty]
    are = parts.geom_type == "Polygon"
    return parts[are], int((~are).sum())


def _read(path: Path) -> gpd.GeoDataFrame:
    try:
        if path.suffix.lower() in (".parquet", ".geoparquet"):
            tables.check(path, f"region {path}")
            return gpd.read_parquet(path)
        return gpd.read_file(path)
    except ConfigError:
        raise
    except Exception as err:  # each of the readers' libraries has error classes of its own
        raise ConfigError(f"region {path}: not readable as a vector file: {err}") from err


def _bbox_fault(west: float, south: float, east: float, north: float) -> str | None:
    """What is wrong with a bbox, and what to do; None where nothing is."""
    if not all(math.isfinite(v) for v in (west, south, east, north)):
        return "expected four finite numbers W,S,E,N"
    if not (-180 <= west <= 180 and -180 <= east <= 180):
        return f"longitudes {west:g} and {east:g}: expected -180 to 180; across the antimeridian write west > east"
    if not (-90 <= south <= 90 and -90 <= north <= 90):
        return f"latitudes {south:g} and {north:g}: expected -90 to 90; the order is W,S,E,N"
    if south >= north:
        return f"south {south:g} is not below north {north:g}; the order is W,S,E,N"
    if west == east or (west, east) == (180, -180):
        return f"west {west:g} and east {east:g} are one meridian: it is empty; the whole circle is -180 to 180"
    return None


def _box(west: float, south: float, east: float, north: float) -> BaseGeometry:
    """The box, in two where it runs across the antimeridian; its corners are the very numbers given."""
    if west < east:
        return shapely.box(west, south, east, north)
    halves = [shapely.box(w, south, e, north) for w, e in ((west, 180.0), (-180.0, east)) if w < e]
    return shapely.union_all(halves)


def _region(name: str, geometry: BaseGeometry) -> Region:
    """The region of a geometry within -180..180, clipped to where there is a UTM grid."""
    _, south, _, north = geometry.bounds
    limits = f"UTM reaches from {-MIN_LAT:g}°S to {MAX_LAT:g}°N, and Sentinel-2 has no scenes on another grid"
    if south >= MAX_LAT or north <= MIN_LAT:
        raise ConfigError(f"region {name}: latitudes {south:g} to {north:g}: {limits}; choose a place within them")
    if south < MIN_LAT or north > MAX_LAT:
        log.warning("region %s: latitudes %g to %g are clipped: %s", name, south, north, limits)
        geometry = shapely.intersection(geometry, shapely.box(-180, MIN_LAT, 180, MAX_LAT))
    polygons = [p for p in shapely.get_parts(geometry) if p.geom_type == "Polygon" and p.area > 0]
    if not polygons:
        raise ConfigError(f"region {name}: it has no area; expected polygons")
    return Region(name, shapely.MultiPolygon(polygons))


def wrapped(geometry: BaseGeometry) -> BaseGeometry:
    """A lon/lat geometry whose longitudes may run beyond ±180, cut at the antimeridian and moved within."""
    west, _, east, _ = geometry.bounds
    parts = []
    for turn in range(math.floor((west + 180) / 360), math.ceil((east + 180) / 360)):
        world = shapely.box(-180 + 360 * turn, -90, 180 + 360 * turn, 90)
        cut = shapely.intersection(geometry, world)
        parts.append(affinity.translate(cut, xoff=-360.0 * turn))
    return shapely.union_all(parts)


_Ring = tuple[NDArray[np.float64], str]
"""Corners of a ring whose longitudes run on, and what a person should know of how it was understood."""


def _unfolded(
    polygon: shapely.Polygon, path: Path, run: Callable[[shapely.LinearRing, bool, Path], _Ring]
) -> tuple[BaseGeometry, str]:
    """The polygon within ±180° and a note, its rings understood by `run`, which is told which are holes."""
    rings = [run(ring, n > 0, path) for n, ring in enumerate([polygon.exterior, *polygon.interiors])]
    shell, *holes = [wrapped(shapely.make_valid(shapely.Polygon(xy))) for xy, _ in rings]
    notes = "; ".join(note for _, note in rings if note)
    return shapely.difference(shell, shapely.union_all(holes)) if holes else shell, notes


def _running(ring: shapely.LinearRing, hole: bool, path: Path) -> _Ring:
    """A ring that a reprojection folded: its edges, which are short, run the short way."""
    xy = _finite(ring, path)
    xy[:, 0] = np.unwrap(xy[:, 0], period=360)
    if abs(xy[0, 0] - xy[-1, 0]) > 180:
        raise ConfigError(
            f"region {path}: a polygon runs around a pole, so its outline in lon/lat has no inside; "
            "give the region in EPSG:4326 with an edge along the pole"
        )
    return xy, ""


_WHOLE_TURN_DEG = 360 - 1e-6
"""An edge so long goes around the globe: the other way there is nothing."""


def _unrolled(ring: shapely.LinearRing, hole: bool, path: Path) -> _Ring:
    """A ring as a file in lon/lat states it, its longitudes running on where it runs across the antimeridian.

    RFC 7946 asks for a cut there, which many writers do not make: they write 177 and -178. Such an edge, longer than half
    the globe, may be meant either way. What tells is the order, which RFC 7946 states too: corners run counter-clockwise
    about an area and clockwise about a hole. Where that holds for the short way it is taken, and told; else the ring is
    refused, since who made it may as well not have kept the order.
    """
    xy = _finite(ring, path)
    step = np.diff(xy[:, 0])
    folded = (np.abs(step) > 180) & (np.abs(step) < _WHOLE_TURN_DEG)
    if not folded.any():
        return xy, ""
    turns = np.concatenate([[0.0], np.cumsum(np.where(folded, -np.sign(step), 0.0))])
    k = int(np.argmax(folded))
    edge = f"an edge from {xy[k, 0]:g}° to {xy[k + 1, 0]:g}°, at {xy[k, 1]:g}°"
    if turns[-1]:
        ends = np.abs(np.concatenate([xy[:-1][folded, 1], xy[1:][folded, 1]]))
        if (ends == 90).all():
            return xy, ""  # along the pole, where longitudes mean nothing
        raise ConfigError(
            f"region {path}: {edge}: the polygon runs around a pole, so its outline in lon/lat has no inside; give it an "
            "edge along the pole, from -180 to 180"
        )
    there = xy + np.column_stack([360.0 * turns, 0.0 * turns])
    west, east = float(there[:, 0].min()), float(there[:, 0].max())
    width = f"over {east - west:g}° of longitude"
    if bool(shapely.is_ccw(shapely.linearrings(there))) == hole:
        raise ConfigError(
            f"region {path}: {edge}: it may run across the antimeridian ({width}), or the other way around the globe, and "
            f"the order of the corners does not tell: for the first they would be "
            f"{'clockwise, as of a hole' if hole else 'counter-clockwise'} (RFC 7946). For the first write longitudes that "
            f"run on ({west:g} to {east:g}), or cut it at 180; for the second put corners in between, so that no edge is "
            "longer than 180°"
        )
    return there, f"{edge}, runs across the antimeridian: the ring reaches {width}, not the other way around the globe"


_FARTHEST_LON = 540.0
"""A ring that begins within ±180 may run on by one turn; farther there are no longitudes, but metres of some CRS."""


def _finite(ring: shapely.LinearRing, path: Path) -> NDArray[np.float64]:
    xy = shapely.get_coordinates(ring)
    if not np.isfinite(xy).all():
        raise ConfigError(f"region {path}: some of it has no longitude and latitude; check the file's CRS")
    far = np.abs(xy).max(axis=0)
    if far[0] > _FARTHEST_LON or far[1] > 90:
        which, value, limit = ("longitude", far[0], _FARTHEST_LON) if far[1] <= 90 else ("latitude", far[1], 90)
        raise ConfigError(
            f"region {path}: reaches {which} ±{value:.10g}, expected {limit:g} at most; check the file's CRS, and that the "
            "order is lon, lat"
        )
    return xy
