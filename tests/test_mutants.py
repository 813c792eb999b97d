"""The table of guards is of the code and the tests as they stand: what has moved on is seen here, not when it is run."""

import ast
import importlib
from pathlib import Path

import pytest

from tests.mutants import rooms
from tests.mutants.__main__ import ROOT, check_readable
from tests.mutants.table import TABLE


def test_each_guard_stands_where_its_row_says_exactly_once():
    assert [m.guard for m in TABLE if (ROOT / m.file).read_text().count(m.find) != 1] == []


def test_what_stands_there_without_a_guard_can_still_be_read():
    for m in TABLE:
        check_readable((ROOT / m.file).read_text().replace(m.find, m.replacement), m.file)


def test_each_row_lies_in_the_file_of_its_room():
    for path in sorted(Path(rooms.__file__).parent.glob("[a-z]*.py")):
        of = importlib.import_module(f"{rooms.__name__}.{path.stem}").ROWS
        assert {_room(m.file) for m in of} == {path.stem}


def _room(file: str) -> str:
    """Of a file; tables of sources, and recipes that are shipped, are read in `recipe`."""
    top, name, *_ = Path(file).parts
    return "recipe" if top in ("stac_queries", "manifests") else name.removesuffix(".py")


@pytest.mark.parametrize("file", sorted({t.partition("::")[0] for m in TABLE for t in m.tests}))
def test_the_tests_that_are_to_notice_are_there(file: str):
    tree = ast.parse(Path(ROOT, file).read_text())
    there = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    named = {t.partition("::")[2].partition("[")[0] for m in TABLE for t in m.tests if t.startswith(f"{file}::")}
    assert {part for name in named for part in name.split("::")} <= there
