"""Uses of one source that are to be of scenes apart: the first of those that are good enough, the second, and so on. Pure.

A use that is counted higher is of no scene that one counted lower is of, as long as whatever is good enough for the higher
is so for the lower, too: then the second of the one stands second, or later, among those of the other. Where the lower asks
for more, its first may be the other's second.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from curation.errors import ConfigError
from curation.recipe.arrays import ArraySpec
from curation.recipe.schema import Recipe
from curation.recipe.sources import SourceSpec

ORBIT = "orbit"


class CountedUses(Protocol):
    """What is asked of a level of a recipe."""

    path: Path
    recipe: Recipe
    specs: dict[str, SourceSpec]
    read: dict[str, dict[str, ArraySpec]]

    def min_valid(self, source: str) -> float:
        """As of `Dataset`."""

    def seasons_of(self, source: str) -> Sequence[str]:
        """As of `Dataset`."""


def check_counted(dataset: CountedUses) -> None:
    """Passes where no two uses of a source that are counted apart can be of the same scene.

    Of such as count from different anchors nothing is promised, and nothing looked at.

    Raises:
        ConfigError: two can: the key is told by which the one that is counted lower asks for more.
    """
    for high, low in itertools.permutations(dataset.specs, 2):
        if not _are_apart(dataset, high, low):
            continue
        if (key := _asks_less(dataset, high, low)) is not None:
            nth = dataset.specs[high].pick.counted
            raise ConfigError(
                f"{dataset.path}: [sources.{high}] takes scene {nth} of those that are good enough, and [sources.{low}], of "
                f"the same source, scene {dataset.specs[low].pick.counted}: they may be the same scene, since {key} is not "
                "the same, or asks for less in the first: say the same in both"
            )


def _are_apart(dataset: CountedUses, high: str, low: str) -> bool:
    """Whether one is meant to be of a later scene than the other, counted in the same way from the same anchor."""
    uses, first, second = dataset.recipe.sources, dataset.specs[high].pick, dataset.specs[low].pick
    if (uses[high].of or high) != (uses[low].of or low) or first.counted <= second.counted:
        return False
    mine, its = first.conditions, second.conditions
    if mine["name"] != its["name"] or {None, mine.get(ORBIT), its.get(ORBIT)} == {None, "ascending", "descending"}:
        return False
    anchors = [{dataset.recipe.season(s).anchored for s in dataset.seasons_of(name)} for name in (high, low)]
    return not anchors[0].isdisjoint(anchors[1])


def _asks_less(dataset: CountedUses, high: str, low: str) -> str | None:
    """The key by which a scene may be good enough for `high` and not for `low`; None where there is none."""
    mine, its = _asked(dataset, high), _asked(dataset, low)
    if dataset.min_valid(high) < dataset.min_valid(low):
        return "min_valid"
    if its["bands"] - mine["bands"]:
        return "bands"
    if any(f not in mine["what goes with it"] for f in its["what goes with it"]):
        return "what goes with it"
    same = [k for k in its if k not in ("bands", "what goes with it")]
    return next((k for k in same if its[k] not in (None, mine.get(k))), None) or next(
        (k for k in ("mask", "relief", "catalog", "res_m", "size_px") if its[k] != mine[k]), None
    )


def _asked(dataset: CountedUses, name: str) -> dict[str, Any]:
    """What a use of a source asks of a scene, by key of the recipe."""
    use, followers = dataset.recipe.sources[name], []
    for other, spec in dataset.specs.items():
        if spec.pick.follows == name and dataset.recipe.sources[other].required and spec.pick.tried:
            how = {k: v for k, v in spec.pick.conditions.items() if v != name}
            followers.append((dataset.recipe.sources[other].of or other, how, dataset.min_valid(other)))
    keys = {k: getattr(use, k) for k in ("orbits", "mask", "relief", "catalog", "res_m", "size_px")}
    bands = {b for a in dataset.read[name].values() for b in a.bands}
    return dataset.specs[name].pick.conditions | keys | {"bands": bands, "what goes with it": followers}
