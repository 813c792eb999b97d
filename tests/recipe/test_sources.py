"""What a source may say: swaths and rasters are told apart where the file is read, not where pixels are."""

from __future__ import annotations

import copy
import json
import tomllib
from typing import Any

import pytest
from pydantic import ValidationError

from curation.recipe import files
from curation.recipe.bands import BandSpec
from curation.recipe.sources import SourceSpec


def raw(name: str) -> dict[str, Any]:
    return tomllib.loads((files.folder("stac_queries") / f"{name}.toml").read_text())


def said(value: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as err:
        SourceSpec.model_validate(value)
    return str(err.value)


def varied(name: str, **changes: Any) -> dict[str, Any]:
    """A source with keys changed: `kind__quality=...` for one of a table, None for one that is left out."""
    value = copy.deepcopy(raw(name))
    for key, new in changes.items():
        table, _, inner = key.rpartition("__")
        into = value[table] if table else value
        if new is None:
            del into[inner]
        else:
            into[inner] = new
    return value


LIMIT = {"since": "01.00.00", "least": 0.75, "source": "a manual"}


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        ("s5p-no2", {"kind__name": "optical"}, "'optical' has no key 'files'; known keys: name, zero_is_nodata"),
        ("s5p-no2", {"kind": None}, "Field required"),
        ("s5p-no2", {"kind": "optical", "pick": "clearest"}, "pick = 'clearest' wants an array with role 'mask'"),
        (
            "s5p-no2",
            {"kind": "optical", "pick": "mosaic"},
            "the roles 'count', 'quality' and 'day' are of kind = 'swath'",
        ),
        ("dem", {"kind": "swath"}, "kind.files\n  Field required"),
        (
            "dem",
            {"kind": "radr"},
            "no such name 'radr'; did you mean radar? known: classes, elevation, ground-range,",
        ),
        (
            "s2l2a",
            {"pick": "clear"},
            "no such name 'clear'; did you mean clearest? known: all, chip, clear-mean, clearest,",
        ),
        ("s2l2a", {"pick": 5}, "Input should be a valid dictionary or instance of Pick"),
        ("s1rtc", {"pick__goes_with": 3}, "pick.goes_with\n  Input should be a valid string"),
        (
            "s1rtc",
            {"pick__hole_value": 0.0},
            "'nearest' has no key 'hole_value'; known keys: goes_with, name, one_orbit_direction, one_rel",
        ),
        ("s1rtc", {"pick__goes_wiht": "x"}, "'nearest' has no key 'goes_wiht'; did you mean goes_with? known keys"),
        ("s2l2a", {"pick": "mean"}, "pick = 'mean' is for kind = 'swath'"),
        ("s5p-no2", {"pick": "mosaic"}, "pick = 'mosaic' is for rasters, not for swaths"),
        ("s5p-no2", {"kind__zero_is_nodata": True}, "'swath' has no key 'zero_is_nodata'"),
        ("s5p-no2", {"kind__files": ["data", "geo"]}, "files ['geo'] hold nothing that is read"),
        ("s5p-no2", {"kind__files": ["geo"]}, "variables of files ['data'], which 'files' does not name: ['geo']"),
        ("s5p-no2", {"kind__latitude": "PRODUCT/latitude"}, "expected '<file>:<path of the variable in it>'"),
        ("s5p-no2", {"kind__latitude_bounds": None}, "expected both of 'latitude_bounds' and 'longitude_bounds'"),
        ("s5p-no2", {"kind__min_quality": None}, "expected both of 'quality' and 'min_quality', or neither"),
        ("s5p-no2", {"kind__min_quality": [LIMIT | {"least": 75.0}]}, "less than or equal to 1"),
        ("s5p-no2", {"kind__min_quality": [LIMIT | {"source": ""}]}, "at least 1 character"),
        ("s5p-no2", {"kind__min_quality": [LIMIT | {"since": "2.4"}]}, "should match pattern"),
        ("s5p-no2", {"kind__min_quality": [LIMIT, LIMIT]}, "expected each once, the oldest first"),
        ("s5p-no2", {"kind__min_quality": [LIMIT | {"since": "02.00.00"}, LIMIT]}, "expected each once, the oldest"),
        (
            "s5p-no2",
            {"kind__variables": {"so2": "data:x"}},
            "[kind.variables] has ['so2'], the arrays' bands are ['no2']",
        ),
        (
            "s2l2a",
            {"doubtful": [7, 4]},
            "codes [4] are in two of clear, doubtful, snow, cloudy, invalid, or twice in one",
        ),
        ("s2l2a", {"snow": [11, 11]}, "codes [11] are in two of"),
        ("s2l2a", {"invalid": [1]}, "the mask's nodata 0 is not among the 'invalid' codes [1]"),
        ("s3olci", {"cloudy": [2]}, "codes [3] of [kind] are in none of the source's sets: each belongs to one"),
        ("dem", {"cloudy": [2]}, "are codes of an array with role 'mask', which is not there"),
        ("s3olci", {"kind__codes": []}, "expected both of 'flags' and 'codes', or neither"),
        ("s3olci", {"kind__variable": {}}, "'swath' has no key 'variable'; did you mean variables?"),
    ],
)
def test_what_contradicts_itself_is_refused_with_the_reason(name, changes, expected):
    assert expected in said(varied(name, **changes))


def test_arrays_of_a_swath_are_of_so_many_pixels_and_of_known_statistics():
    value = raw("s5p-no2")
    value["arrays"][0] |= {"res_m": 1000.0}
    del value["arrays"][0]["size_px"]
    assert "arrays of a swath are gridded to 'size_px' pixels a side; ['no2'] have 'res_m'" in said(value)
    value = raw("s5p-no2")
    value["arrays"][1]["bands"] = ["orbits", "weeks"]
    assert "role 'count': no band ['weeks']; known: ['orbits', 'footprints', 'days']" in said(value)
    value = raw("s5p-no2")
    value["arrays"][3]["bands"] = ["so2_std"]
    assert "role 'quality': no band ['so2_std']; known: ['qa_mean', 'qa_min', 'no2_std']" in said(value)
    value = varied("s5p-no2", kind__quality=None)
    del value["kind"]["min_quality"]
    assert "role 'quality' wants kind.quality" in said(value)
    value = raw("s3olci") | {"clear": [], "doubtful": [], "cloudy": [], "invalid": []}
    del value["arrays"][1]
    assert "pick = 'clearest' wants an array with role 'mask'" in said(value)
    value = raw("s3olci") | {"pick": "mean", "clear": [], "doubtful": [], "cloudy": [], "invalid": []}
    del value["arrays"][1]
    assert "an array of one band with role 'mask' goes with kind.flags" in said(value)


LEAST = {"no2": 0.75, "aer-ai": 0.8} | dict.fromkeys(("co", "so2", "o3", "ch4", "hcho"), 0.5)


@pytest.mark.parametrize("name", LEAST)
def test_each_product_has_its_threshold_and_its_statistics(name):
    spec = SourceSpec.model_validate(raw(f"s5p-{name}"))
    assert [limit.least for limit in spec.kind.min_quality] == [LEAST[name]]
    assert all(limit.source for limit in spec.kind.min_quality)
    assert "13:30" in spec.comment
    assert ("clear-sky bias" in spec.comment) is (name not in ("o3", "aer-ai"))
    assert [(a.role, a.size_px) for a in spec.arrays] == [
        ("data", 28), ("count", 28), ("quality", 28), ("quality", 28),
    ]  # fmt: skip
    assert [spec.array_name(a) for a in spec.arrays] == [
        f"s5p-{name}{s}_28px" for s in ("", "_count", "_qa", "_std")
    ]  # fmt: skip
    data, count, _, spread = spec.arrays
    assert count.bands == ["orbits", "footprints", "days"]
    assert (spread.bands, spread.unit) == ([f"{b}_std" for b in data.bands], data.unit)


@pytest.mark.parametrize(
    ("pattern", "match"), [("(", "no regular expression"), ("a", "0 groups"), ("(a)(b)", "2 groups")]
)
def test_a_pattern_of_names_has_the_one_group_that_is_looked_for(pattern, match):
    value = raw("s5p-no2")
    value["catalogs"]["planetary-computer"]["names"] = {"version": pattern}
    assert match in said(value)


def test_olci_has_21_bands_of_96_pixels_a_side():
    spec = SourceSpec.model_validate(raw("s3olci"))
    assert spec.arrays[0].bands == list(spec.kind.variables) == [f"Oa{i:02d}" for i in range(1, 22)]
    assert {spec.kind.otherwise, *(c.code for c in spec.kind.codes)} == {0, 1, 2, 3, 4}
    assert [spec.array_name(a) for a in spec.arrays] == ["s3olci_96px", "s3olci_mask_96px"]


def test_bands_have_a_name_of_their_own_whatever_their_source_and_optical_and_radar_bands_their_place_in_the_spectrum():
    s2, s1, olci = (SourceSpec.model_validate(raw(name)) for name in ("s2l2a", "s1rtc", "s3olci"))
    assert (s2.band("B04").name, s2.band("B04").centre_nm, s2.band("B04").width_nm) == ("s2.b04", 664.6, 31)
    assert (s1.band("VV").name, s1.band("VV").centre_mhz, s1.band("VV").width_mhz) == ("s1.vv", 5405, 100)
    light = [s2.band(b) for a in s2.arrays if a.role == "data" for b in a.bands]
    light += [olci.band(b) for b in olci.arrays[0].bands]
    assert all(b.centre_nm and b.width_nm and 390 < b.centre_nm < 2300 and b.width_nm <= 175 for b in light)
    assert [b.centre_nm for b in light[12:]] == sorted(b.centre_nm or 0 for b in light[12:])
    assert SourceSpec.model_validate(raw("s5p-aer-ai")).band("ai_340_380").name == "s5p.ai-340-380"
    assert SourceSpec.model_validate(raw("dem")).band("height").name == "dem.height"
    assert SourceSpec.model_validate({**raw("dem"), "name": "mine"}).band("height") == BandSpec(name="mine.height")


def test_bands_lie_where_recorded_items_say(shared):
    """CDSE's items state centres of both sensors; of widths OLCI's alone can be meant (267 nm of B02 cannot)."""
    s2, olci = (SourceSpec.model_validate(raw(name)) for name in ("s2l2a", "s3olci"))
    found = set()
    for path in sorted((shared / "data/eometadatatool-cdse").rglob("*.json")):
        text = path.read_text()
        if "eo:center_wavelength" not in text:
            continue
        for asset in json.loads(text).get("assets", {}).values():
            for stated in asset.get("bands", ()):
                name, centre_nm = stated.get("name", ""), 1000 * stated.get("eo:center_wavelength", 0)
                spec = (
                    olci if name in olci.bands else s2 if name in s2.bands and "sentinel-2-l2a" in str(path) else None
                )
                if spec is not None and centre_nm:
                    assert spec.band(name).centre_nm == pytest.approx(centre_nm, abs=1)
                    if spec is olci:
                        assert spec.band(name).width_nm == pytest.approx(1000 * stated["eo:full_width_half_max"])
                    found.add(name)
    assert len(found & set(olci.bands)) >= 16
    assert found >= set(s2.bands) - {"SCL"}


@pytest.mark.parametrize(
    ("bands", "match"),
    [
        ({"B99": {"name": "s2.b99"}}, r"\[bands\] \['B99'\]: in no array"),
        ({"B02": {"name": "s2.b02"}, "B03": {"name": "s2.b02"}}, r"name \['s2.b02'\] twice"),
        ({"B02": {"name": "b02"}}, "match pattern"),
        ({"B02": {"name": "my.b02", "centre_nm": 490}}, "centre_nm, width_nm: got 490.*None, expected both above 0"),
        (
            {"B02": {"name": "my.b02", "centre_nm": 490, "width_nm": 66, "centre_mhz": 1, "width_mhz": 1}},
            "expected 'centre_nm' of light or 'centre_mhz'",
        ),
    ],
)
def test_bands_that_are_told_wrongly_are_refused(bands, match):
    with pytest.raises(ValueError, match=match):
        SourceSpec.model_validate({**raw("s2l2a"), "bands": bands})
