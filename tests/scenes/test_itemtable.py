"""Of the parts of a snapshot those are opened that may hold what is asked for, and of these what must be read is."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterator
from pathlib import Path

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import stac_geoparquet.arrow
from hypothesis import given
from hypothesis import strategies as st

from curation.model import Window, iso
from curation.recipe.catalogs import Catalogs, resolve
from curation.scenes import snapshot
from curation.scenes.itemtable import span_of
from curation.scenes.remotefile import RemoteFile
from curation.scenes.saved import Searches, opened
from curation.store.objects import Store
from tests import buckets
from tests.archive import Archive
from tests.loopback import serving
from tests.scenes.catalog import CELL, item, query, spec

UTC = dt.UTC
WEEK = dt.timedelta(days=7)
FIRST = dt.datetime(2021, 4, 5, 10, 25, 31, tzinfo=UTC)
JULY = Window("july", *(dt.datetime(2021, 7, d, tzinfo=UTC) for d in (5, 12, 8)))


def name_of(number: int) -> str:
    """As Planetary Computer calls its weekly parts."""
    start = FIRST + number * WEEK
    return f"part-{number:04d}_{start.isoformat()}_{(start + WEEK).isoformat()}.parquet"


def week(number: int) -> pa.Table:
    """Seven items of a week, a day each, in the cell."""
    days = (FIRST + number * WEEK + dt.timedelta(days=n) for n in range(7))
    items = [item(f"s{number:02d}-{n}", lon=6.5, datetime=iso(day)) for n, day in enumerate(days)]
    return pa.table(stac_geoparquet.arrow.parse_stac_items_to_arrow(items).read_all())


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty weekly parts."""
    folder = tmp_path_factory.mktemp("parts") / "sentinel-2-l2a.parquet"
    folder.mkdir()
    for n in range(20):
        pq.write_table(week(n), folder / name_of(n))
    return folder


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files elsewhere that are opened."""
    names: list[str] = []

    class Noted(RemoteFile):
        def __init__(self, address: object, name: str) -> None:
            names.append(name.rpartition("/")[2])
            super().__init__(address, name)

    monkeypatch.setattr(snapshot, "RemoteFile", Noted)
    return names


@pytest.fixture
def bucket(parts: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with buckets.bucket() as address:
        buckets.reached_at(address, monkeypatch)
        keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
        client = boto3.client("s3", endpoint_url=address, region_name="us-east-1", **keys)
        for path in parts.iterdir():
            client.put_object(Bucket="bucket", Key=f"items/{parts.name}/{path.name}", Body=path.read_bytes())
        client.close()
        yield f"s3://bucket/items/{parts.name}"


def ids(endpoint: object, window: Window = JULY) -> list[str]:
    return sorted(s.id for s in endpoint.search(query(spec("s2l2a"), CELL, window)).scenes)


def test_parts_whose_names_tell_of_other_weeks_are_never_opened(bucket, parts, read, dataset, tmp_path, caplog):
    caplog.set_level(logging.INFO, "curation")
    catalog = resolve(bucket)
    searches = Searches(dataset, Catalogs(catalog), Store(tmp_path))
    assert searches.has(catalog, "sentinel-2-l2a")
    assert read == [name_of(0)]  # it has the collection: what is in the others is no question
    found = ids(searches.endpoint(catalog))
    assert found == [f"s13-{n}" for n in range(7)]
    # That of the week, and, lest an item began before or ends after, what lies within a week of it.
    assert sorted(read) == [name_of(n) for n in (0, 11, 12, 13, 14)]
    assert ids(searches.endpoint(catalog)) == found
    assert len(read) == 5  # each once
    assert not searches.has(catalog, "landsat")
    assert len(read) == 20
    assert "16 of its 20 files are of another time than from 2021-07-05T00:00:00Z" in caplog.text
    assert ids(opened(resolve(str(parts)))) == found


def test_a_part_whose_name_tells_nothing_is_opened_and_gives_what_it_has(parts: Path, tmp_path: Path):
    for n, path in enumerate(sorted(parts.iterdir())):
        (tmp_path / f"part-{n}.parquet").write_bytes(path.read_bytes())
    assert ids(opened(resolve(str(tmp_path)))) == ids(opened(resolve(str(parts)))) != []


@pytest.mark.parametrize("name", [name_of(0), "export_2024-01-01_2024-01-02.parquet"])
def test_of_a_file_here_its_content_is_believed_whatever_it_is_called(tmp_path: Path, name: str):
    (tmp_path / "s2.parquet").mkdir()
    pq.write_table(week(13), tmp_path / "s2.parquet" / name)
    assert ids(opened(resolve(str(tmp_path / "s2.parquet")))) == [f"s13-{n}" for n in range(7)]


def test_a_collection_that_is_missing_is_looked_for_in_several_files_at_a_time(parts: Path, monkeypatch):
    catalog = opened(resolve(str(parts)))
    several: list[int] = []
    whole = snapshot._open
    monkeypatch.setattr(snapshot, "_open", lambda tables: (several.append(len(tables)), whole(tables)))
    assert catalog.has("sentinel-2-l2a")
    assert several == [1]
    assert not catalog.has("landsat")
    assert several[1:] == [1, 4, 4, 4, 4, 3]


def test_a_snapshot_that_ends_before_what_is_asked_for_says_so(bucket: str, caplog: pytest.LogCaptureFixture):
    """Not every archive publishes all that it has: a season after its last file has no scene in it, and no error either."""
    later = Window("later", *(dt.datetime(2024, 7, d, tzinfo=UTC) for d in (1, 15, 8)))
    assert ids(opened(resolve(bucket)), later) == []
    assert "none of its 20 files is of a time from 2024-07-01T00:00:00Z to 2024-07-15T00:00:00Z" in caplog.text


def test_collections_that_statistics_tell_are_not_read(tmp_path: Path):
    table = week(0)
    path = tmp_path / "part.parquet"

    def requests(rows: pa.Table, **how: object) -> int:
        pq.write_table(rows, path, **how)
        archive = Archive({"part.parquet": path.read_bytes()})
        archive.version = '"one"'
        with serving(archive.answer) as url:
            endpoint = opened(resolve(f"{url}/items/part.parquet"))
            before = len(archive.requests)
            assert endpoint.collections() == set(rows["collection"].to_pylist())
            return len(archive.requests) - before

    at = table.schema.get_field_index("collection")
    others = table.set_column(at, "collection", pa.array(["a"] * 3 + ["sentinel-2-l2a"] * 3 + [None]))
    assert requests(table) == 0
    assert requests(others, row_group_size=3) == 1  # the item that states none
    assert requests(others) == 1
    assert requests(table, write_statistics=False) == 1


def test_spans_are_told_by_names_alone():
    start, end = span_of("part-0331_2021-10-25T10:25:31+00:00_2021-11-01T10:25:31+00:00.parquet")
    assert (start + WEEK, end - WEEK) == tuple(
        dt.datetime(2021, m, d, 10, 25, 31, tzinfo=UTC) for m, d in ((10, 25), (11, 1))
    )
    one, two, later = "2021-10-25T00:00:00+00:00", "2021-10-25T10:25:31.5Z", "2021-11-01T00:00:00Z"
    assert span_of(f"part-0001_{one}_{two}.parquet") is not None
    for name in (
        "part-0.parquet",
        "part-0001_2021-10-25_2021-11-01.parquet",
        "export_2024-01-01_2024-01-02.parquet",
        f"export_{one}_{two}.parquet",
        f"my-part-0001_{one}_{two}.parquet",
        f"part-0001_{one}_{two}.parquet.parquet",
        f"part-0001_2021-13-01T00:00:00Z_{later}.parquet",
        f"part-0001_{one}.parquet",
        f"part-0001_{later}_{one}.parquet",
    ):
        assert span_of(name) is None, name


TIMES = st.datetimes(dt.datetime(2015, 1, 1), dt.datetime(2030, 1, 1), timezones=st.just(UTC))


@given(TIMES, TIMES, TIMES)
def test_what_lies_in_a_named_span_is_never_passed_by(a: dt.datetime, b: dt.datetime, c: dt.datetime):
    first, last = sorted((a, b))
    found = span_of(f"part-0001_{first.isoformat()}_{last.isoformat()}.parquet")
    assert found[0] < first <= last < found[1]
    if first <= c <= last:
        assert found[0] < c < found[1]
