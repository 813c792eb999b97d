"""Proof of a dataset's graph: its tables, and that it is of the shards that stand."""

from __future__ import annotations

from curation.errors import ConfigError, DamageError
from curation.format.index import INDEX
from curation.pack.graph.stored import StoredGraph
from curation.store import paths
from curation.store.objects import Store
from curation.verify.found import NOT_THERE, Verified


def check_graph(store: Store, found: Verified) -> None:
    """Reads every byte of the graph in a dataset's folder, where there is one."""
    folder = store.child(paths.GRAPH)
    if folder.head(paths.GRAPH_INDEX) is None:
        return
    try:
        graph = StoredGraph.load(folder, check=False)
    except (ConfigError, DamageError) as err:
        found.faults.append(str(err))
        return
    found.faults += graph.verify()
    found.size += sum(e["size"] for e in [*graph.node_entries.values(), *graph.edge_entries.values()])
    try:
        index = store.get(paths.shard(INDEX))
    except NOT_THERE:
        return  # which is told of shards
    if not graph.is_of(index):
        found.unfinished.append(
            f"{folder.where(paths.GRAPH_INDEX)}: is of an earlier packing; run `curate graph` again"
        )
