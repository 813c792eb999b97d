"""The worst patches by a fact on one page, with what takes their places out of the next release."""

from __future__ import annotations

import heapq
import json
import logging
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curation.cubes import contents
from curation.cubes.contents import CubeContents
from curation.errors import ConfigError, DamageError
from curation.errors.words import did_you_mean
from curation.model import Location
from curation.outcomes import Status
from curation.pack.facts import READ_THREADS
from curation.recipe import exclude, synthetic
from curation.recipe.dataset import Dataset
from curation.recipe.facts import FILL, Fact
from curation.report import contact_sheet, page, panels
from curation.report.contact_sheet import SheetColumn
from curation.store import paths
from curation.store.objects import Store
from curation.work.progress import Counting

log = logging.getLogger(__name__)

ALL = "all"

MORE_IS_BETTER = ("clear_fraction", "valid_fraction", "fraction_valid", "shift_peak", "mask_agreement")
"""Facts of which the lowest are the worst, by what their names end in; of all others those that are furthest from zero."""


@dataclass(frozen=True, slots=True)
class Bad:
    """One patch, by how bad it is."""

    cube: CubeContents
    location: Location
    value: float

    @property
    def name(self) -> str:
        """As ledgers and logs name it."""
        return f"{self.cube.name}/{self.location.id}"


@dataclass(frozen=True, slots=True)
class Worst:
    """A page that was written."""

    where: str
    page: str
    """HTML."""
    fact: str
    patches: tuple[tuple[str, float], ...]
    """`REGION/SEASON/ID` and the value, worst first."""
    lines: str
    """TOML that excludes their places."""
    damage: tuple[str, ...]
    """What is not as its ledger recorded it: it is not among them."""


def write(dataset: Dataset, store: Store, by: str, count: int, region: str, season: str, out: Path | None) -> Worst:
    """The page of the worst `ok` patches by a fact, written to `worst-<fact>.html` in the current folder, or to `out`.

    What the recipe excludes already is not among them. Every row of facts is checked against the ledger's hash of it, so
    that all of a slab's are read.

    Args:
        dataset: the recipe it was built by.
        store: its folder, `<root>/<dataset>`.
        by: a fact, by its whole name (`s2l2a_clear_fraction`) or without its source, where one source has it.
        count: how many.
        region: a region or folder that is built, or `all`.
        season: a season that is built, or `all`.
        out: a local file to write instead.

    Raises:
        ConfigError: there is no such fact, region or season (the nearest are told), or `out` is a folder.
    """
    if out is not None and out.is_dir():
        raise ConfigError(f"--out {out}: is a folder, expected the name of a file")
    damage: dict[str, None] = {}
    cubes = _opened(dataset, store, region, season, damage)
    fact = _fact(cubes, by)
    less = fact.name.endswith(MORE_IS_BETTER)
    left_out = exclude.read(dataset.recipe.exclude, dataset.path)
    tally: Counter[str] = Counter()
    every = (b for b in _values(cubes, fact, damage, tally) if b.location.id not in left_out)
    found = heapq.nsmallest(count, every, key=lambda b: (b.value if less else -abs(b.value), b.name))
    columns: list[SheetColumn] = []
    drawn = 0
    for its in found:
        column = _column(its, fact, damage)
        drawn += sum(len(t.uri or "") for t in column.tiles)
        if columns and drawn > contact_sheet.BUDGET:
            break
        columns.append(column)
    lines = _lines(found, fact)
    html = (
        page.templates()
        .get_template("worst.html.j2")
        .render(
            dataset=dataset,
            fact=fact.name,
            meaning=fact.meaning,
            looked_at=tally.total(),
            listed=found,
            extreme="lowest" if less else "furthest from zero",
            columns=columns,
            synthetic=synthetic.about({name: of for its in cubes for name, of in its.asked.items()}),
            lines=lines,
            damage=list(damage),
        )
    )
    target = (out or Path(f"worst-{fact.name}.html")).absolute()
    where = Store(target.parent)
    where.publish(target.name, html.encode())
    patches = tuple((b.name, b.value) for b in found)
    return Worst(where.where(target.name), html, fact.name, patches, lines, tuple(damage))


def _opened(dataset: Dataset, store: Store, region: str, season: str, damage: dict[str, None]) -> list[CubeContents]:
    names, others = contents.named(dataset, store)
    for line in others:
        log.warning("left out: %s", line)
    if not names:
        raise ConfigError(
            f"{store.where('')}: nothing of {dataset.name!r} is built there; build it, or give its --root"
        )
    regions = dict.fromkeys(name for folder, _ in names for name in (paths.region_of(folder), folder))
    for flag, asked, known in (("region", region, regions), ("season", season, dict.fromkeys(s for _, s in names))):
        if asked != ALL and asked not in known:
            raise ConfigError(
                f"--{flag} {asked}: none of that name is built; {did_you_mean(asked, known)}known: {', '.join(known)}, {ALL}"
            )
    found = []
    for folder, its in names:
        if region in (ALL, folder, paths.region_of(folder)) and season in (ALL, its):
            try:
                found.append(contents.opened(dataset, store, folder, its))
            except DamageError as err:
                damage[str(err)] = None
    return found


def _fact(cubes: Sequence[CubeContents], by: str) -> Fact:
    """The fact that is asked for.

    Raises:
        ConfigError: there is none, or several sources have one.
    """
    known: dict[str, Fact] = {}
    short: dict[str, list[str]] = {}
    for its in cubes:
        for fact in its.cube.facts:
            if fact.axis is not None or fact.type in ("string", "time") or fact.name.endswith("status"):
                continue
            known[fact.name] = fact
            for spec in its.cube.sources:
                if fact.name.startswith(f"{spec.name}_"):
                    names = short.setdefault(fact.name.removeprefix(f"{spec.name}_"), [])
                    names += [] if fact.name in names else [fact.name]
    names = [by] if by in known else short.get(by, [])
    if len(names) == 1:
        return known[names[0]]
    if names:
        raise ConfigError(f"--by {by}: {len(names)} sources have it: say which: {', '.join(names)}")
    raise ConfigError(
        f"--by {by}: no such fact; {did_you_mean(by, [*known, *short], n=2)}known: {', '.join(sorted(known))}"
    )


def _values(cubes: Sequence[CubeContents], fact: Fact, damage: dict[str, None], tally: Counter[str]) -> Iterator[Bad]:
    """Every ok patch of which the fact is known."""
    todo = [(its, slab) for its in cubes if fact in its.cube.facts for slab in sorted(its.ledger.lines)]

    def read(job: tuple[CubeContents, int]) -> list[dict[str, Any]] | DamageError:
        try:
            return job[0].facts(job[1])
        except DamageError as err:
            return err

    with ThreadPoolExecutor(READ_THREADS) as pool, Counting("worst: facts", len(todo), "slab") as count:
        for (its, slab), rows in zip(todo, pool.map(read, todo), strict=True):
            count.step()
            if isinstance(rows, DamageError):
                damage[str(rows)] = None
                continue
            for place, row in zip(its.cube.slab(slab), rows, strict=True):
                outcome = its.outcomes.get(place.id)
                value = row.get(fact.name)
                if outcome is None or outcome.status is not Status.OK or value is None or _is_unknown(value, fact):
                    continue
                tally[its.name] += 1
                yield Bad(its, place, float(value))


def _is_unknown(value: float, fact: Fact) -> bool:
    return math.isnan(value) or (fact.type == "int16" and value == FILL[fact.type])


def _column(its: Bad, fact: Fact, damage: dict[str, None]) -> SheetColumn:
    """A patch: what its source shows, of which the fact is; all sources, where it is of none."""
    sources = its.cube.cube.sources
    own = {s.title for s in sources if fact.name.startswith(f"{s.name}_")} or {s.title for s in sources}
    shown = [p for p in panels.of_patch(its.cube, its.location.id, small=True) if p.source in own]
    shown.sort(key=lambda p: ("big", "half", "third").index(p.width))
    damage |= dict.fromkeys(p.damage for p in shown if p.damage)
    number = its.cube.numbers[its.location.id]
    slots = its.cube.cube.slab_patches
    facts = its.cube.facts(number // slots)[number % slots]
    lines = (f"{fact.name} {its.value:.4g}", *contact_sheet.lines_of(sources, facts))
    tiles = tuple(contact_sheet.tile_of(p, its.name, exact=False) for p in shown)
    return SheetColumn(its.name, lines, tiles)


def _lines(found: Sequence[Bad], fact: Fact) -> str:
    """What a recipe says to do without these places, each once."""
    why: dict[str, list[str]] = {}
    for its in found:
        why.setdefault(its.location.id, []).append(f"{its.cube.cube.season} {its.value:.4g}")
    said = [f"{json.dumps(name)} = {json.dumps(f'{fact.name}: ' + ', '.join(of))}" for name, of in why.items()]
    return "\n".join(["[exclude.ids]", *said])
