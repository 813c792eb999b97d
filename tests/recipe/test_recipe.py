import copy
import datetime as dt
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from curation.errors import ConfigError
from curation.model import Location
from curation.pack.splits.column import Column
from curation.recipe import files
from curation.recipe.catalogs import Catalogs, pixels_digest, pixels_parts, resolve
from curation.recipe.dataset import Dataset, load_dataset
from curation.recipe.digests import changes
from curation.recipe.schema import QualitySpec, Recipe
from curation.recipe.sourcefiles import NO_SOURCES
from curation.recipe.sources import SourceSpec
from curation.recipe.toml import read_toml

QUERIES, MANIFESTS = files.folder("stac_queries"), files.folder("manifests")
SOURCES = sorted(p.stem for p in QUERIES.glob("*.toml") if p.stem not in NO_SOURCES)
RECIPES = sorted(p.parent.name for p in MANIFESTS.glob("*/recipe.toml"))
STARTER = (MANIFESTS / "starter/recipe.toml").read_text()


@pytest.mark.parametrize("name", SOURCES)
def test_every_committed_source_loads_under_its_own_name(name):
    spec = read_toml(QUERIES / f"{name}.toml", SourceSpec)
    assert spec.name == name
    bands = {b for a in spec.arrays for b in a.bands}
    files = set(spec.kind.sought(sorted(bands)))
    for form in spec.catalogs.values():
        assert set(form.assets) <= files
        assert set(form.asset_bands) <= bands


@pytest.mark.parametrize("name", RECIPES)
def test_every_committed_recipe_loads_under_its_own_name(name):
    dataset = load_dataset(name)
    assert dataset.name == name
    assert load_dataset(str(dataset.path)).recipe == dataset.recipe
    assert load_dataset(str(dataset.path.parent)).recipe == dataset.recipe
    date = dt.datetime(2021, 7, 15, tzinfo=dt.UTC)
    seasons = [dataset.recipe.season(name) for name in dataset.season_names()]
    columns = {season.column: date for season in seasons if season.column}
    place = Location("a", 9.0, 50.0, 32632, 0.0, 0.0, 2640.0, "europe", columns=columns)
    for season in seasons:
        window = season.window(place)
        assert window.start <= window.anchor < window.end


def test_there_are_committed_sources_and_recipes():
    assert {"s2l2a", "s1rtc", "dem", "worldcover", "dynamicworld"} <= set(SOURCES)
    assert {"ssl4eo-s12-ml", "starter"} <= set(RECIPES)


# --- what a person gets wrong --------------------------------------------------------------------------------------


def said(tmp_path: Path, old: str, new: str) -> str:
    """The error that the starter recipe gives with one text replaced."""
    assert STARTER.count(old) == 1, old
    path = tmp_path / "recipe.toml"
    path.write_text(STARTER.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load_dataset(str(path))
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


CHILDREN = """
[children]
size_m = 2640
sampler = "gaussian-cities"
count = 1_000_000
sources = ["s2l2a", "s1rtc"]
"""

KNOWN = (
    "known keys: max_candidates, max_doubtful, max_gap_days, max_scene_cloud_pct, max_shift_px, max_snow, min_clear, "
    "min_valid, unreadable"
)


@pytest.mark.parametrize(
    ("old", "new", "want"),
    [
        ("min_valid = 0.999", "min_vaild = 0.9", f"[quality] min_vaild: no such key; did you mean min_valid? {KNOWN}"),
        ("[pack]", "[pakc]", "[pakc]: no such section; did you mean pack? known keys: annotations, card, catalog, "),
        ("min_valid = 0.999", "min_valid = 99.9", "[quality] min_valid = 99.9: Input should be less than or equal to 1"),
        ("min_valid = 0.999", "min_valid = nan", "[quality] min_valid = nan: Input should be a finite number"),
        ("min_valid = 0.999", "min_valid = true", "[quality] min_valid = True: Input should be a valid number"),
        ("min_valid = 0.999", 'min_valid = "0.9"', "[quality] min_valid = '0.9': Input should be a valid number"),
        ("min_valid = 0.999", "max_gap_days = -1", "[quality] max_gap_days = -1: Input should be greater than 0"),
        ("min_valid = 0.999", "max_scene_cloud_pct = 900", "[quality] max_scene_cloud_pct = 900: Input should be "),
        ("size_m = 2640 ", "size_m = 0 ", "[grid] size_m = 0: Input should be greater than 0"),
        ("size_m = 2640 ", "size_m = 264000 ", "[grid] size_m = 264000: Input should be less than or equal to 10000"),
        ("[grid]", "[gird]", "[gird]: no such section; did you mean grid? known keys: annotations, card, catalog, "),
        ("size_m = 2640 ", "edge = 2640 ", "[grid] edge: no such key; known keys: res_m, size_deg, size_m, size_px"),
        ("size_m = 2640 ", "size_m = 2645 ", "[grid] size_m = 2645: no multiple of 10 m, the finest pixels ("),
        ("size_m = 2640 ", "size_px = 256 ", "[grid]: 'size_px' and 'res_m' go together: how many pixels a side has, and "),
        ("size_m = 2640 ", "size_px = 1024\nres_m = 10 ", "[grid]: size_px = 1024 pixels of 10 m are 10240 m, expected at"),
        ("size_m = 2640 ", "size_px = 0\nres_m = 10 ", "[grid] size_px = 0: Input should be greater than 0"),
        ("size_m = 2640 ", "size_px = 256.5\nres_m = 10 ", "[grid] size_px = 256.5: Input should be a valid integer"),
        ("size_m = 2640 ", "size_m = 2640\nsize_px = 256\nres_m = 10 ", "[grid]: expected either 'size_m', or 'size_px' "),
        ("size_m = 2640 ", "", "[grid]: expected one of 'size_m' (metres, in UTM), 'size_px' with 'res_m' (the sa"),
        ("size_m = 2640 ", "size_m = 2640\nsize_deg = 0.25 ", "[grid]: expected one of 'size_m' (metres, in UTM), 's"),
        ("size_m = 2640 ", "size_deg = 0.5 ", "[grid]: size_deg = 0.5: expected 0.25, the spacing of ERA5's nodes"),
        ("size_m = 2640 ", "size_deg = 0.25 ", "[grid] size_deg goes with [places] sampler = 'era5-cells', and only with "),
        ('sampler = "gaussian-cities"', 'sampler = "era5-cells"', "[grid] size_deg goes with [places] sampler = 'era5-cel"),
        ("count = 50_000 ", "count = 9\nland_buffer_deg = 1 ", "[places]: 'land_buffer_deg' goes with sampler 'era5-cells'"),
        ("[pack]", f"{CHILDREN}[pack]", "[children] lie within ERA5 cells: they go with [places] sampler = 'era5-cells', n"),
        ("[pack]", f"{CHILDREN}fill = 5\n[pack]", "[children]: fill = 5 is more than per_cell = 4: a cell has at most"),
        ("[pack]", CHILDREN.replace("size_m = 2640", "size_px = 256") + "[pack]", "[children]: 'size_px' and 'res_m' go to"),
        ("[pack]", CHILDREN.replace('"s1rtc"', '"s2l2a"') + "[pack]", "[children]: sources: ['s2l2a'] stand there twice"),
        ("count = 50_000 ", "count = 50_000.5 ", "[places] count = 50000.5: Input should be a valid integer"),
        ("count = 50_000 ", "# ", "[places]: sampler 'gaussian-cities' wants 'count': how many locations to draw"),
        ('sampler = "gaussian-cities"', 'sampler = "gauss"', "[places] sampler = 'gauss': Input should be 'g"),
        ('sampler = "gaussian-cities"', 'sampler = "file"', "[places]: 'file' goes with sampler 'file', and only with it"),
        ("start = 2021-06-01", "start = 2021-09-01", "[seasons.summer]: start 2021-09-01 is not before end 2021-09-01"),
        ("start = 2021-06-01", "start = 2021", "[seasons.summer] start = 2021: expected a date or time w"),
        ("start = 2021-06-01", 'start = "2021-06-01"', "[seasons.summer] start = '2021-06-01': expected a date or time "),
        ("start = 2021-06-01", "start = 2021-06-01T00:00:00", "[seasons.summer] start = datetime.datetime(2021, 6, "),
        ("start = 2021-06-01", "begin = 2021-06-01", "[seasons.summer] start: missing; add it"),
        ("anchor = 2021-10-01", "anchor = 2021-12-01", "[seasons.autumn]: anchor 2021-12-01 lies outside the season"),
        ("summer = {", "static = {", "season 'static': expected a-z, 0-9, '_' and '-', and not 'static'"),
        ("summer = {", "Summer = {", "season 'Summer': expected a-z, 0-9, '_' and '-', and not 'static'"),
        ("s2l2a = {} ", "slab = {}\ns2l2a = {} ", "sources: 'slab' means something else here; call the source"),
        ("s2l2a = {} ", "date_of_x = {}\ns2l2a = {} ", "sources: 'date_of_x' means something else here; call the "),
        ("s2l2a = {} ", "date_of = {}\ns2l2a = {} ", "sources: 'date_of' means something else here; call the source"),
        ("s2l2a = {} ", "era5-cell = {}\ns2l2a = {} ", "sources: 'era5-cell' means something else here; call the "),
        ("s2l2a = {} ", "s2l2 = {} ", "[sources.s2l2]: no such source; did you mean s2l2a? known sources: dem, "),
        ("s2l2a = {} ", "", "[sources.s1rtc] is chosen by 's2l2a', which the recipe does not use; add it"),
        ("s2l2a = {} ", 's2l2a = { bands = ["B2"] } ', "[sources.s2l2a] bands: no band ['B2']; known bands: ['B"),
        ("s2l2a = {} ", "s2l2a = { bands = [] } ", "[sources.s2l2a] bands = []: List should have at least 1 item"),
        ("s2l2a = {} ", "s2l2a = { res = 10 } ", "[sources.s2l2a] res: no such key; did you mean res_m? known keys: "),
        ("s2l2a = {} ", "s2l2a = { required = 1 } ", "[sources.s2l2a] required = 1: expected true, false or 'where-any'"),
        ('annual = "worldcover"', 'annual = "dem"', "[labels] annual = 'dem': expected a static source with classes"),
        ('annual = "worldcover"', 'annual = "landuse"', "labels.annual = 'landuse' is not in [sources]: ['dem', "),
        ('annual = "worldcover"', 'annual = "dynamicworld"', "[labels] annual = 'dynamicworld': expected a static source"),
        ('name = "starter"', 'name = "My Set"', "name = 'My Set': 'My Set': expected lower-case letters, digits and '-'"),
        ("seed = 42", "seed = -1", "seed = -1: Input should be greater than or equal to 0"),
        ("seed = 42", "", "seed: missing; add it"),
        ("seed = 42", "seed = ", "not TOML: Invalid value (at line "),
        ("# radar = ", 'radar = "db" # ', "[pack] radar = 'db': Input should be 'centidb' or 'float32'"),
        ("# slab_patches = 16", "slab_patches = 10_000", "[cube] slab_patches = 10000: Input should be less "),
        ("# block_deg = 1.0", "block_deg = inf", "[split] block_deg = inf: Input should be a finite number"),
        ("# block_deg = 1.0", "block_dg = 1.0", "[split]: 'blocks' has no key 'block_dg'; did you mean block_deg? known"),
        ("# block_deg = 1.0", 'rule = "blocs"', "[split]: no such rule 'blocs'; did you mean blocks? known: blocks, column"),
        ("# block_deg = 1.0", 'rule = "column"', "[split]: expected 'val' (and 'test'), or 'parts_of'"),
    ],
)  # fmt: skip
def test_one_line_says_file_key_value_and_what_is_allowed(tmp_path, old, new, want):
    assert said(tmp_path, old, new).startswith(want)


def test_a_recipe_that_is_not_utf_8_is_told_in_one_line(tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_bytes('title = "Wälder"\n'.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"recipe\.toml: not UTF-8 at byte 10, expected a TOML file"):
        load_dataset(str(recipe))


def of_cells(**changes) -> Recipe:
    """The starter recipe on ERA5 cells with children."""
    raw = load_dataset("starter").recipe.model_dump()
    children = {"size_m": 2640.0, "sampler": "gaussian-cities", "count": 1000, "sources": ["s2l2a", "s1rtc"]}
    cells = {"sampler": "era5-cells", "regions": ["europe"], "land_buffer_deg": 0.5}
    return Recipe.model_validate(raw | {"grid": {"size_deg": 0.25}, "places": cells, "children": children} | changes)


def test_a_recipe_of_cells_and_children_says_both_sizes():
    recipe = of_cells()
    assert (recipe.grid.size, recipe.grid.size_m, recipe.children.size_m) == (0.25, None, 2640)
    assert Recipe.model_validate(recipe.model_dump()) == recipe
    assert of_cells(children=None).children is None
    with pytest.raises(ValueError, match=r"children.sources: 's1grd' is not in \[sources\]: "):
        of_cells(children=recipe.children.model_dump() | {"sources": ["s1grd"]})


def test_the_draw_follows_cells_and_children_and_not_the_sources_of_these(tmp_path):
    def parts(**changes) -> dict:
        dataset = object.__new__(Dataset)
        dataset.recipe, dataset.path = of_cells(**changes), tmp_path
        return dataset.places_parts()

    base, children = parts(), of_cells().children.model_dump()
    assert parts(children=children | {"sources": ["s2l2a"]}) == base
    assert changes(base, parts(children=children | {"fill": 0})) == ["children.fill was 1, is 0"]
    assert changes(base, parts(children=None))[0] == "children.size_m was 2640.0, is not there"
    assert base["size_deg"] == 0.25


def test_several_mistakes_are_all_told(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(STARTER.replace("seed = 42", "seed = -1").replace("min_valid = 0.999", "min_valid = 2"))
    with pytest.raises(ConfigError, match=r"seed = -1: .*; .*min_valid = 2: ") as caught:
        load_dataset(str(path))
    assert str(caught.value).count(str(path)) == 2


@pytest.mark.parametrize(
    ("name", "want"),
    [
        ("nosuch", "no such dataset; known: fomo, kuro-siwo, ssl4eo-s, ssl4eo-s12-ml, starter"),
        ("no/such/recipe.toml", "no file no/such/recipe.toml"),
    ],
)
def test_a_recipe_that_is_not_there_is_told(name, want):
    with pytest.raises(ConfigError, match=want):
        load_dataset(name)


def test_a_season_that_is_not_in_the_recipe_is_told():
    with pytest.raises(
        ConfigError, match="season 'winter': not in recipe 'starter'; expected one of summer, autumn, st"
    ):
        load_dataset("starter").recipe.season("winter")


def source(name: str, **change: Any) -> dict[str, Any]:
    value = tomllib.loads((QUERIES / f"{name}.toml").read_text())
    for key, new in change.items():
        if new is None:
            value.pop(key)
        elif key == "array":
            value["arrays"][0] |= new
        elif isinstance(new, dict) and key in ("kind", "pick"):
            value[key] |= new
        else:
            value[key] = new
    return value


@pytest.mark.parametrize(
    ("name", "change", "want"),
    [
        ("s2l2a", {"array": {"nodata": -1}}, "nodata -1 is no value of dtype uint16"),
        ("s2l2a", {"array": {"nodata": 0.5}}, "nodata 0.5 is no value of dtype uint16"),
        ("dem", {"array": {"nodata": float("nan")}}, "finite number"),
        ("dem", {"array": {"nodata": 1e39}}, "is no value of dtype float32"),
        ("worldcover", {"array": {"up": "bilinear"}}, "holds codes: resample with 'nearest' or 'mode'"),
        ("worldcover", {"array": {"down": "average"}}, "holds codes: resample with 'nearest' or 'mode'"),
        ("worldcover", {"array": {"up": "cubic"}}, "'nearest', 'bilinear', 'average' or 'mode'"),
        ("s2l2a", {"array": {"dtype": "int8"}}, "'uint8', 'uint16', 'int16' or 'float32'"),
        ("s2l2a", {"array": {"bands": ["B02", "B02"]}}, "bands named twice"),
        ("s2l2a", {"array": {"bands": ["B05"]}}, "bands named twice"),
        ("s2l2a", {"array": {"res_m": 20}}, "arrays share a name"),
        ("s2l2a", {"clear": []}, "wants an array with role 'mask' and its 'clear' codes"),
        ("worldcover", {"kind": {"classes": [{"code": 1, "name": c} for c in "ab"]}}, "classes share a code"),
        ("dem", {"licence": None}, "Field required"),
        ("dem", {"colour": "red"}, "Extra inputs are not permitted"),
    ],
)
def test_an_impossible_source_is_refused(name, change, want):
    with pytest.raises(ValueError, match=want):
        SourceSpec.model_validate(source(name, **change))


# --- what a recipe makes of its sources ----------------------------------------------------------------------------


def varied(**tables: dict[str, Any]) -> Dataset:
    base = load_dataset("starter")
    value = copy.deepcopy(base.recipe.model_dump())
    for table, rows in tables.items():
        value[table] = value[table] | rows if isinstance(rows, dict) else rows
    return Dataset(Recipe.model_validate(value), base.specs, base.path)


def test_bands_are_chosen_in_the_sources_order_and_the_mask_is_always_kept():
    arrays = varied(sources={"s2l2a": {"bands": ["B08", "B02"]}}).arrays["s2l2a"]
    assert {n: a.bands for n, a in arrays.items()} == {"s2l2a_10m": ["B02", "B08"], "s2l2a_scl_20m": ["SCL"]}


def test_every_band_goes_on_one_grid_where_the_recipe_asks_for_it():
    dataset = varied(sources={"s2l2a": {"res_m": 10.0}, "worldcover": {"res_m": 20.0}, "dem": {"res_m": 10.0}})
    assert list(dataset.arrays["s2l2a"]) == ["s2l2a_10m", "s2l2a_scl_20m"]
    assert dataset.arrays["s2l2a"]["s2l2a_10m"].bands == [
        "B02", "B03", "B04", "B08", "B05", "B06", "B07", "B8A", "B11", "B12", "B01", "B09",
    ]  # fmt: skip
    assert [a.res_m for a in dataset.arrays["worldcover"].values()] == [20]
    assert [a.res_m for a in dataset.arrays["dem"].values()] == [10]


@pytest.mark.parametrize(
    ("pick", "want"),
    [
        ("nearst", r"recipe.toml: \[sources.s1rtc\] pick: no such name 'nearst'; did you mean nearest\?"),
        ("mean", r"\[sources.s1rtc\] pick: pick = 'mean' is for kind = 'swath'"),
        ({"name": "nearest", "goes_with": 3}, r"\[sources.s1rtc.pick\] goes_with: Input should be a valid string"),
        ({"name": "nearest", "goes": "s2l2a"}, "'nearest' has no key 'goes'; did you mean goes_with"),
        ({"name": "nearest", "goes_with": "s3olci"}, "is chosen by 's3olci', which the recipe does not use"),
        ({"name": "nearest", "goes_with": "dem"}, "is chosen by 'dem', whose pixels are of several scenes"),
        ({"name": "nearest", "goes_with": "dynamicworld"}, "'dynamicworld', which itself goes with 's2l2a'"),
        ("clearest", r"\[sources.s1rtc\] pick: pick = 'clearest' wants an array with role 'mask'"),
    ],
)
def test_a_pick_of_the_recipe_is_checked_as_that_of_the_source_is(pick, want):
    with pytest.raises(ConfigError, match=want):
        varied(sources={"s1rtc": {"pick": pick}})


@pytest.mark.parametrize(
    ("line", "want"),
    [
        ('s1up = { of = "s1rct" }', r"\[sources.s1up\] of = 's1rct': no such source; did you mean s1rtc"),
        (
            's1_up = { of = "s1rtc" }',
            r"\[sources.s1rtc\] of: another name for it, 's1_up': expected lower-case letters",
        ),
        ('s1grd = { of = "s1rtc" }', r"\[sources.s1grd\] of = 's1rtc': 's1grd' is another source"),
    ],
)
def test_a_source_is_called_otherwise_by_a_name_that_a_source_may_have(tmp_path, line, want):
    text = load_dataset("starter").path.read_text().replace("\ndem = {}", f"\n{line}\ndem = {{}}")
    (tmp_path / "recipe.toml").write_text(text)
    with pytest.raises(ConfigError, match=want):
        load_dataset(str(tmp_path))


def test_composites_store_what_their_pixels_are_of_and_medoids_want_one_grid():
    alone = {"dynamicworld": {"pick": "first-after"}, "s1rtc": {"pick": "clear-mean"}}
    with pytest.raises(ConfigError, match=r"\[sources.s2l2a\]: pick = 'medoid' .* in 3 arrays .*'res_m'"):
        varied(sources={"s2l2a": {"pick": "medoid"}} | alone)
    with pytest.raises(ConfigError, match="pick = 'median' is for rasters of measured values"):
        varied(sources={"dem": {"pick": "median"}})
    for pick, beside in (("medoid", ["count", "day"]), ("first-valid", ["day"]), ("median", ["count"])):
        dataset = varied(sources={"s2l2a": {"pick": pick, "res_m": 10.0}} | alone)
        assert list(dataset.arrays["s2l2a"]) == ["s2l2a_10m", *(f"s2l2a_{b}_10m" for b in beside)]
        assert list(dataset.read["s2l2a"]) == ["s2l2a_10m", "s2l2a_scl_20m"]
        assert list(dataset.arrays["s1rtc"]) == ["s1rtc_10m", "s1rtc_count_10m"]


def test_a_pick_of_the_recipe_goes_before_that_of_the_source_on_each_level():
    both_ways = {"s1rtc": {"pick": {"name": "nearest", "goes_with": "s2l2a"}}}
    assert not varied(sources=both_ways).specs["s1rtc"].pick.one_way
    base = load_dataset("ssl4eo-s")
    value = copy.deepcopy(base.recipe.model_dump())
    value["sources"] |= both_ways
    below = Dataset(Recipe.model_validate(value), base.specs, base.path).levels[1]
    assert not below.specs["s1rtc"].pick.one_way


def test_bands_that_differ_in_kind_are_not_put_in_one_array():
    base = load_dataset("starter")
    spec = source("s2l2a")
    spec["arrays"][2]["dtype"] = "int16"
    specs = base.specs | {"s2l2a": SourceSpec.model_validate(spec)}
    value = base.recipe.model_dump()
    value["sources"]["s2l2a"]["res_m"] = 10.0
    with pytest.raises(ConfigError, match=r"\[sources.s2l2a\] asks for one grid: bands .* differ in dtype"):
        Dataset(Recipe.model_validate(value), specs, base.path)


def test_two_sources_of_one_fact_are_refused():
    base = load_dataset("starter")
    value = base.recipe.model_dump()
    value["sources"]["other"] = value["sources"]["dem"]
    specs = base.specs | {"other": SourceSpec.model_validate(source("dem") | {"name": "other"})}
    with pytest.raises(ConfigError, match=r"\[sources.dem\] and \[sources.other\] both give 'elevation_mean_m'"):
        Dataset(Recipe.model_validate(value), specs, base.path)


def test_seasons_are_half_open_and_their_anchor_is_the_middle_where_none_is_given():
    summer, autumn = (load_dataset("starter").recipe.season(n).always for n in ("summer", "autumn"))
    assert summer.holds(dt.datetime(2021, 6, 1, tzinfo=dt.UTC))
    assert not summer.holds(dt.datetime(2021, 9, 1, tzinfo=dt.UTC))
    assert summer.anchor == dt.datetime(2021, 7, 17, tzinfo=dt.UTC)
    assert autumn.anchor == dt.datetime(2021, 10, 1, tzinfo=dt.UTC)
    static = load_dataset("starter").recipe.season("static").always
    assert (static.start, static.end) == (summer.start, autumn.end)


# --- digests -------------------------------------------------------------------------------------------------------

DIGESTS = ("pixels", "release", "places")


def digests(dataset: Dataset, catalog: str = "planetary-computer") -> dict[str, str]:
    values = (
        pixels_digest(dataset, Catalogs(resolve(catalog, "http://127.0.0.1"))),
        dataset.release_digest(),
        dataset.places_digest(),
    )
    return dict(zip(DIGESTS, values, strict=True))


@pytest.mark.parametrize(
    ("change", "want"),
    [
        ({}, set()),
        ({"title": "Another title"}, set()),
        ({"catalog": "earth-search"}, set()),
        ({"places": {"regions_of": {"embedded": ["sao-paulo"]}}}, set()),
        ({"grid": {"size_m": 1320.0}}, {"pixels", "places"}),
        ({"seed": 43}, {"release", "places"}),
        ({"places": {"count": 50_001}}, {"places"}),
        ({"places": {"std_km": 51.0}}, {"places"}),
        ({"places": {"regions": ["africa"]}}, {"places"}),
        ({"seasons": {"summer": {"start": dt.date(2021, 6, 2), "end": dt.date(2021, 9, 1)}}}, {"pixels"}),
        ({"seasons": {"winter": {"start": dt.date(2021, 12, 1), "end": dt.date(2022, 3, 1)}}}, {"pixels"}),
        ({"sources": {"worldcover": {"required": True}}}, {"pixels"}),
        ({"sources": {"s2l2a": {"bands": ["B02"]}}}, {"pixels"}),
        ({"sources": {"dem": {"res_m": 10.0}}}, {"pixels"}),
        ({"quality": {"min_clear": 0.8}}, {"pixels"}),
        ({"quality": {"max_gap_days": 5.0}}, {"pixels"}),
        ({"cube": {"slab_patches": 8}}, {"pixels"}),
        ({"labels": {"min_fraction": 0.1}}, {"release"}),
        ({"labels": {"seasonal": None}}, {"release"}),
        ({"split": {"val_fraction": 0.1}}, {"release"}),
        ({"split": {"unshared": ["s2l2a"]}}, {"release"}),
        ({"quality": {"max_shift_px": 2.0}}, {"pixels"}),
        ({"sources": {"s1rtc": {"pick": {"name": "nearest", "goes_with": "s2l2a"}}}}, {"pixels"}),
        ({"sources": {"s2l2a": {"pick": "clearest"}}}, set()),
        ({"fetch": {"requests_per_host": 3}}, set()),
        ({"pack": {"radar": "float32"}}, {"release"}),
        ({"pack": {"target": 100}}, {"release"}),
        ({"pack": {"complete": "any"}}, {"release"}),
    ],
)  # fmt: skip
def test_a_digest_changes_with_what_it_stands_for_and_with_nothing_else(change, want):
    before, after = digests(load_dataset("starter")), digests(varied(**change))
    assert {n for n in DIGESTS if before[n] != after[n]} == want


def test_the_seasons_that_decide_an_orbit_direction_are_said():
    base = load_dataset("starter")
    every = base.season_names()
    assert base.directed_by("s1rtc") == every
    assert base.directed_by("s2l2a") == []
    said = varied(sources={"s1rtc": {"direction_from": every[:1]}})
    assert said.directed_by("s1rtc") == every[:1]
    # Its own season is looked at in any case: that is where its scenes are.
    assert said.looks_at("s1rtc", every[1]) == every[:2]
    with pytest.raises(ConfigError, match=r"s2l2a\] direction_from: .* keeps to no one orbit direction"):
        varied(sources={"s2l2a": {"direction_from": every[:1]}})
    with pytest.raises(ValueError, match=r"sources\.s1rtc\.direction_from: no season"):
        varied(sources={"s1rtc": {"direction_from": ["monsoon"]}})


GROWN = {"seasons": {"winter": {"start": dt.date(2021, 12, 1), "end": dt.date(2022, 3, 1)}}}
FROM = {"sources": {"s1rtc": {"direction_from": ["summer", "autumn"]}}}


@pytest.mark.parametrize(
    ("change", "season", "stands"),
    [
        (GROWN, "static", True),
        (GROWN, "summer", False),  # the orbit direction of a place follows from all seasons
        (GROWN | FROM, "summer", True),
        (FROM, "summer", True),
        ({"sources": {"s1rtc": {"direction_from": ["summer"]}}}, "summer", False),
        ({"seasons": {"autumn": {"start": dt.date(2021, 9, 2), "end": dt.date(2021, 11, 1)}}}, "static", True),
        ({"sources": {"dem": {"res_m": 10.0}}}, "static", False),
        ({"sources": {"dem": {"res_m": 10.0}}}, "summer", True),
        ({"sources": {"s2l2a": {"bands": ["B02"]}}}, "static", True),
        ({"sources": {"s2l2a": {"bands": ["B02"]}}}, "summer", False),
        ({"quality": {"min_clear": 0.8}}, "static", False),
        ({"cube": {"slab_patches": 8}}, "static", False),
        ({"grid": {"size_m": 1320.0}}, "summer", False),
    ],
)
def test_a_cube_follows_from_its_own_season_and_sources_and_what_decides_these(change, season, stands):
    catalog, base, now = Catalogs(resolve("planetary-computer")), load_dataset("starter"), varied(**change)
    before, after = (now.of_cube(pixels_parts(its, catalog), season) for its in (base, now))
    assert (before == after) is stands


def test_a_cube_follows_from_the_catalogs_of_its_own_sources():
    base, ours = load_dataset("starter"), Catalogs(resolve("planetary-computer"))
    apart = Catalogs(ours.default, (("dem", resolve("earth-search")),))
    one, other = (pixels_parts(base, its) for its in (ours, apart))
    assert base.of_cube(one, "summer") == base.of_cube(other, "summer")
    assert base.of_cube(one, "static") != base.of_cube(other, "static")


def test_another_rule_of_the_split_is_another_release_alone():
    by_region = load_dataset("starter")
    by_region.recipe = by_region.recipe.model_copy(update={"split": Column(val=["europe"])})
    before, after = digests(load_dataset("starter")), digests(by_region)
    assert {n for n in DIGESTS if before[n] != after[n]} == {"release"}


@pytest.mark.parametrize(
    ("change", "changes"),
    [
        ({"title": "Another"}, False), ({"licence": "Another"}, False),
        ({"pick": {"hole_value": 1.0}}, True), ({"array": {"nodata": -9999.0}}, True), ({"array": {"up": "nearest"}}, True),
        ({"array": {"dtype": "int16"}}, True), ({"catalogs": {"planetary-computer": {"collection": "other"}}}, True),
    ],
)  # fmt: skip
def test_the_pixels_digest_follows_the_sources(change, changes):
    base = load_dataset("starter")
    other = Dataset(base.recipe, base.specs | {"dem": SourceSpec.model_validate(source("dem", **change))}, base.path)
    found = [pixels_digest(d, Catalogs(resolve("planetary-computer"))) for d in (base, other)]
    assert (found[0] != found[1]) == changes


def test_the_pixels_digest_follows_the_catalog():
    base = load_dataset("starter")
    ours, theirs = Catalogs(resolve("planetary-computer")), Catalogs(resolve("earth-search"))
    assert pixels_digest(base, ours) != pixels_digest(base, theirs)
    assert pixels_digest(base, ours) == pixels_digest(load_dataset("starter"), ours)


def test_a_form_in_another_catalog_changes_no_digest():
    base = load_dataset("starter")
    dem = base.specs["dem"]
    other = dem.model_copy(update={"catalogs": {"planetary-computer": dem.catalogs["planetary-computer"]}})
    changed = Dataset(base.recipe, base.specs | {"dem": other}, base.path)
    ours = Catalogs(resolve("planetary-computer"))
    assert pixels_digest(base, ours) == pixels_digest(changed, ours)


def test_what_a_class_counts_as_is_of_the_release_not_of_the_pixels():
    base = load_dataset("starter")
    cover = base.specs["worldcover"]
    classes = [c.model_copy(update={"label": "other"}) for c in cover.kind.legend]
    kind = cover.kind.model_copy(update={"classes": classes})
    changed = Dataset(base.recipe, base.specs | {"worldcover": cover.model_copy(update={"kind": kind})}, base.path)
    before, after = digests(base), digests(changed)
    assert {n for n in DIGESTS if before[n] != after[n]} == {"release"}


def test_the_places_digest_follows_the_content_of_the_given_file(tmp_path):
    text = STARTER.replace('sampler = "gaussian-cities"', 'sampler = "file"\nfile = "p.csv" #').replace(
        "count =", "# count ="
    )
    (tmp_path / "recipe.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"\[places\] file = 'p.csv': no such file"):
        load_dataset(str(tmp_path)).places_digest()
    seen = set()
    for content in ("lon,lat\n1,2\n", "lon,lat\n1,3\n"):
        (tmp_path / "p.csv").write_text(content)
        seen.add(load_dataset(str(tmp_path)).places_digest())
    assert len(seen) == 2


def test_a_misspelt_key_that_must_be_there_is_told_once_with_what_was_meant(tmp_path):
    told = said(tmp_path, "size_m = 2640 ", "sise_m = 264 ")
    assert told.startswith("[grid] sise_m: no such key; did you mean size_m? known keys: res_m, size_deg")
    assert "missing" not in said(tmp_path, "[grid]", "[gird]")


@pytest.mark.parametrize(
    ("change", "want"),
    [
        ({}, []),
        ({"quality": {"min_clear": 0.8}}, ["quality.min_clear was 0.98, is 0.8"]),
        ({"grid": {"size_m": 1320.0}}, ["grid.size_m was 2640.0, is 1320.0"]),
        ({"sources": {"dem": {"res_m": 10.0}}}, ["sources.dem.res_m was null, is 10.0"]),
        (
            {"seasons": {"winter": {"start": dt.date(2021, 12, 1), "end": dt.date(2022, 3, 1)}}},
            [
                'seasons.winter.start was not there, is "2021-12-01T00:00:00Z"',
                'seasons.winter.end was not there, is "2022-03-01T00:00:00Z"',
                "seasons.winter.anchor was not there, is null",
            ],
        ),
    ],
)
def test_what_changed_is_told_key_by_key(change, want):
    catalog = Catalogs(resolve("planetary-computer"))
    base, other = load_dataset("starter"), varied(**change)
    assert changes(pixels_parts(base, catalog), pixels_parts(other, catalog)) == want


def test_another_catalog_is_one_change_and_a_source_s_own_key_says_where_it_stands():
    base = load_dataset("starter")
    ours, theirs = Catalogs(resolve("planetary-computer")), Catalogs(resolve("earth-search"))
    assert changes(pixels_parts(base, ours), pixels_parts(base, theirs)) == [
        'catalog was "planetary-computer", is "earth-search"'
    ]
    dem = SourceSpec.model_validate(source("dem", pick={"hole_value": 1.0}))
    other = Dataset(base.recipe, base.specs | {"dem": dem}, base.path)
    found = changes(pixels_parts(base, ours), pixels_parts(other, ours))
    assert found == ["sources.dem (stac_queries).pick.hole_value was 0.0, is 1.0"]


def test_labels_of_children_are_refused_until_samples_have_them():
    sources = [*of_cells().children.sources, "worldcover"]
    with pytest.raises(ValueError, match=r"labels.*from \['worldcover'\], which children carry"):
        of_cells(children=of_cells().children.model_dump() | {"sources": sources})


def test_levels_have_sources_footprints_and_seasons_of_their_own():
    dataset = load_dataset("ssl4eo-s")
    cells, children = dataset.levels
    assert set(children.specs) == {"s2l2a", "s1rtc"}
    assert children.recipe.grid.size == 2640
    assert cells.recipe.grid.size == 0.25
    assert children.season_names() == ["winter", "spring", "summer", "autumn"]
    assert children.cube_seasons() == children.season_names()  # nothing static
    assert cells.cube_seasons()[0] == "static"
    assert {s.name for s in cells.sources("2021-07")} == {"s5p-no2", "s5p-co", "s5p-so2", "s5p-o3"}
    assert {s.name for s in cells.sources("summer")} == {"s3olci"}
    assert children.sources("2021-07") == []
    assert (cells.folder("fiji"), children.folder("fiji")) == ("fiji", "fiji.children")
    assert dataset.level_of("fiji.children") is children
    assert set(dataset.arrays) == set(cells.arrays) | set(children.arrays)


def test_a_swath_on_footprints_in_metres_is_refused():
    dataset = load_dataset("ssl4eo-s")
    value = dataset.recipe.model_dump()
    value["children"]["sources"].append("s5p-co")
    recipe = Recipe.model_validate(value)
    with pytest.raises(
        ConfigError, match=r"\[sources.s5p-co\], on footprints of \[children\].*: a swath is gridded on .* in"
    ):
        Dataset(recipe, dataset.specs, dataset.path)


def test_what_is_valid_enough_is_by_default_what_the_shipped_recipes_say():
    # One pixel of a whole patch may be missing; a recipe that is silent says the same as those that are not.
    shipped = {name: load_dataset(name).recipe.quality.min_valid for name in ("ssl4eo-s12-ml", "ssl4eo-s", "starter")}
    assert set(shipped.values()) == {QualitySpec().min_valid} == {0.999}


def test_what_is_excluded_is_in_no_digest_and_is_an_id(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(STARTER)
    silent = load_dataset(str(path))
    path.write_text(
        STARTER.replace("[quality]", '[search]\nexclude = ["S2A_x"]\n[quality]').replace("\n[search]\n#", "\n#")
    )
    said = load_dataset(str(path))
    assert said.recipe.search.exclude == ["S2A_x"]
    any_one = Catalogs(resolve("planetary-computer"))
    assert pixels_digest(said, any_one) == pixels_digest(silent, any_one)
    assert said.release_digest() == silent.release_digest()
    path.write_text(path.read_text().replace('"S2A_x"', '" "'))
    with pytest.raises(ConfigError, match="exclude: ' ' is no id of a scene"):
        load_dataset(str(path))


@pytest.mark.parametrize(
    ("columns", "more", "fault"),
    [
        (["Crop"], "", "places.columns: 'Crop': expected a-z, 0-9, '_' and '-'"),
        (["s2l2a"], "", "places.columns: 's2l2a': expected"),
        (["s2l2a_time"], "", "places.columns: 's2l2a_time': expected"),
        (
            ["crop"],
            '[annotations.crop]\nfunction = "caption"\ntype = "text"\n',
            "['crop']: an annotation and one of [places] columns",
        ),
    ],
)
def test_a_column_of_the_file_is_called_as_an_entry_of_a_sample_may_be(tmp_path, columns, more, fault):
    path = tmp_path / "recipe.toml"
    path.write_text(
        'name = "mine"\ntitle = "Mine"\nseed = 1\n[grid]\nsize_m = 2640\n[places]\nsampler = "file"\nfile = "a.csv"\n'
        f"columns = {columns}\n[seasons]\nsummer = {{ start = 2021-06-01, end = 2021-09-01 }}\n[sources]\n"
        f"s2l2a = {{}}\n{more}"
    )
    with pytest.raises(ConfigError, match=re.escape(fault)):
        load_dataset(str(path))


@pytest.mark.parametrize("px", [32, 64, 128, 224, 256, 384, 512])
def test_a_size_in_pixels_is_that_size_in_metres_to_the_digest(px, tmp_path):
    made = {}
    for name, text in (("px", f"size_px = {px}\nres_m = 10 "), ("m", f"size_m = {px * 10} ")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "recipe.toml").write_text(STARTER.replace("size_m = 2640 ", text))
        made[name] = load_dataset(str(tmp_path / name))
    assert made["px"].recipe == made["m"].recipe
    assert made["px"].recipe.grid.model_dump() == {"size_m": px * 10.0, "size_deg": None}
    here = dict.fromkeys(made["m"].recipe.sources, "here")
    assert made["px"].pixels_digest(here, {}) == made["m"].pixels_digest(here, {})
    assert made["px"].places_digest() == made["m"].places_digest()
    assert made["px"].recipe.model_copy() == made["px"].recipe
    sides = {n: a.px(made["px"].recipe.grid.size) for n, a in made["px"].arrays["s2l2a"].items()}
    assert sides["s2l2a_10m"] == px
    assert sides["s2l2a_20m"] == sides["s2l2a_scl_20m"] == px // 2
    assert sides["s2l2a_60m"] == -(-px // 6)


def test_children_say_their_size_in_pixels_too():
    few = {"sampler": "uniform", "count": 1000, "sources": ["s2l2a"]}
    in_m, in_px = (of_cells(children=few | size) for size in ({"size_m": 2560.0}, {"size_px": 256, "res_m": 10}))
    assert in_m == in_px
    assert in_px.children.model_dump()["size_m"] == 2560
