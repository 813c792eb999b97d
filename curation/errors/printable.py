"""What may be printed or stored of a text in which URLs stand: nothing that lets anybody in.

User and password, query (tokens and signatures stand there) and fragment of a URL let somebody in, or may. They are used
where something is opened, and come from the command or the environment each time; what is told or written is without.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import traceback
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from curation.errors.words import shortened

_CONTAINERS = ("abfs", "abfss")
"""Schemes whose URLs have the container before the `@`, and no user: `abfss://container@account.dfs.core.windows.net/path`."""

_URL = re.compile(r"""[A-Za-z][A-Za-z0-9+.-]*:(?:\\?/){2}(?:[^\s"'<>]|'(?=[\w%&=+./-]))*""")
"""A URL within a text, its slashes as JSON may write them. An apostrophe ends it, unless more of the URL follows."""

_BEGIN = re.compile(r"\s*(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?:\\?/){2}")
"""What a URL begins with; without a scheme where that is to be the same as of whoever refers to it."""

_INNER = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?:\\?/){2}")
"""Where a URL begins that stands in the path of another, or in one: `/vsicurl/https://…`, and what proxies are asked for."""

_PACKED = re.compile(r"""[A-Za-z][A-Za-z0-9+.-]*%3A%2F%2F[^\s"'<>/?#]*""", re.IGNORECASE)
"""The same, as it is written where its own slashes would be those of the path."""

_QUERY = re.compile(r"""\?(?!(?<=\(\?)(?:P<|[:=!<]))(?=\S*[\w%])(?:[^\s"'<>]|'(?=[\w%&=+./-]))+""")
"""A query whose URL begins elsewhere, or nowhere: libraries tell the path alone. A group of a regular expression is none."""

_SECRET = (
    r"[\w.-]* (?: token|secret|passw(?:or)?d|credential|signature"
    r"|(?:api|account|subscription)[-_]?key|access[-_]?key(?:[-_]?id)? ) s?"
)
"""How a secret may be called; `sig`, too, but by that name alone."""

_NAMED = re.compile(rf"""(?ix) \b ({_SECRET} | sig) = (?! [\s"'] ) [^\s&"',;)<>]+""")
"""What a name calls a secret, out of any URL."""

_QUOTED = re.compile(rf"""(?ix) ( (["']) {_SECRET} \2 | (["']) sig \3 ) (\s*:\s*) (["']) (?: (?!\5) [^\n] )+ \5""")
"""Likewise, as JSON and Python write it."""

_USER = re.compile(
    r"""[^\s/@:"'<>]*:[^\s/@"'<>]+@(?=[\w\[])"""
    r"""|(?<=//)(?<![\w.:\\/-]//)[^\s/@"'<>]+@(?=[\w\[])"""
)
"""User and password before a host, where no `//` is: who types a URL may forget it, and who tells of one may cut it off.
Before `//` a scheme may be missing."""

_HEADER = re.compile(
    r"""(?i)((?:authorization|(?:x-api|subscription)-key|x-amz-security-token|cookie)["']?\s*[:=,]\s*["']?)"""
    r"""(?:(?:basic|bearer|digest)\s+)?[^\s"',}]+"""
)

_LEAST_CHARACTERS = 8
"""A secret that is shorter, or of letters alone, is not looked for by itself: it may be an ordinary word, or a path's."""

_known: set[str] = set()
_known_lock = threading.Lock()


def _after_fork() -> None:
    """A child has none of the threads that may have held the lock."""
    global _known_lock
    _known_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def unsigned(url: str) -> str:
    """A URL or path without user, password, query and fragment: what a scene's href is kept as."""
    found = _BEGIN.match(url)
    if found is None:
        return _without_inner(re.split("[?#]", url, maxsplit=1)[0])
    scheme, rest = found[1] or "", url[found.end() :].replace("\\/", "/")
    if scheme.lower() not in _CONTAINERS:
        rest = _without_user(rest)
        if scheme.lower() in ("http", "https") and not _has_host(rest):
            rest = "…"  # cut off in the password, before the host
    return f"{f'{scheme}:' if scheme else ''}//{_without_inner(re.split('[?#]', rest, maxsplit=1)[0])}"


def _without_inner(path: str) -> str:
    """A path whose URLs are `unsigned`."""
    path = _PACKED.sub(_unsigned_packed, path)
    found = _INNER.search(path)
    return path if found is None else path[: found.start()] + unsigned(path[found.start() :])


def _unsigned_packed(found: re.Match[str]) -> str:
    url = unquote(found[0])
    without = unsigned(url)
    return found[0] if without == url else quote(without, safe="")


def _without_user(rest: str) -> str:
    """What follows `//`, from its host on; where a password has a character that ends a host, too."""
    host = re.split("[/?#]", rest, maxsplit=1)[0]
    if "@" in host:
        return rest[host.rindex("@") + 1 :]
    return rest if _has_host(rest) or "@" not in rest else rest[rest.rindex("@") + 1 :]


def _has_host(rest: str) -> bool:
    """Whether what follows `//` begins with what may be a host and a port."""
    host = re.split("[/?#]", rest, maxsplit=1)[0]
    return host.startswith("[") or ":" not in host or re.fullmatch(r"[^:]*:\d*", host) is not None


def printable(what: object) -> str:
    """A text, or an error's, without what lets anybody in: the way of all that may hold a URL to a person or a file.

    It may be given what it gave: that stays as it is.
    """
    text = str(what)
    with _known_lock:
        known = sorted(_known, key=len, reverse=True)
    for secret in known:
        text = re.sub(rf"(?<![\w-]){re.escape(secret)}(?![\w-])", "…", text)
    text = _PACKED.sub(_unsigned_packed, text)
    text = _URL.sub(lambda found: _ended(found[0], unsigned), text)
    text = _QUERY.sub(lambda found: _ended(found[0], lambda query: ""), text)
    text = _QUOTED.sub(r"\1\4\5…\5", _USER.sub("", text))
    return _HEADER.sub(r"\1…", _NAMED.sub(r"\1=…", text))


def lets_in(text: str) -> bool:
    """Whether a URL within a text has a user, or a query or fragment with what its name calls a secret."""
    for url in _URL.findall(text):
        scheme, _, rest = url.partition("://")
        if (scheme.lower() not in _CONTAINERS and _without_user(rest) != rest) or _NAMED.search(rest):
            return True
    return False


def shown(value: object, limit: int = 60) -> str:
    """What somebody said that cannot be, in ASCII: printable before it is cut, which may be in the midst of a URL."""
    return shortened(printable(ascii(value)), limit)


def _ended(found: str, made: Callable[[str], str]) -> str:
    """What is made of a URL; the punctuation behind it is the sentence's."""
    url = found.rstrip(":;,.!)]}") or found
    return f"{made(url)}{found[len(url) :]}"


def storable(value: Any) -> Any:
    """A JSON value whose texts are `printable` where URLs stand in them; all else is as it was."""
    if isinstance(value, str):
        return printable(value) if "://" in value else value
    if isinstance(value, Mapping):
        return {storable(k): storable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [storable(v) for v in value]
    return value


def remember(url: str) -> None:
    """Lets `printable` know the secrets of a URL that the command was given, wherever they stand: servers repeat them."""
    try:
        parts = urlsplit(url)
        found = [
            parts.password or "",
            parts.fragment,
            *(v for k, v in parse_qsl(parts.query) if _NAMED.match(f"{k}=x")),
        ]
    except ValueError:  # no URL; whoever opens it is told
        return
    with _known_lock:
        _known.update(
            s for each in found for s in (each, unquote(each)) if len(s) >= _LEAST_CHARACTERS and not s.isalpha()
        )


class Printable(logging.Filter):
    """Makes the lines of a logger or handler printable, tracebacks too."""

    def filter(self, record: logging.LogRecord) -> bool:
        """True: the line is told, as `printable` has it."""
        record.msg, record.args = printable(record.getMessage()), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = printable("".join(traceback.format_exception(*record.exc_info)).rstrip())
        return True


for _name in ("connection", "connectionpool", "poolmanager", "util.retry"):  # they tell URLs
    logging.getLogger(f"urllib3.{_name}").addFilter(Printable())
logging.getLogger("pystac_client.stac_api_io").addFilter(Printable())  # with headers
