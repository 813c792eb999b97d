"""One page of a comparison: heat maps of all pairs, and every number with its interval, floor and test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import jinja2

from curation.worth.distance.compare import DistanceTable
from curation.worth.distance.estimate import DistanceEstimate, beyond, furthest
from curation.worth.distance.measures.known import DIRECTED, TITLES


@dataclass(frozen=True, slots=True)
class HeatCell:
    """A pair in a heat map."""

    text: str
    title: str
    """All that is known, for who points at it."""
    strength: int
    """0 to 100: from what no difference comes to, to the largest of the map."""
    tells: bool
    of: str = ""
    """The band or label that it is of."""


@dataclass(frozen=True, slots=True)
class HeatMap:
    """A measure, of every two sides."""

    measure: str
    title: str
    rows: Sequence[tuple[str, Sequence[HeatCell | None]]]
    is_directed: bool = False
    """Whether a cell is of its row by its column, and not of both alike."""
    refused: str = ""
    """Why no cell of it has a number; empty where one has."""


def shown(value: float) -> str:
    """A number in three digits; a dash where it is not known."""
    return f"{value:.3g}" if math.isfinite(value) else "–"


def line(its: DistanceEstimate) -> str:
    """An estimate with its interval, floor, p and n."""
    if its.refused:
        return its.refused
    return (
        f"{shown(its.value)} [{shown(its.low)}, {shown(its.high)}] ({its.interval}); without a difference "
        f"{shown(its.floor)} (95 %: {shown(its.floor_95)}); p {shown(its.p)}, Holm {shown(its.p_holm)}; "
        f"{its.places_a} and {its.places_b} places"
    )


def heat_maps(found: DistanceTable) -> list[HeatMap]:
    """One for each measure; of bands and labels with the one that is most beyond what no difference comes to."""
    return [_map(found, name) for name in found.measures()]


def _map(found: DistanceTable, measure: str) -> HeatMap:
    labels = list(found.sides)
    of = {(p.a, p.b): furthest(p.of(measure)) for p in found.pairs}
    strengths = [beyond(e) for e in of.values() if e is not None]
    most = max([s for s in strengths if math.isfinite(s)], default=0.0) or 1.0
    if measure not in DIRECTED:
        of |= {(b, a): its for (a, b), its in of.items()}
    rows = [(a, [_cell(of.get((a, b)), most) for b in labels]) for a in labels]
    every = [e for e in of.values() if e is not None]
    refused = next((e.refused for e in every), "") if all(e.refused for e in every) else ""
    return HeatMap(measure, TITLES.get(measure, measure), rows, measure in DIRECTED, refused)


def _cell(its: DistanceEstimate | None, most: float) -> HeatCell | None:
    if its is None:
        return None
    of = f"{its.of}: " if its.of else ""
    if its.refused:
        return HeatCell("–", f"{of}{its.refused}", 0, tells=False)
    return HeatCell(shown(its.value), f"{of}{line(its)}", round(100 * min(1.0, beyond(its) / most)), its.tells, its.of)


def page(found: DistanceTable) -> str:
    """The page, which needs nothing beside it."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("curation.worth.distance", "."), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["shown"] = shown
    return environment.get_template("page.html.j2").render(found=found, maps=heat_maps(found), titles=TITLES)
