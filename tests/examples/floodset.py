"""Small datasets of floods as `make kuro-siwo` packs them, written with nothing but `curation.format`.

Land is bright, water is dark, with speckle: a river in all three images, a flood of a rectangle in the one after alone. A
strip along the west is unknown.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curation.format import payload
from curation.format.annotations import ColumnEntry
from curation.format.content import ContentHash, iter_arrays, sample_digest
from curation.format.index import ArrayEntry, FileEntry, Index, ShardEntry, SplitEntry, member_names
from curation.format.names import META
from curation.format.table import members_to_arrow
from curation.format.tar import Sample, meta_bytes, write_tar

SEASONS = ("pre2", "pre1", "post")
SIZE_PX, UNKNOWN_PX = 32, 3
NODATA = -32768.0
NUMBERS = {"po": 562, "buzi": 567, "indus": 1111012, "ganges": 4}
"""By flood, as tables of events have them."""

Arrays = dict[str, np.ndarray]
"""By name: pixels of a sample."""
Change = Callable[[str, int, Arrays], Arrays]
"""Gives other pixels of a sample: by its split, its number, and those that it would have."""


def entries(unit: str = "gamma0, linear power") -> dict[str, ArrayEntry]:
    """Arrays as `make kuro-siwo` packs them, smaller; radar in any unit, as int16 where that is in hundredths of a dB."""
    side, dtype = (SIZE_PX, SIZE_PX), "int16" if "dB" in unit else "float32"
    images = {
        f"s1{s}_10m": ArrayEntry(
            f"s1{s}", (s,), ("VV", "VH"), (2, *side), dtype, unit, NODATA, 10.0, "data", "npy.blosc"
        )
        for s in SEASONS
    }
    water = ArrayEntry("water", ("post",), ("class",), (1, *side), "uint8", "class", 3.0, 10.0, "classes", "npy.blosc")
    heights, slope = (
        ArrayEntry(name, (), (name,), (1, *side), "float32", unit, NODATA, 10.0, "data", "npy.blosc")
        for name, unit in (("dem", "m"), ("slope", "m per m"))
    )
    return {**images, "water_10m": water, "dem_10m": heights, "slope": slope}


def seed(split: str, number: int) -> int:
    """Of what a sample holds."""
    return 1000 * number + sum(split.encode())


def pixels(seed: int) -> Arrays:
    """A sample's: linear power."""
    draw = np.random.default_rng(seed)
    labels = np.zeros((SIZE_PX, SIZE_PX), np.uint8)
    y, x = draw.integers(4, SIZE_PX - 14, 2)
    labels[y : y + 10, x : x + 10] = 2
    labels[draw.integers(SIZE_PX - 4) :][:4] = 1
    out = {}
    for season in SEASONS:
        wet = (labels == 1) | ((labels == 2) & (season == "post"))
        power = np.where(wet, 0.01, 0.1) * np.array([1.0, 0.2])[:, None, None]
        out[f"s1{season}_10m"] = (power * draw.gamma(4, 1 / 4, power.shape)).astype(np.float32)
    labels[:, :UNKNOWN_PX] = 3
    heights = draw.uniform(0, 50, (1, SIZE_PX, SIZE_PX)).astype(np.float32)
    return {**out, "water_10m": labels[None], "dem_10m": heights, "slope": heights / 100}


def _sample(split: str, number: int, flood: str, arrays: Mapping[str, ArrayEntry], change: Change) -> Sample:
    found = change(split, number, pixels(seed(split, number)))
    members = {m: b"" for m in member_names(arrays, SEASONS) if m != META}
    for member in members:
        name = member.split(".")[0]
        members[member] = payload.encode(found[name].astype(arrays[name].dtype), "lz4")
    time = {"time": "2021-01-01T00:00:00Z"}
    meta = {
        "id": f"{flood}-{number}", "lon": 9.0, "lat": 50.0, "columns": {"flood": flood, "number": NUMBERS[flood]},
        "static": {"sources": {a.source: {} for a in arrays.values() if a.is_static}, "labels": None},
        "seasons": {
            s: {"sources": {a.source: time for a in arrays.values() if s in a.seasons}, "labels": None} for s in SEASONS
        },
    }  # fmt: skip
    return Sample(f"{flood}-{number}", {META: meta_bytes(meta)} | members)


def make(
    folder: Path,
    splits: Mapping[str, Sequence[str]],
    change: Change = lambda split, number, found: found,
    arrays: Mapping[str, ArrayEntry] | None = None,
) -> Path:
    """Packs samples, of which `splits` says the floods that they are of, and gives the folder."""
    arrays = entries() if arrays is None else arrays
    content, done, names = ContentHash(), {}, member_names(arrays, SEASONS)

    def put(name: str, data: bytes) -> FileEntry:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        return FileEntry(name, len(data), hashlib.sha256(data).hexdigest())

    for split, floods in splits.items():
        samples = [_sample(split, number, flood, arrays, change) for number, flood in enumerate(floods)]
        for one in samples:
            meta = json.loads(one.members[META])
            content.add(split, one.key, sample_digest(one.key, iter_arrays(one.members), meta))
        data, rows = write_tar(samples)
        tar, table = put(f"{split}/floods-{split}-000000.tar", data), io.BytesIO()
        shard = pa.array([0] * len(samples), pa.int32())
        pq.write_table(pa.table({"id": [s.key for s in samples], "shard": shard}), table)
        done[split] = SplitEntry(
            len(samples),
            (ShardEntry(tar.name, tar.size, tar.sha256, len(samples)),),
            put(f"{split}/members.arrow", members_to_arrow([rows], names)),
            put(f"{split}/samples.parquet", table.getvalue()),
        )
    columns = {"flood": ColumnEntry("flood", "text"), "number": ColumnEntry("number", "number")}
    index = Index(
        "floods", "Floods", "p", "r", content.hexdigest(), SEASONS, 0, (), dict(arrays), done, {}, {}, {}, {},
        {}, columns,
    )  # fmt: skip
    put("index.json", index.to_bytes())
    return folder
