"""Proof of cubes and shards from their own bytes. Every hole is named; nothing is believed that can be read."""

from __future__ import annotations

import logging

from curation.cubes.cube import Cube
from curation.errors import ConfigError, DamageError
from curation.format import index
from curation.recipe.dataset import Dataset
from curation.store import paths
from curation.store.ledger import Ledger, cube_names
from curation.store.objects import Store
from curation.verify.card import check_cards
from curation.verify.cubes import CubeCheck, check_cube
from curation.verify.found import Verified
from curation.verify.graphs import check_graph
from curation.verify.labels import check_labels
from curation.verify.pruned import check_pruned
from curation.verify.shards import check_shards
from curation.verify.sides import Proof
from curation.work.progress import Doing

log = logging.getLogger(__name__)


def verify(dataset: Dataset, store: Store) -> Verified:
    """Everything below a dataset's folder, read again and compared with what was recorded of it.

    Raises:
        ConfigError: there is nothing to verify, or a cube is in another format than this release's.
    """
    found = Verified()
    ledger_keys: set[str] = set()
    with Doing("verify: listing what is there", often_short=True):
        names = cube_names(store)
        has_more = next(iter(store.list(paths.CUBES)), None) is not None
    if not names and not has_more and store.head(paths.shard(index.INDEX)) is None:
        raise ConfigError(
            f"{store.where('')}: nothing is built there; build it first, or give its --root and --dataset"
        )
    unknown: list[str] = []
    cubes: dict[str, CubeCheck] = {}
    for region, season in names:
        try:
            ledger = Ledger.replay(store, region, season)
        except DamageError as err:
            found.faults.append(str(err))
            unknown.append(f"{paths.cube(region, season)}/")  # what it recorded of this cube is not known
            continue
        found.cubes += 1
        cube = Cube(dataset.level_of(region), paths.region_of(region), season)
        opened = cubes[cube.prefix] = CubeCheck(cube, ledger)
        ledger_keys |= check_cube(store, opened, found)
    for stat in store.list(paths.CUBES):
        if stat.key in ledger_keys or stat.key.startswith(tuple(unknown)):
            continue
        its = cubes.get(paths.cube(*paths.cube_of(stat.key)))
        if its is not None and its.goes_on_with(stat.key):
            its.left += 1
        else:
            found.faults.append(f"{store.where(stat.key)}: nobody recorded it, and no build will; delete it")
    found.unfinished += [its.unfinished() for its in cubes.values() if its.left]
    check_labels(dataset, store, found)
    ledgers = {(c.cube.folder, c.cube.season): c.ledger for c in cubes.values()}
    check_shards(store.child(paths.SHARDS), store, ledgers, found, Proof.of_release(dataset, store))
    check_cards(dataset, store, found)
    check_graph(store, found)
    check_pruned(store, found)
    return found
