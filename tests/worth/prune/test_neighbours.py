"""Who lies near whom: brute force over all pairs says the same, however small blocks are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.places.nearby import unit
from curation.worth.prune import neighbours


def angles(lon, lat):
    points = unit(lon, lat)
    return np.arccos(np.clip(points @ points.T, -1, 1)) * neighbours.RADIUS_M


@given(st.integers(0, 1000), st.sampled_from([1, 7, 1 << 20]), st.sampled_from([0.0, 179.99, -30.0]))
def test_near_pairs_are_those_of_brute_force_once_each(seed: int, block: int, around: float):
    rng = np.random.default_rng(seed)
    lon = (around + rng.normal(0, 0.05, 40) + 180) % 360 - 180
    lat = np.clip(rng.choice([0, 60, 89.95]) + rng.normal(0, 0.05, 40), -90, 90)
    found = [np.stack(p) for p in neighbours.near_pairs(lon, lat, 5000, block)]
    a, b = np.concatenate(found, axis=1)
    far = angles(lon, lat)
    want = np.argwhere(np.triu(far <= 5000, 1))
    edge = np.abs(far - 5000) < 0.5  # arccos is not sharp
    pairs = {(i, j) for i, j in zip(a.tolist(), b.tolist(), strict=True) if not edge[i, j]}
    assert pairs == {(i, j) for i, j in want.tolist() if not edge[i, j]}
    assert len(a) == len(set(zip(a.tolist(), b.tolist(), strict=True)))
    if block == 7:
        assert max(len(p[0]) for p in found) <= 40


def test_identical_rows_are_told_by_their_bytes_whatever_the_sign_of_zero():
    values = np.array([[1, 0], [1, -0.0], [1, 1e-30], [1, 0]], np.float32)
    assert neighbours.identical(values).tolist() == [0, 0, 2, 0]


def test_the_most_alike_elsewhere_is_that_of_brute_force(monkeypatch):
    monkeypatch.setattr(neighbours, "BLOCK_PAIRS", 300)  # several blocks
    rng = np.random.default_rng(1)
    lon, lat = rng.uniform(-180, 180, 200), rng.uniform(-80, 80, 200)
    lon[1], lat[1] = lon[0], lat[0] + 0.001
    values = rng.normal(size=(200, 6)).astype(np.float32)
    values[1] = values[0] + 0.001  # beside it
    values[2] = values[0]  # a copy of it far away
    found = neighbours.nearest_elsewhere(values, unit(lon, lat), np.arange(200), 1000)
    square = ((values[:, None].astype(float) - values[None]) ** 2).mean(axis=2)
    square[(angles(lon, lat) <= 1000) | (square == 0)] = np.inf
    assert found == pytest.approx(np.sqrt(square.min(axis=1)), rel=1e-6)


def test_columns_are_standardised_in_float64_and_what_is_missing_is_the_mean():
    rng = np.random.default_rng(0)
    values = rng.normal(1e4, 2, (5000, 3)).astype(np.float32)  # float32 sums would lose it
    values[:, 1] = 7
    values[10, 2] = np.nan
    out = neighbours.standardised(values, block=999)
    assert out[:, 0].mean(dtype=float) == pytest.approx(0, abs=1e-4)
    assert out[:, 0].std(dtype=float) == pytest.approx(1)
    assert not out[:, 1].any()
    assert out[10, 2] == 0


def test_components_keep_distances_where_all_are_kept_and_shorten_them_else():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(300, 8)).astype(np.float32) * np.array([9, 8, 7, 1, 1, 1, 1, 1], np.float32)
    few = neighbours.reduced(values, 3, block=100)
    whole, less = (((v[:50, None] - v[None, :50]) ** 2).sum(axis=2) for v in (values, few))
    assert few.shape == (300, 3)
    assert (less <= whole * (1 + 1e-4)).all()
    assert np.corrcoef(whole.ravel(), less.ravel())[0, 1] > 0.9
    assert neighbours.reduced(values, 8) is values
