"""Composites against dense arithmetic on all layers at once, and whole builds of them."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from curation.build.composite import CompositePick, on_pixels
from curation.build.picks.clear_mean import ClearMean
from curation.build.picks.first_valid import FirstValid
from curation.build.picks.median import Median
from curation.build.picks.medoid import Medoid
from curation.store.ledger import Ledger
from tests import world as tiny
from tests.run import Curate

EPOCH = dt.date(1970, 1, 1)

# --- the arithmetic -------------------------------------------------------------------------------------------------


def dense_medoid(layers: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(band, y, x), pixel by pixel, from the definition; 0 where nothing is seen."""
    out = np.zeros(layers.shape[1:])
    for y, x in np.ndindex(*seen.shape[1:]):
        spectra = [layers[n, :, y, x].astype(float) for n in range(len(layers)) if seen[n, y, x]]
        sums = [sum(float(np.sqrt(((a - b) ** 2).sum())) for b in spectra) for a in spectra]
        if spectra:
            # Of sums that differ by rounding alone the first.
            out[:, y, x] = spectra[next(i for i, s in enumerate(sums) if s <= min(sums) * (1 + 1e-9))]
    return out


def dense_first(layers: np.ndarray, seen: np.ndarray) -> np.ndarray:
    return np.where(seen.any(axis=0), np.take_along_axis(layers, seen.argmax(axis=0)[None, None], axis=0)[0], 0)


def masked(layers: np.ndarray, seen: np.ndarray) -> np.ma.MaskedArray:
    return np.ma.masked_array(layers, np.broadcast_to(~seen[:, None], layers.shape))


DENSE: dict[type[CompositePick], Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    Median: lambda layers, seen: np.ma.median(masked(layers.astype("f8"), seen), axis=0).filled(0),
    ClearMean: lambda layers, seen: masked(layers.astype("f8"), seen).mean(axis=0).filled(0),
    Medoid: dense_medoid,
    FirstValid: dense_first,
}


@pytest.mark.parametrize("pick", DENSE)
@pytest.mark.parametrize("dtype", ["uint16", "float32"])
@given(seed=st.integers(0, 2**32), count=st.integers(1, 7), cloud=st.sampled_from([0.0, 0.4, 0.9]))
def test_a_composite_is_what_dense_arithmetic_makes_of_all_layers(pick, dtype, seed, count, cloud):
    random = np.random.default_rng(seed)
    layers = random.integers(1, 60_000, (count, 3, 5, 4)).astype(dtype)
    if dtype == "float32":
        layers = (layers - 9_000) * np.float32(1e-4)
    seen = random.random((count, 5, 4)) >= cloud
    makes = pick.model_construct(name="x").layers()
    for number, (layer, sees) in enumerate(zip(layers, seen, strict=True)):
        makes.add(number, layer, sees)
    made = makes.composed()
    assert (made.count > 0).tolist() == seen.any(axis=0).tolist()
    any_seen = np.broadcast_to(seen.any(axis=0), made.pixels.shape)
    np.testing.assert_allclose(made.pixels[any_seen], DENSE[pick](layers, seen)[any_seen], rtol=1e-12)
    if pick.counts:
        assert made.count.tolist() == seen.sum(axis=0).tolist()
    if pick.dates:
        assert made.number is not None
        its = np.take_along_axis(layers, np.maximum(made.number, 0)[None, None], axis=0)[0]
        assert (its == made.pixels)[any_seen].all(), "a spectrum that no pixel had"


@given(seed=st.integers(0, 2**32), mask=st.integers(1, 9), px=st.integers(1, 20))
def test_a_pixel_is_clear_where_all_that_it_touches_of_the_mask_is(seed, mask, px):
    clear = np.random.default_rng(seed).random((mask, mask)) > 0.3
    expected = np.ones((px, px), bool)
    for (r, c), sees in np.ndenumerate(clear):
        for y, x in np.ndindex(px, px):
            if (
                y * mask < (r + 1) * px
                and (y + 1) * mask > r * px
                and x * mask < (c + 1) * px
                and (x + 1) * mask > c * px
            ):
                expected[y, x] &= sees
    np.testing.assert_array_equal(on_pixels(clear, 1 / mask, px, 1 / px), expected)


def test_a_coarse_pixel_that_reaches_beyond_the_mask_is_judged_by_what_lies_on_it():
    clear = np.array([[True, True, True, True], [True, True, True, False], [True] * 4, [True] * 4])
    assert on_pixels(clear, 20.0, 2, 60.0).tolist() == [[True, False], [True, True]]


# --- whole builds ---------------------------------------------------------------------------------------------------

RECIPE = """
name = "tiny"
title = "Composites of one place"
seed = 7
[grid]
size_m = 480
[places]
sampler = "file"
file = "places.csv"
[seasons]
summer = {{ start = 2021-06-01, end = 2021-09-01, anchor = 2021-07-15 }}
[sources]
{sources}
[quality]
{quality}
[split]
val_fraction = 0.0
"""
HERE = (0, 0)
CLEAR, CLOUD = 4, 9
BANDS = {"B02": 10, "B04": 10, "B05": 20, "B01": 60}


class Stack(tiny.World):
    """Dates of Sentinel-2 and of Sentinel-1 that differ in every pixel, clouds and baseline."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.dates: dict[str, dict[str, np.ndarray]] = {}
        """Id of the scene → band → (y, x) on the place, without the offset, 0 where it ends; and SCL."""
        self.radar: dict[str, np.ndarray] = {}
        """Likewise (polarisation, y, x)."""

    def date(self, day: str, baseline: str, more: int, code: Callable[[Any, Any], Any], *, east_m: int = 6_000) -> str:
        """A scene whose mask has codes by (row, column) of 20 m on the place. Its id."""
        name = f"S2A_{day.replace('-', '')}"
        tilt = {b: dn(b, res, more) for b, res in BANDS.items()}
        scl = np.full((tiny.SIDE_PX // 2,) * 2, CLEAR, "u1")
        x, y = tiny.corner(*HERE)
        row, col = (tiny.Y0 - y) // 20, (x - tiny.X0) // 20
        scl[row : row + 24, col : col + 24] = np.fromfunction(code, (24, 24)).astype("u1")
        scl[row + 20, col + 8] = CLOUD  # on all dates
        scl[:, east_m // 20 :] = 0
        assets = {"SCL": self.raster(f"{name}/SCL.tif", scl, tiny._at(20), f"EPSG:{tiny.EPSG}")}
        for band, res in BANDS.items():
            tilt[band][:, east_m // res :] = 0
            stored = np.where(tilt[band] > 0, tilt[band] + (1_000 if baseline >= "04" else 0), 0).astype("u2")
            assets[band] = self.raster(f"{name}/{band}.tif", stored, tiny._at(res), f"EPSG:{tiny.EPSG}")
        more_ = {"s2__processing_baseline": baseline, "s2__mgrs_tile": "32ULC", "s2__datatake_id": f"GS2A_{day}"}
        more_ |= {"eo__cloud_cover": 1.0, "proj__epsg": tiny.EPSG, "platform": "Sentinel-2A"}
        when = dt.datetime.fromisoformat(f"{day}T10:30:00+00:00")
        footprint = tiny._footprint(tiny.X0, tiny.Y0 - 6_000, tiny.X0 + east_m, tiny.Y0)
        self.item("sentinel-2-l2a", name, when, footprint, assets, **more_)
        self.dates[name] = {b: tiny.crop(tilt[b], res, *HERE) for b, res in BANDS.items()}
        self.dates[name]["SCL"] = tiny.crop(scl, 20, *HERE)
        return name

    def pass_over(self, day: str, more: float, direction: str = "ascending", orbit: int = 37) -> str:
        """A scene of Sentinel-1 with so much more power. Its id."""
        self.s1(day, direction)
        item = self.items[-1]
        item["properties"]["sat:relative_orbit"] = orbit
        powers = [tiny.power(n, more) for n in range(2)]
        for name, pixels in zip(("vv", "vh"), powers, strict=True):
            path = self.raster(f"s1/{item['id']}/{name}.tif", pixels, tiny._at(10), f"EPSG:{tiny.EPSG}", nodata=-32768)
            item["assets"][name]["href"] = path
        self.radar[item["id"]] = np.stack([tiny.crop(p, 10, *HERE) for p in powers])
        return str(item["id"])

    def ready(self, sources: str, root: str = "root", **quality: Any) -> Curate:
        x, y = tiny.corner(*HERE)
        (self.folder / "places.csv").write_text(f"x0_m,y0_m,epsg\n{x},{y},{tiny.EPSG}\n")
        limits = "\n".join(f"{k} = {json.dumps(v)}" for k, v in quality.items())
        self.recipe.write_text(RECIPE.format(sources=sources, quality=limits))
        self.catalog.write_text(json.dumps({"type": "FeatureCollection", "features": self.items}))
        return Curate(self, self.folder / root)

    def seen(self, name: str, res_m: int) -> np.ndarray:
        """(y, x) where a date sees the ground: no cloud within the pixel, data in all bands of that resolution."""
        clear = self.dates[name]["SCL"] == CLEAR
        at = np.repeat(np.repeat(clear, 2, 0), 2, 1) if res_m == 10 else clear
        at = clear.reshape(8, 3, 8, 3).all(axis=(1, 3)) if res_m == 60 else at
        return at & np.all([self.dates[name][b] > 0 for b, res in BANDS.items() if res == res_m], axis=0)

    def layers(self, names: list[str], res_m: int) -> tuple[np.ndarray, np.ndarray]:
        """(date, band, y, x) and (date, y, x) where they are seen."""
        bands = [b for b, res in BANDS.items() if res == res_m]
        return np.stack([[self.dates[n][b] for b in bands] for n in names]), np.stack(
            [self.seen(n, res_m) for n in names]
        )


def dn(band: str, res_m: int, more: int) -> np.ndarray:
    """As of the tiny world, in another order on each date, so that medians are of many dates."""
    pixels = tiny.dn(band, res_m).astype("i4")
    row, col = np.indices(pixels.shape)
    return pixels + more * ((row * 31 + col * 17 + more) % 97)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    made = Stack(tmp_path_factory.mktemp("stack"))
    made.date("2021-07-14", "03.01", 3, lambda r, c: np.where(c < 7, CLOUD, CLEAR))
    made.date("2021-07-16", "05.00", 5, lambda r, c: np.where((r > 4) & (c > 11), CLOUD, CLEAR))
    made.date("2021-07-19", "05.00", 2, lambda r, c: np.full(np.shape(r), CLOUD))
    # It ends in the middle of the place.
    x = tiny.corner(*HERE)[0]
    made.date("2021-07-20", "03.01", 7, lambda r, c: np.where(r == 3, CLOUD, CLEAR), east_m=x - tiny.X0 + 240)
    made.date("2021-07-24", "03.01", 4, lambda r, c: np.where((r < 9) & (c > 4), CLOUD, CLEAR))
    # Of what is nowhere clear no band is read.
    for band in BANDS:
        (made.folder / "S2A_20210719" / f"{band}.tif").unlink()
    passes = ("2021-07-13", 0.4, "ascending"), ("2021-07-15", 0.0, "descending"), ("2021-07-25", 0.9, "ascending")
    for day, more, direction in passes:
        made.pass_over(day, more, direction)
    return made


ORDER = ["S2A_20210714", "S2A_20210716", "S2A_20210724", "S2A_20210720"]
"""As they are ranked: whole ones first, then by nearness to the 15th."""


def cube(curate: Curate) -> xr.Dataset:
    assert curate() == 0
    return xr.open_zarr(curate.folder / "cubes" / "world" / "summer.zarr").load().isel(patch=0)


@pytest.mark.parametrize("pick", DENSE, ids=lambda p: p.__name__)
def test_a_composite_is_of_what_is_clear_of_each_date_on_each_grid(stack: Stack, pick: type[CompositePick]):
    name = {ClearMean: "clear-mean", FirstValid: "first-valid"}.get(pick, pick.__name__.lower())
    bands = ["B02", "B04"] if pick is Medoid else list(BANDS)
    sources = f"s2l2a = {{ pick = '{name}', bands = {json.dumps(bands)} }}\ns1rtc = {{ pick = '{name}' }}"
    curate = stack.ready(sources, name, min_valid=0.9)
    found = cube(curate)
    assert str(found.reason.values) == "ok"
    (outcome,) = Ledger.replay(curate.store, "world", "summer").outcomes()
    assert outcome.sources["s2l2a"].passed_over == (), "what is nowhere clear is not read, and has no file here"
    if pick is Medoid:  # which has all that composites have beside their pixels
        assert [curate("pack"), curate("verify"), curate("report")] == [0, 0, 0]
    for res_m in {BANDS[b] for b in bands}:
        layers, seen = stack.layers(ORDER, res_m)
        expected = np.rint(DENSE[pick](layers, seen))
        np.testing.assert_array_equal(found[f"s2l2a_{res_m}m"].values, expected)
        assert (expected == 0).any(), "where no date is clear there is no data"
        if pick.counts:
            np.testing.assert_array_equal(found[f"s2l2a_count_{res_m}m"].values[0], seen.sum(axis=0))
        if pick.dates:
            days = found[f"s2l2a_day_{res_m}m"].values[0]
            of_day = {d: layers[n] for n, d in enumerate(day_of(i) for i in ORDER)}
            for day in set(days.ravel().tolist()) - {0}:
                assert (expected[:, days == day] == of_day[day][:, days == day]).all()
            assert ((days == 0) == ~seen.any(axis=0)).all()
    assert f"s2l2a_count_{10}m" in found if pick.counts else "s2l2a_count_10m" not in found
    assert "s2l2a_scl_20m" not in found
    arrays = [found[f"s2l2a_day_{BANDS[b]}m"].values for b in bands] if pick.dates else []
    used = [n for n in ORDER if not arrays or any((days == day_of(n)).any() for days in arrays)]
    assert len(used) >= 2
    assert str(found.s2l2a_scenes.values).split() == used
    assert str(found.s2l2a_dates.values).split() == sorted(f"{n[4:8]}-{n[8:10]}-{n[10:]}" for n in used)
    assert int(found.s2l2a_observations) == len(used)
    powers = np.stack([stack.radar[k] for k in sorted(stack.radar, key=lambda k: (abs_days(k), k))])
    expected = DENSE[pick](powers, np.ones((3, 48, 48), bool)).astype("f4")
    np.testing.assert_array_equal(found.s1rtc_10m.values, expected)


def abs_days(scene: str) -> int:
    return abs(int(scene.split("_")[3][6:8]) - 15)


def day_of(scene: str) -> int:
    return (dt.datetime.strptime(scene.split("_")[1], "%Y%m%d").date() - EPOCH).days


def test_a_scene_that_cannot_be_read_is_part_of_no_array(stack: Stack):
    # The second array that is read of one, which its coarse look meets; the second band of the other, which has none.
    radar = next(k for k in stack.radar if k.endswith("desc"))
    paths = [stack.folder / "S2A_20210716" / "B05.tif", stack.folder / "s1" / radar / "vh.tif"]
    whole = [p.read_bytes() for p in paths]
    for path, data in zip(paths, whole, strict=True):
        path.write_bytes(data[:200])
    sources = "s2l2a = { pick = 'median', bands = ['B02', 'B04', 'B05'] }\ns1rtc = { pick = 'clear-mean' }"
    try:
        curate = stack.ready(sources, "broken", min_valid=0.5)
        found = cube(curate)
    finally:
        for path, data in zip(paths, whole, strict=True):
            path.write_bytes(data)
    left = [n for n in ORDER if n != "S2A_20210716"]
    for res_m in (10, 20):
        bands, (layers, seen) = (2 if res_m == 10 else 1), stack.layers(left, res_m)
        np.testing.assert_array_equal(found[f"s2l2a_{res_m}m"].values, np.rint(DENSE[Median](layers, seen))[:bands])
    (outcome,) = Ledger.replay(curate.store, "world", "summer").outcomes()
    assert list(dict(outcome.sources["s2l2a"].passed_over)) == ["S2A_20210716"]
    assert list(dict(outcome.sources["s1rtc"].passed_over)) == [radar]
    powers = [stack.radar[k] for k in stack.radar if k != radar]
    np.testing.assert_array_equal(found.s1rtc_10m.values, np.mean(powers, axis=0, dtype="f8").astype("f4"))


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"min_valid": 0.999}, "cloudy:s2l2a"),
        ({"min_valid": 0.5, "max_candidates": 1}, "ok"),
        ({"min_valid": 0.9, "max_candidates": 1}, "exhausted:s2l2a"),
    ],
)
def test_a_composite_with_too_few_pixels_is_refused_with_what_they_lack(stack: Stack, limits, reason):
    curate = stack.ready("s2l2a = { pick = 'first-valid', bands = ['B02'] }", f"refused-{reason}-{limits}", **limits)
    assert str(cube(curate).reason.values) == reason


def test_radar_stands_alone_of_each_orbit_direction_in_arrays_of_its_own(stack: Stack):
    way = "{{ of = 's1rtc', pick = {{ name = 'clear-mean', orbit = '{}' }} }}"
    both = f"s1up = {way.format('ascending')}\ns1down = {way.format('descending')}"
    found = cube(stack.ready(both, "both"))
    for name, end, state in (("s1up", "asce", "ascending"), ("s1down", "desc", "descending")):
        mine = [stack.radar[k] for k in stack.radar if k.endswith(end)]
        np.testing.assert_array_equal(found[f"{name}_10m"].values, np.mean(mine, axis=0, dtype="f8").astype("f4"))
        assert str(found[f"{name}_orbits"].values) == f"{state}-37"
