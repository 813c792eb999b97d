"""Aerial pictures as files: rendered block by block, when bytes of a block are first asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

from curation.embedded.archive import aerial
from curation.embedded.archive.aerial import Sheet, sheets
from curation.embedded.archive.blockfile import BlockFile
from curation.embedded.archive.blockstore import BlockStore, Pixels
from curation.embedded.sensors import camera
from curation.embedded.world import noise
from curation.embedded.world.ground import Ground
from curation.embedded.world.regions import Region

ASSET = "image"
"""The file of a picture: all bands."""


class Pictures:
    """Pictures under a folder, for any number of threads and processes."""

    def __init__(self, folder: Path, ground_of: Callable[[Region], Ground]) -> None:
        """Renders nothing yet.

        Args:
            folder: where blocks are kept.
            ground_of: the ground of a region.
        """
        self._store = BlockStore(folder)
        self._sheets = {s.id: s for s in sheets()}
        self._ground_of = ground_of

    def file(self, collection: str, item: str, asset: str) -> BlockFile | None:
        """Where everything lies in a picture's file; None where it is none of these."""
        there = (collection, asset) == (aerial.COLLECTION, ASSET) and item in self._sheets
        return _file(self._sheets[item]) if there else None

    def read(self, item: str, start: int, stop: int) -> bytes:
        """Bytes start to stop of a picture's file; blocks that are not there yet are rendered."""
        sheet = self._sheets[item]
        return _file(sheet).read(start, stop, lambda row, col: self._block(sheet, row, col))

    def _block(self, sheet: Sheet, row: int, col: int) -> Pixels:
        item = f"{aerial.COLLECTION}/{sheet.id}"
        return self._store.block(
            item, ASSET, (row, col), "uint8", (ASSET,), lambda: {ASSET: self._render(sheet, row, col)}
        )

    def _render(self, sheet: Sheet, row: int, col: int) -> Pixels:
        part = sheet.grid.part(row * aerial.BLOCK_PX, col * aerial.BLOCK_PX, aerial.BLOCK_PX)
        return camera.picture(sheet, self._ground_of(sheet.region), part, noise.seed_of("aerial", sheet.id, row, col))


@cache
def _file(sheet: Sheet) -> BlockFile:
    return BlockFile(sheet.grid, aerial.BLOCK_PX, "uint8", bands=len(camera.BANDS))
