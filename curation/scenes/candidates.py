"""Which scenes each patch of a slab may use, best first. Reads saved searches only: no catalog, no pixels."""

from __future__ import annotations

import datetime as dt
import functools
import itertools
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from curation.errors.codes import Code
from curation.model import STATIC, Location, Scene, Season, Window
from curation.outcomes import Reject, Status
from curation.recipe.dataset import Dataset
from curation.recipe.sources import SourceSpec
from curation.scenes import rank
from curation.scenes.cells import SearchCell, cell_of
from curation.scenes.items import Unreadable
from curation.scenes.saved import Searches, Wanted


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
    """What failed, where that is why."""
    unread: tuple[Unreadable, ...] = ()
    """Items that could not be read and may be one, or one more: told where there is none, or none will do."""
    status: Status = Status.REJECTED
    direction: str | None = None
    """The orbit direction that the location keeps to."""
    relative_orbit: int | None = None
    """Likewise, the relative orbit."""

    @property
    def scenes(self) -> tuple[Scene, ...]:
        """All that may be used, best first."""
        return tuple(itertools.chain.from_iterable(self.groups))

    def lost(self, may_be: Callable[[dt.datetime], bool]) -> Reject | None:
        """The refusal in place of another where an item that could not be read might have passed.

        `may_be` says whether one of a time may; one whose time is not known always may.
        """
        unread = [u for u in self.unread if u.time is None or may_be(u.time)]
        return Reject(Code.UNREADABLE_ITEM, status=Status.FAILED, cause=_cause(unread)) if unread else None

    def may_lie_near(self, time: dt.datetime, days: float) -> bool:
        """Whether one of them lies so near to an instant, or one that could not be read may."""
        mine = [s for s in self.scenes if self.direction in (None, s.orbit_state)]
        times = [s.time for s in mine if self.relative_orbit in (None, s.relative_orbit)]
        return any(t is None or is_near(t, [time], days) for t in (*times, *(u.time for u in self.unread)))

    def check(self) -> None:
        """Passes where there are candidates. Raises Reject otherwise."""
        if self.code is not None:
            raise Reject(self.code, self.value, status=self.status, cause=self.cause)


def sought(dataset: Dataset, season: str) -> list[tuple[SourceSpec, Season]]:
    """Sources and seasons to search for a season's cube, heights that others are judged by included."""
    mine = [s for s in dataset.sources(season) if s.pick.searches]
    own = [(s, its) for s in mine for its in _seasons(dataset, s, season)]
    return own + [(s, its) for s in dataset.judges(season) for its in _seasons(dataset, s, STATIC)]


def _seasons(dataset: Dataset, spec: SourceSpec, season: str) -> list[Season]:
    """The seasons that a source of a season's cube looks at, as they are searched."""
    return [dataset.sought(spec.name, name) for name in dataset.looks_at(spec.name, season)]


def wanted(dataset: Dataset, season: str, places: Iterable[Location]) -> list[Wanted]:
    """The searches that places need, each once: by source, season, window and cell.

    Places share one where they lie in the same cell and have the same window. It is no wider than theirs: what one finds
    does not depend on which others there are.
    """
    seasons = sought(dataset, season)
    dates = {s.column for _, s in seasons if s.column is not None}
    alike = {(cell_of(p), tuple(p.columns[c] for c in sorted(dates))): p for p in places}  # they want the same searches
    out = []
    for spec, its in seasons:
        found = {(window, cell) for (cell, _), p in alike.items() if (window := its.window(p)) is not None}
        out += [(spec, window, cell) for window, cell in sorted(found, key=lambda wc: (wc[0].start, wc[1]))]
    return out


def of_slab(
    dataset: Dataset, searches: Searches, season: str, places: Sequence[Location]
) -> dict[str, dict[str, Candidates]]:
    """Source → location id → candidates, of heights that others are judged by, too.

    What the recipe excludes is among them: whoever reads passes it over.

    A place without a date, where the season lies around one, has none: `no_date`.

    Raises:
        CurationError: what the places want was not searched.
    """
    wanted = [(s, season) for s in dataset.sources(season)] + [(s, STATIC) for s in dataset.judges(season)]
    return {s.name: of_source(dataset, searches, s, its, places) for s, its in wanted}


def of_source(
    dataset: Dataset, searches: Searches, spec: SourceSpec, season: str, places: Sequence[Location]
) -> dict[str, Candidates]:
    """Location id → candidates of a source, best first.

    Raises:
        CurationError: what the places want of it was not searched.
    """
    its, pick = dataset.sought(spec.name, season), spec.pick
    if not pick.searches:
        return {place.id: Candidates() for place in places}
    excluded = frozenset(dataset.recipe.search.exclude)
    orbits = _orbits(dataset, searches, spec, season, places)

    @functools.cache
    def searched(window: Window, cell: SearchCell) -> tuple[list[Scene], list[Unreadable]]:
        return pick.offered(searches.scenes(spec, window, cell)), searches.unreadable(spec, window, cell)

    out: dict[str, Candidates] = {}
    for place in places:
        window = its.window(place)
        if window is None:
            out[place.id] = Candidates(code=Code.NO_DATE, status=Status.ABSENT)
            continue
        scenes, unread = searched(window, cell_of(place))
        lost = _lost(unread, place, excluded)
        # What is excluded is left out; but what it covers would be told as what lies where no scene is: sea.
        matters = lost is not None and (lost.status is Status.FAILED or pick.fills)
        if lost is not None and matters and pick.wants_all(spec, scenes, place):
            out[place.id] = Candidates(code=lost.code, cause=lost.cause, status=lost.status)
            continue
        try:
            mine = pick.of_place(scenes, place)
            if dataset.wants_precise(spec.name):
                mine = rank.precise(mine)
            direction, relative = orbits.get(place.id, (None, None))
            if pick.follows is None:  # one that goes with another looks at it with each scene of that
                mine = rank.of_direction(mine, direction, relative)
            groups = pick.ranked(mine, place, window)
        except Reject as why:
            if lost is not None and (lost.code is Code.EXCLUDED or pick.joins):
                out[place.id] = Candidates(code=lost.code, cause=lost.cause, status=lost.status)
            else:
                unseen = () if lost is None else lost.unread
                out[place.id] = Candidates(code=why.code, value=why.value, status=why.status, unread=unseen)
            continue
        unseen = lost.unread if lost and not pick.joins else ()  # of what is joined nothing more is wanted by now
        found = tuple(map(tuple, groups))
        out[place.id] = Candidates(found, unread=unseen, direction=direction, relative_orbit=relative)
    return out


def _lost(unread: Sequence[Unreadable], place: Location, excluded: frozenset[str]) -> Candidates | None:
    """Why a place for which no scene is found is not said to have none: the first item that may have been one."""
    touching = [u for u in unread if u.geometry is None or rank.touches(u.geometry, place)]
    left = [u for u in touching if u.id not in excluded]
    if not left:
        return Candidates(code=Code.EXCLUDED) if touching else None
    return Candidates(code=Code.UNREADABLE_ITEM, cause=_cause(left), status=Status.FAILED, unread=tuple(left))


def _cause(unread: Sequence[Unreadable]) -> str:
    first = min(unread, key=lambda u: (u.geometry is None, u.id))
    more = f" (and {len(unread) - 1} more)" if len(unread) > 1 else ""
    return f"item {first.id}: {first.reason}{more}"


def is_near(time: dt.datetime, to: Sequence[dt.datetime], days: float) -> bool:
    """Whether an instant lies so near to one of others."""
    return any(abs((time - t).total_seconds()) <= days * 86_400 for t in to)


Times = Sequence[dt.datetime] | None
"""Of the scenes that a source's may go with; None where they are not known."""


def times(mine: Candidates, but: Collection[str]) -> Times:
    """When the candidates were taken that may be chosen yet, all but some by id."""
    unread = [u.time for u in mine.unread]
    return None if None in unread else [s.time for s in mine.scenes if s.id not in but] + [t for t in unread if t]


def _orbits(
    dataset: Dataset, searches: Searches, spec: SourceSpec, season: str, places: Sequence[Location]
) -> dict[str, tuple[str | None, int | None]]:
    """Location id → its orbit direction and relative orbit, of a source that keeps to one."""
    if not spec.pick.one_way:
        return {}
    seasons = [dataset.sought(spec.name, name) for name in dataset.directed_by(spec.name)]

    @functools.cache
    def scenes(window: Window, cell: SearchCell) -> list[Scene]:
        found = searches.scenes(spec, window, cell)
        # A direction without a precise orbit would serve no season.
        return [s for s in found if rank.is_precise(s)] if dataset.wants_precise(spec.name) else found

    out = {}
    for place in places:
        windows = [window for s in seasons if (window := s.window(place)) is not None]
        out[place.id] = spec.pick.orbit_of([scenes(w, cell_of(place)) for w in windows], place)
    return out
