"""Ranges over HTTP from servers that are slow, in each of the ways in which a server is."""

from __future__ import annotations

import ipaddress
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from curation.errors import ReadError
from curation.read import http, ranges
from curation.read.signing import FileAddress
from tests.loopback import Request, serving

DATA = bytes(range(256)) * 256
OVER = threading.Event()
"""Set where a test ends: its servers stop what they are about."""


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(ranges, "PAUSE_S", 0.01)
    monkeypatch.setattr(http, "READ_S", 0.3)
    OVER.clear()
    yield
    OVER.set()


def whole(request: Request) -> None:
    first, _, last = request.headers["Range"].removeprefix("bytes=").partition("-")
    part = DATA[int(first) : int(last) + 1]
    request.start(206, len(part), Content_Range=f"bytes {first}-{int(first) + len(part) - 1}/{len(DATA)}")
    request.wfile.write(part)


def dripping(request: Request, data: bytes, size: int = 1, every_s: float = 0.05) -> None:
    for at in range(0, len(data), size):
        request.wfile.write(data[at : at + size])
        request.wfile.flush()
        if OVER.wait(every_s):
            break


def drips_body(request: Request) -> None:
    request.start(206, 4096, Content_Range=f"bytes 0-4095/{len(DATA)}")
    dripping(request, DATA[:4096])


def drips_body_and_closes(request: Request) -> None:
    request.start(206, 4096, Content_Range=f"bytes 0-4095/{len(DATA)}", Connection="close")
    dripping(request, DATA[:4096])


def drips_head(request: Request) -> None:
    dripping(request, b"HTTP/1.1 206 Partial Content\r\nX-Long: " + b"x" * 4096)


SLOW: list[Callable[[Request], None]] = [drips_body, drips_body_and_closes, drips_head]


def first_then_well(slow: Callable[[Request], None], count: int) -> Callable[[Request], None]:
    left = iter([slow] * count)
    return lambda request: next(left, whole)(request)


@pytest.mark.parametrize("slow", SLOW)
@pytest.mark.slow
def test_a_server_that_drips_is_asked_again_when_the_time_of_the_whole_range_is_up(slow):
    with serving(first_then_well(slow, 2)) as url:
        began = time.monotonic()
        assert ranges.fetch(FileAddress(f"{url}/s.tif"), 0, 4096, "s.tif").data == DATA[:4096]
        assert 0.5 < time.monotonic() - began < 60
        OVER.set()


@pytest.mark.parametrize("slow", SLOW)
@pytest.mark.slow
def test_a_server_that_always_drips_is_an_error_in_time(slow):
    with serving(slow) as url:
        began = time.monotonic()
        with pytest.raises(
            ReadError, match=r"^s\.tif: could not be read in 5 tries: .*expected up to 4096 bytes within 0\.5 s"
        ):
            ranges.fetch(FileAddress(f"{url}/s.tif"), 0, 4096, "s.tif")
        assert time.monotonic() - began < 60
        OVER.set()


@pytest.mark.slow
def test_a_range_has_as_much_longer_as_it_has_more_bytes(monkeypatch):
    monkeypatch.setattr(http, "SLOWEST", 32_000)

    def slowly(request: Request) -> None:
        request.start(206, len(DATA), Content_Range=f"bytes 0-{len(DATA) - 1}/{len(DATA)}")
        dripping(request, DATA, size=4096, every_s=0.08)

    with serving(slowly) as url:
        began = time.monotonic()
        assert ranges.fetch(FileAddress(f"{url}/s.tif"), 0, len(DATA), "s.tif").data == DATA
        assert time.monotonic() - began > 1, "longer than any two of its bytes may be apart"
        OVER.set()


@pytest.fixture
def secured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """What a server of https on 127.0.0.1 needs; its certificate is trusted."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "loopback")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(hours=1), now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "server.pem"
    pem.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


@pytest.mark.parametrize("slow", SLOW)
@pytest.mark.slow
def test_a_range_over_tls_has_its_time_too(secured, slow):
    with serving(first_then_well(slow, 1), secured) as url:
        assert url.startswith("https://")
        began = time.monotonic()
        assert ranges.fetch(FileAddress(f"{url}/s.tif"), 0, 4096, "s.tif").data == DATA[:4096]
        assert 0.4 < time.monotonic() - began < 60
        assert ranges.fetch(FileAddress(f"{url}/s.tif"), 0, len(DATA), "s.tif").data == DATA
        OVER.set()


@pytest.mark.parametrize("mark", ["ETag", "Last-Modified"])
def test_a_range_of_another_content_is_told_from_a_server_that_takes_no_notice_of_if_match(mark):
    marks = iter(['"1"', '"1"', '"2"'])

    def answer(request: Request) -> None:
        first, _, last = request.headers["Range"].removeprefix("bytes=").partition("-")
        part = DATA[int(first) : int(last) + 1]
        how = {mark.replace("-", "_"): next(marks)}
        request.send(206, part, Content_Range=f"bytes {first}-{last}/{len(DATA)}", **how)

    with serving(answer) as url:
        place = FileAddress(f"{url}/s.tif")
        version = ranges.fetch(place, 0, 100, "s.tif").version
        assert ranges.fetch(place, 100, 100, "s.tif", version).data == DATA[100:200]
        with pytest.raises(ranges.ChangedError, match=r"^s\.tif: has changed since its head was read"):
            ranges.fetch(place, 200, 100, "s.tif", version)


def test_redirects_are_followed_and_give_their_slots_back():
    def answer(request: Request) -> None:
        if request.path.startswith("/s"):
            whole(request)
        elif request.path == "/odd":
            request.send(302, Location="http://[::1")
        else:
            request.send(302, Location=f"/{int(request.path[1:]) - 1}" if request.path != "/0" else "s.tif")

    with serving(answer) as url:
        for _ in range(3):  # more than there are slots
            assert ranges.fetch(FileAddress(f"{url}/3", per_host=1), 0, 100, "s.tif").data == DATA[:100]
            with pytest.raises(ReadError, match="Invalid IPv6 URL"):
                ranges.fetch(FileAddress(f"{url}/odd", per_host=1), 0, 100, "s.tif")
        with pytest.raises(ReadError, match="more than 5 redirects"):
            ranges.fetch(FileAddress(f"{url}/9", per_host=1), 0, 100, "s.tif")
