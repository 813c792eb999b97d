"""How a catalog is reached: what it is asked with, whom that trusts, and how soon it is told that nobody is there."""

from __future__ import annotations

import socket
import threading
import urllib.request
from concurrent.futures import Future
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import _basic_auth_str
from urllib3 import Retry

from curation.errors import ConfigError
from curation.errors.printable import printable
from curation.recipe.catalogs import Catalog
from curation.store import trust

REACH_S = 5.0
"""Within so much a name is looked up, and a connection is made, before a service is asked for the first time."""

PACKINGS = ("gzip", "deflate")
"""How an answer may be packed: of others (Brotli, Zstandard) older versions of urllib3 unpack a piece to any size."""

_PORTS = {"http": 80, "https": 443}


def session_for(catalog: Catalog, retry: Retry) -> ExplicitSession:
    """What asks a catalog: with what lets one in, where that was given."""
    return ExplicitSession(retry, _QueryOf(catalog.secret_url) if catalog.secret_url else None)


class ExplicitSession(requests.Session):
    """A session that sends what it was given, and trusts as `trust` says.

    By itself requests adds what a netrc file has for a host, or as its `default` for any: to who asked for nothing, to where
    an answer redirects, and in place of a token that was given.

    Args:
        retry: how often what fails is asked for again.
        auth: what lets one in; nothing but headers that a request brings where None.
        pool: what `HTTPAdapter` is told of its connections.
    """

    def __init__(self, retry: Retry, auth: requests.auth.AuthBase | None = None, **pool: Any) -> None:
        super().__init__()
        self.headers["Accept-Encoding"] = ", ".join(PACKINGS)
        self.auth = auth or _as_it_is  # where there is none, requests looks for a netrc file
        for scheme in _PORTS:
            self.mount(f"{scheme}://", _Adapter(max_retries=_NoRetryOfDistrust.of(retry), **pool))

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """As of Session, without what a netrc file has for where an answer redirects."""
        was, now = str(response.request.url), str(prepared_request.url)
        if self.should_strip_auth(was, now):  # type: ignore[no-untyped-call] # requests' own
            prepared_request.headers.pop("Authorization", None)


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


class _QueryOf(requests.auth.AuthBase):
    """User, password and query of the URL that a catalog was given by, for requests of its own origin and no others."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._origin = _origin(url)
        self._query = parse_qsl(parts.query, keep_blank_values=True)
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        self._header = _basic_auth_str(user, password) if parts.username is not None else None

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        parts = urlsplit(str(request.url))
        if _origin(str(request.url)) != self._origin:
            return request
        query = parse_qsl(parts.query, keep_blank_values=True)
        there = {name for name, _ in query}
        if more := [(name, value) for name, value in self._query if name not in there]:
            request.url = urlunsplit(parts._replace(query="&".join(filter(None, [parts.query, urlencode(more)]))))
        if self._header is not None:
            request.headers["Authorization"] = self._header
        return request


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    return scheme, (parts.hostname or "").lower(), parts.port or _PORTS.get(scheme)


class _NoRetryOfDistrust(Retry):
    """As a Retry, but what comes of a certificate that is not trusted is not asked for again."""

    @classmethod
    def of(cls, retry: Retry) -> _NoRetryOfDistrust:
        """One that else does as `retry`."""
        made = cls()
        made.__dict__.update(retry.__dict__)
        return made

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: Any = None,
        error: Exception | None = None,
        _pool: Any = None,
        _stacktrace: Any = None,
    ) -> Self:
        """As of Retry. Raises the error itself where it comes of a certificate."""
        if error is not None and trust.refused(error):
            raise error
        return super().increment(method, url, response, error, _pool, _stacktrace)


class _Adapter(HTTPAdapter):
    """Connections whose other end is trusted as `trust` says, whatever requests itself would take from the environment."""

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> tuple[Any, Any]:
        """As of HTTPAdapter, with the context of `trust`."""
        host, how = super().build_connection_pool_key_attributes(request, verify=True, cert=cert)
        is_secured = host["scheme"] == "https"
        return host, {**how, "ssl_context": trust.context()} if is_secured else how

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Leaves the connection as the context has it: that decides."""

    def proxy_manager_for(self, proxy: str, **how: Any) -> Any:
        """As of HTTPAdapter; a proxy of https is trusted by the same rule."""
        if proxy.lower().startswith("https:"):
            how = {"proxy_ssl_context": trust.context()} | how
        return super().proxy_manager_for(proxy, **how)


def check_reached(catalog: Catalog) -> None:
    """Passes where a catalog's host, or the proxy before it, takes a connection. Raises as `check_there` does."""
    check_there(catalog.location, f"catalog {catalog.label}", "does not answer as a STAC API")


def check_there(url: str, what: str, fault: str = "does not answer") -> None:
    """Passes where a connection to a URL's host, or to the proxy before it, can be made: tells at once where not.

    Args:
        url: that is to be asked.
        what: it is, for errors.
        fault: what is to be said of it where nobody is there.

    Raises:
        ConfigError: there is no such host, or it takes no connection.
    """
    parts = urlsplit(url)
    scheme, host = parts.scheme.lower(), parts.hostname or ""
    proxies = {} if urllib.request.proxy_bypass(host) else urllib.request.getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    if proxy:
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        if parts.scheme.startswith("socks"):
            return
    through = f" through the proxy {printable(proxy)}" if proxy else ""
    where = f"{what}{through}"
    try:
        address = (parts.hostname or "", parts.port or _PORTS[parts.scheme.lower()])
    except (ValueError, KeyError) as err:
        raise ConfigError(f"{where}: no URL ({printable(err)}): mend it") from None
    try:
        _within(REACH_S, address)
    except TimeoutError:
        said = f"TimeoutError: {address[0]} did not answer within {REACH_S:g} s"
    except socket.gaierror as err:
        said = f"gaierror: no host {address[0]} is known: {err.strerror}"
    except (OSError, UnicodeError) as err:
        why = getattr(err, "strerror", None) or printable(err)
        said = f"{type(err).__name__}: {address[0]} port {address[1]}: {why}"
    else:
        if scheme == "https":
            trust.context()  # what is wrong with that is told by itself
        return
    raise ConfigError(f"{where}: {fault} ({said}); check the address and the network")


def _within(seconds: float, address: tuple[str, int]) -> None:
    """Connects once. A name is looked up by a thread of its own: that takes as long as the system likes."""
    done: Future[None] = Future()

    def connect() -> None:
        try:
            socket.create_connection(address, seconds).close()
        except BaseException as err:  # noqa: BLE001 - raised below
            done.set_exception(err)
        else:
            done.set_result(None)

    threading.Thread(target=connect, name="reach", daemon=True).start()
    done.result(2 * seconds)
