"""Bands of an index, and lists that go with them: as many, in one order, or refused by name."""

import json

import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st

from curation.errors import DamageError
from curation.format.bands import BandEntry, ResponseEntry, check_aligned, in_order


@pytest.mark.parametrize(
    ("what", "match"),
    [
        ({"kind": "gas", "centre_nm": 430.0, "width_nm": 10.0}, r"centre_nm: got 430.*'gas' has no such place"),
        ({"kind": "elevation", "centre_mhz": 9650.0, "width_mhz": 1.0}, "'elevation' has no such place"),
        ({"kind": "radar", "centre_nm": 55e6, "width_nm": 1.0}, "'radar' has no such place"),
        ({"kind": "optical", "centre_nm": 0.0, "width_nm": 1.0}, r"got 0\.0, 1\.0, expected both above 0, or neither"),
        ({"centre_nm": 490.0}, r"got 490\.0, None"),
        ({"centre_nm": 1.0, "width_nm": 1.0, "centre_mhz": 1.0, "width_mhz": 1.0}, "not both"),
        ({"native_m": 0.0}, r"native_m: got 0\.0"),
        ({"dofa_um": -1.0}, r"dofa_um: got -1\.0"),
    ],
)
def test_a_band_that_there_cannot_be_is_not_written(what, match):
    with pytest.raises(ValueError, match=match):
        BandEntry("x.y", **what)


def test_a_wavelength_is_missing_where_a_band_has_none_and_is_never_0():
    assert BandEntry("dem.height", kind="elevation").wavelength_nm() is None
    assert BandEntry("s5p.no2", kind="gas").wavelength_nm() is None
    # 299,792,458 m/s over 5.405 GHz is 5.5466 cm.
    assert BandEntry("s1.vv", centre_mhz=5405.0, width_mhz=100.0).wavelength_nm() == pytest.approx(5.546576e7)


def test_a_band_lies_elsewhere_on_another_satellite_where_that_is_known():
    b12 = BandEntry(
        "s2.b12", centre_nm=2202.4, width_nm=175.0, platforms=(ResponseEntry("sentinel-2b", 2185.7, 185.0),)
    )
    assert [b12.wavelength_nm(p) for p in (None, "sentinel-2a", "sentinel-2b")] == [2202.4, 2202.4, 2185.7]


def test_dofa_is_told_micrometres_and_of_radar_the_number_that_it_was_trained_with():
    assert BandEntry("a.b", centre_nm=655.0, width_nm=37.0).for_dofa_um == 0.655
    assert BandEntry("s2.b04", centre_nm=664.6, width_nm=31.0, dofa_um=0.665).for_dofa_um == 0.665
    assert BandEntry("s1.vv", centre_mhz=5405.0, width_mhz=100.0).for_dofa_um is None
    assert BandEntry("s1.vv", centre_mhz=5405.0, width_mhz=100.0, dofa_um=5.405).for_dofa_um == 5.405


@given(st.permutations([f"b{i}" for i in range(8)]))
def test_bands_are_in_the_order_of_their_planes_however_they_are_listed(bands):
    positions = {band: i for i, band in enumerate(bands)}
    assert in_order("x", dict(sorted(positions.items()))) == tuple(bands)


@pytest.mark.parametrize("positions", [{"a": 0, "b": 0}, {"a": 1, "b": 2}, {"a": 0, "b": 2}, {"a": -1, "b": 0}])
def test_planes_that_are_of_two_bands_or_of_none_are_refused(positions):
    with pytest.raises(DamageError, match=r"x: bands at .*expected 0 to 1, each once"):
        in_order("x", positions)


@pytest.mark.parametrize(
    ("bands", "lists", "match"),
    [
        (["a", "b"], {"mean": [1.0]}, "x: 2 bands, mean of 1: expected as many"),
        (["a", "b"], {"mean": [1.0, 2.0], "planes": 3}, "x: 2 bands, planes of 3"),
        (["a", "b"], {"statistics": {"a": 1}}, r"x: statistics without \['b'\] and of \[\] besides"),
        (["a", "b"], {"statistics": {"a": 1, "b": 1, "c": 1}}, r"without \[\] and of \['c'\] besides"),
        (["a", "a"], {}, r"x: bands \['a'\] twice"),
    ],
)
def test_what_goes_with_bands_is_one_for_each_or_refused_by_name(bands, lists, match):
    with pytest.raises(DamageError, match=match):
        check_aligned("x", bands, lists)


def test_what_is_one_for_each_band_passes():
    check_aligned("x", ("a", "b"), {"mean": [1.0, 2.0], "planes": 2, "statistics": {"b": 0, "a": 0}})


def refused(bands, lists) -> str:
    try:
        check_aligned("x", bands, lists)
    except DamageError as err:
        return str(err)
    return ""


def test_files_of_fomo_that_disagree_are_refused_by_name_and_no_other(shared):
    """Its channel maps and its statistics are of the same files, which have more planes than five of the maps name."""
    folder = shared / "data/fomo-bench"
    maps = json.loads((folder / "fomo_pretraining_datasets.json").read_text())["dataset_modality_index"]
    stats = json.loads((folder / "stats.json").read_text())
    found = {name: refused(in_order(name, of), stats[name]) for name, of in maps.items()}
    lengths = {name: said for name, said in found.items() if said}
    assert {name: said.partition(":")[2].partition(":")[0].strip() for name, said in lengths.items()} == {
        "rapidai4eo": "15 bands, mean of 16",
        "ssl4eol": "9 bands, mean of 11",
        "flair": "4 bands, mean of 5",
        "spekboom": "3 bands, mean of 4",
        "bigearthnet": "13 bands, mean of 14",
    }
    assert {name for name, said in found.items() if not said} == {
        "ssl4eos1s2",
        "waititu",
        "tallos",
        "uav",
        "fivebillionpixels",
    }


S2 = [f"s2.b{number:02d}" for number in range(1, 9)] + ["s2.b8a"] + [f"s2.b{number:02d}" for number in range(9, 13)]


def test_files_of_others_that_name_no_band_are_of_the_bands_that_one_says_or_refused(shared):
    """Which plane is which the pixels say: next to nothing of the sunlight at B10 comes back from the ground."""
    with rasterio.open(next((shared / "data/copernicus-fm").glob("*.tif"))) as tif:
        assert set(tif.descriptions) == {None}
        check_aligned(tif.name, S2, {"planes": tif.count})
        means = dict(zip(S2, tif.read().mean((1, 2)), strict=True))
    assert min(means, key=lambda band: means[band]) == "s2.b10"
    for product, bands in (("S2L1C", S2), ("S2L2A", [b for b in S2 if b != "s2.b10"])):
        for path in (shared / f"data/terramind/{product}").glob("*.tif"):
            with rasterio.open(path) as tif:
                check_aligned(path.name, bands, {"planes": tif.count})
                with pytest.raises(DamageError, match=rf"{path.name}: 2 bands, planes of {tif.count}"):
                    check_aligned(path.name, ["s1.vv", "s1.vh"], {"planes": tif.count})
