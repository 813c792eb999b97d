"""Keys are made and parsed in one place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import curation
from curation.errors import ConfigError
from curation.places import regions
from curation.store import paths

PACKAGE = Path(curation.__file__).parent

KEYS = re.compile(r"""["'{](cubes|ledger|scenes|shards|packing)/\{|\.zarr["']|\.jsonl["']|["']manifest/|/c/""")
"""What a key is known by in code."""


@pytest.mark.parametrize("level", ["", "children"])
@pytest.mark.parametrize("season", ["static", "2021-01"])
def test_what_is_made_is_parsed_again(level: str, season: str):
    name = paths.folder("bbox-m5p1-2", level)
    assert (paths.region_of(name), paths.level_of(name)) == ("bbox-m5p1-2", level)
    prefix, ledger = paths.cube(name, season), paths.ledger(name, season)
    segments = [paths.segment(ledger, n) for n in (1, 0)]
    for key in (prefix, f"{prefix}/zarr.json", paths.chunk(prefix, "dem_30m", 7, axes=4), ledger, *segments):
        assert paths.cube_of(key) == (name, season)
    assert paths.recorded([*segments, f"{ledger}/more/below"]) == [(name, season)]
    for axes in (1, 2, 4):
        assert paths.slab_of(prefix, paths.chunk(prefix, "dem_30m", 7, axes)) == ("dem_30m", 7)
    assert paths.slab_of(prefix, f"{prefix}/dem_30m/zarr.json") is None


def test_no_region_s_name_has_the_dot_that_a_level_begins_with(tmp_path: Path):
    file = tmp_path / "a.children.geojson"
    file.write_text('{"type": "Polygon", "coordinates": [[[6, 50], [7, 50], [7, 51], [6, 50]]]}')
    names = [*regions.named(), regions.from_file(file).name, regions.from_bbox("-6.25,50.5,-6.125,51").name]
    assert [n for n in names if paths.level_of(n)] == []


@pytest.mark.parametrize("text", ["", "a/b", "a//c", "a/b/c/d"])
def test_what_names_no_patch_is_refused(text: str):
    with pytest.raises(ConfigError, match="expected REGION/SEASON/ID, such as"):
        paths.patch_of(text)


def test_no_other_file_makes_a_key_or_parses_one():
    # What is told to people, and what the format of shards calls its own, is no key.
    mine = {"store/paths.py"}
    found = {
        f"{path.relative_to(PACKAGE)}:{n}: {line.strip()}"
        for path in PACKAGE.rglob("*.py")
        if path.relative_to(PACKAGE).as_posix() not in mine and path.relative_to(PACKAGE).parts[0] != "embedded"
        for n, line in enumerate(path.read_text().splitlines(), 1)
        if KEYS.search(line)
    }
    assert found == set()
