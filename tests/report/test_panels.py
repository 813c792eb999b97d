"""What of a source is drawn, and how it is told; why there is nothing to draw."""

import matplotlib
import numpy as np
import pytest

from curation.build import kinds
from curation.errors import ConfigError
from curation.errors.codes import Code
from curation.model import Location
from curation.outcomes import SourceOutcome, Status
from curation.recipe import files, sourcefiles
from curation.recipe.pictures import ClassSpec
from curation.recipe.sourcefiles import NO_SOURCES
from curation.recipe.sources import SourceSpec
from curation.recipe.toml import read_toml
from curation.report import contact_sheet, palette, panels
from curation.report.panels import Panel

PLACE = Location("p", 9.0, 50.0, 32632, 500_000.0, 5_540_000.0, 480.0, "here")
QUERIES = files.folder("stac_queries")
SOURCES = sorted(p.stem for p in QUERIES.glob("*.toml") if p.stem not in NO_SOURCES)


def shipped(name: str) -> SourceSpec:
    return read_toml(QUERIES / f"{name}.toml", SourceSpec)


def drawn(spec: SourceSpec, array, pixels: np.ndarray, **small: bool) -> list[panels.Panel]:
    return panels.of_array(spec, spec.array_name(array), array, pixels, PLACE, **small)


def words(found: list[panels.Panel]) -> str:
    """All that pictures say, in one."""
    return " ".join(f"{p.title} {p.detail} {p.more}" for p in found)


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (SourceOutcome(Status.REJECTED, Code.CLOUDY, 0.5), "rejected: cloudy (clear fraction 0.5). No covering scene "),
        (
            SourceOutcome(Status.FAILED, Code.LOCAL_HREF, cause="LocalHrefError: /etc/x: lies outside"),
            "LocalHrefError: /etc/x: lies outside.",
        ),
        (SourceOutcome(Status.FAILED, "ReadError", cause="ReadError: gone"), "failed: ReadError. ReadError: gone."),
        (SourceOutcome(Status.FAILED, "ReadError"), "failed: ReadError"),
    ],
)
def test_a_reason_is_told_with_what_its_code_means_and_with_the_errors_own_words(outcome, told):
    assert told in panels.reason(outcome)
    assert not outcome.cause or outcome.cause in panels.reason(outcome)


@pytest.mark.parametrize(
    ("share", "told"),
    [(0, "0 %"), (1e-6, "<1 %"), (0.005, "<1 %"), (0.006, "1 %"), (0.5, "50 %"), (0.9999, ">99 %"), (1, "100 %")],
)
def test_a_share_is_none_or_all_only_where_it_is(share: float, told: str):
    assert panels.percent(share) == told


def test_shares_of_a_class_map_are_of_what_has_data_and_what_has_none_is_told():
    spec = shipped("worldcover")
    array = next(iter(spec.arrays))
    pixels = np.full((1, 10, 10), 10, np.uint8)
    pixels[0, :2] = array.nodata
    pixels[0, 9, 9] = 80
    (found,) = drawn(spec, array, pixels)
    assert [name for name, _ in found.legend] == ["tree cover 99 %", "permanent water bodies 1 %"]
    assert found.more.endswith(" · no data 20 %")
    (whole,) = drawn(spec, array, np.full((1, 10, 10), 10, np.uint8))
    assert "no data" not in whole.more


@pytest.mark.parametrize(
    ("lat", "lon", "told"), [(51.147, 5.79291, "51.1470°N, 5.7929°E"), (-0.5, -60.0, "0.5000°S, 60.0000°W")]
)
def test_a_place_is_told_with_the_sides_it_is_on(lat: float, lon: float, told: str):
    assert panels.place_in_words(Location("p", lon, lat, 32632, 0.0, 0.0, 480.0, "here")) == told


@pytest.mark.parametrize(
    ("bands", "said", "titles"),
    [
        (["VV"], "VV −20…0 dB", ["Radar VV"]),
        (["VH"], "VH −27…−7 dB", ["Radar VH"]),
        (["VV", "VH"], "VV −20…0 dB, VH −27…−7 dB, VV/VH 2…14 dB", ["Radar", "Radar VV", "Radar VH"]),
        (["HV", "HH"], "HH −20…0 dB, HV −27…−7 dB, HH/HV 2…14 dB", ["Radar", "Radar HH", "Radar HV"]),
    ],
)
def test_of_one_polarisation_nothing_is_said_or_drawn_of_another(bands, said, titles):
    spec = shipped("s1rtc")
    array = spec.arrays[0].model_copy(update={"bands": bands})
    assert panels.said([(spec, [array])]) == f"Drawn between the same values everywhere: {said}."
    power = {"VV": 0.1, "HH": 0.1, "VH": 10**-1.7, "HV": 10**-1.7}
    found = drawn(spec, array, np.stack([np.full((48, 48), power[b], "float32") for b in bands]))
    assert [p.title for p in found] == titles
    assert all(p.image[..., 3].all() for p in found)
    absent = {"VV", "VH", "HH", "HV"} - set(bands)
    assert not any(band in words(found) for band in absent)
    if len(bands) == 2:  # −10 and −17 dB, each in the middle of its range, and 7 dB between them
        assert found[0].image[0, 0, :3].tolist() == [128, 128, round(255 * 5 / 12)]


def test_a_number_of_something_is_told_without_a_unit_and_one_that_is_the_same_everywhere_once():
    spec = shipped("s5p-no2")
    array = next(a for a in spec.arrays if a.unit == "1")
    array = array.model_copy(update={"bands": array.bands[:1]})
    (same,), (other,) = (drawn(spec, array, np.array([[[3, last]]], array.dtype)) for last in (3, 5))
    assert same.detail == "3"
    assert other.detail == "3.04…4.96"
    assert (same.scale[-1], other.scale[-1]) == ("", "")


def test_nothing_is_said_of_ranges_where_none_is_fixed():
    specs = [shipped(n) for n in SOURCES]
    without = [(s, s.arrays) for s in specs if not panels.said([(s, s.arrays)])]
    assert {s.name for s, _ in without} >= {"s2l2a", "dem", "worldcover", "s3olci"}
    assert panels.said(without) == ""


@pytest.mark.parametrize(
    ("source", "title", "some"),
    [
        ("s3olci", "Quality flags", {1: "clear", 2: "bright: cloud, snow or ice", 3: "sun glint"}),
        ("s2l2a", "Scene classification", {4: "vegetation", 9: "cloud, high", 6: "water"}),
    ],
)
def test_a_mask_is_called_and_coloured_as_its_source_says(source, title, some):
    spec = shipped(source)
    codes = np.repeat(np.array([list(some)], "uint8"), 2, axis=0)[None]
    (found,) = drawn(spec, spec.mask, codes)
    assert found.title == title
    assert sorted(name.rpartition(" ")[0].rpartition(" ")[0] for name, _ in found.legend) == sorted(some.values())
    assert len({colour for _, colour in found.legend}) == len(some)
    assert {palette.rgb(c) for _, c in found.legend} == {tuple(p) for p in found.image[0, :, :3].tolist()}


def test_a_mask_without_a_legend_is_told_by_what_its_codes_count_as():
    spec = shipped("s3olci").model_copy(update={"legend": None})
    (found,) = drawn(spec, spec.mask, np.array([[[1, 2, 3, 4, 0]]], "uint8"))
    assert found.title == "Mask of s3olci"
    assert {name.rpartition(" ")[0].rpartition(" ")[0] for name, _ in found.legend} == {
        *("clear (1)", "cloudy (2)", "cloudy (3)", "doubtful (4)", "invalid (0)"),
    }
    assert len({colour for _, colour in found.legend}) == 5


@pytest.mark.parametrize("change", [("{ code = 3,", "{ code = 5,"), ("{ code = 3,", "{ code = 33,")])
def test_a_legend_names_the_codes_of_its_mask_and_no_others(tmp_path, change):
    text = (QUERIES / "s2l2a.toml").read_text()
    assert change[0] in text
    (tmp_path / "own.toml").write_text(text.replace(*change))
    with pytest.raises(ConfigError, match=r"\[legend\] names the codes .*; the mask's are \[0, 1, 2, 3,"):
        read_toml(tmp_path / "own.toml", SourceSpec)


@pytest.mark.parametrize("source", [s for s in SOURCES if shipped(s).kind.legend or shipped(s).legend])
def test_every_class_and_code_that_is_shipped_has_a_colour_of_its_own(source):
    spec = shipped(source)
    for legend in filter(None, (spec.kind.legend, spec.legend and spec.legend.codes)):
        colours = palette.classes(legend)
        assert colours == {c.code: c.colour for c in legend}
        assert len(set(colours.values())) == len(legend)


@pytest.mark.parametrize("count", [3, 9, 12, 40])
def test_classes_without_a_colour_have_one_that_no_other_has(count):
    legend = [ClassSpec(code=n, name=f"c{n}", colour="#4477aa" if n == 2 else None) for n in range(count)]
    colours = palette.classes(legend)
    assert colours[2] == "#4477aa"
    assert len(set(colours.values())) == len(colours) == count


def test_a_map_of_no_season_has_no_line_of_its_own_time_whatever_it_is_called():
    facts = {f"{n}_{fact}": 1.6e9 for n in ("worldcover2020", "dem", "s1rtc") for fact in ("time",)}
    told = contact_sheet.lines_of([shipped(n) for n in ("worldcover2020", "dem", "s1rtc")], facts)
    assert told == ["s1rtc: 2020-09-13"]


@pytest.mark.parametrize(("days", "words"), [(-0.0001, "+0.0 d"), (0.04, "+0.0 d"), (-0.06, "-0.1 d"), (2.0, "+2.0 d")])
def test_a_gap_of_seconds_is_none_in_either_direction(days: float, words: str):
    told = contact_sheet.lines_of([shipped("s1rtc")], {"s1rtc_time": 1.6e9, "s1rtc_gap_days": days})
    assert told == [f"s1rtc: 2020-09-13 · {words}"]


BRIGHTNESS = '''
"""Brightness temperatures, stored in hundredths of a kelvin."""

import numpy as np

from curation.build.pixels import RasterKind
from curation.recipe.pictures import DrawnChannel, Ranged


class Brightness(RasterKind):
    """A raster of them, told in degrees Celsius."""

    def pictures(self, source, array):
        apart = DrawnChannel("10.8 − 12 µm", tuple(array.bands), (-2.0, 2.0))
        return [Ranged("Split window", (apart,)), *(Ranged(b, (DrawnChannel(b, (b,), (-40.0, 40.0)),)) for b in array.bands)]

    def shown(self, values, array):
        return np.where(values == array.nodata, np.nan, values / 100 - 273.15)

    def unit(self, array):
        return "°C"
'''


def test_a_new_kind_is_one_file_that_says_how_it_is_drawn(tmp_path, monkeypatch):
    (tmp_path / "brightness.py").write_text(BRIGHTNESS)
    monkeypatch.setattr(kinds, "__path__", [*kinds.__path__, str(tmp_path)])
    text = (QUERIES / "dem.toml").read_text().replace('kind = "elevation"', 'kind = "brightness"')
    (tmp_path / "own.toml").write_text(text)
    spec = read_toml(tmp_path / "own.toml", SourceSpec)
    array = spec.arrays[0].model_copy(update={"bands": ["TB11", "TB12"], "unit": "K × 100"})
    pixels = np.stack([np.full((48, 48), v, "float32") for v in (27_315, 27_215)])  # 0 and −1 °C
    found = drawn(spec, array, pixels)
    assert [(p.title, p.detail) for p in found] == [
        *(("Split window", "-2…2 °C"), ("TB11", "-40…40 °C"), ("TB12", "-40…40 °C")),
    ]
    assert [int(p.image[0, 0, 0]) for p in found] == pytest.approx([255 * v for v in (0.75, 0.5, 39 / 80)], abs=1)
    assert panels.said([(spec, [array])]).startswith(
        "Drawn between the same values everywhere: 10.8 − 12 µm −2…2 °C, TB11"
    )


def test_where_no_picture_of_a_season_is_big_the_small_ones_stand_two_beside_each_other():
    composite, labels = Panel("s1", "radar"), Panel("water", "water")
    alone = [
        Panel("s1", band, scale=(matplotlib.colormaps["gray"], 0, 1, "dB"), width="third") for band in ("VV", "VH")
    ]
    found = contact_sheet.in_order([composite, *alone, labels])
    assert [(p.title, p.width) for p in found] == [(n, "half") for n in ("radar", "water", "VV", "VH")]
    optical = Panel("s2", "true colour", width="big")
    beside = contact_sheet.in_order([composite, *alone, labels, optical])
    assert [p.width for p in beside] == ["big", "half", "half", "third", "third"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("naip", "B04 (red), B03 (green), B02 (blue)"),
        ("s2l2a", "B04, B03, B02"),
        ("hls-l30", "B04, B03, B02"),
    ],
)
def test_bands_are_called_what_they_are_where_a_source_calls_them_as_another_satellite_does(source, said):
    spec = sourcefiles.read(sourcefiles.shipped()[source])
    array = next(a for a in spec.arrays if panels.is_visible(a))
    pixels = np.arange(len(array.bands) * 64.0).reshape(len(array.bands), 8, 8)
    first = panels.of_array(spec, spec.array_name(array), array, pixels, PLACE)[0]
    assert (first.title, first.detail) == ("True colour", said)
