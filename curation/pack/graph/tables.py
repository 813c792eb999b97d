"""The tables of a graph: nodes and edges of each type as Arrow files that are mapped, not read."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.pack.graph import edges as kinds
from curation.pack.graph import series, sphere
from curation.pack.graph.cellgrids import CellGrid
from curation.pack.graph.edges import CellNodes, Edges, Rules
from curation.pack.graph.released import PackedRelease
from curation.pack.graph.series import SampleSeries, Variables
from curation.places.grids import Floats, Ints
from curation.places.nearby import unit
from curation.work.progress import Doing

Splits = NDArray[np.str_]

MIXED = ""
"""The split of a cell or a scene that has nodes of several: what leads to and from it leads across splits."""


@dataclass(frozen=True, slots=True)
class GraphTables:
    """A graph as tables."""

    nodes: Mapping[str, pa.Table]
    edges: Sequence[tuple[Edges, pa.Table]]


def made(its: PackedRelease, rules: Rules) -> GraphTables:
    """The graph of a dataset.

    Args:
        its: its places, patches and scenes.
        rules: which edges there are to be.
    """
    nodes = {"place": _places(its), "patch": _patches(its)}
    splits = {"place": its.splits, "patch": its.splits[its.patch_place]}
    found: list[Edges] = []
    without_like = rules.like == kinds.NONE or (rules.like == kinds.LABELS and not its.label_names)
    wanted = set(rules.kinds) - ({"like"} if without_like else set())
    if wanted & {"near", "like"}:
        with Doing("graph: near", often_short=True):
            near = kinds.near(its, rules)
        found += [near] if "near" in wanted else []
        if "like" in wanted:
            with Doing("graph: like", often_short=True):
                found.append(kinds.similar(its, rules, (near.src, near.dst)))
    if "next" in wanted:
        found.append(kinds.following(its))
    if "of" in wanted:
        found.append(kinds.belonging(its))
    if wanted & {"in", "has", "adjacent"} or its.series is not None:
        with Doing("graph: cells", often_short=True):
            found += _add_cells(its, rules, wanted, nodes, splits)
    if "seen_by" in wanted:
        seen, names = kinds.provenance(its)
        splits["scene"] = _split_of(splits["patch"][seen.src], seen.dst, len(names))
        nodes["scene"] = pa.table({"id": pa.array(names, pa.string()), "split": pa.array(splits["scene"].tolist())})
        found.append(seen)
    if rules.mesh is not None and wanted & {"on", "joins"}:
        vertices, on, joins = kinds.of_mesh(its, rules.mesh)
        splits["mesh"] = _split_of(its.splits[on.src], on.dst, len(vertices))
        nodes["mesh"] = _mesh(vertices, splits["mesh"])
        found += [e for e in (on, joins) if e.relation in wanted]
    order = sorted(found, key=lambda e: (kinds.KINDS.index(e.relation), e.source, e.target))
    return GraphTables(nodes, [(e, _edge_table(e, splits[e.source], splits[e.target])) for e in order])


def _add_cells(
    its: PackedRelease, rules: Rules, wanted: AbstractSet[str], nodes: dict[str, pa.Table], splits: dict[str, Splits]
) -> list[Edges]:
    """Edges of cells and of variables; adds these nodes and their splits."""
    grid = CellGrid.of(rules.cells)
    none = np.empty(0, np.int64)
    at = none if its.series is None else grid.numbers_at(its.series.lon, its.series.lat)
    cells = kinds.cells(its, grid, at)
    found = [e for r in ("in", "has") if r in wanted for e in kinds.containing(cells, r, grid)]
    sources, groups = [its.splits[cells.place]], [cells.cell]
    if its.series is not None:
        own = series.by_cell(its.series, at)
        cell = np.searchsorted(cells.numbers, own.cell)
        of_sample = its.series.splits[own.sample]
        splits["variable"] = _split_of(of_sample, own.part_of, len(cell))
        nodes["variable"] = _variables(its.series, own, cell, splits["variable"])
        sources, groups = [*sources, of_sample], [*groups, cell[own.part_of]]
        found += [kinds.of_series(cell, r) for r in ("of", "has") if r in wanted]
    splits["cell"] = _of_parents(np.concatenate(sources), np.concatenate(groups), cells)
    nodes["cell"] = _cells(cells.numbers, grid, splits["cell"])
    return [*found, kinds.bordering(cells.numbers, grid)] if "adjacent" in wanted else found


def _of_parents(splits: Splits, cell: Ints, cells: CellNodes) -> Splits:
    """The split of cells, those of coarser levels among them: theirs whose places lie in it, where it is one."""
    every, group = [splits], [cell]
    parent = np.full(len(cells.numbers), -1)
    parent[cells.child] = cells.parent
    while len(cell):
        cell, splits = parent[cell], splits[parent[cell] >= 0]
        cell = cell[cell >= 0]
        every.append(splits)
        group.append(cell)
    return _split_of(np.concatenate(every), np.concatenate(group), len(cells.numbers))


def _split_of(splits: Splits, group: Ints, count: int) -> Splits:
    """The split of what has nodes: theirs where it is one.

    Args:
        splits: of each pair of a node and what has it.
        group: the latter.
        count: how many of these there are.
    """
    names, number = np.unique(splits, return_inverse=True)
    low, high = np.full(count, len(names)), np.full(count, -1)
    np.minimum.at(low, group, number)
    np.maximum.at(high, group, number)
    named = np.append(names, MIXED)
    return np.asarray(np.where(low == high, named[np.minimum(low, len(names))], MIXED))


def _edge_table(its: Edges, of_source: Splits, of_target: Splits) -> pa.Table:
    """Sorted by (receiver, sender)."""
    order = np.lexsort([its.src, its.dst])
    src, dst = its.src[order], its.dst[order]
    one, other = of_source[src], of_target[dst]
    crosses = (one != other) | (one == MIXED)
    columns = {name: pa.array(values[order].astype(np.float32)) for name, values in its.attributes.items()}
    # A byte each: bits cannot be mapped as an array.
    return pa.table(
        {"src": pa.array(src), "dst": pa.array(dst), **columns, "crosses": pa.array(crosses.view(np.uint8))}
    )


def vectors(values: NDArray[Any]) -> pa.Array:
    """An array (n, d) as a column of lists of one length."""
    flat = pa.array(np.ascontiguousarray(values, np.float32).ravel())
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def _places(its: PackedRelease) -> pa.Table:
    columns: dict[str, Any] = {
        "id": pa.array(its.ids, pa.string()),
        "lon": pa.array(its.lon),
        "lat": pa.array(its.lat),
        "xyz": vectors(unit(its.lon, its.lat)),
        "split": pa.array(its.splits.tolist(), pa.string()),
        "region": pa.array(its.regions, pa.string()),
        "row": pa.array(its.rows),
    }
    columns |= {f"column_{n}": _column(v) for n, v in its.columns.items()}
    return pa.table(columns | {f"vector_{n}": vectors(v) for n, v in its.vectors.items()})


def _column(values: Sequence[Any]) -> pa.Array:
    """A domain column: texts, null where unknown, or numbers, NaN where unknown."""
    if any(isinstance(v, str) for v in values):
        return pa.array(values, pa.string())
    return pa.array(np.array([np.nan if v is None else v for v in values], np.float64))


def _patches(its: PackedRelease) -> pa.Table:
    columns: dict[str, Any] = {
        "place": pa.array(its.patch_place),
        "season": pa.array([its.seasons[s] for s in its.patch_season.tolist()], pa.string()),
        "split": pa.array(its.splits[its.patch_place].tolist(), pa.string()),
        "time_s": pa.array(its.time_s),
    }
    return pa.table(columns | ({"fractions": vectors(its.fractions)} if its.label_names else {}))


def _cells(numbers: Ints, grid: CellGrid, splits: Splits) -> pa.Table:
    lon, lat = grid.centres(numbers)
    return pa.table(
        {
            "id": pa.array(grid.ids(numbers), pa.string()),
            "lon": pa.array(lon),
            "lat": pa.array(lat),
            "xyz": vectors(unit(lon, lat)),
            "split": pa.array(splits.tolist(), pa.string()),
        }
    )


def _variables(its: SampleSeries, own: Variables, cell: Ints, splits: Splits) -> pa.Table:
    return pa.table(
        {
            "name": pa.array([its.names[n] for n in own.name.tolist()], pa.string()),
            "unit": pa.array([its.units[n] for n in own.name.tolist()], pa.string()),
            "cell": pa.array(cell),
            "split": pa.array(splits.tolist(), pa.string()),
            "series": vectors(own.values),
        }
    )


def _mesh(vertices: Floats, splits: Splits) -> pa.Table:
    lon, lat = sphere.lonlat(vertices)
    own = {"lon": pa.array(lon), "lat": pa.array(lat), "xyz": vectors(vertices)}
    return pa.table({"id": pa.array(np.arange(len(lon))), **own, "split": pa.array(splits.tolist(), pa.string())})


def to_bytes(table: pa.Table) -> bytes:
    """An Arrow IPC file: uncompressed, one record batch, the same rows give the same bytes."""
    out = io.BytesIO()
    with pa.ipc.new_file(out, table.schema, options=pa.ipc.IpcWriteOptions(compression=None)) as writer:
        for batch in table.combine_chunks().to_batches() or [pa.RecordBatch.from_pylist([], table.schema)]:
            writer.write_batch(batch)
    return out.getvalue()
