"""Cubes, proven from their bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from curation.cubes import columns, zarrshard
from curation.cubes.chunks import chunk_hash
from curation.cubes.cube import Cube
from curation.errors import DamageError
from curation.errors.words import counted
from curation.outcomes import SETTLED, Status
from curation.places import regions
from curation.store import paths
from curation.store.ledger import Ledger
from curation.store.objects import Store
from curation.store.records import SlabRecord
from curation.verify.found import Verified, check_object, got, is_that, other
from curation.work.progress import Counting


@dataclass(slots=True)
class CubeCheck:
    """One cube while it is verified."""

    cube: Cube
    ledger: Ledger
    ids: list[str] | None = None
    """Of its locations, in order; None where they cannot be read."""
    left: int = 0
    """Objects that a stopped build left, which are not recorded yet."""

    def slab_ids(self, slab: int) -> list[str]:
        """Ids of a slab's locations, in order of slot."""
        first = slab * self.cube.slab_patches
        return (self.ids or [])[first : first + self.cube.slab_patches]

    def open(self, slab: int) -> bool:
        """Whether a build will write the slab (again): it is one of the cube's, and some patch of it is not settled."""
        return self.ledger.settled(slab) < len(self.slab_ids(slab))

    def goes_on_with(self, key: str) -> bool:
        """Whether a build will write an object that nobody recorded.

        It does where the object belongs to a slab that is open, or to a cube whose creation was not recorded.
        """
        if not self.ledger.cube_objects or self.ledger.is_growing:
            return True
        its = paths.slab_of(self.cube.prefix, key)
        if its is None or not self.open(its[1]):
            return False
        name, number = its
        of_array = name in self.cube.arrays and key == self.cube.array_key(name, number)
        return of_array or key == self.cube.facts_key(number)

    def unfinished(self) -> str:
        """What is unfinished, and what goes on with it."""
        name, season = self.cube.region, self.cube.season
        what = f"`curate --region {name} --season {season}`" if name in regions.named() else f"`--season {season}`"
        if self.ledger.is_growing:
            return (
                f"cube {self.cube.name} is being given more locations or sources, so nothing of it was looked at: a build "
                f"was stopped. The same command goes on with that ({what}, with the flags as before)"
            )
        return (
            f"{counted(self.left, 'object')} of cube {self.cube.name} not recorded: a build was stopped. The same command "
            f"goes on with that ({what}, with the flags as before)"
        )


def check_cube(store: Store, its: CubeCheck, found: Verified) -> set[str]:
    """Checks one cube; gives the keys its ledger records."""
    ledger, cube = its.ledger, its.cube
    records = [*ledger.slabs.values(), *ledger.before.values()]
    ledger_keys = {o.key for block in ledger.columns.values() for o in block.objects}
    if ledger.is_growing:  # which places its slabs hold, its own objects may not say now
        its.left = len(ledger.cube_objects)
        return ledger_keys | {o.key for o in ledger.cube_objects} | {o.key for r in records for o in r.objects}
    for item in ledger.cube_objects:
        ledger_keys.add(item.key)
        check_object(store, item, found)
    if not ledger.cube_objects:
        return ledger_keys  # begun, and stopped before its creation was recorded
    try:
        its.ids = cube.read_ids(store)
    except DamageError as err:
        found.faults.append(str(err))
        return ledger_keys | {o.key for r in records for o in r.objects}
    with Counting(f"verify {cube.name}", len(records), "slab", "read") as count:
        for record in sorted(records, key=lambda r: r.slab):
            before = found.size
            ledger_keys |= {o.key for o in record.objects}
            _slab(store, its, record, found)
            count.step(1, found.size - before)
    return ledger_keys | _columns(store, its, found)


def _columns(store: Store, its: CubeCheck, found: Verified) -> set[str]:
    """Checks columns of facts; gives the keys of those that the next build writes, since more is recorded than they are of.

    What a build that was stopped left of these is no fault: they follow from slabs, which are proven by themselves.
    """
    cube, ledger = its.cube, its.ledger
    stale = columns.stale(cube, ledger)
    for block, written in ledger.columns.items():
        for item in written.objects if block not in stale else ():
            if check_object(store, item, found) is None:
                found.faults[-1] += ". It follows from what is proven: delete it, and the next build makes it again"
    its.left += len(stale) * len(cube.facts)
    return {cube.column_key(fact, block) for fact in cube.facts for block in stale}


def _slab(store: Store, its: CubeCheck, record: SlabRecord, found: Verified) -> None:
    """Checks a slab's objects, and each chunk and row of facts in them.

    A build that was stopped may have written an open slab once more. That is no fault where the chunks and facts of the
    patches that are settled are those recorded: the next build keeps these, and makes the rest again. Of a slab that lacks
    sources none is settled: the next build keeps what it can prove.
    """
    cube, is_open = its.cube.of_record(record), its.open(record.slab)
    lacks = record.slab in its.ledger.outgrown
    slots = {name: slot for slot, name in enumerate(its.slab_ids(record.slab))}
    names = {cube.array_key(n, record.slab) for n in cube.arrays} | {cube.facts_key(record.slab)}
    objects: dict[str, bytes | None] = {}
    rewritten: set[str] = set()
    for item in record.objects:
        data = got(store, item, found)
        if data is not None and not is_that(data, item):
            if is_open and item.key in names:
                rewritten.add(item.key)
            else:
                found.faults.append(other(store, item, data))
                data = None
        objects[item.key] = data
    wrong = set() if lacks and rewritten else _unproven(store, its, record, objects, found)
    for name, (spec, _) in cube.arrays.items():
        key = cube.array_key(name, record.slab)
        expected = {
            slot: (o, its)
            for o in record.patches
            if name in o.chunks
            for slot, its in cube.hashes_by_place(name, slots[o.id], o.chunks[name]).items()
        }
        lacking = [o.id for o in record.patches if o.has(spec.name) and name not in o.chunks]
        for patch in lacking:
            wrong.add(patch)
            found.faults.append(f"{store.where(key)}: {patch} is ok, but no chunk of {name} is recorded of it")
        if key not in objects:
            held = dict.fromkeys(o.id for o, _ in expected.values())
            wrong |= held.keys()
            found.faults += [f"{store.where(key)}: no object is recorded for {patch}" for patch in held]
            continue
        data = objects[key]
        if data is None:
            wrong |= {o.id for o, _ in expected.values()}
            continue  # named already
        try:
            chunks = zarrshard.parse(data, cube.slab_chunks(name), store.where(key))
        except DamageError as err:
            found.faults.append(str(err))
            wrong |= {o.id for o, _ in expected.values()}
            continue
        for slot in sorted(set(chunks) | set(expected)):
            if slot not in expected:
                if key not in rewritten:
                    found.faults.append(f"{store.where(key)}: slot {slot} holds pixels that nobody recorded")
                continue
            outcome, its_hash = expected[slot]
            if slot not in chunks or chunk_hash(chunks[slot]) != its_hash:
                if key in rewritten and (lacks or outcome.status not in SETTLED):
                    continue
                wrong.add(outcome.id)
                found.faults.append(f"{store.where(key)}: slot {slot} is not the chunk recorded of {outcome.id}")
    its.left += len(rewritten)
    found.patches += sum(o.status is Status.OK and o.id not in wrong for o in record.patches)


def _unproven(
    store: Store, its: CubeCheck, record: SlabRecord, objects: Mapping[str, bytes | None], found: Verified
) -> set[str]:
    """Ids of a slab's settled patches whose facts are not those recorded, or cannot be read; which is a fault."""
    cube, settled = its.cube.of_record(record), {o.id for o in record.patches if o.status in SETTLED}
    key = cube.facts_key(record.slab)
    if not settled:
        return set()
    if key not in objects:
        found.faults.append(f"{store.where(key)}: holds facts, but no object is recorded")
        return settled
    data = objects[key]
    if data is None:
        return settled  # named already
    ids = its.slab_ids(record.slab)
    try:
        rows = cube.read_facts(store, record.slab, len(ids), {key: data}.__getitem__)
    except DamageError as err:
        found.faults.append(str(err))
        return settled
    hashes = dict(zip(ids, cube.row_hashes(rows), strict=True))
    wrong = {o.id for o in record.patches if o.id in settled and hashes[o.id] != o.facts}
    found.faults += [f"{store.where(key)}: the facts of {name} are not those recorded of it" for name in sorted(wrong)]
    return wrong
