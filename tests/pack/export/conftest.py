"""The tiny world with texts: what views of images and texts are made of."""

import dataclasses
import shutil
from pathlib import Path

import pytest

from curation.errors import StorageError
from curation.store.objects import Store
from tests import once
from tests import world as tiny
from tests.run import Curate

TEXTLESS = tiny.name(1, 2)
"""The sample that nothing is said of."""

ANNOTATIONS = """
[annotations.captions]
function = "mine.py:captions"
type = "json"

[annotations.words]
function = "caption"
type = "text"

[annotations.facts]
function = "mine.py:facts"
type = "json"
"""

FUNCTIONS = f'''
def captions(sample):
    if sample.key == "{TEXTLESS}":
        return {{"captions": [], "sources": []}}
    return {{"captions": [f"a field at {{sample.key}}", "grün"], "sources": ["where", ["worldcover", 2021]]}}


def facts(sample):
    return {{"seasons": sorted(sample.seasons)}}
'''


def fills_up(patch: pytest.MonkeyPatch, suffix: str, number: int) -> None:
    """From here on the disk is full when so many files of a suffix are to be written: at the last of them."""
    publish, left = Store.publish, [number]

    def dies(self: Store, key: str, data: bytes) -> object:
        if key.endswith(suffix):
            left[0] -= 1
            if not left[0]:
                raise StorageError("the disk is full")
        return publish(self, key, data)

    patch.setattr(Store, "publish", dies)


@pytest.fixture(scope="session")
def captioned(built: Curate, run_folder: Path) -> Curate:
    """The tiny world packed with two texts a sample, once; a test that changes it takes a copy."""

    def make(folder: Path) -> None:
        world = tiny.World(folder / "world")
        for file in (built.world.recipe, built.world.catalog, built.world.folder / "places.csv"):
            shutil.copy(file, world.folder)
        world.recipe.write_text(world.recipe.read_text() + ANNOTATIONS)
        (world.folder / "mine.py").write_text(FUNCTIONS)
        assert dataclasses.replace(built.copy(folder / "root"), world=world)("pack", "--run-code") == 0

    folder = once.made_once(run_folder / "captioned", make)
    once.AS_MADE.setdefault("captioned", (folder, once.contents(folder)))
    return dataclasses.replace(built, world=tiny.World(folder / "world"), root=folder / "root")
