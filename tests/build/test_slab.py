"""Pixels and outcomes of the tiny world, where both are known beforehand."""

import numpy as np
import pytest
import xarray as xr

from curation.build.kinds.elevation import elevation_facts
from curation.outcomes import Status
from curation.store.ledger import Ledger
from tests import world as tiny
from tests.run import Curate

SUMMER = {(0, 3): "cloudy:s2l2a"}
SUMMER |= {(row, 4): "partial_coverage:s2l2a" for row in range(5)}
SUMMER |= {(4, col): "nodata:s1rtc" for col in range(4)}
AUTUMN = {(row, 4): "partial_coverage:s2l2a" for row in range(5)}
AUTUMN |= {(row, col): "time_gap:s1rtc" for row in range(2, 5) for col in range(4)}
PLACES = [(row, col) for row in range(5) for col in range(5)]


def cube(built: Curate, season: str) -> xr.Dataset:
    return xr.open_zarr(built.folder / "cubes" / "europe" / f"{season}.zarr").set_index(patch="id")


@pytest.mark.parametrize(("season", "reasons"), [("summer", SUMMER), ("autumn", AUTUMN), ("static", {})])
def test_every_patch_ends_as_the_world_says(built: Curate, season: str, reasons: dict[tuple[int, int], str]):
    ledger = {o.id: o for o in Ledger.replay(built.store, "europe", season).outcomes()}
    stored = cube(built, season)
    for place in PLACES:
        expected = reasons.get(place, "ok")
        assert ledger[tiny.name(*place)].reason == expected
        assert str(stored.reason.sel(patch=tiny.name(*place)).values) == expected


@pytest.mark.slow
def test_sentinel_2_is_cropped_and_harmonised_exactly(built: Curate):
    # The chosen scene is of baseline 05.00: its +1000 must be gone, its reprocessed older twin not used.
    stored = cube(built, "summer")
    for place in PLACES:
        if place in SUMMER:
            continue
        patch = stored.sel(patch=tiny.name(*place))
        for res_m, bands in tiny.BANDS.items():
            for band in bands:
                expected = tiny.crop(tiny.dn(band, res_m), res_m, *place)
                found = patch[f"s2l2a_{res_m}m"].sel({f"s2l2a_{res_m}m_band": band})
                np.testing.assert_array_equal(found.values, expected, err_msg=f"{place} {band}")
        assert int(patch.s2l2a_offset_dn) == (1000 if "N0500" in str(patch.s2l2a_scenes.values) else 0)


def test_the_scene_nearest_to_the_anchor_is_used_where_it_is_clear(built: Curate):
    # Both summer dates lie in one step of days and of cloud cover: the one that serves more patches comes first, the
    # other where it is cloudy. Column 0 and 1 lie under the cloud of 16 July.
    stored = cube(built, "summer")
    for row, col in [(1, 0), (1, 1), (2, 0)]:
        assert "20210710" in str(stored.s2l2a_scenes.sel(patch=tiny.name(row, col)).values)


def test_radar_is_of_the_location_s_one_direction_and_cropped_exactly(built: Curate):
    stored = cube(built, "summer")
    for place in PLACES:
        if place in SUMMER:
            continue
        patch = stored.sel(patch=tiny.name(*place))
        assert str(patch.s1rtc_orbit_state.values) == "ascending"  # the descending one is nearer in time
        for n in range(2):
            np.testing.assert_array_equal(patch.s1rtc_10m.values[n], tiny.crop(tiny.power(n), 10, *place))


def test_a_gap_in_dynamic_world_is_never_a_class(built: Curate):
    stored = cube(built, "summer")
    north, south = stored.sel(patch=tiny.name(0, 0)), stored.sel(patch=tiny.name(3, 0))
    classes = list(stored.dynamicworld_class.values)
    assert float(north.dynamicworld_valid_fraction) == 1.0
    np.testing.assert_allclose(north.dynamicworld_fraction[classes.index("trees")], 0.75)
    np.testing.assert_allclose(north.dynamicworld_fraction[classes.index("crops")], 0.25)
    assert float(south.dynamicworld_valid_fraction) == 0.0
    assert np.isnan(south.dynamicworld_fraction.values).all()
    assert (south.dynamicworld_10m.values == 255).all()


def test_no_map_of_the_acquisition_is_absent_not_rejected(built: Curate):
    patch = cube(built, "autumn").sel(patch=tiny.name(0, 0))
    assert int(patch.dynamicworld_status) == Status.ABSENT
    assert str(patch.dynamicworld_reason.values) == "no_scene"
    assert str(patch.reason.values) == "ok"


def test_sea_in_the_dem_is_zero_and_flagged(built: Curate):
    stored = cube(built, "static")
    land, sea = stored.sel(patch=tiny.name(0, 0)), stored.sel(patch=tiny.name(0, 4))
    assert (land.dem_30m.values == 123).all()
    assert float(land.dem_hole_fraction) == 0.0
    assert (sea.dem_30m.values == 0).all()
    assert float(sea.dem_hole_fraction) == 1.0


def test_a_rejected_patch_keeps_what_decided_it(built: Curate):
    ledger = {o.id: o for o in Ledger.replay(built.store, "europe", "summer").outcomes()}
    cloudy = ledger[tiny.name(0, 3)].sources["s2l2a"]
    assert (cloudy.code, cloudy.value) == ("cloudy", 0.0)
    share = ledger[tiny.name(0, 4)].sources["s2l2a"].value
    assert share == pytest.approx(0.5, abs=0.03)
    gap = {o.id: o for o in Ledger.replay(built.store, "europe", "autumn").outcomes()}[tiny.name(3, 0)]
    assert gap.sources["s1rtc"].value == pytest.approx(40.806, abs=0.01)


def test_an_ok_patch_stores_its_chunks_and_no_other_does(built: Curate):
    ledger = Ledger.replay(built.store, "europe", "summer")
    for outcome in ledger.outcomes():
        assert bool(outcome.chunks) == (outcome.status is Status.OK)


def test_elevation_facts_of_a_plane():
    # A plane that rises 30 m per 30 m pixel eastwards slopes by 45 degrees.
    facts = elevation_facts(np.tile(np.arange(8) * 30.0, (8, 1)).astype("float32"), 30, 30)
    assert facts["slope_mean_deg"] == pytest.approx(45)
    assert (facts["elevation_min_m"], facts["elevation_max_m"]) == (0, 210)
