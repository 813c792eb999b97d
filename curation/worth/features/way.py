"""What each way of making features of patches is asked; `making.WAYS` names those that come along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from curation.format.index import ArrayEntry
from curation.worth.features.patches import FeaturePatch
from curation.worth.features.table import Vectors


class FeatureWay(Protocol):
    """A way of making features."""

    @property
    def name(self) -> str:
        """What the embedding is called: a-z, 0-9, `_` and `-`."""

    @property
    def settings(self) -> Any:
        """JSON values of all that its numbers follow from beside arrays and our own code: seeds, hashes of files."""

    def prepared(self, arrays: Mapping[str, ArrayEntry]) -> FeatureWay:
        """The same, for these arrays.

        Raises:
            ConfigError: it makes nothing of such.
        """

    def names(self) -> tuple[str, ...]:
        """What its numbers are called, of a prepared one; of a user's once it was asked for some."""

    def vectors(self, patches: Sequence[FeaturePatch]) -> Vectors:
        """(n, D) float32 of some patches; a row with a NaN is no row (`no_vector`)."""
