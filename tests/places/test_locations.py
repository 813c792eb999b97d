import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.errors import ConfigError
from curation.model import Location
from curation.places.locations import SCHEMA, Locations

NAMES = st.sampled_from(["europe", "asia", ""])
ROWS = st.lists(
    st.builds(
        Location,
        id=st.from_regex(r"\A[a-z0-9_-]{1,12}\Z"),
        lon=st.floats(-180, 180),
        lat=st.floats(-80, 84),
        epsg=st.integers(32601, 32760),
        x0_m=st.floats(0, 1e6),
        y0_m=st.floats(0, 1e7),
        size_m=st.just(2640.0),
        region=NAMES,
        rank=st.integers(0, 10**9),
        parent=st.none() | st.just("p"),
    ),
    max_size=30,
)


@given(ROWS, st.slices(30), st.data())
def test_columns_are_the_values_they_were_made_of(rows, part, data):
    found = Locations.of(rows)
    assert list(found) == rows
    assert found == rows
    assert len(found) == len(rows)
    assert list(found[part]) == rows[part]
    assert [found[k] for k in range(-len(rows), len(rows))] == rows * 2
    index = data.draw(st.lists(st.integers(0, max(len(rows) - 1, 0)), max_size=5 if rows else 0))
    assert list(found.take(np.array(index, dtype=np.int64))) == [rows[k] for k in index]
    assert pickle.loads(pickle.dumps(found)) == rows
    for name in SCHEMA.names:
        if name != "parent":
            assert found.column(name).tolist() == [getattr(p, name) for p in rows]


@given(ROWS)
def test_other_regions_change_nothing_else(rows):
    moved = Locations.of(rows).with_regions(["r"] * len(rows))
    assert [p.region for p in moved] == ["r"] * len(rows)
    assert moved.with_regions([p.region for p in rows]) == rows


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.none() | st.sampled_from("abcxy")), max_size=12), st.data())
def test_roots_and_children_are_taken_apart_in_their_order(pairs, data):
    names = [f"{name}{k}" if parent else name for k, (name, parent) in enumerate(dict(pairs).items())]
    parents = [parent for _, parent in dict(pairs).items()]
    rows = [
        Location(name, 0.0, 0.0, 4326, 0.0, 0.0, 0.25, "r", parent=parent)
        for name, parent in zip(names, parents, strict=True)
    ]
    found = Locations.of(rows)
    roots = [p for p in rows if p.parent is None]
    assert found.roots() == roots
    assert found.children() == [p for p in rows if p.parent is not None]
    some = data.draw(st.lists(st.sampled_from(roots), unique=True)) if roots else []
    assert found.children(Locations.of(some)) == [p for p in rows if p.parent in {r.id for r in some}]
    at = found.root_rows().tolist()
    for k, p in enumerate(rows):
        assert at[k] == (k if p.parent is None else names.index(p.parent) if p.parent in names else -1)


@given(st.lists(ROWS, max_size=4))
def test_joined_are_one_after_the_other(parts):
    found = Locations.joined([Locations.of(rows) for rows in parts])
    assert found == [p for rows in parts for p in rows]
    assert found.with_regions(["r"] * len(found)).roots().column("region").tolist().count("r") == len(found.roots())
    assert pickle.loads(pickle.dumps(found)) == found


def test_many_take_few_bytes():
    n = 100_000
    ids = [f"utm32n-{k:06d}-5629020" for k in range(n)]
    same = {name: np.full(n, 1.0) for name in ("lon", "lat", "epsg", "x0_m", "y0_m", "size_m")}
    found = Locations.of_columns({"id": ids, **same, "region": ["europe"] * n})
    assert found.table.nbytes / n < 100
    assert found[n - 1].id == ids[-1]


def test_what_is_not_there_and_what_is_no_id_is_refused():
    found = Locations.of([Location("a", 0.0, 0.0, 32631, 0.0, 0.0, 60.0, "r")])
    for index in (1, -2):
        with pytest.raises(IndexError, match="of 1"):
            found[index]
    columns = {n: found.column(n) for n in SCHEMA.names if n not in ("id", "parent")}
    with pytest.raises(ConfigError, match="rename"):
        list(Locations.of_columns({"id": ["A.b"], **columns}))
