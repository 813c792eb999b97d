"""What cubes tell of patches for the split: as xarray reads it from the cubes alone."""

from pathlib import Path

import pytest
import xarray as xr

from curation.cubes import selection
from curation.errors import ConfigError
from curation.outcomes import Status
from curation.pack import pack
from curation.pack.facts import split_facts
from curation.places.regions import ALL
from curation.work.run import Run
from tests.pack.test_split import with_split
from tests.run import Curate


def told(built: Curate, folder: Path, source: str) -> dict[str, dict[str, list[str]]]:
    mine = with_split(built, folder, f'rule = "platform"\nsource = "{source}"\nval = ["sentinel-1b"]\n')
    run = Run(mine.dataset, mine.catalogs, mine.store)
    asked = selection.asked_regions(run.dataset, run.catalogs, ALL)
    return split_facts(run, pack.opened(run, asked))


def test_each_place_has_the_satellites_of_its_patches_that_have_the_source(built: Curate, tmp_path: Path):
    expected: dict[str, list[str]] = {}
    for season in ("summer", "autumn"):
        cube = xr.open_zarr(built.folder / f"cubes/europe/{season}.zarr").load()
        for name, status, platform in zip(cube.id, cube.s1rtc_status, cube.s1rtc_platform, strict=True):
            if int(status) == Status.OK:
                expected.setdefault(str(name.values), []).append(str(platform.values))
    assert {len(of) for of in expected.values()} == {1, 2}  # some lack it in one season
    assert {name for of in expected.values() for name in of} == {"sentinel-1a"}
    assert told(built, tmp_path, "s1rtc") == {"s1rtc_platform": expected}


def test_what_no_cube_tells_is_said_with_what_tells_it(built: Curate, tmp_path: Path):
    with pytest.raises(
        ConfigError, match=r"looks at s2l2a_platform, which no cube tells: say angles = true in \[sources.s2"
    ):
        told(built, tmp_path, "s2l2a")
