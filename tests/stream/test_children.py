"""Samples of cells with children: what is missing is absent and masked, in the sample, in the batch and in the counts."""

from __future__ import annotations

import hashlib
import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch.utils.data import DataLoader

from curation.errors import ConfigError
from curation.format import payload
from curation.format.content import ContentHash
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
from curation.format.names import META, MemberName
from curation.format.table import members_to_arrow
from curation.format.tar import Sample, meta_bytes, write_tar
from curation.stream.open import open_shards

SEASONS, MONTHS = ("winter", "summer"), ("2021-01", "2021-02", "2021-03")
ALL = (*SEASONS, *MONTHS)
MOST = 3
ENTRIES = {
    "dem_12px": ArrayEntry("dem", (), ("height",), (1, 12, 12), "float32", "m", -32768.0, None, "data", "npy.blosc"),
    "no2_4px": ArrayEntry("no2", MONTHS, ("no2",), (1, 4, 4), "float32", "mol", -32768.0, None, "data", "npy"),
    "no2_count_4px": ArrayEntry("no2", MONTHS, ("orbits",), (1, 4, 4), "uint16", "1", 65535, None, "count", "npy"),
    "olci_6px": ArrayEntry("olci", SEASONS, ("a", "b"), (2, 6, 6), "float32", "1", -32768.0, None, "data", "npy.blosc"),
    "s2_10m": ArrayEntry("s2", SEASONS, ("B02", "B03"), (2, 8, 8), "uint16", "1", 0, 10.0, "data", "npy.blosc", True),
    "s1_10m": ArrayEntry("s1", SEASONS, ("vv",), (1, 8, 8), "int16", "dB", -32768, 10.0, "data", "npy", True),
    "slc_9px": ArrayEntry(
        "slc", SEASONS, ("vv",), (1, 9, 9), "int16", "dB", -32768, 10.0, "data", "npy", True, has_offsets=True
    ),
}
HAS = [
    # own: source → seasons; then of each child
    ({"dem": [None], "no2": MONTHS, "olci": SEASONS}, [{"s2": SEASONS, "s1": SEASONS, "slc": SEASONS}] * 3),
    ({"dem": [None], "no2": ("2021-02",)}, [{"s2": ("summer",), "s1": ("summer",)}]),  # no OLCI; months, a winter short
    ({"no2": ("2021-01", "2021-03"), "olci": ("winter",)}, []),  # no DEM, no child
    ({"dem": [None]}, [{"s2": ("winter",)}, {"s2": SEASONS, "s1": ("winter",)}]),
]


def key_of(number: int) -> str:
    return f"era5-{number:07d}"


def truth(number: int, child: int | None, name: str, season: str | None) -> np.ndarray:
    entry = ENTRIES[name]
    seed = hashlib.sha256(f"{number} {child} {name} {season}".encode()).digest()[:4]
    values = np.random.default_rng(int.from_bytes(seed, "big")).integers(1, 900, entry.shape)
    return values.astype(entry.dtype)


def offset_of(number: int, child: int) -> list[float]:
    return [-10.0 * number, child + 0.5]


def _place(ident: str, number: int, child: int | None, has: dict) -> tuple[dict, dict[str, bytes]]:
    meta = {"id": ident, "lon": number + 0.0, "lat": (child or 0) + 0.5, "static": {"sources": {}, "labels": None}}
    meta["seasons"], members = {}, {}
    if child is not None:
        meta["offsets_m"] = {"slc_9px": offset_of(number, child)}
    for season in (None, *ALL):
        for name in sorted(ENTRIES):
            entry = ENTRIES[name]
            if season not in has.get(entry.source, ()) or entry.of_children != (child is not None):
                continue
            codec = {"npy": "none", "npy.blosc": "lz4"}[entry.encoding]
            suffix = MemberName(child, name, season, entry.encoding).suffix
            members[suffix] = payload.encode(truth(number, child, name, season), codec)
            if season is None:
                meta["static"]["sources"][entry.source] = {}
            else:
                facts = meta["seasons"].setdefault(season, {"sources": {}, "labels": None})
                facts["sources"][entry.source] = {"time": "2021-01-15T12:00:00Z"}
    return meta, members


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cells")
    samples = []
    for number, (own, below) in enumerate(HAS):
        meta, members = _place(key_of(number), number, None, own)
        meta["children"] = []
        for k, has in enumerate(below):
            child, more = _place(f"utm01n-{number}-{k}", number, k, has)
            meta["children"].append(child)
            members |= more
        samples.append(Sample(key_of(number), {META: meta_bytes(meta), **members}))

    def put(name: str, data: bytes) -> FileEntry:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        return FileEntry(name, len(data), hashlib.sha256(data).hexdigest())

    data, rows = write_tar(samples)
    tar = put("train/cells-train-000000.tar", data)
    table = io.BytesIO()
    shard = pa.array([0] * len(HAS), pa.int32())
    pq.write_table(pa.table({"id": [key_of(n) for n in range(len(HAS))], "shard": shard}), table)
    names = member_names(ENTRIES, ALL, MOST)
    split = SplitEntry(
        len(HAS),
        (ShardEntry(tar.name, tar.size, tar.sha256, len(HAS)),),
        put("train/members.arrow", members_to_arrow([rows], names)),
        put("train/samples.parquet", table.getvalue()),
    )
    statistics = {
        n: {b: BandStatistics(450.0, 260.0, 1.0, 899.0, 9) for b in e.bands}
        for n, e in ENTRIES.items()
        if e.role == "data"
    }
    index = Index(
        dataset="cells",
        title="Cells",
        pixels_digest="p",
        release_digest="r",
        content_sha256=ContentHash().hexdigest(),
        seasons=ALL,
        children=MOST,
        label_names=(),
        arrays=ENTRIES,
        splits={"train": split},
        statistics=statistics,
        sources={s: SourceEntry(s, "free") for s in ("dem", "no2", "olci", "s1", "s2", "slc")},
        counts={},
        written_by={},
    )
    put("index.json", index.to_bytes())
    return folder


def _seasons(name: str) -> tuple[str | None, ...]:
    return ENTRIES[name].seasons or (None,)


def check(batch: dict, keys: list[str]) -> None:
    """Every pixel of a batch of whole samples is the one packed, or nodata and masked where nothing was."""
    assert batch["key"] == keys
    for at, key in enumerate(keys):
        number = int(key.removeprefix("era5-"))
        own, below = HAS[number]
        assert batch["child_ok"][at].tolist() == [k < len(below) for k in range(MOST)]
        assert np.isnan(batch["child_lon"][at].numpy()).tolist() == [k >= len(below) for k in range(MOST)]
        offsets = [offset_of(number, k) if k < len(below) else [np.nan] * 2 for k in range(MOST)]
        if "slc_9px" in batch:
            assert np.array_equal(batch["slc_9px_offset_m"][at].numpy(), offsets, equal_nan=True)
        for name, entry in ENTRIES.items():
            owners = [*below, *[{}] * (MOST - len(below))] if entry.of_children else [own]
            for k, has in enumerate(owners):
                got, ok = batch[name][at], batch[f"{entry.source}_ok"][at]
                if entry.of_children:
                    got, ok = got[k], ok[k]
                for i, season in enumerate(_seasons(name)):
                    there = season in has.get(entry.source, ())
                    pixels, flag = (got, ok) if season is None else (got[i], ok[i])
                    assert bool(flag) == there, (key, name, k, season)
                    expected = truth(number, k if entry.of_children else None, name, season)
                    expected = expected if there else np.full_like(expected, entry.nodata)
                    assert np.array_equal(pixels.numpy(), expected), (key, name, k, season)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_holds_each_child_and_month_or_masks_it(cells, workers):
    dataset = open_shards(cells, batch_size=4)
    (batch,) = DataLoader(dataset, batch_size=None, num_workers=workers)
    assert batch["s2_10m"].shape == (4, 3, 2, 2, 8, 8)
    assert batch["no2_4px"].shape == (4, 3, 1, 4, 4)
    assert batch["dem_12px"].shape == (4, 1, 12, 12)
    assert batch["s1_ok"].shape == (4, 3, 2)
    check(batch, [key_of(n) for n in range(4)])


def test_samples_have_the_same_shapes(cells):
    sample = open_shards(cells).by_id()[key_of(1)]
    assert sample["s2_10m"].shape == (3, 2, 2, 8, 8)
    assert sample["s2_ok"].tolist() == [[False, True], [False, False], [False, False]]
    assert sample["no2_ok"].tolist() == [False, True, False]


def test_seasons_that_are_chosen_are_those_of_the_arrays_that_have_them(cells):
    batch = next(iter(open_shards(cells, batch_size=4, seasons=["summer", "2021-03"])))
    assert batch["s2_10m"].shape == (4, 3, 1, 2, 8, 8)
    assert batch["no2_4px"].shape == (4, 1, 1, 4, 4)
    assert batch["no2_ok"][:, 0].tolist() == [True, False, True, False]
    assert batch["olci_ok"][:, 0].tolist() == [True, False, False, False]
    only = next(iter(open_shards(cells, batch_size=4, seasons=["2021-01"])))
    assert "s2_10m" not in only
    with pytest.raises(ConfigError, match=r"fields: \['s2_10m'\] have none of the seasons \['2021-01'\]"):
        open_shards(cells, seasons=["2021-01"], fields=["s2_10m"])


def test_crops_and_normalised_pixels_of_children(cells):
    fields = ["s2_10m"]
    batch = next(
        iter(open_shards(cells, batch_size=4, fields=fields, seasons=SEASONS, crop_px=4, crop="center", normalize=True))
    )
    whole = truth(0, 2, "s2_10m", "summer")[:, 2:6, 2:6]
    expected = (whole.astype(np.float32) - 450) / 260
    assert np.allclose(batch["s2_10m"][0, 2, 1].numpy(), expected, atol=1e-5)
    assert not batch["s2_10m"][2].any()  # no child: 0, which is the mean, and masked
    assert not batch["s2_ok"][2].any()


def test_a_season_is_drawn_of_children(cells):
    batch = next(iter(open_shards(cells, batch_size=4, fields=["s2_10m"], seasons=SEASONS, draw_seasons=1)))
    assert batch["s2_10m"].shape == (4, 3, 1, 2, 8, 8)
    drawn = batch["season"][1, 0]
    assert drawn == 1  # the only child of that sample has nothing but summer
    assert np.array_equal(batch["s2_10m"][1, 0, 0].numpy(), truth(1, 0, "s2_10m", "summer"))
    with pytest.raises(ConfigError, match="choose fields and seasons so that each of the fields has each"):
        open_shards(cells, draw_seasons=1)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"require": {"s1", "s2"}}, [0, 1, 3]),
        ({"require": {"olci"}}, [0, 2]),
        ({"at_least": {"no2": 2}}, [0, 2]),
        ({"at_least": {"s2": 3}}, [0, 3]),
        ({"require": {"dem"}, "at_least": {"s2": 3, "s1": 6}}, [0]),
    ],
)
def test_samples_that_hold_what_is_required_are_known_from_the_index(cells, how, expected):
    dataset = open_shards(cells, batch_size=1, **how)
    assert len(dataset) == len(expected)
    for order in (dataset, open_shards(cells, batch_size=1, shuffle=True, seed=3, **how)):
        found = [key for batch in order for key in batch["key"]]
        assert sorted(found) == [key_of(n) for n in expected]


def test_what_cannot_be_required_is_said(cells):
    with pytest.raises(ConfigError, match=r"no source \['s3'\]; expected some of: dem, no2, olci, s1, s2"):
        open_shards(cells, require={"s3"})
    with pytest.raises(ConfigError, match="no sample of 'train' has at least"):
        open_shards(cells, at_least={"s2": 7})
    with pytest.raises(ConfigError, match="expected ≥ 1"):
        open_shards(cells, at_least={"s2": 0})


def test_a_state_of_other_requirements_is_refused(cells):
    state = open_shards(cells, batch_size=1, require={"s2"}).state_dict(0)
    with pytest.raises(ConfigError):
        open_shards(cells, batch_size=1).load_state_dict(state)


def test_one_dtype_for_all(cells):
    batch = next(iter(open_shards(cells, batch_size=4, dtype=torch.float32)))
    assert batch["s2_10m"].dtype == torch.float32
    assert batch["no2_count_4px"].dtype == torch.uint16  # a count is no data
