"""Floods as loaders of Kuro Siwo look for them, of samples whose pixels are known: read here as these loaders read."""

import datetime as dt
import json
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import rasterio

from curation.errors import ConfigError, CurationError
from curation.format import payload, tar
from curation.format.index import ArrayEntry, BandEntry, ShardEntry
from curation.format.tar import Sample
from curation.pack.export.forms.kuro_siwo import KuroSiwo
from curation.pack.export.of_shards import ShardPiece
from curation.pack.export.pieces import ExportScope
from curation.pack.export.target import PieceJob, write_piece
from curation.recipe.dataset import load_dataset
from curation.store.objects import Store

PX, NODATA = 8, -32768.0
SEASONS = {"post": "2021-11-15T05:30:00Z", "pre1": "2021-11-03T05:30:00Z", "pre2": "2021-10-22T05:30:00Z"}
DRY = "59a1f8a2-6d5e-5a6e-8f5e-0123456789ab"
"""The id of a sample of the published set: one without labels here."""
GRID = "09dd5f42-e684-5c57-82d8-141078640c62"
"""As its catalogue has it, in a column."""


def entry(source: str, season: str | None, names: list[str], **more: Any) -> ArrayEntry:
    said = {"dtype": "float32", "unit": "1", "nodata": NODATA, "role": "data", "encoding": "npy"} | more
    bands = tuple(n.partition(".")[2] for n in names)
    its = {"bands": bands, "shape": (len(names), PX, PX), "res_m": 10.0, "canonical": tuple(map(BandEntry, names))}
    return ArrayEntry(source=source, seasons=(season,) if season else (), **its, **said)


ARRAYS = {f"s1{s}_10m": entry(f"s1{s}", s, ["s1.vh", "s1.vv"]) for s in SEASONS} | {
    "water_10m": entry("water", "post", ["water.class"], dtype="uint8", nodata=3, role="classes"),
    "dem_10m": entry("dem", None, ["dem.height"]),
    "slope": entry("slope", None, ["derived.slope"]),
}


def member(array: str) -> str:
    return ".".join([array, *ARRAYS[array].seasons, "npy"])


def by_season(its: tuple[str, Any]) -> tuple[tuple[str, ...], str]:
    """The order of members in a sample: what is static, then season by season, by name."""
    return ARRAYS[its[0]].seasons, its[0]


def pixels_of(array: str) -> np.ndarray:
    """Each array has numbers of its own."""
    its = ARRAYS[array]
    start = 1 + 1000 * list(ARRAYS).index(array)
    found = np.arange(start, start + np.prod(its.shape)).reshape(its.shape)
    return (found % 3 if its.role == "classes" else found).astype(its.dtype)


def meta_of(key: str, **columns: Any) -> dict[str, Any]:
    seasons = {s: {"sources": {f"s1{s}": {"time": t, "scenes": [f"S1A_{s}"]}}} for s, t in SEASONS.items()}
    seasons["post"]["sources"]["water"] = {"time": SEASONS["post"], "scenes": ["map"]}
    where = {"id": key, "epsg": 32633, "x0_m": 500000.0, "y0_m": 5000000.0, "size_m": 80.0, "split": "train"}
    return where | {"seasons": seasons, "static": {"sources": {}}, "columns": columns}


def shard(folder: Path, samples: dict[str, dict[str, Any]], arrays: dict[str, ArrayEntry] = ARRAYS) -> ShardPiece:
    """A shard of samples: key → columns, and `pixels` by array where these are others, None of one that it lacks."""
    made, rows = [], []
    for key, said in samples.items():
        columns = {k: v for k, v in said.items() if k != "pixels"}
        pixels = {a: pixels_of(a) for a in ARRAYS} | said.get("pixels", {})
        members = {
            member(a): payload.encode(p, "none") for a, p in sorted(pixels.items(), key=by_season) if p is not None
        }
        made.append(Sample(key, {"meta.json": tar.meta_bytes(meta_of(key, **columns))} | members))
        rows.append({"id": key} | columns)
    data, _ = tar.write_tar(made)
    store = Store(folder)
    receipt = store.publish("train/x-000000.tar", data)
    its = ShardEntry(receipt.key, receipt.size, receipt.sha256, len(made))
    members = tuple(sorted(".".join([a, *its.seasons, "npy"]) for a, its in arrays.items()))
    return ShardPiece(store, "floods", "train", 0, 1, its, pa.Table.from_pylist(rows), arrays, {}, members)


def exported(piece: ShardPiece, to: Path) -> Path:
    """What the form writes of it, written."""
    form = KuroSiwo()
    scope = form.prepared(ExportScope(load_dataset("kuro-siwo"), (piece,)), piece.store, Store(to))
    files = list(form.files(piece))
    for name, data in [*files, *form.last(scope, [[k for k, _ in files]]).items()]:
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        (to / name).write_bytes(data)
    return to


FLOOD = {"event": "ev101", "date": "2021-11-09", "climate": "Temperate"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lacks = {"s1post_10m": pixels_of("s1post_10m"), "water_10m": None}
    lacks["s1post_10m"][0, 2, 3] = NODATA
    samples = {
        "ev101-3": FLOOD,
        "ev7-1": {"actid": 1111002.0, "aoiid": 4.0, "date": "2020-09-14", "climate": "arid", "grid_id": GRID},
        DRY: FLOOD | {"pixels": lacks},
    }
    return exported(shard(tmp_path / "shards", samples), tmp_path / "out")


def loaded(root: Path, split: str) -> dict[str, dict[str, Any]]:
    """Samples by grid, as loaders of the published set find them: by the table, then by how files' names begin."""
    out = {}
    for grid, its in json.loads((root / f"grid_dict_{split}.json").read_text()).items():
        found: dict[str, Any] = {"clz": its["clz"], "about": its["info"], "where": its["path"]}
        for file in sorted((root / "data" / its["path"]).iterdir()):
            if file.suffix == ".tif":
                with rasterio.open(file) as src:
                    assert src.count == 1
                    found["_".join(file.name.split("_")[:2])] = src.read(1)
                    found["form"] = src.crs.to_epsg(), src.transform[:6]
        found["info"] = json.loads((root / "data" / its["path"] / "info.json").read_text())
        out[grid] = found
    return out


def test_each_product_is_found_by_its_name_and_has_its_own_pixels(folder: Path):
    its = next(s for s in loaded(folder, "train").values() if s["info"]["location"] == "ev101-3")
    for image, season in (("MS1", "post"), ("SL1", "pre1"), ("SL2", "pre2")):
        vh, vv = pixels_of(f"s1{season}_10m")  # the band's name decides, not its place
        assert np.array_equal(its[f"{image}_IVV"], vv)
        assert np.array_equal(its[f"{image}_IVH"], vh)
    for product, array in (("MK0_MLU", "water_10m"), ("MK0_DEM", "dem_10m"), ("MK0_SLOPE", "slope")):
        assert np.array_equal(its[product], pixels_of(array)[0])
        assert its[product].dtype == ARRAYS[array].dtype
    assert (its["MK0_MNA"] == 1).all()
    assert its["MK0_MNA"].dtype == np.uint8
    assert its["form"] == (32633, (10, 0, 500000, 0, -10, 5000000))


def test_what_tells_a_sample_is_called_as_it_was_published(folder: Path):
    its = next(s for s in loaded(folder, "train").values() if s["info"]["location"] == "ev101-3")
    info = its["info"]
    assert (info["actid"], info["aoiid"], info["flood_date"]) == ("ev101", 1, "2021-11-09 00:00:00")
    grid = uuid.UUID(info["grid_id"])
    assert grid.version == 5
    assert its["where"] == f"ev101/01/{grid.hex}"
    names = {f.stem for f in (folder / "data" / its["where"]).glob("*.tif")}
    assert {d["name"] for d in info["datasets"].values()} == set(info["datasets"]) == names
    days = {"MS1": "20211115", "SL1": "20211103", "SL2": "20211022"}
    want = {f"{i}_{p}_ev101_01_{day}" for i, day in days.items() for p in ("IVV", "IVH")}
    assert names == want | {f"MK0_{p}_ev101_01_20211115" for p in ("MLU", "MNA", "DEM", "SLOPE")}
    first = info["datasets"]["SL2_IVH_ev101_01_20211022"]
    assert (first["ptype"], first["rank"], first["pname"], first["master"]) == ("SL", 2, "IVH", False)
    assert (first["dtype"], first["nodata"], first["source_date"]) == ("float32", 0.0, "2021-10-22")
    assert (info["clz"], info["clz_name"]) == (its["clz"], "Temperate") == (3, "Temperate")
    assert info["sources"]["SL1"] == {"source_date": "2021-11-03", "scenes": ["S1A_pre1"]}
    assert its["about"] == {k: info[k] for k in ("actid", "aoiid", "grid_id", "flood_date")}


def test_shares_are_of_all_pixels_of_the_labels(folder: Path):
    its = next(s for s in loaded(folder, "train").values() if s["info"]["location"] == "ev101-3")
    labels, info = its["MK0_MLU"], its["info"]
    for key, there in (("pcovered", labels != 3), ("pwater", labels == 1), ("pflood", labels == 2)):
        assert info[key] == round(100 * there.mean(), 4)
    assert info["pwater"] != info["pflood"]


def test_numbers_of_events_and_areas_are_numbers(folder: Path):
    its = next(s for s in loaded(folder, "train").values() if s["info"]["location"] == "ev7-1")
    assert (its["info"]["actid"], its["info"]["aoiid"], its["clz"]) == (1111002, 4, 2)
    assert its["where"] == f"1111002/04/{uuid.UUID(GRID).hex}"


def test_without_labels_a_sample_is_of_no_area_and_keeps_the_id_that_it_had(folder: Path):
    grid = uuid.UUID(DRY).hex
    its = loaded(folder, "train")[grid]
    assert its["where"] == f"ev101/00/59/{grid}"
    info = its["info"]
    assert (info["grid_id"], info["aoiid"]) == (DRY, None)
    assert [info[k] for k in ("pcovered", "pwater", "pflood")] == [None] * 3  # nobody mapped it
    assert "MK0_MLU" not in its
    assert all("_NA_" in name for name in info["datasets"])
    # A pixel that an image lacks is 0 there, and told by the mask, whichever band and image it is of.
    assert np.argwhere(its["MK0_MNA"] == 0).tolist() == [[2, 3]]
    assert its["MS1_IVH"][2, 3] == 0
    assert its["MS1_IVV"][2, 3] == pixels_of("s1post_10m")[1, 2, 3]


def test_nothing_is_labelled_where_an_image_lacks_a_pixel(tmp_path: Path):
    lacks = pixels_of("s1pre2_10m")
    lacks[:, :2] = NODATA
    piece = shard(tmp_path / "shards", {"a": FLOOD | {"pixels": {"s1pre2_10m": lacks}}})
    (its,) = loaded(exported(piece, tmp_path / "out"), "train").values()
    assert (its["MK0_MLU"][:2] == 3).all()
    assert np.array_equal(its["MK0_MLU"][2:], pixels_of("water_10m")[0, 2:])
    assert its["info"]["pcovered"] == 75


def test_what_is_expected_is_what_is_written(tmp_path: Path):
    piece = shard(tmp_path / "shards", {"a": FLOOD, "b": FLOOD})
    files = list(KuroSiwo().files(piece))
    assert KuroSiwo().expected(piece)[0] == len(files) == 22
    assert KuroSiwo().last_count(ExportScope(load_dataset("kuro-siwo"), (piece,))) == 1


@pytest.mark.parametrize("events", [("470", "470"), ("470", "471"), ("0470", "470")])
def test_two_samples_of_one_grid_are_refused_wherever_they_lie(tmp_path: Path, events):
    pieces = [
        shard(tmp_path / event / str(n), {f"t{n}": FLOOD | {"event": event, "grid_id": "5"}})
        for n, event in enumerate(events)
    ]
    scope = ExportScope(load_dataset("kuro-siwo"), tuple(pieces))
    with pytest.raises(
        ConfigError, match=r"samples t0 and t1 have one grid, [0-9a-f-]{36}, of the column grid_id \('5'\)"
    ):
        KuroSiwo().prepared(scope, pieces[0].store, Store(tmp_path / "out"))


def test_events_that_differ_by_a_leading_zero_are_two(tmp_path: Path):
    piece = shard(tmp_path / "shards", {"a": FLOOD | {"event": "0470"}, "b": FLOOD | {"event": "470"}})
    found = {s["info"]["location"]: s for s in loaded(exported(piece, tmp_path / "out"), "train").values()}
    assert {k: s["info"]["actid"] for k, s in found.items()} == {"a": "0470", "b": 470}
    assert [found[k]["where"].split("/")[0] for k in "ab"] == ["0470", "470"]


def test_a_piece_whose_files_have_one_name_is_not_written(tmp_path: Path):
    row = FLOOD | {"grid_id": "5"}
    piece = shard(tmp_path / "shards", {"a": row, "b": row})
    with pytest.raises(CurationError, match=r"train/00000: two of its files would be data/ev101/01/"):
        write_piece(PieceJob(KuroSiwo(), piece, Store(tmp_path / "out"), "{}"))


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"event": float("nan")}, r"a: event nan, expected letters, digits and '-'"),
        ({"aoiid": float("nan")}, r"a: aoiid nan, expected a whole number from 1"),
        ({"aoiid": 4.5}, r"a: aoiid 4.5, expected a whole number"),
        ({"aoiid": "west"}, r"a: aoiid 'west', expected a whole number"),
        ({"aoiid": 0}, r"a: aoiid 0, expected a whole number"),
        ({"date": "in spring"}, r"a: date 'in spring', expected one as 2021-11-09"),
        ({"date": None, "flood_date": None}, r"a: date None, expected one as"),
        ({"date": 2021}, r"a: date 2021, expected one as"),
    ],
)
def test_an_event_area_or_date_that_can_be_none_is_refused_before_anything_is_written(tmp_path: Path, said, says):
    piece = shard(tmp_path / "shards", {"a": FLOOD})
    piece = replace(piece, rows=pa.Table.from_pylist([{"id": "a"} | FLOOD | said]))
    with pytest.raises(ConfigError, match=says):
        KuroSiwo().prepared(ExportScope(load_dataset("kuro-siwo"), (piece,)), piece.store, Store(tmp_path / "out"))


def test_a_column_of_dates_is_as_good_as_one_of_texts(tmp_path: Path):
    piece = shard(tmp_path / "shards", {"a": FLOOD})
    piece = replace(piece, rows=pa.Table.from_pylist([{"id": "a"} | FLOOD | {"date": dt.date(2021, 11, 9)}]))
    (its,) = loaded(exported(piece, tmp_path / "out"), "train").values()
    assert its["about"]["flood_date"] == its["info"]["flood_date"] == "2021-11-09 00:00:00"


def without(*names: str) -> dict[str, ArrayEntry]:
    return {n: e for n, e in ARRAYS.items() if n not in names}


@pytest.mark.parametrize(
    ("arrays", "columns", "says"),
    [
        (without("s1pre2_10m"), FLOOD, r"samples have 0 images with VV and VH in season 'pre2'"),
        (
            ARRAYS | {"s1pre1_10m": entry("s1pre1", "pre1", ["s1.vh", "s1.vv"], dtype="int16", unit="0.01 dB")},
            FLOOD,
            r"images are 0.01 dB \(int16\), expected power: say radar = 'float32'",
        ),
        (
            ARRAYS | {"water_10m": entry("water", "post", ["water.class"], dtype="uint8", nodata=0, role="classes")},
            FLOOD,
            r"water_10m.post.npy: nodata is 0, expected labels 0 to 2 with nodata 3",
        ),
        (
            ARRAYS | {"s2map": entry("s2map", "post", ["s2map.class"], dtype="uint8", nodata=3, role="classes")},
            FLOOD,
            r"s2map.post.npy and water_10m.post.npy would both be MK0_MLU, expected one: leave a source out",
        ),
        (ARRAYS | {"lidar": entry("lidar", None, ["lidar.height"])}, FLOOD, r"would both be MK0_DEM"),
        (ARRAYS, {"date": "2021-11-09"}, r"no column of the event, expected actid or event"),
        (ARRAYS, {"event": "a"}, r"no column of the date, expected flood_date or date"),
    ],
)
def test_what_is_no_such_dataset_is_refused_with_what_to_do(tmp_path: Path, arrays, columns, says):
    piece = shard(tmp_path / "shards", {"a": columns}, arrays)
    with pytest.raises(ConfigError, match=says):
        KuroSiwo().prepared(ExportScope(load_dataset("kuro-siwo"), (piece,)), piece.store, Store(tmp_path / "out"))


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"pixels": {"water_10m": np.full((1, PX, PX), 4, np.uint8)}}, r"codes \[4\], expected 0 to 3"),
        ({"pixels": {"dem_10m": np.zeros((1, 3, 3), np.float32)}}, r"has \(3, 3\) pixels, images \(8, 8\): say res_m"),
        *(
            ({"pixels": {f"s1{s}_10m": None}}, rf"sample a has no image of season '{s}'; leave such out, complete")
            for s in SEASONS
        ),
        ({"event": "a_b"}, r"a: event 'a_b', expected letters"),
    ],
)
def test_a_sample_that_cannot_be_told_so_is_refused(tmp_path: Path, said, says):
    piece = shard(tmp_path / "shards", {"a": FLOOD | said})
    with pytest.raises(ConfigError, match=says):
        list(KuroSiwo().files(piece))
