"""Shares of classes: columns of samples that are what their maps have, and limits that leave samples out by name."""

import json
import shutil
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import xarray as xr

from curation.cubes import labels
from curation.errors import ConfigError
from curation.recipe.dataset import load_dataset
from curation.recipe.shares import ShareSpec
from tests import world as tiny
from tests.run import Curate


def asking(built: Curate, folder: Path, *shares: str) -> Curate:
    """A copy of the dataset whose recipe has these shares, and samples of what there is."""
    mine = Curate(tiny.World(folder / "own"), folder / "root")
    shutil.copytree(built.world.folder, folder / "own", dirs_exist_ok=True)
    text = tiny.RECIPE.replace("samples_per_shard = 5\n", 'samples_per_shard = 5\ncomplete = "any"\n')
    mine.world.recipe.write_text("\n".join([text, "[pack.shares]", *shares]))
    shutil.copytree(built.root, mine.root)
    return mine


def rows_of(mine: Curate) -> dict[str, dict]:
    return {r["id"]: r for r in pq.read_table(mine.folder / "shards/train/samples.parquet").to_pylist()}


def truth(mine: Curate, classes: set[int]) -> dict[str, float]:
    """Per cent of pixels of these codes, of each patch that has a map in summer: from pixels, as xarray reads them."""
    cube = xr.open_zarr(mine.folder / "cubes/europe/summer.zarr")
    has = cube.dynamicworld_status.values == 1
    shares = np.isin(cube.dynamicworld_10m.values, list(classes)).mean(axis=(1, 2, 3)) * 100
    return dict(zip(cube.id.values[has].tolist(), shares[has].tolist(), strict=True))


@pytest.fixture(scope="module")
def told(built: Curate, tmp_path_factory: pytest.TempPathFactory) -> Curate:
    """With shares that leave nothing out: of the map of summer, and of one that no place has in autumn."""
    mine = asking(
        built,
        tmp_path_factory.mktemp("shares"),
        'known = { source = "dynamicworld", season = "summer" }',
        'crops = { source = "dynamicworld", season = "summer", classes = ["crops"] }',
        'later = { source = "dynamicworld", season = "autumn", classes = ["crops"], least_pct = 99 }',
        'cover = { source = "worldcover", classes = ["tree_cover", "built_up"] }',
    )
    assert mine("pack") == 0
    return mine


@pytest.mark.slow
def test_they_are_shares_of_all_pixels_of_the_map_and_nothing_where_there_is_none(told: Curate):
    rows, crops, known = rows_of(told), truth(told, {4}), truth(told, {*range(9)})
    assert {known[i] for i in rows if i in known} == {0.0, 100.0}, "there are maps that are all gap, too"
    assert {r["later"] for r in rows.values()} == {None}  # and its limit leaves out nothing
    for name, row in rows.items():
        assert row["crops"] == (round(crops[name], 4) if name in crops else None)
        assert row["known"] == (round(known[name], 4) if name in known else None)
    cover = xr.open_zarr(told.folder / "cubes/europe/static.zarr").set_index(patch="id")
    for name, row in rows.items():
        pixels = cover.worldcover_10m.sel(patch=name).values
        assert row["cover"] == round(100 * np.isin(pixels, [10, 50]).mean(), 4)


@pytest.mark.slow
def test_samples_and_batches_tell_them_as_other_columns(told: Curate):
    rows = rows_of(told)
    for shard in (told.folder / "shards/train").glob("*.tar"):
        with tarfile.open(shard) as tar:
            metas = [json.load(tar.extractfile(m)) for m in tar if m.name.endswith("meta.json")]
        assert all(m["columns"]["crops"] == rows[m["id"]]["crops"] for m in metas)
    index = json.loads((told.folder / "shards/index.json").read_text())
    assert index["columns"]["crops"]["kind"] == "number"
    assert told("verify") == 0


@pytest.mark.torch
@pytest.mark.slow
def test_batches_have_them_as_numbers(told: Curate):
    from curation.stream.open import open_shards

    rows = rows_of(told)
    for sample in open_shards(str(told.folder / "shards"), "train"):
        mine = rows[sample["key"]]["crops"]
        assert np.isnan(float(sample["crops"])) if mine is None else float(sample["crops"]) == pytest.approx(mine)


@pytest.mark.slow
def test_a_limit_holds_what_is_just_so_leaves_out_what_is_beyond_and_counts_it_by_name(told: Curate, tmp_path, capsys):
    has = {i: row["cover"] for i, row in rows_of(told).items()}
    middle = next(v for v in has.values() if 0 < v < 100)
    for key, holds in (("least_pct", lambda v: v >= middle), ("most_pct", lambda v: v <= middle)):
        rule = f'cover = {{ source = "worldcover", classes = ["tree_cover"], {key} = {middle} }}'
        mine = asking(told, tmp_path / key, rule)
        assert mine("pack") == 0
        kept = {i for i, v in has.items() if holds(v)}
        assert {*rows_of(mine)} == kept
        assert 0 < len(kept) < len(has)
        index = json.loads((mine.folder / "shards/index.json").read_text())
        assert index["counts"]["dropped"]["outside_share:cover"] == len(has) - len(kept)
        listed = pq.read_table(mine.folder / "manifest/dropped.parquet").to_pylist()
        assert {d["id"] for d in listed if d["reason"] == "outside_share:cover"} == {*has} - kept
        assert f"outside_share:cover {len(has) - len(kept)}" in capsys.readouterr().out


def test_who_asks_for_no_share_has_the_digest_that_it_had(built: Curate):
    assert "shares" not in built.dataset.recipe.pack.model_dump(mode="json")


@pytest.mark.parametrize(
    ("share", "says"),
    [
        ('a = { source = "s2l2a" }', r"source = 's2l2a': expected one with classes .*: worldcover, dynamicworld"),
        ('a = { source = "worldcover", classes = ["tree"] }', r"no class 'tree'; .*classes: tree_cover, "),
        ('a = { source = "dynamicworld" }', r"season = None: 'dynamicworld' has summer, autumn: say which"),
        ('a = { source = "worldcover", season = "summer" }', r"season = 'summer': 'worldcover' has static"),
        ('a = { source = "worldcover", least_pct = 60, most_pct = 50 }', r"least_pct = 60 is more than most_pct = 50"),
        ('a = { source = "worldcover", least_pct = 101 }', r"less than or equal to 100"),
        ('s2l2a = { source = "worldcover" }', r"pack.shares: 's2l2a': expected a-z.*not the name of a source"),
        ('Crops = { source = "worldcover" }', r"pack.shares: 'Crops': expected a-z"),
    ],
)
def test_what_can_be_no_share_is_refused_by_name(tmp_path, share, says):
    (tmp_path / "recipe.toml").write_text(f"{tiny.RECIPE}\n[pack.shares]\n{share}\n")
    with pytest.raises(ConfigError, match=says):
        load_dataset(str(tmp_path))


def test_a_share_that_another_entry_is_called_by_is_refused(tmp_path):
    more = '[pack.shares]\na = { source = "worldcover" }\n[annotations.a]\nfunction = "caption"\ntype = "text"\n'
    (tmp_path / "recipe.toml").write_text(f"{tiny.RECIPE}\n{more}")
    with pytest.raises(ConfigError, match=r"\['a'\]: one of \[pack.shares\], and another entry"):
        load_dataset(str(tmp_path))


def test_a_column_of_the_file_that_a_share_is_called_by_is_left_out_with_a_reason(tmp_path):
    (tmp_path / "recipe.toml").write_text(f'{tiny.RECIPE}\n[pack.shares]\na = {{ source = "worldcover" }}\n')
    assert load_dataset(str(tmp_path)).recipe.column_fault("a") == "one of [pack.shares] is called so"


def test_of_what_is_labelled_nowhere_the_share_is_none_of_it_and_no_number_that_is_not_one():
    nothing = np.full(3, np.nan, np.float32)
    assert labels.pixel_share(nothing, 0.0, [0, 1]) == 0.0
    assert labels.pixel_share(np.array([0.25, 0.5, 0.25], np.float32), 0.5, [0, 2]) == 0.25


def test_limits_are_of_what_is_known():
    its = ShareSpec(source="water", least_pct=40, most_pct=60)
    assert Counter(its.holds(v) for v in (None, 40, 60.0, 39.9999, 60.0001)) == {True: 3, False: 2}
