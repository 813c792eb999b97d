"""Scenes whose pixels and metadata disagree, or whose pixels cannot be reflectance, through the whole of a build."""

import datetime as dt
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr

from curation.cli import main
from curation.read import radiometry
from curation.read.radiometry import Evidence
from tests import world as tiny
from tests.scenes.catalog import spec

RECIPE = tiny.recipe("One place", "s2l2a = {}", "[split]\nval_fraction = 0.0\n")

GROUND = {"B02": 300, "B03": 500, "B04": 250, "B08": 3200}
"""A meadow: digital numbers without the offset, and 2000 of bands that are not named."""


class Place(tiny.World):
    form = ""
    """Whose form the items are in; Planetary Computer's where empty."""

    def scene(self, day: str, baseline: object, offset: int, **bright: int) -> None:
        """A scene of a meadow; bands that are named are everywhere so bright."""
        item, assets = f"S2A_{day}", {}
        for res_m, bands in tiny.BANDS.items():
            for band in bands:
                row, col = np.mgrid[: 6_000 // res_m, : 6_000 // res_m]
                pixels = (GROUND.get(band, 2_000) + (3 * col + 5 * row) % 200 + offset).astype("u2")
                if band in bright:
                    pixels[:] = bright[band]
                assets[band] = self.raster(f"{item}/{band}.tif", pixels, tiny._at(res_m), f"EPSG:{tiny.EPSG}")
        scl = np.full((300, 300), 4, "u1")
        assets["SCL"] = self.raster(f"{item}/SCL.tif", scl, tiny._at(20), f"EPSG:{tiny.EPSG}")
        when = dt.datetime.fromisoformat(f"{day}T10:30:00+00:00")
        more = {"s2__processing_baseline": baseline, "s2__mgrs_tile": "32ULC", "eo__cloud_cover": 1.0}
        footprint = tiny._footprint(tiny.X0, tiny.Y0 - 6_000, tiny.X0 + 6_000, tiny.Y0)
        self.item("sentinel-2-l2a", item, when, footprint, assets, proj__epsg=tiny.EPSG, **more)

    def as_earth_search(self, applied: bool | None) -> None:
        """Makes the items those of Earth Search, with its flag, and with the offset of ESA's product beside it."""
        form = spec("s2l2a").catalogs["earth-search"]
        for item in self.items:
            item["properties"]["earthsearch:boa_offset_applied"] = applied
            stated = {"raster:bands": [{"scale": 0.0001, "offset": -0.1}]}
            item["assets"] = {form.assets[b]: asset | stated for b, asset in item["assets"].items()}
        self.form = "earth-search+"

    def built(self, places: int = 1, *, ends_with: int = 0, min_valid: float = 0.999) -> xr.Dataset:
        self.write()
        self.recipe.write_text(f"{RECIPE}[quality]\nmin_valid = {min_valid}\n")
        lines = [f"{x},{y},{tiny.EPSG}" for x, y in [tiny.corner(n, n) for n in range(places)]]
        (self.folder / "places.csv").write_text("\n".join(["x0_m,y0_m,epsg", *lines]) + "\n")
        flags = ["--dataset", str(self.recipe), "--root", str(self.folder / "root"), "--scheduler", "none"]
        assert main.main(["build", *flags, "--catalog", f"{self.form}{self.catalog}"]) == ends_with
        return xr.open_zarr(self.folder / "root/tiny/cubes/europe/summer.zarr").set_index(patch="id").load()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize(("baseline", "offset"), [("02.14", 1000), ("05.00", 0)])
def test_a_scene_whose_pixels_contradict_its_baseline_is_refused(place: Place, baseline: str, offset: int):
    place.scene("2021-07-10", baseline, offset)
    cube = place.built()
    assert cube.reason.values.tolist() == ["offset_conflict:s2l2a"]


@pytest.mark.parametrize(("baseline", "offset", "told"), [("03.01", 0, "not-in"), ("0510", 1000, "in")])
def test_a_scene_whose_pixels_bear_its_baseline_out_is_used_and_says_so(place, baseline, offset, told):
    place.scene("2021-07-10", baseline, offset)
    cube = place.built()
    assert cube.reason.values.tolist() == ["ok"]
    assert cube.s2l2a_offset_evidence.values.tolist() == [told]
    assert int(cube.s2l2a_10m[0, 0].min()) < 500


def test_a_scene_in_conflict_is_passed_over(place: Place):
    place.scene("2021-07-16", "02.14", 1000)
    place.scene("2021-06-10", "02.14", 0)
    cube = place.built()
    assert cube.s2l2a_scenes.values.tolist() == ["S2A_2021-06-10"]


def test_a_bright_scene_proves_nothing_and_its_metadata_are_followed(place: Place):
    place.scene("2021-07-10", "02.14", 0, **dict.fromkeys(tiny.ORDER, 4_000))
    cube = place.built()
    assert cube.s2l2a_offset_evidence.values.tolist() == ["undecidable"]
    assert set(np.unique(cube.s2l2a_10m.values)) == {4_000}


BRIGHT = dict.fromkeys(tiny.ORDER, 4_000)
"""What proves nothing: cloud, snow, a desert."""


@pytest.mark.parametrize(
    ("applied", "offset", "bright", "reason"),
    [
        (True, 0, {}, "ok"),
        (True, 0, BRIGHT, "ok"),
        (True, 1000, {}, "offset_conflict:s2l2a"),
        (False, 1000, {}, "ok"),
        (False, 0, {}, "offset_conflict:s2l2a"),
        (False, 0, BRIGHT, "offset_unproven:s2l2a"),
        (None, 0, BRIGHT, "offset_unproven:s2l2a"),
    ],
)
@pytest.mark.slow
def test_earth_searchs_flag_is_followed_and_that_the_offset_is_in_only_where_pixels_show_it(
    place: Place, applied, offset, bright, reason
):
    place.scene("2021-07-10", "05.10", offset, **bright)
    place.as_earth_search(applied)
    cube = place.built()
    assert cube.reason.values.tolist() == [reason]
    if reason == "ok":  # never taken off twice, whatever the assets state
        assert int(cube.s2l2a_10m[0, 0].min()) == (4_000 if bright else GROUND["B02"])


@pytest.mark.parametrize("dn", [65_000, 65_535])
@pytest.mark.slow
def test_what_cannot_be_reflectance_is_refused_and_the_next_scene_is_used(place: Place, dn: int):
    place.scene("2021-07-16", "03.01", 0, B08=dn)
    assert place.built().reason.values.tolist() == ["impossible:s2l2a"]
    other = Place(place.folder / "other")
    other.scene("2021-07-16", "03.01", 0, B08=dn)
    other.scene("2021-06-10", "03.01", 0)
    assert other.built().s2l2a_scenes.values.tolist() == ["S2A_2021-06-10"]


@pytest.mark.parametrize(("baseline", "offset"), [("03.01", 0), ("05.00", 1000)])
@pytest.mark.slow
def test_a_few_saturated_pixels_are_no_data_and_counted(place: Place, baseline: str, offset: int):
    place.scene("2021-07-16", baseline, offset)
    with rasterio.open(place.folder / "S2A_2021-07-16" / "B08.tif", "r+") as file:
        pixels = file.read(1)
        pixels.ravel()[::397] = 65_535  # a pixel of some hundred
        file.write(pixels, 1)
    cube = place.built(min_valid=0.99)
    assert cube.reason.values.tolist() == ["ok"]
    near = cube.s2l2a_10m.sel(s2l2a_10m_band="B08").values
    assert near.max() < 5_000
    assert (near == 0).sum() > 0
    assert float(cube.s2l2a_valid_fraction[0]) == pytest.approx(1 - (near == 0).mean(), abs=1e-6)


def test_an_item_whose_baseline_might_be_two_is_left_out_and_told(place: Place):
    place.scene("2021-07-16", 5.1, 1000)
    place.scene("2021-06-10", "03.01", 0)
    assert place.built(ends_with=1).s2l2a_scenes.values.tolist() == ["S2A_2021-06-10"]  # half of the items is too much


def test_evidence_is_taken_once_of_a_scene_and_the_same_for_each_patch(place: Place, monkeypatch):
    seen = []

    def counted(pixels, clear, **how):
        seen.append(sorted(pixels))
        return Evidence.NOT_IN

    monkeypatch.setattr(radiometry, "evidence", counted)
    place.scene("2021-07-10", "03.01", 0)
    cube = place.built(places=3)
    assert seen == [sorted(tiny.ORDER)]
    assert cube.s2l2a_offset_evidence.values.tolist() == ["not-in"] * 3
