"""Monthly means of ERA5 at the place of a sample, (month, variable): January first, in the store's units, NaN where missing.

Read for all samples at once, when shards are packed, of the Zarr store that `[annotations.<name>.zarr]` names
(`read.monthly`): the cell that the place's centre lies in, of a single year, or the mean of several. No month is
interpolated or guessed.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.errors import ConfigError
from curation.errors.printable import unsigned
from curation.model import Location
from curation.pack.subject import Gathered, Subject
from curation.read import monthly
from curation.recipe.annotations import ZarrSpec
from curation.recipe.catalogs import Catalogs
from curation.recipe.dataset import Dataset
from curation.store import hrefs
from curation.store.objects import Store


def check(dataset: Dataset, name: str, catalogs: Catalogs) -> None:
    """Passes where the annotation says which store, and has room for its months. Reads nothing.

    Raises:
        ConfigError: it does not; what it has to be is told.
    """
    spec = dataset.annotations[name].spec
    where = f"{dataset.path}: [annotations.{name}]"
    if spec.zarr is None:
        raise ConfigError(f"{where}: names no store: say [annotations.{name}.zarr] url, variables and years")
    shape = [monthly.MONTHS, len(spec.zarr.variables)]
    if spec.type != "numbers" or spec.shape != shape:
        raise ConfigError(
            f"{where}: type = {spec.type!r}, shape = {spec.shape}: expected 'numbers' and {shape}: months, and the "
            f"variables {', '.join(spec.zarr.variables)}"
        )


def look(dataset: Dataset, name: str, catalogs: Catalogs) -> None:
    """Passes where the store has what the recipe says, by its metadata and axes; no value is read.

    Raises:
        ReadError: as of `gather`.
    """
    spec = dataset.annotations[name].spec.zarr
    assert spec is not None  # `check` has passed
    monthly.read(_store(dataset, spec, catalogs), np.zeros(0), np.zeros(0), spec.variables, spec.years)


def gather(dataset: Dataset, name: str, catalogs: Catalogs, places: Sequence[Location]) -> Gathered:
    """Monthly means at the centres of places.

    Raises:
        ReadError: the store cannot be read, or has not what the recipe says: nothing is guessed, and nothing packed.
    """
    spec = dataset.annotations[name].spec.zarr
    assert spec is not None  # `check` has passed
    lon, lat = (np.array([getattr(p, key) for p in places], np.float64) for key in ("lon", "lat"))
    read = monthly.read(_store(dataset, spec, catalogs), lon, lat, spec.variables, spec.years)
    keys = [p.id for p in places]
    found = hashlib.sha256(json.dumps([read.identity, keys, [*spec.variables], spec.years]).encode())
    found.update(np.ascontiguousarray(read.values, "<f8").tobytes())
    facts: dict[str, Any] = {
        "zarr": unsigned(spec.where(catalogs.default.identity)),
        "metadata_sha256": read.identity,
        "cell": "nearest",
        "variables": dict(spec.variables),
        "years": list(spec.years),
        "missing": dict(sorted(Counter(code.value for code in read.missing if code).items())),
    }
    return Gathered(Means(keys, read.values), found.hexdigest(), facts)


class Means(Mapping[str, list[list[float | None]]]):
    """Sample → its means, (month, variable), None where there is none: a row of one array, and a list where it is asked for.

    As lists those of 250,000 samples would take 400 MB, as an array they take 48.
    """

    def __init__(self, keys: Sequence[str], values: NDArray[np.float64]) -> None:
        """`values` is (sample, month, variable), in the order of `keys`."""
        self._row = {key: n for n, key in enumerate(keys)}
        self._values = values

    def __getitem__(self, key: str) -> list[list[float | None]]:
        return [[_plain(v) for v in month] for month in self._values[self._row[key]]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._row)

    def __len__(self) -> int:
        return len(self._row)


def era5_monthly(sample: Subject) -> list[list[float]]:
    """(month, variable); NaN where the store has none."""
    return [[np.nan if v is None else v for v in month] for month in sample.gathered]


def _plain(value: float) -> float | None:
    """As JSON has it, which has no NaN."""
    return None if np.isnan(value) else float(value)


def _store(dataset: Dataset, spec: ZarrSpec, catalogs: Catalogs) -> Store:
    catalog = catalogs.default
    base = catalog.base if catalog.identity in spec.by_catalog else str(dataset.path.parent.resolve())
    return Store(hrefs.located(spec.where(catalog.identity), base))
