"""The first scene from the anchor of a season on."""

from __future__ import annotations

from collections.abc import Sequence

from curation.build.walk import InTime
from curation.model import Location, Scene, Window
from curation.scenes import rank


class FirstAfter(InTime):
    """The first that is good enough, not before the anchor; or the `nth`."""

    def ranked(self, scenes: Sequence[Scene], place: Location, window: Window) -> list[list[Scene]]:
        """By nearness to the anchor, from it on."""
        return rank.rank_in_time([s for s in scenes if s.time >= window.anchor], place, window.anchor)
