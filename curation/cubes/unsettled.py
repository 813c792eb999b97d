"""What is left to do of one cube: of the patches asked for, those that its ledger does not settle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from curation.cubes.cube import Cube
from curation.model import Location
from curation.outcomes import PENDING, SETTLED
from curation.store.ledger import Ledger


@dataclass(frozen=True)
class Unsettled:
    """A cube, its ledger, and how many of its patches are asked for."""

    cube: Cube
    ledger: Ledger
    limit: int | None = None
    """Only the first so many patches; all where None."""

    @property
    def asked(self) -> int:
        """How many patches are asked for."""
        n = len(self.cube.locations)
        return n if self.limit is None else min(self.limit, n)

    @cached_property
    def slabs(self) -> list[int]:
        """The slabs with patches to build, in order, as of now."""
        return [n for n in range(-(-self.asked // self.cube.slab_patches)) if self.count(n)]

    @property
    def patches(self) -> int:
        """Patches to build."""
        return sum(map(self.count, self.slabs))

    def count(self, slab: int) -> int:
        """Patches of a slab to build."""
        settled = self.ledger.settled(slab)
        if settled == self.cube.patches_of(slab):
            return 0
        return len(self.places(slab)) if settled or slab in self.ledger.outgrown else self._asked_of(slab)

    def places(self, slab: int) -> Sequence[Location]:
        """The locations of a slab whose patches are to be built; of one that lacks sources also all that stand."""
        asked = self.cube.slab(slab)[: self._asked_of(slab)]
        if slab in self.ledger.outgrown:  # its line is written once for all of them
            stand = {o.id for o in self.ledger.before[slab].patches}
            return [p for n, p in enumerate(self.cube.slab(slab)) if n < len(asked) or p.id in stand]
        if not self.ledger.settled(slab):
            return asked
        settled = {o.id for o in self.ledger.slabs[slab].patches if o.status in SETTLED}
        return [p for p in asked if p.id not in settled]

    def counts(self) -> Counter[str]:
        """Reason → patches of those asked for, `pending` ones included."""
        cut = self.asked < len(self.cube.locations)
        whole = self.asked // self.cube.slab_patches if cut else self.cube.slabs
        found = self.ledger.counts(range(whole))
        if cut and whole in self.ledger.lines:  # of this slab only the first patches are asked for
            asked = {p.id for p in self.cube.slab(whole)[: self._asked_of(whole)]}
            found.update(o.label for o in self.ledger.slabs[whole].patches if o.id in asked)
        return found + Counter({PENDING: self.asked - found.total()})

    def _asked_of(self, slab: int) -> int:
        return min(self.cube.patches_of(slab), self.asked - slab * self.cube.slab_patches)
