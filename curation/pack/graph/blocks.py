"""Places by parts of the globe, for training on one part after the other. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.errors import ConfigError
from curation.places.grids import Floats, Ints

DEEPEST = 30
"""Halvings of the globe, of longitude and latitude in turn: the smallest part is 1.2 km wide at the equator."""


@dataclass(frozen=True, slots=True)
class Block:
    """Part of the places, and those around it."""

    name: str
    """Which part of the globe: `0` and `1` for west and east, south and north, in turn; empty for all of it."""
    places: Ints
    """Numbers, sorted: the core, and the halo that is needed to compute it."""
    is_core: NDArray[np.bool_]
    """Of these places, whether they are of the core: each place is so in one block."""


def blocks(lon: Floats, lat: Floats, src: Ints, dst: Ints, most: int, hops: int) -> Iterator[Block]:
    """The blocks, in order of name.

    Parts are halved where they hold too many places. So a place that is added changes the part that it lies in, and no
    other's core. Halves of latitude are of equal area.

    Args:
        lon: of places, degrees, -180 <= lon <= 180.
        lat: degrees.
        src: senders of edges.
        dst: receivers.
        most: core places of a block.
        hops: along how many edges the halo reaches.

    Raises:
        ConfigError: `most` or `hops` are no such numbers.
    """
    if most < 1 or hops < 0:
        raise ConfigError(f"blocks of at most {most} places with {hops} hops: expected at least 1, and 0 or more")
    order = np.argsort(dst, kind="stable")
    senders, first = src[order], np.searchsorted(dst[order], np.arange(len(lon) + 1))
    east, north = (lon + 180) / 360 % 1, np.clip((np.sin(np.radians(lat)) + 1) / 2, 0, 1 - 1e-12)
    todo = [("", np.arange(len(lon)))] if len(lon) else []
    while todo:
        name, core = todo.pop()
        if len(core) > most and len(name) < DEEPEST:
            axis = (east, north)[len(name) % 2]
            upper = np.floor(axis[core] * 2.0 ** (len(name) // 2 + 1)).astype(np.int64) % 2 == 1
            todo += [(name + "1", core[upper]), (name + "0", core[~upper])]
        elif len(core):
            yield _block(name, core, senders, first, hops)


def _block(name: str, core: Ints, senders: Ints, first: Ints, hops: int) -> Block:
    inside = np.zeros(len(first) - 1, bool)
    inside[core] = True
    edge = core
    for _ in range(hops):
        counts = first[edge + 1] - first[edge]
        at = np.repeat(first[edge] - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
        edge = np.unique(senders[at])
        edge = edge[~inside[edge]]
        inside[edge] = True
    places = np.flatnonzero(inside)
    return Block(name, places, np.isin(places, core))
