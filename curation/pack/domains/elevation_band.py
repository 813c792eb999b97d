"""The elevation band of a place, by the mean height of its footprint, of whatever source of heights."""

from collections.abc import Iterable

import numpy as np

from curation.pack.domains.domain import BuiltPatch, Domain
from curation.places.domains import elevation


def _of(patch: BuiltPatch) -> Iterable[str]:
    height = patch.row.get("elevation_mean_m")
    return [v for v in elevation.find(np.array([np.nan if height is None else height])).tolist() if v]


DOMAIN = Domain("Elevation band", of_patch=_of, of_static=True, of_any=True, values=lambda _: elevation.BANDS)
