"""What maps of a catalog can label, foreseen of a few places before a build."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from shapely.geometry import shape

from curation.cubes import selection
from curation.pack.labels import foreseen
from curation.places import grid
from curation.places.locations import Locations
from curation.places.regions import find
from curation.recipe.catalogs import resolve_all
from curation.scenes.saved import Searches
from curation.store.objects import Store
from tests.loopback import Request, serving
from tests.pack.labels.files import written
from tests.run import Curate

SEASONS = ["static", "summer", "autumn"]


@pytest.fixture(scope="module")
def places(built: Curate) -> Locations:
    found = selection.locations(built.dataset, built.store, [find("europe")])["europe"]
    assert len(found) == 25
    return found


@pytest.mark.parametrize(
    ("properties", "day"),
    [
        (None, ""),
        ({}, "20210710"),
        ({"s2:datatake_id": "GS2A_2021-07-09"}, ""),
    ],
)
def test_a_patch_can_be_labelled_where_an_image_of_its_season_has_a_map(
    built: Curate, places: Locations, tmp_path: Path, properties: dict[str, str] | None, day: str
):
    items = json.loads(built.world.catalog.read_text())
    images = [shape(f["geometry"]) for f in items["features"] if day and f["id"].startswith(f"S2A_MSIL2A_{day}T")]
    can = sum(any(image.contains(grid.footprint(place, 1)) for image in images) for place in places)
    assert 0 < can < 25 or not day
    maps = [f for f in items["features"] if f["collection"] == "dynamicworld"]
    assert len(maps) == 1
    for its in maps:
        its["properties"] |= properties or {}
    items["features"] = [] if properties is None else maps
    path = written(tmp_path / "maps.json", items)
    every = resolve_all(built.dataset, str(built.world.catalog), {"dynamicworld": str(path)})
    searches = Searches(built.dataset, every, Store(tmp_path / "root"))
    found = foreseen.foreseen(searches, "dynamicworld", places, SEASONS)
    assert (found.can, found.patches, found.places, found.cells) == (can, 50, 25, 1)
    assert f"can label up to {can} of 50 patches ({can * 2:.1f} %)" in foreseen.line(searches, places, SEASONS)
    assert searches.answered == 4, "of images and of maps, in two seasons; none is made twice"


def test_a_catalog_that_is_read_whole_is_not_searched_for_it(built: Curate, places: Locations, tmp_path: Path):
    (tmp_path / "maps.parquet").touch()  # it is not even opened
    every = resolve_all(built.dataset, str(built.world.catalog), {"dynamicworld": str(tmp_path / "maps.parquet")})
    searches = Searches(built.dataset, every, Store(tmp_path / "root"))
    line = foreseen.line(searches, places, SEASONS)
    assert "what share of patches its maps can label is not known before scenes are searched;" in line
    assert searches.answered == 0


@pytest.mark.slow
def test_where_a_search_fails_that_is_said_and_the_build_goes_on(built: Curate, places: Locations, tmp_path: Path):
    def answer(request: Request) -> None:
        if request.command == "POST":
            request.send(400, b"no")
        else:
            its = {"type": "Catalog", "id": "maps", "stac_version": "1.0.0", "description": "", "links": []}
            request.send(
                200, json.dumps(its | {"conformsTo": ["https://api.stacspec.org/v1.0.0/item-search"]}).encode()
            )

    with serving(answer) as url:
        every = resolve_all(built.dataset, str(built.world.catalog), {"dynamicworld": url})
        line = foreseen.line(Searches(built.dataset, every, Store(tmp_path / "root")), places, SEASONS)
    assert re.search(
        r"is not known before scenes are searched \(.*search of dynamicworld.*\); `curate report`", line
    ), line


def test_few_places_of_many_are_looked_at_from_all_over_and_of_few_cells(built: Curate, places: Locations):
    many = Locations.joined([places] * 41)
    some = list(foreseen._some(many))
    assert len(some) <= foreseen.MOST_PLACES
    assert len({p.id for p in some}) > 10
    assert list(foreseen._some(places)) == list(places)
    assert list(foreseen._some(places[:0])) == []
