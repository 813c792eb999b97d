"""What each place is of: planned by the recipe as it is now, or as it was packed. The one place where it is said.

Nothing of a draw or of a cube depends on a split, so that another rule wants no new places and no new pixels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curation.errors import ConfigError, DamageError
from curation.format.index import INDEX
from curation.model import Location
from curation.pack.sides import TRAIN, Rule
from curation.places.locations import Locations
from curation.recipe.dataset import Dataset
from curation.recipe.schema import Recipe
from curation.recipe.split import SplitRule
from curation.store import paths
from curation.store.objects import Store

MOST_VALUES = 20
"""Values without a sample that are told one by one."""


@dataclass(frozen=True, slots=True)
class Split:
    """What places are of."""

    sides: Mapping[str, str]
    """Id of a root → its side: `train`, `val`, `test`, `unlabelled` or `buffer`."""
    packed: bool
    """Whether shards are packed so; else it is what the recipe plans."""

    def of(self, place: Location) -> str:
        """Its side, as `sides` has them; a child is of its parent's. Empty where that is not known."""
        return self.sides.get(place.parent or place.id, "")

    def side_in_words(self, place: Location) -> str:
        """The same for a person, with whether it is only planned."""
        side = self.of(place)
        if not side:
            return "not packed" if self.packed else "split not known"
        return side if self.packed else f"{side} (planned)"

    @property
    def about(self) -> str:
        """Where it is from, and how many places there are of each side, for a person."""
        if self.sides and not any(self.sides.values()):
            return "planned by the recipe, known once shards are packed"
        return f"{'as packed' if self.packed else 'planned by the recipe, not packed yet'}: {self.numbers}"

    @property
    def numbers(self) -> str:
        """How many places there are of each side, for a person."""
        return counts(Counter(self.sides.values()))


def sides(recipe: Recipe, places: Locations) -> NDArray[np.str_]:
    """`train`, `val`, `test` or `buffer` of each place by the recipe's rule, whether it has labels or not. Pure.

    Raises:
        ConfigError: as the rule says.
    """
    return cast(Rule, recipe.split).sides(places, recipe)


def season_domain(recipe: Recipe) -> str | None:
    """The domain by which seasons of one sample may be of different parts; None where each has all of its seasons. Pure."""
    return cast(Rule, recipe.split).season_domain


def seasons_of(recipe: Recipe, part: str, texts: Mapping[str, str]) -> set[str]:
    """Which seasons samples of a part have, of what `season_domain` tells of each. Pure."""
    return {season for season, text in texts.items() if cast(Rule, recipe.split).keeps(part, text)}


def check_values(dataset: Dataset) -> None:
    """Passes where files of the user's have the values that the recipe's rule asks of them; no pixel is asked.

    Raises:
        ConfigError: one has not, most likely since it is misspelt; or cannot be read.
    """
    if lines := cast(Rule, dataset.recipe.split).misspelt(dataset.path, dataset.recipe):
        raise ConfigError(f"{dataset.path}: [split] {'; '.join(lines)}")


def unmatched(recipe: Recipe, places: Locations) -> list[str]:
    """What of the recipe's rule no place is like, a line each. Pure."""
    return cast(Rule, recipe.split).unmatched(places)


def faults(recipe: Recipe, parts: Sequence[str], domains: Sequence[str]) -> list[str]:
    """Why the recipe's rule makes no split of samples, of which the part and what their domain tells is given. Pure."""
    samples: dict[str, Counter[str]] = {part: Counter() for part in recipe.split.parts}
    for part, of in zip(parts, domains, strict=True):
        samples[part][of] += 1
    return cast(Rule, recipe.split).faults(samples)


def leaks(rule: SplitRule, samples: Mapping[str, Mapping[str, int]]) -> list[str]:
    """What a rule leaves out of some parts and these samples have there, by part and what their domain tells. Pure."""
    return cast(Rule, rule).leaks(samples)


def notes(recipe: Recipe, parts: Sequence[str]) -> list[str]:
    """What a person should know of the split of samples of these parts. Pure."""
    return cast(Rule, recipe.split).notes(dict.fromkeys(recipe.split.parts, 0) | Counter(parts))


def to_size(
    recipe: Recipe, samples: Mapping[str, tuple[str, str]], ids_of: Callable[[Recipe], Mapping[str, set[str]]]
) -> set[str] | None:
    """Ids of the samples that stay, where the rule has to have what another one has beside train, and as many of it. Pure.

    Args:
        recipe: the recipe.
        samples: id of each → its part, and what its domain tells.
        ids_of: recipe → ids of the samples that it makes, by part.

    Returns:
        None where the rule is compared with no other.
    """
    rule = cast(Rule, recipe.split)
    if (other := rule.sized_as) is None:
        return None
    made = ids_of(recipe.model_copy(update={"split": other}))
    train = {name: of for name, (part, of) in samples.items() if part == TRAIN}
    return rule.to_size(train, len(made[TRAIN]), recipe.seed).union(*(of for part, of in made.items() if part != TRAIN))


def without_samples(recipe: Recipe, places: Locations, dropped: Mapping[str, str]) -> list[str]:
    """Values of what the recipe's rule looks at that no sample has: a flood, a region that is on neither side. Pure.

    Args:
        recipe: the recipe.
        places: all roots.
        dropped: id of each that became no sample → why.

    Returns:
        A line each, with how many places there are and why; no more than `MOST_VALUES`, and how many are left.
    """
    lines = []
    for column in (c for c in recipe.split.columns if c in places.table.schema.names):
        why: dict[Any, list[str | None]] = {}
        for name, value in zip(places.table["id"].to_pylist(), places.table[column].to_pylist(), strict=True):
            why.setdefault(value, []).append(dropped.get(name))
        lines += [
            f"column {column!r}: {value!r} has no sample: {counts(Counter(map(str, reasons)))}"
            for value, reasons in why.items()
            if value is not None and None not in reasons
        ]
    more = len(lines) - MOST_VALUES
    return [*lines[:MOST_VALUES], *([f"and {more} more that have no sample"] if more > 0 else [])]


def planned(recipe: Recipe, places: Locations) -> Split:
    """What the roots among places are of by the recipe's rule; of one that is there twice the first counts."""
    roots = places.roots()
    found: dict[str, str] = {}
    for name, side in zip(roots.column("id").tolist(), sides(recipe, roots).tolist(), strict=True):
        found.setdefault(name, side)
    return Split(found, packed=False)


def known(recipe: Recipe, store: Store, places: Callable[[], Locations]) -> Split:
    """What places are of: as the shards that stand were packed, else as the recipe plans it.

    Args:
        recipe: the recipe.
        store: the dataset's folder.
        places: all places, roots at least; asked for only where nothing is packed.

    Raises:
        DamageError: the record of what was packed cannot be read.
    """
    packed = None if store.child(paths.SHARDS).head(INDEX) is None else packed_sides(store)
    if packed is not None:
        return Split(packed, packed=True)
    found = _with_columns(places(), recipe, store)
    return Split({}, packed=False) if found is None else planned(recipe, found)


def _with_columns(places: Locations, recipe: Recipe, store: Store) -> Locations | None:
    """The places with what the recipe's rule looks at, which cubes do not tell; None where their draw is not there."""
    missing = [c for c in recipe.split.columns if c not in places.table.schema.names]
    if not missing:
        return places
    try:
        drawn = pq.read_table(pa.BufferReader(store.get(paths.locations(None))), columns=["id", *missing])
    except (FileNotFoundError, pa.ArrowException):
        return None
    if not {*missing} <= {*drawn.schema.names}:
        return None
    at, table = pc.index_in(places.table["id"], drawn["id"].combine_chunks()), places.table
    for column in missing:
        table = table.append_column(column, drawn[column].combine_chunks().take(at))
    return Locations(table)


def packed_sides(store: Store) -> dict[str, str] | None:
    """What `record` wrote of the last packing; None where it is not there.

    Raises:
        DamageError: it cannot be read.
    """
    try:
        data = pa.BufferReader(store.get(paths.SPLIT))
    except FileNotFoundError:
        return None
    try:
        table = pq.read_table(data, columns=["id", "split"], page_checksum_verification=True)
        return dict(zip(table["id"].to_pylist(), table["split"].to_pylist(), strict=True))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as err:  # by where the fault is
        raise DamageError(f"{store.where(paths.SPLIT)}: not a readable Parquet file: {err}; pack again") from err


def record(split: Mapping[str, str]) -> bytes:
    """Parquet with a row per root, in their order."""
    table = pa.table({"id": pa.array(split, pa.string()), "split": pa.array(split.values(), pa.string())})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    return bytes(sink.getvalue())


def counts(found: Mapping[str, int]) -> str:
    """How many there are of each side, for a person: `buffer 3, train 90, val 7`; also of those that are not known yet."""
    return ", ".join(f"{k or 'not known yet'} {v}" for k, v in sorted(found.items())) or "none"
