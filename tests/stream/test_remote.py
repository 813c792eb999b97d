import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch.utils.data import DataLoader

from curation.errors import ConfigError, DamageError, ReadError
from curation.store import direct
from curation.store.bucket import Bucket
from curation.store.direct import Scatter
from curation.store.objects import Store
from curation.stream import helper
from curation.stream.fetch import Fetcher, Remote, Scratch
from curation.stream.filling import Filling
from curation.stream.open import open_shards
from tests import buckets
from tests.loopback import serving
from tests.properties import fast
from tests.stream.conftest import key_of
from tests.stream.servers import FAULTS, faulty
from tests.stream.test_fetch import in_fork

KEY = "train/demo-train-000001.tar"
SPANS = [(700, 5000), (512, 512), (3000, 40_000)]
ASKED_AGAIN = [f for f in FAULTS if f != "wrong"]


@pytest.fixture(scope="module")
def world(packed, tmp_path_factory):
    with faulty(packed.parent, tmp_path_factory.mktemp("faulty")) as served:
        yield served


def fetcher_of(url, **settings):
    return Fetcher(url, shard_sizes={}, shard_sha256={}, remote=Remote(**{"read_s": 0.5, **settings}))


def read(fetcher, key=KEY, spans=SPANS, scratch=None, **how):
    return [bytes(v) for v in fetcher.ranges(key, spans, scratch or Scratch(), **how)]


def truth(packed, key=KEY, spans=SPANS):
    data = (packed / key).read_bytes()
    return [data[a : a + n] for a, n in spans]


@pytest.mark.parametrize("process", ["this", "fork"])
@pytest.mark.parametrize("fault", ASKED_AGAIN)
@pytest.mark.slow
def test_a_fault_costs_a_try_and_never_bytes(packed, world, fault, process):
    fetcher = fetcher_of(f"{world.url}/shards")
    world.break_(fault)
    Store(world.url).head("shards/index.json")  # so that a fork finds obstore begun
    got = read(fetcher) if process == "this" else in_fork(read, fetcher)
    assert got == truth(packed)
    assert world.faults() == 1


@pytest.mark.slow
def test_threads_of_a_forked_process_wait_at_the_same_time(packed, world):
    fetcher = fetcher_of(f"{world.url}/shards", read_s=1.0)
    read(fetcher)

    def work():
        read(fetcher)  # starts the helper
        world.break_("stall", times=4)
        began = time.monotonic()
        with ThreadPoolExecutor(4) as pool:
            got = list(pool.map(lambda _: read(fetcher, spans=SPANS[:1]), range(4)))
        return got, time.monotonic() - began

    got, took_s = in_fork(work)
    assert got == [truth(packed, spans=SPANS[:1])] * 4
    assert world.faults() == 4
    assert took_s < 3, "one after the other they take more than four seconds"


@pytest.mark.parametrize("fault", ["503", "cut", "short"])
def test_a_fault_that_stays_is_an_error_that_says_what_was_tried(world, fault):
    world.break_(fault, times=1000)
    where = f"{world.url}/shards/{KEY}"
    with pytest.raises(ReadError, match=rf"^{where}: .*asked for: 600 at 512: gave up after 3 tries$") as caught:
        read(fetcher_of(f"{world.url}/shards", retries=2), spans=[(512, 600)])
    assert caught.value.__cause__ is not None
    assert world.faults() == 3
    assert len(str(caught.value).splitlines()) == 1


def test_a_server_that_knows_no_ranges_is_told_as_such(world):
    world.break_("whole", times=1000)
    with pytest.raises(ReadError, match=rf"{world.url}/shards/{KEY}: .*Range request not supported"):
        read(fetcher_of(f"{world.url}/shards", retries=1))
    assert world.faults() >= 2


def test_a_rate_limit_is_waited_out(world, packed, monkeypatch):
    waits, scratch = [], Scratch()
    monkeypatch.setattr(scratch.over, "wait", waits.append)
    world.break_("429", times=3)
    found = read(fetcher_of(f"{world.url}/shards"), spans=SPANS[:1], scratch=scratch)
    assert found == truth(packed, spans=SPANS[:1])
    assert len(waits) == 3
    assert waits[0] >= 0.75
    assert sum(waits) > 5


def test_trying_again_leaves_the_random_numbers_of_the_user_alone(world):
    random.seed(7)
    expected = random.random()
    random.seed(7)
    world.break_("503")
    read(fetcher_of(f"{world.url}/shards"))
    assert random.random() == expected


def test_what_is_missing_or_short_is_not_asked_for_again(packed, world):
    fetcher = fetcher_of(f"{world.url}/shards")
    world.break_("503", times=0)
    with pytest.raises(FileNotFoundError, match=r"/nope\.tar"):
        read(fetcher, "nope.tar")
    assert len(world.requests()) <= len(SPANS)
    size = (packed / KEY).stat().st_size
    with pytest.raises(EOFError, match=rf"{KEY}: {size} bytes, expected at least {size + 90}"):
        read(fetcher, spans=[(size - 10, 100)])


def test_no_signature_and_no_password_is_told(packed, world):
    url = f"{world.url.replace('//', '//me:secret@')}/shards?sig=secret"
    world.break_("503", times=1000)
    with pytest.raises((ReadError, FileNotFoundError)) as caught:
        read(fetcher_of(url, retries=1), spans=[(0, 9)])
    assert "secret" not in str(caught.value)


def test_wrong_bytes_are_asked_for_once_more_by_who_finds_them(packed, world):
    world.break_("wrong", every=True)
    dataset = open_shards(f"{world.url}/shards", check="xxh3")
    assert sorted(s["key"] for s in dataset) == sorted(key_of(i) for i in range(13))
    assert world.faults() == 4, "one per shard"
    world.break_("wrong", times=1000)
    with pytest.raises(DamageError, match="xxh3"):
        list(dataset)


# In the loader's workers: what each fault does to a read, also in a forked process, stands above.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("start", "fault"),
    fast([("fork", "stall"), ("fork", "wrong")], [("fork", "stall"), ("fork", "wrong"), ("spawn", "stall")]),
)
def test_every_sample_comes_from_a_server_that_fails_once_per_shard(packed, world, start, fault):
    dataset = open_shards(f"{world.url}/shards", batch_size=4, shuffle=True, timeout_s=1.0)
    world.break_(fault, every=True)
    loader = DataLoader(dataset, batch_size=None, num_workers=2, timeout=240, multiprocessing_context=start)
    assert_same(loader, open_shards(packed, batch_size=4, shuffle=True))
    assert world.faults() == 4


@pytest.mark.parametrize("start", fast(["fork"], ["fork", "spawn"]))
@pytest.mark.slow
def test_workers_share_a_disk_cache_and_a_second_epoch_asks_for_nothing(packed, world, start, tmp_path):
    options = {"batch_size": 4, "shuffle": True, "timeout_s": 1.0, "cache_dir": tmp_path / "kept", "cache_gb": 1}
    dataset = open_shards(f"{world.url}/shards", **options)
    local = open_shards(packed, batch_size=4, shuffle=True)
    world.break_("cut", every=True)
    loader = DataLoader(dataset, batch_size=None, num_workers=2, timeout=240, multiprocessing_context=start)
    assert_same(loader, local)
    assert world.faults() == 4
    assert len({r[1] for r in world.requests()}) == 4
    world.break_("503", times=1000)
    assert_same(loader, local)
    one = dataset.by_id()[key_of(1)]
    assert torch.equal(one["s2l2a_10m"], open_shards(packed).by_id()[key_of(1)]["s2l2a_10m"])
    assert world.requests() == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cache_dir": "kept"}, "cache_gb = None: give both"),
        ({"cache_gb": 3}, "cache_dir = None, cache_gb = 3: give both"),
        ({"cache_dir": "kept", "cache_gb": 0}, "cache_gb = 0: expected > 0"),
        ({"cache_dir": "kept", "cache_gb": 1e-6}, r"train-00000\d.tar has 0.000\d+ GB and would not fit"),
        ({"retries": -1}, "retries = -1"),
        ({"retries": 1.5}, "retries = 1.5: expected ≥ 0, and a whole number"),
        ({"timeout_s": 0}, "timeout_s = 0"),
        ({"timeout_s": float("inf")}, "timeout_s = inf: expected > 0, and at most 86400"),
        ({"cache_dir": "kept", "cache_gb": float("inf")}, "cache_gb = inf: expected > 0, and not without end"),
    ],
)
def test_options_of_reading_from_elsewhere_are_checked_at_once(packed, options, message):
    with pytest.raises(ConfigError, match=message):
        open_shards(packed, **options)


def assert_same(batches, expected):
    """Whether two loaders give the same batches, in the same order."""
    for got, wanted in zip(batches, expected, strict=True):
        assert got["key"] == wanted["key"]
        for name, value in wanted.items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(got[name].nan_to_num(), value.nan_to_num()), name


@pytest.mark.parametrize("threads", [1, 8])
@pytest.mark.slow
def test_no_more_is_read_ahead_than_stated_however_slow_the_consumer_is(packed, world, threads, monkeypatch):
    world.break_("503", times=0)
    dataset = open_shards(f"{world.url}/shards", batch_size=2, threads=threads)
    begun = []
    fill = Filling.fill
    monkeypatch.setattr(Filling, "fill", lambda self, *args, **how: (begun.append(args), fill(self, *args, **how))[1])
    batches = iter(dataset)
    batch = next(batches)
    time.sleep(1)
    assert len(begun) == 6, "the batch taken, and two ahead"
    batches.close()
    one = sum(v.nbytes for v in batch.values() if isinstance(v, torch.Tensor) and v.nbytes > 1000)
    largest = max(s.size for s in dataset.index.splits["train"].shards)
    assert 3 * one < dataset.ahead_bytes() < 3 * one + 2 * threads * largest + 20_000
    assert dataset.ahead_bytes(workers=4) == 4 * dataset.ahead_bytes(workers=1)
    assert dataset.ahead_bytes(2, prefetch_factor=5) > dataset.ahead_bytes(2)


def test_ranges_with_little_between_them_are_one_request_and_far_ones_several(packed, world, monkeypatch):
    monkeypatch.setattr(direct, "GAP_BYTES", 100)
    fetcher, data = fetcher_of(f"{world.url}/shards"), (packed / KEY).read_bytes()
    world.break_("503", times=0)
    spans = [(512, 88), (700, 500), (1200, 100), (1401, 9)]
    assert read(fetcher, spans=spans) == [data[a : a + n] for a, n in spans]
    assert sorted(r[2] for r in world.requests()) == ["bytes=1401-1409", "bytes=512-1299"]


@pytest.mark.parametrize("process", ["this", pytest.param("fork", marks=pytest.mark.slow)])
def test_where_the_server_leads_elsewhere_obstore_goes_and_is_soon_asked_first(packed, process):
    asked = []

    def answer(request):
        asked.append(request.path)
        if request.path.startswith("/old/"):
            request.send(302, Location=f"/new/{request.path.removeprefix('/old/')}")
            return
        data = (packed / request.path.removeprefix("/new/")).read_bytes()
        if request.command == "HEAD":
            request.send(200, data)
            return
        first, last = map(int, request.headers["Range"].removeprefix("bytes=").split("-"))
        size = f"bytes {first}-{last}/{len(data)}"
        request.send(206, data[first : last + 1], Content_Range=size, Last_Modified="Thu, 01 Jan 2026 00:00:00 GMT")

    with serving(answer) as url:
        fetcher = fetcher_of(f"{url}/old")

        def work():
            for _ in range(5):
                assert read(fetcher, spans=SPANS[:1]) == truth(packed, spans=SPANS[:1])
            views = [memoryview(bytearray(n)) for n in (3, 0, 70)]
            fetcher.into(KEY, [Scatter(9, views), Scatter(500, [memoryview(bytearray(4))])], Scratch())
            assert b"".join(views) == truth(packed, spans=[(9, 73)])[0]
            return True

        if process == "fork":
            Store(f"{url}/new").head(KEY)  # so that a fork finds obstore begun
        before = len(asked)
        assert in_fork(work) if process == "fork" else work()
        assert sum(path.startswith("/old/") for path in asked[before:]) == 5 + 2 + 3


@pytest.fixture(scope="module")
def bucket(packed, tmp_path_factory):
    """URL of the dataset in a bucket of moto's."""
    with buckets.bucket() as url, pytest.MonkeyPatch.context() as patch:
        buckets.reached_at(url, patch)
        store = Store("s3://bucket/shards")
        for path in sorted(p for p in packed.rglob("*") if p.is_file()):
            store.publish(path.relative_to(packed).as_posix(), path.read_bytes())
        yield "s3://bucket/shards"


@pytest.mark.slow
@pytest.mark.parametrize("process", ["this", "fork"])
def test_s3_gives_ranges_and_errors(packed, bucket, process):
    def run(*args):
        return read(*args) if process == "this" else in_fork(read, *args)

    fetcher = fetcher_of(bucket, read_s=10, retries=1)
    Store(bucket).head("index.json")
    assert run(fetcher) == truth(packed)
    with pytest.raises(FileNotFoundError, match="s3://bucket/shards/nope"):
        run(fetcher, "nope", [(0, 3)])
    size = (packed / KEY).stat().st_size
    with pytest.raises(EOFError, match=rf"{KEY}: {size} bytes"):
        run(fetcher, KEY, [(size - 3, 10)])
    with pytest.raises(EOFError, match=rf"{KEY}: {size} bytes"):
        run(fetcher, KEY, [(size + 3, 10)])


@pytest.mark.slow
@pytest.mark.parametrize("process", ["this", "fork"])
def test_ranges_of_a_bucket_come_by_signed_urls_that_nobody_is_told(packed, bucket, process, monkeypatch):
    def work():
        monkeypatch.setattr(Bucket, "get_ranges", pytest.fail)
        monkeypatch.setattr(helper.Channel, "get_ranges", pytest.fail)
        fetcher = fetcher_of(bucket, read_s=10, retries=0)
        got = read(fetcher)
        monkeypatch.undo()
        with pytest.raises(EOFError) as caught:
            read(fetcher, spans=[(1 << 40, 10)])
        return got, str(caught.value)

    Store(bucket).head("index.json")  # so that a fork finds obstore begun
    got, told = work() if process == "this" else in_fork(work)
    assert got == truth(packed)
    assert "ignature" not in told


@pytest.mark.slow
def test_for_a_bucket_that_is_read_without_keys_nothing_is_signed(bucket, monkeypatch):
    assert Store(bucket).bucket.signed(KEY, 60) is not None
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    assert Store(bucket).bucket.signed(KEY, 60) is None


@pytest.mark.slow
@pytest.mark.parametrize("start", fast(["spawn"], ["fork", "spawn"]))
def test_workers_read_s3(packed, bucket, start):
    dataset = open_shards(bucket, batch_size=4, shuffle=True)
    loader = DataLoader(dataset, batch_size=None, num_workers=2, timeout=240, multiprocessing_context=start)
    assert_same(loader, open_shards(packed, batch_size=4, shuffle=True))


def test_an_iteration_that_is_left_tries_nothing_again(packed, world):
    dataset = open_shards(f"{world.url}/shards", batch_size=4, threads=1, retries=20)
    batches = iter(dataset)
    world.break_("503", times=1000, match="000001.tar")
    assert next(batches)["key"] == [key_of(i) for i in range(4)]
    batches.close()
    tried = world.faults()
    assert tried < 5
    world.break_("503", times=0)
    assert len(list(dataset)) == 4  # its thread's tools are used again
