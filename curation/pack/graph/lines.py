"""A graph on a map: nodes as points, edges as great circles, as GeoParquet."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from curation.pack.graph.stored import StoredGraph
from curation.places.grids import Floats, Ints
from curation.places.nearby import EARTH_RADIUS_KM, unit
from curation.store.objects import Store

STEP_M = 100_000.0
"""A line has a corner as often, so that it lies where its great circle does."""


def written(graph: StoredGraph, into: Path) -> list[Path]:
    """See `Graph.to_geoparquet`."""
    to, out = Store(into), []
    where = {name: _located(graph, name) for name in graph.node_entries if name not in ("scene", "variable")}
    for name, (lon, lat) in where.items():
        table = graph.nodes(name)
        plain = table.select([f.name for f in table.schema if not pa.types.is_fixed_size_list(f.type)])
        out.append(_publish(to, f"{name}.parquet", plain.to_pandas(), np.asarray(shapely.points(lon, lat), object)))
    for kind in graph.edge_entries:
        if (
            kind[0] in where and kind[2] in where and kind[1] not in ("next", "of", "has")
        ):  # which lie on a point; which `in` is
            its = graph.edges(*kind)
            columns = {"src": its.src, "dst": its.dst, "crosses": its.crosses, **its.attributes}
            found = great_circles(*where[kind[0]], *where[kind[2]], its.src, its.dst)
            out.append(_publish(to, f"{'-'.join(kind)}.parquet", columns, found))
    return out


def _located(graph: StoredGraph, name: str) -> tuple[Floats, Floats]:
    table = graph.nodes("place" if name == "patch" else name)
    lon, lat = (table.column(n).to_numpy() for n in ("lon", "lat"))
    if name != "patch":
        return lon, lat
    place = graph.nodes("patch").column("place").to_numpy()
    return lon[place], lat[place]


def _publish(to: Store, name: str, columns: Any, shapes: NDArray[np.object_]) -> Path:
    out = io.BytesIO()
    gpd.GeoDataFrame(columns, geometry=shapes, crs=4326).to_parquet(out, compression="zstd")
    to.publish(name, out.getvalue())
    return Path(to.where(name))


def great_circles(
    lon: Floats, lat: Floats, to_lon: Floats, to_lat: Floats, src: Ints, dst: Ints
) -> NDArray[np.object_]:
    """Great circles from senders to receivers, as lines; of those that cross the antimeridian two, that end there.

    Args:
        lon: of senders, degrees.
        lat: degrees.
        to_lon: of receivers, degrees.
        to_lat: degrees.
        src: numbers of the senders.
        dst: numbers of the receivers.
    """
    one, other = unit(lon, lat)[src], unit(to_lon, to_lat)[dst]
    angle = 2 * np.arcsin(np.clip(np.linalg.norm(one - other, axis=1) / 2, 0, 1))
    steps = np.maximum(np.ceil(angle * 1000 * EARTH_RADIUS_KM / STEP_M).astype(np.int64), 1)
    out = np.empty(len(src), object)
    for count in np.unique(steps):
        rows = np.flatnonzero(steps == count)
        out[rows] = _lines(one[rows], other[rows], angle[rows], int(count))
    return out


def _lines(one: Floats, other: Floats, angle: Floats, steps: int) -> NDArray[np.object_]:
    share = np.linspace(0, 1, steps + 1)[None, :, None]
    wide = np.maximum(angle, 1e-15)[:, None, None]
    near = angle[:, None, None] < 1e-9  # where a chord is its arc
    first = np.where(near, 1 - share, np.sin((1 - share) * wide) / np.sin(wide))
    last = np.where(near, share, np.sin(share * wide) / np.sin(wide))
    points = first * one[:, None] + last * other[:, None]
    lam = np.degrees(np.arctan2(points[..., 1], points[..., 0]))
    phi = np.degrees(np.arcsin(np.clip(points[..., 2] / np.linalg.norm(points, axis=-1), -1, 1)))
    shapes: NDArray[np.object_] = np.asarray(shapely.linestrings(np.stack([lam, phi], axis=-1)), object)
    for row in np.flatnonzero((np.abs(np.diff(lam, axis=1)) > 180).any(axis=1)):
        shapes[row] = split_at_antimeridian(lam[row], phi[row])
    return shapes


def split_at_antimeridian(lon: Floats, lat: Floats) -> shapely.MultiLineString:
    """A line whose longitudes jump, cut there into lines that end at ±180°."""
    parts: list[list[tuple[float, float]]] = [[(float(lon[0]), float(lat[0]))]]
    for x0, y0, x1, y1 in zip(lon[:-1], lat[:-1], lon[1:], lat[1:], strict=True):
        if abs(x1 - x0) > 180:
            edge = 180.0 if x0 > 0 else -180.0
            gone, all_of_it = edge - x0, x1 + 2 * edge - x0
            y = float(y0 + (y1 - y0) * (gone / all_of_it if all_of_it else 0.0))
            parts[-1].append((edge, y))
            parts.append([(-edge, y)])
        parts[-1].append((float(x1), float(y1)))
    return shapely.MultiLineString([p for p in parts if len(set(p)) > 1])
