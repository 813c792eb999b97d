"""Cards: a picture of a patch with the captions of its season, and the facts that each tells."""

from __future__ import annotations

from dataclasses import dataclass

from curation.cubes.contents import CubeContents
from curation.errors import ConfigError, DamageError
from curation.format.index import Index
from curation.model import Location
from curation.outcomes import Status
from curation.pack.captions import packed
from curation.report import contact_sheet, panels
from curation.report.contact_sheet import Tile
from curation.report.survey import Survey

CARDS = 48
BUDGET = 4_000_000
"""Characters of pictures; cards beyond it are left out."""


@dataclass(frozen=True, slots=True)
class Card:
    """One patch."""

    location: Location
    season: str
    tile: Tile
    """Its picture."""
    rows: list[tuple[str, tuple[str, ...]]]
    """Each caption, and the facts that it tells."""

    @property
    def text(self) -> str:
        """What it is found by, in small letters as the page's script makes them: `ß` stays."""
        said = [text for text, _ in self.rows] + [fact for _, facts in self.rows for fact in facts]
        return " ".join([self.location.id, self.season, *dict.fromkeys(said)]).lower()


def cards(survey: Survey, index: Index | None) -> list[Card]:
    """One for each of some samples, spread as the contact sheet's rows; none where shards have no captions."""
    name = None if index is None else packed.name_of(survey.dataset, index)
    if name is None:
        return []
    chosen = {place.id: (region, place) for region, place in contact_sheet.chosen(survey, CARDS)}
    out: list[Card] = []
    size = 0
    try:
        said = dict(packed.read(survey.dataset, survey.store, name, tuple(chosen)))
    except (DamageError, ConfigError) as err:
        survey.damage[str(err)] = None
        return []
    for number, (key, (region, place)) in enumerate(chosen.items()):
        its = said.get(key)
        made = None if its is None else _card(survey, region, place, its, number)
        if made is not None and (size := size + len(made.tile.uri or "")) <= BUDGET:
            out.append(made)
    return out


def _card(survey: Survey, region: str, place: Location, its: packed.Captions, number: int) -> Card | None:
    """Of one of its seasons, another one on each card; None where there is nothing to be seen in any."""
    seasons = [s for s in survey.dataset.level_of(region).season_names() if s in its.get("seasons", {})]
    for turn in range(len(seasons)):
        season = seasons[(number + turn) % len(seasons)]
        cube = survey.cubes.get((region, season))
        outcome = survey.outcome(region, season, place.id)
        if cube is not None and outcome is not None and outcome.status is Status.OK:
            tile = _picture(survey, cube, place)
            if tile is not None:
                return Card(place, season, tile, packed.rows(packed.of_season(its, season)))
    return None


def _picture(survey: Survey, cube: CubeContents, place: Location) -> Tile | None:
    """The widest picture of a patch."""
    facts = survey.facts_of(cube, place.id)
    shown = [p for p in panels.of_patch(cube, place.id, small=True, facts=facts) if p.image is not None]
    if not shown:
        return None
    return contact_sheet.tile_of(contact_sheet.in_order(shown)[0], place.id, exact=False)
