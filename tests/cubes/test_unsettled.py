"""What is left of a cube, against counting each patch by hand."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.cubes.cube import Cube
from curation.cubes.unsettled import Unsettled
from curation.errors.codes import Code
from curation.model import Location
from curation.outcomes import SETTLED, PatchOutcome, SourceOutcome, Status
from curation.places.locations import Locations
from curation.recipe.dataset import Dataset, load_dataset
from curation.store.ledger import Ledger
from curation.store.objects import Store
from curation.store.records import SlabRecord

STATUSES = st.sampled_from([None, *(s for s in Status if s is not Status.PENDING)])


def sized(slab_patches: int) -> Dataset:
    """The starter, with slabs of another size."""
    made = load_dataset("starter")
    raw = made.recipe.model_dump() | {"cube": {"slab_patches": slab_patches}}
    return Dataset(type(made.recipe).model_validate(raw), made.specs, made.path)


def outcome(name: str, status: Status) -> PatchOutcome:
    """A patch that came to this."""
    return PatchOutcome(name, status, {"dem": SourceOutcome(status, None if status is Status.OK else Code.NO_SCENE)})


@given(st.lists(STATUSES, min_size=1, max_size=14), st.integers(1, 5), st.none() | st.integers(1, 20))
@pytest.mark.slow
def test_what_is_left_is_what_was_asked_for_and_is_not_settled(statuses, slab_patches, limit):
    places = [Location(f"p{n}", 0.0, 0.0, 32631, 0.0, 0.0, 2640.0, "r", rank=n) for n in range(len(statuses))]
    here = Cube(sized(slab_patches), "r", "static", Locations.of(places))
    ledger = Ledger.replay(Store("memory:///"), "r", "static")
    ledger.acquire({})
    decided = {p.id: outcome(p.id, s) for p, s in zip(places, statuses, strict=True) if s is not None}
    for slab in range(here.slabs):
        found = tuple(decided[p.id] for p in here.slab(slab) if p.id in decided)
        if found:
            ledger.append([SlabRecord(slab, found, ())])
    left = Unsettled(here, ledger, limit)
    asked = places[:limit]
    todo = [p for p in asked if p.id not in decided or decided[p.id].status not in SETTLED]
    assert left.asked == len(asked)
    assert left.patches == len(todo)
    assert [p for slab in left.slabs for p in left.places(slab)] == todo
    assert all(left.count(slab) == len(left.places(slab)) for slab in range(here.slabs) if slab in left.slabs)
    assert left.counts() == Counter(decided[p.id].label if p.id in decided else "pending" for p in asked)
