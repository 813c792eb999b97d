"""Sources with a time axis, from the recipe to the batch: each acquisition once, in order, and nothing beyond."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr

import curation
from curation.cubes import zarrshard
from curation.cubes.contents import opened
from curation.cubes.open_patch import write_tifs
from curation.errors import ConfigError, DamageError
from curation.format.index import INDEX
from curation.outcomes import Status
from curation.report import panels, show
from curation.store.ledger import Ledger
from curation.stream.open import open_shards
from tests import world as tiny
from tests.run import Curate

JULY = np.array(["2021-07-10T10:30", "2021-07-16T10:30"], "datetime64[ns]")
PICKS = {
    "s2l2a = {}": 's2l2a = { pick = { name = "all", steps = 3 } }',
    "s1rtc = {}": 's1rtc = { pick = { name = "all", steps = 2 }, required = false }',
    "dynamicworld = { required = false }\n": "",
    'seasonal = "dynamicworld"\n': "",
    "autumn = { start = 2021-09-01, end = 2021-12-01 }\n": "",
}


def changed(mine: Curate, changes: dict[str, str]) -> None:
    text = mine.world.recipe.read_text()
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    mine.world.recipe.write_text(text)


def made(world: tiny.World, folder: Path, *places: tuple[int, int]) -> Curate:
    """The tiny world from afar, with such a recipe; of some places alone, where these are given."""
    mine = Curate(world.from_afar(folder / "world"), folder / "root")
    changed(mine, PICKS)
    if places:
        lines = ["x0_m,y0_m,epsg", *(f"{x},{y},{tiny.EPSG}" for x, y in (tiny.corner(*place) for place in places))]
        (mine.world.folder / "places.csv").write_text("\n".join(lines) + "\n")
    return mine


@pytest.fixture(scope="module")
def series(world: tiny.World, tmp_path_factory: pytest.TempPathFactory) -> Curate:
    """The tiny world's summer built and packed, all clear acquisitions of each place; nobody changes it."""
    mine = made(world, tmp_path_factory.mktemp("series"))
    assert mine("build") == 0
    assert mine("pack") == 0
    return mine


def test_an_export_has_a_file_per_step_each_with_its_own_scene_and_time(series: Curate, tmp_path: Path):
    export = curation.load(series.world.recipe, series.root, scheduler="none").export
    row = (1, 3)
    place = tiny.name(*row)
    export("geotiff", tmp_path / "tif", season="summer", select=[f"id = {place}"])
    for step, day in enumerate(("2021-07-10", "2021-07-16")):
        with rasterio.open(tmp_path / f"tif/europe/summer/{place}-summer-s2l2a_10m-{step:03d}.tif") as tif:
            assert np.array_equal(tif.read(1), tiny.crop(tiny.dn("B02", 10), 10, *row))
            assert tif.tags()["time"] == f"{day}T10:30:00Z"
            assert day.replace("-", "") in tif.tags()["scenes"]
            assert len(tif.tags()["scenes"].split()) == 1
            assert float(tif.tags()["clear_fraction"]) == 1
    assert not list((tmp_path / "tif").rglob("*s2l2a_10m-002.tif"))
    export("stac", tmp_path / "stac", season="summer", select=[f"id = {place}"])
    (item,) = (tmp_path / "stac").rglob(f"{place}.json")
    asset = json.loads(item.read_text())["assets"]["s2l2a_10m"]
    assert asset["curation:times"] == ["2021-07-10T10:30:00Z", "2021-07-16T10:30:00Z"]
    with pytest.raises(ConfigError, match="have a time axis, which this form does not hold"):
        export("parquet", tmp_path / "parquet")


def dates(row: int, col: int) -> int:
    """Acquisitions of Sentinel-2 that a place has: the second is cloudy over the west."""
    return 0 if col == 4 or (row, col) == (0, 3) else 2 if col == 3 else 1


PLACES = [(row, col) for row in range(tiny.LATTICE) for col in range(tiny.LATTICE)]


@pytest.mark.slow
def test_each_clear_acquisition_is_a_step_and_beyond_there_is_nothing(series: Curate):
    cube = xr.open_zarr(series.folder / "cubes/europe/summer.zarr").load().set_index(patch="id")
    assert cube["s2l2a_10m"].dims == ("patch", "s2l2a_step", "s2l2a_10m_band", "y_10m", "x_10m")
    assert cube["s2l2a_10m"].encoding["chunks"] == (1, 1, 4, 48, 48)
    for row, col in PLACES:
        its, count = cube.sel(patch=tiny.name(row, col)), dates(row, col)
        assert (int(its.s2l2a_status) == Status.OK) == (count > 0)
        np.testing.assert_array_equal(its.s2l2a_time.values, [*JULY[:count], *[np.datetime64("NaT")] * (3 - count)])
        assert len(str(its.s2l2a_scenes.values).split()) == count
        assert np.isfinite(its.s2l2a_clear_fraction.values).tolist() == [True] * count + [False] * (3 - count)
        for res_m, bands in tiny.BANDS.items():
            want = np.stack([tiny.crop(tiny.dn(band, res_m), res_m, row, col) for band in bands])
            found = its[f"s2l2a_{res_m}m"].values
            np.testing.assert_array_equal(found, np.stack([want] * count + [np.zeros_like(want)] * (3 - count)))
        if count:
            # The second flew over the north alone, the first has nothing in the last row; descending, and ascending.
            passes = {"descending": row < 3, "ascending": row < 4}
            assert (
                its.s1rtc_orbit_state.values.tolist()
                == [*(d for d, is_there in passes.items() if is_there), *[""] * 2][:2]
            )
            power = np.stack([tiny.crop(tiny.power(n), 10, row, col) for n in range(2)])
            for step in range(2):
                want = power if step < sum(passes.values()) else np.full_like(power, -32768)
                np.testing.assert_array_equal(its["s1rtc_10m"].values[step], want)
    facts = cube.sel(patch=tiny.name(1, 1))
    assert (int(facts.s2l2a_steps), int(facts.s2l2a_left_out), int(facts.s2l2a_refused)) == (1, 0, 1)
    assert facts.s2l2a_offset_dn.values.tolist() == [1000, -1, -1]
    assert facts.s2l2a_baseline.values.tolist() == ["05.00", "", ""]


@pytest.mark.slow
def test_the_batch_is_padded_and_tells_each_time(series: Curate):
    cube = xr.open_zarr(series.folder / "cubes/europe/summer.zarr").load().set_index(patch="id")
    index = json.loads((series.folder / "shards" / INDEX).read_text())
    assert {n: a["steps"] for n, a in index["arrays"].items()} == {
        **dict.fromkeys(("s2l2a_10m", "s2l2a_20m", "s2l2a_60m", "s2l2a_scl_20m"), 3), "s1rtc_10m": 2,
        **dict.fromkeys(("dem_30m", "worldcover_10m")),
    }  # fmt: skip
    samples = {s["key"]: s for s in open_shards(str(series.folder / "shards"), "train")}
    assert samples.keys() == {tiny.name(r, c) for r, c in PLACES if dates(r, c)}
    valid = []
    for row, col in PLACES:
        if not (count := dates(row, col)):
            continue
        sample, its = samples[tiny.name(row, col)], cube.sel(patch=tiny.name(row, col))
        np.testing.assert_array_equal(sample["s2l2a_10m"][0].numpy(), its["s2l2a_10m"].values)
        seconds = JULY.astype("datetime64[s]").astype(int).tolist()
        assert sample["s2l2a_time"].tolist() == [[*seconds[:count], *[-1] * (3 - count)]]
        assert sample["s1rtc_ok"].tolist() == [row < 4]
        valid.append(its["s2l2a_10m"].values[:count, 0])
    pixels = np.concatenate([v.ravel() for v in valid]).astype(float)
    told = index["statistics"]["s2l2a_10m"]["B02"]
    assert told["count"] == pixels.size
    np.testing.assert_allclose([told["mean"], told["std"]], [pixels.mean(), pixels.std()], rtol=1e-9)


@pytest.mark.slow
def test_a_build_that_goes_on_keeps_what_it_has_byte_for_byte(world: tiny.World, series: Curate, tmp_path: Path):
    mine = made(world, tmp_path)
    for limit in ("2", "6"):
        assert mine("build", "--limit", limit) == 0  # within a slab of 4
    assert mine("build") == 0
    assert mine("pack") == 0
    for part in ("cubes", "shards"):
        files = sorted(p.relative_to(series.folder) for p in (series.folder / part).rglob("*") if p.is_file())
        assert files == sorted(p.relative_to(mine.folder) for p in (mine.folder / part).rglob("*") if p.is_file())
        assert not [f for f in files if (series.folder / f).read_bytes() != (mine.folder / f).read_bytes()]
    assert mine("verify") == 0


@pytest.mark.slow
def test_it_is_opened_as_a_cube_and_patch_by_patch(series: Curate, tmp_path: Path):
    raw = xr.open_zarr(series.folder / "cubes/europe/summer.zarr").load()
    cube = curation.open_cube(series.folder, "europe")
    for name in ("s2l2a_10m", "s1rtc_10m", "s2l2a_time", "s2l2a_clear_fraction", "s2l2a_baseline", "s2l2a_offset_dn"):
        np.testing.assert_array_equal(cube[name].sel(season="summer").values, raw[name].values)
    some = {"location": [8, 3], "s2l2a_step": [2, 0, 0], "y_10m": slice(5, 9)}
    np.testing.assert_array_equal(
        cube["s2l2a_10m"].isel(season=0, **some).values, raw["s2l2a_10m"].values[[8, 3]][:, [2, 0, 0], :, 5:9]
    )
    number = raw.id.values.tolist().index(tiny.name(1, 3))
    patch = curation.open_patch(series.folder, f"europe/summer/{tiny.name(1, 3)}")
    np.testing.assert_array_equal(patch["s2l2a_10m"].values, raw["s2l2a_10m"].values[number, :2])
    np.testing.assert_array_equal(patch["s2l2a_10m"].time.values, JULY)
    assert patch["s2l2a_10m"].scene.values.tolist() == str(raw.s2l2a_scenes.values[number]).split()
    written = write_tifs(series.folder, f"europe/summer/{tiny.name(1, 3)}", tmp_path)
    (tif,) = [f for f in written if f.endswith("s2l2a_10m-20210716T103000.tif")]
    with rasterio.open(tif) as file:
        np.testing.assert_array_equal(file.read(), patch["s2l2a_10m"].values[1])
        assert file.descriptions == ("B02", "B03", "B04", "B08")


def test_each_step_is_proven(series: Curate, tmp_path: Path, capsys: pytest.CaptureFixture):
    mine = series.copy(tmp_path / "root")
    cube = opened(mine.dataset, mine.store, "europe", "summer")
    name = tiny.name(1, 3)
    key = cube.cube.array_key("s2l2a_10m", cube.numbers[name] // 4)
    data = bytearray((mine.folder / key).read_bytes())
    whole = cube.pixels("s2l2a_10m", name)
    np.testing.assert_array_equal(cube.pixels("s2l2a_10m", name, 1), whole[1])
    slot = cube.numbers[name] % 4 * 3 + 1  # its second step
    offset, _ = zarrshard.parse_index(bytes(data[-zarrshard.index_size(12) :]), 12, "here")[slot]
    data[offset + 40] ^= 1
    (mine.folder / key).write_bytes(data)
    np.testing.assert_array_equal(cube.pixels("s2l2a_10m", name, 0), whole[0])
    for damaged in (
        lambda: cube.pixels("s2l2a_10m", name),
        lambda: cube.pixels("s2l2a_10m", name, 1),
        lambda: curation.open_patch(mine.folder, f"europe/summer/{name}"),
        lambda: curation.open_cube(mine.folder, "europe")["s2l2a_10m"].sel(location=name).values,
    ):
        with pytest.raises(DamageError, match=f"slot {slot}"):
            damaged()
    assert mine("verify") == 1
    assert f"FAULT {mine.folder / key}" in capsys.readouterr().out


@pytest.mark.slow
def test_pictures_show_the_clearest_step_and_say_which(series: Curate, tmp_path: Path, monkeypatch):
    cube = opened(series.dataset, series.store, "europe", "summer")
    told = {p.title: p.detail for p in panels.of_patch(cube, tiny.name(1, 3))}
    assert told["True colour"] == "B04, B03, B02 · 2021-07-10, 1 of 2"
    assert told["Radar"].endswith("2021-07-11, 1 of 2")
    rows = dict(show._facts(cube, cube.outcomes[tiny.name(1, 3)], ""))
    assert rows["time"].startswith("2021-07-1")
    assert rows["steps"] == "2"
    monkeypatch.chdir(tmp_path)
    assert series("show", f"europe/summer/{tiny.name(1, 3)}", "--out", str(tmp_path / "x.png")) == 0
    mine = series.copy(tmp_path / "root")
    assert mine("report") == 0
    page = (mine.folder / "report.html").read_text()
    assert "s2l2a: 2 acquisitions · 2021-07-10 to 2021-07-16 · clear 100.0 to 100.0 %" in page
    assert "acquisitions, at most 3" in page


@pytest.mark.parametrize("unreadable", ["next", "fail"])
def test_a_scene_that_cannot_be_read_is_passed_over_or_fails_the_patch(
    world: tiny.World, tmp_path: Path, unreadable: str
):
    mine = made(world, tmp_path, (1, 3))
    changed(mine, {"max_gap_days = 12": f'max_gap_days = 12\nunreadable = "{unreadable}"'})
    items = json.loads(mine.world.catalog.read_text())
    for item in items["features"]:
        if "20210716" in item["id"]:
            item["assets"]["B8A"]["href"] += ".gone"
    mine.world.catalog.write_text(json.dumps(items))
    assert mine("build", "--season", "summer") == (0 if unreadable == "next" else 1)
    its = {o.id: o for o in Ledger.replay(mine.store, "europe", "summer").outcomes()}[tiny.name(1, 3)]
    if unreadable == "fail":
        assert its.reason.endswith(":s2l2a")
        assert its.status is Status.FAILED
        return
    ((scene, cause),) = its.sources["s2l2a"].passed_over
    assert "20210716" in scene
    assert "B8A.tif.gone" in cause
    assert [s[11:19] for s in its.sources["s2l2a"].scenes] == ["20210710"]


def test_no_more_than_wanted_the_clearest_first(world: tiny.World, tmp_path: Path):
    places = [(0, 3), (1, 1), (1, 3)]
    mine = made(world, tmp_path, *places)
    changed(mine, {"steps = 3": "steps = 1, min_clear = 0"})
    assert mine("build", "--season", "summer") == 0
    cube = xr.open_zarr(mine.folder / "cubes/europe/summer.zarr").load().set_index(patch="id")
    for row, col in places:
        its = cube.sel(patch=tiny.name(row, col))
        assert its.s2l2a_time.values.tolist() == JULY[:1].tolist(), "as clear, and the first; or clearer"
        assert (int(its.s2l2a_steps), int(its.s2l2a_left_out), int(its.s2l2a_refused)) == (1, 1, 0)


@pytest.mark.parametrize(
    ("changes", "want"),
    [
        ({"steps = 3": "steps = 0"}, r"\[sources.s2l2a.pick\] steps: Input should be greater than 0"),
        ({", steps = 3": ""}, r"\[sources.s2l2a.pick\] steps: Field required"),
        ({"steps = 2": "steps = 2, min_clear = 0.5"}, "min_clear wants an array with role 'mask'"),
        (
            {'pick = { name = "all", steps = 2 }, ': ""},
            r"\[sources.s1rtc\] is chosen by 's2l2a', whose pixels are of several scenes, so that there is none to go with",
        ),
        (
            {"dem = {}": 'dem = { pick = { name = "all", steps = 2 } }'},
            "pick = 'all' is not for such pixels: elevation_",
        ),
        (
            {"worldcover = {": 'worldcover = { pick = { name = "all", steps = 2 },'},
            "pick = 'all' is not for such pixels: worldcover_fraction is of a patch",
        ),
        ({"size_m = 480": "size_m = 9960", "steps = 3": "steps = 999"}, "would have .* say steps = 270, or fewer"),
    ],
    ids=["none", "unsaid", "maskless", "follower", "heights", "classes", "large"],
)
def test_what_cannot_have_a_time_axis_is_told(world: tiny.World, tmp_path: Path, changes, want):
    mine = made(world, tmp_path)
    changed(mine, changes)
    with pytest.raises(ConfigError, match=want):
        _ = mine.dataset


def test_slabs_and_shards_hold_no_more_than_has_room(world: tiny.World, tmp_path: Path):
    mine = made(world, tmp_path)
    dataset = mine.dataset
    assert (dataset.slab_patches, dataset.samples_per_shard) == (4, 5)
    changed(mine, {"size_m = 480": "size_m = 2640", "steps = 3": "steps = 300"})
    dataset = mine.dataset
    a_date = 264**2 * 4 * 2 + 132**2 * (6 * 2 + 1) + 44**2 * 2 * 2
    assert dataset.step_bytes == 300 * a_date + 2 * 264**2 * 2 * 4
    assert dataset.slab_patches == 256 * 2**20 // dataset.step_bytes == 1
    assert dataset.samples_per_shard == 2
