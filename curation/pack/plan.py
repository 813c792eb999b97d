"""Which samples there are, and which shard each goes to. Pure: a function of ledgers."""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import hashlib
import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from curation.cubes.complete import COMPLETE, Standing, judged, standings
from curation.cubes.cube import Cube
from curation.errors.codes import Code
from curation.errors.words import counted
from curation.format.names import DOMAIN
from curation.format.target import TargetEntry
from curation.model import Location
from curation.outcomes import PatchOutcome, Status
from curation.pack import passes, sharing
from curation.pack import split as splits
from curation.pack.domains.domain import UNKNOWN
from curation.pack.pruned import Decisions
from curation.pack.season_parts import SeasonParts, without_others
from curation.pack.sharing import Shared
from curation.pack.sides import EQUAL_SIZE, TRAIN, UNLABELLED
from curation.places.locations import SCHEMA, Locations
from curation.places.rows import Dropped
from curation.recipe.dataset import Dataset
from curation.recipe.schema import Recipe
from curation.recipe.shares import ShareSpec
from curation.recipe.split import DATATAKE, EVENT, UNSHARED_CELL
from curation.store import paths

Times = Mapping[tuple[str, str, str], Sequence[dt.datetime]]
"""Id of a place, season and source → when its scenes were sensed, UTC."""


@dataclass(frozen=True, slots=True)
class SeasonPart:
    """One season of one sample: where it is, and what is known of it."""

    season: str
    patch: int
    """Its number in the cube."""
    outcome: PatchOutcome


@dataclass(frozen=True, slots=True)
class PlannedSample:
    """One sample to be: a location and its seasons."""

    location: Location
    split: str
    """One of the split's parts (`[split]`); a child is of its parent's."""
    parts: tuple[SeasonPart, ...]
    """`static` first, then in the recipe's order."""
    children: tuple[PlannedSample, ...] = ()
    """Of its children, those that have something, in the order of the draw."""

    @property
    def places(self) -> tuple[PlannedSample, ...]:
        """Itself, and its children."""
        return (self, *self.children)


@dataclass(frozen=True, slots=True)
class Plan:
    """Which samples, in which shards."""

    shards: dict[str, list[list[PlannedSample]]]
    """Split → shards → samples in order."""
    dropped: list[Dropped]
    shared: dict[str, Shared] = field(default_factory=dict)
    """Source, or `era5-cell` → what sides of the split have in common."""
    sides: dict[str, str] = field(default_factory=dict)
    """Id of every root, whether a sample or not → one of the split's parts, or `buffer`."""
    columns: dict[str, pa.DataType] = field(default_factory=dict)
    """What the file of places says of each root, with its type."""
    unmatched: list[str] = field(default_factory=list)
    """What of the split's rule no root is like, and what it looks at that no sample has, a line each."""
    target: TargetEntry | None = None
    """What of the file of places models are to say of samples."""
    domains: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Domain → id of a root → what it is told to be of, or why not."""
    pruned: Decisions | None = None
    """What was decided of the samples that there would be, by which some are left out."""


def plan(
    dataset: Dataset,
    cubes: Mapping[str, Mapping[str, Cube]],
    outcomes: Mapping[str, Mapping[str, Mapping[str, PatchOutcome]]],
    excluded: Mapping[str, str] | None = None,
    facts: Mapping[str, Mapping[str, Sequence[str]]] | None = None,
    shares: Mapping[tuple[str, str], Mapping[str, float]] | None = None,
    domains: Mapping[str, Mapping[str, str]] | None = None,
    of_seasons: Mapping[str, Mapping[str, Mapping[str, str]]] | None = None,
    times: Times | None = None,
    pruned: Decisions | None = None,
) -> Plan:
    """Which samples go into which shard. Pure: follows from recipe and ledgers, whatever order they were written in.

    Here it is decided which side of the split a location is of; one that is of none is dropped as `buffer`. Of the others
    the first `target` complete ones of the draw are taken, of unlabelled ones as many besides; then ordered by a seeded
    hash of their id, so that each shard mixes the whole geography.

    Args:
        dataset: the recipe.
        cubes: folder → season → cube.
        outcomes: folder → season → location id → outcome.
        excluded: location id → why the recipe excludes it; the next of the draw takes its place where there is a target.
        facts: fact that the split's rule looks at → location id → what its patches have of it.
        shares: folder and location id → name of one of `[pack.shares]` → per cent; columns of samples from here on.
        domains: domain → location id → what it is of, or why that is not known.
        of_seasons: domain → location id → season → likewise, of those that may differ between them.
        times: when scenes were sensed, where ids alone do not tell their datatake.
        pruned: what was decided of the samples that there are: nobody takes the place of one that is left out.
    """
    excluded = excluded or {}
    recipe = dataset.recipe
    dropped: list[Dropped] = []
    whole: list[PlannedSample] = []
    found = list(_standings(dataset, cubes, outcomes))
    tables = [its.locations.table for by in cubes.values() for its in by.values() if its.locations.user_columns]
    columns = {f.name: f.type for f in list(tables[0].schema)[len(SCHEMA) :]} if tables else {}
    roots = Locations.of(its.location for its in found)
    for name, of in (facts or {}).items():
        values = pa.array([of.get(its.location.id, ()) for its in found], pa.list_(pa.string()))
        roots = Locations(roots.table.append_column(name, values))
    for name in recipe.split.domains:
        of_each = [(domains or {}).get(name, {}).get(its.location.id, UNKNOWN) for its in found]
        roots = Locations(roots.table.append_column(f"{DOMAIN}{name}", pa.array(of_each, pa.string())))
    apart = SeasonParts.of(recipe, of_seasons)
    sides = dict(splits.planned(recipe, roots if apart is None else apart.with_column(roots)).sides)
    if apart is not None:  # from here on samples have those seasons alone that they may have
        seasons = apart.seasons(recipe, sides)
        found, domains = without_others(found, seasons), apart.domains(domains or {}, seasons)
    columns |= dict.fromkeys(recipe.pack.shares, pa.float64())
    for one in found:
        has = (shares or {}).get((one.folder, one.location.id), {})
        if apart is not None:
            has = _of_own_seasons(dataset, one, has)
        its = _with_shares(one, recipe.pack.shares, has)
        side = _part(its, sides[its.location.id], recipe)
        if its.verdict.reason is None and side == UNLABELLED:
            sides[its.location.id] = side
        reason = (
            its.verdict.reason or _outside(recipe.pack.shares, has) or (None if side in recipe.split.parts else side)
        )
        note = excluded.get(its.location.id, "")
        reason = Code.TAKEN_OUT if note else reason
        dropped += [Dropped(c.location, c.verdict.reason) for c in its.children if c.verdict.reason is not None]
        if reason is None:
            whole.append(_planned(its, side))
        else:
            dropped.append(Dropped(its.location, reason, note=note))
    whole.sort(key=lambda m: m.location.rank)
    cells = sharing.cells_of(recipe, [m.location for m in whole])
    kinds = recipe.split.kinds([n for n, s in dataset.specs.items() if not s.timeless and s.pick.has_own_time])
    uses = {m.location.id: _uses(m, its, kinds, times or {}) for m, its in zip(whole, cells, strict=True)}
    out = sharing.left_out(uses.values(), kinds, recipe.split.tiers)
    dropped += [Dropped(m.location, out[m.location.id]) for m in whole if m.location.id in out]
    whole = [m for m in whole if m.location.id not in out]

    def ids_of(other: Recipe) -> dict[str, set[str]]:
        alike = copy.copy(dataset)
        alike.recipe = other
        made = plan(alike, cubes, outcomes, excluded, facts, shares, domains, of_seasons, times).shards
        return {part: {m.location.id for shard in of for m in shard} for part, of in made.items()}

    samples = {m.location.id: (m.split, _of_domain(recipe, domains, m)) for m in whole}
    if (stay := splits.to_size(recipe, samples, ids_of)) is None:
        whole, beyond = _targeted(whole, recipe.pack.target)
        dropped += [Dropped(m.location, "target") for m in beyond]
    else:  # of the other rule's target, too
        beyond = [m for m in whole if m.location.id not in stay]
        dropped += [Dropped(m.location, EQUAL_SIZE if m.split == TRAIN else "target") for m in beyond]
        whole = [m for m in whole if m.location.id in stay]
    if pruned is not None:
        left_out = pruned.out
        dropped += [Dropped(m.location, left_out[m.location.id]) for m in whole if m.location.id in left_out]
        whole = [m for m in whole if m.location.id not in left_out]
    whole.sort(key=lambda m: hashlib.sha256(f"{recipe.seed}:{m.location.id}".encode()).digest())
    n = dataset.samples_per_shard
    shards = {}
    for split in recipe.split.parts:
        mine = [m for m in whole if m.split == split]
        shards[split] = [mine[i : i + n] for i in range(0, len(mine), n)]
    shared = sharing.shared((uses[m.location.id] for m in whole), recipe.split.tiers)
    dropped.sort(key=lambda d: d.location.rank)
    without = splits.without_samples(recipe, roots, {d.location.id: d.reason for d in dropped})
    return Plan(
        shards,
        dropped,
        shared,
        dict(sides),
        columns,
        [*splits.unmatched(recipe, roots), *without, *_without_datatake(whole, kinds, times or {})],
        domains=domains or {},
        pruned=pruned,
    )


@dataclass(frozen=True, slots=True)
class SeasonCounts:
    """What is built of each season, for who asks why nothing is complete."""

    patches: dict[str, int]
    """Season, `static` among them → patches that are ok."""
    by_any: int
    """Locations that would be complete by the rule `any`."""


def season_counts(
    dataset: Dataset,
    cubes: Mapping[str, Mapping[str, Cube]],
    outcomes: Mapping[str, Mapping[str, Mapping[str, PatchOutcome]]],
) -> SeasonCounts:
    """What is built of each season of the roots. Pure, of what `plan` is given."""
    patches = dict.fromkeys(dataset.levels[0].cube_seasons(), 0)
    by_any = 0
    for its in _standings(dataset, cubes, outcomes):
        for season, outcome in its.have.items():
            patches[season] += outcome is not None and outcome.status is Status.OK
        by_any += judged("any", its.have).state == COMPLETE
    return SeasonCounts(patches, by_any)


def _of_domain(recipe: Recipe, domains: Mapping[str, Mapping[str, str]] | None, member: PlannedSample) -> str:
    """What the domain that the split looks at tells of a sample; empty where it looks at none."""
    return next((domains[name][member.location.id] for name in recipe.split.domains if domains), "")


def _uses(member: PlannedSample, cells: set[str], kinds: Collection[str], times: Times) -> sharing.Uses:
    """What a sample uses; datatakes and events only where they may not be shared."""
    things: dict[str, set[str]] = {UNSHARED_CELL: cells}
    if EVENT in kinds and (event := member.location.columns.get(EVENT)) is not None:
        things[EVENT] = {str(event)}
    for place, part in ((its_place, part) for its_place in member.places for part in its_place.parts):
        for source, its in part.outcome.sources.items():
            if its.status is Status.OK:
                things.setdefault(source, set()).update(its.scenes)
                if DATATAKE in kinds:
                    when = times.get((place.location.id, part.season, source), ())
                    things.setdefault(DATATAKE, set()).update(passes.of_scenes(its.scenes, when))
    return sharing.Uses(member.location.id, member.split, things)


def _without_datatake(whole: Sequence[PlannedSample], kinds: Collection[str], times: Times) -> list[str]:
    """That datatakes, which may not be shared, are not told of all samples; nothing where they are, or may be."""
    if DATATAKE not in kinds:
        return []
    hidden = sum(any(_hides(m, times)) for m in whole)
    its = f"unshared: nothing tells the datatake of scenes of {counted(hidden, 'sample')}, so that parts may share some"
    return [its] if hidden else []


def _hides(member: PlannedSample, times: Times) -> Iterator[bool]:
    """Whether the datatake of each of a sample's scenes is hidden."""
    for place, part in ((its_place, part) for its_place in member.places for part in its_place.parts):
        for source, its in part.outcome.sources.items():
            when = times.get((place.location.id, part.season, source), ())
            yield from (passes.hides(s, when) for s in its.scenes if its.status is Status.OK)


def _standings(
    dataset: Dataset,
    cubes: Mapping[str, Mapping[str, Cube]],
    outcomes: Mapping[str, Mapping[str, Mapping[str, PatchOutcome]]],
) -> Iterator[Standing]:
    """Where each root stands, once: regions may overlap, and the first asked for has it."""
    places = {folder: next(iter(by_season.values())).locations for folder, by_season in cubes.items()}
    seen: set[str] = set()
    for region in dict.fromkeys(map(paths.region_of, cubes)):
        for its in standings(dataset, region, places, lambda f, s, i: outcomes[f][s].get(i)):
            if its.location.id not in seen:
                seen.add(its.location.id)
                yield its


def _with_shares(its: Standing, asked: Mapping[str, ShareSpec], mine: Mapping[str, float]) -> Standing:
    """The same with its shares as columns of the location, None of a map that it has not."""
    if not asked:
        return its
    columns = {**its.location.columns, **{name: mine.get(name) for name in asked}}
    return dataclasses.replace(its, location=dataclasses.replace(its.location, columns=columns))


def _of_own_seasons(dataset: Dataset, its: Standing, shares: Mapping[str, float]) -> dict[str, float]:
    """Those shares that are of maps which a sample has: of another season it is told nothing."""
    seasons = {
        name: spec.season_among(dataset.levels[0].seasons_of(spec.source))
        for name, spec in dataset.recipe.pack.shares.items()
    }
    return {name: value for name, value in shares.items() if seasons[name] in its.have}


def _part(its: Standing, side: str, recipe: Recipe) -> str:
    """What a sample would be of: `unlabelled` in the place of train where it lacks the source of labels.

    In the place of val or test it is `no_labels`, and no sample: nothing judges by it, and it is too near to learn from.
    """
    labels, held = recipe.split.unlabelled, [part for tier in recipe.split.tiers[:-1] for part in tier]
    if labels is None or any(of is not None and of.has(labels) for of in its.have.values()):
        return side
    return Code.NO_LABELS if side in held else UNLABELLED if side == TRAIN else side


def _outside(asked: Mapping[str, ShareSpec], mine: Mapping[str, float]) -> str | None:
    """Why a location may be no sample, by its shares: the first in the recipe's order."""
    return next((f"{Code.OUTSIDE_SHARE}:{name}" for name, s in asked.items() if not s.holds(mine.get(name))), None)


def _targeted(
    whole: Sequence[PlannedSample], target: int | None
) -> tuple[list[PlannedSample], Sequence[PlannedSample]]:
    """The first `target` in the order of the draw, and the rest.

    Unlabelled ones are counted by themselves: however many there are, none takes the place of one with labels.
    """
    unlabelled = [m for m in whole if m.split == UNLABELLED]
    others = [m for m in whole if m.split != UNLABELLED]
    end = len(whole) if target is None else target
    return [*others[:end], *unlabelled[:end]], [*others[end:], *unlabelled[end:]]


def _planned(its: Standing, side: str) -> PlannedSample:
    parts = tuple(SeasonPart(s, its.number, o) for s, o in its.have.items() if o is not None and o.status is Status.OK)
    children = tuple(_planned(c, side) for c in its.children if c.verdict.reason is None)
    return PlannedSample(its.location, side, parts, children)


def mixing(made: Plan) -> float | None:
    """Mean distance of neighbours within shards over that of random pairs: 1 is perfectly mixed, 0 is sorted.

    None where there are too few samples to tell.
    """
    members = [m for shards in made.shards.values() for s in shards for m in s]
    near: list[float] = []
    for shards in made.shards.values():
        for shard in shards:
            near += [_chord(a, b) for a, b in itertools.pairwise(shard)]
    if len(near) < 10:
        return None
    draws = np.random.default_rng(0).integers(0, len(members), (2000, 2))
    apart = np.mean([_chord(members[a], members[b]) for a, b in draws if a != b])
    return float(np.mean(near) / apart) if apart > 0 else None


def _chord(a: PlannedSample, b: PlannedSample) -> float:
    """Straight distance through a unit sphere."""
    return math.dist(_xyz(a), _xyz(b))


def _xyz(member: PlannedSample) -> tuple[float, float, float]:
    lon, lat = math.radians(member.location.lon), math.radians(member.location.lat)
    return math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)
