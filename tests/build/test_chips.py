"""Chips held against what is stated of them: each check refuses by its own name, and is mended by its own key alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

from curation.build import chips
from curation.build.chips import CheckedChip, ChipRules
from curation.errors import ReadError
from curation.errors.codes import Code
from curation.model import Location
from curation.outcomes import Reject
from curation.read.forms.npy import Npy
from curation.read.forms.tiff import Tiff
from curation.recipe.arrays import ArraySpec
from curation.recipe.chips import MendSpec
from tests.geotiff import write

PX, RES_M = 12, 10.0
WEST, NORTH = 500_000.0, 5_600_000.0
PLACE = Location("a", 9.0, 50.5, 32632, WEST, NORTH, PX * RES_M, "world")
DB = ChipRules(Tiff(), MendSpec(), {"VV": (-80.0, 60.0), "VH": (-80.0, 60.0)}, {}, decibels=False)
ARRAY = ArraySpec(res_m=RES_M, bands=["VV", "VH"], dtype="int16", nodata=-32768, unit="sigma0, dB")


def ramp(bands: int = 2) -> np.ndarray:
    """Pixels that are their own band, row and column, as decibels may be."""
    band, row, column = np.indices((bands, PX, PX))
    return (-(band * 20 + row + column / 8)).round().astype("int16")


def checked(
    folder: Path, pixels: np.ndarray, rules: ChipRules = DB, array: ArraySpec = ARRAY, **how: Any
) -> CheckedChip:
    """The chip of these pixels in a GeoTIFF that lies where `PLACE` does, unless `how` says otherwise."""
    write(folder / "a.tif", pixels, **{"west": WEST, "north": NORTH, "res_m": RES_M} | how)
    return chips.checked(rules, array, folder, "a.tif", PLACE)


def mended(**keys: Any) -> ChipRules:
    return dataclasses.replace(DB, mend=MendSpec(**keys))


def refused(code: Code, folder: Path, *args: Any, **how: Any) -> Reject:
    """What a chip is refused for, which is that."""
    with pytest.raises(Reject) as why:
        checked(folder, *args, **how)
    assert (why.value.code, bool(why.value.cause)) == (code, True)
    return why.value


def test_a_chip_that_is_as_stated_is_kept_pixel_by_pixel(tmp_path: Path):
    made = checked(tmp_path, ramp())
    assert (made.pixels == ramp()).all()
    assert (made.pixels.dtype, made.beside_m) == (np.int16, 0.0)


def test_pixels_times_their_size_are_the_stated_footprint(tmp_path: Path):
    why = refused(Code.CHIP_FOOTPRINT, tmp_path, ramp(), res_m=60.0)  # of a band of 60 m, as stacked files have it
    assert why.value == 60.0 * PX
    assert (checked(tmp_path, ramp(), mended(pixel_m=10.0), res_m=60.0).pixels == ramp()).all()
    fine = np.kron(ramp(), np.ones((1, 4, 4), "int16"))
    assert refused(Code.CHIP_FOOTPRINT, tmp_path, fine).value == 4 * PX * RES_M  # resized, with an unchanged transform
    assert refused(Code.CHIP_SHAPE, tmp_path, fine, res_m=RES_M / 4).value == 4 * PX


def test_a_transform_that_is_off_by_rounding_alone_passes_and_one_by_a_hundredth_of_a_pixel_does_not(tmp_path: Path):
    checked(tmp_path, ramp(), res_m=RES_M * (1 + 1e-9))
    refused(Code.CHIP_FOOTPRINT, tmp_path, ramp(), res_m=RES_M + 0.02)


def test_a_chip_without_a_transform_is_held_against_its_number_of_pixels(tmp_path: Path):
    np.save(tmp_path / "a.npy", ramp())
    rules = dataclasses.replace(DB, form=Npy())
    assert (chips.checked(rules, ARRAY, tmp_path, "a.npy", PLACE).pixels == ramp()).all()
    np.save(tmp_path / "a.npy", ramp()[:, :-1, :-1])
    with pytest.raises(Reject) as why:
        chips.checked(rules, ARRAY, tmp_path, "a.npy", PLACE)
    assert (why.value.code, why.value.value) == (Code.CHIP_SHAPE, PX - 1)


def test_corners_lie_where_the_sample_does_within_half_a_pixel_or_what_is_said(tmp_path: Path):
    assert checked(tmp_path, ramp(), west=WEST + 3, north=NORTH - 4).beside_m == 5.0
    why = refused(Code.CHIP_PLACE, tmp_path, ramp(), west=WEST + 6)
    assert why.value == 6.0
    assert checked(tmp_path, ramp(), mended(within_m=6.0), west=WEST + 6).beside_m == 6.0
    assert checked(tmp_path, ramp(), mended(georeference="ignore"), west=WEST + 6000).beside_m == 0.0


def test_of_two_crs_of_one_zone_corners_are_compared_on_the_ground(tmp_path: Path):
    assert checked(tmp_path, ramp(), crs="EPSG:25832").beside_m < 1e-3  # ETRS89, which PROJ takes for WGS 84
    assert refused(Code.CHIP_PLACE, tmp_path, ramp(), crs="EPSG:32633").value > 100_000


@pytest.mark.parametrize(("crs", "res_m"), [("EPSG:4326", 1e-4), (None, RES_M), ("EPSG:2263", RES_M)])
def test_a_transform_that_is_not_in_metres_is_refused(tmp_path: Path, crs: str | None, res_m: float):
    where = {"west": 9.0, "north": 50.0} if crs == "EPSG:4326" else {}
    refused(Code.CHIP_CRS, tmp_path, ramp(), crs=crs, res_m=res_m, **where)
    assert (
        checked(tmp_path, ramp(), mended(georeference="ignore"), crs=crs, res_m=res_m, **where).pixels == ramp()
    ).all()


@pytest.mark.parametrize(
    "turned",
    [Affine(10, 0, WEST, 0, 10, NORTH - 120), Affine(0, 10, WEST, -10, 0, NORTH), Affine(10, 1, WEST, 0, -10, NORTH)],
)
def test_a_transform_that_is_turned_is_refused_whatever_is_said_of_pixels(tmp_path: Path, turned: Affine):
    write(tmp_path / "a.tif", ramp(), west=WEST, north=NORTH, res_m=RES_M)
    with rasterio.open(tmp_path / "a.tif", "r+") as file:
        file.transform = turned
    for rules in (DB, mended(pixel_m=10.0, within_m=500.0)):
        with pytest.raises(Reject, match="chip_place") as why:
            chips.checked(rules, ARRAY, tmp_path, "a.tif", PLACE)
        assert "is turned or mirrored" in (why.value.cause or "")


@pytest.mark.parametrize(
    ("crs", "west", "north", "is_true"),
    [
        ("EPSG:3857", 1_000_000, 6_500_000, False),
        ("EPSG:3857", 1_000_000, 4_000_000, False),
        ("EPSG:3035", 2_700_000, 1_600_000, True),
        ("EPSG:3413", -400_000, -1_500_000, True),
        ("EPSG:32632", 900_000, 9_000_000, True),
    ],
)
def test_metres_of_a_crs_are_of_the_ground(tmp_path: Path, crs: str, west: float, north: float, is_true: bool):
    found = chips.ChipPixels(ramp(), Affine(10, 0, west, 0, -10, north), int(crs.partition(":")[2]))
    if is_true:
        chips.check_crs(found)
        return
    with pytest.raises(Reject, match="chip_crs") as why:
        chips.check_crs(found)
    assert "m of ground there" in (why.value.cause or "")


def test_thinned_pixels_are_of_all_columns():
    plane = np.tile(np.arange(512.0), (512, 1))
    found = chips.thinned([plane], -1, 4096)
    assert (found.size <= 4096, len(set(found))) == (True, 512)


def test_bands_are_as_many_as_are_stated(tmp_path: Path):
    assert refused(Code.CHIP_SHAPE, tmp_path, ramp(3)).value == 3


def test_decibels_that_were_written_without_their_sign_are_no_decibels(tmp_path: Path):
    wrapped = ramp().view("uint16")
    assert refused(Code.UNIT_RANGE, tmp_path, wrapped).value > 65_000
    assert (checked(tmp_path, wrapped, mended(bits="int16")).pixels == ramp()).all()


def test_values_are_held_against_the_unit_that_the_recipe_states_and_not_that_of_cubes(tmp_path: Path):
    power = ARRAY.model_copy(update={"dtype": "float32", "unit": "sigma0, linear power"})
    rules = dataclasses.replace(DB, decibels=True)
    why = refused(Code.UNIT_RANGE, tmp_path, ramp().view("uint16").astype("float32"), rules, power)
    assert why.cause == "band VV holds 65524 to 65535, expected -80 to 60 of the unit that is stated, 'sigma0, dB'"


def test_a_footprint_and_a_place_that_are_both_wrong_are_told_at_once(tmp_path: Path):
    why = refused(Code.CHIP_FOOTPRINT, tmp_path, ramp(), res_m=60, west=WEST + 8, north=NORTH - 6)
    assert why.cause == (
        "12 pixels of 60 m are 720 m, expected 120 m; with pixels of 10 m a corner lies 10 m beside its sample's, expected "
        "5 m at most: say pixel_m = 10 with within_m, or georeference = 'ignore' alone"
    )
    assert checked(tmp_path, ramp(), mended(pixel_m=10.0, within_m=10.5), res_m=60, west=WEST + 8, north=NORTH - 6)
    said = refused(Code.CHIP_FOOTPRINT, tmp_path, ramp(), res_m=60, west=WEST + 3).cause or ""
    assert said.endswith("expected 120 m")
    said = refused(Code.CHIP_FOOTPRINT, tmp_path, ramp()[:, :6, :6], res_m=60).cause or ""
    assert "nor has it the 12 × 12 pixels" in said


def test_bits_are_read_as_signed_of_the_unsigned_type_alone(tmp_path: Path):
    refused(Code.CHIP_DTYPE, tmp_path, ramp(), mended(bits="int16"))


def test_one_pixel_that_its_unit_cannot_have_is_enough(tmp_path: Path):
    pixels = ramp()
    pixels[1, 3, 4] = 61
    assert refused(Code.UNIT_RANGE, tmp_path, pixels).value == 61


@pytest.mark.parametrize("fill", [-9999, 9999])
def test_a_fill_value_that_nobody_declares_is_told_as_such_and_named_is_nodata(tmp_path: Path, fill: int):
    pixels = ramp()
    pixels[0, :2] = fill
    assert refused(Code.UNDECLARED_NODATA, tmp_path, pixels).value == fill
    array = ARRAY.model_copy(update={"file_nodata": [float(fill)]})
    made = checked(tmp_path, pixels, array=array).pixels
    assert (made[0, :2] == array.nodata).all()
    assert (made[pixels != fill] == pixels[pixels != fill]).all()


def test_nodata_that_a_file_declares_is_one_that_the_recipe_names(tmp_path: Path):
    assert refused(Code.UNDECLARED_NODATA, tmp_path, ramp(), nodata=-7).value == -7
    array = ARRAY.model_copy(update={"file_nodata": [-7.0]})
    assert (checked(tmp_path, ramp(), array=array, nodata=-7).pixels == np.where(ramp() == -7, -32768, ramp())).all()


def test_nodata_that_a_file_declares_is_read_by_the_bits_that_its_pixels_are_read_by(tmp_path: Path):
    wrapped = ramp().view("uint16").copy()
    assert (ramp()[0] == -1).any()
    why = refused(Code.UNDECLARED_NODATA, tmp_path, wrapped, mended(bits="int16"), nodata=65535)
    assert (why.value, "declares 65535, -1 by mend bits, expected -32768" in (why.cause or "")) == (-1, True)
    array = ARRAY.model_copy(update={"file_nodata": [-1.0]})
    made = checked(tmp_path, wrapped, mended(bits="int16"), array, nodata=65535).pixels
    assert (made == np.where(ramp() == -1, -32768, ramp())).all()


def test_each_file_of_a_band_says_itself_what_is_no_data(tmp_path: Path):
    rules = dataclasses.replace(DB, file_bands={"VV": "vv", "VH": "vh"})
    where = {"west": WEST, "north": NORTH, "res_m": RES_M}
    write(tmp_path / "a_vv.tif", ramp()[0], nodata=-32768, **where)
    write(tmp_path / "a_vh.tif", np.zeros((PX, PX), "int16"), nodata=0, **where)
    with pytest.raises(Reject, match="undeclared_nodata") as why:
        chips.checked(rules, ARRAY, tmp_path, "a_{band}.tif", PLACE)
    assert why.value.value == 0
    array = ARRAY.model_copy(update={"file_nodata": [0.0]})
    assert (chips.checked(rules, array, tmp_path, "a_{band}.tif", PLACE).pixels[1] == -32768).all()


def test_a_mask_of_a_bands_own_file_is_of_that_band_alone(tmp_path: Path):
    rules = dataclasses.replace(DB, file_bands={"VV": "vv", "VH": "vh"})
    for n, name in enumerate(("vv", "vh")):
        write(tmp_path / f"a_{name}.tif", ramp()[n], west=WEST, north=NORTH, res_m=RES_M)
    mask = np.full((PX, PX), 255, "uint8")
    mask[2, 3] = 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(tmp_path / "a_vh.tif", "r+") as file:
        file.write_mask(mask)
    made = chips.checked(rules, ARRAY, tmp_path, "a_{band}.tif", PLACE).pixels
    assert (made[0] == ramp()[0]).all()
    assert (made[1] == np.where(mask > 0, ramp()[1], -32768)).all()


def test_a_map_holds_codes_of_its_legend_and_no_data(tmp_path: Path):
    rules = dataclasses.replace(DB, limits={}, codes=(1, 2))
    array = ArraySpec(
        res_m=RES_M, bands=["class"], dtype="uint8", nodata=0, unit="class", role="classes", up="nearest", down="mode"
    )
    codes = np.resize(np.array([0, 1, 2], "uint8"), (1, PX, PX))
    assert (checked(tmp_path, codes, rules, array).pixels == codes).all()
    codes[0, 5, 5] = 77
    why = refused(Code.UNIT_RANGE, tmp_path, codes, rules, array)
    assert (why.value, "holds 77, expected codes of the legend: 1, 2" in (why.cause or "")) == (77, True)


def test_nan_is_refused_unless_it_is_named(tmp_path: Path):
    pixels = ramp().astype("float32")
    pixels[1, 0, 0] = np.nan
    refused(Code.UNDECLARED_NODATA, tmp_path, pixels)
    array = ARRAY.model_copy(update={"file_nodata": ["nan"]})
    assert checked(tmp_path, pixels, array=array).pixels[1, 0, 0] == -32768


def test_numbers_that_the_dtype_does_not_hold_exactly_are_refused(tmp_path: Path):
    pixels = ramp().astype("float32")
    assert (checked(tmp_path, pixels).pixels == ramp()).all()
    pixels[0, 0, 0] = -0.5
    assert refused(Code.CHIP_DTYPE, tmp_path, pixels).value == -0.5


def test_a_double_is_rounded_to_a_float_and_never_to_infinity(tmp_path: Path):
    array = ARRAY.model_copy(update={"dtype": "float32"})
    pixels = ramp() / 3.0
    made = checked(tmp_path, pixels, array=array).pixels
    assert (pixels.dtype, (made == pixels.astype("float32")).all()) == (np.float64, True)
    pixels[0, 0, 0] = 1e300
    assert refused(Code.CHIP_DTYPE, tmp_path, pixels, dataclasses.replace(DB, limits={}), array).value == 1e300
    whole = np.full((2, PX, PX), 2**24 + 1, "int32")  # which no float32 is, and nobody measured to its rounding
    refused(Code.CHIP_DTYPE, tmp_path, whole, dataclasses.replace(DB, limits={}), array)


def test_decibels_of_a_radar_become_power(tmp_path: Path):
    array = ARRAY.model_copy(update={"dtype": "float32", "nodata": -32768.0, "file_nodata": [-9.0]})
    made = checked(tmp_path, ramp(), dataclasses.replace(DB, decibels=True), array).pixels
    gaps = ramp() == -9
    assert (made[gaps] == -32768).all()
    np.testing.assert_allclose(10 * np.log10(made[~gaps]), ramp()[~gaps], atol=1e-5)


def test_a_file_that_is_cut_is_an_error_and_never_zeros(tmp_path: Path):
    checked(tmp_path, ramp())
    data = (tmp_path / "a.tif").read_bytes()
    for cut in (len(data) // 2, 100, 0):
        (tmp_path / "a.tif").write_bytes(data[:cut])
        with pytest.raises(ReadError, match=r"a\.tif"):
            chips.checked(DB, ARRAY, tmp_path, "a.tif", PLACE)


def test_bands_of_files_of_their_own_are_put_together_and_must_be_alike(tmp_path: Path):
    rules = dataclasses.replace(DB, file_bands={"VV": "vv", "VH": "vh"})
    for n, name in enumerate(("vv", "vh")):
        write(tmp_path / f"a_{name}.tif", ramp()[n], west=WEST, north=NORTH, res_m=RES_M)
    assert (chips.checked(rules, ARRAY, tmp_path, "a_{band}.tif", PLACE).pixels == ramp()).all()
    write(tmp_path / "a_vh.tif", ramp()[1], west=WEST + 10, north=NORTH, res_m=RES_M)
    with pytest.raises(Reject, match="chip_shape"):
        chips.checked(rules, ARRAY, tmp_path, "a_{band}.tif", PLACE)


def test_a_few_values_far_from_all_others_make_the_spread_odd_and_a_rare_thing_does_not():
    heights = np.random.default_rng(0).normal(300, 100, 10_000)
    assert not chips.has_odd_spread(heights)
    heights[:50] = -32768  # half a percent: neither percentile is one of them
    assert chips.has_odd_spread(heights)
    rare = np.zeros(10_000)
    rare[:50] = 1
    assert not chips.has_odd_spread(rare)
    assert not chips.has_odd_spread(np.empty(0))


def test_a_mask_of_the_file_says_what_is_no_data(tmp_path: Path):
    checked(tmp_path, ramp())
    mask = np.full((PX, PX), 255, "uint8")
    mask[2, 3] = 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(tmp_path / "a.tif", "r+") as file:
        file.write_mask(mask)
    made = chips.checked(DB, ARRAY, tmp_path, "a.tif", PLACE).pixels
    assert (made[:, 2, 3] == ARRAY.nodata).all()
    assert (made[:, mask > 0] == ramp()[:, mask > 0]).all()
