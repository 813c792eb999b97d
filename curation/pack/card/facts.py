"""What all cards of a release say: what its index, its tables, its recipe and its sources do. Nothing is typed."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray

from curation.errors import DamageError
from curation.format.bands import BandEntry
from curation.format.index import INDEX, ArrayEntry, Index, ShardEntry
from curation.format.signature import bands_of
from curation.model import Location, Window
from curation.pack.captions.owed import owed
from curation.places import majortom
from curation.recipe import synthetic
from curation.recipe.card import CardSpec
from curation.recipe.dataset import Dataset
from curation.recipe.licences import LicenceSpec, licences

Box = tuple[float, float, float, float]
"""West, south, east, north, degrees; from -180 to 180 where a footprint crosses the antimeridian."""

WORLD: Box = (-180.0, -90.0, 180.0, 90.0)

MOST_CELLS = 1000
"""Names of grid cells that a card lists; of a release in more of them, those of a grid ten times as wide are."""


@dataclass(frozen=True, slots=True)
class CardSource:
    """What is to be said of a source, wherever its pixels are."""

    name: str
    title: str
    licence: str
    """In words."""
    attribution: str
    """The line that names whom the licence wants named."""
    terms: LicenceSpec | None
    about: str
    """URL; empty where nobody says."""
    is_observed: bool = True
    """Whether pixels are of what the licence is of, and do not merely stand for it."""


@dataclass(frozen=True, slots=True)
class CardShard:
    """A shard, and where its samples are."""

    split: str
    entry: ShardEntry
    box: Box


@dataclass(frozen=True, slots=True)
class CardFacts:
    """All that cards say."""

    index: Index
    index_sha256: str
    spec: CardSpec
    sources: tuple[CardSource, ...]
    shards: tuple[CardShard, ...]
    box: Box
    windows: Mapping[str, tuple[dt.datetime, dt.datetime]]
    """Season → the first instant of any sample's window, and the first after the last's."""
    regions: Mapping[str, int]
    """Region → samples."""
    cells: tuple[str, ...]
    """Cells of the Major TOM grid that have samples, `<km>km:<cell>`, in order."""
    sampling: str
    """How places were chosen, for a person."""
    synthetic: str = ""
    """What must be said of pixels that nobody observed; empty where all were."""
    beside: tuple[CardSource, ...] = ()
    """What captions and domains tell of beside pixels, and whom to name for it."""

    @property
    def credited(self) -> tuple[CardSource, ...]:
        """All that somebody is to be named for: sources of pixels, and what captions and domains tell of."""
        return self.sources + self.beside

    @property
    def title(self) -> str:
        """What it is called."""
        return self.spec.title or self.index.title or self.index.dataset

    @property
    def description(self) -> str:
        """In a few sentences; whatever the publisher says, first of all that pixels are synthetic, where some are."""
        return " ".join(filter(None, (self.synthetic, self.spec.description or self._own_description)))

    @property
    def keywords(self) -> list[str]:
        """The publisher's, after what must be said."""
        return [*(["synthetic"] if self.synthetic else []), *self.spec.keywords]

    @property
    def _own_description(self) -> str:
        samples = sum(e.samples for e in self.index.splits.values())
        what = ", ".join(s.title for s in self.sources)
        return f"{self.title}. {samples} samples of co-registered pixels: {what}. {self.sampling}"

    @property
    def interval(self) -> tuple[dt.datetime, dt.datetime] | None:
        """The first and the last instant of any season; None of a release without time."""
        if not self.windows:
            return None
        last = max(end for _, end in self.windows.values()) - dt.timedelta(milliseconds=1)
        return min(start for start, _ in self.windows.values()), last

    @property
    def data_arrays(self) -> dict[str, ArrayEntry]:
        """The arrays of measured values, by name."""
        return {n: entry for n, entry in sorted(self.index.arrays.items()) if entry.role == "data"}

    @property
    def bands(self) -> list[BandEntry]:
        """The bands of these, each once."""
        return list({b.name: b for e in self.data_arrays.values() for b in bands_of(e)}.values())

    @property
    def licence_urls(self) -> list[str]:
        """Of the whole where the publisher says one, then of all that is credited; each once."""
        own = [spdx_url(self.spec.licence)] if self.spec.licence else []
        return list(dict.fromkeys([*own, *(s.terms.url for s in self.credited if s.terms)]))


def spdx_url(licence: str) -> str:
    """The URL of a licence that is told by it, or by its id of SPDX."""
    return licence if "://" in licence else f"https://spdx.org/licenses/{licence}.html"


def facts_of(dataset: Dataset, data: bytes, tables: Mapping[str, bytes], where: str = INDEX) -> CardFacts:
    """All that cards of a release say.

    Args:
        dataset: its recipe.
        data: the bytes of its index: as it is read, and not as it was put together, since the order of keys is of a card.
        tables: split → bytes of its samples table.
        where: the index, for errors.

    Raises:
        DamageError: the index or a table cannot be read.
    """
    index = Index.from_bytes(data, where)
    rows = {split: _rows(split, tables[split]) for split in sorted(index.splits)}
    shards = tuple(s for split, table in rows.items() for s in _shards(split, index, table))
    return CardFacts(
        index=index,
        index_sha256=hashlib.sha256(data).hexdigest(),
        spec=dataset.recipe.card,
        sources=tuple(_source(dataset, index, name) for name in sorted(index.sources)),
        shards=shards,
        box=_joined(np.array([s.box for s in shards], dtype=np.float64).reshape(-1, 4)),
        windows=_windows(dataset, index, list(rows.values())),
        regions=dict(sorted(Counter(r for t in rows.values() for r in t["region"].to_pylist()).items())),
        cells=_cells(list(rows.values())),
        sampling=_sampling(dataset),
        synthetic=synthetic.about(index.counts.get("catalogs", {})),
        beside=tuple(
            CardSource(n, its.of, its.title, its.attribution, its, its.about) for n, its in owed(index).items()
        ),
    )


def _rows(split: str, data: bytes) -> pa.Table:
    try:
        table = pq.read_table(io.BytesIO(data))
        table.select(["id", "lon", "lat", "region", "shard", "geometry"])
    except (pa.ArrowException, OSError, KeyError) as err:
        raise DamageError(f"samples table of {split}: not one that packing makes ({err}); pack again") from err
    return table


def _source(dataset: Dataset, index: Index, name: str) -> CardSource:
    """What index and source's file say; of what is derived of several the index alone."""
    entry = index.sources[name]
    specs = {n: s for level in dataset.levels for n, s in level.specs.items()}
    spec = specs.get(name)
    terms = licences()[spec.terms] if spec and spec.terms else None
    attribution = (spec.attribution if spec else "") or entry.licence
    made = synthetic.synthetic(index.counts.get("catalogs", {}))
    return CardSource(
        name, entry.title, entry.licence, attribution, terms, spec.about if spec else "", is_observed=name not in made
    )


def _shards(split: str, index: Index, table: pa.Table) -> list[CardShard]:
    """The shards of a split, each with the box around its samples, which stand in the order of shards."""
    boxes = shapely.bounds(shapely.from_wkb(table["geometry"].to_numpy(zero_copy_only=False))).reshape(-1, 4)
    ends = np.searchsorted(table["shard"].to_numpy(), np.arange(len(index.splits[split].shards) + 1))
    entries = index.splits[split].shards
    return [CardShard(split, e, _joined(boxes[i:j])) for e, i, j in zip(entries, ends, ends[1:], strict=False)]


def _joined(boxes: NDArray[np.float64]) -> Box:
    """The box around boxes; the world's width where one of them crosses the antimeridian, the world where there is none.

    Args:
        boxes: west, south, east, north, degrees, beyond 180 where they go on there: (box, 4).
    """
    if not len(boxes):
        return WORLD
    west, south = boxes[:, :2].min(axis=0).tolist()
    east, north = boxes[:, 2:].max(axis=0).tolist()
    return (-180.0, south, 180.0, north) if west < -180 or east > 180 else (west, south, east, north)


def _windows(dataset: Dataset, index: Index, tables: Sequence[pa.Table]) -> dict[str, tuple[dt.datetime, dt.datetime]]:
    """Season → what its windows at all samples span; without those of no sample that has a date."""
    out = {}
    for name in index.seasons:
        season = dataset.recipe.season(name)
        dates: list[Any] = [None]
        if season.column is not None:
            dates = [d for t in tables if season.column in t.column_names for d in t[season.column].to_pylist()]
            dates = [d for d in dates if d is not None]
            dates = [min(dates), max(dates)] if dates else []
        found = [season.window(_somewhere(season.column, d)) for d in dates]
        windows: list[Window] = [w for w in found if w is not None]
        if windows:
            out[name] = (min(w.start for w in windows), max(w.end for w in windows))
    return out


def _somewhere(column: str | None, date: Any) -> Location:
    """A location with that date, wherever: a window follows from nothing else."""
    return Location("anywhere", 0.0, 0.0, 4326, 0.0, 0.0, 1.0, "", columns={column: date} if column else {})


def _cells(tables: Sequence[pa.Table]) -> tuple[str, ...]:
    lon = np.concatenate([t["lon"].to_numpy() for t in tables] or [np.empty(0)])
    lat = np.concatenate([t["lat"].to_numpy() for t in tables] or [np.empty(0)])
    cell_km = majortom.CELL_KM
    while len(found := sorted(set(majortom.ids(lon, lat, cell_km)))) > MOST_CELLS:
        cell_km *= 10
    return tuple(f"majortom-{cell_km:g}km:{cell}" for cell in found)


def _sampling(dataset: Dataset) -> str:
    """How the recipe chooses places, in its own words."""
    places, grid, apart = dataset.recipe.places, dataset.recipe.grid, dataset.recipe.split.buffer_km
    drawn = "from a file of places" if places.file else f"by the sampler {places.sampler}, seed {dataset.recipe.seed}"
    sides = f"sides of the split, by rule `{dataset.recipe.split.title}`, lie {apart:g} km apart at least"
    return f"Places {drawn}; squares of {grid.size:g} {grid.unit}; {sides}."
