"""Forests on the embedded Earth, looked at from outside: the recipe as it is shipped, of fewer places and one season."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import xarray as xr

from curation.cli import main
from curation.embedded.service import era5
from curation.errors import ConfigError
from curation.format.index import Index
from curation.format.signature import channels_of
from curation.places import draw
from curation.recipe.files import folder as shipped
from curation.stream import Part, open_mix
from curation.stream.open import open_shards
from tests.once import one_at_a_time
from tests.places.test_strata import forests

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # what is made once takes a minute, beside other tests more

PLACES = """id,lon,lat
rhine-wood,5.99155,51.22033
rhine-field,6.15015,51.32371
paulo-wood,-46.66238,-23.44208
paulo-edge,-46.65760,-23.66970
paulo-grove,-46.70488,-23.59550
paulo-town,-46.67546,-23.54760
"""
"""Of the 14 that the shipped draw has on the embedded Earth: `test_the_places_are_of_the_shipped_draw`."""
TREELESS = {"rhine-field", "paulo-town"}
"""Of which the map has less than a fifth of trees."""
PICTURES = {"train": {"rhine-wood"}, "val": {"paulo-grove"}}
"""Over which an aeroplane flew in 2021, by the side of the split that they are of."""
GIVEN = """[places]
sampler = "file"
file = "places.csv"

"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped one, of places that are given and of one season."""
    recipe = tmp_path_factory.mktemp("recipe") / "fomo"
    shutil.copytree(shipped("manifests") / "fomo", recipe)
    text = (recipe / "recipe.toml").read_text()
    text, count = re.subn(r"\[places\]\n.*?(?=\[seasons\])", GIVEN, text, flags=re.DOTALL)
    text, seasons = re.subn(r"^bare = .*\n", "", text, flags=re.MULTILINE)
    assert (count, seasons) == (1, 1)
    (recipe / "recipe.toml").write_text(text)
    (recipe / "places.csv").write_text(PLACES)
    return recipe


def test_the_places_are_of_the_shipped_draw():
    """Of its beginning, which a longer one has (`places/test_strata.py`): all of it takes most of a minute."""
    found = draw.draw(forests(100_000))
    drawn = {(round(lon, 5), round(lat, 5)) for lon, lat in zip(found.column("lon"), found.column("lat"), strict=True)}
    given = {(float(lon), float(lat)) for _, lon, lat in (row.split(",") for row in PLACES.split()[1:])}
    assert given & drawn == {(6.15015, 51.32371), (-46.66238, -23.44208)}


@pytest.fixture(scope="module")
def made(recipe: Path, rendering: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made")
    where = ["--dataset", str(recipe), "--root", str(root), "--catalog", "embedded", "--scheduler", "none"]
    with one_at_a_time(rendering):
        assert main.main(["build", *where]) == 0
    assert main.main(["pack", *where]) == 0
    return root / "fomo"


@pytest.fixture(scope="module")
def samples(made: Path) -> dict[str, dict[str, np.ndarray]]:
    """Key → entry → what batches of both splits have."""
    out = {}
    for split in ("train", "val"):
        for batch in open_shards(made, split, batch_size=2, shuffle=False):
            arrays = {k: v.numpy() for k, v in batch.items() if hasattr(v, "numpy")}
            out |= {key: {n: a[k] for n, a in arrays.items()} for k, key in enumerate(batch["key"])}
    return out


@pytest.fixture(scope="module")
def places(made: Path) -> dict[str, tuple[float, float]]:
    """Key of each sample → longitude and latitude."""
    tables = [pq.read_table(f, columns=["id", "lon", "lat"]).to_pylist() for f in made.glob("shards/*/samples.parquet")]
    return {row["id"]: (row["lon"], row["lat"]) for rows in tables for row in rows}


def test_places_with_little_forest_are_dropped_and_told(made: Path, samples):
    dropped = {d["id"]: d["reason"] for d in pq.read_table(made / "manifest/dropped.parquet").to_pylist()}
    assert {k for k, reason in dropped.items() if reason == "incomplete:static (few_of_class:worldcover)"} == TREELESS
    assert len(samples) >= 2
    assert not TREELESS & set(samples)
    for key, its in samples.items():
        trees = np.isin(its["worldcover_10m"], [10, 95]).mean()
        assert trees >= 0.2, key


def test_a_sample_has_all_sensors_at_their_own_metres(samples):
    for its in samples.values():
        shapes = {n: its[n].shape[-3:] for n in its if n.endswith("m")}
        assert shapes == {
            "s2l2a_10m": (4, 132, 132),
            "s2l2a_20m": (6, 66, 66),
            "s2l2a_60m": (2, 22, 22),
            "s2l2a_scl_20m": (1, 66, 66),
            "s1rtc_10m": (2, 132, 132),
            "landsat-c2-l2_30m": (7, 44, 44),
            "landsat-c2-l2_qa_30m": (1, 44, 44),
            "naip_0p6m": (4, 2200, 2200),
            "dem_30m": (1, 44, 44),
            "worldcover_10m": (1, 132, 132),
        }


def test_aerial_pictures_are_in_samples_of_both_sides(made: Path):
    for split, wanted in PICTURES.items():
        found = set()
        for batch in open_shards(made, split, batch_size=1, fields=["naip_0p6m"], shuffle=False):
            if batch["naip_ok"].item():
                assert batch["naip_0p6m"].min() >= 1  # neither a gap nor a black rim where sheets meet
                assert batch["naip_0p6m"].float().std() > 5
                found |= {*batch["key"]}
        assert found == wanted


def test_where_no_picture_was_taken_there_is_none_and_the_reason_is_recorded(made: Path, samples):
    told = {}
    for path in made.glob("cubes/*/static.zarr"):
        cube = xr.open_zarr(path)
        told |= dict(zip(cube["id"].values.tolist(), cube["naip_reason"].values.tolist(), strict=True))
    pictured = set.union(*PICTURES.values())
    assert pictured < set(samples)
    for key, its in samples.items():
        # Of the rest of sao-paulo there are pictures of another year and of larger pixels alone: these are not taken for it.
        assert bool(its["naip_ok"]) == (key in pictured), key
        assert told[key] == ("" if its["naip_ok"] else "no_scene")
        assert (its["naip_0p6m"] == -1).all() == (key not in pictured)


def blocks(pixels: np.ndarray, factor: int, down: int = 0, right: int = 0) -> np.ndarray:
    """Means of squares of so many pixels a side, moved by some, without the outermost: (y, x)."""
    n = pixels.shape[-1] // factor
    inner = pixels[factor + down : (n - 1) * factor + down, factor + right : (n - 1) * factor + right]
    return inner.reshape(n - 2, factor, n - 2, factor).mean(axis=(1, 3))


def alike(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def test_landsat_shows_the_ground_of_sentinel_2_and_lies_upon_it(samples):
    """Its lattice lies half a pixel (15 m) beside: a shift by that would show at a third of it."""
    seen = 0
    for its in samples.values():
        if not its["landsat-c2-l2_ok"].all() or not its["s2l2a_ok"].all():
            continue
        red, nir = its["landsat-c2-l2_30m"][0, [3, 4]].astype(float)
        clear = (its["landsat-c2-l2_qa_30m"][0, 0] == 1) & (red > -2000)
        assert clear.mean() > 0.5
        theirs = its["s2l2a_10m"][0, [2, 3]].astype(float)
        by_shift = {(y, x): alike(nir[1:-1, 1:-1], blocks(theirs[1], 3, y, x)) for y in (-1, 0, 1) for x in (-1, 0, 1)}
        assert max(by_shift, key=lambda k: by_shift[k]) == (0, 0), by_shift
        assert by_shift[0, 0] > 0.7
        dark = np.median(red[clear]) - np.median(theirs[0])
        assert abs(dark) < 600  # of reflectance × 10000: weeks lie between; without the offset it would be off by 2000
        seen += 1
    assert seen


def test_an_aerial_picture_averages_to_the_ground_of_sentinel_2_and_lies_upon_it(samples):
    seen = 0
    for its in samples.values():
        if not its["naip_ok"] or not its["s2l2a_ok"].all():
            continue
        nir = its["naip_0p6m"][3].astype(float)
        theirs = blocks(its["s2l2a_10m"][0, 3].astype(float), 3)
        by_shift = {(y, x): alike(blocks(nir, 50, y, x), theirs) for y in (-8, 0, 8) for x in (-8, 0, 8)}  # 4.8 m
        assert max(by_shift, key=lambda k: by_shift[k]) == (0, 0), by_shift
        assert by_shift[0, 0] > 0.8  # of a wood 0.9; where there are houses, too, days apart and by another sun, less
        assert nir.std() > 1.05 * blocks(nir, 17).std()  # there is more to see within a pixel of 10 m
        seen += 1
    assert seen


@pytest.fixture(scope="module")
def index(made: Path) -> Index:
    return Index.from_bytes((made / "shards/index.json").read_bytes())


def test_the_index_says_what_bands_of_landsat_and_of_pictures_are(index: Index):
    of = {n: channels_of(index, n) for n in ("landsat-c2-l2_30m", "naip_0p6m")}
    assert of["landsat-c2-l2_30m"].bands == tuple(f"landsat.b{n}" for n in range(1, 8))
    assert of["landsat-c2-l2_30m"].wavelength_nm.tolist() == [443, 482, 561, 655, 865, 1609, 2201]
    assert of["naip_0p6m"].bands == ("naip.red", "naip.green", "naip.blue", "naip.nir")
    landsat, naip = (of[n].signature for n in of)
    assert (landsat.ground_m, landsat.size_px, landsat.level) == (30, (44, 44), "BOA")
    assert (naip.ground_m, naip.size_px, naip.unit, naip.level) == (0.6, (2200, 2200), "digital number", None)
    assert len({one.signature.digest for one in of.values()}) == 2
    stored = {n: (index.arrays[n].dtype, index.arrays[n].nodata) for n in of}
    assert stored == {"landsat-c2-l2_30m": ("int16", -32768), "naip_0p6m": ("int16", -1)}


def test_statistics_are_of_the_pixels_of_train_that_have_data(made: Path, index: Index, samples):
    train = pq.read_table(made / "shards" / "train" / "samples.parquet", columns=["id"]).column("id").to_pylist()
    for name in ("landsat-c2-l2_30m", "naip_0p6m"):
        pixels = np.stack([samples[k][name] for k in train]).astype(np.float64)
        nodata = index.arrays[name].nodata
        for number, band in enumerate(index.arrays[name].bands):
            plane = pixels[..., number, :, :]
            its, valid = index.statistics[name][band], plane[plane != nodata]
            assert (its.mean, its.std) == pytest.approx((valid.mean(), valid.std()), rel=1e-3)


def test_a_mix_has_batches_of_each_sensor(made: Path):
    parts = {
        "s2": Part(made, arrays=["s2l2a_10m"], crop_px=128),
        "landsat": Part(made, arrays=["landsat-c2-l2_30m"], platform="landsat-8", require=["landsat-c2-l2"]),
        "aerial": Part(made, arrays=["naip_0p6m"], crop_px=224, require=["naip"]),
    }
    mix = open_mix(parts, "train", batch_size=1)
    found = {}
    for batch in mix:
        found[batch["dataset"]] = batch
        assert batch["valid"].any()
    shapes = {name: (tuple(b["image"].shape[1:]), b["ground_m"]) for name, b in found.items()}
    assert shapes == {
        "s2": ((4, 128, 128), 10),
        "landsat": ((7, 44, 44), 30),
        "aerial": ((4, 224, 224), pytest.approx(0.6)),
    }
    assert found["aerial"]["wavelength_nm"].tolist() == [635, 555, 465, 845]
    assert mix.parts["landsat"].signatures[0].platform == "landsat-8"
    with pytest.raises(ConfigError, match=r"landsat-9.*of the images of landsat-c2-l2_30m \d+ of landsat-8 are"):
        open_mix({"landsat": Part(made, arrays=["landsat-c2-l2_30m"], platform="landsat-9")}, "train", batch_size=1)


def test_the_climate_is_that_of_the_nearest_node(samples, places):
    lon, lat = era5.nodes()
    for key, its in samples.items():
        x, y = places[key]
        row, column = np.abs(lat - y).argmin(), np.abs((lon - x + 180) % 360 - 180).argmin()
        for month in range(12):
            truth = [era5.month(n, 12 + month)[row, column] for n in (era5.TEMPERATURE, era5.PRECIPITATION)]
            assert its["climate"][month].tolist() == [float(v) for v in truth]


def test_variables_of_the_climate_are_named_as_bands_are(index: Index):
    its = index.annotations["climate"]
    assert its.names == (era5.TEMPERATURE, era5.PRECIPITATION)
    assert [(b.name, b.kind, b.unit) for b in its.canonical] == [
        ("era5.t2m", "climate", "K"),
        ("era5.tp", "climate", "m"),
    ]


def test_genera_are_those_of_the_table_near_the_place(index: Index, samples, places):
    trees = pd.read_csv(shipped("manifests") / "fomo" / "trees.csv")
    classes = index.counts["read"]["genus"]["classes"]
    seen = 0
    for key, (lon, lat) in places.items():
        its = samples[key]
        within = trees[(abs(trees.longitude - lon) < 0.0085) & (abs(trees.latitude - lat) < 0.0053)]
        assert bool(its["genus_ok"]) == (len(within) > 0)
        if len(within):  # all rows of a place lie well within its footprint, of which this is a part
            assert its["genus"].tolist() == [int((within.genus == c).sum()) for c in classes]
            seen += 1
    assert seen >= 1


def test_every_byte_is_as_recorded(recipe: Path, made: Path):
    assert main.main(["verify", "--dataset", str(recipe), "--root", str(made.parent)]) == 0
