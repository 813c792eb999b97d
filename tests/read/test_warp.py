"""Bands that lie alike: warped together they are, byte for byte, what each is when it is warped alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.model import Location
from curation.places import grid
from curation.read import warp
from curation.read.reader import Asset, Reader
from curation.recipe.arrays import ArraySpec
from tests import geotiff
from tests.properties import examples

PX, NODATA = 44, -32768.0


def place() -> Location:
    """A footprint of 440 m of zone 31, a hundred metres from where its neighbour begins."""
    epsg, x0, y0 = grid.snapped(5.99, 51.0, 440.0)
    return Location("p", 5.99, 51.0, epsg, x0, y0, 440.0, "r")


def array(dtype: str, nodata: float, method: str) -> ArraySpec:
    how: dict[str, Any] = {"role": "classes"} if method in ("nearest", "mode") else {}
    return ArraySpec(res_m=10, bands=["b"], dtype=dtype, nodata=nodata, unit="1", up=method, down=method, **how)


def write(folder: Path, at: Location, bands: np.ndarray, aside_m: float = 0.0) -> list[Asset]:
    """A file a band, on the neighbouring zone's pixels, around the footprint, or so far aside."""
    x, y = grid.transformer(at.epsg, 32632).transform(at.x0_m + 220, at.y0_m - 220)
    half = bands.shape[-1] * 5
    out = []
    for number, pixels in enumerate(bands):
        path = folder / f"{number}-{abs(hash(pixels.tobytes())):x}.tif"
        west, north = round(x / 10) * 10 - half + aside_m, round(y / 10) * 10 + half
        geotiff.write(path, pixels, west=west, north=north, res_m=10, nodata=None)
        out.append(Asset(str(path), "none"))
    return out


def each_alone(assets: list[Asset], of: ArraySpec, at: Location) -> np.ndarray:
    with Reader("") as reader:
        return np.stack([reader.read([asset], of, at)[0] for asset in assets])


def together(assets: list[Asset], of: ArraySpec, at: Location) -> np.ndarray:
    with Reader("") as reader:
        pixels, warped = reader.read_bands([[asset] for asset in assets], of, at)
    assert warped
    return pixels


@pytest.fixture
def warps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bands each warp by GDAL was of."""
    seen: list[int] = []

    class Seen(warp.WarpedVRT):
        def __init__(self, source: Any, **how: Any) -> None:
            seen.append(source.count)
            super().__init__(source, **how)

    monkeypatch.setattr(warp, "WarpedVRT", Seen)
    return seen


@given(
    st.sampled_from(["uint8", "uint16", "int16", "float32"]),
    st.sampled_from(["nearest", "bilinear", "average", "mode"]),
    st.integers(2, 6),
    st.sampled_from([0.0, 0.0, 200.0, -333.0]),
    st.sampled_from(["none", "none", "one", "some", "nearly"]),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=examples(48), deadline=None)
def test_bands_read_together_are_what_each_is_alone(tmp_path_factory, dtype, method, count, aside_m, gaps, seed):
    rng, at = np.random.default_rng(seed), place()
    nodata = NODATA if dtype in ("int16", "float32") else 0
    bands = rng.integers(1, 200, (count, 60, 60)).astype(dtype)
    if dtype == "float32":
        bands += rng.random(bands.shape, "f4")
    if gaps == "one":
        bands[rng.integers(count), 20:30, 25] = nodata
    elif gaps == "some":
        bands[rng.random(bands.shape) < 0.1] = nodata
    elif gaps == "nearly" and dtype == "float32":  # which GDAL takes for it
        bands[0, 20:30, 20:40] = np.nextafter(np.float32(nodata), np.float32(0))
    of = array(dtype, nodata, method)
    assets = write(tmp_path_factory.mktemp("alike"), at, bands, aside_m)
    assert together(assets, of, at).tobytes() == each_alone(assets, of, at).tobytes()


def test_four_bands_that_lie_alike_are_located_once(tmp_path, warps):
    at, of = place(), array("uint8", 0, "bilinear")
    bands = np.random.default_rng(1).integers(1, 200, (4, 60, 60)).astype("u1")
    assets = write(tmp_path, at, bands)
    pixels = together(assets, of, at)
    assert warps == [4]
    assert pixels.tobytes() == each_alone(assets, of, at).tobytes()


def test_bands_that_lie_otherwise_or_have_a_gap_are_located_each(tmp_path, warps):
    at, of = place(), array("uint16", 0, "bilinear")
    bands = np.random.default_rng(1).integers(1, 200, (2, 60, 60)).astype("u2")
    other = [*write(tmp_path, at, bands[:1]), *write(tmp_path, at, bands[1:] + 1, aside_m=3.0)]
    assert together(other, of, at).tobytes() == each_alone(other, of, at).tobytes()
    assert warps == [1] * 4
    bands[1, 30, 30] = 0
    gap = write(tmp_path, at, bands)
    assert together(gap, of, at).tobytes() == each_alone(gap, of, at).tobytes()
    assert warps == [1] * 8


def test_a_band_that_is_nowhere_near_is_nodata_beside_one_that_is(tmp_path):
    at, of = place(), array("uint16", 0, "bilinear")
    bands = np.random.default_rng(1).integers(1, 200, (2, 60, 60)).astype("u2")
    assets = [*write(tmp_path, at, bands[:1]), *write(tmp_path, at, bands[1:], aside_m=5000.0)]
    pixels = together(assets, of, at)
    assert pixels[0].all()
    assert not pixels[1].any()


def test_pixels_that_lie_on_the_grid_stay_as_they_are(tmp_path):
    at, of = place(), array("uint16", 0, "bilinear")
    pixels = np.random.default_rng(1).integers(1, 200, (2, PX, PX)).astype("u2")
    assets = []
    for number, its in enumerate(pixels):
        path = tmp_path / f"{number}.tif"
        geotiff.write(path, its, west=at.x0_m, north=at.y0_m, res_m=10, crs=f"EPSG:{at.epsg}", nodata=None)
        assets.append(Asset(str(path), "none"))
    with Reader("") as reader:
        found, warped = reader.read_bands([[a] for a in assets], of, at)
    assert not warped
    assert np.array_equal(found, pixels)
