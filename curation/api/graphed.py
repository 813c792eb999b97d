"""The step that makes the graph of a dataset, part of what `curation.load` gives, and what it came to, or would come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from curation.api.results import Result, Rows
from curation.api.steps import Steps, naming
from curation.errors.words import counted
from curation.store import paths
from curation.store.objects import Store
from curation.work import telling
from curation.work.progress import shown_bytes

if TYPE_CHECKING:  # it wants scipy
    from curation.pack.graph.write import WrittenGraph


@dataclass(frozen=True, slots=True, repr=False)
class GraphResult(Result):
    """Nodes and edges that are there; of a dry run those that would be."""

    found: WrittenGraph
    where: str
    """The folder; empty of a dry run."""

    def rows(self) -> Rows:
        """A line per type of nodes and edges."""
        nodes = [(name, str(count), "") for name, count in self.found.nodes.items()]
        edges = [(name, str(count), str(crossing)) for name, (count, crossing) in self.found.edges.items()]
        return [("type", "count", "across splits"), *nodes, *edges]

    def lines(self) -> list[str]:
        """The table, and what is told beside it."""
        width = max(len(r[0]) for r in self.rows())
        return [*(f"{a:{width}}  {b:>10}  {c:>13}".rstrip() for a, b, c in self.rows()), *self.notes()]

    def notes(self) -> list[str]:
        """What else is to be known, and where it is."""
        its = self.found
        out = [f"{counted(its.isolated, 'place')} without a neighbour within --radius-km"] if its.isolated else []
        size = f"{shown_bytes(its.size)} of tables"
        if not self.where:
            return [*out, f"{size} to write; nothing is written"]
        return [*out, f"{size}; {'there already: ' if its.reused else 'written to '}{self.where}"]


class GraphSteps(Steps):
    """What `curate graph` does."""

    __slots__ = ()

    @telling.shown()
    def graph(
        self,
        to: str | Path | None = None,
        *,
        edges: Sequence[str] | None = None,
        k: int = 8,
        radius_km: float = 500.0,
        like: str = "labels",
        like_k: int = 5,
        mesh: int | None = None,
        cells: str = "era5",
        variables: Sequence[str] = (),
        dry_run: bool = False,
    ) -> GraphResult:
        """Makes the graph of the packed dataset: places, patches, cells and scenes, and what joins them.

            made.graph()
            data = curation.graph.open("shards/ssl4eo-s/graph").to_pyg(target="fractions")

        Args:
            to: a folder or URL; `graph` below the dataset's where left out.
            edges: of `near`, `next`, `of`, `in`, `has`, `adjacent`, `like`, `seen_by`, `on`, `joins`; all where left out.
            k: so many nearest places of each, for `near`.
            radius_km: that lie no further.
            like: what `like` compares: `labels` (fractions), an annotation of vectors, or `none`.
            like_k: each among so many most alike of the other.
            mesh: order of an icosphere whose vertices are nodes, too; none where left out.
            cells: `era5`, `healpix:N` or `h3:N`; of several levels with commas, the coarsest first.
            variables: sources and annotations whose series, by cell, are nodes: `s5p-no2`, `era5/t2m`.
            dry_run: only count; nothing is written.

        Raises:
            ConfigError: nothing is packed, or there are no such edges or vectors.
            DamageError: what is packed is not what was recorded.
        """
        from curation.pack.graph import write
        from curation.pack.graph.edges import KINDS, Rules

        kinds = tuple(KINDS if edges is None else edges)
        rules = write.checked(Rules(kinds, k, radius_km * 1000, like, like_k, mesh, cells, tuple(variables)))
        target = self.store.child(paths.GRAPH) if to is None else Store(to)
        with naming("--to", target.where("") if to is None else to):
            target.check_answers()
            if not dry_run:
                target.check_writable()
        found = write.written(self.store, target, rules, dry_run=dry_run)
        return GraphResult(found, "" if dry_run else target.where(""))
