import contextlib
import multiprocessing
import re
import socket
import struct
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.errors import PassingError
from curation.store import direct
from curation.store.bucket import Client
from curation.store.direct import Addresses, LeftError, Lines, Scatter, address_of, joined
from curation.store.objects import Store
from tests.loopback import serving

DATA = bytes(range(256)) * 40
PATIENCE = Client(connect_s=2.0, read_s=0.3)


class Served:
    """A server of ranges of `DATA` that counts its requests and connections, and may answer otherwise."""

    def __init__(self):
        self.asked = []
        self.connections = set()
        self.otherwise = None
        self.closes = False

    def answer(self, request):
        self.asked.append((request.path, request.headers["Range"]))
        self.connections.add(request.client_address)
        if self.otherwise is not None:
            self.otherwise(request)
            return
        first, last = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers["Range"]).groups())
        give(request, first, DATA[first : last + 1])
        request.close_connection = self.closes  # without a word


def give(request, first, body, status=206, size=None, **headers):
    told = f"bytes {first}-{first + len(body) - 1}/{size or len(DATA)}"
    request.send(status, body, Content_Range=told, **headers)


@pytest.fixture
def served():
    made = Served()
    with serving(made.answer) as made.url:
        yield made


def views_of(*lengths):
    return [memoryview(bytearray(n)) for n in lengths]


def fill(served, *parts, lines=None):
    (lines or Lines()).fill(address_of(f"{served.url}/a"), parts, PATIENCE, "where")


def content(part):
    return b"".join(bytes(v) for v in part.views)


def test_parts_are_filled_view_by_view_over_connections_that_are_kept(served):
    lines = Lines()
    for _ in range(3):
        parts = [Scatter(at, views_of(1, 0, 700, 30)) for at in range(0, 9000, 900)]
        fill(served, *parts, lines=lines)
        assert [content(p) for p in parts] == [DATA[p.start : p.start + 731] for p in parts]
    assert len(served.asked) == 30
    assert len(served.connections) == direct.LINES


def test_more_views_than_the_kernel_takes_at_once_are_filled(served):
    part = Scatter(5, views_of(*[1 + i % 3 for i in range(3000)]))
    fill(served, part)
    assert content(part) == DATA[5 : 5 + part.length]


def test_a_connection_that_the_server_closed_between_two_requests_is_no_failure(served):
    served.closes, lines = True, Lines()
    for _ in range(3):
        parts = [Scatter(0, views_of(9)), Scatter(50, views_of(9))]
        fill(served, *parts, lines=lines)
        assert [content(p) for p in parts] == [DATA[:9], DATA[50:59]]
        time.sleep(0.05)


def test_a_connection_that_the_server_closes_when_it_is_asked_again_is_no_failure(served):
    used = set()

    def once(request):
        if request.client_address in used:
            request.close_connection = True
            return
        used.add(request.client_address)
        give(request, 50, DATA[50:59])

    served.otherwise, lines = once, Lines()
    for _ in range(3):
        part = Scatter(50, views_of(9))
        fill(served, part, lines=lines)
        assert content(part) == DATA[50:59]
    assert len(used) == 3


def test_what_a_server_sends_unasked_is_no_answer_to_what_is_asked_next(served):
    def twice(request):
        first = int(request.headers["Range"].removeprefix("bytes=").partition("-")[0])
        give(request, first, DATA[first : first + 9])
        request.wfile.flush()
        time.sleep(0.05)
        give(request, 50, b"not these")

    served.otherwise, lines = twice, Lines()
    for start in (0, 50):
        part = Scatter(start, views_of(9))
        fill(served, part, lines=lines)
        assert content(part) == DATA[start : start + 9]
        time.sleep(0.3)


def test_a_fork_does_not_speak_on_its_parents_connection(served):
    lines = Lines()
    fill(served, Scatter(0, views_of(9)), lines=lines)
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()

    def work():
        part = Scatter(7, views_of(90))
        fill(served, part, lines=lines)
        theirs.send(content(part))

    child = context.Process(target=work)
    child.start()
    assert ours.poll(30)
    assert ours.recv() == DATA[7:97]
    child.join(120)
    part = Scatter(3, views_of(90))
    fill(served, part, lines=lines)
    assert content(part) == DATA[3:93]
    assert len(served.connections) == 2
    ours.close()
    theirs.close()


def other(status=206, first=10, body=DATA[10:20], **how):
    return lambda request: give(request, first, body, status, **how)


TOLD = b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 10-19/%d\r\n" % len(DATA)
ODD = {
    "all of it": (other(200, 0, DATA), LeftError, "HTTP 200"),
    "elsewhere": (lambda r: r.send(302, Location="/b"), LeftError, "HTTP 302"),
    "refused": (lambda r: r.send(403), LeftError, "HTTP 403"),
    "packed": (other(Content_Encoding="gzip"), LeftError, "HTTP 206"),
    "in chunks": (other(Transfer_Encoding="chunked"), LeftError, "HTTP 206"),
    "no range told": (lambda r: r.send(206, DATA[10:20]), LeftError, "HTTP 206"),
    "two ranges told": (other(content_range="bytes 0-9/99"), LeftError, "HTTP 206"),
    "of unknown size": (other(size="*"), LeftError, "HTTP 206"),
    "of a length that is not told": (
        lambda r: (r.wfile.write(TOLD + b"\r\n" + DATA[10:20]), setattr(r, "close_connection", True)),
        LeftError,
        "HTTP 206",
    ),
    "of a length told twice": (
        lambda r: r.wfile.write(TOLD + b"Content-Length: 10\r\n" * 2 + b"\r\n" + DATA[10:20]),
        LeftError,
        "HTTP 206",
    ),
    "too much": (  # at once
        lambda r: r.wfile.write(TOLD + b"Content-Length: 10\r\n\r\n" + DATA[10:20] + b"more"),
        LeftError,
        "more came",
    ),
    "no http": (lambda r: r.wfile.write(b"SSH-2.0\r\n\r\n"), LeftError, "no answer of HTTP"),
    "a head without an end": (lambda r: r.wfile.write(b"x" * 200_000), LeftError, "a head of more"),
    "gone": (lambda r: r.send(404), FileNotFoundError, "^where$"),
    "short": (other(first=10, body=DATA[10:15], size=15), EOFError, "where: 15 bytes, expected at least 20"),
    "fewer": (other(body=DATA[10:15]), PassingError, "where: 5 bytes, 10 to 14, expected 10 to 19"),
    "others": (other(first=11, body=DATA[11:21]), PassingError, "where: 10 bytes, 11 to 20, expected 10 to 19"),
    "fewer than told": (
        lambda r: (r.start(206, 9, Content_Range=f"bytes 10-19/{len(DATA)}"), r.wfile.write(b"x" * 9)),
        PassingError,
        "where: 9 bytes, 10 to 19",
    ),
    "busy": (lambda r: r.send(503), PassingError, "where: HTTP 503"),
    "cut": (
        lambda r: (r.start(206, 10, Content_Range=f"bytes 10-19/{len(DATA)}"), setattr(r, "close_connection", True)),
        PassingError,
        "where: closed within an answer",
    ),
    "silent": (lambda r: time.sleep(1), PassingError, "where: the server did not answer in time"),
    "silent within": (
        lambda r: (r.start(206, 10, Content_Range=f"bytes 10-19/{len(DATA)}"), r.wfile.write(b"x"), time.sleep(1)),
        PassingError,
        "where: the server did not answer in time",
    ),
}


@pytest.mark.parametrize("what", ODD)
def test_an_answer_that_is_not_what_was_asked_for_is_never_taken_for_it(served, what):
    served.otherwise, kind, message = ODD[what]
    lines = Lines()
    with pytest.raises(kind, match=message):
        fill(served, Scatter(10, views_of(10)), Scatter(10, views_of(10)), lines=lines)
    served.otherwise = None
    parts = [Scatter(40, views_of(10)), Scatter(90, views_of(10))]
    fill(served, *parts, lines=lines)
    assert [content(p) for p in parts] == [DATA[40:50], DATA[90:100]], "what is left of an answer is none to the next"


@pytest.mark.parametrize(("said", "wait_s"), [("7", 7.0), ("", 1.0), ("soon", 1.0)])
def test_the_pause_that_a_server_asks_for_is_told(served, said, wait_s):
    served.otherwise = lambda request: request.send(429, Retry_After=said)
    with pytest.raises(PassingError) as caught:
        fill(served, Scatter(10, views_of(10)))
    assert caught.value.wait_s == wait_s


def test_an_answer_has_its_time_however_it_drips(served, monkeypatch):
    monkeypatch.setattr(Client, "whole_s", 0.5)

    def drip(request):
        request.start(206, 10, Content_Range=f"bytes 10-19/{len(DATA)}")
        with contextlib.suppress(OSError):
            for _ in range(10):
                request.wfile.write(b"x")
                time.sleep(0.2)

    served.otherwise = drip
    began = time.monotonic()
    with pytest.raises(PassingError, match="in time"):
        fill(served, Scatter(10, views_of(10)))
    assert time.monotonic() - began < 1.7


@pytest.mark.parametrize("read_s", [1e-9, 0.9999999, 1.9999999, 86_400.0])
def test_any_patience_is_one_that_the_system_takes(read_s):
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        address = address_of(f"http://127.0.0.1:{listening.getsockname()[1]}/a")
        with contextlib.closing(direct._connected(address, Client(read_s=read_s))) as line:
            set_to = struct.unpack("ll", line.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16))
    assert 0 < set_to[0] + set_to[1] / 1e6 < read_s + 0.1  # the system has ticks of some milliseconds


def test_who_takes_no_connection_may_take_one_later():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        address = address_of(f"http://127.0.0.1:{held.getsockname()[1]}/a")
        with pytest.raises(PassingError, match=r"^where: Connection refused"):
            Lines().fill(address, [Scatter(0, views_of(3))], PATIENCE, "where")


@given(
    spans=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 60)), max_size=12),
    gap=st.integers(0, 100),
)
def test_joined_parts_are_no_more_requests_and_each_view_gets_its_own_bytes(spans, gap):
    parts = [Scatter(at, views_of(n // 2, n - n // 2)) for at, n in spans]
    found = joined(parts, memoryview(bytearray(gap)))
    for start, views in found:  # as a server would
        for view in views:
            view[:] = DATA[start : start + len(view)]
            start += len(view)
    assert [content(p) for p in parts] == [DATA[at : at + n] for at, n in spans]
    assert len(found) <= len(parts)
    ends = [p.start + p.length for p in found]
    assert all(not 0 <= after.start - end <= gap for end, after in zip(ends, found[1:], strict=False))
    assert sum(p.length for p in found) <= sum(n for _, n in spans) + gap * (len(parts) - len(found))


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://h/a", "s3://bucket/a", "http://me:secret@h/a", "http://h/a#b", "http://h/ä", "http://h/a b"),
        *("http://h:x/a", "http:///a", "http://h/a\r\nX: y"),
    ],
)
def test_what_is_no_plain_address_of_a_server_is_left_to_others(url):
    assert address_of(url) is None


def test_an_address_tells_whom_to_ask_for_what_and_shows_no_signature():
    found = address_of("https://example.org:8443/a%20b?sig=secret")
    assert (found.server, found.authority) == (("https", "example.org", 8443), "example.org:8443")
    assert found.target == "/a%20b?sig=secret"
    assert "secret" not in repr(found)
    assert address_of("http://example.org").target == "/"


def test_a_server_behind_a_proxy_is_left_to_others(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "direct.example")
    assert address_of("http://far.example/a") is None
    assert address_of("http://direct.example/a") is not None
    monkeypatch.delenv("http_proxy")
    monkeypatch.setenv("all_proxy", "http://127.0.0.1:9")
    assert address_of("http://far.example/a") is None


def test_keys_are_part_of_the_path_whatever_they_are_called():
    addresses = Addresses(Store("http://example.org/a%20b/"))
    assert addresses.of("train/x y?z#ü.tar", pytest.fail).target == "/a%20b/train/x%20y%3Fz%23%C3%BC.tar"
    assert Addresses(Store("http://example.org/a?sig=secret")).of("b", pytest.fail) is None


def test_a_signature_is_asked_for_anew_before_it_ends_and_after_it_was_refused(monkeypatch):
    signed, now = [], [1000.0]
    monkeypatch.setattr(direct.time, "monotonic", lambda: now[0])

    def sign(key, seconds):
        signed.append((key, seconds))
        return f"https://bucket.example/{key}?sig={len(signed)}"

    addresses = Addresses(Store("s3://bucket"))
    assert [addresses.of("k", sign).target for _ in range(3)] == ["/k?sig=1"] * 3
    now[0] += direct._REUSED_S + 1
    assert addresses.of("k", sign).target == "/k?sig=2"
    addresses.forget("k")
    assert addresses.of("k", sign).target == "/k?sig=3"
    assert all(seconds > 2 * direct._REUSED_S for _, seconds in signed)


def test_a_store_that_is_read_otherwise_again_and_again_is_asked_for_so_at_once():
    addresses = Addresses(Store("http://example.org"))
    for by_store in (True, True, False, True, True):
        addresses.took(by_store=by_store)
        assert addresses.of("k", pytest.fail) is not None
    addresses.took(by_store=True)
    assert addresses.of("k", pytest.fail) is None


def test_connections_end_with_who_held_them(served):
    before = threading.active_count()
    fill(served, Scatter(0, views_of(9)))
    fill(served, Scatter(0, views_of(9)))  # comes by, and closes what the first one left
    until = time.monotonic() + 5
    while threading.active_count() > before + 1 and time.monotonic() < until:
        time.sleep(0.01)
    assert threading.active_count() <= before + 1, "the server has a thread for each connection that is open"
