"""Orbits of the embedded Earth on cells, against the field that they were made from."""

from __future__ import annotations

import dataclasses
import datetime as dt

import numpy as np
import pytest
import shapely

from curation.embedded.archive.published import published
from curation.embedded.sensors import columns, level2
from curation.embedded.world.world import TRACKS
from curation.model import Location, Scene
from curation.places import era5_cells
from curation.read import swathgrid
from curation.read.reader import Asset
from curation.read.swath import Swaths
from curation.recipe.dataset import load_dataset
from curation.recipe.swath import QualityLimit

JULY = dt.date(2021, 7, 15)


def cell(lon: float, lat: float) -> Location:
    return Location("era5-0", lon, lat, 4326, lon - 0.125, lat + 0.125, 0.25, "r")


@pytest.fixture(scope="module")
def july(tmp_path_factory):
    """Scenes of ozone in July along the track over the Americas, and where their files are."""
    folder = tmp_path_factory.mktemp("orbits")
    scenes, paths = [], {}
    for file in columns.files():
        seen = file.orbit.acquired
        if (file.product.name, seen.track, seen.date[:7]) != ("o3", "americas", "2021-07"):
            continue
        paths[file.id] = folder / f"{file.id}.nc"
        with published(paths[file.id]) as part:
            level2.write(part, file)
        own = {"orbit": file.orbit.number, "mode": file.mode, "geometry": shapely.Point(0, 0), "hrefs": {}}
        scenes.append(Scene(file.id, "s5p-o3", file.orbit.crossing, **own))
    assert scenes
    return scenes, paths


def test_a_month_of_orbits_is_the_field_that_they_saw(july):
    scenes, paths = july
    dataset = load_dataset("ssl4eo-s")
    spec, arrays = dataset.specs["s5p-o3"], dataset.arrays["s5p-o3"]
    (track,) = (t for t in TRACKS if t.name == "americas")
    seen = []
    with Swaths("") as swaths:
        for place in track.cells:
            here = cell(*place)
            found, used = swathgrid.pixels(
                swaths, spec, arrays, here, scenes, lambda s: {"data": Asset(str(paths[s.id]), "none")}
            )
            mean, count, qa = found["s5p-o3_28px"][0], found["s5p-o3_count_28px"], found["s5p-o3_qa_28px"]
            assert (mean.dtype, count.dtype, qa.dtype) == (np.dtype("f4"), np.dtype("u2"), np.dtype("f4"))
            valid = mean != -32768
            assert count[0].max() <= len(used) <= len(scenes)
            assert ((count[2] > 0) == valid).all()
            assert (count[2] <= count[0]).all()
            spread = found["s5p-o3_std_28px"][0]
            assert ((spread != -32768) <= (count[1] > 1)).all()
            assert (spread[spread != -32768] >= 0).all()
            assert ((count[0] == 0) == ~valid).all()
            assert (qa[1][valid] >= 0.5 - 1e-6).all()
            assert (qa[0][~valid] == -32768).all()
            if valid.any():
                step = 0.25 / 28
                lon = here.x0_m + step * (np.arange(28) + 0.5)
                lat = here.y0_m - step * (np.arange(28) + 0.5)
                truth = columns.truth("o3", *np.meshgrid(lon, lat), JULY)
                seen.append(float(np.median(mean[valid] / truth[valid])))
    assert len(seen) >= 5  # elsewhere it was cloudy, or night
    assert np.median(np.abs(np.array(seen) - 1)) < 0.01  # noise, and footprints that are far larger than pixels


def test_where_no_footprint_reaches_there_is_nodata_and_a_count_of_none(july):
    scenes, paths = july
    dataset = load_dataset("ssl4eo-s")
    spec, arrays = dataset.specs["s5p-o3"], dataset.arrays["s5p-o3"]
    with Swaths("") as swaths:
        found, used = swathgrid.pixels(
            swaths, spec, arrays, cell(100, 10), scenes, lambda s: {"data": Asset(str(paths[s.id]), "none")}
        )
    assert used == []
    assert (found["s5p-o3_28px"] == -32768).all()
    assert (found["s5p-o3_count_28px"] == 0).all()
    assert (found["s5p-o3_qa_28px"] == -32768).all()


def test_what_two_versions_of_the_processor_made_is_never_of_one_mean(july):
    scenes, paths = july
    dataset = load_dataset("ssl4eo-s")
    spec, arrays = dataset.specs["s5p-o3"], dataset.arrays["s5p-o3"]
    two = [dataclasses.replace(s, version=v) for s, v in zip(scenes, ("02.03.01", "02.04.00"), strict=False)]
    with Swaths("") as swaths, pytest.raises(ValueError, match=r"\['02.03.01', '02.04.00'\], expected one"):
        swathgrid.pixels(swaths, spec, arrays, cell(-100, 40), two, lambda s: {"data": Asset(str(paths[s.id]), "none")})


@pytest.mark.parametrize(
    ("version", "least"),
    [("01.03.02", 0.5), ("02.03.99", 0.5), ("2.4.0", 0.8), ("02.10.00", 0.8), ("00.09.00", 0.8), (None, 0.8)],
)
def test_the_threshold_is_that_of_the_version_and_of_an_unknown_one_the_strictest(version, least):
    limits = [QualityLimit(since=v, least=q, source="a manual") for v, q in (("01.00.00", 0.5), ("02.04.00", 0.8))]
    kind = load_dataset("ssl4eo-s").specs["s5p-o3"].kind.model_copy(update={"min_quality": limits})
    own = {"geometry": shapely.Point(0, 0), "hrefs": {}, "version": version}
    one = Scene("a", "s5p-o3", dt.datetime(2021, 7, 1, tzinfo=dt.UTC), **own)
    assert swathgrid.least_quality(kind, [one, one]) == least
    assert swathgrid.least_quality(kind, []) == 0.8


@pytest.mark.parametrize(
    ("lon", "utc", "day"),
    [
        (-157, "2021-07-01T23:40", 1),
        (-157, "2021-07-02T01:20", 1),
        (179, "2021-07-02T01:30", 2),
        (0, "2021-07-01T13:30", 1),
    ],
)
def test_a_day_is_that_of_the_sun_over_the_place(lon, utc, day):
    own = {"geometry": shapely.Point(0, 0), "hrefs": {}}
    one = Scene("a", "s5p-o3", dt.datetime.fromisoformat(f"{utc}:00+00:00"), **own)
    assert swathgrid._day(one, cell(lon, 20)) == dt.date(2021, 7, day)


def test_a_cells_id_is_its_place_among_the_nodes():
    assert era5_cells.number("era5-0906994") == 906994
