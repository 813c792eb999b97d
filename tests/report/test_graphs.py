"""The graph on the report: each pair that is near, in the colour of whether it leads across splits, at the seam, too."""

import dataclasses
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

import curation
from curation.errors import DamageError
from curation.model import Location
from curation.pack.graph.edges import Rules
from curation.places import grid
from curation.report import graphs
from curation.report.page import render
from curation.report.survey import survey
from tests.pack.graph.globe import simulated
from tests.pack.graph.test_graph import of
from tests.run import Curate

SVG = "{http://www.w3.org/2000/svg}"


def drawn(to: Path, lon: np.ndarray, lat: np.ndarray) -> tuple[graphs.GraphView, curation.graph.Graph]:
    """The map of places, each fifth of which is `val`."""
    found = simulated(len(lon), seasons=1)
    found.lon, found.lat = lon.tolist(), lat.tolist()
    graph = of(found, to, Rules(k=3, radius_m=3e5))
    places = []
    for n, (x, y) in enumerate(zip(lon.tolist(), lat.tolist(), strict=True)):
        epsg, x0, y0 = grid.snapped(x, y, 2640)
        places.append(Location(found.ids[n], x, y, epsg, x0, y0, 2640, "r"))
    return graphs._drawn(graph, places, found.splits), graph


def lines(view: graphs.GraphView) -> dict[str, list[np.ndarray]]:
    """Colour → lines of the map, in points of the page."""
    out: dict[str, list[np.ndarray]] = {graphs.WITHIN: [], graphs.ACROSS: []}
    for path in ET.fromstring(str(view.svg)).iter(f"{SVG}path"):
        for colour, own in out.items():
            if f"stroke: {colour}" in path.get("style", ""):
                own.append(np.array(re.findall(r"[\d.]+", path.get("d", "")), float).reshape(-1, 2))
    return out


def test_each_pair_is_a_line_in_the_colour_of_whether_it_leads_across_splits(tmp_path: Path):
    draw = np.random.default_rng(0)
    view, graph = drawn(tmp_path, draw.uniform(4, 8, 40), draw.uniform(50, 53, 40))
    near = graph.edges("near")
    crossing = int(near.crosses.sum()) // 2
    assert crossing > 5
    found = lines(view)
    assert (len(found[graphs.WITHIN]), len(found[graphs.ACROSS])) == (len(near.src) // 2 - crossing, crossing)
    assert [n for _, _, n in view.lines] == [len(near.src) // 2 - crossing, crossing]
    assert view.counts == {"train": 32, "val": 8}
    assert len({*view.colours.values(), graphs.ACROSS, graphs.WITHIN}) == 4
    assert ("place near place", len(near.src), f"{2 * crossing:,}") in [t[:3] for t in view.types]
    assert all(t[3] and t[4] for t in view.types if t[0] == "place near place"), "homophily and Moran's I"


def test_pairs_across_the_antimeridian_are_short_on_the_map(tmp_path: Path):
    draw = np.random.default_rng(0)
    lon = (draw.uniform(-2, 2, 40) + 360) % 360 - 180
    view, graph = drawn(tmp_path, lon, draw.uniform(-2, 2, 40))
    near = graph.edges("near")
    assert (np.abs(lon[near.src] - lon[near.dst]) > 180).any()
    every = [line for own in lines(view).values() for line in own]
    assert len(every) == len(near.src) // 2
    width = float(ET.fromstring(str(view.svg)).get("viewBox", "").split()[2])
    assert max(np.ptp(line[:, 0]) for line in every) < width / 2


def test_of_many_pairs_some_are_drawn_and_the_page_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(graphs, "MOST_LINES", 10)
    draw = np.random.default_rng(0)
    view, graph = drawn(tmp_path, draw.uniform(4, 8, 40), draw.uniform(50, 53, 40))
    assert sum(map(len, lines(view).values())) == 10
    assert view.note == f"10 pairs of {graph.edge_entries['place', 'near', 'place']['count'] // 2} drawn."


def test_the_page_of_a_dataset_has_its_graph_and_names_one_of_an_earlier_packing(built: Curate, tmp_path: Path):
    run = built.copy(tmp_path / "root")
    assert graphs.view(survey(run.dataset, run.store)) is None
    assert run("graph") == 0
    view = graphs.view(survey(run.dataset, run.store))
    graph = curation.graph.open(run.folder / "graph")
    assert view is not None
    assert {name: count for name, count, *_ in view.types} == {
        **{n: e["count"] for n, e in graph.node_entries.items()},
        **{" ".join(n): e["count"] for n, e in graph.edge_entries.items()},
    }
    page = render(run.dataset, run.store)
    assert '<section id="graph">' in page
    assert str(view.svg) in page
    index = run.folder / "graph/graph.json"
    text = index.read_text()
    index.write_text(text.replace(json.loads(text)["follows_from"]["index_sha256"], "0" * 64))
    page = render(run.dataset, run.store)
    assert '<section id="graph">' not in page
    assert "graph: is of an earlier packing; run `curate graph` again" in page.replace("/: is", ": is")
    (run.folder / "graph/nodes/place.arrow").write_bytes(b"gone")
    index.write_text(text)
    assert "place.arrow: is not what graph.json says" in render(run.dataset, run.store)
    with pytest.raises(DamageError):
        curation.graph.open(run.folder / "graph")


def test_a_graph_without_near_edges_is_places_alone(tmp_path: Path):
    found = dataclasses.replace(simulated(12, seasons=1), lon=[5.0 + n / 9 for n in range(12)], lat=[50.0] * 12)
    graph = of(found, tmp_path, Rules(("of",)))
    epsg, x0, y0 = grid.snapped(5.0, 50.0, 2640)
    places = [Location(i, 5 + n / 9, 50.0, epsg, x0, y0, 2640, "r") for n, i in enumerate(found.ids)]
    view = graphs._drawn(graph, places, found.splits)
    assert [n for _, _, n in view.lines] == [0, 0]
