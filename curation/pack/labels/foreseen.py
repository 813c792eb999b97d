"""What share of patches the maps of a catalog can label, foreseen from the searches of a few places before a build."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from curation.errors import ConfigError, CurationError
from curation.errors.causes import one_line
from curation.errors.words import counted
from curation.model import Location, Scene
from curation.outcomes import Reject
from curation.places.locations import Locations
from curation.recipe.catalogs import Catalog, Catalogs, parquet_parts
from curation.recipe.dataset import Dataset
from curation.scenes import candidates, rank
from curation.scenes.cells import cell_of
from curation.scenes.saved import Searches

MOST_CELLS, MOST_PLACES = 8, 64
"""Of search cells, and of places in them, that are looked at: two searches a cell and season, which the build does not make
again."""


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What maps come to at some places."""

    source: str
    catalog: str
    """How a person knows it."""
    can: int
    """Patches of which some image that may be taken has a map."""
    patches: int
    """That were looked at."""
    places: int
    cells: int
    """Search cells that these lie in."""

    @property
    def summary(self) -> str:
        """For a person."""
        share = 100 * self.can / self.patches if self.patches else 0.0
        return (
            f"labels: {self.source} of catalog {self.catalog} can label up to {self.can} of {self.patches} patches "
            f"({share:.1f} %): those of which an image of the season has a map; an estimate, from the searches of "
            f"{counted(self.places, 'place')} in {counted(self.cells, 'cell')}"
        )


def line(searches: Searches, places: Locations, seasons: Sequence[str]) -> str:
    """What is to be said before a build of labels by season that are measured on maps of a catalog.

    An estimate where a few searches cost little; of STAC-GeoParquet each is a look at all of it. Arguments and errors as of
    `foreseen`, but that of a search that failed the cause is said: the build says what that costs.
    """
    dataset, every = searches.dataset, searches.catalogs
    source = str(dataset.recipe.labels.seasonal)
    follows = dataset.specs[source].pick.follows
    if follows is None or any(map(_is_swept, every.distinct([source, follows]))):
        return unknown(dataset, every)
    try:
        return foreseen(searches, source, places, seasons).summary
    except ConfigError:
        raise
    except CurationError as err:
        return unknown(dataset, every, f" ({one_line(err)})")


def unknown(dataset: Dataset, every: Catalogs, why: str = "") -> str:
    """The same where nothing was searched, or could be: why."""
    source = str(dataset.recipe.labels.seasonal)
    return (
        f"labels: {source} of catalog {every.of(source).label}: what share of patches its maps can label is not known "
        f"before scenes are searched{why}; `curate report` counts it after a build"
    )


def _is_swept(catalog: Catalog) -> bool:
    return catalog.is_remote or (catalog.is_file and bool(parquet_parts(Path(catalog.location))))


def foreseen(searches: Searches, source: str, places: Locations, seasons: Sequence[str]) -> Foreseen:
    """What maps that go with images come to; makes those searches of the places looked at that are not saved yet.

    Args:
        searches: of the dataset and its catalogs.
        source: of the maps.
        places: those to be built, without children, neighbours one after the other.
        seasons: those to be built.

    Raises:
        ConfigError: a catalog does not answer.
        CurationError: a search failed.
    """
    dataset = searches.dataset
    maps = dataset.specs[source]
    images = dataset.specs[str(maps.pick.follows)]
    some = list(_some(places))
    can = patches = 0
    for season in seasons:
        if maps not in dataset.sources(season) or images not in dataset.sources(season):
            continue
        wanted = candidates.wanted(dataset, season, some)
        for spec in (images, maps):
            searches.run(w for w in wanted if w[0] == spec)
        of_maps, of_images = (candidates.of_source(dataset, searches, s, season, some) for s in (maps, images))
        patches += len(some)
        can += sum(any(_has(of_maps[p.id].scenes, image) for image in of_images[p.id].scenes) for p in some)
    return Foreseen(source, searches.catalogs.of(source).label, can, patches, len(some), len(set(map(cell_of, some))))


def _some(places: Locations) -> Iterator[Location]:
    """Places that stand for all: runs of neighbours, each of one cell, spread evenly over their order."""
    for part in np.array_split(np.arange(len(places)), MOST_CELLS):
        run = list(places.take(part[: MOST_PLACES // MOST_CELLS]))
        yield from (p for p in run if cell_of(p) == cell_of(run[0]))


def _has(maps: Sequence[Scene], image: Scene) -> bool:
    try:
        return bool(rank.same_acquisition(maps, image))
    except Reject:
        return False
