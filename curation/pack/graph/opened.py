"""A graph that was written, opened: `curation.graph.open(path)`. Wants neither scipy nor torch to be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from curation.errors import ConfigError
from curation.format.index import INDEX
from curation.pack.graph import blocks as partition
from curation.pack.graph import for_networkx, for_pyg, measures, model_input
from curation.pack.graph.blocks import Block
from curation.pack.graph.measures import shuffled
from curation.pack.graph.stored import EdgeTable, EdgeType, StoredGraph
from curation.places.grids import Ints
from curation.store import paths
from curation.store.objects import Store

__all__ = ["Block", "EdgeTable", "Graph", "open", "shuffled"]


@dataclass(frozen=True, slots=True, repr=False)
class Graph(StoredGraph):
    """A graph: tables of nodes and edges, and the forms that others take them in."""

    def blocks(self, most: int = 50_000, hops: int = 2) -> Iterator[Block]:
        """The places by parts of the globe, each with a halo: a graph too large for one step, trained on part by part.

            for block in graph.blocks(most=50_000, hops=2):
                data = graph.to_pyg(places=block.places)  # block.is_core says of which places the loss is

        Args:
            most: core places of a block.
            hops: how many steps along `near` the halo reaches: as many as the model has layers.
        """
        places = self.nodes("place")
        near = self.edges("near")
        lon, lat = (places.column(n).to_numpy() for n in ("lon", "lat"))
        yield from partition.blocks(lon, lat, near.src, near.dst, most, hops)

    def isolated(self) -> Ints:
        """Numbers of the places that have no neighbour within the radius of `near`."""
        return np.setdiff1d(np.arange(self.node_entries["place"]["count"]), self.edges("place", "near", "place").dst)

    def measures(self) -> dict[EdgeType, dict[str, float]]:
        """Of each type of edges between nodes that have labels: how much more the two ends agree than by chance.

        `homophily` is the share of edges whose ends have the same largest label, minus what shuffled edges would have;
        `morans_i` that of the share of each label, their mean.
        """
        out = {}
        for name in self.edge_entries:
            shares = self.labels(name[0])
            if name[0] == name[2] and shares is not None and self.edge_entries[name]["count"]:
                edges = self.edges(*name)
                out[name] = measures.of_labels(edges.src, edges.dst, shares)
        return out

    def to_dict(
        self,
        *,
        target: str = "",
        edges: Sequence[str] | None = None,
        across_splits: bool = False,
        places: Ints | None = None,
    ) -> dict[Any, dict[str, Any]]:
        """What a model is given, as NumPy arrays: what `to_pyg` makes tensors of.

        Of nodes `x` (where and when: unit vector, of patches the sine and cosine of the day of year, too; no label and no
        column is among them), `<split>_mask`, `number` (in the table of all), label fractions and columns under their own
        names, and of the target `y` instead; of variables `variable` (its number in `info["variables"]`) and `series`
        (NaN where unknown); of edges `edge_index` (sender, receiver), `edge_attr`, `crosses`.

        Args:
            target: what is to be predicted: `fractions`, a domain column, an annotation, or a variable, of which
                `<variable>@<step>` is one step (`s5p-no2@2021-07`): the others stay in `series`. Edges that derive from it
                are left out.
            edges: relations that are wanted; all where left out.
            across_splits: whether edges are among them that lead across splits: without, nothing of a held-out place
                reaches another split.
            places: numbers of the places that are wanted, with their patches, cells and scenes; all where left out.

        Raises:
            ConfigError: edges are asked for by name that derive from the target, or there are no such, or no such target.
        """
        return model_input.of(self, target, edges, across_splits, places)

    def to_pyg(self, **how: Any) -> Any:
        """The graph as PyTorch Geometric's `HeteroData`; arguments are those of `to_dict`.

        `torch.save(data.to_dict(), file)` is loaded by `HeteroData.from_dict(torch.load(file, weights_only=True))`.

        Raises:
            ConfigError: PyTorch Geometric is not installed, or as of `to_dict`.
        """
        return for_pyg.to_pyg(self.to_dict(**how))

    def to_networkx(self, most: int = 100_000) -> Any:
        """The graph as NetworkX's `MultiDiGraph`; nodes are `<type>/<number>`.

        Args:
            most: nodes that there may be: each takes kilobytes.

        Raises:
            ConfigError: there are more, or NetworkX is not installed.
        """
        return for_networkx.to_networkx(self, most)

    def to_geoparquet(self, into: str | Path) -> list[Path]:
        """Nodes as points and edges as lines, for QGIS: a GeoParquet file for each type that lies somewhere.

        Lines are great circles, cut at the antimeridian.

        Args:
            into: a folder, made where there is none.
        """
        from curation.pack.graph import lines  # which loads geopandas

        return lines.written(self, Path(into))


def open(path: str | Path, *, check: bool = True) -> Graph:
    """The graph in a folder, or a bucket: mapped, so that what is not looked at takes no memory.

    Args:
        path: the folder, or its `graph.json`.
        check: read every byte first and hold it against `graph.json`; and where it lies in its dataset's folder, see that
            it is of the shards that stand there.

    Raises:
        ConfigError: there is none, or it is of a newer version, or of an earlier packing: its splits and rows are not
            those of the shards.
        DamageError: it is not what was written.
    """
    folder = str(path).removesuffix(paths.GRAPH_INDEX).rstrip("/") or "/"
    graph = Graph.load(Store(folder), check=check)
    index = _index_beside(folder) if check else None
    if index is not None and not graph.is_of(index):
        raise ConfigError(f"{graph.store.where('')}: is of an earlier packing; run `curate graph` again")
    return graph


def _index_beside(folder: str) -> bytes | None:
    """The index of the dataset that a graph lies in the folder of; None where it lies elsewhere."""
    dataset, _, name = folder.rpartition("/")
    if name != paths.GRAPH:
        return None
    try:
        return Store(dataset or ".").get(paths.shard(INDEX))
    except FileNotFoundError:
        return None
