"""In which state the files of a foreign dataset were when samples were built of them, so that a change of any is seen.

A rerun reads a few hundred chips, and not all: of the others it looks at size and time of their files. What has another
state may still hold the same (a copy), and is read then.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from curation.build import chiplook
from curation.build.chiplook import ForeignLook, ForeignSet
from curation.build.chipscan import Progress
from curation.errors import DamageError
from curation.outcomes import PatchOutcome, Status
from curation.read import archive
from curation.recipe.chips import BAND
from curation.recipe.dataset import Dataset
from curation.store import paths
from curation.store.objects import Store

Marks = Mapping[tuple[str, str], str]
"""Sample and source → the state of its files; of a container's member that of the container."""

_SCHEMA = pa.schema([("id", pa.string()), ("source", pa.string()), ("state", pa.string())])


def marks(its: ForeignSet) -> Marks:
    """The state of the files of each chip, as they are now."""
    base, state = archive.base_of(its.source), functools.cache(_state)
    return {
        (sample.id, source): " ".join(state(base / archive.split(a)[0]) for a in _files(its, source, address))
        for sample in its.scan.samples
        for source, address in sample.addresses.items()
    }


def _files(its: ForeignSet, source: str, address: str) -> list[str]:
    """Addresses of a chip, one for each of its bands where these have a file of their own."""
    bands = [b for array in its.foreign.sources[source].arrays for b in array.file_bands]
    return list(dict.fromkeys(address.replace(BAND, b) for b in bands)) if BAND in address else [address]


def _state(path: Path) -> str:
    try:
        found = path.stat()
    except OSError:
        return "none"
    return f"{found.st_size}:{found.st_mtime_ns}"


def last_marks(store: Store) -> Marks:
    """What the last import recorded; nothing where there was none. Raises DamageError where it is no such table."""
    if store.head(paths.CHIPS) is None:
        return {}
    try:
        table = pq.read_table(io.BytesIO(store.get(paths.CHIPS)))
        ids, sources, states = (table[name].to_pylist() for name in ("id", "source", "state"))
    except (pa.ArrowException, OSError, KeyError) as err:
        raise DamageError(
            f"{store.where(paths.CHIPS)}: no table of files ({err}), which an import makes: delete it"
        ) from err
    return dict(zip(zip(ids, sources, strict=True), states, strict=True))


def record(store: Store, found: Marks) -> None:
    """Records them, where others stand there."""
    rows = [{"id": sample, "source": source, "state": found[sample, source]} for sample, source in sorted(found)]
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, _SCHEMA), out, compression="zstd")
    if store.head(paths.CHIPS) is None or store.get(paths.CHIPS) != out.getvalue():
        store.publish(paths.CHIPS, out.getvalue())


def changed_chips(
    dataset: Dataset,
    its: ForeignSet,
    look: ForeignLook,
    standing: Sequence[PatchOutcome],
    store: Store,
    progress: Progress,
) -> list[tuple[str, str]]:
    """As `chiplook.changed`, of chips that were looked at, and of all whose files are not in the state of the last import.

    These are read for it. Once nothing has changed, the state of all is recorded.
    """
    before, now = last_marks(store), marks(its)
    odd = set(doubtful(standing, before, now))
    refused = {(o.id, n) for o in standing for n, of in o.sources.items() if of.status is Status.REJECTED}
    chips = {k: of for k, of in look.chips.items() if k in odd or (of.status is Status.OK and k not in refused)}
    if names := {sample for sample, _ in odd - set(chips)}:
        chips |= chiplook.again(dataset, its, names, store, progress)
    found = list(chiplook.changed(chips, standing))
    if not found:
        unread = odd - set(chips)  # which stay doubtful
        record(store, {**now, **{key: before.get(key, "") for key in unread}})
    return found


def doubtful(outcomes: Sequence[PatchOutcome], before: Marks, now: Marks) -> Iterator[tuple[str, str]]:
    """Samples and sources that were settled by files which are in another state now, or of which no state is known."""
    for outcome in outcomes:
        for source, was in outcome.sources.items():
            key = (outcome.id, source)
            if key in now and was.status in (Status.OK, Status.REJECTED) and before.get(key) != now[key]:
                yield key
