"""Lattices that lie beside ours: Landsat's, whose centres are on multiples of 30 m, and aerial pictures' of another datum.

Rasters are ramps, whose numbers say where they are, in the very form that the sources expect.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp

from curation.model import Location
from curation.places import grid
from curation.read.reader import Asset, Reader
from curation.recipe.values import CODE_OF
from tests.scenes.catalog import spec

SIDE_M = 900.0


def place_at(lon: float, lat: float, size_m: float = SIDE_M) -> Location:
    epsg, x0, y0 = grid.snapped(lon, lat, size_m)
    centre = grid.transformer(epsg, 4326).transform(x0 + size_m / 2, y0 - size_m / 2)
    return Location(grid.location_id(epsg, x0, y0, size_m), *centre, epsg, x0, y0, size_m, "r")


def write(path: Path, bands: np.ndarray, transform: Affine, epsg: int, **how: object) -> None:
    """(band, y, x)."""
    count, height, width = bands.shape
    profile = {"driver": "GTiff", "tiled": True, "blockxsize": 64, "blockysize": 64, "interleave": "pixel"} | how
    with rasterio.open(
        path, "w", width=width, height=height, count=count, dtype=bands.dtype, crs=f"EPSG:{epsg}",
        transform=transform, **profile,
    ) as file:  # fmt: skip
        file.write(bands)


@pytest.mark.parametrize(
    ("lon", "lat", "epsg"), [(6.1, 51.2, 32632), (-46.6, -23.55, 32623)], ids=["north", "south, by the northern zone"]
)
def test_landsats_pixels_come_to_lie_where_they_are_and_not_half_a_pixel_beside(tmp_path, lon, lat, epsg):
    place = place_at(lon, lat)
    array = next(a for a in spec("landsat-c2-l2").arrays if a.is_data)
    x, y = grid.transformer(place.epsg, epsg).transform(place.x0_m, place.y0_m)
    west, north = (np.floor((v - 15) / 30) * 30 + 15 + 30 * more for v, more in ((x, -20), (y, 20)))
    assert (west + 15) % 30 == (north - 15) % 30 == 0  # the centre of the first pixel
    cols, rows = np.meshgrid(np.arange(80), np.arange(80))
    # A number is 40 more a pixel eastwards and 80 southwards (11 and 22 of what is stored); in the south-west is fill.
    numbers = (10_000 + 40 * cols + 80 * rows).astype("uint16")
    numbers[45:, :25] = 0
    write(tmp_path / "red.tif", numbers[None], Affine(30, 0, west, 0, -30, north), epsg)  # fill is not declared
    values = array.values("red")
    with Reader("") as reader:
        pixels, warped = reader.read([Asset(str(tmp_path / "red.tif"), "none", values=values)], array, place)
    assert warped
    n = array.px(place.size_m)
    e, s = np.meshgrid(np.arange(n), np.arange(n))
    px, py = grid.transformer(place.epsg, epsg).transform(place.x0_m + 30 * e + 15, place.y0_m - 30 * s - 15)
    number = 10_000 + 40 * ((px - west) / 30 - 0.5) + 80 * ((north - py) / 30 - 0.5)
    valid = pixels != array.nodata
    # Reflectance × 10000 is 0.275 × number - 2000. Half a pixel beside would be off by 5.5 eastwards and by 11 southwards.
    near_fill = np.abs((px - west) / 30 - 25 < 1) & ((north - py) / 30 > 44)
    np.testing.assert_allclose(pixels[valid & ~near_fill], 0.275 * number[valid & ~near_fill] - 2000, atol=0.51)
    fill = ((px - west) / 30 < 24.5) & ((north - py) / 30 > 45.5)
    assert fill.any()
    assert not valid[fill].any()
    assert valid[((px - west) / 30 > 25.5) | ((north - py) / 30 < 44.5)].all()
    assert pixels[valid].min() > 0.275 * 9_900 - 2000  # fill is never interpolated with: it would pull down to -2000


def test_the_mask_of_bits_is_cut_from_the_same_place(tmp_path):
    place = place_at(6.1, 51.2)
    array = spec("landsat-c2-l2").mask
    assert array is not None
    west, north = place.x0_m - 15, place.y0_m + 15  # as far beside as its lattice is
    numbers = np.full((40, 40), 21824, "uint16")
    numbers[:, :20] = 22280  # cloud
    numbers[35:] = 1  # fill, which files declare
    write(tmp_path / "qa.tif", numbers[None], Affine(30, 0, west, 0, -30, north), place.epsg, nodata=1)
    with Reader("") as reader:
        asset = Asset(str(tmp_path / "qa.tif"), "none", values=array.values("qa_pixel"))
        pixels, _ = reader.read([asset], array, place)
    assert (pixels[:, :18] == CODE_OF["cloudy"])[:33].all()
    assert (pixels[:, 21:] == CODE_OF["clear"])[:33].all()
    assert pixels.shape == (30, 30)


@pytest.mark.parametrize("how", [{"photometric": "RGB", "alpha": "NO"}, {}], ids=["infrared", "which GDAL calls alpha"])
@pytest.mark.parametrize("epsg", [32617, 26917], ids=["WGS 84", "NAD83, as NAIP's items state"])
def test_four_bands_of_an_aerial_picture_lie_where_they_are_and_zeros_are_numbers(tmp_path, epsg, how):
    place = place_at(-80.6, 26.97, 60.0)
    assert place.epsg == 32617
    source = spec("naip")
    (array,) = source.arrays
    form = source.catalogs["planetary-computer"]
    west, north = place.x0_m - 12, place.y0_m + 12
    cols, rows = np.meshgrid(np.arange(160), np.arange(160))
    numbers = np.stack([cols, rows, 159 - cols, np.zeros_like(cols)]).astype("uint8")
    write(tmp_path / "image.tif", numbers, Affine(0.6, 0, west, 0, -0.6, north), epsg, **how)
    with rasterio.open(tmp_path / "image.tif") as file:
        assert (file.colorinterp[3] is ColorInterp.alpha) == (not how)
    with Reader("") as reader:
        path, data = str(tmp_path / "image.tif"), form.beside("B08", array.bands)
        assert data == {1, 2, 3, 4}
        assets = [Asset(path, "none", band=form.asset_bands[b], data=data) for b in array.bands]
        read = [reader.read([asset], array, place) for asset in assets]
    e, s = np.meshgrid(np.arange(100) + 20, np.arange(100) + 20)
    assert [warped for _, warped in read] == [epsg != place.epsg] * 4
    for (pixels, _), wanted in zip(read, [e, s, 159 - e, np.zeros_like(e)], strict=True):
        np.testing.assert_array_equal(pixels, wanted)
