"""What cubes tell of patches for the split: as xarray reads it from the cubes alone."""

from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import pytest
import xarray as xr

from curation.cubes import selection
from curation.cubes.cube import Cube
from curation.errors import ConfigError
from curation.outcomes import Status
from curation.pack import pack
from curation.pack.facts import sample_shares, split_facts
from curation.places.regions import ALL
from curation.store.objects import Store
from curation.store.records import SlabRecord
from curation.work.run import Run
from tests.pack.test_split import with_split
from tests.run import Curate

CLASSES = ("crops", "water", "trees")


class Facts(Cube):
    """A cube that counts how often the facts of each slab are read."""

    read: ClassVar[Counter[tuple[str, str, int]]] = Counter()

    def proven_facts(self, store: Store, record: SlabRecord, *given: Any, **said: Any) -> list[dict[str, Any]]:
        """What a cube says."""
        self.read[self.folder, self.season, record.slab] += 1
        return super().proven_facts(store, record, *given, **said)


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


def test_facts_of_a_slab_are_read_once_however_many_shares_are_of_it(built: Curate, tmp_path: Path):
    text = [
        f'of{n} = {{ source = "dynamicworld", season = "summer", classes = ["{c}"] }}' for n, c in enumerate(CLASSES)
    ]
    mine = with_split(built, tmp_path, 'rule = "blocks"\n[pack.shares]\n' + "\n".join(text))
    run = Run(mine.dataset, mine.catalogs, mine.store)
    found = pack.opened(run, selection.asked_regions(run.dataset, run.catalogs, ALL))
    for by in found.cubes.values():
        by.update({season: Facts(c.dataset, c.region, c.season, c.locations) for season, c in by.items()})
    Facts.read.clear()
    shares = sample_shares(run, found)
    cube = xr.open_zarr(built.folder / "cubes/europe/summer.zarr")
    has = cube.dynamicworld_status.values == int(Status.OK)
    assert {i for _, i in shares} == set(cube.id.values[has].tolist())
    assert all(its.keys() == {"of0", "of1", "of2"} for its in shares.values())
    assert Facts.read == Counter(("europe", "summer", s) for s in found.ledgers["europe"]["summer"].slabs)


def test_what_no_cube_tells_is_said_with_what_tells_it(built: Curate, tmp_path: Path):
    with pytest.raises(
        ConfigError, match=r"looks at s2l2a_platform, which no cube tells: say angles = true in \[sources.s2"
    ):
        told(built, tmp_path, "s2l2a")
