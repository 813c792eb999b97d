"""A service of tokens on loopback, and blobs for which they are."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from planetary_computer import sas
from planetary_computer.settings import Settings

from tests.loopback import Request, serving


class Tokens:
    """Hands out tokens of shared access signatures, each another, as the Planetary Computer does; or is at fault."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.url = ""
        self.faults: list[str] = []
        """One per request, in order; none left: `always`."""
        self.always = ""
        self.pause = "0"
        self.term_s = 3600.0
        self.asked: list[str] = []
        """Paths, in order."""
        self.keys: list[str | None] = []
        """Subscription keys that came with the requests."""
        self.under_way = self.most = 0
        """Requests at a time, and the most that were."""
        self.closing = threading.Event()
        self._lock = threading.Lock()

    def blobs_of(self, url: str, account: str = "account1", box: str = "box") -> str:
        """Where blobs are that this server has: requests for other hosts than this machine go to it, as to a proxy."""
        self._monkeypatch.setenv("http_proxy", url)
        self._monkeypatch.setenv("no_proxy", "127.0.0.1")
        return f"http://{account}.blob.core.windows.net/{box}"

    def answer(self, request: Request) -> None:
        """Answers one request."""
        with self._lock:
            self.asked.append(request.path)
            self.keys.append(request.headers.get("Ocp-Apim-Subscription-Key"))
            fault = self.faults.pop(0) if self.faults else self.always
            number = len(self.asked)
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        try:
            self._answer(request, fault, number)
        finally:
            with self._lock:
                self.under_way -= 1

    def _answer(self, request: Request, fault: str, number: int) -> None:
        expiry = (datetime.now(UTC) + timedelta(seconds=self.term_s)).isoformat()
        body = json.dumps({"token": f"sv=1&sig=SECRET{number}", "msft:expiry": expiry}).encode()
        if fault == "stall":
            self.closing.wait(20)
            request.close_connection = True
        elif fault == "drip":
            request.start(200, len(body))
            for at in range(len(body)):
                request.wfile.write(body[at : at + 1])
                if self.closing.wait(0.1):
                    break
        elif fault == "other":  # another version of the service: a token is in it
            request.send(200, json.dumps({"sas": f"SECRET{number}", "token": f"SECRET{number}"}).encode())
        elif fault == "page":
            request.send(200, b"<html>SECRET</html>")
        elif fault:
            request.send(int(fault), b"no", Retry_After=self.pause)
        else:
            request.send(200, body)


@pytest.fixture
def tokens(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tokens]:
    """The service that signs what is read with `planetary-computer`, until the test ends."""
    made = Tokens(monkeypatch)
    sas.TOKEN_CACHE.clear()
    with serving(made.answer) as url:
        made.url = f"{url}/api/sas/v1/token"
        monkeypatch.setattr(Settings.get(), "sas_url", made.url)
        yield made
        made.closing.set()
    sas.TOKEN_CACHE.clear()
