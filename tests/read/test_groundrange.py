"""Images in ground range on a grid: places by GDAL and by the geometry that made them, power by the rule that made it."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import GCPTransformer

from curation.errors import ReadError
from curation.model import Location
from curation.places import grid
from curation.read import annotation, groundrange
from curation.read.reader import Asset, Reader
from curation.read.sparse import BrokenError
from tests import grd

X, Y = 358_500, 6_032_940
NODATA = -32768.0


def location(x: float = X - 600, y: float = Y + 600, size_m: float = 1200, epsg: int = 32632) -> Location:
    lon, lat = grid.transformer(epsg, 4326).transform(x + size_m / 2, y - size_m / 2)
    return Location("here", lon, lat, epsg, x, y, size_m, "test")


def middles(place: Location, px: int) -> tuple[np.ndarray, np.ndarray]:
    step = place.size_m / px
    return np.meshgrid(
        place.x0_m + (np.arange(px) + 0.5) * step, place.y0_m - (np.arange(px) + 0.5) * step, indexing="xy"
    )


def sloping(scene: grd.Scene) -> grd.Scene:
    """The same of ground that rises along the flight alone, as tie points know it."""
    start, _, flight = scene._axes()

    def height(x, y):
        return 150 + 0.01 * ((x - start[0]) * flight[0] + (y - start[1]) * flight[1])

    return dataclasses.replace(scene, height_m=height, tie_m=lambda i: 150 + 0.1 * i)


@pytest.fixture(scope="module")
def scene() -> grd.Scene:
    return sloping(grd.Scene(X, Y))


@pytest.fixture(scope="module")
def files(scene: grd.Scene, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return scene.write(tmp_path_factory.mktemp("grd"))


def read(files: dict[str, Path], place: Location, px: int, band: str = "VV", moved_m: float = 0.0) -> np.ndarray:
    name = band.lower()
    with Reader("") as reader:
        of = {kind: Asset(str(files[f"schema-{kind}-{name}"]), "none") for kind in ("calibration", "noise")}
        calibration = reader.parsed(of["calibration"], annotation.calibration, band, annotation.MOST_BYTES)
        noise = reader.parsed(of["noise"], annotation.noise, band, annotation.MOST_BYTES)

        def use(raster):
            where = groundrange.placed(groundrange.tie_points(raster), place, place.size_m / px)
            where = where.moved(np.full(where.rows.shape, moved_m))
            return groundrange.sigma0(raster, 1, where, calibration, noise, NODATA)

        return reader.opened(Asset(str(files[name]), "none"), use)


@pytest.mark.parametrize("band", ["VV", "VH"])
def test_a_pixel_is_of_the_ground_that_it_says_and_calibrated_by_its_own_line_and_sample(scene, files, band):
    place = location()
    found = read(files, place, 120, band)
    true = scene.sigma0(band, *middles(place, 120))
    np.testing.assert_allclose(found, true, rtol=0.03)
    assert abs((found / true).mean() - 1) < 0.003


def test_coarser_pixels_are_means_of_what_lies_in_them(scene, files):
    place = location()
    found = read(files, place, 24)
    fine = scene.sigma0("VV", *middles(place, 240)).reshape(24, 10, 24, 10).mean(axis=(1, 3))
    np.testing.assert_allclose(found, fine, rtol=0.01)


def test_places_are_those_of_gdal_s_spline_through_points_half_a_sample_on(scene, files):
    place = location()
    x, y = middles(place, 120)
    with rasterio.open(files["vv"]) as file:
        points, _ = file.gcps
    to_utm = grid.transformer(4326, 32632)
    shifted = [
        rasterio.control.GroundControlPoint(p.row + 0.5, p.col + 0.5, *to_utm.transform(p.x, p.y)) for p in points
    ]
    with GCPTransformer(shifted, tps=True) as spline:
        rows, cols = (np.reshape(v, x.shape) for v in spline.rowcol(x.ravel(), y.ravel(), op=lambda v: v))
    with Reader("") as reader:
        where = reader.opened(
            Asset(str(files["vv"]), "none"),
            lambda r: groundrange.placed(groundrange.tie_points(r), place, place.size_m / 120),
        )
    np.testing.assert_allclose(where.rows, rows, atol=0.01)
    np.testing.assert_allclose(where.cols, cols, atol=0.01)
    # And those of the geometry: the height of the spline is that of the line.
    np.testing.assert_allclose(where.height_m, scene.height_m(x, y), atol=0.2)
    assert where.samples_per_m == pytest.approx(0.1, rel=2e-3)


def test_pixels_that_reach_beyond_a_place_are_those_of_a_larger_one(files):
    larger = location()
    place = dataclasses.replace(larger, size_m=larger.size_m - 5)
    with Reader("") as reader:
        points = reader.opened(Asset(str(files["vv"]), "none"), groundrange.tie_points)
    found, want = (groundrange.placed(points, p, 10) for p in (place, larger))
    assert found.rows.shape == want.rows.shape
    np.testing.assert_allclose(found.rows, want.rows, atol=0.01)
    np.testing.assert_allclose(found.cols, want.cols, atol=0.01)


def test_tie_points_of_a_recorded_product_reach_from_the_middle_of_its_first_sample_to_that_of_its_last(shared):
    # Decimated by 20: half a sample of the product is a fortieth of one here.
    (path,) = (shared / "data/rio-tiler-pds/sentinel-s1-l1c/GRD/2018").glob("**/iw-vv.tiff")
    with Reader("") as reader:
        points = reader.opened(Asset(str(path), "none"), groundrange.tie_points)
    table = np.array(points.points)
    assert len(table) == 210
    assert (
        table[:, 0].min()
        == pytest.approx(points.height - table[:, 0].max(), abs=1e-9)
        == pytest.approx(0.025, abs=1e-3)
    )
    assert (
        table[:, 1].min() == pytest.approx(points.width - table[:, 1].max(), abs=1e-9) == pytest.approx(0.025, abs=1e-3)
    )
    heights = table[:, 4].reshape(10, 21)
    assert np.ptp(heights, axis=1).max() < 0.2, "a line has one height"
    assert np.ptp(heights[:, 0]) > 400


@pytest.mark.parametrize("epsg", [32643, 32644])
def test_the_recorded_product_s_tie_points_are_found_again_from_either_zone(shared, epsg):
    (path,) = (shared / "data/rio-tiler-pds/sentinel-s1-l1c/GRD/2018").glob("**/iw-vv.tiff")
    with rasterio.open(path) as file:
        point = file.gcps[0][94]
    x, y = grid.transformer(4326, epsg).transform(point.x, point.y)
    place = location(x - 300, y + 300, 600, epsg)
    with Reader("") as reader:
        where = reader.opened(
            Asset(str(path), "none"), lambda r: groundrange.placed(groundrange.tie_points(r), place, place.size_m / 61)
        )
    assert where.rows[30, 30] - 0.025 == pytest.approx(point.row, abs=2e-3)
    assert where.cols[30, 30] - 0.025 == pytest.approx(point.col, abs=2e-3)
    assert where.height_m[30, 30] == pytest.approx(point.z, abs=0.5)


def test_a_part_of_a_product_whose_place_in_it_is_not_known_is_refused(scene, tmp_path):
    points = [p for p in scene.tie_points() if p.col > 100]
    path = tmp_path / "part.tif"
    profile = {"driver": "GTiff", "width": scene.samples, "height": scene.lines, "count": 1, "dtype": "uint16"}
    with rasterio.open(path, "w", **profile, gcps=points, crs="EPSG:4326") as file:
        file.write(np.ones((scene.lines, scene.samples), "uint16"), 1)
    with (
        Reader("") as reader,
        pytest.raises(ReadError, match=r"tie points reach from .* of 940 samples, expected from the first"),
    ):
        reader.opened(Asset(str(path), "none"), groundrange.tie_points)


def test_a_file_with_a_transform_has_no_tie_points_and_is_refused(tmp_path):
    path = tmp_path / "map.tif"
    profile = {"driver": "GTiff", "width": 8, "height": 8, "count": 1, "dtype": "uint16", "crs": "EPSG:32632"}
    with rasterio.open(path, "w", **profile, transform=rasterio.Affine(10, 0, X, 0, -10, Y)) as file:
        file.write(np.ones((8, 8), "uint16"), 1)
    with Reader("") as reader, pytest.raises(ReadError, match="has 0 tie points"):
        reader.opened(Asset(str(path), "none"), groundrange.tie_points)


def test_zeros_are_a_border_and_what_would_be_interpolated_of_them_is_no_data(scene, tmp_path):
    bordered = dataclasses.replace(scene, zeros=(slice(None), slice(0, 470)))
    files = bordered.write(tmp_path)
    place = location()
    found = read(files, place, 120)
    with Reader("") as reader:
        where = reader.opened(
            Asset(str(files["vv"]), "none"),
            lambda r: groundrange.placed(groundrange.tie_points(r), place, place.size_m / 120),
        )
    border = where.cols - 0.5 < 470  # some of the sample before is in it
    assert border.any()
    assert not border.all()
    assert (found[border] == NODATA).all()
    np.testing.assert_allclose(found[~border], scene.sigma0("VV", *middles(place, 120))[~border], rtol=0.03)


@pytest.mark.slow
def test_noise_need_not_be_stated_for_a_border_nor_for_what_nothing_is_interpolated_of(scene, files, tmp_path):
    place = location()
    with Reader("") as reader:
        where = reader.opened(
            Asset(str(files["vv"]), "none"),
            lambda r: groundrange.placed(groundrange.tie_points(r), place, place.size_m / 120),
        )
    top, left = (int(np.floor(v.min() - 0.5)) for v in (where.rows, where.cols))

    def spoilt(folder: Path, its: grd.Scene, first_line: int, first_sample: int) -> np.ndarray:
        """Read where noise is stated from a line and a sample on."""
        written = its.write(folder)
        path = written["schema-noise-vv"]
        stated = annotation.noise(path.read_bytes(), "VV")
        blocks = [
            dataclasses.replace(
                b, first_line=max(b.first_line, first_line), first_sample=max(b.first_sample, first_sample)
            )
            for b in stated.blocks
        ]
        noise = dataclasses.replace(stated, blocks=tuple(blocks))
        with Reader("") as reader:
            calibration = annotation.calibration(written["schema-calibration-vv"].read_bytes(), "VV")
            return reader.opened(
                Asset(str(written["vv"]), "none"),
                lambda r: groundrange.sigma0(r, 1, where, calibration, noise, NODATA),
            )

    # The margin, whose samples hold numbers.
    np.testing.assert_array_equal(spoilt(tmp_path / "margin", scene, top, left), read(files, place, 120))
    bordered = dataclasses.replace(scene, zeros=(slice(0, top + 40), slice(None)))
    found = spoilt(tmp_path / "border", bordered, top + 40, 0)
    np.testing.assert_array_equal(found == NODATA, where.rows - 0.5 < top + 40)
    with pytest.raises(ReadError, match=f"no noiseAzimuthVector is of line {top} sample"):
        spoilt(tmp_path / "lacking", scene, top + 1, 0)


def test_what_lies_beyond_the_image_is_no_data(scene, files):
    start, across, _ = scene._axes()
    x, y = start + 4500 * np.array([math.sin(math.radians(-11)), math.cos(math.radians(-11))]) + 150 * 1.5 * across
    found = read(files, location(x - 600, y + 600), 120)
    assert 0.3 < (found == NODATA).mean() < 0.7
    assert (read(files, location(x - 9_000, y + 600), 120) == NODATA).all()


def test_backscatter_below_the_noise_is_negative_and_data(scene, tmp_path):
    dark = dataclasses.replace(scene)
    dark.sigma0 = lambda band, x, y: np.full(np.shape(x), -0.02)
    found = read(dark.write(tmp_path), location(), 120)
    np.testing.assert_allclose(found, -0.02, atol=0.004)


def test_higher_ground_appears_nearer_to_the_sensor_by_its_height_times_the_cotangent(scene, files):
    place = location()
    with Reader("") as reader:
        asset = Asset(str(files["schema-calibration-vv"]), "none")
        calibration = reader.parsed(asset, annotation.calibration, "VV", annotation.MOST_BYTES)
        where = reader.opened(
            Asset(str(files["vv"]), "none"),
            lambda r: groundrange.placed(groundrange.tie_points(r), place, place.size_m / 120),
        )
    metres = groundrange.displacement_m(where, calibration, where.height_m + 20)
    np.testing.assert_allclose(metres, 20 * scene.cot(where.cols - 0.5), rtol=1e-4)
    moved = where.moved(metres)
    np.testing.assert_allclose(where.cols - moved.cols, metres / 10, rtol=2e-3)


# --- annotation -------------------------------------------------------------------------------------------------------


def test_calibration_and_noise_are_linear_along_samples_and_between_lines(scene):
    i, j = (v.astype(float) for v in np.mgrid[3:890:37, 5:930:41])
    found = annotation.calibration(scene.calibration_xml("VV").encode(), "VV")
    for name, lut in (("sigmaNought", found.sigma), ("betaNought", found.beta), ("gamma", found.gamma)):
        np.testing.assert_allclose(lut.at(i, j), scene.luts(i, j)[name], rtol=1e-4)
    np.testing.assert_allclose(found.cot_incidence(i, j), scene.cot(j), rtol=2e-4)
    noise = annotation.noise(scene.noise_xml("VV").encode(), "VV")
    np.testing.assert_allclose(noise.at(i, j), scene.noise(i, j), rtol=1e-3)


def test_noise_of_the_form_before_002_90_is_told_apart():
    old = "<noise><adsHeader><polarisation>VV</polarisation></adsHeader><noiseVectorList/></noise>"
    assert annotation.noise(old.encode(), "VV") is None


LAUGHS = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefg", "bcdefgh", strict=True))
    + "]><calibration>&h;</calibration>"
)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("<calibration>", LAUGHS, "no XML that is read here: DTDForbidden"),
        (
            "<calibration>",
            '<!DOCTYPE x SYSTEM "file:///etc/passwd"><calibration>',
            "no XML that is read here: DTDForbidden",
        ),
        ("</calibration>", "", "no XML that is read here: ParseError"),
        ("calibration>", "rfi>", "its root is 'rfi', expected 'calibration'"),
        (">VV</polarisation>", ">VH</polarisation>", "is of polarisation 'VH', expected VV"),
        ("<line>80</line>", "<line>-60</line>", "lines that do not ascend"),
        ("<line>80</line>", "<line>8e9</line>", "expected one whole number"),
        ("<line>80</line>", "<line>x</line>", "expected numbers"),
        (" 40 80 ", " 80 40 ", "expected as many, ascending"),
        (" 40 80 ", " 40 ", "expected as many, ascending"),
        ("betaNought", "beta", "has no betaNought"),
        ("calibrationVector>", "vector>", "has no vectors of sigmaNought"),
        ('<betaNought count="25">2', '<betaNought count="25">-2', "which it cannot be"),
        ('<betaNought count="25">2', '<betaNought count="25">nan 2', "expected finite ones"),
    ],
)
def test_annotation_that_is_not_what_it_should_be_is_refused_with_what_it_is(scene, old, new, says):
    text = scene.calibration_xml("VV")
    assert old in text
    with pytest.raises(BrokenError, match=says):
        annotation.calibration(text.replace(old, new).encode(), "VV")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("noiseAzimuthVector>", "vector>", "has no noiseAzimuthVector"),
        ("<noiseRangeLut>", "<noiseRangeLut>-", "which it cannot be"),
        ('<line count="2">0 ', '<line count="2">', "values at 1 lines"),
        ("<firstRangeSample>", "<firstRangeSample>0.", "expected one whole number"),
    ],
)
def test_noise_that_is_not_what_it_should_be_is_refused_with_what_it_is(scene, old, new, says):
    text = scene.noise_xml("VV")
    assert old in text
    with pytest.raises(BrokenError, match=says):
        annotation.noise(text.replace(old, new).encode(), "VV")


def test_noise_is_stated_for_each_sample_or_none_is_read(scene):
    found = annotation.noise(
        scene.noise_xml("VV").replace("<lastRangeSample>469<", "<lastRangeSample>468<").encode(), "VV"
    )
    with pytest.raises(BrokenError, match="no noiseAzimuthVector is of line 5 sample 469"):
        found.at(np.array([[5.0, 5.0]]), np.array([[468.0, 469.0]]))


def test_a_file_of_annotation_is_refused_by_its_name_and_its_size_is_bounded(tmp_path):
    (tmp_path / "a.xml").write_text("<rfi/>")
    with Reader("") as reader:
        asset = Asset(str(tmp_path / "a.xml"), "none")
        with pytest.raises(ReadError, match=r"a\.xml: its root is 'rfi'.*asked for 2 times"):
            reader.parsed(asset, annotation.calibration, "VV", 100)
        with pytest.raises(ReadError, match=r"a\.xml: has 6 bytes, expected 5 at most"):
            reader.parsed(asset, annotation.noise, "VV", 5)
