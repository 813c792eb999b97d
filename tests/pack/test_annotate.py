"""What samples carry beside pixels, made by functions that a recipe names: a user's own are one file."""

from __future__ import annotations

import dataclasses
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import webdataset as wds
from torch.utils.data import DataLoader

from curation.cubes.open_patch import open_patch
from curation.errors import ConfigError, UnaskedCodeError
from curation.errors.codes import Code
from curation.pack.annotate import AnnotationError, Failure, check
from curation.recipe.catalogs import Catalogs, resolve_all
from curation.recipe.dataset import Dataset, load_dataset
from curation.stream.open import open_shards
from tests import world as tiny
from tests.run import Curate

CONSTANT = """
[annotations.caption]
function = "mine.py:caption"
type = "text"
"""


def own(built: Curate, tmp_path: Path, recipe: str, code: str | None = None) -> Curate:
    """The built world with a recipe of a user's own, in a folder of his, and the file that he wrote beside it."""
    world = tiny.World(tmp_path / "own")
    for file in (built.world.recipe, built.world.catalog, built.world.folder / "places.csv"):
        shutil.copy(file, world.folder)
    world.recipe.write_text(world.recipe.read_text() + recipe)
    if code is not None:
        (world.folder / "mine.py").write_text(code)
    return dataclasses.replace(built.copy(tmp_path / "root"), world=world)


def embedded(dataset: Dataset) -> Catalogs:
    return resolve_all(dataset, "embedded", served_at="http://127.0.0.1")


def checked(recipe: Path) -> Dataset:
    """The recipe, whose annotations are as they have to be where the embedded Earth is asked."""
    dataset = load_dataset(str(recipe))
    check(dataset, embedded(dataset), run_code=False)
    return dataset


@pytest.mark.slow
def test_a_caption_is_one_file_of_the_user_s_and_comes_with_each_sample(built: Curate, tmp_path: Path):
    mine = own(built, tmp_path, CONSTANT, 'def caption(sample):\n    return "a place"\n')
    assert mine("pack", "--run-code") == 0
    loader = DataLoader(open_shards(mine.folder, batch_size=3), batch_size=None, num_workers=1)
    batches = list(loader)
    assert {c for b in batches for c in b["caption"]} == {"a place"}
    assert all(b["caption_ok"].all() for b in batches)
    assert mine("verify") == 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:unclosed file", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_annotations_of_each_kind_are_told_what_the_sample_is(built: Curate, tmp_path: Path):
    recipe = """
    [annotations.brightness]
    function = "mine.py:brightness"
    type = "numbers"
    [annotations.embedding]
    function = "mine.py:embedding"
    type = "vectors"
    shape = [4]
    [annotations.facts]
    function = "mine.py:facts"
    type = "json"
    [annotations.words]
    function = "caption"
    type = "text"
    [annotations.area]
    function = "region"
    type = "text"
    column = true
    [annotations.east]
    function = "mine.py:east"
    type = "numbers"
    column = true
    title = "Degrees east, of some"
    """
    code = """
import numpy as np

def brightness(sample):
    return sample.arrays["s2l2a_10m.summer"].mean()

def embedding(sample):
    bands = [b.name for b in sample.entries["s2l2a_10m"].canonical]
    assert bands == ["s2.b02", "s2.b03", "s2.b04", "s2.b08"]
    return None if sample.key.endswith("0") and "350" in sample.key else sample.arrays["s2l2a_10m.summer"].mean(axis=(1, 2))

def facts(sample):
    sample.seasons["summer"]["sources"].clear()  # of its own copy
    return {"seasons": sorted(sample.seasons), "zone": sample.location["epsg"], "cover": sample.fractions("summer")}

def east(sample):
    return sample.location["lon"] if sample.location["lat"] > 54.4 else float("nan")
"""
    mine = own(built, tmp_path, recipe, code)
    assert mine("pack", "--run-code") == 0
    data = open_shards(mine.folder)
    table = pq.read_table(mine.folder / "shards" / data.index.splits["train"].samples_table.name).to_pylist()
    seen = labelled = 0
    for row, one in zip(table, data, strict=True):
        pixels = open_patch(mine.folder, f"europe/summer/{one['key']}", ["s2l2a_10m"])["s2l2a_10m"].values
        assert one["brightness"] == pixels.mean()
        if one["embedding_ok"]:
            np.testing.assert_array_equal(one["embedding"].numpy(), np.float32(pixels.mean(axis=(1, 2))))
            seen += 1
        assert one["facts"]["seasons"] == ["autumn", "summer"]
        assert one["facts"]["zone"] == tiny.EPSG
        assert one["facts"]["cover"].get("trees", 0.75) == 0.75  # unknown where Dynamic World has a gap
        assert "north of Groningen" in one["words"]
        labelled += bool(one["facts"]["cover"])
        assert one["area"] == row["area"] == "europe"
        assert row["east"] == (None if np.isnan(one["east"]) else one["east"])
    assert seen
    assert labelled
    assert data.index.columns["east"].title == "Degrees east, of some"
    assert mine("verify") == 0
    tars = sorted(str(p) for p in (mine.folder / "shards" / "train").glob("*.tar"))
    stock = next(iter(wds.WebDataset(tars, shardshuffle=False).decode()))
    assert "north of Groningen" in stock["words.txt"]
    assert stock["facts.json"]["zone"] == tiny.EPSG
    assert stock["meta.json"]["seasons"]["summer"]["sources"]  # what a function does to its copy is not written


@pytest.mark.slow
def test_code_of_a_recipe_is_not_executed_unasked(built: Curate, tmp_path: Path, capsys):
    told = tmp_path / "executed"
    mine = own(built, tmp_path, CONSTANT, f'open({str(told)!r}, "w")\ndef caption(sample):\n    return "a place"\n')
    before = mine.hashes()
    capsys.readouterr()
    assert mine("pack") == 2
    said = capsys.readouterr().err
    assert Code.CODE_UNASKED in said
    assert "mine.py" in said
    assert "--run-code" in said
    for verb in ("verify", "report", "build"):
        assert mine(verb) == 0
    assert not told.exists()
    assert mine.hashes() == before
    with pytest.raises(UnaskedCodeError):
        check(mine.dataset, embedded(mine.dataset), run_code=False)
    assert mine("pack", "--run-code") == 0
    assert told.exists()


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ("raise KeyError(sample.key)", "KeyError"),
        ("return 3", "expected a text"),
        ("sample.arrays['dem_30m'][:] = 0", "read-only"),
        ("raise SystemExit(0)", "SystemExit"),  # else the command would end, with nothing packed and exit code 0
    ],
)
@pytest.mark.slow
def test_a_function_that_fails_is_named_with_the_sample_and_leaves_no_hole(
    built: Curate, tmp_path: Path, capsys, body: str, cause: str
):
    code = f"def caption(sample):\n    if sample.key == {tiny.name(1, 1)!r}:\n        {body}\n    return 'a place'\n"
    mine = own(built, tmp_path, CONSTANT, code)
    before = mine.hashes()
    capsys.readouterr()
    assert mine("pack", "--run-code") == 1
    said = capsys.readouterr().err
    for word in (Code.ANNOTATION_FAILED, "mine.py:caption", tiny.name(1, 1), cause):
        assert word in said
    (row,) = json.loads((mine.folder / "manifest/annotations-failed.json").read_text())
    assert row["cause"] in said
    assert {k: row[k] for k in ("sample", "annotation", "function", "reason")} == {
        "sample": tiny.name(1, 1),
        "annotation": "caption",
        "function": "mine.py:caption",
        "reason": "annotation_failed",
    }
    assert mine.hashes() == before  # the shards that stood stand
    (mine.world.folder / "mine.py").write_text("def caption(sample):\n    return 'a place'\n")
    assert mine("pack", "--run-code") == 0
    assert not (mine.folder / "manifest/annotations-failed.json").exists()


def test_other_code_is_another_release(built: Curate, tmp_path: Path):
    mine = own(built, tmp_path, CONSTANT, "def caption(sample):\n    return 'a place'\n")
    one = mine.dataset.release_digest()
    assert mine.dataset.release_digest() == one
    (mine.world.folder / "mine.py").write_text("def caption(sample):\n    return 'another'\n")
    assert mine.dataset.release_digest() != one
    assert load_dataset(str(built.world.recipe)).release_digest() != one


def test_what_is_executed_is_what_was_hashed(built: Curate, tmp_path: Path):
    mine = own(built, tmp_path, CONSTANT, "def caption(sample):\n    return 'a place'\n")
    dataset = mine.dataset
    digest = dataset.release_digest()
    (mine.world.folder / "mine.py").write_text("raise RuntimeError\n")
    there = pickle.loads(pickle.dumps(dataset))  # on a worker, which may not have the file
    assert there.release_digest() == digest
    assert there.annotations["caption"].source == b"def caption(sample):\n    return 'a place'\n"


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ('function = "captoin"', r"no such built-in; did you mean caption\?"),
        ('function = "other.py:caption"', "no such file"),
        ('function = "../mine.py:caption"', "lies outside the folder of the recipe"),
        ('function = "mine.py:captions"', r"defines no function 'captions'; did you mean caption\?"),
        ('function = "mine.txt:caption"', "match pattern"),
    ],
)
def test_a_function_that_is_not_there_is_told_before_anything_is_read(built: Curate, tmp_path, line: str, match: str):
    recipe = CONSTANT.replace('function = "mine.py:caption"', line)
    mine = own(built, tmp_path, recipe, "def caption(sample):\n    return 'a place'\n")
    (tmp_path / "mine.py").write_text("def caption(sample): ...\n")
    with pytest.raises(ConfigError, match=match):
        check(mine.dataset, embedded(mine.dataset), run_code=True)


@pytest.mark.parametrize(
    ("recipe", "match"),
    [
        (CONSTANT.replace("annotations.caption", "annotations.dem_30m"), "is the name of an array"),
        (CONSTANT.replace("annotations.caption", "annotations.region"), "not the name of a source or of another entry"),
        (CONSTANT + "shape = [3]\n", "expected \\[\\] of text"),
        (CONSTANT.replace('"text"', '"vectors"'), "expected \\[numbers\\]"),
        (CONSTANT.replace('"text"', '"json"') + "column = true\n", "column = true is for a text"),
    ],
)
def test_annotations_that_cannot_be_are_refused(built: Curate, tmp_path: Path, recipe: str, match: str):
    mine = own(built, tmp_path, recipe, "def caption(sample):\n    return 'a place'\n")
    with pytest.raises(ConfigError, match=match):
        check(mine.dataset, embedded(mine.dataset), run_code=True)


def test_code_that_is_no_python_is_refused(built: Curate, tmp_path: Path):
    mine = own(built, tmp_path, CONSTANT, "def caption(sample)\n")
    with pytest.raises(ConfigError, match=r"mine\.py: not Python"):
        check(mine.dataset, embedded(mine.dataset), run_code=True)


def test_failures_come_back_from_a_worker():
    err = AnnotationError([Failure("a", "caption", "mine.py:caption", "KeyError: 'x'")] * 2)
    again = pickle.loads(pickle.dumps(err))
    assert str(again) == str(err)
    assert again.failures == err.failures
