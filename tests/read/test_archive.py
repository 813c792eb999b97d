"""What chips lie in: folders, tars, rows of Parquet, groups of HDF5. What is cut, or leads elsewhere, is an error."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.errors import ConfigError, ReadError
from curation.read import archive
from curation.read.forms.hdf5 import Hdf5
from curation.read.forms.npy import Npy
from curation.read.forms.parquet_rows import ParquetRows
from tests.geotiff import write
from tests.read.chipfiles import PIXELS, hdf5, image, npy, read, tar_of


def test_hdf5_reads_no_other_file(tmp_path: Path):
    (tmp_path / "secret").write_bytes(bytes(128))
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["g/x"] = PIXELS
    layout = h5py.VirtualLayout((8, 8), "uint16")
    layout[:] = h5py.VirtualSource(tmp_path / "b.h5", "g/x", (3, 8, 8))[0]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        group = file.create_group("p")
        group.create_dataset("raw", shape=(8, 8), dtype="uint16", external=[(tmp_path / "secret", 0, 128)])
        group.create_virtual_dataset("virtual", layout)
        group["link"] = h5py.ExternalLink(tmp_path / "b.h5", "/g/x")
        file["q"] = h5py.ExternalLink(tmp_path / "b.h5", "/g")
    assert list(archive.addresses(tmp_path / "a.h5")) == ["a.h5!p", "a.h5!q"]
    for key, why in [("raw", "in other files"), ("virtual", "in other files"), ("link", "a link leads to 'p/link'")]:
        for data in ((tmp_path / "a.h5").read_bytes(), archive.read(tmp_path, "a.h5!p")):
            with pytest.raises(ReadError, match=why):
                read(Hdf5(key=key, axes="yx"), data, "a.h5!p")
    with pytest.raises(ReadError, match="a link leads to 'q/x'"):
        read(Hdf5(key="x"), (tmp_path / "a.h5").read_bytes(), "a.h5!q")
    with pytest.raises(ReadError, match=r"a.h5!q: is a link"):
        archive.read(tmp_path, "a.h5!q")


def test_of_a_group_of_hdf5_no_more_is_read_than_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "g.h5").write_bytes(hdf5(p1__s2=PIXELS, p2__s2=np.zeros(100_000)))
    monkeypatch.setattr(archive, "MOST_BYTES", 50_000)
    data = archive.read(tmp_path, "g.h5!p1")
    assert (read(Hdf5(key="s2"), data, "g.h5!p1") == PIXELS).all()
    with pytest.raises(ReadError, match=r"g.h5!p2: 800000 bytes, expected at most 50000"):
        archive.read(tmp_path, "g.h5!p2")


def test_a_folder_with_containers_is_listed_as_what_is_in_them(tmp_path: Path):
    write(tmp_path / "x/a.tif", PIXELS, west=0, north=0, res_m=10)
    with tarfile.open(tmp_path / "t.tar", "w") as tar:
        for name in ("k1.npy", "k2.npy"):
            info = tarfile.TarInfo(name)
            info.size = len(npy(PIXELS))
            tar.addfile(info, io.BytesIO(npy(PIXELS)))
    cells = [
        {"bytes": image(PIXELS[0], "PNG"), "path": "a.png"},
        {"bytes": (tmp_path / "x/a.tif").read_bytes(), "path": None},
    ]
    pq.write_table(pa.table({"image": cells, "label": [0, 1]}), tmp_path / "h.parquet", row_group_size=1)
    (tmp_path / "g.h5").write_bytes(hdf5(p1__s2=PIXELS, p2__s2=PIXELS + 1))
    (tmp_path / "one.h5").write_bytes(hdf5(s2=PIXELS))
    found = list(archive.addresses(tmp_path))
    assert found == [
        "g.h5!p1",
        "g.h5!p2",
        "h.parquet!0",
        "h.parquet!1",
        "one.h5",
        "t.tar!k1.npy",
        "t.tar!k2.npy",
        "x/a.tif",
    ]
    assert list(archive.addresses(tmp_path / "t.tar")) == ["t.tar!k1.npy", "t.tar!k2.npy"]
    assert (read(Npy(), archive.read(tmp_path, "t.tar!k2.npy")) == PIXELS).all()
    assert (read(Hdf5(key="s2"), archive.read(tmp_path, "g.h5!p2"), "g.h5!p2") == PIXELS + 1).all()
    rows = [read(ParquetRows(), archive.read(tmp_path, f"h.parquet!{n}", ParquetRows().cell)) for n in (0, 1)]
    assert (rows[0] == PIXELS[:1]).all()
    assert (rows[1] == PIXELS).all()


def test_what_cannot_be_had_of_a_container_is_told_by_its_name(tmp_path: Path):
    pq.write_table(pa.table({"image": [b"x"], "label": [0]}), tmp_path / "h.parquet")
    for address, column, why in [
        ("h.parquet!0", "picture", "no column 'picture', it has image, label"),
        ("h.parquet!0", "label", "holds no bytes"),
        ("h.parquet!1", "image", "has 1 rows"),
        ("a.tif", None, "No such file"),
    ]:
        with pytest.raises(ReadError, match=why):
            archive.read(tmp_path, address, column)
    with pytest.raises(ConfigError, match="no such folder or file"):
        list(archive.addresses(tmp_path / "nothing"))
    (tmp_path / "a.tar.gz").write_bytes(b"")
    with pytest.raises(ConfigError, match="unpack it"):
        list(archive.addresses(tmp_path))


def test_a_tar_that_is_cut_is_told(tmp_path: Path):
    data = npy(np.zeros(5000))
    with tarfile.open(tmp_path / "t.tar", "w") as tar:
        info = tarfile.TarInfo("k.npy")
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    whole = (tmp_path / "t.tar").read_bytes()
    archive.read(tmp_path, "t.tar!k.npy")
    (tmp_path / "t.tar").write_bytes(whole[:2000])
    with pytest.raises(ConfigError, match="cannot be listed"):
        list(archive.addresses(tmp_path))
    with pytest.raises(ReadError, match=r"t\.tar"):
        archive.read(tmp_path, "t.tar!k.npy")


def test_a_tar_that_is_cut_between_its_members_is_told(tmp_path: Path):
    tar_of(tmp_path / "t.tar", *((f"{k}.npy", tarfile.REGTYPE, npy(PIXELS), "") for k in "ab"))
    assert len(list(archive.addresses(tmp_path))) == 2
    whole = (tmp_path / "t.tar").read_bytes()
    (tmp_path / "t.tar").write_bytes(whole[:1024])  # the first alone: a header, and its 512 bytes
    with pytest.raises(ConfigError, match="ends at byte 1024 without the block of zeros"):
        list(archive.addresses(tmp_path))


def test_hard_links_of_a_tar_are_what_they_link_to(tmp_path: Path):
    first = ("a.npy", tarfile.REGTYPE, npy(PIXELS), "")
    tar_of(tmp_path / "t.tar", first, ("b.npy", tarfile.LNKTYPE, b"", "a.npy"))
    assert list(archive.addresses(tmp_path)) == ["t.tar!a.npy", "t.tar!b.npy"]
    assert archive.read(tmp_path, "t.tar!b.npy") == npy(PIXELS)
    tar_of(tmp_path / "t.tar", first, ("b.npy", tarfile.LNKTYPE, b"", "c.npy"))
    with pytest.raises(ConfigError, match=r"'b.npy' is a link to 'c.npy', which is not before it"):
        list(archive.addresses(tmp_path))


@pytest.mark.skipif(shutil.which("tar") is None, reason="GNU tar packs sparse members")
@pytest.mark.parametrize("form", ["gnu", "posix"])
def test_members_of_a_tar_whose_holes_are_left_out_are_refused(tmp_path: Path, form: str):
    with (tmp_path / "k.npy").open("wb") as file:
        file.write(npy(PIXELS))
        file.truncate(1 << 20)
    subprocess.run(["tar", "--sparse", f"--format={form}", "-cf", "t.tar", "k.npy"], cwd=tmp_path, check=True)
    with pytest.raises(ConfigError, match=r"'k.npy' is sparse.*without --sparse"):
        list(archive.addresses(tmp_path / "t.tar"))


def test_each_tar_is_listed_once_however_many_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for n in range(70):
        tar_of(tmp_path / f"{n}.tar", ("a.npy", tarfile.REGTYPE, npy(PIXELS[0]), ""))
    found = list(archive.addresses(tmp_path))
    monkeypatch.setattr(archive.tarfile, "open", None)
    assert {archive.read(tmp_path, address) for address in found} == {npy(PIXELS[0])}


def test_a_mark_in_a_name_parts_nothing(tmp_path: Path):
    (tmp_path / "a!b").mkdir()
    (tmp_path / "a!b/c!d.npy").write_bytes(b"1")
    tar_of(tmp_path / "a!b/T.TAR", ("e!f.npy", tarfile.REGTYPE, b"2", ""))
    (tmp_path / "a!b/g.h5").write_bytes(hdf5(**{"p!1__s2": PIXELS}))
    found = list(archive.addresses(tmp_path))
    assert found == ["a!b/T.TAR!e!f.npy", "a!b/c!d.npy", "a!b/g.h5!p!1"]
    assert [archive.read(tmp_path, address) for address in found[:2]] == [b"2", b"1"]
    assert (read(Hdf5(key="s2"), archive.read(tmp_path, found[2]), found[2]) == PIXELS).all()


def test_a_row_group_is_decoded_once_and_within_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    cells = [bytes([n]) * 1000 for n in range(40)]
    rows = [{"bytes": cell, "path": None} for cell in cells]
    pq.write_table(pa.table({"image": rows, "image2": cells}), tmp_path / "h.parquet", row_group_size=10)
    decoded = []
    whole = pq.ParquetFile.read_row_group

    def counted(self: pq.ParquetFile, group: int, **how: Any) -> pa.Table:
        decoded.append(group)
        return whole(self, group, **how)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counted)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda n: archive.read(tmp_path, f"h.parquet!{n}", "image"), range(40))) == cells
    assert sorted(decoded) == [0, 1, 2, 3]
    monkeypatch.setattr(archive, "MOST_GROUP_BYTES", 9_000)
    with pytest.raises(ReadError, match=r"its row group has .* of 'image', expected at most 9000.*smaller row groups"):
        archive.read(tmp_path, "h.parquet!0", "image")


def test_columns_that_are_kept_are_bounded_by_their_bytes():
    kept = archive.column_cache(10_000)
    for n in range(5):
        kept["f", n, "image", (0, 0)] = pa.chunked_array([pa.array([bytes(4000)])])
    assert [group for _, group, _, _ in kept] == [3, 4]
