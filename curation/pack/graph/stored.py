"""The tables of a graph as they are stored: mapped, and held against `graph.json`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, TypedDict

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.errors import ConfigError, DamageError
from curation.errors.printable import printable
from curation.errors.words import did_you_mean
from curation.format.strict import Count, Sha256, Text, json_of
from curation.pack.graph import measures
from curation.places.grids import Ints
from curation.store import paths
from curation.store.objects import Store

FORMAT, VERSION = "curation-graph", 1

FRACTIONS = "fractions"
"""What label fractions are called where it is said what is predicted, and what edges derive from."""

EdgeType = tuple[str, str, str]
"""Type of the senders, relation, type of the receivers."""

Nodes = Mapping[str, Ints]
"""Type → numbers of nodes, sorted."""


class NodeEntry(TypedDict):
    """What `graph.json` says of a table."""

    file: str
    """Key."""
    size: Count
    """Bytes."""
    sha256: Sha256
    count: Count
    """Rows."""


class EdgeEntry(NodeEntry):
    """What it says of one of edges."""

    source: Text
    relation: Text
    target: Text
    rule: Text
    attributes: list[Text]
    derives_from: list[Text]
    crossing: Count


class FollowsFrom(TypedDict):
    """What a graph is of."""

    index_sha256: Sha256
    content_sha256: Sha256
    rules: dict[str, Any]


class GraphInfo(TypedDict):
    """What `graph.json` says."""

    format: str
    version: int
    dataset: Text
    digest: Text
    follows_from: FollowsFrom
    seasons: list[Text]
    label_names: list[Text]
    target: Text
    variables: list[Text]
    """Names of series of cells."""
    steps: list[Text]
    """Along each series."""
    nodes: dict[str, NodeEntry]
    edges: list[EdgeEntry]
    isolated: Count
    written_by: dict[str, Any]


@dataclass(frozen=True, slots=True)
class EdgeTable:
    """The edges of a type, mapped: sorted by (receiver, sender), no node joined with itself by `near`, `like`, `next`."""

    src: Ints
    dst: Ints
    attributes: Mapping[str, NDArray[np.float32]]
    crosses: NDArray[np.bool_]
    """Whether each leads from one split to another, or to or from a cell or scene that several splits share."""


@dataclass(frozen=True, slots=True, repr=False)
class StoredGraph:
    """Tables of nodes and edges, mapped where they lie in a folder."""

    store: Store
    info: GraphInfo
    """What `graph.json` says."""
    node_entries: Mapping[str, NodeEntry]
    edge_entries: Mapping[EdgeType, EdgeEntry]

    @classmethod
    def load(cls, store: Store, *, check: bool = True) -> Self:
        """The graph in a folder.

        Args:
            store: the folder.
            check: read every byte first and hold it against `graph.json`.

        Raises:
            ConfigError: there is none, or it is of a newer version.
            DamageError: it is not what was written.
        """
        where = store.where(paths.GRAPH_INDEX)
        try:
            value = json_of(store.get(paths.GRAPH_INDEX))
        except FileNotFoundError as err:
            raise ConfigError(
                f"{where}: there is no graph, or making it did not end: `curate graph` makes one"
            ) from err
        except ValueError as err:
            raise DamageError(f"{where}: not JSON ({err}); make the graph again") from err
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise DamageError(f"{where}: expected format {FORMAT!r}: this is not what tells of a graph")
        if value.get("version") != VERSION:
            raise ConfigError(f"{where}: version {value.get('version')}, this software reads {VERSION}")
        try:
            info = msgspec.convert(value, GraphInfo)
            edges = _consistent(info)
        except ValueError as err:  # msgspec's are such
            raise DamageError(f"{where}: {printable(str(err))}; make the graph again") from err
        graph = cls(store, info, info["nodes"], edges)
        if check and (faults := graph.verify()):
            raise DamageError("; ".join(faults))
        return graph

    def __repr__(self) -> str:
        nodes = ", ".join(f"{e['count']} {n}" for n, e in self.node_entries.items())
        edges = ", ".join(f"{e['count']} {' '.join(t)}" for t, e in self.edge_entries.items())
        return f"Graph of {self.info['dataset']}: {nodes}; {edges}"

    def nodes(self, name: str) -> pa.Table:
        """The table of a type of nodes; row n is node n.

        Raises:
            ConfigError: there is none.
        """
        if name not in self.node_entries:
            raise ConfigError(f"{self.store.where('')}: no nodes {name!r}; there are {', '.join(self.node_entries)}")
        return self._table(self.node_entries[name])

    def edges(self, *name: str) -> EdgeTable:
        """The edges of a type, by relation (`near`), or whole (`place`, `near`, `place`) where several are called so.

        Raises:
            ConfigError: there are none, or several.
        """
        entry = self.edge_entries[self.edge_type(*name)]
        table = self._table(entry)
        if lacks := {"src", "dst", "crosses", *entry["attributes"]} - set(table.schema.names):
            raise DamageError(
                f"{self.store.where(entry['file'])}: no column {min(lacks)!r}, which edges have; make the graph again"
            )
        column = {n: table.column(n).chunk(0).to_numpy(zero_copy_only=True) for n in table.schema.names}
        attributes = {n: column[n] for n in entry["attributes"]}
        return EdgeTable(column["src"], column["dst"], attributes, column["crosses"].view(np.bool_))

    def edge_types(self, *name: str) -> list[EdgeType]:
        """The types that are called so, one at least.

        Raises:
            ConfigError: there are none.
        """
        found = [t for t in self.edge_entries if t == name or (len(name) == 1 and t[1] == name[0])]
        if not found:
            known = list(dict.fromkeys(t[1] for t in self.edge_entries))
            hint = did_you_mean(name[-1], known) if name else ""
            raise ConfigError(
                f"{self.store.where('')}: no edges {' '.join(name)!r}; {hint}there are {', '.join(known)}"
            )
        return found

    def edge_type(self, *name: str) -> EdgeType:
        """The type that is called so."""
        found = self.edge_types(*name)
        if len(found) > 1:
            every = ", ".join(" ".join(t) for t in found)
            raise ConfigError(f"{self.store.where('')}: several edges are called {name[-1]!r}; say which: {every}")
        return found[0]

    def _table(self, entry: Mapping[str, Any]) -> pa.Table:
        key = entry["file"]
        where = self.store.where(key)
        try:
            source = pa.memory_map(where) if self.store.is_local else pa.py_buffer(self.store.get(key))
            table = pa.ipc.open_file(source).read_all()
        except (FileNotFoundError, pa.ArrowException, OSError) as err:
            raise DamageError(f"{where}: cannot be read ({err}); make the graph again: `curate graph`") from err
        if table.num_rows != entry["count"]:
            raise DamageError(f"{where}: {table.num_rows} rows, graph.json says {entry['count']}; make the graph again")
        return table

    def verify(self) -> list[str]:
        """What is wrong, a line each: every byte is read, and held against `graph.json`."""
        faults = []
        for entry in [*self.node_entries.values(), *self.edge_entries.values()]:
            where = self.store.where(entry["file"])
            try:
                data = self.store.get(entry["file"])
            except FileNotFoundError:
                faults.append(f"{where}: graph.json names it, and it is not there; make the graph again")
                continue
            if len(data) != entry["size"] or hashlib.sha256(data).hexdigest() != entry["sha256"]:
                faults.append(f"{where}: is not what graph.json says ({len(data)} bytes); make the graph again")
        return faults

    def is_of(self, index: bytes) -> bool:
        """Whether this is the graph of the shards that have such an index."""
        return self.info["follows_from"]["index_sha256"] == hashlib.sha256(index).hexdigest()

    def labels(self, node: str) -> NDArray[np.float32] | None:
        """Label fractions of patches, or the mean of a place's patches, (n, label), NaN where unknown; None without."""
        if not self.info["label_names"] or node not in ("patch", "place"):
            return None
        patches = self.nodes("patch")
        shares = list_column(patches, "fractions")
        if node == "patch":
            return shares
        return measures.means(patches.column("place").to_numpy(), shares, self.node_entries["place"]["count"])


def _consistent(info: GraphInfo) -> Mapping[EdgeType, EdgeEntry]:
    """Edges by type. Raises ValueError where these are not of nodes that there are, or tables not where they are written."""
    edges = {(e["source"], e["relation"], e["target"]): e for e in info["edges"]}
    if len(edges) != len(info["edges"]):
        raise ValueError("edges: one type is there twice")
    if lacks := {"place", "patch", *(n for t in edges for n in (t[0], t[2]))} - set(info["nodes"]):
        raise ValueError(f"nodes: {min(lacks)!r} is not there, and is needed")
    named: dict[tuple[str, ...], NodeEntry] = {(name,): entry for name, entry in info["nodes"].items()}
    for key, entry in [*named.items(), *edges.items()]:
        if entry["file"] != paths.graph_table(*key):
            raise ValueError(f"file: got {entry['file']!r}, expected {paths.graph_table(*key)!r}")
    return edges


def list_column(table: pa.Table, name: str) -> NDArray[np.float32]:
    """A column of lists of one length as an array (n, d)."""
    column = table.column(name).combine_chunks()
    column = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
    size = column.type.list_size
    found: NDArray[np.float32] = column.flatten().to_numpy(zero_copy_only=True).reshape(-1, size)
    return found
