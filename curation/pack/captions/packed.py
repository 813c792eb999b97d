"""Captions as shards hold them."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from curation.errors import ConfigError, DamageError
from curation.format.annotations import decoded
from curation.format.index import Index
from curation.pack.export import of_shards
from curation.pack.export.selecting import Condition
from curation.recipe.annotations import CAPTIONS
from curation.recipe.dataset import Dataset
from curation.store.objects import Store

Captions = Mapping[str, Any]
"""What a `captions.json` holds."""


def name_of(dataset: Dataset, index: Index, asked: str = "") -> str | None:
    """Which annotation of the shards captions are: the one that is asked for, or the first; None of shards without any.

    Raises:
        ConfigError: there is none of the name that is asked for.
    """
    known = [n for n, its in dataset.annotations.items() if its.spec.function == CAPTIONS and n in index.annotations]
    if asked and asked not in known:
        raise ConfigError(f"no captions are called {asked!r}; the shards have {', '.join(known) or 'none'}")
    return asked or next(iter(known), None)


def needed(dataset: Dataset, store: Store, asked: str = "") -> tuple[str, Index]:
    """The same, of a dataset that is to have some; and the index.

    Raises:
        ConfigError: nothing is packed, or without captions; what to do is told.
    """
    index = of_shards.index_of(store)
    name = name_of(dataset, index, asked)
    if name is None:
        raise ConfigError(
            f'{dataset.path}: the shards have no captions: write [annotations.captions] function = "captions", type = '
            '"json" into the recipe, and `curate pack` again'
        )
    return name, index


def read(
    dataset: Dataset, store: Store, name: str, keys: Collection[str] | None = None
) -> Iterator[tuple[str, Captions | None]]:
    """Key and captions of each sample that is asked for (None: of all), shard by shard; None of a sample without any.

    Raises:
        DamageError: a shard is not there, not what the index says, or its captions are none.
    """
    chosen = () if keys is None else (Condition("id", "in", tuple(keys)),)
    scope = of_shards.asked(dataset, store, None, None, chosen, None)
    member, entry = f"{name}.json", scope.beside.annotations[name]
    for piece in scope.pieces:
        for sample in dataclasses.replace(piece, members=(member,)).samples():
            data = sample.members.get(member)
            yield (
                sample.key,
                None if data is None else _checked(decoded(entry, data, f"{sample.key}.{member}")),
            )


def _checked(value: Any) -> Captions:
    """Passes where it is what captions are. Raises DamageError."""
    if not isinstance(value, dict) or not isinstance(value.get("facts"), dict):
        raise DamageError(
            f"captions: got {type(value).__name__}, expected an object with 'captions' and 'facts': pack again"
        )
    return value


def of_season(value: Captions, season: str) -> Captions:
    """Those of a season; of one that has none, or of `static`, those of the sample."""
    found: Captions = value.get("seasons", {}).get(season) or value
    return found


def rows(value: Captions) -> list[tuple[str, tuple[str, ...]]]:
    """Each text, with the facts that it tells, for a person: `cover.trees: dominant (0.62)`."""
    facts = value["facts"]
    texts = zip(value["captions"], value["sources"], strict=True)
    return [(str(text), tuple(_fact(name, facts.get(name, {})) for name in names)) for text, names in texts]


def _fact(name: str, its: Mapping[str, Any]) -> str:
    measured = its.get("measured")
    return f"{name}: {its.get('value', '?')}" + ("" if measured is None else f" ({measured:.3g})")
