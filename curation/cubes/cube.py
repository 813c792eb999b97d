"""The Zarr store of one region and season: where it is, what it holds, and its slabs as objects to be published.

`xr.open_zarr` alone opens it. One Zarr shard of every pixel array, and one object of rows of facts, is one slab.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.cubes import rows as of_rows
from curation.cubes import windows, zarrshard
from curation.cubes.arrays import has_pixels, python
from curation.cubes.chunks import UNDECODED, decode_chunk, each_hash, encode_chunk
from curation.cubes.facts import facts_of, schema
from curation.cubes.proven import stored_chunks
from curation.errors import ConfigError, DamageError
from curation.model import STATIC, Location, Season
from curation.outcomes import SETTLED
from curation.places.locations import Locations
from curation.recipe.arrays import ArraySpec
from curation.recipe.dataset import Dataset
from curation.recipe.facts import Fact
from curation.recipe.sources import SourceSpec
from curation.store import paths
from curation.store.objects import Store
from curation.store.records import SlabRecord, again

IDENTITY: dict[str, dict[str, str]] = {
    "id": {"long_name": "location"},
    "lon": {"long_name": "longitude of the centre", "standard_name": "longitude", "units": "degrees_east"},
    "lat": {"long_name": "latitude of the centre", "standard_name": "latitude", "units": "degrees_north"},
    "epsg": {"long_name": "EPSG code of the patch's CRS"},
    "x0_m": {"long_name": "outer west edge of the patch in its CRS", "units": "m"},
    "y0_m": {"long_name": "outer north edge of the patch in its CRS", "units": "m"},
}
"""Coordinates that are known before a pixel is read, and their Zarr attributes."""

FACTS = "patch_facts"
"""The array of rows of facts: no source and no fact can be called so."""

COLUMN_PATCHES, COLUMN_VALUES = 8192, 2**18
"""Rows of a column's chunk, and values of one with a second axis, at most or about: some forty columns of a million patches
are then 5,000 objects, and all of a block that is being made some 20 MB."""


@dataclass(frozen=True)
class Cube:
    """One cube: where it is, what it holds, which locations in which order."""

    dataset: Dataset
    region: str
    """Its name, whichever level the dataset is."""
    season: str
    locations: Locations = field(default_factory=lambda: Locations.of([]))
    """In the order of the cube; slab n holds those from n × slab_patches on. None where only its keys matter."""
    stood: tuple[int, ...] = ()
    """How many of them there were each time before more were added, which come after those; ascending."""
    only: frozenset[str] | None = None
    """Names of the sources that it has, where it has not been given all of its season's yet."""

    @property
    def folder(self) -> str:
        """What it lies below, with the region's other cubes of its level."""
        return paths.folder(self.region, self.dataset.level)

    @property
    def name(self) -> str:
        """`<folder>/<season>`, as logs name it."""
        return f"{self.folder}/{self.season}"

    @property
    def prefix(self) -> str:
        """Where it is, below the dataset's folder."""
        return paths.cube(self.folder, self.season)

    @functools.cached_property
    def slab_patches(self) -> int:
        """Patches per slab."""
        return self.dataset.recipe.cube.slab_patches if self.season == STATIC else self.dataset.slab_patches

    @property
    def slabs(self) -> int:
        """Number of slabs; the last may hold fewer patches."""
        return -(-len(self.locations) // self.slab_patches)

    def patches_of(self, slab: int) -> int:
        """How many patches a slab holds; none beyond the last."""
        return max(min(self.slab_patches, len(self.locations) - slab * self.slab_patches), 0)

    @functools.cached_property
    def sources(self) -> list[SourceSpec]:
        """Its sources, the deciding ones first."""
        return [s for s in self.dataset.sources(self.season) if self.only is None or s.name in self.only]

    @functools.cached_property
    def arrays(self) -> dict[str, tuple[SourceSpec, ArraySpec]]:
        """Name → source and spec of each pixel array."""
        return {n: (spec, a) for spec in self.sources for n, a in self.dataset.arrays[spec.name].items()}

    @functools.cached_property
    def facts(self) -> list[Fact]:
        """Its measured coordinates."""
        return schema(self.dataset, self.sources)

    def facts_of(self, source: SourceSpec) -> list[Fact]:
        """Its measured coordinates of one of its sources."""
        return facts_of(self.dataset, source)

    @functools.cached_property
    def its(self) -> Season:
        """The season, which says what window a location has."""
        return self.dataset.recipe.season(self.season)

    @property
    def identity(self) -> list[str]:
        """Names of its coordinates that are known before a pixel is read."""
        return [*IDENTITY, *windows.listed(self.its, self.dates), *windows.text_names(self.columns).values()]

    @property
    def coordinates(self) -> str:
        """Names of all its coordinates of patches, as its attributes say them."""
        return " ".join([*self.identity, *(f.name for f in self.facts), FACTS])

    @functools.cached_property
    def dates(self) -> dict[str, str]:
        """Column of locations → a season around its dates, of all dates that its pixels follow from (`Dataset.dates_of`)."""
        return self.dataset.dates_of(self.season)

    @functools.cached_property
    def columns(self) -> list[str]:
        """Other columns of locations that its pixels follow from (`SourceSpec.place_columns`), each once."""
        return list(dict.fromkeys(c for s in self.sources for c in s.place_columns if c not in self.dates))

    @functools.cached_property
    def locations_digest(self) -> str:
        """Digest of the ordered locations, with what of their columns pixels follow from: what binds slabs to places."""
        return self._digests[len(self.locations)]

    @property
    def stood_digests(self) -> frozenset[str]:
        """What `locations_digest` was each time before more locations were added."""
        return frozenset(self._digests[n] for n in self.stood)

    @functools.cached_property
    def _digests(self) -> dict[int, str]:
        return windows.digests(self.locations, self.stood, self.dates, self.columns)

    @functools.cached_property
    def column_slabs(self) -> int:
        """Slabs whose facts are one chunk of a column: whole ones, so that what is recorded of a slab is of one chunk."""
        longest = max((f.length for f in self.facts if f.axis), default=1)
        return max(min(COLUMN_PATCHES, COLUMN_VALUES // longest) // self.slab_patches, 1)

    def slab_ids(self, number: int) -> list[str]:
        """Ids of the locations of a slab."""
        ids = self.locations.table["id"].slice(number * self.slab_patches, self.slab_patches)
        return [str(i) for i in ids.to_pylist()]

    def slab(self, number: int) -> tuple[Location, ...]:
        """The locations of a slab."""
        return tuple(self.locations[number * self.slab_patches : (number + 1) * self.slab_patches])

    def pixel_shape(self, name: str) -> tuple[int, int, int]:
        """(band, y, x) of a pixel array."""
        array = self.arrays[name][1]
        px = array.px(self.dataset.recipe.grid.size)
        return len(array.bands), px, px

    def steps(self, name: str) -> tuple[int, ...]:
        """The time axis of a pixel array of a patch: (most steps,), or () where it has none."""
        most = self.arrays[name][0].pick.most_steps
        return () if most is None else (most,)

    def patch_shape(self, name: str) -> tuple[int, ...]:
        """Shape of one patch of a pixel array, (band, y, x), or (step, band, y, x)."""
        return *self.steps(name), *self.pixel_shape(name)

    def chunk_shape(self, name: str) -> tuple[int, ...]:
        """Shape of a chunk of a pixel array: one patch, of which one step where there is a time axis."""
        return 1, *(1 for _ in self.steps(name)), *self.pixel_shape(name)

    def chunks_per_patch(self, name: str) -> int:
        """Chunks of a patch of a pixel array, at most: they stand one after the other in the slab's shard."""
        return next(iter(self.steps(name)), 1)

    def hashes_by_place(self, name: str, slot: int, chunk_hashes: str) -> dict[int, str]:
        """Place in a slab's shard → hash, of each chunk that a ledger records of the array of a patch."""
        first = slot * self.chunks_per_patch(name)
        return {first + n: its for n, its in enumerate(each_hash(chunk_hashes))}

    def binding(self, pixels_digest: str) -> dict[str, Any]:
        """What its ledger is bound to."""
        return {
            "dataset": self.dataset.name,
            "region": self.folder,
            "season": self.season,
            "pixels": pixels_digest,
            "locations": self.locations_digest,
        }

    def of_record(self, record: SlabRecord) -> Cube:
        """The cube as it was when a slab was recorded: without sources that it was given since."""
        names = {s.name for s in self.sources if s.name in record.sources}
        return self if len(names) in (0, len(self.sources)) else replace(self, only=frozenset(names))

    def made_by(self, store: Store) -> Mapping[str, Any] | None:
        """What `creation.create` was told as `pixels`; None where the cube is not there or does not say."""
        pixels = self.stated(store)[0].get("pixels")
        return pixels if isinstance(pixels, dict) else None

    def stated(self, store: Store) -> tuple[Mapping[str, Any], int | None]:
        """What the cube says of itself, where it can be read: its attributes, and how many patches its slabs have."""
        try:
            value = json.loads(store.get(paths.metadata(self.prefix)))
            arrays = value["consolidated_metadata"]["metadata"].values()
            shapes = [a["chunk_grid"]["configuration"]["chunk_shape"] for a in arrays if has_pixels(a)]
            attributes = value["attributes"]
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            return {}, None
        return (attributes if isinstance(attributes, dict) else {}), next((int(s[0]) for s in shapes), None)

    def encode(self, name: str, pixels: NDArray[Any]) -> bytes:
        """One patch of a pixel array, or a step of it, as its stored chunk; pixels (band, y, x)."""
        if pixels.shape != self.pixel_shape(name):
            raise AssertionError(f"{name}: pixels are {pixels.shape}, expected {self.pixel_shape(name)}")
        return encode_chunk(pixels[None], self.chunk_shape(name), self.arrays[name][1].dtype)

    def decode(self, name: str, chunk: bytes) -> NDArray[Any]:
        """(band, y, x) of a stored chunk."""
        return decode_chunk(chunk, self.pixel_shape(name), self.arrays[name][1].dtype)

    def array_key(self, name: str, slab: int) -> str:
        """Key of a slab's shard of a pixel array."""
        return paths.chunk(self.prefix, name, slab, axes=len(self.chunk_shape(name)))

    def slab_chunks(self, name: str) -> int:
        """Chunks that a slab's shard of a pixel array has room for."""
        return self.slab_patches * self.chunks_per_patch(name)

    def facts_key(self, slab: int) -> str:
        """Key of a slab's rows of facts."""
        return paths.chunk(self.prefix, FACTS, slab, axes=1)

    def column_key(self, fact: Fact, block: int) -> str:
        """Key of a fact's column of a block of slabs."""
        return paths.chunk(self.prefix, fact.name, block, axes=2 if fact.axis else 1)

    def slab_objects(
        self, slab: int, chunks: Mapping[str, Mapping[int, bytes]], rows: Sequence[Mapping[str, Any]]
    ) -> dict[str, bytes]:
        """Key → bytes of all that a slab's commit publishes.

        Args:
            slab: its number.
            chunks: pixel array → place in the slab's shard → stored chunk; an array without any gets no object.
            rows: per slot, fact → value (None or left out where not measured).
        """
        out = {
            self.array_key(name, slab): zarrshard.assemble(stored, self.slab_chunks(name))
            for name, stored in chunks.items()
            if stored
        }
        return out | {self.facts_key(slab): of_rows.encode(rows, self.facts, self.slab_patches)}

    def row_hashes(self, rows: Sequence[Mapping[str, Any]]) -> list[str]:
        """What a ledger keeps of each row of facts (`rows.hashes`)."""
        columns = {f.name: f.column([r.get(f.name) for r in rows], len(rows)) for f in self.facts}
        return of_rows.hashes(columns, self.facts)

    def read_facts(
        self, store: Store, slab: int, slots: int, read: Callable[[str], bytes] | None = None
    ) -> list[dict[str, Any]]:
        """For each of the first `slots` of a committed slab, fact → value as `slab_objects` was given it; not proven.

        Args:
            store: where the cube is.
            slab: its number.
            slots: how many of its patches.
            read: gives the bytes at a key; the store's own where left out.

        Raises:
            DamageError: the object is not there, or is none of facts.
        """
        key = self.facts_key(slab)
        try:
            columns = of_rows.columns((read or store.get)(key), self.facts, self.slab_patches)
        except FileNotFoundError as err:
            raise DamageError(f"{store.where(key)}: is recorded but not there: {again(key)}") from err
        except UNDECODED as err:
            raise DamageError(f"{store.where(key)}: holds no facts ({err}), recorded were some: {again(key)}") from err
        return [{f.name: python(columns[f.name][slot], f) for f in self.facts} for slot in range(slots)]

    def proven_facts(
        self,
        store: Store,
        record: SlabRecord,
        ids: Sequence[str],
        read: Callable[[str], bytes] | None = None,
        tried: Collection[str] = (),
    ) -> list[dict[str, Any]]:
        """For each patch of a slab, fact → value, its row proven by the ledger's hash of it.

        A row where nothing was measured stands for a patch that is not decided; and for one that failed where another row
        than the recorded one is stored: a build that was stopped may have tried it again, and the next build will.

        Args:
            store: where the cube is.
            record: what its ledger says of the slab.
            ids: of the slab's locations, in order of slot.
            read: gives the bytes at a key; the store's own where left out.
            tried: ids of patches that a build tries again, though they may be settled.

        Raises:
            DamageError: the object is not there, or the row of a settled patch is not what was recorded of it.
        """
        cube = self.of_record(record)
        rows = cube.read_facts(store, record.slab, len(ids), read)
        known = {o.id: o for o in record.patches}
        nothing = {f.name: python(f.column([None], 1)[0], f) for f in self.facts}
        wrong = []
        for slot, (name, found) in enumerate(zip(ids, cube.row_hashes(rows), strict=True)):
            outcome = known.get(name)
            if outcome is not None and outcome.facts == found:
                continue
            rows[slot] = dict(nothing)
            if outcome is not None and outcome.status in SETTLED and name not in tried:
                wrong.append(name)
        if wrong:
            raise DamageError(
                f"{store.where(self.facts_key(record.slab))}: the facts of {', '.join(wrong)} are not what was recorded of "
                f"them: {again(self.prefix)}"
            )
        return rows if cube is self else [nothing | row for row in rows]

    def read_ids(self, store: Store) -> list[str]:
        """Ids of all locations in the order of the cube, as the store itself says.

        Raises:
            DamageError: they are not there, or cannot be read.
        """
        try:
            shape = json.loads(store.get(paths.metadata(self.prefix, "id")))["shape"]
            chunk = store.get(paths.chunk(self.prefix, "id", 0, axes=1))
            return [str(v) for v in decode_chunk(chunk, tuple(shape), "str")]
        except FileNotFoundError as err:
            raise DamageError(f"{store.where(self.prefix)}: its ids are not there: {again(self.prefix)}") from err
        except (LookupError, *UNDECODED) as err:
            raise DamageError(
                f"{store.where(self.prefix)}: its ids cannot be read ({err}): {again(self.prefix)}"
            ) from err

    def read_chunk(
        self, store: Store, name: str, patch: int, chunk_hashes: str, step: int | None = None
    ) -> NDArray[Any]:
        """(band, y, x) of one committed patch of a pixel array, checked against what its ledger recorded.

        Of an array with a time axis (step, band, y, x), of the steps that the patch has; of one of them, where `step` is
        given, (band, y, x).

        Raises:
            DamageError: a chunk is not there, or is not what was committed.
        """
        slab, slot = divmod(patch, self.slab_patches)
        wanted = self.hashes_by_place(name, slot, chunk_hashes)
        if step is not None:
            wanted = dict([list(wanted.items())[step]])
        chunks = stored_chunks(store, self.array_key(name, slab), wanted, self.slab_chunks(name))
        if step is not None or not self.steps(name):
            return self.decode(name, next(chunks))
        out = np.empty((len(wanted), *self.pixel_shape(name)), self.arrays[name][1].dtype)
        for n, chunk in enumerate(chunks):
            out[n] = self.decode(name, chunk)
        return out


def cube_of(dataset: Dataset, region: str, season: str, ordered: Locations, stood: tuple[int, ...] = ()) -> Cube:
    """The cube of a region and season over its ordered locations, of which some `stood` before others were added.

    Raises:
        ConfigError: there is nothing to hold, or a location is not of the recipe's size.
    """
    if not ordered:
        raise ConfigError(f"region {region!r}: holds no location of {dataset.name!r}; choose a larger one")
    if season != STATIC:
        dataset.recipe.season(season)
    size, unit = dataset.recipe.grid.size, dataset.recipe.grid.unit
    wrong = ordered.column("size_m") != size
    if wrong.any():
        first = ordered[int(wrong.argmax())]
        raise ConfigError(f"location {first.id}: side is {first.size_m:g} {unit}, the recipe's is {size:g} {unit}")
    return Cube(dataset, region, season, ordered, stood)
