"""Cards, proven to be of the release that stands: by the hashes of their record, and made again and compared."""

from __future__ import annotations

import hashlib

from curation.errors import ConfigError, DamageError
from curation.format.index import INDEX
from curation.pack.card import card
from curation.pack.card.card import CardRecord
from curation.pack.card.facts import CardFacts
from curation.recipe.dataset import Dataset
from curation.store import paths
from curation.store.objects import Store
from curation.verify.found import NOT_THERE, Verified

_ANEW = "`curate card` writes them anew"


def check_cards(dataset: Dataset, store: Store, found: Verified) -> None:
    """Takes up what is wrong with the cards of a release; of shards that are none yet, or were copied alone, nothing is."""
    is_whole = all(store.head(key) is not None for key in (paths.shard(INDEX), paths.RELEASE))
    if not is_whole or next(iter(store.list(paths.STAGE)), None) is not None:
        return
    try:
        facts = card.release_facts(dataset, store)
    except DamageError:
        return  # named already, by who looks at shards
    except ConfigError as err:  # the recipe is another than it was packed by
        found.unfinished.append(f"{store.where(paths.CARD)}: what cards say cannot be told: {err}")
        return
    try:
        record = card.record_of(store)
    except DamageError as err:
        found.faults.append(str(err))
        return
    if record is None:
        found.unfinished.append(f"{store.where(paths.CARD)}: the release has no cards: {_ANEW}")
        return
    _check_files(store, record, found)
    _check_words(store, record, facts, found)


def _check_files(store: Store, record: CardRecord, found: Verified) -> None:
    """Each file that is recorded is there and is that; and there is no other."""
    cards = store.child(paths.CARD)
    for key, sha256 in record.files.items():
        try:
            data = cards.get(key)
        except NOT_THERE:
            found.faults.append(f"{cards.where(key)}: is recorded but not there; {_ANEW}")
            continue
        found.size += len(data)
        if hashlib.sha256(data).hexdigest() != sha256:
            found.faults.append(f"{cards.where(key)}: is not what was written; {_ANEW}")
    strays = [s.key for s in cards.list() if s.key not in record.files and s.key != paths.CARD_RECORD]
    found.faults += [f"{cards.where(key)}: nobody recorded it; delete it, or {_ANEW}" for key in strays]


def _check_words(store: Store, record: CardRecord, facts: CardFacts, found: Verified) -> None:
    """The cards say what index, tables and recipe say."""
    where = store.where(paths.CARD)
    if record.index_sha256 != facts.index_sha256:
        its, now = record.index_sha256[:12], facts.index_sha256[:12]
        found.unfinished.append(f"{where}: the cards are of another release (index {its}…, now {now}…): {_ANEW}")
        return
    if record.follows_from != card.follows_from(facts):
        found.unfinished.append(
            f"{where}: [card] of the recipe, or what its sources say of licences, has changed since: {_ANEW}"
        )
        return
    if record.format != card.FORMAT:
        return
    made = card.files(facts, card.WAY_TO_SHARDS, record.pictures)
    hashes = {k: hashlib.sha256(v).hexdigest() for k, v in made.items()}
    for key in sorted({*hashes, *record.files} - set(record.pictures)):
        if hashes.get(key) != record.files.get(key):
            found.faults.append(f"{where}/{key}: does not say what index and recipe say; {_ANEW}")
