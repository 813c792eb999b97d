"""An icosahedron on the sphere, its faces halved again and again: nodes that cover the globe evenly. Pure."""

from __future__ import annotations

import numpy as np

from curation.places.grids import Floats, Ints

MOST_ORDER = 8
"""655,362 vertices, 28 km apart."""


def _icosahedron() -> tuple[Floats, Ints]:
    """12 vertices, 20 faces counter-clockwise from outside."""
    golden = (1 + 5**0.5) / 2
    one = [(a, b * golden) for a in (-1, 1) for b in (-1, 1)]
    vertices = np.array([(0, a, b) for a, b in one] + [(a, b, 0) for a, b in one] + [(b, 0, a) for a, b in one])
    vertices = vertices / np.linalg.norm(vertices, axis=1, keepdims=True)
    near = vertices @ vertices.T > 0.4  # neighbours have 1/√5
    faces = [
        (a, b, c)
        for a in range(12)
        for b in range(a + 1, 12)
        for c in range(b + 1, 12)
        if near[a, b] and near[b, c] and near[a, c]
    ]
    outward = [np.linalg.det(vertices[list(f)]) > 0 for f in faces]
    return vertices, np.array([f if out else f[::-1] for f, out in zip(faces, outward, strict=True)], np.int64)


def icospheres(order: int) -> tuple[Floats, list[Ints]]:
    """Vertices (10·4^order + 2, 3) on the unit sphere, and the faces (20·4^s, 3) of each order s up to that.

    Vertices of an order are the first of those of the next; face f there becomes the faces 4f to 4f + 3.
    """
    vertices, faces = _icosahedron()
    levels = [faces]
    for _ in range(order):
        one, other = edges_of(faces).T
        middle = vertices[one] + vertices[other]
        middle = middle / np.linalg.norm(middle, axis=1, keepdims=True)
        number = [len(vertices) + np.searchsorted(_keys(one, other), _keys(a, b)) for a, b in _sides(faces)]
        a, b, c, (ab, bc, ca) = *faces.T, number
        faces = np.stack([a, ab, ca, b, bc, ab, c, ca, bc, ab, bc, ca], axis=1).reshape(-1, 3)
        vertices = np.concatenate([vertices, middle])
        levels.append(faces)
    return vertices, levels


def _sides(faces: Ints) -> list[tuple[Ints, Ints]]:
    return [(faces[:, n], faces[:, (n + 1) % 3]) for n in range(3)]


def _keys(one: Ints, other: Ints) -> Ints:
    """A number for each pair, whichever comes first."""
    return np.asarray((np.minimum(one, other) << 32) | np.maximum(one, other))


def edges_of(faces: Ints) -> Ints:
    """Each edge of triangles once (n, 2), in order: of one, two or however many faces."""
    key = np.unique(np.concatenate([_keys(a, b) for a, b in _sides(faces)]))
    return np.stack([key >> 32, key & 0xFFFFFFFF], axis=1)


def holding(points: Floats, vertices: Floats, levels: list[Ints]) -> Ints:
    """Number of the face of the last order that each point of the sphere lies in: found order by order."""
    face = _best(points, vertices, levels[0], np.broadcast_to(np.arange(20), (len(points), 20)))
    for faces in levels[1:]:
        face = _best(points, vertices, faces, 4 * face[:, None] + np.arange(4))
    return face


def _best(points: Floats, vertices: Floats, faces: Ints, among: Ints) -> Ints:
    """Of some faces for each point the one that it lies in: on the inner side of all three sides."""
    corners = vertices[faces[among]]
    following = np.roll(corners, -1, axis=2)
    normals = np.cross(corners, following)
    normals = normals / np.linalg.norm(normals, axis=-1, keepdims=True)
    inside = np.einsum("nfsd,nd->nfs", normals, points).min(axis=2)
    return np.asarray(among[np.arange(len(points)), inside.argmax(axis=1)], np.int64)


def joined(levels: list[Ints]) -> tuple[Ints, Ints, Floats]:
    """Edges of all orders, in both directions, and the order of each: long ones of the first, short ones of the last."""
    every = [edges_of(faces) for faces in levels]
    order = np.repeat(np.arange(len(levels), dtype=np.float64), [len(e) for e in every])
    one, other = np.concatenate(every).T
    return np.concatenate([one, other]), np.concatenate([other, one]), np.concatenate([order, order])
