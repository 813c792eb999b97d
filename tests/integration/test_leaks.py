"""The grep finds what it is to find, however it is packed: one that finds nothing would prove nothing."""

from __future__ import annotations

import base64
import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import numcodecs.blosc
import numcodecs.zstd
import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
import pytest
import zarr

from tests.integration.leaks import Secrets, files_below, leaks

pytestmark = pytest.mark.integration

SIGNATURE = base64.b64encode(bytes(range(200, 232))).decode()
WORD = "k/9+secret-of-somebody"
KNOWN = Secrets({"a password": WORD}, {SIGNATURE})


def tarred(text: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        member = tarfile.TarInfo("a.meta.json.gz")
        data = gzip.compress(text.encode())
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def zipped(text: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a", text * 2)
    return out.getvalue()


def parquet(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pa.parquet.write_table(table, out, compression="zstd")
    return out.getvalue()


def arrow(text: str) -> bytes:
    out, table = io.BytesIO(), pa.table({"a": [text, text]})
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_file(out, table.schema, options=options) as file:
        file.write_table(table)
    return out.getvalue()


PACKINGS: dict[str, Callable[[str], bytes]] = {
    "a.log": str.encode,
    "a.json": lambda text: json.dumps({"a": text}).replace("/", "\\/").encode(),
    "a.url": lambda text: quote(text, safe="").encode(),
    "a.json.gz": lambda text: gzip.compress(text.encode()),
    "a.json.zst": lambda text: numcodecs.zstd.compress(text.encode() * 9),
    "a.tar": tarred,
    "a.zip": zipped,
    "rows.parquet": lambda text: parquet(pa.table({"a": [text, text]})),
    "nested.parquet": lambda text: parquet(pa.table({"a": [[{"href": text}]]})),
    "metadata.parquet": lambda text: parquet(pa.table({"a": [1]}).replace_schema_metadata({"a": text})),
    "a.arrow": arrow,
    "a.npy.blosc": lambda text: numcodecs.blosc.compress(text.encode() * 20, b"zstd", 5),
}


@pytest.mark.parametrize("secret", [WORD, SIGNATURE])
@pytest.mark.parametrize("name", PACKINGS)
def test_a_secret_is_found_in_what_is_packed(name: str, secret: str):
    text = f"https://x/y?a={secret}&b"
    packed = PACKINGS[name](text)
    assert leaks({name: packed}, KNOWN) != []
    assert leaks({name: PACKINGS[name]("https://x/y")}, KNOWN) == []


@pytest.mark.parametrize("where", ["attribute", "text", "bytes"])
def test_a_secret_is_found_in_a_zarr_store(tmp_path: Path, where: str):
    def made(secret: str) -> dict[str, bytes]:
        group = zarr.open_group(tmp_path / "a.zarr", mode="w", attributes={"a": secret if where == "attribute" else ""})
        texts = group.create_array("texts", shape=(40,), dtype=str, fill_value="")
        texts[:] = np.array([secret if where == "text" else "x"] * 40, dtype=object)
        numbers = np.frombuffer((secret if where == "bytes" else "x" * 44).encode(), np.uint8)
        group.create_array("numbers", data=np.tile(numbers, 40))
        return files_below(tmp_path)

    found = leaks(made(SIGNATURE), KNOWN)
    assert found
    assert all("a signature that was given" in line for line in found)
    assert leaks(made("x"), KNOWN) == []


@pytest.mark.parametrize(
    "text",
    [
        "?sv=2024-01-01&sig=abcdefgh%2F12",
        "%3Fsv%3D2024%26sig%3Dabcdefgh",
        r"?sv=1\u0026sig\u003dabcdefghij",
        "X-Amz-Signature=0123456789abcdef",
        f"AWS4-HMAC-SHA256 Credential=…, Signature={'0a' * 32}",
    ],
)
def test_what_looks_signed_is_found_whoever_signed_it(text: str):
    assert leaks({"a.log": text.encode()}, Secrets()) != []


@pytest.mark.parametrize(
    "text", ["sig=…", "signature=…", "design=abcdefghij", "https://x/y.tif", "sig=", "signature_px=1"]
)
def test_what_was_made_unreadable_is_no_leak(text: str):
    assert leaks({"a.log": text.encode()}, Secrets()) == []


def test_no_finding_repeats_the_secret():
    told = leaks({"a.log": f"?sig={SIGNATURE} {WORD}".encode()}, KNOWN)
    assert len(told) == 3
    assert SIGNATURE not in str(told)
    assert WORD not in str(told)
