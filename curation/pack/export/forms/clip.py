"""Pictures with texts in tars, as open_clip's loader reads them.

```
train-000000.tar: <key>.jpg (or .png, .webp), <key>.txt, <key>.json, and so on
```

A picture is 8-bit RGB: three channels between limits that all pictures of the dataset share. `.txt` is the first text,
`.json` has all of them, with where and when the picture is of and what is on it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import features

from curation.errors import ConfigError
from curation.format.annotations import json_bytes
from curation.pack.export.captions import Captions
from curation.pack.export.rendering import COMPOSITES, Rendering, channels_of
from curation.pack.export.views import Arrays, View, ViewImage, ViewWish

ENCODINGS: Mapping[str, Mapping[str, Any]] = {
    "jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    "png": {"format": "PNG"},
    "webp": {"format": "WEBP", "lossless": True},
}
"""What pictures may be, and how each is written; `jpg` alone loses something."""


@dataclass(frozen=True)
class Clip(View):
    """A picture, a text and JSON per sample."""

    wish: ViewWish = field(default_factory=ViewWish)
    name: ClassVar[str] = "clip"
    pixels: ClassVar[str] = (
        "1 + round(254 * clip((value - low) / (high - low), 0, 1) ** (1 / gamma)) of each channel; 0 in all three where a "
        "band has no data (in jpg nearly so): `valid_fraction` of each sample says how much has"
    )

    def __post_init__(self) -> None:
        """Raises ConfigError where it is no picture."""
        if self.wish.image not in ENCODINGS:
            raise ConfigError(f"--image {self.wish.image}: expected {', '.join(ENCODINGS)}")
        if len(self.wish.bands) not in (0, 1, 3) or (
            len(self.wish.bands) == 1 and self.wish.bands[0] not in COMPOSITES
        ):
            raise ConfigError(
                f"--bands {','.join(self.wish.bands)}: expected three channels, red, green and blue, or one of "
                f"{', '.join(COMPOSITES)}"
            )

    @property
    def encoder(self) -> tuple[str, ...]:
        """Pillow, and what it encodes by."""
        libraries = ("jpg", "zlib", "webp")
        return (*(f"{name} {features.version(name)}" for name in libraries), f"pillow {features.version('pil')}")

    def bands(self, arrays: Arrays) -> Sequence[str]:
        """Those that are named, or true colours, or of radar both polarisations and their ratio."""
        if len(self.wish.bands) == 3:
            return self.wish.bands
        for name in self.wish.bands or ("true-colour", "radar"):
            try:
                channels_of(COMPOSITES[name], arrays)
            except ConfigError:
                continue  # another source may have them
            return COMPOSITES[name]
        return ()

    def wavelengths_um(self, rendering: Rendering) -> list[float | None]:
        """Of channels that are one band."""
        found = [c.bands[0].wavelength_nm() if len(c.bands) == 1 else None for c in rendering.channels]
        return [None if nm is None else float(f"{nm / 1000:.6g}") for nm in found]

    def members(self, image: ViewImage, texts: Captions, facts: Mapping[str, Any]) -> Mapping[str, bytes]:
        """Picture, text and JSON."""
        picture = encoded(rgb(image), self.wish.image)
        return {self.wish.image: picture, "txt": texts.texts[0].encode(), "json": json_bytes(facts)}


def rgb(image: ViewImage) -> NDArray[np.uint8]:
    """(y, x, 3): 1 to 255, and 0 where there is no data."""
    levels = 1 + np.round(254 * image.unit)
    found: NDArray[np.uint8] = np.moveaxis(np.where(image.valid, levels, 0), 0, -1).astype(np.uint8)
    return found


def encoded(picture: NDArray[np.uint8], image: str) -> bytes:
    """The file of a picture (y, x, 3)."""
    out = io.BytesIO()
    Pillow.fromarray(picture).save(out, **ENCODINGS[image])
    return out.getvalue()
