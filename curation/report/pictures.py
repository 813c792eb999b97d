"""The report's pictures as files of their own, for cards: maps of where samples are, and some of their patches."""

from __future__ import annotations

import re

from curation.errors import CurationError
from curation.model import STATIC
from curation.recipe.dataset import Dataset
from curation.report import contact_sheet, show
from curation.report import survey as surveys
from curation.report.page import drawn_maps
from curation.report.survey import Survey
from curation.store import paths
from curation.store.objects import Store
from curation.work.progress import Doing

PATCHES = 3
"""Places whose patches are drawn."""


def of_report(dataset: Dataset, store: Store) -> dict[str, bytes]:
    """Key below the folder of cards → bytes: a map of each region, and a patch of some places in their first season.

    Raises:
        ConfigError: nothing is built there, or it was built by another recipe.
        CurationError: something that would be drawn is damaged.
    """
    with Doing("card: reading what is recorded"):
        survey = surveys.survey(dataset, store)
    with Doing("card: drawing"):
        maps = {f"map-{n}.svg": _file(str(m.svg)) for n, m in enumerate(drawn_maps(survey))}
        out = {paths.card_picture(name): data for name, data in (maps | _patches(survey)).items()}
    if survey.damage:
        raise CurationError(f"cards show nothing that is damaged: {'; '.join(list(survey.damage)[:3])}")
    return out


def _file(svg: str) -> bytes:
    """The wide one of a figure that is drawn twice, on white: a page of others shows it as it is."""
    whole = svg[: svg.index("</svg>") + len("</svg>")]
    return re.sub(r'style="', 'style="background:#fff;', whole, count=1).encode() + b"\n"


def _patches(survey: Survey) -> dict[str, bytes]:
    out = {}
    for region, place in contact_sheet.chosen(survey, PATCHES):
        seasons = [*survey.dataset.level_of(region).season_names(), STATIC]
        cubes = {s: survey.cubes[region, s] for s in seasons if (region, s) in survey.cubes}
        for season in (s for s, cube in cubes.items() if place.id in cube.outcomes):
            out[f"{place.id}-{season}.png"] = show.png(cubes[season], place.id)
            break
    return out
