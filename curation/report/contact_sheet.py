"""The contact sheet: a few well-chosen locations, a row each, a column per season."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from curation.cubes.complete import COMPLETE
from curation.cubes.contents import CubeContents
from curation.errors.words import counted
from curation.model import STATIC, Location
from curation.outcomes import Status
from curation.pack import meta
from curation.recipe.pictures import FALSE_COLOUR, TRUE_COLOUR, Bands
from curation.recipe.sources import SourceSpec
from curation.report import images, panels, svg
from curation.report.panels import Panel
from curation.report.survey import Survey, round_robin

ROWS = 12
BUDGET = 13_000_000
"""Characters of pictures; rows beyond it are left out, and the page says so."""

LOSSY = 90
"""WebP quality of pictures that are looked at, not read off."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One panel as the page has it."""

    panel: Panel
    alt: str
    uri: str | None
    """None: there is no picture, its note says why."""


@dataclass(frozen=True, slots=True)
class SheetColumn:
    """One season of a location."""

    title: str
    lines: tuple[str, ...]
    """Date, clear fraction, gap, orbit."""
    tiles: tuple[Tile, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One location in all of its seasons."""

    location: Location
    split: str
    """What it is of, for a person."""
    labels: str
    """Its annual labels, for a person."""
    columns: tuple[SheetColumn, ...]

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
    names = meta.label_names(survey.dataset)
    out: dict[tuple[str, str], str] = {}
    for m in sorted(survey.measured(), key=lambda m: m.cube.cube.season != STATIC):
        key = (m.cube.cube.folder, m.location.id)
        its = survey.labels(m.facts, m.cube.cube.season)
        if key not in out and its is not None and its.fractions is not None and not np.isnan(its.fractions).any():
            out[key] = names[int(its.fractions.argmax())]
    return out


def _row(survey: Survey, region: str, place: Location) -> Row:
    cubes = {
        s: survey.cubes[region, s]
        for s in survey.dataset.level_of(region).cube_seasons()
        if _is_ok(survey, region, s, place.id)
    }
    visible: dict[tuple[str, str], Any] = {}
    stretches: dict[tuple[str, Bands], images.Stretch] = {}
    for name, array in {
        n: a for c in cubes.values() for n, (_, a) in c.cube.arrays.items() if panels.is_visible(a)
    }.items():
        read = {s: _drawn(survey, c, name, place) for s, c in cubes.items() if name in c.outcomes[place.id].chunks}
        known = {s: pixels for s, pixels in read.items() if pixels is not None}
        visible |= {(s, name): pixels for s, pixels in known.items()}
        for bands in (TRUE_COLOUR, FALSE_COLOUR):
            if known and set(bands) <= set(array.bands):
                shown = [panels.pick(pixels, array, bands) for pixels in known.values()]
                stretches[name, bands] = images.optical_stretch(shown, array.nodata)
    seasons = [*survey.dataset.level_of(region).season_names(), *([STATIC] if (region, STATIC) in survey.cubes else [])]
    columns = tuple(_column(survey, region, s, place, visible, stretches) for s in seasons)
    hot = survey.multi_hot(survey.facts_of(cubes[STATIC], place.id), STATIC) if STATIC in cubes else None
    names = meta.label_names(survey.dataset)
    labels = "" if hot is None else ", ".join(n.replace("_", " ") for n, h in zip(names, hot, strict=True) if h)
    return Row(place, survey.split.side_in_words(place), labels, columns)


def _drawn(survey: Survey, cube: CubeContents, name: str, place: Location) -> Any:
    """(band, y, x) of an array as it is drawn; None where it is damaged, or of a time axis the facts are that tell which."""
    spec, step = cube.cube.arrays[name][0], None
    if spec.pick.most_steps is not None:
        facts = survey.facts_of(cube, place.id)
        if facts is None:
            return None
        step, _ = panels.drawn_step(spec, facts)
    return survey.pixels(cube, name, place.id, step)


def _column(
    survey: Survey,
    region: str,
    season: str,
    place: Location,
    visible: Mapping[tuple[str, str], Any],
    stretches: Mapping[tuple[str, Bands], images.Stretch],
) -> SheetColumn:
    """One season; of `visible`, (season, array) → pixels, are those that were read for the stretches."""
    cube = survey.cubes.get((region, season))
    outcome = survey.outcome(region, season, place.id)
    title = "whole period" if season == STATIC else season
    if cube is None or outcome is None or outcome.status is not Status.OK:
        note = panels.why(outcome) if outcome is not None else "pending: not built yet"
        return SheetColumn(title, (), (Tile(Panel(title, title, note=note, width="big"), f"{title}: {note}", None),))

    def read(name: str, step: int | None) -> Any:
        held = visible.get((season, name))
        return cube.pixels(name, place.id, step) if held is None else held

    facts = survey.facts_of(cube, place.id)
    shown = panels.of_patch(cube, place.id, small=True, read=read, stretches=stretches, facts=facts)
    shown = in_order(shown)
    survey.damage |= dict.fromkeys(p.damage for p in shown if p.damage)
    lines = ("facts damaged",) if facts is None else tuple(lines_of(cube.cube.sources, facts))
    return SheetColumn(title, lines, tuple(tile_of(p, f"{place.id}, {title}") for p in shown))


def in_order(shown: Sequence[Panel]) -> list[Panel]:
    """The pictures of a column, the widest first; where none is big the small ones stand two beside each other."""
    if not any(p.width == "big" for p in shown):
        shown = [replace(p, width="half") if p.width == "third" else p for p in shown]
        return sorted(shown, key=lambda p: bool(p.scale))
    return sorted(shown, key=lambda p: ("big", "half", "third").index(p.width))


def tile_of(panel: Panel, where: str, *, exact: bool = True) -> Tile:
    """A panel with its words for those who do not see it; of class maps, and of true colour, no pixel is lost.

    Where not all is `exact` true colour is as all else: less of it goes a longer way.
    """
    words = [panel.source, *([panel.title] if panel.title != panel.source else []), panel.detail, panel.note]
    words += [name for name, _ in panel.legend]
    if panel.image is None:
        return Tile(panel, ", ".join(filter(None, [*words, where])), None)
    whole = bool(panel.legend) or (exact and panel.width == "big" and panel.scale is None)
    uri = svg.image_uri(panel.image, quality=None if whole else LOSSY)
    return Tile(panel, ", ".join(filter(None, [*words, where])), uri)


def words(survey: Survey) -> str:
    """What is said above the rows, of what this dataset has."""
    arrays = [a for its in survey.dataset.arrays.values() for a in its.values()]
    said = [
        "Spread over regions and labels; the same dataset gives the same ones.",
        "True and false colour share one stretch over a location's seasons."
        if any(map(panels.is_visible, arrays))
        else "",
        panels.said((survey.dataset.specs[source], its.values()) for source, its in survey.dataset.arrays.items()),
        "Stretched for display only: nothing is resampled unless its caption says so. Hatched: no data.",
    ]
    return " ".join(filter(None, said))


def lines_of(sources: Sequence[SourceSpec], facts: dict[str, Any]) -> list[str]:
    """What is told below a patch's pictures."""
    out = []
    for spec in sources:
        s = spec.name
        if spec.pick.most_steps is not None:
            out += _of_steps(s, facts)
            continue
        parts = []
        time = facts.get(f"{s}_time")
        if time is not None:
            parts.append(f"{dt.datetime.fromtimestamp(time, dt.UTC):%Y-%m-%d}")
        clear, gap = facts.get(f"{s}_clear_fraction"), facts.get(f"{s}_gap_days")
        if clear is not None:
            parts.append(_clear(clear, facts.get(f"{s}_snow_fraction"), facts.get(f"{s}_doubtful_fraction")))
        if gap is not None:
            parts.append(f"{round(gap, 1) + 0.0:+.1f} d")  # a few seconds before are no -0.0
        if facts.get(f"{s}_orbit_state"):
            orbit = facts.get(f"{s}_relative_orbit", -1)
            parts.append(facts[f"{s}_orbit_state"][:4] + (f". {orbit}" if orbit >= 0 else "."))
        if facts.get(f"{s}_warped"):
            parts.append("warped")
        if parts and not spec.timeless and (time is not None or len(parts) > 1):
            out.append(f"{s}: {' · '.join(parts)}")
    if facts.get("elevation_mean_m") is not None:
        out.append(f"mean {facts['elevation_mean_m']:.0f} m · slope {facts['slope_mean_deg']:.1f}°")
    return out


def _of_steps(source: str, facts: Mapping[str, Any]) -> list[str]:
    """How many acquisitions a patch has, from when to when, and how clear they are; nothing where it has none."""
    count, times = facts.get(f"{source}_steps", 0), facts.get(f"{source}_time")
    if times is None:
        return []
    first, last = (f"{dt.datetime.fromtimestamp(times[k], dt.UTC):%Y-%m-%d}" for k in (0, count - 1))
    parts = [counted(count, "acquisition"), first if count == 1 else f"{first} to {last}"]
    clear = facts.get(f"{source}_clear_fraction")
    if clear is not None:
        parts.append(f"clear {100 * clear[:count].min():.1f} to {100 * clear[:count].max():.1f} %")
    return [f"{source}: {' · '.join(parts)}"]


def _clear(clear: float, snow: float | None, doubtful: float | None) -> str:
    """The clear fraction, and what of it is snow or doubtful by the mask: both count as clear."""
    of_it = [f"{100 * v:.0f} % {name}" for name, v in (("snow", snow), ("doubtful", doubtful)) if v and v >= 0.005]
    return f"clear {100 * clear:.1f} %" + (f" (of the patch {', '.join(of_it)})" if of_it else "")
