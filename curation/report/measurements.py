"""What was measured of a dataset: numbers for the report's tables, and handed to `charts`."""

from __future__ import annotations

import datetime as dt
import hashlib
import html
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from curation.errors.words import counted
from curation.format.index import Index
from curation.model import STATIC
from curation.outcomes import PENDING
from curation.pack import meta
from curation.pack.sides import TRAIN
from curation.read import shift
from curation.recipe.arrays import ArraySpec
from curation.recipe.facts import FILL
from curation.recipe.masked import MaskedSource
from curation.recipe.sources import SourceSpec
from curation.report import charts, palette
from curation.report.survey import Measured, Survey

HISTOGRAM_STEPS = 4
"""Of a patch with a time axis, whose pixels a histogram counts."""

HISTOGRAM_PATCHES = 32
"""Train patches per season whose pixels are read for the histograms of bands."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart, and what is said of it."""

    title: str
    note: str
    svg: Markup


@dataclass(frozen=True, slots=True)
class Bar:
    """The patches of one region and season."""

    name: str
    total: int
    parts: tuple[tuple[str, str, int], ...]
    """Outcome, colour and patches, those that there are."""


def outcomes(survey: Survey) -> tuple[list[Bar], dict[str, str]]:
    """Patches by outcome, a bar per region and season; and the colour of each outcome that occurs."""
    counts = survey.counts()
    reasons = sorted({r for c in counts.values() for r in c} - {"ok", PENDING})
    bad = [r for r in reasons if not r.startswith("failed")]
    colours = {"ok": palette.OUTCOMES["complete"]}
    colours |= {r: palette.REJECTS[n % len(palette.REJECTS)] for n, r in enumerate(bad)}
    colours |= {r: palette.OUTCOMES["failed"] for r in reasons if r.startswith("failed")}
    colours |= {PENDING: palette.OUTCOMES["pending"]}
    order = {s: n for n, s in enumerate([STATIC, *survey.dataset.season_names()])}
    bars = []
    for region, season in sorted(counts, key=lambda k: (k[0], order[k[1]])):
        its = counts[region, season]
        parts = tuple((r, c, its[r]) for r, c in colours.items() if its[r])
        bars.append(Bar(f"{region} / {season}", its.total(), parts))
    return bars, {r: c for r, c in colours.items() if any(c[r] for c in counts.values())}


def legend(colours: dict[str, str]) -> str:
    """A legend as HTML: a swatch and a name each."""
    entries = "".join(
        f'<li><span class="swatch" style="background:{c}"></span>{html.escape(n)}</li>' for n, c in colours.items()
    )
    return f'<ul class="legend">{entries}</ul>'


@dataclass(frozen=True, slots=True)
class Labelled:
    """How common each label is in one season, or in the whole period."""

    title: str
    source: str
    """Title of what the labels are from."""
    known: int
    """Patches whose labels are known."""
    unknown: int
    stated: int
    """Of the known ones those that a file states, without shares of the ground."""
    counts: tuple[int, ...]
    """Of the known ones those that have each label, in the order of the label names."""


def labels(survey: Survey) -> list[Labelled]:
    """How common each label is, annual and per season, the unknown apart."""
    rules = survey.dataset.recipe.labels
    out = []
    for season in [STATIC, *survey.dataset.season_names()]:
        source = rules.annual if season == STATIC else rules.seasonal
        mine = list(survey.measured(season))
        if source is None or not mine:
            continue
        found = [survey.labels(m.facts, season) for m in mine]
        known = [its.multi_hot for its in found if its is not None and its.multi_hot is not None]
        stated = sum(its is not None and its.fractions is None for its in found)
        counts = np.sum(known, axis=0, dtype=int).tolist() if known else [0] * len(meta.label_names(survey.dataset))
        title = "annual" if season == STATIC else season
        of_file = survey.imported if survey.imported and survey.imported.of_season(season) else None
        its = f"{survey.dataset.specs[source].title}{f' from {of_file.record.file}' if of_file else ''}"
        out.append(Labelled(title, its, len(known), len(found) - len(known), stated, tuple(counts)))
    return out


@dataclass(frozen=True, slots=True)
class RefinedLabels:
    """What packing counted of labels that are refined from two maps."""

    name: str
    """Of the annotation."""
    annual: str
    """Title of the map of the year."""
    seasonal: str
    """Title of the maps by season."""
    confusion: tuple[tuple[str, tuple[float, ...], float], ...]
    """Label, how its pixels of the annual map are shared out among the seasons' labels, and their share of all pixels."""
    changed: tuple[tuple[str, dict[str, int]], ...]
    """Label → patches: that the annual map or the season's says have it, refined, added, removed, unknown."""


def refined_labels(survey: Survey, index: Index | None) -> list[RefinedLabels]:
    """Per annotation that refined labels, how its maps differ and what it changed; none where nothing is packed."""
    rules, specs = survey.dataset.recipe.labels, survey.dataset.specs
    out = []
    for name, counts in (index.counts.get("annotations", {}) if index else {}).items():
        if "confusion" not in counts or rules.annual not in specs or rules.seasonal not in specs:
            continue
        names = [n.replace("_", " ") for n in index.label_names] if index else []
        pixels = np.asarray(counts["confusion"], np.float64)
        rows = pixels.sum(axis=1)
        shares = pixels / np.maximum(rows, 1)[:, None]
        total = max(float(rows.sum()), 1.0)
        confused = [(n, tuple(s.tolist()), float(r) / total) for n, s, r in zip(names, shares, rows, strict=True)]
        keys = ("known", "annual", "seasonal", "refined", "added", "removed", "unknown")
        changed = [(n, {k: int(counts[k][i]) for k in keys}) for i, n in enumerate(names)]
        titles = specs[rules.annual].title, specs[rules.seasonal].title
        out.append(RefinedLabels(name, *titles, tuple(confused), tuple(changed)))
    return out


@dataclass(frozen=True, slots=True)
class Bands:
    """Histograms of bands, and what is said of them."""

    charts: tuple[Chart, ...]
    note: str
    legend: Markup


def bands(survey: Survey) -> Bands | None:
    """Histograms of each band over train patches."""
    panels: dict[str, dict[str, list[Any]]] = {}
    units: dict[str, str] = {}
    used = 0
    colours = palette.seasons(survey.dataset.season_names()) | {STATIC: palette.UNTIMED}
    for season in [*survey.dataset.season_names(), STATIC]:
        train = [m for m in survey.measured(season) if survey.split.of(m.location) == TRAIN]
        train.sort(key=lambda m: hashlib.sha256(m.location.id.encode()).digest())
        used += len(train[:HISTOGRAM_PATCHES])
        for m in train[:HISTOGRAM_PATCHES]:
            for name, (spec, array) in m.cube.cube.arrays.items():
                if not array.is_data or name not in m.outcome.chunks:
                    continue
                for step in _steps(spec, m):
                    pixels = survey.pixels(m.cube, name, m.location.id, step)
                    for band, plane in zip(array.bands, () if pixels is None else pixels, strict=pixels is not None):
                        values = _values(plane, spec, array)
                        if values.size:
                            panels.setdefault(f"{spec.name} {band}", {}).setdefault(season, []).append(values)
                            units[f"{spec.name} {band}"] = spec.kind.unit(array)
    if not panels:
        return None
    joined = {b: {s: np.concatenate(v) for s, v in by.items()} for b, by in panels.items()}
    drawn = []
    for n, (band, by_season) in enumerate(joined.items()):
        means = ", ".join(f"{season} {values.mean():.4g}" for season, values in by_season.items())
        alt = f"Histogram of {band} over train, in {units[band]}; means: {means}"
        svg = charts.curves(by_season, colours, f"band-{n}", alt, unit=units[band])
        drawn.append(Chart(band, "", Markup(svg)))
    shown = {s: c for s, c in colours.items() if any(s in by for by in joined.values())}
    note = (
        f"Pixels of {used} train patches, at most {HISTOGRAM_PATCHES} a season; axes end at the 0.5th and 98th percentile, "
        "each curve is scaled to its own most frequent value."
    )
    return Bands(tuple(drawn), note, Markup(legend(shown)))


def _steps(spec: SourceSpec, m: Measured) -> list[int | None]:
    """The steps of a patch whose pixels are counted: of a time axis a few, evenly in time; else its only moment."""
    if spec.pick.most_steps is None:
        return [None]
    last = int(m.facts[f"{spec.name}_steps"]) - 1
    return [*np.unique(np.linspace(0, last, HISTOGRAM_STEPS).round().astype(int)).tolist()]


def _values(plane: Any, spec: SourceSpec, array: ArraySpec) -> Any:
    """Valid pixels, thinned to at most some 4,000 a patch."""
    step = max(plane.shape[-1] // 64, 1)
    thin = plane[::step, ::step]
    valid = thin[thin != array.nodata].astype(np.float64)
    return spec.kind.shown(valid, array)


@dataclass(frozen=True, slots=True)
class Measure:
    """One number that is known of patches, by season."""

    source: str
    name: str
    """What it is, with its unit, and the recipe's limit."""
    cells: tuple[str, ...]
    """Median, and the 5th and 95th percentiles, a season each."""


def quality(survey: Survey) -> list[Measure]:
    """Clear fractions, time gaps and shifts between sources of ok patches; of the shifts those that say something."""
    rules = survey.dataset.recipe.quality
    out: list[Measure] = []
    for spec in survey.dataset.specs.values():
        masks = spec.compared() if isinstance(spec, MaskedSource) else []
        for number in [*spec.pick.measured(spec.name, rules), *masks]:
            out += _measure(survey, spec, number.title, _fact(number.fact, number.times))
        out += _shift(survey, spec)
    return out


def _fact(fact: str, times: float = 1) -> Callable[[Measured], Any]:
    """A number of a patch, of a time axis one of each step; None where it was not measured."""

    def value(m: Measured) -> Any:
        found = m.facts.get(fact)
        return None if found is None or (isinstance(found, int) and found == FILL["int16"]) else times * found

    return value


def _measure(survey: Survey, spec: SourceSpec, name: str, value: Callable[[Measured], Any]) -> list[Measure]:
    """The measure, where it is known of any patch."""
    cells = []
    for season in survey.dataset.season_names():
        each = [np.ravel(v) for m in survey.measured(season) if (v := value(m)) is not None]
        known = _known(np.concatenate(each)) if each else np.empty(0)
        low, median, high = np.percentile(known, [5, 50, 95]).tolist() if known.size else (0.0, 0.0, 0.0)
        cells.append(f"{median:.3g} ({low:.3g}…{high:.3g})" if known.size else "–")
    return [Measure(spec.name, name, tuple(cells))] if set(cells) - {"–"} else []


def _known(values: NDArray[Any]) -> NDArray[Any]:
    """Those that are measured: beyond a patch's own steps there are none."""
    known: NDArray[Any] = values[~np.isnan(values)]
    return known


def _shift(survey: Survey, spec: SourceSpec) -> list[Measure]:
    """How far a source lies from the one it goes with: east, south and in all; of measurements with a sharp peak."""
    s = spec.name
    found = [m for m in survey.measured() if m.facts.get(f"{s}_shift_peak") is not None]
    on = found[0].cube.cube.dataset.shift_of(s) if found else None
    if on is None:
        return []
    least = shift.least_peak(on.px)
    sharp = sum(m.facts[f"{s}_shift_peak"] >= least for m in found)
    about = (
        f"pixels of {on.own} from {spec.pick.follows}, {sharp} of {len(found)} measurements: those with a peak of at least "
        f"{least:.2f}, which fewer than {shift.FALSE_ACCEPTS:.0%} of unrelated pairs have"
    )

    def along(*axes: str) -> Callable[[Measured], float | None]:
        def value(m: Measured) -> float | None:
            if (m.facts.get(f"{s}_shift_peak") or 0) < least:
                return None
            by = [m.facts[f"{s}_shift_{axis}_px"] for axis in axes]
            return float(by[0] if len(by) == 1 else np.hypot(*by))

        return value

    sides = [
        ("shift east, pixels", along("x")),
        ("shift south, pixels", along("y")),
        (f"shift, {about}", along("x", "y")),
    ]
    return [measure for title, value in sides for measure in _measure(survey, spec, title, value)]


def dates(survey: Survey) -> Chart | None:
    """When the scenes were taken, within each season's window; of one around dates, from the first to the last of these."""
    times: dict[tuple[str, str], list[dt.datetime]] = {}
    windows: dict[str, tuple[dt.datetime, dt.datetime]] = {}
    what: dict[str, str] = {}
    for season in survey.dataset.season_names():
        its = survey.dataset.recipe.season(season)
        each = [w for m in survey.measured(season) if (w := its.window(m.location)) is not None]
        if each:
            windows[season] = min(w.start for w in each), max(w.end for w in each)
        for spec in survey.dataset.sources(season):
            moments = [t for m in survey.measured(season) if (t := m.facts.get(f"{spec.name}_time")) is not None]
            found = [dt.datetime.fromtimestamp(t, dt.UTC) for one in moments for t in _known(np.ravel(one))]
            what[spec.name] = "patch" if spec.pick.most_steps is None else "acquisition"
            if found and spec.pick.has_own_time:
                times[season, spec.name] = found
    if not times:
        return None
    colours = palette.seasons(survey.dataset.season_names())
    alt = "Acquisition dates. " + "; ".join(
        f"{season} {source}: {counted(len(t), what[source])}, {min(t):%Y-%m-%d} to {max(t):%Y-%m-%d}"
        for (season, source), t in times.items()
    )
    svg = charts.timeline(windows, times, colours, "dates", alt)
    return Chart(
        "Acquisition dates",
        "A bar per day, its height the root of how many there are beside the most on a day of its row; the season's window "
        "is shaded, from the first to the last where each location has its own.",
        Markup(svg),
    )
