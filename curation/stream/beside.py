"""What a sample carries beside pixels, into a batch: annotations, domain columns, the target, and where arrays begin."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from curation.errors import DamageError
from curation.format.annotations import AnnotationEntry, decoded
from curation.format.index import Index
from curation.format.names import LABEL, META, split_member
from curation.format.target import UNKNOWN, TargetEntry
from curation.stream.batch import Batch
from curation.stream.layout import Layout
from curation.stream.meta import SampleFacts


class Beside:
    """Fills a sample's annotations, columns and offsets. Many threads may use one."""

    def __init__(self, index: Index, layout: Layout, where: str) -> None:
        self._layout = layout
        self._where = where
        wanted = {n: index.annotations[n] for n in layout.selection.annotations}
        self.members: dict[int, tuple[str, AnnotationEntry]] = {
            i: (name, wanted[name])
            for i, m in enumerate(index.members)
            if m != META and (name := split_member(m).array) in wanted
        }
        """Position of its member → each annotation that is read."""
        self._columns = {name: index.columns[name].kind for name in layout.selection.columns}
        self._target = index.target
        self._classes = index.target.numbers if index.target else {}
        self._placed = [place for place in layout.arrays if place.entry.has_offsets]

    def fill(self, key: str, facts: SampleFacts, payloads: Mapping[int, memoryview], batch: Batch, number: int) -> None:
        """Writes those entries of one sample.

        Args:
            key: of the sample.
            facts: what its `meta.json` says.
            payloads: by position in the index's members; an annotation that is not there is one that the sample lacks.
            batch: to write to.
            number: of the sample in the batch.

        Raises:
            DamageError: a member or what `meta.json` says is not what the index says of it.
        """
        for member, (name, entry) in self.members.items():
            self._annotation(f"{self._where}: sample {key}, {name}", name, entry, payloads.get(member), batch, number)
        for name, kind in self._columns.items():
            value = facts.columns.get(name)
            if value is not None and isinstance(value, str) != (kind == "text"):
                raise DamageError(
                    f"{self._where}: sample {key}: column {name!r} of its meta.json is no {kind}: pack it again"
                )
            if kind == "text":
                batch.values[name][number] = value or ""
            else:
                batch.facts[name][number] = np.nan if value is None else value
        if self._target is not None:
            self._label(key, self._target, facts.columns.get(self._target.column), batch, number)
        for place in self._placed:
            owners = facts.children if place.entry.of_children else (facts,)
            offsets = [owner.offsets_m.get(place.name) for owner in owners]
            if None in offsets:
                raise DamageError(
                    f"{self._where}: sample {key}: its meta.json has no offset of {place.name}: pack it again"
                )
            room = batch.facts[f"{place.name}_offset_m"]
            room[number] = np.nan
            if offsets:  # a sample may have no child
                room.reshape(len(room), -1, 2)[number, : len(offsets)] = offsets

    def _label(self, key: str, target: TargetEntry, value: str | float | None, batch: Batch, number: int) -> None:
        """Of a class its number, `UNKNOWN` where it is not known; of a number itself, NaN where it is not."""
        ok = value is not None
        its: float
        if target.classes is None:
            fits, its = not isinstance(value, str), np.nan if value is None or isinstance(value, str) else value
        elif value is None:
            fits, its = True, UNKNOWN
        else:
            fits, its = value in self._classes, self._classes.get(value, UNKNOWN)
        if not fits:
            raise DamageError(
                f"{self._where}: sample {key}: {target.column!r} of its meta.json is {reprlib.repr(value)}, none that the "
                "index says of the target: pack it again"
            )
        batch.facts[LABEL][number] = its
        batch.facts[f"{LABEL}_ok"][number] = ok

    def _annotation(
        self, where: str, name: str, entry: AnnotationEntry, data: memoryview | None, batch: Batch, number: int
    ) -> None:
        value: Any = None if data is None else decoded(entry, data, where)
        count = 0 if data is None or not entry.ragged else len(value)
        batch.facts[f"{name}_ok"][number] = np.arange(entry.shape[0]) < count if entry.ragged else data is not None
        if name in batch.values:
            batch.values[name][number] = self._layout.values[name] if data is None else value
            return
        room = batch.facts[name]
        room[number] = np.nan
        if entry.ragged:
            room[number, :count] = np.nan if data is None else value
        elif data is not None:
            room[number] = value
