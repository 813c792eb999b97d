"""Signatures, from a service of tokens that is as slow and as unwell as one can be."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate

import pytest
from planetary_computer import sas
from planetary_computer.settings import Settings

from curation.errors import ReadError
from curation.read import http, ranges
from curation.read.signing import FileAddress
from tests.loopback import Request, serving
from tests.read.conftest import Tokens

DATA = bytes(range(256)) * 16


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "PAUSE_S", 0.01)
    monkeypatch.setattr(http, "READ_S", 0.3)
    monkeypatch.setattr(http, "SLOWEST", 10**6)


@pytest.fixture
def blobs(tokens: Tokens) -> Iterator[str]:
    """URL of a container whose blobs all hold `DATA` and need a signature."""

    def answer(request: Request) -> None:
        if "?sv=1&sig=SECRET" not in request.path:
            request.send(403)
            return
        request.start(206, len(DATA), Content_Range=f"bytes 0-{len(DATA) - 1}/{len(DATA)}")
        request.wfile.write(DATA)

    with serving(answer) as url:
        yield tokens.blobs_of(url)


def fetched(blobs: str, name: str = "s.tif") -> bytes:
    return ranges.fetch(FileAddress(f"{blobs}/{name}", "planetary-computer"), 0, len(DATA), name).data


FAULTS = ["stall", "drip", "503", "429", "403", "page", "other"]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_token_is_asked_for_once_a_try(tokens, blobs, fault):
    tokens.faults = [fault] * 2
    began = time.monotonic()
    assert fetched(blobs) == DATA
    assert time.monotonic() - began < 30
    assert tokens.asked == ["/api/sas/v1/token/account1/box"] * 3


@pytest.mark.parametrize("fault", [*FAULTS, "404"])
@pytest.mark.slow
def test_where_no_token_comes_the_error_says_who_gave_none_and_why_and_tells_no_token(tokens, blobs, fault, caplog):
    caplog.set_level(logging.DEBUG)
    tokens.always = fault
    began = time.monotonic()
    tries = 1 if fault == "404" else 5
    why = {
        "stall": "the server is too slow",
        "drip": "the server is too slow",
        "page": "HTTP 200 OK: 19 bytes that are no",
    }
    why["other"] = "HTTP 200 OK: .* bytes that are no token"
    said = rf"^s\.tif: could not be read in {tries} tries: no signature was given by {tokens.url}/account1/box: "
    with pytest.raises(ReadError, match=said + why.get(fault, f"HTTP {fault}")) as caught:
        fetched(blobs)
    assert time.monotonic() - began < 60
    assert len(tokens.asked) == tries
    assert "SECRET" not in str(caught.value)
    assert not [r for r in caplog.records if "SECRET" in r.getMessage()]
    tokens.always = ""
    assert fetched(blobs) == DATA, "a service that is well again is used again"


@pytest.mark.slow
def test_the_services_pause_is_kept_to(tokens, blobs):
    tokens.faults, tokens.pause = ["429"], "1"
    began = time.monotonic()
    assert fetched(blobs) == DATA
    assert time.monotonic() - began >= 1
    tokens.always, tokens.pause, tokens.term_s = "429", "86400", 0
    with pytest.raises(ReadError, match=r"no signature was given by .*HTTP 429 .*asks for a pause of 86400 s; rerun"):
        fetched(blobs.replace("box", "other"))


@pytest.mark.slow
def test_those_who_wait_for_a_token_share_what_comes_of_it_and_hold_up_nobody_else(tokens, blobs):
    assert fetched(f"{blobs}2") == DATA
    tokens.always = "stall"
    began = time.monotonic()
    with ThreadPoolExecutor(20) as pool:
        waiting = [pool.submit(fetched, blobs, f"{n}.tif") for n in range(20)]
        time.sleep(0.1)
        assert fetched(f"{blobs}2", "t.tif") == DATA
        assert not any(w.done() for w in waiting), "what has a token waits for none"
        assert all("no signature was given" in str(w.exception()) for w in waiting)
    assert time.monotonic() - began < 25, "as long as one of them alone"
    tokens.always, before = "", len(tokens.asked)
    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(fetched, [blobs] * 20)) == [DATA] * 20
    assert len(tokens.asked) == before + 1


def test_a_token_is_kept_until_it_ends_soon(tokens, blobs):
    for _ in range(3):
        fetched(blobs)
    assert len(tokens.asked) == 1
    tokens.term_s = 30
    for box in ("box3", "box3"):
        fetched(blobs.replace("box", box))
    assert len(tokens.asked) == 3


def test_the_service_is_told_the_subscription_key(tokens, blobs, monkeypatch):
    monkeypatch.setattr(Settings.get(), "subscription_key", "mine")
    fetched(blobs)
    assert tokens.keys == ["mine"]


def test_what_needs_no_signature_gets_none(tokens, monkeypatch):
    paths = []

    def answer(request: Request) -> None:
        paths.append(request.path)
        request.send(200, DATA)

    with serving(answer) as url:
        assert fetched(url) == DATA
    assert paths == ["/s.tif"]
    assert not tokens.asked


def test_behind_a_proxy_no_host_waits_for_anothers_slots(tokens, monkeypatch):
    monkeypatch.setattr(http, "READ_S", 20)
    stalled, closing = threading.Event(), threading.Event()

    def answer(request: Request) -> None:
        if "account1" in request.path:
            stalled.set()
            closing.wait(90)
        request.start(206, len(DATA), Content_Range=f"bytes 0-{len(DATA) - 1}/{len(DATA)}")
        request.wfile.write(DATA)

    def one_at_a_time(container: str) -> bytes:
        address = FileAddress(f"{container}/s.tif", "planetary-computer", per_host=1)
        return ranges.fetch(address, 0, len(DATA), "s.tif").data

    with serving(answer) as proxy, ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(one_at_a_time, tokens.blobs_of(proxy))
        assert stalled.wait(60)
        other = pool.submit(one_at_a_time, tokens.blobs_of(proxy, "account2"))
        try:
            assert other.result(timeout=60) == DATA, "its signature may be good for seconds"
            assert not waiting.done()
        finally:
            closing.set()


def test_no_log_line_of_a_redirect_or_of_a_strange_header_tells_a_signature(tokens, caplog):
    caplog.set_level(logging.DEBUG)
    first = threading.Event()

    def answer(request: Request) -> None:
        if not first.is_set():
            first.set()
            request.send(302, Location=request.path.replace("s.tif", "moved.tif"))
            return
        request.wfile.write(b"HTTP/1.1 206 Partial Content\r\nno colon\r\nContent-Length: 9\r\n\r\n")
        request.close_connection = True

    with serving(answer) as url, pytest.raises(ReadError) as caught:
        fetched(tokens.blobs_of(url))
    assert "SECRET" not in str(caught.value)
    told = [r for r in caplog.records if r.name.startswith("urllib3")]
    assert {"urllib3.connectionpool", "urllib3.connection"} <= {r.name for r in told}
    assert not [r.getMessage() for r in told if "SECRET" in r.getMessage()]


def server_clock(monkeypatch: pytest.MonkeyPatch, ahead_s: float) -> None:
    """Lets each server here say, and reckon with, another time than it is."""
    monkeypatch.setattr(Request, "date_time_string", lambda _: formatdate(time.time() + ahead_s, usegmt=True))


@pytest.mark.parametrize("ahead_s", [-7200, 7200])
def test_how_long_a_token_is_good_does_not_hang_on_the_clock_here(tokens, blobs, monkeypatch, ahead_s):
    server_clock(monkeypatch, ahead_s)
    tokens.term_s = 3600 + ahead_s
    assert [fetched(blobs) for _ in range(3)] == [DATA] * 3
    assert len(tokens.asked) == 1, "an hour is left of it"
    sas.TOKEN_CACHE.clear()
    tokens.term_s = 30 + ahead_s
    assert [fetched(blobs) for _ in range(3)] == [DATA] * 3
    assert len(tokens.asked) == 4, "each has ended, nearly"


def test_a_token_ends_when_its_time_is_up_though_the_clock_is_set_back(tokens, blobs, monkeypatch):
    assert fetched(blobs) == DATA
    now = time.monotonic
    monkeypatch.setattr(http.time, "monotonic", lambda: now() + 3590)
    monkeypatch.setattr(sas.SASToken, "ttl", lambda _: 9000.0)  # what a clock says that was set back
    assert fetched(blobs) == DATA
    assert len(tokens.asked) == 2


@pytest.mark.parametrize("ahead_s", [-7200, 7200])
@pytest.mark.slow
def test_a_date_to_wait_until_is_told_from_the_servers_own(monkeypatch, ahead_s):
    server_clock(monkeypatch, ahead_s)
    asked = []

    def answer(request: Request) -> None:
        asked.append(request.path)
        if len(asked) == 1:
            request.send(503, Retry_After=formatdate(time.time() + ahead_s + 2, usegmt=True))
        else:
            request.send(206, DATA, Content_Range=f"bytes 0-{len(DATA) - 1}/{len(DATA)}")

    began = time.monotonic()
    with serving(answer) as url:
        assert ranges.fetch(FileAddress(f"{url}/s.tif"), 0, len(DATA), "s.tif").data == DATA
    assert 0.9 < time.monotonic() - began < 60
