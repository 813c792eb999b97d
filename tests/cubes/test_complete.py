"""One rule says which locations are samples; whoever tells it tells the same."""

import functools
import itertools
import random
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.cubes import contents, creation, selection
from curation.cubes.complete import COMPLETE, FAILED, REJECTED, Verdict, judged, with_children
from curation.cubes.cube import Cube
from curation.outcomes import PENDING, PatchOutcome, SourceOutcome, Status
from curation.pack import plan, split
from curation.pack.splits import blocks
from curation.places import era5_cells, grids
from curation.places.locations import Locations
from curation.places.reach import reach_km
from curation.recipe.dataset import Dataset, load_dataset
from curation.recipe.schema import Recipe
from curation.report import estimate, picture, show
from curation.report.survey import Survey
from curation.store.ledger import Ledger, cube_names
from curation.store.objects import Store
from curation.work.run import Run
from tests import world as tiny
from tests.properties import examples
from tests.run import Curate

RULES = ("all", "any", "some")


def outcome(status: Status | None, name: str = "p") -> PatchOutcome | None:
    if status is None:
        return None
    return PatchOutcome(name, status, {"s2l2a": SourceOutcome(status, None if status is Status.OK else "cloudy")})


def may_be_sample(rule: str, ok: dict[str, bool]) -> bool:
    """The rule, told as manifests/README.md tells it."""
    static, seasonal = [v for s, v in ok.items() if s == "static"], [v for s, v in ok.items() if s != "static"]
    if rule == "all":
        return all(ok.values())
    if rule == "any":
        return all(static) and (any(seasonal) or not seasonal)
    return any(ok.values())


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("seasons", [("static",), ("a", "b"), ("static", "a"), ("static", "a", "b")])
def test_a_location_is_complete_rejected_failed_or_pending_by_what_it_may_still_become(rule, seasons):
    for found in itertools.product((None, *(s for s in Status if s is not Status.PENDING)), repeat=len(seasons)):
        verdict = judged(rule, {s: outcome(f) for s, f in zip(seasons, found, strict=True)})

        def so(*good: Status | None, found: tuple = found) -> bool:
            return may_be_sample(rule, {s: f in good for s, f in zip(seasons, found, strict=True)})

        assert (verdict.state == COMPLETE) == so(Status.OK)
        assert (verdict.reason is None) == (verdict.state == COMPLETE)
        assert (verdict.state == REJECTED) == (not so(Status.OK, Status.FAILED, None))
        if verdict.state == PENDING:
            assert Status.FAILED not in found or so(Status.OK, None)


def test_a_root_is_what_its_children_make_of_it_where_anything_will_do():
    lost, open_, again, whole = (
        Verdict(s, None if s == COMPLETE else "x") for s in (REJECTED, PENDING, FAILED, COMPLETE)
    )
    for own in (lost, open_, again):
        assert with_children("some", own, [lost, whole]) == Verdict(COMPLETE)
        assert with_children("all", own, [whole]) == own
    assert with_children("some", lost, [open_, lost]).state == PENDING
    assert with_children("some", lost, [open_, again]).state == FAILED
    assert with_children("some", lost, [lost]) == lost


@functools.cache
def family(rule: str) -> tuple[Dataset, dict[str, Locations]]:
    """Cells with two children each, with the splits of the recipe."""
    raw = load_dataset("ssl4eo-s").recipe.model_dump()
    seasons = {k: v for k, v in raw["seasons"].items() if k in ("winter", "2021-07")}
    own = {k: [s for s in v["seasons"] or [] if s in seasons] for k, v in raw["sources"].items()}
    uses = {k: v | ({"seasons": own[k]} if own[k] else {}) for k, v in raw["sources"].items()}
    raw |= {"seasons": seasons, "sources": uses}
    raw["pack"]["complete"] = rule
    raw["split"] = {"val_fraction": 0.5, "block_deg": 1.0, "buffer_km": 36.0}
    dataset = Dataset(Recipe.model_validate(raw), load_dataset("ssl4eo-s").specs, load_dataset("ssl4eo-s").path)
    numbers = np.arange(600_000, 600_012) + 1440 * np.arange(12)
    cells = era5_cells.grids(numbers)
    lon, lat = (np.repeat(v, 2) + np.tile([-0.06, 0.06], 12) for v in (cells.lon, cells.lat))
    below = grids.snap(lon, lat, 2640.0)

    def made(at: grids.Places, ids: list[str], size: float, parent: list[str] | None) -> Locations:
        columns = {k: getattr(at, k) for k in ("lon", "lat", "epsg", "x0_m", "y0_m")}
        same = {"size_m": np.full(len(ids), size), "region": ["r"] * len(ids), "rank": np.arange(len(ids))}
        same |= {"parent": parent} if parent else {}
        return Locations.of_columns({"id": ids, **columns, **same})

    parents = [i for i in era5_cells.ids(numbers) for _ in (0, 1)]
    return dataset, {
        "r": made(cells, era5_cells.ids(numbers), 0.25, None),
        "r.children": made(below, [f"c{n}" for n in range(24)], 2640.0, parents),
    }


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=examples(30), deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_report_calls_complete_what_packing_takes(rule, seed):
    dataset, found = family(rule)
    rng = random.Random(seed)
    statuses = [Status.OK, Status.REJECTED, Status.ABSENT, Status.FAILED, None]
    cubes, outcomes, opened = {}, {}, {}
    for level in dataset.levels:
        folder = level.folder("r")
        for season in level.cube_seasons():
            here = Cube(level, "r", season, found[folder])
            drawn = {p.id: outcome(rng.choice(statuses), p.id) for p in found[folder]}
            known = {k: v for k, v in drawn.items() if v is not None}
            cubes.setdefault(folder, {})[season] = here
            outcomes.setdefault(folder, {})[season] = known
            opened[folder, season] = SimpleNamespace(cube=here, outcomes=known)
    made = plan.plan(dataset, cubes, outcomes)
    packed = [m for shards_ in made.shards.values() for shard in shards_ for m in shard]
    survey = Survey(dataset, None, opened)
    used = {m.location.id for m in packed}
    reasons = {d.location.id: d.reason for d in made.dropped}
    for cell in found["r"]:
        said = survey.state("r", cell.id)
        assert (said == COMPLETE) == (cell.id in used or reasons[cell.id] in ("buffer", "target"))
    within = {c.location.id for m in packed for c in m.children}
    for child in found["r.children"]:
        if child.parent in used:
            assert (survey.state("r.children", child.id) == COMPLETE) == (child.id in within)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.slow
def test_the_report_show_and_the_estimate_tell_what_packing_does(built: Curate, tmp_path, monkeypatch, rule):
    told: list[dict[str, str]] = []
    monkeypatch.setattr(picture, "png", lambda *given: told.append(dict(given[4])) or b"")
    dataset, store = built.dataset, built.store
    pack = dataset.recipe.pack.model_copy(update={"complete": rule})
    dataset.recipe = dataset.recipe.model_copy(update={"pack": pack})
    opened = {k: contents.opened(dataset, store, *k) for k in cube_names(store)}
    cubes = {"europe": {s: c.cube for (_, s), c in opened.items()}}
    made = plan.plan(dataset, cubes, {"europe": {s: c.outcomes for (_, s), c in opened.items()}})
    used = {m.location.id for of in made.shards.values() for shard in of for m in shard}
    survey = Survey(dataset, store, opened)
    every = [p.id for p in survey.places("europe")]
    assert 0 < len(used) < len(every) or rule == "some"
    assert {i for i in every if survey.state("europe", i) == COMPLETE} == used
    for name in (tiny.name(0, 3), tiny.name(1, 1)):
        show.write(dataset, store, f"europe/summer/{name}", tmp_path / "a.png")
        assert (told[-1]["sample"] == COMPLETE) == (name in used)
    run = Run(dataset, built.catalogs, store)
    found = estimate.estimates(run, selection.asked_regions(dataset, built.catalogs, "all"), ["summer"])
    assert found.notes[0].startswith(f"By complete = {rule!r} locations are so far: ")
    assert f" {len(used)} complete" in found.notes[0]


def test_a_recorded_child_is_of_the_cell_that_the_draw_says_and_of_its_side(tmp_path):
    dataset, found = family("some")
    store = Store(tmp_path)
    for level in dataset.levels:
        folder, season = level.folder("r"), level.cube_seasons()[-1]
        here = Cube(level, "r", season, found[folder])
        ledger = Ledger.replay(store, folder, season)
        ledger.acquire(here.binding("digest"))
        ledger.record_cube(creation.create(here, store, {}))
    of_cell = split.planned(dataset.recipe, found["r"])
    assert len(set(of_cell.sides.values())) > 1
    for folder, season in cube_names(store):
        again = contents.opened(dataset, store, folder, season).cube.locations
        lon, lat = again.column("lon"), again.column("lat")
        side = [of_cell.of(p) for p in again]
        assert split.sides(dataset.recipe, again).tolist() == side  # of a child, too, where its cell is not among them
        alone = blocks.splits_of(lon, lat, dataset.recipe.seed, dataset.recipe.split, reach_km(dataset.recipe.grid))
        assert (alone.tolist() == side) == (folder == "r"), "a child near its block's edge"
        assert again.column("parent").tolist() == found[folder].column("parent").tolist()
