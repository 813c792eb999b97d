"""Images of any number of bands with texts and wavelengths in tars, in the members that DOFA-CLIP's loader reads.

```
train-000000.tar: <key>.image (npy), <key>.text, <key>.wavelength, <key>.geoloc, <key>.json, and so on
```

`.wavelength` and `.geoloc` are JSON: numbers in brackets, which need no `eval`. All samples of a view have the same bands,
and so any batch one list of wavelengths.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from curation.errors import ConfigError
from curation.format import payload
from curation.format.annotations import json_bytes
from curation.format.signature import bands_of
from curation.pack.export.captions import Captions
from curation.pack.export.rendering import Rendering
from curation.pack.export.views import Arrays, View, ViewImage, ViewWish

log = logging.getLogger(__name__)

FULL = 255.0
"""What becomes of a channel's upper limit: DOFA-CLIP's loader divides by it, whatever the dtype."""

CUT = 4
"""Of so many channels its loader takes the first three for RGB, and leaves all wavelengths."""


@dataclass(frozen=True)
class DofaClip(View):
    """An image, a text, wavelengths and a place per sample."""

    wish: ViewWish = field(default_factory=ViewWish)
    name: ClassVar[str] = "dofa-clip"
    pixels: ClassVar[str] = (
        "float32 (y, x, channel): 255 * clip((value - low) / (high - low), 0, 1) ** (1 / gamma); 0 where a band has no "
        "data: `valid_fraction` of each sample says how much has"
    )

    def bands(self, arrays: Arrays) -> Sequence[str]:
        """Those that are named, or all that DOFA has a wavelength for."""
        every = (b for entry in arrays.values() for b in bands_of(entry))
        return self.wish.bands or [b.name for b in every if b.for_dofa_um is not None]

    def wavelengths_um(self, rendering: Rendering) -> list[float | None]:
        """What DOFA is told of each channel.

        Raises:
            ConfigError: a channel is of two bands, or of one that has no place in the spectrum.
        """
        for channel in rendering.channels:
            if len(channel.bands) != 1 or channel.bands[0].for_dofa_um is None:
                raise ConfigError(
                    f"--bands {channel.name}: DOFA has no wavelength for it; expected bands of light or radar"
                )
        return [channel.bands[0].for_dofa_um for channel in rendering.channels]

    def rendering(self, index: Any, shards: Any) -> Rendering:
        """As of any view; of four channels it is told what DOFA-CLIP's own loader does with them."""
        made = super().rendering(index, shards)
        if len(made.channels) == CUT:
            log.warning(
                "dofa-clip: of images with 4 channels DOFA-CLIP's own loader drops the last and keeps its wavelength: take "
                "another number of --bands where it is to read them"
            )
        return made

    def members(self, image: ViewImage, texts: Captions, facts: Mapping[str, Any]) -> Mapping[str, bytes]:
        """Image, text, wavelengths, longitude and latitude, and JSON of all that is known."""
        pixels = np.ascontiguousarray(np.moveaxis(FULL * image.unit, 0, -1), np.float32)
        return {
            "image": payload.encode(pixels, "none"),
            "text": texts.texts[0].encode(),
            "wavelength": json.dumps(facts["wavelengths"]).encode(),
            "geoloc": json.dumps([facts["lon"], facts["lat"]]).encode(),
            "json": json_bytes(facts),
        }
