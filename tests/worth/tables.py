"""Features of no dataset, for what is told of numbers alone."""

from __future__ import annotations

import numpy as np

from curation.worth.features.table import Features


def features(values, places=None, *, seasons=None, bands=None, fractions=None, name="made", **columns) -> Features:
    """A table of some vectors (n, D): each its own place where `places` (numbers) does not say otherwise."""
    values = np.asarray(values, np.float32)
    n = len(values)
    places = np.arange(n) if places is None else np.asarray(places)
    return Features(
        name,
        "0" * 64,
        keys=np.asarray([f"p{p}" for p in places], np.str_),
        places=np.asarray([f"p{p}" for p in places], np.str_),
        splits=np.asarray(["train"] * n, np.str_),
        seasons=np.asarray(["summer"] * n if seasons is None else seasons, np.str_),
        lon=np.linspace(0, 10, n),
        lat=np.zeros(n),
        values=values,
        names=tuple(f"v{i}" for i in range(values.shape[1])),
        regions=np.asarray(["r"] * n, np.str_),
        columns={c: np.asarray(v, np.str_) for c, v in columns.items()},
        bands={b: np.asarray(v, np.float32) for b, v in (bands or {}).items()},
        fractions={b: np.asarray(v, np.float32) for b, v in (fractions or {}).items()},
    )
