import dataclasses
import datetime as dt
import hashlib
import io
import json
import random
import re
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import geopandas as gpd
import numcodecs
import numpy as np
import pyarrow.parquet as pq
import pytest
import webdataset as wds
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from curation.cli import main
from curation.cubes import selection, zarrshard
from curation.cubes.complete import judged
from curation.cubes.cube import Cube
from curation.errors import CurationError
from curation.format.index import Index
from curation.format.signature import channels_of
from curation.model import Location
from curation.outcomes import PatchOutcome, SourceOutcome, Status
from curation.pack import pack, plan, shard, writers
from curation.pack.plan import Plan
from curation.pack.splits.column import Column
from curation.places.locations import Locations
from curation.read import backscatter
from curation.recipe import catalogs
from curation.store.ledger import Ledger
from curation.stream.decode import decoder
from curation.stream.open import open_shards
from curation.work.run import Run
from tests import world as tiny
from tests.properties import fast
from tests.queries import changed
from tests.run import Curate

COMPLETE = {tiny.name(r, c) for r in (0, 1) for c in range(4)} - {tiny.name(0, 3)}


def opened(built: Curate, season: str) -> xr.Dataset:
    return xr.open_zarr(built.folder / "cubes" / "europe" / f"{season}.zarr").set_index(patch="id")


def test_samples_are_the_places_with_every_season(built: Curate):
    assert {s["key"] for s in open_shards(str(built.folder / "shards"), "train")} == COMPLETE


# webdataset leaves the last file it read to the garbage collector.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:unclosed file", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_stock_webdataset_reads_what_the_cubes_hold(built: Curate):
    tars = sorted(str(p) for p in (built.folder / "shards" / "train").glob("*.tar"))
    found = {s["__key__"]: s for s in wds.WebDataset(tars, shardshuffle=False).decode(decoder)}
    assert set(found) == COMPLETE
    for key, sample in found.items():
        for season in ("summer", "autumn"):
            cube = opened(built, season).sel(patch=key)
            for array in ("s2l2a_10m", "s2l2a_20m", "s2l2a_60m", "s2l2a_scl_20m"):
                np.testing.assert_array_equal(sample[f"{array}.{season}.npy.blosc"], cube[array].values)
            db = np.round(1000 * np.log10(cube.s1rtc_10m.values.astype("float64"))).astype("int16")
            np.testing.assert_array_equal(sample[f"s1rtc_10m.{season}.npy.blosc"], db)
        np.testing.assert_array_equal(
            sample["dem_30m.npy.blosc"], opened(built, "static").dem_30m.sel(patch=key).values
        )


def test_labels_are_told_per_season_and_per_place_and_unknown_is_null(built: Curate):
    with tarfile.open(min((built.folder / "shards" / "train").glob("*.tar"))) as tar:
        metas = [json.load(tar.extractfile(m)) for m in tar if m.name.endswith("meta.json")]
    assert metas
    for meta in metas:
        summer, autumn = meta["seasons"]["summer"]["labels"], meta["seasons"]["autumn"]["labels"]
        assert summer["multi_hot"] == [0, 1, 0, 0, 1, 0, 0, 0, 0]  # trees and crops
        assert summer["fractions"][1] == 0.75
        assert autumn is None  # no Dynamic World of that acquisition
        assert meta["seasons"]["summer"]["sources"]["s2l2a"]["time"].startswith("2021-07-1")
        assert meta["static"]["elevation"]["elevation_mean_m"] == 123


def test_nothing_secret_or_fleeting_stands_in_a_shard(built: Curate):
    index = (built.folder / "shards" / "index.json").read_text()
    for word in ("127.0.0.1", str(built.root), str(built.world.folder), "sig=", "http"):
        assert word not in index


def test_band_statistics_are_those_of_the_train_pixels(built: Curate):
    index = json.loads((built.folder / "shards" / "index.json").read_text())
    pixels = np.concatenate(
        [opened(built, s).s2l2a_20m.sel(patch=sorted(COMPLETE)).values for s in ("summer", "autumn")]
    )
    for n, band in enumerate(tiny.BANDS[20]):
        told = index["statistics"]["s2l2a_20m"][band]
        assert told["count"] == pixels[:, n].size
        assert told["mean"] == pytest.approx(pixels[:, n].mean())
        assert told["std"] == pytest.approx(pixels[:, n].std())
        assert (told["min"], told["max"]) == (pixels[:, n].min(), pixels[:, n].max())


def test_the_index_says_what_bands_are(built: Curate):
    arrays = Index.from_bytes((built.folder / "shards" / "index.json").read_bytes()).arrays
    red, vh, height = (arrays[n].canonical[i] for n, i in (("s2l2a_10m", 2), ("s1rtc_10m", 1), ("dem_30m", 0)))
    assert (red.name, red.centre_nm, red.width_nm, red.kind) == ("s2.b04", 664.6, 31, "optical")
    assert (vh.name, vh.centre_mhz, vh.width_mhz, vh.polarisation) == ("s1.vh", 5405, 100, "VH")
    assert (height.name, height.kind, height.centre_nm, height.unit) == ("dem.height", "elevation", None, "m")
    assert (arrays["s2l2a_10m"].level, arrays["s1rtc_10m"].level, arrays["dem_30m"].convention) == ("BOA", None, None)
    assert arrays["s1rtc_10m"].convention == "gamma0, dB"  # as it is packed: in cubes it is linear


def test_bands_arrays_and_statistics_are_of_one_length_and_one_order(built: Curate):
    index = Index.from_bytes((built.folder / "shards" / "index.json").read_bytes())
    for name, entry in index.arrays.items():
        mine = channels_of(index, name)
        assert len(mine.bands) == len(mine.wavelength_nm) == len(mine.mean) == entry.shape[0]
        assert [b.name for b in mine.entries] == list(mine.bands) == [b.name for b in entry.canonical]
        assert (entry.role == "data") is (name in index.statistics)
        if entry.role == "data":
            assert mine.mean.tolist() == np.float32([index.statistics[name][b].mean for b in entry.bands]).tolist()
            assert np.isnan(mine.wavelength_nm).tolist() == [b.kind not in ("optical", "radar") for b in mine.entries]


def test_packing_again_makes_nothing_again_and_changes_nothing(built: Curate, tmp_path, capsys):
    mine = built.copy(tmp_path)
    before = mine.hashes()
    assert mine("pack") == 0
    assert mine.hashes() == before
    # A copy has other file marks than the receipts tell, so shards are made anew once, and then stand.
    capsys.readouterr()
    assert mine("pack") == 0
    assert "(2 shards made before)" in capsys.readouterr().out


@pytest.mark.slow
def test_what_other_code_wrote_is_written_again(built: Curate, tmp_path, capsys, monkeypatch):
    mine = built.copy(tmp_path)
    assert mine("pack") == 0
    assert len(writers.written_by()) == 64
    monkeypatch.setattr(shard, "written_by", lambda: "another release")
    capsys.readouterr()
    assert mine("pack") == 0
    assert "(0 shards made before)" in capsys.readouterr().out


@pytest.mark.slow
def test_what_the_file_of_places_says_by_now_is_what_samples_say(built: Curate, tmp_path, capsys):
    shutil.copytree(built.world.folder, tmp_path / "own")
    mine = Curate(tiny.World(tmp_path / "own"), tmp_path / "root")
    shutil.copytree(built.root, mine.root)
    mine.world.recipe.write_text(tiny.RECIPE.replace('file = "places.csv"', 'file = "places.csv"\ncolumns = ["kind"]'))
    places = (mine.world.folder / "places.csv").read_text().splitlines()
    fresh: dict[str, str] = {}
    for kind in ("wood", "field"):  # the places, their pixels and what was measured of them are the same
        rows = [f"{places[0]},kind", *(f"{row},{kind if n else 'hill'}" for n, row in enumerate(places[1:]))]
        (mine.world.folder / "places.csv").write_text("\n".join(rows) + "\n")
        (mine.folder / "manifest/locations.parquet").unlink()
        if kind == "field":  # what packing gives where nothing was packed before
            other = mine.copy(tmp_path / "other")
            shutil.rmtree(other.folder / "packing")
            assert other("pack") == 0
            fresh = other.hashes()
        assert mine("pack") == 0
        said = {s["key"]: s["kind"] for s in open_shards(str(mine.folder / "shards"), "train")}
        assert said == {key: "hill" if key == tiny.name(0, 0) else kind for key in COMPLETE}
    assert mine.hashes() == fresh


def test_a_shard_is_made_again_for_whatever_a_sample_tells_and_for_nothing_else(built: Curate):
    run = Run(built.dataset, built.catalogs, built.store, None, None)
    asked = selection.asked_regions(run.dataset, run.catalogs, "europe")
    cubes = pack.opened(run, asked)
    job = next(pack.jobs(run, cubes, pack.planned(run, asked, cubes), None, {}))
    (first, *others), date = job.members, dt.datetime(2021, 7, 15, tzinfo=dt.UTC)

    def of(**change) -> str:
        place = dataclasses.replace(first.location, **change)
        return dataclasses.replace(job, members=(dataclasses.replace(first, location=place), *others)).digest

    changes = {
        "id": "x", "lon": 1.0, "lat": 1.0, "epsg": 32633, "x0_m": 1.0, "y0_m": 1.0, "size_m": 60.0, "region": "x",
        "parent": "x", "columns": {"kind": None},
    }  # fmt: skip
    assert {*changes, "rank"} == {f.name for f in dataclasses.fields(Location)}
    found = [job.digest, *(of(**{name: value}) for name, value in changes.items())]
    found += [of(columns={"kind": value}) for value in ("wood", 3, True, date, date + dt.timedelta(days=1))]
    found.append(
        dataclasses.replace(job, pixels_digest="0" * 64).digest
    )  # windows of seasons, and all that sources are
    assert len(set(found)) == len(found)
    assert of(rank=99) == job.digest


def test_a_list_of_bands_that_grows_changes_no_digest(built: Curate, tmp_path, monkeypatch):
    """Neither do its corrections, but where a function of an annotation sees them, which may make of them what it wants."""
    shutil.copytree(built.world.folder, tmp_path / "own")
    told = Curate(tiny.World(tmp_path / "own"), built.root)
    told.world.recipe.write_text(tiny.RECIPE + '\n[annotations]\nsaid = { function = "caption", type = "text" }\n')

    def digests() -> tuple[list[str], list[str]]:
        run = Run(built.dataset, built.catalogs, built.store, None, None)
        asked = selection.asked_regions(run.dataset, run.catalogs, "europe")
        cubes = pack.opened(run, asked)
        jobs = list(pack.jobs(run, cubes, pack.planned(run, asked, cubes), None, {}))
        mine = [catalogs.pixels_digest(run.dataset, run.catalogs), run.dataset.release_digest()]
        return [*mine, *(j.digest for j in jobs)], [dataclasses.replace(j, dataset=told.dataset).digest for j in jobs]

    before = digests()
    change = changed(tmp_path, monkeypatch)
    change("[sensors.s5p.bands]\n", "[sensors.s5p.bands]\nchocho = {}\n")
    assert digests() == before
    change("b04 = { centre_nm = 664.6, width_nm = 31,", "b04 = { centre_nm = 664.7, width_nm = 31,")  # of one in use
    assert shard.array_entries(built.dataset)["s2l2a_10m"].canonical[2].centre_nm == 664.7
    plain, looked_at = digests()
    assert plain == before[0]
    assert set(looked_at).isdisjoint(before[1])


def relabelled(built: Curate, folder: Path, min_fraction: float = 0.5) -> Curate:
    """A copy of the dataset whose recipe now has another label rule: every shard is to be made anew."""
    shutil.copytree(built.world.folder, folder / "own")
    world = tiny.World(folder / "own")
    world.recipe.write_text(
        tiny.RECIPE.replace('seasonal = "dynamicworld"', f'seasonal = "dynamicworld"\nmin_fraction = {min_fraction}')
    )
    curate = Curate(world, folder / "root")
    shutil.copytree(built.root, curate.root)
    return curate


@pytest.mark.slow
@pytest.mark.parametrize("part", ["s2l2a_10m/c/{}/0/0/0", "patch_facts/c/{}"])
def test_a_cube_that_is_damaged_is_named_and_the_shards_packed_before_stay(
    built: Curate, tmp_path: Path, capsys: pytest.CaptureFixture[str], part: str
):
    mine = relabelled(built, tmp_path)
    slabs = Ledger.replay(mine.store, "europe", "summer").slabs
    slab = next(n for n, r in slabs.items() if {o.id for o in r.patches} & COMPLETE)
    victim = mine.folder / "cubes/europe/summer.zarr" / part.format(slab)
    size, index = victim.stat().st_size, zarrshard.index_size(4) if "10m" in part else 0
    victim.write_bytes(bytes(b ^ 255 if n < size - index else b for n, b in enumerate(victim.read_bytes())))
    capsys.readouterr()
    for _ in range(2):  # trying again changes nothing, and says the same
        assert mine("pack") == 1
        said = capsys.readouterr().err
        assert str(victim) in said
        assert "recorded w" in said
        assert "delete both cubes/europe/summer.zarr and ledger/europe/summer, and build it again" in said
        assert "rerun to try again" not in said
        assert mine.hashes() == built.hashes()
        assert {s["key"] for s in open_shards(str(mine.folder / "shards"), "train")} == COMPLETE
    # What the message says to do helps.
    for folder in ("cubes/europe/summer.zarr", "ledger/europe/summer"):
        shutil.rmtree(mine.folder / folder)
    assert mine() == 0
    assert mine("pack") == 0
    assert mine("verify") == 0
    assert mine.hashes() != built.hashes()
    assert not list((mine.folder / "packing" / "new").rglob("*.tar"))


KILLED = """
import os, signal, sys
from curation.cli import main as cli
from curation.pack import pack
real, calls = pack.{at}, []
def until(*args):
    calls.append(1)
    if len(calls) == {n}:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args)
pack.{at} = until
sys.exit(cli.main({arguments!r}))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("at", "n", "readable"),
    fast(
        [("write_shard", 2, True), ("_put_in_place", 2, False)],
        [
            ("write_shard", 2, True),
            ("_put_in_place", 1, False),
            ("_put_in_place", 2, False),
            ("release.content", 1, True),
        ],
    ),
)
def test_killed_while_packing_anew_the_same_command_goes_on(
    built: Curate, tmp_path: Path, at: str, n: int, readable: bool, capsys: pytest.CaptureFixture[str]
):
    mine, calm = relabelled(built, tmp_path / "a"), relabelled(built, tmp_path / "b")
    assert calm("pack") == 0
    code = KILLED.format(at=at, n=n, arguments=mine.arguments("pack"))
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == -signal.SIGKILL
    where = str(mine.folder / "shards")
    if readable:  # the old ones until all new ones are made, the new ones once their index is there
        assert {s["key"] for s in open_shards(where, "train")} == COMPLETE
        if at == "write_shard":
            assert mine.hashes() == built.hashes()
    else:
        with pytest.raises(CurationError):
            open_shards(where, "train")
    capsys.readouterr()
    assert mine("verify") == 1
    out = capsys.readouterr().out
    assert "FAULT" not in out
    assert re.search(r"unfinished: .* packing has not ended. `curate pack` ", out)
    assert mine("pack") == 0
    assert ("(0 shards made before)" not in capsys.readouterr().out) or n == 2
    assert mine.hashes() == calm.hashes()
    assert mine("verify") == 0


def test_relabelling_repacks_without_reading_a_scene(built: Curate, tmp_path):
    curate = relabelled(built, tmp_path)
    for tif in curate.world.folder.rglob("*.tif"):
        tif.unlink()
    assert curate("pack") == 0
    sample = next(iter(open_shards(str(curate.folder / "shards"), "train")))
    assert sample["labels"][0].tolist() == [0, 1, 0, 0, 0, 0, 0, 0, 0]
    assert curate("verify") == 0


def test_an_earlier_packing_s_leftover_shards_are_removed(built: Curate, tmp_path):
    mine = built.copy(tmp_path)
    stray = mine.folder / "shards" / "train" / "tiny-train-000009.tar"
    stray.write_bytes(b"left over")
    assert mine("pack") == 0
    assert not stray.exists()


def test_the_dropped_are_listed_with_their_reason(built: Curate):
    dropped = gpd.read_parquet(built.folder / "manifest" / "dropped.parquet")
    assert len(dropped) == 25 - len(COMPLETE)
    reasons = dict(zip(dropped.id, dropped.reason, strict=True))
    assert reasons[tiny.name(0, 3)] == "incomplete:summer (cloudy:s2l2a)"
    assert reasons[tiny.name(2, 0)] == "incomplete:autumn (time_gap:s1rtc)"


@pytest.mark.slow
def test_rows_of_a_places_file_that_are_no_locations_are_listed_and_counted(world, tmp_path, capsys):
    shutil.copytree(world.folder, tmp_path / "own")
    mine = Curate(tiny.World(tmp_path / "own"), tmp_path / "root")
    (ax, ay), (bx, by) = tiny.corner(0, 0), tiny.corner(0, 1)
    lines = [f"a,{ax},{ay}", f"b,{bx},{by}", f"twin,{ax},{ay}", "far,-4000000,3000000", f"b,{bx},{by}"]
    (mine.world.folder / "places.csv").write_text(
        "\n".join(["id,x0_m,y0_m,epsg", *(f"{n},{tiny.EPSG}" for n in lines)])
    )
    assert mine() == 0
    assert mine("pack") == 0
    told = "places.csv: 5 rows: 2 locations, 3 dropped (same_grid 1, outside_regions 1, repeated 1)"
    assert told in capsys.readouterr().out
    assert {s["key"] for s in open_shards(str(mine.folder / "shards"), "train")} == {"a", "b"}
    dropped = pq.read_table(mine.folder / "manifest" / "dropped.parquet", columns=["id", "row", "reason"]).to_pylist()
    assert [tuple(d.values()) for d in dropped] == [
        ("twin", 3, "same_grid"), ("far", 4, "outside_regions"), ("b", 5, "repeated")
    ]  # fmt: skip
    release = json.loads((mine.folder / "manifest" / "release.json").read_text())
    assert release["counts"]["dropped"] == {"outside_regions": 1, "repeated": 1, "same_grid": 1}
    assert mine("verify") == 0
    assert mine("report") == 0


def test_the_samples_table_opens_with_geopandas(built: Curate):
    table = gpd.read_parquet(built.folder / "shards" / "train" / "samples.parquet")
    assert set(table.id) == COMPLETE
    assert table.crs.to_epsg() == 4326
    assert list(table.labels_summer.iloc[0]) == ["trees", "crops"]


def test_nothing_complete_is_an_error_that_says_why(built: Curate, world: tiny.World, tmp_path, capsys):
    curate = Curate(world, tmp_path)
    assert curate("build", "--season", "static") == 0
    assert curate("pack") == 1  # not a mistake of whoever asks: the same command will do when the build is done
    said = capsys.readouterr().err
    assert "found no location that is complete, of 25: incomplete:summer (pending) 25; the build is unfinished" in said


@pytest.mark.slow
def test_nothing_complete_of_what_is_built_whole_is_the_recipes_to_mend(world: tiny.World, tmp_path: Path, capsys):
    shutil.copytree(world.folder, tmp_path / "own")
    own = tiny.World(tmp_path / "own")
    own.recipe.write_text(own.recipe.read_text().replace("max_gap_days = 12", "max_gap_days = 0.001"))
    curate = Curate(own, tmp_path / "root")
    assert curate() == 0
    assert curate("pack") == 2
    assert "; relax the recipe, or build another region" in capsys.readouterr().err


def test_nothing_to_pack_names_where_it_looked_and_what_is_there(built: Curate, tmp_path: Path, capsys):
    flags = ["--dataset", str(built.world.recipe), "--root", str(built.root)]
    assert main.main(["pack", *flags, "--catalog", str(built.world.catalog), "--region", "africa+asia"]) == 2
    said = capsys.readouterr().err
    assert f"{built.folder}: looked for regions africa, asia, built from catalog {built.world.catalog}" in said
    assert "built there: region europe (autumn, static, summer, catalog file-" in said
    assert "[(" not in said
    # Another catalog than it was built from: the ledger says so, and the cube knows which.
    assert main.main(["pack", *flags, "--catalog", "embedded", "--scheduler", "none"]) == 2
    assert re.search(r'What changed: catalog was "file-\w+", is "embedded"\n', capsys.readouterr().err)
    root = tmp_path / "none"
    assert main.main(["pack", *flags[:2], "--root", str(root), "--catalog", "embedded"]) == 2
    assert "nothing is built there" in capsys.readouterr().err
    assert not root.exists()


@given(st.lists(st.floats(2**-13, 2**10, width=32), min_size=1))
def test_centidb_is_within_half_a_hundredth_of_a_decibel(power):
    back = 10 ** (backscatter.centidb(np.array(power, "float32"), -32768) / 1000)
    assert np.abs(10 * np.log10(back / np.array(power, "float32").astype("float64"))).max() <= 0.00501


def test_centidb_keeps_nodata_and_writes_what_has_no_logarithm_as_the_floor():
    power = np.array([-32768, -0.002, 0, 1e-9, 1e-3, 1], "float32")
    assert backscatter.centidb(power, -32768).tolist() == [-32768, -4000, -4000, -4000, -3000, 0]
    assert backscatter.centidb(power, -32768, -25.0).tolist() == [-32768, -2500, -2500, -2500, -2500, 0]


def packed_below_zero(folder: Path, monkeypatch: pytest.MonkeyPatch, radar: str, below_zero: float | None) -> Path:
    """Shards of the tiny world; each 49th pixel of VV is `below_zero`, where more noise was subtracted than came back."""
    power = tiny.power

    def seen(polarisation: int, shift: float = 0.0) -> np.ndarray:
        out = power(polarisation, shift)
        if polarisation == 0 and below_zero is not None:
            out[::7, ::7] = below_zero
        return out

    with monkeypatch.context() as patched:
        patched.setattr(tiny, "power", seen)
        world = tiny.make(folder)
    world.recipe.write_text(tiny.RECIPE.replace("[pack]", f'[pack]\nradar = "{radar}"\ncomplete = "any"'))
    flags = ["--dataset", str(world.recipe), "--root", str(folder), "--scheduler", "none"]
    flags += ["--catalog", str(world.catalog)]
    assert main.main([*flags, "--allow-unknown-labels"]) == 0
    assert main.main(["pack", *flags]) == 0
    return folder / "tiny" / "shards"


@pytest.mark.slow
def test_radar_below_zero_is_counted_and_moves_no_statistics(tmp_path, monkeypatch):
    clean = json.loads((packed_below_zero(tmp_path / "a", monkeypatch, "centidb", None) / "index.json").read_text())
    folder = packed_below_zero(tmp_path / "b", monkeypatch, "centidb", -0.002)
    below = json.loads((folder / "index.json").read_text())
    one, other = (i["statistics"]["s1rtc_10m"]["VV"] for i in (clean, below))
    assert abs(one["mean"] - other["mean"]) < 2
    assert abs(one["std"] - other["std"]) < 2
    assert other["min"] > -4000
    floored = below["counts"]["floored"]["s1rtc_10m"]
    assert floored == {"VV": one["count"] - other["count"], "VH": 0}
    assert floored["VV"] > 0
    assert clean["counts"]["floored"]["s1rtc_10m"] == {"VV": 0, "VH": 0}
    rows = gpd.read_parquet(folder / "train" / "samples.parquet").set_index("id")
    told = np.stack(rows["s1rtc_10m_floored_fraction_summer"].dropna())
    assert told[:, 0] == pytest.approx(1 / 49, rel=0.3)  # 6 or 7 of 48 columns and rows
    assert (told[:, 1] == 0).all()
    with tarfile.open(min((folder / "train").glob("*.tar"))) as tar:
        metas = [json.loads(tar.extractfile(m).read()) for m in tar.getnames() if m.endswith("meta.json")]
    for meta in metas:
        if "summer" in meta["seasons"]:
            shares = meta["seasons"]["summer"]["sources"]["s1rtc"]["floored_fraction"]["s1rtc_10m"]
            assert shares == rows.loc[meta["id"], "s1rtc_10m_floored_fraction_summer"].tolist()


@pytest.mark.slow
def test_radar_as_linear_power_keeps_its_sign(tmp_path, monkeypatch):
    folder = packed_below_zero(tmp_path, monkeypatch, "float32", -0.002)
    index = json.loads((folder / "index.json").read_text())
    assert index["statistics"]["s1rtc_10m"]["VV"]["min"] == pytest.approx(-0.002)
    assert index["counts"]["floored"] == {}


# ---- the plan ----


def planned(built: Curate, statuses: list[list[bool]], order: random.Random, target: int | None = None):
    """A plan over made-up outcomes: statuses[place][season]."""
    dataset = built.dataset
    dataset.recipe = dataset.recipe.model_copy(
        update={
            "pack": dataset.recipe.pack.model_copy(update={"target": target, "samples_per_shard": 3}),
            "split": Column(val=["v"]),
        }
    )
    # Of three the second is val, and the third too near to it.
    places = [
        Location(f"p{i}", i * 0.1 - 0.07 * (i % 3 == 2), 50.0, 32632, 0, 0, 480, "rvr"[i % 3], rank=i)
        for i in range(len(statuses))
    ]
    seasons = ["static", "summer", "autumn"]
    outcomes = {
        season: {
            p.id: PatchOutcome(p.id, Status.OK, {})
            if ok[n]
            else PatchOutcome(p.id, Status.REJECTED, {"s2l2a": SourceOutcome(Status.REJECTED, "cloudy")})
            for p, ok in zip(places, statuses, strict=True)
        }
        for n, season in enumerate(seasons)
    }
    for season in seasons:
        items = list(outcomes[season].items())
        order.shuffle(items)
        outcomes[season] = dict(items)
    cubes = {"r": {s: Cube(dataset, "r", s, Locations.of(places)) for s in seasons}}
    return plan.plan(dataset, cubes, {"r": outcomes}), places


@given(
    statuses=st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=40),
    seed=st.integers(0, 9),
    target=st.none() | st.integers(1, 20),
)
def test_a_plan_puts_each_place_into_one_shard_or_drops_it_with_a_reason(built, statuses, seed, target):
    made, places = planned(built, statuses, random.Random(seed), target)
    used = [m.location.id for split in made.shards.values() for shard in split for m in shard]
    dropped = [d.location.id for d in made.dropped]
    assert sorted(used + dropped) == sorted(p.id for p in places)
    complete = [p for p, ok in zip(places, statuses, strict=True) if all(ok) and p.rank % 3 != 2]
    assert set(used) == {p.id for p in complete[:target]}  # the first of the draw
    assert all(len(s) == 3 for split in made.shards.values() for s in split[:-1])
    assert all(d.reason for d in made.dropped)
    nth = {k: {m.location.rank % 3 for shard in made.shards[k] for m in shard} for k in ("train", "val")}
    assert nth["train"] <= {0, 2}  # the third is, where there is no second of its three
    assert nth["val"] <= {1}
    lost = {d.location.rank % 3 for d in made.dropped if d.reason == "buffer"}
    assert lost <= {2}
    again, _ = planned(built, statuses, random.Random(seed + 1), target)
    assert again == made  # whatever order ledgers were written in


def test_neighbours_in_a_shard_are_no_nearer_than_random_pairs(built: Curate):
    made, _ = planned(built, [[True] * 3] * 600, random.Random(0))
    assert plan.mixing(made) == pytest.approx(1, abs=0.15)
    ordered = Plan(
        {k: [sorted((m for s in v for m in s), key=lambda m: m.location.rank)] for k, v in made.shards.items()}, []
    )
    assert plan.mixing(ordered) < 0.05  # the measure tells sorted from mixed


@pytest.mark.slow
def test_a_shard_s_bytes_do_not_depend_on_when_or_where_it_is_made(built: Curate, tmp_path):
    mine = Curate(built.world, tmp_path / "elsewhere")
    assert mine() == 0
    assert mine("pack") == 0
    assert mine.hashes() == built.hashes()


def test_the_release_tells_every_shard(built: Curate):
    release = json.loads((built.folder / "manifest" / "release.json").read_text())
    assert release["shards"] == {k.removeprefix("shards/"): v for k, v in built.hashes().items() if k.endswith(".tar")}
    assert release["index_sha256"] == hashlib.sha256((built.folder / "shards" / "index.json").read_bytes()).hexdigest()


def test_a_member_is_a_npy_file_in_a_blosc_buffer(built: Curate):
    with tarfile.open(min((built.folder / "shards" / "train").glob("*.tar"))) as tar:
        name = next(n for n in tar.getnames() if n.endswith("dem_30m.npy.blosc"))
        file = numcodecs.blosc.decompress(tar.extractfile(name).read())
    array = np.load(io.BytesIO(file), allow_pickle=False)
    assert array.shape == (1, 16, 16)
    assert Ledger.replay(built.store, "europe", "static").cube_objects


def test_what_has_nothing_seasonal_is_complete_by_what_is_static():
    there, not_there = PatchOutcome("a", Status.OK, {}), None
    for rule in ("all", "any", "some"):
        assert judged(rule, {"static": there}).reason is None
        assert judged(rule, {"static": not_there}).reason == "incomplete:static (pending)"
        assert judged(rule, {"static": there, "summer": there}).reason is None
    assert judged("any", {"static": there, "summer": not_there}).reason == "incomplete:summer (pending)"
    assert judged("some", {"static": there, "summer": not_there}).reason is None
    assert judged("some", {"summer": not_there, "autumn": there}).reason is None
