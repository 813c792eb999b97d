"""What a person or a catalog names and is no file is refused by name, wherever it is opened, and never waited for."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from curation.errors import ConfigError, PassingError, ReadError
from curation.places import from_file, regions
from curation.read.reader import Asset, Reader
from curation.read.swath import Swaths
from curation.recipe import catalogs, toml
from curation.recipe.schema import Recipe
from curation.store import local, tables
from curation.store.objects import Store
from curation.stream.fetch import Fetcher, Scratch
from tests.read.test_reader import AT, spec
from tests.read.test_swath import NO2, at, bounds

KINDS = {"pipe": "is a named pipe", "socket": "is a socket", "device": "is a device", "folder": "is a folder"}


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A path at which there is something else than a file, and what errors say of it."""
    path = tmp_path / "it"
    if request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "device":
        path.symlink_to("/dev/zero")
    elif request.param == "folder":
        path.mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))
            yield path, KINDS[request.param]
            return
    yield path, KINDS[request.param]
    for pipe in (p for p in tmp_path.iterdir() if p.is_fifo()):  # who waits for it, since a guard is gone, may end
        os.close(os.open(pipe, os.O_RDWR | os.O_NONBLOCK))


def in_time(use: Callable[[], object]) -> BaseException | None:
    """What a call raises; it fails where the call is not through in some seconds."""
    raised: list[BaseException | None] = []

    def run() -> None:
        try:
            use()
            raised.append(None)
        except BaseException as err:  # noqa: BLE001 - it is looked at
            raised.append(err)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(20)
    assert raised, "it waits"
    return raised[0]


def with_suffix(path: Path, suffix: str) -> Path:
    return path.rename(path.with_suffix(suffix))


def fetched(path: Path) -> object:
    return Fetcher(str(path.parent), shard_sizes={path.name: 9}, shard_sha256={path.name: ""}).ranges(
        path.name, [(0, 4)], Scratch()
    )


READS: dict[str, Callable[[Path], object]] = {
    "a raster": lambda p: Reader("").read([Asset(str(p), "none")], spec(10, "uint16", 0), AT),
    "a swath": lambda p: Swaths("").footprints(at(p), NO2, bounds(12.0, 10.0)),
    "an object of a store": lambda p: Store(p.parent).get(p.name),
    "a part of one": lambda p: Store(p.parent).get_range(p.name, 0, 4),
    "a shard": fetched,
}
SETTINGS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "a region": (".geojson", lambda p: regions.from_file(p)),
    "a region as a table": (".parquet", lambda p: regions.from_file(p)),
    "places": (".csv", lambda p: from_file.read(p, 660.0)),
    "places as a table": (".parquet", lambda p: from_file.read(p, 660.0)),
    "a recipe": (".toml", lambda p: toml.read_toml(p, Recipe)),
    "a catalog": (".json", lambda p: catalogs.resolve(str(p))),
}


@pytest.mark.slow
@pytest.mark.parametrize("use", READS)
def test_what_is_read_and_is_no_file_is_a_read_that_fails_for_good(place, use: str):
    path, told = place
    err = in_time(lambda: READS[use](path))
    assert isinstance(err, ReadError), err
    assert not isinstance(err, PassingError)
    assert str(path) in str(err)
    assert told in str(err)


@pytest.mark.parametrize("use", SETTINGS)
def test_what_a_person_names_and_is_no_file_is_told(place, use: str):
    path, told = place
    suffix, call = SETTINGS[use]
    path = with_suffix(path, suffix)
    err = in_time(lambda: call(path))
    assert isinstance(err, ConfigError), err
    assert str(path) in str(err)
    if use == "a catalog" and told == KINDS["folder"]:  # which may be one, of parquet files
        assert "nor a folder with .parquet files" in str(err)
    else:
        assert told in str(err)


def test_beside_geotiffs_what_is_no_file_says_nothing_of_them(place, tmp_path):
    (tmp_path / "a.tif").write_bytes(bytes(40))
    before = catalogs.resolve(str(tmp_path)).identity
    with_suffix(place[0], ".json")
    found: list[str] = []
    assert in_time(lambda: found.append(catalogs.resolve(str(tmp_path)).identity)) is None
    assert found == [before]


def test_a_store_has_no_object_where_there_is_no_file(place):
    path, _ = place
    assert Store(path.parent).head(path.name) is None
    assert [s.key for s in Store(path.parent).list()] == []


@pytest.mark.slow
def test_the_command_ends_at_once_where_its_files_are_pipes(tmp_path):
    pipe = tmp_path / "recipe.toml"
    os.mkfifo(pipe)
    command = [sys.executable, "-m", "curation", "report", "--dataset", str(pipe), "--root", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 2
    assert f"{pipe}: is a named pipe, expected a file" in done.stderr


@pytest.mark.parametrize("use", ["a region", "places", "a recipe", "a catalog"])
def test_what_is_read_whole_is_not_larger_than_may_be(tmp_path, use: str):
    suffix, call = SETTINGS[use]
    path = tmp_path / f"large{suffix}"
    with path.open("wb") as file:
        file.truncate(2**33)  # a hole: it takes no disk
    err = in_time(lambda: call(path))
    assert isinstance(err, ConfigError)
    assert "8589934592 bytes, expected" in str(err)


@pytest.mark.parametrize("use", ["a region as a table", "places as a table"])
def test_a_table_that_is_small_because_it_is_packed_is_refused_by_what_it_comes_to(tmp_path, monkeypatch, use: str):
    path = tmp_path / "a.parquet"
    pd.DataFrame({"lon": [5.0] * 200_000, "lat": [50.0] * 200_000}).to_parquet(path, compression="zstd")
    assert path.stat().st_size < 20_000
    monkeypatch.setattr(tables, "MOST_ROWS", 100_000)
    err = in_time(lambda: SETTINGS[use][1](path))
    assert isinstance(err, ConfigError)
    assert "200000 rows, " in str(err)


def test_a_pipe_in_place_of_a_file_between_looking_and_opening_is_not_waited_for(tmp_path, monkeypatch):
    it = tmp_path / "it"
    it.write_bytes(b"x")
    found = os.stat

    def stat(path: Path, **how: object) -> os.stat_result:
        said = found(path, **how)
        if path == it:
            it.unlink()
            os.mkfifo(it)
        return said

    monkeypatch.setattr(local.os, "stat", stat)
    err = in_time(lambda: local.content(it))
    assert isinstance(err, local.NotAFileError)
