"""Heads that are kept with a dataset: they save requests, and never place the bytes of another content."""

from __future__ import annotations

import logging
import threading
import time
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.windows import Window

from curation.errors import ReadError
from curation.model import Location
from curation.read import heads, ranges, sparse
from curation.read.heads import Heads
from curation.read.ranges import Answer
from curation.read.reader import Asset, Reader
from curation.recipe.arrays import ArraySpec
from curation.store import paths
from curation.store.objects import Store
from tests.archive import Archive
from tests.loopback import serving
from tests.properties import examples

PX = 12
AT = Location("p", 9.0, 48.0, 32632, 500_000, 5_316_000, 10.0 * PX, "r")
ARRAY = ArraySpec(res_m=10, bands=["b"], dtype="uint16", nodata=0, unit="px")
COL, ROW = 64, 200
"""Of the place in each file: in none of the blocks that a head has."""
HERE = (slice(ROW, ROW + PX), slice(COL, COL + PX))
WRITTEN = np.random.default_rng(7).integers(1, 9000, (512, 512)).astype("u2")


def tiff(path: Path, pixels: np.ndarray, rows: int = 512, block: int = 64) -> bytes:
    """A TIFF of which the first rows are left unwritten but for so many."""
    transform = rasterio.transform.from_origin(AT.x0_m - 10 * COL, AT.y0_m + 10 * ROW, 10, 10)
    with rasterio.open(
        path, "w", driver="GTiff", width=512, height=512, count=1, dtype="uint16", crs=f"EPSG:{AT.epsg}", nodata=0,
        transform=transform, tiled=True, blockxsize=block, blockysize=block, SPARSE_OK=True,
    ) as file:  # fmt: skip
        file.write(pixels[512 - rows :], 1, window=Window(0, 512 - rows, 512, rows))
    return path.read_bytes()


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Archive, str]]:
    monkeypatch.setattr(ranges, "PAUSE_S", 0)
    whole = tiff(tmp_path / "s.tif", WRITTEN)
    made = Archive({"s.tif": whole, "t.tif": whole, "hole.tif": tiff(tmp_path / "h.tif", WRITTEN, 256)})
    made.spoilt["other"] = {"s.tif": tiff(tmp_path / "o.tif", WRITTEN[::-1].copy()), "hole.tif": whole}
    made.version = '"1"'
    with serving(made.answer) as url:
        yield made, url
        made.closing.set()


def run(url: str, store: Store, *names: str, served: str = "") -> tuple[np.ndarray, Reader]:
    """What a run of its own reads at the place, of the last of some files."""
    sparse._heads.clear()
    kept = Heads(store, {served: "earth"} if served else {})
    with Reader(url, saved=kept) as reader:
        for name in names:
            pixels, _ = reader.read([Asset(name, "none")], ARRAY, AT)
    kept.publish()
    return pixels, reader


def stored(store: Store) -> dict[str, bytes]:
    """What is kept, unpacked."""
    return {s.key: zlib.decompress(store.get(s.key)) for s in store.list(paths.FILE_HEADS)}


def test_another_run_asks_for_no_head(archive, tmp_path):
    made, url = archive
    store = Store(tmp_path / "data")
    first, before = run(url, store, "s.tif", "t.tif")
    again, after = run(url, store, "t.tif", "s.tif")
    assert np.array_equal(first, WRITTEN[HERE])
    assert np.array_equal(again, first)
    assert (before.counts.requests, before.counts.saved) == (4, 0), "heads and blocks"
    assert (after.counts.requests, after.counts.saved) == (2, 2), "blocks alone"
    assert len(made.requests) == 6
    assert len(stored(store)) == 1, "an object for all files of a folder"


@pytest.mark.parametrize("name", ["s.tif", "hole.tif"])
def test_a_file_that_changed_since_is_read_anew_whatever_of_it_was_read(archive, tmp_path, name):
    made, url = archive
    store = Store(tmp_path / "data")
    first, _ = run(url, store, name)
    assert first.any() == (name == "s.tif"), "of the other nothing but its head was fetched"
    made.version, made.files = '"2"', made.files | made.spoilt["other"]
    want = WRITTEN[::-1][HERE] if name == "s.tif" else WRITTEN[HERE]
    changed, _ = run(url, store, name)
    assert np.array_equal(changed, want)
    again, after = run(url, store, name)
    assert np.array_equal(again, want)
    assert (after.counts.requests, after.counts.saved) == (1, 1), "the head that is kept is the new one"


def bare(path: Path, rows: int = 512, bands: int = 1) -> bytes:
    """As `tiff`, without a nodata value, of which a block that was never written is an error; of bands that are alike."""
    transform = rasterio.transform.from_origin(AT.x0_m - 10 * COL, AT.y0_m + 10 * ROW, 10, 10)
    with rasterio.open(
        path, "w", driver="GTiff", width=512, height=512, count=bands, dtype="uint16", crs=f"EPSG:{AT.epsg}",
        transform=transform, tiled=True, blockxsize=64, blockysize=64, SPARSE_OK=True,
    ) as file:  # fmt: skip
        for band in range(bands):
            file.write(WRITTEN[512 - rows :], band + 1, window=Window(0, 512 - rows, 512, rows))
    return path.read_bytes()


@pytest.mark.parametrize("is_same_process", [False, True])
@pytest.mark.parametrize(("before", "band"), [({"rows": 256}, 1), ({}, 2)])
def test_what_was_wrong_with_a_file_before_it_changed_is_no_fault_of_it_now(
    archive, tmp_path, before, band, is_same_process
):
    made, url = archive
    store = Store(tmp_path / "data")
    made.files["s.tif"] = bare(tmp_path / "one.tif", **before)
    south = replace(AT, y0_m=AT.y0_m - 10 * 200)
    sparse._heads.clear()
    kept = Heads(store, {})
    with Reader(url, saved=kept) as reader:
        assert reader.read([Asset("s.tif", "none")], ARRAY, south)[0].any(), "where it is whole"
    kept.publish()
    made.version, made.files["s.tif"] = '"2"', bare(tmp_path / "two.tif", bands=2)
    if not is_same_process:
        sparse._heads.clear()
    kept = Heads(store, {})
    with Reader(url, saved=kept) as reader:
        found, _ = reader.read([Asset("s.tif", "none", band=band)], ARRAY, AT)
        assert np.array_equal(found, WRITTEN[HERE])
        with pytest.raises(ReadError, match=r"has 2 bands, expected a band 3"):
            reader.read([Asset("s.tif", "none", band=3)], ARRAY, AT)


def test_a_file_of_another_length_is_noticed_where_a_server_has_one_mark_for_all(archive, tmp_path):
    made, url = archive
    store = Store(tmp_path / "data")
    run(url, store, "s.tif")
    other = WRITTEN[::-1].copy()
    made.files["s.tif"] = tiff(tmp_path / "n.tif", other, block=32)
    assert len(made.files["s.tif"]) != len(made.files["t.tif"])
    assert np.array_equal(run(url, store, "s.tif")[0], other[HERE])


@pytest.mark.parametrize("mark", ['W/"1"', "", "Mon, 01 Jan 2024 00:00:00 GMT", '"' + "x" * heads.MOST_MARK])
def test_what_no_strong_mark_tells_from_another_is_not_kept(archive, tmp_path, mark):
    made, url = archive
    made.version = mark
    store = Store(tmp_path / "data")
    run(url, store, "s.tif")
    assert stored(store) == {}


def test_who_is_lent_a_head_and_who_reads_files_of_this_machine_asks_nothing_of_what_is_kept(
    archive, tmp_path, monkeypatch
):
    _, url = archive
    store = Store(tmp_path / "data")
    run(url, store, "s.tif")
    run(url, store, "s.tif")
    keys, real = [], Store.get
    monkeypatch.setattr(Store, "get", lambda self, key: keys.append(key) or real(self, key))
    kept = Heads(store, {})
    with Reader(url, saved=kept) as reader:  # in a process that has read it
        reader.read([Asset("s.tif", "none"), Asset(str(tmp_path / "o.tif"), "none", base=str(tmp_path))], ARRAY, AT)
    kept.publish()
    assert keys == []


def test_nothing_of_a_url_is_kept(archive, tmp_path):
    _, url = archive
    store = Store(tmp_path / "data")
    secret = "s.tif?X-Amz-Signature=SECRET"
    assert run(url, store, secret)[0].any()
    (key,) = found = stored(store)
    for text in (key.encode(), found[key]):
        assert b"SECRET" not in text
        assert b"s.tif" not in text
        assert b"127.0.0.1" not in text
    assert run(url, store, secret)[1].counts.saved == 1


def test_a_catalog_that_is_served_elsewhere_by_now_has_the_heads_it_had(archive, tmp_path):
    made, url = archive
    store = Store(tmp_path / "data")
    run(url, store, "s.tif", served=url)
    with serving(made.answer) as other:
        assert run(other, store, "s.tif", served=other)[1].counts.saved == 1
        assert run(other, store, "s.tif")[1].counts.saved == 0, "nobody says that it is the same"


@pytest.mark.parametrize("damage", ["flip", "short", "form", "json", "no list"])
def test_what_is_damaged_is_told_and_not_believed(archive, tmp_path, caplog, damage):
    _, url = archive
    store = Store(tmp_path / "data")
    run(url, store, "s.tif")
    (key,) = (s.key for s in store.list(paths.FILE_HEADS))
    unpacked = bytearray(stored(store)[key])
    if damage == "flip":
        unpacked[-300] ^= 1
    elif damage == "form":
        unpacked = bytearray(unpacked.replace(b'"saved_as":1', b'"saved_as":9'))
    elif damage == "json":
        unpacked = bytearray(b"{" + unpacked)
    elif damage == "no list":
        unpacked = bytearray(b'{"saved_as":1,"files":7}\n')
    packed = zlib.compress(bytes(unpacked))
    store.publish(key, packed[: len(packed) // 2] if damage == "short" else packed)
    with caplog.at_level(logging.WARNING):
        found, reader = run(url, store, "s.tif")
    assert np.array_equal(found, WRITTEN[HERE])
    assert reader.counts.saved == 0
    assert f"{store.where(key)}: heads of files are asked for anew" in caplog.text
    assert run(url, store, "s.tif")[1].counts.saved == 1, "it is made good"


@pytest.mark.parametrize("fault", ["folder", "loop"])
def test_a_store_that_cannot_be_read_is_no_files_fault(archive, tmp_path, caplog, fault):
    _, url = archive
    store = Store(tmp_path / "data")
    run(url, store, "s.tif")
    (key,) = (s.key for s in store.list(paths.FILE_HEADS))
    (tmp_path / "data" / key).unlink()
    if fault == "folder":
        (tmp_path / "data" / key).mkdir()
    else:
        (tmp_path / "data" / key).symlink_to(tmp_path / "data" / key)
    sparse._heads.clear()
    with Reader(url, saved=Heads(store, {})) as reader, caplog.at_level(logging.WARNING):
        assert np.array_equal(reader.read([Asset("s.tif", "none")], ARRAY, AT)[0], WRITTEN[HERE])
    assert "heads of files are asked for anew" in caplog.text


def test_a_file_that_could_not_be_read_leaves_no_head(archive, tmp_path):
    made, url = archive
    store = Store(tmp_path / "data")
    made.meant, made.always = (lambda path, first: first > 0), "404"
    with pytest.raises(Exception, match="404"):
        run(url, store, "s.tif")
    made.heal()
    assert stored(store) == {}


def answer(name: str, size: int) -> Answer:
    return Answer(name.encode() * size, 10**9, f'"{name}"')


def test_what_a_folder_keeps_is_bounded_and_the_oldest_go(tmp_path, monkeypatch):
    monkeypatch.setattr(heads, "MOST_BYTES", 4 * (1000 + heads._PER_HEAD))
    store = Store(tmp_path)
    for name in "abcdefg":
        kept = Heads(store, {})
        kept.add(f"http://h/{name}", answer(name, 1000))
        kept.publish()
    found = Heads(store, {})
    assert [n for n in "abcdefg" if found.find(f"http://h/{n}")] == ["d", "e", "f", "g"]
    assert [len(data) < heads.MOST_BYTES for data in stored(store).values()] == [True]


def test_of_one_content_the_longer_head_stays(tmp_path):
    store = Store(tmp_path)
    for size in (500, 900, 200):
        kept = Heads(store, {})
        kept.add("http://h/a", answer("a", size))
        kept.publish()
    late, longer = Heads(store, {}), Heads(store, {})
    for kept, size in ((late, 950), (longer, 1200)):
        kept.add("http://h/a", answer("a", size))
    longer.publish()
    late.publish()
    found = Heads(store, {}).find("http://h/a")
    assert found is not None
    assert len(found.data) == 1200


@settings(deadline=None, max_examples=examples(40))
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from("abcd"), st.sampled_from("1234")), max_size=12))
def test_who_keeps_heads_of_one_folder_at_a_time_loses_some_and_mixes_none(tmp_path_factory, steps):
    store = Store(tmp_path_factory.mktemp("heads"))
    runs = [Heads(store, {}) for _ in range(3)]
    said: dict[str, set[bytes]] = {}
    for who, name, version in steps:
        head = Answer(f"{name}{version}".encode() * 50, 10**6, f'"{version}"')
        runs[who].find(f"http://h/{name}")
        runs[who].add(f"http://h/{name}", head)
        said.setdefault(name, set()).add(head.data)
    for kept in runs:
        kept.publish()
    found = Heads(store, {})
    for name in "abcd":
        its = found.find(f"http://h/{name}")
        assert (its is not None) == (name in said), "each had read what the others kept before it stored its own"
        assert its is None or its.data in said[name]
        assert its is None or its.data == f"{name}{its.version[1]}".encode() * 50


def test_heads_are_stored_while_a_thread_that_nobody_waits_for_looks_for_others(tmp_path):
    class LookedAt(dict[str, Answer]):
        def __bool__(self) -> bool:
            late = threading.Thread(target=lambda: kept.find("http://h/late/x"))
            late.start()
            late.join()
            return len(self) > 0

    kept = Heads(Store(tmp_path), {})
    for name in "ab":
        kept.add(f"http://h/{name}/x", answer(name, 100))
    for folder in kept._folders.values():
        folder.new = LookedAt(folder.new)
    kept.publish()
    found = Heads(Store(tmp_path), {})
    assert [n for n in "ab" if found.find(f"http://h/{n}/x")] == ["a", "b"]


def test_a_folder_is_read_once_for_all_who_ask_at_a_time(tmp_path, monkeypatch):
    store = Store(tmp_path)
    kept = Heads(store, {})
    for n in range(12):
        kept.add(f"http://h/{n}", answer("a", 100))
    kept.publish()
    asked, real = [], Store.get

    def get(self: Store, key: str) -> bytes:
        asked.append(key)
        time.sleep(0.02)
        return real(self, key)

    monkeypatch.setattr(Store, "get", get)
    found, its = Heads(store, {}), []
    threads = [threading.Thread(target=lambda n=n: its.append(found.find(f"http://h/{n}"))) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(asked) == 1
    assert None not in its
