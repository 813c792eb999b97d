"""What a model is given of a graph: features that say nothing of what is to be predicted, and edges that do not either."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.errors import ConfigError
from curation.errors.words import did_you_mean
from curation.pack.graph.stored import FRACTIONS, EdgeType, Nodes, StoredGraph, list_column
from curation.places.grids import Ints

YEAR_S = 365.2425 * 86_400


def of(
    graph: StoredGraph, target: str, edges: Sequence[str] | None, across_splits: bool, places: Ints | None
) -> dict[Any, dict[str, Any]]:
    """See `Graph.to_dict`."""
    known = _targets(graph)
    if target and target.partition("@")[0] not in graph.info["variables"] and target not in known:
        raise ConfigError(f"target {target!r}: there is none such; expected {', '.join(known) or 'none: it has none'}")
    wanted = _relations(graph, target, edges)
    chosen = _chosen(graph, places)
    out: dict[Any, dict[str, Any]] = {name: _node(graph, name, chosen.get(name), target) for name in graph.node_entries}
    for name in wanted:
        out[name] = _edges(graph, name, chosen, across_splits)
    return out


def _targets(graph: StoredGraph) -> list[str]:
    names = graph.nodes("place").schema.names
    found = [n.partition("_")[2] for n in names if n.startswith(("column_", "vector_"))]
    return [*([FRACTIONS] if graph.info["label_names"] else []), *found, *graph.info["variables"]]


def _relations(graph: StoredGraph, target: str, edges: Sequence[str] | None) -> list[EdgeType]:
    """Edges that are wanted, and do not derive from the target."""
    asked = list(graph.edge_entries) if edges is None else [t for n in edges for t in graph.edge_types(n)]
    derived = [t for t in asked if target and target in graph.edge_entries[t]["derives_from"]]
    if derived and edges is not None:
        raise ConfigError(
            f"edges {derived[0][1]!r} derive from {target}, which is to be predicted: a model would be given the answer; "
            "leave them out, or make them of something else (`curate graph --like`)"
        )
    return [t for t in asked if t not in derived]


def _chosen(graph: StoredGraph, places: Ints | None) -> Nodes:
    """Numbers of nodes by type: places, and what is of them; nothing where all are wanted."""
    if places is None:
        return {}
    found = np.asarray(places)
    if found.size and not np.issubdtype(found.dtype, np.integer):
        raise ConfigError(f"places of {found.dtype}: expected whole numbers; of a mask np.flatnonzero(mask)")
    out = {"place": np.unique(found.astype(np.int64))}
    count = graph.node_entries["place"]["count"]
    if len(out["place"]) and not 0 <= out["place"][0] <= out["place"][-1] < count:
        raise ConfigError(f"places {out['place'][0]} to {out['place'][-1]}: expected numbers from 0 below {count}")
    is_in = np.zeros(count, bool)
    is_in[out["place"]] = True
    out["patch"] = np.flatnonzero(is_in[graph.nodes("patch").column("place").to_numpy()])
    if "cell" in graph.node_entries:
        out["cell"] = _cells_of(graph, is_in)
    if "variable" in graph.node_entries:
        cell = graph.nodes("variable").column("cell").to_numpy()
        out["variable"] = np.flatnonzero(np.isin(cell, out["cell"]))
    if "mesh" in graph.node_entries:
        out["mesh"] = np.arange(graph.node_entries["mesh"]["count"])  # all of it: its long edges lead everywhere
    if "scene" in graph.node_entries:
        seen = graph.edges("seen_by")
        out["scene"] = np.unique(seen.dst[np.isin(seen.src, out["patch"])])
    return out


def _cells_of(graph: StoredGraph, is_in: NDArray[np.bool_]) -> Ints:
    """Numbers of the cells that some places lie in, and of all that these belong to."""
    cells = [np.empty(0, np.int64)]
    for inner, outer in _held(graph, "place"):
        cells.append(outer[is_in[inner]])
    found = np.unique(np.concatenate(cells))
    for inner, outer in _held(graph, "cell"):
        while len(more := np.setdiff1d(outer[np.isin(inner, found)], found)):
            found = np.union1d(found, more)
    return found


def _held(graph: StoredGraph, inner: str) -> list[tuple[Ints, Ints]]:
    """Pairs of what lies in cells and these, by whichever edges say so."""
    if (inner, "in", "cell") in graph.edge_entries:
        its = graph.edges(inner, "in", "cell")
        return [(its.src, its.dst)]
    if ("cell", "has", inner) in graph.edge_entries:
        its = graph.edges("cell", "has", inner)
        return [(its.dst, its.src)]
    return []


def _node(graph: StoredGraph, name: str, chosen: Ints | None, target: str) -> dict[str, Any]:
    table = graph.nodes(name)
    number = np.arange(table.num_rows) if chosen is None else chosen
    out: dict[str, Any] = {"x": _features(graph, name, table)[number], "number": number}
    split = np.asarray(table.column("split").to_pylist(), np.str_)[number]
    for its in sorted(set(graph.nodes("place").column("split").unique().to_pylist())):
        out[f"{its}_mask"] = split == its
    if name == "variable":
        return out | {key: values[number] for key, values in _series(graph, table, target).items()}
    for own, values in _said(graph, name, table).items():
        out["y" if own == target else own if own == FRACTIONS else f"of_{own}"] = values[number]
    return out


def _features(graph: StoredGraph, name: str, table: pa.Table) -> NDArray[np.float32]:
    """Where and when a node is."""
    if name == "scene":
        return np.ones((table.num_rows, 1), np.float32)
    if name == "variable":
        return np.asarray(list_column(graph.nodes("cell"), "xyz")[table.column("cell").to_numpy()])
    if name != "patch":
        return list_column(table, "xyz")
    where = list_column(graph.nodes("place"), "xyz")[table.column("place").to_numpy()]
    return np.concatenate([where, _day(table.column("time_s").to_numpy())], axis=1)


def _series(graph: StoredGraph, table: pa.Table, target: str) -> dict[str, NDArray[Any]]:
    """Which variable each is (by its number among all), and its series; of the target that is `y`, and unknown beside it."""
    names, steps = graph.info["variables"], graph.info["steps"]
    codes = {name: n for n, name in enumerate(names)}
    which = np.array([codes[n] for n in table.column("name").to_pylist()], np.int64)
    values = list_column(table, "series")
    name, at, step = target.partition("@")
    if name not in codes:
        return {"variable": which, "series": values}
    if at and step not in steps:
        raise ConfigError(f"target {target!r}: {did_you_mean(step, steps)}expected one of the steps {', '.join(steps)}")
    hidden = np.zeros(values.shape, bool)
    hidden[which == codes[name], steps.index(step) if at else slice(None)] = True
    return {
        "variable": which,
        "series": np.where(hidden, np.float32(np.nan), values),
        "y": np.where(hidden, values, np.float32(np.nan)),
    }


def _day(time_s: Ints) -> NDArray[np.float32]:
    """Sine and cosine of where in the year times are; 0 of both where it is unknown."""
    angle = 2 * np.pi * time_s / YEAR_S
    found = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    return np.where((time_s >= 0)[:, None], found, 0).astype(np.float32)


def _said(graph: StoredGraph, name: str, table: pa.Table) -> Mapping[str, NDArray[Any]]:
    """What is known of nodes beside where and when: label fractions, columns, vectors."""
    shares = graph.labels(name)
    out: dict[str, NDArray[Any]] = {} if shares is None else {FRACTIONS: shares}
    for field in table.schema:
        kind, _, own = field.name.partition("_")
        if kind == "vector":
            out[own] = list_column(table, field.name)
        elif kind == "column":
            out[own] = _numbers(table.column(field.name))
    return out


def _numbers(column: pa.ChunkedArray) -> NDArray[Any]:
    """Numbers as they are; of texts the number of each among those that there are, in order, -1 where unknown."""
    if not pa.types.is_string(column.type):
        return np.asarray(column.to_numpy(), np.float32)
    values = column.to_pylist()
    codes = {text: n for n, text in enumerate(sorted({v for v in values if v is not None}))}
    return np.array([codes.get(v, -1) for v in values], np.int64)


def _edges(graph: StoredGraph, name: EdgeType, chosen: Nodes, across_splits: bool) -> dict[str, Any]:
    its = graph.edges(*name)
    ends, wanted = [], np.ones(len(its.src), bool) if across_splits else ~its.crosses
    for node, end in ((name[0], its.src), (name[2], its.dst)):
        if node in chosen:
            position = np.full(graph.node_entries[node]["count"], -1)
            position[chosen[node]] = np.arange(len(chosen[node]))
            end = position[end]
            wanted = wanted & (end >= 0)
        ends.append(end)
    out = {"edge_index": np.stack([e[wanted] for e in ends]), "crosses": its.crosses[wanted]}
    if its.attributes:
        out["edge_attr"] = np.stack([a[wanted] for a in its.attributes.values()], axis=1)
    return out
