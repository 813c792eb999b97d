"""Earth Engine on loopback: what its official client library asks of the REST API, answered as the service does.

The discovery document and the list of functions are those that the library brings along, recorded from the service; of the
first the version is made the one that the library asks for, and of `listAssets` the two parameters are added that the
library sends and the recording is without. Whoever asks must bring a token that was given here for a signed assertion.
What `computePixels` answers is worked out of the expression that was sent: a masked pixel is 0 unless that unmasks it.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import importlib.resources
import json
import re
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import shapely
from affine import Affine
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import jwt
from rasterio.io import MemoryFile

from tests.loopback import Request, serving

COLLECTION = "projects/earthengine-public/assets/GOOGLE/DYNAMICWORLD/V1"
PROJECT = "a-project"
MAIL = "who@a-project.iam.gserviceaccount.com"
OTHER_MAIL = MAIL.replace("who", "other")
SIGNER = rsa.generate_private_key(65537, 2048)


@dataclass
class Image:
    """An image of the collection, whose mask is where its codes are 255."""

    id: str
    time: dt.datetime
    footprint: shapely.Polygon
    codes: np.ndarray
    transform: Affine
    epsg: int


@dataclass
class Engine:
    """The service, and what was asked of it."""

    images: list[Image] = field(default_factory=list)
    refuse: Callable[[str, int], tuple[int, dict[str, str]] | None] = lambda what, number: None
    """Status and headers in place of the answer to the n-th request of a kind (`list`, `pixels`), from 1 on."""
    barred: set[str] = field(default_factory=set)
    """Accounts that are given a token, and may use nothing."""
    answer_s: float = 0.0
    """How long it works on pixels."""
    counts: Counter[str] = field(default_factory=Counter)
    asked: list[tuple[str, int, float, float]] = field(default_factory=list)
    """Of each request of pixels that was answered: image, EPSG, west and north edge."""
    most_at_once: int = 0
    spoils: Callable[[bytes], bytes] = lambda data: data
    """What becomes of a GeoTIFF on its way."""
    problems: list[str] = field(default_factory=list)
    """What was asked in another form than the service's: a test looks that there is nothing."""
    url: str = ""
    _tokens: dict[str, str] = field(default_factory=dict)
    """Token → whose it is."""
    _now: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def key_file(self, path: Path, mail: str = MAIL) -> Path:
        """A service account's key, as the console gives it."""
        key = SIGNER.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        value = {"type": "service_account", "project_id": PROJECT, "client_email": mail, "private_key_id": "1"}
        path.write_text(json.dumps(value | {"private_key": key.decode(), "token_uri": f"{self.url}/token"}))
        return path

    def answer(self, request: Request) -> None:
        url = urlsplit(request.path)
        given = request.headers.get("Authorization", "")
        if given and (url.path == "/token" or not given.startswith("Bearer ")):
            self.problems.append(f"{request.path}: was sent {given}")
        if url.path == "/token":
            return self._token(request)
        mail = self._tokens.get(given.removeprefix("Bearer "))
        if mail is None:
            return self._error(request, 401, "Request had invalid authentication credentials.")
        if url.path == "/$discovery/rest":
            return _json(request, self._discovery())
        if url.path == f"/v1/projects/{PROJECT}/algorithms":
            return _json(request, _shipped("algorithms.json"))
        kinds = {
            f"/v1/{COLLECTION}:listAssets": ("list", self._list),
            f"/v1/projects/{PROJECT}/image:computePixels": ("pixels", self._pixels),
        }
        if url.path not in kinds:
            self.problems.append(request.path)
            return self._error(request, 404, "Not found.")
        what, act = kinds[url.path]
        with self._lock:
            self.counts[what] += 1
            number = self.counts[what]
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        try:
            if mail in self.barred:
                return self._error(request, 403, "Caller does not have required permission.")
            if refused := self.refuse(what, number):
                return self._error(request, refused[0], "Too many requests, or the like.", refused[1])
            return act(request, parse_qs(url.query))
        finally:
            with self._lock:
                self._now -= 1

    def _token(self, request: Request) -> None:
        form = parse_qs(request.body.decode())
        public = SIGNER.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        claims = jwt.decode(form["assertion"][0], certs=public, audience="https://oauth2.googleapis.com/token")
        if (
            claims["iss"] not in (MAIL, OTHER_MAIL)
            or "https://www.googleapis.com/auth/earthengine" not in claims["scope"]
        ):
            return self._error(request, 400, "invalid_scope")
        token = f"token-{len(self._tokens)}-{time.monotonic_ns()}"
        self._tokens[token] = claims["iss"]
        return _json(request, {"access_token": token, "expires_in": 3600, "token_type": "Bearer"})

    def _discovery(self) -> dict[str, Any]:
        text = json.dumps(_shipped("cloud_api_discovery_document.json")).replace("v1alpha", "v1")
        value = json.loads(text)
        value["rootUrl"] = f"{self.url}/"
        listing = value["resources"]["projects"]["resources"]["assets"]["methods"]["listAssets"]["parameters"]
        listing |= {name: {"location": "query", "type": "string"} for name in ("filter", "view")}
        return value

    def _list(self, request: Request, query: dict[str, list[str]]) -> None:
        form = r'startTime >= "(.+?)" AND endTime < "(.+?)" AND intersects\("(.+)"\)'
        found = re.fullmatch(form, query["filter"][0])
        if found is None or query.get("view") != ["BASIC"]:
            self.problems.append(str(query))
            return self._error(request, 400, "Invalid filter.")
        start, end = (dt.datetime.fromisoformat(found[n]) for n in (1, 2))
        region = shapely.geometry.shape(json.loads(found[3].replace("'", '"')))
        there = [i for i in self.images if start <= i.time < end and i.footprint.intersects(region)]
        # In pages of one: whoever reads the first alone misses the rest.
        at = int(query.get("pageToken", ["0"])[0])
        page: dict[str, Any] = {
            "assets": [
                {"type": "IMAGE", "name": f"{COLLECTION}/{i.id}", "id": f"GOOGLE/DYNAMICWORLD/V1/{i.id}"}
                for i in there[at : at + 1]
            ]
        }
        return _json(request, page | ({"nextPageToken": str(at + 1)} if at + 1 < len(there) else {}))

    def _pixels(self, request: Request, query: dict[str, list[str]]) -> None:
        body = json.loads(request.body)
        its, size = body["grid"]["affineTransform"], body["grid"]["dimensions"]
        at = Affine(its["scaleX"], its["shearX"], its["translateX"], its["shearY"], its["scaleY"], its["translateY"])
        expression = Expression(self.images, body["expression"]["values"], at, (size["height"], size["width"]))
        try:
            assert body["fileFormat"] == "GEO_TIFF"
            image, codes = expression.value({"valueReference": body["expression"]["result"]})
            assert body["grid"]["crsCode"] == f"EPSG:{image.epsg}"
            assert (at.a, at.b, at.d, at.e) == (10, 0, 0, -10)
        except (AssertionError, LookupError) as err:
            self.problems.append(f"{err!r}: {json.dumps(body)}")
            return self._error(request, 400, "Image.load: no such asset, or another grid or format.")
        time.sleep(self.answer_s)
        with MemoryFile() as file:
            profile = {
                "driver": "GTiff",
                "width": size["width"],
                "height": size["height"],
                "count": 1,
                "dtype": "uint8",
            }
            with file.open(**profile, crs=body["grid"]["crsCode"], transform=at) as tif:
                tif.write(codes.filled(0), 1)  # without a word on what is masked
            data = file.read()
        with self._lock:
            self.asked.append((image.id, image.epsg, at.c, at.f))
        return request.send(200, self.spoils(data), Content_Type="image/tiff")

    def _error(self, request: Request, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        value = {"error": {"code": status, "message": message, "status": "X"}}
        request.send(status, json.dumps(value).encode(), Content_Type="application/json", **(headers or {}))


@dataclass
class Expression:
    """What is computed: its values, on a grid. An image is (itself, masked array of its codes), masked past its edge."""

    images: list[Image]
    values: dict[str, Any]
    at: Affine
    shape: tuple[int, int]

    def value(self, node: dict[str, Any]) -> Any:
        (kind,) = node
        if kind == "valueReference":
            return self.value(self.values[node[kind]])
        if kind == "constantValue":
            return node[kind]
        if kind == "arrayValue":
            return [self.value(v) for v in node[kind]["values"]]
        call = node[kind]
        given = {name: self.value(v) for name, v in call["arguments"].items()}
        return FUNCTIONS[call["functionName"]](self, **given)

    def load(self, id: str) -> tuple[Image, np.ma.MaskedArray]:
        collection, _, name = id.rpartition("/")
        assert collection == "GOOGLE/DYNAMICWORLD/V1"
        image = next(i for i in self.images if i.id == name)
        col, row = (round(v) for v in ~image.transform * (self.at.c, self.at.f))
        rows, cols = np.arange(self.shape[0])[:, None] + row, np.arange(self.shape[1])[None, :] + col
        inside = (rows >= 0) & (rows < image.codes.shape[0]) & (cols >= 0) & (cols < image.codes.shape[1])
        codes = image.codes[rows.clip(0, image.codes.shape[0] - 1), cols.clip(0, image.codes.shape[1] - 1)]
        return image, np.ma.masked_array(codes, ~inside | (codes == 255))

    def select(self, input: Any, bandSelectors: list[str]) -> Any:
        assert bandSelectors == ["label"]
        return input

    def unmask(self, input: Any, value: Any = 0, sameFootprint: bool = True) -> Any:
        image, codes = input
        assert sameFootprint is False  # else what lies outside of the image stays masked
        return image, np.ma.masked_array(codes.filled(value), False)


FUNCTIONS = {
    "Image.load": Expression.load,
    "Image.select": Expression.select,
    "Image.unmask": Expression.unmask,
    "Image.toByte": lambda _, value: value,
    "Image.constant": lambda _, value: value,
}


@contextlib.contextmanager
def serving_engine(secured: ssl.SSLContext | None = None) -> Iterator[Engine]:
    """The service, of https where it is secured.

    Once the block has ended well, nothing may have been asked of it that it does not know, or with what it does not want.
    """
    engine = Engine()
    with serving(engine.answer, secured) as url:
        engine.url = url
        yield engine
    assert engine.problems == []


def _json(request: Request, value: Any) -> None:
    request.send(200, json.dumps(value).encode(), Content_Type="application/json; charset=UTF-8")


def _shipped(name: str) -> dict[str, Any]:
    return json.loads((importlib.resources.files("ee") / "tests" / name).read_text())
