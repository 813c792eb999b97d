"""The page on the Python way in does what it says: its blocks run, one after the other, in an empty folder."""

import doctest
import inspect
import re
from pathlib import Path

import pytest

import curation
from curation.api.folder import DatasetFolder
from tests.run import Curate
from tests.world import World

PAGE = Path(curation.__file__).parent / "PYTHON.md"


def of_the_tiny_world(text: str, world: World) -> str:
    """It instead of the embedded Earth, which takes minutes: its recipe, region, CRS, and all of its places."""
    own = {
        'load("ssl4eo-s12-ml", "tiny", catalog="embedded"': f'load("{world.recipe}", "tiny", catalog="{world.catalog}"',
        "ssl4eo-s12-ml": "tiny",
        "lower-rhine": "europe",
        "lower-rhyne": "eurpoe",
        "32631": "32632",
        ", limit=2": "",
    }
    for said, meant in own.items():
        text = text.replace(said, meant)
    return text


@pytest.mark.torch
def test_examples_of_the_public_classes_come_to_what_they_say(built: Curate, tmp_path: Path, monkeypatch):
    from torch.utils.data import DataLoader

    from curation.stream.dataset import ShardDataset
    from curation.stream.open import open_shards

    monkeypatch.chdir(tmp_path)
    built.copy(tmp_path / "tiny")
    names = {"curation": curation, "open_shards": open_shards, "DataLoader": DataLoader}
    for of in (DatasetFolder, ShardDataset):
        text = of_the_tiny_world(inspect.getdoc(of), built.world)
        example = doctest.DocTestParser().get_doctest(text, names, of.__name__, None, None)
        assert len(example.examples) >= 6
        said: list[str] = []
        assert doctest.DocTestRunner().run(example, out=said.append).failed == 0, "".join(said)


def test_the_page_runs_from_top_to_bottom(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    page = PAGE.read_text()
    assert "lower-rhine" in page
    page = of_the_tiny_world(page, world)
    monkeypatch.chdir(tmp_path)
    blocks = list(re.finditer(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL))
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks:
        line = page[: block.start(1)].count("\n")
        exec(compile("\n" * line + block[1], str(PAGE), "exec"), names)  # errors name the page's line
    assert len(blocks) >= 5
    assert {p.name for p in tmp_path.iterdir()} == {"tiny", "europe.nc", "s2.tif"}
