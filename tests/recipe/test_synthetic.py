"""What is said of pixels that nobody observed: of the embedded Earths, and of nobody else."""

from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
from PIL import Image

import curation
from curation.api.folder import DatasetFolder
from curation.pack.export.of_shards import index_of
from curation.recipe import digests, synthetic
from tests import world as tiny
from tests.run import Curate

SAID = "Synthetic: all pixels were made by the embedded Earth, none was observed."


@pytest.fixture
def made(built: Curate, monkeypatch: pytest.MonkeyPatch) -> DatasetFolder:
    """The tiny world, as if its catalog were an embedded Earth."""
    monkeypatch.setattr(synthetic, "EARTHS", dict.fromkeys(index_of(built.store).counts["catalogs"].values(), "plain"))
    return curation.load(built.world.recipe, built.root, catalog=str(built.world.catalog), scheduler="none")


@pytest.mark.parametrize("earth", ["embedded", "embedded-hard"])
def test_all_of_an_embedded_earth_is_told_as_such(earth: str):
    asked = {"s2l2a": earth, "dem": earth}
    assert synthetic.synthetic(asked) == ["s2l2a", "dem"]
    assert synthetic.about(asked).startswith(
        "Synthetic: all pixels were made by the embedded Earth, none was observed."
    )


def test_of_several_catalogs_only_what_was_made_here_is_named():
    asked = {"s2l2a": "planetary-computer", "dem": "embedded", "era5": "https://embedded.example/stac"}
    assert synthetic.synthetic(asked) == ["dem"]
    assert synthetic.about(asked).startswith("Synthetic: pixels of dem were made")


def test_of_what_was_observed_nothing_is_said():
    assert synthetic.about({"s2l2a": "planetary-computer", "dem": "cdse"}) == ""
    assert synthetic.about({}) == ""


@pytest.mark.parametrize(
    ("parts", "asked"),
    [
        ({"catalog": "embedded", "sources": {"a": [], "b": []}}, {"a": "embedded", "b": "embedded"}),
        ({"catalog": {"a": "cdse", "b": "embedded"}, "sources": {"a": [], "b": []}}, {"a": "cdse", "b": "embedded"}),
        (
            {
                "roots": {"catalog": "cdse", "sources": {"a": []}},
                "children": {"catalog": {"a": "cdse", "b": "embedded"}, "sources": {"a": [], "b": []}},
            },
            {"a": "cdse", "b": "embedded"},
        ),
    ],
)
def test_what_a_cube_states_tells_whom_each_source_is_of(parts: dict, asked: dict):
    assert digests.asked(parts) == asked


@pytest.mark.slow
def test_a_page_and_a_picture_say_so(made: DatasetFolder, tmp_path: Path):
    made.report(out=tmp_path / "report.html")
    made.worst("clear_fraction", 1, out=tmp_path / "worst.html")
    for name in ("report.html", "worst.html"):
        assert SAID in (tmp_path / name).read_text()
    made.show(f"europe/static/{tiny.name(0, 0)}", out=tmp_path / "a.png")
    assert np.asarray(Image.open(tmp_path / "a.png")).std() > 0


def test_what_is_exported_says_so_file_by_file(made: DatasetFolder, tmp_path: Path):
    made.export("geotiff", tmp_path / "tif", season="summer", limit=1)
    with rasterio.open(next((tmp_path / "tif").rglob("*-s2l2a_10m.tif"))) as tif:
        assert tif.tags()["synthetic"].startswith(SAID)
    made.export("stac", tmp_path / "stac", season="summer", limit=1)
    assert pystac.Collection.from_file(str(tmp_path / "stac/collection.json")).description.startswith(SAID)
    made.export("parquet", tmp_path / "parquet", limit=1)
    assert SAID in (tmp_path / "parquet/README.md").read_text()


def test_what_was_exported_as_observed_is_made_again(built: Curate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    own = curation.load(built.world.recipe, built.root, catalog=str(built.world.catalog), scheduler="none")
    own.export("geotiff", tmp_path, season="summer", limit=1)
    file = next(tmp_path.rglob("*-s2l2a_10m.tif"))
    with rasterio.open(file) as tif:
        assert "synthetic" not in tif.tags()
    monkeypatch.setattr(synthetic, "EARTHS", dict.fromkeys(index_of(built.store).counts["catalogs"].values(), "plain"))
    own.export("geotiff", tmp_path, season="summer", limit=1)
    with rasterio.open(file) as tif:
        assert tif.tags()["synthetic"].startswith(SAID)
