from collections import Counter

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from curation.errors.codes import Code
from curation.outcomes import Reject
from curation.read import radiometry, versions
from curation.read.radiometry import Evidence

PIXELS = hnp.arrays("u2", st.integers(1, 40))


@pytest.mark.parametrize(
    ("baseline", "want"),
    [
        ("02.14", 0),
        ("0301", 0),
        ("N0301", 0),
        ("510", 1000),
        ("03.01", 0),
        ("03.99", 0),
        ("04.00", 1000),
        ("05.00", 1000),
        ("05.11", 1000),
    ],
)
def test_the_baseline_decides_and_never_the_date(baseline, want):
    for year in (2017, 2021, 2024):
        properties = {"datetime": f"{year}-06-01T00:00:00Z"}
        assert radiometry.offset_dn("baseline", properties, [{}], baseline) == want


def test_without_a_rule_there_is_no_offset():
    assert radiometry.offset_dn("none", {}, [{}], "05.00") == 0


@pytest.mark.parametrize(
    "asset",
    [
        {"raster:bands": [{"scale": 0.0001, "offset": -0.1}]},
        {"bands": [{"raster:scale": 0.0001, "raster:offset": -0.1}]},
        {"raster:scale": 0.0001, "raster:offset": -0.1, "bands": [{"name": "B02"}]},
        {"bands": [{"scale": 0.0001, "offset": -0.1}]},
    ],
)
def test_scale_and_offset_of_the_asset_in_every_form_say_what_the_pixels_carry(asset):
    assert radiometry.offset_dn("raster-bands", {}, [asset], None) == 1000


def test_an_offset_of_nothing_is_none():
    assert radiometry.offset_dn("raster-bands", {}, [{"raster:bands": [{"scale": 0.0001, "offset": 0}]}], None) == 0


@pytest.mark.parametrize(
    ("rule", "asset"),
    [
        ("baseline", {}),
        ("earth-search", {}),
        ("raster-bands", {}),
        ("raster-bands", {"raster:bands": [{"scale": 0.0001}]}),
        ("raster-bands", {"raster:bands": [{"scale": 0.0001, "offset": -0.05}]}),
        ("raster-bands", {"raster:bands": [{"scale": 1e-300, "offset": -1}]}),
    ],
)
def test_what_is_not_said_is_not_guessed(rule, asset):
    with pytest.raises(radiometry.NoBaselineError):
        radiometry.offset_dn(rule, {}, [asset], None)


@pytest.mark.parametrize("baseline", ["5.1", "3.1", "99.99", "later"])
def test_a_baseline_that_might_be_several_is_not_guessed(baseline):
    with pytest.raises(versions.UnknownVersionError):
        radiometry.offset_dn("baseline", {}, [{}], baseline)


@pytest.mark.parametrize(("applied", "want"), [(True, 0), (False, 1000), (None, 1000)])
def test_earth_search_says_whether_it_has_removed_the_offset(applied, want):
    properties = {"earthsearch:boa_offset_applied": applied}
    assert radiometry.offset_dn("earth-search", properties, [{}], "05.00") == want


@pytest.mark.parametrize(("dn", "want"), [(0, 0), (1, 1), (800, 1), (1000, 1), (1001, 1), (1002, 2), (65535, 64535)])
def test_known_pixels(dn, want):
    got = radiometry.harmonised(np.array([dn], "u2"), 1000, 0)
    assert got.dtype == np.uint16
    assert got.tolist() == [want]


@given(PIXELS, st.sampled_from([0, 1000]), st.sampled_from([0, 65535]))
@settings(deadline=None)
def test_nodata_and_only_nodata_is_nodata_and_nothing_wraps_around(dn, offset, nodata):
    got = radiometry.harmonised(dn, offset, nodata)
    assert got.dtype == dn.dtype
    assert np.array_equal(got == nodata, dn == nodata)
    valid = dn != nodata
    exact = dn.astype(np.int64) - offset
    assert np.array_equal(got[valid], np.where(exact < 1, 1, exact)[valid] if offset else dn[valid])


@given(PIXELS)
@settings(deadline=None)
def test_the_same_ground_before_and_after_baseline_4_is_the_same_number(dn):
    ground = np.clip(dn, 1, 60_000)
    carried = (ground + 1000).astype("u2")
    assert np.array_equal(radiometry.harmonised(carried, 1000, 0), ground)
    assert np.array_equal(radiometry.harmonised(ground, 0, 0), ground)


def scene(kind: str, offset: int, noise: int = 0) -> dict[str, np.ndarray]:
    """Band → digital numbers of a made-up scene; what would be below the least number of the format is that."""
    blue, red, near, short = {
        "forest": (250, 200, 3200, 1500),
        "water": (400, 150, 40, 20),
        "farmland": (500, 700, 2800, 2300),
        "city": (900, 1100, 1800, 1900),
        "desert": (1700, 3400, 3900, 4800),
        "bright desert": (2600, 4100, 4700, 5600),
        "snow": (9000, 8900, 8000, 500),
        "snow without short-wave": (9000, 8900, 8000, 8000),
        "cloud": (7000, 6800, 7200, 3500),
        "haze": (2300, 2100, 2300, 1900),
    }[kind]
    rng = np.random.default_rng([offset, noise, *kind.encode()])
    out = {}
    for band, mean in (("B02", blue), ("B04", red), ("B08", near), ("B11", short)):
        dn = np.maximum(mean * rng.normal(1, 0.12, 4000), 0) + rng.normal(0, noise, 4000)
        out[band] = np.clip(np.round(dn + offset), 1, 65535).astype("u2")
    return out


IN, NOT_IN, UNDECIDABLE = Evidence


@pytest.mark.parametrize("noise", [0, 15])
@pytest.mark.parametrize(
    ("kind", "carried", "plain"),
    [
        ("forest", IN, NOT_IN),
        ("water", IN, NOT_IN),
        ("desert", UNDECIDABLE, UNDECIDABLE),
        ("bright desert", UNDECIDABLE, UNDECIDABLE),
        ("snow without short-wave", UNDECIDABLE, UNDECIDABLE),
        ("cloud", UNDECIDABLE, UNDECIDABLE),
        ("haze", UNDECIDABLE, UNDECIDABLE),
    ],
)
def test_dark_ground_decides_and_brightness_proves_nothing(kind, carried, plain, noise):
    assert radiometry.evidence(scene(kind, 1000, noise), 1.0) is carried
    assert radiometry.evidence(scene(kind, 0, noise), 1.0) is plain


@pytest.mark.parametrize("kind", ["farmland", "city", "snow"])
def test_what_is_half_dark_is_decided_rightly_or_not_at_all(kind):
    assert radiometry.evidence(scene(kind, 1000), 1.0) is not NOT_IN
    assert radiometry.evidence(scene(kind, 0), 1.0) is not IN


@pytest.mark.parametrize(("share", "dn"), [(0.3, 960), (0.45, 600), (1.0, 850), (0.015, 1)])
def test_slightly_negative_reflectance_is_no_proof_that_the_offset_is_not_in(share, dn):
    pixels = scene("forest", 1000)
    for band in pixels:
        pixels[band][: round(share * pixels[band].size)] = dn
    assert radiometry.evidence(pixels, 1.0) is not NOT_IN


def test_a_scene_half_of_which_would_be_negative_has_no_offset():
    """Dim ground without it, no number of which is far below it: all of blue would become 1."""
    dim = {band: np.linspace(600, 900, 4096).astype("u2") for band in ("B01", "B02")}
    rest = {band: np.linspace(1100, 2500, 4096).astype("u2") for band in ("B03", "B04", "B08", "B11", "B12")}
    assert radiometry.evidence(dim | rest, 1.0) is NOT_IN
    assert radiometry.evidence({b: v + np.uint16(1000) for b, v in (dim | rest).items()}, 1.0) is not NOT_IN
    slightly = {band: np.linspace(850, 1150, 4096).astype("u2") for band in ("B01", "B02")}  # -0.015 at most
    assert radiometry.evidence(slightly | rest, 1.0) is not NOT_IN


def top(kind: str, offset: int, *, cirrus_dn: float = 20) -> dict[str, np.ndarray]:
    """The same at the top of the atmosphere, roughly: less of the ground, and light of the sky, most of it blue."""
    rng = np.random.default_rng([offset, *kind.encode()])
    sky = {"B02": 900, "B04": 350, "B08": 150, "B11": 20}
    below = {band: 0.8 * (scene(kind, 1000)[band].astype(float) - 1000) + light for band, light in sky.items()}
    below["B10"] = np.abs(rng.normal(cirrus_dn, 5, 4000))
    return {band: np.clip(np.round(dn + offset), 1, 65535).astype("u2") for band, dn in below.items()}


@pytest.mark.parametrize(
    "kind", ["forest", "water", "farmland", "city", "desert", "snow", "snow without short-wave", "cloud", "haze"]
)
def test_at_the_top_of_the_atmosphere_the_band_of_cirrus_decides_and_dark_ground_proves_no_offset(kind):
    def told(pixels, clear=1.0):
        return radiometry.evidence(pixels, clear, is_corrected=False)

    assert told(top(kind, 1000)) is IN
    assert told(top(kind, 0)) is NOT_IN
    assert told(top(kind, 1000), 0.05) is UNDECIDABLE, "of cloud alone"
    thick = top(kind, 0, cirrus_dn=1000)
    assert told(thick, 0.05) is not IN, "cloud so high and thick is no ground"
    assert told(top(kind, 1000, cirrus_dn=400)) is UNDECIDABLE
    without = {band: dn for band, dn in top(kind, 1000).items() if band != "B10"}
    assert told(without) is UNDECIDABLE
    assert told({band: dn for band, dn in top(kind, 0).items() if band != "B10"}) is not IN


def test_real_patches_of_level_1c_are_decided_by_the_band_of_cirrus(shared):
    order = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12"]
    found = {}
    for path in sorted(shared.joinpath("data/terramind/S2L1C").glob("*.tif")):
        with rasterio.open(path) as file:
            pixels = dict(zip(order, file.read(), strict=True))
        found[path.stem] = radiometry.evidence(pixels, 1.0, is_corrected=False)
        carried = found[path.stem] is IN  # of clear ground B10 has 10 and 55, and 1012 with the offset
        other = {band: np.maximum(dn + (-1000 if carried else 1000), 1) for band, dn in pixels.items()}
        assert radiometry.evidence(other, 1.0, is_corrected=False) is (NOT_IN if carried else IN)
    assert found == {"38D_378R_2_3": NOT_IN, "433D_629L_3_1": IN, "637U_59R_1_3": NOT_IN}


def test_steppe_under_a_bright_sky_has_no_offset():
    """Numbers that would prove it of the surface: blue and red from the sky, green enough."""
    pixels = {
        b: np.linspace(low, 2 * low, 4096).astype("u2") for b, low in (("B02", 1200), ("B04", 1000), ("B08", 2500))
    }
    assert radiometry.evidence(pixels, 1.0) is IN
    assert radiometry.evidence(pixels, 1.0, is_corrected=False) is UNDECIDABLE


def test_what_is_seen_through_cloud_everywhere_proves_no_offset():
    assert radiometry.evidence(scene("forest", 1000), 0.05) is UNDECIDABLE


def test_vegetation_through_haze_proves_no_offset():
    hazy = {band: np.full(400, dn, "u2") for band, dn in {"B02": 1700, "B04": 1700, "B08": 4000}.items()}
    assert radiometry.evidence(hazy, 1.0) is UNDECIDABLE
    assert radiometry.evidence({band: dn - np.uint16(300) for band, dn in hazy.items()}, 1.0) is IN


def test_few_pixels_and_few_bands_prove_little():
    dark = scene("forest", 0)
    assert radiometry.evidence({}, 1.0) is UNDECIDABLE
    assert radiometry.evidence({b: v[:10] for b, v in dark.items()}, 1.0) is UNDECIDABLE
    assert radiometry.evidence({"B04": dark["B04"]}, 1.0) is NOT_IN
    assert radiometry.evidence({"B02": scene("forest", 1000)["B02"]}, 1.0) is UNDECIDABLE


@pytest.mark.parametrize(("found", "offset"), [(IN, 0), (NOT_IN, 1000)])
def test_metadata_and_pixels_that_disagree_are_a_conflict_in_both_directions(found, offset):
    with pytest.raises(Reject) as caught:
        radiometry.check_offset(found, offset)
    assert (caught.value.code, caught.value.value) == (Code.OFFSET_CONFLICT, offset)


@pytest.mark.parametrize(("found", "offset"), [(IN, 1000), (NOT_IN, 0), (UNDECIDABLE, 0), (UNDECIDABLE, 1000)])
def test_metadata_that_pixels_do_not_contradict_are_believed(found, offset):
    radiometry.check_offset(found, offset)


@pytest.mark.parametrize("offset", [0, 1000])
def test_metadata_that_are_not_believed_want_pixels_that_bear_them_out(offset):
    with pytest.raises(Reject) as caught:
        radiometry.check_offset(UNDECIDABLE, offset, is_believed=False)
    assert (caught.value.code, caught.value.value) == (Code.OFFSET_UNPROVEN, offset)
    radiometry.check_offset(IN if offset else NOT_IN, offset, is_believed=False)


@pytest.mark.parametrize("rule", ["none", "baseline", "raster-bands", "earth-search"])
def test_only_earth_searchs_word_that_the_offset_is_still_in_is_not_believed(rule):
    assert radiometry.is_believed(rule, 0)
    assert radiometry.is_believed(rule, 1000) is (rule != "earth-search")


def test_assets_must_state_one_offset():
    plain, shifted = ({"raster:scale": 0.0001, "raster:offset": o} for o in (0, -0.1))
    assert radiometry.offset_dn("raster-bands", {}, [shifted, shifted], None) == 1000
    with pytest.raises(radiometry.NoBaselineError, match=r"mean \[0, 1000\] on top, expected one"):
        radiometry.offset_dn("raster-bands", {}, [shifted, plain], None)


@pytest.mark.slow
def test_no_real_scene_is_decided_wrongly(shared):
    """118 real dates of one place without the offset, cloud and snow and fog among them; and the same with it put in."""
    counts = {0: Counter(), 1000: Counter()}
    for folder in sorted((shared / "data" / "real-archive-belgium" / "sentinel-2-l2a").iterdir()):
        bands = {}
        for path in sorted(folder.glob("*.tif")):
            with rasterio.open(path) as file:
                pixels = file.read(1)
            bands[path.name.split("_")[0]] = pixels[pixels > 0]
        scl = bands.pop("SCL")
        clear = float(np.isin(scl, [2, 4, 5, 6]).mean()) if scl.size else 0.0
        for offset, count in counts.items():
            count[radiometry.evidence({b: v + np.uint16(offset) for b, v in bands.items()}, clear)] += 1
    assert counts[0][IN] == 0
    assert counts[1000][NOT_IN] == 0
    assert counts[0][NOT_IN] >= 55
    assert counts[1000][IN] >= 45


@pytest.mark.parametrize(("dn", "share"), [(65535, 0.02), (65000, 1.0), (30_001, 0.5)])
def test_what_is_brighter_than_any_surface_is_refused_with_its_share(dn, share):
    pixels = np.full((2, 20, 20), 3000, "u2")
    pixels[1].ravel()[: round(share * 400)] = dn
    with pytest.raises(Reject) as caught:
        radiometry.check_possible(pixels, np.ones((10, 10), bool), 0)
    assert (caught.value.code, caught.value.value) == (Code.IMPOSSIBLE, pytest.approx(share))


def test_a_coarse_pixel_is_judged_by_the_mask_where_it_lies_though_it_reaches_beyond_it():
    # 250 m: 13 pixels of 20 m, of which the first nine are cloud, and 5 of 60 m, which reach to 300 m.
    pixels = np.full((1, 5, 5), 3000, "u2")
    clear = np.ones((13, 13), bool)
    clear[:9] = False
    pixels[0, 3] = 65_000  # from 180 m on: the first row that is seen
    assert radiometry.impossible_fraction(pixels, clear, 0, 60 / 20) == 0.5
    clear[:12] = False
    assert radiometry.impossible_fraction(pixels, clear, 0, 60 / 20) == 0
    assert radiometry.impossible_fraction(np.full((1, 5, 5), 65_000, "u2"), clear, 0, 60 / 20) == 1


@pytest.mark.parametrize("dn", [65535, 64535])
def test_a_saturated_pixel_is_no_number_of_reflectance(dn):
    pixels = np.array([[[0, 1, 30_000, 64_534, dn]]], "u2")
    found = radiometry.measured(pixels, 0)
    assert found.dtype == pixels.dtype
    assert found.tolist() == [[[0, 1, 30_000, 64_534, 0]]]


def test_snow_glint_a_mirror_and_what_lies_under_cloud_are_not_impossible():
    pixels = np.full((1, 20, 20), 18_000, "u2")
    pixels[0, 0, :3] = 65535
    clear = np.ones((10, 10), bool)
    radiometry.check_possible(pixels, clear, 0)
    pixels[0, :10] = 65535
    clear[:5] = False
    radiometry.check_possible(pixels, clear, 0)
    radiometry.check_possible(pixels, np.zeros((10, 10), bool), 0)
    radiometry.check_possible(np.zeros((1, 7, 7), "u2"), np.ones((20, 20), bool), 0)


@given(
    hnp.arrays("u2", st.tuples(st.just(3), st.integers(64, 200)), elements=st.integers(700, 1700)),
    st.sampled_from([0, 1, 800]),
)
def test_evidence_is_what_numpys_medians_and_percentiles_say(dn, step):
    """The rules of `evidence` for three bands with clear ground, by NumPy's own statistics."""
    pixels = dict(zip(("B02", "B04", "B08"), (dn // max(step, 1) * max(step, 1)).astype("u2"), strict=True))
    dark = sum((v < 500).mean() >= 0.02 or np.median(v) < 800 for v in pixels.values())
    low = {band: np.percentile(v, 1) for band, v in pixels.items()}
    is_dim = min(low.values()) < 950 or max(low["B02"], low["B04"]) > 1500
    is_vegetated = np.median(pixels["B08"]) >= 1.6 * np.median(pixels["B04"])
    want = Evidence.NOT_IN if dark >= 2 else Evidence.UNDECIDABLE if is_dim or not is_vegetated else Evidence.IN
    assert radiometry.evidence(pixels, 0.5) is want


@pytest.mark.parametrize(
    ("below", "above", "want"), [(799, 801, "undecidable"), (799, 800, "not-in"), (798, 802, "undecidable")]
)
def test_the_median_of_an_even_number_is_between_two(below, above, want):
    half = np.r_[np.full(50, below), np.full(50, above)].astype("u2")
    assert radiometry.evidence({"B02": half, "B04": half}, 0.5) == want


def test_the_darkest_hundredth_lies_between_two_numbers():
    """Of 151 numbers the first percentile is halfway between the second and the third: 951 is in reach, 949 is not."""
    for third, want in ((952, "in"), (948, "undecidable")):
        dn = np.r_[np.array([940, 950, third]), np.full(148, 1400)].astype("u2")
        bright = np.full(151, 2600, "u2")
        bands = {"B02": dn, "B04": dn, "B08": bright}
        assert radiometry.evidence(bands, 0.5) == want
