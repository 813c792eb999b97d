"""The page on which a reader marks patches, on loopback, for as long as somebody marks.

It is blind: no answer holds what the dataset says of a patch, and patches come in an order that follows from seed and
reader, not from strata. Only who has the token may ask, which is part of the URL; requests that name another host, or that
a page of another origin makes, are refused. A mark is on disk before the next patch is shown.
"""

from __future__ import annotations

import contextlib
import http.server
import importlib.resources
import json
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import jinja2
import msgspec

from curation.errors import ConfigError, CurationError
from curation.errors.printable import printable
from curation.worth.audit.drawn import PRESENT, QUESTIONS, AuditDraw, DrawnPatch, permanent
from curation.worth.audit.marks import MarkFile, mark
from curation.worth.audit.pictures import Pictures

HOST = "127.0.0.1"
MOST_BYTES = 1 << 14
"""Of what a page may send."""
MOST_CLASSES = 32
"""A key each: what the page has keys for."""


class Said(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a page sends of a patch."""

    number: int
    labels: tuple[str, ...]
    sure: bool


class RefusedError(Exception):
    """A request that is answered with a status and a line."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


class Marking:
    """What a reader has marked and what comes next; for any number of threads.

    Raises:
        ConfigError: there are more classes than keys.
    """

    def __init__(self, draw: AuditDraw, marks: MarkFile, pictures: Pictures, reader: str) -> None:
        if len(draw.legend) > MOST_CLASSES:
            raise ConfigError(f"{len(draw.legend)} classes: expected at most {MOST_CLASSES}, a key each")
        self.draw, self.reader_name = draw, reader
        self.ended = threading.Event()
        self._marks, self._pictures, self._lock = marks, pictures, threading.Lock()
        self.order: Sequence[DrawnPatch] = sorted(draw.patches, key=lambda p: permanent(draw.seed, reader, p.name))
        """In which patches are shown."""

    @property
    def done(self) -> int:
        """Patches of the draw that are marked."""
        return len(self._marks.marks)

    def state(self, number: int | None = None) -> dict[str, Any]:
        """What the page is told: of a patch by its number, or of the first that is not marked."""
        left = (n for n, p in enumerate(self.order) if p.name not in self._marks.marks)
        shown = next(left, None) if number is None else number
        out: dict[str, Any] = {
            "question": QUESTIONS[self.draw.question],
            "several": self.draw.question == PRESENT,
            "classes": self.draw.legend,
            "reader": self.reader_name,
            "synthetic": self._pictures.synthetic,
            "done": self.done,
            "of": len(self.order),
            "number": shown,
            "next": next(left, None),
            "mark": None,
        }
        if shown is None:
            return out
        patch = self.order[shown]
        before = self._marks.marks.get(patch.name)
        return out | {
            "patch": patch.name,
            "lon": patch.lon,
            "lat": patch.lat,
            "pictures": self._pictures.composites,
            "mark": None if before is None else {"labels": before.labels, "sure": before.sure},
        }

    def before(self, number: int | None) -> dict[str, Any]:
        """The patch before one; the last where there is none."""
        return self.state(max(0, (len(self.order) if number is None else self._checked(number)) - 1))

    def take(self, said: Said) -> dict[str, Any]:
        """Keeps a mark, and gives what comes next."""
        patch = self.order[self._checked(said.number)]
        classes = tuple(name for name in self.draw.legend if name in said.labels)
        if len(classes) != len(said.labels) or (self.draw.question != PRESENT and len(classes) != said.sure):
            raise RefusedError(
                HTTPStatus.BAD_REQUEST, "expected classes of the sample, each once; of most questions one"
            )
        if classes and not said.sure:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "expected no classes of what cannot be told")
        with self._lock:
            self._marks.add(mark(patch.name, classes, sure=said.sure))
        return self.state()

    def picture(self, number: int, composite: str) -> bytes:
        """A PNG of a patch."""
        if composite not in self._pictures.composites:
            raise RefusedError(HTTPStatus.NOT_FOUND, "no such picture")
        found = self._pictures.png(self.order[self._checked(number)], composite)
        if found is None:
            raise RefusedError(HTTPStatus.NOT_FOUND, "the patch has no such image")
        return found

    def _checked(self, number: int) -> int:
        if not 0 <= number < len(self.order):
            raise RefusedError(HTTPStatus.NOT_FOUND, "no such patch")
        return number


@contextlib.contextmanager
def served(marking: Marking, port: int = 0) -> Iterator[str]:
    """The URL of the page, which holds its token, for as long as the context lasts.

    Args:
        marking: what is marked.
        port: 0 takes a free one.

    Raises:
        ConfigError: the port cannot be had.
    """
    token = secrets.token_urlsafe(24)
    handler = type("Handler", (_Handler,), {"marking": marking, "token": token})
    try:
        server = http.server.ThreadingHTTPServer((HOST, port), handler)
    except (OSError, OverflowError) as err:
        raise ConfigError(f"--port {port}: {err}: say another, or 0 for a free one") from err
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_port}/{token}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    marking: ClassVar[Marking]
    token: ClassVar[str]
    protocol_version = "HTTP/1.1"
    timeout = 30
    """Seconds that a connection may say nothing."""

    def do_GET(self) -> None:
        """Answers with the page, what comes next, or a picture."""
        self._answer(self._got)

    def do_POST(self) -> None:
        """Takes a mark, or ends."""
        self._answer(self._posted)

    def log_message(self, *_: object) -> None:
        """Nothing: what is asked for holds the token."""

    def _answer(self, how: Callable[[str], None]) -> None:
        with contextlib.suppress(ConnectionError):  # whoever asked has gone
            self._tried(how)

    def _tried(self, how: Callable[[str], None]) -> None:
        try:
            how(self._asked())
        except RefusedError as err:
            self._send(str(err).encode(), "text/plain; charset=utf-8", err.status)
        except CurationError as err:
            self._send(printable(err).encode(), "text/plain; charset=utf-8", HTTPStatus.INTERNAL_SERVER_ERROR)

    def _asked(self) -> str:
        """What is asked for, below the token.

        Raises:
            RefusedError: of another host, another origin, or without the token.
        """
        own = f"{HOST}:{self.server.server_port}"  # type: ignore[attr-defined]  # an HTTPServer
        if self.headers.get("Host") != own:  # else a name of somebody's could be made to lead here
            raise RefusedError(HTTPStatus.FORBIDDEN, "another host")
        if self.headers.get("Origin", f"http://{own}") != f"http://{own}":
            raise RefusedError(HTTPStatus.FORBIDDEN, "another origin")
        if self.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            raise RefusedError(HTTPStatus.FORBIDDEN, "another site")
        token, _, rest = self.path.removeprefix("/").partition("/")
        if not secrets.compare_digest(token.encode(), self.token.encode()):
            raise RefusedError(HTTPStatus.NOT_FOUND, "no such page")
        return rest

    def _got(self, asked: str) -> None:
        its = urlsplit(asked)
        match its.path.split("/"):
            case [""]:
                self._page()
            case ["state"]:
                before = parse_qs(its.query, keep_blank_values=True).get("before")
                state = self.marking.state() if before is None else self.marking.before(_number(before[0] or None))
                self._json(state)
            case ["picture", number, composite]:
                self._send(self.marking.picture(_number(number) or 0, composite), "image/png")
            case _:
                raise RefusedError(HTTPStatus.NOT_FOUND, "no such page")

    def _posted(self, asked: str) -> None:
        data = self._body()
        if asked == "mark":
            try:
                said = msgspec.json.decode(data, type=Said)
            except msgspec.DecodeError as err:
                raise RefusedError(HTTPStatus.BAD_REQUEST, "expected number, labels and sure") from err
            self._json(self.marking.take(said))
        elif asked == "end":
            self._json({})
            self.marking.ended.set()
        else:
            raise RefusedError(HTTPStatus.NOT_FOUND, "no such page")

    def _body(self) -> bytes:
        length, kind = self.headers.get("Content-Length", ""), self.headers.get("Content-Type", "")
        if not (length.isascii() and length.isdigit() and int(length) <= MOST_BYTES):
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"expected up to {MOST_BYTES} bytes")
        if kind.partition(";")[0] != "application/json":  # what forms of other pages cannot send
            raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "expected JSON")
        return self.rfile.read(int(length))

    def _page(self) -> None:
        nonce = secrets.token_urlsafe(16)
        text = importlib.resources.files(__package__).joinpath("page.html.j2").read_text(encoding="utf-8")
        policy = f"default-src 'none'; img-src 'self' data:; connect-src 'self'; style-src 'nonce-{nonce}'; "
        policy += f"script-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        self._send(
            jinja2.Template(text, autoescape=True).render(nonce=nonce).encode(),
            "text/html; charset=utf-8",
            policy=policy,
        )

    def _json(self, value: object) -> None:
        self._send(json.dumps(value).encode(), "application/json")

    def _send(
        self, data: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK, policy: str = "default-src 'none'"
    ) -> None:
        self.send_response(status)
        headers = {"Content-Type": kind, "Content-Length": str(len(data)), "Content-Security-Policy": policy}
        headers |= {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"}
        if status != HTTPStatus.OK:
            headers["Connection"] = "close"  # what was sent along may be unread
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


def _number(text: str | None) -> int | None:
    """A number of what is asked for; None of nothing."""
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise RefusedError(HTTPStatus.NOT_FOUND, "no such patch")
    return int(text)
