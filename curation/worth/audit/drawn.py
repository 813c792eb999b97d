"""Which patches are looked at: some of each stratum (a class and a domain), by seed; a larger sample holds a smaller one.

A patch is a sample in a season that has labels; of labels without a season, the sample. Each patch has a number of its own
between 0 and 1 that follows from seed and name; a stratum gives its patches in the order of these (permanent random
numbers, Ohlsson 1995). How many each gives is dealt out one by one, by a divisor method, so that more in all is never
fewer of one: first each to `least`, then by the square root of their sizes, which leaves rare ones more than their share.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.errors import ConfigError, DamageError
from curation.errors.printable import printable
from curation.errors.words import did_you_mean
from curation.format.index import Index
from curation.format.names import DOMAIN
from curation.model import STATIC
from curation.pack.export.of_shards import samples_table
from curation.store.objects import Store

MAIN, PRESENT, TARGET = "main", "present", "target"
QUESTIONS = {
    MAIN: "Which class covers most of it?",
    PRESENT: "Which classes are there? Any number of them.",
    TARGET: "Which class is it?",
}
"""What a reader is asked: of label fractions the class with most, or all that the labels have; or the target's class."""

NOTHING, UNKNOWN, ONE = "none", "unknown", "all"
"""Stratum of patches without a class; domain of those of which it is not known; the only one where none is asked for."""

SEASON, SPLIT = "season", "split"
"""Domains that are no columns."""
FORMAT = 1


class Stratum(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Patches of one class and domain."""

    label: str
    """Their class as it is stored; of several the one that fewest patches have."""
    domain: str
    size: int
    """Patches of it."""


class DrawnPatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A patch that is looked at."""

    split: str
    key: str
    season: str
    """`static` where its labels have none."""
    lon: float
    lat: float
    stratum: int
    stored: tuple[str, ...]
    """Classes as the dataset has them; no page shows it."""

    @property
    def name(self) -> str:
        """Sample and season."""
        return f"{self.key}/{self.season}"


class AuditDraw(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A sample of patches, and what it is one of."""

    format: int
    dataset: str
    content_sha256: str
    """Of the shards: their labels among it."""
    question: str
    domain: str
    """The column of the samples table that tells domains; empty: all are one."""
    seed: int
    least: int
    legend: tuple[str, ...]
    """Classes that a reader may say."""
    labelled: dict[str, int]
    """Class → patches of the dataset that have it."""
    strata: tuple[Stratum, ...]
    patches: tuple[DrawnPatch, ...]

    @property
    def stored_shares(self) -> dict[str, float]:
        """Class → share of all patches that have it as a label."""
        return {name: count / int(self.sizes.sum()) for name, count in self.labelled.items()}

    @property
    def sizes(self) -> NDArray[np.int64]:
        """(stratum,): patches of each."""
        return np.array([its.size for its in self.strata], np.int64)

    def to_json(self) -> bytes:
        """As the file has it."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


@dataclass(frozen=True, slots=True)
class DrawWish:
    """What is asked of a draw."""

    count: int
    question: str = MAIN
    domain: str = "region"
    """A column of the samples table, `season`, `split`, or empty."""
    seed: int = 0
    least: int = 5
    """Patches of a stratum, where it has so many, before any has more."""

    def __post_init__(self) -> None:
        """Raises ConfigError where there can be none such."""
        if self.question not in QUESTIONS:
            raise ConfigError(
                f"--label {printable(self.question)}: {did_you_mean(self.question, QUESTIONS)}known: {', '.join(QUESTIONS)}"
            )
        for flag, value in (("--n", self.count), ("--least", self.least)):
            if value < 1:
                raise ConfigError(f"{flag} {value}: expected a whole number from 1 on")


def of_bytes(data: bytes, where: str) -> AuditDraw:
    """A draw of its file.

    Raises:
        DamageError: it is none.
    """
    try:
        found = msgspec.json.decode(data, type=AuditDraw)
    except msgspec.DecodeError as err:
        raise DamageError(
            f"{where}: is no sample for an audit: {printable(err)}; draw it again into another --to"
        ) from err
    if found.format != FORMAT:
        raise DamageError(f"{where}: is of format {found.format}, expected {FORMAT}; draw it again into another --to")
    if wrong := [p.name for p in found.patches if not 0 <= p.stratum < len(found.strata)]:
        raise DamageError(
            f"{where}: patch {printable(wrong[0])} is of no stratum there; draw it again into another --to"
        )
    return found


def usual(index: Index) -> str:
    """What a reader is asked where nobody says."""
    return TARGET if index.target is not None and index.target.numbers else MAIN


@dataclass(frozen=True, slots=True)
class Population:
    """Every patch of a dataset that has a label."""

    dataset: str
    content_sha256: str
    legend: tuple[str, ...]
    """Classes that may be said of one."""
    patches: Sequence[DrawnPatch]
    """Of no stratum yet."""
    domains: Sequence[str]
    """Of each."""


def drawn(shards: Store, index: Index, wish: DrawWish) -> AuditDraw:
    """The sample that a wish means of what is packed.

    Raises:
        ConfigError: there are no such labels or domains, or more strata than patches to be drawn.
        DamageError: what is packed is not what was recorded.
    """
    return drawn_of(_population(shards, index, wish), wish)


def drawn_of(every: Population, wish: DrawWish) -> AuditDraw:
    """The sample that a wish means of a population.

    Raises:
        ConfigError: there are more strata than patches to be drawn.
    """
    rarity = Counter(name for its in every.patches for name in its.stored)
    members: dict[tuple[str, str], list[DrawnPatch]] = {}
    for patch, domain in zip(every.patches, every.domains, strict=True):
        label = min(patch.stored, key=lambda n: (rarity[n], n)) if patch.stored else NOTHING
        members.setdefault((label, domain), []).append(patch)
    names = sorted(members)
    strata = [Stratum(label, domain, len(members[label, domain])) for label, domain in names]
    out = []
    for stratum, (of, count) in enumerate(zip(names, dealt([s.size for s in strata], wish), strict=True)):
        first = sorted(members[of], key=lambda p: permanent(wish.seed, p.name))[:count]
        out += [msgspec.structs.replace(p, stratum=stratum) for p in first]
    return AuditDraw(
        FORMAT, every.dataset, every.content_sha256, wish.question, wish.domain, wish.seed, wish.least, every.legend,
        {name: rarity[name] for name in every.legend}, tuple(strata), tuple(out),
    )  # fmt: skip


def permanent(*parts: object) -> bytes:
    """What orders things by chance that follows from their names alone."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).digest()


def dealt(sizes: Sequence[int], wish: DrawWish) -> list[int]:
    """How many patches each stratum gives: none fewer where more are asked for in all.

    Raises:
        ConfigError: there are more strata than patches asked for.
    """
    if wish.count < len(sizes):
        raise ConfigError(
            f"--n {wish.count}: there are {len(sizes)} strata (classes and domains), and one without a patch would not be "
            f"told of: say --n {len(sizes)} or more, or another --domain"
        )
    out = [0] * len(sizes)

    def turn(its: int) -> tuple[bool, float, int]:
        """The smaller, the sooner: strata below the least by how many they have, others by Sainte-Laguë's rule."""
        enough = out[its] >= wish.least
        return enough, (out[its] + 0.5) / sizes[its] ** 0.5 if enough else out[its], its

    waiting = [turn(its) for its in range(len(sizes))]
    heapq.heapify(waiting)
    for _ in range(min(wish.count, sum(sizes))):
        its = heapq.heappop(waiting)[-1]
        out[its] += 1
        if out[its] < sizes[its]:
            heapq.heappush(waiting, turn(its))
    return out


def grown(before: AuditDraw, after: AuditDraw, where: str) -> AuditDraw:
    """A draw in place of an earlier one: all that was drawn is drawn still.

    Raises:
        ConfigError: it is of something else.
    """
    for name in ("dataset", "content_sha256", "question", "domain", "seed", "least", "legend", "strata"):
        if (old := getattr(before, name)) != (new := getattr(after, name)):
            raise ConfigError(
                f"{where}: is a sample of another {name}: {printable(str(old))[:80]}, asked for {printable(str(new))[:80]}; "
                "an audit is of one packing and one question: say --to for another"
            )
    if len(after.patches) < len(before.patches):
        return before
    if lost := {p.name for p in before.patches} - {p.name for p in after.patches}:
        raise ConfigError(f"{where}: has {printable(min(lost))}, which is not drawn any more; say --to for another")
    return after


def _population(shards: Store, index: Index, wish: DrawWish) -> Population:
    """Every patch that has a label, and the domain of each."""
    classes = _classes(index, wish.question)
    tables = {split: samples_table(shards, entry) for split, entry in sorted(index.splits.items())}
    seasons = _seasons(list(tables.values()), index, wish.question)
    patches: list[DrawnPatch] = []
    domains: list[str] = []
    for split, table in tables.items():
        ids, lons, lats = (table.column(n).to_pylist() for n in ("id", "lon", "lat"))
        of_domain = _domain_of(table, split, wish.domain)
        for season in seasons:
            for row, stored in enumerate(_stored(table, season, index, wish)):
                if stored is not None:
                    patches.append(DrawnPatch(split, ids[row], season, lons[row], lats[row], 0, stored))
                    domains.append(season if of_domain is None else of_domain[row])
    if not patches:
        raise ConfigError(f"{shards.where('')}: no sample has a label to be audited")
    return Population(index.dataset, index.content_sha256, tuple(classes), patches, domains)


def _classes(index: Index, question: str) -> list[str]:
    if question != TARGET:
        if not index.label_names:
            raise ConfigError(f"--label {question}: the shards have no labels; of a file's column say --label {TARGET}")
        return list(index.label_names)
    if index.target is None or not index.target.numbers:
        raise ConfigError(f"--label {TARGET}: the shards have no target of classes: [pack] of the recipe names none")
    return [str(c) for c in index.target.numbers]


def _seasons(tables: Sequence[pa.Table], index: Index, question: str) -> list[str]:
    """Seasons whose labels are audited; only `static` where none has any."""
    if question == TARGET:
        return [STATIC]
    known = [s for s in index.seasons if any(t.column(f"labels_{s}").null_count < t.num_rows for t in tables)]
    return known or [STATIC]


def _stored(table: pa.Table, season: str, index: Index, wish: DrawWish) -> list[tuple[str, ...] | None]:
    """Of each sample its classes; None where it has no label."""
    if wish.question == TARGET:
        assert index.target is not None
        numbers, classes = index.target.numbers, list(index.target.numbers)
        found = [numbers.get(v) for v in table.column(index.target.column).to_pylist()]
        return [None if n is None else (str(classes[n]),) for n in found]
    if wish.question == PRESENT:
        return [None if v is None else tuple(v) for v in table.column(f"labels_{season}").to_pylist()]
    fractions = table.column(f"fractions_{season}").to_pylist()
    return [None if v is None else most_of(v, index.label_names) for v in fractions]


def most_of(fractions: Sequence[float | None], names: Sequence[str]) -> tuple[str, ...] | None:
    """The class with most of a patch; None where none of them is known to have any of it."""
    shares = np.array(fractions, np.float64)  # of None NaN
    return (names[int(np.nanargmax(shares))],) if (shares > 0).any() else None


def _domain_of(table: pa.Table, split: str, domain: str) -> list[str] | None:
    """Of each sample its domain; None where the season is."""
    if domain == SEASON:
        return None
    if domain in ("", SPLIT):
        return [split if domain else ONE] * table.num_rows
    column = f"{DOMAIN}{domain}" if f"{DOMAIN}{domain}" in table.column_names else domain
    known = [
        n
        for n, t in zip(table.schema.names, table.schema.types, strict=True)
        if pa.types.is_string(t) or pa.types.is_large_string(t)
    ]
    known = [n.removeprefix(DOMAIN) for n in known if n != "id"]
    if column.removeprefix(DOMAIN) not in known:
        every = sorted({*known, SEASON, SPLIT})
        raise ConfigError(f"--domain {printable(domain)}: {did_you_mean(domain, every)}known: {', '.join(every)}")
    return [UNKNOWN if v is None else str(v) for v in table.column(column).to_pylist()]
