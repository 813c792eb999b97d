"""The cubes of a region as one Dataset: what stands in them, as others take it, and nothing else."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import curation
from curation.cubes.cube import FACTS, Cube
from curation.errors import ConfigError, DamageError, StorageError
from curation.store.ledger import Ledger
from tests import world as tiny
from tests.run import Curate


@pytest.fixture(scope="module")
def whole(built: Curate) -> xr.Dataset:
    """All of it, read."""
    return curation.open_cube(built.folder, "europe").load()


@pytest.mark.slow
def test_it_holds_what_the_cubes_hold(built: Curate, whole: xr.Dataset):
    cube = whole
    assert list(cube.season.values) == ["summer", "autumn"]
    seen = 0
    for season in ("summer", "autumn", "static"):
        raw = xr.open_zarr(built.folder / f"cubes/europe/{season}.zarr").load()
        assert list(cube.location.values) == list(raw.id.values)
        for name, stored in raw.variables.items():
            if stored.dims[:1] != ("patch",) or name in ("id", FACTS):
                continue
            label = f"static_{name}" if season == "static" and name in ("status", "reason") else name
            found = cube[label].sel(season=season) if "season" in cube[label].dims else cube[label]
            if found.dtype.kind == "U":
                assert found.values.tolist() == stored.values.tolist(), name
            else:
                assert found.dtype == stored.dtype or name == "epsg", name
                np.testing.assert_array_equal(found.values, stored.values, name)
            seen += 1
    assert seen > 50


@pytest.mark.slow
def test_dask_netcdf_and_concat_take_it_as_it_is(built: Curate, whole: xr.Dataset, tmp_path: Path):
    cube = curation.open_cube(built.folder, "europe")
    chunked = cube.chunk("auto")
    xr.testing.assert_identical(chunked.compute(), whole)
    chunked.to_netcdf(tmp_path / "x.nc")
    with xr.open_dataset(tmp_path / "x.nc", decode_coords="all") as back:
        assert back["s2l2a_10m"].equals(whole["s2l2a_10m"])
        assert back["s2l2a_scenes"].equals(whole["s2l2a_scenes"])
        assert back.rio.crs.to_epsg() == 32632
    halves = [cube.sel(season=[s]) for s in cube.season.values]
    joined = xr.concat(halves, "season", data_vars="minimal", coords="minimal", compat="override", join="outer")
    assert joined.chunk("auto")["s2l2a_10m"].equals(whole["s2l2a_10m"])


@pytest.mark.slow
def test_any_selection_reads_what_it_names(built: Curate, whole: xr.Dataset):
    lazy = curation.open_cube(built.folder, "europe")
    for picked in (
        {"location": 3},
        {"location": [7, 2, 2], "season": 1},
        {"location": slice(20, None, -4), "y_10m": slice(5, 9), "x_10m": [4, 0]},
        {"season": [1, 0], "s2l2a_10m_band": -1, "worldcover_class": [2, 1]},
    ):
        xr.testing.assert_equal(lazy.isel(picked).compute(), whole.isel(picked))


@pytest.mark.slow
def test_a_location_lies_where_its_patch_does(built: Curate):
    cube, name = curation.open_cube(built.folder, "europe"), tiny.name(1, 1)
    assert cube.rio.crs.to_epsg() == cube["s2l2a_10m"].rio.crs.to_epsg() == 32632
    found = curation.at(cube, name)
    patch = curation.open_patch(built.folder, f"europe/summer/{name}")
    for array, of in patch.items():
        its = found[array].sel(season="summer")
        assert its.odc.geobox == of.odc.geobox
        assert its.odc.geobox.crs.epsg == its.rio.crs.to_epsg() == 32632
        assert its.rio.transform() == of.rio.transform()
        assert np.array_equal(its.rio.nodata, of.rio.nodata, equal_nan=True)
        assert np.array_equal(its.values, of.values, equal_nan=True)
    west, _ = tiny.corner(1, 1)
    cut = curation.at(cube.isel(x_10m=slice(5, 9)), name)["s2l2a_10m"].sel(season="summer")
    assert cut.odc.geobox.affine.c == west + 50
    with pytest.raises(ConfigError, match="did you mean"):
        curation.at(cube, name[:-1])


def test_pixels_of_many_places_lie_nowhere_rather_than_at_the_wrong_place(built: Curate, tmp_path: Path):
    one = curation.open_cube(built.folder, "europe")["s2l2a_10m"].isel(season=0, location=3)
    assert one.odc.geobox is None
    with pytest.raises(Exception, match="dimension not found"):
        one.rio.to_raster(tmp_path / "x.tif")


@pytest.mark.parametrize("what", ["s2l2a_10m", "s2l2a_valid_fraction"])
@pytest.mark.parametrize("gone", [True, False])
def test_what_is_gone_or_changed_is_an_error_when_it_is_read_and_never_nodata(
    built: Curate, tmp_path: Path, what: str, gone: bool
):
    run = built.copy(tmp_path)
    folder = run.folder / "cubes/europe/summer.zarr" / (what if what.endswith("m") else FACTS) / "c"
    for file in [f for f in folder.rglob("*") if f.is_file()]:
        data = file.read_bytes()
        file.unlink() if gone else file.write_bytes(
            bytes(b ^ 1 for b in data[:-200]) + data[-200:] if len(data) > 400 else bytes(b ^ 1 for b in data)
        )
    with pytest.raises(DamageError, match="summer"):
        curation.open_cube(run.folder, "europe")[what].load()  # of facts those that are text are read at once
    if not what.endswith("fraction"):
        curation.open_cube(run.folder, "europe")[what].sel(season="autumn").load()


def test_what_a_stopped_build_wrote_of_a_slab_is_no_damage_and_not_there_yet(
    built: Curate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run = Curate(built.world, tmp_path)
    assert run("build", "--season", "static,summer", "--limit", "10") == 0
    before = curation.open_cube(run.folder, "europe").load()

    def no_room(*_: object) -> None:
        raise StorageError("no room")

    with monkeypatch.context() as stopped:
        stopped.setattr(Ledger, "append", no_room)
        for season in ("static", "summer"):  # slabs of four: two patches of the third stood
            assert run("build", "--season", season, "--limit", "12") == 1
    here = Cube(run.dataset, "europe", "static")
    rows = here.read_facts(run.store, 2, 4)
    assert rows[3]["status"] == 1
    xr.testing.assert_identical(curation.open_cube(run.folder, "europe").load(), before)

    rows[1]["worldcover_valid_fraction"] = 0.5
    key = here.facts_key(2)
    run.store.publish(key, here.slab_objects(2, {}, rows)[key])
    with pytest.raises(
        DamageError, match=f"static.*the facts of {before.location.values[9]} are not what was recorded"
    ):
        curation.open_cube(run.folder, "europe").load()


@pytest.mark.slow
def test_a_patch_that_was_not_built_is_pending_and_nodata(built: Curate, tmp_path: Path):
    run = Curate(built.world, tmp_path)
    assert run("build", "--limit", "2") == 0
    cube = curation.open_cube(run.folder, "europe").load()
    assert (cube.status.values[:, 2:] == 0).all()
    assert (cube.status.values[:, :2] != 0).all()
    assert (cube["s2l2a_10m"].values[:, 2:] == cube["s2l2a_10m"].attrs["nodata"]).all()
    shutil.rmtree(run.folder / "ledger/europe/summer")
    assert list(curation.open_cube(run.folder, "europe").season.values) == ["autumn"]


def test_a_region_that_is_not_built_is_told_with_those_that_are(built: Curate, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"did you mean europe\? known: europe"):
        curation.open_cube(built.folder, "eurpoe")
    with pytest.raises(ConfigError, match="<root>/<dataset>"):
        curation.open_cube(tmp_path, "europe")


@pytest.mark.slow
def test_cubes_of_two_draws_are_not_joined(built: Curate, tmp_path: Path):
    run, other = built.copy(tmp_path / "a"), Curate(tiny.make(tmp_path / "w"), tmp_path / "b")
    lines = (other.world.folder / "places.csv").read_text().splitlines()
    (other.world.folder / "places.csv").write_text("\n".join(lines[:-1]) + "\n")
    assert other("build", "--season", "autumn", "--limit", "1") == 0
    for kind in ("cubes/europe/autumn.zarr", "ledger/europe/autumn"):
        shutil.rmtree(run.folder / kind)
        shutil.copytree(other.folder / kind, run.folder / kind)
    with pytest.raises(ConfigError, match="differ in id"):
        curation.open_cube(run.folder, "europe")


def test_a_cube_that_was_begun_and_never_made_is_none_to_open(built: Curate, tmp_path: Path):
    mine = built.copy(tmp_path / "root")
    autumn = Ledger.replay(mine.store, "europe", "autumn")
    for path in sorted((mine.folder / "ledger/europe/autumn").iterdir())[1:]:
        path.unlink()  # of the ledger its first segment is left: it was taken, and stopped
    assert autumn.cube_objects
    assert not Ledger.replay(mine.store, "europe", "autumn").cube_objects
    cube = curation.open_cube(mine.folder, "europe")
    assert cube.season.values.tolist() == ["summer"]
