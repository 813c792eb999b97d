"""The clearest scene of a season."""

from __future__ import annotations

from collections.abc import Sequence

from curation.build.walk import OneScene
from curation.model import Location, Scene, Window
from curation.recipe.sources import SourceSpec
from curation.scenes import rank


class Clearest(OneScene):
    """The clearest on the patch, by its mask, among those that are as good before pixels are known."""

    def check(self, source: SourceSpec) -> None:
        """Passes where there is a mask, and codes of it that are clear."""
        if source.mask is None or not source.clear:
            raise ValueError("pick = 'clearest' wants an array with role 'mask' and its 'clear' codes")

    def ranked(self, scenes: Sequence[Scene], place: Location, window: Window) -> list[list[Scene]]:
        """By zone, cloud cover and anchor, in steps."""
        return rank.rank_clearest(scenes, place, window)
