"""One slab's task, made on the client: which scenes its patches may use, reduced to what a worker needs.

Reads saved searches only: no catalog, no pixels.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from curation import select
from curation.build import Candidates, SlabJob, without_geometry
from curation.catalogs import Catalog
from curation.cube import Cube
from curation.ledger import SlabRecord
from curation.model import Location, Reject, Scene
from curation.recipe import Dataset
from curation.search import SearchCell, Searches, cell_of
from curation.sources import SourceSpec
from curation.store import Store


def slab_job(
    here: Cube,
    slab: int,
    places: Sequence[Location],
    *,
    searches: Searches,
    catalog: Catalog,
    store: Store,
    prior: SlabRecord | None,
    workers: int,
) -> SlabJob:
    """The task of building `places` of a slab of which `prior` was committed before, on one of so many workers."""
    dataset = here.dataset
    candidates: dict[str, dict[str, Candidates]] = {}
    scenes: dict[str, dict[str, Scene]] = {}
    for spec in dataset.sources(here.season):
        found = _found(dataset, searches, spec, here.season, places)
        candidates[spec.name] = _candidates(dataset, searches, spec, here.season, places, found)
        used = set(itertools.chain.from_iterable(c.scenes for c in candidates[spec.name].values()))
        scenes[spec.name] = without_geometry({s.id: s for group in found.values() for s in group if s.id in used})
    return SlabJob(
        dataset=dataset,
        region=here.region,
        season=here.season,
        slab=slab,
        locations=here.slab(slab),
        todo=tuple(p.id for p in places),
        scenes=scenes,
        candidates=candidates,
        forms={s.name: catalog.form_of(s) for s in dataset.sources(here.season)},
        base=catalog.base,
        store=store,
        per_host=max(dataset.recipe.fetch.requests_per_host // workers, 1),
        prior=prior,
    )


def _found(
    dataset: Dataset, searches: Searches, spec: SourceSpec, season: str, places: Sequence[Location]
) -> dict[SearchCell, list[Scene]]:
    """Search cell → its scenes, without those that were processed again."""
    window = dataset.recipe.season(season)
    cells = {cell_of(p) for p in places}
    found = {c: searches.scenes(spec, window, c) for c in cells}
    return found if spec.pick == "mosaic" else {c: select.newest(s) for c, s in found.items()}


def _candidates(
    dataset: Dataset,
    searches: Searches,
    spec: SourceSpec,
    season: str,
    places: Sequence[Location],
    found: dict[SearchCell, list[Scene]],
) -> dict[str, Candidates]:
    """Location id → candidates of a source, best first."""
    out: dict[str, Candidates] = {}
    scenes: dict[str, list[Scene]] = {}
    pick = select.covering if spec.pick in ("clearest", "nearest") else select.touching
    for place in places:
        try:
            scenes[place.id] = pick(found[cell_of(place)], place)
        except Reject as why:
            out[place.id] = Candidates(code=why.code, value=why.value, status=why.status)
    shared = select.shared_counts(scenes.values())
    for place in places:
        if place.id not in scenes:
            continue
        mine, direction = scenes[place.id], None
        if spec.pick == "clearest":
            mine = select.rank_clearest(mine, place, dataset.recipe.season(season), shared)
        if spec.one_orbit_direction:
            seasons = [dataset.recipe.season(n) for n in dataset.season_names()]
            direction = select.orbit_direction([searches.scenes(spec, s, cell_of(place)) for s in seasons], place)
        out[place.id] = Candidates(tuple(s.id for s in mine), direction=direction)
    return out
