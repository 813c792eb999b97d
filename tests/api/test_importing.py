"""Foreign datasets made into ours: real chips refused as they are, taken with what mends them; pixels as GDAL has them."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rasterio
from PIL import Image as Pillow

import curation
from curation.api import importing
from curation.cli import main
from curation.errors.codes import Code
from curation.format.index import Index
from curation.outcomes import PatchOutcome, Status
from curation.store.ledger import Ledger
from curation.store.objects import Store
from tests import foreign, tortillas
from tests.foreign import BENV2, BENV2_MENDS, TREESATAI, TREESATAI_MENDS, curate_import, mended
from tests.geotiff import write
from tests.processes import started


@dataclass(frozen=True)
class Imported:
    """A dataset that was imported."""

    source: Path
    recipe: Path
    root: Path
    code: int
    """Of the command."""

    @property
    def folder(self) -> Path:
        return self.root / self.recipe.stem

    @property
    def index(self) -> Index:
        return Index.from_bytes((self.folder / "shards/index.json").read_bytes())

    def outcomes(self) -> dict[str, PatchOutcome]:
        return {o.id: o for o in Ledger.replay(Store(self.folder), "world", "static").outcomes()}

    def curate(self, verb: str) -> int:
        return main.main([verb, "--dataset", str(self.recipe), "--root", str(self.root)])


def imported(source: Path, recipe: dict[str, Any], into: Path) -> Imported:
    path = foreign.write(into, recipe)
    return Imported(source, path, into / "root", curate_import(source, path, into / "root"))


@pytest.fixture(scope="module")
def trees(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Imported:
    """Seven samples, of which one's radar lies 25 m beside its aerial image."""
    source = shared / "data/geobench2-treesatai"
    return imported(source, mended(TREESATAI, TREESATAI_MENDS), tmp_path_factory.mktemp("trees"))


@pytest.fixture(scope="module")
def ben(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Imported:
    source = shared / "data/geobench2-benv2"
    return imported(source, mended(BENV2, BENV2_MENDS), tmp_path_factory.mktemp("ben"))


TREES_AS_THEY_ARE = {"s2: chip_footprint: 7 of 7", "s1: chip_footprint: 7 of 7", "3040 m, expected 60.8 m"}
ONE_MEND = {"s1": {"pixel_m": 0.2, "within_m": 30}}
CASES = [
    pytest.param("treesatai", TREESATAI, {}, TREES_AS_THEY_ARE, marks=pytest.mark.slow),
    pytest.param(
        "treesatai",
        TREESATAI,
        ONE_MEND,
        {"s1: unit_range: 7 of 7", "holds 65", "bits = 'int16'"},
        marks=pytest.mark.slow,
    ),
    ("benv2", BENV2, {}, {"s2: chip_footprint: 4 of 4", "120 pixels of 60 m are 7200 m, expected 1200 m", "pixel_m"}),
    ("benv2", BENV2, BENV2_MENDS, {"each is as the recipe states it", "left out by [split]: test 2"}),
]


@pytest.mark.parametrize(("name", "recipe", "mends", "found"), CASES)
def test_a_dry_run_tells_what_is_refused_and_what_would_mend_it(
    name: str, recipe: dict[str, Any], mends: dict[str, Any], found: set[str], shared: Path, tmp_path: Path, capsys
):
    path = foreign.write(tmp_path, mended(recipe, mends))
    code = curate_import(shared / f"data/geobench2-{name}", path, tmp_path / "root", "--dry-run")
    said = capsys.readouterr().out
    assert {f for f in found if f not in said} == set()
    assert code == (0 if "each is as the recipe states it" in found else 1)
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == [path.name]  # nothing is written


def test_the_recipe_that_the_pages_show_is_one(shared: Path, tmp_path: Path, capsys):
    page = (Path(__file__).parents[2] / "manifests/README.md").read_text()
    shown = page.partition("## A dataset that others made")[2].partition("```toml\n")[2].partition("```")[0]
    path = tmp_path / "benv2.toml"
    path.write_text(shown)
    assert curate_import(shared / "data/geobench2-benv2", path, tmp_path / "root", "--dry-run") == 0
    assert "4 samples (chips: s1 4, s2 4)" in capsys.readouterr().out


def test_as_they_are_real_chips_are_not_imported_and_nothing_is_written(shared: Path, tmp_path: Path, capsys):
    its = imported(shared / "data/geobench2-benv2", BENV2, tmp_path)
    assert its.code == 1
    assert "nothing is imported: s2: chip_footprint" in capsys.readouterr().err
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == [its.recipe.name]


@pytest.mark.parametrize(
    ("fixture", "names", "ok"),
    [("ben", ("s1", "s2"), 4), pytest.param("trees", ("aerial", "s2", "s1"), 6, marks=pytest.mark.slow)],
)
def test_with_what_mends_them_pixels_are_those_that_gdal_reads(
    fixture: str, names: tuple[str, ...], ok: int, request: pytest.FixtureRequest
):
    its: Imported = request.getfixturevalue(fixture)
    samples = [o.id for o in its.outcomes().values() if o.status is Status.OK]
    assert (its.code, len(samples)) == (0, ok)
    for sample in samples:
        found = curation.open_patch(str(its.folder), f"world/static/{sample}")
        for name in names:
            with rasterio.open(its.source / f"{sample}_{name}.tif") as file:
                wanted = file.read()
            wanted = wanted.view("int16") if (fixture, name) == ("trees", "s1") else wanted
            assert (found[next(n for n in found if n.startswith(f"{name}_"))].values == wanted).all()


@pytest.mark.parametrize("by_rows", [False, True])
def test_a_tortilla_is_imported_as_the_folder_that_it_packs(ben: Imported, by_rows: bool, tmp_path: Path):
    """As its authors publish it: an item for each sample, in which are a file of each sensor, and one table of all."""
    table = json.loads((ben.source / "samples.json").read_text())
    samples = [r["tortilla:id"] for r in table]
    inner = [[(s, "GTiff", (ben.source / f"{name}_{s}.tif").read_bytes()) for s in ("s1", "s2")] for name in samples]
    items = [(name, "TORTILLA", tortillas.packed(its)) for name, its in zip(samples, inner, strict=True)]
    more = [{k: v for k, v in row.items() if k.startswith(("tortilla:data", "stac:", "country"))} for row in table]
    (tmp_path / "set").mkdir()
    (tmp_path / "set/benv2.tortilla").write_bytes(tortillas.packed(items, more))
    which = {"rows": "*.tortilla"} if by_rows else {"file": "benv2.tortilla", "id": "tortilla:id"}
    recipe = mended(BENV2, BENV2_MENDS) | {"table": which | {"columns": ["country"]}}
    name = r".*!sample_\d+" if by_rows else r"sample_\d+"
    recipe["sources"] = {s: its | {"files": rf"(?P<id>{name})/{s}$"} for s, its in recipe["sources"].items()}
    its = imported(tmp_path / "set", recipe, tmp_path / "out")
    assert its.code == 0
    ours, theirs = its.outcomes(), ben.outcomes()
    assert len(ours) == len(theirs) == 4
    for sample in theirs:
        here = f"benv2-tortilla-{sample}" if by_rows else sample
        assert ours[here].status is Status.OK
        a, b = (curation.open_patch(str(of.folder), f"world/static/{n}") for of, n in ((its, here), (ben, sample)))
        assert all(a[n].equals(b[n]) for n in ("s1_10m", "s2_10m"))
    assert {n: e.samples for n, e in its.index.splits.items()} == {n: e.samples for n, e in ben.index.splits.items()}


def test_places_are_those_of_the_georeference_that_is_believed(ben: Imported):
    found = curation.open_patch(str(ben.folder), "world/static/sample_12798")
    pixels = found["s2_10m"]
    assert pixels.rio.crs.to_epsg() == 32629
    assert tuple(pixels.rio.transform())[:6] == (10.0, 0.0, 605580.0, 0.0, -10.0, 6147240.0)


@pytest.mark.slow
def test_what_is_refused_stands_in_the_ledger_with_its_reason_and_what_was_found(trees: Imported):
    outcome = trees.outcomes()["sample_4737"]
    assert (outcome.status, outcome.reason) == (Status.REJECTED, "chip_place:s1")
    its = outcome.sources["s1"]
    assert (its.code, round(its.value or 0, 2)) == (Code.CHIP_PLACE, 25.0)
    assert "a corner lies 24.9999 m beside" in (its.cause or "")


def test_it_is_verified_like_any_other(ben: Imported, capsys):
    assert ben.curate("verify") == 0
    assert "1 cube, 4 patches, 4 samples; all as recorded" in capsys.readouterr().out


@pytest.mark.slow
def test_it_is_drawn_like_any_other(ben: Imported):
    assert ben.curate("report") == 0
    assert "BigEarthNet v2" in (ben.folder / "report.html").read_text()


def test_the_split_of_the_table_is_kept_and_its_test_set_is_not_trained_on(ben: Imported):
    samples = {split: e.samples for split, e in ben.index.splits.items()}
    assert samples == {"train": 2, "val": 2}
    table = json.loads((ben.source / "samples.json").read_text())
    test = {r["tortilla:id"] for r in table if r["tortilla:data_split"] == "test"}
    assert (len(test), test & set(ben.outcomes())) == (2, set())


def test_bands_have_their_canonical_names_and_units(ben: Imported):
    arrays = ben.index.arrays
    assert [b.name for b in arrays["s2_10m"].canonical] == [f"s2.{b}" for b in foreign.S2]
    assert arrays["s2_10m"].canonical[1].centre_nm == 492.4
    assert [b.name for b in arrays["s1_10m"].canonical] == ["s1.vh", "s1.vv"]
    assert [arrays[n].unit for n in ("s1_10m", "s2_10m")] == ["sigma0, dB", "reflectance × 10000"]


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.filterwarnings(r"ignore:unclosed file .*\.tar:ResourceWarning")  # webdataset's own
def test_the_streaming_reader_and_stock_webdataset_read_the_same(trees: Imported):
    import webdataset

    from curation.stream import open_shards

    batch = next(iter(open_shards(trees.folder / "shards", "train", batch_size=5)))
    tars = sorted(map(str, (trees.folder / "shards/train").glob("*.tar")))
    stock = {sample["__key__"]: sample for sample in webdataset.WebDataset(tars, shardshuffle=False)}
    assert set(stock) == set(batch["key"])
    assert batch["s2_0p2m"].shape == (5, 12, 304, 304)
    table = {r["tortilla:id"]: r for r in json.loads((trees.source / "samples.json").read_text())}
    for n, key in enumerate(batch["key"]):
        assert json.loads(stock[key]["class_shares.json"]) == batch["class_shares"][n].tolist()
        wanted = dict(zip(table[key]["species_labels"], table[key]["dist_labels"], strict=True))
        assert batch["class_shares"][n].tolist() == [wanted.get(name, 0.0) for name in foreign.TREES]
        assert batch["year"][n] == table[key]["year"]


def small(folder: Path, ids: str = "abcd", **more: Any) -> dict[str, Any]:
    """A dataset of ramps, a GeoTIFF each, and its recipe."""
    for n, name in enumerate(ids):
        pixels = np.arange(2 * 8 * 8, dtype="uint16").reshape(2, 8, 8) + 1 + n
        write(folder / f"{name}.tif", pixels, west=500_040 + 60_000 * n, north=5_600_040, res_m=10)
    arrays = [{"res_m": 10, "bands": ["s2.b04", "s2.b08"], **foreign.REFLECTANCE}]
    return {
        "dataset": {"name": "small", "title": "Small", "footprint_m": 80},
        "place": {"of": "s2"},
        "sources": {"s2": foreign.ABOUT | {"files": r"(?P<id>[a-z]+)\.tif$", "arrays": arrays}},
        "cube": {"slab_patches": 1},
    } | more


def test_a_file_that_cannot_be_read_stands_in_the_ledger_with_its_cause_and_a_rerun_takes_it(tmp_path: Path, capsys):
    recipe = small(tmp_path / "chips")
    table = [{"id": name, "lon": 9.0 + n, "lat": 50.5} for n, name in enumerate("abcd")]
    (tmp_path / "chips/t.json").write_text(json.dumps(table))
    recipe |= {"place": {"lon": "lon", "lat": "lat"}, "table": {"file": "t.json", "id": "id"}}
    recipe["sources"]["s2"]["mend"] = {"georeference": "ignore"}
    whole = (tmp_path / "chips/c.tif").read_bytes()
    (tmp_path / "chips/c.tif").write_bytes(whole[: len(whole) // 2])
    its = imported(tmp_path / "chips", recipe, tmp_path / "out")
    assert its.code == 1
    assert "s2: ReadError: c.tif: no chip of form 'tiff'" in capsys.readouterr().err
    failed = its.outcomes()["c"]
    assert (failed.status, failed.sources["s2"].code, failed.chunks) == (Status.FAILED, "ReadError", {})
    assert "c.tif" in (failed.sources["s2"].cause or "")
    assert sum(e.samples for e in its.index.splits.values()) == 3
    (tmp_path / "chips/c.tif").write_bytes(whole)
    assert curate_import(its.source, its.recipe, its.root) == 0
    assert its.outcomes()["c"].status is Status.OK
    assert sum(e.samples for e in its.index.splits.values()) == 4


def test_a_sample_of_which_nobody_knows_where_it_is_is_told_and_added_behind_the_others(tmp_path: Path, capsys):
    recipe = small(tmp_path / "chips")
    whole = (tmp_path / "chips/b.tif").read_bytes()
    (tmp_path / "chips/b.tif").write_bytes(whole[:200])
    its = imported(tmp_path / "chips", recipe, tmp_path / "out")
    assert its.code == 1
    assert "1 sample of no known place" in capsys.readouterr().err
    unplaced = its.folder / "manifest/unplaced.json"
    assert list(json.loads(unplaced.read_text())) == ["b"]
    (tmp_path / "chips/b.tif").write_bytes(whole)
    assert curate_import(its.source, its.recipe, its.root) == 0
    assert not unplaced.exists()
    assert {o.status for o in its.outcomes().values()} == {Status.OK}
    assert len(its.outcomes()) == 4


@pytest.mark.parametrize("is_cut", [True, False])
def test_a_sample_that_has_a_place_keeps_its_row_where_its_file_is_gone(is_cut: bool, tmp_path: Path, capsys):
    its = imported(tmp_path / "chips", small(tmp_path / "chips"), tmp_path / "out")
    file, table = tmp_path / "chips/b.tif", tmp_path / "out/imported/small.parquet"
    whole, before = file.read_bytes(), table.read_bytes()
    file.unlink()
    if is_cut:
        file.write_bytes(whole[:200])
    assert curate_import(its.source, its.recipe, its.root) == 2
    said = capsys.readouterr().err
    assert "no place is known now of 1 sample that have one there, such as b: " in said
    assert table.read_bytes() == before
    file.write_bytes(whole)
    assert curate_import(its.source, its.recipe, its.root) == 0
    assert table.read_bytes() == before


def test_chips_of_another_release_are_not_added_to_those_of_this_one(tmp_path: Path, capsys):
    its = imported(tmp_path / "chips", small(tmp_path / "chips", "ab"), tmp_path / "out")
    before = {p: p.read_bytes() for p in its.root.rglob("*") if p.is_file()}
    small(tmp_path / "chips", "abc")  # with one more, and the others of other pixels
    for n, name in enumerate("ab"):
        pixels = np.full((2, 8, 8), 9, "uint16")
        write(tmp_path / f"chips/{name}.tif", pixels, west=500_040 + 60_000 * n, north=5_600_040, res_m=10)
    assert curate_import(its.source, its.recipe, its.root) == 2
    said = capsys.readouterr().err
    assert re.search("have become others since they were built, such as s2 of ([ab]): ..tif#sha256=", said)
    assert {p: p.read_bytes() for p in its.root.rglob("*") if p.is_file()} == before


def test_a_chip_that_nobody_looks_at_and_that_has_become_another_is_told(tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setattr(importing, "LOOK", 1)  # the first alone
    its = imported(tmp_path / "chips", small(tmp_path / "chips"), tmp_path / "out")
    chip, record = tmp_path / "chips/c.tif", its.folder / "manifest/chips.parquet"
    first, whole = record.read_bytes(), chip.read_bytes()
    os.utime(chip, ns=(0, 10**18))  # copied, and still the same
    assert curate_import(its.source, its.recipe, its.root) == 0
    assert record.read_bytes() != first
    before = {p: p.read_bytes() for p in its.root.rglob("*") if p.is_file()}
    write(chip, np.full((2, 8, 8), 9, "uint16"), west=620_040, north=5_600_040, res_m=10)
    for _ in range(2):  # and again: what is told is not taken for known
        capsys.readouterr()
        assert curate_import(its.source, its.recipe, its.root) == 2
        assert "such as s2 of c: c.tif#sha256=" in capsys.readouterr().err
        assert {p: p.read_bytes() for p in its.root.rglob("*") if p.is_file()} == before
    chip.write_bytes(whole)
    assert curate_import(its.source, its.recipe, its.root) == 0


def test_a_changed_chip_that_could_not_be_read_is_looked_at_by_the_next_import(tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setattr(importing, "LOOK", 1)
    recipe = small(tmp_path / "chips")
    table = [{"id": name, "lon": 9.0 + n, "lat": 50.5} for n, name in enumerate("abcd")]
    (tmp_path / "chips/t.json").write_text(json.dumps(table))
    recipe |= {"place": {"lon": "lon", "lat": "lat"}, "table": {"file": "t.json", "id": "id"}}
    recipe["sources"]["s2"]["mend"] = {"georeference": "ignore"}
    its = imported(tmp_path / "chips", recipe, tmp_path / "out")
    chip = tmp_path / "chips/c.tif"
    write(chip, np.full((2, 8, 8), 9, "uint16"), west=620_040, north=5_600_040, res_m=10)
    other = chip.read_bytes()
    for content, code in ((bytes(len(other)), 0), (other, 2)):  # of one size and time
        chip.write_bytes(content)
        os.utime(chip, ns=(0, 10**18))
        assert curate_import(its.source, its.recipe, its.root) == code
    assert "such as s2 of c: c.tif#sha256=" in capsys.readouterr().err


def test_a_chip_that_was_refused_and_is_as_stated_by_now_is_told(tmp_path: Path, capsys):
    recipe = small(tmp_path / "chips")
    chip = tmp_path / "chips/c.tif"
    whole = chip.read_bytes()
    write(chip, np.full((2, 9, 9), 9, "uint16"), west=620_040, north=5_600_040, res_m=10)
    its = imported(tmp_path / "chips", recipe, tmp_path / "out")
    assert its.outcomes()["c"].status is Status.REJECTED
    assert curate_import(its.source, its.recipe, its.root) == 0
    chip.write_bytes(whole)
    capsys.readouterr()
    assert curate_import(its.source, its.recipe, its.root) == 2
    assert "such as s2 of c: rejected: chip_footprint, by now c.tif#sha256=" in capsys.readouterr().err


def test_bands_of_a_radar_that_are_swapped_are_told_and_acknowledged_by_a_key(shared: Path, tmp_path: Path, capsys):
    recipe = mended(BENV2, BENV2_MENDS)
    recipe["sources"]["s1"] = BENV2["sources"]["s1"] | {
        "arrays": [{"res_m": 10, "bands": ["s1.vv", "s1.vh"], **foreign.DB}]
    }
    its = imported(shared / "data/geobench2-benv2", recipe, tmp_path / "out")
    said = capsys.readouterr().err
    assert its.code == 1
    assert re.search(r"nothing is imported: band_order: s1: VH has a median of -16, VV of -26.47 \(sigma0, dB\)", said)
    assert "[sources.s1] bands in the order of the files; mend = { order = 'stated' }" in said
    acknowledged = mended(recipe, BENV2_MENDS | {"s1": {"order": "stated"}})
    path = foreign.write(tmp_path, acknowledged)
    assert curate_import(its.source, path, tmp_path / "root", "--dry-run") == 0
    assert "band_order" not in capsys.readouterr().out


def test_a_table_with_a_column_called_split_is_one_like_any_other(tmp_path: Path):
    recipe = small(tmp_path / "chips")
    sides, trees = ("tr", "tr", "va", "te"), (["x"], [], ["y", "x"], [])
    rows = [{"id": n, "split": of, "trees": its} for n, of, its in zip("abcd", sides, trees, strict=True)]
    (tmp_path / "chips/t.json").write_text(json.dumps(rows))
    recipe |= {
        "table": {"file": "t.json", "id": "id"},
        "split": {"column": "split", "train": ["tr"], "val": ["va"], "leave_out": ["te"]},
        "labels": {"names": "trees", "classes": ["x", "y, z", "y"]},
    }
    its = imported(tmp_path / "chips", recipe, tmp_path / "out")
    assert its.code == 0
    assert {split: e.samples for split, e in its.index.splits.items()} == {"train": 2, "val": 1}
    assert "table_split" in its.index.columns
    assert its.index.annotations["class_shares"].names == ("x", "y, z", "y")
    assert "names" in json.loads((its.folder / "shards/index.json").read_text())["annotations"]["class_shares"]


def test_importing_again_makes_the_same_bytes_and_nothing_new(tmp_path: Path, capsys):
    its = imported(tmp_path / "chips", small(tmp_path / "chips"), tmp_path / "out")
    before = {p: p.read_bytes() for p in its.root.rglob("*") if p.is_file()}
    assert curate_import(its.source, its.recipe, its.root) == 0
    assert "nothing to build" in capsys.readouterr().out
    assert {p: p.read_bytes() for p in its.root.rglob("*") if p.is_file()} == before


def test_samples_of_one_ground_are_samples_of_their_own(tmp_path: Path):
    recipe = small(tmp_path / "chips", "ab")
    pixels = np.full((2, 8, 8), 7, "uint16")
    write(tmp_path / "chips/c.tif", pixels, west=500_040, north=5_600_040, res_m=10)  # where a is, of another date
    its = imported(tmp_path / "chips", recipe, tmp_path / "out")
    assert (its.code, set(its.outcomes())) == (0, {"a", "b", "c"})
    assert (curation.open_patch(str(its.folder), "world/static/c")["s2_10m"].values == 7).all()


def test_where_the_chips_lie_changes_nothing(tmp_path: Path):
    its = imported(tmp_path / "chips", small(tmp_path / "chips"), tmp_path / "out")
    shutil.move(tmp_path / "chips", tmp_path / "moved")
    assert curate_import(tmp_path / "moved", its.recipe, its.root) == 0
    assert its.curate("verify") == 0


def test_a_mend_is_in_the_digest_so_that_what_stands_is_not_taken_for_it(tmp_path: Path, capsys):
    recipe = small(tmp_path / "chips")
    its = imported(tmp_path / "chips", recipe, tmp_path / "out")
    foreign.write(tmp_path / "out", mended(recipe, {"s2": {"within_m": 40}}))
    assert curate_import(its.source, its.recipe, its.root) == 2
    assert "within_m" in capsys.readouterr().err


def test_a_build_without_the_chips_is_refused_before_anything_is_read(tmp_path: Path, capsys):
    its = imported(tmp_path / "chips", small(tmp_path / "chips", "ab"), tmp_path / "out")
    shutil.rmtree(its.folder)
    code = main.main(["build", "--dataset", str(its.recipe), "--root", str(its.root), "--scheduler", "none"])
    assert (code, "curate import" in capsys.readouterr().err) == (2, True)


def test_nodata_inside_statistics_is_refused_before_anything_is_written(tmp_path: Path, capsys):
    recipe = small(tmp_path / "chips")
    for n, name in enumerate("abcd"):
        heights = np.random.default_rng(0).normal(300, 20, (1, 64, 64)).astype("float32")
        heights[0, 0, :20] = -9000  # half a percent, and what nobody fills with
        write(tmp_path / f"chips/{name}.tif", heights, west=500_040 + 60_000 * n, north=5_600_040, res_m=10)
    array = {"res_m": 10, "bands": ["dem.z"], "dtype": "float32", "nodata": -32768, "unit": "m"}
    recipe |= {"dataset": recipe["dataset"] | {"footprint_m": 640}, "bands": {"dem.z": {}}}
    recipe["sources"] = {"dem": foreign.ABOUT | {"files": r"(?P<id>[a-z])\.tif$", "arrays": [array]}}
    recipe["place"] = {"of": "dem"}
    its = imported(tmp_path / "chips", recipe, tmp_path / "out")
    assert its.code == 1
    assert "nothing is imported: odd_spread: dem" in capsys.readouterr().err
    assert not its.folder.exists()
    wide = imported(tmp_path / "chips", mended(recipe, {"dem": {"spread": "wide"}}), tmp_path / "wide")
    assert wide.code == 0
    array["file_nodata"] = [-9000]
    named = imported(tmp_path / "chips", recipe, tmp_path / "named")
    assert named.code == 0
    assert named.index.statistics["dem_10m"]["z"].min > 200


def test_a_folder_per_class_is_the_target_of_samples(tmp_path: Path):
    # As EuroSAT: <class>/<class>_<n>.tif.
    recipe = small(tmp_path / "none", "")
    for n, name in enumerate(("Forest", "Forest", "River", "River")):
        pixels = np.full((2, 8, 8), n + 1, "uint16")
        write(tmp_path / f"chips/{name}/{name}_{n}.tif", pixels, west=500_040 + 60_000 * n, north=5_600_040, res_m=10)
    recipe["sources"]["s2"]["files"] = r"(?P<label>[A-Za-z]+)/(?P<id>[^/]+)\.tif$"
    its = imported(tmp_path / "chips", recipe | {"labels": {"column": "label"}}, tmp_path / "out")
    assert its.code == 0
    assert its.index.target is not None
    assert its.index.target.classes == ("Forest", "River")
    assert set(its.outcomes()) == {"forest_0", "forest_1", "river_2", "river_3"}


def test_images_in_rows_of_parquet_are_samples_with_what_their_rows_say(tmp_path: Path):
    # As `datasets` of Hugging Face writes them: {bytes, path}, and columns beside.
    colours = np.random.default_rng(0).integers(0, 255, (6, 8, 8, 3), "uint8")
    cells = []
    for values in colours:
        out = io.BytesIO()
        Pillow.fromarray(values).save(out, "PNG")
        cells.append({"bytes": out.getvalue(), "path": None})
    more = {"label": ["a", "b"] * 3, "lon": [9.0 + n for n in range(6)], "lat": [50.0] * 6}
    (tmp_path / "set/data").mkdir(parents=True)
    for n in range(2):
        part = slice(3 * n, 3 * n + 3)
        rows = {"image": cells[part], **{k: v[part] for k, v in more.items()}}
        pq.write_table(pa.table(rows), tmp_path / f"set/data/train-{n}.parquet", row_group_size=2)
    recipe = small(tmp_path / "none", "")
    array = {
        "res_m": 10,
        "bands": ["cam.red", "cam.green", "cam.blue"],
        "dtype": "int16",
        "nodata": -1,
        "range": [0, 255],
    }
    recipe["sources"] = {
        "rgb": foreign.ABOUT
        | {
            "form": {"name": "parquet-rows", "key": "image"},
            "files": r"(?P<id>.*\.parquet!\d+)$",
            "arrays": [array | {"unit": "digital number"}],
        }
    }
    recipe |= {
        "place": {"lon": "lon", "lat": "lat"},
        "table": {"rows": "data/*.parquet"},
        "labels": {"column": "label"},
    }
    its = imported(tmp_path / "set", recipe | {"bands": {b: {} for b in array["bands"]}}, tmp_path / "out")
    assert its.code == 0
    assert its.index.target is not None
    assert its.index.target.classes == ("a", "b")
    found = curation.open_patch(str(its.folder), "world/static/data-train-1-parquet-2")["rgb_10m"]
    assert (found.values == np.moveaxis(colours[5], -1, 0)).all()


@pytest.fixture(scope="module")
def bigearthnet(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Imported:
    """The example that comes with its authors' code: a GeoTIFF per band, of 10, 20 and 60 m, and radar of another name."""
    source, into = shared / "data/bigearthnet-common", tmp_path_factory.mktemp("bigearthnet")
    metadata = sorted(source.glob("BigEarthNet-S1-Example/*/*_labels_metadata.json"))
    with (into / "pairs.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["s2", "s1", "labels"])
        rows.writerows([json.loads(p.read_text())["corresponding_s2_patch"], p.parent.name, "x"] for p in metadata)
    groups = {10: ["B02", "B03", "B04", "B08"], 20: ["B05", "B06", "B07", "B8A", "B11", "B12"], 60: ["B01", "B09"]}
    s2 = [
        {"res_m": r, "bands": [f"s2.{b.lower()}" for b in bs], "file_bands": bs, **foreign.REFLECTANCE}
        for r, bs in groups.items()
    ]
    s1 = [{"res_m": 10, "bands": ["s1.vv", "s1.vh"], "file_bands": ["VV", "VH"], **foreign.DB}]
    recipe = {
        "dataset": {"name": "bigearthnet", "title": "BigEarthNet", "footprint_m": 1200},
        "place": {"of": "s2"},
        "table": {"file": "pairs.csv", "id": "s2"},
        "sources": {
            "s2": foreign.ABOUT | {"files": r"S2-Example/(?P<id>[^/]+)/\1_(?P<band>B\w\w)\.tif$", "arrays": s2},
            "s1": foreign.ABOUT
            | {
                "files": r"S1-Example/(?P<id>[^/]+)/\1_(?P<band>V[VH])\.tif$",
                "arrays": s1,
                "join": "s1",
                "kind": "radar",
            },
        },
        "pack": {"radar_floor_db": -80},
    }
    return imported(source, recipe, into)


def test_a_file_per_band_at_its_own_metre_and_radar_of_another_name_are_one_sample(bigearthnet: Imported):
    assert bigearthnet.code == 0
    assert {o.status for o in bigearthnet.outcomes().values()} == {Status.OK}
    arrays = bigearthnet.index.arrays
    assert {n: a.shape for n, a in arrays.items()} == {
        "s1_10m": (2, 120, 120),
        "s2_10m": (4, 120, 120),
        "s2_20m": (6, 60, 60),
        "s2_60m": (2, 20, 20),
    }
    name = "s2a_msil2a_20170613t101031_87_48"
    found = curation.open_patch(str(bigearthnet.folder), f"world/static/{name}")
    folder = bigearthnet.source / f"BigEarthNet-S2-Example/{name.upper()}"
    for array, band in (("s2_10m", "B08"), ("s2_20m", "B12"), ("s2_60m", "B09")):
        with rasterio.open(folder / f"{name.upper()}_{band}.tif") as file:
            assert (found[array].sel(band=band).values == file.read(1)).all()


def test_decibels_of_a_radar_are_stored_as_ours_are(bigearthnet: Imported):
    entry = bigearthnet.index.arrays["s1_10m"]
    assert (entry.dtype, entry.unit) == ("int16", "sigma0, hundredths of a dB")
    name = "s2a_msil2a_20170613t101031_87_48"
    power = curation.open_patch(str(bigearthnet.folder), f"world/static/{name}")["s1_10m"]
    file = next(bigearthnet.source.glob("BigEarthNet-S1-Example/*_33UUP_87_48/*_VH.tif"))
    with rasterio.open(file) as its:
        np.testing.assert_allclose(10 * np.log10(power.sel(band="VH").values), its.read(1), atol=1e-4)


@pytest.mark.slow
def test_what_was_killed_goes_on_to_the_bytes_of_an_undisturbed_import(tmp_path: Path):
    names = "abcdefghijkl"
    recipe = small(tmp_path / "chips", names, pack={"samples_per_shard": 4})
    whole = imported(tmp_path / "chips", recipe, tmp_path / "whole")
    its = Imported(tmp_path / "chips", foreign.write(tmp_path / "killed", recipe), tmp_path / "killed/root", 0)
    command = [
        sys.executable,
        "-m",
        "curation",
        "import",
        str(its.source),
        "--as",
        str(its.recipe),
        "--scheduler",
        "none",
    ]
    with started([*command, "--root", str(its.root)]) as process:
        while process.poll() is None and len(_segments(its)) < 4:
            time.sleep(0.001)
        process.kill()
        process.wait()
    assert 4 <= len(_segments(its)) <= len(names)
    assert curate_import(its.source, its.recipe, its.root) == 0
    assert its.curate("verify") == 0
    assert _bytes(its) == _bytes(whole)


def _segments(its: Imported) -> list[Path]:
    return list(its.folder.glob("ledger/world/static/*.jsonl"))


def _bytes(its: Imported) -> dict[str, bytes]:
    """Cubes and shards; ledgers and receipts tell of who wrote them, too."""
    found = [p for of in ("cubes", "shards") for p in (its.folder / of).rglob("*") if p.is_file()]
    return {p.relative_to(its.folder).as_posix(): p.read_bytes() for p in found}
