"""A grep for what lets anybody in, over bytes as they are and as they are once unpacked."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import io
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

import numcodecs.blosc
import numcodecs.zstd
import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
import zarr
import zarr.storage
from zarr.core.buffer import default_buffer_prototype

SIGNED = re.compile(
    rb"(?i)(?<![a-z])sig(?:=|%3d|\\u003d)[a-z0-9%+/_-]{8}"
    rb"|(?<![a-z])x-amz-(?:signature|credential|security-token)(?:=|%3d)[a-z0-9]"
    rb"|(?<![a-z])signature=[0-9a-f]{32}"
)
"""Queries of signed URLs, of Azure and of S3, and the header of S3, whoever signed."""
SIGNERS = (b"sig", b"x-amz")
"""One of them, in lower case, is in whatever that finds: looked for first, since it is slow."""
PADDING = re.compile(rb"=|%3[Dd]|\\u003d")
SHA256 = re.compile(rb"(?:[A-Za-z0-9+/]|%2[BbFf]|\\/){43}$")
"""A signature of Azure alone: base64 of 32 bytes, as it is or as it stands in a URL or in JSON, up to its padding."""
ESCAPED = re.compile(rb"%2[BbFf]|\\/")
LONGEST = 3 * 43
CHUNK = re.compile(r"\.zarr/.*/c/")
"""A chunk of Zarr's, packed as its array says: `_arrays` has it."""
DEEPEST = 5


@dataclass
class Secrets:
    """What must stand nowhere."""

    words: dict[str, str] = field(default_factory=dict)
    """By what it is."""
    signatures: set[str] = field(default_factory=set)
    """Of Azure, base64."""

    def told_by(self, data: bytes) -> Iterator[str]:
        """What of it stands in some bytes, by what it is."""
        for what, word in self.words.items():
            spelt = {word, quote(word, safe=""), word.replace("/", "\\/"), base64.b64encode(word.encode()).decode()}
            if any(each.encode() in data for each in spelt):
                yield what
        low = data.lower()
        if any(each in low for each in SIGNERS) and (match := SIGNED.search(data)):
            yield f"what looks signed: {match[0][:12]!r}…"
        for end in (match.start() for match in PADDING.finditer(data)):
            before = data[max(0, end - LONGEST) : end]
            if (match := SHA256.search(before, max(0, len(before) - 43))) or (
                ESCAPED.search(before) and (match := SHA256.search(before))
            ):
                plain = unquote_to_bytes(match[0].replace(b"\\/", b"/")).decode()
                if f"{plain}=" in self.signatures:
                    yield "a signature that was given"


def leaks(objects: Mapping[str, bytes], secrets: Secrets) -> list[str]:
    """Which objects tell which secrets, unpacked as far as they can be; the arrays of Zarr groups decoded."""
    layers = (layer for name, data in objects.items() for layer in unpacked(name, data))
    return sorted({f"{name}: {what}" for name, data in (*layers, *_arrays(objects)) for what in secrets.told_by(data)})


def unpacked(name: str, data: bytes, depth: int = 0) -> Iterator[tuple[str, bytes]]:
    """Some bytes, and all that is packed in them, each with a name that says where it was."""
    yield name, data
    if depth == DEEPEST or CHUNK.search(name):
        return
    for inner, its in _within(name, data):
        yield from unpacked(f"{name}!{inner}", its, depth + 1)


def _within(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    """What is packed in some bytes. What begins like a packing and is none is no more than it is."""
    if data[:2] == b"\x1f\x8b":
        yield "gunzipped", gzip.decompress(data)
    elif data[:4] == b"\x28\xb5\x2f\xfd":
        yield "unpacked", numcodecs.zstd.decompress(data)
    elif data[:4] == b"PAR1":
        table = pa.parquet.read_table(io.BytesIO(data))
        yield from _table(table)
    elif data[:6] == b"ARROW1":
        yield from _table(pa.ipc.open_file(data).read_all())
    elif data[257:262] == b"ustar":
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            for member in tar:
                file = tar.extractfile(member)
                yield member.name, file.read() if file else b""
    elif data[:2] == b"PK" and zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            for member in packed.namelist():
                yield member, packed.read(member)
    elif data[:4] == b"%PDF" or data[:8] == b"\x89PNG\r\n\x1a\n":
        for at in (m.start() for m in re.finditer(rb"x[\x01\x9c\xda]", data)):
            unzipped = _inflated(data[at:])
            if unzipped:
                yield f"inflated {at}", unzipped
    elif name.endswith(".npy.blosc"):
        yield "decoded", numcodecs.blosc.decompress(data)


def _inflated(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data)
    except zlib.error:
        return b""


def _table(table: pa.Table) -> Iterator[tuple[str, bytes]]:
    yield "schema", repr((table.schema.metadata, [(f.name, f.metadata) for f in table.schema])).encode()
    yield "rows", repr(table.to_pylist()).encode()


def _arrays(objects: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """The arrays of all Zarr groups among some objects, decoded by zarr itself."""
    groups = sorted({name.partition(".zarr/")[0] + ".zarr" for name in objects if ".zarr/" in name})
    for group in groups:
        store = asyncio.run(_held(group, objects))
        for path, array in zarr.open_group(store, mode="r").arrays():
            value = np.asarray(array[...])
            is_text = value.dtype.kind in "OUT"
            yield f"{group}!{path}", "\n".join(map(str, value.ravel())).encode() if is_text else value.tobytes()


async def _held(group: str, objects: Mapping[str, bytes]) -> zarr.storage.MemoryStore:
    """What is below a group, as a store of zarr's."""
    store, make = zarr.storage.MemoryStore(), default_buffer_prototype().buffer.from_bytes
    for name, data in objects.items():
        if name.startswith(f"{group}/"):
            await store.set(name.removeprefix(f"{group}/"), make(data))
    return store


def files_below(*folders: Path) -> dict[str, bytes]:
    """The files of folders, by their paths; what is gone by the time that it is read is left out."""
    found = {}
    for path in (p for folder in folders for p in sorted(folder.rglob("*"))):
        with contextlib.suppress(FileNotFoundError):
            if path.is_file() and not path.is_symlink():
                found[str(path)] = path.read_bytes()
    return found
