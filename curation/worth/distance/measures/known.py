"""The measures that there are: each a file here that gives estimates of a pair."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from curation.worth.distance.estimate import DistanceEstimate, Looks
from curation.worth.distance.measures import bands, classifier, coverage, energy, frechet, kid, labels, mmd, sliced
from curation.worth.distance.pair import Pair

MEASURES: Mapping[str, Callable[[Pair, Looks], Sequence[DistanceEstimate]]] = {
    "auc": classifier.estimates,
    "mmd": mmd.estimates,
    "kid": kid.estimates,
    "energy": energy.estimates,
    "frechet": frechet.estimates,
    "sliced": sliced.estimates,
    "coverage": coverage.estimates,
    "bands": bands.estimates,
    "labels": labels.estimates,
}
"""By the name that `--measures` has; in the order in which they are printed."""

DIRECTED = ("density", "coverage", "duplicates")
"""Numbers that are of A by B, and others of B by A: a heat map has them once, A by its rows."""

TITLES: Mapping[str, str] = {
    "auc": "domain classifier, AUC on places not seen (0.5: cannot be told apart)",
    "mmd": "MMD², Gaussian kernels of five widths, unbiased",
    "kid": "KID, cubic kernel, unbiased",
    "energy": "energy distance, unbiased",
    "frechet": "Fréchet distance, n → ∞",
    "sliced": "sliced Wasserstein distance of order 2",
    "density": "density of B where A is (1: alike)",
    "coverage": "share of A's patches with one of B beside them",
    "duplicates": "share of B's patches that are there twice, less A's",
    "band_w1": "Wasserstein distance of a band's means",
    "band_js": "Jensen-Shannon divergence of a band's means, bits",
    "label_js": "Jensen-Shannon divergence of label frequencies, bits",
    "label_w1": "Wasserstein distance of a label's shares",
}
"""Of each number that a measure gives, for a person."""
