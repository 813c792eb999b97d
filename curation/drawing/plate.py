"""One patch as one picture: every source side by side with units, colour bars and legends, and its facts as text."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from curation.backscatter import decibels
from curation.drawing import embed, palette, patch, tiles
from curation.drawing.patch import Image
from curation.drawing.tiles import FALSE_COLOUR, TRUE_COLOUR
from curation.model import Location
from curation.sources import ArraySpec, SourceSpec

INK, SOFT, BAD = "#1d2327", "#5d676f", "#b3293c"
COMPOSITES = (
    (TRUE_COLOUR, "True colour"),
    (FALSE_COLOUR, "False colour"),
    (("B12", "B11", "B8A"), "Shortwave infrared"),
    (("B07", "B06", "B05"), "Red edge"),
)
"""What is drawn of the bands of one array; those in none of these are drawn alone, in grey."""

_PANEL_IN, _BELOW_IN, _TEXT_IN, _COLUMNS = 3.4, 1.1, 5.0, 4


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture of a patch."""

    title: str
    subtitle: str
    """Bands, pixel size, unit."""
    image: Image | None
    """None: `note` says why there is none."""
    note: str = ""
    damaged: bool = False
    scale: tuple[Colormap, float, float, str] | None = None
    """Colour map, limits and unit of its colour bar."""
    legend: tuple[tuple[str, str], ...] = ()
    """Name and colour of each class that occurs."""


def panels(spec: SourceSpec, name: str, array: ArraySpec, pixels: NDArray[Any], place: Location) -> list[Panel]:
    """The pictures of one array (band, y, x), pixel for pixel."""
    size = array.told
    if array.role == "mask":
        named = (
            palette.SCL if name.startswith("s2l2a_scl") else {int(c): (str(c), "#888888") for c in np.unique(pixels)}
        )
        found = [named[int(c)] for c in np.unique(pixels) if int(c) in named]
        image = patch.class_map(pixels[0], {c: colour for c, (_, colour) in named.items()})
        return [Panel("Scene classification", f"{array.bands[0]} · {size}", image, legend=tuple(found))]
    if spec.classes:
        colours = palette.classes(spec)
        present = set(np.unique(pixels).tolist())
        known = tuple((c.name.replace("_", " "), colours[c.code]) for c in spec.classes if c.code in present)
        return [Panel(spec.title, f"{array.bands[0]} · {size}", patch.class_map(pixels[0], colours), legend=known)]
    if spec.radar:
        return _radar(spec, array, pixels)
    if spec.elevation:
        low, high = patch.height_limits(pixels, array.nodata)
        pixel_m = patch.pixel_m(place, array)
        image = patch.relief(pixels[0], pixel_m, array.nodata)
        steep = patch.exaggeration(pixels[0], pixel_m)
        return [Panel(spec.title, f"relief ×{steep} · {size}", image, scale=(patch.LAND, low, high, array.unit))]
    out = []
    alone = dict(zip(array.bands, pixels, strict=True))
    for bands, title in COMPOSITES:
        if set(bands) <= set(array.bands):
            shown = tiles.pick(pixels, array, bands)
            stretch = patch.optical_stretch([shown], array.nodata)
            told = f"{', '.join(bands)} · {size} · {min(stretch.low):.0f}…{max(stretch.high):.0f} {array.unit}"
            out.append(Panel(title, told, stretch(shown, array.nodata)))
            alone = {b: plane for b, plane in alone.items() if b not in bands}
    return out + [_grey(f"{spec.name} {band}", plane, array) for band, plane in alone.items()]


def _radar(spec: SourceSpec, array: ArraySpec, pixels: NDArray[Any]) -> list[Panel]:
    out = []
    db = dict(zip(array.bands, decibels(pixels, array.nodata), strict=True))
    size = array.told
    if {"VV", "VH"} <= set(db):
        told = f"VV {_span(patch.VV_DB)}, VH {_span(patch.VH_DB)}, VV/VH {_span(patch.RATIO_DB)} dB · {size}"
        out.append(Panel("Radar", told, patch.radar_composite(db["VV"], db["VH"])))
    for band, limits in (("VV", patch.VV_DB), ("VH", patch.VH_DB)):
        if band in db:
            scale = (patch.GREY, *limits, f"dB ({array.unit.split(',')[0]})")
            out.append(Panel(f"Radar {band}", size, patch.grey(db[band], limits), scale=scale))
    return out


def _grey(title: str, plane: NDArray[Any], array: ArraySpec) -> Panel:
    values = np.where(plane == array.nodata, np.nan, plane.astype(np.float64))
    valid = values[np.isfinite(values)]
    low, high = np.percentile(valid, [2, 98]).tolist() if valid.size else (0.0, 1.0)
    high = max(high, low + max(1e-3 * abs(low), 1e-9))
    is_field = array.res_m is None
    image = (patch.field if is_field else patch.grey)(values, (low, high))
    scale = (patch.FIELD if is_field else patch.GREY, low, high, array.unit)
    return Panel(title, array.told, image, scale=scale)


def _span(limits: tuple[float, float]) -> str:
    return f"{limits[0]:g}…{limits[1]:g}"


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
    with embed.style(INK):
        figure = Figure(figsize=(max(left + _TEXT_IN, 7.0), height), facecolor="white")
        width, _ = figure.get_size_inches()
        figure.text(0.35 / width, 1 - 0.42 / height, title, fontsize=17, fontweight="bold", va="center")
        figure.text(0.35 / width, 1 - 0.74 / height, subtitle, fontsize=10, color=SOFT, va="center")
        for n, panel in enumerate(shown or [Panel("No pixels", "none are stored of this patch", None, why)]):
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
    axes.text(0, 1.02, panel.subtitle, transform=axes.transAxes, fontsize=7, color=SOFT, va="bottom")
    axes.set_facecolor("#f1eee7")
    if panel.image is None:
        colour = BAD if panel.damaged else SOFT
        axes.text(
            0.5, 0.5, textwrap.fill(panel.note, 42), transform=axes.transAxes, ha="center", va="center", color=colour
        )
        axes.spines[:].set_color(BAD if panel.damaged else "#d8d4cb")
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
            ncols=3,
            fontsize=6.5,
            handlelength=1,
            handleheight=1,
            columnspacing=1,
            labelspacing=0.25,
        )


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
