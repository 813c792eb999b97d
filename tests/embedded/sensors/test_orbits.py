"""Sentinel-5P files: their structure against real ones, their pixels against the truth, how they are found and served."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from collections import Counter

import h5py
import numpy as np
import pystac_client
import pytest
import requests
import shapely

from curation.embedded.archive.archive import Archive, Key
from curation.embedded.sensors import columns, level2, orbits
from curation.embedded.service import items
from curation.embedded.world import sphere
from curation.embedded.world.world import CELLS, TRACKS

JULY = ("africa-europe", "2021-07-15")
"""The orbit that is there in every mode."""

REAL = {"no2": "NO2", "co": "CO", "so2": "SO2", "o3": "O3", "ch4": "CH4", "hcho": "HCHO", "aer-ai": "AER_AI"}


@pytest.fixture(scope="module")
def archive(earth) -> Archive:
    """The server's own cache: what either renders, the other finds."""
    return Archive(earth.cache)


def _files(product: str, track: str, date: str) -> list[columns.File5]:
    wanted = (product, track, date)
    return [f for f in columns.files() if (f.product.name, f.orbit.acquired.track, f.orbit.acquired.date) == wanted]


def _key(file: columns.File5) -> Key:
    return Key(orbits.COLLECTION, file.id, file.id)


def _open(archive: Archive, file: columns.File5) -> h5py.File:
    return h5py.File(archive.path(_key(file)))


def _offline(product: str) -> columns.File5:
    (file,) = _files(product, "americas", "2021-06-20")
    return file


# ---- structure


def _groups(file: h5py.File) -> set[str]:
    """Paths of its groups, down to the third level, without numbered ones."""
    found: list[str] = []
    file.visititems(lambda name, at: found.append(name) if isinstance(at, h5py.Group) else None)
    return {name for name in found if name.count("/") < 3 and "#" not in name}


def _kind(attribute: h5py.h5a.AttrID) -> str:
    # One real text (with letters beyond ASCII) is of any length.
    return "text" if attribute.dtype.kind in "SO" else attribute.dtype.str


def _real(shared, product: str) -> h5py.File:
    pattern = f"S5P_OFFL_L2__{REAL[product].ljust(6, '_')}_2*.nc"
    (path,) = (shared / "data/stactools-sentinel5p").glob(pattern)
    return h5py.File(path)


@pytest.mark.parametrize("product", REAL)
@pytest.mark.slow
def test_groups_dimensions_and_attributes_are_those_of_the_real_product(shared, archive, product):
    with _real(shared, product) as real, _open(archive, _offline(product)) as ours:
        # Real metadata have more than what says which file it is: settings, contacts, lineage.
        wanted = _groups(real) - {"METADATA/ALGORITHM_SETTINGS"}
        wanted = {name for name in wanted if not name.startswith("METADATA/ISO_METADATA/")}
        assert wanted <= _groups(ours)
        sizes = {name: scale.shape[0] for name, scale in real["PRODUCT"].items()}
        chosen = {"scanline": orbits.ROWS, "ground_pixel": columns.by_name(product).pixels}
        assert {name: ours["PRODUCT"][name].shape[0] for name in sizes} == sizes | chosen
        trivia = ("cpp_", "f90_", "build_", "revision_", "Status_", "exe_", "_NC", "cloud_mode", "date_modified")
        names = {name for name in real.attrs if not name.startswith(trivia)}
        assert names <= set(ours.attrs)
        for name in names:
            assert _kind(ours.attrs.get_id(name)) == _kind(real.attrs.get_id(name)), name
        for path in ("METADATA/EOP_METADATA/eop:metaDataProperty", "METADATA/GRANULE_DESCRIPTION"):
            missing = set(real[path].attrs) - set(ours[path].attrs) - {"CalibrationOrbit"}
            assert missing == set(), path


@pytest.mark.parametrize("product", REAL)
def test_every_variable_is_one_that_the_real_product_has(shared, archive, product):
    folder = shared / "data/eometadatatool-cdse/sentinel-5p/example"
    found = sorted(folder.glob(f"S5P_????_L2__{REAL[product].ljust(6, '_')}_2*.json"))
    real = json.loads(found[-1].read_text())["properties"]["cube:variables"]
    with _open(archive, _offline(product)) as ours:
        seen = set()

        def check(name: str, at: h5py.Group | h5py.Dataset) -> None:
            bare = isinstance(at, h5py.Group) or b"not a netCDF variable" in at.attrs.get("NAME", b"")
            if not name.startswith("PRODUCT") or bare:
                return
            short = name.split("/")[-1]
            said = real[short]
            seen.add(short)
            axes = [d[0].name.split("/")[-1] if len(d) else short for d in at.dims]
            assert axes == said["dimensions"], name
            kind = {"other": "O" if short == "time_utc" else "f4"}.get(said["data_type"], said["data_type"])
            assert at.dtype == np.dtype(kind), name
            if "nodata" in said and said["nodata"] is not None:
                assert at.attrs["_FillValue"][0] == np.dtype(kind).type(said["nodata"]), name
                assert at.is_scale or at.fillvalue == at.attrs["_FillValue"][0]
            unit = at.attrs.get("units", b"").decode()
            if short not in ("time", "delta_time"):
                assert unit == said.get("unit", unit if unit in ("", "1") else None), name

        ours.visititems(check)
        column = columns.by_name(product).variable
        assert {
            "latitude",
            "longitude",
            "latitude_bounds",
            "qa_value",
            column,
            columns.by_name(product).precision,
        } <= seen


def test_attributes_of_a_column_are_those_of_a_real_file(shared, archive):
    with h5py.File(shared / "data/emissions-api/test.nc") as real, _open(archive, _offline("co")) as ours:
        for name in ("latitude", "longitude", "qa_value", "carbonmonoxide_total_column", "delta_time"):
            a, b = real["PRODUCT"][name], ours["PRODUCT"][name]
            assert a.dtype == b.dtype
            assert a.fillvalue == b.fillvalue
            for key in set(a.attrs) - {"DIMENSION_LIST", "_Netcdf4Coordinates"}:
                key = key.rstrip("_")  # two of them were renamed on the way
                if name == "delta_time" and key == "units":
                    continue  # it has the date
                value = a.attrs[key if key in a.attrs else f"{key}_"]
                assert np.array_equal(b.attrs[key], value), (name, key)


def test_xarray_opens_it(archive):
    import xarray as xr

    path = archive.path(_key(_offline("no2")))
    with xr.open_dataset(path, group="PRODUCT", engine="h5netcdf") as product:
        assert set(product.sizes) == {"time", "scanline", "ground_pixel", "corner"}
        assert float(product.qa_value.max()) == pytest.approx(1)
        first = product.delta_time.values[0, 0].astype("datetime64[s]").astype(dt.datetime)
        assert first.replace(tzinfo=dt.UTC) == _offline("no2").orbit.time(0).replace(microsecond=0)


# ---- where the pixels are


def _placed(archive: Archive, file: columns.File5) -> tuple[np.ndarray, ...]:
    with _open(archive, file) as at:
        bounds = at["PRODUCT/SUPPORT_DATA/GEOLOCATIONS"]
        names = ("latitude", "longitude")
        out = [at["PRODUCT"][n][0].astype(float) for n in names]
        return (*out, *(bounds[f"{n}_bounds"][0].astype(float) for n in names))


def test_the_swath_is_as_wide_as_tropomis_and_its_pixels_grow_outwards(archive):
    lat, lon, lat_bounds, lon_bounds = _placed(archive, _offline("so2"))
    row = next(r for r in range(600, 700) if (lat[r] < 1e30).all())
    at = sphere.vector(lon[row], lat[row])
    step = np.degrees(np.arccos(np.clip((at[1:] * at[:-1]).sum(-1), -1, 1))) * sphere.KM_PER_DEG
    assert step.sum() == pytest.approx(2600, rel=0.03)
    middle = len(step) // 2
    assert step[middle] == pytest.approx(7, rel=0.05)
    assert step[0] > 4 * step[middle]
    corners = sphere.vector(lon_bounds[row], lat_bounds[row])
    off = np.degrees(np.arccos(np.clip((sphere.unit(corners.mean(1)) * at).sum(-1), -1, 1))) * sphere.KM_PER_DEG
    assert off[5:-5].max() < 0.3


def test_corners_are_shared_run_counter_clockwise_and_enclose_the_centre(archive):
    lat, lon, lat_bounds, lon_bounds = _placed(archive, _offline("no2"))
    known = lat < 1e30
    assert np.array_equal(known, lon < 1e30)
    assert np.array_equal(known, (lat_bounds < 1e30).all(-1))
    both = known[:, :-1] & known[:, 1:]
    for bounds in (lat_bounds, lon_bounds):
        assert np.array_equal(bounds[:, :-1, 1][both], bounds[:, 1:, 0][both])
        assert np.array_equal(bounds[:, :-1, 2][both], bounds[:, 1:, 3][both])
    corners = sphere.vector(lon_bounds[known], lat_bounds[known])
    centre = sphere.vector(lon[known], lat[known])
    for a, b in itertools.pairwise((0, 1, 2, 3, 0)):
        assert (np.cross(corners[:, a], corners[:, b]) * centre).sum(-1).min() > 0


@pytest.mark.slow
@pytest.mark.parametrize("track", TRACKS, ids=lambda t: t.name)
def test_every_orbit_sees_every_cell_of_its_track(track):
    for acquired in orbits.PASSES:
        if acquired.track == track.name:
            file = next(f for f in columns.files() if f.orbit.acquired == acquired and f.mode != "NRTI")
            at = orbits.swath(file.orbit, 215)
            pixels = sphere.vector(at.lon, at.lat).reshape(-1, 3)
            for lon, lat in track.cells:
                near = float(np.degrees(np.arccos((pixels @ sphere.vector(float(lon), float(lat))).max())))
                assert near * sphere.KM_PER_DEG < 16, (acquired, lon, lat)


def test_footprints_are_valid_and_hold_every_pixel():
    for track in TRACKS:
        acquired = next(a for a in orbits.PASSES if a.track == track.name)
        whole = orbits.whole(acquired)
        for orbit in (whole, *orbits.pieces(acquired)):
            shape = orbits.footprint(orbit)
            assert shape.is_valid
            at = orbits.swath(orbit, 215)
            inside = shapely.contains_xy(shape.buffer(0.02), at.lon, at.lat)
            # Straight lines in degrees are not the swath's edge where meridians meet.
            assert inside.mean() > 0.99
            assert inside[np.abs(at.lat) < 80].all()
        pole = orbits.footprint(whole)
        assert all(pole.covers(shapely.Point(lon, 89.9)) for lon in (-179, -90, 0, 90, 179))


# ---- what they hold


@pytest.mark.parametrize("product", ["no2", "co", "so2", "o3"])
def test_what_is_good_enough_is_the_truth_and_noise(archive, product):
    file = _offline(product)
    about = file.product
    lat, lon, *_ = _placed(archive, file)
    with _open(archive, file) as at:
        column, quality = at["PRODUCT"][about.variable][0], at["PRODUCT/qa_value"][0]
        precision = at["PRODUCT"][f"{about.variable}_precision"][0]
    assert set(np.unique(quality)) <= set(range(101))
    good = (column < 1e30) & (lat < 1e30) & (quality >= about.min_quality)
    assert good.mean() > 0.4
    residual = (column[good] - columns.truth(product, lon[good], lat[good], dt.date(2021, 6, 20))) / precision[good]
    assert abs(residual.mean()) < 5 / np.sqrt(good.sum()) + 0.01
    assert residual.std() == pytest.approx(1, abs=0.03)
    assert np.abs(residual).max() < 6.5
    if product in ("no2", "so2"):
        assert 0.02 < (column[good] < 0).mean() < 0.6
    # What is missing: retrievals, and places.
    assert 0.002 < (column[lat < 1e30] > 1e30).mean() < 0.3
    assert 10 < (lat > 1e30).sum() < 200
    assert ((lat > 1e30) & (column < 1e30) & (quality == 100)).any()
    assert ((column > 1e30) & (quality == 100)).any()
    # Clouds hide it: bad quality reads low.
    bad = (column < 1e30) & (lat < 1e30) & (quality < about.min_quality)
    if product in ("co", "o3"):
        share = column[bad] / columns.truth(product, lon[bad], lat[bad], dt.date(2021, 6, 20))
        assert np.median(share) == pytest.approx(0.4, abs=0.02)


def test_plumes_move_with_the_months_and_some_cells_have_none():
    months = [dt.date(2021, m, 15) for m in range(1, 13)]
    cell = columns.PLUMES[3]
    centres = [columns.plume_centre(cell, m) for m in months]
    assert len(set(centres)) == 12
    lon, lat = CELLS[cell]
    x, y = np.meshgrid(lon + np.linspace(-0.125, 0.125, 57), lat + np.linspace(-0.125, 0.125, 57))
    for month, centre in zip(months, centres, strict=True):
        seen = columns.truth("so2", x, y, month)
        peak = np.unravel_index(seen.argmax(), seen.shape)
        assert (x[peak], y[peak]) == pytest.approx(centre, abs=0.006)
    without = next(k for k in range(len(CELLS)) if k not in columns.PLUMES)
    at = (np.array(float(v)) for v in CELLS[without])
    assert columns.truth("so2", *at, months[0]) < columns.by_name("so2").field.plume / 20
    # The same all month, on both sides of the antimeridian, and whatever turn a longitude is given in.
    here = (np.array([179.99, -180.01]), np.array([67.5, 67.5]))
    a = columns.truth("no2", *here, dt.date(2021, 5, 1))
    assert a[0] == pytest.approx(a[1])
    assert np.array_equal(a, columns.truth("no2", *here, dt.date(2021, 5, 31)))


@pytest.mark.slow
def test_only_the_best_mode_of_an_orbit_is_right(archive):
    files = {(f.mode, f.orbit.first): f for f in _files("co", *JULY)}
    assert Counter(mode for mode, _ in files) == {"RPRO": 1, "OFFL": 1, "NRTI": 3}
    assert len({f.orbit.number for f in files.values()}) == 1
    for (mode, _), file in files.items():
        lat, lon, *_ = _placed(archive, file)
        with _open(archive, file) as at:
            column, quality = at["PRODUCT"][file.product.variable][0], at["PRODUCT/qa_value"][0]
            assert (
                at["METADATA/EOP_METADATA/eop:metaDataProperty/eop:processing"].attrs["eop:processingMode"].decode()
                == mode
            )
        good = (column < 1e30) & (lat < 1e30) & (quality >= 50)
        ratio = column[good] / columns.truth("co", lon[good], lat[good], dt.date(2021, 7, 15))
        assert ratio.mean() == pytest.approx(columns.WRONG[mode], rel=0.01)


def test_a_piece_is_the_same_swath_as_its_orbit(archive):
    files = _files("co", *JULY)
    whole, piece = next(f for f in files if f.mode == "RPRO"), next(f for f in files if f.mode == "NRTI")
    rows = slice(piece.orbit.first, piece.orbit.first + piece.orbit.count)
    assert np.array_equal(orbits.swath(whole.orbit, 215).lon[rows], orbits.swath(piece.orbit, 215).lon)
    assert whole.orbit.time(piece.orbit.first) == piece.orbit.time(0)


def test_months_differ_in_how_many_orbits_they_have():
    months = {t.name: Counter(a.date[:7] for a in orbits.PASSES if a.track == t.name) for t in TRACKS}
    assert all("2021-11" not in counted for counted in months.values())
    assert "2021-04" not in months["africa-europe"]
    assert {1, 2, 3} <= set(months["africa-europe"].values())
    for file in columns.files():
        # No orbit is so near to midnight that its parts lie in two months.
        assert file.orbit.time(0).month == file.orbit.time(file.orbit.count).month == int(file.orbit.acquired.date[5:7])
    assert len({f.id for f in columns.files()}) == len(columns.files())


# ---- how they are found and served


@pytest.fixture(scope="module")
def of_june() -> dict[str, np.ndarray]:
    """Each NO2 file of June by its id → where its pixels are, as vectors."""
    files = [f for f in columns.files() if (f.product.name, f.orbit.acquired.date[:7]) == ("no2", "2021-06")]
    swaths = ((f.id, orbits.swath(f.orbit, 215)) for f in files)
    return {i: sphere.vector(at.lon, at.lat) for i, at in swaths if at is not None}


@pytest.mark.parametrize(
    ("cell", "box"),
    [
        ((-180, 67.5), (179.9, 67.4, -179.9, 67.6)),
        ((-180, -16.75), (179.875, -16.875, -179.875, -16.625)),
        ((16, 78), (15.875, 77.875, 16.125, 78.125)),
        ((-60, -3), (-60.125, -3.125, -59.875, -2.875)),
    ],
)
def test_search_finds_the_orbits_that_see_a_cell(earth, of_june, cell, box):
    client = pystac_client.Client.open(earth.url)
    query = {"s5p:product_name": {"eq": "no2"}}
    found = client.search(
        collections=[orbits.COLLECTION], bbox=box, datetime="2021-06-01/2021-06-30", query=query, limit=100
    ).items_as_dicts()
    found = {item["id"] for item in found}
    lon, lat = (float(v) for v in cell)
    nearest = {i: np.degrees(np.arccos((seen @ sphere.vector(lon, lat)).max())) for i, seen in of_june.items()}
    wanted = {i for i, deg in nearest.items() if deg < 0.13}
    assert found == wanted
    assert found


def test_no_orbit_in_november(earth):
    client = pystac_client.Client.open(earth.url)
    found = client.search(collections=[orbits.COLLECTION], datetime="2021-11-01/2021-11-30", limit=10)
    assert list(found.items_as_dicts()) == []


@pytest.mark.slow
def test_items_are_as_the_planetary_computer_has_them(shared):
    path = shared / "data/stactools-sentinel5p/examples"
    for item in items.all_items():
        if item["collection"] != orbits.COLLECTION:
            continue
        name = item["properties"]["s5p:product_name"]
        (example,) = path.glob(f"S5P_OFFL_L2__{REAL[name].ljust(6, '_')}_20200303*.json")
        real = json.loads(example.read_text())
        assert set(item["assets"]) == set(real["assets"]) == {name}
        assert set(real["properties"]) - {"providers"} <= set(item["properties"])
        same = (
            "s5p:product_type",
            "s5p:product_name",
            "platform",
            "constellation",
            "instruments",
            f"s5p:{name.replace('-', '_')}",
        )
        for key in same:
            assert item["properties"].get(key) == real["properties"].get(key), key
        for key in ("type", "title", "description"):
            assert item["assets"][name][key] == real["assets"][name][key]


def test_ranges_of_a_file_are_served_and_its_bytes_are_always_the_same(earth, tmp_path):
    piece = next(f for f in _files("no2", *JULY) if f.mode == "NRTI")
    href = f"{earth.url.removesuffix('/stac')}/archive/{_key(piece).path}"
    whole = requests.get(href, timeout=60)
    assert whole.headers["content-type"] == "application/x-netcdf"
    part = requests.get(href, headers={"Range": "bytes=8-4103"}, timeout=30)
    assert part.status_code == 206
    assert part.content == whole.content[8:4104]
    assert part.headers["etag"] == whole.headers["etag"]
    level2.write(tmp_path / "again.nc", piece)
    assert (tmp_path / "again.nc").read_bytes() == whole.content
    assert requests.get(href.replace(".nc", ".tif"), timeout=30).status_code == 404
