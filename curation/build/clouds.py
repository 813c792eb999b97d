"""How much of a patch its mask calls clear, doubtful, snowy or no pixel at all, and whether that is good enough. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.errors import ReadError
from curation.errors.codes import Code
from curation.outcomes import Reject
from curation.recipe.schema import QualitySpec
from curation.recipe.sources import SourceSpec

SNOW_WORTH = 0.5
"""What a pixel called snow counts beside a clear one, where candidates are compared: Sentinel-2's SCL has called overcast
scenes snow, so that snow is better than cloud, and clear ground better than snow."""

MOSTLY_SNOW = 0.5
"""A mask that calls more than this share of the patch snow is believed only where no other candidate passes."""


@dataclass(frozen=True, slots=True)
class Shares:
    """What a mask says of a patch: shares of its pixels, 0 to 1."""

    clear: float
    """Neither cloud, nor shadow, nor invalid. The doubtful and the snowy are among them."""
    doubtful: float
    """Those of which the mask does not know."""
    snow: float
    """Those that it calls snow."""
    valid: float
    """All but the invalid."""

    @property
    def clearness(self) -> float:
        """What candidates of equal rank are compared by: clear minus doubtful, snow at half its share."""
        return self.clear - self.doubtful - (1 - SNOW_WORTH) * self.snow

    @property
    def mostly_snow(self) -> bool:
        """Whether it had better not be believed while there are others."""
        return self.snow > MOSTLY_SNOW

    def check(self, quality: QualitySpec, min_valid: float) -> None:
        """Passes where each share is within the recipe's limits.

        Raises:
            Reject: `nodata`, `cloudy`, `snowy` or `doubtful`, the first in this order, with the share that decided it.
        """
        if self.valid < min_valid:
            raise Reject(Code.NODATA, self.valid)
        if self.clear < quality.min_clear:
            raise Reject(Code.CLOUDY, self.clear)
        if self.snow > quality.max_snow:
            raise Reject(Code.SNOWY, self.snow)
        if self.doubtful > quality.max_doubtful:
            raise Reject(Code.DOUBTFUL, self.doubtful)


UNMASKED = Shares(1.0, 0.0, 0.0, 1.0)
"""Of a source without a mask: nothing is known against its pixels."""


def clear(mask: NDArray[Any], spec: SourceSpec) -> NDArray[np.bool_]:
    """Where a mask calls the ground seen, snow and what it is unsure of included; shape as given."""
    found: NDArray[np.bool_] = np.isin(mask, [*spec.clear, *spec.doubtful, *spec.snow])
    return found


def shares(mask: NDArray[Any], spec: SourceSpec, where: str) -> Shares:
    """The shares of a mask of a source (any shape, at least one pixel); `where` it is from, errors tell.

    Raises:
        ReadError: it holds a code that the source does not know.
    """
    codes, counts = np.unique(mask, return_counts=True)
    if foreign := sorted(set(codes.tolist()) - set(spec.mask_codes)):
        raise ReadError(
            f"{where}: the mask of {spec.name} holds codes {foreign[:8]}, expected one of {sorted(spec.mask_codes)}; "
            "where they mean something, add them to a set in the source's file"
        )

    def share(wanted: Sequence[int]) -> float:
        return float(counts[np.isin(codes, wanted)].sum() / mask.size)

    return Shares(
        share([*spec.clear, *spec.doubtful, *spec.snow]),
        share(spec.doubtful),
        share(spec.snow),
        1 - share(spec.invalid),
    )
