"""One patch as one PNG: its panels side by side with colour bars and legends, and its facts as text."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from curation.report import svg
from curation.report.panels import Panel

INK, SOFT, BAD = "#1d2327", "#5d676f", "#b3293c"

_PANEL_IN, _BELOW_IN, _TEXT_IN, _COLUMNS = 3.4, 1.1, 5.0, 4


def png(
    title: str, subtitle: str, why: str, shown: Sequence[Panel], facts: Sequence[tuple[str, str]], side_m: float
) -> bytes:
    """A PNG: panels in rows of four, the facts in a column beside them.

    Args:
        title: in large letters.
        subtitle: below it.
        why: why there is no pixel to draw, drawn instead of the panels; empty where there are some.
        shown: the panels.
        facts: name and value, in order; a value that is empty makes a heading.
        side_m: side of the footprint, for the axes.
    """
    lines = _lines(facts)
    columns = min(_COLUMNS, len(shown))
    rows = -(-len(shown) // columns) if columns else 0
    height = max(max(rows, 1) * (_PANEL_IN + _BELOW_IN), 0.152 * len(lines) + 0.2) + 1.0
    left = max(columns, 1) * (_PANEL_IN + 0.35) + 0.35
    with svg.style(INK):
        figure = Figure(figsize=(max(left + _TEXT_IN, 7.0), height), facecolor="white")
        width, _ = figure.get_size_inches()
        figure.text(0.35 / width, 1 - 0.42 / height, title, fontsize=17, fontweight="bold", va="center")
        figure.text(0.35 / width, 1 - 0.74 / height, subtitle, fontsize=10, color=SOFT, va="center")
        for n, panel in enumerate(shown or [Panel("", "No pixels", "none are stored of this patch", note=why)]):
            row, column = divmod(n, max(columns, 1))
            x = 0.35 + column * (_PANEL_IN + 0.35)
            y = height - 1.0 - row * (_PANEL_IN + _BELOW_IN) - 0.38 - _PANEL_IN
            axes: Axes = figure.add_axes((x / width, y / height, _PANEL_IN / width, _PANEL_IN / height))
            _draw(figure, axes, panel, side_m, (x / width, y / height, _PANEL_IN / width), height)
        for n, (name, value) in enumerate(lines):
            y = 1 - (1.0 + 0.152 * (n + 1)) / height
            if value:
                figure.text(left / width, y, name, fontsize=7.5, color=SOFT)
                figure.text((left + 1.75) / width, y, value, fontsize=7.5, family="DejaVu Sans Mono")
            else:
                figure.text(left / width, y, name, fontsize=8.5, fontweight="bold")
        out = io.BytesIO()
        figure.savefig(out, format="png", dpi=120, metadata={"Software": None})
    return out.getvalue()


def _draw(
    figure: Figure, axes: Axes, panel: Panel, side_m: float, at: tuple[float, float, float], height: float
) -> None:
    x, y, w = at
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color("#d8d4cb")
    axes.text(0, 1.075, panel.title, transform=axes.transAxes, fontsize=9.5, fontweight="bold", va="bottom")
    axes.text(0, 1.02, _below(panel), transform=axes.transAxes, fontsize=7, color=SOFT, va="bottom")
    axes.set_facecolor("#f1eee7")
    if panel.image is None:
        colour = BAD if panel.damage else SOFT
        axes.text(
            0.5,
            0.5,
            textwrap.fill(panel.damage or panel.note, 42),
            transform=axes.transAxes,
            ha="center",
            va="center",
            color=colour,
        )
        axes.spines[:].set_color(BAD if panel.damage else "#d8d4cb")
        return
    axes.imshow(panel.image, extent=(0, side_m, 0, side_m), interpolation="nearest")
    axes.set_xticks([0, side_m], ["0", f"{side_m:.5g} m"])
    axes.get_xticklabels()[-1].set_horizontalalignment("right")
    axes.tick_params(length=2, labelsize=6.5, colors=SOFT, pad=1.5)
    if panel.scale is not None:
        colours, low, high, unit = panel.scale
        bar: Axes = figure.add_axes((x, y - 0.29 / height, w, 0.08 / height))
        figure.colorbar(ScalarMappable(Normalize(low, high), colours), cax=bar, orientation="horizontal")
        bar.tick_params(labelsize=6.5, length=2, pad=1.5)
        bar.set_xlabel(unit, fontsize=6.5, labelpad=0)
    if panel.legend:
        handles = [Patch(facecolor=c, edgecolor="#999999", lw=0.4, label=n) for n, c in panel.legend]
        axes.legend(
            handles=handles,
            loc="upper left",
            bbox_to_anchor=(-0.015, -0.045),
            ncols=3 if max(len(name) for name, _ in panel.legend) <= 20 else 2,
            fontsize=6.5,
            handlelength=1,
            handleheight=1,
            columnspacing=1,
            labelspacing=0.25,
        )


def _below(panel: Panel) -> str:
    """What stands below its title."""
    return " · ".join(filter(None, (panel.detail, panel.more)))


def _lines(facts: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Facts cut into lines that fit beside the panels; a heading has an empty value and stands apart."""
    out: list[tuple[str, str]] = []
    for name, value in facts:
        if not value:
            out += [(" ", " "), (name, "")] if out else [(name, "")]
            continue
        parts = textwrap.wrap(value, 46) or [" "]
        out += [(name, parts[0]), *((" ", p) for p in parts[1:])]
    return out
