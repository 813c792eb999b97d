"""How much of a product, and how many examples of a property, the fast tests try; `make test-slow` tries all."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest
from hypothesis import settings

FEW, FAST, THOROUGH = 5, 25, 100
"""Of a property that says nothing of its own, by profile of hypothesis: `few`, where another pass tries more; `curation`, by
default; and `thorough`, which `make test-slow` and `tests/mutants` choose."""


def examples(thorough: int) -> int:
    """So many in the thorough profile, the same share of them as of others in the fast one."""
    return max(thorough * settings().max_examples // THOROUGH, 1)


def fast(chosen: Collection[Any], every: Iterable[Any]) -> list[Any]:
    """Every value, those that are not chosen marked slow. Values that are tuples are of several arguments."""
    return [v if v in chosen else _slow(v) for v in every]


def crossed(first: Iterable[Any], second: Collection[Any]) -> list[Any]:
    """Every pair; fast are as many as there are of the first, each of which meets one of the second, in turn."""
    second = list(second)
    return [
        (a, b) if j == i % len(second) else _slow((a, b)) for i, a in enumerate(first) for j, b in enumerate(second)
    ]


def in_turn(first: Iterable[Any], second: Collection[Any]) -> list[tuple[Any, Any]]:
    """Of every pair as many as there are of the first, each of which meets one of the second, in turn: all say no more."""
    second = list(second)
    return [(a, second[i % len(second)]) for i, a in enumerate(first)]


def _slow(value: Any) -> Any:
    return pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=pytest.mark.slow)
