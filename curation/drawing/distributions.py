"""The report's charts: what was measured of a dataset, as numbers handed to `charts`."""

from __future__ import annotations

import datetime as dt
import hashlib
import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from curation import shards, shift
from curation.backscatter import decibels
from curation.drawing import charts, palette
from curation.drawing.charts import Share
from curation.drawing.survey import Measured, Survey
from curation.locate.split import TRAIN
from curation.model import PENDING, STATIC, counted
from curation.sources import ArraySpec, SourceSpec

HISTOGRAM_PATCHES = 32
"""Train patches per season whose pixels are read for the histograms of bands."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart, and what is said of it."""

    title: str
    note: str
    svg: Markup


def outcomes(survey: Survey) -> Chart:
    """Patches by outcome, a bar per region and season."""
    counts = survey.counts()
    reasons = sorted({r for c in counts.values() for r in c} - {"ok", PENDING})
    bad = [r for r in reasons if not r.startswith("failed")]
    colours = {"ok": palette.OUTCOMES["complete"]}
    colours |= {r: palette.REJECTS[n % len(palette.REJECTS)] for n, r in enumerate(bad)}
    colours |= {r: palette.OUTCOMES["failed"] for r in reasons if r.startswith("failed")}
    colours |= {PENDING: palette.OUTCOMES["pending"]}
    used = {r: c for r, c in colours.items() if any(found.get(r) for found in counts.values())}
    order = {s: n for n, s in enumerate([STATIC, *survey.dataset.season_names()])}
    rows = {f"{r} / {s}": counts[r, s] for r, s in sorted(counts, key=lambda k: (k[0], order[k[1]]))}
    alt = "Patches by outcome. " + "; ".join(
        f"{name}: " + ", ".join(f"{k} {v}" for k, v in sorted(c.items())) for name, c in rows.items()
    )
    svg = charts.stacked_bars(rows, used, "outcomes", alt, "patches")
    return Chart("Patches by outcome", "", Markup(svg + legend(used)))


def legend(colours: dict[str, str]) -> str:
    """A legend as HTML: a swatch and a name each."""
    entries = "".join(
        f'<li><span class="swatch" style="background:{c}"></span>{html.escape(n)}</li>' for n, c in colours.items()
    )
    return f'<ul class="legend">{entries}</ul>'


def label_charts(survey: Survey) -> list[Chart]:
    """How common each label is, annual and per season, the unknown apart; and which occur together."""
    names = shards.label_names(survey.dataset)
    rules = survey.dataset.recipe.labels
    out: list[Chart] = []
    together: dict[str, list[list[int]]] = {}
    for season in [STATIC, *survey.dataset.season_names()]:
        source = rules.annual if season == STATIC else rules.seasonal
        mine = list(survey.measured(season))
        if source is None or not mine:
            continue
        vectors = [survey.multi_hot(m.facts, season) for m in mine]
        known = [v for v in vectors if v is not None]
        counts = np.sum(known, axis=0, dtype=int).tolist() if known else [0] * len(names)
        shares = [Share(n, c) for n, c in zip(names, counts, strict=True)]
        title = "annual" if season == STATIC else season
        unknown = len(vectors) - len(known)
        alt = f"Labels, {title}, of {counted(len(known), 'patch')}: " + ", ".join(
            f"{s.name} {s.present}" for s in shares
        )
        svg = charts.label_bars(title, shares, len(known), unknown, f"labels-{season}", f"{alt}; unknown {unknown}")
        out.append(Chart(title, survey.dataset.specs[source].title, Markup(svg)))
        together.setdefault("annual" if season == STATIC else "all seasons", []).extend(known)
    for title, known in together.items():
        if known:
            hot = np.asarray(known, np.int64)
            pairs = hot.T @ hot
            alt = f"How many patches have both of two labels, {title}: " + "; ".join(
                f"{names[i]} with {names[j]} {pairs[i, j]}" for i in range(len(names)) for j in range(i) if pairs[i, j]
            )
            svg = charts.cooccurrence(f"together, {title}", pairs, names, f"pairs-{title.replace(' ', '-')}", alt)
            out.append(Chart(f"together, {title}", "", Markup(svg)))
    return out


def bands(survey: Survey) -> Chart | None:
    """Histograms of each band over train patches."""
    panels: dict[str, dict[str, list[Any]]] = {}
    units: dict[str, str] = {}
    used = 0
    colours = palette.seasons(survey.dataset.season_names()) | {STATIC: palette.UNTIMED}
    for season in [*survey.dataset.season_names(), STATIC]:
        train = [m for m in survey.measured(season) if m.location.split == TRAIN]
        train.sort(key=lambda m: hashlib.sha256(m.location.id.encode()).digest())
        used += len(train[:HISTOGRAM_PATCHES])
        for m in train[:HISTOGRAM_PATCHES]:
            for name, (spec, array) in m.cube.cube.arrays.items():
                if array.role != "data" or name not in m.outcome.chunks:
                    continue
                pixels = survey.pixels(m.cube, name, m.location.id)
                if pixels is None:
                    continue
                for band, plane in zip(array.bands, pixels, strict=True):
                    values = _values(plane, spec, array)
                    if values.size:
                        panels.setdefault(f"{spec.name} {band}", {}).setdefault(season, []).append(values)
                        units[f"{spec.name} {band}"] = "dB" if spec.radar else array.unit
    if not panels:
        return None
    joined = {b: {s: np.concatenate(v) for s, v in by.items()} for b, by in panels.items()}
    alt = "Histograms over train. Means: " + ", ".join(
        f"{b} {np.concatenate(list(v.values())).mean():.4g}" for b, v in joined.items()
    )
    svg = charts.histograms(joined, colours, "bands", alt, units=units)
    told = {s: colours[s] for s in [*survey.dataset.season_names(), STATIC] if any(s in by for by in joined.values())}
    note = (
        f"Pixels of {used} train patches, at most {HISTOGRAM_PATCHES} a season; axes end at the 0.5th and 98th percentile, "
        "each curve has its own scale."
    )
    return Chart("Bands", note, Markup(svg + legend(told)))


def _values(plane: Any, spec: SourceSpec, array: ArraySpec) -> Any:
    """Valid pixels, thinned to at most some 4,000 a patch."""
    step = max(plane.shape[-1] // 64, 1)
    thin = plane[::step, ::step]
    valid = thin[thin != array.nodata].astype(np.float64)
    return decibels(valid, array.nodata) if spec.radar else valid


def quality(survey: Survey) -> list[Chart]:
    """Clear fractions and time gaps, with the recipe's limits; measured shifts where they say something."""
    out = []
    rules = survey.dataset.recipe.quality
    for spec in survey.dataset.specs.values():
        if spec.pick == "clearest":
            limits = (rules.min_clear,)
            low = min(
                [
                    rules.min_clear,
                    *(float(m.facts[f"{spec.name}_clear_fraction"]) for m in _with(survey, spec, "clear_fraction")),
                ]
            )
            out += _histogram(
                survey, spec, "clear_fraction", "Clear", "share of clear pixels", limits, (min(low, 0.999), 1.0)
            )
        if spec.pick == "nearest":
            reach = rules.max_gap_days
            label = f"days from the {spec.goes_with} scene"
            out += _histogram(survey, spec, "gap_days", "Gap", label, (-reach, reach), (-reach * 1.05, reach * 1.05))
            out += _shift(survey, spec)
    return out


def _with(survey: Survey, spec: SourceSpec, fact: str) -> list[Measured]:
    """Ok patches of which a fact is known."""
    return [m for m in survey.measured() if m.facts.get(f"{spec.name}_{fact}") is not None]


def _by_season(found: Sequence[Measured], survey: Survey, value: Callable[[Measured], Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for season in survey.dataset.season_names():
        mine = [value(m) for m in found if m.cube.cube.season == season]
        if mine:
            out[season] = np.asarray(mine, np.float64)
    return out


def _histogram(
    survey: Survey,
    spec: SourceSpec,
    fact: str,
    title: str,
    label: str,
    limits: tuple[float, ...],
    span: tuple[float, float],
) -> list[Chart]:
    found = _with(survey, spec, fact)
    if not found:
        return []
    by = _by_season(found, survey, lambda m: m.facts[f"{spec.name}_{fact}"])
    colours = palette.seasons(survey.dataset.season_names())
    alt = f"{title} of {spec.name}, {label}: " + ", ".join(f"{s} median {np.median(v):.3g}" for s, v in by.items())
    svg = charts.histogram(
        by, colours, f"{fact}-{spec.name}".replace("_", "-"), alt, label=label, limits=limits, span=span
    )
    told = legend({s: colours[s] for s in by})
    return [Chart(f"{title}: {spec.name}", "Dashed: the recipe's limit.", Markup(svg + told))]


def _shift(survey: Survey, spec: SourceSpec) -> list[Chart]:
    found = _with(survey, spec, "shift_peak")
    if not found:
        return []
    s = spec.name
    level = found[0].cube.cube.dataset
    measured = level.shift_arrays(s)
    if measured is None:
        return []
    _, name, array = measured
    least = shift.least_peak(array.px(level.recipe.grid.size))
    sharp = [m for m in found if m.facts[f"{s}_shift_peak"] >= least]
    note = (
        f"In pixels of {name}. {len(sharp)} of {len(found)} measurements have a peak of at least {least:.2f}, which fewer "
        f"than {shift.FALSE_ACCEPTS:.0%} of unrelated pairs have; the others say little."
    )
    if not sharp:
        return [Chart(f"Shift: {s} against {spec.goes_with}", note + " None is drawn.", Markup(""))]
    xy = _by_season(sharp, survey, lambda m: (m.facts[f"{s}_shift_x_px"], m.facts[f"{s}_shift_y_px"]))
    by = {season: (v[:, 0], v[:, 1]) for season, v in xy.items()}
    every = np.concatenate(list(xy.values()))
    median = np.median(np.hypot(*every.T))
    colours = palette.seasons(survey.dataset.season_names())
    alt = f"Shift of {s} against {spec.goes_with}: median length {median:.2f} px ({name}) of {counted(len(sharp), 'patch')}"
    reach = max(1.5, float(np.abs(every).max()) * 1.08)
    unit = "px" if array.res_m is None else f"{array.told} px"
    svg = charts.shifts(by, colours, f"shift-{s}", alt, reach=reach, unit=unit)
    note += f" Median length {median:.2f} px; rings at 0.5 and 1 px."
    return [Chart(f"Shift: {s} against {spec.goes_with}", note, Markup(svg + legend({k: colours[k] for k in by})))]


def dates(survey: Survey) -> Chart | None:
    """When the scenes were taken, within each season's window."""
    times: dict[tuple[str, str], list[dt.datetime]] = {}
    for season in survey.dataset.season_names():
        for spec in survey.dataset.sources(season):
            known = [m.facts.get(f"{spec.name}_time") for m in survey.measured(season)]
            found = [dt.datetime.fromtimestamp(t, dt.UTC) for t in known if t is not None]
            if found and spec.pick != "same-acquisition":
                times[season, spec.name] = found
    if not times:
        return None
    windows = {s: survey.dataset.recipe.season(s) for s, _ in times}
    colours = palette.seasons(survey.dataset.season_names())
    alt = "Acquisition dates. " + "; ".join(
        f"{season} {source}: {counted(len(t), 'patch')}, {min(t):%Y-%m-%d} to {max(t):%Y-%m-%d}"
        for (season, source), t in times.items()
    )
    svg = charts.timeline({k: (w.start, w.end) for k, w in windows.items()}, times, colours, "dates", alt)
    return Chart("Acquisition dates", "A bar per day; the season's window is shaded.", Markup(svg))
