"""Sentinel-3 OLCI granules: their files' structure, their pixels against the truth, and how they are found."""

from __future__ import annotations

import datetime as dt
import itertools
from collections import Counter

import h5py
import numpy as np
import pystac_client
import pytest
import shapely

from curation.embedded.archive.archive import Archive, Key
from curation.embedded.sensors import olci
from curation.embedded.service import items
from curation.embedded.world import sphere
from curation.embedded.world.world import CELLS


@pytest.fixture(scope="module")
def archive(earth) -> Archive:
    """The server's own cache: what either renders, the other finds."""
    return Archive(earth.cache)


def _of(cell: tuple[float, float], month: str) -> list[olci.Granule]:
    return [g for g in olci.granules() if CELLS[g.cell] == cell and f"{g.start:%Y-%m}" == month]


def _read(archive: Archive, granule: olci.Granule, name: str, variable: str) -> np.ndarray:
    """Its values with scale and offset applied, NaN where they are fill; flags as they are."""
    with h5py.File(archive.path(Key(olci.COLLECTION, granule.id, name))) as file:
        at = file[variable]
        raw = at[:]
        if variable == "quality_flags":
            return raw
        out = raw * at.attrs.get("scale_factor", [1.0])[0].astype(float) + at.attrs.get("add_offset", [0.0])[0]
        return np.where(raw == at.attrs["_FillValue"][0], np.nan, out)


CLOUDY = _of((9, 46.5), "2021-07")[0]


def test_files_are_those_of_the_product(archive):
    dimensions = ("rows", "columns")
    for name in olci.FILES:
        with h5py.File(archive.path(Key(olci.COLLECTION, CLOUDY.id, name))) as file:
            held = [n for n in file if n not in dimensions]
            for variable in held:
                assert tuple(d[0].name.strip("/") for d in file[variable].dims) == dimensions
                assert file[variable].shape == (olci.SIZE, olci.SIZE)
            kinds = {n: file[n].dtype for n in held}
            if name == olci.GEOLOCATION:
                assert kinds == {"altitude": np.int16, "latitude": np.int32, "longitude": np.int32}
                assert file["latitude"].attrs["scale_factor"][0] == 1e-6
            elif name == olci.QUALITY:
                assert kinds == {"quality_flags": np.uint32}
                attributes = file["quality_flags"].attrs
                meanings = attributes["flag_meanings"].decode().split()
                masks = dict(zip(meanings, attributes["flag_masks"].tolist(), strict=True))
                assert len(masks) == 32
                # As the product's users know them.
                assert masks["land"] == 2**31
                assert masks["bright"] == 2**27
                assert masks["invalid"] == 2**25
                assert masks["sun-glint_risk"] == 2**22
                assert masks["saturated@Oa01"] == 2**20
                assert masks["saturated@Oa21"] == 1
            else:
                assert kinds == {name: np.uint16}
                attributes = file[name].attrs
                assert attributes["units"] == b"mW.m-2.sr-1.nm-1"
                assert attributes["_FillValue"][0] == 65535
                assert {"scale_factor", "add_offset", "long_name", "standard_name"} <= set(attributes)
            assert file.attrs["product_name"].decode() == f"{CLOUDY.id}.SEN3"


def test_xarray_opens_them(archive):
    import xarray as xr

    path = archive.path(Key(olci.COLLECTION, CLOUDY.id, "Oa08_radiance"))
    with xr.open_dataset(path, engine="h5netcdf") as file:
        assert file["Oa08_radiance"].dims == ("rows", "columns")
        assert float(file["Oa08_radiance"].max()) < 600


@pytest.mark.slow
def test_a_frame_is_turned_as_its_track_is_and_its_pixels_are_300_m(archive):
    for granule in (CLOUDY, _of((-180, 67.5), "2021-07")[0], _of((16, 78), "2021-07")[0]):
        lat, lon = (_read(archive, granule, olci.GEOLOCATION, n) for n in ("latitude", "longitude"))
        at = sphere.vector(lon, lat)
        for a, b in ((at[1:], at[:-1]), (at[:, 1:], at[:, :-1])):
            step = 2 * np.arcsin(np.linalg.norm(a - b, axis=-1) / 2) * sphere.RADIUS_KM
            assert step == pytest.approx(0.3, rel=1e-2)
        # Southwards and to the west, the more so the farther north.
        east, north = sphere.offset_km(lon[-1, 90], lat[-1, 90], (float(lon[0, 90]), float(lat[0, 90])))
        heading = np.degrees(np.arctan2(-east, -north))
        assert 8 < heading < 60
        assert heading > 40 or granule.centre[1] < 75
        assert olci.footprint(granule).is_valid


@pytest.mark.parametrize("band", ["Oa01", "Oa08", "Oa13", "Oa17", "Oa21"])
def test_clear_pixels_are_the_truth_and_noise(archive, band):
    lat, lon = (_read(archive, CLOUDY, olci.GEOLOCATION, n) for n in ("latitude", "longitude"))
    flags = _read(archive, CLOUDY, olci.QUALITY, "quality_flags")
    radiance = _read(archive, CLOUDY, f"{band}_radiance", f"{band}_radiance")
    away = olci.BIT["invalid"] | olci.BIT["sun-glint_risk"] | olci.BIT["bright"]
    clear = (flags & away) == 0
    assert 0.3 < clear.mean() < 1
    residual = radiance[clear] - olci.truth(band, lon, lat, CLOUDY.start)[clear]
    assert residual.std() == pytest.approx(olci.NOISE, rel=0.1)
    assert abs(residual.mean()) < 0.002
    invalid = (flags & olci.BIT["invalid"]) > 0
    assert np.array_equal(invalid, np.isnan(radiance))
    assert invalid.any()
    bright = (flags & olci.BIT["bright"]) > 0
    if band == "Oa08":
        assert np.nanmean(radiance[bright]) > 1.5 * radiance[clear].mean()


@pytest.mark.slow
def test_items_say_how_bright_they_are(archive):
    every = {i["id"]: i for i in items.all_items() if i["collection"] == olci.COLLECTION}
    for granule in (CLOUDY, *_of((10, 25), "2021-04"), *_of((-66, 53), "2021-02")):
        flags = _read(archive, granule, olci.QUALITY, "quality_flags")
        bright = 100 * ((flags & olci.BIT["bright"]) > 0).mean()
        assert every[granule.id]["properties"]["statistics"]["bright"] == pytest.approx(bright, abs=5)


def test_which_cells_have_granules_in_which_season():
    counted = Counter((CELLS[g.cell], f"{g.start:%Y-%m}") for g in olci.granules())
    assert len({g.id for g in olci.granules()}) == len(olci.granules())
    assert set(counted.values()) == {1, 2}
    assert {cell for cell, _ in counted} == set(CELLS) - {olci.WITHOUT}
    # Where the sun is too low there is none.
    for lon, lat in CELLS:
        if lat > 65:
            assert ((lon, lat), "2021-02") not in counted
        if lat < -60:
            assert ((lon, lat), "2021-07") not in counted
        if abs(lat) < 50 and (lon, lat) != olci.WITHOUT:
            assert all(((lon, lat), f"2021-{m}") in counted for m in ("02", "04", "07", "10"))
    assert [g.cover for g in _of(*olci.OVERCAST)] == [1.0]


def test_granules_hold_their_cells_but_for_some():
    part = []
    for granule in olci.granules():
        lon, lat = CELLS[granule.cell]
        # In kilometres around the cell, so that no meridian is in the way.
        side = np.linspace(0, olci.SIZE, 20)
        edge = np.concatenate([side[:-1], np.full(19, side[-1]), side[:0:-1], np.zeros(19)])
        frame = shapely.Polygon(
            np.stack(sphere.offset_km(*olci.placed(granule, np.roll(edge, 19), edge), (lon, lat)), axis=1)
        )
        half = 0.125 * sphere.KM_PER_DEG
        cell = shapely.box(-half * np.cos(np.radians(lat)), -half, half * np.cos(np.radians(lat)), half)
        part.append(frame.intersection(cell).area / cell.area)
    assert (np.array(part) > 0.995).mean() > 0.8
    assert 0.2 < min(part) < 0.95


@pytest.mark.parametrize(
    ("cell", "box"),
    [
        ((-180, 67.5), (179.875, 67.375, -179.875, 67.625)),
        ((-180, -16.75), (179.875, -16.875, -179.875, -16.625)),
        ((25, -31), (24.875, -31.125, 25.125, -30.875)),
    ],
)
def test_search_finds_a_cells_granules(earth, cell, box):
    client = pystac_client.Client.open(earth.url)
    wanted = {g.id for g in olci.granules() if CELLS[g.cell] == cell}
    found = list(client.search(collections=[olci.COLLECTION], bbox=box, limit=100).items_as_dicts())
    assert wanted <= {item["id"] for item in found}
    others = {item["id"] for item in found} - wanted
    near = {k for k, (lon, lat) in enumerate(CELLS) if lat == cell[1]}
    assert {g.cell for g in olci.granules() if g.id in others} <= near
    for item in found:
        assert len(item["assets"]) == 23
        assert {"Oa01_radianceData", "Oa21_radianceData", "geo-coordinates", "quality-flags"} <= set(item["assets"])
        assert item["assets"]["geo-coordinates"]["href"].endswith("/geo_coordinates.nc")


def test_nothing_of_the_cell_without_and_nothing_in_polar_night(earth):
    client = pystac_client.Client.open(earth.url)
    lon, lat = olci.WITHOUT
    box = (lon - 0.125, lat - 0.125, lon + 0.125, lat + 0.125)
    assert list(client.search(collections=[olci.COLLECTION], bbox=box).items_as_dicts()) == []
    winter = client.search(collections=[olci.COLLECTION], bbox=(-180, 66, 180, 80), datetime="2020-12-01/2021-02-28")
    assert list(winter.items_as_dicts()) == []


def test_writing_again_gives_the_same_bytes(archive, tmp_path):
    olci.write({name: tmp_path / f"{name}.nc" for name in olci.FILES}, CLOUDY)
    for name in olci.FILES:
        there = archive.path(Key(olci.COLLECTION, CLOUDY.id, name)).read_bytes()
        assert (tmp_path / f"{name}.nc").read_bytes() == there


def test_the_truth_does_not_jump_at_the_antimeridian():
    time = dt.datetime(2021, 7, 12, 22, tzinfo=dt.UTC)
    lon = np.array([179.99999, -179.99999, 180.00001])
    values = [olci.truth("Oa08", lon, np.full(3, lat), time) for lat in (67.5, -16.75)]
    for a, b in itertools.product(values, range(1, 3)):
        assert a[0] == pytest.approx(a[b], rel=1e-3)
