"""What joins what: a rule per kind of edges, of the columns of a dataset. Pure.

Each gives senders, receivers and attributes; `tables.py` sorts them and flags those that lead across splits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import xxhash
from numpy.typing import NDArray

from curation.pack.graph import mesh, sphere
from curation.pack.graph.alike import TREES, alike
from curation.pack.graph.cellgrids import ERA5, CellGrid
from curation.pack.graph.nearest import mutual, nearest
from curation.pack.graph.released import PackedRelease, Vectors
from curation.pack.graph.stored import FRACTIONS
from curation.places.grids import Floats, Ints
from curation.places.nearby import unit

NODES = ("place", "patch", "cell", "variable", "scene", "mesh")
"""Types of nodes."""

KINDS = ("near", "next", "of", "in", "has", "adjacent", "like", "seen_by", "on", "joins")
"""Of edges."""

LABELS = "labels"
"""What `like` goes by where it is not an annotation's vectors."""

NONE = "none"

_SHIFT = 1e-7
"""By so much points are moved, each by what follows from its id, to say which of equals is the nearest."""

MOST_FLAT = 16
"""Numbers of a vector, beyond which a tree of points finds no neighbours faster than comparing all: up to so many, as most
label fractions have, who is alike is found exactly, however many there are."""

DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Rules:
    """What edges there are to be."""

    kinds: tuple[str, ...] = KINDS
    k: int = 8
    radius_m: float = 500_000.0
    like: str = LABELS
    """`labels`, an annotation of vectors, or `none`."""
    like_k: int = 5
    mesh: int | None = None
    """Order of the icosphere whose vertices are nodes; none where None."""
    cells: str = ERA5
    """Which cells, as `CellGrid.of` takes it."""
    variables: tuple[str, ...] = ()
    """Sources and annotations whose series are nodes."""


@dataclass(frozen=True, slots=True)
class Edges:
    """One kind of edges between two types of nodes."""

    source: str
    relation: str
    target: str
    src: Ints
    dst: Ints
    rule: str
    """For a person."""
    attributes: Mapping[str, Floats] = field(default_factory=dict)
    derives_from: tuple[str, ...] = ()
    """What a model must not predict that is given these edges: `fractions`, or an annotation."""


def near(its: PackedRelease, rules: Rules) -> Edges:
    """Places to the nearest places."""
    src, dst = sphere.near(its.lon, its.lat, rules.k, rules.radius_m)
    rule = f"the {rules.k} nearest within {rules.radius_m / 1000:g} km (great circle of the mean radius), both ways"
    return Edges("place", "near", "place", src, dst, rule, sphere.measured(its.lon, its.lat, src, dst))


def following(its: PackedRelease) -> Edges:
    """Patches to that of the same place in the next season that it has."""
    src = np.flatnonzero(its.patch_place[1:] == its.patch_place[:-1])
    known = (its.time_s[src] >= 0) & (its.time_s[src + 1] >= 0)
    days = np.where(known, (its.time_s[src + 1] - its.time_s[src]) / DAY_S, np.nan)
    return Edges("patch", "next", "patch", src, src + 1, "the same place, the next season that it has", {"days": days})


def provenance(its: PackedRelease) -> tuple[Edges, list[str]]:
    """Patches to the scenes that they were made of, and the names of these."""
    names = sorted(set(its.scene_name))
    number = {name: n for n, name in enumerate(names)}
    scene = np.array([number[n] for n in its.scene_name], np.int64)
    return Edges("patch", "seen_by", "scene", its.scene_patch, scene, "the scenes that a patch was made of"), names


def similar(its: PackedRelease, rules: Rules, neighbours: tuple[Ints, Ints]) -> Edges:
    """Patches alike in labels, or places alike in an annotation's vectors: each among the nearest of the other.

    Args:
        its: the dataset.
        rules: what is compared.
        neighbours: pairs of places that are near, which are left out: what is alike there is so for being near. So are
            places of one sample, which share its annotations.
    """
    count, sample = len(its.ids), _samples(its)
    close = np.unique(neighbours[0] * count + neighbours[1])
    if rules.like == LABELS:
        known = np.flatnonzero(~np.isnan(its.fractions).any(axis=1)) if its.label_names else np.empty(0, np.int64)
        place = its.patch_place[known]
        points = np.sqrt(np.maximum(its.fractions[known], 0)).astype(np.float64)
        names = [f"{its.ids[p]}/{s}" for p, s in zip(place.tolist(), its.patch_season[known].tolist(), strict=True)]
        node, derives, how = "patch", FRACTIONS, "label fractions (1 - Hellinger distance)"
    else:
        vectors = its.vectors[rules.like]
        known = np.flatnonzero(~np.isnan(vectors).any(axis=1) & (np.abs(vectors).sum(axis=1) > 0))
        place, points, names = known, _directions(vectors[known]), [its.ids[p] for p in known.tolist()]
        node, derives, how = "place", rules.like, f"{rules.like} (cosine)"

    def allowed(one: Ints, other: Ints) -> NDArray[np.bool_]:
        key = place[one] * count + place[other]
        at = np.minimum(np.searchsorted(close, key), max(len(close) - 1, 0))
        is_close = close[at] == key if len(close) else np.zeros(len(key), bool)
        return np.asarray((sample[place[one]] != sample[place[other]]) & ~is_close)

    in_blocks = points.shape[-1] > MOST_FLAT and len(points) > MOST_COMPARED
    moved = points + _shifts(names, points.shape[-1])
    one, other, _ = (alike if in_blocks else nearest)(moved, rules.like_k, allowed=allowed)
    src, dst = mutual(one, other, max(len(points), 1))
    apart = ((points[src] - points[dst]) ** 2).sum(axis=1)
    # Of directions |a - b|² = 2 - 2 cos; of roots of shares it is twice the squared Hellinger distance.
    like = 1 - apart / 2 if node == "place" else 1 - np.sqrt(np.maximum(apart, 0) / 2)
    rule = f"each among the {rules.like_k} most alike of the other in {how}, neither of the same sample nor near"
    rule += f"; looked for in {TREES} divisions into blocks, so that some are missed" if in_blocks else ""
    return Edges(node, "like", node, known[src], known[dst], rule, {"similarity": like}, (derives,))


def _samples(its: PackedRelease) -> Ints:
    """A number for the sample that each place is of: an annotation is the sample's, and the same of all its children."""
    _, split = np.unique(its.splits, return_inverse=True)
    return np.asarray(split.astype(np.int64) * (its.rows.max(initial=0) + 1) + its.rows)


MOST_COMPARED = 20_000
"""Vectors of many numbers that are compared each with each; of more those of the same blocks are (`alike.py`)."""


def _directions(vectors: Vectors) -> Floats:
    found = vectors.astype(np.float64)
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True))


def _shifts(names: list[str], size: int) -> Floats:
    """A tiny shift of each point that follows from its name: of equals the same one is the nearest, in whatever order."""
    seeds = np.array([xxhash.xxh3_64_intdigest(name.encode()) for name in names], np.uint64)
    odd = np.arange(size, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    words = (seeds[:, None] * odd) >> np.uint64(11)  # of 53 bits
    return np.asarray((words / 2.0**53 - 0.5) * _SHIFT)


@dataclass(frozen=True, slots=True)
class CellNodes:
    """The cells of a dataset, and what lies in them."""

    numbers: Ints
    """Sorted."""
    place: Ints
    """Pairs of a place and the cell, of the finest level, that its footprint lies in: the former."""
    cell: Ints
    """The position of the latter among the numbers."""
    share: Floats
    """Of the footprint in the cell."""
    child: Ints
    """Pairs of a cell and that of the next coarser level that it belongs to: positions of the former."""
    parent: Ints
    """Of the latter."""


def cells(its: PackedRelease, grid: CellGrid, more: Ints) -> CellNodes:
    """The cells that footprints lie in, and those that these belong to.

    Args:
        its: the dataset.
        grid: which cells.
        more: numbers of others, of the finest level.
    """
    place, number, share = grid.holding(its.lon, its.lat, its.half_deg)
    numbers, child, parent = grid.within(np.concatenate([number, more]))
    return CellNodes(numbers, place, np.searchsorted(numbers, number), share, child, parent)


def containing(its: CellNodes, relation: str, grid: CellGrid) -> list[Edges]:
    """Places and smaller cells to the cells that they lie in (`in`), or these to those (`has`)."""
    name = {"era5": "ERA5 cells of 0.25°", "healpix": "HEALPix cells", "h3": "H3 cells"}[grid.name]
    rule = f"the {name} that a footprint lies in, with the share of it in each"
    found = [_joined("place", "cell", its.place, its.cell, relation, rule, {"share": its.share})]
    if len(grid.levels) > 1:
        up = f"the {name} of the next coarser level that a cell belongs to"
        found.append(_joined("cell", "cell", its.child, its.parent, relation, up, {}))
    return found


def belonging(its: PackedRelease) -> Edges:
    """Patches to their places."""
    return Edges(
        "patch", "of", "place", np.arange(len(its.patch_place)), its.patch_place, "the place that a patch is of"
    )


def of_series(cell: Ints, relation: str) -> Edges:
    """Series to the cells that they are of (`of`), or these to those (`has`).

    Args:
        cell: of each series, the position of its cell.
        relation: which way.
    """
    variable, rule = np.arange(len(cell)), "the cell that a series is of"
    if relation == "of":
        return Edges("variable", "of", "cell", variable, cell, rule)
    return Edges("cell", "has", "variable", cell, variable, rule)


def _joined(
    inner: str, outer: str, one: Ints, other: Ints, relation: str, rule: str, attributes: Mapping[str, Floats]
) -> Edges:
    if relation == "in":
        return Edges(inner, "in", outer, one, other, rule, attributes)
    return Edges(outer, "has", inner, other, one, rule, attributes)


def bordering(numbers: Ints, grid: CellGrid) -> Edges:
    """Cells that share an edge."""
    src, dst, length = grid.adjacent(numbers)
    rule = "cells that share an edge" + ("; all of a pole are one cell" if grid.name == ERA5 else "")
    return Edges("cell", "adjacent", "cell", src, dst, rule, {"length_m": length})


def of_mesh(its: PackedRelease, order: int) -> tuple[Floats, Edges, Edges]:
    """Vertices of the mesh (n, 3); places to the corners of the face that they lie in; and vertices that are joined."""
    vertices, levels = mesh.icospheres(order)
    points = unit(its.lon, its.lat)
    corners = levels[-1][mesh.holding(points, vertices, levels)]
    place = np.repeat(np.arange(len(points)), 3)
    far = 2 * np.arcsin(np.linalg.norm(points[place] - vertices[corners.ravel()], axis=1) / 2) * sphere.RADIUS_M
    on = Edges("place", "on", "mesh", place, corners.ravel(), "corners of the face", {"distance_m": far})
    one, other, its_order = mesh.joined(levels)
    rule = f"edges of icospheres of order 0 to {order}"
    return vertices, on, Edges("mesh", "joins", "mesh", one, other, rule, {"order": its_order})
