"""What building a few patches takes, measured: by it more of them are reckoned."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from curation.build.context import SlabJob
from curation.build.slab import SlabReceipt, build_slab, candidates_of
from curation.read import ranges

OTHER = "other files"
"""What is read that no scene names: what lies beside its files."""


@dataclass(slots=True)
class Cost:
    """What some patches of a cube took."""

    patches: int = 0
    seconds: float = 0.0
    """Of one thread, waiting included."""
    stored_bytes: int = 0
    requests: Counter[str] = field(default_factory=Counter)
    """Source → ranges asked for."""
    read_bytes: Counter[str] = field(default_factory=Counter)
    """Source → bytes of these."""


def build_counted(job: SlabJob, into: Cost) -> SlabReceipt:
    """Builds a slab as `build_slab` does, in a process that builds nothing else meanwhile, and adds up what it took."""
    with ranges.tallied() as tally:
        receipt = build_slab(job)
    scenes = {source: [s for its in by.values() for s in its.scenes] for source, by in candidates_of(job).items()}
    source_of = {href: source for source, its in scenes.items() for s in its for href in s.hrefs.values()}
    into.patches += len(job.todo)
    into.seconds += receipt.seconds
    into.stored_bytes += sum(o.size for o in receipt.record.objects)
    for name, n in tally.requests.items():
        into.requests[source_of.get(name, OTHER)] += n
        into.read_bytes[source_of.get(name, OTHER)] += tally.bytes[name]
    return receipt
