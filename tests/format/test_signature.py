"""Signatures say what pixels mean, and a choice of channels keeps names, wavelengths and statistics with their pixels."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from curation.errors import ConfigError, DamageError
from curation.format.bands import BandEntry, ResponseEntry
from curation.format.index import ArrayEntry, BandStatistics, Index
from curation.format.signature import Signature, bands_of, channels_of, signature_of, wavelengths_nm
from tests.format.test_index import index

BANDS = (
    BandEntry("s2.b02", centre_nm=492.4, width_nm=66.0, dofa_um=0.49, kind="optical", fomo=7),
    BandEntry("s1.vv", centre_mhz=5405.0, width_mhz=100.0, dofa_um=5.405, kind="radar", polarisation="VV", fomo=4),
    BandEntry("dem.height", kind="elevation", unit="m", fomo=32),
    BandEntry(
        "s2.b12", centre_nm=2202.4, width_nm=175.0, platforms=(ResponseEntry("sentinel-2b", 2185.7, 185.0),), fomo=18
    ),
)
STACK = ArrayEntry(
    "stack", (), ("B02", "VV", "height", "B12"), (4, 3, 3), "float32", "mixed", math.nan, 10.0, "data", canonical=BANDS
)
STATISTICS = {band: BandStatistics(float(i), 10.0 + i, 0.0, 100.0, 9) for i, band in enumerate(STACK.bands)}
STACKED = structs.replace(
    index(), arrays=index().arrays | {"stack_10m": STACK}, statistics=index().statistics | {"stack_10m": STATISTICS}
)
LIGHT = structs.replace(STACK, level="BOA", convention="as measured")


def test_a_signature_is_what_the_index_says():
    assert signature_of(LIGHT) == Signature(
        ("s2.b02", "s1.vv", "dem.height", "s2.b12"), (3, 3), 10.0, "mixed", "BOA", "as measured"
    )


def test_whatever_pixels_mean_by_is_in_the_digest_and_nothing_else():
    mine = signature_of(LIGHT)
    others = [
        replace(mine, bands=mine.bands[::-1]),
        replace(mine, bands=mine.bands[:3]),
        replace(mine, size_px=(3, 4)),
        replace(mine, ground_m=20.0),
        replace(mine, ground_m=None),
        replace(mine, unit="1"),
        replace(mine, level="TOA"),
        replace(mine, level=None),
        replace(mine, convention="gamma0, dB"),
        replace(mine, platform="sentinel-2a"),
    ]
    assert len({s.digest for s in (mine, *others)}) == len(others) + 1
    for same in (
        structs.replace(LIGHT, dtype="int16", nodata=-1.0),
        structs.replace(LIGHT, source="other", encoding="npy.blosc"),
        structs.replace(LIGHT, canonical=tuple(BandEntry(b.name) for b in BANDS)),  # what is known of them may grow
    ):
        assert signature_of(same).digest == mine.digest
    assert len(mine.digest) == 64


def test_the_digest_stays_what_it_is():
    mine = Signature(("s2.b04",), (256, 256), 10.0, "reflectance × 10000", "BOA", None)
    assert mine.digest == "5f5c59e574d8fc1b82b4b38f5a97bd1d97f18ba34cac17cf609b3454324b0a6c"


def test_an_array_whose_bands_nobody_said_has_names_of_its_own():
    old = structs.replace(STACK, canonical=())
    assert [b.name for b in bands_of(old)] == ["stack.b02", "stack.vv", "stack.height", "stack.b12"]
    assert wavelengths_nm(bands_of(old)) == [None] * 4


def test_wavelengths_are_missing_where_there_are_none():
    assert wavelengths_nm(BANDS) == [492.4, pytest.approx(5.546576e7), None, 2202.4]
    assert wavelengths_nm(BANDS, "sentinel-2b")[3] == 2185.7
    found = channels_of(STACKED, "stack_10m")
    assert found.wavelength_nm.dtype == np.float32
    assert np.isnan(found.wavelength_nm).tolist() == [False, False, True, False]
    assert np.isnan(found.dofa_um).tolist() == [False, False, True, False]
    assert not (found.wavelength_nm == 0).any()


@given(st.permutations(range(4)), st.integers(1, 4))
def test_a_choice_of_channels_keeps_names_wavelengths_and_statistics_with_their_pixels(order, count):
    """Each pixel of the array says which band it is of, so that none can be taken for another."""
    every = channels_of(STACKED, "stack_10m")
    pixels = np.broadcast_to(np.arange(4.0).reshape(4, 1, 1), (2, 4, 3, 3))
    chosen = [every.bands[i] for i in order[:count]]
    mine = every.select(bands=chosen)
    assert mine.bands == tuple(chosen)
    assert mine.of(pixels)[0, :, 0, 0].tolist() == list(order[:count])
    assert mine.mean.tolist() == mine.of(pixels)[1, :, 2, 2].tolist()
    assert [e.name for e in mine.entries] == chosen
    np.testing.assert_array_equal(mine.wavelength_nm, every.wavelength_nm[list(order[:count])])
    assert mine.select(bands=mine.bands[::-1]).of(pixels)[0, :, 0, 0].tolist() == list(order[:count])[::-1]
    assert (mine.signature == every.signature) is (chosen == list(every.bands))


def test_a_tensor_stays_one():
    pixels = torch.arange(4.0).reshape(1, 4, 1, 1)
    got = channels_of(STACKED, "stack_10m").select(bands=["B12", "s2.b02"]).of(pixels)
    assert isinstance(got, torch.Tensor)
    assert got.flatten().tolist() == [3.0, 0.0]


def test_a_linear_model_over_wavelengths_is_right_whatever_the_order_of_bands():
    every = channels_of(STACKED, "stack_10m")
    bands = [b for b, nm in zip(every.bands, every.wavelength_nm, strict=True) if not np.isnan(nm)]
    mine = every.select(bands=bands)
    pixels = np.full((4, 1, 1), np.nan)
    pixels[list(mine.planes), 0, 0] = 3 + 2 * mine.wavelength_nm
    for order in (bands, bands[::-1], bands[1:]):
        its = every.select(bands=order)
        np.testing.assert_array_equal(its.of(pixels)[:, 0, 0], 3 + 2 * its.wavelength_nm)


@pytest.mark.parametrize(
    ("bands", "match"),
    [
        (["s2.b03"], r"no \['s2.b03'\]; expected some of: s2.b02, s1.vv"),
        (["s2.b02", "B02"], "each once"),
        ([], "at least one"),
    ],
)
def test_bands_that_are_not_there_are_refused(bands, match):
    with pytest.raises(ConfigError, match=match):
        channels_of(STACKED, "stack_10m").select(bands=bands)


def test_an_array_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match="no array 'x'; expected one of: dem_30m"):
        channels_of(STACKED, "x")


def test_an_index_keeps_what_is_known_of_bands_and_leaves_out_what_is_not():
    value = structs.replace(STACKED, arrays=STACKED.arrays | {"stack_10m": LIGHT})
    again = Index.from_bytes(value.to_bytes())
    assert again.arrays["stack_10m"].canonical == BANDS
    assert signature_of(again.arrays["stack_10m"]) == signature_of(LIGHT)
    told = value.to_json()["arrays"]
    assert "level" not in told["s2_10m"]
    assert told["stack_10m"]["canonical"][2] == {
        "name": "dem.height", "centre_nm": None, "width_nm": None, "centre_mhz": None, "width_mhz": None,
        "kind": "elevation", "unit": "m", "fomo": 32,
    }  # fmt: skip


def test_statistics_of_other_bands_are_not_even_written():
    few = {band: STATISTICS[band] for band in STACK.bands[1:]}
    with pytest.raises(DamageError, match=r"arrays.stack_10m: statistics without \['B02'\]"):
        structs.replace(STACKED, statistics={"stack_10m": few}).to_bytes()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda s: s.pop("VV"), r"arrays.stack_10m: statistics without \['VV'\] and of \[\] besides"),
        (lambda s: s.update(HH=s["VV"]), r"arrays.stack_10m: statistics without \[\] and of \['HH'\] besides"),
    ],
)
def test_statistics_of_other_bands_than_the_array_has_are_refused_by_name(change, match):
    value = STACKED.to_json()
    change(value["statistics"]["stack_10m"])
    with pytest.raises(DamageError, match=match):
        Index.from_json(value)
