"""Sentinel-1 GRD, from files on a server to patches: of known ground, over relief, and with the correction for it."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
import shapely
import xarray as xr

from curation.build.kinds import ground_range
from curation.errors import ConfigError
from curation.model import parse_time
from curation.outcomes import PatchOutcome, Status
from curation.read import geoid, groundrange
from curation.read.reader import Asset, Reader
from curation.read.sparse import BrokenError
from curation.recipe import files
from curation.recipe.catalogs import pixels_digest
from curation.recipe.dataset import load_dataset
from curation.recipe.sources import SourceSpec
from curation.recipe.toml import read_toml
from curation.store.ledger import Ledger
from tests import grd
from tests import world as tiny
from tests.archive import Archive
from tests.loopback import serving
from tests.run import Curate

PLACES = [(1, 1), (2, 2), (3, 3)]
"""Of the tiny world; the hill stands upon the second."""


def sloping() -> grd.Scene:
    """Ground that rises along the flight alone, as tie points know it: nothing is displaced."""
    scene = grd.Scene(tiny.X0 + 3000, tiny.Y0 - 3000, lines=660, samples=660)
    start, _, flight = scene._axes()

    def height(x, y):
        return 150 + 0.01 * ((x - start[0]) * flight[0] + (y - start[1]) * flight[1])

    return dataclasses.replace(scene, height_m=height, tie_m=lambda i: 150 + 0.1 * i)


def hilly() -> grd.Scene:
    """The same with a hill on it, of which tie points know nothing."""
    flat = sloping()
    x, y = (c + d for c, d in zip(tiny.corner(2, 2), (240, -240), strict=True))

    def height(at_x, at_y):
        return flat.height_m(at_x, at_y) + 60 * np.exp(-((at_x - x) ** 2 + (at_y - y) ** 2) / (2 * 700**2))

    return dataclasses.replace(flat, height_m=height)


@pytest.fixture(scope="module")
def archive() -> Iterator[tuple[Archive, str]]:
    archive = Archive({})
    with serving(archive.answer) as url:
        yield archive, url


@pytest.fixture(scope="module")
def scenes(
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, tuple[grd.Scene, dict[str, Path], Path, shapely.Polygon]]:
    out = {}
    for name, scene in (("flat", sloping()), ("hill", hilly())):
        folder = tmp_path_factory.mktemp(name)
        out[name] = scene, scene.write(folder / "grd"), folder / "dem.tif", scene.write_dem(folder / "dem.tif")
    return out


@pytest.fixture
def proj(tmp_path: Path) -> Iterator[None]:
    """A PROJ that has the geoid."""
    before = pyproj.datadir.get_data_dir()
    grd.write_geoid(tmp_path / "proj")
    pyproj.datadir.append_data_dir(str(tmp_path / "proj"))
    geoid._shift.cache_clear()
    geoid.sha256_of.cache_clear()
    yield
    pyproj.datadir.set_data_dir(before)
    geoid._shift.cache_clear()
    geoid.sha256_of.cache_clear()


@pytest.fixture
def make(world: tiny.World, tmp_path: Path, archive: tuple[Archive, str], scenes):
    """A world with a GRD scene on a server: of a name, with a source's table of the recipe, and other files by asset."""

    def made(name: str, table: str = "{}", rtc: str = "", **spoilt: bytes) -> Curate:
        scene, written, dem, area = scenes[name]
        served, url = archive
        served.files = {f"{asset}": path.read_bytes() for asset, path in written.items()}
        served.files |= {asset.replace("__", "-"): data for asset, data in spoilt.items()}
        mine = Curate(world.from_afar(tmp_path / "world"), tmp_path / "root")
        found = json.loads(mine.world.catalog.read_text())["features"]
        items = [i for i in found if i["collection"] != "cop-dem-glo-30"]
        here = tiny.World(mine.world.folder)
        here.items = items
        here.item("cop-dem-glo-30", "heights", parse_time("2021-01-01"), area, {"data": str(dem)})
        here.item(
            "sentinel-1-grd", "S1A_IW_GRDH_1SDV_20210712T055000", parse_time("2021-07-12T05:50:00Z"), scene.outline(),
            {asset: f"{url}/{asset}" for asset in written},
            platform="SENTINEL-1A", sar__instrument_mode="IW", sar__polarizations=["VV", "VH"],
            sat__orbit_state="ascending", sat__relative_orbit=88, s1__slice_number="7", s1__orbit_source="RESORB",
            # As catalogs have it: made up from the bbox, and no place of any pixel.
            proj__epsg=4326, proj__transform=[0.0001, 0, 0, 0, -0.0001, 0],
        )  # fmt: skip
        mine.world.catalog.write_text(json.dumps({"type": "FeatureCollection", "features": here.items}))
        text = mine.world.recipe.read_text().replace("s1rtc = {}", f"s1grd = {table}{rtc}")
        local = json.dumps([str(world.folder), str(dem.parent)])
        text = text.partition("\n[search]\n")[0] + f"\n[search]\nlocal = {local}\n"
        mine.world.recipe.write_text(text)
        lines = [f"{x},{y},{tiny.EPSG}" for x, y in (tiny.corner(*p) for p in PLACES)]
        (mine.world.folder / "places.csv").write_text("\n".join(["x0_m,y0_m,epsg", *lines]) + "\n")
        return mine

    return made


def outcomes(mine: Curate) -> list[PatchOutcome]:
    found = {o.id: o for o in Ledger.replay(mine.store, "europe", "summer").outcomes()}
    return [found[tiny.name(*p)] for p in PLACES]


def cube(mine: Curate) -> xr.Dataset:
    return xr.open_zarr(mine.folder / "cubes/europe/summer.zarr").set_index(patch="id")


def truth(scene: grd.Scene, place: tuple[int, int]) -> np.ndarray:
    x, y = tiny.corner(*place)
    at = np.arange(48) * 10 + 5
    return np.stack([scene.sigma0(band, *np.meshgrid(x + at, y - at)) for band in ("VV", "VH")])


@pytest.mark.usefixtures("proj")
@pytest.mark.slow
def test_a_scene_without_relief_comes_out_where_and_as_it_is(make, scenes, tmp_path):
    mine = make("flat")
    assert mine("build", "--season", "summer") == 0
    assert [o.reason for o in outcomes(mine)] == ["ok"] * 3
    stored = cube(mine)
    for place in PLACES:
        patch = stored.sel(patch=tiny.name(*place))
        np.testing.assert_allclose(patch.s1grd_10m.values, truth(scenes["flat"][0], place), rtol=0.03)
        assert float(patch.s1grd_relief_px) <= 0.5
        assert int(patch.s1grd_relief_corrected) == 0
        assert float(patch.s1grd_incidence_deg) == pytest.approx(33.75, abs=0.8)
        assert float(patch.s1grd_geoid_m) == pytest.approx(41.5, abs=0.6)
        of_geoid = hashlib.sha256((tmp_path / "proj" / grd.GEOID).read_bytes()).hexdigest()
        assert str(patch.s1grd_geoid_sha256.values) == of_geoid
        told = [str(patch[f"s1grd_{f}"].values) for f in ("orbit_source", "slice", "platform", "orbit_state")]
        assert told == ["RESORB", "7", "sentinel-1a", "ascending"]
    assert stored.s1grd_10m.attrs["units"] == "sigma0, linear power"
    assert "Experimental" in json.dumps(dict(stored.s1grd_10m.attrs))


@pytest.mark.usefixtures("proj")
def test_over_relief_a_patch_is_refused_with_how_far_it_would_be_displaced(make):
    mine = make("hill")
    assert mine("build", "--season", "summer") == 0
    found = [o.sources["s1grd"] for o in outcomes(mine)]
    assert [o.code for o in found] == ["relief"] * 3
    # 60 m on its top, at 33.75°; and two thirds of a kilometre and more away what is left of it.
    assert found[1].value == pytest.approx(60 / np.tan(np.radians(33.75)) / 10, rel=0.03)
    assert 0.5 < found[0].value < 2.5


@pytest.mark.usefixtures("proj")
@pytest.mark.slow
def test_with_the_correction_relief_comes_out_where_it_is_and_says_so(make, scenes):
    mine = make("hill", '{ relief = "correct" }')
    assert mine("build", "--season", "summer") == 0
    assert [o.reason for o in outcomes(mine)] == ["ok"] * 3
    stored = cube(mine)
    for place in PLACES:
        patch = stored.sel(patch=tiny.name(*place))
        np.testing.assert_allclose(patch.s1grd_10m.values, truth(scenes["hill"][0], place), rtol=0.05)
        assert int(patch.s1grd_relief_corrected) == 1
    assert float(stored.s1grd_relief_px.sel(patch=tiny.name(2, 2))) > 8


@pytest.mark.usefixtures("proj")
@pytest.mark.slow
def test_what_is_further_up_than_the_correction_is_right_for_is_refused_with_it_too(make, monkeypatch):
    monkeypatch.setattr(ground_range, "MOST_CORRECTED_M", 50)
    mine = make("hill", '{ relief = "correct" }')
    assert mine("build", "--season", "summer") == 0
    assert [o.reason for o in outcomes(mine)] == ["ok", "relief:s1grd", "ok"]


@pytest.mark.usefixtures("proj")
@pytest.mark.slow
def test_heights_that_are_missing_are_no_heights_of_the_tie_points(make, scenes, tmp_path):
    mine = make("flat")
    path = tmp_path / "voids.tif"
    with rasterio.open(scenes["flat"][2]) as file:
        heights, profile = file.read(1), file.profile
    row, col = np.mgrid[: heights.shape[0], : heights.shape[1]]
    heights[(row // 4 % 3 == 0) & (col // 4 % 3 == 0)] = -32767
    with rasterio.open(path, "w", **profile | {"nodata": -32767}) as file:
        file.write(heights, 1)
    found = mine.world.catalog.read_text().replace(str(scenes["flat"][2]), str(path))
    mine.world.catalog.write_text(found)
    recipe = mine.world.recipe.read_text().replace(str(scenes["flat"][2].parent), str(tmp_path))
    mine.world.recipe.write_text(recipe.replace("dem = {}", "dem = { min_valid = 0.5 }"))
    assert mine("build", "--season", "summer") == 0
    found = [o.sources["s1grd"] for o in outcomes(mine)]
    assert [o.code for o in found] == ["relief_unknown"] * 3
    assert (
        0.6 < found[0].value < 1 - 1 / 9
    )  # what has a height: less than the file has, since none is made beside a void


@pytest.mark.usefixtures("proj")
@pytest.mark.parametrize(
    ("damage", "code", "says"),
    [("item", "unreadable_item", "heights"), ("file", "HeightsError", "dem.tif: could not be read")],
)
@pytest.mark.slow
def test_heights_that_cannot_be_read_fail_the_patch_and_a_rerun_has_them(make, scenes, tmp_path, damage, code, says):
    mine = make("flat", "{ required = false }")
    whole, dem = mine.world.catalog.read_text(), tmp_path / "dem.tif"
    recipe = mine.world.recipe.read_text().replace(str(scenes["flat"][2].parent), str(tmp_path))
    mine.world.recipe.write_text(recipe)
    found = json.loads(whole.replace(str(scenes["flat"][2]), str(dem)))
    (heights,) = (i for i in found["features"] if i["collection"] == "cop-dem-glo-30")
    if damage == "item":
        heights["assets"] = {}
    else:
        dem.write_bytes(scenes["flat"][2].read_bytes()[:4000])
    mine.world.catalog.write_text(json.dumps(found))
    assert mine("build", "--season", "summer") == 1
    for outcome in outcomes(mine):
        its = outcome.sources["s1grd"]
        assert (its.status, its.code, its.passed_over) == (Status.FAILED, code, ())
        assert "heights of 'dem': " in its.cause
        assert says in its.cause
    if damage == "file":
        dem.write_bytes(scenes["flat"][2].read_bytes())
        assert mine("build", "--season", "summer") == 0
        assert [o.sources["s1grd"].status for o in outcomes(mine)] == [Status.OK] * 3


@pytest.mark.slow
def test_without_the_geoid_on_the_machine_a_patch_fails_and_says_how_to_get_it(make):
    mine = make("flat")
    geoid._shift.cache_clear()
    geoid.sha256_of.cache_clear()
    assert mine("build", "--season", "summer") == 1
    found = outcomes(mine)[0].sources["s1grd"]
    assert found.code == "no_geoid"
    assert "pyproj sync --file us_nga_egm08_25.tif" in found.cause


@pytest.mark.usefixtures("proj")
@pytest.mark.parametrize(
    ("asset", "spoilt", "says"),
    [
        ("schema-calibration-vv", lambda s: s.calibration_xml("VH"), "is of polarisation 'VH', expected VV"),
        ("schema-calibration-vv", lambda s: s.noise_xml("VV"), "its root is 'noise', expected 'calibration'"),
        ("schema-noise-vv", lambda s: "<!DOCTYPE n [<!ENTITY a 'b'>]>" + s.noise_xml("VV")[39:], "DTDForbidden"),
    ],
    ids=["another polarisation", "another file", "entities"],
)
@pytest.mark.slow
def test_annotation_that_is_another_s_or_hostile_fails_the_patch_by_the_name_of_its_file(
    make, scenes, asset, spoilt, says
):
    mine = make("flat", **{asset.replace("-", "__"): spoilt(scenes["flat"][0]).encode()})
    assert mine("build", "--season", "summer") == 1
    found = outcomes(mine)[0].sources["s1grd"]
    assert found.code == "ReadError"
    assert asset in found.cause
    assert says in found.cause


@pytest.mark.usefixtures("proj")
@pytest.mark.slow
def test_a_scene_of_an_older_processor_is_refused(make):
    old = b"<noise><adsHeader><polarisation>VV</polarisation></adsHeader><noiseVectorList/></noise>"
    mine = make("flat", schema__noise__vv=old)
    assert mine("build", "--season", "summer") == 0
    assert outcomes(mine)[0].sources["s1grd"].code == "old_annotation"


def test_a_recipe_that_has_no_heights_is_refused_and_says_what_to_add(make):
    mine = make("flat")
    text = mine.world.recipe.read_text()
    mine.world.recipe.write_text(text.replace("dem = {}\n", ""))
    with pytest.raises(
        ConfigError, match=r"\[sources\.s1grd\] is displaced by relief, and judged by the heights of 'dem'"
    ):
        load_dataset(str(mine.world.recipe))
    mine.world.recipe.write_text(text.replace("dem = {}", 'dem = { relief = "correct" }'))
    with pytest.raises(ConfigError, match=r"\[sources\.dem\] relief: Copernicus DEM GLO-30 lies where it says"):
        load_dataset(str(mine.world.recipe))


def test_refusing_over_relief_is_the_same_dataset_as_saying_nothing_of_it(make):
    mine = make("flat")
    text = mine.world.recipe.read_text()

    def digest(table: str) -> str:
        mine.world.recipe.write_text(text.replace("s1grd = {}", f"s1grd = {table}"))
        return pixels_digest(load_dataset(str(mine.world.recipe)), mine.catalogs)

    said, corrected = digest('{ relief = "refuse" }'), digest('{ relief = "correct" }')
    assert said == digest("{}") != corrected


@pytest.mark.slow
@pytest.mark.usefixtures("proj")
def test_sigma0_and_gamma0_share_no_array_no_statistics_and_no_tensor(make):
    mine = make("flat", '{ seasons = ["summer"] }', rtc="\ns1rtc = {}")
    recipe = mine.world.recipe.read_text()
    mine.world.recipe.write_text(recipe.replace("[pack]", '[pack]\ncomplete = "any"\nradar = "float32"'))
    assert mine("build", "--season", "all") == 0
    assert mine("pack") == 0
    index = json.loads(next(mine.folder.glob("shards/index.json")).read_text())
    names = {name for name in index["arrays"] if name.startswith("s1")}
    assert names == {"s1grd_10m", "s1rtc_10m"}
    told = json.dumps([index["arrays"]["s1grd_10m"], index["statistics"]["s1grd_10m"]])
    assert "sigma0, linear power" in told
    assert "gamma0" not in told
    assert "s1grd.vv" in told
    assert "s1.vv" not in told
    means = [index["statistics"][name]["VV"]["mean"] for name in ("s1grd_10m", "s1rtc_10m")]
    stored = cube(mine)
    of_cube = [float(stored[name].isel({f"{name}_band": 0}).mean()) for name in ("s1grd_10m", "s1rtc_10m")]
    assert means[0] == pytest.approx(of_cube[0], rel=1e-3)
    assert abs(means[0] / means[1] - 1) > 1
    if importlib.util.find_spec("torch") is not None:
        _check_batches(mine.folder / "shards")


def _check_batches(folder: Path) -> None:
    """Passes where a batch has each of the two under its own name, and nothing of one under the other's."""
    from curation.stream import open_shards

    for batch in open_shards(str(folder), split="train", batch_size=2):
        assert {"s1grd_10m", "s1rtc_10m"} <= set(batch)
        own, other = (batch[n] for n in ("s1grd_10m", "s1rtc_10m"))
        assert own.data_ptr() != other.data_ptr()


def test_an_image_that_lies_elsewhere_than_its_item_says_is_not_taken_for_one_without_the_place(scenes):
    _, written, _, area = scenes["flat"]
    with Reader("") as reader:
        points = reader.opened(Asset(str(written["vv"]), "none"), groundrange.tie_points)
    here = area.centroid.x, area.centroid.y
    ground_range._check_place(points, Asset("a.tif", "none", holds=here))
    with pytest.raises(BrokenError, match="its tie points put it elsewhere than its item does: longitude 9"):
        ground_range._check_place(points, Asset("a.tif", "none", holds=(9.0, here[1])))


def test_bands_and_units_of_the_two_are_told_apart():
    rtc, ground = (read_toml(files.folder("stac_queries") / f"{n}.toml", SourceSpec) for n in ("s1rtc", "s1grd"))
    bands = [{spec.band(b).name for a in spec.arrays for b in a.bands} for spec in (rtc, ground)]
    assert not bands[0] & bands[1]
    units = [{a.unit for a in spec.arrays} for spec in (rtc, ground)]
    assert units == [{"gamma0, linear power"}, {"sigma0, linear power"}]
    pack = load_dataset("ssl4eo-s12-ml").recipe.pack
    packed = [spec.kind.packed(spec.arrays[0], pack).unit for spec in (rtc, ground)]
    assert packed == ["gamma0, hundredths of a dB", "sigma0, hundredths of a dB"]


@pytest.mark.usefixtures("proj")
@pytest.mark.parametrize("grid", ["res_m = 30", "size_px = 12"])
@pytest.mark.slow
def test_coarser_pixels_are_corrected_in_each_of_their_parts(make, scenes, grid):
    mine = make("hill", f'{{ relief = "correct", {grid} }}')
    assert mine("build", "--season", "summer") == 0
    stored, scene = cube(mine), scenes["hill"][0]
    (name,) = (n for n in stored.data_vars if n.startswith("s1grd_"))
    x, y = tiny.corner(2, 2)
    at = np.arange(240) * 2 + 1
    fine = scene.sigma0("VV", *np.meshgrid(x + at, y - at))
    found = stored[name].sel(patch=tiny.name(2, 2)).values[0]
    n = 240 // len(found)
    np.testing.assert_allclose(found, fine.reshape(len(found), n, len(found), n).mean(axis=(1, 3)), rtol=0.03)
