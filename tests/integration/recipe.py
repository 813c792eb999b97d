"""The recipe of the run: that of the main job, with fewer places drawn, and two of its seasons."""

from __future__ import annotations

import re
from pathlib import Path

from curation.recipe import files

DATASET, REGION, PLACES = "ssl4eo-s12-ml", "lower-rhine", 2
SEASONS = ("winter", "summer")


def write(path: Path) -> Path:
    """The recipe, written."""
    text = (files.folder("manifests") / DATASET / "recipe.toml").read_text()
    text, draws = re.subn(r"count = 300_000\b", "count = 20_000", text)
    text, seasons = re.subn(r"(?m)^(?:spring|autumn) = \{.*\}\n", "", text)
    assert (draws, seasons) == (1, 2), "the recipe of the main job is another than it was"
    path.write_text(text)
    return path
