"""Sentinel-2 of Google's bucket: names as it has them, rows that make no item, and a build from files that lie so."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from curation.examples import google_s2_items
from curation.outcomes import Status
from tests import world as tiny
from tests.archive import Archive
from tests.build.test_l1c import BANDS, toa
from tests.jp2files import packed
from tests.loopback import serving
from tests.run import Curate

ROW = {
    "GRANULE_ID": "L1C_T32ULC_A031600_20210710T103000",
    "PRODUCT_ID": "S2A_MSIL1C_20210710T103000_N0301_R108_T32ULC_20210710T124000",
    "DATATAKE_IDENTIFIER": "GS2A_20210710T103000_031600_N03.01",
    "MGRS_TILE": "32ULC",
    "SENSING_TIME": "2021-07-10T10:30:00.461000Z",
    "TOTAL_SIZE": "712345678",
    "CLOUD_COVER": "12.5",
    "GEOMETRIC_QUALITY_FLAG": "PASSED",
    "GENERATION_TIME": "2021-07-10T12:40:00.000000Z",
    "NORTH_LAT": "51.4",
    "SOUTH_LAT": "50.4",
    "WEST_LON": "6.0",
    "EAST_LON": "7.7",
    "BASE_URL": "gs://gcp-public-data-sentinel-2/tiles/32/U/LC/"
    "S2A_MSIL1C_20210710T103000_N0301_R108_T32ULC_20210710T124000.SAFE",
}
"""Columns and forms of the bucket's index."""
L2A = {
    **ROW,
    "GRANULE_ID": "L2A_T32ULC_A031600_20210710T103000",
    "PRODUCT_ID": "S2A_MSIL2A_20210710T103000_N0301_R108_T32ULC_20210710T140000",
    "BASE_URL": "gs://gcp-public-data-sentinel-2/L2/tiles/32/U/LC/"
    "S2A_MSIL2A_20210710T103000_N0301_R108_T32ULC_20210710T140000.SAFE",
}
EVERYWHERE = ["--bbox", "-180", "-90", "180", "90", "--from", "2021-01-01", "--to", "2022-01-01"]


def index(path: Path, *rows: dict[str, str]) -> Path:
    with gzip.open(path, "wt", newline="") as file:
        writer = csv.DictWriter(file, list(ROW))
        writer.writeheader()
        writer.writerows(rows)
    return path


def made(tmp_path: Path, *rows: dict[str, str], where: list[str] = EVERYWHERE) -> list[dict[str, Any]]:
    path = index(tmp_path / "index.csv.gz", *rows)
    assert google_s2_items.main([str(path), str(tmp_path / "google.json"), *where]) == 0
    return json.loads((tmp_path / "google.json").read_text())["features"]


def test_names_of_files_follow_from_a_row(tmp_path: Path):
    level1, level2 = made(tmp_path, ROW, L2A)
    bucket = "https://storage.googleapis.com/gcp-public-data-sentinel-2"
    below = f"{ROW['PRODUCT_ID']}.SAFE/GRANULE/{ROW['GRANULE_ID']}/IMG_DATA"
    assert level1["collection"] == "sentinel-2-l1c"
    assert len(level1["assets"]) == 13
    assert level1["assets"]["B10"]["href"] == f"{bucket}/tiles/32/U/LC/{below}/T32ULC_20210710T103000_B10.jp2"
    below = f"{L2A['PRODUCT_ID']}.SAFE/GRANULE/{L2A['GRANULE_ID']}/IMG_DATA"
    assert level2["collection"] == "sentinel-2-l2a"
    assert level2["assets"].keys() == level1["assets"].keys() - {"B10"} | {"SCL"}
    hrefs = {name: its["href"] for name, its in level2["assets"].items()}
    assert hrefs["B8A"] == f"{bucket}/L2/tiles/32/U/LC/{below}/R20m/T32ULC_20210710T103000_B8A_20m.jp2"
    assert hrefs["SCL"] == f"{bucket}/L2/tiles/32/U/LC/{below}/R20m/T32ULC_20210710T103000_SCL_20m.jp2"
    assert level1["properties"] == level2["properties"]
    assert level1["properties"]["s2:processing_baseline"] == "03.01"
    assert level1["properties"]["proj:epsg"] == 32632
    assert level1["bbox"] == [6.0, 50.4, 7.7, 51.4]


def test_a_box_over_the_antimeridian_is_two(tmp_path: Path):
    (item,) = made(tmp_path, ROW | {"WEST_LON": "179.2", "EAST_LON": "-179.1"})
    sides = [(min(x for x, _ in ring), max(x for x, _ in ring)) for (ring,) in item["geometry"]["coordinates"]]
    assert sides == [(179.2, 180.0), (-180.0, -179.1)]


@pytest.mark.parametrize(
    ("where", "count"),
    [
        (["--bbox", "7.6", "50", "8", "51", "--from", "2021-07-10", "--to", "2021-07-11"], 1),
        (["--bbox", "7.8", "50", "8", "51", "--from", "2021-07-10", "--to", "2021-07-11"], 0),
        (["--bbox", "6", "51.5", "8", "52", "--from", "2021-07-10", "--to", "2021-07-11"], 0),
        (["--bbox", "7.6", "50", "8", "51", "--from", "2021-07-11", "--to", "2021-07-12"], 0),
        (["--bbox", "7.6", "50", "8", "51", "--from", "2021-07-09", "--to", "2021-07-10"], 0),
    ],
)
def test_only_what_touches_the_box_and_is_of_the_days_is_taken(tmp_path: Path, where: list[str], count: int):
    assert len(made(tmp_path, ROW, where=where)) == count


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"PRODUCT_ID": "S2A_OPER_PRD_MSIL1C_PDMC_20151020T162042"}, "products named as before December 2016"),
        ({"BASE_URL": "gs://elsewhere/tiles/32"}, "files that are not in the bucket"),
        ({"CLOUD_COVER": "much"}, "rows whose numbers or times cannot be read"),
        ({"NORTH_LAT": ""}, "rows whose numbers or times cannot be read"),
        ({"SENSING_TIME": "2021-07-10 or so"}, "rows whose numbers or times cannot be read"),
        ({"NORTH_LAT": "50.0"}, "rows that lie nowhere, or at no time"),
        ({"EAST_LON": "6.0"}, "rows that lie nowhere, or at no time"),
        ({"WEST_LON": "180", "EAST_LON": "-180"}, "rows that lie nowhere, or at no time"),
        ({"SENSING_TIME": "2021-07-10T10:30:00"}, "rows that lie nowhere, or at no time"),
    ],
)
def test_rows_that_make_no_item_are_counted(tmp_path: Path, other: dict[str, str], why: str, capsys: Any):
    assert [i["id"] for i in made(tmp_path, ROW | other, L2A)] == [L2A["PRODUCT_ID"]]
    assert f"1 items; left out: 1 {why}" in capsys.readouterr().out


@pytest.mark.parametrize("data", [b"a,b\n1,2\n", b"\xff\xfe", gzip.compress(b"a,b\n1,2\n", mtime=0)[:-9]])
def test_what_is_no_index_is_told(tmp_path: Path, data: bytes, capsys: Any):
    path = tmp_path / ("index.csv.gz" if data[:2] == b"\x1f\x8b" else "index.csv")
    path.write_bytes(data)
    assert google_s2_items.main([str(path), str(tmp_path / "google.json"), *EVERYWHERE]) == 2
    assert "cannot be read as the index of the bucket" in capsys.readouterr().err
    assert not (tmp_path / "google.json").exists()


@pytest.mark.slow
def test_level_1c_is_built_from_files_that_lie_as_in_the_bucket(world: tiny.World, tmp_path: Path):
    mine = world.from_afar(tmp_path / "world")
    edges = tiny._footprint(tiny.X0, tiny.Y0 - 6_000, tiny.X0 + 6_000, tiny.Y0).bounds
    names = ("WEST_LON", "SOUTH_LAT", "EAST_LON", "NORTH_LAT")
    of_world = {"DATATAKE_IDENTIFIER": "GS2A_2021-07-10_N03.01"}  # as its L2A has it, of a baseline of its own
    (item,) = made(tmp_path, ROW | of_world | {n: repr(float(edge)) for n, edge in zip(names, edges, strict=True)})
    files = {}
    for res_m, bands in BANDS.items():
        for band in bands:
            name = item["assets"][band]["href"].removeprefix(f"{google_s2_items.BUCKET}/")
            files[name] = packed(toa(band, res_m)[None], tiny._at(res_m), tiny.EPSG, blockxsize=256, blockysize=256)
    mine.recipe.write_text(mine.recipe.read_text().replace("[sources]\n", "[sources]\ns2l1c = {}\n"))
    catalog = tmp_path / "google.json"
    with serving(Archive(files).answer) as url:
        assert google_s2_items.main([str(tmp_path / "index.csv.gz"), str(catalog), "--base", url, *EVERYWHERE]) == 0
        curate = Curate(mine, tmp_path / "root")
        assert curate("build", "--season", "summer", "--catalog", f"s2l1c={catalog}") == 0
    stored = xr.open_zarr(curate.folder / "cubes/europe/summer.zarr")
    ok = stored.isel(patch=np.flatnonzero(stored.status.values == Status.OK)).load()
    assert ok.sizes["patch"] >= 8
    assert set(ok.s2l1c_scenes.values) == {ROW["PRODUCT_ID"]}
    ids = [str(i) for i in ok.id.values]
    row, col = next((r, c) for r, c in np.ndindex(tiny.LATTICE, tiny.LATTICE) if tiny.name(r, c) in ids)
    for res_m, bands in BANDS.items():
        wanted = np.stack([tiny.crop(toa(b, res_m), res_m, row, col) for b in bands])
        np.testing.assert_array_equal(ok.isel(patch=ids.index(tiny.name(row, col)))[f"s2l1c_{res_m}m"].values, wanted)
