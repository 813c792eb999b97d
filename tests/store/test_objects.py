import hashlib
import os
import pickle
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import StorageError
from curation.store import bucket, folder
from curation.store.objects import Store
from curation.store.stat import Receipt
from tests.processes import started


@pytest.fixture(params=["folder", "memory", "prefix"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    match request.param:
        case "folder":
            return Store(tmp_path / "root")
        case "memory":
            return Store("memory:///")
        case _:
            return Store("memory:///", "deep/er")


def test_what_is_published_is_read_again_with_its_receipt(store):
    receipt = store.publish("a/b/c.bin", b"hello")
    assert receipt == Receipt("a/b/c.bin", 5, hashlib.sha256(b"hello").hexdigest(), receipt.etag)
    assert store.get("a/b/c.bin") == b"hello"
    found = store.head("a/b/c.bin")
    assert (found.key, found.size, found.etag) == ("a/b/c.bin", 5, receipt.etag)


def test_a_rewrite_replaces_and_changes_the_mark(store):
    first = store.publish("k", b"one")
    second = store.publish("k", b"two")
    assert store.get("k") == b"two"
    assert first.etag != second.etag
    assert store.head("k").etag == second.etag


@pytest.mark.parametrize("copy_bytes", [0, 2**20])
def test_what_is_moved_is_at_its_new_key_only_and_has_the_mark_told(store, monkeypatch, copy_bytes: int):
    monkeypatch.setattr(bucket, "COPY_BYTES", copy_bytes)
    receipt = store.publish("a/k", b"new")
    store.publish("b/c/k", b"an earlier one")
    stat = store.move("a/k", "b/c/k")
    assert store.get("b/c/k") == b"new"
    assert (stat.key, stat.size, stat.etag) == ("b/c/k", receipt.size, store.head("b/c/k").etag)
    assert [s.key for s in store.list()] == ["b/c/k"]
    with pytest.raises(FileNotFoundError):
        store.move("a/k", "b/c/k")


def test_publish_new_leaves_what_exists(store):
    receipt = store.publish_new("k", b"one")
    assert store.head("k").etag == receipt.etag
    with pytest.raises(FileExistsError):
        store.publish_new("k", b"two")
    assert store.get("k") == b"one"
    assert [s.key for s in store.list()] == ["k"], "nothing is left of the one that lost"


def test_of_two_that_publish_at_once_one_wins(store):
    for n in range(20):
        gate, won, lost = threading.Barrier(4), [], []

        def writer(me: bytes, key: str = f"k{n}", gate=gate, won=won, lost=lost) -> None:
            gate.wait()
            try:
                store.publish_new(key, me)
                won.append(me)
            except FileExistsError:
                lost.append(me)

        threads = [threading.Thread(target=writer, args=(bytes([i]) * 1000,)) for i in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert (len(won), len(lost)) == (1, 3)
        assert store.get(f"k{n}") == won[0]


def test_what_is_not_there_is_told(store):
    with pytest.raises(FileNotFoundError):
        store.get("none")
    with pytest.raises(FileNotFoundError):
        store.get_range("none", 0, 1)
    assert store.head("none") is None
    assert list(store.list("none")) == []
    store.delete("none")


def test_ranges_are_whole_or_an_error(store):
    store.publish("k", bytes(range(100)))
    assert store.get_range("k", 10, 5) == bytes(range(10, 15))
    assert store.get_range("k", 95, 5) == bytes(range(95, 100))
    for start, length in ((95, 6), (100, 1), (200, 5)):
        with pytest.raises(EOFError, match="the object is short"):
            store.get_range("k", start, length)


def test_listing_is_in_order_of_key_and_below_the_prefix(store):
    keys = ["a/x", "a-b/y", "a.c", "a/deep/er/z", "ab/q", "a"[:1] + "0"]
    for key in keys:
        store.publish(key, key.encode())
    assert [s.key for s in store.list()] == sorted(keys)
    assert [(s.key, s.size) for s in store.list("a")] == [("a/deep/er/z", 11), ("a/x", 3)]
    assert [s.etag for s in store.list("a")] == [store.head(k).etag for k in ("a/deep/er/z", "a/x")]


@given(
    st.dictionaries(st.from_regex(r"[ab]{1,2}(/[ab-]{1,2}){1,2}", fullmatch=True), st.binary(max_size=9), max_size=6)
)
@settings(max_examples=25, deadline=None)
def test_a_folder_and_an_object_store_behave_alike(tmp_path_factory, objects):
    objects = {k: v for k, v in objects.items() if not any(o.startswith(f"{k}/") for o in objects)}
    here, there = Store(tmp_path_factory.mktemp("s")), Store("memory:///")
    for key, data in objects.items():
        assert here.publish(key, data).sha256 == there.publish(key, data).sha256
    for prefix in ("", "a", "b", "aa", "a/b"):
        assert [(s.key, s.size) for s in here.list(prefix)] == [(s.key, s.size) for s in there.list(prefix)]


@given(st.sets(st.integers(0, 1200), max_size=40), st.integers(0, 130).map(str), st.booleans())
def test_what_begins_with_digits_is_listed_alone(tmp_path_factory, numbers, digits, deep):
    where = tmp_path_factory.mktemp("digits")
    for its in (Store(where), Store("memory:///", str(where))):
        for n in numbers:
            for key in [f"a/c/{n}/0/0", f"a/c/{n}/1/0"] if deep else [f"a/c/{n}"]:
                its.publish(key, b"x" * n)
        its.publish("a/d/1", b"")
        expected = [s for s in its.list("a/c") if s.key.split("/")[2].startswith(digits)]
        assert list(its.list_beginning("a/c", digits)) == expected
        assert list(its.list_beginning("b", digits)) == []


def test_delete_removes(store):
    store.publish("a/k", b"x")
    store.delete("a/k")
    assert store.head("a/k") is None


def test_a_child_is_the_same_store_below_a_prefix(tmp_path):
    root = Store(tmp_path)
    child = root.child("a").child("b")
    child.publish("k", b"x")
    assert root.get("a/b/k") == b"x"
    assert [s.key for s in child.list()] == ["k"]
    assert child.where("k") == f"{tmp_path}/a/b/k"
    assert root.child("a").where("") == f"{tmp_path}/a"


def test_a_store_crosses_to_a_worker_by_its_url(tmp_path):
    store = Store(tmp_path, "a")
    store.publish("k", b"x")
    assert pickle.loads(pickle.dumps(store)).get("k") == b"x"


def test_published_files_can_be_read_by_others(tmp_path):
    Store(tmp_path).publish("k", b"x")
    assert stat.S_IMODE((tmp_path / "k").stat().st_mode) == 0o644


KILLED = """
import os, sys, signal
from curation.store.objects import Store
def stop(handle):
    print("half done", flush=True)
    signal.pause()
os.fsync = stop
getattr(Store(sys.argv[1]), sys.argv[2])("a/k", b"new" * 1000)
"""


@pytest.mark.parametrize("how", ["publish", "publish_new"])
def test_a_killed_writer_leaves_nothing_that_is_listed(tmp_path, how):
    store = Store(tmp_path)
    if how == "publish":
        store.publish("a/k", b"old")
    before = [(s.key, s.size, s.etag) for s in store.list()]
    with started([sys.executable, "-c", KILLED, str(tmp_path), how], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"half done\n"
        assert any((tmp_path / "a").iterdir()), "it has begun"
        process.send_signal(signal.SIGKILL)
        assert process.wait(120) == -signal.SIGKILL
    assert [(s.key, s.size, s.etag) for s in store.list()] == before
    store.publish("a/k", b"next")
    assert store.get("a/k") == b"next"


def test_what_is_half_done_is_listed_while_somebody_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store, real = Store(tmp_path), folder._files
    for name in ("a", "b"):
        (tmp_path / f".{name}.part").write_bytes(b"half")

    def renamed(base: Path) -> Iterator[Path]:
        for path in list(real(base)):
            if path.name == ".a.part":  # its writer comes to its end between two looks
                path.rename(tmp_path / "a")
            yield path

    monkeypatch.setattr(folder, "_files", renamed)
    assert store.half_done() == [(".b.part", 4)]


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    store = Store(tmp_path)
    store.publish("k", b"old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="k: No space left on device: make room there"):
        store.publish("k", b"new")
    monkeypatch.undo()
    assert store.get("k") == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["k"]


def test_readers_see_the_old_or_the_new_and_nothing_between(tmp_path):
    store = Store(tmp_path)
    store.publish("k", b"0" * 100_000)
    seen, stop = set(), threading.Event()

    def reader() -> None:
        while not stop.is_set():
            data = store.get("k")
            seen.add((len(data), len(set(data))))

    thread = threading.Thread(target=reader)
    thread.start()
    for n in range(30):
        store.publish("k", str(n % 10).encode() * 100_000)
    stop.set()
    thread.join()
    assert seen == {(100_000, 1)}


@pytest.mark.parametrize("url", [None, "memory:///"])
def test_many_are_published_and_looked_at_in_order(tmp_path: Path, url: str | None):
    store = Store(url or tmp_path)
    objects = {f"a/{n:02d}": bytes([n]) * n for n in range(40)}
    receipts = store.publish_all(objects)
    assert [r.key for r in receipts] == list(objects)
    assert [r.sha256 for r in receipts] == [hashlib.sha256(data).hexdigest() for data in objects.values()]
    found = store.heads([*objects, "none"])
    assert [s and (s.key, s.size, s.etag) for s in found] == [*((r.key, r.size, r.etag) for r in receipts), None]
    assert all(store.get(key) == data for key, data in objects.items())


def test_folders_in_which_nothing_is_any_more_go_and_others_stay(store, tmp_path):
    store.publish("shards/val/a.tar", b"1")
    store.publish("shards/train/deep/b.tar", b"2")
    store.publish("other/c", b"3")
    for key in ("shards/val/a.tar", "other/c"):
        store.delete(key)
    store.forget_empty("shards")
    assert [s.key for s in store.list("")] == ["shards/train/deep/b.tar"]
    if store.is_local:
        there = {p.relative_to(tmp_path / "root").as_posix() for p in (tmp_path / "root").rglob("*") if p.is_dir()}
        assert there == {"shards", "shards/train", "shards/train/deep", "other"}
    store.forget_empty("no such folder")
