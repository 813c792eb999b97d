"""Scenes in an object store: one request a range, and the same promises as over http."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import rasterio

from curation.errors import ReadError
from curation.read import http, ranges
from curation.read.ranges import ChangedError
from curation.read.reader import Asset, Reader
from curation.read.signing import FileAddress
from curation.store.objects import Store
from tests import buckets
from tests.archive import Archive
from tests.loopback import Request, serving
from tests.read.test_reader import AT, north_up, spec

FAR = replace(AT, x0_m=AT.x0_m + 1800, y0_m=AT.y0_m - 1800)
BESIDE = replace(AT, x0_m=AT.x0_m + 1100)
"""Half of its blocks are of `AT` too."""
SIDE_PX = 1024


@dataclass(frozen=True)
class Bucket:
    """A bucket of a server that speaks S3, and what was asked of it."""

    url: str
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    """(method, path, range)."""

    def put(self, key: str, data: bytes) -> None:
        Store(self.url).publish(key, data)
        self.requests.clear()


@pytest.fixture(scope="module")
def endpoint() -> Iterator[tuple[str, list[tuple[str, str, str | None]]]]:
    """Address of an S3 server with a bucket, and its requests."""
    requests: list[tuple[str, str, str | None]] = []

    with buckets.bucket() as real:

        def answer(request: Request) -> None:
            requests.append((request.command, request.path, request.headers.get("Range")))
            buckets.passed_on(request, real).send(request)

        with serving(answer) as url:
            yield url, requests


def at_endpoint(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    buckets.reached_at(url, monkeypatch)
    monkeypatch.setattr(ranges, "PAUSE_S", 0)
    ranges._store.cache_clear()  # it is of the environment as it was


@pytest.fixture
def bucket(endpoint, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    url, requests = endpoint
    at_endpoint(monkeypatch, url)
    requests.clear()
    yield Bucket("s3://bucket", requests)
    ranges._store.cache_clear()


def made(path: Path, seed: int, compress: str = "deflate") -> tuple[bytes, np.ndarray]:
    """A COG, larger than a head, and its pixels."""
    pixels = np.random.default_rng(seed).integers(1, 9000, (SIDE_PX, SIDE_PX)).astype("u2")
    with rasterio.open(
        path, "w", driver="COG", width=SIDE_PX, height=SIDE_PX, count=1, dtype="uint16", nodata=0,
        crs=f"EPSG:{AT.epsg}", transform=north_up(AT.x0_m - 1200, AT.y0_m + 1200, 10), compress=compress, blocksize=128,
    ) as file:  # fmt: skip
        file.write(pixels, 1)
    return path.read_bytes(), pixels


def read(reader: Reader, href: str, at=AT) -> np.ndarray:
    return reader.read([Asset(href, "none")], spec(10, "uint16", 0), at)[0]


def test_a_cog_in_a_bucket_reads_as_on_disk_with_one_request_a_range(tmp_path, bucket):
    data, pixels = made(tmp_path / "s.tif", 1)
    bucket.put("scenes/s.tif", data)
    with Reader(str(tmp_path)) as disk, Reader("s3://bucket/scenes") as reader:
        for at in (AT, FAR):
            assert np.array_equal(read(reader, "s.tif", at), read(disk, "s.tif", at))
        assert np.array_equal(read(reader, "s.tif", FAR), pixels[300:366, 300:366])
        assert reader.counts.requests == len(bucket.requests) >= 3
        assert reader.counts.bytes < len(data)
    assert {(method, path) for method, path, _ in bucket.requests} == {("GET", "/bucket/scenes/s.tif")}
    asked = [span for _, _, span in bucket.requests]
    assert all(span and re.fullmatch(r"bytes=\d+-\d+", span) for span in asked)
    assert len(set(asked)) == len(asked)


def test_what_an_answer_says_of_the_object(bucket):
    bucket.put("a", b"0123456789")
    place = FileAddress("s3://bucket/a")
    answer = ranges.fetch(place, 2, 3, "a")
    assert (answer.data, answer.size) == (b"234", 10)
    assert answer.version == Store("s3://bucket").head("a").etag
    bucket.requests.clear()
    assert ranges.fetch(place, 8, 50, "a", answer.version).data == b"89"
    assert len(bucket.requests) == 1
    with pytest.raises(ReadError, match=r"^a: could not be read in 1 tries: has no byte 10: it is shorter"):
        ranges.fetch(place, 10, 5, "a")
    bucket.put("a", b"")
    with pytest.raises(ReadError, match=r"^a: could not be read in 1 tries: has no byte 0: it is shorter"):
        ranges.fetch(place, 0, 5, "a")
    with pytest.raises(ChangedError, match=r"^a: has changed since its head was read"):
        ranges.fetch(place, 0, 5, "a", answer.version)


def test_an_object_that_is_not_there_is_an_error_that_says_so(bucket):
    with Reader("s3://bucket/scenes") as reader:
        with pytest.raises(
            ReadError, match=r"^no\.tif: could not be read in 1 tries: there is no such object: s3://bucket"
        ):
            read(reader, "no.tif")
        assert len(bucket.requests) == 1
        with pytest.raises(ReadError, match=r"^s3://nobody/no\.tif: could not be read in 1 tries: "):
            read(reader, "s3://nobody/no.tif")


@pytest.mark.parametrize("same_reader", [True, False])
def test_an_object_that_is_replaced_is_read_anew_and_never_mixed(tmp_path, bucket, same_reader):
    # Not compressed, so that each block lies where it did, and nothing but the object's mark tells one from the other.
    first, pixels = made(tmp_path / "s.tif", 1, "none")
    second, others = made(tmp_path / "t.tif", 2, "none")
    bucket.put("s.tif", first)
    with Reader("s3://bucket") as reader:
        assert np.array_equal(read(reader, "s.tif"), pixels[120:186, 120:186])
        bucket.put("s.tif", second)
        if same_reader:
            assert np.array_equal(read(reader, "s.tif", BESIDE), others[120:186, 230:296])
            assert len(bucket.requests) >= 3, "a range that is refused, the head and the range"
    with Reader("s3://bucket") as reader:  # it has the head that another reader left
        assert np.array_equal(read(reader, "s.tif"), others[120:186, 120:186])


FAULTS = ["500", "503", "429", "reset", "stall", "truncate", "short", "whole"]


@pytest.fixture
def faulty(tmp_path, monkeypatch) -> Iterator[tuple[Archive, np.ndarray]]:
    """A store that misbehaves, with an object `s.tif`, and its pixels."""
    data, pixels = made(tmp_path / "s.tif", 1)
    archive = Archive({"s.tif": data})
    archive.version = '"1"'
    monkeypatch.setattr(http, "READ_S", 0.5)
    with serving(archive.answer) as url:
        at_endpoint(monkeypatch, url)
        yield archive, pixels[120:186, 120:186]
        archive.closing.set()
    ranges._store.cache_clear()


@pytest.mark.parametrize("at_head", [True, False])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.slow
def test_a_fault_of_a_store_costs_a_try_and_never_pixels(faulty, fault, at_head):
    archive, want = faulty
    archive.meant = lambda path, first: (first == 0) == at_head
    archive.faults = [fault]
    with Reader(f"s3://{fault}-{at_head}") as reader:
        assert np.array_equal(read(reader, "s.tif"), want)
        assert archive.hits == 1
        assert len(archive.requests) == reader.counts.requests + 1


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.slow
def test_a_fault_of_a_store_that_stays_is_an_error_and_a_recovered_store_is_used_again(faulty, fault, monkeypatch):
    monkeypatch.setattr(ranges, "ATTEMPTS", 2)
    archive, want = faulty
    archive.always = fault
    with Reader(f"s3://stays-{fault}") as reader:
        with pytest.raises(ReadError, match=r"^s\.tif: could not be read in 2 tries: s3://stays-.*; rerun the command"):
            read(reader, "s.tif")
        assert archive.hits == len(archive.requests) == 2, "asked for as often as the message says"
        archive.heal()
        assert np.array_equal(read(reader, "s.tif"), want)
