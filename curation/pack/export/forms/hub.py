"""What a hub of datasets wants of a release, laid out in a folder or bucket: shards byte for byte, cards, checksums.

```
README.md                       the page: YAML that the hub reads, and words for people
croissant.json, datacite.json, stac/…, pictures/…
data/index.json, data/train/… the folder of shards: `open_shards` opens it, and so does any reader of WebDataset
SHA256SUMS                      of all of these: `sha256sum --check SHA256SUMS`
```

Nothing is uploaded to a hub: whoever has looked at the folder does that, with the hub's own program.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from curation.errors import DamageError
from curation.format.index import INDEX, Index
from curation.pack.card import card
from curation.pack.card.facts import CardFacts
from curation.pack.export.of_shards import ShardPiece
from curation.pack.export.pieces import ExportScope, Form
from curation.store import paths
from curation.store.objects import Store


@dataclass(frozen=True, slots=True)
class HubFiles:
    """What is written once all shards are there."""

    facts: CardFacts
    files: Mapping[str, bytes]
    """Key → bytes of all but the shards and the checksums."""


@dataclass(frozen=True, slots=True)
class Hub(Form):
    """Shards as they are, in the folder `data`."""

    name: ClassVar[str] = "hub"
    of_shards: ClassVar[bool] = True
    noun: ClassVar[str] = "sample"

    def files(self, piece: ShardPiece) -> Iterator[tuple[str, bytes]]:
        """The shard."""
        yield paths.hub_data(piece.entry.name), piece.data()

    def expected(self, piece: ShardPiece) -> tuple[int, int]:
        """One file, of the shard's bytes."""
        return 1, piece.entry.size

    def prepared(self, asked: ExportScope, store: Store, to: Store) -> ExportScope:
        """With all that is small beside it, read now and hashed.

        Raises:
            DamageError: the index, a table or a picture is not what was written.
        """
        facts = card.release_facts(asked.dataset, store)
        tables = _shards_own(store.child(paths.SHARDS), facts.index)
        pictures = _pictures(store, facts)
        cards = card.files(facts, paths.HUB_DATA, pictures)
        return replace(asked, beside=HubFiles(facts, {**tables, **cards, **pictures}))

    def last_count(self, asked: ExportScope) -> int:
        """Index, tables, cards and checksums."""
        return len(asked.beside.files) + 1

    def last(self, asked: ExportScope, written: Sequence[Sequence[str]]) -> Mapping[str, bytes]:
        """Index, tables, cards and checksums."""
        beside: HubFiles = asked.beside
        sums = checksums(beside)
        lines = "".join(f"{sha256}  {key}\n" for key, sha256 in sorted(sums.items()))
        return {**beside.files, paths.CHECKSUMS: lines.encode()}


def checksums(beside: HubFiles) -> dict[str, str]:
    """Key → sha256 of every file that is laid out."""
    own = {key: hashlib.sha256(data).hexdigest() for key, data in beside.files.items()}
    return {paths.hub_data(s.entry.name): s.entry.sha256 for s in beside.facts.shards} | own


def _shards_own(shards: Store, index: Index) -> dict[str, bytes]:
    """The index and its tables, each checked against it."""
    out = {paths.hub_data(INDEX): shards.get(INDEX)}
    for entry in (e for split in index.splits.values() for e in (split.members, split.samples_table)):
        out[paths.hub_data(entry.name)] = data = shards.get(entry.name)
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise DamageError(f"{shards.where(entry.name)}: is not what the index says; pack again")
    return out


def _pictures(store: Store, facts: CardFacts) -> dict[str, bytes]:
    """The pictures of the cards that stand, where these are of this release."""
    record = card.record_of(store)
    if record is None or record.index_sha256 != facts.index_sha256:
        return {}
    out = {}
    for key in record.pictures:
        try:
            out[key] = data = store.get(paths.card(key))
        except FileNotFoundError:
            raise DamageError(
                f"{store.where(paths.card(key))}: is recorded but not there; `curate card` draws it anew"
            ) from None
        if hashlib.sha256(data).hexdigest() != record.files[key]:
            raise DamageError(f"{store.where(paths.card(key))}: is not what was written; `curate card` writes it anew")
    return out


def cleared(to: Store, beside: HubFiles) -> list[str]:
    """Removes what an earlier release left in folders of ours; gives its keys."""
    known = checksums(beside)
    strays = [s.key for s in to.list() if paths.is_of_release(s.key) and s.key not in known]
    for key in strays:
        to.delete(key)
    return strays


def faults(to: Store, beside: HubFiles) -> list[str]:
    """What is wrong with what is laid out, a line each: of shards their size, of all else every byte."""
    there = {s.key: s for s in to.list()}
    sizes = {paths.hub_data(s.entry.name): s.entry.size for s in beside.facts.shards}
    out = []
    for key, sha256 in sorted(checksums(beside).items()):
        if key not in there:
            out.append(f"{to.where(key)}: is not there")
        elif key in sizes and there[key].size != sizes[key]:
            out.append(f"{to.where(key)}: has {there[key].size} bytes, expected {sizes[key]}")
        elif key not in sizes and hashlib.sha256(to.get(key)).hexdigest() != sha256:
            out.append(f"{to.where(key)}: is not what was written")
    return out
