"""What became of each row of a file of places: a location of the regions asked for, or dropped, with a reason."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import geopandas as gpd
import pandas as pd

from curation.errors.codes import Code
from curation.model import Location
from curation.places import draw, from_file, grid
from curation.places.regions import Region
from curation.recipe.dataset import Dataset


@dataclass(frozen=True, slots=True)
class Dropped:
    """A place that became no sample."""

    location: Location
    """Of a row of a file with the region `""`."""
    reason: str
    """A `Code` of a row of a file; of a location `incomplete:<season>` (with the patch's own reason), `buffer` (too near to
    the other split), `shared:<name>` (train uses what val does, and may not), `taken_out` (the recipe excludes it), or
    `target`."""
    row: int | None = None
    """Number of the row in the file of places, from 1, without a header; None of what is not such a row."""
    note: str = ""
    """What the recipe says of a place that it excludes."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a file of places: each is a location, several where they cover its shape, or is dropped."""

    file: str
    """Its name."""
    count: int
    """How many rows it has."""
    locations: int
    """How many locations these are."""
    dropped: tuple[Dropped, ...]
    """Those that are no location of the regions, in their order."""
    swapped: int
    """How many of those outside the regions would lie within if longitude and latitude changed places."""
    columns: str = ""
    """What goes along of its columns, and what does not, where the recipe names none."""
    has_left_out: bool = False
    """Whether any column does not go along."""

    @property
    def summary(self) -> str:
        """The account, for a person: `places.csv: 12 rows: 9 locations, 3 dropped (outside_regions 2, same_grid 1)`."""
        why = ", ".join(f"{reason} {n}" for reason, n in Counter(d.reason for d in self.dropped).most_common())
        text = f"{self.file}: {self.count} rows: {self.locations} locations, {len(self.dropped)} dropped"
        hint = f"; {self.swapped} would lie within if lon and lat changed places: check them" if self.swapped else ""
        return f"{text}{f' ({why})' if why else ''}{hint}{f'; {self.columns}' if self.columns else ''}"


def of(dataset: Dataset, asked: Sequence[Region]) -> Rows | None:
    """The rows of a recipe's file of places; None where it has no such file. Reads the file.

    A row is a location where it is the first of its grid and its centre lies in one of the regions. Raises as
    `from_file.read` does.
    """
    if dataset.recipe.places.file is None:
        return None
    path, size_m = dataset.places_file(), dataset.recipe.grid.size
    found = from_file.read(path, size_m, dataset.recipe)
    p, reasons, usable = found.places, list(found.reasons), found.usable()
    outside = usable[draw.held_by(p.lon[usable], p.lat[usable], asked) == draw.NOWHERE]
    for k in outside:
        reasons[k] = Code.OUTSIDE_REGIONS
    dropped = []
    for k in (k for k, reason in enumerate(reasons) if reason is not None):
        lon, lat, epsg, x0, y0 = (column[k].item() for column in (p.lon, p.lat, p.epsg, p.x0_m, p.y0_m))
        location = Location(found.ids[k], lon, lat, epsg, x0, y0, size_m, draw.NOWHERE)
        dropped.append(Dropped(location, str(reasons[k]), int(found.rows[k]) + 1))
    other = draw.held_by(p.lat[outside], p.lon[outside], asked)
    swapped, its = int((other != draw.NOWHERE).sum()), found.carried
    said = its.summary if dataset.recipe.places.columns is None else ""
    locations = len(reasons) - len(dropped)
    return Rows(path.name, found.count, locations, tuple(dropped), swapped, said, bool(its.left_out))


def table(dropped: Sequence[Dropped]) -> bytes:
    """What was dropped as GeoParquet of footprints: id, region, reason, and row (null of what is no row of a file).

    Where the recipe excludes some, also `note`, what it says of them.
    """
    places = [d.location for d in dropped]
    frame = gpd.GeoDataFrame(
        {
            "id": pd.array([p.id for p in places], dtype="str"),
            "region": pd.array([p.region for p in places], dtype="str"),
            "reason": pd.array([d.reason for d in dropped], dtype="str"),
            "row": pd.array([d.row for d in dropped], dtype="Int64"),
            **({"note": pd.array([d.note for d in dropped], dtype="str")} if any(d.note for d in dropped) else {}),
        },
        geometry=[grid.footprint(p, 1) for p in places],
        crs=4326,
    )
    out = io.BytesIO()
    frame.to_parquet(out, compression="zstd")
    return out.getvalue()
