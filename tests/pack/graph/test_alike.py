"""Of many vectors nearly all neighbours are found, the same ones in whatever order, and none that does not count."""

import numpy as np
import pytest

from curation.pack.graph import alike, edges, released
from curation.pack.graph.edges import Rules
from tests.pack.graph.globe import simulated


def vectors(count: int, size: int, seed: int = 0) -> np.ndarray:
    """As embeddings are: many numbers that follow from few."""
    draw = np.random.default_rng(seed)
    few = draw.normal(size=(count, 6))
    out = np.tanh(few @ draw.normal(size=(6, size)) / 2) + 0.05 * draw.normal(size=(count, size))
    return out / np.linalg.norm(out, axis=1, keepdims=True)


def everybody(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.ones(len(one), bool)


def best(points: np.ndarray, k: int, counts: np.ndarray) -> set[tuple[int, int]]:
    """By comparing each with each."""
    far = ((points[:, None] - points) ** 2).sum(-1)
    far[~counts] = np.inf
    return {(n, int(m)) for n, row in enumerate(far) for m in np.argsort(row)[:k] if np.isfinite(row[m])}


def test_nearly_all_neighbours_are_found_with_their_distances_and_they_are_k_of_each(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(alike, "BLOCK", 200)
    points = vectors(1500, 32)
    one, other, far = alike.alike(points, 5, allowed=everybody)
    assert (np.bincount(one) == 5).all()
    assert (one != other).all()
    np.testing.assert_allclose(far, np.linalg.norm(points[one] - points[other], axis=1))
    found = set(zip(one.tolist(), other.tolist(), strict=True))
    assert len(found) == len(one)
    assert len(found & best(points, 5, ~np.eye(1500, dtype=bool))) > 0.85 * len(found)


def test_within_one_block_all_are_found_that_count():
    points = vectors(300, 20)
    group = np.arange(300) // 4
    one, other, _ = alike.alike(points, 3, allowed=lambda a, b: group[a] != group[b])
    assert set(zip(one.tolist(), other.tolist(), strict=True)) == best(points, 3, group[:, None] != group)
    assert alike.alike(points, 3, allowed=lambda a, b: a == b)[0].tolist() == [], "nobody counts"


def test_the_order_of_vectors_changes_no_neighbour(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(alike, "BLOCK", 100)
    points = vectors(700, 24)
    order = np.random.default_rng(1).permutation(700)
    one, other, _ = alike.alike(points, 4, allowed=everybody)
    again, others, _ = alike.alike(points[order], 4, allowed=everybody)
    assert set(zip(one.tolist(), other.tolist(), strict=True)) == set(
        zip(order[again].tolist(), order[others].tolist(), strict=True)
    )


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_have_few_neighbours(count: int):
    one, other, _ = alike.alike(vectors(count, 20), 4, allowed=everybody)
    assert list(zip(one.tolist(), other.tolist(), strict=True)) == ([(0, 1), (1, 0)] if count == 2 else [])


def test_edges_of_many_vectors_say_that_some_are_missed(monkeypatch: pytest.MonkeyPatch):
    found = simulated(400, seasons=1)
    found.vectors = {"embedding": vectors(400, 24).astype(np.float32)}
    its, none = released.ordered(found), (np.empty(0, np.int64),) * 2
    exact = edges.similar(its, Rules(like="embedding"), none)
    assert "missed" not in exact.rule
    monkeypatch.setattr(edges, "MOST_COMPARED", 300)
    same = edges.similar(its, Rules(like="embedding"), none)  # in one block
    assert "looked for in 6 divisions into blocks, so that some are missed" in same.rule
    np.testing.assert_array_equal(same.src, exact.src)
    np.testing.assert_array_equal(same.dst, exact.dst)
