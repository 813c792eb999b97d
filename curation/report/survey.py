"""What a dataset holds, gathered for drawing: outcomes of every patch from the ledgers, facts of a bounded, even selection.

Damage is kept beside what was read: whoever draws must name it.
"""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.cubes import complete, contents
from curation.cubes.contents import CubeContents
from curation.errors import ConfigError, DamageError
from curation.format.index import Index
from curation.format.target import TargetEntry
from curation.model import STATIC, Location
from curation.outcomes import PENDING, PatchOutcome, Status
from curation.pack import meta, targets
from curation.pack import split as splits
from curation.pack.facts import READ_THREADS
from curation.pack.labels import imported as imported_labels
from curation.pack.labels import known
from curation.pack.labels.imported import Imported
from curation.pack.labels.known import Known
from curation.pack.split import Split
from curation.places import parquet
from curation.places.locations import Locations
from curation.recipe.dataset import Dataset
from curation.store import paths
from curation.store.objects import Store
from curation.work.progress import Counting

log = logging.getLogger(__name__)

MAX_SLABS = 256
"""Slabs per cube whose facts are read: on an object store each is some forty objects."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One ok patch and its facts."""

    cube: CubeContents
    location: Location
    outcome: PatchOutcome
    facts: dict[str, Any]


@dataclass(slots=True)
class Survey:
    """A dataset as it stands."""

    dataset: Dataset
    store: Store
    cubes: dict[tuple[str, str], CubeContents]
    """(region, season) → cube, those that could be opened."""
    damage: dict[str, None] = field(default_factory=dict)
    """What is not as recorded, one line each, in the order found."""
    left_out: tuple[str, ...] = ()
    """Of cubes of seasons that the recipe has not, which are not among them: a line each."""
    slabs_read: int = 0
    slabs_in_ledgers: int = 0
    facts: dict[tuple[str, str, int], list[dict[str, Any]] | None] = field(default_factory=dict)
    """(region, season, slab) → facts; None where they are damaged."""
    imported: Imported | None = None
    """Labels that come from a file."""
    _states: dict[tuple[str, str], str] = field(default_factory=dict)
    """(region, location) → what it has come to, once it was asked for."""
    _split: Split | None = None

    @property
    def regions(self) -> list[str]:
        """Folders of the regions and their levels, in order."""
        return sorted({region for region, _ in self.cubes})

    def places(self, region: str) -> list[Location]:
        """The region's locations, of whichever of its cubes; each once."""
        found = {p.id: p for (name, _), c in self.cubes.items() if name == region for p in c.cube.locations}
        return list(found.values())

    @property
    def split(self) -> Split:
        """What each location is of: as packed, or as planned."""
        if self._split is None:
            try:
                self._split = splits.known(self.dataset.recipe, self.store, self._every_place)
            except DamageError as err:
                self.damage[str(err)] = None
                self._split = Split({}, packed=True)
        return self._split

    def target(self, index: Index | None) -> TargetEntry | None:
        """The target of samples, by the draw as it stands; as it was packed where there is no such draw."""
        if self.dataset.recipe.labels.column is None:
            return None
        try:
            return targets.of(self.dataset, parquet.load(self.store, paths.locations(None), self.dataset))
        except (FileNotFoundError, ConfigError, DamageError):  # told by who builds and packs
            return index.target if index else None

    def _every_place(self) -> Locations:
        """The locations of all regions and levels, each once."""
        found = dict[str, Location]()
        for place in (p for r in self.regions for p in self.places(r)):
            found.setdefault(place.id, place)  # the first region has it, as when it is packed
        return Locations.of(found.values())

    @property
    def asked(self) -> dict[str, str]:
        """Source → identity of the catalog that its scenes are of, as the cubes state."""
        return {name: its for cube in self.cubes.values() for name, its in cube.asked.items()}

    def outcome(self, region: str, season: str, location: str) -> PatchOutcome | None:
        """What became of a patch; None where it is pending."""
        cube = self.cubes.get((region, season))
        return cube.outcomes.get(location) if cube else None

    def state(self, region: str, location: str) -> str:
        """What a location has come to by the recipe's rule, as packing has it; a child by its own patches alone."""
        if not self._states:
            roots = dict.fromkeys(map(paths.region_of, self.regions))
            for root in roots:
                places = {
                    f: self.places(f) for level in self.dataset.levels if (f := level.folder(root)) in self.regions
                }
                for its in complete.standings(self.dataset, root, places, self.outcome):
                    self._states |= {(s.folder, s.location.id): s.verdict.state for s in (its, *its.children)}
        if (region, location) not in self._states:  # a child whose cell's cubes are damaged, or not built
            seasons = self.dataset.level_of(region).cube_seasons()
            have = {s: self.outcome(region, s, location) for s in seasons}
            self._states[region, location] = complete.judged(self.dataset.recipe.pack.complete, have).state
        return self._states[region, location]

    def counts(self) -> dict[tuple[str, str], Counter[str]]:
        """(region, season) → reason → patches, as the ledgers say; `pending` for those that are not decided."""
        out = {}
        for key, cube in self.cubes.items():
            found = cube.ledger.counts(cube.ledger.lines)
            pending = len(cube.cube.locations) - len(cube.outcomes)
            out[key] = found + Counter({PENDING: pending})
        return out

    def statuses(self) -> Counter[str]:
        """Status → patches over all cubes, as the ledgers say."""
        out: Counter[str] = Counter()
        for cube in self.cubes.values():
            out.update(o.status.name.lower() for o in cube.outcomes.values())
            out[PENDING] += len(cube.cube.locations) - len(cube.outcomes)
        return +out

    def facts_of(self, cube: CubeContents, location: str) -> dict[str, Any] | None:
        """The facts of one patch, read where they were not yet; None where they are damaged."""
        slab, slot = divmod(cube.numbers[location], cube.cube.slab_patches)
        key = (cube.cube.folder, cube.cube.season, slab)
        if key not in self.facts:
            self.facts[key] = self._read(cube, slab)
        rows = self.facts[key]
        return None if rows is None else rows[slot]

    def pixels(self, cube: CubeContents, name: str, location: str, step: int | None = None) -> NDArray[Any] | None:
        """(band, y, x) of one array of an ok patch, of a time axis at a step; None where it is damaged, which is kept."""
        try:
            return cube.pixels(name, location, step)
        except DamageError as err:
            self.damage[str(err)] = None
            return None

    def measured(self, season: str | None = None) -> Iterator[Measured]:
        """Every ok patch whose facts were read, in order; of one season, or of all."""
        for (region, its, slab), rows in sorted(self.facts.items()):
            if rows is None or (season is not None and its != season):
                continue
            cube = self.cubes[region, its]
            for place, facts in zip(cube.cube.slab(slab), rows, strict=True):
                outcome = cube.outcomes.get(place.id)
                if outcome is not None and outcome.status is Status.OK:
                    yield Measured(cube, place, outcome, facts)

    def labels(self, facts: dict[str, Any] | None, season: str) -> Known | None:
        """The labels of a patch, as in a sample; None where nothing is known of them."""
        rules = self.dataset.recipe.labels
        source = rules.annual if season == STATIC else rules.seasonal
        if source is None or facts is None:
            return None
        legend, names = self.dataset.specs[source].kind.legend, meta.label_names(self.dataset)
        if (entry := facts.get(known.LISTED)) is not None:
            return known.of_entry(entry, legend, names, rules)
        shares, valid = facts.get(f"{source}_fraction"), facts.get(f"{source}_valid_fraction")
        if shares is None or valid is None:
            return None
        return known.of_entry(known.measured(shares, valid), legend, names, rules)

    def multi_hot(self, facts: dict[str, Any] | None, season: str) -> list[int] | None:
        """0 or 1 per label, as in a sample; None where they are unknown."""
        found = self.labels(facts, season)
        return None if found is None else found.multi_hot

    def _read(self, cube: CubeContents, slab: int) -> list[dict[str, Any]] | None:
        try:
            return self._with_labels(cube, slab, cube.facts(slab))
        except DamageError as err:
            self.damage[str(err)] = None
            return None

    def _with_labels(self, cube: CubeContents, slab: int, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Facts of a slab's patches, imported labels among them."""
        if self.imported is None or cube.cube.dataset.level:
            return rows
        out, season = [], cube.cube.season
        for place, facts in zip(cube.cube.slab(slab), rows, strict=True):
            outcome = cube.outcomes.get(place.id)
            more = self.imported.facts(self.dataset, season, place.id, outcome, facts) if outcome else {}
            out.append(facts | more)
        return out


def survey(dataset: Dataset, store: Store) -> Survey:
    """What lies below the dataset's folder.

    Raises:
        ConfigError: nothing is built there, or it was built by another recipe.
    """
    names, others = contents.named(dataset, store)
    if not names:
        raise ConfigError(
            f"{store.where('')}: nothing of {dataset.name!r} is built there; build it with "
            f"`curate --dataset {dataset.path} --root …`, or give the --root it was built into"
        )
    for line in others:
        log.warning("left out: %s", line)
    found = Survey(dataset, store, {}, left_out=tuple(others))
    for region, season in names:
        try:
            found.cubes[region, season] = contents.opened(dataset, store, region, season)
        except DamageError as err:
            found.damage[str(err)] = None
    try:
        found.imported = imported_labels.load(store, dataset)
    except DamageError as err:
        found.damage[str(err)] = None
    todo = []
    for cube in found.cubes.values():
        slabs = sorted(cube.ledger.slabs)
        found.slabs_in_ledgers += len(slabs)
        todo += [
            (cube, slabs[int(i)])
            for i in np.unique(np.linspace(0, len(slabs) - 1, min(len(slabs), MAX_SLABS)).astype(int))
        ]
    found.slabs_read = len(todo)
    with ThreadPoolExecutor(READ_THREADS) as pool, Counting("report: facts", len(todo), "slab") as count:
        for (cube, slab), rows in zip(todo, pool.map(lambda job: found._read(*job), todo), strict=True):
            found.facts[cube.cube.folder, cube.cube.season, slab] = rows
            count.step()
    return found


def round_robin(queues: list[list[Any]]) -> Iterator[Any]:
    """The first of each, then the second of each, and so on."""
    for row in itertools.zip_longest(*queues):
        yield from (item for item in row if item is not None)
