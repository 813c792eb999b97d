"""Edges on a map are great circles, whole on either side of the antimeridian; other libraries read what is written."""

from pathlib import Path

import geopandas as gpd
import networkx
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod

from curation.errors import ConfigError
from curation.pack.graph.edges import Rules
from curation.pack.graph.lines import STEP_M, great_circles
from curation.places.nearby import unit
from tests.pack.graph.globe import lonlat, scattered, simulated
from tests.pack.graph.test_graph import of
from tests.properties import examples

SPHERE = Geod(a=6_371_008.8, f=0)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=examples(60))
def test_lines_lie_on_their_great_circle_are_as_long_and_never_cross_the_map(seed: int):
    lon, lat = lonlat(scattered(40, seed))
    src, dst = np.arange(0, 40, 2), np.arange(1, 40, 2)
    shapes = great_circles(lon, lat, lon, lat, src, dst)
    length = SPHERE.inv(lon[src], lat[src], lon[dst], lat[dst])[2]
    for n, shape in enumerate(shapes):
        points = shapely.get_coordinates(shape)
        parts = shapely.get_parts(shape)
        assert all(np.abs(np.diff(shapely.get_coordinates(p)[:, 0])).max() <= 180 for p in parts)
        total = sum(SPHERE.line_length(*shapely.get_coordinates(p).T) for p in parts)
        # Where it is cut, a step is a straight line on the map: near a pole that is a longer way.
        assert total == pytest.approx(length[n], rel=2e-2 if len(parts) == 1 else 0.2)
        normal = np.cross(*unit(lon[[src[n], dst[n]]], lat[[src[n], dst[n]]]))
        inner = points[np.abs(np.abs(points[:, 0]) - 180) > 1e-9]
        assert np.abs(unit(*inner.T) @ normal / np.linalg.norm(normal)).max() < 1e-6
        np.testing.assert_allclose(points[[0, -1]], [[lon[src[n]], lat[src[n]]], [lon[dst[n]], lat[dst[n]]]], atol=1e-9)


def test_a_line_across_the_antimeridian_is_two_that_end_there():
    lon, lat = np.array([179.5, -179.5]), np.array([0.0, 1.0])
    there, back = great_circles(lon, lat, lon, lat, np.array([0, 1]), np.array([1, 0]))
    for shape, first in ((there, 180.0), (back, -180.0)):
        one, other = (shapely.get_coordinates(p) for p in shapely.get_parts(shape))
        assert (one[-1, 0], other[0, 0]) == (first, -first)
        assert one[-1, 1] == other[0, 1] == pytest.approx(0.5, abs=1e-2)
    assert STEP_M == 100_000  # 157 km: two steps, the second of which is cut or ends there


def test_every_type_that_lies_somewhere_is_a_file_that_opens_with_its_attributes(tmp_path: Path):
    graph = of(simulated(300), tmp_path / "graph", Rules(radius_m=3e6))
    files = graph.to_geoparquet(tmp_path / "map")
    assert {f.name for f in files} == {
        *("place.parquet", "patch.parquet", "cell.parquet", "place-near-place.parquet"),
        *("place-in-cell.parquet", "cell-adjacent-cell.parquet", "patch-like-patch.parquet"),
    }
    near, its = gpd.read_parquet(tmp_path / "map" / "place-near-place.parquet"), graph.edges("near")
    assert near.crs.to_epsg() == 4326
    np.testing.assert_array_equal(near["src"], its.src)
    np.testing.assert_array_equal(near["distance_m"], its.attributes["distance_m"])
    assert (near.geom_type == "MultiLineString").any()
    assert gpd.read_parquet(tmp_path / "map" / "place.parquet")["id"].tolist()[:2] == ["p0000000", "p0000001"]


def test_networkx_has_all_nodes_and_edges_and_writes_them_as_graphml(tmp_path: Path):
    graph = of(simulated(60), tmp_path / "graph", Rules(radius_m=3e6))
    its = graph.to_networkx()
    assert its.number_of_nodes() == sum(e["count"] for e in graph.node_entries.values())
    assert its.number_of_edges() == sum(e["count"] for e in graph.edge_entries.values())
    # Handshake: degrees add up to twice the edges.
    assert sum(d for _, d in its.degree()) == 2 * its.number_of_edges()
    near = graph.edges("near")
    edge = its.edges[f"place/{near.src[0]}", f"place/{near.dst[0]}", "near"]
    assert edge["distance_m"] == near.attributes["distance_m"][0]
    assert edge["crosses"] == near.crosses[0]
    networkx.write_graphml(its, tmp_path / "graph.graphml")
    with pytest.raises(ConfigError, match="expected at most 10"):
        graph.to_networkx(most=10)
