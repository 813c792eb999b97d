"""The tiny world under a recipe whose publisher says all that a card can have."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import curation
from curation.api.folder import DatasetFolder
from tests.run import Curate

CARD = """
[card]
title = "Tiny squares of the German Bight"
description = "A few squares, for tests."
creators = ["An Institute", { name = "Doe, Jane", orcid = "0000-0002-1825-0097", affiliation = "An Institute" }]
publisher = "A Publisher"
identifier = "https://doi.org/10.1234/tiny.1"
published = 2026-11-30
version = "1.2.0"
licence = "CC-BY-4.0"
url = "https://example.org/tiny"
keywords = ["floods"]
"""


def said(built: Curate, folder: Path, card: str = CARD) -> DatasetFolder:
    """A copy of the tiny dataset by a recipe with this card: the same cubes and shards."""
    shutil.copytree(built.root, folder / "root")
    shutil.copy(built.world.folder / "places.csv", folder)
    recipe = folder / "recipe.toml"
    recipe.write_text(built.world.recipe.read_text() + card)
    return curation.load(recipe, folder / "root", catalog=str(built.world.catalog), scheduler="none")


@pytest.fixture
def published(built: Curate, tmp_path: Path) -> DatasetFolder:
    return said(built, tmp_path)
