"""What is compared: `DATASET[:split=…,season=…,region=…,column=…]`, and the domains that a selection falls into."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.errors import ConfigError
from curation.errors.printable import printable
from curation.errors.words import did_you_mean
from curation.format.index import INDEX
from curation.pack.domains.domain import WHY
from curation.pack.export.of_shards import index_of
from curation.places.domains import climate, country, hemisphere
from curation.recipe import synthetic
from curation.store import paths
from curation.store.objects import Store
from curation.worth.distance.pair import LEAST_PLACES
from curation.worth.features.table import Degrees, Features, Strings

_CONDITIONS = re.compile(r":((?:[a-z][a-z0-9_]*=[^,=]+)(?:,[a-z][a-z0-9_]*=[^,=]+)*)$")
_OWN: Mapping[str, str] = {"split": "splits", "season": "seasons", "region": "regions"}
"""What a selection may name, and the field of features that has it; else it is a domain or a column."""

BY_PLACE: Mapping[str, Callable[[Degrees, Degrees], NDArray[Any]]] = {
    "continent": lambda lon, lat: country.find(lon, lat).continent,
    "country": lambda lon, lat: country.find(lon, lat).iso_a3,
    "climate_zone": lambda lon, lat: climate.find(lon, lat).zone,
    "hemisphere": lambda _lon, lat: hemisphere.find(lat),
}
"""Domains that follow from where a place lies, of datasets whose recipe asks for none; empty where it is not told."""


@dataclass(frozen=True, slots=True)
class AskedSide:
    """A dataset and which of its rows, as somebody wrote it."""

    text: str
    place: str
    """A dataset's folder; that of the side before it where it is empty."""
    conditions: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Name → values, of which a row has one."""


@dataclass(frozen=True, slots=True)
class Side:
    """Rows that are compared, and what they are called."""

    label: str
    features: Features


def parsed(text: str) -> AskedSide:
    """What a person wrote.

    Raises:
        ConfigError: it names nothing.
    """
    found = _CONDITIONS.search(text)
    place = text[: found.start()] if found else text
    conditions = dict(part.split("=", 1) for part in found[1].split(",")) if found else {}
    if not place and not conditions:
        raise ConfigError(f"{printable(text)!r}: expected DATASET[:split=…,season=…,region=…], a folder and what of it")
    return AskedSide(text, place, {n: v.split("+") for n, v in conditions.items()})


def dataset_at(place: str) -> Store:
    """The folder of a dataset, of its path or URL, or that of its shards.

    Raises:
        ConfigError: nothing is packed there.
    """
    try:
        store = Store(place)
        if store.child(paths.SHARDS).head(INDEX) is None and store.head(INDEX) is not None:
            above = place.rstrip("/").removesuffix(f"/{paths.SHARDS}")
            store = Store(above) if above != place.rstrip("/") else store
    except ValueError as err:
        raise ConfigError(f"{printable(place)}: {err}") from err
    if store.child(paths.SHARDS).head(INDEX) is None:
        raise ConfigError(
            f"{store.where('')}: no index of shards there: expected <root>/<dataset>, the folder of a packed dataset"
        )
    return store


def synthetic_of_all(places: Iterable[str]) -> str:
    """What must be said of pixels of datasets that nobody observed, each dataset's by its name; empty where all were."""
    of = {place: index_of(dataset_at(place)) for place in dict.fromkeys(filter(None, places))}
    said = {index.dataset: synthetic.about(index.counts.get("catalogs", {})) for index in of.values()}
    return " ".join(f"{name}: {text}" for name, text in said.items() if text)


def values_of(features: Features, name: str, where: str) -> Strings:
    """What each row is of.

    Raises:
        ConfigError: nothing is called so.
    """
    if name in _OWN:
        found: Strings = getattr(features, _OWN[name])
        return found
    if name not in features.columns and name in BY_PLACE:
        return BY_PLACE[name](features.lon, features.lat).astype(np.str_)
    if name not in features.columns:
        known = sorted({*_OWN, *BY_PLACE, *features.columns})
        raise ConfigError(f"{where}: {did_you_mean(name, known)}{name!r} is none of {', '.join(known)}")
    return features.columns[name]


def selected(asked: AskedSide, features: Features) -> Side:
    """The rows that a side asks for.

    Raises:
        ConfigError: there are none.
    """
    rows = np.ones(len(features), bool)
    for name, wanted in asked.conditions.items():
        values = values_of(features, name, asked.text)
        if lacks := [w for w in wanted if w not in set(values.tolist())]:
            known = ", ".join(sorted(set(values.tolist()) - {""})[:20])
            raise ConfigError(
                f"{printable(asked.text)}: no patch with features has {name} = {lacks[0]}; there are: {known}"
            )
        rows &= np.isin(values, wanted)
    if not rows.any():
        raise ConfigError(f"{printable(asked.text)}: no patch with features is all of that")
    return Side(asked.text, features.rows(rows))


def distinct(sides: Sequence[Side]) -> list[Side]:
    """The same, each with a label of its own: what is called as one before it has its number behind."""
    seen, out = Counter[str](), list[Side]()
    for side in sides:
        seen[side.label] += 1
        out.append(side if seen[side.label] == 1 else Side(f"{side.label} ({seen[side.label]})", side.features))
    return out


def split_by(side: Side, name: str) -> tuple[list[Side], dict[str, int]]:
    """The domains of a side by some name, and those left out, which have too few places: value → places.

    Rows of which it is not told are of no domain.

    Raises:
        ConfigError: nothing is called so.
    """
    values = values_of(side.features, name, f"--by {name}")
    found, left_out = list[Side](), dict[str, int]()
    for value in sorted(v for v in set(values.tolist()) if v and not v.startswith(WHY)):
        part = side.features.rows(values == value)
        places = len(set(part.places.tolist()))
        if places < LEAST_PLACES:
            left_out[value] = places
        else:
            found.append(Side(value, part))
    return found, left_out
