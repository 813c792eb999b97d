"""Blocks of pixels below a folder, each rendered when it is first asked for and kept."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from curation.embedded.archive.published import published
from curation.embedded.world.once import OnceCache

Pixels = NDArray[Any]

MEMORY_BLOCKS = 256
"""Blocks that are kept in memory: the bands of a group come in the order of files, not of blocks."""

_PACKED = numcodecs.Blosc(cname="zstd", clevel=1, shuffle=numcodecs.Blosc.BITSHUFFLE)


class BlockStore:
    """Blocks under a folder, for any number of threads and processes: a block is either whole or not there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._memory: LRUCache[Path, Pixels] = LRUCache(MEMORY_BLOCKS)
        self._lock = threading.Lock()
        self._rendering: OnceCache[Mapping[str, Pixels]] = OnceCache(16)

    def block(
        self,
        item: str,
        asset: str,
        at: tuple[int, int],
        dtype: str,
        together: tuple[str, ...],
        render: Callable[[], Mapping[str, Pixels]],
    ) -> Pixels:
        """A block of an asset.

        Args:
            item: a path: of the collection, and of the item.
            asset: which of its files.
            at: row and column of the block.
            dtype: of its pixels.
            together: the assets that are made at once, it among them.
            render: makes that block of all of these, by asset.
        """
        found = self._found(self._path(item, asset, at), dtype)
        if found is not None:
            return found

        def rendered() -> Mapping[str, Pixels]:
            made = render()
            for name, pixels in made.items():
                path = self._path(item, name, at)
                path.parent.mkdir(parents=True, exist_ok=True)
                with published(path) as part:
                    shape = np.array([pixels.ndim, *pixels.shape], "<u4")
                    part.write_bytes(shape.tobytes() + _PACKED.encode(np.ascontiguousarray(pixels)))
                self._remember(path, pixels)
            return made

        return self._rendering.get((item, together, at), rendered)[asset]

    def _path(self, item: str, asset: str, at: tuple[int, int]) -> Path:
        return self._folder / item / asset / f"{at[0]}-{at[1]}"

    def _found(self, path: Path, dtype: str) -> Pixels | None:
        with self._lock:
            if path in self._memory:
                return self._memory[path]
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        axes = int(np.frombuffer(data, "<u4", 1)[0])
        shape = np.frombuffer(data, "<u4", axes, 4)
        pixels: Pixels = np.frombuffer(_PACKED.decode(data[4 + 4 * axes :]), dtype).reshape(shape)
        self._remember(path, pixels)
        return pixels

    def _remember(self, path: Path, pixels: Pixels) -> None:
        with self._lock:
            self._memory[path] = pixels
