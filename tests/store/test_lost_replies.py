"""Writes to an object store whose reply is lost, or comes as an error, though the store has acted on them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from curation.errors import DamageError, PassingError
from curation.store import bucket
from curation.store.bucket import Client
from curation.store.ledger import Ledger
from curation.store.objects import Store
from curation.store.writer import Writer
from tests import buckets
from tests.loopback import Request, serving

BINDING = {"dataset": "d"}


class Faulty:
    """A store that speaks S3, between which and its clients something may happen to a reply."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.faults: list[str] = []
        """One per request that writes, in order. `drop`, `503`, `500` and `409`: the store has acted, and nobody is told.
        `busy`: 409, and it has not acted. `gone`: 404 of an upload that is complete. Empty: none."""
        self.asked: list[tuple[str, str]] = []

    def answer(self, request: Request) -> None:
        self.asked.append((request.command, request.path))
        writes = request.command in ("PUT", "DELETE", "POST")
        fault = self.faults.pop(0) if writes and self.faults else ""
        if fault == "busy":
            request.send(409, b"<Error><Code>ConditionalRequestConflict</Code></Error>")
            return
        if fault == "gone":
            request.send(404, b"<Error><Code>NoSuchUpload</Code></Error>")
            return
        answer = buckets.passed_on(request, self._url)
        if fault == "drop":
            request.close_connection = True
            request.connection.close()
            return
        if fault:
            request.send(int(fault), b"<Error><Code>Any</Code></Error>")
            return
        answer.send(request)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[tuple[str, Faulty]]:
    with buckets.bucket() as real:
        made = Faulty(real)
        with serving(made.answer) as url:
            yield url, made


@pytest.fixture
def server(endpoint: tuple[str, Faulty], monkeypatch: pytest.MonkeyPatch) -> Faulty:
    url, made = endpoint
    buckets.reached_at(url, monkeypatch)
    monkeypatch.setattr(bucket, "BUSY_PAUSE_S", 0.0)
    made.faults.clear()
    made.asked.clear()
    return made


@pytest.fixture
def store(server: Faulty, request: pytest.FixtureRequest) -> Store:
    return Store("s3://bucket", request.node.name.replace("[", "-").replace("]", ""))


ACTED = ["drop", "503", "500", "409"]


@pytest.mark.parametrize("faults", [*([f] for f in ACTED), ["drop", "503", "409"], ["busy"], ["busy", "drop"]])
def test_who_published_new_and_was_not_told_is_not_taken_for_another(store: Store, server: Faulty, faults: list[str]):
    server.faults[:] = faults
    receipt = store.publish_new("k", b"mine")
    found = store.head("k")
    assert found is not None
    assert (store.get("k"), found.etag) == (b"mine", receipt.etag)


@pytest.mark.parametrize("fault", [*ACTED, "busy"])
@pytest.mark.parametrize("other", [b"else", b"another's"])
def test_a_second_writer_is_still_one_where_replies_are_lost(store: Store, server: Faulty, fault: str, other: bytes):
    store.publish("k", other)
    server.faults[:] = [fault]
    with pytest.raises(FileExistsError):
        store.publish_new("k", b"mine")
    assert store.get("k") == other


@pytest.mark.parametrize("fault", [*ACTED, "busy"])
@pytest.mark.parametrize("write", ["publish", "move", "delete"])
def test_any_write_whose_reply_is_lost_is_done(store: Store, server: Faulty, fault: str, write: str):
    if write == "publish":
        server.faults[:] = [fault]
        receipt = store.publish("k", b"new")
        assert (store.get("k"), store.head("k").etag) == (b"new", receipt.etag)
        return
    store.publish("k", b"new")
    for n in range(2 if write == "move" else 1):  # the copy, and the removal
        server.faults[:] = [""] * n + [fault]
        if write == "move":
            server.faults[:0] = [""]
            store.publish("k", b"new")
            assert store.move("k", "to").etag == store.head("to").etag
            assert store.get("to") == b"new"
        else:
            store.delete("k")
        assert store.head("k") is None


@pytest.mark.parametrize("faults", [["drop", "gone"], ["503", "gone"], ["drop"]])
@pytest.mark.slow
def test_an_upload_in_parts_whose_end_was_not_told_is_done(store: Store, server: Faulty, faults: list[str]):
    data = bytes(range(256)) * 2**16  # several parts
    store.publish("probe", data)
    writes = [command for command, _ in server.asked if command in ("PUT", "POST")]
    assert writes[0] == writes[-1] == "POST", "it begins and ends an upload"
    server.faults[:] = [""] * (len(writes) - 1) + faults
    receipt = store.publish("k", data)
    found = store.head("k")
    assert found is not None
    assert (found.size, found.etag) == (len(data), receipt.etag)
    assert store.get("k") == data


def test_a_store_that_stays_busy_is_named_and_may_pass(store: Store, server: Faulty):
    for write in (store.publish_new, store.publish):
        server.faults[:] = ["busy"] * 50
        with pytest.raises(PassingError, match=r"k: could not be written in 5 tries: .*409"):
            write("k", b"mine")
        assert store.head("k") is None


@pytest.mark.parametrize("fault", ACTED)
def test_a_ledger_goes_on_where_the_reply_to_a_segment_was_lost(store: Store, server: Faulty, fault: str):
    made = Ledger.replay(store, "r", "s")
    server.faults[:] = [fault]
    made.acquire(BINDING)
    server.faults[:] = [fault]
    made.append([])
    again = Ledger.replay(store, "r", "s")
    assert (again.segments, again.head, again.writer) == (2, made.head, Writer.me())


@pytest.mark.parametrize("fault", ["", *ACTED, "busy"])
def test_a_second_writer_of_this_very_process_is_told_from_oneself_by_the_id_in_its_segment(
    store: Store, server: Faulty, fault: str
):
    first, second = Ledger.replay(store, "r", "s"), Ledger.replay(store, "r", "s")
    first.acquire(BINDING)
    server.faults[:] = [fault]
    with pytest.raises(DamageError, match="has taken over this cube"):
        second.acquire(BINDING)
    assert Ledger.replay(store, "r", "s").head == first.head
    ids = {json.loads(data.splitlines()[0])["id"] for data in (store.get(s.key) for s in store.list())}
    assert len(ids) == 1


def test_a_store_that_does_not_answer_at_all_is_no_second_writer(server: Faulty):
    store = Store("s3://bucket", "none", Client(retries=1))
    server.faults[:] = ["drop", "drop"]
    assert store.publish_new("a", b"mine").size == 4, "it was stored, which a look shows"


def test_a_link_whose_reply_was_lost_is_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    made = os.link

    def link(source: str, to: Path) -> None:
        made(source, to)
        raise FileExistsError(17, "File exists", str(to))  # what a client of a file server says that asked twice

    monkeypatch.setattr(os, "link", link)
    store = Store(tmp_path)
    assert store.get(store.publish_new("k", b"mine").key) == b"mine"
    monkeypatch.undo()
    with pytest.raises(FileExistsError):
        store.publish_new("k", b"mine")


@pytest.mark.parametrize("faults", [["drop"], ["503"], ["500"]])
def test_azure_which_says_409_of_what_exists_is_understood(monkeypatch: pytest.MonkeyPatch, faults: list[str]):
    kept: dict[str, bytes] = {}

    def answer(request: Request) -> None:
        path = request.path.partition("?")[0]
        mark = {"ETag": f'"{len(kept.get(path, b""))}"', "Last-Modified": "Sat, 01 Jan 2022 00:00:00 GMT"}
        told = {name.replace("-", "_"): value for name, value in mark.items()}
        if request.command == "PUT" and path in kept and request.headers.get("If-None-Match") == "*":
            request.send(409, b"<Error><Code>BlobAlreadyExists</Code></Error>")
        elif request.command == "PUT":
            kept[path] = request.body
            fault = faults.pop(0) if faults else ""
            if fault == "drop":
                request.close_connection = True
                request.connection.close()
            else:
                request.send(int(fault or 201), **told)
        elif path in kept:
            request.send(200, kept[path], **told)
        else:
            request.send(404)

    with serving(answer) as url:
        for name, value in {
            "AZURE_STORAGE_ACCOUNT_NAME": "account",
            "AZURE_STORAGE_ACCOUNT_KEY": "c2VjcmV0",
            "AZURE_STORAGE_ENDPOINT": f"{url}/account",
            "AZURE_ENDPOINT": f"{url}/account",
        }.items():
            monkeypatch.setenv(name, value)
        store = Store("az://box")
        store.publish_new("k", b"mine")
        assert list(kept.values()) == [b"mine"]
        with pytest.raises(FileExistsError):
            store.publish_new("k", b"another's")
        assert store.get("k") == b"mine"
