"""Files of the cache folder: whole or not at all, and a disk that is full is told as that."""

import errno
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import requests

from curation import embedded
from curation.embedded.archive import published as published_module
from curation.embedded.archive.archive import Archive, write_cog
from curation.embedded.archive.published import published
from curation.embedded.world.grids import Grid
from tests.store.disks import Disk, mounted


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A small disk of its own."""
    with mounted(tmp_path / "disk", "300k") as found:
        yield found


def test_what_gdal_says_of_a_full_disk_is_told_as_that(disk: Disk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(published_module, "ROOM_BYTES", 0)
    pixels = np.random.default_rng(0).integers(0, 60_000, (1024, 1024)).astype("uint16")
    with pytest.raises(OSError, match="No space left") as told, published(disk.folder / "a.tif") as part:
        write_cog(part, pixels, Grid(32632, 0.0, 0.0, 10.0, 10.0, 1024, 1024), {})
    assert told.value.errno == errno.ENOSPC
    assert list(disk.folder.iterdir()) == []


def test_an_error_that_is_not_the_disks_stays_what_it_is(tmp_path: Path):
    with pytest.raises(RuntimeError, match="other"), published(tmp_path / "a.tif"):
        raise RuntimeError("other")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_begun_where_there_is_no_room_for_it(disk: Disk):
    begun = []
    with pytest.raises(OSError, match="No space left"), published(disk.folder / "a.tif"):
        begun.append(True)
    assert begun == []


@pytest.mark.slow
def test_a_server_whose_cache_folder_is_full_says_507_and_why(disk: Disk):
    with embedded.serve(cache=disk.folder) as url:
        for key in list(Archive(disk.folder)._group)[:1]:
            answer = requests.get(f"{url.removesuffix('/stac')}/archive/{key.path}", timeout=60)
            assert answer.status_code == 507
            assert f"cache folder {disk.folder}: No space left on device: make room there" in answer.text
