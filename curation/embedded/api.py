"""A STAC API over a list of items in memory: stac-fastapi's models and routes, cql2's filters, and a search of our own."""

from __future__ import annotations

import copy
import datetime as dt
import json
import operator
import urllib.parse
from collections.abc import Callable
from typing import Any

import attr
import cql2
import numpy as np
import shapely
from fastapi import APIRouter, FastAPI, HTTPException, Request
from numpy.typing import NDArray
from stac_fastapi.api.app import StacApi
from stac_fastapi.api.models import create_get_request_model, create_post_request_model
from stac_fastapi.extensions import (
    FieldsExtension,
    QueryExtension,
    SearchFilterExtension,
    SortExtension,
    TokenPaginationExtension,
)
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


class Index:
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
        if asked.get("filter"):
            found = _filtered(found, asked["filter"])
        for by in reversed(asked.get("sortby") or []):
            found = _sorted(found, self.items, by["field"], descending=by["direction"] == "desc")
        return found


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


def _filtered(items: list[Json], text: Any) -> list[Json]:
    try:
        expression = cql2.Expr(text)
        expression.validate()
        return [i for i in items if expression.matches(i)]
    except Exception as error:
        raise HTTPException(400, f"filter: {error}") from error


def _sorted(items: list[Json], every: list[Json], name: str, *, descending: bool) -> list[Json]:
    if all(_value(i, name) is None for i in every):
        raise HTTPException(400, f"sortby: no item has {name!r}")
    have = [i for i in items if _value(i, name) is not None]
    try:
        have.sort(key=lambda i: _value(i, name), reverse=descending)
    except TypeError as error:
        raise HTTPException(400, f"sortby: values of {name!r} have no order") from error
    return have + [i for i in items if _value(i, name) is None]


def _picked(item: Json, include: set[str], exclude: set[str]) -> Json:
    """The fields asked for; id and collection always stay."""
    out: Json = {k: v for k, v in item.items() if not include or k in include or k in ("id", "collection", "type")}
    for path in include:
        head, _, rest = path.partition(".")
        if rest and head in item and head not in include and rest in item[head]:
            out.setdefault(head, {})[rest] = item[head][rest]
    for path in exclude - {"id", "collection"}:
        head, _, rest = path.partition(".")
        if not rest:
            out.pop(head, None)
        elif head in out:
            out[head] = {k: v for k, v in out[head].items() if k != rest}
    return out


@attr.s
class Client(BaseCoreClient):
    """What stac-fastapi's routes call."""

    index: Index = attr.ib(kw_only=True)

    def _base(self, request: Request) -> str:
        return f"{str(request.base_url).rstrip('/')}{PREFIX}/"

    def _links(self, request: Request, *more: Json) -> list[Json]:
        return [{"rel": "root", "type": "application/json", "href": self._base(request)}, *more]

    def _item(self, item: Json, request: Request) -> Json:
        out = copy.copy(item)
        collection = f"{self._base(request)}collections/{item['collection']}"
        archive = f"{str(request.base_url).rstrip('/')}/archive/"
        out["assets"] = {k: a | {"href": archive + a["href"]} for k, a in item["assets"].items()}
        out["links"] = self._links(
            request,
            {"rel": "collection", "type": "application/json", "href": collection},
            {"rel": "parent", "type": "application/json", "href": collection},
            {"rel": "self", "type": "application/geo+json", "href": f"{collection}/items/{item['id']}"},
        )
        return out

    def _page(self, asked: Json, request: Request, token: str | None, path: str = "search") -> Json:
        found = self.index.search(asked)
        limit = min(asked.get("limit") or DEFAULT_LIMIT, MAX_LIMIT)
        start = _start(token)
        features = [self._item(i, request) for i in found[start : start + limit]]
        if fields := asked.get("fields"):
            include, exclude = set(fields.get("include") or ()), set(fields.get("exclude") or ())
            features = [_picked(f, include, exclude) for f in features]
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
        asked["filter"] = asked.pop("filter_expr", asked.get("filter"))
        for name in ("filter-crs", "filter-lang", "filter_crs", "filter_lang"):
            asked.pop(name, None)
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
        sortby: list[str] | None = None,
        fields: list[str] | None = None,
        filter_expr: str | None = None,
        filter_lang: str | None = None,
        **_: Any,
    ) -> Json:
        """GET /search."""
        words = fields or []
        asked = {
            "collections": collections,
            "ids": ids,
            "bbox": bbox,
            "intersects": _parsed(intersects, "intersects"),
            "datetime": request.query_params.get("datetime"),
            "limit": limit,
            "query": _parsed(query, "query"),
            "filter": _parsed(filter_expr, "filter") if filter_lang == "cql2-json" else filter_expr,
            "sortby": [
                {"field": w.lstrip("+- "), "direction": "desc" if w.startswith("-") else "asc"} for w in sortby or []
            ],
            "fields": {
                "include": [w.lstrip("+ ") for w in words if not w.startswith("-")],
                "exclude": [w[1:] for w in words if w.startswith("-")],
            }
            if words
            else None,
        }
        return self._page(asked, request, token)

    def get_item(self, item_id: str, collection_id: str, request: Request, **_: Any) -> Json:  # type: ignore[override]  # typed dicts there
        """GET /collections/{collection}/items/{item}."""
        for item in self.index.search({"ids": [item_id], "collections": [collection_id]}):
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
            "collections": [self._collection(c, request) for c in self.index.collections.values()],
            "links": self._links(request),
        }

    def get_collection(self, collection_id: str, request: Request, **_: Any) -> Json:  # type: ignore[override]  # typed dicts there
        """GET /collections/{collection}."""
        if collection_id not in self.index.collections:
            raise NotFoundError(f"no collection {collection_id}; there are {sorted(self.index.collections)}")
        return self._collection(self.index.collections[collection_id], request)

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
    extensions = [
        QueryExtension(),
        # The class that clients look for; the extension names only its newer relatives.
        SortExtension(conformance_classes=["https://api.stacspec.org/v1.0.0/item-search#sort"]),
        FieldsExtension(),
        SearchFilterExtension(),
        TokenPaginationExtension(),
    ]
    post = create_post_request_model(extensions)
    app: FastAPI = StacApi(
        app=FastAPI(),
        router=APIRouter(prefix=PREFIX),
        settings=ApiSettings(),
        client=Client(
            index=Index(collections, items),
            landing_page_id="embedded",
            title="The embedded Earth",
            description="A small deterministic Earth made by this project: it shows no real place.",
        ),
        extensions=extensions,
        search_get_request_model=create_get_request_model(extensions),
        search_post_request_model=post,
    ).app
    return app
