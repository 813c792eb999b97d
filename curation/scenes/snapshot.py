"""A catalog in files: a STAC ItemCollection, or STAC-GeoParquet as catalogs publish it, however large, here or elsewhere.

All searches are answered in one sweep over the items, in memory that does not grow with their numbers: each item is looked
at once and told to the searches that it answers; on disk, what they found is sorted by search. Of files elsewhere only the
columns that are read are fetched, of those row groups whose statistics leave the time and the collection open.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import sqlite3
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from curation.errors import ConfigError
from curation.errors.causes import first_line
from curation.model import Scene, iso
from curation.read.signing import FileAddress
from curation.recipe.catalogs import PARQUET, Catalog, parquet_parts
from curation.recipe.forms import CatalogForm
from curation.recipe.sources import SourceSpec
from curation.scenes import jsontext
from curation.scenes.cells import SearchCell
from curation.scenes.geotiffs import GeoTiffs
from curation.scenes.items import Found, Query, Unreadable, looked_at, name_of, reads_each_asset
from curation.scenes.itemtable import Interval, Item, ItemTable, span_of
from curation.scenes.remotefile import RemoteFile
from curation.store import full, hrefs
from curation.store.objects import Store

log = logging.getLogger(__name__)

OPENED_AT_ONCE = 4
"""Files whose footers are read at a time."""


class Snapshot:
    """Items in files, opened: answers what collections there are, and searches.

    Raises:
        ConfigError: a file holds no items; on any use, where one cannot be read.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        if catalog.is_remote:
            self._parts: Sequence[_Part] = _remote_tables(catalog)
        elif catalog.is_folder:
            self._parts = [GeoTiffs(Path(catalog.location))]
        else:
            path = Path(catalog.location)
            parts = parquet_parts(path)
            self._parts = (
                [ItemTable(str(p), functools.partial(Path, p)) for p in parts] if parts else [_Collection(path)]
            )
        # What a name tells to be outside what is asked for later is never opened; what tells nothing is, to be refused now.
        _open([p for p in self._parts if isinstance(p, ItemTable) and p.span is None])

    def collections(self) -> set[str]:
        """Ids of the collections the files have items of; GeoTIFFs are of none."""
        _open([p for p in self._parts if isinstance(p, ItemTable)])
        return set().union(*(part.collections() for part in self._parts if not isinstance(part, GeoTiffs)))

    def has(self, collection: str) -> bool:
        """Whether the files have items of a collection: hardly more of them are opened than until one has."""
        if self.catalog.is_folder:
            return True  # of any source whose form says how its files are called
        first, rest = self._parts[:1], self._parts[1:]
        for some in [first, *(rest[n : n + OPENED_AT_ONCE] for n in range(0, len(rest), OPENED_AT_ONCE))]:
            _open([p for p in some if isinstance(p, ItemTable)])
            if any(collection in part.collections() for part in some if not isinstance(part, GeoTiffs)):
                return True
        return False

    def search(self, query: Query) -> Found:
        """All scenes of a source that touch a search cell in a window and have the bands."""
        return next(self.sweep([query]))[1]

    def sweep(
        self, queries: Iterable[Query], progress: Callable[[int], None] = lambda items: None
    ) -> Iterator[tuple[Query, Found]]:
        """Each query with what it found, source by source and window by window; `progress` is told of items looked at.

        Of the queries only the cells are kept: there are as many searches as cells times sources times windows.
        """
        by_source: dict[str, dict[Any, _Alike]] = {}
        for query in queries:
            alike = by_source.setdefault(query.spec.name, {})
            key = (query.window, query.bands, query.max_cloud_pct)
            alike.setdefault(key, _Alike(query, {})).cells[query.cell] = None
        for found in by_source.values():
            yield from self._sweep(list(found.values()), progress)

    def _sweep(self, alike: Sequence[_Alike], progress: Callable[[int], None]) -> Iterator[tuple[Query, Found]]:
        """Queries of one source."""
        form = self.catalog.form_of(alike[0].first.spec)
        every = (replace(its.first, cell=cell) for its in alike for cell in its.cells)
        if form is None:
            yield from ((query, Found([], {})) for query in every)
            return
        with _Sorted() as found:
            self._look(alike, form, found, progress)
            count = sum(len(its.cells) for its in alike)
            for query, (_, what) in zip(every, found.of_each(count), strict=True):
                yield query, what

    def _look(
        self, alike: Sequence[_Alike], form: CatalogForm, found: _Sorted, progress: Callable[[int], None]
    ) -> None:
        """Puts what answers queries of one source into `found`."""
        firsts = [its.first for its in alike]
        first = firsts[0]
        conditions = first.conditions(form)
        keys = [form.assets.get(b, b) for b in first.bands]
        # Of the first asset more is read than where it is; of each where the form has it so.
        whole = keys if reads_each_asset(form, self.catalog) else keys[:1]
        window = (min(q.window.start for q in firsts), max(q.window.end for q in firsts)) if first.interval else None
        cells = _Cells(alike)
        nowhere: list[str] = []
        for part in self._looked_at(window):
            for items in _batches(part, first.spec, form, keys, window, whole):
                for item in items:
                    shape = item.get("geometry") if isinstance(item, dict) else None
                    if isinstance(shape, shapely.Geometry) and not cells.may_hold(shape):
                        continue
                    made = (
                        item
                        if isinstance(item, Unreadable)
                        else looked_at(item, conditions, first.spec, first.bands, form, self.catalog)
                    )
                    if isinstance(made, Unreadable) and made.geometry is None:
                        nowhere.append(made.id)
                    if not isinstance(made, str):
                        name = made.id if isinstance(item, Unreadable) else name_of(item)
                        found.add(name, made, cells.answered_by(made))
                progress(len(items))
        if nowhere:
            log.warning(
                "catalog %s: %d items of %s have no readable geometry and are left out (%s …)",
                self.catalog.label, len(nowhere), form.collection, nowhere[0],
            )  # fmt: skip

    def any_items(self, spec: SourceSpec, form: CatalogForm, bands: Sequence[str]) -> Iterator[Item | Unreadable]:
        """The items of a source, whatever their place and time, with all that they state of its assets."""
        keys = [form.assets.get(b, b) for b in bands]
        for part in self._looked_at(None):
            for items in _batches(part, spec, form, keys, None, keys):
                yield from items

    def _looked_at(self, window: Interval | None) -> list[_Part]:
        """The parts in which items of a window may be; opened."""
        parts = [p for p in self._parts if not isinstance(p, ItemTable) or p.may_hold(window)]
        _open([p for p in parts if isinstance(p, ItemTable)])
        if window is not None and 0 < len(parts) < len(self._parts):
            log.info(
                "catalog %s: %d of its %d files are of another time than from %s to %s, as their names tell: passed over",
                self.catalog.label, len(self._parts) - len(parts), len(self._parts), *map(iso, window),
            )  # fmt: skip
        if not parts and window is not None:
            log.warning(
                "catalog %s: none of its %d files is of a time from %s to %s, as their names tell: no scene of it is found",
                self.catalog.label, len(self._parts), *map(iso, window),
            )  # fmt: skip
        return parts


@dataclass(frozen=True, slots=True)
class _Alike:
    """Queries that differ by their cells alone."""

    first: Query
    cells: dict[SearchCell, None]
    """Each once, in order."""


def _open(tables: Sequence[ItemTable]) -> None:
    """Reads footers, several at a time."""
    with ThreadPoolExecutor(OPENED_AT_ONCE) as pool:
        list(pool.map(ItemTable.open, tables))


def _remote_tables(catalog: Catalog) -> list[ItemTable]:
    """The tables of a catalog of files elsewhere."""
    url = catalog.secret_url or catalog.location
    store = Store(url) if _is_folder(catalog) else None
    keys = [""] if store is None else [s.key for s in store.list() if s.key.endswith(PARQUET)]
    if not keys:
        raise ConfigError(f"catalog {catalog.location}: no {' or '.join(PARQUET)} files below it")
    # Whose signature stands in the URL needs no other.
    sign = catalog.form if catalog.form == "planetary-computer" and not catalog.secret_url else "none"

    def table(key: str) -> ItemTable:
        name = f"{catalog.location.rstrip('/')}/{key}".rstrip("/")
        where = url if store is None else name
        span = span_of(name.rpartition("/")[2])
        return ItemTable(name, lambda: RemoteFile(FileAddress(where, sign), name), span)

    return [table(key) for key in keys]


def _is_folder(catalog: Catalog) -> bool:
    """Whether a catalog of files elsewhere is all that lies below a place of a bucket, which may be called as a file is."""
    parent, _, name = catalog.location.rpartition("/")
    if hrefs.scheme_of(catalog.location) not in hrefs.BUCKETS:
        return False  # nobody lists what a server has
    return not name.lower().endswith(PARQUET) or Store(parent).head(name) is None


class _Cells:
    """Which of many queries a place answers: they are counted on over their windows, and over the cells of each."""

    def __init__(self, alike: Sequence[_Alike]) -> None:
        self._firsts = [its.first for its in alike]
        row: dict[SearchCell, int] = {}
        for its in alike:
            for cell in its.cells:
                row.setdefault(cell, len(row))
        self._number: NDArray[np.int64] = np.full((len(row), len(alike)), -1)
        """Of the query of a cell and a window; -1 where there is none."""
        number = 0
        for n, its in enumerate(alike):
            for cell in its.cells:
                self._number[row[cell], n] = number
                number += 1
        self._tree = shapely.STRtree([cell.area for cell in row])

    def may_hold(self, shape: shapely.Geometry) -> bool:
        """Whether a footprint as an item states it may touch a cell: those folded over the globe always may.

        So may one that is none.
        """
        west, _, east, _ = shapely.bounds(shape)
        within = west >= -180 and east <= 180 and east - west <= 180  # false of an empty one's NaN
        return not within or len(self._tree.query(shape)) > 0

    def answered_by(self, made: Scene | Unreadable) -> list[int]:
        """Numbers of the queries that a scene answers, or that an item which cannot be read may have answered."""
        if made.geometry is None:
            cells = np.arange(len(self._number))
        else:
            cells = self._tree.query(made.geometry, predicate="intersects")
        if isinstance(made, Unreadable):
            held = [n for n, query in enumerate(self._firsts) if made.may_be_in(query)]
        else:
            held = [n for n, query in enumerate(self._firsts) if query.holds(made)]
        numbers = self._number[np.sort(cells)][:, held].ravel()
        return [int(n) for n in numbers if n >= 0]


class _Sorted:
    """What many queries found, on disk: each scene once, and which queries it answers. Gone when it is left."""

    def __enter__(self) -> _Sorted:
        with contextlib.ExitStack() as stack:
            with full.temporary():
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="curation-search-"))
                self._db = stack.enter_context(contextlib.closing(sqlite3.connect(Path(folder) / "found.sqlite")))
                # It is thrown away: nothing need be safe from a crash.
                for line in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -16384"):
                    self._db.execute(f"PRAGMA {line}")
                self._db.execute("CREATE TABLE items (n INTEGER PRIMARY KEY, id TEXT, reason TEXT, scene BLOB)")
                self._db.execute("CREATE TABLE hits (query INTEGER, n INTEGER)")
            self._count = 0
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def add(self, name: str, made: Scene | Unreadable, queries: Sequence[int]) -> None:
        """An item that answers these queries."""
        if not queries:
            return
        scene = zlib.compress(json.dumps(made.to_json()).encode(), 1)
        reason = made.reason if isinstance(made, Unreadable) else None
        with full.temporary():
            self._db.execute("INSERT INTO items VALUES (?, ?, ?, ?)", (self._count, name, reason, scene))
            self._db.executemany("INSERT INTO hits VALUES (?, ?)", [(q, self._count) for q in queries])
        self._count += 1

    def of_each(self, queries: int) -> Iterator[tuple[int, Found]]:
        """Each query's number, with what it found."""
        nothing = iter(range(queries))
        with full.temporary():
            hits = self._db.execute("SELECT query, n FROM hits ORDER BY query, n")  # sorted on disk, too
        for query, rows in groupby(hits, key=lambda row: int(row[0])):
            for n in nothing:
                if n == query:
                    break
                yield n, Found([], {})
            yield query, self._found([n for _, n in rows])
        yield from ((n, Found([], {})) for n in nothing)

    def _found(self, numbers: Sequence[int]) -> Found:
        items = [self._db.execute("SELECT id, reason, scene FROM items WHERE n = ?", (n,)).fetchone() for n in numbers]
        scenes: dict[str, Scene] = {}
        dropped: dict[str, list[str]] = {}
        lost: list[Unreadable] = []
        for name, reason, scene in sorted(items, key=lambda row: str(row[0])):
            if reason is not None:
                dropped.setdefault(reason, []).append(name)
                lost.append(Unreadable.from_json(json.loads(zlib.decompress(scene))))
            else:
                scenes.setdefault(name, Scene.from_json(json.loads(zlib.decompress(scene))))
        return Found(list(scenes.values()), dropped, lost)


_MEMBERS = ("id", "collection", "geometry", "properties", "assets")
"""What each item has; a file of which no item has one of them holds something else."""


class _Collection:
    """A STAC ItemCollection as JSON: small enough to be held."""

    def __init__(self, path: Path) -> None:
        try:
            value = jsontext.parsed(jsontext.decoded(path.read_bytes()))
            if not isinstance(value["features"], list):
                raise TypeError("'features' is no list")
            items = [i for i in value["features"] if isinstance(i, dict)]
            missing = set.intersection(*({k for k in _MEMBERS if k not in i} for i in items)) if items else set()
        except (ValueError, KeyError, TypeError, RecursionError) as err:
            raise ConfigError(
                f"catalog {path}: expected a STAC ItemCollection (JSON with 'features'): {first_line(err)}"
            ) from err
        if missing:
            raise ConfigError(f"catalog {path}: items lack {sorted(missing)}; expected a STAC ItemCollection")
        # An item that is no item is kept as it is, to be told where it is looked at.
        self._items = [
            i | {"geometry": _shape(i.get("geometry"))} if isinstance(i, dict) else i for i in value["features"]
        ]

    def collections(self) -> set[str]:
        return {str(i["collection"]) for i in self._items if isinstance(i, dict) and "collection" in i}

    def batches(
        self, collection: str, keys: Sequence[str], window: Interval | None, whole: Sequence[str]
    ) -> Iterator[Sequence[Item]]:
        """All items of a collection, and those that do not say of which they are."""
        del keys, window, whole  # asked of each item later
        yield [i for i in self._items if not isinstance(i, dict) or i.get("collection", collection) == collection]


_Part = ItemTable | _Collection | GeoTiffs


def _batches(
    part: _Part, spec: SourceSpec, form: CatalogForm, keys: Sequence[str], window: Interval | None, whole: Sequence[str]
) -> Iterator[Sequence[Item | Unreadable]]:
    """Items of a source in a part of a catalog, as `ItemTable.batches` has it; those that could not be made as such."""
    if not isinstance(part, GeoTiffs):
        yield from part.batches(form.collection, keys, window, whole)
    elif form.file is not None:
        yield from part.batches(form.file, keys, timeless=spec.timeless, of_shapes=spec.kind.holds_shapes)


def _shape(geometry: Any) -> shapely.Geometry | None:
    try:
        return shapely.geometry.shape(geometry)
    except Exception:  # noqa: BLE001 - what a catalog says may be anything; that it is none is told where it is looked at
        return None
