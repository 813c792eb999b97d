"""Points of a table that are no places: rows that lie somewhere, found as those of a file of places are."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import pandas as pd

from curation.errors import ConfigError
from curation.places import from_file, shapes, tablefile
from curation.places.grids import Floats


def read(path: Path) -> tuple[pd.DataFrame, Floats, Floats]:
    """The rows of a file, and their longitudes and latitudes, degrees: of its geometry, or of columns.

    Raises:
        ConfigError: it cannot be read, or has no points.
    """
    table = tablefile.read(path, None, from_file.ID_COLUMNS, from_file.READ).frame
    if isinstance(table, gpd.GeoDataFrame):
        its = shapes.single_points(table.geometry)
        if table.crs is None or set(its.geom_type) - {"Point"}:
            found = sorted({str(t) for t in its.geom_type})
            raise ConfigError(f"{path}: expected points, with a CRS; found {found}, CRS {table.crs}")
        degrees = its.to_crs(4326)
        return table, degrees.x.to_numpy(), degrees.y.to_numpy()
    if (columns := from_file.point_columns(table)) is None:
        raise ConfigError(
            f"{path}: no columns of longitude and latitude, such as lon and lat; found {list(table)[:20]}"
        )
    lon, lat = (from_file.numbers(table, name, path) for name in columns)
    return table, lon, lat
