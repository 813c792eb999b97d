"""A graph for NetworkX."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curation.errors import ConfigError, extras
from curation.pack.graph.stored import StoredGraph

if TYPE_CHECKING:
    import networkx


def to_networkx(graph: StoredGraph, most: int) -> networkx.MultiDiGraph:
    """See `Graph.to_networkx`."""
    extras.check("graph", "to_networkx")
    import networkx

    total = sum(e["count"] for e in graph.node_entries.values())
    if total > most:
        raise ConfigError(f"to_networkx: {total} nodes, expected at most {most}: say most={total} where there is room")
    out = networkx.MultiDiGraph(dataset=graph.info["dataset"])
    for name in graph.node_entries:
        table = graph.nodes(name)
        plain = [f.name for f in table.schema if not str(f.type).startswith("fixed_size_list")]
        for number, row in enumerate(table.select(plain).to_pylist()):
            out.add_node(f"{name}/{number}", type=name, **{k: v for k, v in row.items() if v is not None})
    for one, relation, other in graph.edge_entries:
        its = graph.edges(one, relation, other)
        columns = {n: a.tolist() for n, a in its.attributes.items()} | {"crosses": its.crosses.tolist()}
        for n, (src, dst) in enumerate(zip(its.src.tolist(), its.dst.tolist(), strict=True)):
            own = {name: values[n] for name, values in columns.items()}
            out.add_edge(f"{one}/{src}", f"{other}/{dst}", key=relation, relation=relation, **own)
    return out
