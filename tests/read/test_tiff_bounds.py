"""TIFFs that would fill the memory: refused by name, in little memory, before they are decoded."""

from __future__ import annotations

import json
import re
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import rasterio
import tifffile

from curation.errors import ReadError
from curation.read import image
from curation.read.reader import Asset, Read, Reader
from tests import limited
from tests.read.test_reader import AT, north_up, spec

ROOM_BYTES = 400 * 2**20
"""What a reader may need beside its libraries: less than most of these files would take."""

READ = """
import dataclasses, json
from curation.errors import ReadError
from curation.model import Location
from curation.read.reader import Asset, Read, Reader
from curation.recipe.arrays import ArraySpec
from tests.read.test_reader import AT, spec
array = spec(10, "uint16", 0)
for path in sys.argv[1:]:
    asset, told = Asset(path, "none"), []
    with Reader("") as reader:
        for use in (
            lambda: reader.prefetch([Read(asset, array, AT), Read(asset, array, None)]),
            lambda: reader.read([asset], array, AT),
            lambda: reader.coarse(asset, array),
        ):
            try:
                use()
            except ReadError as err:
                told.append((type(err).__name__, str(err)))
            except MemoryError:
                told.append(("MemoryError", "of which there is not enough"))
    print(json.dumps(told))
"""


def written(
    path: Path,
    side: int,
    tile: int | None,
    packed: bytes,
    compression: int,
    *,
    step_m: float = 10.0,
    dtype: str = "uint16",
    more: tuple[tuple[int, int, int, object, bool], ...] = (),
) -> Path:
    """A TIFF about `AT` of one block (a tile, or one strip) that holds these bytes."""
    kinds = [(33550, 12, 3, (step_m, step_m, 0.0)), (33922, 12, 6, (0.0, 0.0, 0.0, AT.x0_m, AT.y0_m, 0.0))]
    keys = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, AT.epsg)
    tags = [(*k, True) for k in [*kinds, (34735, 3, len(keys), keys)]]
    tifffile.imwrite(
        path,
        data=iter([packed]),
        shape=(side, side),
        dtype=dtype,
        compression=compression,
        metadata=None,
        extratags=[*tags, *more],
        **({"tile": (tile, tile)} if tile else {"rowsperstrip": side}),
    )
    return path


def zeros(size: int) -> bytes:
    """So many zeros, packed by deflate, in little memory."""
    packer = zlib.compressobj(9)
    piece = bytes(2**24)
    return b"".join([*(packer.compress(piece) for _ in range(size // 2**24)), packer.flush()])


def with_tag(path: Path, code: int, count: int | None, value: int | None) -> Path:
    """The file, whose first image has another count or value in a tag: as a hostile or damaged header has."""
    with tifffile.TiffFile(path) as tiff:
        tag = tiff.pages.first.tags[code]
        at, order = tag.offset, tiff.byteorder
    data = bytearray(path.read_bytes())
    name = "little" if order == "<" else "big"
    if count is not None:
        data[at + 4 : at + 8] = count.to_bytes(4, name)
    if value is not None:
        data[at + 8 : at + 12] = value.to_bytes(4, name)
    path.write_bytes(data)
    return path


def huge_tile(path: Path) -> Path:
    return written(path, 512, 40000, zeros(2**26), 8)


def huge_strip(path: Path) -> Path:
    return written(path, 40000, None, zeros(2**26), 8)


def deflate_bomb(path: Path) -> Path:
    return written(path, 512, 512, zeros(2**29), 8)


def jpeg_bomb(path: Path) -> Path:
    packed = bytearray(imagecodecs.jpeg_encode(np.zeros((512, 512), "u1")))
    frame = packed.index(b"\xff\xc0")
    packed[frame + 5 : frame + 9] = (16000).to_bytes(2, "big") + (60000).to_bytes(2, "big")
    return written(path, 512, 512, bytes(packed), 7, dtype="uint8")


def lerc_bomb(path: Path) -> Path:
    return written(path, 512, 512, imagecodecs.lerc_encode(np.zeros((8000, 8000), "u2")), 34887)


def lerc_of_many(path: Path) -> Path:
    return written(path, 512, 512, imagecodecs.lerc_encode(np.zeros((512, 512), "u2")) * 4000, 34887)


def jpeg_2000_bomb(path: Path) -> Path:
    return written(path, 512, 512, imagecodecs.jpeg2k_encode(np.zeros((512, 512), "u2")), 34712)


def long_block(path: Path) -> Path:
    with_tag(written(path, 512, 512, zeros(2**24), 8), 325, None, 2**30)
    with path.open("r+b") as file:
        file.truncate(2**31)  # a hole: it takes no disk
    return path


def many_offsets(path: Path) -> Path:
    with_tag(written(path, 512, 512, zeros(2**24), 8), 324, 2**27, 1024)
    with path.open("r+b") as file:
        file.truncate(2**31)
    return path


def tiny_pixels(path: Path) -> Path:
    with rasterio.open(
        path, "w", driver="GTiff", width=60_000, height=60_000, count=1, dtype="uint16", nodata=0, crs=f"EPSG:{AT.epsg}",
        transform=north_up(AT.x0_m, AT.y0_m, 0.01), tiled=True, blockxsize=2048, blockysize=2048, sparse_ok=True,
    ):  # fmt: skip
        pass
    return path


def huge_mask(path: Path) -> Path:
    with rasterio.open(
        path, "w", driver="GTiff", width=512, height=512, count=1, dtype="uint16", crs=f"EPSG:{AT.epsg}",
        transform=north_up(AT.x0_m, AT.y0_m, 10), tiled=True, blockxsize=512, blockysize=512,
    ) as file:  # fmt: skip
        file.write(np.ones((512, 512), "u2"), 1)
    gdal = '<GDALMetadata><Item name="INTERNAL_MASK_FLAGS_1">2</Item></GDALMetadata>'
    written(Path(f"{path}.msk"), 512, 40000, zeros(2**26), 8, dtype="uint8", more=((42112, 2, 0, gdal, True),))
    return path


HOSTILE = [
    (huge_tile, "has blocks of 40000 × 40000 pixels, 3200000000 bytes each, .* rewrite it in tiles"),
    (huge_strip, "has blocks of 40000 × 40000 pixels, 3200000000 bytes each, .* rewrite it in tiles"),
    (deflate_bomb, "block column 0 row 0 cannot be decoded"),
    (jpeg_bomb, "block column 0 row 0 would decode to 960000000 samples, expected 262144 at most"),
    (lerc_bomb, "block column 0 row 0 would decode to 64000000 samples, expected 262144 at most"),
    (lerc_of_many, "block column 0 row 0 would decode to 1048576000 samples, expected 262144 at most"),
    (
        jpeg_2000_bomb,
        r"is packed by TIFF compression 34712 \(JPEG2000\), which is not read here; rewrite it with deflate",
    ),
    (long_block, "block column 0 row 0 takes 1073741824 bytes of the file, expected 1114112 at most"),
    (many_offsets, "has tags of [0-9]+ bytes up to tag 324, expected 16777216 at most"),
    (tiny_pixels, "has 60000 × 60000 pixels where the location is, 7200000000 bytes, expected 268435456 at most"),
    (huge_mask, "has blocks of 40000 × 40000 pixels, 1600000000 bytes each"),
]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, list[tuple[str, str]]]]:
    """What one process says of all of them, one after the other: file → where it is, and what each use of it raises."""
    paths = [make(tmp_path_factory.mktemp("hostile") / f"{make.__name__}.tif") for make, _ in HOSTILE]
    lines = limited.said(READ, *paths, room_bytes=ROOM_BYTES).splitlines()
    return {path.stem: (path, json.loads(line)) for path, line in zip(paths, lines, strict=True)}


@pytest.mark.parametrize(("make", "message"), HOSTILE, ids=[make.__name__ for make, _ in HOSTILE])
def test_a_file_that_would_fill_the_memory_is_refused_by_name_in_little(told, make, message: str):
    path, errors = told[make.__name__]
    assert len(errors) == (1 if make is tiny_pixels else 2), "reading it, and the coarse look at it"
    for kind, said in errors:
        assert kind == "ReadError", "asking again changes nothing"
        assert said.startswith(str(path))
        assert re.search(message, said), said


@pytest.mark.slow
def test_what_is_large_and_was_asked_for_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A DEM in one strip; and more than has room ahead, which is then fetched as it is read."""
    pixels = np.random.default_rng(0).integers(1, 9000, (3601, 3601)).astype("u2")
    with rasterio.open(
        tmp_path / "dem.tif", "w", driver="GTiff", width=3601, height=3601, count=1, dtype="uint16", nodata=0,
        crs=f"EPSG:{AT.epsg}", transform=north_up(AT.x0_m, AT.y0_m, 10), blockysize=3601, compress="lzw",
    ) as file:  # fmt: skip
        file.write(pixels, 1)
    asset, array = Asset(str(tmp_path / "dem.tif"), "none"), spec(10, "uint16", 0)
    with Reader("", ahead_bytes=2**20) as reader:
        reader.prefetch([Read(asset, array, AT)])
        found = reader.read([asset], array, AT)[0]
    assert np.array_equal(found, pixels[: found.shape[0], : found.shape[1]])
    monkeypatch.setattr(image, "MOST_BLOCK_BYTES", pixels.nbytes - 1)
    with Reader("") as reader, pytest.raises(ReadError, match="has blocks of 3601 × 3601 pixels"):
        reader.read([asset], array, AT)


def test_a_mask_beside_that_was_broken_is_asked_for_anew(tmp_path: Path):
    path = huge_mask(tmp_path / "s.tif")
    beside = Path(f"{path}.msk")
    beside.write_bytes(b"II*\0 no TIFF at all, however long it goes on")
    asset, array = Asset(str(path), "none"), spec(10, "uint16", 0)
    with Reader("") as reader:
        with pytest.raises(ReadError, match=r"its mask .*\.msk"):
            reader.read([asset], array, AT)
        beside.unlink()
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK="NO"), rasterio.open(path, "r+") as file:
            file.write_mask(np.full((512, 512), 255, "u1"))
        assert beside.exists()
        assert (reader.read([asset], array, AT)[0] == 1).all()
