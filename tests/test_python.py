"""The page on the Python way in does what it says: its blocks run, one after the other, in an empty folder."""

import doctest
import inspect
import re
from pathlib import Path

import pytest
from pyproj import Transformer

import curation
from curation.api.folder import DatasetFolder
from tests import world as tiny
from tests.once import one_at_a_time
from tests.run import Curate

PAGE = Path(curation.__file__).parent / "PYTHON.md"

POINTS = [(5.88, 51.25), (5.93, 51.37), (6.13, 51.31)]
"""Of the page, on the embedded Earth."""


def run(page: str) -> list[str]:
    """The blocks of a text, which were run."""
    blocks = list(re.finditer(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL))
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks:
        line = page[: block.start(1)].count("\n")
        exec(compile("\n" * line + block[1], str(PAGE), "exec"), names)  # errors name the page's line
    return [block[1] for block in blocks]


def of_the_tiny_world(text: str, world: tiny.World) -> str:
    """It instead of the embedded Earth, which takes minutes: its recipe, region, CRS, and all of its places."""
    to_lonlat = Transformer.from_crs(tiny.EPSG, 4326, always_xy=True)
    points = [
        to_lonlat.transform(tiny.X0 + x, tiny.Y0 - y) for x, y in ((2_000, 3_000), (2_600, 4_000), (3_300, 2_500))
    ]
    own = {
        'load("ssl4eo-s12-ml", "tiny", catalog="embedded"': f'load("{world.recipe}", "tiny", catalog="{world.catalog}"',
        "ssl4eo-s12-ml": "tiny",
        "lower-rhine": "europe",
        "lower-rhyne": "eurpoe",
        "32631": "32632",
        ", limit=2": "",
        '"own", catalog="embedded"': f'"own", catalog="{world.catalog}"',
        **{f"{lon},{lat}": f"{x},{y}" for (lon, lat), (x, y) in zip(POINTS, points, strict=True)},
    }
    for said, meant in own.items():
        text = text.replace(said, meant)
    return text


@pytest.mark.slow
@pytest.mark.torch
def test_examples_of_the_public_classes_come_to_what_they_say(built: Curate, tmp_path: Path, monkeypatch):
    from torch.utils.data import DataLoader

    from curation.stream import MixDataset, Part, ShardDataset, open_mix, open_shards, select_bands

    monkeypatch.chdir(tmp_path)
    built.copy(tmp_path / "tiny")
    names = {"curation": curation, "open_shards": open_shards, "DataLoader": DataLoader}
    names |= {"open_mix": open_mix, "Part": Part, "select_bands": select_bands}
    for of in (DatasetFolder, ShardDataset, MixDataset):
        text = of_the_tiny_world(inspect.getdoc(of), built.world)
        example = doctest.DocTestParser().get_doctest(text, names, of.__name__, None, None)
        assert len(example.examples) >= 6
        said: list[str] = []
        assert doctest.DocTestRunner().run(example, out=said.append).failed == 0, "".join(said)


@pytest.mark.torch
@pytest.mark.slow
def test_the_page_runs_from_top_to_bottom(world: tiny.World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    page = PAGE.read_text()
    assert "lower-rhine" in page
    page = of_the_tiny_world(page, world)
    monkeypatch.chdir(tmp_path)
    assert len(run(page)) >= 6
    assert {p.name for p in tmp_path.iterdir()} == {
        *("tiny", "europe.nc", "for-qgis", "for-a-hub", "s2.tif"),
        *("points.csv", "recipe.toml", "own", "for-clip", "seasons.html"),
    }


@pytest.mark.slow
@pytest.mark.timeout(1800)  # for what else runs: a render of the Earth's scenes is waited for
def test_points_of_ones_own_come_to_a_batch_within_five_minutes(
    rendering: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    page = PAGE.read_text()
    start = page.index("## Points of your own")
    section = page[start : page.index("## What fails")]
    (recipe,) = re.findall(r'"recipe.toml"\).write_text\("""\n(.*?)"""', section, re.DOTALL)
    assert len(recipe.splitlines()) <= 15
    monkeypatch.chdir(tmp_path)
    with one_at_a_time(rendering):
        run(section.replace("```python\n", "```python\nimport curation\n"))
