"""What an aerial camera sees: red, green, blue and near infrared as numbers of 8 bits, of pixels below a metre."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curation.embedded.archive.aerial import Sheet
from curation.embedded.sensors import response
from curation.embedded.world import noise, tables
from curation.embedded.world.cover import COVERS, per_code, reflectance
from curation.embedded.world.grids import Grid, frame_pixels
from curation.embedded.world.ground import Ground

_TABLE = tables.beside(__file__)

BANDS = tuple(_TABLE["response"])
"""Of a picture, in order."""

GAIN = np.array([_TABLE["gain"][name] for name in BANDS], np.float32)
"""Numbers per unit of reflectance: what is brighter than 255 is 255."""

_MATRIX = response.matrix(_TABLE["response"])

_STRENGTH = 3.0
"""How much stronger the grain is within a pixel of 10 m than between them."""

_WAVES = ((3, 2), (2, 3), (4, 4))
"""Along how many waves brightness goes up and down within a pixel of the ground, southwards and eastwards."""

_NOISE = 0.6
"""Standard deviation of the camera's noise, in numbers."""


def picture(sheet: Sheet, ground: Ground, grid: Grid, seed: int) -> NDArray[np.uint8]:
    """A part of a sheet's picture: uint8, (y, x, band); 0 is not among its numbers.

    The ground is that which all sensors see, by pixels of 10 m. Within each of these brightness goes up and down in whole
    waves: it is continuous, and its mean over the pixel is that of the ground.

    Args:
        sheet: it.
        ground: of its region.
        grid: the part, by its own pixels.
        seed: of the noise.
    """
    row, col = frame_pixels(grid, sheet.region)
    r, c = (np.clip(v.astype(np.int32), 0, n - 1) for v, n in zip((row, col), ground.code.shape, strict=True))
    code = ground.code[r, c]
    lit = 1 + per_code([_STRENGTH * k.grain for k in COVERS])[code] * _texture(row, col, r, c)
    table = _MATRIX @ reflectance(sheet.doy, **sheet.region.look)
    out = np.empty((*code.shape, len(BANDS)), np.uint8)
    for b, name in enumerate(BANDS):
        seen = table[b][code]
        seen *= lit * GAIN[b]
        seen += noise.normal(seen.shape, noise.seed_of(seed, name)) * np.float32(_NOISE)
        out[..., b] = np.clip(np.rint(seen), 1, 255).astype(np.uint8)
    return out


def _texture(
    row: NDArray[np.float32], col: NDArray[np.float32], r: NDArray[np.int32], c: NDArray[np.int32]
) -> NDArray[np.float32]:
    """Waves within each pixel of the ground, as high as its own draw says: mean 0 over each pixel, at most about 1."""
    draw = noise.hash_u32(r.astype(np.uint32) * np.uint32(65_537) + c.astype(np.uint32))
    turn = np.float32(2 * np.pi)
    down, right = (row - r) * turn, (col - c) * turn
    out = np.zeros(row.shape, np.float32)
    for k, (south, east) in enumerate(_WAVES):
        height = (draw >> np.uint32(10 * k) & np.uint32(1023)).astype(np.float32) / np.float32(511.5) - 1
        out += height * np.sin(np.float32(south) * down) * np.sin(np.float32(east) * right)
    return out * np.float32(0.6)
