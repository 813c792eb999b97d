"""A source that lies beside the one it goes with: how far it lies from that is measured, and may be too far."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy import ndimage

from curation.cubes import facts
from curation.errors import ConfigError
from curation.outcomes import Status
from curation.recipe.dataset import load_dataset
from curation.report import measurements
from curation.report.survey import survey
from tests import world as tiny
from tests.build.dates import HERE, Dates, built, outcomes, reason
from tests.run import Curate


def fields(seed: int) -> np.ndarray:
    """Fields with sharp borders, 0 to 4, of the whole world."""
    smooth = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(tiny.SIDE_PX, tiny.SIDE_PX)), 2)
    return np.digitize(smooth, np.quantile(smooth, [0.2, 0.4, 0.6, 0.8])).astype("f4")


class Beside(Dates):
    """Scenes of both sensors that show the same fields, of Sentinel-1 some pixels further east."""

    def pair(self, day: str, east_px: int, seed: int = 3) -> str:
        """Both of a day; the id of Sentinel-2's."""
        seen = fields(seed)
        self.band = self.raster(f"{day}.tif", (1000 + 500 * seen).astype("u2"), tiny._at(10), f"EPSG:{tiny.EPSG}")
        scene = self.mask(day, {})
        self.radar(day)
        power = (0.05 + 0.03 * np.roll(seen, east_px, axis=1)).astype("f4")
        for band in ("vv", "vh"):
            href = self.raster(f"{day}/{band}.tif", power, tiny._at(10), f"EPSG:{tiny.EPSG}", nodata=-32768)
            self.items[-1]["assets"][band]["href"] = href
        return scene


@pytest.fixture
def beside(tmp_path: Path) -> Beside:
    return Beside(tmp_path)


def told_shifts(curate: Curate) -> dict[str, str]:
    """What the report says of shifts in the only season."""
    found = measurements.quality(survey(curate.dataset, curate.store))
    return {m.name: m.cells[0] for m in found if m.name.startswith("shift")}


@pytest.mark.parametrize(("limit", "ok"), [(None, True), (3.5, True), (2.5, False)])
def test_a_source_beside_the_one_it_goes_with_is_refused_by_the_recipe_s_limit(beside: Beside, limit, ok):
    beside.pair("2021-07-15", 3)
    curate = beside.ready(sources="s1rtc = {}", **({"max_shift_px": limit} if limit else {}))
    found = built(curate, "s1rtc")
    stored = xr.open_zarr(curate.folder / "cubes" / "europe" / "summer.zarr").isel(patch=0)
    assert float(stored.s1rtc_shift_x_px) == pytest.approx(3, abs=0.3)
    assert "pixels of s1rtc_10m (10 m)" in stored.s1rtc_shift_x_px.attrs["long_name"]
    if ok:
        assert found.status is Status.OK
        east, south, whole = told_shifts(curate).items()
        assert (float(east[1].split()[0]), float(south[1].split()[0])) == pytest.approx((3, 0), abs=0.3)
        assert whole[0].startswith("shift, pixels of s1rtc_10m from s2l2a, 1 of 1 measurements: those with a peak of ")
        return
    assert (found.code, round(found.value)) == ("shifted", 3)
    assert reason(curate) == "shifted:s1rtc"


def test_where_a_pair_lies_apart_the_next_candidate_is_taken(beside: Beside):
    beside.pair("2021-07-16", 5)
    second = beside.pair("2021-08-10", 1)
    curate = beside.ready(sources="s1rtc = {}", max_shift_px=2.0, max_gap_days=2)
    assert built(curate).scenes == (second,)


def test_a_source_that_is_not_required_is_refused_alone_and_stores_nothing(beside: Beside):
    beside.pair("2021-07-15", 4)
    curate = beside.ready(sources="s1rtc = { required = false }", max_shift_px=1.0)
    curate()
    mine = outcomes(curate)[tiny.name(*HERE)]
    assert mine.status is Status.OK
    assert mine.sources["s1rtc"].code == "shifted"
    assert not any(name.startswith("s1rtc") for name in mine.chunks)


def test_a_shift_that_says_nothing_refuses_nothing(beside: Beside):
    beside.pair("2021-07-15", 4)
    noise = np.random.default_rng(0).gamma(4.4, 0.02, (tiny.SIDE_PX, tiny.SIDE_PX)).astype("f4")
    for band in ("vv", "vh"):
        href = beside.raster(f"noise/{band}.tif", noise, tiny._at(10), f"EPSG:{tiny.EPSG}", nodata=-32768)
        beside.items[-1]["assets"][band]["href"] = href
    curate = beside.ready(sources="s1rtc = {}", max_shift_px=0.1)
    assert built(curate, "s1rtc").status is Status.OK
    assert told_shifts(curate) == {}


def test_the_unit_of_a_shift_is_the_pixel_of_the_array_that_is_measured(beside: Beside):

    for res in (10, 20):
        sources = f"s1rtc = {{ res_m = {res} }}"
        text = beside.ready(sources=sources).world.recipe
        text.write_text(text.read_text().replace('{ bands = ["B04"] }', f'{{ bands = ["B04"], res_m = {res} }}'))
        if res == 20:  # 24 pixels are too few
            text.write_text(text.read_text().replace(f"size_m = {tiny.SIZE_M}", "size_m = 960"))
        dataset = load_dataset(str(text))
        told = {f.name: f.meaning for f in facts.schema(dataset, dataset.sources("summer"))}
        assert f"pixels of s1rtc_{res}m ({res} m)" in told["s1rtc_shift_x_px"]


def test_a_limit_of_what_is_not_measured_is_refused(beside: Beside):
    for sources in ("", "s1rtc = { res_m = 20 }"):
        recipe = beside.ready(sources=sources, max_shift_px=1.0).world.recipe
        with pytest.raises(ConfigError, match="max_shift_px = 1: no shift is measured"):
            load_dataset(str(recipe))
