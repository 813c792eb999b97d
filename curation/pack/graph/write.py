"""The steps of making a graph: what a dataset has, the tables, and what tells that all is there, last.

The same dataset and rules give the same bytes. Killed at any moment, the same command makes what is not there.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import itertools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from curation.errors import ConfigError, DamageError
from curation.errors.words import did_you_mean
from curation.pack.graph import edges, released, stored, tables
from curation.pack.graph.cellgrids import CellGrid
from curation.pack.graph.edges import Edges, Rules
from curation.pack.graph.mesh import MOST_ORDER
from curation.pack.graph.released import PackedRelease
from curation.pack.graph.tables import GraphTables
from curation.pack.writers import versions
from curation.places import era5_cells, nearby
from curation.recipe.digests import digest
from curation.store import paths
from curation.store.objects import Store
from curation.work.progress import Doing

_OWN = {
    *(paths.graph_table(name) for name in edges.NODES),
    *(paths.graph_table(*its) for its in itertools.product(edges.NODES, edges.KINDS, edges.NODES)),
}
"""What a graph's tables may be called: all else in its folder is somebody else's, and stays."""

MOST_K = 256
"""Neighbours that may be asked for of one node."""

HALF_TURN_KM = 20_037.5
"""Nobody on the sphere is further away."""


@dataclass(frozen=True, slots=True)
class WrittenGraph:
    """What a graph came to, or would come to."""

    nodes: Mapping[str, int]
    edges: Mapping[str, tuple[int, int]]
    """Name → edges, and how many of these lead across splits."""
    isolated: int
    """Places without a neighbour; 0 where `near` is not among the edges."""
    size: int
    """Bytes of all tables."""
    reused: bool
    """Whether all was there already."""


def checked(rules: Rules) -> Rules:
    """The rules, kinds in their own order.

    Raises:
        ConfigError: there are no such.
    """
    if wrong := [n for n in rules.kinds if n not in edges.KINDS]:
        raise ConfigError(
            f"--edges {wrong[0]}: no such edges; {did_you_mean(wrong[0], edges.KINDS)}known: {', '.join(edges.KINDS)}"
        )
    for flag, k in (("--k", rules.k), ("--like-k", rules.like_k)):
        if not 1 <= k <= MOST_K:
            raise ConfigError(f"{flag} {k}: expected 1 to {MOST_K} neighbours")
    if rules.mesh is not None and not 0 <= rules.mesh <= MOST_ORDER:
        raise ConfigError(f"--mesh {rules.mesh}: expected an order of 0 to {MOST_ORDER}")
    if not 0 < rules.radius_m <= HALF_TURN_KM * 1000:
        raise ConfigError(f"--radius-km {rules.radius_m / 1000:g}: expected more than 0, and at most {HALF_TURN_KM:g}")
    by_name = rules.kinds != edges.KINDS
    if by_name and rules.mesh is None and (lacks := {"on", "joins"} & set(rules.kinds)):
        raise ConfigError(f"--edges {min(lacks)}: these are of a mesh: say --mesh N, too")
    if rules.mesh is not None and not {"on", "joins"} & set(rules.kinds):
        raise ConfigError(f"--mesh {rules.mesh}: expected on or joins among --edges, too")
    if by_name and rules.like == edges.NONE and "like" in rules.kinds:
        raise ConfigError("--edges like: expected --like labels, or an annotation of vectors, with it")
    if rules.variables and not {"of", "has"} & set(rules.kinds):
        raise ConfigError(f"--variables {rules.variables[0]}: expected of or has among --edges, too")
    kinds = tuple(k for k in edges.KINDS if k in rules.kinds)
    return replace(
        rules, kinds=kinds, cells=str(CellGrid.of(rules.cells)), variables=tuple(sorted(set(rules.variables)))
    )


def written(store: Store, to: Store, rules: Rules, *, dry_run: bool = False) -> WrittenGraph:
    """Makes the graph of a dataset, where it is not there already.

    Args:
        store: the dataset's folder.
        to: where the graph is written.
        rules: which edges there are to be.
        dry_run: only count.

    Raises:
        ConfigError: nothing is packed, or the rules are not to be had of it.
        DamageError: something of the dataset is not what was recorded.
    """
    rules = checked(rules)
    wanted = [] if rules.like in (edges.LABELS, edges.NONE) or "like" not in rules.kinds else [rules.like]
    its = released.read(store, wanted, rules.variables)
    mark = _digest(its, rules)
    if not dry_run and (before := _standing(to, mark)) is not None:
        return before
    graph = tables.made(its, rules)
    return _result(graph, sum(t.nbytes for t in _keyed(graph).values())) if dry_run else publish(to, its, rules, graph)


def publish(to: Store, its: PackedRelease, rules: Rules, graph: GraphTables) -> WrittenGraph:
    """Writes a graph, in place of one that stands there, which is told of no more while this one is not whole.

    Args:
        to: where.
        its: what it is of.
        rules: as `checked` gives them.
        graph: its tables.
    """
    to.delete(paths.GRAPH_INDEX)  # until all is there again
    files = {}
    with Doing("graph: writing", often_short=True):
        for key, table in _keyed(graph).items():
            receipt = to.publish(key, tables.to_bytes(table))
            files[key] = {"file": key, "size": receipt.size, "sha256": receipt.sha256, "count": table.num_rows}
    for stat in [*to.list("nodes"), *to.list("edges")]:
        if stat.key in _OWN and stat.key not in files:  # of a graph by other rules
            to.delete(stat.key)
    result = _result(graph, sum(f["size"] for f in files.values()))
    to.publish(paths.GRAPH_INDEX, _index(its, rules, graph, files, result))
    return result


def _standing(to: Store, mark: str) -> WrittenGraph | None:
    """What stands, where it is just what would be made, to the last byte."""
    try:
        before = stored.StoredGraph.load(to)
    except (ConfigError, DamageError):  # there is none, or one that is damaged: it is made anew
        return None
    if before.info["digest"] != mark:
        return None
    entries = {" ".join(key): entry for key, entry in before.edge_entries.items()}
    counts = {name: (e["count"], e["crossing"]) for name, e in entries.items()}
    size = sum(e["size"] for e in [*before.node_entries.values(), *entries.values()])
    return WrittenGraph(
        {n: e["count"] for n, e in before.node_entries.items()}, counts, before.info["isolated"], size, reused=True
    )


def _keyed(graph: GraphTables) -> dict[str, pa.Table]:
    """Where each table is written."""
    nodes = {paths.graph_table(name): table for name, table in graph.nodes.items()}
    return nodes | {paths.graph_table(e.source, e.relation, e.target): table for e, table in graph.edges}


def _result(graph: GraphTables, size: int) -> WrittenGraph:
    counts = {
        f"{e.source} {e.relation} {e.target}": (t.num_rows, int(t.column("crosses").to_numpy().sum()))
        for e, t in graph.edges
    }
    near = [e.dst for e, _ in graph.edges if e.relation == "near"]
    isolated = graph.nodes["place"].num_rows - len(np.unique(near[0])) if near else 0
    return WrittenGraph({n: t.num_rows for n, t in graph.nodes.items()}, counts, isolated, size, reused=False)


def _index(
    its: PackedRelease, rules: Rules, graph: GraphTables, files: Mapping[str, dict[str, Any]], result: WrittenGraph
) -> bytes:
    value = {
        "format": stored.FORMAT,
        "version": stored.VERSION,
        "dataset": its.dataset,
        "digest": _digest(its, rules),
        "follows_from": _follows_from(its, rules),
        "seasons": list(its.seasons),
        "label_names": list(its.label_names),
        "target": its.target,
        "variables": list(its.series.names) if its.series else [],
        "steps": list(its.series.steps) if its.series else [],
        "nodes": {name: files[paths.graph_table(name)] for name in graph.nodes},
        "edges": [_entry(e, files, result) for e, _ in graph.edges],
        "isolated": result.isolated,
        "written_by": versions(),
    }
    return (json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()


def _entry(its: Edges, files: Mapping[str, dict[str, Any]], result: WrittenGraph) -> dict[str, Any]:
    crossing = result.edges[f"{its.source} {its.relation} {its.target}"][1]
    own = {"source": its.source, "relation": its.relation, "target": its.target, "rule": its.rule}
    derives = {"derives_from": list(its.derives_from), "attributes": list(its.attributes), "crossing": crossing}
    return own | derives | files[paths.graph_table(its.source, its.relation, its.target)]


def _follows_from(its: PackedRelease, rules: Rules) -> dict[str, Any]:
    return {"index_sha256": its.index_sha256, "content_sha256": its.content_sha256, "rules": asdict(rules)}


def _digest(its: PackedRelease, rules: Rules) -> str:
    """Of the release, the rules, and the code and packages that make a graph of them."""
    return digest([stored.FORMAT, stored.VERSION, _follows_from(its, rules), versions(), _code()])


@functools.cache
def _code() -> str:
    """A mark of the files beside this one, and of what they have of others: nobody has to remember to change it."""
    found = hashlib.sha256()
    of_places = [Path(inspect.getfile(module)) for module in (nearby, era5_cells)]
    for file in [*sorted(Path(__file__).parent.glob("*.py")), *of_places]:
        found.update(file.read_bytes())
    return found.hexdigest()
