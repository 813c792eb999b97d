"""The same samples in every contender's layout, below a cache folder; written once and again when the code changed."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec.structs import replace

from curation.format import payload
from curation.format.content import ContentHash
from curation.format.index import ArrayEntry, FileEntry, Index, ShardEntry, SourceEntry, SplitEntry, member_names
from curation.format.names import META
from curation.format.table import members_to_arrow
from curation.format.tar import Sample, meta_bytes, write_tar
from tests.benchmarks.streaming import pixels, samples
from tests.benchmarks.streaming.pixels import Array

HERE = Path(__file__).parent
SHARDS = 6


def _entry(
    source: str, bands: tuple[str, ...], res: float, dtype: str, unit: str, nodata: float, **more: Any
) -> ArrayEntry:
    side = round(2640 / res)
    seasons = () if source in ("dem", "worldcover") else samples.SEASONS
    role = "classes" if dtype == "uint8" else "data"
    return ArrayEntry(source, seasons, bands, (len(bands), side, side), dtype, unit, nodata, res, role, **more)  # type: ignore[arg-type]


_SHARED = {
    "s1rtc_10m": (_entry("s1rtc", ("vv", "vh"), 10.0, "int16", "0.01 dB", -32768.0), "s1"),
    "worldcover_10m": (_entry("worldcover", ("map",), 10.0, "uint8", "class", 0.0), "worldcover"),
    "dynamicworld_10m": (_entry("dynamicworld", ("label",), 10.0, "uint8", "class", 255.0), "dynamicworld"),
}
TEN = _SHARED | {
    "s2l2a_10m": (_entry("s2l2a", pixels.BANDS, 10.0, "uint16", "1e-4", 0.0), "s2"),
    "dem_10m": (_entry("dem", ("elevation",), 10.0, "int16", "m", -32768.0), "dem"),
}
NATIVE = _SHARED | {
    **{
        f"s2l2a_{res}m": (_entry("s2l2a", names, float(res), "uint16", "1e-4", 0.0), f"s2_{res}m")
        for res, names in pixels.GROUPS.items()
    },
    "dem_30m": (_entry("dem", ("elevation",), 30.0, "float32", "m", -32768.0), "dem"),
}
"""Array of the shards → (its entry, its name among a sample's arrays)."""


def per_shard(count: int) -> list[range]:
    """Numbers of the samples of each shard."""
    cuts = np.linspace(0, count, SHARDS + 1).round().astype(int).tolist()
    return [range(a, b) for a, b in itertools.pairwise(cuts)]


def npy(array: Array) -> bytes:
    """As a `.npy` file."""
    out = io.BytesIO()
    np.save(out, np.ascontiguousarray(array))
    return out.getvalue()


def write_stock(folder: Path, count: int) -> None:
    """Plain WebDataset tars with a `.npy` per source; the others' layouts are made from them."""
    for number, shard in enumerate(per_shard(count)):
        with tarfile.open(folder / f"shard-{number:06d}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            for sample in map(samples.make, shard):
                members = {f"{n}.npy": npy(a) for n, a in sample.ten.items()}
                for suffix, body in (members | {"json": samples.meta_json(sample)}).items():
                    info = tarfile.TarInfo(f"{sample.key}.{suffix}")
                    info.size = len(body)
                    tar.addfile(info, io.BytesIO(body))
    names = sorted(p.name for p in folder.glob("*.tar"))
    (folder / "shards.json").write_text(json.dumps(names))


def _members(sample: samples.Sample, arrays: Mapping[str, tuple[ArrayEntry, str]], codec: payload.Codec) -> Sample:
    whole = sample.ten if "dem_10m" in arrays else sample.native
    entries = {n: e for n, (e, _) in arrays.items()}
    members = {META: meta_bytes(sample.meta)}
    for suffix in member_names(entries, samples.SEASONS)[1:]:
        array, _, season = suffix.removesuffix(f".{payload.encoding_of(codec)}").partition(".")
        pixels_ = whole[arrays[array][1]]
        part = pixels_[samples.SEASONS.index(season)] if season else pixels_
        members[suffix] = payload.encode(part, codec)
    return Sample(sample.key, members)


def write_ours(folder: Path, count: int, form: str, codec: payload.Codec) -> None:
    """Shards of `curation`, with what `curation.format` gives and a made-up content hash, which no reader needs."""
    arrays = {
        n: (replace(e, encoding=payload.encoding_of(codec)), k)
        for n, (e, k) in sorted((TEN if form == "ten" else NATIVE).items())
    }
    entries = {n: e for n, (e, _) in arrays.items()}

    def put(name: str, data: bytes) -> FileEntry:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        return FileEntry(name, len(data), hashlib.sha256(data).hexdigest())

    shards, rows, ids = [], [], []
    for number, shard in enumerate(per_shard(count)):
        made = [_members(samples.make(i), arrays, codec) for i in shard]
        data, shard_rows = write_tar(made)
        file = put(f"train/bench-train-{number:06d}.tar", data)
        shards.append(ShardEntry(file.name, file.size, file.sha256, len(made)))
        rows.append(shard_rows)
        ids += [s.key for s in made]
    table = pa.table(
        {
            "id": ids,
            "lon": [9.0] * count,
            "lat": [50.8] * count,
            "region": ["benchmark"] * count,
            "shard": pa.array(np.repeat(np.arange(SHARDS), [len(r) for r in per_shard(count)]), pa.int32()),
        }
    )
    parquet = io.BytesIO()
    pq.write_table(table, parquet)
    split = SplitEntry(
        count,
        tuple(shards),
        put("train/members.arrow", members_to_arrow(rows, member_names(entries, samples.SEASONS))),
        put("train/samples.parquet", parquet.getvalue()),
    )
    index = Index(
        dataset="bench",
        title="Benchmark",
        pixels_digest="p",
        release_digest="r",
        content_sha256=ContentHash().hexdigest(),
        seasons=samples.SEASONS,
        children=0,
        label_names=("trees", "water", "built"),
        arrays=entries,
        splits={"train": split},
        statistics={},
        sources={"dem": SourceEntry("Copernicus DEM", "free")},
        counts={},
        written_by={},
    )
    put("index.json", index.to_bytes())


def _code(*names: str) -> str:
    digest = hashlib.sha256()
    for path in [HERE / n for n in ("pixels.py", "samples.py", "layouts.py", *names)]:
        digest.update(path.read_bytes())
    for module in (payload,):
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest.hexdigest()


def ensure(folder: Path, code: tuple[str, ...], write: Callable[[Path], None]) -> Path:
    """The folder, written unless it was, by the same code; what is half written is never taken for whole."""
    mark = folder / ".written-by"
    if mark.is_file() and mark.read_text() == _code(*code):
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write(folder)
    mark.write_text(_code(*code))
    return folder


def size_of(folder: Path) -> int:
    """Bytes of all files below it."""
    return sum(p.stat().st_size for p in files(folder))


def files(folder: Path) -> Iterator[Path]:
    """All files below it, except the mark."""
    return (p for p in folder.rglob("*") if p.is_file() and p.name != ".written-by")


def warm(folder: Path) -> None:
    """Reads all of it once, so that it is in the page cache whatever ran before."""
    buffer = bytearray(1 << 24)
    for path in files(folder):
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass


def run_writer(python: Path, script: str, source: Path, folder: Path, variant: str) -> None:
    """Lets a contender write its own layout. Raises RuntimeError with what it said."""
    command = [str(python), str(HERE / "contenders" / script), "write", str(source), str(folder), variant]
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode:
        raise RuntimeError(f"{script} could not write {variant}: {done.stderr[-2000:]}")
