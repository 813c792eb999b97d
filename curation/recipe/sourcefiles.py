"""Which file says what a source is: one of the user's own, in `sources/` beside the recipe, or else that of `stac_queries/`.

Either is data: nothing that stands in it is executed, and all of it that changes a pixel is in the digest.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from curation.errors import ConfigError
from curation.errors.words import did_you_mean
from curation.recipe import files
from curation.recipe.schema import UseSpec
from curation.recipe.sources import SourceSpec
from curation.recipe.toml import read_toml
from curation.recipe.uses import called

OWN = "sources"
"""Folder beside a recipe whose `<source>.toml` come before those of `stac_queries/`, or add to them."""

NO_SOURCES = ("bands", "regions", "catalogs", "licences")
"""Files of `stac_queries/` that say something else."""


def shipped() -> dict[str, Path]:
    """Source → its file in `stac_queries/`."""
    return {p.stem: p for p in sorted(files.folder("stac_queries").glob("*.toml")) if p.stem not in NO_SOURCES}


def own(recipe: Path) -> dict[str, Path]:
    """Source → its file beside a recipe, by the recipe's path."""
    return {p.stem: p for p in sorted((recipe.parent / OWN).glob("*.toml"))}


def read(path: Path) -> SourceSpec:
    """The source that a file states.

    Raises:
        ConfigError: it is none, or is called otherwise than its file, by which recipes and other sources name it.
    """
    spec = read_toml(path, SourceSpec)
    if spec.name != path.stem:
        raise ConfigError(
            f"{path}: name = {spec.name!r}: expected {path.stem!r}, as its file is called: rename one of them"
        )
    return spec


def read_used(uses: Mapping[str, UseSpec], recipe: Path) -> dict[str, SourceSpec]:
    """The sources that a recipe uses, by its names for them; those of its own files first.

    Raises:
        ConfigError: there is no such source, its file states none, or it cannot be called so.
    """
    known = shipped() | own(recipe)
    names, specs = sorted(known), {}
    for source, use in uses.items():
        file = use.of or source
        if file not in known:
            where = f"[sources.{source}]" + (f" of = {file!r}" if use.of else "")
            raise ConfigError(
                f"{recipe}: {where}: no such source; {did_you_mean(file, names)}known sources: {', '.join(names)}; one of "
                f"your own is a file {OWN}/{file}.toml beside the recipe"
            )
        specs[source] = called(read(known[file]), source, names, recipe)
    return specs


def of_ones_own(uses: Mapping[str, UseSpec], recipe: Path) -> str:
    """Which of a recipe's sources are of the user's own, for a person; empty where none is."""
    mine, theirs = own(recipe), shipped()
    its = [
        f"{name} ({OWN}/{name}.toml{', in place of stac_queries/' if name in theirs else ''})"
        for name in dict.fromkeys(use.of or source for source, use in uses.items())
        if name in mine
    ]
    return f"Sources of your own: {', '.join(its)}." if its else ""
