"""Files of a foreign dataset, wherever it has them: in a folder, in tars, in rows of Parquet, in groups of HDF5.

An address names what is read of it: a path below the folder, then the member of a container, `a/x.tar!k.s2.tif`,
`x.parquet!17`, `x.h5!patch_3`. Nothing is unpacked.
"""

from __future__ import annotations

import functools
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import pyarrow as pa
import pyarrow.parquet as pq

from curation.errors import ConfigError, ReadError
from curation.store import local

MOST_BYTES = 256 * 2**20
"""Of one chip, as it is packed: one of 10,000 pixels a side is no chip."""

INNER = "!"
"""What stands in an address between a file and what is within it."""

_PACKED_TARS = (".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".tar.zst")


def base_of(source: Path) -> Path:
    """What addresses are told from: the folder itself, or that of a file.

    Raises:
        ConfigError: there is neither.
    """
    if source.is_dir():
        return source
    if source.is_file():
        return source.parent
    raise ConfigError(f"{source}: no such folder or file; expected a folder of chips, a tar, Parquet or HDF5")


def addresses(source: Path) -> Iterator[str]:
    """Each thing in a dataset that may be a chip, in order of name; of a container its members, and not itself.

    Raises:
        ConfigError: it is no dataset, or a container of it cannot be listed.
    """
    base = base_of(source)
    files = sorted(p for p in source.rglob("*") if p.is_file()) if source.is_dir() else [source]
    for path in files:
        name = path.relative_to(base).as_posix()
        if path.name.lower().endswith(_PACKED_TARS):
            raise ConfigError(f"{path}: a tar that is packed as a whole: members cannot be read one by one; unpack it")
        try:
            inner = _listed(path)
        except (OSError, ValueError, tarfile.TarError, pa.ArrowException) as err:
            raise ConfigError(f"{path}: cannot be listed: {err}; get the file again") from err
        yield from [name] if inner is None else (f"{name}{INNER}{member}" for member in inner)


def _listed(path: Path) -> list[str] | None:
    """Members of a container, in order; None of a file that is none."""
    ending = path.suffix.lower()
    if ending == ".tar":
        return list(_tar(str(path), *_mark(path)))
    if ending == ".parquet":
        return [str(row) for row in range(pq.read_metadata(path).num_rows)]
    if ending in (".h5", ".hdf5"):
        with h5py.File(path) as file:
            groups = [name for name, of in file.items() if isinstance(of, h5py.Group)]
        return sorted(groups) or None
    return None


def _mark(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size


@functools.lru_cache(maxsize=64)
def _tar(path: str, _mtime_ns: int, _size: int) -> dict[str, tuple[int, int]]:
    """Member of a tar → its first byte, and how many it has."""
    with tarfile.open(path, "r:") as tar:
        return {m.name: (m.offset_data, m.size) for m in tar if m.isreg()}


def read(base: Path, address: str, column: str | None = None) -> bytes:
    """The bytes at an address: of a row of Parquet those in `column`, of a group of HDF5 the file's.

    Raises:
        ReadError: there is nothing, it is no file, or has too many bytes.
    """
    name, _, member = address.partition(INNER)
    path = base / name
    try:
        reads: dict[str, Callable[[], bytes]] = {
            ".tar": lambda: _of_tar(path, member),
            ".parquet": lambda: _of_row(path, int(member), column or ""),
        }
        data = reads.get(path.suffix.lower(), lambda: _whole(path))()
    except ReadError:
        raise
    except (OSError, ValueError, LookupError, tarfile.TarError, pa.ArrowException) as err:
        raise ReadError(f"{address}: cannot be read: {type(err).__name__}: {err}") from err
    if len(data) > MOST_BYTES:
        raise ReadError(f"{address}: {len(data)} bytes, expected at most {MOST_BYTES} of a chip")
    return data


def _whole(path: Path) -> bytes:
    if (size := path.stat().st_size) > MOST_BYTES:
        raise ReadError(f"{path.name}: {size} bytes, expected at most {MOST_BYTES} of a chip")
    return local.content(path)


def _of_tar(path: Path, member: str) -> bytes:
    first, size = _tar(str(path), *_mark(path))[member]
    with path.open("rb") as file:
        file.seek(first)
        data = file.read(min(size, MOST_BYTES + 1))
    if len(data) != min(size, MOST_BYTES + 1):
        raise ReadError(f"{path.name}{INNER}{member}: the tar is cut: {len(data)} of {size} bytes; get it again")
    return data


@functools.lru_cache(maxsize=8)
def _column(path: str, group: int, column: str, _mtime_ns: int, _size: int) -> pa.ChunkedArray:
    """A column of a row group, as it is read for one row after the other."""
    return pq.ParquetFile(path).read_row_group(group, columns=[column])[column]


def _of_row(path: Path, row: int, column: str) -> bytes:
    """The bytes of a cell; as `datasets` of Hugging Face writes images, of its field `bytes`."""
    if column not in (names := pq.read_schema(path).names):
        raise ReadError(f"{path.name}: no column {column!r}, it has {', '.join(names)}: say key of the form")
    found, first = pq.read_metadata(path), 0
    for group in range(found.num_row_groups):
        if row < first + found.row_group(group).num_rows:
            cell = _column(str(path), group, column, *_mark(path))[row - first].as_py()
            value = cell.get("bytes") if isinstance(cell, dict) else cell
            if not isinstance(value, bytes):
                raise ReadError(f"{path.name}{INNER}{row}: column {column!r} holds no bytes there")
            return value
        first += found.row_group(group).num_rows
    raise ReadError(f"{path.name}{INNER}{row}: has {first} rows")
