"""Snapshots elsewhere are searched by ranges, and give what the same files here do."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import stac_geoparquet.arrow
from hypothesis import given
from hypothesis import strategies as st

from curation.errors import ConfigError, ReadError
from curation.model import Window, iso
from curation.read import ranges
from curation.read.signing import FileAddress
from curation.recipe.catalogs import Catalogs, resolve
from curation.scenes import remotefile, snapshot
from curation.scenes.remotefile import RemoteFile
from curation.scenes.saved import Searches, opened
from curation.store.objects import Store
from tests import buckets
from tests.archive import Archive
from tests.loopback import serving
from tests.scenes.catalog import CELL, item, query, spec

JULY = Window("july", *(dt.datetime(2021, 7, d, tzinfo=dt.UTC) for d in (1, 15, 8)))


def written(folder: Path) -> Path:
    """A table of 2,000 items in twenty row groups by time, over 200 days; every tenth lies in the cell."""
    items = []
    for n in range(2000):
        when = dt.datetime(2021, 4, 1, tzinfo=dt.UTC) + dt.timedelta(hours=2.4 * n)
        items.append(item(f"s{n:04d}", lon=6.5 if n % 10 == 0 else 60.0, datetime=iso(when)))
    table = stac_geoparquet.arrow.parse_stac_items_to_arrow(items)
    table = pa.table(table.read_all() if hasattr(table, "read_all") else table)
    path = folder / "part-0.parquet"
    pq.write_table(table, path, row_group_size=100, compression="none", use_dictionary=False)
    return path


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("table"))


@pytest.fixture
def far(table, monkeypatch):
    monkeypatch.setattr(ranges, "PAUSE_S", 0)
    archive = Archive({"part-0.parquet": table.read_bytes()})
    archive.version = '"one"'
    with serving(archive.answer) as url:
        yield archive, f"{url}/items/part-0.parquet"


def found(catalog: str) -> list[str]:
    one = opened(resolve(catalog)).search(query(spec("s2l2a"), CELL, JULY))
    return [
        json.dumps(s.to_json() | {"hrefs": {k: h.rpartition("items/")[2] for k, h in s.hrefs.items()}})
        for s in one.scenes
    ]


@pytest.mark.slow
def test_a_table_elsewhere_gives_what_it_gives_here_of_a_part_of_its_bytes(table, far, monkeypatch):
    archive, url = far
    files: list[RemoteFile] = []

    class Noted(RemoteFile):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            files.append(self)

    monkeypatch.setattr(snapshot, "RemoteFile", Noted)
    here = found(str(table))
    assert len(here) == 14
    assert found(url) == here
    (file,) = files
    assert 0 < file.fetched < 0.3 * table.stat().st_size  # 14 of 200 days are three groups of twenty
    assert len(archive.requests) <= 10  # the footer and its length, and one of each group
    assert file._ahead == []  # there may be many files: what was read of one is let go
    assert opened(resolve(url)).collections() == {"sentinel-2-l2a"}


def test_what_lets_one_in_is_sent_and_never_kept(far, dataset, tmp_path):
    archive, url = far
    archive.token = "SECRET"
    catalog = resolve(f"{url}?sig=SECRET")
    assert "SECRET" not in f"{catalog!r}{catalog.identity}{catalog.location}{catalog.label}{catalog.base}"
    searches = Searches(dataset, Catalogs(catalog), Store(tmp_path))
    wanted = [(dataset.specs["s2l2a"], dataset.recipe.season("summer").always, CELL)]
    searches.run(wanted)
    assert len(searches.scenes(*wanted[0])) == 92
    for stored in searches.store.list():
        assert b"SECRET" not in snapshot.zlib.decompress(searches.store.get(stored.key), 31)
    with pytest.raises(ReadError) as caught:
        found(url)
    assert "SECRET" not in str(caught.value)


@pytest.mark.slow
def test_columns_are_asked_for_some_at_a_time_and_those_near_each_other_as_one(monkeypatch):
    data = bytes(range(256)) * 64
    monkeypatch.setattr(remotefile, "HOLE_BYTES", 100)
    monkeypatch.setattr(remotefile, "MOST_BYTES", 3000)
    archive = Archive({"file": data})
    archive.version, archive.delay_s = '"one"', 0.2
    with serving(archive.answer) as url:
        file = RemoteFile(FileAddress(f"{url}/file", "none"), "file")
        before = len(archive.requests)
        far = [(n * 1000, 100) for n in range(8)]  # each by itself
        near = [(9000 + n * 150, 100) for n in range(30)]  # 4,450 bytes: two
        wrong = [
            (len(data) - 50, 500),
            (-20, 10),
            (len(data) + 9, 10),
            (10_000, -1),
        ]  # what a footer says may be anything
        with file.at_hand([*near, *far, *wrong]):
            asked = len(archive.requests) - before
            assert asked == 8 + 2 + 1
            assert archive.most == remotefile.AT_ONCE
            for start, length in (*near, *far, (len(data) - 50, 50)):
                file.seek(start)
                assert file.read(length) == data[start : start + length]
            assert len(archive.requests) - before == asked
            file.seek(8500)
            assert file.read(10) == data[8500:8510]
            assert len(archive.requests) - before == asked + 1
        file.seek(0)
        assert file.read(100) == data[:100]
        assert len(archive.requests) - before == asked + 2  # it was let go


@given(st.lists(st.tuples(st.integers(0, 3 << 25), st.integers(0, 3 << 25)), max_size=30))
def test_what_is_fetched_for_some_ranges_holds_each_of_their_bytes_once(spans):
    found = remotefile.joined(spans)
    assert all(a < b for a, b in found)
    assert all(first[1] <= second[0] for first, second in itertools.pairwise(found))
    for a, b in spans:
        covered = sum(max(min(b, end) - max(a, start), 0) for start, end in found)
        assert covered == max(b - a, 0)


@pytest.mark.parametrize("fault", ["503", "429", "truncate", "short", "reset"])
def test_a_server_that_fails_for_a_while_loses_nothing(table, far, fault):
    archive, url = far
    archive.faults = [fault, "", fault, fault, "", "", fault]
    assert found(url) == found(str(table))
    assert archive.hits == 4


def test_a_server_that_keeps_failing_is_an_error_and_no_empty_answer(far):
    archive, url = far
    archive.meant, archive.always = (lambda path, first: first > 10_000), "503"
    with pytest.raises(ReadError, match=r"part-0\.parquet: could not be read in 5 tries.*503"):
        found(url)


def test_a_table_that_changes_while_it_is_read_is_an_error(far):
    archive, url = far
    endpoint = opened(resolve(url))
    archive.version = '"two"'
    with pytest.raises(ReadError, match="has changed"):
        endpoint.search(query(spec("s2l2a"), CELL, JULY))


def test_what_is_no_table_is_told_as_that(far):
    archive, url = far
    archive.files["part-0.parquet"] = b"<html>login</html>" * 100
    with pytest.raises(ConfigError, match=r"part-0\.parquet: expected a STAC-GeoParquet file"):
        opened(resolve(url))


@pytest.mark.slow
def test_a_folder_of_a_bucket_is_one_snapshot(table, monkeypatch):
    with buckets.bucket() as address:
        buckets.reached_at(address, monkeypatch)
        client = boto3.client("s3", endpoint_url=address, region_name="us-east-1",
                              aws_access_key_id="a", aws_secret_access_key="b")  # fmt: skip
        rows = pq.read_table(table)
        for n in range(4):
            sink = pa.BufferOutputStream()
            pq.write_table(rows.slice(500 * n, 500), sink, row_group_size=100)
            key = f"items/sentinel-2-l2a.parquet/part-{n}.parquet"
            client.put_object(Bucket="bucket", Key=key, Body=sink.getvalue().to_pybytes())
        client.put_object(Bucket="bucket", Key="items/read.me", Body=b"no table")
        client.close()
        assert found("s3://bucket/items") == found(str(table))
        assert found("s3://bucket/items/sentinel-2-l2a.parquet") == found(str(table))  # as Planetary Computer calls it
        assert len(found("s3://bucket/items/sentinel-2-l2a.parquet/part-1.parquet")) < 14
        assert found("s3://bucket") == found(str(table))
        with pytest.raises(ConfigError, match=r"no \.parquet"):
            opened(resolve("s3://bucket/nothing"))


def test_a_snapshot_elsewhere_is_known_by_its_url():
    one = resolve("https://host/items/part-0.parquet?sig=a")
    assert one == resolve("https://host/items/part-0.parquet?sig=b")
    assert (one.is_file, one.is_remote, one.base) == (True, True, "https://host/items")
    assert resolve("earth-search+az://items/sentinel-2-l2a.parquet").form == "earth-search"
    assert not resolve("https://host/stac").is_file
