"""The samples of a release as columns: what the rules are given."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from curation.places.grids import Floats, Ints
from curation.worth.prune.neighbours import Values


@dataclass(frozen=True, slots=True)
class Labels:
    """What samples are labelled as."""

    names: tuple[str, ...]
    """Classes."""
    present: NDArray[np.float32]
    """1 or 0, NaN where it is not known [N, C]."""
    several: bool
    """Whether a sample may be of several classes."""

    def of_one(self) -> Ints:
        """Class of each sample, -1 where it has none [N]: of samples that are of one each."""
        known = np.isfinite(self.present).all(axis=1)
        return np.asarray(np.where(known, np.nan_to_num(self.present).argmax(axis=1), -1), np.int64)

    def rarest(self) -> Ints:
        """The class of each sample that the fewest have, -1 of none [N]: what it is counted as where it is balanced."""
        has = np.nan_to_num(self.present) > 0
        counts = np.where(has, has.sum(axis=0)[None], np.iinfo(np.int64).max)
        return np.asarray(np.where(has.any(axis=1), counts.argmin(axis=1), -1), np.int64)


def _none(a: Ints, b: Ints) -> NDArray[np.bool_]:
    return np.ones(len(a), bool)


@dataclass(frozen=True, slots=True)
class JudgedSamples:
    """N samples of a release."""

    ids: tuple[str, ...]
    splits: tuple[str, ...]
    lon: Floats
    """Degrees, of the centres of footprints [N]."""
    lat: Floats
    side_m: Floats
    """Of footprints [N]."""
    values: Values
    """As numbers, of all seasons together [N, D]."""
    labels: Labels | None = None
    sizes: Floats = field(default_factory=lambda: np.empty((0, 0)))
    """Bytes of each member, packed; NaN of what a sample has not [N, M]."""
    domains: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """What samples are told to be of, by name; an empty text where that is not known."""
    same_scenes: Callable[[Ints, Ints], NDArray[np.bool_]] = _none
    """Gives of pairs of samples whether both are of the same scenes."""

    @property
    def known(self) -> NDArray[np.bool_]:
        """Whether there are numbers of a sample, of any season [N]: those of nodata, say, have none."""
        return np.asarray(np.isfinite(self.values).any(axis=1))

    def mixed(self, seed: int) -> Ints:
        """Rank of each sample by a hash of its id and a seed [N]: the same in whatever order they come."""
        marks = [hashlib.sha256(f"{seed}:{name}".encode()).digest() for name in self.ids]
        rank = np.empty(len(marks), np.int64)
        rank[sorted(range(len(marks)), key=marks.__getitem__)] = np.arange(len(marks))
        return rank
