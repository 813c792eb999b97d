"""Cells with children on the embedded Earth, looked at from outside: what is missing is absent and masked, everywhere."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from curation import embedded
from curation.cli import main
from curation.embedded.world import terrain
from curation.recipe.dataset import load_dataset
from curation.store.ledger import Ledger
from curation.store.objects import Store
from curation.stream.open import open_shards
from tests.processes import started

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SEASONS = ("winter", "summer", "2021-07", "2021-11")
"""November has no orbit at all."""
MADE = (*SEASONS, "2021-05", "2021-06")
"""What is left of the recipe's sixteen seasons: as many months as `at_least` is asked for."""


def recipe(folder: Path) -> Path:
    """The recipe, with fewer draws (most cells are filled anyway) and seasons."""
    text = (load_dataset("ssl4eo-s").path).read_text()
    assert "count = 1_000_000" in text
    others = [s for s in load_dataset("ssl4eo-s").season_names() if s not in MADE]
    for season in others:
        text = (
            re.sub(rf"(?m)^{season} = \{{.*\}}\n", "", text).replace(f'"{season}", ', "").replace(f', "{season}"', "")
        )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "recipe.toml"
    path.write_text(text.replace("count = 1_000_000", "count = 20_000"))
    assert set(load_dataset(str(path)).season_names()) == set(MADE)
    return path


def arguments(root: Path, verb: str, *flags: str) -> list[str]:
    where = [verb, "--dataset", str(recipe(root / "recipe")), "--root", str(root)]
    return [*where, "--catalog", "embedded", *flags] if verb in ("build", "pack") else where


BUILD = ("--region", "embedded-pacific", "--season", ",".join(SEASONS), "--scheduler", "none")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("cells")
    assert main.main(arguments(root, "build", *BUILD)) == 0
    assert (
        main.main(arguments(root, "build", "--region", "embedded-pacific", "--season", "all", "--scheduler", "none"))
        == 0
    )
    assert main.main(arguments(root, "pack", "--region", "embedded-pacific", "--scheduler", "none")) == 0
    return root / "ssl4eo-s"


def test_cells_lie_on_both_sides_of_the_antimeridian_and_have_children(folder: Path):
    cells = xr.open_zarr(folder / "cubes/embedded-pacific/static.zarr")
    children = xr.open_zarr(folder / "cubes/embedded-pacific.children/summer.zarr")
    assert (cells.epsg.values == 4326).all()
    assert (cells.lon.values < -170).any()
    assert (cells.lon.values > 170).any()
    assert set(np.unique(children.epsg.values)) & {32601, 32660, 32701, 32760}


def test_the_dem_is_the_terrain_across_the_antimeridian_too(folder: Path):
    cube = xr.open_zarr(folder / "cubes/embedded-pacific/static.zarr")
    step = 0.25 / 960
    for n in range(cube.sizes["patch"]):
        assert int(cube.status.values[n]) == 1
        height = cube.dem_960px.values[n, 0]
        lon = cube.x0_m.values[n] + step * (np.arange(960) + 0.5)
        lat = cube.y0_m.values[n] - step * (np.arange(960) + 0.5)
        truth = terrain.height(*np.meshgrid(lon, lat))
        land = (truth > 20) & (height != 0)
        if land.any():
            assert np.abs(height - truth)[land].max() < 8  # bilinear, on slopes
        assert float(cube.dem_void_fraction.values[n]) == 0


def test_a_month_without_orbits_is_absent_with_its_reason(folder: Path):
    cube = xr.open_zarr(folder / "cubes/embedded-pacific/2021-11.zarr")
    assert set(cube.reason.values.tolist()) == {"no_scene:s5p-co"}
    july = xr.open_zarr(folder / "cubes/embedded-pacific/2021-07.zarr")
    assert (july.status.values == 1).any()
    assert (july["s5p-no2_orbits"].values[july["s5p-no2_status"].values == 1] >= 1).all()


def test_batches_mask_what_is_missing_and_counts_tell_it(folder: Path):
    index = json.loads((folder / "shards/index.json").read_text())
    counts = index["counts"]["patches"]["embedded-pacific"]
    assert "ok" not in counts["2021-11"]
    dataset = open_shards(folder, "train", batch_size=8)
    for batch in dataset:
        november = dataset.index.arrays["s5p-no2_28px"].seasons.index("2021-11")
        assert not batch["s5p-no2_ok"][:, november].any()
        assert (batch["s5p-no2_28px"][:, november] == -32768).all()
        for source, name in (("s5p-no2", "s5p-no2_28px"), ("s3olci", "s3olci_96px"), ("s2l2a", "s2l2a_10m")):
            ok, pixels = batch[f"{source}_ok"], batch[name]
            nodata = dataset.index.arrays[name].nodata
            missing = pixels[~ok].float()
            assert (missing == nodata).all()
            there = pixels[ok].float()
            assert (there.flatten(1) != nodata).any(dim=1).all()
        winter = dataset.index.arrays["s2l2a_10m"].seasons.index("winter")
        polar = batch["lat"] > 68
        assert not batch["s2l2a_ok"][polar][:, :, winter].any()  # the sun does not rise


def test_samples_are_chosen_by_what_they_hold(folder: Path):
    every = open_shards(folder, "train", batch_size=1)
    some = open_shards(folder, "train", batch_size=1, require={"s3olci", "s2l2a"}, at_least={"s5p-o3": 2})
    assert 0 < len(some) <= len(every)
    for batch in some:
        assert batch["s3olci_ok"].any()
        assert batch["s2l2a_ok"].any()
        assert batch["s5p-o3_ok"].sum() >= 2


def test_a_killed_build_goes_on_to_the_same_bytes(folder: Path, tmp_path: Path):
    build = ("--region", "embedded-pacific", "--season", "summer,2021-07", "--scheduler", "none")
    command = [sys.executable, "-m", "curation", *arguments(tmp_path, "build", *build)]
    for seconds in (12.0, 20.0):
        quiet = dict.fromkeys(("stdout", "stderr"), subprocess.DEVNULL)
        with started(command, start_new_session=True, **quiet) as process:
            time.sleep(seconds)
            process.send_signal(signal.SIGKILL)
            process.wait()
    assert main.main(arguments(tmp_path, "build", *build)) == 0
    for cube in ("embedded-pacific/2021-07", "embedded-pacific/summer", "embedded-pacific.children/summer"):
        before, after = folder / f"cubes/{cube}.zarr", tmp_path / f"ssl4eo-s/cubes/{cube}.zarr"
        names = sorted(str(p.relative_to(before)) for p in before.rglob("c/*") if p.is_file())
        assert names == sorted(str(p.relative_to(after)) for p in after.rglob("c/*") if p.is_file())
        for name in names:
            assert (before / name).read_bytes() == (after / name).read_bytes(), f"{cube} {name}"
    assert main.main(arguments(tmp_path, "verify")) == 0


def test_orbits_of_one_catalog_and_radiances_of_another_give_what_one_catalog_gives(folder: Path, tmp_path: Path):
    # Two servers that know nothing of each other, and the embedded Earth of the command itself for the rest.
    where = ("--region", "embedded-pacific", "--scheduler", "none")
    season = ("--season", "summer,2021-07", "--limit", "3")
    with embedded.serve() as olci, embedded.serve() as s5p:
        more = ("--catalog", f"s3olci={olci}", "--catalog", f"s5p-*={s5p}")
        assert main.main(arguments(tmp_path, "build", *where, *season, *more)) == 0
        assert main.main(arguments(tmp_path, "pack", *where, *more)) == 0
    one, three = (json.loads((its / "shards/index.json").read_text()) for its in (folder, tmp_path / "ssl4eo-s"))
    # Each patch comes to what it comes to where one catalog is asked for everything, pixel by pixel: its chunks' hashes.
    for region in ("embedded-pacific", "embedded-pacific.children"):
        for cube in ("summer", "2021-07")[: 1 if region.endswith("children") else 2]:
            alone, mine = (
                {o.id: (o.label, o.chunks) for o in Ledger.replay(Store(its), region, cube).outcomes()}
                for its in (folder, tmp_path / "ssl4eo-s")
            )
            assert len(mine) >= 3
            assert mine.items() <= alone.items()
            assert region.endswith("children") or any(label == "ok" for label, _ in mine.values())
    assert set(one["counts"]["catalogs"].values()) == {"embedded"}
    assert three["counts"]["catalogs"] == {
        n: olci if n == "s3olci" else s5p if n.startswith("s5p-") else "embedded" for n in one["sources"]
    }
    searched = (tmp_path / "ssl4eo-s/scenes").iterdir()
    assert {frozenset(p.name for p in catalog.iterdir()) for catalog in searched} == {
        frozenset({"s3olci"}), frozenset({n for n in one["sources"] if n.startswith("s5p-")}),
        frozenset({"s2l2a", "s1rtc", "dem"}),
    }  # fmt: skip
