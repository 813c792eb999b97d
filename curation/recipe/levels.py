"""The recipes that a recipe with children is."""

from __future__ import annotations

from curation.recipe.footprint import GridSpec
from curation.recipe.schema import Recipe

CHILDREN = "children"
"""The level of locations that have a parent."""


def levels(recipe: Recipe) -> dict[str, Recipe]:
    """The recipe of roots (by an empty name) and that of children, each as if it were alone."""
    assert recipe.children is not None
    below = set(recipe.children.sources)
    out = {}
    for level, grid in (("", recipe.grid), (CHILDREN, GridSpec(size_m=recipe.children.size_m))):
        uses = {n: use for n, use in recipe.sources.items() if (n in below) == (level == CHILDREN)}
        labels = {k: source for k in ("annual", "seasonal") if (source := getattr(recipe.labels, k)) in uses}
        mine = {"annual": None, "seasonal": None} | labels
        own = {"sources": uses, "grid": grid, "children": None, "labels": recipe.labels.model_copy(update=mine)}
        own["derived"] = {}  # which is of all levels together
        out[level] = recipe.model_copy(update=own)
    return out
