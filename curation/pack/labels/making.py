"""Class maps that are made here of the images that cubes are built of: what all ways of making them share.

A map is of one image at one place, on the place's own grid: what is asked for, kept and read is what a patch covers, not a
whole image, and nothing is resampled afterwards. Each is a COG below `maps/`, named by its image, so that a folder of them
is such as `curate labels import` reads. One task makes those of a slab and records what became of each: a map that is there
is never made again, and what failed is tried again by the next run.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from curation.cubes import labels
from curation.errors import DamageError, ReadError, StorageError, code_of
from curation.errors.causes import one_line
from curation.errors.printable import printable
from curation.model import Location
from curation.outcomes import Reject
from curation.pack.labels import mapfile
from curation.recipe.arrays import ArraySpec
from curation.recipe.dataset import Dataset
from curation.recipe.digests import digest
from curation.recipe.sources import SourceSpec
from curation.scenes import acquisition
from curation.store import paths
from curation.store.objects import Store

log = logging.getLogger(__name__)

FORMAT = 3
"""Of records."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One map that is wanted: of the image that a patch is built of."""

    number: int
    """Of the patch, in its cube."""
    place: Location
    scene: str
    """Id of the scene of the source that the labels' goes with."""
    sensed_s: float | None
    """When that was sensed, seconds since 1970."""
    chunks: dict[str, str]
    """Pixel array → hash of the patch's stored chunk."""
    px: int
    """Pixels along a side of the map."""
    input_digest: str
    """Digest of what is stored here that the map is made of (`Way.input_digest`)."""

    @property
    def image(self) -> acquisition.Acquisition:
        """What is known of the image."""
        sensed = None if self.sensed_s is None else dt.datetime.fromtimestamp(self.sensed_s, dt.UTC)
        return acquisition.of_scene(self.scene, sensed)

    @property
    def grid(self) -> list[float]:
        """EPSG, west and north edge, side, and pixels along it: where its pixels are."""
        return [self.place.epsg, self.place.x0_m, self.place.y0_m, self.place.size_m, self.px]


class Way(Protocol):
    """A way of making maps. It crosses to workers: small values, and no secret."""

    @property
    def key(self) -> str:
        """Names all that its maps follow from beside images and places: what they lie below."""

    @property
    def title(self) -> str:
        """For a person."""

    @property
    def made_by(self) -> str:
        """What makes the maps, as the labels' record has it."""

    @property
    def at_once(self) -> int:
        """Maps of one task made at a time."""

    def check_there(self) -> None:
        """Passes where what makes the maps can be asked from this machine; says first what is tried. Raises ConfigError."""

    def shared(self, workers: int) -> Way:
        """The same for each of so many workers."""

    def costs(self, plan: MapsPlan) -> tuple[str, ...]:
        """What a plan would cost, for a person: a line each."""

    def input_digest(self, dataset: Dataset, chunks: Mapping[str, str]) -> str:
        """Digest of what is stored here that a map is made of; empty where somebody else is asked for the map.

        Args:
            dataset: of the level of places.
            chunks: pixel array → hash of the patch's stored chunk.
        """

    def image(self, wanted: Sequence[Wanted]) -> str:
        """Name of the image that maps of one scene are of: asked once per slab. Raises Reject where there is none."""

    def is_of(self, name: str, wanted: Wanted) -> bool:
        """Whether a map that is there, by the name of its image, is the one wanted."""

    def pixels(self, job: MapsJob, wanted: Wanted, image: str) -> NDArray[np.uint8]:
        """(y, x) codes of the legend on the place's grid, nodata where nothing is known. Raises Reject, or an error."""


@dataclass(frozen=True, slots=True)
class MapsJob:
    """The maps of one slab."""

    dataset: Dataset
    """Of the level of places."""
    store: Store
    way: Way
    source: str
    """Whose form the maps have: the labels'."""
    folder: str
    season: str
    slab: int
    wanted: tuple[Wanted, ...]

    @property
    def spec(self) -> SourceSpec:
        """The source."""
        return self.dataset.specs[self.source]

    @property
    def array(self) -> ArraySpec:
        """Its array of classes."""
        return next(iter(self.dataset.arrays[self.source].values()))

    @property
    def key(self) -> str:
        """Of its record."""
        return paths.maps_record(self.way.key, self.folder, self.season, self.slab)


@dataclass(frozen=True, slots=True)
class MapOutcome:
    """What became of one map: an entry of a record."""

    place: str
    """Id of its location."""
    grid: list[float]
    scene: str
    sensed_s: float | None
    status: str
    """`ok`; `absent`, where there is no such image; or `failed`, which the next run tries again."""
    image: str = ""
    """Name of its image, where that is known."""
    code: str | None = None
    """Why, where it is not ok."""
    cause: str | None = None
    key: str = ""
    """Of its COG."""
    size: int = 0
    sha256: str = ""
    shares: list[float] | None = None
    """Share of each class of the legend among the labelled pixels; None where none is labelled."""
    valid_fraction: float = 0.0
    """Share of the pixels that are labelled."""
    input_digest: str = ""
    """Digest of what is stored here that it was made of; empty where somebody else was asked."""

    @property
    def failed(self) -> bool:
        """Whether the next run tries it again."""
        return self.status == "failed"

    def is_of(self, wanted: Wanted) -> bool:
        """Whether it still says what became of a map that is wanted: of the same image, grid and stored pixels."""
        mine, its = (self.scene, self.grid, self.input_digest), (wanted.scene, wanted.grid, wanted.input_digest)
        return not self.failed and mine == its

    def settles(self, wanted: Wanted) -> bool:
        """Whether nothing more is to be done for it. What somebody else lacked he may have by now: he is asked again."""
        return self.is_of(wanted) and (self.status == "ok" or self.input_digest != "")

    @property
    def label(self) -> str:
        """In a word or two, as counts show it."""
        return "ok" if self.status == "ok" else f"{self.status} {self.code}"


@dataclass(frozen=True, slots=True)
class MapsPlan:
    """What is to be made, and what was before."""

    jobs: tuple[MapsJob, ...]
    """Of slabs with maps that are not settled, which alone these want."""
    known: tuple[MapOutcome, ...]
    """Of those that are; of regions that are not asked for, of all that is recorded."""
    folders: Mapping[str, frozenset[str]]
    """Folder of cubes that labels may be of → ids of its locations."""
    others: int
    """Patches of regions that are not asked for, without a map."""

    @property
    def todo(self) -> int:
        """Maps that are to be made."""
        return sum(len(j.wanted) for j in self.jobs)

    @property
    def images(self) -> int:
        """Images that these are of."""
        return len({w.scene for j in self.jobs for w in j.wanted})

    @property
    def asked(self) -> int:
        """Images asked for: each once per slab that it is of."""
        return sum(len({w.scene for w in j.wanted}) for j in self.jobs)

    @property
    def raw_bytes(self) -> int:
        """Of all pixels to be made, before packing: what none of it comes to more than."""
        return sum(len(j.wanted) * j.array.px(w.place.size_m) ** 2 for j in self.jobs for w in j.wanted[:1])


def make_maps(job: MapsJob) -> list[MapOutcome]:
    """Makes the maps of a slab that are wanted, and records what became of each. Runs on a worker.

    Raises:
        StorageError: nothing more can be kept.
    """
    there = {w.place.id: _found(job, w) for w in job.wanted}
    of_scene: dict[str, list[Wanted]] = {}
    for its in job.wanted:
        if there[its.place.id] is None:
            of_scene.setdefault(its.scene, []).append(its)
    with ThreadPoolExecutor(job.way.at_once) as pool:
        names = dict(zip(of_scene, pool.map(lambda w: _named(job, w), of_scene.values()), strict=True))
        outcomes = list(pool.map(lambda w: there[w.place.id] or _one(job, w, names[w.scene]), job.wanted))
    # Killed before this, the next run finds the maps themselves.
    record = read_record(job.store, job.key) | {o.place: o for o in outcomes}
    value = {"format": FORMAT, "made_by": job.way.made_by, "maps": [dataclasses.asdict(o) for o in record.values()]}
    job.store.publish(job.key, (json.dumps(value | {"sha256": digest(value)}, sort_keys=True) + "\n").encode())
    return outcomes


def _found(job: MapsJob, wanted: Wanted) -> MapOutcome | None:
    """What is said of a map that is there, though no record tells of it: its task was stopped; None where there is none."""
    for stat in job.store.list(paths.class_maps(job.way.key, wanted.place.id)):
        name = PurePosixPath(stat.key).stem
        if job.way.is_of(name, wanted):
            data = job.store.get(stat.key)
            try:
                pixels = mapfile.opened(data, wanted.place, job.array, stat.key, wanted.input_digest)
                return _measured(job, wanted, name, pixels, stat.key, data)
            except ReadError as err:
                log.warning("%s: is made again: %s", job.store.where(stat.key), one_line(err))
    return None


def _named(job: MapsJob, wanted: Sequence[Wanted]) -> str | Exception:
    """Name of a scene's image, or what keeps it from being known."""
    try:
        return job.way.image(wanted)
    except StorageError:
        raise
    except Exception as err:  # noqa: BLE001 - it is told of each patch of the scene
        return err


def _one(job: MapsJob, wanted: Wanted, image: str | Exception) -> MapOutcome:
    """Makes one map."""
    try:
        if isinstance(image, Exception):
            raise image
        key = paths.class_map(job.way.key, wanted.place.id, image)
        pixels = job.way.pixels(job, wanted, image)
        data = mapfile.cog(pixels, wanted.place, job.array, image, job.way.made_by, wanted.input_digest)
        made = _measured(job, wanted, image, pixels, key, data)  # first, so that none with unknown codes is kept
        job.store.publish(key, data)
    except StorageError:
        raise
    except Reject as why:
        return _unmade(wanted, why.status.name.lower(), why.code)
    except Exception as err:  # noqa: BLE001 - whatever it is, it is this map's, and is recorded
        where = f"{job.folder}/{job.season}/{wanted.place.id}"
        log.warning("%s: %s failed: %s", where, job.way.title, one_line(err))
        return failed(wanted, err)
    return made


def failed(wanted: Wanted, err: BaseException) -> MapOutcome:
    """What is said of a map that an error kept from being made."""
    return _unmade(wanted, "failed", code_of(err), one_line(err))


def _unmade(wanted: Wanted, status: str, code: str | None, cause: str | None = None) -> MapOutcome:
    return MapOutcome(
        wanted.place.id,
        wanted.grid,
        wanted.scene,
        wanted.sensed_s,
        status,
        code=code,
        cause=cause,
        input_digest=wanted.input_digest,
    )


def _measured(job: MapsJob, wanted: Wanted, image: str, pixels: NDArray[np.uint8], key: str, data: bytes) -> MapOutcome:
    """A map that is made, by its pixels and its bytes. Raises ReadError where it has codes that nobody knows."""
    shares, valid = labels.class_fractions(pixels, job.spec.kind.legend, job.array.nodata)
    return MapOutcome(
        place=wanted.place.id,
        grid=wanted.grid,
        scene=wanted.scene,
        sensed_s=wanted.sensed_s,
        status="ok",
        image=image,
        key=key,
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        shares=None if np.isnan(shares).any() else [float(s) for s in shares],
        valid_fraction=valid,
        input_digest=wanted.input_digest,
    )


def read_record(store: Store, key: str) -> dict[str, MapOutcome]:
    """Location → what is recorded of its map; empty where nothing is, or where it cannot be read: maps tell it again."""
    try:
        return read(store, key)
    except FileNotFoundError:
        return {}
    except DamageError as err:
        log.warning("%s; it is written again", err)
        return {}


def read(store: Store, key: str) -> dict[str, MapOutcome]:
    """Location → what a record says of its map.

    Raises:
        DamageError: it is no record of maps, or not what was written.
        FileNotFoundError: there is none.
    """
    data = store.get(key)
    try:
        value = json.loads(data)
        if value["format"] != FORMAT:
            raise ValueError(f"format {printable(str(value['format']))}, expected {FORMAT}")
        if value.pop("sha256") != digest(value):
            raise ValueError("not what was written")
        return {its["place"]: MapOutcome(**its) for its in value["maps"]}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as err:
        raise DamageError(f"{store.where(key)}: is no record of maps ({one_line(err)})") from None
