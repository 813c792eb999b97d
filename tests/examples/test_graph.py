"""A forecast on a graph: what it may see, which edges it has by each way, and what is said of a difference."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import curation
from curation.examples import graph as example
from curation.examples import graph_model, graph_scores
from curation.pack.graph.edges import Rules
from tests.pack.graph.globe import of_gas
from tests.pack.graph.test_graph import of

pytestmark = pytest.mark.usefixtures("one_thread")

STEP = "2021-06"
TINY = ["--step", STEP, "--seeds", "0", "1", "--masked-steps", "2", "--steps", "3", "--width", "8"]
RULES = Rules(k=6, radius_m=60_000.0, variables=("s5p-no2",))


def made(to: Path, field: str = "spreading", side: int = 10, change: float = 0.0) -> curation.graph.Graph:
    """The graph of a gas; from `STEP` on it is changed by so much."""
    found = of_gas(field, side)
    found.series.values[:, :, 5:] += np.float32(change)
    return of(found, to, RULES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made(to := tmp_path_factory.mktemp("gas"))
    return to


@pytest.fixture
def task(folder: Path) -> example.Task:
    return example.task(curation.graph.open(folder), "s5p-no2", STEP, "train")


def test_the_program_tells_every_forecast_and_difference_with_its_interval_and_power(folder: Path, capsys):
    assert example.main([str(folder), *TINY]) == 0
    said = capsys.readouterr().out
    for name in ("edges", "no edges", "shuffled", "persistence", "climatology", "inverse distance", "coordinates"):
        assert f"\n{name} " in said
    assert said.count("power: ") == 6
    assert "50 cells to learn from, 50 scored" in said


def test_nothing_of_the_step_or_of_later_ones_is_given(task: example.Task, tmp_path: Path):
    other = example.task(made(tmp_path, change=1000.0), "s5p-no2", STEP, "train")
    assert np.abs(other.truth - task.truth).min() > 900
    for name in example.NODES:
        torch.testing.assert_close(task.x[name], other.x[name], rtol=0, atol=0)
    for name, values in task.numbers.items():
        torch.testing.assert_close(values, other.numbers[name], rtol=0, atol=0)
    assert task.numbers["variable"].shape[1] == 5
    np.testing.assert_array_equal(task.last, other.last)


def test_no_edge_leads_across_splits_and_without_edges_a_cell_is_told_of_itself_alone(task: example.Task):
    for (source, _, target), its in task.edges.items():
        assert (task.sides[source][its.src] == task.sides[target][its.dst]).all()
    assert {n[1] for n in task.edges} == {"near", "of", "in", "has", "adjacent", "holds", "next"}
    without = example.joined(task, "no edges", 0)
    assert {n[1] for n in without} == {"of", "in", "has", "holds", "next"}
    # Of a cell's states, nothing follows from another's numbers.
    torch.manual_seed(0)
    sizes = {n: v.shape[1] + 2 * (task.numbers[n].shape[1] if n in task.numbers else 0) for n, v in task.x.items()}
    for way, expected in (("no edges", 1), ("edges", 10)):
        edges = example.joined(task, way, 0)
        net = graph_model.Network(sizes, edges, {"variable": 5}, 8, 4).eval()
        x, _ = example._inputs(task, 0.0, torch.Generator())
        moved = dict(x) | {"variable": x["variable"].clone()}
        moved["variable"][int(task.target[0])] += 1
        change = (net(moved, edges)["cell"] - net(x, edges)["cell"]).abs().amax(1) > 1e-6
        assert change[task.cell[0]]
        assert int(change.sum()) == 1 if expected == 1 else int(change.sum()) >= expected


def test_shuffled_edges_keep_the_degree_of_each_node_and_lead_across_no_split(task: example.Task):
    edges = example.joined(task, "shuffled", 3)
    assert edges.keys() == task.edges.keys()
    for name, its in edges.items():
        own = task.edges[name]
        for one, other in ((its.src, own.src), (its.dst, own.dst)):
            assert torch.equal(one.bincount(minlength=100), other.bincount(minlength=100))
        if name[1] in example.BETWEEN:
            assert (task.sides[name[0]][its.src] == task.sides[name[2]][its.dst]).all()
            assert not torch.equal(its.src, own.src)
            assert (its.src != its.dst).all()
        else:
            assert torch.equal(its.src, own.src)


def test_what_is_hidden_is_not_given_and_what_is_unknown_is_not_told():
    values = torch.arange(1, 13, dtype=torch.float32).view(3, 4)
    known = torch.tensor([[True] * 4, [False] * 4, [True, False, True, False]])
    given, hides = graph_model.masked(values, known, 0.5, torch.Generator().manual_seed(0))
    assert (given[:, :4][hides] == 0).all()
    assert not (hides & ~known).any()
    assert hides.any()
    torch.testing.assert_close(given[:, 4:].bool(), known & ~hides)
    torch.testing.assert_close(given[:, :4], torch.where(known & ~hides, values, 0))


def test_a_node_is_sent_the_mean_and_nothing_where_there_is_no_edge():
    found = graph_model.mean_of(torch.tensor([[1.0], [3.0], [5.0]]), torch.tensor([0, 0, 2]), 4)
    assert found[:, 0].tolist() == [2, 0, 5, 0]


def test_a_difference_has_an_interval_that_holds_none_where_there_is_none_and_tells_its_power():
    draw = np.random.default_rng(0)
    one = draw.exponential(size=400)
    better = graph_scores.compared(0.5 * one, one, 0)
    assert better.gain == pytest.approx(0.5)
    assert better.low == pytest.approx(0.5)
    same = [graph_scores.compared(draw.exponential(size=200), draw.exponential(size=200), n) for n in range(100)]
    assert np.mean([s.low < 0 < s.high for s in same]) > 0.88
    # Of trials whose gain is as large as is said to be seen, about four of five tell it.
    least = float(np.mean([s.least for s in same]))
    true = [
        graph_scores.compared((1 - least) * draw.exponential(size=200), draw.exponential(size=200), n)
        for n in range(100)
    ]
    assert 0.65 < np.mean([t.low > 0 for t in true]) < 0.99
    assert "no interval" in str(graph_scores.compared(one[:9], one[:9], 0))


def test_baselines_tell_what_lies_nearest_and_what_follows_from_where_a_cell_is(task: example.Task):
    test = ~task.train
    smooth = task.xyz[:, 0] * 50
    near = graph_scores.inverse_distance(task.xyz, smooth, task.train, test)
    assert np.abs(near - smooth[test]).max() < 0.2 * np.ptp(smooth)
    constant = graph_scores.inverse_distance(task.xyz, np.full(len(smooth), 7.0), task.train, test)
    np.testing.assert_allclose(constant, 7)
    scaled = (smooth - smooth.mean()) / smooth.std()
    told = graph_scores.of_coordinates(task.xyz, scaled, task.train, test, 0, 300)
    assert np.sqrt(np.mean((told - scaled[test]) ** 2)) < 0.3
    other = np.where(test, 1e6, scaled)
    np.testing.assert_array_equal(told, graph_scores.of_coordinates(task.xyz, other, task.train, test, 0, 300))


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--step", "2021-13"], "expected one of the steps"),
        (["--step", "2021-01"], "known, with a step before it, in 0 cells"),
        (["--step", STEP, "--predict", "s5p-co"], "there is none such"),
        (["--step", STEP, "--learnt", "test"], "no split 'test'"),
    ],
)
def test_what_cannot_be_told_is_said(folder: Path, flags: list[str], says: str, capsys):
    assert example.main([str(folder), *flags]) == 2
    assert says in capsys.readouterr().err


def test_the_same_seeds_give_the_same_numbers(task: example.Task):
    args = argparse.Namespace(masked=0.3, masked_steps=2, steps=3, width=8, depth=4, rate=0.003)
    one, other, third = (example.forecast(task, "edges", seed, args) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, other)
    assert not np.array_equal(one, third)


@pytest.mark.slow
def test_edges_help_where_a_gas_spreads(tmp_path: Path):
    args = argparse.Namespace(seeds=[0, 1], masked=0.3, masked_steps=30, steps=120, width=16, depth=4, rate=0.003)
    its = example.task(made(tmp_path, "spreading", 20), "s5p-no2", STEP, "train")
    found = example.trials(its, args).differences
    assert found["edges", "no edges"].gain > 0.08
    assert found["edges", "shuffled"].gain > 0.08
    assert found["edges", "persistence"].low > 0


@pytest.mark.slow
def test_it_runs_as_a_module(folder: Path):
    command = [sys.executable, "-m", "curation.examples.graph", str(folder), *TINY]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    assert "squared error that edges save" in done.stdout
