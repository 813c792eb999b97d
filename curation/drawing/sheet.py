"""The contact sheet: a few well-chosen locations, a row each, a column per season."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from curation import shards
from curation.complete import COMPLETE
from curation.drawing import patch, tiles
from curation.drawing.patch import Stretch
from curation.drawing.survey import Survey, round_robin
from curation.drawing.tiles import FALSE_COLOUR, TRUE_COLOUR, Tile
from curation.model import STATIC, Location, Status
from curation.recorded import RecordedCube
from curation.sources import SourceSpec

ROWS = 12
BUDGET = 13_000_000
"""Characters of pictures; rows beyond it are left out, and the page says so."""


@dataclass(frozen=True, slots=True)
class Column:
    """One season of a location."""

    title: str
    lines: tuple[str, ...]
    """Date, clear fraction, gap, orbit."""
    tiles: tuple[Tile, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One location in all of its seasons."""

    location: Location
    labels: str
    """Its annual labels, for a person."""
    columns: tuple[Column, ...]

    @property
    def size(self) -> int:
        """Characters of its pictures."""
        return sum(len(t.uri or "") for c in self.columns for t in c.tiles)


def rows(survey: Survey) -> list[Row]:
    """The rows drawn, as many as the budget holds and at least one where there is any."""
    out: list[Row] = []
    size = 0
    for region, location in chosen(survey, ROWS):
        row = _row(survey, region, location)
        size += row.size
        if out and size > BUDGET:
            break
        out.append(row)
    return out


def chosen(survey: Survey, count: int) -> list[tuple[str, Location]]:
    """(region, location) of up to `count` locations, spread over regions and over their greatest labels.

    Complete ones; where there are none, those with an ok patch. The same dataset gives the same ones: within a region and
    label they are ordered by a hash of their id.
    """
    every = [(r, p) for r in survey.regions for p in survey.places(r)]
    seasons = survey.dataset.season_names()
    found = [(r, p) for r, p in every if survey.state(r, p.id) == COMPLETE]
    if not found:
        found = [(r, p) for r, p in every if any(_is_ok(survey, r, s, p.id) for s in [STATIC, *seasons])]
    groups: dict[str, dict[str, list[tuple[str, Location]]]] = {}
    greatest = _greatest(survey)
    for region, place in sorted(found, key=lambda rp: hashlib.sha256(rp[1].id.encode()).digest()):
        groups.setdefault(region, {}).setdefault(greatest.get((region, place.id), "~"), []).append((region, place))
    queues = [list(round_robin([by[label] for label in sorted(by)])) for _, by in sorted(groups.items())]
    return list(dict.fromkeys(round_robin(queues)))[:count]


def _is_ok(survey: Survey, region: str, season: str, location: str) -> bool:
    outcome = survey.outcome(region, season, location)
    return outcome is not None and outcome.status is Status.OK


def _greatest(survey: Survey) -> dict[tuple[str, str], str]:
    """(region, location id) → its greatest label, annual before seasonal, where its facts were read."""
    names = shards.label_names(survey.dataset)
    out: dict[tuple[str, str], str] = {}
    for m in sorted(survey.measured(), key=lambda m: m.cube.cube.season != STATIC):
        key = (m.cube.cube.region, m.location.id)
        known = survey.fractions(m.facts, m.cube.cube.season)
        if key not in out and known is not None and not np.isnan(known[0]).any():
            out[key] = names[int(known[0].argmax())]
    return out


def _row(survey: Survey, region: str, place: Location) -> Row:
    seasons = survey.dataset.level_of(region).season_names()
    pixels = {s: _optical_pixels(survey, region, s, place) for s in seasons}
    stretches = _stretches(survey, region, [s for s in seasons if pixels[s] is not None], pixels)
    columns = [_column(survey, region, s, place, stretches, pixels[s]) for s in seasons]
    hot = None
    static = survey.cubes.get((region, STATIC))
    if static is not None:
        columns.append(_column(survey, region, STATIC, place, {}, None))
        if _is_ok(survey, region, STATIC, place.id):
            hot = survey.multi_hot(survey.facts_of(static, place.id), STATIC)
    names = shards.label_names(survey.dataset)
    told = "" if hot is None else ", ".join(n.replace("_", " ") for n, h in zip(names, hot, strict=True) if h)
    return Row(place, told, tuple(columns))


def _optical_pixels(survey: Survey, region: str, season: str, place: Location) -> Any:
    """(band, y, x) of the array with the visible bands; None where the patch has none, or it is damaged."""
    cube = survey.cubes.get((region, season))
    if cube is None or not _is_ok(survey, region, season, place.id):
        return None
    held = tiles.array_of(cube.cube, TRUE_COLOUR)
    if held is None or held[0] not in cube.outcomes[place.id].chunks:
        return None
    return survey.pixels(cube, held[0], place.id)


def _stretches(
    survey: Survey, region: str, seasons: Sequence[str], pixels: dict[str, Any]
) -> dict[tuple[str, ...], Stretch]:
    """Bands → the stretch that all seasons of a place share."""
    out: dict[tuple[str, ...], Stretch] = {}
    for season in seasons[:1]:
        held = tiles.array_of(survey.cubes[region, season].cube, TRUE_COLOUR)
        assert held is not None  # pixels were read of it
        array = held[1]
        for bands in (TRUE_COLOUR, FALSE_COLOUR):
            if set(bands) <= set(array.bands):
                shown = [tiles.pick(pixels[s], array, bands) for s in seasons]
                out[bands] = patch.optical_stretch(shown, array.nodata)
    return out


def _column(
    survey: Survey,
    region: str,
    season: str,
    place: Location,
    stretches: dict[tuple[str, ...], Stretch],
    optical: Any,
) -> Column:
    cube = survey.cubes.get((region, season))
    outcome = survey.outcome(region, season, place.id)
    title = "whole period" if season == STATIC else season
    if cube is None or outcome is None or outcome.status is not Status.OK:
        note = tiles.why(outcome) if outcome is not None else "pending: not built yet"
        return Column(title, (), (Tile("big", title, f"{title}: {note}", note=note),))
    facts = survey.facts_of(cube, place.id)
    shown: list[Tile] = []
    for spec in cube.cube.sources:
        shown += _tiles(survey, cube, spec, place, stretches, optical)
    shown.sort(key=lambda t: ("big", "half", "third").index(t.kind))
    lines = ("facts damaged",) if facts is None else tuple(lines_of(cube.cube.sources, facts))
    return Column(title, lines, tuple(shown))


def _tiles(
    survey: Survey,
    cube: RecordedCube,
    spec: SourceSpec,
    place: Location,
    stretches: dict[tuple[str, ...], Stretch],
    optical: Any,
) -> list[Tile]:
    """The pictures of one source of one patch."""
    outcome = cube.outcomes[place.id]
    arrays = [(n, a) for n, (s, a) in cube.cube.arrays.items() if s.name == spec.name and a.role != "mask"]
    visible = tiles.array_of(cube.cube, TRUE_COLOUR)
    seen = [(n, a) for n, a in arrays if visible and n == visible[0]] or arrays[:1]
    if not seen:
        return []
    name, array = seen[0]
    is_static = cube.cube.season == STATIC
    kind = "big" if is_static or (visible and name == visible[0]) else "half"
    where = f"{place.id}, {'whole period' if is_static else cube.cube.season}"
    if not tiles.ok(outcome, spec):
        return [tiles.missing(spec, outcome.sources.get(spec.name), kind)]
    if visible and name == visible[0]:
        if optical is None:
            return [tiles.damaged(spec, kind, name)]
        return tiles.optical(spec, array, optical, stretches, where)
    pixels = survey.pixels(cube, name, place.id)
    if pixels is None:
        return [tiles.damaged(spec, kind, name)]
    if spec.radar:
        return tiles.radar(spec, array, pixels, where)
    if spec.classes:
        return [tiles.classes(spec, pixels, kind, where)]
    if spec.elevation:
        return [tiles.heights(spec, array, pixels, where, place)]
    return [tiles.plain(spec, array, pixels, where)]


def lines_of(sources: Sequence[SourceSpec], facts: dict[str, Any]) -> list[str]:
    """What is told below a patch's pictures."""
    out = []
    for spec in sources:
        s = spec.name
        parts = []
        time = facts.get(f"{s}_time")
        if time is not None:
            parts.append(f"{dt.datetime.fromtimestamp(time, dt.UTC):%Y-%m-%d}")
        clear, gap = facts.get(f"{s}_clear_fraction"), facts.get(f"{s}_gap_days")
        if clear is not None:
            parts.append(f"clear {100 * clear:.1f} %")
        if gap is not None:
            parts.append(f"{gap:+.1f} d")
        if facts.get(f"{s}_orbit_state"):
            orbit = facts.get(f"{s}_relative_orbit", -1)
            parts.append(facts[f"{s}_orbit_state"][:4] + (f". {orbit}" if orbit >= 0 else "."))
        if facts.get(f"{s}_warped"):
            parts.append("warped")
        if parts and s not in ("worldcover", "dem") and (time is not None or len(parts) > 1):
            out.append(f"{s}: {' · '.join(parts)}")
    if facts.get("elevation_mean_m") is not None:
        out.append(f"mean {facts['elevation_mean_m']:.0f} m · slope {facts['slope_mean_deg']:.1f}°")
    return out
