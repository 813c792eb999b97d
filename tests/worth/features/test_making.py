"""Features of a packed dataset: rows, what has none, what is kept, and who may make them."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.errors import ConfigError, DamageError, ReadError, UnaskedCodeError
from curation.format.index import Index
from curation.pack.export.of_shards import index_of
from curation.store.objects import Store
from curation.worth.features import making, patches
from curation.worth.features.handmade import Handmade
from curation.worth.features.table import Features, joined
from tests.stream.conftest import LABELS, NO_SUMMER_RADAR, NO_WINTER, arrays, key_of, make_shards, truth


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    """A dataset's folder of 13 and 2 places, in two seasons, of which two lack something."""
    folder = tmp_path_factory.mktemp("features")
    make_shards(folder / "shards", {"train": [4, 4, 4, 1], "val": [2]})
    return folder


@pytest.fixture
def store(demo, tmp_path) -> Store:
    return Store(Path(shutil.copytree(demo, tmp_path / "demo")))


def made(store: Store, way: str = "handmade", *, run_code: bool = False, **how) -> Features:
    return making.made(store, making.way_of(way, run_code=run_code), **how).features


def test_there_is_a_row_per_sample_and_season_and_what_lacks_an_array_is_counted(store):
    its = made(store)
    expected = [
        (key_of(n), split, season)
        for split, count in (("train", 13), ("val", 2))
        for n in range(count)
        for season in ("winter", "summer")
        if split == "val" or (n, season) not in {(NO_WINTER, "winter"), (NO_SUMMER_RADAR, "summer")}
    ]
    assert list(zip(its.keys.tolist(), its.splits.tolist(), its.seasons.tolist(), strict=True)) == expected
    assert its.skipped == {"lacks:s1rtc_10m": 1}
    assert its.values.dtype == np.float32
    assert its.values.shape == (len(expected), len(its.names))
    assert np.isfinite(its.values).all()
    assert its.lon.tolist() == [9.0 + n / 100 for split, c in (("t", 13), ("v", 2)) for n in range(c) for s in (0, 1)
                                if split == "v" or (n, s) not in {(NO_WINTER, 0), (NO_SUMMER_RADAR, 1)}]  # fmt: skip


def test_numbers_are_those_of_the_pixels_in_their_quantity(store):
    its = made(store)
    row = its.keys.tolist().index(key_of(7)) + 1  # summer comes after winter
    assert (its.keys[row], its.seasons[row]) == (key_of(7), "summer")
    pixels = truth("train", 7, "s2l2a_10m", "summer", arrays()["s2l2a_10m"]).astype(np.float64)
    values = dict(zip(its.names, its.values[row].tolist(), strict=True))
    assert values["s2l2a_10m.B04.mean"] == pytest.approx(pixels[2].mean(), rel=1e-6)
    assert values["s2l2a_10m.B04.std"] == pytest.approx(pixels[2].std(), rel=1e-6)
    assert values["s2l2a_10m.B08.q95"] == pytest.approx(np.quantile(pixels[3], 0.95), rel=1e-6)
    gradient = [np.abs(np.diff(pixels[0], axis=a)).ravel() for a in (0, 1)]
    assert values["s2l2a_10m.B02.gradient"] == pytest.approx(np.concatenate(gradient).mean(), rel=1e-6)
    means = pixels[0].reshape(6, 4, 6, 4).mean((1, 3))
    assert values["s2l2a_10m.B02.std_of_4px"] == pytest.approx(means.std(), rel=1e-6)
    assert its.bands["s2l2a_10m.B04"][row] == pytest.approx(pixels[2].mean(), rel=1e-6)
    assert [float(its.fractions[n][row]) for n in LABELS] == pytest.approx(np.roll([0.5, 0.3, 0.2], 2))


@pytest.mark.parametrize(
    ("unit", "factor", "of"),
    [
        ("reflectance × 10000", 1e-4, "reflectance"),
        ("gamma0, hundredths of a dB", 0.01, "gamma0, dB"),
        ("gamma0, linear power", 1.0, "gamma0, linear power"),
        ("m above EGM2008", 1.0, "m above EGM2008"),
        ("K", 1.0, "K"),
    ],
)
def test_a_quantity_is_what_its_unit_says(unit: str, factor: float, of: str):
    entry = arrays()["dem_30m"]
    entry = type(entry)(**{f: getattr(entry, f) for f in entry.__struct_fields__} | {"unit": unit})
    assert patches.quantity(entry) == (factor, of)


def test_a_patch_that_is_mostly_missing_has_no_row_and_is_counted(store, monkeypatch):
    before = patches._pixels
    index = index_of(store)

    def holed(data, entry, where):
        pixels = before(data, entry, where)
        if key_of(0) in where and "s2l2a_20m.winter" in where:
            pixels[1, : pixels.shape[1] // 2 + 1] = np.nan
        return pixels

    monkeypatch.setattr(patches, "_pixels", holed)
    its = made(store, arrays=["s2l2a_20m"])
    assert its.skipped == {"nodata": 2}  # of train and of val
    assert (key_of(0), "winter") not in set(zip(its.keys.tolist(), its.seasons.tolist(), strict=True))
    assert isinstance(index, Index)


def test_what_is_stored_as_nodata_is_no_number():
    entry = arrays()["s2l2a_10m"]
    pixels = np.full(entry.shape, 500, np.uint16)
    pixels[:, :5] = 0
    from curation.format import payload

    found = patches._pixels(payload.encode(pixels, "lz4"), entry, "x")
    assert np.isnan(found[:, :5]).all()
    assert set(np.unique(found[:, 5:])) == {500.0}
    names = Handmade({"a": entry}).names()
    vector = dict(zip(names, Handmade({"a": entry}).vectors([_patch(found)])[0].tolist(), strict=True))
    assert vector["a.B02.mean"] == 500
    assert vector["a.B02.std"] == vector["a.B02.gradient"] == 0


def _patch(pixels: np.ndarray) -> patches.FeaturePatch:
    return patches.FeaturePatch("k", "k", "train", "summer", "r", 0.0, 0.0, {}, {}, {"a": pixels})


@pytest.mark.torch
def test_features_are_kept_and_taken_while_release_and_way_are_the_same(store):
    first = making.made(store, making.way_of("convolutions"), arrays=["s2l2a_10m"])
    again = making.made(store, making.way_of("convolutions"), arrays=["s2l2a_10m"])
    assert (first.reused, again.reused) == (False, True)
    assert again.where == first.where
    for name in Features.__slots__:
        assert _equal(getattr(first.features, name), getattr(again.features, name)), name
    assert not making.made(store, making.way_of("convolutions", seed=1), arrays=["s2l2a_10m"]).reused
    assert not making.made(store, making.way_of("convolutions"), arrays=["s2l2a_20m"]).reused
    assert not making.made(store, making.way_of("convolutions"), arrays=["s2l2a_10m"], limit=3).reused
    index = json.loads(store.child("shards").get("index.json"))
    store.child("shards").publish("index.json", (json.dumps(index | {"title": "Another"}) + "\n").encode())
    assert not making.made(store, making.way_of("convolutions"), arrays=["s2l2a_10m"]).reused


def _equal(a, b) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_equal(a[n], b[n]) for n in a)
    is_float = isinstance(a, np.ndarray) and a.dtype.kind == "f"
    return np.array_equal(a, b, equal_nan=True) if is_float else bool(np.all(a == b))


def test_a_kept_table_that_is_damaged_is_made_again(store):
    where = making.made(store, making.way_of("handmade")).where
    Path(where).write_bytes(Path(where).read_bytes()[:-9])
    assert not making.made(store, making.way_of("handmade")).reused
    with pytest.raises(DamageError, match="no table of features"):
        Features.from_bytes(b"nothing", "x")


def test_nothing_is_written_where_it_is_not_to_be_kept(store, tmp_path):
    assert making.made(store, making.way_of("handmade"), keep=False).where == ""
    assert not (tmp_path / "demo" / "embeddings").exists()


def test_where_nothing_can_be_kept_it_is_told_before_shards_are_read(store, monkeypatch):
    before = made(store, arrays=["s2l2a_10m"])

    def read_only(_store: Store) -> None:
        raise ValueError("cannot be written: a read-only file system")

    monkeypatch.setattr(Store, "check_writable", read_only)
    monkeypatch.delattr(making, "of_shard")
    with pytest.raises(ConfigError, match="features are kept there, and it cannot be written"):
        made(store, arrays=["s2l2a_20m"])
    assert len(made(store, arrays=["s2l2a_10m"])) == len(before)  # what is there already is read


@pytest.mark.torch
def test_random_filters_are_the_same_ones_everywhere(store):
    its = made(store, "convolutions", arrays=["s2l2a_10m"])
    again = made(store, "convolutions", arrays=["s2l2a_10m"], keep=False)
    np.testing.assert_array_equal(its.values, again.values)
    # PCG64 is promised to stay as it is: written down once.
    way = making.way_of("convolutions").prepared({"s2l2a_10m": arrays()["s2l2a_10m"]})
    weights, _ = way.filters("s2l2a_10m")
    assert float((weights**2).sum((2, 3, 4)).max()) == pytest.approx(1)
    assert weights[0, 0, 0, 0].tolist() == pytest.approx(FIRST_WEIGHTS, abs=1e-12)


FIRST_WEIGHTS = [0.002688834971, 0.06795768931, -0.037443723198]


@pytest.mark.torch
def test_convolutions_see_what_is_moved_within_a_patch_and_not_which_pixels_are_missing():
    entry = arrays()["s2l2a_10m"]
    way = making.way_of("convolutions").prepared({"a": entry})
    rng = np.random.default_rng(0)
    flat = np.full(entry.shape, 700, np.float32)
    noisy = flat + rng.normal(0, 50, entry.shape).astype(np.float32)
    holed = flat.copy()
    holed[:, :6, :6] = np.nan
    a, b, c = way.vectors([_patch(flat), _patch(noisy), _patch(holed)])
    assert np.abs(a - b).max() > 1
    np.testing.assert_allclose(a, c, rtol=1e-6)


OWN = """
import numpy as np
def embed(arrays):
    return np.stack([a.mean((2, 3)) for a in arrays.values()], 1).reshape(len(next(iter(arrays.values()))), -1)
"""


def test_a_function_of_ones_own_is_executed_where_it_is_asked_for_alone(store, tmp_path):
    file = tmp_path / "own.py"
    file.write_text(f"import pathlib\npathlib.Path({str(tmp_path / 'ran')!r}).touch()\n" + OWN)
    with pytest.raises(UnaskedCodeError, match=r"code_unasked.*sha256.*--run-code"):
        making.way_of(f"{file}:embed")
    assert not (tmp_path / "ran").exists()
    its = made(store, f"{file}:embed", run_code=True, arrays=["s2l2a_10m"])
    assert (tmp_path / "ran").exists()
    assert its.names == ("embed000", "embed001", "embed002", "embed003")
    np.testing.assert_allclose(its.values[:, 2], its.bands["s2l2a_10m.B04"], rtol=1e-5)
    other = tmp_path / "other.py"
    other.write_text(file.read_text() + "# changed\n")
    assert made(store, f"{other}:embed", run_code=True, arrays=["s2l2a_10m"]).digest != its.digest


def _settings(file: Path) -> dict:
    return making.way_of(f"{file}:embed", run_code=True).settings["beside"]


def test_an_embedding_is_another_one_where_weights_modules_or_packages_are_others(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    file, weights, module = tmp_path / "own.py", tmp_path / "w.pt", tmp_path / "my_layers.py"
    file.write_text(f"import json, my_layers\nFILES = ['w.pt']\ndef late():\n    import numpy.linalg\n{OWN}")
    module.write_text("import sys\nsys.exit('executed')\n")
    weights.write_bytes(b"1")
    first = _settings(file)
    assert first["numpy"] == f"numpy {np.__version__}"
    assert set(first) == {"numpy", "my_layers", "w.pt"}
    weights.write_bytes(b"2")
    second = _settings(file)
    assert {n for n in first if first[n] != second[n]} == {"w.pt"}
    module.write_text("X = 1\n")
    assert {n for n in first if second[n] != _settings(file)[n]} == {"my_layers"}
    weights.unlink()
    with pytest.raises(ConfigError, match=r"FILES names .*w\.pt: no such file"):
        _settings(file)
    file.write_text("FILES: list[str] = [str(1)]\n" + OWN)
    with pytest.raises(ConfigError, match="written out"):
        _settings(file)


def test_what_is_missing_here_and_there_is_no_nought_of_texture():
    entry = arrays()["s2l2a_10m"]
    rng = np.random.default_rng(0)
    pixels = rng.normal(500, 50, entry.shape).astype(np.float32)
    holed = pixels.copy()
    holed[:, ::4, ::4] = np.nan  # one of sixteen, so that no block of four is whole
    names = Handmade({"a": entry}).names()
    whole, some = (
        dict(zip(names, v, strict=True)) for v in Handmade({"a": entry}).vectors([_patch(pixels), _patch(holed)])
    )
    for side in (4, 8):
        assert some[f"a.B02.std_of_{side}px"] == pytest.approx(whole[f"a.B02.std_of_{side}px"], rel=0.25)
    checked = pixels.copy()
    checked[:, (np.indices(entry.shape[1:]).sum(0) % 2).astype(bool)] = np.nan  # no two that are known lie side by side
    assert np.isnan(Handmade({"a": entry}).vectors([_patch(checked)])[0]).any()


def test_a_series_no_step_of_which_has_all_bands_has_no_row_and_a_pixel_has_one():
    entry = arrays()["s2l2a_10m"]
    steps = np.full((2, *entry.shape), 500, np.float32)
    steps[0, 0], steps[1, 1] = np.nan, np.nan
    assert np.isnan(Handmade({"a": entry}).vectors([_patch(steps)])).all()
    assert np.isfinite(Handmade({"a": entry}).vectors([_patch(np.full((4, 1, 1), 500, np.float32))])).all()


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("def embed(arrays):\n    return [[1.0]]\n", "a row per patch"),
        ("def embed(arrays):\n    return [[float('nan')]] * len(arrays['s2l2a_10m'])\n", "expected finite"),
        ("def embed(arrays):\n    raise KeyError('weights')\n", "weights"),
        ("def embed(arrays):\n    return [[]] * len(arrays['s2l2a_10m'])\n", "a row per patch"),
    ],
)
def test_what_a_function_gives_is_looked_at(store, tmp_path, code: str, says: str):
    file = tmp_path / "own.py"
    file.write_text(code)
    with pytest.raises(ReadError, match=says):
        made(store, f"{file}:embed", run_code=True, arrays=["s2l2a_10m"])


def test_a_table_gives_vectors_by_key_and_season_and_what_it_lacks_has_no_row(store, tmp_path):
    file = tmp_path / "mine.parquet"
    rows = [
        (key_of(n), s, [float(n), float(i)]) for n in range(13) for i, s in enumerate(("winter", "summer")) if n != 9
    ]
    pq.write_table(
        pa.table(dict(zip(("key", "season", "vector"), map(list, zip(*rows, strict=True)), strict=True))), file
    )
    its = made(store, str(file), arrays=["s2l2a_10m"])
    assert its.name == "mine"
    assert its.skipped["no_vector"] == 2
    number = np.array([int(k.split("-")[1]) for k in its.keys.tolist()])
    np.testing.assert_array_equal(its.values[:, 0], (number - 500_000) / 2640)
    np.testing.assert_array_equal(its.values[:, 1], its.seasons == "summer")


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"key": ["a"], "vectors": [[1.0]]}, "columns key"),
        ({"key": ["a", "b"], "vector": [[1.0], [1.0, 2.0]]}, "of one length"),
        ({"key": ["a"], "vector": [[float("nan")]]}, "finite"),
        ({"key": ["a", "a"], "vector": [[1.0], [2.0]]}, "twice"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path, table: dict, says: str):
    pq.write_table(pa.table(table), tmp_path / "t.parquet")
    with pytest.raises(ConfigError, match=says):
        making.way_of(str(tmp_path / "t.parquet"))


def test_what_is_not_known_is_told_with_what_is(store, tmp_path):
    with pytest.raises(ConfigError, match=r"handmade, convolutions, file.py:function"):
        making.way_of("handmad")
    with pytest.raises(ConfigError, match=r"--arrays s2l2a_1m: did you mean s2l2a_10m"):
        made(store, arrays=["s2l2a_1m"])
    with pytest.raises(ConfigError, match="no file"):
        making.way_of(f"{tmp_path}/x.py:embed", run_code=True)


def test_a_shard_that_is_not_what_was_packed_is_damage(store, tmp_path):
    shard = next((tmp_path / "demo" / "shards" / "train").glob("*.tar"))
    data = bytearray(shard.read_bytes())
    data[3000] ^= 1
    shard.write_bytes(data)
    with pytest.raises(DamageError, match="the index says"):
        made(store)


def test_rows_are_chosen_and_joined(store):
    its = made(store)
    part = its.rows(its.splits == "val")
    assert len(part) == 4
    assert set(part.splits.tolist()) == {"val"}
    both = joined([its.rows(its.splits == "train"), part])
    np.testing.assert_array_equal(both.values, its.values)
    assert both.columns.keys() == its.columns.keys()
    assert {f.name for f in dataclasses.fields(Features)} == set(Features.__slots__)


@pytest.mark.slow
def test_on_a_cluster_they_are_the_same_whoever_reads_which_shard(store):
    here = made(store, arrays=["s2l2a_20m"], keep=False)
    there = made(store, arrays=["s2l2a_20m"], keep=False, scheduler="local", workers=2)
    for name in Features.__slots__:
        assert _equal(getattr(here, name), getattr(there, name)), name


def test_a_function_that_gives_another_number_of_numbers_is_refused(store, tmp_path):
    file = tmp_path / "own.py"
    file.write_text(
        "def embed(arrays):\n    a = next(iter(arrays.values()))\n    return a.reshape(len(a), -1)[:, : 2 + len(a)]\n"
    )
    with pytest.raises(ReadError, match=r"numbers, expected always as many|a row per patch"):
        made(store, f"{file}:embed", run_code=True, arrays=["s2l2a_10m"])
