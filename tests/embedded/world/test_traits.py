"""Each switch of a harder Earth moves what it says, and nothing else; none of them, and it is the one that was there."""

from __future__ import annotations

import dataclasses
import datetime as dt
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import binary_opening

from curation.embedded.archive import scenes
from curation.embedded.archive.archive import Archive
from curation.embedded.archive.scenes import Pass1, Pass2, Scene1, Scene2, Sky, shift_of
from curation.embedded.sensors import labels, mistakes, optics, radar
from curation.embedded.world import ground, regions, traits, view
from curation.embedded.world.cover import BANDS, NAMES, STEPS, kind, reflectance
from curation.embedded.world.grids import Grid
from curation.embedded.world.ground import Ground
from curation.embedded.world.regions import PLAIN_TRAITS, Region, Tile
from curation.embedded.world.traits import Traits
from curation.embedded.world.view import View

SWITCHES = [f.name for f in dataclasses.fields(Traits)]
BOX = (3.0, 50.0, 3.05, 50.035)
TILE = Tile("31UDS", 32631, BOX)
WHEN = dt.datetime(2021, 7, 15, 10, 36, 29, tzinfo=dt.UTC)


def region(its: Traits = PLAIN_TRAITS, seed: int = 11) -> Region:
    """A few kilometres of hills, woods and towns."""
    towns = ((3.02, 50.02, 0.6, 1.1),)
    return Region("small", seed, BOX, (TILE,), towns, 3, 40.0, 120.0, 0.25, 90.0, 0.0, traits=its)


@cache
def land(objects: bool, seed: int = 11) -> Ground:
    return ground.make(region(Traits(objects=objects), seed))


def scene(of: Region, day: str = "2021-07-15", cover: float = 0.3) -> Scene2:
    acquired = Pass2("small", day, 8, Sky(cover), TILE.name, ("03.01",))
    when = dt.datetime.fromisoformat(f"{day}T10:36:29+00:00")
    return scenes.scene2(acquired, of, TILE, "03.01", when, first=True)


def seen(its: Scene2) -> View:
    return view.make(land(its.region.traits.objects), its.region, its.grid, shift_of(its))


@cache
def products(its: Traits) -> dict[str, NDArray[np.generic]]:
    """What is rendered of the same day and place, by whom."""
    of = region(its)
    optical, under_ground = scene(of), land(its.objects)
    at = seen(optical)
    under = optics.light(optical, at)
    out: dict[str, NDArray[np.generic]] = dict(optics.bands(optical, at, under, ("B02", "B04", "B08")))
    out["SCL"] = optics.classification(optical, at, under)
    out["dynamicworld"] = labels.dynamicworld(optical, under_ground, at, under)
    part = Grid(4326, 3.01, 50.03, 1 / 12_000, 1 / 12_000, 180, 240)
    out["worldcover"] = labels.worldcover(under_ground, of, part, "2.0.0")
    passed = Scene1(Pass1("small", "2021-07-16", 37), of, "descending", "1A", WHEN, 32631)
    out["vv"] = radar.gamma0(passed, view.make(under_ground, of, passed.grid), "vv")
    out["terrain"] = under_ground.height
    return out


MOVES = {
    "masks": {"SCL"},
    "dates": set[str](),
    "shifts": {"B02", "B04", "B08", "SCL", "dynamicworld"},
    "regions": {"B02", "B04", "B08", "SCL", "dynamicworld", "vv"},
    "labels": {"dynamicworld", "worldcover"},
    "objects": {"B02", "B04", "B08", "SCL", "dynamicworld", "worldcover", "vv"},
}
"""What a switch may move: greener or barer ground is another to radar, to the classification, and to maps of a day."""


@pytest.mark.slow
@pytest.mark.parametrize("switch", SWITCHES)
def test_a_switch_moves_what_it_says_and_nothing_else(switch: str):
    plain, hard = products(PLAIN_TRAITS), products(Traits(**{switch: True}))
    moved = {name for name in plain if not np.array_equal(plain[name], hard[name])}
    assert moved == MOVES[switch]


def test_an_earth_is_named_by_what_is_on():
    assert traits.named("") == traits.named("plain") == PLAIN_TRAITS
    assert traits.named("hard") == Traits(**dict.fromkeys(SWITCHES, True))
    assert traits.named("masks+shifts") == Traits(masks=True, shifts=True)
    for name in ("plain", "hard", "masks+shifts", *SWITCHES):
        assert traits.named(name).name == name
    with pytest.raises(ValueError, match="no Earth 'mask': expected plain, hard, or some of masks, dates"):
        traits.named("mask+shifts")


def test_the_earth_that_is_served_by_default_has_none():
    assert traits.served() == PLAIN_TRAITS
    assert {r.traits for r in regions.REGIONS} == {PLAIN_TRAITS}
    assert scenes.more_passes(regions.by_name("lower-rhine")) == ()
    assert mistakes.of(PLAIN_TRAITS) is mistakes.SERVED


# ---- masks


@pytest.mark.slow
def test_masks_take_bright_ground_for_cloud_mostly_the_same_on_each_date():
    of, plain = region(Traits(masks=True)), region()
    clear = [scene(of, day, 0.0) for day in ("2021-07-15", "2021-07-25")]
    at = seen(clear[0])
    wrong = [np.isin(optics.classification(its, at, optics.light(its, at)), (8, 9)) for its in clear]
    before = np.isin(optics.classification(scene(plain, cover=0.0), at, optics.light(clear[0], at)), (8, 9))
    new, kinds = wrong[0] & ~before, at.code[::2, ::2] // STEPS
    assert {NAMES[k] for k in np.unique(kinds[new])} <= set(optics.DECEIVING)
    halls = kinds == kind("hall")
    assert 0.2 < wrong[0][halls].mean() < 0.95
    both, either = (wrong[0] & wrong[1]).sum(), (wrong[0] | wrong[1]).sum()
    assert both > either / 4  # a temporal vote does not take them out


@pytest.mark.slow
def test_masks_miss_sheets_of_thin_cloud_and_no_thick_one():
    of = region(Traits(masks=True))
    cloudy = scene(of, cover=0.5)
    at = seen(cloudy)
    under = optics.light(cloudy, at)
    found = np.isin(optics.classification(cloudy, at, under), (8, 9, 10))
    thin, thick = (under.cloud > 0.25) & (under.cloud < optics.THIN), under.cloud > 0.8
    assert 0.3 < (~found)[thin].mean() < 0.8
    assert found[thick].mean() > 0.99


# ---- dates


def test_one_region_has_eight_dates_a_season_and_others_have_what_they_had():
    dense = dataclasses.replace(regions.by_name(scenes.DENSE), traits=Traits(dates=True))
    days = [p.date for p in scenes.S2 if p.region == scenes.DENSE] + [p.date for p in scenes.more_passes(dense)]
    assert len(days) == len(set(days))
    for start, end in scenes.QUARTERS:
        assert sum(start <= day < end for day in days) >= traits.DATES
    orbit = scenes.more_passes(dense)[0].orbit
    for its in scenes.more_passes(dense):
        scenes.flown("2021-06-15", its.date, 5, orbit)  # raises where the satellite did not pass
        assert 0 <= its.sky.cover <= 1
    other = dataclasses.replace(regions.by_name("sao-paulo"), traits=Traits(dates=True))
    assert scenes.more_passes(other) == ()


# ---- shifts


def test_a_shift_of_a_pixel_is_the_next_pixel():
    of = region()
    grid = scene(of).grid
    plain, down = view.make(land(objects=False), of, grid), view.make(land(objects=False), of, grid, (1.0, 0.0))
    right = view.make(land(objects=False), of, grid, (0.0, 2.0))
    # The frame is turned a little against the zone: hardly a pixel in a few kilometres.
    assert (down.code[:-1] == plain.code[1:]).mean() > 0.98
    assert (down.code == plain.code).mean() < 0.95
    assert (right.code[:, :-2] == plain.code[:, 2:]).mean() > 0.98
    assert down.shift == (1.0, 0.0)


def test_each_date_lies_elsewhere_and_its_tiles_and_products_together():
    its = Traits(shifts=True)
    every = np.array([traits.shift_px(its, "lower-rhine", f"2021-{n}") for n in range(400)])
    assert np.abs(every.mean(0)).max() < 0.1
    assert np.abs(every.std(0) - traits.SHIFT_PX).max() < 0.06
    assert shift_of(scene(region(its))) == traits.shift_px(its, "small", "2021-07-15") != (0, 0)
    assert shift_of(scene(region())) == (0.0, 0.0)


@pytest.mark.slow
def test_each_date_is_seen_where_it_lies(tmp_path: Path):
    archive = Archive(tmp_path)
    days = [scene(region(Traits(shifts=True)), day) for day in ("2021-07-15", "2021-07-20")]
    assert days[0].grid == days[1].grid
    assert [archive._view(its).shift for its in days] == [shift_of(its) for its in days]


# ---- regions


def test_kinds_look_otherwise_in_each_region():
    days = np.arange(121, 241, 5)  # a summer crop comes up

    def ndvi(of: Region) -> NDArray[np.float64]:
        tables = [reflectance(float(d), **of.look)[[BANDS.index(b) for b in ("B04", "B08")]] for d in days]
        red, nir = np.stack(tables)[:, :, kind("maize") * STEPS + 128].T.astype(float)
        return (nir - red) / (nir + red)

    np.testing.assert_array_equal(*(ndvi(region(seed=s)) for s in (1, 2)))
    hard = [ndvi(region(Traits(regions=True), seed=s)) for s in range(10)]
    assert np.abs(hard[0] - hard[1]).max() > 0.1
    assert 6 < np.std([days[np.argmax(its > 0.5)] for its in hard]) < 30


# ---- labels


def errs(its: mistakes.Mistakes) -> NDArray[np.bool_]:
    """(map, y, x): where WorldCover and Dynamic World err on 20 km of meadows, far from any edge."""
    row, col = np.mgrid[:2048:8, :2048:8].astype(np.int32)
    meadows = Ground(np.full((2048, 2048), kind("meadow") * STEPS, np.uint16), np.zeros((512, 512), np.float32))
    raters = [mistakes.Rater("wc-2.0.0", speckle=0), mistakes.Rater("dw", "a", speckle=0)]
    truth = mistakes.truth(meadows, row, col)
    return np.stack([mistakes.mapped(meadows, region(), row, col, r, its) != truth for r in raters])


def test_maps_err_in_more_places_and_more_alike():
    hard = mistakes.of(Traits(labels=True))
    seeds = [dataclasses.replace(hard, seed=s) for s in range(6)]
    shares = [(errs(its).mean(), errs(dataclasses.replace(its, eager=0.0)).mean()) for its in seeds]
    # The normal distribution has 13.6 % beyond 1.1 deviations, and 8.9 % beyond 1.35.
    assert np.mean(shares, axis=0) == pytest.approx([0.136, 0.089], abs=0.02)
    alike = [
        np.mean([np.corrcoef(errs(dataclasses.replace(its, correlation=c)).reshape(2, -1))[0, 1] for its in seeds])
        for c in (0.0, mistakes.SERVED.correlation, hard.correlation)
    ]
    assert alike == sorted(alike)
    assert abs(alike[0]) < 0.1
    assert alike[2] > alike[1] + 0.1


# ---- objects


@pytest.mark.slow
def test_objects_are_small_and_narrow_and_little_of_the_ground():
    plain, hard = land(objects=False).code // STEPS, land(objects=True).code // STEPS
    other = plain != hard
    assert 0.005 < other.mean() < 0.12
    assert {NAMES[k] for k in np.unique(hard[other])} == {"shrub", "road", "lake"}
    for name, left in (("shrub", 0.1), ("road", 0.1)):
        lines = other & (hard == kind(name))
        assert lines.sum() > 200
        assert binary_opening(lines, np.ones((3, 3))).sum() < left * lines.sum()  # nowhere three pixels wide
    ponds = other & (hard == kind("lake"))
    assert 0 < ponds.sum() < 0.01 * ponds.size
