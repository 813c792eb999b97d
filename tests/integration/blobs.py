"""An archive as the Planetary Computer has one: blobs that want a signature, a service of tokens, and bad moments.

Blobs are those of the embedded Earth. A signature is checked as Azure checks it (a service's shared access signature of a
container, version 2020-12-06 and later: Microsoft, "Create a service SAS"), and made by Azure's own client.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import json
import secrets
import threading
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import urllib3

from tests.loopback import Request

BLOBS = ".blob.core.windows.net"
PRIVATE = {
    "sentinel-2-l2a": ("sentinel2l2a01", "sentinel2-l2"),
    "sentinel-1-rtc": ("sentinel1euwestrtc", "sentinel1-grd-rtc"),
    "cop-dem-glo-30": ("elevationeuwest", "copernicus-dem"),
    "esa-worldcover": ("ai4edataeuwest", "esa-worldcover"),
}
"""Collection → account and container of its blobs, as the Planetary Computer has them."""
PUBLIC = ("curationtests", "public")
"""Of all other collections: anybody may read them."""
TERM_S = 5.0
TOKENS = "/api/sas/v1/token/"
FAULTS = {19: "429", 29: "503", 37: "403"}
"""Of requests for blobs, each so-manieth that was not refused before."""
TOKEN_FAULT = 7
"""Each so-manieth request for a token is one too many, but none so soon after another that was."""
APART_S = 5.0
"""A signature ends so soon that each try wants one: refused at any time, one range of hundreds is now and then in all of
its five tries."""


def href(collection: str, path: str) -> str:
    """Where a file of a collection is."""
    account, container = PRIVATE.get(collection, PUBLIC)
    return f"http://{account}{BLOBS}/{container}/{path}"


class SignedBlobs:
    """Answers for both; requests for hosts of Azure's come to it as to a proxy."""

    def __init__(self, earth: str, term_s: float = TERM_S) -> None:
        self.earth = earth
        """Where the files are: `http://host:port/archive`."""
        self.key = base64.b64encode(secrets.token_bytes(64)).decode()
        """Of the accounts."""
        self.mark = uuid.uuid4().hex
        """Stands in every token: where one has leaked, it is found by that."""
        self.term_s = term_s
        self.signatures: set[str] = set()
        """All that were given."""
        self.counts: Counter[str] = Counter()
        """Answers, by what they were."""
        self._refused: set[tuple[str, str]] = set()
        self._spared_until = 0.0
        self._lock = threading.Lock()
        self._pool = urllib3.PoolManager(maxsize=32)

    def answer(self, request: Request) -> None:
        """Answers one request, whichever it is."""
        if request.path.startswith(TOKENS):
            self._answer_token(request)
        else:
            self._answer_blob(request)

    def token(self, account: str, container: str, term_s: float | None = None) -> tuple[str, dt.datetime]:
        """A token for a container, and when it ends."""
        from azure.storage.blob import ContainerSasPermissions, generate_container_sas

        # Azure tells whole seconds.
        ends = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=self.term_s if term_s is None else term_s)
        token = generate_container_sas(
            account,
            container,
            account_key=self.key,
            permission=ContainerSasPermissions(read=True, list=True),
            start=ends - dt.timedelta(days=1),
            expiry=ends,
            cache_control=self.mark,
        )
        with self._lock:
            self.signatures |= set(parse_qs(token)["sig"])
        return token, ends

    def _answer_token(self, request: Request) -> None:
        account, _, container = request.path.removeprefix(TOKENS).partition("/")
        with self._lock:
            self.counts["token asked"] += 1
            now = time.monotonic()
            is_one_too_many = self.counts["token asked"] % TOKEN_FAULT == 0 and now > self._spared_until
            self.counts["token 429"] += is_one_too_many
            if is_one_too_many:
                self._spared_until = now + APART_S
        if is_one_too_many:
            request.send(429, b'{"message": "Rate limit is exceeded"}', Retry_After="1")
        elif (account, container) not in PRIVATE.values():
            request.send(404)
        else:
            token, ends = self.token(account, container)
            body = {"msft:expiry": ends.strftime("%Y-%m-%dT%H:%M:%SZ"), "token": token}
            request.send(200, json.dumps(body).encode(), Content_Type="application/json")

    def refusal(self, account: str, container: str, query: Mapping[str, list[str]]) -> str:
        """Why a request is not let in, by Azure's word for it; empty where it is."""
        if (account, container) == PUBLIC:
            return ""

        def said(name: str) -> str:
            return query.get(name, [""])[0]

        if not said("sig"):
            return "NoAuthenticationInformation"
        resource = f"/blob/{account}/{container}"
        signed = [said("sp"), said("st"), said("se"), resource, said("si"), said("sip"), said("spr"), said("sv")]
        signed += [said("sr"), "", said("ses"), *(said(n) for n in ("rscc", "rscd", "rsce", "rscl", "rsct"))]
        digest = hmac.digest(base64.b64decode(self.key), "\n".join(signed).encode(), hashlib.sha256)
        if not hmac.compare_digest(base64.b64encode(digest).decode(), said("sig")):
            return "AuthenticationFailed"
        return "AuthenticationFailed" if dt.datetime.fromisoformat(said("se")) <= dt.datetime.now(dt.UTC) else ""

    def _fault(self, path: str, wanted: str) -> str:
        """What goes wrong with a request; with the same one once."""
        with self._lock:
            self.counts["blob asked"] += 1
            if (path, wanted) in self._refused:
                return ""
            count = self.counts["blob asked"]
            fault = next((status for each, status in FAULTS.items() if count % each == 0), "")
            if fault:
                self._refused.add((path, wanted))
                self.counts[f"blob {fault}"] += 1
            return fault

    def _answer_blob(self, request: Request) -> None:
        parts = urlsplit(request.path)
        account, _, domain = parts.netloc.partition(".")
        container, _, path = parts.path.lstrip("/").partition("/")
        if f".{domain}" != BLOBS or PRIVATE.get(path.partition("/")[0], PUBLIC) != (account, container):
            _refuse(request, 404, "BlobNotFound")
            return
        if why := self.refusal(account, container, parse_qs(parts.query)):
            with self._lock:
                self.counts[why] += 1
            _refuse(request, 403, why)
            return
        wanted = request.headers.get("Range", "")
        match self._fault(path, wanted):
            case "":
                self._pass_on(request, path, wanted)
            case "403":  # as where a token was withdrawn
                _refuse(request, 403, "AuthenticationFailed")
            case status:
                _refuse(request, int(status), "ServerBusy", Retry_After="1")

    def _pass_on(self, request: Request, path: str, wanted: str) -> None:
        headers = {"Range": wanted} if wanted else {}
        answer = self._pool.request(request.command, f"{self.earth}/{path}", headers=headers, retries=False)
        given: Any = answer.headers
        names = ("ETag", "Last-Modified", "Content-Range", "Content-Type", "Accept-Ranges")
        request.send(answer.status, answer.data, **{n.replace("-", "_"): given[n] for n in names if n in given})


def _refuse(request: Request, status: int, code: str, **headers: str) -> None:
    body = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code></Error>'.encode()
    request.send(status, body, x_ms_error_code=code, **headers)
