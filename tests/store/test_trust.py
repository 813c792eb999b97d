"""Whom searches, ranges and object stores trust over TLS: a company's own CA, named in any of the variables."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import certifi
import pytest

from curation.cli import main
from curation.errors import ConfigError, ReadError, TrustError
from curation.outcomes import Status
from curation.read import ranges
from curation.read.signing import FileAddress
from curation.recipe.catalogs import resolve
from curation.scenes import api
from curation.scenes.saved import opened
from curation.store import trust
from curation.store.bucket import Client
from curation.store.direct import LeftError, Lines, Scatter, address_of
from curation.store.ledger import Ledger
from curation.store.objects import Store
from curation.stream.helper import Channel
from tests.authority import authority_in
from tests.loopback import Request, serving
from tests.scenes.catalog import Served, item
from tests.world import World

DATA = bytes(range(256)) * 16


@dataclass
class Company:
    """A server of a company: a catalog, files and objects behind https, whose CA nobody but the company knows."""

    url: str
    folder: Path
    shaken: list[str] = field(default_factory=list)
    """One per TLS handshake that a client began."""

    def search(self) -> set[str]:
        return opened(resolve(self.url)).collections()

    def range(self) -> bytes:
        return ranges.fetch(FileAddress(f"{self.url}/data"), 0, len(DATA), "s.tif").data

    def object(self) -> bytes:
        return Store(self.url, client=Client(retries=0)).get("data")

    def helped(self) -> bytes:
        """An object, by the program that reads for processes that were forked."""
        return Channel().get(Store(self.url, client=Client(retries=0)), "data")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    folder = tmp_path_factory.mktemp("authority")
    return folder, authority_in(folder)


@pytest.fixture
def company(authority: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch) -> Iterator[Company]:
    folder, context = authority
    for name in trust.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(api, "BACKOFF_S", 0)
    monkeypatch.setattr(ranges, "PAUSE_S", 0)
    served = Served([item("s00")])

    def answer(request: Request) -> None:
        if request.path.startswith("/data"):
            part = f"bytes 0-{len(DATA) - 1}/{len(DATA)}" if request.headers["Range"] else ""
            more = {"Content_Range": part} if part else {}
            request.send(206 if part else 200, DATA, ETag='"1"', Last_Modified="Mon, 01 Jan 2024 00:00:00 GMT", **more)
        elif request.command == "HEAD":
            request.send(404)
        else:
            served.answer(_Secured(request))

    shaken: list[str] = []
    context.sni_callback = lambda *_: shaken.append("")
    with serving(answer, context) as url:
        yield Company(url, folder, shaken)


class _Secured:
    """A request whose links are told with https."""

    def __init__(self, request: Request) -> None:
        self._request = request

    def __getattr__(self, name: str) -> object:
        return getattr(self._request, name)

    def send(self, status: int, body: bytes = b"", **headers: str) -> None:
        self._request.send(status, body.replace(b"http://", b"https://"), **headers)


WAYS = ["search", "range", "object", "helped"]
NAMED = [
    ("REQUESTS_CA_BUNDLE", "ca.pem"),
    ("REQUESTS_CA_BUNDLE", "by-hash"),
    ("CURL_CA_BUNDLE", "ca.pem"),
    ("SSL_CERT_FILE", "ca.pem"),
    ("SSL_CERT_DIR", "by-hash"),
    ("AWS_CA_BUNDLE", "ca.pem"),
]


@pytest.mark.parametrize(("variable", "file"), NAMED)
@pytest.mark.parametrize("beside", ["", "another"])
def test_a_ca_that_any_variable_names_is_trusted_by_all_whatever_the_others_name(
    company, monkeypatch, variable, file, beside
):
    if beside:
        for name in trust.VARIABLES:
            monkeypatch.setenv(name, certifi.where())
    monkeypatch.setenv(variable, str(company.folder / file))
    before = dict(os.environ)
    assert company.search() == {"sentinel-2-l2a"}
    assert (company.range(), company.object()) == (DATA, DATA)
    if file == "ca.pem" and not beside:  # each begins another program
        assert company.helped() == DATA
    assert dict(os.environ) == before


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("named", ["", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_certificate_that_is_not_trusted_is_one_line_that_says_what_to_set_after_one_try(
    company, monkeypatch, way, named
):
    if named:
        monkeypatch.setenv(named, certifi.where())
    kind = {"search": ConfigError, "range": TrustError, "object": Exception, "helped": ReadError}[way]
    if way == "object":
        with pytest.raises(ValueError, match="its certificate is not trusted") as caught:
            Store(company.url).check_answers()
    elif way == "helped":
        with pytest.raises(ReadError, match="invalid peer certificate") as caught:
            company.helped()
    else:
        with pytest.raises(kind, match="its certificate is not trusted") as caught:
            getattr(company, way)()
    said = str(caught.value)
    assert "\n" not in said
    if way != "helped":
        assert "set REQUESTS_CA_BUNDLE to that CA's file" in said
        assert (f"trusted now: {named} ({certifi.where()})" if named else "since no variable names any") in said
    assert len(company.shaken) <= 1
    assert "Max retries" not in said


@pytest.mark.parametrize("way", ["search", "range", "object"])
@pytest.mark.parametrize(("content", "why"), [(None, "No such file"), (b"no certificate", "holds no certificates")])
def test_a_variable_that_names_nothing_is_an_error_by_its_name(company, tmp_path, monkeypatch, way, content, why):
    if content is not None:
        (tmp_path / "ca.pem").write_bytes(content)
    monkeypatch.setenv("CURL_CA_BUNDLE", str(tmp_path / "ca.pem"))
    kind = ReadError if way == "range" else ConfigError
    with pytest.raises(kind, match=rf"CURL_CA_BUNDLE: {tmp_path}/ca\.pem: .*{why}"):
        getattr(company, way)()


def test_a_stream_of_shards_is_told_of_a_certificate_at_once(company):
    store = Store(company.url, client=Client(retries=0))
    for read in (lambda: store.bucket.get_ranges("data", [(0, 9)]), lambda: store.bucket.get_part("data", 0, 9)):
        with pytest.raises(TrustError, match="its certificate is not trusted"):
            read()


def test_ranges_come_straight_from_who_is_trusted_and_from_nobody_else(company, monkeypatch):
    address, views = address_of(f"{company.url}/data"), [memoryview(bytearray(len(DATA) // 2)) for _ in range(2)]
    with pytest.raises(LeftError, match="CERTIFICATE_VERIFY_FAILED"):
        Lines().fill(address, [Scatter(0, views)], Client(), "data")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(company.folder / "ca.pem"))
    lines = Lines()
    for _ in range(2):
        lines.fill(address, [Scatter(0, views)], Client(), "data")
        assert b"".join(views) == DATA
    assert len(company.shaken) == 2, "the second one goes over the connection of the first"


def test_no_other_scene_stands_in_where_a_certificate_is_not_trusted(company, tmp_path, world: World, capsys):
    afar = world.from_afar(tmp_path / "afar")
    text = afar.catalog.read_text()
    best = next(i["id"] for i in afar.items if "20210716" in i["id"])
    for scene in afar.items:
        if scene["id"] == best:
            for asset in scene["assets"].values():
                text = text.replace(asset["href"], f"{company.url}/data")
    afar.catalog.write_text(text)
    flags = ["--dataset", str(afar.recipe), "--root", str(tmp_path), "--catalog", str(afar.catalog)]
    assert main.main(["build", *flags, "--scheduler", "none", "--season", "summer", "--limit", "2"]) == 1
    found = [o.sources["s2l2a"] for o in Ledger.replay(Store(tmp_path).child("tiny"), "europe", "summer").outcomes()]
    failed = [o for o in found if o.status is Status.FAILED]
    assert failed
    assert {o.code for o in failed} == {"untrusted"}
    assert all(not o.passed_over and "set REQUESTS_CA_BUNDLE" in str(o.cause) for o in failed)
    assert "failed untrusted:s2l2a" in capsys.readouterr().out
