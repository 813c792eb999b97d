"""Files of the Tortilla form, as its specification 0.5.0 says: what a test packs, a reader of ours has to find."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

STATIC_BYTES = 2 + 8 + 8 + 8 + 174
"""Mark, where the table begins, how long it is, parts, and what is left free."""

Item = tuple[str, str, bytes]
"""Id, form as GDAL calls it (or `TORTILLA`, `BYTES`), and content."""


def packed(items: Sequence[Item], more: Sequence[dict[str, Any]] | None = None, mark: bytes = b"#y") -> bytes:
    """A file of items, with what else its table says of each."""
    pile, rows = io.BytesIO(), []
    for (name, form, content), its in zip(items, more or [{}] * len(items), strict=True):
        told = {"tortilla:id": name, "tortilla:file_format": form, "tortilla:offset": STATIC_BYTES + pile.tell()}
        rows.append(told | {"tortilla:length": len(content)} | its)
        pile.write(content)
    return with_table(pile.getvalue(), pa.Table.from_pylist(rows), mark)


def with_table(pile: bytes, table: pa.Table, mark: bytes = b"#y") -> bytes:
    """A file of this content and table."""
    footer = io.BytesIO()
    pq.write_table(table, footer)
    head = mark + struct.pack("<QQQ", STATIC_BYTES + len(pile), len(footer.getvalue()), 1) + bytes(174)
    return head + pile + footer.getvalue()
