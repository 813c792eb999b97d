"""Formulas over bands, as recipes state them: read as a small grammar, never executed as code. Pure.

A formula has bands by their canonical names (`s2.b08`; in quotes where that is no name of Python's: `'hls-l30.b05'`),
numbers, brackets, `+ - * / **`, and the functions of `FUNCTIONS`. All is calculated in float64.
"""

from __future__ import annotations

import ast
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.errors.printable import shown

Floats = NDArray[np.float64]

MOST_CHARACTERS, MOST_DEPTH = 500, 40
"""Of a formula, and of what is nested in it: far above what any index has, far below what ends a process."""

_OPERATORS: Mapping[type[ast.AST], Callable[..., Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Pow: np.power,
    ast.UAdd: np.positive,
    ast.USub: np.negative,
}

FUNCTIONS: Mapping[str, tuple[int, Callable[..., Any]]] = {
    "abs": (1, np.abs),
    "sqrt": (1, np.sqrt),
    "exp": (1, np.exp),
    "log": (1, np.log),
    "log10": (1, np.log10),
    "min": (2, np.minimum),
    "max": (2, np.maximum),
}
"""Name → how many values it takes, and what is made of them, pixel by pixel."""

MAY_HAVE = f"bands by canonical name, numbers, + - * / **, brackets, and {', '.join(FUNCTIONS)}"


def bands(formula: str) -> tuple[str, ...]:
    """Canonical names of the bands that a formula has, each once, in order.

    Raises:
        ValueError: it is no formula; what is wrong with it is told.
    """
    found = tuple(dict.fromkeys(node for node in _walked(_parsed(formula)) if isinstance(node, str)))
    if not found:
        raise ValueError(f"{shown(formula)} has no band: expected one at least, by its canonical name, such as s2.b04")
    return found


def calculated(formula: str, values: Mapping[str, Floats]) -> Floats:
    """What a formula comes to, pixel by pixel, float64.

    Args:
        formula: one that `bands` has read.
        values: canonical name → physical values, NaN where there is no data; shapes that go together as numpy has it.

    Returns:
        NaN where any band has no data, and where there is no finite number: a division by zero, the root of less.
    """
    with np.errstate(all="ignore"):
        found = np.asarray(_value(_parsed(formula), values), np.float64)
    missing = functools.reduce(np.logical_or, (np.isnan(values[name]) for name in bands(formula)))
    return np.where(missing | ~np.isfinite(found), np.nan, found)  # nan ** 0 is 1


Node = str | float | tuple[Callable[..., Any], "Sequence[Node]"]
"""A band, a number, or what is made of others."""


def _value(node: Node, values: Mapping[str, Floats]) -> Any:
    if isinstance(node, str):
        return values[node]
    if isinstance(node, float):
        return np.float64(node)
    made, parts = node
    return made(*(_value(part, values) for part in parts))


def _walked(node: Node) -> Iterator[Node]:
    yield node
    if isinstance(node, tuple):
        for part in node[1]:
            yield from _walked(part)


@functools.lru_cache(maxsize=256)
def _parsed(formula: str) -> Node:
    if len(formula) > MOST_CHARACTERS:
        raise ValueError(f"a formula of {len(formula)} characters, expected at most {MOST_CHARACTERS}")
    try:
        tree = ast.parse(formula.strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError, OverflowError) as err:
        reason = err.msg if isinstance(err, SyntaxError) else type(err).__name__
        raise ValueError(f"{shown(formula)} is no formula ({reason}): expected {MAY_HAVE}") from err
    return _read(tree.body, formula, MOST_DEPTH)


def _read(node: ast.expr, formula: str, depth: int) -> Node:
    """What a part of a formula is; whatever is not of the grammar raises ValueError."""
    if depth == 0:
        raise ValueError(f"{shown(formula)}: more than {MOST_DEPTH} things within one another")

    def refused(why: str) -> ValueError:
        part = ast.get_source_segment(formula.strip(), node) or formula
        return ValueError(f"{shown(part)} {why}: expected {MAY_HAVE}")

    def all_of(parts: Sequence[ast.expr]) -> list[Node]:
        return [_read(part, formula, depth - 1) for part in parts]

    match node:
        case ast.Constant(value=str(name)):
            return name
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            try:
                value = float(number)
            except OverflowError:
                value = math.inf
            if not math.isfinite(value):
                raise refused("is no finite number")
            return value
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)], all_of([left, right])
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)], all_of([operand])
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in FUNCTIONS:
            count, made = FUNCTIONS[name]
            if len(args) != count:
                raise refused(f"has {len(args)} values, {name} takes {count}")
            return made, all_of(args)
        case ast.Attribute():
            return _name(node, refused)
    raise refused("is nothing that a formula may have")


def _name(node: ast.expr, refused: Callable[[str], ValueError]) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            return f"{_name(value, refused)}.{attr}"
    raise refused("is no canonical name of a band")
