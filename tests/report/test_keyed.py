"""Tests of scores and features of users: keys are what the file says, and no row is of a key that it has not."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.report import keyed


@pytest.mark.parametrize("end", ["csv", "parquet"])
def test_keys_of_digits_stay_as_they_are_written(tmp_path: Path, end: str) -> None:
    path, names = tmp_path / f"scores.{end}", ["0012", "012", "12"]
    if end == "csv":
        path.write_text("key,score\n" + "".join(f"{name},{n}\n" for n, name in enumerate(names)))
    else:
        pq.write_table(pa.table({"key": names, "score": [0.0, 1.0, 2.0]}), path)
    found = keyed.scores(path)
    assert found.keys.tolist() == names
    assert found.values[:, 0].tolist() == [0, 1, 2]


def test_another_name_of_keys_is_a_number_beside_the_key(tmp_path: Path) -> None:
    path = tmp_path / "features.csv"
    path.write_text("sample,key\n7,007\n8,008\n")
    found = keyed.numbers(path)
    assert (found.keys.tolist(), found.columns, found.values[:, 0].tolist()) == (["007", "008"], ("sample",), [7, 8])


def test_rows_without_a_key_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    pq.write_table(pa.table({"key": ["a", None], "score": [1.0, 2.0]}), path)
    found = keyed.scores(path)
    assert (found.keys.tolist(), found.rows, found.passed_over) == (["a"], 2, 1)
