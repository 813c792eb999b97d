"""Pictures as text: what is embedded is what was drawn."""

import base64
import io
import xml.etree.ElementTree as ET

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from curation.report import svg


def test_an_image_comes_back_pixel_for_pixel():
    pixels = np.random.default_rng(2).integers(0, 256, (24, 24, 4), dtype=np.uint8)
    pixels[..., 3] = 255
    uri = svg.image_uri(pixels)
    back = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1]))).convert("RGB"))
    assert back.tolist() == pixels[..., :3].tolist()


def _drawn(name: str, alt: str) -> str:
    with svg.style():
        figure = Figure(figsize=(3, 2))
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1])
        axes.set_title("a title")
        return svg.svg(figure, name, alt)


def test_a_figure_is_an_svg_element_that_has_a_name_and_the_ink_of_the_page():
    text = _drawn("one", 'a "line" & more')
    root = ET.fromstring(text)
    assert root.get("role") == "img"
    assert root.get("aria-label") == 'a "line" & more'
    assert "currentColor" in text
    assert svg.INK not in text


def test_figures_do_not_share_ids_and_are_the_same_every_time():
    one, two = _drawn("one", "x"), _drawn("two", "x")
    ids = [{e.get("id") for e in ET.fromstring(t).iter() if e.get("id")} for t in (one, two)]
    assert ids[0]
    assert ids[0] & ids[1] == set()
    assert one == _drawn("one", "x")
