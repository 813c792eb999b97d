"""A dataset of shards whose labels follow from its pixels, packed with nothing but `curation.format`."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace

from curation.format.annotations import ColumnEntry
from curation.format.index import Index
from curation.format.target import TargetEntry
from tests.stream import conftest as packing

NAME = "ssl4eo-s12-ml"
"""The recipe that the shards are told to be of."""
TRAIN, VAL = 48, 16
UNKNOWN = 7
"""Number of a sample of train of which summer's labels are not known."""
CROPS = ("maize", "rice", "wheat")


def where(number: int) -> tuple[float, float]:
    return 9.0 + number % 8 * 0.7, 45.0 + number // 8 * 0.7


def hot(number: int, season: str) -> list[int]:
    """Which of three classes there are; of the third there is none in val."""
    rng = np.random.default_rng([number, packing.SEASONS.index(season) if season in packing.SEASONS else 9])
    return [int(v) for v in rng.random(3) < [0.5, 0.3, 0.2 * (number < TRAIN)]]


def shares_of(number: int, season: str) -> list[float]:
    its = np.array(hot(number, season)) + 0.1
    return (its / its.sum()).tolist()


def height_m(number: int) -> float:
    return 100.0 + 50 * hot(number, "summer")[0] + number / 10


def meta_of(split: str, number: int) -> dict[str, Any]:
    def labels(season: str) -> dict[str, Any]:
        known = (number, season) != (UNKNOWN, "summer")
        return {
            "fractions": shares_of(number, season) if known else None,
            "valid_fraction": float(known),
            "multi_hot": hot(number, season) if known else None,
        }

    lon, lat = where(number)
    meta = ORIGINAL(split, number) | {"lon": lon, "lat": lat}
    meta["seasons"] = {s: of | {"labels": labels(s)} for s, of in meta["seasons"].items()}
    return meta | {"static": meta["static"] | {"labels": labels("static")}}


ORIGINAL = packing.meta_of


def truth(split: str, number: int, array: str, season: str, entry: Any) -> np.ndarray:
    rng = np.random.default_rng([number, len(array), len(season)])
    level = np.resize(hot(number, season), entry.shape[0])[:, None, None]
    return (1000 + 600 * level + rng.normal(0, 150, entry.shape)).astype(entry.dtype)


def classes(multi_hot: list[int] | None) -> list[str] | None:
    return multi_hot and [n for n, h in zip(packing.LABELS, multi_hot, strict=True) if h]


def table_of(table: pa.Table, split: str, first: int) -> pa.Table:
    """A samples table with labels, a target and domains."""
    numbers = range(first, first + table.num_rows)
    metas = [meta_of(split, n) for n in numbers]
    seasons = {
        s: [m["static"] if s == "static" else m["seasons"].get(s) for m in metas] for s in ("static", *packing.SEASONS)
    }
    names = {s: [m and classes(m["labels"]["multi_hot"]) for m in of] for s, of in seasons.items()}
    shares = {s: [m and m["labels"]["fractions"] for m in of] for s, of in seasons.items()}
    crops = [None if n == UNKNOWN else CROPS[hot(n, "summer")[0] + hot(n, "summer")[1]] for n in numbers]
    columns = {
        "id": table.column("id"),
        "lon": [where(n)[0] for n in numbers],
        "lat": [where(n)[1] for n in numbers],
        "region": ["marburg"] * len(metas),
        "shard": table.column("shard"),
        "crop": crops,
        "height_m": [height_m(n) for n in numbers],
        "domain_continent": ["Europe" if n % 2 else "Asia" for n in numbers],
    }
    return pa.table(
        columns | {f"labels_{s}": v for s, v in names.items()} | {f"fractions_{s}": v for s, v in shares.items()}
    )


def make(folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "meta_of", meta_of)
        patch.setattr(packing, "truth", truth)
        splits = {"train": [TRAIN], "val": [VAL]}
        index = packing.make_shards(folder, splits, size=12, first={"val": TRAIN})
    done = {}
    for split, entry in index.splits.items():
        file = folder / entry.samples_table.name
        pq.write_table(table_of(pq.read_table(file), split, TRAIN if split == "val" else 0), file)
        data = file.read_bytes()
        its = replace(entry.samples_table, size=len(data), sha256=hashlib.sha256(data).hexdigest())
        done[split] = replace(entry, samples_table=its)
    kinds = {"crop": ColumnEntry("Crop", "text"), "height_m": ColumnEntry("Height", "number")}
    write(folder, replace(index, splits=done, columns=kinds, target=TargetEntry("crop", CROPS)))


def write(folder: Path, index: Index) -> None:
    (folder / "index.json").write_bytes(index.to_bytes())


@pytest.fixture(scope="session")
def shards_of_classes(tmp_path_factory) -> Path:
    """A root with one dataset; who changes it takes a copy."""
    root = tmp_path_factory.mktemp("probe")
    make(root / NAME / "shards")
    return root


@pytest.fixture
def root(shards_of_classes, tmp_path) -> Path:
    """The same, of the test's own: features that are made are kept there."""
    return Path(shutil.copytree(shards_of_classes, tmp_path / "root"))
