"""What a reader sees of a patch: pictures by the rule that views of images have, between limits that all patches share."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from curation.errors import ConfigError, DamageError
from curation.format.index import Index
from curation.format.table import MemberTable, read_members
from curation.model import STATIC
from curation.pack.export import limits
from curation.pack.export.forms.clip import Clip, encoded, rgb
from curation.pack.export.rendering import COMPOSITES, Rendering
from curation.pack.export.views import ViewImage, ViewWish
from curation.recipe import synthetic
from curation.store.objects import Store
from curation.worth.audit.drawn import DrawnPatch


class Pictures:
    """Pictures of a dataset's patches, each drawn when it is asked for; for any number of threads.

    Args:
        shards: the folder of the shards.
        index: theirs.
        composites: which pictures, of those that `rendering.COMPOSITES` has; all that the dataset has bands for where empty.
        season: of the pictures of patches whose labels have no season; the first that images have where empty.

    Raises:
        ConfigError: the dataset has no bands for one, or for any.
    """

    def __init__(self, shards: Store, index: Index, composites: Sequence[str] = (), season: str = "") -> None:
        self._shards, self._index, self._season = shards, index, season
        self._renderings: dict[tuple[str, str], Rendering | None] = {}
        self._tables: dict[str, _Split] = {}
        self._lock = threading.Lock()
        found = [c for c in composites or COMPOSITES if self._has(c, must=bool(composites))]
        if not found:
            raise ConfigError(
                f"{shards.where('')}: no source has bands of {', '.join(COMPOSITES)}: there is nothing to see"
            )
        self.composites: tuple[str, ...] = tuple(found)

    @property
    def synthetic(self) -> str:
        """What must be said of them where nobody observed what they show; empty where somebody did."""
        return synthetic.about(self._index.counts.get("catalogs", {}))

    def _has(self, composite: str, *, must: bool) -> bool:
        """Whether some source has the bands. Raises where it must and has not."""
        try:
            Clip(ViewWish(bands=(composite,))).channels(self._index)
        except ConfigError:
            if must:
                raise
            return False
        return True

    def png(self, patch: DrawnPatch, composite: str) -> bytes | None:
        """A picture of a patch; None where it has no such image. Black is no data.

        Raises:
            DamageError: what is stored is not what the index says.
        """
        with self._lock:
            rendering = self._rendering(composite, patch.season)
            split = self._tables.setdefault(patch.split, _Split(self._shards, self._index, patch.split))
        if rendering is None:
            return None
        row = split.numbers.get(patch.key)
        if row is None:
            raise DamageError(f"{self._shards.where('')}: has no sample {patch.key}, which was drawn; pack again")
        pixels: dict[str, NDArray[np.generic]] = {}
        entries = {name: self._index.arrays[name] for name in rendering.arrays}
        for name, entry in entries.items():
            at = split.row(row, limits.member_of(name, entry, rendering.season))
            if at is None:
                return None
            pixels[name] = limits.read_member(self._shards, split.entry, split.members, at, entry.encoding)
        values, valid = rendering.values(pixels, entries)
        return encoded(rgb(ViewImage(rendering.unit(values, valid), valid)), "png")

    def _rendering(self, composite: str, season: str) -> Rendering | None:
        """How a composite is drawn in a season, limits measured once; None where no source has it then."""
        asked = composite, self._season if season == STATIC else season
        if asked not in self._renderings:
            self._renderings[asked] = self._made(*asked)
        return self._renderings[asked]

    def _made(self, composite: str, season: str) -> Rendering | None:
        view = Clip(ViewWish(bands=(composite,), season=season or None))
        _, channels = view.channels(self._index)
        seasons = self._index.arrays[channels[0].array].seasons
        if season and seasons and season not in seasons:
            return None
        if not seasons:
            view = Clip(ViewWish(bands=(composite,)))
        return view.rendering(self._index, self._shards)


class _Split:
    """Where the members of a split's samples lie; read when first asked for."""

    def __init__(self, shards: Store, index: Index, split: str) -> None:
        self.entry = index.splits[split]
        self._shards, self._index, self._split = shards, index, split

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Id of a sample → its row."""
        from curation.pack.export.of_shards import samples_table

        ids = samples_table(self._shards, self.entry).column("id").to_pylist()
        return {key: row for row, key in enumerate(ids)}

    @cached_property
    def members(self) -> MemberTable:
        its = self.entry.members.name
        return read_members(self._shards.get(its), self._shards.where(its), self._index, self._split)

    def row(self, sample: int, member: str) -> int | None:
        """The row of the member table that is of a sample's member; None where it has none such."""
        number = self._index.members.index(member)
        first, last = np.searchsorted(self.members.sample, [sample, sample + 1])
        found = np.flatnonzero(self.members.member[first:last] == number)
        return int(first + found[0]) if len(found) else None
