"""The graph on the report, where `curate graph` made one: places, and which pairs that are near lead across splits."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from curation.errors import ConfigError, DamageError
from curation.errors.words import counted
from curation.format.index import INDEX
from curation.model import Location
from curation.pack.graph.lines import great_circles
from curation.pack.graph.opened import Graph
from curation.places.grids import Floats, Ints
from curation.report import maps, palette
from curation.report.survey import Survey
from curation.store import paths
from curation.store.objects import Store

MOST_LINES = 4_000
"""Pairs that are drawn, evenly over all: of more no line is seen, and a page of megabytes is what is left."""

WITHIN, ACROSS = "#7a838c", "#c8374a"
"""Pairs of one part, and of two."""

DASHED = (0, (3.0, 1.5))
"""Of two, too: who sees no red tells them by that."""

REDS = ("#ee6677",)
"""What no part is drawn in: it would be taken for a place across splits."""


@dataclass(frozen=True, slots=True)
class GraphView:
    """What the report has of a graph."""

    svg: Markup
    """The map."""
    counts: dict[str, int]
    """Part → places."""
    colours: dict[str, str]
    lines: tuple[tuple[str, str, int], ...]
    """Colour, what such lines are, and how many pairs there are."""
    note: str
    """What is not drawn; empty where all is."""
    types: tuple[tuple[str, int, str, str, str], ...]
    """Type of nodes or edges, count, how many lead across splits, homophily and Moran's I: empty where there is none."""


def view(survey: Survey) -> GraphView | None:
    """The graph in the dataset's folder; None where there is none, or it is not of what is packed, which is damage."""
    folder = survey.store.child(paths.GRAPH)
    if folder.head(paths.GRAPH_INDEX) is None:
        return None
    try:
        graph = Graph.load(folder)
    except (ConfigError, DamageError) as err:
        survey.damage[str(err)] = None
        return None
    if not graph.is_of(_index(survey.store)):
        survey.damage[f"{folder.where('')}: is of an earlier packing; run `curate graph` again"] = None
        return None
    ids, splits = (graph.nodes("place").column(n).to_pylist() for n in ("id", "split"))
    known = {p.id: p for r in reversed(survey.regions) for p in survey.places(r)}
    if lacks := [i for i in ids if i not in known]:
        survey.damage[f"{folder.where('')}: place {lacks[0]} is none of the recipe's; pack again"] = None
        return None
    return _drawn(graph, [known[i] for i in ids], splits) if ids else None


def _index(store: Store) -> bytes:
    try:
        return store.get(paths.shard(INDEX))
    except FileNotFoundError:
        return b""


def _drawn(graph: Graph, places: list[Location], splits: list[str]) -> GraphView:
    counts = dict(sorted(Counter(splits).items()))
    colours = dict(zip(counts, palette.distinct(len(counts), REDS), strict=True))
    pairs, crosses = _pairs(graph)
    every = np.linspace(0, len(pairs) - 1, min(len(pairs), MOST_LINES)).astype(np.int64)
    lon, lat = (np.array([getattr(p, n) for p in places]) for n in ("lon", "lat"))

    def lines(axes: Axes, middle: float) -> None:
        # Turned, so that what is cut at the antimeridian is cut at the edges of this map.
        east = (lon - middle + 180) % 360 - 180
        for across in (False, True):
            own = pairs[every][crosses[every] == across]
            shapes = _shapes(east, lat, own)
            colour, width, dash = (ACROSS, 1.1, DASHED) if across else (WITHIN, 0.5, "solid")
            shifted = [s + np.array([middle, 0.0]) for s in shapes]
            axes.add_collection(
                LineCollection(shifted, colors=colour, linewidths=width, linestyles=[dash], zorder=1.5 + across / 2),
                autolim=False,
            )

    parts, crossing = dict(zip([p.id for p in places], splits, strict=True)), int(crosses.sum())
    numbers = ", ".join(f"{n:,} {part}" for part, n in counts.items())
    alt = (
        f"Map of the graph: {numbers}; {len(pairs):,} pairs of places that are near, {crossing:,} of them across splits"
    )
    return GraphView(
        Markup(maps.sides(parts, places, colours, "map-graph", alt, lines)),
        counts,
        colours,
        ((WITHIN, "near, of one part", len(pairs) - crossing), (ACROSS, "near, across splits (dashed)", crossing)),
        f"{counted(len(every), 'pair')} of {len(pairs):,} drawn." if len(every) < len(pairs) else "",
        tuple(_types(graph)),
    )


def _pairs(graph: Graph) -> tuple[Ints, np.ndarray]:
    """Pairs of places that are near, each once (n, 2), and whether they are of two parts; none where none was asked for."""
    if ("place", "near", "place") not in graph.edge_entries:
        return np.empty((0, 2), np.int64), np.empty(0, bool)
    its = graph.edges("place", "near", "place")
    once = its.src < its.dst
    return np.stack([its.src[once], its.dst[once]], axis=1), its.crosses[once]


def _shapes(lon: Floats, lat: Floats, pairs: Ints) -> list[Floats]:
    """Great circles as points (n, 2), in two where they cross the antimeridian."""
    found = great_circles(lon, lat, lon, lat, pairs[:, 0], pairs[:, 1])
    return [np.asarray(part.coords) for shape in found for part in getattr(shape, "geoms", [shape])]


def _types(graph: Graph) -> list[tuple[str, int, str, str, str]]:
    alike = graph.measures()
    rows = [(name, e["count"], "", "", "") for name, e in graph.node_entries.items()]
    for name, entry in graph.edge_entries.items():
        own = alike.get(name, {})
        homophily, moran = (
            f"{own[n]:.2f}" if n in own and np.isfinite(own[n]) else "" for n in ("homophily", "morans_i")
        )
        rows.append((" ".join(name), entry["count"], f"{entry['crossing']:,}", homophily, moran))
    return rows
