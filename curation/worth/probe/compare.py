"""Encoders beside one another: probed on the same folds, scored on the same rows, with the same draws of places. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from curation.errors import ConfigError
from curation.places.grids import Floats, Ints
from curation.places.nearby import EARTH_RADIUS_KM, nearest
from curation.worth.probe import controls, heads, intervals, scores
from curation.worth.probe.folds import PlaceFold
from curation.worth.probe.heads import HeadName
from curation.worth.probe.intervals import ScoreDifference, ScoreEstimate
from curation.worth.probe.rows import Form, ProbedEncoder, ProbeRows, ProbeTask, Purpose

LEAST_PLACES = 10
"""A group with fewer is not looked at for the worst: its score says little."""
DISTANCES = 5
"""Bins of distance to what was fitted, with about as many rows each."""


@dataclass(frozen=True, slots=True)
class ProbeRules:
    """How encoders are compared."""

    heads: tuple[HeadName, ...] = ("linear", "knn")
    draws: int = 1000
    """Of places, for intervals."""
    seed: int = 0
    shuffle: bool = True
    """Whether each encoder that is asked about is probed with labels of other places, too."""


@dataclass(frozen=True, slots=True)
class GroupScore:
    """The main score on rows of one domain."""

    domain: str
    group: str
    places: int
    score: ScoreEstimate
    chance: float


@dataclass(frozen=True, slots=True)
class DistanceError:
    """The mean error of rows that lie so far from what was fitted for them."""

    low_km: float
    high_km: float
    places: int
    error: ScoreEstimate


@dataclass(frozen=True, slots=True)
class EncoderScores:
    """What one probe of one encoder came to."""

    encoder: str
    purpose: Purpose
    digest: str
    features: int
    head: HeadName
    scores: Mapping[str, ScoreEstimate]
    """By name, the main one first."""
    ece_floor: float | None
    """What a perfectly calibrated probe would have; None of numbers."""
    of_classes: Mapping[str, ScoreEstimate]
    """Average precision of each class that can be told; none of numbers."""
    strengths: tuple[float, ...]
    """Of a linear probe, that of each fold."""
    groups: tuple[GroupScore, ...]
    by_distance: tuple[DistanceError, ...]
    distance_rho: ScoreEstimate
    """Rank correlation of error and distance to what was fitted."""
    main_draws: Floats = field(repr=False)
    """The main score of each draw of places."""

    @property
    def main(self) -> ScoreEstimate:
        """The score by which encoders are compared."""
        return next(iter(self.scores.values()))

    def worst(self, domain: str) -> GroupScore | None:
        """The group of a domain with the lowest score; None where fewer than two have places enough."""
        its = [g for g in self.groups if g.domain == domain and g.places >= LEAST_PLACES and np.isfinite(g.score.value)]
        return min(its, key=lambda g: g.score.value) if len(its) > 1 else None


@dataclass(frozen=True, slots=True)
class PairedScores:
    """By how much the main score of one encoder is above that of another, by one kind of probe."""

    head: HeadName
    encoder: str
    other: str
    difference: ScoreDifference


@dataclass(frozen=True, slots=True)
class Comparison:
    """All encoders, by each probe."""

    task: str
    form: Form
    class_names: tuple[str, ...]
    untold: tuple[str, ...]
    """Classes that no row scored has, or all have: no mean has them."""
    rows: int
    """That are scored."""
    places: int
    folds: tuple[tuple[int, int], ...]
    """Places that are fitted on and scored, of each fold."""
    unlabelled: int
    """Rows that were left out, since of them it is not known."""
    chance: float
    results: tuple[EncoderScores, ...]
    pairs: tuple[PairedScores, ...]

    @property
    def main(self) -> str:
        """Name of the score by which encoders are compared."""
        return scores.MAIN[self.form]

    def of(self, encoder: str, head: HeadName) -> EncoderScores:
        """One probe of one encoder."""
        return next(r for r in self.results if (r.encoder, r.head) == (encoder, head))


def labelled(
    rows: ProbeRows, task: ProbeTask, encoders: Iterable[ProbedEncoder]
) -> tuple[ProbeRows, ProbeTask, list[ProbedEncoder]]:
    """Rows of which it is known what is asked, with their features.

    Raises:
        ConfigError: there are none, or features are of other rows.
    """
    encoders, known = list(encoders), task.is_known
    for its in encoders:
        if len(its.values) != len(rows):
            raise ConfigError(
                f"features {its.name}: got {len(its.values)} rows, expected {len(rows)}, one of each label's"
            )
    if not known.any():
        raise ConfigError(f"{task.name}: of {len(rows)} rows it is known of none; name other labels")
    taken = [ProbedEncoder(e.name, e.values[known], e.purpose, e.digest) for e in encoders]
    return rows.take(known), task.take(known), taken


def compared(
    rows: ProbeRows,
    task: ProbeTask,
    encoders: Sequence[ProbedEncoder],
    folds: Sequence[PlaceFold],
    rules: ProbeRules | None = None,
    unlabelled: int = 0,
) -> Comparison:
    """Each encoder by each probe, with intervals over places, and each that is asked about beside all others.

    Args:
        rows: as `labelled` gives them.
        task: likewise.
        encoders: likewise, names each once; the control that knows place and season alone is put beside them.
        folds: of these rows, each scored once at most.
        rules: how.
        unlabelled: rows that were left out before, to be told.

    Raises:
        ConfigError: two encoders have one name, or no class can be told.
    """
    rules = rules or ProbeRules()
    every = [*encoders, controls.metadata(rows, rules.seed)]
    names = [e.name for e in every]
    if twice := [n for n in names if names.count(n) > 1]:
        raise ConfigError(f"features {twice[0]}: two encoders are called so; give one of them another name")
    scored = np.concatenate([f.scored for f in folds])
    truth = task.values[scored]
    untold = scores.untold(truth, task.names) if task.form != "number" else []
    if task.form != "number" and len(untold) == len(task.names):
        raise ConfigError(
            f"{task.name}: of {len(scored)} rows scored all or none have each of {len(task.names)} classes: nothing is "
            "there to be told apart"
        )
    results = []
    for head, encoder in itertools.product(rules.heads, every):
        results.append(_scores(rows, task, task, encoder, head, folds, rules))
        if encoder.purpose == "asked" and rules.shuffle:
            other = ProbedEncoder(f"{encoder.name}, labels shuffled", encoder.values, "control", encoder.digest)
            results.append(_scores(rows, task, controls.shuffled(task, rows, rules.seed), other, head, folds, rules))
    return Comparison(
        task.name,
        task.form,
        task.names,
        tuple(untold),
        len(scored),
        len(np.unique(rows.places[scored])),
        tuple((len(np.unique(rows.places[f.fit])), len(np.unique(rows.places[f.scored]))) for f in folds),
        unlabelled,
        scores.chance(task.form, truth),
        tuple(results),
        tuple(_pairs(results)),
    )


def _pairs(results: Sequence[EncoderScores]) -> Iterable[PairedScores]:
    """Each encoder that is asked about with every other one of its probe, each pair once."""
    for a, b in itertools.permutations(results, 2):
        once = b.purpose != "asked" or results.index(a) < results.index(b)
        if a.purpose == "asked" and a.head == b.head and once:
            found = intervals.difference(a.main.value - b.main.value, a.main_draws - b.main_draws)
            yield PairedScores(a.head, a.encoder, b.encoder, found)


@dataclass(frozen=True, slots=True)
class _Scored:
    """What a probe said of all rows that are scored."""

    rows: ProbeRows
    predicted: Floats
    truth: Floats
    usual: Floats
    km: Floats
    """From each row to the nearest that was fitted on for it."""
    strengths: tuple[float, ...]


def _said(
    rows: ProbeRows,
    task: ProbeTask,
    learnt: ProbeTask,
    x: NDArray[np.floating],
    head: HeadName,
    folds: Sequence[PlaceFold],
) -> _Scored:
    """A probe of each fold, fitted on what is learnt, beside what is true."""
    found = [heads.fitted_and_asked(head, x, learnt, f) for f in folds]
    scored: Ints = np.concatenate([f.scored for f in folds])
    usual = [np.broadcast_to(learnt.values[f.fit].mean(axis=0), (len(f.scored), len(task.names))) for f in folds]
    lon, lat = rows.lon, rows.lat
    km = [EARTH_RADIUS_KM * nearest(lon[f.scored], lat[f.scored], lon[f.fit], lat[f.fit]) for f in folds]
    return _Scored(
        rows.take(scored),
        np.concatenate([f.predicted for f in found]),
        task.values[scored],
        np.concatenate(usual),
        np.concatenate(km),
        tuple(f.strength for f in found if f.strength is not None),
    )


def _scores(
    rows: ProbeRows,
    task: ProbeTask,
    learnt: ProbeTask,
    encoder: ProbedEncoder,
    head: HeadName,
    folds: Sequence[PlaceFold],
    rules: ProbeRules,
) -> EncoderScores:
    its, form = _said(rows, task, learnt, encoder.values, head, folds), task.form

    def statistic(w: Floats) -> dict[str, Floats]:
        return scores.of_rows(form, its.predicted, its.truth, w, its.usual)

    def of_class(w: Floats) -> dict[str, Floats]:
        return {"AP": scores.average_precisions(its.predicted, its.truth, w)}

    values = {name: float(v[0]) for name, v in statistic(_once(its.rows)).items()}
    draws = intervals.drawn(statistic, its.rows.places, rules.draws, rules.seed)
    estimates = {n: intervals.estimate(v, draws[n], reflected=n == "ECE") for n, v in values.items()}
    classes: dict[str, ScoreEstimate] = {}
    if form != "number":
        each, of_draws = (
            of_class(_once(its.rows))["AP"][0],
            intervals.drawn(of_class, its.rows.places, rules.draws, rules.seed),
        )
        columns = zip(task.names, each.tolist(), of_draws["AP"].T, strict=True)
        classes = {name: intervals.estimate(v, d) for name, v, d in columns if np.isfinite(v)}
    errors = scores.errors(form, its.predicted, its.truth)
    return EncoderScores(
        encoder.name,
        encoder.purpose,
        encoder.digest,
        encoder.values.shape[1],
        head,
        estimates,
        None if form == "number" else scores.ece_floor(form, its.predicted, its.rows.places, rules.seed),
        classes,
        its.strengths,
        tuple(_groups(its, form, rules)),
        tuple(_by_distance(its, errors, rules)),
        _rho(its, errors, rules),
        draws[scores.MAIN[form]],
    )


def _once(rows: ProbeRows) -> Floats:
    return np.ones((1, len(rows)))


def _groups(its: _Scored, form: Form, rules: ProbeRules) -> Iterable[GroupScore]:
    """The main score of each group of each domain, places drawn within it."""
    main = scores.MAIN[form]
    for domain, texts in {**its.rows.domains, "season": its.rows.seasons}.items():
        for group in np.unique(texts[texts != ""]).tolist():
            own = np.flatnonzero(texts == group)
            said, truth, usual = its.predicted[own], its.truth[own], its.usual[own]

            def statistic(
                w: Floats, said: Floats = said, truth: Floats = truth, usual: Floats = usual
            ) -> dict[str, Floats]:
                return {main: scores.of_rows(form, said, truth, w, usual)[main]}

            value = float(statistic(np.ones((1, len(own))))[main][0])
            draws = intervals.drawn(statistic, its.rows.places[own], rules.draws, rules.seed)[main]
            places, chance = len(np.unique(its.rows.places[own])), _chance(form, truth)
            yield GroupScore(domain, group, places, intervals.estimate(value, draws), chance)


def _chance(form: Form, truth: Floats) -> float:
    shares = truth.mean(axis=0)
    return scores.chance(form, truth) if form != "classes" or ((shares > 0) & (shares < 1)).any() else float("nan")


def _by_distance(its: _Scored, errors: Floats, rules: ProbeRules) -> Iterable[DistanceError]:
    edges = np.unique(np.quantile(its.km, np.linspace(0, 1, DISTANCES + 1)))
    bins = np.clip(np.searchsorted(edges, its.km, side="right") - 1, 0, max(len(edges) - 2, 0))
    for number in np.unique(bins).tolist():
        own = np.flatnonzero(bins == number)

        def statistic(w: Floats, own: Ints = own) -> dict[str, Floats]:
            return {"error": w @ errors[own] / w.sum(axis=1)}

        places = its.rows.places[own]
        draws = intervals.drawn(statistic, places, rules.draws, rules.seed)["error"]
        found = intervals.estimate(float(errors[own].mean()), draws)
        yield DistanceError(float(its.km[own].min()), float(its.km[own].max()), len(np.unique(places)), found)


def _rho(its: _Scored, errors: Floats, rules: ProbeRules) -> ScoreEstimate:
    """Spearman's correlation of errors and distances, of weighted rows."""
    a, b = (_ranks(v) for v in (errors, its.km))

    def statistic(w: Floats) -> dict[str, Floats]:
        share = w / w.sum(axis=1, keepdims=True)
        mean_a, mean_b = share @ a, share @ b
        # Of rows that are all alike these are 0, or by rounding a little less.
        spread_a, spread_b = (np.maximum(share @ v**2 - m**2, 0.0) for v, m in ((a, mean_a), (b, mean_b)))
        spread = np.sqrt(spread_a * spread_b)
        joint = share @ (a * b) - mean_a * mean_b
        return {"rho": np.where(spread > 1e-12, joint / np.maximum(spread, 1e-12), np.nan)}

    draws = intervals.drawn(statistic, its.rows.places, rules.draws, rules.seed)["rho"]
    return intervals.estimate(float(statistic(_once(its.rows))["rho"][0]), draws)


def _ranks(values: Floats) -> Floats:
    """Mean rank of each, centred, between -1 and 1."""
    _, of, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    rank = (last - (counts - 1) / 2 - 1)[of]
    out: Floats = 2 * rank / max(len(values) - 1, 1) - 1
    return out
