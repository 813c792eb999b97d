"""How far the candidates of a patch came that were not chosen, and which of them tells why. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from curation.errors.codes import Code
from curation.outcomes import Reject


class Stage(IntEnum):
    """What a candidate did not pass. The later, the further it came: all before it was passed."""

    NODATA = 1
    """The mask has too few valid pixels."""
    CLOUDY = 2
    """Too few of them are clear."""
    SNOWY = 3
    """Too many are snow."""
    DOUBTFUL = 4
    """Too many are doubtful: it is clear otherwise."""
    PARTNER = 5
    """It is good enough by its mask, and a source that goes with it has no scene near enough in time."""
    PARTNER_PIXELS = 6
    """There is one, whose pixels are not good enough."""
    BANDS = 7
    """Its own bands are not good enough."""
    SHIFT = 8
    """They are, and a source that goes with it lies beside it."""


OF_MASK = {
    Code.NODATA: Stage.NODATA,
    Code.CLOUDY: Stage.CLOUDY,
    Code.SNOWY: Stage.SNOWY,
    Code.DOUBTFUL: Stage.DOUBTFUL,
}
"""The stages that a mask decides, in the order in which it is judged (`clouds.Shares.check`)."""


def stage_of(why: Reject) -> Stage:
    """What was not passed where a mask was read: of one that a model makes these may be the bands that it is given."""
    return OF_MASK.get(why.code, Stage.BANDS)


LESS_IS_BETTER = (Code.SNOWY, Code.DOUBTFUL, Code.TIME_GAP, Code.SHIFTED)
"""Codes of whose values the least came nearest to passing; of the others it is the greatest."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why one candidate was not chosen."""

    stage: Stage
    source: str
    """Name of the source that refused it: the candidate's own, or one that goes with it."""
    why: Reject
    facts: dict[str, Any] = field(default_factory=dict)
    """What was measured of it."""

    @property
    def rank(self) -> tuple[int, float]:
        """Greater where it came further."""
        value = self.why.value
        if value is None:
            return self.stage, float("-inf")
        return self.stage, -value if self.why.code in LESS_IS_BETTER else value


def furthest(refusals: list[Refusal]) -> Refusal:
    """The refusal of the candidate that came furthest, of several the first (at least one)."""
    return max(refusals, key=lambda r: r.rank)
