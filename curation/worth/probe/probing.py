"""The step: features of a packed dataset, by each way that is asked for and by what costs nothing, probed for its labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from curation.errors import ConfigError
from curation.errors.words import counted, did_you_mean
from curation.format.index import Index
from curation.model import STATIC
from curation.pack.export.of_shards import index_of
from curation.pack.sides import apart_rad
from curation.places.grids import Ints
from curation.places.nearby import EARTH_RADIUS_KM
from curation.recipe import domains
from curation.recipe.dataset import Dataset
from curation.store.objects import Store
from curation.work.progress import Doing
from curation.worth.features import making
from curation.worth.features.table import Features
from curation.worth.probe import compare, folds, labels, lines
from curation.worth.probe.compare import Comparison, ProbeRules
from curation.worth.probe.folds import PlaceFold
from curation.worth.probe.heads import HeadName
from curation.worth.probe.rows import ProbedEncoder, ProbeRows, Purpose

BASELINES = ("handmade", "convolutions")
"""Ways that cost nothing, always beside what is asked for: numbers made by hand, and an encoder whose weights are random."""

MOST_PLACES = 10_000
"""So many places, drawn by the seed, are probed where nobody says otherwise."""

HEADS: tuple[HeadName, ...] = ("linear", "knn")


@dataclass(frozen=True, slots=True)
class ProbeOptions:
    """How a dataset is probed."""

    labels: str = "auto"
    """As `labels.task_of` takes it."""
    heads: tuple[HeadName, ...] = HEADS
    k: int = 5
    """Folds of blocks."""
    sides: tuple[str, str] | None = None
    """Instead of folds: the sides of the dataset's split that are fitted on and scored."""
    block_deg: float | None = None
    """That of `[domains]` where left out."""
    seasons: tuple[str, ...] | None = None
    """Only rows of these."""
    by: tuple[str, ...] | None = None
    """Domains of which the worst group is told."""
    arrays: tuple[str, ...] | None = None
    """Of which features are made."""
    most_places: int = MOST_PLACES
    draws: int = 1000
    seed: int = 0


@dataclass(frozen=True, slots=True)
class ProbedDataset:
    """What probing came to, and what it followed from."""

    found: Comparison
    dataset: str
    content_sha256: str
    options: ProbeOptions
    block_deg: float
    apart_km: float
    """Between centres of places that are fitted on and that are scored."""
    notes: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """All of it as plain JSON values."""
        its = self.options
        how = {n: getattr(its, n) for n in ("labels", "sides", "seasons", "arrays", "most_places", "draws", "seed")}
        how |= {"block_deg": self.block_deg, "apart_km": self.apart_km}
        whole = {"dataset": self.dataset, "content_sha256": self.content_sha256, "how": how, "notes": list(self.notes)}
        return whole | lines.to_json(self.found)


def probed(
    dataset: Dataset, store: Store, asked: Sequence[str], options: ProbeOptions, *, run_code: bool = False
) -> ProbedDataset:
    """Probes features of a packed dataset.

    Args:
        dataset: the recipe.
        store: the dataset's folder.
        asked: ways of making features that somebody wants to know of (`making.way_of`), beside `BASELINES`.
        options: how.
        run_code: whether code that is named may be executed.

    Raises:
        ConfigError: nothing is packed, there are no such labels, ways, sides or domains, or too few places for folds.
        DamageError: what is packed is not what was recorded.
        UnaskedCodeError: a way is code, and `run_code` is not said.
    """
    index = index_of(store)
    _check(options, index)
    ways = [making.way_of(text, seed=options.seed, run_code=run_code) for text in dict.fromkeys([*asked, *BASELINES])]
    arrays = None if options.arrays is None else list(options.arrays)
    made = [making.made(store, way, arrays=arrays).features for way in ways]
    purposes = [_purpose(text, asked) for text in dict.fromkeys([*asked, *BASELINES])]
    with Doing("probe: fitting and scoring"):
        return _compared(dataset, store, index, made, purposes, options)


def _purpose(text: str, asked: Sequence[str]) -> Purpose:
    return "baseline" if text in BASELINES and (asked or text != BASELINES[0]) else "asked"


def _check(options: ProbeOptions, index: Index) -> None:
    asked: dict[str, tuple[Sequence[str], Sequence[str]]] = {
        "--probe": (options.heads, HEADS),
        "--season": (options.seasons or (), index.seasons or (STATIC,)),
        "--sides": (options.sides or (), list(index.splits)),
    }
    for flag, (names, known) in asked.items():
        if wrong := [n for n in names if n not in known]:
            raise ConfigError(f"{flag} {wrong[0]}: {did_you_mean(wrong[0], known)}expected of {', '.join(known)}")
    if not options.heads:
        raise ConfigError(f"--probe: names no probe; expected of {', '.join(HEADS)}")
    if options.k < 2:
        raise ConfigError(f"--folds {options.k}: expected 2 or more, so that each is scored by what the others teach")
    if options.block_deg is not None and not 0 < options.block_deg <= 30:
        raise ConfigError(f"--block-deg {options.block_deg:g}: expected more than 0, and at most 30")


def _compared(
    dataset: Dataset,
    store: Store,
    index: Index,
    made: Sequence[Features],
    purposes: Sequence[Purpose],
    options: ProbeOptions,
) -> ProbedDataset:
    chosen, notes = _common(made, options)
    first = made[0].rows(chosen[0])
    rows, encoders = _rows(first, dataset, options), []
    for its, at, purpose in zip(made, chosen, purposes, strict=True):
        encoders.append(ProbedEncoder(its.name, its.values[at], purpose, its.digest))
    facts = labels.SampleTables(store, index)
    if index.children and options.labels not in facts.names and options.labels != "target":
        raise ConfigError(
            f"--labels {options.labels}: samples have children, whose labels stand in no table: name the target or a column "
            f"of samples: {', '.join(facts.names)}"
        )
    task = labels.task_of(facts, options.labels, rows.places, rows.seasons)
    unlabelled = int((~task.is_known).sum())
    rows, task, encoders = compare.labelled(rows, task, encoders)
    usual = domains.spec_of(dataset.recipe).block_deg
    block_deg = options.block_deg or folds.side_deg(rows.lon, rows.lat, usual)
    if options.block_deg is None and block_deg != usual:
        notes.append(f"blocks of {block_deg:g}°: of {usual:g}° there are fewer than {folds.LEAST_BLOCKS} (--block-deg)")
    apart = apart_rad(dataset.recipe.grid, dataset.recipe.split.buffer_km)
    rules = ProbeRules(options.heads, options.draws, options.seed)
    found = compare.compared(rows, task, encoders, _folds(rows, options, block_deg, apart), rules, unlabelled)
    km = apart * EARTH_RADIUS_KM
    return ProbedDataset(found, index.dataset, index.content_sha256, options, block_deg, km, tuple(notes))


def _folds(rows: ProbeRows, options: ProbeOptions, block_deg: float, apart: float) -> list[PlaceFold]:
    if options.sides is None:
        return folds.of_blocks(rows, options.k, block_deg, apart, options.seed)
    return folds.of_sides(rows, *options.sides, block_deg, apart, options.seed)


def _common(made: Sequence[Features], options: ProbeOptions) -> tuple[list[Ints], list[str]]:
    """Numbers of the rows that all have, of places and seasons that are asked for, in one order; and what is left out."""
    at = [{pair: n for n, pair in enumerate(zip(f.keys.tolist(), f.seasons.tolist(), strict=True))} for f in made]
    every = dict.fromkeys(pair for rows in at for pair in rows)
    both = [p for p in every if all(p in rows for rows in at)]
    notes = [f"{counted(n, 'row')} left out, which not all features have"] if (n := len(every) - len(both)) else []
    both = [p for p in both if options.seasons is None or p[1] in options.seasons]
    place = made[0].places
    places = np.unique([place[at[0][p]] for p in both])
    if len(places) > options.most_places:
        drawn = {*np.random.default_rng(options.seed).choice(places, options.most_places, replace=False).tolist()}
        both = [p for p in both if place[at[0][p]] in drawn]
        notes.append(f"{options.most_places:,} of {len(places):,} places, drawn by the seed; --places N takes more")
    return [np.array([rows[p] for p in both], np.int64) for rows in at], notes


def _rows(its: Features, dataset: Dataset, options: ProbeOptions) -> ProbeRows:
    of = labels.domains_of(options.by, its.columns, its.lon, its.lat, dataset.recipe)
    return ProbeRows(its.keys, its.places, its.seasons, its.lon, its.lat, its.splits, of)
