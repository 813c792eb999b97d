"""The cards of a release as files: which there are, writing them, and what they follow from.

```
card/README.md                  for a hub's page: YAML at its head, words, tables, pictures
card/croissant.json             Croissant 1.1 with GeoCroissant 1.0
card/datacite.json              what a registry of DOIs is told
card/stac/collection.json …     a STAC collection, an item per shard, a template for models
card/pictures/…                 what the report draws, once somebody has asked for it
card/card.json                  what all of these follow from, and their hashes: written last
```

They follow from the index, its tables and the recipe alone. A release is packed with them; where [card] of the recipe has
changed since, they are written anew, and no shard with them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from curation.errors import ConfigError, DamageError
from curation.format.index import INDEX, Index
from curation.pack.card.croissant import croissant
from curation.pack.card.datacite import datacite
from curation.pack.card.facts import CardFacts, facts_of
from curation.pack.card.page import page
from curation.pack.card.stac import stac
from curation.recipe.dataset import Dataset
from curation.store import paths
from curation.store.local import NotAFileError
from curation.store.objects import Store

FORMAT = 2
"""Of what cards say, and of their record: where it is another, what was written is not compared word by word."""


@dataclass(frozen=True, slots=True)
class CardRecord:
    """What cards were made of, and which files they are."""

    index_sha256: str
    follows_from: str
    """Digest of the index, of what the publisher says, and of what sources say of themselves."""
    files: Mapping[str, str]
    """Key below the folder of cards → sha256; pictures among them."""
    format: int = FORMAT

    @property
    def pictures(self) -> tuple[str, ...]:
        """Keys of the pictures, in order."""
        return tuple(sorted(filter(paths.is_card_picture, self.files)))

    def to_bytes(self) -> bytes:
        """As it is stored."""
        value = {n: getattr(self, n) for n in ("index_sha256", "follows_from", "format")}
        return _json(value | {"files": dict(self.files)})


def record_of(store: Store) -> CardRecord | None:
    """The record of the cards in a dataset's folder; None where there is none.

    Raises:
        DamageError: it is no such record.
    """
    key = paths.card(paths.CARD_RECORD)
    try:
        value = json.loads(store.get(key))
        files = {str(k): str(v) for k, v in dict(value["files"]).items()}
        if wrong := [k for k in files if {"", ".", ".."} & set(k.split("/"))]:
            raise ValueError(f"file {wrong[0]!r}, expected one below it")
        return CardRecord(str(value["index_sha256"]), str(value["follows_from"]), files, int(value["format"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, RecursionError) as err:
        raise DamageError(f"{store.where(key)}: is no record of cards ({err}); `curate card` writes them anew") from err


def release_facts(dataset: Dataset, store: Store) -> CardFacts:
    """What cards of the release in a dataset's folder say.

    Raises:
        ConfigError: nothing is packed there, or by a recipe with other places, seasons or another split.
        DamageError: its index, a table or the record of the release is not what was written.
    """
    shards = store.child(paths.SHARDS)
    try:
        data = shards.get(INDEX)
    except FileNotFoundError:
        raise ConfigError(
            f"{store.where(paths.SHARDS)}: nothing is packed there: pack first, cards are of a release"
        ) from None
    index = Index.from_bytes(data, shards.where(INDEX))
    tables = {}
    for split, entry in index.splits.items():
        name = entry.samples_table.name
        try:
            tables[split] = shards.get(name)
        except (FileNotFoundError, NotADirectoryError, NotAFileError):
            raise DamageError(f"{shards.where(name)}: the index names it, and it is not there; pack again") from None
        if hashlib.sha256(tables[split]).hexdigest() != entry.samples_table.sha256:
            raise DamageError(f"{shards.where(name)}: is not what the index says; pack again")
    made = facts_of(dataset, data, tables, shards.where(INDEX))
    _check_packed_by(dataset, store, made)
    return made


def _check_packed_by(dataset: Dataset, store: Store, facts: CardFacts) -> None:
    """Passes where the recipe says what the release was packed by, of all that cards tell of it; or nothing is recorded."""
    try:
        release = json.loads(store.get(paths.RELEASE))
        before, now = (_stated_of(r, facts.index) for r in (release["recipe"], dataset.recipe.model_dump(mode="json")))
        is_of_it = release["index_sha256"] == facts.index_sha256
    except FileNotFoundError:
        return
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as err:
        raise DamageError(f"{store.where(paths.RELEASE)}: is no record of a release ({err}); pack again") from err
    if is_of_it and (other := [key for key, value in before.items() if now[key] != value]):
        raise ConfigError(
            f"{dataset.path}: {', '.join(other)}: not what the release was packed by, of which cards would tell: pack again"
        )


def _stated_of(recipe: Mapping[str, Any], index: Index) -> dict[str, Any]:
    """What cards tell of a recipe, by where it stands there."""
    places, grid = recipe["places"], recipe["grid"]
    return {
        "[places]": "file" if places.get("file") else places["sampler"],
        "[grid]": {k: v for k, v in grid.items() if "size" in k or "res" in k},
        "seed": recipe["seed"],
        "[split] buffer_km": recipe["split"]["buffer_km"],
        **{f"[seasons] {n}": recipe["seasons"].get(n) for n in index.seasons},
    }


def follows_from(facts: CardFacts) -> str:
    """Digest of all that cards of a release follow from, but for pictures and the code that words them."""
    sources = [
        [s.name, s.title, s.licence, s.attribution, s.about, s.terms.model_dump() if s.terms else None]
        for s in facts.credited
    ]
    value = [facts.index_sha256, facts.spec.model_dump(mode="json"), sources, facts.sampling]
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def files(facts: CardFacts, shards: str, pictures: Mapping[str, bytes] | tuple[str, ...]) -> dict[str, bytes]:
    """Key → bytes of each card; of pictures only their names go in.

    Args:
        facts: what they say.
        shards: the path from their folder to that of the shards.
        pictures: their keys.
    """
    named = sorted(pictures)
    below = stac(facts, f"../{shards}", f"../{paths.CROISSANT}")
    return {
        paths.CARD_PAGE: page(facts, shards, named).encode(),
        paths.CROISSANT: _json(croissant(facts, shards)),
        paths.DATACITE: _json(datacite(facts)),
        **{paths.card_stac(key): _json(value) for key, value in below.items()},
    }


WAY_TO_SHARDS = f"../{paths.SHARDS}"
"""From the folder of cards."""


def write(store: Store, facts: CardFacts, pictures: Mapping[str, bytes] | None = None) -> CardRecord:
    """Writes the cards of a release below its dataset's folder, the record last; what is there already is not written again.

    Args:
        store: the dataset's folder.
        facts: what they say.
        pictures: key below the folder of cards → bytes; where None those of the same index that are there stay.
    """
    before = _before(store)
    standing = before if before and before.index_sha256 == facts.index_sha256 else None
    shown = {k: standing.files[k] for k in standing.pictures} if standing and pictures is None else {}
    made = files(facts, WAY_TO_SHARDS, tuple(shown) if pictures is None else pictures) | dict(pictures or {})
    hashes = {k: hashlib.sha256(v).hexdigest() for k, v in made.items()} | shown
    record = CardRecord(facts.index_sha256, follows_from(facts), dict(sorted(hashes.items())))
    if before == record and all(_stands(store, k, v) for k, v in made.items()):
        return record
    cards = store.child(paths.CARD)
    cards.delete(paths.CARD_RECORD)  # from here until it is back, cards are not whole
    for stat in [s for s in cards.list() if s.key not in hashes]:
        cards.delete(stat.key)
    cards.publish_all(made)
    cards.publish(paths.CARD_RECORD, record.to_bytes())
    return record


def _before(store: Store) -> CardRecord | None:
    """The record that stands; None where it cannot be read, since it is written anew."""
    try:
        return record_of(store)
    except DamageError:
        return None


def _stands(store: Store, name: str, data: bytes) -> bool:
    try:
        return store.get(paths.card(name)) == data
    except FileNotFoundError:
        return False


def _json(value: Any) -> bytes:
    return (json.dumps(value, sort_keys=False, indent=1, ensure_ascii=False) + "\n").encode()
