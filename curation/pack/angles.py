"""Where sun and satellite stood, and which satellite it was, as columns of the samples table. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curation.pack.meta import plain
from curation.recipe import angles
from curation.recipe.dataset import Dataset

FACTS = (angles.PLATFORM, *angles.NAMES)


def columns(dataset: Dataset) -> list[tuple[str, str, str, str]]:
    """(column, season, source, fact) of each source with time whose recipe asks for angles: `s2l2a_platform_summer`."""
    level = dataset.levels[0]
    return [
        (f"{name}_{fact}_{season}", season, name, fact)
        for name, spec in level.specs.items()
        if spec.angles and not spec.timeless
        for season in level.seasons_of(name)
        for fact in FACTS
    ]


def value(facts: Mapping[str, Mapping[str, Any]], season: str, source: str, fact: str) -> Any:
    """What a sample's row has of it: of a time axis a list of each step's, of which none may be known; None where unknown.

    Args:
        facts: season → fact → value, of the sample.
        season: of which.
        source: of which.
        fact: without the source's name.
    """
    known = facts.get(season, {})
    found, steps = known.get(f"{source}_{fact}"), known.get(f"{source}_steps")
    if found is None or steps is None:
        return plain(found) or None if fact == angles.PLATFORM else plain(found)
    return [plain(v) or None if fact == angles.PLATFORM else plain(v) for v in found[: int(steps)]]
