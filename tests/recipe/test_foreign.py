"""A recipe for `curate import` is read strictly: what is missing, misspelt or contradicts itself is told by its key."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from curation.errors import ConfigError
from curation.format.names import split_member
from curation.recipe import foreign as recipes
from curation.recipe import foreignsource
from curation.recipe.columns import called
from curation.recipe.dataset import load_dataset
from curation.recipe.ranges import LIMITS, limits_of
from curation.recipe.vocabulary import vocabulary
from tests import foreign
from tests.foreign import BENV2


def changed(**changes: Any) -> dict[str, Any]:
    """The recipe of BENV2 with other values at dotted keys; None takes one out."""
    made = copy.deepcopy(BENV2)
    for path, value in changes.items():
        *tables, key = path.split("__")
        table: Any = made
        for name in tables:
            table = table[int(name)] if name.isdecimal() else table.setdefault(name, {})
        if value is None:
            del table[key]
        else:
            table[key] = value
    return made


RADAR, MAP = {"name": "radar"}, {"name": "classes", "classes": [{"code": 1, "name": "a"}]}
ONE = {"res_m": 10, "bands": ["s1.vv"], **foreign.DB}
OTHER = {"res_m": 10, "bands": ["s1.vh"], **foreign.DB, "unit": "sigma0, linear power", "suffix": "other"}
ANGLE = {"res_m": 10, "bands": ["s1.angle"], **foreign.DB, "unit": "degree", "range": [0, 90], "suffix": "angle"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dataset__footprint": 1200}, "[dataset] footprint: no such key; did you mean footprint_m?"),
        ({"dataset__footprint_m": None}, "[dataset] footprint_m: missing"),
        ({"sources__s1__mend": {"pixels_m": 10}}, "[sources.s1.mend] pixels_m: no such key; did you mean pixel_m?"),
        ({"sources__s1__mend": {"pixel_m": 20.0}}, "mend pixel_m = 20.0: an array says res_m = 10"),
        ({"sources__s1__form": "geotif"}, "no such name 'geotif'"),
        ({"sources__s1__form": {"name": "hdf5"}}, "[sources.s1.form] key: missing"),
        ({"sources__s1__files": "sample.tif"}, "has groups [], expected 'id'"),
        ({"sources__s1__files": r"(?P<id>x)_(?P<bnd>y)"}, "has groups ['bnd', 'id']"),
        ({"sources__s1__files": r"(?P<id>x)_(?P<band>y)"}, "each array says file_bands"),
        ({"sources__s1__files": "("}, "no regular expression"),
        ({"sources__s1__arrays__0__unit": "digital number"}, "say range = [least, greatest]"),
        ({"sources__s1__arrays__0__range": [5, 1]}, "expected the least value, then the greatest"),
        ({"sources__s1__arrays__0__bands": ["s1.vv", "s1.vz"]}, "band 's1.vz': no source of stac_queries/ has it"),
        ({"sources__s1__arrays__0__file_bands": ["VV"]}, "file_bands: 1 of them, expected one for each of 2 bands"),
        ({"sources__s1__arrays__0__nodata": 99.5, "sources__s1__arrays__0__dtype": "int16"}, "nodata 99.5 is no value"),
        ({"sources__s1__kind": "radar", "sources__s1__arrays": [ANGLE]}, "an array is of 'degree', expected a unit that"),
        ({"sources__s1__kind": RADAR, "sources__s1__arrays__0__unit": "sigma0, dB × 100"}, "an array is of 'dB × 100'"),
        ({"sources__s1__kind": RADAR, "sources__s1__arrays": [ONE, ANGLE]}, "kind 'radar': an array is of 'degree'"),
        ({"sources__s1__kind": "radar", "sources__s1__arrays": [ONE, OTHER]}, "arrays of 'dB' and of 'linear power'"),
        ({"sources__s1__arrays__0__nodata": 0}, "nodata = 0: is backscatter of 0 dB, too"),
        ({"sources__s1__arrays__0__role": "classes"}, "role = 'classes' goes with kind = { name = 'classes'"),
        ({"sources__s1__kind": MAP}, "each array of such a kind has it"),
        ({"sources__s1__mend": {"bits": "int16"}, "sources__s1__arrays": [ONE | {"file_nodata": [65535]}]},
         "file_nodata = [65535]: mend bits = 'int16' reads -32768 to 32767"),
        ({"place__of": "s3"}, "place.of = 's3' is none of [sources]: s1, s2"),
        ({"place__lon": "lon"}, "expected 'of', the source whose georeference says it, or 'lon' and 'lat'"),
        ({"sources__s1__mend": {"georeference": "ignore"}}, "place.of = 's1': its georeference is not believed"),
        ({"table": None}, "are of columns of a table: add [table]"),
        ({"labels": {"names": "labels"}}, "'names' goes with 'classes'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_by_its_key(changes: dict[str, Any], said: str, tmp_path: Path):
    path = foreign.write(tmp_path, changed(**changes))
    with pytest.raises(ConfigError) as err:
        recipes.resolved(path)
    assert said in str(err.value)
    assert str(path) in str(err.value)


def test_a_recipe_for_import_is_one_for_all_other_steps(tmp_path: Path):
    dataset = load_dataset(str(foreign.write(tmp_path, BENV2)))
    assert (dataset.name, dataset.recipe.grid.size_m, dataset.cube_seasons()) == ("benv2", 1200, ["static"])
    assert dataset.specs["s2"].arrays[0].bands[:2] == ["B01", "B02"]
    assert dataset.specs["s2"].band("B02").centre_nm == 492.4
    assert dataset.recipe.split.columns == ("tortilla_data_split",)


@pytest.mark.parametrize("kind", ["radar", {"name": "radar"}])
def test_decibels_of_a_radar_are_power_in_cubes_however_its_kind_is_written(kind: Any, tmp_path: Path):
    spec = load_dataset(str(foreign.write(tmp_path, changed(sources__s1__kind=kind)))).specs["s1"]
    assert (spec.pick.model_dump()["decibels"], spec.arrays[0].unit) == (True, "sigma0, linear power")


def test_reflectance_of_the_top_of_the_atmosphere_is_told_from_that_of_the_ground(tmp_path: Path):
    told = {"level": "TOA", "convention": "gamma0, linear"}
    recipe = changed(**{f"sources__s2__arrays__0__{k}": v for k, v in told.items()})
    specs = load_dataset(str(foreign.write(tmp_path, recipe))).specs
    assert [(a.level, a.convention) for a in (specs["s2"].arrays[0], specs["s1"].arrays[0])] == [
        ("TOA", "gamma0, linear"),
        (None, None),
    ]


def test_a_column_is_called_what_a_file_of_places_calls_it(tmp_path: Path):
    stated = recipes.read(foreign.write(tmp_path, changed(table__columns=["Größe", "Crop type", "année"])))
    assert stated.recipe()["places"]["columns"][2:5] == [called(c) for c in stated.carried[:3]]
    assert [called(c) for c in stated.carried[:3]] == ["grosse", "crop_type", "annee"]


def test_columns_that_would_be_called_alike_are_told(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"columns 'Crop type' and 'crop_type' would both be called 'crop_type'"):
        recipes.read(foreign.write(tmp_path, changed(table__columns=["Crop type", "crop_type"])))


def test_a_band_that_the_list_of_bands_has_needs_no_words(tmp_path: Path):
    names = ["aerial.red", "planet.nir"]
    assert not set(names) & set(foreignsource.known_bands())
    spec = load_dataset(str(foreign.write(tmp_path, changed(sources__s1__arrays__0__bands=names)))).specs["s1"]
    assert [spec.band(b) for b in spec.arrays[0].bands] == [vocabulary()[n] for n in names]


def test_bands_of_two_sensors_that_are_called_alike_are_told_apart(tmp_path: Path):
    recipe = changed(sources__s1__arrays__0__bands=["s2.b02", "s2l1c.b02"])
    bands = load_dataset(str(foreign.write(tmp_path, recipe))).specs["s1"].arrays[0].bands
    assert bands == ["B02", "s2l1c.b02"]


def test_arrays_of_pixels_below_a_metre_have_names_that_a_tar_can_hold(tmp_path: Path):
    arrays = load_dataset(str(foreign.write(tmp_path, foreign.TREESATAI))).arrays
    names = [name for of in arrays.values() for name in of]
    assert names == ["aerial_0p2m", "s2_0p2m", "s1_0p2m"]
    assert all(split_member(f"{name}.npy").array == name for name in names)


def test_where_the_dataset_lies_is_in_no_digest_and_what_is_mended_is(tmp_path: Path):
    def pixels(recipe: dict[str, Any], archive: str) -> str:
        dataset = load_dataset(str(foreign.write(tmp_path, recipe)), archive)
        return dataset.pixels_digest(dict.fromkeys(dataset.specs, "chips"), dict.fromkeys(dataset.specs))

    assert pixels(BENV2, "/here") == pixels(BENV2, "/there")
    assert pixels(BENV2, "") != pixels(changed(sources__s2__mend={"pixel_m": 10.0}), "")


@pytest.mark.parametrize(
    ("unit", "limits"),
    [
        ("dB", LIMITS["dB"]),
        ("sigma0, dB", LIMITS["dB"]),
        ("reflectance × 10000", (-5000.0, 50_000.0)),
        ("m", LIMITS["m"]),
        ("digital number", None),
    ],
)
def test_what_a_unit_can_have_is_told_by_how_it_ends(unit: str, limits: tuple[float, float] | None):
    assert limits_of(unit) == limits
