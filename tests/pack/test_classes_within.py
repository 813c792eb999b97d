"""Rows of a table within samples, by class: which lie within, what a sample without any has, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.cubes import selection
from curation.errors import ConfigError
from curation.format.index import Index
from curation.model import Location
from curation.pack.annotate import check
from curation.pack.annotations.classes_within import gather, within
from curation.places import era5_cells, grids
from curation.places.grid import transformer
from curation.recipe.catalogs import resolve_all
from curation.recipe.dataset import load_dataset
from curation.stream.open import open_shards
from tests import world as tiny
from tests.pack.test_annotate import checked, embedded, own
from tests.properties import examples
from tests.run import Curate

GENUS = """
[annotations.genus]
function = "classes_within"
type = "numbers"
shape = [3]
[annotations.genus.points]
file = "trees.csv"
column = "genus"
"""

NAMES = 'names = ["Pinuss", "Fagu", "Acre"]\n'


def utm(lon: float, lat: float, size_m: float, number: int) -> Location:
    made = grids.snap(np.array([lon]), np.array([lat]), size_m)
    its = {k: getattr(made, k)[0].item() for k in ("lon", "lat", "epsg", "x0_m", "y0_m")}
    return Location(id=f"p{number}", size_m=size_m, region="world", **its)


@given(
    st.lists(st.tuples(st.floats(-180, 180), st.floats(-75, 80)), min_size=1, max_size=6),
    st.lists(st.tuples(st.floats(-1.5, 1.5), st.floats(-1.5, 1.5), st.integers(0, 5)), min_size=1, max_size=40),
)
@settings(max_examples=examples(100))
def test_points_within_are_those_that_lie_in_the_footprint_on_its_own_grid(centres, offsets):
    places = [utm(lon, lat, 1200.0, k) for k, (lon, lat) in enumerate(centres)]
    lon, lat = [], []
    for east, north, k in offsets:
        near = places[k % len(places)]
        x, y = near.x0_m + (0.5 + east) * 1200, near.y0_m - (0.5 + north) * 1200
        there = transformer(near.epsg, 4326).transform(x, y)
        lon.append(there[0])
        lat.append(there[1])
    found = within(places, np.array(lon), np.array(lat))
    for place in places:
        x, y = transformer(4326, place.epsg).transform(lon, lat)
        box = shapely.box(place.x0_m, place.y0_m - 1200, place.x0_m + 1200, place.y0_m)
        truth = np.flatnonzero(shapely.contains_xy(box, x, y))
        beside = shapely.distance(shapely.points(np.nan_to_num(x, posinf=0), np.nan_to_num(y, posinf=0)), box.boundary)
        sure = np.flatnonzero(beside > 1e-6)
        assert sorted(set(found[place.id].tolist()) & set(sure)) == sorted(set(truth.tolist()) & set(sure))


@pytest.mark.parametrize(
    ("epsg", "centres"),
    [
        (3857, [(-120.0, 40.0), (-80.0, 40.0), (100.0, -10.0)]),
        (5070, [(-120.0, 40.0), (-75.0, 42.0)]),
        (3995, [(0.0, 90.0)]),
        (32632, [(9.0, 50.0), (24.0, 50.0), (-5.0, 50.0)]),
        (32660, [(177.0, 5.0), (-179.0, 5.0)]),
    ],
)
def test_places_of_one_crs_may_lie_far_apart_and_on_a_pole(epsg: int, centres: list[tuple[float, float]]):
    to_degrees, places, lon, lat = transformer(epsg, 4326), [], [], []
    for number, centre in enumerate(centres):
        x, y = transformer(4326, epsg).transform(*centre)
        places.append(Location(id=f"p{number}", lon=centre[0], lat=centre[1], epsg=epsg, x0_m=x - 600, y0_m=y + 600,
                               size_m=1200, region="world"))  # fmt: skip
        for east, north in [(-500, -500), (-500, 500), (500, -500), (500, 500), (700, 0)]:  # the last one beside it
            at = to_degrees.transform(x + east, y + north)
            lon.append(at[0])
            lat.append(at[1])
    found = within(places, np.array(lon), np.array(lat))
    assert {k: sorted(v.tolist()) for k, v in found.items()} == {
        f"p{n}": list(range(5 * n, 5 * n + 4)) for n in range(len(centres))
    }


def test_a_row_on_an_edge_is_of_one_of_two_places_side_by_side_and_of_cells_across_the_antimeridian_too():
    numbers = era5_cells.numbers_at(np.array([-180.0, -179.75]), np.array([0.0, 0.0]))
    made = era5_cells.grids(numbers)
    cells = [
        Location(id=f"c{k}", lon=made.lon[k], lat=made.lat[k], epsg=4326, x0_m=made.x0_m[k], y0_m=made.y0_m[k],
                 size_m=0.25, region="world")
        for k in range(2)
    ]  # fmt: skip
    found = within(cells, np.array([179.9, -180.0, -179.875, -179.7]), np.zeros(4))
    assert {k: v.tolist() for k, v in found.items()} == {"c0": [0, 1], "c1": [2, 3]}


def counted(folder: Path, write: Callable[[pd.DataFrame], Path], classes: list[object], names: str) -> dict[str, list]:
    """Of two places with a row of each class in the first, written into a file; the second has none."""
    place, other = utm(6.2, 51.3, 1200.0, 0), utm(9.0, 48.0, 1200.0, 1)
    file = write(pd.DataFrame({"lon": place.lon, "lat": place.lat, "genus": classes}))
    world = tiny.World(folder)
    world.recipe.write_text(tiny.RECIPE + GENUS.replace("trees.csv", file.name).replace("[3]", "[2]") + names)
    dataset = checked(world.recipe)
    return gather(dataset, "genus", embedded(dataset), [place, other]).values


@pytest.mark.parametrize("ending", ["csv", "parquet", "gpkg"])
def test_classes_that_are_numbers_are_the_same_whatever_type_a_file_gives_them(tmp_path: Path, ending: str):
    def write(trees: pd.DataFrame) -> Path:
        path = tmp_path / f"trees.{ending}"
        match ending:
            case "csv":
                trees.to_csv(path, index=False)
            case "parquet":
                trees.to_parquet(path)
            case "gpkg":
                points = gpd.points_from_xy(trees.lon, trees.lat, crs=4326)
                gpd.GeoDataFrame(trees[["genus"]], geometry=points).to_file(path)
        return path

    for names in ('names = ["1", "2"]\n', ""):
        assert counted(tmp_path, write, [1, 2, None, 2], names) == {"p0": [1, 2], "p1": None}


def test_a_name_that_no_row_has_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    def write(trees: pd.DataFrame) -> Path:
        trees.to_csv(tmp_path / "trees.csv", index=False)
        return tmp_path / "trees.csv"

    assert counted(tmp_path, write, ["Acer", "Fagus"], 'names = ["Acer", "Fagu"]\n')["p0"] == [1, 0]
    assert "[annotations.genus] names: no row of trees.csv is Fagu: 0 in each sample" in caplog.text


@pytest.mark.slow
def test_samples_count_the_rows_within_and_those_without_have_none(built: Curate, tmp_path: Path):
    mine = own(built, tmp_path, GENUS)
    places = sorted(selection.everywhere(mine.dataset, mine.store), key=lambda p: p.id)
    rng, rows = np.random.default_rng(0), []
    for number, place in enumerate(places):
        for _ in range(number % 3):
            x, y = place.x0_m + rng.uniform(0, place.size_m), place.y0_m - rng.uniform(0, place.size_m)
            at = transformer(place.epsg, 4326).transform(x, y)
            rows.append((*at, ["Quercus", "Fagus", "Acer"][rng.integers(3)], place.id))
    trees = pd.DataFrame(rows, columns=["longitude", "latitude", "genus", "of"])
    trees.to_csv(mine.world.folder / "trees.csv", index=False)
    assert mine("pack") == 0
    batches = list(open_shards(mine.folder, batch_size=4, shuffle=False))
    seen = 0
    for key, counts, there in (
        row for b in batches for row in zip(b["key"], b["genus"].numpy(), b["genus_ok"].numpy(), strict=True)
    ):
        its = trees[trees.of == key].genus.value_counts()
        assert there == (len(its) > 0)
        if there:
            assert counts.tolist() == [its.get(c, 0) for c in ("Acer", "Fagus", "Quercus")]
        seen += 1
    index = Index.from_bytes((mine.folder / "shards/index.json").read_bytes())
    its = index.counts["read"]["genus"]
    assert its["classes"] == ["Acer", "Fagus", "Quercus"]
    assert its["missing"] == {"no_value": sum(not (trees.of == k).any() for b in batches for k in b["key"])}
    assert 0 < its["missing"]["no_value"] < seen
    assert mine("verify") == 0

    trees.assign(genus=trees.genus.replace("Acer", "Betula")).to_csv(mine.world.folder / "trees.csv", index=False)
    assert mine("pack") == 0
    assert Index.from_bytes((mine.folder / "shards/index.json").read_bytes()).release_digest != index.release_digest


@pytest.mark.parametrize(
    ("recipe", "table", "says"),
    [
        (GENUS, "lon,lat,genus\n6,51,Acer\n", r"expected 'numbers' and \[1\]: a count of each class, Acer"),
        (GENUS + NAMES, "lon,lat,genus\n6,51,Acer\n", "no row is of any of Pinuss, Fagu, Acre; it has Acer"),
        (GENUS + NAMES, "lon,lat,genus\n6,51,Pinus\n", "did you mean Pinus. it has Pinus"),
        (GENUS + NAMES, "lon,lat,genus\n6,51,\n", "it has no rows with a class"),
        (GENUS, "lon,lat,genius\n6,51,Acer\n", "no column 'genus'; did you mean genius"),
        (GENUS, "x,y,genus\n6,51,Acer\n", "no columns of longitude and latitude"),
        (GENUS, None, "no such file"),
        (GENUS.partition("[annotations.genus.points]")[0], "lon,lat\n", "names no table"),
        (GENUS + 'names = ["a", "a", "b"]\n', "lon,lat,genus\n6,51,Acer\n", "'a' stands there twice"),
        (GENUS.replace("classes_within", "caption"), "lon,lat\n", "is for 'classes_within' alone"),
    ],
)
def test_what_cannot_be_counted_is_told(tmp_path: Path, recipe: str, table: str | None, says: str):
    world = tiny.World(tmp_path)
    world.recipe.write_text(tiny.RECIPE + recipe)
    if table is not None:
        (tmp_path / "trees.csv").write_text(table)
    with pytest.raises(ConfigError, match=says):
        checked(world.recipe)


def test_rows_of_the_embedded_earth_are_read_for_it_alone():
    dataset = load_dataset("fomo")
    check(dataset, embedded(dataset), run_code=False)
    with pytest.raises(ConfigError, match=r"genus.points. file = 'trees-of-yours.csv': no such file"):
        check(dataset, resolve_all(dataset, "planetary-computer"), run_code=False)


def test_a_catalog_s_own_file_is_read_in_place_of_the_other(tmp_path: Path):
    world = tiny.World(tmp_path)
    apart = '[annotations.genus.points.by_catalog]\nembedded = "invented.csv"\n'
    world.recipe.write_text(tiny.RECIPE + GENUS.replace("[3]", "[1]") + apart)
    place = utm(6.2, 51.3, 1200.0, 0)
    (tmp_path / "invented.csv").write_text(f"lon,lat,genus\n{place.lon},{place.lat},Acer\n")
    (tmp_path / "trees.csv").write_text("lon,lat,genus\n6,51,Fagus\n")
    dataset = load_dataset(str(world.recipe))
    found = gather(dataset, "genus", embedded(dataset), [place])
    assert (found.values, found.facts["file"]) == ({"p0": [1]}, "invented.csv")
    other = gather(dataset, "genus", resolve_all(dataset, "earth-search"), [place])
    assert (other.values, other.facts["file"]) == ({"p0": None}, "trees.csv")
    (tmp_path / "invented.csv").unlink()
    with pytest.raises(ConfigError, match=r"by_catalog.embedded = 'invented.csv': no such file"):
        checked(world.recipe)
