"""The searches of a dataset, saved: a rerun, a worker or another machine needs no catalog."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import logging
import threading
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from cachetools import LRUCache

from curation.errors import ConfigError, CurationError, StorageError
from curation.errors.words import counted, did_you_mean
from curation.model import STATIC, Scene, Window
from curation.recipe.catalogs import Catalog, Catalogs
from curation.recipe.dataset import Dataset
from curation.recipe.sources import SourceSpec
from curation.scenes.api import Api
from curation.scenes.askers import Askers
from curation.scenes.cells import SearchCell, together
from curation.scenes.items import Found, Query, Unreadable
from curation.scenes.snapshot import Snapshot
from curation.scenes.unreadable import ItemTally
from curation.store import paths
from curation.store.objects import Store

log = logging.getLogger(__name__)
T = TypeVar("T")
Wanted = tuple[SourceSpec, Window, SearchCell]
_Name = tuple[str, str, SearchCell]
"""Of one of them: source, window, cell."""
_Failed = dict[_Name, CurationError]

THREADS = 4
"""Searches under way at once: polite to a public API."""

AHEAD = 64
"""Pieces of work that are searched for while an earlier one is waited for."""

REMEMBERED = 10_000
"""Searches known to be saved: what is forgotten is looked for again."""

CACHED_SCENES = 10_000
"""Scenes of searches that a process keeps: some 30 MB. Neighbouring slabs share their searches."""

MOST_HINTS = 20_000
"""Ids among which one that was meant is looked for."""

CACHED_SEARCHES = 1000
"""Searches that it keeps, of which many may have found nothing."""


def opened(catalog: Catalog) -> Api | Snapshot:
    """The catalog, ready to be asked.

    Raises:
        ConfigError: it does not answer, or cannot be read.
    """
    return Snapshot(catalog) if catalog.is_file else Api(catalog)


READ_AS = 5
"""How items become scenes, part of each request: a search that was saved in another way is made again, never believed. Since
2, versions are compared as versions (scenes saved before may have another's offset), and what could not be read is saved;
since 3, names are saved in one spelling, relative hrefs as references, and hrefs without user, password and fragment; since
4, a radar scene's source of orbit and its slice; since 5, tiles of the first nine zones are one however they are written,
and an href has no user within its path either. `tests/scenes/test_recorded.py` tells who forgets to raise it. The code's own
hash would have catalogs asked anew for what they answered long ago, whatever is changed."""

_UNREADABLE = "unreadable"
"""Stands beside the request of a saved search that met items it could not read, and says how many: it is another than the
request then, so that the catalog is asked again for whatever is built of it later."""


class Searches:
    """The saved searches of a dataset, and the catalogs that answer those that are not saved yet."""

    def __init__(self, dataset: Dataset, catalogs: Catalogs, store: Store, name: str | None = None) -> None:
        self.dataset = dataset
        self.catalogs = catalogs
        self.store = store
        self.name = name or uuid.uuid4().hex
        """What a process has read for searches of this name is as good for others of it: workers take their client's."""
        self.answered = 0
        """Searches that this process has made."""
        self.read = {catalog: ItemTally() for catalog in catalogs.every}
        """Of the items of each catalog that were looked at by now: one that is broken is not made good by another."""
        self._opened: dict[Catalog, Api | Snapshot] = {}
        self._collections: dict[Catalog, set[str]] = {}
        self._opening = threading.Lock()

    def endpoint(self, catalog: Catalog) -> Api | Snapshot:
        """A catalog, opened at first use: a rerun that finds everything saved does not ask it at all."""
        with self._opening:
            if catalog not in self._opened:
                self._opened[catalog] = opened(catalog)
            return self._opened[catalog]

    def has(self, catalog: Catalog, collection: str) -> bool:
        """Whether a catalog has a collection: an API is asked once for all of them, and either is open for what is searched.

        Raises:
            ConfigError: it does not answer, or cannot be read.
        """
        endpoint = self.endpoint(catalog)
        if isinstance(endpoint, Snapshot):
            return endpoint.has(collection)
        if catalog not in self._collections:
            self._collections[catalog] = endpoint.collections()
        return collection in self._collections[catalog]

    def unreadable_share(self) -> str:
        """What is wrong with catalogs of which too much could not be read; empty where nothing is."""
        shares = ((catalog.label, read.unreadable()) for catalog, read in self.read.items())
        return "; ".join(f"catalog {label}: {found}" for label, found in shares if found)

    def doing(self) -> str:
        """What is being done while nothing is built yet: a few words."""
        return f"{counted(self.answered, 'search')} answered, the first slabs are being read"

    def run(
        self,
        wanted: Iterable[Wanted],
        *,
        refresh: bool = False,
        progress: Callable[[int], None] = lambda items: None,
    ) -> list[str]:
        """Searches what is not saved yet (with `refresh`, everything) and saves it; gives the differences, a line each.

        `progress` is told of the items that were looked at, where a catalog is a file.

        Raises:
            ConfigError: a catalog does not answer, or cannot be read.
            CurationError: a search failed: without its scenes every patch of the cell would be a false reject.
        """
        todo = (w for w in wanted if refresh or not self._is_saved(*w))
        lines: list[str] = []
        # As they come, so that none is kept: whoever wants many of one catalog of files asks for them one after another.
        for catalog, its in itertools.groupby(todo, lambda w: self.catalogs.of(w[0].name)):
            lines += self._asked(self.endpoint(catalog), its, progress)
        return lines

    def _asked(self, endpoint: Api | Snapshot, wanted: Iterable[Wanted], progress: Callable[[int], None]) -> list[str]:
        """Searches one catalog, and saves what it answers."""
        if isinstance(endpoint, Snapshot):
            by_query = endpoint.sweep((self._query(*w) for w in wanted), progress)
            return [line for query, found in by_query for line in self._save(query, found)]
        lines: list[str] = []
        with Askers(THREADS) as askers:
            for answer in [askers.submit(self._together, endpoint, group) for group in _grouped(wanted)]:
                changed, failed = answer.result()
                lines += changed
                for err in failed.values():
                    raise err
        return lines

    def ahead(
        self, works: Iterable[tuple[T, Sequence[Wanted]]], *, refresh: bool = False
    ) -> Iterator[tuple[T, CurationError | None]]:
        """Each piece of work as soon as what it wants is saved, or with why that could not be searched.

        While one is waited for, those that follow are searched for: however many there are, a few at a time.

        Raises:
            ConfigError: a catalog does not answer, or cannot be read.
            StorageError: a search cannot be saved.
        """
        asked: OrderedDict[_Name, Future[_Failed]] = OrderedDict()
        waiting: deque[tuple[T, list[tuple[_Name, Future[_Failed]]]]] = deque()
        askers = Askers(THREADS)

        def search(group: Sequence[Wanted]) -> _Failed:
            todo = [w for w in group if refresh or not self._is_saved(*w)]
            if not todo:
                return {}
            endpoint = self.endpoint(self.catalogs.of(todo[0][0].name))  # of one source, all of them
            if isinstance(endpoint, Snapshot):
                lines, failed = self.run(todo, refresh=refresh), _Failed()
            else:
                lines, failed = self._together(endpoint, todo)
            for line in lines:
                log.info("refreshed: %s", line)
            return failed

        def ask(parts: Sequence[tuple[T, Sequence[Wanted]]]) -> None:
            new = {_name(w): w for _, wanted in parts for w in wanted if _name(w) not in asked}
            for group in _grouped(new.values()):
                asked.update(dict.fromkeys(map(_name, group), askers.submit(search, group)))
            for work, wanted in parts:
                waiting.append((work, [(_name(w), asked[_name(w)]) for w in wanted]))
                for name in map(_name, wanted):
                    asked.move_to_end(name)
            while len(asked) > REMEMBERED and next(iter(asked.values())).done():
                asked.popitem(last=False)

        left = iter(works)
        try:
            while True:
                ask(list(itertools.islice(left, AHEAD)))
                if not waiting:
                    return
                # Half of them go before the next are asked for, so that there is always something to be searched for.
                for _ in range(max(len(waiting) - AHEAD, 1)):
                    yield _searched(*waiting.popleft())
        finally:
            askers.leave()

    def scenes(self, spec: SourceSpec, window: Window, cell: SearchCell) -> list[Scene]:
        """The scenes of a search that has been run.

        Raises:
            CurationError: it has not.
        """
        return self._search(spec, window, cell).scenes

    def _search(self, spec: SourceSpec, window: Window, cell: SearchCell) -> _Loaded:
        key, request = self._key(spec, window, cell), self._request(self._query(spec, window, cell))
        where = self.store.where(key)
        loaded = _cache.get(self.name, where) or self._loaded(key)
        if loaded is None or loaded.request != request:
            raise CurationError(f"{where}: not searched yet, or by another query; search first")
        _cache.put(self.name, where, loaded)
        return loaded

    def unreadable(self, spec: SourceSpec, window: Window, cell: SearchCell) -> list[Unreadable]:
        """Items that a search that has been run met and that could not be read.

        Raises:
            CurationError: it has not been run.
        """
        return self._search(spec, window, cell).unreadable

    def unknown(self, ids: Iterable[str]) -> dict[str, str]:
        """Those of some ids of items that no saved search of the catalogs has met, each with a hint at what was meant.

        Searches are read until each id is found: all of them where one is misspelt.
        """
        left, seen = set(ids), set[str]()
        slugs = dict.fromkeys(c.slug for c in self.catalogs.every) if left else ()
        keys = [s.key for slug in slugs for s in self.store.list(paths.searches(slug))]
        with ThreadPoolExecutor(THREADS) as pool:
            for start in range(0, len(keys), AHEAD):
                for data in pool.map(self.store.get, keys[start : start + AHEAD]):
                    _, answer = gzip.decompress(data).splitlines()
                    left -= {i for i in left if json.dumps(i).encode() in answer}
                    if left and len(seen) < MOST_HINTS:
                        seen |= {s["id"] for s in json.loads(answer)["scenes"]}
                if not left:
                    break
        return {i: did_you_mean(i, seen).strip() for i in sorted(left)}

    def _loaded(self, key: str) -> _Loaded | None:
        try:
            asked, answer = gzip.decompress(self.store.get(key)).splitlines()
        except FileNotFoundError:
            return None
        request, value = json.loads(asked), json.loads(answer)
        request.pop(_UNREADABLE, None)
        return _Loaded(
            request,
            [Scene.from_json(s) for s in value["scenes"]],
            [Unreadable.from_json(u) for u in value.get("unreadable", ())],
        )

    def _together(self, endpoint: Api, group: Sequence[Wanted]) -> tuple[list[str], _Failed]:
        """Makes searches that differ by their cells alone, and saves each; gives the differences, and what failed."""
        queries = [self._query(*w) for w in group]
        lines: list[str] = []
        failed: _Failed = {}
        for wanted, query, found in zip(group, queries, endpoint.together(queries), strict=True):
            if isinstance(found, CurationError):
                failed[_name(wanted)] = found
            else:
                lines += self._save(query, found)
        return lines, failed

    def _save(self, query: Query, found: Found) -> list[str]:
        key = self._key(query.spec, query.window, query.cell)
        request = self._request(query) | ({_UNREADABLE: len(found.unreadable)} if found.unreadable else {})
        catalog = self.catalogs.of(query.spec.name)
        self.read[catalog].add(found, query.spec.name)
        self.answered += 1
        what = f"{query.spec.name} {query.window.name} {query.cell.name}"
        differences = list(_difference(what, self._ids(key), {s.id for s in found.scenes}))
        lines = (json.dumps(v, sort_keys=True, separators=(",", ":")) for v in (request, found.to_json()))
        # Scenes of one cell differ little: a twentieth of the bytes. The time of writing stays out of them.
        self.store.publish(key, gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0))
        _cache.drop(self.name, self.store.where(key))
        lost: dict[str, list[str]] = {}
        for its in found.unreadable:
            if its.geometry is not None or not catalog.is_file:  # a file tells those without a place once
                lost.setdefault(its.reason, []).append(its.id)
        for reason, ids in lost.items():
            log.warning("%s: %d items dropped, %s (%s …)", what, len(ids), reason, ids[0])
        return differences

    def _ids(self, key: str) -> set[str] | None:
        """Ids of the scenes that are saved there; None where nothing is."""
        try:
            _, answer = gzip.decompress(self.store.get(key)).splitlines()
        except FileNotFoundError:
            return None
        return {s["id"] for s in json.loads(answer)["scenes"]}

    def _query(self, spec: SourceSpec, window: Window, cell: SearchCell) -> Query:
        arrays = self.dataset.read[spec.name].values()
        bands = spec.kind.sought(spec.files_of(list(arrays)))
        return Query(spec, bands, window, cell, self.dataset.recipe.quality.max_scene_cloud_pct)

    def _request(self, query: Query) -> dict[str, Any]:
        form = self.catalogs.form_of(query.spec)
        return {
            "read_as": READ_AS,
            "catalog": self.catalogs.of(query.spec.name).identity,
            "form": form.model_dump(mode="json") if form else None,
            "bands": list(query.bands),
            "boxes": [list(b) for b in query.cell.boxes],
            "interval": query.interval,
            "max_scene_cloud_pct": query.max_cloud_pct if query.spec.limits_cloud else None,
            **({"angles": True} if query.spec.angles else {}),
        }

    def _is_saved(self, spec: SourceSpec, window: Window, cell: SearchCell) -> bool:
        try:
            data = self.store.get(self._key(spec, window, cell))
        except FileNotFoundError:
            return False
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as lines:  # only its beginning is unpacked
            return bool(json.loads(lines.readline()) == self._request(self._query(spec, window, cell)))

    def _key(self, spec: SourceSpec, window: Window, cell: SearchCell) -> str:
        name = STATIC if spec.timeless else window.name
        return paths.search(self.catalogs.of(spec.name).slug, spec.name, name, cell.name)


def _name(wanted: Wanted) -> _Name:
    spec, window, cell = wanted
    return spec.name, window.name, cell


def _grouped(wanted: Iterable[Wanted]) -> list[list[Wanted]]:
    """Searches by those that may be asked for together."""
    alike: dict[tuple[str, str], dict[SearchCell, Wanted]] = {}
    for its in wanted:
        alike.setdefault(_name(its)[:2], {})[its[2]] = its
    return [[same[cell] for cell in part] for same in alike.values() for part in together(same)]


def _searched(work: T, asked: Sequence[tuple[_Name, Future[_Failed]]]) -> tuple[T, CurationError | None]:
    """A piece of work with why what it wants could not be searched; of that error what its message tells, and no more.

    It goes to workers, which would record what it was raised from: they do not know what in that is a catalog's secret.
    """
    try:
        for name, future in asked:
            if (failed := future.result().get(name)) is not None:
                raise failed
    except (ConfigError, StorageError):
        raise
    except CurationError as err:
        err.__cause__ = err.__context__ = None
        return work, err
    return work, None


def _difference(what: str, old: set[str] | None, new: set[str]) -> Iterator[str]:
    if old is None:
        return
    for sign, ids in (("+", new - old), ("-", old - new)):
        for scene_id in sorted(ids):
            yield f"{what}: {sign} {scene_id}"


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A saved search as it was read."""

    request: dict[str, Any]
    scenes: list[Scene]
    unreadable: list[Unreadable]


class _Cache:
    """The searches that were read last, of all that this process does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # One with few scenes counts as its share of the searches, so that both are bounded.
        self._loaded: LRUCache[tuple[str, str], _Loaded] = LRUCache(
            CACHED_SCENES, getsizeof=lambda its: max(len(its.scenes), CACHED_SCENES // CACHED_SEARCHES)
        )

    def get(self, name: str, where: str) -> _Loaded | None:
        """What was read there for searches of a name."""
        with self._lock:
            return self._loaded.get((name, where))

    def put(self, name: str, where: str, loaded: _Loaded) -> None:
        """Keeps a search, unless it alone has more than are kept, and forgets those that were not asked for longest."""
        with self._lock:
            self._loaded.pop((name, where), None)
            if len(loaded.scenes) <= self._loaded.maxsize:
                self._loaded[name, where] = loaded

    def drop(self, name: str, where: str) -> None:
        """Forgets a search, which was made again."""
        with self._lock:
            self._loaded.pop((name, where), None)


_cache = _Cache()
