"""What a dry run says of bytes: those of the blocks that files have, which in JPEG 2000 are large."""

from __future__ import annotations

import numpy as np
import pytest

from curation.cubes import selection
from curation.model import STATIC
from curation.read.image import COARSE_BLOCKS
from curation.recipe.arrays import ArraySpec
from curation.recipe.catalogs import Catalogs, resolve
from curation.report import estimate
from curation.store.objects import Store
from curation.work.run import Run
from tests.run import Curate


@pytest.mark.parametrize("block", [192, 512, 640, 1024])
def test_the_blocks_of_a_patch_are_those_that_a_window_anywhere_touches(block: int):
    array = ArraySpec(res_m=10, bands=["b"], dtype="uint16", nodata=0, unit="1")
    firsts = np.arange(block)
    touched = ((firsts + 264 - 1) // block + 1).mean() ** 2  # a window of 264 pixels, whichever it begins at
    told = estimate._window_bytes(2640, array, block)
    assert told == pytest.approx(touched * block**2 * 2 * estimate.PACKED, rel=0.02)


def test_tiles_of_jpeg_2000_are_counted_and_the_look_at_each_scene_too(built: Curate, tmp_path):
    found = {}
    for name in ("earth-search", "cdse"):
        catalogs = Catalogs(resolve(str(built.world.catalog)), (("s2l2a", resolve(name)),))
        run = Run(built.dataset, catalogs, Store(tmp_path / name))
        asked = selection.asked_regions(built.dataset, catalogs, "all")
        found[name] = estimate.estimates(run, asked, ["summer", STATIC]).cubes
    cog, jp2 = ({e.season: e for e in found[name]} for name in ("earth-search", "cdse"))
    assert jp2[STATIC] == cog[STATIC], "of other sources nothing else is said"
    assert (jp2["summer"].searches, jp2["summer"].scenes) == (cog["summer"].searches, cog["summer"].scenes)
    arrays = built.dataset.arrays["s2l2a"].values()
    sides = {10: 1024, 20: 640, 60: 192}
    bytes_of = {
        a.suffix or a.res_m: np.dtype(a.dtype).itemsize * len(a.bands) * sides[int(a.res_m)] ** 2 for a in arrays
    }
    look = estimate.PACKED * COARSE_BLOCKS * sum(bytes_of.values())
    patches = sum(
        estimate._window_bytes(480, a, sides[int(a.res_m)]) * len(a.bands) * (2.5 if a.is_mask else 1) for a in arrays
    ) - sum(estimate._window_bytes(480, a, 512) * len(a.bands) * (2.5 if a.is_mask else 1) for a in arrays)
    more = jp2["summer"].read_bytes - cog["summer"].read_bytes
    assert more == pytest.approx(jp2["summer"].todo * patches + look)  # one search, so one scene is looked at
    assert jp2["summer"].requests - cog["summer"].requests == 13 * COARSE_BLOCKS
