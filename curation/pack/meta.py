"""The `meta.json` of a sample."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from curation.cubes import labels
from curation.model import STATIC, Value, iso, parse_time
from curation.outcomes import Status
from curation.pack.labels import known as of_files
from curation.pack.plan import PlannedSample
from curation.read import shift
from curation.recipe.dataset import Dataset
from curation.recipe.sources import SourceSpec


def label_names(dataset: Dataset) -> list[str]:
    """The scene labels, in order: the seasonal source's, or the annual one's."""
    rules = dataset.recipe.labels
    source = rules.seasonal or rules.annual
    return dataset.specs[source].labels if source else []


def meta_of_sample(
    dataset: Dataset, member: PlannedSample, facts: Sequence[Mapping[str, Mapping[str, Any]]]
) -> dict[str, Any]:
    """A sample's `meta.json`."""
    meta = _meta_of(dataset.levels[0], member, facts[0])
    if len(dataset.levels) > 1:
        below = zip(member.children, facts[1:], strict=True)
        meta["children"] = [_meta_of(dataset.levels[-1], child, known) for child, known in below]
    return meta


def _meta_of(dataset: Dataset, member: PlannedSample, facts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What is known of one place: a sample, or one of its children."""
    place = member.location
    meta: dict[str, Any] = {
        "id": place.id,
        "lon": place.lon,
        "lat": place.lat,
        "epsg": place.epsg,
        "x0_m": place.x0_m,
        "y0_m": place.y0_m,
        "size_m": place.size_m,
        "region": place.region,
        "split": member.split,
        "static": {"sources": {}, "labels": None},
        "seasons": {},
    }
    if place.parent is not None:
        meta["parent"] = place.parent
    if place.columns:
        meta["columns"] = {name: column_value(value) for name, value in place.columns.items()}
    for part in member.parts:
        known = facts[part.season]
        sources = {
            name: _source_facts(dataset.specs[name], known) | {"scenes": list(outcome.scenes)}
            for name, outcome in part.outcome.sources.items()
            if outcome.status is Status.OK
        }
        rules = dataset.recipe.labels
        source = rules.annual if part.season == STATIC else rules.seasonal
        there = source in sources or of_files.LISTED in known
        entry: dict[str, Any] = {
            "sources": sources,
            "labels": _labels(dataset, source, known) if there else None,
        }
        if part.season == STATIC:
            heights = ("elevation_mean_m", "elevation_min_m", "elevation_max_m", "slope_mean_deg")
            entry["elevation"] = {k: plain(known[k]) for k in heights if known.get(k) is not None}
            meta["static"] = entry
        else:
            paired = [n for n in sources if known.get(f"{n}_gap_days") is not None]
            entry["gap_days"] = {n: plain(known[f"{n}_gap_days"]) for n in paired}
            entry["shift_px"] = {n: _shift(dataset, n, known) for n in paired}
            its = dataset.recipe.season(part.season)
            if its.column is not None and (window := its.window(place)) is not None:
                entry["window"] = [iso(window.start), iso(window.end)]
            meta["seasons"][part.season] = entry
    return meta


def column_value(value: Value) -> str | float | None:
    """What a domain column holds of what a file of places says: an instant in ISO 8601, true and false as 1 and 0."""
    if isinstance(value, dt.datetime):
        return iso(value)
    return value if value is None or isinstance(value, str) else float(value)


def _shift(dataset: Dataset, source: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """A measured shift, the array whose pixel is its unit (None where it was not measured), and the least telling peak."""
    on = dataset.shift_of(source)
    out = {a: plain(known.get(f"{source}_shift_{b}")) for a, b in (("x", "x_px"), ("y", "y_px"), ("peak", "peak"))}
    return out | {"least_peak": plain(shift.least_peak(on.px)) if on else None, "array": on.own if on else None}


def _source_facts(spec: SourceSpec, known: Mapping[str, Any]) -> dict[str, Any]:
    """A source's facts without its name, of a time axis those of each step; what stands elsewhere is left out."""
    elsewhere = ("status", "reason", "scenes", "gap_days", "fraction")
    out: dict[str, Any] = {}
    steps = None if spec.pick.most_steps is None else int(known[f"{spec.name}_steps"])
    for key, value in known.items():
        short = key.removeprefix(f"{spec.name}_")
        if short == key or short in elsewhere or short.startswith("shift_") or value is None:
            continue
        if short == "time" and steps is not None:
            out["times"] = [iso(parse_time_s(seconds)) for seconds in value[:steps]]
        elif short == "time":
            out[short] = iso(parse_time_s(value))
        else:
            out[short] = plain(value[:steps] if isinstance(value, np.ndarray) else value)
    return out


def parse_time_s(seconds: float) -> Any:
    """The instant of seconds since 1970, UTC."""
    return parse_time(str(np.datetime64(round(seconds * 1000), "ms")))


def _labels(dataset: Dataset, source: str | None, known: Mapping[str, Any]) -> dict[str, Any] | None:
    if source is None:
        return None
    rules, spec = dataset.recipe.labels, dataset.specs[source]
    if (listed := known.get(of_files.LISTED)) is not None:
        its = of_files.of_entry(listed, spec.kind.legend, label_names(dataset), rules)
        if its is None:
            return None
        return {
            "fractions": None if its.fractions is None else [plain(f) for f in its.fractions],
            "valid_fraction": plain(its.valid_fraction),
            "multi_hot": its.multi_hot,
        }
    shares, valid = known.get(f"{source}_fraction"), known.get(f"{source}_valid_fraction")
    if shares is None or valid is None:
        return {"fractions": None, "valid_fraction": plain(valid) if valid is not None else 0.0, "multi_hot": None}
    fractions = labels.label_fractions(np.asarray(shares), spec.kind.legend, label_names(dataset))
    return {
        "fractions": [plain(f) for f in fractions],
        "valid_fraction": plain(valid),
        "multi_hot": labels.multi_hot(fractions, valid, rules.min_fraction, rules.min_valid),
    }


def plain(value: Any) -> Any:
    """A number as JSON has it: six digits are far below what is measured, and read well."""
    if isinstance(value, np.ndarray):
        return [plain(v) for v in value]
    if isinstance(value, float | np.floating):
        return float(f"{float(value):.6g}") if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
