"""Which cubes a command asks for: regions, seasons and locations by the words of its flags."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.cubes import cube
from curation.cubes.cube import Cube
from curation.errors.words import counted
from curation.model import STATIC
from curation.places import dates, draw, order, parquet, regions, rows
from curation.places.locations import SCHEMA, Locations
from curation.places.regions import Region
from curation.recipe.catalogs import Catalogs
from curation.recipe.dataset import Dataset
from curation.store import paths
from curation.store.objects import Store
from curation.work.progress import Doing
from curation.work.run import Run

log = logging.getLogger(__name__)


def asked_regions(dataset: Dataset, catalogs: Catalogs, text: str) -> list[Region]:
    """The regions that `--region` names: `all` (the recipe's, for this catalog), or names, a bbox or a file.

    Several names are separated by `+`; a comma belongs to a bbox.
    """
    places = dataset.recipe.places
    own = places.regions_of.get(catalogs.default.identity, places.regions)
    # The draw needs the recipe's own regions, whatever is asked for: a typo is told before it. Files may have gone since.
    named = [n for n in places.regions if Path(n).suffix.lower() not in regions.FILE_SUFFIXES]
    wanted = list(dict.fromkeys([*named, *(own if text == regions.ALL else ())]))
    found = dict(zip(wanted, regions.of_recipe(dataset.path, wanted), strict=True))
    if text == regions.ALL:
        return [found[n] for n in own]
    if "," in text:
        return [regions.find(text)]
    return [regions.find(n) for n in text.split("+")]


def asked_seasons(dataset: Dataset, text: str) -> list[str]:
    """The seasons that `--season` names: `all` (static first), or names separated by commas.

    Raises:
        ConfigError: the recipe has no such season.
    """
    every = dataset.cube_seasons()
    if text == regions.ALL:
        return every
    names = list(dict.fromkeys(text.split(",")))
    for name in names:
        dataset.recipe.season(name)
    # Labels and elevation come from the static cube, so its missing slabs are built first.
    return [s for s in every if s == STATIC] + [n for n in names if n != STATIC]


def locations(dataset: Dataset, store: Store, asked: Sequence[Region], *, keep: bool = True) -> dict[str, Locations]:
    """Folder → the locations of its cubes along a space-filling curve, so that neighbours share slabs and scenes.

    A region has a folder per level (`Dataset.folder`). The draw is made at first use and kept as GeoParquet (unless `keep`
    is False, where nothing is written); the sampler `grid` draws region by region. What was added to a draw since comes
    after what stood, along a curve of its own.
    """
    return {folder: places for folder, (places, _) in _ordered(dataset, store, asked, keep).items()}


def _ordered(
    dataset: Dataset, store: Store, asked: Sequence[Region], keep: bool
) -> dict[str, tuple[Locations, tuple[int, ...]]]:
    """As `locations`, with how many there were each time before more were added."""
    if dataset.recipe.places.sampler == "grid":
        found = {r.name: _drawn(dataset, store, [r], keep) for r in asked}
    else:
        everywhere, sizes = _drawn(dataset, store, None, keep)
        found = {r.name: (draw.select(everywhere, [r]), sizes) for r in asked}
    out = {}
    for region, (places, sizes) in found.items():
        growth, is_root = order.growth_of(places, sizes), places.is_root()
        for level in dataset.levels:
            its = ~is_root if level.level else is_root
            out[level.folder(region)] = order.grown_order(places.take(its), growth[its])
    return out


def of_cubes(dataset: Dataset, store: Store, folders: Mapping[str, Collection[str]]) -> Locations:
    """The locations of cubes with all that their draw says of them, roots alone; of a draw that is not kept none.

    Args:
        dataset: the recipe.
        store: the dataset's folder.
        folders: folder of cubes → ids of its locations.
    """
    if dataset.recipe.places.sampler == "grid":
        keys = [paths.locations(name) for name in {paths.region_of(f): None for f in folders}]
        drawn = Locations.joined([parquet.load(store, k, dataset) for k in keys if store.head(k) is not None])
    else:
        drawn, _ = _drawn(dataset, store, None, keep=True)
    ids = pa.array(sorted(set().union(*folders.values())), pa.string())
    return drawn.take(np.asarray(pc.is_in(drawn.table["id"], ids), bool)).roots()


def everywhere(dataset: Dataset, store: Store) -> Locations:
    """All locations of a recipe whose draw is one, whatever region is asked for. Raises as `draw.draw` does."""
    return _drawn(dataset, store, None, keep=True)[0]


def tables(dataset: Dataset, asked: Sequence[Region]) -> list[str]:
    """Keys of the tables that the locations of regions are kept in."""
    by_region = dataset.recipe.places.sampler == "grid"
    return [paths.locations(r.name) for r in asked] if by_region else [paths.locations(None)]


def _drawn(
    dataset: Dataset, store: Store, asked: Sequence[Region] | None, keep: bool
) -> tuple[Locations, tuple[int, ...]]:
    """The draw of all, or of a region alone, and how many roots it had each time before more were added."""
    key = paths.locations(asked[0].name if asked else None)
    if store.head(key) is None:
        count = dataset.recipe.places.count
        with Doing(f"locate: drawing {f'{count:,}' if count else 'all'} locations"):
            made = draw.draw(dataset, asked)
        dates.check(dataset, made)
        if not keep:
            return made, ()
        _account(dataset, store)
        parquet.save(made, store, key, dataset)
    try:
        places, grown = parquet.load_grown(store, key, dataset)
    except parquet.OtherDrawError as err:
        places, grown = _grown(dataset, store, key, err, asked, keep=keep)
    dates.check(dataset, places)  # the recipe's seasons may be others since
    return places, grown


def _grown(
    dataset: Dataset, store: Store, key: str, err: parquet.OtherDrawError, asked: Sequence[Region] | None, *, keep: bool
) -> tuple[Locations, tuple[int, ...]]:
    """What the recipe draws by now, where it begins with all places that stand; as `_drawn`.

    Whatever was changed: what counts is what comes of it. Regions, and what a file says of places beside where they are, may
    be others.

    Raises:
        OtherDrawError: some are gone, elsewhere, or come later.
    """
    if err.table is None:
        raise err
    with Doing("locate: drawing again, since the recipe has changed"):
        made = draw.draw(dataset, asked)
    stands = Locations(err.table.select(SCHEMA.names))
    if wrong := draw.moved(stands, made):
        raise parquet.OtherDrawError(
            f"{err}. More places may come after those that stand, which stay: {wrong}. To have fewer in a release say "
            "[pack] target"
        ) from err
    dates.check(dataset, made)
    before, now = (int(p.is_root().sum()) for p in (stands, made))
    grown = (*err.grown, before) if now > before else err.grown
    what = f"{counted(now - before, 'place')} added to {before:,}" if now > before else "the same places"
    log.info("%s: %s, with what the recipe and its file say of them by now", store.where(key), what)
    if keep:
        _account(dataset, store)
        parquet.save(made, store, key, dataset, grown=grown)
    return made, grown


def _account(dataset: Dataset, store: Store) -> None:
    """Publishes which rows of a file of places are no location of the recipe's; packing adds what else is dropped."""
    if found := rows.of(dataset, regions.of_recipe(dataset.path, dataset.recipe.places.regions)):
        store.publish(paths.DROPPED, rows.table(found.dropped))


def cubes(run: Run, asked: Sequence[Region], seasons: Sequence[str], *, keep: bool = True) -> list[Cube]:
    """The cubes of regions and seasons, of every level that has them, the roots' first.

    Raises:
        ConfigError: a region holds nothing.
    """
    out = []
    for folder, (places, stood) in _ordered(run.dataset, run.store, asked, keep).items():
        level, region = run.dataset.level_of(folder), paths.region_of(folder)
        if level.level and not places:
            continue  # cells in which no place fits
        out += [cube.cube_of(level, region, s, places, stood) for s in seasons if s in level.cube_seasons()]
    return out
