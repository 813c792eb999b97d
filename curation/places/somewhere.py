"""Whether footprints that a file states can be: in metres, and somewhere on Earth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pyproj import CRS
from pyproj.exceptions import CRSError

from curation.errors import ConfigError
from curation.places import grids
from curation.places.grids import Ints, Places


def check_metres(codes: Ints, path: Path) -> None:
    """Passes where each is of a CRS whose coordinates are metres, as sides of footprints are."""
    for code, rows in grids.by_value(codes):
        try:
            crs = CRS.from_epsg(code)
        except CRSError:
            why = "names no CRS"
        else:
            if crs.is_projected and {axis.unit_name for axis in crs.axis_info} == {"metre"}:
                continue
            why = f"is {crs.name}, in {' and '.join(dict.fromkeys(axis.unit_name for axis in crs.axis_info))}"
        raise ConfigError(
            f"{path}: row {rows[0] + 1}: EPSG:{code} {why} ({len(rows)} such rows): expected a projected CRS in metres, "
            "such as 32632"
        )


def check_somewhere(found: Places, rows: Ints, path: Path) -> None:
    """Passes where each place has a longitude and a latitude: far outside of a CRS there are none."""
    bad = np.flatnonzero(~(np.isfinite(found.lon) & (np.abs(found.lat) <= 90)))
    if len(bad):
        k = int(bad[0])
        raise ConfigError(
            f"{path}: row {rows[k] + 1}: west {found.x0_m[k]:.10g} and north {found.y0_m[k]:.10g} in EPSG:{found.epsg[k]} "
            f"are nowhere on Earth ({len(bad)} such rows); check columns and CRS"
        )
