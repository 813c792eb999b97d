"""Signed URLs of archives that want them: tokens, asked for when they are used, renewed before they end."""

from __future__ import annotations

import datetime as dt
import json
import os
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from urllib.parse import urlparse, urlsplit

import urllib3
import urllib3.connection
import urllib3.exceptions
from planetary_computer import sas
from planetary_computer.settings import Settings
from planetary_computer.utils import parse_blob_url

from curation.errors import PassingError, ReadError, TrustError
from curation.read.http import FailedTryError, KeyPass, answered_s, check, got
from curation.recipe.access import Access

PER_HOST = 32
"""Requests of a process that one host has at a time, where nobody says otherwise."""


@dataclass(frozen=True, slots=True)
class FileAddress:
    """Where a file is."""

    url: str
    """Unsigned; a path, or a URL (http, https, s3, gs, az), as `hrefs.located` has it."""
    sign: str = "none"
    """`none` or `planetary-computer`."""
    per_host: int = PER_HOST
    """Requests of this process that its host has at a time."""
    access: Access | None = None
    """What lets one in; what the environment says to all where None."""

    @property
    def is_remote(self) -> bool:
        """Whether it is elsewhere."""
        return "://" in self.url

    @property
    def host(self) -> str:
        """Whose slots a request for it takes: a server's, a bucket's; empty for disks."""
        try:
            return urlsplit(self.url).netloc if self.is_remote else ""
        except ValueError:  # no URL; whoever fetches it is told
            return ""


_LEAST_TERM_S = 60
"""A token that ends sooner is replaced."""

_TOKEN_BYTES = 2**16
"""An answer with a token is shorter."""

_tokens: dict[str, Future[sas.SASToken]] = {}
"""Tokens that were asked for and did not come yet, by where."""
_terms: dict[str, tuple[str, float]] = {}
"""Where a token is from → the token, and until when it is good by `time.monotonic`. How long it is, the server's own clock
says: one here that is wrong, or is set, would have each request ask for another, or keep one that has ended."""
_tokens_lock = threading.Lock()


def signed(address: FileAddress) -> str:
    """The URL of an address, with a signature where one is needed, as `planetary_computer.sign_url` makes it.

    Tokens are asked for here: that library would do so without a time-out, ten times in one try.
    """
    parts = urlparse(address.url)
    if address.sign == "none" or not parts.netloc.endswith(sas.BLOB_STORAGE_DOMAIN):
        return address.url
    url = "/".join((str(Settings.get().sas_url), *parse_blob_url(parts)))
    return str(_token(url).sign(address.url).href)


def _token(url: str) -> sas.SASToken:
    """The token that is kept, or a new one: one request for it at a time, what comes of it is for all who wait."""
    with _tokens_lock:
        token = sas.TOKEN_CACHE.get(url)
        if token is not None and _left_s(url, token) >= _LEAST_TERM_S:
            return token
        coming = _tokens.get(url)
        asked = _tokens[url] = Future() if coming is None else coming
    if coming is None:
        try:
            token, term_s = _new_token(url)
        except BaseException as err:  # noqa: BLE001 - raised below
            with _tokens_lock:
                del _tokens[url]
            asked.set_exception(err)
        else:
            with _tokens_lock:
                sas.TOKEN_CACHE[url] = token
                _terms[url] = token.token, time.monotonic() + term_s
                del _tokens[url]
            asked.set_result(token)
    return asked.result()


def _left_s(url: str, token: sas.SASToken) -> float:
    """Seconds that a token is still good for; by its date and the clock here where it was not asked for here."""
    known, until = _terms.get(url, ("", 0.0))
    return until - time.monotonic() if known == token.token else float(token.ttl())


def _new_token(url: str) -> tuple[sas.SASToken, float]:
    """A token, and for how many seconds it is good."""

    def take(response: urllib3.BaseHTTPResponse) -> tuple[sas.SASToken, float]:
        status_line = check(response)
        data = response.read(_TOKEN_BYTES)
        try:
            token = sas.SASToken(**json.loads(data))
            ends = token.expiry if token.expiry.tzinfo else token.expiry.replace(tzinfo=dt.UTC)
            return token, ends.timestamp() - answered_s(response.headers)
        except (ValueError, TypeError, OverflowError, RecursionError):
            raise FailedTryError(f"{status_line}: {len(data)} bytes that are no token") from None  # but may hold one

    key = Settings.get().subscription_key
    lets_in = KeyPass(url, {"Ocp-Apim-Subscription-Key": key} if key else {})
    try:
        return got(url, {"Accept-Encoding": "identity"}, _TOKEN_BYTES, PER_HOST, take, lets_in)
    except TrustError as err:
        raise TrustError(f"no signature was given by {url}: {err}") from None
    except ReadError as err:  # whatever it is: the file is not to blame
        raise PassingError(f"no signature was given by {url}: {err}") from None
    except FailedTryError as err:
        raise FailedTryError(f"no signature was given by {url}: {err}", wait_s=err.wait_s) from None


def forget_signature(address: FileAddress, used: str) -> None:
    """Drops the token that a signed URL was refused with from what the signing library keeps, and no fresher one."""
    if address.sign == "none":
        return
    with _tokens_lock:
        for key in [k for k, v in sas.TOKEN_CACHE.items() if v.token in used]:
            del sas.TOKEN_CACHE[key]


def _after_fork() -> None:
    """A child has none of the threads that hold its parent's lock and wait for its tokens."""
    global _tokens_lock
    _tokens_lock = threading.Lock()
    _tokens.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
