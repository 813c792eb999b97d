"""What is on the ground: Jensen–Shannon divergence of the sides' label frequencies, and each label's share alone."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from curation.worth.distance.estimate import DistanceEstimate, Looks, finished, refusal, sized
from curation.worth.distance.measures import bands
from curation.worth.distance.pair import Pair


def estimates(pair: Pair, looks: Looks) -> Sequence[DistanceEstimate]:
    """Of a dataset with labels both; of one without nothing."""
    if not pair.fractions:
        return []
    units = dict.fromkeys(pair.fractions, "share of a patch")
    return [_divergence(pair, looks), *bands.of_values("label_w1", pair.fractions, pair, looks, units)]


def _divergence(pair: Pair, looks: Looks) -> DistanceEstimate:
    shares = np.stack(list(pair.fractions.values()))
    known: np.ndarray = np.all(np.isfinite(shares), 0)
    if len(np.unique(pair.is_b[known])) < 2:
        return replace(sized("label_js", pair, unit="bits"), refused="few_places: a side has no known labels")
    unit = np.unique(pair.unit[known], return_inverse=True)[1]
    part = Pair(pair.x[known], pair.is_b[known], unit, pair.median)
    its = sized("label_js", part, unit="bits")
    if why := refusal(part):
        return replace(its, refused=why)
    found, null = bands.of_draws(functools.partial(bands.divergence, shares[:, known]), part, looks, "label_js")
    done = finished(its, float(found[0]), found[1:], null, "bootstrap", least=0, most=1)
    bias = bands.plug_in_bias(int((shares[:, known].sum(1) > 0).sum()), *part.places())
    return replace(done, beside={"plug_in_bias": bias})
