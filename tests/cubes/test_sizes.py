"""What is looked at of a cube before it is built on: all of a small one, a part of a large one, and what is lost of it."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from curation.cubes import sizes
from curation.cubes.cube import FACTS, Cube
from curation.errors import DamageError
from curation.model import Location
from curation.outcomes import Status
from curation.places.locations import Locations
from curation.store.ledger import Ledger
from curation.store.objects import Store
from curation.store.records import SlabRecord, StoredObject
from curation.store.stat import Stat
from tests.cubes.test_unsettled import outcome, sized

SLABS = 120


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(tmp_path) if request.param == "folder" else Store("memory:///", str(tmp_path))


def recorded(store: Store) -> tuple[Cube, Ledger]:
    """A cube of 120 slabs of a patch, each of as many objects as it has arrays, and of its facts."""
    places = [Location(f"p{n}", 0.0, 0.0, 32631, 0.0, 0.0, 2640.0, "r", rank=n) for n in range(SLABS)]
    here = Cube(sized(1), "r", "static", Locations.of(places))
    ledger = Ledger.replay(store, "r", "static")
    ledger.acquire({})
    records = []
    for n in range(SLABS):
        keys = [*(here.array_key(name, n) for name in here.arrays), here.facts_key(n)]
        made = tuple(StoredObject.of(store.publish(key, str(n).encode())) for key in keys)
        records.append(SlabRecord(n, (outcome(f"p{n}", Status.OK),), made))
    ledger.append(records)
    return here, ledger


def lost(here: Cube, slab: int, store: Store) -> None:
    store.delete(here.array_key(next(iter(here.arrays)), slab))


def drawn(monkeypatch: pytest.MonkeyPatch, slab: int) -> None:
    monkeypatch.setattr(random, "choice", lambda _: slab)


def test_any_object_that_is_missing_or_of_another_size_is_found_in_a_cube_that_is_listed_whole(store: Store):
    here, ledger = recorded(store)
    sizes.check_sizes(store, ledger, here)
    key = here.facts_key(77)
    store.publish(key, b"short or long")
    with pytest.raises(DamageError, match=rf"{key}: has 13 bytes, recorded were 2"):
        sizes.check_sizes(store, ledger, here)
    store.delete(key)
    with pytest.raises(DamageError, match=rf"{key}: is recorded but not there"):
        sizes.check_sizes(store, ledger, here)


def test_of_a_larger_cube_slabs_that_begin_as_the_drawn_one_are_looked_at_and_no_others(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    here, ledger = recorded(store)
    monkeypatch.setattr(sizes, "LISTED", 20 * (len(here.arrays) + 1))
    listed: list[str] = []
    real = Store.list_beginning

    def spied(its: Store, prefix: str, digits: str) -> Sequence[Stat]:
        found = real(its, prefix, digits)
        listed.extend(stat.key for stat in found)
        return found

    monkeypatch.setattr(Store, "list_beginning", spied)
    slabs = {f"{here.prefix}/{name}/c" for name in (*here.arrays, FACTS)}
    real_list = Store.list

    def beside(its: Store, prefix: str = "") -> Iterator[Stat]:
        assert prefix.startswith(f"{here.prefix}/")
        assert prefix not in slabs, "lists all slabs"
        return real_list(its, prefix)

    monkeypatch.setattr(Store, "list", beside)
    drawn(monkeypatch, 37)
    sizes.check_sizes(store, ledger, here)
    assert len(listed) == 11 * (len(here.arrays) + 1)  # 3, 30 to 39
    listed.clear()
    drawn(monkeypatch, 110)
    sizes.check_sizes(store, ledger, here)
    assert len(listed) == 11 * (len(here.arrays) + 1)  # 11, 110 to 119: of 1 there were more than may be listed
    lost(here, 45, store)
    sizes.check_sizes(store, ledger, here)  # is not among them
    monkeypatch.undo()
    monkeypatch.setattr(sizes, "LISTED", 20 * (len(here.arrays) + 1))
    drawn(monkeypatch, 4)
    with pytest.raises(DamageError, match=r"/45/.* is recorded but not there"):
        sizes.check_sizes(store, ledger, here)


def test_of_a_larger_cube_its_own_objects_and_its_columns_are_all_looked_at(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    here, ledger = recorded(store)
    made = [store.publish(f"{here.prefix}/{name}/zarr.json", b"{}") for name in ("id", "lon")]
    ledger.record_cube(made)
    for block in (0, 1):
        ledger.record_columns(block, [store.publish(here.column_key(fact, block), b"1") for fact in here.facts])
    monkeypatch.setattr(sizes, "LISTED", 20 * (len(here.arrays) + 1))
    sizes.check_sizes(store, ledger, here)
    assert ledger.columns.keys() == {0, 1}
    store.delete(here.column_key(here.facts[-1], 1))
    sizes.check_sizes(store, ledger, here)
    assert ledger.columns.keys() == {0}  # the build makes the other again
    store.delete(made[1].key)
    with pytest.raises(DamageError, match=r"lon/zarr\.json: is recorded but not there"):
        sizes.check_sizes(store, ledger, here)


def test_a_store_that_lists_in_no_order_is_asked_for_all_before_anything_is_called_lost(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    store = Store(tmp_path)
    here, ledger = recorded(store)
    monkeypatch.setattr(sizes, "LISTED", 10)
    monkeypatch.setattr(Store, "list_beginning", lambda *_: [])
    sizes.check_sizes(store, ledger, here)
    lost(here, 3, store)
    with pytest.raises(DamageError, match="the first of 1 such"):
        sizes.check_sizes(store, ledger, here)
