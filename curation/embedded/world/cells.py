"""The cells' regions, and which scenes of Sentinel-2 and Sentinel-1 they have: by rule from the cell, not by hand.

What a patch of a cell can meet:

    every season    a Sentinel-2 date near its middle with little cloud or none, in half of them a cloudier one ten days
                    later; Sentinel-1 of the same orbit within three days of each
    winter          no Sentinel-2 from 68°N on; elsewhere in the far north it comes late, when the sun is back
    summer          (the northern name) no Sentinel-2 from 60°S on
    `WITHOUT_S2`, `WITHOUT_S1`
                    a season of one cell without any
    `CLOUDY`        a season of one cell with cloud over all of it, whose scenes are clear enough beyond it to be candidates

A cell across the border of a zone (or the equator, where the false northing changes) has a tile on either side.
"""

from __future__ import annotations

import datetime as dt
import itertools
import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from curation.embedded.archive.scenes import CLEAR, OVERCAST, Pass1, Pass2, Scene1, Scene2, Sky, clock_time, scene2
from curation.embedded.world import noise, terrain, traits
from curation.embedded.world.regions import BBox, Region, Tile, transformer, wider
from curation.embedded.world.world import CELLS, STEP_DEG

BLOCK_PX = 480
"""Sides of scenes are multiples of it: whole blocks of every band."""

OVERLAP_KM = 8.0
"""How far tiles reach beyond their zone's edge."""

ANCHORS = {"winter": "2021-01-15", "spring": "2021-04-16", "summer": "2021-07-17", "autumn": "2021-10-16"}
"""The middles of the seasons."""

NORTHERN = {"winter": "2021-02-18", "autumn": "2021-09-16"}
"""From `FAR_NORTH` on: nearer to the equinoxes."""

SOUTHERN = {"spring": "2021-03-12"}
"""From `FAR_SOUTH` on."""

FAR_NORTH, DARK_NORTH, FAR_SOUTH = 58.0, 68.0, -60.0

Node = tuple[float, float]

WITHOUT_S2: dict[Node, str] = {(20, 0): "spring"}
WITHOUT_S1: dict[Node, str] = {(25, -31): "autumn"}
CLOUDY: dict[Node, str] = {(-63, 2.5): "winter"}

_UNDER_CLOUD = Sky(0.0, always=(-0.04, -0.04, 1.04, 1.04))
"""Cloud over the cell, thinning out at its edges and gone beyond them."""

BIOMES = {
    "temperate": (0.0, 0.3, 16, 90.0),
    "tropical": (0.8, 0.5, 9, 160.0),
    "dry": (0.2, 0.04, 5, 25.0),
    "boreal": (0.0, 0.42, 4, 70.0),
    "polar": (0.0, 0.03, 2, 45.0),
}
"""Kinds of ground: how evergreen, how much forest, how many villages, and the width of the river in metres."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One ERA5 cell of the world."""

    node: Node
    """Longitude and latitude of its centre."""
    region: Region
    biome: str
    """The kind of ground that it is cut from."""

    @property
    def lon(self) -> float:
        """Degrees east of its centre."""
        return self.node[0]

    @property
    def lat(self) -> float:
        """Degrees north of its centre."""
        return self.node[1]

    @property
    def number(self) -> int:
        """Its place among `CELLS`."""
        return CELLS.index(self.node)


def _biome(lat: float) -> str:
    away = abs(lat) if lat > -56 else 90.0  # the far south is bare long before the far north
    names = ((8, "tropical"), (19, "tropical"), (32, "dry"), (54, "temperate"), (67, "boreal"))
    return next((name for limit, name in names if away <= limit), "polar")


def bounds(node: Node) -> BBox:
    """West, south, east, north of a cell in degrees; the west of one at the antimeridian lies beyond -180."""
    lon, lat = node
    half = STEP_DEG / 2
    return lon - half, lat - half, lon + half, lat + half


def zone(lon: float, lat: float) -> int:
    """The MGRS zone of a point; of the exceptions only Norway's touches a cell that the plain rule would not give."""
    if 56 <= lat < 64 and 3 <= lon < 12:
        return 32
    if lat >= 72 and 9 <= lon < 21:
        return 33
    return int(((lon + 180) % 360) // 6) + 1


def mgrs(lon: float, lat: float) -> str:
    """The name of the 100 km square of a point, such as 32ULB."""
    number = zone(lon, lat)
    x, y = transformer("EPSG:4326", f"EPSG:{_epsg(lon, lat)}").transform(lon, lat)
    column = ("STUVWXYZ", "ABCDEFGH", "JKLMNPQR")[number % 3][int(x // 100_000) - 1]
    row = "ABCDEFGHJKLMNPQRSTUV"[(int(y // 100_000) + (0 if number % 2 else 5)) % 20]
    band = "CDEFGHJKLMNPQRSTUVWX"[min(int((lat + 80) // 8), 19)]
    return f"{number:02d}{band}{column}{row}"


def _epsg(lon: float, lat: float) -> int:
    return (32600 if lat >= 0 else 32700) + zone(lon, lat)


def _tiles(node: Node) -> tuple[Tile, ...]:
    """One for each zone and hemisphere that the cell has a part in."""
    w, s, e, n = bounds(node)
    across = [w, *(c for c in (math.ceil(w / 6) * 6.0,) if w < c < e and zone(w, n) != zone(e, n)), e]
    along = [s, *(c for c in (0.0,) if s < c < n), n]
    out = []
    for south, north in itertools.pairwise(along):
        for west, east in itertools.pairwise(across):
            lon, lat = (west + east) / 2, (south + north) / 2
            west_km, east_km = OVERLAP_KM * (west > w), OVERLAP_KM * (east < e)
            box = wider((west, south, east, north), west_km=west_km, east_km=east_km)
            out.append(Tile(mgrs(lon, lat), _epsg(lon, lat), box, BLOCK_PX))
    return tuple(out)


def _region(node: Node) -> Region:
    box = bounds(node)
    relief = terrain.height(*np.meshgrid(np.linspace(box[0], box[2], 40), np.linspace(box[1], box[3], 40)))
    evergreen, forest, villages, river = BIOMES[_biome(node[1])]
    # Snow falls where winters are cold, on the higher ground: base and relief are what the snow line is told from.
    cold = node[1] >= 45
    return Region(
        name=f"cell{node[0]:+.2f}{node[1]:+.2f}",
        seed=noise.seed_of("cell", *node),
        bbox=box,
        tiles=_tiles(node),
        towns=(),
        villages=villages,
        base_m=float(relief.mean()) if cold else 9_000.0,
        relief_m=2.2 * float(relief.std()),
        forest=forest,
        river_m=river,
        evergreen=evergreen,
        step_px=BLOCK_PX,
        traits=traits.served(),
    )


@cache
def cells() -> tuple[Cell, ...]:
    """Every cell, in the order of `CELLS`."""
    return tuple(Cell(node, _region(node), _biome(node[1])) for node in CELLS)


@cache
def by_region() -> dict[str, Cell]:
    """Cells by the name of their region."""
    return {c.region.name: c for c in cells()}


@cache
def biome_region(name: str) -> Region:
    """A region of 20 km whose ground is what the cells of a kind are cut from, over and over."""
    evergreen, forest, villages, river = BIOMES[name]
    box = (3.0, 0.0, 3.16, 0.16)
    towns = ((3.05, 0.05, 1.5, 1.1), (3.11, 0.115, 1.0, 1.0)) if villages > 4 else ((3.09, 0.06, 0.5, 0.9),)
    return Region(
        f"ground-{name}", noise.seed_of("ground", name), box, (Tile("31NAA", 32631, box),),
        towns, villages, 40.0, 240.0, forest, river, evergreen, traits=traits.served(),
    )  # fmt: skip


def _anchor(node: Node, season: str) -> dt.date:
    special = NORTHERN if node[1] >= FAR_NORTH else SOUTHERN if node[1] <= FAR_SOUTH else {}
    return dt.date.fromisoformat(special.get(season, ANCHORS[season]))


def has_s2(node: Node, season: str) -> bool:
    """Whether Sentinel-2 took the cell in a season."""
    dark = (season == "winter" and node[1] >= DARK_NORTH) or (season == "summer" and node[1] <= FAR_SOUTH)
    return not dark and WITHOUT_S2.get(node) != season


def has_s1(node: Node, season: str) -> bool:
    """Whether Sentinel-1 did."""
    return WITHOUT_S1.get(node) != season


def dates(node: Node, season: str) -> tuple[dt.date, ...]:
    """The days of a season's Sentinel-2 passes: one, or two that are ten days apart."""
    first = _anchor(node, season) - dt.timedelta(days=2)
    first += dt.timedelta(days=(noise.seed_of("phase", *node) - first.toordinal()) % 5)
    number, turn = CELLS.index(node), list(ANCHORS).index(season)
    later = CLOUDY.get(node) == season or (number + turn) % 2 == 0
    return (first, first + dt.timedelta(days=10)) if later else (first,)


def _clock(node: Node, local_hour: float) -> str:
    """The UTC time of day at which it is `local_hour` by the sun, some minutes early or late."""
    seconds = round((local_hour - node[0] / 15) * 3600) + noise.seed_of("clock", local_hour, *node) % 1_500
    return f"{dt.datetime.min + dt.timedelta(seconds=seconds % 86_400):%H%M%S}"


def _sky(node: Node, season: str, *, first: bool) -> Sky:
    if CLOUDY.get(node) == season:
        return _UNDER_CLOUD if first else OVERCAST
    rng = np.random.default_rng(noise.seed_of("sky", *node, season, first))
    if not first:
        return Sky(0.3 + 0.4 * float(rng.random()))
    return CLEAR if rng.random() < 0.6 else Sky(0.015 + 0.04 * float(rng.random()))


def _baseline(day: dt.date, node: Node, season: str) -> str:
    if noise.seed_of("baseline", *node, season) % 3 == 0:
        return "05.00"
    return "02.14" if day < dt.date(2021, 3, 30) else "03.00" if day < dt.date(2021, 6, 30) else "03.01"


@cache
def s2_scenes() -> tuple[Scene2, ...]:
    """Every Sentinel-2 product of the cells: each pass in every tile."""
    out = []
    for cell in cells():
        orbit = noise.seed_of("orbit2", *cell.node) % 143 + 1
        for season in ANCHORS:
            if not has_s2(cell.node, season):
                continue
            for k, day in enumerate(dates(cell.node, season)):
                baseline = _baseline(day, cell.node, season)
                tiles = cell.region.tiles
                sky = _sky(cell.node, season, first=k == 0)
                acquired = Pass2(
                    cell.region.name, day.isoformat(), orbit, sky, " ".join(t.name for t in tiles), (baseline,)
                )
                time = clock_time(day, _clock(cell.node, 10.5))
                out += [scene2(acquired, cell.region, t, baseline, time, first=day.toordinal() % 10 < 5) for t in tiles]
    return tuple(out)


@cache
def s1_scenes() -> tuple[Scene1, ...]:
    """Every Sentinel-1 product of the cells, in the zone of the cell's centre."""
    out = []
    for cell in cells():
        phase, number = noise.seed_of("phase1", *cell.node), cell.number
        ascending = bool(phase % 2)
        passes = []
        for turn, season in enumerate(ANCHORS):
            if not has_s1(cell.node, season):
                continue
            near = dates(cell.node, season)
            day = near[0] - dt.timedelta(days=3)
            day += dt.timedelta(days=(phase - day.toordinal()) % 6)
            passes += [(day + dt.timedelta(days=12 * k), ascending) for k in range(len(near))]
            if (number + turn) % 5 == 0:  # and one of the other direction, which is the minority
                passes.append((day + dt.timedelta(days=2), not ascending))
        for day, up in passes:
            orbit = noise.seed_of("orbit1", *cell.node, up) % 175 + 1
            acquired = Pass1(cell.region.name, day.isoformat(), orbit)
            time = clock_time(day, _clock(cell.node, 18.0 if up else 6.0))
            platform = "1A" if day.toordinal() // 6 % 2 else "1B"
            direction = "ascending" if up else "descending"
            epsg = _epsg(cell.lon, cell.lat)
            out.append(Scene1(acquired, cell.region, direction, platform, time, epsg))
    return tuple(out)
