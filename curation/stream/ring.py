"""Memory for batches that is used again and again.

A fresh shared segment per batch costs more than decoding what goes into it: the kernel zeroes every page, and every
process faults it in. Here a worker fills slots of one segment in turn, the consumer sees them through its own mapping, and
a slot is free again when the last tensor over it is gone, however long that takes: nothing is ever overwritten under a
reader. While all slots are held, batches get memory of their own.

That a slot is free is one byte of the shared memory, and the only thing that the package does in a finalizer besides noting
that an object is gone (`store.afterwards`): it takes no lock and waits for nothing, and the one who needs to know is
another process, which cannot come by here.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import threading
import uuid
import weakref
from multiprocessing import reduction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.store import local
from curation.store.afterwards import Leavings

_PAGE = mmap.PAGESIZE
SLOTS = 8
"""Enough for what torch's DataLoader keeps on its way (two batches per worker), one being filled, one filled ahead, and
some that the consumer holds. The lowest free slot is taken, so that one never needed costs no memory."""


class Ring:
    """`SLOTS` slots of one size; the first page says which are taken.

    One process takes slots and fills them, one frees them (often the same): a byte of each slot goes 0 → 1 only by the
    first and 1 → 0 only by the second, so that no lock between processes is needed.
    """

    def __init__(self, slot_bytes: int, handle: int | None = None) -> None:
        """A new ring, or one that another process made.

        Args:
            slot_bytes: bytes of a slot; rounded up to whole pages.
            handle: file descriptor of the other's memory, which is taken over.
        """
        self.slot_bytes = -(-max(slot_bytes, 1) // _PAGE) * _PAGE
        size = _PAGE + SLOTS * self.slot_bytes
        made = local.memory(size) if handle is None else handle
        self._lock = threading.Lock()
        """Two threads may iterate one dataset."""
        self.name = uuid.uuid4().hex
        """What tells it from others of the same process."""
        self._map = mmap.mmap(made, size)
        self._taken: NDArray[np.uint8] = np.frombuffer(self._map, np.uint8, SLOTS)
        self._unsent = [made] if handle is None else []
        """The descriptor, until the other process has been sent it: memory stays as long as one is open."""
        if handle is None:
            _unsent.settle()
            _unsent.when_gone(self, _close, self._unsent)
        else:
            os.close(made)

    def hand_over(self) -> Any:
        """What the other process gets the memory with, where it has not been sent that before; None where it has."""
        if not self._unsent:
            return None
        handle = self._unsent.pop()
        sent = reduction.DupFd(handle)
        os.close(handle)
        return sent

    def take(self) -> int | None:
        """A free slot, now taken; None where there is none."""
        with self._lock:
            free = np.flatnonzero(self._taken == 0)
            if not free.size:
                return None
            slot = int(free[0])
            self._taken[slot] = 1
            return slot

    def free(self, slot: int) -> None:
        """Gives a slot back."""
        self._taken[slot] = 0

    def fillable(self, slot: int) -> NDArray[np.uint8]:
        """The bytes of a slot, for who fills it: uint8, (slot_bytes,)."""
        return np.frombuffer(self._map, np.uint8, self.slot_bytes, self._start(slot))

    def lease(self, slot: int) -> NDArray[np.uint8]:
        """The bytes of a slot, which is freed when the last array or tensor over them is gone: uint8, (slot_bytes,)."""
        block = (ctypes.c_uint8 * self.slot_bytes).from_buffer(self._map, self._start(slot))
        # Everything made of the array below holds `block`: numpy through its base, torch through its storage.
        self.freed_with(block, slot)
        view: NDArray[np.uint8] = np.frombuffer(memoryview(block), np.uint8)
        return view

    def freed_with(self, thing: object, slot: int) -> weakref.finalize[..., Any]:
        """Frees a slot when `thing` is gone, unless it is handed on before: `detach()` of what is returned."""
        freed = weakref.finalize(thing, self._give_back, slot, os.getpid())
        freed.atexit = False
        return freed

    def _give_back(self, slot: int, holder: int) -> None:
        if os.getpid() == holder:  # a fork has copies of its parent's tensors, but the slot is the parent's
            self.free(slot)

    def _start(self, slot: int) -> int:
        return _PAGE + slot * self.slot_bytes

    def __getstate__(self) -> Any:
        raise TypeError("a Ring goes to another process by its file descriptor")


def _close(unsent: list[int]) -> None:
    while unsent:
        os.close(unsent.pop())


_unsent = Leavings()
"""Descriptors of rings that no other process was sent."""
