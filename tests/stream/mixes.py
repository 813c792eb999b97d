"""Three datasets of different signatures, 1,000 samples, whose pixels follow from sample, place and wavelength."""

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curation.format import payload
from curation.format.annotations import ColumnEntry
from curation.format.bands import BandEntry
from curation.format.index import ArrayEntry, BandStatistics, FileEntry, Index, ShardEntry, SplitEntry, member_names
from curation.format.names import META
from curation.format.table import members_to_arrow
from curation.format.tar import Sample, meta_bytes, write_tar

SEASONS = ("winter", "summer")
SIZES = {"aerial": 350, "radar": 250, "s2": 400}
WINTERLESS = 7
"""Every so manyeth sample of `s2` and `radar` has no winter, and none of a multiple of 70 has any season."""

Pixels = Callable[[str, int, int], np.ndarray]
"""(array, number of the sample, number of the season, -1 of a static one) → (band, y, x) as stored."""


def light(name: str, nm: float) -> BandEntry:
    return BandEntry(name, centre_nm=nm, width_nm=30.0)


S2 = (light("s2.b02", 490), light("s2.b03", 560), light("s2.b04", 665), light("s2.b08", 842))
COARSE = (light("s2.b05", 705), light("s2.b11", 1610))
AERIAL = (light("naip.r", 650), light("naip.g", 550), light("naip.b", 450), light("naip.n", 850))
RADAR = (
    BandEntry("s1.vv", centre_mhz=5405.0, width_mhz=100.0),
    BandEntry("s1.vh", centre_mhz=5405.0, width_mhz=100.0),
)
HEIGHTS = (BandEntry("dem.elevation"),)


def entry(source: str, bands: Sequence[BandEntry], px: int, res_m: float, **more: object) -> ArrayEntry:
    how = {
        "dtype": "uint16",
        "unit": "1e-4",
        "nodata": 0.0,
        "role": "data",
        "encoding": "npy.blosc",
        "seasons": SEASONS,
    }
    names = tuple(b.name.split(".")[1].upper() for b in bands)
    return ArrayEntry(
        source=source, bands=names, shape=(len(bands), px, px), res_m=res_m, canonical=tuple(bands), **(how | more)
    )


ENTRIES: dict[str, dict[str, ArrayEntry]] = {
    "s2": {
        "s2l2a_10m": entry("s2l2a", S2, 8, 10.0),
        "s2l2a_20m": entry("s2l2a", COARSE, 4, 20.0),
        "dem_10m": entry(
            "dem", HEIGHTS, 8, 10.0, seasons=(), dtype="float32", unit="m", nodata=-32768.0, encoding="npy"
        ),
        "scl_10m": entry(
            "s2l2a", (BandEntry("s2.scl"),), 8, 10.0, dtype="uint8", unit="class", role="mask", encoding="npy"
        ),
    },
    "aerial": {"naip_1m": entry("naip", AERIAL, 6, 1.0, seasons=(), unit="1", encoding="npy")},
    "radar": {"s1rtc_10m": entry("s1rtc", RADAR, 8, 10.0, dtype="int16", unit="0.01 dB", nodata=-32768.0)},
}


def spectrum(number: int, season: int) -> tuple[int, int]:
    """(offset, slope): of light, what a sample's pixels are, beside their place, is offset + slope * wavelength."""
    return 100 + number, 1 + number % 3 + max(season, 0)


def is_hole(shape: tuple[int, ...], number: int) -> np.ndarray:
    """Where there is no data: one pixel of the last band."""
    hole = np.zeros(shape, bool)
    hole[-1, number % shape[1], 0] = True
    return hole


def truth(array: str, of: ArrayEntry, number: int, season: int) -> np.ndarray:
    """The pixels as stored, (band, y, x)."""
    y, x = np.mgrid[: of.shape[1], : of.shape[2]]
    offset, slope = spectrum(number, season)
    light_nm = [band.centre_nm for band in of.canonical]
    if of.dtype == "uint8":
        values = np.full(of.shape, 1 + number % 10)
    elif None not in light_nm:
        values = offset + y * 10 + x + slope * np.array(light_nm)[:, None, None]
    else:
        values = -1000 - number + 10 * y + x + 100 * np.arange(of.shape[0])[:, None, None] - max(season, 0)
    return np.where(is_hole(of.shape, number), of.nodata, values).astype(of.dtype)


def there(source: str, number: int) -> list[int]:
    """Numbers of the seasons that a sample has of a seasonal source."""
    if number % (WINTERLESS * 10) == WINTERLESS * 10 - 1:
        return []
    return [1] if number % WINTERLESS == WINTERLESS - 1 else [0, 1]


def key_of(dataset: str, number: int) -> str:
    return f"{dataset}-{number:04d}"


def _sample(
    dataset: str, number: int, entries: Mapping[str, ArrayEntry], pixels: Pixels, columns: Sequence[str], split: str
) -> Sample:
    def encoded(name: str, season: int) -> bytes:
        codec = {"npy": "none", "npy.blosc": "lz4"}[entries[name].encoding]
        return payload.encode(pixels(name, number, season), codec)

    sources = {e.source: e for e in entries.values()}
    of_season: dict[int, dict[str, dict]] = {}
    for source, of in sources.items():
        for season in [s for s in there(source, number) if SEASONS[s] in of.seasons]:
            times = {"scenes": [f"{source}-{number}"], "time": f"2021-0{1 + 6 * season}-15T10:00:00Z"}
            of_season.setdefault(season, {})[source] = times
    static = {source: {"scenes": ["one"]} for source, of in sources.items() if not of.seasons}
    meta = {
        "id": key_of(dataset, number),
        "lon": 9 + number / 1000,
        "lat": 50.0,
        "epsg": 32632,
        "x0_m": 500_000.0,
        "y0_m": 5_629_040.0,
        "size_m": 80.0,
        "region": "here",
        "split": split,
        "static": {"sources": static, "labels": None},
        "seasons": {SEASONS[s]: {"sources": of, "labels": None} for s, of in sorted(of_season.items())},
    }
    if columns:
        meta["columns"] = {name: f"{name} {number}" for name in columns}
    members = {META: meta_bytes(meta)}
    for name in sorted(n for n, e in entries.items() if not e.seasons):
        members[f"{name}.{entries[name].encoding}"] = encoded(name, -1)
    for season in sorted(of_season):
        for name in sorted(n for n, e in entries.items() if SEASONS[season] in e.seasons):
            members[f"{name}.{SEASONS[season]}.{entries[name].encoding}"] = encoded(name, season)
    return Sample(key_of(dataset, number), members)


def pack(
    folder: Path,
    dataset: str,
    samples: int,
    entries: Mapping[str, ArrayEntry] | None = None,
    shard: int = 120,
    columns: Sequence[str] = (),
    pixels: Pixels | None = None,
    told: Mapping[str, Sequence[object]] | None = None,
    split: str = "train",
) -> Index:
    """Packs a dataset of one split into `folder`; pixels are those of `truth`, columns `<name> <number>`.

    `told` are further columns of the samples table, as packing has them of facts.
    """
    entries = dict(entries or ENTRIES[dataset])

    def true(name: str, number: int, season: int) -> np.ndarray:
        return truth(name, entries[name], number, season)

    def put(name: str, data: bytes) -> FileEntry:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        return FileEntry(name, len(data), hashlib.sha256(data).hexdigest())

    seasons = SEASONS if any(e.seasons for e in entries.values()) else ()
    shards, rows, content = [], [], hashlib.sha256()
    for begin in range(0, samples, shard):
        made = [
            _sample(dataset, n, entries, pixels or true, columns, split)
            for n in range(begin, min(begin + shard, samples))
        ]
        data, shard_rows = write_tar(made)
        file = put(f"{split}/{dataset}-{begin:06d}.tar", data)
        content.update(data)
        shards.append(ShardEntry(file.name, file.size, file.sha256, len(made)))
        rows.append(shard_rows)
    parquet = io.BytesIO()
    shard_of = pa.array(np.repeat(np.arange(len(shards)), [s.samples for s in shards]), pa.int32())
    table = {"id": [key_of(dataset, n) for n in range(samples)], "shard": shard_of}
    table |= {name: [f"{name} {n}" for n in range(samples)] for name in columns}
    pq.write_table(pa.table(table | dict(told or {})), parquet)
    packed = SplitEntry(
        samples,
        tuple(shards),
        put(f"{split}/members.arrow", members_to_arrow(rows, member_names(entries, seasons))),
        put(f"{split}/samples.parquet", parquet.getvalue()),
    )
    index = Index(
        dataset=dataset,
        title=dataset,
        pixels_digest="p",
        release_digest="r",
        content_sha256=content.hexdigest(),
        seasons=seasons,
        children=0,
        label_names=(),
        arrays=entries,
        splits={split: packed},
        statistics={
            name: {b: BandStatistics(300.0 + i, 50.0 + i, 0.0, 900.0, 64) for i, b in enumerate(of.bands)}
            for name, of in entries.items()
            if of.role == "data"
        },
        sources={},
        counts={},
        written_by={},
        columns={name: ColumnEntry(name, "text") for name in columns},
    )
    put("index.json", index.to_bytes())
    return index
