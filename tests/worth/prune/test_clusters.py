"""How many of each group stay, and which groups there are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.worth.prune import clusters


@given(st.lists(st.integers(0, 50), max_size=12), st.integers(0, 400))
def test_quotas_are_as_even_as_the_groups_allow(sizes: list[int], total: int):
    found = clusters.quotas(np.array(sizes, np.int64), total)
    assert found.sum() == min(total, sum(sizes))
    assert (found <= sizes).all()
    assert (found >= 0).all()
    cut = [q for q, n in zip(found.tolist(), sizes, strict=True) if q < n]
    assert not cut or (max(cut) - min(cut) <= 1 and found.max() <= max(cut) + 1)


def test_of_each_group_the_first_of_the_mix_stay_whatever_order_rows_come_in():
    rng = np.random.default_rng(0)
    group, mixed = np.repeat([5, 9, 2], [10, 2, 30]), rng.permutation(42)
    stay = clusters.chosen(group, mixed, 12)
    assert [(group[stay] == g).sum() for g in (5, 9, 2)] == [5, 2, 5]
    assert set(mixed[stay][group[stay] == 2]) == set(np.sort(mixed[group == 2])[:5])
    order = rng.permutation(42)
    assert set(order[clusters.chosen(group[order], mixed[order], 12)]) == set(stay)


def test_clusters_that_lie_apart_are_found():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 5, 1000)
    values = (20 * np.eye(5)[truth] + rng.normal(size=(1000, 5))).astype(np.float32)
    which, far = clusters.clusters(values, 5, seed=1)
    assert len({(t, w) for t, w in zip(truth.tolist(), which.tolist(), strict=True)}) == 5
    assert far == pytest.approx(1, abs=1)
    assert np.array_equal(which, clusters.clusters(values, 5, seed=1)[0])
    assert set(clusters.clusters(values[:1], 5, seed=1)[0]) == {0}
