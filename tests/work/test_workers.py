"""Workers come, leave, are lost, and cannot do the work: in this process (tests/work/test_foreign.py has processes)."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from distributed import Client, LocalCluster

from curation.errors import ConfigError, CurationError
from curation.recipe import catalogs
from curation.store import full
from curation.store.objects import Store
from curation.work import cluster, dealing, roster

pytestmark = pytest.mark.filterwarnings(
    "ignore:unclosed",
    "ignore::pytest.PytestUnraisableExceptionWarning",
    "ignore::pytest.PytestUnhandledThreadExceptionWarning",
)


def double(n: int) -> int:
    time.sleep(0.05)
    return 2 * n


def meets(folder: str, mine: int) -> int:
    """Waits for the other one of two that run at the same time."""
    Path(folder, str(mine)).touch()
    until = time.monotonic() + 100
    while not Path(folder, str(1 - mine)).exists():
        if time.monotonic() > until:
            raise ValueError("the other one was never begun")
        time.sleep(0.05)
    return mine


def chained(n: int) -> int:
    try:
        raise ValueError("the root of it")
    except ValueError as err:
        raise OSError("told last\nin two lines") from err


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (roster, dealing):
        monkeypatch.setattr(module, "LOOK_S", 0.3)
        monkeypatch.setattr(module, "SOON_S", 0.1)


@pytest.fixture
def theirs() -> Iterator[LocalCluster]:
    """Somebody else's cluster, without a worker as yet."""
    where = {"protocol": "tcp://", "host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(n_workers=0, threads_per_worker=1, processes=False, **where) as made:
        yield made


def everything(client: Client, fn, items, store: Store | None = None) -> dict:
    return dict(pair for batch in cluster.stream(client, fn, items, store) for pair in batch)


@pytest.mark.slow
def test_a_cluster_that_grows_from_nothing_begins(theirs: LocalCluster):
    theirs.adapt(minimum=0, maximum=2, interval="100ms")
    with cluster.connect(theirs.scheduler_address) as client:
        assert everything(client, double, range(12)) == {n: 2 * n for n in range(12)}


@pytest.mark.parametrize("fn", [full.Final(double), functools.partial(pow, exp=2)])
def test_work_may_be_any_callable(theirs: LocalCluster, fn):
    theirs.scale(1)
    with cluster.connect(theirs.scheduler_address) as client:
        assert everything(client, fn, [2]) == {2: 4}


def test_nothing_to_do_waits_for_no_worker(theirs: LocalCluster):
    with Client(theirs.scheduler_address) as client:
        assert everything(client, double, []) == {}


@pytest.mark.slow
def test_when_all_workers_are_lost_the_next_that_come_go_on(theirs: LocalCluster, caplog: pytest.LogCaptureFixture):
    theirs.scale(1)
    with cluster.connect(theirs.scheduler_address) as client, caplog.at_level(logging.WARNING):
        found = {}
        for batch in cluster.stream(client, double, range(40)):
            found |= dict(batch)
            if len(found) in range(4, 8):
                theirs.scale(0)
                threading.Timer(1.5, lambda: theirs.scale(2)).start()
        assert found == {n: 2 * n for n in range(40)}
    assert "no workers to go on with" in caplog.text


@pytest.mark.slow
def test_that_there_is_no_worker_is_said_again_and_again(theirs, caplog, monkeypatch):
    monkeypatch.setattr(roster, "SAY_S", 0.4)
    threading.Timer(2.5, lambda: theirs.scale(1)).start()
    with caplog.at_level(logging.WARNING), cluster.connect(theirs.scheduler_address) as client:
        assert everything(client, double, [1]) == {1: 2}
    assert caplog.text.count("no workers to begin with") >= 3


@pytest.mark.slow
def test_an_item_that_waits_behind_others_is_done_by_one_who_has_nothing_to_do(theirs: LocalCluster, tmp_path):
    theirs.scale(1)
    with cluster.connect(theirs.scheduler_address) as client:
        client.wait_for_workers(1)
        threading.Timer(1.0, lambda: theirs.scale(2)).start()
        assert everything(client, functools.partial(meets, str(tmp_path)), [0, 1]) == {0: 0, 1: 1}


def test_an_error_on_a_worker_comes_with_what_it_was_raised_from(theirs: LocalCluster):
    from curation.errors import causes

    theirs.scale(1)
    with cluster.connect(theirs.scheduler_address) as client:
        ((_, err),) = everything(client, chained, [1]).items()
    assert causes.whole(err) == "OSError: told last in two lines; caused by ValueError: the root of it"


def test_workers_that_do_not_reach_a_catalog_served_here_are_told_before_anything_is_done(theirs: LocalCluster):
    theirs.scale(1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        here = f"http://127.0.0.1:{port}"
        with cluster.connect(theirs.scheduler_address, served_url=here) as client:
            assert list(cluster.stream(client, double, [1], served_url=here)) == [[(1, 2)]]
    with (  # it listens no more, as on another machine
        pytest.raises(ConfigError, match=rf"worker tcp:\S+ on host \S+ cannot reach the catalog .*:{port} for its own"),
        cluster.connect(theirs.scheduler_address, served_url=here),
    ):
        pass


def test_only_a_catalog_without_a_url_is_served_by_this_machine_to_itself(tmp_path):
    (tmp_path / "items.json").write_text("{}")
    served = "http://127.0.0.1:8000"
    assert catalogs.resolve("embedded", served_at=served).served_url == served
    for elsewhere in ("planetary-computer", "http://localhost:8080/stac", str(tmp_path / "items.json")):
        assert catalogs.resolve(elsewhere).served_url == ""


BROKE, HUNG = "handle-worker-cleanup-1.0", "check-worker-ttl-1.0"


def lost(why: str, key: str = "task") -> dict:
    return {"action": "remove-worker", "processing-tasks": {key}, "stimulus_id": why, "expected": False}


CAME, CLOSES, GOODBYE = {"action": "add-worker"}, {"action": "closing-worker"}, {"action": roster.GOODBYE}


@pytest.mark.parametrize(
    ("events", "left"),
    [
        ([CAME, lost(BROKE)], False),
        ([CAME, lost(BROKE) | {"expected": True}], True),
        ([CAME, CLOSES, lost(BROKE)], True),
        ([CAME, lost(BROKE), GOODBYE], True),
        ([CAME, lost(HUNG), CLOSES, GOODBYE], False),
        ([CAME, CLOSES, lost(BROKE, "other"), CAME, lost(BROKE)], False),
        ([CAME, CLOSES, lost(BROKE), CAME, lost(BROKE, "other")], True),
        ([CAME, CLOSES, lost(BROKE), CAME, lost(BROKE)], False),
        ([], False),
    ],
)
def test_a_worker_took_leave_where_it_said_so_in_the_life_that_had_the_task(theirs, monkeypatch, events, left):
    with Client(theirs.scheduler_address) as client:
        its = roster.Roster(client, None)
        monkeypatch.setattr(its, "call", lambda method, topic: [(float(n), what) for n, what in enumerate(events)])
        assert its.took_leave("tcp://a:1", "task") is left


def test_workers_of_another_folder_are_told_before_anything_is_done(theirs: LocalCluster, tmp_path, monkeypatch):
    theirs.scale(1)
    monkeypatch.setattr(Store, "get", lambda self, key: (_ for _ in ()).throw(FileNotFoundError(key)))
    with (
        pytest.raises(ConfigError, match=rf"worker tcp:\S+ on host \S+ cannot read and write {tmp_path}.*--root"),
        cluster.connect(theirs.scheduler_address, store=Store(tmp_path)),
    ):
        pass
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def lose(theirs: LocalCluster, address: str) -> None:
    """Makes the scheduler lose a worker, as one whose process was killed."""
    theirs.sync(theirs.scheduler.remove_worker, address=address, stimulus_id=BROKE)


@contextlib.contextmanager
def both(client: Client) -> Iterator[roster.Roster]:
    """A roster with two workers that take work."""
    with contextlib.closing(roster.Roster(client, None)) as its:
        while len(its.rooms) < 2:
            its.look()
            time.sleep(0.02)
        yield its


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_what_is_offered_as_its_worker_is_lost_is_done_by_another(theirs: LocalCluster, monkeypatch):
    # As yet the scheduler alone knows of the loss; what waits for a worker it does not take up when it is offered to more.
    theirs.scale(2)
    real, lost = roster.Roster.call, []

    def call(self: roster.Roster, method: str, **what):
        if method == "set_restrictions" and not lost:
            task = theirs.scheduler.tasks[next(iter(what["worker"]))]
            lost.append(task.processing_on.address)
            lose(theirs, lost[0])
        return real(self, method, **what)

    monkeypatch.setattr(roster.Roster, "call", call)
    items = [2.0, 2.01, 0.1, 0.11]  # one has both that take long, and the other nothing more to do when it is lost
    with Client(theirs.scheduler_address) as client, both(client) as its:
        found = dict(p for batch in dealing.Work(its, time.sleep, items).results() for p in batch)
    assert found == dict.fromkeys(items)
    assert len(lost) == 1


class Broke(Exception):
    """A result that cannot be read."""


@pytest.mark.timeout(60)
@pytest.mark.parametrize("err", [OSError("broke off"), Broke("cannot be read")])
@pytest.mark.slow
def test_a_result_that_does_not_come_through_is_done_again_or_is_an_error(theirs: LocalCluster, caplog, err: Exception):
    theirs.scale(1)
    real, broken = theirs.scheduler.handlers["gather"], []

    async def gather(**what):
        if not broken and what["keys"][0].startswith("double"):
            broken.append(what["keys"])
            raise err
        return await real(**what)

    with Client(theirs.scheduler_address) as client:
        theirs.scheduler.handlers["gather"] = gather
        found = everything(client, double, range(8))
    again = isinstance(err, OSError)
    odd = {n: r for n, r in found.items() if r != 2 * n}
    assert [str(r) for r in odd.values()] == [] if again else ["cannot be read"] * len(broken[0])
    assert ("broke off (OSError: broke off); it is done again" in caplog.text) is again
    assert len(found) == 8


async def hangs(*_, **__) -> None:
    await asyncio.sleep(600)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("call", ["identity", "events", "get_task_status"])
@pytest.mark.slow
def test_a_scheduler_that_hangs_is_lost(theirs: LocalCluster, monkeypatch, call: str):
    theirs.scale(2)
    monkeypatch.setattr(roster, "CALL_S", 1)

    def work() -> None:
        with cluster.connect(theirs.scheduler_address) as client:
            for _ in cluster.stream(client, double, range(1000)):
                theirs.scheduler.handlers[call] = hangs
                # One that has none of the tasks yet is missed by nobody: nothing would be asked about it.
                busy = [
                    a for a, w in theirs.scheduler.workers.items() if any(t.key[:6] == "double" for t in w.processing)
                ]
                if call != "identity" and len(busy) == 2:
                    lose(theirs, busy[0])

    with pytest.raises(CurationError, match=r"--scheduler tcp:\S+: was lost \(SchedulerLostError\); what is committed"):
        work()


@pytest.mark.timeout(60)
@pytest.mark.slow
def test_how_many_work_is_asked_of_a_scheduler_that_hangs_only_for_a_while(theirs: LocalCluster, monkeypatch):
    monkeypatch.setattr(roster, "CALL_S", 1)
    with Client(theirs.scheduler_address) as client:
        theirs.scheduler.handlers["identity"] = hangs
        with pytest.raises(roster.SchedulerLostError):
            cluster.workers(client)


@pytest.mark.timeout(60)
@pytest.mark.slow
def test_a_worker_that_hangs_before_it_says_what_it_is_holds_up_nobody(theirs: LocalCluster, monkeypatch):
    monkeypatch.setattr(roster, "CHECK_S", 0.5)
    monkeypatch.setattr(roster, "VERSIONS_S", 600)
    theirs.scale(2)
    theirs.sync(theirs._correct_state)
    first, second = theirs.workers.values()
    first.handlers["versions"] = hangs
    with cluster.connect(theirs.scheduler_address) as client:
        assert everything(client, double, range(20)) == {n: 2 * n for n in range(20)}
    assert {first.address, second.address} == theirs.scheduler.workers.keys()


@pytest.mark.timeout(60)
def test_a_worker_that_hung_for_a_while_is_asked_again(theirs: LocalCluster, monkeypatch):
    monkeypatch.setattr(roster, "VERSIONS_S", 0.3)
    theirs.scale(1)
    theirs.sync(theirs._correct_state)
    (worker,) = theirs.workers.values()
    real, asked = worker.handlers["versions"], []

    async def versions(**what):
        asked.append(1)
        if len(asked) == 1:
            await asyncio.sleep(600)
        return real(**what)

    worker.handlers["versions"] = versions
    with Client(theirs.scheduler_address) as client:
        assert everything(client, double, [1]) == {1: 2}


@pytest.mark.timeout(60)
def test_a_worker_whose_answer_breaks_off_is_asked_again(theirs: LocalCluster):
    theirs.scale(1)
    real, broken = theirs.scheduler.handlers["gather"], []

    async def gather(**what):
        if not broken:
            broken.append(what["keys"])
            raise OSError("broke off")
        return await real(**what)

    with Client(theirs.scheduler_address) as client:
        theirs.scheduler.handlers["gather"] = gather
        assert everything(client, double, [1]) == {1: 2}
    assert broken


@pytest.mark.timeout(60)
@pytest.mark.slow
def test_a_scheduler_that_hangs_as_it_is_asked_what_it_is_is_lost(theirs: LocalCluster, monkeypatch):
    monkeypatch.setattr(roster, "CALL_S", 1)
    theirs.scheduler.handlers["run_function"] = hangs
    with pytest.raises(CurationError, match="was lost"), cluster.connect(theirs.scheduler_address):
        pass


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_what_is_offered_before_the_scheduler_has_it_is_offered_again(theirs: LocalCluster):
    theirs.scale(2)
    real, refused, heard = theirs.scheduler.handlers["set_restrictions"], [], []

    def set_restrictions(worker: dict, **what) -> None:
        if not refused:
            refused.extend(worker)
            raise KeyError(refused[0])
        heard.extend(worker)
        real(worker=worker)

    theirs.scheduler.handlers["set_restrictions"] = set_restrictions
    items = [2.0, 2.01, 0.1, 0.11]
    with Client(theirs.scheduler_address) as client, both(client) as its:
        found = dict(p for batch in dealing.Work(its, time.sleep, items).results() for p in batch)
    assert found == dict.fromkeys(items)
    assert refused
    assert set(refused) <= set(heard)
