"""A STAC API, asked for scenes: all pages, tried again where the server or the network fails."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import pystac
import pystac_client
import requests
from pystac_client.conformance import ConformanceClasses
from pystac_client.errors import ClientTypeError
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO
from urllib3 import Retry

from curation.errors import ConfigError, CurationError
from curation.errors.causes import one_line
from curation.errors.printable import shown
from curation.recipe.catalogs import Catalog
from curation.recipe.forms import CatalogForm
from curation.recipe.sources import SourceSpec
from curation.scenes import jsontext
from curation.scenes.cells import Box, joint
from curation.scenes.fields import Fields, SearchAnswer, Watched, asked_for
from curation.scenes.items import Found, Query, name_of, reduced_each
from curation.scenes.paging import LARGE_PAGE_ITEMS, PAGE_ITEMS, Asked, EndlessError, body_of, most_items, pages
from curation.scenes.session import check_reached, session_for
from curation.store import hrefs, trust

log = logging.getLogger(__name__)
T = TypeVar("T")

TRIES = 4
"""Whole searches are tried this often: a page cut short in transfer fails in a way that HTTP retries do not see."""

BACKOFF_S = 0.5
"""The first pause before something is asked again; each later one is twice as long."""


MOST_REFUSED = 3
"""After so many searches of several cells that were too much for a catalog, it is asked for each cell."""


class TooMuchError(CurationError):
    """A search that a catalog refuses, or has no end of: a smaller one may do."""


class Api:
    """A STAC API, opened: answers what collections it has, and searches. Safe to use from threads."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._client = _opened(catalog)
        self._trims = self._client.conforms_to(ConformanceClasses.FIELDS)
        self._too_much = 0
        """Searches of several cells that were too much for it."""
        self._fields: dict[tuple[str, tuple[str, ...]], Fields] = {}

    def collections(self) -> set[str]:
        """Ids of the collections the catalog has."""
        try:
            return {c.id for c in self._client.get_collections()}
        except (APIError, requests.RequestException, *_NOT_STAC) as err:
            raise ConfigError(
                f"catalog {self.catalog.location}: does not list its collections ({one_line(err)}); "
                "check the address and the network"
            ) from err

    def search(self, query: Query) -> Found:
        """All scenes of a source that touch a search cell in a window and have the bands.

        Raises:
            CurationError: the catalog does not answer.
        """
        (found,) = self.together([query])
        if isinstance(found, CurationError):
            raise found
        return found

    def together(self, queries: Sequence[Query]) -> list[Found | CurationError]:
        """What each of some queries finds, which differ by their cells alone; or why it is not known.

        They are one search where the catalog gives some fields of items alone, so that a page holds many. What is too much
        for it is asked for cell by cell.
        """
        form = self.catalog.form_of(queries[0].spec)
        if form is None:
            return [Found([], {}) for _ in queries]
        fields = self._fields_of(queries[0], form) if self._trims else None
        if len(queries) > 1 and (fields is None or fields.refuted or self._too_much >= MOST_REFUSED):
            return [found for query in queries for found in self.together([query])]
        ask = functools.partial(self._answer, queries, form)
        try:
            found = ask(None).found if fields is None else fields.found(ask, cells=len(queries))
        except TooMuchError as err:
            if len(queries) == 1:
                return [CurationError(str(err))]
            self._too_much += 1
            log.info("%s; asking for each of its %d cells", err, len(queries))
            return [found for query in queries for found in self.together([query])]
        except CurationError as err:
            return [err for _ in queries]
        return list(found)

    def any_items(self, spec: SourceSpec, form: CatalogForm, bands: Sequence[str]) -> list[Any]:
        """The first items of a source that it gives, whatever their place and time: one page, as they are.

        Raises:
            CurationError: it does not answer.
        """
        del spec, bands  # a page has whole items

        def once() -> list[Any]:
            found = self._client.search(collections=[form.collection], query=dict(form.query) or None, limit=PAGE_ITEMS)
            asked = Asked(str(found.url), found.method or "POST", found.get_parameters())
            items: list[Any] = self._read(asked)["features"]
            return items

        return _retried(once, f"{self.catalog.location}: items of {form.collection}")

    def _fields_of(self, query: Query, form: CatalogForm) -> Fields:
        what = f"{self.catalog.location}: {form.collection}"
        return self._fields.setdefault((query.spec.name, query.bands), Fields(what))  # assets differ by bands

    def _answer(self, queries: Sequence[Query], form: CatalogForm, fields: frozenset[str] | None) -> SearchAnswer:
        """What a search of some cells gives, of whole items or of some fields of them."""
        first, several = queries[0], len(queries) > 1
        boxes = [joint([q.cell for q in queries])] if several else first.cell.boxes
        most = most_items(first.window if first.interval else None) * len(queries)
        looked: set[str] = set()
        items: dict[str, Any] = {}
        for box in boxes:

            def once(box: Box = box) -> dict[str, Any]:
                # No server-side sort: sorted paging has been seen to drop and repeat items.
                found = self._client.search(
                    collections=[form.collection],
                    bbox=list(box),
                    datetime=first.interval,
                    query=first.conditions(form) or None,
                    limit=LARGE_PAGE_ITEMS if several and fields is not None else PAGE_ITEMS,
                    fields=None if fields is None else {"include": asked_for(fields)},
                )
                asked = Asked(str(found.url), found.method or "POST", found.get_parameters())
                by_name: dict[str, Any] = {}
                for page in pages(self._read, asked, most):
                    for item in page["features"]:
                        by_name.setdefault(name_of(item), item)
                return by_name

            what = f"{self.catalog.location}: search of {form.collection} in {box}"
            items = _retried(once, what) | items
        watched = [Watched(i, looked) if isinstance(i, dict) else i for i in items.values()]
        return SearchAnswer(reduced_each(watched, queries, form, self.catalog), frozenset(looked), len(items))

    def _read(self, asked: Asked) -> dict[str, Any]:
        page = _page(self._client._stac_io, asked)  # type: ignore[arg-type]  # that which `_opened` gave it
        if not isinstance(page.get("features"), list):
            raise TypeError(f"the page has no list of items: its keys are {shown(sorted(page), 100)}")
        return page


class _Pages(StacApiIO):
    """Reads pages; one that lists nothing where something belongs is an error, not an empty answer."""

    def read_json(self, source: Any, *args: Any, **how: Any) -> dict[str, Any]:
        """As of `StacApiIO`. Raises TypeError or ValueError where a page of a list is asked for, and it is none."""
        href = source.get_href() if isinstance(source, pystac.Link) else str(source)
        if hrefs.scheme_of(href or "") not in hrefs.SERVERS:  # pystac would open a file of this machine
            raise ValueError(f"leads to {shown(href, 100)}, expected http or https")
        page = super().read_json(source, *args, **how)
        if not isinstance(page, dict):
            raise TypeError(f"the answer is of type {type(page).__name__}, expected an object of JSON")
        listed = [page[k] for k in ("features", "collections") if k in page]
        if "parameters" in how and not any(isinstance(items, list) for items in listed):
            raise ValueError(f"the page has no list of items: its keys are {shown(sorted(page), 100)}")
        return page

    def get_pages(
        self, url: str, method: str | None = None, parameters: dict[str, Any] | None = None
    ) -> Iterator[dict[str, Any]]:
        """As of `StacApiIO`, with an end."""
        return pages(lambda asked: _page(self, asked), Asked(url, method or "GET", parameters or {}), most_items(None))

    def request(
        self,
        href: str,
        method: str | None = None,
        headers: dict[str, str] | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> str:
        """As of `StacApiIO`, but no more of an answer is unpacked than belongs to what was asked for."""
        method = (method or "GET").upper()
        body, query = (parameters, None) if method == "POST" else (None, parameters)
        request = requests.Request(method, href, headers, params=query, json=body, hooks={"response": _bounded})
        try:
            prepared = self.session.prepare_request(request)
            how = self.session.merge_environment_settings(prepared.url, {}, False, None, None)
            response = self.session.send(prepared, timeout=self.timeout, **how)
        except requests.RequestException as err:
            raise APIError(str(err)) from err
        if not response.ok:
            raise APIError.from_response(response)
        return jsontext.decoded(response.content)

    def json_loads(self, txt: str, *args: Any, **how: Any) -> dict[str, Any]:
        """As of `StacApiIO`, but never by orjson, which refuses a whole page for one value that is none."""
        del args, how
        page: dict[str, Any] = jsontext.parsed(txt)  # `read_json` looks whether it is an object
        return page


def _bounded(response: requests.Response, **how: Any) -> None:
    """Reads an answer, also one that redirects, before requests unpacks all of it."""
    del how
    response._content = body_of(response)


def _page(reader: StacApiIO, asked: Asked) -> dict[str, Any]:
    parameters, headers = dict(asked.parameters), dict(asked.headers)
    return reader.read_json(asked.url, method=asked.method, parameters=parameters, headers=headers)


_NOT_STAC = (
    pystac.STACError,
    pystac.STACTypeError,
    ClientTypeError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)
"""What the libraries raise of an answer that is no STAC."""


def _opened(catalog: Catalog) -> pystac_client.Client:
    retry = Retry(
        total=5,
        backoff_factor=BACKOFF_S,
        backoff_jitter=BACKOFF_S,
        status_forcelist=[408, 429, 500, 502, 503, 504],
        allowed_methods=None,  # POST too: a search changes nothing
        respect_retry_after_header=True,
        raise_on_status=False,  # the last answer says which it is
    )
    log.info("catalog %s: asking %s", catalog.label, catalog.location)
    check_reached(catalog)
    pages = _Pages(timeout=60)
    pages.session = session_for(catalog, retry)
    try:
        return pystac_client.Client.open(catalog.location, stac_io=pages)
    except ConfigError:
        raise
    except (APIError, requests.RequestException, *_NOT_STAC) as err:
        raise ConfigError(
            f"catalog {catalog.location}: {trust.advice()}"
            if trust.refused(err)
            else f"catalog {catalog.location}: does not answer as a STAC API ({one_line(err)}); "
            "check the address and the network"
        ) from err


_OVERWORKED = (500, 502, 504)
"""What servers answer where a search takes them too long, or its answer is larger than they may give."""


def _retried(once: Callable[[], T], what: str) -> T:
    for attempt in range(TRIES):
        try:
            return once()
        except MemoryError:
            raise
        except EndlessError as err:
            raise TooMuchError(f"{what}: {err}") from err
        except Exception as err:  # what a server says may be anything, and raise anything
            if trust.refused(err):
                raise CurationError(f"{what}: {trust.advice()}") from err
            status = getattr(err, "status_code", None)
            refused = status is not None and 400 <= status < 500 and status not in (408, 429)
            if attempt == TRIES - 1 or refused:
                kind = TooMuchError if refused or status in _OVERWORKED else CurationError
                raise kind(f"{what}: {one_line(err)}; tried {attempt + 1} times, rerun to try again") from err
            time.sleep(BACKOFF_S * 2 ** (attempt + 1))
    raise AssertionError("unreachable")
