"""JPEG 2000, tile by tile: the pixels that GDAL has, few bytes of the file, and nothing hostile gets through."""

from __future__ import annotations

import json
import logging
import os
import random
import re
import struct
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import ReadError
from curation.read import jp2, jp2image, jp2parts, sparse
from curation.read.blocks import PixelWindow
from curation.read.decoded import Decoded
from curation.read.directory import BrokenError
from curation.read.pieces import Pieces
from curation.read.raster import Raster
from curation.read.reader import Asset, Read, Reader
from curation.read.signing import FileAddress
from curation.read.sparse import Counts, SparseFile
from tests import limited
from tests.archive import Archive
from tests.jp2files import LOSSLESS, SENTINEL2, as_gdal, codestream_at, packed, reparted
from tests.loopback import serving
from tests.properties import crossed, examples
from tests.read.test_reader import AT, north_up, spec
from tests.read.test_tiff_bounds import READ

ROOM_BYTES = 400 * 2**20
TRANSFORM = north_up(AT.x0_m, AT.y0_m, 10)


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Nothing that another test found out of a file of the same name."""
    yield
    jp2image._indices.clear()
    sparse._heads.clear()


def ground(height: int, width: int, bands: int = 1, dtype: str = "u2", bits: int = 15) -> np.ndarray:
    """(band, y, x) of something like ground: smooth, with noise."""
    row, col = np.mgrid[:height, :width]
    rng = np.random.default_rng(height * width + bands)
    waves = [np.sin(col / 37 + n) + np.cos(row / 23) + rng.normal(0, 0.1, row.shape) for n in range(bands)]
    top = 2**bits - 1
    values = np.clip((np.stack(waves) + 3) * top / 8, 0, top)
    return (values - top // 2 if dtype.startswith("i") else values).astype(dtype)


def opened(path: Path) -> Raster:
    file = SparseFile(FileAddress(str(path)), path.name, Counts(), Pieces(2**28))
    return Raster(file, Decoded(2**27))


def agrees(path: Path) -> Raster:
    """The opened file, once all of it is what GDAL has: where it lies, its kind, and each pixel."""
    raster = opened(path)
    with rasterio.open(path) as file:
        assert (raster.crs, raster.transform, raster.nodata) == (file.crs, file.transform, file.nodata)
        assert (raster.width, raster.height, raster.bands) == (file.width, file.height, file.count)
        assert {raster.dtype.name} == set(file.dtypes)
        for band in range(1, file.count + 1):
            window = PixelWindow(0, 0, raster.width, raster.height)
            found, valid = raster.read(band, window), raster.valid(band, window, raster.read(band, window))
            assert np.array_equal(found, file.read(band))
            assert np.array_equal(valid, file.read_masks(band) != 0)
    return raster


# --- what GDAL has -----------------------------------------------------------------------------------------------------

CODINGS: list[dict[str, Any]] = [
    {},
    {"REVERSIBLE": "NO", "QUALITY": "30"},
    {"REVERSIBLE": "NO", "QUALITY": "10,25,60", "PROGRESSION": "RLCP"},
    {"PROGRESSION": "RPCL"},
    {"PROGRESSION": "PCRL"},
    {"PROGRESSION": "CPRL", "SOP": "YES", "EPH": "YES"},
    {"RESOLUTIONS": 1},
    {"RESOLUTIONS": 3, "CODEBLOCK_WIDTH": 16, "CODEBLOCK_HEIGHT": 16, "PRECINCTS": "{128,128},{64,64}"},
]
LAYOUTS: list[dict[str, Any]] = [
    {"parts": 1},
    {"parts": 1, "tlm": True, "plt": True},
    {"parts": 3},
    {"parts": 3, "tlm": True},
    {"parts": 2, "last_is_open": True},
]


@pytest.mark.parametrize(("how", "layout"), crossed(CODINGS, LAYOUTS))
@pytest.mark.parametrize(("bands", "dtype", "bits"), [(1, "u2", 15), (3, "u1", 8)])
def test_tiles_decode_to_the_pixels_that_gdal_has(tmp_path, how, layout, bands, dtype, bits):
    pixels = ground(230, 301, bands, dtype, bits)  # tiles at the edges are smaller
    data = packed(pixels, TRANSFORM, AT.epsg, blockxsize=128, blockysize=96, PLT="YES", **how)
    (tmp_path / "s.jp2").write_bytes(reparted(data, **layout))
    raster = agrees(tmp_path / "s.jp2")
    assert (raster._image.across, raster._image.down) == (3, 3)


@pytest.mark.parametrize(
    ("bands", "dtype", "bits", "how"),
    [
        (1, "u1", 4, {"NBITS": 4}),
        (1, "u2", 12, {"NBITS": 12}),
        (1, "u2", 16, {}),
        (1, "i2", 15, {}),
        (2, "u2", 15, {}),
        (4, "u1", 8, {"ALPHA": "YES"}),
        (5, "u2", 16, {}),
    ],
)
def test_samples_of_whatever_kind_are_as_gdal_has_them(tmp_path, bands, dtype, bits, how):
    pixels = ground(99, 65, bands, dtype, bits)
    if "ALPHA" in how:
        pixels[3, :30] = 0
    (tmp_path / "s.jp2").write_bytes(packed(pixels, TRANSFORM, AT.epsg, blockxsize=64, blockysize=64, **how))
    agrees(tmp_path / "s.jp2")
    if "ALPHA" not in how:  # which is premultiplied by nobody
        assert np.array_equal(as_gdal(tmp_path / "s.jp2"), pixels)


@pytest.mark.parametrize("how", [{"GMLJP2": "NO"}, {"GEOJP2": "NO"}, {"GMLJP2": "NO", "GEOJP2": "NO"}, {}])
@pytest.mark.parametrize("crs", [32632, 4326, 3035])
def test_a_file_lies_where_gdal_puts_it_by_either_kind_of_box(tmp_path, how, crs):
    transform = north_up(7.25, 51.5, 0.0001) if crs == 4326 else TRANSFORM
    (tmp_path / "s.jp2").write_bytes(packed(ground(50, 60), transform, crs, **how))
    if len(how) < 2:
        assert agrees(tmp_path / "s.jp2").epsg == crs
        return
    assert opened(tmp_path / "s.jp2").crs is None
    with Reader("") as reader, pytest.raises(ReadError, match=r"s\.jp2: states no CRS"):
        reader.read([Asset(str(tmp_path / "s.jp2"), "none")], spec(10, "uint16", 0), AT)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_every_real_file_reads_as_gdal_reads_it(shared: Path):
    files = sorted(shared.joinpath("data").rglob("*.jp2"))
    assert len(files) >= 7
    for path in files:
        with rasterio.open(path) as file:
            assert opened(path).crs == file.crs
        found = np.stack([opened(path).read(n, PixelWindow(0, 0, file.width, file.height)) for n in file.indexes])
        assert np.array_equal(found, as_gdal(path)), path


# --- what is fetched ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiled() -> bytes:
    """A band as Sentinel-2's are, of 3 × 3 tiles, smaller."""
    how = SENTINEL2 | {"blockxsize": 256, "blockysize": 256, "PRECINCTS": "{256,256}"}
    return packed(ground(768, 768), north_up(AT.x0_m - 100, AT.y0_m + 100, 10), AT.epsg, **how)


def tile_bytes(data: bytes) -> list[int]:
    """Bytes of each tile of a file that has one tile-part for each."""
    boxes = jp2.boxes(lambda at, n: data[at : at + n], len(data))
    header = jp2.header(lambda at, n: data[at : at + n], boxes.codestream)
    parts = jp2parts.walked(header, lambda at, n: data[at : at + n])
    return [sum(s.stop - s.start for s in parts[n]) for n in sorted(parts)]


@pytest.mark.parametrize("tlm", [True, False])
def test_of_a_file_on_a_server_the_tiles_that_are_wanted_are_fetched(tiled, tlm, monkeypatch):
    monkeypatch.setattr(sparse, "HEAD_BYTES", 8192)
    data = reparted(tiled, 1, tlm=tlm)
    archive = Archive({"s.jp2": data})
    archive.version = '"one"'
    costs = []
    with serving(archive.answer) as url:
        for _ in range(2):
            with Reader("") as reader:
                asset = Asset(f"{url}/s.jp2", "none")
                reader.prefetch([Read(asset, spec(10, "uint16", 0), AT)])
                found, warped = reader.read([asset], spec(10, "uint16", 0), AT)
                costs.append((reader.counts.requests, reader.counts.bytes, reader.counts.unplanned))
    n = found.shape[0]
    assert not warped
    assert np.array_equal(found, as_gdal(data)[0, 10 : 10 + n, 10 : 10 + n])
    assert n + 10 <= 256, "it lies in the first tile"
    first = tile_bytes(data)[0]
    walk = 0 if tlm else 8  # SOT by SOT; the first is in the head, and so is nothing else
    assert costs[0][0] == 2 + walk
    assert first <= costs[0][1] <= 8192 + first + walk * 12
    assert costs[1][0] == 1, "head and places of tiles are known by now"
    assert [c[2] for c in costs] == [0, 0], "all of it was foreseen"


def test_the_tiles_of_several_files_are_looked_for_at_a_time(tiled, monkeypatch):
    monkeypatch.setattr(sparse, "HEAD_BYTES", 8192)
    archive = Archive({f"{n}.jp2": tiled for n in range(8)})
    archive.version, archive.delay_s = '"one"', 0.05
    with serving(archive.answer) as url, Reader("") as reader:
        reads = [Read(Asset(f"{url}/{n}.jp2", "none"), spec(10, "uint16", 0), AT) for n in range(8)]
        reader.prefetch(reads)
        walks = [path for _, path in archive.requests[len(reads) :]]
        assert len(walks) >= 8 * len(reads)
        assert len(set(walks[:8])) >= 4, "none waits for another's end"


def test_a_child_waits_for_nothing_that_its_parent_began(tiled, monkeypatch):
    if not hasattr(os, "fork"):
        pytest.skip("nothing forks here")
    monkeypatch.setattr(sparse, "HEAD_BYTES", 8192)
    archive = Archive({"s.jp2": tiled})
    archive.version = '"one"'
    with serving(archive.answer) as url, Reader("") as reader:
        reader.coarse(Asset(f"{url}/s.jp2", "none"), spec(10, "uint16", 0))
        (key,) = jp2image._indices
        jp2image._indices[key] = Future()  # as of a thread that is under way
        child = os.fork()
        if not child:
            os._exit(len(jp2image._indices) + jp2image._indices_lock.locked())
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_list_of_tile_parts_that_does_not_fit_is_passed_over(tiled, tmp_path):
    data = bytearray(reparted(tiled, 1, tlm=True))
    at = data.index(b"\xff\x55", codestream_at(data))
    data[at + 6 + 5] ^= 1  # a length
    (tmp_path / "s.jp2").write_bytes(data)
    found = opened(tmp_path / "s.jp2").read(1, PixelWindow(0, 0, 768, 768))
    assert np.array_equal(found, as_gdal(tiled)[0])


def test_a_list_that_is_in_its_own_order_is_read_by_its_numbers(tiled):
    data = reparted(tiled, 1, tlm=True)
    boxes = jp2.boxes(lambda at, n: data[at : at + n], len(data))
    header = jp2.header(lambda at, n: data[at : at + n], boxes.codestream)
    assert len(header.lengths) == 2
    turned = jp2.Header(**{f: getattr(header, f) for f in header.__slots__} | {"lengths": header.lengths[::-1]})
    assert jp2parts.listed(turned) == jp2parts.listed(header)
    assert jp2parts.listed(header) == jp2parts.walked(header, lambda at, n: data[at : at + n])


@pytest.mark.slow
def test_a_file_that_changes_while_it_is_read_is_read_anew(tiled, monkeypatch):
    monkeypatch.setattr(sparse, "HEAD_BYTES", 8192)
    other = packed(ground(768, 768) + 1, north_up(AT.x0_m - 100, AT.y0_m + 100, 10), AT.epsg, **SENTINEL2)
    archive = Archive({"s.jp2": tiled})
    archive.version = '"one"'
    with serving(archive.answer) as url, Reader("") as reader:
        asset = Asset(f"{url}/s.jp2", "none")
        reader.prefetch([Read(asset, spec(10, "uint16", 0), None)])
        archive.files["s.jp2"], archive.version = other, '"two"'
        found, _ = reader.read([asset], spec(10, "uint16", 0), AT)
    n = found.shape[0]
    expected = {a.tobytes() for a in (as_gdal(d)[0, 10 : 10 + n, 10 : 10 + n] for d in (tiled, other))}
    assert found.tobytes() in expected, "never some of both"


@pytest.mark.slow
def test_a_list_of_tile_parts_that_was_wrong_on_its_way_is_looked_for_anew(tiled, monkeypatch):
    monkeypatch.setattr(sparse, "HEAD_BYTES", 8192)
    archive = Archive({"s.jp2": with_bytes(tiled, sot(tiled, 1) + 4, b"\0\x02")})  # 1 is said to be another 2
    archive.version = '"one"'
    with serving(archive.answer) as url:
        file = SparseFile(FileAddress(f"{url}/s.jp2"), "s.jp2", Counts(), Pieces(2**28))
        window = PixelWindow(256, 0, 256, 256)
        with pytest.raises(BrokenError):
            Raster(file, Decoded(2**27)).read(1, window)
        archive.files["s.jp2"] = tiled
        file.forget()
        assert np.array_equal(Raster(file, Decoded(2**27)).read(1, window), as_gdal(tiled)[0, :256, 256:512])


def test_a_last_box_without_a_length_says_where_a_file_lies(tmp_path):
    data = packed(ground(64, 64), TRANSFORM, AT.epsg)
    at = data.index(b"uuid") - 4
    (length,) = struct.unpack(">I", data[at : at + 4])
    (tmp_path / "s.jp2").write_bytes(data[:at] + data[at + length :] + bytes(4) + data[at + 4 : at + length])
    raster = opened(tmp_path / "s.jp2")
    assert (raster.crs, raster.transform) == (rasterio.crs.CRS.from_epsg(AT.epsg), TRANSFORM)


# --- what is hostile ---------------------------------------------------------------------------------------------------


def with_bytes(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def siz(data: bytes, field: int, value: int) -> bytes:
    """With another number in SIZ: 0, 1 the size, 2, 3 where the image begins, 4, 5 that of tiles, 6, 7 where these do."""
    return with_bytes(data, codestream_at(data) + 8 + 4 * field, struct.pack(">I", value))


def component(data: bytes, new: bytes) -> bytes:
    return with_bytes(data, codestream_at(data) + 42, new)


def sot(data: bytes, number: int = 1) -> int:
    """Where the tile-part of that number begins."""
    at = data.index(b"\xff\x90\0\x0a", codestream_at(data))
    for _ in range(number):
        at += struct.unpack(">I", data[at + 6 : at + 10])[0]
    return at


def empty_part(tile: int, number: int) -> bytes:
    """A tile-part in which nothing is; how many there are it does not say."""
    return b"\xff\x90" + struct.pack(">HHIBB", 10, tile, 14, number, 0) + b"\xff\x93"


def coding(data: bytes, at: int, new: bytes) -> bytes:
    """With other bytes in COD."""
    return with_bytes(data, data.index(b"\xff\x52", codestream_at(data)) + at, new)


def segment(data: bytes, marker: int, body: bytes) -> bytes:
    """With a segment more in the main header."""
    at = data.index(b"\xff\x90\0\x0a", codestream_at(data))
    return data[:at] + struct.pack(">HH", marker, len(body) + 2) + body + data[at:]


def vast() -> bytes:
    """One tile of 5000 × 5000 pixels, by its header."""
    data = packed(ground(60, 80), TRANSFORM, AT.epsg, **LOSSLESS)
    return siz(siz(siz(siz(data, 0, 5000), 1, 5000), 4, 5000), 5, 5000)


def precincts(data: bytes, size: int) -> bytes:
    """With precincts, in a codestream that runs to the end of the file."""
    at = data.index(b"\xff\x52", codestream_at(data))
    length, levels = struct.unpack(">H", data[at + 2 : at + 4])[0], data[at + 9]
    cod = bytes((data[at + 4] | 1,)) + data[at + 5 : at + 14] + bytes((size,)) * (levels + 1)
    cod = struct.pack(">H", len(cod) + 2) + cod
    return stretched(data[: at + 2] + cod + data[at + 2 + length :])


HOSTILE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut in its boxes": (lambda d: d[:60], "box"),
    "cut in its main header": (lambda d: d[: codestream_at(d) + 60], "box .* leads out"),
    "cut in a tile": (lambda d: d[:-3000], "box .* leads out"),
    "cut in a tile, of a codestream to the end": (
        lambda d: with_bytes(d, codestream_at(d) - 8, bytes(4))[:-3000],
        "tile-part at byte .* ends within it",
    ),
    "cut behind a tile": (
        lambda d: with_bytes(d, codestream_at(d) - 8, bytes(4))[: sot(d, 1)],
        "block column 1 row 0 has no tile-part",
    ),
    "no codestream": (lambda d: d[: codestream_at(d) - 8], "none of its boxes is a codestream"),
    "boxes without end": (lambda d: d[:32] + b"\0\0\0\x08free" * 400 + d[32:], "one of more than 256"),
    "a box of no length": (
        lambda d: with_bytes(d, 32, b"\0\0\0\x01jp2h" + bytes(8)),
        "has [01] bytes: it leads out|than 256",
    ),
    "4 billion pixels a side": (lambda d: siz(siz(d, 0, 2**32 - 1), 1, 2**32 - 1), "tiles, expected 65535 at most"),
    "a billion tiles": (
        lambda d: siz(siz(siz(siz(d, 0, 40000), 1, 40000), 4, 1), 5, 1),
        "tiles, expected 65535 at most",
    ),
    "tiles of nothing": (lambda d: siz(d, 4, 0), "lie nowhere"),
    "tiles that end before the image": (lambda d: siz(siz(siz(d, 2, 300), 4, 9), 0, 3), "lie nowhere"),
    "one tile that fills the memory": (
        lambda d: siz(siz(siz(siz(d, 0, 60000), 1, 60000), 4, 60000), 5, 60000),
        "tiles of 60000 × 60000 pixels, 3600000000 samples, expected",
    ),
    "components without end": (
        lambda d: with_bytes(d, codestream_at(d) + 40, b"\xff\xff"),
        r"\(SIZ\) has 39 bytes, expected 196641",
    ),
    "a tile-part of another tile": (lambda d: with_bytes(d, sot(d) + 4, b"\0\x02"), "no tile-part"),
    "a tile-part of no tile": (lambda d: with_bytes(d, sot(d) + 4, b"\xff\xff"), "is of tile 65535 of"),
    "tile-parts that stand still": (lambda d: with_bytes(d, sot(d) + 6, b"\0\0\0\x01"), "has 1 bytes"),
    "a tile-part that leads out": (lambda d: with_bytes(d, sot(d) + 6, b"\x7f\0\0\0"), "ends within it"),
    "a tile-part that leads to no other": (
        lambda d: with_bytes(d, sot(d) + 6, struct.pack(">I", 900)),
        "expected a tile-part",
    ),
    "tile-parts out of their order": (lambda d: with_bytes(d, sot(d, 0) + 10, b"\x01"), "is no tile-part 0 of tile 0"),
    "a tile-part that is missing": (lambda d: with_bytes(d, sot(d, 0) + 11, b"\x02"), "has 1 tile-parts, of 2"),
    "more parts of a tile than have numbers": (
        lambda d: stretched(
            with_bytes(d[: sot(d, 1)], sot(d, 0) + 11, b"\0")  # how many there are it does not say
            + b"".join(empty_part(0, n) for n in range(1, 256))
            + d[sot(d, 1) :]
        ),
        "has 256 tile-parts, of 255 at most",
    ),
    "tile-parts without end": (
        lambda d: stretched(d[: sot(d, 1)] + empty_part(0, 1) * 70_000 + d[sot(d, 1) :]),
        "more than 65536 tile-parts",
    ),
    "a marker that is none": (lambda d: with_bytes(d, sot(d, 0), b"\0\0"), "expected a marker and its length"),
    "code-blocks that fill the memory": (lambda _: coding(vast(), 10, b"\0\0"), "code-blocks and"),
    "precincts that fill the memory": (lambda _: precincts(vast(), 0x22), "code-blocks and .* packets"),
    "layers without end": (lambda d: coding(d, 6, b"\xff\xff"), "packets, expected"),
    "segments without end": (
        lambda d: stretched(d[: sot(d, 0)] + b"\xff\x64\0\x02" * 40000 + d[sot(d, 0) :]),
        "32768 segments: 32769",
    ),
    "no coding style": (lambda d: coding(d, 0, b"\xff\x64"), r"no coding style \(COD\)"),
    "levels without end": (lambda d: coding(d, 9, b"\x40"), r"\(COD\) has 64 levels"),
    "headers of packets apart": (lambda d: stretched(segment(d, 0xFF60, bytes(99))), r"\(PPM\), which is not read"),
    "components of fewer pixels": (
        lambda d: component(d, b"\x0e\x02\x02"),
        "components are not alike, or have fewer pix",
    ),
    "samples of 32 bits": (lambda d: component(d, b"\x1f\x01\x01"), "samples have 32 bits, expected 16 at most"),
    "tiles that begin before the image": (lambda d: siz(siz(d, 2, 10), 3, 10), "tiles do not begin where its image"),
}


def stretched(data: bytes) -> bytes:
    """With the box of the codestream to the end of the file."""
    return with_bytes(data, codestream_at(data) - 8, bytes(4))


@pytest.mark.slow
def test_a_hostile_or_damaged_file_is_an_error_that_names_it_in_little_memory(tmp_path: Path):
    """All in one process: each in less memory, and sooner, than most of them ask for."""
    whole = packed(ground(60, 80), TRANSFORM, AT.epsg, blockxsize=32, blockysize=32, **LOSSLESS)
    files = []
    for n, (spoil, _) in enumerate(HOSTILE.values()):
        files.append(tmp_path / f"{n}.jp2")
        files[-1].write_bytes(spoil(whole))
    answers = limited.said(READ, *files, room_bytes=ROOM_BYTES, seconds=120).splitlines()
    assert len(answers) == len(HOSTILE)
    for path, (what, (_, pattern)), line in zip(files, HOSTILE.items(), answers, strict=True):
        told = json.loads(line)
        assert told, f"{what}: was read"
        for kind, message in told:
            assert kind in ("ReadError", "PassingError"), (what, message)
            assert message.startswith(str(path)), (what, message)
        assert any(re.search(pattern, message) for _, message in told), (what, told)


BASES = [
    packed(ground(100, 120), TRANSFORM, AT.epsg, blockxsize=48, blockysize=40, PLT="YES", TLM="YES"),
    reparted(packed(ground(100, 120), TRANSFORM, AT.epsg, blockxsize=48, blockysize=40, PLT="YES"), 2),
    packed(ground(90, 70, 3, "u1", 8), TRANSFORM, AT.epsg, blockxsize=64, blockysize=64, PROGRESSION="RPCL"),
    packed(ground(60, 60), TRANSFORM, AT.epsg, REVERSIBLE="NO", QUALITY="30"),
]


def reference(data: bytes) -> np.ndarray | None:
    """(band, y, x) as GDAL has it; where it reports a fault, and gives what lay in memory, as the whole decodes, or None."""
    faults: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: faults.append(record.getMessage())  # type: ignore[method-assign]
    log = logging.getLogger("rasterio")
    log.addHandler(handler)
    try:
        with rasterio.Env(GDAL_NUM_THREADS=1):  # what other threads meet is not told
            found = as_gdal(data)
    except Exception as err:  # noqa: BLE001 - of whatever kind: it does not read it
        faults.append(str(err))
    finally:
        log.removeHandler(handler)
    if not faults:
        return found
    try:
        whole = imagecodecs.jpeg2k_decode(data[codestream_at(data) :])
    except Exception:  # noqa: BLE001 - likewise
        return None
    return whole[None] if whole.ndim == 2 else np.moveaxis(whole, 2, 0)


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # rasterio's log, of text that is no UTF-8
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@settings(max_examples=examples(600))
@given(st.integers(0, 2**32 - 1))
def test_whatever_bytes_are_changed_the_pixels_are_gdals_or_it_is_an_error(seed):
    rng = random.Random(seed)
    data = bytearray(rng.choice(BASES))
    within = len(data) if rng.random() < 0.6 else codestream_at(bytes(data)) + 260
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(within)
        data[at] = rng.choice((rng.randrange(256), 0, 255, data[at] ^ 1 << rng.randrange(8)))
    if rng.random() < 0.15:
        del data[rng.randrange(len(data)) :]
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        path = Path(folder) / "s.jp2"
        path.write_bytes(data)
        try:
            raster = opened(path)
            window = PixelWindow(0, 0, raster.width, raster.height)
            found = np.stack([raster.read(n, window) for n in range(1, raster.bands + 1)])
        except (ReadError, BrokenError):
            return
        theirs = reference(bytes(data))
    assert theirs is None or np.array_equal(found, theirs)
