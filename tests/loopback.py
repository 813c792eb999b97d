"""A small HTTP server on loopback, each of whose answers a test decides."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Request(BaseHTTPRequestHandler):
    """One request under way."""

    protocol_version = "HTTP/1.1"
    server: Server

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length)
        self.server.answer(self)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _answer

    def send(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Answers at once with a whole body."""
        self.start(status, len(body), **headers)
        if self.command != "HEAD":
            self.wfile.write(body)

    def start(self, status: int, length: int, **headers: str) -> None:
        """Sends the head of an answer that promises `length` bytes."""
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        """Says nothing."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, answer: Callable[[Request], None]) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.answer = answer
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away in the middle of an answer are part of the tests."""


@contextlib.contextmanager
def serving(answer: Callable[[Request], None], secured: ssl.SSLContext | None = None) -> Iterator[str]:
    """The URL of a server that answers each request by `answer`, until the block ends; of https where it is secured."""
    with Server(answer) as server:
        if secured:
            server.socket = secured.wrap_socket(server.socket, server_side=True)
            server.url = server.url.replace("http://", "https://")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.url
        finally:
            server.shutdown()
            thread.join()
