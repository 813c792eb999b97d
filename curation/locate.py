"""Where locations are: the recipe's one ordered draw, the selection from it, and its record in GeoParquet.

The samplers `gaussian-cities` and `uniform` draw over land, on the whole globe, whatever region is asked for; `file` takes
what the file gives; `era5-cells` has cells of longitude and latitude, which may have UTM places as children. Regions select
from these afterwards. Only `grid` makes places for the regions asked for.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from curation import children, era5, given, lattice, overlap, places, regions, sampling, split
from curation.locations import SCHEMA, Locations
from curation.model import ConfigError, DamageError
from curation.places import Floats, Ints, Places
from curation.recipe import CELL_SAMPLER, Dataset, changes
from curation.regions import Region
from curation.store import Receipt, Store

NOWHERE = ""
"""The region of a location that none of the regions holds."""

_ABOUT = b"curation"
"""Key of our own record in the file's metadata."""

_SCHEMA = pa.schema(
    [
        # Names as plain strings: not every reader of GeoParquet knows dictionaries.
        *(f.with_type(pa.string()) if pa.types.is_dictionary(f.type) else f for f in SCHEMA),
        pa.field("geometry", pa.binary(), nullable=False),
    ]
)


def draw(dataset: Dataset, asked: Sequence[Region] | None = None) -> Locations:
    """The locations of a recipe, ordered by rank, which is the place in the order of the draw (0 first).

    `gaussian-cities` and `uniform` give exactly `count` locations over the land of the globe (the 1 km mask of
    global-land-mask, at the grid's centre), of which no two footprints overlap. `file` gives the file's places in its order.
    Without `asked` all of them are returned, each with the first of the recipe's own regions that holds its centre (`""`
    where none does); with it, only those that one of the asked regions holds, as `select` does: rank, grid and split are
    the same.

    `grid` covers each asked region, one after the other; a cell that two of them need is the first one's. Its cells may
    overlap at seams of UTM zones (`lattice.covering`).

    `era5-cells` gives the cells with land in their seeded order, selected by their centres: the roots. Where the recipe has
    `[children]` these follow, by the rank of their cell and then their own, which is their place among its children; region
    and split are those of their cell, since a cell and its children are one sample (`children.of_cells`).

    Raises:
        ConfigError: the sampler is `grid` and no region is asked for; or as the samplers say.
    """
    recipe = dataset.recipe
    if recipe.places.sampler == "grid":
        return _cover(dataset, asked)
    if recipe.places.sampler == CELL_SAMPLER:
        cells = era5.drawn(recipe.places, recipe.seed)
        ids, found = era5.ids(cells), era5.grids(cells)
    else:
        ids, found = _everywhere(dataset)
    own = [regions.find(name) for name in recipe.places.regions] if asked is None else asked
    names = _names(found.lon, found.lat, own)
    rank = np.arange(len(ids)) if asked is None else np.flatnonzero(names != NOWHERE)
    roots = _locations(dataset, [ids[k] for k in rank], found.take(rank), names[rank], rank)
    return Locations.joined([roots, _children(dataset, roots, cells[rank])]) if recipe.children else roots


def select(locations: Locations, asked: Sequence[Region]) -> Locations:
    """The locations whose centre one of the regions holds, each with the first that does as its region; order is kept.

    Children go with their parent wherever it is among the locations: by its centre, not by their own.
    """
    names = _names(locations.column("lon"), locations.column("lat"), asked)
    root = locations.root_rows()
    names = np.where(root < 0, names, names[root])
    return locations.with_regions(names).take(names != NOWHERE)


def _children(dataset: Dataset, roots: Locations, cells: Ints) -> Locations:
    """The children of cells, given as locations and by their numbers."""
    spec = dataset.recipe.children
    assert spec is not None
    made = children.of_cells(cells, spec, dataset.recipe.seed)
    parents = {name: roots.column(name)[made.cell] for name in ("id", "region", "split")}
    return Locations.of_columns(
        {
            "id": given.ids_of(made.places, spec.size_m),
            **{name: getattr(made.places, name) for name in ("lon", "lat", "epsg", "x0_m", "y0_m")},
            "size_m": np.full(len(made.cell), spec.size_m),
            "region": parents["region"],
            "split": parents["split"],
            "rank": made.rank,
            "parent": parents["id"],
        }
    )


def _everywhere(dataset: Dataset) -> tuple[list[str], Places]:
    """Ids and places of a draw that does not depend on regions."""
    recipe, size_m = dataset.recipe, dataset.recipe.grid.size
    if recipe.places.sampler == "file":
        found = given.read(dataset.places_file(), size_m)
        return found.ids, found.places
    drawn = sampling.drawn(recipe.places, recipe.seed, size_m)
    return given.ids_of(drawn, size_m), drawn


def _cover(dataset: Dataset, asked: Sequence[Region] | None) -> Locations:
    if asked is None:
        raise ConfigError(
            f"{dataset.path}: [places] sampler = 'grid' covers regions and none is given; say --region (name, bbox or file)"
        )
    size_m = dataset.recipe.grid.size
    parts = [lattice.covering(region, size_m) for region in asked]
    names = np.repeat(np.array([r.name for r in asked], dtype=object), [len(p) for p in parts])
    found = places.joined(parts)
    ids = given.ids_of(found, size_m)
    _, first = np.unique(np.array(ids, dtype=object), return_index=True)
    first.sort()
    return _locations(dataset, [ids[k] for k in first], found.take(first), names[first], np.arange(len(first)))


def _names(lon: Floats, lat: Floats, asked: Sequence[Region]) -> NDArray[np.object_]:
    """Name of the first region that holds each point; `""` where none does."""
    names = np.full(len(lon), NOWHERE, dtype=object)
    for region in asked:
        todo = np.flatnonzero(names == NOWHERE)
        names[todo[region.contains(lon[todo], lat[todo])]] = region.name
    return names


def _locations(
    dataset: Dataset, ids: list[str], found: Places, names: NDArray[np.object_], rank: NDArray[np.int64]
) -> Locations:
    recipe = dataset.recipe
    return Locations.of_columns(
        {
            "id": ids,
            "lon": found.lon,
            "lat": found.lat,
            "epsg": found.epsg,
            "x0_m": found.x0_m,
            "y0_m": found.y0_m,
            "size_m": np.full(len(ids), recipe.grid.size),
            "region": names,
            "split": split.splits_of(found.lon, found.lat, recipe.seed, recipe.split),
            "rank": rank,
        }
    )


def curve_order(locations: Locations) -> Locations:
    """The locations zone by zone, along a Hilbert curve over the kilometres of their centres: neighbours share scenes.

    ERA5 cells come first, along a curve over themselves. Depends on the set alone, not on the order given; ties (one
    kilometre cell) go by id.
    """
    size, epsg = locations.column("size_m"), locations.column("epsg")
    step = np.where(epsg == era5.EPSG, size, 1000.0)
    x = ((locations.column("x0_m") + size / 2) // step).astype(np.int64)
    y = ((locations.column("y0_m") - size / 2) // step).astype(np.int64)
    ids = locations.column("id").astype(str)
    along = hilbert(x + _HALF, y + _HALF, _ORDER)
    return locations.take(np.lexsort([ids, along, epsg]))


_ORDER = 16
_HALF = 1 << (_ORDER - 1)
"""Coordinates from -32,768 to 32,767 km fit: more than any CRS of the Earth in metres has."""


def hilbert(x: NDArray[np.int64], y: NDArray[np.int64], order: int) -> NDArray[np.int64]:
    """Place along the Hilbert curve of cells (x, y), both in 0 <= v < 2**order.

    Raises:
        ValueError: a cell lies outside.
    """
    if len(x) and not (min(x.min(), y.min()) >= 0 and max(x.max(), y.max()) < 1 << order):
        raise ValueError(f"cells x {x.min()}..{x.max()}, y {y.min()}..{y.max()}: expected 0 <= v < {1 << order}")
    x, y, along = x.copy(), y.copy(), np.zeros_like(x)
    for bit in range(order - 1, -1, -1):
        right, up = (x >> bit) & 1, (y >> bit) & 1
        along += ((3 * right) ^ up) << (2 * bit)
        # Within the quadrant the curve is turned: the lower two are mirrored on a diagonal.
        low = (1 << bit) - 1
        x, y = x & low, y & low
        flip = (up == 0) & (right == 1)
        x[flip], y[flip] = low - x[flip], low - y[flip]
        swap = up == 0
        x[swap], y[swap] = y[swap], x[swap].copy()
    return along


def save(locations: Locations, store: Store, key: str, dataset: Dataset) -> Receipt:
    """The receipt of the locations as one GeoParquet object, in the order given; same locations, same bytes.

    Geometry is the footprint in EPSG:4326 by its corners (for maps: the grid itself is in the columns), cut at the
    antimeridian.
    """
    shapes = _footprints(locations)
    geometry = pa.array(shapely.to_wkb(shapes), pa.binary())
    table = locations.table.append_column("geometry", geometry).cast(_SCHEMA)
    about = {
        "dataset": dataset.name,
        "places_digest": dataset.places_digest(),
        "places": dataset.places_parts(),
        "seed": dataset.recipe.seed,
        "count": len(locations),
    }
    metadata = {_ABOUT: json.dumps(about, sort_keys=True).encode(), b"geo": _geo(shapes)}
    sink = pa.BufferOutputStream()
    pq.write_table(
        table.replace_schema_metadata(metadata),
        sink,
        compression="zstd",
        write_page_checksum=True,
        row_group_size=65_536,
    )
    return store.publish(key, sink.getvalue().to_pybytes())


def load(store: Store, key: str, dataset: Dataset) -> Locations:
    """The locations that `save` wrote for this recipe, in order.

    Raises:
        FileNotFoundError: there are none.
        DamageError: the object is not what was written.
        ConfigError: it was drawn for another dataset, or for other places, seed, size, split or file of it.
    """
    where, data = store.where(key), pa.BufferReader(store.get(key))
    try:
        table = pq.read_table(data, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as err:
        raise DamageError(f"{where}: not a readable GeoParquet file: {err}; delete it and locate again") from err
    about = json.loads((table.schema.metadata or {}).get(_ABOUT, b"null"))
    if about is None or table.schema.names != _SCHEMA.names:
        raise DamageError(f"{where}: not written by `curate`: columns {table.schema.names}, expected {_SCHEMA.names}")
    for what, want in (("dataset", dataset.name), ("places_digest", dataset.places_digest())):
        if about[what] != want:
            told = "; ".join(changes(about["places"], dataset.places_parts())) if "places" in about else ""
            raise ConfigError(
                f"{where}: drawn for {what} {about[what]}, the recipe {dataset.path} has {want}"
                f"{f' ({told})' if told else ''}; restore the recipe it was drawn with, or delete the file and locate again"
            )
    if len(table) != about["count"]:
        raise DamageError(f"{where}: {len(table)} rows, expected {about['count']}; delete it and locate again")
    return Locations(table.select(SCHEMA.names))


def _geo(shapes: NDArray[np.object_]) -> bytes:
    """The GeoParquet metadata (1.1.0) of the geometry column."""
    column = {
        "encoding": "WKB",
        "geometry_types": sorted(set(shapely.get_type_id(shapes).tolist())),
        "crs": CRS.from_epsg(4326).to_json_dict(),
        "bbox": shapely.total_bounds(shapes).tolist() if len(shapes) else [],
    }
    column["geometry_types"] = [{3: "Polygon", 6: "MultiPolygon"}[kind] for kind in column["geometry_types"]]
    if not len(shapes):
        del column["bbox"]
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
    return json.dumps(geo, sort_keys=True).encode()


def _footprints(locations: Locations) -> NDArray[np.object_]:
    """The corners' polygons in lon/lat, those across the antimeridian cut in two."""
    epsg, x0, y0, size = (locations.column(name) for name in ("epsg", "x0_m", "y0_m", "size_m"))
    shapes = np.empty(len(locations), dtype=object)
    for size_m in np.unique(size):
        rows = np.flatnonzero(size == size_m)
        lon, lat = overlap.outlines(epsg[rows], x0[rows], y0[rows], float(size_m), points_per_side=1)
        lon = np.unwrap(lon, period=360, axis=1)
        shapes[rows] = shapely.polygons(np.stack([lon, lat], axis=-1))
    bounds = shapely.bounds(shapes).reshape(-1, 4)
    for k in np.flatnonzero((bounds[:, 0] < -180) | (bounds[:, 2] > 180)):
        shapes[k] = regions.wrapped(shapes[k])
    return shapes
