"""The results as Markdown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.benchmarks import machine


@dataclass(frozen=True, slots=True)
class Case:
    """One way of delivering that was measured."""

    mode: str
    """`full` or `crop`."""
    place: str
    """`local` or `http`."""
    workers: int


@dataclass(frozen=True, slots=True)
class Run:
    """The middle round of a contender in a case."""

    name: str
    is_ours: bool
    delivers: str
    """`ten` where it may be compared with peers' tensors."""
    case: Case
    result: dict[str, Any]
    rounds: list[float]
    """Samples per second of each round."""

    @property
    def rate(self) -> float:
        return float(self.result["samples_per_s"])


def _ratio(a: float, b: float | None) -> str:
    return f"{a / b:.2f}" if b else "–"


def _case(runs: list[Run], floors: dict[str, float], touched: dict[str, dict[str, float]]) -> Iterable[str]:
    peers = [r for r in runs if not r.is_ours]
    stock = {r.name: r.rate for r in peers}.get("webdataset .npy")
    zarr = {r.name: r.rate for r in peers}.get("webdataset zarr.zip")
    best = max((r.rate for r in peers), default=None)
    titles = ("contender", "samples/s", "× stock .npy", "× zarr.zip", "× best peer", "GB/s", "CPU s/GB", "of its floor")
    yield f"| {' | '.join((*titles, 'touched', 'memory MB', 'rounds'))} |"
    yield "|---" * 11 + "|"
    for r in sorted(runs, key=lambda r: -r.rate):
        cpu = r.result["cpu_s_per_gb"]
        # The floor knows neither a crop, which decodes more than it delivers, nor a network.
        floor = floors.get(r.name) if (r.case.mode, r.case.place) == ("full", "local") else None
        cells = [
            f"**{r.name}**" if r.is_ours else r.name,
            f"{r.rate:,.0f}",
            _ratio(r.rate, stock),
            _ratio(r.rate, zarr),
            _ratio(r.rate, best),
            f"{r.result['bytes_per_s'] / 1e9:.2f}",
            f"{cpu:.3f}",
            _ratio(cpu, floor),
            _ratio(touched[r.name][r.case.mode], 1.0) if r.name in touched else "–",
            f"{r.result['memory_bytes'] / 1e6:,.0f} {r.result['memory_kind']}",
            machine.spread(r.rounds),
        ]
        yield f"| {' | '.join(cells)} |"


def report(facts: dict[str, Any], runs: list[Run], skipped: dict[str, str]) -> str:
    """Everything, most wanted first."""
    lines = ["# Streaming, measured", "", facts["about"], ""]
    for case in dict.fromkeys(r.case for r in runs):
        some = [r for r in runs if r.case == case]
        what = "full samples" if case.mode == "full" else "one random season, crop of 224 px"
        lines += [
            f"## {what}, {case.place}, {case.workers} workers",
            "",
            *_case(some, facts["cpu_floors"], facts["touched"]),
            "",
        ]
    lines += ["## Limits, one thread", "", "| what | GB/s |", "|---|---|"]
    lines += [f"| {k} | {v:.2f} |" for k, v in facts["limits"].items()]
    lines += ["", "## Bytes per sample", "", "| layout | bytes | % of .npy at 10 m |", "|---|---|---|"]
    base = facts["bytes"].get("webdataset .npy") or max(facts["bytes"].values())
    lines += [f"| {k} | {v:,.0f} | {100 * v / base:.1f} |" for k, v in facts["bytes"].items()]
    if skipped:
        lines += ["", "## Not measured", "", *(f"- {k}: {v}" for k, v in skipped.items())]
    return "\n".join([*lines, ""])
