"""Chunks of a slab's Zarr shard as they are stored, each proven by the ledger's hash of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from curation.cubes import zarrshard
from curation.cubes.chunks import chunk_hash
from curation.errors import DamageError
from curation.store.objects import Store
from curation.store.records import again
from curation.store.stat import Stat

RUN_BYTES = 16 * 2**20
"""Chunks that stand one after the other are read together, so many bytes at a time, at most: each read is a request."""


def stored_chunks(store: Store, key: str, wanted: Mapping[int, str], slots: int) -> Iterator[bytes]:
    """Chunks of a Zarr shard of so many slots, each checked against the ledger's hash of it; in the order asked for.

    A shard that a build writes again while it is read, with other patches tried, is read again.

    Args:
        store: where the shard is.
        key: its own.
        wanted: place in it → hash.
        slots: how many places it has.

    Raises:
        DamageError: one is not there, or is not what was committed.
    """
    left = dict(wanted)
    while left:
        stat = store.head(key)
        if stat is None:
            raise DamageError(f"{store.where(key)} slot {min(left)}: is recorded but not there: {again(key)}")
        try:
            for slot, chunk in _proven_chunks(store, stat, dict(left), slots):
                del left[slot]
                yield chunk
        except DamageError:
            now = store.head(key)
            if now is None or now.etag == stat.etag:
                raise


def _proven_chunks(store: Store, stat: Stat, wanted: Mapping[int, str], slots: int) -> Iterator[tuple[int, bytes]]:
    """Place and bytes of each chunk of a shard as it stands. Raises as `stored_chunks` does."""
    key, size = stat.key, zarrshard.index_size(slots)
    where = store.where(key)
    try:
        index = zarrshard.parse_index(store.get_range(key, max(stat.size - size, 0), size), slots, where)
    except (DamageError, EOFError) as err:
        raise DamageError(f"{err}: {again(key)}") from err
    if lacking := [slot for slot in wanted if slot not in index]:
        raise DamageError(f"{where} slot {lacking[0]}: the chunk is recorded but not in the Zarr shard: {again(key)}")
    for run in zarrshard.runs({slot: index[slot] for slot in wanted}, RUN_BYTES):
        (first, _), (last, length) = index[run[0]], index[run[-1]]
        try:
            data = store.get_range(key, first, last + length - first)
        except EOFError as err:
            raise DamageError(f"{err}: {again(key)}") from err
        for slot in run:
            at, length = index[slot]
            chunk = data[at - first : at - first + length]
            if (found := chunk_hash(chunk)) != wanted[slot]:
                raise DamageError(
                    f"{where} slot {slot}: chunk has hash {found}, recorded was {wanted[slot]}: {again(key)}"
                )
            yield slot, chunk
