"""One list says what bands are: whoever uses one names it, and nothing that was made changes where the list grows."""

import json
import re
import tomllib

import pytest

from curation.errors import ConfigError
from curation.recipe import files, sourcefiles, vocabulary
from curation.recipe.bands import BandSpec
from curation.recipe.sources import SourceSpec
from curation.recipe.vocabulary import named
from tests.queries import changed

QUERIES = files.folder("stac_queries")
SOURCES = {name: sourcefiles.read(path) for name, path in sourcefiles.shipped().items()}
BANDS = vocabulary.vocabulary()


@pytest.fixture
def listed(tmp_path, monkeypatch):
    """Changes the list, for a test."""
    return changed(tmp_path, monkeypatch)


def test_light_and_radar_lie_in_the_spectrum_and_nothing_else_does():
    places = {"optical": {"nm"}, "radar": {"mhz"}}
    for band in BANDS.values():
        centres = {unit for unit in ("nm", "mhz") if getattr(band, f"centre_{unit}") is not None}
        assert centres == places.get(band.kind, set()), band.name
        assert (band.polarisation is None) is (band.kind != "radar"), band.name
        assert (band.entry.wavelength_nm() is None) is (band.kind not in places), band.name
        assert band.sensor, band.name
        assert band.unit, band.name


def test_every_band_of_every_source_is_one_of_the_list():
    for name, spec in SOURCES.items():
        for array in spec.arrays:
            if array.role in ("data", "classes", "mask"):
                made = array.bits or array.limits  # sets of a mask, by what was a band of bits
                assert {spec.band(b).name for b in array.bands} <= BANDS.keys() or made, name


def test_what_bands_are_stands_in_no_file_of_a_source():
    for name in SOURCES:
        assert all(
            isinstance(v, str) for v in tomllib.loads((QUERIES / f"{name}.toml").read_text()).get("bands", {}).values()
        )


def test_an_aerial_band_and_one_of_landsat_are_what_their_makers_say():
    assert BANDS["naip.nir"].centre_nm == BANDS["aerial.nir"].centre_nm == (808 + 882) / 2
    assert BANDS["landsat.b8"].common_name == "pan"
    assert BANDS["modis.b02"].common_name == "nir"  # STAC's table of common names
    assert BANDS["s2l1c.b10"].fomo == BANDS["s2.b10"].fomo == 16
    assert BANDS["s2.b12"].entry.wavelength_nm("sentinel-2b") == 2185.7
    assert BANDS["s1grd.vh"].polarisation == "VH"


def test_no_other_satellite_sees_a_band_far_from_where_the_first_does():
    """A digit that is wrong shows: ESA's satellites differ by less than a band's own width."""
    for band in BANDS.values():
        for centre, width in band.platforms.values():
            assert abs(centre - band.centre_nm) < band.width_nm, band.name
            assert width == pytest.approx(band.width_nm, rel=0.15), band.name


def test_fomo_s_37_channels_are_bands_of_the_list(shared):
    """By its own file: each has one band, and that is of the sensor and the band that its name says."""
    config = json.loads((shared / "data/fomo-bench/fomo_pretraining_datasets.json").read_text())
    ours = {b.fomo: b for b in BANDS.values() if b.fomo is not None and not re.match(r"s2l1c|hls|s1grd|naip", b.name)}
    assert {str(n) for n in ours} == config["modality_channels"].keys()
    assert len(ours) == 37
    sensors = {"planet": "PlanetScope", "sentinel-1": "Sentinel-1 C-SAR", "sentinel-2": "Sentinel-2 MSI",
               "landsat": "Landsat OLI", "aerial": "aerial camera", "gaofen2": "Gaofen-2 PMS"}  # fmt: skip
    colours = {"r": "red", "g": "green", "b": "blue", "swir-1": "swir16", "swir-2": "swir22", "panchromatic": "pan",
               "aerosol": "coastal"}  # fmt: skip
    for number, its in config["modality_channels"].items():
        band = ours[int(number)]
        if its == "dem":
            assert band.name == "dem.height"
            continue
        sensor, end = re.fullmatch("(sentinel-[12]|[a-z0-9]+)-(.+)", its).groups()
        assert band.sensor == sensors[sensor], its
        if sensor == "sentinel-2":
            assert band.name.removeprefix("s2.") == f"b{end[1:]:0>2}", its
        elif sensor == "sentinel-1":
            assert band.polarisation == end.upper(), its
        else:
            assert colours.get(end, end) in (band.common_name, band.common_name.rstrip("08")), its


def test_dofa_is_told_what_it_was_trained_with():
    told = {
        name: BANDS[name].entry.for_dofa_um
        for name in ("s2.b04", "s2.b08", "s1.vv", "landsat.b4", "dem.height", "s5p.no2")
    }
    assert told == {
        "s2.b04": 0.665,
        "s2.b08": 0.842,
        "s1.vv": 5.405,
        "landsat.b4": 0.655,
        "dem.height": None,
        "s5p.no2": None,
    }


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        (
            "no2 = {}",
            "no2 = { centre_nm = 430, width_nm = 10 }",
            "s5p.no2: centre_nm: got 430.*'gas' has no such place",
        ),
        ("no2 = {}", "no2 = { centre_nm = 0, width_nm = 10 }", "greater than 0"),
        ("no2 = {}", "no2 = { fomo = 7 }", r"fomo = \[7\] twice: expected each number once"),
        ("no2 = {}", 'no2 = { of = "s5p.no3" }', "s5p.no2: of = 's5p.no3': expected a band that is listed"),
        (
            "no2 = {}",
            'no2 = { of = "naip.red" }',
            "s5p.no2: of = 'naip.red': expected a band that is listed, and is of no",
        ),
        ("no2 = {}", 'no2 = { common_name = "violet" }', "common_name = 'violet': Input should be 'pan', 'coastal'"),
        ("no2 = {}", "no2 = { colour = 1 }", "colour: no such key"),
        ("no2 = {}", "NO2 = {}", "s5p.NO2: .*match pattern"),
        (
            "oa01 = { centre_nm = 400, width_nm = 15 }",
            "oa01 = { centre_nm = 400 }",
            "s3.oa01: centre_nm, width_nm: got 400",
        ),
    ],
)
def test_a_list_that_cannot_be_is_refused_by_its_file_and_band(listed, old, new, match):
    listed(old, new)
    with pytest.raises(ConfigError, match=f"bands.toml: .*{match}"):
        vocabulary.vocabulary()


def test_a_source_names_bands_or_says_what_its_own_are():
    own = {"name": "mine.red", "centre_nm": 650, "width_nm": 40, "kind": "optical"}
    assert named("s2.b04") is BANDS["s2.b04"]
    assert named({"name": "s2.b04"}) == named({"name": "s2.b04", "centre_nm": 664.6, "width_nm": 31}) == BANDS["s2.b04"]
    assert BandSpec.model_validate(named(own)).centre_nm == 650
    value = tomllib.loads((QUERIES / "s2l2a.toml").read_text())
    value["bands"]["B04"] = own
    assert SourceSpec.model_validate(value).band("B04").name == "mine.red"


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ("s2.b4", r"no band of stac_queries/bands.toml is called so; did you mean s2.b04\?"),
        (
            {"name": "s2.b04", "centre_nm": 665.0},
            "'s2.b04' is a band of .* by which centre_nm is 664.6: write its name alone",
        ),
    ],
)
def test_a_band_that_is_not_listed_so_is_refused(value, match):
    with pytest.raises(ValueError, match=match):
        named(value)


def test_a_key_of_a_band_that_is_misspelt_is_told_with_what_is_meant(tmp_path):
    text = (QUERIES / "s2l2a.toml").read_text()
    assert text.count('B04 = "s2.b04"') == 1
    own = 'B04 = { name = "my.b04", centre_nm = 650, widht_nm = 30 }'
    (tmp_path / "s2l2a.toml").write_text(text.replace('B04 = "s2.b04"', own))
    with pytest.raises(ConfigError, match=r"\[bands.B04\] widht_nm: no such key; did you mean width_nm\?"):
        sourcefiles.read(tmp_path / "s2l2a.toml")


def test_a_new_band_of_the_list_is_one_line_of_it(listed):
    listed("[sensors.s5p.bands]\n", "[sensors.s5p.bands]\nchocho = {}\n")
    band = vocabulary.vocabulary()["s5p.chocho"]
    assert (band.kind, band.unit, band.sensor, band.native_m) == ("gas", "mol m-2", "Sentinel-5P TROPOMI", 5500)


def test_a_variable_of_a_store_is_a_band_by_either_of_its_names_in_the_store_s_unit():
    long, short = vocabulary.variable("2m_temperature", "K"), vocabulary.variable("t2m", "degC")
    assert (long.name, long.kind, long.unit, long.native_m) == ("era5.t2m", "climate", "K", 27830)
    assert (short.name, short.unit) == ("era5.t2m", "degC")
    assert vocabulary.variable("total_precipitation", "m") == BANDS["era5.tp"]
    assert vocabulary.variable("wind_of_change", "m s-1") is None
    assert vocabulary.variable("b04", "1") is None  # a band, and no variable of the climate
    climate = [b for b in BANDS.values() if b.kind == "climate"]
    assert len(climate) == 5
    assert all(vocabulary.variable(b.name.partition(".")[2], b.unit) == b for b in climate)


def test_a_variable_that_two_bands_claim_is_refused(listed):
    listed('variable = "2m_dewpoint_temperature"', 'variable = "2m_temperature"')
    with pytest.raises(ConfigError, match=r"era5\.d2m: variable '2m_temperature': is era5\.t2m already"):
        vocabulary.variable("t2m", "K")
