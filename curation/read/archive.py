"""Files of a foreign dataset, wherever it has them: in a folder, in tars, in Tortilla files, in rows of Parquet, in HDF5.

An address names what is read of it: a path below the folder, then the member of a container, `a/x.tar!k.s2.tif`,
`x.tortilla!sample_1/s2`, `x.parquet!17`, `x.h5!patch_3`. Nothing is unpacked.
"""

from __future__ import annotations

import functools
import io
import re
import tarfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import h5py
import pyarrow as pa
import pyarrow.parquet as pq
from cachetools import LRUCache

from curation.errors import ConfigError, ReadError
from curation.read import tortilla
from curation.store import local

MOST_BYTES = 256 * 2**20
"""Of one chip, as it is packed: one of 10,000 pixels a side is no chip."""

INNER = "!"
"""What stands in an address between a file and what is within it."""

MOST_GROUP_BYTES = 2**30
"""Of a column of a row group, which is decoded as a whole to read a row of it; so many bytes of such are kept, too."""

_TAR, _PARQUET, _HDF5 = (".tar",), (".parquet",), (".h5", ".hdf5")
_ENDINGS = "|".join(map(re.escape, (*_TAR, *tortilla.ENDINGS, *_PARQUET, *_HDF5)))
_WITHIN = re.compile(rf"(?P<file>.*?({_ENDINGS})){INNER}(?P<member>.*)", re.I | re.S)

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
    raise ConfigError(f"{source}: no such folder or file; expected a folder of chips, a tar, Tortilla, Parquet or HDF5")


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
            what = path.suffix.lower()
            raise ConfigError(
                f"{path}: cannot be listed as {what} ({err}): it is cut, or no such file; get it again"
            ) from err
        yield from [name] if inner is None else (f"{name}{INNER}{member}" for member in inner)


def split(address: str) -> tuple[str, str]:
    """A file's path below the folder, and what is meant within it: empty of a file that is no container.

    A `!` in a name parts nothing: the first behind a container's ending does.
    """
    found = _WITHIN.fullmatch(address)
    return (address, "") if found is None else (found["file"], found["member"])


def _listed(path: Path) -> list[str] | None:
    """Members of a container, in order; None of a file that is none."""
    ending = path.suffix.lower()
    if ending in _TAR:
        return list(_tar(str(path), *_mark(path)))
    if ending in tortilla.ENDINGS:
        return list(tortilla.members(str(path), *_mark(path)))
    if ending in _PARQUET:
        return [str(row) for row in range(pq.read_metadata(path).num_rows)]
    if ending in _HDF5:
        with h5py.File(path) as file:
            links = [name for name in file if not is_own(file, name)]  # which are listed, and told when they are read
            groups = [name for name in file if name not in links and file.get(name, getclass=True) is h5py.Group]
        return sorted(groups + links) if groups else None
    return None


def is_own(file: h5py.File, path: str) -> bool:
    """Whether all that leads to something in a file of HDF5 is in it: a link may lead to any file, and is not followed.

    Raises:
        KeyError: there is no such thing.
    """
    parts = [part for part in path.split("/") if part]
    for before in ("/".join(parts[: n + 1]).encode() for n in range(len(parts))):
        if not file.id.links.exists(before):
            raise KeyError(path)
        if file.id.links.get_info(before).type != h5py.h5l.TYPE_HARD:
            return False
    return True


def _mark(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size


@functools.cache  # as many as the addresses that were told from them, which are kept as well
def _tar(path: str, _mtime_ns: int, _size: int) -> dict[str, tuple[int, int]]:
    """Member of a tar → its first byte, and how many it has.

    Raises:
        tarfile.TarError: it is cut, or a member has not its bytes one after the other.
    """
    out: dict[str, tuple[int, int]] = {}
    with tarfile.open(path, "r:") as tar:
        for m in tar:
            if m.issparse():
                raise tarfile.TarError(f"member {m.name!r} is sparse, its holes are left out: pack it without --sparse")
            if m.islnk() and m.linkname not in out:
                raise tarfile.TarError(f"member {m.name!r} is a link to {m.linkname!r}, which is not before it")
            if m.isreg() or m.islnk():
                out[m.name] = out[m.linkname] if m.islnk() else (m.offset_data, m.size)
        end = tar.offset
    with Path(path).open("rb") as file:
        file.seek(end)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):  # POSIX pax, "ustar Interchange Format": two such
            raise tarfile.TarError(f"ends at byte {end} without the block of zeros that ends a tar: it is cut")
    return out


def read(base: Path, address: str, column: str | None = None) -> bytes:
    """The bytes at an address: of a row of Parquet those in `column`, of a group of HDF5 a file with it alone.

    Raises:
        ReadError: there is nothing, it is no file, or has too many bytes.
    """
    name, member = split(address)
    path = base / name
    try:
        data = _content(path, member, column or "")
    except ReadError:
        raise
    except (OSError, ValueError, LookupError, tarfile.TarError, pa.ArrowException) as err:
        raise ReadError(f"{address}: cannot be read: {type(err).__name__}: {err}") from err
    if len(data) > MOST_BYTES:
        raise ReadError(f"{address}: {len(data)} bytes, expected at most {MOST_BYTES} of a chip")
    return data


def _content(path: Path, member: str, column: str) -> bytes:
    ending = path.suffix.lower()
    if ending in _TAR:
        return _piece(path, member, _tar(str(path), *_mark(path)))
    if ending in tortilla.ENDINGS:
        return _piece(path, member, tortilla.members(str(path), *_mark(path)))
    if ending in _PARQUET:
        return _of_row(path, int(member), column)
    return _of_group(path, member) if ending in _HDF5 and member else _whole(path)


def _whole(path: Path) -> bytes:
    if (size := path.stat().st_size) > MOST_BYTES:
        raise ReadError(f"{path.name}: {size} bytes, expected at most {MOST_BYTES} of a chip")
    return local.content(path)


def _piece(path: Path, member: str, members: Mapping[str, tuple[int, int]]) -> bytes:
    first, size = members[member]
    with path.open("rb") as file:
        file.seek(first)
        data = file.read(min(size, MOST_BYTES + 1))
    if len(data) != min(size, MOST_BYTES + 1):
        raise ReadError(f"{path.name}{INNER}{member}: the file is cut: {len(data)} of {size} bytes; get it again")
    return data


def _of_group(path: Path, name: str) -> bytes:
    """A file of HDF5 with one group of another, and nothing else of it. Its links stay links."""
    out = io.BytesIO()
    with h5py.File(path) as file:
        if not is_own(file, name):
            raise ReadError(f"{path.name}{INNER}{name}: is a link: expected the group itself, in this file")
        if (size := _stored_bytes(file[name])) > MOST_BYTES:
            raise ReadError(f"{path.name}{INNER}{name}: {size} bytes, expected at most {MOST_BYTES} of a chip")
        with h5py.File(out, "w") as made:
            file.copy(file[name], made, name)
    return out.getvalue()


def _stored_bytes(group: h5py.Group) -> int:
    """Of all arrays of a group, as they are packed."""
    sizes = list[int]()
    group.visititems(lambda _, of: sizes.append(of.id.get_storage_size()) if isinstance(of, h5py.Dataset) else None)
    return sum(sizes)


_Mark = tuple[int, int]

_Columns = LRUCache[tuple[str, int, str, _Mark], pa.ChunkedArray]


def column_cache(limit_bytes: int) -> _Columns:
    """Columns of (file, row group, column, state of the file), of so many bytes: what was read longest ago goes first."""
    return LRUCache(limit_bytes, lambda column: column.nbytes)


_columns = column_cache(MOST_GROUP_BYTES)
_columns_lock = threading.Lock()


def _column(path: Path, group: int, column: str) -> pa.ChunkedArray:
    """A column of a row group, as it is read for one row after the other: by one thread, for all."""
    key = str(path), group, column, _mark(path)
    with _columns_lock:
        if (found := _columns.get(key)) is None:
            found = pq.ParquetFile(path).read_row_group(group, columns=[column])[column]
            if found.nbytes <= MOST_GROUP_BYTES:  # more than it said before
                _columns[key] = found
        return found


@functools.lru_cache(maxsize=256)
def _footer(path: str, _mtime_ns: int, _size: int) -> tuple[pq.FileMetaData, list[str]]:
    """What a file of Parquet says of its row groups, and its columns."""
    found = pq.read_metadata(path)
    return found, found.schema.to_arrow_schema().names


def _of_row(path: Path, row: int, column: str) -> bytes:
    """The bytes of a cell; as `datasets` of Hugging Face writes images, of its field `bytes`."""
    found, names = _footer(str(path), *_mark(path))
    if column not in names:
        raise ReadError(f"{path.name}: no column {column!r}, it has {', '.join(names)}: say key of the form")
    first = 0
    for group in range(found.num_row_groups):
        if row < first + found.row_group(group).num_rows:
            _check_group(found.row_group(group), column, f"{path.name}{INNER}{row}")
            cell = _column(path, group, column)[row - first].as_py()
            value = cell.get("bytes") if isinstance(cell, dict) else cell
            if not isinstance(value, bytes):
                raise ReadError(f"{path.name}{INNER}{row}: column {column!r} holds no bytes there")
            return value
        first += found.row_group(group).num_rows
    raise ReadError(f"{path.name}{INNER}{row}: has {first} rows")


def _check_group(group: pq.RowGroupMetaData, column: str, where: str) -> None:
    """Passes where a column of a row group is small enough to be decoded. Raises ReadError otherwise."""
    leaves = [group.column(n) for n in range(group.num_columns)]
    own = [c.total_uncompressed_size for c in leaves if f"{c.path_in_schema}.".startswith(f"{column}.")]
    if sum(own) > MOST_GROUP_BYTES:
        raise ReadError(
            f"{where}: its row group has {sum(own)} bytes of {column!r}, expected at most {MOST_GROUP_BYTES}, since they "
            "are decoded together: write the file with smaller row groups"
        )
