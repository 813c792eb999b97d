"""Which scenes each patch of a slab may use, best first. Reads saved searches only: no catalog, no pixels."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from curation import select
from curation.model import Code, Location, Reject, Scene, Season, Status
from curation.recipe import Dataset
from curation.search.cells import SearchCell, cell_of
from curation.search.items import Unreadable
from curation.search.saved import Searches, Wanted
from curation.sources import SourceSpec


@dataclass(frozen=True, slots=True)
class Candidates:
    """What select says of one source of one patch."""

    groups: tuple[tuple[Scene, ...], ...] = ()
    """Those that may be used, best first; of a group each is as good as far as is known without its pixels."""
    code: Code | None = None
    """Why there is none."""
    value: float | None = None
    """What was measured and decided that."""
    cause: str | None = None
    """An item that could not be read and may be one, or one more: told where there is none, or none will do."""
    status: Status = Status.REJECTED
    direction: str | None = None
    """The location's orbit direction."""

    @property
    def scenes(self) -> tuple[Scene, ...]:
        """All that may be used, best first."""
        return tuple(itertools.chain.from_iterable(self.groups))

    @property
    def lost(self) -> Reject | None:
        """The refusal in place of another where an item that could not be read might have passed."""
        if self.cause is None:
            return None
        return Reject(Code.UNREADABLE_ITEM, status=Status.FAILED, cause=self.cause)

    def check(self) -> None:
        """Passes where there are candidates. Raises Reject otherwise."""
        if self.code is not None:
            raise Reject(self.code, self.value, status=self.status, cause=self.cause)


def searched(dataset: Dataset, season: str) -> list[tuple[SourceSpec, Season]]:
    """Sources and seasons to search for a season's cube.

    A source of one orbit direction is searched in all seasons: the direction follows from their counts together.
    """
    out = []
    for spec in dataset.sources(season):
        names = dataset.season_names() if spec.one_orbit_direction else [season]
        out += [(spec, dataset.sought(spec.name, n)) for n in names]
    return out


def wanted(dataset: Dataset, season: str, cells: Sequence[SearchCell]) -> list[Wanted]:
    """The searches that places in these cells need."""
    return [(spec, window, cell) for spec, window in searched(dataset, season) for cell in cells]


def of_slab(
    dataset: Dataset, searches: Searches, season: str, places: Sequence[Location]
) -> dict[str, dict[str, Candidates]]:
    """Source → location id → candidates. What the recipe excludes is among them: whoever reads passes it over.

    Raises:
        CurationError: what the places want was not searched.
    """
    return {s.name: _of_source(dataset, searches, s, season, places) for s in dataset.sources(season)}


def _of_source(
    dataset: Dataset, searches: Searches, spec: SourceSpec, season: str, places: Sequence[Location]
) -> dict[str, Candidates]:
    """Location id → candidates of a source, best first."""
    window = dataset.sought(spec.name, season)
    found = {c: searches.scenes(spec, window, c) for c in set(map(cell_of, places))}
    if spec.pick == "mean":
        found = {c: select.one_mode(s) for c, s in found.items()}
    elif spec.pick != "mosaic":
        found = {c: select.newest(s) for c, s in found.items()}
    unread = {c: searches.unreadable(spec, window, c) for c in found}
    excluded = frozenset(dataset.recipe.search.exclude)
    directions = _directions(dataset, searches, spec, places)
    out: dict[str, Candidates] = {}
    pick = select.covering if spec.pick in ("clearest", "nearest") else select.touching
    for place in places:
        lost = _lost(unread[cell_of(place)], place, excluded)
        # What is excluded is left out; but what it covers would be told as what lies where no scene is: sea.
        matters = lost is not None and (lost.status is Status.FAILED or spec.hole_value is not None)
        if lost is not None and matters and _wants_all(spec, found[cell_of(place)], place):
            out[place.id] = lost
            continue
        try:
            mine = pick(found[cell_of(place)], place)
        except Reject as why:
            out[place.id] = lost or Candidates(code=why.code, value=why.value, status=why.status)
            continue
        groups = [mine]
        if spec.pick == "mean":
            groups = [sorted(mine, key=lambda s: (s.time, s.id))]
        elif spec.pick == "clearest":
            groups = select.rank_clearest(mine, place, window)
        # Of a mosaic that is filled, nothing more is wanted.
        cause = lost.cause if lost and spec.pick != "mosaic" else None
        out[place.id] = Candidates(tuple(map(tuple, groups)), cause=cause, direction=directions.get(place.id))
    return out


def _wants_all(spec: SourceSpec, scenes: Sequence[Scene], place: Location) -> bool:
    """Whether each scene that may touch a place changes its pixels: of a mean, and of a mosaic that has room for it."""
    return spec.pick == "mean" or (spec.pick == "mosaic" and not select.filled(scenes, place))


def _lost(unread: Sequence[Unreadable], place: Location, excluded: frozenset[str]) -> Candidates | None:
    """Why a place for which no scene is found is not said to have none: the first item that may have been one."""
    touching = [u for u in unread if u.geometry is None or select.touches(u.geometry, place)]
    here = [u for u in touching if u.id not in excluded]
    if not here:
        return Candidates(code=Code.EXCLUDED) if touching else None
    first = min(here, key=lambda u: (u.geometry is None, u.id))
    more = f" (and {len(here) - 1} more)" if len(here) > 1 else ""
    cause = f"item {first.id}: {first.reason}{more}"
    return Candidates(code=Code.UNREADABLE_ITEM, cause=cause, status=Status.FAILED)


def _directions(
    dataset: Dataset, searches: Searches, spec: SourceSpec, places: Sequence[Location]
) -> dict[str, str | None]:
    """Location id → its orbit direction, of a source that keeps to one."""
    if not spec.one_orbit_direction:
        return {}
    seasons = [dataset.sought(spec.name, n) for n in dataset.season_names()]
    found = {c: [searches.scenes(spec, s, c) for s in seasons] for c in set(map(cell_of, places))}
    return {p.id: select.orbit_direction(found[cell_of(p)], p) for p in places}
