"""Colours that stand for something are told apart by whoever lacks one kind of cones, too."""

import itertools

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from curation.report import graphs, palette

SEEN_BY = {
    "all cones": np.eye(3),
    "no long": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no middle": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no short": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
"""Linear RGB as it looks to such eyes: Machado, Oliveira and Fernandes (2009), severity 1.0."""

TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
"""IEC 61966-2-1, from linear sRGB."""

WHITE = np.array([0.95047, 1.0, 1.08883])


def lab(colour: str, seen: object) -> np.ndarray:
    """CIE L*a*b* of a colour as some eyes see it."""
    rgb = np.asarray(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = TO_XYZ @ np.clip(np.asarray(seen) @ linear, 0, 1) / WHITE
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * 841 / 108 + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("eyes", SEEN_BY)
@pytest.mark.parametrize(
    ("colours", "least"),
    [
        ([palette.SEASONS[s] for s in ("spring", "summer", "autumn", "winter")] + [palette.UNTIMED], 24.0),
        (list(palette.OUTCOMES.values()), 18.0),
        (list(palette.QUALITATIVE), 13.0),
        ([graphs.WITHIN, graphs.ACROSS], 22.0),
    ],
    ids=["seasons", "outcomes", "qualitative", "pairs of a graph"],
)
def test_no_two_colours_look_alike_to_any_eyes(colours: list[str], least: float, eyes: str):
    seen = {c: lab(c, SEEN_BY[eyes]) for c in colours}
    nearest = min(float(np.linalg.norm(seen[a] - seen[b])) for a, b in itertools.combinations(seen, 2))
    assert nearest >= least


def test_white_is_white():  # what the constants come to
    assert lab("#ffffff", SEEN_BY["all cones"]) == pytest.approx([100, 0, 0], abs=0.02)
