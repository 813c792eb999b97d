"""What an export is made in: slabs of cubes, or shards. One piece is one task, and is recorded when all of it is written."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np

from curation.cubes.chunks import each_hash
from curation.cubes.cube import Cube
from curation.model import Location
from curation.pack.export.patch import ExportPatch, Layer
from curation.recipe import synthetic
from curation.recipe.dataset import Dataset
from curation.recipe.licences import LicenceSpec
from curation.recipe.sources import SourceSpec
from curation.store.objects import Store
from curation.store.records import SlabRecord, encoded


class ExportPiece(Protocol):
    """A part of what is exported, as small values that cross to a worker."""

    @property
    def name(self) -> str:
        """Names it among the others: what its record is called."""

    @property
    def follows_from(self) -> Any:
        """JSON values of all that its files follow from beside the form: hashes, never pixels."""

    @property
    def count(self) -> int:
        """Patches, or samples, of it that are exported."""


class Form(ABC):
    """A form that datasets are exported in. It crosses to workers."""

    name: ClassVar[str]
    """As `--format` has it."""
    of_shards: ClassVar[bool] = False
    """Whether it is made of shards, and not of cubes."""
    noun: ClassVar[str] = "patch"
    """What is counted."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What else somebody may ask of the form, and its files follow from, as JSON has it; of most forms nothing."""
        return {}

    @abstractmethod
    def files(self, piece: Any) -> Iterator[tuple[str, bytes]]:
        """Key and bytes of each file of a piece, one after the other; the same ones each time. Runs on a worker.

        Raises:
            DamageError: what is stored is not what was recorded.
        """

    @abstractmethod
    def expected(self, piece: Any) -> tuple[int, int]:
        """How many files a piece comes to, and the bytes of its pixels before they are packed."""

    def prepared(self, asked: ExportScope, store: Store, to: Store) -> ExportScope:
        """What is asked for, with what the form wants beside it.

        Args:
            asked: what is asked for.
            store: the dataset's folder.
            to: the target.

        Raises:
            ConfigError: it cannot be exported there in this form.
        """
        return asked

    def last(self, asked: ExportScope, written: Sequence[Sequence[str]]) -> Mapping[str, bytes]:
        """Key and bytes of what is written once all pieces are there.

        Args:
            asked: what is asked for.
            written: of each piece the keys of its files, as `files` gave them.
        """
        return {}

    def last_count(self, asked: ExportScope) -> int:
        """How many files `last` gives."""
        return 0


@dataclass(frozen=True, slots=True)
class ExportScope:
    """What is exported, as a form's last files tell of it."""

    dataset: Dataset
    pieces: Sequence[Any]
    """All of them."""
    beside: Any = None
    """What the pieces share, and do not carry: of shards their index."""
    owed: Mapping[str, LicenceSpec] = field(default_factory=dict)
    """The terms of what captions and domains among it tell of, by name."""


@dataclass(frozen=True, slots=True)
class SlabPiece:
    """The patches of a slab that are exported."""

    dataset: Dataset
    """Of the level of the cube."""
    store: Store
    """The dataset's folder."""
    region: str
    season: str
    slab: int
    places: tuple[Location, ...]
    """All of the slab."""
    record: SlabRecord
    """What its ledger says."""
    wanted: tuple[int, ...]
    """Slots of those that are exported: all ok."""
    shards: Mapping[str, str] = field(default_factory=dict)
    """Id of a place → key of the shard that has it as a sample, below the dataset's folder; of forms that tell of them."""
    way: str = ""
    """The path from the target to the dataset's folder, of forms whose files lead there."""
    asked: Mapping[str, str] = field(default_factory=dict)
    """Source → identity of the catalog that its scenes are of, as the cube states."""

    @property
    def cube(self) -> Cube:
        """Its cube, without its locations."""
        return Cube(self.dataset, self.region, self.season)

    @property
    def name(self) -> str:
        """Of the cube, and the slab's number."""
        return f"{self.cube.name}/{self.slab:06d}"

    @property
    def count(self) -> int:
        """Patches that are exported."""
        return len(self.wanted)

    @property
    def follows_from(self) -> Any:
        """The ledger's line of each patch, which has the hashes of its chunks and facts; and where it is."""
        ids = {self.places[slot].id for slot in self.wanted}
        line = encoded(SlabRecord(self.slab, tuple(o for o in self.record.patches if o.id in ids), ()))
        where = [[p.id, p.lon, p.lat, p.epsg, p.x0_m, p.y0_m, p.size_m] for p in self.places if p.id in ids]
        described = [self.dataset.name, self.dataset.recipe.title, {s.name: _described(s) for s in self.cube.sources}]
        made = synthetic.synthetic(self.asked)
        shards = {i: self.shards[i] for i in sorted(ids & self.shards.keys())}
        return [line, where, described, shards, self.way, *([made] if made else [])]

    def patches(self) -> Iterator[ExportPatch]:
        """Each of them, its facts proven.

        Raises:
            DamageError: facts are not what was recorded.
        """
        cube, outcomes = self.cube, {o.id: o for o in self.record.patches}
        rows = cube.proven_facts(self.store, self.record, [p.id for p in self.places])
        for slot in self.wanted:
            place = self.places[slot]
            number = self.slab * cube.slab_patches + slot
            yield ExportPatch(self.store, cube, place, number, outcomes[place.id], rows[slot], self.asked)


def _described(spec: SourceSpec) -> dict[str, Any]:
    """What is told of a source beside its pixels: words, bands, and codes with their colours, which no dump has."""
    codes = [*(spec.legend.codes if spec.legend else ()), *spec.kind.legend]
    dump: dict[str, Any] = spec.model_dump(mode="json", exclude={"catalogs"})
    return dump | {"codes": [[c.code, c.name, c.colour] for c in codes]}


class OfPatches(Form):
    """A form with a file per patch, array and step."""

    suffix: ClassVar[str]

    @abstractmethod
    def file(self, layer: Layer) -> bytes:
        """The file of an array of a patch, at one step where it has a time axis."""

    def files(self, piece: SlabPiece) -> Iterator[tuple[str, bytes]]:
        """`<region>/<season>/<id>-<season>-<array>[-<step>].<suffix>`: a file's name alone says what it is."""
        for patch in piece.patches():
            name, season = f"{patch.cube.name}/{patch.place.id}", patch.cube.season
            for layer in patch.layers():
                yield f"{name}-{season}-{layer.label}.{self.suffix}", self.file(layer)

    def expected(self, piece: SlabPiece) -> tuple[int, int]:
        """A file per array that a patch has, and step of it."""
        cube = piece.cube
        size = {n: int(np.prod(cube.pixel_shape(n))) * np.dtype(a.dtype).itemsize for n, (_, a) in cube.arrays.items()}
        ids = {piece.places[slot].id for slot in piece.wanted}
        arrays = [its for o in piece.record.patches if o.id in ids for its in o.chunks.items()]
        counts = [(name, len(each_hash(hashes))) for name, hashes in arrays]
        return sum(n for _, n in counts), sum(size[name] * n for name, n in counts)


def digest(form: Form, piece: ExportPiece, written_by: str) -> str:
    """What the files of a piece follow from: what it is made of, in which form, by which code and packages."""
    value = [form.name, written_by, piece.follows_from]
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
