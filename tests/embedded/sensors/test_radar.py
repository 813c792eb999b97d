"""What makes floods hard to see in radar: wind on open water, and fields that were rolled. Elsewhere nothing of it is."""

from __future__ import annotations

import numpy as np
import pytest

from curation.embedded.archive import scenes
from curation.embedded.sensors import radar
from curation.embedded.world.cover import COVERS, STEPS, backscatter
from curation.embedded.world.floods import FLOODS

FLOODED = {flood.region for flood in FLOODS}


def decibels(doy=200, **weather):
    """By polarisation, kind and parcel state."""
    table = backscatter(doy, south=False, evergreen=0.0, look=0, **weather)
    return 10 * np.log10(table).reshape(2, len(COVERS), STEPS)


def test_wind_brightens_open_water_in_vv_more_than_in_vh_and_nothing_else():
    rose = decibels(wind_db=6.0) - decibels()
    for k, cover in enumerate(COVERS):
        is_water = cover.name in ("river", "lake")
        assert np.allclose(rose[0, k], 6.0 * is_water, atol=1e-4)
        assert (rose[1, k] < 3.0).all()
        assert (rose[1, k] > 1.0).all() == is_water


@pytest.mark.parametrize(("doy", "is_bare"), [(355, True), (240, False)])
def test_rolled_fields_are_dark_as_long_as_nothing_grows_on_them(doy, is_bare):
    smooth = np.arange(STEPS) % 3 == 0
    fell = decibels(doy) - decibels(doy, smooth=smooth)
    for k, cover in enumerate(COVERS):
        assert np.allclose(fell[:, k][:, ~smooth], 0.0, atol=1e-4)
        if cover.wc != 40:
            assert np.allclose(fell[:, k], 0.0, atol=1e-4)
        if cover.name == "maize":
            assert (fell[:, k][:, smooth] > 6.0).all() == is_bare
            assert (fell[:, k][:, smooth] < 2.5).all() != is_bare


def test_weather_is_where_floods_come_and_each_scene_has_its_own_wind():
    by_region: dict[str, list[scenes.Scene1]] = {}
    for scene in scenes.s1_scenes():
        by_region.setdefault(scene.region.name, []).append(scene)
    assert set(by_region) > FLOODED
    for name, mine in by_region.items():
        winds = {radar.wind_db(s) for s in mine}
        fields = {tuple(radar.rolled(s).tolist()) for s in mine}
        if name in FLOODED:
            assert len(winds) == len({s.id for s in mine})
            assert all(0 <= w <= mine[0].region.wind_db for w in winds)
            assert 2 <= len(fields) < len(mine)
        else:
            assert winds == {0.0}
            assert not np.any(list(fields))


def test_scenes_of_the_same_weeks_see_the_same_fields_rolled_from_whatever_orbit():
    mine = [s for s in scenes.s1_scenes() if s.region.name == "indus"]
    weeks = {s.time.toordinal() // radar.ROLLED_DAYS for s in mine}
    assert len({s.acquired.orbit for s in mine}) > 1
    assert len({tuple(radar.rolled(s).tolist()) for s in mine}) == len(weeks) > 1
    share = np.mean([radar.rolled(s).mean() for s in mine])
    assert share == pytest.approx(mine[0].region.smooth, abs=0.05)
