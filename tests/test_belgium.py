"""One real site: 118 Sentinel-2 dates with real cloud, 159 of Sentinel-1. Pixels are compared one by one."""

import gc
import json
import shutil
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio
import xarray as xr

from curation.cli import main
from curation.read import reader
from curation.store.ledger import Ledger
from curation.store.objects import Store
from curation.stream.open import open_shards
from tests.benchmarks import series as tiled_series

RECIPE = Path(__file__).parent / "belgium" / "recipe.toml"
SEASONS = ("autumn", "winter", "spring", "summer")
CLEAR = (2, 4, 5, 6, 7, 11)


@pytest.fixture(scope="module")
def root(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("belgium")
    flags = ["--dataset", str(RECIPE), "--root", str(root), "--scheduler", "none"]
    catalog = ["--catalog", str(shared / "data" / "real-archive-belgium" / "items.json")]
    assert main.main([*flags, *catalog, "--allow-unknown-labels"]) == 0
    assert main.main(["pack", *flags, *catalog]) == 0
    return root / "belgium"


@pytest.fixture(scope="module")
def items(shared: Path) -> dict[str, dict]:
    found = json.loads((shared / "data" / "real-archive-belgium" / "items.json").read_text())["features"]
    return {f["id"]: f for f in found}


def source(shared: Path, item: dict, asset: str) -> np.ndarray:
    with rasterio.open(shared / "data" / "real-archive-belgium" / item["assets"][asset]["href"]) as file:
        return file.read(1)


@pytest.mark.parametrize("season", SEASONS)
def test_every_stored_pixel_is_the_source_file_s(root: Path, items, shared: Path, season: str):
    cube = xr.open_zarr(root / "cubes" / "europe" / f"{season}.zarr").isel(patch=0)
    optical, radar = items[str(cube.s2l2a_scenes.values)], items[str(cube.s1rtc_scenes.values)]
    for array in ("s2l2a_10m", "s2l2a_20m", "s2l2a_scl_20m"):
        for band in cube[f"{array}_band"].values:
            expected = source(shared, optical, str(band))
            np.testing.assert_array_equal(cube[array].sel({f"{array}_band": band}).values, expected)
    for band in ("VV", "VH"):
        found = cube.s1rtc_20m.sel(s1rtc_20m_band=band).values
        np.testing.assert_array_equal(found, source(shared, radar, band.lower()))
    assert int(cube.s2l2a_warped) == int(cube.s1rtc_warped) == 0


@pytest.mark.parametrize("season", SEASONS)
def test_clear_fractions_are_those_counted_by_hand(root: Path, items, shared: Path, season: str):
    cube = xr.open_zarr(root / "cubes" / "europe" / f"{season}.zarr").isel(patch=0)
    scl = source(shared, items[str(cube.s2l2a_scenes.values)], "SCL")
    clear = sum(int((scl == code).sum()) for code in CLEAR) / scl.size
    assert float(cube.s2l2a_clear_fraction) == np.float32(clear)
    assert clear >= 0.9


def test_haze_that_scl_calls_clear_is_passed_over(root: Path, items, shared: Path):
    # 2017-10-23 is 98 % clear by SCL and has less than 3 % cloud by it, and shows nothing but haze: SCL leaves 95 % of it
    # unclassified. 2018-09-23 is overcast, and SCL calls it snow.
    for day in ("20171023", "20180923"):
        item = next(v for k, v in items.items() if f"MSIL2A_{day}" in k)
        scl = source(shared, item, "SCL")
        assert np.isin(scl, CLEAR).mean() > 0.97
        assert np.isin(scl, (7, 11)).mean() > 0.5
    chosen = [o.sources["s2l2a"].scenes[0] for s in SEASONS for o in Ledger.replay(Store(root), "europe", s).outcomes()]
    assert len(chosen) == 4
    assert not [s for s in chosen if "20171023" in s or "20180923" in s]


def test_radar_is_the_one_nearest_in_time(root: Path, items):
    for season in SEASONS:
        cube = xr.open_zarr(root / "cubes" / "europe" / f"{season}.zarr").isel(patch=0)
        when = np.datetime64(items[str(cube.s2l2a_scenes.values)]["properties"]["datetime"].rstrip("Z"))
        window = [np.datetime64("2017-09-01"), np.datetime64("2018-09-01")]
        times = [
            np.datetime64(i["properties"]["datetime"].rstrip("Z"))
            for i in items.values()
            if i["collection"] == "sentinel-1-rtc"
        ]
        gaps = [abs(t - when) for t in times if window[0] <= t < window[1]]
        assert abs(cube.s1rtc_time.values - when) == min(gaps)


def test_labels_that_no_catalog_has_are_unknown_not_zeros(root: Path):
    sample = next(iter(open_shards(str(root / "shards"), "train")))
    assert sample["key"] == "utm31n-501360-5629040"
    assert sample["labels_known"].tolist() == [False] * 4
    assert np.isnan(sample["labels"].numpy()).all()
    assert sample["s2l2a_10m"].shape == (4, 4, 64, 64)
    assert sample["season_ok"].all() if "dynamicworld_10m" not in sample else True


@pytest.mark.slow
def test_an_index_of_real_pixels_is_numpy_s_of_the_files(root: Path, items, shared: Path, tmp_path: Path):
    shutil.copytree(root.parent, tmp_path / "root")
    (tmp_path / "places.csv").write_bytes((RECIPE.parent / "places.csv").read_bytes())
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(f'{RECIPE.read_text()}\n[derived]\nndvi = "(s2.b08 - s2.b04) / (s2.b08 + s2.b04)"\n')
    flags = ["--dataset", str(recipe), "--root", str(tmp_path / "root"), "--scheduler", "none"]
    assert main.main(["pack", *flags, "--catalog", str(shared / "data" / "real-archive-belgium" / "items.json")]) == 0
    sample = next(iter(open_shards(str(tmp_path / "root" / "belgium" / "shards"), "train", fields=["ndvi"])))
    for found, season in zip(sample["ndvi"].numpy(), SEASONS, strict=True):
        cube = xr.open_zarr(root / "cubes" / "europe" / f"{season}.zarr").isel(patch=0)
        red, nir = (source(shared, items[str(cube.s2l2a_scenes.values)], b).astype(float) for b in ("B04", "B08"))
        np.testing.assert_allclose(found[0], (nir - red) / (nir + red), rtol=1e-6)
        assert -1 <= found.min() < found.max() <= 1


SERIES = """
[grid]
size_m = 640

[places]
sampler = "file"
file = "places.csv"
regions = ["europe"]

[seasons]
all = { start = 2017-08-01, end = 2018-12-01 }

[sources.s2l2a]
bands = ["B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"]
pick = { name = "all", steps = STEPS, min_clear = 0 }
angles = true

[sources.s1rtc]
res_m = 20
pick = { name = "all", steps = 20 }

[quality]
max_doubtful = 1
max_snow = 1
min_valid = 0
max_scene_cloud_pct = 100

[split]
val_fraction = 0.0

[derived]
ndvi = "(s2.b08 - s2.b04) / (s2.b08 + s2.b04)"
"""


def series(shared: Path, folder: Path, steps: int) -> Path:
    """The dataset's folder of all dates of the site, as many as `steps`, packed."""
    folder.mkdir()
    head = 'name = "series"\ntitle = "A field in Belgium, all dates"\nseed = 1\n'
    (folder / "recipe.toml").write_text(head + SERIES.replace("STEPS", str(steps)))
    (folder / "places.csv").write_bytes((RECIPE.parent / "places.csv").read_bytes())
    flags = ["--dataset", str(folder / "recipe.toml"), "--root", str(folder / "root"), "--scheduler", "none"]
    flags += ["--catalog", str(shared / "data" / "real-archive-belgium" / "items.json")]
    assert main.main(flags) == 0
    assert main.main(["pack", *flags]) == 0
    return folder / "root" / "series"


@pytest.mark.slow
def test_a_series_is_all_dates_pixel_for_pixel_in_cube_and_batch(items, shared: Path, tmp_path: Path):
    folder = series(shared, tmp_path / "s", 130)
    cube = xr.open_zarr(folder / "cubes/europe/all.zarr").isel(patch=0).load()
    dates = sorted(
        (i for i in items.values() if i["collection"] == "sentinel-2-l2a"), key=lambda i: i["properties"]["datetime"]
    )
    assert len(dates) == 118
    assert str(cube.s2l2a_scenes.values).split() == [i["id"] for i in dates]
    assert (int(cube.s2l2a_steps), int(cube.s2l2a_left_out), int(cube.s2l2a_refused)) == (118, 0, 0)
    times = np.array([np.datetime64(i["properties"]["datetime"].rstrip("Z"), "ns") for i in dates])
    np.testing.assert_array_equal(cube.s2l2a_time.values[:118], times)
    assert np.isnat(cube.s2l2a_time.values[118:]).all()
    sample = next(iter(open_shards(str(folder / "shards"), "train")))
    for array in ("s2l2a_10m", "s2l2a_20m", "s2l2a_scl_20m"):
        bands = [str(b) for b in cube[f"{array}_band"].values]
        expected = np.stack([np.stack([source(shared, i, b) for b in bands]) for i in dates])
        np.testing.assert_array_equal(cube[array].values[:118], expected)
        np.testing.assert_array_equal(sample[array].numpy()[0, :118], expected)
        assert (cube[array].values[118:] == 0).all()
        assert (sample[array].numpy()[0, 118:] == 0).all()
    red, nir = (np.stack([source(shared, i, b) for i in dates]).astype(float) for b in ("B04", "B08"))
    np.testing.assert_allclose(sample["ndvi"].numpy()[0, :118, 0], (nir - red) / (nir + red), rtol=1e-6)
    assert (sample["ndvi"].numpy()[0, 118:] == -32768).all()
    assert sample["ndvi_time"].tolist() == sample["s2l2a_time"].tolist()
    platforms = [i["properties"]["platform"].lower() for i in dates]
    assert [str(p) for p in cube.s2l2a_platform.values] == [*platforms, *[""] * 12]
    row = pq.read_table(folder / "shards" / "train" / "samples.parquet").to_pylist()[0]
    assert row["s2l2a_platform_all"] == platforms
    assert row["s2l2a_sun_zenith_deg_all"] is None  # no item states it
    assert sample["s2l2a_time"][0].tolist() == [*times.astype("datetime64[s]").astype(int).tolist(), *[-1] * 12]
    clear = [np.isin(source(shared, i, "SCL"), CLEAR).mean() for i in dates]
    np.testing.assert_allclose(cube.s2l2a_clear_fraction.values[:118], clear, atol=1e-7)


SERIES_PX = 120

PEAKS = """
import sys
from pathlib import Path
from tests import test_belgium
print("peaks", *test_belgium.traced_peaks(*map(Path, sys.argv[1:])))
"""


def traced_peaks(folder: Path, *catalogs: Path) -> list[int]:
    """Highest bytes that this process had allocated at a time while it built a patch of all dates of each catalog."""
    # What a reader keeps for the patches beside is full with the fewest dates, too.
    reader.MOST_OPEN, reader.DECODED_BYTES = 11, 2**20
    traced_peak(folder / "first", catalogs[0])  # what is loaded and remembered once
    tracemalloc.start(1)
    return [traced_peak(folder / f"{n}", catalog) for n, catalog in enumerate(catalogs)]


def traced_peak(folder: Path, catalog: Path) -> int:
    """That of one."""
    folder.mkdir()
    recipe = tiled_series.RECIPE.replace("size_m = 2560", f"size_m = {10 * SERIES_PX}")
    (folder / "recipe.toml").write_text(recipe)
    (folder / "places.csv").write_text("x0_m,y0_m,epsg\n501360,5629680,32631\n")
    flags = ["--dataset", str(folder / "recipe.toml"), "--root", str(folder), "--scheduler", "none"]
    gc.collect()
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    assert main.main([*flags, "--catalog", str(catalog)]) == 0
    return tracemalloc.get_traced_memory()[1] - before


@pytest.mark.slow
def test_a_date_more_takes_no_more_of_a_worker_than_its_packed_pixels(shared: Path, tmp_path: Path):
    archive, dates = shared / "data" / "real-archive-belgium", (8, 32)
    catalogs = [tiled_series.tiled(archive, tmp_path / f"archive-{n}", n, times=2) for n in dates]
    # In a process of its own: what other tests left there lies beside, and is collected at other moments.
    command = [sys.executable, "-c", PEAKS, str(tmp_path), *map(str, catalogs)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True).stdout.splitlines()[-1]
    few, many = map(int, said.removeprefix("peaks ").split())
    packed = sum(f.stat().st_size for f in (tmp_path / "1/series/cubes").rglob("*/c/*/**/*") if f.is_file()) / dates[1]
    decoded = 4 * SERIES_PX**2 * 2 + 6 * (SERIES_PX // 2) ** 2 * 2 + (SERIES_PX // 2) ** 2
    # Once as chunks and once as the objects that are published, and what its item says.
    most = 2 * packed + 64 * 2**10
    assert most < decoded
    assert (many - few) / (dates[1] - dates[0]) < most


@pytest.mark.slow
def test_of_more_dates_than_wanted_the_clearest_are_kept_and_radar_lies_evenly_in_time(
    items, shared: Path, tmp_path: Path
):
    cube = xr.open_zarr(series(shared, tmp_path / "s", 9) / "cubes/europe/all.zarr").isel(patch=0).load()
    assert (int(cube.s2l2a_steps), int(cube.s2l2a_left_out)) == (9, 109)
    worth = {}
    for name, item in items.items():
        if item["collection"] == "sentinel-2-l2a":
            scl = source(shared, item, "SCL")
            worth[name] = np.isin(scl, (2, 4, 5, 6)).mean() + np.isin(scl, 11).mean() / 2
    chosen = str(cube.s2l2a_scenes.values).split()
    assert min(worth[n] for n in chosen) >= max(v for n, v in worth.items() if n not in chosen) - 1e-9
    assert (np.diff(cube.s2l2a_time.values) > np.timedelta64(0)).all()
    radar = sorted(
        (i for i in items.values() if i["collection"] == "sentinel-1-rtc"), key=lambda i: i["properties"]["datetime"]
    )
    even = [radar[round(k * (len(radar) - 1) / 19)] for k in range(20)]
    assert str(cube.s1rtc_scenes.values).split() == [i["id"] for i in even]
    for step, item in enumerate(even):
        for band in ("VV", "VH"):
            found = cube.s1rtc_20m.sel(s1rtc_20m_band=band).values[step]
            np.testing.assert_array_equal(found, source(shared, item, band.lower()))


MONTHS = {
    "2017-08": 27, "2017-09": 26, "2017-10": None, "2017-11": 22, "2017-12": 17, "2018-01": 16, "2018-02": 10, "2018-03": 25,
    "2018-04": 19, "2018-05": 11, "2018-06": 23, "2018-07": 23, "2018-08": 7, "2018-09": 21, "2018-10": 8, "2018-11": 17,
}  # fmt: skip
"""Month → the day chosen by default, each looked at beside all others of its month: no cloud on it, at most light haze
(2017-09 and 2018-03, which have no clearer one). Of 2017-10 there is none."""


@pytest.mark.slow
def test_each_month_has_a_day_without_visible_cloud_where_there_is_one(shared: Path, tmp_path: Path):
    firsts = [f"{month}-01" for month in [*MONTHS, "2018-12"]]
    windows = zip(MONTHS, firsts, firsts[1:], strict=False)
    seasons = "".join(f"m{month} = {{ start = {start}, end = {end} }}\n" for month, start, end in windows)
    text = RECIPE.read_text().replace("dynamicworld = { required = false }\n", "")
    text = text[: text.index("[seasons]")] + f"[seasons]\n{seasons}\n" + text[text.index("[sources]") :]
    (tmp_path / "recipe.toml").write_text(text.replace('[labels]\nseasonal = "dynamicworld"\n', ""))
    (tmp_path / "places.csv").write_bytes((RECIPE.parent / "places.csv").read_bytes())
    flags = ["--dataset", str(tmp_path / "recipe.toml"), "--root", str(tmp_path / "root"), "--scheduler", "none"]
    assert main.main([*flags, "--catalog", str(shared / "data" / "real-archive-belgium" / "items.json")]) == 0
    chosen = {}
    for month in MONTHS:
        (outcome,) = Ledger.replay(Store(tmp_path / "root" / "belgium"), "europe", f"m{month}").outcomes()
        scenes = outcome.sources["s2l2a"].scenes
        chosen[month] = int(scenes[0].split("_MSIL2A_")[1][6:8]) if scenes else None
    assert chosen == MONTHS


@pytest.mark.slow
def test_composites_of_all_dates_are_what_dense_arithmetic_makes_of_the_files(shared: Path, tmp_path: Path, items):
    text = RECIPE.read_text().replace("dynamicworld = { required = false }\n", "")
    text = text.replace('[labels]\nseasonal = "dynamicworld"\n', "")
    text = text[: text.index("[seasons]")] + "[seasons]\nall = { start = 2018-02-01, end = 2018-06-01 }\n\n"
    text += '[sources]\ns2l2a = { pick = "median", bands = ["B04", "B08", "B11"] }\n'
    text += 's1rtc = { pick = "clear-mean", res_m = 20 }\n[quality]\nmax_candidates = 500\nmax_scene_cloud_pct = 100\n'
    (tmp_path / "recipe.toml").write_text(text)
    (tmp_path / "places.csv").write_bytes((RECIPE.parent / "places.csv").read_bytes())
    flags = ["--dataset", str(tmp_path / "recipe.toml"), "--root", str(tmp_path / "root"), "--scheduler", "none"]
    assert main.main([*flags, "--catalog", str(shared / "data" / "real-archive-belgium" / "items.json")]) == 0
    cube = xr.open_zarr(tmp_path / "root" / "belgium" / "cubes" / "europe" / "all.zarr").load().isel(patch=0)
    of_window = [i for i in items.values() if "2018-02-01" <= i["properties"]["datetime"] < "2018-06-01"]
    optical = [i for i in of_window if i["collection"] == "sentinel-2-l2a"]
    masks = {i["id"]: source(shared, i, "SCL") for i in optical}
    left = [i for i in optical if max((masks[i["id"]] == code).mean() for code in (7, 11)) <= 0.5]
    assert len(optical) > len(left) > 20
    for array, bands, finer in (("s2l2a_10m", ["B04", "B08"], 2), ("s2l2a_20m", ["B11"], 1)):
        pixels = np.stack([[source(shared, i, b) for b in bands] for i in left])
        clear = np.stack([np.isin(masks[i["id"]], CLEAR).repeat(finer, 0).repeat(finer, 1) for i in left])
        seen = clear & (pixels > 0).all(axis=1) & (pixels < 64535).all(axis=1)
        layers = np.ma.masked_array(pixels.astype("f8"), np.broadcast_to(~seen[:, None], pixels.shape))
        np.testing.assert_array_equal(cube[array].values, np.rint(np.ma.median(layers, axis=0).filled(0)))
        count = cube[array.replace("_", "_count_")].values[0]
        np.testing.assert_array_equal(count, seen.sum(axis=0))
        assert count.min() >= 5
    radar = [i for i in of_window if i["collection"] == "sentinel-1-rtc"]
    powers = np.stack([[source(shared, i, b) for b in ("vv", "vh")] for i in radar]).astype("f8")
    seen = ((powers != 0) & (powers != -32768)).all(axis=1)
    mean = np.ma.masked_array(powers, np.broadcast_to(~seen[:, None], powers.shape)).mean(axis=0).filled(-32768)
    np.testing.assert_allclose(cube.s1rtc_20m.values, mean, rtol=1e-6)
    assert int(cube.s1rtc_count_20m.max()) == len(radar) > 20
