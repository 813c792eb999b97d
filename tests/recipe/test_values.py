"""What numbers in files mean: masks of bits against bits decoded by hand, scales against the sum done in float64."""

from __future__ import annotations

import tomllib
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from curation.errors import ReadError
from curation.recipe import sourcefiles
from curation.recipe.arrays import ArraySpec
from curation.recipe.dataset import load_dataset
from curation.recipe.sources import SourceSpec
from curation.recipe.units import quantity, scale_of
from curation.recipe.values import CODE_OF, BitSets, LimitSets, Values
from tests.properties import examples

EVERY_16 = np.arange(2**16, dtype=np.uint16)
CLEAR, DOUBTFUL, SNOW, CLOUDY, INVALID = (CODE_OF[n] for n in ("clear", "doubtful", "snow", "cloudy", "invalid"))


def codes_of(source: str, numbers: np.ndarray, **how: Any) -> np.ndarray:
    array = sourcefiles.read(sourcefiles.shipped()[source]).mask
    assert array is not None
    return array.values(array.bands[0]).made(numbers, np.ones(numbers.shape, bool), "uint8", 0, "x.tif", **how)


def landsat(qa: int) -> int:
    """QA_PIXEL by the table of the product's guide, bit by bit."""
    text = f"{qa:016b}"[::-1]  # text[n] is bit n
    if text[0] == "1":
        return INVALID
    if "1" in (text[1], text[2], text[3], text[4]):  # dilated cloud, cirrus, cloud, shadow
        return CLOUDY
    if text[5] == "1":
        return SNOW
    return DOUBTFUL if text[9] + text[8] == "10" else CLEAR  # medium confidence of cloud


def test_each_of_the_65536_codes_of_landsats_mask_is_what_its_bits_say():
    assert codes_of("landsat-c2-l2", EVERY_16).tolist() == [landsat(qa) for qa in range(2**16)]
    # As seen in scenes: clear, water, high cloud, shadow, snow, fill (Landsat 8-9 C2 L2 guide, table 6-3).
    real = np.array([21824, 21952, 22280, 23888, 30048, 1], np.uint16)
    assert codes_of("landsat-c2-l2", real).tolist() == [CLEAR, CLEAR, CLOUDY, CLOUDY, SNOW, INVALID]


def test_each_code_of_the_masks_of_hls_and_of_modis_is_what_its_bits_say():
    def hls(code: int) -> int:
        if code == 255:
            return INVALID
        if code % 16:
            return CLOUDY
        return SNOW if code & 16 else DOUBTFUL if code // 64 == 3 else CLEAR

    def modis(code: int) -> int:
        cloud, cirrus = code % 4, code // 256 % 4
        if code == 65535:
            return INVALID
        if cloud in (1, 2) or code // 4 % 2 or cirrus >= 2 or code // 1024 % 2:
            return CLOUDY
        if code // 4096 % 2 or code // 32768:
            return SNOW
        return DOUBTFUL if cloud == 3 or cirrus == 1 else CLEAR

    for name in ("hls-l30", "hls-s30"):
        assert codes_of(name, np.arange(256, dtype=np.uint8)).tolist() == [hls(c) for c in range(256)]
    assert codes_of("modis-09a1", EVERY_16).tolist() == [modis(c) for c in range(2**16)]


@settings(max_examples=examples(60))
@given(st.data())
def test_bits_are_those_of_the_number_whatever_its_type(data):
    dtype = data.draw(st.sampled_from(["uint8", "uint16", "int16", "uint32"]))
    most = min(np.dtype(dtype).itemsize * 8, 32)
    first = data.draw(st.integers(0, most - 1))
    last = data.draw(st.integers(first, most - 1))
    wanted = data.draw(st.integers(0, 2 ** (last - first + 1) - 1))
    info = np.iinfo(dtype)
    numbers = data.draw(st.lists(st.integers(info.min, info.max), min_size=1, max_size=30))
    sets = BitSets(cloudy=[{"bits": [first, last], "values": [wanted]}])
    codes, known = sets.codes(np.array(numbers, dtype).astype(np.int64))
    text = [f"{n % 2**64:064b}"[::-1][first : last + 1][::-1] for n in numbers]
    assert known.all()
    assert codes.tolist() == [CLOUDY if int(t, 2) == wanted else CLEAR for t in text]


def test_a_probability_is_a_mask_by_limits_that_are_not_among_what_is_meant():
    sets = LimitSets(cloudy={"above": 40}, doubtful={"above": 20}, invalid={"above": 100})
    values = Values(sets=sets)
    numbers = np.array([0, 20, 21, 40, 41, 100, 101], np.uint8)
    made = values.made(numbers, np.ones(7, bool), "uint8", 0, "p.tif")
    assert made.tolist() == [CLEAR, CLEAR, DOUBTFUL, DOUBTFUL, CLOUDY, CLOUDY, INVALID]
    unsure = np.array([np.nan, 0.5, 50], np.float32)
    assert values.made(unsure, np.array([True, True, False]), "uint8", 0, "p").tolist() == [INVALID, CLEAR, INVALID]


def test_what_is_of_none_of_the_sets_is_no_guess():
    only = Values(sets=BitSets(clear=[6], cloudy=[3]))
    numbers, valid = np.array([64, 8, 72, 2], np.uint8), np.ones(4, bool)
    assert only.made(numbers[:3], valid[:3], "uint8", 0, "qa.tif").tolist() == [CLEAR, CLOUDY, CLOUDY]
    with pytest.raises(
        ReadError, match=r"qa.tif: the mask holds 2, of which no rule of its bits or limits holds: add one"
    ):
        only.made(numbers, valid, "uint8", 0, "qa.tif")
    assert (
        only.made(numbers, numbers != 2, "uint8", 0, "qa.tif")[3] == INVALID
    )  # where the file says so, it is no pixel


@settings(max_examples=examples(60))
@given(
    st.lists(st.integers(0, 65535), min_size=1, max_size=50),
    st.floats(1e-6, 0.5),
    st.floats(-2000, 2000),
    st.sampled_from(["int16", "float32"]),
)
def test_a_scaled_number_is_the_nearest_that_the_dtype_has_and_what_is_missing_stays_so(numbers, scale, offset, dtype):
    raw = np.array(numbers, np.uint16)
    values = Values(scale, offset, missing=(0.0,))
    assume(np.abs(raw * scale + offset).max() < 32767)
    made = values.made(raw, np.ones(raw.shape, bool), dtype, -32768, "a.tif")
    exact = raw.astype(np.float64) * scale + offset
    assert made.dtype == dtype
    near = 0.5 + 1e-9 if dtype == "int16" else 1e-3
    assert (np.abs(made[raw != 0] - exact[raw != 0]) <= near).all()
    assert (made[raw == 0] == -32768).all()


def test_a_number_that_wraps_or_becomes_nodata_is_an_error():
    one = np.ones(2, bool)
    with pytest.raises(
        ReadError, match=r"a.tif: scale and offset make 130000, which int16 does not hold: take another"
    ):
        Values(2.0).made(np.array([1, 65000], np.uint16), one, "int16", -1, "a.tif")
    with pytest.raises(
        ReadError, match=r"a.tif: scale and offset make 0 of a valid pixel, which is nodata: take another"
    ):
        Values(1.0, -5.0).made(np.array([5, 6], np.uint16), one, "int16", 0, "a.tif")
    with pytest.raises(ReadError, match=r"a.tif: scale and offset make nan, which int16 does not hold"):
        Values(10.0).made(np.array([np.nan, 6], np.float32), one, "int16", 0, "a.tif")


def test_nodata_is_a_number_of_the_file_or_not_a_number_and_the_files_own_is_kept():
    array = ArraySpec(res_m=10, bands=["a"], dtype="float32", nodata=-1, unit="x", file_nodata=["nan", -3.4e38])
    raw = np.array([1.5, np.nan, np.float32(-3.4e38), 7], np.float32)
    made = array.values("a").made(raw, np.array([True, True, True, False]), "float32", -1, "a.tif")
    assert made.tolist() == [1.5, -1, -1, -1]
    assert raw[0] == 1.5
    assert np.isnan(raw[1])  # what was given is not changed


PLAIN = ArraySpec(res_m=10, bands=["a"], dtype="uint8", nodata=0, unit="x")


def test_an_array_that_says_nothing_of_files_is_told_as_before():
    plain = PLAIN
    assert set(plain.model_dump()) == {
        "res_m", "size_px", "bands", "dtype", "nodata", "unit", "up", "down", "role", "suffix",
    }  # fmt: skip
    assert plain.values("a") == Values()
    raw, valid = np.array([3, 4], np.uint8), np.array([True, False])
    assert Values().made(raw, valid, "uint16", 9, "a").tolist() == [3, 9]
    assert raw.tolist() == [3, 4]


@pytest.mark.parametrize(
    ("unit", "more", "scale", "its"),
    [
        ("reflectance × 10000", {}, 1e-4, "reflectance"),
        ("kelvin×100", {}, 0.01, "kelvin"),
        ("degC", {"times": 10}, 0.1, "degC"),
        ("degC", {}, 1, "degC"),
        ("3 × 10 m", {}, 1, "3 × 10 m"),
    ],
)
def test_how_many_times_a_number_is_stored_an_array_says_or_its_unit(unit, more, scale, its):
    array = ArraySpec(res_m=10, bands=["a"], dtype="int16", nodata=0, unit=unit, **more)
    assert (scale_of(array), quantity(array)) == (pytest.approx(scale), its)
    assert set(array.model_dump()) - set(PLAIN.model_dump()) == set(more)


def test_it_is_said_once_and_changes_no_pixel():
    with pytest.raises(ValidationError, match="unit 'K × 10' says it"):
        ArraySpec(res_m=10, bands=["a"], dtype="int16", nodata=0, unit="K × 10", times=10)
    dataset = load_dataset("starter")
    before = dataset.pixels_digest(dict.fromkeys(dataset.specs, "c"), {})
    spec = dataset.specs["dem"]
    for what in ({"times": 10.0}, {"level": "TOA"}, {"convention": "orthometric"}):
        arrays = [a.model_copy(update=what) for a in spec.arrays]
        dataset.specs["dem"] = spec.model_copy(update={"arrays": arrays})
        assert dataset.pixels_digest(dict.fromkeys(dataset.specs, "c"), {}) == before


QA = """
name = "qa"
title = "t"
kind = "optical"
pick = "clearest"
licence = "l"
[[arrays]]
res_m = 30
bands = ["m"]
role = "mask"
dtype = "uint8"
nodata = 0
unit = "set"
up = "nearest"
down = "mode"
[arrays.bits]
cloudy = [3]
[catalogs."*"]
collection = "c"
"""


def source(old: str = "", new: str = "") -> SourceSpec:
    return SourceSpec.model_validate(tomllib.loads(QA.replace(old, new, 1) if old else QA))


def test_codes_of_a_mask_of_bits_go_without_saying_and_are_in_the_digest():
    made = source()
    assert (made.clear, made.cloudy, made.invalid) == ([1], [4], [0])
    assert SourceSpec.model_validate(made.model_dump()) == made
    assert made.model_dump(mode="json")["arrays"][0]["bits"]["cloudy"] == [3]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("[[arrays]]", "cloudy = [3]\n[[arrays]]", "cloudy: codes of this mask follow from its bits or limits: leave th"),
        ("nodata = 0", "nodata = 255", "with role 'mask', dtype 'uint8' and nodata 0: it holds 0 invalid, 1 clear"),
        ('role = "mask"', 'role = "data"', "are of an array of one band with role 'mask'"),
        ("cloudy = [3]", "cloudy = [32]", "bits [32]: expected one, or the first and the last, of 0 to 31"),
        ("cloudy = [3]", "cloudy = [{ bits = [9, 8], values = [1] }]", "expected one, or the first and the last"),
        ("cloudy = [3]", "cloudy = [{ bits = [8, 9], values = [4] }]", "values [4] of bits [8, 9]: expected 0 to 3"),
        ("cloudy = [3]", "", "expected rules of at least one of invalid, cloudy, snow, doubtful, clear"),
        ("[arrays.bits]", "[arrays.limits]\nsnow = { above = 1 }\n[arrays.bits]", "'bits' or 'limits' of a mask: not both"),
        ("[arrays.bits]\ncloudy = [3]", "[arrays.limits]\ncloudy = { above = 4, below = 4 }", "nothing is above 4 and "),
        ("[arrays.bits]\ncloudy = [3]", "[arrays.limits]\ncloudy = {}", "expected 'above', 'below', or both"),
        ("[arrays.bits]", "scale = 2\n[arrays.bits]", "scale is of numbers that were measured; role 'mask' holds others"),
        ("[[arrays]]", '[[arrays]]\nres_m = 30\nbands = ["b"]\ndtype = "uint8"\nnodata = 0\nunit = "x"\nscale = { c = 2 }\n'
         "[[arrays]]", "scale: no band ['c'] in the array; it has ['b']"),
        ("[[arrays]]", '[[arrays]]\nres_m = 30\nbands = ["b"]\ndtype = "uint8"\nnodata = 0\nunit = "x"\nscale = 0\n'
         "[[arrays]]", "scale = 0 makes one number of all"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_refused_with_the_reason(old, new, expected):
    with pytest.raises(ValidationError) as err:
        source(old, new)
    assert expected in str(err.value)


def test_numbers_of_files_are_of_rasters_alone():
    swath = tomllib.loads(sourcefiles.shipped()["s5p-no2"].read_text())
    swath["arrays"][0]["scale"] = 2.0
    with pytest.raises(ValidationError, match="are of rasters that state a grid"):
        SourceSpec.model_validate(swath)
