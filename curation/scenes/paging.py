"""The pages of one answer of a STAC API, to its end; an answer that has none, or is larger than asked for, ends by name."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin

import requests

from curation.errors import CurationError
from curation.errors.printable import shown
from curation.model import Window
from curation.scenes.items import name_of
from curation.scenes.session import PACKINGS

log = logging.getLogger(__name__)

PAGE_ITEMS = 250
"""Items asked for per page."""

LARGE_PAGE_ITEMS = 1000
"""The same of items of which some fields are asked for alone: some 5 kB each."""

MOST_ITEM_BYTES = 1 << 18
"""An item of JSON is smaller: the largest of the public catalogs, orbits of Sentinel-5P, have 60 kB."""

MOST_ANSWER_BYTES = PAGE_ITEMS * MOST_ITEM_BYTES
"""Decoded bytes of one answer."""

MOST_ITEMS, MOST_ITEMS_PER_DAY = 2_000, 500
"""Items of a search at all, and for each day of its window: of a cell of 1° the busiest source has some 400 a day near the
poles (14 orbits of Sentinel-5P in three processing modes and ten products, where a server ignores the filter)."""

MOST_IDLE = 100
"""Pages in a row that bring no item which was not there: servers that filter after they have cut pages give empty ones."""

LEAST_ON_PAGE = 10
"""Items that a page has on average at least: servers that allow fewer are not known."""

_PIECE = 1 << 14
"""Bytes of an answer that are unpacked at a time: gzip makes up to a thousand times as many of them."""


class EndlessError(CurationError, ValueError):
    """An answer that goes on further than what was asked for can explain. Asking again changes nothing."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for a page."""

    url: str
    method: str = "GET"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Of POST the body, else the query."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Beside those that every request has."""

    @property
    def mark(self) -> str:
        """The same for the same request."""
        return json.dumps([self.url, self.method, self.parameters, self.headers], sort_keys=True, default=str)


def most_items(window: Window | None) -> int:
    """Items that a search of a window (None: of a source without time) may have."""
    return MOST_ITEMS + (0 if window is None else MOST_ITEMS_PER_DAY * (1 + (window.end - window.start).days))


def pages(read: Callable[[Asked], dict[str, Any]], first: Asked, most: int) -> Iterator[dict[str, Any]]:
    """Each page of an answer, in order; an empty one that has a `next` link is none of its ends.

    Args:
        read: asks for a page.
        first: the first request.
        most: items that the answer may have.

    Raises:
        EndlessError: a `next` link leads to a page that was read, pages bring nothing new, or there are too many of either,
            unless the server says how many items match, and so many are there.
        TypeError or ValueError: a page's links are none.
    """
    asked: Asked | None = first
    seen: set[str] = set()
    names: set[str] = set()
    idle = 0
    while asked is not None:
        seen.add(asked.mark)
        page = read(asked)
        yield page
        before = len(names)
        names.update(map(name_of, _listed(page)))
        idle = 0 if len(names) > before else idle + 1
        asked = following(page, asked, first)
        if asked is None:
            return
        why = _endless(asked, seen, names, idle, most)
        matched = _matched(page)
        if why and matched is not None and len(names) >= matched:
            log.warning("%s: all %d items that match are there, and %s", first.url, matched, why)
            return
        if why:
            raise EndlessError(f"{why}; what else the catalog has is not known: report it to its provider")


def _endless(asked: Asked, seen: set[str], names: set[str], idle: int, most: int) -> str:
    """Why a further page is not asked for; empty where it is."""
    if asked.mark in seen:
        return f"its `next` link leads to a page that was read ({len(names)} items on {len(seen)} pages before it)"
    if idle >= MOST_IDLE:
        return f"{idle} pages in a row had no item that was not there before ({len(names)} items so far)"
    if len(names) > most:
        return f"{len(names)} items so far, expected at most {most} of what was asked for"
    if len(seen) > MOST_IDLE + most // LEAST_ON_PAGE:
        return f"{len(seen)} pages so far with {len(names)} items"
    return ""


def following(page: Mapping[str, Any], asked: Asked, first: Asked) -> Asked | None:
    """The request for the page that follows (STAC API, item search, paging); None where none does.

    What a link does not say stays as it was asked first: all of it where the link is to be merged, and a body of which it
    says nothing, since a search without one would be of everything.
    """
    links = page.get("links") or []
    link = next((its for its in links if _rel(its) == "next"), None)
    if link is None:
        return None
    href, method = link.get("href"), str(link.get("method") or "GET").upper()
    if not isinstance(href, str) or not href:
        raise ValueError(f"the `next` link leads to {shown(href)}, expected a URL")
    merge, body, headers = link.get("merge") is True, link.get("body"), link.get("headers")
    for name, value in (("body", body), ("headers", headers)):
        if value is not None and not isinstance(value, dict):
            raise TypeError(f"{name} of the `next` link is {shown(value)}, expected an object")
    parameters: Mapping[str, Any] = {}  # of GET they are in the link
    if method == "POST":
        parameters = {**first.parameters, **(body or {})} if merge or body is None else body
    headers_before = first.headers if merge else {}
    return Asked(
        urljoin(asked.url, href),
        method,
        parameters,
        {**headers_before, **{k: str(v) for k, v in (headers or {}).items()}},
    )


def _rel(link: Any) -> Any:
    if not isinstance(link, dict):
        raise TypeError(f"a link is {shown(link)}, expected an object")
    return link.get("rel")


def _listed(page: Mapping[str, Any]) -> Iterable[Any]:
    return next((v for k in ("features", "collections") if isinstance(v := page.get(k), list)), [])


def _matched(page: Mapping[str, Any]) -> int | None:
    """How many items match, where the server says so."""
    context = page.get("context")
    said = page.get("numberMatched", context.get("matched") if isinstance(context, dict) else None)
    return said if isinstance(said, int) and not isinstance(said, bool) else None


def body_of(response: requests.Response) -> bytes:
    """The decoded body of an answer that is read as it comes.

    Raises:
        EndlessError: it is larger than any that was asked for, packed several times over, or otherwise than asked for.
    """
    packed = response.headers.get("Content-Encoding", "")
    if "," in packed:
        response.close()
        raise EndlessError(f"the answer is packed several times over ({shown(packed)}), expected once")
    if packed.strip().lower() not in ("", "identity", "x-gzip", *PACKINGS):
        response.close()
        raise EndlessError(
            f"the answer is packed as {shown(packed)}, expected {' or '.join(PACKINGS)}, as was asked for"
        )
    pieces, size = [], 0
    for piece in response.iter_content(_PIECE):
        size += len(piece)
        if size > MOST_ANSWER_BYTES:
            response.close()
            raise EndlessError(
                f"the answer has more than {MOST_ANSWER_BYTES >> 20} MiB, expected {PAGE_ITEMS} items of at most "
                f"{MOST_ITEM_BYTES >> 10} KiB"
            )
        pieces.append(piece)
    return b"".join(pieces)
