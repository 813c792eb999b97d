"""Payloads of a sample into the memory of a batch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numcodecs import blosc
from numpy.typing import NDArray

from curation import payload
from curation.model import STATIC, DamageError
from curation.shardformat import META, Index, split_member
from curation.stream.fetch import Scratch
from curation.stream.layout import ArrayPlace, Layout
from curation.stream.meta import SeasonFacts, nothing, parse_meta
from curation.stream.plan import Draw
from curation.stream.reading import Target
from curation.stream.resample import Upsample, upsample

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


class Decoder:
    """Fills one sample of a batch from its members' payloads. Many threads may use one, each with its own scratch."""

    def __init__(self, index: Index, layout: Layout, where: str) -> None:
        self._layout = layout
        self._where = where
        self._seasons = layout.selection.seasons
        self._labels = len(index.label_names)
        self._nothing = nothing(self._labels)
        known = {split_member(m)[:2]: i for i, m in enumerate(index.members) if m != META}
        self._members: dict[str, tuple[int, ...]] = {
            p.name: tuple(known[p.name, s] for s in (self._seasons if p.axis_is_seasons else (None,)))
            for p in layout.arrays
        }
        """Array → position of its member per season selected, or of its only one."""
        self._headers = {p.name: payload.npy_header(p.entry.shape, p.entry.dtype) for p in layout.arrays}
        self._count = len(index.members)
        self._whole = self._wanted_of(range(len(self._seasons)))
        self._season_members = [
            [self._members[p.name][s] for p in layout.arrays if p.axis_is_seasons] for s in range(len(self._seasons))
        ]

    def _wanted_of(self, seasons: Sequence[int]) -> NDArray[np.bool_]:
        wanted = np.zeros(self._count, dtype=bool)
        wanted[0] = True
        for place in self._layout.arrays:
            members = self._members[place.name]
            for member in [members[s] for s in seasons if s >= 0] if place.axis_is_seasons else members:
                wanted[member] = True
        return wanted

    def wanted(self, draw: Draw) -> NDArray[np.bool_]:
        """Per member of the index, whether a sample so drawn is made from it."""
        return self._whole if self._layout.drawing.drawn is None else self._wanted_of(draw.seasons)

    def present(self, members: NDArray[Any]) -> list[bool]:
        """Per season selected, whether a sample that has these members has anything of it.

        Where only labels are read, every season counts as present.
        """
        have = set(members.tolist())
        return [not wanted or not have.isdisjoint(wanted) for wanted in self._season_members]

    def targets(self, draw: Draw, out: Arrays) -> dict[int, Target]:
        """By member, where the pixels of plain members belong as they are."""
        found = {}
        for place in self._layout.arrays:
            if place.entry.encoding != "npy" or not place.as_stored:
                continue
            for member, spots in reversed(self._spots(place, draw, out[place.name]).items()):
                if len(spots) == 1:
                    pixels = spots[0][0].data.cast("B")
                    found[member] = Target(self._headers[place.name], pixels)
        return found

    def _spots(
        self, place: ArrayPlace, draw: Draw, out: NDArray[Any]
    ) -> dict[int, list[tuple[NDArray[Any], tuple[int, int]]]]:
        """Member (−1: none) → where its pixels go, each (band, y, x), with the first row and column to take."""
        spots: dict[int, list[tuple[NDArray[Any], tuple[int, int]]]] = {}
        members = self._members[place.name]
        views = len(draw.corners) > 1
        if not place.axis_is_seasons:
            places = list(zip(out, draw.corners, strict=True)) if views else [(out, draw.corners[0])]
            return {members[0]: places}
        for i, season in enumerate(draw.seasons):
            member = members[season] if season >= 0 else -1
            spots.setdefault(member, []).append((out[i], draw.corners[i if views else 0]))
        return spots

    def fill(
        self,
        key: str,
        payloads: Mapping[int, memoryview],
        draw: Draw,
        out: Arrays,
        facts_out: Arrays,
        scratch: Scratch,
        placed: Mapping[int, Target],
    ) -> None:
        """Writes every entry of one sample but `is_pad`.

        Args:
            key: of the sample.
            payloads: by position in the index's members.
            draw: what of it is delivered.
            out: the sample's arrays, to write to.
            facts_out: its small entries, each with a leading axis of one, to write to.
            scratch: memory that may be used.
            placed: members whose pixels are in `out` already; their payload is the header alone.

        Raises:
            DamageError: members are missing, or are not what index and meta say of them.
        """
        names = [self._seasons[s] for s in draw.seasons if s >= 0]
        facts = parse_meta(bytes(payloads[0]), self._labels, names, f"{self._where}: sample {key}")
        if facts.id != key:
            raise DamageError(f"{self._where}: sample {key}: its meta.json is that of {facts.id!r}; pack it again")
        there: dict[str, list[bool]] = {}
        for place in self._layout.arrays:
            # Last season first: what is decoded in place has its header where the season before it ends.
            for member, spots in reversed(self._spots(place, draw, out[place.name]).items()):
                if member not in payloads:
                    for spot, _ in spots:
                        spot[...] = _nodata_as_stored(place)
                elif member in placed and len(payloads[member]) == len(self._headers[place.name]):
                    if payloads[member] != self._headers[place.name]:
                        self._pixels(key, place, payloads[member], scratch)  # says what is wrong with it
                        raise DamageError(f"{self._where}: sample {key}, {place.name}: another header than expected")
                else:
                    room = self._room(place, spots, out[place.name])
                    pixels = self._pixels(key, place, payloads[member], scratch, room)
                    for spot, corner in spots if room is None else ():
                        _put(place, pixels, spot, corner, self._layout.selection.upsample)
            self._note(there, key, place, draw, payloads)
        seasons = [
            facts.seasons.get(self._seasons[s], self._nothing) if s >= 0 else self._nothing for s in draw.seasons
        ]
        self._facts(key, facts.lon, facts.lat, facts.static, seasons, there, facts_out)
        facts_out["season_ok"][...] = [
            s >= 0
            and self._seasons[s] in facts.seasons
            and all(there[p.entry.source][i] for p in self._layout.arrays if p.axis_is_seasons)
            for i, s in enumerate(draw.seasons)
        ]
        if "season" in facts_out:
            facts_out["season"][...] = draw.seasons
        if "crop_yx" in facts_out:
            facts_out["crop_yx"][...] = draw.corners if len(draw.corners) > 1 else draw.corners[0]

    def _facts(
        self,
        key: str,
        lon: float,
        lat: float,
        static: SeasonFacts,
        seasons: Sequence[SeasonFacts],
        there: Mapping[str, list[bool]],
        out: Arrays,
    ) -> None:
        out["lon"][...], out["lat"][...] = lon, lat
        for source, ok in there.items():
            timed = f"{source}_time" in out
            said = [source in f.times for f in (seasons if timed else [static])]
            if said != ok:
                raise DamageError(
                    f"{self._where}: sample {key}: members of {source!r} are there {ok}, its meta.json says {said} "
                    f"(seasons {list(self._seasons) if timed else [STATIC]}): pack it again"
                )
            out[f"{source}_ok"][...] = ok if timed else ok[0]
            if timed:
                out[f"{source}_time"][...] = [s.times.get(source, -1) for s in seasons]
        for i, season in enumerate(seasons):
            out["labels"][0, i] = season.multi_hot
            out["labels_known"][0, i] = season.known
            out["label_fractions"][0, i] = season.fractions
        out["annual_labels"][...] = static.multi_hot
        out["annual_labels_known"][...] = static.known
        out["annual_label_fractions"][...] = static.fractions

    def _note(
        self,
        there: dict[str, list[bool]],
        key: str,
        place: ArrayPlace,
        draw: Draw,
        payloads: Mapping[int, memoryview],
    ) -> None:
        """Takes down where along the season axis an array is there; those of one source must agree."""
        members = self._members[place.name]
        along = [members[s] if s >= 0 else -1 for s in draw.seasons] if place.axis_is_seasons else members
        ok = [m in payloads for m in along]
        if there.setdefault(place.entry.source, ok) != ok:
            raise DamageError(
                f"{self._where}: sample {key}: arrays of {place.entry.source!r} are there {ok} and "
                f"{there[place.entry.source]} (seasons {list(self._seasons)}); expected all or none of a source: "
                "pack it again"
            )

    def _room(
        self, place: ArrayPlace, spots: Sequence[tuple[NDArray[Any], tuple[int, int]]], out: NDArray[Any]
    ) -> memoryview | None:
        """Where a member can be decoded in place: its pixels' bytes, and before them as many as its header has.

        None where it is not decoded, or its pixels are not delivered as stored, or where those bytes before them are not
        of the same array and sample, in which nobody else writes.
        """
        if place.entry.encoding != "npy.blosc" or not place.as_stored or len(spots) != 1:
            return None
        spot, header = spots[0][0], len(self._headers[place.name])
        start = spot.ctypes.data - out.ctypes.data - header
        return out.reshape(-1).view(np.uint8).data[start : start + header + spot.nbytes] if start >= 0 else None

    def _pixels(
        self, key: str, place: ArrayPlace, data: memoryview, scratch: Scratch, room: memoryview | None = None
    ) -> NDArray[Any]:
        """(band, y, x) as stored: a view of the payload, of the scratch, or of `room` where that is given."""
        entry, where = place.entry, f"{self._where}: sample {key}, {place.name}"
        expected = len(self._headers[place.name]) + math.prod(entry.shape) * np.dtype(entry.dtype).itemsize
        file = data
        if entry.encoding == "npy.blosc":
            # A Blosc buffer says how long its content is in its bytes 4 to 7 and its own length in 12 to 15.
            inside, own = int.from_bytes(data[4:8], "little"), int.from_bytes(data[12:16], "little")
            if own != len(data):
                raise DamageError(f"{where}: not a .npy.blosc member ({len(data)} bytes); pack it again")
            if room is not None and inside == expected:
                file = room
            else:
                file = scratch.reserve(max(inside, expected) if inside <= 2 * expected else expected)[:inside]
            try:
                blosc.decompress(data, file)
            except (RuntimeError, ValueError) as err:
                raise DamageError(f"{where}: not a .npy.blosc member ({err}); pack it again") from err
        if len(file) == expected and file[: len(self._headers[place.name])] == self._headers[place.name]:
            return np.frombuffer(file, entry.dtype, offset=len(self._headers[place.name])).reshape(entry.shape)
        array = payload.opened(file, where)
        raise DamageError(
            f"{where}: {array.nbytes} bytes of {array.dtype} {array.shape}, the index says {entry.dtype} {entry.shape}: "
            "pack it again"
        )


def _put(place: ArrayPlace, pixels: NDArray[Any], out: NDArray[Any], corner: tuple[int, int], mode: str | None) -> None:
    """Writes (band, y, x) pixels as the layout wants them."""
    factor, size = place.factor, place.size_px
    row, column = corner
    if place.fine and factor > 1:
        how: Upsample = "bilinear" if mode == "bilinear" and place.entry.role == "data" else "nearest"
        margin = 1 if how == "bilinear" else 0  # a neighbour on each side is all that it looks at
        (top, bottom), (left, right) = (
            (max(at // factor - margin, 0), -(-(at + size) // factor) + margin) for at in corner
        )
        own = torch.from_numpy(np.require(pixels[:, top:bottom, left:right], requirements="W"))
        pixels = upsample(own, factor, how, place.entry.nodata).numpy()
        row, column = row - top * factor, column - left * factor
    elif not place.fine:
        row, column = row // factor, column // factor
    pixels = pixels[:, row : row + size, column : column + size]
    if place.scale is None or place.shift is None:
        if place.dtype is torch.bfloat16:
            out[...] = _bfloat16(pixels.astype(np.float32))
        else:
            np.copyto(out, pixels, casting="unsafe")
        return
    target = np.empty(pixels.shape, np.float32) if place.dtype is torch.bfloat16 else out
    np.multiply(pixels, place.scale, out=target)
    target += place.shift
    missing = np.isnan(pixels) if math.isnan(place.entry.nodata) else pixels == place.entry.nodata
    if missing.any():
        target[missing] = 0.0
    if target is not out:
        out[...] = _bfloat16(target)


def _bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The bits of bfloat16, which numpy does not have."""
    return torch.from_numpy(values).to(torch.bfloat16).view(torch.uint16).numpy()


def _nodata_as_stored(place: ArrayPlace) -> Any:
    """What a pixel without data is, in the dtype that memory of a batch has in numpy."""
    return _bfloat16(np.array([place.nodata], np.float32))[0] if place.dtype is torch.bfloat16 else place.nodata
