"""Dynamic World maps of Earth Engine, image by image, place by place: the extra `earthengine`.

Of each image that patches are built of, the collection is asked for its id there (`listImages`: ids of Earth Engine name a
second instant, which no STAC item tells), and of each place for the label band on the place's own grid (`computePixels`):
264 px are 70 kB and a fraction of what an export of the image takes of a project's quota. What is masked (cloud, shadow, and
ground that the image does not reach) is asked for as 255: masked pixels come as 0, which is water.

It was written by the library's own code and by what is documented, and is tested against a server on loopback that speaks
the same wire form to that library. It was never run against the real service.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import logging
import os
import random
import re
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import requests
import shapely
from numpy.typing import NDArray
from urllib3 import Retry

from curation.errors import (
    AccessError,
    ConfigError,
    CurationError,
    NoAccessError,
    NoTileError,
    PassingError,
    ReadError,
    TrustError,
    extras,
)
from curation.errors.causes import first_line, one_line
from curation.errors.codes import Code
from curation.errors.printable import printable
from curation.errors.words import counted, shortened
from curation.model import Location
from curation.outcomes import Reject, Status
from curation.pack.labels import mapfile
from curation.pack.labels.making import MapsJob, MapsPlan, Wanted
from curation.places import regions
from curation.read.http import retry_after_s
from curation.recipe.access import is_private
from curation.recipe.dataset import Dataset
from curation.recipe.digests import digest
from curation.scenes import acquisition, session
from curation.store import trust
from curation.work.progress import shown_bytes

if TYPE_CHECKING:
    import httplib2

log = logging.getLogger(__name__)
T = TypeVar("T")

COLLECTION, BAND, GAP = "GOOGLE/DYNAMICWORLD/V1", "label", 255
"""What is asked for, and the code that masked pixels are asked for as."""

ENDPOINT = "https://earthengine-highvolume.googleapis.com"
"""For many small requests, as Earth Engine's guide has it: more of them at a time, each less cached."""

AT_ONCE = 40
"""Requests that a project may have under way (developers.google.com/earth-engine/guides/usage, as of 2026)."""

MOST_PX, MOST_BYTES = 10_000, 32 * 2**20
"""Of one answer: pixels along a side, and bytes before packing."""

TRIES = 6
"""How often a request is made that fails for what may pass: too many of them (429), a server's error, a lost connection."""
FIRST_WAIT_S, MOST_WAIT_S = 1.0, 60.0
"""Before the second try; twice as long before each that follows, up to the second; half of it by chance."""

CONNECT_S, READ_S = 20.0, 330.0
"""A connection, and the next bytes of an answer: Earth Engine itself gives a request up after five minutes."""

_ID = re.compile(r"[0-9]{8}T[0-9]{6}_[0-9]{8}T[0-9]{6}_T[0-9]{2}[C-X][A-Z]{2}")
_PASSING = frozenset((408, 425, 429))
_REFUSED = frozenset((401, 403))


@dataclass(frozen=True, slots=True)
class EarthEngine:
    """Maps that Earth Engine is asked for."""

    endpoint: str
    """URL of its REST API, without a secret."""
    project: str
    """The Cloud project that requests count for; that of the credentials where empty."""
    at_once: int
    """Requests that a worker may have under way."""
    legend: str
    """Digest of the classes that codes are read by."""

    def check_there(self) -> None:
        """Passes where a connection can be made to it from this machine.

        Raises:
            ConfigError: not so. Its library would be asked for minutes, map by map.
        """
        where = printable(self.endpoint)
        log.info("labels: %s: asking %s", self.title, where)
        session.check_there(self.endpoint, f"{self.title} at {where}")

    def shared(self, workers: int) -> EarthEngine:
        """The same, for each of so many workers: of more than `AT_ONCE` each may have one request under way."""
        return replace(self, at_once=max(AT_ONCE // workers, 1))

    def costs(self, plan: MapsPlan) -> tuple[str, ...]:
        """What it would ask for, where no try fails."""
        return (
            f"asks for {counted(plan.asked, 'id')} of images and {counted(plan.todo, 'map')}: "
            f"{counted(plan.asked + plan.todo, 'request')}, {AT_ONCE} at a time, and {shown_bytes(plan.raw_bytes)} of "
            "pixels at most; nothing was asked now",
        )

    @property
    def key(self) -> str:
        """Its maps do not depend on who asked, nor where."""
        return f"earthengine-{digest([COLLECTION, BAND, GAP, self.legend])[:16]}"

    @property
    def title(self) -> str:
        """For a person."""
        return f"Earth Engine {COLLECTION}"

    @property
    def made_by(self) -> str:
        """The collection: each image of it is what it is for good."""
        return f"Earth Engine {COLLECTION} {BAND}, masked as {GAP}"

    def input_digest(self, dataset: Dataset, chunks: Mapping[str, str]) -> str:
        """Nothing that is stored here."""
        return ""

    def image(self, wanted: Sequence[Wanted]) -> str:
        """Id in the collection of the image that a scene is; of several, an acquisition processed again, the last.

        Raises:
            Reject: `no_match`: the collection has none. It has those that are at most 35 % cloud, and not all of them.
            NoTileError: by what is known of the scene it cannot be asked for.
            ReadError: it could not be asked.
        """
        its = wanted[0].image
        begin = its.start or its.sensed
        if begin is None or its.tile is None:
            raise NoTileError(
                f"{self.title}: scene {printable(wanted[0].scene)}: tells {'no time' if its.tile else 'no tile'}, expected "
                "an id with the tile and a time: the collection was not asked. Build of another catalog, or import maps"
            )
        # Of an image the collection has the instant that its tile was sensed; ours tell that, or the datatake's start.
        about = dt.timedelta(seconds=acquisition.DATATAKE_S)
        asked = {
            "parent": COLLECTION,
            "startTime": _instant(begin - about),
            "endTime": _instant(begin + about),
            "region": around([w.place for w in wanted]),
            "view": "BASIC",
        }
        found = self._asked(lambda ee: ee.data.listImages(asked))
        try:
            names = [str(one["name"]).rpartition("/")[2] for one in found["images"]]
        except (KeyError, TypeError) as err:
            raise ReadError(f"{self.title}: an answer without names of images: {one_line(err)}") from err
        mine = sorted(name for name in names if self.is_of(name, wanted[0]))
        if not mine:
            raise Reject(Code.NO_MATCH, status=Status.ABSENT)
        return mine[-1]

    def is_of(self, name: str, wanted: Wanted) -> bool:
        """Whether an id is of a scene's image. One of another form, from wherever it comes, never is."""
        image = acquisition.of_id(name) if _ID.fullmatch(name) else None
        return image is not None and acquisition.same(image, wanted.image)

    def pixels(self, job: MapsJob, wanted: Wanted, image: str) -> NDArray[np.uint8]:
        """The label band on the place's grid, nearest; masked pixels are 255.

        Raises:
            ReadError: it could not be had, or what came is not that.
        """
        place, array = wanted.place, job.array
        px, step = array.px(place.size_m), array.step(place.size_m)
        affine = {"scaleX": step, "shearX": 0, "translateX": place.x0_m, "shearY": 0, "scaleY": -step}
        grid = {
            "dimensions": {"width": px, "height": px},
            "affineTransform": affine | {"translateY": place.y0_m},
            "crsCode": f"EPSG:{place.epsg}",
        }

        def ask(ee: Any) -> NDArray[np.uint8]:
            label = ee.Image(f"{COLLECTION}/{image}").select(BAND).unmask(GAP, False).toByte()
            data = ee.data.computePixels({"expression": label, "fileFormat": "GEO_TIFF", "grid": grid})
            where = f"{self.title} {image} at {place.id}"
            if not isinstance(data, bytes):
                raise ReadError(f"{where}: an answer that is no GeoTIFF")
            return mapfile.opened(data, place, array, where)

        return self._asked(ask)

    def _asked(self, ask: Callable[[Any], T]) -> T:
        """What Earth Engine answers, as the library that it is given asks; tried again where it fails for what may pass."""
        for attempt in range(1, TRIES + 1):
            opened = None
            try:
                with _slots(self.at_once):
                    opened = _opened(self.endpoint, self.project)
                    return ask(opened.ee)
            except CurationError as err:
                passing = err
            except Exception as err:  # noqa: BLE001 - the library raises what its own ones do
                passing = translated(err, self.title)
            if opened is not None and isinstance(passing, AccessError):
                _forget(opened)
            if not isinstance(passing, PassingError) or attempt == TRIES:
                raise passing
            least_s = min(FIRST_WAIT_S * 2 ** (attempt - 1), MOST_WAIT_S) * (0.5 + random.random() / 2)
            time.sleep(min(max(passing.wait_s, least_s), MOST_WAIT_S))
        raise AssertionError("unreachable")


def around(places: Sequence[Location]) -> dict[str, Any]:
    """GeoJSON of a box in lon/lat that holds the outlines of places, cut at the antimeridian.

    An image may reach some of them alone.
    """
    lat = np.array([p.lat for p in places])
    lon = places[0].lon + (np.array([p.lon for p in places]) - places[0].lon + 180) % 360 - 180
    # Degrees of latitude: a side, where a half diagonal would do.
    reach = np.array([p.size_m for p in places]) / 111_000
    wide = reach / np.cos(np.radians(lat))
    box = shapely.box((lon - wide).min(), (lat - reach).min(), (lon + wide).max(), (lat + reach).max())
    found: dict[str, Any] = shapely.geometry.mapping(regions.wrapped(box))
    return found


def of(dataset: Dataset, source: str, legend: str, project: str, endpoint: str) -> EarthEngine:
    """Earth Engine for the labels of a recipe.

    Raises:
        ConfigError: an endpoint that is sent a token in the open; a place is too large for one answer; the labels are of
            other classes; or the extra is not installed.
    """
    extras.check("earthengine", "labels earthengine")
    if not is_private(endpoint):
        raise ConfigError(f"--endpoint {printable(endpoint)}: expected https: a token goes there")
    array = next(iter(dataset.arrays[source].values()))
    px = array.px(dataset.recipe.grid.size)
    if px > MOST_PX or px * px > MOST_BYTES:
        raise ConfigError(
            f"{dataset.path}: places of {px} px: Earth Engine answers with {MOST_PX} px and 32 MiB at most"
        )
    codes = {c.code for c in dataset.specs[source].kind.legend}
    if codes != set(range(9)) or array.nodata != GAP or array.dtype != "uint8":
        raise ConfigError(
            f"source {source!r}: has codes {sorted(codes)} and nodata {array.nodata:g} in {array.dtype}, expected Dynamic "
            f"World's: 0 to 8 and {GAP} in uint8"
        )
    return EarthEngine(endpoint.rstrip("/"), project, AT_ONCE, legend)


def check_account(project: str) -> None:
    """Passes where credentials are found on this machine and say, or somebody says, what project requests count for.

    Raises:
        NoAccessError: not so.
    """
    log.info("labels: looking for an account of Earth Engine")
    try:
        _project(_credentials(), project)
    except AccessError as err:
        raise NoAccessError(str(err)) from None
    except PassingError:
        log.warning("labels: whether the account is good could not be found out; workers will")


_WANTS = (
    "Earth Engine wants an account: run `earthengine authenticate`, or name a service account's key file in "
    "GOOGLE_APPLICATION_CREDENTIALS, where the work is done; and register a Cloud project for it"
)


def _credentials() -> Any:
    """What lets one in, asked for when it is used: as `earthengine authenticate` left it, or Google's default.

    Raises:
        AccessError: there is none.
        PassingError: whoever renews it could not be asked.
    """
    import ee
    import google.auth
    from google.auth import exceptions

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a quota project, which is told below
            if os.environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
                return google.auth.default(scopes=ee.oauth.SCOPES)[0]
            return ee.data.get_persistent_credentials()
    except exceptions.TransportError as err:
        raise PassingError(f"Earth Engine: credentials: {one_line(err)}") from None
    except (ee.EEException, exceptions.GoogleAuthError, OSError, ValueError) as err:
        raise AccessError(f"{_WANTS} ({type(err).__name__}: {first_line(err, 200)})") from None


def _project(credentials: Any, said: str) -> str:
    found = said or credentials.quota_project_id or getattr(credentials, "project_id", None)
    if not found:
        raise AccessError("Earth Engine: no Cloud project that requests count for: say --project")
    return str(found)


@dataclass(frozen=True, slots=True, eq=False)
class _Opened:
    """The library, speaking with some credentials."""

    ee: Any


_engine_lock = threading.Lock()
_engines: dict[tuple[int, str, str], _Opened] = {}


def _forget(opened: _Opened) -> None:
    """Has credentials looked for anew by who asks next: those that were refused may have been renewed."""
    with _engine_lock:
        if opened in _engines.values():  # another thread may have been refused with the same, and have new ones by now
            _engines.clear()


def _opened(endpoint: str, project: str) -> _Opened:
    """The library, speaking to an endpoint for a project: once per process, since its state is the process's."""
    key = (os.getpid(), endpoint, project)
    with _engine_lock:
        if key not in _engines:
            import ee

            credentials = _credentials()
            _engines.clear()
            ee.data.setMaxRetries(0)  # tries are counted here, and wait as long as the server says
            # Not `ee.Initialize`, which also fetches a list of deprecated data sets from another server, each time.
            ee.data.initialize(
                credentials,
                cloud_api_base_url=endpoint,
                project=_project(credentials, project),
                http_transport=_Transport(AT_ONCE),
            )
            _engines[key] = _Opened(ee)
        return _engines[key]


@functools.cache
def _slots(at_once: int) -> threading.BoundedSemaphore:
    """Leave to have one of the requests that this process may have under way, whatever tasks it runs."""
    return threading.BoundedSemaphore(at_once)


class _Transport:
    """What the library sends requests through: one pool of connections for all threads, deadlines, and answers that end.

    Its own has no deadline, a pool of ten, and trusts whom requests does. The token that the library gives goes with a
    request, nothing else does, and no redirect is followed: the service has none.
    """

    def __init__(self, at_once: int) -> None:
        self._session = session.ExplicitSession(Retry(0, read=False), pool_maxsize=at_once, pool_block=True)

    def request(
        self,
        uri: str,
        method: str = "GET",
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        redirections: int | None = None,
        connection_type: Any = None,
    ) -> tuple[httplib2.Response, bytes]:
        """An answer, in httplib2's form.

        Raises:
            TrustError: the service's certificate is not trusted.
            PassingError: no answer came.
            ReadError: it does not end.
        """
        import httplib2

        del redirections, connection_type
        try:
            how: dict[str, Any] = {"timeout": (CONNECT_S, READ_S), "stream": True, "allow_redirects": False}
            with self._session.request(method, uri, data=body, headers=headers, **how) as answer:
                content = bytearray()
                for part in answer.iter_content(2**16):
                    content += part
                    if len(content) > 2 * MOST_BYTES:
                        raise ReadError(f"{printable(uri)}: an answer of more than {2 * MOST_BYTES} bytes")
                return httplib2.Response({**answer.headers, "status": str(answer.status_code)}), bytes(content)
        except requests.RequestException as err:
            if trust.refused(err):
                raise TrustError(f"{printable(uri)}: {trust.advice()}") from None
            raise PassingError(f"{printable(uri)}: {one_line(err)}") from None


def translated(err: BaseException, where: str) -> ReadError:
    """What the library raised, as an error of ours: whether another try may help is told by the status of the answer."""
    for link in (err, err.__context__, err.__cause__):
        if isinstance(link, ReadError):
            return link
    answer = next((r for link in (err, err.__context__) if (r := getattr(link, "resp", None)) is not None), None)
    said = f"{where}: {shortened(printable(first_line(err)), 300)}"
    if answer is None:
        kind = type(err).__module__.partition(".")[0]
        refused = kind == "google" and "Refresh" in type(err).__name__
        if refused:
            return AccessError(f"{said}; {_WANTS}")
        return (
            PassingError(said)
            if kind == "google" or isinstance(err, OSError)
            else ReadError(f"{where}: {one_line(err)}")
        )
    status = int(getattr(answer, "status", 0))
    said = f"{said} (HTTP {status})"
    if status in _PASSING or status >= 500:
        headers = {name.title(): str(value) for name, value in answer.items()}
        wait_s = 0.0
        with contextlib.suppress(ValueError, OverflowError):
            wait_s = retry_after_s(headers)
        return PassingError(said, wait_s)
    if status in _REFUSED:
        return AccessError(f"{said}: the account may not use Earth Engine, or not for this project")
    return ReadError(said)


def _instant(time_utc: dt.datetime) -> str:
    return time_utc.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
