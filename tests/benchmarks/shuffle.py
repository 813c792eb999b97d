"""How well an epoch is mixed: `python -m tests.benchmarks.shuffle`.

100,000 samples around the world's cities in 100 shards, in the packer's order (by a hash of the id) and, as the worst case
of a dataset that somebody else packed, in order of place. Of each way to shuffle, over five seeds:

place–time      Spearman's rank correlation of a sample's row and its position in the epoch (0: none)
epoch–epoch     the same between positions in two epochs
distance        mean great-circle distance of pairs in a batch of 256, ∕ that of random pairs (1: mixed, 0: one place)
zones           distinct UTM zones in a batch, ∕ those in as many random samples

Independent draws give a correlation below 2 ∕ √n = 0.006 in 95 of 100 cases, and ratios of 1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from curation.places import sampling
from curation.recipe import atlas
from curation.stream.plan import epoch_order

SAMPLES, SHARDS, BATCH, SEEDS = 100_000, 100, 256, 5
WAYS: tuple[tuple[str, bool, int | None], ...] = (
    ("not shuffled", False, None),
    ("mix_shards = 1", True, 1),
    ("mix_shards = 4", True, 4),
    ("mix_shards = 16", True, 16),
    ("shuffle", True, None),
)


def places() -> NDArray[np.float64]:
    """Degrees (lon, lat) of samples scattered by 0.3° around cities, in order of place."""
    rng = np.random.default_rng(0)
    known = np.column_stack(sampling.cities(len(atlas.cities())))
    found = known[rng.integers(len(known), size=SAMPLES)] + rng.normal(0, 0.3, (SAMPLES, 2))
    return found[np.lexsort((found[:, 1], np.floor(found[:, 0] / 6)))]


def distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Mean great-circle distance of pairs, in radians."""
    (lon_a, lat_a), (lon_b, lat_b) = np.radians(a).T, np.radians(b).T
    cos = np.sin(lat_a) * np.sin(lat_b) + np.cos(lat_a) * np.cos(lat_b) * np.cos(lon_a - lon_b)
    return float(np.arccos(cos.clip(-1, 1)).mean())


def in_batches(order: NDArray[np.int64], of: Callable[[NDArray[np.int64]], float]) -> float:
    """The mean of a figure over whole batches of an order."""
    whole = order[: order.size // BATCH * BATCH].reshape(-1, BATCH)
    return float(np.mean([of(rows) for rows in whole]))


def main() -> None:
    """Prints the table."""
    place = places()
    hashed = np.argsort([hashlib.sha256(str(i).encode()).digest() for i in range(SAMPLES)])
    print(
        f"{SAMPLES:,} samples in {SHARDS} shards, batches of {BATCH}, {SEEDS} seeds: mean (largest for correlations)\n"
    )
    print("| stored | read | place–time | epoch–epoch | distance | zones |\n|---|---|---|---|---|---|")
    for stored, where in (("by hash", place[hashed]), ("by place", place)):
        zone = np.floor((where[:, 0] + 180) / 6)

        def spread(rows: NDArray[np.int64], where: NDArray[np.float64] = where) -> float:
            return distance(where[rows[: BATCH // 2]], where[rows[BATCH // 2 :]])

        def zones(rows: NDArray[np.int64], zone: NDArray[np.float64] = zone) -> float:
            return float(np.unique(zone[rows]).size)

        random = np.random.default_rng(1).permutation(SAMPLES)
        spread_random, zones_random = in_batches(random, spread), in_batches(random, zones)
        for name, shuffle, mix in WAYS:
            rows = []
            for seed in range(SEEDS):
                first, second = (
                    epoch_order([SAMPLES // SHARDS] * SHARDS, shuffle=shuffle, seed=seed, epoch=e, mix_shards=mix)
                    for e in (0, 1)
                )
                at = [np.argsort(o) for o in (first, second)]
                rows.append(
                    [
                        abs(spearmanr(np.arange(SAMPLES), at[0]).statistic),
                        abs(spearmanr(*at).statistic),
                        in_batches(first, spread) / spread_random,
                        in_batches(first, zones) / zones_random,
                    ]
                )
            time, epoch, far, wide = np.array(rows).T
            print(
                f"| {stored} | {name} | {time.max():.3f} | {epoch.max():.3f} | {far.mean():.2f} ± {far.std():.2f} "
                f"| {wide.mean():.2f} ± {wide.std():.2f} |"
            )


if __name__ == "__main__":
    main()
