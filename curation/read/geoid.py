"""How high the geoid lies above the ellipsoid: PROJ's grids, which are asked for when they are used."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer
from pyproj.crs import CoordinateOperation  # type: ignore[attr-defined]  # public, but its types do not say so
from pyproj.exceptions import ProjError

from curation.errors import GeoidError


def undulation_m(grid: str, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Metres of the geoid above the WGS 84 ellipsoid at longitudes and latitudes, degrees; shape as given.

    Args:
        grid: name of a grid of PROJ, such as `us_nga_egm08_25.tif`.
        lon: on either side of the antimeridian.
        lat: degrees.

    Raises:
        GeoidError: PROJ does not find the grid on this machine, or it does not reach there.
    """
    try:
        _, _, height = _shift(grid).transform((lon + 180) % 360 - 180, lat, np.zeros_like(lon), errcheck=True)
    except ProjError as err:
        raise GeoidError(
            f"the geoid {grid} is not there for PROJ on the machine that reads, or does not reach longitude "
            f"{np.mean(lon):.2f} latitude {np.mean(lat):.2f}: `pyproj sync --file {grid}` fetches it, to a folder that "
            "PROJ_DATA may name"
        ) from err
    found: NDArray[np.float64] = np.asarray(height)
    return found


@functools.lru_cache(maxsize=8)
def sha256_of(grid: str) -> str:
    """The sha256 of the file that PROJ takes a grid from; empty where it takes it from no file of this machine.

    Nothing else tells machines apart that have other numbers under its name: no digest of a recipe holds these.

    Raises:
        GeoidError: the file is there, and cannot be read.
    """
    operation = CoordinateOperation.from_string(f"+proj=vgridshift +grids={grid} +multiplier=1")
    found = [Path(g.full_name) for g in operation.grids if Path(g.full_name).is_file()]
    if not found:  # PROJ may read it by range from the network
        return ""
    try:
        with found[0].open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as err:
        raise GeoidError(f"the geoid {grid} at {found[0]} cannot be read: {err}") from err


@functools.lru_cache(maxsize=8)
def _shift(grid: str) -> Transformer:
    """What makes of heights above a geoid, longitude and latitude in degrees, those above the ellipsoid."""
    return Transformer.from_pipeline(
        "+proj=pipeline +step +proj=unitconvert +xy_in=deg +xy_out=rad "
        f"+step +proj=vgridshift +grids={grid} +multiplier=1 "
        "+step +proj=unitconvert +xy_in=rad +xy_out=deg"
    )
