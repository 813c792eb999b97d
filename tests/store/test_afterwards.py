"""Finalizers note, and do nothing: the collector may run on a thread that holds any lock of the package."""

import ast
import gc
import importlib
import os
import subprocess
import sys
import threading
import time
import types
import weakref
from pathlib import Path

import pytest
from torch.utils.data import DataLoader

import curation
from curation.store import afterwards
from curation.store.afterwards import Leavings
from curation.stream import fetch, helper
from curation.stream import state as states
from curation.stream.open import open_shards
from curation.stream.ring import Ring
from tests.stream.conftest import make_shards

pytestmark = pytest.mark.alone

ROOT = Path(curation.__file__).parent


class Thing:
    pass


def in_cycle(thing):
    """Lets nobody but the collector free a thing."""
    holder = types.SimpleNamespace(thing=thing)
    holder.me = holder


# ---- what is left


def test_what_an_object_leaves_is_done_by_who_comes_by_and_once():
    leavings, done, thing = Leavings(), [], Thing()
    leavings.when_gone(thing, done.append, 1)
    leavings.settle()
    assert done == []
    del thing
    assert done == []
    leavings.settle()
    leavings.settle()
    assert done == [1]


def test_what_is_done_at_once_is_not_done_again():
    leavings, done, thing = Leavings(), [], Thing()
    note = leavings.when_gone(thing, done.append, 1)
    leavings.now(note)
    del thing
    leavings.settle()
    assert done == [1]


def test_what_fails_is_told_and_the_rest_is_done(caplog):
    leavings, done, things = Leavings(), [], [Thing(), Thing()]
    leavings.when_gone(things[0], os.close, -1)
    leavings.when_gone(things[1], done.append, 1)
    things.clear()
    leavings.settle()
    assert done == [1]
    assert "Bad file descriptor" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("gone", ["before", "after"])
def test_a_fork_does_nothing_of_what_its_parents_objects_leave(gone):
    leavings, thing = Leavings(), Thing()
    read, write = os.pipe()
    leavings.when_gone(thing, os.write, write, b"x")
    if gone == "before":
        del thing
    child = os.fork()
    if not child:
        thing = None
        gc.collect()
        leavings.settle()
        afterwards._at_exit()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    thing = None
    leavings.settle()
    assert os.read(read, 10) == b"x"
    os.close(read)
    os.close(write)


def test_what_is_left_at_the_end_of_a_process_is_done_then():
    code = """if True:
        from curation.store.afterwards import Leavings
        class Thing: pass
        leavings, kept, gone = Leavings(), Thing(), Thing()
        leavings.when_gone(kept, print, "kept")
        leavings.when_gone(gone, print, "gone")
        del gone
    """
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout.split(), done.stderr) == (["gone", "kept"], "")


# ---- no finalizer but these


def finalizers(path):
    """(function, line) of what a file has the interpreter call when an object goes."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        for child in ast.iter_child_nodes(node):
            child.parent = node
    for node in ast.walk(tree):
        name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "name", None)
        if name in ("finalize", "__del__") or (isinstance(node, ast.Attribute) and ast.unparse(node) == "weakref.ref"):
            if isinstance(node, ast.Attribute):
                call = node.parent
                if not isinstance(call, ast.Call) or call.func is not node:  # an annotation, or a base class
                    continue
                if name == "ref" and len(call.args) < 2:  # no callback
                    continue
            above = node
            while not isinstance(above, ast.FunctionDef | ast.Module):
                above = above.parent
            yield getattr(above, "name", "<module>"), node.lineno


@pytest.mark.slow
def test_only_one_finalizer_of_the_package_does_more_than_note():
    found = {(str(p.relative_to(ROOT)), where) for p in ROOT.rglob("*.py") for where, _ in finalizers(p)}
    assert found == {("stream/ring.py", "freed_with")}


# ---- the collector in every locked region of the reader


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("afterwards") / "shards"
    make_shards(folder, {"train": [4, 4]}, size=12)
    return folder


class CollectingLock:
    """A lock in which the collector runs."""

    def __init__(self):
        self.lock, self.entered, self.collected = threading.Lock(), 0, 0

    def acquire(self, *args):
        return self.lock.acquire(*args)

    def release(self):
        self.lock.release()

    def __enter__(self):
        assert self.lock.acquire(timeout=20), "somebody holds it for ever"
        self.entered += 1
        self.collected += gc.collect()

    def __exit__(self, *_):
        self.lock.release()


def litter(shards):
    """One of everything that leaves something, for the collector alone."""
    for how in ({"batch_size": 1}, {}):
        dataset = open_shards(shards, fields=[], **how)
        batches = iter(dataset)
        in_cycle((dataset, batches, next(batches)))  # an iteration that is left, with threads, slots and files
    with_workers = open_shards(shards, batch_size=1, fields=[])
    in_cycle((with_workers, list(DataLoader(with_workers, batch_size=None, num_workers=1))))  # and rings of workers
    in_cycle(helper.Channel())
    in_cycle(Ring(1))
    in_cycle(fetch._OpenFile(os.open(shards / "index.json", os.O_RDONLY)))
    copied = open_shards(shards, fields=[])
    copied._opened.__class__(
        "", copied.index, "train", Path(f"{shards}.gone"), True, copied._opened.ids, copied._opened.remote
    )
    in_cycle(copied._opened)


def a_loop(shards, monkeypatch, lock):
    """Workers, batches that arrive, another epoch."""
    dataset = open_shards(shards, batch_size=2, fields=[])
    loader = DataLoader(dataset, batch_size=None, num_workers=1)
    dataset.set_epoch(3)
    assert sum(len(b["key"]) for _ in range(2) for b in loader) == 16
    dataset.load_state_dict(dataset.state_dict(steps=1))
    assert sum(len(b["key"]) for b in dataset) == 6


def of_ring(shards, monkeypatch, lock):
    ring = Ring(1)
    monkeypatch.setattr(ring, "_lock", lock)
    assert ring.take() == 0


def of_files(shards, monkeypatch, lock):
    files = fetch._OpenFiles()
    monkeypatch.setattr(files, "_lock", lock)
    monkeypatch.setattr(fetch, "_MOST_OPEN", 1)
    for name in ("index.json", "train/members.arrow", "index.json"):
        files.get(name, lambda name=name: os.open(shards / name, os.O_RDONLY))
    files.drop("index.json")


def of_helper(shards, monkeypatch, lock):
    program = helper.Helper()
    monkeypatch.setattr(program, "_lock", lock)
    assert program.is_alive()
    program.close()
    assert not program.is_alive()


def of_helpers(shards, monkeypatch, lock):
    assert helper.helper() is helper.helper()


def of_module(name, use):
    def prepared(shards, monkeypatch, lock):
        module, _, attribute = name.rpartition(".")
        monkeypatch.setattr(importlib.import_module(module), attribute, lock)
        use(shards, monkeypatch, lock)

    return prepared


USES = {
    "stream/batch.py:_rings_lock": of_module("curation.stream.batch._rings_lock", a_loop),
    "stream/state.py:_lock": of_module("curation.stream.state._lock", a_loop),
    "stream/helper.py:_helper_lock": of_module("curation.stream.helper._helper_lock", of_helpers),
    "stream/helper.py:self._lock": of_helper,
    "stream/ring.py:self._lock": of_ring,
    "stream/fetch.py:self._lock": of_files,
}


def locked():
    """Every lock of the reader that something is done with: `file:lock`."""
    found = {}
    for path in (ROOT / "stream").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            for item in getattr(node, "items", []) if isinstance(node, ast.With) else []:
                name = ast.unparse(item.context_expr)
                if name.endswith("lock"):
                    found[f"{path.relative_to(ROOT)}:{name}"] = path
    return sorted(found)


def test_every_locked_region_of_the_reader_is_known_here():
    assert locked() == sorted(USES)


@pytest.mark.slow
@pytest.mark.parametrize("name", USES)
def test_the_collector_may_run_in_any_locked_region(shards, monkeypatch, name):
    lock, ended, failed = CollectingLock(), threading.Event(), []

    def go():
        try:
            litter(shards)
            USES[name](shards, monkeypatch, lock)
        except BaseException as err:  # noqa: BLE001 - raised again below
            failed.append(err)
        ended.set()

    gc.disable()
    gc.collect()
    gc.freeze()  # what was there before is none of the test's, and would be looked through each time
    try:
        thread = threading.Thread(target=go, daemon=True)
        thread.start()
        assert ended.wait(60), "it hangs"
    finally:
        gc.unfreeze()
        gc.enable()
    assert not failed, failed
    assert lock.entered
    assert lock.collected > 20, "what was littered is not collected there"


@pytest.mark.slow
def test_the_collector_may_find_an_iteration_on_a_thread_that_fills_for_it(shards, monkeypatch):
    """That thread would wait for itself."""
    dataset = open_shards(shards, batch_size=1, threads=2)
    filling = dataset._filler_of_process().fillings[0]
    fill, collected = filling.fill, threading.Event()

    def collecting(*args, **more):
        if abandoned.is_set():
            gc.collect()
            collected.set()
        fill(*args, **more)

    monkeypatch.setattr(filling, "fill", collecting)
    abandoned, went = threading.Event(), []
    gc.disable()
    try:
        batches = iter(dataset)
        next(batches)
        next(batches)
        went.append(weakref.ref(batches))
        in_cycle(batches)
        del batches
        abandoned.set()
        others = iter(dataset)
        threading.Thread(target=lambda: list(others), daemon=True).start()
        assert collected.wait(20), "it hangs"
        until = time.monotonic() + 60
        while dataset._filler.ring._taken.any():
            assert time.monotonic() < until, "slots are lost"
            time.sleep(0.01)
    finally:
        gc.enable()
    assert went[0]() is None


@pytest.mark.slow
def test_two_hundred_short_epochs_of_many_datasets_go_by(shards):
    """With a collector that runs at every few allocations, on threads of all of them."""
    done = threading.Event()
    before = gc.get_threshold()

    def go():
        kept = [open_shards(shards, batch_size=2, fields=[], shuffle=True) for _ in range(4)]
        loaders = [
            DataLoader(d, batch_size=None, num_workers=w, persistent_workers=w > 0)
            for d, w in zip(kept, (0, 0, 1, 2), strict=True)
        ]
        for epoch in range(50):
            for loader in loaders:
                assert sum(len(b["key"]) for b in loader) == 8
            short = open_shards(shards, batch_size=1, fields=[])
            batches = iter(short)
            in_cycle((short, batches, next(batches)))
            if epoch % 10 == 0:
                once = open_shards(shards, batch_size=1, fields=[])
                in_cycle((once, next(iter(DataLoader(once, batch_size=None, num_workers=1)))))
        done.set()

    gc.set_threshold(50, 2, 2)
    try:
        threading.Thread(target=go, daemon=True).start()
        assert done.wait(250), "it hangs"
    finally:
        gc.set_threshold(*before)
    assert states._lock.acquire(timeout=60)
    states._lock.release()


# ---- a fork while another thread holds a lock

FORKED = """
import os, sys, threading
import curation.stream, curation.stream.open, curation.stream.stock

KIND = type(threading.Lock())
def locks():
    return {(m, n): its for m, of in sys.modules.items() if m.startswith("curation") for n, its in vars(of).items()
            if isinstance(its, KIND)}
for its in locks().values():
    its.acquire(timeout=5)
child = os.fork()
if not child:
    stuck = [f"{m}.{n}" for (m, n), its in locks().items() if not its.acquire(timeout=0)]
    print(len(locks()), *stuck, flush=True)
    os._exit(0)
os.waitpid(child, 0)
os._exit(0)
"""


@pytest.mark.slow
def test_a_worker_that_is_forked_while_a_lock_is_held_finds_it_free():
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, check=True)
    count, *stuck = done.stdout.split()
    assert int(count) >= 4
    assert stuck == []
