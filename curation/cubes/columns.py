"""What was measured of a cube's patches as coordinates that any reader of Zarr has by name: columns of many slabs.

They follow from the slabs' rows (`rows`) and from the ledger, are written once all that a build asks of a cube is recorded,
and are recorded themselves. More may have been recorded since: they are stale then, until the next build ends, and say less
than is there. They never say what is not so: what is settled stays, and where a cube is given more sources, by which it may
come to something else, they go first. Nothing here reads them: they are for others.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from curation.cubes.chunks import encode_chunk
from curation.cubes.cube import Cube
from curation.cubes.facts import outcome_facts
from curation.errors import DamageError
from curation.recipe.facts import DTYPE
from curation.store.ledger import Ledger
from curation.store.objects import AT_ONCE, Store
from curation.store.records import SlabRecord


def stale(cube: Cube, ledger: Ledger) -> list[int]:
    """Blocks of slabs of which something was recorded since their columns were, or of which there are no columns.

    Slabs that lack sources are not in columns: their patches are pending, and may come to something else.
    """
    newest: dict[int, int] = {}
    for slab, line in ledger.lines.items():
        block = slab // cube.column_slabs
        newest[block] = max(newest.get(block, 0), line.segment)
    return sorted(b for b, segment in newest.items() if b not in ledger.columns or ledger.columns[b].segment < segment)


def publish(cube: Cube, store: Store, ledger: Ledger) -> str:
    """Writes and records the columns of all blocks that are stale; gives why some could not be made, or empty text.

    A block of which a slab is damaged has those that it had. Where this process has recorded nothing of the cube, it does so
    only where nothing is left to be built of it: else somebody elsewhere may be at work, who would be fenced.

    Safe to stop and to repeat: the bytes follow from what is recorded.
    """
    blocks, wrong = stale(cube, ledger), []
    if blocks and not ledger.is_held:
        if not _is_left(cube, ledger):
            return ""
        ledger.acquire(ledger.binding)
    for block in blocks:
        try:
            objects = _objects(cube, store, ledger, block)
        except DamageError as err:
            wrong.append(str(err))
        else:
            ledger.record_columns(block, store.publish_all(objects))
    return wrong[0] if wrong else ""


def _is_left(cube: Cube, ledger: Ledger) -> bool:
    """Whether a build that recorded all of a cube ended before it made columns, so that whoever comes by may."""
    is_built = all(ledger.settled(slab) == cube.patches_of(slab) for slab in range(cube.slabs))
    return is_built and not (ledger.writer is not None and ledger.writer.alive())


def _objects(cube: Cube, store: Store, ledger: Ledger, block: int) -> dict[str, bytes]:
    """Key → bytes of a block's columns.

    Raises:
        DamageError: the rows of a slab are not what was recorded of them.
    """
    patches = cube.column_slabs * cube.slab_patches
    columns = {f.name: f.column([], patches) for f in cube.facts}
    numbers = range(block * cube.column_slabs, (block + 1) * cube.column_slabs)
    every = [ledger.slabs[slab] for slab in numbers if slab in ledger.lines]
    with ThreadPoolExecutor(AT_ONCE) as pool:  # each read is a request; what is read ahead is small, unlike rows
        stored = [pool.submit(store.get, cube.facts_key(r.slab)) if r.objects else None for r in every]
        for record, its in zip(every, stored, strict=True):
            rows = _rows(cube, store, record, its)
            first = (record.slab - block * cube.column_slabs) * cube.slab_patches
            for fact in cube.facts:
                column = fact.column([row.get(fact.name) for row in rows], len(rows))
                columns[fact.name][first : first + len(rows)] = column
    return {
        cube.column_key(f, block): encode_chunk(columns[f.name], columns[f.name].shape, DTYPE[f.type])
        for f in cube.facts
    }


def _rows(cube: Cube, store: Store, record: SlabRecord, stored: Future[bytes] | None) -> Sequence[dict[str, Any]]:
    """Fact → value of each patch of a slab: what its ledger line tells, and beside that its proven row."""
    ids = cube.slab_ids(record.slab)
    rows = cube.proven_facts(store, record, ids, lambda _: stored.result()) if stored else [{} for _ in ids]
    outcomes = {o.id: outcome_facts(o) for o in record.patches}
    return [row | outcomes.get(name, {}) for name, row in zip(ids, rows, strict=True)]
