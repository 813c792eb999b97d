"""What a newcomer would not understand names nothing in the code."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.test_layers import PACKAGE

UNCLEAR = {"curve", "given", "here", "kept", "lane", "lanes", "lattice", "plate", "recorded", "remaining", "told"}
"""Words that say nothing of what they name: each stood for several things, none of them the field's."""


def names(node: ast.AST) -> Iterator[str]:
    """What a node names: a function, a class, an argument, a variable, an attribute, a module of an import."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
            yield name
        case ast.alias(asname=str(name)) | ast.ExceptHandler(name=str(name)):
            yield name
        case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
            yield name


def unclear(name: str) -> bool:
    """Whether one of its words is such."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)
    return not UNCLEAR.isdisjoint(word.lower() for word in words)


def test_names_are_words_that_a_newcomer_knows():
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        where = path.relative_to(PACKAGE).as_posix()
        found += [f"{where}: {part}" for part in (*path.with_suffix("").relative_to(PACKAGE).parts,) if unclear(part)]
        for node in ast.walk(ast.parse(path.read_text())):
            found += [f"{where}:{getattr(node, 'lineno', 0)}: {name}" for name in names(node) if unclear(name)]
    assert not found


@pytest.mark.parametrize(
    "code",
    [
        "def told_of(): ...",
        "class GivenSession: ...",
        "MOST_TOLD = 5",
        "def f(here): ...",
        "a._kept = 1",
        "for curve in (): ...",
        "import json as recorded",
        "(lattice := 1)",
    ],
)
def test_unclear_names_are_seen_wherever_they_are_given(code: str):
    assert any(unclear(name) for node in ast.walk(ast.parse(code)) for name in names(node))


@pytest.mark.parametrize("name", ["there", "adhere", "Keeper", "forgiven", "planes", "HTTPSession", "curves", "untold"])
def test_words_are_whole_ones(name: str):
    assert not unclear(name)
