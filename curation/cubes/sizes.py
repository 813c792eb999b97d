"""Whether a cube's objects are there, as its store lists them: what a build asks before it goes on; reads no byte.

Up to `LISTED` objects are looked at. Of a larger cube that is a part of its slabs, another one each time: a folder, an array
or a share of slabs that is lost is found, a single object of a slab perhaps not. What is read is checked by its hash in any
case, and all of it by `curate verify`.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Collection, Iterable, Iterator, Sequence

import numpy as np

from curation.cubes.cube import FACTS, Cube
from curation.errors import DamageError
from curation.store import paths
from curation.store.ledger import Ledger
from curation.store.objects import Store
from curation.store.records import StoredObject, again, size_mark
from curation.store.stat import Stat

log = logging.getLogger(__name__)

LISTED = 100_000
"""Objects that are listed, at most, or about: a hundred requests."""


def check_sizes(store: Store, ledger: Ledger, cube: Cube) -> None:
    """Passes where the objects of the cube that are looked at are there with the size recorded of them.

    Slabs with patches yet to be settled are left out: a build that was stopped may have written them since, and each
    committed chunk of theirs is checked by its hash when they are built. Columns of facts that are missing are forgotten:
    the build makes them again.

    Raises:
        DamageError: an object is missing, or has another size.
    """
    whole = {n: r.marks for n, r in ledger.lines.items() if r.settled == cube.patches_of(n)}  # not those outgrown
    own = _own(ledger)
    count = len(own) + sum(map(len, whole.values())) // MARK_BYTES
    if not count:
        return
    if count > LISTED:
        digits, chosen = _drawn(whole, count)
        stats = _part(store, cube, digits, [o.key for o in own])
        log.info("build: %s: looked whether %d of its %d slabs are there", cube.name, len(chosen), len(whole))
        whole = {n: whole[n] for n in chosen}
    else:
        stats = store.list(cube.prefix)
    stored = _Marks(stats)
    if not stored.have([*(size_mark(o.key, o.size) for o in own), *whole.values()]):
        _tell_missing(store, ledger, cube)
    lost = [b for b, its in ledger.columns.items() if not stored.have(size_mark(o.key, o.size) for o in its.objects)]
    for block in lost:
        del ledger.columns[block]


MARK_BYTES = len(size_mark("", 0))


class _Marks:
    """`size_mark` of all that a store lists."""

    def __init__(self, stats: Iterable[Stat]) -> None:
        self._all = np.frombuffer(b"".join(size_mark(s.key, s.size) for s in stats), "u8")

    def have(self, marks: Iterable[bytes]) -> bool:
        """Whether all of them are there."""
        return bool(np.isin(np.frombuffer(b"".join(marks), "u8"), self._all).all())


def _own(ledger: Ledger) -> Collection[StoredObject]:
    """The cube's own objects; none where they may be those of before, or what comes instead."""
    return () if ledger.is_growing else ledger.cube_objects


def _part(store: Store, cube: Cube, digits: str, own: Sequence[str]) -> Iterator[Stat]:
    """Slabs whose numbers begin alike: keys of these stand together, so that a store lists them alone; and what is few.

    That is the cube's own objects, whose keys are `own`, and all columns: some thousands of a million patches.
    """
    for name in (*cube.arrays, FACTS):
        yield from store.list_beginning(paths.chunks(cube.prefix, name), digits)
    for fact in cube.facts:
        yield from store.list(paths.chunks(cube.prefix, fact.name))
    yield from (stat for stat in store.heads(own) if stat is not None)


def _drawn(slabs: Collection[int], count: int) -> tuple[str, list[int]]:
    """First digits of a slab drawn from all, and the slabs that share them: as many as have `LISTED` objects, or less."""
    number = str(random.choice(list(slabs)))
    chosen = list(slabs)
    for length in range(1, len(number) + 1):
        chosen = [n for n in chosen if str(n).startswith(number[:length])]
        if len(chosen) * count <= LISTED * len(slabs):
            break
    return number[:length], chosen


def _tell_missing(store: Store, ledger: Ledger, cube: Cube) -> None:
    """Raises DamageError where objects are missing, by a list of all: not every store lists a part in order of key."""
    sizes = {s.key: s.size for s in store.list(cube.prefix)}
    objects = list(_own(ledger))
    for number, record in ledger.slabs.items():
        if record.settled == cube.patches_of(number):
            objects += record.objects
    wrong = [o for o in objects if sizes.get(o.key) != o.size]
    if not wrong:
        return
    first, size = wrong[0], sizes.get(wrong[0].key)
    found = "is recorded but not there" if size is None else f"has {size} bytes, recorded were {first.size}"
    raise DamageError(f"{store.where(first.key)}: {found} (the first of {len(wrong)} such objects): {again(first.key)}")
