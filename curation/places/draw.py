"""The recipe's one ordered draw, and the selection from it.

The samplers `gaussian-cities` and `uniform` draw over land, on the whole globe, whatever region is asked for; `file` takes
what the file gives; `era5-cells` has cells of longitude and latitude, which may have UTM places as children. Regions select
from these afterwards. Only `grid` makes places for the regions asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.errors import ConfigError
from curation.places import children, era5_cells, from_file, grids, made_columns, reach, regions, sampling, tiling
from curation.places.grids import Floats, Ints, Places
from curation.places.locations import Locations
from curation.places.regions import Region
from curation.places.strata import Balance
from curation.recipe.dataset import Dataset
from curation.recipe.places import CELL_SAMPLER

NOWHERE = ""
"""The region of a location that none of the regions holds."""


def draw(dataset: Dataset, asked: Sequence[Region] | None = None) -> Locations:
    """The locations of a recipe, ordered by rank, which is the place in the order of the draw (0 first).

    `gaussian-cities` and `uniform` give exactly `count` locations over the land of the globe (the 1 km mask of
    the atlas, at the grid's centre), of which no two footprints overlap. `file` gives the file's places in its order
    (`rows` accounts for the other rows).
    Without `asked` all of them are returned, each with the first of the recipe's own regions that holds its centre (`""`
    where none does); with it, only those that one of the asked regions holds, as `select` does: rank and grid are the
    same.

    `grid` covers each asked region, one after the other; a cell that two of them need is the first one's. Its cells may
    overlap at seams of UTM zones (`tiling.covering`).

    `era5-cells` gives the cells with land in their seeded order, selected by their centres: the roots. Where the recipe has
    `[children]` these follow, by the rank of their cell and then their own, which is their place among its children; their
    region is that of their cell, since a cell and its children are one sample (`children.of_cells`).

    Columns that the recipe wants made (`made_columns`) come last.

    Raises:
        ConfigError: the sampler is `grid` and no region is asked for; or as the samplers say.
    """
    by = made_columns.balance_of(dataset)
    return made_columns.added(dataset, _drawn(dataset, asked, by), by)


def _drawn(dataset: Dataset, asked: Sequence[Region] | None, by: Balance | None) -> Locations:
    recipe = dataset.recipe
    if recipe.places.sampler == "grid":
        return _cover(dataset, asked)
    if recipe.places.sampler == CELL_SAMPLER:
        cells = era5_cells.drawn(recipe.places, recipe.seed)
        ids, found = era5_cells.ids(cells), era5_cells.grids(cells)
        user_columns: dict[str, pa.Array] = {}
    else:
        ids, found, user_columns = _everywhere(dataset, by)
    own = regions.of_recipe(dataset.path, recipe.places.regions) if asked is None else asked
    names = held_by(found.lon, found.lat, own)
    rank = np.arange(len(ids)) if asked is None else np.flatnonzero(names != NOWHERE)
    own_columns = {name: values.take(pa.array(rank)) for name, values in user_columns.items()}
    roots = _locations(dataset, [ids[k] for k in rank], found.take(rank), names[rank], rank, own_columns)
    return Locations.joined([roots, _children(dataset, roots, cells[rank])]) if recipe.children else roots


def select(locations: Locations, asked: Sequence[Region]) -> Locations:
    """The locations whose centre one of the regions holds, each with the first that does as its region; order is kept.

    Children go with their parent wherever it is among the locations: by its centre, not by their own.
    """
    names = held_by(locations.column("lon"), locations.column("lat"), asked)
    root = locations.root_rows()
    names = np.where(root < 0, names, names[root])
    return locations.with_regions(names).take(names != NOWHERE)


_FIXED = ("id", "epsg", "x0_m", "y0_m", "size_m", "rank", "parent")
"""What of a location never changes: which region holds it, and what a file says of it beside, may be others."""


def moved(stands: Locations, made: Locations) -> str:
    """The first of the places that stand that another draw has not, elsewhere, or later; empty where it begins with them.

    Of children those of the parents that stand.
    """
    before, now = stands.roots(), made.roots()
    if len(now) < len(before):
        return f"{len(before):,} stand, and the recipe has {len(now):,} by now"
    first = now[: len(before)]
    for old, new in ((before, first), (stands.children(), made.children(of=first))):
        n = min(len(old), len(new))
        differs = np.zeros(max(len(old), len(new)), bool)
        differs[n:] = True
        for name in _FIXED:
            differs[:n] |= old.column(name)[:n] != new.column(name)[:n]
        if differs.any():
            k = int(differs.argmax())
            return f"number {k + 1:,} is {_summary(old, k)}, and would be {_summary(new, k)}"
    return ""


def _summary(places: Locations, k: int) -> str:
    if k >= len(places):
        return "none"
    its = places[k]
    return f"{its.id} (west {its.x0_m:.10g}, north {its.y0_m:.10g}, EPSG:{its.epsg})"


def held_by(lon: Floats, lat: Floats, asked: Sequence[Region]) -> NDArray[np.object_]:
    """Name of the first region that holds each point; `""` where none does."""
    names = np.full(len(lon), NOWHERE, dtype=object)
    for region in asked:
        todo = np.flatnonzero(names == NOWHERE)
        names[todo[region.contains(lon[todo], lat[todo])]] = region.name
    return names


def _children(dataset: Dataset, roots: Locations, cells: Ints) -> Locations:
    """The children of cells, given as locations and by their numbers."""
    spec = dataset.recipe.children
    assert spec is not None
    made = children.of_cells(cells, spec, dataset.recipe.seed)
    parents, names = (roots.column(name)[made.cell] for name in ("id", "region"))
    ids = from_file.ids_of(made.places, spec.size_m)
    return _columns(ids, made.places, spec.size_m, region=names, rank=made.rank, parent=parents)


def _everywhere(dataset: Dataset, by: Balance | None) -> tuple[list[str], Places, dict[str, pa.Array]]:
    """Ids, places and columns of a draw that does not depend on regions."""
    recipe, size_m = dataset.recipe, dataset.recipe.grid.size
    if recipe.places.sampler == "file":
        found = from_file.read(dataset.places_file(), size_m, recipe)
        usable = found.usable()
        columns = {name: values.take(pa.array(usable)) for name, values in found.carried.columns.items()}
        return [found.ids[k] for k in usable], found.places.take(usable), columns
    drawn = sampling.drawn(recipe.places, recipe.seed, size_m, by=by)
    return from_file.ids_of(drawn, size_m), drawn, {}


def _cover(dataset: Dataset, asked: Sequence[Region] | None) -> Locations:
    if asked is None:
        raise ConfigError(
            f"{dataset.path}: [places] sampler = 'grid' covers regions and none is given; say --region (name, bbox or file)"
        )
    size_m = dataset.recipe.grid.size
    parts = [tiling.covering(region, size_m) for region in asked]
    names = np.repeat(np.array([r.name for r in asked], dtype=object), [len(p) for p in parts])
    found = grids.joined(parts)
    ids = from_file.ids_of(found, size_m)
    _, first = np.unique(np.array(ids, dtype=object), return_index=True)
    first.sort()
    return _locations(dataset, [ids[k] for k in first], found.take(first), names[first], np.arange(len(first)))


def _locations(
    dataset: Dataset,
    ids: list[str],
    found: Places,
    names: NDArray[np.object_],
    rank: NDArray[np.int64],
    user_columns: Mapping[str, pa.Array] | None = None,
) -> Locations:
    size_m = dataset.recipe.grid.size
    reach.check_reach(found, dataset.recipe.grid, str(dataset.path))
    return _columns(ids, found, size_m, user_columns, region=names, rank=rank)


def _columns(
    ids: list[str],
    found: Places,
    size_m: float,
    user_columns: Mapping[str, pa.Array] | None = None,
    **more: NDArray[Any],
) -> Locations:
    """Grids as locations: `more` is what of `SCHEMA` does not follow from them."""
    its = {name: getattr(found, name) for name in ("lon", "lat", "epsg", "x0_m", "y0_m")}
    return Locations.of_columns({"id": ids, **its, "size_m": np.full(len(ids), size_m), **more}, user_columns)
