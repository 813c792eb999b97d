import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.stream.plan import deal, epoch_order, steps

SHARDS = st.lists(st.integers(0, 9), max_size=8)


@given(SHARDS, st.booleans(), st.integers(0, 5), st.integers(0, 5), st.none() | st.integers(1, 4))
def test_an_epochs_order_holds_each_sample_once_and_is_the_same_each_time(shards, shuffle, seed, epoch, mix):
    def order():
        return epoch_order(shards, shuffle=shuffle, seed=seed, epoch=epoch, mix_shards=mix)

    assert sorted(order()) == list(range(sum(shards)))
    assert np.array_equal(order(), order())
    if not shuffle:
        assert np.array_equal(order(), np.arange(sum(shards)))


@given(st.integers(0, 60), st.integers(1, 7), st.integers(0, 5))
def test_ranks_and_workers_share_out_every_position_and_pads_only_fill_the_last_step(n, ranks, workers):
    once, pads = [], 0
    for rank in range(ranks):
        parts = [
            deal(n, rank=rank, world_size=ranks, worker=w, workers=max(workers, 1)) for w in range(max(workers, 1))
        ]
        assert sum(len(p) for p, _ in parts) == steps(n, world_size=ranks)
        for positions, is_pad in parts:
            positions, is_pad = positions[:, 0], is_pad[:, 0]
            assert np.all(is_pad[:-1] == False)  # noqa: E712 - elementwise
            once += positions[~is_pad].tolist()
            pads += int(is_pad.sum())
            assert set(positions.tolist()) <= set(range(n))
    assert sorted(once) == list(range(n))
    assert pads == -n % ranks


def test_seed_and_epoch_change_the_order():
    def order(seed, epoch):
        return epoch_order([50, 50], shuffle=True, seed=seed, epoch=epoch).tolist()

    assert len({tuple(order(s, e)) for s in range(3) for e in range(3)}) == 9


def test_the_order_is_the_one_that_the_format_spec_defines_for_ever():
    # Computed from shards/README.md with Python's own integers, not with the module.
    import struct

    import xxhash

    mask, keys = (1 << 64) - 1, []
    state = xxhash.xxh3_64_intdigest(b"samples" + struct.pack("<qq", 7, 3))
    for _ in range(20):
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        keys.append(z ^ (z >> 31))
    expected = sorted(range(20), key=keys.__getitem__)
    assert epoch_order([12, 8], shuffle=True, seed=7, epoch=3).tolist() == expected


def test_a_full_shuffle_is_uniform_over_places():
    places = np.zeros((8, 8), int)
    for epoch in range(2000):
        order = epoch_order([8], shuffle=True, seed=1, epoch=epoch)
        places[np.arange(8), order] += 1
    assert abs(places - 250).max() < 5 * np.sqrt(250)


def test_mix_shards_reads_from_so_many_shards_at_a_time_and_mixes_them():
    order = epoch_order([10] * 9, shuffle=True, seed=0, epoch=0, mix_shards=3)
    groups = [set((order[i : i + 30] // 10).tolist()) for i in (0, 30, 60)]
    assert all(len(g) == 3 for g in groups)
    assert set.union(*groups) == set(range(9))
    assert np.abs(np.diff(order[:30] // 10)).astype(bool).sum() > 10


@pytest.mark.parametrize(("mix", "independent"), [(None, 20_000), (1, 200), (16, 200)])
def test_rows_and_epochs_are_no_more_correlated_than_independent_draws(mix, independent):
    # Spearman's correlation of n independent ranks has deviation 1 / √(n - 1); with mix_shards only shards are drawn freely.
    for seed in range(5):
        orders = [epoch_order([100] * 200, shuffle=True, seed=seed, epoch=e, mix_shards=mix) for e in (0, 1)]
        at = [np.argsort(order) for order in orders]
        for one, other in ((np.arange(20_000), at[0]), (at[0], at[1])):
            assert abs(np.corrcoef(one, other)[0, 1]) < 5 / np.sqrt(independent - 1)
