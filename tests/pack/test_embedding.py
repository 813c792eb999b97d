"""Vectors of a table as an annotation: what was embedded of one release is carried by the samples of the next."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.errors import ConfigError
from curation.format.index import Index
from curation.pack import vectors
from curation.stream.open import open_shards
from curation.worth.features.table import Features
from tests.pack.test_annotate import checked, own
from tests.run import Curate

SEASONS = 2

MEAN = """
[annotations.embedding]
function = "embedding"
type = "vectors"
shape = [3]
[annotations.embedding.embedding]
file = "vectors.parquet"
"""
EACH = MEAN.replace("shape = [3]", f"ragged = true\nshape = [{SEASONS}, 3]")


def write(path: Path, rows: list[tuple[str, str, list[float]]]) -> None:
    names = ("key", "season", "vector")
    pq.write_table(pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))), path)


@pytest.mark.slow
def test_what_was_embedded_comes_with_each_sample_of_the_next_release(built: Curate, tmp_path: Path, capsys):
    mine = own(built, tmp_path, "")
    assert mine("pack") == 0
    table = mine.world.folder / "vectors.parquet"
    assert mine("embed", "--scheduler", "none", "--to", str(table)) == 0
    assert f"and to {table}" in capsys.readouterr().out
    its, _ = Features.from_bytes(table.read_bytes(), "x")
    wide = its.values.shape[1]
    recipe = mine.world.recipe.read_text()
    mine.world.recipe.write_text(recipe + MEAN.replace("[3]", f"[{wide}]"))
    before = Index.from_bytes((mine.folder / "shards" / "index.json").read_bytes()).release_digest
    assert mine("pack") == 0
    index = Index.from_bytes((mine.folder / "shards" / "index.json").read_bytes())
    assert index.release_digest != before
    assert index.annotations["embedding"].shape == (wide,)
    for sample in open_shards(mine.folder / "shards", "train", fields=["embedding"]).by_id():
        own_rows = its.values[its.keys == sample["key"]].astype(np.float64)
        assert len(own_rows) == SEASONS
        np.testing.assert_allclose(sample["embedding"].numpy(), own_rows.mean(0), rtol=1e-6)
    assert mine("verify") == 0
    text = mine.world.recipe.read_text()
    mine.world.recipe.write_text(text.replace(f"shape = [{wide}]", f"ragged = true\nshape = [{SEASONS}, {wide}]"))
    assert mine("pack") == 0
    sample = open_shards(mine.folder / "shards", "train", fields=["embedding"]).by_id()[0]
    np.testing.assert_array_equal(sample["embedding"].numpy(), its.values[its.keys == sample["key"]])


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        (MEAN.replace("shape = [3]", "shape = [4]"), r"expected 'vectors' and \[3\]"),
        (MEAN.replace('"vectors"', '"numbers"'), r"expected 'vectors' and \[3\]"),
        (EACH.replace(f"[{SEASONS}, 3]", "[9, 3]"), rf"ragged = true and \[{SEASONS}, 3\]"),
        (MEAN.partition("[annotations.embedding.embedding]")[0], "names no table"),
        (MEAN.replace('"vectors.parquet"', '"other.parquet"'), "no such file"),
        (MEAN.replace('function = "embedding"', 'function = "caption"'), "is for 'embedding' alone"),
    ],
)
def test_an_annotation_that_the_table_does_not_fit_is_refused(built: Curate, tmp_path: Path, recipe: str, says: str):
    mine = own(built, tmp_path, recipe)
    write(mine.world.folder / "vectors.parquet", [("a", "summer", [1.0, 2.0, 3.0])])
    with pytest.raises(ConfigError, match=says):
        checked(mine.world.recipe)


def test_a_vector_without_a_season_is_of_all_of_them(tmp_path: Path):
    write(tmp_path / "t.parquet", [("a", "", [1.0]), ("a", "summer", [2.0]), ("b", "winter", [3.0])])
    its = vectors.read(tmp_path / "t.parquet", "x")
    assert [its.of("a", "summer"), its.of("a", "winter"), its.of("b", "winter")] == [[2.0], [1.0], [3.0]]
    assert its.of("b", "summer") is None


def test_a_table_that_has_changed_is_read_again(tmp_path: Path):
    for value in (1.0, 2.0):
        write(tmp_path / "t.parquet", [("a" * int(value), "", [value])])
        assert vectors.read(tmp_path / "t.parquet", "x").values.tolist() == [[value]]
