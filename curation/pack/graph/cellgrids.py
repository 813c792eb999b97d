"""Which cells the globe is cut into: ERA5's of 0.25°, HEALPix or H3; of the latter two several sizes, one within another."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from curation.errors import ConfigError
from curation.pack.graph import healpix, hexagons, sphere
from curation.places import era5_cells
from curation.places.grids import Floats, Ints

ERA5 = "era5"

MOST = {"healpix": healpix.MOST_ORDER, "h3": hexagons.MOST_RESOLUTION}
"""The finest level of each."""

FINE = 16
"""Points along a side of a footprint, by which its share in each of several cells is told."""

_CORNERS = np.array([(0, 0), (-1, -1), (-1, 1), (1, -1), (1, 1)])
"""Centre and corners: where all of these lie in one cell, all of a footprint is taken to."""


@dataclass(frozen=True, slots=True)
class CellGrid:
    """What cells there are."""

    name: str
    """`era5`, `healpix` or `h3`."""
    levels: tuple[int, ...] = ()
    """Of HEALPix and H3, the coarsest first."""

    @classmethod
    def of(cls, text: str) -> CellGrid:
        """What is asked for: `era5`, `healpix:6`, `h3:3,5`.

        Raises:
            ConfigError: there is none such.
        """
        name, _, rest = text.partition(":")
        if name == ERA5 and not rest:
            return cls(name)
        levels = [int(n) for n in rest.split(",")] if re.fullmatch(r"\d{1,2}(,\d{1,2})*", rest) else []
        if name not in MOST or not levels or max(levels) > MOST[name] or levels != sorted(set(levels)):
            raise ConfigError(
                f"--cells {text}: expected era5, healpix:N of an order of 0 to {MOST['healpix']}, or h3:N of a resolution "
                f"of 0 to {MOST['h3']}; of several, with commas, the coarsest first"
            )
        if name == "h3":
            hexagons.check()
        return cls(name, tuple(levels))

    def __str__(self) -> str:
        return self.name if not self.levels else f"{self.name}:{','.join(map(str, self.levels))}"

    def numbers_at(self, lon: Floats, lat: Floats) -> Ints:
        """Numbers of the cells, of the finest level, that hold points (degrees)."""
        if self.name == ERA5:
            return sphere.merged(era5_cells.numbers_at(lon, lat))
        at = healpix.numbers_at if self.name == "healpix" else hexagons.numbers_at
        return at(lon, lat, self.levels[-1])

    def holding(self, lon: Floats, lat: Floats, half: Floats) -> tuple[Ints, Ints, Floats]:
        """The cells, of the finest level, that footprints lie in.

        Args:
            lon: degrees, of centres.
            lat: degrees.
            half: half width and half height of each, degrees, (n, 2).

        Returns:
            Number of the place, number of the cell, and share of the footprint in it; sorted by (cell, place). Shares in
            ERA5's cells are exact, in others of 256 points.
        """
        if self.name == ERA5:
            return sphere.cells_of(lon, lat, half)
        at = self._at(lon, lat, half, _CORNERS)
        split = np.flatnonzero((at != at[:, :1]).any(axis=1))
        steps = (np.arange(FINE) + 0.5) / FINE * 2 - 1
        fine = self._at(lon[split], lat[split], half[split], np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2))
        whole = np.setdiff1d(np.arange(len(lon)), split)
        place = np.concatenate([whole, np.repeat(split, FINE**2)])
        pair = np.stack([np.concatenate([at[whole, 0], fine.ravel()]), place], axis=1)
        part = np.concatenate([np.ones(len(whole)), np.full(fine.size, 1 / FINE**2)])
        found, which = np.unique(pair, axis=0, return_inverse=True)
        return found[:, 1], found[:, 0], np.asarray(np.bincount(which.ravel(), part, len(found)), np.float64)

    def _at(self, lon: Floats, lat: Floats, half: Floats, offsets: Floats) -> Ints:
        """Cells of points of footprints (n, offset), which are told in half sides from the centre."""
        x = lon[:, None] + half[:, :1] * offsets[:, 0]
        y = np.clip(lat[:, None] + half[:, 1:] * offsets[:, 1], -90, 90)
        return self.numbers_at((x.ravel() + 180) % 360 - 180, y.ravel()).reshape(x.shape)

    def within(self, number: Ints) -> tuple[Ints, Ints, Ints]:
        """All cells, of every level, that some of the finest are of; and of each but the coarsest its parent.

        Returns:
            Numbers, sorted; positions of children and of their parents among these.
        """
        every, child, parent = [np.unique(number)], [], []
        for level in self.levels[-2::-1]:
            finer = every[-1]
            above = self._parents(finer, level)
            child.append(finer)
            parent.append(above)
            every.append(np.unique(above))
        numbers = np.unique(np.concatenate(every))
        none = np.empty(0, np.int64)
        positions = [np.searchsorted(numbers, np.concatenate([none, *its])) for its in (child, parent)]
        return numbers, positions[0], positions[1]

    def _parents(self, number: Ints, level: int) -> Ints:
        if self.name == "h3":
            return hexagons.parents(number, level)
        return np.asarray(number >> 2 * (healpix.order_of(number) - level))

    def centres(self, number: Ints) -> tuple[Floats, Floats]:
        """Longitudes and latitudes of cells, degrees."""
        if self.name == ERA5:
            return era5_cells.nodes(number)
        return sphere.lonlat(healpix.points(number, 0.5, 0.5)) if self.name == "healpix" else hexagons.centres(number)

    def ids(self, number: Ints) -> list[str]:
        """Names of cells: `era5-0906994`, `healpix-6-1234` (order and nested index), H3's own."""
        if self.name == ERA5:
            return era5_cells.ids(number)
        if self.name == "h3":
            return [f"h3-{n:x}" for n in number.tolist()]
        orders = healpix.order_of(number).tolist()
        return [f"healpix-{o}-{n - 4 * 4**o}" for o, n in zip(orders, number.tolist(), strict=True)]

    def adjacent(self, number: Ints) -> tuple[Ints, Ints, Floats]:
        """Which cells share an edge, of some.

        Args:
            number: of the cells, sorted.

        Returns:
            Both, as positions among these, in both directions; and the length of the edge, metres.
        """
        if self.name == ERA5:
            return sphere.adjacent(number)
        return hexagons.adjacent(number) if self.name == "h3" else _of_healpix(number)


def _of_healpix(number: Ints) -> tuple[Ints, Ints, Floats]:
    there, far = healpix.sides(number)
    position = np.minimum(np.searchsorted(number, there), max(len(number) - 1, 0))
    one, side = np.nonzero(number[position] == there if len(number) else np.zeros((0, 4), bool))
    return one, position[one, side], far[one, side] * sphere.RADIUS_M
