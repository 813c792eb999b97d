"""What sides of a split share is counted by kind, and left out where the recipe asks."""

import dataclasses
import datetime as dt
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from curation.cubes.cube import Cube
from curation.model import Location
from curation.outcomes import PatchOutcome, SourceOutcome, Status
from curation.pack import pack, plan, sharing
from curation.pack.plan import Plan
from curation.pack.sharing import Shared, Uses
from curation.places import era5_cells, grids
from curation.places.grid import transformer
from curation.places.locations import Locations
from curation.places.nearby import EARTH_RADIUS_KM
from curation.places.reach import reach_km
from curation.recipe.dataset import Dataset, load_dataset
from curation.recipe.schema import Recipe
from tests.run import Curate

EXAMPLE = load_dataset("ssl4eo-s12-ml")

SAMPLES = st.lists(
    st.builds(
        dict,
        split=st.sampled_from(["train", "val", "test", "unlabelled"]),
        s2=st.sets(st.integers(0, 9)),
        cell=st.sets(st.integers(0, 4), max_size=2),
    ),
    max_size=25,
)


def uses(samples: list[dict]) -> list[Uses]:
    return [
        Uses(str(n), s["split"], {"s2l2a": {str(i) for i in s["s2"]}, "era5-cell": {str(i) for i in s["cell"]}})
        for n, s in enumerate(samples)
    ]


@given(SAMPLES, st.lists(st.sampled_from(["s2l2a", "era5-cell"]), unique=True))
def test_what_is_left_out_is_all_that_shares_and_then_nothing_is(samples, kinds):
    every = uses(samples)
    out = sharing.left_out(every, kinds)

    def shares(s: Uses, sides: tuple[str, ...]) -> list[str]:
        return [
            k for k in kinds
            if any(o.split in sides and o.id not in out and set(o.things[k]) & set(s.things[k]) for o in every)
        ]  # fmt: skip

    for s in every:
        found = shares(s, {"test": (), "val": ("test",)}.get(s.split, ("val", "test")))
        assert out.get(s.id) == (f"shared:{found[0]}" if found else None)
    left = sharing.shared(s for s in every if s.id not in out)
    assert all(left[k].count == 0 for k in kinds if k in left)


@given(SAMPLES)
def test_what_is_counted_is_what_two_sides_use(samples):
    every = uses(samples)
    side = {"train": "learnt", "unlabelled": "learnt"}
    for kind, found in sharing.shared(every).items():
        users = {n: {side.get(s.split, s.split) for s in every if n in s.things[kind]} for n in map(str, range(10))}
        both = {n for n, of in users.items() if len(of) > 1}
        using = [s.split in ("val", "test") for s in every if both & set(s.things[kind])]
        assert found == Shared(len(both), using.count(False), using.count(True))


def test_a_scene_of_val_and_test_is_counted_and_val_gives_way():
    every = uses([{"split": "val", "s2": {1}, "cell": set()}, {"split": "test", "s2": {1}, "cell": set()}])
    assert sharing.shared(every)["s2l2a"] == Shared(1, 0, 2)
    assert sharing.left_out(every, ["s2l2a"]) == {"0": "shared:s2l2a"}


def test_what_is_shared_is_counted_by_kind():
    every = uses(
        [
            {"split": "train", "s2": {1, 2}, "cell": {0}},
            {"split": "train", "s2": {3}, "cell": {1}},
            {"split": "val", "s2": {2, 4}, "cell": {2}},
            {"split": "val", "s2": {2}, "cell": {3}},
        ]
    )
    assert sharing.shared(every) == {"s2l2a": Shared(1, 1, 2), "era5-cell": Shared(0, 0, 0)}
    assert sharing.summary(sharing.shared(every)) == "no ground; 1 scenes of s2l2a (samples: 1 learnt from, 2 held out)"


@given(st.floats(-179.99, 179.99), st.floats(-79, 83))
@example(0.0, 70.92101026247286)  # a cell's corner reaches in between two points of the outline
def test_a_footprint_s_cells_are_those_that_its_pixels_lie_in(lon, lat):
    at = grids.snap(np.array([lon]), np.array([lat]), 9960.0)
    place = Location("p", at.lon[0], at.lat[0], int(at.epsg[0]), at.x0_m[0], at.y0_m[0], 9960.0, "r")
    grid = EXAMPLE.recipe.grid.model_copy(update={"size_m": 9960.0})
    (found,) = sharing.cells_of(EXAMPLE.recipe.model_copy(update={"grid": grid}), [place])
    x, y = np.meshgrid(np.linspace(60, 9900, 41), np.linspace(60, 9900, 41))

    inside = transformer(place.epsg, 4326).transform(place.x0_m + x.ravel(), place.y0_m - y.ravel())
    within = set(era5_cells.ids(np.unique(era5_cells.numbers_at(*(np.asarray(v) for v in inside)))))
    assert within <= found
    assert len(found) <= len(within) + 3  # those that it touches by its edge


def plan_of(
    unshared: list[str],
    target: int | None = None,
    labelled: str = "",
    scenes: Sequence[str] = "abbccd",
    events: Sequence[str] | None = None,
    times: plan.Times | None = None,
) -> Plan:
    """Six places in a row, two of val, whose scenes overlap; the middle cell is of both sides.

    Where `labelled` says so those of these numbers alone have labels.
    """
    raw = EXAMPLE.recipe.model_dump()
    raw["split"] = {"rule": "column", "val": ["v"], "buffer_km": 0.06, "unshared": unshared}
    raw["split"] |= {"unlabelled": "worldcover"} if labelled else {}
    raw["pack"] |= {"target": target}
    dataset = Dataset(Recipe.model_validate(raw), EXAMPLE.specs, EXAMPLE.path)
    at = grids.snap(np.array([8.0, 8.28, 8.35, 8.42, 8.9, 9.2]), np.full(6, 50.0), 2640.0)
    columns = {k: getattr(at, k) for k in ("lon", "lat", "epsg", "x0_m", "y0_m")}
    same = {"size_m": np.full(6, 2640.0), "region": list("rrvvrr"), "rank": np.arange(6)}
    own = {"event": pa.array(list(events))} if events else {}
    found = Locations.of_columns({"id": [f"p{n}" for n in range(6)], **columns, **same}, own)
    cubes, outcomes = {}, {}
    for season in dataset.cube_seasons():
        cubes[season] = Cube(dataset, "r", season, found)
        its = {
            p.id: {"s2l2a": SourceOutcome(Status.OK, scenes=(f"{season}-{s}" if len(s) == 1 else s,))}
            for p, s in zip(found, scenes, strict=True)
        }
        for number in labelled:
            its[f"p{number}"]["worldcover"] = SourceOutcome(Status.OK, scenes=(f"map-{number}",))
        outcomes[season] = {i: PatchOutcome(i, Status.OK, o) for i, o in its.items()}
    return plan.plan(dataset, {"r": cubes}, {"r": outcomes}, times=times)


@pytest.mark.parametrize(
    ("unshared", "out"),
    [
        ([], {}),
        (["s2l2a"], {"p1": "shared:s2l2a", "p4": "shared:s2l2a"}),
        (["era5-cell"], {"p1": "shared:era5-cell"}),
        (["era5-cell", "s2l2a"], {"p1": "shared:era5-cell", "p4": "shared:s2l2a"}),
    ],
)
def test_a_plan_leaves_out_what_the_recipe_says_and_counts_the_rest(unshared, out):
    made = plan_of(unshared)
    assert {d.location.id: d.reason for d in made.dropped} == out
    used = {m.location.id for of in made.shards.values() for shard in of for m in shard}
    assert used == {f"p{n}" for n in range(6)} - set(out)
    scenes = 0 if "s2l2a" in unshared else 2 * 5 if not unshared else 5  # b and c of five cubes; without p1 c alone
    assert made.shared["s2l2a"].count == scenes
    assert made.shared["era5-cell"].count == (1 if not {"p1"} & set(out) else 0)


def test_of_a_target_none_is_lost_to_what_is_left_out():
    made = plan_of(["s2l2a"], target=4)
    assert sum(len(s) for of in made.shards.values() for s in of) == 4
    assert {d.reason for d in made.dropped} == {"shared:s2l2a"}


@pytest.mark.parametrize(
    ("target", "labelled", "unlabelled"), [(1, {"p1"}, {"p0"}), (3, {"p1", "p2", "p3"}, {"p0", "p4"})]
)
def test_unlabelled_samples_take_no_place_of_a_target_from_those_with_labels(target, labelled, unlabelled):
    made = plan_of([], target, labelled="1235")
    of = {side: {m.location.id for shard in shards for m in shard} for side, shards in made.shards.items()}
    assert of["train"] | of["val"] == labelled
    assert of["unlabelled"] == unlabelled
    assert {d.location.id for d in made.dropped} == {f"p{n}" for n in range(6)} - labelled - unlabelled
    assert {d.reason for d in made.dropped} == {"target"}


def test_a_datatake_and_an_event_are_shared_where_that_is_asked_for():
    # Each a tile of its own; those of p1 and p2, and of p3 and p4, are of one pass.
    passes = [1, 2, 2, 3, 3, 4]
    scenes = [f"S2A_MSIL2A_2021071{day}T103629_N0500_R008_T3{n}UFS_20230101T000000" for n, day in enumerate(passes)]

    def dropped(unshared: list[str], **more: Any) -> dict[str, str]:
        return {d.location.id: d.reason for d in plan_of(unshared, scenes=scenes, **more).dropped}

    assert dropped(["s2l2a"]) == {}
    assert dropped(["datatake"]) == {"p1": "shared:datatake", "p4": "shared:datatake"}
    assert dropped(["event"]) == {}
    assert dropped(["event"], events="xyyzzw") == {"p1": "shared:event", "p4": "shared:event"}
    assert dropped(["all"], events="xxyzzz") == dict.fromkeys(("p1", "p4"), "shared:datatake") | {"p5": "shared:event"}
    assert set(plan_of([], scenes=scenes, events="xyyzzw").shared) == {"era5-cell", "s2l2a"}


def test_what_does_not_tell_its_datatake_is_told():
    search = ["S2A_31UFS_20210716_0_L2A"] * 5 + ["S2A_MSIL2A_20210716T103629_N0500_R008_T31UFS_20230101T000000"]
    (line,) = plan_of(["datatake"], scenes=search).unmatched
    assert line == "unshared: nothing tells the datatake of scenes of 5 samples, so that parts may share some"
    assert not any("datatake," in line for line in plan_of(["datatake"], scenes=search[-1:] * 6).unmatched)
    assert plan_of(["event"], scenes=search).unmatched == []


def test_near_pairs_are_those_whose_footprints_may_touch():
    at = grids.snap(np.array([179.99, -179.995, 8.0, 8.5]), np.full(4, 10.0), 2640.0)
    found = [
        Location(f"p{n}", lon, lat, 32601, 0, 0, 2640.0, "r")
        for n, (lon, lat) in enumerate(zip(at.lon, at.lat, strict=True))
    ]
    angle = 2 * reach_km(EXAMPLE.recipe.grid) / EARTH_RADIUS_KM
    side = ["train", "val", "train", "val"]
    assert sharing.near_pairs(found, side, angle) == 1
    assert sharing.near_pairs(found[:1] + found[3:], side[:1] + side[3:], angle) == 0
    assert sharing.near_pairs(found, ["train"] * 4, angle) == 0


@pytest.mark.slow
def test_packing_tells_what_is_shared_and_refuses_ground(built: Curate, tmp_path, capsys, monkeypatch):
    mine = built.copy(tmp_path)
    assert mine("pack") == 0
    assert "the split's sides share: no ground" in capsys.readouterr().out
    index = json.loads((mine.folder / "shards" / "index.json").read_text())
    assert index["counts"]["shared"]["s2l2a"] == {"count": 0, "train": 0, "val": 0}  # all are train there
    rows = plan.plan

    def leaky(*given):
        made = rows(*given)
        first = made.shards["train"][0][0]
        other = dataclasses.replace(first, split="val")
        return dataclasses.replace(made, shards=made.shards | {"val": [[other]]})

    monkeypatch.setattr(pack, "plan", leaky)
    before = mine.hashes()
    assert mine("pack") == 1
    assert "7 pairs of samples of two sides have less than buffer_km of ground" in capsys.readouterr().err
    assert mine.hashes() == before


def test_ids_of_a_day_alone_are_of_one_datatake_where_they_were_sensed_within_one():
    scenes = [f"S2A_3{n}UFS_20210716_0_L2A" for n in range(6)]
    begin = dt.datetime(2021, 7, 16, 10, 36, tzinfo=dt.UTC)
    minutes = [0, 100, 105, 300, 310, 500]  # of p1 and p2, and of p3 and p4, of one pass
    seasons = EXAMPLE.cube_seasons()
    times = {
        (f"p{n}", season, "s2l2a"): [begin + dt.timedelta(minutes=m)]
        for n, m in enumerate(minutes)
        for season in seasons
    }
    made = plan_of(["datatake"], scenes=scenes, times=times)
    assert {d.location.id: d.reason for d in made.dropped} == {"p1": "shared:datatake", "p4": "shared:datatake"}
    assert not any("datatake" in line for line in made.unmatched)
