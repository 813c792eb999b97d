import itertools
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from curation.cubes import zarrshard
from curation.cubes.chunks import chunk_hash
from curation.cubes.cube import FACTS, Cube
from curation.errors import DamageError
from curation.outcomes import Status
from curation.recipe.facts import FILL, Fact
from curation.store import ledger
from curation.store.objects import Store
from tests import world as tiny
from tests.properties import fast
from tests.run import Curate


def here(built: Curate, season: str = "summer") -> Cube:
    return Cube(built.dataset, "europe", season)


@pytest.mark.parametrize("season", ["static", "summer", "autumn"])
def test_xarray_alone_opens_it_without_a_warning(built: Curate, season: str):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opened = xr.open_zarr(built.folder / "cubes" / "europe" / f"{season}.zarr")
    assert dict(opened.sizes)["patch"] == 25
    if season != "static":
        assert opened.s2l2a_10m.dtype == "uint16"
        assert opened.s2l2a_time.dtype.kind == "M"
        assert list(opened.s2l2a_10m_band.values) == tiny.BANDS[10]


def test_identity_coordinates_say_where_each_patch_is(built: Curate):
    opened = xr.open_zarr(built.folder / "cubes" / "europe" / "summer.zarr")
    corners = {
        (str(i), float(x), float(y))
        for i, x, y in zip(opened.id.values, opened.x0_m.values, opened.y0_m.values, strict=True)
    }
    assert corners == {(tiny.name(r, c), *tiny.corner(r, c)) for r in range(5) for c in range(5)}


def test_a_patch_is_taken_by_its_id_and_has_its_pixels_places_in_its_crs(built: Curate):
    # As curation/README.md says, in one line; and upright in plots, with units.
    cube = xr.open_zarr(built.folder / "cubes" / "europe" / "summer.zarr")
    assert cube.x_10m.attrs["units"] == cube.y_20m.attrs["units"] == cube.x0_m.attrs["units"] == "m"
    assert (np.diff(cube.y_10m) == -10).all()
    patch = cube.set_xindex("id").sel(id=tiny.name(1, 2))
    west, north = tiny.corner(1, 2)
    for res_m in (10, 20, 60):
        x, y = f"x_{res_m}m", f"y_{res_m}m"
        placed = patch.assign_coords({x: patch[x] + patch.x0_m, y: patch[y] + patch.y0_m})
        assert placed[x].values[[0, -1]].tolist() == [west + res_m / 2, west + 480 - res_m / 2]
        assert placed[y].values[[0, -1]].tolist() == [north - res_m / 2, north - 480 + res_m / 2]
    placed = patch.assign_coords(x_10m=patch.x_10m + patch.x0_m, y_10m=patch.y_10m + patch.y0_m)
    # Pixels follow from their own place: the scene's column and row at a place give the digital number there.
    col, row = 31, 12
    value = placed.s2l2a_10m.sel(s2l2a_10m_band="B02", x_10m=west + 10 * col + 5, y_10m=north - 10 * row - 5)
    assert int(value) == tiny.crop(tiny.dn("B02", 10), 10, 1, 2)[row, col]


def test_a_patch_without_pixels_reads_as_nodata_and_says_so(built: Curate):
    opened = xr.open_zarr(built.folder / "cubes" / "europe" / "summer.zarr").set_index(patch="id")
    cloudy = opened.sel(patch=tiny.name(0, 3))
    assert int(cloudy.status) == Status.REJECTED
    assert (cloudy.s2l2a_10m.values == opened.s2l2a_10m.attrs["nodata"]).all()


@given(pixels=hnp.arrays("uint16", (4, 48, 48)))
def test_a_chunk_decodes_to_what_was_encoded_with_the_same_bytes_each_time(built: Curate, pixels: np.ndarray):
    chunk = here(built).encode("s2l2a_10m", pixels)
    np.testing.assert_array_equal(here(built).decode("s2l2a_10m", chunk), pixels)
    assert here(built).encode("s2l2a_10m", pixels.copy()) == chunk


def test_a_chunk_of_nothing_but_nodata_is_stored(built: Curate):
    assert here(built).encode("s2l2a_10m", np.zeros((4, 48, 48), "uint16"))


@pytest.mark.slow
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {
                "status": st.sampled_from([int(s) for s in Status]),
                "reason": st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12),
                "s2l2a_time": st.none() | st.floats(0, 2e9),
                "s2l2a_clear_fraction": st.none() | st.floats(0, 1, width=32),
                "s1rtc_relative_orbit": st.integers(-1, 175),
            }
        ),
        min_size=1,
        max_size=4,
    )
)
def test_facts_come_back_as_they_were_given(built: Curate, tmp_path_factory: pytest.TempPathFactory, rows: list[dict]):
    from curation.store.objects import Store

    store = Store(tmp_path_factory.mktemp("facts"))
    for key, data in here(built).slab_objects(3, {}, rows).items():
        store.publish(key, data)
    found = here(built).read_facts(store, 3, len(rows))
    for given_row, row in zip(rows, found, strict=True):
        assert given_row == {k: row[k] for k in given_row}


def chunk_objects(folder: Path) -> list[Path]:
    """Every stored chunk of a cube: of pixels, facts, identity, axes and names alike."""
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "zarr.json")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "season"),
    fast([("middle", "summer")], itertools.product(["first", "middle", "last"], ["static", "summer"])),
)
def test_zarr_refuses_every_chunk_with_a_flipped_byte(built: Curate, tmp_path: Path, season: str, part: str):
    mine = built.copy(tmp_path)
    folder = mine.folder / "cubes" / "europe" / f"{season}.zarr"
    objects = chunk_objects(folder)
    assert {p.relative_to(folder).parts[0] for p in objects} >= {
        *here(built, season).arrays,
        "id",
        "status",
        "reason",
        FACTS,
    }
    for path in objects:
        name = path.relative_to(folder).parts[0]
        data = path.read_bytes()
        at = {"first": 0, "middle": len(data) // 2, "last": len(data) - 1}[part]
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(ValueError, match=r"(?i)checksum"):
            zarr.open_array(folder / name, mode="r")[...]
        path.write_bytes(data)
    xr.open_zarr(folder).load()


@pytest.mark.parametrize("name", ["s2l2a_10m", FACTS, "reason", "s2l2a_time", "lon", "x_10m", "s2l2a_10m_band"])
@pytest.mark.slow
def test_xarray_refuses_a_cube_with_a_flipped_byte(built: Curate, tmp_path: Path, name: str):
    mine = built.copy(tmp_path)
    folder = mine.folder / "cubes" / "europe" / "summer.zarr"
    path = chunk_objects(folder / name)[0]
    data = path.read_bytes()
    path.write_bytes(data[:9] + bytes([data[9] ^ 1]) + data[10:])
    with pytest.raises(ValueError, match=r"(?i)checksum"):
        xr.open_zarr(folder).load()


def test_every_array_of_a_cube_ends_its_chunks_with_a_checksum(built: Curate):
    root = json.loads((built.folder / "cubes/europe/summer.zarr/zarr.json").read_text())
    assert root["attributes"]["format"] == ledger.FORMAT
    for name, meta in root["consolidated_metadata"]["metadata"].items():
        codecs = meta["codecs"]
        if codecs[0]["name"] == "sharding_indexed":
            assert [c["name"] for c in codecs[0]["configuration"]["index_codecs"]][-1] == "crc32c"
            codecs = codecs[0]["configuration"]["codecs"]
        assert codecs[-1] == {"name": "crc32c"}, name


@pytest.mark.slow
@given(data=st.binary(max_size=64))
@settings(max_examples=20)
def test_bytes_that_are_no_facts_are_damage_by_name(built: Curate, tmp_path_factory, data: bytes):
    import google_crc32c

    from curation.store.objects import Store

    store = Store(tmp_path_factory.mktemp("facts"))
    for key, good in here(built).slab_objects(3, {}, [{"status": 1}]).items():
        store.publish(key, good)
    key = here(built).facts_key(3)
    for bad in (data, data + google_crc32c.value(data).to_bytes(4, "little")):
        store.publish(key, bad)
        with pytest.raises(DamageError, match=key):
            here(built).read_facts(store, 3, 1)


def test_a_row_s_hash_is_of_its_values_alone_and_of_all_of_them(built: Curate):
    cube = here(built)
    rows = [{"status": 1, "reason": "ok", "s2l2a_time": 5.0, "s2l2a_scenes": "a b"}, {"status": 2}]
    one, two = cube.row_hashes(rows)
    assert cube.row_hashes(rows[::-1]) == [two, one]
    nothing = float(np.frombuffer(b"\x01\x00\x00\x00\x00\x00\xf8\xff", "<f8")[0])  # another NaN
    assert cube.row_hashes([rows[1] | {"s2l2a_time": nothing, "reason": ""}]) == [two]
    others = [
        rows[0] | more for more in ({"reason": "o"}, {"s2l2a_time": 5.000001}, {"s2l2a_scenes": "a  b"}, {"status": 0})
    ]
    shifted = {"status": 1, "reason": "oka", "s2l2a_time": 5.0, "s2l2a_scenes": " b"}
    assert len({one, *cube.row_hashes([*others, shifted])}) == 6


def test_a_fact_not_measured_is_filled():
    column = Fact("f", "float32", "a fact").column([0.5, None], 4)
    np.testing.assert_array_equal(column, np.array([0.5, FILL["float32"], np.nan, np.nan], "float32"))


def test_a_chunk_that_is_not_what_was_committed_is_refused(built: Curate, tmp_path):
    mine = built.copy(tmp_path)
    cube = here(mine)
    ids = cube.read_ids(mine.store)
    patch = ids.index(tiny.name(1, 1))
    good = cube.read_chunk(
        built.store, "s2l2a_10m", patch, chunk_hash(cube.encode("s2l2a_10m", _pixels(mine, tiny.name(1, 1))))
    )
    np.testing.assert_array_equal(good, _pixels(mine, tiny.name(1, 1)))
    with pytest.raises(DamageError, match="chunk has hash"):
        cube.read_chunk(mine.store, "s2l2a_10m", patch, "0" * 32)
    (mine.folder / cube.array_key("s2l2a_10m", patch // cube.slab_patches)).unlink()
    with pytest.raises(DamageError, match="recorded but not there"):
        cube.read_chunk(mine.store, "s2l2a_10m", patch, "0" * 32)


def test_a_slab_that_is_written_again_while_it_is_read_is_read_again(
    built: Curate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    mine = built.copy(tmp_path)
    cube, name = here(mine), "s2l2a_10m"
    ids, ok = (
        cube.read_ids(mine.store),
        [o.id for o in ledger.Ledger.replay(mine.store, "europe", "summer").outcomes() if o.status is Status.OK],
    )
    patch = next(n for n in map(ids.index, ok) if n % cube.slab_patches)
    slab, slot = divmod(patch, cube.slab_patches)
    key, expected = cube.array_key(name, slab), _pixels(mine, ids[patch])
    chunks = zarrshard.parse(mine.store.get(key), cube.slab_patches, key)
    real = Store.get_range

    def overtaken(store: Store, its: str, start: int, length: int) -> bytes:
        found = real(store, its, start, length)
        if its == key and length == zarrshard.index_size(cube.slab_patches):  # between its index and its chunks
            monkeypatch.setattr(Store, "get_range", real)
            store.publish(key, zarrshard.assemble(chunks | {0: b"another" * 9}, cube.slab_patches))
        return found

    monkeypatch.setattr(Store, "get_range", overtaken)
    np.testing.assert_array_equal(cube.read_chunk(mine.store, name, patch, chunk_hash(chunks[slot])), expected)
    assert Store.get_range is real


def _pixels(built: Curate, name: str) -> np.ndarray:
    opened = xr.open_zarr(built.folder / "cubes" / "europe" / "summer.zarr").set_index(patch="id")
    return opened.s2l2a_10m.sel(patch=name).values
