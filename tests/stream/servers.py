"""A range server over http that misbehaves when it is told to, and an S3 server: each a process of its own.

Of their own, so that tests may fork. What the range server is to do wrong stands in a file that each request consults:

    {"fault": "503", "times": 1, "match": ".tar", "every": false, "delay_s": 0}

The first `times` requests whose path contains `match` get the fault (with `every`, so many of each path).
"""

from __future__ import annotations

import collections
import contextlib
import http.server
import json
import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests.processes import started

FAULTS = ("503", "429", "reset", "cut", "short", "stall", "stall-body", "wrong", "whole")
"""Server error, rate limit with Retry-After, connection reset before and in the middle of the body, an answer that is
consistent but too short, silence before the answer, silence within it, other bytes, all bytes in place of a range."""


class Faulty:
    """The range server's address, log, and switch."""

    def __init__(self, url: str, control: Path, log: Path) -> None:
        self.url = url
        self._control = control
        self._log = log

    def break_(self, fault: str, *, times: int = 1, match: str = ".tar", every: bool = False) -> None:
        """From now on, `times` requests (with `every`: of each path) get the fault. Clears the log."""
        self._log.write_text("")
        temp = self._control.with_suffix(".new")
        temp.write_text(
            json.dumps({"fault": fault, "times": times, "match": match, "every": every, "id": os.urandom(8).hex()})
        )
        temp.replace(self._control)

    def requests(self) -> list[tuple[str, str, str | None, str | None]]:
        """(method, path, range, fault) of each request since `break_`."""
        return [tuple(json.loads(line)) for line in self._log.read_text().splitlines()]

    def faults(self) -> int:
        """How many requests got the fault."""
        return sum(1 for r in self.requests() if r[3])


@contextlib.contextmanager
def faulty(root: Path, folder: Path) -> Iterator[Faulty]:
    """Serves `root`, with its log and switch in `folder`."""
    control, log = folder / "control.json", folder / "requests.jsonl"
    control.write_text("{}")
    log.write_text("")
    command = [sys.executable, "-m", "tests.stream.servers", str(root), str(control), str(log)]
    with started(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout is not None
        yield Faulty(f"http://127.0.0.1:{int(process.stdout.readline())}", control, log)


_MOTO = """
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
print(server.server_port, flush=True)
server.serve_forever()
"""
"""What moto's own command does, but that the system gives it a free port: one that is looked for beforehand may be another's
by the time that the server wants it."""


@contextlib.contextmanager
def moto() -> Iterator[str]:
    """Address of a moto server that speaks S3."""
    command = [sys.executable, "-W", "ignore", "-c", _MOTO]
    with started(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        if not said:
            raise RuntimeError(f"the moto server ended with {process.wait()} before it answered")
        yield f"http://127.0.0.1:{int(said)}"


def serve(root: str, control: str, log: str) -> None:
    """The range server itself: prints its port, and serves until it is ended."""
    lock, given = threading.Lock(), collections.Counter()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def fault(self) -> str | None:
            told = json.loads(Path(control).read_text())
            if self.command != "GET" or not told or told["match"] not in self.path:
                return None
            with lock:
                counted = (told["id"], self.path if told["every"] else "")
                given[counted] += 1
                return told["fault"] if given[counted] <= told["times"] else None

        def reply(self, *, with_body: bool) -> None:
            fault = self.fault()
            with lock, Path(log).open("a") as file:
                file.write(json.dumps([self.command, self.path, self.headers.get("Range"), fault]) + "\n")
            if fault in ("503", "429"):
                self.send_response(int(fault))
                self.send_header("Retry-After", "1")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if fault == "stall":
                time.sleep(20)
            path = Path(root, self.path.lstrip("/"))
            if fault == "reset":
                self.reset()
                return
            if not path.is_file():
                self.send_response(404)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            size = path.stat().st_size
            wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or "") if fault != "whole" else None
            start, stop = (int(wanted[1]), min(int(wanted[2]) + 1, size)) if wanted else (0, size)
            if wanted and start >= size:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{size}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if fault == "short":
                stop = start + (stop - start) // 2
            self.send_response(206 if wanted else 200)
            if wanted:
                self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
            self.send_header("Content-Length", str(stop - start))
            self.send_header("Last-Modified", self.date_time_string(path.stat().st_mtime))
            self.end_headers()
            if not with_body:
                return
            half = start + (stop - start) // 2
            with path.open("rb") as file:
                if fault == "wrong":
                    file.seek(start)
                    self.wfile.write(bytes(b ^ 0xFF for b in file.read(stop - start)))
                    return
                self.wfile.flush()
                first = half if fault in ("cut", "stall-body") else stop
                sent = start
                while sent < first:
                    sent += os.sendfile(self.connection.fileno(), file.fileno(), sent, first - sent)
            if fault == "cut":
                self.reset()
            elif fault == "stall-body":
                time.sleep(20)
                self.reset()

        def reset(self) -> None:
            """Closes the connection so that the other side sees a reset."""
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            os.close(self.connection.detach())

        def finish(self) -> None:
            with contextlib.suppress(OSError, ValueError):
                super().finish()

        def do_GET(self) -> None:
            with contextlib.suppress(ConnectionError):  # who gave up waiting
                self.reply(with_body=True)

        def do_HEAD(self) -> None:
            self.reply(with_body=False)

        def log_message(self, *_: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

        def shutdown_request(self, request: socket.socket) -> None:
            with contextlib.suppress(OSError):
                super().shutdown_request(request)

        def handle_error(self, *_: object) -> None:
            pass  # a connection that was reset on purpose

    server = Server(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    serve(*sys.argv[1:])
