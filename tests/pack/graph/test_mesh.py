"""Icospheres are closed, and each point lies in one of their faces; a mesh that is refined in parts is seen to be open."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import ConfigError
from curation.pack.graph import mesh, write
from curation.pack.graph.edges import KINDS, Rules
from tests.pack.graph.globe import scattered, simulated
from tests.pack.graph.test_graph import of
from tests.properties import examples


def euler(faces: np.ndarray) -> int:
    """Vertices - edges + faces: 2 of what is closed as a sphere is."""
    return len(np.unique(faces)) - len(mesh.edges_of(faces)) + len(faces)


def is_closed(faces: np.ndarray) -> bool:
    """Whether each edge has two faces, and all are one sphere."""
    sides = np.sort(np.concatenate([faces[:, [n, (n + 1) % 3]] for n in range(3)]), axis=1)
    return bool((np.unique(sides, axis=0, return_counts=True)[1] == 2).all()) and euler(faces) == 2


@pytest.mark.parametrize("order", range(5))
def test_an_icosphere_is_closed_and_has_as_many_vertices_edges_and_faces_as_euler_says(order: int):
    vertices, levels = mesh.icospheres(order)
    faces = levels[-1]
    assert (len(vertices), len(faces), len(mesh.edges_of(faces))) == (10 * 4**order + 2, 20 * 4**order, 30 * 4**order)
    assert euler(faces) == 2
    assert is_closed(faces)
    np.testing.assert_allclose(np.linalg.norm(vertices, axis=1), 1)
    degree = np.bincount(mesh.edges_of(faces).ravel())
    assert sorted(np.unique(degree, return_counts=True)[1].tolist()) == sorted(
        [12, len(vertices) - 12][: 1 + bool(order)]
    )
    assert (np.linalg.det(vertices[faces]) > 0).all(), "some are turned inside out"


def test_a_mesh_that_is_refined_in_parts_or_has_a_hole_is_open():
    _, levels = mesh.icospheres(2)
    # Faces 0 to 9 as they are, of the others four each: as FireCastNet's meshes are, with nodes that hang.
    mixed = np.concatenate([levels[1][:40], levels[2][160:]])
    assert not is_closed(mixed)
    assert euler(mixed) != 2
    assert not is_closed(levels[1][1:])
    assert not is_closed(np.concatenate([levels[1], levels[1][:1]])), "a face twice"


@given(st.integers(0, 2**32 - 1), st.integers(0, 4))
@settings(max_examples=examples(40))
def test_each_point_lies_within_the_face_that_is_found_and_its_corners_are_near(seed: int, order: int):
    points = scattered(50, seed)
    vertices, levels = mesh.icospheres(order)
    found = mesh.holding(points, vertices, levels)
    corners = vertices[levels[-1][found]]
    # Weights of the corners that make the point: none is negative within.
    weights = np.linalg.solve(corners.transpose(0, 2, 1), points[:, :, None])[..., 0]
    assert weights.min() > -1e-9


def test_a_graph_with_a_mesh_has_each_place_on_three_of_its_nodes(tmp_path: Path):
    graph = of(simulated(200), tmp_path, Rules(mesh=3))
    on, joins = graph.edges("on"), graph.edges("joins")
    assert graph.node_entries["mesh"]["count"] == 642
    assert (np.bincount(on.src) == 3).all()
    assert np.bincount(joins.dst).sum() == len(joins.src) == 2 * (30 + 120 + 480 + 1920)
    assert set(np.unique(joins.attributes["order"])) == {0, 1, 2, 3}
    value = graph.to_dict(places=np.arange(20), across_splits=True)
    assert value["place", "on", "mesh"]["edge_index"].shape == (2, 60)
    with pytest.raises(ConfigError, match="expected an order of 0 to 8"):
        write.checked(Rules(KINDS, mesh=9))
