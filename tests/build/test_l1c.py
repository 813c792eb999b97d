"""Level 1C goes with the L2A of its acquisition, on the same scale, and is judged by that one's mask."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from curation.outcomes import Status
from tests import world as tiny
from tests.jp2files import packed
from tests.run import Curate

BANDS = {**tiny.BANDS, 60: ["B01", "B09", "B10"]}
DARK_DN = 7
"""Of B10: less than nothing of it is left where the offset is taken off twice."""


def toa(band: str, res_m: int) -> np.ndarray:
    """Digital numbers, as harmonised."""
    return tiny.dn("B01", res_m) // 100 + DARK_DN if band == "B10" else tiny.dn(band, res_m) + 321


ITEM = "S2A_MSIL1C_20210710T103000_N0500_T32ULC"


def with_l1c(world: tiny.World, folder: Path, offset: int, baseline: str, bands: str = "") -> Curate:
    """The tiny world, with the L1C of 10 July in JPEG 2000, whose numbers carry `offset`, some of it saturated."""
    made = world.from_afar(folder / "world")
    assets = {}
    for res_m, names in BANDS.items():
        for band in names:
            pixels = toa(band, res_m) + np.uint16(offset)
            if band == "B04":
                row, col = (tiny.Y0 - tiny.corner(1, 1)[1]) // 10, (tiny.corner(1, 1)[0] - tiny.X0) // 10
                pixels[row, col] = 65535
            path = made.folder / f"{band}.jp2"
            path.write_bytes(packed(pixels[None], tiny._at(res_m), tiny.EPSG, blockxsize=256, blockysize=256))
            assets[band] = path.name
    made.item(
        "sentinel-2-l1c",
        ITEM,
        dt.datetime(2021, 7, 10, 10, 30, tzinfo=dt.UTC),
        tiny._footprint(tiny.X0, tiny.Y0 - 6_000, tiny.X0 + 6_000, tiny.Y0),
        assets,
        s2__processing_baseline=baseline,
        s2__mgrs_tile="32ULC",
        s2__datatake_id="GS2A_2021-07-10",
        proj__epsg=tiny.EPSG,
    )
    made.catalog.write_text(json.dumps({"type": "FeatureCollection", "features": made.items}))
    made.recipe.write_text(made.recipe.read_text().replace("[sources]\n", f"[sources]\ns2l1c = {{ {bands} }}\n"))
    return Curate(made, folder / "root")


@pytest.mark.slow
def test_level_1c_is_on_the_scale_of_level_2a_and_goes_with_it(world: tiny.World, tmp_path: Path):
    mine = with_l1c(world, tmp_path, 1000, "05.00")
    assert mine("build", "--season", "summer") == 0
    stored = xr.open_zarr(mine.folder / "cubes/europe/summer.zarr")
    ok = stored.isel(patch=np.flatnonzero(stored.status.values == Status.OK))
    assert ok.sizes["patch"] >= 8
    assert set(ok.s2l1c_scenes.values) == {ITEM}
    assert set(ok.s2l1c_offset_dn.values) == {1000}
    assert set(ok.s2l1c_baseline.values) == {"05.00"}
    assert set(ok.s2l1c_offset_evidence.values) == {"in"}
    ids = [str(i) for i in ok.id.values]
    for row, col in np.ndindex(tiny.LATTICE, tiny.LATTICE):
        if tiny.name(row, col) not in ids:
            continue
        patch = ok.isel(patch=ids.index(tiny.name(row, col)))
        for res_m, bands in BANDS.items():
            wanted = np.stack([tiny.crop(toa(b, res_m), res_m, row, col) for b in bands])
            if (row, col, res_m) == (1, 1, 10):
                wanted[bands.index("B04"), 0, 0] = 0  # saturated is missing
            np.testing.assert_array_equal(patch[f"s2l1c_{res_m}m"].values, wanted)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("offset", "baseline", "bands", "told"),
    [
        (1000, "02.14", "", "offset_conflict:s2l1c"),
        (0, "05.00", "", "offset_conflict:s2l1c"),
        (0, "02.14", "", "ok"),
        (1000, "02.14", 'bands = ["B02", "B04", "B08"]', "ok"),
    ],
)
def test_level_1c_whose_pixels_contradict_its_metadata_is_refused_as_far_as_they_can(
    world: tiny.World, tmp_path: Path, offset, baseline, bands, told
):
    mine = with_l1c(world, tmp_path, offset, baseline, bands)
    assert mine("build", "--season", "summer") == 0
    stored = xr.open_zarr(mine.folder / "cubes/europe/summer.zarr")
    reached = stored.isel(patch=np.flatnonzero(stored.s2l1c_offset_evidence.values != ""))
    assert reached.sizes["patch"] >= 8
    assert told in set(reached.reason.values)
    assert ("ok" in reached.reason.values) == (told == "ok")
    proof = "undecidable" if bands else "in" if offset else "not-in"
    assert set(reached.s2l1c_offset_evidence.values) == {proof}
    assert set(reached.s2l1c_offset_dn.values) == {0 if baseline < "04" else 1000}
