"""The split on the report: parts on a map, how far what is held out lies from what is learnt, how far likeness goes."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from curation.errors import ConfigError
from curation.format.index import Index
from curation.model import STATIC, Location
from curation.places.grids import Floats, Ints
from curation.places.nearby import EARTH_RADIUS_KM, nearest
from curation.places.reach import reach_km
from curation.report import charts, maps, palette, samples, shifts, variogram
from curation.report.keyed import ByKey
from curation.report.samples import Samples
from curation.report.shifts import Scored, Shifts
from curation.report.survey import Survey
from curation.report.variogram import Variogram

MOST_PLACES = 5_000
"""Places of a part whose distances are looked at, evenly over all: to find what is nearest takes long where all is far."""

NO_SAMPLE = "no sample"
"""What a place is of that would be of a part, were it one."""


@dataclass(frozen=True, slots=True)
class Apart:
    """How far samples of a part lie from the nearest that is learnt from, centre to centre."""

    part: str
    places: int
    """Of which distances were looked at."""
    km: tuple[float, float, float, float]
    """Least, 5th percentile, median, greatest."""


@dataclass(frozen=True, slots=True)
class OwnTables:
    """What the user has of samples, by key."""

    scores: ByKey | None = None
    """What a model came to, in one column."""
    features: ByKey | None = None
    """Numbers of each, of which the variogram is drawn."""


NOTHING = OwnTables()


@dataclass(frozen=True, slots=True)
class SplitView:
    """What the report has of a split."""

    title: str
    svg: Markup
    """The map."""
    counts: dict[str, int]
    """Part, or why a place is of none → places."""
    colours: dict[str, str]
    apart: tuple[Apart, ...]
    histogram: Markup | None
    """Distances as a chart, where there are any."""
    ranges: tuple[str, ...]
    """What variograms say, a line each."""
    shifts: Shifts | None
    """Labels of parts and domains, and scores by distance; None where nothing is packed."""
    said: tuple[str, ...]
    """What is most of these, a line each."""
    scores: Markup | None
    """Scores by distance as a chart, where there are any."""
    facts: dict[str, Any]
    """All of it as plain JSON values."""


def view(survey: Survey, index: Index | None, own: OwnTables = NOTHING) -> SplitView | None:
    """The split of the roots of all regions; None where it is not known, or all are of one part.

    Where shards are packed a place is of the part that its sample is of, or of none.

    Args:
        survey: what is built.
        index: of what is packed.
        own: what the user has of samples.

    Raises:
        ConfigError: of what the user has nothing is of a sample here.
    """
    roots = [p for r in survey.regions for p in survey.places(r) if p.parent is None]
    places = list({p.id: p for p in reversed(roots)}.values())
    rule = survey.dataset.recipe.split
    sides = {p.id: side for p in places if (side := survey.split.of(p))}
    packed_samples = samples.read(survey, index)
    if packed_samples is not None:
        packed = dict(zip(packed_samples.ids.tolist(), packed_samples.parts.tolist(), strict=True))
        sides = {i: packed.get(i, NO_SAMPLE if side in rule.parts else side) for i, side in sides.items()}
    places = [p for p in places if p.id in sides]
    counts = Counter(sides.values())
    if len({*counts} & {*rule.parts}) < 2:
        return None
    order = [*(p for p in rule.parts if counts[p]), *sorted(set(counts) - {*rule.parts})]
    colours = dict(zip([p for p in order if p in rule.parts], palette.distinct(len(order)), strict=False))
    colours |= {side: palette.OUTCOMES["pending"] for side in order if side not in colours}
    counted = {side: counts[side] for side in order}
    numbers = ", ".join(f"{n:,} {side}" for side, n in counted.items())
    km = _distances(places, sides, rule.parts, rule.learnt)
    ranges = _ranges(survey, packed_samples, own.features)
    found = None if packed_samples is None else shifts.of(packed_samples, own.scores)
    title = "as packed" if survey.split.packed else "as planned by the recipe"
    return SplitView(
        title,
        Markup(maps.sides(sides, places, colours, "map-split", f"Map of the split, {title}: {numbers}")),
        counted,
        colours,
        apart := tuple(_apart(part, of) for part, of in km.items()),
        Markup(_histogram(km, colours, survey)) if km else None,
        tuple(_in_words(what, its, rule.buffer_km) for what, its in ranges.items()),
        found,
        () if found is None else tuple(shifts.in_words(found)),
        None if found is None or found.scored is None else Markup(_scores(found.scored, ranges, colours, survey)),
        {
            "rule": survey.dataset.recipe.model_dump(mode="json")["split"],
            "packed": survey.split.packed,
            "places": counted,
            "buffer_km": rule.buffer_km,
            "least_km_between_centres": _least_km(survey),
            "nearest_learnt_km": {
                a.part: dict(zip(("least", "p5", "median", "greatest"), a.km, strict=True)) for a in apart
            },
            "variograms": {what: dataclasses.asdict(its) | _as_lists(its) for what, its in ranges.items()},
        }
        | ({} if found is None else found.to_json()),
    )


def _as_lists(its: Variogram) -> dict[str, Any]:
    return {"km": its.km.tolist(), "gamma": its.gamma.tolist()}


def _scores(scored: Scored, ranges: Mapping[str, Variogram], colours: Mapping[str, str], survey: Survey) -> str:
    marks = {"no two parts are nearer": _least_km(survey)}
    marks |= {f"range of {what}": its.range_km for what, its in ranges.items() if its.range_km is not None}
    points = {p: [(a.km[1], a.score.value, a.score.low, a.score.high) for a in at] for p, at in scored.at.items()}
    words = "; ".join(f"{p}: " + ", ".join(f"{m:.3f} at {km:.3g} km" for km, m, *_ in of) for p, of in points.items())
    return charts.scores(
        points, colours, "split-scores", f"{scored.name} by distance to what is learnt: {words}", marks
    )


def _distances(
    places: Sequence[Location], sides: Mapping[str, str], parts: Sequence[str], learnt: Sequence[str]
) -> dict[str, Floats]:
    """Part → km from each of its places, no more than `MOST_PLACES`, to the nearest of another part that is learnt from."""
    lon, lat = (np.array([getattr(p, k) for p in places], np.float64) for k in ("lon", "lat"))
    side = np.array([sides[p.id] for p in places])
    out = {}
    for part in (p for p in parts if p in side):
        of, others = _evenly(np.flatnonzero(side == part)), np.isin(side, [p for p in learnt if p != part])
        if others.any() and (part not in learnt or len(learnt) > 1):
            out[part] = EARTH_RADIUS_KM * nearest(lon[of], lat[of], lon[others], lat[others])
    return out


def _evenly(numbers: Ints) -> Ints:
    """No more than `MOST_PLACES` of them: they come region by region, so that the first are of one alone."""
    return numbers[np.linspace(0, len(numbers) - 1, min(len(numbers), MOST_PLACES)).round().astype(np.int64)]


def _apart(part: str, km: Floats) -> Apart:
    least, low, median, most = np.percentile(km, [0, 5, 50, 100]).tolist()
    return Apart(part, len(km), (least, low, median, most))


def _histogram(km: Mapping[str, Floats], colours: Mapping[str, str], survey: Survey) -> str:
    least = _least_km(survey)
    words = "; ".join(f"{part}: least {of.min():.3g}, median {np.median(of):.3g}" for part, of in km.items())
    alt = f"Distance to the nearest sample that is learnt from, km: {words}"
    return charts.distances(km, colours, "split-distances", alt, least)


def _least_km(survey: Survey) -> float:
    """No two centres of different parts are nearer."""
    recipe = survey.dataset.recipe
    return 2 * reach_km(recipe.grid) + recipe.split.buffer_km


def _ranges(survey: Survey, packed: Samples | None, features: ByKey | None) -> dict[str, Variogram]:
    """Variograms of labels, of heights, and of features of the user's where there are some."""
    rules = survey.dataset.recipe.labels
    labels: dict[str, list[Floats]] = {}
    heights: dict[str, list[Floats]] = {}
    where: dict[str, Location] = {}
    for season in [STATIC, *survey.dataset.season_names()]:
        of_labels = rules.annual if season == STATIC else rules.seasonal
        for m in survey.measured(season):
            place = m.location
            where[place.id] = place
            found = survey.labels(m.facts, season) if of_labels else None
            known = None if found is None else found.multi_hot if found.fractions is None else found.fractions
            if known is not None:
                labels.setdefault(place.id, []).append(np.asarray(known, np.float64))
            height, slope = (m.facts.get(k) for k in ("elevation_mean_m", "slope_mean_deg"))
            if height is not None and slope is not None:
                heights.setdefault(place.id, []).append(np.array([height, slope], np.float64))
    out = {}
    for what, of, scaled in (("labels", labels, False), ("heights and slopes", heights, True)):
        its = _variogram([where[i] for i in of], [np.mean(v, axis=0) for v in of.values()], scaled=scaled)
        if its is not None:
            out[what] = its
    if features is not None and (its := _of_features(packed, features)) is not None:
        out["features"] = its
    return out


def _of_features(packed: Samples | None, features: ByKey) -> Variogram | None:
    """That of features by key, each of which counts alike. Raises ConfigError where no key is of a sample."""
    ids = [] if packed is None else packed.ids.tolist()
    at = {name: row for row, name in enumerate(ids)}
    its = [(at[key], row) for row, key in enumerate(features.keys.tolist()) if key in at]
    if packed is None or not its:
        raise ConfigError(
            f"features of {len(features.keys)} keys, such as {features.keys[:3].tolist()}: none is of a sample that is "
            f"packed here; expected such as {ids[:3]}"
        )
    rows, of = np.array(its, np.int64).T
    values = features.values[of]
    spread = values.std(axis=0)
    return variogram.of(packed.lon[rows], packed.lat[rows], values / np.where(spread > 0, spread, 1))


def _variogram(places: Sequence[Location], rows: Sequence[Floats], *, scaled: bool) -> Variogram | None:
    if not rows:
        return None
    values = np.stack(rows)
    ok = np.isfinite(values).all(axis=1)
    values = values[ok]
    if scaled and len(values):
        values = values / np.where(values.std(axis=0) > 0, values.std(axis=0), 1)
    lon, lat = (np.array([getattr(p, k) for p in places], np.float64)[ok] for k in ("lon", "lat"))
    return variogram.of(lon, lat, values)


def _in_words(what: str, its: Variogram, buffer_km: float) -> str:
    if its.range_km is None:
        return (
            f"{what} of places grow ever more unlike up to {its.km[-1]:,.3g} km, half of the farthest distance here: no "
            f"buffer makes them independent; the recipe's is {buffer_km:g} km"
        )
    beside = "no less" if buffer_km >= its.range_km else "less: what is held out beside it is still like what is learnt"
    return (
        f"{what} of places are as unlike as any from {its.range_km:,.3g} km on ({variogram.OF_SILL:.0%} of the sill); the "
        f"recipe's buffer is {buffer_km:g} km, {beside}"
    )
