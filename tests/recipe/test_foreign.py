"""A recipe for `curate import` is read strictly: what is missing, misspelt or contradicts itself is told by its key."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import curation
from curation.errors import ConfigError
from curation.format.names import split_member
from curation.recipe import foreign as recipes
from curation.recipe import foreignsource
from curation.recipe.annotations import AnnotationSpec
from curation.recipe.chips import MendSpec
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
        ({"table__columns": ["日本"]}, "column '日本' of the table: no name is left of it in a-z"),
        ({"table__columns": ["chip_s1"]}, "column 'chip_s1' would be called 'chip_s1', as one that an import makes"),
        ({"table__columns": ["split", "table split"]}, "columns 'split' and 'table split' would both be called"),
        ({"sources__s1__mend": {"order": "as stated"}}, "[sources.s1.mend] order = 'as stated': Input should be 'stated'"),
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


def test_a_column_whose_name_is_taken_is_called_after_its_table(tmp_path: Path):
    recipe = changed(split__column="split", labels={"column": "region"}, table__columns=["id", "labels_2020"])
    made = load_dataset(str(foreign.write(tmp_path, recipe))).recipe
    assert (made.split.columns, made.labels.column) == (("table_split",), "table_region")
    assert made.places.columns is not None
    assert made.places.columns[2:] == ["table_id", "table_labels_2020", "table_region", "table_split"]


def test_classes_of_shares_are_told_in_order_and_those_of_built_ins_follow_from_them(tmp_path: Path):
    classes = ["Water", "Forest, mixed"]
    its = load_dataset(str(foreign.write(tmp_path, changed(labels={"names": "labels", "classes": classes}))))
    assert its.annotations["class_shares"].spec.entry.names == tuple(classes)
    points: dict[str, Any] = {"file": "t.csv", "column": "genus", "names": ["Acer", "Fagus"]}
    zarr: dict[str, Any] = {"url": "x.zarr", "variables": {"t": "K", "p": "m"}, "years": [2021]}
    for more, names in (
        ({"shape": [2], "points": points}, ("Acer", "Fagus")),
        ({"shape": [12, 2], "zarr": zarr}, ("t", "p")),
        ({"shape": [2], "points": points | {"names": None}}, None),
        ({"shape": [2]}, None),
        ({"shape": [2], "names": ["a", "b"]}, ("a", "b")),
    ):
        spec = AnnotationSpec.model_validate({"function": "some", "type": "numbers"} | more)
        assert spec.entry.names == names
        assert ("names" in spec.model_dump()) == ("names" in more)  # digests of recipes that say none stay
    for more, said in (
        ({"shape": [2], "points": points, "names": ["a", "b"]}, "leave one of both out"),
        ({"shape": [2], "names": ["a"]}, "got 1 of them, expected one for each number along the last axis of"),
        ({"names": []}, "got 0 of them"),
    ):
        with pytest.raises(ValidationError, match=said):
            AnnotationSpec.model_validate({"function": "some", "type": "numbers"} | more)


def test_an_order_of_bands_that_is_not_acknowledged_is_in_no_digest():
    assert "order" not in MendSpec().model_dump()
    assert MendSpec(order="stated").model_dump()["order"] == "stated"


@pytest.mark.parametrize(("catalog", "apart"), [("planetary-computer", {}), ("embedded", {}), (None, {"s2": "cdse"})])
def test_a_catalog_for_chips_is_refused(catalog: str | None, apart: dict[str, str], tmp_path: Path):
    path = foreign.write(tmp_path, BENV2)
    with pytest.raises(ConfigError, match=r"--catalog .*no catalog is asked for them: leave --catalog out"):
        curation.load(path, tmp_path / "root", catalog=catalog, catalogs=apart)


def test_who_is_asked_for_chips_is_nobody(tmp_path: Path):
    said = str(curation.load(foreign.write(tmp_path, BENV2), tmp_path / "root").offers()).splitlines()
    assert said[1].split() == ["s1", "by", "column", "chip_s1"]
    assert said[-1] == "chips: files of the dataset itself, which `curate import` reads; no catalog is asked for them"
    assert not any("is asked for it" in line for line in said)


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
