"""Maps of land cover err in patches, at edges, between classes that look alike, by season, and in part together."""

from __future__ import annotations

import numpy as np
import pytest

from curation.embedded.sensors import labels
from curation.embedded.sensors.mistakes import CONFUSED, SERVED, Mistakes, Rater, leaf, mapped, truth
from curation.embedded.world import regions
from curation.embedded.world.cover import COVERS, NAMES, STEPS, kind
from curation.embedded.world.ground import Ground

SIDE = 600
REGION = regions.by_name("lower-rhine")
ROW, COL = np.mgrid[:SIDE, :SIDE].astype(np.int32)


@pytest.fixture(scope="module")
def land() -> Ground:
    """Parcels of 300 m, of all kinds."""
    kinds = np.random.default_rng(0).integers(len(COVERS), size=(SIDE // 30, SIDE // 30))
    code = (kinds.repeat(30, axis=0).repeat(30, axis=1) * STEPS + 128).astype(np.uint16)
    return Ground(code, np.zeros((SIDE // 4, SIDE // 4), np.float32))


def year(land: Ground, its: Mistakes) -> np.ndarray:
    return mapped(land, REGION, ROW, COL, Rater("wc-2.0.0", speckle=0), its) != truth(land, ROW, COL)


def day(land: Ground, its: Mistakes, name: str = "a", doy: float = 200) -> np.ndarray:
    rater = Rater("dw", name, speckle=0, leaf=leaf(doy, REGION))
    return mapped(land, REGION, ROW, COL, rater, its) != truth(land, ROW, COL)


def alike(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.reshape(-1), b.reshape(-1))[0, 1])


@pytest.mark.slow
def test_errors_of_both_maps_go_together_as_much_as_is_said(land):
    by = [
        np.mean([alike(year(land, Mistakes(c, seed=s)), day(land, Mistakes(c, seed=s))) for s in range(4)])
        for c in (0.0, 0.3, 0.6, 0.9)
    ]
    assert by == sorted(by)
    assert by[0] < 0.25  # some ground is harder than other, and edges are edges for both
    assert by[3] > 0.5


def test_days_of_one_map_err_alike_more_than_two_maps_do(land):
    its = [Mistakes(0.0, seed=s) for s in range(4)]
    assert np.mean([alike(day(land, i), day(land, i, "b")) for i in its]) > 0.1 + np.mean(
        [alike(year(land, i), day(land, i)) for i in its]
    )


def test_errors_come_in_patches_and_are_more_at_edges(land):
    errs = np.stack([year(land, Mistakes(seed=s)) for s in range(4)])
    assert alike(errs[:, :, 4:], errs[:, :, :-4]) > 0.3  # 40 m further on it errs still
    edge = np.isin(np.arange(SIDE) % 30, (0, 29))
    edge = edge[:, None] | edge
    assert errs[:, edge].mean() > errs[:, ~edge].mean() + 0.05


def test_far_from_edges_a_kind_is_taken_for_what_it_looks_like(land):
    said = mapped(land, REGION, ROW, COL, Rater("wc-2.0.0", speckle=0))
    inside = (np.abs(ROW % 30 - 14.5) < 8) & (np.abs(COL % 30 - 14.5) < 8)
    for name in NAMES:
        here = inside & (land.code // STEPS == kind(name))
        assert set(np.unique(said[here])) <= {COVERS[kind(name)].dw, *CONFUSED[name]}


def test_a_day_without_leaves_is_mistaken_more_often(land):
    woods = land.code // STEPS == kind("broadleaf")
    assert day(land, SERVED, doy=20)[woods].mean() > day(land, SERVED, doy=200)[woods].mean() + 0.05


def test_the_same_earth_errs_in_the_same_places(land):
    rater = labels.daily(REGION, "2021-06-15", 166)
    one = mapped(land, REGION, ROW, COL, rater)
    np.testing.assert_array_equal(one, mapped(land, REGION, ROW, COL, rater, Mistakes(0.6, 0.5, 0)))
    part = mapped(land, REGION, ROW[100:140, 7:300], COL[100:140, 7:300], rater)
    np.testing.assert_array_equal(part, one[100:140, 7:300])  # whatever grid or strip it is drawn for
    assert (one != mapped(land, REGION, ROW, COL, rater, Mistakes(seed=1))).mean() > 0.1
