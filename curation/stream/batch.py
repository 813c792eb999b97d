"""One batch (or sample) while it is filled, and the way it takes to who wanted it."""

from __future__ import annotations

import math
import os
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from curation.stream.layout import ArrayLayout, Layout, memory_dtype
from curation.stream.ring import Ring

_ALIGN = 64
_SMALL_BYTES = 1 << 16
"""Tensors up to this go to the consumer by value: a shared segment for each would cost more."""


class _Extent(NamedTuple):
    """An array of a batch in bytes."""

    start: int
    """Of its lead in the batch's memory."""
    lead: int
    """Bytes before its first pixel, where the header of what is decoded to there goes."""
    sample: int
    """Of one sample."""
    step: int
    """From one place along the season axis to the next; those of a sample where there is no such axis."""
    size: int
    """In all, the lead included."""


class MadeArray(NamedTuple):
    """An array of a batch that is made here, of those that are read."""

    name: str
    shape: tuple[int, ...]
    """Of one sample's."""
    dtype: torch.dtype

    @property
    def memory_dtype(self) -> np.dtype:
        """What it is in numpy."""
        return memory_dtype(self.dtype)


@dataclass(frozen=True, slots=True)
class Shape:
    """Where each array of a batch lies in its memory."""

    layout: Layout
    count: int
    """Samples."""
    extents: tuple[_Extent, ...]
    """Of the layout's arrays, in order, and of those made."""
    size: int
    """Bytes in all."""
    made: tuple[MadeArray, ...] = ()

    @classmethod
    def of(cls, layout: Layout, count: int, made: tuple[MadeArray, ...] = ()) -> Shape:
        """The shape of a batch of `count` samples."""
        extents, end = [], 0
        for place in layout.arrays:
            lead = -(-len(place.header) // _ALIGN) * _ALIGN
            sample = math.prod(place.shape) * place.memory_dtype.itemsize
            step = sample // (place.axis or 1)
            extents.append(_Extent(end, lead, sample, step, lead + count * sample))
            end = -(-(end + lead + count * sample) // _ALIGN) * _ALIGN
        for one in made:
            sample = math.prod(one.shape) * one.memory_dtype.itemsize
            extents.append(_Extent(end, 0, sample, sample, count * sample))
            end = -(-(end + count * sample) // _ALIGN) * _ALIGN
        return cls(layout, count, tuple(extents), max(end, 1), made)

    def views(self, memories: Sequence[NDArray[np.uint8]]) -> dict[str, NDArray[Any]]:
        """Each array in memory of its extent: (samples, …), with one axis for all members of a sample."""
        forms = [(p.name, p.memory_dtype, p.flat) for p in self.layout.arrays]
        forms += [(m.name, m.memory_dtype, m.shape) for m in self.made]
        return {
            name: memory[extent.lead :].view(dtype).reshape(self.count, *shape)
            for (name, dtype, shape), extent, memory in zip(forms, self.extents, memories, strict=True)
        }


class Batch:
    """Memory of one batch: arrays in a slot of a ring, or in memory of their own where there is no free slot."""

    def __init__(self, shape: Shape, ring: Ring | None) -> None:
        self._shape = shape
        self._ring = ring
        self._slot = ring.take() if ring is not None else None
        layout = shape.layout
        if ring is not None and self._slot is not None:
            self._freed = ring.freed_with(self, self._slot)  # whoever fills a batch holds it
            memory = ring.fillable(self._slot)
            extents = [memory[e.start : e.start + e.size] for e in shape.extents]
        else:  # each of its own, so that keeping one does not keep all
            extents = [np.empty(e.size, np.uint8) for e in shape.extents]
        self._bytes = [e.data for e in extents]
        self.arrays: dict[str, NDArray[Any]] = shape.views(extents)
        self.facts: dict[str, NDArray[Any]] = {
            name: np.zeros((shape.count, *of), dtype) for name, (of, dtype) in layout.facts.items()
        }
        self.values: dict[str, list[Any]] = {name: [none] * shape.count for name, none in layout.values.items()}
        self.keys = [""] * shape.count
        self.spent = [(0.0, 0.0, 0.0)] * shape.count
        """Seconds that fetching, hashing and decoding each sample took."""

    def room(self, array: int, number: int, at: int, before: int = 0) -> memoryview:
        """The bytes of one member's pixels, and so many before them, which other members' pixels may have to fill later.

        Args:
            array: its number in the layout.
            number: of the sample.
            at: along the season axis; 0 where there is none.
            before: at most as many as the `.npy` header of the array has.
        """
        extent = self._shape.extents[array]
        start = extent.lead + number * extent.sample + at * extent.step
        return self._bytes[array][start - before : start + extent.step]

    def own_before(self, array: int, number: int, at: int) -> int:
        """How many bytes before those pixels are of the same sample, or of none."""
        extent = self._shape.extents[array]
        return at * extent.step + (0 if number else extent.lead)

    def drop(self) -> None:
        """Gives back a batch that nobody will get."""
        if self._slot is not None:
            self._freed()
            self._slot = None

    def tensors(self) -> dict[str, Any]:
        """The batch, over its own memory: for a transform in a worker, which must not keep it."""
        return self._tensors(self.arrays)

    def in_process(self) -> dict[str, Any]:
        """The batch for a consumer in this process: the slot is free when nothing made of it is left."""
        if self._ring is None or self._slot is None:
            return self.tensors()
        self._freed.detach()
        memory, self._slot = self._ring.lease(self._slot), None
        return self._tensors(self._shape.views([memory[e.start : e.start + e.size] for e in self._shape.extents]))

    def _tensors(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
        out: dict[str, Any] = {p.name: _tensor(arrays[p.name], p) for p in self._shape.layout.arrays}
        out |= {m.name: _typed(torch.from_numpy(arrays[m.name]), m.dtype) for m in self._shape.made}
        out |= {name: torch.from_numpy(a) for name, a in self.facts.items()}
        return out | self.values | {"key": self.keys}  # last: accelerate takes the size of a batch from the first

    def parcel(self, value: Any, token: tuple[str, int]) -> Any:
        """The same for a consumer in another process: something that unpickles as it there."""
        if self._ring is None or self._slot is None:
            return value
        self._freed.detach()
        return Parcel(token, self._ring, self._slot, _wrapped(value, self._ring.fillable(self._slot)))

    def sample(self) -> dict[str, Any]:
        """The first and only sample."""
        out: dict[str, Any] = {p.name: _tensor(self.arrays[p.name][0], p) for p in self._shape.layout.arrays}
        out |= {n: torch.from_numpy(a[0]) if a.ndim > 1 else a[0].item() for n, a in self.facts.items()}
        return out | {name: of[0] for name, of in self.values.items()} | {"key": self.keys[0]}


def _tensor(array: NDArray[Any], place: ArrayLayout) -> torch.Tensor:
    """The tensor of one sample's array, or of a batch's: what was filled along one axis is seen as it is delivered."""
    tensor = torch.from_numpy(array.reshape(*array.shape[: array.ndim - len(place.flat)], *place.shape))
    return _typed(tensor, place.dtype)


def _typed(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Of its own type: numpy has no bfloat16, and holds its bits."""
    return tensor.view(torch.bfloat16) if dtype is torch.bfloat16 else tensor


# ---- to another process ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _InSlot:
    """A tensor in the slot's memory."""

    start: int
    dtype: torch.dtype
    shape: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _ByValue:
    """A small tensor."""

    array: NDArray[Any]


def _wrapped(value: Any, memory: NDArray[np.uint8]) -> Any:
    """The value, with tensors in `memory` told by their place and small ones by value."""
    if isinstance(value, torch.Tensor):
        start = value.data_ptr() - memory.ctypes.data
        if value.numel() and 0 <= start < memory.size:
            return _InSlot(start, value.dtype, tuple(value.shape), value.stride())
        small = value.device.type == "cpu" and value.numel() * value.element_size() <= _SMALL_BYTES
        if small and not value.requires_grad and value.dtype is not torch.bfloat16:
            return _ByValue(value.numpy())
        return value
    if type(value) is dict:
        return {k: _wrapped(v, memory) for k, v in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_wrapped(v, memory) for v in value)
    return value


def _unwrapped(value: Any, memory: NDArray[np.uint8]) -> Any:
    """What `_wrapped` took apart, over another mapping of the memory."""
    if isinstance(value, _InSlot):
        # Its own bytes alone: whoever saves a tensor saves all that it lies in.
        last = sum((n - 1) * step for n, step in zip(value.shape, value.stride, strict=True))
        own = memory[value.start : value.start + (last + 1) * value.dtype.itemsize]
        return torch.from_numpy(own).view(value.dtype).as_strided(value.shape, value.stride)
    if isinstance(value, _ByValue):
        return torch.from_numpy(value.array)
    if type(value) is dict:
        return {k: _unwrapped(v, memory) for k, v in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_unwrapped(v, memory) for v in value)
    return value


class Parcel:
    """A batch on its way from a worker to who iterates: a few hundred bytes; its arrays stay where they are."""

    def __init__(self, token: tuple[str, int], ring: Ring, slot: int, value: Any) -> None:
        self._token, self._ring, self._slot, self._value = token, ring, slot, value
        self._unsent = ring.freed_with(self, slot)  # a worker's user may leave one out

    def __reduce__(self) -> tuple[Any, ...]:
        self._unsent.detach()
        # The first to leave takes the descriptor along; those behind it in the queue find the ring there.
        handle = self._ring.hand_over()
        return _arrived, ((*self._token, self._ring.name), handle, self._ring.slot_bytes, self._slot, self._value)


class Rings:
    """The rings of one dataset's workers that are mapped here: kept, so that their pages are mapped once.

    Whoever is the dataset in this process holds them, and they are gone with the last of those.
    """

    def __init__(self) -> None:
        self.by_worker: dict[tuple[int, str], Ring] = {}
        """By (process, name of the ring)."""


_rings: weakref.WeakValueDictionary[str, Rings] = weakref.WeakValueDictionary()
"""By dataset: copies of one have its name."""
_unowned: dict[str, Rings] = {}
"""Of datasets that were opened in workers, and that nobody is here."""
_rings_lock = threading.Lock()


def _after_fork() -> None:
    """A child has none of the threads that may have held the lock."""
    global _rings_lock
    _rings_lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


def rings_of(dataset: str) -> Rings:
    """The rings of a dataset, for an object of this process that is it."""
    with _rings_lock:
        found = _rings.get(dataset)
        if found is None:
            found = _rings[dataset] = _unowned.pop(dataset) if dataset in _unowned else Rings()
        return found


def _arrived(token: tuple[str, int, str], handle: Any, slot_bytes: int, slot: int, value: Any) -> Any:
    dataset, worker, name = token
    new = None if handle is None else Ring(slot_bytes, handle.detach())
    with _rings_lock:
        rings = _rings.get(dataset) or _unowned.setdefault(dataset, Rings())
        if new is not None:
            for known in [k for k in rings.by_worker if not _alive(k[0])]:
                del rings.by_worker[known]  # tensors that are still held keep the memory itself
            rings.by_worker[worker, name] = new
        ring = rings.by_worker[worker, name]
    return _unwrapped(value, ring.lease(slot))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
