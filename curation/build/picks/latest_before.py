"""The latest scene before the anchor of a season."""

from __future__ import annotations

from collections.abc import Sequence

from curation.build.walk import InTime
from curation.model import Location, Scene, Window
from curation.scenes import rank


class LatestBefore(InTime):
    """The last that is good enough, before the anchor; or the `nth`, back in time."""

    def ranked(self, scenes: Sequence[Scene], place: Location, window: Window) -> list[list[Scene]]:
        """By nearness to the anchor, before it."""
        return rank.rank_in_time([s for s in scenes if s.time < window.anchor], place, window.anchor)
