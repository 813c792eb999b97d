"""Labels by a model: its input is the published one's, its output a map whose gaps are the mask's, its bytes those named."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio

from curation.cli import main
from curation.cubes.contents import opened
from curation.errors import ConfigError, DamageError
from curation.pack.labels import making, model
from curation.read import runtimes
from curation.recipe.dataset import load_dataset
from curation.store.objects import Store
from tests import world as tiny
from tests.pack.labels import stand_in
from tests.pack.labels.files import labels, metas
from tests.run import Curate

L1C = {10: ["B02", "B03", "B04", "B08"], 20: ["B05", "B06", "B07", "B8A", "B11", "B12"], 60: ["B01", "B09", "B10"]}
CLOUD = np.array([[9, 3, 9], [8, 10, 8], [9, 1, 9]], np.uint8)
"""By SCL, in a place that is clear enough all the same: all that is no ground."""
RNG = np.random.default_rng(7)
WEIGHTS = RNG.normal(0, 6, (9, 9))
BIAS = -0.75 * WEIGHTS.sum(axis=0)
"""So that the middle of the input is where classes meet: five of them are in a map."""


def toa(band: str, res_m: int) -> np.ndarray:
    """Digital numbers of level 1C, as harmonised: another in each corner of a coarse pixel's neighbourhood."""
    wide = tiny.dn("B01" if band == "B10" else band, res_m).astype(np.int64)
    row, col = np.mgrid[: wide.shape[0], : wide.shape[1]]
    return (wide + 900 * ((row // 3 + col // 5 + len(band) + int(band[1:2])) % 5)).astype(np.uint16)


@pytest.fixture(scope="module")
def with_l1c(world: tiny.World, tmp_path_factory: pytest.TempPathFactory) -> Curate:
    """The tiny world with L1C of 10 July, which carries the offset, and a hole; summer is built. Nobody changes it."""
    folder = tmp_path_factory.mktemp("l1c")
    made = world.from_afar(folder / "world")
    made.items = [i for i in made.items if i["collection"] != "dynamicworld"]
    assets = {}
    for res_m, bands in L1C.items():
        for band in bands:
            pixels = toa(band, res_m) + np.uint16(1000)
            if band == "B11":
                col, row = (tiny.corner(0, 0)[0] - tiny.X0) // 20, (tiny.Y0 - tiny.corner(0, 0)[1]) // 20
                pixels[row + 4, col + 6] = 0
            assets[band] = made.raster(f"l1c/{band}.tif", pixels, tiny._at(res_m), f"EPSG:{tiny.EPSG}", nodata=0)
    made.item(
        "sentinel-2-l1c",
        "S2A_MSIL1C_20210710T103000_N0500_T32ULC",
        dt.datetime(2021, 7, 10, 10, 30, tzinfo=dt.UTC),
        tiny._footprint(tiny.X0, tiny.Y0 - 6_000, tiny.X0 + 6_000, tiny.Y0),
        assets,
        s2__processing_baseline="05.00",
        s2__mgrs_tile="32ULC",
        s2__datatake_id="GS2A_2021-07-10",
        proj__epsg=tiny.EPSG,
    )
    mask = next(i for i in made.items if i["id"] == "S2A_MSIL2A_20210710T103000_N0500_T32ULC")["assets"]["SCL"]
    with rasterio.open(mask["href"]) as file:
        scl = file.read(1)
    col, row = (tiny.corner(1, 1)[0] - tiny.X0) // 20, (tiny.Y0 - tiny.corner(1, 1)[1]) // 20
    scl[row + 2 : row + 5, col + 10 : col + 13] = CLOUD
    mask["href"] = made.raster("l1c/SCL.tif", scl, tiny._at(20), f"EPSG:{tiny.EPSG}")
    made.catalog.write_text(json.dumps({"type": "FeatureCollection", "features": made.items}))
    text = made.recipe.read_text().replace("[sources]\n", "[sources]\ns2l1c = { required = false }\n")
    text = text.replace("[quality]\n", "[quality]\nmin_valid = 0.99\n")
    made.recipe.write_text(text.replace("local = [", f"local = [{json.dumps(str(made.folder))}, "))
    curate = Curate(made, folder / "root")
    assert curate("build", "--season", "static", "--allow-unknown-labels") == 0
    assert curate("build", "--season", "summer", "--allow-unknown-labels") == 0
    return curate


@pytest.fixture
def mine(with_l1c: Curate, tmp_path: Path) -> Curate:
    shutil.copytree(with_l1c.root, tmp_path / "root")
    return Curate(with_l1c.world, tmp_path / "root")


def run(curate: Curate, file: Path, *flags: str) -> int:
    where = ["--dataset", str(curate.world.recipe), "--root", str(curate.root), "--scheduler", "none"]
    return main.main(["labels", "model", str(file), *where, *flags])


def maps(curate: Curate) -> dict[str, np.ndarray]:
    out = {}
    for path in sorted((curate.folder / "maps").rglob("*.tif")):
        with rasterio.open(path) as file:
            assert (file.nodata, file.count, file.dtypes) == (255, 1, ("uint8",))
            assert file.tags()["made_by"].startswith("model sha256 ")
            out[path.parent.name] = file.read(1)
    return out


def expected(row: int, col: int) -> np.ndarray:
    """The map of a place, worked out pixel by pixel from the scene's numbers as the published notebook says."""
    out = np.full((48, 48), 255, np.uint8)
    scenes = {b: (toa(b, r), r) for r, bands in L1C.items() for b in bands if b in model.BANDS}
    for y, x in np.ndindex(48, 48):
        values = []
        for band in model.BANDS:
            pixels, res_m = scenes[band]
            crop = tiny.crop(pixels, res_m, row, col).astype(float)
            values.append(at(crop, (y + 0.5) * 10 / res_m - 0.5, (x + 0.5) * 10 / res_m - 0.5))
        scaled = []
        for value, (first, second) in zip(values, model.CONSTANTS, strict=True):
            z = (math.log(value * 0.005 + 1) - first) / second
            scaled.append(math.exp(z * 5 - 1) / (math.exp(z * 5 - 1) + 1))
        out[y, x] = int(np.argmax(np.array(scaled, np.float32) @ WEIGHTS.astype(np.float32) + BIAS.astype(np.float32)))
    return out


def at(pixels: np.ndarray, row: float, col: float) -> float:
    """Bilinear between centres; beyond the outermost their values go on."""
    row, col = (min(max(v, 0), pixels.shape[0] - 1) for v in (row, col))
    r, c = min(int(row), pixels.shape[0] - 2), min(int(col), pixels.shape[1] - 2)
    a, b = row - r, col - c
    upper, lower = (pixels[r + n, c] * (1 - b) + pixels[r + n, c + 1] * b for n in (0, 1))
    return upper * (1 - a) + lower * a


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "layout"), [("m.onnx", "NHWC"), ("m.onnx", "NCHW"), ("m.pt", "NHWC"), ("m.pt", "NCHW")]
)
def test_maps_are_what_the_model_says_of_the_published_input_whatever_its_file(mine, tmp_path, name, layout):
    file = stand_in.written(tmp_path / name, WEIGHTS, BIAS, layout)
    assert run(mine, file) == 0
    found = maps(mine)
    assert set(found) >= {tiny.name(1, 0), tiny.name(0, 0)}
    one = expected(1, 0)
    assert len(np.unique(one)) >= 4
    np.testing.assert_array_equal(found[tiny.name(1, 0)], one)
    hole = np.zeros((24, 24), bool)
    hole[4, 6] = True
    wide = np.pad(hole.repeat(2, axis=0).repeat(2, axis=1), 1)
    around = wide[:-2, :-2] | wide[:-2, 2:] | wide[2:, :-2] | wide[2:, 2:] | wide[1:-1, 1:-1]
    np.testing.assert_array_equal(
        found[tiny.name(0, 0)] == 255, around
    )  # all that a missing pixel would have had a part in


def test_input_is_torch_s_bilinear_and_the_notebook_s_formula():
    torch = pytest.importorskip("torch")
    pixels = RNG.integers(1, 9000, (9, 30, 30)).astype(float)
    ours = model.bilinear(pixels, 20, 60)
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(pixels)[None], (60, 60), mode="bilinear", align_corners=False
    )
    np.testing.assert_allclose(ours, theirs[0].numpy(), rtol=1e-12)
    image = np.moveaxis(ours, 0, -1)
    percentiles = np.array(model.CONSTANTS)
    image = (np.log(image * 0.005 + 1) - percentiles[:, 0]) / percentiles[:, 1]
    image = np.exp(image * 5 - 1)
    np.testing.assert_allclose(model.prepared(ours), image / (image + 1), rtol=1e-6)


def test_cloud_by_the_recipe_s_mask_has_no_label_and_all_else_has_one(mine: Curate, tmp_path: Path):
    assert run(mine, stand_in.written(tmp_path / "m.onnx", WEIGHTS, BIAS)) == 0
    hidden = np.zeros((48, 48), bool)
    hidden[4:10, 20:26] = True
    found = maps(mine)[tiny.name(1, 1)]
    np.testing.assert_array_equal(found == 255, hidden)
    np.testing.assert_array_equal(found[~hidden], expected(1, 1)[~hidden])


def test_labels_come_from_the_maps_and_a_rerun_executes_nothing(mine: Curate, tmp_path: Path, monkeypatch, capsys):
    file = stand_in.written(tmp_path / "m.onnx", WEIGHTS, BIAS)
    assert run(mine, file) == 0
    said = capsys.readouterr().out
    found = maps(mine)
    assert f"ok {len(found)}" in said
    written = {p: p.stat().st_mtime_ns for p in (mine.folder / "maps").rglob("*.tif")}
    monkeypatch.setattr(model.ByModel, "pixels", None)
    assert run(mine, file) == 0
    assert {p: p.stat().st_mtime_ns for p in written} == written
    assert mine("verify") == 0
    record = json.loads((mine.folder / "labels" / "imported.json").read_text())
    digest = json.loads(json.dumps(record))["made_by"]
    assert model.hashlib.sha256(file.read_bytes()).hexdigest() in digest
    (folder,) = {p.parents[1] for p in (mine.folder / "maps").rglob("*.tif")}
    assert labels(mine, "import", str(folder)) == 0


@pytest.fixture(scope="module")
def of_other_pixels(with_l1c: Curate, tmp_path_factory: pytest.TempPathFactory) -> Curate:
    """The same places and scenes, B04 brighter; nine patches are built. Nobody changes it."""
    folder = tmp_path_factory.mktemp("brighter")
    shutil.copytree(with_l1c.world.folder, folder / "world")
    made = tiny.World(folder / "world")
    text = made.recipe.read_text()
    made.recipe.write_text(text.replace(json.dumps(str(with_l1c.world.folder)), json.dumps(str(made.folder))))
    made.raster("l1c/B04.tif", toa("B04", 10) + np.uint16(1600), tiny._at(10), f"EPSG:{tiny.EPSG}", nodata=0)
    curate = Curate(made, folder / "root")
    assert curate("build", "--season", "summer", "--limit", "9", "--allow-unknown-labels") == 0
    return curate


@pytest.mark.parametrize("is_recorded", [True, False])
def test_maps_are_of_the_pixels_that_are_stored_and_not_of_those_that_were(
    mine: Curate, of_other_pixels: Curate, tmp_path: Path, is_recorded: bool
):
    file = stand_in.written(tmp_path / "m.onnx", WEIGHTS, BIAS)
    assert run(mine, file) == 0
    before = maps(mine)
    other = of_other_pixels.copy(tmp_path / "other")
    assert run(other, file) == 0
    expected = maps(other)
    shutil.rmtree(other.folder / "maps")
    shutil.copytree(mine.folder / "maps", other.folder / "maps")
    if not is_recorded:
        shutil.rmtree(next((other.folder / "maps").glob("*.records")))
    assert run(other, file) == 0
    found = maps(other)
    assert len(expected) > 1
    for name, codes in expected.items():
        np.testing.assert_array_equal(found[name], codes)
        assert (codes != before[name]).any()


def test_what_a_map_is_made_of_is_its_chunks_and_what_the_mask_s_codes_mean(with_l1c: Curate):
    dataset = with_l1c.dataset
    way = model.ByModel("m.onnx", "0" * 64, "s2l1c", "s2l2a", model.CONSTANTS, "legend")
    mask, _ = model.mask_of(dataset, "s2l2a")
    chunks = dict.fromkeys([*dataset.arrays["s2l1c"], *dataset.arrays["s2l2a"]], "a")
    found = way.input_digest(dataset, chunks)
    others = [way.input_digest(dataset, chunks | {name: "b"}) for name in ("s2l1c_10m", "s2l1c_20m", mask)]
    others.append(way.input_digest(dataset, {n: c for n, c in chunks.items() if not n.startswith("s2l1c")}))
    for codes in ("clear", "doubtful", "snow"):
        spec = dataset.specs["s2l2a"].model_copy(update={codes: [*getattr(dataset.specs["s2l2a"], codes), 77]})
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(dataset.specs, "s2l2a", spec)
            others.append(way.input_digest(dataset, chunks))
    assert len({found, *others}) == 1 + len(others)
    assert way.input_digest(dataset, chunks | {"s2l1c_60m": "b", "s2l2a_10m": "b"}) == found  # which it is not given


def test_a_map_of_other_pixels_or_of_another_size_settles_nothing_and_what_is_lacking_here_stays_lacking(with_l1c):
    place = opened(with_l1c.dataset, with_l1c.store, "europe", "summer").cube.locations[0]
    wanted = making.Wanted(0, place, "scene", None, {}, 48, "given")
    for status, settled in (("ok", True), ("absent", True), ("failed", False)):
        said = making.MapOutcome(place.id, wanted.grid, "scene", None, status, input_digest="given")
        assert said.settles(wanted) is settled
        for other in ({"px": 24}, {"input_digest": "else"}, {"scene": "else"}):
            assert not said.settles(dataclasses.replace(wanted, **other))


def test_another_model_is_another_label_source(mine: Curate, tmp_path: Path):
    records = []
    for n, weights in enumerate((WEIGHTS, WEIGHTS * 1.0001)):  # so near that labels may be the same
        assert run(mine, stand_in.written(tmp_path / f"{n}.onnx", weights, BIAS)) == 0
        records.append(json.loads((mine.folder / "labels" / "imported.json").read_text()))
    assert records[0]["made_by"] != records[1]["made_by"]
    assert len({p.parents[1] for p in (mine.folder / "maps").rglob("*.tif")}) == 2


def test_a_model_that_was_replaced_where_workers_find_it_is_not_executed(mine: Curate, tmp_path: Path):
    file = stand_in.written(tmp_path / "m.onnx", WEIGHTS, BIAS * 3)
    other = stand_in.written(tmp_path / "o.onnx", WEIGHTS, BIAS * 4).read_bytes()
    store = Store(tmp_path / "store")
    store.publish("maps/x.model", other)
    sha256 = model.hashlib.sha256(file.read_bytes()).hexdigest()
    with pytest.raises(DamageError, match="it is not executed"):
        runtimes.loaded(store, "maps/x.model", sha256, "m.onnx", 48, 9, 9)


@pytest.mark.parametrize("where", ["weights.bin", "../cwd/weights.bin", "../weights.bin", "{tmp_path}/cwd/weights.bin"])
@pytest.mark.parametrize("is_constant", [False, True])
def test_weights_in_another_file_which_the_hash_says_nothing_of_are_refused(tmp_path, monkeypatch, where, is_constant):
    (tmp_path / "cwd").mkdir()
    for folder in (tmp_path, tmp_path / "cwd"):
        (folder / "weights.bin").write_bytes(WEIGHTS.astype(np.float32).tobytes())
    monkeypatch.chdir(tmp_path / "cwd")
    file = stand_in.written(tmp_path / "m.onnx", WEIGHTS, BIAS)
    runtimes.run_of(file.read_bytes(), "m.onnx", "model")
    elsewhere = stand_in.with_weights_in(file.read_bytes(), where.format(tmp_path=tmp_path), is_constant)
    with pytest.raises(ConfigError, match=r"cannot be loaded: .*save it as one file"):
        runtimes.run_of(elsewhere, "m.onnx", "model")


@pytest.mark.slow
def test_a_model_of_torch_runs_on_one_core_and_the_process_has_its_own_afterwards(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    load, many = torch.jit.load, []

    class Noting:
        def __init__(self, *args, **how):
            self.module = load(*args, **how)

        def eval(self):
            return self

        def __call__(self, x):
            many.append(torch.get_num_threads())
            return self.module(x)

    monkeypatch.setattr(torch.jit, "load", Noting)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        file = stand_in.written(tmp_path / "m.pt", WEIGHTS, BIAS)
        run = runtimes.run_of(file.read_bytes(), "m.pt", "model")
        assert run(np.zeros((1, 4, 4, 9), np.float32)).shape == (1, 4, 4, 9)
        with pytest.raises(RuntimeError):
            run(np.zeros((1, 4, 4, 2), np.float32))
        assert (many, torch.get_num_threads()) == ([1, 1], 3)
    finally:
        torch.set_num_threads(before)


def test_a_dry_run_does_not_execute_the_file(mine: Curate, tmp_path: Path, monkeypatch, capsys):
    file = stand_in.written(tmp_path / "m.onnx", WEIGHTS, BIAS)
    monkeypatch.setattr(runtimes, "run_of", None)
    assert run(mine, file, "--dry-run") == 0
    assert "maps of 2 images to make" in capsys.readouterr().out
    assert not (mine.folder / "maps").exists()


def test_a_model_whose_output_is_no_number_gives_no_map(mine: Curate, tmp_path: Path, capsys):
    bias = BIAS.copy()
    bias[2] = np.nan
    assert run(mine, stand_in.written(tmp_path / "m.onnx", WEIGHTS, bias)) == 1
    assert "gives NaN or infinity" in capsys.readouterr().err
    assert maps(mine) == {}


def test_what_is_no_model_of_this_form_is_told_by_what_it_answers(mine: Curate, tmp_path: Path, capsys):
    wrong = tmp_path / "wrong.onnx"
    whole = stand_in.onnx.load(stand_in.written(tmp_path / "m.onnx", WEIGHTS, BIAS))
    whole.graph.initializer[0].CopyFrom(stand_in.numpy_helper.from_array(np.zeros((9, 7), np.float32), "weights"))
    whole.graph.initializer[1].CopyFrom(stand_in.numpy_helper.from_array(np.zeros(7, np.float32), "bias"))
    whole.graph.output[0].type.tensor_type.shape.dim[3].dim_value = 7
    wrong.write_bytes(whole.SerializeToString())
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    (tmp_path / "broken.pt").write_bytes(b"no model")
    (tmp_path / "m.pb").write_bytes(b"x")
    for name, text in (
        ("wrong.onnx", "expected a model from (1, 48, 48, 9) to (1, 48, 48, 9)"),
        ("broken.onnx", "cannot be loaded"),
        ("broken.pt", "cannot be loaded"),
        ("m.pb", "expected .onnx, or .pt"),
        ("none.onnx", "no such file"),
    ):
        assert run(mine, tmp_path / name) == 2
        assert text in capsys.readouterr().err
    assert not (mine.folder / "maps").exists()


def test_a_recipe_without_the_bands_is_told_what_it_lacks(built: Curate, tmp_path: Path, capsys):
    file = stand_in.written(tmp_path / "m.onnx", WEIGHTS, BIAS)
    assert run(built, file) == 2
    assert "of the sources that go with 's2l2a', none has the nine bands" in capsys.readouterr().err
    assert run(built, file, "--source", "s1rtc") == 2
    assert "is not of the acquisition" in capsys.readouterr().err


@pytest.mark.parametrize(("res_m", "refused"), [(10, False), (20, True), (60, True)])
def test_bands_in_coarser_pixels_than_the_sensor_s_are_refused(world: tiny.World, tmp_path: Path, res_m, refused):
    (tmp_path / "places.csv").write_bytes((world.folder / "places.csv").read_bytes())
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(world.recipe.read_text().replace("[sources]\n", f"[sources]\ns2l1c = {{ res_m = {res_m} }}\n"))
    with pytest.raises(ConfigError, match="coarser pixels") if refused else contextlib.nullcontext():
        model.check_source(load_dataset(str(recipe)), "s2l1c", "s2l2a")


def test_exact_constants_can_be_given_and_wrong_ones_are_refused(tmp_path: Path):
    file = tmp_path / "c.json"
    file.write_text(json.dumps([[a + 1e-5, b] for a, b in model.CONSTANTS]))
    assert model.constants_of(file)[0] == (model.CONSTANTS[0][0] + 1e-5, model.CONSTANTS[0][1])
    for text in ("[]", "[[1, 2]]", json.dumps([[1, 0]] * 9), "{", json.dumps([[1, 2, 3]] * 9), "[[1, NaN]]"):
        file.write_text(text)
        with pytest.raises(ConfigError, match="pairs"):
            model.constants_of(file)


def test_places_whose_image_has_no_level_1c_have_no_labels(mine: Curate, tmp_path: Path, capsys):
    assert run(mine, stand_in.written(tmp_path / "m.onnx", WEIGHTS, BIAS)) == 0
    assert "absent no_scene 3" in capsys.readouterr().out  # 16 July
    assert mine("pack") in (0, 1)  # autumn is not built
    assert metas(mine.folder / "shards") == {}
