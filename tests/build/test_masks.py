"""Masks by a model: what it says of bands on its grid, beside the source's own mask; nothing is executed unasked."""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import curation
from curation.build import masks
from curation.cubes.contents import CubeContents, opened
from curation.errors import ConfigError, DamageError, ReadError
from curation.read import runtimes
from curation.recipe import modelfiles
from curation.recipe.dataset import load_dataset
from curation.recipe.masked import MaskedSource, OwnMask, worse
from curation.recipe.values import CODE_OF
from curation.report import estimate, measurements
from curation.report.survey import survey
from curation.store import paths
from curation.verify.unreferred import unreferred
from tests import world as tiny
from tests.pack.labels import stand_in
from tests.run import Curate

PLACES = [(0, 0), (0, 3), (2, 3)]
"""By SCL: cloudy on the day that is better else; cloudy on each; clear on each."""
CLASSES = ["clear", "cloudy", "doubtful"]
WEIGHTS, BIAS = np.array([[0, 10, 0], [0, 0, 10]]), np.array([0, -1.9007, -2.7007])
MASK = '{ model = "clouds.onnx", bands = ["s2.b02", "B11"], scale = 0.0001, output = ["clear", "cloudy", "doubtful"]'


def rule(row: int, col: int) -> np.ndarray:
    """What the model says of a place, by its 20 m pixels: of 10 m the mean of four."""
    blue = tiny.crop(tiny.dn("B02", 10), 10, row, col).reshape(24, 2, 24, 2).mean(axis=(1, 3))
    swir = tiny.crop(tiny.dn("B11", 20), 20, row, col)
    scores = np.stack([np.zeros((24, 24)), blue / 1000 - 1.9007, swir / 1000 - 2.7007])
    return np.array([CODE_OF[name] for name in CLASSES])[scores.argmax(axis=0)]


def scl(row: int, col: int, day: str) -> np.ndarray:
    """What SCL says of a place, in the codes of a made mask."""
    is_cloudy = (row, col) == (0, 3) or (day == "2021-07-16" and col == 0)
    return np.full((24, 24), CODE_OF["cloudy" if is_cloudy else "clear"])


def made(world: tiny.World, folder: Path, mask: str, use: str = "") -> Curate:
    """The places, with Sentinel-2 alone whose mask is made."""
    its = world.from_afar(folder / "world")
    stand_in.written(its.folder / "clouds.onnx", WEIGHTS, BIAS, "NCHW")
    text = its.recipe.read_text()
    start, end = text.index("[sources]"), text.index("[quality]")
    text = f"{text[:start]}[sources]\ns2l2a = {{ mask = {mask}{use} }}\n\n{text[end:]}"
    text = text.replace('annual = "worldcover"\nseasonal = "dynamicworld"\n', "")
    text = text.replace("[quality]\n", "[quality]\nmin_clear = 0.0\nmax_doubtful = 1.0\n")
    its.recipe.write_text(text)
    corners = [tiny.corner(*place) for place in PLACES]
    its.folder.joinpath("places.csv").write_text(
        "\n".join(["x0_m,y0_m,epsg", *(f"{x},{y},{tiny.EPSG}" for x, y in corners)]) + "\n"
    )
    return Curate(its, folder / "root")


def summer(curate: Curate) -> CubeContents:
    return opened(curate.dataset, curate.store, "europe", "summer")


@pytest.mark.parametrize("joined", [False, True])
def test_a_mask_is_what_the_model_says_of_bands_on_its_grid_alone_or_with_the_source_s_own(world, tmp_path, joined):
    curate = made(world, tmp_path, f"{MASK}, joined = {str(joined).lower()} }}")
    assert curate("build", "--season", "summer", "--run-code") == 0
    found = summer(curate)
    assert "s2l2a_scl_20m" not in found.cube.arrays
    chosen = {}
    for row, col in PLACES:
        name = tiny.name(row, col)
        said, outcome = rule(row, col), found.outcomes[name]
        day = outcome.sources["s2l2a"].scenes[0].split("_")[2]
        day = chosen[row, col] = f"{day[:4]}-{day[4:6]}-{day[6:8]}"
        own = scl(row, col, day)
        np.testing.assert_array_equal(
            found.pixels("s2l2a_mask_20m", name)[0], np.maximum(own, said) if joined else said
        )
        facts = found.facts_of(name)
        is_clear = said != CODE_OF["cloudy"]
        assert facts["s2l2a_model_clear_fraction"] == pytest.approx(is_clear.mean())
        assert facts["s2l2a_own_clear_fraction"] == (own == 1).mean()
        assert facts["s2l2a_mask_agreement"] == pytest.approx((is_clear == (own == 1)).mean())
        np.testing.assert_array_equal(found.pixels("s2l2a_10m", name)[0], tiny.crop(tiny.dn("B02", 10), 10, row, col))
    of = survey(curate.dataset, curate.store)
    said_of = {m.name: m.cells[0].split(" ")[0] for m in measurements.quality(of)}
    each = [found.facts_of(tiny.name(*place))["s2l2a_mask_agreement"] for place in PLACES]
    assert said_of["% of which both masks say the same"] == f"{100 * np.median(each):.3g}"
    # By SCL the scene of the 16th is cloudy at the first place; by the model it is as clear as the other, and nearer.
    assert {*np.unique([rule(*place) for place in PLACES])} == {CODE_OF[name] for name in CLASSES}
    assert chosen[2, 3] == "2021-07-16"
    assert chosen[0, 0] == ("2021-07-10" if joined else "2021-07-16")


def test_a_composite_is_of_what_the_model_calls_clear_and_a_patch_s_side_may_be_mirrored_for_it(world, tmp_path):
    curate = made(world, tmp_path, f"{MASK}, multiple_px = 32 }}", ', pick = "median", bands = ["B11"]')
    x, y = tiny.corner(1, 4)  # which the swath leaves in the middle
    with curate.world.folder.joinpath("places.csv").open("a") as file:
        file.write(f"{x},{y},{tiny.EPSG}\n")
    curate.world.recipe.write_text(
        curate.world.recipe.read_text().replace("[quality]\n", "[quality]\nmin_valid = 0.1\n")
    )
    assert curate("build", "--season", "summer", "--run-code") == 0
    found = summer(curate)
    for row, col in [*PLACES, (1, 4)]:
        name, is_clear = tiny.name(row, col), rule(row, col) != CODE_OF["cloudy"]
        if col == 4:
            is_clear[:, 12:] = False
        np.testing.assert_array_equal(found.pixels("s2l2a_count_20m", name)[0] > 0, is_clear)
        facts = found.facts_of(name)
        assert facts["s2l2a_model_clear_fraction"] == pytest.approx(is_clear.mean())
        assert (
            facts["s2l2a_own_clear_fraction"] == {(0, 0): 0.5, (0, 3): 0, (2, 3): 1, (1, 4): 0.5}[row, col]
        )  # of both
    assert found.pixels("s2l2a_count_20m", tiny.name(0, 3)).max() == 2  # though SCL calls both cloudy


def test_a_model_is_executed_by_who_asks_for_it_alone(world, tmp_path, monkeypatch, capsys):
    curate = made(world, tmp_path, f"{MASK} }}")
    monkeypatch.setattr(runtimes, "run_of", None)
    assert curate("build", "--season", "summer") == 2
    assert "[sources.s2l2a.mask] model: code_unasked: " in capsys.readouterr().err
    assert not (curate.folder / "ledger").exists()
    assert curate("locate") == 0

    def requests() -> float:
        its = curation.load(curate.world.recipe, root=curate.root, catalog=str(curate.world.catalog))
        return sum(e.requests for e in its.estimate("europe", "summer").estimates.cubes)

    reckoned, text = requests(), curate.world.recipe.read_text()
    curate.world.recipe.write_text(text.replace(f"{{ mask = {MASK} }} }}", "{}"))
    more = reckoned - requests()  # of each candidate's mask, two bands
    assert more == pytest.approx(len(PLACES) * 2 * estimate.MASKS_PER_PATCH * estimate.REQUESTS_PER_WINDOW)


def test_a_cube_follows_from_the_model_s_bytes_and_from_what_executes_them(world, tmp_path, monkeypatch, capsys):
    curate = made(world, tmp_path, f"{MASK} }}")
    assert curate("build", "--season", "summer", "--run-code", "--limit", "1") == 0
    monkeypatch.setattr(modelfiles, "version_of", lambda runtime, where: f"{runtime} 0.0.1")
    assert curate("build", "--season", "summer", "--run-code") == 2
    assert 'by_model.runtime was "onnxruntime ' in capsys.readouterr().err
    monkeypatch.undo()
    file = curate.world.folder / "clouds.onnx"
    stood = file.read_bytes()
    stand_in.written(file, WEIGHTS, BIAS + 0.1, "NCHW")
    assert curate("build", "--season", "summer", "--run-code") == 2
    assert "by_model.sha256 was" in capsys.readouterr().err
    key = paths.model(hashlib.sha256(stood).hexdigest())
    assert [its.keys for its in unreferred(curate.dataset, curate.store)] == [(key,)]
    file.write_bytes(stood)
    assert unreferred(curate.dataset, curate.store) == []
    runtimes._models.clear()
    stored = curate.folder / key
    assert stored.read_bytes() == stood
    stored.write_bytes(stood[:-1] + b"\0")
    with pytest.raises(DamageError, match="it is not executed"):
        masks.model_of(curate.store, curate.dataset.specs["s2l2a"], tiny.SIZE_M)
    monkeypatch.setattr(modelfiles, "version_of", lambda runtime, where: f"{runtime} 0.0.1")
    spec = curate.dataset.specs["s2l2a"]
    monkeypatch.undo()
    with pytest.raises(ConfigError, match=r"cubes are made with onnxruntime 0\.0\.1"):
        masks.model_of(curate.store, spec, tiny.SIZE_M)


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (MASK.replace("B11", "B88"), "no band ['B88']"),
        (MASK.replace("B11", "B02"), "name a band twice, by both of its names"),
        (MASK.replace("clouds", "../clouds"), "lies outside the folder of the recipe"),
        (MASK.replace("clouds", "other"), "no such file"),
        (MASK.replace("clouds.onnx", "places.csv"), "expected .onnx, or .pt"),
        (MASK.replace('"cloudy", "doubtful"', '"clear", "clear"'), "expected one that is 'clear', and one that is not"),
        (MASK.replace("0.0001", "[1.0]"), "scale: 1 numbers for 2 bands"),
    ],
)
def test_what_a_model_cannot_be_given_is_told(world, tmp_path, mask, said):
    curate = made(world, tmp_path, f"{mask} }}")
    shutil.copy(curate.world.folder / "clouds.onnx", tmp_path / "clouds.onnx")
    with pytest.raises(ConfigError, match=re.escape(said)):
        load_dataset(str(curate.world.recipe))


def test_a_source_without_a_mask_gets_one_and_one_that_goes_with_another_none(world, tmp_path):
    curate = made(world, tmp_path, f"{MASK} }}")
    text = curate.world.recipe.read_text()
    its = MASK.replace("s2.b02", "s2l1c.b02")
    bare = f's2l1c = {{ pick = "clearest", mask = {its}, res_m = 20 }} }}\n'
    curate.world.recipe.write_text(text.replace("[sources]\n", f"[sources]\n{bare}"))
    spec = load_dataset(str(curate.world.recipe)).specs["s2l1c"]
    assert isinstance(spec, MaskedSource)
    assert (spec.own_mask, spec.mask and spec.mask.res_m, masks.facts(spec), masks.own_clear(spec)) == (
        None,
        20,
        [],
        [],
    )
    assert "mask" not in spec.files_of(spec.arrays)
    for changed, said in [
        (bare.replace(", res_m = 20", ""), "has no mask, whose pixels it would have: say res_m"),
        (bare.replace("res_m = 20", "res_m = 20, joined = true"), "has no mask of its own to join"),
        (bare.replace('pick = "clearest", ', ""), "a mask decides where one of several scenes"),
    ]:
        curate.world.recipe.write_text(text.replace("[sources]\n", f"[sources]\n{changed}"))
        with pytest.raises(ConfigError, match=said):
            load_dataset(str(curate.world.recipe))


def test_of_two_masks_the_worse_is_believed_and_codes_of_no_set_are_an_error(world):
    order = ["invalid", "cloudy", "snow", "doubtful", "clear"]
    codes = np.array([CODE_OF[n] for n in order], np.uint8)
    one, other = (v.astype(np.uint8) for v in np.meshgrid(codes, codes))
    rank = {CODE_OF[n]: k for k, n in enumerate(order)}
    np.testing.assert_array_equal(worse(one, other), np.vectorize(lambda a, b: min(a, b, key=rank.get))(one, other))
    s2l2a = load_dataset("ssl4eo-s").specs["s2l2a"]
    sets = {n: getattr(s2l2a, n) for n in CODE_OF}
    given = OwnMask(array=s2l2a.mask, **sets)
    found = given.codes(np.arange(12), "scene")
    assert all(found[c] == CODE_OF[n] for n, its in sets.items() for c in its)
    with pytest.raises(ReadError, match=r"holds codes \[99\]"):
        given.codes(np.array([4, 99]), "scene")


def test_a_model_may_answer_with_numbers_of_classes_and_no_others(monkeypatch):
    answers = {"of": np.array([[[0, 1], [2, 1]]])}
    run = runtimes.answering(lambda x: answers["of"], 2, 3, 3, "model m")
    np.testing.assert_array_equal(run(np.zeros((2, 2, 3), np.float32)).argmax(axis=-1), answers["of"][0])
    answers["of"] = answers["of"] + 1
    with pytest.raises(ReadError, match="gives classes 1 to 3, expected 0 to 2"):
        run(np.zeros((2, 2, 3), np.float32))
