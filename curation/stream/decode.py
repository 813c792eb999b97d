"""Payloads of a sample into the memory of a batch."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curation.errors import DamageError
from curation.format import frame, payload
from curation.format.index import ArrayEntry, Index
from curation.format.names import META, split_member
from curation.model import STATIC
from curation.stream.batch import Batch
from curation.stream.beside import Beside
from curation.stream.cuts import Cut, cut, nodata_as_stored, put, spans
from curation.stream.fetch import Scratch
from curation.stream.layout import ArrayLayout, Layout
from curation.stream.meta import SampleFacts, SeasonFacts, nothing, parse_meta
from curation.stream.plan import Draw
from curation.stream.reading import Target

Arrays = Mapping[str, NDArray[Any]]


def decoder(key: str, data: bytes) -> Any:
    """The array of a compressed member: `webdataset.WebDataset(url).decode(curation.stream.decoder)`.

    Args:
        key: suffix of the member, as webdataset gives it; others than `.npy.blosc` are left to it.
        data: the payload.

    Returns:
        The array in its stored dtype, (band, y, x); None for other members.
    """
    return payload.decode(data, "npy.blosc", key) if key.endswith(".npy.blosc") else None


class Piece(NamedTuple):
    """Where the pixels of a member go."""

    array: int
    """Its array's number in the layout."""
    spots: tuple[tuple[int, int], ...]
    """(place along the season axis, −1 where there is none; number of the corner to crop at), of each copy."""


class Held(NamedTuple):
    """What a sample has of a source."""

    names: tuple[str | None, ...] | None
    """Of the seasons, along its own axis; None of a static source."""
    ok: tuple[tuple[bool, ...], ...]
    """For each child that may have it (of the sample's own sources: once), along the seasons (static: once)."""
    of_children: bool
    steps: int | None
    """Most times of one member, where its time axis is ragged."""


class Assembly(NamedTuple):
    """How samples that have the same members are made, under draws of the same seasons."""

    wanted: tuple[int, ...]
    """Which of the sample's members are read: positions among them, ascending."""
    pieces: dict[int, Piece]
    """By position in the index's members."""
    holes: tuple[tuple[int, int], ...]
    """(array, place along the season axis or −1) that nothing is stored of."""
    names: tuple[str | None, ...]
    """Of the seasons, along their axis; None where there was none to draw."""
    there: dict[str, Held]
    """By source."""
    ok: dict[str, NDArray[np.bool_]]
    """The same as it is delivered."""
    fault: str | None
    """What is wrong with having these members."""


_MOST_ASSEMBLIES = 4096
"""Kept at a time; a few dozen is usual, one per combination of what samples lack and of seasons drawn."""


class _Into(NamedTuple):
    """Where a sample goes, and what of it."""

    batch: Batch
    number: int
    key: str
    draw: Draw
    scratch: Scratch
    is_alone: bool


class Decoder:
    """Fills one sample of a batch from its members' payloads. Many threads may use one, each with its own scratch."""

    def __init__(self, index: Index, layout: Layout, where: str) -> None:
        self._layout = layout
        self._where = where
        self._seasons = layout.selection.seasons
        self._labels = len(index.label_names)
        self._children = index.children
        self._nothing = nothing(self._labels)
        known = {split_member(m)[:3]: i for i, m in enumerate(index.members) if m != META}
        self._members: list[list[dict[int, int]]] = [
            [
                {s: known[o, p.name, self._seasons[s]] for s in p.on}
                if p.axis_is_seasons
                else {-1: known[o, p.name, None]}
                for o in ((None,) if p.owners is None else range(p.owners))
            ]
            for p in layout.arrays
        ]
        """Per array of the layout, and child that may have it: season selected (static: −1) → position of its member."""
        self._season_members = [
            [own[s] for of, p in zip(self._members, layout.arrays, strict=True) if s in p.on for own in of]
            for s in range(len(self._seasons))
        ]
        self._beside = Beside(index, layout, where)
        self._suffixes = index.members
        self._present: dict[tuple[int, ...], list[bool]] = {}
        self._assemblies: dict[tuple[tuple[int, ...], tuple[int, ...]], Assembly] = {}

    def present(self, members: tuple[int, ...]) -> list[bool]:
        """Per season selected, whether a sample that has these members has anything of it.

        Where only labels are read, every season counts as present.
        """
        found = self._present.get(members)
        if found is None:
            have = set(members)
            found = [not wanted or not have.isdisjoint(wanted) for wanted in self._season_members]
            _keep(self._present, members, found)
        return found

    def assembly(self, members: tuple[int, ...], draw: Draw) -> Assembly:
        """How a sample is made.

        Args:
            members: that it has: positions in the index's members, ascending.
            draw: what of it is delivered.
        """
        key = (members, draw.seasons)
        found = self._assemblies.get(key)
        if found is None:
            found = self._assemble(members, draw)
            _keep(self._assemblies, key, found)
        return found

    def _assemble(self, members: tuple[int, ...], draw: Draw) -> Assembly:
        have = set(members)
        wanted, holes, fault = {0, *have & self._beside.members.keys()}, [], None
        pieces: dict[int, Piece] = {}
        there: dict[str, Held] = {}
        for number, place in enumerate(self._layout.arrays):
            spots: dict[int, list[tuple[int, int]]] = {}
            ok = []
            seasons = [s for s in draw.seasons if s < 0 or s in place.on]
            for owner, of in enumerate(self._members[number]):
                along = [of.get(s, -1) for s in seasons] if place.axis_is_seasons else [of[-1]]
                ok.append(tuple(member in have for member in along))
                if not place.axis_is_seasons and self._layout.selection.views:
                    along *= 2
                for i, member in enumerate(along):
                    at = -1 if place.axis is None else owner * len(along) + i
                    if member in have:
                        spots.setdefault(member, []).append((at, i if len(draw.corners) > 1 else 0))
                    else:
                        holes.append((number, at))
            pieces |= {member: Piece(number, tuple(at)) for member, at in spots.items()}
            wanted |= set(spots)
            named = tuple(self._seasons[s] if s >= 0 else None for s in seasons) if place.axis_is_seasons else None
            held = Held(named, tuple(ok), place.owners is not None, place.entry.steps)
            if there.setdefault(place.entry.source, held) != held:
                fault = (
                    f"arrays of {place.entry.source!r} are there {_shown(held)} and {_shown(there[place.entry.source])} "
                    f"(seasons {list(self._seasons)}); expected all or none of a source: pack it again"
                )
        names = tuple(self._seasons[s] if s >= 0 else None for s in draw.seasons)
        of_sample = {source: self._layout.facts[f"{source}_ok"][0] for source in there}
        return Assembly(
            tuple(i for i, m in enumerate(members) if m in wanted),
            pieces,
            tuple(holes),
            names,
            there,
            {source: np.reshape(there[source].ok, shape) for source, shape in of_sample.items()},
            fault,
        )

    def targets(self, assembly: Assembly, batch: Batch, number: int) -> dict[int, Target]:
        """By member, where the pixels of plain members belong as they are."""
        found = {}
        for member, piece in assembly.pieces.items():
            place = self._layout.arrays[piece.array]
            if place.entry.encoding == "npy" and place.as_stored and len(piece.spots) == 1:
                found[member] = Target(place.header, batch.room(piece.array, number, max(piece.spots[0][0], 0)))
        return found

    def fill(
        self,
        batch: Batch,
        number: int,
        key: str,
        payloads: Iterable[tuple[int, memoryview, bool]],
        draw: Draw,
        assembly: Assembly,
        scratch: Scratch,
        *,
        is_alone: bool,
    ) -> None:
        """Writes every entry of one sample but `is_pad`.

        Args:
            batch: to write to.
            number: of the sample in the batch.
            key: of the sample.
            payloads: position in the index's members, payload, which is used before the next is asked for, and whether
                that is the header alone, since the pixels are in the batch already.
            draw: what of it is delivered.
            assembly: how it is made.
            scratch: memory that may be used.
            is_alone: whether nobody else writes to the batch meanwhile.

        Raises:
            DamageError: members are missing, or are not what index and meta say of them.
        """
        into = _Into(batch, number, key, draw, scratch, is_alone)
        facts, beside = None, {}
        for member, data, is_placed in payloads:
            if member == 0:
                facts = self._said(key, bytes(data), assembly)
            elif facts is None:
                break
            elif (piece := assembly.pieces.get(member)) is None:
                beside[member] = memoryview(bytes(data))
            elif is_placed:
                self._check_header(key, self._layout.arrays[piece.array], data, scratch)
            else:
                self._pixels_of(into, facts, member, piece, data)
        if facts is None:
            raise DamageError(f"{self._where}: sample {key}: no {META}: pack it again")
        for array, at in assembly.holes:
            place = self._layout.arrays[array]
            batch.arrays[place.name][(number,) if at < 0 else (number, at)] = nodata_as_stored(place)
        self._facts(key, facts, assembly, batch.facts, number)
        self._beside.fill(key, facts, beside, batch, number)
        if "season" in batch.facts:
            batch.facts["season"][number] = draw.seasons
        if "crop_yx" in batch.facts:
            batch.facts["crop_yx"][number] = draw.corners if len(draw.corners) > 1 else draw.corners[0]

    def _said(self, key: str, meta: bytes, assembly: Assembly) -> SampleFacts:
        """What the `meta.json` says, where it is this sample's."""
        names = [name for name in assembly.names if name is not None]
        facts = parse_meta(meta, self._labels, names, f"{self._where}: sample {key}")
        if facts.id != key:
            its = reprlib.repr(facts.id)
            raise DamageError(f"{self._where}: sample {key}: its meta.json is that of {its}; pack it again")
        if len(facts.children) > self._children:
            raise DamageError(
                f"{self._where}: sample {key}: its meta.json has {len(facts.children)} children, the index says "
                f"{self._children} at most: pack it again"
            )
        if assembly.fault is not None:
            raise DamageError(f"{self._where}: sample {key}: {assembly.fault}")
        return facts

    def _check_header(self, key: str, place: ArrayLayout, header: memoryview, scratch: Scratch) -> None:
        """Passes where a member whose pixels went straight to the batch begins as one of its array does."""
        if header != place.header:
            self._pixels(key, place, header, scratch)  # says what is wrong with it
            raise DamageError(f"{self._where}: sample {key}, {place.name}: another header than expected")

    def _pixels_of(self, into: _Into, facts: SampleFacts, member: int, piece: Piece, data: memoryview) -> None:
        """Writes the pixels of one member."""
        batch, number, key, draw, scratch, is_alone = into
        place = self._layout.arrays[piece.array]
        if place.as_stored and place.entry.encoding == "npy.blosc" and len(piece.spots) == 1:
            at, header = max(piece.spots[0][0], 0), len(place.header)
            if is_alone or batch.own_before(piece.array, number, at) >= header:
                room = batch.room(piece.array, number, at, header)
                before = bytes(room[:header])  # of other pixels, perhaps: the header goes there for a moment
                self._pixels(key, place, data, scratch, room)
                room[:header] = before
                return
        mode = self._layout.selection.upsample
        cuts = [cut(place, corner, mode) for corner in draw.corners]
        pixels = self._pixels(key, place, data, scratch, cuts=cuts)
        if place.entry.steps is not None:
            self._check_times(key, facts, member, len(pixels))
        for at, corner in piece.spots:
            out = batch.arrays[place.name][number] if at < 0 else batch.arrays[place.name][number, at]
            if place.entry.steps is not None:
                out[len(pixels) :] = nodata_as_stored(place)
                out = out[: len(pixels)]
            put(place, pixels, cuts[corner], out, mode)

    def _facts(self, key: str, facts: SampleFacts, assembly: Assembly, out: Arrays, number: int) -> None:
        static = facts.static
        seasons = [self._nothing if n is None else facts.seasons.get(n, self._nothing) for n in assembly.names]
        season_ok = [n in facts.seasons for n in assembly.names]
        out["lon"][number], out["lat"][number] = facts.lon, facts.lat
        for source, held in assembly.there.items():
            owners: list[SampleFacts | None] = list(facts.children) if held.of_children else [facts]
            owners += [None] * (len(held.ok) - len(owners))
            found = [self._found(owner, held.names) for owner in owners]
            said = tuple([tuple([source in f.times for f in of]) for of in found])
            if said != held.ok:
                raise DamageError(
                    f"{self._where}: sample {key}: members of {source!r} are there {_shown(held)}, its meta.json says "
                    f"{_shown(held._replace(ok=said))} (seasons {[STATIC] if held.names is None else list(held.names)}): "
                    "pack it again"
                )
            out[f"{source}_ok"][number] = assembly.ok[source]
            if held.names is not None:
                times = out[f"{source}_time"]
                stated = [f.times.get(source, -1) for of in found for f in of]
                if held.steps is None and tuple in map(type, stated):
                    raise DamageError(
                        f"{self._where}: sample {key}: its meta.json says several times of {source!r}, the index one: "
                        "pack it again"
                    )
                filled = stated if held.steps is None else [s for t in stated for s in _filled(t, held.steps)]
                times[number].reshape(-1)[...] = filled
                if not held.of_children:
                    lacking = {n for n, ok in zip(held.names, held.ok[0], strict=True) if not ok}
                    season_ok = [ok and n not in lacking for n, ok in zip(assembly.names, season_ok, strict=True)]
        if "child_ok" in out:
            n = len(facts.children)
            out["child_ok"][number] = np.arange(out["child_ok"].shape[1]) < n
            for axis in ("lon", "lat"):
                there = out[f"child_{axis}"]
                there[number] = np.nan
                there[number, :n] = [getattr(child, axis) for child in facts.children]
        if seasons:
            out["season_ok"][number] = season_ok
            out["labels"][number] = [s.multi_hot for s in seasons]
            out["labels_known"][number] = [s.known for s in seasons]
            out["label_fractions"][number] = [s.fractions for s in seasons]
        out["annual_labels"][number] = static.multi_hot
        out["annual_labels_known"][number] = static.known
        out["annual_label_fractions"][number] = static.fractions

    def _check_times(self, key: str, facts: SampleFacts, member: int, steps: int) -> None:
        """Passes where a member of a ragged time axis has as many times as its `meta.json` says."""
        name = split_member(self._suffixes[member])
        owner = (
            facts if name.child is None else facts.children[name.child] if name.child < len(facts.children) else None
        )
        season = None if owner is None else owner.seasons.get(name.season or "")
        source = next(p.entry.source for p in self._layout.arrays if p.name == name.array)
        said = None if season is None else season.times.get(source)
        if not isinstance(said, tuple) or len(said) != steps:
            raise DamageError(
                f"{self._where}: sample {key}, {self._suffixes[member]}: {steps} times, its meta.json says "
                f"{len(said) if isinstance(said, tuple) else said}: pack it again"
            )

    def _found(self, owner: SampleFacts | None, names: tuple[str | None, ...] | None) -> list[SeasonFacts]:
        """What is known of an owner's seasons, or of its static part; None: there is no such child."""
        if names is None:
            return [self._nothing if owner is None else owner.static]
        return [self._nothing if owner is None or n is None else owner.seasons.get(n, self._nothing) for n in names]

    def _pixels(
        self,
        key: str,
        place: ArrayLayout,
        data: memoryview,
        scratch: Scratch,
        room: memoryview | None = None,
        cuts: Sequence[Cut] = (),
    ) -> NDArray[Any]:
        """(band, y, x) as stored: a view of the payload, of the scratch, or of `room` where that is given.

        Where there are cuts, what lies outside of their rows may be anything. Where the time axis is ragged:
        (time, band, y, x), of 1 to `steps` times.
        """
        entry, header = place.entry, place.header
        expected = len(header) + place.stored_bytes
        file = data
        if entry.encoding == "npy.blosc":
            inside = payload.blosc_content(data, self._at(key, place))
            if inside > 2 * (
                len(header) + place.stored_bytes * (entry.steps or 1)
            ):  # no room for that, to tell what it is
                raise DamageError(
                    f"{self._at(key, place)}: {inside} bytes, the index says {len(header) + entry.room} of {_form(entry)}: "
                    "pack it again"
                )
            file = room if room is not None and inside == expected else scratch.reserve(inside)
            try:
                some = cuts and inside == expected and entry.steps is None and frame.has_blocks(data)
                seen = spans(place, cuts) if some else None
                frame.decode(data, file, seen)
            except (RuntimeError, ValueError) as err:
                raise DamageError(f"{self._at(key, place)}: not a .npy.blosc member ({err}); pack it again") from err
        if entry.steps is None and len(file) == expected and file[: len(header)] == header:
            return np.frombuffer(file, entry.dtype, offset=len(header)).reshape(entry.shape)
        array = payload.opened(file, self._at(key, place))
        if array.dtype == entry.dtype and array.shape[1:] == entry.shape and len(array) <= (entry.steps or 0):
            return array
        raise DamageError(
            f"{self._at(key, place)}: {array.nbytes} bytes of {array.dtype} {array.shape}, the index says {_form(entry)}: "
            "pack it again"
        )

    def _at(self, key: str, place: ArrayLayout) -> str:
        return f"{self._where}: sample {key}, {place.name}"


def _form(entry: ArrayEntry) -> str:
    """What members of an array are, for a person."""
    return f"{entry.dtype} {entry.shape}" + ("" if entry.steps is None else f", 1 to {entry.steps} times")


def _filled(times: int | tuple[int, ...], steps: int) -> list[int]:
    """Times along an axis of `steps`, −1 beyond those that there are."""
    there = times if isinstance(times, tuple) else ()
    return [*there, *[-1] * (steps - len(there))]


def _shown(held: Held) -> str:
    """Whether a source is there, for a person."""
    return str([list(of) for of in held.ok] if held.of_children else list(held.ok[0]))


def _keep(known: dict[Any, Any], key: Any, value: Any) -> None:
    if len(known) >= _MOST_ASSEMBLIES:
        known.clear()
    known[key] = value
