"""The page on the Python way in does what it says: its blocks run, one after the other, in an empty folder."""

import re
from pathlib import Path

import pytest

import curation
from tests.world import World

PAGE = Path(curation.__file__).parent / "PYTHON.md"


def test_the_page_runs_from_top_to_bottom(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # The tiny world instead of the embedded Earth, which takes minutes: its recipe, region, CRS, and all of its places.
    own = {
        'load("ssl4eo-s12-ml", "tiny", catalog="embedded"': f'load("{world.recipe}", "tiny", catalog="{world.catalog}"',
        "ssl4eo-s12-ml": "tiny",
        "lower-rhine": "europe",
        "lower-rhyne": "eurpoe",
        "32631": "32632",
        ", limit=2": "",
    }
    page = PAGE.read_text()
    for said, meant in own.items():
        assert said in page
        page = page.replace(said, meant)
    monkeypatch.chdir(tmp_path)
    blocks = list(re.finditer(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL))
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks:
        line = page[: block.start(1)].count("\n")
        exec(compile("\n" * line + block[1], str(PAGE), "exec"), names)  # errors name the page's line
    assert len(blocks) >= 5
    assert {p.name for p in tmp_path.iterdir()} == {"tiny", "europe.nc", "for-qgis", "s2.tif"}
