"""The page is blind, goes on where it stopped, and answers nobody but who has its URL on this machine."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from curation.errors import ConfigError
from curation.pack.export.of_shards import index_of
from curation.worth.audit import drawn, marks, serving
from curation.worth.audit.drawn import AuditDraw, DrawWish
from curation.worth.audit.marks import MarkFile
from curation.worth.audit.pictures import Pictures
from curation.worth.audit.serving import Marking
from tests import world as tiny
from tests.run import Curate


class Page:
    """A page that is served, asked as a browser asks it."""

    def __init__(self, url: str, marking: Marking) -> None:
        its = urlsplit(url)
        self.host, self.port, self.path, self.marking = its.hostname, its.port, its.path, marking

    def ask(
        self, path: str, body: Any = None, *, token: str | None = None, method: str | None = None, **headers: str
    ) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers of an answer."""
        headers = {n.replace("_", "-"): v for n, v in headers.items()}
        if body is not None:
            headers = {"Content-Type": "application/json"} | headers
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
        with contextlib.closing(http.client.HTTPConnection(self.host, self.port, timeout=20)) as client:
            where = self.path if token is None else f"/{token}/"
            client.request(method or ("GET" if body is None else "POST"), where + path, body, headers)
            answer = client.getresponse()
            return answer.status, answer.read(), dict(answer.getheaders())

    def state(self, path: str = "state", body: Any = None) -> dict[str, Any]:
        status, data, _ = self.ask(path, body)
        assert status == 200, data
        found: dict[str, Any] = json.loads(data)
        return found

    def mark(self, number: int, *classes: str, sure: bool = True) -> dict[str, Any]:
        return self.state("mark", {"number": number, "labels": classes, "sure": sure})


@contextlib.contextmanager
def serving_to(built: Curate, folder: Path, reader: str = "ann", **how: Any) -> Iterator[Page]:
    shards, index = built.store.child("shards"), index_of(built.store)
    draw = drawn.drawn(shards, index, DrawWish(6, **how))
    with MarkFile(folder, reader, draw) as file:
        marking = Marking(draw, file, Pictures(shards, index), reader)
        with serving.served(marking) as url:
            yield Page(url, marking)


@pytest.fixture
def page(built: Curate, tmp_path: Path) -> Iterator[Page]:
    with serving_to(built, tmp_path) as its:
        yield its


def test_a_reader_marks_one_after_the_other_and_goes_on_where_they_stopped(built: Curate, tmp_path: Path):
    with serving_to(built, tmp_path) as page:
        state = page.state()
        assert (state["number"], state["done"], state["of"], state["next"]) == (0, 0, 6, 1)
        assert page.mark(0, "trees")["number"] == 1
        assert page.mark(1, sure=False)["number"] == 2
    with serving_to(built, tmp_path) as page:
        state = page.state()
        assert (state["number"], state["done"]) == (2, 2)
        for number in range(2, 6):
            state = page.mark(number, "crops")
        assert (state["number"], state["done"]) == (None, 6)
        draw = page.marking.draw
    found = marks.read(marks.file_of(tmp_path, "ann"), draw)
    assert [found[p.name].labels for p in page.marking.order] == [("trees",), (), *[("crops",)] * 4]
    assert [m.sure for m in found.values()].count(False) == 1


def test_a_reader_of_what_nobody_observed_is_told(built: Curate, page: Page):
    assert page.state()["synthetic"] == ""
    index = index_of(built.store)
    index.counts["catalogs"] |= {"s2l2a": "embedded"}
    assert Pictures(built.store.child("shards"), index).synthetic.startswith("Synthetic: pixels of s2l2a were made")


def test_a_reader_goes_back_and_corrects(page: Page):
    page.mark(0, "trees")
    before = page.state("state?before=1")
    assert (before["number"], before["mark"]) == (0, {"labels": ["trees"], "sure": True})
    assert page.mark(0, "water")["number"] == 1
    assert page.state("state?before=1")["mark"]["labels"] == ["water"]
    assert page.state("state?before=")["number"] == 5
    assert page.state()["done"] == 1


def test_no_answer_before_a_mark_holds_what_is_stored(page: Page):
    draw, stored = page.marking.draw, {"stored", "stratum", "fractions", "labels"}
    texts = [page.ask(p)[1].decode() for p in ("", "state", "state?before=3")]
    assert not [word for text in texts for word in stored if f'"{word}"' in text]
    said = page.state()
    assert set(said["classes"]) == set(draw.legend)  # all of them, whichever the patch has
    without = {k: v for k, v in said.items() if k != "classes"}
    assert not [name for name in draw.legend if f'"{name}"' in json.dumps(without)]


def test_patches_come_in_an_order_that_tells_nothing_and_is_the_reader_s_own(built: Curate, tmp_path: Path):
    with serving_to(built, tmp_path) as page, serving_to(built, tmp_path, "ben") as other:
        ann, ben = ([p.name for p in its.marking.order] for its in (page, other))
        assert sorted(ann) == sorted(ben) == sorted(p.name for p in page.marking.draw.patches)
        assert ann != ben
        assert [page.state()["patch"], other.state()["patch"]] == [ann[0], ben[0]]


def test_pictures_are_the_patch_s_own_pixels(page: Page, built: Curate):
    patch = page.marking.order[0]
    status, data, _ = page.ask("picture/0/true-colour")
    assert status == 200
    picture = np.asarray(Image.open(io.BytesIO(data)))
    assert picture.shape == (48, 48, 3)
    row, col = next((r, c) for r in range(5) for c in range(5) if tiny.name(r, c) == patch.key)
    red = tiny.crop(tiny.dn("B04", 10), 10, row, col).astype(float)
    inside = (picture[..., 0] > 1) & (picture[..., 0] < 255)
    assert np.corrcoef(picture[..., 0][inside], red[inside])[0, 1] > 0.999
    assert page.ask("picture/0/radar")[0] == 200
    assert page.ask("picture/0/infrared")[0] == page.ask("picture/6/radar")[0] == 404


@pytest.mark.parametrize(
    "said",
    [
        {"number": 0, "labels": ["tundra"], "sure": True},
        {"number": 0, "labels": ["trees", "crops"], "sure": True},
        {"number": 0, "labels": ["trees", "trees"], "sure": True},
        {"number": 0, "labels": [], "sure": True},
        {"number": 0, "labels": ["trees"], "sure": False},
        {"number": 6, "labels": ["trees"], "sure": True},
        {"number": -1, "labels": ["trees"], "sure": True},
        {"number": 0, "labels": ["trees"], "sure": True, "more": 1},
        b"{",
        b"[" * 5000,
    ],
)
def test_what_is_no_mark_is_not_written(page: Page, tmp_path: Path, said: Any):
    assert page.ask("mark", said)[0] in (400, 404)
    assert marks.file_of(tmp_path, "ann").read_bytes() == b""


def test_of_several_classes_any_number_is_a_mark(built: Curate, tmp_path: Path):
    with serving_to(built, tmp_path, question="present") as page:
        page.mark(0, "crops", "trees")
        page.mark(1)
    lines = [json.loads(line) for line in marks.file_of(tmp_path, "ann").read_bytes().splitlines()]
    assert [(its["labels"], its["sure"]) for its in lines] == [(["trees", "crops"], True), ([], True)]


GOOD = {"number": 0, "labels": ["trees"], "sure": True}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),  # a name that somebody made lead here
        ({"Host": "localhost"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Content_Type": "text/plain"}, 415),  # what a form of any page can send
        ({"Content_Length": str(1 << 20)}, 413),
    ],
)
def test_another_page_s_requests_are_refused(page: Page, tmp_path: Path, headers: dict[str, str], status: int):
    assert page.ask("mark", GOOD, **headers)[0] == status
    assert marks.file_of(tmp_path, "ann").read_bytes() == b""
    assert page.ask("mark", GOOD, Origin=f"http://127.0.0.1:{page.port}", Sec_Fetch_Site="same-origin")[0] == 200


@pytest.mark.parametrize("token", ["", "x", "..", "%2e%2e/%2e%2e/etc"])
def test_without_the_token_there_is_nothing(page: Page, token: str):
    for path in ("", "state", "picture/0/radar"):
        status, data, _ = page.ask(path, token=token)
        assert (status, data) == (404, b"no such page")
    assert page.ask("mark", GOOD, token=token)[0] == 404
    assert not page.marking.ended.is_set()


@pytest.mark.parametrize(
    "path",
    [
        "../../etc/passwd",
        "picture/0/../../../draw.json",
        "picture/../draw.json",
        "picture/0/..%2fradar",
        "picture/1e9/radar",
        "picture//radar",
        "draw.json",
        "marks-ann.jsonl",
        "page.html",
        "state/",
        "state?before=-1",
        "state?before=x",
    ],
)
def test_no_path_leads_to_a_file(page: Page, path: str):
    status, data, _ = page.ask(path)
    assert status == 404
    assert data in (b"no such page", b"no such patch", b"no such picture")


def test_the_page_listens_on_loopback_and_says_what_may_run_on_it(page: Page):
    assert page.host == "127.0.0.1"
    status, data, headers = page.ask("")
    assert status == 200
    policy, nonce = headers["Content-Security-Policy"], data.split(b'nonce="')[1].split(b'"')[0].decode()
    assert "default-src 'none'" in policy
    assert f"script-src 'nonce-{nonce}'" in policy
    assert nonce.encode() not in page.ask("")[1]
    assert b"http" not in data  # it asks for nothing from elsewhere
    for path in ("", "state", "picture/0/radar", "picture/9/radar"):
        headers = page.ask(path)[2]
        assert headers["Cache-Control"] == "no-store"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"])
def test_other_methods_are_not_known(page: Page, method: str):
    assert page.ask("state", method=method)[0] == 501


def test_it_ends_when_the_reader_says_so(page: Page):
    assert page.ask("end", {}, Origin="http://evil.example")[0] == 403
    assert not page.marking.ended.is_set()
    assert page.state("end", {}) == {}
    assert page.marking.ended.wait(60)


def test_a_port_that_is_taken_is_told(built: Curate, page: Page):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"--port {port}"), serving.served(page.marking, port):
            raise AssertionError
    with pytest.raises(ConfigError, match="--port 70000"), serving.served(page.marking, 70_000):
        raise AssertionError


def test_more_classes_than_keys_are_refused(page: Page, tmp_path: Path):
    its: AuditDraw = page.marking.draw
    many = drawn.msgspec.structs.replace(its, legend=tuple(f"c{n}" for n in range(33)))
    with MarkFile(tmp_path, "ben", its) as file, pytest.raises(ConfigError, match="33 classes: expected at most 32"):
        Marking(many, file, page.marking._pictures, "ben")


def test_what_has_no_bands_to_look_at_is_told(built: Curate):
    shards, index = built.store.child("shards"), index_of(built.store)
    blind = drawn.msgspec.structs.replace(index, arrays={"dem_30m": index.arrays["dem_30m"]})
    with pytest.raises(ConfigError, match="there is nothing to see"):
        Pictures(shards, blind)
    with pytest.raises(ConfigError, match="no source of"):
        Pictures(shards, blind, ("true-colour",))
