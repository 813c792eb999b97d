"""Pixels become pictures by one rule, and what has no data is never taken for what is dark."""

import dataclasses

import numpy as np
import pytest
from msgspec.structs import replace

from curation.errors import ConfigError
from curation.format.bands import BandEntry
from curation.format.index import ArrayEntry
from curation.pack.export.limits import spoken
from curation.pack.export.rendering import Rendering, ViewChannel, channels_of, unit_of


def entry(bands: tuple[str, ...], side: int = 4, res_m: float = 10.0, **other) -> ArrayEntry:
    canonical = tuple(BandEntry(f"s2.{b.lower()}", common_name=_COMMON.get(b)) for b in bands)
    how = {"dtype": "uint16", "unit": "reflectance × 10000", "nodata": 0.0, "canonical": canonical} | other
    return ArrayEntry("s2l2a", ("summer",), bands, (len(bands), side, side), how.pop("dtype"), how.pop("unit"),
                      how.pop("nodata"), res_m, "data", **how)  # fmt: skip


_COMMON = {"B04": "red", "B03": "green", "B05": "rededge", "B06": "rededge"}

FINE, COARSE = entry(("B03", "B04")), entry(("B05", "B06"), 2, 20.0)
OPTICAL = {"s2l2a_10m": FINE, "s2l2a_20m": COARSE}
RADAR = {
    "s1_10m": entry(("VV", "VH"), dtype="float32", unit="gamma0, linear power", nodata=-32768.0, canonical=()),
}


def rendering(asked, entries, low=0.0, high=1.0, gamma=1.0) -> Rendering:
    channels = tuple(dataclasses.replace(c, low=low, high=high) for c in channels_of(asked, entries))
    return Rendering("s2l2a", "summer", channels, gamma)


@pytest.mark.parametrize("asked", [["B04", "B03"], ["s2.b04", "s2.b03"], ["red", "green"], ["b04", "Green"]])
def test_a_band_is_found_by_each_of_its_names(asked):
    assert [(c.array, c.planes) for c in channels_of(asked, OPTICAL)] == [("s2l2a_10m", (1,)), ("s2l2a_10m", (0,))]


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (["B04", "B3"], "did you mean b"),
        (["rededge"], "no band"),  # two have that name
        (["B04-B05"], "of one array"),
        (["B03-B04-B03"], "expected one band, or two"),
    ],
)
def test_what_is_no_channel_is_refused_and_what_there_is_is_named(asked, why):
    with pytest.raises(ConfigError, match=why):
        channels_of(asked, OPTICAL)


def test_pixels_that_do_not_nest_are_refused():
    for odd in (
        entry(("B05", "B06"), 3, 20.0),
        entry(("B05", "B06"), 2, 20.0, has_offsets=True),
        entry(("B05",), 3, 15.0),
    ):
        with pytest.raises(ConfigError, match="do not hold whole ones"):
            channels_of(["B04", "B05"], {"s2l2a_10m": FINE, "s2l2a_20m": odd})


def test_coarse_pixels_that_reach_beyond_the_footprint_are_cut_there():
    entries = {"a_10m": entry(("B04",), 5), "a_30m": entry(("B05",), 2, 30.0)}
    pixels = {"a_10m": np.ones((1, 5, 5)), "a_30m": np.array([[[1, 2], [3, 4]]])}
    values, _ = rendering(["B05", "B04"], entries).values(pixels, entries)
    assert values[0].tolist() == [[1, 1, 1, 2, 2]] * 3 + [[3, 3, 3, 4, 4]] * 2


def test_coarse_pixels_are_repeated_onto_the_finest_grid():
    pixels = {"s2l2a_10m": np.arange(1, 33).reshape(2, 4, 4), "s2l2a_20m": np.arange(1, 9).reshape(2, 2, 2)}
    values, valid = rendering(["B04", "B06"], OPTICAL).values(pixels, OPTICAL)
    assert valid.all()
    assert values[0].tolist() == np.arange(17, 33).reshape(4, 4).tolist()
    assert values[1].tolist() == [[5, 5, 6, 6], [5, 5, 6, 6], [7, 7, 8, 8], [7, 7, 8, 8]]


def test_a_pixel_without_data_in_one_band_has_none_in_any():
    pixels = {"s2l2a_10m": np.full((2, 4, 4), 500)}
    pixels["s2l2a_10m"][0, 1, 2] = 0
    made = rendering(["B04", "B03"], OPTICAL, 100, 1100)
    values, valid = made.values(pixels, OPTICAL)
    assert np.argwhere(~valid).tolist() == [[1, 2]]
    unit = made.unit(values, valid)
    assert unit[:, 1, 2].tolist() == [0, 0]
    assert (unit[:, valid] == 0.4).all()


def test_brightness_is_linear_between_limits_and_cut_there_and_gamma_lifts_what_is_dark():
    values, valid = np.array([[[-5.0, 0.0, 25.0, 100.0, 900.0]]]), np.ones((1, 5), bool)
    channel = ViewChannel("x", "a", (0,), (), 0.0, 100.0)
    assert Rendering("s", None, (channel,)).unit(values, valid).tolist() == [[[0, 0, 0.25, 1, 1]]]
    assert Rendering("s", None, (channel,), 2.0).unit(values, valid).tolist() == [[[0, 0, 0.5, 1, 1]]]


def test_linear_power_is_looked_at_in_db_and_what_is_not_above_zero_has_no_data():
    power = np.full((2, 4, 4), 0.1, np.float32)
    power[1] = 0.01
    power[0, 0, :3] = 0.0, -0.001, -32768.0
    made = rendering(["VV", "VH", "VV-VH"], RADAR)
    values, valid = made.values({"s1_10m": power}, RADAR)
    assert values[:, 3, 3] == pytest.approx([-10, -20, 10])
    assert np.argwhere(~valid).tolist() == [[0, 0], [0, 1], [0, 2]]
    assert unit_of(RADAR["s1_10m"]) == "gamma0, dB"


def test_hundredths_of_db_are_looked_at_in_db():
    entries = {"s1_10m": replace(RADAR["s1_10m"], dtype="int16", unit="gamma0, hundredths of a dB")}
    stored = np.full((2, 4, 4), -1000, np.int16)
    stored[1] = -2050
    stored[0, 0, 0] = -32768
    values, valid = rendering(["VV", "VH", "VV-VH"], entries).values({"s1_10m": stored}, entries)
    assert values[:, 3, 3] == pytest.approx([-10, -20.5, 10.5])
    assert np.argwhere(~valid).tolist() == [[0, 0]]
    assert unit_of(entries["s1_10m"]) == "gamma0, dB"


def test_nan_as_nodata_is_no_data():
    entries = {"s1_10m": replace(RADAR["s1_10m"], nodata=float("nan"))}
    power = np.ones((2, 4, 4), np.float32)
    power[1, 2, 2] = np.nan
    _, valid = rendering(["VV", "VH"], entries).values({"s1_10m": power}, entries)
    assert np.argwhere(~valid).tolist() == [[2, 2]]


def test_limits_are_one_pair_for_all_or_one_each():
    channels = channels_of(["B04", "B03"], OPTICAL)
    assert [(c.low, c.high) for c in spoken(["0:3000"], channels)] == [(0, 3000)] * 2
    assert [(c.low, c.high) for c in spoken(["-1:2", "0.5:9"], channels)] == [(-1, 2), (0.5, 9)]
    for wrong in (["0:1", "0:1", "0:1"], ["3:1"], ["1:1"], ["a:b"], ["5"], ["0:inf"]):
        with pytest.raises(ConfigError, match="--limits"):
            spoken(wrong, channels)
