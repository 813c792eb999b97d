"""What the shapes of a scene come to on one patch: `curate source check` of vector files."""

from __future__ import annotations

import numpy as np

from curation.build.context import Slab, Source
from curation.errors import CurationError
from curation.model import Location, Scene


def burnt(slab: Slab, source: Source, place: Location, scene: Scene) -> tuple[list[str], list[str]]:
    """What stands there, a line an array; and what is wrong with the files, with what to do."""
    names = {c.code: c.name for c in source.spec.kind.legend}
    found, wrong = [], []
    for name, array in source.arrays.items():
        try:
            pixels, _ = source.files.pixels(slab, source, place, name, [scene])
        except CurationError as err:
            wrong.append(str(err))
            continue
        codes, counts = np.unique(pixels, return_counts=True)
        its = (f"{names.get(code, 'nodata')} {n}" for code, n in zip(codes.tolist(), counts.tolist(), strict=True))
        facts = source.files.scene_facts(source, place, [scene])
        shapes, mended = (int(facts[f"{source.name}_{what}"]) for what in ("shapes", "mended"))
        found.append(f"{name} ({array.label}): pixels: {', '.join(its)}; of {shapes} shapes, {mended} of them mended")
    return found, wrong
