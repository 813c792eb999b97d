"""What lets a worker in where files lie: looked up, asked for and renewed when it is used, and kept in memory alone."""

from __future__ import annotations

import base64
import functools
import http.cookiejar
import json
import os
import threading
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import urllib3

from curation.errors import AccessError, ReadError
from curation.read.http import FailedTryError, Pass, check, got
from curation.recipe.access import Access, BucketAccess, NetrcAccess, TokenAccess, is_private, scheme_of
from curation.store.bucket import Settings

_TOKEN_BYTES = 2**16
"""An answer with a token is shorter."""

_LEAST_TERM_S = 30.0
"""A token that ends sooner is replaced; of one that is short-lived, in its last tenth."""

_REFUSED_S = 60.0
"""So long after a password was refused it is not tried again: servers lock who tries too often."""


# ---- buckets ---------------------------------------------------------------------------------------------------------


def bucket_settings(url: str, access: BucketAccess) -> Settings:
    """How a bucket of scenes is reached, whatever the environment says of that of results."""
    scheme = scheme_of(url)
    config: dict[str, Any] = {"skip_signature": access.unsigned}
    if scheme == "s3":
        config |= {
            "endpoint": access.endpoint or f"https://s3.{access.region}.amazonaws.com",
            "region": access.region,
            "request_payer": access.requester_pays,
            "virtual_hosted_style_request": False,
        }

        def keys() -> dict[str, Any]:
            found = access.held.values
            key, secret, token = (found.get(n, "") for n in ("access_key_id", "secret_access_key", "session_token"))
            return {"access_key_id": key, "secret_access_key": secret, "token": token or None, "expires_at": None}

        return Settings(config, None if access.unsigned else keys)
    if access.endpoint:
        config["base_url" if scheme == "gs" else "endpoint"] = access.endpoint
    if access.account:
        config["account_name"] = access.account
    # One of them is enough, and one that is not set is none.
    return Settings(config | access.held.values)


# ---- servers ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Token:
    """Two tokens, and until when they are good by `time.monotonic`."""

    access: str
    until: float
    renews: str
    renews_until: float


class _TokenPass(Pass):
    """A bearer token, for the hosts of its access and no others; asked for by one thread while others wait."""

    def __init__(self, access: TokenAccess) -> None:
        self._its = access
        self._lock = threading.Lock()
        self._token: _Token | None = None
        self._refusal: tuple[float, str] | None = None
        """Until when a refusal holds, and what it was."""

    def headers(self, url: str) -> Mapping[str, str]:
        """As of `Pass`. Raises AccessError where there is no user or password, or they are refused."""
        if urlsplit(url).hostname not in self._its.hosts or not is_private(url):
            return {}
        return {"Authorization": f"Bearer {self._current()}"}

    def forget(self) -> None:
        """As of `Pass`: the token goes, what renews it stays."""
        with self._lock:
            if self._token is not None:
                self._token = _Token("", 0.0, self._token.renews, self._token.renews_until)

    def _current(self) -> str:
        with self._lock:
            now = time.monotonic()
            if self._token is None or self._token.until <= now:
                if self._refusal is not None and self._refusal[0] > now:
                    raise AccessError(self._refusal[1])
                self._token = self._new()
            return self._token.access

    def _new(self) -> _Token:
        """A new token: by what renews the last one, where that is good, else by user and password."""
        its = self._its
        if self._token is not None and self._token.renews_until > time.monotonic():
            renewed = self._asked({"grant_type": "refresh_token", "refresh_token": self._token.renews})
            if isinstance(renewed, _Token):
                return renewed
        if missing := its.missing():
            raise AccessError(
                f"{its.token_url} wants a user and a password: {', '.join(missing)} is not set where it is "
                "read: set it there"
            )
        held = its.held.values
        found = self._asked({"grant_type": "password", "username": held["user"], "password": held["password"]})
        if isinstance(found, _Token):
            return found
        said = f"no token was given by {its.token_url}: {found}: expected the user and password of an account in "
        said += f"{its.held.text}: mend them"
        self._refusal = time.monotonic() + _REFUSED_S, said
        raise AccessError(said)

    def _asked(self, form: Mapping[str, str]) -> _Token | str:
        """A token; or how the server refused to give one."""
        url = self._its.token_url

        def take(response: urllib3.BaseHTTPResponse) -> _Token | str:
            if response.status in (400, 401, 403):
                return f"HTTP {response.status}"  # what it says beside may hold what was sent
            status_line = check(response)
            data = response.read(_TOKEN_BYTES)
            try:
                return _token(json.loads(data))
            except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
                raise FailedTryError(
                    f"{status_line}: {len(data)} bytes that are no token"
                ) from None  # but may hold one

        try:
            return got(
                url,
                {"Accept-Encoding": "identity"},
                _TOKEN_BYTES,
                1,
                take,
                form={"client_id": self._its.client_id, **form},
            )
        except AccessError:
            raise
        except (ReadError, FailedTryError) as err:  # whatever it is, the file is not to blame
            wait_s = getattr(err, "wait_s", 0.0)
            raise FailedTryError(f"no token was given by {url}: {err}", wait_s=wait_s) from None


def _token(said: Any) -> _Token:
    """The token of a server's answer. Raises KeyError, TypeError or ValueError where it is none."""
    now, token, renews = time.monotonic(), said["access_token"], said.get("refresh_token") or ""
    term_s, renews_s = float(said["expires_in"]), float(said.get("refresh_expires_in") or 0)
    if not (isinstance(token, str) and token.isascii() and token.isprintable() and isinstance(renews, str)):
        raise ValueError("no token")
    early = [min(_LEAST_TERM_S, t / 10) for t in (term_s, renews_s)]
    return _Token(token, now + term_s - early[0], renews, now + renews_s - early[1] if renews else 0.0)


class _NetrcPass(Pass):
    """User and password for hosts of a login that others redirect to, and the cookies by which they know who did log in."""

    def __init__(self, access: NetrcAccess) -> None:
        self._its = access
        self._jar = http.cookiejar.CookieJar()

    def headers(self, url: str) -> Mapping[str, str]:
        """As of `Pass`. Raises AccessError where a host of the login is come to, and the file has nothing of it."""
        request = urllib.request.Request(url)
        self._jar.add_cookie_header(request)
        cookie = request.get_header("Cookie")
        found = {"Cookie": cookie} if cookie else {}
        host = urlsplit(url).hostname or ""
        if host not in self._its.netrc or not is_private(url):
            return found
        try:
            login = self._its.login(host)
        except ValueError as err:
            raise AccessError(str(err)) from None
        if login is None:
            raise AccessError(
                f"{host} wants a login: {', '.join(self._its.missing())} is not there where it is read: add it"
            )
        return found | {"Authorization": f"Basic {base64.b64encode(':'.join(login).encode()).decode()}"}

    def answered(self, url: str, response: urllib3.BaseHTTPResponse) -> None:
        """As of `Pass`. Raises AccessError where the login refuses."""
        self._jar.extract_cookies(_Answered(response), urllib.request.Request(url))  # type: ignore[arg-type]  # all it asks
        host = urlsplit(url).hostname or ""
        if response.status == 401 and host in self._its.netrc:
            raise AccessError(f"{host} refuses the login (HTTP 401): mend what the netrc file says of it")

    def forget(self) -> None:
        """As of `Pass`."""
        self._jar.clear()


@dataclass(frozen=True, slots=True)
class _Answered:
    """What a jar of cookies asks of an answer."""

    response: urllib3.BaseHTTPResponse

    def info(self) -> Any:
        """Its headers."""
        return self.response.headers


@functools.lru_cache(maxsize=64)
def pass_of(access: Access | None) -> Pass:
    """What lets one in over https, the same for all of this process: one login, and one token."""
    if isinstance(access, TokenAccess):
        return _TokenPass(access)
    return _NetrcPass(access) if isinstance(access, NetrcAccess) else Pass()


def _after_fork() -> None:
    """A child has none of the threads that hold its parent's locks."""
    pass_of.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
