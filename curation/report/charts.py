"""Measurements to charts: plain numbers in, an inline SVG out. Nothing here knows where the numbers come from."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from curation.report import svg

Values = NDArray[np.float64]


def curves(by_season: Mapping[str, Values], colours: Mapping[str, str], name: str, alt: str, *, unit: str) -> str:
    """How often values occur, one line per season; the axis ends at the 0.5th and 98th percentiles."""
    with svg.style():
        figure, axes = _one(3.0, 1.45, left=0.25)
        low, high = np.percentile(np.concatenate(list(by_season.values())), [0.5, 98])
        if high <= low:
            low, high = low - 1, high + 1
        for season, values in by_season.items():
            counts, edges = np.histogram(values, 60, (low, high))
            share = counts / max(counts.max(), 1)
            axes.stairs(share, edges, color=colours[season], lw=1.1)
            axes.stairs(share, edges, color=colours[season], alpha=0.12, fill=True)
        axes.set_xlim(low, high)
        axes.set_ylim(0, 1.06)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.locator_params(axis="x", nbins=4)
        axes.set_xlabel(unit)
        axes.set_ylabel("pixels", labelpad=2)
        return svg.svg(figure, name, alt)


def distances(km: Mapping[str, Values], colours: Mapping[str, str], name: str, alt: str, least_km: float) -> str:
    """How many of each part lie how far away, on a logarithmic axis; what none may be nearer than is dashed."""
    with svg.style():
        figure, axes = _one(svg.NARROW_IN, 1.9, left=0.55)
        low, high = min(least_km, *(float(v.min()) for v in km.values())), max(float(v.max()) for v in km.values())
        edges = np.geomspace(max(low * 0.8, 1e-3), max(high * 1.2, 2e-3), 31)
        for part, values in km.items():
            axes.stairs(np.histogram(values, edges)[0], edges, color=colours[part], lw=1.1, label=part)
            axes.stairs(np.histogram(values, edges)[0], edges, color=colours[part], alpha=0.15, fill=True)
        axes.axvline(least_km, color=svg.INK, lw=0.8, ls=(0, (4, 3)))
        axes.set_xscale("log")
        axes.set_xlabel("distance, km")
        axes.set_ylabel("samples")
        return svg.svg(figure, name, alt)


def scores(
    at: Mapping[str, Sequence[tuple[float, float, float, float]]],
    colours: Mapping[str, str],
    name: str,
    alt: str,
    marks: Mapping[str, float],
) -> str:
    """Means by distance with their intervals, a line per part, on a logarithmic axis; what is marked is dashed and named.

    Args:
        at: part → km, mean, low, high of each class of distance, the nearest first.
        colours: of parts.
        name: of the chart.
        alt: what it says.
        marks: name → km.
    """
    with svg.style():
        figure, axes = _one(svg.NARROW_IN, 2.1, left=0.55)
        for part, points in at.items():
            km, mean, low, high = np.array(points).T
            axes.errorbar(
                km, mean, yerr=[mean - low, high - mean], color=colours[part], lw=1.1, marker="o", ms=3, capsize=2
            )
        for n, (word, km_at) in enumerate(marks.items()):
            axes.axvline(km_at, color=svg.INK, lw=0.8, ls=(0, (4, 3)))
            axes.text(km_at, 1.0 - 0.09 * n, f" {word}", transform=axes.get_xaxis_transform(), va="top", fontsize=7)
        axes.set_xscale("log")
        axes.set_xlabel("distance, km")
        axes.set_ylabel("score")
        return svg.svg(figure, name, alt)


def timeline(
    windows: Mapping[str, tuple[dt.datetime, dt.datetime]],
    times: Mapping[tuple[str, str], Sequence[dt.datetime]],
    colours: Mapping[str, str],
    name: str,
    alt: str,
) -> str:
    """When scenes were taken: a row per season and source, its window shaded, a bar per day that grows with its patches."""
    shown = [_day(t) for season, _ in times for t in windows[season]]

    def draw(width_in: float) -> Figure:
        figure, axes = _one(width_in, 0.36 * len(times) + 0.65, left=0.12)
        for row, ((season, source), found) in enumerate(times.items()):
            start, end = map(_day, windows[season])
            axes.barh([row + 0.17], [end - start], left=start, height=0.56, color=colours[season], alpha=0.16, lw=0)
            counts = Counter(math.floor(_day(t)) for t in found)
            days, most = sorted(counts), max(counts.values())
            heights = [0.5 * math.sqrt(counts[d] / most) for d in days]
            width = max((end - start) / 60, 1)
            axes.bar(days, [-h for h in heights], width=width, bottom=row + 0.45, color=colours[season], lw=0)
            axes.text(min(shown) - 4, row - 0.26, f"{season} · {source}", va="center", fontsize=8)
        axes.set_ylim(len(times) - 0.5, -0.5)
        axes.set_yticks([])
        axes.set_xlim(min(shown) - 5, max(shown) + 5)
        months = _months(min(shown), max(shown), int(width_in / 0.45))
        axes.set_xticks([_day(m) for m in months], [m.strftime("%b\n%Y" if m.month == 1 else "%b") for m in months])
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x")
        return figure

    return svg.wide_and_narrow(draw, name, alt)


def _day(time: dt.datetime) -> float:
    """Days since 1970."""
    return time.timestamp() / 86_400


def _months(first: float, last: float, most: int) -> list[dt.datetime]:
    """Beginnings of months between two days, up to some number where that can be, January among them."""
    year, end = (dt.datetime.fromtimestamp(d * 86_400, dt.UTC).year for d in (first, last))
    every = [dt.datetime(y, m, 1, tzinfo=dt.UTC) for y in range(year, end + 1) for m in range(1, 13)]
    inside = [m for m in every if first - 5 <= _day(m) <= last + 5]
    step = next((s for s in (1, 2, 3, 6, 12) if len(inside) / s <= most), 12)
    return [m for m in inside if (m.month - 1) % step == 0]


def _one(
    width: float, height: float, *, left: float, top: float = 0.12, bottom: float = 0.48, right: float = 0.15
) -> tuple[Figure, Axes]:
    """A figure with one axes; margins in inches."""
    figure = Figure(figsize=(width, height))
    figure.subplots_adjust(left / width, bottom / height, 1 - right / width, 1 - top / height)
    axes: Any = figure.add_subplot()
    return figure, axes
