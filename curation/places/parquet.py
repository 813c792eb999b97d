"""The record of a draw: locations as one GeoParquet object."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from curation.errors import ConfigError, DamageError
from curation.places import overlap, regions
from curation.places.locations import SCHEMA, Locations
from curation.recipe.dataset import Dataset
from curation.recipe.digests import changes
from curation.store.objects import Store
from curation.store.stat import Receipt

_ABOUT = b"curation"
"""Key of our own record in the file's metadata."""

# Names as plain strings: not every reader of GeoParquet knows dictionaries.
_FIELDS = [f.with_type(pa.string()) if pa.types.is_dictionary(f.type) else f for f in SCHEMA]
_SPLIT = "split"
_GEOMETRY = pa.field("geometry", pa.binary(), nullable=False)


class OtherDrawError(ConfigError):
    """A table was drawn by another recipe, or from another file."""

    def __init__(self, text: str, table: pa.Table | None = None, grown: tuple[int, ...] = ()) -> None:
        super().__init__(text)
        self.table = table
        """Its rows, where they are of this dataset: what the recipe draws by now may begin with them."""
        self.grown = grown
        """As `load_grown` has it."""


def save(
    locations: Locations,
    store: Store,
    key: str,
    dataset: Dataset,
    sides: NDArray[np.str_] | None = None,
    grown: Sequence[int] = (),
) -> Receipt:
    """The receipt of the locations as one GeoParquet object, in the order given; same locations, same bytes.

    `sides`, what each is planned to be of, is a column `split` for people and maps: no digest has it, and `load` passes over
    it, since a recipe may split otherwise by then. `grown` is how many roots there were each time before more were added.

    Geometry is the footprint in EPSG:4326 by its corners (for maps: the grid itself is in the columns), cut at the
    antimeridian.
    """
    shapes = _footprints(locations)
    geometry = pa.array(shapely.to_wkb(shapes), pa.binary())
    user_columns = list(locations.table.schema)[len(SCHEMA) :]
    table, split = locations.table, []
    if sides is not None:
        split = [pa.field(_SPLIT, pa.string())]
        table = table.append_column(_SPLIT, pa.array(sides.tolist(), pa.string()))
    table = table.append_column("geometry", geometry).cast(pa.schema([*_FIELDS, *user_columns, *split, _GEOMETRY]))
    about = {
        "dataset": dataset.name,
        "places_digest": dataset.places_digest(),
        "places": dataset.places_parts(),
        "seed": dataset.recipe.seed,
        "count": len(locations),
        **({"grown": list(grown)} if grown else {}),
        **({"columns": locations.user_columns} if dataset.recipe.places.columns is None else {}),
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
    """The locations that `save` wrote for this recipe, in order. Raises as `load_grown` does."""
    return load_grown(store, key, dataset)[0]


def load_grown(store: Store, key: str, dataset: Dataset) -> tuple[Locations, tuple[int, ...]]:
    """The locations that `save` wrote for this recipe, in order, and how many roots there were before each growth.

    Raises:
        FileNotFoundError: there are none.
        DamageError: the object is not what was written.
        OtherDrawError: it was drawn for another dataset, or for other places, seed, size or file of it.
    """
    where, data = store.where(key), pa.BufferReader(store.get(key))
    try:
        table = pq.read_table(data, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as err:
        raise DamageError(f"{where}: not a readable GeoParquet file: {err}; delete it and locate again") from err
    about = json.loads((table.schema.metadata or {}).get(_ABOUT, b"null"))
    if about is None:
        raise DamageError(f"{where}: not written by `curate`: columns {table.schema.names}, expected {SCHEMA.names} …")
    own = dataset.recipe.places
    named = None if own.columns is None else [*own.columns, *own.row_columns, *own.made_columns]
    names = SCHEMA.names + (about.get("columns", []) if named is None else named)
    for what, want in (("dataset", dataset.name), ("places_digest", dataset.places_digest())):
        if about[what] != want:
            changed = "; ".join(changes(about["places"], dataset.places_parts())) if "places" in about else ""
            raise OtherDrawError(
                f"{where}: drawn for {what} {about[what]}, the recipe {dataset.path} has {want}"
                f"{f' ({changed})' if changed else ''}; restore the recipe it was drawn with, or delete the file and "
                "locate again",
                table if what == "places_digest" and {*SCHEMA.names} <= {*table.schema.names} else None,
                tuple(about.get("grown", ())),
            )
    if [n for n in table.schema.names if n != _SPLIT] != [*names, "geometry"]:
        raise DamageError(f"{where}: not written by `curate`: columns {table.schema.names}, expected {names}")
    if len(table) != about["count"]:
        raise DamageError(f"{where}: {len(table)} rows, expected {about['count']}; delete it and locate again")
    return Locations(table.select(names)), tuple(about.get("grown", ()))


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
