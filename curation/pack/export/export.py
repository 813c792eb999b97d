"""The steps of an export: what is asked for, piece by piece on workers, and what tells that all is there, last.

Killed at any moment, the same command goes on: a piece whose files are there with their hashes is not made again.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curation.cubes import contents
from curation.cubes.contents import CubeContents
from curation.errors import ConfigError, CurationError, DamageError, StorageError
from curation.errors.causes import one_line
from curation.errors.words import counted, did_you_mean
from curation.model import Location
from curation.outcomes import Status
from curation.pack import split as splits
from curation.pack.export import of_shards, selecting, target
from curation.pack.export.forms.cog import Cog
from curation.pack.export.forms.geotiff import Geotiff
from curation.pack.export.forms.kuro_siwo import KuroSiwo
from curation.pack.export.forms.litdata import Litdata
from curation.pack.export.forms.netcdf import Netcdf4
from curation.pack.export.forms.npz import Npz
from curation.pack.export.forms.parquet import Parquet
from curation.pack.export.forms.stac import Stac
from curation.pack.export.pieces import ExportScope, Form, SlabPiece
from curation.pack.export.selecting import Condition
from curation.pack.export.target import PieceJob, Written, write_piece
from curation.pack.split import Split
from curation.pack.writers import versions
from curation.places.locations import Locations
from curation.recipe.dataset import Dataset
from curation.recipe.digests import digest
from curation.store import full, paths
from curation.store.objects import Store
from curation.work import cluster
from curation.work.progress import Counting
from curation.work.run import Run

log = logging.getLogger(__name__)

FORMS: dict[str, type[Form]] = {
    form.name: form for form in (Geotiff, Cog, Netcdf4, Npz, Stac, Parquet, Litdata, KuroSiwo)
}
"""Each is a file of `forms/`."""

READ_THREADS = 8
"""Facts are many small objects: those of so many slabs are read at once."""

MOST_CAUSES = 5
"""So many causes of pieces that could not be written are told."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody asks to be exported."""

    regions: tuple[str, ...] | None = None
    """Names; None: all that is built."""
    seasons: tuple[str, ...] | None = None
    """None: all."""
    conditions: tuple[Condition, ...] = ()
    limit: int | None = None
    """Only the first so many patches of each cube, or samples of each split, of those that the conditions leave."""

    def as_json(self) -> dict[str, Any]:
        """As the target keeps it, to know its own export again. A long list is told by its digest."""
        texts = [c.text if len(c.text) < 200 else f"{c.name} {c.relation} {digest(c.values)}" for c in self.conditions]
        return {"region": self.regions, "season": self.seasons, "select": texts, "limit": self.limit}


@dataclass(frozen=True, slots=True)
class ExportPlan:
    """What is to be exported."""

    dataset: Dataset
    form: Form
    wish: Wish
    target: Store
    asked: ExportScope

    @property
    def count(self) -> int:
        """Patches, or samples."""
        return sum(p.count for p in self.asked.pieces)

    @property
    def expected(self) -> tuple[int, int]:
        """How many files it comes to, and the bytes of their pixels before they are packed."""
        found = [self.form.expected(p) for p in self.asked.pieces]
        return sum(f[0] for f in found) + self.form.last_count(self.asked), sum(f[1] for f in found)


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export came to: each file counted is there, and hashed."""

    count: int
    """Patches, or samples."""
    files: int
    size: int
    """Bytes."""
    reused: int
    """Of the patches or samples those that an earlier run wrote."""


def form_named(name: str) -> Form:
    """The form of a name.

    Raises:
        ConfigError: there is none.
    """
    if name not in FORMS:
        raise ConfigError(f"--format {name}: no such form; {did_you_mean(name, FORMS)}known: {', '.join(FORMS)}")
    return FORMS[name]()


def planned(dataset: Dataset, store: Store, form: Form, wish: Wish, to: Store) -> ExportPlan:
    """What is to be exported; nothing is written.

    Raises:
        ConfigError: nothing that is built is asked for, or a condition is on something that is not known.
        DamageError: a ledger, a cube's facts, or the index of the shards are not what was recorded.
    """
    if to.is_local and Path(to.where("")).is_file():
        raise ConfigError(f"--to {to.where('')}: is a file, expected the name of a folder")
    target.check_apart(to, store)
    if form.of_shards:
        asked = of_shards.asked(dataset, store, wish.regions, wish.seasons, wish.conditions, wish.limit)
    else:
        asked = ExportScope(dataset, tuple(_slabs(dataset, store, wish)))
    made = ExportPlan(dataset, form, wish, to, form.prepared(asked, store, to))
    if not made.count:
        raise ConfigError(
            f"{store.where('')}: nothing there is asked for: no {form.noun} that is ok is in these regions and seasons, and "
            "all that --select states; `curate report` says what there is"
        )
    return made


def _slabs(dataset: Dataset, store: Store, wish: Wish) -> Iterator[SlabPiece]:
    """The slabs of cubes with patches that are asked for."""
    there, others = contents.named(dataset, store)
    for line in others:
        log.warning("left out: %s", line)
    regions, seasons = {paths.region_of(f) for f, _ in there}, {s for _, s in there}
    for what, asked, known in (("region", wish.regions, regions), ("season", wish.seasons, seasons)):
        if wrong := [n for n in asked or () if n not in known]:
            raise ConfigError(
                f"--{what} {wrong[0]}: nothing of it is built in {store.where('')}; {did_you_mean(wrong[0], known)}built: "
                f"{', '.join(sorted(known)) or 'none'}"
            )
    cubes = [contents.opened(dataset, store, f, s) for f, s in there if _is_asked(wish, f, s)]
    split = _split(dataset, store, there) if any(c.name == "split" for c in wish.conditions) else None
    for its in cubes:
        yield from _of_cube(its, wish, split)


def _is_asked(wish: Wish, folder: str, season: str) -> bool:
    in_region = wish.regions is None or paths.region_of(folder) in wish.regions
    return in_region and (wish.seasons is None or season in wish.seasons)


def _split(dataset: Dataset, store: Store, there: Sequence[tuple[str, str]]) -> Split:
    """What places are of: as packed, or as planned."""

    def places() -> Locations:
        first = dict(reversed(there))
        every = (contents.opened(dataset, store, *key).cube.locations for key in sorted(first.items()))
        return Locations.of({p.id: p for its in every for p in its}.values())

    return splits.known(dataset.recipe, store, places)


def _of_cube(its: CubeContents, wish: Wish, split: Split | None) -> Iterator[SlabPiece]:
    cube, ok = its.cube, {o.id for o in its.outcomes.values() if o.status is Status.OK}
    facts = {f.name for f in cube.facts}
    own = {"id", "lon", "lat", "epsg", "region", "season", "split"}
    selecting.check_known(wish.conditions, facts | own, f"cube {its.name}")
    measured = any(c.name in facts for c in wish.conditions)
    left = wish.limit
    slabs = [n for n in range(cube.slabs) if any(p.id in ok for p in cube.slab(n))]
    with ThreadPoolExecutor(READ_THREADS) as pool:
        rows = pool.map(its.facts, slabs) if measured else iter([{}] * cube.slab_patches for _ in slabs)
        for slab, known in zip(slabs, rows, strict=True):
            if left == 0:
                return
            places = cube.slab(slab)
            wanted = []
            for slot, place in enumerate(places):
                row = known[slot] | _identity(place, cube.folder, cube.season, split)
                if place.id in ok and selecting.all_hold(wish.conditions, _plain(row)):
                    wanted.append(slot)
            wanted = wanted[:left]
            left = None if left is None else left - len(wanted)
            if wanted:
                record = its.ledger.slabs[slab]
                which = (cube.dataset, its.store, cube.region, cube.season, slab, places, record, tuple(wanted))
                yield SlabPiece(*which, asked=its.asked)


def _identity(place: Location, folder: str, season: str, split: Split | None) -> dict[str, Any]:
    side = split.of(place) if split is not None else None
    own = {n: getattr(place, n) for n in ("id", "lon", "lat", "epsg")}
    return own | {"region": paths.region_of(folder), "season": season, "split": side or None}


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Facts as conditions compare them: instants in ISO 8601, what is not known as None."""
    return {k: selecting.plain(k, v) for k, v in row.items()}


@functools.cache
def _written_by() -> str:
    """A mark of the code and the packages that files follow from: nobody has to remember to change it."""
    found = hashlib.sha256(json.dumps(versions(), sort_keys=True).encode())
    for file in sorted(Path(__file__).parent.rglob("*.py")):
        found.update(file.read_bytes())
    return found.hexdigest()


def exported(plan: ExportPlan, run: Run) -> Exported:
    """Writes what is planned, and tells of it last.

    Args:
        plan: what is to be exported.
        run: of the dataset; its workers do it.

    Raises:
        ConfigError: the target holds something else.
        DamageError: what is stored of the dataset is not what was recorded; the other pieces are written.
        StorageError: nothing more can be kept; a rerun goes on.
    """
    form, to = plan.form, plan.target
    wished = plan.wish.as_json() | ({"settings": dict(form.settings)} if form.settings else {})
    target.claim(to, {"form": form.name, "dataset": plan.dataset.name} | wished)
    to.delete(paths.EXPORT)  # until all is there again
    jobs = (PieceJob(form, p, to, _written_by()) for p in plan.asked.pieces)
    done: dict[str, Written] = {}
    failed: dict[str, BaseException] = {}
    with Counting(f"export: {form.name}", plan.count, form.noun, "stored") as count:
        for batch in cluster.stream(run.client, full.Final(write_piece), jobs, to):
            for job, result in batch:
                if isinstance(result, StorageError):
                    raise result
                if isinstance(result, BaseException):
                    failed[job.piece.name] = result
                    log.warning("%s: %s", job.piece.name, one_line(result))
                    continue
                done[job.piece.name] = result
                count.step(job.piece.count, 0 if result.reused else result.record.size)
    if failed:
        first_few = "; ".join(one_line(err) for err in list(failed.values())[:MOST_CAUSES])
        message = f"{counted(len(failed), 'part')} of {len(plan.asked.pieces)} could not be exported: {first_few}"
        raise (DamageError if any(isinstance(e, DamageError) for e in failed.values()) else CurationError)(message)
    done = target.settled(to, done)
    written = [[f.key for f in done[p.name].record.files] for p in plan.asked.pieces]
    last = [to.publish(key, data) for key, data in sorted(form.last(plan.asked, written).items())]
    records = {target.record_key(name): done[name].sha256 for name in sorted(done)}
    found = Exported(
        plan.count,
        sum(len(w.record.files) for w in done.values()) + len(last),
        sum(w.record.size for w in done.values()) + sum(r.size for r in last),
        sum(w.record.count for w in done.values() if w.reused),
    )
    manifest = {
        "format": target.FORMAT,
        "form": form.name,
        "dataset": plan.dataset.name,
        "title": plan.dataset.recipe.title,
        "asked": wished,
        "counts": {form.noun: found.count, "files": found.files, "bytes": found.size},
        "licences": {s.name: s.licence for s in plan.dataset.specs.values()}
        | {name: its.attribution for name, its in plan.asked.owed.items()},
        "written_by": versions(),
        "files": {r.key: r.sha256 for r in last},
        "records": records,
    }
    to.publish(paths.EXPORT, (json.dumps(manifest, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode())
    return found
