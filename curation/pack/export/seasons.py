"""Which season's images a view has where nobody says: the one in which most is to be seen, by the pixels of train.

A picture between two percentiles is dark where few bright pixels (clouds that the recipe lets pass, snow) set the upper one.
So the season is taken whose median pixel lies nearest to the middle between its limits, of those that hardly fewer samples
have than the one that most have.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from curation.errors import ConfigError
from curation.errors.words import did_you_mean
from curation.pack.export.limits import Sampled
from curation.pack.export.rendering import Rendering

MOST_IMAGES = 16
"""So many images of each season, evenly spaced over train, are looked at."""

FEWEST = 0.9
"""Seasons that fewer samples have, as a share of the one that most have, are not taken."""

MIDDLE = 0.5

RULE = "its median pixel lies nearest to the middle between the percentiles"
STATED, ALONE = "as stated", "there is no other"


@dataclass(frozen=True, slots=True)
class SeasonLook:
    """How images of a season look."""

    samples: int
    """Of train that have one."""
    brightness: float | None
    """Where the median pixel lies between the percentiles, 0 to 1, the mean over channels; None where no pixel has data."""


def of_one(sampled: Sampled, rendering: Rendering, asked: str | None, percentiles: tuple[float, float]) -> Rendering:
    """The rendering, of the season that is asked for, or of the one in which most is to be seen; of none without time.

    Args:
        sampled: the samples of train.
        rendering: whose channels are looked at.
        asked: the season, where one is.
        percentiles: the limits, of each season's own pixels.

    Raises:
        ConfigError: its source has no such season.
        DamageError: what is stored is not what the index says.
    """
    known = sampled.index.arrays[rendering.channels[0].array].seasons
    if asked is not None and asked not in known:
        raise ConfigError(
            f"--season {asked}: {did_you_mean(asked, known)}{rendering.source} has {', '.join(known) or 'no seasons'}"
        )
    if asked is not None or not known:
        return dataclasses.replace(rendering, season=asked, season_by=STATED if asked else "")
    if len(known) == 1:
        return dataclasses.replace(rendering, season=known[0], season_by=ALONE)
    looks = {name: _look(sampled, dataclasses.replace(rendering, season=name), percentiles) for name in known}
    how = {name: dataclasses.asdict(its) for name, its in looks.items()}
    return dataclasses.replace(rendering, season=clearest(looks), season_by=RULE, seasons=how)


def _look(sampled: Sampled, rendering: Rendering, percentiles: tuple[float, float]) -> SeasonLook:
    values = sampled.values(rendering, MOST_IMAGES)
    brightness = None
    if values.shape[1]:
        low, median, high = np.percentile(values, (percentiles[0], 50, percentiles[1]), axis=1)
        brightness = round(float(np.mean((median - low) / np.maximum(high - low, 1e-9))), 4)
    return SeasonLook(len(sampled.with_all(rendering)), brightness)


def clearest(looks: Mapping[str, SeasonLook]) -> str:
    """The season that is taken: of two that are as good the first."""
    most = max(its.samples for its in looks.values())
    many = [name for name, its in looks.items() if its.samples >= FEWEST * most]
    return min(many, key=lambda name: _off(looks[name]))


def _off(its: SeasonLook) -> float:
    return 1.0 if its.brightness is None else abs(its.brightness - MIDDLE)
