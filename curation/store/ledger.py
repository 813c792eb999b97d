"""The append-only record of what happened to each patch of one cube.

JSON Lines in numbered segments. Each segment is published only where its number is free, which fences a second writer; it
states the hash of the one before, and ends with a line that counts and hashes what it holds: a lost line, a torn tail and
a lost segment are all seen.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import sys
import uuid
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import msgspec

from curation.errors import ConfigError, CurationError, DamageError
from curation.outcomes import SETTLED, PatchOutcome
from curation.store import paths
from curation.store.objects import Store
from curation.store.records import (
    STATUS,
    SlabRecord,
    StoredObject,
    decoded,
    encoded,
    number_of,
    patch_of,
    size_mark,
    slab_of,
)
from curation.store.stat import Receipt
from curation.store.writer import Writer

FORMAT = 3
"""Of cubes and their ledgers together; neither is read in another. Since 2, stored chunks end with a CRC-32C that every
Zarr reader checks, and a patch's line has a hash of its row of facts; since 3, what was measured of a slab is one
object, and columns of it are recorded beside slabs."""


def cube_names(store: Store) -> list[tuple[str, str]]:
    """(folder, season) of every cube that has a ledger, in order: the cubes that there are."""
    return paths.ledgers_among(s.key for s in store.list(paths.LEDGERS))


@dataclass(frozen=True, slots=True)
class _Line:
    """Where the last record of a slab stands, and what it comes to: some hundred bytes, however much the record says."""

    segment: int
    number: int
    """Of the line in its segment."""
    counts: dict[str, int]
    """`PatchOutcome.label` → patches."""
    settled: int
    """Patches that no build looks at again."""
    passed_over: int
    """Patches for which a scene was passed over, since it could not be read."""
    marks: bytes
    """`size_mark` of each object."""


@dataclass(frozen=True, slots=True)
class ColumnBlock:
    """Columns of facts of a run of slabs, as they were recorded last."""

    segment: int
    """Of the ledger, which records them: what it recorded of these slabs before is in them."""
    objects: tuple[StoredObject, ...]


class _Records(Mapping[int, SlabRecord]):
    """Slab → its last record, read again from the ledger when it is asked for."""

    def __init__(self, ledger: Ledger, lines: Mapping[int, _Line]) -> None:
        self._ledger, self._lines = ledger, lines

    def __getitem__(self, slab: int) -> SlabRecord:
        line = self._lines[slab]
        with self._ledger.as_damage(line.segment):
            return decoded(_read(self._ledger.segment(line.segment)[1 + line.number]))

    def __iter__(self) -> Iterator[int]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)


AT_ONCE = 32
"""Segments fetched at a time, and kept for records that are asked for again."""


@dataclass(slots=True)
class Ledger:
    """The record of one cube, replayed. What its patches came to stays in the store: here is only where it stands."""

    store: Store
    prefix: str
    """Folder of its segments, below the dataset's folder."""
    binding: dict[str, Any] = field(default_factory=dict)
    """What the cube is: dataset, region, season and digests. Fixed by the first segment."""
    cube_objects: tuple[StoredObject, ...] = ()
    """The cube's own objects, written at its creation, and again when it was given more locations or sources."""
    cube_binding: dict[str, Any] = field(default_factory=dict)
    """What `binding` was then."""
    is_growing: bool = False
    """Whether it was bound to something else since: the cube is given more locations or sources, and what says so in it is
    not recorded yet. Its own objects may be those of before, those to be, or some of both."""
    lines: dict[int, _Line] = field(default_factory=dict)
    """Slab → where its last record stands."""
    outgrown: dict[int, _Line] = field(default_factory=dict)
    """Likewise, of slabs that were recorded before the cube was given more sources, and not since: they lack these."""
    columns: dict[int, ColumnBlock] = field(default_factory=dict)
    """Block of slabs → its columns of facts."""
    is_held: bool = False
    """Whether this process is the one that writes."""
    heads: list[bytes] = field(default_factory=list)
    """sha256 of each segment."""
    writer: Writer | None = None
    """Who wrote the last segment."""
    _read: OrderedDict[int, list[bytes]] = field(default_factory=OrderedDict)
    """Lines of the segments read last."""

    @classmethod
    def replay(cls, store: Store, folder: str, season: str) -> Ledger:
        """The ledger of a cube as it stands; empty where nothing was recorded.

        Raises:
            DamageError: a segment is missing, torn, changed or out of the chain.
            ConfigError: it is in another format than this release's.
        """
        ledger = cls(store, paths.ledger(folder, season))
        stored = [s.key for s in store.list(ledger.prefix)]
        expected = [ledger._key(n) for n in range(len(stored))]
        if stored != expected:
            lost = sorted(set(expected) - set(stored))
            raise DamageError(
                f"{store.where(ledger.prefix)}: segments {lost or stored} are missing or foreign; expected "
                f"{len(stored)} numbered without a gap. Restore them; without them nobody knows what is committed"
            )
        with ThreadPoolExecutor(AT_ONCE) as pool:  # an object store answers many at a time
            for start in range(0, len(stored), AT_ONCE):
                for data in pool.map(store.get, stored[start : start + AT_ONCE]):
                    ledger._apply(data)
        return ledger

    @property
    def slabs(self) -> Mapping[int, SlabRecord]:
        """Slab → its last record.

        Raises:
            DamageError: on access, where the segment is not what it was at replay.
        """
        return _Records(self, self.lines)

    @property
    def before(self) -> Mapping[int, SlabRecord]:
        """Slab → its last record, of those that are outgrown. Raises as `slabs` does."""
        return _Records(self, self.outgrown)

    @property
    def segments(self) -> int:
        """How many segments there are."""
        return len(self.heads)

    @property
    def head(self) -> str | None:
        """sha256 of the last segment."""
        return self.heads[-1].hex() if self.heads else None

    def check_whole(self) -> None:
        """Passes where the cube's own objects are those recorded, unless they are damaged.

        Raises:
            DamageError: it was being given more locations or sources when that was stopped.
        """
        if self.is_growing:
            name, season = paths.cube_of(self.prefix)
            raise DamageError(
                f"{self.store.where(paths.cube(name, season))}: is being given more locations or sources: build it again "
                "with the same command, which goes on with that"
            )

    def outgrow(self) -> None:
        """Takes the cube as one that has more sources from here on: what is recorded of its slabs lacks them."""
        self.outgrown |= self.lines
        self.lines = {}

    def settled(self, slab: int) -> int:
        """Patches of a slab that no build looks at again."""
        return self.lines[slab].settled if slab in self.lines else 0

    def decided(self) -> int:
        """Patches that something is recorded of, of outgrown slabs, too."""
        return sum(sum(line.counts.values()) for line in (*self.lines.values(), *self.outgrown.values()))

    def counts(self, slabs: Iterable[int]) -> Counter[str]:
        """`PatchOutcome.label` → decided patches of some slabs."""
        found: Counter[str] = Counter()
        for slab in slabs:
            if slab in self.lines:
                found.update(self.lines[slab].counts)
        return found

    def passed_over(self) -> int:
        """Patches for which a scene was passed over, since it could not be read."""
        return sum(line.passed_over for line in self.lines.values())

    def outcomes(self) -> Iterator[PatchOutcome]:
        """Every decided patch, slab by slab."""
        for slab in sorted(self.lines):
            yield from self.slabs[slab].patches

    def segment(self, number: int) -> list[bytes]:
        """The lines of a segment: its first, its records', its last.

        Raises:
            DamageError: it is not what it was at replay.
        """
        lines = self._read.get(number)
        if lines is None:
            key = self._key(number)
            try:
                data = self.store.get(key)
            except FileNotFoundError:
                data = b""
            if hashlib.sha256(data).digest() != self.heads[number]:
                raise DamageError(f"{self.store.where(key)}: was changed or removed while it was in use; restore it")
            lines = self._keep(number, data.splitlines())
        return lines

    def _keep(self, number: int, lines: list[bytes]) -> list[bytes]:
        self._read[number] = lines
        while len(self._read) > AT_ONCE:
            self._read.popitem(last=False)
        return lines

    @contextlib.contextmanager
    def as_damage(self, number: int) -> Iterator[None]:
        """Lines of a segment are taken for what they should be: where one is something else, that is damage.

        Raises:
            DamageError: it is, whatever its hash: somebody wrote it so.
        """
        try:
            yield
        except CurationError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as err:
            raise DamageError(
                f"{self.store.where(self._key(number))}: a line says what no ledger does ({type(err).__name__}: {err}); "
                "restore the segment"
            ) from err

    def acquire(self, binding: dict[str, Any], *, more_sources: bool = False) -> None:
        """Makes this process the one that writes; from here on every other one is fenced.

        A cube may be given more locations: who says that these begin with those it has is `cubes.bound`. One that was being
        given sources when that was stopped may go back to what it is without them, as long as nothing of them is recorded.

        Args:
            binding: what the cube is from here on.
            more_sources: whether that says so, too, of what pixels are built by: it was found to have more sources.

        Raises:
            ConfigError: the ledger is bound to something else (both values are told), or its writer is at work.
        """
        goes_back = self.is_growing and binding.get("pixels") == self.cube_binding.get("pixels")
        may_be_others = ("locations", "pixels") if more_sources or goes_back else ("locations",)
        known = {k: v for k, v in self.binding.items() if k in may_be_others and self.segments}
        self.check(binding | known)
        if self.writer is not None and self.writer.alive():
            raise ConfigError(f"{self.store.where(self.prefix)}: is being written by {self.writer}; wait, or stop it")
        self.binding = binding
        self._publish([])
        self.is_held = True

    def check(self, binding: dict[str, Any]) -> None:
        """Passes where the ledger is bound to this, or to nothing yet.

        Raises:
            ConfigError: it is bound to something else; both values are told.
        """
        for name in sorted(self.binding.keys() | binding.keys()) if self.segments else []:
            old, new = self.binding.get(name), binding.get(name)
            if old != new:
                raise ConfigError(
                    f"{self.store.where(self.prefix)}: {name} is {old!r}, but now {new!r}: the recipe, a source or the "
                    "catalog has changed since this cube was begun. Restore it, or choose another --root"
                )

    def record_cube(self, objects: Sequence[Receipt]) -> None:
        """Records the objects made at the cube's creation."""
        self._publish([{"cube": [dataclasses.asdict(StoredObject.of(o)) for o in objects]}])

    def record_columns(self, block: int, objects: Sequence[Receipt]) -> None:
        """Records the columns of facts of a block of slabs, as they follow from all that is recorded by now."""
        self._publish([{"columns": block, "objects": [dataclasses.asdict(StoredObject.of(o)) for o in objects]}])

    def append(self, records: Sequence[SlabRecord]) -> None:
        """Records slabs, durably, in one segment.

        Raises:
            DamageError: another writer has taken over since.
        """
        self._publish([encoded(r) for r in records])

    def _key(self, number: int) -> str:
        return paths.segment(self.prefix, number)

    def _publish(self, records: list[dict[str, Any]]) -> None:
        me = Writer.me()
        first = {
            "format": FORMAT,
            "id": uuid.uuid4().hex,  # of this very writing: by it a segment whose reply was lost is known for one's own
            "segment": self.segments,
            "prev": self.head,
            "writer": dataclasses.asdict(me),
            "binding": self.binding,
        }
        lines = [_line(r) for r in [first, *records]]
        body = b"".join(lines)
        lines.append(_line({"end": len(records), "sha256": hashlib.sha256(body).hexdigest()}))
        data = body + lines[-1]
        key = self._key(self.segments)
        try:
            self.store.publish_new(key, data)
        except FileExistsError:
            with self.as_damage(self.segments):
                other = Writer(**json.loads(self.store.get(key).split(b"\n", 1)[0])["writer"])
            raise DamageError(
                f"{self.store.where(key)}: {other} has taken over this cube; this run stops. "
                "Run only one at a time for a region and season"
            ) from None
        self._take(records, lines, hashlib.sha256(data).digest())
        self.writer = me

    def _take(self, records: Sequence[dict[str, Any]], lines: list[bytes], digest: bytes) -> None:
        """Takes up a segment: where its records stand, and what they come to; its lines, and its sha256."""
        self.is_growing |= bool(self.cube_objects) and self.cube_binding != self.binding
        if self.is_growing and self.cube_binding.get("pixels") != self.binding.get("pixels"):
            self.columns = {}  # with what is added, patches may come to something else
        for n, record in enumerate(records):
            if "cube" in record:
                if self.cube_objects and self.cube_binding.get("pixels") != self.binding.get("pixels"):
                    self.outgrow()
                self.cube_objects = tuple(StoredObject(**o) for o in record["cube"])
                self.cube_binding, self.is_growing = self.binding, False
            elif "columns" in record:
                objects = tuple(StoredObject(**o) for o in record["objects"])
                self.columns[number_of(record, "columns")] = ColumnBlock(self.segments, objects)
            else:
                slab = slab_of(record)
                self.lines[slab] = _summary(record, self.segments, n)
                self.outgrown.pop(slab, None)
        self._keep(self.segments, lines)
        self.heads.append(digest)

    def _apply(self, data: bytes) -> None:
        number = self.segments
        where = self.store.where(self._key(number))
        lines = data.removesuffix(b"\n").split(b"\n")
        try:
            first, *records, end = map(_read, lines)
            counted, digest = end["end"], str(end["sha256"])
        except (ValueError, KeyError, TypeError, IndexError, RecursionError) as err:
            raise DamageError(f"{where}: torn: its last line is not a count and a hash; restore the segment") from err
        whole = hashlib.sha256(memoryview(data)[: len(data) - len(lines[-1]) - 1])
        found = whole.hexdigest()
        if not data.endswith(b"\n") or counted != len(records) or digest != found:
            raise DamageError(
                f"{where}: holds {len(records)} records with sha256 {found[:12]}…, its last line says {counted} with "
                f"{digest[:12]}…: a line was lost or changed; restore the segment"
            )
        with self.as_damage(number):
            if (written := first.get("format", 1)) != FORMAT:  # the first one's segments do not state it
                raise ConfigError(
                    f"{where}: cube {'/'.join(paths.cube_of(self.prefix))} is in format {written}, this release reads and "
                    f"writes {FORMAT}. Go on with the release that built it; or, {paths.again(self.prefix)}"
                )
            if first["segment"] != number or first["prev"] != self.head:
                raise DamageError(
                    f"{where}: follows segment {str(first['prev'])[:12]}…, but the one before is {str(self.head)[:12]}…: "
                    "a segment was replaced; restore it"
                )
            self.binding, self.writer = dict(first["binding"]), Writer(**first["writer"])
            whole.update(lines[-1] + b"\n")
            self._take(records, lines, whole.digest())


def _read(line: bytes) -> Any:
    """What a line says. Raises ValueError where it is no JSON, RecursionError where it is too deep."""
    try:
        return msgspec.json.decode(line)  # in half of json's time, which counts for a million patches
    except msgspec.DecodeError:
        # A catalog may call a scene by half of a surrogate pair, which the other does not read.
        return json.loads(line)


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _summary(value: dict[str, Any], segment: int, number: int) -> _Line:
    """What a record comes to."""
    counts: Counter[str] = Counter()
    settled = passed_over = 0
    for patch in value["patches"]:
        # Most patches are ok: these are not made into values to be told so.
        counts[sys.intern("ok" if patch["status"] == "ok" else patch_of(patch).label)] += 1
        settled += STATUS[patch["status"]] in SETTLED
        passed_over += any("passed_over" in o for o in patch["sources"].values())
    marks = b"".join(size_mark(o["key"], o["size"]) for o in value["objects"])
    return _Line(segment, number, dict(counts), settled, passed_over, marks)
