"""An archive of scenes behind loopback, whose every answer may be spoilt."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from urllib.parse import parse_qs, urlsplit

from tests.loopback import Request


class Archive:
    """Files, found by their path or their name alone, and what is to go wrong with the answers.

    A fault is an HTTP status (`503`), `stall`, `reset`, `whole` (200 with all bytes instead of a range), `truncate` (the
    connection ends in the middle), `short` (consistent, and fewer bytes than asked for), `expired` (the token that was
    issued last is valid no more), or a name in `spoilt` (other bytes).
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = dict(files)
        self.spoilt: dict[str, dict[str, bytes]] = {}
        """Fault → path or name → what the file holds then."""
        self.faults: list[str] = []
        """One per request, in order; none left: all is well."""
        self.always = ""
        self.meant: Callable[[str, int], bool] = lambda path, first: True
        """Whether the faults are for a request, by its path and first byte."""
        self.hits = 0
        """Requests that met a fault."""
        self.pause = "0"
        """Retry-After of an answer that is a status."""
        self.delay_s = 0.0
        self.under_way = self.most = 0
        """Requests at a time, and the most that were."""
        self.version = ""
        """ETag of every file."""
        self.token = ""
        """What a request has to be signed with: `?sig=…`. Anything will do where empty."""
        self.requests: list[tuple[str, str]] = []
        self.closing = threading.Event()
        self.lock = threading.Lock()

    def answer(self, request: Request) -> None:
        with self.lock:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        try:
            time.sleep(self.delay_s)
            with self.lock:  # before the last byte leaves, after which the client may ask again
                self.under_way -= 1
            self._answered(request)
        except ConnectionError:
            pass

    def heal(self) -> None:
        """Takes all faults away."""
        self.faults, self.always, self.meant = [], "", lambda path, first: True

    def _fault(self, path: str, first: int) -> str:
        with self.lock:
            if not self.meant(path, first):
                return ""
            fault = self.faults.pop(0) if self.faults else self.always
            self.hits += bool(fault)
            if fault == "expired":
                self.token += "X"
            return fault

    def _bytes(self, path: str, fault: str) -> bytes | None:
        spoilt, name = self.spoilt.get(fault, {}), path.rpartition("/")[2]
        return next((files[key] for files in (spoilt, self.files) for key in (path, name) if key in files), None)

    def _answered(self, request: Request) -> None:
        parts = urlsplit(request.path)
        path, wanted = parts.path.lstrip("/"), request.headers.get("Range")
        start, _, stop = (wanted or "bytes=0-").removeprefix("bytes=").partition("-")
        first = int(start)
        with self.lock:
            self.requests.append((request.command, request.path))
        fault = self._fault(path, first)
        if fault == "stall":
            self.closing.wait(20)
            request.close_connection = True
            return
        if fault == "reset":
            request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            request.close_connection = True
            request.connection.close()
            return
        if fault.isdigit():
            request.send(int(fault), b"no", Retry_After=self.pause)
            return
        if self.token and parse_qs(parts.query).get("sig") != [self.token]:
            request.send(403, b"no")
            return
        data = self._bytes(path, fault)
        if data is None:
            request.send(404)
            return
        headers = {"Accept_Ranges": "bytes", "Last_Modified": "Mon, 01 Jan 2024 00:00:00 GMT"} if self.version else {}
        if self.version:
            headers["ETag"] = self.version
        if fault == "whole":
            request.send(200, data, **headers)
            return
        if request.headers.get("If-Match", self.version) != self.version:
            request.send(412)
            return
        if first >= len(data):
            request.send(416, Content_Range=f"bytes */{len(data)}")
            return
        last = min(int(stop or len(data) - 1), len(data) - 1)
        if fault == "short":
            last = first + (last - first) // 2
        part = data[first : last + 1]
        if wanted:
            headers["Content_Range"] = f"bytes {first}-{last}/{len(data)}"
        request.start(206 if wanted else 200, len(part), **headers)
        if request.command == "HEAD":
            return
        if fault == "truncate":
            request.wfile.write(part[: len(part) // 2])
            request.close_connection = True
            return
        request.wfile.write(part)
