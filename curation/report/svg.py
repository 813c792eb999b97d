"""Pictures as text for one page: images as data URIs, figures as inline SVG that takes the page's ink."""

from __future__ import annotations

import base64
import contextlib
import html
import io
import re
from collections.abc import Callable, Iterator
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

INK = "#0a0b0c"
"""Drawn in this colour, lines and text take the colour of the text around them, light or dark."""

NARROW_IN, WIDE_IN = 3.7, 13.2
"""Widths of figures, inches: 355 and 1267 px of a page. The narrow one is whole on a page of 400 px, its text as it was set;
a wide one would be shrunk there beyond reading, so whoever draws one draws a narrow one, too."""

_RC: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "curation",
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that measures are the same everywhere
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.axisbelow": True,
    "grid.linewidth": 0.5,
    "grid.alpha": 0.18,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "hatch.linewidth": 0.6,
    "image.interpolation": "nearest",
}


@contextlib.contextmanager
def style(ink: str = INK) -> Iterator[None]:
    """Our look for figures made and saved inside, whatever the user's own settings are."""
    inked = ("text", "axes.labelcolor", "axes.edgecolor", "xtick", "ytick", "grid", "hatch")
    colours = {f"{k}.color" if "." not in k else k: ink for k in inked}
    with matplotlib.style.context(["default", _RC | colours | {"axes.titlecolor": ink}]):
        yield


def image_uri(pixels: NDArray[np.uint8], *, quality: int | None = None) -> str:
    """A data URI of an image (y, x, 3 or 4): WebP, lossless unless a quality is given."""
    image = Image.fromarray(pixels[..., :3] if pixels.shape[-1] == 4 and (pixels[..., 3] == 255).all() else pixels)
    out = io.BytesIO()
    if quality is None:
        image.save(out, "webp", lossless=True, quality=60, method=4)
    else:
        image.save(out, "webp", quality=quality, method=4)
    return "data:image/webp;base64," + base64.b64encode(out.getvalue()).decode()


def wide_and_narrow(draw: Callable[[float], Figure], name: str, alt: str) -> str:
    """A figure drawn twice, for wide pages and for narrow ones; the page shows one of them. `draw` takes a width, inches."""
    with style():
        return svg(draw(WIDE_IN), name, alt, "wide") + svg(draw(NARROW_IN), f"{name}-narrow", alt, "narrow")


def svg(figure: Figure, name: str, alt: str, kind: str = "") -> str:
    """A figure as an `<svg>` element that screen readers call `alt`; `name` keeps its ids apart from other figures'.

    Of a `wide` one the page has a `narrow` one, too (`wide_and_narrow`).
    """
    out = io.StringIO()
    with matplotlib.style.context({"svg.hashsalt": name}):
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(out, format="svg", transparent=True, metadata=nothing, dpi=144)
    text = out.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{name}-", text)
    width, height = figure.get_size_inches() * 72
    text = re.sub(r'^<svg [^>]*?viewBox="([^"]+)"[^>]*>', _open_tag(alt, width, height, kind), text, count=1)
    return text.strip()


def _open_tag(alt: str, width: float, height: float, kind: str) -> str:
    label = html.escape(alt, quote=True).replace("\\", r"\\")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" role="img" '
        f'aria-label="{label}" class="{f"chart {kind}".strip()}" viewBox="0 0 {width:g} {height:g}" '
        f'style="width:{width * 4 / 3:.0f}px"><title>{label}</title>'
    )
