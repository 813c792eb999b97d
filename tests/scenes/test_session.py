"""How a catalog is reached: with what lets one in, and told at once where nobody is there."""

from __future__ import annotations

import base64
import socket
import time

import pytest
import requests
from urllib3 import Retry

from curation.cli import main
from curation.errors import ConfigError
from curation.recipe.catalogs import resolve
from curation.scenes import session
from curation.scenes.saved import opened
from tests.loopback import Request, serving
from tests.scenes.catalog import Served, item
from tests.world import World

GIVEN = {"Authorization": "Basic " + base64.b64encode(b"me:pass word").decode()}


def test_what_lets_one_in_is_sent_to_the_catalogs_own_origin_and_to_no_other(tmp_path):
    asked: dict[str, list[tuple[str, str | None]]] = {"own": [], "other": []}

    def noted(who: str, body: bytes, **headers: str):
        def answer(request: Request) -> None:
            asked[who].append((request.path, request.headers["Authorization"]))
            request.send(302 if headers and request.path.startswith("/moved") else 200, body, **headers)

        return answer

    with serving(noted("other", b"{}")) as other, serving(noted("own", b"{}", Location=f"{other}/there")) as own:
        catalog = resolve(f"{own.replace('//', '//me:pass%20word@')}/?token=T&limit=9")
        asks = session.session_for(catalog, Retry(0))
        asks.trust_env = False
        for url in (f"{own}/a?limit=1", f"{own}/moved", f"{other}/b"):
            asks.get(url)
    assert asked["own"] == [
        ("/a?limit=1&token=T", GIVEN["Authorization"]),
        ("/moved?token=T&limit=9", GIVEN["Authorization"]),
    ]
    assert asked["other"] == [("/there", None), ("/b", None)]


@pytest.mark.parametrize("whose", ["machine 127.0.0.1", "default"])
def test_what_a_netrc_file_has_is_sent_to_nobody(tmp_path, monkeypatch, whose):
    (tmp_path / "netrc").write_text(f"{whose} login me password S3CRET\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert requests.utils.get_netrc_auth("http://127.0.0.1") == ("me", "S3CRET")
    asked: list[tuple[str, str | None]] = []

    def answer(request: Request) -> None:
        asked.append((request.path, request.headers["Authorization"]))
        moved = {"Location": there + "/there"} if request.path == "/moved" else {}
        request.send(302 if moved else 200, b"{}", **moved)

    token = {"Authorization": "Bearer TOKEN"}
    with serving(answer) as there, serving(answer) as url:
        for catalog in (url, url.replace("//", "//me:pass%20word@")):
            asks = session.session_for(resolve(catalog), Retry(0))
            asks.get(f"{url}/moved")
        session.ExplicitSession(Retry(0)).get(f"{url}/moved", headers=token)
    assert [path for path, _ in asked] == ["/moved", "/there"] * 3
    assert [its for _, its in asked] == [None, None, GIVEN["Authorization"], None, token["Authorization"], None]


def test_a_catalog_that_wants_them_is_searched_with_them():
    served = Served([item("s00")])

    def answer(request: Request) -> None:
        is_let_in = request.headers["Authorization"] == GIVEN["Authorization"] and "token=T" in request.path
        served.answer(request) if is_let_in else request.send(401, b"no")

    with serving(answer) as url:
        given = f"{url.replace('//', '//me:pass%20word@')}/?token=T"
        assert opened(resolve(given)).collections() == {"sentinel-2-l2a"}
        with pytest.raises(ConfigError, match="does not answer as a STAC API"):
            opened(resolve(url))


def test_what_is_tried_is_said_before_it_is_tried(caplog, monkeypatch):
    caplog.set_level("INFO")
    said: list[str] = []
    monkeypatch.setattr(session, "_within", lambda *a: said.extend(r.getMessage() for r in caplog.records))
    with serving(Served([item("s00")]).answer) as url:
        opened(resolve(f"{url}/?token=T"))
        assert said == [f"catalog {url}: asking {url}"]


NOBODY = {
    "refused": (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
    "no such host": (socket.gaierror(-2, "Name or service not known"), "no host stac.example is known"),
    "no resolver": (socket.gaierror(-3, "Temporary failure in name resolution"), "no host stac.example is known"),
    "no way": (OSError(101, "Network is unreachable"), "Network is unreachable"),
    "silent": (None, "stac.example did not answer within 0.1 s"),
}


@pytest.mark.parametrize("why", NOBODY)
@pytest.mark.parametrize("flags", [[], ["--dry-run"]])
def test_where_nobody_is_there_a_build_ends_within_seconds_with_one_line(
    world: World, tmp_path, monkeypatch, capsys, why, flags
):
    error, told = NOBODY[why]

    def connect(address: object, seconds: float) -> None:
        if error is None:
            time.sleep(1)
            return
        raise error

    monkeypatch.setattr(session.socket, "create_connection", connect)
    monkeypatch.setattr(session, "REACH_S", 0.1)
    monkeypatch.setenv("no_proxy", "*")
    began = time.monotonic()
    where = [
        "--dataset",
        str(world.recipe),
        "--root",
        str(tmp_path),
        "--catalog",
        "https://me:S3CRET@stac.example/?S3CRET",
    ]
    assert main.main(["build", *where, "--scheduler", "none", *flags]) == 2
    assert time.monotonic() - began < 30
    lines = capsys.readouterr().err.splitlines()
    assert "places.csv: 25 rows" in lines[0]
    assert "catalog https://stac.example: asking https://stac.example" in lines[1]
    assert lines[2].startswith("curate: catalog https://stac.example: does not answer as a STAC API (")
    assert told in lines[2]
    assert lines[2].endswith("; check the address and the network")
    assert not any(word in "".join(lines) for word in ("S3CRET", "urllib3", "Max retries", "HTTPConnectionPool"))
    assert len(lines) == 3


def test_a_proxy_that_is_not_there_is_named_without_its_password(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("http_proxy", f"http://me:S3CRET@127.0.0.1:{port}")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(ConfigError, match=rf"through the proxy http://127\.0\.0\.1:{port}: .*refused") as caught:
        opened(resolve("http://stac.example"))
    assert "S3CRET" not in str(caught.value)


@pytest.mark.parametrize("verb", ["build", "pack", "verify", "report"])
@pytest.mark.parametrize("host", ["127.0.0.1:9", "nobody.invalid"])
def test_a_root_that_nobody_answers_for_is_one_line_within_seconds(world: World, capsys, verb, host):
    began = time.monotonic()
    root = f"http://me:S3CRET@{host}/datasets?S3CRET"
    assert main.main([verb, "--dataset", str(world.recipe), "--root", root]) == 2
    assert time.monotonic() - began < 60
    lines = capsys.readouterr().err.splitlines()
    assert f"http://{host}/datasets/tiny: asking it" in lines[0]
    assert lines[1].startswith(f"curate: --root http://{host}/datasets: cannot be reached: ")
    assert "S3CRET" not in "".join(lines)
    assert len(lines) == 2
