"""Payloads of a sample into the dict of tensors that `open_shards` documents."""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from curation.model import STATIC, DamageError
from curation.shardformat import ArrayEntry, Index
from curation.stream.meta import SeasonFacts, nothing, parse_meta

_TORCH = {"uint8": torch.uint8, "uint16": torch.uint16, "int16": torch.int16, "float32": torch.float32}


@dataclass(frozen=True, slots=True)
class Selection:
    """What of a sample is wanted."""

    arrays: tuple[str, ...]
    """Names of arrays."""
    seasons: tuple[str, ...]
    """In the order of the season axis."""
    dtype: torch.dtype | None
    """What arrays of role `data` are converted to; as stored where None."""


class Decoder:
    """Makes samples of payloads. Every tensor has memory of its own."""

    def __init__(self, index: Index, selection: Selection, where: str) -> None:
        self._selection = selection
        self._where = where
        self._labels = len(index.label_names)
        self._nothing = nothing(self._labels)
        position = {name: i for i, name in enumerate(index.members)}
        chosen = {name: index.arrays[name] for name in selection.arrays}
        self._static = {n: (e, position[f"{n}.npy"]) for n, e in chosen.items() if e.season == "static"}
        self._seasonal = {
            n: (e, [position[f"{n}.{s}.npy"] for s in selection.seasons])
            for n, e in chosen.items()
            if e.season == "seasonal"
        }
        self.wanted: NDArray[np.bool_] = np.zeros(len(index.members), dtype=bool)
        """Per member of the index, whether a sample is made from it."""
        self.wanted[0] = True
        for _, place in self._static.values():
            self.wanted[place] = True
        for _, places in self._seasonal.values():
            self.wanted[np.array(places, dtype=np.intp)] = True

    def sample(self, key: str, payloads: Mapping[int, memoryview]) -> dict[str, Any]:
        """The sample, as `open_shards` documents it, without `is_pad`.

        Raises:
            DamageError: members are missing, or are not what index and meta say of them.
        """
        facts = parse_meta(bytes(payloads[0]), self._labels, f"{self._where}: sample {key}")
        if facts.id != key:
            raise DamageError(f"{self._where}: sample {key}: its meta.json is that of {facts.id!r}; pack it again")
        out: dict[str, Any] = {"key": key, "lon": facts.lon, "lat": facts.lat}
        static_ok: dict[str, list[bool]] = {}
        seasonal_ok: dict[str, list[bool]] = {}
        for name, (entry, place) in self._static.items():
            tensor, ok = self._stack(key, name, entry, [payloads.get(place)])
            out[name] = tensor[0]
            self._note(static_ok, key, entry, ok)
        for name, (entry, places) in self._seasonal.items():
            out[name], ok = self._stack(key, name, entry, [payloads.get(p) for p in places])
            self._note(seasonal_ok, key, entry, ok)
        seasons = [facts.seasons.get(s, self._nothing) for s in self._selection.seasons]
        season_ok = np.array([s in facts.seasons for s in self._selection.seasons], dtype=bool)
        for source, ok in static_ok.items():
            self._agree(key, source, [STATIC], ok, [facts.static])
            out[f"{source}_ok"] = ok[0]
        for source, ok in seasonal_ok.items():
            self._agree(key, source, self._selection.seasons, ok, seasons)
            season_ok &= np.array(ok, dtype=bool)
            out[f"{source}_ok"] = torch.tensor(ok, dtype=torch.bool)
            out[f"{source}_time"] = torch.tensor([s.times.get(source, -1) for s in seasons], dtype=torch.int64)
        out["season_ok"] = torch.from_numpy(season_ok)
        shape = (len(seasons), self._labels)
        out["labels"] = torch.from_numpy(np.array([s.multi_hot for s in seasons], np.float32).reshape(shape))
        out["labels_known"] = torch.tensor([s.known for s in seasons], dtype=torch.bool)
        out["label_fractions"] = torch.from_numpy(np.array([s.fractions for s in seasons], np.float32).reshape(shape))
        out["annual_labels"] = torch.from_numpy(facts.static.multi_hot)
        out["annual_labels_known"] = facts.static.known
        out["annual_label_fractions"] = torch.from_numpy(facts.static.fractions)
        return out

    def _agree(
        self, key: str, source: str, seasons: Sequence[str], ok: list[bool], facts: Sequence[SeasonFacts]
    ) -> None:
        said = [source in f.times for f in facts]
        if said != ok:
            raise DamageError(
                f"{self._where}: sample {key}: members of {source!r} are there {ok}, its meta.json says {said} "
                f"(seasons {list(seasons)}): pack it again"
            )

    def _note(self, there: dict[str, list[bool]], key: str, entry: ArrayEntry, ok: list[bool]) -> None:
        if there.setdefault(entry.source, ok) != ok:
            raise DamageError(
                f"{self._where}: sample {key}: arrays of {entry.source!r} are there {ok} and {there[entry.source]} "
                f"(seasons {list(self._selection.seasons)}); expected all or none of a source: pack it again"
            )

    def _stack(
        self, key: str, name: str, entry: ArrayEntry, payloads: list[memoryview | None]
    ) -> tuple[torch.Tensor, list[bool]]:
        """(payload, bands, y, x) of the payloads, nodata where there is none; and which are there."""
        dtype = self._selection.dtype if self._selection.dtype and entry.role == "data" else _TORCH[entry.dtype]
        out = torch.empty((len(payloads), *entry.shape), dtype=dtype)
        target = out.numpy()
        for i, payload in enumerate(payloads):
            target[i] = entry.nodata if payload is None else self._array(key, name, entry, payload)
        return out, [p is not None for p in payloads]

    def _array(self, key: str, name: str, entry: ArrayEntry, payload: memoryview) -> NDArray[Any]:
        start = 10 + int.from_bytes(payload[8:10], "little")
        try:
            shape, dtype = _npy_header(bytes(payload[:start]))
        except ValueError as err:
            raise DamageError(f"{self._where}: sample {key}, {name}: not a .npy member ({err}); pack it again") from err
        if shape != entry.shape or dtype != entry.dtype or len(payload) - start != math.prod(shape) * dtype.itemsize:
            raise DamageError(
                f"{self._where}: sample {key}, {name}: {len(payload) - start} bytes of {dtype} {shape}, the index says "
                f"{entry.dtype} {entry.shape}: pack it again"
            )
        return np.frombuffer(payload, dtype, offset=start).reshape(shape)


@functools.lru_cache(maxsize=256)  # a dataset has a handful of different headers, and parsing one takes 30 µs
def _npy_header(header: bytes) -> tuple[tuple[int, ...], np.dtype[Any]]:
    file = io.BytesIO(header)
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise ValueError(f"version {version}, expected (1, 0)")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if fortran:
        raise ValueError("Fortran order, expected C order")
    return tuple(shape), np.dtype(dtype)
