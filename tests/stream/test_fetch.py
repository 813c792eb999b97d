import json
import multiprocessing
import os
import shutil
import signal

import pytest
from torch.utils.data import DataLoader

from curation.model import ConfigError, DamageError, ReadError
from curation.stream import fetch, open_shards

from .conftest import key_of


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


@pytest.mark.parametrize("form", ["/shards", "/shards/index.json"])
def test_forked_workers_read_urls_after_the_parent_did(server, form):
    dataset = open_shards(server[0] + form)
    assert len(list(dataset)) == 13  # starts obstore's threads in this process, which a fork leaves behind
    loader = DataLoader(
        dataset, batch_size=4, num_workers=2, timeout=60, persistent_workers=True, multiprocessing_context="fork"
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


def test_the_copy_of_a_remote_member_table_is_removed_with_the_dataset(server):
    dataset = open_shards(server[0])
    table = dataset._opened._table
    assert table.stat().st_size == dataset.index.splits["train"].members.size
    del dataset
    assert not table.exists()


def _in_fork(url, key, answers):
    """What a forked process gets: bytes, and the errors."""
    fetcher = fetch.Fetcher(url)
    answers.put(bytes(fetcher.ranges(key, [(0, 5), (100, 7)], fetch.Scratch())[0]))
    for wrong, span in ((key, (1 << 40, 5)), ("nope", (0, 5))):
        try:
            fetcher.ranges(wrong, [span], fetch.Scratch())
        except (EOFError, FileNotFoundError, ReadError) as err:
            answers.put(type(err).__name__)
    (helper,) = fetch._helpers.values()
    os.kill(helper._process.pid, signal.SIGKILL)
    helper._process.wait()
    try:
        fetcher.ranges(key, [(0, 5)], fetch.Scratch())
    except ReadError as err:
        answers.put(str(err))


def test_a_forked_process_reads_through_a_helper_and_gets_its_errors(packed, server):
    url, key = f"{server[0]}/shards", "val/demo-val-000000.tar"
    fetch.Fetcher(url).ranges(key, [(0, 5)], fetch.Scratch())
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    child = context.Process(target=_in_fork, args=(url, key, answers))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert answers.get() == (packed / key).read_bytes()[:5]
    assert answers.get() in ("EOFError", "ReadError")
    assert answers.get() == "FileNotFoundError"
    assert "exit code -9" in answers.get()


def test_a_helper_ends_when_its_owner_is_gone(server):
    helper = fetch._Helper(f"{server[0]}/shards")
    assert bytes(helper.get_range("index.json", 0, 2)) == b"{\n"
    helper._process.send_signal(signal.SIGINT)  # Ctrl-C reaches it too, while its owner may still be reading
    assert len(helper.get_range("index.json", 0, 9)) == 9
    helper._process.stdin.close()
    assert helper._process.wait(timeout=10) == 0
    helper._process.stdout.close()


def test_a_local_range_beyond_the_end_is_an_error(packed):
    fetcher = fetch.Fetcher(str(packed))
    size = (packed / "index.json").stat().st_size
    with pytest.raises(EOFError, match=r"index.json: 3 bytes"):
        fetcher.ranges("index.json", [(size - 3, 10)], fetch.Scratch())
    with pytest.raises(FileNotFoundError):
        fetcher.ranges("nope", [(0, 1)], fetch.Scratch())
