"""Forecasts a gas on the graph of a dataset, and tells whether edges help. To be read, copied and changed.

    curate graph --dataset ssl4eo-s --variables s5p-no2,s5p-co
    python -m curation.examples.graph shards/ssl4eo-s/graph --predict s5p-no2 --step 2021-12

What is held out is one step of one series: the nitrogen dioxide of December in each cell. The network sees the steps before
it, of all series, the land cover of patches where the dataset has labels, and where and when nodes are. It learns twice:

    1  of what is hidden   --masked of the numbers of patches (land cover) and of cells (their series, the steps before) are
                           hidden at random, and told from what is left and from the neighbours; of train alone
    2  of the target       the change from the last step before it, told of cells of train

and is scored on cells of other splits, with --seeds, beside

    edges       all edges of the graph that do not derive from the target and do not lead across splits
    no edges    without those between neighbours (near, adjacent, like): a cell has its own patches and series alone
    shuffled    with as many at each node, but other partners, of the same split: what is gained by who is joined with whom
    baselines   persistence (the last step before), climatology (mean of the steps before), inverse distance (from the
                held-out step in cells of train), and a network that is given coordinates alone

Steps are in the order of the seasons, those that the series has itself. Differences are told with an interval over cells
(drawn 2,000 times with replacement; squared errors are means over seeds) and with their power: the least gain that four of
five such trials would tell from none. Where the interval holds 0, no difference was shown; with few cells, none can be.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

import curation
from curation.errors import ConfigError, DamageError
from curation.examples import graph_scores
from curation.examples.graph_model import EdgeType, Joined, Network, masked
from curation.examples.graph_scores import Difference, compared

BETWEEN = ("near", "adjacent", "like")
"""Relations between neighbours: what is taken away, and shuffled."""

WAYS = ("edges", "no edges", "shuffled")

SERIES, SHARES = "variable", "patch"
"""Types of nodes that numbers are hidden of."""

NODES = ("place", SHARES, "cell", SERIES)
"""Types of nodes that are looked at."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is learnt from, and what is to be told."""

    x: Mapping[str, Tensor]
    """What nodes of each type are always given."""
    numbers: Mapping[str, Tensor]
    """What is known of nodes and may be hidden, scaled, 0 where unknown."""
    known: Mapping[str, Tensor]
    """Which of these are known."""
    learns: Mapping[str, Tensor]
    """Which nodes are of train."""
    sides: Mapping[str, Tensor]
    """A number for the split of each node."""
    edges: Mapping[EdgeType, Joined]
    target: Tensor
    """Number of the series that is told, of each cell that is learnt from or scored."""
    cell: Tensor
    """And that of the cell."""
    last: NDArray[Any]
    """Of these cells the last step before, in the unit of the series."""
    mean: NDArray[Any]
    """The mean of the steps before."""
    truth: NDArray[Any]
    train: NDArray[np.bool_]
    """Of these cells, which are learnt from: the others are scored."""
    xyz: NDArray[Any]
    """Their unit vectors."""
    scale: float
    """Standard deviation of the change, of train: what the network tells is in these."""


def task(graph: curation.graph.Graph, predict: str, step: str, learnt: str) -> Task:
    """The task of a graph.

    Args:
        graph: with series.
        predict: which series.
        step: which step of it; the steps before it are given.
        learnt: the split that is learnt from.

    Raises:
        ConfigError: there is no such series or step, or too few cells know it and the step before.
    """
    value = graph.to_dict(target=f"{predict}@{step}")  # edges across splits are left out
    if SERIES not in value or "y" not in value[SERIES]:
        raise ConfigError(f"{graph!r}: has no series {predict!r}: `curate graph --variables {predict}`")
    at = graph.info["steps"].index(step)
    its = value[SERIES]
    if f"{learnt}_mask" not in its:
        raise ConfigError(f"{graph!r}: no split {learnt!r}; there are {', '.join(_splits(its))}")
    own = its["variable"] == graph.info["variables"].index(predict)
    before = [n for n in range(at) if (~np.isnan(its["series"][own, n])).any()]
    series, truth = its["series"][:, before], its["y"][:, at]
    last = _last(series)
    rows = np.flatnonzero(own & ~np.isnan(truth) & ~np.isnan(last))
    train = its[f"{learnt}_mask"][rows]
    if train.sum() < 2 or train.all():
        raise ConfigError(
            f"{predict}@{step}: known, with a step before it, in {train.sum()} cells of {learnt} and {(~train).sum()} "
            "others; expected two and one: take another step, or build more"
        )
    sides = {n: _sides(value[n]) for n in NODES}
    learns = {n: torch.tensor(value[n][f"{learnt}_mask"]) for n in (SERIES, SHARES)}
    numbers = {SERIES: _scaled(series, its["variable"], its[f"{learnt}_mask"])}
    if "fractions" in value[SHARES]:
        numbers[SHARES] = value[SHARES]["fractions"] - np.float32(1 / value[SHARES]["fractions"].shape[1])
    x = {n: value[n]["x"] for n in NODES}
    x[SERIES] = np.concatenate([x[SERIES], np.eye(len(graph.info["variables"]), dtype=np.float32)[its["variable"]]], 1)
    change = truth[rows] - last[rows]
    return Task(
        {n: torch.tensor(v) for n, v in x.items()},
        {n: torch.tensor(np.nan_to_num(v)) for n, v in numbers.items()},
        {n: torch.tensor(~np.isnan(v)) for n, v in numbers.items()},
        learns,
        sides,
        _edges(graph, value, tuple(x)),
        torch.tensor(rows),
        torch.tensor(graph.nodes(SERIES).column("cell").to_numpy()[rows]),
        last[rows].astype(np.float64),
        np.nanmean(series[rows], axis=1).astype(np.float64),
        truth[rows].astype(np.float64),
        train,
        x[SERIES][rows, :3].astype(np.float64),
        max(float(change[train].std()), 1e-12),
    )


def _splits(its: Mapping[str, Any]) -> list[str]:
    return sorted(n.removesuffix("_mask") for n in its if n.endswith("_mask"))


def _sides(its: Mapping[str, Any]) -> Tensor:
    """The number of each node's split; -1 where it is of several."""
    masks = np.stack([its[f"{n}_mask"] for n in _splits(its)])
    return torch.tensor(np.where(masks.any(axis=0), masks.argmax(axis=0), -1))


def _last(series: NDArray[Any]) -> NDArray[Any]:
    """The last number that is known of each; NaN where none is."""
    out = np.full(len(series), np.nan, np.float32)
    for column in series.T:
        out = np.where(np.isnan(column), out, column)
    return out


def _scaled(series: NDArray[Any], variable: NDArray[Any], train: NDArray[np.bool_]) -> NDArray[Any]:
    """Series less the mean of their variable, by its deviation, of train."""
    out = np.full(series.shape, np.nan, np.float32)
    for which in np.unique(variable):
        own = variable == which
        known = series[own & train]
        known = known[~np.isnan(known)]
        mean, std = (known.mean(), known.std()) if len(known) else (0.0, 1.0)
        out[own] = (series[own] - mean) / max(std, 1e-12)
    return out


def _edges(graph: curation.graph.Graph, value: Mapping[Any, Any], nodes: tuple[str, ...]) -> dict[EdgeType, Joined]:
    """All edges between such nodes; those of patches to places lead back, too."""
    out = {}
    for name, its in value.items():
        if isinstance(name, tuple) and name[0] in nodes and name[2] in nodes:
            src, dst = torch.tensor(its["edge_index"])
            attr = torch.tensor(its.get("edge_attr", np.zeros((len(src), 0), np.float32))).nan_to_num()
            out[name] = Joined(src, dst, attr / attr.abs().amax(0).clamp(min=1e-9) if len(attr) else attr)
    if ("patch", "of", "place") in out:
        own = out["patch", "of", "place"]
        out["place", "holds", "patch"] = replace(own, src=own.dst, dst=own.src)
    return out


def joined(its: Task, way: str, seed: int) -> dict[EdgeType, Joined]:
    """The edges that a network is given, by one of `WAYS`."""
    if way == "edges":
        return dict(its.edges)
    out = {name: e for name, e in its.edges.items() if name[1] not in BETWEEN}
    if way == "shuffled":
        out |= {name: _shuffled(e, its.sides[name[2]], seed) for name, e in its.edges.items() if name[1] in BETWEEN}
    return out


def _shuffled(its: Joined, side: Tensor, seed: int) -> Joined:
    """The edges within each split with other partners; of a split that has too few for that, as they are."""
    parts = []
    for which in side[its.dst].unique():
        rows = side[its.dst] == which
        own = its.src[rows].numpy(), its.dst[rows].numpy()
        with contextlib.suppress(ValueError):
            own = curation.graph.shuffled(*own, seed)
        parts.append((torch.tensor(own[0]), torch.tensor(own[1]), its.attr[rows]))
    return Joined(*(torch.cat(p) for p in zip(*parts, strict=True))) if parts else its


def forecast(its: Task, way: str, seed: int, args: argparse.Namespace) -> NDArray[Any]:
    """What a network that was trained so tells of all cells of the task, in the unit of the series."""
    torch.manual_seed(seed)
    draw = torch.Generator().manual_seed(seed)
    edges = joined(its, way, seed)
    sizes = {n: v.shape[1] + 2 * (its.numbers[n].shape[1] if n in its.numbers else 0) for n, v in its.x.items()}
    net = Network(sizes, edges, {n: v.shape[1] for n, v in its.numbers.items()}, args.width, args.depth)
    best = torch.optim.AdamW(net.parameters(), args.rate, weight_decay=1e-2)
    train = torch.tensor(its.train)
    wanted = torch.tensor((its.truth - its.last) / its.scale, dtype=torch.float32)
    for step in range(args.masked_steps + args.steps):
        first = step < args.masked_steps
        x, hides = _inputs(its, args.masked if first else 0.0, draw)
        states = net(x, edges)
        if first:
            loss = _of_hidden(net, its, states, hides)
        else:
            loss = functional.mse_loss(_change(net, its, states)[train], wanted[train])
        best.zero_grad()
        loss.backward()
        best.step()
    with torch.no_grad():
        change = _change(net, its, net(_inputs(its, 0.0, draw)[0], edges))
    return np.asarray(its.last + its.scale * change.numpy(), np.float64)


def _change(net: Network, its: Task, states: Mapping[str, Tensor]) -> Tensor:
    change: Tensor = net.change(torch.cat([states[SERIES][its.target], states["cell"][its.cell]], 1))[:, 0]
    return change


def _inputs(its: Task, share: float, draw: torch.Generator) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    x, hides = dict(its.x), {}
    for name, values in its.numbers.items():
        shown, hides[name] = masked(values, its.known[name], share, draw)
        x[name] = torch.cat([x[name], shown], 1)
    return x, hides


def _of_hidden(net: Network, its: Task, states: Mapping[str, Tensor], hides: Mapping[str, Tensor]) -> Tensor:
    """The mean squared error of what was hidden, of train."""
    losses = []
    for name, which in hides.items():
        rows = which & its.learns[name][:, None]
        losses.append(
            functional.mse_loss(net.hidden[name](states[name])[rows], its.numbers[name][rows]) if rows.any() else None
        )
    known = [loss for loss in losses if loss is not None]
    return torch.stack(known).sum() if known else states[SERIES].sum() * 0


@dataclass(frozen=True, slots=True)
class Trials:
    """What came out."""

    errors: Mapping[str, NDArray[Any]]
    """Forecast → squared error of each scored cell, mean over seeds."""
    by_seed: Mapping[str, list[float]]
    """Of networks the root mean squared error with each seed."""
    differences: Mapping[tuple[str, str], Difference]
    """How much better the first is than the second."""


def trials(its: Task, args: argparse.Namespace) -> Trials:
    """Trains every way with every seed, and compares."""
    test = ~its.train
    truth = its.truth[test]
    of_train = its.xyz, its.truth, its.train, test
    errors = {
        "persistence": (its.last[test] - truth) ** 2,
        "climatology": (its.mean[test] - truth) ** 2,
        "inverse distance": (graph_scores.inverse_distance(*of_train) - truth) ** 2,
    }
    by_seed: dict[str, list[NDArray[Any]]] = {}
    spread = max(float(its.truth[its.train].std()), 1e-12)
    scaled = its.xyz, (its.truth - its.truth[its.train].mean()) / spread, its.train, test
    for seed in args.seeds:
        found = graph_scores.of_coordinates(*scaled, seed, args.steps) * spread + its.truth[its.train].mean()
        by_seed.setdefault("coordinates", []).append((found - truth) ** 2)
        for way in WAYS:
            by_seed.setdefault(way, []).append((forecast(its, way, seed, args)[test] - truth) ** 2)
        print(f"seed {seed} done", file=sys.stderr, flush=True)
    errors |= {name: np.mean(of, axis=0) for name, of in by_seed.items()}
    pairs = [("edges", "no edges"), ("edges", "shuffled"), *(("edges", n) for n in errors if n not in WAYS)]
    seeds = {name: [float(np.sqrt(e.mean())) for e in of] for name, of in by_seed.items()}
    return Trials(errors, seeds, {p: compared(errors[p[0]], errors[p[1]], args.seeds[0]) for p in pairs})


def main(argv: list[str] | None = None) -> int:
    """Prints what came out; returns an exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graph", help="the folder that `curate graph` wrote")
    parser.add_argument("--predict", default="s5p-no2", metavar="SERIES", help="(%(default)s)")
    parser.add_argument("--step", required=True, help="of the series: what is held out; the steps before it are given")
    parser.add_argument("--learnt", default="train", help="the split that is learnt from (%(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument(
        "--masked", type=float, default=0.3, metavar="SHARE", help="of the numbers is hidden (%(default)s)"
    )
    parser.add_argument("--masked-steps", type=int, default=100, metavar="N", help="of what is hidden (%(default)s)")
    parser.add_argument("--steps", type=int, default=200, metavar="N", help="of the target (%(default)s)")
    parser.add_argument("--width", type=int, default=32, help="(%(default)s)")
    parser.add_argument(
        "--depth",
        type=int,
        default=4,
        help="layers (%(default)s: a series, its cell, a place there, one nearby, and the cell of that)",
    )
    parser.add_argument("--rate", type=float, default=3e-3, help="(%(default)s)")
    args = parser.parse_args(argv)
    try:
        its = task(curation.graph.open(args.graph), args.predict, args.step, args.learnt)
    except (ConfigError, DamageError) as err:
        print(f"graph: {err}", file=sys.stderr)
        return 2
    print(
        f"{args.predict}@{args.step}: {its.train.sum()} cells to learn from, {(~its.train).sum()} scored, seeds {args.seeds}"
    )
    print("\n".join(lines(trials(its, args))))
    return 0


def lines(found: Trials) -> list[str]:
    """What is printed of it."""
    out = [f"{'forecast':18} {'RMSE':>10}  with each seed"]
    for name, errors in sorted(found.errors.items(), key=lambda kv: float(kv[1].mean())):
        each = " ".join(f"{e:.4g}" for e in found.by_seed.get(name, []))
        out.append(f"{name:18} {np.sqrt(errors.mean()):10.4g}  {each}".rstrip())
    out.append("squared error that edges save, beside (95 % over cells):")
    return [*out, *(f"  {other:18} {its}" for (_, other), its in found.differences.items())]


if __name__ == "__main__":
    sys.exit(main())
