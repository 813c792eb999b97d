"""Measurements to charts: plain numbers in, an inline SVG out. Nothing here knows where the numbers come from."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from curation.drawing import embed
from curation.drawing.embed import INK

ACCENT = "#3f7fb5"
_BAR_IN = 0.25
"""Height of a row of bars, inches."""
_LABEL_IN, _WIDTH_IN = 1.8, 13.2

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Share:
    """One label's count among patches that are known."""

    name: str
    present: int
    """Patches where it is present."""


def stacked_bars(
    rows: Mapping[str, Mapping[str, int]], colours: Mapping[str, str], name: str, alt: str, unit: str
) -> str:
    """Horizontal bars, one per row, stacked in the order of `colours`."""
    with embed.style():
        height = _BAR_IN * len(rows) + 0.75
        figure, axes = _one(_WIDTH_IN, height, left=max(_LABEL_IN, 0.075 * max(map(len, rows), default=0)))
        at = np.arange(len(rows))
        edge = np.zeros(len(rows))
        for key, colour in colours.items():
            counts = np.array([row.get(key, 0) for row in rows.values()], np.float64)
            axes.barh(at, counts, left=edge, height=0.72, color=colour, label=key)
            edge += counts
        axes.set_yticks(at, list(rows))
        axes.set_ylim(len(rows) - 0.3, -0.7)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="x")
        axes.set_xlabel(unit)
        return embed.svg(figure, name, alt)


def label_bars(title: str, shares: Sequence[Share], known: int, unknown: int, name: str, alt: str) -> str:
    """Horizontal bars: the share of known patches that has each label; the unknown ones apart, below a line."""
    with embed.style():
        figure, axes = _one(3.9, 0.22 * (len(shares) + 1) + 0.85, left=1.35, top=0.3)
        total = known + unknown
        at = [float(n) for n in range(len(shares))]
        values = [100 * s.present / known if known else 0.0 for s in shares]
        axes.barh(at, values, height=0.72, color=ACCENT)
        below = len(shares) + 0.35
        axes.barh(
            [below], [100 * unknown / total if total else 0], height=0.72, color="none", edgecolor=INK, hatch="////"
        )
        axes.axhline(len(shares) - 0.35, color=INK, lw=0.5, alpha=0.4)
        for y, value, count in [*zip(at, values, [s.present for s in shares], strict=True)]:
            axes.text(value + 1.5, y, f"{count:,}", va="center", fontsize=7.5)
        axes.text((100 * unknown / total if total else 0) + 1.5, below, f"{unknown:,}", va="center", fontsize=7.5)
        axes.set_yticks([*at, below], [*(s.name.replace("_", " ") for s in shares), "unknown"])
        axes.set_ylim(below + 0.6, -0.6)
        axes.set_xlim(0, 112)
        axes.set_xticks([0, 25, 50, 75, 100])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x")
        axes.set_title(f"{title} · {known:,} known", loc="left")
        axes.set_xlabel("% of known (unknown: of all)")
        return embed.svg(figure, name, alt)


def cooccurrence(title: str, matrix: NDArray[np.int64], names: Sequence[str], name: str, alt: str) -> str:
    """How many patches have both labels; the diagonal has one label's own count."""
    with embed.style():
        side = 0.34 * len(names)
        figure, axes = _one(side + 1.6, side + 1.5, left=1.35, top=0.3, bottom=1.1)
        shade = LinearSegmentedColormap.from_list("blue", [(0.25, 0.5, 0.71, 0.04), (0.25, 0.5, 0.71, 0.95)])
        top = max(int(matrix.max()), 1)
        axes.imshow(matrix, cmap=shade, vmin=0, vmax=top)
        for (y, x), count in np.ndenumerate(matrix):
            if count:
                white = count > 0.55 * top
                axes.text(
                    x, y, _short(int(count)), ha="center", va="center", fontsize=7, color="white" if white else INK
                )
        told = [n.replace("_", " ") for n in names]
        axes.set_xticks(range(len(names)), told, rotation=50, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(names)), told)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_title(title, loc="left")
        return embed.svg(figure, name, alt)


def histograms(
    panels: Mapping[str, Mapping[str, Values]],
    colours: Mapping[str, str],
    name: str,
    alt: str,
    *,
    units: Mapping[str, str],
    bins: int = 60,
) -> str:
    """Small multiples: one panel per band, one line per season; axes end at the 0.5th and 98th percentiles."""
    with embed.style():
        columns = min(4, len(panels))
        rows = math.ceil(len(panels) / columns)
        figure = Figure(figsize=(3.3 * columns, 1.7 * rows))
        figure.subplots_adjust(0.03, 0.32 / rows, 0.985, 1 - 0.22 / rows, hspace=0.62, wspace=0.12)
        for n, (band, by_season) in enumerate(panels.items()):
            axes = figure.add_subplot(rows, columns, n + 1)
            pooled = np.concatenate(list(by_season.values()))
            low, high = np.percentile(pooled, [0.5, 98])
            if high <= low:
                low, high = low - 1, high + 1
            for season, values in by_season.items():
                counts, edges = np.histogram(values, bins, (low, high))
                share = counts / max(counts.max(), 1)
                axes.stairs(share, edges, color=colours[season], lw=1.1)
                axes.stairs(share, edges, color=colours[season], alpha=0.12, fill=True)
            axes.set_title(band, fontsize=8.5, pad=3)
            axes.set_xlim(low, high)
            axes.set_ylim(0, 1.06)
            axes.set_yticks([])
            axes.spines["left"].set_visible(False)
            axes.locator_params(axis="x", nbins=4)
            axes.set_xlabel(units[band], fontsize=7, labelpad=1)
            axes.tick_params(labelsize=7)
        return embed.svg(figure, name, alt)


def histogram(
    by_season: Mapping[str, Values],
    colours: Mapping[str, str],
    name: str,
    alt: str,
    *,
    label: str,
    limits: Sequence[float] = (),
    span: tuple[float, float] | None = None,
) -> str:
    """Patches by a value, seasons stacked; the recipe's limits as dashed lines."""
    with embed.style():
        figure, axes = _one(3.9, 2.1, left=0.5)
        pooled = np.concatenate(list(by_season.values()))
        low, high = span or (float(pooled.min()), float(pooled.max()))
        if high <= low:
            low, high = low - 0.5, high + 0.5
        edges = np.linspace(low, high, 31)
        base = np.zeros(30)
        for season, values in by_season.items():
            counts, _ = np.histogram(values, edges)
            axes.bar(
                edges[:-1], counts, np.diff(edges), bottom=base, align="edge", color=colours[season], lw=0, label=season
            )
            base += counts
        for limit in limits:
            axes.axvline(limit, color=INK, lw=0.8, ls=(0, (4, 3)))
        axes.set_xlabel(label)
        axes.set_ylabel("patches")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="y")
        return embed.svg(figure, name, alt)


def timeline(
    windows: Mapping[str, tuple[dt.datetime, dt.datetime]],
    times: Mapping[tuple[str, str], Sequence[dt.datetime]],
    colours: Mapping[str, str],
    name: str,
    alt: str,
) -> str:
    """When scenes were taken: a row per season and source, its window shaded, a bar per day that grows with its patches."""
    with embed.style():
        figure, axes = _one(13.2, 0.3 * len(times) + 0.65, left=1.4)
        for row, ((season, _), found) in enumerate(times.items()):
            start, end = map(_day, windows[season])
            axes.barh([row], [end - start], left=start, height=0.86, color=colours[season], alpha=0.13, lw=0)
            counts = Counter(math.floor(_day(t)) for t in found)
            days, most = sorted(counts), max(counts.values())
            heights = [0.8 * math.sqrt(counts[d] / most) for d in days]
            width = max((end - start) / 60, 1)
            axes.bar(days, [-h for h in heights], width=width, bottom=row + 0.42, color=colours[season], lw=0)
        axes.set_yticks(range(len(times)), [f"{season} · {source}" for season, source in times])
        axes.set_ylim(len(times) - 0.5, -0.5)
        shown = [_day(t) for season, _ in times for t in windows[season]]
        axes.set_xlim(min(shown) - 5, max(shown) + 5)
        months = _months(min(shown), max(shown))
        axes.set_xticks([_day(m) for m in months], [m.strftime("%b\n%Y" if m.month == 1 else "%b") for m in months])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x")
        return embed.svg(figure, name, alt)


def _day(time: dt.datetime) -> float:
    """Days since 1970."""
    return time.timestamp() / 86_400


def _months(first: float, last: float) -> list[dt.datetime]:
    """Beginnings of months between two days, twelve or so, January among them."""
    year, end = (dt.datetime.fromtimestamp(d * 86_400, dt.UTC).year for d in (first, last))
    every = [dt.datetime(y, m, 1, tzinfo=dt.UTC) for y in range(year, end + 1) for m in range(1, 13)]
    inside = [m for m in every if first - 5 <= _day(m) <= last + 5]
    step = next((s for s in (1, 2, 3, 6, 12) if len(inside) / s <= 14), 12)
    return [m for m in inside if (m.month - 1) % step == 0]


def shifts(
    by_season: Mapping[str, tuple[Values, Values]],
    colours: Mapping[str, str],
    name: str,
    alt: str,
    *,
    reach: float,
    unit: str,
) -> str:
    """Where the second source lies against the first, in `unit`: a dot per patch, rings at a half and one."""
    with embed.style():
        figure, axes = _one(3.2, 3.2, left=0.55, bottom=0.5)
        for radius in (0.5, 1.0):
            axes.add_patch(Circle((0, 0), radius, fill=False, ec=INK, lw=0.6, alpha=0.45, ls=(0, (3, 2))))
        axes.axhline(0, color=INK, lw=0.5, alpha=0.3)
        axes.axvline(0, color=INK, lw=0.5, alpha=0.3)
        many = sum(len(x) for x, _ in by_season.values()) > 1500
        for season, (x, y) in by_season.items():
            axes.scatter(x, y, s=9, color=colours[season], alpha=0.6, lw=0, label=season, rasterized=many)
        axes.set_xlim(-reach, reach)
        axes.set_ylim(reach, -reach)  # south is down, as in the image
        axes.set_aspect("equal")
        axes.set_xlabel(f"east, {unit}")
        axes.set_ylabel(f"south, {unit}")
        return embed.svg(figure, name, alt)


def _one(
    width: float, height: float, *, left: float, top: float = 0.12, bottom: float = 0.48, right: float = 0.15
) -> tuple[Figure, Axes]:
    """A figure with one axes; margins in inches."""
    figure = Figure(figsize=(width, height))
    figure.subplots_adjust(left / width, bottom / height, 1 - right / width, 1 - top / height)
    axes: Any = figure.add_subplot()
    return figure, axes


def _short(count: int) -> str:
    return f"{count:,}" if count < 10_000 else f"{count / 1000:.0f}k"
