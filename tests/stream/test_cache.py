import hashlib
import multiprocessing
import os
import pickle
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from curation.errors import ConfigError, DamageError
from curation.store.direct import Scatter
from curation.stream.cache import DiskCache
from curation.stream.fetch import Fetcher, Remote, Scratch
from curation.stream.open import open_shards
from tests.stream.servers import faulty
from tests.stream.test_fetch import in_fork

SIZE = 100_000


def content(name, size=SIZE):
    return hashlib.shake_128(name.encode()).digest(size)


NAMES = [f"{i}.tar" for i in range(6)]
SIZES = dict.fromkeys(NAMES, SIZE)
SHA256 = {n: hashlib.sha256(content(n)).hexdigest() for n in NAMES}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cached")
    (folder / "root").mkdir()
    for name in NAMES:
        (folder / "root" / name).write_bytes(content(name))
    with faulty(folder / "root", folder) as served:
        yield served


@pytest.fixture
def downloads(world):
    """How many ranges were asked for since the test began."""
    world.break_("503", times=0)
    return lambda: sum(1 for r in world.requests() if r[0] == "GET")


def fetcher_of(world, tmp_path, shards=3, **settings):
    cache = DiskCache(tmp_path / "cache", int(shards * SIZE))
    return Fetcher(
        world.url, shard_sizes=SIZES, shard_sha256=SHA256, remote=Remote(cache, **{"read_s": 1.0, **settings})
    )


def read(fetcher, name, **how):
    return bytes(fetcher.ranges(name, [(10, 500)], Scratch(), **how)[0])


def right(name):
    return content(name)[10:510]


def whole(tmp_path):
    return {p.name.removesuffix(".tar") for p in (tmp_path / "cache").glob("*.tar")}


def test_a_shard_is_downloaded_once_and_then_read_as_a_file(world, tmp_path, downloads):
    fetcher = fetcher_of(world, tmp_path)
    assert fetcher.is_local
    assert fetcher.is_remote
    for _ in range(3):
        assert read(fetcher, "0.tar") == right("0.tar")
    views = [memoryview(bytearray(100)), memoryview(bytearray(50))]
    fetcher.into("0.tar", [Scatter(20, views)], Scratch())
    assert b"".join(views) == content("0.tar")[20:170]
    assert downloads() == 1
    again = pickle.loads(pickle.dumps(fetcher))
    assert read(again, "0.tar") == right("0.tar")
    assert downloads() == 1
    assert sorted(p.suffix for p in (tmp_path / "cache").iterdir()) == [".lock", ".lock", ".tar"]


def test_a_forked_process_downloads_through_its_helper(world, tmp_path, downloads):
    fetcher = fetcher_of(world, tmp_path)
    read(fetcher, "0.tar")
    assert in_fork(read, fetcher, "1.tar") == right("1.tar")
    assert whole(tmp_path) == {SHA256["0.tar"], SHA256["1.tar"]}
    assert downloads() == 2


def test_what_was_used_longest_ago_goes_first_and_the_limit_holds(world, tmp_path, downloads):
    def use(name):  # a fetcher of its own, since one that has a file open does not look for it again
        assert read(fetcher_of(world, tmp_path), name) == right(name)
        time.sleep(0.02)

    for name in ("0.tar", "1.tar", "2.tar", "0.tar", "3.tar"):
        use(name)
    assert whole(tmp_path) == {SHA256[n] for n in ("0.tar", "2.tar", "3.tar")}
    assert downloads() == 4
    use("1.tar")
    assert whole(tmp_path) == {SHA256[n] for n in ("0.tar", "3.tar", "1.tar")}


def test_an_evicted_shard_stays_readable_for_who_has_it(world, tmp_path):
    fetcher = fetcher_of(world, tmp_path, shards=1)
    for name in ("0.tar", "1.tar", "0.tar"):
        assert read(fetcher, name) == right(name)
    assert whole(tmp_path) == {SHA256["1.tar"]}


def test_a_shard_that_does_not_fit_is_an_error_that_says_what_to_do(world, tmp_path):
    with pytest.raises(ConfigError, match=rf"0.tar: {SIZE} bytes, and the cache .* may keep {SIZE // 2}: give it at"):
        read(fetcher_of(world, tmp_path, shards=0.5), "0.tar")


@pytest.mark.parametrize("fault", ["503", "cut", "short", "stall-body"])
@pytest.mark.slow
def test_a_download_survives_a_fault(world, tmp_path, fault):
    world.break_(fault)
    assert read(fetcher_of(world, tmp_path), "0.tar") == right("0.tar")
    (path,) = (tmp_path / "cache").glob("*.tar")
    assert path.read_bytes() == content("0.tar")
    assert world.faults() == 1


@pytest.mark.parametrize("lasts", [False, True])
def test_what_is_not_what_was_packed_is_never_delivered_and_never_stays(packed, tmp_path, lasts):
    """Not even where bytes changed on their way into the cache."""

    def epoch(url):
        dataset = open_shards(url, batch_size=4, cache_dir=tmp_path / "c", cache_gb=1, retries=0)
        return [(b["key"], b["s2l2a_10m"].tolist()) for b in dataset]

    with faulty(packed.parent, tmp_path) as served:
        url = f"{served.url}/{packed.name}"
        served.break_("wrong", times=1000 if lasts else 1, every=True)
        if lasts:
            with pytest.raises(
                DamageError, match=r"/demo-train-\d+\.tar, sample .*: xxh3 .*, expected .*: the shard is damaged"
            ):
                epoch(url)
            served.break_("wrong", times=0)
        assert epoch(url) == epoch(packed)
        assert epoch(url) == epoch(packed)
    for cached in (tmp_path / "c").glob("*.tar"):
        assert hashlib.sha256(cached.read_bytes()).hexdigest() == cached.stem


def test_a_damaged_file_is_dropped_and_downloaded_again(world, tmp_path, downloads):
    fetcher = fetcher_of(world, tmp_path)
    read(fetcher, "0.tar")
    (path,) = (tmp_path / "cache").glob("*.tar")
    with path.open("r+b") as file:
        file.write(bytes(1000))
    assert read(fetcher, "0.tar") != right("0.tar")
    assert read(fetcher, "0.tar", fresh=True) == right("0.tar")
    assert downloads() == 2
    assert whole(tmp_path) == set()
    assert read(fetcher, "0.tar") == right("0.tar")
    assert path.read_bytes() == content("0.tar")
    path.write_bytes(b"cut")  # as a full disk may leave it
    assert read(fetcher_of(world, tmp_path), "0.tar") == right("0.tar")


def test_threads_that_want_one_shard_download_it_once(world, tmp_path, downloads):
    fetcher, together = fetcher_of(world, tmp_path), threading.Barrier(8)

    def use(_):
        together.wait()
        return read(fetcher, "0.tar")

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(use, range(8))) == {right("0.tar")}
    assert downloads() == 1


def _use(fetcher, number, limit, worst):
    for turn in range(12):
        name = NAMES[(number + turn * 5) % len(NAMES)]
        assert read(fetcher, name) == right(name)
        fetcher._files.drop(name)
        with fetcher._cache._locked("all"):  # nothing is added or renamed while it is counted
            taken = sum(size_of(path) for path in fetcher._cache.folder.iterdir())
            worst.value = max(worst.value, taken)


def size_of(path):
    try:
        return path.stat().st_size
    except FileNotFoundError:  # a download that failed
        return 0


@pytest.mark.slow
def test_several_processes_share_a_cache_smaller_than_what_they_read(world, tmp_path):
    context = multiprocessing.get_context("spawn")
    worst = context.Value("q", 0)
    fetcher = fetcher_of(world, tmp_path, shards=2)
    users = [context.Process(target=_use, args=(fetcher, i, 2 * SIZE, worst)) for i in range(3)]
    for user in users:
        user.start()
    for user in users:
        user.join(100)
    assert [u.exitcode for u in users] == [0, 0, 0]
    assert 0 < worst.value <= 2 * SIZE
    assert not list((tmp_path / "cache").glob("*.part"))


def test_a_shard_that_is_whole_waits_for_who_is_counting(tmp_path):
    """Otherwise it is counted under neither name, and what comes next has no room."""
    cache = DiskCache(tmp_path / "cache", 2 * SIZE)
    downloading, go_on = threading.Event(), threading.Event()

    def read(start, length):
        downloading.set()
        assert go_on.wait(120)
        return memoryview(content("0.tar"))[start : start + length]

    with ThreadPoolExecutor(1) as pool:
        opened = pool.submit(cache.open, "0.tar", SIZE, SHA256["0.tar"], read)
        assert downloading.wait(120)
        with cache._locked("all"):
            go_on.set()
            time.sleep(0.3)
            assert not opened.done()
            assert sum(size_of(path) for path in cache.folder.glob("*.part")) == SIZE
        os.close(opened.result(30))
    assert whole(tmp_path) == {SHA256["0.tar"]}


def _hang(fetcher, begun):
    begun.set()
    read(fetcher, "0.tar")


@pytest.mark.slow
def test_a_download_that_was_killed_leaves_its_room_and_its_lock(world, tmp_path):
    context = multiprocessing.get_context("spawn")
    begun = context.Event()
    world.break_("stall-body")
    child = context.Process(target=_hang, args=(fetcher_of(world, tmp_path, shards=1, read_s=60), begun))
    child.start()
    assert begun.wait(60)
    until = time.monotonic() + 30
    while not list((tmp_path / "cache").glob("*.part")) or not world.faults():
        assert time.monotonic() < until
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.join(60)
    assert read(fetcher_of(world, tmp_path, shards=1), "1.tar") == right("1.tar")
    assert read(fetcher_of(world, tmp_path, shards=1), "0.tar") == right("0.tar")
    assert not list((tmp_path / "cache").glob("*.part"))


def test_a_cached_shard_that_rots_is_downloaded_again(server, packed, tmp_path):
    url, _ = server

    def epoch():
        dataset = open_shards(f"{url}/{packed.name}", batch_size=4, cache_dir=tmp_path / "c", cache_gb=1, retries=0)
        return [(b["key"], b["s2l2a_10m"].tolist()) for b in dataset]

    first = epoch()
    for cached in (tmp_path / "c").glob("*.tar"):
        with cached.open("r+b") as file:
            file.seek(3000)
            file.write(b"\xff" * 200)
    assert epoch() == first
    assert epoch() == first
