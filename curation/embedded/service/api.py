"""A STAC API over a list of items in memory: stac-fastapi's models and routes, and a search of our own.

It has what a client of this project asks for: item search by collections, ids, place, time and `query`, in pages, of whole
items or some of their fields.
"""

from __future__ import annotations

import datetime as dt
import json
import operator
import urllib.parse
from collections.abc import Callable
from typing import Any

import attr
import numpy as np
import shapely
from fastapi import APIRouter, FastAPI, HTTPException, Request
from numpy.typing import NDArray
from stac_fastapi.api.app import StacApi
from stac_fastapi.api.models import create_get_request_model, create_post_request_model
from stac_fastapi.extensions import FieldsExtension, QueryExtension, TokenPaginationExtension
from stac_fastapi.types.config import ApiSettings
from stac_fastapi.types.core import BaseCoreClient
from stac_fastapi.types.errors import NotFoundError
from stac_fastapi.types.rfc3339 import str_to_interval

PREFIX = "/stac"
MAX_LIMIT = 1_000
DEFAULT_LIMIT = 10

Json = dict[str, Any]

QUERY_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "neq": operator.ne,
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
    "in": lambda a, b: a in b,
    "startsWith": lambda a, b: a.startswith(b),
    "endsWith": lambda a, b: a.endswith(b),
    "contains": lambda a, b: b in a,
}


def _seconds(text: str) -> float:
    return dt.datetime.fromisoformat(text).timestamp()


class Holdings:
    """Items and collections, ready to be searched; newest items first, then by id."""

    def __init__(self, collections: list[Json], items: list[Json]) -> None:
        self.collections = {c["id"]: c for c in collections}
        spans = {i["id"]: self._span(i["properties"]) for i in items}
        self.items = sorted(items, key=lambda i: (-spans[i["id"]][0], i["id"]))
        self._start, self._end = np.array([spans[i["id"]] for i in self.items]).T
        self._shape = shapely.from_geojson([json.dumps(i["geometry"]) for i in self.items])

    @staticmethod
    def _span(properties: Json) -> tuple[float, float]:
        when = properties["datetime"]
        start, end = properties.get("start_datetime") or when, properties.get("end_datetime") or when
        # As in pgstac: an item with an instant is at that instant, whatever else it says.
        return (_seconds(when), _seconds(when)) if when else (_seconds(start), _seconds(end))

    def search(self, asked: Json) -> list[Json]:
        """The items that a search's body asks for, in its order.

        Raises:
            HTTPException: 400, the body asks for what makes no sense.
        """
        keep: NDArray[np.bool_] = np.ones(len(self.items), dtype=bool)
        if (box := asked.get("bbox")) is not None:
            w, s, e, n = box if len(box) == 4 else (box[0], box[1], box[3], box[4])
            boxes = [(w, s, e, n)] if w <= e else [(w, s, 180, n), (-180, s, e, n)]
            keep &= np.any([shapely.intersects(self._shape, shapely.box(*b)) for b in boxes], axis=0)
        if (shape := asked.get("intersects")) is not None:
            try:
                keep &= shapely.intersects(self._shape, shapely.from_geojson(json.dumps(shape)))
            except shapely.errors.ShapelyError as error:
                raise HTTPException(400, f"intersects: {error}") from error
        if when := asked.get("datetime"):
            interval = str_to_interval(when)
            start, end = interval if isinstance(interval, tuple) else (interval, interval)
            if start is not None:
                keep &= self._end >= start.timestamp()
            if end is not None:
                keep &= self._start <= end.timestamp()
        found = [self.items[k] for k in np.flatnonzero(keep)]
        if names := asked.get("collections"):
            found = [i for i in found if i["collection"] in names]
        if names := asked.get("ids"):
            found = [i for i in found if i["id"] in names]
        for name, conditions in (asked.get("query") or {}).items():
            found = [i for i in found if _passes(i, name, conditions)]
        return found


ALWAYS = ("type", "id", "collection")
"""What items have, whatever fields are asked for, as in pgstac."""


def selected(item: Json, fields: Json | None) -> Json:
    """An item with the fields that a search asks for, by their paths (`properties.datetime`); without any, all of it."""
    included, excluded = ([p.split(".") for p in (fields or {}).get(k) or ()] for k in ("include", "exclude"))
    if included:
        item = {k: item[k] for k in ALWAYS} | _included(item, included)
    return _without(item, excluded) if excluded else item


def _included(value: Json, paths: list[list[str]]) -> Json:
    out: Json = {}
    for key in dict.fromkeys(p[0] for p in paths if p[0] in value):
        below = [p[1:] for p in paths if p[0] == key]
        parted = all(below) and isinstance(value[key], dict)
        out[key] = _included(value[key], below) if parted else value[key]
    return out


def _without(value: Json, paths: list[list[str]]) -> Json:
    out = {k: v for k, v in value.items() if [k] not in paths}
    for key in {p[0] for p in paths if len(p) > 1 and isinstance(out.get(p[0]), dict)}:
        out[key] = _without(out[key], [p[1:] for p in paths if p[0] == key])
    return out


def _value(item: Json, name: str) -> Any:
    name = name.removeprefix("properties.")
    return item["properties"].get(name, item.get(name))


def _passes(item: Json, name: str, conditions: Json) -> bool:
    value = _value(item, name)
    for op, other in conditions.items():
        if op not in QUERY_OPERATORS:
            raise HTTPException(400, f"query: unknown operator {op!r}, expected one of {sorted(QUERY_OPERATORS)}")
        if value is None:
            return False
        try:
            if not QUERY_OPERATORS[op](value, other):
                return False
        except (TypeError, AttributeError) as error:
            raise HTTPException(
                400, f"query: {name} is {value!r}, which {op!r} cannot compare with {other!r}"
            ) from error
    return True


@attr.s
class Client(BaseCoreClient):
    """What stac-fastapi's routes call."""

    holdings: Holdings = attr.ib(kw_only=True)

    def _base(self, request: Request) -> str:
        return f"{str(request.base_url).rstrip('/')}{PREFIX}/"

    def _links(self, request: Request, *more: Json) -> list[Json]:
        return [{"rel": "root", "type": "application/json", "href": self._base(request)}, *more]

    def _item(self, item: Json, request: Request) -> Json:
        collection = f"{self._base(request)}collections/{item['collection']}"
        archive = f"{str(request.base_url).rstrip('/')}/archive/"
        links = self._links(
            request,
            {"rel": "collection", "type": "application/json", "href": collection},
            {"rel": "parent", "type": "application/json", "href": collection},
            {"rel": "self", "type": "application/geo+json", "href": f"{collection}/items/{item['id']}"},
        )
        assets = {k: a | {"href": archive + a["href"]} for k, a in item["assets"].items()}
        return item | {"assets": assets, "links": links}

    def _page(self, asked: Json, request: Request, token: str | None, path: str = "search") -> Json:
        found = self.holdings.search(asked)
        limit = min(asked.get("limit") or DEFAULT_LIMIT, MAX_LIMIT)
        start = _start(token)
        fields = asked.get("fields")
        features = [selected(self._item(i, request), fields) for i in found[start : start + limit]]
        links = self._links(request)
        if start + limit < len(found):
            following = f"next:{start + limit}"
            link: Json = {"rel": "next", "type": "application/geo+json", "method": request.method}
            if request.method == "POST":
                body = {k: v for k, v in asked.items() if v is not None} | {"token": following}
                link |= {"href": f"{self._base(request)}{path}", "body": body}
            else:
                parameters = dict(request.query_params) | {"token": following}
                link["href"] = f"{self._base(request)}{path}?{urllib.parse.urlencode(parameters)}"
            links.append(link)
        return {
            "type": "FeatureCollection",
            "features": features,
            "links": links,
            "numberMatched": len(found),
            "numberReturned": len(features),
        }

    def post_search(self, search_request: Any, request: Request, **_: Any) -> Json:  # type: ignore[override]  # typed dicts there
        """POST /search."""
        asked = search_request.model_dump(mode="json", exclude_none=True, by_alias=True)
        return self._page(asked, request, asked.pop("token", None))

    def get_search(  # type: ignore[override]  # typed dicts there
        self,
        request: Request,
        collections: list[str] | None = None,
        ids: list[str] | None = None,
        bbox: list[float] | None = None,
        intersects: str | None = None,
        datetime: Any = None,
        limit: int | None = None,
        token: str | None = None,
        query: str | None = None,
        fields: list[str] | None = None,
        **_: Any,
    ) -> Json:
        """GET /search."""
        asked = {
            "collections": collections,
            "ids": ids,
            "bbox": bbox,
            "intersects": _parsed(intersects, "intersects"),
            "datetime": request.query_params.get("datetime"),
            "limit": limit,
            "query": _parsed(query, "query"),
            "fields": {
                "include": [f.removeprefix("+") for f in fields or () if not f.startswith("-")],
                "exclude": [f[1:] for f in fields or () if f.startswith("-")],
            },
        }
        if unknown := set(request.query_params) - {*asked, "token"}:
            raise HTTPException(400, f"{sorted(unknown)}: not understood, expected some of {sorted(asked)}")
        return self._page(asked, request, token)

    def get_item(self, item_id: str, collection_id: str, request: Request, **_: Any) -> Json:  # type: ignore[override]  # typed dicts there
        """GET /collections/{collection}/items/{item}."""
        for item in self.holdings.search({"ids": [item_id], "collections": [collection_id]}):
            return self._item(item, request)
        raise NotFoundError(f"no item {item_id} in collection {collection_id}")

    def _collection(self, collection: Json, request: Request) -> Json:
        href = f"{self._base(request)}collections/{collection['id']}"
        links = self._links(
            request,
            {"rel": "parent", "type": "application/json", "href": self._base(request)},
            {"rel": "self", "type": "application/json", "href": href},
            {"rel": "items", "type": "application/geo+json", "href": f"{href}/items"},
        )
        return collection | {"links": links}

    def all_collections(self, request: Request, **_: Any) -> Json:  # type: ignore[override]  # typed dicts there
        """GET /collections."""
        return {
            "collections": [self._collection(c, request) for c in self.holdings.collections.values()],
            "links": self._links(request),
        }

    def get_collection(self, collection_id: str, request: Request, **_: Any) -> Json:  # type: ignore[override]  # typed dicts there
        """GET /collections/{collection}."""
        if collection_id not in self.holdings.collections:
            raise NotFoundError(f"no collection {collection_id}; there are {sorted(self.holdings.collections)}")
        return self._collection(self.holdings.collections[collection_id], request)

    def item_collection(  # type: ignore[override]  # typed dicts there
        self,
        collection_id: str,
        request: Request,
        bbox: list[float] | None = None,
        datetime: Any = None,
        limit: int | None = None,
        token: str | None = None,
        **_: Any,
    ) -> Json:
        """GET /collections/{collection}/items."""
        self.get_collection(collection_id, request)
        asked = {
            "collections": [collection_id],
            "bbox": bbox,
            "datetime": request.query_params.get("datetime"),
            "limit": limit,
        }
        token = token or request.query_params.get("token")
        return self._page(asked, request, token, f"collections/{collection_id}/items")


def _parsed(text: Any, name: str) -> Any:
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise HTTPException(400, f"{name}: expected JSON: {error}") from error


def _start(token: str | None) -> int:
    if token is None:
        return 0
    head, _, digits = token.partition(":")
    if head != "next" or not digits.isdigit():
        raise HTTPException(400, f"token: expected one that a page gave, got {token!r}")
    return int(digits)


def make_app(collections: list[Json], items: list[Json]) -> FastAPI:
    """An application that answers as a STAC API under /stac."""
    extensions = [QueryExtension(), FieldsExtension(), TokenPaginationExtension()]
    post: type = create_post_request_model(extensions)
    # What is not understood is refused: without its filter or order a search would answer another question.
    body = type(post.__name__, (post,), {}, extra="forbid")
    app: FastAPI = StacApi(
        app=FastAPI(),
        router=APIRouter(prefix=PREFIX),
        settings=ApiSettings(),
        client=Client(
            holdings=Holdings(collections, items),
            landing_page_id="embedded",
            title="The embedded Earth",
            description="A small deterministic Earth made by this project: it shows no real place.",
        ),
        extensions=extensions,
        search_get_request_model=create_get_request_model(extensions),
        search_post_request_model=body,
    ).app
    return app
