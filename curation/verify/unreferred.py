"""What lies in a dataset's folder that nothing refers to any more; nothing is taken for such but keys of our own."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from curation.errors import ConfigError, CurationError, DamageError
from curation.format.index import INDEX, Index
from curation.places import regions
from curation.recipe.dataset import Dataset
from curation.recipe.masked import MaskedSource
from curation.store import paths
from curation.store.ledger import Ledger, cube_names
from curation.store.objects import Store

CUBE = "cube"
"""The kind that is not deleted unless it is asked for: it may have taken weeks."""


@dataclass(frozen=True, slots=True)
class Unreferred:
    """Objects that nothing refers to."""

    sort: str
    """`temporary`, `shard`, `receipt`, `embedding`, `search`, `model` or `cube`."""
    what: str
    """Key, or what the keys begin with."""
    why: str
    keys: tuple[str, ...]
    """In the order in which they are to go."""
    size: int
    """Bytes of them all."""


def unreferred(dataset: Dataset, store: Store) -> list[Unreferred]:
    """What nothing refers to: deletes nothing.

    Raises:
        DamageError: the index of the shards is none, so that nobody knows what it names.
    """
    left = [Unreferred("temporary", k, "a command was killed while it wrote", (k,), n) for k, n in store.half_done()]
    left += [
        Unreferred("temporary", s.key, "a command was killed while it asked its workers", (s.key,), s.size)
        for s in store.list()
        if paths.is_probe(s.key)
    ]
    return [*left, *_packed(store), *_searches(dataset, store), *_models(dataset, store), *_cubes(dataset, store)]


def delete(store: Store, found: Sequence[Unreferred], *, cubes: bool = False) -> list[Unreferred]:
    """Deletes what was found, cubes only where they are asked for; gives what it deleted. Safe to stop and to repeat.

    Raises:
        ConfigError: somebody is at work there.
    """
    for name in cube_names(store):
        try:
            writer = Ledger.replay(store, *name).writer
        except CurationError:
            continue  # damaged, or of another format: nobody writes to it
        if writer is not None and writer.alive():
            raise ConfigError(
                f"{store.where('')}: cube {'/'.join(name)} is being written by {writer}; wait, or stop it"
            )
    gone = [its for its in found if cubes or its.sort != CUBE]
    for key in (key for its in gone for key in its.keys):
        store.delete(key)
    return gone


def _packed(store: Store) -> Iterator[Unreferred]:
    """Shards and tables that the index does not name, receipts of shards that it lacks, features of earlier releases."""
    shards = store.child(paths.SHARDS)
    if shards.head(INDEX) is None or next(iter(store.list(paths.STAGE)), None) is not None:
        return  # packing has not ended, and will want what is there
    stands = shards.get(INDEX)
    try:
        index = Index.from_bytes(stands, shards.where(INDEX))
    except DamageError as err:
        raise DamageError(f"{err}: what it names is not known") from err
    named, receipts = {INDEX}, set[str]()
    for split, entry in index.splits.items():
        named |= {entry.members.name, entry.samples_table.name, *(s.name for s in entry.shards)}
        receipts |= {paths.part(split, n) for n in range(len(entry.shards))}
    for stat in shards.list():
        if stat.key not in named and (paths.is_tar(stat.key) or paths.is_table(stat.key)):
            key = paths.shard(stat.key)
            yield Unreferred("shard", key, "the index does not name it", (key,), stat.size)
    for stat in store.list(paths.PARTS):
        if stat.key not in receipts:
            yield Unreferred("receipt", stat.key, "the index has no such shard", (stat.key,), stat.size)
    own = paths.embeddings(hashlib.sha256(stands).hexdigest())
    for stat in store.list(paths.EMBEDDINGS):
        if paths.is_embedding(stat.key) and not stat.key.startswith(f"{own}/"):
            yield Unreferred("embedding", stat.key, "it is of a release before", (stat.key,), stat.size)


def _searches(dataset: Dataset, store: Store) -> Iterator[Unreferred]:
    """Saved searches of sources and seasons that the recipe has not."""
    found: dict[str, tuple[str, list[str], int]] = {}
    seasons = {*dataset.recipe.seasons, *(s for level in dataset.levels for s in level.cube_seasons())}
    for stat in store.list(paths.SEARCHES):
        its = paths.search_of(stat.key)
        if its is None:
            continue
        folder, source, season = its
        if source not in dataset.recipe.sources:
            why = f"the recipe has no source {source}"
        elif season not in seasons:
            why = f"the recipe has no season {season}"
        else:
            continue
        _, keys, size = found.get(folder, (why, [], 0))
        found[folder] = (why, [*keys, stat.key], size + stat.size)
    for folder, (why, keys, size) in found.items():
        yield Unreferred("search", folder, why, tuple(keys), size)


def _models(dataset: Dataset, store: Store) -> Iterator[Unreferred]:
    """Models that say no mask of the recipe's, and those that lie there for workers that made maps of labels by them."""
    specs = [s for level in dataset.levels for s in level.specs.values() if isinstance(s, MaskedSource)]
    named = {paths.model(s.by_model.sha256) for s in specs}
    for stat in store.list(paths.MODELS):
        if stat.key not in named:
            yield Unreferred("model", stat.key, "no mask of the recipe is said by it", (stat.key,), stat.size)
    for stat in store.list(paths.MAPS):
        if paths.is_maps_model(stat.key):
            why = "its maps are made, and who makes more brings it along"
            yield Unreferred("model", stat.key, why, (stat.key,), stat.size)


def _cubes(dataset: Dataset, store: Store) -> Iterator[Unreferred]:
    """Cubes, with their ledgers, of levels, seasons and regions that the recipe does not name."""
    places = dataset.recipe.places
    names = dict.fromkeys([*places.regions, *(n for of in places.regions_of.values() for n in of)])
    named = {r.name for r in regions.of_recipe(dataset.path, list(names))}
    objects: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for stat in (s for prefix in (paths.CUBES, paths.LEDGERS) for s in store.list(prefix)):  # ledgers go last
        if stat.key.count("/") >= 3:
            objects.setdefault(paths.cube_of(stat.key), []).append((stat.key, stat.size))
    for (folder, season), found in objects.items():
        if (why := _why(dataset, folder, season, named)) is not None:
            keys = tuple(key for key, _ in found)
            yield Unreferred(CUBE, paths.cube(folder, season), why, keys, sum(size for _, size in found))


def _why(dataset: Dataset, folder: str, season: str, named: Collection[str]) -> str | None:
    """Why a recipe does not name a cube; None where it does."""
    level = next((its for its in dataset.levels if its.level == paths.level_of(folder)), None)
    if level is None:
        return f"the recipe has no {paths.level_of(folder) or 'roots'}"
    if season not in level.cube_seasons():
        return f"the recipe has no season {season} with a source of it"
    region = paths.region_of(folder)
    return None if region in named else f"the recipe's regions do not name {region}: it was built by --region"
