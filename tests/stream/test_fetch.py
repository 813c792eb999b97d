import gc
import json
import multiprocessing
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from torch.utils.data import DataLoader

from curation.errors import ConfigError, DamageError, ReadError
from curation.store.direct import Scatter
from curation.store.forks import ForkedError
from curation.store.objects import Store
from curation.stream import fetch, helper
from curation.stream.fetch import Fetcher, Remote, Scratch
from curation.stream.open import open_shards
from tests.processes import started
from tests.stream.conftest import key_of

KEY = "val/demo-val-000000.tar"


def fetcher_of(url, **settings):
    return Fetcher(str(url), shard_sizes={}, shard_sha256={}, remote=Remote(**settings))


def in_fork(work, *args):
    """What `work` gives in a forked process; what it raises is raised here."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()

    def run():
        try:
            theirs.send((work(*args), None))
        except Exception as err:  # noqa: BLE001 - raised again where it is waited for
            theirs.send((None, err))

    child = context.Process(target=run)
    child.start()
    assert ours.poll(60), "the forked process hangs"
    value, err = ours.recv()
    child.join(60)
    assert child.exitcode == 0
    ours.close()
    theirs.close()
    if err is not None:
        raise err
    return value


def unasked(url):
    """The same with a password, by which nobody is asked straight: obstore reads it, or a helper does."""
    return url.replace("//", "//me:secret@")


def open_files():
    return psutil.Process().num_fds()


def gone(pid, within_s=10.0):
    """Whether the process has ended, and is no zombie."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        if not psutil.pid_exists(pid):
            return True
        time.sleep(0.02)
    return False


def requests(log):
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_a_url_gives_what_the_folder_gives_with_one_request_per_sample_and_no_listing(packed, server):
    url, log = server
    dataset = open_shards(url, shuffle=True, seed=5)
    assert [s["key"] for s in dataset] == [s["key"] for s in open_shards(packed, shuffle=True, seed=5)]
    asked = requests(log)
    ranged = [r for r in asked if r[2]]
    assert len(ranged) == 13
    assert {path.rsplit(".")[-1] for _, path, _ in asked} == {"json", "tar", "arrow", "parquet"}
    assert not any(method == "GET" and path.endswith(".tar") and r is None for method, path, r in asked)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["/shards", "/shards/index.json"])
def test_forked_workers_read_urls_after_the_parent_did(server, form):
    dataset = open_shards(server[0] + form)
    assert len(list(dataset)) == 13  # starts obstore's threads in this process, which a fork leaves behind
    loader = DataLoader(
        dataset, batch_size=4, num_workers=2, timeout=240, persistent_workers=True, multiprocessing_context="fork"
    )
    for _ in range(2):
        assert sorted(k for batch in loader for k in batch["key"]) == sorted(key_of(i) for i in range(13))


def test_what_is_missing_behind_a_url_is_refused_at_open(packed, server):
    url, _ = server
    broken = shutil.copytree(packed, packed.parent / "broken")
    (broken / "val/demo-val-000000.tar").unlink()
    with pytest.raises(DamageError, match=r"demo-val-000000.tar: missing"):
        open_shards(f"{url}/broken", "val")
    with pytest.raises(
        ConfigError, match=r"no .*/nowhere/index.json and no .*/nowhere/shards/index.json.* not packed yet"
    ):
        open_shards(f"{url}/nowhere")


@pytest.mark.slow
def test_the_copy_of_a_remote_member_table_is_removed_with_the_dataset(server):
    dataset = open_shards(server[0])
    table = dataset._opened._table
    assert table.stat().st_size == dataset.index.splits["train"].members.size
    del dataset
    gc.collect()
    open_shards(server[0])  # comes by, and may wait for a disk
    assert not table.exists()


@pytest.mark.slow
def test_the_copy_of_a_remote_member_table_is_removed_at_the_end_of_the_process(server):
    code = "import sys; from curation.stream import open_shards; kept = open_shards(sys.argv[1]); print(kept._opened._table)"
    done = subprocess.run([sys.executable, "-c", code, server[0]], capture_output=True, text=True, check=True)
    assert not Path(done.stdout.strip()).exists()


def test_local_ranges_are_the_bytes_and_lie_aligned_in_memory_that_is_reused(packed):
    data, fetcher, scratch = (packed / KEY).read_bytes(), fetcher_of(packed), Scratch()
    spans = [(0, 5), (1000, 3001), (7, 0), (512, 512)]
    for _ in range(2):
        assert [bytes(v) for v in fetcher.ranges(KEY, spans, scratch)] == [data[a : a + n] for a, n in spans]
    first = fetcher.ranges(KEY, [(0, 64)], scratch)[0]
    fetcher.ranges(KEY, [(64, 64)], scratch)
    assert bytes(first) == data[64:128], "the same memory"
    assert fetcher.is_local
    assert not fetcher.is_remote


@pytest.mark.parametrize("count", [1, 511, 513, 3000])
def test_a_scatter_read_fills_any_number_of_views(packed, count):
    data = (packed / KEY).read_bytes()
    views = [memoryview(bytearray(1 + i % 3)) for i in range(count)]
    fetcher_of(packed).into(KEY, [Scatter(100, views)], Scratch())
    assert b"".join(views) == data[100 : 100 + sum(map(len, views))]


def test_a_scatter_read_goes_on_after_the_kernel_stopped_early(packed, monkeypatch):
    data, preadv = (packed / KEY).read_bytes(), os.preadv
    monkeypatch.setattr(os, "preadv", lambda handle, views, at: preadv(handle, [views[0][:7]], at))
    views = [memoryview(bytearray(10)), memoryview(bytearray(0)), memoryview(bytearray(33))]
    fetcher_of(packed).into(KEY, [Scatter(3, views)], Scratch())
    assert b"".join(views) == data[3:46]


def test_a_local_range_beyond_the_end_is_an_error(packed):
    fetcher = fetcher_of(packed)
    size = (packed / "index.json").stat().st_size
    with pytest.raises(EOFError, match=rf"index.json: 3 bytes at {size - 3}, expected 10"):
        fetcher.ranges("index.json", [(size - 3, 10)], Scratch())
    with pytest.raises(EOFError, match=r"index.json: 5 bytes at"):
        fetcher.into("index.json", [Scatter(size - 5, [memoryview(bytearray(4)), memoryview(bytearray(4))])], Scratch())
    with pytest.raises(EOFError, match=r"index.json: 0 bytes at"):
        fetcher.ranges("index.json", [(1 << 40, 10)], Scratch())
    with pytest.raises(FileNotFoundError, match="nope"):
        fetcher.ranges("nope", [(0, 1)], Scratch())


def test_no_more_files_stay_open_than_stated_and_none_is_closed_while_it_is_read(tmp_path):
    for i in range(100):
        (tmp_path / str(i)).write_bytes(bytes([i]) * 5000)
    fetcher, before = fetcher_of(tmp_path), open_files()

    def read(seed):
        order, scratch = random.Random(seed), Scratch()
        for _ in range(500):
            i = order.randrange(100)
            assert bytes(fetcher.ranges(str(i), [(0, 5000)], scratch)[0]) == bytes([i]) * 5000

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(read, range(4)))
    assert open_files() - before <= fetch._MOST_OPEN
    fetcher = None
    fetcher_of(tmp_path).ranges("0", [(0, 1)], Scratch())  # comes by, and closes what nobody reads any more
    assert open_files() - before <= 1


def test_a_fetcher_crosses_to_forked_and_to_spawned_processes(packed):
    fetcher = fetcher_of(packed, retries=2, read_s=3.0)
    fetcher.ranges(KEY, [(0, 5)], Scratch())
    there = pickle.loads(pickle.dumps(fetcher))
    assert there._settings == fetcher._settings
    data = (packed / KEY).read_bytes()[:5]
    assert bytes(there.ranges(KEY, [(0, 5)], Scratch())[0]) == data
    fetcher._files._lock.acquire()  # as a thread may hold it in the moment of the fork
    try:
        assert in_fork(lambda: bytes(fetcher.ranges(KEY, [(0, 5)], Scratch())[0])) == data
    finally:
        fetcher._files._lock.release()


def test_a_store_says_so_where_a_fork_lost_it(server):
    store = Store(f"{server[0]}/shards")
    store.get("index.json")
    with pytest.raises(ForkedError, match=r"forked after its parent had used an object store.*spawn"):
        in_fork(store.get, "index.json")


@pytest.mark.slow
def test_all_threads_of_a_forked_process_read_through_one_helper(packed, server):
    fetcher, data = fetcher_of(f"{unasked(server[0])}/shards"), (packed / KEY).read_bytes()
    fetcher.ranges(KEY, [(0, 5)], Scratch())

    def work():
        together = threading.Barrier(4)

        def read(seed):
            order, scratch = random.Random(seed), Scratch()
            together.wait()
            for _ in range(25):
                spans = [(order.randrange(len(data) // 2), order.randrange(1, len(data) // 2)) for _ in range(3)]
                got = fetcher.ranges(KEY, spans, scratch)
                assert [bytes(v) for v in got] == [data[a : a + n] for a, n in spans]

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(read, range(4)))
        return [c.pid for c in psutil.Process().children()]

    children = in_fork(work)
    assert len(children) == 1
    assert gone(children[0])


@pytest.mark.slow
def test_a_forked_process_gets_the_errors_of_its_helper(server):
    fetcher = fetcher_of(f"{unasked(server[0])}/shards", retries=0)
    fetcher.ranges(KEY, [(0, 5)], Scratch())
    with pytest.raises(EOFError, match=rf"{KEY}: \d+ bytes, expected at least 1099511627781"):
        in_fork(fetcher.ranges, KEY, [(1 << 40, 5)], Scratch())
    with pytest.raises(FileNotFoundError, match="shards/nope"):
        in_fork(fetcher.ranges, "nope", [(0, 5)], Scratch())


@pytest.mark.slow
def test_a_helper_that_was_killed_is_replaced_and_reaped(packed, server):
    url = f"{unasked(server[0])}/shards"
    fetcher_of(url).ranges(KEY, [(0, 5)], Scratch())

    def work():
        fetcher, data = fetcher_of(url), (packed / KEY).read_bytes()
        assert bytes(fetcher.ranges(KEY, [(0, 5)], Scratch())[0]) == data[:5]
        first = helper.helper()
        os.kill(first.pid, signal.SIGSTOP)
        threading.Timer(0.3, os.kill, (first.pid, signal.SIGKILL)).start()  # while it is being waited for
        assert bytes(fetcher.ranges(KEY, [(0, 900)], Scratch())[0]) == data[:900]
        assert helper.helper() is not first
        assert gone(first.pid, 1)
        os.kill(helper.helper().pid, signal.SIGSTOP)
        threading.Timer(0.3, os.kill, (helper.helper().pid, signal.SIGKILL)).start()
        fetcher_of(url, retries=0).ranges(KEY, [(0, 900)], Scratch())

    with pytest.raises(ReadError, match=rf"{KEY}: the helper process .* ended \(exit code -9\).*gave up after 1 tries"):
        in_fork(work)


@pytest.mark.slow
def test_a_helper_ends_with_its_owner_however_that_ends(server):
    store = Store(f"{server[0]}/shards")
    owned, channel = helper.helper(), helper.Channel()
    assert bytes(channel.get_ranges(store, "index.json", [(0, 2)])[0]) == b"{\n"
    os.kill(owned.pid, signal.SIGINT)  # Ctrl-C reaches it too, while its owner may still be reading
    assert len(channel.get_ranges(store, "index.json", [(0, 9)])[0]) == 9
    assert helper.helper() is owned
    owned.close()
    assert gone(owned.pid, 0.1)
    code = (
        "import sys, time; from curation.store.objects import Store; from curation.stream.helper import Channel, helper; "
        "Channel().get_ranges(Store(sys.argv[1]), 'index.json', [(0, 2)]); "
        "print(helper().pid, flush=True); time.sleep(float(sys.argv[2]))"
    )
    for seconds in ("0", "60"):
        command = [sys.executable, "-W", "error", "-c", code, store.url, seconds]
        with started(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as owner:
            pid = int(owner.stdout.readline())
            if seconds == "60":
                owner.kill()
            assert owner.wait(120) == (-9 if seconds == "60" else 0)
            assert owner.stderr.read() == ""
            assert gone(pid)


@pytest.mark.slow
def test_a_grandchild_has_a_helper_of_its_own_and_does_not_keep_the_first(server):
    fetcher = fetcher_of(f"{unasked(server[0])}/shards")
    fetcher.ranges(KEY, [(0, 5)], Scratch())

    def work():
        fetcher.ranges(KEY, [(0, 5)], Scratch())
        own = helper.helper().pid

        def deeper():
            fetcher.ranges(KEY, [(0, 5)], Scratch())
            return helper.helper().pid

        assert in_fork(deeper) != own
        fetcher.ranges(KEY, [(0, 5)], Scratch())
        return helper.helper().pid == own

    assert in_fork(work)


@pytest.mark.slow
def test_what_a_forked_process_inherited_of_obstore_is_never_let_go(packed, server):
    """Its destructor tells threads that only the parent has, and may wait for a lock that one of them held."""
    kept = Store(f"{server[0]}/shards")
    kept.get_range(KEY, 0, 5)
    held = weakref.ref(kept.bucket._made)

    def work():
        nonlocal kept
        del kept
        gc.collect()
        return held() is not None

    assert in_fork(work)


@pytest.mark.slow
@pytest.mark.parametrize("somebody_used_obstore", [False, True])
@pytest.mark.parametrize("way", ["straight", "by obstore"])
def test_forked_workers_have_a_helper_only_where_obstore_is_needed_and_lost(server, somebody_used_obstore, way):
    # In a process of its own, since this one has used obstore.
    url = server[0] if way == "straight" else unasked(server[0])
    has_helper = somebody_used_obstore and way != "straight"
    code = f"""if True:
        import obstore, psutil
        if {somebody_used_obstore}:
            obstore.head(obstore.store.from_url("{server[0]}", client_options={{"allow_http": True}}), "shards/index.json")
        from torch.utils.data import DataLoader
        from curation.store.forks import lost_to_fork
        from curation.stream import open_shards
        def look(sample):
            assert lost_to_fork() == {somebody_used_obstore}
            assert len(psutil.Process().children()) == {has_helper}
            return sample["key"]
        dataset = open_shards("{url}/shards", transform=look, balance=True)
        assert len(list(DataLoader(dataset, batch_size=None, num_workers=2))) == 13
    """
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=240)
