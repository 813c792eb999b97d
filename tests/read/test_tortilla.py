"""Tortilla and TACO files as containers of chips: what is in them is found, and what cannot be is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from curation.errors import ConfigError, ReadError
from curation.read import archive, tortilla
from tests.tortillas import STATIC_BYTES, packed, with_table

INNER = packed([("s1", "GTiff", b"radar"), ("s2", "GTiff", b"light, longer")])
DEEP = packed([("x", "TORTILLA", packed([("s1", "GTiff", b"RADAR")]))])
FILE = packed(
    [("a", "TORTILLA", INNER), ("b", "GTiff", b"alone"), ("deep", "TORTILLA", DEEP)],
    [{"country": c, "where": [1.0, 2.0]} for c in ("Ireland", "Serbia", None)],
)


@pytest.mark.parametrize(("ending", "mark"), [("tortilla", b"#y"), ("taco", b"WX"), ("0001.part.tortilla", b"#y")])
def test_items_and_those_within_items_are_found_and_read(tmp_path: Path, ending: str, mark: bytes):
    (tmp_path / "in").mkdir()
    (tmp_path / f"in/set.{ending}").write_bytes(mark + FILE[2:])
    names = [f"in/set.{ending}!{n}" for n in ("a/s1", "a/s2", "b", "deep/x/s1")]
    assert list(archive.addresses(tmp_path)) == names
    assert [archive.read(tmp_path, n) for n in names] == [b"radar", b"light, longer", b"alone", b"RADAR"]
    assert [(r["tortilla:id"], r["country"]) for r in tortilla.rows(tmp_path / f"in/set.{ending}")] == [
        ("a", "Ireland"),
        ("b", "Serbia"),
        ("deep", None),
    ]
    with pytest.raises(ReadError, match="cannot be read: KeyError"):
        archive.read(tmp_path, f"in/set.{ending}!a")


def table(**columns: Any) -> pa.Table:
    whole = {"id": ["a"], "file_format": ["GTiff"], "offset": [STATIC_BYTES], "length": [5]} | columns
    return pa.table({f"tortilla:{n}": v for n, v in whole.items() if v is not None})


def in_itself() -> bytes:
    """A file whose one item is that very file."""
    made, length = b"", 0
    while len(made) != length or not length:
        length = len(made)
        made = with_table(b"", table(file_format=["TORTILLA"], offset=[0], length=[length]))
    return made


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "begins with b''"),
        (b"PK" + FILE[2:], "begins with b'PK', expected one of b'#y', b'WX'"),
        (FILE[:-1], "table of it is at .* the file is cut"),
        (FILE[:5], "begins with b'#y'"),
        (FILE[:-40] + b"\xff" * 40, "the table of it is no Parquet"),
        (FILE[: STATIC_BYTES + 3], "the file is cut"),
        (FILE[:10] + b"\xff" * 8 + FILE[18:], "the file is cut"),
        (with_table(b"12345", table(length=[10**9])), "item a: ends at byte .* the file is cut"),
        (with_table(b"12345", table(offset=[-1])), "item 'a': -1, 5, expected a text and numbers from 0 on"),
        (with_table(b"12345", table(length=[1.5])), "item 'a': .*expected a text and numbers"),
        (with_table(b"12345", table(id=[None])), "item None: "),
        (with_table(b"12345", table(length=None)), "has no tortilla:length"),
        (with_table(b"12345", pa.concat_tables([table()] * 2)), "two items are called 'a'"),
        (with_table(b"12345", table(file_format=["TORTILLA"])), "a/ begins with b'12'"),
        (in_itself(), "more than 8 files lie in one another"),
    ],
)  # fmt: skip
def test_what_is_none_is_told(tmp_path: Path, data: bytes, match: str):
    (tmp_path / "a.tortilla").write_bytes(data)
    with pytest.raises(ConfigError, match=rf"a\.tortilla: cannot be listed as \.tortilla .*{match}"):
        list(archive.addresses(tmp_path))


def test_a_file_that_has_changed_is_listed_anew(tmp_path: Path):
    path = tmp_path / "a.tortilla"
    path.write_bytes(packed([("a", "BYTES", b"1")]))
    assert list(archive.addresses(path)) == ["a.tortilla!a"]
    path.write_bytes(packed([("a", "BYTES", b"1"), ("b", "BYTES", b"2")]))
    assert list(archive.addresses(path)) == ["a.tortilla!a", "a.tortilla!b"]
