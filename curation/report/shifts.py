"""What packed samples say of a split: labels of its parts and domains beside one another, and scores by distance.

Where nobody gives scores a baseline stands in: how much of a sample's labels the nearest place that is learnt from has, too.
It reads no pixel, so that it shows what a map of labels alone would score there; how far that reaches, a buffer is for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from curation.errors import ConfigError
from curation.pack.domains.domain import BETWEEN
from curation.places.grids import Floats, Ints
from curation.places.nearby import EARTH_RADIUS_KM, unit
from curation.report import gap, shift
from curation.report.gap import AtDistance, MeanScore, Trend
from curation.report.keyed import ByKey
from curation.report.samples import Samples
from curation.report.shift import LabelWeights, ShiftPair

BASELINE = "labels of the nearest place that is learnt from (1 − total variation), a baseline without pixels"


@dataclass(frozen=True, slots=True)
class MatchedPart:
    """A part of train's domains, weighted so that its labels are those of a part that is of others."""

    part: str
    like: str
    keys: tuple[str, ...]
    its: LabelWeights


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores of samples that are not learnt from, by how far they lie from what is."""

    name: str
    is_baseline: bool
    by_part: dict[str, MeanScore]
    weighted: tuple[tuple[str, str, MeanScore], ...]
    """Part, whose labels it is weighted by, and its mean then."""
    at: dict[str, tuple[AtDistance, ...]]
    """Part → means by classes of distance."""
    trend: Trend | None
    """Over places of all these parts."""
    strange: int
    """Keys of the user's that are of no sample here."""
    passed_over: int
    """Rows of the user's without a number."""


@dataclass(frozen=True, slots=True)
class Shifts:
    """All of it."""

    label_names: tuple[str, ...]
    parts: dict[str, tuple[int, tuple[float, ...]]]
    """Part → places with labels, and mean shares of classes."""
    of_parts: tuple[ShiftPair, ...]
    domain: str | None
    of_domains: tuple[ShiftPair, ...]
    matched: tuple[MatchedPart, ...]
    scored: Scored | None

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "label_names": list(self.label_names),
            "labels": {
                p: {"places": n, "shares": dict(zip(self.label_names, of, strict=True))}
                for p, (n, of) in self.parts.items()
            },
            "divergence_of_parts": [_pair(p) for p in self.of_parts],
            "domain": self.domain,
            "divergence_of_domains": [_pair(p) for p in self.of_domains],
            "matched": [
                {
                    "part": m.part,
                    "like": m.like,
                    "effective_places": m.its.effective,
                    "left_bits": m.its.left_bits,
                    "unmatched_share": m.its.unmatched,
                    "weights": dict(zip(m.keys, m.its.weights.tolist(), strict=True)),
                }
                for m in self.matched
            ],
            "score": None if self.scored is None else dataclasses.asdict(self.scored),
            "seeds": {"chance": shift.SEED, "intervals": gap.SEED},
            "draws": {"chance": shift.DRAWS, "intervals": gap.DRAWS},
        }


def _pair(its: ShiftPair) -> dict[str, Any]:
    return dataclasses.asdict(its) | {"above_chance_bits": its.above_chance_bits}


def of(samples: Samples, own: ByKey | None) -> Shifts:
    """What samples say of their split, with scores of the user's, or the baseline.

    Raises:
        ConfigError: no key of the user's is of a sample that is judged.
    """
    known, rows = shift.shares(samples.labels)
    parts, ids = samples.parts[known], samples.ids[known]
    there = [p for p in samples.split.every if (parts == p).any()]
    by_part = {p: rows[parts == p] for p in there}
    texts = None if samples.domain is None else samples.domain[known]
    values = [] if texts is None else sorted({v for v in texts.tolist() if v and BETWEEN not in v})
    by_domain = {} if texts is None else {v: rows[texts == v] for v in values}
    matched = tuple(
        MatchedPart(part, like, tuple(ids[parts == part].tolist()), shift.matched(by_part[part], by_part[like]))
        for part, like in samples.split.held_against
        if part in by_part and like in by_part
    )
    return Shifts(
        samples.label_names,
        {p: (len(r), tuple(r.mean(axis=0).tolist())) for p, r in by_part.items()},
        tuple(shift.between(by_part)),
        samples.split.domain,
        tuple(shift.between(by_domain)),
        matched,
        _scored(samples, own, matched, (known, rows)),
    )


def _scored(
    samples: Samples, own: ByKey | None, matched: Sequence[MatchedPart], labels: tuple[Any, Floats]
) -> Scored | None:
    km, to = _nearest_learnt(samples)
    if own is None:
        scores, strange, passed_over = _baseline(to, *labels), 0, 0
    else:
        scores = np.full(len(samples.ids), np.nan)
        at = {key: k for k, key in enumerate(own.keys.tolist())}
        for row, name in enumerate(samples.ids.tolist()):
            if name in at:
                scores[row] = own.values[at[name], 0]
        strange, passed_over = len(at) - int(np.isfinite(scores).sum()), own.passed_over
    ok = np.isfinite(scores) & np.isfinite(km)
    judged = [p for p in samples.split.every if (ok & (samples.parts == p)).any()]
    if not judged:
        if own is None:
            return None
        judgeable = [p for p in samples.split.every if p not in samples.split.learnt]
        raise ConfigError(
            f"scores of {len(own.keys)} keys, such as {own.keys[:3].tolist()}: none is of a sample that is judged here; "
            f"expected ids of samples of {', '.join(judgeable) or 'folds'}, such as "
            f"{samples.ids[np.isfinite(km)][:3].tolist()}"
        )
    of_part = {p: ok & (samples.parts == p) for p in judged}
    number = {name: k for k, name in enumerate(samples.ids.tolist())}
    weighted = []
    for m in matched:
        at_rows = np.array([number[name] for name in m.keys], np.int64)
        has = ok[at_rows]
        if has.any():
            weighted.append((m.part, m.like, gap.mean(scores[at_rows[has]], m.its.weights[has])))
    return Scored(
        BASELINE if own is None else "score",
        own is None,
        {p: gap.mean(scores[rows]) for p, rows in of_part.items()},
        tuple(weighted),
        {p: tuple(gap.by_distance(km[rows], scores[rows])) for p, rows in of_part.items()},
        gap.trend(km[ok], scores[ok]),
        strange,
        passed_over,
    )


def _nearest_learnt(samples: Samples) -> tuple[Floats, Ints]:
    """Km from each sample to the nearest of another part that is learnt from, and which that is; NaN and -1 of none."""
    km, to = np.full(len(samples.ids), np.nan), np.full(len(samples.ids), -1, np.int64)
    xyz, learnt = unit(samples.lon, samples.lat), samples.split.learnt
    for part in dict.fromkeys(samples.parts.tolist()):
        others = np.flatnonzero(np.isin(samples.parts, [p for p in learnt if p != part]))
        if len(others) and (part not in learnt or len(learnt) > 1):
            mine = np.flatnonzero(samples.parts == part)
            chord, nearest = cKDTree(xyz[others]).query(xyz[mine])
            km[mine] = EARTH_RADIUS_KM * 2 * np.arcsin(np.minimum(chord / 2, 1.0))
            to[mine] = others[nearest]
    return km, to


def _baseline(to: Ints, known: Any, rows: Floats) -> Floats:
    """1 − total variation of each sample's labels and those of the place nearest to it; NaN where either has none."""
    shares = np.full((len(to), rows.shape[1]), np.nan)
    shares[known] = rows
    out: Floats = np.where(to >= 0, 1 - np.abs(shares - shares[np.maximum(to, 0)]).sum(axis=1) / 2, np.nan)
    return out


def in_words(its: Shifts) -> list[str]:
    """What is most of it, for a person: a line each."""
    out = []
    for m in its.matched:
        left = f", {m.its.unmatched:.0%} of whose labels it has none of" if m.its.unmatched > 0 else ""
        out.append(
            f"weighted to have the labels of {m.like}{left}, {m.part} tells as much as {m.its.effective:.0f} of its "
            f"{len(m.keys)} places; {m.its.left_bits:.3f} bits of divergence are left. Weights are in the file "
            "beside this page"
        )
    if (scored := its.scored) is not None:
        means: Mapping[str, MeanScore] = scored.by_part | {f"{p} as {like}": mean for p, like, mean in scored.weighted}
        means_in_words = "; ".join(
            f"{p} {m.value:.3f} ({m.low:.3f} to {m.high:.3f}, {m.places} places)" for p, m in means.items()
        )
        out.append(f"{scored.name}: {means_in_words}")
        if (t := scored.trend) is not None:
            out.append(
                f"rank correlation with distance {t.rank_correlation:.2f} ({t.low:.2f} to {t.high:.2f}; by chance p = "
                f"{t.p:.3f})"
            )
        if scored.strange or scored.passed_over:
            out.append(
                f"{scored.strange} keys of scores are of no sample that is here, {scored.passed_over} rows have no number: "
                "they are passed over"
            )
    return out
