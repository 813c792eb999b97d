"""What must be said of pixels that nobody observed: of which sources the embedded Earth was asked. Said here alone."""

from __future__ import annotations

from collections.abc import Mapping

from curation.recipe.catalogs import EARTHS


def synthetic(asked: Mapping[str, str]) -> list[str]:
    """Names of the sources whose scenes were made by the command itself, in order. Pure.

    Args:
        asked: source → identity of the catalog that was asked for it, as indices and cubes record it.
    """
    return [source for source, identity in asked.items() if identity in EARTHS]


def about(asked: Mapping[str, str]) -> str:
    """A sentence for whoever looks at such pixels, or reads of them; empty where all were observed. Pure."""
    made = synthetic(asked)
    if not made:
        return ""
    which = "all pixels" if len(made) == len(asked) else f"pixels of {', '.join(made)}"
    return (
        f"Synthetic: {which} were made by the embedded Earth, none was observed. Missions, scenes and licences are those of "
        "what they stand for."
    )
