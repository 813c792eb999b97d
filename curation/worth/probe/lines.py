"""A comparison for a person, as lines, and for programs, as JSON. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from curation.errors.words import counted
from curation.worth.probe.compare import Comparison, EncoderScores
from curation.worth.probe.intervals import COVERAGE, ScoreDifference, ScoreEstimate

Table = Sequence[tuple[str, ...]]


def table(found: Comparison) -> Table:
    """A line per encoder and probe, those that somebody asks about first, the best of each first."""
    order = {"asked": 0, "baseline": 1, "control": 2}
    results = sorted(found.results, key=lambda r: (r.head != "linear", order[r.purpose], -r.main.value))
    others = list(found.results[0].scores)[1:]
    domains = list(dict.fromkeys(g.domain for r in found.results for g in r.groups))
    domains = [d for d in domains if any(r.worst(d) for r in results)]
    head = ("encoder", "is", "probe", found.main, *others, *(f"worst {d}" for d in domains))
    return [head, *(_line(r, others, domains) for r in results)]


def _line(its: EncoderScores, others: Sequence[str], domains: Sequence[str]) -> tuple[str, ...]:
    cells = [its.encoder, its.purpose, its.head, str(its.main)]
    for name in others:
        floor = f" (floor {its.ece_floor:.3f})" if name == "ECE" else ""
        cells.append(f"{its.scores[name].value:.3f}{floor}")
    for domain in domains:
        worst = its.worst(domain)
        cells.append(f"{worst.group} {worst.score.value:.3f} of {worst.places}" if worst else "")
    return tuple(cells)


def notes(found: Comparison) -> list[str]:
    """What is said beside the table."""
    fit = [a for a, _ in found.folds]
    out = [
        f"{found.task}: {counted(found.rows, 'row')} of {counted(found.places, 'place')} scored, in "
        f"{counted(len(found.folds), 'fold')}, each by a probe fitted on {min(fit)} to {max(fit)} other places; "
        f"{found.main} of who knows nothing: {found.chance:.3f}; intervals {COVERAGE:.0%}, over places",
    ]
    if found.unlabelled:
        out.append(f"{counted(found.unlabelled, 'row')} left out, of which it is not known")
    if found.untold:
        out.append(f"in no mean, since no row has them or all have: {', '.join(found.untold)}")
    out += [f"{p.head}: {p.encoder} above {p.other}: {difference(p.difference)}" for p in found.pairs]
    if len(found.pairs) > 1:
        out.append(f"{len(found.pairs)} comparisons, of which none is corrected for the others")
    out += [_far(r) for r in found.results if r.purpose == "asked"]
    return out


def _far(its: EncoderScores) -> str:
    bins = ", ".join(f"{d.low_km:.3g} to {d.high_km:.3g} km {d.error.value:.3f}" for d in its.by_distance)
    return f"{its.head}: error of {its.encoder} by distance to what was fitted: {bins}; rank correlation {its.distance_rho}"


def difference(its: ScoreDifference) -> str:
    """A difference with its interval, and what would have been seen."""
    seen = "" if its.is_seen else ": not seen"
    return f"{its.value:+.3f} ({its.low:+.3f} to {its.high:+.3f}){seen}; seen from {its.seen_from:.3f}"


def padded(rows: Table) -> list[str]:
    """The table with columns as wide as what is in them."""
    widths = [max(len(r[n]) for r in rows) for n in range(len(rows[0]))] if rows else []
    return ["  ".join(f"{cell:{w}}" for cell, w in zip(r, widths, strict=True)).rstrip() for r in rows]


def to_json(found: Comparison) -> dict[str, Any]:
    """All of it as plain JSON values, draws left out; what is not known is null."""
    value: dict[str, Any] = {
        n: getattr(found, n)
        for n in ("task", "form", "main", "class_names", "untold", "rows", "places", "unlabelled", "chance")
    }
    value["folds"] = [{"fitted_places": a, "scored_places": b} for a, b in found.folds]
    value["results"] = [_result(r) for r in found.results]
    value["pairs"] = [asdict(p) for p in found.pairs]
    plain: dict[str, Any] = _plain(value)
    return plain


def _result(its: EncoderScores) -> dict[str, Any]:
    out = {n: getattr(its, n) for n in ("encoder", "purpose", "digest", "features", "head", "ece_floor", "strengths")}
    out["scores"], out["of_classes"] = (_estimates(v) for v in (its.scores, its.of_classes))
    domains = dict.fromkeys(g.domain for g in its.groups)
    out["worst"] = {d: w.group for d in domains if (w := its.worst(d)) is not None}
    out["groups"], out["by_distance"] = ([asdict(g) for g in v] for v in (its.groups, its.by_distance))
    out["distance_rho"] = asdict(its.distance_rho)
    return out


def _estimates(of: Any) -> dict[str, Any]:
    return {name: asdict(e) for name, e in of.items() if isinstance(e, ScoreEstimate)}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value
