"""The satellites of a sample's scenes: as their items say, else as the names of Copernicus' products do."""

import re
from collections.abc import Iterable

from curation.pack.domains.domain import BuiltPatch, Domain
from curation.recipe.angles import PLATFORM

_NAMED = re.compile(r"S([1235])([A-D])_")


def _of(patch: BuiltPatch) -> Iterable[str]:
    stated = patch.words(PLATFORM)
    named = [found for s in patch.scenes if (found := _NAMED.match(s))]
    return stated or [f"sentinel-{m[1]}{m[2].lower()}" for m in named]


DOMAIN = Domain("Satellite", of_patch=_of)
