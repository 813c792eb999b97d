"""A small dataset of shards, packed with nothing but `curation.format`, and a range server for it.

make_shards    a folder of 13 samples in 4 shards (train) and 2 in one (val), with a truth to compare with
packed         such a folder, shared by all tests: read only
copy           such a folder of the test's own, to damage
server         the shared folder over http, with a log of requests
"""

import hashlib
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.format import payload
from curation.format.annotations import AnnotationEntry, encoded
from curation.format.content import ContentHash, iter_arrays, sample_digest
from curation.format.index import (
    ArrayEntry,
    BandStatistics,
    FileEntry,
    Index,
    ShardEntry,
    SourceEntry,
    SplitEntry,
    member_names,
)
from curation.format.names import META
from curation.format.table import members_to_arrow
from curation.format.tar import Sample, meta_bytes, write_tar
from tests.processes import end_children, started


@pytest.fixture(autouse=True)
def no_rank_outlives_its_test() -> Iterator[None]:
    """A rank or reader that hangs fails its test alone, and not the end of all."""
    yield
    end_children()


SEASONS = ("winter", "summer")
LABELS = ("trees", "water", "built")
CAPTIONS = AnnotationEntry("Captions", "json", ())
Texts = Callable[[str, int], object] | None
"""Split and number → captions."""
NO_WINTER, NO_SUMMER_RADAR, NO_LABELS = 3, 5, 2
"""Numbers of the train samples that lack something."""


def arrays(size: int = 24) -> dict[str, ArrayEntry]:
    def entry(source, season, bands, res, dtype, unit, nodata, role="data"):
        side = -(-size * 10 // int(res))  # as many whole pixels as it takes
        encoding = "npy.blosc" if source in ("s2l2a", "worldcover") else "npy"
        seasons = SEASONS if season == "seasonal" else ()
        return ArrayEntry(source, seasons, bands, (len(bands), side, side), dtype, unit, nodata, res, role, encoding)

    return {
        "s2l2a_10m": entry("s2l2a", "seasonal", ("B02", "B03", "B04", "B08"), 10.0, "uint16", "1e-4", 0.0),
        "s2l2a_20m": entry(
            "s2l2a", "seasonal", ("B05", "B06", "B07", "B8A", "B11", "B12"), 20.0, "uint16", "1e-4", 0.0
        ),
        "s2l2a_scl_20m": entry("s2l2a", "seasonal", ("SCL",), 20.0, "uint8", "class", 0.0, "mask"),
        "s1rtc_10m": entry("s1rtc", "seasonal", ("vv", "vh"), 10.0, "int16", "0.01 dB", -32768.0),
        "dem_30m": entry("dem", "static", ("elevation",), 30.0, "float32", "m", -32768.0),
        "worldcover_10m": entry("worldcover", "static", ("map",), 10.0, "uint8", "class", 0.0, "classes"),
    }


def key_of(number: int) -> str:
    return f"utm32n-{500_000 + number * 2640}-5629040"


def lacks(split: str, number: int, source: str, season: str) -> bool:
    if split != "train":
        return False
    return (number == NO_WINTER and season == "winter") or (
        number == NO_SUMMER_RADAR and season == "summer" and source == "s1rtc"
    )


def truth(split: str, number: int, array: str, season: str, entry: ArrayEntry) -> np.ndarray:
    seed = hashlib.sha256(f"{split} {number} {array} {season}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(seed[:8], "little"))
    if entry.dtype == "float32":
        return rng.normal(300, 50, entry.shape).astype(np.float32)
    return rng.integers(1, {"uint8": 11, "uint16": 65_536, "int16": 2000}[entry.dtype], entry.shape).astype(entry.dtype)


def meta_of(split: str, number: int) -> dict:
    def labels(turn: int) -> dict:
        """Different in each season."""
        shares = np.roll([0.5, 0.3, 0.2], turn).tolist()
        return {"fractions": shares, "valid_fraction": 1.0, "multi_hot": np.roll([1, number % 2, 0], turn).tolist()}

    unknown = {"fractions": None, "valid_fraction": 0.0, "multi_hot": None}
    seasons = {}
    for i, season in enumerate(SEASONS):
        if lacks(split, number, "s2l2a", season):
            continue
        sources = {
            source: {"scenes": [f"{source}-{number}-{season}"], "time": f"2021-0{1 + 6 * i}-15T10:36:29.5Z"}
            for source in ("s2l2a", "s1rtc")
            if not lacks(split, number, source, season)
        }
        seasons[season] = {"sources": sources, "labels": labels(i + 1), "gap_days": 1.5, "shift_px": 0.1}
    return {
        "id": key_of(number),
        "lon": 9.0 + number / 100,
        "lat": 50.8,
        "epsg": 32632,
        "x0_m": 500_000.0 + number * 2640,
        "y0_m": 5_629_040.0,
        "size_m": 240.0,
        "region": "marburg",
        "split": split,
        "static": {
            "sources": {"dem": {"scenes": ["d"]}, "worldcover": {"scenes": ["w"]}},
            "labels": unknown if (split, number) == ("train", NO_LABELS) else labels(0),
            "elevation": {"mean_m": 300.0},
        },
        "seasons": seasons,
    }


def fractions_of(split: str, number: int, season: str) -> list[float] | None:
    meta = meta_of(split, number)
    facts = meta["static"] if season == "static" else meta["seasons"].get(season)
    return facts and facts["labels"]["fractions"]


def payload_of(split: str, number: int, array: str, season: str, entry: ArrayEntry) -> bytes:
    codec = {"npy": "none", "npy.blosc": "lz4"}[entry.encoding]
    return payload.encode(truth(split, number, array, season, entry), codec)


def sample_of(split: str, number: int, entries: dict[str, ArrayEntry], texts: Texts = None) -> Sample:
    members = {META: meta_bytes(meta_of(split, number))}
    still = {f"{n}.{e.encoding}": payload_of(split, number, n, "static", e) for n, e in entries.items() if e.is_static}
    if texts is not None:
        still["captions.json"] = encoded(CAPTIONS, texts(split, number))
    members |= dict(sorted(still.items()))
    for season in SEASONS:
        for name in sorted(n for n, e in entries.items() if e.seasons):
            if not lacks(split, number, entries[name].source, season):
                member = f"{name}.{season}.{entries[name].encoding}"
                members[member] = payload_of(split, number, name, season, entries[name])
    return Sample(key_of(number), members)


RELEASED: dict[str, Any] = {"recipe": {"split": {"rule": "blocks"}, "grid": {"size_m": 2640}}}
"""What the record of a release says of its recipe, as far as verify asks it."""


def make_shards(
    folder: Path, splits: dict[str, list[int]], size: int = 24, texts: Texts = None, first: dict[str, int] | None = None
) -> Index:
    """Packs `splits` (name → samples per shard) into `folder`, with the JSON `captions` that `texts` says; the index comes
    last. Samples of a split are numbered from `first`: splits that begin alike have samples of the same keys."""
    notes = {} if texts is None else {"captions": CAPTIONS}
    entries, content, done = arrays(size), ContentHash(), {}

    def put(name: str, data: bytes) -> FileEntry:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        return FileEntry(name, len(data), hashlib.sha256(data).hexdigest())

    for split, counts in sorted(splits.items()):
        number = begin = (first or {}).get(split, 0)
        shards, rows = [], []
        for i, count in enumerate(counts):
            samples = [sample_of(split, number + k, entries, texts) for k in range(count)]
            for sample in samples:
                meta = json.loads(sample.members[META])
                content.add(split, sample.key, sample_digest(sample.key, iter_arrays(sample.members), meta))
            data, shard_rows = write_tar(samples)
            file = put(f"{split}/demo-{split}-{i:06d}.tar", data)
            shards.append(ShardEntry(file.name, file.size, file.sha256, count))
            rows.append(shard_rows)
            number += count
        table = pa.table(
            {
                "id": [key_of(n) for n in range(begin, number)],
                "lon": [9.0 + n / 100 for n in range(begin, number)],
                "lat": [50.8] * (number - begin),
                "region": ["marburg"] * (number - begin),
                "shard": pa.array(np.repeat(np.arange(len(counts)), counts), pa.int32()),
                **{
                    f"fractions_{s}": [fractions_of(split, n, s) for n in range(begin, number)]
                    for s in ("static", *SEASONS)
                },
            }
        )
        parquet = io.BytesIO()
        pq.write_table(table, parquet)
        done[split] = SplitEntry(
            number - begin,
            tuple(shards),
            put(f"{split}/members.arrow", members_to_arrow(rows, member_names(entries, SEASONS, annotations=notes))),
            put(f"{split}/samples.parquet", parquet.getvalue()),
        )
    index = Index(
        dataset="demo",
        title="Demo",
        pixels_digest="p",
        release_digest="r",
        content_sha256=content.hexdigest(),
        seasons=SEASONS,
        children=0,
        label_names=LABELS,
        arrays=entries,
        splits=done,
        statistics={
            name: {b: BandStatistics(300.0 + i, 50.0, 0.0, 900.0, 64) for i, b in enumerate(entry.bands)}
            for name, entry in entries.items()
            if entry.role == "data"
        },
        sources={"dem": SourceEntry("Copernicus DEM", "free")},
        counts={"samples": {k: v.samples for k, v in done.items()}},
        written_by={"curation": "0.1.0"},
        annotations=notes,
    )
    put("index.json", index.to_bytes())
    return index


@pytest.fixture(scope="session")
def packed(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "shards"
    make_shards(folder, {"train": [4, 4, 4, 1], "val": [2]})
    return folder


@pytest.fixture
def copy(packed, tmp_path) -> Path:
    return Path(shutil.copytree(packed, tmp_path / "shards"))


_SERVER = """
import http.server, json, os, re, sys
root, log = sys.argv[1:]
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def reply(self, body_wanted):
        path = os.path.join(root, self.path.lstrip("/"))
        wanted = re.fullmatch(r"bytes=(\\d+)-(\\d+)", self.headers.get("Range") or "")
        with open(log, "a") as f:
            f.write(json.dumps([self.command, self.path, self.headers.get("Range")]) + "\\n")
        if not os.path.isfile(path):
            self.send_response(404); self.send_header("Content-Length", "0"); self.end_headers(); return
        data, size = open(path, "rb").read(), os.path.getsize(path)
        if wanted:
            a, b = int(wanted[1]), min(int(wanted[2]), size - 1)
            data = data[a : b + 1]
            self.send_response(206); self.send_header("Content-Range", f"bytes {a}-{b}/{size}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Last-Modified", self.date_time_string(os.path.getmtime(path))); self.end_headers()
        if body_wanted: self.wfile.write(data)
    def do_GET(self): self.reply(True)
    def do_HEAD(self): self.reply(False)
    def log_message(self, *a): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


@pytest.fixture(scope="module")
def server(packed, tmp_path_factory):
    """(URL of the dataset's folder, its file of requests). A process of its own, so that tests may fork."""
    log = tmp_path_factory.mktemp("http") / "requests.jsonl"
    command = [sys.executable, "-c", _SERVER, str(packed.parent), str(log)]
    with started(command, stdout=subprocess.PIPE, text=True) as process:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}", log
